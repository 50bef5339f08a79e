//! The C and C++ examples work with the demo model, and programs find the library with pkg-config and with CMake.

use std::path::{Path, PathBuf};
use std::process::Command;

use segvol::mask::Labels;
use segvol::nifti;
use segvol::{Model, Options, Prompt, Provider, Volume};
use segvol_tests::c::{CC, CXX, compiled, compiled_file, root, succeeds};
use segvol_tests::{bundle, c, faults};
use tempfile::TempDir;

/// A folder for programs and their files, with the bundle of the demo model in it.
fn workplace() -> (TempDir, PathBuf) {
    let folder = segvol_tests::folder!();
    let output = folder.path().join("bundle");
    bundle::converted(&root().join("demo/SegVol_demo.pth"), &output, &segvol_converter::Options::default());
    (folder, output)
}

fn phantom() -> PathBuf {
    root().join("demo/phantom.nii.gz")
}

/// For each voxel of a saved mask, whether it has this label.
fn saved(path: &Path, label: f32) -> Vec<bool> {
    let mask = nifti::read(path).expect("a mask");
    mask.voxels.iter().map(|&found| found == label).collect()
}

#[test]
fn segment_gives_the_mask_that_rust_gives() {
    let (folder, bundle) = workplace();
    let program = compiled(CC, "examples/segment.c", folder.path(), &[]);
    let output = folder.path().join("liver.nii.gz");
    let said = succeeds(Command::new(&program).args([&bundle, &phantom()]).arg("liver").arg(&output));

    let model = Model::open(&bundle, &Options::default().provider(Provider::Cpu)).expect("a bundle");
    let study = model.study(Volume::open(phantom()).expect("a scan")).expect("a study");
    let mask = study.segment(&Prompt::text("liver")).expect("segmented").mask().expect("memory");
    assert!(mask.count(1) > 1000, "the demo model knows the liver");
    assert!(said == format!("liver: {:.2} mL\n", mask.volume_ml(1)), "{said}");
    assert!(saved(&output, 1.0) == mask.voxels_of(1).expect("memory"), "the mask differs from the one in Rust");

    let refused = Command::new(&program).args(["/nonexistent", "a", "b", "c"]).output().expect("started");
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(message.contains("open the bundle: SEGVOL_STATUS_BUNDLE: bundle: `/nonexistent`"), "{message}");
}

#[test]
fn the_program_in_the_documentation_runs_unchanged() {
    let (folder, bundle) = workplace();
    let page = std::fs::read_to_string(root().join("docs/c-api.md")).expect("the page");
    let code = page.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program");
    std::fs::write(folder.path().join("liver.c"), code).expect("written");
    std::fs::copy(phantom(), folder.path().join("ct.nii.gz")).expect("copied");
    assert!(bundle.ends_with("bundle"), "as the program names it");
    let program = compiled_file(CC, &folder.path().join("liver.c"), folder.path(), &[]);
    succeeds(Command::new(program).current_dir(folder.path()));
    assert!(saved(&folder.path().join("liver.nii.gz"), 1.0).contains(&true));
}

#[test]
fn interactive_reuses_embeddings_and_stops_on_request() {
    let (folder, bundle) = workplace();
    let program = compiled(CC, "examples/interactive.c", folder.path(), &[]);
    let said = succeeds(Command::new(program).arg(&bundle));
    // The windows that were encoded after each of the three calls. The third call encodes no window of the second again.
    let encoded: Vec<usize> =
        said.lines().filter_map(|line| line.trim().strip_prefix("so far ")?.split(' ').next()?.parse().ok()).collect();
    assert_eq!(encoded.len(), 3, "{said}");
    assert_eq!(encoded[0], 1, "stopped after the zoom-out window: {said}");
    assert!(said.contains("the ball's centre is "), "{said}");
    let coarse = said.find("  coarse mask: ").expect("a coarse mask");
    let (before, after) = (&said[..coarse], &said[coarse..]);
    assert!(before.ends_with("the same box, to the end\n") && after.contains("\n  window 1 of "), "{said}");
    let report = &said[said.find("\n{").expect("a report")..];
    let report: serde_json::Value = serde_json::from_str(report).expect("JSON");
    assert_eq!(report["objects"][0]["name"], "ball");
    assert_eq!(report["windows_encoded"], encoded[2]);
    assert!(report["windows_reused"].as_u64() >= Some(2), "{report}");
}

