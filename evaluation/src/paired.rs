//! Paired comparisons: two scores of the same object, by two settings, bundles, prompts or passes.
//!
//! An object is in a comparison only if it has both scores. Differences are the second minus the first; what counts as better
//! follows from the figure.

use std::collections::BTreeMap;

use segvol::metrics::Scores;
use serde::Serialize;

use crate::figure::Figure;
use crate::labels;
use crate::prompts::Kind;
use crate::results::{Results, Row};
use crate::statistics::{Sample, Wilcoxon, holm, interval, wilcoxon};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The final masks with those of the zoom-out pass alone.
    Zoom,
    /// Kinds of prompts with each other.
    Prompts,
    /// Results of several settings or files with the first.
    Settings,
    /// The masks of another bundle with these.
    Against,
}

/// Two scores of each object, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What is compared.
    pub by: By,
    /// The results that both come from, if there are several; else `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// The first.
    pub a: String,
    /// The second.
    pub b: String,
    /// A table for each figure.
    pub tables: Vec<Table>,
    /// Objects that only one of two results has, or whose truth differs; each with its case.
    #[serde(skip_serializing_if = "Unpaired::is_empty")]
    pub unpaired: Unpaired,
}

/// The comparison of one figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// The figure.
    pub figure: Figure,
    /// One group per structure (ordered by value) and kind of prompt, then one per kind of prompt for all structures.
    pub groups: Vec<Paired>,
}

/// The comparison over objects of one structure, or of all, with one kind of prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paired {
    /// The structure; `None` for all together.
    pub structure: Option<String>,
    /// How it was asked for; `None` if kinds of prompts are compared.
    pub prompt: Option<Kind>,
    /// Objects with both figures.
    pub objects: usize,
    /// Cases that they are in.
    pub cases: usize,
    /// Mean of the first over these objects.
    pub mean_a: f64,
    /// Mean of the second.
    pub mean_b: f64,
    /// Mean of the second minus the first.
    pub mean_difference: f64,
    /// 95 % bootstrap interval of this mean, over cases; `None` with fewer than two cases.
    pub ci95: Option<[f64; 2]>,
    /// Objects for which the second is better.
    pub better: usize,
    /// Objects for which it is worse.
    pub worse: usize,
    /// Objects for which both are equal.
    pub equal: usize,
    /// The signed-rank test of the cases' mean differences; `None` if all are 0.
    pub wilcoxon: Option<Wilcoxon>,
    /// Its p-value after Holm's correction for all tests of the table.
    pub p_holm: Option<f64>,
}

/// Objects that cannot be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unpaired {
    /// Only the first has them.
    pub only_a: Vec<String>,
    /// Only the second has them.
    pub only_b: Vec<String>,
    /// Their truths have different numbers of voxels.
    pub other_truth: Vec<String>,
}

impl Unpaired {
    /// Whether every object can be compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty() && self.other_truth.is_empty()
    }
}

/// Two scores of one object.
struct Pair<'a> {
    case: &'a str,
    structure: &'a str,
    value: u16,
    prompt: Option<Kind>,
    a: Scores,
    b: Scores,
}

/// The final masks with those of the zoom-out pass alone. `None` if there was no zoom-in pass, or no object.
#[must_use]
pub fn zoom(results: &Results, within: Option<&str>) -> Option<Comparison> {
    let pairs: Vec<Pair<'_>> =
        objects(results).map(|(case, row)| pair(case, row, Some(row.prompt), row.zoom_out, row.zoom_in)).collect();
    if !results.header.zoom_in || pairs.is_empty() {
        return None;
    }
    let (a, b) = ("zoom-out alone".to_owned(), "zoom-in".to_owned());
    Some(Comparison::of(By::Zoom, within, [a, b], &pairs, &Figure::COMPARED))
}

