//! Functions of text and bytes.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::common::Result as Planned;
use headwater_change::Result;
use md5::Digest;

use super::{BOOL, BYTES, Def, Gives, INT, LONG, TEXT, Takes, common, def, refused, rows};
use crate::functions::kernel::Row;
use crate::functions::value::{Value, item_type};
use crate::functions::{Bind, arity};
use crate::spark::operators::failed;
use crate::spark::text as shown;
use crate::spark::types::BINARY;
use crate::typed::{Context, Typed};
use crate::types::{STRING, SqlType};

pub(super) const OWN: &[(&str, Bind)] = &[
    ("concat", concat),
    ("$||", concat),
    ("concat_ws", concat_ws),
    ("encode", |context, args| charset(context, "encode", args)),
    ("format_string", format_string),
    ("printf", format_string),
    ("elt", elt),
];

const T: &[Takes] = &[Takes::Text];
const TT: &[Takes] = &[Takes::Text, Takes::Text];
const TTT: &[Takes] = &[Takes::Text, Takes::Text, Takes::Text];
const TI: &[Takes] = &[Takes::Text, Takes::Int];

/// Text or bytes, as the first argument is.
const SLICE: Gives = Gives::By(|types| types.first().map(|first| if first.is_bytes() { BINARY } else { STRING }));

macro_rules! text {
    ($name:literal, $takes:expr, $run:expr) => {
        def($name, $takes, TEXT, $run)
    };
}

