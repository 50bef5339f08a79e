//! The execution providers of the loaded ONNX Runtime.

use std::ffi::{CStr, CString, c_char};
use std::path::Path;

use segvol::probe::{self, LibraryReport};

use crate::arguments::{free, handle, optional_text, output, owned_text};
use crate::failure::Named;
use crate::fence::{fence, fence_value};
use crate::model::c_name;
use crate::status::SegvolStatus;
use crate::strings::c_string;

/// The execution providers of ONNX Runtime, and whether each can be used.
pub struct SegvolProviders {
    list: Vec<Listed>,
    report: LibraryReport,
}

struct Listed {
    name: &'static CStr,
    /// Why it cannot be used; `None` if it can.
    problem: Option<CString>,
}

/// Loads ONNX Runtime, and tries every execution provider with a small matrix product.
///
/// - `library`: path of the ONNX Runtime library or of its folder, as in SegvolOptions. NULL for the library that is already loaded, or
///   that would be loaded by default.
/// - `providers`: receives the list. The caller owns it and frees it with segvol_providers_free(). Unchanged on
///   failure.
///
/// Errors: LIBRARY.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_providers_new(
    library: *const c_char,
    providers: *mut *mut SegvolProviders,
) -> SegvolStatus {
    fence(|| {
        let out = output(providers, "providers")?;
        // SAFETY: NULL or a string.
        let library = unsafe { optional_text(library, "library") }?;
        let report = probe::probe_own(library.map(Path::new)).named("library")?;
        let listed = |state: &probe::ProviderState| Listed {
            name: c_name(state.provider),
            problem: (!state.usable).then(|| {
                let reason = state.reason.clone().unwrap_or_else(|| "unknown".to_owned());
                c_string(reason)
            }),
        };
        let list = report.providers.iter().map(listed).collect();
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolProviders { list, report }) };
        Ok(())
    })
}

/// Returns the number of providers, including those that cannot be used. 0 if `providers` is NULL.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_providers_len(providers: *const SegvolProviders) -> usize {
    // SAFETY: NULL or a live list.
    fence_value(0, || unsafe { handle(providers, "providers") }.map_or(0, |providers| providers.list.len()))
}

/// Returns the name of a provider, as `provider` of SegvolOptions takes it.
///
/// - `index`: the provider, counted from 0.
///
/// The string belongs to the list and is valid until the list is freed. NULL if `providers` is NULL or `index` is too
/// large.
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

/// Returns the reason why a provider cannot be used, or NULL if it can be used.
///
/// - `index`: the provider, counted from 0.
///
/// The string belongs to the list and is valid until the list is freed. Also NULL if `providers` is NULL or `index` is
/// too large.
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

/// Makes a report of the library and its providers, as JSON: the library's file, version and build, providers and
/// devices.
///
/// - `json`: receives the report. The caller owns it and frees it with segvol_string_free(). Unchanged on failure.
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

/// Frees a list of providers. NULL is allowed and does nothing.
///
/// Any thread, but not while another thread uses this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_providers_free(providers: *mut SegvolProviders) {
    // SAFETY: NULL or a live list that is not used again.
    unsafe { free(providers) }
}
