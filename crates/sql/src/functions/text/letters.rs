//! Case, codes and kinds of characters.

use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::common::Result as Planned;
use headwater_change::Result;
use regex::Regex;

use crate::functions::arguments::{Takes, called, nullable, taken, type_of};
use crate::functions::kernel::{Call, Run};
use crate::functions::{Bind, arity, refused, rows};
use crate::typed::{Context, Typed};
use crate::types::{STRING, SqlType};

pub(super) const ALL: &[(&str, Bind)] = &[
    ("upper", |context, args| cased(context, "UPPER", args, |call| each(call, upper))),
    ("lower", |context, args| cased(context, "LOWER", args, |call| each(call, lower))),
    ("initcap", |context, args| cased(context, "INITCAP", args, |call| each(call, capitals))),
    ("char_length", |context, args| length(context, "CHAR_LENGTH", args)),
    ("character_length", |context, args| length(context, "CHARACTER_LENGTH", args)),
    ("ascii", ascii),
    ("chr", chr),
    ("is_digit", |context, args| kind(context, "IS_DIGIT", args, SqlType::is_integer, |call| run_kind(call, &DIGITS))),
    ("is_alpha", |context, args| kind(context, "IS_ALPHA", args, |_| false, |call| run_kind(call, &LETTERS))),
    ("is_decimal", |context, args| {
        let number = |sql_type: &SqlType| sql_type.is_integer() || sql_type.is_approximate();
        kind(context, "IS_DECIMAL", args, number, run_decimal)
    }),
];

/// The type stays, also its length.
fn cased(context: Context<'_>, name: &str, args: Vec<Typed>, run: Run) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Text], 1)?;
    let (result, nullable) = (type_of(&args, 0), nullable(&args));
    called(context, name, args, result, nullable, run)
}

fn each(call: &Call<'_>, write: fn(&str, &mut String)) -> Planned<ArrayRef> {
    let text = call.array(0)?;
    let text = text.as_string::<i32>();
    rows::text(call.rows, &[text], |row, out| {
        write(text.value(row), out);
        Ok(true)
    })
}

fn upper(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_uppercase();
    } else {
        out.extend(text.chars().flat_map(char::to_uppercase));
    }
}

fn lower(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_lowercase();
    } else {
        // The small sigma depends on what stands around it, so the whole text is needed.
        out.push_str(&text.to_lowercase());
    }
}

/// Letters and digits of ASCII make words; their first letter becomes a capital.
fn capitals(text: &str, out: &mut String) {
    let mut inside = false;
    for found in text.chars() {
        out.push(if inside { found.to_ascii_lowercase() } else { found.to_ascii_uppercase() });
        inside = found.is_ascii_alphanumeric();
    }
}

fn length(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Text], 1)?;
    let nullable = nullable(&args);
    called(context, name, args, SqlType::Int, nullable, |call| {
        let text = call.array(0)?;
        let text = text.as_string::<i32>();
        let count = |text: &str| if text.is_ascii() { text.len() } else { text.chars().count() };
        rows::finished(rows::primitive::<Int32Type>(call.rows, &[text], |row| {
            Ok(Some(i32::try_from(count(text.value(row))).unwrap_or(i32::MAX)))
        })?)
    })
}

/// `ASCII(text)`: the first byte, as a number from -128 to 127; 0 of an empty text.
fn ascii(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "ASCII", args, &[Takes::Text], 1)?;
    let nullable = nullable(&args);
    called(context, "ASCII", args, SqlType::Int, nullable, |call| {
        let text = call.array(0)?;
        let text = text.as_string::<i32>();
        rows::finished(rows::primitive::<Int32Type>(call.rows, &[text], |row| {
            let first = text.value(row).bytes().next().unwrap_or(0);
            Ok(Some(i32::from(first.cast_signed())))
        })?)
    })
}