pub(super) const ROWS: &[Def] = &[
    text!("upper", T, |row| Ok(Value::Text(row.text(0).to_uppercase()))),
    text!("ucase", T, |row| Ok(Value::Text(row.text(0).to_uppercase()))),
    text!("lower", T, |row| Ok(Value::Text(row.text(0).to_lowercase()))),
    text!("lcase", T, |row| Ok(Value::Text(row.text(0).to_lowercase()))),
    def("length", &[Takes::TextOrBytes], INT, length),
    def("len", &[Takes::TextOrBytes], INT, length),
    def("char_length", &[Takes::TextOrBytes], INT, length),
    def("character_length", &[Takes::TextOrBytes], INT, length),
    def("octet_length", &[Takes::TextOrBytes], INT, |row| Ok(size(row.value(0).bytes().len()))),
    def("bit_length", &[Takes::TextOrBytes], INT, |row| Ok(size(row.value(0).bytes().len() * 8))),
    def("substring", &[Takes::TextOrBytes, Takes::Int, Takes::Int], SLICE, substring).least(2),
    def("substr", &[Takes::TextOrBytes, Takes::Int, Takes::Int], SLICE, substring).least(2),
    text!("left", TI, |row| Ok(Value::Text(take(row.text(0), row.int(1)).to_owned()))),
    text!("right", TI, |row| {
        let letters = count(row.text(0));
        let skipped = if row.int(1) <= 0 { letters } else { (letters - row.int(1)).max(0) };
        Ok(Value::Text(skip(row.text(0), skipped).to_owned()))
    }),
    def("instr", TT, INT, |row| Ok(Value::Int(find(row.text(0), row.text(1), 1)))),
    def("locate", &[Takes::Text, Takes::Text, Takes::Int], INT, |row| {
        let from = if row.values.len() > 2 { row.int(2) } else { 1 };
        Ok(Value::Int(if from <= 0 { 0 } else { find(row.text(1), row.text(0), from) }))
    })
    .least(2),
    def("position", &[Takes::Text, Takes::Text, Takes::Int], INT, |row| {
        let from = if row.values.len() > 2 { row.int(2) } else { 1 };
        Ok(Value::Int(if from <= 0 { 0 } else { find(row.text(1), row.text(0), from) }))
    })
    .least(2),
    def("ascii", T, INT, |row| {
        Ok(Value::Int(row.text(0).chars().next().map_or(0, |letter| i64::from(u32::from(letter)))))
    }),
    text!("chr", &[Takes::Long], letter),
    text!("char", &[Takes::Long], letter),
    text!("space", &[Takes::Int], |row| repeat(" ", row.int(0))),
    text!("repeat", TI, |row| repeat(row.text(0), row.int(1))),
    text!("replace", TTT, |row| {
        let (text, search) = (row.text(0), row.text(1));
        let by = if row.values.len() > 2 { row.text(2) } else { "" };
        Ok(Value::Text(if search.is_empty() { text.to_owned() } else { text.replace(search, by) }))
    })
    .least(2),
    text!("translate", TTT, |row| {
        let (from, to): (Vec<char>, Vec<char>) = (row.text(1).chars().collect(), row.text(2).chars().collect());
        let translated =
            row.text(0).chars().filter_map(|letter| match from.iter().position(|found| *found == letter) {
                Some(at) => to.get(at).copied(),
                None => Some(letter),
            });
        Ok(Value::Text(translated.collect()))
    }),
    text!("initcap", T, |row| {
        let mut out = String::with_capacity(row.text(0).len());
        let mut begins = true;
        for letter in row.text(0).to_lowercase().chars() {
            if begins {
                out.extend(letter.to_uppercase());
            } else {
                out.push(letter);
            }
            begins = letter == ' ';
        }
        Ok(Value::Text(out))
    }),
    text!("trim", TT, |row| Ok(Value::Text(trimmed(row, true, true)))).least(1),
    text!("btrim", TT, |row| {
        let set = if row.values.len() > 1 { row.text(1) } else { " " };
        Ok(Value::Text(trim(row.text(0), set, true, true).to_owned()))
    })
    .least(1),
    text!("ltrim", TT, |row| Ok(Value::Text(trimmed(row, true, false)))).least(1),
    text!("rtrim", TT, |row| Ok(Value::Text(trimmed(row, false, true)))).least(1),
    text!("$trim", TTT, |row| {
        let side = row.text(0);
        Ok(Value::Text(trim(row.text(1), row.text(2), side != "TRAILING", side != "LEADING").to_owned()))
    }),
    text!("lpad", &[Takes::Text, Takes::Int, Takes::Text], |row| Ok(Value::Text(padded(row, true)))).least(2),
    text!("rpad", &[Takes::Text, Takes::Int, Takes::Text], |row| Ok(Value::Text(padded(row, false)))).least(2),
    text!("substring_index", &[Takes::Text, Takes::Text, Takes::Int], |row| {
        Ok(Value::Text(substring_index(row.text(0), row.text(1), row.int(2)).to_owned()))
    }),
    text!("split_part", &[Takes::Text, Takes::Text, Takes::Int], |row| {
        let (text, by, at) = (row.text(0), row.text(1), row.int(2));
        if at == 0 {
            return Err(failed("sql.argument", "SPLIT_PART of part 0", "parts count from 1, or from -1 at the end"));
        }
        let parts: Vec<&str> = if by.is_empty() { vec![text] } else { text.split(by).collect() };
        let index = if at > 0 { at - 1 } else { i64::try_from(parts.len()).unwrap_or(0) + at };
        let part = usize::try_from(index).ok().and_then(|index| parts.get(index)).copied().unwrap_or_default();
        Ok(part.into())
    }),
    def("find_in_set", TT, INT, |row| {
        let (wanted, list) = (row.text(0), row.text(1));
        let at = if wanted.contains(',') { None } else { list.split(',').position(|part| part == wanted) };
        Ok(size(at.map_or(0, |at| at + 1)))
    }),
    def("$overlay", &[Takes::Text, Takes::Text, Takes::Int, Takes::Int], TEXT, overlay).least(3),
    def("overlay", &[Takes::Text, Takes::Text, Takes::Int, Takes::Int], TEXT, overlay).least(3),
    def("startswith", TT, BOOL, |row| Ok(Value::Bool(row.text(0).starts_with(row.text(1))))),
    def("endswith", TT, BOOL, |row| Ok(Value::Bool(row.text(0).ends_with(row.text(1))))),
    def("contains", TT, BOOL, |row| Ok(Value::Bool(row.text(0).contains(row.text(1))))),
    def("levenshtein", TT, INT, |row| Ok(Value::Int(levenshtein(row.text(0), row.text(1))))),
    text!("soundex", T, |row| Ok(Value::Text(soundex(row.text(0))))),
    text!("base64", &[Takes::Bytes], |row| Ok(Value::Text(STANDARD.encode(row.value(0).bytes())))),
    def("unbase64", T, BYTES, |row| {
        let plain: String = row.text(0).chars().filter(|letter| !letter.is_whitespace()).collect();
        STANDARD
            .decode(plain)
            .map(Value::Bytes)
            .map_err(|_| failed("sql.base64", format!("'{}' is no base64", row.text(0)), "filter what cannot be read"))
    }),
    text!("hex", &[Takes::Any], |row| match row.value(0) {
        Value::Int(number) => Ok(Value::Text(format!("{number:X}"))),
        Value::Decimal(_) | Value::Float(_) => Err(failed("sql.argument", "HEX of a fraction", "CAST it to BIGINT")),
        other => {
            let mut out = String::new();
            for byte in other.bytes() {
                let _ = write!(out, "{byte:02X}");
            }
            Ok(Value::Text(out))
        }
    }),
    def("unhex", T, BYTES, |row| {
        let text = row.text(0);
        let text = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
        let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
        Ok(bytes.collect::<Option<Vec<u8>>>().map_or(Value::Null, Value::Bytes))
    }),
    text!("md5", &[Takes::Bytes], |row| Ok(Value::Text(hexed(&md5::Md5::digest(row.value(0).bytes()))))),
    text!("sha", &[Takes::Bytes], |row| Ok(Value::Text(hexed(&sha1::Sha1::digest(row.value(0).bytes()))))),
    text!("sha1", &[Takes::Bytes], |row| Ok(Value::Text(hexed(&sha1::Sha1::digest(row.value(0).bytes()))))),
    text!("sha2", &[Takes::Bytes, Takes::Int], |row| {
        let bytes = row.value(0).bytes();
        Ok(match row.int(1) {
            224 => Value::Text(hexed(&sha2::Sha224::digest(bytes))),
            0 | 256 => Value::Text(hexed(&sha2::Sha256::digest(bytes))),
            384 => Value::Text(hexed(&sha2::Sha384::digest(bytes))),
            512 => Value::Text(hexed(&sha2::Sha512::digest(bytes))),
            _ => Value::Null,
        })
    }),
    def("crc32", &[Takes::Bytes], LONG, |row| Ok(Value::Int(i64::from(crc32(row.value(0).bytes()))))),
    text!("format_number", &[Takes::Number, Takes::Int], format_number),
    text!("url_encode", T, |row| {
        let mut out = String::new();
        for byte in row.text(0).bytes() {
            match byte {
                b' ' => out.push('+'),
                b if b.is_ascii_alphanumeric() || b".-*_".contains(&b) => out.push(char::from(b)),
                b => drop(write!(out, "%{b:02X}")),
            }
        }
        Ok(Value::Text(out))
    }),
    text!("url_decode", T, |row| {
        let wrong = || failed("sql.url", format!("'{}' is no encoded text", row.text(0)), "filter what cannot be read");
        let source = row.text(0).as_bytes();
        let (mut out, mut at) = (Vec::new(), 0);
        while let Some(byte) = source.get(at) {
            at += 1;
            out.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = row.text(0).get(at..at + 2).ok_or_else(wrong)?;
                    at += 2;
                    u8::from_str_radix(digits, 16).map_err(|_| wrong())?
                }
                other => *other,
            });
        }
        String::from_utf8(out).map(Value::Text).map_err(|_| wrong())
    }),
    text!("mask", &[Takes::Text, Takes::Text, Takes::Text, Takes::Text, Takes::Text], |row| {
        let by = |index: usize, usual: Option<char>| match row.values.get(index) {
            None => usual,
            Some(given) => given.text().chars().next(),
        };
        let (upper, lower, digit, other) = (by(1, Some('X')), by(2, Some('x')), by(3, Some('n')), by(4, None));
        let masked = row.text(0).chars().map(|letter| {
            let by = match letter {
                letter if letter.is_uppercase() => upper,
                letter if letter.is_lowercase() => lower,
                letter if letter.is_numeric() => digit,
                _ => other,
            };
            by.unwrap_or(letter)
        });
        Ok(Value::Text(masked.collect()))
    })
    .least(1)
    .nulls(),
    def("luhn_check", T, BOOL, |row| {
        let digits: Option<Vec<u32>> = row.text(0).chars().map(|letter| letter.to_digit(10)).collect();
        let Some(digits) = digits.filter(|digits| !digits.is_empty()) else { return Ok(Value::Bool(false)) };
        let sum: u32 = digits
            .iter()
            .rev()
            .enumerate()
            .map(|(at, digit)| match at % 2 {
                0 => *digit,
                _ => digit * 2 / 10 + digit * 2 % 10,
            })
            .sum();
        Ok(Value::Bool(sum.is_multiple_of(10)))
    }),
    text!("quote", T, |row| Ok(Value::Text(format!("'{}'", row.text(0).replace('\'', "\\'"))))),
    def(
        "reverse",
        &[Takes::Any],
        Gives::By(|types| match types.first()? {
            list if item_type(list).is_some() => Some(list.clone()),
            SqlType::Other(_) => None,
            _ => Some(STRING),
        }),
        |row| {
            Ok(match row.value(0) {
                Value::List(items) => Value::List(items.iter().rev().cloned().collect()),
                other => Value::Text(shown::of(other, row.type_of(0), row.zone).chars().rev().collect()),
            })
        },
    ),
];

