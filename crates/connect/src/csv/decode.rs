//! [`CsvDecoder`]: records of CSV into Arrow builders.
//!
//! Rules as in Flink's CSV format: an empty field is the empty STRING but no number, a DECIMAL is rounded half up to the
//! column's scale, every record has as many fields as the table has columns, bytes are in base64. Columns are known by
//! position only: without [`POSITION_KEY`] the schema's columns are the record's columns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_change::{Error, POSITION_KEY, Result};

use super::CsvConfig;
use super::record::{RawField, Records, boundary};
use crate::column::{Column, Data};
use crate::lines::{BadLine, Decode, assemble, shorten};

/// Decodes records into batches of one schema.
pub struct CsvDecoder {
    schema: SchemaRef,
    config: CsvConfig,
    columns: Vec<Column>,
    /// For every field of a record the column that takes it.
    targets: Vec<Option<usize>>,
    rows: usize,
    dropped: Vec<usize>,
    skipped: Arc<AtomicU64>,
    scratch: String,
}

impl CsvDecoder {
    /// A decoder for `schema`, whose fields may carry [`POSITION_KEY`]; records that it skips are counted in `skipped`.
    /// Fails for types that CSV cannot hold and for positions that do not fit.
    pub fn new(schema: SchemaRef, config: CsvConfig, skipped: Arc<AtomicU64>) -> Result<Self> {
        for field in schema.fields() {
            check_type(field.name(), field.data_type())?;
        }
        let columns = schema.fields().iter().map(|field| Column::new(field.data_type())).collect::<Result<_>>()?;
        let targets = targets(&schema)?;
        Ok(Self { schema, config, columns, targets, rows: 0, dropped: Vec::new(), skipped, scratch: String::new() })
    }

    /// Reads one record; on a fault the reader stands where it was found.
    fn record(&mut self, records: &mut Records<'_>, chunk: &[u8], text: Option<&str>) -> Result<(), String> {
        let mut place = 0;
        loop {
            let field = records.field()?;
            if place == self.targets.len() {
                self.finish_record(records, field);
                return Err(format!("a record has more than the {place} fields of the table"));
            }
            if let Some(column) = self.targets.get(place).copied().flatten()
                && let Err(fault) = self.value(records, chunk, text, field, column)
            {
                self.finish_record(records, field);
                return Err(fault);
            }
            place += 1;
            if field.last {
                break;
            }
        }
        // Flink's rule: what a short record lacks is NULL where faults are ignored.
        if place < self.targets.len() && !self.config.ignore_parse_errors {
            return Err(format!("a record has {place} fields, the table has {}", self.targets.len()));
        }
        Ok(())
    }

    /// Steps over the rest of a record that is given up.
    fn finish_record(&self, records: &mut Records<'_>, mut field: RawField) {
        while !field.last {
            match records.field() {
                Ok(next) => field = next,
                Err(_) => return records.skip_line(),
            }
        }
    }

    #[inline]
    fn value(
        &mut self,
        records: &Records<'_>,
        chunk: &[u8],
        text: Option<&str>,
        field: RawField,
        index: usize,
    ) -> Result<(), String> {
        let bytes = || chunk.get(field.from..field.to);
        let raw = match text {
            Some(text) => text.get(field.from..field.to),
            None => bytes().and_then(|bytes| simdutf8::basic::from_utf8(bytes).ok()),
        };
        let raw = raw.ok_or("a field is not UTF-8")?;
        let value = if field.marked {
            records.unmark(raw, &mut self.scratch);
            self.scratch.as_str()
        } else {
            raw
        };
        let Some(column) = self.columns.get_mut(index) else { return Ok(()) };
        if self.config.null_literal.as_deref() == Some(value) {
            column.append_null();
            return Ok(());
        }
        if append(column, value, &self.config) {
            return Ok(());
        }
        if self.config.ignore_parse_errors {
            column.append_null();
            return Ok(());
        }
        let name = self.schema.fields().get(index).map_or("", |field| field.name());
        Err(format!("the field '{name}' of type {} cannot be {}", column.type_name(), shorten(value)))
    }

    fn end_row(&mut self) {
        self.rows += 1;
        for column in &mut self.columns {
            if column.len() < self.rows {
                column.append_null();
            }
        }
    }
}

