//! Java's regular expressions in the syntax of the crate `regex`. What means the same is written out; what means something
//! else there, or has no counterpart (back-references, look-around, possessive quantifiers, flags but `i` and `s`), is
//! refused by name.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use super::class;

pub(super) type Letters<'a> = Peekable<Chars<'a>>;

/// Where a `$` stands. In Java it also matches before a line end at the end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dollar {
    /// Nowhere.
    None,
    /// As the last thing of all.
    Last,
    /// Elsewhere.
    Within,
}

/// A translated expression.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) regex: String,
    pub(super) dollar: Dollar,
    /// It has a `\b` or `\B`.
    pub(super) words: bool,
    /// Java may find something between the two halves of a character beyond U+FFFF.
    pub(super) halves: bool,
}

/// What stands between two parentheses, or all.
#[derive(Clone, Debug)]
struct Group {
    /// The branches so far, whether one of them may be empty, and whether that at hand may be.
    empty_branch: bool,
    empty: bool,
    any_case: bool,
    dot_is_all: bool,
}

/// What a quantifier behind would repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Nothing,
    Atom,
    /// An atom that may be empty.
    Emptiable,
}

struct Translator<'a> {
    letters: Letters<'a>,
    out: String,
    groups: Vec<Group>,
    /// The group whose end was met last had this.
    last: Last,
    /// Whether all before the last atom may be empty.
    empty_before: bool,
    dollar: Dollar,
    words: bool,
    halves: bool,
}

/// Translates, or says what is wrong.
pub(super) fn translate(text: &str) -> Result<Translated, String> {
    let all = Group { empty_branch: false, empty: true, any_case: false, dot_is_all: false };
    let mut translator = Translator {
        letters: text.chars().peekable(),
        out: String::with_capacity(text.len() + 16),
        groups: vec![all],
        last: Last::Nothing,
        empty_before: true,
        dollar: Dollar::None,
        words: false,
        halves: false,
    };
    while let Some(letter) = translator.letters.next() {
        translator.letter(letter)?;
    }
    let Translator { out: regex, groups, dollar, words, halves, .. } = translator;
    if groups.len() != 1 {
        return Err("a group is not closed".to_owned());
    }
    Ok(Translated { regex, dollar, words, halves })
}

/// The character of `\t`, `\x41` and their kin.
pub(super) fn escaped(letter: char, letters: &mut Letters<'_>) -> Result<char, String> {
    Ok(match letter {
        't' => '\t',
        'n' => '\n',
        'r' => '\r',
        'f' => '\u{C}',
        'a' => '\u{7}',
        'e' => '\u{1B}',
        'x' if letters.next_if_eq(&'{').is_some() => {
            let digits: String = letters.by_ref().take_while(|letter| *letter != '}').collect();
            character(&digits)?
        }
        'x' => character(&letters.by_ref().take(2).collect::<String>())?,
        'u' => character(&letters.by_ref().take(4).collect::<String>())?,
        _ if letter.is_ascii_alphanumeric() => return Err(format!("\\{letter} is not supported")),
        other => other,
    })
}

fn character(digits: &str) -> Result<char, String> {
    let code =
        if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) { u32::from_str_radix(digits, 16).ok() } else { None };
    code.and_then(char::from_u32).ok_or_else(|| format!("{digits} is the number of no character"))
}

