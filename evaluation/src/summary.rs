//! Means per structure and kind of prompt, and over all objects. Without known masks: verdicts per pair of organs.

use segvol::metrics::Scores;
use serde::Serialize;

use crate::figure::Figure;
use crate::prompts::Kind;
use crate::results::{Results, Row};
use crate::sides::{Pair, Sides, Verdict};
use crate::statistics::Statistics;

/// An object whose Dice is below this has failed.
pub const FAILED_BELOW: f64 = 0.5;

/// Means over all objects of one structure, or of all structures, with one kind of prompt.
///
/// An object is a structure that is in the label map of a case. Where a structure is absent there is nothing to agree with: such
/// rows are counted, but are in no mean.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The structure; `None` for all together.
    pub structure: Option<String>,
    /// How it was asked for.
    pub prompt: Kind,
    /// The objects that the means are taken over.
    pub objects: usize,
    /// Cases in which the structure is absent.
    pub absent: usize,
    /// Of these, cases in which something was found anyway.
    pub found_though_absent: usize,
    /// After the zoom-out pass.
    pub zoom_out: Means,
    /// Of the final masks.
    pub zoom_in: Means,
    /// How well another bundle's masks agree, including absent structures; `None` if there was no other bundle.
    pub against: Option<Agreements>,
}

/// Means over objects; `None` where there is no object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Means {
    /// Objects for which the mask is empty. Their Dice of 0 is in the mean; their distance is not, since it is undefined.
    pub empty: usize,
    /// Dice's coefficient.
    pub dice: Option<f64>,
    /// Normalised surface Dice.
    pub surface_dice: Option<f64>,
    /// 95 % Hausdorff distance in millimetres, over the objects that were found.
    pub hausdorff95_mm: Option<f64>,
    /// Volume found minus the truth's, in millilitres.
    pub volume_error_ml: Option<f64>,
    /// The same as a share of the truth's.
    pub volume_error_relative: Option<f64>,
    /// Objects whose Dice is below [`FAILED_BELOW`]; those with an empty mask are among them.
    pub failed: usize,
    /// Spread and intervals of these figures.
    pub statistics: Spread,
}

/// Statistics of each figure; `None` where there is no object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Of Dice's coefficient.
    pub dice: Option<Statistics>,
    /// Of the normalised surface Dice.
    pub surface_dice: Option<Statistics>,
    /// Of the 95 % Hausdorff distance, over the objects that were found.
    pub hausdorff95_mm: Option<Statistics>,
    /// Of the volume error in millilitres.
    pub volume_error_ml: Option<Statistics>,
    /// Of the volume error as a share of the truth's.
    pub volume_error_relative: Option<Statistics>,
}

impl Spread {
    /// The statistics of one figure.
    #[must_use]
    pub fn of(&self, figure: Figure) -> Option<Statistics> {
        match figure {
            Figure::Dice => self.dice,
            Figure::SurfaceDice => self.surface_dice,
            Figure::Hausdorff95 => self.hausdorff95_mm,
            Figure::VolumeErrorMl => self.volume_error_ml,
            Figure::VolumeErrorRelative => self.volume_error_relative,
        }
    }
}

/// Dice between two bundles' final masks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreements {
    /// The mean.
    pub mean_dice: f64,
    /// The least.
    pub min_dice: f64,
    /// Mean Dice of the other bundle's masks with the truth, over objects.
    pub truth_dice: Option<f64>,
}

/// One group per structure (ordered by value) and kind of prompt, then one per kind of prompt for all structures together.
#[must_use]
pub fn groups(results: &Results) -> Vec<Group> {
    let cases = results.cases.iter().enumerate();
    let rows: Vec<(usize, &Row)> = cases.flat_map(|(case, of)| of.rows.iter().map(move |row| (case, row))).collect();
    let of = |structure: Option<&str>| -> Vec<Group> {
        let chosen = |kind: Kind| {
            let rows = rows.iter().copied();
            rows.filter(move |(_, row)| row.prompt == kind && structure.is_none_or(|name| row.structure == name))
        };
        results.header.settings.prompts.iter().map(|&kind| Group::of(structure, kind, chosen(kind).collect())).collect()
    };
    let mut groups: Vec<Group> = structures(results).into_iter().flat_map(|name| of(Some(name))).collect();
    groups.extend(of(None));
    groups
}

