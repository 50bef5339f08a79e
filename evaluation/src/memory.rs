//! How many cases fit into memory at the same time.

use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use segvol::volume::Format;
use segvol_base::machine;

use crate::cases::Case;

/// Bytes per voxel that one case holds at its peak, rounded up: scan, its copy and its crop (4 each), label map (4),
/// an object's sums, counts and logits (10), its masks (6), surfaces and distances (8).
const BYTES_PER_VOXEL: u64 = 40;

/// What a second bundle adds per voxel: another crop, another object's logits and masks.
const BYTES_PER_VOXEL_AGAINST: u64 = 20;

/// What masks in files of their own add per voxel: the boxes around them, which together fill the body several times.
const BYTES_PER_VOXEL_OWN_MASKS: u64 = 8;

/// The share of the machine's free memory that cases may fill, in percent. The rest is a reserve for everything else.
const SHARE_PERCENT: u64 = 75;

/// An upper bound of the bytes that a case needs, without embeddings. 0 if its scan's header cannot be read: such a case fails
/// before it allocates anything.
pub(crate) fn case_bytes(case: &Case, against: bool) -> u64 {
    let voxels = voxels(&case.image);
    let has_own_masks = case.structures.iter().any(|structure| !structure.files.is_empty());
    let own = if has_own_masks { BYTES_PER_VOXEL_OWN_MASKS } else { 0 };
    voxels * (BYTES_PER_VOXEL + own + if against { BYTES_PER_VOXEL_AGAINST } else { 0 })
}

/// The voxels of a scan: as its NIfTI header says, else as many as its files can hold.
fn voxels(image: &Path) -> u64 {
    match Format::of_name(image) {
        Some(Format::Nifti | Format::NiftiGzip) => {
            segvol::nifti::read_header(image).map_or(0, |header| header.voxels() as u64)
        }
        // Two bytes a voxel, compressed to a quarter at best.
        _ => bytes_on_disk(image, 0).saturating_mul(2),
    }
}

/// The bytes of a file, or of all files in a folder.
fn bytes_on_disk(path: &Path, depth: usize) -> u64 {
    const MAX_DEPTH: usize = 8;
    match std::fs::read_dir(path) {
        Ok(entries) if depth < MAX_DEPTH => {
            entries.flatten().map(|entry| bytes_on_disk(&entry.path(), depth + 1)).fold(0, u64::saturating_add)
        }
        Ok(_) => 0,
        Err(_) => std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
    }
}

/// Bytes that cases may fill by default: three quarters of the memory that this process may still allocate; `None` where that
/// is not known (outside Linux).
pub(crate) fn free() -> Option<u64> {
    machine::free_memory_bytes().map(|free| free / 100 * SHARE_PERCENT)
}

/// Lets cases start as long as their bytes fit. A case that does not fit beside others waits until it is alone.
pub(crate) struct Gate {
    budget: Option<u64>,
    inside: Mutex<Inside>,
    left: Condvar,
}

#[derive(Default)]
struct Inside {
    cases: usize,
    bytes: u64,
}

/// The memory reserved for a case, released when it is dropped.
pub(crate) struct Place<'a> {
    gate: &'a Gate,
    bytes: u64,
}

impl Gate {
    /// A gate for this many bytes; `None` is no limit.
    pub(crate) fn new(budget: Option<u64>) -> Self {
        Self { budget, inside: Mutex::default(), left: Condvar::new() }
    }

    /// Waits until this many bytes are available.
    pub(crate) fn enter(&self, bytes: u64) -> Place<'_> {
        let fits = |inside: &Inside| {
            inside.cases == 0 || self.budget.is_none_or(|budget| inside.bytes.saturating_add(bytes) <= budget)
        };
        let mut inside = self.lock();
        while !fits(&inside) {
            inside = self.left.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        inside.cases += 1;
        inside.bytes = inside.bytes.saturating_add(bytes);
        Place { gate: self, bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.cases -= 1;
        inside.bytes = inside.bytes.saturating_sub(self.bytes);
        drop(inside);
        self.gate.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Most bytes that were inside at once.
    fn peak(budget: Option<u64>, bytes: &[u64]) -> u64 {
        let (gate, now, most) = (Gate::new(budget), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for &bytes in bytes {
                let (gate, now, most) = (&gate, &now, &most);
                scope.spawn(move || {
                    let _place = gate.enter(bytes);
                    most.fetch_max(now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(30));
                    now.fetch_sub(bytes, Ordering::SeqCst);
                });
            }
        });
        most.into_inner()
    }

    #[test]
    fn cases_share_the_budget_and_a_larger_one_goes_alone() {
        assert!(peak(Some(25), &[10; 6]) <= 20);
        assert_eq!(peak(Some(25), &[100, 10, 10]), 100);
        assert!(peak(None, &[10; 6]) > 20);
    }
}
