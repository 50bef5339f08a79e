//! The steps, against SciPy's on random masks, and what must hold for every mask.

use std::sync::Arc;

use proptest::prelude::*;
use segvol_base::WarningCode;
use segvol_volume::mask::Labels;
use segvol_volume::{Affine, BoundingBox, Grid, Marks, Mask, MaskError, PointLabel};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    INSIDE, MAX_SMOOTH_MM, Neighbours, Object, Operation, Overrides, Postprocessed, Postprocessing, Record, Runs,
    label_map,
};

/// What SciPy found, and SimpleITK too: see `make.py` beside the file.
const GOLDEN: &str = include_str!("../../tests/data/postprocess/golden.json");

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest_of(mask: &Mask) -> String {
    let Labels::U8(labels) = mask.labels() else { panic!("the mask of one object has bytes") };
    digest(labels)
}

/// The formula of `make.py`.
fn mixed(index: u64) -> i64 {
    let x = index.wrapping_mul(0x9E37_79B1) as u32;
    let x = (x ^ x >> 15).wrapping_mul(0x85EB_CA77);
    i64::from((x ^ x >> 13).wrapping_mul(0xC2B2_AE3D) >> 24)
}

/// The mask of `make.py`.
fn formula(shape: [usize; 3], kind: &str, limit: i64, salt: u64) -> Vec<u8> {
    let voxel = |index: usize| [index % shape[0], index / shape[0] % shape[1], index / (shape[0] * shape[1])];
    let balls: Vec<[i64; 3]> = (0..6)
        .map(|ball| [0, 1, 2].map(|axis| mixed(ball * 3 + axis as u64 + salt * 7919) * shape[axis] as i64 / 256))
        .collect();
    let inside = |index: usize| {
        let noise = mixed(index as u64 + salt * 1_000_003);
        if kind == "noise" {
            return noise < limit;
        }
        balls.iter().any(|place| {
            let square: i64 = (0..3).map(|axis| (voxel(index)[axis] as i64 - place[axis]).pow(2)).sum();
            let form = square * 8 + noise % 64;
            form < limit * 8 && form > limit
        })
    };
    (0..shape.iter().product()).map(|index| u8::from(inside(index))).collect()
}

fn grid(shape: [usize; 3], spacing: [f64; 3]) -> Arc<Grid> {
    Arc::new(Grid::new(shape, Affine::from_spacing(spacing)).expect("a grid"))
}

fn mask(labels: Vec<u8>, grid: &Arc<Grid>) -> Mask {
    Mask::from_labels(labels, Arc::clone(grid)).expect("one label per voxel")
}

fn apply(mask: &Mask, settings: Postprocessing) -> Postprocessed {
    settings.apply(&Object { name: "a", mask, marks: &Marks::default() }).expect("postprocessed")
}

fn click(at: [usize; 3]) -> Marks {
    Marks { points: vec![(at.map(|index| index as f64), PointLabel::Foreground)], bounding_box: None }
}

const OFF: Postprocessing = Postprocessing {
    keep_with_prompt: false,
    smooth_mm: None,
    fill_holes: false,
    min_volume_ml: None,
    largest_component: false,
    neighbours: Neighbours::TwentySix,
};

/// A recorded mask.
struct Recorded {
    value: Value,
    mask: Mask,
}

fn recorded() -> Vec<Recorded> {
    let list: Vec<Value> = serde_json::from_str(GOLDEN).expect("JSON");
    let read = |value: Value| {
        let numbers = |name: &str| -> Vec<f64> {
            value[name].as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
        };
        let shape: [usize; 3] = std::array::from_fn(|axis| numbers("shape")[axis] as usize);
        let grid = grid(shape, std::array::from_fn(|axis| numbers("spacing")[axis]));
        let integer = |name: &str| value[name].as_i64().expect("a number");
        let kind = value["kind"].as_str().expect("a kind");
        let mask = mask(formula(shape, kind, integer("limit"), integer("salt") as u64), &grid);
        assert_eq!(digest_of(&mask), value["mask"], "the formula is that of the script");
        Recorded { value, mask }
    };
    list.into_iter().map(read).collect()
}

