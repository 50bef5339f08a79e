use std::path::Path;

use proptest::prelude::*;
use segvol::{Precision, Warning, WarningCode};
use segvol_base::ErrorKind;
use serde_json::json;

use super::*;
use crate::record::{Done, Failure, ObjectRecord, Outcome, OutputFile};
use crate::state::State;

/// A scan that is done.
pub(crate) fn done(id: &str) -> Record {
    let file = |path: String| OutputFile { path, sha256: "ab".repeat(32) };
    let object = ObjectRecord {
        name: "liver".to_owned(),
        label: 1,
        voxels: 123_456,
        volume_ml: 1_234.567_890_123_456_7,
        bounding_box_ijk: Some([[0, 1, 2], [3, 4, 5]]),
        voxels_before_postprocessing: None,
        warnings: vec![Warning::new(WarningCode::NameUnknown, "a warning with\na line break")],
    };
    let outcome = Outcome::Done(Done {
        scan_sha256: "cd".repeat(32),
        report: file(format!("{id}/report.json")),
        outputs: vec![file(format!("{id}/mask.nii.gz"))],
        precision: Precision::Fp32,
        windows: 4,
        objects: vec![object],
        warnings: Vec::new(),
    });
    record(id, outcome)
}

/// A scan that has failed.
pub(crate) fn failed(id: &str) -> Record {
    record(id, Outcome::Failed(Failure { kind: ErrorKind::Input, error: "no scan".to_owned(), attempts: 2 }))
}

fn record(id: &str, outcome: Outcome) -> Record {
    Record {
        id: id.to_owned(),
        path: None,
        settings_sha256: "ef".repeat(32),
        fingerprint: "1 2".to_owned(),
        host: "node".to_owned(),
        seconds: 0.1 + 0.2,
        outcome,
    }
}

pub(crate) fn settings() -> Value {
    json!({ "threshold": 0.5, "prompts": [{ "text": "liver" }, { "text": "spleen", "box": null }] })
}

/// A manifest of these records, in a folder.
fn written(out: &Path, records: &[Record]) -> Vec<u8> {
    let state = State::open(out, &settings(), true).expect("opened");
    for record in records {
        assert!(state.append(record).expect("appended"));
    }
    state.finish().expect("finished");
    fs::read(out.join(NAME)).expect("read")
}

#[test]
fn records_are_read_as_they_were_written_and_the_last_one_counts() {
    let out = tempfile::tempdir().expect("a folder");
    let bytes = written(out.path(), &[failed("b"), done("c"), done("a \u{1f9e0} \"/\n"), done("b")]);
    let text = String::from_utf8(bytes).expect("UTF-8");
    let first = r#"{"kind":"segvol cohort","schema_version":1,"settings":{"#;
    assert!(text.starts_with(first) && text.starts_with(std::str::from_utf8(BEGINNING).expect("ASCII")), "{text}");
    assert_eq!((text.lines().count(), text.ends_with('\n')), (5, true));
    let (found, records) = read(out.path()).expect("read");
    assert_eq!((found, records), (settings(), vec![done("a \u{1f9e0} \"/\n"), done("b"), done("c")]));
}

#[test]
fn a_record_that_could_not_be_read_again_is_not_written() {
    let out = tempfile::tempdir().expect("a folder");
    let before = written(out.path(), &[done("a")]);
    let state = State::open(out.path(), &settings(), true).expect("opened");
    let unreadable = Record { seconds: f64::NAN, ..done("b") };
    assert!(matches!(state.append(&unreadable), Err(CohortError::Io { path, .. }) if path.ends_with(NAME)));
    assert_eq!(fs::read(out.path().join(NAME)).expect("read"), before);
}

