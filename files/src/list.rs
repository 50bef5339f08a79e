//! Every temporary file and folder of the process, so that all of them can be removed at once.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

static LIST: Mutex<List> = Mutex::new(List { next: 0, paths: BTreeMap::new() });

struct List {
    next: u64,
    paths: BTreeMap<u64, PathBuf>,
}

/// The list is whole after every change, so a panic elsewhere does not spoil it.
fn lock() -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a temporary path on the list; it is taken off when this goes out of scope.
#[derive(Debug)]
pub(crate) struct Listed(u64);

impl Drop for Listed {
    fn drop(&mut self) {
        lock().paths.remove(&self.0);
    }
}

/// Makes something temporary and puts it on the list, with nothing in between that [`remove_all`] could miss.
pub(crate) fn make<T>(make: impl FnOnce() -> io::Result<T>, path: impl FnOnce(&T) -> &Path) -> io::Result<(Listed, T)> {
    let mut list = lock();
    let made = make()?;
    let id = list.next;
    list.next += 1;
    list.paths.insert(id, path(&made).to_owned());
    Ok((Listed(id), made))
}

/// Gives a temporary path its final name, in steps that [`remove_all`] does not come between.
pub(crate) fn settle<T>(rename: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _list = lock();
    rename()
}

/// While this lives, no temporary file or folder is made, and none gets its final name: who tries waits.
#[must_use = "a program that goes on may make temporary files again"]
pub struct Removed {
    _list: MutexGuard<'static, List>,
}

/// Removes every temporary file and folder of this process, for a program that is about to end.
///
/// Threads that still write to them meet errors.
pub fn remove_all() -> Removed {
    let list = lock();
    for path in list.paths.values() {
        remove(path);
    }
    Removed { _list: list }
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
