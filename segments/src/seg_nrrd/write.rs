//! Writes `.seg.nrrd`.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use segvol_base::{atomic_file, memory};
use segvol_volume::mask::Labels;
use segvol_volume::nifti::Voxels;
use segvol_volume::{Grid, MaskError, is_part_of_scan, nrrd};

use crate::codes::{self, Code};
use crate::{Segments, SegmentsError};

/// The layers of all objects: `[k, j, i, layer]`.
struct Layers<T> {
    labels: Vec<T>,
    layers: usize,
    voxels: usize,
}

/// A label of a file, in as few bytes as the largest needs.
trait Label: Copy + Default + PartialEq {
    fn of(label: u16) -> Self;
    fn voxels(labels: &[Self]) -> Voxels<'_>;
}

impl Label for u8 {
    fn of(label: u16) -> Self {
        label as u8 // Only chosen if all labels fit.
    }
    fn voxels(labels: &[Self]) -> Voxels<'_> {
        Voxels::U8(labels)
    }
}

impl Label for u16 {
    fn of(label: u16) -> Self {
        label
    }
    fn voxels(labels: &[Self]) -> Voxels<'_> {
        Voxels::U16(labels)
    }
}

impl<T: Label> Layers<T> {
    fn new(voxels: usize) -> Result<Self, SegmentsError> {
        memory::check_available::<T>("the layers of a segmentation", voxels)?;
        Ok(Self { labels: vec![T::default(); voxels], layers: 1, voxels })
    }

    /// Puts an object into the first layer in which it overlaps no other one. Returns the layer.
    fn add(&mut self, label: T, inside: &[usize]) -> Result<usize, SegmentsError> {
        let is_free = |layer: &usize| inside.iter().all(|at| self.labels[at * self.layers + layer] == T::default());
        let layer = (0..self.layers).find(is_free);
        let layer = match layer {
            Some(layer) => layer,
            None => {
                self.widen()?;
                self.layers - 1
            }
        };
        inside.iter().for_each(|at| self.labels[at * self.layers + layer] = label);
        Ok(layer)
    }

    /// Adds an empty layer.
    fn widen(&mut self) -> Result<(), SegmentsError> {
        let layers = self.layers + 1;
        memory::check_available::<T>("the layers of a segmentation", self.voxels.saturating_mul(layers))?;
        let mut labels = vec![T::default(); self.voxels * layers];
        for (new, old) in labels.chunks_exact_mut(layers).zip(self.labels.chunks_exact(self.layers)) {
            new[..old.len()].copy_from_slice(old);
        }
        (self.labels, self.layers) = (labels, layers);
        Ok(())
    }
}

/// Writes the objects to a file, atomically. The same objects give the same bytes.
///
/// Objects that do not overlap share a layer: each goes, in their order, into the first layer that has room for it. Colours and codes
/// are those of [`codes::of_name`].
///
/// # Errors
/// [`SegmentsError::Unfit`] if an object's label is 0 or two have the same one, or there are no objects; [`SegmentsError::Mask`] if
/// a mask cannot be made, or the file is the scan's own; [`SegmentsError::Memory`]; [`SegmentsError::Write`].
pub fn save(path: &Path, segments: &Segments<'_>) -> Result<(), SegmentsError> {
    if is_part_of_scan(&segments.grid, path) {
        return Err(MaskError::OverScan { path: path.to_path_buf() }.into());
    }
    let prepared = Prepared::of(segments)?;
    let fill = |file: &std::fs::File| prepared.write(BufWriter::with_capacity(1 << 18, file), &segments.grid);
    atomic_file::write(path, fill).map_err(|source| SegmentsError::Write { path: path.to_path_buf(), source })
}

/// Writes the same bytes as [`save`] to any writer.
///
/// # Errors
/// The same as [`save`]; the path of [`SegmentsError::Write`] is empty.
pub fn write(writer: impl Write, segments: &Segments<'_>) -> Result<(), SegmentsError> {
    let failed = |source| SegmentsError::Write { path: Default::default(), source };
    Prepared::of(segments)?.write(writer, &segments.grid).map_err(failed)
}

/// Everything that a file has.
enum Prepared {
    Small(Layers<u8>, Vec<nrrd::TextField>),
    Large(Layers<u16>, Vec<nrrd::TextField>),
}

impl Prepared {
    fn of(segments: &Segments<'_>) -> Result<Self, SegmentsError> {
        let unfit = |reason: String| SegmentsError::Unfit { what: ".seg.nrrd", reason };
        let labels: std::collections::BTreeSet<u16> = segments.segments.iter().map(|segment| segment.label).collect();
        if labels.is_empty() {
            return Err(unfit("expected an object, found none".to_owned()));
        }
        if labels.contains(&0) || labels.len() < segments.segments.len() {
            return Err(unfit("expected another label above 0 for each object".to_owned()));
        }
        let voxels = segments.grid.voxels();
        if labels.last() <= Some(&u16::from(u8::MAX)) {
            let mut layers = Layers::<u8>::new(voxels)?;
            let text = fill(segments, &mut layers)?;
            Ok(Self::Small(layers, text))
        } else {
            let mut layers = Layers::<u16>::new(voxels)?;
            let text = fill(segments, &mut layers)?;
            Ok(Self::Large(layers, text))
        }
    }

