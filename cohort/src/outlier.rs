//! Volumes that are unlike those of other scans, or outside limits.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::distribution::median;
use crate::limits::{Limits, object_names};
use crate::record::{ObjectRecord, Record};

/// A volume is an outlier if its score is above this, in either direction.
///
/// # Source
/// B. Iglewicz and D. Hoaglin, "How to Detect and Handle Outliers", ASQC Quality Press (1993): the modified z-score.
pub const OUTLYING: f64 = 3.5;

/// An object's volumes have scores from this number of masks on. With fewer, the spread is not known.
pub const LEAST_MASKS: usize = 8;

/// The standard deviation of a normal distribution, divided by its median absolute deviation: 1 / Φ⁻¹(3/4).
const SD_OF_MAD: f64 = 1.4826;

/// No volume within this share of the median is an outlier. Where more than half of the masks have one volume, as in copies of a scan,
/// the median absolute deviation is 0, and without this every other volume would be an outlier.
const ALIKE: f64 = 0.01;

/// A mask whose volume is unlike those of other scans, or outside limits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlier {
    /// The scan.
    pub id: String,
    /// The object.
    pub object: String,
    /// Its volume in millilitres.
    pub volume_ml: f64,
    /// The limits that were given, in millilitres, if the volume is outside of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<[f64; 2]>,
    /// How far the volume's logarithm is from the median of all scans, in robust standard deviations, if that is above
    /// [`OUTLYING`]; negative below the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

impl Outlier {
    /// What is strange about it, in words.
    #[must_use]
    pub fn reason(&self) -> String {
        let limit =
            self.outside.map(
                |[low, high]| {
                    if self.volume_ml < low { format!("below {low} mL") } else { format!("above {high} mL") }
                },
            );
        let score = self.score.map(|score| {
            let side = if score < 0.0 { "below" } else { "above" };
            format!("{:.1} robust SD {side} the median", score.abs())
        });
        limit.into_iter().chain(score).collect::<Vec<_>>().join(", ")
    }
}

/// A mask that is not empty, with its score and the limits that it is outside of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scored<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'a ObjectRecord,
    /// 0 at the median, positive above; `None` if there are too few masks.
    pub(crate) score: Option<f64>,
    pub(crate) outside: Option<[f64; 2]>,
}

impl Scored<'_> {
    /// The outlier, if it is one.
    pub(crate) fn outlier(&self) -> Option<Outlier> {
        let score = self.score.filter(|score| score.abs() > OUTLYING);
        let (id, object) = (self.id.to_owned(), self.object.name.clone());
        let outlier = Outlier { id, object, volume_ml: self.object.volume_ml, outside: self.outside, score };
        (score.is_some() || self.outside.is_some()).then_some(outlier)
    }
}

/// The masks of a cohort that are not empty: by object in the order of [`object_names`], then in the order of the records.
pub(crate) fn scored<'a>(records: &'a [Record], limits: &Limits) -> Vec<Scored<'a>> {
    let mut of_name: BTreeMap<&str, Vec<(&str, &ObjectRecord)>> = BTreeMap::new();
    for (record, done) in records.iter().filter_map(|record| Some((record, record.done()?))) {
        for object in done.objects.iter().filter(|object| !is_empty(object)) {
            of_name.entry(&object.name).or_default().push((&record.id, object));
        }
    }
    let mut all = Vec::new();
    for name in object_names(records) {
        let Some(masks) = of_name.remove(name) else { continue };
        let volumes: Vec<f64> = masks.iter().map(|(_, object)| object.volume_ml).collect();
        let limits = limits.of(name);
        all.extend(masks.into_iter().zip(scores(&volumes)).map(|((id, object), score)| {
            let outside = limits.filter(|[low, high]| !(*low..=*high).contains(&object.volume_ml));
            Scored { id, object, score, outside }
        }));
    }
    all
}

/// Whether a mask has no volume.
pub(crate) fn is_empty(object: &ObjectRecord) -> bool {
    object.voxels == 0 || object.volume_ml <= 0.0
}

