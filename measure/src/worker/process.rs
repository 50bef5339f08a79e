//! A worker process, seen from the process that asks.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::SUBCOMMAND;
use super::message::{REPLY, Reply, Request};
use crate::error::Error;

/// How long a process may take to end after its input was closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// A worker process. It is ended when this value is dropped.
pub struct Worker {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// The last line of standard error, of a quiet worker.
    last_words: Option<JoinHandle<String>>,
}

impl Worker {
    /// Starts `program` with the subcommand [`SUBCOMMAND`]. What it writes to standard error is shown.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] with what the operating system says.
    pub fn start(program: &Path) -> Result<Self, Error> {
        Self::spawn(program, Stdio::inherit())
    }

    /// Like [`Worker::start`], but hides what the process writes to standard error. If the process ends without a reply,
    /// the error contains the last line of it.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] with what the operating system says.
    pub fn start_quiet(program: &Path) -> Result<Self, Error> {
        Self::spawn(program, Stdio::piped())
    }

    fn spawn(program: &Path, stderr: Stdio) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.arg(SUBCOMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut process = command.spawn().map_err(|error| failed(format!("`{}`: {error}", program.display())))?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let output = output.ok_or_else(|| failed("it has no standard output"))?;
        let last_words = process.stderr.take().map(|stderr| thread::spawn(|| last_line(stderr)));
        Ok(Self { process, input, output: BufReader::new(output), last_words })
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if the process has ended, or if its reply cannot be read.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, Error> {
        let mut line = serde_json::to_string(request).map_err(|error| failed(error.to_string()))?;
        line.push('\n');
        let input = self.input.as_mut().ok_or_else(|| failed("it has no standard input"))?;
        // A process that has ended is noticed below, together with how it ended.
        let sent = input.write_all(line.as_bytes()).and_then(|()| input.flush());
        let Some(reply) = self.reply()? else { return Err(self.ended()) };
        sent.map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&reply).map_err(|error| failed(format!("reply {:?}: {error}", reply.trim_end())))
    }

    /// The next reply, without what other code printed before it. `None` if there is none.
    fn reply(&mut self) -> Result<Option<String>, Error> {
        loop {
            let mut line = Vec::new();
            let read = self.output.read_until(b'\n', &mut line).map_err(|error| failed(error.to_string()))?;
            if read == 0 {
                return Ok(None);
            }
            if let Some((_, reply)) = String::from_utf8_lossy(&line).split_once(REPLY) {
                return Ok(Some(reply.to_owned()));
            }
        }
    }

    fn ended(&mut self) -> Error {
        let status = self.process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = self.last_words.take().and_then(|last_words| last_words.join().ok());
        let said = said.filter(|said| !said.is_empty()).map_or_else(String::new, |said| format!(": {said}"));
        failed(format!("it ended without a reply ({status}){said}"))
    }
}

fn failed(reason: impl Into<String>) -> Error {
    Error::Worker { reason: reason.into() }
}

fn last_line(stream: impl Read) -> String {
    let lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
    lines.last().map_or_else(String::new, |line| String::from_utf8_lossy(&line).trim_end().to_owned())
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The process ends by itself when its input is closed. One that hangs is killed.
        self.input = None;
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.process.kill();
                let _ = self.process.wait();
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that runs a shell script when it gets its first request.
    fn program(folder: &Path, script: &str) -> std::path::PathBuf {
        let path = folder.join("program");
        std::fs::write(&path, format!("#!/bin/sh\nread request\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        path
    }

    #[test]
    fn what_a_process_prints_is_not_its_reply_but_may_be_its_last_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = "printf 'a banner\\nloading .. segvol-reply {\"done\":\"ran\",\"ms\":1.5}\\n'";
        let mut worker = Worker::start(&program(folder.path(), script)).expect("started");
        assert_eq!(worker.ask(&Request::Run).expect("a reply"), Reply::Ran { ms: 1.5 });

        let script = "printf 'starting\\nno such symbol\\n' >&2; exit 7";
        let mut worker = Worker::start_quiet(&program(folder.path(), script)).expect("started");
        let message = worker.ask(&Request::Run).expect_err("no reply").to_string();
        assert!(message.contains("status: 7") && message.ends_with(": no such symbol"), "{message}");
    }
}
