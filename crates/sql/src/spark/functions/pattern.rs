//! LIKE and regular expressions.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use datafusion::common::Result as Planned;

use super::{BOOL, Def, Gives, INT, TEXT, Takes, def};
use crate::functions::kernel::Row;
use crate::functions::pattern::{Groups, JavaRegex};
use crate::functions::value::Value;
use crate::spark::operators::failed;
use crate::spark::types::array_of;
use crate::types::STRING;

const TT: &[Takes] = &[Takes::Text, Takes::Text];
const TTT: &[Takes] = &[Takes::Text, Takes::Text, Takes::Text];
const TTI: &[Takes] = &[Takes::Text, Takes::Text, Takes::Int];
const TEXTS: Gives = Gives::By(|_| Some(array_of(&STRING)));

pub(super) const ROWS: &[Def] = &[
    def("$like", TTT, BOOL, |row| like(row, false)).least(2),
    def("$ilike", TTT, BOOL, |row| like(row, true)).least(2),
    def("like", TTT, BOOL, |row| like(row, false)).least(2),
    def("ilike", TTT, BOOL, |row| like(row, true)).least(2),
    def("rlike", TT, BOOL, is_match),
    def("regexp", TT, BOOL, is_match),
    def("regexp_like", TT, BOOL, is_match),
    def("regexp_extract", TTI, TEXT, |row| {
        let group = group(row)?;
        let found = matches(row)?;
        let text = found.first().and_then(|first| first.get(group).copied().flatten());
        Ok(slice(row.text(0), text).unwrap_or_default().into())
    })
    .least(2),
    def("regexp_extract_all", TTI, TEXTS, |row| {
        let group = group(row)?;
        let found = matches(row)?;
        let texts = found.iter().map(|found| slice(row.text(0), found.get(group).copied().flatten()));
        Ok(Value::List(texts.map(|text| text.unwrap_or_default().into()).collect()))
    })
    .least(2),
    def("regexp_count", TT, INT, |row| Ok(Value::Int(i64::try_from(matches(row)?.len()).unwrap_or(0)))),
    def("regexp_substr", TT, TEXT, |row| {
        let found = matches(row)?;
        Ok(slice(row.text(0), found.first().and_then(|first| first.first().copied().flatten())).into())
    }),
    def("regexp_instr", TTI, INT, |row| {
        let found = matches(row)?;
        let start = found.first().and_then(|first| first.first().copied().flatten()).map(|(start, _)| start);
        let letters = start.map(|start| row.text(0).get(..start).unwrap_or_default().chars().count() + 1);
        Ok(Value::Int(letters.and_then(|letters| i64::try_from(letters).ok()).unwrap_or(0)))
    })
    .least(2),
    def("regexp_replace", &[Takes::Text, Takes::Text, Takes::Text, Takes::Int], TEXT, replace).least(3),
    def("split", TTI, TEXTS, split).least(2),
];

thread_local! {
    /// Compiled expressions: one is used for many rows.
    static COMPILED: RefCell<HashMap<String, Rc<JavaRegex>>> = RefCell::new(HashMap::new());
}

/// Expressions that are kept; beyond that the memory begins anew.
const KEPT: usize = 64;

fn compiled(text: &str) -> Planned<Rc<JavaRegex>> {
    COMPILED.with_borrow_mut(|known| {
        if let Some(found) = known.get(text) {
            return Ok(Rc::clone(found));
        }
        let regex = JavaRegex::compile(text, false).map_err(|wrong| {
            failed("sql.pattern", format!("the expression '{text}': {wrong}"), "write it in another way")
        })?;
        if known.len() >= KEPT {
            known.clear();
        }
        let regex = Rc::new(regex);
        known.insert(text.to_owned(), Rc::clone(&regex));
        Ok(regex)
    })
}

fn is_match(row: &Row<'_>) -> Planned<Value> {
    compiled(row.text(1))?.is_match(row.text(0)).map(Value::Bool)
}

fn matches(row: &Row<'_>) -> Planned<Vec<Groups>> {
    compiled(row.text(1))?.matches(row.text(0))
}

/// The group that is asked for: the first where none is.
fn group(row: &Row<'_>) -> Planned<usize> {
    let wanted = if row.values.len() > 2 { row.int(2) } else { 1 };
    let groups = compiled(row.text(1))?.groups();
    usize::try_from(wanted).ok().filter(|wanted| *wanted < groups).ok_or_else(|| {
        failed("sql.pattern", format!("the expression '{}' has no group {wanted}", row.text(1)), "group 0 is all of it")
    })
}

fn slice(text: &str, range: Option<(usize, usize)>) -> Option<&str> {
    range.and_then(|(start, end)| text.get(start..end))
}

