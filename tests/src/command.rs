//! The command `segvol`, built for the tests that run it, and checks of its output.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use assert_cmd::assert::Assert;

/// The path of the command's executable. It belongs to another package, so cargo does not build it for these tests;
/// this does.
pub static SEGVOL: LazyLock<PathBuf> = LazyLock::new(|| {
    let this = std::env::current_exe().expect("a path");
    let profile = this.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let target = profile.parent().expect("target/PROFILE");
    let mut cargo = Command::new(env!("CARGO"));
    // This builds everything that `cargo test --workspace` builds, and the command. With fewer packages cargo would
    // choose other features and profiles for some dependencies, and build them again.
    cargo.args(["build", "--quiet", "--locked", "--workspace", "--lib", "--bins", "--tests", "--target-dir"]);
    cargo.arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo").success(), "segvol does not build");
    profile.join("segvol").with_extension(std::env::consts::EXE_EXTENSION)
});

/// Checks the exit code, and that the message on standard error contains every part.
///
/// # Panics
///
/// If the exit code differs, a part is missing, or the command panicked.
#[track_caller]
pub fn refused(assert: &Assert, code: i32, parts: &[&str]) {
    let output = assert.get_output();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

/// The standard output of a command that must succeed.
///
/// # Panics
///
/// If it fails, or its output is not UTF-8.
#[track_caller]
pub fn said(assert: Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).expect("UTF-8")
}
