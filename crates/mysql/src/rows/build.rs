//! Arrow builders of the wanted columns, and the way of a [`Cell`] into them.
//!
//! The law: a cell either becomes exactly the value that MySQL means, or NULL where the user chose that, or an error.

use std::sync::Arc;

use arrow::array::types::{
    Date32Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use headwater_change::{Error, Result};

use super::cell::Cell;
pub(crate) use super::column::Problem;
use super::column::{Builder, mismatch};
use super::quick::Day;
use super::{decimal, json, temporal};
use crate::schema::{Kind, unit_digits};

const DAY_MICROS: i64 = 86_400_000_000;

/// How values without an Arrow counterpart are treated.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Zero dates become NULL instead of an error.
    pub zero_date_is_null: bool,
    /// Seconds that the wall clock of `server-time-zone` is ahead of UTC.
    pub zone_seconds: i64,
}

/// One wanted column being built.
struct Output {
    field: Arc<Field>,
    builder: Builder,
}

/// All wanted columns being built.
pub struct Builders {
    schema: SchemaRef,
    outputs: Vec<Output>,
    rows: usize,
    variable_bytes: usize,
    fixed_bytes: usize,
    /// The day that was counted last.
    day: Day,
}

impl Builders {
    /// Empty builders. Fails with `mysql.type` where a type is asked for that no MySQL value goes into.
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let mut outputs = Vec::with_capacity(schema.fields().len());
        let mut fixed_bytes = 1;
        for field in schema.fields() {
            let builder = Builder::new(field.data_type()).ok_or_else(|| {
                Error::usage("mysql.type", format!("column '{}' cannot be read as {}", field.name(), field.data_type()))
            })?;
            fixed_bytes += field.data_type().primitive_width().unwrap_or(5);
            outputs.push(Output { field: Arc::clone(field), builder });
        }
        Ok(Self { schema, outputs, rows: 0, variable_bytes: 0, fixed_bytes, day: Day::epoch() })
    }

    /// The builder of a wanted column, and the day that was counted last.
    #[inline]
    pub(super) fn builder(&mut self, index: usize) -> (Option<&mut Builder>, &mut Day) {
        (self.outputs.get_mut(index).map(|output| &mut output.builder), &mut self.day)
    }

    /// Complete rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes of Arrow data they are.
    pub fn bytes(&self) -> usize {
        self.variable_bytes + self.rows * self.fixed_bytes
    }

    /// Appends a value to the wanted column at `index`.
    pub(crate) fn append(&mut self, index: usize, cell: &Cell<'_>, kind: &Kind, policy: Policy) -> Result<(), Problem> {
        let output = self.outputs.get_mut(index).ok_or_else(mismatch)?;
        if let Cell::Utf8(bytes) | Cell::Coded(bytes, ..) | Cell::Bytes(bytes) | Cell::Json(bytes) = cell {
            self.variable_bytes += bytes.len();
        }
        output.append(cell, kind, policy)
    }

    /// Appends text to the wanted column at `index`.
    pub(crate) fn append_text(&mut self, index: usize, text: &str) -> Result<(), Problem> {
        self.variable_bytes += text.len();
        self.outputs.get_mut(index).ok_or_else(mismatch)?.builder.text(text)
    }

    /// Appends an instant in seconds since 1970 to the wanted column at `index`, second 0 included.
    pub(crate) fn append_instant(&mut self, index: usize, seconds: i64) -> Result<(), Problem> {
        let output = self.outputs.get_mut(index).ok_or_else(mismatch)?;
        match output.field.data_type() {
            DataType::Timestamp(unit, _) => output.builder.number(scaled(seconds, 0, *unit)),
            _ => Err(mismatch()),
        }
    }

    /// The row is complete.
    pub(crate) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// The complete rows, leaving empty builders. What an error left of an incomplete one goes.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let rows = self.rows;
        let complete = |array: ArrayRef| if array.len() > rows { array.slice(0, rows) } else { array };
        let columns = self.outputs.iter_mut().map(|output| complete(output.finish())).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.variable_bytes = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::data("mysql.batch", format!("rows do not fit the schema: {error}")))
    }
}

