//! What masks are compared with: a case's label map, or masks of its structures.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use segvol::mask::{Labels, Mask, MaskError};
use segvol::{Grid, TruthError, Warning, truth};
use segvol_base::memory;
use segvol_segments::{NamedMasks, SegmentsError};

use crate::cases::{Case, Structure};
use crate::error::CaseError;

/// The label of a structure in a mask of its own.
const ALONE: u16 = 1;

/// The true masks of a case, on its scan's grid.
pub(crate) struct Truth {
    map: Option<Mask>,
    /// By the names of the structures that have files of their own.
    own: BTreeMap<String, Part>,
    grid: Arc<Grid>,
    /// What files with names left out or have that is unusual, each once.
    pub(crate) warnings: Vec<Warning>,
}

/// One structure's true mask: where a mask has a label.
pub(crate) struct Known<'t> {
    pub(crate) mask: Cow<'t, Mask>,
    pub(crate) label: u16,
}

/// A mask of one structure, of which only the box around it is kept: a case may have a hundred.
struct Part {
    /// Least and greatest voxel `(i, j, k)`, inclusive; `None` if the mask is empty.
    bounds: Option<([usize; 3], [usize; 3])>,
    /// The voxels of the box, i fastest, then j, k.
    inside: Vec<bool>,
}

impl Truth {
    /// Reads a case's masks: on the scan's grid, with what the case itself lists in them. `None` if the case has none.
    pub(crate) fn open(case: &Case, grid: &Arc<Grid>) -> Result<Option<Self>, CaseError> {
        if !case.has_truth() {
            return Ok(None);
        }
        let (mut own, mut warnings) = (BTreeMap::new(), Vec::new());
        let map = match case.labels.as_deref() {
            None => None,
            Some(path) => match segvol_segments::read(path, grid)? {
                None => Some(label_map(case, path, grid)?),
                Some(named) => {
                    add(&mut warnings, &named);
                    for structure in case.structures.iter().filter(|structure| structure.files.is_empty()) {
                        own.insert(structure.name.clone(), Part::named(structure, &named)?);
                    }
                    None
                }
            },
        };
        for structure in case.structures.iter().filter(|structure| !structure.files.is_empty()) {
            own.insert(structure.name.clone(), Part::read(structure, grid, &mut warnings)?);
        }
        Ok(Some(Self { map, own, grid: Arc::clone(grid), warnings }))
    }

    /// A structure's true mask, which is empty if it is absent.
    pub(crate) fn of(&self, structure: &Structure) -> Result<Known<'_>, MaskError> {
        if let Some(part) = self.own.get(&structure.name) {
            return Ok(Known { mask: Cow::Owned(part.mask(&self.grid)?), label: ALONE });
        }
        match (&self.map, structure.labels()) {
            (Some(map), [label]) => Ok(Known { mask: Cow::Borrowed(map), label: *label }),
            (Some(map), labels) => Ok(Known { mask: Cow::Owned(union(map, labels)?), label: ALONE }),
            // A structure with a value is refused without a label map, so this has no voxel.
            (None, _) => {
                let empty = Part { bounds: None, inside: Vec::new() };
                Ok(Known { mask: Cow::Owned(empty.mask(&self.grid)?), label: ALONE })
            }
        }
    }
}

impl Known<'_> {
    /// Whether each voxel belongs to the structure, i fastest, then j, k.
    pub(crate) fn voxels(&self) -> Result<Vec<bool>, MaskError> {
        self.mask.voxels_of(self.label)
    }

    /// How many voxels belong to it.
    pub(crate) fn count(&self) -> u64 {
        self.mask.count(self.label)
    }

    /// Its least and greatest voxel `(i, j, k)`, inclusive; `None` if it is absent.
    pub(crate) fn bounds(&self) -> Option<([usize; 3], [usize; 3])> {
        self.mask.bounding_box_ijk(self.label)
    }
}

