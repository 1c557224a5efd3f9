//! Patterns of `java.text.SimpleDateFormat`, English names, lenient: how FROM_UNIXTIME shows seconds, and how UNIX_TIMESTAMP,
//! CONVERT_TZ, `TO_DATE` with a format and DATE_FORMAT of a text read theirs. What is too large is carried on (month 13 is
//! January), what follows behind the pattern is not looked at, and dates before 1582-10-15 are Julian.

use std::iter::Peekable;
use std::str::Chars;

use datafusion::common::{Result, exec_err};
use headwater_change::TimeZone;
use headwater_change::calendar::{civil_from_days, days_from_civil};

use super::moment::{Moment, SECOND, before_changes, legacy_offset, standard_offset};
use super::pattern::{DAYS, Fields, MONTHS, padded, quoted};

/// The first day of the Gregorian calendar, 1582-10-15.
const CUTOVER: i64 = -141_427;

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Literal(char),
    Field { letter: char, count: usize },
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Legacy {
    items: Vec<Item>,
}

impl Legacy {
    /// Fails with what is wrong.
    pub(super) fn compile(text: &str) -> std::result::Result<Self, String> {
        let mut items = Vec::new();
        let mut rest: Peekable<Chars<'_>> = text.chars().peekable();
        while let Some(letter) = rest.next() {
            if letter == '\'' {
                let literal = quoted(&mut rest).ok_or("a quote is not closed")?;
                items.extend(literal.chars().map(Item::Literal));
            } else if letter.is_ascii_alphabetic() {
                let mut count = 1;
                while rest.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                if !"yYMLdDEuFwWaHkKhmsSGXZ".contains(letter) || letter == 'X' && count > 3 {
                    return Err(format!("{} is not supported", String::from(letter).repeat(count)));
                }
                items.push(Item::Field { letter, count });
            } else {
                items.push(Item::Literal(letter));
            }
        }
        Ok(Self { items })
    }

    /// Why the pattern cannot be read.
    pub(super) fn unread(&self) -> Option<String> {
        let has = |sought: &str| {
            self.items.iter().any(|item| matches!(item, Item::Field { letter, .. } if sought.contains(*letter)))
        };
        let shown = self.items.iter().find_map(|item| match item {
            Item::Field { letter, .. } if "YuFwWG".contains(*letter) => {
                Some(format!("{letter} can be shown, but not read"))
            }
            Item::Field { letter: 'y', count: 1 | 2 } => {
                Some("years of two digits are read by the clock of the machine".to_owned())
            }
            _ => None,
        });
        match shown {
            Some(_) => shown,
            None if has("D") && has("dM") => Some("D and a day or month at once cannot be read".to_owned()),
            None if has("E") && !has("d") => Some("a day of the week alone cannot be read".to_owned()),
            None if has("Hk") && has("Kh") || has("H") && has("k") || has("K") && has("h") => {
                Some("two kinds of hours at once cannot be read".to_owned())
            }
            None => None,
        }
    }

    /// Appends a local time that is `offset` seconds ahead of UTC.
    pub(super) fn write(&self, moment: Moment, offset: i64, out: &mut String) {
        let fields = fields(moment);
        for item in &self.items {
            match item {
                Item::Literal(literal) => out.push(*literal),
                Item::Field { letter, count } => write(*letter, *count, &fields, offset, out),
            }
        }
    }

    /// The instant of a text, in seconds since 1970 and nanoseconds. Digits of other scripts are an error: Java reads them.
    pub(super) fn read(&self, text: &str, zone: TimeZone) -> Result<Option<(i64, i64)>> {
        match text.chars().find(|letter| !letter.is_ascii() && letter.is_numeric()) {
            Some(digit) => exec_err!("a time with the digit {digit} is not supported"),
            None => Ok(self.instant(text, zone)),
        }
    }

    fn instant(&self, text: &str, zone: TimeZone) -> Option<(i64, i64)> {
        let mut read = Read::default();
        let mut rest = text;
        for (index, item) in self.items.iter().enumerate() {
            rest = match item {
                Item::Literal(literal) => rest.strip_prefix(*literal)?,
                Item::Field { letter, count } => {
                    // A number right before another one takes no more than its count.
                    let next = self.items.get(index + 1);
                    let bound = matches!(next, Some(Item::Field { letter, count })
                        if !matches!((letter, count), ('M' | 'L', 3..) | ('E' | 'a' | 'Z' | 'X', _)));
                    read.field(*letter, *count, bound, rest)?
                }
            };
        }
        read.instant(zone)
    }
}

