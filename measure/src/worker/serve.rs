//! The worker process itself.

use std::io::{self, BufRead, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use segvol::probe::{self, Candidate};
use segvol::{GraphSession, Provider, Tensor};
use segvol_base::{ErrorKind, machine};
use segvol_onnx::Manifest;

use super::message::{REPLY, Reply, Request};
use crate::error::Error;
use crate::options::{options_on, parse_provider_options};
use crate::record::Record;
use crate::row::LoadedLibrary;
use crate::{load, memory, peak};

/// How long a process may continue after its input has ended: enough for a reply that is almost ready.
const GRACE: Duration = Duration::from_millis(200);

/// Serves requests until the input ends.
///
/// If the input ends while a request is being worked on, nobody waits for the reply any more: `abandoned` is then called
/// on another thread.
///
/// # Errors
///
/// Errors of reading and writing lines. A request that fails is a [`Reply::Failed`].
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
            Ok(request) => answer(&mut stage, request)
                .unwrap_or_else(|error| Reply::Failed { reason: error.to_string(), kind: error.kind() }),
            Err(error) => Reply::Failed { reason: format!("request {line:?}: {error}"), kind: ErrorKind::Runtime },
        };
        output.write_all(REPLY.as_bytes())?;
        serde_json::to_writer(&mut *output, &reply)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// A session and its inputs.
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
            let library = LoadedLibrary::of_this_process();
            Reply::Opened { used, nodes, onnxruntime, library, ms }
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
        Request::Dump { side, path } => {
            side.dump()?.write(&path)?;
            Reply::Dumped
        }
        Request::Verify { side, reference } => Reply::Verified(Box::new(side.verify(&Record::read(&reference)?)?)),
        Request::Probe { library } => {
            Reply::Probed(Box::new(probe::probe(Candidate { path: library, found_by: String::new() })))
        }
    })
}

#[cfg(test)]
mod tests {
    use segvol_onnx::{Precision, Stage};

    use super::*;
    use crate::row::Variant;

    fn replies(input: &'static str) -> Vec<Reply> {
        let mut output = Vec::new();
        serve(input.as_bytes(), &mut output, || ()).expect("served");
        let text = String::from_utf8(output).expect("UTF-8");
        let replies = text.lines().map(|line| line.strip_prefix(REPLY).expect("the marker"));
        replies.map(|reply| serde_json::from_str(reply).expect("a reply")).collect()
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
    fn a_failure_keeps_its_kind() {
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
            matches!(&found[0], Reply::Failed { reason, kind: ErrorKind::Bundle } if reason.contains("/nowhere")),
            "{found:?}"
        );
    }
}
