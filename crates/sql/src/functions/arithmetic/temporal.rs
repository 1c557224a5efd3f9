//! Times and intervals.
//!
//! | operands | result |
//! |---|---|
//! | DATE ± months, ± whole days of an interval | DATE; the day is cut to the month's last |
//! | TIME ± interval | TIME, around midnight; months leave it |
//! | TIMESTAMP(p), TIMESTAMP_LTZ(p) ± interval | the same type, with at least the interval's three digits when it has a fraction |
//! | interval ± interval of its kind, interval * INT | interval |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, IntervalMonthDayNanoArray, PrimitiveArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit};
use datafusion::common::{Result as Planned, exec_err};
use datafusion::logical_expr::Operator;
use headwater_change::calendar::{civil_from_days, days_from_civil, month_days};
use headwater_change::{Error, Result};

use crate::functions::cast::read::{counts, from_counts, per_second};
use crate::functions::kernel::{Call, Kernel, Run};
use crate::typed::{Context, Typed};
use crate::types::{SqlType, unit};

const DAY_MILLIS: i64 = 86_400_000;

/// `left operator right` where one side is a time or an interval.
pub(super) fn arithmetic(context: Context<'_>, operator: Operator, left: Typed, right: Typed) -> Result<Typed> {
    let refused = Error::usage("sql.types", format!("{} {operator} {} is not defined", left.sql_type, right.sql_type))
        .hint("CAST one side to a type of the other's kind");
    let is_interval = |sql_type: &SqlType| matches!(sql_type, SqlType::Months | SqlType::Millis);
    let sum = matches!(operator, Operator::Plus | Operator::Minus);
    let nullable = left.nullable || right.nullable;
    // `interval + time` is `time + interval`.
    let turned = match operator {
        Operator::Plus => is_interval(&left.sql_type) && !is_interval(&right.sql_type),
        Operator::Multiply => left.sql_type.is_integer(),
        _ => false,
    };
    let (left, right) = if turned { (right, left) } else { (left, right) };
    let (sql_type, run): (SqlType, Run) = match (&left.sql_type, &right.sql_type) {
        (a, b) if a == b && is_interval(a) && sum => {
            (a.clone(), if operator == Operator::Plus { add_intervals } else { subtract_intervals })
        }
        (a, b) if is_interval(a) && b.is_integer() && operator == Operator::Multiply => (a.clone(), multiply_interval),
        (SqlType::Date, b) if is_interval(b) && sum => {
            (SqlType::Date, if operator == Operator::Plus { date_plus } else { date_minus })
        }
        (SqlType::Time(p), b) if is_interval(b) && sum => {
            (SqlType::Time(*p), if operator == Operator::Plus { time_plus } else { time_minus })
        }
        (SqlType::Timestamp(_) | SqlType::TimestampLtz(_), b) if is_interval(b) && sum => {
            (left.sql_type.clone(), if operator == Operator::Plus { timestamp_plus } else { timestamp_minus })
        }
        _ => return Err(refused),
    };
    let kernel = Kernel::new(operator.to_string(), sql_type.clone(), nullable, context.zone, run);
    let expr = kernel.call([(left.expr, left.sql_type), (right.expr, right.sql_type)]);
    Ok(Typed::new(expr, sql_type, nullable))
}

/// Months, and milliseconds of the rest.
fn parts(interval: IntervalMonthDayNano) -> (i64, i64) {
    (i64::from(interval.months), i64::from(interval.days) * DAY_MILLIS + interval.nanoseconds / 1_000_000)
}

fn interval(months: i64, millis: i64) -> Planned<IntervalMonthDayNano> {
    let (days, rest) = match millis.checked_mul(1_000_000) {
        Some(nanos) => (0, nanos),
        None => (millis / DAY_MILLIS, millis % DAY_MILLIS * 1_000_000),
    };
    match (i32::try_from(months), i32::try_from(days)) {
        (Ok(months), Ok(days)) => Ok(IntervalMonthDayNano::new(months, days, rest)),
        _ => exec_err!("an interval is too long"),
    }
}

pub(super) fn negate(value: &ArrayRef) -> Planned<ArrayRef> {
    map_intervals(value, |(months, millis)| (-months, -millis))
}

fn map_intervals(value: &ArrayRef, f: impl Fn((i64, i64)) -> (i64, i64)) -> Planned<ArrayRef> {
    let mapped = value
        .as_primitive::<IntervalMonthDayNanoType>()
        .iter()
        .map(|value| value.map(|value| f(parts(value))).map(|(months, millis)| interval(months, millis)).transpose());
    Ok(Arc::new(mapped.collect::<Planned<IntervalMonthDayNanoArray>>()?))
}

fn add_intervals(call: &Call<'_>) -> Planned<ArrayRef> {
    combine_intervals(call, 1)
}

fn subtract_intervals(call: &Call<'_>) -> Planned<ArrayRef> {
    combine_intervals(call, -1)
}

