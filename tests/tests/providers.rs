//! Execution providers: their choice per stage, their options, and I/O binding. A provider is never silently replaced
//! by another one.
//!
//! OpenVINO needs another ONNX Runtime library than the one that these tests load. A process can load only one library,
//! so the tests of OpenVINO run the command `segvol`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use segvol::provider::{Binding, CpuOptions, OptionInfo};
use segvol::{
    Error, GraphSession, Model, Options, PointLabel, Precision, Profile, Prompt, Provider, ProviderOptions, Report,
    StudyOptions, Tensor, Volume,
};
use segvol_onnx::{Manifest, Stage};
use segvol_tests::golden::data;
use segvol_tests::{bundle, models};
use serde_json::Value;

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";

/// A bundle of the tiny model, shared by all tests here.
static TINY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("providers");
    bundle::seeded(&folder, &models::tiny(), &BTreeMap::new())
});

fn prompts() -> Vec<Prompt> {
    vec![
        Prompt::text("liver"),
        Prompt::text("spleen"),
        Prompt::text("left kidney").point([36.0, 30.0, 13.0], PointLabel::Foreground),
    ]
}

fn refused(options: &Options) -> Error {
    Model::open(&*TINY, options).err().expect("refused")
}

/// I/O binding, as it is used with a GPU, in CPU memory. Only the place of the tensors may change, not their values.
/// SLURM, `taskset` and `docker --cpuset-cpus` limit the processors of a process. With a number of its own, ONNX Runtime starts a thread
/// for each processor of the machine, and pins it there.
#[cfg(target_os = "linux")]
#[test]
fn threads_keep_to_the_processors_that_the_process_may_use() {
    use std::io::Write as _;
    let processors = segvol_base::machine::Processors::now();
    let status = std::fs::read_to_string("/proc/self/status").expect("read");
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t")).expect("a list").to_owned();
    let first = allowed.split([',', '-']).next().expect("a number").to_owned();
    let has_taskset = std::process::Command::new("taskset").arg("--version").output().is_ok();
    if processors.allowed < 2 || !has_taskset {
        // Not with `eprintln!`: the test harness hides its output if the test passes.
        let line = "SKIPPED providers: this needs two processors and `taskset`";
        return writeln!(std::io::stderr(), "{line}").expect("standard error");
    }
    let folder = segvol_tests::folder!();
    // The largest number of threads, and the processors that they could use.
    let watched = |options: &[&str]| {
        let mut command = std::process::Command::new("taskset");
        command.args(["-c", &first]).arg(&*segvol_tests::command::SEGVOL).args([
            "segment",
            "--provider",
            "cpu",
            "--text",
            "liver",
            "-q",
            "-m",
        ]);
        command.arg(&*TINY).arg("-i").arg(data(SCAN)).arg("-o").arg(folder.path().join("m.nii")).args(options);
        let mut child = command.env_remove("RUST_LOG").stderr(std::process::Stdio::piped()).spawn().expect("started");
        let (mut most, mut seen) = (0, std::collections::BTreeSet::new());
        while child.try_wait().expect("a child").is_none() {
            let tasks: Vec<_> =
                std::fs::read_dir(format!("/proc/{}/task", child.id())).into_iter().flatten().flatten().collect();
            most = most.max(tasks.len());
            for status in tasks.iter().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok()) {
                let name = status.lines().find_map(|line| line.strip_prefix("Name:\t"));
                // Until it runs `segvol`, the process may use what this one may.
                if name != Some("taskset") && !name.is_some_and(|name| name.starts_with("threads_keep")) {
                    seen.extend(
                        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t")).map(str::to_owned),
                    );
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let output = child.wait_with_output().expect("ended");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        assert!(errors.lines().all(|line| line.starts_with("warning: ")), "{errors}");
        assert!(seen.iter().all(|list| *list == first || *list == allowed), "{first}: {seen:?}");
        let elsewhere = seen.iter().filter(|list| **list != first).count();
        (most, elsewhere)
    };
    let (one, _) = watched(&["--threads", "1"]);
    let (most, elsewhere) = watched(&[]);
    assert!(most <= one + 1, "{most} threads, and {one} with one thread per graph");
    assert_eq!(elsewhere, 0, "a thread may run on other processors");
}

#[test]
fn bound_tensors_give_the_same_bits() {
    let logits = |binding, batch: u16| {
        let cpu = CpuOptions::default().binding(binding).window_batch(batch);
        let options = Options::default().provider(Provider::Cpu).provider_options(ProviderOptions::default().cpu(cpu));
        let model = Model::open(&*TINY, &options).expect("a model");
        let many_windows = StudyOptions::default().profile(Profile::Released).overlap(0.75);
        let study = model.study_with(Volume::open(data(SCAN)).expect("a scan"), &many_windows).expect("a study");
        let found = study.segment_all(&prompts()).expect("segmented");
        assert!(study.statistics().windows_encoded > 8, "several batches");
        let again = study.segment(&prompts()[0]).expect("from kept embeddings");
        assert_eq!(
            again.logits().expect("memory"),
            found[0].logits().expect("memory"),
            "{binding:?}: kept embeddings are not written over"
        );
        found
            .iter()
            .map(|found| found.logits().expect("memory").iter().map(|logit| logit.to_bits()).collect::<Vec<_>>())
            .collect()
    };
    let unbound: Vec<Vec<u32>> = logits(Binding::Off, 1);
    assert!(unbound.iter().flatten().any(|&bits| f32::from_bits(bits) > 0.0), "masks with something in them");
    for binding in [Binding::Fresh, Binding::Fixed] {
        for batch in [1, 2, 3, 4] {
            assert!(logits(binding, batch) == unbound, "{binding:?}, batches of {batch}: other logits");
        }
    }
}

#[test]
fn a_graph_with_fixed_addresses_gives_the_same_bits() {
    let [d, h, w] = models::tiny().window_dhw;
    let batch = |first: usize, count: usize| {
        let values = (0..count * d * h * w).map(|n| ((first + n) % 97) as f32 / 97.0).collect();
        vec![("image".to_owned(), Tensor::float(&[count, 1, d, h, w], values))]
    };
    let outputs = |binding| {
        let cpu = CpuOptions::default().binding(binding);
        let options = Options::default().provider(Provider::Cpu).provider_options(ProviderOptions::default().cpu(cpu));
        let manifest = Manifest::read(&TINY).expect("a manifest");
        let session = GraphSession::open_stage(&TINY, &manifest, Stage::ImageEncoder, &options).expect("a session");
        // Each size twice, in turns: the second run must not read what the first has left.
        [(0, 1), (5, 3), (11, 1), (23, 3)].map(|(first, count)| session.run(&batch(first, count)).expect("run"))
    };
    let unbound = outputs(Binding::Off);
    assert_ne!(unbound[0], unbound[2]);
    assert_eq!(outputs(Binding::Fixed), unbound);
}

#[test]
fn a_bound_embedding_can_be_read() {
    let embedding = |binding| {
        let cpu = CpuOptions::default().binding(binding);
        let options = Options::default().provider(Provider::Cpu).provider_options(ProviderOptions::default().cpu(cpu));
        let model = Model::open(&*TINY, &options).expect("a model");
        let window = ndarray::Array3::from_shape_fn(models::tiny().window_dhw, |(d, h, w)| (d + h + w) as f32 / 120.0);
        let embedding = model.stages().encode_image(window.view()).expect("encoded");
        (embedding.bytes(), embedding.values().expect("values").into_owned())
    };
    assert_eq!(embedding(Binding::Fresh), embedding(Binding::Off));
}

/// Each window of a batch gets a tensor of its own: its bytes count alone, and later batches do not write over it.
#[test]
fn bound_windows_of_a_batch_are_separate_tensors() {
    let folder = segvol_tests::folder!();
    let bundle = folder.path().join("bundle");
    let precisions = [Precision::Fp32, Precision::Fp16];
    let options = segvol_converter::Options { precisions: precisions.into(), ..Default::default() };
    bundle::converted(&TINY.with_file_name("model.safetensors"), &bundle, &options);
    for precision in precisions {
        let open = |binding, batch: u16| {
            let cpu = CpuOptions::default().binding(binding).window_batch(batch);
            let options = Options::default().provider(Provider::Cpu).precision(precision);
            Model::open(&bundle, &options.provider_options(ProviderOptions::default().cpu(cpu))).expect("a model")
        };
        let windows: Vec<ndarray::Array3<f32>> = (0..7)
            .map(|n| {
                ndarray::Array3::from_shape_fn(models::tiny().window_dhw, |(d, h, w)| {
                    ((d + h + w + 9 * n) % 50) as f32 / 50.0
                })
            })
            .collect();
        let views: Vec<_> = windows.iter().map(|window| window.view()).collect();
        let alone = open(Binding::Off, 1);
        let expected: Vec<_> = views.iter().map(|&view| alone.stages().encode_image(view).expect("encoded")).collect();
        for binding in [Binding::Off, Binding::Fresh, Binding::Fixed] {
            let model = open(binding, 4);
            let first = model.stages().encode_images(&views).expect("encoded");
            // In another order and other batches, so that kept memory has other values.
            let reversed: Vec<_> = views.iter().rev().copied().collect();
            let second = model.stages().encode_images(&reversed[..6]).expect("encoded");
            let single = model.stages().encode_image(views[3]).expect("encoded");
            for (index, expected) in expected.iter().enumerate() {
                let values = expected.values().expect("values");
                assert_eq!(first[index].values().expect("values"), values, "{precision}, {binding:?}, window {index}");
                assert_eq!(first[index].bytes(), expected.bytes(), "{precision}, {binding:?}");
                if index > 0 {
                    assert_eq!(second[6 - index].values().expect("values"), values, "{precision}, {binding:?}");
                }
            }
            assert_eq!(single.values().expect("values"), expected[3].values().expect("values"));
        }
    }
}

#[test]
fn arena_and_spinning_change_no_bit() {
    let logits = |cpu| {
        let options = Options::default().provider(Provider::Cpu).provider_options(ProviderOptions::default().cpu(cpu));
        let model = Model::open(&*TINY, &options).expect("a model");
        let study = model.study(Volume::open(data(SCAN)).expect("a scan")).expect("a study");
        study.segment(&prompts()[0]).expect("segmented").logits().expect("memory")
    };
    assert_eq!(logits(CpuOptions::default().arena(false).spin(false)), logits(CpuOptions::default()));
}

#[test]
fn a_stages_provider_is_looked_for_by_itself() {
    let options = Options::default().provider(Provider::Cpu);
    let model = Model::open(&*TINY, &options.clone().stage_provider(Stage::MaskDecoder, Provider::Cpu));
    let model = model.expect("the same provider twice");
    assert!(model.stages().providers().values().all(|&provider| provider == Provider::Cpu));
    assert_eq!(model.stages().providers().len(), 4);
    assert!(model.stages().left_to_cpu().is_empty(), "the CPU was requested");

    // No library has both.
    let missing = [Provider::Xnnpack, Provider::CoreMl];
    let errors = missing.map(|provider| refused(&options.clone().stage_provider(Stage::MaskDecoder, provider)));
    assert!(errors.iter().any(|error| matches!(error, Error::ProviderMissing { .. })), "{errors:?}");
    for (provider, error) in missing.into_iter().zip(errors) {
        if let Error::ProviderMissing { provider: named, offered, library } = &error {
            assert_eq!(*named, provider);
            assert!(error.to_string().contains(&*library.to_string_lossy()), "the loaded library is named: {error}");
            assert!(offered.contains(&Provider::Cpu));
            assert!(error.to_string().contains("offers: cpu"), "{error}");
        }
    }
    // `auto` chooses for the other stages, but not for a stage whose provider is set by name.
    let error = refused(&Options::default().stage_provider(Stage::MaskDecoder, Provider::CoreMl));
    assert!(error.to_string().contains("coreml"), "{error}");
    let error = refused(&options.stage_provider(Stage::MaskDecoder, Provider::Auto));
    assert!(matches!(error, Error::Setting { name: "stage provider", .. }), "{error}");
}

#[test]
fn auto_says_what_it_took_and_why_not_the_others() {
    let model = Model::open(&*TINY, &Options::default()).expect("a model");
    let used = model.stages().provider();
    let passed: Vec<Provider> = model.passed_over().iter().map(|passed| passed.provider).collect();
    for before in Provider::AUTO.into_iter().take_while(|&provider| provider != used) {
        assert!(passed.contains(&before), "{before} comes before {used}: {passed:?}");
    }
    assert!(model.passed_over().iter().all(|passed| !passed.reason.is_empty()));

    let study = model.study(Volume::open(data(SCAN)).expect("a scan")).expect("a study");
    let prompts = &prompts()[..1];
    let found = study.segment_all(prompts).expect("segmented");
    let report = Report::new(&model, &study, prompts, &found).to_json().expect("JSON");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let provider = &report["provider"];
    assert_eq!((provider["asked"].as_str(), provider["used"].as_str()), (Some("auto"), Some(used.name())));
    assert_eq!(provider["stages"]["mask_decoder"], used.name());
    assert_eq!(provider["passed_over"].as_array().map(Vec::len), Some(passed.len()));
    let version = provider["onnxruntime"].as_str().expect("a version");
    assert!(version.starts_with("1."), "{version}");
}

/// `docs/providers.md` must say the same as the program, for readers who have not installed it.
#[test]
fn every_option_is_documented_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/providers.md");
    let text = fs::read_to_string(path).expect("docs/providers.md");
    let mut missing = Vec::new();
    for provider in Provider::ALL {
        assert!(text.contains(&format!("`{provider}`")), "{provider}");
        for OptionInfo { key, values, default, meaning, source, .. } in ProviderOptions::info(provider) {
            let row = format!("| `{provider}.{key}` | {values} | {default} | {meaning} | {source} |");
            if !text.contains(&row) {
                missing.push(row);
            }
        }
    }
    assert!(missing.is_empty(), "docs/providers.md lacks:\n{}", missing.join("\n"));
}

fn segvol(library: &Path) -> Command {
    let mut command = Command::new(&*segvol_tests::command::SEGVOL);
    command.env("ORT_DYLIB_PATH", library);
    command
}

/// The ONNX Runtime library with OpenVINO, where `scripts/get-onnxruntime openvino` puts it.
fn openvino() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.onnxruntime/openvino/libonnxruntime.so")
}

