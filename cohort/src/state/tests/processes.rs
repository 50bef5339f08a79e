//! Tests with several processes: the test program starts itself again, with the output folder in an environment variable.

use super::*;

/// The output folder, in a process that a test has started.
const FOLDER: &str = "SEGVOL_TEST_COHORT";

/// The folder of the test that has started this process.
fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// A process that runs one test with a folder.
struct Process(Child);

impl Process {
    fn start(test: &str, out: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args([&format!("state::tests::processes::{test}"), "--exact", "--nocapture"]).env(FOLDER, out);
        Self(command.stdout(Stdio::null()).spawn().expect("started"))
    }

    /// Whether it was killed before it ended. It must not have failed.
    fn kill(mut self) -> bool {
        self.0.kill().expect("killed");
        let status = self.0.wait().expect("waited for");
        assert!(status.success() || status.code().is_none(), "{status}");
        !status.success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Numbers that look random, the same in each run of a test.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn pause(&mut self, end_ms: u64) {
        thread::sleep(Duration::from_micros(self.below(end_ms * 1000)));
    }
}

fn is_done(state: &State, id: &str) -> bool {
    state.last(id).is_some_and(|record| record.done().is_some())
}

/// Does all scans that nobody else does.
fn work(out: &Path, ids: &[String]) {
    let mut random = Random(u64::from(std::process::id()) + 1);
    let state = open(out);
    while !ids.iter().all(|id| is_done(&state, id)) {
        for id in ids {
            if is_done(&state, id) {
                continue;
            }
            let Some(claim) = state.claim(id).expect("asked") else { continue };
            if is_done(&state, id) {
                continue;
            }
            // The kernel ends this lock when the process is killed.
            let alone = File::create(out.join("alone").join(id)).expect("a file");
            alone.try_lock().expect("nobody else does this scan");
            let staging = state.staging(&claim).expect("a folder");
            assert_eq!(names(&staging), Vec::<String>::new());
            fs::write(staging.join("mask.nii.gz"), "half").expect("written");
            random.pause(10);
            assert!(state.append(&done(id)).expect("appended"));
            drop(alone);
        }
        state.refresh().expect("refreshed");
    }
    state.finish().expect("finished");
}

#[cfg(unix)]
#[test]
fn killed_processes_block_nothing_and_every_scan_is_done_once() {
    let ids: Vec<String> = (0..200).map(|index| format!("scan-{index}")).collect();
    if let Some(out) = folder() {
        return work(&out, &ids);
    }
    let out = tempfile::tempdir().expect("a folder");
    fs::create_dir(out.path().join("alone")).expect("a folder");
    let start = || Process::start("killed_processes_block_nothing_and_every_scan_is_done_once", out.path());
    let mut random = Random(20);
    let mut running: Vec<Process> = (0..3).map(|_| start()).collect();
    let mut kills = 0;
    let count = || read(out.path()).map_or(0, |(_, records)| records.len());
    loop {
        // However slow the machine is, there is progress.
        let enough = (count() + random.below(4) as usize).min(ids.len());
        until("scans are done", || count() >= enough);
        if enough == ids.len() {
            break;
        }
        random.pause(20);
        let next = random.below(running.len() as u64) as usize;
        kills += usize::from(running.swap_remove(next).kill());
        running.push(start());
    }
    for mut process in running {
        assert!(process.0.wait().expect("waited for").success());
    }
    assert!(kills >= 10, "{kills} kills");
    let text = fs::read_to_string(out.path().join("manifest.jsonl")).expect("read");
    assert_eq!(text.lines().count(), 1 + ids.len(), "one line for each scan after {kills} kills");
    let (_, records) = read(out.path()).expect("read");
    let found: BTreeSet<&str> =
        records.iter().filter(|record| record.done().is_some()).map(|record| &*record.id).collect();
    assert_eq!(found, ids.iter().map(String::as_str).collect());
    assert_eq!(names(out.path()), ["alone", "manifest.jsonl"]);
}

/// Claims the scan `a`, says so, and waits until it is killed.
fn hold(out: &Path) {
    let state = open(out);
    let claim = state.claim("a").expect("asked").expect("free");
    fs::write(state.staging(&claim).expect("a folder").join("mask.nii.gz"), "half").expect("written");
    fs::write(out.join("held"), "").expect("written");
    thread::sleep(DEADLINE);
}

#[cfg(target_os = "linux")]
#[test]
fn a_suspended_process_keeps_its_scan_and_a_killed_one_loses_it() {
    if let Some(out) = folder() {
        return hold(&out);
    }
    let out = tempfile::tempdir().expect("a folder");
    let process = Process::start("a_suspended_process_keeps_its_scan_and_a_killed_one_loses_it", out.path());
    until("the scan is claimed", || out.path().join("held").exists());
    let pid = rustix::process::Pid::from_child(&process.0);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stopped");
    let stat = format!("/proc/{}/stat", process.0.id());
    until("it is stopped", || fs::read_to_string(&stat).expect("it exists").contains(") T "));
    let workers = out.path().join(NAME).join(WORKERS);
    let file = workers.join(&names(&workers)[0]);
    age(&file, 1000);
    let state = State::open(out.path(), &settings(), false).expect("opened");
    assert!(state.claim("a").expect("asked").is_none(), "suspended");
    assert!(file.exists());
    // Killed, and its parent has not asked for its exit status.
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    until("a killed process loses its scan", || state.claim("a").expect("asked").is_some());
    assert!(!file.exists());
    assert_eq!(names(&out.path().join(NAME).join(STAGING)), Vec::<String>::new());
    state.finish().expect("finished");
    assert_eq!(names(out.path()), ["held", "manifest.jsonl"]);
    process.kill();
}

/// Fills a small disk, in a process that may mount one.
#[cfg(target_os = "linux")]
fn fill(out: &Path) {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(out).status();
    assert!(mounted.expect("started").success(), "it was mounted a moment ago");
    let manifest = out.join("manifest.jsonl");
    let is_full = |error: &CohortError| match error {
        CohortError::Io { path, source } => source.kind() == io::ErrorKind::StorageFull && path.starts_with(out),
        _ => false,
    };
    let state = open(out);
    let claim = state.claim("a").expect("asked").expect("free");
    let ballast = out.join("ballast");
    let mut file = File::create(&ballast).expect("a file");
    let full = io::copy(&mut io::repeat(1), &mut file).expect_err("it ends");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    // The last page of the file has room for some lines.
    let mut appended = 0;
    let error = loop {
        match state.append(&done("a")) {
            Ok(true) if appended < 20 => appended += 1,
            Ok(_) => panic!("{appended} lines fit on a full disk"),
            Err(error) => break error,
        }
    };
    assert!(is_full(&error) && error.to_string().starts_with(&format!("`{}`: ", manifest.display())), "{error}");
    let text = fs::read_to_string(&manifest).expect("read");
    assert_eq!((text.lines().count(), text.ends_with('\n')), (1 + appended, true), "no incomplete line");
    let error = state.claim("b").err().expect("no room");
    assert!(is_full(&error), "{error}");
    let error = State::open(out, &settings(), true).err().expect("no room");
    assert!(is_full(&error), "{error}");
    assert_eq!(names(&out.join(NAME).join(CLAIMS)).len(), 1, "no incomplete claim");
    drop(file);
    fs::remove_file(&ballast).expect("removed");
    assert!(state.append(&done("a")).expect("appended"));
    assert!(state.claim("b").expect("asked").is_some());
    drop(claim);
    state.finish().expect("finished");
    assert_eq!(names(out), ["manifest.jsonl"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_leaves_no_incomplete_line() {
    if let Some(out) = folder() {
        return fill(&out);
    }
    let out = tempfile::tempdir().expect("a folder");
    let inside = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]).arg(program);
        command
    };
    let mut probe = inside(Path::new("mount"));
    let mounted = probe.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(out.path()).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        use io::Write as _;
        // Not with `eprintln!`: the test harness hides its output if the test passes.
        let line = "SKIPPED a_full_disk: no file system can be mounted here, so none was filled";
        return writeln!(io::stderr(), "{line}").expect("standard error");
    }
    let mut again = inside(&std::env::current_exe().expect("a path"));
    let name = "state::tests::processes::a_full_disk_is_named_and_leaves_no_incomplete_line";
    let output = again.args([name, "--exact", "--nocapture"]).env(FOLDER, out.path()).output().expect("started");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
