//! Writing: batches into one file, whose last bytes make it readable.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_change::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::convert::widened;

/// Bytes of rows that are kept back for a row group, about.
const GROUP_BYTES: usize = 32 << 20;

/// Writes batches of one schema.
pub struct Encoder<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
}

fn failed(error: &parquet::errors::ParquetError) -> Error {
    Error::remote("parquet.write", "a file of Parquet cannot be written")
        .detail(error.to_string())
        .hint("is the disk full?")
}

impl<W: Write + Send> Encoder<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// `parquet.type`: a column is of a type that the format does not have.
    pub fn new(out: W, schema: &Schema, compression: Compression) -> Result<Self> {
        let fields: Vec<Field> = schema.fields().iter().map(|field| stored(field)).collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder().set_compression(compression).build();
        let writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties)).map_err(|error| {
            Error::usage("parquet.type", "a column is of a type that Parquet does not have")
                .detail(error.to_string())
                .hint("CAST it to one that it has")
        })?;
        Ok(Self { writer, schema })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `parquet.write`.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| widened(column, field.data_type())).collect::<Result<Vec<_>>>()?;
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| Error::bug("parquet.columns", "rows of other columns").caused_by(error))?;
        self.writer.write(&rows).map_err(|error| failed(&error))?;
        if self.writer.in_progress_size() >= GROUP_BYTES {
            self.writer.flush().map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Bytes that the file will have, about.
    pub fn size(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Bytes that are kept back.
    pub fn buffered(&self) -> usize {
        self.writer.in_progress_size()
    }

    /// Ends the file and gives what it was written to.
    ///
    /// # Errors
    /// `parquet.write`.
    pub fn finish(self) -> Result<W> {
        self.writer.into_inner().map_err(|error| failed(&error))
    }
}

/// The column as it is stored: without our notes, and times with digits that the format has.
fn stored(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        other => other.clone(),
    };
    Field::new(field.name(), data_type, field.is_nullable())
}