/// Segments with OpenVINO. Returns the report and the voxels of the label map.
fn segment_with_openvino(folder: &Path, provider: &str, options: &[&str]) -> (Value, Vec<f32>) {
    let (mask, report) = (folder.join(format!("{provider}.nii.gz")), folder.join("report.json"));
    let mut command = segvol(&openvino());
    command.args(["segment", "--text", "liver", "--provider", provider, "--threads", "2", "-i"]).arg(data(SCAN));
    command.arg("-m").arg(&*TINY).arg("-o").arg(&mask).arg("--report").arg(&report);
    for option in options {
        command.args(["--provider-option", option]);
    }
    command.assert().success();
    let report = serde_json::from_slice(&fs::read(report).expect("a report")).expect("JSON");
    (report, Volume::open(mask).expect("a mask").voxels().to_vec())
}

#[test]
#[ignore = "needs scripts/get-onnxruntime openvino; run with --ignored"]
fn openvino_takes_every_node_and_agrees_with_the_cpu() {
    let folder = segvol_tests::folder!();
    let (_, expected) = segment_with_openvino(folder.path(), "cpu", &[]);
    let (report, found) = segment_with_openvino(folder.path(), "openvino", &[]);
    assert_eq!(report["provider"]["used"], "openvino");
    assert_eq!(report["provider"]["left_to_cpu"], serde_json::json!({}), "all nodes are OpenVINO's");
    for (stage, nodes) in report["provider"]["nodes"].as_object().expect("stages") {
        assert!(nodes["OpenVINOExecutionProvider"].as_u64() > Some(0), "{stage}: {nodes}");
    }
    let differing = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert!(expected.iter().any(|&label| label > 0.0));
    assert!(differing * 10_000 <= expected.len(), "{differing} of {} voxels differ", expected.len());

    let cache = folder.path().join("cache");
    let option = format!("cache={}", cache.display());
    let (_, bf16) = segment_with_openvino(folder.path(), "openvino", &["precision=bf16", &option, "streams=1"]);
    assert_eq!(bf16.len(), expected.len());
    let files = fs::read_dir(&cache).expect("a cache").count();
    assert!(files > 0, "compiled graphs are kept");
    segment_with_openvino(folder.path(), "openvino", &["precision=bf16", &option, "streams=1"]);
    assert_eq!(fs::read_dir(&cache).expect("a cache").count(), files, "a second run compiles nothing");
}

