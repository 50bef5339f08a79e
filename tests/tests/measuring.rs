//! The commands `segvol verify` and `segvol bench`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol_onnx::Stage;
use segvol_tests::command::{SEGVOL, refused, said};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::Value;

const USAGE: i32 = 2;
const NOT_EQUAL: i32 = 3;
const PROVIDER: i32 = 4;
const INPUT: i32 = 5;
const BUNDLE: i32 = 6;

static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("measuring");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

fn segvol() -> Command {
    Command::new(&*SEGVOL)
}

fn verify(subject: &Path) -> Command {
    let mut command = segvol();
    command.arg("verify").arg(subject);
    command
}

/// A copy of the tiny bundle with one weight of a stage's graph changed by 0.3 %.
fn perturbed(dir: &Path, stage: Stage, weight: &str) -> PathBuf {
    bundle::edited(&TINY, dir, stage, |graph| {
        let tensor = bundle::initializer(graph, weight);
        let raw = tensor.raw_data.as_mut().expect("in the graph's file");
        for four in raw.as_chunks_mut().0 {
            *four = (f32::from_le_bytes(*four) * 1.003).to_le_bytes();
        }
    })
}

#[test]
fn a_bundle_equals_itself_and_the_released_code() {
    let dir = segvol_tests::folder!();
    let same = bundle::edited(&TINY, &dir.path().join("portable"), Stage::ImageEncoder, |_| ());
    let scan = data("tiny/volumes/ras_scaled_odd.nii.gz");
    let text = said(verify(&same).arg("--against").arg(&*TINY).arg("-i").arg(&scan).arg("--reasons").assert());
    for stage in ["image_encoder", "text_encoder", "prompt_encoder", "mask_decoder", "masks"] {
        assert!(text.contains(&format!("{stage} ")) && text.contains(&format!("{stage}: ")), "{text}");
    }
    assert!(!text.contains("NOT EQUAL"), "{text}");

    let goldens = data("tiny/stages.safetensors.gz");
    let found: Value =
        serde_json::from_str(&said(verify(&TINY).arg("--goldens").arg(&goldens).arg("--json").assert())).expect("JSON");
    let checks = found["checks"].as_array().expect("a list");
    // The image, the names, and seven prompts through two stages.
    assert_eq!(checks.len(), 2 + 2 * 7);
    assert!(
        checks.iter().all(|check| check["passed"] == true && check["difference"]["relative_l2"].as_f64() < Some(2e-5))
    );
}

/// A near miss for every stage: changing one weight by 0.3 % makes its stage fail, and no other stage.
#[test]
fn a_perturbed_weight_fails_and_its_stage_is_named() {
    let dir = segvol_tests::folder!();
    let reference = dir.path().join("reference.safetensors");
    said(verify(&TINY).arg("--dump").arg(&reference).assert());
    let cases = [
        (Stage::ImageEncoder, "image_encoder.norm.weight"),
        (Stage::TextEncoder, "text_encoder.clip_text_model.final_layer_norm.weight"),
        (Stage::PromptEncoder, "prompt_encoder.point_embeddings.2.weight"),
        (Stage::MaskDecoder, "mask_decoder.transformer.norm_final_attn.weight"),
    ];
    for (stage, weight) in cases {
        let near_miss = perturbed(&dir.path().join(stage.name()), stage, weight);
        let assert = verify(&near_miss).arg("--goldens").arg(&reference).assert();
        let message = format!("not equal in {stage}\n");
        refused(&assert, NOT_EQUAL, &[&message]);
    }
}

#[test]
fn what_cannot_be_compared_is_said_before_or_named() {
    let dir = segvol_tests::folder!();
    refused(&verify(&TINY).assert(), USAGE, &["--against", "--goldens"]);
    let file = dir.path().join("outputs.safetensors");
    fs::write(&file, "not safetensors").expect("written");
    refused(&verify(&TINY).arg("--goldens").arg(&file).assert(), INPUT, &["outputs.safetensors"]);
    let goldens = data("full/stages.safetensors.gz");
    let assert = verify(&TINY).arg("--goldens").arg(goldens).assert();
    assert_ne!(assert.get_output().status.code(), Some(0), "another model's outputs");

    let mut command = verify(&TINY);
    refused(&command.args(["--provider", "tensorrt"]).assert(), PROVIDER, &["tensorrt"]);
    let mut command = verify(&TINY);
    refused(&command.args(["--against-provider", "cuda", "--provider", "cpu"]).assert(), PROVIDER, &["cuda"]);
}

fn bench(arguments: &[&str]) -> Command {
    let mut command = segvol();
    command.arg("bench").arg(&*TINY).args(arguments);
    command
}