/// Adds the warnings of a file that are not there yet: several structures may be in the same file.
fn add(warnings: &mut Vec<Warning>, named: &NamedMasks) {
    for warning in &named.warnings {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
}

fn label_map(case: &Case, path: &Path, grid: &Arc<Grid>) -> Result<Mask, CaseError> {
    // A folder of masks stands here if it has none of the structures.
    if path.is_dir() || case.structures.is_empty() {
        return Err(CaseError::NoMasks { folder: path.to_owned() });
    }
    let (mask, there) = truth::read_label_map(path, grid)?;
    let is_missing = |structure: &&Structure| {
        structure.promised
            && structure.files.is_empty()
            && !structure.labels().iter().any(|label| there.contains(label))
    };
    if let Some(missing) = case.structures.iter().find(is_missing) {
        let found = there.iter().copied().filter(|&label| label > 0).collect();
        let (name, label) = (missing.name.clone(), missing.value);
        return Err(TruthError::Missing { path: path.to_owned(), name, label, found }.into());
    }
    Ok(mask)
}

/// A mask that is 1 where a label map has one of these labels.
fn union(map: &Mask, labels: &[u16]) -> Result<Mask, MaskError> {
    memory::check_available::<u8>("the labels of a structure", map.labels().len())?;
    let has = |label: u16| u8::from(labels.binary_search(&label).is_ok());
    let inside: Vec<u8> = match map.labels() {
        Labels::U8(map) => map.iter().map(|&label| has(u16::from(label))).collect(),
        Labels::U16(map) => map.iter().map(|&label| has(label)).collect(),
    };
    Mask::from_labels(inside, Arc::clone(map.grid()))
}

impl Part {
    /// Reads the files of a structure: it is where any of them is not 0.
    fn read(structure: &Structure, grid: &Arc<Grid>, warnings: &mut Vec<Warning>) -> Result<Self, CaseError> {
        memory::check_available::<u8>("the mask of a structure", grid.voxels()).map_err(MaskError::from)?;
        let mut inside = vec![0_u8; grid.voxels()];
        for path in &structure.files {
            if let Some(named) = segvol_segments::read(path, grid)? {
                add(warnings, &named);
                // The only object is the structure, whatever it is called.
                let index = if named.names().len() == 1 { 0 } else { named.find(&structure.name)? };
                let found = named.mask(index)?.voxels_of(ALONE)?;
                inside.iter_mut().zip(found).for_each(|(inside, found)| *inside |= u8::from(found));
                continue;
            }
            let (mask, there) = truth::read_label_map(path, grid)?;
            let labels: Vec<u16> = there.into_iter().filter(|&label| label > 0).collect();
            let label = match labels.as_slice() {
                [] => continue,
                [label] => *label,
                _ => return Err(CaseError::NotOneMask { path: path.clone(), found: labels }),
            };
            let found = mask.voxels_of(label)?;
            inside.iter_mut().zip(found).for_each(|(inside, found)| *inside |= u8::from(found));
        }
        let mask = Mask::from_labels(inside, Arc::clone(grid))?;
        if mask.bounding_box_ijk(ALONE).is_none() && structure.promised {
            let (name, path) = (structure.name.clone(), structure.files[0].clone());
            return Err(CaseError::EmptyMask { path, name });
        }
        Ok(Self::of(&mask)?)
    }

    /// The structure in a file with names, by its name. It may be absent unless the case promises it.
    fn named(structure: &Structure, named: &NamedMasks) -> Result<Self, CaseError> {
        match named.find(&structure.name) {
            Ok(index) => Ok(Self::of(&named.mask(index)?)?),
            Err(SegmentsError::NoObject { .. }) if !structure.promised => Ok(Self { bounds: None, inside: Vec::new() }),
            Err(error) => Err(error.into()),
        }
    }

    /// The box around a mask, 1 inside.
    fn of(mask: &Mask) -> Result<Self, MaskError> {
        let bounds = mask.bounding_box_ijk(ALONE);
        let mut kept = Vec::new();
        let rows = rows(bounds, mask.shape_xyz());
        memory::check_available::<bool>("the mask of a structure", rows.clone().map(|row| row.len()).sum())?;
        for row in rows {
            kept.extend(row.map(|index| mask.labels().get(index) == Some(ALONE)));
        }
        Ok(Self { bounds, inside: kept })
    }

    /// The whole mask: 1 inside.
    fn mask(&self, grid: &Arc<Grid>) -> Result<Mask, MaskError> {
        memory::check_available::<u8>("the mask of a structure", grid.voxels())?;
        let mut labels = vec![0_u8; grid.voxels()];
        let mut rest = self.inside.as_slice();
        for row in rows(self.bounds, grid.shape_xyz()) {
            let (now, later) = rest.split_at(row.len());
            labels[row].iter_mut().zip(now).for_each(|(label, &inside)| *label = u8::from(inside));
            rest = later;
        }
        Mask::from_labels(labels, Arc::clone(grid))
    }
}

/// The rows of a box, as ranges of indices in the order of the file.
fn rows(
    bounds: Option<([usize; 3], [usize; 3])>,
    [ni, nj, _]: [usize; 3],
) -> impl Iterator<Item = std::ops::Range<usize>> + Clone {
    bounds.into_iter().flat_map(move |(min, max)| {
        let starts = (min[2]..=max[2]).flat_map(move |k| (min[1]..=max[1]).map(move |j| (k * nj + j) * ni));
        starts.map(move |start| start + min[0]..start + max[0] + 1)
    })
}

#[cfg(test)]
mod tests {
    use segvol::volume::Affine;

    use super::*;

    fn grid() -> Arc<Grid> {
        Arc::new(Grid::new([5, 4, 3], Affine::from_spacing([1.0, 2.0, 3.0])).expect("a grid"))
    }

    fn saved(folder: &Path, name: &str, label: impl Fn(usize) -> u16) -> std::path::PathBuf {
        let path = folder.join(name);
        let labels: Vec<u16> = (0..60).map(label).collect();
        Mask::from_labels(labels, grid()).expect("a mask").save(&path).expect("saved");
        path
    }

    fn case(labels: Option<std::path::PathBuf>, structures: Vec<Structure>) -> Case {
        Case { name: "a".to_owned(), image: "a.nii".into(), labels, structures: structures.into() }
    }

    fn indices(known: &Known<'_>) -> Vec<usize> {
        let voxels = known.voxels().expect("memory");
        voxels.iter().enumerate().filter(|&(_, &inside)| inside).map(|(index, _)| index).collect()
    }

    #[test]
    fn structures_are_values_of_a_map_several_values_or_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let map = saved(folder.path(), "map.nii.gz", |index| (index % 4) as u16);
        let one = saved(folder.path(), "one.nii.gz", |index| if [7, 13, 33].contains(&index) { 255 } else { 0 });
        let two = saved(folder.path(), "two.nii.gz", |index| u16::from(index == 59));
        let empty = saved(folder.path(), "empty.nii.gz", |_| 0);
        let structures = vec![
            Structure::in_label_map("value", vec![2], true),
            Structure::in_label_map("union", vec![3, 1, 3], true),
            Structure::in_label_map("nowhere", vec![9], false),
            Structure::in_files("file", vec![one.clone()], true),
            Structure::in_files("files", vec![one, empty.clone(), two], true),
            Structure::in_files("empty", vec![empty], false),
        ];
        let case = case(Some(map), structures);
        let truth = Truth::open(&case, &grid()).expect("read").expect("a truth");
        let of = |name: &str| {
            let structure = case.structures.iter().find(|structure| structure.name == name).expect("listed");
            truth.of(structure).expect("memory")
        };
        assert_eq!(indices(&of("value")), (0..60).filter(|index| index % 4 == 2).collect::<Vec<_>>());
        assert_eq!(indices(&of("union")), (0..60).filter(|index| index % 2 == 1).collect::<Vec<_>>());
        assert_eq!(indices(&of("file")), [7, 13, 33]);
        assert_eq!(of("file").bounds(), Some(([2, 1, 0], [3, 2, 1])));
        assert_eq!(indices(&of("files")), [7, 13, 33, 59]);
        for absent in ["nowhere", "empty"] {
            assert_eq!((of(absent).count(), of(absent).bounds()), (0, None), "{absent}");
        }
    }

    #[test]
    fn a_mask_of_one_structure_has_one_value_and_a_promised_one_has_voxels() {
        let folder = tempfile::tempdir().expect("a folder");
        let map = saved(folder.path(), "map.nii.gz", |index| (index % 4) as u16);
        let empty = saved(folder.path(), "empty.nii.gz", |_| 0);
        let error = |structure: Structure| {
            let Err(error) = Truth::open(&case(None, vec![structure]), &grid()) else { panic!("an error") };
            error.to_string()
        };
        let several = error(Structure::in_files("liver", vec![map.clone()], false));
        assert!(several.contains("map.nii.gz") && several.contains("[1, 2, 3]"), "{several}");
        let nothing = error(Structure::in_files("liver", vec![empty], true));
        assert!(nothing.contains("empty.nii.gz") && nothing.contains("\"liver\""), "{nothing}");
        let Err(error) =
            Truth::open(&case(Some(map), vec![Structure::in_label_map("lung", vec![8, 9], true)]), &grid())
        else {
            panic!("an error")
        };
        assert!(error.to_string().contains("\"lung\""), "{error}");
    }

    #[test]
    fn a_label_map_has_no_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let map = saved(folder.path(), "map.nii.gz", |index| (index % 4) as u16);
        assert!(segvol_segments::read(&map, &grid()).expect("readable").is_none());
        assert_eq!(segvol_segments::names(&map).expect("readable"), None);
    }

    #[test]
    fn structures_are_found_in_seg_nrrd_by_their_names() {
        use segvol_segments::{Provenance, Segment, Segments, seg_nrrd};
        let folder = tempfile::tempdir().expect("a folder");
        let names = ["Left_Kidney", "Liver"];
        let mask = |index: usize| {
            let labels: Vec<u8> = (0..60).map(|n: usize| u8::from(n.is_multiple_of(3 - index))).collect();
            Mask::from_labels(labels, grid())
        };
        let segments = Segments {
            grid: grid(),
            segments: names.iter().zip(1..).map(|(name, label)| Segment { name: (*name).to_owned(), label }).collect(),
            mask: &mask,
            provenance: Provenance::default(),
        };
        let path = folder.path().join("a.seg.nrrd");
        seg_nrrd::save(&path, &segments).expect("saved");
        let structures = vec![
            Structure::in_label_map("liver", vec![1], true),
            Structure::in_label_map("spleen", vec![2], false),
            Structure::in_files("left kidney", vec![path.clone()], true),
        ];
        let known = case(Some(path.clone()), structures);
        let truth = Truth::open(&known, &grid()).expect("read").expect("a truth");
        let of = |index: usize| indices(&truth.of(&known.structures[index]).expect("memory"));
        assert_eq!(of(0), (0..60).filter(|index| index % 2 == 0).collect::<Vec<_>>());
        assert_eq!(of(2), (0..60).filter(|index| index % 3 == 0).collect::<Vec<_>>());
        assert!(of(1).is_empty() && truth.warnings.is_empty());

        // What a file has that is unusual is said once, also if several structures are in it.
        let text = std::fs::read(&path).expect("read");
        let at = text.windows(2).position(|pair| pair == b"\n\n").expect("the end of the header");
        let header = String::from_utf8(text[..at].to_vec()).expect("text");
        let header = header.replace("space: left-posterior-superior", "space: scanner-xyz").into_bytes();
        std::fs::write(&path, [&header, &text[at..]].concat()).expect("written");
        let truth = Truth::open(&known, &grid()).expect("read").expect("a truth");
        let messages: Vec<&str> = truth.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert!(messages.len() == 1 && messages[0].contains("a.seg.nrrd"), "{messages:?}");
    }

    /// The grid of a DICOM scan.
    #[cfg(feature = "dicom")]
    fn dicom_grid() -> Arc<Grid> {
        use segvol::volume::segvol_dicom::{SourceSeries, SourceSlice};
        let slice = |k: usize| SourceSlice {
            sop_class_uid: Some("1.2.840.10008.5.1.4.1.1.2".to_owned()),
            sop_instance_uid: Some(format!("1.2.3.{k}")),
            frame_number: None,
            position_mm: [0.0, 0.0, 3.0 * k as f64],
            orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            pixel_spacing_mm: [2.0, 1.0],
            slice_thickness_mm: None,
        };
        let series = SourceSeries {
            study_instance_uid: Some("1.2.1".to_owned()),
            series_instance_uid: Some("1.2.2".to_owned()),
            frame_of_reference_uid: Some("1.2.4".to_owned()),
            modality: Some("CT".to_owned()),
            slices: (0..3).map(|k| Some(slice(k))).collect(),
            ..SourceSeries::default()
        };
        let affine = Affine::from_lps(Affine::from_spacing([1.0, 2.0, 3.0]));
        Arc::new(Grid::new([5, 4, 3], affine).expect("a grid").with_dicom(Arc::new(series)))
    }

    #[cfg(feature = "dicom")]
    #[test]
    fn structures_are_found_in_dicom_by_their_names() {
        use segvol_segments::{DicomOptions, Provenance, Segment, Segments, rtstruct, seg};
        let folder = tempfile::tempdir().expect("a folder");
        let grid = dicom_grid();
        let masks = [|index: usize| index.is_multiple_of(3), |index: usize| index.is_multiple_of(2)].map(|inside| {
            let labels: Vec<u8> = (0..60).map(|index| u8::from(inside(index))).collect();
            Mask::from_labels(labels, Arc::clone(&grid)).expect("a mask")
        });
        let mask = |index: usize| Ok(masks[index].clone());
        let names = ["Left_Kidney", "Liver"];
        let segments = Segments {
            grid: Arc::clone(&grid),
            segments: names
                .into_iter()
                .zip(1..)
                .map(|(name, label)| Segment { name: name.to_owned(), label })
                .collect(),
            mask: &mask,
            provenance: Provenance::default(),
        };
        let options = DicomOptions::default().fill_missing(true);
        let paths = ["rtstruct.dcm", "seg.dcm"].map(|name| folder.path().join(name));
        rtstruct::save(&paths[0], &segments, &options).expect("saved");
        seg::save(&paths[1], &segments, seg::Encoding::Binary, &options).expect("saved");
        for path in paths {
            assert_eq!(segvol_segments::names(&path).expect("readable").expect("names"), names);
            // The values say nothing here.
            let structures = vec![
                Structure::in_label_map("liver", vec![1], true),
                Structure::in_label_map("left kidney", vec![7], false),
                Structure::in_label_map("spleen", vec![2], false),
                Structure::in_files("liver alone", vec![path.clone()], false),
            ];
            let known = case(Some(path.clone()), structures);
            let error = Truth::open(&known, &grid).err().expect("two objects, none is called so").to_string();
            assert!(error.contains("\"liver alone\"") && error.contains("Left_Kidney, Liver"), "{error}");
            let known = Case { structures: known.structures[..3].into(), ..known };
            let truth = Truth::open(&known, &grid).expect("read").expect("a truth");
            let of = |index: usize| indices(&truth.of(&known.structures[index]).expect("memory"));
            assert_eq!(of(0), (0..60).filter(|index| index % 2 == 0).collect::<Vec<_>>());
            assert_eq!(of(1), (0..60).filter(|index| index % 3 == 0).collect::<Vec<_>>());
            assert!(of(2).is_empty());
            let promised = case(Some(path), vec![Structure::in_label_map("spleen", vec![2], true)]);
            let error = Truth::open(&promised, &grid).err().expect("no spleen").to_string();
            assert!(error.contains("\"spleen\"") && error.contains("Left_Kidney, Liver"), "{error}");
        }
    }
}