fn size(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn count(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

fn length(row: &Row<'_>) -> Planned<Value> {
    Ok(match row.value(0) {
        Value::Bytes(bytes) => size(bytes.len()),
        other => Value::Int(count(other.text())),
    })
}

/// The first letters.
fn take(text: &str, letters: i64) -> &str {
    let Ok(letters) = usize::try_from(letters) else { return "" };
    text.char_indices().nth(letters).map_or(text, |(end, _)| text.get(..end).unwrap_or_default())
}

/// Without the first letters.
fn skip(text: &str, letters: i64) -> &str {
    let Ok(letters) = usize::try_from(letters) else { return text };
    text.char_indices().nth(letters).map_or("", |(start, _)| text.get(start..).unwrap_or_default())
}

/// Begins at `position`, from 1, or from the end where it is negative.
fn substring(row: &Row<'_>) -> Planned<Value> {
    let position = row.int(1);
    let total = match row.value(0) {
        Value::Bytes(bytes) => i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        other => count(other.text()),
    };
    let start = match position {
        1.. => position - 1,
        0 => 0,
        _ => total + position,
    };
    let end = if row.values.len() > 2 { start.saturating_add(row.int(2)) } else { i64::MAX };
    let (start, end) = (start.clamp(0, total), end.clamp(0, total));
    Ok(match row.value(0) {
        Value::Bytes(bytes) => {
            let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end.max(start)).unwrap_or(0);
            Value::Bytes(bytes.get(range).unwrap_or_default().to_vec())
        }
        other => Value::Text(take(skip(other.text(), start), (end - start).max(0)).to_owned()),
    })
}

/// Place of a text in another from a letter on, both from 1; 0 where it is not.
fn find(text: &str, wanted: &str, from: i64) -> i64 {
    if from - 1 > count(text) {
        return 0;
    }
    let rest = skip(text, from - 1);
    match rest.find(wanted) {
        Some(at) => count(rest.get(..at).unwrap_or_default()) + from,
        None => 0,
    }
}

fn letter(row: &Row<'_>) -> Planned<Value> {
    let number = row.int(0);
    if number < 0 {
        return Ok("".into());
    }
    let letter = u8::try_from(number & 0xff).map_or('\0', char::from);
    Ok(Value::Text(letter.to_string()))
}

fn repeat(text: &str, times: i64) -> Planned<Value> {
    const LENGTH_MAX: usize = 1 << 30;
    let times = usize::try_from(times).unwrap_or(0);
    if text.len().saturating_mul(times) > LENGTH_MAX {
        return Err(failed("sql.length", "a text of more than a gigabyte", "repeat it fewer times"));
    }
    Ok(Value::Text(text.repeat(times)))
}

fn trim<'a>(text: &'a str, set: &str, start: bool, end: bool) -> &'a str {
    let text = if start { text.trim_start_matches(|letter| set.contains(letter)) } else { text };
    if end { text.trim_end_matches(|letter| set.contains(letter)) } else { text }
}