#[test]
fn every_combination_is_measured_and_every_sample_is_kept() {
    let dir = segvol_tests::folder!();
    let plot = dir.path().join("plot.svg");
    let mut command =
        bench(&["--runs", "2", "--warm-up", "1", "--threads", "1,2", "--batch", "1,2", "--format", "json"]);
    let text =
        said(command.arg("--stage").arg("image-encoder,text-encoder,mask-decoder").arg("--plot").arg(&plot).assert());
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let rows = found["rows"].as_array().expect("a list");
    assert_eq!(rows.len(), 3 * 2 * 2);
    for row in rows {
        let measured = &row["measured"];
        assert_eq!(measured["samples_ms"].as_array().map(Vec::len), Some(2), "{row:#}");
        assert_eq!((&row["provider"], &measured["used"]), (&"cpu".into(), &"cpu".into()));
        assert!(measured["nodes"]["CPUExecutionProvider"].as_u64() > Some(0), "{row:#}");
        for number in ["session_ms", "first_run_ms", "gflops", "peak_share", "per_second", "peak_resident_bytes"] {
            assert!(measured[number].as_f64() > Some(0.0), "{number}: {row:#}");
        }
        let [median, batch] = [&measured["summary_ms"]["median"], &row["batch"]].map(|n| n.as_f64().expect("a number"));
        let per_second = measured["per_second"].as_f64().expect("a number");
        assert!((per_second - 1e3 * batch / median).abs() < 1e-6 * per_second, "{row:#}");
    }
    assert_eq!(found["peaks"].as_array().map(Vec::len), Some(2));
    let drawing = fs::read_to_string(plot).expect("a plot");
    assert_eq!(drawing.matches("fill=\"#9ECAE1\"").count(), rows.len(), "a box a row");
}

#[test]
fn rows_are_printed_in_every_format() {
    let stage = ["--stage", "prompt-encoder", "--runs", "2", "--warm-up", "0"];
    for (format, separator) in [("table", "  "), ("md", "|"), ("csv", ",")] {
        let text = said(bench(&stage).args(["--format", format]).assert());
        let header = text.lines().next().expect("a header").trim_start_matches('|');
        let names: Vec<&str> = header.split(separator).map(str::trim).filter(|name| !name.is_empty()).collect();
        assert!(names.starts_with(&["stage", "provider", "used"]), "{format}: {text}");
        assert_eq!(names.len(), 22, "{format}: {text}");
        assert!(text.lines().any(|line| line.contains("prompt_encoder") && line.contains("cpu")), "{format}: {text}");
    }
}

#[test]
fn wrong_numbers_and_missing_providers_are_rows_and_exit_codes() {
    // The fused graph, which the CPU provider uses, is correct, so no row is wrong. A provider that is not available is
    // reported beside the measured rows.
    let stage = ["--stage", "image-encoder", "--runs", "1", "--warm-up", "0"];
    let assert = bench(&stage).args(["--provider", "cpu,tensorrt"]).assert();
    refused(&assert, PROVIDER, &["tensorrt"]);
    let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    let row = |provider: &str| text.lines().find(|line| line.contains(provider)).map(str::to_owned).expect("a row");
    assert!(row(" cpu ").contains("CPU "), "{text}");
    assert!(row("tensorrt").contains("none"), "{text}");

    refused(&bench(&["--runs", "0"]).assert(), USAGE, &["--runs"]);
    refused(&bench(&["--provider-option", "precision=bf16"]).assert(), USAGE, &["PROVIDER.precision"]);
    refused(&bench(&["--provider-option", "openvino.speed=high"]).assert(), USAGE, &["openvino", "speed", "streams"]);
    refused(&segvol().arg("bench").assert(), USAGE, &["random-weights"]);
}

/// Older spellings still work, and mean the same.
#[test]
fn old_spellings_are_accepted_and_two_bundles_are_not() {
    let tiny = TINY.to_str().expect("UTF-8");
    let run = |arguments: &[&str]| {
        let mut command = segvol();
        command.args(["bench", "--runs", "1", "--format", "csv"]).args(arguments);
        command
    };
    let stages = |arguments: &[&str]| {
        let text = said(run(arguments).assert());
        text.lines().skip(1).filter_map(|row| row.split(',').next().map(str::to_owned)).collect::<Vec<_>>()
    };
    let expected = ["text_encoder", "prompt_encoder"];
    assert_eq!(stages(&["-m", tiny, "--stage", "text_encoder,prompt_encoder"]), expected);
    assert_eq!(stages(&[tiny, "--stage", "text-encoder", "--stage", "prompt-encoder"]), expected);

    refused(&run(&["-m", tiny, tiny]).assert(), USAGE, &["--model"]);
    refused(&run(&["-m", tiny, "--random-weights"]).assert(), USAGE, &["--random-weights"]);
    refused(&run(&["-m", tiny, "--stage", "decoder"]).assert(), USAGE, &["mask_decoder"]);
    let mut both = segvol();
    both.args(["verify", tiny, "--model", tiny, "--against-provider", "cuda"]);
    refused(&both.assert(), USAGE, &["--model"]);
    refused(&segvol().arg("verify").assert(), USAGE, &["--model"]);
}

