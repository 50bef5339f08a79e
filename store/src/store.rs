//! The store: values by key, in one folder.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use segvol_base::{Warning, WarningCode, atomic_file};

use crate::folder::{self, UNFINISHED};
use crate::record::{self, Fault, Key};

/// After how many new files the folder is counted again, because other processes write to it too.
const RECOUNT: usize = 32;

/// Values by key, in the files of one folder.
///
/// Nothing here fails: what cannot be read is computed again by the caller, and what cannot be written is not kept.
/// [`Store::warnings`] says so.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    limit_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The size of all files when they were last counted, with those that were written since then, and their number. `None` if they
    /// could not be counted.
    counted: Option<(u64, usize)>,
    /// Number of files that were not used, and the first of them.
    unused: Option<(usize, String)>,
    /// Number of values that were not written, and why the first was not.
    unwritten: Option<(usize, String)>,
}

impl Store {
    /// The store in `folder`, whose files have at most `limit_bytes` together: if they have more, the least recently used ones are
    /// deleted now. The folder is made when the first value is written.
    #[must_use]
    pub fn new(folder: &Path, limit_bytes: u64) -> Self {
        // A folder that cannot be read or changed is noticed when a value is written.
        let counted = folder::shrink(folder, limit_bytes).ok().map(|total| (total, 0));
        let state = Mutex::new(State { counted, ..State::default() });
        Self { folder: folder.to_owned(), limit_bytes, state }
    }

    /// Whether a value is there. It may still be damaged, or vanish.
    #[must_use]
    pub fn has(&self, key: &Key) -> bool {
        self.path(key).symlink_metadata().is_ok_and(|found| found.is_file())
    }

    /// The items of a group that are there, in the order of their names. Only the folder is read, no file.
    #[must_use]
    pub fn items(&self, group: &[u8; 32]) -> Vec<String> {
        let names = folder::names(&self.folder).unwrap_or_default();
        names.iter().filter_map(|name| record::item_of(name, group)).map(str::to_owned).collect()
    }

    /// The value of a key, exactly as it was written. `None` if there is none, if it is longer than `max_bytes`, or if its file is
    /// damaged, which is then deleted.
    #[must_use]
    pub fn get(&self, key: &Key, max_bytes: usize) -> Option<Vec<u8>> {
        let reason = match self.read(key, max_bytes) {
            Ok(value) => return value,
            Err(Fault::Damaged(reason)) => {
                // If this fails, the next run says the same.
                let _ = std::fs::remove_file(self.path(key));
                reason
            }
            Err(Fault::Foreign(reason)) => reason,
            Err(Fault::Io(error)) => error.to_string(),
        };
        let unused = &mut self.state().unused;
        match unused {
            Some((count, _)) => *count += 1,
            None => *unused = Some((1, format!("`{}`: {reason}", key.file_name()))),
        }
        None
    }

    fn read(&self, key: &Key, max_bytes: usize) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.path(key);
        let missing =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        let file = match path.symlink_metadata() {
            Err(error) if missing(&error) => return Ok(None),
            Ok(found) if !found.is_file() => {
                let what = if found.is_symlink() { "a symbolic link" } else { "no regular file" };
                return Err(Fault::Foreign(format!("expected a file of embeddings, found {what}")));
            }
            found => found.and_then(|_| File::open(&path)),
        };
        let file = match file {
            Err(error) if missing(&error) => return Ok(None), // Another process deleted it.
            file => file?,
        };
        let value = record::read(&file, file.metadata()?.len(), key, max_bytes)?;
        // In a folder that may not be written to, the order of use is not recorded.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(value))
    }

    /// Keeps a value, and deletes the least recently used ones if all of them exceed the limit. A value that is already there is not
    /// written again. After a failure, nothing more is written.
    pub fn put(&self, key: &Key, value: &[u8]) {
        let mut state = self.state();
        if let Some((count, _)) = &mut state.unwritten {
            *count += 1;
        } else if let Err(reason) = self.write(&mut state, key, value) {
            state.unwritten = Some((1, reason));
        }
    }

    /// Notes that a value could not be written, for a reason of the caller's.
    pub fn put_failed(&self, reason: &str) {
        let mut state = self.state();
        let (count, _) = state.unwritten.get_or_insert_with(|| (0, reason.to_owned()));
        *count += 1;
    }

    fn write(&self, state: &mut State, key: &Key, value: &[u8]) -> Result<(), String> {
        let bytes = record::length(key, value);
        let Some(others) = self.limit_bytes.checked_sub(bytes) else {
            return Err(format!("one embedding has {bytes} bytes, and the limit is {} bytes", self.limit_bytes));
        };
        // Without the name of the temporary file, which nobody knows.
        let said = |error: io::Error| error.to_string().split(" at path ").next().unwrap_or_default().to_owned();
        folder::make(&self.folder).map_err(said)?;
        let (total, files) = match state.counted {
            Some((total, files)) if files < RECOUNT && total <= others => (total, files),
            _ => (folder::shrink(&self.folder, others).map_err(said)?, 0),
        };
        let fill = |file: &File| record::write(file, key, value);
        let added = atomic_file::add_private(&self.folder, &key.file_name(), UNFINISHED, fill).map_err(said)?;
        state.counted = Some((total + if added { bytes } else { 0 }, files + 1));
        Ok(())
    }

    /// What went wrong so far: at most one warning about files that were not used, and one about values that were not written.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let (state, folder) = (self.state(), self.folder.display());
        let files = |count: usize| if count == 1 { "1 file was".to_owned() } else { format!("{count} files were") };
        let unused = state.unused.as_ref().map(|(count, first)| {
            let message = format!(
                "embeddings in `{folder}`: {} not used, and computed again; the first is {first}",
                files(*count)
            );
            Warning::new(WarningCode::EmbeddingsDamaged, message)
        });
        let unwritten = state.unwritten.as_ref().map(|(count, reason)| {
            let message =
                format!("embeddings in `{folder}`: {count} not stored: {reason}; the masks do not depend on it");
            Warning::new(WarningCode::EmbeddingsNotStored, message)
        });
        unused.into_iter().chain(unwritten).collect()
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.file_name())
    }

    /// The state is consistent after every change, so a panic elsewhere does not invalidate it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