#[test]
#[ignore = "needs scripts/get-onnxruntime openvino; run with --ignored"]
fn openvinos_precision_hint_changes_the_numbers() {
    let folder = segvol_tests::folder!();
    let logits = |precision: &str| {
        let logits = folder.path().join(format!("{precision}.nii.gz"));
        let mut command = segvol(&openvino());
        command.args(["segment", "--text", "liver", "--provider", "openvino", "-i"]).arg(data(SCAN));
        command.arg("-m").arg(&*TINY).arg("-o").arg(folder.path().join("mask.nii.gz")).arg("--logits").arg(&logits);
        command.args(["--provider-option", &format!("precision={precision}")]);
        command.assert().success();
        let logits = Volume::open(logits).expect("logits");
        logits.voxels().iter().copied().filter(|logit| logit.is_finite()).collect::<Vec<f32>>()
    };
    // On a processor without bfloat16, OpenVINO ignores the hint. Then the results do not differ.
    let processor = segvol::probe::processor();
    let has_bf16 = processor.features.iter().any(|feature| feature.name == "avx512_bf16" && feature.present);
    let error = segvol_tests::compare::relative_l2(&logits("bf16"), &logits("f32"));
    assert!(error < 0.1, "relative L2 {error:.1e}");
    assert_eq!(error > 1e-5, has_bf16, "relative L2 {error:.1e}");
}

