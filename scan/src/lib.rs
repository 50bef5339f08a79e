//! Prepares a scan for the model: orients, normalises and crops it, and maps the crop to the zoom-out window. The modules
//! are in the order in which a scan passes through them.
//!
//! This crate knows the model's window and its normalisation, and nothing else of the model. It does not link ONNX Runtime.

mod air;
pub mod crop;
pub mod intensity;
pub mod resize;

use std::borrow::Borrow;
use std::sync::Arc;

use ndarray::Array3;

use segvol_base::{ErrorKind, OutOfMemory, Warning, WarningCode};
use segvol_volume::orientation::seen_axes;
use segvol_volume::{AxisMap, Grid, Orientation, Volume};

pub use air::Air;
use crop::Crop;
use intensity::IntensityError;
use resize::{IndexTables, nearest_table};

/// Why a scan cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The intensities cannot be normalised.
    #[error(transparent)]
    Intensity(#[from] IntensityError),
}

impl ScanError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Memory(error) => error.kind(),
            Self::Intensity(error) => error.kind(),
        }
    }
}

/// The position of a scan's crop in the file and in the zoom-out window. A segmentation needs it to make a mask.
#[derive(Debug)]
pub struct Scan {
    /// Shape, affine and header of the scan's file.
    pub grid: Arc<Grid>,
    /// The map between the file's axes and the model's.
    pub axes: AxisMap,
    /// The crop, in the oriented scan.
    pub crop: Crop,
    /// For every crop voxel, the voxel of the zoom-out window that shows it.
    pub tables: IndexTables,
    /// Which voxels of the oriented scan are air.
    pub air: Air,
}

impl Scan {
    /// The voxel of the oriented scan that contains a position in voxels of the file; `None` if it is outside the scan.
    #[must_use]
    pub fn oriented_voxel(&self, at_ijk: [f64; 3]) -> Option<[usize; 3]> {
        let shape = self.grid.shape_xyz();
        let voxel = at_ijk.map(|at| (at + 0.5).floor());
        let inside = (0..3).all(|axis| voxel[axis] >= 0.0 && voxel[axis] < shape[axis] as f64);
        inside.then(|| self.axes.to_dhw(voxel).map(|index| index as usize))
    }

    /// Orients, normalises and crops a scan. Returns the crop's position and its image, `[D, H, W]`, in [0, 1]. `done` is
    /// called with the name of each finished step. A volume that is passed by value is freed as soon as it is oriented.
    /// With `body_only`, padding and metal do not count: [`intensity::normalise_body`].
    ///
    /// # Errors
    ///
    /// [`ScanError::Memory`] if there is not enough memory, [`ScanError::Intensity`] if the intensities cannot be normalised.
    pub fn prepare(
        volume: impl Borrow<Volume>,
        orientation: Orientation,
        body_only: bool,
        window: [usize; 3],
        done: &mut dyn FnMut(&'static str),
    ) -> Result<(Self, Array3<f32>), ScanError> {
        let grid = Arc::clone(volume.borrow().grid());
        let axes = AxisMap::new(&grid, orientation);
        let intensities = *volume.borrow().intensities();
        segvol_base::memory::check_available::<f32>("the oriented scan", volume.borrow().voxels().len())?;
        let mut image = axes.orient(volume.borrow().voxels());
        drop(volume);
        let air = Air::of(&image);
        done("orient");
        let unlike_a_body = intensities.below_air > 0 || intensities.above_body > 0;
        let normalised = if body_only && unlike_a_body && intensities.unlike_hounsfield.is_none() {
            intensity::normalise_body(&mut image)
        } else {
            intensity::normalise(&mut image)
        };
        normalised.map_err(|error| in_the_file(error, &image, &axes))?;
        let crop = Crop::find(image.view(), window).ok_or(IntensityError::Constant { value: 0.0 })?;
        let shape = crop.shape_dhw();
        segvol_base::memory::check_available::<f32>("the cropped scan", shape.iter().product())?;
        let image = crop.extract(image.view());
        let tables = std::array::from_fn(|axis| nearest_table(window[axis], shape[axis]));
        done("normalise");
        Ok((Self { grid, axes, crop, tables, air }, image))
    }
}

/// A warning if a model that was trained with `expected` axes sees others.
#[must_use]
pub fn unexpected_axes(grid: &Grid, expected: Orientation, orientation: Orientation) -> Option<Warning> {
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

/// The error in terms of the file: its own voxel indices instead of those of the oriented `image`, which is unchanged.
fn in_the_file(error: IntensityError, image: &Array3<f32>, axes: &AxisMap) -> IntensityError {
    if !matches!(error, IntensityError::NotFinite { .. }) {
        return error;
    }
    let damaged = image.indexed_iter().filter(|(_, value)| !value.is_finite());
    let in_file = damaged.map(|((d, h, w), &value)| {
        let [i, j, k] = axes.to_ijk([d, h, w].map(|index| index as f64)).map(|index| index as usize);
        ([k, j, i], value)
    });
    let (count, first) = in_file.fold((0, None), |(count, first): (u64, Option<([usize; 3], f32)>), found| {
        (count + 1, Some(first.filter(|first| first.0 < found.0).unwrap_or(found)))
    });
    // There is one: the error says so.
    let Some(([k, j, i], value)) = first else { return error };
    IntensityError::VoxelsNotFinite { first_ijk: [i, j, k], value, count }
}
