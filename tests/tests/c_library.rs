//! The C library: what it exports, how it is found, and the C programs of `bindings/c/tests`, with and without sanitizers.

#![allow(clippy::print_stderr, reason = "some tests are also run for the figures that they print")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use segvol_tests::c::{self, CC, INSTALLED, compiled, succeeds};
use segvol_tests::golden::data;
use segvol_tests::{bundle, checkpoint, faults, models};
use tempfile::TempDir;

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";

/// Finds accesses outside of memory, double frees, leaks, and undefined behaviour.
const SANITIZED: &[&str] = &["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];

/// A folder for programs and their files, with a seeded bundle in it that knows three names.
fn workplace() -> (TempDir, PathBuf) {
    let folder = segvol_tests::folder!();
    let place = folder.path().join("model");
    bundle::fresh(&place);
    let checkpoint = checkpoint::write_seeded(&place, &models::tiny(), &BTreeMap::new()).expect("a checkpoint");
    let (names, _) = segvol_names::parse(
        r#"["liver", "left kidney", {"name": "spine", "synonyms": ["vertebral column"]}]"#,
        "a test",
    )
    .expect("names");
    let options = segvol_converter::Options { names: Some(names), ..segvol_converter::Options::default() };
    bundle::converted(&checkpoint, &place.join("bundle"), &options);
    (folder, place.join("bundle"))
}

/// A bundle with finite image embeddings, but with a mask decoder that overflows float32.
fn infinite(dir: &Path) -> PathBuf {
    let large = [("mask_decoder.output_hypernetworks_mlps.0.layers.2.bias".to_owned(), 3e38)].into();
    bundle::seeded(dir, &models::tiny(), &large)
}

/// A program of `bindings/c/tests`, compiled with these flags, such as those for a sanitizer.
fn program(name: &str, folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(compiled(CC, &format!("tests/{name}.c"), folder, more));
    let suppressions = c::root().join("bindings/c/tests/lsan.supp");
    command.env("LSAN_OPTIONS", format!("suppressions={}:print_suppressions=0", suppressions.display()));
    // Leaks are found; an error ends the program with an exit status, not with a signal.
    command.env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0");
    command
}

fn run_all(more: &[&str]) {
    let (folder, bundle) = workplace();
    let infinite = infinite(&folder.path().join("infinite"));
    let copy = faults::copied(&bundle, &folder.path().join("copy"));
    let mut api = program("api", folder.path(), more);
    let api = succeeds(api.args([&bundle, &data(SCAN)]));
    assert!(api.contains("api: passed"), "{api}");
    let mut results = program("results", folder.path(), more);
    let results = succeeds(results.args([&bundle, &infinite]).arg(folder.path()).arg(copy));
    assert!(results.contains("results: passed"), "{results}");
    let null = succeeds(program("null", folder.path(), more).arg(&bundle));
    assert!(null.contains("null: passed"), "{null}");
    let eight = succeeds(program("eight", folder.path(), more).arg(&bundle).arg("4"));
    assert!(eight.contains("eight: passed"), "{eight}");
}

#[test]
fn every_function_status_and_null_from_c_and_from_eight_threads() {
    run_all(&[]);
}

#[test]
fn address_and_undefined_behaviour_sanitizers_find_nothing() {
    run_all(SANITIZED);
}

/// ONNX Runtime's telemetry would keep a child in `exit()`. `.cargo/config.toml` turns it off for all other tests.
#[test]
fn a_child_that_only_ends_does_end() {
    let (folder, bundle) = workplace();
    let mut fork = program("fork", folder.path(), &[]);
    let said = succeeds(fork.arg(&bundle).env_remove("ORT_DISABLE_TELEMETRY").env("TMPDIR", folder.path()));
    assert!(said.contains("fork: passed"), "{said}");
    // The client's session number, which the library would write into the temporary folder.
    assert!(!folder.path().join(".ses").exists());
}

#[test]
fn a_scan_in_memory_is_copied_once() {
    let folder = segvol_tests::folder!();
    let said = succeeds(&mut program("buffer", folder.path(), &[]));
    eprintln!("{said}");
    assert!(said.contains("buffer: passed"), "{said}");
}

#[test]
fn too_little_memory_for_a_scan_is_a_status() {
    let (folder, bundle) = workplace();
    let said = succeeds(program("memory", folder.path(), &[]).arg(&bundle));
    assert!(said.contains("memory: passed"), "{said}");
}

#[test]
#[ignore = "a minute; run with --ignored"]
fn a_thousand_rounds_leave_memory_flat() {
    let (folder, bundle) = workplace();
    let mut rounds = program("rounds", folder.path(), &[]);
    // The memory that the allocator keeps varies by some MiB. Masks that were never freed would add up to 118 MiB.
    let said = succeeds(rounds.arg(&bundle).args(["1000", "8192"]));
    eprintln!("{said}");
}

#[test]
#[ignore = "needs valgrind, and ten minutes; run with --ignored"]
fn valgrind_finds_nothing() {
    let (folder, bundle) = workplace();
    let infinite = infinite(&folder.path().join("infinite"));
    let suppressions = c::root().join("bindings/c/tests/valgrind.supp");
    let under_valgrind = |program: PathBuf| {
        let mut command = Command::new("valgrind");
        command.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
        command.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
        command.arg("--fair-sched=yes").arg(format!("--suppressions={}", suppressions.display())).arg(program);
        command
    };
    let compiled = |name: &str| compiled(CC, &format!("tests/{name}.c"), folder.path(), &[]);
    let copy = faults::copied(&bundle, &folder.path().join("copy"));
    succeeds(under_valgrind(compiled("api")).args([&bundle, &data(SCAN)]));
    succeeds(under_valgrind(compiled("results")).args([bundle.as_path(), &infinite, folder.path(), &copy]));
    succeeds(under_valgrind(compiled("null")).arg(&bundle));
    succeeds(under_valgrind(compiled("eight")).arg(&bundle).arg("1"));
    succeeds(under_valgrind(compiled("rounds")).arg(&bundle).args(["3", "1048576"]));
}

/// The functions that the header declares.
fn declared() -> BTreeSet<String> {
    let header = std::fs::read_to_string(INSTALLED.join("include/segvol.h")).expect("the header");
    let code: String = header.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, code)| code)).collect();
    let names = code.match_indices("segvol_").map(|(at, _)| &code[at..]);
    let names = names.filter_map(|rest| rest.split_once('(').map(|(name, _)| name.to_owned()));
    names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')).collect()
}

