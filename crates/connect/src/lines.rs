//! What the line formats share: the seam [`Decode`], the walk over the lines of a chunk, and the making of a batch.

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use headwater_change::{Error, Result};

use crate::column::Column;

/// A line that stopped its decoder.
#[derive(Debug)]
pub struct BadLine {
    /// Where it begins in the chunk, in bytes.
    pub offset: usize,
    /// What is wrong with it.
    pub error: Error,
}

/// Bytes of whole records into rows.
///
/// The law: cutting the input into other chunks at record ends gives the same rows.
pub trait Decode: Send {
    /// Appends the rows of a chunk of whole records. After a failure the decoder is spent.
    fn decode(&mut self, chunk: &[u8]) -> Result<(), BadLine>;

    /// The rows since the last call as a batch.
    fn finish(&mut self) -> Result<RecordBatch>;

    /// Where the last whole record of `bytes` ends, which begin with a record.
    fn boundary(&self, bytes: &[u8]) -> Option<usize>;
}

/// The lines of a chunk: offset, bytes without the newline, and their text if they are UTF-8.
///
/// The chunk is checked for UTF-8 once; only if that fails each line is checked by itself.
pub(crate) struct Lines<'a> {
    chunk: &'a [u8],
    text: Option<&'a str>,
    at: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(chunk: &'a [u8]) -> Self {
        Self { chunk, text: simdutf8::basic::from_utf8(chunk).ok(), at: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8], Result<&'a str, &'static str>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let from = self.at;
        let rest = self.chunk.get(from..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at = from + length + 1;
        let line = rest.get(..length)?;
        let text = match self.text {
            Some(text) => text.get(from..from + length),
            None => simdutf8::basic::from_utf8(line).ok(),
        };
        Some((from, line, text.ok_or("it is not UTF-8")))
    }
}

/// Makes a batch of columns that all have `rows` rows, without the `dropped` ones.
pub(crate) fn assemble(
    schema: &SchemaRef,
    columns: &mut [Column],
    rows: usize,
    dropped: &mut Vec<usize>,
) -> Result<RecordBatch> {
    let arrays = columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
    let mut keep = vec![true; if dropped.is_empty() { 0 } else { rows }];
    for row in dropped.drain(..) {
        if let Some(slot) = keep.get_mut(row) {
            *slot = false;
        }
    }
    let bug = |error| Error::bug("format.batch", "decoded columns do not make a batch").caused_by(error);
    let nullable: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let loose = std::sync::Arc::new(arrow::datatypes::Schema::new(nullable));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let mut batch = RecordBatch::try_new_with_options(loose, arrays, &options).map_err(bug)?;
    if !keep.is_empty() {
        batch = filter_record_batch(&batch, &BooleanArray::from(keep)).map_err(bug)?;
    }
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(Error::data(
                "format.null",
                format!("the column '{}' is NOT NULL but a row has no value for it", field.name()),
            )
            .hint("declare the column without NOT NULL, or mend the input"));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(std::sync::Arc::clone(schema), batch.columns().to_vec(), &options).map_err(bug)
}

/// A text of the input for an error message: at most 80 characters, quoted.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut short: String = text.trim().chars().filter(|letter| !letter.is_control()).take(LONGEST + 1).collect();
    if short.chars().count() > LONGEST {
        short.pop();
        short.push('…');
    }
    format!("'{short}'")
}
