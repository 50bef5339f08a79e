//! A case file: a scan and its boxes.

use std::fs::File;
use std::path::{Path, PathBuf};

use segvol::volume::Affine;
use segvol::volume::format::recognise_path;
use segvol::{Prompt, Volume, Warning, WarningCode};
use segvol_archive::region::Region;
use segvol_archive::zip::Archive;
use segvol_base::memory::check_available_if_large;
use segvol_base::printable;

use crate::boxes;
use crate::element::Element;
use crate::error::SegfmError;
use crate::npy::{Contents, Header};

/// A scan and its boxes.
#[derive(Debug)]
pub struct Case {
    /// The file.
    pub path: PathBuf,
    /// The scan. Its axes `i`, `j`, `k` are the file's last, second and first; a voxel has 1 mm, because the program reads no
    /// spacing.
    pub volume: Volume,
    /// The type of the scan's numbers, which the label map has too.
    pub element: Element,
    /// The boxes, in the order of the file.
    pub boxes: Vec<CaseBox>,
    /// Warnings about the boxes.
    pub warnings: Vec<Warning>,
}

/// A box in voxels of the scan, `(d, h, w)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseBox {
    /// The smallest voxel.
    pub min_dhw: [usize; 3],
    /// The largest voxel, inclusive.
    pub max_dhw: [usize; 3],
}

impl CaseBox {
    /// The box as a prompt. `label` is its place in the file, from 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "axes are below 2^53")]
    pub fn prompt(&self, label: usize) -> Prompt {
        let [[d0, h0, w0], [d1, h1, w1]] = [self.min_dhw, self.max_dhw].map(|corner| corner.map(|c| c as f64));
        Prompt::new().named(format!("box {label}")).bounding_box([w0, h0, d0], [w1, h1, d1])
    }
}

