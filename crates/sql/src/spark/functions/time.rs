//! Functions of dates, timestamps and intervals. Timestamps are seen in the session's zone.

use datafusion::common::Result as Planned;
use datafusion::logical_expr::{Expr, Operator};
use headwater_change::calendar::{civil_from_days, days_from_civil, month_days};
use headwater_change::{Error, Result, TimeZone};

use super::{DATE, Def, Gives, INT, LONG, STAMP, TEXT, Takes, def, refused, rows};
use crate::functions::kernel::{Row, RowRun};
use crate::functions::time::moment::Moment;
use crate::functions::time::pattern::Pattern;
use crate::functions::value::{DAY_MICROS, Value, item_type};
use crate::functions::{Bind, arity};
use crate::spark::cast::{cast, zone_of};
use crate::spark::operators::{Manner, add_months, arithmetic, failed, timestamp_add_months};
use crate::spark::text::{instant, local};
use crate::spark::types::{DAY_TO_SECOND, TIMESTAMP, TIMESTAMP_NTZ, YEAR_TO_MONTH, array_of};
use crate::typed::{Context, Typed, timestamp_constant};
use crate::types::{STRING, SqlType};

const SECOND: i64 = 1_000_000;

pub(super) const OWN: &[(&str, Bind)] = &[
    ("$extract", extract),
    ("date_part", extract),
    ("datepart", extract),
    ("year", |context, args| part(context, "YEAR", args)),
    ("quarter", |context, args| part(context, "QUARTER", args)),
    ("month", |context, args| part(context, "MONTH", args)),
    ("day", |context, args| part(context, "DAY", args)),
    ("dayofmonth", |context, args| part(context, "DAY", args)),
    ("dayofweek", |context, args| part(context, "DAYOFWEEK", args)),
    ("weekday", |context, args| part(context, "WEEKDAY", args)),
    ("dayofyear", |context, args| part(context, "DOY", args)),
    ("weekofyear", |context, args| part(context, "WEEK", args)),
    ("hour", |context, args| part(context, "HOUR", args)),
    ("minute", |context, args| part(context, "MINUTE", args)),
    ("second", |context, args| part(context, "WHOLE_SECOND", args)),
    ("date_add", |context, args| days_later(context, "DATE_ADD", Operator::Plus, args)),
    ("date_sub", |context, args| days_later(context, "DATE_SUB", Operator::Minus, args)),
    ("dateadd", |context, args| days_later(context, "DATEADD", Operator::Plus, args)),
    ("$timestampadd", unit_add),
    ("$dateadd", unit_add),
    ("$date_add", unit_add),
    ("to_date", |context, args| to_time(context, "TO_DATE", args, &SqlType::Date, false)),
    ("try_to_date", |context, args| to_time(context, "TRY_TO_DATE", args, &SqlType::Date, true)),
    ("to_timestamp", |context, args| to_time(context, "TO_TIMESTAMP", args, &TIMESTAMP, false)),
    ("try_to_timestamp", |context, args| to_time(context, "TRY_TO_TIMESTAMP", args, &TIMESTAMP, true)),
    ("to_timestamp_ltz", |context, args| to_time(context, "TO_TIMESTAMP_LTZ", args, &TIMESTAMP, false)),
    ("to_timestamp_ntz", |context, args| to_time(context, "TO_TIMESTAMP_NTZ", args, &TIMESTAMP_NTZ, false)),
    ("sequence", sequence),
    ("current_timestamp", now),
    ("now", now),
    ("localtimestamp", |context, args| cast(context, now(context, args)?, &TIMESTAMP_NTZ, false)),
    ("current_date", |context, args| cast(context, now(context, args)?, &SqlType::Date, false)),
    ("curdate", |context, args| cast(context, now(context, args)?, &SqlType::Date, false)),
];

/// When the statement began, the same wherever it stands.
fn now(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if !args.is_empty() {
        return Err(arity("CURRENT_TIMESTAMP", "no arguments"));
    }
    let value = timestamp_constant(context.now, &TIMESTAMP);
    Ok(Typed::new(Expr::Literal(value, None), TIMESTAMP, false))
}

const D: &[Takes] = &[Takes::Date];
const S: &[Takes] = &[Takes::Timestamp];
const L: &[Takes] = &[Takes::Long];

