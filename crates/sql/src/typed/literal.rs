//! Constants with Flink's types: whole numbers are INT where they fit, then BIGINT, then DECIMAL; `1.50` is DECIMAL(3, 2);
//! text is CHAR of its length; a TIMESTAMP has as many digits as are written.

use std::sync::Arc;

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::FieldMetadata;
use headwater_change::{Error, Result};

use super::Typed;
use crate::dialect::Dialect;
use crate::functions::cast::read;
use crate::functions::value::{micros_interval, months_interval};
use crate::types::{STRING, SqlType, unit};

/// A constant of the parser's.
pub(super) fn literal(dialect: Dialect, value: &ScalarValue, metadata: Option<&FieldMetadata>) -> Result<Typed> {
    if let Some(metadata) = metadata {
        // A constant of ours says its type.
        let field = arrow::datatypes::Field::new("", value.data_type(), true).with_metadata(metadata.to_hashmap());
        return Ok(constant(value.clone(), SqlType::of(&field)));
    }
    Ok(match value {
        ScalarValue::Int64(Some(number)) => match i32::try_from(*number) {
            Ok(number) => constant(ScalarValue::Int32(Some(number)), SqlType::Int),
            Err(_) => constant(value.clone(), SqlType::BigInt),
        },
        ScalarValue::UInt64(Some(number)) => {
            return Err(Error::usage("sql.literal", format!("the number '{number}' is out of range"))
                .hint("DECIMAL holds 38 digits: write CAST('…' AS DECIMAL(38, 0))"));
        }
        ScalarValue::Utf8(Some(_)) if dialect == Dialect::Spark => constant(value.clone(), STRING),
        ScalarValue::Utf8(Some(text)) => {
            let length = u32::try_from(text.chars().count()).unwrap_or(crate::types::UNBOUNDED);
            constant(value.clone(), SqlType::Char(length))
        }
        other => constant(other.clone(), SqlType::from_arrow(&other.data_type())),
    })
}

/// A value that says its whole type.
///
/// A constant has no negative zero: Flink's planner keeps constants as decimals. At run time `-0.0` is a value.
pub(crate) fn constant(value: ScalarValue, sql_type: SqlType) -> Typed {
    let value = match value {
        // A sum with zero has no sign.
        ScalarValue::Float64(Some(number)) => ScalarValue::Float64(Some(number + 0.0)),
        ScalarValue::Float32(Some(number)) => ScalarValue::Float32(Some(number + 0.0)),
        other => other,
    };
    let metadata = sql_type.metadata().map(|entry| FieldMetadata::from(std::collections::BTreeMap::from([entry])));
    let nullable = value.is_null();
    Typed::new(Expr::Literal(value, metadata), sql_type, nullable)
}

/// NULL of a type.
pub(crate) fn null(sql_type: &SqlType) -> Result<Typed> {
    let value = ScalarValue::try_from(&sql_type.arrow())
        .map_err(|error| Error::bug("sql.null", format!("NULL of {sql_type}")).caused_by(error))?;
    Ok(constant(value, sql_type.clone()))
}

/// `1.50`: as many digits as are written, zeros in front included.
pub(crate) fn decimal(text: &str) -> Result<Typed> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    let precision = digits.len();
    let unscaled = digits.parse::<i128>().ok().filter(|_| precision <= 38);
    let (Some(unscaled), Ok(precision), Ok(scale)) = (unscaled, u8::try_from(precision), u8::try_from(fraction.len()))
    else {
        return Err(Error::usage("sql.literal", format!("the number {text} has more than 38 digits"))
            .hint("write it with an exponent (1E0 is DOUBLE) or as text"));
    };
    let sql_type = SqlType::Decimal(precision, scale);
    Ok(constant(ScalarValue::Decimal128(Some(unscaled), precision, i8::try_from(scale).unwrap_or(0)), sql_type))
}

