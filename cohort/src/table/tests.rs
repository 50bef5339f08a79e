use segvol::WarningCode;

use super::*;
use crate::record::Outcome;
use crate::testing::{done, failed, object, warn_of_object, warn_of_scan};

/// Scans that are not sorted, with everything that a cell can have.
fn records() -> Vec<Record> {
    let mut liver = object("=liver, \"big\"", 2, 123_456_789_012, 0.1 + 0.2);
    liver.voxels_before_postprocessing = Some(0);
    let mut first = done("scan 2", vec![liver, object("spleen", 1, 0, 0.0)]);
    warn_of_scan(&mut first, WarningCode::AffineMissing);
    warn_of_object(&mut first, 0, WarningCode::UnitUnknown);
    warn_of_object(&mut first, 0, WarningCode::SpacingConflict);
    let mut fault = failed("-1\n2");
    let Outcome::Failed(failure) = &mut fault.outcome else { panic!("{fault:?}") };
    failure.error = "@SUM(A1)".to_owned();
    let mut other = done("'+é", vec![object("'organ", 1, 7, 1e-7), object("ＬＩＶＥＲ＝", 3, 8, 1.0 / 3.0)]);
    other.host = String::new();
    other.seconds = 1e21;
    vec![first, fault, other, done("nothing", Vec::new())]
}

/// A table as texts.
type Lines = Vec<Vec<Option<String>>>;

fn read_csv(path: &Path) -> (Vec<String>, Lines) {
    let mut reader = ::csv::Reader::from_path(path).expect("a file");
    let names = reader.headers().expect("names").iter().map(str::to_owned).collect();
    let value = |cell: &str| (!cell.is_empty()).then(|| cell.to_owned());
    let lines = reader.records().map(|line| line.expect("a line").iter().map(value).collect()).collect();
    (names, lines)
}

fn column(name: &str) -> usize {
    COLUMNS.iter().position(|column| column.name == name).expect("a column")
}

/// What the table must have, in the writing of CSV.
fn expected() -> Vec<Vec<(&'static str, &'static str)>> {
    let of_scan =
        [("windows", "7"), ("precision", "fp32"), ("seconds", "12.25"), ("host", "node1"), ("status", "done")];
    let with = |more: &[(&'static str, &'static str)]| {
        let mut cells = more.to_vec();
        cells.extend(of_scan.iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name)));
        cells.retain(|(_, value)| !value.is_empty());
        cells
    };
    let corners = [("i0", "1"), ("j0", "2"), ("k0", "3"), ("i1", "11"), ("j1", "12"), ("k1", "13")];
    let boxed = |more: &[(&'static str, &'static str)]| with(&[more, &corners[..]].concat());
    let huge = ("seconds", "1000000000000000000000");
    vec![
        boxed(&[
            ("id", "''+é"),
            ("object", "'organ"),
            ("label", "1"),
            ("voxels", "7"),
            ("volume_ml", "0.0000001"),
            ("host", ""),
            huge,
            ("scan_sha256", "sha of '+é"),
        ]),
        boxed(&[
            ("id", "''+é"),
            ("object", "ＬＩＶＥＲ＝"),
            ("label", "3"),
            ("voxels", "8"),
            ("volume_ml", "0.3333333333333333"),
            ("host", ""),
            huge,
            ("scan_sha256", "sha of '+é"),
        ]),
        vec![
            ("id", "'-1\\n2"),
            ("status", "failed"),
            ("seconds", "12.25"),
            ("host", "node1"),
            ("error_kind", "input"),
            ("error", "'@SUM(A1)"),
        ],
        with(&[("id", "nothing"), ("scan_sha256", "sha of nothing")]),
        with(&[
            ("id", "scan 2"),
            ("object", "spleen"),
            ("label", "1"),
            ("voxels", "0"),
            ("volume_ml", "0"),
            ("warnings", "affine_missing"),
            ("scan_sha256", "sha of scan 2"),
        ]),
        boxed(&[
            ("id", "scan 2"),
            ("object", "'=liver, \"big\""),
            ("label", "2"),
            ("voxels", "123456789012"),
            ("volume_ml", "0.30000000000000004"),
            ("voxels_before_postprocessing", "0"),
            ("warnings", "affine_missing;unit_unknown;spacing_conflict"),
            ("scan_sha256", "sha of scan 2"),
        ]),
    ]
}

