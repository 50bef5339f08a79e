//! Embeddings of a scan's windows in a folder, from one process to the next.

use ndarray::Array3;
use ndarray::parallel::prelude::*;
use segvol_base::Warning;
use segvol_store::{Key, Store, digest};

use super::options::StudyOptions;
use crate::stages::{ImageEmbedding, Stages};
use segvol_windows::{Frame, WindowKey};

/// Changes whenever the image of a window is made in another way from the same crop; so does the version of this crate.
const CUT: u32 = 1;
/// The item of the zoom-out window, whose image is resized by `nearest-exact`.
const ZOOM_OUT: &str = "out";
/// The same, resized by `nearest`.
const ZOOM_OUT_NEAREST: &str = "out_nearest";
/// The first word of the item of a zoom-in window; nine numbers follow.
const ZOOM_IN: &str = "in";

/// The embeddings of one scan by one image encoder, in a folder with those of others.
///
/// | an embedding depends on                                                      | where it is           |
/// |------------------------------------------------------------------------------|-----------------------|
/// | every voxel of the normalised crop: scan, orientation, profile               | hash of the group     |
/// | bundle, provider with its options, precision, ONNX Runtime, processor        | hash of the group     |
/// | the version of this crate                                                    | hash of the group     |
/// | the window                                                                   | item                  |
///
/// So an embedding from the folder has the bits that encoding its window again would give.
#[derive(Debug)]
pub(crate) struct StoredEmbeddings {
    store: Store,
    group: [u8; 32],
    /// Values of an embedding.
    elements: usize,
    crop: [usize; 3],
    window: [usize; 3],
    /// The item of this study's zoom-out window.
    zoom_out: &'static str,
}

impl StoredEmbeddings {
    /// The embeddings of a normalised crop, `[D, H, W]`; `None` if the options name no folder.
    pub(crate) fn of(options: &StudyOptions, stages: &Stages, image: &Array3<f32>) -> Option<Self> {
        let folder = options.embeddings.as_deref()?;
        let architecture = stages.architecture();
        let crop = <[usize; 3]>::from(image.dim());
        let slices: Vec<[u8; 32]> = image.outer_iter().into_par_iter().map(hash_of).collect();
        let cut = format!("segvol {} {CUT} {crop:?}", env!("CARGO_PKG_VERSION"));
        let group = digest(&[cut.as_bytes(), &slices.concat(), stages.encoder().as_bytes()]);
        Some(Self {
            store: Store::new(folder, options.embeddings_bytes),
            group,
            elements: architecture.image_tokens() * architecture.channels,
            crop,
            window: architecture.window_dhw,
            zoom_out: if options.profile.resizes_by_nearest() { ZOOM_OUT_NEAREST } else { ZOOM_OUT },
        })
    }

    fn key(&self, window: &WindowKey) -> Key {
        match window {
            WindowKey::ZoomOut => Key::new(self.group, self.zoom_out),
            WindowKey::ZoomIn(frame) => Key::new(self.group, &item(frame)),
        }
    }

    /// Whether there is a file for the window. It may be damaged.
    pub(crate) fn has(&self, window: &WindowKey) -> bool {
        self.store.has(&self.key(window))
    }

    /// The embedding of a window, on the host; `None` if it must be encoded.
    pub(crate) fn get(&self, window: &WindowKey) -> Option<ImageEmbedding> {
        let bytes = self.store.get(&self.key(window), self.elements * size_of::<f32>())?;
        ImageEmbedding::from_bytes(&bytes, self.elements)
    }

    /// Keeps the embedding of a window. A failure is a warning.
    pub(crate) fn put(&self, window: &WindowKey, embedding: &ImageEmbedding) {
        match embedding.to_bytes() {
            Ok(bytes) => self.store.put(&self.key(window), &bytes),
            Err(error) => self.store.put_failed(&error.to_string()),
        }
    }

