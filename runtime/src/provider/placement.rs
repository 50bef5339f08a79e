//! Which provider took which node: ONNX Runtime's graph-assignment record.
//!
//! The record exists if the session was opened with the configuration entry [`RECORD`]. `ort` has the C functions but
//! no safe wrapper for them, hence the only `unsafe` of this crate.

use std::ffi::CStr;
use std::ptr;

use ort::AsPointer as _;
use ort::session::Session;

use super::Placement;

/// Configuration entry that makes a session keep the record.
pub(crate) const RECORD: &str = "session.record_ep_graph_assignment_info";

/// Nodes per provider of a session opened with [`RECORD`] set to `1`; empty if ONNX Runtime kept no record.
pub(crate) fn placement(session: &Session) -> Placement {
    let api = ort::api();
    let mut placement = Placement::new();
    let mut subgraphs = ptr::null();
    let mut subgraph_count = 0;
    // SAFETY: the session is alive, and both out-pointers are valid for writes. A null status means success; then
    // `subgraphs` is an array of `subgraph_count` pointers that the session owns.
    let status =
        unsafe { (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &raw mut subgraphs, &raw mut subgraph_count) };
    if !released_ok(status) || subgraphs.is_null() {
        return placement;
    }
    for index in 0..subgraph_count {
        let (mut name, mut nodes, mut node_count) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `index` is within the array above; the out-pointers are valid for writes.
        let (named, counted) = unsafe {
            let subgraph = *subgraphs.add(index);
            let named = (api.EpAssignedSubgraph_GetEpName)(subgraph, &raw mut name);
            let counted = (api.EpAssignedSubgraph_GetNodes)(subgraph, &raw mut nodes, &raw mut node_count);
            (named, counted)
        };
        let (named, counted) = (released_ok(named), released_ok(counted));
        if named && counted && !name.is_null() {
            // SAFETY: a zero-terminated string that the session owns.
            let name = unsafe { CStr::from_ptr(name) };
            *placement.entry(name.to_string_lossy().into_owned()).or_default() += node_count;
        }
    }
    placement
}

/// Frees a status; true if it meant success.
fn released_ok(status: ort::sys::OrtStatusPtr) -> bool {
    // SAFETY: the status came from a call to ONNX Runtime and is converted, hence freed, once.
    unsafe { ort::Error::result_from_status(status) }.is_ok()
}
