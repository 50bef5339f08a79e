//! Untrusted files: no reader panics, breaks a property, or uses more memory than allowed for the size of the file.
//!
//! Runs every fuzz target on the inputs in `fuzz/` (the named files in `corpus/` and the archives in `reached/`) and on
//! seeded mutations of them. `scripts/fuzz` runs libFuzzer itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::read::MultiGzDecoder;
use peak_alloc::PeakAlloc;
use segvol_tests::hostile::{self, TARGETS, Target};
use sha1::{Digest as _, Sha1};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The number of mutations of a target's inputs in a normal run, and in the long run.
const MUTATIONS: usize = 300;
const MANY_MUTATIONS: usize = 20_000;

/// One input: its path, for messages, and its bytes.
type Input = (String, Vec<u8>);

/// A folder inside `fuzz/`.
fn fuzz(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(folder)
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string();
    entries.map(|entry| name(entry).expect("UTF-8")).collect()
}

/// All inputs of a target: its named files, then its archive.
///
/// A file that is named by a hash is an error: it belongs in the archive.
fn inputs(target: &Target) -> Result<Vec<Input>, String> {
    let folder = fuzz("corpus").join(target.name);
    let mut inputs = Vec::new();
    for name in names(&folder) {
        let path = folder.join(&name);
        if is_hash(&name) {
            return Err(format!(
                "{}: rename it to say what it is for, or move it to target/fuzz/found/{} and run `scripts/fuzz keep`",
                path.display(),
                target.name
            ));
        }
        inputs.push((path.display().to_string(), fs::read(&path).expect("read")));
    }
    let path = fuzz("reached").join(format!("{}.tar.gz", target.name));
    let packed = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let unpacked = unpack(&packed).map_err(|problem| format!("{}: {problem}", path.display()))?;
    inputs.extend(unpacked.into_iter().map(|(name, bytes)| (format!("{}, {name}", path.display()), bytes)));
    Ok(inputs)
}

/// Whether a name is a SHA-1 in hexadecimal, as libFuzzer names an input.
fn is_hash(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The inputs of an archive: at least one, each named by the SHA-1 of its bytes, in the order of their names.
fn unpack(packed: &[u8]) -> Result<Vec<Input>, String> {
    // The whole stream is unpacked first: gzip's checksum is at its end, after the end of the archive.
    let mut archive = Vec::new();
    MultiGzDecoder::new(packed).read_to_end(&mut archive).map_err(|error| format!("not whole gzip: {error}"))?;
    let mut inputs: Vec<Input> = Vec::new();
    for entry in tar::Archive::new(&archive[..]).entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| format!("not a tar archive: {error}"))?;
        let name = entry.path().map_err(|error| error.to_string())?.display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
        let hash: String = Sha1::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if name != hash {
            return Err(format!("`{name}`: expected the SHA-1 of its contents as its name, {hash}"));
        }
        if inputs.last().is_some_and(|(before, _)| *before >= name) {
            return Err(format!("`{name}`: not in the order of the names"));
        }
        inputs.push((name, bytes));
    }
    if inputs.is_empty() { Err("no inputs".to_owned()) } else { Ok(inputs) }
}

/// Marsaglia's xorshift generator: the same sequence on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n.max(1)
    }
}

/// A copy of a file with a few changed bits, bytes or ranges.
fn mutated(random: &mut Random, files: &[Input]) -> Vec<u8> {
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

/// Runs a target. If it fails, the file is kept, so that it can be added to `fuzz/corpus`.
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

/// Lets only one test run at a time, because temporary files, the panic hook and the memory count belong to the
/// process.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(clippy::print_stderr, reason = "the memory taken is what docs/reliability.md quotes")]
fn run_all(mutations: usize) {
    let _turn = turn();
    let kept: Vec<_> = TARGETS.iter().map(|target| (target, inputs(target))).collect();
    // Readers of other crates may panic where the panic is caught and reported as an error.
    std::panic::set_hook(Box::new(|_| ()));
    let mut failures = Vec::new();
    for (target, files) in kept {
        let files = match files {
            Ok(files) => files,
            Err(problem) => {
                failures.push(problem);
                continue;
            }
        };
        let mut random = Random(0x5e67_0001 + target.name.len() as u64);
        let all = || {
            let mut most = 0;
            for (kept_as, bytes) in &files {
                most = most.max(run(target, bytes, kept_as));
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

#[test]
fn every_target_has_an_archive_and_every_archive_a_target() {
    let _turn = turn();
    let expected: BTreeSet<String> = TARGETS.iter().map(|target| format!("{}.tar.gz", target.name)).collect();
    let archives = names(&fuzz("reached")).into_iter().filter(|name| !name.ends_with(".new")).collect();
    assert_eq!(expected, archives);
    let folders: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders, names(&fuzz("corpus")));
}

/// A gzip-compressed tar archive of these entries.
fn pack(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut archive = tar::Builder::new(encoder);
    for (name, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, *bytes).expect("memory");
    }
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory")
}

#[test]
fn a_damaged_archive_is_refused() {
    let _turn = turn();
    const A: &str = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8";
    const B: &str = "e9d71f5ee7c92d6dc9e92ffdad17b8bd49418f98";
    let whole = pack(&[(A, b"a"), (B, b"b")]);
    assert_eq!(unpack(&whole), Ok(vec![(A.to_owned(), b"a".to_vec()), (B.to_owned(), b"b".to_vec())]));

    let refused = |packed: &[u8], reason: &str| {
        let problem = unpack(packed).expect_err(reason);
        assert!(problem.contains(reason), "{problem}");
    };
    for length in [0, 20, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..length], "not whole gzip");
    }
    let mut other_checksum = whole.clone();
    let at = whole.len() - 8;
    other_checksum[at] ^= 1;
    refused(&other_checksum, "not whole gzip");
    refused(&pack(&[]), "no inputs");
    refused(&pack(&[(A, b"b")]), "expected the SHA-1");
    refused(&pack(&[(B, b"b"), (A, b"a")]), "not in the order");
}
