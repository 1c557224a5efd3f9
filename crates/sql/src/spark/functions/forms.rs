//! What Spark's grammar hands on as calls.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use headwater_change::{Error, Result};

use crate::dialect::{CAST, INTERVAL, LITERAL, TRY_CAST};
use crate::functions::Bind;
use crate::functions::forms::{CELL, CHAIN, constant_text};
use crate::functions::value::DAY_MICROS;
use crate::spark::cast::{cast, convert, date, timestamp};
use crate::spark::operators::{Manner, arithmetic, bits, compare};
use crate::spark::types::{BINARY, DAY_FIELDS, MONTH_FIELDS, TIMESTAMP, TIMESTAMP_NTZ, read_type};
use crate::typed::{Context, Typed, constant, interval_constant, timestamp_constant};
use crate::types::SqlType;

pub(super) const OWN: &[(&str, Bind)] = &[
    (CAST, |context, args| cast_form(context, args, false)),
    (TRY_CAST, |context, args| cast_form(context, args, true)),
    (LITERAL, literal),
    (INTERVAL, |_, args| interval(&args)),
    (CELL, |_, mut args| args.pop().ok_or_else(malformed)),
    (CHAIN, chain),
    ("$<=>", |context, args| two(args).and_then(|(a, b)| compare(context, Operator::IsNotDistinctFrom, a, b))),
    ("$distinct", |context, args| two(args).and_then(|(a, b)| compare(context, Operator::IsDistinctFrom, a, b))),
    ("$div", |context, args| {
        two(args).and_then(|(a, b)| arithmetic(context, Operator::IntegerDivide, a, b, Manner::Session))
    }),
    ("$&", |context, args| two(args).and_then(|(a, b)| bits(context, Operator::BitwiseAnd, a, b))),
    ("$|", |context, args| two(args).and_then(|(a, b)| bits(context, Operator::BitwiseOr, a, b))),
    ("$^", |context, args| two(args).and_then(|(a, b)| bits(context, Operator::BitwiseXor, a, b))),
    ("tinyint", |context, args| to(context, args, &SqlType::TinyInt)),
    ("smallint", |context, args| to(context, args, &SqlType::SmallInt)),
    ("int", |context, args| to(context, args, &SqlType::Int)),
    ("bigint", |context, args| to(context, args, &SqlType::BigInt)),
    ("float", |context, args| to(context, args, &SqlType::Float)),
    ("double", |context, args| to(context, args, &SqlType::Double)),
    ("decimal", |context, args| to(context, args, &SqlType::Decimal(10, 0))),
    ("boolean", |context, args| to(context, args, &SqlType::Boolean)),
    ("string", |context, args| to(context, args, &crate::types::STRING)),
    ("binary", |context, args| to(context, args, &BINARY)),
    ("date", |context, args| to(context, args, &SqlType::Date)),
    ("timestamp", |context, args| to(context, args, &TIMESTAMP)),
];

fn malformed() -> Error {
    Error::bug("sql.form", "a form of the grammar was handed on in another shape")
}

fn two(args: Vec<Typed>) -> Result<(Typed, Typed)> {
    let [left, right] = <[Typed; 2]>::try_from(args).map_err(|_| malformed())?;
    Ok((left, right))
}

fn to(context: Context<'_>, args: Vec<Typed>, target: &SqlType) -> Result<Typed> {
    let [value] = <[Typed; 1]>::try_from(args)
        .map_err(|_| Error::usage("sql.arguments", "the name of a type takes one value"))?;
    cast(context, value, target, false)
}

fn cast_form(context: Context<'_>, args: Vec<Typed>, lenient: bool) -> Result<Typed> {
    let (value, target) = two(args)?;
    let target = read_type(constant_text(&target)?).map_err(|_| malformed())?;
    cast(context, value, &target, lenient)
}

fn chain(context: Context<'_>, mut args: Vec<Typed>) -> Result<Typed> {
    if args.len() < 2 {
        return Err(malformed());
    }
    let operators = args.remove(0);
    let operators = constant_text(&operators)?.to_owned();
    let mut args = args.into_iter();
    let mut found = args.next().ok_or_else(malformed)?;
    for (sign, right) in operators.chars().zip(args) {
        let operator = match sign {
            '+' => Operator::Plus,
            '-' => Operator::Minus,
            '*' => Operator::Multiply,
            '/' => Operator::Divide,
            _ => Operator::Modulo,
        };
        found = arithmetic(context, operator, found, right, Manner::Session)?;
    }
    Ok(found)
}

