//! The state of a run, in its output folder: what is done, and who does what.
//!
//! ```text
//! OUT/manifest.jsonl                        the settings, and a line for each scan that is done or has failed
//! OUT/.segvol-cohort/lock                   locked for each change
//! OUT/.segvol-cohort/workers/TOKEN.json     a process that works here: host, process id and start; its time is a sign of life
//! OUT/.segvol-cohort/claims/HASH            a scan that is being done, with the token of its process; the hash is its id's
//! OUT/.segvol-cohort/staging/TOKEN/HASH/    what is unfinished of it
//! ```
//!
//! A process that is killed leaves its files. Others see that it is dead, at once on the same machine and after a minute on
//! another, and remove them. The last process that finishes removes the private folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::claims::Owner;
use crate::error::CohortError;
use crate::folder::{Folder, io, make};
use crate::heartbeat::{BEAT, Heartbeat};
use crate::manifest::Manifest;
use crate::record::Record;

/// The state of a run, shared by the threads of this process and by all processes that work in its output folder.
pub struct State {
    folder: Arc<Folder>,
    manifest: Mutex<Manifest>,
    /// The scans that threads of this process do, with the end of the manifest when they were claimed.
    held: Mutex<BTreeMap<String, u64>>,
    /// `None` when the state is finished.
    heartbeat: Option<Heartbeat>,
}

/// The right to do one scan. No other thread or process has it until this is dropped.
#[must_use = "the scan is free for others when this is dropped"]
pub struct Claim<'s> {
    state: &'s State,
    id: String,
}

impl State {
    /// Opens the output folder, and makes what is missing in it. What killed processes left is removed.
    ///
    /// `settings` are those of all scans; a run can only go on with the same. `resume`: whether a run may go on that nobody works on
    /// at the moment. A folder in which no scan is done yet can be used with any settings, unless another process works there.
    ///
    /// # Errors
    ///
    /// - [`CohortError::OtherRun`] if the run in the folder has other settings;
    /// - [`CohortError::Exists`] if it has records, nobody works on it, and it is not to be resumed;
    /// - [`CohortError::Damaged`] if a line of the manifest cannot be read;
    /// - [`CohortError::Io`] if the folder cannot be made, read or written.
    pub fn open(out: &Path, settings: &Value, resume: bool) -> Result<Self, CohortError> {
        fs::create_dir_all(out).map_err(io(out))?;
        let folder = Arc::new(Folder::new(out));
        let locked = folder.lock()?;
        let opened = locked.sweep().and_then(|others| Manifest::open(&locked, out, settings, resume, others > 0));
        let started = opened.and_then(|manifest| Ok((manifest, Heartbeat::start(&folder, BEAT)?)));
        let (manifest, heartbeat) = started.inspect_err(|_| {
            // Before others can see this worker and join it.
            if let Err(error) = locked.leave() {
                tracing::debug!("after an error: {error}");
            }
        })?;
        drop(locked);
        let (manifest, held) = (Mutex::new(manifest), Mutex::default());
        Ok(Self { folder, manifest, held, heartbeat: Some(heartbeat) })
    }

    fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what other processes have written to the manifest.
    ///
    /// # Errors
    ///
    /// [`CohortError::Io`] or [`CohortError::Damaged`].
    pub fn refresh(&self) -> Result<(), CohortError> {
        let locked = self.folder.lock()?;
        self.manifest().refresh(&locked)
    }

    /// The last record of a scan, as far as the manifest was read.
    #[must_use]
    pub fn last(&self, id: &str) -> Option<Record> {
        self.manifest().last(id).cloned()
    }

    /// Whether that record was written, by any process, since this one opened the state.
    #[must_use]
    pub fn is_of_this_run(&self, id: &str) -> bool {
        self.manifest().is_of_this_run(id)
    }

