//! What lies between two values of a key, about: where a range is cut in two.

use std::fmt::Write;

use crate::scan::partition::Unit;
use crate::schema::{Charset, Kind};

/// Characters of a text that are looked at behind what both ends have in common.
const CHARS: usize = 8;

/// How the values of a column are halved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Domain {
    /// Whole numbers, and decimals with so many digits behind the point.
    Number(u8),
    Days,
    Micros,
    /// Texts, which are asked for in UTF-8; whether the column has every character. Others only have ASCII for sure.
    Text(bool),
    Bytes,
}

impl Domain {
    /// `None` for what is not halved: floats, whose text is not exact; members of ENUM and SET, which are few.
    pub(super) fn of(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Int { .. } | Kind::Year => Self::Number(0),
            Kind::Decimal(1..=37, scale) => Self::Number(*scale),
            Kind::Date => Self::Days,
            Kind::DateTime(_) | Kind::Timestamp(_) => Self::Micros,
            Kind::Text(charset) => Self::Text(matches!(charset, Charset::Utf8)),
            Kind::Binary(_) | Kind::Bytes => Self::Bytes,
            _ => return None,
        })
    }

    /// The expression by which a value is asked for.
    pub(super) fn shown(self, value: &str) -> String {
        match self {
            Self::Number(_) | Self::Days | Self::Micros => value.to_owned(),
            Self::Text(_) => format!("HEX(CONVERT({value} USING utf8mb4))"),
            Self::Bytes => format!("HEX({value})"),
        }
    }

    /// A value as a literal.
    pub(super) fn literal(self, value: &str) -> String {
        match self {
            Self::Number(_) => value.to_owned(),
            Self::Days | Self::Micros => format!("'{value}'"),
            Self::Text(_) => format!("_utf8mb4 X'{value}'"),
            Self::Bytes => format!("X'{value}'"),
        }
    }

    /// A value above the least and not above the greatest, about in the middle; `None` where there is none to be found.
    pub(super) fn middle(self, least: &str, most: &str) -> Option<String> {
        match self {
            Self::Number(scale) => {
                let (low, high) = (unscaled(least, scale)?, unscaled(most, scale)?);
                let middle = half(low, high)?;
                Some(scaled(middle, scale))
            }
            Self::Days | Self::Micros => {
                let unit = if self == Self::Days { Unit::Days } else { Unit::Micros };
                let (low, high) = (unit.read(least)?, unit.read(most)?);
                let middle = i64::try_from(half(low.into(), high.into())?).ok()?;
                Some(unit.literal(middle).trim_matches('\'').to_owned())
            }
            Self::Bytes => {
                let (low, high) = (from_hex(least)?, from_hex(most)?);
                let digits = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).collect::<Vec<_>>();
                let middle = between(&digits(&low), &digits(&high), 256)?;
                Some(to_hex(middle.into_iter().map(|digit| u8::try_from(digit).unwrap_or(u8::MAX))))
            }
            Self::Text(every) => {
                let (low, high) = (String::from_utf8(from_hex(least)?).ok()?, String::from_utf8(from_hex(most)?).ok()?);
                let digits = |text: &str| text.chars().map(u32::from).collect::<Vec<_>>();
                let ascii = low.is_ascii() && high.is_ascii();
                if !ascii && !every {
                    return None;
                }
                let base = if ascii { 128 } else { 0x11_0000 };
                // Code points that are no characters: the next that is one.
                let character = |digit: u32| char::from_u32(digit).unwrap_or('\u{e000}');
                let middle: String = between(&digits(&low), &digits(&high), base)?.into_iter().map(character).collect();
                Some(to_hex(middle.bytes()))
            }
        }
    }
}

/// Above the low one, not above the high one.
fn half(low: i128, high: i128) -> Option<i128> {
    (low < high).then(|| low + (high - low) / 2 + (high - low) % 2)
}

/// A decimal's digits as a whole number.
fn unscaled(text: &str, scale: u8) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<width$}", width = usize::from(scale)).parse().ok()
}

fn scaled(number: i128, scale: u8) -> String {
    let (sign, digits) = (if number < 0 { "-" } else { "" }, number.unsigned_abs().to_string());
    let width = usize::from(scale);
    let digits = format!("{digits:0>width$}", width = width + 1);
    match digits.split_at_checked(digits.len() - width) {
        Some((whole, fraction)) if width > 0 => format!("{sign}{whole}.{fraction}"),
        _ => format!("{sign}{digits}"),
    }
}

/// Between two rows of digits: what they have in common, and the middle of what comes behind it.
fn between(low: &[u32], high: &[u32], base: u32) -> Option<Vec<u32>> {
    let common = low.iter().zip(high).take_while(|(a, b)| a == b).count();
    let number = |digits: &[u32]| {
        let digit = |at: usize| u128::from(digits.get(common + at).copied().unwrap_or(0));
        let width = if base > 256 { CHARS / 2 } else { CHARS };
        (0..width).fold(0_u128, |sum, at| sum * u128::from(base) + digit(at))
    };
    let (low_number, high_number) = (number(low), number(high));
    let middle = (low_number < high_number).then(|| low_number + (high_number - low_number).div_ceil(2))?;
    let mut digits = Vec::new();
    let mut rest = middle;
    while rest > 0 {
        digits.push(u32::try_from(rest % u128::from(base)).ok()?);
        rest /= u128::from(base);
    }
    let width = if base > 256 { CHARS / 2 } else { CHARS };
    digits.resize(width, 0);
    digits.reverse();
    while digits.last() == Some(&0) {
        digits.pop();
    }
    Some(low.iter().take(common).copied().chain(digits).collect())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn to_hex(bytes: impl Iterator<Item = u8>) -> String {
    bytes.fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        to_hex(text.bytes())
    }

    #[test]
    fn middles_lie_between() {
        for (domain, low, high, middle) in [
            (Domain::Number(0), "1", "10", Some("6")),
            (Domain::Number(0), "-3", "-2", Some("-2")),
            (Domain::Number(0), "18446744073709551614", "18446744073709551615", Some("18446744073709551615")),
            (Domain::Number(2), "-0.05", "0.00", Some("-0.02")),
            (Domain::Number(2), "1.00", "9.99", Some("5.50")),
            (Domain::Number(0), "7", "7", None),
            (Domain::Days, "2024-01-01", "2024-03-01", Some("2024-01-31")),
            (Domain::Days, "0000-00-00", "2024-03-01", None),
            (Domain::Micros, "2024-01-01 00:00:00", "2024-01-01 00:00:01", Some("2024-01-01 00:00:00.5")),
        ] {
            assert_eq!(domain.middle(low, high).as_deref(), middle, "{domain:?} {low} {high}");
        }
    }

    #[test]
    fn middles_of_texts_are_texts() {
        let text = |low: &str, high: &str| Domain::Text(true).middle(&hex(low), &hex(high));
        assert_eq!(text("user-a", "user-c"), Some(hex("user-b")));
        assert_eq!(text("a", "a"), None);
        assert!(text("a", "가").is_some_and(|middle| String::from_utf8(from_hex(&middle).unwrap()).is_ok()));
        assert_eq!(Domain::Text(false).middle(&hex("a"), &hex("é")), None);
        assert_eq!(Domain::Bytes.middle("00", "0100"), Some("0080".to_owned()));
        assert_eq!(Domain::Bytes.middle("FF", "FF00"), None);
    }
}