pub(super) const ROWS: &[Def] = &[
    def("datediff", &[Takes::Date, Takes::Date], INT, |row| Ok(Value::Int(row.int(0) - row.int(1)))),
    def("date_diff", &[Takes::Date, Takes::Date], INT, |row| Ok(Value::Int(row.int(0) - row.int(1)))),
    def("$timestampdiff", &[Takes::Text, Takes::Timestamp, Takes::Timestamp], LONG, unit_diff),
    def("$datediff", &[Takes::Text, Takes::Timestamp, Takes::Timestamp], LONG, unit_diff),
    def("$date_diff", &[Takes::Text, Takes::Timestamp, Takes::Timestamp], LONG, unit_diff),
    def("add_months", &[Takes::Date, Takes::Int], DATE, |row| Ok(Value::Int(add_months(row.int(0), row.int(1))))),
    def("months_between", &[Takes::Timestamp, Takes::Timestamp, Takes::Bool], super::DOUBLE, months_between).least(2),
    def("last_day", D, DATE, |row| {
        let (year, month, _) = civil_from_days(row.int(0));
        let month = i64::from(month);
        Ok(Value::Int(days_from_civil(year, month, month_days(year, month))))
    }),
    def("next_day", &[Takes::Date, Takes::Text], DATE, |row| {
        let name = row.text(1).to_ascii_uppercase();
        let names = [
            ("SU", "SUN", "SUNDAY"),
            ("MO", "MON", "MONDAY"),
            ("TU", "TUE", "TUESDAY"),
            ("WE", "WED", "WEDNESDAY"),
            ("TH", "THU", "THURSDAY"),
            ("FR", "FRI", "FRIDAY"),
            ("SA", "SAT", "SATURDAY"),
        ];
        let wanted = names.iter().position(|(two, three, all)| [*two, *three, *all].contains(&name.as_str()));
        let Some(wanted) = wanted.and_then(|at| i64::try_from(at).ok()) else {
            if row.ansi {
                return Err(failed(
                    "sql.argument",
                    format!("'{}' is no day of the week", row.text(1)),
                    "write MON or MONDAY",
                ));
            }
            return Ok(Value::Null);
        };
        let ahead = (wanted - sunday_based(row.int(0))).rem_euclid(7);
        Ok(Value::Int(row.int(0) + if ahead == 0 { 7 } else { ahead }))
    }),
    def("trunc", &[Takes::Date, Takes::Text], DATE, |row| {
        let day = row.int(0);
        Ok(Value::from(match row.text(1).to_ascii_uppercase().as_str() {
            "WEEK" | "QUARTER" | "YEAR" | "YYYY" | "YY" | "MON" | "MONTH" | "MM" => truncated_day(day, row.text(1)),
            _ => None,
        }))
    }),
    def("date_trunc", &[Takes::Text, Takes::Timestamp], STAMP, date_trunc),
    def("unix_timestamp", &[Takes::Any, Takes::Text], LONG, unix_timestamp).least(1),
    def("to_unix_timestamp", &[Takes::Any, Takes::Text], LONG, unix_timestamp).least(1),
    def("from_unixtime", &[Takes::Long, Takes::Text], TEXT, |row| {
        let pattern = if row.values.len() > 1 { row.text(1) } else { "yyyy-MM-dd HH:mm:ss" };
        let micros = row.int(0).checked_mul(SECOND).ok_or_else(out_of_range)?;
        show(local(micros, row.zone), pattern).map(Value::Text)
    })
    .least(1),
    def("timestamp_seconds", &[Takes::Number], STAMP, |row| {
        crate::spark::cast::convert(row.value(0), row.type_of(0), &TIMESTAMP, row.zone, true)
    }),
    def("timestamp_millis", L, STAMP, |row| row.int(0).checked_mul(1_000).map(Value::Int).ok_or_else(out_of_range)),
    def("timestamp_micros", L, STAMP, |row| Ok(Value::Int(row.int(0)))),
    def("unix_seconds", S, LONG, |row| Ok(Value::Int(row.int(0).div_euclid(SECOND)))),
    def("unix_millis", S, LONG, |row| Ok(Value::Int(row.int(0).div_euclid(1_000)))),
    def("unix_micros", S, LONG, |row| Ok(Value::Int(row.int(0)))),
    def("unix_date", D, INT, |row| Ok(Value::Int(row.int(0)))),
    def("date_from_unix_date", &[Takes::Int], DATE, |row| Ok(Value::Int(row.int(0)))),
    def("from_utc_timestamp", &[Takes::Timestamp, Takes::Text], STAMP, |row| {
        Ok(Value::Int(local(row.int(0), zone(row.text(1))?)))
    }),
    def("to_utc_timestamp", &[Takes::Timestamp, Takes::Text], STAMP, |row| {
        Ok(Value::Int(instant(row.int(0), zone(row.text(1))?)))
    }),
    def(
        "convert_timezone",
        &[Takes::Text, Takes::Text, Takes::Any],
        Gives::By(|types| types.get(2).filter(|found| **found == TIMESTAMP_NTZ).cloned()),
        |row| {
            let at = instant(row.int(2), zone(row.text(0))?);
            Ok(Value::Int(local(at, zone(row.text(1))?)))
        },
    ),
    def("date_format", &[Takes::Timestamp, Takes::Text], TEXT, |row| {
        show(local(row.int(0), row.zone), row.text(1)).map(Value::Text)
    }),
    def("make_date", &[Takes::Int, Takes::Int, Takes::Int], DATE, |row| {
        let (year, month, day) = (row.int(0), row.int(1), row.int(2));
        match civil(year, month, day) {
            Some(days) => Ok(Value::Int(days)),
            None if row.ansi => {
                Err(failed("sql.date", format!("there is no day {year}-{month}-{day}"), "filter what does not exist"))
            }
            None => Ok(Value::Null),
        }
    }),
    def("make_timestamp", &[Takes::Int, Takes::Int, Takes::Int, Takes::Int, Takes::Int, Takes::Number], STAMP, |row| {
        make_timestamp(row).map(|found| found.map(|micros| instant(micros, row.zone)).into())
    }),
    def(
        "make_timestamp_ltz",
        &[Takes::Int, Takes::Int, Takes::Int, Takes::Int, Takes::Int, Takes::Number],
        STAMP,
        |row| make_timestamp(row).map(|found| found.map(|micros| instant(micros, row.zone)).into()),
    ),
    def(
        "make_timestamp_ntz",
        &[Takes::Int, Takes::Int, Takes::Int, Takes::Int, Takes::Int, Takes::Number],
        Gives::By(|_| Some(TIMESTAMP_NTZ)),
        |row| make_timestamp(row).map(Value::from),
    ),
    def("make_ym_interval", &[Takes::Int, Takes::Int], Gives::By(|_| Some(YEAR_TO_MONTH)), |row| {
        Ok(Value::Int(row.int(0) * 12 + if row.values.len() > 1 { row.int(1) } else { 0 }))
    })
    .least(0),
    def(
        "make_dt_interval",
        &[Takes::Int, Takes::Int, Takes::Int, Takes::Number],
        Gives::By(|_| Some(DAY_TO_SECOND)),
        |row| {
            let given = |index: usize| if row.values.len() > index { row.int(index) } else { 0 };
            let seconds = if row.values.len() > 3 { micros_of(row, 3) } else { 0 };
            Ok(Value::Int(given(0) * DAY_MICROS + (given(1) * 3_600 + given(2) * 60) * SECOND + seconds))
        },
    )
    .least(0),
    def("dayname", D, TEXT, |row| {
        const NAMES: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let at = usize::try_from(sunday_based(row.int(0))).unwrap_or(0);
        Ok(NAMES.get(at).copied().unwrap_or_default().into())
    }),
    def("monthname", D, TEXT, |row| {
        const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (_, month, _) = civil_from_days(row.int(0));
        Ok(NAMES.get(month as usize - 1).copied().unwrap_or_default().into())
    }),
    def("current_timezone", &[], TEXT, |row| Ok(Value::Text(row.zone.to_string()))),
];

