//! Positions of the sliding windows of the zoom-in pass.

/// The distance in voxels between the starts of neighbouring windows along an axis: `int(window * (1 - overlap))`, at
/// least 1.
///
/// `window` is the window's length in voxels, `overlap` the fraction of it that neighbouring windows share.
///
/// # Source
/// MONAI 0.9.0, `monai/inferers/utils.py`, `_get_scan_interval`.
pub fn window_step(window: usize, overlap: f64) -> usize {
    ((window as f64 * (1.0 - overlap)) as usize).max(1)
}

/// The first voxel of every window along an axis of `size` voxels.
///
/// The starts are `step` voxels apart. The last window is shifted back so that it ends at the end of the axis.
/// An axis that is not longer than the window has one window, at 0; the caller must pad the axis.
///
/// # Source
/// MONAI 0.9.0, `monai/data/utils.py`, `dense_patch_slices`.
pub fn window_starts(size: usize, window: usize, step: usize) -> Vec<usize> {
    let last = size.saturating_sub(window);
    (0..last).step_by(step.max(1)).chain([last]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_starts() {
        assert_eq!(window_starts(32, 32, 16), [0]);
        assert_eq!(window_starts(20, 32, 16), [0]);
        assert_eq!(window_starts(33, 32, 16), [0, 1]);
        assert_eq!(window_starts(64, 32, 16), [0, 16, 32]);
        assert_eq!(window_starts(65, 32, 16), [0, 16, 32, 33]);
        assert_eq!(window_step(256, 0.5), 128);
        assert_eq!(window_step(1, 0.5), 1);
        assert_eq!(window_step(7, 0.5), 3);
    }

    /// MONAI's own loop: the last window is at the first multiple of the step whose window reaches the end.
    fn dense_patch_starts(size: usize, window: usize, step: usize) -> Vec<usize> {
        let size = size.max(window);
        let steps = size.div_ceil(step);
        let count = (0..steps).find(|i| i * step + window >= size).map_or(1, |last| last + 1);
        (0..count).map(|i| i * step - (i * step + window).saturating_sub(size)).collect()
    }

    proptest! {
        #[test]
        fn starts_are_monai_s(size in 1_usize..600, window in 1_usize..300) {
            let step = window_step(window, 0.5);
            prop_assert_eq!(window_starts(size, window, step), dense_patch_starts(size, window, step));
        }

        #[test]
        fn every_voxel_is_covered(size in 1_usize..600, window in 1_usize..300, step in 1_usize..300) {
            let step = step.min(window);
            let starts = window_starts(size, window, step);
            for voxel in 0..size.max(window) {
                prop_assert!(starts.iter().any(|&start| (start..start + window).contains(&voxel)), "voxel {}", voxel);
            }
        }
    }
}
