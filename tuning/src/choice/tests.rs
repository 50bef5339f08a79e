use std::fs;

use segvol::Precision;

use super::*;
use crate::stored::{Gate, Run, SCHEMA_VERSION, Times, expected};

fn times(median: f64) -> Times {
    Times { runs: 3, min: median, median, p90: median, p99: median, max: median }
}

/// A folder with a file that stands for a library, and what is stored about a bundle.
struct Setting {
    folder: tempfile::TempDir,
    stored: Stored,
}

impl Setting {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stored = Stored {
            schema_version: SCHEMA_VERSION,
            tool: "segvol".to_owned(),
            machine: Machine::this(),
            manifest_sha256: String::new(),
            rows: Vec::new(),
        };
        let setting = Self { folder, stored };
        fs::write(setting.library(), "a library").expect("written");
        setting
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("library.so")
    }

    fn row(&mut self, provider: Provider, precision: Precision, ms: f64, dice: Option<f64>) -> &mut Row {
        self.stored.rows.push(Row {
            provider,
            precision,
            provider_options: Vec::new(),
            threads: machine::usable_cores(),
            library: Library::new(self.library(), "1.32.0".to_owned()),
            encode_ms: times(ms),
            decode_ms: Some(times(ms / 10.0)),
            peak_bytes: Some(1 << 20),
            failed: Vec::new(),
            gate: dice.map(|dice| Gate { dice, scans: 2, masks: 5 }),
        });
        self.stored.rows.last_mut().expect("a row")
    }

    fn choose(&self, options: &Options) -> Measured {
        let libraries = Libraries { files: vec![self.library()], named: false };
        choose(&self.stored, Path::new("file"), options, &libraries)
    }

    /// A folder with a bundle's manifest, and the stored benchmark of it.
    fn on_disk(&mut self) -> (PathBuf, PathBuf) {
        let [bundle, results] = ["bundle", "bench"].map(|name| self.folder.path().join(name));
        fs::create_dir_all(&bundle).expect("a folder");
        fs::write(bundle.join(MANIFEST_FILE), "{}").expect("written");
        self.stored.manifest_sha256 = sha256_file(&bundle.join(MANIFEST_FILE)).expect("a hash");
        (bundle, results)
    }
}

/// The reason of the row with this time.
fn reason(found: &Measured, ms: f64) -> &str {
    let row = found.rows.iter().find(|row| row.encode_ms == ms).expect("a row");
    row.reason.as_deref().unwrap_or_default()
}

#[test]
fn the_fastest_row_that_passed_comes_first() {
    let mut setting = Setting::new();
    setting.row(Provider::Cpu, Precision::Fp32, 100.0, None);
    setting.row(Provider::OpenVino, Precision::Fp32, 98.0, None);
    setting.row(Provider::Cpu, Precision::Int8, 50.0, Some(0.995));
    let found = setting.choose(&Options::default());
    let order: Vec<f64> = found.rows.iter().map(|row| row.encode_ms).collect();
    assert_eq!(order, [50.0, 98.0, 100.0]);
    assert!(found.rows.iter().all(|row| row.reason.is_none()));
    assert_eq!(found.library.as_ref().map(|(path, _)| path), Some(&setting.library()));
    assert_eq!((found.reason, found.rows[0].dice), (None, Some(0.995)));
}