/// `DATE '2024-01-31'` and its kin; `kind` is one of the words in front, DECIMAL or BINARY.
pub(crate) fn typed_text(kind: &str, text: &str) -> Result<Typed> {
    let wrong = |form: &str| {
        Error::usage("sql.literal", format!("{kind} '{text}' cannot be read")).hint(format!("write it like {form}"))
    };
    match kind {
        "DECIMAL" => decimal(text),
        "BINARY" => {
            let bytes: Option<Vec<u8>> = (text.len().is_multiple_of(2) && text.is_ascii())
                .then(|| {
                    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
                })
                .flatten();
            let bytes = bytes.ok_or_else(|| wrong("x'0aff'"))?;
            let length = u32::try_from(bytes.len()).unwrap_or(crate::types::UNBOUNDED);
            Ok(constant(ScalarValue::Binary(Some(bytes)), SqlType::Binary(length)))
        }
        "DATE" => {
            let days = read::strict_date(text).ok_or_else(|| wrong("DATE '2024-01-31'"))?;
            Ok(constant(ScalarValue::Date32(i32::try_from(days).ok()), SqlType::Date))
        }
        "TIME" => {
            let (second, nanos, digits) = read::strict_time(text).ok_or_else(|| wrong("TIME '10:00:01'"))?;
            let sql_type = SqlType::Time(digits);
            time_of(&sql_type, second, nanos)
                .ok_or_else(|| wrong("TIME '10:00:01'"))
                .map(|value| constant(value, sql_type))
        }
        _ => {
            let (seconds, nanos, digits) =
                read::strict_timestamp(text).ok_or_else(|| wrong("TIMESTAMP '2024-01-31 10:00:01.123'"))?;
            let sql_type = SqlType::Timestamp(digits);
            let value = read::in_unit(seconds, nanos, unit(digits))
                .ok_or_else(|| wrong("TIMESTAMP '2024-01-31 10:00:01.123'"))?;
            Ok(constant(timestamp(value, &sql_type), sql_type))
        }
    }
}

fn time_of(sql_type: &SqlType, second: i64, nanos: i64) -> Option<ScalarValue> {
    let SqlType::Time(digits) = sql_type else { return None };
    let value = read::in_unit(second, nanos, unit(*digits))?;
    Some(match unit(*digits) {
        arrow::datatypes::TimeUnit::Second => ScalarValue::Time32Second(i32::try_from(value).ok()),
        arrow::datatypes::TimeUnit::Millisecond => ScalarValue::Time32Millisecond(i32::try_from(value).ok()),
        arrow::datatypes::TimeUnit::Microsecond => ScalarValue::Time64Microsecond(Some(value)),
        arrow::datatypes::TimeUnit::Nanosecond => ScalarValue::Time64Nanosecond(Some(value)),
    })
}

/// A timestamp in the unit of its type.
pub(crate) fn timestamp(value: i64, sql_type: &SqlType) -> ScalarValue {
    let (digits, zone): (u8, Option<Arc<str>>) = match sql_type {
        SqlType::TimestampLtz(digits) => (*digits, Some("UTC".into())),
        SqlType::Timestamp(digits) => (*digits, None),
        _ => (3, None),
    };
    match unit(digits) {
        arrow::datatypes::TimeUnit::Second => ScalarValue::TimestampSecond(Some(value), zone),
        arrow::datatypes::TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(value), zone),
        arrow::datatypes::TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(value), zone),
        arrow::datatypes::TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(value), zone),
    }
}

/// Fields of an interval from the greatest down: name, and its size in the unit below.
const MONTHS: &[(&str, i64)] = &[("YEAR", 12), ("MONTH", 1)];
const MILLIS: &[(&str, i64)] = &[("DAY", 86_400_000), ("HOUR", 3_600_000), ("MINUTE", 60_000), ("SECOND", 1_000)];

