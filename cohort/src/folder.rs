//! The private folder of the processes that work on a cohort: its lock, and who of them is alive.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use segvol_base::file_identity::FileIdentity;
use segvol_base::printable_path;

use crate::error::CohortError;
use crate::worker::Worker;

/// Its name in the output folder.
pub(crate) const NAME: &str = ".segvol-cohort";
/// One file for each worker.
pub(crate) const WORKERS: &str = "workers";
/// One file for each scan that is being done.
pub(crate) const CLAIMS: &str = "claims";
/// Unfinished files, in a folder for each worker.
pub(crate) const STAGING: &str = "staging";
/// The file that is locked.
pub(crate) const LOCK: &str = "lock";

/// How long a worker on another machine may give no sign of life: much longer than between two heartbeats.
const SILENCE: Duration = Duration::from_secs(60);
/// How often the lock is tried again after another process removed it. Each time, another process has finished.
const TRIES: usize = 1000;

/// The error for a path.
pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> CohortError {
    let path = path.to_owned();
    move |source| CohortError::Io { path, source }
}

/// What a file is for that is written whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Purpose {
    Worker,
    Heartbeat,
    Claim,
    Manifest,
}

impl Purpose {
    /// The ending of unfinished files: of one worker, no two have the same at once.
    fn ending(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Heartbeat => "heartbeat",
            Self::Claim => "claim",
            Self::Manifest => "manifest",
        }
    }

    /// Whether the file must survive a crash of the machine. No worker does, so no claim needs to.
    fn is_lasting(self) -> bool {
        self == Self::Manifest
    }
}

/// The private folder, for one worker.
pub(crate) struct Folder {
    root: PathBuf,
    me: Worker,
    /// Locks of network file systems may exclude other processes only, not other threads.
    threads: Mutex<()>,
    is_registered: AtomicBool,
    lacks_locks: AtomicBool,
}

/// The private folder, while no other thread or process is here.
pub(crate) struct Locked<'f> {
    folder: &'f Folder,
    file: File,
    _threads: MutexGuard<'f, ()>,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Closing the file unlocks it too, but not if a child process has just inherited it.
        let _ = self.file.unlock();
    }
}

impl Folder {
    /// For a new worker. Nothing is written before the first [`Folder::lock`].
    pub(crate) fn new(out: &Path) -> Self {
        Self {
            root: out.join(NAME),
            me: Worker::new(),
            threads: Mutex::new(()),
            is_registered: AtomicBool::new(false),
            lacks_locks: AtomicBool::new(false),
        }
    }

    pub(crate) fn me(&self) -> &Worker {
        &self.me
    }

    /// A path in the private folder.
    pub(crate) fn at(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join(kind).join(name)
    }

    /// The file of a worker.
    pub(crate) fn worker_file(&self, token: &str) -> PathBuf {
        self.at(WORKERS, &format!("{token}.json"))
    }

    /// Waits until no other thread or process is here. Makes what is missing in the private folder, and this worker's file; the
    /// output folder must exist.
    ///
    /// The last process removes the private folder with its lock. Who waited for that lock meanwhile begins anew.
    pub(crate) fn lock(&self) -> Result<Locked<'_>, CohortError> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.root.join(LOCK);
        let mut found = None;
        for _ in 0..TRIES {
            make(&self.root)?;
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = match opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(io(&path))?,
            };
            self.wait_for(&file, &path)?;
            if is_at(&file, &path) {
                found = Some(file);
                break;
            }
        }
        let removed = || io(&path)(io::Error::other("other processes keep removing it"));
        let locked = Locked { folder: self, file: found.ok_or_else(removed)?, _threads: threads };
        for kind in [WORKERS, CLAIMS, STAGING] {
            make(&self.root.join(kind))?;
        }
        self.register()?;
        Ok(locked)
    }

    fn wait_for(&self, file: &File, path: &Path) -> Result<(), CohortError> {
        loop {
            match file.lock() {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if lacks_locks(&error) => {
                    if !self.lacks_locks.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            "`{}`: this file system has no locks ({error}). Use one process on it, or one for each shard.",
                            printable_path(path)
                        );
                    }
                    return Ok(());
                }
                Err(error) => return Err(io(path)(error)),
            }
        }
    }

    /// Writes this worker's file if it is not there.
    fn register(&self) -> Result<(), CohortError> {
        let path = self.worker_file(&self.me.token);
        if path.try_exists().map_err(io(&path))? {
            return Ok(());
        }
        self.write_worker_file(Purpose::Worker)?;
        if self.is_registered.swap(true, Ordering::Relaxed) {
            tracing::warn!("`{}`: was removed, and is written again", printable_path(&path));
        }
        Ok(())
    }

    fn write_worker_file(&self, purpose: Purpose) -> Result<(), CohortError> {
        let path = self.worker_file(&self.me.token);
        let bytes = serde_json::to_vec(&self.me).map_err(|error| io(&path)(error.into()))?;
        self.replace(&path, purpose, &bytes)
    }

    /// Gives a sign of life. If others took this worker for dead meanwhile, its file is written again.
    pub(crate) fn beat(&self) -> Result<(), CohortError> {
        let path = self.worker_file(&self.me.token);
        match touch(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.write_worker_file(Purpose::Heartbeat),
            touched => touched.map_err(io(&path)),
        }
    }

    /// Writes a file whole, in the place of an old one.
    pub(crate) fn replace(&self, path: &Path, purpose: Purpose, bytes: &[u8]) -> Result<(), CohortError> {
        let unfinished = self.at(STAGING, &format!("{}.{}", self.me.token, purpose.ending()));
        File::create(&unfinished)
            .and_then(|file| write(file, purpose, bytes))
            .and_then(|()| fs::rename(&unfinished, path))
            .inspect_err(|_| drop(fs::remove_file(&unfinished)))
            .map_err(io(path))
    }

    /// Writes a file whole, unless there is one of this name; then the result is `false`.
    ///
    /// Where the file system has no hard links, a process that is killed here leaves an incomplete file.
    pub(crate) fn create(&self, path: &Path, purpose: Purpose, bytes: &[u8]) -> Result<bool, CohortError> {
        let unfinished = self.at(STAGING, &format!("{}.{}", self.me.token, purpose.ending()));
        let written = File::create(&unfinished).and_then(|file| write(file, purpose, bytes));
        let linked = written.and_then(|()| fs::hard_link(&unfinished, path));
        let _ = fs::remove_file(&unfinished);
        let created = match linked {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(_) => File::create_new(path),
        };
        match created {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            created => created
                .and_then(|file| write(file, purpose, bytes))
                .inspect_err(|_| drop(fs::remove_file(path)))
                .map(|()| true)
                .map_err(io(path)),
        }
    }
}