/// What differs from SciPy in a recorded mask, if `neighbours` are those that the record names `as_if`.
fn differences(recorded: &Recorded, neighbours: Neighbours, as_if: Neighbours) -> Vec<&'static str> {
    let Recorded { value, mask } = recorded;
    let row = &value[as_if.to_string()];
    let mut wrong = Vec::new();
    let mut compare = |name: &'static str, settings: Postprocessing, marks: &Marks| -> Record {
        let settings = Postprocessing { neighbours, ..settings };
        let found = settings.apply(&Object { name: "a", mask, marks }).expect("postprocessed");
        if digest_of(&found.mask) != row[name] {
            wrong.push(name);
        }
        assert_eq!(found.record.voxels_after, found.mask.count(INSIDE), "{name}");
        found.record
    };
    let none = Marks::default();
    let record = compare("filled", Postprocessing { fill_holes: true, ..OFF }, &none);
    let holes = record.steps[0].holes_filled;
    let components = if value["voxels"] == 0 {
        Some(0)
    } else {
        let record = compare("largest", Postprocessing { largest_component: true, ..OFF }, &none);
        let ml = row["min_volume_ml"].as_f64();
        compare("large_ones", Postprocessing { min_volume_ml: ml, ..OFF }, &none);
        let place = |name: &str| -> Option<[usize; 3]> {
            let list = row[name].as_array()?;
            Some(std::array::from_fn(|axis| list[axis].as_u64().expect("an index") as usize))
        };
        let keep = Postprocessing { keep_with_prompt: true, ..OFF };
        compare("clicked", keep, &click(place("click").expect("a place")));
        if let Some(place) = place("miss") {
            compare("nearest", keep, &click(place));
        }
        record.steps[0].components
    };
    for (name, found) in [("holes", holes), ("components", components)] {
        if found.map(|found| found as u64) != row[name].as_u64() {
            wrong.push(name);
        }
    }
    let sizes = crate::components::Components::of(
        &crate::part::Part::of(mask, INSIDE).expect("enough memory").inside,
        neighbours,
    );
    let sizes: Vec<String> = sizes.expect("enough memory").sizes.iter().map(u64::to_string).collect();
    if digest(sizes.join(",").as_bytes()) != row["sizes"] {
        wrong.push("sizes");
    }
    wrong
}

#[test]
fn components_and_holes_are_scipys() {
    for recorded in recorded() {
        for neighbours in Neighbours::ALL {
            let wrong = differences(&recorded, neighbours, neighbours);
            assert_eq!(wrong, Vec::<&str>::new(), "{neighbours}: {}", recorded.value);
        }
    }
}

/// Near misses: each pair of neighbours differs in what it finds, in components as in holes.
#[test]
fn the_record_tells_wrong_neighbours() {
    let all = recorded();
    for neighbours in Neighbours::ALL {
        for wrong in Neighbours::ALL.into_iter().filter(|&wrong| wrong != neighbours) {
            let found: Vec<&str> = all.iter().flat_map(|one| differences(one, wrong, neighbours)).collect();
            for name in ["components", "sizes", "largest", "large_ones", "clicked"] {
                assert!(found.contains(&name), "{wrong} for {neighbours}: only {found:?}");
            }
            // 18 and 26 share the background's neighbours.
            let same_background = wrong.of_background() == neighbours.of_background();
            assert_ne!(found.contains(&"filled"), same_background, "{wrong} for {neighbours}: {found:?}");
        }
    }
}

fn smoothed(recorded: &Recorded, mm: f64) -> (String, Record) {
    let found = apply(&recorded.mask, Postprocessing { smooth_mm: Some(mm), ..OFF });
    (digest_of(&found.mask), found.record)
}

#[test]
fn smoothing_is_scipys() {
    let (mut added, mut removed) = (0, 0);
    for recorded in recorded() {
        let expected = &recorded.value["smooth"];
        let mm = expected["mm"].as_f64().expect("a number");
        let (found, record) = smoothed(&recorded, mm);
        assert_eq!(
            (found, record.voxels_after.into()),
            (expected["mask"].as_str().expect("text").to_owned(), expected["voxels"].clone()),
            "{}",
            recorded.value
        );
        added += record.steps[0].voxels_added;
        removed += record.steps[0].voxels_removed;
    }
    assert!(added > 1000 && removed > 1000, "{added} {removed}");
}

