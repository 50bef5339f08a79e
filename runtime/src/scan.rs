//! Where a scan's crop lies, from the file's voxels to the zoom-out window's.

use std::sync::Arc;

use crate::crop::Crop;
use crate::frame::IndexTables;
use crate::orientation::AxisMap;
use crate::volume::Grid;

/// Where a scan's crop lies: what a segmentation needs to become a mask.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) grid: Arc<Grid>,
    pub(crate) axes: AxisMap,
    pub(crate) crop: Crop,
    /// From crop voxels to the zoom-out window's.
    pub(crate) tables: IndexTables,
}
