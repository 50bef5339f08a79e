use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::*;
use crate::folder::{CLAIMS, NAME, STAGING, WORKERS};
use crate::manifest::read;
use crate::manifest::tests::{done, failed, settings};

mod processes;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(1200);

fn open(out: &Path) -> State {
    State::open(out, &settings(), true).expect("opened")
}

/// The names in the output folder.
fn names(out: &Path) -> Vec<String> {
    crate::folder::names(out).expect("listed")
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Puts a worker into the folder, and a claim of it with something unfinished. `change` makes another of this process's worker.
fn put_worker(state: &State, id: &str, change: impl FnOnce(&mut Value)) -> String {
    let folder = &state.folder;
    let mut worker = serde_json::to_value(folder.me()).expect("JSON");
    let token = format!("{:032x}", id.len());
    worker["token"] = token.clone().into();
    change(&mut worker);
    fs::write(folder.worker_file(&token), worker.to_string()).expect("written");
    put_claim(state, id, &json!({ "worker": token, "id": id }).to_string());
    let unfinished = folder.at(STAGING, &token).join("x");
    fs::create_dir_all(&unfinished).expect("a folder");
    fs::write(unfinished.join("mask.nii.gz"), "half").expect("written");
    token
}

fn claim_file(state: &State, id: &str) -> PathBuf {
    let hash = state.folder.staging(id);
    state.folder.at(CLAIMS, hash.file_name().expect("a name").to_str().expect("hexadecimal"))
}

fn put_claim(state: &State, id: &str, text: &str) {
    fs::write(claim_file(state, id), text).expect("written");
}

fn age(path: &Path, seconds: u64) {
    let time = SystemTime::now() - Duration::from_secs(seconds);
    File::options().write(true).open(path).expect("a file").set_modified(time).expect("set");
}

#[test]
fn nothing_but_the_manifest_is_left() {
    let parent = tempfile::tempdir().expect("a folder");
    let out = parent.path().join("deep/er");
    let state = State::open(&out, &settings(), false).expect("a missing folder");
    assert_eq!(names(&out), [NAME, "manifest.jsonl"]);
    let claim = state.claim("a").expect("asked").expect("free");
    assert_eq!(claim.id(), "a");
    let staging = state.staging(&claim).expect("a folder");
    assert_eq!(state.staging(&claim).expect("the same folder"), staging);
    fs::write(staging.join("mask.nii.gz"), "half").expect("written");
    assert!(state.last("a").is_none() && !state.is_of_this_run("a"));
    assert!(state.append(&done("a")).expect("appended"));
    assert_eq!((state.last("a"), state.is_of_this_run("a")), (Some(done("a")), true));
    drop(claim);
    assert!(!staging.exists());
    assert_eq!(names(&out.join(NAME).join(CLAIMS)), Vec::<String>::new());
    state.finish().expect("finished");
    assert_eq!(names(&out), ["manifest.jsonl"]);
    let again = open(&out);
    assert_eq!((again.records(), again.is_of_this_run("a")), (vec![done("a")], false));
    drop(again);
    assert_eq!(names(&out), ["manifest.jsonl"], "dropped instead of finished");
}

#[test]
fn a_run_goes_on_if_that_is_wanted_or_somebody_works_on_it() {
    let out = tempfile::tempdir().expect("a folder");
    let fresh = |settings: &Value| State::open(out.path(), settings, false);
    let first = fresh(&settings()).expect("an empty folder");
    assert!(first.append(&failed("a")).expect("appended"));
    let second = fresh(&settings()).expect("a run that goes on");
    assert_eq!((second.records(), second.is_of_this_run("a")), (vec![failed("a")], false));
    assert!(second.append(&done("a")).expect("appended"));
    assert_eq!((first.last("a"), second.last("a")), (Some(failed("a")), Some(done("a"))));
    first.refresh().expect("refreshed");
    assert!(first.last("a") == Some(done("a")) && first.is_of_this_run("a"));
    let other = json!({ "threshold": 0.4 });
    assert!(matches!(fresh(&other), Err(CohortError::OtherRun { .. })));
    first.finish().expect("finished");
    assert_eq!(names(out.path()), [NAME, "manifest.jsonl"], "the second one works there");
    second.finish().expect("finished");
    for _ in 0..2 {
        let error = fresh(&settings()).err().expect("nobody works there");
        assert!(matches!(&error, CohortError::Exists { path, scans: 1 } if path == out.path()), "{error}");
        assert_eq!(names(out.path()), ["manifest.jsonl"]);
    }
    assert!(matches!(fresh(&other), Err(CohortError::OtherRun { .. })));
    open(out.path()).finish().expect("finished");
}

#[test]
fn settings_can_change_until_a_scan_is_done() {
    let out = tempfile::tempdir().expect("a folder");
    State::open(out.path(), &json!({ "threshold": 0.4 }), false).expect("opened").finish().expect("finished");
    let state = State::open(out.path(), &settings(), false).expect("nothing is done");
    assert_eq!(read(out.path()).expect("read"), (settings(), Vec::new()));
    let error = State::open(out.path(), &json!({}), true).err().expect("somebody works there");
    assert!(matches!(error, CohortError::OtherRun { .. }), "{error}");
    state.finish().expect("finished");
}

/// How many get a scan if a thread for each of these states asks for it at the same moment.
fn winners(states: &[&State], id: &str) -> usize {
    let barrier = Barrier::new(states.len());
    let ask = |state: &State| {
        barrier.wait();
        let claim = state.claim(id).expect("asked");
        // Nobody gives it back before all have asked.
        barrier.wait();
        claim.is_some()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = states.iter().map(|state| scope.spawn(|| ask(state))).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic").then_some(())).count()
    })
}

