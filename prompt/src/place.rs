//! Converts the coordinates of a prompt to voxels of the zoom-out window, and to voxels of the file.

use segvol_base::{Warning, WarningCode};
use segvol_volume::grid::{bounds, corners};
use segvol_volume::{AxisMap, BoundingBox, Grid, Marks, PointLabel};

use crate::prompt::{Prompt, PromptError, Space};
use segvol_scan::crop::Crop;
use segvol_scan::resize::{nearest_exact_index, nearest_index};
use segvol_scan::shear::Shear;

/// A prompt's points and box in voxels of the zoom-out window, `(d, h, w)`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlacedPrompt {
    /// Points, and whether they are inside the object.
    pub points: Vec<([usize; 3], PointLabel)>,
    /// The smallest and the largest voxel, both inclusive.
    pub bounding_box: Option<[[usize; 3]; 2]>,
}

/// Converts the user's coordinates to voxels of the zoom-out window.
#[derive(Debug)]
pub struct Placer<'a> {
    grid: &'a Grid,
    /// From the file's axes to the model's.
    pub axes: &'a AxisMap,
    /// The part of the oriented scan that the model sees.
    pub crop: &'a Crop,
    /// From the oriented scan to the rectangular volume that the model sees, if it is sheared.
    shear: Option<&'a Shear>,
    /// The size of the zoom-out window, in voxels.
    pub window_dhw: [usize; 3],
}

impl<'a> Placer<'a> {
    /// For a scan on `grid`.
    #[must_use]
    pub fn new(grid: &'a Grid, axes: &'a AxisMap, crop: &'a Crop, window_dhw: [usize; 3]) -> Self {
        Self { grid, axes, crop, shear: None, window_dhw }
    }

    /// For a scan that is straightened before the model sees it. Points keep their places in the patient. A box becomes the box
    /// around its eight corners, so that it still contains the whole object, whatever its form.
    #[must_use]
    pub fn straightened(self, shear: Option<&'a Shear>) -> Self {
        Self { shear, ..self }
    }

    /// Converts a prompt's points and box to voxels of the zoom-out window.
    ///
    /// A point or box that is inside the scan but outside the crop (in the air) is moved to the border of the crop, and
    /// `warnings` gets a message.
    ///
    /// # Errors
    ///
    /// [`PromptError::Empty`], [`PromptError::NotFinite`], [`PromptError::OutsideScan`] or [`PromptError::Inverted`].
    pub fn place(&self, prompt: &Prompt, warnings: &mut Vec<Warning>) -> Result<PlacedPrompt, PromptError> {
        if prompt.as_text().is_none() && prompt.points.is_empty() && prompt.bounding_box.is_none() {
            return Err(PromptError::Empty { object: prompt.name().to_owned() });
        }
        let points = prompt.points.iter();
        let points = points.map(|&(at, label)| Ok((self.place_point(prompt, at, warnings)?, label)));
        let points = points.collect::<Result<_, PromptError>>()?;
        let bounding_box = prompt.bounding_box.map(|given| self.place_box(prompt, given, warnings)).transpose()?;
        Ok(PlacedPrompt { points, bounding_box })
    }

    fn place_point(
        &self,
        prompt: &Prompt,
        at: [f64; 3],
        warnings: &mut Vec<Warning>,
    ) -> Result<[usize; 3], PromptError> {
        let what = format!("point {}", tuple(&at));
        self.check_inside(prompt, at, &what)?;
        if prompt.space == Space::Window {
            return Ok(at.map(nearest_voxel));
        }
        let voxel_dhw = self.scan_voxel_dhw(prompt.space, at);
        let crop_shape = self.crop.shape_dhw();
        let crop_voxel: [usize; 3] = std::array::from_fn(|axis| {
            voxel_dhw[axis].saturating_sub(self.crop.start_dhw[axis]).min(crop_shape[axis] - 1)
        });
        if (0..3).any(|axis| crop_voxel[axis] + self.crop.start_dhw[axis] != voxel_dhw[axis]) {
            let message = format!(
                "object {:?}: {what} in space `{}` is in the air around the body; it was moved to the nearest voxel of the body's bounding box",
                prompt.name(),
                prompt.space.name()
            );
            warnings.push(Warning::new(WarningCode::PromptMoved, message));
        }
        Ok(std::array::from_fn(|axis| window_voxel(crop_voxel[axis], crop_shape[axis], self.window_dhw[axis])))
    }