/// The reference and each of several providers run in processes of their own; why one fails is the command's exit code.
#[test]
fn failures_of_worker_processes_keep_their_kind() {
    let dir = segvol_tests::folder!();
    let reference = dir.path().join("reference.safetensors");
    said(verify(&TINY).arg("--dump").arg(&reference).assert());
    let json = said(verify(&TINY).args(["--provider", "cpu,cpu", "--json", "--goldens"]).arg(&reference).assert());
    let found: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(found.as_array().map(Vec::len), Some(2), "{json}");

    let nowhere = dir.path().join("nowhere");
    let mut command = verify(&TINY);
    refused(&command.arg("--against").arg(&nowhere).assert(), BUNDLE, &["the reference, on provider `cpu`", "nowhere"]);
    let mut command = verify(&TINY);
    command.args(["--provider", "cpu,tensorrt", "--goldens"]).arg(&reference);
    refused(&command.assert(), PROVIDER, &["tensorrt"]);
    let mut command = bench(&["--stage", "text_encoder", "--runs", "1", "--precision", "int8"]);
    refused(&command.assert(), BUNDLE, &["int8"]);
    let broken = dir.path().join("broken.so");
    fs::write(&broken, "not a library").expect("written");
    let mut command = bench(&["--stage", "text_encoder", "--runs", "1", "--library"]);
    refused(&command.arg(&broken).assert(), PROVIDER, &["broken.so"]);
}

#[test]
fn a_job_s_shares_make_up_its_time() {
    let dir = segvol_tests::folder!();
    let objects = dir.path().join("objects.json");
    fs::write(&objects, r#"{"schema_version": 1, "objects": [{"text": "liver"}, {"text": "spleen"}]}"#)
        .expect("written");
    let scan = data("tiny/volumes/ras_scaled_odd.nii.gz");
    let job = |option: &str, format: &str| {
        let mut command = bench(&["--runs", "2", "--warm-up", "0", "--format", format, option]);
        command.arg(&objects).arg("-i").arg(&scan);
        said(command.assert())
    };
    let found: Value = serde_json::from_str(&job("--prompts", "json")).expect("JSON");
    let run = &found["jobs"]["cpu fp32"];
    assert_eq!((&run["objects"], run["total_ms"].as_array().map(Vec::len)), (&2.into(), Some(2)));
    assert!(run["windows"].as_u64() > Some(0));
    let shares = run["shares"].as_array().expect("a list");
    for index in 0..2 {
        let sum: f64 = shares.iter().map(|share| share["samples_ms"][index].as_f64().expect("a number")).sum();
        let total = run["total_ms"][index].as_f64().expect("a number");
        // Windows are cut and stitched while others are encoded, so the sum of the parts can be more than the whole,
        // but not less.
        assert!(sum >= 0.98 * total, "{sum} of {total}: {run:#}");
        assert!(shares.iter().all(|share| share["samples_ms"][index].as_f64() <= Some(total)), "{run:#}");
    }
    // The coarse mask needs one window of the several, and is not part of the total.
    let coarse = run["first_coarse_ms"].as_array().expect("a list");
    assert_eq!(coarse.len(), 2);
    for (coarse, total) in coarse.iter().zip(run["total_ms"].as_array().expect("a list")) {
        assert!(coarse.as_f64() > Some(0.0) && coarse.as_f64() < total.as_f64(), "{run:#}");
    }
    let text = job("--job", "table");
    let rows = [
        "load",
        "normalise",
        "encode",
        "decode",
        "stitch",
        "write",
        "total",
        "not ONNX Runtime",
        "first coarse mask: ",
    ];
    for share in rows {
        assert!(text.lines().any(|line| line.contains(share)), "{share}: {text}");
    }
}

#[test]
fn an_observer_can_stop_a_benchmark() {
    use std::ops::ControlFlow;

    use segvol::{Precision, Provider};

    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new());
    let plan = segvol_measure::Plan {
        bundle,
        stages: vec![Stage::TextEncoder],
        providers: vec![Provider::Cpu],
        provider_options: Vec::new(),
        precisions: vec![Precision::Fp32],
        threads: vec![None],
        batches: vec![1],
        runs: 1,
        warm_up: 0,
        libraries: segvol_measure::Libraries::new(Vec::new()),
        program: SEGVOL.to_path_buf(),
    };
    let error = segvol_measure::bench(&plan, &mut |_| ControlFlow::Break(()));
    assert!(matches!(error, Err(segvol_measure::Error::Cancelled)), "{error:?}");
}
