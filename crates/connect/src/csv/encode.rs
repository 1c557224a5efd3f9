//! [`CsvRows`]: rows as CSV records.
//!
//! Rule: Flink's CSV sinks (Jackson's CSV writer): texts are quoted when they are longer than 24 characters or hold a
//! character up to the delimiter's or quote's code (a blank among them), so a timestamp is `"2024-04-25 10:00:00"` and a
//! word is bare; numbers are never quoted; decimals lose their trailing zeros (`5.4E+2`); NULL is the null literal or empty.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, SchemaRef};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_change::{Error, Result};

use super::CsvConfig;
use crate::text::time::{needed_digits, split_days, split_seconds, write_date, write_fraction, write_time};
use crate::text::{CastText, TimeZone, binary_value, list_value, temporal_value, unit_scale, write_decimal};

/// Texts longer than this are quoted without being looked at.
const CHECKED_LENGTH_MAX: usize = 24;

/// Appends one field with the fewest quotes: only a delimiter, a quote, a line end or blanks at its ends ask for them.
pub fn write_field(text: &str, out: &mut Vec<u8>) {
    let special = memchr::memchr3(b',', b'"', b'\n', text.as_bytes()).is_some() || text.contains('\r');
    if special || text.starts_with(' ') || text.ends_with(' ') {
        write_quoted(text, b'"', None, out);
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends `text` in quotes; quotes inside are doubled, or escaped where there is an escape.
fn write_quoted(text: &str, quote: u8, escape: Option<u8>, out: &mut Vec<u8>) {
    out.push(quote);
    for byte in text.bytes() {
        if byte == quote || Some(byte) == escape {
            out.push(escape.unwrap_or(quote));
        }
        out.push(byte);
    }
    out.push(quote);
}

/// Writes the rows of one schema.
pub struct CsvRows {
    config: CsvConfig,
    /// The first character that needs no quotes.
    safe: u8,
    cast: CastText,
    scratch: String,
}

impl CsvRows {
    /// A writer for the columns of `schema`. Fails with `csv.type` for types that CSV cannot hold.
    pub fn new(schema: &SchemaRef, config: CsvConfig) -> Result<Self> {
        for field in schema.fields() {
            check_type(field.name(), field.data_type())?;
        }
        let safe = config.delimiter.max(config.quote.unwrap_or(0)).max(b'\n').saturating_add(1);
        Ok(Self { config, safe, cast: CastText::new(TimeZone::UTC), scratch: String::new() })
    }

    /// Appends a row, without a newline.
    pub fn write(&mut self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<()> {
        for (index, column) in batch.columns().iter().enumerate() {
            if index > 0 {
                out.push(self.config.delimiter);
            }
            if column.is_null(row) {
                out.extend_from_slice(self.config.null_literal.as_deref().unwrap_or("").as_bytes());
                continue;
            }
            let mut text = std::mem::take(&mut self.scratch);
            text.clear();
            let written = self.value(column, row, &mut text);
            if column.data_type().is_numeric() || *column.data_type() == DataType::Boolean {
                out.extend_from_slice(text.as_bytes());
            } else {
                self.field(&text, out);
            }
            self.scratch = text;
            written?;
        }
        Ok(())
    }

    fn field(&self, text: &str, out: &mut Vec<u8>) {
        let Some(quote) = self.config.quote else { return out.extend_from_slice(text.as_bytes()) };
        let asks = |byte: u8| byte < self.safe || Some(byte) == self.config.escape;
        if text.len() > CHECKED_LENGTH_MAX || text.bytes().any(asks) {
            write_quoted(text, quote, self.config.escape, out);
        } else {
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn value(&self, column: &dyn Array, row: usize, out: &mut String) -> Result<()> {
        match column.data_type() {
            DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
            DataType::Decimal128(_, scale) => {
                let value = column.as_primitive::<Decimal128Type>().value(row);
                write_stripped(value, *scale, self.config.scientific_decimals, out);
            }
            DataType::Time32(unit) | DataType::Time64(unit) => {
                let (seconds, nanos) = split_seconds(temporal_value(column, row, *unit), unit_scale(*unit).0);
                write_time(split_days(seconds).1, out);
                write_fraction(nanos, needed_digits(nanos), out);
            }
            DataType::Timestamp(unit, zone) => {
                let (seconds, nanos) = split_seconds(temporal_value(column, row, *unit), unit_scale(*unit).0);
                let (days, second) = split_days(seconds);
                write_date(days, out);
                out.push(' ');
                write_time(second, out);
                write_fraction(nanos, needed_digits(nanos), out);
                out.push_str(if zone.is_some() { "Z" } else { "" });
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                STANDARD.encode_string(binary_value(column, row).unwrap_or_default(), out);
            }
            DataType::Struct(_) => {
                for (index, field) in column.as_struct().columns().iter().enumerate() {
                    self.element(field, row, index, out)?;
                }
            }
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
                let Some(items) = list_value(column, row) else { return Ok(()) };
                for index in 0..items.len() {
                    self.element(&items, index, index, out)?;
                }
            }
            _ => self.cast.write(column, row, out)?,
        }
        Ok(())
    }

    fn element(&self, column: &dyn Array, row: usize, index: usize, out: &mut String) -> Result<()> {
        if index > 0 {
            out.push_str(&self.config.element_delimiter);
        }
        if column.is_null(row) {
            out.push_str(self.config.null_literal.as_deref().unwrap_or(""));
            return Ok(());
        }
        self.value(column, row, out)
    }
}

fn check_type(name: &str, data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::Map(..) => Err(Error::usage("csv.type", format!("CSV cannot hold the column '{name}' of type MAP"))
            .hint("use 'format' = 'json', or CAST the column to STRING")),
        _ => Ok(()),
    }
}

/// A DECIMAL without the zeros at its end: as `BigDecimal.toString` writes it, or plain.
fn write_stripped(mut unscaled: i128, scale: i8, scientific: bool, out: &mut String) {
    let mut scale = i32::from(scale);
    if unscaled == 0 {
        return out.push('0');
    }
    while unscaled % 10 == 0 {
        unscaled /= 10;
        scale -= 1;
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(unscaled.unsigned_abs());
    let exponent = i32::try_from(digits.len()).unwrap_or(0) - 1 - scale;
    if !scientific || scale >= 0 && exponent >= -6 {
        return write_decimal(unscaled, i8::try_from(scale).unwrap_or(0), out);
    }
    if unscaled < 0 {
        out.push('-');
    }
    let (first, rest) = digits.split_at(1);
    out.push_str(first);
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    out.push_str(if exponent < 0 { "E" } else { "E+" });
    out.push_str(itoa::Buffer::new().format(exponent));
}
