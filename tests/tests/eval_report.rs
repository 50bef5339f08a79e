//! Statistics, paired comparisons and the page of `segvol eval`, and `segvol compare`: what they say follows from the rows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::evaluation::{scan, truth};
use segvol_tests::{bundle, models};
use serde_json::{Value, json};

const USAGE: i32 = 2;
const INPUT: i32 = 5;
const WARNED: i32 = 7;

const SCANS: [&str; 3] = ["lps_int16", "ras_scaled_odd", "smaller_than_window"];

/// A bundle of the tiny model, shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("eval_report");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

/// A folder with a label map for each scan and a case list. The names of cases and structures are markup.
fn folder() -> tempfile::TempDir {
    let folder = segvol_tests::folder!();
    let cases: Vec<Value> = SCANS.iter().map(|name| case(folder.path(), name)).collect();
    let structures = json!({"liver": 1, "<script>alert(\"spleen\")</script>": 2, "left kidney": 3});
    let list = json!({"schema_version": 1, "structures": structures, "cases": cases});
    fs::write(folder.path().join("cases.json"), list.to_string()).expect("written");
    folder
}

fn case(folder: &Path, name: &str) -> Value {
    truth(name).save(folder.join(format!("{name}_labels.nii.gz"))).expect("saved");
    json!({"name": format!("<b>{name}</b>"), "image": scan(name), "labels": format!("{name}_labels.nii.gz")})
}

fn eval(folder: &Path) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.args(["eval", "--provider", "cpu", "-m"]).arg(&*TINY).arg("--cases").arg(folder.join("cases.json"));
    command
}

fn compare(files: &[&Path]) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.arg("compare").args(files);
    command
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// What the page must hold, and what no page may: anything that is loaded from elsewhere or run.
fn check_page(path: &Path) -> String {
    let whole = fs::read_to_string(path).expect("a page");
    // Without the pictures, whose letters mean nothing.
    let mut page = String::new();
    for (index, part) in whole.split("data:image/png;base64,").enumerate() {
        let part = if index > 0 {
            part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "+/=".contains(c))
        } else {
            part
        };
        page.push_str(part);
        page.push_str("[PNG]");
    }
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
    for wrong in
        ["<script", "http://", "https://", "url(", "@import", " onload=", " onerror=", "NaN", "undefined", "<b>"]
    {
        let place = page.find(wrong).map(|at| page[at..].chars().take(60).collect::<String>());
        assert_eq!(place, None, "{wrong}");
    }
    for source in page.split("src=\"").skip(1) {
        assert!(source.starts_with("[PNG]"), "{}", &source[..40]);
    }
    whole
}

#[test]
fn the_page_holds_tables_plots_comparisons_and_pictures_and_loads_nothing() {
    let folder = folder();
    let page = folder.path().join("page.html");
    let run = || {
        let line = ["--prompts", "text,box", "--worst", "6", "--report"];
        eval(folder.path()).args(line).arg(&page).assert().success();
        check_page(&page)
    };
    let first = run();
    for part in [
        "<h1>SegVol evaluation</h1>",
        "3 of 3 cases scored, 6 objects",
        "&lt;script&gt;alert(&quot;spleen&quot;)&lt;/script&gt;",
        "&lt;b&gt;lps_int16&lt;/b&gt;",
        "95 % interval",
        "zoom-in against zoom-out alone",
        "box against text",
        "Content-Security-Policy",
    ] {
        assert!(first.contains(part), "no {part:?}");
    }
    assert_eq!(first.matches("<svg").count(), 3, "a plot for each compared figure");
    assert_eq!(first.matches("<figure>").count(), 6);
    assert_eq!(first.matches("<img ").count(), 6);
    assert!(first.len() < 1 << 20, "{} bytes", first.len());
    assert!(run() == first, "the same evaluation has another page");
}

/// Pictures of objects that a work file resumed are drawn again: the page is the same, byte for byte.
#[test]
fn a_resumed_evaluation_has_the_same_page() {
    let folder = folder();
    let (page, work) = (folder.path().join("page.html"), folder.path().join("work.jsonl"));
    let run = |more: &[&str]| {
        let mut command = eval(folder.path());
        command.args(["--prompts", "text,points", "--worst", "3", "--work"]).arg(&work).arg("--report").arg(&page);
        command.args(more).assert().success();
        check_page(&page)
    };
    for more in [&[][..], &["--together"]] {
        let first = run(more);
        assert_eq!(first.matches("<img ").count(), 3);
        assert!(run(more) == first, "{more:?}: all cases resumed");
        let records = fs::read_to_string(&work).expect("read");
        fs::write(&work, records.lines().take(2).map(|line| format!("{line}\n")).collect::<String>()).expect("written");
        assert!(run(&[more, &["--jobs", "3"]].concat()) == first, "{more:?}: one case resumed, three at a time");
        fs::remove_file(&work).expect("removed");
    }
}

