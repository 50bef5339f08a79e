//! Scans of a tilted gantry, and padding that a file states: the model sees a straight scan with air around it, and masks are on the
//! voxels of the scan as it is.
//!
//! The slices of these scans are shifted by whole voxels, so straightening them gives the straight scan to the bit, and masks are
//! equal voxel for voxel.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use segvol::mask::Labels;
use segvol::{
    Model, Options, Orientation, PointLabel, Profile, Prompt, Provider, Segmentation, Space, Study, StudyOptions,
    Volume, WarningCode,
};
use segvol_tests::{bundle, models};
use segvol_volume::Affine;
use tempfile::TempDir;

static MODEL: LazyLock<(Model, TempDir)> = LazyLock::new(|| {
    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new());
    (Model::open(&bundle, &Options::default().provider(Provider::Cpu)).expect("a bundle"), folder)
});

const SHAPE: [usize; 3] = [58, 52, 21];
const SPACING_MM: [f64; 3] = [1.5, 1.5, 4.0];
const AIR: f32 = -1000.0;

/// Hounsfield units at a voxel of the straight scan; air outside of it.
fn body(at: [isize; 3]) -> f32 {
    let from = |centre: [f64; 3], radii: [f64; 3]| {
        (0..3).map(|axis| ((at[axis] as f64 - centre[axis]) / radii[axis]).powi(2)).sum::<f64>()
    };
    if from([28.0, 25.0, 10.0], [23.0, 19.0, 9.0]) > 1.0 {
        return AIR;
    }
    let texture = (at[0] * 7 + at[1] * 13 + at[2] * 29).rem_euclid(17) as f32;
    if from([36.0, 22.0, 11.0], [8.0, 6.0, 4.0]) < 1.0 {
        160.0 + texture
    } else if from([17.0, 27.0, 9.0], [5.0, 9.0, 5.0]) < 1.0 {
        -90.0 + texture
    } else {
        40.0 + texture
    }
}

/// How a scan is stored: slices shifted by `lean` voxels of j each, axes in another order and direction.
#[derive(Clone, Copy, Debug)]
struct Stored {
    lean: isize,
    /// For each axis of the file: the axis of the straight scan, and whether it runs backwards.
    axes: [(usize, bool); 3],
}

const AS_IT_IS: [(usize, bool); 3] = [(0, false), (1, false), (2, false)];

impl Stored {
    /// Voxels along the axes i, j, k of the straight scan, enough for the whole body.
    fn shape(self) -> [usize; 3] {
        [SHAPE[0], SHAPE[1] + self.lean.unsigned_abs() * (SHAPE[2] - 1), SHAPE[2]]
    }

    /// The voxel of the straight scan at the place of a voxel of the file.
    fn straight(self, file: [usize; 3]) -> [isize; 3] {
        let mut at = [0; 3];
        for (axis, &(straight, flipped)) in self.axes.iter().enumerate() {
            let index = if flipped { self.shape()[straight] - 1 - file[axis] } else { file[axis] };
            at[straight] = index as isize;
        }
        at[1] += self.lean * at[2] - self.lean.max(0) * (SHAPE[2] as isize - 1);
        at
    }

    fn file_shape(self) -> [usize; 3] {
        self.axes.map(|(axis, _)| self.shape()[axis])
    }

    /// All voxels of the file, i fastest.
    fn voxels(self) -> impl Iterator<Item = [usize; 3]> {
        let [ni, nj, nk] = self.file_shape();
        (0..ni * nj * nk).map(move |n| [n % ni, n / ni % nj, n / (ni * nj)])
    }

    fn volume(self) -> Volume {
        let place = |file: [usize; 3]| {
            let at = self.straight(file);
            [0, 1, 2].map(|axis| at[axis] as f64 * SPACING_MM[axis] - 30.0)
        };
        let origin = place([0; 3]);
        let columns = [place([1, 0, 0]), place([0, 1, 0]), place([0, 0, 1])];
        let row =
            |r: usize| [columns[0][r] - origin[r], columns[1][r] - origin[r], columns[2][r] - origin[r], origin[r]];
        let voxels = self.voxels().map(|file| body(self.straight(file))).collect();
        Volume::new(self.file_shape(), voxels, Affine::new([row(0), row(1), row(2)])).expect("a scan")
    }

    /// The voxel of the file at the place of a voxel of the straight scan.
    fn file(self, straight: [isize; 3]) -> [f64; 3] {
        let found = self.voxels().find(|&file| self.straight(file) == straight).expect("in the scan");
        found.map(|index| index as f64)
    }
}