fn out_of_range() -> datafusion::common::DataFusionError {
    failed("sql.overflow", "a timestamp is out of range", "filter such rows")
}

fn zone(name: &str) -> Planned<TimeZone> {
    zone_of(name).ok_or_else(|| {
        failed("sql.argument", format!("'{name}' is no time zone"), "write it like Asia/Seoul or +09:00")
    })
}

fn civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let exists = (-9_999_999..=9_999_999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=month_days(year, month)).contains(&day);
    exists.then(|| days_from_civil(year, month, day))
}

/// Days of the week from Sunday, which is 0.
fn sunday_based(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

/// Year and number of the week by ISO 8601.
fn iso_week(days: i64) -> (i64, i64) {
    // The Thursday of a week decides which year it belongs to.
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

/// Microseconds of a number of seconds.
fn micros_of(row: &Row<'_>, index: usize) -> i64 {
    match (row.value(index), row.type_of(index)) {
        (Value::Int(seconds), _) => seconds.saturating_mul(SECOND),
        (Value::Float(seconds), _) => (seconds * SECOND as f64).round() as i64,
        (Value::Decimal(unscaled), SqlType::Decimal(_, scale)) => {
            let scale = u32::from(*scale);
            let micros = if scale <= 6 {
                unscaled.saturating_mul(10_i128.pow(6 - scale))
            } else {
                unscaled / 10_i128.pow(scale - 6)
            };
            i64::try_from(micros).unwrap_or(i64::MAX)
        }
        _ => 0,
    }
}

/// As clocks show it.
fn make_timestamp(row: &Row<'_>) -> Planned<Option<i64>> {
    let [year, month, day, hour, minute] = [0, 1, 2, 3, 4].map(|index| row.int(index));
    let seconds = micros_of(row, 5);
    let clock = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60 * SECOND).contains(&seconds);
    let found = civil(year, month, day).filter(|_| clock);
    match found {
        Some(days) => Ok(Some(days * DAY_MICROS + (hour * 3_600 + minute * 60) * SECOND + seconds)),
        None if row.ansi => {
            Err(failed("sql.date", "the fields of a timestamp are out of range", "filter what does not exist"))
        }
        None => Ok(None),
    }
}

/// A part of a time by its name.
fn extract(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [field, value] = <[Typed; 2]>::try_from(args).map_err(|_| arity("EXTRACT", "a field and a time"))?;
    let Expr::Literal(datafusion::common::ScalarValue::Utf8(Some(field)), _) = &field.expr else {
        return Err(Error::usage("sql.arguments", "the field of EXTRACT is a constant"));
    };
    let field = field.to_ascii_uppercase();
    part(context, &field, vec![value])
}

fn part(context: Context<'_>, field: &str, args: Vec<Typed>) -> Result<Typed> {
    let [value] = <[Typed; 1]>::try_from(args).map_err(|_| arity(field, "one time"))?;
    let found = value.sql_type.clone();
    if matches!(found, SqlType::DayTime(..) | SqlType::YearMonth(..)) {
        return interval_part(context, field, value);
    }
    let of_day: Option<RowRun> = match field {
        "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => Some(|row| Ok(Value::Int(civil_from_days(row.int(0)).0))),
        "YEAROFWEEK" => Some(|row| Ok(Value::Int(iso_week(row.int(0)).0))),
        "QUARTER" | "QTR" => Some(|row| Ok(Value::Int(i64::from(civil_from_days(row.int(0)).1.div_ceil(3))))),
        "MONTH" | "MON" | "MONS" | "MONTHS" => Some(|row| Ok(Value::Int(i64::from(civil_from_days(row.int(0)).1)))),
        "WEEK" | "W" | "WEEKS" => Some(|row| Ok(Value::Int(iso_week(row.int(0)).1))),
        "DAY" | "D" | "DAYS" => Some(|row| Ok(Value::Int(i64::from(civil_from_days(row.int(0)).2)))),
        "DAYOFWEEK" | "DOW" => Some(|row| Ok(Value::Int(sunday_based(row.int(0)) + 1))),
        "DAYOFWEEK_ISO" | "DOW_ISO" => Some(|row| Ok(Value::Int((row.int(0) + 3).rem_euclid(7) + 1))),
        "WEEKDAY" => Some(|row| Ok(Value::Int((row.int(0) + 3).rem_euclid(7)))),
        "DOY" => Some(|row| Ok(Value::Int(row.int(0) - days_from_civil(civil_from_days(row.int(0)).0, 1, 1) + 1))),
        _ => None,
    };
    if let Some(run) = of_day {
        let value = super::taken(context, value, Takes::Date)?.ok_or_else(|| refused(field, &[found]))?;
        return rows(context, field, vec![value], SqlType::Int, false, run);
    }
    let (result, run): (SqlType, RowRun) = match field {
        "HOUR" | "H" | "HOURS" | "HR" | "HRS" => (SqlType::Int, |row| Ok(Value::Int(of_clock(row) / (3_600 * SECOND)))),
        "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => {
            (SqlType::Int, |row| Ok(Value::Int(of_clock(row) / (60 * SECOND) % 60)))
        }
        "WHOLE_SECOND" => (SqlType::Int, |row| Ok(Value::Int(of_clock(row) / SECOND % 60))),
        "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => {
            (SqlType::Decimal(8, 6), |row| Ok(Value::Decimal(i128::from(of_clock(row) % (60 * SECOND)))))
        }
        _ => {
            return Err(Error::usage("sql.argument", format!("a time has no field {field}"))
                .hint("fields are YEAR, QUARTER, MONTH, WEEK, DAY, DOW, DOY, HOUR, MINUTE, SECOND and their kin"));
        }
    };
    let value = if found == TIMESTAMP_NTZ {
        value
    } else {
        super::taken(context, value, Takes::Timestamp)?.ok_or_else(|| refused(field, &[found]))?
    };
    rows(context, field, vec![value], result, false, run)
}

