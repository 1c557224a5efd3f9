//! [`JsonRows`]: rows as JSON objects.
//!
//! Rule: Flink's JSON format. Fields in the order of the columns; NULL as `null`; doubles as Java prints them; decimals as
//! plain numbers; `2024-04-25 10:00:10` with a fraction only where there is one, TIMESTAMP_LTZ with a `Z`; bytes in base64.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, SchemaRef};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_change::Result;

use super::JsonConfig;
use crate::text::time::{needed_digits, split_days, split_seconds, write_date, write_fraction, write_time};
use crate::text::{
    CastText, TimeZone, binary_value, dictionary_value, integer_value, list_value, string_value, temporal_value,
    unit_scale, write_decimal, write_double, write_float,
};

/// Writes the rows of one schema.
pub struct JsonRows {
    names: Vec<Vec<u8>>,
    config: JsonConfig,
    cast: CastText,
    scratch: String,
}

impl JsonRows {
    /// A writer for the columns of `schema` as they are by default.
    pub fn new(schema: &SchemaRef) -> Result<Self> {
        Self::with_config(schema, JsonConfig::default())
    }

    /// A writer for the columns of `schema`.
    pub fn with_config(schema: &SchemaRef, config: JsonConfig) -> Result<Self> {
        let quoted = |name: &String| {
            let mut bytes = Vec::new();
            write_string(name, &mut bytes);
            bytes.push(b':');
            bytes
        };
        let names = schema.fields().iter().map(|field| quoted(field.name())).collect();
        Ok(Self { names, config, cast: CastText::new(TimeZone::UTC), scratch: String::new() })
    }

    /// Appends a row as an object, without a newline. Fails with `text.type` for a type that no table has.
    pub fn write(&mut self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'{');
        let mut first = true;
        for index in 0..batch.num_columns() {
            let column = batch.column(index);
            if self.config.ignore_null_fields && column.is_null(row) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.extend_from_slice(self.names.get(index).map_or(&[], Vec::as_slice));
            self.value(column, row, out)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn value(&mut self, column: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if column.is_null(row) || *column.data_type() == DataType::Null {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        self.scratch.clear();
        match column.data_type() {
            DataType::Boolean => out.extend_from_slice(if column.as_boolean().value(row) { b"true" } else { b"false" }),
            DataType::Float32 => {
                let value = column.as_primitive::<Float32Type>().value(row);
                write_float(value, &mut self.scratch);
                write_number(&self.scratch, value.is_finite(), out);
            }
            DataType::Float64 => {
                let value = column.as_primitive::<Float64Type>().value(row);
                write_double(value, &mut self.scratch);
                write_number(&self.scratch, value.is_finite(), out);
            }
            DataType::Decimal128(_, scale) => {
                write_decimal(column.as_primitive::<Decimal128Type>().value(row), *scale, &mut self.scratch);
                out.extend_from_slice(self.scratch.as_bytes());
            }
            DataType::Time32(unit) | DataType::Time64(unit) => {
                let (seconds, nanos) = split_seconds(temporal_value(column, row, *unit), unit_scale(*unit).0);
                write_time(split_days(seconds).1, &mut self.scratch);
                write_fraction(nanos, needed_digits(nanos), &mut self.scratch);
                write_string(&self.scratch, out);
            }
            DataType::Timestamp(unit, zone) => {
                let (seconds, nanos) = split_seconds(temporal_value(column, row, *unit), unit_scale(*unit).0);
                let (days, second) = split_days(seconds);
                write_date(days, &mut self.scratch);
                self.scratch.push(if self.config.iso_timestamps { 'T' } else { ' ' });
                write_time(second, &mut self.scratch);
                write_fraction(nanos, needed_digits(nanos), &mut self.scratch);
                self.scratch.push_str(if zone.is_some() { "Z" } else { "" });
                write_string(&self.scratch, out);
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                STANDARD.encode_string(binary_value(column, row).unwrap_or_default(), &mut self.scratch);
                write_string(&self.scratch, out);
            }
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::Map(..)
            | DataType::Struct(_) => self.nested(column, row, out)?,
            _ => self.other(column, row, out)?,
        }
        Ok(())
    }

    fn other(&mut self, column: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if let Some(text) = string_value(column, row) {
            write_string(text, out);
        } else if let Some(number) = integer_value(column, row) {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        } else if let Some((values, index)) = dictionary_value(column, row) {
            return self.value(values, index, out);
        } else {
            self.cast.write(column, row, &mut self.scratch)?;
            write_string(&self.scratch, out);
        }
        Ok(())
    }

    fn nested(&mut self, column: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if let Some(map) = column.as_map_opt() {
            let entries = map.value(row);
            out.push(b'{');
            for index in 0..entries.len() {
                comma(index, out);
                self.scratch.clear();
                self.cast.write(entries.column(0), index, &mut self.scratch)?;
                write_string(&self.scratch, out);
                out.push(b':');
                self.value(entries.column(1), index, out)?;
            }
            out.push(b'}');
        } else if let Some(fields) = column.as_struct_opt() {
            out.push(b'{');
            for (index, (field, values)) in fields.fields().iter().zip(fields.columns()).enumerate() {
                comma(index, out);
                write_string(field.name(), out);
                out.push(b':');
                self.value(values, row, out)?;
            }
            out.push(b'}');
        } else if let Some(items) = list_value(column, row) {
            out.push(b'[');
            for index in 0..items.len() {
                comma(index, out);
                self.value(&items, index, out)?;
            }
            out.push(b']');
        }
        Ok(())
    }
}

fn comma(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

/// NaN and the infinities are no JSON numbers and are written as strings, as Jackson does.
fn write_number(text: &str, finite: bool, out: &mut Vec<u8>) {
    if finite {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_string(text, out);
    }
}

/// Appends a string in quotes with the escapes that JSON asks for.
fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, behind)) = special.split_first() else { break };
        rest = behind;
        let short = match byte {
            b'"' | b'\\' => *byte,
            0x8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0xc => b'f',
            b'\r' => b'r',
            _ => {
                out.extend_from_slice(format!("\\u{byte:04X}").as_bytes());
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
