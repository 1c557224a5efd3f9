//! The printer: a batch to an aligned table. Total: what the notation does not know is printed as Arrow prints it.

use std::fmt::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::array_value_to_string;

use super::{time, types};
use crate::ChangeBatch;

/// The batch as a table, header first, columns aligned (numbers to the right), every line ended.
pub fn print(batch: &ChangeBatch) -> String {
    let rows = batch.rows();
    let mut columns = vec![vec!["op".to_owned()]];
    columns[0].extend((0..batch.len()).map(|row| batch.op(row).short().to_owned()));
    let mut right = vec![false];
    for (field, array) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        let mut cells = Vec::with_capacity(1 + batch.len());
        let mut head = String::new();
        types::write_field(&mut head, field);
        cells.push(head);
        cells.extend((0..batch.len()).map(|row| print_value(array, row)));
        columns.push(cells);
        right.push(field.data_type().is_numeric());
    }
    let widths: Vec<usize> = columns.iter().map(|cells| cells.iter().map(|c| width(c)).max().unwrap_or(0)).collect();

    let mut out = String::new();
    for line in 0..=batch.len() {
        for (i, cells) in columns.iter().enumerate() {
            let (cell, pad) = (&cells[line], widths[i] - width(&cells[line]));
            let last = i + 1 == columns.len();
            out.push_str(if i == 0 { "" } else { " | " });
            if right[i] && line > 0 {
                let _ = write!(out, "{:pad$}{cell}", "");
            } else if last {
                out.push_str(cell);
            } else {
                let _ = write!(out, "{cell}{:pad$}", "");
            }
        }
        out.push('\n');
    }
    out
}

/// One row's values as in the table, unaligned: `101 | "/products/1"`. `row` must be below the number of rows.
pub fn print_row(rows: &RecordBatch, row: usize) -> String {
    let cells: Vec<String> = rows.columns().iter().map(|array| print_value(array, row)).collect();
    cells.join(" | ")
}

/// One value as in the table. `index` must be below the array's length.
pub fn print_value(array: &dyn Array, index: usize) -> String {
    let mut out = String::new();
    write_value(&mut out, array, index);
    out
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// Appends a JSON string. Everything but quotes, backslashes and control characters stays as it is.
pub(super) fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_value(out: &mut String, array: &dyn Array, i: usize) {
    if array.is_null(i) {
        return out.push_str("null");
    }
    let _ = match array.data_type() {
        DataType::Null => out.write_str("null"),
        DataType::Boolean => write!(out, "{}", array.as_boolean().value(i)),
        DataType::Int8 => write!(out, "{}", array.as_primitive::<Int8Type>().value(i)),
        DataType::Int16 => write!(out, "{}", array.as_primitive::<Int16Type>().value(i)),
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(i)),
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(i)),
        DataType::UInt8 => write!(out, "{}", array.as_primitive::<UInt8Type>().value(i)),
        DataType::UInt16 => write!(out, "{}", array.as_primitive::<UInt16Type>().value(i)),
        DataType::UInt32 => write!(out, "{}", array.as_primitive::<UInt32Type>().value(i)),
        DataType::UInt64 => write!(out, "{}", array.as_primitive::<UInt64Type>().value(i)),
        DataType::Float32 => match array.as_primitive::<Float32Type>().value(i) {
            value if value.is_infinite() => out.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" }),
            value => write!(out, "{value:?}"),
        },
        DataType::Float64 => match array.as_primitive::<Float64Type>().value(i) {
            value if value.is_infinite() => out.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" }),
            value => write!(out, "{value:?}"),
        },
        DataType::Decimal128(_, scale) => {
            return write_decimal(out, array.as_primitive::<Decimal128Type>().value(i), *scale);
        }
        DataType::Utf8 => return write_quoted(out, array.as_string::<i32>().value(i)),
        DataType::Binary => {
            out.push_str("x'");
            for byte in array.as_binary::<i32>().value(i) {
                let _ = write!(out, "{byte:02x}");
            }
            out.write_char('\'')
        }
        DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_)
        | DataType::Interval(_) => return write_temporal(out, array, i),
        DataType::List(_) | DataType::Map(_, false) | DataType::Struct(_) => return write_nested(out, array, i),
        _ => return write_quoted(out, &array_value_to_string(array, i).unwrap_or_else(|error| error.to_string())),
    };
}