/// `1.5`, `2S`, `1e3`, `DATE '…'`, `X'0a'`.
fn literal(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let (kind, text) = two(args)?;
    let (kind, text) = (constant_text(&kind)?, constant_text(&text)?);
    let wrong = || Error::usage("sql.literal", format!("{kind} '{text}' cannot be read"));
    let out_of_range = || Error::usage("sql.literal", format!("the number {text} is out of range of {kind}"));
    let whole = |sql_type: SqlType, value: fn(i64) -> Option<ScalarValue>| {
        let number = text.parse::<i64>().ok().and_then(value).ok_or_else(out_of_range)?;
        Ok(constant(number, sql_type))
    };
    match kind {
        "NULL" => Ok(constant(ScalarValue::Null, SqlType::Null)),
        "TINYINT" => {
            whole(SqlType::TinyInt, |number| i8::try_from(number).ok().map(|number| ScalarValue::Int8(Some(number))))
        }
        "SMALLINT" => {
            whole(SqlType::SmallInt, |number| i16::try_from(number).ok().map(|number| ScalarValue::Int16(Some(number))))
        }
        "BIGINT" => whole(SqlType::BigInt, |number| Some(ScalarValue::Int64(Some(number)))),
        "DOUBLE" => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(out_of_range)?;
            Ok(constant(ScalarValue::Float64(Some(number)), SqlType::Double))
        }
        "FLOAT" => {
            let number = text.parse::<f32>().ok().filter(|number| number.is_finite()).ok_or_else(out_of_range)?;
            Ok(constant(ScalarValue::Float32(Some(number)), SqlType::Float))
        }
        "DECIMAL" => decimal(text).ok_or_else(out_of_range),
        "BINARY" => {
            let text = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
            let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
            let bytes = bytes.collect::<Option<Vec<u8>>>().ok_or_else(wrong)?;
            Ok(constant(ScalarValue::Binary(Some(bytes)), BINARY))
        }
        "DATE" => {
            let days = date(text).and_then(|days| i32::try_from(days).ok()).ok_or_else(wrong)?;
            Ok(constant(ScalarValue::Date32(Some(days)), SqlType::Date))
        }
        "TIMESTAMP" | "TIMESTAMP_LTZ" => {
            let value = crate::functions::value::Value::Text(text.to_owned());
            let found = convert(&value, &crate::types::STRING, &TIMESTAMP, context.zone, true).map_err(|_| wrong())?;
            Ok(constant(timestamp_constant(found.int(), &TIMESTAMP), TIMESTAMP))
        }
        "TIMESTAMP_NTZ" => {
            let (micros, _) = timestamp(text).ok_or_else(wrong)?;
            Ok(constant(timestamp_constant(micros, &TIMESTAMP_NTZ), TIMESTAMP_NTZ))
        }
        _ => Err(malformed()),
    }
}

/// A decimal of as many digits as are written, zeros in front left out.
fn decimal(text: &str) -> Option<Typed> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let mut unscaled: i128 = if significant.is_empty() { 0 } else { significant.parse().ok()? };
    let mut scale = i32::try_from(fraction.len()).ok()? - exponent;
    if scale < 0 {
        unscaled = unscaled.checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?;
        scale = 0;
    }
    let length = i32::try_from(unscaled.unsigned_abs().to_string().len()).ok()?;
    let precision = u8::try_from(length.max(scale)).ok().filter(|precision| *precision <= 38)?;
    let scale = u8::try_from(scale).ok()?;
    let value = ScalarValue::Decimal128(Some(unscaled), precision, i8::try_from(scale).ok()?);
    Some(constant(value, SqlType::Decimal(precision, scale)))
}