/// `CHR(code)`: the character of the last eight bits; nothing for a negative code.
fn chr(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "CHR", args, &[Takes::Whole], 1)?;
    called(context, "CHR", args, STRING, true, |call| {
        let code = call.array(0)?;
        let code = code.as_primitive::<Int64Type>();
        rows::text(call.rows, &[code], |row, out| {
            let code = code.value(row);
            if code >= 0 {
                out.push(char::from((code & 0xff) as u8));
            }
            Ok(true)
        })
    })
}

/// Never NULL: FALSE of NULL. Of numbers the type decides.
fn kind(context: Context<'_>, name: &str, args: Vec<Typed>, number: fn(&SqlType) -> bool, run: Run) -> Result<Typed> {
    let [arg] = args.as_slice() else { return Err(arity(name, "one argument")) };
    if !arg.sql_type.is_text() && !arg.sql_type.is_numeric() {
        return Err(refused(name, &args));
    }
    if arg.sql_type.is_numeric() {
        let run: Run = if number(&arg.sql_type) { |call| constant(call, true) } else { |call| constant(call, false) };
        return called(context, name, args, SqlType::Boolean, false, run);
    }
    called(context, name, args, SqlType::Boolean, false, run)
}

fn constant(call: &Call<'_>, value: bool) -> Planned<ArrayRef> {
    Ok(std::sync::Arc::new(BooleanArray::from(vec![value; call.rows])))
}

/// A pattern over whole texts. It is written in this file and tested, so it compiles.
fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

/// As in Java, characters beyond the basic plane are neither digits nor letters.
static DIGITS: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^[\p{Nd}&&[\x{0}-\x{FFFF}]]+$"));
static LETTERS: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^[\p{L}&&[\x{0}-\x{FFFF}]]+$"));
static WHOLE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^[+-]?([\p{Nd}&&[\x{0}-\x{FFFF}]]+)$"));
/// What `Double.parseDouble` takes.
static DOUBLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?x)^[+-]?( NaN | Infinity
        | ([0-9]+\.?[0-9]* | \.[0-9]+) ([eE][+-]?[0-9]+)? [fFdD]?
        | 0[xX] ([0-9a-fA-F]+\.? | [0-9a-fA-F]*\.[0-9a-fA-F]+) [pP][+-]?[0-9]+ [fFdD]? )$",
    )
});

fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

fn run_texts(call: &Call<'_>, test: impl Fn(&str) -> bool) -> Planned<ArrayRef> {
    let text = call.array(0)?;
    let text = text.as_string::<i32>();
    rows::boolean(call.rows, &[], |row| Ok(Some(text.is_valid(row) && test(text.value(row)))))
}

fn run_kind(call: &Call<'_>, pattern: &LazyLock<Option<Regex>>) -> Planned<ArrayRef> {
    run_texts(call, |text| matches(pattern, text))
}

/// What Java reads as a number: digits of any script within 64 bits, or a floating-point number of ASCII.
fn run_decimal(call: &Call<'_>) -> Planned<ArrayRef> {
    run_texts(call, |text| {
        let trimmed = text.trim_matches(|found| found <= ' ');
        matches(&DOUBLE, trimmed) || matches(&WHOLE, text) && fits(text)
    })
}

/// Whether digits of any script stay within 64 bits.
fn fits(text: &str) -> bool {
    let negative = text.starts_with('-');
    let digits = text.chars().filter(|found| !matches!(found, '+' | '-'));
    let value = digits.map(|digit| i128::from(digit_value(digit))).try_fold(0_i128, |value, digit| {
        value.checked_mul(10).and_then(|value| value.checked_add(digit)).filter(|value| *value <= 1 << 64)
    });
    value.is_some_and(|value| i64::try_from(if negative { -value } else { value }).is_ok())
}

/// Digits of a script stand in a row of ten that begins at a multiple of their own; nearly all at 0 or 6 of sixteen.
fn digit_value(digit: char) -> u32 {
    let mut zero = u32::from(digit);
    let is_digit =
        |code: u32| char::from_u32(code).is_some_and(|found| matches(&DIGITS, found.encode_utf8(&mut [0; 4])));
    let mut value = 0;
    while value < 9 && zero > 0 && is_digit(zero - 1) {
        zero -= 1;
        value += 1;
    }
    value
}
