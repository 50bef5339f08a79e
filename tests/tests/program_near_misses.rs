//! Near misses of the released programs: similar but wrong pipelines that the tolerances of `programs.rs` must reject.
//!
//! The SegFM program is written here a second time, voxel by voxel and without any of the runtime's shortcuts, so that one choice
//! at a time can be made wrong. Without a mistake it passes, so the goldens are reached in two ways.

#![allow(clippy::print_stderr, reason = "the counts are quoted in a comment")]

use ndarray::{Array3, ArrayView3, s};
use segvol::resize::{resize_nearest, resize_nearest_exact, resize_trilinear};
use segvol::{Model, Orientation, Profile, StudyOptions, Volume, WindowPrompt};
use segvol_tests::compare::{LOGITS, relative_l2, wrong_signs};
use segvol_tests::golden::{Goldens, Sample, VOLUMES, data};
use segvol_tests::programs::{hugging_face, segfm};
use segvol_tests::{bundle, models};
use segvol_windows::sliding_window::{window_starts, window_step};

/// A wrong choice in the SegFM program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    BoundingBoxForSlabBox,
    RegionWithoutMap,
    MapWithoutPad,
    NearestExactForTheImage,
    NearestExactForTheMap,
    CornersMappedOneByOne,
}

const MISTAKES: [Mistake; 6] = [
    Mistake::BoundingBoxForSlabBox,
    Mistake::RegionWithoutMap,
    Mistake::MapWithoutPad,
    Mistake::NearestExactForTheImage,
    Mistake::NearestExactForTheMap,
    Mistake::CornersMappedOneByOne,
];

struct Program<'a> {
    model: &'a Model,
    /// The normalised crop, `[D, H, W]`.
    image: &'a Array3<f32>,
    window: [usize; 3],
    mistake: Mistake,
}