/// `INTERVAL '1 02:03' DAY TO MINUTE`, and numbers with their units: `INTERVAL 1 DAY 2 HOURS`.
fn interval(args: &[Typed]) -> Result<Typed> {
    let parts = args.iter().map(constant_text).collect::<Result<Vec<_>>>()?;
    let wrong = || {
        Error::usage("sql.literal", format!("INTERVAL {} cannot be read", parts.join(" ")))
            .hint("write it like INTERVAL 1 DAY, INTERVAL '1 02:03:04' DAY TO SECOND or INTERVAL '1-6' YEAR TO MONTH")
    };
    if let [first, text, from, to] = parts.as_slice()
        && *first == "TO"
    {
        return ranged(text, from, to).ok_or_else(wrong);
    }
    let (mut months, mut micros) = (None::<i64>, None::<i64>);
    let (mut first, mut last) = (u8::MAX, 0);
    for pair in parts.chunks(2) {
        let [number, unit] = pair else { return Err(wrong()) };
        let unit = unit.trim_end_matches('s');
        let at = |fields: &[&str]| fields.iter().position(|field| *field == unit).and_then(|at| u8::try_from(at).ok());
        if let Some(field) = at(&MONTH_FIELDS) {
            let size = if field == 0 { 12 } else { 1 };
            let number: i64 = number.trim().parse().map_err(|_| wrong())?;
            months = Some(months.unwrap_or(0) + number.checked_mul(size).ok_or_else(wrong)?);
            (first, last) = (first.min(field), last.max(field));
            continue;
        }
        let (field, size) = match unit {
            "week" => (0, 7 * DAY_MICROS),
            "millisecond" => (3, 1_000),
            "microsecond" => (3, 1),
            _ => {
                let field = at(&DAY_FIELDS).ok_or_else(wrong)?;
                let size = [DAY_MICROS, 3_600_000_000, 60_000_000, 1_000_000].get(usize::from(field)).copied();
                (field, size.unwrap_or(1))
            }
        };
        let found = scaled(number.trim(), size, field == 3).ok_or_else(wrong)?;
        micros = Some(micros.unwrap_or(0).checked_add(found).ok_or_else(wrong)?);
        (first, last) = (first.min(field), last.max(field));
    }
    match (months, micros) {
        (Some(months), None) => Ok(interval_constant(months, &SqlType::YearMonth(first, last))),
        (None, Some(micros)) => Ok(interval_constant(micros, &SqlType::DayTime(first, last))),
        _ => Err(Error::usage("sql.literal", "an interval of months and days is not supported")
            .hint("add two intervals, one of months and one of days")),
    }
}

/// A number of units, with a fraction where that is a unit of seconds.
fn scaled(text: &str, size: i64, fraction: bool) -> Option<i64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let mut found = whole.parse::<i64>().ok()?.checked_mul(size)?;
    if !rest.is_empty() {
        if !fraction || !rest.bytes().all(|byte| byte.is_ascii_digit()) || size != 1_000_000 {
            return None;
        }
        let micros: i64 = format!("{rest:0<6}").get(..6)?.parse().ok()?;
        found += if negative { -micros } else { micros };
    }
    Some(found)
}

fn ranged(text: &str, from: &str, to: &str) -> Option<Typed> {
    let text = text.trim();
    let (negative, body) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if (from, to) == ("year", "month") {
        let (years, months) = body.split_once('-')?;
        let total = years.parse::<i64>().ok()? * 12 + months.parse::<i64>().ok().filter(|months| *months < 12)?;
        return Some(interval_constant(if negative { -total } else { total }, &SqlType::YearMonth(0, 1)));
    }
    let at = |name: &str| DAY_FIELDS.iter().position(|field| *field == name);
    let (first, last) = (at(from)?, at(to)?);
    let sizes = [DAY_MICROS, 3_600_000_000, 60_000_000, 1_000_000];
    let mut rest = body;
    let mut total = 0_i64;
    for field in first..=last {
        let end = if field == last { rest.len() } else { rest.find(if field == 0 { ' ' } else { ':' })? };
        total = total.checked_add(scaled(rest.get(..end)?.trim(), *sizes.get(field)?, field == 3)?)?;
        rest = if field == last { "" } else { rest.get(end + 1..)? };
    }
    let sql_type = SqlType::DayTime(u8::try_from(first).ok()?, u8::try_from(last).ok()?);
    Some(interval_constant(if negative { -total } else { total }, &sql_type))
}