#[test]
fn providers_lists_libraries_providers_and_the_processor() {
    let library = std::env::var_os("ORT_DYLIB_PATH").expect("scripts/test sets it");
    let output = segvol(Path::new(&library)).args(["providers", "--json"]).assert().success();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    assert!(report["processor"]["threads"].as_u64() > Some(0));
    let first = &report["libraries"][0];
    assert_eq!(first["found_by"], "ORT_DYLIB_PATH");
    assert!(first["version"].as_str().is_some_and(|version| version.starts_with("1.")), "{first}");
    assert_eq!(first["problem"], Value::Null);
    let states = first["providers"].as_array().expect("providers");
    assert_eq!(states.len(), Provider::ALL.len() - 1);
    for state in states {
        let (usable, compiled_in) = (state["usable"] == true, state["compiled_in"] == true);
        assert_eq!(usable, state["reason"].is_null(), "{state}");
        assert!(compiled_in || !usable, "{state}");
        assert!(state["provider"] != "cpu" || usable, "{state}");
    }

    let text = segvol(Path::new(&library)).arg("providers").assert().success();
    let text = String::from_utf8_lossy(&text.get_output().stdout).into_owned();
    for part in ["processor", "found by   ORT_DYLIB_PATH", "cpu        usable", "build", "without"] {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

#[test]
fn providers_says_why_a_library_cannot_be_used() {
    let folder = segvol_tests::folder!();
    let broken = folder.path().join("libonnxruntime.so");
    fs::write(&broken, "no library").expect("written");
    let missing = folder.path().join("none.so");
    let output = segvol(&missing).arg("providers").arg("--library").arg(&broken).arg("--json").assert().success();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    for (index, (by, path)) in [("--library", &broken), ("ORT_DYLIB_PATH", &missing)].into_iter().enumerate() {
        let library = &report["libraries"][index];
        assert_eq!(library["found_by"], by);
        assert_eq!(library["path"].as_str(), path.to_str());
        assert!(library["problem"].as_str().is_some_and(|problem| !problem.is_empty()), "{library}");
    }
}

/// A copy of the command in a folder `bin`, which finds no library but those that the test puts somewhere.
struct Installed {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl Installed {
    fn new() -> Self {
        let folder = segvol_tests::folder!();
        let (program, copy) = (&*segvol_tests::command::SEGVOL, folder.path().join("prefix/bin/segvol"));
        fs::create_dir_all(copy.parent().expect("a folder")).expect("made");
        fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(drop)).expect("a second name");
        fs::create_dir(folder.path().join("work")).expect("made");
        let library = PathBuf::from(std::env::var_os("ORT_DYLIB_PATH").expect("scripts/test sets it"));
        Self { folder, library: library.canonicalize().expect("a library") }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("a folder").join(path)
    }

    /// Puts the library into a folder, under its name in a wheel.
    fn put(&self, folder: &str) -> PathBuf {
        fs::create_dir_all(self.path(folder)).expect("made");
        let file = self.path(folder).join("libonnxruntime.so.1.99.0");
        fs::copy(&self.library, &file).expect("copied");
        file
    }

    fn segvol(&self) -> Command {
        let mut command = Command::new(self.path("prefix/bin/segvol"));
        for variable in ["ORT_DYLIB_PATH", "SEGVOL_HOME", "LD_LIBRARY_PATH"] {
            command.env_remove(variable);
        }
        command.env("XDG_DATA_HOME", self.path("data")).current_dir(self.path("work"));
        command
    }
}

/// The place and the library that `segvol providers` says is used.
fn used(command: &mut Command) -> (String, Value) {
    let output = command.args(["providers", "--json"]).assert().success();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    let search = report["search"].as_array().expect("a list");
    let used: Vec<&Value> = search.iter().filter(|place| place["used"] == true).collect();
    assert_eq!(used.len(), 1, "{report}");
    (used[0]["name"].as_str().expect("a name").to_owned(), used[0]["library"].clone())
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_is_found_in_one_order() {
    use std::os::unix::fs::PermissionsExt;
    let installed = Installed::new();
    let expect = |command: &mut Command, name: &str, library: &Path| {
        assert_eq!(used(command), (name.to_owned(), Value::from(library.display().to_string())));
    };
    let (found, library) = used(&mut installed.segvol());
    assert_eq!((found.as_str(), library), ("the system's loader", Value::from("libonnxruntime.so")));

    // From the last place to the first: each comes before those where a library already is.
    let file = installed.put("work/.onnxruntime/openvino");
    for path in [&*file, &installed.path("work/.onnxruntime/openvino"), &installed.path("work/.onnxruntime")] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("set");
    }
    expect(&mut installed.segvol(), "the working folder", &file);
    fs::set_permissions(&file, PermissionsExt::from_mode(0o777)).expect("set");
    assert_eq!(used(&mut installed.segvol()).0, "the system's loader", "others may write to the file");
    for (folder, name) in [
        ("data/segvol/onnxruntime/openvino", "the user's data folder"),
        ("data/segvol/onnxruntime/cpu", "the user's data folder"),
        ("prefix/lib", "lib beside the program's bin"),
        ("prefix/bin", "beside the program"),
    ] {
        let file = installed.put(folder);
        expect(&mut installed.segvol(), name, &file);
    }
    let (named, by_option) = (installed.put("named"), installed.put("option"));
    expect(installed.segvol().env("ORT_DYLIB_PATH", &named), "ORT_DYLIB_PATH", &named);
    let variable = || {
        let mut command = installed.segvol();
        command.env("ORT_DYLIB_PATH", named.parent().expect("a folder"));
        command
    };
    expect(&mut variable(), "ORT_DYLIB_PATH", &named);
    let output = variable().args(["providers", "--library"]).arg(installed.path("option")).assert().success();
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(text.contains(&format!("-> --library                      {}", by_option.display())), "{text}");
    // A variable that leads to nothing is an error, although there are libraries elsewhere.
    let run = |command: &mut Command| {
        command.args(["segment", "--text", "liver", "-o", "mask.nii.gz", "-i"]).arg(data(SCAN)).arg("-m").arg(&*TINY);
        command.assert()
    };
    let refused = run(installed.segvol().env("ORT_DYLIB_PATH", installed.path("work"))).code(4);
    let message = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(message.contains("there is no libonnxruntime.so in this folder; found by: ORT_DYLIB_PATH"), "{message}");
    run(&mut variable()).success();
}

#[cfg(target_os = "linux")]
#[test]
fn the_requested_provider_decides_the_flavour_and_an_error_names_every_place() {
    let installed = Installed::new();
    let run = |provider: &str| {
        let mut command = installed.segvol();
        command.env("SEGVOL_HOME", installed.path("home"));
        command.args(["segment", "--text", "liver", "--provider", provider, "-o", "mask.nii.gz", "-i"]).arg(data(SCAN));
        let assert = command.arg("-m").arg(&*TINY).assert().code(4);
        String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
    };
    let message = run("cpu");
    for place in
        ["ORT_DYLIB_PATH (not set)", "prefix/bin`", "prefix/lib`", "home/onnxruntime/gpu`", "work/.onnxruntime/cpu`"]
    {
        assert!(message.contains(place), "no {place:?} in {message}");
    }
    assert!(
        !message.contains("data/segvol") && message.contains("hint: ") && message.contains("segvol setup cpu"),
        "{message}"
    );
    // Both are CPU libraries, so the requested provider is missing in the one that is loaded.
    installed.put("home/onnxruntime/cpu");
    let file = installed.put("home/onnxruntime/openvino");
    let message = run("openvino");
    assert!(message.contains(&format!("which offers: cpu; loaded from `{}`", file.display())), "{message}");
    assert!(message.contains("segvol setup openvino"), "{message}");
    let message = run("tensorrt");
    assert!(message.contains("home/onnxruntime/cpu/") && message.contains("segvol setup gpu"), "{message}");
}

/// The line of `scripts/onnxruntime-wheels.txt` for this machine: package, version and hash.
fn pinned_for_this_machine() -> Option<[String; 3]> {
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/onnxruntime-wheels.txt"));
    let table = table.expect("the table");
    let start = ["cpu", "Linux", std::env::consts::ARCH];
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let words = lines.find(|words| words.starts_with(&start))?;
    Some([words[3], words[4], words[7]].map(str::to_owned))
}

#[cfg(target_os = "linux")]
#[test]
fn setup_says_what_it_does_and_leaves_nothing_if_it_fails() {
    let Some([package, version, sha256]) = pinned_for_this_machine() else { return };
    let installed = Installed::new();
    let setup = |arguments: &[&str]| {
        let mut command = installed.segvol();
        command.env("SEGVOL_HOME", installed.path("home")).args(["setup", "cpu"]).args(arguments);
        command
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = setup(&["--dry-run"]).assert().success();
    let said = text(&said.get_output().stdout);
    let home = installed.path("home/onnxruntime/cpu").display().to_string();
    for part in [&package, &version, &sha256, &home] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    fs::write(installed.path("work/other.whl"), "another wheel").expect("written");
    let refused = setup(&["--wheel", "other.whl"]).assert().code(5);
    assert!(text(&refused.get_output().stderr).contains(&sha256));
    for (variables, reason) in [
        (vec![("PATH", "/nonexistent")], "python3 is needed"),
        (vec![("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", "")], "pip could not fetch"),
    ] {
        let refused = setup(&[]).envs(variables).assert().code(1);
        let message = text(&refused.get_output().stderr);
        assert!(message.contains(reason) && message.contains("ORT_DYLIB_PATH"), "{message}");
    }
    let left = fs::read_dir(installed.path("home/onnxruntime")).map(|left| left.count());
    assert!(matches!(left, Ok(0) | Err(_)), "{left:?}");

    // What is there already is not fetched again, and nothing is said.
    fs::create_dir_all(&home).expect("made");
    fs::write(installed.path("home/onnxruntime/cpu/libonnxruntime.so"), "a library").expect("written");
    fs::write(installed.path("home/onnxruntime/cpu/stamp"), format!("{package}=={version} sha256:{sha256}\n"))
        .expect("written");
    let quiet = setup(&[]).env("PATH", "/nonexistent").assert().success();
    assert!(quiet.get_output().stdout.is_empty() && quiet.get_output().stderr.is_empty());
}

#[test]
fn an_unknown_option_is_wrong_usage_and_names_the_known_ones() {
    let library = std::env::var_os("ORT_DYLIB_PATH").expect("scripts/test sets it");
    let run = |provider: &str, argument: &[&str]| {
        let mut command = segvol(Path::new(&library));
        command.args(["segment", "--text", "liver", "--provider", provider, "-o", "mask.nii.gz", "-i"]).arg(data(SCAN));
        let assert = command.arg("-m").arg(&*TINY).args(argument).assert().code(2);
        String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
    };
    let message = run("openvino", &["--provider-option", "precison=bf16"]);
    assert!(message.contains("precision=f32") && message.contains("cache=unset"), "{message}");
    let message = run("auto", &["--provider-option", "device=1"]);
    assert!(message.contains("cuda.device=1"), "{message}");
    let message = run("cpu", &["--stage-provider", "decoder=cpu"]);
    assert!(message.contains("mask_decoder"), "{message}");
    let message = run("cpu", &["--stage-provider", "mask_decoder=gpu"]);
    assert!(message.contains("tensorrt"), "{message}");
}