    /// The zoom-in windows with a file, in raster order. No file is read.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        let mut frames: Vec<Frame> = self.store.items(&self.group).iter().filter_map(|item| self.frame(item)).collect();
        frames.sort();
        frames
    }

    /// The window of an item; `None` for the zoom-out window, and for what is no window of this crop.
    fn frame(&self, text: &str) -> Option<Frame> {
        let mut words = text.split('_');
        words.next().filter(|&word| word == ZOOM_IN)?;
        let numbers = words.map(|word| word.parse().ok()).collect::<Option<Vec<isize>>>()?;
        let numbers: [isize; 9] = numbers.try_into().ok()?;
        let part = |first: usize, axis: usize| usize::try_from(numbers[first + axis]).ok();
        let visible = |axis: usize| Some((part(3, axis)?, part(6, axis)?));
        let frame = Frame {
            start: std::array::from_fn(|axis| numbers[axis]),
            visible: [visible(0)?, visible(1)?, visible(2)?],
        };
        (frame.fits(self.crop, self.window) && item(&frame) == text).then_some(frame)
    }

    pub(crate) fn warnings(&self) -> Vec<Warning> {
        self.store.warnings()
    }
}

/// A window's start, and the first and the end of the voxels that it shows, each per axis.
fn item(frame: &Frame) -> String {
    let [start, begin, end] = [
        frame.start.map(|start| start.to_string()),
        frame.visible.map(|(begin, _)| begin.to_string()),
        frame.visible.map(|(_, end)| end.to_string()),
    ];
    format!("{ZOOM_IN}_{}_{}_{}", start.join("_"), begin.join("_"), end.join("_"))
}

/// The hash of one slice, `[H, W]`, of the crop.
fn hash_of(slice: ndarray::ArrayView2<'_, f32>) -> [u8; 32] {
    let bytes: Vec<u8> = slice.iter().flat_map(|value| value.to_le_bytes()).collect();
    digest(&[&bytes])
}

#[cfg(test)]
mod tests {
    use super::*;
    use segvol_windows::Region;
    use segvol_windows::frames_over_region;

    #[test]
    fn only_windows_of_the_crop_are_read_from_names() {
        let (crop, window) = ([30, 41, 17], [8, 16, 32]);
        let store = Store::new(std::path::Path::new("nowhere"), 0);
        let stored = StoredEmbeddings { store, group: [0; 32], elements: 1, crop, window, zoom_out: ZOOM_OUT };
        let region = Region { min_dhw: [3, 0, 0], max_dhw: [20, 40, 16] };
        let frames = frames_over_region(&region, window, 0.5);
        assert!(frames.len() > 10 && frames.iter().any(|frame| frame.start[2] < 0));
        for frame in &frames {
            assert_eq!(stored.frame(&item(frame)).as_ref(), Some(frame));
        }
        for text in [
            "out",
            "out_nearest",
            "in",
            "in_0_0_0_0_0_0_8_16",
            "in_0_0_0_0_0_0_8_16_17_0",
            "on_0_0_0_0_0_0_8_16_17",
            "in_0_0_0_0_0_0_8_16_18",
            "in_0_0_0_0_0_0_9_16_17",
            "in_0_0_0_8_0_0_8_16_17",
            "in_4_0_0_0_0_0_8_16_17",
            "in_0_0_0_-1_0_0_8_16_17",
            "in_00_0_0_0_0_0_8_16_17",
            "in_9223372036854775807_0_0_0_0_0_8_16_17",
        ] {
            assert_eq!(stored.frame(text), None, "{text}");
        }
        assert!(stored.frame("in_0_0_0_0_0_0_8_16_17").is_some());
    }

    #[test]
    fn every_voxel_and_its_place_count() {
        let image = ndarray::Array2::from_shape_fn((3, 4), |(h, w)| (h * 4 + w) as f32);
        let reversed = image.slice(ndarray::s![.., ..;-1]);
        assert_eq!(hash_of(image.view()), hash_of(image.clone().view()));
        assert_ne!(hash_of(image.view()), hash_of(reversed));
        let mut other = image.clone();
        other[[2, 3]] = f32::from_bits(11_f32.to_bits() ^ 1);
        assert_ne!(hash_of(image.view()), hash_of(other.view()));
    }
}
