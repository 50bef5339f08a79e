//! Reads one scan.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use segvol_base::Warning;
use segvol_base::memory::check_available;

use crate::decode::{Target, decode};
use crate::error::DicomError;
use crate::header::read_attributes;
use crate::image::{ImageFile, MAX_VOXELS};
use crate::series::{Scan, choose, shown};
use crate::source::{SourceSeries, SourceSlice};
use crate::stack::Stack;
use crate::study::Study;

/// How a scan is chosen and read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The series to read: its Series Instance UID, or its Series Number. `None`: the only one that is a scan.
    pub series: Option<String>,
    /// Whether whole missing slices are interpolated between their neighbours.
    pub fill_gaps: bool,
}

impl ReadOptions {
    /// Sets [`series`](Self::series).
    #[must_use]
    pub fn series(mut self, series: Option<String>) -> Self {
        self.series = series;
        self
    }

    /// Sets [`fill_gaps`](Self::fill_gaps).
    #[must_use]
    pub fn fill_gaps(mut self, fill_gaps: bool) -> Self {
        self.fill_gaps = fill_gaps;
        self
    }
}

/// A scan: one regular stack of slices.
#[derive(Debug, Clone)]
pub struct DicomScan {
    /// Voxels along i (columns), j (rows), k (slices along the normal).
    pub shape_xyz: [usize; 3],
    /// From voxel indices to LPS+ millimetres: rows x, y, z. Sheared if the gantry was tilted.
    pub affine_lps: [[f64; 4]; 3],
    /// Hounsfield units, i fastest, then j, k. Padding is kept as it is.
    pub voxels: Vec<f32>,
    /// The pixel padding in Hounsfield units, lowest and highest, if the images state one: voxels outside of the field of view.
    pub padding_hu: Option<[f32; 2]>,
    /// The images' files, those that were left out as copies included; empty if they are in an archive or in memory.
    pub files: Vec<PathBuf>,
    /// What the voxels come from.
    pub source: Arc<SourceSeries>,
    /// What is unusual, for example images that were passed over, or filled slices.
    pub warnings: Vec<Warning>,
}

/// Reads the scan at `path`: a folder (searched to the bottom), a zip of one, a file with several frames, or one slice, whose
/// series is then taken from its folder.
///
/// # Errors
///
/// [`DicomError`], with what was found where, if there is no scan, several of them and no choice, or no regular stack of slices.
pub fn read(path: &Path, options: &ReadOptions) -> Result<DicomScan, DicomError> {
    let study = Study::open(path)?;
    scan_of(&study, options)
}

/// Whether there is a DICOM file at `path`: in a folder, searched to the bottom, in a zip archive, or the file itself.
///
/// # Errors
///
/// [`DicomError::Io`] if `path` cannot be read.
pub fn holds_dicom(path: &Path) -> Result<bool, DicomError> {
    Study::holds_dicom(path)
}

/// Whether a file is DICOM, by its first bytes. One that cannot be read is not.
#[must_use]
pub fn is_dicom_file(path: &Path) -> bool {
    path.is_file() && Study::is_bare(path)
}

/// Reads the scan among bytes of a zip archive, or of one file with several frames, that are in memory.
///
/// # Errors
///
/// As [`read`]; the errors name no path.
pub fn read_bytes(bytes: Vec<u8>, options: &ReadOptions) -> Result<DicomScan, DicomError> {
    let study = Study::of_bytes(bytes)?;
    scan_of(&study, options)
}

fn scan_of(study: &Study, options: &ReadOptions) -> Result<DicomScan, DicomError> {
    let series = study.series();
    let (scan, warnings) = choose(study, &series, options.series.as_deref(), options.fill_gaps)?;
    let voxels = voxels(study, &scan)?;
    let stack = &scan.stack;
    Ok(DicomScan {
        shape_xyz: [stack.columns, stack.rows, stack.order.len()],
        affine_lps: stack.affine_lps,
        voxels,
        padding_hu: padding_hu(&scan),
        files: scan.series.files.iter().filter_map(|file| file.input.path().map(Path::to_path_buf)).collect(),
        source: Arc::new(source(study, &scan)?),
        warnings,
    })
}