const STRAIGHT: Stored = Stored { lean: 0, axes: AS_IT_IS };

/// 20.6 and -36.9 degrees: 1.5 and -3 mm for 4 mm. A lean of the other sign, and other orders of the axes.
const TILTED: [Stored; 4] = [
    Stored { lean: 1, axes: AS_IT_IS },
    Stored { lean: -2, axes: AS_IT_IS },
    Stored { lean: 1, axes: [(2, true), (0, false), (1, true)] },
    Stored { lean: -1, axes: [(1, false), (2, false), (0, true)] },
];

/// The same prompts for every way to store the scan: names, points in voxels of the file and in millimetres.
fn prompts(stored: Stored) -> Vec<Prompt> {
    let point = stored.file([36, 22, 11]);
    let mm = stored.volume().grid().affine().apply(point);
    vec![
        Prompt::text("liver"),
        Prompt::text("spleen"),
        Prompt::new().named("voxel").point(point, PointLabel::Foreground),
        Prompt::new().named("mm").point(mm, PointLabel::Foreground).space(Space::Ras),
        Prompt::text("left kidney").point(stored.file([17, 27, 9]), PointLabel::Foreground),
    ]
}

fn study(stored: Stored, options: &StudyOptions) -> Study {
    MODEL.0.study_with(stored.volume(), options).expect("a study")
}

fn values(labels: &Labels) -> Vec<u16> {
    (0..labels.len()).map(|index| labels.get(index).expect("in range")).collect()
}

/// By voxel of the straight scan; only the voxels that the straight scan has.
fn by_place<T: Copy>(stored: Stored, values: &[T]) -> BTreeMap<[isize; 3], T> {
    let inside = |at: &[isize; 3]| (0..3).all(|axis| (0..SHAPE[axis] as isize).contains(&at[axis]));
    let placed = stored.voxels().map(|file| stored.straight(file)).zip(values.iter().copied());
    placed.filter(|(at, _)| inside(at)).collect()
}

#[test]
fn masks_of_a_tilted_scan_are_those_of_the_straight_one_at_the_same_places() {
    for options in [StudyOptions::default(), StudyOptions::default().zoom_in(false).threshold(0.4)] {
        let straight = study(STRAIGHT, &options);
        assert!(straight.shear().is_none());
        let expected = straight.segment_all(&prompts(STRAIGHT)).expect("segmented");
        let filled: u64 = expected.iter().map(|found| found.voxels().zoom_in).sum();
        assert!(filled > 1000, "the masks are not empty: {filled}");
        let map_of = |study: &Study, found: &[Segmentation]| values(study.label_map(found).expect("memory").labels());
        let expected_map = by_place(STRAIGHT, &map_of(&straight, &expected));
        for stored in TILTED {
            let tilted = study(stored, &options);
            assert_eq!(tilted.image(), straight.image(), "{stored:?}: the model sees the straight scan");
            let found = tilted.segment_all(&prompts(stored)).expect("segmented");
            for (a, b) in found.iter().zip(&expected) {
                let what = format!("{stored:?} {}", a.name());
                let logits = |stored, of: &Segmentation| {
                    by_place(stored, &of.logit_map().expect("memory"))
                        .into_iter()
                        .map(|(at, logit)| (at, logit.to_bits()))
                };
                assert!(logits(stored, a).eq(logits(STRAIGHT, b)), "{what}: logits");
                let mask = a.mask().expect("memory");
                let labels = values(mask.labels());
                let straight_labels = by_place(STRAIGHT, &values(b.mask().expect("memory").labels()));
                assert_eq!(by_place(stored, &labels), straight_labels, "{what}");
                // Outside of the straight scan there is no mask, so everything that counts agrees too.
                assert_eq!(a.voxels(), b.voxels(), "{what}");
                assert_eq!(mask.count(1), a.voxels().zoom_in, "{what}");
                assert_eq!(mask.bounding_box_ijk(1), a.bounding_box_ijk(), "{what}");
                assert_eq!(a.zoom_out_mask().expect("memory").count(1), a.voxels().zoom_out, "{what}");
                let codes = |of: &Segmentation| of.warnings().iter().map(|warning| warning.code).collect::<Vec<_>>();
                assert_eq!(codes(a), codes(b), "{what}");
            }
            let map = map_of(&tilted, &found);
            assert_eq!(by_place(stored, &map), expected_map, "{stored:?}");
            let count = |label: u16| map.iter().filter(|&&found| found == label).count() as u64;
            let counts: Vec<u64> = (1..=found.len() as u16).map(count).collect();
            assert_eq!(tilted.label_counts(&found), counts, "{stored:?}");
            assert!(found[2].voxels().zoom_in == 0 || map.len() == stored.voxels().count());
        }
    }
}

