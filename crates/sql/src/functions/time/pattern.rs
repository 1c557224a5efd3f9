//! Patterns of `java.time.format.DateTimeFormatter`, English names: how DATE_FORMAT shows timestamps and TO_TIMESTAMP
//! reads them (strictly, and a day beyond the end of its month becomes its last).
//!
//! | letters | |
//! |---|---|
//! | `y` `u`, `M` `L`, `d`, `D` | year, month, day of the month and of the year |
//! | `H` `k` `K` `h` `a`, `m`, `s`, `S` `n` `A` `N` | hour, minute, second, fractions |
//! | `E`, `X` `x` `Z` | day of the week; offsets, which are read and not used |
//! | `Y` `w` `W` `e` `c` `F` `Q` `q` `G` `g` | shown, not read |
//! | `[ ]`, `' '` | optional parts, literal text |

use super::moment::{DAY, Moment, SECOND};
use headwater_change::calendar::{civil_from_days, days_from_civil, month_days};

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// How a text of names is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Short,
    Full,
    Narrow,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sign {
    /// A minus may stand in front.
    Normal,
    /// None.
    Never,
    /// A plus must stand in front of more digits than the width.
    Exceeds,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Literal(char),
    /// A number of a letter, with its least and greatest width, and the digits that fixed numbers right behind it take.
    Number {
        letter: char,
        least: usize,
        most: usize,
        sign: Sign,
        behind: usize,
    },
    /// Two digits of a year from 2000 on.
    Century {
        letter: char,
        behind: usize,
    },
    Fraction(usize),
    Name {
        letter: char,
        style: Style,
    },
    Offset {
        letter: char,
        count: usize,
    },
    Optional(Vec<Item>),
    /// The next item with blanks in front.
    Padded(usize, Box<Item>),
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    items: Vec<Item>,
}

impl Pattern {
    /// Fails with what is wrong.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        let mut stack: Vec<Vec<Item>> = vec![Vec::new()];
        let mut rest = text.chars().peekable();
        let mut pad = None;
        while let Some(letter) = rest.next() {
            let item = match letter {
                '\'' => {
                    let literal = literal(&mut rest).ok_or("a quote is not closed")?;
                    if let Some(items) = stack.last_mut() {
                        items.extend(literal.chars().map(Item::Literal));
                    }
                    continue;
                }
                '[' => {
                    stack.push(Vec::new());
                    continue;
                }
                ']' => match (stack.pop(), stack.last_mut()) {
                    (Some(inner), Some(outer)) => {
                        outer.push(Item::Optional(inner));
                        continue;
                    }
                    _ => return Err("a ] without its [".to_owned()),
                },
                '{' | '}' | '#' => return Err(format!("{letter} is reserved")),
                _ if letter.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while rest.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    if letter == 'p' {
                        pad = Some(count);
                        continue;
                    }
                    item(letter, count)?
                }
                _ => Item::Literal(letter),
            };
            let item = match pad.take() {
                Some(width) => Item::Padded(width, Box::new(item)),
                None => item,
            };
            if let Some(items) = stack.last_mut() {
                items.push(item);
            }
        }
        if pad.is_some() {
            return Err("nothing stands behind the padding".to_owned());
        }
        while stack.len() > 1 {
            if let (Some(inner), Some(outer)) = (stack.pop(), stack.last_mut()) {
                outer.push(Item::Optional(inner));
            }
        }
        let mut items = stack.pop().unwrap_or_default();
        adjacent(&mut items);
        Ok(Self { items })
    }

    /// Why the pattern cannot show times.
    pub(crate) fn unshown(&self) -> Option<String> {
        find(&self.items, &|item| match item {
            Item::Offset { letter, .. } => Some(format!("a time without zone has no {letter}")),
            _ => None,
        })
    }

    /// Why the pattern cannot be read.
    pub(crate) fn unread(&self) -> Option<String> {
        find(&self.items, &|item| match item {
            Item::Number { letter, .. } | Item::Century { letter, .. } | Item::Name { letter, .. }
                if "YwWecFQqGg".contains(*letter) =>
            {
                Some(format!("{letter} can be shown, but not read"))
            }
            Item::Padded(..) => Some("padding can be shown, but not read".to_owned()),
            _ => None,
        })
    }

    /// Appends the time.
    pub(crate) fn write(&self, moment: Moment, out: &mut String) {
        let fields = Fields::of(moment);
        self.items.iter().for_each(|item| write(item, &fields, out));
    }

    /// Reads a whole text.
    pub(crate) fn read(&self, text: &str) -> Option<Moment> {
        let mut read = Read::default();
        let rest = read.items(&self.items, text)?;
        if rest.is_empty() { read.resolve() } else { None }
    }
}

