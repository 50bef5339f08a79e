//! Scans for a comparison: windows cut from them, and masks from end to end.

use std::path::PathBuf;
use std::time::Instant;

use ndarray::{Array3, ArrayView3, s};
use segvol::resize::resize_nearest_exact;
use segvol::{Model, Prompt, ReadOptions, Volume};

use crate::error::Error;
use crate::prompts::Case;
use crate::record::Record;

/// Scans, and what to segment in each.
#[derive(Debug, Clone, Default)]
pub struct Scans {
    /// NIfTI files.
    pub files: Vec<PathBuf>,
    /// What to segment. If empty: "liver" by text, and the middle of the scan by box.
    pub prompts: Vec<Prompt>,
    /// How the files are read.
    pub read: ReadOptions,
}

impl Scans {
    /// Segments every scan. Returns the masks, the time in milliseconds, and two windows per scan: the zoom-out window, and
    /// one at full resolution from the middle.
    ///
    /// # Errors
    ///
    /// As for [`Volume::open_with`] and [`segvol::Study::segment_all`].
    pub fn run(&self, model: &Model) -> Result<(Record, Vec<Case>), Error> {
        let window_dhw = model.stages().architecture().window_dhw;
        let (mut record, mut cases) = (Record::default(), Vec::new());
        let mut elapsed_ms = 0.0;
        for (index, file) in self.files.iter().enumerate() {
            let name = file.file_name().map_or_else(|| file.to_string_lossy(), |name| name.to_string_lossy());
            let volume = Volume::open_with(file, &self.read).map_err(segvol::Error::from)?;
            let prompts =
                if self.prompts.is_empty() { default_prompts(volume.shape_xyz()) } else { self.prompts.clone() };
            let start = Instant::now();
            let study = model.study(volume)?;
            let segmentations = study.segment_all(&prompts)?;
            elapsed_ms += start.elapsed().as_secs_f64() * 1e3;
            for (object, segmentation) in segmentations.iter().enumerate() {
                let mask = segmentation.mask()?;
                segvol_base::memory::check_available::<u8>("a mask to compare", mask.labels().len())?;
                let inside = |at| mask.labels().get(at).is_some_and(|label| label > 0);
                let labels = (0..mask.labels().len()).map(|at| u8::from(inside(at)));
                record.masks.insert(format!("{index}.{name}/mask.{object}.{}", segmentation.name()), labels.collect());
            }
            let image = study.image().view();
            for (kind, window) in
                [("zoom_out", resize_nearest_exact(image, window_dhw)), ("middle", middle(image, window_dhw))]
            {
                cases.push(Case::of_scan(format!("{index}.{name}/{kind}/"), window.into_raw_vec_and_offset().0));
            }
        }
        if !self.files.is_empty() {
            record.metadata.insert("ms.masks".to_owned(), elapsed_ms.to_string());
        }
        Ok((record, cases))
    }
}

fn default_prompts(shape_xyz: [usize; 3]) -> Vec<Prompt> {
    let at = |quarters: usize| shape_xyz.map(|n| (quarters * (n - 1) / 4) as f64);
    vec![Prompt::text("liver"), Prompt::new().bounding_box(at(1), at(3)).named("box")]
}

/// The middle of an image, with the shape of the window, `[D, H, W]`. Zeros where the image is smaller.
fn middle(image: ArrayView3<'_, f32>, window_dhw: [usize; 3]) -> Array3<f32> {
    let mut window = Array3::zeros(window_dhw);
    let shape = image.shape();
    let size: [usize; 3] = std::array::from_fn(|axis| shape[axis].min(window_dhw[axis]));
    let from = |n: usize, size: usize| (n - size) / 2;
    let [d, h, w]: [usize; 3] = std::array::from_fn(|axis| from(shape[axis], size[axis]));
    let [pd, ph, pw]: [usize; 3] = std::array::from_fn(|axis| from(window_dhw[axis], size[axis]));
    let part = image.slice(s![d..d + size[0], h..h + size[1], w..w + size[2]]);
    window.slice_mut(s![pd..pd + size[0], ph..ph + size[1], pw..pw + size[2]]).assign(&part);
    window
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_cut_out_or_padded_axis_by_axis() {
        let image = Array3::from_shape_fn((1, 5, 4), |(_, h, w)| (10 * h + w) as f32);
        let found = middle(image.view(), [3, 3, 4]);
        assert_eq!(found[[0, 0, 0]], 0.0);
        assert_eq!(
            found.index_axis(ndarray::Axis(0), 1).rows().into_iter().next().map(|row| row.to_vec()),
            Some(vec![10.0, 11.0, 12.0, 13.0])
        );
        assert_eq!(found[[2, 2, 3]], 0.0);
    }
}