/// `LTRIM(characters, text)`: what is trimmed comes first.
fn trimmed(row: &Row<'_>, start: bool, end: bool) -> String {
    match row.values {
        [text] => trim(text.text(), " ", start, end).to_owned(),
        _ => trim(row.text(1), row.text(0), start, end).to_owned(),
    }
}

fn padded(row: &Row<'_>, left: bool) -> String {
    let (text, wanted) = (row.text(0), row.int(1));
    let pad: Vec<char> = if row.values.len() > 2 { row.text(2).chars().collect() } else { vec![' '] };
    let missing = wanted - count(text);
    if missing <= 0 || pad.is_empty() {
        return take(text, wanted).to_owned();
    }
    let filling: String = pad.iter().cycle().take(usize::try_from(missing).unwrap_or(0)).collect();
    if left { filling + text } else { text.to_owned() + &filling }
}

fn substring_index<'a>(text: &'a str, by: &str, times: i64) -> &'a str {
    if by.is_empty() || times == 0 {
        return "";
    }
    let wanted = usize::try_from(times.unsigned_abs()).unwrap_or(usize::MAX);
    if times > 0 {
        text.match_indices(by).nth(wanted - 1).map_or(text, |(at, _)| text.get(..at).unwrap_or_default())
    } else {
        let found = text.rmatch_indices(by).nth(wanted - 1);
        found.map_or(text, |(at, found)| text.get(at + found.len()..).unwrap_or_default())
    }
}