    fn place_box(
        &self,
        prompt: &Prompt,
        given: BoundingBox,
        warnings: &mut Vec<Warning>,
    ) -> Result<[[usize; 3]; 2], PromptError> {
        let what = described(&given);
        if prompt.space == Space::Window {
            self.check_box(prompt, &given)?;
            return Ok([given.min.map(nearest_voxel), given.max.map(nearest_voxel)]);
        }
        let [low, high] = self.box_in_scan(prompt, given)?;
        let crop_shape = self.crop.shape_dhw();
        let start = self.crop.start_dhw;
        let into_crop = |voxel: [usize; 3]| -> [usize; 3] {
            std::array::from_fn(|axis| voxel[axis].saturating_sub(start[axis]).min(crop_shape[axis] - 1))
        };
        let (crop_low, crop_high) = (into_crop(low), into_crop(high));
        if (0..3).any(|axis| high[axis] < start[axis] || low[axis] >= start[axis] + crop_shape[axis]) {
            let message = format!(
                "object {:?}: {what} in space `{}` is in the air around the body; it was moved to the nearest voxels of the body's bounding box",
                prompt.name(),
                prompt.space.name()
            );
            warnings.push(Warning::new(WarningCode::PromptMoved, message));
        }
        let spans: [[usize; 2]; 3] = std::array::from_fn(|axis| {
            window_span(crop_low[axis], crop_high[axis], crop_shape[axis], self.window_dhw[axis])
        });
        Ok([spans.map(|span| span[0]), spans.map(|span| span[1])])
    }

    /// The smallest and the largest voxel of the oriented scan that a box contains, both inclusive. Its space is not the window.
    pub(crate) fn box_in_scan(&self, prompt: &Prompt, given: BoundingBox) -> Result<[[usize; 3]; 2], PromptError> {
        self.check_box(prompt, &given)?;
        // The axes of the space and of the scan may differ by any rotation, so all eight corners are needed.
        let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
        for corner in corners(given.min, given.max) {
            let voxel = self.scan_voxel_dhw(prompt.space, corner);
            low = std::array::from_fn(|axis| low[axis].min(voxel[axis]));
            high = std::array::from_fn(|axis| high[axis].max(voxel[axis]));
        }
        Ok([low, high])
    }

    fn check_box(&self, prompt: &Prompt, given: &BoundingBox) -> Result<(), PromptError> {
        let what = described(given);
        self.check_inside(prompt, given.min, &what)?;
        self.check_inside(prompt, given.max, &what)?;
        if (0..3).any(|axis| given.min[axis] > given.max[axis]) {
            return Err(PromptError::Inverted { object: prompt.name().to_owned(), what });
        }
        Ok(())
    }

    /// The voxel that contains a coordinate, in the volume that the model sees. Coordinates outside the scan are moved to its border.
    fn scan_voxel_dhw(&self, space: Space, at: [f64; 3]) -> [usize; 3] {
        let ijk = self.to_ijk(space, at);
        if let Some(shear) = self.shear {
            let (at, shape) = (shear.to_straight(self.axes.to_dhw(ijk)), shear.shape_dhw());
            return std::array::from_fn(|axis| nearest_voxel(at[axis].clamp(0.0, shape[axis] as f64 - 1.0)));
        }
        let shape = self.grid.shape_xyz();
        let voxel: [f64; 3] =
            std::array::from_fn(|axis| (ijk[axis] + 0.5).floor().clamp(0.0, shape[axis] as f64 - 1.0));
        self.axes.to_dhw(voxel).map(nearest_voxel)
    }