/// The text up to the closing quote, in which two quotes are one; nothing at all is a quote.
fn literal(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut literal = String::new();
    loop {
        match rest.next()? {
            '\'' if rest.next_if_eq(&'\'').is_some() => literal.push('\''),
            '\'' if literal.is_empty() => return Some("'".to_owned()),
            '\'' => return Some(literal),
            other => literal.push(other),
        }
    }
}

/// The same for `SimpleDateFormat`, to which two quotes are one wherever they stand.
pub(super) fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    if rest.next_if_eq(&'\'').is_some() {
        return Some("'".to_owned());
    }
    let mut literal = String::new();
    loop {
        match rest.next()? {
            '\'' if rest.next_if_eq(&'\'').is_some() => literal.push('\''),
            '\'' => return Some(literal),
            other => literal.push(other),
        }
    }
}

fn find(items: &[Item], test: &dyn Fn(&Item) -> Option<String>) -> Option<String> {
    items.iter().find_map(|item| match item {
        Item::Optional(inner) => find(inner, test),
        item => test(item),
    })
}

fn number(letter: char, least: usize, most: usize, sign: Sign) -> Item {
    Item::Number { letter, least, most, sign, behind: 0 }
}

/// The item of a run of one letter.
fn item(letter: char, count: usize) -> Result<Item, String> {
    let style = match count {
        4 => Style::Full,
        5 => Style::Narrow,
        _ => Style::Short,
    };
    let name = Item::Name { letter, style };
    Ok(match (letter, count) {
        ('u' | 'y' | 'Y', 2) => Item::Century { letter, behind: 0 },
        ('u' | 'y' | 'Y', 1 | 3) => number(letter, count, 19, Sign::Normal),
        ('u' | 'y' | 'Y', 4..=19) => number(letter, count, 19, Sign::Exceeds),
        ('M' | 'L' | 'Q' | 'q', 1) | ('d' | 'h' | 'H' | 'k' | 'K' | 'm' | 's' | 'D' | 'F', 1) => {
            number(letter, 1, 19, Sign::Normal)
        }
        ('M' | 'L' | 'Q' | 'q' | 'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's', 2) => number(letter, 2, 2, Sign::Never),
        ('w', 1 | 2) | ('W', 1) | ('e', 1 | 2) | ('c', 1) => number(letter, count, 2, Sign::Never),
        ('D', 2 | 3) => number(letter, count, 3, Sign::Never),
        ('A' | 'n' | 'N', 1..=19) => number(letter, count, 19, Sign::Never),
        ('g', 1..=19) => number(letter, count, 19, Sign::Normal),
        ('M' | 'L' | 'Q' | 'q' | 'e' | 'c', 3..=5) | ('E' | 'G', 1..=5) | ('a', 1) => name,
        ('S', 1..=9) => Item::Fraction(count),
        ('X' | 'x' | 'Z', 1..=3) => Item::Offset { letter, count },
        _ => return Err(format!("{} is not supported", String::from(letter).repeat(count))),
    })
}

/// Numbers without anything between them: the first leaves the digits that the others need.
fn adjacent(items: &mut [Item]) {
    let mut base: Option<usize> = None;
    for index in 0..items.len() {
        let fixed = match items.get(index) {
            Some(Item::Number { least, most, sign: Sign::Never, .. }) if least == most => Some(*least),
            Some(Item::Fraction(digits)) => Some(*digits),
            Some(Item::Century { .. }) => Some(2),
            _ => None,
        };
        match (fixed, base, items.get(index)) {
            (Some(width), Some(base), _) => {
                if let Some(Item::Number { behind, .. } | Item::Century { behind, .. }) = items.get_mut(base) {
                    *behind += width;
                }
            }
            (_, _, Some(Item::Number { .. } | Item::Century { .. })) => base = Some(index),
            _ => base = None,
        }
        if let Some(Item::Optional(inner)) = items.get_mut(index) {
            adjacent(inner);
        }
    }
}

/// The parts of a time that patterns show.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) days: i64,
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) day_of_year: i64,
    /// From Sunday = 0.
    pub(super) weekday: i64,
    pub(super) nanos: i64,
}

impl Fields {
    pub(super) fn of(moment: Moment) -> Self {
        let (year, month, day) = civil_from_days(moment.day);
        let day_of_year = moment.day - days_from_civil(year, 1, 1) + 1;
        Self::new(moment, (year, i64::from(month), i64::from(day)), day_of_year)
    }

