//! Values as text.
//!
//! * [`CastText`] writes what Flink's `CAST(x AS STRING)` gives: `TRUE`, `1.0E7`, `2024-04-25 10:00:00.000`, `[1, NULL]`.
//! * [`PrintText`] writes what Flink's print connector prints: `+I[DE, 1, null]`, values by Java's `toString`.
//!
//! Both write into a buffer of the caller's and allocate nothing for a value. The law: a text depends on value and type
//! alone, and for TIMESTAMP_LTZ on the session's time zone.

mod cast;

mod print;
#[cfg(test)]
mod tests;

pub use cast::CastText;
pub(crate) use cast::list_value;
pub use headwater_change::TimeZone;
pub(crate) use headwater_change::calendar as time;
pub use headwater_change::number::{write_decimal, write_double, write_float};
pub use print::PrintText;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::datatypes::{
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use headwater_change::Error;

/// Units in a second and digits of its fraction.
pub(crate) fn unit_scale(unit: TimeUnit) -> (i64, u32) {
    match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    }
}

/// The number inside a Time or Timestamp value, in its own unit.
pub(crate) fn temporal_value(column: &dyn Array, row: usize, unit: TimeUnit) -> i64 {
    match (column.data_type(), unit) {
        (DataType::Timestamp(..), TimeUnit::Second) => column.as_primitive::<TimestampSecondType>().value(row),
        (DataType::Timestamp(..), TimeUnit::Millisecond) => {
            column.as_primitive::<TimestampMillisecondType>().value(row)
        }
        (DataType::Timestamp(..), TimeUnit::Microsecond) => {
            column.as_primitive::<TimestampMicrosecondType>().value(row)
        }
        (DataType::Timestamp(..), TimeUnit::Nanosecond) => column.as_primitive::<TimestampNanosecondType>().value(row),
        (_, TimeUnit::Second) => i64::from(column.as_primitive::<Time32SecondType>().value(row)),
        (_, TimeUnit::Millisecond) => i64::from(column.as_primitive::<Time32MillisecondType>().value(row)),
        (_, TimeUnit::Microsecond) => column.as_primitive::<Time64MicrosecondType>().value(row),
        (_, TimeUnit::Nanosecond) => column.as_primitive::<Time64NanosecondType>().value(row),
    }
}

/// An integer of any width, or `None` for another type.
pub(crate) fn integer_value(column: &dyn Array, row: usize) -> Option<i128> {
    use arrow::datatypes::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
    Some(match column.data_type() {
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        _ => return None,
    })
}

/// The bytes of a value of any of Arrow's binary layouts.
pub(crate) fn binary_value(column: &dyn Array, row: usize) -> Option<&[u8]> {
    match column.data_type() {
        DataType::Binary => Some(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(column.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Some(column.as_fixed_size_binary().value(row)),
        _ => None,
    }
}

/// The text of a value of any of Arrow's string layouts.
pub(crate) fn string_value(column: &dyn Array, row: usize) -> Option<&str> {
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(column.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(column.as_string_view().value(row)),
        _ => None,
    }
}

/// The key of a dictionary value and its values, or `None` for another type.
pub(crate) fn dictionary_value(column: &dyn Array, row: usize) -> Option<(&dyn Array, usize)> {
    let dictionary = column.as_any_dictionary_opt()?;
    let key = dictionary.keys();
    let index = integer_value(key, row).and_then(|index| usize::try_from(index).ok())?;
    Some((dictionary.values().as_ref(), index))
}

/// The error for a type that no text is defined for.
pub(crate) fn no_text(data_type: &DataType) -> Error {
    Error::usage("text.type", format!("values of the type {data_type} cannot be written as text"))
        .hint("CAST the column to a type that has a text")
}

/// Rows as CAST shows them, for tests.
#[cfg(test)]
pub(crate) fn shown(batch: &arrow::array::RecordBatch) -> Vec<String> {
    let text = CastText::new(TimeZone::UTC);
    let line = |row| {
        let mut line = String::new();
        for (index, column) in batch.columns().iter().enumerate() {
            line.push_str(if index > 0 { "|" } else { "" });
            text.write(column, row, &mut line).expect("text");
        }
        line
    };
    (0..batch.num_rows()).map(line).collect()
}