/// Year, month and day, Julian before the reform.
pub(super) fn civil(days: i64) -> (i64, i64, i64) {
    if days >= CUTOVER {
        let (year, month, day) = civil_from_days(days);
        return (year, i64::from(month), i64::from(day));
    }
    // Years of 365.25 days that begin in March; day 0 is March 1st of the year 0.
    let shifted = days + 719_470;
    let year = (4 * shifted + 3).div_euclid(1_461);
    let of_year = shifted - (1_461 * year).div_euclid(4);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    (year + i64::from(month >= 10), if month < 10 { month + 3 } else { month - 9 }, day)
}

/// Days since 1970-01-01 of a day of a month that exists; the day itself may be any.
pub(super) fn days(year: i64, month: i64, day: i64) -> i64 {
    let gregorian = days_from_civil(year, month, 1) + day - 1;
    if gregorian >= CUTOVER {
        return gregorian;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    (1_461 * year).div_euclid(4) + (153 * month + 2) / 5 + day - 1 - 719_470
}

fn fields(moment: Moment) -> Fields {
    let (year, month, day) = civil(moment.day);
    Fields::new(moment, (year, month, day), moment.day - days(year, 1, 1) + 1)
}

fn write(letter: char, count: usize, fields: &Fields, offset: i64, out: &mut String) {
    let hour = fields.hour();
    let name =
        |names: &[&'static str], index: i64| names.get(usize::try_from(index).unwrap_or(0)).copied().unwrap_or("");
    let number = match letter {
        'M' | 'L' if count >= 3 => {
            let full = name(&MONTHS, fields.month - 1);
            return out.push_str(if count > 3 { full } else { full.get(..3).unwrap_or(full) });
        }
        'E' => {
            let full = name(&DAYS, fields.weekday);
            return out.push_str(if count > 3 { full } else { full.get(..3).unwrap_or(full) });
        }
        'a' => return out.push_str(if hour < 12 { "AM" } else { "PM" }),
        'G' => return out.push_str(if fields.year > 0 { "AD" } else { "BC" }),
        'X' if offset == 0 => return out.push('Z'),
        'X' | 'Z' => return write_offset(letter, count, offset, out),
        'y' | 'Y' => {
            let year = if letter == 'y' { fields.year } else { week(fields).0 };
            let year = if year > 0 { year } else { 1 - year };
            return if count == 2 { padded(year % 100, 2, out) } else { padded(year, count, out) };
        }
        'M' | 'L' => fields.month,
        'd' => fields.day,
        'D' => fields.day_of_year,
        'u' => (fields.weekday + 6) % 7 + 1,
        'F' => (fields.day - 1) / 7 + 1,
        'w' => week(fields).1,
        'W' => fields.week_of_month(),
        'H' => hour,
        'k' => {
            if hour == 0 {
                24
            } else {
                hour
            }
        }
        'K' => hour % 12,
        'h' => (hour + 11) % 12 + 1,
        'm' => fields.nanos / (60 * SECOND) % 60,
        's' => fields.nanos / SECOND % 60,
        _ => fields.nanos % SECOND / 1_000_000,
    };
    padded(number, count, out);
}

fn week(fields: &Fields) -> (i64, i64) {
    fields.week(days(fields.year + 1, 1, 1) - days(fields.year, 1, 1))
}

fn write_offset(letter: char, count: usize, offset: i64, out: &mut String) {
    out.push(if offset < 0 { '-' } else { '+' });
    let minutes = offset.abs() / 60;
    padded(minutes / 60, 2, out);
    if letter == 'X' && count == 1 {
        return;
    }
    if letter == 'X' && count == 3 {
        out.push(':');
    }
    padded(minutes % 60, 2, out);
}

/// What was read so far, at the values of 1970-01-01 00:00:00.
#[derive(Debug)]
struct Read {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    half: i64,
    minute: i64,
    second: i64,
    milli: i64,
    offset: Option<i64>,
}

impl Default for Read {
    fn default() -> Self {
        Self { year: 1970, month: 1, day: 1, hour: 0, half: 0, minute: 0, second: 0, milli: 0, offset: None }
    }
}

impl Read {
    fn field<'a>(&mut self, letter: char, count: usize, bound: bool, text: &'a str) -> Option<&'a str> {
        let text = text.trim_start_matches([' ', '\t']);
        match letter {
            'M' | 'L' if count >= 3 => {
                let (month, rest) = named(&MONTHS, text)?;
                self.month = month + 1;
                return Some(rest);
            }
            'E' => return named(&DAYS, text).map(|(_, rest)| rest),
            'a' => {
                let half = text.get(..2)?;
                self.half = i64::from(half.eq_ignore_ascii_case("PM"));
                return (self.half == 1 || half.eq_ignore_ascii_case("AM")).then(|| text.get(2..)).flatten();
            }
            'X' | 'Z' => {
                let (offset, rest) = read_offset(letter, count, text)?;
                self.offset = Some(offset);
                return Some(rest);
            }
            _ => {}
        }
        let (value, rest) = integer(text, if bound { count } else { usize::MAX })?;
        match letter {
            'y' => self.year = value,
            'M' | 'L' => self.month = value,
            'd' => self.day = value,
            // Of the first month, carried on.
            'D' => (self.month, self.day) = (1, value),
            'H' | 'K' => self.hour = value,
            'k' => self.hour = if value == 24 { 0 } else { value },
            'h' => self.hour = if value == 12 { 0 } else { value },
            'm' => self.minute = value,
            's' => self.second = value,
            _ => self.milli = value,
        }
        Some(rest)
    }

    fn instant(&self, zone: TimeZone) -> Option<(i64, i64)> {
        const MOST: i64 = 1 << 40;
        let values = [self.year, self.month, self.day, self.hour, self.minute, self.second, self.milli];
        if values.iter().any(|value| value.abs() > MOST) || self.year.abs() > 292_278_994 {
            return None;
        }
        let months = self.year * 12 + self.month - 1;
        let day = days(months.div_euclid(12), months.rem_euclid(12) + 1, self.day);
        let seconds = (self.hour + 12 * self.half) * 3_600 + self.minute * 60 + self.second;
        let local = day * 86_400 + seconds + self.milli.div_euclid(1_000);
        let instant = local - self.offset.unwrap_or_else(|| later_offset(zone, local));
        Some((instant, self.milli.rem_euclid(1_000) * 1_000_000))
    }
}

