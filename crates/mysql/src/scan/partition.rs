//! Key ranges by given bounds, which are Spark's rule: bounds set the strides and never filter, the first range has what is
//! below and NULL, the last what is above. Checked against the statements that Spark 4.3 sends (tests below).
//!
//! Source: `JDBCRelation.columnPartition` as observed in MySQL's general log.

use arrow::datatypes::i256;
use headwater_change::{Error, Place, Result};

use crate::rows::temporal::Date;
use crate::scan::range::{Key, Range};
use crate::schema::{Column, Kind};

/// Digits behind the point to which Spark divides.
const SCALE: i128 = 1_000_000_000_000_000_000;

/// Where ranges begin and end, as they were given.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) column: String,
    pub(crate) lower: String,
    pub(crate) upper: String,
    pub(crate) number: u32,
}

impl Bounds {
    /// The ranges over the column that the table has.
    pub(super) fn ranges(&self, columns: &[Column]) -> Result<Vec<Range>> {
        let column = columns.iter().find(|column| column.name.eq_ignore_ascii_case(&self.column));
        let column = column.ok_or_else(|| {
            let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            wrong("scan.partition.column", format!("the table has no column '{}'", self.column))
                .detail(format!("its columns: {}", known.join(", ")))
        })?;
        let unit = Unit::of(&column.kind).ok_or_else(|| {
            wrong("scan.partition.column", format!("'{}' is {}", column.name, column.kind))
                .hint("take a column of numbers, dates or times; without bounds ranges are found by themselves")
        })?;
        let lower = unit.read(&self.lower).ok_or_else(|| unit.wrong("scan.partition.lower-bound", &self.lower))?;
        let upper = unit.read(&self.upper).ok_or_else(|| unit.wrong("scan.partition.upper-bound", &self.upper))?;
        if lower > upper {
            return Err(wrong("scan.partition.lower-bound", format!("{} is above {}", self.lower, self.upper)));
        }
        let key = |bound| vec![(column.name.clone(), unit.literal(bound))];
        let bounds: Vec<Key> = inner_bounds(lower, upper, self.number).into_iter().map(key).collect();
        Ok(Range::between(&bounds))
    }
}

fn wrong(option: &str, message: String) -> Error {
    Error::usage("option.value", message).at(Place::Option(option.into()))
}

/// What bounds count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Number,
    Days,
    Micros,
}

impl Unit {
    fn of(kind: &Kind) -> Option<Self> {
        match kind {
            Kind::Int { .. } | Kind::Decimal(..) | Kind::Float | Kind::Double | Kind::Year => Some(Self::Number),
            Kind::Date => Some(Self::Days),
            Kind::DateTime(_) | Kind::Timestamp(_) => Some(Self::Micros),
            _ => None,
        }
    }

    pub(super) fn read(self, text: &str) -> Option<i64> {
        if self == Self::Number {
            return text.parse().ok();
        }
        let text = text.trim();
        let (date, clock) = text.split_once([' ', 'T']).unwrap_or((text, ""));
        let mut parts = date.split('-');
        let mut part = || parts.next()?.parse::<u16>().ok();
        let (year, month, day) = (part()?, part()?, part()?);
        let date = Date { year, month: month.try_into().ok()?, day: day.try_into().ok()? };
        let days = i64::from(date.days()?);
        match self {
            Self::Days => Some(days),
            _ => Some(days * 86_400_000_000 + micros(clock)?),
        }
    }

    fn wrong(self, option: &str, text: &str) -> Error {
        let wanted = match self {
            Self::Number => "a whole number of 64 bits",
            Self::Days => "a date such as 2024-05-20",
            Self::Micros => "a time such as 2024-05-20 10:00:00",
        };
        wrong(option, format!("'{text}' is not {wanted}"))
    }

    pub(super) fn literal(self, bound: i64) -> String {
        match self {
            Self::Number => bound.to_string(),
            Self::Days => format!("'{}'", date_text(bound)),
            Self::Micros => {
                let (days, rest) = (bound.div_euclid(86_400_000_000), bound.rem_euclid(86_400_000_000));
                let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
                let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
                let fraction = format!(".{micros:06}");
                let fraction = if micros == 0 { "" } else { fraction.trim_end_matches('0') };
                format!("'{} {clock}{fraction}'", date_text(days))
            }
        }
    }
}

