//! Pictures of an evaluation: one per case and kind of prompt, `CASE.KIND.png`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use segvol::Volume;
use segvol_base::file_names;
use segvol_overlay::{MAX_OBJECTS, Montage, Object, View};

use crate::cases::Case;
use crate::prompts::Kind;
use crate::score::{Found, INSIDE, Watcher};

/// Draws every case when its last object has been segmented, the truth as a second contour.
pub struct Pictures {
    folder: PathBuf,
    view: View,
    /// Cases that are not done yet.
    pending: Mutex<BTreeMap<(String, Kind), Montage>>,
}

impl Pictures {
    /// Pictures in `folder`, which must exist.
    #[must_use]
    pub fn new(folder: PathBuf, view: View) -> Self {
        Self { folder, view, pending: Mutex::default() }
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<(String, Kind), Montage>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for Pictures {
    fn object(&self, found: &Found<'_>) -> Result<(), String> {
        let mut pending = self.pending();
        let montage = pending
            .entry((found.case.name.clone(), found.kind))
            .or_insert_with(|| Montage::new(found.volume.grid(), self.view));
        let object = Object {
            name: &found.structure.name,
            mask: (found.zoom_in, INSIDE),
            marks: &found.marks,
            truth: Some((found.truth, found.structure.value)),
            note: "",
        };
        montage.add(object).map_err(|error| format!("pictures (of {MAX_OBJECTS} structures at most): {error}"))
    }

    fn case(&self, case: &Case, volume: &Volume) -> Result<(), String> {
        let montages: Vec<_> = self.pending().extract_if(.., |(name, _), _| *name == case.name).collect();
        for ((name, kind), montage) in montages {
            let path = self.folder.join(format!("{}.{kind}.png", file_names::stem(&name)));
            let picture = montage.draw(volume).map_err(|error| error.to_string())?;
            picture.save(&path).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
