//! Postprocessing through the command: the masks, label maps, reports and scores are those of the masks after it, and without it
//! nothing changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol::metrics::dice;
use segvol::postprocess::{INSIDE, Neighbours, Object, Postprocessing, label_map};
use segvol::{Error, Mask, Model, Options, Prompt, Provider, Segmentation, Study, Volume, parse_prompts};
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::{Value, json};

const USAGE: i32 = 2;
const WARNED: i32 = 7;

/// A bundle of the tiny model, shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postprocessing");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

fn scan() -> PathBuf {
    data("tiny/volumes/lps_int16.nii.gz")
}

fn study() -> Study {
    let model = Model::open(&*TINY, &Options::default().provider(Provider::Cpu)).expect("a bundle");
    model.study(Volume::open(scan()).expect("a scan")).expect("a study")
}

fn segment(options: &[&str]) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.args(["segment", "--provider", "cpu", "-m"]).arg(&*TINY).arg("-i").arg(scan()).args(options);
    command
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON")
}

/// Overlapping objects of every kind. The file's settings are those of all objects but the ones that an object has itself.
fn objects() -> Value {
    json!({
        "schema_version": 1,
        "postprocess": {"fill_holes": true, "min_volume_ml": 0.5, "neighbours": 6},
        "objects": [
            {"text": "liver"},
            {"text": "spleen", "postprocess": {"min_volume_ml": 0, "smooth_mm": 2.5}},
            {"name": "click", "points": [[36, 30, 13]], "postprocess": {"keep_with_prompt": true, "neighbours": 26}},
            {"name": "raw", "box": [30, 20, 8, 40, 35, 16], "postprocess": {"fill_holes": false, "min_volume_ml": 0}},
        ],
    })
}

/// What the settings of the file come to, beside `--largest-component` for all.
fn settings() -> [Postprocessing; 4] {
    let all = Postprocessing {
        fill_holes: true,
        min_volume_ml: Some(0.5),
        largest_component: true,
        neighbours: Neighbours::Six,
        ..Postprocessing::default()
    };
    [
        all,
        Postprocessing { min_volume_ml: None, smooth_mm: Some(2.5), ..all },
        Postprocessing { keep_with_prompt: true, neighbours: Neighbours::TwentySix, ..all },
        Postprocessing { fill_holes: false, min_volume_ml: None, ..all },
    ]
}

fn apply(study: &Study, prompt: &Prompt, found: &Segmentation, settings: &Postprocessing) -> Mask {
    let (mask, marks) = (found.mask().expect("memory"), study.marks(prompt));
    settings.apply(&Object { name: prompt.name(), mask: &mask, marks: &marks }).expect("postprocessed").mask
}

/// The label map, voxel by voxel: of the objects that have the voxel, the one with the highest logit.
fn expected_map(masks: &[Mask], found: &[Segmentation]) -> Vec<u16> {
    let logits: Vec<Vec<f32>> = found.iter().map(|found| found.logit_map().expect("memory")).collect();
    let label = |voxel: usize| {
        let mut best: Option<(f32, usize)> = None;
        for index in (0..masks.len()).filter(|&index| masks[index].labels().get(voxel) == Some(INSIDE)) {
            let logit = if logits[index][voxel].is_nan() { f32::NEG_INFINITY } else { logits[index][voxel] };
            if best.is_none_or(|(highest, _)| logit > highest) {
                best = Some((logit, index));
            }
        }
        best.map_or(0, |(_, index)| index as u16 + 1)
    };
    (0..masks[0].labels().len()).map(label).collect()
}

fn labels(path: &Path, like: &Mask) -> Vec<u16> {
    let (mask, _) = segvol::truth::read_label_map(path, like.grid()).expect("a label map");
    (0..mask.labels().len()).map(|voxel| mask.labels().get(voxel).expect("a voxel")).collect()
}

