//! The folder of embeddings: a second process encodes nothing, and no mask depends on the folder, whatever happens to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use segvol::{
    Model, Options, Orientation, Precision, Prompt, Segmentation, Statistics, Study, StudyOptions, Volume, WarningCode,
};
use segvol_tests::faults::{kill_after, names, segvol, text};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::Value;
use tempfile::TempDir;

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";

/// A bundle, and a folder for everything else.
fn made() -> (PathBuf, TempDir) {
    let folder = segvol_tests::folder!();
    let bundle = bundle::seeded(&folder.path().join("made"), &models::tiny(), &BTreeMap::new());
    (bundle, folder)
}

fn stored_in(folder: &Path) -> StudyOptions {
    StudyOptions::default().embeddings(folder.to_owned())
}

fn study(model: &Model, options: &StudyOptions) -> Study {
    model.study_with(Volume::open(data(SCAN)).expect("a scan"), options).expect("a study")
}

fn bits(found: &Segmentation) -> Vec<u32> {
    found.logits().expect("memory").iter().map(|logit| logit.to_bits()).collect()
}

/// Segments in a new study, as a new process would. Returns the logits' bits, and what the study did.
fn segment(model: &Model, options: &StudyOptions, names: &[&str]) -> (Vec<Vec<u32>>, Statistics, Vec<WarningCode>) {
    let study = study(model, options);
    let prompts: Vec<Prompt> = names.iter().map(|name| Prompt::text(*name)).collect();
    let found = study.segment_all(&prompts).expect("segmented");
    let codes = study.embedding_warnings().iter().map(|warning| warning.code).collect();
    (found.iter().map(bits).collect(), study.statistics(), codes)
}

/// `segvol segment` with these objects: its output, the mask's bytes and the report.
fn command(bundle: &Path, folder: &Path, objects: &[&str], more: &[&str]) -> (Output, Vec<u8>, Value) {
    let own = tempfile::tempdir_in(folder).expect("a folder");
    let (mask, report) = (own.path().join("mask.nii"), own.path().join("report.json"));
    let scan = data(SCAN);
    let mut arguments = vec!["segment", "-i", text(&scan), "-m", text(bundle), "--provider", "cpu"];
    objects.iter().for_each(|name| arguments.extend(["--text", name]));
    arguments.extend(["-o", text(&mask), "--report", text(&report)]);
    let output = segvol(&[&arguments[..], more].concat(), own.path()).output().expect("started");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(mask.exists(), "{objects:?} {more:?}: {message}");
    let report = serde_json::from_slice(&fs::read(report).expect("a report")).expect("JSON");
    (output, fs::read(mask).expect("a mask"), report)
}

fn windows(report: &Value) -> [u64; 2] {
    ["windows_encoded", "windows_loaded"].map(|field| report[field].as_u64().expect("a number"))
}

#[test]
fn a_second_process_encodes_nothing_and_writes_the_same_mask() {
    let (bundle, folder) = made();
    let embeddings = folder.path().join("deep/embeddings");
    let with = ["--embeddings", text(&embeddings)];
    let both = ["liver", "spleen"];
    let (_, plain, without) = command(&bundle, folder.path(), &both, &[]);
    let (_, cold, first) = command(&bundle, folder.path(), &both, &with);
    let (said, warm, second) = command(&bundle, folder.path(), &both, &with);
    assert!(plain == cold && plain == warm, "the mask depends on the folder");
    let [encoded, loaded] = windows(&first);
    assert_eq!((windows(&without), loaded), ([encoded, 0], 0));
    assert!(encoded > 3, "{encoded}");
    assert_eq!(windows(&second), [0, encoded]);
    assert_eq!(names(&embeddings).len() as u64, encoded);
    let (summary, errors) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(summary.contains(&format!("0 windows encoded, {encoded} loaded")), "{summary}");
    assert!(!errors.contains("[embeddings_"), "{errors}");
    // Tomorrow's question: other objects, with points.
    let other = ["portal vein and splenic vein"];
    let (_, plain, without) = command(&bundle, folder.path(), &other, &[]);
    let (_, warm, report) = command(&bundle, folder.path(), &other, &with);
    assert!(plain == warm);
    let ([all, _], [encoded, loaded]) = (windows(&without), windows(&report));
    assert!(encoded + loaded == all && loaded > 0, "{encoded} encoded and {loaded} loaded of {all}");
}