impl Program<'_> {
    /// The logits of the zoom-out window and of the crop. `map` is 1 in the user's box, `[D, H, W]` of the crop.
    fn run(&self, map: &Array3<f32>, corners: [usize; 6]) -> (Array3<f32>, Array3<f32>) {
        let crop = <[usize; 3]>::from(self.image.dim());
        let resize = |array: &Array3<f32>, wrong| match self.mistake == wrong {
            true => resize_nearest_exact(array.view(), self.window),
            false => resize_nearest(array.view(), self.window),
        };
        let image = resize(self.image, Mistake::NearestExactForTheImage);
        let zoom_out_box = match self.mistake {
            Mistake::CornersMappedOneByOne => std::array::from_fn(|at| {
                let (n, size) = (crop[at % 3] as f32, self.window[at % 3] as f32);
                ((corners[at] as f32 + 0.5) * size / n).floor()
            }),
            _ => self.box_of(&resize(map, Mistake::NearestExactForTheMap)),
        };
        let zoom_out = self.logits(&image, zoom_out_box);
        let mut logits = resize_nearest(zoom_out.view(), crop);
        let mask = logits.mapv(|logit| f32::from(logit > 0.0));
        let mut looked_at = mask.clone();
        if self.mistake != Mistake::RegionWithoutMap {
            looked_at.zip_mut_with(map, |found, &inside| *found = found.max(inside));
        }
        let Some([low, high]) = bounds(looked_at.view()) else { return (zoom_out, logits) };
        let half: [usize; 3] =
            std::array::from_fn(|axis| self.window[axis].saturating_sub(high[axis] - low[axis] + 1) / 2);
        let low: [usize; 3] = std::array::from_fn(|axis| low[axis].saturating_sub(half[axis]));
        let high: [usize; 3] = std::array::from_fn(|axis| (high[axis] + half[axis]).min(crop[axis] - 1));
        let region = s![low[0]..=high[0], low[1]..=high[1], low[2]..=high[2]];
        let zoomed = self.zoom_in(self.image.slice(region), mask.slice(region), map.slice(region));
        logits.slice_mut(region).assign(&zoomed);
        (zoom_out, logits)
    }

    /// The mean logits of the sliding windows of a region.
    fn zoom_in(&self, image: ArrayView3<f32>, mask: ArrayView3<f32>, map: ArrayView3<f32>) -> Array3<f32> {
        let region = <[usize; 3]>::from(image.dim());
        let size: [usize; 3] = std::array::from_fn(|axis| region[axis].max(self.window[axis]));
        let pad: [usize; 3] = std::array::from_fn(|axis| (size[axis] - region[axis]) / 2);
        let padded = |array: ArrayView3<f32>, pad: [usize; 3]| {
            let mut whole = Array3::zeros(size);
            let inside: [_; 3] = std::array::from_fn(|axis| pad[axis]..pad[axis] + region[axis]);
            let [d, h, w] = inside;
            whole.slice_mut(s![d, h, w]).assign(&array);
            whole
        };
        let (image, mask) = (padded(image, pad), padded(mask, pad));
        let map = padded(map, if self.mistake == Mistake::MapWithoutPad { [0; 3] } else { pad });
        let starts: [Vec<usize>; 3] = std::array::from_fn(|axis| {
            window_starts(size[axis], self.window[axis], window_step(self.window[axis], 0.5))
        });
        let single = starts.iter().all(|starts| starts.len() == 1);
        let (mut sum, mut count) = (Array3::<f32>::zeros(size), Array3::<f32>::zeros(size));
        for &d in &starts[0] {
            for &h in &starts[1] {
                for &w in &starts[2] {
                    let here = s![d..d + self.window[0], h..h + self.window[1], w..w + self.window[2]];
                    let shown = if single { map.slice(here) } else { mask.slice(here) };
                    let logits = self.logits(&image.slice(here).to_owned(), self.box_of(&shown.to_owned()));
                    let mut sum = sum.slice_mut(here);
                    sum += &logits;
                    count.slice_mut(here).mapv_inplace(|n| n + 1.0);
                }
            }
        }
        let mean = sum / count;
        mean.slice(s![pad[0]..pad[0] + region[0], pad[1]..pad[1] + region[1], pad[2]..pad[2] + region[2]]).to_owned()
    }

    /// The logits of one window.
    fn logits(&self, image: &Array3<f32>, bounding_box: [f32; 6]) -> Array3<f32> {
        let stages = self.model.stages();
        let embedding = stages.encode_image(image.view()).expect("encoded");
        let prompt = WindowPrompt { points: Vec::new(), bounding_box: Some(bounding_box), text: None };
        let low_res = stages.decode_masks(&embedding, &[prompt]).expect("decoded");
        resize_trilinear(low_res.slice(s![0, .., .., ..]), self.window)
    }

    /// The box of a mask: height and width are those of the slice with the middle voxel alone.
    fn box_of(&self, mask: &Array3<f32>) -> [f32; 6] {
        let inside: Vec<(usize, usize, usize)> =
            mask.indexed_iter().filter(|(_, inside)| **inside > 0.0).map(|(at, _)| at).collect();
        let Some(&(middle, ..)) = inside.get(inside.len() / 2) else { return [-1.0; 6] };
        let Some([low, high]) = bounds(mask.view()) else { return [-1.0; 6] };
        let [flat_low, flat_high] = match self.mistake {
            Mistake::BoundingBoxForSlabBox => [low, high],
            _ => bounds(mask.slice(s![middle..=middle, .., ..])).expect("it has the middle voxel"),
        };
        [low[0], flat_low[1], flat_low[2], high[0], flat_high[1], flat_high[2]].map(|c| c as f32)
    }
}

/// The smallest and the largest index above 0 along each axis.
fn bounds(mask: ArrayView3<f32>) -> Option<[[usize; 3]; 2]> {
    let inside = || mask.indexed_iter().filter(|(_, inside)| **inside > 0.0).map(|((d, h, w), _)| [d, h, w]);
    let least = |axis: usize| inside().map(|at| at[axis]).min();
    let greatest = |axis: usize| inside().map(|at| at[axis]).max();
    Some([[least(0)?, least(1)?, least(2)?], [greatest(0)?, greatest(1)?, greatest(2)?]])
}

fn passes(found: &Array3<f32>, golden: &Sample) -> bool {
    let found = golden.pick(found.as_slice().expect("standard layout"));
    relative_l2(&found, &golden.value) <= LOGITS && wrong_signs(&found, &golden.value) == 0
}

fn volume(name: &str) -> Volume {
    Volume::open(data(&format!("tiny/volumes/{name}.nii.gz"))).expect("a volume")
}

