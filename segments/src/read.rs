//! Named masks from files: DICOM SEG, RTSTRUCT and `.seg.nrrd`, as other programs write them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "dicom")]
use dicom_object::InMemDicomObject;
use segvol_base::{Warning, WarningCode};
use segvol_names::is_same_name;
use segvol_volume::{Grid, Mask};

use crate::error::SegmentsError;
use crate::seg_nrrd::{self, SegNrrd};
#[cfg(feature = "dicom")]
use crate::{dicom, rtstruct, seg};

/// The named masks of a file, on the grid of a scan.
#[derive(Debug, Clone)]
pub struct NamedMasks {
    path: PathBuf,
    grid: Arc<Grid>,
    objects: Vec<Found>,
    /// What was left out or is unusual.
    pub warnings: Vec<Warning>,
}

/// An object of a file.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The name, as the file has it.
    pub(crate) name: String,
    /// The file's number of the object.
    pub(crate) label: Option<u16>,
    pub(crate) shape: Shape,
}

/// Where an object is.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// A mask with 1 inside.
    #[cfg(feature = "dicom")]
    Voxels(Arc<Mask>),
    /// An object of a `.seg.nrrd` by its index there, of which a mask is made when it is asked for.
    Layer(Arc<SegNrrd>, usize),
    /// Contours, of which a mask is made when it is asked for.
    #[cfg(feature = "dicom")]
    Contours(rtstruct::Contours),
    /// Why there is no mask, in the rest of a sentence.
    #[cfg(feature = "dicom")]
    Unusable(String),
}

/// Reads the named masks of a file on a scan's grid. `None` if the file is none that has names: a label map, for example.
///
/// # Errors
///
/// [`SegmentsError::Io`] if the file cannot be read; [`SegmentsError::Unreadable`] and [`SegmentsError::Dicom`] if it is damaged, or
/// belongs to another scan; [`SegmentsError::Memory`].
pub fn read(path: &Path, grid: &Arc<Grid>) -> Result<Option<NamedMasks>, SegmentsError> {
    let Some(kind) = kind(path)? else { return Ok(None) };
    let (objects, warnings) = match kind {
        Kind::SegNrrd(_) => {
            let found = seg_nrrd::read(path)?;
            found.check_on(grid)?;
            // Axes that are not perpendicular are the scan's own, which says so itself.
            let others = found.warnings.iter().filter(|warning| warning.code != WarningCode::AxesSheared);
            let (warnings, found) = (others.cloned().collect(), Arc::new(found));
            let object = |(index, object): (usize, &seg_nrrd::NamedLayer)| Found {
                name: object.name.clone(),
                label: Some(object.label),
                shape: Shape::Layer(Arc::clone(&found), index),
            };
            (found.objects.iter().enumerate().map(object).collect(), warnings)
        }
        #[cfg(feature = "dicom")]
        Kind::Rtstruct(object) => {
            let objects = rtstruct::read(path, &object, grid)?;
            let warnings = objects.iter().filter_map(|object| too_short(path, object)).collect();
            (objects, warnings)
        }
        #[cfg(feature = "dicom")]
        Kind::Seg(_) => {
            let found = seg::read(path, grid)?;
            let object = |mask: seg::SegMask| Found {
                name: mask.name,
                label: Some(mask.number),
                shape: Shape::Voxels(Arc::new(mask.mask)),
            };
            (found.masks.into_iter().map(object).collect(), found.warnings)
        }
    };
    Ok(Some(NamedMasks { path: path.to_path_buf(), grid: Arc::clone(grid), objects, warnings }))
}

/// What is said about contours without an area.
#[cfg(feature = "dicom")]
fn too_short(path: &Path, object: &Found) -> Option<Warning> {
    let Shape::Contours(contours) = &object.shape else { return None };
    let left_out = contours.too_short();
    let message = format!(
        "{}: {:?}: {left_out} contours with fewer than 3 points were left out",
        segvol_base::printable_path(path),
        object.name
    );
    (left_out > 0).then(|| Warning::new(WarningCode::DataUnused, message))
}

/// The names in a file, in its order. `None` if the file is none that has names.
///
/// # Errors
///
/// [`SegmentsError::Io`] if the file cannot be read; [`SegmentsError::Unreadable`] and [`SegmentsError::Dicom`] if it is damaged.
pub fn names(path: &Path) -> Result<Option<Vec<String>>, SegmentsError> {
    Ok(match kind(path)? {
        None => None,
        Some(Kind::SegNrrd(names)) => Some(names),
        #[cfg(feature = "dicom")]
        Some(Kind::Rtstruct(object)) => Some(rtstruct::names(&object)),
        #[cfg(feature = "dicom")]
        Some(Kind::Seg(object)) => Some(seg::names(path, &object)?),
    })
}