#[test]
fn only_the_functions_of_the_header_are_exported() {
    let library = INSTALLED.join("lib/libsegvol.so");
    let symbols = succeeds(Command::new("nm").args(["--dynamic", "--defined-only"]).arg(&library));
    let exported: BTreeSet<String> =
        symbols.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect();
    assert!(exported.len() > 30, "{exported:?}");
    assert_eq!(exported, declared());
}

fn sources() -> [String; 5] {
    ["api.c", "results.c", "null.c", "memory.c", "check.h"]
        .map(|name| std::fs::read_to_string(c::root().join("bindings/c/tests").join(name)).expect("a source"))
}

#[test]
fn examples_and_licences_are_installed() {
    let (doc, examples) = (INSTALLED.join("share/doc/segvol"), c::root().join("bindings/c/examples"));
    assert_eq!(faults::names(&doc.join("examples")), faults::names(&examples));
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(name)).expect(name);
        assert_eq!(read(&doc), read(&c::root()), "{name}");
    }
}

#[test]
fn every_function_is_called_by_the_tests_in_c() {
    let sources = sources();
    for function in declared() {
        let call = format!("{function}(");
        assert!(sources.iter().any(|source| source.contains(&call)), "{function} is never called");
    }
}

/// Statuses that no program can provoke: faults of this library, a provider that fails, failures inside ONNX Runtime.
/// `bindings/c/tests/statuses.rs` tests those.
const UNPROVOKED: [&str; 3] = ["INTERNAL", "PROVIDER_FAILED", "RUN"];

