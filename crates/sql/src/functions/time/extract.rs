//! EXTRACT and its short names. Parts are BIGINT. DOW and DAYOFWEEK count from Sunday = 1; WEEK is that of ISO 8601.
//!
//! Flink divides a count of milliseconds and cuts towards zero: before 1970 the parts of the clock are negative and the
//! date is that of the day after, unless it is midnight. Of a DATE it takes the days for milliseconds when it is asked for
//! a part of the clock. Both are kept.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int64Type, IntervalMonthDayNanoType};
use datafusion::common::{Result as Planned, ScalarValue, exec_err};
use datafusion::logical_expr::Expr;
use headwater_change::Result;
use headwater_change::calendar::{civil_from_days, days_from_civil};

use super::moment::{Moment, Moments};
use super::unit::{Unit, unsupported};
use crate::functions::arguments::called;
use crate::functions::kernel::{Call, Run};
use crate::functions::{Bind, arity, rows};
use crate::typed::{Context, Typed};
use crate::types::SqlType;

pub(super) const ALL: &[(&str, Bind)] = &[
    ("$extract", |context, args| extract(context, "EXTRACT", args)),
    ("year", |context, args| short(context, "YEAR", "YEAR", args)),
    ("quarter", |context, args| short(context, "QUARTER", "QUARTER", args)),
    ("month", |context, args| short(context, "MONTH", "MONTH", args)),
    ("week", |context, args| short(context, "WEEK", "WEEK", args)),
    ("dayofyear", |context, args| short(context, "DAYOFYEAR", "DOY", args)),
    ("dayofmonth", |context, args| short(context, "DAYOFMONTH", "DAY", args)),
    ("dayofweek", |context, args| short(context, "DAYOFWEEK", "DOW", args)),
    ("hour", |context, args| short(context, "HOUR", "HOUR", args)),
    ("minute", |context, args| short(context, "MINUTE", "MINUTE", args)),
    ("second", |context, args| short(context, "SECOND", "SECOND", args)),
];

/// `YEAR(t)` is `EXTRACT(YEAR FROM t)`.
fn short(context: Context<'_>, name: &str, unit: &str, mut args: Vec<Typed>) -> Result<Typed> {
    if args.len() != 1 {
        return Err(arity(name, "one argument"));
    }
    let length = u32::try_from(unit.len()).unwrap_or(0);
    let unit = Expr::Literal(ScalarValue::Utf8(Some(unit.to_owned())), None);
    args.insert(0, Typed::new(unit, SqlType::Char(length), false));
    extract(context, name, args)
}

fn extract(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    let unit = Unit::of(name, &args)?;
    let [_, time] = args.as_slice() else { return Err(arity(name, "a time")) };
    let clock = matches!(unit, Unit::Hour | Unit::Minute | Unit::Second | Unit::Millisecond);
    let run: Run = match time.sql_type {
        SqlType::Date if !matches!(unit, Unit::Microsecond | Unit::Nanosecond) => run_date,
        SqlType::Timestamp(_) | SqlType::TimestampLtz(_) => run_time,
        SqlType::Time(_) if clock => run_time,
        SqlType::Months if matches!(unit, Unit::Year | Unit::Month | Unit::Century | Unit::Millennium) => run_months,
        SqlType::Millis if clock || unit == Unit::Day => run_millis,
        _ => return Err(unsupported(name, &args)),
    };
    let nullable = time.nullable;
    called(context, name, args, SqlType::BigInt, nullable, run)
}

fn run_time(call: &Call<'_>) -> Planned<ArrayRef> {
    let unit = Unit::in_call(call)?;
    let times = Moments::legacy(&call.array(1)?, call.zone)?;
    rows::finished(rows::primitive::<Int64Type>(call.rows, &[times.column()], |row| {
        Ok(Some(part_of_time(unit, times.at(row))))
    })?)
}

fn run_date(call: &Call<'_>) -> Planned<ArrayRef> {
    let unit = Unit::in_call(call)?;
    let days = Moments::instants(&call.array(1)?)?;
    rows::finished(rows::primitive::<Int64Type>(call.rows, &[days.column()], |row| {
        Ok(Some(part_of_date(unit, days.at(row).day)))
    })?)
}

