//! What stands at the ends of texts.

use arrow::array::{ArrayRef, AsArray};
use datafusion::common::Result as Planned;
use headwater_change::{Error, Result};

use super::slice::varying;
use crate::functions::arguments::{Takes, called, nullable, taken, type_of};
use crate::functions::forms::constant_text;
use crate::functions::kernel::{Call, Run};
use crate::functions::{Bind, rows};
use crate::typed::{Context, Typed};
use crate::types::STRING;

pub(super) const ALL: &[(&str, Bind)] = &[
    ("ltrim", |context, args| ends(context, "LTRIM", args, |call| run(call, true, false))),
    ("rtrim", |context, args| ends(context, "RTRIM", args, |call| run(call, false, true))),
    ("btrim", btrim),
    ("$trim", form),
];

/// `TRIM([BOTH | LEADING | TRAILING] [characters] FROM text)`.
fn form(context: Context<'_>, mut args: Vec<Typed>) -> Result<Typed> {
    if args.is_empty() {
        return Err(Error::bug("sql.form", "TRIM without its side"));
    }
    let side = args.remove(0);
    let run: Run = match constant_text(&side)? {
        "LEADING" => |call| run(call, true, false),
        "TRAILING" => |call| run(call, false, true),
        _ => |call| run(call, true, true),
    };
    ends(context, "TRIM", args, run)
}

/// `LTRIM(text[, characters])`: blanks where no characters are given.
fn ends(context: Context<'_>, name: &str, args: Vec<Typed>, run: Run) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Text, Takes::Text], 1)?;
    let (result, nullable) = (varying(&type_of(&args, 0)), nullable(&args));
    called(context, name, args, result, nullable, run)
}

fn btrim(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "BTRIM", args, &[Takes::TextOrNull, Takes::TextOrNull], 1)?;
    let nullable = nullable(&args);
    called(context, "BTRIM", args, STRING, nullable, |call| run(call, true, true))
}

/// Removes any of the characters from the chosen ends.
fn run(call: &Call<'_>, leading: bool, trailing: bool) -> Planned<ArrayRef> {
    let text = call.array(0)?;
    let text = text.as_string::<i32>();
    let trimmed = |text: &str, within: &dyn Fn(char) -> bool, out: &mut String| {
        let text = if leading { text.trim_start_matches(within) } else { text };
        out.push_str(if trailing { text.trim_end_matches(within) } else { text });
    };
    if call.len() < 2 {
        return rows::text(call.rows, &[text], |row, out| {
            trimmed(text.value(row), &|found| found == ' ', out);
            Ok(true)
        });
    }
    let characters = call.array(1)?;
    let characters = characters.as_string::<i32>();
    rows::text(call.rows, &[text, characters], |row, out| {
        let characters = characters.value(row);
        trimmed(text.value(row), &|found| characters.contains(found), out);
        Ok(true)
    })
}