/// Microseconds of the day, as clocks show it.
fn of_clock(row: &Row<'_>) -> i64 {
    let shown = if *row.type_of(0) == TIMESTAMP { local(row.int(0), row.zone) } else { row.int(0) };
    shown.rem_euclid(DAY_MICROS)
}

fn interval_part(context: Context<'_>, field: &str, value: Typed) -> Result<Typed> {
    let months = matches!(value.sql_type, SqlType::YearMonth(..));
    let (result, run): (SqlType, RowRun) = match (months, field) {
        (true, "YEAR" | "YEARS") => (SqlType::Int, |row| Ok(Value::Int(row.int(0) / 12))),
        (true, "MONTH" | "MONTHS") => (SqlType::TinyInt, |row| Ok(Value::Int(row.int(0) % 12))),
        (false, "DAY" | "DAYS") => (SqlType::Int, |row| Ok(Value::Int(row.int(0) / DAY_MICROS))),
        (false, "HOUR" | "HOURS") => (SqlType::TinyInt, |row| Ok(Value::Int(row.int(0) / (3_600 * SECOND) % 24))),
        (false, "MINUTE" | "MINUTES") => (SqlType::TinyInt, |row| Ok(Value::Int(row.int(0) / (60 * SECOND) % 60))),
        (false, "SECOND" | "SECONDS") => {
            (SqlType::Decimal(8, 6), |row| Ok(Value::Decimal(i128::from(row.int(0) % (60 * SECOND)))))
        }
        _ => return Err(Error::usage("sql.argument", format!("such an interval has no field {field}"))),
    };
    rows(context, field, vec![value], result, false, run)
}

