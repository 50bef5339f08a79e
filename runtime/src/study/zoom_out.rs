//! The zoom-out pass: the whole crop in one window. Its mask gives the region for the zoom-in pass.

use ndarray::Array3;
use segvol_base::memory;

use super::object::Object;
use super::windows::Windows;
use crate::error::Error;
use crate::stages::WindowPrompt;
use segvol_prompt::BoxDhw;
use segvol_scan::resize::IndexTables;
use segvol_windows::{Region, WindowKey, bounding_box};

/// Logits of the zoom-out pass for every object, `[D, H, W]` of the window.
pub(crate) fn zoom_out(windows: &Windows, objects: &[Object]) -> Result<Vec<Array3<f32>>, Error> {
    windows.check_memory(objects.len())?;
    let voxels = windows.window_dhw().iter().product::<usize>();
    memory::check_available::<f32>("the logits of the zoom-out pass", objects.len() * voxels)?;
    let prompts: Vec<WindowPrompt<'_>> = objects.iter().map(Object::in_zoom_out_window).collect();
    let whole = || windows.timed("cut", || windows.image_of(&WindowKey::ZoomOut));
    let low_res = windows.decode(&WindowKey::ZoomOut, whole, &prompts)?; // [P, D/4, H/4, W/4]
    Ok(low_res.outer_iter().map(|logits| windows.upsample(logits)).collect())
}

/// The region of the zoom-in pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionOfInterest {
    /// The region, inside the crop.
    pub region: Region,
    /// The region's largest voxel, inclusive, before it was cut at the crop's border.
    ///
    /// # Quirk
    ///
    /// The released code cuts at the crop's size, which is one too many. Its slice is then shorter than the indices say.
    pub max_before_cut_dhw: [usize; 3],
}

/// The region around all voxels with a positive logit, enlarged to at least one window if the crop is large enough.
/// `None` if no voxel is positive.
///
/// `tables` map a crop voxel to the voxel of `logits`, `[D, H, W]` of the zoom-out window, that shows it. `map` is the user's box
/// in voxels of the crop, if the region contains it too, as in Yuxin-Du-Lab/SegVol-for-SegFM@7708634.
///
/// # Source
///
/// BAAI-DCAI/SegVol@5768c97, `utils/monai_inferers_utils.py`, `logits2roi_coor`.
pub(crate) fn region_of_interest(
    logits: &Array3<f32>,
    map: Option<BoxDhw>,
    tables: &IndexTables,
    window: [usize; 3],
) -> Option<RegionOfInterest> {
    let crop: [usize; 3] = std::array::from_fn(|axis| tables[axis].len());
    let mask = bounding_box(tables, crop.map(|n| 0..n), |voxel| logits[voxel] > 0.0);
    let map = map.map(|[min_dhw, max_dhw]| Region { min_dhw, max_dhw });
    let mask = mask.into_iter().chain(map).reduce(Region::and)?;
    let extent = mask.shape_dhw();
    let half: [usize; 3] = std::array::from_fn(|axis| window[axis].saturating_sub(extent[axis]) / 2);
    let min_dhw = std::array::from_fn(|axis| mask.min_dhw[axis].saturating_sub(half[axis]));
    let max_before_cut_dhw: [usize; 3] = std::array::from_fn(|axis| crop[axis].min(mask.max_dhw[axis] + half[axis]));
    let max_dhw = std::array::from_fn(|axis| max_before_cut_dhw[axis].min(crop[axis] - 1));
    Some(RegionOfInterest { region: Region { min_dhw, max_dhw }, max_before_cut_dhw })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(n: usize) -> Vec<usize> {
        (0..n).collect()
    }

    #[test]
    fn a_small_mask_grows_to_a_window_and_a_large_one_stays() {
        let tables = [identity(20), identity(20), identity(20)];
        let mut logits = Array3::from_elem([20, 20, 20], -1.0);
        for voxel in [[9, 2, 1], [10, 17, 18]] {
            logits[voxel] = 1.0;
        }
        let found = region_of_interest(&logits, None, &tables, [8, 8, 8]).expect("two voxels are positive");
        assert_eq!(found.region, Region { min_dhw: [6, 2, 1], max_dhw: [13, 17, 18] });
        assert_eq!(found.max_before_cut_dhw, [13, 17, 18]);
    }

    #[test]
    fn the_greatest_voxel_before_the_cut_may_be_the_size() {
        let tables = [identity(6), identity(6), identity(6)];
        let mut logits = Array3::from_elem([6, 6, 6], -1.0);
        logits[[5, 5, 5]] = 1.0;
        let found = region_of_interest(&logits, None, &tables, [8, 8, 8]).expect("one voxel is positive");
        assert_eq!(found.max_before_cut_dhw, [6, 6, 6]);
        assert_eq!(found.region, Region { min_dhw: [2, 2, 2], max_dhw: [5, 5, 5] });
    }

    #[test]
    fn no_positive_voxel_is_no_region() {
        let tables = [identity(4), identity(4), identity(4)];
        let nothing = Array3::zeros([4, 4, 4]);
        assert_eq!(region_of_interest(&nothing, None, &tables, [2, 2, 2]), None);
        let map = Some([[1, 0, 2], [1, 3, 2]]);
        let found = region_of_interest(&nothing, map, &tables, [2, 2, 2]).expect("the map is enough");
        assert_eq!(found.region, Region { min_dhw: [1, 0, 2], max_dhw: [1, 3, 2] });
        let mut logits = nothing;
        logits[[0, 1, 3]] = 1.0;
        let found = region_of_interest(&logits, map, &tables, [2, 2, 2]).expect("both");
        assert_eq!(found.region, Region { min_dhw: [0, 0, 2], max_dhw: [1, 3, 3] });
    }
}