/// Near misses: the spacing is ignored, or another axis's; another width.
#[test]
fn the_record_tells_wrong_spacings_and_widths() {
    let all = recorded();
    let of = |index: usize| all[index].value["smooth"]["mm"].as_f64().expect("a number");
    let differs = |change: &dyn Fn([f64; 3], f64) -> ([f64; 3], f64)| {
        let wrong = |(index, one): &(usize, &Recorded)| {
            let grid_of = one.mask.grid();
            let (spacing, mm) = change(grid_of.spacing_mm(), of(*index));
            let Labels::U8(labels) = one.mask.labels() else { panic!("bytes") };
            let mask = mask(labels.clone(), &grid(grid_of.shape_xyz(), spacing));
            smoothed(&Recorded { value: Value::Null, mask }, mm).0 != one.value["smooth"]["mask"]
        };
        all.iter().enumerate().filter(wrong).count()
    };
    assert_eq!(differs(&|spacing, mm| (spacing, mm)), 0);
    assert!(differs(&|_, mm| ([1.0; 3], mm)) >= 5);
    assert!(differs(&|[i, j, k], mm| ([k, j, i], mm)) >= 5);
    assert!(differs(&|spacing, mm| (spacing, mm * 1.1)) >= 5);
}

/// A shell of one voxel around nothing, 5 x 5 x 5 in a scan of 9 x 9 x 9, with a hole of one voxel at a corner of the inside.
fn shell(open: Option<[usize; 3]>) -> Mask {
    let grid = grid([9, 9, 9], [1.0; 3]);
    let inside = |index: usize| {
        let ijk = [index % 9, index / 9 % 9, index / 81];
        let within = |low: usize, high: usize| ijk.iter().all(|at| (low..=high).contains(at));
        within(2, 6) && !within(3, 5) && Some(ijk) != open
    };
    mask((0..729).map(|index| u8::from(inside(index))).collect(), &grid)
}

#[test]
fn a_hole_is_closed_on_all_sides() {
    let filled = |open, neighbours| {
        let settings = Postprocessing { fill_holes: true, neighbours, ..OFF };
        let step = apply(&shell(open), settings).record.steps[0].clone();
        (step.holes_filled, step.voxels_added)
    };
    for neighbours in Neighbours::ALL {
        assert_eq!(filled(None, neighbours), (Some(1), 27));
        // Open at a face.
        assert_eq!(filled(Some([4, 4, 2]), neighbours), (Some(0), 0));
    }
    // Open along an edge of the shell: the background of 6 neighbours does not leak there, that of 26 does.
    assert_eq!(filled(Some([2, 2, 4]), Neighbours::TwentySix), (Some(1), 27));
    assert_eq!(filled(Some([2, 2, 4]), Neighbours::Eighteen), (Some(1), 27));
    assert_eq!(filled(Some([2, 2, 4]), Neighbours::Six), (Some(0), 0));
}

/// What is cut off by the border of the scan is open, also if the mask covers the rest.
#[test]
fn what_reaches_the_border_of_the_scan_is_no_hole() {
    let grid = grid([5, 5, 3], [1.0; 3]);
    let ring = |index: usize| u8::from([index % 5, index / 5 % 5] != [2, 2]);
    let mask = mask((0..75).map(ring).collect(), &grid);
    assert_eq!(apply(&mask, Postprocessing { fill_holes: true, ..OFF }).record.steps[0].holes_filled, Some(0));
}

/// Two bars along i: voxels 1 to 3 and 5 to 9 of row j = 1, k = 1.
fn bars(grid: &Arc<Grid>) -> Mask {
    let [ni, nj, nk] = grid.shape_xyz();
    let mut labels = vec![0; ni * nj * nk];
    let row = (nj + 1) * ni;
    labels[row + 1..row + 4].fill(1);
    labels[row + 5..row + 10].fill(1);
    mask(labels, grid)
}