/// At every precision, and where embeddings stay in the place where a session keeps its tensors.
#[test]
fn embeddings_come_back_with_all_their_bits() {
    let folder = segvol_tests::folder!();
    let checkpoint = segvol_tests::checkpoint::write_seeded(folder.path(), &models::tiny(), &BTreeMap::new());
    let precisions = [Precision::Fp32, Precision::Fp16].into();
    let bundle = folder.path().join("bundle");
    let options = segvol_converter::Options { precisions, ..Default::default() };
    bundle::converted(&checkpoint.expect("a checkpoint"), &bundle, &options);
    for (precision, bytes) in [(Precision::Fp32, 4), (Precision::Fp16, 2)] {
        for binding in ["off", "fresh", "fixed"] {
            let mut options = bundle::on_cpu().precision(precision);
            options.provider_options.set(options.provider, &format!("binding={binding}")).expect("an option");
            let model = Model::open(&bundle, &options).expect("a bundle");
            let (embeddings, what) =
                (folder.path().join(format!("{precision}{binding}")), format!("{precision} {binding}"));
            let objects = ["liver", "left kidney"];
            let (plain, alone, _) = segment(&model, &StudyOptions::default(), &objects);
            let (cold, first, codes) = segment(&model, &stored_in(&embeddings), &objects);
            assert_eq!((first.windows_encoded, codes), (alone.windows_encoded, vec![]), "{what}");
            let windows = study(&model, &stored_in(&embeddings)).stored_windows();
            assert_eq!(windows, first.windows_encoded, "{what}");
            let (warm, second, codes) = segment(&model, &stored_in(&embeddings), &objects);
            assert_eq!((second.windows_encoded, second.windows_loaded, codes), (0, windows, vec![]), "{what}");
            assert!(plain == cold && plain == warm, "{what}: other bits");
            let values = model.stages().architecture().image_tokens() * model.stages().architecture().channels;
            let file = embeddings.join(&names(&embeddings)[0]);
            let length = fs::metadata(file).expect("a file").len() as usize;
            assert!((bytes * values + 88..bytes * values + 200).contains(&length), "{what}: {length} bytes");
        }
    }
}

#[test]
fn another_scan_bundle_precision_or_orientation_reuses_nothing() {
    let (bundle, folder) = made();
    let embeddings = folder.path().join("embeddings");
    let with = stored_in(&embeddings);
    let model = bundle::open(&bundle);
    let (expected, first, _) = segment(&model, &with, &["liver"]);
    let unused = |what: &str, statistics: &Statistics| {
        assert!(statistics.windows_loaded == 0 && statistics.windows_encoded > 0, "{what}: {statistics:?}");
    };
    let ras = study(&model, &with).options().orientation;
    for orientation in ["stored", "sar"].map(|code| code.parse::<Orientation>().expect("a code")) {
        assert_ne!(Some(orientation), ras);
        let (_, statistics, _) = segment(&model, &with.clone().orientation(orientation), &["liver"]);
        unused("orientation", &statistics);
    }
    // One voxel differs.
    let volume = Volume::open(data(SCAN)).expect("a scan");
    let other = folder.path().join("other.nii");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(fs::File::open(data(SCAN)).expect("a scan")),
        &mut bytes,
    )
    .expect("read");
    let middle = 352 + (bytes.len() - 352) / 4 * 2;
    bytes[middle..middle + 2].copy_from_slice(&100_i16.to_le_bytes());
    fs::write(&other, bytes).expect("written");
    let changed = model.study_with(Volume::open(&other).expect("a scan"), &with).expect("a study");
    assert_eq!(changed.grid().shape_xyz(), volume.grid().shape_xyz());
    assert_eq!(changed.stored_windows(), 0);
    changed.segment(&Prompt::text("liver")).expect("segmented");
    unused("scan", &changed.statistics());
    // Other weights, if only of the decoder: a bundle is what its manifest says.
    let bias = [("mask_decoder.output_upscaling.3.bias".to_owned(), 1e-3)].into();
    let again = bundle::seeded(&folder.path().join("again"), &models::tiny(), &bias);
    unused("bundle", &segment(&bundle::open(&again), &with, &["liver"]).1);
    // Another option of the provider, which may change its arithmetic.
    let mut options = Options::default().provider(segvol::Provider::Cpu);
    options.provider_options.set(options.provider, "spin=off").expect("an option");
    unused("option", &segment(&Model::open(&bundle, &options).expect("a bundle"), &with, &["liver"]).1);
    // Threads change no bit, and neither does all the rest in the folder.
    let threads = Model::open(&bundle, &bundle::on_cpu().threads(3)).expect("a bundle");
    let (found, second, codes) = segment(&threads, &with, &["liver"]);
    assert_eq!((second.windows_encoded, second.windows_loaded, codes), (0, first.windows_encoded, vec![]));
    assert!(found == expected);
}

