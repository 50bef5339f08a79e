use segvol_cohort::{Limits, Record, object_names};
use serde_json::json;

use super::*;

const MARKUP: &str = "<script>alert(\"x\")</script>";

/// A scan with a liver of some millilitres.
fn done(id: &str, volume_ml: f64, codes: &[&str]) -> Record {
    let warnings: Vec<Value> = codes.iter().map(|code| json!({"code": code, "message": MARKUP})).collect();
    let voxels = (volume_ml * 100.0) as u64;
    record(json!({
        "id": id, "settings_sha256": "ab", "fingerprint": "1", "host": "node1", "seconds": 30.0, "status": "done",
        "scan_sha256": "cd", "report": {"path": "report.json", "sha256": "ef"}, "outputs": [], "precision": "fp32", "windows": 5,
        "warnings": warnings,
        "objects": [
            {"name": "liver", "label": 1, "voxels": voxels, "volume_ml": volume_ml, "bounding_box_ijk": null, "warnings": []},
            {"name": format!("<i>{MARKUP}</i>"), "label": 2, "voxels": 0, "volume_ml": 0.0, "bounding_box_ijk": null, "warnings": []},
        ],
    }))
}

fn failed(id: &str) -> Record {
    record(json!({
        "id": id, "settings_sha256": "ab", "fingerprint": "1", "host": "node1", "seconds": 1.0, "status": "failed",
        "kind": "input", "error": format!("{MARKUP} is no scan"), "attempts": 1,
    }))
}

fn record(json: Value) -> Record {
    serde_json::from_value(json).expect("a record")
}

/// Livers of 1400 mL and more, one of 20 mL, one of 9000 mL, one failure. Ids are markup.
fn records() -> Vec<Record> {
    let mut records: Vec<Record> =
        (0..20).map(|n| done(&format!("s{n:02}"), 1400.0 + 20.0 * f64::from(n), &[])).collect();
    records.push(done("<b>small</b>", 20.0, &["affine_missing"]));
    records.push(done("large\u{202e}", 9000.0, &[]));
    records.push(failed("<b>broken</b>"));
    records.sort_by(|a, b| a.id.cmp(&b.id));
    records
}

fn settings() -> Value {
    json!({"tool": MARKUP, MARKUP: "x", "prompts": [{"text": MARKUP}]})
}

fn html(records: &[Record], pictures: &[CohortPicture]) -> String {
    let limits = if records.is_empty() { "{}" } else { "{\"liver\": [500, 3000]}" };
    let limits = Limits::parse(limits, &object_names(records)).expect("limits");
    let summary = Summary::new(records, &limits);
    CohortPage { settings: &settings(), summary: &summary, pictures, notes: &[MARKUP.to_owned()] }.html()
}

fn pictures() -> Vec<CohortPicture> {
    let one = |id: &str, picture| CohortPicture { id: id.to_owned(), caption: format!("liver: {MARKUP}"), picture };
    vec![one("<b>small</b>", Ok(b"\x89PNG".to_vec())), one("large", Err(format!("{MARKUP} is gone")))]
}

/// What no page may hold: anything that is loaded from elsewhere or run, and names that are markup.
#[track_caller]
fn check(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
    for wrong in [
        "<script",
        "http://",
        "https://",
        "url(",
        "@import",
        " onload=",
        " onerror=",
        "NaN",
        "inf",
        "<b>",
        "<i>",
        "\u{202e}",
    ] {
        let place = page.find(wrong).map(|at| page[at..].chars().take(60).collect::<String>());
        assert_eq!(place, None, "{wrong}");
    }
    for source in page.split("src=\"").skip(1) {
        assert!(source.starts_with("data:image/png;base64,"), "{}", &source[..40]);
    }
    let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for target in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert_eq!(ids.iter().filter(|id| **id == target).count(), 1, "{target} of {ids:?}");
    }
}

#[test]
fn the_page_holds_everything_and_loads_nothing() {
    let page = html(&records(), &pictures());
    check(&page);
    for part in [
        "<h1>SegVol cohort</h1>",
        "22 of 23 scans done, 1 failed; 11 min in total",
        "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; is no scan",
        "<strong>&lt;b&gt;small&lt;/b&gt;</strong>",
        "below 500 mL, ",
        "above 3000 mL, ",
        "data:image/png;base64,iVBORw==",
        "No picture: &lt;script&gt;",
        "in 22 scans: ",
        "affine_missing",
        "<title>liver: n 22, median 1590 mL, quartiles 1485 to 1695 mL</title>",
        "large\\u{202e}",
    ] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
    assert_eq!(page.matches("<svg").count(), 1);
    assert_eq!(page.matches("<g class=\"volumes\">").count(), 1, "an object that was never found has no box");
    assert_eq!(page.matches("<circle").count(), 2, "one for each outlier");
    assert_eq!(page.matches("<figure>").count(), 2);
    assert_eq!(page, html(&records(), &pictures()), "the same input has another page");
}

#[test]
fn what_there_is_not_has_no_section() {
    let empty = html(&[], &[]);
    check(&empty);
    assert!(empty.contains("0 of 0 scans done.") && !empty.contains("<svg"));
    assert_eq!(empty.matches("<section ").count(), 2, "settings and definitions");
}

#[test]
fn long_lists_are_cut_and_counted() {
    let records: Vec<Record> = (0..250).map(|n| failed(&format!("f{n:03}"))).collect();
    let limits = Limits::default();
    let summary = Summary::new(&records, &limits);
    let page = CohortPage { settings: &settings(), summary: &summary, pictures: &[], notes: &[] }.html();
    check(&page);
    assert!(page.contains("input: 250 scans") && page.contains("f199") && !page.contains("f200"));
    assert!(page.contains("and 50 more"));
    assert_eq!(page.matches("<li>").count(), 200);
}

#[test]
fn the_page_is_written_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    let summary = Summary::new(&records(), &Limits::default());
    let page = CohortPage { settings: &settings(), summary: &summary, pictures: &pictures(), notes: &[] };
    page.save(&path).expect("written");
    assert_eq!(std::fs::read_to_string(&path).expect("read"), page.html());
    page.save(&folder.path().join("missing/page.html")).expect_err("no folder");
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
}
