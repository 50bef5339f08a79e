//! The programs that SegVol was released as, and what this toolkit does by default.

use std::fmt;
use std::str::FromStr;

use segvol_volume::Orientation;
use serde::{Deserialize, Serialize};

use crate::prompt::{Prompt, PromptError, Space};

/// How a scan is shown to the model: which windows and prompts the passes get. All profiles run the same network.
///
/// | profile               | the masks of                                                                            |
/// |-----------------------|-----------------------------------------------------------------------------------------|
/// | `default`             | this toolkit                                                                            |
/// | `released`            | GitHub's demo, BAAI-DCAI/SegVol@5768c97; the demo itself sees the axes as stored         |
/// | `huggingface`         | `model_segvol_single.py` of Hugging Face's BAAI/SegVol@516701d                           |
/// | `huggingface-nearest` | that file after its pull request 4 (aa4bdfd), as ModelScope's copy seems to be           |
/// | `segfm`               | Yuxin-Du-Lab/SegVol-for-SegFM@7708634, the entry for the CVPR 2025 challenge             |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// As the released code, with these differences:
    /// - a region larger than one window gets the fewest windows that show what must be looked at, and objects share windows;
    ///   windows show the scan, not zeros, outside the region;
    /// - the logits of the zoom-out pass are one more view of the region, which counts as much as its resolution: the number
    ///   of its voxels for each voxel of the scan;
    /// - the user's box and points keep their positions if the window is padded;
    /// - with several windows, a box prompt is the zoom-out mask's box clipped to the user's box;
    /// - a window without voxels of the zoom-out mask, the user's points and the user's box keeps its zoom-out logits;
    /// - voxels that no body has, padding below -1024 HU and metal above 3000 HU, do not count for the normalisation;
    /// - a box and points together are used in both passes;
    /// - a scan of a tilted gantry is straightened, and padding that the file states is air.
    #[default]
    Default,
    /// Exactly as GitHub's demo, including its quirks. The demo sees the axes as stored; other orientations are possible.
    Released,
    /// Exactly as Hugging Face's file: [`Profile::Released`] with the axes as stored.
    Huggingface,
    /// As [`Profile::Huggingface`], but the zoom-out image is resized by `nearest` instead of `nearest-exact`.
    HuggingfaceNearest,
    /// Exactly as the challenge entry: one box for each object and nothing else, in voxels of the scan and with the axes as
    /// stored.
    Segfm,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 5] =
        [Self::Default, Self::Released, Self::Huggingface, Self::HuggingfaceNearest, Self::Segfm];

    /// The profile's name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Released => "released",
            Self::Huggingface => "huggingface",
            Self::HuggingfaceNearest => "huggingface-nearest",
            Self::Segfm => "segfm",
        }
    }

    /// The axes that the program sees, whatever the scan's are; `None` if they can be chosen.
    #[must_use]
    pub fn orientation(self) -> Option<Orientation> {
        match self {
            Self::Default | Self::Released => None,
            Self::Huggingface | Self::HuggingfaceNearest | Self::Segfm => Some(Orientation::Stored),
        }
    }

    /// Whether this is one of the released programs, whose windows and quirks are fixed.
    #[must_use]
    pub fn is_released(self) -> bool {
        self != Self::Default
    }

    /// Whether the zoom-out image is resized by `nearest`; otherwise by `nearest-exact`.
    ///
    /// # Quirk
    ///
    /// The programs differ in this word alone, and maps and logits are resized by `nearest` in all of them. So in the others, the
    /// zoom-out image and what is found in it lie up to half a voxel apart.
    #[must_use]
    pub fn resizes_by_nearest(self) -> bool {
        match self {
            Self::Default | Self::Released | Self::Huggingface => false,
            Self::HuggingfaceNearest | Self::Segfm => true,
        }
    }

    /// Refuses what the program does not take, before any work.
    ///
    /// # Errors
    ///
    /// [`PromptError::Profile`] with what it takes.
    ///
    /// # Source
    ///
    /// Yuxin-Du-Lab/SegVol-for-SegFM@7708634, `infer_case.py`, `infer_case`.
    pub fn check(self, prompt: &Prompt) -> Result<(), PromptError> {
        let refused = |found| self.refused(prompt, "one box for each object, and neither text nor points", found);
        match self {
            Self::Default | Self::Released | Self::Huggingface | Self::HuggingfaceNearest => Ok(()),
            Self::Segfm if prompt.as_text().is_some() => refused("a text"),
            Self::Segfm if !prompt.points.is_empty() => refused("points"),
            Self::Segfm if prompt.bounding_box.is_none() => refused("no box"),
            Self::Segfm if prompt.space == Space::Window => {
                let expected = "a box in voxels of the scan or in millimetres, because the program resizes it itself";
                self.refused(prompt, expected, "space `window`")
            }
            Self::Segfm => Ok(()),
        }
    }

    /// Refuses what the program does not take where its zoom-in pass begins. `begins` says whether it does.
    ///
    /// # Quirk
    ///
    /// The zoom-out pass takes a box and points together. If it finds nothing, or no zoom-in pass is wanted, that is the result.
    ///
    /// # Errors
    ///
    /// [`PromptError::Profile`] with what it takes.
    ///
    /// # Source
    ///
    /// BAAI-DCAI/SegVol@5768c97, `inference_demo.py`, `zoom_in_zoom_out`; BAAI/SegVol@516701d, `forward_test`.
    pub fn check_zoom_in(self, prompt: &Prompt, begins: bool) -> Result<(), PromptError> {
        let both = !prompt.points.is_empty() && prompt.bounding_box.is_some();
        match self {
            Self::Released | Self::Huggingface | Self::HuggingfaceNearest if both && begins => {
                let expected = "a box or points for the zoom-in pass; the profile `default` takes both";
                self.refused(prompt, expected, "both")
            }
            Self::Default | Self::Released | Self::Huggingface | Self::HuggingfaceNearest | Self::Segfm => Ok(()),
        }
    }

    fn refused(self, prompt: &Prompt, expected: &'static str, found: &'static str) -> Result<(), PromptError> {
        Err(PromptError::Profile { object: prompt.name().to_owned(), profile: self.name(), expected, found })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|profile| profile.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("expected one of {names}; found {text:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use segvol_volume::PointLabel;

    use super::*;

    #[test]
    fn names_are_read_back_in_every_spelling_of_theirs() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse(), Ok(profile));
            assert_eq!(serde_json::to_value(profile).expect("a text"), profile.name());
            assert_eq!(serde_json::from_value::<Profile>(profile.name().into()).expect("a profile"), profile);
        }
        assert!("hugging-face".parse::<Profile>().is_err_and(|error| error.contains("huggingface-nearest, segfm")));
    }

    #[test]
    fn each_program_refuses_what_it_does_not_take() {
        let boxed = Prompt::new().named("a").bounding_box([0.0; 3], [1.0; 3]);
        let point = Prompt::new().point([0.0; 3], PointLabel::Foreground);
        let both = boxed.clone().point([0.0; 3], PointLabel::Foreground);
        for profile in Profile::ALL {
            let segfm = profile == Profile::Segfm;
            for (prompt, taken) in [
                (boxed.clone(), true),
                (Prompt::text("liver"), !segfm),
                (boxed.clone().with_text("liver"), !segfm),
                (point.clone(), !segfm),
                (both.clone(), !segfm),
                (boxed.clone().space(Space::Ras), true),
                (boxed.clone().space(Space::Window), !segfm),
            ] {
                assert_eq!(profile.check(&prompt).is_ok(), taken, "{profile}: {prompt:?}");
            }
            let has_both = profile == Profile::Default || segfm;
            assert_eq!(profile.check_zoom_in(&both, true).is_ok(), has_both, "{profile}");
            assert!(profile.check_zoom_in(&both, false).is_ok(), "{profile}: the zoom-out pass takes both");
            assert!(profile.check_zoom_in(&boxed, true).is_ok() && profile.check_zoom_in(&point, true).is_ok());
        }
        let error = Profile::Segfm.check(&Prompt::text("liver")).expect_err("a text").to_string();
        assert_eq!(
            error,
            "object \"liver\": the program of the profile `segfm` takes one box for each object, and neither text nor points; found a text"
        );
    }
}
