//! LIKE, SIMILAR TO and regular expressions.
//!
//! * [`like`]: the patterns of SQL
//! * [`java`]: Java's regular expressions by the crate `regex`; [`translate`] and [`class`] write them in its syntax and
//!   refuse what does not mean the same

mod class;
mod java;
mod like;
mod translate;

use arrow::array::{ArrayRef, AsArray};
use datafusion::common::{Result as Planned, ScalarValue, exec_err};
use headwater_change::{Error, Result};

use super::arguments::{Takes, called, nullable, taken};
use super::forms::constant_text;
use super::kernel::Call;
use super::{Bind, rows};
use crate::typed::{Context, Typed};
use crate::types::{STRING, SqlType};
pub(crate) use java::{Groups, JavaRegex};
use like::Like;

pub(super) const ALL: &[(&str, Bind)] = &[
    ("$like", |context, args| {
        sql_pattern(context, "LIKE", args, |text, escape| Like::compile(text, escape).err(), run_like)
    }),
    ("$similar", |context, args| {
        sql_pattern(context, "SIMILAR TO", args, |text, escape| similar(text, escape).err(), run_similar)
    }),
    ("regexp", |context, args| regexp(context, "REGEXP", args)),
    ("regexp_extract", regexp_extract),
    ("regexp_replace", regexp_replace),
];

/// `x LIKE pattern [ESCAPE c]` and its kin. A constant pattern is tried while planning.
fn sql_pattern(
    context: Context<'_>,
    name: &str,
    args: Vec<Typed>,
    wrong: fn(&str, Option<char>) -> Option<String>,
    run: super::kernel::Run,
) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Text, Takes::Text, Takes::Text], 2)?;
    let escape = args.get(2).map(|escape| {
        let mut letters = constant_text(escape).unwrap_or_default().chars();
        match (letters.next(), letters.next()) {
            // Java's characters end at U+FFFF.
            (Some(escape @ ..='\u{FFFF}'), None) => Ok(escape),
            _ => Err(Error::usage("sql.pattern", format!("ESCAPE of {name} must be one constant character"))),
        }
    });
    let escape = escape.transpose()?;
    if let Some(text) = args.get(1).and_then(|pattern| constant_text(pattern).ok())
        && let Some(wrong) = wrong(text, escape)
    {
        return Err(unusable(name, text, &wrong));
    }
    let nullable = nullable(&args);
    called(context, name, args, SqlType::Boolean, nullable, run)
}

fn unusable(name: &str, text: &str, wrong: &str) -> Error {
    Error::usage("sql.pattern", format!("the pattern '{text}' of {name}: {wrong}"))
}

fn escape_of(call: &Call<'_>) -> Option<char> {
    match call.constant(2) {
        Some(ScalarValue::Utf8(Some(text))) => text.chars().next(),
        _ => None,
    }
}

/// The compiled pattern of each row, compiled again only when it changes.
struct Compiled<P> {
    column: ArrayRef,
    known: Option<(String, P)>,
}

impl<P> Compiled<P> {
    fn new(call: &Call<'_>, index: usize) -> Planned<Self> {
        Ok(Self { column: call.array(index)?, known: None })
    }

    fn at(&mut self, row: usize, compile: impl Fn(&str) -> std::result::Result<P, String>) -> Planned<&mut P> {
        let text = self.column.as_string::<i32>().value(row);
        if self.known.as_ref().is_none_or(|(known, _)| known != text) {
            match compile(text) {
                Ok(pattern) => self.known = Some((text.to_owned(), pattern)),
                Err(wrong) => return exec_err!("the pattern '{text}': {wrong}"),
            }
        }
        match &mut self.known {
            Some((_, pattern)) => Ok(pattern),
            None => exec_err!("a pattern was not compiled"),
        }
    }
}

fn run_like(call: &Call<'_>) -> Planned<ArrayRef> {
    let (texts, escape) = (call.array(0)?, escape_of(call));
    let mut patterns = Compiled::new(call, 1)?;
    let pattern = ArrayRef::clone(&patterns.column);
    rows::boolean(call.rows, &[&texts, &pattern], |row| {
        let like: &mut Like = patterns.at(row, |text| Like::compile(text, escape))?;
        Ok(Some(like.matches(texts.as_string::<i32>().value(row))))
    })
}

/// What SIMILAR TO gives a meaning, and Java's expressions.
const SIMILAR_SPECIALS: &str = "[]()|^-+*_%?{}";
const JAVA_SPECIALS: &str = "[]()|^-+*?{}$\\.";
/// Classes by name inside of brackets.
const CLASSES: &[(&str, &str)] = &[
    ("[:alpha:]", r"\p{Alpha}"),
    ("[:upper:]", r"\p{Upper}"),
    ("[:lower:]", r"\p{Lower}"),
    ("[:digit:]", r"\d"),
    ("[:space:]", " "),
    ("[:whitespace:]", r"\s"),
    ("[:alnum:]", r"\p{Alnum}"),
];