#[test]
fn every_status_is_provoked_by_the_tests_in_c() {
    let header = std::fs::read_to_string(INSTALLED.join("include/segvol.h")).expect("the header");
    let names = header.lines().filter_map(|line| line.trim().strip_prefix("SEGVOL_STATUS_")?.split(" = ").next());
    let names: Vec<&str> = names.collect();
    assert_eq!(names.len(), 29, "{names:?}");
    let sources = sources();
    for name in names.into_iter().filter(|name| !UNPROVOKED.contains(name)) {
        let named = |source: &String| source.split(&format!("SEGVOL_STATUS_{name}")).skip(1).any(ends_a_name);
        assert!(sources.iter().any(named), "SEGVOL_STATUS_{name} is never provoked");
    }
}

fn ends_a_name(rest: &str) -> bool {
    !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

#[test]
fn the_library_names_its_interface_and_finds_onnx_runtime_beside_itself() {
    let library = INSTALLED.join("lib/libsegvol.so");
    let dynamic = succeeds(Command::new("readelf").arg("--dynamic").arg(&library));
    let version: Vec<&str> = env!("CARGO_PKG_VERSION").split('.').collect();
    let interface = if version[0] == "0" { format!("0.{}", version[1]) } else { version[0].to_owned() };
    assert!(dynamic.contains(&format!("soname: [libsegvol.so.{interface}]")), "{dynamic}");
    assert!(dynamic.contains("[$ORIGIN]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "its threads must keep their code after dlclose: {dynamic}");
    let needed: Vec<&str> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(!needed.iter().any(|line| line.contains("onnxruntime")), "it must be loaded only when needed: {needed:?}");

    // A folder with only the library, then with ONNX Runtime beside it. Nothing else says where ONNX Runtime is.
    let (folder, bundle) = workplace();
    let beside = folder.path().join("lib");
    std::fs::create_dir(&beside).expect("a folder");
    std::fs::copy(&library, beside.join(format!("libsegvol.so.{interface}"))).expect("copied");
    let program = compiled(CC, "examples/segment.c", folder.path(), &[&format!("-Wl,-rpath,{}", beside.display())]);
    let home = folder.path().join("home");
    let run = || {
        let mut command = Command::new(&program);
        command.arg(&bundle).arg(data(SCAN)).arg("liver").arg(folder.path().join("mask.nii.gz"));
        command.env_remove("ORT_DYLIB_PATH").env_remove("LD_LIBRARY_PATH").env("SEGVOL_HOME", &home);
        command.current_dir(folder.path());
        command
    };
    let without = run().output().expect("started");
    let message = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(!without.status.success() && message.contains("SEGVOL_STATUS_LIBRARY"), "{message}");
    let real = |path: &Path| path.canonicalize().expect("a folder").display().to_string();
    let places = [
        "ORT_DYLIB_PATH (not set)".to_owned(),
        format!("beside the library (`{}`)", real(&beside)),
        format!("beside the program (`{}`)", real(folder.path())),
        format!("SEGVOL_HOME (`{}/onnxruntime/cpu`)", home.display()),
        format!("the working folder (`{}/.onnxruntime/gpu`)", real(folder.path())),
        "the system's loader".to_owned(),
    ];
    let at: Vec<usize> =
        places.iter().map(|place| message.find(place).unwrap_or_else(|| panic!("no {place:?} in {message}"))).collect();
    assert!(at.is_sorted(), "{at:?}: {message}");
    // The library is found in a folder under its name in a wheel.
    let onnxruntime = PathBuf::from(std::env::var_os("ORT_DYLIB_PATH").expect("scripts/test sets it"));
    for place in [&home.join("onnxruntime/cpu"), &beside] {
        std::fs::create_dir_all(place).expect("a folder");
        let library = place.join("libonnxruntime.so.1.99.0");
        std::os::unix::fs::symlink(&onnxruntime, &library).expect("linked");
        let said = succeeds(&mut run());
        assert!(said.starts_with("liver: "), "{said}");
        if place.ends_with("cpu") {
            // What comes first is used, even if it is no library.
            std::fs::write(beside.join("libonnxruntime.so"), "no library").expect("written");
            let broken = run().output().expect("started");
            let message = String::from_utf8_lossy(&broken.stderr).into_owned();
            assert!(message.contains("found by: beside the library"), "{message}");
            std::fs::remove_file(beside.join("libonnxruntime.so")).expect("removed");
            std::fs::remove_file(library).expect("removed");
        }
    }
}
