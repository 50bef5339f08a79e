//! Faults for a command: it is killed, interrupted, or has too little memory or disk space.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::SEGVOL;

/// A command of `segvol`, with its temporary files in `temporary`.
#[must_use]
pub fn segvol(arguments: &[&str], temporary: &Path) -> Command {
    let mut command = Command::new(&*SEGVOL);
    command.args(arguments).env("TMPDIR", temporary);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A path as an argument.
///
/// # Panics
///
/// If it is not UTF-8.
#[must_use]
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Waits until `seen` returns true, for at most a minute. Returns false if the process ends first.
///
/// # Panics
///
/// If a minute has passed.
pub fn wait_until(child: &mut Child, seen: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !seen() {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited for a minute");
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Sends SIGINT. Returns the output of the process, and the time until it and its child processes have ended.
///
/// # Panics
///
/// If there is no shell.
#[must_use]
pub fn interrupt(child: Child) -> (Output, Duration) {
    let start = Instant::now();
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().expect("a shell");
    assert!(sent.success(), "no such process");
    // Standard error ends when the last process that has it open ends.
    let output = child.wait_with_output().expect("a child");
    (output, start.elapsed())
}

/// Runs a command under a limit of the shell's `ulimit`, such as `-f 100`. A file that exceeds the limit is an error
/// and not a signal.
///
/// # Panics
///
/// If there is no shell.
#[must_use]
pub fn limited(limit: &str, command: &Command) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit {limit} || exit 99; exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell.stdin(Stdio::null()).output().expect("a shell")
}

/// Runs a command and kills it after `moment` if it has not ended by then.
///
/// # Panics
///
/// If it cannot be started.
pub fn kill_after(command: &mut Command, moment: Duration) -> ExitStatus {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    thread::sleep(moment);
    // It may have ended already.
    let _ = child.kill();
    child.wait().expect("a child")
}

/// The names of the files and folders in a folder, sorted.
///
/// # Panics
///
/// If the folder cannot be listed.
#[must_use]
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Copies a folder of files. Returns the copy.
///
/// # Panics
///
/// If the copy cannot be made.
pub fn copied(from: &Path, to: &Path) -> PathBuf {
    fs::create_dir(to).expect("a folder");
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).expect("copied");
    }
    to.to_owned()
}
