//! TO_DATE, TO_TIMESTAMP and TO_TIMESTAMP_LTZ: NULL for a text that is none.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::{Result as Planned, ScalarValue};
use datafusion::logical_expr::Expr;
use headwater_change::calendar::{days_from_civil, month_days};
use headwater_change::{Error, Result, TimeZone};

use super::format::{Patterns, constant, pattern_error};
use super::legacy::{self, Legacy};
use super::moment::{Moment, SECOND, column};
use super::pattern::Pattern;
use crate::functions::arguments::called;
use crate::functions::cast::read;
use crate::functions::kernel::Call;
use crate::functions::{Bind, arity, refused};
use crate::typed::{Context, Typed, convert};
use crate::types::SqlType;

pub(super) const ALL: &[(&str, Bind)] =
    &[("to_date", to_date), ("to_timestamp", to_timestamp), ("to_timestamp_ltz", to_timestamp_ltz)];

/// `TO_DATE(text[, pattern])`.
fn to_date(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    check_texts("TO_DATE", &args)?;
    if let Some(text) = args.get(1).and_then(constant)
        && let Some(wrong) = Legacy::compile(text).map_or_else(Some, |pattern| pattern.unread())
    {
        return Err(pattern_error("TO_DATE", text, &wrong));
    }
    let run = if args.len() == 1 { run_date } else { run_date_by_pattern };
    called(context, "TO_DATE", args, SqlType::Date, true, run)
}

/// `TO_TIMESTAMP(text[, pattern])`: TIMESTAMP(3).
fn to_timestamp(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    check_texts("TO_TIMESTAMP", &args)?;
    if let Some(text) = args.get(1).and_then(constant)
        && let Some(wrong) = Pattern::compile(text).map_or_else(Some, |pattern| pattern.unread())
    {
        return Err(pattern_error("TO_TIMESTAMP", text, &wrong));
    }
    let run = if args.len() == 1 { run_timestamp } else { run_timestamp_by_pattern };
    called(context, "TO_TIMESTAMP", args, SqlType::Timestamp(3), true, run)
}

fn check_texts(name: &str, args: &[Typed]) -> Result<()> {
    if args.is_empty() || args.len() > 2 {
        return Err(arity(name, "a text and perhaps a pattern"));
    }
    if args.iter().all(|arg| arg.sql_type.is_text()) { Ok(()) } else { Err(refused(name, args)) }
}

fn days(day: i64) -> Moment {
    Moment { day, nanos: 0 }
}

fn run_date(call: &Call<'_>) -> Planned<ArrayRef> {
    let texts = call.array(0)?;
    let texts = texts.as_string::<i32>();
    column(call.result, call.rows, &[texts], |row| {
        Ok(read::date(texts.value(row)).or_else(|| year_zero(texts.value(row))).map(days))
    })
}

/// A day of the year 0000, which CAST does not read.
fn year_zero(text: &str) -> Option<i64> {
    let rest = text.strip_prefix("0000-")?;
    // A leap year like that one.
    let day = read::date(&format!("2000-{rest}"))?;
    Some(day - days_from_civil(2000, 1, 1) + days_from_civil(0, 1, 1))
}

/// What Flink makes of a text that does not fit the pattern, 5471-09-27: the least count of milliseconds, cut to an INT of
/// days.
const NO_DATE: i64 = 1_278_983;

fn run_date_by_pattern(call: &Call<'_>) -> Planned<ArrayRef> {
    let texts = call.array(0)?;
    let texts = texts.as_string::<i32>();
    let mut patterns = Patterns::new(call, 1, Legacy::compile)?;
    let pattern = patterns.column();
    column(call.result, call.rows, &[texts, &pattern], |row| {
        let read = patterns.at(row)?.read(texts.value(row), TimeZone::UTC)?;
        Ok(Some(days(read.map_or(NO_DATE, |(seconds, _)| seconds.div_euclid(86_400)))))
    })
}

fn run_timestamp(call: &Call<'_>) -> Planned<ArrayRef> {
    let texts = call.array(0)?;
    let texts = texts.as_string::<i32>();
    column(call.result, call.rows, &[texts], |row| {
        Ok(read::timestamp(texts.value(row)).map(|(seconds, nanos)| Moment::of_seconds(seconds, nanos)))
    })
}

fn run_timestamp_by_pattern(call: &Call<'_>) -> Planned<ArrayRef> {
    let texts = call.array(0)?;
    let texts = texts.as_string::<i32>();
    let mut patterns = Patterns::new(call, 1, Pattern::compile)?;
    let pattern = patterns.column();
    column(call.result, call.rows, &[texts, &pattern], |row| {
        let text = texts.value(row);
        Ok(patterns.at(row)?.read(text).or_else(|| by_jdbc(text)))
    })
}