#[test]
fn what_is_written_reported_and_compared_are_the_masks_after_it() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("objects.json"), objects().to_string()).expect("written");
    // The truth: the liver as the model made it.
    let (study, prompts) = (study(), parse_prompts(&objects().to_string()).expect("prompts"));
    let found = study.segment_all(&prompts).expect("segmented");
    let raw: Vec<Mask> = found.iter().map(|found| found.mask().expect("memory")).collect();
    raw[0].save(at("truth.nii.gz")).expect("saved");

    let mut command = segment(&["--largest-component", "--truth-label", "liver=1", "--prompts"]);
    command.arg(at("objects.json")).arg("-o").arg(at("map.nii.gz")).arg("--per-object").arg(at("masks"));
    command.arg("--report").arg(at("report.json")).arg("--truth").arg(at("truth.nii.gz"));
    let said = said(command.arg("--overlay").arg(at("picture.png")).assert());
    let report = read(&at("report.json"));

    let masks: Vec<Mask> =
        (0..4).map(|index| apply(&study, &prompts[index], &found[index], &settings()[index])).collect();
    let map = labels(&at("map.nii.gz"), &raw[0]);
    assert!(map == expected_map(&masks, &found), "the label map is not that of the masks");
    for (index, mask) in masks.iter().enumerate() {
        let object = &report["objects"][index];
        let name = prompts[index].name();
        let written = labels(&at("masks").join(format!("{name}.nii.gz")), mask);
        let own: Vec<u16> = (0..map.len()).map(|voxel| mask.labels().get(voxel).expect("a voxel")).collect();
        assert!(written == own, "{name}: the written mask is another one");
        let voxels = mask.count(INSIDE);
        assert!(voxels > 0, "{name}");
        assert_eq!(object["voxels"]["zoom_in"], voxels, "{name}");
        assert_eq!(object["volume_ml"], mask.volume_ml(INSIDE), "{name}");
        let (low, high) = mask.bounding_box_ijk(INSIDE).expect("a mask");
        assert_eq!(object["bounding_box_ijk"], json!([low, high]), "{name}");
        let labelled = map.iter().filter(|&&label| usize::from(label) == index + 1).count();
        assert_eq!(object["voxels_in_label_map"], labelled, "{name}");
        let record = &object["postprocessing"];
        assert_eq!(
            (&record["voxels_before"], &record["voxels_after"]),
            (&raw[index].count(INSIDE).into(), &voxels.into())
        );
        assert_eq!(record["neighbours"], settings()[index].neighbours.count());
        assert!(said.contains(&format!("{name}  {voxels} voxels")), "{said}");
    }
    let steps = |index: usize| -> Vec<&str> {
        let steps = report["objects"][index]["postprocessing"]["steps"].as_array().expect("steps");
        steps.iter().map(|step| step["step"].as_str().expect("a name")).collect()
    };
    assert_eq!(steps(0), ["fill_holes", "min_volume", "largest_component"]);
    assert_eq!(steps(1), ["smooth", "fill_holes", "largest_component"]);
    assert_eq!(steps(2), ["keep_with_prompt", "fill_holes", "min_volume", "largest_component"]);
    assert_eq!(steps(3), ["largest_component"]);
    // If the masks had not changed, this would prove nothing.
    let differs = |index: usize| masks[index] != raw[index];
    assert!(differs(0) && differs(1) && differs(2) && differs(3), "{:#}", report["objects"]);
    let truth = raw[0].voxels_of(INSIDE).expect("memory");
    let expected = dice(&masks[0].voxels_of(INSIDE).expect("memory"), &truth, |&inside| inside, |&inside| inside);
    assert_eq!(report["objects"][0]["dice"], expected);
    assert!(expected < 1.0);
}

/// The rule of the label map is that of the model, if no mask changes.
#[test]
fn without_postprocessing_no_byte_changes() {
    let study = study();
    let prompts = parse_prompts(&objects().to_string()).expect("prompts");
    let found = study.segment_all(&prompts).expect("segmented");
    let object = |index: usize| -> Result<_, Error> { Ok((found[index].mask()?, found[index].logit_map()?)) };
    let combined = label_map(study.grid(), found.len(), object).expect("a label map");
    assert!(combined == study.label_map(&found).expect("a label map"));

    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    let run = |name: &str, options: &[&str]| {
        let mut command = segment(&["--text", "liver", "-o"]);
        command.arg(at(&format!("{name}.nii.gz"))).arg("--logits").arg(at(&format!("{name}_logits.nii.gz")));
        said(command.arg("--report").arg(at(&format!("{name}.json"))).args(options).assert());
        let file = |ending: &str| fs::read(at(&format!("{name}{ending}"))).expect("read");
        (file(".nii.gz"), file("_logits.nii.gz"), read(&at(&format!("{name}.json"))))
    };
    let (mask, logits, report) = run("plain", &[]);
    assert_eq!(report["objects"][0].get("postprocessing"), None);
    let (same, same_logits, off) = run("off", &["--smooth", "0", "--min-volume", "0"]);
    assert!(same == mask && same_logits == logits);
    assert_eq!(off["objects"][0].get("postprocessing"), None);
    // The logits stay those of the model.
    let (other, raw_logits, on) = run("on", &["--largest-component", "--neighbours", "6"]);
    assert!(other != mask && raw_logits == logits);
    assert!(on["objects"][0]["postprocessing"]["steps"][0]["removed_ml"].as_f64() > Some(0.0), "{on}");
}

#[test]
fn mistakes_are_said_before_any_work_and_losses_afterwards() {
    let folder = segvol_tests::folder!();
    let mask = folder.path().join("mask.nii.gz");
    let run = |options: &[&str]| segment(options).arg("-o").arg(&mask).assert();
    for (options, parts) in [
        (&["--text", "liver", "--smooth", "a"][..], &["--smooth", "millimetres from 0 (off) to 50"][..]),
        (&["--text", "liver", "--smooth", "60"], &["--smooth"]),
        (&["--text", "liver", "--min-volume=-1"], &["--min-volume", "millilitres, 0 (off) or more"]),
        (&["--text", "liver", "--min-volume", "nan"], &["--min-volume"]),
        (&["--text", "liver", "--largest-component", "--neighbours", "8"], &["--neighbours", "6, 18 or 26"]),
        (&["--text", "liver", "--neighbours", "6"], &["--neighbours", "--largest-component"]),
        (&["--text", "liver", "--keep-with-prompt"], &["--keep-with-prompt", "found neither"]),
        (&["--point", "36,30,13,0", "--text", "liver", "--keep-with-prompt"], &["--keep-with-prompt"]),
    ] {
        refused(&run(options), USAGE, parts);
    }
    assert!(!mask.exists());
    let assert = run(&["--text", "liver", "--min-volume", "1e6", "--fail-on-warning=mask_empty"]);
    refused(&assert, WARNED, &["every component has less than 1000000 mL", "[mask_empty]"]);
    assert!(mask.exists());
}

