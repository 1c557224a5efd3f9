//! Calendar arithmetic and the text of dates and times, without allocation.
//!
//! Rule: the proleptic Gregorian calendar, as in `java.time` and in Arrow.

/// Seconds of a day.
pub const DAY_SECONDS: i64 = 86_400;

/// Days since 1970-01-01 of a date. The date must exist; see [`month_days`].
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

/// How many days a month has.
pub fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Appends `number` with at least `width` digits.
pub fn write_padded(number: u64, width: usize, out: &mut String) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    out.extend((digits.len()..width).map(|_| '0'));
    out.push_str(digits);
}

/// Appends `2024-04-25`.
pub fn write_date(days: i64, out: &mut String) {
    let (year, month, day) = civil_from_days(days);
    if year < 0 {
        out.push('-');
    }
    write_padded(year.unsigned_abs(), 4, out);
    out.push('-');
    write_padded(u64::from(month), 2, out);
    out.push('-');
    write_padded(u64::from(day), 2, out);
}

/// Appends `10:00:01`, for a second of the day.
pub fn write_time(second: u64, out: &mut String) {
    write_padded(second / 3600, 2, out);
    out.push(':');
    write_padded(second / 60 % 60, 2, out);
    out.push(':');
    write_padded(second % 60, 2, out);
}

/// Appends `.` and the first `digits` digits of a fraction in nanoseconds; nothing for no digits.
pub fn write_fraction(nanos: u32, digits: u32, out: &mut String) {
    if digits > 0 {
        out.push('.');
        write_padded(u64::from(nanos / 10_u32.pow(9_u32.saturating_sub(digits))), digits as usize, out);
    }
}

/// How many digits a fraction needs: none, or as many as remain without the zeros at its end.
pub fn needed_digits(nanos: u32) -> u32 {
    if nanos == 0 {
        return 0;
    }
    let mut digits = 9;
    let mut rest = nanos;
    while rest.is_multiple_of(10) {
        rest /= 10;
        digits -= 1;
    }
    digits
}

/// Whole seconds and nanoseconds of a count of units, of which `per_second` make a second.
pub fn split_seconds(value: i64, per_second: i64) -> (i64, u32) {
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    (value.div_euclid(per_second), u32::try_from(nanos).unwrap_or(0))
}

/// Days and the second of the day of seconds since 1970.
pub fn split_days(seconds: i64) -> (i64, u64) {
    (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS).unsigned_abs())
}