/// The distance of each volume's logarithm from their median, in robust standard deviations.
fn scores(volumes: &[f64]) -> Vec<Option<f64>> {
    if volumes.len() < LEAST_MASKS {
        return vec![None; volumes.len()];
    }
    let logarithms: Vec<f64> = volumes.iter().map(|volume| volume.ln()).collect();
    let middle = median(logarithms.iter().copied());
    let spread = SD_OF_MAD * median(logarithms.iter().map(|logarithm| (logarithm - middle).abs()));
    let spread = spread.max((1.0 + ALIKE).ln() / OUTLYING);
    logarithms.iter().map(|logarithm| Some((logarithm - middle) / spread)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::livers;

    const VOLUMES: [f64; 10] = [1500.0, 1400.0, 1620.0, 1710.0, 1350.0, 1580.0, 1490.0, 12.0, 1660.0, 5200.0];

    /// Expected values: NumPy 2.4.6, `(log(v) - median(log(v))) / (1.4826 * median(abs(log(v) - median(log(v)))))`.
    const SCORES: [f64; 10] = [
        -0.20573711306935621,
        -0.7520983725444698,
        0.40372485683290316,
        0.8318884405900212,
        -1.040097283810245,
        0.20573711306936324,
        -0.25870786079906,
        -38.44162319519007,
        0.5968831464087208,
        9.639233263467332,
    ];

    fn outliers(volumes: &[f64], limits: &str) -> Vec<Outlier> {
        let limits = Limits::parse(limits, &["liver"]).expect("limits");
        scored(&livers(volumes), &limits).iter().filter_map(Scored::outlier).collect()
    }

    fn ids(outliers: &[Outlier]) -> Vec<&str> {
        outliers.iter().map(|outlier| outlier.id.as_str()).collect()
    }

    #[test]
    fn scores_are_robust() {
        for (found, expected) in scores(&VOLUMES).into_iter().zip(SCORES) {
            let found = found.expect("a score");
            assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found}, not {expected}");
        }
        let found = outliers(&VOLUMES, "{}");
        assert_eq!(ids(&found), ["s07", "s09"]);
        assert_eq!(found[0].reason(), "38.4 robust SD below the median");
        assert_eq!(found[1].reason(), "9.6 robust SD above the median");
    }

    #[test]
    fn few_masks_have_no_score() {
        let seven = &VOLUMES[1..8];
        assert_eq!(ids(&outliers(seven, "{}")), Vec::<&str>::new());
        assert_eq!(ids(&outliers(&VOLUMES[..8], "{}")), ["s07"]);
        // An empty mask is none of the eight, and no outlier.
        let with_empty: Vec<f64> = seven.iter().copied().chain([0.0]).collect();
        assert_eq!(ids(&outliers(&with_empty, "{\"liver\": [5, 9000]}")), Vec::<&str>::new());
    }

    #[test]
    fn limits_hold_for_any_number_of_masks() {
        let found = outliers(&[499.9, 500.0, 3000.0, 3000.5], "{\"liver\": [500, 3000]}");
        assert_eq!(ids(&found), ["s00", "s03"]);
        assert_eq!(found[0].reason(), "below 500 mL");
        assert_eq!(found[1].reason(), "above 3000 mL");
        assert_eq!((found[0].outside, found[0].score), (Some([500.0, 3000.0]), None));
        let both = outliers(&VOLUMES, "{\"liver\": [500, 3000]}");
        assert_eq!(both[1].reason(), "above 3000 mL, 9.6 robust SD above the median");
    }

    #[test]
    fn equal_volumes_make_no_outliers_of_their_neighbours() {
        let mut volumes = [200.0; 12];
        assert_eq!(ids(&outliers(&volumes, "{}")), Vec::<&str>::new());
        (volumes[3], volumes[5], volumes[8]) = (201.9, 202.1, 150.0);
        assert_eq!(ids(&outliers(&volumes, "{}")), ["s05", "s08"]);
    }
}