#[test]
fn small_components_are_counted_in_millilitres() {
    // Sheared axes: the volume of a voxel is the determinant, 2 * 3 * 5 = 30 cubic millimetres, not the product of the lengths.
    let sheared = Affine::new([[2.0, 1.5, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, -5.0, 0.0]]);
    let grid = Arc::new(Grid::new([12, 3, 3], sheared).expect("a grid"));
    let after = |ml: f64| {
        let found = apply(&bars(&grid), Postprocessing { min_volume_ml: Some(ml), ..OFF });
        (found.record.voxels_after, found.warnings.iter().map(|warning| warning.code).collect::<Vec<_>>())
    };
    assert_eq!(after(0.09), (8, vec![]));
    assert_eq!(after(0.0901), (5, vec![]));
    assert_eq!(after(0.15), (5, vec![]));
    assert_eq!(after(0.1501), (0, vec![WarningCode::MaskEmpty]));
    let step = &apply(&bars(&grid), Postprocessing { min_volume_ml: Some(0.1), ..OFF }).record.steps[0];
    assert_eq!(
        (step.step, step.value, step.components, step.components_removed),
        (Operation::MinVolume, Some(0.1), Some(2), Some(1))
    );
    assert_eq!((step.voxels_removed, step.voxels_added, step.added_ml), (3, 0, 0.0));
    assert!((step.removed_ml - 0.09).abs() < 1e-12);
}

#[test]
fn of_equal_components_the_first_in_the_file_stays() {
    let grid = grid([7, 2, 2], [1.0; 3]);
    let mut labels = vec![0; 28];
    for index in [5, 6, 14, 15, 24] {
        labels[index] = 1;
    }
    let found =
        apply(&mask(labels, &grid), Postprocessing { largest_component: true, neighbours: Neighbours::Six, ..OFF });
    let Labels::U8(labels) = found.mask.labels() else { panic!("bytes") };
    assert_eq!(
        labels.iter().enumerate().filter(|(_, label)| **label == 1).map(|(index, _)| index).collect::<Vec<_>>(),
        [5, 6]
    );
}

fn codes(found: &Postprocessed) -> Vec<WarningCode> {
    found.warnings.iter().map(|warning| warning.code).collect()
}

#[test]
fn the_prompt_chooses_components() {
    // 2 mm along i, 40 mm along k.
    let grid = grid([12, 3, 3], [2.0, 1.0, 40.0]);
    let mask = bars(&grid);
    let keep = Postprocessing { keep_with_prompt: true, ..OFF };
    let run = |marks: &Marks| {
        let found = keep.apply(&Object { name: "lesion", mask: &mask, marks }).expect("postprocessed");
        (found.record.voxels_after, codes(&found), found.warnings.first().map(|warning| warning.message.clone()))
    };
    assert_eq!(run(&click([2, 1, 1])), (3, vec![], None));
    assert_eq!(run(&click([9, 1, 1])), (5, vec![], None));
    // A position belongs to the nearest voxel.
    let at = |at: [f64; 3]| Marks { points: vec![(at, PointLabel::Foreground)], bounding_box: None };
    assert_eq!(run(&at([3.4, 0.6, 1.4])).0, 3);
    assert_eq!(run(&at([4.6, 1.0, 1.0])), (5, vec![], None));
    // Two clicks keep both; a click that hits decides, whatever another one misses.
    let two = |a: [usize; 3], b: [usize; 3]| Marks {
        points: [click(a).points, click(b).points].concat(),
        bounding_box: None,
    };
    assert_eq!(run(&two([2, 1, 1], [9, 1, 1])).0, 8);
    assert_eq!(run(&two([2, 1, 1], [11, 1, 1])), (3, vec![], None));
    // A miss: the nearest in millimetres. From (9, 1, 2), the voxel (9, 1, 1) is 40 mm away; from (4, 1, 1), both bars are 2 mm away,
    // and the first one in the file counts.
    let missed = vec![WarningCode::PromptOutsideMask];
    let message = "object \"lesion\": the point is in no component of the mask; the nearest one was kept, 40.0 mm away";
    assert_eq!(run(&click([9, 1, 2])), (5, missed.clone(), Some(message.to_owned())));
    assert_eq!((run(&click([4, 1, 1])).0, run(&click([4, 1, 1])).1), (3, missed.clone()));
    assert_eq!(run(&two([0, 1, 1], [11, 1, 1])).0, 8);
    // Points outside the object and texts choose nothing.
    let background = Marks { points: vec![([2.0, 1.0, 1.0], PointLabel::Background)], bounding_box: None };
    assert_eq!((run(&background).0, run(&background).1), (8, vec![WarningCode::PromptWithoutPlace]));
    assert_eq!(run(&Marks::default()).1, [WarningCode::PromptWithoutPlace]);
    // A box keeps what touches it; beside a point, it does not count.
    let boxed = |min, max, points| Marks { points, bounding_box: Some(BoundingBox { min, max }) };
    assert_eq!(run(&boxed([3.0, 0.0, 0.0], [4.0, 2.0, 2.0], vec![])), (3, vec![], None));
    assert_eq!(run(&boxed([0.0; 3], [11.0, 2.0, 2.0], vec![])), (8, vec![], None));
    assert_eq!(run(&boxed([0.0; 3], [11.0, 2.0, 2.0], click([2, 1, 1]).points)).0, 3);
    let away = run(&boxed([10.0, 0.0, 0.0], [11.0, 2.0, 2.0], vec![]));
    assert_eq!((away.0, away.1), (5, missed));
    assert!(away.2.is_some_and(|message| message.contains("touches the box") && message.contains("2.0 mm away")));
}