impl Output {
    fn append(&mut self, cell: &Cell<'_>, kind: &Kind, policy: Policy) -> Result<(), Problem> {
        let builder = &mut self.builder;
        match *cell {
            Cell::Null if self.field.is_nullable() => builder.null(),
            Cell::Null => return Err("NULL in a column that is declared NOT NULL".to_owned()),
            Cell::Int(number) => return builder.number(number.into()),
            Cell::UInt(number) => return builder.number(number.into()),
            Cell::Float(number) => match builder {
                Builder::Float32(b) => b.append_value(number),
                Builder::Float64(b) => b.append_value(number.into()),
                _ => return Err(mismatch()),
            },
            Cell::Double(number) => match builder {
                Builder::Float64(b) => b.append_value(number),
                _ => return Err(mismatch()),
            },
            Cell::Decimal(number, scale) => return builder.decimal(number, scale),
            Cell::WideDecimal(bytes, precision, scale) => {
                if let Builder::Utf8(_) = builder {
                    return builder.text(&wide(bytes, precision, scale)?);
                }
                let text = wide(bytes, precision, scale)?;
                let (number, scale) =
                    decimal::parse(text.as_bytes()).ok_or_else(|| format!("{text} has more than 38 digits"))?;
                return builder.decimal(number, scale);
            }
            Cell::Utf8(bytes) => return self.utf8(bytes),
            Cell::Coded(bytes, coding, filled) => {
                let mut text = String::with_capacity(bytes.len());
                coding
                    .decode(bytes, &mut text)
                    .map_err(|place| format!("the text is not valid {} at byte {place}", coding.name))?;
                return builder.text(if filled { text.trim_end_matches(' ') } else { &text });
            }
            Cell::Bytes(bytes) => match (builder, kind) {
                (Builder::Binary(b), Kind::Binary(length)) if bytes.len() < *length => {
                    let mut padded = bytes.to_vec();
                    padded.resize(*length, 0);
                    b.append_value(padded);
                }
                (Builder::Binary(b), _) => b.append_value(bytes),
                _ => return Err(mismatch()),
            },
            Cell::Json(document) => {
                let mut text = String::with_capacity(document.len());
                json::print(document, &mut text).map_err(|_| "the JSON document is damaged".to_owned())?;
                return builder.text(&text);
            }
            Cell::Set(bits) => return set(builder, bits, kind),
            Cell::Enum(0) => return builder.text(""),
            Cell::Enum(number) => {
                let Kind::Enum(members) = kind else { return Err(mismatch()) };
                let index = usize::try_from(number - 1).map_err(|_| mismatch())?;
                return builder.text(members.get(index).ok_or_else(|| format!("the ENUM has no member {number}"))?);
            }
            Cell::Bits(bytes) => match builder {
                Builder::Binary(b) => b.append_value(bytes),
                other => return other.number(crate::bytes::big(bytes).into()),
            },
            Cell::Date(date) => return self.date(date, policy),
            Cell::Time(micros) => return self.time(micros, kind),
            Cell::DateTime(date, micros) => return self.date_time(date, micros, kind, policy),
            Cell::Instant(seconds, micros) => return self.instant(seconds, micros, policy),
        }
        Ok(())
    }

