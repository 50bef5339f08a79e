//! A process that works on a cohort, as it describes itself to the others.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::time::SystemTime;

use segvol_base::machine::host_name;
use segvol_onnx::manifest::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Who works in a folder. Its file there is `TOKEN.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worker {
    /// A name that no other worker has.
    pub(crate) token: String,
    /// The machine's name.
    host: String,
    /// Where the process id means something: this boot of the machine, and a namespace of process ids, as containers have. Two
    /// containers on one machine share the boot, and may share the name. `None` where the system does not say.
    place: Option<String>,
    /// The process id.
    pid: u32,
    /// When the process was started, in clock ticks since the boot: another process can get the same id later.
    started: Option<u64>,
}

impl Worker {
    /// A new worker of this process.
    pub(crate) fn new() -> Self {
        let (host, pid) = (host_name(), std::process::id());
        // `/proc` can show another namespace than the one that the process is in.
        let stat = Stat::read("self").filter(|stat| stat.pid == pid);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let started = stat.map(|stat| stat.started);
        let unique = format!("{host} {pid} {started:?} {now} {:x}", RandomState::new().hash_one(now));
        let token = hex(&Sha256::digest(unique))[..TOKEN].to_owned();
        Self { token, host, place: started.and(place()), pid, started }
    }

    /// Whether the process is alive, if this machine can tell: `None` for a process that `me` cannot see.
    pub(crate) fn is_alive(&self, me: &Self) -> Option<bool> {
        let seen = self.place.is_some() && self.place == me.place && self.host == me.host;
        let started = self.started.filter(|_| seen)?;
        match Stat::read(&self.pid.to_string()) {
            Some(stat) => Some(stat.started == started && !stat.ended),
            None if is_missing(self.pid) => Some(false),
            // Some systems hide the processes of other users.
            None => None,
        }
    }
}

/// How many hexadecimal digits a token has.
const TOKEN: usize = 32;

/// Whether a text from a file can be a token, and so a part of a path.
pub(crate) fn is_token(text: &str) -> bool {
    text.len() == TOKEN && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// This boot and this namespace of process ids.
fn place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Whether there is no process with this id.
fn is_missing(pid: u32) -> bool {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        return rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
    }
    let _ = pid;
    false
}

/// What Linux says about a process.
struct Stat {
    pid: u32,
    /// Clock ticks from the boot to its start.
    started: u64,
    /// Whether no thread of it runs any more: it was killed, and its parent has not asked for its exit status yet.
    ended: bool,
}

impl Stat {
    fn read(process: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// `PID (NAME) STATE …`: the name can contain anything. Threads and start are the fields 20 and 22 of `proc(5)`.
    fn parse(text: &str) -> Option<Self> {
        let (pid, rest) = text.split_once(" (")?;
        let fields: Vec<&str> = rest.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let zombie = matches!(*fields.first()?, "Z" | "X" | "x");
        Some(Self { pid: pid.parse().ok()?, started: number(22)?, ended: zombie && number(20)? <= 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name_of_the_program() {
        let line = |name: &str, state: &str, threads: u32| {
            format!("71 ({name}) {state} 1 71 71 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 {threads} 0 987654 1 2 3\n")
        };
        for name in ["segvol", "a) Z 1 (", "with blanks", ""] {
            for (state, threads, ended) in [("S", 1, false), ("T", 4, false), ("Z", 1, true), ("Z", 2, false)] {
                let stat = Stat::parse(&line(name, state, threads)).expect("a line");
                assert_eq!((stat.pid, stat.started, stat.ended), (71, 987_654, ended), "{name} {state} {threads}");
            }
        }
        for line in ["", "71", "71 (segvol", "71 (segvol)", "71 (segvol) S 1 2", "x (segvol) S"] {
            assert!(Stat::parse(line).is_none(), "{line}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_alive_until_it_ends_even_if_nobody_waits_for_it() {
        let me = Worker::new();
        assert_eq!(me.is_alive(&me), Some(true));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("started");
        let started = Stat::read(&child.id().to_string()).expect("it runs").started;
        let other = Worker { pid: child.id(), started: Some(started), ..me.clone() };
        assert_eq!(other.is_alive(&me), Some(true));
        let later = Worker { started: Some(started + 1), ..other.clone() };
        assert_eq!(later.is_alive(&me), Some(false), "another process that got the same id");
        for unseen in [
            Worker { host: "other".to_owned(), ..other.clone() },
            Worker { place: Some("another boot pid:[4026531836]".to_owned()), ..other.clone() },
            Worker { place: None, ..other.clone() },
            Worker { started: None, ..other.clone() },
        ] {
            assert_eq!(unseen.is_alive(&me), None, "{unseen:?}");
        }
        child.kill().expect("killed");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while other.is_alive(&me) == Some(true) {
            assert!(std::time::Instant::now() < deadline, "a killed process counts as alive");
            std::thread::yield_now();
        }
        assert_eq!(other.is_alive(&me), Some(false), "killed, and not waited for");
        child.wait().expect("waited for");
        assert_eq!(other.is_alive(&me), Some(false), "gone");
    }

    #[test]
    fn tokens_differ_and_are_safe_in_paths() {
        let tokens: std::collections::BTreeSet<String> = (0..100).map(|_| Worker::new().token).collect();
        assert!(tokens.len() == 100 && tokens.iter().all(|token| is_token(token)), "{tokens:?}");
        for text in ["", "..", "../../../../../../../../etc/passwd", &"g".repeat(32), &"a".repeat(33)] {
            assert!(!is_token(text), "{text}");
        }
    }
}
