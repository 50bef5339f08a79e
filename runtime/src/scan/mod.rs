//! Prepares a scan: orients, normalises and crops it, and maps the crop to the zoom-out window.

pub mod crop;
pub mod intensity;
pub mod resize;

use std::borrow::Borrow;
use std::sync::Arc;

use ndarray::Array3;

use segvol_base::{Warning, WarningCode};
use segvol_volume::orientation::seen_axes;
use segvol_volume::{AxisMap, Grid, Orientation, Volume};

use crate::error::Error;
use crop::Crop;
use intensity::IntensityError;
use resize::{IndexTables, nearest_table};

/// The position of a scan's crop in the file and in the zoom-out window. A segmentation needs it to make a mask.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) grid: Arc<Grid>,
    pub(crate) axes: AxisMap,
    pub(crate) crop: Crop,
    /// For every crop voxel, the voxel of the zoom-out window that shows it.
    pub(crate) tables: IndexTables,
}

impl Scan {
    /// Orients, normalises and crops a scan. Returns the crop's position and its image, `[D, H, W]`, in [0, 1]. `done` is
    /// called with the name of each finished step. A volume that is passed by value is freed as soon as it is oriented.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is not enough memory, [`Error::Intensity`] if the intensities cannot be normalised.
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

/// A warning if a model that was trained with `expected` axes sees others.
pub(crate) fn unexpected_axes(grid: &Grid, expected: Orientation, orientation: Orientation) -> Option<Warning> {
    let [expected, seen] = [expected, orientation].map(|orientation| seen_axes(grid, orientation));
    if seen == expected {
        return None;
    }
    let side = |axes: [(usize, bool); 3]| axes.iter().position(|&(axis, _)| axis == 0).map(|at| (at, axes[at].1));
    let risk = if side(seen.axes()) == side(expected.axes()) {
        "structures may be missed or exchanged"
    } else {
        "left and right may be exchanged"
    };
    let message = format!("the model expects {expected} axes, and sees {seen}; {risk}");
    Some(Warning::new(WarningCode::OrientationUnexpected, message))
}