/// The comparison tells slices that are shifted in the wrong direction, along the other axis, or not at all.
#[test]
fn a_wrong_shift_is_another_mask() {
    let stored = TILTED[0];
    let found = study(stored, &StudyOptions::default()).segment_all(&prompts(stored)).expect("segmented");
    let straight = study(STRAIGHT, &StudyOptions::default()).segment_all(&prompts(STRAIGHT)).expect("segmented");
    let of = |stored, found: &[Segmentation]| by_place(stored, &values(found[0].mask().expect("memory").labels()));
    let expected = of(STRAIGHT, &straight);
    assert_eq!(of(stored, &found), expected);
    let moved = |shift: &dyn Fn([isize; 3]) -> [isize; 3]| {
        expected.keys().filter(|&&at| expected.get(&shift(at)).is_some_and(|other| *other != expected[&at])).count()
    };
    assert_eq!(moved(&|at| at), 0);
    let middle = SHAPE[2] as isize / 2;
    assert!(moved(&|[i, j, k]| [i, j + 2 * (k - middle), k]) > 100, "the wrong direction");
    assert!(moved(&|[i, j, k]| [i, j + (k - middle), k]) > 100, "not at all");
    assert!(moved(&|[i, j, k]| [i + (k - middle), j - (k - middle), k]) > 100, "the wrong axis");
    assert!(moved(&|[i, j, k]| [i, j + 1, k]) > 100, "one row");
}

#[test]
fn a_box_still_contains_the_object_and_marks_are_in_voxels_of_the_file() {
    for stored in TILTED {
        let tilted = study(stored, &StudyOptions::default());
        let corners = [[28, 16, 7], [44, 28, 15]].map(|corner| stored.file(corner));
        let min: [f64; 3] = std::array::from_fn(|axis| corners[0][axis].min(corners[1][axis]));
        let max: [f64; 3] = std::array::from_fn(|axis| corners[0][axis].max(corners[1][axis]));
        let prompt = Prompt::new().named("box").bounding_box(min, max);
        let marks = tilted.marks(&prompt).bounding_box.expect("a box");
        assert_eq!((marks.min, marks.max), (min, max), "{stored:?}");
        tilted.segment(&prompt).expect("segmented");
        // The centre of a window's voxel is at the same place in the file, and back.
        let prompt = Prompt::new().named("window").point([3.0, 4.0, 5.0], PointLabel::Foreground).space(Space::Window);
        let (at, _) = tilted.marks(&prompt).points[0];
        let window = MODEL.0.stages().architecture().window_dhw;
        let seen: [f64; 3] = std::array::from_fn(|axis| {
            let scale = tilted.crop().shape_dhw()[axis] as f64 / window[axis] as f64;
            ([3.0, 4.0, 5.0][axis] + 0.5) * scale - 0.5 + tilted.crop().start_dhw[axis] as f64
        });
        assert_eq!(at, tilted.seen_to_ijk(seen));
        // Outside of the file is outside, though the straightened scan is larger.
        let outside = Prompt::new().point(stored.file_shape().map(|n| n as f64), PointLabel::Foreground);
        assert!(tilted.segment(&outside).is_err());
    }
}

#[test]
fn released_programs_and_stored_axes_see_the_voxels_as_they_are() {
    let stored = TILTED[0];
    let warned = |study: &Study| study.warnings().iter().any(|warning| warning.code == WarningCode::ScanStraightened);
    assert!(warned(&study(stored, &StudyOptions::default())));
    for options in [
        StudyOptions::default().profile(Profile::Released),
        StudyOptions::default().profile(Profile::Huggingface),
        StudyOptions::default().profile(Profile::Segfm),
        StudyOptions::default().orientation(Orientation::Stored),
    ] {
        let study = study(stored, &options);
        assert!(study.shear().is_none() && !warned(&study), "{options:?}");
        // Exactly the scan with the same voxels and a straight affine.
        let [ni, nj, nk] = stored.file_shape();
        let affine = Affine::from_spacing(SPACING_MM);
        let volume = Volume::new([ni, nj, nk], stored.volume().into_voxels(), affine).expect("a scan");
        assert_eq!(study.image(), MODEL.0.study_with(volume, &options).expect("a study").image(), "{options:?}");
    }
}

