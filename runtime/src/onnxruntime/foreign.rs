//! Reads versions of libraries, and a GPU's compute capability, without ONNX Runtime. Turns its telemetry off.
//!
//! Every function that is called here has had the same name and signature since the library's first release.

#[cfg(unix)]
use std::ffi::c_char;
use std::ffi::{CStr, c_int};
use std::path::Path;
#[cfg(unix)]
use std::sync::atomic::{AtomicPtr, Ordering};
#[cfg(unix)]
use std::sync::{Mutex, PoisonError};

use libloading::Library;

/// The version of an ONNX Runtime library, such as `1.32.0`.
pub(crate) fn onnxruntime_version(path: &Path) -> Result<String, libloading::Error> {
    // SAFETY: loading runs the library's constructors. The library is the one that the user named or the system has, and
    // `ort` loads the same file.
    let library = unsafe { Library::new(path) }?;
    // SAFETY: the symbol's type since ONNX Runtime 1.0: `const OrtApiBase* OrtGetApiBase(void)`.
    let base = unsafe { library.get::<unsafe extern "system" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase") }?;
    // SAFETY: it returns a pointer to a static struct, whose function returns a static zero-terminated string.
    let version = unsafe { CStr::from_ptr(((*base()).GetVersionString)()) };
    let version = version.to_string_lossy().into_owned();
    // ONNX Runtime starts threads, whose code must not be unloaded.
    std::mem::forget(library);
    Ok(version)
}

/// The version of the TensorRT library that the dynamic loader finds: major, minor, patch. `None` if there is none, or its
/// version cannot be read.
pub(super) fn tensorrt_version() -> Option<[u32; 3]> {
    let names = if cfg!(target_os = "windows") { ["nvinfer_10.dll"; 1] } else { ["libnvinfer.so.10"; 1] };
    names.into_iter().find_map(|name| {
        // SAFETY: loading runs the library's constructors; ONNX Runtime's TensorRT provider loads the same file.
        let library = unsafe { Library::new(name) }.ok()?;
        // SAFETY: the symbol's type in NvInferRuntimeBase.h: `int32_t getInferLibVersion()`.
        let version = unsafe { library.get::<unsafe extern "C" fn() -> i32>(b"getInferLibVersion") }.ok()?;
        // SAFETY: no arguments, no preconditions.
        let version = unsafe { version() };
        std::mem::forget(library);
        decode_tensorrt_version(u32::try_from(version).ok()?)
    })
}

/// TensorRT 10 and later encode a version as `10000 * major + 100 * minor + patch`, earlier versions as
/// `1000 * major + 100 * minor + patch`.
fn decode_tensorrt_version(number: u32) -> Option<[u32; 3]> {
    match number {
        10_0000.. => Some([number / 10_000, number / 100 % 100, number % 100]),
        1000..=9999 => Some([number / 1000, number / 100 % 10, number % 100]),
        _ => None,
    }
}

/// CUDA's numbers for the attributes major and minor compute capability (cuda.h, `CUdevice_attribute`).
const COMPUTE_CAPABILITY: [c_int; 2] = [75, 76];

/// A GPU's compute capability, major and minor. `None` if there is no driver or no such GPU.
pub(super) fn compute_capability(device: u16) -> Option<[u32; 2]> {
    let name = if cfg!(target_os = "windows") { "nvcuda.dll" } else { "libcuda.so.1" };
    // SAFETY: loading runs the driver's constructors; ONNX Runtime's CUDA provider loads the same file.
    let library = unsafe { Library::new(name) }.ok()?;
    // SAFETY: the symbols' types in cuda.h: `CUresult cuInit(unsigned)`, `CUresult cuDeviceGet(CUdevice*, int)`,
    // `CUresult cuDeviceGetAttribute(int*, CUdevice_attribute, CUdevice)`, where `CUdevice` is an int.
    let (init, get, attribute) = unsafe {
        (
            library.get::<unsafe extern "system" fn(u32) -> c_int>(b"cuInit").ok()?,
            library.get::<unsafe extern "system" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet").ok()?,
            library
                .get::<unsafe extern "system" fn(*mut c_int, c_int, c_int) -> c_int>(b"cuDeviceGetAttribute")
                .ok()?,
        )
    };
    let mut handle = 0;
    // SAFETY: `cuInit` comes first and takes 0; the out-pointer is valid for a write.
    let found = unsafe { init(0) == 0 && get(&raw mut handle, c_int::from(i16::try_from(device).ok()?)) == 0 };
    let mut capability = [0; 2];
    for (value, asked) in capability.iter_mut().zip(COMPUTE_CAPABILITY) {
        let mut answer = 0;
        // SAFETY: the handle is the driver's own if `found`; the out-pointer is valid for a write.
        if !found || unsafe { attribute(&raw mut answer, asked, handle) } != 0 {
            return None;
        }
        *value = u32::try_from(answer).ok()?;
    }
    std::mem::forget(library);
    Some(capability)
}

/// The environment variable that turns ONNX Runtime's telemetry off.
#[cfg(unix)]
const TELEMETRY: &CStr = c"ORT_DISABLE_TELEMETRY=1";

/// Runs `work`, which makes ONNX Runtime's environment, with `ORT_DISABLE_TELEMETRY=1` in the variables of the process, unless
/// that variable is set. Afterwards the variables are as before.
///
/// Wheels have a telemetry client since 1.32. It reads the variable when the environment is made. Otherwise it writes a session
/// number, before the library's own switch can turn it off, and starts a thread for which a forked child waits forever in
/// `exit()`, because a child has no threads.
///
/// `setenv` is not used: it may move or free the array of variables that another thread is reading. Here the array is copied,
/// and the pointer to it is exchanged. Whoever reads the old array or the new one can finish, since neither is changed or freed.
#[cfg(unix)]
pub(super) fn without_telemetry<T>(work: impl FnOnce() -> T) -> T {
    let _restored = Variables::with(TELEMETRY);
    work()
}

/// On other systems the library has no such client.
#[cfg(not(unix))]
pub(super) fn without_telemetry<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Where the arrays are that were in place and are not freed, so that a checker of leaks finds them.
#[cfg(unix)]
static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// An array of variables that replaces that of the process until this value is dropped.
#[cfg(unix)]
struct Variables {
    old: *mut *const c_char,
    new: *mut *const c_char,
}

#[cfg(unix)]
impl Variables {
    /// The variables of the process and one more, `NAME=VALUE`; `None` if `NAME` is set.
    fn with(variable: &'static CStr) -> Option<Self> {
        let name = variable.to_bytes().split_inclusive(|&byte| byte == b'=').next()?;
        let old = pointer().load(Ordering::Acquire);
        let mut copy = Vec::new();
        // SAFETY: the array ends with a null pointer, and every entry before it is a zero-terminated string, unless another
        // thread calls `setenv` at this moment. It must not: any other thread may read the variables at any moment.
        while let Some(entry) = unsafe { old.as_ref() }.and_then(|_| unsafe { (*old.add(copy.len())).as_ref() }) {
            // SAFETY: as above.
            if unsafe { CStr::from_ptr(entry) }.to_bytes().starts_with(name) {
                return None;
            }
            copy.push(std::ptr::from_ref(entry));
        }
        copy.extend([variable.as_ptr(), std::ptr::null()]);
        // Never freed: another thread may be reading it when the old array is back.
        let new = Box::leak(copy.into_boxed_slice()).as_mut_ptr();
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(new.addr());
        pointer().store(new, Ordering::Release);
        Some(Self { old, new })
    }
}

#[cfg(unix)]
impl Drop for Variables {
    fn drop(&mut self) {
        // If the array is another one by now, it is a copy that somebody has changed since, and stays.
        let _ = pointer().compare_exchange(self.new, self.old, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// The pointer to the array of variables of the process.
#[cfg(unix)]
fn pointer() -> &'static AtomicPtr<*const c_char> {
    #[cfg(target_vendor = "apple")]
    unsafe extern "C" {
        fn _NSGetEnviron() -> *mut *mut *const c_char;
    }
    #[cfg(not(target_vendor = "apple"))]
    unsafe extern "C" {
        static mut environ: *mut *const c_char;
    }
    #[cfg(target_vendor = "apple")]
    // SAFETY: no arguments, no preconditions.
    let place = unsafe { _NSGetEnviron() };
    #[cfg(not(target_vendor = "apple"))]
    let place = &raw mut environ;
    // SAFETY: POSIX defines the variable, which lives as long as the process and is aligned. Others read and write it as a
    // plain pointer, which is one access on every machine that has atomic pointers.
    unsafe { AtomicPtr::from_ptr(place) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_variable_is_there_during_the_work_and_gone_afterwards() {
        let before: Vec<_> = std::env::vars_os().collect();
        let variables = Variables::with(c"SEGVOL_OF_A_TEST=a=b").expect("not set");
        assert_eq!(std::env::var("SEGVOL_OF_A_TEST").as_deref(), Ok("a=b"));
        assert!(Variables::with(c"SEGVOL_OF_A_TEST=c").is_none(), "a variable that is set stays as it is");
        assert!(Variables::with(c"PATH=c").is_none());
        drop(variables);
        assert_eq!(std::env::vars_os().collect::<Vec<_>>(), before);
    }

    #[test]
    fn both_encodings_of_tensorrts_version_are_decoded() {
        assert_eq!(decode_tensorrt_version(101_401), Some([10, 14, 1]));
        assert_eq!(decode_tensorrt_version(8601), Some([8, 6, 1]));
        assert_eq!(decode_tensorrt_version(7), None);
    }

    #[test]
    fn a_missing_library_has_no_version() {
        assert!(onnxruntime_version(Path::new("/nonexistent/libonnxruntime.so")).is_err());
    }
}
