//! Prepares a scan: orients, normalises and crops it, and maps the crop to the zoom-out window.

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
        intensity::normalise(&mut image).map_err(|error| in_the_file(error, &image, &axes))?;
        let crop = Crop::find(image.view(), window).ok_or(IntensityError::Constant { value: 0.0 })?;
        let shape = crop.shape_dhw();
        segvol_base::memory::check_available::<f32>("the cropped scan", shape.iter().product())?;
        let image = crop.extract(image.view());
        let tables = std::array::from_fn(|axis| nearest_table(window[axis], shape[axis]));
        done("normalise");
        Ok((Self { grid, axes, crop, tables }, image))
    }
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
