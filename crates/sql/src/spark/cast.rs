//! `CAST` and `TRY_CAST` by Spark's rules.
//!
//! | from | to | rule |
//! |---|---|---|
//! | number | integer | fractions are cut; what does not fit fails, without ANSI its low bits stay |
//! | number | DECIMAL | half up; what does not fit fails, without ANSI it is NULL |
//! | text | number | blanks around are ignored; `1.5` is no whole number in ANSI mode |
//! | text | DATE, TIMESTAMP | `2024`, `2024-1`, `2024-1-5`, with a time behind ` ` or `T`, with a zone behind that |
//! | number | TIMESTAMP | seconds since 1970 |
//! | anything | text | Spark's text |

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast as arrow_cast;
use datafusion::common::{DataFusionError, Result as Planned};
use headwater_change::calendar::{days_from_civil, month_days};
use headwater_change::{Error, Result, TimeZone};

use super::text;
use super::types::{digits, name};
use crate::functions::cast::read;
use crate::functions::kernel::{Call, Kernel, Row};
use crate::functions::value::{Value, entry_types, field_types, item_type};
use crate::typed::{Context, Typed, null};
use crate::types::SqlType;

const SECOND: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// `CAST(value AS target)`; with `lenient` TRY_CAST.
pub(crate) fn cast(context: Context<'_>, value: Typed, target: &SqlType, lenient: bool) -> Result<Typed> {
    if value.sql_type == SqlType::Null {
        return null(target);
    }
    if value.sql_type == *target {
        return Ok(value);
    }
    if !castable(&value.sql_type, target) {
        let (from, to) = (name(&value.sql_type).to_uppercase(), name(target).to_uppercase());
        return Err(Error::usage("sql.cast", format!("{from} cannot be CAST to {to}")));
    }
    let shown = name(target).to_uppercase();
    let kernel =
        |name: String, nullable: bool| Kernel::new(name, target.clone(), nullable, context.zone, widen).total();
    if widens(&value.sql_type, target, context.zone) {
        let nullable = value.nullable;
        let expr = kernel(format!("CAST AS {shown}"), nullable).call([(value.expr, value.sql_type)]);
        return Ok(Typed::new(expr, target.clone(), nullable));
    }
    let nullable = value.nullable || lenient || !context.ansi;
    let (called, run): (&str, crate::functions::kernel::RowRun) =
        if lenient { ("TRY_CAST", try_cast_row) } else { ("CAST", cast_row) };
    let kernel = Kernel::rows(format!("{called} AS {shown}"), target.clone(), nullable, context, run);
    Ok(Typed::new(kernel.call([(value.expr, value.sql_type)]), target.clone(), nullable))
}

/// Whether every value is the same in the other type, so that a whole column can be turned at once.
fn widens(from: &SqlType, to: &SqlType, zone: TimeZone) -> bool {
    match (from, to) {
        (from, to) if from.is_integer() && to.is_integer() => from.digits() < to.digits(),
        (from, SqlType::Double) if from.is_integer() => *from != SqlType::BigInt,
        (from, SqlType::Decimal(precision, scale)) if from.is_integer() => {
            digits(from).is_some_and(|(whole, _)| whole <= precision - scale)
        }
        (SqlType::Decimal(p1, s1), SqlType::Decimal(p2, s2)) => s1 <= s2 && p1 - s1 <= p2 - s2,
        (SqlType::Float, SqlType::Double) => true,
        (SqlType::Timestamp(_), SqlType::TimestampLtz(_)) | (SqlType::TimestampLtz(_), SqlType::Timestamp(_)) => {
            zone == TimeZone::UTC
                && from.arrow().primitive_width() == to.arrow().primitive_width()
                && same_unit(from, to)
        }
        (from, to) => from.is_text() && to.is_text() || from.is_bytes() && to.is_bytes(),
    }
}

