//! The scans of a cohort: from a folder, a pattern of names, or a list.

mod file;
mod folder;
mod id;
mod scan;
mod shard;

use std::collections::BTreeMap;
use std::path::Path;

use segvol_base::file_identity::is_within;
use segvol_base::file_names::folded;
use segvol_base::printable;

pub use scan::{Ids, Scan};
pub use shard::Shard;

use crate::error::CohortError;
use crate::settings::Own;
use id::{id_of, problem_of};

/// The scans that `images` names, in the order of their ids: everything in a folder, searched to the bottom; the lines of a file whose
/// name ends in `.jsonl`; one scan; or all that a pattern such as `scans/*/ct.nii.gz` matches.
///
/// In a folder, every NIfTI, NRRD and MetaImage file is a scan, every zip archive, and every folder with DICOM files in it; hidden files
/// are not looked at, and neither is the folder `out`. Links are followed, and each folder is searched once. Scans with the same id are
/// all listed, each with this problem; so is a folder that cannot be searched.
///
/// # Errors
///
/// [`CohortError::List`] if there is none, or if the list has a mistake; [`CohortError::Unreadable`] if it, or the folder,
/// cannot be read.
pub fn scans(images: &Path, out: &Path, ids: Ids) -> Result<Vec<Scan>, CohortError> {
    let mut scans = if is_list(images) {
        file::scans_of(images)?
    } else {
        let found = folder::scans_at(images, out)?;
        if found.is_empty() {
            return Err(CohortError::List(format!(
                "`{}`: expected a scan, a folder with scans, a list (.jsonl), or a pattern such as scans/*.nii.gz; found no scan",
                printable(&images.to_string_lossy())
            )));
        }
        let scan = |found: folder::Found| {
            let id = id_of(&found.path, &found.base, ids);
            Scan { problem: found.problem.or_else(|| problem_of(&id)), id, path: found.path, own: Own::default() }
        };
        found.into_iter().map(scan).collect()
    };
    note_duplicates(&mut scans);
    for scan in &mut scans {
        if scan.problem.is_none() && is_within(&scan.path, out) {
            scan.problem = Some("the scan is in the output folder".to_owned());
        }
    }
    scans.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| a.path.cmp(&b.path)));
    Ok(scans)
}

/// Whether a name is that of a list of scans.
#[must_use]
pub fn is_list(images: &Path) -> bool {
    images.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl")) && !images.is_dir()
}

/// Scans with the same outputs: none of them is done, because nobody could tell whose the masks are.
fn note_duplicates(scans: &mut [Scan]) {
    let mut known: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, scan) in scans.iter().enumerate() {
        known.entry(folded(&scan.id)).or_default().push(index);
    }
    for same in known.into_values().filter(|same| same.len() > 1) {
        for &index in &same {
            let id = printable(&scans[index].id).into_owned();
            let problem = format!("the id {id:?} is that of {} scans: give each its own id in a list", same.len());
            scans[index].problem.get_or_insert(problem);
        }
    }
}

#[cfg(test)]
mod tests;
