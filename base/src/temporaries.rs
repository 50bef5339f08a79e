//! Every temporary file and folder of the process, so that all of them can be removed at once.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { next: 0, paths: BTreeMap::new() });

struct Registry {
    next: u64,
    paths: BTreeMap<u64, PathBuf>,
}

/// The registry is consistent after every change, so a panic elsewhere does not invalidate it.
fn lock() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The registration of a temporary path; it ends when this goes out of scope.
#[derive(Debug)]
pub(crate) struct Registered(u64);

impl Drop for Registered {
    fn drop(&mut self) {
        lock().paths.remove(&self.0);
    }
}

/// Creates something temporary and registers it, in one step that [`remove_all`] cannot interrupt.
pub(crate) fn create<T>(
    make: impl FnOnce() -> io::Result<T>,
    path: impl FnOnce(&T) -> &Path,
) -> io::Result<(Registered, T)> {
    let mut registry = lock();
    let made = make()?;
    let id = registry.next;
    registry.next += 1;
    registry.paths.insert(id, path(&made).to_owned());
    Ok((Registered(id), made))
}

/// Gives a temporary path its final name, in steps that [`remove_all`] cannot interrupt.
pub(crate) fn commit<T>(rename: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _registry = lock();
    rename()
}

/// While this value exists, no temporary file or folder is created, and none gets its final name: callers wait.
#[must_use = "a program that goes on may make temporary files again"]
pub struct Removed {
    _registry: MutexGuard<'static, Registry>,
}

/// Removes every temporary file and folder of this process, for a program that is about to end.
///
/// Threads that still write to them get errors.
pub fn remove_all() -> Removed {
    let registry = lock();
    for path in registry.paths.values() {
        remove(path);
    }
    Removed { _registry: registry }
}

/// Another thread may put files into a folder while it is emptied, so one try is not always enough.
fn remove(path: &Path) {
    for _ in 0..50 {
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        match removed {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
