//! Records for the tests of this crate.

use segvol::{Precision, Warning, WarningCode};
use segvol_base::ErrorKind;

use crate::record::{Done, Failure, ObjectRecord, Outcome, OutputFile, Record};

pub(crate) fn record(id: &str, outcome: Outcome) -> Record {
    Record {
        id: id.to_owned(),
        path: None,
        settings_sha256: "5e".to_owned(),
        fingerprint: "1".to_owned(),
        host: "node1".to_owned(),
        seconds: 12.25,
        outcome,
    }
}

pub(crate) fn done(id: &str, objects: Vec<ObjectRecord>) -> Record {
    let report = OutputFile { path: format!("{id}/report.json"), sha256: "ab".to_owned() };
    let (outputs, warnings) = (Vec::new(), Vec::new());
    let (scan_sha256, precision, windows) = (format!("sha of {id}"), Precision::Fp32, 7);
    record(id, Outcome::Done(Done { scan_sha256, report, outputs, precision, windows, objects, warnings }))
}

pub(crate) fn failed(id: &str) -> Record {
    let failure = Failure { kind: ErrorKind::Input, error: format!("scan {id:?}: not a scan"), attempts: 1 };
    record(id, Outcome::Failed(failure))
}

pub(crate) fn object(name: &str, label: usize, voxels: u64, volume_ml: f64) -> ObjectRecord {
    ObjectRecord {
        name: name.to_owned(),
        label,
        voxels,
        volume_ml,
        bounding_box_ijk: (voxels > 0).then_some([[1, 2, 3], [11, 12, 13]]),
        voxels_before_postprocessing: None,
        warnings: Vec::new(),
    }
}

/// A scan for each volume of the liver, `s00`, `s01` and so on; a volume of 0 is an empty mask.
pub(crate) fn livers(volumes: &[f64]) -> Vec<Record> {
    let one = |(index, &volume): (usize, &f64)| {
        let voxels = if volume > 0.0 { 5 } else { 0 };
        done(&format!("s{index:02}"), vec![object("liver", 1, voxels, volume)])
    };
    volumes.iter().enumerate().map(one).collect()
}

pub(crate) fn warn_of_scan(record: &mut Record, code: WarningCode) {
    let Outcome::Done(done) = &mut record.outcome else { panic!("{record:?}") };
    done.warnings.push(Warning::new(code, "about the scan"));
}

pub(crate) fn warn_of_object(record: &mut Record, object: usize, code: WarningCode) {
    let Outcome::Done(done) = &mut record.outcome else { panic!("{record:?}") };
    done.objects[object].warnings.push(Warning::new(code, "about the object"));
}