#[test]
fn what_did_not_pass_is_never_chosen_though_it_is_the_fastest() {
    let mut setting = Setting::new();
    setting.row(Provider::Cpu, Precision::Fp32, 100.0, None);
    setting.row(Provider::Cpu, Precision::Int8, 10.0, Some(0.9899));
    setting.row(Provider::Cpu, Precision::Int8, 11.0, None);
    setting.row(Provider::OpenVino, Precision::Fp32, 12.0, None).provider_options =
        vec!["openvino.precision=bf16".to_owned()];
    setting.row(Provider::OpenVino, Precision::Fp32, 13.0, None).failed = vec!["mask_decoder".to_owned()];
    setting.row(Provider::Cpu, Precision::Fp16, 14.0, None);
    setting.row(Provider::Cpu, Precision::Int8, 15.0, Some(1.0)).gate = Some(Gate { dice: 1.0, scans: 0, masks: 0 });
    setting.row(Provider::Cpu, Precision::Fp32, 16.0, None).threads += 1;
    let found = setting.choose(&Options::default());
    assert_eq!(found.rows[0].encode_ms, 100.0);
    assert_eq!(found.rows.iter().filter(|row| row.reason.is_none()).count(), 1);
    assert!(reason(&found, 10.0).contains("0.9899"));
    for ms in [11.0, 12.0, 14.0] {
        assert_eq!(reason(&found, ms), "its masks were not compared with those of float32");
    }
    assert!(reason(&found, 13.0).ends_with("mask_decoder"));
    assert!(reason(&found, 16.0).contains("threads"));
}

#[test]
fn a_less_exact_row_must_be_worth_it() {
    let mut setting = Setting::new();
    setting.row(Provider::Cpu, Precision::Int8, 91.0, Some(1.0));
    let found = setting.choose(&Options::default());
    assert!(reason(&found, 91.0).contains("no exact row"), "{found:?}");
    assert!(found.reason.is_some() && found.library.is_none());
    setting.row(Provider::Cpu, Precision::Fp32, 100.0, None);
    assert!(reason(&setting.choose(&Options::default()), 91.0).contains("hardly faster"));
    setting.stored.rows[0].encode_ms = times(90.0);
    assert_eq!(setting.choose(&Options::default()).rows[0].precision, Precision::Int8);
    // Whoever asks for a precision has decided.
    setting.stored.rows[0].encode_ms = times(120.0);
    let found = setting.choose(&Options::default().precision(Precision::Int8));
    assert_eq!((found.rows[0].precision, found.rows[0].reason.as_deref()), (Precision::Int8, None));
    assert_eq!(reason(&found, 100.0), "another precision was requested");
}

#[test]
fn only_the_same_library_counts_and_the_best_one_decides() {
    let mut setting = Setting::new();
    let other = setting.folder.path().join("other.so");
    fs::write(&other, "another library").expect("written");
    setting.row(Provider::Cpu, Precision::Fp32, 100.0, None);
    setting.row(Provider::OpenVino, Precision::Fp32, 50.0, None).library =
        Library::new(other.clone(), "1.24.1".to_owned());
    let both = Libraries { files: vec![setting.library(), other.clone()], named: false };
    let found = choose(&setting.stored, Path::new("file"), &Options::default(), &both);
    assert_eq!(found.library, Some((other.clone(), "1.24.1".to_owned())));
    assert!(reason(&found, 100.0).starts_with("slower"));
    // A library that the search does not find is not loaded, whoever wrote the file.
    let found = setting.choose(&Options::default());
    assert_eq!(found.library.as_ref().map(|(path, _)| path), Some(&setting.library()));
    assert!(reason(&found, 50.0).contains("not found any more"));
    let named = Libraries { files: vec![setting.library()], named: true };
    let found = choose(&setting.stored, Path::new("file"), &Options::default(), &named);
    assert!(reason(&found, 50.0).contains("another one was requested"));
    // The same path with other contents is another library.
    fs::write(setting.library(), "a later library").expect("written");
    let found = choose(&setting.stored, Path::new("file"), &Options::default(), &both);
    assert!(reason(&found, 100.0).contains("another version of the library"));
}

#[test]
fn requested_options_turn_the_choice_off() {
    let mut setting = Setting::new();
    setting.row(Provider::Cpu, Precision::Fp32, 100.0, None);
    let mut options = Options::default();
    options.provider_options.set(Provider::Cpu, "spin=off").expect("an option");
    for options in [options, Options::default().stage_provider(segvol::Stage::MaskDecoder, Provider::Cpu)] {
        let found = setting.choose(&options);
        assert!(found.rows.is_empty() && found.reason.is_some_and(|reason| reason.contains("requested")));
    }
}

