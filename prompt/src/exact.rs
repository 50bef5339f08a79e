//! A box that keeps its own voxels, as the SegFM program takes it.

use segvol_base::{Warning, WarningCode};
use segvol_scan::resize::nearest_index;

use crate::place::Placer;
use crate::prompt::{Prompt, PromptError};

/// A box, maximum inclusive, in voxels `(d, h, w)`.
pub type BoxDhw = [[usize; 3]; 2];

/// A box in the crop's own voxels, and what is left of it in the zoom-out window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactBox {
    /// The part of the box that is in the crop; `None` if it is in the air around the body.
    pub in_crop: Option<BoxDhw>,
    /// The voxels of the zoom-out window that show it.
    ///
    /// # Quirk
    ///
    /// The program resizes the box's map by `nearest`, which skips voxels of a large scan: a thin box may be in none.
    pub in_window: Option<BoxDhw>,
}

impl Placer<'_> {
    /// Converts a prompt's box to voxels of the crop. A box that is lost, in the air or by resizing, is a warning.
    ///
    /// # Errors
    ///
    /// [`PromptError::Empty`] without a box, [`PromptError::NotFinite`], [`PromptError::OutsideScan`] or
    /// [`PromptError::Inverted`].
    ///
    /// # Source
    ///
    /// Yuxin-Du-Lab/SegVol-for-SegFM@7708634, `segvol/model_segvol_single.py`, `zoom_transform_case`.
    pub fn place_exactly(&self, prompt: &Prompt, warnings: &mut Vec<Warning>) -> Result<ExactBox, PromptError> {
        let Some(given) = prompt.bounding_box else {
            return Err(PromptError::Empty { object: prompt.name().to_owned() });
        };
        let [low, high] = self.box_in_scan(prompt, given)?;
        let (start, shape) = (self.crop.start_dhw, self.crop.shape_dhw());
        let [low, high] = [low, high]
            .map(|corner| -> [isize; 3] { std::array::from_fn(|axis| corner[axis] as isize - start[axis] as isize) });
        let meets = (0..3).all(|axis| high[axis] >= 0 && low[axis] < shape[axis] as isize);
        let inside = |corner: [isize; 3]| -> [usize; 3] {
            std::array::from_fn(|axis| corner[axis].clamp(0, shape[axis] as isize - 1) as usize)
        };
        let in_crop = meets.then(|| [inside(low), inside(high)]);
        let in_window = in_crop.and_then(|corners| shown(corners, shape, self.window_dhw));
        if in_window.is_none() {
            let why = match in_crop {
                None => "it is in the air around the body",
                Some(_) => "it is so thin that resizing the scan skips it",
            };
            let message = format!(
                "object {:?}: the program of this profile does not see the box in its zoom-out pass: {why}",
                prompt.name()
            );
            warnings.push(Warning::new(WarningCode::PromptLost, message));
        }
        Ok(ExactBox { in_crop, in_window })
    }
}

/// The voxels of the window that show a box of the crop when its map is resized by `nearest`.
fn shown([low, high]: BoxDhw, crop: [usize; 3], window: [usize; 3]) -> Option<BoxDhw> {
    let mut found = [[0; 3]; 2];
    for axis in 0..3 {
        let shows = |&w: &usize| (low[axis]..=high[axis]).contains(&nearest_index(w, crop[axis], window[axis]));
        found[0][axis] = (0..window[axis]).find(shows)?;
        found[1][axis] = (0..window[axis]).rev().find(shows)?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use segvol_scan::crop::Crop;
    use segvol_volume::{Affine, AxisMap, Orientation, Volume};

    use super::*;
    use crate::prompt::Space;

    /// 8 x 20 x 9 voxels `(i, j, k)` of 2 mm; the crop is `d` 1..7, `h` 2..18, `w` 0..8.
    fn place(prompt: &Prompt) -> (Result<ExactBox, PromptError>, Vec<Warning>) {
        let affine = Affine::new([[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]]);
        let volume = Volume::new([8, 20, 9], vec![0.0; 8 * 20 * 9], affine).expect("a volume");
        let axes = AxisMap::new(volume.grid(), Orientation::Stored);
        let crop = Crop { start_dhw: [1, 2, 0], end_dhw: [7, 18, 8], padded_offset_dhw: [0; 3] };
        let mut warnings = Vec::new();
        let placed = Placer::new(volume.grid(), &axes, &crop, [3, 8, 16]).place_exactly(prompt, &mut warnings);
        (placed, warnings)
    }

    #[test]
    fn a_box_is_cut_at_the_crop_and_resized() {
        let prompt = Prompt::new().bounding_box([1.0, 0.0, 2.0], [3.0, 5.0, 8.0]);
        let expected = ExactBox {
            in_crop: Some([[1, 0, 1], [5, 3, 3]]),
            // d: 0, 2, 4 of the crop are shown; h: every second voxel; w: each voxel twice.
            in_window: Some([[1, 0, 2], [2, 1, 7]]),
        };
        let (placed, warnings) = place(&prompt);
        assert_eq!(placed.expect("inside"), expected);
        assert_eq!(warnings, []);
        let in_mm = Prompt::new().bounding_box([2.0, 0.0, 4.0], [6.0, 10.0, 16.0]).space(Space::Ras);
        assert_eq!(place(&in_mm).0.expect("inside"), expected);
    }

    #[test]
    fn a_box_that_is_lost_has_a_warning() {
        let (thin, warnings) = place(&Prompt::new().bounding_box([1.0, 3.0, 2.0], [3.0, 3.0, 2.0]));
        assert_eq!(thin.expect("inside"), ExactBox { in_crop: Some([[1, 1, 1], [1, 1, 3]]), in_window: None });
        assert!(warnings[0].message.contains("so thin"), "{warnings:?}");
        let (air, warnings) = place(&Prompt::new().bounding_box([0.0, 18.0, 0.0], [7.0, 19.0, 8.0]));
        assert_eq!(air.expect("inside"), ExactBox { in_crop: None, in_window: None });
        assert_eq!(warnings[0].code, WarningCode::PromptLost);
        assert!(place(&Prompt::new().bounding_box([0.0, 0.0, 0.0], [8.0, 1.0, 1.0])).0.is_err(), "outside the scan");
        assert!(place(&Prompt::new().bounding_box([3.0, 0.0, 0.0], [2.0, 1.0, 1.0])).0.is_err(), "inverted");
        assert!(place(&Prompt::text("liver")).0.is_err(), "no box");
    }
}
