//! Positions, replacement, pieces.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Int32Type;
use datafusion::common::{Result as Planned, exec_err};
use headwater_change::Result;

use super::digest::content;
use crate::functions::arguments::{Takes, called, nullable, taken};
use crate::functions::kernel::{Call, Run};
use crate::functions::{Bind, rows};
use crate::typed::{Context, Typed};
use crate::types::{STRING, SqlType};

pub(super) const ALL: &[(&str, Bind)] = &[
    ("position", |context, args| sought(context, "POSITION", args)),
    ("locate", |context, args| sought(context, "LOCATE", args)),
    ("instr", instr),
    ("replace", replace),
    ("translate", translate),
    ("split_index", split_index),
    ("startswith", |context, args| affix(context, "STARTSWITH", args, |call| run_affix(call, <[u8]>::starts_with))),
    ("endswith", |context, args| affix(context, "ENDSWITH", args, |call| run_affix(call, <[u8]>::ends_with))),
];

/// `POSITION(part IN text)`, `LOCATE(part, text[, from])`: 0 where it is not found; an empty part is found at 1.
fn sought(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Text, Takes::Text, Takes::Int], 2)?;
    let nullable = nullable(&args);
    called(context, name, args, SqlType::Int, nullable, |call| {
        let (part, text) = (call.array(0)?, call.array(1)?);
        let (part, text) = (part.as_string::<i32>(), text.as_string::<i32>());
        let from = if call.len() > 2 { Some(call.array(2)?) } else { None };
        let from = from.as_ref().map(|from| from.as_primitive::<Int32Type>());
        let mut columns: Vec<&dyn Array> = vec![part, text];
        columns.extend(from.map(|from| from as &dyn Array));
        let found = rows::primitive::<Int32Type>(call.rows, &columns, |row| {
            // One less, as Java subtracts it: the least integer becomes the greatest.
            let skipped = from.map_or(0, |from| from.value(row).wrapping_sub(1));
            Ok(Some(index_of(text.value(row), part.value(row), skipped)))
        })?;
        rows::finished(found)
    })
}

/// The character, from 1, where `part` begins behind the first `skipped` characters; 0 if it does not.
fn index_of(text: &str, part: &str, skipped: i32) -> i32 {
    if part.is_empty() {
        return 1;
    }
    let skipped = usize::try_from(skipped).unwrap_or(0);
    let start = match skipped {
        0 => Some(0),
        skipped => text.char_indices().map(|(at, _)| at).nth(skipped),
    };
    let Some(rest) = start.and_then(|start| text.get(start..)) else { return 0 };
    let before = rest.find(part).and_then(|at| rest.get(..at));
    before.map_or(0, |before| i32::try_from(skipped + before.chars().count() + 1).unwrap_or(i32::MAX))
}

/// `INSTR(text, part[, start[, nth]])`: from the end where the start is negative.
fn instr(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "INSTR", args, &[Takes::Text, Takes::Text, Takes::Int, Takes::Int], 2)?;
    let nullable = nullable(&args);
    called(context, "INSTR", args, SqlType::Int, nullable, |call| {
        let (text, part) = (call.array(0)?, call.array(1)?);
        let (text, part) = (text.as_string::<i32>(), part.as_string::<i32>());
        let further = (2..call.len()).map(|index| call.array(index)).collect::<Planned<Vec<_>>>()?;
        let further: Vec<_> = further.iter().map(|column| column.as_primitive::<Int32Type>()).collect();
        let mut columns: Vec<&dyn Array> = vec![text, part];
        columns.extend(further.iter().map(|column| *column as &dyn Array));
        let number = |index: usize, row: usize| further.get(index).map_or(1, |column| column.value(row));
        let (mut reversed, mut sought) = (String::new(), String::new());
        let found = rows::primitive::<Int32Type>(call.rows, &columns, |row| {
            let (start, nth) = (number(0, row), number(1, row));
            if nth <= 0 {
                return exec_err!("the fourth argument of INSTR must be at least 1");
            }
            let (text, part) = (text.value(row), part.value(row));
            if start >= 0 {
                return Ok(Some(nth_index(text, part, start, nth)));
            }
            reversed.clear();
            reversed.extend(text.chars().rev());
            sought.clear();
            sought.extend(part.chars().rev());
            Ok(Some(match nth_index(&reversed, &sought, start.saturating_neg(), nth) {
                0 => 0,
                at => {
                    let count = |text: &str| i32::try_from(text.chars().count()).unwrap_or(i32::MAX);
                    count(text) + 2 - at - count(part)
                }
            }))
        })?;
        rows::finished(found)
    })
}

fn nth_index(text: &str, part: &str, start: i32, nth: i32) -> i32 {
    let mut start = start;
    let mut at = 0;
    for _ in 0..nth {
        if start == 0 {
            return 0;
        }
        at = index_of(text, part, start - 1);
        if at == 0 || part.is_empty() {
            return at;
        }
        start = at + 1;
    }
    at
}