#[test]
fn an_evaluation_scores_the_masks_after_it() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    let study = study();
    let raw = study.segment(&Prompt::text("liver")).expect("segmented");
    raw.mask().expect("memory").save(at("labels.nii.gz")).expect("saved");
    let list = json!({"schema_version": 1, "structures": {"liver": 1}, "cases": [{"image": scan(), "labels": "labels.nii.gz"}]});
    fs::write(at("cases.json"), list.to_string()).expect("written");
    let eval = |options: &[&str]| {
        let mut command = Command::new(&*SEGVOL);
        command.args(["eval", "--provider", "cpu", "-m"]).arg(&*TINY).arg("--cases").arg(at("cases.json"));
        command.args(["--prompts", "text,text+points", "--work"]).arg(at("work.jsonl")).arg("-o").arg(at("rows.json"));
        command.args(options).assert()
    };
    let plain = said(eval(&[]));
    assert!(!plain.contains("postprocessing"), "{plain}");
    let rows = read(&at("rows.json"));
    assert_eq!(rows["header"]["settings"].get("postprocessing"), None);
    assert_eq!(rows["cases"][0]["rows"][0]["zoom_in"]["dice"], 1.0);
    assert_eq!(rows["cases"][0]["rows"][0]["zoom_in"]["hausdorff_mm"], 0.0);
    // Rows of other masks are not mixed.
    let options = ["--largest-component", "--keep-with-prompt", "--smooth", "1.5", "--neighbours", "18"];
    refused(&eval(&options), USAGE, &["work.jsonl", "settings.postprocessing"]);
    fs::remove_file(at("work.jsonl")).expect("removed");
    let printed = said(eval(&options));
    let line = "masks after postprocessing: keep_with_prompt, smooth 1.5 mm, largest_component, 18 neighbours\n";
    assert!(printed.contains(line), "{printed}");
    let rows = read(&at("rows.json"));
    let expected = json!({"keep_with_prompt": true, "smooth_mm": 1.5, "largest_component": true, "neighbours": 18});
    assert_eq!(rows["header"]["settings"]["postprocessing"], expected);
    // By its name alone, there is no place to choose by.
    let settings = Postprocessing {
        smooth_mm: Some(1.5),
        largest_component: true,
        neighbours: Neighbours::Eighteen,
        ..Postprocessing::default()
    };
    let truth = raw.mask().expect("memory").voxels_of(INSIDE).expect("memory");
    for (pass, mask) in [("zoom_out", raw.zoom_out_mask()), ("zoom_in", raw.mask())] {
        let mask = mask.expect("memory");
        let marks = segvol::Marks::default();
        let mask = settings.apply(&Object { name: "liver", mask: &mask, marks: &marks }).expect("postprocessed").mask;
        let row = &rows["cases"][0]["rows"][0][pass];
        assert_eq!(row["voxels"], mask.count(INSIDE), "{pass}");
        let inside = mask.voxels_of(INSIDE).expect("memory");
        assert_eq!(row["dice"], dice(&inside, &truth, |&inside| inside, |&inside| inside), "{pass}");
    }
    assert!(rows["cases"][0]["rows"][0]["zoom_in"]["dice"].as_f64() < Some(1.0));
    assert!(rows["cases"][0]["rows"][0]["zoom_in"]["hausdorff_mm"].as_f64() > Some(0.0));
    // A work file of the same settings is used again, and one of an older version, whose rows lack the greatest distance, too.
    let records = fs::read_to_string(at("work.jsonl")).expect("read");
    let mut older = records.clone();
    while let Some(start) = older.find("\"hausdorff_mm\":") {
        let end = start + older[start..].find(',').expect("another field") + 1;
        older.replace_range(start..end, "");
    }
    assert!(older != records);
    fs::write(at("work.jsonl"), older).expect("written");
    said(eval(&options));
    assert_eq!(read(&at("rows.json"))["cases"][0]["rows"][0]["zoom_in"]["hausdorff_mm"], Value::Null);

    let mut command = Command::new(&*SEGVOL);
    command.args(["eval", "-m"]).arg(&*TINY).arg("--cases").arg(at("cases.json"));
    let assert = command.args(["--prompts", "text", "--keep-with-prompt"]).assert();
    refused(&assert, USAGE, &["--keep-with-prompt", "found only text"]);
}
