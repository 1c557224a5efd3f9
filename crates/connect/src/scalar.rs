//! Text into numbers, dates and times, shared by the formats.
//!
//! Every function answers `None` for text that is not a value of its type; it never guesses and never panics.

use arrow::datatypes::TimeUnit;

use crate::text::time::{DAY_SECONDS, days_from_civil, month_days};
use crate::text::unit_scale;

/// A whole number with an optional sign. Fails on overflow.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() > 18 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let mut number = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(if negative { -number } else { number })
}

/// What became of a text that should be a DECIMAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decimal {
    /// The unscaled value.
    Value(i128),
    /// A number that the type cannot hold: NULL, as in Flink.
    Overflow,
    /// Not a number.
    Invalid,
}

/// A decimal number, also with an exponent, rounded half up to `scale`.
pub(crate) fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Decimal {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => match parse_integer(rest.get(at + 1..).unwrap_or_default()) {
            Some(exponent) => (rest.get(..at).unwrap_or_default(), exponent),
            None => return Decimal::Invalid,
        },
        None => (rest, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let whole = mantissa.get(..point.unwrap_or(mantissa.len())).unwrap_or_default();
    let fraction = point.and_then(|at| mantissa.get(at + 1..)).unwrap_or_default();
    if whole.is_empty() && fraction.is_empty() {
        return Decimal::Invalid;
    }
    // How many of the digits are kept: those in front of the point moved by exponent and scale.
    let kept = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(exponent).saturating_add(scale.into());
    let (mut number, mut seen, mut overflow, mut round) = (0_i128, 0_i64, false, false);
    for byte in whole.iter().chain(fraction) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Decimal::Invalid;
        }
        if seen < kept {
            match number.checked_mul(10).and_then(|number| number.checked_add(digit.into())) {
                Some(next) => number = next,
                None => overflow = true,
            }
        } else if seen == kept {
            round = digit >= 5;
        }
        seen += 1;
    }
    while seen < kept && number != 0 && !overflow {
        match number.checked_mul(10) {
            Some(next) => number = next,
            None => overflow = true,
        }
        seen += 1;
    }
    if round {
        number = number.saturating_add(1);
    }
    let limit = 10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    if overflow || number >= limit {
        return Decimal::Overflow;
    }
    Decimal::Value(if negative { -number } else { number })
}

/// A number as Java's `parseDouble` reads it, except hexadecimal ones and type suffixes.
pub(crate) fn parse_float<T: std::str::FromStr>(text: &str) -> Option<T> {
    let name = text.strip_prefix(['-', '+']).unwrap_or(text);
    // Rust reads `inf` and `nan` in any case; Java knows these two words only.
    if name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic()) && name != "NaN" && name != "Infinity" {
        return None;
    }
    text.parse().ok()
}

fn two(a: u8, b: u8) -> Option<i64> {
    let (a, b) = (a.wrapping_sub(b'0'), b.wrapping_sub(b'0'));
    (a < 10 && b < 10).then(|| i64::from(a * 10 + b))
}

