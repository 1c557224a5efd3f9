//! [`PrintText`]: rows as Flink's print connector shows them.
//!
//! Rule: the connector turns a row into its external Java objects and prints `Row.toString`, so values look as Java's
//! `toString` makes them: `true`, `2024-04-25T10:00` (no seconds when they are zero), `[10, -1]` for bytes, `null`.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use headwater_change::{Op, Result};

use super::cast::{comma, interval_parts, write_nested};
use super::time::{needed_digits, split_days, split_seconds, write_date, write_fraction, write_padded, write_time};
use super::{CastText, TimeZone, binary_value, dictionary_value, temporal_value, unit_scale};

/// Writes rows as Flink's print connector does.
#[derive(Clone, Copy, Debug)]
pub struct PrintText {
    /// For all types whose `toString` is what CAST gives.
    cast: CastText,
}

impl Default for PrintText {
    fn default() -> Self {
        Self { cast: CastText::new(TimeZone::UTC) }
    }
}

impl PrintText {
    /// Appends `+I[DE, 1, null]`.
    pub fn row(&self, op: Op, batch: &RecordBatch, row: usize, out: &mut String) -> Result<()> {
        out.push_str(op.short());
        out.push('[');
        for (index, column) in batch.columns().iter().enumerate() {
            comma(index, out);
            self.write(column, row, out)?;
        }
        out.push(']');
        Ok(())
    }

    /// Appends one value.
    pub fn write(&self, column: &dyn Array, row: usize, out: &mut String) -> Result<()> {
        if column.is_null(row) {
            out.push_str("null");
            return Ok(());
        }
        match column.data_type() {
            DataType::Null => out.push_str("null"),
            DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
            DataType::Time32(unit) | DataType::Time64(unit) => {
                let (seconds, nanos) = split_seconds(temporal_value(column, row, *unit), unit_scale(*unit).0);
                write_local_time(split_days(seconds).1, nanos, false, out);
            }
            DataType::Timestamp(unit, zone) => write_timestamp(column, row, *unit, zone.is_some(), out),
            DataType::Interval(unit) => write_interval(column, row, *unit, out),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                out.push('[');
                for (index, byte) in binary_value(column, row).unwrap_or_default().iter().enumerate() {
                    comma(index, out);
                    out.push_str(itoa::Buffer::new().format(byte.cast_signed()));
                }
                out.push(']');
            }
            DataType::Dictionary(..) => {
                if let Some((values, index)) = dictionary_value(column, row) {
                    self.write(values, index, out)?;
                }
            }
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::Map(..)
            | DataType::Struct(_) => {
                write_nested(column, row, ("+I[", "]"), out, |column, row, out| self.write(column, row, out))?;
            }
            _ => self.cast.write(column, row, out)?,
        }
        Ok(())
    }
}

/// `LocalDateTime.toString` (`2024-04-25T10:00`), or `Instant.toString` (`2024-04-25T10:00:00Z`).
fn write_timestamp(column: &dyn Array, row: usize, unit: TimeUnit, instant: bool, out: &mut String) {
    let (seconds, nanos) = split_seconds(temporal_value(column, row, unit), unit_scale(unit).0);
    let (days, second) = split_days(seconds);
    write_date(days, out);
    out.push('T');
    write_local_time(second, nanos, instant, out);
    if instant {
        out.push('Z');
    }
}

/// `LocalTime.toString`: seconds only when something follows the minutes, the fraction in groups of three digits.
fn write_local_time(second: u64, nanos: u32, with_seconds: bool, out: &mut String) {
    if second.is_multiple_of(60) && nanos == 0 && !with_seconds {
        write_padded(second / 3600, 2, out);
        out.push(':');
        return write_padded(second / 60 % 60, 2, out);
    }
    write_time(second, out);
    write_fraction(nanos, needed_digits(nanos).div_ceil(3) * 3, out);
}

/// `Period.toString` (`P1Y6M`) or `Duration.toString` (`PT24H`).
fn write_interval(column: &dyn Array, row: usize, unit: IntervalUnit, out: &mut String) {
    let (months, millis) = interval_parts(column, row, unit);
    let part = |number: i64, letter: char, out: &mut String| {
        if number != 0 {
            out.push_str(itoa::Buffer::new().format(number));
            out.push(letter);
        }
    };
    if months != 0 || unit == IntervalUnit::YearMonth {
        out.push('P');
        part(months / 12, 'Y', out);
        part(months % 12, 'M', out);
        return out.push_str(if months == 0 { "0D" } else { "" });
    }
    out.push_str("PT");
    part(millis / 3_600_000, 'H', out);
    part(millis / 60_000 % 60, 'M', out);
    let rest = millis % 60_000;
    if rest != 0 || millis == 0 {
        if rest < 0 {
            out.push('-');
        }
        let size = rest.unsigned_abs();
        write_padded(size / 1000, 1, out);
        if size % 1000 != 0 {
            let nanos = u32::try_from(size % 1000).unwrap_or(0) * 1_000_000;
            write_fraction(nanos, needed_digits(nanos), out);
        }
        out.push('S');
    }
}