/// Every kind of prompt with every other, over the objects that were asked for with all kinds.
#[must_use]
pub fn prompts(results: &Results, within: Option<&str>) -> Vec<Comparison> {
    let mut of_object: BTreeMap<(&str, &str), BTreeMap<Kind, &Row>> = BTreeMap::new();
    for (case, row) in objects(results) {
        of_object.entry((case, &row.structure)).or_default().insert(row.prompt, row);
    }
    let kinds = &results.header.settings.prompts;
    let whole: Vec<_> = of_object.into_iter().filter(|(_, rows)| rows.len() == kinds.len()).collect();
    let mut comparisons = Vec::new();
    for (index, a) in kinds.iter().enumerate() {
        for b in &kinds[index + 1..] {
            let both = whole.iter().filter_map(|((case, _), rows)| Some((*case, *rows.get(a)?, *rows.get(b)?)));
            let pairs: Vec<_> = both.map(|(case, a, b)| pair(case, a, None, a.zoom_in, b.zoom_in)).collect();
            if !pairs.is_empty() {
                let names = [a, b].map(ToString::to_string);
                comparisons.push(Comparison::of(By::Prompts, within, names, &pairs, &Figure::COMPARED));
            }
        }
    }
    comparisons
}

/// Dice of the other bundle's masks with that of these. `None` without another bundle, or without objects.
#[must_use]
pub fn against(results: &Results, within: Option<&str>) -> Option<Comparison> {
    let pairs = objects(results).filter_map(|(case, row)| {
        let other = Scores { dice: row.against?.truth_dice, ..row.zoom_in };
        Some(pair(case, row, Some(row.prompt), row.zoom_in, other))
    });
    let pairs: Vec<Pair<'_>> = pairs.collect();
    let names = ["this bundle".to_owned(), "the other bundle".to_owned()];
    (!pairs.is_empty()).then(|| Comparison::of(By::Against, within, names, &pairs, &[Figure::Dice]))
}

/// The final masks of `b` with those of `a`, object by object. The surface Dice is compared only at one tolerance.
#[must_use]
pub fn results(a: (&str, &Results), b: (&str, &Results)) -> Comparison {
    type Key<'a> = (&'a str, &'a str, Kind);
    fn keyed<'a>(results: &'a Results) -> BTreeMap<Key<'a>, &'a Row> {
        results.rows().map(|(case, row)| ((case, row.structure.as_str(), row.prompt), row)).collect()
    }
    let said = |(case, structure, prompt): &Key<'_>| format!("case {case:?}, {structure} by {prompt}");
    let (of_a, of_b) = (keyed(a.1), keyed(b.1));
    let only = |these: &BTreeMap<Key<'_>, &Row>, those: &BTreeMap<Key<'_>, &Row>| -> Vec<String> {
        these.keys().filter(|key| !those.contains_key(*key)).map(said).collect()
    };
    let mut unpaired = Unpaired { only_a: only(&of_a, &of_b), only_b: only(&of_b, &of_a), other_truth: Vec::new() };
    let mut pairs = Vec::new();
    // In the order of the rows, as within one result: sums are the same to the last digit.
    for (case, first) in a.1.rows() {
        let key = (case, first.structure.as_str(), first.prompt);
        let Some(second) = of_b.get(&key) else { continue };
        if first.truth_voxels != second.truth_voxels {
            unpaired.other_truth.push(said(&key));
        } else if first.truth_voxels > 0 {
            pairs.push(pair(case, first, Some(first.prompt), first.zoom_in, second.zoom_in));
        }
    }
    let figures: Vec<Figure> = Figure::COMPARED
        .into_iter()
        .filter(|figure| *figure != Figure::SurfaceDice || tolerance(a.1) == tolerance(b.1))
        .collect();
    let names = [a.0.to_owned(), b.0.to_owned()];
    Comparison { unpaired, ..Comparison::of(By::Settings, None, names, &pairs, &figures) }
}

/// All comparisons of these kinds that the results allow, in the order of the kinds.
#[must_use]
pub fn all(all: &[Results], kinds: &[By]) -> Vec<Comparison> {
    let named = labels::of(all);
    let several = all.len() > 1;
    let each = || all.iter().zip(&named).map(|(one, name)| (one, several.then_some(name.as_str())));
    let mut comparisons = Vec::new();
    for kind in kinds {
        match kind {
            By::Zoom => comparisons.extend(each().filter_map(|(one, within)| zoom(one, within))),
            By::Prompts => comparisons.extend(each().flat_map(|(one, within)| prompts(one, within))),
            By::Against => comparisons.extend(each().filter_map(|(one, within)| against(one, within))),
            By::Settings => {
                let mut named = named.iter().map(String::as_str).zip(all);
                if let Some(first) = named.next() {
                    comparisons.extend(named.map(|other| results(first, other)));
                }
            }
        }
    }
    // Without known masks there is nothing to compare.
    comparisons.retain(|one| !one.is_empty() || !one.unpaired.is_empty());
    comparisons
}