/// `DATE_ADD(day, days)`.
fn days_later(context: Context<'_>, name: &str, operator: Operator, args: Vec<Typed>) -> Result<Typed> {
    let [day, days] = <[Typed; 2]>::try_from(args).map_err(|_| arity(name, "a day and a number"))?;
    let types = [day.sql_type.clone(), days.sql_type.clone()];
    let day = super::taken(context, day, Takes::Date)?.ok_or_else(|| refused(name, &types))?;
    let days = super::taken(context, days, Takes::Int)?.ok_or_else(|| refused(name, &types))?;
    arithmetic(context, operator, day, days, Manner::Session)
}

/// Units of TIMESTAMPADD and TIMESTAMPDIFF: months, or microseconds.
fn unit(name: &str) -> Option<(i64, bool)> {
    Some(match name {
        "YEAR" => (12, true),
        "QUARTER" => (3, true),
        "MONTH" => (1, true),
        "WEEK" => (7 * DAY_MICROS, false),
        "DAY" | "DAYOFYEAR" => (DAY_MICROS, false),
        "HOUR" => (3_600 * SECOND, false),
        "MINUTE" => (60 * SECOND, false),
        "SECOND" => (SECOND, false),
        "MILLISECOND" => (1_000, false),
        "MICROSECOND" => (1, false),
        _ => return None,
    })
}

fn unknown_unit(name: &str) -> datafusion::common::DataFusionError {
    failed(
        "sql.argument",
        format!("{name} is no unit of time"),
        "units are YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND",
    )
}