/// Readers skip it, and the next writer removes it.
#[test]
fn a_line_that_is_cut_anywhere_is_as_if_it_had_not_been_written() {
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().join(NAME);
    let whole = written(out.path(), &[done("a"), done("b")]);
    let last = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').expect("a line before") + 1;
    for cut in last..whole.len() {
        fs::write(&path, &whole[..cut]).expect("written");
        assert_eq!(read(out.path()).expect("read").1, [done("a")], "{cut}");
        assert_eq!(fs::read(&path).expect("read").len(), cut, "a reader changes nothing");
    }
    // Opening and writing wait for the disk, so not after every byte.
    for cut in (last..whole.len()).step_by(97).chain([whole.len() - 2, whole.len() - 1]) {
        fs::write(&path, &whole[..cut]).expect("written");
        let state = State::open(out.path(), &settings(), true).expect("opened");
        assert_eq!(state.records(), [done("a")], "{cut}");
        // Another writer is killed while this one is at work.
        let mut torn = fs::read(&path).expect("read");
        torn.extend_from_slice(&whole[last..cut]);
        fs::write(&path, torn).expect("written");
        state.refresh().expect("refreshed");
        assert_eq!(state.records(), [done("a")], "{cut}");
        assert!(state.append(&done("c")).expect("appended"));
        assert_eq!(read(out.path()).expect("read").1, [done("a"), done("c")], "{cut}");
    }
    // A header that is not complete has no run.
    let header = whole.iter().position(|&byte| byte == b'\n').expect("a line");
    for cut in [0, 1, BEGINNING.len() - 1, BEGINNING.len(), header / 2, header] {
        fs::write(&path, &whole[..cut]).expect("written");
        assert!(matches!(read(out.path()), Err(CohortError::Damaged { line: 1, .. })), "{cut}");
        let state = State::open(out.path(), &json!({ "other": cut }), false).expect("opened");
        assert!(state.append(&done("a")).expect("appended"));
        assert_eq!(read(out.path()).expect("read"), (json!({ "other": cut }), vec![done("a")]));
    }
}

