//! `CAST` and `TRY_CAST`, value by value as Flink's cast rules do it.
//!
//! | from | to | rule |
//! |---|---|---|
//! | integer, decimal | integer | the low bits; fractions are cut |
//! | FLOAT, DOUBLE | integer | cut, the nearest end where it does not fit, NaN is 0; below INT by way of INT |
//! | number | DECIMAL | half up from the exact value; NULL where it does not fit |
//! | BOOLEAN | number | 1 or 0; a number is TRUE unless it is 0 |
//! | text | number, BOOLEAN, time | see [`read`]; what cannot be read fails, with TRY_CAST it is NULL |
//! | anything | text | Flink's text; cut to the length, CHAR padded with blanks |
//! | text, bytes | bytes | UTF-8; cut to the length, BINARY padded with zeros |
//! | time | time | digits are cut towards 1970; a zone comes and goes by the session's |

mod bytes;
mod number;
pub(crate) mod read;
mod text;
mod time;

pub(crate) use text::{CastToText, trim_fraction};

use arrow::array::ArrayRef;
use datafusion::common::{DataFusionError, Result as Planned};
use headwater_change::{Error, Result};

use crate::functions::kernel::{Call, Kernel, Run};
use crate::typed::{Context, Typed, null};
use crate::types::SqlType;

/// `CAST(value AS target)`; with `lenient` TRY_CAST.
pub(crate) fn cast(context: Context<'_>, value: Typed, target: &SqlType, lenient: bool) -> Result<Typed> {
    if value.sql_type == SqlType::Null {
        return null(target);
    }
    if value.sql_type == *target && (value.nullable || !lenient) {
        return Ok(value);
    }
    if target.is_text() && value.sql_type != *target {
        return text::to_text(context, value, target, lenient);
    }
    let Some(run) = run_of(&value.sql_type, target, lenient) else {
        return Err(Error::usage("sql.cast", format!("{} cannot be CAST to {target}", value.sql_type)));
    };
    let nullable = value.nullable || lenient;
    let name = if lenient { "TRY_CAST" } else { "CAST" };
    let kernel = Kernel::new(format!("{name} AS {target}"), target.clone(), nullable, context.zone, run);
    Ok(Typed::new(kernel.call([(value.expr, value.sql_type)]), target.clone(), nullable))
}

/// The kernel between two types, or `None` where Flink has no such cast.
fn run_of(from: &SqlType, to: &SqlType, lenient: bool) -> Option<Run> {
    let strict_or = |strict: Run, lenient_run: Run| if lenient { lenient_run } else { strict };
    Some(match (from, to) {
        (from, to) if from == to => argument,
        (SqlType::Boolean, to) if to.is_numeric() => number::from_boolean,
        (from, SqlType::Boolean) if from.is_numeric() => number::to_boolean,
        (from, SqlType::Boolean) if from.is_text() => strict_or(number::read_boolean, number::try_boolean),
        (from, to) if from.is_numeric() && to.is_numeric() => number::to_number,
        (from, to) if from.is_text() && to.is_numeric() => strict_or(number::read_number, number::try_number),
        (from, to) if (from.is_text() || from.is_bytes()) && to.is_bytes() => bytes::to_bytes,
        (from, SqlType::Date | SqlType::Time(_) | SqlType::Timestamp(_) | SqlType::TimestampLtz(_))
            if from.is_text() =>
        {
            strict_or(time::read_time, time::try_time)
        }
        (SqlType::Date, to) if to.is_timestamp() => time::to_time,
        (SqlType::Time(_), SqlType::Time(_)) => time::to_time,
        (SqlType::Time(_), to) if to.is_timestamp() => time::to_time,
        (from, SqlType::Date | SqlType::Time(_)) if from.is_timestamp() => time::to_time,
        (from, to) if from.is_timestamp() && to.is_timestamp() => time::to_time,
        _ => return None,
    })
}

/// Whether an INSERT casts by itself.
pub(crate) fn implicit(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{BigInt, Date, Decimal, Double, Float, Int, SmallInt, Time, Timestamp, TimestampLtz, TinyInt};
    match (from, to) {
        (SqlType::Null, _) => true,
        (from, to) if from == to => true,
        (from, to) if from.is_text() && to.is_text() || from.is_bytes() && to.is_bytes() => true,
        (TinyInt, SmallInt | Int | BigInt) | (SmallInt, Int | BigInt) | (Int, BigInt) => true,
        (from, Decimal(..) | Double) if from.is_numeric() => true,
        (from, Float) if from.is_numeric() => *from != Double,
        (Time(_), Time(_)) | (Timestamp(_) | TimestampLtz(_), Timestamp(_) | TimestampLtz(_)) => true,
        (Timestamp(_), Date | Time(_)) => true,
        _ => false,
    }
}

/// What a value that cannot be read comes to.
fn unreadable<T>(lenient: bool, text: &str, target: &SqlType) -> Planned<Option<T>> {
    if lenient {
        return Ok(None);
    }
    let shown: String = text.chars().take(60).collect();
    Err(DataFusionError::External(Box::new(
        Error::data("sql.cast", format!("'{shown}' cannot be read as {target}"))
            .hint("TRY_CAST gives NULL for what cannot be read"),
    )))
}

/// A column of text.
fn strings(column: &ArrayRef) -> &arrow::array::StringArray {
    arrow::array::AsArray::as_string::<i32>(column)
}

/// The first argument.
fn argument(call: &Call<'_>) -> Planned<ArrayRef> {
    call.array(0)
}