fn same_unit(from: &SqlType, to: &SqlType) -> bool {
    use arrow::datatypes::DataType::Timestamp;
    matches!((from.arrow(), to.arrow()), (Timestamp(a, _), Timestamp(b, _)) if a == b)
}

fn widen(call: &Call<'_>) -> Planned<ArrayRef> {
    let column = call.array(0)?;
    let to = call.result.arrow();
    if let (arrow::datatypes::DataType::Timestamp(..), arrow::datatypes::DataType::Timestamp(..)) =
        (column.data_type(), &to)
    {
        let data = column.to_data().into_builder().data_type(to).build()?;
        return Ok(arrow::array::make_array(data));
    }
    if *column.data_type() == to { Ok(Arc::clone(&column)) } else { Ok(arrow_cast(&column, &to)?) }
}

/// Whether Spark has such a cast.
pub(crate) fn castable(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{Boolean, Date, DayTime, Null, Timestamp, TimestampLtz, YearMonth};
    match (from, to) {
        (Null, _) => true,
        (from, to) if from == to => true,
        (_, to) if to.is_text() => true,
        (from, to) if from.is_bytes() => to.is_bytes(),
        (from, to) if from.is_text() => {
            to.is_bytes() || to.is_numeric() || matches!(to, Boolean | Date | Timestamp(_) | TimestampLtz(_))
        }
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (Boolean, to) => to.is_numeric(),
        (from, Boolean) => from.is_numeric(),
        (from, TimestampLtz(_)) if from.is_numeric() => true,
        (TimestampLtz(_), to) if to.is_numeric() => true,
        (Date | Timestamp(_) | TimestampLtz(_), Date | Timestamp(_) | TimestampLtz(_)) => true,
        (DayTime(a, b), DayTime(c, d)) => c <= a && b <= d,
        (YearMonth(a, b), YearMonth(c, d)) => c <= a && b <= d,
        (from, to) => {
            if let (Some(a), Some(b)) = (item_type(from), item_type(to)) {
                return castable(&a, &b);
            }
            if let (Some((k1, v1)), Some((k2, v2))) = (entry_types(from), entry_types(to)) {
                return castable(&k1, &k2) && castable(&v1, &v2);
            }
            match (field_types(from), field_types(to)) {
                (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(&b).all(|((_, a), (_, b))| castable(a, b)),
                _ => false,
            }
        }
    }
}

fn cast_row(row: &Row<'_>) -> Planned<Value> {
    convert(row.value(0), row.type_of(0), row.result, row.zone, row.ansi)
}

fn try_cast_row(row: &Row<'_>) -> Planned<Value> {
    Ok(convert(row.value(0), row.type_of(0), row.result, row.zone, true).unwrap_or(Value::Null))
}

fn malformed(value: &Value, from: &SqlType, to: &SqlType, zone: TimeZone) -> DataFusionError {
    let shown: String = text::of(value, from, zone).chars().take(60).collect();
    DataFusionError::External(Box::new(
        Error::data("sql.cast", format!("'{shown}' of {} cannot be read as {}", name(from), name(to)))
            .hint("TRY_CAST gives NULL for what cannot be read"),
    ))
}

fn overflow(value: &Value, from: &SqlType, to: &SqlType, zone: TimeZone) -> DataFusionError {
    let shown: String = text::of(value, from, zone).chars().take(60).collect();
    DataFusionError::External(Box::new(
        Error::data("sql.cast", format!("{shown} does not fit into {}", name(to)))
            .hint("TRY_CAST gives NULL for what does not fit"),
    ))
}

/// A value in another type. Without ANSI what cannot be converted is NULL, and whole numbers keep their low bits.
pub(crate) fn convert(value: &Value, from: &SqlType, to: &SqlType, zone: TimeZone, ansi: bool) -> Planned<Value> {
    if value.is_null() || from == to {
        return Ok(value.clone());
    }
    if let Some(nested) = nested(value, from, to, zone, ansi)? {
        return Ok(nested);
    }
    if to.is_text() {
        if let Value::Bytes(bytes) = value {
            return String::from_utf8(bytes.clone()).map(Value::Text).map_err(|_| {
                DataFusionError::External(Box::new(Error::data("sql.cast", "bytes that are no UTF-8 as STRING")))
            });
        }
        return Ok(Value::Text(text::of(value, from, zone)));
    }
    let fail = |found: Option<Value>, error: fn(&Value, &SqlType, &SqlType, TimeZone) -> DataFusionError| match found {
        Some(found) => Ok(found),
        None if ansi => Err(error(value, from, to, zone)),
        None => Ok(Value::Null),
    };
    if let Value::Text(text) = value {
        let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
        return fail(from_text(text, to, zone, ansi), malformed);
    }
    match to {
        SqlType::Boolean => Ok(Value::Bool(match value {
            Value::Float(number) => *number != 0.0,
            Value::Decimal(number) => *number != 0,
            other => other.int() != 0,
        })),
        whole if whole.is_integer() => fail(to_whole(value, from, to, ansi), overflow),
        SqlType::Float | SqlType::Double => Ok(Value::Float(to_float(value, from, to))),
        SqlType::Decimal(precision, scale) => fail(to_decimal(value, from, (*precision, *scale)), overflow),
        SqlType::Date | SqlType::Timestamp(_) | SqlType::TimestampLtz(_) => {
            fail(to_time(value, from, to, zone), overflow)
        }
        bytes if bytes.is_bytes() => Ok(Value::Bytes(value.bytes().to_vec())),
        _ => Ok(value.clone()),
    }
}

fn nested(value: &Value, from: &SqlType, to: &SqlType, zone: TimeZone, ansi: bool) -> Planned<Option<Value>> {
    let item = |value: &Value, from: &SqlType, to: &SqlType| convert(value, from, to, zone, ansi);
    Ok(match value {
        Value::List(items) => match (item_type(from), item_type(to)) {
            (Some(from), Some(to)) => {
                Some(Value::List(items.iter().map(|value| item(value, &from, &to)).collect::<Planned<_>>()?))
            }
            _ => None,
        },
        Value::Map(entries) => match (entry_types(from), entry_types(to)) {
            (Some((k1, v1)), Some((k2, v2))) => {
                let entries = entries.iter().map(|(key, value)| Ok((item(key, &k1, &k2)?, item(value, &v1, &v2)?)));
                Some(Value::Map(entries.collect::<Planned<_>>()?))
            }
            _ => None,
        },
        Value::Struct(items) => match (field_types(from), field_types(to)) {
            (Some(from), Some(to)) => {
                let fields = items.iter().zip(from.iter().zip(&to));
                let fields = fields.map(|(value, ((_, from), (_, to)))| item(value, from, to));
                Some(Value::Struct(fields.collect::<Planned<_>>()?))
            }
            _ => None,
        },
        _ => None,
    })
}

/// The least and the greatest whole number of a type.
pub(crate) fn range(sql_type: &SqlType) -> (i128, i128) {
    match sql_type {
        SqlType::TinyInt => (i8::MIN.into(), i8::MAX.into()),
        SqlType::SmallInt => (i16::MIN.into(), i16::MAX.into()),
        SqlType::Int => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    }
}

/// The low bits of a number in a type.
fn low_bits(number: i128, sql_type: &SqlType) -> i64 {
    match sql_type {
        SqlType::TinyInt => i64::from(number as i8),
        SqlType::SmallInt => i64::from(number as i16),
        SqlType::Int => i64::from(number as i32),
        _ => number as i64,
    }
}

fn to_whole(value: &Value, from: &SqlType, to: &SqlType, ansi: bool) -> Option<Value> {
    let (least, most) = range(to);
    let number = match value {
        Value::Bool(truth) => i128::from(*truth),
        Value::Float(number) => {
            let cut = number.trunc();
            // Both ends are exact as doubles, or just beyond.
            let fits = cut >= least as f64 && cut <= most as f64 && cut < 9_223_372_036_854_775_808.0;
            if ansi && !fits {
                return None;
            }
            return Some(Value::Int(match to {
                SqlType::BigInt => cut as i64,
                SqlType::Int => i64::from(cut as i32),
                narrow => low_bits(i128::from(cut as i32), narrow),
            }));
        }
        Value::Decimal(unscaled) => {
            let scale = if let SqlType::Decimal(_, scale) = from { u32::from(*scale) } else { 0 };
            unscaled / 10_i128.pow(scale)
        }
        other if matches!(from, SqlType::TimestampLtz(_)) => i128::from(other.int().div_euclid(SECOND)),
        other => i128::from(other.int()),
    };
    let fits = (least..=most).contains(&number);
    (fits || !ansi).then(|| Value::Int(low_bits(number, to)))
}

fn to_float(value: &Value, from: &SqlType, to: &SqlType) -> f64 {
    let number = match value {
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Float(number) => *number,
        Value::Decimal(_) => text::of(value, from, TimeZone::UTC).parse().unwrap_or(f64::NAN),
        other if matches!(from, SqlType::TimestampLtz(_)) => other.int() as f64 / SECOND as f64,
        other if *to == SqlType::Float => return f64::from(other.int() as f32),
        other => other.int() as f64,
    };
    if *to == SqlType::Float { f64::from(number as f32) } else { number }
}

fn to_decimal(value: &Value, from: &SqlType, digits: (u8, u8)) -> Option<Value> {
    let text = match value {
        Value::Bool(truth) => u8::from(*truth).to_string(),
        Value::Float(number) if !number.is_finite() => return None,
        Value::Float(number) => text::of(&Value::Float(*number), &SqlType::Double, TimeZone::UTC),
        other if matches!(from, SqlType::TimestampLtz(_)) => {
            text::of(&Value::Decimal(i128::from(other.int())), &SqlType::Decimal(38, 6), TimeZone::UTC)
        }
        Value::Int(number) => number.to_string(),
        other => text::of(other, from, TimeZone::UTC),
    };
    read::decimal(&text, digits).flatten().map(Value::Decimal)
}

fn to_time(value: &Value, from: &SqlType, to: &SqlType, zone: TimeZone) -> Option<Value> {
    // Microseconds as the clocks of the zone show them, or days.
    let shown = |micros: i64| match from {
        SqlType::TimestampLtz(_) => text::local(micros, zone),
        _ => micros,
    };
    Some(Value::Int(match (value, from, to) {
        (Value::Int(days), SqlType::Date, SqlType::Timestamp(_)) => days.checked_mul(DAY_SECONDS * SECOND)?,
        (Value::Int(days), SqlType::Date, _) => text::instant(days.checked_mul(DAY_SECONDS * SECOND)?, zone),
        (Value::Int(micros), from, SqlType::Date) if from.is_timestamp() => {
            shown(*micros).div_euclid(DAY_SECONDS * SECOND)
        }
        (Value::Int(micros), SqlType::TimestampLtz(_), SqlType::Timestamp(_)) => text::local(*micros, zone),
        (Value::Int(micros), SqlType::Timestamp(_), _) => text::instant(*micros, zone),
        (Value::Int(seconds), _, _) => seconds.checked_mul(SECOND)?,
        (Value::Float(seconds), _, _) => {
            if !seconds.is_finite() {
                return None;
            }
            (seconds * SECOND as f64) as i64
        }
        (Value::Decimal(unscaled), SqlType::Decimal(_, scale), _) => {
            let scale = u32::from(*scale);
            let micros = if scale <= 6 {
                unscaled.checked_mul(10_i128.pow(6 - scale))?
            } else {
                unscaled / 10_i128.pow(scale - 6)
            };
            i64::try_from(micros).ok()?
        }
        _ => return None,
    }))
}

fn from_text(text: &str, to: &SqlType, zone: TimeZone, ansi: bool) -> Option<Value> {
    Some(match to {
        SqlType::Boolean => Value::Bool(read::boolean(text)?),
        whole if whole.is_integer() => {
            if ansi && text.contains('.') {
                return None;
            }
            let number = read::integer(text)?;
            let (least, most) = range(to);
            Value::Int(i64::try_from(number).ok().filter(|_| (least..=most).contains(&number))?)
        }
        SqlType::Double => Value::Float(float(text)?),
        SqlType::Float => {
            let double = float(text)?;
            Value::Float(f64::from(read::single(text, double)))
        }
        SqlType::Decimal(precision, scale) => Value::Decimal(read::decimal(text, (*precision, *scale)).flatten()?),
        SqlType::Date => Value::Int(date(text)?),
        SqlType::Timestamp(_) => Value::Int(timestamp(text)?.0),
        SqlType::TimestampLtz(_) => {
            let (local, offset) = timestamp(text)?;
            Value::Int(text::instant(local, offset.unwrap_or(zone)))
        }
        bytes if bytes.is_bytes() => Value::Bytes(text.as_bytes().to_vec()),
        _ => return None,
    })
}

fn float(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        _ => read::double(text),
    }
}