#[test]
fn a_point_that_loses_its_part_is_said() {
    let grid = grid([12, 3, 3], [1.0; 3]);
    let run = |settings: Postprocessing, marks: &Marks| {
        codes(&settings.apply(&Object { name: "a", mask: &bars(&grid), marks }).expect("postprocessed"))
    };
    let largest = Postprocessing { largest_component: true, ..OFF };
    assert_eq!(run(largest, &click([2, 1, 1])), [WarningCode::MaskContradictsPoint]);
    assert_eq!(run(largest, &click([6, 1, 1])), []);
    // It was outside before: the pipeline has said so.
    assert_eq!(run(largest, &click([0, 0, 0])), []);
    // With the choice by the prompt, it keeps its part.
    assert_eq!(run(Postprocessing { keep_with_prompt: true, ..largest }, &click([2, 1, 1])), []);
    let outside = Marks { points: vec![([4.0, 4.0, 4.0], PointLabel::Background)], bounding_box: None };
    let fill = Postprocessing { fill_holes: true, ..OFF };
    let found = fill.apply(&Object { name: "a", mask: &shell(None), marks: &outside }).expect("postprocessed");
    assert_eq!(codes(&found), [WarningCode::MaskContradictsPoint]);
}

#[test]
fn a_mask_does_not_vanish_silently() {
    let grid = grid([12, 3, 3], [1.0; 3]);
    let found = apply(&bars(&grid), Postprocessing { smooth_mm: Some(3.0), ..OFF });
    assert_eq!((found.record.voxels_after, codes(&found)), (0, vec![WarningCode::MaskEmpty]));
    assert!(found.warnings[0].message.contains("smoothing with 3 mm"), "{:?}", found.warnings);
    // An empty mask stays empty, with every step and no further warning.
    let all = Postprocessing {
        smooth_mm: Some(1.0),
        fill_holes: true,
        min_volume_ml: Some(1.0),
        largest_component: true,
        ..OFF
    };
    let found = apply(&mask(vec![0; 108], &grid), all);
    assert_eq!((found.record.voxels_after, found.record.steps.len(), codes(&found)), (0, 4, vec![]));
}

/// Plates of 5 voxels, 1.4 and 1.3 mm thick: what is thinner than 1.35 mm vanishes.
#[test]
fn thin_plates_vanish() {
    let left = |spacing: f64| {
        let grid = grid([1, 1, 41], [1.0, 1.0, spacing]);
        let mut labels = vec![0; 41];
        labels[18..23].fill(1);
        apply(&mask(labels, &grid), Postprocessing { smooth_mm: Some(1.0), ..OFF }).record.voxels_after
    };
    assert_eq!((left(0.28), left(0.26)), (3, 0));
    assert_eq!(left(1.0), 5);
}

