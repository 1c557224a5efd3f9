//! Casts of dates, times and timestamps.
//!
//! Flink keeps a timestamp as milliseconds since 1970 and nanoseconds within; where it cuts digits off, it divides the
//! milliseconds, so that an instant before 1970 is cut towards 1970. That is copied, because results are compared.

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::datatypes::TimeUnit;
use datafusion::common::{Result, exec_err};
use headwater_change::TimeZone;

use super::read::{self, counts, from_counts, per_second};
use super::{argument, strings, unreadable};
use crate::functions::kernel::Call;
use crate::types::{SqlType, unit};

const DAY_MILLIS: i64 = 86_400_000;

/// A point in local time or UTC: milliseconds since 1970 and nanoseconds of the millisecond.
type Instant = (i64, i64);

/// Between temporal types.
pub(super) fn to_time(call: &Call<'_>) -> Result<ArrayRef> {
    let column = argument(call)?;
    let values = counts(&column)?;
    let (from, to, zone) = (call.type_of(0), call.result, call.zone);
    let mut out = Int64Array::builder(values.len());
    for row in 0..values.len() {
        if values.is_null(row) {
            out.append_null();
            continue;
        }
        match converted(values.value(row), from, to, zone) {
            Some(value) => out.append_value(value),
            None => return exec_err!("a {from} is out of the range of {to}"),
        }
    }
    from_counts(&out.finish(), &to.arrow())
}

/// TIMESTAMP_LTZ as the local time of `zone`, in the same unit.
pub(super) fn to_local(column: &ArrayRef, precision: u8, zone: TimeZone) -> Result<ArrayRef> {
    let second = per_second(unit(precision));
    let values = counts(column)?;
    let shifted = values.unary::<_, arrow::datatypes::Int64Type>(|value| {
        value.saturating_add(zone.offset_seconds(value.div_euclid(second)) * second)
    });
    from_counts(&shifted, &SqlType::Timestamp(precision).arrow())
}

fn instant(value: i64, unit: TimeUnit) -> Option<Instant> {
    Some(match unit {
        TimeUnit::Second => (value.checked_mul(1000)?, 0),
        TimeUnit::Millisecond => (value, 0),
        TimeUnit::Microsecond => (value.div_euclid(1000), value.rem_euclid(1000) * 1000),
        TimeUnit::Nanosecond => (value.div_euclid(1_000_000), value.rem_euclid(1_000_000)),
    })
}

fn count((millis, nanos): Instant, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => Some(millis / 1000),
        TimeUnit::Millisecond => Some(millis),
        TimeUnit::Microsecond => millis.checked_mul(1000)?.checked_add(nanos / 1000),
        TimeUnit::Nanosecond => millis.checked_mul(1_000_000)?.checked_add(nanos),
    }
}

/// Cut to so many digits of a second.
fn cut((millis, nanos): Instant, digits: u8) -> Instant {
    match digits {
        0..=3 => {
            let step = 10_i64.pow(3 - u32::from(digits));
            (millis / step * step, 0)
        }
        _ => {
            let step = 10_i64.pow(9 - u32::from(digits.min(9)));
            (millis, nanos / step * step)
        }
    }
}

/// UTC of a local time of `zone`.
fn to_utc((millis, nanos): Instant, zone: TimeZone) -> Instant {
    (millis - zone.offset_of_local(millis.div_euclid(1000)) * 1000, nanos)
}

/// Local time of `zone`.
fn local((millis, nanos): Instant, zone: TimeZone) -> Instant {
    (millis + zone.offset_seconds(millis.div_euclid(1000)) * 1000, nanos)
}

fn converted(value: i64, from: &SqlType, to: &SqlType, zone: TimeZone) -> Option<i64> {
    let at = match from {
        SqlType::Date => (value.checked_mul(DAY_MILLIS)?, 0),
        SqlType::Time(digits) | SqlType::Timestamp(digits) | SqlType::TimestampLtz(digits) => {
            instant(value, unit(*digits))?
        }
        _ => return None,
    };
    let zoned = matches!(from, SqlType::TimestampLtz(_));
    let here = if zoned { local(at, zone) } else { at };
    match to {
        // From a TIMESTAMP Flink divides, from a TIMESTAMP_LTZ it asks the calendar.
        SqlType::Date if zoned => Some(here.0.div_euclid(DAY_MILLIS)),
        SqlType::Date => Some(here.0 / DAY_MILLIS),
        SqlType::Time(digits) => {
            let of_day = if matches!(from, SqlType::Time(_)) { here } else { (here.0.rem_euclid(DAY_MILLIS), 0) };
            let first = if !zoned && matches!(from, SqlType::Timestamp(_)) {
                (cut(here, *digits).0.rem_euclid(DAY_MILLIS), 0)
            } else {
                of_day
            };
            count(cut(first, *digits), unit(*digits))
        }
        SqlType::Timestamp(digits) => count(cut(here, *digits), unit(*digits)),
        SqlType::TimestampLtz(digits) => {
            let at = if zoned { at } else { to_utc(here, zone) };
            count(cut(at, *digits), unit(*digits))
        }
        _ => None,
    }
}

/// Text as a time.
pub(super) fn read_time(call: &Call<'_>) -> Result<ArrayRef> {
    text_to_time(call, false)
}

/// Text as a time, NULL where it is none.
pub(super) fn try_time(call: &Call<'_>) -> Result<ArrayRef> {
    text_to_time(call, true)
}

fn text_to_time(call: &Call<'_>, lenient: bool) -> Result<ArrayRef> {
    let column = argument(call)?;
    let (to, zone) = (call.result, call.zone);
    let mut out = Int64Array::builder(column.len());
    for text in strings(&column) {
        let Some(text) = text else {
            out.append_null();
            continue;
        };
        let value = match text_value(text, to, zone) {
            // What is a time but too far away is never NULL: that would be another value.
            Read::Value(None) => return exec_err!("'{text}' is out of the range of {to}"),
            Read::Value(value) => value,
            Read::Unreadable => unreadable(lenient, text, to)?,
        };
        out.append_option(value);
    }
    from_counts(&out.finish(), &to.arrow())
}

/// What a text comes to: a number in the unit of the type, `None` where it does not fit into that.
enum Read {
    Value(Option<i64>),
    Unreadable,
}

fn text_value(text: &str, to: &SqlType, zone: TimeZone) -> Read {
    let found = match to {
        SqlType::Date => read::date(text).map(Some),
        SqlType::Time(digits) => read::time(text)
            .map(|(second, nanos)| count(cut((second * 1000 + nanos / 1_000_000, 0), *digits), unit(*digits))),
        SqlType::Timestamp(digits) => read::timestamp(text).map(|(seconds, nanos)| of_text(seconds, nanos, *digits)),
        SqlType::TimestampLtz(digits) => read::timestamp(text)
            .map(|(seconds, nanos)| of_text(seconds - zone.offset_of_local(seconds), nanos, *digits)),
        _ => None,
    };
    found.map_or(Read::Unreadable, Read::Value)
}

/// Digits that text has too many are left out before a timestamp is made of it, so they are cut downwards.
fn of_text(seconds: i64, nanos: i64, digits: u8) -> Option<i64> {
    let step = 10_i64.pow(9 - u32::from(digits.min(9)));
    read::in_unit(seconds, nanos / step * step, unit(digits))
}
