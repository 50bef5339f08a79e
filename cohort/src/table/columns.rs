//! The columns of a table, and its rows.

use std::borrow::Cow;

use segvol::Warning;
use segvol_base::printable;

use crate::record::{Done, Failure, ObjectRecord, Record};

/// What a column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// A whole number, 0 or more, in 64 bits.
    Whole,
    /// A floating-point number of 64 bits.
    Real,
}

/// A column.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it has.
    pub kind: Kind,
    /// Whether every row has a value.
    pub is_complete: bool,
    pub(super) cell: for<'a> fn(&Row<'a>) -> Cell<'a>,
}

/// A row: a scan with one of its objects, or alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    record: &'a Record,
    object: Option<&'a ObjectRecord>,
}

/// A value; of the kind of its column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Empty,
    Text(Cow<'a, str>),
    Whole(u64),
    Real(f64),
}

const fn text(name: &'static str, cell: for<'a> fn(&Row<'a>) -> Cell<'a>) -> Column {
    Column { name, kind: Kind::Text, is_complete: false, cell }
}

const fn whole(name: &'static str, cell: for<'a> fn(&Row<'a>) -> Cell<'a>) -> Column {
    Column { name, kind: Kind::Whole, is_complete: false, cell }
}

const fn real(name: &'static str, cell: for<'a> fn(&Row<'a>) -> Cell<'a>) -> Column {
    Column { name, kind: Kind::Real, is_complete: false, cell }
}

const fn complete(column: Column) -> Column {
    Column { is_complete: true, ..column }
}

/// All columns, in the order of the table.
///
/// | column | what |
/// |---|---|
/// | `id`, `status` | the scan; `done` or `failed` |
/// | `object`, `label` | the object's name, and its value in a label map |
/// | `voxels`, `volume_ml` | of the object's own mask |
/// | `i0`, `j0`, `k0`, `i1`, `j1`, `k1` | its first and last voxel along the file's axes, both inclusive; empty for an empty mask |
/// | `voxels_before_postprocessing` | empty if there was none |
/// | `windows`, `precision` | windows that were encoded for the scan; the precision that ran |
/// | `seconds`, `host` | of the scan, with all its objects |
/// | `warnings` | the codes with `;` between them: the scan's, then the object's |
/// | `scan_sha256` | of the scan's voxels, shape and affine |
/// | `error_kind`, `error` | of a scan that failed |
pub static COLUMNS: [Column; 21] = [
    complete(text("id", |row| shown(&row.record.id))),
    complete(text("status", |row| shown(if row.record.done().is_some() { "done" } else { "failed" }))),
    text("object", |row| row.of_object(|object| shown(&object.name))),
    whole("label", |row| row.of_object(|object| Cell::Whole(object.label as u64))),
    whole("voxels", |row| row.of_object(|object| Cell::Whole(object.voxels))),
    real("volume_ml", |row| row.of_object(|object| Cell::Real(object.volume_ml))),
    whole("i0", |row| row.corner(0, 0)),
    whole("j0", |row| row.corner(0, 1)),
    whole("k0", |row| row.corner(0, 2)),
    whole("i1", |row| row.corner(1, 0)),
    whole("j1", |row| row.corner(1, 1)),
    whole("k1", |row| row.corner(1, 2)),
    whole("voxels_before_postprocessing", |row| {
        row.of_object(|object| object.voxels_before_postprocessing.map_or(Cell::Empty, Cell::Whole))
    }),
    whole("windows", |row| row.of_done(|done| Cell::Whole(done.windows as u64))),
    text("precision", |row| row.of_done(|done| shown(done.precision.name()))),
    complete(real("seconds", |row| Cell::Real(row.record.seconds))),
    text("host", |row| shown(&row.record.host)),
    text("warnings", |row| codes(row.warnings())),
    text("scan_sha256", |row| row.of_done(|done| shown(&done.scan_sha256))),
    text("error_kind", |row| row.of_failure(|failure| shown(failure.kind.name()))),
    text("error", |row| row.of_failure(|failure| shown(&failure.error))),
];

impl<'a> Row<'a> {
    fn of_object(&self, cell: impl FnOnce(&'a ObjectRecord) -> Cell<'a>) -> Cell<'a> {
        self.object.map_or(Cell::Empty, cell)
    }

    fn of_done(&self, cell: impl FnOnce(&'a Done) -> Cell<'a>) -> Cell<'a> {
        self.record.done().map_or(Cell::Empty, cell)
    }

    fn of_failure(&self, cell: impl FnOnce(&'a Failure) -> Cell<'a>) -> Cell<'a> {
        self.record.failure().map_or(Cell::Empty, cell)
    }

    fn corner(&self, end: usize, axis: usize) -> Cell<'a> {
        self.of_object(|object| object.bounding_box_ijk.map_or(Cell::Empty, |ends| Cell::Whole(ends[end][axis] as u64)))
    }

    fn warnings(&self) -> impl Iterator<Item = &'a Warning> {
        let of_scan = self.record.done().into_iter().flat_map(|done| &done.warnings);
        of_scan.chain(self.object.into_iter().flat_map(|object| &object.warnings))
    }
}

/// A text without control characters. An empty one is no value, because CSV cannot tell both apart.
fn shown(text: &str) -> Cell<'_> {
    if text.is_empty() { Cell::Empty } else { Cell::Text(printable(text)) }
}

fn codes<'a>(warnings: impl Iterator<Item = &'a Warning>) -> Cell<'static> {
    let codes = warnings.map(|warning| warning.code.name()).collect::<Vec<_>>().join(";");
    if codes.is_empty() { Cell::Empty } else { Cell::Text(codes.into()) }
}

/// All rows, sorted by id, then by label.
pub(super) fn rows(records: &[Record]) -> impl Iterator<Item = Row<'_>> {
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    sorted.into_iter().flat_map(|record| {
        let mut objects: Vec<&ObjectRecord> = record.done().map_or_else(Vec::new, |done| done.objects.iter().collect());
        objects.sort_by(|a, b| (a.label, &a.name).cmp(&(b.label, &b.name)));
        let alone = objects.is_empty().then_some(Row { record, object: None });
        alone.into_iter().chain(objects.into_iter().map(move |object| Row { record, object: Some(object) }))
    })
}