    /// A position in `space` as voxels of the file; in [`Space::Window`], unchanged.
    #[must_use]
    pub fn to_ijk(&self, space: Space, [x, y, z]: [f64; 3]) -> [f64; 3] {
        match space {
            Space::Voxel | Space::Window => [x, y, z],
            Space::Ras => self.grid.inverse().apply([x, y, z]),
            Space::Lps => self.grid.inverse().apply([-x, -y, z]),
        }
    }

    /// Converts a prompt's points and box to voxels of the file. They are not checked, and may be outside the scan.
    #[must_use]
    pub fn marks(&self, prompt: &Prompt) -> Marks {
        let voxel = |at| self.to_file(prompt.space, at);
        let points = prompt.points.iter().map(|&(at, label)| (voxel(at), label)).collect();
        let bounding_box = prompt.bounding_box.map(|given| {
            // The axes of the space and of the file may differ by any rotation, so all eight corners are needed.
            let corners = corners(given.min, given.max).map(|at| voxel(at).map(|index| (index + 0.5).floor()));
            let (min, max) = bounds(corners);
            BoundingBox { min, max }
        });
        Marks { points, bounding_box }
    }

    fn to_file(&self, space: Space, at: [f64; 3]) -> [f64; 3] {
        if space != Space::Window {
            return self.to_ijk(space, at);
        }
        // The centre of the window's voxel, first in voxels of the crop, then of the volume that the model sees.
        let crop = self.crop.shape_dhw();
        let seen = std::array::from_fn(|axis| {
            let scale = crop[axis] as f64 / self.window_dhw[axis] as f64;
            (at[axis] + 0.5) * scale - 0.5 + self.crop.start_dhw[axis] as f64
        });
        self.axes.to_ijk(self.shear.map_or(seen, |shear| shear.to_scan(seen)))
    }

    fn check_inside(&self, prompt: &Prompt, at: [f64; 3], what: &str) -> Result<(), PromptError> {
        let object = || prompt.name().to_owned();
        if at.iter().any(|c| !c.is_finite()) {
            return Err(PromptError::NotFinite { object: object(), what: what.to_owned() });
        }
        let shape = if prompt.space == Space::Window { self.window_dhw } else { self.grid.shape_xyz() };
        let ijk = self.to_ijk(prompt.space, at);
        // A voxel extends half its size around its centre. The tolerance is for coordinates that were rounded as text.
        let inside = |axis: usize| (-0.5 - 1e-6..=shape[axis] as f64 - 0.5 + 1e-6).contains(&ijk[axis]);
        if (0..3).all(inside) {
            return Ok(());
        }
        let (what, space) = (what.to_owned(), prompt.space);
        Err(PromptError::OutsideScan { object: object(), what, space, scan: self.describe_scan(space) })
    }

    /// The extent of the scan in words, for users whose prompt is outside.
    fn describe_scan(&self, space: Space) -> String {
        let last = |shape: [usize; 3]| tuple(&shape.map(|n| n as f64 - 1.0));
        match space {
            Space::Voxel => format!("voxels (0, 0, 0) to {}", last(self.grid.shape_xyz())),
            Space::Window => format!("voxels (0, 0, 0) to {} of the zoom-out window, (d, h, w)", last(self.window_dhw)),
            Space::Ras | Space::Lps => {
                let (low, high) = bounds(self.grid.corners_ijk().map(|ijk| {
                    let [x, y, z] = self.grid.affine().apply(ijk);
                    if space == Space::Lps { [-x, -y, z] } else { [x, y, z] }
                }));
                // Adding 0 turns -0 into 0.
                let round = |mm: [f64; 3]| tuple(&mm.map(|c| (c * 10.0).round() / 10.0 + 0.0));
                format!("within {} to {} mm", round(low), round(high))
            }
        }
    }
}

/// The window voxel at the centre of crop voxel `v`: `floor((v + 0.5) * window / crop)`.
fn window_voxel(v: usize, crop: usize, window: usize) -> usize {
    // Integers: (2v + 1) * window / (2 * crop), rounded down.
    ((2 * v + 1) * window / (2 * crop)).min(window - 1)
}

