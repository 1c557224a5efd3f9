//! MySQL's binary JSON as the text that MySQL prints: `{"a": 1, "b": [true, null]}`.
//!
//! The format: a type byte, then a value. Objects and arrays start with count and size (2 or 4 bytes each), then key
//! entries (offset and 2 bytes of length), then value entries (type and offset, or the value itself where it is small);
//! offsets count from the start of the object or array.

use std::fmt::Write;

use super::cell::Cell;
use super::{decimal, temporal};
use crate::bytes::{Bytes, Short};

/// Deeper documents cannot be: MySQL refuses more than 100 levels.
const DEPTH_LIMIT: u32 = 128;

/// Appends the text of `document`.
pub(crate) fn print(document: &[u8], out: &mut String) -> Result<(), Short> {
    // An empty value is what a failed INSERT IGNORE leaves; MySQL reads it as null.
    let Some((kind, data)) = document.split_first() else {
        out.push_str("null");
        return Ok(());
    };
    value(*kind, data, out, 0)
}

fn value(kind: u8, data: &[u8], out: &mut String, depth: u32) -> Result<(), Short> {
    if depth > DEPTH_LIMIT {
        return Err(Short);
    }
    let mut bytes = Bytes::new(data);
    match kind {
        0x00 => object(data, 2, out, depth)?,
        0x01 => object(data, 4, out, depth)?,
        0x02 => array(data, 2, out, depth)?,
        0x03 => array(data, 4, out, depth)?,
        0x04 => out.push_str(match bytes.byte()? {
            0 => "null",
            1 => "true",
            2 => "false",
            _ => return Err(Short),
        }),
        0x05 => number(out, i64::from(bytes.little(2)? as u16 as i16)),
        0x06 => number(out, bytes.little(2)?),
        0x07 => number(out, i64::from(bytes.little(4)? as u32 as i32)),
        0x08 => number(out, bytes.little(4)?),
        0x09 => number(out, bytes.little(8)?.cast_signed()),
        0x0a => number(out, bytes.little(8)?),
        0x0b => double(f64::from_bits(bytes.little(8)?), out),
        0x0c => {
            let length = variable_length(&mut bytes)?;
            string(bytes.take(length)?, out)?;
        }
        0x0f => {
            let kind = bytes.byte()?;
            let length = variable_length(&mut bytes)?;
            opaque(kind, bytes.take(length)?, out)?;
        }
        _ => return Err(Short),
    }
    Ok(())
}

fn number(out: &mut String, number: impl std::fmt::Display) {
    let _ = write!(out, "{number}");
}