#[test]
fn damaged_files_are_a_warning_and_change_no_byte() {
    let (bundle, folder) = made();
    let embeddings = folder.path().join("embeddings");
    let with = ["--embeddings", text(&embeddings)];
    let (_, plain, _) = command(&bundle, folder.path(), &["liver"], &with);
    let files = names(&embeddings);
    for (number, name) in files.iter().enumerate() {
        let path = embeddings.join(name);
        let mut bytes = fs::read(&path).expect("read");
        match number % 3 {
            0 => *bytes.last_mut().expect("a byte") ^= 1,
            1 => bytes.truncate(bytes.len() / 2),
            _ => bytes.clear(),
        }
        fs::write(&path, bytes).expect("written");
    }
    let watched = [&with[..], &["--fail-on-warning=embeddings-damaged"]].concat();
    let (output, mask, report) = command(&bundle, folder.path(), &["liver"], &watched);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(mask == plain, "{message}");
    assert_eq!((output.status.code(), windows(&report)), (Some(7), [files.len() as u64, 0]), "{message}");
    let lines: Vec<&str> = message.lines().filter(|line| line.starts_with("warning: ")).collect();
    let said = format!("{} files were not used", files.len());
    assert!(lines.len() == 1 && lines[0].contains(&said) && lines[0].ends_with("[embeddings_damaged]"), "{message}");
    let codes: Vec<&str> =
        report["warnings"].as_array().expect("a list").iter().filter_map(|warning| warning["code"].as_str()).collect();
    assert!(codes.contains(&"embeddings_damaged"), "{codes:?}");
    // They were replaced.
    let (_, mask, report) = command(&bundle, folder.path(), &["liver"], &watched);
    assert_eq!((mask == plain, windows(&report)), (true, [0, files.len() as u64]));
}