fn overlay(row: &Row<'_>) -> Planned<Value> {
    let (text, by, at) = (row.text(0), row.text(1), row.int(2));
    let length = if row.values.len() > 3 && row.int(3) >= 0 { row.int(3) } else { count(by) };
    Ok(Value::Text(format!("{}{by}{}", take(text, at - 1), skip(text, at + length - 1))))
}

fn levenshtein(a: &str, b: &str) -> i64 {
    let b: Vec<char> = b.chars().collect();
    let mut costs: Vec<i64> = (0..=i64::try_from(b.len()).unwrap_or(0)).collect();
    for (row, letter) in a.chars().enumerate() {
        let mut diagonal = i64::try_from(row).unwrap_or(0);
        if let Some(first) = costs.first_mut() {
            *first = diagonal + 1;
        }
        for (column, other) in b.iter().enumerate() {
            let above = costs.get(column + 1).copied().unwrap_or(0);
            let before = costs.get(column).copied().unwrap_or(0);
            let replaced = diagonal + i64::from(letter != *other);
            if let Some(cost) = costs.get_mut(column + 1) {
                *cost = replaced.min(above + 1).min(before + 1);
            }
            diagonal = above;
        }
    }
    costs.last().copied().unwrap_or(0)
}

fn soundex(text: &str) -> String {
    const CODES: &[u8; 26] = b"01230127022455012623017202";
    let Some(first) = text.chars().next().filter(char::is_ascii_alphabetic) else { return text.to_owned() };
    let code = |letter: char| {
        let at = usize::try_from(u32::from(letter.to_ascii_uppercase()) - u32::from('A')).unwrap_or(0);
        CODES.get(at).copied().unwrap_or(b'0')
    };
    let mut out = String::from(first.to_ascii_uppercase());
    let mut last = code(first);
    for letter in text.chars().skip(1).filter(char::is_ascii_alphabetic) {
        let found = code(letter);
        match found {
            // H and W do not part equal codes.
            b'7' => {}
            b'0' => last = found,
            _ if found == last => {}
            _ => {
                out.push(char::from(found));
                last = found;
                if out.len() == 4 {
                    break;
                }
            }
        }
    }
    format!("{out:0<4}")
}