/// The first and the last window voxel of the crop voxels `low..=high`.
///
/// It is the smallest span that contains every one of these crop voxels in both directions of resizing: from the crop to
/// the window (`nearest-exact`) and back (`nearest`).
fn window_span(low: usize, high: usize, crop: usize, window: usize) -> [usize; 2] {
    let shown = |w: &usize| (low..=high).contains(&nearest_exact_index(*w, crop, window));
    let first = (0..window).find(shown);
    let last = (0..window).rev().find(shown);
    let (back_low, back_high) = (nearest_index(low, window, crop), nearest_index(high, window, crop));
    let low = back_low.min(window_voxel(low, crop, window)).min(first.unwrap_or(usize::MAX));
    let high = back_high.max(window_voxel(high, crop, window)).max(last.unwrap_or(0));
    [low, high]
}

/// The voxel that contains a finite coordinate of at least -0.5.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn nearest_voxel(c: f64) -> usize {
    (c + 0.5).floor().max(0.0) as usize
}

fn described(given: &BoundingBox) -> String {
    format!("box {} to {}", tuple(&given.min), tuple(&given.max))
}

fn tuple(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(f64::to_string).collect();
    format!("({})", values.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use segvol_volume::{Affine, Orientation, Volume};

    use super::*;

    /// 40 x 30 x 20 voxels of 2 x 2 x 3 mm, stored left-posterior-superior. The body is voxels 5..35, 4..24, 2..18.
    fn scan() -> (Volume, AxisMap, Crop) {
        let shape = [40, 30, 20];
        let affine = Affine::new([[-2.0, 0.0, 0.0, 39.0], [0.0, -2.0, 0.0, 58.0], [0.0, 0.0, 3.0, -30.0]]);
        let volume = Volume::new(shape, vec![0.0; 40 * 30 * 20], affine).expect("a plain volume");
        let axes = AxisMap::new(volume.grid(), Orientation::Ras);
        // In RAS, i and j run backwards: i 5..35 is w 5..35, j 4..24 is h 6..26.
        let crop = Crop { start_dhw: [2, 6, 5], end_dhw: [18, 26, 35], padded_offset_dhw: [0; 3] };
        (volume, axes, crop)
    }

    /// A scan with any affine that is not nearly flat, and a crop of it with these relative corners.
    fn any_scan(rows: [[f64; 4]; 3], shape: [usize; 3], inside: [f64; 6]) -> Option<(Volume, AxisMap, Crop)> {
        let affine = Affine::new(rows);
        let box_ml: f64 = affine.spacing_mm().iter().product();
        if affine.determinant().abs() < 0.1 * box_ml {
            return None;
        }
        let volume = Volume::new(shape, vec![0.0; shape.iter().product()], affine).ok()?;
        let axes = AxisMap::new(volume.grid(), Orientation::Ras);
        let at = |relative: f64, axis: usize| (relative * axes.shape_dhw()[axis] as f64) as usize;
        let (a, b): ([usize; 3], [usize; 3]) = (
            std::array::from_fn(|axis| at(inside[axis], axis)),
            std::array::from_fn(|axis| at(inside[3 + axis], axis)),
        );
        let crop = Crop {
            start_dhw: std::array::from_fn(|axis| a[axis].min(b[axis])),
            end_dhw: std::array::from_fn(|axis| a[axis].max(b[axis]) + 1),
            padded_offset_dhw: [0; 3],
        };
        Some((volume, axes, crop))
    }

    fn place(prompt: &Prompt) -> Result<(PlacedPrompt, Vec<Warning>), PromptError> {
        let (volume, axes, crop) = scan();
        let mut warnings = Vec::new();
        let placed = Placer::new(volume.grid(), &axes, &crop, [8, 48, 64]).place(prompt, &mut warnings)?;
        Ok((placed, warnings))
    }

    #[test]
    fn one_point_in_every_space_is_one_place() {
        let spaces =
            [(Space::Voxel, [10.0, 20.0, 9.0]), (Space::Ras, [19.0, 18.0, -3.0]), (Space::Lps, [-19.0, -18.0, -3.0])];
        // d 9 - 2 = 7 of 16; h (29 - 20) - 6 = 3 of 20; w (39 - 10) - 5 = 24 of 30.
        let expected = vec![([7 * 8 / 16, 8, 52], PointLabel::Foreground)];
        for (space, at) in spaces {
            let prompt = Prompt::new().point(at, PointLabel::Foreground).space(space);
            let (placed, warnings) = place(&prompt).expect("inside the scan");
            assert_eq!(placed.points, expected, "{space:?}");
            assert!(warnings.is_empty());
        }
    }

    #[test]
    fn outside_the_scan_is_an_error_that_says_where_the_scan_is() {
        let outside = [
            (Space::Voxel, [40.0, 0.0, 0.0], "voxels (0, 0, 0) to (39, 29, 19)"),
            (Space::Ras, [50.0, 0.0, 0.0], "within (-39, 0, -30) to (39, 58, 27) mm"),
            (Space::Lps, [0.0, 10.0, 0.0], "within (-39, -58, -30) to (39, 0, 27) mm"),
            (Space::Window, [8.0, 0.0, 0.0], "(7, 47, 63) of the zoom-out window"),
        ];
        for (space, at, scan) in outside {
            let prompt = Prompt::new().point(at, PointLabel::Foreground).space(space);
            let error = place(&prompt).expect_err("outside the scan").to_string();
            assert!(error.contains(scan), "{error}");
        }
    }

    #[test]
    fn a_point_in_the_air_is_moved_with_a_warning() {
        let prompt = Prompt::new().point([0.0, 29.0, 9.0], PointLabel::Background);
        let (placed, warnings) = place(&prompt).expect("inside the scan");
        assert_eq!(placed.points, vec![([3, 1, 62], PointLabel::Background)]);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].message.contains("air"), "{warnings:?}");
    }

    #[test]
    fn boxes_that_make_no_sense_are_errors() {
        let inverted = Prompt::new().bounding_box([9.0, 0.0, 0.0], [8.0, 5.0, 5.0]);
        assert!(matches!(place(&inverted), Err(PromptError::Inverted { .. })));
        let nan = Prompt::new().bounding_box([f64::NAN, 0.0, 0.0], [8.0, 5.0, 5.0]);
        assert!(matches!(place(&nan), Err(PromptError::NotFinite { .. })));
        assert!(matches!(place(&Prompt::new().named("x")), Err(PromptError::Empty { .. })));
    }

    proptest! {
        #[test]
        fn a_mapped_box_still_holds_every_voxel(crop in 1_usize..200, window in 1_usize..80, a in 0_usize..200, b in 0_usize..200) {
            let (low, high) = (a.min(b) % crop, a.max(b) % crop);
            let (low, high) = (low.min(high), low.max(high));
            let [first, last] = window_span(low, high, crop, window);
            prop_assert!(first <= last && last < window);
            for v in low..=high {
                prop_assert!((first..=last).contains(&nearest_index(v, window, crop)), "back to crop voxel {v}");
                prop_assert!((first..=last).contains(&window_voxel(v, crop, window)), "centre of crop voxel {v}");
            }
            for w in 0..window {
                if (low..=high).contains(&nearest_exact_index(w, crop, window)) {
                    prop_assert!((first..=last).contains(&w), "window voxel {w} shows the box");
                }
            }
        }

        #[test]
        fn a_voxel_is_one_place_in_every_space(
            rows in prop::array::uniform3(prop::array::uniform4(-3.0_f64..3.0)),
            shape in prop::array::uniform3(1_usize..40),
            window in prop::array::uniform3(1_usize..60),
            inside in prop::array::uniform6(0.0_f64..1.0),
            at in prop::array::uniform3(0.0_f64..1.0),
        ) {
            let Some((volume, axes, crop)) = any_scan(rows, shape, inside) else { return Ok(()) };
            let placer = Placer::new(volume.grid(), &axes, &crop, window);
            let ijk: [f64; 3] = std::array::from_fn(|axis| (at[axis] * shape[axis] as f64).floor());
            let mm = volume.grid().affine().apply(ijk);
            let place = |at, space| {
                let prompt = Prompt::new().point(at, PointLabel::Foreground).space(space);
                placer.place(&prompt, &mut Vec::new()).expect("inside").points[0].0
            };
            let placed = place(ijk, Space::Voxel);
            prop_assert_eq!(place(mm, Space::Ras), placed);
            prop_assert_eq!(place([-mm[0], -mm[1], mm[2]], Space::Lps), placed);
            // A voxel of the window keeps its position. It shows a crop voxel that is at most one step away from the point.
            prop_assert_eq!(place(placed.map(|c| c as f64), Space::Window), placed);
            let dhw = axes.to_dhw(ijk);
            for axis in 0..3 {
                let n = crop.shape_dhw()[axis];
                let expected = (dhw[axis] - crop.start_dhw[axis] as f64).clamp(0.0, n as f64 - 1.0);
                let shown = nearest_exact_index(placed[axis], n, window[axis]) as f64;
                let apart = (n as f64 / window[axis] as f64).ceil();
                prop_assert!((shown - expected).abs() <= apart, "axis {}: {} for {}", axis, shown, expected);
            }
        }

        #[test]
        fn a_box_in_millimetres_holds_every_voxel_in_it(
            rows in prop::array::uniform3(prop::array::uniform4(-3.0_f64..3.0)),
            shape in prop::array::uniform3(1_usize..20),
            window in prop::array::uniform3(1_usize..30),
            inside in prop::array::uniform6(0.0_f64..1.0),
            corners in prop::array::uniform6(0.0_f64..1.0),
            between in prop::array::uniform3(0.0_f64..1.0),
        ) {
            let Some((volume, axes, crop)) = any_scan(rows, shape, inside) else { return Ok(()) };
            let placer = Placer::new(volume.grid(), &axes, &crop, window);
            let corner = |first: usize| -> [f64; 3] {
                std::array::from_fn(|axis| (corners[first + axis] * shape[axis] as f64).floor())
            };
            let affine = volume.grid().affine();
            let (a, b) = (affine.apply(corner(0)), affine.apply(corner(3)));
            let low: [f64; 3] = std::array::from_fn(|axis| a[axis].min(b[axis]));
            let high: [f64; 3] = std::array::from_fn(|axis| a[axis].max(b[axis]));
            // A corner of a rotated box may be outside the scan, which is an error. Only boxes without that error are checked.
            let prompt = Prompt::new().bounding_box(low, high).space(Space::Ras);
            let Ok(placed) = placer.place(&prompt, &mut Vec::new()) else { return Ok(()) };
            let [first, last] = placed.bounding_box.expect("a box");
            let mm: [f64; 3] = std::array::from_fn(|axis| low[axis] + between[axis] * (high[axis] - low[axis]));
            let point = Prompt::new().point(mm, PointLabel::Foreground).space(Space::Ras);
            let Ok(point) = placer.place(&point, &mut Vec::new()) else { return Ok(()) };
            let point = point.points[0].0;
            prop_assert!((0..3).all(|axis| (first[axis]..=last[axis]).contains(&point[axis])), "{:?}", point);
        }

        #[test]
        fn voxels_and_millimetres_agree(i in 0_usize..40, j in 0_usize..30, k in 0_usize..20) {
            let (volume, ..) = scan();
            let ijk = [i as f64, j as f64, k as f64];
            let mm = volume.grid().affine().apply(ijk);
            let in_voxels = Prompt::new().point(ijk, PointLabel::Foreground);
            let in_mm = Prompt::new().point(mm, PointLabel::Foreground).space(Space::Ras);
            let (a, b) = (place(&in_voxels), place(&in_mm));
            prop_assert_eq!(a.expect("inside").0, b.expect("inside").0);
        }
    }
}