#[test]
fn the_folder_can_be_deleted_limited_or_unusable_at_any_time() {
    let (bundle, folder) = made();
    let model = bundle::open(&bundle);
    let (expected, plain, _) = segment(&model, &StudyOptions::default(), &["liver"]);
    let embeddings = folder.path().join("embeddings");
    let forgetful = stored_in(&embeddings).cache_bytes(0);
    let live = study(&model, &forgetful);
    for round in 0..3 {
        let found = live.segment(&Prompt::text("liver")).expect("segmented");
        assert!([bits(&found)] == expected[..], "round {round}");
        assert_eq!(live.statistics().windows_encoded, (round + 1) * plain.windows_encoded);
        fs::remove_dir_all(&embeddings).expect("it was made again");
    }
    assert_eq!(live.embedding_warnings(), vec![]);

    let size = |folder: &Path| -> u64 {
        names(folder).iter().map(|name| fs::metadata(folder.join(name)).expect("a file").len()).sum()
    };
    segment(&model, &forgetful, &["liver"]);
    let limit = size(&embeddings) / 2;
    fs::write(embeddings.join("ct.nii.gz"), "somebody else's").expect("written");
    for round in 0..3 {
        let small = forgetful.clone().embeddings_bytes(limit);
        let (found, statistics, codes) = segment(&model, &small, &["liver", "spleen"]);
        assert!(found[0] == expected[0] && codes.is_empty(), "round {round}: {codes:?}");
        assert!(statistics.windows_encoded > 0, "round {round}");
        assert!(size(&embeddings) <= limit + 15, "round {round}: {} of {limit} bytes", size(&embeddings));
    }
    assert_eq!(fs::read(embeddings.join("ct.nii.gz")).expect("it stays"), b"somebody else's");

    // A folder that cannot be made is a warning; what is no folder is refused.
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let (found, _, codes) = segment(&model, &stored_in(&file.join("embeddings")), &["liver"]);
    assert_eq!((found == expected, codes), (true, vec![WarningCode::EmbeddingsNotStored]));
    let volume = Volume::open(data(SCAN)).expect("a scan");
    let error = model.study_with(&volume, &stored_in(&file)).err().expect("a file").to_string();
    assert!(error.contains("embeddings: expected a folder") && error.contains("file`"), "{error}");
    assert!(model.study_with(&volume, &stored_in(Path::new(""))).is_err(), "no name");
}

#[test]
fn processes_may_share_the_folder_and_be_killed() {
    let (bundle, folder) = made();
    let embeddings = folder.path().join("embeddings");
    let with = ["--embeddings", text(&embeddings)];
    let scan = data(SCAN);
    let base = ["segment", "-i", text(&scan), "-m", text(&bundle), "--provider", "cpu", "--text", "liver", "-q", "-o"];
    let mask = folder.path().join("killed.nii");
    for moment in [50, 90, 130, 170, 210, 250, 300, 400] {
        let arguments = [&base[..], &[text(&mask)], &with].concat();
        kill_after(&mut segvol(&arguments, folder.path()), Duration::from_millis(moment));
    }
    let objects = [["liver"], ["spleen"], ["left kidney"]];
    let plain = objects.map(|objects| command(&bundle, folder.path(), &objects, &[]).1);
    for _ in 0..2 {
        std::thread::scope(|scope| {
            let (bundle, folder, with) = (&bundle, folder.path(), &with);
            let running = objects.each_ref().map(|objects| scope.spawn(move || command(bundle, folder, objects, with)));
            for (running, plain) in running.into_iter().zip(&plain) {
                let (output, mask, _) = running.join().expect("no panic");
                let message = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && message.is_empty(), "{message}");
                assert!(mask == *plain);
            }
        });
    }
    // What a killed process leaves is hidden, and not under the name of an embedding.
    for name in names(&embeddings) {
        assert!(name.ends_with(".segvol") || name.starts_with(".segvol-store-"), "{name}");
    }
}

#[test]
fn a_folder_of_embeddings_is_no_other_folder() {
    let (bundle, folder) = made();
    let (file, scan) = (folder.path().join("file"), data(SCAN));
    fs::write(&file, "").expect("written");
    let masks = folder.path().join("masks");
    let refused = [
        (file.clone(), "expected a folder"),
        (bundle.clone(), "is in the folder of --model"),
        (bundle.join("embeddings"), "is in the folder of --model"),
        (masks.clone(), "is the same"),
        (scan.clone(), "is the same file as --input"),
    ];
    for (embeddings, said) in refused {
        let arguments = ["segment", "-i", text(&scan), "-m", text(&bundle), "--text", "liver", "--per-object"];
        let arguments = [&arguments[..], &[text(&masks), "--embeddings", text(&embeddings)]].concat();
        let output = segvol(&arguments, folder.path()).output().expect("started");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains(said), "{embeddings:?}: {message}");
    }
    assert!(!masks.exists() && fs::read(&file).expect("read").is_empty());
}
