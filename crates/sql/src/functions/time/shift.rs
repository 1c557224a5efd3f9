//! TIMESTAMPADD and TIMESTAMPDIFF.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::common::{Result as Planned, exec_err};
use headwater_change::Result;

use super::moment::{Moment, Moments, SECOND, add_months, column};
use super::unit::{Unit, unsupported};
use crate::functions::arguments::called;
use crate::functions::kernel::{Call, Run};
use crate::functions::{Bind, arity, rows};
use crate::typed::{Context, Typed, convert};
use crate::types::SqlType;

pub(super) const ALL: &[(&str, Bind)] = &[("$timestampadd", add), ("$timestampdiff", difference)];

/// `TIMESTAMPADD(unit, count, time)`: a DATE with hours and less becomes TIMESTAMP(6).
fn add(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let unit = Unit::of("TIMESTAMPADD", &args)?;
    let [name, count, time] =
        <[Typed; 3]>::try_from(args).map_err(|_| arity("TIMESTAMPADD", "a unit, a count and a time"))?;
    let months = matches!(unit, Unit::Month | Unit::Quarter | Unit::Year);
    let result = match &time.sql_type {
        SqlType::Date if months || matches!(unit, Unit::Day | Unit::Week) => Some(SqlType::Date),
        SqlType::Date if matches!(unit, Unit::Hour | Unit::Minute | Unit::Second) => Some(SqlType::Timestamp(6)),
        SqlType::Timestamp(precision) if months || (Unit::Second..=Unit::Week).contains(&unit) => {
            Some(SqlType::Timestamp(*precision))
        }
        SqlType::Timestamp(precision) if unit == Unit::Millisecond => Some(SqlType::Timestamp((*precision).max(3))),
        SqlType::TimestampLtz(precision) if months || (Unit::Second..=Unit::Week).contains(&unit) => {
            Some(SqlType::TimestampLtz(*precision))
        }
        SqlType::TimestampLtz(precision) if unit == Unit::Millisecond => {
            Some(SqlType::TimestampLtz((*precision).max(3)))
        }
        SqlType::Time(precision) if (Unit::Second..=Unit::Week).contains(&unit) => Some(SqlType::Time(*precision)),
        _ => None,
    };
    let Some(result) = result.filter(|_| count.sql_type.is_integer()) else {
        return Err(unsupported("TIMESTAMPADD", &[name, count, time]));
    };
    let nullable = count.nullable || time.nullable;
    let count = convert(context, count, &SqlType::BigInt)?;
    called(context, "TIMESTAMPADD", vec![name, count, time], result, nullable, run_add)
}

fn run_add(call: &Call<'_>) -> Planned<ArrayRef> {
    let unit = Unit::in_call(call)?;
    let (count, times) = (call.array(1)?, call.array(2)?);
    let count = count.as_primitive::<Int64Type>();
    let times = Moments::instants(&times)?;
    let clock = matches!(call.result, SqlType::Time(_));
    column(call.result, call.rows, &[count, times.column()], |row| {
        let (moment, count) = (times.at(row), count.value(row));
        let moved = match (unit.nanos(), unit.months()) {
            (Some(nanos), _) => moment.plus(i128::from(count) * i128::from(nanos)),
            (None, Some(months)) => match count.checked_mul(months) {
                Some(months) if months.unsigned_abs() < 1 << 40 => {
                    Moment { day: add_months(moment.day, months), nanos: moment.nanos }
                }
                _ => return exec_err!("TIMESTAMPADD goes beyond the calendar"),
            },
            (None, None) => return exec_err!("TIMESTAMPADD does not take this unit"),
        };
        // The clock goes round.
        Ok(Some(if clock { Moment { day: 0, ..moved } } else { moved }))
    })
}

/// `TIMESTAMPDIFF(unit, from, to)`: whole units, cut toward zero, of less than a second those of whole seconds; an INT that
/// wraps, of nanoseconds a BIGINT.
fn difference(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let unit = Unit::of("TIMESTAMPDIFF", &args)?;
    let [_, from, to] = args.as_slice() else { return Err(arity("TIMESTAMPDIFF", "a unit and two times")) };
    let months = matches!(unit, Unit::Month | Unit::Quarter | Unit::Year);
    let local = |sql_type: &SqlType| matches!(sql_type, SqlType::Date | SqlType::Timestamp(_));
    let fits = match (&from.sql_type, &to.sql_type) {
        (SqlType::TimestampLtz(_), SqlType::TimestampLtz(_)) => months || unit.nanos().is_some(),
        (SqlType::Time(_), SqlType::Time(_)) => (Unit::Millisecond..=Unit::Week).contains(&unit),
        (from, to) => local(from) && local(to) && (months || unit.nanos().is_some()),
    };
    if !fits {
        return Err(unsupported("TIMESTAMPDIFF", &args));
    }
    let nullable = from.nullable || to.nullable;
    let (result, run): (SqlType, Run) =
        if unit == Unit::Nanosecond { (SqlType::BigInt, run_nanos) } else { (SqlType::Int, run_difference) };
    called(context, "TIMESTAMPDIFF", args, result, nullable, run)
}

fn run_nanos(call: &Call<'_>) -> Planned<ArrayRef> {
    let (from, to) = (Moments::instants(&call.array(1)?)?, Moments::instants(&call.array(2)?)?);
    rows::finished(rows::primitive::<Int64Type>(call.rows, &[from.column(), to.column()], |row| {
        Ok(Some(seconds_between(from.at(row), to.at(row)).wrapping_mul(SECOND)))
    })?)
}

/// Whole seconds, which are what Flink counts milliseconds and less by.
fn seconds_between(from: Moment, to: Moment) -> i64 {
    (to.millis() - from.millis()) / 1_000
}

fn run_difference(call: &Call<'_>) -> Planned<ArrayRef> {
    let unit = Unit::in_call(call)?;
    let (from, to) = (Moments::instants(&call.array(1)?)?, Moments::instants(&call.array(2)?)?);
    rows::finished(rows::primitive::<Int32Type>(call.rows, &[from.column(), to.column()], |row| {
        let (from, to) = (from.at(row), to.at(row));
        let units = match (unit.nanos(), unit.months()) {
            (Some(nanos), _) if nanos < SECOND => seconds_between(from, to).wrapping_mul(SECOND / nanos),
            // Weeks are counted from seconds that are an INT already.
            (Some(nanos), _) if unit == Unit::Week => i64::from(seconds_between(from, to) as i32) / (nanos / SECOND),
            (Some(nanos), _) => (to.millis() - from.millis()) / (nanos / 1_000_000),
            (None, Some(months)) => months_between(from, to) / months,
            (None, None) => return exec_err!("TIMESTAMPDIFF does not take this unit"),
        };
        // What INT cannot hold wraps, as all its arithmetic does.
        Ok(Some(units as i32))
    })?)
}

/// Whole months from one time to the other. Going back, the days alone are counted first and the time of day corrects them
/// by Calcite's rule.
fn months_between(from: Moment, to: Moment) -> i64 {
    let months = if to.day < from.day { -days_in_months(to.day, from.day) } else { days_in_months(from.day, to.day) };
    let (before, after) = (from.nanos / 1_000_000, to.nanos / 1_000_000);
    if add_months(from.day, months) == to.day && after < before { months - 1 } else { months }
}

/// Whole months from a day to a later one.
fn days_in_months(from: i64, to: i64) -> i64 {
    let mut months = (to - from) / 31;
    while add_months(from, months) < to && add_months(from, months + 1) <= to {
        months += 1;
    }
    months
}