#[test]
fn one_thread_gets_a_scan() {
    let out = tempfile::tempdir().expect("a folder");
    let (one, other) = (open(out.path()), open(out.path()));
    for round in 0..20 {
        let id = format!("scan {round}");
        assert_eq!(winners(&[&one, &other].repeat(4), &id), 1, "{id}");
        let again = one.claim(&id).expect("asked").expect("free again");
        assert!(other.claim(&id).expect("asked").is_none() && one.claim(&id).expect("asked").is_none());
        assert!(one.claim("another").expect("asked").is_some());
        drop(again);
    }
}

#[test]
fn a_claim_of_a_dead_process_is_taken_over_by_one() {
    let out = tempfile::tempdir().expect("a folder");
    let states: Vec<State> = (0..8).map(|_| open(out.path())).collect();
    // A process that has ended.
    let mut child = Command::new(std::env::current_exe().expect("a path")).arg("--list").stdout(Stdio::null()).spawn();
    let pid = child.as_ref().expect("started").id();
    child.as_mut().expect("started").wait().expect("waited for");
    for round in 0..20 {
        let id = "s".repeat(round + 1);
        let dead = put_worker(&states[0], &id, |worker| worker["pid"] = pid.into());
        let elsewhere = states[0].folder.worker_file(&dead);
        if !cfg!(target_os = "linux") {
            age(&elsewhere, 60);
        }
        assert_eq!(winners(&states.iter().collect::<Vec<_>>(), &id), 1, "{id}");
        assert!(!elsewhere.exists() && !states[0].folder.at(STAGING, &dead).exists(), "{id}: what it left is removed");
        assert_eq!(names(&out.path().join(NAME).join(CLAIMS)), Vec::<String>::new());
    }
}