/// The names of all structures that were asked for, by value.
pub(crate) fn structures(results: &Results) -> Vec<&str> {
    let mut named: Vec<(u16, &str)> = results.rows().map(|(_, row)| (row.value, row.structure.as_str())).collect();
    named.sort_unstable();
    let mut names: Vec<&str> = Vec::new();
    for (_, name) in named {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

impl Group {
    fn of(structure: Option<&str>, prompt: Kind, rows: Vec<(usize, &Row)>) -> Self {
        type Rows<'a> = Vec<(usize, &'a Row)>;
        let (objects, absent): (Rows<'_>, Rows<'_>) = rows.iter().partition(|(_, row)| row.truth_voxels > 0);
        Self {
            structure: structure.map(str::to_owned),
            prompt,
            objects: objects.len(),
            absent: absent.len(),
            found_though_absent: absent.iter().filter(|(_, row)| row.zoom_in.voxels > 0).count(),
            zoom_out: Means::of(objects.iter().map(|&(case, row)| (case, &row.zoom_out))),
            zoom_in: Means::of(objects.iter().map(|&(case, row)| (case, &row.zoom_in))),
            against: Agreements::of(&rows, &objects),
        }
    }
}

impl Means {
    fn of<'a>(scores: impl Iterator<Item = (usize, &'a Scores)> + Clone) -> Self {
        let over = |figure: Figure| {
            let values = scores.clone().filter_map(|(case, scores)| Some((case, figure.of(scores)?)));
            Statistics::of(&values.collect::<Vec<_>>())
        };
        let [dice, surface_dice, hausdorff95_mm, volume_error_ml, volume_error_relative] = Figure::ALL.map(over);
        let mean = |of: Option<Statistics>| of.map(|of| of.mean);
        Self {
            empty: scores.clone().filter(|(_, scores)| scores.voxels == 0).count(),
            dice: mean(dice),
            surface_dice: mean(surface_dice),
            hausdorff95_mm: mean(hausdorff95_mm),
            volume_error_ml: mean(volume_error_ml),
            volume_error_relative: mean(volume_error_relative),
            failed: scores.filter(|(_, scores)| scores.dice < FAILED_BELOW).count(),
            statistics: Spread { dice, surface_dice, hausdorff95_mm, volume_error_ml, volume_error_relative },
        }
    }
}

impl Agreements {
    fn of(rows: &[(usize, &Row)], objects: &[(usize, &Row)]) -> Option<Self> {
        let between = rows.iter().filter_map(|(_, row)| Some(row.against?.zoom_in_dice));
        Some(Self {
            mean_dice: mean(between.clone())?,
            min_dice: between.reduce(f64::min)?,
            truth_dice: mean(objects.iter().filter_map(|(_, row)| Some(row.against?.truth_dice))),
        })
    }
}

/// The verdicts on one pair in all scans, or on all pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counts {
    /// The pair; `None` for all together.
    pub pair: Option<Pair>,
    /// Scans in which the left organ lies to the left, times pairs.
    pub ok: usize,
    /// Those in which it lies to the right.
    pub swapped: usize,
    /// Those in which the centres are too close to tell.
    pub unclear: usize,
    /// Those in which a mask is empty.
    pub empty: usize,
    /// Mean of [`Sides::to_the_left_mm`] over those with two masks; `None` if there are none.
    pub mean_to_the_left_mm: Option<f64>,
}

impl Counts {
    fn of<'a>(pair: Option<&Pair>, sides: impl Iterator<Item = &'a Sides> + Clone) -> Self {
        let count = |verdict: Verdict| sides.clone().filter(|sides| sides.verdict == verdict).count();
        let mean_to_the_left_mm = mean(sides.clone().filter_map(|sides| sides.to_the_left_mm));
        let [ok, swapped, unclear, empty] = Verdict::ALL.map(count);
        Self { pair: pair.cloned(), ok, swapped, unclear, empty, mean_to_the_left_mm }
    }

    /// Those with one verdict.
    #[must_use]
    pub fn of_verdict(&self, verdict: Verdict) -> usize {
        match verdict {
            Verdict::Ok => self.ok,
            Verdict::Swapped => self.swapped,
            Verdict::Unclear => self.unclear,
            Verdict::Empty => self.empty,
        }
    }

    /// All that were compared.
    #[must_use]
    pub fn total(&self) -> usize {
        self.ok + self.swapped + self.unclear + self.empty
    }
}

/// The verdicts on every pair, then on all together. Empty if the cases have known masks.
#[must_use]
pub fn counts(results: &Results) -> Vec<Counts> {
    let pairs = &results.header.settings.pairs;
    if pairs.is_empty() {
        return Vec::new();
    }
    let all = results.cases.iter().flat_map(|case| &case.sides);
    let of = |pair| Counts::of(Some(pair), all.clone().filter(move |sides| sides.pair == *pair));
    pairs.iter().map(of).chain([Counts::of(None, all.clone())]).collect()
}