    pub(super) fn new(moment: Moment, (year, month, day): (i64, i64, i64), day_of_year: i64) -> Self {
        let weekday = (moment.day + 4).rem_euclid(7);
        Self { days: moment.day, year, month, day, day_of_year, weekday, nanos: moment.nanos }
    }

    pub(super) fn hour(&self) -> i64 {
        self.nanos / (3_600 * SECOND)
    }

    /// Year and week as Americans count: weeks begin on Sunday, January 1st is in the first.
    pub(super) fn week(&self, year_days: i64) -> (i64, i64) {
        if self.day_of_year + 6 - self.weekday > year_days {
            return (self.year + 1, 1);
        }
        let first = (self.weekday - (self.day_of_year - 1)).rem_euclid(7);
        (self.year, (self.day_of_year - 1 + first) / 7 + 1)
    }

    pub(super) fn week_of_month(&self) -> i64 {
        let first = (self.weekday - (self.day - 1)).rem_euclid(7);
        (self.day - 1 + first) / 7 + 1
    }

    fn number(&self, letter: char) -> i64 {
        let hour = self.hour();
        let week = || self.week(365 + i64::from(month_days(self.year, 2) == 29));
        match letter {
            'u' => self.year,
            'y' => {
                if self.year > 0 {
                    self.year
                } else {
                    1 - self.year
                }
            }
            'Y' => week().0,
            'w' => week().1,
            'W' => self.week_of_month(),
            'M' | 'L' => self.month,
            'Q' | 'q' => (self.month + 2) / 3,
            'd' => self.day,
            'D' => self.day_of_year,
            'F' => (self.day - 1) % 7 + 1,
            'e' | 'c' => self.weekday + 1,
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
            'm' => self.nanos / (60 * SECOND) % 60,
            's' => self.nanos / SECOND % 60,
            'n' => self.nanos % SECOND,
            'A' => self.nanos / 1_000_000,
            'N' => self.nanos,
            // Modified Julian days begin on 1858-11-17.
            'g' => self.days + 40_587,
            _ => 0,
        }
    }

    fn name(&self, letter: char, style: Style) -> String {
        let name =
            |names: &[&'static str], index: i64| names.get(usize::try_from(index).unwrap_or(0)).copied().unwrap_or("");
        let full = match letter {
            'M' | 'L' => name(&MONTHS, self.month - 1),
            'E' | 'e' | 'c' => name(&DAYS, self.weekday),
            'a' => return if self.hour() < 12 { "AM" } else { "PM" }.to_owned(),
            'G' => {
                let common = self.year > 0;
                return match (style, common) {
                    (Style::Full, true) => "Anno Domini",
                    (Style::Full, false) => "Before Christ",
                    (Style::Narrow, true) => "A",
                    (Style::Narrow, false) => "B",
                    (Style::Short, true) => "AD",
                    (Style::Short, false) => "BC",
                }
                .to_owned();
            }
            _ => {
                let quarter = (self.month + 2) / 3;
                return match style {
                    Style::Short => format!("Q{quarter}"),
                    Style::Narrow => quarter.to_string(),
                    Style::Full => format!("{} quarter", name(&["1st", "2nd", "3rd", "4th"], quarter - 1)),
                };
            }
        };
        let length = match style {
            Style::Full => full.len(),
            Style::Short => 3,
            Style::Narrow => 1,
        };
        full.get(..length).unwrap_or(full).to_owned()
    }
}

/// Appends a number with at least `width` digits.
pub(super) fn padded(number: i64, width: usize, out: &mut String) {
    if number < 0 {
        out.push('-');
    }
    headwater_change::calendar::write_padded(number.unsigned_abs(), width, out);
}

fn write(item: &Item, fields: &Fields, out: &mut String) {
    match item {
        Item::Literal(literal) => out.push(*literal),
        Item::Number { letter, least, sign, .. } => {
            let number = fields.number(*letter);
            if *sign == Sign::Exceeds && *least < 19 && number >= 10_i64.pow(u32::try_from(*least).unwrap_or(18)) {
                out.push('+');
            }
            padded(number, *least, out);
        }
        Item::Century { letter, .. } => padded(fields.number(*letter).rem_euclid(100), 2, out),
        Item::Fraction(digits) => {
            let scale = 10_i64.pow(u32::try_from(9 - (*digits).min(9)).unwrap_or(0));
            padded(fields.nanos % SECOND / scale, *digits, out);
        }
        Item::Name { letter, style } => out.push_str(&fields.name(*letter, *style)),
        Item::Offset { .. } => {}
        Item::Optional(inner) => inner.iter().for_each(|item| write(item, fields, out)),
        Item::Padded(width, inner) => {
            let start = out.len();
            write(inner, fields, out);
            let written = out.get(start..).map_or(0, |written| written.chars().count());
            (written..*width).for_each(|_| out.insert(start, ' '));
        }
    }
}

/// What was read so far.
#[derive(Clone, Debug, Default)]
struct Read {
    values: Vec<(char, i64)>,
}

impl Read {
    /// A value of a letter; the same one may be read twice, another one may not.
    fn set(&mut self, letter: char, value: i64) -> Option<()> {
        let letter = if letter == 'L' { 'M' } else { letter };
        match self.get(letter) {
            Some(known) if known != value => None,
            Some(_) => Some(()),
            None => {
                self.values.push((letter, value));
                Some(())
            }
        }
    }