#[test]
fn the_steps_have_one_order_and_the_record_says_what_they_did() {
    let all = Postprocessing {
        keep_with_prompt: true,
        smooth_mm: Some(0.5),
        fill_holes: true,
        min_volume_ml: Some(0.001),
        largest_component: true,
        neighbours: Neighbours::Six,
    };
    let mask = shell(None);
    let found = all.apply(&Object { name: "a", mask: &mask, marks: &click([2, 2, 2]) }).expect("postprocessed");
    let steps: Vec<&str> = found.record.steps.iter().map(|step| step.step.name()).collect();
    assert_eq!(steps, ["keep_with_prompt", "smooth", "fill_holes", "min_volume", "largest_component"]);
    let json = serde_json::to_value(&found.record).expect("JSON");
    assert_eq!(json["neighbours"], 6);
    assert_eq!(json["steps"][2]["step"], "fill_holes");
    assert_eq!(json["steps"][2].get("components"), None);
    let balance = |record: &Record| {
        record.steps.iter().fold(record.voxels_before, |voxels, step| voxels + step.voxels_added - step.voxels_removed)
    };
    assert_eq!(balance(&found.record), found.record.voxels_after);
    let said = "keep_with_prompt, smooth 0.5 mm, fill_holes, min_volume 0.001 mL, largest_component, 6 neighbours";
    assert_eq!(all.to_string(), said);
    assert!(OFF.is_off() && !all.is_off());
    assert_eq!(apply(&mask, OFF).mask, mask);
}

#[test]
fn settings_override_each_other_field_by_field_and_are_checked() {
    let file = Overrides { smooth_mm: Some(2.0), largest_component: Some(true), ..Overrides::default() };
    let object = Overrides { largest_component: Some(false), min_volume_ml: Some(0.5), ..Overrides::default() };
    let base = Postprocessing { fill_holes: true, largest_component: true, ..OFF };
    let found = base.overridden_by(&object.over(file));
    assert_eq!(found, Postprocessing { fill_holes: true, smooth_mm: Some(2.0), min_volume_ml: Some(0.5), ..OFF });
    let off =
        Overrides { smooth_mm: Some(0.0), min_volume_ml: Some(0.0), fill_holes: Some(false), ..Overrides::default() };
    assert!(found.overridden_by(&off).is_off());
    for (settings, part) in [
        (
            Postprocessing { smooth_mm: Some(-1.0), ..OFF },
            "smooth_mm: expected a number of millimetres from 0 (off) to 50, found -1",
        ),
        (Postprocessing { smooth_mm: Some(50.1), ..OFF }, "found 50.1"),
        (Postprocessing { smooth_mm: Some(f64::NAN), ..OFF }, "found NaN"),
        (
            Postprocessing { min_volume_ml: Some(-0.5), ..OFF },
            "min_volume_ml: expected a number of millilitres, 0 (off) or more, found -0.5",
        ),
        (Postprocessing { min_volume_ml: Some(f64::INFINITY), ..OFF }, "found inf"),
    ] {
        let error =
            settings.apply(&Object { name: "a", mask: &shell(None), marks: &Marks::default() }).expect_err("wrong");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.kind(), segvol_base::ErrorKind::Usage);
    }
    let limit = MAX_SMOOTH_MM.to_string();
    assert!(crate::checked_smooth_mm(-1.0).is_err_and(|expected| expected.ends_with(&limit)));
    for (text, expected) in
        [("6", Some(Neighbours::Six)), (" 26 ", Some(Neighbours::TwentySix)), ("8", None), ("", None)]
    {
        assert_eq!(text.parse::<Neighbours>().ok(), expected, "{text}");
    }
}