fn combine_intervals(call: &Call<'_>, sign: i64) -> Planned<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let (left, right) =
        (left.as_primitive::<IntervalMonthDayNanoType>(), right.as_primitive::<IntervalMonthDayNanoType>());
    let sums = left.iter().zip(right).map(|(left, right)| match (left.map(parts), right.map(parts)) {
        (Some((m, s)), Some((n, t))) => interval(m + sign * n, s + sign * t).map(Some),
        _ => Ok(None),
    });
    Ok(Arc::new(sums.collect::<Planned<IntervalMonthDayNanoArray>>()?))
}

fn multiply_interval(call: &Call<'_>) -> Planned<ArrayRef> {
    let factors = arrow_cast(&call.array(1)?, &DataType::Int64)?;
    let intervals = call.array(0)?;
    let products = intervals.as_primitive::<IntervalMonthDayNanoType>().iter().zip(factors.as_primitive::<Int64Type>());
    let products = products.map(|(value, factor)| match (value.map(parts), factor) {
        (Some((months, millis)), Some(factor)) => match (months.checked_mul(factor), millis.checked_mul(factor)) {
            (Some(months), Some(millis)) => interval(months, millis).map(Some),
            _ => exec_err!("an interval is too long"),
        },
        _ => Ok(None),
    });
    Ok(Arc::new(products.collect::<Planned<IntervalMonthDayNanoArray>>()?))
}

/// A date so many months later; the day is cut to the last one of that month.
pub(crate) fn add_months(days: i64, months: i64) -> i64 {
    let (year, month, day) = civil_from_days(days);
    let total = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    days_from_civil(year, month, i64::from(day).min(month_days(year, month)))
}

fn date_plus(call: &Call<'_>) -> Planned<ArrayRef> {
    shift_dates(call, 1)
}

fn date_minus(call: &Call<'_>) -> Planned<ArrayRef> {
    shift_dates(call, -1)
}

fn shift_dates(call: &Call<'_>, sign: i64) -> Planned<ArrayRef> {
    let (dates, intervals) = (call.array(0)?, call.array(1)?);
    let shifted = dates.as_primitive::<Date32Type>().iter().zip(intervals.as_primitive::<IntervalMonthDayNanoType>());
    let shifted = shifted.map(|(days, value)| match (days, value.map(parts)) {
        (Some(days), Some((months, millis))) => {
            let days = i64::from(days) + sign * (millis / DAY_MILLIS);
            match i32::try_from(add_months(days, sign * months)) {
                Ok(days) => Ok(Some(days)),
                Err(_) => exec_err!("a date is out of range"),
            }
        }
        _ => Ok(None),
    });
    Ok(Arc::new(shifted.collect::<Planned<Date32Array>>()?))
}

fn time_plus(call: &Call<'_>) -> Planned<ArrayRef> {
    shift_counts(call, 1, true)
}

fn time_minus(call: &Call<'_>) -> Planned<ArrayRef> {
    shift_counts(call, -1, true)
}

fn timestamp_plus(call: &Call<'_>) -> Planned<ArrayRef> {
    shift_counts(call, 1, false)
}

fn timestamp_minus(call: &Call<'_>) -> Planned<ArrayRef> {
    shift_counts(call, -1, false)
}

/// Counts of a unit moved by intervals, around midnight for times of the day.
fn shift_counts(call: &Call<'_>, sign: i64, of_day: bool) -> Planned<ArrayRef> {
    let (values, intervals) = (counts(&call.array(0)?)?, call.array(1)?);
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
    let unit = match call.result {
        SqlType::Time(p) | SqlType::Timestamp(p) | SqlType::TimestampLtz(p) => unit(*p),
        _ => TimeUnit::Millisecond,
    };
    let second = per_second(unit);
    let day = second * 86_400;
    let mut out = PrimitiveArray::<Int64Type>::builder(call.rows);
    for row in 0..call.rows {
        if values.is_null(row) || intervals.is_null(row) {
            out.append_null();
            continue;
        }
        let (months, millis) = parts(intervals.value(row));
        // A count of seconds is moved in milliseconds and cut downwards.
        let (step, length) = if second >= 1000 { (1, millis.checked_mul(second / 1000)) } else { (1000, Some(millis)) };
        let moved = length.and_then(|length| values.value(row).checked_mul(step)?.checked_add(sign * length));
        let moved = moved.map(|moved| moved.div_euclid(step));
        let Some(mut moved) = moved else { return exec_err!("a timestamp is out of range") };
        if of_day {
            moved = moved.rem_euclid(day);
        } else if months != 0 {
            let days = add_months(moved.div_euclid(day), sign * months);
            let Some(found) = days.checked_mul(day) else { return exec_err!("a timestamp is out of range") };
            moved = found + moved.rem_euclid(day);
        }
        out.append_value(moved);
    }
    from_counts(&out.finish(), &call.result.arrow())
}