#[test]
fn threads_give_one_mask() {
    let (folder, bundle) = workplace();
    let program = compiled(CC, "examples/threads.c", folder.path(), &[]);
    let said = succeeds(Command::new(program).args([&bundle, &phantom()]).arg("liver"));
    assert_eq!(said, "4 threads, one mask\n");
}

#[test]
fn embed_writes_both_objects_and_names_the_bad_prompt() {
    let (folder, bundle) = workplace();
    let program = compiled(CXX, "examples/embed.cpp", folder.path(), &[]);
    let output = folder.path().join("map.nii.gz");
    let said = succeeds(Command::new(program).args([&bundle, &phantom(), &output]));
    assert!(said.contains("as expected: ") && said.contains("outside the scan"), "{said}");

    let model = Model::open(&bundle, &Options::default().provider(Provider::Cpu)).expect("a bundle");
    let study = model.study(Volume::open(phantom()).expect("a scan")).expect("a study");
    let found = study.segment_all(&[Prompt::text("liver"), Prompt::text("spleen")]).expect("segmented");
    let Labels::U8(expected) = study.label_map(&found).expect("memory").into_labels() else {
        panic!("two labels fit a byte")
    };
    for label in 1..=2_u8 {
        let expected: Vec<bool> = expected.iter().map(|&found| found == label).collect();
        assert!(saved(&output, f32::from(label)) == expected, "label {label}: the mask differs from the one in Rust");
    }
}

/// Under sanitizers, the C++ header frees every handle once, and exceptions leak no memory.
#[test]
fn the_cpp_header_is_clean_under_sanitizers() {
    let (folder, bundle) = workplace();
    let more = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let program = compiled(CXX, "tests/wrapper.cpp", folder.path(), &more);
    let suppressions = root().join("bindings/c/tests/lsan.supp");
    let mut run = Command::new(program);
    run.env("LSAN_OPTIONS", format!("suppressions={}:print_suppressions=0", suppressions.display()));
    let said = succeeds(run.args([&bundle, &phantom()]));
    assert_eq!(said, "wrapper: passed\n");
}

/// An installed folder that was moved, to show that no file in it contains the path.
fn moved(folder: &Path) -> PathBuf {
    let (first, second) = (folder.join("first"), folder.join("second"));
    c::install(&first, &[]);
    std::fs::rename(&first, &second).expect("moved");
    second
}

#[test]
#[ignore = "needs pkg-config; run with --ignored"]
fn pkg_config_finds_the_shared_and_the_static_library() {
    let (folder, bundle) = workplace();
    builds_through_pkg_config(&moved(folder.path()), folder.path(), &bundle);
}

/// Links a program with the shared and with the static library, with the flags of pkg-config, and segments with it.
fn builds_through_pkg_config(prefix: &Path, folder: &Path, bundle: &Path) {
    let flags = |more: &[&str]| -> Vec<String> {
        let mut ask = Command::new("pkg-config");
        ask.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args(["--cflags", "--libs"]).args(more).arg("segvol");
        succeeds(&mut ask).split_whitespace().map(str::to_owned).collect()
    };
    let version = succeeds(
        Command::new("pkg-config")
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
            .args(["--modversion", "segvol"]),
    );
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    let source = root().join("bindings/c/examples/segment.c");
    for shared in [true, false] {
        let program = folder.join(if shared { "shared" } else { "static" });
        let mut compile = CC.command();
        compile.arg(&source).arg("-o").arg(&program);
        if shared {
            compile.args(flags(&[])).arg(format!("-Wl,-rpath,{}", prefix.join("lib").display()));
        } else {
            // The linker's syntax for the archive.
            let flags = flags(&["--static"]).into_iter();
            compile.args(flags.map(|flag| if flag == "-lsegvol" { "-l:libsegvol.a".to_owned() } else { flag }));
        }
        succeeds(&mut compile);
        let needed = succeeds(Command::new("readelf").arg("--dynamic").arg(&program));
        assert_eq!(needed.contains("libsegvol.so"), shared, "{needed}");
        let mask = folder.join("mask.nii.gz");
        let said = succeeds(Command::new(&program).args([bundle, &phantom()]).arg("liver").arg(mask));
        assert!(said.starts_with("liver: "), "{said}");
    }
}