impl Locked<'_> {
    /// The private folder.
    pub(crate) fn folder(&self) -> &Folder {
        self.folder
    }

    /// Whether a worker is alive.
    ///
    /// - On this machine, its process says it, even if it is suspended.
    /// - Elsewhere, its file must have been touched a moment ago. Clocks of machines differ, so the file server's time is asked, by
    ///   touching an own file.
    pub(crate) fn is_alive(&self, token: &str) -> Result<bool, CohortError> {
        let folder = self.folder;
        if token == folder.me.token {
            return Ok(true);
        }
        let path = folder.worker_file(token);
        // A network file system may answer questions about a path from memory. It asks the server when a file is opened.
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(io(&path))?,
        };
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(io(&path))?;
        let worker = serde_json::from_slice::<Worker>(&text).ok();
        if let Some(alive) = worker.and_then(|worker| worker.is_alive(&folder.me)) {
            return Ok(alive);
        }
        let touched = file.metadata().and_then(|found| found.modified()).map_err(io(&path))?;
        Ok(!is_silent(touched, self.now()?))
    }

    /// Whether a file was written long ago, for a file without a readable owner.
    pub(crate) fn is_abandoned(&self, path: &Path) -> Result<bool, CohortError> {
        match modified(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            written => Ok(is_silent(written.map_err(io(path))?, self.now()?)),
        }
    }

    /// The file server's time.
    fn now(&self) -> Result<SystemTime, CohortError> {
        self.folder.beat()?;
        let path = self.folder.worker_file(&self.folder.me.token);
        modified(&path).map_err(io(&path))
    }

    /// Removes the private folder, if nobody has put anything else there. No worker may be left.
    pub(crate) fn dissolve(&self) {
        let root = &self.folder.root;
        let remove = || {
            for kind in [CLAIMS, STAGING, WORKERS] {
                fs::remove_dir_all(root.join(kind))?;
            }
            // From here on, another process can make a new lock; then the folder is not empty, and stays.
            fs::remove_file(root.join(LOCK))?;
            fs::remove_dir(root)
        };
        if let Err(error) = remove() {
            tracing::info!("`{}` stays: {error}", printable_path(root));
        }
    }
}

/// Makes a folder, whose parent must exist, unless there is one.
pub(crate) fn make(path: &Path) -> Result<(), CohortError> {
    ensure(path).map_err(io(path))
}

/// As [`make`], with the error of the operating system.
pub(crate) fn ensure(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Removes a file or a folder with everything in it. It may be missing.
pub(crate) fn remove(path: &Path) -> Result<(), CohortError> {
    let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
    match if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io(path)(error)),
        _ => Ok(()),
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, CohortError> {
    let entries = fs::read_dir(folder).map_err(io(folder))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<io::Result<_>>().map_err(io(folder))?;
    names.sort();
    Ok(names)
}

fn write(mut file: File, purpose: Purpose, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    if purpose.is_lasting() { file.sync_all() } else { Ok(()) }
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    File::open(path)?.metadata()?.modified()
}

fn is_silent(touched: SystemTime, now: SystemTime) -> bool {
    now.duration_since(touched).is_ok_and(|silence| silence >= SILENCE)
}

/// Whether an open file is still the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |file: &File| file.metadata().map(|found| FileIdentity::of_open(&found));
    let there = File::open(path).and_then(|there| identity(&there));
    matches!((identity(file), there), (Ok(file), Ok(there)) if file == there)
}

/// Sets a file's time to the file server's, not to this machine's.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn touch(path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Ok(utimensat(CWD, path, &Timestamps { last_access: now, last_modification: now }, AtFlags::empty())?)
}

/// Sets a file's time to the file server's, by writing what is in it already.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn touch(path: &Path) -> io::Result<()> {
    let bytes = fs::read(path)?;
    OpenOptions::new().write(true).open(path)?.write_all(&bytes)
}

/// Whether an error says that the file system has no locks.
fn lacks_locks(error: &io::Error) -> bool {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    if error.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error()) {
        return true;
    }
    error.kind() == io::ErrorKind::Unsupported
}
