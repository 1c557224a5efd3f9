//! Parts of texts, padding, repetition, concatenation.
//!
//! SUBSTRING, LEFT and RIGHT count code points; OVERLAY, LPAD and RPAD count UTF-16 units, as Flink does: a character
//! beyond the basic plane counts twice, and half of one is shown as `?`.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::common::Result as Planned;
use headwater_change::Result;

use crate::functions::arguments::{Takes, called, nullable, taken, type_of};
use crate::functions::kernel::Call;
use crate::functions::{Bind, concat, refused, rows};
use crate::typed::{Context, Typed};
use crate::types::{STRING, SqlType, character_length};

pub(super) const ALL: &[(&str, Bind)] = &[
    ("substring", |context, args| substring(context, "SUBSTRING", args)),
    ("substr", |context, args| substring(context, "SUBSTR", args)),
    ("left", |context, args| end(context, "LEFT", args, run_left)),
    ("right", |context, args| end(context, "RIGHT", args, run_right)),
    ("overlay", overlay),
    ("lpad", |context, args| pad(context, "LPAD", args, run_lpad)),
    ("rpad", |context, args| pad(context, "RPAD", args, run_rpad)),
    ("repeat", repeat),
    ("reverse", reverse),
    ("concat", concat_all),
    ("concat_ws", concat_separated),
    ("elt", elt),
];

/// As long as the text, but not padded.
pub(super) fn varying(sql_type: &SqlType) -> SqlType {
    SqlType::VarChar(character_length(sql_type))
}

fn substring(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Text, Takes::Int, Takes::Int], 2)?;
    let result = varying(&type_of(&args, 0));
    called(context, name, args, result, true, run_substring)
}

/// The byte where character `index` begins, or the end.
fn place(text: &str, index: usize) -> usize {
    if text.is_ascii() {
        return index.min(text.len());
    }
    text.char_indices().nth(index).map_or(text.len(), |(at, _)| at)
}

fn characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// `length` characters from `start`, which counts from 1, or from the end if negative; 0 means 1. NULL for a negative
/// length, nothing for a start outside.
fn part(text: &str, start: i32, length: Option<i32>) -> Option<&str> {
    let length = match length {
        Some(length) => usize::try_from(length).ok()?,
        None => usize::MAX,
    };
    let from = match start {
        1.. => usize::try_from(start).unwrap_or(0) - 1,
        0 => 0,
        _ => match characters(text).checked_sub(usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX)) {
            Some(from) => from,
            None => return Some(""),
        },
    };
    let rest = text.get(place(text, from)..).unwrap_or("");
    Some(rest.get(..place(rest, length)).unwrap_or(rest))
}

fn run_substring(call: &Call<'_>) -> Planned<ArrayRef> {
    let (text, start) = (call.array(0)?, call.array(1)?);
    let (text, start) = (text.as_string::<i32>(), start.as_primitive::<Int32Type>());
    let length = if call.len() > 2 { Some(call.array(2)?) } else { None };
    let length = length.as_ref().map(|length| length.as_primitive::<Int32Type>());
    let mut columns: Vec<&dyn Array> = vec![text, start];
    columns.extend(length.map(|length| length as &dyn Array));
    rows::text(call.rows, &columns, |row, out| {
        let found = part(text.value(row), start.value(row), length.map(|length| length.value(row)));
        out.push_str(found.unwrap_or(""));
        Ok(found.is_some())
    })
}

fn end(context: Context<'_>, name: &str, args: Vec<Typed>, run: fn(&Call<'_>) -> Planned<ArrayRef>) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Text, Takes::Int], 2)?;
    let result = varying(&type_of(&args, 0));
    called(context, name, args, result, true, run)
}

fn run_left(call: &Call<'_>) -> Planned<ArrayRef> {
    let (text, count) = (call.array(0)?, call.array(1)?);
    let (text, count) = (text.as_string::<i32>(), count.as_primitive::<Int32Type>());
    rows::text(call.rows, &[text, count], |row, out| {
        let text = text.value(row);
        let count = usize::try_from(count.value(row)).unwrap_or(0);
        out.push_str(text.get(..place(text, count)).unwrap_or(text));
        Ok(true)
    })
}