impl Decode for CsvDecoder {
    fn decode(&mut self, chunk: &[u8]) -> Result<(), BadLine> {
        let text = simdutf8::basic::from_utf8(chunk).ok();
        let config = self.config.clone();
        let mut records = Records::new(&config, chunk);
        while let Some(offset) = records.start() {
            if records.peek() == Some(b'\n')
                || chunk.get(offset..).is_some_and(|rest| rest.starts_with(b"\r\n"))
                || config.allow_comments && records.peek() == Some(b'#')
            {
                records.skip_line();
                continue;
            }
            let Err(message) = self.record(&mut records, chunk, text) else {
                self.end_row();
                continue;
            };
            if !config.ignore_parse_errors {
                let rest = chunk.get(offset..).unwrap_or_default();
                let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let error = Error::data("csv.parse", message)
                    .detail(format!("the record begins {}", shorten(&String::from_utf8_lossy(line))))
                    .hint(
                        "mend the record; with 'csv.ignore-parse-errors' = 'true' bad and missing fields are NULL and \
                         broken records are lost",
                    );
                return Err(BadLine { offset, error });
            }
            self.dropped.push(self.rows);
            self.end_row();
            self.skipped.fetch_add(1, Ordering::Relaxed);
            // A broken quote leaves the reader inside its line.
            if records.start().is_some_and(|at| at > 0 && chunk.get(at - 1) != Some(&b'\n')) {
                records.skip_line();
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        assemble(&self.schema, &mut self.columns, std::mem::take(&mut self.rows), &mut self.dropped)
    }

    fn boundary(&self, bytes: &[u8]) -> Option<usize> {
        boundary(&self.config, bytes)
    }
}

/// Appends the value of a field; elements of arrays and rows are split at their own delimiter.
fn append(column: &mut Column, text: &str, config: &CsvConfig) -> bool {
    let nested = match &mut column.data {
        Data::Bytes(values) => return STANDARD.decode(text).map(|bytes| values.append_value(bytes)).is_ok(),
        Data::List { item, .. } => {
            let mut elements = text.split(config.element_delimiter.as_str()).filter(|_| !text.is_empty());
            elements.all(|element| append_element(item, element, config))
        }
        Data::Row { children, valid, .. } => {
            let row = valid.len();
            let mut elements = text.split(config.element_delimiter.as_str());
            let taken = children.iter_mut().all(|child| match elements.next() {
                Some(element) => append_element(child, element, config),
                None => false,
            }) && elements.next().is_none();
            for child in children.iter_mut().filter(|child| child.len() == row) {
                child.append_null();
            }
            taken
        }
        _ => return column.append_text(text),
    };
    // A bad element spoils the whole value, whose parts are there already: they stay behind a NULL.
    if nested {
        column.close_nested();
    } else if config.ignore_parse_errors {
        column.close_null();
    }
    nested || config.ignore_parse_errors
}

fn append_element(column: &mut Column, text: &str, config: &CsvConfig) -> bool {
    if config.null_literal.as_deref() == Some(text) {
        column.append_null();
        return true;
    }
    append(column, text, config)
}

fn check_type(name: &str, data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::Map(..) => Err(Error::usage("csv.type", format!("CSV cannot hold the column '{name}' of type MAP"))
            .hint("use 'format' = 'json', or declare the column as STRING")),
        DataType::List(item) => check_type(name, item.data_type()),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_type(name, field.data_type())),
        _ => Ok(()),
    }
}

/// For every field of a record the column of `schema` that takes it.
fn targets(schema: &SchemaRef) -> Result<Vec<Option<usize>>> {
    let mut targets = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        let place = match field.metadata().get(POSITION_KEY) {
            None => (index, schema.fields().len()),
            Some(place) => place
                .split_once('/')
                .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)))
                .filter(|(index, count): &(usize, usize)| index < count && *count <= 65_536)
                .ok_or_else(|| Error::bug("csv.position", format!("'{place}' is not a column's position")))?,
        };
        let (at, count) = place;
        targets.resize(count.max(targets.len()), None);
        if let Some(slot) = targets.get_mut(at) {
            *slot = Some(index);
        }
    }
    Ok(targets)
}