/// `2024-04-25` as days since 1970. The date must exist.
pub(crate) fn parse_date(text: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let (year, month, day) = (two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?);
    let exists = (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
    exists.then(|| days_from_civil(year, month, day))
}

/// `10:00:01`, `10:00:01.123` (up to nine digits) or `10:00` as seconds of the day and nanoseconds.
pub(crate) fn parse_time(text: &[u8]) -> Option<(i64, i64)> {
    let (clock, fraction) = match text {
        [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] => ((two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?), rest),
        [h1, h2, b':', m1, m2] => ((two(*h1, *h2)?, two(*m1, *m2)?, 0), [].as_slice()),
        _ => return None,
    };
    let (hour, minute, second) = clock;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((hour * 3600 + minute * 60 + second, parse_fraction(fraction)?))
}

fn parse_fraction(text: &[u8]) -> Option<i64> {
    let digits = match text {
        [] => return Some(0),
        [b'.', digits @ ..] if digits.len() <= 9 => digits,
        _ => return None,
    };
    let mut nanos = 0;
    for index in 0..9 {
        let digit = digits.get(index).map_or(0, |byte| byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        nanos = nanos * 10 + i64::from(digit);
    }
    Some(nanos)
}

/// A time of day in `unit`.
pub(crate) fn parse_time_in(text: &[u8], unit: TimeUnit) -> Option<i64> {
    let (seconds, nanos) = parse_time(text)?;
    in_unit(seconds, nanos, unit)
}

/// `2024-04-25 10:00:01[.fff]`, with `T` for the blank too, in `unit` since 1970. `instant` wants a `Z` at the end.
pub(crate) fn parse_timestamp(text: &[u8], unit: TimeUnit, instant: bool) -> Option<i64> {
    let text = if instant { text.strip_suffix(b"Z")? } else { text };
    let (date, rest) = text.split_at_checked(10)?;
    let [b' ' | b'T', time @ ..] = rest else { return None };
    let (seconds, nanos) = parse_time(time)?;
    in_unit(parse_date(date)? * DAY_SECONDS + seconds, nanos, unit)
}

fn in_unit(seconds: i64, nanos: i64, unit: TimeUnit) -> Option<i64> {
    let (per_second, _) = unit_scale(unit);
    seconds.checked_mul(per_second)?.checked_add(nanos / (1_000_000_000 / per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_rounded_half_up_and_overflow_to_null() {
        assert_eq!(parse_decimal(b"-3.999", 10, 2), Decimal::Value(-400));
        assert_eq!(parse_decimal(b"644.66", 10, 2), Decimal::Value(64_466));
        assert_eq!(parse_decimal(b"1.005", 10, 2), Decimal::Value(101));
        assert_eq!(parse_decimal(b"0.004", 10, 2), Decimal::Value(0));
        assert_eq!(parse_decimal(b"0.0005", 10, 2), Decimal::Value(0));
        assert_eq!(parse_decimal(b"1e3", 10, 2), Decimal::Value(100_000));
        assert_eq!(parse_decimal(b"12345e-3", 10, 2), Decimal::Value(1_235));
        assert_eq!(parse_decimal(b"5e-3", 10, 2), Decimal::Value(1));
        assert_eq!(parse_decimal(b"123", 4, 2), Decimal::Overflow);
        assert_eq!(parse_decimal(b"99.995", 4, 2), Decimal::Overflow);
        assert_eq!(parse_decimal(b"1e999999999", 38, 2), Decimal::Overflow);
        assert_eq!(parse_decimal(b"0e999999999", 38, 2), Decimal::Value(0));
        assert_eq!(parse_decimal(b"1e-999999999", 38, 2), Decimal::Value(0));
        for text in ["", "-", ".", "1.2.3", "abc", "1e", "1 "] {
            assert_eq!(parse_decimal(text.as_bytes(), 10, 2), Decimal::Invalid, "{text}");
        }
    }

    #[test]
    fn timestamps_are_read_in_both_forms() {
        let seconds = 1_714_039_201;
        assert_eq!(parse_timestamp(b"2024-04-25 10:00:01", TimeUnit::Second, false), Some(seconds));
        assert_eq!(parse_timestamp(b"2024-04-25T10:00:01.5", TimeUnit::Millisecond, false), Some(seconds * 1000 + 500));
        assert_eq!(parse_timestamp(b"2024-04-25 10:00:01.999Z", TimeUnit::Second, true), Some(seconds));
        assert_eq!(parse_timestamp(b"1969-12-31 23:59:59.5", TimeUnit::Millisecond, false), Some(-500));
        for text in ["2024-02-30 10:00:00", "2024-04-25", "2024-04-25 24:00:00", "2024-04-25 10:00:00Z", "x"] {
            assert_eq!(parse_timestamp(text.as_bytes(), TimeUnit::Second, false), None, "{text}");
        }
        assert_eq!(parse_timestamp(b"2024-04-25 10:00:01", TimeUnit::Second, true), None);
    }

    #[test]
    fn integers_overflow_to_nothing() {
        assert_eq!(parse_integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_integer(b"9223372036854775808"), None);
        assert_eq!(parse_integer(b"+7"), Some(7));
        assert_eq!(parse_integer(b"1x"), None);
        assert_eq!(parse_integer(b"-"), None);
    }

    #[test]
    fn floats_know_the_words_of_java_only() {
        assert_eq!(parse_float::<f64>("1.5e3"), Some(1500.0));
        assert_eq!(parse_float::<f64>("-Infinity"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_float::<f64>("inf"), None);
        assert_eq!(parse_float::<f64>(""), None);
    }
}