/// `TIMESTAMPADD(unit, number, time)`.
fn unit_add(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [name, number, time] =
        <[Typed; 3]>::try_from(args).map_err(|_| arity("TIMESTAMPADD", "a unit, a number and a time"))?;
    let types = [number.sql_type.clone(), time.sql_type.clone()];
    let number = super::taken(context, number, Takes::Long)?.ok_or_else(|| refused("timestampadd", &types))?;
    let time = if time.sql_type == TIMESTAMP_NTZ {
        time
    } else {
        super::taken(context, time, Takes::Timestamp)?.ok_or_else(|| refused("timestampadd", &types))?
    };
    let result = time.sql_type.clone();
    rows(context, "TIMESTAMPADD", vec![name, number, time], result, false, |row| {
        let (size, months) = unit(row.text(0)).ok_or_else(|| unknown_unit(row.text(0)))?;
        let by = row.int(1).checked_mul(size).ok_or_else(out_of_range)?;
        if months {
            return Ok(Value::Int(timestamp_add_months(row.int(2), by, row.type_of(2), row.zone)));
        }
        if size % DAY_MICROS == 0 && *row.type_of(2) == TIMESTAMP {
            // Days are days of the clock.
            return Ok(Value::Int(instant(local(row.int(2), row.zone) + by, row.zone)));
        }
        row.int(2).checked_add(by).map(Value::Int).ok_or_else(out_of_range)
    })
}

fn unit_diff(row: &Row<'_>) -> Planned<Value> {
    let (size, months) = unit(row.text(0)).ok_or_else(|| unknown_unit(row.text(0)))?;
    let (from, to) = (local(row.int(1), row.zone), local(row.int(2), row.zone));
    if !months {
        return Ok(Value::Int((to - from) / size));
    }
    let (y1, m1, _) = civil_from_days(from.div_euclid(DAY_MICROS));
    let (y2, m2, _) = civil_from_days(to.div_euclid(DAY_MICROS));
    let mut found = (y2 - y1) * 12 + i64::from(m2) - i64::from(m1);
    // Only whole months count.
    let rest = |micros: i64| (civil_from_days(micros.div_euclid(DAY_MICROS)).2, micros.rem_euclid(DAY_MICROS));
    if found > 0 && rest(to) < rest(from) {
        found -= 1;
    } else if found < 0 && rest(to) > rest(from) {
        found += 1;
    }
    Ok(Value::Int(found / size))
}

fn months_between(row: &Row<'_>) -> Planned<Value> {
    let (a, b) = (local(row.int(0), row.zone), local(row.int(1), row.zone));
    let rounds = row.values.len() < 3 || row.value(2).truth();
    let split = |micros: i64| {
        let (year, month, day) = civil_from_days(micros.div_euclid(DAY_MICROS));
        (year, i64::from(month), i64::from(day), micros.rem_euclid(DAY_MICROS))
    };
    let ((y1, m1, d1, t1), (y2, m2, d2, t2)) = (split(a), split(b));
    let months = ((y1 - y2) * 12 + m1 - m2) as f64;
    let last = |year, month, day| day == month_days(year, month);
    if d1 == d2 || last(y1, m1, d1) && last(y2, m2, d2) {
        return Ok(Value::Float(months));
    }
    let seconds = (d1 - d2) * 86_400 + t1 / SECOND - t2 / SECOND;
    let found = months + seconds as f64 / (31.0 * 86_400.0);
    Ok(Value::Float(if rounds { (found * 1e8).round() / 1e8 } else { found }))
}

fn truncated_day(day: i64, unit: &str) -> Option<i64> {
    let (year, month, _) = civil_from_days(day);
    let month = i64::from(month);
    Some(match unit.to_ascii_uppercase().as_str() {
        "YEAR" | "YYYY" | "YY" => days_from_civil(year, 1, 1),
        "QUARTER" => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        "MONTH" | "MON" | "MM" => days_from_civil(year, month, 1),
        "WEEK" => day - (day + 3).rem_euclid(7),
        "DAY" | "DD" => day,
        _ => return None,
    })
}