/// Voxel by voxel: what the model gave stays with the higher logit, and what was added takes nothing away.
#[test]
fn an_added_voxel_takes_none_from_another_object() {
    let grid = grid([6, 1, 1], [1.0; 3]);
    //            both, higher in b | added to a, b has it | added to both | a removed it | a alone | nobody
    let a = (vec![1, 1, 1, 0, 1, 0], vec![1.0, -0.5, -2.0, 9.0, 3.0, -1.0]);
    let b = (vec![1, 1, 1, 1, 0, 0], vec![2.0, 0.5, -1.0, 1.0, -1.0, -1.0]);
    let of = |objects: &[(Vec<u8>, Vec<f32>)]| {
        let found = label_map(&grid, objects.len(), |index| {
            let (labels, logits) = objects[index].clone();
            Ok::<_, MaskError>((Mask::from_labels(labels, Arc::clone(&grid))?, logits))
        });
        found.expect("a label map").into_labels()
    };
    assert_eq!(of(&[a.clone(), b.clone()]), Labels::U8(vec![2, 2, 2, 2, 1, 0]));
    assert_eq!(of(&[b, a]), Labels::U8(vec![1, 1, 1, 1, 2, 0]));
    // Outside of what the model saw, the earlier object's voxel stays, and of equal logits too.
    let unseen = (vec![1; 6], vec![f32::NAN, f32::NAN, 1.0, 1.0, f32::NAN, 0.0]);
    let seen = (vec![1; 6], vec![f32::NAN, -9.0, 1.0, 2.0, 1.0, 0.0]);
    assert_eq!(of(&[unseen, seen]), Labels::U8(vec![1, 2, 1, 2, 2, 1]));
    // More labels than bytes have.
    let many: Vec<_> = (0..300).map(|index| (vec![1; 6], vec![index as f32; 6])).collect();
    assert_eq!(of(&many), Labels::U16(vec![300; 6]));
    let short = label_map(&grid, 1, |_| Ok::<_, MaskError>((mask(vec![1; 6], &grid), vec![0.0; 5])));
    assert!(matches!(short, Err(MaskError::Length { expected: 6, found: 5, .. })));
}

#[test]
fn a_mask_with_other_labels_has_only_its_own() {
    let grid = grid([4, 1, 1], [1.0; 3]);
    let wide = Mask::from_labels(vec![1_u16, 2, 1, 256], Arc::clone(&grid)).expect("a mask");
    let found = apply(&wide, Postprocessing { largest_component: true, ..OFF });
    assert_eq!(found.mask.labels(), &Labels::U8(vec![1, 0, 0, 0]));
    assert_eq!(Runs::of(&wide).expect("memory").mask(&grid).expect("a mask").labels(), &Labels::U8(vec![1, 0, 1, 0]));
    let small = Arc::new(Grid::new([2, 1, 1], Affine::from_spacing([1.0; 3])).expect("a grid"));
    assert!(matches!(
        Runs::of(&wide).expect("memory").mask(&small),
        Err(MaskError::Length { expected: 2, found: 3, .. })
    ));
}

/// The same voxels in a file that stores an axis the other way round.
fn flipped(labels: &[u8], shape: [usize; 3], axis: usize) -> Vec<u8> {
    let voxel = |index: usize| [index % shape[0], index / shape[0] % shape[1], index / (shape[0] * shape[1])];
    let at = |index: usize| {
        let mut ijk = voxel(index);
        ijk[axis] = shape[axis] - 1 - ijk[axis];
        labels[(ijk[2] * shape[1] + ijk[1]) * shape[0] + ijk[0]]
    };
    (0..labels.len()).map(at).collect()
}

fn bytes(mask: &Mask) -> Vec<u8> {
    let Labels::U8(labels) = mask.labels() else { panic!("bytes") };
    labels.clone()
}

prop_compose! {
    fn masks()(shape in [1..9_usize, 1..9_usize, 1..9_usize], density in 10..246_i64, salt in 0..10_000_u64,
               spacing in [0.5..4.0_f64, 0.5..4.0_f64, 0.5..4.0_f64]) -> Mask {
        mask(formula(shape, "noise", density, salt), &grid(shape, spacing))
    }
}

prop_compose! {
    fn settings()(smooth in proptest::option::of(0.1..3.0_f64), fill_holes: bool, ml in proptest::option::of(0.001..0.2_f64),
                  largest_component: bool, neighbours in 0..3_usize) -> Postprocessing {
        Postprocessing { keep_with_prompt: false, smooth_mm: smooth, fill_holes, min_volume_ml: ml, largest_component,
                         neighbours: Neighbours::ALL[neighbours] }
    }
}

