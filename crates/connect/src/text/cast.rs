//! [`CastText`]: Flink's `CAST(x AS STRING)`.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, IntervalDayTimeType,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
};
use headwater_change::Result;

use super::time::{DAY_SECONDS, split_days, split_seconds, write_date, write_fraction, write_padded, write_time};
use super::{
    TimeZone, binary_value, dictionary_value, integer_value, no_text, string_value, temporal_value, unit_scale,
    write_decimal, write_double, write_float,
};

/// Writes values as Flink's `CAST(x AS STRING)` does.
///
/// BOOLEAN `TRUE`; DOUBLE `1.0E7`; DECIMAL with all digits of its scale; TIMESTAMP with the fraction digits of its unit;
/// TIMESTAMP_LTZ in the session's time zone; bytes `x'0aff'`; `[1, NULL]`, `{a=1}`, `(7, NULL)`; intervals
/// `+1 00:00:00.000` and `+1-06`. NULL is `NULL`.
#[derive(Clone, Copy, Debug)]
pub struct CastText {
    zone: TimeZone,
}

impl CastText {
    /// A writer that shows TIMESTAMP_LTZ in `zone`.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone }
    }

    /// Appends the value of `column` at `row`. Fails with `text.type` for a type that Flink does not have.
    pub fn write(&self, column: &dyn Array, row: usize, out: &mut String) -> Result<()> {
        if column.is_null(row) {
            out.push_str("NULL");
            return Ok(());
        }
        match column.data_type() {
            DataType::Null => out.push_str("NULL"),
            DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "TRUE" } else { "FALSE" }),
            DataType::Float32 => write_float(column.as_primitive::<Float32Type>().value(row), out),
            DataType::Float64 => write_double(column.as_primitive::<Float64Type>().value(row), out),
            DataType::Decimal128(_, scale) => {
                write_decimal(column.as_primitive::<Decimal128Type>().value(row), *scale, out);
            }
            DataType::Date32 => write_date(i64::from(column.as_primitive::<Date32Type>().value(row)), out),
            DataType::Date64 => {
                write_date(column.as_primitive::<Date64Type>().value(row).div_euclid(DAY_SECONDS * 1000), out);
            }
            DataType::Time32(unit) | DataType::Time64(unit) => {
                let (per_second, digits) = unit_scale(*unit);
                let (seconds, nanos) = split_seconds(temporal_value(column, row, *unit), per_second);
                write_time(split_days(seconds).1, out);
                write_fraction(nanos, digits, out);
            }
            DataType::Timestamp(unit, zone) => {
                let (per_second, digits) = unit_scale(*unit);
                let (seconds, nanos) = split_seconds(temporal_value(column, row, *unit), per_second);
                let offset = if zone.is_some() { self.zone.offset_seconds(seconds) } else { 0 };
                let (days, second) = split_days(seconds + offset);
                write_date(days, out);
                out.push(' ');
                write_time(second, out);
                write_fraction(nanos, digits, out);
            }
            DataType::Interval(unit) => write_interval(column, row, *unit, out),
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::Map(..)
            | DataType::Struct(_) => {
                write_nested(column, row, ("(", ")"), out, |column, row, out| self.write(column, row, out))?;
            }
            other => return self.write_other(other, column, row, out),
        }
        Ok(())
    }

    fn write_other(&self, data_type: &DataType, column: &dyn Array, row: usize, out: &mut String) -> Result<()> {
        if let Some(text) = string_value(column, row) {
            out.push_str(text);
        } else if let Some(number) = integer_value(column, row) {
            out.push_str(itoa::Buffer::new().format(number));
        } else if let Some(bytes) = binary_value(column, row) {
            out.push_str("x'");
            for byte in bytes {
                out.extend([byte >> 4, byte & 15].map(|half| char::from_digit(u32::from(half), 16).unwrap_or('0')));
            }
            out.push('\'');
        } else if let Some((values, index)) = dictionary_value(column, row) {
            return self.write(values, index, out);
        } else {
            return Err(no_text(data_type));
        }
        Ok(())
    }
}

/// The items of an array value of any of Arrow's list layouts.
pub(crate) fn list_value(column: &dyn Array, row: usize) -> Option<arrow::array::ArrayRef> {
    match column.data_type() {
        DataType::List(_) => Some(column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => Some(column.as_fixed_size_list().value(row)),
        _ => None,
    }
}

/// Appends the separator in front of every element but the first.
pub(crate) fn comma(index: usize, out: &mut String) {
    if index > 0 {
        out.push_str(", ");
    }
}

/// Months, and the rest in milliseconds, of an interval.
pub(crate) fn interval_parts(column: &dyn Array, row: usize, unit: IntervalUnit) -> (i64, i64) {
    const DAY_MILLIS: i64 = DAY_SECONDS * 1000;
    match unit {
        IntervalUnit::YearMonth => (i64::from(column.as_primitive::<IntervalYearMonthType>().value(row)), 0),
        IntervalUnit::DayTime => {
            let value = column.as_primitive::<IntervalDayTimeType>().value(row);
            (0, i64::from(value.days) * DAY_MILLIS + i64::from(value.milliseconds))
        }
        IntervalUnit::MonthDayNano => {
            let value = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
            (i64::from(value.months), i64::from(value.days) * DAY_MILLIS + value.nanoseconds / 1_000_000)
        }
    }
}

/// Appends a map, row or array whose values `write` appends; `row_marks` stand around the fields of a row.
pub(super) fn write_nested(
    column: &dyn Array,
    row: usize,
    row_marks: (&str, &str),
    out: &mut String,
    write: impl Fn(&dyn Array, usize, &mut String) -> Result<()>,
) -> Result<()> {
    if let Some(map) = column.as_map_opt() {
        let entries = map.value(row);
        out.push('{');
        for index in 0..entries.len() {
            comma(index, out);
            write(entries.column(0), index, out)?;
            out.push('=');
            write(entries.column(1), index, out)?;
        }
        out.push('}');
    } else if let Some(fields) = column.as_struct_opt() {
        out.push_str(row_marks.0);
        for (index, field) in fields.columns().iter().enumerate() {
            comma(index, out);
            write(field, row, out)?;
        }
        out.push_str(row_marks.1);
    } else if let Some(items) = list_value(column, row) {
        out.push('[');
        for index in 0..items.len() {
            comma(index, out);
            write(&items, index, out)?;
        }
        out.push(']');
    }
    Ok(())
}

/// Flink has two kinds of interval: `+1-06` (years and months) and `+1 00:00:00.000` (days and time).
fn write_interval(column: &dyn Array, row: usize, unit: IntervalUnit, out: &mut String) {
    let (months, millis) = interval_parts(column, row, unit);
    let sign = |value: i64| if value < 0 { '-' } else { '+' };
    if months != 0 || unit == IntervalUnit::YearMonth {
        out.push(sign(months));
        write_padded(months.unsigned_abs() / 12, 1, out);
        out.push('-');
        write_padded(months.unsigned_abs() % 12, 2, out);
        if millis == 0 {
            return;
        }
        out.push(' ');
    }
    let size = millis.unsigned_abs();
    out.push(sign(millis));
    write_padded(size / 86_400_000, 1, out);
    out.push(' ');
    write_time(size / 1000 % 86_400, out);
    out.push('.');
    write_padded(size % 1000, 3, out);
}