fn run_right(call: &Call<'_>) -> Planned<ArrayRef> {
    let (text, count) = (call.array(0)?, call.array(1)?);
    let (text, count) = (text.as_string::<i32>(), count.as_primitive::<Int32Type>());
    rows::text(call.rows, &[text, count], |row, out| {
        let text = text.value(row);
        let count = usize::try_from(count.value(row)).unwrap_or(0);
        out.push_str(text.get(place(text, characters(text).saturating_sub(count))..).unwrap_or(""));
        Ok(true)
    })
}

/// `OVERLAY(text PLACING other FROM start [FOR length])`.
fn overlay(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let takes = [Takes::Text, Takes::Text, Takes::Whole, Takes::Whole];
    let args = taken(context, "OVERLAY", args, &takes, 3)?;
    let length = |index| character_length(&type_of(&args, index));
    let result = SqlType::VarChar(length(0).saturating_add(length(1)).min(crate::types::UNBOUNDED));
    let nullable = nullable(&args);
    called(context, "OVERLAY", args, result, nullable, run_overlay)
}

/// Appends UTF-16 units; half a character becomes `?`, as in Java.
fn push_units(units: &[u16], out: &mut String) {
    out.extend(char::decode_utf16(units.iter().copied()).map(|found| found.unwrap_or('?')));
}

fn run_overlay(call: &Call<'_>) -> Planned<ArrayRef> {
    let (text, other, start) = (call.array(0)?, call.array(1)?, call.array(2)?);
    let (text, other) = (text.as_string::<i32>(), other.as_string::<i32>());
    let start = start.as_primitive::<Int64Type>();
    let length = if call.len() > 3 { Some(call.array(3)?) } else { None };
    let length = length.as_ref().map(|length| length.as_primitive::<Int64Type>());
    let mut columns: Vec<&dyn Array> = vec![text, other, start];
    columns.extend(length.map(|length| length as &dyn Array));
    let mut units: Vec<u16> = Vec::new();
    let mut joined: Vec<u16> = Vec::new();
    rows::text(call.rows, &columns, |row, out| {
        let (text, other) = (text.value(row), other.value(row));
        units.clear();
        units.extend(text.encode_utf16());
        let start = match usize::try_from(start.value(row)) {
            Ok(start) if start >= 1 && start <= units.len() => start,
            _ => {
                out.push_str(text);
                return Ok(true);
            }
        };
        joined.clear();
        joined.extend(units.iter().take(start - 1));
        joined.extend(other.encode_utf16());
        // Java's cast to int cuts the length off at 32 bits.
        let length =
            length.map_or(joined.len() - (start - 1), |length| usize::try_from(length.value(row) as i32).unwrap_or(0));
        if i32::try_from(start + length).is_err() {
            return datafusion::common::exec_err!("OVERLAY at {start} of {length} characters goes beyond INT");
        }
        if length > 0 && start + length <= units.len() {
            joined.extend(units.iter().skip(start - 1 + length));
        }
        push_units(&joined, out);
        Ok(true)
    })
}

fn pad(context: Context<'_>, name: &str, args: Vec<Typed>, run: fn(&Call<'_>) -> Planned<ArrayRef>) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Text, Takes::Int, Takes::Text], 3)?;
    let nullable = nullable(&args);
    called(context, name, args, STRING, nullable, run)
}

fn run_lpad(call: &Call<'_>) -> Planned<ArrayRef> {
    run_pad(call, true)
}

fn run_rpad(call: &Call<'_>) -> Planned<ArrayRef> {
    run_pad(call, false)
}

/// Longest text that padding and repetition make: what Flink could not hold is an error, not an exhausted machine.
const LONGEST: usize = 256 * 1024 * 1024;

fn too_long(name: &str) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::Execution(format!("{name} would make a text of more than 256 MiB"))
}