#[test]
fn a_damaged_line_is_named_with_its_number() {
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().join(NAME);
    let whole = String::from_utf8(written(out.path(), &[done("a"), done("b"), done("c")])).expect("UTF-8");
    let lines: Vec<&str> = whole.lines().collect();
    let with = |line: usize, text: &str| {
        let mut lines = lines.clone();
        lines[line - 1] = text;
        lines.join("\n") + "\n"
    };
    let unknown = lines[2].replacen("\"id\"", "\"name\"", 1);
    for (line, text, reason) in [
        (1, "{}", "not the first line of a cohort's manifest: missing field `kind`"),
        (1, r#"{"kind":"segvol eval","schema_version":1,"settings":{}}"#, r#"its kind is "segvol eval""#),
        (
            1,
            r#"{"kind":"segvol cohort","schema_version":2,"settings":{}}"#,
            "schema version 2, this program reads version 1",
        ),
        (2, "{\"id\":", "not a record: expected a value; found the end of the line (column 7)"),
        (3, &unknown, "not a record: missing field `id`"),
        (3, "\0\0\0", "not a record: expected JSON, which begins with {; found `\\u{0}` (column 1)"),
    ] {
        let text = with(line, text);
        fs::write(&path, &text).expect("written");
        let expect = |error: CohortError| match error {
            CohortError::Damaged { path: named, line: found, reason: said } => {
                assert_eq!((named, found), (path.clone(), line), "{said}");
                assert!(said.contains(reason), "{said}");
            }
            other => panic!("{other}"),
        };
        expect(read(out.path()).expect_err("damaged"));
        expect(State::open(out.path(), &settings(), true).err().expect("damaged"));
        assert_eq!(fs::read_to_string(&path).expect("read"), text, "nothing is changed");
        assert_eq!(fs::read_dir(out.path()).expect("listed").count(), 1, "nothing is left");
    }
    // Blank lines are counted, and nothing else.
    fs::write(&path, with(3, "  ")).expect("written");
    assert_eq!(read(out.path()).expect("read").1, [done("a"), done("c")]);
}

#[test]
fn a_file_of_another_kind_is_not_replaced() {
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().join(NAME);
    for text in ["notes", "notes\n", "{\"kind\":\"other\"}\n", "{\"kind\":\"segvol eval\""] {
        fs::write(&path, text).expect("written");
        let error = State::open(out.path(), &settings(), true).err().expect("not a manifest");
        assert!(matches!(error, CohortError::Damaged { line: 1, .. }), "{text}: {error}");
        assert_eq!(fs::read_to_string(&path).expect("read"), text);
    }
}

#[test]
fn the_first_setting_that_differs_is_named() {
    let out = tempfile::tempdir().expect("a folder");
    let before = written(out.path(), &[done("a")]);
    let prompts = |texts: &[&str]| -> Value { texts.iter().map(|text| json!({ "text": text })).collect() };
    for (now, field, expected, found) in [
        (json!({ "threshold": 0.4, "prompts": settings()["prompts"] }), "threshold", "0.4", "0.5"),
        (json!({ "threshold": 0.5 }), "prompts", "null", &*settings()["prompts"].to_string()),
        (
            json!({ "threshold": 0.4, "prompts": prompts(&["liver", "kidney"]) }),
            "list of objects",
            "liver, kidney",
            "liver, spleen",
        ),
        (
            json!({ "threshold": 0.5, "prompts": [{ "text": "liver" }, { "box": [1], "text": "spleen" }] }),
            "prompts[1].box",
            "[1]",
            "null",
        ),
        (
            json!({ "threshold": 0.5, "prompts": settings()["prompts"], "deep": { "er": 1 } }),
            "deep",
            "{\"er\":1}",
            "null",
        ),
    ] {
        match State::open(out.path(), &now, true).err() {
            Some(CohortError::OtherRun { path, field: named, expected: here, found: there }) => {
                assert_eq!((&*path, &*named, &*here, &*there), (out.path(), field, expected, found));
            }
            other => panic!("{now}: {other:?}"),
        }
        assert_eq!(fs::read(out.path().join(NAME)).expect("read"), before, "nothing is changed");
    }
    // The order of fields is no difference.
    let text = String::from_utf8(before).expect("UTF-8");
    let (_, records) = text.split_once('\n').expect("a line");
    let header = r#"{"settings":{"threshold":0.5,"prompts":[{"text":"liver"},{"box":null,"text":"spleen"}]},"kind":"segvol cohort","schema_version":1}"#;
    fs::write(out.path().join(NAME), format!("{header}\n{records}")).expect("written");
    let state = State::open(out.path(), &settings(), true).expect("the same settings");
    assert_eq!(state.records(), [done("a")]);
}

#[test]
fn a_file_that_becomes_shorter_or_vanishes_is_an_error() {
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().join(NAME);
    let whole = written(out.path(), &[done("a"), done("b")]);
    let state = State::open(out.path(), &settings(), true).expect("opened");
    fs::write(&path, &whole[..whole.len() - 1]).expect("written");
    let error = state.append(&done("c")).expect_err("the last line was complete before");
    assert!(error.to_string().contains("line 3: the file has become shorter"), "{error}");
    fs::remove_file(&path).expect("removed");
    let error = state.append(&done("c")).expect_err("no file");
    assert!(matches!(&error, CohortError::Io { path: named, .. } if *named == path), "{error}");
    assert!(!path.exists(), "nothing is written without a header");
}

fn damaged_bytes() -> impl Strategy<Value = Vec<u8>> {
    let whole = {
        let out = tempfile::tempdir().expect("a folder");
        written(out.path(), &[done("a"), failed("b"), done("c")])
    };
    let length = whole.len();
    let changes = prop::collection::vec((0..length, prop::sample::select(&b"\n\0\"{}[],:9-\xff\\ae "[..])), 0..6);
    (changes, 0..=length, prop::collection::vec(any::<u8>(), 0..8)).prop_map(move |(changes, cut, tail)| {
        let mut bytes = whole.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut.max(length / 3));
        bytes.extend(tail);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// An error names a line that is there, and the lines before it can be read; otherwise reading all at once and line by line finds
    /// the same.
    #[test]
    fn damaged_bytes_give_records_or_an_error_that_names_the_line(bytes in damaged_bytes()) {
        let path = Path::new("manifest.jsonl");
        let complete = bytes.iter().filter(|&&byte| byte == b'\n').count();
        let mut step_by_step = Lines::default();
        let mut steps = bytes.split_inclusive(|&byte| byte == b'\n').map(|line| step_by_step.read(path, line));
        let first_error = steps.find_map(Result::err);
        match parse_all(path, &bytes) {
            Ok((settings, records)) => {
                prop_assert!(first_error.is_none());
                prop_assert_eq!(Some(settings), step_by_step.settings);
                prop_assert_eq!(step_by_step.count, complete);
                prop_assert!(records.len() < complete);
                let ids: Vec<&String> = step_by_step.records.keys().collect();
                prop_assert_eq!(records.iter().map(|record| &record.id).collect::<Vec<_>>(), ids);
            }
            Err(CohortError::Damaged { line, reason, .. }) => {
                let missing = complete == 0 && line == 1;
                prop_assert!((1..=complete).contains(&line) || missing, "line {} of {}", line, complete);
                prop_assert!(!reason.is_empty() && !reason.contains(" at line "), "{}", reason);
                if !missing {
                    let named = matches!(first_error, Some(CohortError::Damaged { line: found, .. }) if found == line);
                    prop_assert!(named);
                    prop_assert_eq!(step_by_step.count, line - 1);
                }
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