proptest! {
    #[test]
    fn what_is_promised_holds_afterwards(mask in masks(), settings in settings()) {
        let found = apply(&mask, settings);
        // Without smoothing, a second time changes nothing: no hole is left, nothing small, one component.
        let again = apply(&found.mask, Postprocessing { smooth_mm: None, ..settings });
        prop_assert_eq!(&again.mask, &found.mask);
        prop_assert_eq!(Runs::of(&found.mask).expect("memory").mask(mask.grid()).expect("a mask"), found.mask);
    }

    #[test]
    fn steps_only_add_or_only_remove(mask in masks(), neighbours in 0..3_usize, ml in 0.001..0.2_f64, near in [0..9_usize, 0..9, 0..9]) {
        let neighbours = Neighbours::ALL[neighbours];
        let before = bytes(&mask);
        let filled = bytes(&apply(&mask, Postprocessing { fill_holes: true, neighbours, ..OFF }).mask);
        prop_assert!(before.iter().zip(&filled).all(|(before, after)| before <= after));
        let removing = [
            Postprocessing { min_volume_ml: Some(ml), neighbours, ..OFF },
            Postprocessing { largest_component: true, neighbours, ..OFF },
            Postprocessing { keep_with_prompt: true, neighbours, ..OFF },
        ];
        for settings in removing {
            let found = settings.apply(&Object { name: "a", mask: &mask, marks: &click(near) }).expect("postprocessed");
            prop_assert!(before.iter().zip(&bytes(&found.mask)).all(|(before, after)| before >= after));
        }
        // Not empty unless it was; a larger mask stays larger.
        let kept = apply(&mask, removing[1]).record;
        prop_assert_eq!(kept.voxels_after == 0, kept.voxels_before == 0);
    }

    #[test]
    fn smoothing_keeps_the_order_of_masks(mask in masks(), other in 0..10_000_u64, mm in 0.1..5.0_f64) {
        let grid = mask.grid();
        let more = formula(grid.shape_xyz(), "noise", 60, other);
        let larger: Vec<u8> = bytes(&mask).iter().zip(&more).map(|(a, b)| a | b).collect();
        let larger = Mask::from_labels(larger, Arc::clone(grid)).expect("a mask");
        let smooth = Postprocessing { smooth_mm: Some(mm), ..OFF };
        let [small, large] = [&mask, &larger].map(|mask| bytes(&apply(mask, smooth).mask));
        prop_assert!(small.iter().zip(&large).all(|(small, large)| small <= large));
    }

    #[test]
    fn the_direction_of_the_axes_changes_nothing(mask in masks(), settings in settings(), axis in 0..3_usize) {
        let shape = mask.shape_xyz();
        let turned = Mask::from_labels(flipped(&bytes(&mask), shape, axis), Arc::clone(mask.grid())).expect("a mask");
        // Which of two equal components is the first depends on the direction.
        let settings = Postprocessing { largest_component: false, ..settings };
        let (found, expected) = (apply(&turned, settings), apply(&mask, settings));
        prop_assert_eq!(bytes(&found.mask), flipped(&bytes(&expected.mask), shape, axis));
        prop_assert_eq!(found.record, expected.record);
        let largest = |mask: &Mask| apply(mask, Postprocessing { largest_component: true, ..settings }).record.voxels_after;
        prop_assert_eq!(largest(&turned), largest(&mask));
    }

    /// A box of background around the scan's mask changes nothing inside: only the part with the mask is looked at.
    #[test]
    fn a_larger_scan_changes_nothing(mask in masks(), ml in 0.001..0.2_f64, neighbours in 0..3_usize) {
        let settings = Postprocessing { min_volume_ml: Some(ml), largest_component: true, neighbours: Neighbours::ALL[neighbours], ..OFF };
        let ([ni, nj, nk], labels) = (mask.shape_xyz(), bytes(&mask));
        let large = grid([ni + 5, nj + 4, nk + 3], mask.grid().spacing_mm());
        let [li, lj, _] = large.shape_xyz();
        let place = |index: usize| ((index / (ni * nj) + 1) * lj + index / ni % nj + 2) * li + index % ni + 3;
        let mut padded = vec![0; large.voxels()];
        (0..labels.len()).for_each(|index| padded[place(index)] = labels[index]);
        let found = bytes(&apply(&Mask::from_labels(padded, Arc::clone(&large)).expect("a mask"), settings).mask);
        let expected = bytes(&apply(&mask, settings).mask);
        prop_assert!((0..labels.len()).all(|index| found[place(index)] == expected[index]));
        prop_assert_eq!(found.iter().filter(|&&label| label == 1).count(), expected.iter().filter(|&&label| label == 1).count());
    }
}