/// `REPLACE(text, part, other)`: an empty part is found before and behind every character.
fn replace(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "REPLACE", args, &[Takes::Text, Takes::Text, Takes::Text], 3)?;
    let nullable = nullable(&args);
    called(context, "REPLACE", args, STRING, nullable, |call| {
        let (text, part, other) = (call.array(0)?, call.array(1)?, call.array(2)?);
        let (text, part, other) = (text.as_string::<i32>(), part.as_string::<i32>(), other.as_string::<i32>());
        rows::text(call.rows, &[text, part, other], |row, out| {
            let (text, part, other) = (text.value(row), part.value(row), other.value(row));
            if part.is_empty() && text.chars().any(|letter| letter > '\u{FFFF}') {
                return exec_err!("REPLACE of '' takes characters beyond U+FFFF apart");
            }
            let mut rest = 0;
            for (at, found) in text.match_indices(part) {
                out.push_str(text.get(rest..at).unwrap_or(""));
                out.push_str(other);
                rest = at + found.len();
            }
            out.push_str(text.get(rest..).unwrap_or(""));
            Ok(true)
        })
    })
}

/// `TRANSLATE(text, from, to)`: characters of `from` become those at the same places of `to`, or vanish.
fn translate(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "TRANSLATE", args, &[Takes::Text, Takes::Text, Takes::Text], 3)?;
    let nullable = args.first().is_some_and(|text| text.nullable);
    called(context, "TRANSLATE", args, STRING, nullable, |call| {
        let (text, from, to) = (call.array(0)?, call.array(1)?, call.array(2)?);
        let (text, from, to) = (text.as_string::<i32>(), from.as_string::<i32>(), to.as_string::<i32>());
        // A NULL for either is an empty one.
        rows::text(call.rows, &[text], |row, out| {
            let from = if from.is_null(row) { "" } else { from.value(row) };
            let to = if to.is_null(row) { "" } else { to.value(row) };
            out.extend(text.value(row).chars().filter_map(
                |found| match from.chars().position(|sought| sought == found) {
                    Some(place) => to.chars().nth(place),
                    None => Some(found),
                },
            ));
            Ok(true)
        })
    })
}

/// `SPLIT_INDEX(text, separator, index)`: the piece at an index from 0; NULL where there is none, also of an empty text.
/// The separator is a text (an empty one means white space) or the code of a character from 1 to 255.
fn split_index(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let by_code = args.get(1).is_some_and(|separator| separator.sql_type.is_integer());
    let separator = if by_code { Takes::Int } else { Takes::Text };
    let args = taken(context, "SPLIT_INDEX", args, &[Takes::Text, separator, Takes::Int], 3)?;
    called(context, "SPLIT_INDEX", args, STRING, true, run_split)
}

fn run_split(call: &Call<'_>) -> Planned<ArrayRef> {
    let (text, separator, index) = (call.array(0)?, call.array(1)?, call.array(2)?);
    let text = text.as_string::<i32>();
    let index = index.as_primitive::<Int32Type>();
    let codes = separator.as_primitive_opt::<Int32Type>();
    let separators = separator.as_string_opt::<i32>();
    let mut one = [0_u8; 4];
    rows::text(call.rows, &[text, separator.as_ref(), index], |row, out| {
        let Ok(index) = usize::try_from(index.value(row)) else { return Ok(false) };
        let separator = match (codes, separators) {
            (Some(codes), _) => match u8::try_from(codes.value(row)) {
                Ok(code) if code > 0 => &*char::from(code).encode_utf8(&mut one),
                _ => return Ok(false),
            },
            (None, Some(separators)) => separators.value(row),
            (None, None) => return exec_err!("SPLIT_INDEX without a separator"),
        };
        let text = text.value(row);
        let found = match separator {
            _ if text.is_empty() => None,
            "" => text.split(white_space).nth(index),
            separator => text.split(separator).nth(index),
        };
        out.push_str(found.unwrap_or(""));
        Ok(found.is_some())
    })
}

/// Java's white space: Unicode's without the spaces that do not break, and four separators of ASCII.
fn white_space(found: char) -> bool {
    let breaks = !matches!(found, '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{85}');
    found.is_whitespace() && breaks || matches!(found, '\u{1c}'..='\u{1f}')
}

/// Two texts, or two values of bytes.
fn affix(context: Context<'_>, name: &str, args: Vec<Typed>, run: Run) -> Result<Typed> {
    let bytes = args.iter().all(|arg| arg.sql_type.is_bytes());
    let takes = if bytes { Takes::Bytes } else { Takes::TextOrNull };
    let args = taken(context, name, args, &[takes, takes], 2)?;
    let nullable = nullable(&args);
    called(context, name, args, SqlType::Boolean, nullable, run)
}

fn run_affix(call: &Call<'_>, test: impl Fn(&[u8], &[u8]) -> bool) -> Planned<ArrayRef> {
    let (value, part) = (call.array(0)?, call.array(1)?);
    rows::boolean(call.rows, &[&value, &part], |row| Ok(Some(test(content(&value, row), content(&part, row)))))
}