#[test]
fn a_worker_on_another_machine_is_alive_while_it_gives_signs_of_life() {
    let out = tempfile::tempdir().expect("a folder");
    let state = open(out.path());
    for (id, place) in [("a", json!("other")), ("bb", json!(null))] {
        let token = put_worker(&state, id, |worker| {
            worker["host"] = "elsewhere".into();
            worker["place"] = place;
        });
        let file = state.folder.worker_file(&token);
        assert!(state.claim(id).expect("asked").is_none(), "just written");
        age(&file, 40);
        assert!(state.claim(id).expect("asked").is_none(), "40 s ago");
        // Its clock, or the file server's, is ahead.
        let ahead = SystemTime::now() + Duration::from_secs(3600);
        File::options().write(true).open(&file).expect("a file").set_modified(ahead).expect("set");
        assert!(state.claim(id).expect("asked").is_none(), "in an hour");
        age(&file, 61);
        assert!(state.claim(id).expect("asked").is_some(), "61 s ago");
        assert!(!file.exists() && !state.folder.at(STAGING, &token).exists());
    }
    // Whoever opens or finishes removes only what the dead left.
    let fresh = put_worker(&state, "ccc", |worker| worker["host"] = "elsewhere".into());
    let silent = put_worker(&state, "dddd", |worker| worker["host"] = "elsewhere".into());
    age(&state.folder.worker_file(&silent), 61);
    drop(open(out.path()));
    assert_eq!(names(&out.path().join(NAME).join(STAGING)), std::slice::from_ref(&fresh));
    assert_eq!(names(&out.path().join(NAME).join(CLAIMS)).len(), 1);
    let own = state.folder.me().token.clone();
    let workers: BTreeSet<String> = names(&out.path().join(NAME).join(WORKERS)).into_iter().collect();
    assert_eq!(workers, BTreeSet::from([format!("{fresh}.json"), format!("{own}.json")]));
    age(&state.folder.worker_file(&fresh), 61);
    state.finish().expect("finished");
    assert_eq!(names(out.path()), ["manifest.jsonl"]);
}

#[test]
fn a_claim_without_a_readable_owner_is_free_after_a_while() {
    let out = tempfile::tempdir().expect("a folder");
    let state = open(out.path());
    let escape = json!({ "worker": "../../../manifest", "id": "a" }).to_string();
    for text in ["", "{\"worker\":", &escape] {
        put_claim(&state, "a", text);
        assert!(state.claim("a").expect("asked").is_none(), "{text}");
        age(&claim_file(&state, "a"), 61);
        assert!(state.claim("a").expect("asked").is_some(), "{text}");
    }
    // Its worker is gone.
    put_claim(&state, "a", &json!({ "worker": "0".repeat(32), "id": "a" }).to_string());
    assert!(state.claim("a").expect("asked").is_some());
    // Nothing of it keeps the folder.
    put_claim(&state, "a", "");
    state.finish().expect("finished");
    assert_eq!(names(out.path()), ["manifest.jsonl"]);
}

#[test]
fn a_process_that_was_taken_for_dead_does_not_write_over_the_other() {
    let out = tempfile::tempdir().expect("a folder");
    let state = open(out.path());
    let claim = state.claim("a").expect("asked").expect("free");
    let staging = state.staging(&claim).expect("a folder");
    // What another process does that takes the scan over.
    let other = open(out.path());
    fs::remove_dir_all(staging.parent().expect("a folder")).expect("removed");
    fs::remove_file(state.folder.worker_file(&state.folder.me().token)).expect("removed");
    let taken = other.claim("a").expect("asked").expect("a claim of no worker is free");
    assert!(!state.append(&failed("a")).expect("lost"));
    assert!(other.append(&done("a")).expect("appended"));
    drop(claim);
    assert!(state.claim("a").expect("asked").is_none(), "only the own claim is removed");
    drop(taken);
    assert_eq!(read(out.path()).expect("read").1, [done("a")]);
    // The other one has finished, and nothing is left of either claim.
    let claim = state.claim("b").expect("asked").expect("free");
    fs::remove_dir_all(out.path().join(NAME)).expect("removed");
    let taken = other.claim("b").expect("asked").expect("free");
    assert!(other.append(&done("b")).expect("appended"));
    drop(taken);
    assert!(!state.append(&failed("b")).expect("done by the other"));
    drop(claim);
    // Nobody has done it.
    let claim = state.claim("c").expect("asked").expect("free");
    fs::remove_dir_all(out.path().join(NAME)).expect("removed");
    assert!(state.append(&done("c")).expect("appended"));
    drop(claim);
    // Not claimed at all.
    assert!(state.append(&failed("d")).expect("appended"));
    assert_eq!(read(out.path()).expect("read").1, [done("a"), done("b"), done("c"), failed("d")]);
    state.finish().expect("finished");
    other.finish().expect("finished");
    assert_eq!(names(out.path()), ["manifest.jsonl"]);
}

