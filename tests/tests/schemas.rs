//! The JSON Schemas in `docs/schemas/`, against what the toolkit writes and reads, and against `docs/report.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use jsonschema::Validator;
use segvol::{WarningCode, parse_prompts};
use segvol_evaluation::cases;
use segvol_tests::command::{SEGVOL, said};
use segvol_tests::{bundle, models};
use serde_json::{Value, json};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn schema(name: &str) -> (Value, Validator) {
    let schema: Value = serde_json::from_str(&text(&format!("docs/schemas/{name}.schema.json"))).expect("JSON");
    let validator = jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    (schema, validator)
}

#[track_caller]
fn assert_valid(validator: &Validator, document: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// A report with everything in it, and the manifest of its bundle.
#[test]
fn reports_and_manifests_follow_their_schemas() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    let library = std::env::var_os("ORT_DYLIB_PATH").expect("the library of these tests");
    let convert = ["convert", "--precision", "fp32,fp16,int8", "--library"];
    said(
        Command::new(&*SEGVOL)
            .args(convert)
            .arg(&library)
            .arg(root("demo/SegVol_demo.pth"))
            .arg("-o")
            .arg(at("bundle"))
            .assert(),
    );
    let manifest: Value = serde_json::from_slice(&fs::read(at("bundle/manifest.json")).expect("read")).expect("JSON");
    assert_valid(&schema("manifest").1, &manifest);

    let objects = json!({"schema_version": 1, "objects": [
        {"text": "liver", "points": [[40, 45, 30], [1, 1, 1, 0]], "postprocess": {"smooth_mm": 1.5, "neighbours": 6}},
        {"name": "spleen", "box": [90, 50, 20, 110, 70, 45]},
        {"name": "air", "points": [[2, 2, 2, 0]]},
    ]});
    assert_valid(&schema("prompts").1, &objects);
    fs::write(at("objects.json"), objects.to_string()).expect("written");
    let all_steps = "--keep-with-prompt --fill-holes --min-volume 0.1 --largest-component";
    for options in [
        "",
        "--no-zoom --precision int8 --threshold 0.3",
        "--precision fp16 --profile released --probabilities maps --dtype float16",
        "--no-zoom --logits maps",
        all_steps,
    ] {
        let mut command = Command::new(&*SEGVOL);
        command.arg("segment").arg("-m").arg(at("bundle")).arg("-i").arg(root("demo/phantom.nii.gz"));
        command.arg("--prompts").arg(at("objects.json")).arg("-o").arg(at("map.nii.gz"));
        command.arg("--per-object").arg(at("masks")).arg("--report").arg(at("report.json"));
        command.arg("--truth").arg(root("demo/phantom_labels.nii.gz")).args(["--truth-label", "liver=1"]);
        said(command.args(options.split_whitespace()).current_dir(folder.path()).assert());
        let report: Value = serde_json::from_slice(&fs::read(at("report.json")).expect("read")).expect("JSON");
        assert_valid(&schema("report").1, &report);
        assert!(report["objects"][2]["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty()), "{report}");
    }
    // An unknown field, a missing one and an unknown code are found.
    let report: Value = serde_json::from_slice(&fs::read(at("report.json")).expect("read")).expect("JSON");
    let changes: [fn(&mut Value); 3] = [
        |report| report["colour"] = json!("red"),
        |report| _ = report["objects"][0].as_object_mut().expect("an object").remove("voxels"),
        |report| report["objects"][2]["warnings"][0]["code"] = json!("odd"),
    ];
    for change in changes {
        let mut wrong = report.clone();
        change(&mut wrong);
        assert!(!schema("report").1.is_valid(&wrong));
    }
}

/// Every line of a cohort's manifest, and the reports of its scans.
#[test]
fn cohorts_follow_their_schemas() {
    let folder = segvol_tests::folder!();
    let at = |name: &str| folder.path().join(name);
    let model = bundle::seeded(&at("bundle"), &models::tiny(), &BTreeMap::new());
    fs::write(at("damaged.nii.gz"), "no scan").expect("written");
    let phantom = root("demo/phantom.nii.gz");
    let line = |path: &Path, more: Value| {
        let mut line = json!({"path": path});
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        line
    };
    let lines = [
        line(&phantom, json!({})),
        line(&phantom, json!({"id": "b/2", "prompts": [{"name": "air", "points": [[2, 2, 2, 0], [3, 3, 3]]}]})),
        line(Path::new("damaged.nii.gz"), json!({})),
    ];
    let validator = schema("scan").1;
    lines.iter().for_each(|line| assert_valid(&validator, line));
    fs::write(at("scans.jsonl"), lines.map(|line| line.to_string()).join("\n")).expect("written");
    for (out, options) in [("a", &["--record-paths"][..]), ("b", &["--fill-holes", "--pattern", "{id}.nii.gz"])] {
        let mut command = Command::new(&*SEGVOL);
        command.args(["cohort", "--provider", "cpu", "--no-zoom", "--text", "liver", "-m"]).arg(&model);
        command.arg("--images").arg(at("scans.jsonl")).arg("--out").arg(at(out)).args(options).assert().code(1);
        let manifest = fs::read_to_string(at(out).join("manifest.jsonl")).expect("a manifest");
        let lines: Vec<Value> = manifest.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 4, "{manifest}");
        let (_, validator) = schema("cohort");
        for line in &lines {
            assert_valid(&validator, line);
            let mut wrong = line.clone();
            wrong["colour"] = json!("red");
            assert!(!validator.is_valid(&wrong), "{wrong}");
        }
        for line in lines.iter().filter(|line| line["status"] == "done") {
            let report = at(out).join(line["report"]["path"].as_str().expect("a path"));
            let report: Value = serde_json::from_slice(&fs::read(report).expect("read")).expect("JSON");
            assert_valid(&schema("report").1, &report);
            assert_eq!(report["scan"]["settings_sha256"], line["settings_sha256"]);
        }
    }
}

/// What the schema accepts as a line of a list, the reader accepts, and the other way round.
#[test]
fn lists_of_scans_are_read_as_their_schema_says() {
    let folder = segvol_tests::folder!();
    let (list, prompts) = (folder.path().join("scans.jsonl"), folder.path().join("p.json"));
    fs::write(prompts, r#"{"schema_version": 1, "objects": [{"text": "liver"}]}"#).expect("written");
    let good = [
        json!({"path": "a.nii"}),
        json!({"path": "a.nii", "id": "x/1", "series": "3"}),
        json!({"path": "a.nii", "prompts": "p.json"}),
        json!({"path": "a.nii", "prompts": [{"text": "liver"}]}),
        json!({"path": "a.nii", "prompts": {"space": "ras", "objects": [{"points": [[1, 2, 3]]}]}}),
    ];
    let bad = [
        json!([]),
        json!("a.nii"),
        json!({"id": "a"}),
        json!({"path": 1}),
        json!({"path": ""}),
        json!({"path": "a.nii", "name": "a"}),
        json!({"path": "a.nii", "id": 7}),
        json!({"path": "a.nii", "series": 3}),
        json!({"path": "a.nii", "prompts": []}),
        json!({"path": "a.nii", "prompts": {}}),
        json!({"path": "a.nii", "prompts": 1}),
    ];
    let (_, validator) = schema("scan");
    for (documents, valid) in [(&good[..], true), (&bad[..], false)] {
        for document in documents {
            assert_eq!(validator.is_valid(document), valid, "{document}");
            fs::write(&list, document.to_string()).expect("written");
            let found = segvol_cohort::scans(&list, Path::new("elsewhere"), segvol_cohort::Ids::Name);
            assert_eq!(found.is_ok(), valid, "{document}: {found:?}");
        }
    }
}

/// What the schemas accept, the readers accept, and the other way round.
#[test]
fn prompts_and_cases_are_read_as_their_schemas_say() {
    let (_, validator) = schema("prompts");
    let good = [
        json!({"schema_version": 1, "objects": [{"text": "liver"}]}),
        json!({"schema_version": 1, "space": "lps", "objects": [{"name": "a", "points": [[1, 2.5, -3], [1, 2, 3, 0]]}]}),
        json!({"schema_version": 1, "objects": [{"box": [0, 0, 0, 1, 1, 1], "space": "ras"}]}),
        json!({"schema_version": 1, "postprocess": {"fill_holes": true}, "objects": [{"text": "liver", "postprocess": {
            "keep_with_prompt": true, "smooth_mm": 50, "fill_holes": false, "min_volume_ml": 0, "largest_component": true, "neighbours": 18}}]}),
    ];
    let bad = [
        json!([]),
        json!({"objects": [{"text": "liver"}]}),
        json!({"schema_version": 2, "objects": [{"text": "liver"}]}),
        json!({"schema_version": 1, "objects": []}),
        json!({"schema_version": 1, "objects": [{"test": "liver"}]}),
        json!({"schema_version": 1, "objects": [{"points": [1, 2, 3]}]}),
        json!({"schema_version": 1, "objects": [{"points": [[1, 2]]}]}),
        json!({"schema_version": 1, "objects": [{"points": [[1, 2, 3, 2]]}]}),
        json!({"schema_version": 1, "objects": [{"box": [[0, 0, 0], [1, 1, 1]]}]}),
        json!({"schema_version": 1, "objects": [{"text": "liver"}], "space": "mni"}),
        json!({"schema_version": 1, "objects": [{"text": "liver"}], "postprocess": true}),
        json!({"schema_version": 1, "objects": [{"text": "liver"}], "postprocess": {"largest": true}}),
        json!({"schema_version": 1, "objects": [{"text": "liver", "postprocess": {"fill_holes": 1}}]}),
        json!({"schema_version": 1, "objects": [{"text": "liver", "postprocess": {"neighbours": 8}}]}),
        json!({"schema_version": 1, "objects": [{"text": "liver", "postprocess": {"smooth_mm": 51}}]}),
        json!({"schema_version": 1, "objects": [{"text": "liver", "postprocess": {"min_volume_ml": -1}}]}),
    ];
    for (documents, valid) in [(&good[..], true), (&bad[..], false)] {
        for document in documents {
            assert_eq!(validator.is_valid(document), valid, "{document}");
            assert_eq!(parse_prompts(&document.to_string()).is_ok(), valid, "{document}");
        }
    }

    let (_, validator) = schema("cases");
    let folder = segvol_tests::folder!();
    for name in ["a.nii.gz", "a_labels.nii.gz"] {
        fs::copy(root("demo/phantom_labels.nii.gz"), folder.path().join(name)).expect("copied");
    }
    fs::write(folder.path().join("names.json"), r#"{"liver": 1}"#).expect("written");
    let case = || json!({"image": "a.nii.gz", "labels": "a_labels.nii.gz"});
    let with = |fields: serde_json::Value| {
        let mut case = case();
        case.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        case
    };
    let good = [
        json!({"schema_version": 1, "structures": {"liver": 1}, "cases": [case()]}),
        json!({"schema_version": 1, "structures": {"liver": 1}, "cases": [{"image": "a.nii.gz"}]}),
        json!({"schema_version": 1, "cases": [{"name": "b", "image": "a.nii.gz", "labels": "a_labels.nii.gz", "structures": {"liver": 1}}]}),
        json!({"schema_version": 1, "structures": {"lung": [3, 4], "background": 0}, "cases": [case()]}),
        json!({"schema_version": 1, "structures": {"0": "background", "1": "liver"}, "cases": [case()]}),
        json!({"schema_version": 1, "structures": "names.json", "cases": [case()]}),
        json!({"schema_version": 1, "conventions": {"x": {"liver": 2}}, "cases": [with(json!({"convention": "x"}))]}),
        json!({"schema_version": 1, "cases": [{"image": "a.nii.gz", "structures": {"liver": {"file": ["b.nii", "c.nii"]}}}]}),
        json!({"schema_version": 1, "cases": [with(json!({"structures": {"liver": {"file": "b.nii"}, "spleen": 1}}))]}),
    ];
    let bad = [
        json!([case()]),
        json!({"structures": {"liver": 1}, "cases": [case()]}),
        json!({"schema_version": 1, "structures": {"liver": 0}, "cases": [case()]}),
        json!({"schema_version": 1, "structures": {"liver": "1"}, "cases": [case()]}),
        json!({"schema_version": 1, "structures": ["liver"], "cases": [case()]}),
        json!({"schema_version": 1, "structures": {"liver": 1}, "cases": []}),
        json!({"schema_version": 1, "structures": {"liver": 1}, "cases": [{"labels": "a_labels.nii.gz"}]}),
        json!({"schema_version": 1, "structures": {"liver": 1}, "cases": [case()], "folder": "."}),
        json!({"schema_version": 1, "structures": {"lung": []}, "cases": [case()]}),
        json!({"schema_version": 1, "structures": {"1": "liver", "spleen": 2}, "cases": [case()]}),
        json!({"schema_version": 1, "structures": {"1": " "}, "cases": [case()]}),
        json!({"schema_version": 1, "structures": {"liver": {"file": "b.nii"}}, "cases": [case()]}),
        json!({"schema_version": 1, "conventions": ["x"], "structures": {"liver": 1}, "cases": [case()]}),
        json!({"schema_version": 1, "conventions": {"x": {"liver": 2}}, "cases": [with(json!({"convention": "x", "structures": {"a": 1}}))]}),
        json!({"schema_version": 1, "cases": [with(json!({"structures": {"liver": {"file": []}}}))]}),
    ];
    for (documents, valid) in [(&good[..], true), (&bad[..], false)] {
        for document in documents {
            assert_eq!(validator.is_valid(document), valid, "{document}");
            let list = folder.path().join("cases.json");
            fs::write(&list, document.to_string()).expect("written");
            assert_eq!(cases::read_list(&list).is_ok(), valid, "{document}");
        }
    }
}

/// `docs/report.md` has every field of the report and every warning, and no other.
#[test]
fn the_documentation_of_the_report_is_complete() {
    fn fields(schema: &Value, defs: &Value, path: &str, found: &mut BTreeSet<String>) {
        if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
            if name != "warning" {
                fields(&defs[name], defs, path, found);
            }
            return;
        }
        for (name, value) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let nested = [value, &value["items"], &value["anyOf"][0]];
            found.insert(path.clone());
            nested.iter().for_each(|value| fields(value, defs, &path, found));
        }
    }
    let page = text("docs/report.md");
    let first_cells = |heading: &str| -> BTreeSet<String> {
        let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the section");
        let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        cells.map(|(cell, _)| cell.to_owned()).collect()
    };
    let (report, _) = schema("report");
    let mut expected = BTreeSet::new();
    fields(&report, &report["$defs"], "", &mut expected);
    assert_eq!(first_cells("Fields"), expected);

    let codes: BTreeSet<String> = WarningCode::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(first_cells("Warnings"), codes);
    for code in WarningCode::ALL {
        let row = format!("| `{code}` | {} |", code.meaning());
        assert!(page.contains(&row), "expected in docs/report.md: {row}");
    }
    let listed: BTreeSet<String> = report["$defs"]["warning"]["properties"]["code"]["enum"]
        .as_array()
        .expect("codes")
        .iter()
        .map(|code| code.as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(listed, codes);
}
