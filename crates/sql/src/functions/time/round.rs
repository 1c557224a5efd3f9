//! `FLOOR(t TO unit)` and `CEIL(t TO unit)`. The type stays. Weeks begin on Sunday.
//!
//! CEIL to units of days and more looks at the date alone, as Flink does: the first day of a month, week or year stays
//! whatever the time of day; to QUARTER, DECADE, CENTURY and MILLENNIUM it goes on from every day but January 1st, or from
//! every day, and a DATE goes on to the next DAY. Before 1970 the date is that of the day after, unless it is midnight.

use arrow::array::ArrayRef;
use datafusion::common::{Result as Planned, exec_err};
use headwater_change::Result;
use headwater_change::calendar::days_from_civil;

use super::legacy::civil;
use super::moment::{DAY, Moment, Moments, SECOND, column, legacy_offset};
use super::unit::{Unit, unsupported};
use crate::functions::arguments::called;
use crate::functions::kernel::Call;
use crate::functions::{Bind, arity};
use crate::typed::{Context, Typed};
use crate::types::SqlType;

pub(super) const ALL: &[(&str, Bind)] = &[
    ("$floor", |context, args| round(context, "FLOOR", args, |call| run(call, false))),
    ("$ceil", |context, args| round(context, "CEIL", args, |call| run(call, true))),
];

fn round(context: Context<'_>, name: &str, args: Vec<Typed>, run: fn(&Call<'_>) -> Planned<ArrayRef>) -> Result<Typed> {
    let unit = Unit::of(name, &args)?;
    let [_, time] = args.as_slice() else { return Err(arity(name, "a time TO a unit")) };
    let known = (Unit::Millisecond..=Unit::Millennium).contains(&unit);
    let fits = match time.sql_type {
        SqlType::Date | SqlType::Timestamp(_) | SqlType::TimestampLtz(_) => known,
        // Up from a time there may be none: 24:00:00.
        SqlType::Time(_) => name == "FLOOR" && known && unit < Unit::Day,
        _ => false,
    };
    if !fits {
        return Err(unsupported(name, &args));
    }
    let (result, nullable) = (time.sql_type.clone(), time.nullable);
    called(context, name, args, result, nullable, run)
}

fn run(call: &Call<'_>, up: bool) -> Planned<ArrayRef> {
    let unit = Unit::in_call(call)?;
    let times = Moments::instants(&call.array(1)?)?;
    let zone = matches!(call.result, SqlType::TimestampLtz(_)).then_some(call.zone);
    let date = *call.result == SqlType::Date;
    column(call.result, call.rows, &[times.column()], |row| {
        let moment = times.at(row);
        if date {
            // A date is a whole number of shorter units.
            let whole = unit < Unit::Day;
            return Ok(Some(if whole { moment } else { Moment { day: calendar(unit, moment.day, up)?, nanos: 0 } }));
        }
        if unit < Unit::Hour {
            return Ok(Some(clock(moment, unit.nanos().unwrap_or(1), up)));
        }
        // The offset is that of the time itself, also where that of the result is another.
        let ahead = i128::from(zone.map_or(0, |zone| legacy_offset(zone, moment.seconds()))) * i128::from(SECOND);
        let local = moment.plus(ahead);
        let rounded = match unit.nanos().filter(|_| unit <= Unit::Day) {
            Some(nanos) => clock(local, nanos, up),
            None => Moment { day: calendar(unit, local.millis() / 86_400_000, up)?, nanos: 0 },
        };
        Ok(Some(rounded.plus(-ahead)))
    })
}

/// To a multiple of so many nanoseconds. What is below a millisecond counts for milliseconds only.
fn clock(moment: Moment, unit: i64, up: bool) -> Moment {
    let nanos = if unit > 1_000_000 { moment.nanos / 1_000_000 * 1_000_000 } else { moment.nanos };
    let below = nanos / unit * unit;
    let nanos = if up && below < nanos { below + unit } else { below };
    Moment { day: moment.day + nanos / DAY, nanos: nanos % DAY }
}

/// To the first day of a week, month, …: the calendar is read as Julian before 1582-10-15, and never written so.
fn calendar(unit: Unit, days: i64, up: bool) -> Planned<i64> {
    let (year, month, day) = civil(days);
    let first = month == 1 && day == 1;
    let aligned = |years: i64| years * (year - 1).div_euclid(years) + 1 + if up { years } else { 0 };
    Ok(match unit {
        Unit::Day => days_from_civil(year, month, day) + i64::from(up),
        Unit::Week => {
            let weekday = (days + 4).rem_euclid(7);
            days_from_civil(year, month, day) - weekday + if up && weekday > 0 { 7 } else { 0 }
        }
        Unit::Month => month_start(year, month + i64::from(up && day > 1)),
        Unit::Quarter => month_start(year, (month - 1) / 3 * 3 + 1 + if up && !first { 3 } else { 0 }),
        Unit::Year => days_from_civil(year + i64::from(up && !first), 1, 1),
        Unit::Decade => days_from_civil((year.div_euclid(10) + i64::from(up)) * 10, 1, 1),
        Unit::Century => days_from_civil(aligned(100), 1, 1),
        Unit::Millennium => days_from_civil(aligned(1_000), 1, 1),
        _ => return exec_err!("a time cannot be rounded to this unit"),
    })
}

/// The first day of a month, which may be 13 and more.
fn month_start(year: i64, month: i64) -> i64 {
    days_from_civil(year + (month - 1) / 12, (month - 1) % 12 + 1, 1)
}
