//! [`RowWriter`]: rows to standard output in one of the formats.

use std::io::{self, Stdout, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use headwater_change::{ChangeBatch, Error, Result};
use headwater_connect::csv::write_field;
use headwater_connect::json::JsonRows;
use headwater_connect::text::{CastText, TimeZone};
use headwater_sql::{Dialect, trim_value_text, write_column_value};

use crate::output::Format;
use crate::output::table::Table;

/// Writes rows of one schema. Bytes are collected and handed over once a call, so that a reader never sees half a batch.
pub(crate) struct RowWriter {
    format: Format,
    schema: SchemaRef,
    names: Vec<String>,
    null_text: Arc<str>,
    text: CastText,
    dialect: Dialect,
    zone: TimeZone,
    json: JsonRows,
    buffer: Vec<u8>,
    cell: String,
    out: Stdout,
    begun: bool,
    picture_lines: usize,
}

impl RowWriter {
    pub(crate) fn new(
        format: Format,
        schema: &SchemaRef,
        null_text: &Arc<str>,
        (dialect, time_zone): (Dialect, &str),
    ) -> Result<Self> {
        let zone = TimeZone::parse(time_zone)?;
        Ok(Self {
            format,
            schema: Arc::clone(schema),
            names: schema.fields().iter().map(|field| field.name().clone()).collect(),
            null_text: Arc::clone(null_text),
            json: JsonRows::new(schema)?,
            text: CastText::new(zone),
            dialect,
            zone,
            buffer: Vec::new(),
            cell: String::new(),
            out: io::stdout(),
            begun: false,
            picture_lines: 0,
        })
    }

    /// Changes as they come.
    pub(crate) fn changes(&mut self, batch: &ChangeBatch) -> Result<()> {
        match self.format {
            Format::Changelog => {
                for row in 0..batch.len() {
                    self.buffer.extend_from_slice(b"{\"op\":\"");
                    self.buffer.extend_from_slice(batch.op(row).short().as_bytes());
                    self.buffer.extend_from_slice(b"\",\"row\":");
                    self.json.write(batch.rows(), row, &mut self.buffer)?;
                    self.buffer.extend_from_slice(b"}\n");
                }
                self.flush()
            }
            Format::Table => {
                let mut table = self.table(batch.rows())?;
                table.header(!self.begun);
                self.begun = true;
                table.draw(&mut self.buffer);
                self.flush()
            }
            Format::Json | Format::Csv | Format::Parquet => self.all(batch.rows()),
        }
    }

    /// Rows of a final result, or of an append-only one.
    pub(crate) fn all(&mut self, rows: &RecordBatch) -> Result<()> {
        match self.format {
            Format::Json | Format::Changelog | Format::Parquet => {
                for row in 0..rows.num_rows() {
                    self.json.write(rows, row, &mut self.buffer)?;
                    self.buffer.push(b'\n');
                }
            }
            Format::Csv => {
                self.csv_header();
                for row in 0..rows.num_rows() {
                    self.csv_row(rows, row)?;
                }
            }
            Format::Table => {
                let mut table = self.table(rows)?;
                table.footer(true);
                self.begun = true;
                table.draw(&mut self.buffer);
            }
        }
        self.flush()
    }

    /// The rows as they are now, over the picture before.
    pub(crate) fn picture(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut table = self.table(rows)?;
        table.footer(true);
        if self.picture_lines > 0 {
            // Up to where the last picture began, and clear from there.
            self.buffer.extend_from_slice(format!("\x1b[{}A\x1b[J", self.picture_lines).as_bytes());
        }
        let begin = self.buffer.len();
        table.draw(&mut self.buffer);
        self.picture_lines = self.buffer.get(begin..).map_or(0, |drawn| drawn.iter().filter(|b| **b == b'\n').count());
        self.begun = true;
        self.flush()
    }

    /// What must be there even for a result without rows.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.format == Format::Csv {
            self.csv_header();
        }
        self.flush()
    }

    fn table(&mut self, rows: &RecordBatch) -> Result<Table> {
        let mut table = Table::new(&self.names);
        for row in 0..rows.num_rows() {
            let mut cells = Vec::with_capacity(self.names.len());
            for (column, field) in rows.columns().iter().zip(Arc::clone(&self.schema).fields()) {
                cells.push(if absent(column, row) {
                    "<NULL>".to_owned()
                } else {
                    self.value(column, field, row)?;
                    self.cell.clone()
                });
            }
            let right = rows.columns().iter().map(|column| column.data_type().is_numeric());
            table.row(cells, right.collect());
        }
        Ok(table)
    }

    fn csv_header(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for (index, name) in self.names.iter().enumerate() {
            if index > 0 {
                self.buffer.push(b',');
            }
            write_field(name, &mut self.buffer);
        }
        self.buffer.push(b'\n');
    }

    fn csv_row(&mut self, rows: &RecordBatch, row: usize) -> Result<()> {
        let schema = Arc::clone(&self.schema);
        for (index, (column, field)) in rows.columns().iter().zip(schema.fields()).enumerate() {
            if index > 0 {
                self.buffer.push(b',');
            }
            if absent(column, row) {
                self.buffer.extend_from_slice(self.null_text.as_bytes());
                continue;
            }
            self.value(column, field, row)?;
            // A value that reads like NULL is quoted, so that the two can be told apart.
            if self.cell == *self.null_text {
                self.buffer.push(b'"');
                self.buffer.extend_from_slice(self.cell.as_bytes());
                self.buffer.push(b'"');
            } else {
                write_field(&self.cell, &mut self.buffer);
            }
        }
        self.buffer.push(b'\n');
        Ok(())
    }

    /// The text of a value, as the dialect writes it.
    fn value(&mut self, column: &ArrayRef, field: &Field, row: usize) -> Result<()> {
        self.cell.clear();
        if self.dialect == Dialect::Spark {
            return write_column_value(field, column, row, self.zone, &mut self.cell);
        }
        self.text.write(column, row, &mut self.cell)?;
        trim_value_text(field, &mut self.cell);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        write_out(&mut self.out, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Whether there is no value; a column of no type has none.
fn absent(column: &ArrayRef, row: usize) -> bool {
    column.is_null(row) || column.data_type().is_null()
}

/// Writes and flushes; a reader that went away ends the query with a code of its own.
pub(crate) fn write_out(out: &mut Stdout, bytes: &[u8]) -> Result<()> {
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => {
            Error::remote("output.closed", "nobody reads the output any more").caused_by(error)
        }
        _ => Error::remote("output.write", "the output could not be written")
            .detail(error.to_string())
            .hint("is the disk full?")
            .caused_by(error),
    })
}
