//! What goes wrong around a command: it is killed, interrupted, short of room.

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

/// Waits until `seen`, for a minute at most; false if the process ends before that.
///
/// # Panics
///
/// If the minute is over.
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

/// Sends SIGINT; how the process, and whatever it had started, ends, and how long that takes.
///
/// # Panics
///
/// If there is no shell.
#[must_use]
pub fn interrupt(child: Child) -> (Output, Duration) {
    let start = Instant::now();
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().expect("a shell");
    assert!(sent.success(), "no such process");
    // Standard error ends when nobody holds it any more: with the last process.
    let output = child.wait_with_output().expect("a child");
    (output, start.elapsed())
}

/// Runs a command under a limit that the shell's `ulimit` sets, such as `-f 100`; a file that is too long is an error
/// then, and no signal.
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

/// Runs a command that is killed after `moment`, if it has not ended by then.
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

/// What lies in a folder, sorted by name.
///
/// # Panics
///
/// If it cannot be listed.
#[must_use]
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A copy of a folder of files.
///
/// # Panics
///
/// If it cannot be made.
pub fn copied(from: &Path, to: &Path) -> PathBuf {
    fs::create_dir(to).expect("a folder");
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).expect("copied");
    }
    to.to_owned()
}
