//! A table as Parquet.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use segvol_base::atomic_file;

use super::columns::{COLUMNS, Cell, Column, Kind, Row, rows};
use crate::record::Record;

/// Rows that are in memory at a time, and in a group of the file.
const GROUP: usize = 1 << 16;

pub(super) fn save(records: &[Record], path: &Path) -> io::Result<()> {
    atomic_file::write(path, |file| {
        let schema = schema().map_err(io::Error::other)?;
        let properties = WriterProperties::builder().set_compression(Compression::GZIP(Default::default())).build();
        let mut writer = SerializedFileWriter::new(file, schema.into(), properties.into())?;
        let mut rows = rows(records);
        loop {
            let group: Vec<Row<'_>> = rows.by_ref().take(GROUP).collect();
            if group.is_empty() {
                break;
            }
            let mut columns = writer.next_row_group()?;
            for column in &COLUMNS {
                let mut to =
                    columns.next_column()?.ok_or_else(|| io::Error::other("the schema has too few columns"))?;
                write(column, &group, &mut to)?;
                to.close()?;
            }
            columns.close()?;
        }
        writer.close()?;
        Ok(())
    })
}

fn schema() -> Result<Type> {
    let field = |column: &Column| {
        let (physical, logical) = match column.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Whole => (Physical::INT64, None),
            Kind::Real => (Physical::DOUBLE, None),
        };
        let repetition = if column.is_complete { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let field = Type::primitive_type_builder(column.name, physical).with_repetition(repetition);
        Ok(Arc::new(field.with_logical_type(logical).build()?))
    };
    let fields = COLUMNS.iter().map(field).collect::<Result<_>>()?;
    Type::group_type_builder("cohort").with_fields(fields).build()
}

fn write(column: &Column, rows: &[Row<'_>], to: &mut SerializedColumnWriter<'_>) -> Result<()> {
    match column.kind {
        Kind::Text => write_as::<ByteArrayType>(column, rows, to, |cell| match cell {
            Cell::Text(text) => Ok(Some(ByteArray::from(&*text))),
            _ => Ok(None),
        }),
        Kind::Whole => write_as::<Int64Type>(column, rows, to, |cell| match cell {
            Cell::Whole(number) => {
                Ok(Some(i64::try_from(number).map_err(|error| ParquetError::External(error.into()))?))
            }
            _ => Ok(None),
        }),
        Kind::Real => write_as::<DoubleType>(column, rows, to, |cell| match cell {
            Cell::Real(number) => Ok(Some(number)),
            _ => Ok(None),
        }),
    }
}

/// Writes the values that are there, and for each row of a column that is not complete whether it has one.
fn write_as<T: DataType>(
    column: &Column,
    rows: &[Row<'_>],
    to: &mut SerializedColumnWriter<'_>,
    value: impl Fn(Cell<'_>) -> Result<Option<T::T>>,
) -> Result<()> {
    let values = rows.iter().map(|row| value((column.cell)(row))).collect::<Result<Vec<_>>>()?;
    let levels: Option<Vec<i16>> =
        (!column.is_complete).then(|| values.iter().map(|value| value.is_some().into()).collect());
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    to.typed::<T>().write_batch(&values, levels.as_deref(), None)?;
    Ok(())
}
