//! Reads ONNX Runtime's graph-assignment record: which provider took which node.
//!
//! The record exists if the session was opened with the configuration entry [`RECORD`]. `ort` has the C functions but
//! no safe wrapper for them, so this module needs `unsafe`.

use std::ffi::{CStr, c_char};
use std::ptr;

use ort::AsPointer as _;
use ort::session::Session;
use ort::sys::OrtStatusPtr;

/// Configuration entry that makes a session keep the record.
pub(crate) const RECORD: &str = "session.record_ep_graph_assignment_info";

/// A node, and the provider that took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AssignedNode {
    /// ONNX Runtime's name for the provider.
    pub(crate) provider: String,
    /// The node's name. Nodes that ONNX Runtime has fused have a new name, or an empty one.
    pub(crate) name: String,
    /// The node's operator.
    pub(crate) op: String,
}

/// The nodes of a session opened with [`RECORD`] set to `1`; empty if ONNX Runtime kept no record.
pub(crate) fn assigned_nodes(session: &Session) -> Vec<AssignedNode> {
    let api = ort::api();
    let mut assigned = Vec::new();
    let (mut subgraphs, mut subgraph_count) = (ptr::null(), 0);
    // SAFETY: the session is alive, and both out-pointers are valid for writes. A null status means success; then
    // `subgraphs` is an array of `subgraph_count` pointers that the session owns.
    let status =
        unsafe { (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &raw mut subgraphs, &raw mut subgraph_count) };
    if !released_ok(status) || subgraphs.is_null() {
        return assigned;
    }
    for index in 0..subgraph_count {
        // SAFETY: `index` is within the array above.
        let subgraph = unsafe { *subgraphs.add(index) };
        // SAFETY: the subgraph is the session's, and the out-pointer is valid for a write.
        let provider = text(|out| unsafe { (api.EpAssignedSubgraph_GetEpName)(subgraph, out) });
        let (mut nodes, mut node_count) = (ptr::null(), 0);
        // SAFETY: as above; on success `nodes` is an array of `node_count` pointers that the session owns.
        let status = unsafe { (api.EpAssignedSubgraph_GetNodes)(subgraph, &raw mut nodes, &raw mut node_count) };
        if !released_ok(status) || nodes.is_null() {
            continue;
        }
        for index in 0..node_count {
            // SAFETY: `index` is within the array above.
            let node = unsafe { *nodes.add(index) };
            assigned.push(AssignedNode {
                provider: provider.clone(),
                // SAFETY: the node is the session's, and the out-pointer is valid for a write.
                name: text(|out| unsafe { (api.EpAssignedNode_GetName)(node, out) }),
                // SAFETY: as above.
                op: text(|out| unsafe { (api.EpAssignedNode_GetOperatorType)(node, out) }),
            });
        }
    }
    assigned
}

/// A copy of a string that the session owns; empty if there is none.
fn text(get: impl FnOnce(*mut *const c_char) -> OrtStatusPtr) -> String {
    let mut found = ptr::null();
    if !released_ok(get(&raw mut found)) || found.is_null() {
        return String::new();
    }
    // SAFETY: a zero-terminated string that the session owns.
    unsafe { CStr::from_ptr(found) }.to_string_lossy().into_owned()
}

/// Frees a status. Returns true if it means success.
fn released_ok(status: OrtStatusPtr) -> bool {
    // SAFETY: the status came from a call to ONNX Runtime and is converted, hence freed, once.
    unsafe { ort::Error::result_from_status(status) }.is_ok()
}
