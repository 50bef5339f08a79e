//! The overhead of a call through C or Python, compared with the same call in Rust: `cargo bench -p segvol-benches
//! --bench calls`. Takes three minutes for each language, on Linux only. Python needs an interpreter that has the
//! package: `SEGVOL_PYTHON=$PWD/target/wheel-env/bin/python`, which `scripts/wheel` makes.
//!
//! Two programs make the same calls in turns, with the same bundle and scan: `bindings/c/tests/cost.c`, compiled
//! against the installed library, or `call.py`, and their equivalent in Rust here. Each runs in its own process. Image
//! embeddings are cached, so a call measures the decoder and the return of the mask. `whole` reads, prepares and encodes
//! the scan for each call instead, through Python only. An argument that is no option leaves out other names.
//!
//! How memory is laid out in a process changes its speed for as long as it runs. So many pairs of processes are
//! started. Every pair gives one ratio, and the result is the median of the ratios. A comparison of Rust with Rust
//! shows the resolution of such a median. Wall-clock time is the time that a caller waits. Processor time can still be
//! measured on a machine that runs other programs.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use segvol::{Model, Options, Prompt, Provider, StudyOptions, Volume};
use segvol_tests::c::{self, CC};
use segvol_tests::{bundle, models};

/// The number of pairs of processes. In 96 of 100 benchmarks, the true median lies between the 6th and the 15th of 20
/// sorted ratios.
const PAIRS: usize = 20;
const LOW: usize = 5;
const HIGH: usize = 14;

