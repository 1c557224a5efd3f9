//! Values of Arrow columns as literals of SQL.

use std::fmt::Write;

use arrow::array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::temporal_conversions::{date32_to_datetime, timestamp_ms_to_datetime, timestamp_ns_to_datetime};
use arrow::temporal_conversions::{timestamp_s_to_datetime, timestamp_us_to_datetime};

/// Why a value cannot be written.
pub(crate) type Problem = String;

/// Appends the value at a row as a literal.
pub(crate) fn append(column: &dyn Array, row: usize, out: &mut String) -> Result<(), Problem> {
    if column.is_null(row) {
        out.push_str("NULL");
        return Ok(());
    }
    let written = match column.data_type() {
        DataType::Boolean => write!(out, "{}", u8::from(column.as_boolean().value(row))),
        DataType::Int8 => write!(out, "{}", column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => write!(out, "{}", column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => write!(out, "{}", column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write!(out, "{}", column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => return float(f64::from(column.as_primitive::<Float32Type>().value(row)), out),
        DataType::Float64 => return float(column.as_primitive::<Float64Type>().value(row), out),
        DataType::Decimal128(_, scale) => {
            return decimal(column.as_primitive::<Decimal128Type>().value(row), *scale, out);
        }
        DataType::Utf8 => return text(column.as_string::<i32>().value(row), out),
        DataType::Binary => return bytes(column.as_binary::<i32>().value(row), out),
        DataType::Date32 => {
            let value = date32_to_datetime(column.as_primitive::<Date32Type>().value(row));
            let value = value.ok_or("a date beyond the calendar")?;
            let year = chrono::Datelike::year(&value);
            if !(0..=9_999).contains(&year) {
                return Err(format!("the year {year} is not one of MySQL's"));
            }
            write!(out, "'{}'", value.format("%Y-%m-%d"))
        }
        DataType::Timestamp(unit, _) => return timestamp(column, *unit, row, out),
        DataType::Time32(_) | DataType::Time64(_) => return time(column, row, out),
        other => return Err(format!("a {other} has no literal")),
    };
    written.map_err(|error| error.to_string())
}

fn float(value: f64, out: &mut String) -> Result<(), Problem> {
    if !value.is_finite() {
        return Err(format!("{value} is no number of MySQL's"));
    }
    // With an exponent it is a DOUBLE; without it would be a DECIMAL, and rounded as such.
    write!(out, "{value:e}").map_err(|error| error.to_string())
}

fn decimal(value: i128, scale: i8, out: &mut String) -> Result<(), Problem> {
    let scale = usize::try_from(scale).map_err(|_| "a decimal of negative scale".to_owned())?;
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if value < 0 {
        out.push('-');
    }
    out.push_str(whole);
    if scale > 0 {
        out.push('.');
        out.push_str(fraction);
    }
    Ok(())
}

/// The session has backslashes as escapes, and utf8mb4.
fn text(value: &str, out: &mut String) -> Result<(), Problem> {
    out.push('\'');
    let mut rest = value;
    while let Some(at) = rest.find(['\'', '\\', '\0']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        out.push_str(match from.as_bytes().first() {
            Some(b'\'') => "''",
            Some(b'\\') => "\\\\",
            _ => "\\0",
        });
        rest = from.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
    out.push('\'');
    Ok(())
}

fn bytes(value: &[u8], out: &mut String) -> Result<(), Problem> {
    out.push_str("X'");
    digits(value, out)?;
    out.push('\'');
    Ok(())
}

/// The digits of bytes.
pub(super) fn digits(value: &[u8], out: &mut String) -> Result<(), Problem> {
    value.iter().try_for_each(|byte| write!(out, "{byte:02x}")).map_err(|error| error.to_string())
}

/// Whether a column that keeps so many digits of a second holds a literal of a time as it is. All of them have six.
pub(super) fn keeps(literal: &str, digits: u8) -> Result<(), Problem> {
    let text = literal.trim_end_matches('\'').as_bytes();
    let rest = text.len().saturating_sub(6_usize.saturating_sub(usize::from(digits)));
    if literal == "NULL" || text.get(rest..).unwrap_or_default().iter().all(|digit| *digit == b'0') {
        return Ok(());
    }
    Err(format!("{literal} has more digits of a second than the {digits} that the column keeps"))
}

fn timestamp(column: &dyn Array, unit: TimeUnit, row: usize, out: &mut String) -> Result<(), Problem> {
    use arrow::datatypes::{
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    };
    let value = match unit {
        TimeUnit::Second => timestamp_s_to_datetime(column.as_primitive::<TimestampSecondType>().value(row)),
        TimeUnit::Millisecond => timestamp_ms_to_datetime(column.as_primitive::<TimestampMillisecondType>().value(row)),
        TimeUnit::Microsecond => timestamp_us_to_datetime(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        TimeUnit::Nanosecond => timestamp_ns_to_datetime(column.as_primitive::<TimestampNanosecondType>().value(row)),
    };
    let value = value.ok_or("a time beyond the calendar")?;
    let year = chrono::Datelike::year(&value);
    if !(0..=9_999).contains(&year) {
        return Err(format!("the year {year} is not one of MySQL's"));
    }
    let nanos = chrono::Timelike::nanosecond(&value);
    if !nanos.is_multiple_of(1_000) {
        return Err(format!("{value} is finer than a microsecond"));
    }
    write!(out, "'{}'", value.format("%Y-%m-%d %H:%M:%S%.6f")).map_err(|error| error.to_string())
}

fn time(column: &dyn Array, row: usize, out: &mut String) -> Result<(), Problem> {
    use arrow::datatypes::{Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType};
    let micros = match column.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            i64::from(column.as_primitive::<Time32SecondType>().value(row)) * 1_000_000
        }
        DataType::Time32(_) => i64::from(column.as_primitive::<Time32MillisecondType>().value(row)) * 1_000,
        DataType::Time64(TimeUnit::Microsecond) => column.as_primitive::<Time64MicrosecondType>().value(row),
        _ => {
            let nanos = column.as_primitive::<Time64NanosecondType>().value(row);
            if nanos % 1_000 != 0 {
                return Err(format!("{nanos} ns is finer than a microsecond"));
            }
            nanos / 1_000
        }
    };
    out.push('\'');
    crate::rows::temporal::print_time(micros, 6, out);
    out.push('\'');
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float64Array, StringArray, Time64MicrosecondArray,
        TimestampMillisecondArray, TimestampNanosecondArray,
    };

    use super::*;

    fn literal(column: &ArrayRef) -> Result<String, Problem> {
        let mut out = String::new();
        append(column.as_ref(), 0, &mut out).map(|()| out)
    }

    #[test]
    fn values_become_literals_that_mean_the_same() {
        let decimal = |value: i128, scale| {
            Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale).unwrap()) as ArrayRef
        };
        let cases: Vec<(ArrayRef, &str)> = vec![
            (Arc::new(StringArray::from(vec!["it's a \\ and \0"])), "'it''s a \\\\ and \\0'"),
            (Arc::new(StringArray::from(vec![None::<&str>])), "NULL"),
            (Arc::new(BinaryArray::from(vec![&b"\x00\xff'"[..]])), "X'00ff27'"),
            (Arc::new(Float64Array::from(vec![0.1])), "1e-1"),
            (Arc::new(Float64Array::from(vec![-0.0])), "-0e0"),
            (decimal(-5, 3), "-0.005"),
            (decimal(12_345, 2), "123.45"),
            (decimal(7, 0), "7"),
            (Arc::new(Date32Array::from(vec![-719_528])), "'0000-01-01'"),
            (Arc::new(TimestampMillisecondArray::from(vec![-1])), "'1969-12-31 23:59:59.999000'"),
            (Arc::new(Time64MicrosecondArray::from(vec![3_661_000_001])), "'01:01:01.000001'"),
        ];
        for (column, expected) in cases {
            assert_eq!(literal(&column).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn digits_that_a_column_does_not_keep_are_seen() {
        for (literal, digits, kept) in [
            ("'2024-05-20 10:00:00.000000'", 0, true),
            ("'2024-05-20 10:00:00.120000'", 2, true),
            ("'2024-05-20 10:00:00.120000'", 1, false),
            ("'-10:00:00.000001'", 5, false),
            ("'-10:00:00.000001'", 6, true),
            ("NULL", 0, true),
        ] {
            assert_eq!(keeps(literal, digits).is_ok(), kept, "{literal} {digits}");
        }
    }

    #[test]
    fn what_mysql_has_not_is_refused() {
        let cases: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(vec![f64::NAN])),
            Arc::new(Float64Array::from(vec![f64::INFINITY])),
            Arc::new(Date32Array::from(vec![2_932_897])),
            Arc::new(TimestampNanosecondArray::from(vec![1])),
        ];
        for column in cases {
            assert!(literal(&column).is_err(), "{column:?}");
        }
    }
}
