//! A measuring process: it holds one session, and does what it is told line by line.
//!
//! A line on standard input is a [`Request`] in JSON; each is answered by one line on standard output, a [`Reply`].
//! The process ends when its input does. A process of its own gives every variant its own ONNX Runtime library, its own
//! thread pool, and a peak of memory that is its own.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use segvol::{GraphSession, Placement, Provider, Tensor};
use segvol_base::machine;
use segvol_onnx::Manifest;
use serde::{Deserialize, Serialize};

use crate::job::{Job, JobRun};
use crate::options::{options_on, parse_provider_options};
use crate::peak::Peak;
use crate::record::Record;
use crate::row::Variant;
use crate::{Error, load, memory, peak};

/// The hidden subcommand that serves requests.
pub const SUBCOMMAND: &str = "measure-worker";

/// What the process is told to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Open a stage.
    Open {
        /// The bundle.
        bundle: PathBuf,
        /// What to open.
        variant: Variant,
        /// `PROVIDER.KEY=VALUE`, each.
        provider_options: Vec<String>,
        /// ONNX Runtime's library.
        library: Option<PathBuf>,
    },
    /// Run the opened stage once.
    Run,
    /// Run the opened stage once, and write its outputs to a file.
    Save {
        /// The file.
        path: PathBuf,
    },
    /// Tell the most memory held so far.
    Memory,
    /// Measure the matrix-product peak.
    Peak {
        /// Threads.
        threads: Option<usize>,
        /// ONNX Runtime's library.
        library: Option<PathBuf>,
    },
    /// Segment a scan, from the file to the mask.
    Job(Job),
}

/// What the process answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
pub enum Reply {
    /// The stage is open.
    Opened {
        /// The provider that was used.
        used: Provider,
        /// Nodes per provider.
        nodes: Placement,
        /// Version and build of ONNX Runtime.
        onnxruntime: String,
        /// How long it took.
        ms: f64,
    },
    /// The stage has run.
    Ran {
        /// How long it took.
        ms: f64,
    },
    /// The most memory held.
    Memory {
        /// Bytes of the machine's memory.
        resident_bytes: Option<u64>,
        /// Bytes on GPUs.
        device_bytes: Option<u64>,
    },
    /// The peak.
    Peak(Peak),
    /// The job is done.
    Job(Box<JobRun>),
    /// The request could not be met; the process goes on.
    Failed {
        /// Why.
        reason: String,
        /// Whether the provider or its library is what could not be had.
        provider_missing: bool,
    },
}

/// How long a process may still work when its input has ended: enough for an answer that is almost there.
const GRACE: Duration = Duration::from_millis(200);

