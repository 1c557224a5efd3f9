//! Text as values, by the rules of Flink's casts, and the counts behind temporal columns.
//!
//! | type | accepted |
//! |---|---|
//! | integers | blanks around, a sign, digits, a fraction of digits, which is cut |
//! | DECIMAL | blanks around, a number with or without exponent; rounded half up, NULL where it does not fit |
//! | FLOAT, DOUBLE | what Java's `Double.parseDouble` reads: `NaN`, `Infinity`, `1e400`, a suffix d or f |
//! | BOOLEAN | t true y yes 1, f false n no 0, in any case, no blanks |
//! | DATE | `2024-1-31`, `2024-1`, `2024`; what follows a blank is ignored; the day must exist |
//! | TIME | `10:11:12.5`, `10:11`, `10`, an offset behind |
//! | TIMESTAMP | `2024-1-31`, `2024-1-31 1:2:3.5`, nothing around; day 31 of a shorter month is its last |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit};
use datafusion::common::Result;
use headwater_change::calendar::{days_from_civil, month_days};

/// Units of a second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Seconds and nanoseconds in a unit; `None` where they do not fit.
pub(crate) fn in_unit(seconds: i64, nanos: i64, unit: TimeUnit) -> Option<i64> {
    let scale = per_second(unit);
    seconds.checked_mul(scale)?.checked_add(nanos / (1_000_000_000 / scale))
}

/// The numbers of a temporal column in its own unit.
pub(crate) fn counts(column: &ArrayRef) -> Result<Int64Array> {
    let column = match column.data_type() {
        DataType::Date32 | DataType::Time32(_) => arrow_cast(&arrow_cast(column, &DataType::Int32)?, &DataType::Int64)?,
        DataType::Timestamp(unit, Some(_)) => {
            let bare = arrow_cast(column, &DataType::Timestamp(*unit, Some("UTC".into())))?;
            arrow_cast(&bare, &DataType::Int64)?
        }
        _ => arrow_cast(column, &DataType::Int64)?,
    };
    Ok(column.as_primitive::<Int64Type>().clone())
}

/// A temporal column of `data_type` from numbers in its unit.
pub(crate) fn from_counts(values: &Int64Array, data_type: &DataType) -> Result<ArrayRef> {
    let column: ArrayRef = Arc::new(values.clone());
    Ok(match data_type {
        DataType::Date32 => {
            let days: PrimitiveArray<Date32Type> =
                values.iter().map(|v| v.and_then(|v| i32::try_from(v).ok())).collect();
            if days.null_count() != values.null_count() {
                return datafusion::common::exec_err!("a date is out of range");
            }
            Arc::new(days)
        }
        DataType::Time32(_) => arrow_cast(&arrow_cast(&column, &DataType::Int32)?, data_type)?,
        _ => arrow_cast(&column, data_type)?,
    })
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() < 19 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// A whole number; a fraction of digits is cut.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let text = text.trim_matches(' ');
    let (negative, body) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if body.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() > 20 {
        return None;
    }
    let value: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some(if negative { -value } else { value })
}

/// A decimal, half up. `Some(None)` is a number that does not fit: NULL, as Flink has it.
pub(crate) fn decimal(text: &str, (precision, scale): (u8, u8)) -> Option<Option<i128>> {
    let text = text.trim_matches(' ');
    let (negative, body) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok().filter(|_| exponent.trim() == exponent)?),
        None => (body, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let all = format!("{whole}{fraction}");
    // Where the point stands in `all`, counted from its start.
    let point = i64::try_from(whole.len()).ok()?.saturating_add(exponent);
    Some(
        rounded(&all, point, scale)
            .filter(|value| *value < 10_i128.pow(u32::from(precision.min(38))))
            .map(|value| if negative { -value } else { value }),
    )
}

/// Digits with a point at `point` as a number of `scale` digits behind it, half up; `None` beyond 38 digits.
fn rounded(all: &str, point: i64, scale: u8) -> Option<i128> {
    let wanted = point.saturating_add(i64::from(scale));
    let significant = all.trim_start_matches('0');
    if significant.is_empty() || wanted < 0 {
        return Some(0);
    }
    let leading = i64::try_from(all.len() - significant.len()).ok()?;
    if wanted - leading > 38 {
        return None;
    }
    let kept = usize::try_from(wanted).ok()?;
    let mut value = 0_i128;
    for index in 0..kept {
        let digit = all.as_bytes().get(index).map_or(0, |digit| i128::from(digit - b'0'));
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    let up = all.as_bytes().get(kept).is_some_and(|digit| *digit >= b'5');
    Some(if up { value + 1 } else { value })
}

/// The exact value of a double in the digits of a decimal, half up; `None` where it does not fit.
pub(crate) fn exact_decimal(value: f64, (precision, scale): (u8, u8)) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    // 1,080 digits write any double exactly.
    let text = if value.abs() < 1.0 { format!("{value:.1080}") } else { format!("{value:.60}") };
    decimal(&text, (precision, scale)).flatten()
}

