//! The label map of a case, and the file that it is written to.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use segvol::{Model, Profile, StudyOptions, Warning, WarningCode};
use segvol_base::{atomic_file, memory};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::case::Case;
use crate::element::Element;
use crate::error::SegfmError;

/// The key of the label map.
const KEY: &str = "segs.npy";

/// Voxels that are turned into bytes at a time.
const CHUNK: usize = 1 << 16;

/// A label map: 0, or the place of a box in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    /// Voxels along each axis, `[D, H, W]`.
    pub shape_dhw: [usize; 3],
    /// One label for each voxel, the last axis fastest.
    pub labels: Vec<u16>,
    /// The type in which labels are written.
    pub element: Element,
}

/// A case with its label map.
#[derive(Debug)]
pub struct Segmented {
    /// The label map.
    pub label_map: LabelMap,
    /// Number of boxes.
    pub boxes: usize,
    /// Windows that were encoded.
    pub windows: usize,
    /// Time of preparation and segmentation, without reading and writing files.
    pub time: Duration,
    /// Warnings about the scan, its boxes and their masks.
    pub warnings: Vec<Warning>,
}

/// Segments every box of a case with the profile [`Profile::Segfm`], whatever profile and orientation `options` have. Boxes are
/// written in the order of the file, and a later one overwrites an earlier one, as in the program.
///
/// The challenge's scans have 8 bits. So there are no warnings about intensities that are not in Hounsfield units.
///
/// # Errors
///
/// [`SegfmError::Run`] if the scan cannot be segmented, [`SegfmError::Memory`] if there is not enough memory.
///
/// # Source
///
/// Yuxin-Du-Lab/SegVol-for-SegFM@7708634, `infer_case.py`, `infer_case`.
#[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
pub fn segment(model: &Model, case: Case, options: &StudyOptions) -> Result<Segmented, SegfmError> {
    let start = Instant::now();
    let (shape_dhw, Case { volume, element, boxes, mut warnings, .. }) = (case.shape_dhw(), case);
    let options = options.clone().profile(Profile::Segfm).orientation(None);
    let study = model.study_with(volume, &options)?;
    warnings.extend(study.warnings().iter().filter(|warning| !is_about_intensities(warning.code)).cloned());
    let voxels = shape_dhw.iter().product();
    memory::check_available::<u16>("the label map", voxels)?;
    let mut labels = vec![0; voxels];
    for (index, bounds) in boxes.iter().enumerate() {
        let found = study.segment(&bounds.prompt(index + 1))?;
        warnings.extend(found.warnings().iter().cloned());
        let inside = found.mask()?;
        let label = u16::try_from(index + 1).expect("a case file has at most 65535 boxes");
        for (at, written) in labels.iter_mut().enumerate() {
            if inside.labels().get(at).is_some_and(|inside| inside > 0) {
                *written = label;
            }
        }
    }
    warnings.extend(study.embedding_warnings());
    let windows = study.statistics().windows_encoded;
    let (boxes, label_map) = (boxes.len(), LabelMap { shape_dhw, labels, element });
    Ok(Segmented { label_map, boxes, windows, time: start.elapsed(), warnings })
}

/// Whether a warning says that intensities are not those of a CT in Hounsfield units.
fn is_about_intensities(code: WarningCode) -> bool {
    matches!(
        code,
        WarningCode::IntensityPadding
            | WarningCode::IntensityMetal
            | WarningCode::IntensityOffset
            | WarningCode::IntensityUnitRange
            | WarningCode::IntensityEightBit
            | WarningCode::IntensityLabelMap
            | WarningCode::IntensityNotHounsfield
    )
}

impl LabelMap {
    /// Writes the label map to a compressed `.npz` with the key `segs`, whole or not at all. The same label map gives the same bytes.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        atomic_file::write(path, |file| {
            let mut archive = ZipWriter::new(BufWriter::new(file));
            // Sizes are not known beforehand; beyond 4 GiB a zip archive needs other headers.
            let large = self.labels.len().saturating_mul(self.element.size()) >= 1 << 31;
            let method = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
            archive.start_file(KEY, method.large_file(large)).map_err(io::Error::other)?;
            archive.write_all(&self.header())?;
            let size = self.element.size();
            let mut bytes = Vec::with_capacity(CHUNK * size);
            for labels in self.labels.chunks(CHUNK) {
                bytes.clear();
                for &label in labels {
                    bytes.extend_from_slice(&self.element.of_label(u32::from(label))[..size]);
                }
                archive.write_all(&bytes)?;
            }
            archive.finish().map_err(io::Error::other)?.flush()
        })
    }

    /// The header of version 1 of NumPy's format: data begin at a multiple of 64 bytes.
    fn header(&self) -> Vec<u8> {
        let [depth, height, width] = self.shape_dhw;
        let mut text = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': ({depth}, {height}, {width}), }}",
            self.element.description()
        );
        let blanks = 63 - (10 + text.len()) % 64;
        text.extend(std::iter::repeat_n(' ', blanks));
        text.push('\n');
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy::{Contents, Header};

    #[test]
    fn a_header_is_read_back_and_aligned() {
        for shape_dhw in [[1, 2, 3], [300, 512, 512], [1, 1, 1_000_000_000]] {
            let map = LabelMap { shape_dhw, labels: Vec::new(), element: Element::Int16 };
            let header = Header::read(&map.header()).expect("a header");
            assert_eq!(header.contents, Contents::Numbers { element: Element::Int16, big_endian: false });
            assert_eq!((header.shape, header.fortran_order, header.length % 64), (shape_dhw.to_vec(), false, 0));
        }
    }
}