fn tolerance(results: &Results) -> f64 {
    results.header.settings.tolerance_mm
}

fn objects(results: &Results) -> impl Iterator<Item = (&str, &Row)> {
    results.rows().filter(|(_, row)| row.truth_voxels > 0)
}

fn pair<'a>(case: &'a str, row: &'a Row, prompt: Option<Kind>, a: Scores, b: Scores) -> Pair<'a> {
    Pair { case, structure: &row.structure, value: row.value, prompt, a, b }
}

impl Comparison {
    fn of(by: By, within: Option<&str>, [a, b]: [String; 2], pairs: &[Pair<'_>], figures: &[Figure]) -> Self {
        let tables = figures.iter().map(|&figure| Table::of(figure, pairs)).collect();
        Self { by, within: within.map(str::to_owned), a, b, tables, unpaired: Unpaired::default() }
    }

    /// Whether no object has both scores.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.groups.is_empty())
    }
}

impl Table {
    fn of(figure: Figure, pairs: &[Pair<'_>]) -> Self {
        let mut values: BTreeMap<&str, u16> = BTreeMap::new();
        for pair in pairs {
            let value = values.entry(pair.structure).or_insert(pair.value);
            *value = pair.value.min(*value);
        }
        let mut structures: Vec<(u16, &str)> = values.into_iter().map(|(name, value)| (value, name)).collect();
        structures.sort_unstable();
        let mut kinds: Vec<Option<Kind>> = pairs.iter().map(|pair| pair.prompt).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let of = |structure: Option<&str>| {
            let of_kind = |&kind: &Option<Kind>| {
                let chosen = pairs
                    .iter()
                    .filter(|pair| pair.prompt == kind && structure.is_none_or(|name| pair.structure == name));
                Paired::of(structure, kind, figure, chosen)
            };
            kinds.iter().filter_map(of_kind).collect::<Vec<_>>()
        };
        let mut groups: Vec<Paired> = structures.into_iter().flat_map(|(_, name)| of(Some(name))).collect();
        groups.extend(of(None));
        let tested: Vec<usize> = (0..groups.len()).filter(|&index| groups[index].wilcoxon.is_some()).collect();
        let p_values: Vec<f64> = tested.iter().filter_map(|&index| Some(groups[index].wilcoxon?.p)).collect();
        for (index, p) in tested.into_iter().zip(holm(&p_values)) {
            groups[index].p_holm = Some(p);
        }
        Self { figure, groups }
    }
}

impl Paired {
    fn of<'a>(
        structure: Option<&str>,
        prompt: Option<Kind>,
        figure: Figure,
        pairs: impl Iterator<Item = &'a Pair<'a>>,
    ) -> Option<Self> {
        let mut cases: BTreeMap<&str, usize> = BTreeMap::new();
        let mut samples: Vec<(usize, f64, f64)> = Vec::new();
        for pair in pairs {
            let (Some(a), Some(b)) = (figure.of(&pair.a), figure.of(&pair.b)) else { continue };
            let count = cases.len();
            samples.push((*cases.entry(pair.case).or_insert(count), a, b));
        }
        if samples.is_empty() {
            return None;
        }
        let objects = samples.len();
        let mean = |of: fn(&(usize, f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / objects as f64;
        let differences: Vec<Sample> = samples.iter().map(|&(case, a, b)| (case, b - a)).collect();
        let gain = |difference: f64| if figure.smaller_is_better() { -difference } else { difference };
        let count = |test: fn(f64) -> bool| differences.iter().filter(|(_, value)| test(gain(*value))).count();
        let mut of_cases = vec![(0.0, 0.0); cases.len()];
        for &(case, difference) in &differences {
            of_cases[case].0 += difference;
            of_cases[case].1 += 1.0;
        }
        let of_cases: Vec<f64> = of_cases.into_iter().map(|(sum, count)| sum / count).collect();
        Some(Self {
            structure: structure.map(str::to_owned),
            prompt,
            objects,
            cases: cases.len(),
            mean_a: mean(|sample| sample.1),
            mean_b: mean(|sample| sample.2),
            mean_difference: differences.iter().map(|(_, value)| value).sum::<f64>() / objects as f64,
            ci95: interval(&differences),
            better: count(|gain| gain > 0.0),
            worse: count(|gain| gain < 0.0),
            equal: count(|gain| gain == 0.0),
            wilcoxon: wilcoxon(&of_cases),
            p_holm: None,
        })
    }
}
