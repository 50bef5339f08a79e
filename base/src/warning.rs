//! Warnings: what may be wrong although the work went on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A warning: a stable code for programs, and a sentence for people.
///
/// Libraries return warnings and never print them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warning {
    /// The kind of the warning. Codes keep their names and meanings from version to version.
    pub code: WarningCode,
    /// What was found and what was done about it, in one line. The wording may change from version to version.
    pub message: String,
}

impl Warning {
    /// A warning. Control characters in the message are escaped, because it may contain names from a file.
    #[must_use]
    pub fn new(code: WarningCode, message: impl AsRef<str>) -> Self {
        Self { code, message: crate::printable(message.as_ref()).into_owned() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Declares the codes once: the enum, its names and [`WarningCode::ALL`].
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $name:literal,)+) => {
        /// The kind of a [`Warning`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum WarningCode {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $code,)+
        }

        impl WarningCode {
            /// All codes, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];

            /// The code's name in reports and options.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }

            /// What the code means, in one line.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$code => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

codes! {
    /// The file gives no orientation of the patient: both `sform_code` and `qform_code` are 0.
    AffineMissing = "affine_missing",
    /// The sform and the qform put the voxels at different places.
    AffineConflict = "affine_conflict",
    /// One of sform and qform cannot be used, so the other was.
    AffineUnusable = "affine_unusable",
    /// The spacings of the affine and of `pixdim` contradict each other.
    SpacingConflict = "spacing_conflict",
    /// A spacing of 0 or below was replaced.
    SpacingRepaired = "spacing_repaired",
    /// The spacing is not that of a CT.
    SpacingImplausible = "spacing_implausible",
    /// Lengths were converted to millimetres from another unit.
    UnitConverted = "unit_converted",
    /// The unit of length is unknown or contradicts the spacing.
    UnitUnknown = "unit_unknown",
    /// The axes are not perpendicular.
    AxesSheared = "axes_sheared",
    /// The axes are not perpendicular, and the model saw the scan straightened.
    ScanStraightened = "scan_straightened",
    /// A value in the header is wrong and was replaced or ignored.
    HeaderRepaired = "header_repaired",
    /// Bytes after the end of the data were ignored.
    TrailingBytes = "trailing_bytes",
    /// Voxels far below air, as scanners write outside of the field of view.
    IntensityPadding = "intensity_padding",
    /// Voxels far above bone, as metal causes.
    IntensityMetal = "intensity_metal",
    /// Intensities look like Hounsfield units with an offset.
    IntensityOffset = "intensity_offset",
    /// Intensities look scaled to 0 to 1.
    IntensityUnitRange = "intensity_unit_range",
    /// Intensities look like an 8-bit picture, 0 to 255.
    IntensityEightBit = "intensity_eight_bit",
    /// The file looks like a label map, not a scan.
    IntensityLabelMap = "intensity_label_map",
    /// Intensities do not look like Hounsfield units.
    IntensityNotHounsfield = "intensity_not_hounsfield",
    /// Attributes that the scan's DICOM files lack were made up for a DICOM output.
    DicomFilled = "dicom_filled",
    /// The body fills only a few voxels of the scan.
    BodySmall = "body_small",
    /// The model was not trained with this name.
    NameUnknown = "name_unknown",
    /// Two objects have the same name.
    NameDuplicate = "name_duplicate",
    /// The file of an object has another name than the object.
    FileRenamed = "file_renamed",
    /// A file or folder that cannot be replaced in one step, such as a mount point, is written in place.
    WrittenInPlace = "written_in_place",
    /// The scan's axes differ from those that the model expects.
    OrientationUnexpected = "orientation_unexpected",
    /// An organ of the left side is not to the left of its counterpart.
    SidesSwapped = "sides_swapped",
    /// Rows of two results could not be compared, or their settings differ in what a comparison depends on.
    ComparisonIncomplete = "comparison_incomplete",
    /// A point or box outside the body was moved to its border.
    PromptMoved = "prompt_moved",
    /// The program whose masks are wanted does not see the box.
    PromptLost = "prompt_lost",
    /// A point or box is in air.
    PromptInAir = "prompt_in_air",
    /// There are points outside the object but nothing says what the object is.
    PromptNegativeOnly = "prompt_negative_only",
    /// Postprocessing could not choose components by the prompt, which has no point inside the object and no box.
    PromptWithoutPlace = "prompt_without_place",
    /// Postprocessing found no component of the mask at the prompt's points or box, and kept the nearest one.
    PromptOutsideMask = "prompt_outside_mask",
    /// The mask leaves out a point that is inside the object, or contains one that is outside.
    MaskContradictsPoint = "mask_contradicts_point",
    /// The mask is empty.
    MaskEmpty = "mask_empty",
    /// The mask fills the whole region that was looked at.
    MaskFillsRegion = "mask_fills_region",
    /// The object loses more than 5 % of its voxels to other objects in the label map.
    MaskOverlap = "mask_overlap",
    /// The provider computes in another precision than was asked for.
    PrecisionReplaced = "precision_replaced",
    /// Tensors inside the model that no part of it uses were left out.
    TensorUnused = "tensor_unused",
    /// A stored benchmark is damaged, or of another version, and was not used.
    BenchUnusable = "bench_unusable",
    /// A file in the folder of embeddings could not be used, and its window was encoded again.
    EmbeddingsDamaged = "embeddings_damaged",
    /// Embeddings could not be stored in their folder, for example because the disk is full.
    EmbeddingsNotStored = "embeddings_not_stored",
    /// Files or labels of a data set are not used in its evaluation.
    DataUnused = "data_unused",
    /// Measured times are doubtful: they scatter, or other programs were running.
    MeasurementNoisy = "measurement_noisy",
}

impl fmt::Display for WarningCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for WarningCode {
    type Err = String;

    /// Reads a code's name. `-` is the same as `_`.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().replace('-', "_");
        let found = Self::ALL.iter().find(|code| code.name() == name);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|code| code.name()).collect();
            format!("expected one of {}; found {text:?}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_back_in_both_spellings() {
        for code in WarningCode::ALL {
            assert_eq!(code.name().parse(), Ok(*code));
            assert_eq!(code.name().replace('_', "-").parse(), Ok(*code));
            assert_eq!(serde_json::to_value(code).expect("JSON"), code.name());
            assert!(code.meaning().ends_with('.'), "{code}");
        }
        let error = "padding".parse::<WarningCode>().expect_err("unknown");
        assert!(error.contains("intensity_padding") && error.contains("\"padding\""), "{error}");
    }

    #[test]
    fn a_message_cannot_control_a_terminal() {
        let warning = Warning::new(WarningCode::NameUnknown, "a\u{1b}[2J\nwarning: forged");
        assert_eq!(warning.message, "a\\u{1b}[2J\\nwarning: forged");
    }
}