    /// The last record of each scan, sorted by id, as far as the manifest was read.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.manifest().records()
    }

    /// Writes a record, and waits until it is on the disk. An error leaves the manifest as it was.
    ///
    /// The result is `false`, and nothing is written, if the scan was claimed by this process and another one has taken it over: this
    /// one gave no sign of life for a minute. The other's record counts.
    ///
    /// # Errors
    ///
    /// [`CohortError::Io`] or [`CohortError::Damaged`].
    pub fn append(&self, record: &Record) -> Result<bool, CohortError> {
        let locked = self.folder.lock()?;
        let claimed_at = self.held().get(&record.id).copied();
        let mut manifest = self.manifest();
        if let Some(claimed_at) = claimed_at {
            manifest.refresh(&locked)?;
            let lost = match locked.owner_of(&record.id)? {
                Owner::Worker(token) => token != self.folder.me().token,
                Owner::Unknown => true,
                // The private folder was removed: by another process that has done the scan, or by a person.
                Owner::Nobody => manifest.is_written_after(&record.id, claimed_at),
            };
            if lost {
                tracing::warn!("`{}` was taken over by another process", record.id.escape_debug());
                return Ok(false);
            }
        }
        manifest.append(&locked, record)?;
        Ok(true)
    }

    /// Claims a scan for the calling thread. The result is `None` if another thread or a living process has it.
    ///
    /// The scan may have been done since the caller looked. With the claim, everything that was written to the manifest before it
    /// is read: ask [`State::last`] now, before the work.
    ///
    /// On a file system without locks (a log line says so), two processes that find the claim of a dead one at the same moment can both
    /// get it.
    ///
    /// # Errors
    ///
    /// [`CohortError::Io`] or [`CohortError::Damaged`]. The scan is not claimed then.
    pub fn claim(&self, id: &str) -> Result<Option<Claim<'_>>, CohortError> {
        if self.held().contains_key(id) {
            return Ok(None);
        }
        let locked = self.folder.lock()?;
        // Another thread may have claimed it while this one waited.
        let is_held = self.held().contains_key(id);
        if is_held || !locked.take(id)? {
            return Ok(None);
        }
        let mut manifest = self.manifest();
        if let Err(error) = manifest.refresh(&locked) {
            // The first error counts.
            let _ = locked.release(id);
            return Err(error);
        }
        self.held().insert(id.to_owned(), manifest.end());
        Ok(Some(Claim { state: self, id: id.to_owned() }))
    }

    /// A folder for the unfinished outputs of a scan. It is on the file system of the output folder, and is removed with the claim.
    ///
    /// # Errors
    ///
    /// [`CohortError::Io`] if it cannot be made.
    pub fn staging(&self, claim: &Claim<'_>) -> Result<PathBuf, CohortError> {
        let _locked = self.folder.lock()?;
        let path = self.folder.staging(&claim.id);
        path.parent().map_or(Ok(()), make)?;
        make(&path)?;
        Ok(path)
    }

    /// Removes what this process has in the private folder, what killed ones left, and the folder itself if nobody else works there.
    /// Dropping a state does the same, without errors.
    ///
    /// # Errors
    ///
    /// [`CohortError::Io`] if something cannot be removed.
    pub fn finish(mut self) -> Result<(), CohortError> {
        self.leave()
    }

    fn leave(&mut self) -> Result<(), CohortError> {
        // First, so that it writes nothing that was removed.
        match self.heartbeat.take() {
            None => Ok(()),
            Some(heartbeat) => {
                drop(heartbeat);
                self.folder.lock()?.leave()
            }
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::debug!("when a cohort was closed: {error}");
        }
    }
}

impl Claim<'_> {
    /// The scan.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let released = self.state.folder.lock().and_then(|locked| {
            let released = locked.release(&self.id);
            self.state.held().remove(&self.id);
            released
        });
        if let Err(error) = released {
            self.state.held().remove(&self.id);
            tracing::debug!("when a scan was released: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