fn date_trunc(row: &Row<'_>) -> Planned<Value> {
    let unit = row.text(0).to_ascii_uppercase();
    let micros = row.int(1);
    let shown = local(micros, row.zone);
    let cut = |size: i64| Some(instant(shown.div_euclid(size) * size, row.zone));
    Ok(Value::from(match unit.as_str() {
        "MICROSECOND" => Some(micros),
        "MILLISECOND" => Some(micros.div_euclid(1_000) * 1_000),
        "SECOND" => Some(micros.div_euclid(SECOND) * SECOND),
        "MINUTE" => cut(60 * SECOND),
        "HOUR" => cut(3_600 * SECOND),
        _ => truncated_day(shown.div_euclid(DAY_MICROS), &unit).map(|day| instant(day * DAY_MICROS, row.zone)),
    }))
}

/// A pattern, which Spark checks more than Java does.
fn compiled(pattern: &str) -> Planned<Pattern> {
    let wrong = |what: String| {
        failed(
            "sql.pattern",
            format!("the pattern '{pattern}': {what}"),
            "letters are those of Spark's datetime patterns",
        )
    };
    let mut quoted = false;
    for letter in pattern.chars() {
        quoted ^= letter == '\'';
        if !quoted && "ABcenNpWwYuVzOXxZ".contains(letter) {
            return Err(wrong(format!("the letter {letter} is not supported")));
        }
    }
    Pattern::compile(pattern).map_err(wrong)
}

/// What clocks show, by a pattern.
fn show(shown: i64, pattern: &str) -> Planned<String> {
    let moment = Moment { day: shown.div_euclid(DAY_MICROS), nanos: shown.rem_euclid(DAY_MICROS) * 1_000 };
    let pattern = compiled(pattern)?;
    let mut out = String::new();
    pattern.write(moment, &mut out);
    Ok(out)
}

/// What clocks show, from a text.
fn read(text: &str, pattern: &str) -> Planned<Option<i64>> {
    let compiled = compiled(pattern)?;
    if let Some(wrong) = compiled.unread() {
        return Err(failed("sql.pattern", format!("the pattern '{pattern}': {wrong}"), "read other fields"));
    }
    let Some(moment) = compiled.read(text) else { return Ok(None) };
    let micros = moment.day * DAY_MICROS + moment.nanos / 1_000;
    // A day beyond the end of its month does not exist here.
    let (year, month, day) = civil_from_days(moment.day);
    let last = i64::from(day) == month_days(year, i64::from(month));
    if last && pattern.contains('d') && !text.contains(&day.to_string()) {
        return Ok(None);
    }
    Ok(Some(micros))
}

/// `TO_DATE(text[, pattern])` and its kin.
fn to_time(context: Context<'_>, name: &str, args: Vec<Typed>, target: &SqlType, lenient: bool) -> Result<Typed> {
    let mut args = args.into_iter();
    let (Some(value), pattern, None) = (args.next(), args.next(), args.next()) else {
        return Err(arity(name, "a text and a pattern"));
    };
    let types = [value.sql_type.clone()];
    let Some(pattern) = pattern else {
        let castable = value.sql_type.is_text()
            || value.sql_type == SqlType::Null
            || value.sql_type == SqlType::Date
            || value.sql_type.is_timestamp()
            || *target == TIMESTAMP && value.sql_type.is_numeric();
        if !castable {
            return Err(refused(name, &types));
        }
        return cast(context, value, target, lenient);
    };
    if *target == SqlType::Date && value.sql_type.is_timestamp() || value.sql_type == SqlType::Date {
        return cast(context, value, target, lenient);
    }
    let value = super::taken(context, value, Takes::Text)?.ok_or_else(|| refused(name, &types))?;
    let pattern = super::taken(context, pattern, Takes::Text)?.ok_or_else(|| refused(name, &types))?;
    let run: RowRun = if lenient { |row| read_time(row, true) } else { |row| read_time(row, false) };
    rows(context, name, vec![value, pattern], target.clone(), false, run)
}

fn read_time(row: &Row<'_>, lenient: bool) -> Planned<Value> {
    let Some(shown) = read(row.text(0), row.text(1))? else {
        if lenient || !row.ansi {
            return Ok(Value::Null);
        }
        return Err(failed(
            "sql.cast",
            format!("'{}' cannot be read by the pattern '{}'", row.text(0), row.text(1)),
            "try_to_timestamp and try_to_date give NULL",
        ));
    };
    Ok(Value::Int(match row.result {
        SqlType::Date => shown.div_euclid(DAY_MICROS),
        SqlType::Timestamp(_) => shown,
        _ => instant(shown, row.zone),
    }))
}