#[test]
fn a_worker_gives_signs_of_life() {
    let out = tempfile::tempdir().expect("a folder");
    let state = open(out.path());
    let file = state.folder.worker_file(&state.folder.me().token);
    let _often = Heartbeat::start(&state.folder, Duration::from_millis(1)).expect("started");
    age(&file, 1000);
    let is_fresh = || {
        file.metadata()
            .and_then(|found| found.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age < Duration::from_secs(500)))
    };
    until("the file is touched", is_fresh);
    let text = fs::read(&file).expect("read");
    fs::remove_file(&file).expect("removed");
    until("the file is written again", || file.exists());
    assert_eq!(fs::read(&file).expect("read"), text);
}

#[test]
fn processes_come_and_go_without_losing_the_folder() {
    let out = tempfile::tempdir().expect("a folder");
    thread::scope(|scope| {
        for worker in 0..6 {
            let out = out.path();
            scope.spawn(move || {
                for round in 0..15 {
                    let id = format!("{worker} {round}");
                    let state = open(out);
                    let claim = state.claim(&id).expect("asked").expect("nobody else asks");
                    state.staging(&claim).expect("a folder");
                    assert!(state.append(&done(&id)).expect("appended"));
                    drop(claim);
                    state.finish().expect("finished");
                }
            });
        }
    });
    assert_eq!(names(out.path()), ["manifest.jsonl"]);
    assert_eq!(read(out.path()).expect("read").1.len(), 6 * 15);
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let parent = tempfile::tempdir().expect("a folder");
    let named = |error: CohortError, path: &Path| match error {
        CohortError::Io { path: found, source } => {
            assert_eq!(found, path);
            source.kind()
        }
        other => panic!("{other}"),
    };
    let file = parent.path().join("file");
    fs::write(&file, "").expect("written");
    named(State::open(&file, &settings(), true).err().expect("a file"), &file);
    let out = parent.path().join("out");
    fs::create_dir(&out).expect("a folder");
    fs::write(out.join(NAME), "").expect("written");
    let error = State::open(&out, &settings(), true).err().expect("a file in the way");
    assert_eq!(named(error, &out.join(NAME).join("lock")), io::ErrorKind::NotADirectory);
    fs::remove_file(out.join(NAME)).expect("removed");
    let missing = read(&out).expect_err("no manifest").to_string();
    assert!(missing.contains("has no manifest.jsonl") && missing.contains(&*out.to_string_lossy()), "{missing}");

    let state = open(&out);
    let claim = state.claim("a").expect("asked").expect("free");
    fs::remove_dir_all(&out).expect("removed");
    let private = out.join(NAME);
    let failures = [
        state.refresh().expect_err("vanished"),
        state.append(&done("a")).expect_err("vanished"),
        state.staging(&claim).expect_err("vanished"),
        state.claim("b").err().expect("vanished"),
    ];
    for error in failures {
        assert_eq!(named(error, &private), io::ErrorKind::NotFound);
    }
    drop(claim);
    named(state.finish().expect_err("vanished"), &private);
    assert!(!out.exists(), "it is not made again");
}

/// What a user without the rights of root meets; root may write everywhere, so the test cannot refuse anything then.
#[cfg(unix)]
#[test]
fn a_write_protected_folder_is_named_unless_the_system_allows_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let out = tempfile::tempdir().expect("a folder");
    let mode = |mode| fs::set_permissions(out.path(), fs::Permissions::from_mode(mode)).expect("set");
    mode(0o555);
    let allowed = fs::create_dir(out.path().join("probe")).is_ok();
    let opened = State::open(out.path(), &settings(), true);
    match &opened {
        Ok(_) => assert!(allowed),
        Err(error) => {
            assert!(!allowed && error.to_string().starts_with(&format!("`{}", out.path().display())), "{error}");
            assert_eq!(names(out.path()), Vec::<String>::new());
        }
    }
    drop(opened);
    mode(0o755);
}
