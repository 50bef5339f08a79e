//! What the user says about one object: its name, points, a box.

mod file;
mod place;

use segvol_base::ErrorKind;
use segvol_volume::{BoundingBox, PointLabel};
use serde::{Deserialize, Serialize};

pub use file::{PromptFileError, parse_prompts};
pub(crate) use place::{PlacedPrompt, Placer};

/// What the coordinates of a prompt mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// Voxels of the input file, `(i, j, k)`, counted from 0 in the order the file stores them.
    #[default]
    Voxel,
    /// Millimetres, growing to the patient's right, front (anterior) and head (superior): NIfTI's world.
    Ras,
    /// Millimetres, growing to the patient's left, back (posterior) and head: DICOM's and ITK's world.
    Lps,
    /// Voxels of the zoom-out window, `(d, h, w)`, as the released code takes them.
    Window,
}

impl Space {
    /// The word for it on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Voxel => "voxel",
            Self::Ras => "ras",
            Self::Lps => "lps",
            Self::Window => "window",
        }
    }
}

/// What the user says of one object: any mix of a name, points and a box.
///
/// # Example
///
/// ```
/// use segvol::{PointLabel, Prompt, Space};
///
/// let tumour = Prompt::text("liver tumor").point([211.0, 160.0, 47.0], PointLabel::Foreground);
/// let spleen = Prompt::new().bounding_box([-60.0, 20.0, 110.0], [-10.0, 90.0, 180.0]).space(Space::Ras);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Prompt {
    name: Option<String>,
    text: Option<String>,
    pub(crate) points: Vec<([f64; 3], PointLabel)>,
    pub(crate) bounding_box: Option<BoundingBox>,
    pub(crate) space: Space,
}

/// Why a prompt does not fit the scan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// There is no prompt at all.
    #[error("no prompt: expected at least one text, box or point")]
    Nothing,
    /// More objects than a label map has labels.
    #[error("{found} objects: expected at most {}, as many as a label map has labels", u16::MAX)]
    TooMany {
        /// Number of prompts.
        found: usize,
    },
    /// An object has neither text nor points nor a box.
    #[error("object {object:?}: expected a text, a box or a point, found none")]
    Empty {
        /// The object's name.
        object: String,
    },
    /// A coordinate is not a number.
    #[error("object {object:?}: {what}: expected finite numbers")]
    NotFinite {
        /// The object's name.
        object: String,
        /// The point or box as given.
        what: String,
    },
    /// A point, or a corner of a box, lies outside the scan.
    #[error("object {object:?}: {what} in space `{}` is outside the scan, which is {scan}", space.name())]
    OutsideScan {
        /// The object's name.
        object: String,
        /// The point or box as given.
        what: String,
        /// The space that it was given in.
        space: Space,
        /// Where the scan is, in that space.
        scan: String,
    },
    /// A box whose minimum lies above its maximum.
    #[error("object {object:?}: {what}: expected the first corner at most the second on every axis")]
    Inverted {
        /// The object's name.
        object: String,
        /// The box as given.
        what: String,
    },
}

impl PromptError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Nothing
            | Self::TooMany { .. }
            | Self::Empty { .. }
            | Self::NotFinite { .. }
            | Self::OutsideScan { .. }
            | Self::Inverted { .. } => ErrorKind::Input,
        }
    }
}

impl Prompt {
    /// A prompt that says nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The object that is called `text`.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new().with_text(text)
    }

    /// Adds the object's name as a text prompt.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Adds a point in the prompt's [`Space`].
    #[must_use]
    pub fn point(mut self, at: [f64; 3], label: PointLabel) -> Self {
        self.points.push((at, label));
        self
    }

    /// Sets the box around the object, in the prompt's [`Space`]; `max` is inclusive.
    #[must_use]
    pub fn bounding_box(mut self, min: [f64; 3], max: [f64; 3]) -> Self {
        self.bounding_box = Some(BoundingBox { min, max });
        self
    }

    /// Says what the coordinates of points and box mean; voxels of the file if never called.
    #[must_use]
    pub fn space(mut self, space: Space) -> Self {
        self.space = space;
        self
    }

    /// What to call the object in reports and file names; its text if never called.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The object's name: as [named](Self::named), else its text, else `object`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().or(self.text.as_deref()).unwrap_or("object")
    }

    /// The text prompt.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}