/// Java's `Double.parseDouble`, without its hexadecimal numbers.
pub(crate) fn double(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match body {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(sign * f64::INFINITY),
        _ => {}
    }
    let body = body.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(body);
    let shaped = body.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !shaped || !body.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    body.parse::<f64>().ok().map(|value| sign * value)
}

/// The same as a float, from the digits instead of the double.
pub(crate) fn single(text: &str, double: f64) -> f32 {
    let body = text.trim_matches(|c: char| c <= ' ').trim_end_matches(['d', 'D', 'f', 'F']);
    // Infinity and NaN come out of both readings alike; a suffix is gone.
    if double.is_finite() { body.parse().unwrap_or(double as f32) } else { double as f32 }
}

/// A truth value.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(&["t", "true", "y", "yes", "1"]) {
        return Some(true);
    }
    is(&["f", "false", "n", "no", "0"]).then_some(false)
}

/// Days since 1970 of a text of a date.
pub(crate) fn date(text: &str) -> Option<i64> {
    let text = match text.find(' ') {
        Some(blank) if blank > 0 => text.get(..blank)?,
        _ => text,
    };
    let mut parts = text.splitn(3, '-').map(|part| digits(part.trim()));
    let year = parts.next()??;
    let month = parts.next().map_or(Some(1), |part| part)?;
    let day = parts.next().map_or(Some(1), |part| part)?;
    let exists =
        (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    exists.then(|| days_from_civil(year, month, day))
}

/// Second of the day and nanoseconds of a text of a time.
pub(crate) fn time(text: &str) -> Option<(i64, i64)> {
    let (clock, offset) = match text.find(['+', '-']) {
        Some(at) => (text.get(..at)?, offset(text.get(at..)?)?),
        None => (text, 0),
    };
    let mut parts = clock.splitn(3, ':');
    let field = |part: &str| digits(part.trim());
    let hour = field(parts.next()?)?;
    let minute = parts.next().map_or(Some(0), field)?;
    let (second, nanos) = match parts.next() {
        None => (0, 0),
        Some(rest) => {
            let (second, fraction) = rest.split_once('.').unwrap_or((rest, ""));
            let plain: String = fraction.trim().chars().take_while(char::is_ascii_digit).take(9).collect();
            (field(second)?, format!("{plain:0<9}").parse().ok()?)
        }
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let total = hour * 3600 + minute * 60 + second + offset;
    Some((total.rem_euclid(86_400), nanos))
}

/// `+01:00` or `-01` in seconds.
fn offset(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':').unwrap_or((text.get(1..)?, "0"));
    let (hours, minutes) = (digits(hours.trim())?, digits(minutes.trim())?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Seconds since 1970 and nanoseconds of a text of a timestamp.
pub(crate) fn timestamp(text: &str) -> Option<(i64, i64)> {
    let (date, clock) = match text.split_once(' ') {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let field =
        |text: &str, widths: std::ops::RangeInclusive<usize>| digits(text).filter(|_| widths.contains(&text.len()));
    let year = field(parts.next()?, 4..=4).filter(|year| *year > 0)?;
    let month = field(parts.next()?, 1..=2).filter(|month| (1..=12).contains(month))?;
    let day = field(parts.next()?, 1..=2).filter(|day| (1..=31).contains(day))?;
    if parts.next().is_some() {
        return None;
    }
    let days = days_from_civil(year, month, day.min(month_days(year, month)));
    let Some(clock) = clock else { return Some((days * 86_400, 0)) };
    let mut parts = clock.split(':');
    let hour = field(parts.next()?, 1..=2)?;
    let minute = field(parts.next()?, 1..=2).filter(|minute| *minute <= 59)?;
    let (second, fraction) = parts.next().map(|rest| rest.split_once('.').unwrap_or((rest, "")))?;
    let second = field(second, 1..=2).filter(|second| *second <= 59)?;
    if parts.next().is_some() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    // The end of a day may be written as its hour 24.
    let end = hour == 24 && minute == 0 && second == 0 && nanos == 0;
    (hour <= 23 || end).then_some((days * 86_400 + hour * 3600 + minute * 60 + second, nanos))
}

/// Days since 1970 of the text in `DATE '…'`, which must be one.
pub(crate) fn strict_date(text: &str) -> Option<i64> {
    let (seconds, nanos) = timestamp(text)?;
    let existing = date(text)?;
    (nanos == 0 && seconds == existing * 86_400 && !text.contains(' ')).then_some(existing)
}

/// Second of the day, nanoseconds and digits written of the text in `TIME '…'`.
pub(crate) fn strict_time(text: &str) -> Option<(i64, i64, u8)> {
    let (seconds, nanos) = timestamp(&format!("1970-01-01 {text}"))?;
    Some((seconds, nanos, written(text)?)).filter(|_| seconds < 86_400)
}

/// Seconds since 1970, nanoseconds and digits written of the text in `TIMESTAMP '…'`.
pub(crate) fn strict_timestamp(text: &str) -> Option<(i64, i64, u8)> {
    let (seconds, nanos) = timestamp(text)?;
    date(text)?;
    Some((seconds, nanos, written(text)?))
}

fn written(text: &str) -> Option<u8> {
    u8::try_from(text.split_once('.').map_or(0, |(_, fraction)| fraction.len())).ok()
}
