//! Reads contours as masks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use segvol_base::memory;
use segvol_volume::{Grid, Mask};

use super::raster::{Point, Raster};
use crate::dicom::{identifier, items, text_of};
use crate::error::SegmentsError;
use crate::read::{Found, Shape};

/// How far from a slice a contour may be, as a part of the distance between slices: programs round.
const OFF_SLICE: f64 = 0.1;

/// The largest coordinate: a kilometre.
const FARTHEST_MM: f64 = 1e6;

/// The least points of a contour with an area.
const MIN_POINTS: usize = 3;

/// The contours of an ROI.
#[derive(Debug, Clone)]
pub(crate) struct Contours {
    /// By slice k; in voxels.
    slices: BTreeMap<usize, Vec<Vec<Point>>>,
    /// So many contours with fewer than 3 points were left out.
    too_short: usize,
}

/// An ROI as the file has it.
struct Roi {
    number: String,
    name: String,
    frame_of_reference_uid: Option<String>,
}

/// The ROIs of a file: numbers and names.
pub(crate) fn names(object: &InMemDicomObject) -> Vec<String> {
    rois(object).into_iter().map(|roi| roi.name).collect()
}

fn rois(object: &InMemDicomObject) -> Vec<Roi> {
    let roi = |item: &InMemDicomObject| {
        let number = identifier(item, tags::ROI_NUMBER)?;
        let name = text_of(item, tags::ROI_NAME).unwrap_or_else(|| format!("ROI {number}"));
        let frame_of_reference_uid = identifier(item, tags::REFERENCED_FRAME_OF_REFERENCE_UID);
        Some(Roi { number, name, frame_of_reference_uid })
    };
    items(object, tags::STRUCTURE_SET_ROI_SEQUENCE).iter().filter_map(roi).collect()
}

/// Reads the ROIs of an RT Structure Set on a scan's grid. What is wrong with the contours of an ROI is an error only if its mask
/// is asked for.
///
/// # Errors
///
/// [`SegmentsError::Unreadable`] if the file has no ROIs, or belongs to another Frame of Reference than the scan.
pub(crate) fn read(path: &Path, object: &InMemDicomObject, grid: &Arc<Grid>) -> Result<Vec<Found>, SegmentsError> {
    let unreadable = |reason: String| SegmentsError::Unreadable { path: path.to_path_buf(), reason };
    let rois = rois(object);
    if rois.is_empty() {
        return Err(unreadable(
            "expected the contours of at least one ROI; the Structure Set ROI Sequence is empty".to_owned(),
        ));
    }
    check_frame_of_reference(object, &rois, grid).map_err(unreadable)?;
    let contours = items(object, tags::ROI_CONTOUR_SEQUENCE);
    let found = rois.into_iter().map(|roi| {
        let own = contours
            .iter()
            .filter(|item| identifier(item, tags::REFERENCED_ROI_NUMBER).as_deref() == Some(roi.number.as_str()));
        let all = own.flat_map(|item| items(item, tags::CONTOUR_SEQUENCE));
        let shape = match Contours::read(all, grid) {
            Ok(contours) => Shape::Contours(contours),
            Err(reason) => Shape::Unusable(reason),
        };
        Found { label: roi.number.parse().ok(), name: roi.name, shape }
    });
    Ok(found.collect())
}

/// Compares the file's Frame of Reference with that of the scan, if both state one.
fn check_frame_of_reference(object: &InMemDicomObject, rois: &[Roi], grid: &Grid) -> Result<(), String> {
    let Some(scan) = grid.dicom().and_then(|series| series.frame_of_reference_uid.as_deref()) else { return Ok(()) };
    let frames = items(object, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE);
    let mut stated: Vec<String> = rois.iter().filter_map(|roi| roi.frame_of_reference_uid.clone()).collect();
    stated.extend(frames.iter().filter_map(|frame| identifier(frame, tags::FRAME_OF_REFERENCE_UID)));
    match stated.first() {
        Some(other) if stated.iter().all(|uid| uid != scan) => Err(format!(
            "its contours are in the Frame of Reference {other}, the scan is in {scan}: they belong to another scan"
        )),
        _ => Ok(()),
    }
}