fn micros(clock: &str) -> Option<i64> {
    if clock.is_empty() {
        return Some(0);
    }
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let mut part =
        |most: i64| parts.next().unwrap_or("0").parse::<i64>().ok().filter(|value| (0..=most).contains(value));
    let seconds = part(23)? * 3_600 + part(59)? * 60 + part(59)?;
    let digits =
        fraction.get(..fraction.len().min(6)).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(seconds * 1_000_000 + format!("{digits:0<6}").parse::<i64>().ok()?)
}

/// Days since 1970 as a date.
fn date_text(days: i64) -> String {
    // Civil from days, by eras of 400 years (Howard Hinnant's algorithm).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The bounds between ranges. None: one range.
fn inner_bounds(lower: i64, upper: i64, number: u32) -> Vec<i64> {
    let (low, high) = (i128::from(lower), i128::from(upper));
    let number = i128::from(number).min(high - low);
    if number <= 1 {
        return Vec::new();
    }
    // A decimal with 18 digits behind the point.
    let stride = divide_half_even(high * SCALE, number) - divide_half_even(low * SCALE, number);
    let (whole, rest) = (stride / SCALE, stride % SCALE);
    let start = low + alignment(rest * number, whole);
    (1..number).filter_map(|nth| i64::try_from(start + whole * nth).ok()).collect()
}

fn divide_half_even(value: i128, by: i128) -> i128 {
    let (quotient, rest) = (value.div_euclid(by), value.rem_euclid(by));
    quotient + i128::from(rest * 2 > by || rest * 2 == by && quotient % 2 != 0)
}

/// Digits that Spark's decimals keep in each operation (Java's `MathContext.DECIMAL128`).
const DIGITS: u32 = 34;

/// Half of what the strides lose goes in front: `lost / stride / 2 * stride`, rounded half up. That is half of `lost` only
/// nearly, because each operation keeps 34 digits; a half that became a little less is rounded down. `lost` has 18 digits
/// behind the point.
fn alignment(lost: i128, stride: i128) -> i128 {
    let (stride, two) = (i256::from_i128(stride), i256::from_i128(2));
    let ten = i256::from_i128(10);
    let least = (1..DIGITS).fold(i256::ONE, |power, _| power.wrapping_mul(ten));
    let most = least.wrapping_mul(ten);
    let half_even = |value: i256, by: i256| {
        let (quotient, rest) = (value.wrapping_div(by), value.wrapping_rem(by).wrapping_mul(two));
        let up = rest > by || rest == by && quotient.wrapping_rem(two) != i256::ZERO;
        if up { quotient.wrapping_add(i256::ONE) } else { quotient }
    };
    // mantissa * 10^-scale
    let (mut value, mut scale) = (i256::from_i128(lost), 18);
    if value == i256::ZERO {
        return 0;
    }
    let divide = |value: &mut i256, scale: &mut i32, by: i256| {
        while value.wrapping_div(by) < least {
            *value = value.wrapping_mul(ten);
            *scale += 1;
        }
        *value = half_even(*value, by);
    };
    divide(&mut value, &mut scale, stride);
    divide(&mut value, &mut scale, two);
    value = value.wrapping_mul(stride);
    while value >= most {
        // Cut in one step, as rounding twice is not rounding once.
        let (mut power, mut digits) = (ten, 1);
        while value.wrapping_div(power) >= most {
            power = power.wrapping_mul(ten);
            digits += 1;
        }
        value = half_even(value, power);
        scale -= digits;
    }
    let unit = (0..scale.max(0)).fold(i256::ONE, |power, _| power.wrapping_mul(ten));
    let (whole, rest) = (value.wrapping_div(unit), value.wrapping_rem(unit).wrapping_mul(two));
    let whole = whole.to_i128().unwrap_or(0);
    whole + i128::from(rest >= unit)
}

#[cfg(test)]
mod tests;