    fn write(&self, writer: impl Write, grid: &Grid) -> io::Result<()> {
        match self {
            Self::Small(layers, text) => nrrd::write(writer, grid, layers.layers, u8::voxels(&layers.labels), text),
            Self::Large(layers, text) => nrrd::write(writer, grid, layers.layers, u16::voxels(&layers.labels), text),
        }
    }
}

/// Fills the layers with each object in turn. Returns the keys of the header.
fn fill<T: Label>(segments: &Segments<'_>, layers: &mut Layers<T>) -> Result<Vec<nrrd::TextField>, SegmentsError> {
    let mut text = Vec::new();
    for (index, segment) in segments.segments.iter().enumerate() {
        let mask = (segments.mask)(index)?;
        let count = usize::try_from(mask.count(1)).unwrap_or(usize::MAX);
        memory::check_available::<usize>("the voxels of an object", count)?;
        let mut inside = Vec::with_capacity(count);
        match mask.labels() {
            Labels::U8(labels) => inside.extend((0..labels.len()).filter(|&at| labels[at] == 1)),
            Labels::U16(labels) => inside.extend((0..labels.len()).filter(|&at| labels[at] == 1)),
        }
        let layer = layers.add(T::of(segment.label), &inside)?;
        let extent = match mask.bounding_box_ijk(1) {
            Some((low, high)) => {
                format!("{} {} {} {} {} {}", low[0], high[0], low[1], high[1], low[2], high[2])
            }
            None => "0 -1 0 -1 0 -1".to_owned(),
        };
        let codes = codes::of_name(&segment.name);
        let color = codes.color.map(|channel| format!("{:.6}", f64::from(channel) / 255.0)).join(" ");
        let mut add = |key: &str, value: String| text.push((format!("Segment{index}_{key}"), value));
        add("Color", color);
        add("ColorAutoGenerated", "0".to_owned());
        add("Extent", extent);
        add("ID", format!("Segment_{}", index + 1));
        add("LabelValue", segment.label.to_string());
        add("Layer", layer.to_string());
        add("Name", segment.name.clone());
        add("NameAutoGenerated", "0".to_owned());
        add("Tags", format!("TerminologyEntry:{}|", terminology(&codes)));
    }
    let mut add = |key: &str, value: String| text.push((format!("Segmentation_{key}"), value));
    add("ContainedRepresentationNames", "Binary labelmap|".to_owned());
    add("ConversionParameters", conversion_parameters(&segments.grid));
    add("MasterRepresentation", "Binary labelmap".to_owned());
    add("ReferenceImageExtentOffset", "0 0 0".to_owned());
    add("SourceRepresentation", "Binary labelmap".to_owned());
    Ok(text)
}

/// The codes in the form that Slicer stores: category, type and its modifier, place and its modifier.
fn terminology(codes: &codes::Codes) -> String {
    let code = |code: Option<&Code>| {
        let Some(Code { value, scheme, meaning }) = code else { return "^^".to_owned() };
        let clean = |text: &str| text.replace(['^', '~', '|', ':'], " ");
        format!("{}^{}^{}", clean(scheme), clean(value), clean(meaning))
    };
    format!(
        "Segmentation category and type - 3D Slicer General Anatomy list~{}~{}~{}~Anatomic codes - DICOM master list~{}~{}",
        code(Some(&codes.category)),
        code(Some(&codes.kind)),
        code(codes.modifier.as_ref()),
        code(codes.region.as_ref()),
        code(codes.region_modifier.as_ref())
    )
}

/// How Slicer turns the labels into surfaces: its defaults, on the scan's geometry.
fn conversion_parameters(grid: &Grid) -> String {
    let rows = grid.affine().rows();
    let matrix = rows.iter().flatten().map(|value| format!("{value};")).collect::<String>();
    let [ni, nj, nk] = grid.shape_xyz().map(|n| n - 1);
    let geometry = format!("{matrix}0;0;0;1;0;{ni};0;{nj};0;{nk};");
    let parameters = [
        ("Collapse labelmaps", "1", "Objects that do not overlap share a layer."),
        ("Compute surface normals", "1", "Surfaces have normals."),
        ("Crop to reference image geometry", "0", "Surfaces may leave the scan."),
        ("Decimation factor", "0.0", "The share of triangles that is removed."),
        ("Fractional labelmap oversampling factor", "1", "The resolution of fractional labels."),
        ("Joint smoothing", "0", "Each surface is smoothed alone."),
        ("Oversampling factor", "1", "The resolution of labels made from surfaces."),
        ("Reference image geometry", geometry.as_str(), "The affine to RAS and the extent of the scan."),
        ("Smoothing factor", "0.5", "How much surfaces are smoothed."),
        ("Threshold fraction", "0.5", "Where the surface of fractional labels is."),
    ];
    parameters.map(|(name, value, about)| format!("{name}|{value}|{about}&")).concat()
}
