//! Who does which scan: a file for each scan that is being done, with the token of its worker.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use segvol_onnx::manifest::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::CohortError;
use crate::folder::{self, CLAIMS, Folder, Locked, Purpose, STAGING, WORKERS};
use crate::worker::is_token;

/// How often a claim is tried again that vanishes while it is looked at. Without locks, others remove theirs at any time.
const TRIES: usize = 3;

/// The content of a claim.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// The token of the worker.
    worker: String,
    /// The scan, for people who look into the folder.
    id: String,
}

/// Whose a claim is.
#[derive(Debug, PartialEq)]
pub(crate) enum Owner {
    /// There is no claim.
    Nobody,
    /// The worker with this token.
    Worker(String),
    /// The file is not complete: somebody writes it at this moment, or was killed.
    Unknown,
}

/// The name of a scan's claim: an id can have characters that a name cannot.
fn name(id: &str) -> String {
    hex(&Sha256::digest(id))
}

impl Folder {
    /// The folder for unfinished outputs of a scan.
    pub(crate) fn staging(&self, id: &str) -> PathBuf {
        self.at(STAGING, &self.me().token).join(name(id))
    }

    fn owner(&self, name: &str) -> Result<Owner, CohortError> {
        let path = self.at(CLAIMS, name);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Owner::Nobody),
            text => text.map_err(folder::io(&path))?,
        };
        let content = serde_json::from_slice::<Content>(&text).ok();
        let token = content.map(|content| content.worker).filter(|token| is_token(token));
        Ok(token.map_or(Owner::Unknown, Owner::Worker))
    }
}

impl Locked<'_> {
    /// Whose a scan is.
    pub(crate) fn owner_of(&self, id: &str) -> Result<Owner, CohortError> {
        self.folder().owner(&name(id))
    }

    /// Claims a scan for this worker, unless a living one has it. The claim of a dead worker is taken over; what it left is removed.
    pub(crate) fn take(&self, id: &str) -> Result<bool, CohortError> {
        let folder = self.folder();
        let (name, me) = (name(id), &folder.me().token);
        let path = folder.at(CLAIMS, &name);
        for _ in 0..TRIES {
            match folder.owner(&name)? {
                Owner::Nobody => {
                    let content = Content { worker: me.clone(), id: id.to_owned() };
                    let bytes = serde_json::to_vec(&content).map_err(|error| folder::io(&path)(error.into()))?;
                    if folder.create(&path, Purpose::Claim, &bytes)? {
                        return Ok(true);
                    }
                }
                Owner::Worker(token) if token == *me => return Ok(true),
                owner if self.is_held(&owner, &name)? => return Ok(false),
                owner => {
                    if let Owner::Worker(token) = owner {
                        tracing::info!("the process that did `{}` has ended: it is done again", id.escape_debug());
                        self.bury(&token)?;
                    }
                    folder::remove(&path)?;
                }
            }
        }
        Ok(false)
    }

    /// Ends this worker's claim of a scan, and removes what is unfinished.
    pub(crate) fn release(&self, id: &str) -> Result<(), CohortError> {
        let folder = self.folder();
        let unfinished = folder::remove(&folder.staging(id));
        if self.owner_of(id)? == Owner::Worker(folder.me().token.clone()) {
            folder::remove(&folder.at(CLAIMS, &name(id)))?;
        }
        unfinished
    }

    /// Removes what dead workers left, and counts the other living ones.
    pub(crate) fn sweep(&self) -> Result<usize, CohortError> {
        Ok(self.sweep_all_except(true)? - 1)
    }

    /// Removes this worker, what dead ones left, and the private folder if nobody is left.
    pub(crate) fn leave(&self) -> Result<(), CohortError> {
        if self.sweep_all_except(false)? == 0 {
            self.dissolve();
        }
        Ok(())
    }

    /// Removes what belongs to no living worker, and counts those. This one counts as alive if it `stays`.
    fn sweep_all_except(&self, stays: bool) -> Result<usize, CohortError> {
        let folder = self.folder();
        let mut living = BTreeSet::new();
        let workers = folder::names(&folder.at(WORKERS, ""))?;
        for token in workers.iter().filter_map(|name| name.strip_suffix(".json")).filter(|token| is_token(token)) {
            let is_alive = if token == folder.me().token { stays } else { self.is_alive(token)? };
            if is_alive {
                living.insert(token.to_owned());
            }
        }
        let is_of_the_living = |name: &str| name.split('.').next().is_some_and(|token| living.contains(token));
        for name in folder::names(&folder.at(STAGING, ""))? {
            if !is_of_the_living(&name) {
                folder::remove(&folder.at(STAGING, &name))?;
            }
        }
        for name in folder::names(&folder.at(CLAIMS, ""))? {
            let is_held = match folder.owner(&name)? {
                Owner::Worker(token) => living.contains(&token),
                owner => !living.is_empty() && self.is_held(&owner, &name)?,
            };
            if !is_held {
                folder::remove(&folder.at(CLAIMS, &name))?;
            }
        }
        for name in workers.iter().filter(|name| !is_of_the_living(name)) {
            folder::remove(&folder.at(WORKERS, name))?;
        }
        Ok(living.len())
    }

    fn is_held(&self, owner: &Owner, name: &str) -> Result<bool, CohortError> {
        match owner {
            Owner::Nobody => Ok(false),
            Owner::Worker(token) => self.is_alive(token),
            Owner::Unknown => Ok(!self.is_abandoned(&self.folder().at(CLAIMS, name))?),
        }
    }

    /// Removes a dead worker and what is unfinished. Its other claims are nobody's from then on.
    fn bury(&self, token: &str) -> Result<(), CohortError> {
        let folder = self.folder();
        folder::remove(&folder.at(STAGING, token))?;
        folder::remove(&folder.worker_file(token))
    }
}