/// A length in groups of seven bits, low group first.
fn variable_length(bytes: &mut Bytes<'_>) -> Result<usize, Short> {
    let mut length = 0_usize;
    for shift in (0..35).step_by(7) {
        let byte = bytes.byte()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(Short)
}

fn size(bytes: &mut Bytes<'_>, width: usize) -> Result<usize, Short> {
    usize::try_from(bytes.little(width)?).map_err(|_| Short)
}

fn object(data: &[u8], width: usize, out: &mut String, depth: u32) -> Result<(), Short> {
    let mut header = Bytes::new(data);
    let count = size(&mut header, width)?;
    let data = data.get(..size(&mut header, width)?).ok_or(Short)?;
    let mut values = header.clone();
    values.take(count.checked_mul(width + 2).ok_or(Short)?)?;
    out.push('{');
    for index in 0..count {
        let offset = size(&mut header, width)?;
        let length = size(&mut header, 2)?;
        if index > 0 {
            out.push_str(", ");
        }
        string(data.get(offset..).and_then(|rest| rest.get(..length)).ok_or(Short)?, out)?;
        out.push_str(": ");
        entry(&mut values, data, width, out, depth)?;
    }
    out.push('}');
    Ok(())
}

fn array(data: &[u8], width: usize, out: &mut String, depth: u32) -> Result<(), Short> {
    let mut header = Bytes::new(data);
    let count = size(&mut header, width)?;
    let data = data.get(..size(&mut header, width)?).ok_or(Short)?;
    out.push('[');
    for index in 0..count {
        if index > 0 {
            out.push_str(", ");
        }
        entry(&mut header, data, width, out, depth)?;
    }
    out.push(']');
    Ok(())
}

/// A value entry: literals and numbers that fit are in the entry itself.
fn entry(entries: &mut Bytes<'_>, data: &[u8], width: usize, out: &mut String, depth: u32) -> Result<(), Short> {
    let kind = entries.byte()?;
    let field = entries.take(width)?;
    let inline = matches!(kind, 0x04..=0x06) || width == 4 && matches!(kind, 0x07 | 0x08);
    if inline {
        return value(kind, field, out, depth + 1);
    }
    let offset = size(&mut Bytes::new(field), width)?;
    // A value always lies behind the header; one at 0 would contain itself.
    if offset == 0 {
        return Err(Short);
    }
    value(kind, data.get(offset..).ok_or(Short)?, out, depth + 1)
}

/// A string with the escapes that MySQL writes.
fn string(bytes: &[u8], out: &mut String) -> Result<(), Short> {
    let text = std::str::from_utf8(bytes).map_err(|_| Short)?;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(())
}

/// The shortest digits that give the number back; an exponent outside 10^-15..10^15; `.0` behind whole numbers.
fn double(number: f64, out: &mut String) {
    let scientific = format!("{number:e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if (-15..15).contains(&exponent) || number == 0.0 {
        let _ = write!(out, "{number}");
        if number.fract() == 0.0 {
            out.push_str(".0");
        }
    } else {
        out.push_str(&scientific);
    }
}

/// A value that JSON has no type for, by its protocol type.
fn opaque(kind: u8, data: &[u8], out: &mut String) -> Result<(), Short> {
    match kind {
        246 => {
            let mut bytes = Bytes::new(data);
            let (precision, scale) = (bytes.byte()?, bytes.byte()?);
            let width = decimal::width(precision, scale).ok_or(Short)?;
            decimal::print_wide(bytes.take(width)?, precision, scale, out);
        }
        7 | 10 | 11 | 12 => {
            let packed = Bytes::new(data).little(8)?.cast_signed();
            out.push('"');
            temporal_value(kind, packed, out);
            out.push('"');
        }
        kind => {
            let _ = write!(out, "\"base64:type{kind}:");
            base64(data, out);
            out.push('"');
        }
    }
    Ok(())
}

/// DATE, TIME, DATETIME and TIMESTAMP are packed as in row images, with 24 bits of fraction.
fn temporal_value(kind: u8, packed: i64, out: &mut String) {
    let absolute = packed.unsigned_abs();
    let (clock, micros) = (absolute >> 24, (absolute & 0xff_ffff).cast_signed());
    let seconds = |clock: u64| ((clock >> 12) * 3_600 + (clock >> 6 & 63) * 60 + (clock & 63)).cast_signed();
    if kind == 11 {
        return temporal::print_time(packed.signum() * (seconds(clock & 0x3f_ffff) * 1_000_000 + micros), 6, out);
    }
    let (day, clock) = (clock >> 17, clock & 0x1_ffff);
    temporal::Date::new((day >> 5) / 13, (day >> 5) % 13, day & 31).print(out);
    if kind != 10 {
        out.push(' ');
        temporal::print_time(seconds(clock) * 1_000_000 + micros, 6, out);
    }
}

fn base64(data: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in data.chunks(3) {
        let bits = crate::bytes::big(chunk) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * index) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if index > chunk.len() { '=' } else { char::from(digit) });
        }
    }
}

/// The text of a JSON cell, for tests and fuzzing; `None` where the bytes are no document.
pub fn to_text(cell: &Cell<'_>) -> Option<String> {
    let Cell::Json(document) = cell else { return None };
    let mut out = String::new();
    print(document, &mut out).ok().map(|()| out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(document: &[u8]) -> Option<String> {
        to_text(&Cell::Json(document))
    }

    #[test]
    fn a_small_object_is_printed_as_mysql_does() {
        // {"a": 1}: one member, 12 bytes; key at 11, length 1; value 1 as an inlined INT16.
        let document = [0x00, 1, 0, 12, 0, 11, 0, 1, 0, 0x05, 1, 0, b'a'];
        assert_eq!(text(&document).as_deref(), Some("{\"a\": 1}"));
        assert_eq!(text(&document[..8]), None);
    }

    #[test]
    fn doubles_have_mysqls_digits() {
        for (number, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e14, "100000000000000.0"),
            (1e15, "1e15"),
            (1.5e-20, "1.5e-20"),
            (123_456_789.125, "123456789.125"),
            (1e-15, "0.000000000000001"),
        ] {
            let mut out = String::new();
            double(number, &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn base64_is_padded() {
        for (data, expected) in [(&b"a"[..], "YQ=="), (b"ab", "YWI="), (b"abc", "YWJj")] {
            let mut out = String::new();
            base64(data, &mut out);
            assert_eq!(out, expected);
        }
    }
}