/// The number of calls of each process, and of the uncounted calls before them.
const CALLS: usize = 40;
const WARM_UP: usize = 3;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "twin") {
        return twin(&arguments[at + 1..]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let phantom = c::root().join("demo/phantom.nii.gz");
    let program = compiled(folder.path());

    let small = bundle::seeded(&folder.path().join("small"), &models::tiny(), &Default::default());
    let demo = folder.path().join("demo");
    bundle::converted(&c::root().join("demo/SegVol_demo.pth"), &demo, &segvol_converter::Options::default());

    let python = env::var_os("SEGVOL_PYTHON");
    println!("{:<36} {:>9} {:>9} {:>8}   95 % of the median", "a call", "ms", "Rust ms", "ratio");
    for (name, bundle, zoom_in) in [
        ("tests' model, zoom-out", &small, "0"),
        ("demo model, zoom-out", &demo, "0"),
        ("demo model, with zoom-in", &demo, "1"),
        ("demo model, whole", &demo, "whole"),
    ] {
        let filter = arguments[1..].iter().find(|argument| !argument.starts_with('-'));
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        let calls = if zoom_in == "whole" { CALLS / 4 } else { CALLS };
        let arguments = [bundle.as_path(), &phantom, Path::new(zoom_in)];
        let through_c = || started(Command::new(&program).args(arguments));
        let in_rust = || started(Command::new(env::current_exe().expect("a path")).arg("twin").args(arguments));
        if zoom_in != "whole" {
            compare(&format!("C: {name}"), &MEASURES, calls, &through_c, &in_rust);
        }
        if let Some(python) = &python {
            let through_python =
                || started(Command::new(python).arg(c::root().join("benches/benches/call.py")).args(arguments));
            compare(&format!("Python: {name}"), &MEASURES[..1], calls, &through_python, &in_rust);
        }
        compare("  Rust against Rust", &MEASURES, calls, &in_rust, &in_rust);
    }
}

/// The same program as `cost.c` in Rust, line by line.
fn twin(arguments: &[String]) {
    let [bundle, scan, zoom_in] = arguments else { panic!("twin BUNDLE SCAN.nii.gz ZOOM_IN") };
    let options = Options::default().provider(Provider::Cpu).threads(1);
    let model = Model::open(bundle, &options).expect("a bundle");
    let is_whole = zoom_in == "whole";
    let options = StudyOptions::default().zoom_in(zoom_in != "0");
    let open = || model.study_with(Volume::open(scan).expect("a scan"), &options).expect("a study");
    let study = open();
    let prompt = Prompt::text("liver");
    for line in io::stdin().lines() {
        line.expect("a line");
        let start = Instant::now();
        let fresh = is_whole.then(open);
        drop(fresh.as_ref().unwrap_or(&study).segment(&prompt).expect("segmented").mask().expect("memory"));
        println!("{:.5}", start.elapsed().as_secs_f64() * 1e3);
    }
}

/// Compiles `cost.c` against the libsegvol that was built together with this program.
fn compiled(folder: &Path) -> PathBuf {
    let this = env::current_exe().expect("a path");
    let built = this.parent().expect("target/PROFILE/deps");
    let prefix = folder.join("prefix");
    c::installed(&prefix, built, &[]);
    c::compiled_against(&prefix, CC, &c::root().join("bindings/c/tests/cost.c"), folder, &[])
}

/// A process that makes one call per line of input.
struct Caller {
    process: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

fn started(command: &mut Command) -> Caller {
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    let (ask, answers) = (process.stdin.take().expect("a pipe"), process.stdout.take().expect("a pipe"));
    Caller { process, ask, answers: BufReader::new(answers).lines() }
}

/// The two times of a call, in milliseconds: wall-clock time and processor time. A call through Python runs on a thread
/// that has ended by then, so that its processor time is not known.
const MEASURES: [&str; 2] = ["clock", "processor"];

impl Caller {
    fn call_ms(&mut self) -> [f64; 2] {
        let before = self.processor_ms();
        writeln!(self.ask, "go").expect("asked");
        let answer = self.answers.next().expect("an answer").expect("a line");
        let clock = answer.parse().expect("milliseconds");
        [clock, self.processor_ms() - before]
    }

    /// The processor time of the process's running threads so far, in milliseconds. Threads that have ended are not
    /// included. The zoom-in pass has such threads; their time is missing for both programs.
    fn processor_ms(&self) -> f64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("Linux");
        let run_ns = threads.filter_map(|thread| {
            let schedule = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            schedule.split_whitespace().next()?.parse::<f64>().ok()
        });
        run_ns.sum::<f64>() / 1e6
    }

    fn end(self) {
        let Self { mut process, ask, .. } = self;
        drop(ask);
        assert!(process.wait().expect("ended").success());
    }
}

fn compare(name: &str, measures: &[&str], calls: usize, first: &dyn Fn() -> Caller, second: &dyn Fn() -> Caller) {
    let mut all: [[Vec<f64>; 2]; 2] = Default::default();
    let mut ratios: [Vec<f64>; 2] = Default::default();
    for pair in 0..PAIRS {
        // The program that starts first and the one that calls first also alternate.
        let mut callers = if pair % 2 == 0 {
            let first = first();
            [first, second()]
        } else {
            let second = second();
            [first(), second]
        };
        let mut of_pair: [Vec<f64>; 2] = Default::default();
        for call in 0..WARM_UP + calls {
            let order = if (call + pair / 2) % 2 == 0 { [0, 1] } else { [1, 0] };
            let mut times = [[0.0; 2]; 2];
            for who in order {
                times[who] = callers[who].call_ms();
            }
            if call >= WARM_UP {
                for measure in 0..2 {
                    of_pair[measure].push(times[0][measure] / times[1][measure]);
                    (0..2).for_each(|who| all[measure][who].push(times[who][measure]));
                }
            }
        }
        for measure in 0..2 {
            ratios[measure].push(median(&mut of_pair[measure]));
        }
        callers.into_iter().for_each(Caller::end);
    }
    for (measure, by) in measures.iter().enumerate() {
        let [first, second] = all[measure].each_mut().map(|times| median(times));
        let (name, ratio) = (format!("{name}, {by}"), median(&mut ratios[measure]));
        let (low, high) = (ratios[measure][LOW], ratios[measure][HIGH]);
        println!("{name:<36} {first:>9.3} {second:>9.3} {ratio:>8.4}   {low:.4} to {high:.4}");
    }
}

/// The median. Sorts the values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}