#[test]
fn csv_has_a_row_for_each_object_and_no_formulas() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("table.csv");
    save(&records(), Format::Csv, &path).expect("written");
    let (names, lines) = read_csv(&path);
    assert_eq!(names, COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>());
    assert_eq!(lines.len(), expected().len());
    for (line, expected) in lines.iter().zip(expected()) {
        for (index, cell) in line.iter().enumerate() {
            let name = COLUMNS[index].name;
            let value = expected.iter().find(|(of, _)| *of == name).map(|(_, value)| *value);
            assert_eq!(cell.as_deref(), value, "{name} of {line:?}");
        }
    }
    let number = |name: &str| lines[5][column(name)].as_ref().expect("a number").parse::<f64>().expect("a number");
    assert_eq!(number("volume_ml"), 0.1 + 0.2);
    assert_eq!(lines[0][column("seconds")].as_ref().expect("a number").parse(), Ok(1e21));
}

#[test]
fn the_order_of_the_records_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = |records: &[Record]| {
        let path = folder.path().join("table.csv");
        save(records, Format::Csv, &path).expect("written");
        std::fs::read(&path).expect("read")
    };
    let mut turned = records();
    turned.reverse();
    assert_eq!(written(&turned), written(&records()));
    let names = COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>().join(",");
    assert_eq!(String::from_utf8(written(&[])).expect("UTF-8"), format!("{names}\n"), "no scan is a table, too");
}

#[test]
fn a_table_that_cannot_be_written_leaves_the_old_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("missing").join("table.csv");
    save(&records(), Format::Csv, &path).expect_err("no folder");
    #[cfg(unix)]
    {
        let error = save(&records(), Format::Csv, Path::new("/dev/full")).expect_err("the disk is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

#[test]
fn names_choose_the_format() {
    assert_eq!(Format::of_name(Path::new("a/T.CSV")), Some(Format::Csv));
    assert_eq!(Format::of_name(Path::new("table.tsv")), None);
    assert_eq!(Format::of_name(Path::new("csv")), None);
    #[cfg(feature = "parquet")]
    assert_eq!(Format::of_name(Path::new("table.Parquet")), Some(Format::Parquet));
}

/// Parquet has the values of CSV, without the `'` of formulas.
#[cfg(feature = "parquet")]
#[test]
fn parquet_has_the_same_columns_types_and_values() {
    use ::parquet::basic::Type as Physical;
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    use ::parquet::record::Field;

    let folder = tempfile::tempdir().expect("a folder");
    let [csv, path] = ["table.csv", "table.parquet"].map(|name| folder.path().join(name));
    save(&records(), Format::Csv, &csv).expect("written");
    save(&records(), Format::Parquet, &path).expect("written");
    let reader = SerializedFileReader::new(std::fs::File::open(&path).expect("a file")).expect("Parquet");
    let schema = reader.metadata().file_metadata().schema_descr();
    assert_eq!(schema.num_columns(), COLUMNS.len());
    for (found, column) in schema.columns().iter().zip(&COLUMNS) {
        let physical = match column.kind {
            Kind::Text => Physical::BYTE_ARRAY,
            Kind::Whole => Physical::INT64,
            Kind::Real => Physical::DOUBLE,
        };
        assert_eq!((found.name(), found.physical_type()), (column.name, physical));
    }
    let written = |field: &Field| match field {
        Field::Null => None,
        Field::Str(text) if text.trim_start_matches('\'').starts_with(['=', '+', '-', '@']) => Some(format!("'{text}")),
        Field::Str(text) => Some(text.clone()),
        Field::Long(number) => Some(number.to_string()),
        Field::Double(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    };
    let rows = reader.get_row_iter(None).expect("rows");
    let rows = rows.map(|row| row.expect("a row").get_column_iter().map(|(_, field)| written(field)).collect());
    assert_eq!(rows.collect::<Lines>(), read_csv(&csv).1);
}

/// A file has several groups of rows, if there are many.
#[cfg(feature = "parquet")]
#[test]
fn many_rows_are_read_back_in_order() {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    use ::parquet::record::RowAccessor as _;

    let scans = 600;
    let objects = || (0..117).map(|n| object(&format!("o{n}"), n + 1, 5, n as f64)).collect();
    let records: Vec<Record> = (0..scans).map(|n| done(&format!("{n:04}"), objects())).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("table.parquet");
    save(&records, Format::Parquet, &path).expect("written");
    let reader = SerializedFileReader::new(std::fs::File::open(&path).expect("a file")).expect("Parquet");
    assert_eq!(reader.num_row_groups(), 2);
    let mut count = 0;
    for (index, row) in reader.get_row_iter(None).expect("rows").enumerate() {
        let row = row.expect("a row");
        assert_eq!(row.get_string(0).expect("an id"), &format!("{:04}", index / 117));
        assert_eq!(row.get_long(column("label")).expect("a label"), (index % 117 + 1) as i64);
        count += 1;
    }
    assert_eq!(count, scans * 117);
    save(&[], Format::Parquet, &path).expect("written");
    let reader = SerializedFileReader::new(std::fs::File::open(&path).expect("a file")).expect("Parquet");
    assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
}