#[test]
fn voxels_that_are_not_finite_are_named_as_the_file_counts_them() {
    let stored = TILTED[2];
    let volume = stored.volume();
    let (shape, affine) = (volume.shape_xyz(), *volume.grid().affine());
    let mut voxels = volume.into_voxels();
    voxels[5 + shape[0] * (7 + shape[1] * 9)] = f32::NAN;
    let volume = Volume::new(shape, voxels, affine).expect("a scan");
    let error = MODEL.0.study(volume).map(|_| ()).expect_err("NaN").to_string();
    assert!(error.starts_with("1 of the scan's voxels is") && error.contains("(5, 7, 9)"), "{error}");
}

/// The straight scan with a value outside of a circle in each slice.
fn with_circle(outside: f32, water: f32) -> Vec<f32> {
    let value = |[i, j, k]: [usize; 3]| {
        let apart = (i as f64 - 28.0).powi(2) + (j as f64 - 25.0).powi(2);
        let at = [i, j, k].map(|index| index as isize);
        if apart > 24.5 * 24.5 {
            outside
        } else if (at[0] + 3 * at[1]) % 11 == 0 && body(at) > 0.0 {
            water
        } else {
            body(at)
        }
    };
    STRAIGHT.voxels().map(value).collect()
}

#[test]
fn stated_padding_is_air_whatever_its_value() {
    let affine = Affine::from_spacing(SPACING_MM);
    let study = |voxels: Vec<f32>, padding: Option<[f32; 2]>, options: &StudyOptions| {
        let volume = Volume::new(SHAPE, voxels, affine).expect("a scan");
        let volume = if let Some(padding) = padding { volume.with_padding_hu(padding) } else { volume };
        MODEL.0.study_with(volume, options).expect("a study")
    };
    let default = StudyOptions::default();
    // 0 is also a value of the body, 57 as well, -1000 is air, -2000 is darker than air, and 3071 is brighter than a body.
    for (value, range) in [
        (0.0, [0.0, 0.0]),
        (57.0, [50.0, 60.0]),
        (500.0, [500.0, 500.0]),
        (-1000.0, [-1000.0, -1000.0]),
        (-2000.0, [-2000.0, -1990.0]),
        (3000.0, [3000.0, 3000.0]),
        (3071.0, [3071.0, 3071.0]),
    ] {
        let water = if range == [0.0, 0.0] { 0.0 } else { 55.0 };
        let expected = study(with_circle(AIR, water), None, &default);
        let found = study(with_circle(value, water), Some(range), &default);
        assert_eq!(found.image(), expected.image(), "{range:?}");
        let [a, b] = [&found, &expected].map(|study| study.segment(&Prompt::text("liver")).expect("segmented"));
        assert_eq!(a.mask().expect("memory"), b.mask().expect("memory"), "{range:?}");
        let codes: Vec<WarningCode> = found.warnings().iter().map(|warning| warning.code).collect();
        assert_eq!(codes, [WarningCode::IntensityPadding], "{range:?}");
        if value > 500.0 {
            // So bright that the scan has no contrast, unless it is stated.
            continue;
        }
        if value == 500.0 {
            let unstated = study(with_circle(value, water), None, &default);
            assert_ne!(unstated.image(), expected.image(), "{value}: it must be stated");
        }
        let released = StudyOptions::default().profile(Profile::Released);
        let [stated, unstated] =
            [Some(range), None].map(|padding| study(with_circle(value, water), padding, &released));
        assert_eq!(stated.image(), unstated.image(), "{range:?}: the released programs know no padding");
    }
}

#[test]
fn padding_of_a_tilted_scan_does_not_reach_into_the_body() {
    let stored = TILTED[0];
    let volume = stored.volume();
    let (shape, affine) = (volume.shape_xyz(), *volume.grid().affine());
    let padded = |value: f32| {
        let inside = |file: [usize; 3]| {
            let [_, j, _] = stored.straight(file);
            (-2..SHAPE[1] as isize + 2).contains(&j)
        };
        let voxels = stored.voxels().map(|file| if inside(file) { body(stored.straight(file)) } else { value });
        Volume::new(shape, voxels.collect(), affine).expect("a scan")
    };
    let image = |volume: Volume| MODEL.0.study(volume).expect("a study").image().clone();
    let expected = image(volume);
    assert_eq!(image(padded(700.0).with_padding_hu([700.0, 700.0])), expected);
    assert_ne!(image(padded(700.0)), expected);
}