fn replace(row: &Row<'_>) -> Planned<Value> {
    let text = row.text(0);
    let from = if row.values.len() > 3 { row.int(3) } else { 1 };
    if from < 1 {
        return Err(failed("sql.argument", format!("REGEXP_REPLACE from position {from}"), "positions count from 1"));
    }
    let letters = usize::try_from(from - 1).unwrap_or(usize::MAX);
    let start = text.char_indices().nth(letters).map_or(text.len(), |(start, _)| start);
    if start >= text.len() && from > 1 {
        return Ok(text.into());
    }
    let (kept, rest) = text.split_at(start);
    let found = compiled(row.text(1))?.matches(rest)?;
    let mut out = kept.to_owned();
    let mut end = 0;
    for groups in &found {
        let Some((start, stop)) = groups.first().copied().flatten() else { continue };
        out.push_str(rest.get(end..start).unwrap_or_default());
        replacement(row.text(2), rest, groups, &mut out)?;
        end = stop;
    }
    out.push_str(rest.get(end..).unwrap_or_default());
    Ok(Value::Text(out))
}

/// Java's replacement: `$1` is a group, a backslash takes the next letter as it is.
fn replacement(text: &str, source: &str, groups: &[Option<(usize, usize)>], out: &mut String) -> Planned<()> {
    let wrong =
        |what: &str| failed("sql.pattern", format!("the replacement '{text}': {what}"), "write \\$ for a dollar sign");
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.push(letters.next().ok_or_else(|| wrong("it ends in a backslash"))?),
            '$' => {
                let Some(first) = letters.next().and_then(|digit| digit.to_digit(10)) else {
                    return Err(wrong("$ without the number of a group"));
                };
                let mut group = first as usize;
                if group >= groups.len() {
                    return Err(wrong("there is no such group"));
                }
                while let Some(digit) = letters.peek().and_then(|digit| digit.to_digit(10)) {
                    let longer = group * 10 + digit as usize;
                    if longer >= groups.len() {
                        break;
                    }
                    group = longer;
                    letters.next();
                }
                out.push_str(slice(source, groups.get(group).copied().flatten()).unwrap_or_default());
            }
            other => out.push(other),
        }
    }
    Ok(())
}

fn split(row: &Row<'_>) -> Planned<Value> {
    let text = row.text(0);
    let limit = if row.values.len() > 2 { row.int(2) } else { -1 };
    if row.text(1).is_empty() {
        // Letter by letter; the rest stays together at the limit.
        let mut parts: Vec<String> = text.chars().map(String::from).collect();
        if let Some(most) = usize::try_from(limit).ok().filter(|most| *most > 0 && *most < parts.len()) {
            parts.truncate(most);
        }
        if parts.is_empty() {
            parts.push(String::new());
        }
        return Ok(Value::List(parts.into_iter().map(Value::Text).collect()));
    }
    let found = compiled(row.text(1))?.matches(text)?;
    let mut parts: Vec<Value> = Vec::new();
    let mut end = 0;
    for groups in &found {
        let Some((start, stop)) = groups.first().copied().flatten() else { continue };
        if limit > 0 && i64::try_from(parts.len()).unwrap_or(0) + 1 >= limit {
            break;
        }
        // Nothing at the very beginning parts nothing from it.
        if stop == 0 || start == stop && start >= text.len() {
            continue;
        }
        parts.push(text.get(end..start).unwrap_or_default().into());
        end = stop;
    }
    parts.push(text.get(end..).unwrap_or_default().into());
    Ok(Value::List(parts))
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Letter(char),
    One,
    Many,
}

fn like(row: &Row<'_>, any_case: bool) -> Planned<Value> {
    let escape = match row.values.get(2) {
        None => '\\',
        Some(given) => {
            let mut letters = given.text().chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) => letter,
                _ => return Err(failed("sql.pattern", "ESCAPE takes one character", "write ESCAPE '!'")),
            }
        }
    };
    let (text, pattern) = if any_case {
        (row.text(0).to_lowercase(), row.text(1).to_lowercase())
    } else {
        (row.text(0).to_owned(), row.text(1).to_owned())
    };
    let parts = parts(&pattern, escape)?;
    Ok(Value::Bool(fits(&text.chars().collect::<Vec<_>>(), &parts)))
}

fn parts(pattern: &str, escape: char) -> Planned<Vec<Part>> {
    let wrong = || {
        failed(
            "sql.pattern",
            format!("the pattern '{pattern}' escapes what is neither %, _ nor the escape itself"),
            "write the escape twice",
        )
    };
    let mut parts = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            letter if letter == escape => match letters.next() {
                Some(next) if next == '%' || next == '_' || next == escape => Part::Letter(next),
                _ => return Err(wrong()),
            },
            '%' => Part::Many,
            '_' => Part::One,
            other => Part::Letter(other),
        });
    }
    Ok(parts)
}

/// Greedy, going back to the last `%`.
fn fits(text: &[char], parts: &[Part]) -> bool {
    let (mut at, mut part) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Many) => {
                back = Some((part, at));
                part += 1;
            }
            Some(Part::One) => (at, part) = (at + 1, part + 1),
            Some(Part::Letter(letter)) if text.get(at) == Some(letter) => (at, part) = (at + 1, part + 1),
            _ => match back {
                Some((many, from)) => {
                    back = Some((many, from + 1));
                    (at, part) = (from + 1, many + 1);
                }
                None => return false,
            },
        }
    }
    parts.get(part..).is_some_and(|rest| rest.iter().all(|part| *part == Part::Many))
}