fn hexed(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// `1,234.50`: half even, as Java's DecimalFormat.
fn format_number(row: &Row<'_>) -> Planned<Value> {
    let Ok(places) = u8::try_from(row.int(1)) else { return Ok(Value::Null) };
    let text = shown::of(row.value(0), row.type_of(0), row.zone);
    let text = match row.value(0) {
        Value::Float(number) if number.is_finite() => format!("{number}"),
        Value::Float(_) => return Ok(Value::Text(text)),
        _ => text,
    };
    let (negative, body) = text.strip_prefix('-').map_or((false, text.as_str()), |rest| (true, rest));
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let scale = fraction.len();
    let Ok(unscaled) = format!("{whole}{fraction}").parse::<i128>() else { return Ok(Value::Null) };
    let places = usize::from(places);
    let found = if places >= scale {
        unscaled.checked_mul(10_i128.checked_pow(u32::try_from(places - scale).unwrap_or(40)).unwrap_or(i128::MAX))
    } else {
        10_i128.checked_pow(u32::try_from(scale - places).unwrap_or(40)).map(|divisor| {
            let (quotient, rest) = (unscaled / divisor, unscaled % divisor);
            let up = rest * 2 > divisor || rest * 2 == divisor && quotient % 2 == 1;
            quotient + i128::from(up)
        })
    };
    let Some(found) = found else { return Ok(Value::Null) };
    let digits = format!("{found:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let mut out = String::new();
    if negative && found != 0 {
        out.push('-');
    }
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if places > 0 {
        out.push('.');
        out.push_str(fraction);
    }
    Ok(Value::Text(out))
}

/// Texts, bytes or arrays, one behind the other.
fn concat(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if !args.is_empty() && args.iter().all(|arg| arg.sql_type.is_bytes()) {
        return rows(context, "concat", args, BINARY, false, |row| {
            Ok(Value::Bytes(row.values.iter().flat_map(|value| value.bytes().to_vec()).collect()))
        });
    }
    if args.iter().any(|arg| item_type(&arg.sql_type).is_some()) {
        let (args, list) = common(context, "concat", args)?;
        return rows(context, "concat", args, list, false, |row| {
            Ok(Value::List(row.values.iter().flat_map(|value| value.list().to_vec()).collect()))
        });
    }
    let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
    let texts =
        args.into_iter().map(|arg| super::taken(context, arg, Takes::Text)).collect::<Result<Option<Vec<_>>>>()?;
    let texts = texts.ok_or_else(|| refused("concat", &types))?;
    rows(context, "concat", texts, STRING, false, |row| {
        Ok(Value::Text(row.values.iter().map(Value::text).collect::<Vec<_>>().concat()))
    })
}

/// Texts and those of arrays with a separator between; NULLs are left out.
fn concat_ws(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.is_empty() {
        return Err(arity("CONCAT_WS", "a separator and texts"));
    }
    let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
    let text = |arg: Typed| match item_type(&arg.sql_type) {
        Some(item) if item.is_text() => Ok(Some(arg)),
        Some(_) => Ok(None),
        None => super::taken(context, arg, Takes::Text),
    };
    let args = args.into_iter().map(text).collect::<Result<Option<Vec<_>>>>()?;
    let args = args.ok_or_else(|| refused("concat_ws", &types))?;
    rows(context, "concat_ws", args, STRING, true, |row| {
        if row.value(0).is_null() {
            return Ok(Value::Null);
        }
        let mut parts: Vec<&str> = Vec::new();
        for value in row.values.iter().skip(1) {
            match value {
                Value::Text(text) => parts.push(text),
                Value::List(items) => parts.extend(items.iter().filter(|item| !item.is_null()).map(Value::text)),
                _ => {}
            }
        }
        Ok(Value::Text(parts.join(row.text(0))))
    })
}

/// The text of a constant, in upper case.
fn constant(arg: &Typed) -> Option<String> {
    match &arg.expr {
        datafusion::logical_expr::Expr::Literal(datafusion::common::ScalarValue::Utf8(Some(text)), _) => {
            Some(text.to_ascii_uppercase())
        }
        _ => None,
    }
}

/// `ENCODE(text, charset)` and `DECODE(bytes, charset)`, for UTF-8 and ASCII alone.
fn charset(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    let [value, charset] = <[Typed; 2]>::try_from(args).map_err(|_| arity(&name.to_uppercase(), "two arguments"))?;
    let types = [value.sql_type.clone(), charset.sql_type.clone()];
    match constant(&charset).as_deref() {
        Some("UTF-8" | "UTF8") => {}
        _ => {
            return Err(headwater_change::Error::usage(
                "sql.unsupported",
                format!("{} of another character set than UTF-8 is not supported", name.to_uppercase()),
            ));
        }
    }
    let takes = if name == "encode" { Takes::Text } else { Takes::Bytes };
    let value = super::taken(context, value, takes)?.ok_or_else(|| refused(name, &types))?;
    let result = if name == "encode" { BINARY } else { STRING };
    crate::spark::cast::cast(context, value, &result, false)
}

pub(super) fn decode(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    charset(context, "decode", args)
}

fn format_string(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.is_empty() {
        return Err(arity("FORMAT_STRING", "a pattern and values"));
    }
    rows(context, "format_string", args, STRING, true, |row| {
        if row.value(0).is_null() {
            return Ok(Value::Null);
        }
        formatted(row)
    })
}

/// Java's `String.format`, for `%s %d %x %X %c %b %f %e %%` with flags `-`, `0`, `+`, `,`, width and precision.
fn formatted(row: &Row<'_>) -> Planned<Value> {
    let wrong =
        |what: &str| failed("sql.format", format!("the format '{}': {what}", row.text(0)), "%s takes everything");
    let mut out = String::new();
    let mut letters = row.text(0).chars().peekable();
    let mut next = 1;
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = letters.next_if(|letter| "-0+, #(".contains(*letter)) {
            flags.push(flag);
        }
        let mut width = String::new();
        while let Some(digit) = letters.next_if(char::is_ascii_digit) {
            width.push(digit);
        }
        if letters.next_if_eq(&'$').is_some() {
            next = width.parse().unwrap_or(1);
            width.clear();
            while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                width.push(digit);
            }
        }
        let mut precision = None;
        if letters.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            precision = digits.parse::<usize>().ok();
        }
        let Some(kind) = letters.next() else { return Err(wrong("it ends behind %")) };
        if flags.contains(['#', '(', ' ']) {
            return Err(wrong("a flag that is not supported"));
        }
        let text = match kind {
            '%' => "%".to_owned(),
            'n' => "\n".to_owned(),
            kind => {
                if next >= row.values.len() {
                    return Err(wrong("there are fewer values"));
                }
                let found = one_formatted(row, next, kind, &flags, precision)
                    .ok_or_else(|| wrong("a value of another type"))?;
                next += 1;
                found
            }
        };
        let width: usize = width.parse().unwrap_or(0);
        let missing = width.saturating_sub(text.chars().count());
        if flags.contains('-') {
            out.push_str(&text);
            out.extend((0..missing).map(|_| ' '));
        } else if flags.contains('0') && kind != 's' {
            let (sign, digits) = text
                .strip_prefix(['-', '+'])
                .map_or(("", text.as_str()), |rest| (text.get(..1).unwrap_or_default(), rest));
            out.push_str(sign);
            out.extend((0..missing).map(|_| '0'));
            out.push_str(digits);
        } else {
            out.extend((0..missing).map(|_| ' '));
            out.push_str(&text);
        }
    }
    Ok(Value::Text(out))
}