fn unix_timestamp(row: &Row<'_>) -> Planned<Value> {
    match (row.value(0), row.type_of(0)) {
        (Value::Text(text), _) => {
            let pattern = if row.values.len() > 1 { row.text(1) } else { "yyyy-MM-dd HH:mm:ss" };
            match read(text, pattern)? {
                Some(shown) => Ok(Value::Int(instant(shown, row.zone).div_euclid(SECOND))),
                None if row.ansi => Err(failed(
                    "sql.cast",
                    format!("'{text}' cannot be read by the pattern '{pattern}'"),
                    "give its pattern",
                )),
                None => Ok(Value::Null),
            }
        }
        (Value::Int(days), SqlType::Date) => Ok(Value::Int(instant(days * DAY_MICROS, row.zone).div_euclid(SECOND))),
        (Value::Int(micros), SqlType::TimestampLtz(_)) => Ok(Value::Int(micros.div_euclid(SECOND))),
        (Value::Int(shown), SqlType::Timestamp(_)) => Ok(Value::Int(instant(*shown, row.zone).div_euclid(SECOND))),
        (_, other) => {
            Err(failed("sql.types", format!("UNIX_TIMESTAMP of {other}"), "give a text, a date or a timestamp"))
        }
    }
}

/// `SEQUENCE(from, to[, step])`: both ends belong to it.
fn sequence(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
    let mut args = args.into_iter();
    let (Some(from), Some(to), step, None) = (args.next(), args.next(), args.next(), args.next()) else {
        return Err(arity("SEQUENCE", "two or three arguments"));
    };
    let (ends, item) = super::common(context, "sequence", vec![from, to])?;
    let timed = item == SqlType::Date || item.is_timestamp();
    let mut args = ends;
    match step {
        Some(step) if timed && matches!(step.sql_type, SqlType::DayTime(..) | SqlType::YearMonth(..)) => {
            args.push(step)
        }
        Some(step) if item.is_integer() && step.sql_type.is_integer() => args.push(cast(context, step, &item, false)?),
        None if item.is_integer() => {}
        None if timed => {
            args.push(crate::typed::interval_constant(DAY_MICROS, &SqlType::DayTime(0, 0)));
        }
        _ => return Err(refused("sequence", &types)),
    }
    rows(context, "sequence", args, array_of(&item), false, numbers)
}

/// Most items of an array that a function makes.
pub(super) const ITEMS_MAX: usize = 10_000_000;

fn numbers(row: &Row<'_>) -> Planned<Value> {
    let (from, to) = (row.int(0), row.int(1));
    let item = item_type(row.result).unwrap_or(STRING);
    let wrong =
        || failed("sql.argument", "a sequence whose step leads away from its end", "give it a step of the other sign");
    let step = match row.values.get(2) {
        Some(step) => step.int(),
        None if from <= to => 1,
        None => -1,
    };
    let months = matches!(row.type_of(2), SqlType::YearMonth(..));
    let step =
        if item == SqlType::Date && matches!(row.type_of(2), SqlType::DayTime(..)) { step / DAY_MICROS } else { step };
    // Without a step of its own a sequence of days may run backwards.
    let step = if row.type_of(2) == &SqlType::DayTime(0, 0)
        && from > to
        && step > 0
        && row.values.len() > 2
        && item == SqlType::Date
        && step == 1
    {
        -1
    } else {
        step
    };
    if step == 0 && from != to || step > 0 && from > to || step < 0 && from < to {
        return Err(wrong());
    }
    let mut items = Vec::new();
    for index in 0_i64.. {
        let by = step.checked_mul(index).ok_or_else(out_of_range)?;
        let next = match (&item, months) {
            (SqlType::Date, true) => add_months(from, by),
            (time, true) => timestamp_add_months(from, by, time, row.zone),
            _ => match from.checked_add(by) {
                Some(next) => next,
                None => break,
            },
        };
        if step >= 0 && next > to || step < 0 && next < to {
            break;
        }
        items.push(Value::Int(next));
        if items.len() > ITEMS_MAX {
            return Err(failed("sql.length", "a sequence of more than ten million items", "take greater steps"));
        }
        if step == 0 {
            break;
        }
    }
    Ok(Value::List(items))
}
