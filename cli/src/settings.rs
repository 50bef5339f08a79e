//! Options of the commands that run a bundle on scans.

use std::ops::Deref;

use clap::ValueEnum;
use segvol::{AffineChoice, Orientation, ReadOptions, StudyOptions};

use crate::exit::Usage;
use crate::machine::MachineArguments;

/// How scans are read.
#[derive(Debug, clap::Args)]
pub(crate) struct ReadArguments {
    /// The affine to use where a scan's header states two that differ: sform or qform [default: the sform; an error if they
    /// mirror each other]
    #[arg(long, value_name = "FORM", help_heading = "Method")]
    affine: Option<AffineChoice>,
    /// The DICOM series to read if there are several: its Series Instance UID, or its Series Number. `segvol inspect FOLDER` lists
    /// them
    #[arg(long, value_name = "UID|NUMBER", help_heading = "Method")]
    series: Option<String>,
    /// Interpolate missing slices of a DICOM series between their neighbours, and list them in the report. Without it, a missing
    /// slice is an error
    #[arg(long, help_heading = "Method")]
    fill_gaps: bool,
}

impl ReadArguments {
    pub(crate) fn affine(&self) -> Option<AffineChoice> {
        self.affine
    }

    pub(crate) fn has_series(&self) -> bool {
        self.series.is_some()
    }

    pub(crate) fn fills_gaps(&self) -> bool {
        self.fill_gaps
    }

    pub(crate) fn options(&self) -> ReadOptions {
        ReadOptions::default().affine(self.affine).series(self.series.clone()).fill_gaps(self.fill_gaps)
    }
}

/// How scans are read and segmented, and on which hardware.
#[derive(clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    read: ReadArguments,
    #[command(flatten)]
    study: StudyArguments,
}

/// How scans are segmented, and on which hardware.
#[derive(clap::Args)]
pub(crate) struct StudyArguments {
    /// Stop after the zoom-out pass: faster, but coarse
    #[arg(long, help_heading = "Method")]
    no_zoom: bool,
    /// How much neighbouring windows of an object overlap: more overlap is more windows and time, and a little more accuracy
    /// [default: balanced]
    #[arg(long, value_enum, conflicts_with = "overlap", help_heading = "Method")]
    effort: Option<Effort>,
    /// The least overlap of neighbouring windows of an object as a share of the window, per axis: 0 to 0.95 [default: that of
    /// --effort; 0.5 with the other profiles]
    #[arg(long, value_name = "SHARE", help_heading = "Method")]
    overlap: Option<f64>,
    /// Give each object the windows that it would get alone, so that its mask does not depend on the other objects of the call.
    /// More windows are encoded
    #[arg(long, help_heading = "Method")]
    independent: bool,
    /// Straighten a scan whose slices are shifted against each other, as by a tilted gantry, before the model sees it. Masks are on
    /// the scan's own voxels with and without. The demo model finds less with it; docs/segment.md has the figures
    #[arg(long, help_heading = "Method")]
    straighten: bool,
    /// The probability above which a voxel is in a mask: more than 0, less than 1. Lower makes masks larger. Windows stay the
    /// same: the region to look at is found with the released 0.5 [default: 0.5]
    #[arg(long, value_name = "P", allow_negative_numbers = true, help_heading = "Method")]
    threshold: Option<f64>,
    /// Axes in which the model sees the scan: `stored` for those of the file, like the released demo, or three letters that say
    /// where each axis goes, such as ras (the patient's right, front and head) or lps. The mask of a patient does not depend
    /// on how the file stores the scan, unless it is `stored`. `eval` compares several, a list with commas [default: `stored`
    /// with the profiles huggingface, huggingface-nearest and segfm; else the axes that the bundle names, else ras]
    #[arg(long, value_name = "AXES", value_delimiter = ',', help_heading = "Method")]
    orientation: Vec<Orientation>,
    /// Whose masks you want: this toolkit's, or exactly those of a released program, with its quirks. `eval` compares several, a
    /// list with commas
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Profile::Default], help_heading = "Method")]
    profile: Vec<Profile>,

    #[command(flatten)]
    machine: MachineArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum Effort {
    /// No overlap
    Fast,
    /// A quarter of a window
    Balanced,
    /// Half of a window
    Exact,
}