/// The comparison of two files has the numbers of their rows.
#[test]
fn two_files_are_paired_by_case_structure_and_prompt() {
    let folder = folder();
    let [a, b] = ["a.json", "b.json"].map(|name| folder.path().join(name));
    eval(folder.path()).args(["--prompts", "text,box", "-o"]).arg(&a).assert().success();
    eval(folder.path()).args(["--prompts", "text,box", "--no-zoom", "-o"]).arg(&b).assert().success();
    let found = json_of(&said(compare(&[&b, &a]).args(["--format", "json"]).assert()));
    let comparison = &found["comparisons"][0];
    assert_eq!((&comparison["by"], &comparison["unpaired"]), (&json!("settings"), &Value::Null));
    let rows = |path: &Path| -> BTreeMap<String, f64> {
        let file = json_of(&fs::read_to_string(path).expect("read"));
        let mut rows = BTreeMap::new();
        for case in file["cases"].as_array().expect("cases") {
            for row in case["rows"].as_array().expect("rows").iter().filter(|row| row["truth_voxels"] != 0) {
                let key = format!("{} {} {}", case["case"], row["structure"], row["prompt"]);
                rows.insert(key, row["zoom_in"]["dice"].as_f64().expect("a number"));
            }
        }
        rows
    };
    let (first, second) = (rows(&b), rows(&a));
    let differences: Vec<f64> = first.iter().map(|(key, dice)| second[key] - dice).collect();
    assert!(differences.iter().any(|difference| *difference != 0.0), "the comparison would prove nothing");
    let groups = comparison["tables"][0]["groups"].as_array().expect("groups");
    let all: Vec<&Value> = groups.iter().filter(|group| group["structure"].is_null()).collect();
    assert_eq!(all.len(), 2, "one for each prompt");
    let sum = |name: &str| all.iter().map(|group| group[name].as_u64().expect("a count")).sum::<u64>();
    let count = |test: fn(f64) -> bool| differences.iter().filter(|difference| test(**difference)).count() as u64;
    assert_eq!(sum("better"), count(|difference| difference > 0.0));
    assert_eq!(sum("worse"), count(|difference| difference < 0.0));
    assert_eq!(sum("equal"), count(|difference| difference == 0.0));
    let weighted: f64 = all
        .iter()
        .map(|group| group["mean_difference"].as_f64().expect("a number") * group["objects"].as_f64().expect("a count"))
        .sum();
    assert!((weighted - differences.iter().sum::<f64>()).abs() < 1e-9);
    // `--compare zoom` says the same: the zoom-out pass is that of a run without zoom-in.
    let zoom = json_of(&said(compare(&[&a]).args(["--compare", "zoom", "--format", "json"]).assert()));
    assert_eq!(zoom["comparisons"][0]["tables"], comparison["tables"]);

    let page = folder.path().join("page.html");
    let text = said(compare(&[&a, &b]).arg("--report").arg(&page).assert());
    for part in ["# Comparisons", "b.json against ", "| structure ", "Surface Dice", "p (Holm)"] {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
    check_page(&page);
}

#[test]
fn what_cannot_be_compared_is_counted_and_named() {
    let folder = folder();
    let [a, b] = ["a.json", "b.json"].map(|name| folder.path().join(name));
    eval(folder.path()).args(["--prompts", "text", "-o"]).arg(&a).assert().success();
    let original = json_of(&fs::read_to_string(&a).expect("read"));
    let other = |change: &dyn Fn(&mut Value)| {
        let mut value = original.clone();
        change(&mut value);
        fs::write(&b, value.to_string()).expect("written");
        compare(&[&a, &b]).arg("--fail-on-warning").assert()
    };
    let renamed = other(&|value| value["cases"][0]["case"] = "other".into());
    refused(
        &renamed,
        WARNED,
        &["3 rows only in ", "a.json (case \"<b>lps_int16</b>\", ", "3 rows only in ", "case \"other\""],
    );
    let truth = other(&|value| value["cases"][0]["rows"][0]["truth_voxels"] = 7.into());
    refused(&truth, WARNED, &["1 row whose truths have different numbers of voxels (case \"<b>lps_int16</b>\", "]);
    let tolerance = other(&|value| value["header"]["settings"]["tolerance_mm"] = 3.into());
    refused(&tolerance, WARNED, &["surface Dice at 2 mm and at 3 mm: it is not compared"]);
    let none = other(&|value| {
        for case in value["cases"].as_array_mut().expect("cases") {
            case["case"] = format!("{}!", case["case"]).into();
        }
    });
    refused(&none, USAGE, &["have no object in common", "the same case, structure, prompt and truth"]);
    let alone = compare(&[&a]).assert();
    refused(&alone, USAGE, &["has one result: expected another file", "--compare zoom or prompts"]);
    let version = other(&|value| value["schema_version"] = 2.into());
    refused(
        &version,
        INPUT,
        &["expected the results of an evaluation as JSON", "expected 1, found 2", "hint: `segvol eval -o"],
    );
    let list = compare(&[&a, &folder.path().join("cases.json")]).assert();
    refused(&list, INPUT, &["found a case list"]);
    let missing = compare(&[&a, &folder.path().join("none.json")]).assert();
    refused(&missing, INPUT, &["none.json"]);
    refused(&compare(&[&a, &a]).arg("--report").arg(&a).assert(), USAGE, &["expected a name that ends in .html"]);
    let page = folder.path().join("a.html");
    fs::copy(&a, &page).expect("copied");
    refused(&compare(&[&page, &a]).arg("--report").arg(&page).assert(), USAGE, &["is the same file as the results"]);
}

/// Several profiles in one command are compared, as two commands with a file each would be.
#[test]
fn profiles_are_compared_in_one_command() {
    let folder = folder();
    let rows = folder.path().join("rows.json");
    let run = |profile: &str, more: &[&str]| {
        let mut command = eval(folder.path());
        command.args(["--prompts", "text,box", "--profile", profile]).args(more).arg("-o").arg(&rows);
        let text = said(command.assert());
        (text, json_of(&fs::read_to_string(&rows).expect("read")))
    };
    let (text, both) = run("default,released", &["--compare", "prompts"]);
    for part in
        ["# Profile default", "# Profile released", "# Profiles", "## released against default", "Kinds of prompts"]
    {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
    for (index, profile) in ["default", "released"].into_iter().enumerate() {
        let (_, one) = run(profile, &[]);
        assert_eq!(both["runs"][index]["cases"], one["cases"], "{profile}");
    }
    let comparisons = both["comparisons"].as_array().expect("comparisons");
    let kinds: Vec<&Value> = comparisons.iter().map(|one| &one["by"]).collect();
    assert_eq!(kinds, ["prompts", "prompts", "settings"]);
    // The file with both compares them again.
    fs::write(&rows, both.to_string()).expect("written");
    let again = json_of(&said(compare(&[&rows]).args(["--format", "json"]).assert()));
    assert_eq!(again["comparisons"][0]["tables"], comparisons[2]["tables"]);
}

#[test]
fn statistics_are_in_every_format() {
    let folder = folder();
    let run = |format: &str| said(eval(folder.path()).args(["--prompts", "box", "--format", format]).assert());
    let found = json_of(&run("json"));
    let all = found["summary"].as_array().expect("groups").last().expect("all");
    let dice = &all["zoom_in"]["statistics"]["dice"];
    assert_eq!((&all["objects"], &dice["n"], &dice["mean"]), (&json!(6), &json!(6), &all["zoom_in"]["dice"]));
    let ends = dice["ci95"].as_array().expect("three cases have an interval");
    let mean = dice["mean"].as_f64().expect("a number");
    assert!(ends[0].as_f64() <= Some(mean) && Some(mean) <= ends[1].as_f64(), "{dice}");
    let text = run("md");
    assert!(text.contains("| 95 % interval ") && text.contains("objects with a Dice below 0.5: "), "{text}");
    let csv = run("csv");
    let names: Vec<&str> = csv.lines().next().expect("a line").split(',').collect();
    let place = names.iter().position(|name| *name == "zoom_in_dice_ci95_high").expect("a column");
    let last: Vec<&str> = csv.lines().last().expect("a line").split(',').collect();
    assert_eq!(names.len(), last.len());
    let high: f64 = last[place].parse().expect("a number");
    assert!((high - ends[1].as_f64().expect("a number")).abs() < 1e-6);
}
