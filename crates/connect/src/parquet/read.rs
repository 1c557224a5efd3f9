//! Reading: the wanted columns of one file, by name.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_change::{Error, Place, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use super::convert::{widened, widens};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8_192;

/// The rows of one file.
pub struct Rows {
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
    /// Where each wanted column stands among those that are read; nowhere: it is NULL.
    columns: Vec<Option<usize>>,
    place: Place,
}

fn place(path: &Path) -> Place {
    Place::File { path: path.display().to_string(), line: 0 }
}

fn open(file: File, path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let told = |error: ParquetError| {
        Error::data("parquet.file", format!("'{}' is not a whole file of Parquet", path.display()))
            .detail(error.to_string())
            .hint("leave it out by 'source.path.regex-pattern', or write it again")
            .at(place(path))
    };
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(told)?;
    let metadata = match instants(&metadata) {
        Some(schema) => {
            let options = ArrowReaderOptions::new().with_schema(schema);
            ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).map_err(told)?
        }
        None => metadata,
    };
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata))
}

/// The schema with the times of Spark and Hive (INT96, which are instants) as such, where there are any.
fn instants(metadata: &ArrowReaderMetadata) -> Option<SchemaRef> {
    let columns = metadata.parquet_schema().root_schema().get_fields();
    let is_old = |column: &parquet::schema::types::TypePtr| {
        column.is_primitive() && column.get_physical_type() == parquet::basic::Type::INT96
    };
    if !columns.iter().any(is_old) {
        return None;
    }
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = metadata.schema().fields().iter().zip(columns).map(|(field, column)| match is_old(column) {
        true => Arc::new(Field::clone(field).with_data_type(instant.clone())),
        false => Arc::clone(field),
    });
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

impl Rows {
    /// The rows of a file behind the first `skip`.
    ///
    /// # Errors
    /// `parquet.file`, `parquet.type`: a column cannot be read as it is declared; `parquet.column`: one that must have values
    /// is not there.
    pub fn open(file: File, path: &Path, schema: &SchemaRef, skip: usize) -> Result<Self> {
        let builder = open(file, path)?;
        let of_file = builder.schema();
        let mut found = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let at = of_file.fields().iter().position(|known| known.name() == field.name());
            let at = at.or_else(|| {
                let alike = |known: &Arc<Field>| known.name().eq_ignore_ascii_case(field.name());
                of_file.fields().iter().position(alike)
            });
            let there = at.and_then(|at| of_file.fields().get(at));
            match there {
                Some(there) if !widens(there.data_type(), field.data_type()) => {
                    let (from, to) = (there.data_type(), field.data_type());
                    return Err(Error::usage(
                        "parquet.type",
                        format!("column '{}' is {from} in the file and cannot be read as {to}", field.name()),
                    )
                    .hint("declare it as the file has it, and CAST in the query")
                    .at(place(path)));
                }
                None if !field.is_nullable() => {
                    return Err(Error::usage("parquet.column", format!("the file has no column '{}'", field.name()))
                        .hint("declare it without NOT NULL: it is NULL then")
                        .at(place(path)));
                }
                _ => found.push(at),
            }
        }
        let mut roots: Vec<usize> = found.iter().flatten().copied().collect();
        roots.sort_unstable();
        roots.dedup();
        let columns = found.iter().map(|at| at.and_then(|at| roots.iter().position(|root| *root == at))).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).with_offset(skip).build();
        let reader = reader.map_err(|error| broken(&place(path), &error))?;
        Ok(Self { reader, schema: Arc::clone(schema), columns, place: place(path) })
    }

    /// The next rows; nothing behind the last ones.
    ///
    /// # Errors
    /// `parquet.file`, `parquet.value`.
    pub fn read(&mut self) -> Result<Option<RecordBatch>> {
        let Some(read) = self.reader.next() else { return Ok(None) };
        let read = read.map_err(|error| broken(&self.place, &error))?;
        let rows = read.num_rows();
        let column = |(field, at): (&Arc<Field>, &Option<usize>)| -> Result<ArrayRef> {
            match at.and_then(|at| read.columns().get(at)) {
                Some(column) => widened(column, field.data_type()).map_err(|error| error.at(self.place.clone())),
                None => Ok(new_null_array(field.data_type(), rows)),
            }
        };
        let columns = self.schema.fields().iter().zip(&self.columns).map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map(Some).map_err(|error| {
            Error::data("parquet.file", "a column has NULL where it is declared NOT NULL")
                .detail(error.to_string())
                .at(self.place.clone())
        })
    }
}

fn broken(place: &Place, error: &dyn std::error::Error) -> Error {
    Error::data("parquet.file", "a file of Parquet is broken").detail(error.to_string()).at(place.clone())
}

/// The columns of a file, of types that tables have.
///
/// # Errors
/// `parquet.file`, `parquet.type`: a column is of a type that no table has; it can be left out.
pub fn fields(file: File, path: &Path) -> Result<Vec<Field>> {
    let builder = open(file, path)?;
    let plain = |field: &Arc<Field>| {
        let data_type = natural(field.data_type()).ok_or_else(|| {
            Error::usage(
                "parquet.type",
                format!("column '{}' is {}, which no table has", field.name(), field.data_type()),
            )
            .hint("declare the columns that are wanted")
            .at(place(path))
        })?;
        Ok(Field::new(field.name(), data_type, field.is_nullable()))
    };
    builder.schema().fields().iter().map(plain).collect()
}

/// The type of a table's column that has every value of it.
fn natural(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match data_type {
        D::UInt8 => D::Int16,
        D::UInt16 => D::Int32,
        D::UInt32 => D::Int64,
        D::UInt64 => D::Decimal128(20, 0),
        D::LargeUtf8 | D::Utf8View => D::Utf8,
        D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::Binary,
        D::Dictionary(_, value) => natural(value)?,
        D::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
            D::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        D::List(item) | D::LargeList(item) => {
            D::List(Arc::new(Field::new(item.name(), natural(item.data_type())?, item.is_nullable())))
        }
        D::Boolean
        | D::Int8
        | D::Int16
        | D::Int32
        | D::Int64
        | D::Float32
        | D::Float64
        | D::Utf8
        | D::Binary
        | D::Date32
        | D::Time32(_)
        | D::Time64(_)
        | D::Decimal128(..)
        | D::Timestamp(..)
        | D::Struct(_)
        | D::Map(..) => data_type.clone(),
        _ => return None,
    })
}

/// Whether `to` is what a file's column of this type is read as.
#[cfg(test)]
pub(super) fn natural_of(data_type: &DataType) -> Option<DataType> {
    natural(data_type)
}

/// Rows of a whole file.
#[cfg(test)]
pub(super) fn all(mut rows: Rows) -> Result<Vec<RecordBatch>> {
    let mut found = Vec::new();
    while let Some(batch) = rows.read()? {
        found.push(batch);
    }
    Ok(found)
}