#[test]
fn another_machine_or_bundle_or_a_damaged_file_is_not_used_and_said() {
    let mut setting = Setting::new();
    setting.row(Provider::Cpu, Precision::Fp32, 100.0, None);
    let (bundle, results) = setting.on_disk();
    let found = || look_up(&results, &bundle, &Options::default()).expect("looked up");
    let reason =
        |found: &Found| found.measured.as_ref().and_then(|measured| measured.reason.clone()).unwrap_or_default();
    assert_eq!(found(), Found::default());

    let path = setting.stored.save(&results).expect("saved");
    let measured = found().measured.expect("what is stored");
    assert_eq!((measured.rows.len(), &measured.manifest_sha256), (1, &setting.stored.manifest_sha256));
    assert_eq!(
        look_up(&results, &bundle, &Options::default().provider(Provider::Cpu)).expect("looked up"),
        Found::default()
    );
    let run = Run {
        provider: Provider::Cpu,
        precision: Precision::Fp32,
        provider_options: vec![],
        threads: machine::usable_cores(),
        library: setting.library(),
    };
    let known = expected(&results, &setting.stored.manifest_sha256, &run).expect("measured");
    assert_eq!((known.encode_ms, known.decode_ms, known.peak_bytes), (100.0, Some(10.0), Some(1 << 20)));
    assert_eq!(expected(&results, &setting.stored.manifest_sha256, &Run { threads: 99, ..run }), None);

    let text = fs::read_to_string(&path).expect("read");
    for (from, to, part) in [
        ("{", "[", "expected"),
        ("\"schema_version\": 1", "\"schema_version\": 2", "found 2"),
        ("\"tool\"", "\"tools\"", "tools"),
        ("\"median\": 100.0", "\"median\": -1.0", "above 0"),
        ("\"provider\": \"cpu\"", "\"provider\": \"auto\"", "auto"),
    ] {
        fs::write(&path, text.replacen(from, to, 1)).expect("written");
        let found = found();
        assert!(reason(&found).contains(part), "{part}: {found:?}");
        assert_eq!(found.warnings.len(), 1, "{found:?}");
        assert!(found.warnings[0].message.contains(&path.display().to_string()), "{found:?}");
    }
    fs::write(&path, &text.as_bytes()[..text.len() / 2]).expect("written");
    assert_eq!(found().warnings.len(), 1, "half a file");
    fs::write(&path, text.replace(&setting.stored.manifest_sha256, &"0".repeat(64))).expect("written");
    assert_eq!((reason(&found()).as_str(), found().warnings.len()), ("measured with another bundle", 0));

    fs::remove_file(&path).expect("removed");
    setting.stored.machine.cores += 1;
    setting.stored.save(&results).expect("saved");
    assert!(reason(&found()).starts_with("measured on another machine"), "{:?}", found());
    fs::rename(file(&results, &setting.stored.manifest_sha256, &setting.stored.machine), &path).expect("renamed");
    assert!(reason(&found()).starts_with("measured on another machine"), "{:?}", found());
    fs::write(bundle.join(MANIFEST_FILE), "{ }").expect("written");
    assert_eq!(reason(&found()), "measured with another bundle");
}

#[test]
fn saving_at_the_same_time_leaves_one_whole_file() {
    let mut setting = Setting::new();
    for ms in 1..50 {
        setting.row(Provider::Cpu, Precision::Fp32, f64::from(ms), None);
    }
    let (_, results) = setting.on_disk();
    let path = setting.stored.save(&results).expect("saved");
    std::thread::scope(|scope| {
        for count in [10, 20, 30, 40] {
            let stored = Stored { rows: setting.stored.rows[..count].to_vec(), ..setting.stored.clone() };
            let results = &results;
            scope.spawn(move || (0..20).for_each(|_| drop(stored.save(results).expect("saved"))));
        }
        for _ in 0..100 {
            let found = Stored::read(&path).expect("whole").expect("there");
            assert!([10, 20, 30, 40, 49].contains(&found.rows.len()));
        }
    });
    assert_eq!(fs::read_dir(&results).expect("a folder").count(), 1, "nothing is left beside it");
}