/// `INTERVAL '1 02:03:04.567' DAY TO SECOND`: `parts` are the text, the first unit and the last where there is one.
pub(crate) fn interval(parts: &[&str]) -> Result<Typed> {
    let (text, first, last) = match parts {
        [text, only] => (*text, *only, *only),
        [text, first, last] => (*text, *first, *last),
        _ => return Err(Error::bug("sql.interval", "an interval without a unit")),
    };
    let wrong = || {
        Error::usage("sql.literal", format!("INTERVAL '{text}' {first} cannot be read")).hint(
            "write it like INTERVAL '5' SECOND, INTERVAL '1 02:03:04' DAY TO SECOND or INTERVAL '1-6' YEAR TO MONTH",
        )
    };
    let (negative, digits) = match text.trim().strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.trim().trim_start_matches('+')),
    };
    let (fields, months) = if MONTHS.iter().any(|(name, _)| *name == first) {
        (MONTHS, true)
    } else if matches!(first, "WEEK" | "QUARTER") && first == last {
        (&[("WEEK", 7 * 86_400_000), ("QUARTER", 3)][..], first == "QUARTER")
    } else {
        (MILLIS, false)
    };
    let from = fields.iter().position(|(name, _)| *name == first).ok_or_else(wrong)?;
    let to = fields.iter().position(|(name, _)| *name == last).filter(|to| *to >= from).ok_or_else(wrong)?;
    let units = fields.get(from..=to).ok_or_else(wrong)?;
    let total = fields_total(digits, units).ok_or_else(wrong)?;
    let total = if negative { -total } else { total };
    Ok(if months {
        let months = i32::try_from(total).map_err(|_| wrong())?;
        constant(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, 0, 0))), SqlType::Months)
    } else {
        constant(millis(total).ok_or_else(wrong)?, SqlType::Millis)
    })
}

/// An interval of milliseconds.
pub(crate) fn millis(total: i64) -> Option<ScalarValue> {
    let nanos = total.checked_mul(1_000_000);
    let value = match nanos {
        Some(nanos) => IntervalMonthDayNano::new(0, 0, nanos),
        None => {
            let days = i32::try_from(total / 86_400_000).ok()?;
            IntervalMonthDayNano::new(0, days, total % 86_400_000 * 1_000_000)
        }
    };
    Some(ScalarValue::IntervalMonthDayNano(Some(value)))
}

/// Adds up `1 02:03:04.567` by its fields.
fn fields_total(text: &str, units: &[(&str, i64)]) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    for (index, (name, size)) in units.iter().enumerate() {
        let last = index + 1 == units.len();
        let end = if last { rest.len() } else { rest.find([' ', ':', '-'])? };
        let field = rest.get(..end)?.trim();
        let (whole, fraction) = match field.split_once('.') {
            Some((whole, fraction)) if *name == "SECOND" && last => (whole, fraction),
            Some(_) => return None,
            None => (field, ""),
        };
        let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > 9 {
            return None;
        }
        total = total.checked_add(whole.parse::<i64>().ok()?.checked_mul(*size)?)?;
        if !fraction.is_empty() {
            let millis = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
            total = total.checked_add(millis)?;
        }
        rest = if last { "" } else { rest.get(end + 1..)? };
    }
    Some(total)
}

/// An interval of Spark's: months or microseconds, as its type says.
pub(crate) fn interval_constant(count: i64, sql_type: &SqlType) -> Typed {
    let value = match sql_type {
        SqlType::YearMonth(..) => months_interval(count),
        _ => micros_interval(count),
    };
    constant(ScalarValue::IntervalMonthDayNano(Some(value)), sql_type.clone())
}

/// The whole number of a constant.
pub(crate) fn whole_constant(value: &Typed) -> Option<i64> {
    match &value.expr {
        Expr::Literal(ScalarValue::Int8(Some(number)), _) => Some(i64::from(*number)),
        Expr::Literal(ScalarValue::Int16(Some(number)), _) => Some(i64::from(*number)),
        Expr::Literal(ScalarValue::Int32(Some(number)), _) => Some(i64::from(*number)),
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => Some(*number),
        Expr::Negative(inner) => {
            whole_constant(&Typed::new(inner.as_ref().clone(), value.sql_type.clone(), false)).map(|number| -number)
        }
        _ => None,
    }
}