/// Serves requests until there are no more.
///
/// Who asked is waiting for the answer: when the input ends while there is work, nobody is there any more, and
/// `abandoned` is called, on another thread.
///
/// # Errors
///
/// What reading or writing a line says.
pub fn serve(
    input: impl BufRead + Send + 'static,
    output: &mut impl Write,
    abandoned: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        for line in input.lines() {
            if sender.send(line).is_err() {
                return;
            }
        }
        drop(sender);
        thread::sleep(GRACE);
        abandoned();
    });
    let mut stage = None;
    for line in requests {
        let line = line?;
        let reply = match serde_json::from_str(&line) {
            Ok(request) => answer(&mut stage, request).unwrap_or_else(|error| failed(&error)),
            Err(error) => Reply::Failed { reason: format!("request {line:?}: {error}"), provider_missing: false },
        };
        serde_json::to_writer(&mut *output, &reply)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

fn failed(error: &Error) -> Reply {
    let provider_missing = matches!(
        error,
        Error::Run(
            segvol::Error::Library { .. }
                | segvol::Error::ProviderMissing { .. }
                | segvol::Error::ProviderFailed { .. }
        )
    );
    Reply::Failed { reason: error.to_string(), provider_missing }
}

/// A session and what it is fed with.
struct OpenStage {
    session: GraphSession,
    inputs: Vec<(String, Tensor)>,
}

impl OpenStage {
    fn run(&self) -> Result<(Vec<(String, Tensor)>, f64), Error> {
        let start = Instant::now();
        let outputs = self.session.run(&self.inputs)?;
        Ok((outputs, start.elapsed().as_secs_f64() * 1e3))
    }
}

fn answer(open: &mut Option<OpenStage>, request: Request) -> Result<Reply, Error> {
    let nothing_open = || Error::Worker { reason: "no stage is open".to_owned() };
    Ok(match request {
        Request::Open { bundle, variant, provider_options, library } => {
            let manifest = Manifest::read(&bundle)?;
            let mut options = options_on(variant.provider, variant.threads, library);
            options.provider_options = parse_provider_options(&provider_options)?;
            options.precision = Some(variant.precision);
            let inputs = load::inputs(variant.stage, &manifest.architecture, variant.batch);
            let start = Instant::now();
            let session = GraphSession::open_stage(&bundle, &manifest, variant.stage, &options)?;
            let ms = start.elapsed().as_secs_f64() * 1e3;
            let (used, nodes) = (session.provider(), session.placement());
            let onnxruntime = session.onnxruntime();
            *open = Some(OpenStage { session, inputs });
            Reply::Opened { used, nodes, onnxruntime, ms }
        }
        Request::Run => Reply::Ran { ms: open.as_ref().ok_or_else(nothing_open)?.run()?.1 },
        Request::Save { path } => {
            let (outputs, ms) = open.as_ref().ok_or_else(nothing_open)?.run()?;
            Record { tensors: outputs.into_iter().collect(), ..Record::default() }.write(&path)?;
            Reply::Ran { ms }
        }
        Request::Memory => {
            Reply::Memory { resident_bytes: machine::peak_resident_bytes(), device_bytes: memory::device_bytes() }
        }
        Request::Peak { threads, library } => Reply::Peak(peak::measure(&options_on(Provider::Cpu, threads, library))?),
        Request::Job(job) => Reply::Job(Box::new(job.run()?)),
    })
}

/// A measuring process, from the side that tells it what to do. It is ended when this goes out of scope.
pub struct Worker {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts `program` with the subcommand [`SUBCOMMAND`].
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] with what the operating system says.
    pub fn start(program: &Path) -> Result<Self, Error> {
        let failed = |reason: String| Error::Worker { reason };
        let mut command = Command::new(program);
        command.arg(SUBCOMMAND).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| failed(format!("`{}`: {error}", program.display())))?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let output = output.ok_or_else(|| failed("it has no standard output".to_owned()))?;
        Ok(Self { process, input, output: BufReader::new(output) })
    }

    /// Sends a request, and waits for its reply.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if the process has ended, or says something else than a reply.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, Error> {
        let failed = |reason: String| Error::Worker { reason };
        let mut line = serde_json::to_string(request).map_err(|error| failed(error.to_string()))?;
        line.push('\n');
        let input = self.input.as_mut().ok_or_else(|| failed("it has no standard input".to_owned()))?;
        let sent = input.write_all(line.as_bytes()).and_then(|()| input.flush());
        let mut reply = String::new();
        let read = sent.and_then(|()| self.output.read_line(&mut reply)).map_err(|error| failed(error.to_string()))?;
        if read == 0 {
            let status = self.process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(failed(format!("it ended without a reply ({status}); out of memory?")));
        }
        serde_json::from_str(&reply).map_err(|error| failed(format!("reply {:?}: {error}", reply.trim_end())))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without an input the process ends by itself; one that hangs is ended.
        self.input = None;
        let deadline = Instant::now() + Duration::from_secs(5);
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

#[cfg(test)]
mod tests {
    use segvol_onnx::Precision;
    use segvol_onnx::Stage;

    use super::*;

    fn replies(input: &'static str) -> Vec<Reply> {
        let mut output = Vec::new();
        serve(input.as_bytes(), &mut output, || ()).expect("served");
        let text = String::from_utf8(output).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a reply")).collect()
    }

    #[test]
    fn every_line_is_answered_by_one_line_whatever_it_says() {
        let found =
            replies("{\"do\":\"memory\"}\nnot JSON\n{\"do\":\"dance\"}\n{\"do\":\"run\"}\n{\"do\":\"memory\"}\n");
        assert_eq!(found.len(), 5);
        for (index, part) in [(1, "not JSON"), (2, "dance"), (3, "no stage is open")] {
            assert!(matches!(&found[index], Reply::Failed { reason, .. } if reason.contains(part)), "{found:?}");
        }
        assert!(matches!(found[4], Reply::Memory { .. }));
    }

    #[test]
    fn a_bundle_that_is_none_is_told_and_is_not_the_provider_s_fault() {
        let variant = Variant {
            stage: Stage::ImageEncoder,
            provider: Provider::Cpu,
            precision: Precision::Fp32,
            threads: Some(2),
            batch: 1,
        };
        let request = Request::Open {
            bundle: "/nowhere".into(),
            variant,
            provider_options: vec!["openvino.precision=bf16".to_owned()],
            library: None,
        };
        let line = serde_json::to_string(&request).expect("JSON");
        assert_eq!(serde_json::from_str::<Request>(&line).expect("a request"), request);
        let found = replies((line + "\n").leak());
        assert!(
            matches!(&found[0], Reply::Failed { reason, provider_missing: false } if reason.contains("/nowhere")),
            "{found:?}"
        );
    }
}
