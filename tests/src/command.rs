//! The command `segvol`, built for the tests that run it, and what they ask of it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use assert_cmd::assert::Assert;

/// The command's file. It belongs to another package, so cargo does not build it for these tests by itself.
pub static SEGVOL: LazyLock<PathBuf> = LazyLock::new(|| {
    let this = std::env::current_exe().expect("a path");
    let profile = this.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let target = profile.parent().expect("target/PROFILE");
    let mut cargo = Command::new(env!("CARGO"));
    // All that `cargo test --workspace` builds, and the command: with less beside it, cargo would choose other features
    // and profiles for some dependencies, and build them again.
    cargo.args(["build", "--quiet", "--locked", "--workspace", "--lib", "--bins", "--tests", "--target-dir"]);
    cargo.arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo").success(), "segvol does not build");
    profile.join("segvol").with_extension(std::env::consts::EXE_EXTENSION)
});

/// Exit code and a message on standard error that names every part.
///
/// # Panics
///
/// If the code is another, a part is missing, or the command panicked.
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

/// What a command that succeeds writes to standard output.
///
/// # Panics
///
/// If it fails, or writes other than UTF-8.
#[track_caller]
pub fn said(assert: Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).expect("UTF-8")
}
