//! What a run will take, before it starts: a few scans are segmented, and nothing is written.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Instant;

use segvol::volume::{Format, most_voxels};
use segvol::{Cancellation, FinishedMasks, Volume};
use segvol_base::machine::peak_resident_bytes;
use serde::Serialize;

use crate::error::CohortError;
use crate::failure::ScanError;
use crate::list::{Scan, Shard};
use crate::run::{BYTES_PER_VOXEL, Cohort};

/// What a run is expected to take, by the scans that were looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Scans to segment.
    pub scans: usize,
    /// The scans that were looked at.
    pub looked_at: Vec<Sample>,
    /// Those that could not be segmented, each with the reason.
    pub failed: Vec<(String, String)>,
    /// Windows of all scans.
    pub windows: f64,
    /// Seconds of all scans, one at a time on this machine, without opening the model. Scans at the same time take less.
    pub seconds: f64,
    /// The least and the most seconds, if all scans were like the fastest or the slowest that was looked at.
    pub seconds_range: [f64; 2],
    /// The most memory that the process will use, in bytes; `None` where it cannot be known (outside Linux).
    pub memory_bytes: Option<u64>,
    /// Bytes of all masks on the disk.
    pub disk_bytes: f64,
}

/// One scan that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// Its id.
    pub id: String,
    /// Its voxels.
    pub voxels: usize,
    /// Windows that were encoded.
    pub windows: usize,
    /// Seconds to read and segment it.
    pub seconds: f64,
    /// Bytes of its masks on the disk.
    pub mask_bytes: u64,
}

/// How many scans are looked at: a small one, a middle one and a large one.
const LOOKED_AT: usize = 3;

/// A run with many scans holds a bit more than one with three, between its scans: at most this part of the peak, as a divisor.
const RESERVE: u64 = 8;

/// A report with one scan takes about this many bytes, and each object as many.
const REPORT_BYTES: u64 = 4096;

impl Cohort<'_> {
    /// Segments up to three of the scans, a small, a middle and a large one, and says what all of them will take: `jobs` at the same
    /// time, with at most `memory` bytes for them.
    ///
    /// # Errors
    ///
    /// [`CohortError::Cancelled`]; [`CohortError::List`] if none of the scans can be segmented.
    pub fn estimate(
        &self,
        scans: &[Scan],
        shard: Option<Shard>,
        jobs: usize,
        memory: Option<u64>,
        cancellation: &Cancellation,
    ) -> Result<Estimate, CohortError> {
        let mine = scans.iter().filter(|scan| shard.is_none_or(|shard| shard.has(&scan.id)) && scan.problem.is_none());
        let mut sized: Vec<(u64, &Scan)> = mine.map(|scan| (most_voxels(&scan.path), scan)).collect();
        sized.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
        let (mut looked_at, mut failed) = (Vec::new(), Vec::new());
        for scan in spread(&sized) {
            match self.sample(scan, cancellation) {
                Ok(sample) => looked_at.push(sample),
                Err(ScanError::Segvol(segvol::Error::Cancelled)) => return Err(CohortError::Cancelled),
                Err(error) => failed.push((scan.id.clone(), error.one_line(&scan.path, None))),
            }
        }
        if looked_at.is_empty() {
            let reasons: Vec<String> = failed.iter().map(|(id, reason)| format!("{id:?}: {reason}")).collect();
            let reasons = if reasons.is_empty() { "there is none".to_owned() } else { reasons.join("; ") };
            return Err(CohortError::List(format!("no scan to estimate by: {reasons}")));
        }
        let count = sized.len() as f64;
        let mean = |of: &dyn Fn(&Sample) -> f64| looked_at.iter().map(of).sum::<f64>() / looked_at.len() as f64;
        let seconds: Vec<f64> = looked_at.iter().map(|sample| sample.seconds).collect();
        let end = |pick: fn(f64, f64) -> f64, start: f64| seconds.iter().copied().fold(start, pick) * count;
        let largest: u64 = sized.iter().rev().take(jobs.max(1)).map(|(voxels, _)| voxels * BYTES_PER_VOXEL).sum();
        let largest = memory.map_or(largest, |memory| largest.min(memory));
        Ok(Estimate {
            scans: sized.len(),
            windows: mean(&|sample| sample.windows as f64) * count,
            seconds: mean(&|sample| sample.seconds) * count,
            seconds_range: [end(f64::min, f64::INFINITY), end(f64::max, 0.0)],
            memory_bytes: peak_resident_bytes().map(|bytes| bytes + bytes / RESERVE + largest),
            disk_bytes: mean(&|sample| (sample.mask_bytes + REPORT_BYTES) as f64) * count,
            looked_at,
            failed,
        })
    }

    fn sample(&self, scan: &Scan, cancellation: &Cancellation) -> Result<Sample, ScanError> {
        let start = Instant::now();
        let volume = Volume::open_with(&scan.path, &self.read_options(scan))?;
        let voxels = volume.voxels().len();
        let prompts = self.prompts_of(scan);
        let study = self.model().study_with(volume, self.options())?;
        let mut go_on =
            |_| if cancellation.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let segmentations = study.segment_cancellable(prompts, &mut go_on, cancellation)?;
        let settings = self.postprocessing_of(prompts);
        let masks = FinishedMasks::new(&study, prompts, &segmentations, &settings)?;
        // As if each object had a file of its own: a label map takes less.
        let mut bytes = Counted(0);
        for (_, mask) in masks.each() {
            let written = mask?.write(&mut bytes, Format::NiftiGzip);
            written.map_err(|source| ScanError::Io { path: scan.path.clone(), source })?;
        }
        let (windows, seconds) = (study.statistics().windows_encoded, start.elapsed().as_secs_f64());
        Ok(Sample { id: scan.id.clone(), voxels, windows, seconds, mask_bytes: bytes.0 })
    }
}

/// A tenth from the small end, the middle, and a tenth from the large end, each once.
fn spread<'s>(sized: &[(u64, &'s Scan)]) -> Vec<&'s Scan> {
    let last = sized.len().saturating_sub(1);
    let mut places: Vec<usize> = [last / 10, last / 2, last - last / 10].into_iter().take(LOOKED_AT).collect();
    places.dedup();
    places.into_iter().filter_map(|place| sized.get(place)).map(|(_, scan)| *scan).collect()
}

/// Counts what is written.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
