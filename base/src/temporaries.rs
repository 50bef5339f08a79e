//! A registry of all temporary files and folders of the process, so that all of them can be removed at once.

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

/// Locks the registry, also if a thread panicked while it held the lock: the registry is consistent after every change.
fn lock() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The registration of a temporary path. It ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Registered(u64);

impl Drop for Registered {
    fn drop(&mut self) {
        lock().paths.remove(&self.0);
    }
}

/// Creates a temporary file or folder and registers its path, in one step that [`remove_all`] cannot interrupt.
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

/// Renames a temporary path to its final name, in one step that [`remove_all`] cannot interrupt.
pub(crate) fn commit<T, E>(rename: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let _registry = lock();
    rename()
}

/// While this value exists, no temporary file or folder can be created or renamed to its final name: callers wait.
#[must_use = "once this is dropped, the program can create temporary files again"]
pub struct Removed {
    _registry: MutexGuard<'static, Registry>,
}

/// Removes every temporary file and folder of this process. For a program that is about to end.
///
/// Threads that still write to them get errors.
pub fn remove_all() -> Removed {
    let registry = lock();
    for path in registry.paths.values() {
        remove(path);
    }
    Removed { _registry: registry }
}

/// Removes one path. Another thread can add files to a folder while it is being emptied, so this tries several times.
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