fn write_decimal(out: &mut String, value: i128, scale: i8) {
    let magnitude = value.unsigned_abs();
    out.push_str(if value < 0 { "-" } else { "" });
    let _ = match usize::try_from(scale) {
        Ok(0) => write!(out, "{magnitude}"),
        Ok(places) => {
            // At least one digit before the point.
            let text = format!("{magnitude:0width$}", width = places + 1);
            let (whole, fraction) = text.split_at(text.len() - places);
            write!(out, "{whole}.{fraction}")
        }
        Err(_) => write!(out, "{magnitude}e{}", -i16::from(scale)),
    };
}

fn write_temporal(out: &mut String, array: &dyn Array, i: usize) {
    let _ = match array.data_type() {
        DataType::Date32 => return time::write_date(out, i64::from(array.as_primitive::<Date32Type>().value(i))),
        DataType::Interval(IntervalUnit::YearMonth) => {
            write!(out, "{}mo", array.as_primitive::<IntervalYearMonthType>().value(i))
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let value = array.as_primitive::<IntervalDayTimeType>().value(i);
            write!(out, "{}d {}ms", value.days, value.milliseconds)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(i);
            write!(out, "{}mo {}d {}ns", value.months, value.days, value.nanoseconds)
        }
        DataType::Duration(unit) => write!(out, "{}{}", ticks(array, i), types::unit_name(*unit)),
        DataType::Timestamp(unit, zone) => {
            time::write_timestamp(out, ticks(array, i), *unit);
            // The stored value is UTC whatever the zone's name.
            out.write_str(if zone.is_some() { "Z" } else { "" })
        }
        DataType::Time32(unit) | DataType::Time64(unit) => return time::write_time(out, ticks(array, i), *unit),
        _ => Ok(()),
    };
}

/// The number behind a time, a timestamp or a duration.
fn ticks(array: &dyn Array, i: usize) -> i64 {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match array.data_type() {
        DataType::Time32(Second) => i64::from(array.as_primitive::<Time32SecondType>().value(i)),
        DataType::Time32(_) => i64::from(array.as_primitive::<Time32MillisecondType>().value(i)),
        DataType::Time64(Microsecond) => array.as_primitive::<Time64MicrosecondType>().value(i),
        DataType::Time64(_) => array.as_primitive::<Time64NanosecondType>().value(i),
        DataType::Timestamp(Second, _) => array.as_primitive::<TimestampSecondType>().value(i),
        DataType::Timestamp(Millisecond, _) => array.as_primitive::<TimestampMillisecondType>().value(i),
        DataType::Timestamp(Microsecond, _) => array.as_primitive::<TimestampMicrosecondType>().value(i),
        DataType::Timestamp(Nanosecond, _) => array.as_primitive::<TimestampNanosecondType>().value(i),
        DataType::Duration(Second) => array.as_primitive::<DurationSecondType>().value(i),
        DataType::Duration(Millisecond) => array.as_primitive::<DurationMillisecondType>().value(i),
        DataType::Duration(Microsecond) => array.as_primitive::<DurationMicrosecondType>().value(i),
        DataType::Duration(Nanosecond) => array.as_primitive::<DurationNanosecondType>().value(i),
        _ => 0,
    }
}

fn write_nested(out: &mut String, array: &dyn Array, i: usize) {
    match array.data_type() {
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(i);
            write_items(out, ['[', ']'], items.len(), |out, item| write_value(out, &items, item));
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(i);
            write_items(out, ['{', '}'], entries.len(), |out, entry| {
                write_value(out, entries.column(0), entry);
                out.push_str(": ");
                write_value(out, entries.column(1), entry);
            });
        }
        _ => {
            let columns = array.as_struct().columns();
            write_items(out, ['(', ')'], columns.len(), |out, column| write_value(out, &columns[column], i));
        }
    }
}

fn write_items(out: &mut String, [open, close]: [char; 2], count: usize, mut item: impl FnMut(&mut String, usize)) {
    out.push(open);
    for i in 0..count {
        out.push_str(if i == 0 { "" } else { ", " });
        item(out, i);
    }
    out.push(close);
}