fn number(digits: &str, widths: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let plain = widths.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Days since 1970 of `2024`, `2024-1`, `2024-01-05`, and what may stand behind the day.
pub(crate) fn date(text: &str) -> Option<i64> {
    let text = text.trim();
    let end = text.find(['T', ' ']).unwrap_or(text.len());
    let (day, behind) = text.split_at(end);
    let parts = day.strip_prefix(['+', '-']).unwrap_or(day).split('-').count();
    if !behind.is_empty() && parts < 3 {
        return None;
    }
    civil(day)
}

fn civil(text: &str) -> Option<i64> {
    let (sign, body) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = body.split('-');
    let year = number(parts.next()?, 4..=7)? * sign;
    let month = parts.next().map_or(Some(1), |part| number(part, 1..=2))?;
    let day = parts.next().map_or(Some(1), |part| number(part, 1..=2))?;
    let exists = parts.next().is_none() && (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    exists.then(|| days_from_civil(year, month, day))
}

/// Microseconds as clocks show them, and the zone that is written.
pub(crate) fn timestamp(text: &str) -> Option<(i64, Option<TimeZone>)> {
    let text = text.trim();
    let end = text.find(['T', ' ']).unwrap_or(text.len());
    let (day, behind) = text.split_at(end);
    if day.contains(':') {
        // A time of today: it is not known here which day that is.
        return None;
    }
    let days = civil(day)?;
    let clock = behind.get(1..).unwrap_or_default().trim();
    if clock.is_empty() {
        return behind.is_empty().then_some((days * DAY_SECONDS * SECOND, None));
    }
    let zone_at = clock.find(|c: char| c.is_ascii_alphabetic() || c == '+' || c == '-' || c == ' ');
    let (clock, zone) = clock.split_at(zone_at.unwrap_or(clock.len()));
    let zone = match zone.trim() {
        "" => None,
        zone => Some(zone_of(zone)?),
    };
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 1..=2).filter(|hour| *hour < 24)?;
    let minute = parts.next().map_or(Some(0), |part| number(part, 1..=2)).filter(|minute| *minute < 60)?;
    let (second, fraction) = parts.next().map_or(("0", ""), |part| part.split_once('.').unwrap_or((part, "")));
    let second = number(second, 1..=2).filter(|second| *second < 60)?;
    if parts.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let seconds = days * DAY_SECONDS + hour * 3_600 + minute * 60 + second;
    Some((seconds.checked_mul(SECOND)?.checked_add(micros)?, zone))
}

/// A zone as Spark writes one: `Z`, `+9`, `+09:00`, `Asia/Seoul`.
pub(crate) fn zone_of(text: &str) -> Option<TimeZone> {
    TimeZone::parse(text).ok()
}