impl From<Effort> for segvol::Effort {
    fn from(effort: Effort) -> Self {
        match effort {
            Effort::Fast => Self::Fast,
            Effort::Balanced => Self::Balanced,
            Effort::Exact => Self::Exact,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// The fewest windows, which objects share
    Default,
    /// Exactly as GitHub's demo; with --orientation stored this is also what Hugging Face's file computes, to the bit
    Released,
    /// Hugging Face's model_segvol_single.py: `released` with the axes as stored
    Huggingface,
    /// The same after its pull request 4, as in ModelScope's copy: the zoom-out image is resized by `nearest`
    HuggingfaceNearest,
    /// The entry for the CVPR 2025 challenge: one box for each object, no text and no points
    Segfm,
}

impl Deref for Settings {
    type Target = StudyArguments;
    fn deref(&self) -> &StudyArguments {
        &self.study
    }
}

impl Settings {
    /// How scans are read.
    pub(crate) fn read_options(&self) -> ReadOptions {
        self.read.options()
    }
}

impl StudyArguments {
    /// Where and with what the graphs run.
    pub(crate) fn machine(&self) -> &MachineArguments {
        &self.machine
    }

    /// The options about masks and windows that are given, for a command that has no use for some of them.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let given = [
            ("--no-zoom", self.no_zoom),
            ("--effort", self.effort.is_some()),
            ("--overlap", self.overlap.is_some()),
            ("--independent", self.independent),
            ("--threshold", self.threshold.is_some()),
        ];
        given.into_iter().filter_map(|(option, is_given)| is_given.then_some(option)).collect()
    }

    /// How scans are segmented, in one orientation with one profile.
    pub(crate) fn study_options(&self) -> anyhow::Result<StudyOptions> {
        let several = |option: &str, what: &str| {
            Err(Usage(format!("{option}: expected one {what}; `eval` compares several")).into())
        };
        match (&self.orientation[..], &self.profile[..]) {
            ([], &[profile]) => self.study_options_in(None, profile),
            (&[one], &[profile]) => self.study_options_in(Some(one), profile),
            ([] | [_], _) => several("--profile", "profile"),
            _ => several("--orientation", "orientation"),
        }
    }

    /// How scans are segmented, once for each profile in each orientation that was asked for; in the model's if there is none.
    pub(crate) fn study_options_of_all(&self) -> anyhow::Result<Vec<StudyOptions>> {
        let again = self.orientation.iter().enumerate().find(|(n, one)| self.orientation[..*n].contains(one));
        if let Some((_, one)) = again {
            return Err(Usage(format!("--orientation: expected different orientations, found {one} twice")).into());
        }
        let again = self.profile.iter().enumerate().find(|(n, one)| self.profile[..*n].contains(one));
        if let Some((_, one)) = again {
            let name = one.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
            return Err(Usage(format!("--profile: expected different profiles, found {name} twice")).into());
        }
        let orientations: Vec<Option<Orientation>> = match &self.orientation[..] {
            [] => vec![None],
            several => several.iter().copied().map(Some).collect(),
        };
        let all = self.profile.iter().flat_map(|&profile| orientations.iter().map(move |&one| (one, profile)));
        all.map(|(orientation, profile)| self.study_options_in(orientation, profile)).collect()
    }

    /// Whether several profiles were asked for, and whether several orientations were.
    pub(crate) fn several(&self) -> [bool; 2] {
        [self.profile.len() > 1, self.orientation.len() > 1]
    }

    fn study_options_in(&self, orientation: Option<Orientation>, profile: Profile) -> anyhow::Result<StudyOptions> {
        let profile = segvol::Profile::from(profile);
        if self.effort.is_some() && profile.is_released() {
            let message = format!("--effort: the windows of --profile {profile} are those of the released program");
            return Err(Usage(message).into());
        }
        if self.straighten && profile.is_released() {
            let message = format!("--straighten: --profile {profile} shows the voxels as the released program does");
            return Err(Usage(message).into());
        }
        let options = StudyOptions::default()
            .orientation(orientation)
            .profile(profile)
            .zoom_in(!self.no_zoom)
            .effort(self.effort.map(Into::into).unwrap_or_default())
            .overlap(self.overlap)
            .independent(self.independent)
            .straighten(self.straighten);
        let mut options = self.machine.apply(options);
        if let Some(threshold) = self.threshold {
            options.threshold = threshold;
        }
        options.check()?;
        Ok(options)
    }