    fn get(&self, letter: char) -> Option<i64> {
        self.values.iter().find(|(known, _)| *known == letter).map(|(_, value)| *value)
    }

    /// Reads items; what is left of the text.
    fn items<'a>(&mut self, items: &[Item], text: &'a str) -> Option<&'a str> {
        items.iter().try_fold(text, |text, item| self.item(item, text))
    }

    fn item<'a>(&mut self, item: &Item, text: &'a str) -> Option<&'a str> {
        match item {
            Item::Literal(literal) => text.strip_prefix(*literal),
            Item::Number { letter, least, most, sign, behind } => {
                let (digits, negative, explicit) = signed(text, *sign)?;
                let (value, rest) = digits_of(digits, *least, *most, *behind)?;
                let width = digits.len() - rest.len();
                let exceeds = width > *least;
                if *sign == Sign::Exceeds && !negative && exceeds != explicit || negative && value == 0 {
                    return None;
                }
                self.set(*letter, if negative { -value } else { value })?;
                Some(rest)
            }
            Item::Century { letter, behind } => {
                let (value, rest) = digits_of(text, 2, 2, *behind)?;
                self.set(*letter, 2_000 + value)?;
                Some(rest)
            }
            Item::Fraction(digits) => {
                let (value, rest) = digits_of(text, *digits, *digits, 0)?;
                let scale = 10_i64.pow(u32::try_from(9 - (*digits).min(9)).unwrap_or(0));
                self.set('n', value * scale)?;
                Some(rest)
            }
            Item::Name { letter, style } => self.name(*letter, *style, text),
            Item::Offset { letter, count } => offset(*letter, *count, text),
            Item::Optional(inner) => {
                let mut attempt = self.clone();
                match attempt.items(inner, text) {
                    Some(rest) => {
                        *self = attempt;
                        Some(rest)
                    }
                    None => Some(text),
                }
            }
            Item::Padded(..) => None,
        }
    }

    fn name<'a>(&mut self, letter: char, style: Style, text: &'a str) -> Option<&'a str> {
        let names: &[&str] = match letter {
            'M' | 'L' => &MONTHS,
            'E' => &DAYS,
            _ => &["AM", "PM"],
        };
        let (value, rest) = names.iter().enumerate().find_map(|(index, name)| {
            let length = match style {
                Style::Short => 3.min(name.len()),
                Style::Full => name.len(),
                Style::Narrow => 1,
            };
            Some((index, text.strip_prefix(name.get(..length)?)?))
        })?;
        if style == Style::Narrow {
            // One letter stands for several months or days.
            return None;
        }
        let value = i64::try_from(value).ok()?;
        self.set(letter, if matches!(letter, 'M' | 'L') { value + 1 } else { value })?;
        Some(rest)
    }

    /// The time of all that was read; what was not is that of 1970-01-01 00:00:00.
    fn resolve(&self) -> Option<Moment> {
        let within = |value: i64, least: i64, most: i64| (least..=most).contains(&value).then_some(value);
        let (nanos, next_day) = self.clock()?;
        let year = match (self.get('u'), self.get('y')) {
            (Some(year), None) => Some(year),
            (None, Some(year)) => Some(within(year, 1, 999_999_999)?),
            (Some(year), Some(of_era)) => Some(within(year, of_era, of_era)?),
            (None, None) => None,
        };
        let month = self.get('M').map(|month| within(month, 1, 12)).map_or(Some(None), |month| month.map(Some))?;
        let day = self.get('d').map(|day| within(day, 1, 31)).map_or(Some(None), |day| day.map(Some))?;
        let in_year = year.unwrap_or(1970);
        if !(-999_999_999..=999_999_999).contains(&in_year) {
            return None;
        }
        let days = match (self.get('D'), month, day) {
            (Some(day), None, None) if year.is_some() => {
                let last = 365 + i64::from(month_days(in_year, 2) == 29);
                days_from_civil(in_year, 1, 1) + within(day, 1, last)? - 1
            }
            (Some(_), ..) => return None,
            (None, month, day) => {
                let complete = year.is_some() && month.is_some() && day.is_some();
                let (month, day) = (month.unwrap_or(1), day.unwrap_or(1));
                let last = month_days(in_year, month);
                // A date that was not given whole is not corrected.
                days_from_civil(in_year, month, if complete { day.min(last) } else { within(day, 1, last)? })
            }
        };
        let complete = year.is_some() && (self.get('D').is_some() || month.is_some() && day.is_some());
        if let Some(weekday) = self.get('E')
            && complete
            && (days + 4).rem_euclid(7) != weekday
        {
            return None;
        }
        Some(Moment { day: days + i64::from(next_day && complete), nanos })
    }

    /// Nanoseconds of the day, and whether midnight was written as 24:00.
    fn clock(&self) -> Option<(i64, bool)> {
        let within = |value: i64, most: i64| (0..=most).contains(&value).then_some(value);
        let whole = match (self.get('N'), self.get('A')) {
            (Some(nanos), None) => Some(within(nanos, DAY - 1)?),
            (None, Some(millis)) => Some(within(millis, DAY / 1_000_000 - 1)? * 1_000_000),
            (None, None) => None,
            _ => return None,
        };
        if let Some(nanos) = whole {
            let alone = ['H', 'k', 'K', 'h', 'm', 's', 'n'].into_iter().all(|letter| self.get(letter).is_none());
            return alone.then_some((nanos, false));
        }
        let minute = within(self.get('m').unwrap_or(0), 59)?;
        let second = within(self.get('s').unwrap_or(0), 59)?;
        let fraction = within(self.get('n').unwrap_or(0), SECOND - 1)?;
        let of_half = match (self.get('K'), self.get('h')) {
            (Some(hour), None) => Some(within(hour, 11)?),
            (None, Some(hour)) => Some(within(hour, 12)? % 12),
            (None, None) => None,
            _ => return None,
        };
        let halves = of_half.zip(self.get('a')).map(|(hour, half)| hour + 12 * half);
        let of_day = match (self.get('H'), self.get('k')) {
            (Some(hour), None) => Some(within(hour, 24)?),
            (None, Some(hour)) => Some(within(hour, 24)? % 24),
            (None, None) => None,
            _ => return None,
        };
        let hour = match (of_day, halves) {
            (Some(hour), Some(other)) if hour != other => return None,
            (Some(hour), _) => hour,
            (None, halves) => halves.unwrap_or(0),
        };
        let within_hour = (minute * 60 + second) * SECOND + fraction;
        match hour {
            24 if within_hour == 0 => Some((0, true)),
            24 => None,
            hour => Some((hour * 3_600 * SECOND + within_hour, false)),
        }
    }
}

