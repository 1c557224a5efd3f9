//! Days, times and instants: as row images pack them, as numbers since 1970, and as MySQL prints them.

use std::fmt::Write;

use super::cell::Cell;
use crate::bytes::{Bytes, Short, big};

/// A day of the proleptic Gregorian calendar, or a zero date: month and day may be 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 0 to 12.
    pub month: u8,
    /// 0 to 31.
    pub day: u8,
}

impl Date {
    #[expect(clippy::cast_possible_truncation, reason = "the packed fields are narrower")]
    pub(crate) fn new(year: u64, month: u64, day: u64) -> Self {
        Self { year: year as u16, month: month as u8, day: day as u8 }
    }

    /// Days since 1970-01-01, or `None` where the day does not exist (zero dates, 30 February).
    pub fn days(self) -> Option<i32> {
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let length = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u8::from(leap),
            _ => return None,
        };
        if self.day == 0 || self.day > length {
            return None;
        }
        // Years that start in March, so that the leap day is the last one.
        let (year, month) = match self.month {
            1 | 2 => (i32::from(self.year) - 1, i32::from(self.month) + 9),
            _ => (i32::from(self.year), i32::from(self.month) - 3),
        };
        let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        Some(year * 365 + leaps + (month * 153 + 2) / 5 + i32::from(self.day) - 1 - 719_468)
    }

    pub(crate) fn print(self, out: &mut String) {
        let _ = write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day);
    }
}

/// A number of microseconds below a second.
pub(crate) fn micros(number: u64) -> Result<i64, Short> {
    i64::try_from(number).ok().filter(|micros| *micros < 1_000_000).ok_or(Short)
}

/// Microseconds of the number that the fraction bytes of a packed value with `digits` digits hold.
fn fraction_micros(number: u64, digits: u16) -> Result<i64, Short> {
    match digits.div_ceil(2) {
        0 => Ok(0),
        1 => micros(number * 10_000),
        2 => micros(number * 100),
        _ => micros(number),
    }
}

/// Microseconds out of the fraction bytes of a packed value with `digits` digits.
pub(crate) fn fraction(bytes: &[u8], digits: u16) -> Result<u32, Short> {
    let number = Bytes::new(bytes).big(usize::from(digits.div_ceil(2)))?;
    u32::try_from(fraction_micros(number, digits)?).map_err(|_| Short)
}

/// Seconds of hour, minute and second in 10, 6 and 6 bits.
pub(crate) fn clock(packed: u64, last_hour: u64) -> Result<i64, Short> {
    let (hour, minute, second) = (packed >> 12, packed >> 6 & 63, packed & 63);
    if hour > last_hour || minute > 59 || second > 59 {
        return Err(Short);
    }
    i64::try_from(hour * 3_600 + minute * 60 + second).map_err(|_| Short)
}

/// A day as year × 13 + month and 5 bits of day.
pub(crate) fn packed_day(packed: u64) -> Result<Date, Short> {
    let (year, month) = ((packed >> 5) / 13, (packed >> 5) % 13);
    if year > 9_999 {
        return Err(Short);
    }
    Ok(Date::new(year, month, packed & 31))
}

/// Seconds of a number HHMMSS.
pub(crate) fn clock_number(number: i64) -> i64 {
    let (sign, number) = (number.signum(), number.abs());
    sign * (number / 10_000 * 3_600 + number / 100 % 100 * 60 + number % 100)
}

/// Microseconds of a packed TIME: hour, minute and second in 10, 6 and 6 bits, then the fraction, in one number whose
/// middle is zero.
pub(crate) fn time(raw: &[u8], digits: u16) -> Result<i64, Short> {
    let fraction_bits = 8 * u32::from(digits.div_ceil(2));
    let middle = 1_i64.checked_shl(23 + fraction_bits).ok_or(Short)?;
    let value = i64::try_from(big(raw)).map_err(|_| Short)? - middle;
    let (sign, value) = (value.signum(), value.unsigned_abs());
    let micros = fraction_micros(value & ((1 << fraction_bits) - 1), digits)?;
    Ok(sign * (clock(value >> fraction_bits, 838)? * 1_000_000 + micros))
}

/// A packed DATETIME: year × 13 + month, day, hour, minute, second in 17, 5, 5, 6 and 6 bits, then the fraction.
pub(crate) fn date_time(raw: &[u8], digits: u16) -> Result<Cell<'static>, Short> {
    let mut bytes = Bytes::new(raw);
    let value = bytes.big(5)? & 0x7f_ffff_ffff;
    let seconds = clock(value & 0x1_ffff, 23)?;
    let micros = i64::from(fraction(bytes.rest(), digits)?);
    Ok(Cell::DateTime(packed_day(value >> 17)?, seconds * 1_000_000 + micros))
}

/// A time as MySQL prints it: `-838:59:59.000000`.
pub(crate) fn print_time(micros: i64, digits: u8, out: &mut String) {
    let absolute = micros.unsigned_abs();
    let seconds = absolute / 1_000_000;
    let sign = if micros < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if digits > 0 {
        let fraction = absolute % 1_000_000 / 10_u64.pow(6 - u32::from(digits.min(6)));
        let _ = write!(out, ".{fraction:0width$}", width = usize::from(digits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        let days = |year, month, day| Date { year, month, day }.days();
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(2024, 2, 29), Some(19_782));
        assert_eq!(days(2023, 2, 29), None);
        assert_eq!(days(0, 0, 0), None);
        assert_eq!(days(1969, 12, 31), Some(-1));
        assert_eq!(days(9999, 12, 31), Some(2_932_896));
    }

    #[test]
    fn negative_times_with_a_fraction_are_read() {
        // -00:00:00.01 with two digits is documented as 7FFFFF FF.
        assert_eq!(time(&[0x7f, 0xff, 0xff, 0xff], 2), Ok(-10_000));
        assert_eq!(time(&[0x80, 0x00, 0x00], 0), Ok(0));
        assert_eq!(time(&[0x80, 0x00, 0x3c], 0), Err(Short), "60 seconds");
        assert_eq!(time(&[0x80, 0x00, 0x00, 200], 2), Err(Short), "200 hundredths");
        let mut text = String::new();
        print_time(-3_020_399_000_000, 0, &mut text);
        assert_eq!(text, "-838:59:59");
    }

    #[test]
    fn a_packed_datetime_is_read() {
        // 2010-10-17 19:27:30.000001
        let packed = (2010_u64 * 13 + 10) << 22 | 17 << 17 | 19 << 12 | 27 << 6 | 30;
        let bytes = (packed | 1 << 39).to_be_bytes();
        let raw: Vec<u8> = bytes[3..].iter().copied().chain([0, 0, 1]).collect();
        let clock = ((19 * 60 + 27) * 60 + 30) * 1_000_000 + 1;
        assert_eq!(date_time(&raw, 6), Ok(Cell::DateTime(Date { year: 2010, month: 10, day: 17 }, clock)));
    }
}