/// A kind of file that has names, with its attributes.
enum Kind {
    /// With the names.
    SegNrrd(Vec<String>),
    #[cfg(feature = "dicom")]
    Rtstruct(InMemDicomObject),
    #[cfg(feature = "dicom")]
    Seg(InMemDicomObject),
}

/// What a file is, from its contents.
fn kind(path: &Path) -> Result<Option<Kind>, SegmentsError> {
    if !path.is_file() {
        return Ok(None);
    }
    #[cfg(feature = "dicom")]
    if dicom::is_dicom_file(path)? {
        use dicom_dictionary_std::{tags, uids};
        let object = dicom::load(path)?;
        let class = dicom::identifier(&object, tags::SOP_CLASS_UID).unwrap_or_default();
        return Ok(match class.as_str() {
            uids::RT_STRUCTURE_SET_STORAGE => Some(Kind::Rtstruct(object)),
            class if seg::is_seg(class) => Some(Kind::Seg(object)),
            _ => None,
        });
    }
    Ok(seg_nrrd::names(path)?.map(Kind::SegNrrd))
}

impl NamedMasks {
    /// The names, in the order of the file.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.objects.iter().map(|object| object.name.as_str())
    }

    /// The scan's grid.
    #[must_use]
    pub fn grid(&self) -> &Arc<Grid> {
        &self.grid
    }

    /// The index of the object with this name: in the same spelling, else in the only one that differs in case, blanks, hyphens and
    /// underscores.
    ///
    /// # Errors
    ///
    /// [`SegmentsError::NoObject`] if there is none, and [`SegmentsError::SeveralObjects`] if there are several.
    pub fn find(&self, name: &str) -> Result<usize, SegmentsError> {
        let with = |is_it: &dyn Fn(&str) -> bool| -> Vec<usize> {
            (0..self.objects.len()).filter(|&index| is_it(&self.objects[index].name)).collect()
        };
        let mut found = with(&|other| other == name);
        if found.is_empty() {
            found = with(&|other| is_same_name(other, name));
        }
        let found_names = |indices: &[usize]| indices.iter().map(|&index| self.objects[index].name.clone()).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(SegmentsError::NoObject {
                path: self.path.clone(),
                wanted: format!("the name {name:?}"),
                found: self.objects.iter().map(|object| object.name.clone()).collect(),
            }),
            several => Err(SegmentsError::SeveralObjects {
                path: self.path.clone(),
                wanted: format!("the name {name:?}"),
                found: found_names(several),
            }),
        }
    }

    /// The index of the object with this number in the file: the number of a segment or ROI, or the value of a label.
    ///
    /// # Errors
    ///
    /// [`SegmentsError::NoObject`] if there is none, and [`SegmentsError::SeveralObjects`] if there are several, as in the layers of
    /// a `.seg.nrrd`.
    pub fn with_label(&self, label: u16) -> Result<usize, SegmentsError> {
        let mut with = (0..self.objects.len()).filter(|&index| self.objects[index].label == Some(label));
        let shown = |object: &Found| match object.label {
            Some(label) => format!("{} ({label})", object.name),
            None => object.name.clone(),
        };
        let (path, wanted) = (self.path.clone(), format!("the number {label}"));
        match (with.next(), with.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => {
                let found = self.objects.iter().map(shown).collect();
                Err(SegmentsError::NoObject { path, wanted, found })
            }
            (Some(_), Some(_)) => {
                let several = self.objects.iter().filter(|object| object.label == Some(label));
                Err(SegmentsError::SeveralObjects { path, wanted, found: several.map(shown).collect() })
            }
        }
    }

    /// The mask of an object by its index in [`names`](Self::names): 1 inside.
    ///
    /// # Errors
    ///
    /// [`SegmentsError::Unreadable`] if the file's data of this object cannot be used; [`SegmentsError::Memory`].
    ///
    /// # Panics
    ///
    /// If there is no such object.
    pub fn mask(&self, index: usize) -> Result<Mask, SegmentsError> {
        let object = &self.objects[index];
        match &object.shape {
            #[cfg(feature = "dicom")]
            Shape::Voxels(mask) => Ok(Mask::clone(mask)),
            Shape::Layer(file, layer) => Ok(file.mask_on(*layer, &self.grid)?.expect("an object of this file")),
            #[cfg(feature = "dicom")]
            Shape::Contours(contours) => contours.mask(&self.grid),
            #[cfg(feature = "dicom")]
            Shape::Unusable(reason) => Err(SegmentsError::Unreadable {
                path: self.path.clone(),
                reason: format!("{:?}: {reason}", object.name),
            }),
        }
    }
}
