//! Where a scan's crop lies, from the file's voxels to the zoom-out window's.

pub mod crop;
pub mod intensity;
pub mod resize;

use std::borrow::Borrow;
use std::sync::Arc;

use ndarray::Array3;

use segvol_volume::{AxisMap, Grid, Orientation, Volume};

use crate::error::Error;
use crop::Crop;
use intensity::IntensityError;
use resize::{IndexTables, nearest_table};

/// Where a scan's crop lies: what a segmentation needs to become a mask.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) grid: Arc<Grid>,
    pub(crate) axes: AxisMap,
    pub(crate) crop: Crop,
    /// From crop voxels to the zoom-out window's.
    pub(crate) tables: IndexTables,
}

impl Scan {
    /// Orients, normalises and crops a scan: what it is, and the crop's image. `done` is told each step's name. A volume
    /// that is given, not lent, is gone as soon as it is oriented.
    pub(crate) fn prepare(
        volume: impl Borrow<Volume>,
        orientation: Orientation,
        window: [usize; 3],
        done: &mut dyn FnMut(&'static str),
    ) -> Result<(Self, Array3<f32>), Error> {
        let grid = Arc::clone(volume.borrow().grid());
        let axes = AxisMap::new(&grid, orientation);
        segvol_base::memory::check_available::<f32>("the oriented scan", volume.borrow().voxels().len())?;
        let mut image = axes.orient(volume.borrow().voxels());
        drop(volume);
        done("orient");
        intensity::normalise(&mut image)?;
        let crop = Crop::find(image.view(), window).ok_or(IntensityError::Constant { value: 0.0 })?;
        let shape = crop.shape_dhw();
        segvol_base::memory::check_available::<f32>("the cropped scan", shape.iter().product())?;
        let image = crop.extract(image.view());
        let tables = std::array::from_fn(|axis| nearest_table(window[axis], shape[axis]));
        done("normalise");
        Ok((Self { grid, axes, crop, tables }, image))
    }
}