impl Contours {
    /// Reads the items of Contour Sequences. An error is the rest of a sentence about the ROI.
    fn read<'a>(contours: impl Iterator<Item = &'a InMemDicomObject>, grid: &Grid) -> Result<Self, String> {
        let mut found = Self { slices: BTreeMap::new(), too_short: 0 };
        for (index, contour) in contours.enumerate() {
            let named = |reason: String| format!("contour {}: {reason}", index + 1);
            let points = points(contour, tags::CONTOUR_DATA).map_err(named)?;
            let kind = text_of(contour, tags::CONTOUR_GEOMETRIC_TYPE).unwrap_or_default();
            if points.len() < MIN_POINTS {
                found.too_short += 1;
                continue;
            }
            if !matches!(kind.as_str(), "CLOSED_PLANAR" | "CLOSEDPLANAR_XOR") {
                return Err(named(format!("expected the geometric type CLOSED_PLANAR, found {kind:?}")));
            }
            let (k, points) = in_slice(&points, grid).map_err(named)?;
            found.slices.entry(k).or_default().push(points);
        }
        Ok(found)
    }

    /// How many contours with fewer than 3 points were left out.
    pub(crate) fn too_short(&self) -> usize {
        self.too_short
    }

    /// The mask of what an odd number of contours encloses: 1 inside.
    pub(crate) fn mask(&self, grid: &Arc<Grid>) -> Result<Mask, SegmentsError> {
        let [ni, nj, _] = grid.shape_xyz();
        memory::check_available::<u8>("the mask of contours", grid.voxels() + 3 * ni * nj)?;
        let mut labels = vec![0_u8; grid.voxels()];
        let mut raster = Raster::new([ni, nj]);
        for (&k, contours) in &self.slices {
            contours.iter().for_each(|contour| raster.add(contour));
            let slice = &mut labels[k * ni * nj..(k + 1) * ni * nj];
            raster.take(|[i, j]| slice[j * ni + i] = 1);
        }
        Ok(Mask::from_labels(labels, Arc::clone(grid))?)
    }
}

/// The points of a contour, LPS+ millimetres.
fn points(contour: &InMemDicomObject, tag: Tag) -> Result<Vec<[f64; 3]>, String> {
    let Some(text) = text_of(contour, tag) else { return Ok(Vec::new()) };
    let mut numbers = Vec::new();
    for part in text.split('\\') {
        match part.trim_matches(|c: char| c.is_whitespace() || c == '\0').parse::<f64>() {
            Ok(number) if number.abs() <= FARTHEST_MM => numbers.push(number),
            Ok(number) if number.is_finite() => {
                return Err(format!("expected coordinates in millimetres, found {number:e}"));
            }
            _ => return Err(format!("expected numbers as coordinates, found {part:?}")),
        }
    }
    let (points, rest) = numbers.as_chunks::<3>();
    if !rest.is_empty() {
        return Err(format!("expected three coordinates for each point, found {} numbers", numbers.len()));
    }
    Ok(points.to_vec())
}

/// The slice that a contour lies in, and its points there in voxels.
fn in_slice(points: &[[f64; 3]], grid: &Grid) -> Result<(usize, Vec<Point>), String> {
    let [_, _, nk] = grid.shape_xyz();
    let voxels: Vec<[f64; 3]> = points.iter().map(|&[x, y, z]| grid.inverse().apply([-x, -y, z])).collect();
    let nearest = voxels[0][2].round();
    // Millimetres between slices, along their normal: a step of one slice changes k by 1.
    let row = grid.inverse().rows()[2];
    let between_mm = 1.0 / row[..3].iter().map(|n| n * n).sum::<f64>().sqrt();
    let farthest = voxels.iter().map(|voxel| (voxel[2] - nearest).abs()).fold(0.0, f64::max);
    if farthest > OFF_SLICE {
        let least = voxels.iter().map(|voxel| voxel[2]).fold(f64::INFINITY, f64::min);
        let greatest = voxels.iter().map(|voxel| voxel[2]).fold(f64::NEG_INFINITY, f64::max);
        if greatest - least > 2.0 * OFF_SLICE {
            return Err(format!(
                "expected all points in one slice of the scan; they span slices {least:.1} to {greatest:.1}, counted from 0"
            ));
        }
        return Err(format!(
            "it lies {:.2} mm from the nearest slice of the scan (at {:.2?} mm, LPS), {between_mm:.2} mm being between slices; \
             do the contours belong to this scan?",
            farthest * between_mm,
            points[0],
        ));
    }
    if nearest < 0.0 || nearest >= nk as f64 {
        return Err(format!(
            "it lies outside of the scan, in slice {nearest} of 0 to {}; do the contours belong to this scan?",
            nk - 1
        ));
    }
    Ok((nearest as usize, voxels.into_iter().map(|[i, j, _]| [i, j]).collect()))
}
