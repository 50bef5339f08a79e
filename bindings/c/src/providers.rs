//! What the loaded ONNX Runtime offers.

use std::ffi::{CStr, CString, c_char};
use std::path::Path;

use segvol::probe::{self, LibraryReport};

use crate::arguments::{free, handle, optional_text, output, owned_text};
use crate::failure::Named;
use crate::fence::{fence, fence_value};
use crate::model::c_name;
use crate::status::SegvolStatus;

/// The providers of ONNX Runtime, each tried.
pub struct SegvolProviders {
    list: Vec<Listed>,
    report: LibraryReport,
}

struct Listed {
    name: &'static CStr,
    /// Why it cannot be used; none if it can.
    problem: Option<CString>,
}

/// Loads ONNX Runtime and tries every provider with a small product of matrices. `library`: as in SegvolOptions; NULL for
/// the one that is loaded, or would be. `*providers` is the caller's, to be freed with segvol_providers_free().
///
/// LIBRARY. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_providers_new(
    library: *const c_char,
    providers: *mut *mut SegvolProviders,
) -> SegvolStatus {
    fence(|| {
        let out = output(providers, "providers")?;
        // SAFETY: NULL or a text.
        let library = unsafe { optional_text(library, "library") }?;
        let report = probe::probe_own(library.map(Path::new)).named("library")?;
        let listed = |state: &probe::ProviderState| Listed {
            name: c_name(state.provider),
            problem: (!state.usable).then(|| {
                let reason = state.reason.clone().unwrap_or_else(|| "unknown".to_owned());
                CString::new(reason.replace('\0', "")).unwrap_or_default()
            }),
        };
        let list = report.providers.iter().map(listed).collect();
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolProviders { list, report }) };
        Ok(())
    })
}

/// How many providers there are, usable or not. 0 for NULL.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_providers_len(providers: *const SegvolProviders) -> usize {
    // SAFETY: NULL or a live list.
    fence_value(0, || unsafe { handle(providers, "providers") }.map_or(0, |providers| providers.list.len()))
}

/// The name of one provider, counted from 0, for `provider` of SegvolOptions; NULL for NULL or an index that is too high.
/// It lives as long as the list.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_providers_name(providers: *const SegvolProviders, index: usize) -> *const c_char {
    fence_value(std::ptr::null(), || {
        // SAFETY: NULL or a live list.
        let providers = unsafe { handle(providers, "providers") }.ok();
        let listed = providers.and_then(|providers| providers.list.get(index));
        listed.map_or(std::ptr::null(), |listed| listed.name.as_ptr())
    })
}

/// Why one provider cannot be used; NULL if it can, and also for NULL or an index that is too high. It lives as long as the
/// list.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_providers_problem(providers: *const SegvolProviders, index: usize) -> *const c_char {
    fence_value(std::ptr::null(), || {
        // SAFETY: NULL or a live list.
        let providers = unsafe { handle(providers, "providers") }.ok();
        let problem =
            providers.and_then(|providers| providers.list.get(index)).and_then(|listed| listed.problem.as_ref());
        problem.map_or(std::ptr::null(), |problem| problem.as_ptr())
    })
}

/// All that was found, as JSON text: the library's file, version and build, providers, devices. `*json` is the caller's, to
/// be freed with segvol_string_free().
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_providers_report(
    providers: *const SegvolProviders,
    json: *mut *mut c_char,
) -> SegvolStatus {
    fence(|| {
        let out = output(json, "json")?;
        // SAFETY: NULL or a live list.
        let providers = unsafe { handle(providers, "providers") }?;
        let text = serde_json::to_string_pretty(&providers.report)?;
        // SAFETY: the caller's pointer.
        unsafe { out.write(owned_text(text + "\n")) };
        Ok(())
    })
}

/// Frees a list. NULL is nothing.
///
/// Any thread, when no other uses this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_providers_free(providers: *mut SegvolProviders) {
    // SAFETY: NULL or a live list that is not used again.
    unsafe { free(providers) }
}
