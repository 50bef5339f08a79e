//! What a cohort holds: how volumes are spread, which of them are strange, what failed.

use std::collections::BTreeMap;

use segvol::WarningCode;
use segvol_base::ErrorKind;
use serde::Serialize;

use crate::distribution::Distribution;
use crate::limits::{Limits, object_names};
use crate::outlier::{Outlier, Scored, is_empty, scored};
use crate::record::{Failure, ObjectRecord, Record};

/// The layout of the JSON.
const SCHEMA_VERSION: u32 = 1;

/// The scans of a cohort and their masks in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The layout of the JSON, 1.
    pub schema_version: u32,
    /// Scans that are done or have failed.
    pub scans: usize,
    /// Scans that are done.
    pub done: usize,
    /// Scans that have failed.
    pub failed: usize,
    /// Seconds that all scans took, added up: more than the time that passed if several ran at once.
    pub seconds: f64,
    /// Seconds of the scans that are done; `None` if there are none.
    pub seconds_of_scan: Option<Distribution>,
    /// Each object, by label and name.
    pub objects: Vec<ObjectSummary>,
    /// Masks whose volume is outside given limits or unlike those of other scans: by object, then by volume.
    pub outliers: Vec<Outlier>,
    /// Empty masks: by object, then by id.
    pub empty: Vec<EmptyMask>,
    /// Scans that failed, for each kind of failure.
    pub failures: Vec<FailureCount>,
    /// Warnings, for each code.
    pub warnings: Vec<WarningCount>,
}

/// One object in all scans that are done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObjectSummary {
    /// Its name.
    pub object: String,
    /// Scans in which it was looked for.
    pub scans: usize,
    /// Of these, scans with an empty mask.
    pub empty: usize,
    /// Volumes of the masks that are not empty, in millilitres; `None` if there are none.
    pub volume_ml: Option<Distribution>,
    /// How many of the volumes are outliers.
    pub outliers: usize,
}

/// A mask without voxels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EmptyMask {
    /// The scan.
    pub id: String,
    /// The object.
    pub object: String,
}

/// Scans that failed for one kind of reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureCount {
    /// The kind.
    pub kind: ErrorKind,
    /// How many scans.
    pub scans: usize,
    /// These scans, by id.
    pub errors: Vec<FailedScan>,
}

/// A scan that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedScan {
    /// The scan.
    pub id: String,
    /// The cause.
    pub error: String,
}

/// Warnings with one code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WarningCount {
    /// The code.
    pub code: WarningCode,
    /// How many warnings, of scans and objects.
    pub warnings: usize,
    /// In how many scans.
    pub scans: usize,
    /// The id of the first of these scans.
    pub first: String,
}

impl Summary {
    /// The summary of these records, which are sorted by id.
    #[must_use]
    pub fn new(records: &[Record], limits: &Limits) -> Self {
        let done = records.iter().filter(|record| record.done().is_some()).count();
        let of_done = records.iter().filter(|record| record.done().is_some()).map(|record| record.seconds);
        let (objects, outliers) = objects(records, limits);
        Self {
            schema_version: SCHEMA_VERSION,
            scans: records.len(),
            done,
            failed: records.len() - done,
            seconds: records.iter().map(|record| record.seconds).sum(),
            seconds_of_scan: Distribution::of(of_done),
            objects,
            outliers,
            empty: empty(records),
            failures: failures(records),
            warnings: warnings(records),
        }
    }

