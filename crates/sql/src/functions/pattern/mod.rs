//! LIKE, SIMILAR TO and regular expressions.
//!
//! * [`like`]: the patterns of SQL
//! * [`java`]: Java's regular expressions in the syntax of the crate `regex`; what does not mean the same is refused

mod java;
mod like;

use arrow::array::{ArrayRef, AsArray};
use datafusion::common::{Result as Planned, ScalarValue, exec_err};
use headwater_change::{Error, Result};

use super::arguments::{Takes, called, nullable, taken};
use super::forms::constant_text;
use super::kernel::Call;
use super::{Bind, rows};
use crate::typed::{Context, Typed};
use crate::types::{STRING, SqlType};
use java::JavaRegex;
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
            (Some(escape), None) => Ok(escape),
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

/// The regular expression of a SIMILAR TO pattern, by Calcite's translation: `_` and `%` are SQL's, all else is Java's.
fn similar(text: &str, escape: Option<char>) -> std::result::Result<JavaRegex, String> {
    let mut regex = String::from("(?:");
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            _ if Some(letter) == escape => {
                let next = letters.next().ok_or("the escape character stands at the end")?;
                if next.is_ascii_punctuation() {
                    regex.push('\\');
                }
                regex.push(next);
            }
            '_' => regex.push('.'),
            '%' => regex.push_str("[\\s\\S]*"),
            '\\' => regex.push_str("\\\\"),
            '[' if letters.as_str().starts_with("[:") || letters.as_str().starts_with(':') => {
                return Err("character classes by name are not supported".to_owned());
            }
            other => regex.push(other),
        }
    }
    regex.push(')');
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

/// `REGEXP_REPLACE(text, regex, replacement)`: all matches replaced; `$1` is a group.
fn regexp_replace(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "REGEXP_REPLACE", args, &[Takes::Text, Takes::Text, Takes::Text], 3)?;
    checked("REGEXP_REPLACE", args.get(1))?;
    called(context, "REGEXP_REPLACE", args, STRING, true, |call| {
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