/// Everything about an installed library that a program can notice: files, entries for the loader, exported symbols.
fn noticed(prefix: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for part in ["include", "lib", "lib/pkgconfig"] {
        let files = faults::names(&prefix.join(part)).into_iter().filter(|name| name.contains("segvol"));
        found.extend(files.map(|name| format!("{part}/{name}")));
    }
    let library = prefix.join("lib/libsegvol.so");
    let dynamic = succeeds(Command::new("readelf").arg("--dynamic").arg(&library));
    let told = ["(SONAME)", "(RPATH)", "(RUNPATH)", "(FLAGS_1)", "(NEEDED)"];
    found.extend(dynamic.lines().filter(|line| told.iter().any(|tag| line.contains(tag))).map(str::to_owned));
    let symbols =
        succeeds(Command::new("nm").args(["--dynamic", "--defined-only", "--format=just-symbols"]).arg(&library));
    found.extend(symbols.lines().map(str::to_owned));
    found.sort();
    found
}

#[test]
#[ignore = "needs cargo-c and pkg-config, and builds for minutes; run with --ignored"]
fn cargo_c_installs_what_install_c_installs() {
    let (folder, bundle) = workplace();
    let prefix = folder.path().join("by-cargo-c");
    let mut install = Command::new(env!("CARGO"));
    install.args(["cinstall", "--package", "segvol-capi", "--locked", "--libdir", "lib", "--prefix"]).arg(&prefix);
    succeeds(install.current_dir(root()));
    assert_eq!(noticed(&prefix), noticed(&c::INSTALLED));
    builds_through_pkg_config(&prefix, folder.path(), &bundle);
}

#[test]
#[ignore = "needs cmake; run with --ignored"]
fn cmake_finds_the_shared_and_the_static_library() {
    let (folder, bundle) = workplace();
    let prefix = moved(folder.path());
    let build = folder.path().join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(root().join("bindings/c/examples")).arg("-B").arg(&build);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
    succeeds(&mut configure);
    succeeds(Command::new("cmake").arg("--build").arg(&build));
    for name in ["segment", "segment_static"] {
        let mask = folder.path().join("mask.nii.gz");
        let program = build.join(name);
        let said = succeeds(Command::new(&program).args([&bundle, &phantom()]).arg("liver").arg(mask));
        assert!(said.starts_with("liver: "), "{said}");
        let needed = succeeds(Command::new("readelf").arg("--dynamic").arg(&program));
        assert_eq!(needed.contains("libsegvol.so"), name == "segment", "{needed}");
    }
    for name in ["interactive", "threads", "embed"] {
        assert!(build.join(name).is_file(), "{name}");
    }
    // CMake refuses a version with another interface.
    let other = folder.path().join("other");
    std::fs::create_dir(&other).expect("a folder");
    let project = "cmake_minimum_required(VERSION 3.16)\nproject(other C)\nfind_package(SegVol 7.3 REQUIRED)\n";
    std::fs::write(other.join("CMakeLists.txt"), project).expect("written");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(&other).arg("-B").arg(other.join("build"));
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
    let refused = configure.output().expect("started");
    assert!(!refused.status.success(), "there is no version 7.3");
}
