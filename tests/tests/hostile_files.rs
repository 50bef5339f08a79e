//! Files from anywhere: no reader panics, breaks a promise, or takes more memory than the file's size allows.
//!
//! The kept corpus of `fuzz/`, crashes that were found among it, and seeded mutations of it. libFuzzer itself is
//! run by `scripts/fuzz`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use peak_alloc::PeakAlloc;
use segvol_tests::hostile::{self, TARGETS, Target};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Mutations of a target's corpus in every run, and in the long one.
const MUTATIONS: usize = 300;
const MANY_MUTATIONS: usize = 20_000;

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("read"))).collect()
}

/// Marsaglia's xorshift: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n.max(1)
    }
}

/// A file with a few bits, bytes, or stretches changed.
fn mutated(random: &mut Random, files: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    const TELLING: [&[u8]; 9] =
        [b"\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\xc0\x7f", b"[", b"{", b"\"", b"1e999", b"-1"];
    let mut bytes = files[random.below(files.len())].1.clone();
    for _ in 0..=random.below(5) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(64)).min(bytes.len());
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => {
                let stretch = bytes[at..end].to_vec();
                bytes.splice(at..at, stretch);
            }
            5 => {
                let telling = TELLING[random.below(TELLING.len())];
                let end = (at + telling.len()).min(bytes.len());
                bytes.splice(at..end, telling.iter().copied());
            }
            _ => {
                let other = &files[random.below(files.len())].1;
                let from = random.below(other.len() + 1);
                let stretch = other[from..(from + 64).min(other.len())].to_vec();
                bytes.splice(at..end, stretch);
            }
        }
    }
    bytes
}

/// Runs a target; where that fails, the file is kept for `fuzz/corpus`.
fn run(target: &Target, bytes: &[u8], what: &str) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    let allowed = target.memory + target.memory_per_byte * bytes.len();
    if result.is_err() || taken > allowed {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{}", target.name));
        fs::write(&kept, bytes).expect("written");
        panic!(
            "{}, {what}, {} bytes, kept as {}: took {taken} bytes of memory of {allowed}, panicked: {}",
            target.name,
            bytes.len(),
            kept.display(),
            result.is_err()
        );
    }
    taken
}

#[allow(clippy::print_stderr, reason = "the memory taken is what docs/reliability.md quotes")]
fn run_all(mutations: usize) {
    // Files and the count of memory are the process's.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Readers from elsewhere may panic inside a fence, which then says so in its own words.
    std::panic::set_hook(Box::new(|_| ()));
    let mut failures = Vec::new();
    for target in TARGETS {
        let files = corpus(target);
        assert!(!files.is_empty(), "{}: no corpus", target.name);
        let mut random = Random(0x5e67_0001 + target.name.len() as u64);
        let all = || {
            let mut most = 0;
            for (path, bytes) in &files {
                most = most.max(run(target, bytes, &path.display().to_string()));
            }
            for index in 0..mutations {
                let bytes = mutated(&mut random, &files);
                most = most.max(run(target, &bytes, &format!("mutation {index}")));
            }
            most >> 10
        };
        match catch_unwind(AssertUnwindSafe(all)) {
            Ok(most) => {
                eprintln!("{:<14} {:>4} files, at most {most} KiB of memory", target.name, files.len())
            }
            Err(failure) => {
                failures.push(failure.downcast::<String>().map_or_else(|_| target.name.into(), |text| *text))
            }
        }
    }
    let _ = std::panic::take_hook();
    hostile::clean();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn files_from_anywhere_break_no_promise() {
    run_all(MUTATIONS);
}

#[test]
#[ignore = "some minutes; run with --ignored"]
fn many_files_from_anywhere_break_no_promise() {
    run_all(MANY_MUTATIONS);
}