impl Translator<'_> {
    fn group(&mut self) -> Result<&mut Group, String> {
        self.groups.last_mut().ok_or_else(|| "a ) without its (".to_owned())
    }

    fn any_case(&self) -> bool {
        self.groups.last().is_some_and(|group| group.any_case)
    }

    /// What was written is something that a quantifier may follow.
    fn atom(&mut self, empty: bool) -> Result<(), String> {
        self.dollar_within();
        self.last = if empty { Last::Emptiable } else { Last::Atom };
        let group = self.group()?;
        let before = group.empty;
        group.empty &= empty;
        self.empty_before = before;
        Ok(())
    }

    /// A `$` that something follows.
    fn dollar_within(&mut self) {
        if self.dollar == Dollar::Last {
            self.dollar = Dollar::Within;
        }
    }

    fn letter(&mut self, letter: char) -> Result<(), String> {
        match letter {
            '\\' => self.escape(),
            '[' => {
                let any_case = self.any_case();
                let class = class::of_brackets(&mut self.letters, any_case)?;
                self.halves |= class.contains('^') && class.contains(r"\p{");
                self.out.push_str(&class);
                self.atom(false)
            }
            '(' => self.open(),
            ')' => self.close(),
            '|' => {
                self.dollar_within();
                self.out.push('|');
                self.last = Last::Nothing;
                let group = self.group()?;
                group.empty_branch |= group.empty;
                group.empty = true;
                Ok(())
            }
            '*' | '+' | '?' | '{' => self.quantifier(letter),
            '.' => {
                let all = self.groups.last().is_some_and(|group| group.dot_is_all);
                self.out.push_str(if all { "(?s:.)" } else { r"[^\n\r\x{85}\x{2028}\x{2029}]" });
                self.atom(false)
            }
            '^' => self.anchor("^"),
            '$' => {
                self.anchor("")?;
                self.dollar = match (self.dollar, self.groups.len()) {
                    (Dollar::None, 1) => Dollar::Last,
                    _ => Dollar::Within,
                };
                self.out.push('$');
                Ok(())
            }
            other => self.literal(other),
        }
    }

    fn anchor(&mut self, text: &str) -> Result<(), String> {
        self.dollar_within();
        self.out.push_str(text);
        self.last = Last::Nothing;
        Ok(())
    }

    fn literal(&mut self, letter: char) -> Result<(), String> {
        if self.any_case() && letter.is_ascii_alphabetic() {
            let both = [letter.to_ascii_lowercase(), letter.to_ascii_uppercase()];
            self.out.extend(['['].iter().chain(&both).chain(&[']']));
        } else {
            // Writing to a text does not fail.
            let _ = write!(self.out, "\\x{{{:X}}}", u32::from(letter));
        }
        self.atom(false)
    }

    fn escape(&mut self) -> Result<(), String> {
        let letter = self.letters.next().ok_or("it ends with a backslash")?;
        if let Some(set) = class::of_escape(letter) {
            // Writing to a text does not fail.
            let _ = write!(self.out, "[{set}]");
            return self.atom(false);
        }
        match letter {
            'p' | 'P' => {
                let any_case = self.any_case();
                let set = class::of_property(&mut self.letters, letter == 'P', any_case)?;
                self.halves |= set.starts_with(r"[^\p{");
                // Writing to a text does not fail.
                let _ = write!(self.out, "[{set}]");
                self.atom(false)
            }
            'A' => self.anchor(r"\A"),
            'z' => self.anchor(r"\z"),
            'b' | 'B' => {
                self.words = true;
                self.halves |= letter == 'B';
                if self.letters.peek() == Some(&'{') {
                    return Err("\\b{ is not supported".to_owned());
                }
                self.anchor(if letter == 'b' { r"\b" } else { r"\B" })
            }
            'R' => {
                self.out.push_str(r"(?:\r\n|[\n\x0B\f\r\x{85}\x{2028}\x{2029}])");
                self.atom(false)
            }
            'Q' => self.quoted(),
            _ => {
                let literal = escaped(letter, &mut self.letters)?;
                self.literal(literal)
            }
        }
    }

    /// Text up to `\E`.
    fn quoted(&mut self) -> Result<(), String> {
        while let Some(letter) = self.letters.next() {
            if letter == '\\' && self.letters.next_if_eq(&'E').is_some() {
                return Ok(());
            }
            self.literal(letter)?;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        self.dollar_within();
        let mut inner = self.group()?.clone();
        (inner.empty_branch, inner.empty) = (false, true);
        if self.letters.next_if_eq(&'?').is_none() {
            self.out.push('(');
        } else if self.letters.next_if_eq(&'<').is_some() {
            let name: String = self.letters.by_ref().take_while(|letter| *letter != '>').collect();
            let proper = name.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && name.bytes().all(|letter| letter.is_ascii_alphanumeric());
            if !proper {
                return Err("groups that begin with (?< but no name are not supported".to_owned());
            }
            // Writing to a text does not fail.
            let _ = write!(self.out, "(?<{name}>");
        } else if self.flags(&mut inner)? {
            // The flags hold up to the end of the group at hand.
            (inner.empty_branch, inner.empty) = (self.group()?.empty_branch, self.group()?.empty);
            *self.group()? = inner;
            self.last = Last::Nothing;
            return Ok(());
        } else {
            self.out.push_str("(?:");
        }
        self.groups.push(inner);
        self.last = Last::Nothing;
        Ok(())
    }

    /// Reads `i-s:` or `i)` behind a `(?`; whether it was the latter.
    fn flags(&mut self, group: &mut Group) -> Result<bool, String> {
        let mut on = true;
        loop {
            match self.letters.next() {
                Some('i') => group.any_case = on,
                Some('s') => group.dot_is_all = on,
                Some('-') if on => on = false,
                Some(':') => return Ok(false),
                Some(')') => return Ok(true),
                Some(letter) if letter.is_ascii_alphabetic() => {
                    return Err(format!("the flag {letter} is not supported"));
                }
                _ => return Err("groups that begin with (?=, (?! or (?> are not supported".to_owned()),
            }
        }
    }

    fn close(&mut self) -> Result<(), String> {
        let inner = self.groups.pop().filter(|_| !self.groups.is_empty()).ok_or("a ) without its (")?;
        self.out.push(')');
        self.atom(inner.empty_branch || inner.empty)
    }

    fn quantifier(&mut self, letter: char) -> Result<(), String> {
        let (mut text, mut optional, mut once) = (letter.to_string(), letter != '+', letter == '?');
        if letter == '{' {
            loop {
                match self.letters.next().ok_or("a { is not closed")? {
                    '}' => break,
                    other => text.push(other),
                }
            }
            let (least, most) = text[1..].split_once(',').unwrap_or((&text[1..], "0"));
            let number = |digits: &str| {
                digits.parse::<u16>().ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_digit()))
            };
            if number(least).is_none() || !most.is_empty() && number(most).is_none() {
                return Err(format!("{text}}} is no number of repetitions"));
            }
            (optional, once) = (number(least) == Some(0), text == "{0" || text == "{1" || text == "{0,1");
            text.push('}');
        }
        match self.last {
            Last::Nothing => return Err(format!("{text} repeats nothing")),
            Last::Emptiable if !once => {
                return Err(format!("{text} behind a group that may be empty is not supported"));
            }
            Last::Emptiable | Last::Atom => {}
        }
        match self.letters.peek() {
            Some('+') => return Err("possessive quantifiers are not supported".to_owned()),
            Some('?') => {
                self.letters.next();
                text.push('?');
            }
            _ => {}
        }
        self.out.push_str(&text);
        let empty_before = self.empty_before;
        if optional {
            self.group()?.empty = empty_before;
        }
        self.last = Last::Nothing;
        Ok(())
    }
}