/// Padded, or cut, to a length; NULL for a negative length or nothing to pad with.
fn run_pad(call: &Call<'_>, left: bool) -> Planned<ArrayRef> {
    let (text, length, pad) = (call.array(0)?, call.array(1)?, call.array(2)?);
    let (text, length, pad) = (text.as_string::<i32>(), length.as_primitive::<Int32Type>(), pad.as_string::<i32>());
    let (mut units, mut filler, mut joined) = (Vec::<u16>::new(), Vec::<u16>::new(), Vec::<u16>::new());
    rows::text(call.rows, &[text, length, pad], |row, out| {
        let Ok(length) = usize::try_from(length.value(row)) else { return Ok(false) };
        if pad.value(row).is_empty() {
            return Ok(false);
        }
        if length > LONGEST {
            return Err(too_long(if left { "LPAD" } else { "RPAD" }));
        }
        units.clear();
        units.extend(text.value(row).encode_utf16().take(length));
        filler.clear();
        filler.extend(pad.value(row).encode_utf16());
        joined.clear();
        let missing = filler.iter().cycle().take(length - units.len());
        if left {
            joined.extend(missing);
            joined.extend(&units);
        } else {
            joined.extend(&units);
            joined.extend(missing);
        }
        push_units(&joined, out);
        Ok(true)
    })
}

fn repeat(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "REPEAT", args, &[Takes::Text, Takes::Int], 2)?;
    let nullable = nullable(&args);
    called(context, "REPEAT", args, STRING, nullable, |call| {
        let (text, count) = (call.array(0)?, call.array(1)?);
        let (text, count) = (text.as_string::<i32>(), count.as_primitive::<Int32Type>());
        rows::text(call.rows, &[text, count], |row, out| {
            let (text, count) = (text.value(row), usize::try_from(count.value(row)).unwrap_or(0));
            if text.len().saturating_mul(count) > LONGEST {
                return Err(too_long("REPEAT"));
            }
            (0..if text.is_empty() { 0 } else { count }).for_each(|_| out.push_str(text));
            Ok(true)
        })
    })
}

fn reverse(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "REVERSE", args, &[Takes::Text], 1)?;
    called(context, "REVERSE", args, STRING, true, |call| {
        let text = call.array(0)?;
        let text = text.as_string::<i32>();
        rows::text(call.rows, &[text], |row, out| {
            out.extend(text.value(row).chars().rev());
            Ok(true)
        })
    })
}

/// `CONCAT(a, …)`: NULL if any is.
fn concat_all(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let takes = vec![Takes::Text; args.len().max(1)];
    let args = taken(context, "CONCAT", args, &takes, 1)?;
    let nullable = nullable(&args);
    called(context, "CONCAT", args, STRING, nullable, concat::run_text)
}

/// `CONCAT_WS(separator, a, …)`: NULLs are left out; NULL only for a separator that is.
fn concat_separated(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let takes = vec![Takes::Text; args.len().max(2)];
    let args = taken(context, "CONCAT_WS", args, &takes, 2)?;
    let nullable = nullable(&args);
    called(context, "CONCAT_WS", args, STRING, nullable, |call| {
        let columns = (0..call.len()).map(|index| call.array(index)).collect::<Planned<Vec<_>>>()?;
        let columns: Vec<_> = columns.iter().map(|column| column.as_string::<i32>()).collect();
        let Some((separator, parts)) = columns.split_first() else { return datafusion::common::exec_err!("CONCAT_WS") };
        rows::text(call.rows, &[*separator], |row, out| {
            let mut first = true;
            for part in parts.iter().filter(|part| part.is_valid(row)) {
                if !std::mem::take(&mut first) {
                    out.push_str(separator.value(row));
                }
                out.push_str(part.value(row));
            }
            Ok(true)
        })
    })
}

/// `ELT(index, a, b, …)`: the text at an index from 1; NULL where there is none.
fn elt(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let mut takes = vec![Takes::Text; args.len().max(2)];
    takes[0] = Takes::Whole;
    let args = taken(context, "ELT", args, &takes, 2)?;
    let common = crate::types::common_type(args.iter().skip(1).map(|arg| &arg.sql_type));
    let common = common.ok_or_else(|| refused("ELT", &args))?;
    called(context, "ELT", args, common, true, |call| {
        let index = call.array(0)?;
        let index = index.as_primitive::<Int64Type>();
        let columns = (1..call.len()).map(|index| call.array(index)).collect::<Planned<Vec<_>>>()?;
        let columns: Vec<_> = columns.iter().map(|column| column.as_string::<i32>()).collect();
        rows::text(call.rows, &[index], |row, out| {
            let place = usize::try_from(index.value(row)).ok().and_then(|index| index.checked_sub(1));
            match place.and_then(|place| columns.get(place)).filter(|column| column.is_valid(row)) {
                Some(column) => out.push_str(column.value(row)),
                None => return Ok(false),
            }
            Ok(true)
        })
    })
}
