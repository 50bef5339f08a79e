//! `segvol bench --save`, and provider `auto` that chooses by what it stored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as StdCommand;

use assert_cmd::Command;
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::{Value, json};

const USAGE: i32 = 2;
const INPUT: i32 = 5;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON")
}

/// The only file in a folder.
fn only_file(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let file = files.next().expect("a file");
    assert_eq!(files.next(), None);
    file
}

/// The demo's bundle with float32 and int8, and the file that `bench --save` stored about it.
struct Demo {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Demo {
    fn new() -> Self {
        let folder = segvol_tests::folder!();
        let at = |name: &str| folder.path().join(name);
        let mut convert = Command::new(&*SEGVOL);
        convert.args(["convert", "--precision", "fp32,int8", "--dynamic", "-o"]).arg(at("bundle"));
        said(convert.arg(root("demo/SegVol_demo.pth")).assert());
        let mut bench = Command::new(&*SEGVOL);
        bench.args(["bench", "--provider", "cpu", "--precision", "fp32,int8", "--runs", "2", "--save", "-m"]);
        bench.arg(at("bundle")).arg("--bench-results").arg(at("results"));
        let text = said(bench.arg("--gate-scan").arg(root("demo/phantom.nii.gz")).assert());
        let file = only_file(&at("results"));
        assert!(text.contains(&format!("stored in {}", file.display())), "{text}");
        assert!(text.contains("\nauto chooses cpu "), "{text}");
        Self { folder, file }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, options: &str) -> Command {
        let mut command = Command::new(&*SEGVOL);
        command.args(["segment", "--text", "liver", "--no-zoom", "-i"]).arg(root("demo/phantom.nii.gz"));
        command.arg("-m").arg(self.at("bundle")).arg("-o").arg(self.at("mask.nii.gz"));
        command.arg("--report").arg(self.at("report.json")).args(options.split_whitespace());
        command
    }

    /// Segments by what is stored. Returns the precision, the report's `measured`, and what was said.
    fn segment(&self, options: &str) -> (String, Value, String) {
        let assert = self.command(options).arg("--bench-results").arg(self.at("results")).assert().success();
        let output = assert.get_output();
        let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
        let provider = json_of(&self.at("report.json"))["provider"].take();
        assert_eq!((&provider["asked"], &provider["used"]), (&json!("auto"), &json!("cpu")), "{provider:#}");
        (provider["precision"].as_str().expect("a precision").to_owned(), provider["measured"].clone(), said)
    }

    /// Writes what is stored again, with a change.
    fn change(&self, stored: &Value, change: impl FnOnce(&mut Value)) {
        let mut stored = stored.clone();
        change(&mut stored);
        fs::write(&self.file, stored.to_string()).expect("written");
    }
}

/// The row of a precision.
fn row<'a>(rows: &'a Value, precision: &str) -> &'a Value {
    let rows = rows["rows"].as_array().expect("rows");
    rows.iter().find(|row| row["precision"] == precision).expect("a row")
}

