//! Calendar arithmetic of the notation: proleptic Gregorian, without limits on the year, so that every value that an
//! Arrow array can hold has a text.

use std::fmt::Write;

use arrow::datatypes::TimeUnit;

const DAY_SECONDS: i64 = 86_400;

/// Units of a second, and digits of its fraction.
pub(super) fn scale(unit: TimeUnit) -> (i64, usize) {
    match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    }
}

/// Year, month and day of a number of days since 1970-01-01, by eras of 400 years that start in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970-01-01, or `None` where there is no such day or it is out of every type's range.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    // Seconds in an i64 reach about 292 billion years; beyond that nothing can be stored anyway.
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year.abs() > 300_000_000_000 {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Appends `2024-04-25`; years below 0 have a sign, years above 9999 more digits.
pub(super) fn write_date(out: &mut String, days: i64) {
    let (year, month, day) = civil(days);
    let sign = if year < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs());
}

/// Appends `10:00:01.000`; negative times have a sign, those beyond a day more hours.
pub(super) fn write_time(out: &mut String, value: i64, unit: TimeUnit) {
    let (per_second, digits) = scale(unit);
    let (magnitude, per_second) = (value.unsigned_abs(), per_second.unsigned_abs());
    let (seconds, fraction) = (magnitude / per_second, magnitude % per_second);
    let sign = if value < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if digits > 0 {
        let _ = write!(out, ".{fraction:0digits$}");
    }
}

/// Appends `2024-04-25T10:00:01.000`.
pub(super) fn write_timestamp(out: &mut String, value: i64, unit: TimeUnit) {
    let (per_second, _) = scale(unit);
    write_date(out, value.div_euclid(per_second).div_euclid(DAY_SECONDS));
    out.push('T');
    // Stays within a day, so nothing can overflow.
    let second_of_day = value.div_euclid(per_second).rem_euclid(DAY_SECONDS);
    write_time(out, second_of_day * per_second + value.rem_euclid(per_second), unit);
}

/// Reads what [`write_date`] writes.
pub(super) fn read_date(text: &str) -> Option<i64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let mut parts = text.split('-');
    let (year, month, day) = (digits(parts.next()?)?, digits(parts.next()?)?, digits(parts.next()?)?);
    if parts.next().is_some() {
        return None;
    }
    days(if negative { -year } else { year }, month, day)
}

/// Reads what [`write_time`] writes; a shorter fraction is filled with zeros.
pub(super) fn read_time(text: &str, unit: TimeUnit) -> Option<i64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (per_second, places) = scale(unit);
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (digits(parts.next()?)?, digits(parts.next()?)?, digits(parts.next()?)?);
    if parts.next().is_some() || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match fraction {
        "0" if places == 0 => 0,
        _ if fraction.len() > places => return None,
        _ => digits(fraction)? * 10_i64.pow(u32::try_from(places - fraction.len()).ok()?),
    };
    let seconds = i128::from(hour) * 3_600 + i128::from(minute) * 60 + i128::from(second);
    let magnitude = seconds * i128::from(per_second) + i128::from(fraction);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// Reads what [`write_timestamp`] writes.
pub(super) fn read_timestamp(text: &str, unit: TimeUnit) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let (per_second, _) = scale(unit);
    let (days, time) = (read_date(date)?, read_time(time, unit)?);
    let day = DAY_SECONDS * per_second;
    if !(0..day).contains(&time) {
        return None;
    }
    i64::try_from(i128::from(days) * i128::from(day) + i128::from(time)).ok()
}

/// A number of digits and nothing else.
fn digits(text: &str) -> Option<i64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}