impl Case {
    /// Reads a case file.
    ///
    /// # Errors
    ///
    /// [`SegfmError::Io`] if the file cannot be read, [`SegfmError::Malformed`] if it is no case file or is damaged, or a box is not
    /// in the scan, [`SegfmError::TooManyBoxes`] if the type of `imgs` has too few labels, [`SegfmError::Memory`] if there is not
    /// enough memory.
    pub fn read(path: &Path) -> Result<Self, SegfmError> {
        let io = |source| SegfmError::Io { path: path.to_owned(), source };
        let malformed = |reason: String| SegfmError::Malformed { path: path.to_owned(), reason };
        let region = Region::of_file(File::open(path).map_err(io)?).map_err(io)?;
        if region.length() < 4 || !region.read(0, 4).map_err(io)?.starts_with(b"PK") {
            let found = recognise_path(path).map_err(io)?.map_or_else(|| "other bytes".into(), |found| found.what);
            return Err(malformed(format!("expected a NumPy archive (.npz) with `imgs` and `boxes`; found {found}")));
        }
        let archive = Archive::read(region).map_err(|reason| {
            malformed(format!("expected a NumPy archive (.npz) with `imgs` and `boxes`; {reason}"))
        })?;
        let (shape, element, voxels) =
            images(&array(path, &archive, "imgs")?).map_err(|error| error.or_malformed(path, "imgs"))?;
        let bytes = array(path, &archive, "boxes")?;
        let found = Header::read(&bytes).and_then(|header| match header.contents {
            Contents::Objects => boxes::read(&Region::of_memory(&bytes[header.length..])),
            Contents::Numbers { element, .. } => {
                Err(format!("expected an array of dictionaries; found one of {} numbers", element.name()))
            }
        });
        let found = found.map_err(|reason| malformed(format!("`boxes`: {reason}")))?;
        if found.is_empty() {
            return Err(malformed("`boxes`: expected at least one box, found none".to_owned()));
        }
        let most = element.largest_label().min(u32::from(u16::MAX));
        if found.len() > most as usize {
            return Err(SegfmError::TooManyBoxes { boxes: found.len(), most, type_name: element.name() });
        }
        let mut warnings = Vec::new();
        let placed = found.iter().enumerate().map(|(index, corners)| cut(index + 1, *corners, shape, &mut warnings));
        let boxes = placed.collect::<Result<_, _>>().map_err(|reason| malformed(format!("`boxes`: {reason}")))?;
        let [depth, height, width] = shape;
        let identity = Affine::new([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        let volume = Volume::new([width, height, depth], voxels, identity).map_err(segvol::Error::from)?;
        Ok(Self { path: path.to_owned(), volume, element, boxes, warnings })
    }

    /// Voxels along each axis, `[D, H, W]`.
    #[must_use]
    pub fn shape_dhw(&self) -> [usize; 3] {
        let [width, height, depth] = self.volume.shape_xyz();
        [depth, height, width]
    }
}

/// The bytes of an array in the archive, its header included.
fn array(path: &Path, archive: &Archive, key: &str) -> Result<Vec<u8>, SegfmError> {
    let malformed = |reason: String| SegfmError::Malformed { path: path.to_owned(), reason };
    let entry = archive.names().find(|name| name.strip_suffix(".npy").unwrap_or(name) == key);
    let Some(entry) = entry else {
        let names = archive.names().map(|name| name.strip_suffix(".npy").unwrap_or(name));
        let names: Vec<_> = names.map(|name| format!("`{}`", printable(name))).take(16).collect();
        let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        return Err(malformed(format!("expected the key `{key}`; found {found}")));
    };
    let storage = archive.storage(entry).map_err(malformed)?;
    let length = usize::try_from(storage.length()).unwrap_or(usize::MAX);
    check_available_if_large::<u8>("an array of the case file", length)?;
    storage.read(0, length).map_err(|source| malformed(format!("`{key}`: {source}")))
}

/// Why an array cannot be read.
enum Fault {
    Memory(segvol_base::OutOfMemory),
    Malformed(String),
}

impl Fault {
    fn or_malformed(self, path: &Path, key: &str) -> SegfmError {
        match self {
            Self::Memory(error) => error.into(),
            Self::Malformed(reason) => {
                SegfmError::Malformed { path: path.to_owned(), reason: format!("`{key}`: {reason}") }
            }
        }
    }
}

/// Shape `[D, H, W]`, type and voxels of a scan, the last axis fastest.
fn images(file: &[u8]) -> Result<([usize; 3], Element, Vec<f32>), Fault> {
    let header = Header::read(file).map_err(Fault::Malformed)?;
    let Contents::Numbers { element, big_endian } = header.contents else {
        return Err(Fault::Malformed("expected an array of numbers; found one of Python objects".to_owned()));
    };
    let &[depth, height, width] = &header.shape[..] else {
        let found = &header.shape;
        return Err(Fault::Malformed(format!("expected three axes, [D, H, W]; found the shape {found:?}")));
    };
    let data = &file[header.length..];
    let bytes = [depth, height, width].iter().try_fold(element.size(), |bytes, n| bytes.checked_mul(*n));
    if bytes.is_none_or(|bytes| bytes > data.len()) {
        let found = data.len();
        let expected = bytes.map_or_else(|| "more than a machine has".to_owned(), |bytes| bytes.to_string());
        return Err(Fault::Malformed(format!("expected {expected} bytes of numbers, found {found}")));
    }
    let voxels = depth * height * width;
    if voxels == 0 {
        return Err(Fault::Malformed(format!("expected voxels; found the shape {:?}", header.shape)));
    }
    check_available_if_large::<f32>("the scan", voxels).map_err(Fault::Memory)?;
    let size = element.size();
    let number = |index: usize| {
        let mut raw = [0; 8];
        raw[..size].copy_from_slice(&data[index * size..(index + 1) * size]);
        if big_endian {
            raw[..size].reverse();
        }
        element.to_f32(&raw[..size])
    };
    let mut found = Vec::with_capacity(voxels);
    if header.fortran_order {
        for d in 0..depth {
            for h in 0..height {
                found.extend((0..width).map(|w| number(d + depth * (h + height * w))));
            }
        }
    } else {
        found.extend((0..voxels).map(number));
    }
    Ok(([depth, height, width], element, found))
}

/// Cuts a box at the end of the scan, as the program's slices do. A box that is not in the scan, or has no voxel, is an error.
fn cut(label: usize, corners: [i64; 6], shape: [usize; 3], warnings: &mut Vec<Warning>) -> Result<CaseBox, String> {
    let scan = || format!("the scan has {shape:?} voxels [D, H, W], counted from 0");
    let shown = || format!("box {label}, {:?} to {:?} (z, y, x)", &corners[..3], &corners[3..]);
    let mut found = CaseBox { min_dhw: [0; 3], max_dhw: [0; 3] };
    let mut is_cut = false;
    for axis in 0..3 {
        let (low, high) = (corners[axis], corners[axis + 3]);
        if low > high {
            return Err(format!("{}: expected no minimum above its maximum", shown()));
        }
        let last = shape[axis] - 1;
        let inside = |c: i64| usize::try_from(c).ok().filter(|&c| c <= last);
        found.min_dhw[axis] = inside(low).ok_or_else(|| format!("{} begins outside the scan: {}", shown(), scan()))?;
        found.max_dhw[axis] = inside(high).unwrap_or(last);
        is_cut |= inside(high).is_none();
    }
    if is_cut {
        let message = format!("{} ends outside the scan, and was cut: {}", shown(), scan());
        warnings.push(Warning::new(WarningCode::PromptMoved, message));
    }
    Ok(found)
}