/// Of 13 boxes, the mistakes are rejected by 6, 2, 4, 13, 12 and 12.
#[test]
fn goldens_tell_the_segfm_program_from_similar_ones() {
    let mut rejected = [0; MISTAKES.len()];
    for name in VOLUMES {
        let goldens = Goldens::load(&format!("tiny/programs/{name}.segfm.safetensors.gz"));
        for (variant, weights) in &segfm(name).variants {
            let folder = segvol_tests::folder!();
            let model = bundle::open(&bundle::seeded(folder.path(), &models::tiny(), &weights.bias_added));
            let window = model.stages().architecture().window_dhw;
            let options = StudyOptions::default().profile(Profile::Segfm);
            let study = model.study_with(volume(name), &options).expect("a study");
            let (image, start) = (study.image(), study.crop().start_dhw);
            for (label, run) in &weights.boxes {
                // Corners in the crop, cut at its border; the map keeps only what is inside.
                let corner = |at: usize| run.corners[at].saturating_sub(start[at % 3]).min(image.shape()[at % 3] - 1);
                let corners: [usize; 6] = std::array::from_fn(corner);
                let map = Array3::from_shape_fn(image.dim(), |(d, h, w)| {
                    let at = [d + start[0], h + start[1], w + start[2]];
                    let inside = (0..3).all(|axis| (run.corners[axis]..=run.corners[axis + 3]).contains(&at[axis]));
                    f32::from(inside)
                });
                let golden = |pass: &str| goldens.sample(&format!("{variant}.{label}.{pass}"));
                let (coarse, fine) = (golden("zoom_out_logits"), golden("logits"));
                let with = |mistake| {
                    let (zoom_out, logits) = Program { model: &model, image, window, mistake }.run(&map, corners);
                    passes(&zoom_out, &coarse) && passes(&logits, &fine)
                };
                assert!(with(Mistake::None), "{name}: {variant}.{label}: the program itself");
                for (count, mistake) in rejected.iter_mut().zip(MISTAKES) {
                    *count += usize::from(!with(mistake));
                }
            }
        }
    }
    for (count, mistake) in rejected.into_iter().zip(MISTAKES) {
        assert!(count >= 2, "{mistake:?} is rejected by {count} boxes only");
    }
    eprintln!("{rejected:?} of 13 boxes reject {MISTAKES:?}");
}

/// What Hugging Face's two revisions compute is neither each other's nor that of other settings.
#[test]
fn goldens_tell_hugging_face_from_similar_programs() {
    type Wrong = (&'static str, fn(&str) -> StudyOptions);
    let wrong: [Wrong; 4] = [
        ("the other revision", |revision| StudyOptions::default().profile(profile(other(revision)))),
        ("axes of the patient", |_| StudyOptions::default().profile(Profile::Released).orientation(Orientation::Ras)),
        ("another overlap", |revision| StudyOptions::default().profile(profile(revision)).overlap(0.25)),
        ("the default profile", |_| StudyOptions::default().orientation(Orientation::Stored)),
    ];
    let mut rejected = [0; 4];
    for name in ["lps_int16", "smaller_than_window"] {
        let goldens = Goldens::load(&format!("tiny/programs/{name}.huggingface.safetensors.gz"));
        for (variant, weights) in &hugging_face(name).variants {
            let folder = segvol_tests::folder!();
            let model = bundle::open(&bundle::seeded(folder.path(), &models::tiny(), &weights.bias_added));
            for (revision, runs) in [("main", &weights.main), ("nearest", &weights.nearest)] {
                for (prompt, run) in runs.iter().filter(|(_, run)| run.zoom_in) {
                    let golden = |pass: &str| goldens.sample(&format!("{variant}.{revision}.{prompt}.{pass}"));
                    let (coarse, fine) = (golden("zoom_out_logits"), golden("logits"));
                    let with = |options: &StudyOptions| {
                        let study = model.study_with(volume(name), options).expect("a study");
                        let found = study.segment(&run.prompt()).expect("a segmentation");
                        passes(found.zoom_out_logits(), &coarse) && passes(&found.logits().expect("memory"), &fine)
                    };
                    assert!(with(&StudyOptions::default().profile(profile(revision))), "{name}: {revision}.{prompt}");
                    for (count, (_, options)) in rejected.iter_mut().zip(&wrong) {
                        *count += usize::from(!with(&options(revision)));
                    }
                }
            }
        }
    }
    for (count, (change, _)) in rejected.into_iter().zip(wrong) {
        assert!(count >= 2, "{change} is rejected by {count} runs only");
    }
}

fn profile(revision: &str) -> Profile {
    if revision == "main" { Profile::Huggingface } else { Profile::HuggingfaceNearest }
}

fn other(revision: &str) -> &'static str {
    if revision == "main" { "nearest" } else { "main" }
}