#[test]
fn auto_chooses_by_what_was_saved_and_only_what_passed() {
    let demo = Demo::new();
    let stored = json_of(&demo.file);
    let schema: Value = json_of(&root("docs/schemas/bench.schema.json"));
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(&stored).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(stored["rows"].as_array().map(Vec::len), Some(2));
    assert_eq!(row(&stored, "fp32")["gate"], Value::Null);
    let gate = &row(&stored, "int8")["gate"];
    assert!(gate["dice"].as_f64() > Some(0.99) && gate["scans"] == 1 && gate["masks"].as_u64() > Some(0), "{gate}");
    for row in stored["rows"].as_array().expect("rows") {
        assert_eq!(row["failed"], json!([]), "{row:#}");
        assert!(
            row["decode_ms"]["median"].as_f64() > Some(0.0) && row["peak_bytes"].as_u64() > Some(1 << 20),
            "{row:#}"
        );
    }

    // As measured, whichever is the faster one here.
    let (precision, measured, _) = demo.segment("");
    let chosen = &measured["rows"][0];
    assert_eq!((chosen["precision"].as_str(), &chosen["reason"]), (Some(&*precision), &Value::Null), "{measured:#}");
    assert_eq!(chosen["encode_ms"], row(&stored, &precision)["encode_ms"]["median"]);
    assert_eq!(measured["file"].as_str(), demo.file.to_str());

    // int8 as the fastest one: chosen, unless anything speaks against it.
    let fast = |stored: &mut Value| {
        let rows = stored["rows"].as_array_mut().expect("rows");
        for row in rows {
            row["encode_ms"]["median"] = if row["precision"] == "int8" { json!(1.5) } else { json!(1000.5) };
        }
    };
    demo.change(&stored, fast);
    let stored = json_of(&demo.file);
    let (precision, measured, said) = demo.segment("");
    assert_eq!((&*precision, &measured["reason"]), ("int8", &Value::Null));
    assert_eq!(row(&measured, "fp32")["reason"], "slower: 1000.5 ms a window");
    assert!(said.contains("chosen by measurement: cpu int8, 1.5 ms a window, Dice 0.99"), "{said}");
    let report = json_of(&demo.at("report.json"));
    assert_eq!(report["provider"]["precision_asked"], Value::Null);
    let by_int8 = fs::read(demo.at("mask.nii.gz")).expect("read");
    said_alone(&demo, "--precision int8");
    assert!(fs::read(demo.at("mask.nii.gz")).expect("read") == by_int8, "the same mask as with the precision by name");

    let (precision, measured, _) = demo.segment("--precision fp32");
    assert_eq!((&*precision, row(&measured, "fp32")["reason"].as_str()), ("fp32", None));
    assert_eq!(row(&measured, "int8")["reason"], "another precision was requested");
    let (precision, measured, _) = demo.segment("--provider-option cpu.spin=off");
    assert_eq!((&*precision, measured["rows"].as_array().map(Vec::len)), ("fp32", Some(0)));
    said_alone(&demo, "--no-bench-results");
    assert_eq!(json_of(&demo.at("report.json"))["provider"]["measured"], Value::Null);
    assert_eq!(json_of(&demo.at("report.json"))["provider"]["precision"], "fp32");
    let results = demo.at("results");
    refused(&demo.command("--provider cpu --bench-results").arg(&results).assert(), USAGE, &["expected provider auto"]);

    type Change = fn(&mut Value);
    let against: [(&str, Change); 7] = [
        ("0.9899", |row| row["gate"]["dice"] = json!(0.9899)),
        ("not compared", |row| row["gate"] = Value::Null),
        ("mask_decoder", |row| row["failed"] = json!(["mask_decoder"])),
        ("threads", |row| row["threads"] = json!(999)),
        ("another version of the library", |row| row["library"]["sha256"] = json!("0".repeat(64))),
        ("another one was requested", |row| row["library"]["path"] = json!("/nowhere/libonnxruntime.so")),
        ("hardly faster", |row| row["encode_ms"]["median"] = json!(999.5)),
    ];
    for (reason, change) in against {
        demo.change(&stored, |stored| {
            let rows = stored["rows"].as_array_mut().expect("rows");
            change(rows.iter_mut().find(|row| row["precision"] == "int8").expect("a row"));
        });
        let (precision, measured, _) = demo.segment("");
        assert_eq!(precision, "fp32", "{reason}");
        let found = row(&measured, "int8")["reason"].as_str().expect("a reason");
        assert!(found.contains(reason), "{reason}: {found}");
    }

    let whole: [(&str, bool, Change); 4] = [
        ("another machine", false, |stored| stored["machine"]["cores"] = json!(999)),
        ("another bundle", false, |stored| stored["manifest_sha256"] = json!("0".repeat(64))),
        ("found 2", true, |stored| stored["schema_version"] = json!(2)),
        ("missing field", true, |stored| _ = stored.as_object_mut().expect("an object").remove("machine")),
    ];
    for (reason, is_warned, change) in whole {
        demo.change(&stored, change);
        let (precision, measured, said) = demo.segment("");
        assert_eq!(precision, "fp32", "{reason}");
        assert!(measured["reason"].as_str().is_some_and(|found| found.contains(reason)), "{reason}: {measured:#}");
        assert_eq!(said.contains("[bench_unusable]"), is_warned, "{said}");
    }
    // Half a file.
    let text = fs::read(&demo.file).expect("read");
    fs::write(&demo.file, &text[..text.len() / 2]).expect("written");
    let (precision, _, said) = demo.segment("");
    assert!(precision == "fp32" && said.contains("[bench_unusable]"), "{said}");
}

/// Segments, and expects success.
fn said_alone(demo: &Demo, options: &str) -> String {
    said(demo.command(options).assert())
}

#[test]
fn two_that_save_at_once_leave_one_whole_file_and_nothing_else() {
    let folder = segvol_tests::folder!();
    let tiny = bundle::seeded(&folder.path().join("tiny"), &models::tiny(), &BTreeMap::new());
    let home = folder.path().join("home");
    let start = |_| {
        let mut command = StdCommand::new(&*SEGVOL);
        command.args(["bench", "--stage", "image_encoder", "--provider", "cpu", "--runs", "1", "--warm-up", "0"]);
        command.args(["--save", "--format", "json", "-m"]).arg(&tiny).env("SEGVOL_HOME", &home);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("started")
    };
    for child in [0, 1].map(start) {
        let output = child.wait_with_output().expect("ended");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Standard output is JSON and nothing else.
        assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok());
    }
    let stored = json_of(&only_file(&home.join("bench")));
    assert_eq!((stored["rows"].as_array().map(Vec::len), &stored["rows"][0]["decode_ms"]), (Some(1), &Value::Null));

    // The folder of the variable is where `segment` looks.
    let mut command = Command::new(&*SEGVOL);
    command.args(["segment", "--text", "liver", "-i"]).arg(data("tiny/volumes/ras_scaled_odd.nii.gz"));
    command.arg("-m").arg(&tiny).arg("-o").arg(folder.path().join("mask.nii.gz")).env("SEGVOL_HOME", &home);
    let text = said(command.assert());
    assert!(text.contains("chosen by measurement: cpu fp32, "), "{text}");
}

#[test]
fn what_cannot_be_saved_is_said_before_any_work() {
    let mut command = Command::new(&*SEGVOL);
    command.args(["bench", "-m", "nowhere", "--save", "--stage", "mask_decoder"]);
    refused(&command.assert(), USAGE, &["--save", "image_encoder"]);
    let mut command = Command::new(&*SEGVOL);
    command.args(["bench", "-m", "nowhere", "--save", "--gate-scan", "missing.nii.gz"]);
    refused(&command.assert(), INPUT, &["missing.nii.gz"]);
    let mut command = Command::new(&*SEGVOL);
    command.args(["bench", "-m", "nowhere", "--gate-scan", "missing.nii.gz"]);
    refused(&command.assert(), USAGE, &["--save"]);
    let folder = segvol_tests::folder!();
    fs::write(folder.path().join("file"), "").expect("written");
    let mut command = Command::new(&*SEGVOL);
    command.args(["bench", "-m", "nowhere", "--save", "--bench-results"]).arg(folder.path().join("file"));
    refused(&command.assert(), USAGE, &["--bench-results"]);
}
