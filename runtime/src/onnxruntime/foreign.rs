//! Reads versions of libraries, and a GPU's compute capability, without ONNX Runtime.
//!
//! Every function that is called here has had the same name and signature since the library's first release.

use std::ffi::{CStr, c_int};
use std::path::Path;

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

#[cfg(test)]
mod tests {
    use super::*;

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