    /// The summary as JSON text.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`], but never in practice: every field can be written as JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}

fn objects(records: &[Record], limits: &Limits) -> (Vec<ObjectSummary>, Vec<Outlier>) {
    let all = scored(records, limits);
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (_, object) in masks(records) {
        let (scans, empty) = counts.entry(&object.name).or_default();
        *scans += 1;
        *empty += usize::from(is_empty(object));
    }
    let (mut objects, mut outliers) = (Vec::new(), Vec::new());
    let mut rest = &all[..];
    for name in object_names(records) {
        let (of_object, others) = rest.split_at(rest.iter().take_while(|mask| mask.object.name == name).count());
        rest = others;
        let mut of_outliers: Vec<Outlier> = of_object.iter().filter_map(Scored::outlier).collect();
        of_outliers.sort_by(|a, b| a.volume_ml.total_cmp(&b.volume_ml).then_with(|| a.id.cmp(&b.id)));
        let (scans, empty) = counts.get(name).copied().unwrap_or_default();
        objects.push(ObjectSummary {
            object: name.to_owned(),
            scans,
            empty,
            volume_ml: Distribution::of(of_object.iter().map(|mask| mask.object.volume_ml)),
            outliers: of_outliers.len(),
        });
        outliers.extend(of_outliers);
    }
    (objects, outliers)
}

fn empty(records: &[Record]) -> Vec<EmptyMask> {
    let mut of_name: BTreeMap<&str, Vec<EmptyMask>> = BTreeMap::new();
    for (record, object) in masks(records).filter(|(_, object)| is_empty(object)) {
        let mask = EmptyMask { id: record.id.clone(), object: object.name.clone() };
        of_name.entry(&object.name).or_default().push(mask);
    }
    object_names(records).into_iter().filter_map(|name| of_name.remove(name)).flatten().collect()
}

fn failures(records: &[Record]) -> Vec<FailureCount> {
    let of_kind = ErrorKind::ALL.map(|kind| {
        let failed = records.iter().filter_map(|record| Some((record, record.failure()?)));
        let of_kind = failed.filter(|(_, failure)| failure.kind == kind);
        let scan =
            |(record, failure): (&Record, &Failure)| FailedScan { id: record.id.clone(), error: failure.error.clone() };
        let errors: Vec<FailedScan> = of_kind.map(scan).collect();
        FailureCount { kind, scans: errors.len(), errors }
    });
    of_kind.into_iter().filter(|count| count.scans > 0).collect()
}

fn warnings(records: &[Record]) -> Vec<WarningCount> {
    let mut counts: BTreeMap<WarningCode, WarningCount> = BTreeMap::new();
    for (record, done) in records.iter().filter_map(|record| Some((record, record.done()?))) {
        let mut of_scan: BTreeMap<WarningCode, usize> = BTreeMap::new();
        for warning in done.warnings.iter().chain(done.objects.iter().flat_map(|object| &object.warnings)) {
            *of_scan.entry(warning.code).or_default() += 1;
        }
        for (code, warnings) in of_scan {
            let new = || WarningCount { code, warnings: 0, scans: 0, first: record.id.clone() };
            let count = counts.entry(code).or_insert_with(new);
            count.warnings += warnings;
            count.scans += 1;
        }
    }
    counts.into_values().collect()
}

fn masks(records: &[Record]) -> impl Iterator<Item = (&Record, &ObjectRecord)> {
    let done = records.iter().filter_map(|record| Some((record, record.done()?)));
    done.flat_map(|(record, done)| done.objects.iter().map(move |object| (record, object)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{done, failed, livers, object, warn_of_object, warn_of_scan};

    #[test]
    fn everything_is_counted() {
        let mut records = vec![
            done("a", vec![object("liver", 1, 5, 1500.0), object("spleen", 2, 0, 0.0)]),
            failed("b"),
            done("c", vec![object("liver", 1, 5, 1700.0)]),
            failed("d"),
        ];
        warn_of_scan(&mut records[0], WarningCode::AffineMissing);
        warn_of_object(&mut records[0], 1, WarningCode::AffineMissing);
        warn_of_object(&mut records[2], 0, WarningCode::AffineMissing);
        warn_of_object(&mut records[2], 0, WarningCode::UnitUnknown);
        let limits = Limits::parse("{\"liver\": [0, 1600]}", &object_names(&records)).expect("limits");
        let found = Summary::new(&records, &limits);
        assert_eq!((found.scans, found.done, found.failed, found.seconds), (4, 2, 2, 49.0));
        assert_eq!(found.seconds_of_scan.map(|of| (of.n, of.median)), Some((2, 12.25)));
        let [liver, spleen] = &found.objects[..] else { panic!("{:?}", found.objects) };
        assert_eq!((liver.object.as_str(), liver.scans, liver.empty, liver.outliers), ("liver", 2, 0, 1));
        assert_eq!(liver.volume_ml.map(|of| (of.n, of.min, of.median, of.max)), Some((2, 1500.0, 1600.0, 1700.0)));
        assert_eq!((spleen.object.as_str(), spleen.scans, spleen.empty, spleen.volume_ml), ("spleen", 1, 1, None));
        assert_eq!(found.empty, [EmptyMask { id: "a".to_owned(), object: "spleen".to_owned() }]);
        assert_eq!(found.outliers.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["c"]);
        let [failures] = &found.failures[..] else { panic!("{:?}", found.failures) };
        assert_eq!((failures.kind, failures.scans), (ErrorKind::Input, 2));
        let FailedScan { id, error } = &failures.errors[1];
        assert_eq!((id.as_str(), error.as_str()), ("d", "scan \"d\": not a scan"));
        let counts = |count: &WarningCount| (count.code, count.warnings, count.scans, count.first.clone());
        assert_eq!(
            found.warnings.iter().map(counts).collect::<Vec<_>>(),
            [(WarningCode::AffineMissing, 3, 2, "a".to_owned()), (WarningCode::UnitUnknown, 1, 1, "c".to_owned())]
        );
    }

    #[test]
    fn empty_masks_are_in_no_quantile() {
        let mut volumes = vec![100.0, 200.0, 300.0, 400.0];
        let plain = Summary::new(&livers(&volumes), &Limits::default());
        volumes.extend([0.0; 5]);
        let found = Summary::new(&livers(&volumes), &Limits::default());
        assert_eq!(found.objects[0].volume_ml, plain.objects[0].volume_ml);
        assert_eq!((found.objects[0].scans, found.objects[0].empty, found.empty.len()), (9, 5, 5));
        assert_eq!(plain.empty, []);
    }

    #[test]
    fn outliers_of_an_object_are_sorted_by_volume() {
        let mut volumes = [1000.0; 12];
        (volumes[2], volumes[7]) = (1.0, 0.5);
        let found = Summary::new(&livers(&volumes), &Limits::default());
        assert_eq!(found.outliers.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["s07", "s02"]);
    }

    #[test]
    fn nothing_has_a_summary_too() {
        let found = Summary::new(&[], &Limits::default());
        assert_eq!((found.scans, found.seconds, found.objects.len()), (0, 0.0, 0));
        let json: serde_json::Value = serde_json::from_str(&found.to_json().expect("JSON")).expect("JSON");
        assert_eq!((&json["schema_version"], &json["seconds_of_scan"]), (&1.into(), &serde_json::Value::Null));
    }

    #[test]
    fn json_has_the_names_of_the_fields() {
        let records = [livers(&[1200.0]), vec![failed("z")]].concat();
        let limits = Limits::parse("{\"liver\": [0, 1]}", &["liver"]).expect("limits");
        let text = Summary::new(&records, &limits).to_json().expect("JSON");
        let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(found["objects"][0]["volume_ml"]["median"], 1200.0);
        assert_eq!(
            (&found["failures"][0]["kind"], &found["failures"][0]["errors"][0]["id"]),
            (&"input".into(), &"z".into())
        );
        assert_eq!(found["outliers"][0]["outside"][1], 1.0);
        assert_eq!(found["outliers"][0].get("score"), None);
    }
}