/// The mean, summed in order; `None` if there are no values.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u64, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
pub(crate) mod tests {
    use segvol::{Orientation, Precision, Profile, WindowCounts};

    use super::*;
    use crate::results::{CaseResult, Failure, Header, ModelHeader, Settings};

    fn scores(voxels: u64, dice: f64, hausdorff95_mm: Option<f64>) -> Scores {
        let volume_error_relative = Some(dice - 1.0);
        Scores {
            voxels,
            dice,
            surface_dice: dice / 2.0,
            hausdorff95_mm,
            hausdorff_mm: hausdorff95_mm.map(|mm| 2.0 * mm),
            volume_error_ml: -1.5,
            volume_error_relative,
        }
    }

    fn row(structure: &str, value: u16, truth_voxels: u64, zoom_in: Scores) -> Row {
        let (structure, zoom_out) = (structure.to_owned(), scores(3, 0.25, Some(4.0)));
        Row {
            structure,
            value,
            values: vec![],
            prompt: Kind::Text,
            truth_voxels,
            zoom_out,
            zoom_in,
            windows: WindowCounts { total: 2, skipped: 0 },
            against: None,
            warnings: vec![],
            mask: None,
            probabilities: None,
        }
    }

    /// Two cases: a liver found, a liver not found and a spleen that is absent; a third case that failed.
    pub(crate) fn results() -> Results {
        let case = |name: &str, rows: Vec<Row>| CaseResult {
            case: name.to_owned(),
            windows: std::collections::BTreeMap::from([(Kind::Text, 3 * rows.len())]),
            rows,
            too_small: Vec::new(),
            sides: Vec::new(),
            interactive: Vec::new(),
            seconds: std::collections::BTreeMap::new(),
            warnings: Vec::new(),
            pictures: std::collections::BTreeMap::new(),
        };
        let absent = Scores { volume_error_relative: None, ..scores(7, 0.0, None) };
        Results {
            header: Header {
                tool: "segvol".to_owned(),
                model: ModelHeader {
                    manifest_sha256: "ab".to_owned(),
                    provider: "cpu".to_owned(),
                    precision: Precision::Fp32,
                },
                against: None,
                affine: None,
                orientation: Orientation::Ras,
                profile: Profile::Default,
                zoom_in: true,
                overlap: 0.5,
                threshold: None,
                straighten: false,
                fill_gaps: false,
                settings: Settings { prompts: vec![Kind::Text], ..Settings::default() },
            },
            cases: vec![
                case("a", vec![row("liver", 2, 10, scores(9, 0.5, Some(6.0)))]),
                case("b, \"late\"", vec![row("spleen", 1, 0, absent), row("liver", 2, 10, scores(0, 0.0, None))]),
            ],
            failures: vec![Failure { case: "c".to_owned(), reason: "c.nii: no | such file".to_owned() }],
        }
    }

    #[test]
    fn means_are_of_objects_and_the_rest_is_counted() {
        let groups = groups(&results());
        let names: Vec<_> = groups.iter().map(|group| group.structure.as_deref()).collect();
        assert_eq!(names, [Some("spleen"), Some("liver"), None]);
        let [spleen, liver, all] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!((spleen.objects, spleen.absent, spleen.found_though_absent), (0, 1, 1));
        assert_eq!(spleen.zoom_in, Means::default());
        assert_eq!((liver.objects, liver.absent, liver.zoom_in.empty, liver.zoom_out.empty), (2, 0, 1, 0));
        assert_eq!((liver.zoom_in.dice, liver.zoom_in.surface_dice), (Some(0.25), Some(0.125)));
        // The liver that was not found has no distance, not a distance of 0.
        assert_eq!((liver.zoom_in.hausdorff95_mm, liver.zoom_out.hausdorff95_mm), (Some(6.0), Some(4.0)));
        assert_eq!(liver.zoom_in.volume_error_relative, Some(-0.75));
        assert_eq!(all.zoom_in, liver.zoom_in);
        assert_eq!((all.objects, all.absent), (2, 1));
        // A Dice of exactly one half has not failed.
        assert_eq!((liver.zoom_in.failed, liver.zoom_out.failed), (1, 2));
        let dice = liver.zoom_in.statistics.dice.expect("two objects");
        assert_eq!((dice.n, dice.median, dice.q3, dice.ci95), (2, 0.25, 0.375, Some([0.0, 0.5])));
        let distance = liver.zoom_in.statistics.hausdorff95_mm.expect("one object");
        assert_eq!((distance.n, distance.sd, distance.ci95), (1, None, None));
    }
}
