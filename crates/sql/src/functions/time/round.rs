//! `FLOOR(t TO unit)` and `CEIL(t TO unit)`. The type stays. Weeks begin on Sunday.
//!
//! CEIL to units of days and more looks at the date alone, as Flink does: the first day of a month, week or year stays
//! whatever the time of day; to QUARTER, DECADE, CENTURY and MILLENNIUM it goes on from every day but January 1st, or from
//! every day, and a DATE goes on to the next DAY.

use arrow::array::ArrayRef;
use datafusion::common::{Result as Planned, exec_err};
use headwater_change::Result;
use headwater_change::calendar::{civil_from_days, days_from_civil};

use super::moment::{DAY, Moment, Moments, column};
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
    let times = call.array(1)?;
    let times = Moments::local(&times, call.zone)?;
    let zone = matches!(call.result, SqlType::TimestampLtz(_)).then_some(call.zone);
    let date = *call.result == SqlType::Date;
    column(call.result, zone, call.rows, &[times.column()], |row| {
        let moment = times.at(row);
        Ok(Some(match unit {
            // A date is a whole number of shorter units.
            Unit::Millisecond | Unit::Second | Unit::Minute | Unit::Hour if date => moment,
            Unit::Day if date => Moment { day: moment.day + i64::from(up), nanos: 0 },
            _ => match unit.nanos().filter(|_| unit <= Unit::Day) {
                Some(nanos) => clock(moment, nanos, up),
                None => Moment { day: calendar(unit, moment.day, up)?, nanos: 0 },
            },
        }))
    })
}

/// To a multiple of so many nanoseconds. What is below a millisecond counts for milliseconds only.
fn clock(moment: Moment, unit: i64, up: bool) -> Moment {
    let nanos = if unit > 1_000_000 { moment.nanos / 1_000_000 * 1_000_000 } else { moment.nanos };
    let below = nanos / unit * unit;
    let nanos = if up && below < nanos { below + unit } else { below };
    Moment { day: moment.day + nanos / DAY, nanos: nanos % DAY }
}

/// To the first day of a week, month, …
fn calendar(unit: Unit, days: i64, up: bool) -> Planned<i64> {
    let (year, month, day) = civil_from_days(days);
    let (month, day) = (i64::from(month), i64::from(day));
    let first = month == 1 && day == 1;
    let aligned = |years: i64| years * (year - 1).div_euclid(years) + 1 + if up { years } else { 0 };
    Ok(match unit {
        Unit::Week => match (days + 4).rem_euclid(7) {
            0 => days,
            weekday => days - weekday + if up { 7 } else { 0 },
        },
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
