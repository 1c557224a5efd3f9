//! The short way of the most frequent values into their builders: what needs no look at anything but itself. Everything
//! else says no and takes the long way, which means the same.

use arrow::datatypes::{DataType, TimeUnit};

use super::build::Builders;
use super::column::Builder;
use super::temporal::Date;
use crate::schema::Kind;
use crate::wire::value::Value;

/// How the values of a column may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Integers into integers.
    Whole,
    /// Decimals into such of as many digits behind the point, and as many in front of it.
    Decimal(usize),
    /// DATETIME into microseconds.
    Micros,
    /// Only the long way.
    Long,
}

impl Way {
    pub(super) fn of(kind: &Kind, target: &DataType) -> Self {
        match (kind, target) {
            (Kind::Int { .. }, DataType::Int32 | DataType::Int64) => Self::Whole,
            (Kind::Decimal(precision, scale), DataType::Decimal128(to, digits))
                if i16::from(*scale) == i16::from(*digits) && precision <= to =>
            {
                Self::Decimal(usize::from(*scale))
            }
            (Kind::DateTime(_), DataType::Timestamp(TimeUnit::Microsecond, None)) => Self::Micros,
            _ => Self::Long,
        }
    }
}

/// The last day that was counted: rows of one time stand together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    date: Date,
    days: i64,
}

impl Day {
    pub(super) const fn epoch() -> Self {
        Self { date: Date { year: 1970, month: 1, day: 1 }, days: 0 }
    }

    #[inline]
    fn of(&mut self, date: Date) -> Option<i64> {
        if date != self.date {
            *self = Self { date, days: date.days()?.into() };
        }
        Some(self.days)
    }
}

impl Builders {
    /// Takes a value by the short way; `false` where it has to go the long one.
    #[inline]
    pub(super) fn take(&mut self, index: usize, way: Way, value: &Value<'_>) -> bool {
        let (Some(builder), day) = self.builder(index) else { return false };
        match (way, value, builder) {
            (Way::Whole, Value::Int(number), Builder::Int64(b)) => b.append_value(*number),
            (Way::Whole, Value::Int(number), Builder::Int32(b)) => match i32::try_from(*number) {
                Ok(number) => b.append_value(number),
                Err(_) => return false,
            },
            (Way::Decimal(scale), Value::Bytes(text), Builder::Decimal(b, ..)) => match decimal(text, scale) {
                Some(number) => b.append_value(number.into()),
                None => return false,
            },
            (Way::Micros, Value::Moment(year, month, day_of, hour, minute, second, micros), Builder::Int64(b)) => {
                let Some(days) = day.of(Date { year: *year, month: *month, day: *day_of }) else { return false };
                let clock = i64::from(*hour) * 3_600 + i64::from(*minute) * 60 + i64::from(*second);
                b.append_value((days * 86_400 + clock) * 1_000_000 + i64::from(*micros));
            }
            _ => return false,
        }
        true
    }
}

/// The digits of a decimal of up to 18 of them, which has exactly so many behind its point.
#[inline]
fn decimal(text: &[u8], scale: usize) -> Option<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let point = if scale == 0 { digits.len() } else { digits.len().checked_sub(scale + 1)? };
    let mut number = 0_i64;
    for (at, byte) in digits.iter().enumerate() {
        if at == point {
            if *byte != b'.' {
                return None;
            }
            continue;
        }
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_read_or_sent_the_long_way() {
        for (text, scale, number) in [
            ("0.00", 2, Some(0)),
            ("-0.05", 2, Some(-5)),
            ("123456789012345.67", 2, Some(12_345_678_901_234_567)),
            ("7", 0, Some(7)),
            ("7", 2, None),
            ("7.0", 2, None),
            ("1234567890123456.78", 2, None),
            ("", 0, None),
            ("-", 0, None),
            ("1e5", 0, None),
        ] {
            assert_eq!(decimal(text.as_bytes(), scale), number, "{text}");
        }
    }

    proptest! {
        #[test]
        fn short_and_long_way_agree(number in -99_999_999_999_999_999_i64..99_999_999_999_999_999, scale in 0_u8..9) {
            let mut text = String::new();
            super::super::decimal::print(number.into(), scale, &mut text);
            let long = super::super::decimal::parse(text.as_bytes());
            prop_assert_eq!(long, Some((number.into(), scale)));
            if let Some(short) = decimal(text.as_bytes(), scale.into()) {
                prop_assert_eq!(short, number);
            }
        }
    }
}
