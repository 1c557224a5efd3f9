//! Seconds since 1970 and CONVERT_TZ, by the patterns of `SimpleDateFormat`.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use datafusion::common::Result as Planned;
use datafusion::common::exec_err;
use headwater_change::{Error, Result, TimeZone};

use super::format::{DEFAULT, Patterns, constant, pattern_error};
use super::legacy::Legacy;
use super::moment::{Moment, legacy_offset};
use crate::functions::arguments::{Takes, called, taken};
use crate::functions::kernel::Call;
use crate::functions::{Bind, rows};
use crate::typed::{Context, Typed, constant as literal};
use crate::types::{STRING, SqlType};

pub(super) const ALL: &[(&str, Bind)] =
    &[("from_unixtime", from_unixtime), ("unix_timestamp", unix_timestamp), ("convert_tz", convert_tz)];

/// The arguments with the default pattern behind them, where there is none.
fn with_pattern(function: &str, mut args: Vec<Typed>, reads: bool) -> Result<Vec<Typed>> {
    if args.len() == 1 {
        let text = datafusion::common::ScalarValue::Utf8(Some(DEFAULT.to_owned()));
        args.push(literal(text, STRING));
    }
    if let Some(text) = args.get(1).and_then(constant) {
        let wrong = Legacy::compile(text).map_or_else(Some, |pattern| if reads { pattern.unread() } else { None });
        if let Some(wrong) = wrong {
            return Err(pattern_error(function, text, &wrong));
        }
    }
    Ok(args)
}

/// `FROM_UNIXTIME(seconds[, pattern])` in the session's time zone.
fn from_unixtime(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "FROM_UNIXTIME", args, &[Takes::Whole, Takes::Text], 1)?;
    let args = with_pattern("FROM_UNIXTIME", args, false)?;
    called(context, "FROM_UNIXTIME", args, STRING, true, |call| {
        let seconds = call.array(0)?;
        let seconds = seconds.as_primitive::<Int64Type>();
        let mut patterns = Patterns::new(call, 1, Legacy::compile)?;
        let pattern = patterns.column();
        rows::text(call.rows, &[seconds, &pattern], |row, out| {
            // Flink multiplies to milliseconds, which wrap.
            let millis = seconds.value(row).wrapping_mul(1_000);
            let at = millis.div_euclid(1_000);
            let offset = legacy_offset(call.zone, at);
            let local = Moment::of_seconds(at + offset, millis.rem_euclid(1_000) * 1_000_000);
            patterns.at(row)?.write(local, offset, out);
            Ok(true)
        })
    })
}

/// `UNIX_TIMESTAMP(text[, pattern])` in the session's time zone; the least BIGINT for a text that is none.
fn unix_timestamp(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "UNIX_TIMESTAMP", args, &[Takes::Text, Takes::Text], 1)?;
    let args = with_pattern("UNIX_TIMESTAMP", args, true)?;
    let nullable = args.iter().any(|arg| arg.nullable);
    called(context, "UNIX_TIMESTAMP", args, SqlType::BigInt, nullable, |call| {
        let texts = call.array(0)?;
        let texts = texts.as_string::<i32>();
        let mut patterns = Patterns::new(call, 1, Legacy::compile)?;
        let pattern = patterns.column();
        rows::finished(rows::primitive::<Int64Type>(call.rows, &[texts, &pattern], |row| {
            let read = patterns.at(row)?.read(texts.value(row), call.zone)?;
            Ok(Some(read.map_or(i64::MIN, |(seconds, nanos)| {
                (seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)) / 1000
            })))
        })?)
    })
}

/// `CONVERT_TZ(text, from, to)`: the clock of one zone as that of another; NULL for a text that is no time.
fn convert_tz(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "CONVERT_TZ", args, &[Takes::Text, Takes::Text, Takes::Text], 3)?;
    for zone in args.iter().skip(1).filter_map(constant) {
        zone_of(zone)?;
    }
    called(context, "CONVERT_TZ", args, STRING, true, run_convert_tz)
}

/// A zone by its name, or `GMT+9`. Java takes what it does not know, also `+09:00`, for UTC; here it is an error.
fn zone_of(name: &str) -> Result<TimeZone> {
    let offset = name.strip_prefix("UTC").or(name.strip_prefix("UT")).unwrap_or(name);
    if offset.starts_with(['+', '-']) {
        return Err(Error::usage("sql.time_zone", format!("'{name}' is no name of a time zone"))
            .hint("write names like 'Europe/Berlin', 'UTC' or 'GMT+9'"));
    }
    TimeZone::parse(name)
}

fn run_convert_tz(call: &Call<'_>) -> Planned<ArrayRef> {
    let (texts, from, to) = (call.array(0)?, call.array(1)?, call.array(2)?);
    let Ok(pattern) = Legacy::compile(DEFAULT) else { return exec_err!("the pattern {DEFAULT}") };
    rows::text(call.rows, &[&texts, &from, &to], |row, out| {
        let zone = |column: &ArrayRef| zone_of(column.as_string::<i32>().value(row)).map_err(crate::session::ours);
        let (from, to) = (zone(&from)?, zone(&to)?);
        let Some((seconds, nanos)) = pattern.read(texts.as_string::<i32>().value(row), from)? else {
            return Ok(false);
        };
        let offset = legacy_offset(to, seconds);
        pattern.write(Moment::of_seconds(seconds + offset, nanos), offset, out);
        Ok(true)
    })
}