/// The regular expression of a SIMILAR TO pattern, by Calcite's translation: `_`, `%` and names of classes are SQL's, all
/// else is Java's.
fn similar(text: &str, escape: Option<char>) -> std::result::Result<JavaRegex, String> {
    if let Some(escape @ (':' | '"')) = escape {
        return Err(format!("{escape} as escape character is not supported"));
    }
    let mut regex = String::new();
    let (mut rest, mut brackets) = (text, false);
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        match letter {
            _ if Some(letter) == escape => {
                let next = rest.chars().next().ok_or("the escape character stands at the end")?;
                if !SIMILAR_SPECIALS.contains(next) && Some(next) != escape {
                    return Err("the escape character must stand before one that has a meaning, or itself".to_owned());
                }
                if JAVA_SPECIALS.contains(next) {
                    regex.push('\\');
                }
                regex.push(next);
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
            }
            '[' if brackets => {
                let named = text.len() - rest.len() - 1;
                let named = text.get(named..).unwrap_or_default();
                let (name, class) = CLASSES
                    .iter()
                    .find(|(name, _)| {
                        let upper = name.to_ascii_uppercase();
                        named.starts_with(name) || named.starts_with(&upper)
                    })
                    .ok_or("a [ inside of brackets must begin the name of a class")?;
                regex.push_str(class);
                rest = named.get(name.len()..).unwrap_or_default();
            }
            '[' | ']' => {
                if (letter == ']') != brackets {
                    return Err("a ] without its [".to_owned());
                }
                brackets = !brackets;
                regex.push(letter);
            }
            '-' | '^' if brackets => regex.push(letter),
            _ if brackets && SIMILAR_SPECIALS.contains(letter) => {
                return Err(format!("{letter} must be escaped inside of brackets"));
            }
            _ if brackets => regex.push(letter),
            '_' => regex.push('.'),
            '%' => regex.push_str("(?s:.)*"),
            '\\' | '$' => regex.extend(['\\', letter]),
            other => regex.push(other),
        }
    }
    if brackets {
        return Err("a [ is not closed".to_owned());
    }
    JavaRegex::compile(&regex, true)
}

fn run_similar(call: &Call<'_>) -> Planned<ArrayRef> {
    let (texts, escape) = (call.array(0)?, escape_of(call));
    let mut patterns = Compiled::new(call, 1)?;
    let pattern = ArrayRef::clone(&patterns.column);
    rows::boolean(call.rows, &[&texts, &pattern], |row| {
        let regex: &mut JavaRegex = patterns.at(row, |text| similar(text, escape))?;
        regex.is_match(texts.as_string::<i32>().value(row)).map(Some)
    })
}

fn checked(name: &str, pattern: Option<&Typed>) -> Result<()> {
    let Some(text) = pattern.and_then(|pattern| constant_text(pattern).ok()) else { return Ok(()) };
    JavaRegex::compile(text, false).map(drop).map_err(|wrong| unusable(name, text, &wrong))
}

/// `REGEXP(text, regex)`: whether a part of the text matches; an empty expression matches nothing.
fn regexp(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Text, Takes::Text], 2)?;
    checked(name, args.get(1))?;
    let nullable = nullable(&args);
    called(context, name, args, SqlType::Boolean, nullable, |call| {
        let texts = call.array(0)?;
        let mut patterns = Compiled::new(call, 1)?;
        let pattern = ArrayRef::clone(&patterns.column);
        rows::boolean(call.rows, &[&texts, &pattern], |row| {
            if pattern.as_string::<i32>().value(row).is_empty() {
                return Ok(Some(false));
            }
            let regex: &mut JavaRegex = patterns.at(row, |text| JavaRegex::compile(text, false))?;
            regex.is_match(texts.as_string::<i32>().value(row)).map(Some)
        })
    })
}

/// `REGEXP_EXTRACT(text, regex[, group])`: the group of the first match, NULL where there is none.
fn regexp_extract(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "REGEXP_EXTRACT", args, &[Takes::Text, Takes::Text, Takes::Int], 2)?;
    checked("REGEXP_EXTRACT", args.get(1))?;
    called(context, "REGEXP_EXTRACT", args, STRING, true, |call| {
        let texts = call.array(0)?;
        let groups = if call.len() > 2 { Some(call.array(2)?) } else { None };
        let mut patterns = Compiled::new(call, 1)?;
        let pattern = ArrayRef::clone(&patterns.column);
        let mut columns: Vec<&dyn arrow::array::Array> = vec![&texts, &pattern];
        columns.extend(groups.iter().map(|groups| groups as &dyn arrow::array::Array));
        rows::text(call.rows, &columns, |row, out| {
            let group =
                groups.as_ref().map_or(0, |groups| groups.as_primitive::<arrow::datatypes::Int32Type>().value(row));
            let regex: &mut JavaRegex = patterns.at(row, |text| JavaRegex::compile(text, false))?;
            let text = texts.as_string::<i32>().value(row);
            Ok(regex.group(text, group)?.map(|found| out.push_str(found)).is_some())
        })
    })
}

/// `REGEXP_REPLACE(text, regex, replacement)`: all matches replaced by the text as it is: `$1` is no group.
fn regexp_replace(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "REGEXP_REPLACE", args, &[Takes::Text, Takes::Text, Takes::Text], 3)?;
    checked("REGEXP_REPLACE", args.get(1))?;
    let nullable = nullable(&args);
    called(context, "REGEXP_REPLACE", args, STRING, nullable, |call| {
        let (texts, replacements) = (call.array(0)?, call.array(2)?);
        let mut patterns = Compiled::new(call, 1)?;
        let pattern = ArrayRef::clone(&patterns.column);
        rows::text(call.rows, &[&texts, &pattern, &replacements], |row, out| {
            let regex: &mut JavaRegex = patterns.at(row, |text| JavaRegex::compile(text, false))?;
            let text = texts.as_string::<i32>().value(row);
            regex.replace(text, replacements.as_string::<i32>().value(row), out)?;
            Ok(true)
        })
    })
}