/// The text behind a sign, whether it was a minus, and whether a plus stood there.
fn signed(text: &str, sign: Sign) -> Option<(&str, bool, bool)> {
    if let Some(rest) = text.strip_prefix('-') {
        return (sign != Sign::Never).then_some((rest, true, false));
    }
    match text.strip_prefix('+') {
        Some(rest) => (sign == Sign::Exceeds).then_some((rest, false, true)),
        None => Some((text, false, false)),
    }
}

/// A number of `least` to `most` digits that leaves `behind` digits where it can.
fn digits_of(text: &str, least: usize, most: usize, behind: usize) -> Option<(i64, &str)> {
    let found = text.bytes().take(most.saturating_add(behind)).take_while(u8::is_ascii_digit).count();
    let width = if behind > 0 { least.max(found.saturating_sub(behind)) } else { found };
    if found < least || width == 0 {
        return None;
    }
    let (digits, rest) = text.split_at_checked(width)?;
    Some((digits.parse().ok()?, rest))
}

fn offset(letter: char, count: usize, text: &str) -> Option<&str> {
    if letter == 'X'
        && let Some(rest) = text.strip_prefix('Z')
    {
        return Some(rest);
    }
    let two = |text: &str| -> Option<()> {
        text.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit())).map(|_| ())
    };
    let rest = text.strip_prefix(['+', '-'])?;
    two(rest)?;
    let rest = rest.get(2..)?;
    match if letter == 'Z' { 2 } else { count } {
        1 => Some(if two(rest).is_some() { rest.get(2..)? } else { rest }),
        2 => {
            two(rest)?;
            rest.get(2..)
        }
        _ => {
            let rest = rest.strip_prefix(':')?;
            two(rest)?;
            rest.get(2..)
        }
    }
}