/// The offset of a local time; of one that comes twice the second is meant, as in `java.util.Calendar`.
fn later_offset(zone: TimeZone, local: i64) -> i64 {
    let standard = if before_changes(local) { standard_offset(zone) } else { 0 };
    if before_changes(local) && legacy_offset(zone, local - standard) == standard {
        return standard;
    }
    let first = zone.offset_of_local(local);
    let after = zone.offset_seconds(local - first + 3 * 3_600);
    if after < first && zone.offset_seconds(local - after) == after { after } else { first }
}

/// Names in full or by their first three letters, whatever their case.
fn named<'a>(names: &[&str], text: &'a str) -> Option<(i64, &'a str)> {
    let starts = |length: usize, name: &str| {
        text.get(..length).is_some_and(|start| name.get(..length).is_some_and(|name| start.eq_ignore_ascii_case(name)))
    };
    let found = |short: bool| {
        names.iter().enumerate().find_map(|(index, name)| {
            let length = if short { 3 } else { name.len() };
            starts(length, name).then(|| Some((i64::try_from(index).ok()?, text.get(length..)?))).flatten()
        })
    };
    found(false).or_else(|| found(true))
}

/// An integer of at most so many characters; a minus may stand in front.
fn integer(text: &str, most: usize) -> Option<(i64, &str)> {
    let within = text.char_indices().nth(most).map_or(text, |(end, _)| text.get(..end).unwrap_or(text));
    let digits = within.strip_prefix('-').unwrap_or(within);
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let width = within.len() - digits.len() + count;
    let (number, rest) = text.split_at_checked(width)?;
    (count > 0).then_some(())?;
    Some((number.parse().ok()?, rest))
}

fn read_offset(letter: char, count: usize, text: &str) -> Option<(i64, &str)> {
    if letter == 'X'
        && let Some(rest) = text.strip_prefix('Z')
    {
        return Some((0, rest));
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let two =
        |text: &str| text.get(..2).filter(|two| two.bytes().all(|digit| digit.is_ascii_digit()))?.parse::<i64>().ok();
    let hours = two(rest)?;
    let rest = rest.get(2..)?;
    let (minutes, rest) = match (letter, count) {
        ('X', 1) => (0, rest),
        ('X', 3) => {
            let rest = rest.strip_prefix(':')?;
            (two(rest)?, rest.get(2..)?)
        }
        _ => (two(rest)?, rest.get(2..)?),
    };
    (hours < 24 && minutes < 60).then_some((sign * (hours * 3_600 + minutes * 60), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_before_the_reform_of_1582_are_julian() {
        assert_eq!(civil(CUTOVER), (1582, 10, 15));
        assert_eq!(civil(CUTOVER - 1), (1582, 10, 4));
        assert_eq!(civil(-719_162), (1, 1, 3));
        for day in [CUTOVER - 1, -719_162, -800_000, CUTOVER, 0, 20_000] {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }
}