    fn utf8(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.builder.text(text),
            Err(error) => Err(format!("the text is not valid UTF-8 at byte {}", error.valid_up_to())),
        }
    }

    fn zero_date(&mut self, text: &str, policy: Policy) -> Result<(), Problem> {
        if policy.zero_date_is_null && self.field.is_nullable() {
            self.builder.null();
            return Ok(());
        }
        let why = if policy.zero_date_is_null { ", and the column is NOT NULL" } else { "" };
        Err(format!("{text} is no day of the calendar{why} (option 'scan.zero-date')"))
    }

    fn date(&mut self, date: temporal::Date, policy: Policy) -> Result<(), Problem> {
        if let Builder::Utf8(_) = self.builder {
            return self.builder.print(|out| date.print(out));
        }
        match date.days() {
            Some(days) => self.builder.number(days.into()),
            None => {
                let mut text = String::new();
                date.print(&mut text);
                self.zero_date(&text, policy)
            }
        }
    }

    fn time(&mut self, micros: i64, kind: &Kind) -> Result<(), Problem> {
        let digits = if let Kind::Time(digits) = kind { *digits } else { 0 };
        let mut text = String::new();
        let unit = match self.field.data_type() {
            DataType::Time32(unit) | DataType::Time64(unit) if (0..DAY_MICROS).contains(&micros) => *unit,
            DataType::Utf8 => return self.builder.print(|out| temporal::print_time(micros, digits, out)),
            _ => {
                temporal::print_time(micros, digits, &mut text);
                return Err(format!("{text} is no time of a day; STRING takes it"));
            }
        };
        self.builder.number(scaled(0, micros, unit))
    }

    fn date_time(&mut self, date: temporal::Date, micros: i64, kind: &Kind, policy: Policy) -> Result<(), Problem> {
        let digits = if let Kind::DateTime(digits) = kind { *digits } else { 0 };
        let print = |out: &mut String| {
            date.print(out);
            out.push(' ');
            temporal::print_time(micros, digits, out);
        };
        let unit = match self.field.data_type() {
            DataType::Utf8 => return self.builder.print(print),
            DataType::Timestamp(unit, _) => *unit,
            _ => return Err(mismatch()),
        };
        match date.days() {
            Some(days) => self.builder.number(scaled(i64::from(days) * 86_400, micros, unit)),
            None => {
                let mut text = String::new();
                print(&mut text);
                self.zero_date(&text, policy)
            }
        }
    }

    fn instant(&mut self, seconds: i64, micros: u32, policy: Policy) -> Result<(), Problem> {
        let (unit, zone) = match self.field.data_type() {
            DataType::Timestamp(unit, None) => (*unit, policy.zone_seconds),
            DataType::Timestamp(unit, Some(_)) => (*unit, 0),
            _ => return Err(mismatch()),
        };
        if seconds == 0 {
            return self.zero_date("0000-00-00 00:00:00", policy);
        }
        self.builder.number(scaled(seconds + zone, micros.into(), unit))
    }

    fn finish(&mut self) -> ArrayRef {
        let array = self.builder.finish();
        let as_i32 = || array.as_any().downcast_ref::<arrow::array::Int32Array>();
        let as_i64 = || array.as_any().downcast_ref::<arrow::array::Int64Array>();
        macro_rules! again {
            ($ints:expr, $kind:ty) => {
                $ints.map(|ints| Arc::new(ints.reinterpret_cast::<$kind>()) as ArrayRef)
            };
        }
        macro_rules! stamp {
            ($kind:ty, $zone:expr) => {
                as_i64().map(|i| Arc::new(i.reinterpret_cast::<$kind>().with_timezone_opt($zone.clone())) as ArrayRef)
            };
        }
        let cast = match self.field.data_type() {
            DataType::Date32 => again!(as_i32(), Date32Type),
            DataType::Time32(TimeUnit::Second) => again!(as_i32(), Time32SecondType),
            DataType::Time32(_) => again!(as_i32(), Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => again!(as_i64(), Time64MicrosecondType),
            DataType::Time64(_) => again!(as_i64(), Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, zone) => stamp!(TimestampSecondType, zone),
            DataType::Timestamp(TimeUnit::Millisecond, zone) => stamp!(TimestampMillisecondType, zone),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => stamp!(TimestampMicrosecondType, zone),
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => stamp!(TimestampNanosecondType, zone),
            _ => None,
        };
        cast.unwrap_or(array)
    }
}

/// Seconds and microseconds in a unit that holds them.
fn scaled(seconds: i64, micros: i64, unit: TimeUnit) -> i128 {
    let micros = i128::from(seconds) * 1_000_000 + i128::from(micros);
    match unit_digits(unit) {
        digits @ 0..=6 => micros.div_euclid(10_i128.pow(6 - u32::from(digits))),
        _ => micros * 1_000,
    }
}

fn wide(bytes: &[u8], precision: u8, scale: u8) -> Result<String, Problem> {
    let mut text = String::new();
    decimal::print_wide(bytes, precision, scale, &mut text).map_err(|_| "the DECIMAL is damaged".to_owned())?;
    Ok(text)
}

fn set(builder: &mut Builder, bits: u64, kind: &Kind) -> Result<(), Problem> {
    let Kind::Set(members) = kind else { return Err(mismatch()) };
    if members.len() < 64 && bits >> members.len() != 0 {
        return Err(format!("the SET has no members for the bits {bits:#b}"));
    }
    builder.print(|out| {
        for (_, member) in members.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1) {
            // The server's rule: an empty member in front has no comma behind it.
            if !out.is_empty() {
                out.push(',');
            }
            out.push_str(member);
        }
    })
}