/// The images' Hounsfield units, each decoded straight to its place.
fn voxels(study: &Study, scan: &Scan<'_>) -> Result<Vec<f32>, DicomError> {
    let Stack { order, columns, rows, .. } = &scan.stack;
    let pixels = columns * rows;
    let count = pixels.saturating_mul(order.len());
    if count as u64 > MAX_VOXELS {
        let reason = format!("it has {columns} x {rows} x {} voxels, more than {MAX_VOXELS}", order.len());
        let series = format!("the series {}", shown(scan.series));
        return Err(DicomError::Refused { path: study.path.clone(), series, reason, is_missing_slices: false });
    }
    check_available::<f32>("the scan's voxels", count)?;
    let mut voxels = vec![0.0_f32; count];
    // The images of each file together: a file is opened once.
    let mut files: Vec<(&ImageFile, Vec<Target<'_>>)> = Vec::new();
    let mut known: HashMap<*const ImageFile, usize> = HashMap::new();
    for (slice, out) in order.iter().zip(voxels.chunks_exact_mut(pixels)) {
        let Some((file, frame)) = slice.map(|slice| scan.images[slice]) else { continue };
        let place = *known.entry(std::ptr::from_ref(file)).or_insert_with(|| {
            files.push((file, Vec::new()));
            files.len() - 1
        });
        files[place].1.push((frame, out));
    }
    let failed = |file: &ImageFile, reason| DicomError::Refused {
        path: study.path.clone(),
        series: format!("the series {}", shown(scan.series)),
        reason: format!("`{}`: {reason}", file.input.shown()),
        is_missing_slices: false,
    };
    // The first in the order of the slices, not in that of the threads.
    let results: Vec<_> = files
        .into_par_iter()
        .map(|(file, targets)| decode(file, targets).map_err(|reason| failed(file, reason)))
        .collect();
    results.into_iter().collect::<Result<(), _>>()?;
    interpolate(&mut voxels, order, pixels);
    Ok(voxels)
}

/// Fills missing slices linearly from their neighbours.
fn interpolate(voxels: &mut [f32], order: &[Option<usize>], pixels: usize) {
    let present: Vec<usize> = (0..order.len()).filter(|k| order[*k].is_some()).collect();
    for pair in present.windows(2) {
        let (below, above) = (pair[0], pair[1]);
        let (left, right) = voxels.split_at_mut(above * pixels);
        let (below_voxels, gap) = left[below * pixels..].split_at_mut(pixels);
        for (step, slice) in gap.chunks_exact_mut(pixels).enumerate() {
            let part = (step + 1) as f64 / (above - below) as f64;
            for ((out, low), high) in slice.iter_mut().zip(&*below_voxels).zip(&*right) {
                *out = (f64::from(*low) * (1.0 - part) + f64::from(*high) * part) as f32;
            }
        }
    }
}

/// The padding of all images in Hounsfield units.
fn padding_hu(scan: &Scan<'_>) -> Option<[f32; 2]> {
    let values = scan.stack.order.iter().flatten().flat_map(|image| {
        let (file, frame) = scan.images[*image];
        let frame = &file.frames[frame];
        file.padding.into_iter().flatten().map(|stored| (stored as f64 * frame.slope + frame.intercept) as f32)
    });
    values.fold(None, |range: Option<[f32; 2]>, value| {
        let [low, high] = range.unwrap_or([value; 2]);
        Some([low.min(value), high.max(value)])
    })
}

/// What a segmentation must know.
fn source(study: &Study, scan: &Scan<'_>) -> Result<SourceSeries, DicomError> {
    let order = &scan.stack.order;
    let slice = |image: &usize| {
        let (file, frame) = scan.images[*image];
        let frame = &file.frames[frame];
        SourceSlice {
            sop_class_uid: file.sop_class.clone(),
            sop_instance_uid: file.sop_instance.clone(),
            frame_number: file.has_frames.then_some(frame.number),
            position_mm: frame.position,
            orientation: frame.orientation,
            pixel_spacing_mm: frame.spacing,
            slice_thickness_mm: frame.thickness,
        }
    };
    let first = order.iter().flatten().next().map(|image| scan.images[*image].0);
    let first = first.ok_or_else(|| DicomError::NoScan { path: study.path.clone(), reason: "no images".to_owned() })?;
    let attributes = read_attributes(&first.input).map_err(|reason| DicomError::File {
        path: study.path.clone(),
        name: first.input.shown(),
        reason,
    })?;
    Ok(SourceSeries {
        study_instance_uid: first.study.clone(),
        series_instance_uid: Some(first.series.clone()).filter(|uid| !uid.is_empty()),
        frame_of_reference_uid: first.frame_of_reference.clone(),
        modality: first.modality.clone(),
        attributes,
        slices: order.iter().map(|image| image.as_ref().map(slice)).collect(),
    })
}
