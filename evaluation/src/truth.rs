//! A scan's label map: what the masks are compared with.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use segvol::mask::{Labels, Mask};
use segvol::{Grid, Volume};

use crate::cases::Case;
use crate::error::CaseError;

/// A corner of the label map may be this share of the least spacing away from the scan's: headers hold float32.
const MAX_OFFSET: f64 = 0.1;

/// Values that an error about a missing one lists.
const LISTED: usize = 20;

/// Reads a case's label map: on the scan's grid, with what the case itself lists in it.
pub(crate) fn open(case: &Case, grid: &Arc<Grid>) -> Result<Mask, CaseError> {
    let path = &case.labels;
    let volume = Volume::open(path)?;
    check_grid(path, grid, volume.grid())?;
    let shape = volume.shape_xyz();
    let mut labels = Vec::with_capacity(volume.voxels().len());
    for (index, &value) in volume.voxels().iter().enumerate() {
        let label = value as u16;
        // Also false where the value is no number.
        if f32::from(label) != value {
            let [ni, nj, _] = shape;
            let voxel_ijk = [index % ni, index / ni % nj, index / (ni * nj)];
            return Err(CaseError::Label { path: path.clone(), voxel_ijk, found: value });
        }
        labels.push(label);
    }
    let present: BTreeSet<u16> = labels.iter().copied().collect();
    if let Some(missing) = case.structures.iter().find(|s| s.promised && !present.contains(&s.value)) {
        let mut found: Vec<String> = present.iter().take(LISTED).map(u16::to_string).collect();
        if present.len() > LISTED {
            found.push("…".to_owned());
        }
        let (structure, value) = (missing.name.clone(), missing.value);
        return Err(CaseError::Missing { path: path.clone(), structure, value, found: found.join(", ") });
    }
    Ok(Mask::from_labels(Labels::U16(labels), Arc::clone(grid))?)
}

fn check_grid(path: &Path, scan: &Grid, labels: &Grid) -> Result<(), CaseError> {
    let shape = scan.shape_xyz();
    if labels.shape_xyz() != shape {
        return Err(CaseError::Shape { path: path.to_owned(), expected: shape, found: labels.shape_xyz() });
    }
    let distances = (0..8_usize).map(|corner| {
        let ijk = std::array::from_fn(|axis| if corner >> axis & 1 == 0 { 0.0 } else { shape[axis] as f64 - 1.0 });
        let (a, b) = (scan.affine().apply(ijk), labels.affine().apply(ijk));
        (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
    });
    let distance_mm = distances.fold(0.0, f64::max);
    let least = scan.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    if distance_mm > MAX_OFFSET * least {
        let (expected, found) = (Box::new(*scan.affine()), Box::new(*labels.affine()));
        return Err(CaseError::Affine { path: path.to_owned(), expected, found, distance_mm });
    }
    Ok(())
}