/// The second try of TO_TIMESTAMP: `2024-1-31 1:2:3.5` or `2024-1-31`, as `java.sql.Timestamp` and `java.sql.Date` read
/// them. Hours, minutes and days that there are not are carried on.
fn by_jdbc(text: &str) -> Option<Moment> {
    // What Java's `trim` takes off.
    let text = text.trim_matches(|letter| letter <= ' ');
    let (date, clock) = text.split_once(' ').map_or((text, None), |(date, clock)| (date, Some(clock)));
    let (year, rest) = date.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let short = |part: &str| matches!(part.chars().count(), 1 | 2);
    if year.chars().count() != 4 || !short(month) || !short(day) {
        return None;
    }
    let (year, month, day) = (java_int(year)?, java_int(month)?, java_int(day)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (seconds, nanos) = clock.map_or(Some((0, 0)), jdbc_clock)?;
    let day = legacy::days(year, month, day) + seconds.div_euclid(86_400);
    let (year, month, day) = legacy::civil(day);
    // Years before the first are those of their era.
    let year = if year > 0 { year } else { 1 - year };
    let day = days_from_civil(year, month, day.min(month_days(year, month)));
    Some(Moment { day, nanos: seconds.rem_euclid(86_400) * SECOND + nanos })
}

/// Seconds and nanoseconds of `1:2:3.5`.
fn jdbc_clock(text: &str) -> Option<(i64, i64)> {
    let (hour, rest) = text.split_once(':')?;
    let (minute, rest) = rest.split_once(':')?;
    let (second, nanos) = match rest.split_once('.') {
        Some((second, fraction)) => {
            let digits =
                fraction.bytes().all(|byte| byte.is_ascii_digit()) && !fraction.is_empty() && fraction.len() < 10;
            let nanos = digits.then(|| fraction.parse::<i64>().ok()).flatten()?;
            (second, (fraction.len()..9).fold(nanos, |nanos, _| nanos * 10))
        }
        None => (rest, 0),
    };
    Some((java_int(hour)? * 3_600 + java_int(minute)? * 60 + java_int(second)?, nanos))
}

/// What `Integer.parseInt` reads.
fn java_int(text: &str) -> Option<i64> {
    text.parse::<i32>().ok().map(i64::from)
}

/// `TO_TIMESTAMP_LTZ(number[, precision])`: the number counts in units of so many digits of a second (3 where none is said)
/// since 1970. The result has as many digits, at least 3; NULL beyond the years 1 to 9999.
fn to_timestamp_ltz(context: Context<'_>, mut args: Vec<Typed>) -> Result<Typed> {
    let given = args.len() == 2;
    if args.is_empty() || args.len() > 2 || !args.first().is_some_and(|number| number.sql_type.is_numeric()) {
        return Err(refused("TO_TIMESTAMP_LTZ", &args)
            .hint("it takes a number, and perhaps the digits of a second that it counts in"));
    }
    let precision = match args.pop_if(|_| given) {
        None => 3,
        Some(precision) => match precision.expr {
            Expr::Literal(ScalarValue::Int32(Some(digits @ 0..=9)), _) => u8::try_from(digits).unwrap_or(3),
            _ => {
                return Err(Error::usage(
                    "sql.arguments",
                    "the precision of TO_TIMESTAMP_LTZ must be a constant from 0 to 9",
                )
                .hint("0 stands for seconds, 3 for milliseconds"));
            }
        },
    };
    let Some(number) = args.pop() else { return Err(arity("TO_TIMESTAMP_LTZ", "a number")) };
    let approximate = number.sql_type.is_approximate();
    let number = convert(context, number, if approximate { &SqlType::Double } else { &SqlType::BigInt })?;
    let unit = Typed::new(Expr::Literal(ScalarValue::Int32(Some(i32::from(precision))), None), SqlType::Int, false);
    let run = if approximate { run_double_ltz } else { run_whole_ltz };
    let result = SqlType::TimestampLtz(precision.max(3));
    called(context, "TO_TIMESTAMP_LTZ", vec![number, unit], result, true, run)
}

/// Nanoseconds of the unit that the second argument names.
fn unit_nanos(call: &Call<'_>) -> i128 {
    match call.constant(1) {
        Some(ScalarValue::Int32(Some(digits @ 0..=9))) => 10_i128.pow(9 - digits.unsigned_abs()),
        _ => 1_000_000,
    }
}

fn run_whole_ltz(call: &Call<'_>) -> Planned<ArrayRef> {
    let (numbers, unit) = (call.array(0)?, unit_nanos(call));
    let numbers = numbers.as_primitive::<Int64Type>();
    column(call.result, call.rows, &[numbers], |row| Ok(instant(i128::from(numbers.value(row)) * unit)))
}

/// The digits beyond those of the result are cut downwards; a nanosecond is cut towards zero before, as Java casts.
fn run_double_ltz(call: &Call<'_>) -> Planned<ArrayRef> {
    let (numbers, unit) = (call.array(0)?, unit_nanos(call));
    let numbers = numbers.as_primitive::<Float64Type>();
    // Of the result: what has fewer than three digits shows three.
    let shown = unit.min(1_000_000);
    column(call.result, call.rows, &[numbers], |row| {
        let counted = numbers.value(row) * (unit / shown) as f64;
        if counted.abs() >= i64::MAX as f64 {
            return Ok(None);
        }
        // A cast gives 0 for NaN.
        let whole = if shown == 1 { counted as i64 } else { counted.floor() as i64 };
        Ok(instant(i128::from(whole) * shown))
    })
}

fn instant(nanos: i128) -> Option<Moment> {
    let second = i128::from(SECOND);
    let seconds = i64::try_from(nanos.div_euclid(second)).ok()?;
    let (first, last) = (days_from_civil(1, 1, 1) * 86_400, days_from_civil(10_000, 1, 1) * 86_400);
    let rest = i64::try_from(nanos.rem_euclid(second)).ok()?;
    (first..last).contains(&seconds).then(|| Moment::of_seconds(seconds, rest))
}
