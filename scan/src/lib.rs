//! Prepares a scan for the model: orients, straightens, normalises and crops it, and maps the crop to the zoom-out window.
//!
//! This crate knows the model's window and its normalisation, and nothing else of the model. It does not link ONNX Runtime.

mod air;
pub mod crop;
pub mod intensity;
mod padding;
pub mod resize;
pub mod shear;

use std::borrow::Borrow;
use std::sync::Arc;

use ndarray::Array3;

use segvol_base::{ErrorKind, OutOfMemory, Warning, WarningCode};
use segvol_volume::intensities::{AIR_HU, BRIGHTEST_AIR_HU, Intensities};
use segvol_volume::orientation::seen_axes;
use segvol_volume::{AxisMap, Grid, Orientation, Volume};

pub use air::Air;
use crop::Crop;
use intensity::IntensityError;
use resize::{IndexTables, nearest_table};
use shear::{Shear, TooSheared};

/// Why a scan cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The intensities cannot be normalised.
    #[error(transparent)]
    Intensity(#[from] IntensityError),
    /// The scan's axes are too far from perpendicular.
    #[error(transparent)]
    TooSheared(#[from] TooSheared),
}

impl ScanError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Memory(error) => error.kind(),
            Self::Intensity(error) => error.kind(),
            Self::TooSheared(_) => ErrorKind::Input,
        }
    }
}

/// The position of a scan's crop in the file and in the zoom-out window. A segmentation needs it to make a mask.
#[derive(Debug)]
pub struct Scan {
    /// Shape, affine and header of the scan's file.
    pub grid: Arc<Grid>,
    /// The map between the file's axes and those of the oriented scan, which are the model's.
    pub axes: AxisMap,
    /// From the oriented scan to the rectangular volume that the model sees in its place; `None` if the model sees the oriented scan
    /// itself.
    pub shear: Option<Shear>,
    /// The crop, in the volume that the model sees: the oriented scan, straightened if there is a shear.
    pub crop: Crop,
    /// For every crop voxel, the voxel of the zoom-out window that shows it.
    pub tables: IndexTables,
    /// Which voxels of the volume that the model sees are air.
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

    /// The voxel of the volume that the model sees which is nearest to a position in voxels of the file; `None` if the position is
    /// outside the scan.
    #[must_use]
    pub fn seen_voxel(&self, at_ijk: [f64; 3]) -> Option<[usize; 3]> {
        let oriented = self.oriented_voxel(at_ijk)?;
        let Some(shear) = &self.shear else { return Some(oriented) };
        let at = shear.to_straight(self.axes.to_dhw(at_ijk));
        let shape = shear.shape_dhw();
        Some(std::array::from_fn(|axis| (at[axis] + 0.5).floor().clamp(0.0, shape[axis] as f64 - 1.0) as usize))
    }

    /// The part of the oriented scan in which masks can be, first voxel and one past the last: the crop; the whole scan if it is
    /// straightened, because its voxels are then between those of the crop.
    #[must_use]
    pub fn frame_dhw(&self) -> [[usize; 3]; 2] {
        match self.shear {
            None => [self.crop.start_dhw, self.crop.end_dhw],
            Some(_) => [[0; 3], self.axes.shape_dhw()],
        }
    }

    /// The position in voxels of the file of a position `(d, h, w)` in the volume that the model sees.
    #[must_use]
    pub fn seen_to_ijk(&self, at_dhw: [f64; 3]) -> [f64; 3] {
        self.axes.to_ijk(self.shear.as_ref().map_or(at_dhw, |shear| shear.to_scan(at_dhw)))
    }

    /// What a user should know if the scan was straightened.
    #[must_use]
    pub fn straightened(&self) -> Option<Warning> {
        let shear = self.shear.as_ref()?;
        let message = format!(
            "the scan's axes are {:.1} degrees from perpendicular, as with a tilted gantry: the model sees the scan straightened, with linear interpolation in each slice; masks are on the scan's own voxels",
            shear.angle_degrees()
        );
        Some(Warning::new(WarningCode::ScanStraightened, message))
    }

    /// Orients, straightens, normalises and crops a scan. Returns the crop's position and its image, `[D, H, W]`, in [0, 1]. `done` is
    /// called with the name of each finished step. A volume that is passed by value is freed as soon as it is oriented.
    ///
    /// With `as_a_body`, padding and metal do not count ([`intensity::normalise_body`]), padding that the file states is air, and a
    /// sheared scan is [straightened](Shear), unless `orientation` asks for its voxels as they are stored. The released programs do
    /// none of this.
    ///
    /// # Errors
    ///
    /// [`ScanError::Memory`] if there is not enough memory, [`ScanError::Intensity`] if the intensities cannot be normalised,
    /// [`ScanError::TooSheared`] if the straightened scan would be too large.
    pub fn prepare(
        volume: impl Borrow<Volume>,
        orientation: Orientation,
        as_a_body: bool,
        window: [usize; 3],
        done: &mut dyn FnMut(&'static str),
    ) -> Result<(Self, Array3<f32>), ScanError> {
        let grid = Arc::clone(volume.borrow().grid());
        let axes = AxisMap::new(&grid, orientation);
        let straightens = as_a_body && orientation != Orientation::Stored;
        let shear = if straightens { Shear::of(&grid, &axes)? } else { None };
        let intensities = *volume.borrow().intensities();
        let padding = volume.borrow().padding_hu().filter(|_| as_a_body);
        segvol_base::memory::check_available::<f32>("the oriented scan", volume.borrow().voxels().len())?;
        let mut image = axes.orient(volume.borrow().voxels());
        drop(volume);
        if let (Some(padding), Some(slices)) = (padding, axes.file_axes().iter().position(|&axis| axis == 2)) {
            padding::replace(&mut image, slices, padding, scan_air(&intensities));
        }
        if let Some(shear) = &shear {
            if let Some(error) = intensity::not_finite(&image) {
                return Err(in_the_file(error, &image, &axes).into());
            }
            if intensities.unlike_hounsfield.is_none() {
                // Before voxels are mixed: padding far below air would darken the body beside it.
                intensity::clear_padding(&mut image);
            }
            image = shear.straighten(image.view(), scan_air(&intensities))?;
        }
        let air = Air::of(&image);
        done("orient");
        let unlike_a_body = intensities.below_air > 0 || intensities.above_body > 0;
        let normalised = if as_a_body && unlike_a_body && intensities.unlike_hounsfield.is_none() {
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
        Ok((Self { grid, axes, shear, crop, tables, air }, image))
    }
}

/// The intensity of air in a scan: its darkest one that is not padding.
fn scan_air(intensities: &Intensities) -> f32 {
    let Intensities { minimum, unlike_hounsfield, .. } = intensities;
    match unlike_hounsfield {
        Some(_) => *minimum,
        None if *minimum > BRIGHTEST_AIR_HU => AIR_HU,
        None => minimum.max(AIR_HU),
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
