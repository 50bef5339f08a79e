//! What the zoom-in pass of a call will compute, for a caller who wants to know before it begins.

use std::collections::BTreeMap;

use segvol_windows::{Frame, WindowKey};
use serde::Serialize;

use super::segmentation::Segmentation;
use super::windows::Windows;

/// The windows of a call, in raster order, each with the indices of the objects that need it.
pub(crate) type Users = BTreeMap<Frame, Vec<usize>>;

/// The plan of a call, made after its zoom-out pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowPlan {
    /// Windows of the zoom-in pass, of all objects together.
    pub windows: usize,
    /// Those of them whose embedding is neither in the study's cache nor in the folder of embeddings.
    pub windows_to_encode: usize,
    /// Masks to decode: for each window, the objects that need it.
    pub decodes: usize,
    /// Windows of each object, in the order of the prompts. Windows that objects share count for each of them.
    pub windows_per_object: Vec<usize>,
    /// The windows, in raster order.
    #[serde(skip)]
    pub frames: Vec<Frame>,
    /// Memory for the logits of all regions, in bytes, in addition to what the study holds already.
    pub memory_bytes: u64,
}

impl WindowPlan {
    pub(crate) fn of(windows: &Windows, users: &Users, segmentations: &[Segmentation]) -> Self {
        let mut windows_per_object = vec![0; segmentations.len()];
        users.values().flatten().for_each(|&index| windows_per_object[index] += 1);
        let voxels = |found: &Segmentation| found.roi.map_or(0, |roi| roi.region.shape_dhw().iter().product::<usize>());
        Self {
            windows: users.len(),
            windows_to_encode: users.keys().filter(|&frame| !windows.has(&WindowKey::ZoomIn(frame.clone()))).count(),
            decodes: windows_per_object.iter().sum(),
            windows_per_object,
            frames: users.keys().cloned().collect(),
            memory_bytes: segmentations.iter().map(|found| (voxels(found) * size_of::<f32>()) as u64).sum(),
        }
    }
}