/// One part of a time of day or of a timestamp, which is a count of milliseconds with nanoseconds above.
fn part_of_time(unit: Unit, moment: Moment) -> i64 {
    let (millis, above) = (moment.millis(), moment.nanos % 1_000_000);
    match unit {
        Unit::Nanosecond => millis % 1_000 * 1_000_000 + above,
        Unit::Microsecond => millis % 1_000 * 1_000 + above / 1_000,
        Unit::Millisecond | Unit::Second | Unit::Minute | Unit::Hour => of_clock(unit, millis),
        Unit::Epoch => millis / 1_000,
        _ => of_day(unit, millis / 86_400_000),
    }
}

/// One part of a date. Parts of the clock take its days for milliseconds.
fn part_of_date(unit: Unit, day: i64) -> i64 {
    match unit {
        Unit::Millisecond | Unit::Second | Unit::Minute | Unit::Hour => of_clock(unit, day),
        Unit::Epoch => day * 86_400,
        _ => of_day(unit, day),
    }
}

/// Hour, minute, second or millisecond of a count of milliseconds, cut towards zero.
fn of_clock(unit: Unit, millis: i64) -> i64 {
    match unit {
        Unit::Hour => millis % 86_400_000 / 3_600_000,
        Unit::Minute => millis % 3_600_000 / 60_000,
        Unit::Second => millis % 60_000 / 1_000,
        _ => millis % 1_000,
    }
}

/// One part of a day since 1970.
fn of_day(unit: Unit, days: i64) -> i64 {
    let (year, month, day) = civil_from_days(days);
    let (month, day) = (i64::from(month), i64::from(day));
    match unit {
        Unit::Day => day,
        Unit::Week => iso_week(days).1,
        Unit::Month => month,
        Unit::Quarter => (month + 2) / 3,
        Unit::Decade => year / 10,
        Unit::Century => grouped(year, 100),
        Unit::Millennium => grouped(year, 1_000),
        Unit::DayOfWeek => (days + 4).rem_euclid(7) + 1,
        Unit::DayOfYear => days - days_from_civil(year, 1, 1) + 1,
        Unit::IsoDayOfWeek => (days + 3).rem_euclid(7) + 1,
        Unit::IsoYear => iso_week(days).0,
        _ => year,
    }
}

/// Centuries and millennia count from the year 1.
fn grouped(year: i64, years: i64) -> i64 {
    if year > 0 { (year + years - 1) / years } else { (year - years + 1) / years }
}

/// Year and week by ISO 8601: weeks begin on Monday and belong to the year of their Thursday.
pub(super) fn iso_week(day: i64) -> (i64, i64) {
    let thursday = day - (day + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

fn run_months(call: &Call<'_>) -> Planned<ArrayRef> {
    intervals(call, |unit, months, _| match unit {
        Unit::Year => Ok(months / 12),
        Unit::Month => Ok(months % 12),
        Unit::Century => Ok(months / 1_200),
        Unit::Millennium => Ok(months / 12_000),
        _ => exec_err!("an interval of months has no such part"),
    })
}

fn run_millis(call: &Call<'_>) -> Planned<ArrayRef> {
    intervals(call, |unit, _, millis| match unit {
        Unit::Day => Ok(millis / 86_400_000),
        Unit::Hour => Ok(millis % 86_400_000 / 3_600_000),
        Unit::Minute => Ok(millis % 3_600_000 / 60_000),
        Unit::Second => Ok(millis % 60_000 / 1_000),
        Unit::Millisecond => Ok(millis % 1_000),
        _ => exec_err!("an interval of days to seconds has no such part"),
    })
}

/// Parts of an interval from its months and its milliseconds.
fn intervals(call: &Call<'_>, part: fn(Unit, i64, i64) -> Planned<i64>) -> Planned<ArrayRef> {
    let unit = Unit::in_call(call)?;
    let column = call.array(1)?;
    let intervals = column.as_primitive::<IntervalMonthDayNanoType>();
    rows::finished(rows::primitive::<Int64Type>(call.rows, &[&column as &dyn Array], |row| {
        let interval = intervals.value(row);
        let millis = i64::from(interval.days) * 86_400_000 + interval.nanoseconds / 1_000_000;
        part(unit, i64::from(interval.months), millis).map(Some)
    })?)
}