fn one_formatted(row: &Row<'_>, index: usize, kind: char, flags: &str, precision: Option<usize>) -> Option<String> {
    let value = row.value(index);
    if value.is_null() {
        return Some("null".to_owned());
    }
    let grouped = |digits: String| -> String {
        if !flags.contains(',') {
            return digits;
        }
        let (whole, fraction) = digits.split_once('.').map_or((digits.as_str(), None), |(a, b)| (a, Some(b)));
        let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |rest| ("-", rest));
        let mut out = sign.to_owned();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at) % 3 == 0 {
                out.push(',');
            }
            out.push(digit);
        }
        if let Some(fraction) = fraction {
            out.push('.');
            out.push_str(fraction);
        }
        out
    };
    let signed = |text: String| if flags.contains('+') && !text.starts_with('-') { format!("+{text}") } else { text };
    Some(match (kind, value) {
        ('s' | 'S', value) => {
            let text = shown::of(value, row.type_of(index), row.zone);
            let text = precision
                .map_or(text.as_str(), |letters| take(&text, i64::try_from(letters).unwrap_or(i64::MAX)))
                .to_owned();
            if kind == 'S' { text.to_uppercase() } else { text }
        }
        ('d', Value::Int(number)) if row.type_of(index).is_integer() => signed(grouped(number.to_string())),
        ('x', Value::Int(number)) if *row.type_of(index) == SqlType::BigInt => format!("{number:x}"),
        ('X', Value::Int(number)) if *row.type_of(index) == SqlType::BigInt => format!("{number:X}"),
        ('x', Value::Int(number)) => format!("{:x}", *number as i32),
        ('X', Value::Int(number)) => format!("{:X}", *number as i32),
        ('o', Value::Int(number)) => format!("{number:o}"),
        ('c', Value::Int(number)) => u32::try_from(*number).ok().and_then(char::from_u32)?.to_string(),
        ('b', value) => matches!(value, Value::Bool(true)).to_string(),
        ('f', Value::Float(number)) => {
            // Java rounds the shortest digits half up.
            let places = precision.unwrap_or(6);
            let text = format!("{number}");
            let digits = crate::functions::cast::read::decimal(&text, (38, u8::try_from(places).ok()?)).flatten()?;
            signed(grouped(shown::of(
                &Value::Decimal(digits),
                &SqlType::Decimal(38, u8::try_from(places).ok()?),
                row.zone,
            )))
        }
        ('f', Value::Decimal(_)) => {
            let places = u8::try_from(precision.unwrap_or(6)).ok()?;
            let text = shown::of(value, row.type_of(index), row.zone);
            let digits = crate::functions::cast::read::decimal(&text, (38, places)).flatten()?;
            signed(grouped(shown::of(&Value::Decimal(digits), &SqlType::Decimal(38, places), row.zone)))
        }
        _ => return None,
    })
}

/// The text of a number, from 1.
fn elt(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.len() < 2 {
        return Err(arity("ELT", "a number and texts"));
    }
    let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
    let taken = args
        .into_iter()
        .enumerate()
        .map(|(index, arg)| super::taken(context, arg, if index == 0 { Takes::Int } else { Takes::TextOrBytes }));
    let args = taken.collect::<Result<Option<Vec<_>>>>()?.ok_or_else(|| refused("elt", &types))?;
    rows(context, "elt", args, STRING, true, |row| {
        if row.value(0).is_null() {
            return Ok(Value::Null);
        }
        let index = usize::try_from(row.int(0)).ok().filter(|index| *index > 0 && *index < row.values.len());
        match index {
            Some(index) => Ok(row.value(index).clone()),
            None if row.ansi => Err(failed("sql.argument", format!("ELT of {}", row.int(0)), "texts count from 1")),
            None => Ok(Value::Null),
        }
    })
}