    /// As [`StudyArguments::study_options`], for a study of one call: it keeps no embeddings unless the user asks for a cache.
    pub(crate) fn study_options_of_one_call(&self) -> anyhow::Result<StudyOptions> {
        let options = self.study_options()?;
        Ok(if self.machine.has_cache() { options } else { options.cache_bytes(0) })
    }
}

impl From<Profile> for segvol::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Default => Self::Default,
            Profile::Released => Self::Released,
            Profile::Huggingface => Self::Huggingface,
            Profile::HuggingfaceNearest => Self::HuggingfaceNearest,
            Profile::Segfm => Self::Segfm,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(arguments: &str) -> Result<Settings, clap::Error> {
        let line = std::iter::once("segvol").chain(arguments.split_whitespace());
        Line::try_parse_from(line).map(|line| line.settings)
    }

    #[test]
    fn the_old_name_of_the_cache_option_is_accepted() {
        for name in ["--cache-mib", "--cache-mb"] {
            let options = settings(&format!("{name} 3")).expect("valid").study_options_of_one_call().expect("valid");
            assert_eq!(options.cache_bytes, 3 << 20, "{name}");
        }
        assert_eq!(settings("").expect("valid").study_options_of_one_call().expect("valid").cache_bytes, 0);
    }

    #[test]
    fn the_folder_of_embeddings_has_a_limit_of_its_own() {
        let options = |line: &str| settings(line).map(|settings| settings.study_options_of_one_call().expect("valid"));
        let found = options("--embeddings a/b --embeddings-mib 3").expect("valid");
        assert_eq!((found.embeddings, found.embeddings_bytes), (Some(PathBuf::from("a/b")), 3 << 20));
        assert_eq!(options("--embeddings a").expect("valid").embeddings_bytes, 20 << 30);
        assert_eq!(options("").expect("valid").embeddings, None);
        assert!(options("--embeddings-mib 3").is_err(), "of which folder?");
    }

    #[test]
    fn orientations_are_codes_in_both_cases_and_each_once() {
        let all = |text: &str| settings(&format!("--orientation {text}")).expect("valid").study_options_of_all();
        let found = all("RAS,las,Stored").expect("three");
        let expected = ["ras", "las", "stored"].map(|code| Some(code.parse().expect("a code")));
        assert_eq!(found.iter().map(|options| options.orientation).collect::<Vec<_>>(), expected);
        assert!(all("ras,lps,RAS").is_err_and(|error| error.to_string().contains("ras twice")));
        let several = settings("--orientation ras,lps").expect("valid").study_options();
        assert!(several.is_err_and(|error| error.to_string().contains("expected one orientation")));
        let error = settings("--orientation rls").err().expect("no such axes").to_string();
        assert!(error.contains("r and l are the same axis"), "{error}");
        assert_eq!(settings("").expect("valid").study_options().expect("valid").orientation, None);
    }

    #[test]
    fn every_profile_runs_in_every_orientation() {
        let all = |line: &str| settings(line).expect("valid").study_options_of_all();
        let found = all("--profile default,released --orientation ras,las").expect("four");
        let found: Vec<(segvol::Profile, String)> = found
            .iter()
            .map(|options| (options.profile, options.orientation.map(|one| one.to_string()).unwrap_or_default()))
            .collect();
        let of = |profile, code: &str| (profile, code.to_owned());
        let (a, b) = (segvol::Profile::Default, segvol::Profile::Released);
        assert_eq!(found, [of(a, "ras"), of(a, "las"), of(b, "ras"), of(b, "las")]);
        assert!(all("--profile released,released").is_err_and(|error| error.to_string().contains("released twice")));
        let several = settings("--profile released,default").expect("valid").study_options();
        assert!(several.is_err_and(|error| error.to_string().contains("expected one profile")));
    }
}
