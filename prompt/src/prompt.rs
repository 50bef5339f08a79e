//! A prompt for one object: a text, points and a box.

use segvol_base::ErrorKind;
use segvol_postprocess::Overrides;
use segvol_volume::{BoundingBox, PointLabel};
use serde::{Deserialize, Serialize};

/// The coordinate system of a prompt's points and box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// Voxels of the input file, `(i, j, k)`, counted from 0 in the order in which the file stores them.
    #[default]
    Voxel,
    /// Millimetres that increase towards the patient's right, front (anterior) and head (superior): NIfTI's world coordinates.
    Ras,
    /// Millimetres that increase towards the patient's left, back (posterior) and head: world coordinates of DICOM and ITK.
    Lps,
    /// Voxels of the zoom-out window, `(d, h, w)`, as in the released code.
    Window,
}

impl Space {
    /// The name of the space on the command line and in reports.
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

/// A prompt for one object: a text, points and a box in any combination. One of them is enough.
///
/// # Example
///
/// ```
/// use segvol_prompt::{Prompt, Space};
/// use segvol_volume::PointLabel;
///
/// let tumour = Prompt::text("liver tumor").point([211.0, 160.0, 47.0], PointLabel::Foreground);
/// let spleen = Prompt::new().bounding_box([-60.0, 20.0, 110.0], [-10.0, 90.0, 180.0]).space(Space::Ras);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Prompt {
    name: Option<String>,
    text: Option<String>,
    /// Points and whether they are inside the object, in `space`.
    pub points: Vec<([f64; 3], PointLabel)>,
    /// Both corners belong to the box, which is in `space`.
    pub bounding_box: Option<BoundingBox>,
    /// What the numbers of points and box mean.
    pub space: Space,
    /// What a file of objects says about the postprocessing of this object's mask, for whoever writes the mask. It is no part of what
    /// the model is asked.
    #[serde(skip)]
    pub postprocess: Overrides,
}

/// Why a prompt does not fit the scan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// A call without any prompt.
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
    /// A coordinate is NaN or infinite.
    #[error("object {object:?}: {what}: expected finite coordinates")]
    NotFinite {
        /// The object's name.
        object: String,
        /// The point or box, as given.
        what: String,
    },
    /// A point, or a corner of a box, is outside the scan.
    #[error("object {object:?}: {what} in space `{}` is outside the scan, which is {scan}", space.name())]
    OutsideScan {
        /// The object's name.
        object: String,
        /// The point or box, as given.
        what: String,
        /// The space of the point or box.
        space: Space,
        /// The extent of the scan in that space.
        scan: String,
    },
    /// A box whose minimum is larger than its maximum on some axis.
    #[error(
        "object {object:?}: {what}: expected no coordinate of the first corner to be larger than that of the second corner"
    )]
    Inverted {
        /// The object's name.
        object: String,
        /// The box, as given.
        what: String,
    },
    /// The program whose masks are wanted does not take such a prompt.
    #[error("object {object:?}: the program of the profile `{profile}` takes {expected}; found {found}")]
    Profile {
        /// The object's name.
        object: String,
        /// The profile's name.
        profile: &'static str,
        /// What the program takes.
        expected: &'static str,
        /// What the prompt has.
        found: &'static str,
    },
}

impl PromptError {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Nothing
            | Self::TooMany { .. }
            | Self::Empty { .. }
            | Self::NotFinite { .. }
            | Self::OutsideScan { .. }
            | Self::Inverted { .. }
            | Self::Profile { .. } => ErrorKind::Input,
        }
    }
}

impl Prompt {
    /// An empty prompt. It needs a text, a point or a box before it can be used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A text prompt: the name of the object, such as `liver`.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new().with_text(text)
    }

    /// Sets the text prompt: the name of the object, such as `liver`.
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

    /// Sets the box around the object, in the prompt's [`Space`]. `max` is inclusive.
    #[must_use]
    pub fn bounding_box(mut self, min: [f64; 3], max: [f64; 3]) -> Self {
        self.bounding_box = Some(BoundingBox { min, max });
        self
    }

    /// Sets the coordinate system of the points and the box. The default is voxels of the file.
    #[must_use]
    pub fn space(mut self, space: Space) -> Self {
        self.space = space;
        self
    }

    /// Sets the object's name in reports and file names. The default is the text prompt.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The object's name: the one set by [`named`](Self::named), else the text prompt, else `object`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().or(self.text.as_deref()).unwrap_or("object")
    }

    /// The text prompt; `None` if there is none.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}
