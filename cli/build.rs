//! The commit that the command was built from, for `segvol --version --verbose`.

use std::path::Path;
use std::process::Command;

/// Set by those who build from sources without Git's history, such as a package.
const VARIABLE: &str = "SEGVOL_COMMIT";

/// The members of the workspace, whose changes can make the tree differ from the commit.
const ROOT: &str = "..";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    let commit = std::env::var(VARIABLE).ok().filter(|commit| !commit.is_empty()).or_else(commit);
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env={VARIABLE}={commit}");
    println!("cargo::rustc-env=SEGVOL_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}

/// The checked-out commit, with `, changed` if tracked files differ from it. `None` without Git.
fn commit() -> Option<String> {
    // Written by every commit and every checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    // Every source file of the workspace: Cargo compares the times of all files in a folder.
    for entry in std::fs::read_dir(ROOT).ok()?.flatten() {
        let source = entry.path().join("src");
        if source.is_dir() {
            println!("cargo::rerun-if-changed={}", source.display());
        }
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let is_changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if is_changed { format!("{commit}, changed") } else { commit })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
