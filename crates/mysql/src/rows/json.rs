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
    Printer { out, left: document.len() }.value(*kind, data, 0)
}

/// A document on its way into a text.
struct Printer<'o> {
    out: &'o mut String,
    /// Bytes of the document that were not used yet. No two values of a sound document share bytes; without this, a damaged
    /// one of a kilobyte could be printed as a gigabyte.
    left: usize,
}

fn size(bytes: &mut Bytes<'_>, width: usize) -> Result<usize, Short> {
    usize::try_from(bytes.little(width)?).map_err(|_| Short)
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

impl Printer<'_> {
    fn spend(&mut self, bytes: usize) -> Result<(), Short> {
        self.left = self.left.checked_sub(bytes).ok_or(Short)?;
        Ok(())
    }

    fn number(&mut self, number: impl std::fmt::Display) {
        let _ = write!(self.out, "{number}");
    }

    fn value(&mut self, kind: u8, data: &[u8], depth: u32) -> Result<(), Short> {
        if depth > DEPTH_LIMIT {
            return Err(Short);
        }
        self.spend(1)?;
        let mut bytes = Bytes::new(data);
        match kind {
            0x00 => self.object(data, 2, depth)?,
            0x01 => self.object(data, 4, depth)?,
            0x02 => self.array(data, 2, depth)?,
            0x03 => self.array(data, 4, depth)?,
            0x04 => self.out.push_str(match bytes.byte()? {
                0 => "null",
                1 => "true",
                2 => "false",
                _ => return Err(Short),
            }),
            0x05 => self.number(i64::from(bytes.little(2)? as u16 as i16)),
            0x06 => self.number(bytes.little(2)?),
            0x07 => self.number(i64::from(bytes.little(4)? as u32 as i32)),
            0x08 => self.number(bytes.little(4)?),
            0x09 => self.number(bytes.little(8)?.cast_signed()),
            0x0a => self.number(bytes.little(8)?),
            0x0b => match f64::from_bits(bytes.little(8)?) {
                number if number.is_finite() => double(number, self.out),
                // JSON has no word for it, and no server writes it.
                _ => return Err(Short),
            },
            0x0c => {
                let length = variable_length(&mut bytes)?;
                self.string(bytes.take(length)?)?;
            }
            0x0f => {
                let kind = bytes.byte()?;
                let length = variable_length(&mut bytes)?;
                self.spend(length)?;
                opaque(kind, bytes.take(length)?, self.out)?;
            }
            _ => return Err(Short),
        }
        Ok(())
    }

    fn object(&mut self, data: &[u8], width: usize, depth: u32) -> Result<(), Short> {
        let mut header = Bytes::new(data);
        let count = size(&mut header, width)?;
        let data = data.get(..size(&mut header, width)?).ok_or(Short)?;
        let mut values = header.clone();
        values.take(count.checked_mul(width + 2).ok_or(Short)?)?;
        self.out.push('{');
        for index in 0..count {
            let offset = size(&mut header, width)?;
            let length = size(&mut header, 2)?;
            if index > 0 {
                self.out.push_str(", ");
            }
            self.string(data.get(offset..).and_then(|rest| rest.get(..length)).ok_or(Short)?)?;
            self.out.push_str(": ");
            self.entry(&mut values, data, width, depth)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn array(&mut self, data: &[u8], width: usize, depth: u32) -> Result<(), Short> {
        let mut header = Bytes::new(data);
        let count = size(&mut header, width)?;
        let data = data.get(..size(&mut header, width)?).ok_or(Short)?;
        self.out.push('[');
        for index in 0..count {
            if index > 0 {
                self.out.push_str(", ");
            }
            self.entry(&mut header, data, width, depth)?;
        }
        self.out.push(']');
        Ok(())
    }

    /// A value entry: literals and numbers that fit are in the entry itself.
    fn entry(&mut self, entries: &mut Bytes<'_>, data: &[u8], width: usize, depth: u32) -> Result<(), Short> {
        let kind = entries.byte()?;
        let field = entries.take(width)?;
        let inline = matches!(kind, 0x04..=0x06) || width == 4 && matches!(kind, 0x07 | 0x08);
        if inline {
            return self.value(kind, field, depth + 1);
        }
        let offset = size(&mut Bytes::new(field), width)?;
        // A value always lies behind the header; one at 0 would contain itself.
        if offset == 0 {
            return Err(Short);
        }
        self.value(kind, data.get(offset..).ok_or(Short)?, depth + 1)
    }

    /// A string with the escapes that MySQL writes.
    fn string(&mut self, bytes: &[u8]) -> Result<(), Short> {
        self.spend(bytes.len())?;
        let text = std::str::from_utf8(bytes).map_err(|_| Short)?;
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                c if u32::from(c) < 0x20 => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
        Ok(())
    }
}

/// The shortest digits that give the number back. An exponent outside 10^-15..10^15, except where it would be longer: at
/// 17 digits and 10^15. Whole numbers end in `.0`.
fn double(number: f64, out: &mut String) {
    let scientific = shortest(number);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    if number == 0.0 || !((-15..15).contains(&exponent) || exponent == 15 && count > 16) {
        out.push_str(if number == 0.0 { if number.is_sign_negative() { "-0.0" } else { "0.0" } } else { &scientific });
        return;
    }
    if let Some(rest) = digits.strip_prefix('-') {
        out.push('-');
        plain(rest, exponent, out);
    } else {
        plain(digits, exponent, out);
    }
}

/// `d.ddd` times ten to the exponent without an exponent.
fn plain(digits: &str, exponent: i32, out: &mut String) {
    let digits = digits.replace('.', "");
    let Ok(before) = usize::try_from(exponent + 1) else {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', usize::try_from(-exponent - 1).unwrap_or(0)));
        out.push_str(&digits);
        return;
    };
    match digits.split_at_checked(before) {
        Some(("", all)) => {
            out.push_str("0.");
            out.push_str(all);
        }
        Some((whole, fraction)) => {
            out.push_str(whole);
            out.push('.');
            out.push_str(if fraction.is_empty() { "0" } else { fraction });
        }
        None => {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', before - digits.len()));
            out.push_str(".0");
        }
    }
}

/// The shortest digits with an exponent. Where two of the same length are equally near, the server takes the even one and
/// the standard library the higher one.
fn shortest(number: f64) -> String {
    let higher = format!("{number:e}");
    let Some((digits, exponent)) = higher.split_once('e') else { return higher };
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    let odd = digits.bytes().last().is_some_and(|digit| digit.is_ascii_digit() && digit % 2 == 1);
    // A tie is a number whose exact digits are one more, a 5; 767 are the most that a double has.
    if count < 15 || !odd || !format!("{number:.count$e}").contains("5e") {
        return higher;
    }
    let exact = format!("{number:.767e}");
    let exact = exact.split_once('e').map_or("", |(digits, _)| digits.trim_end_matches('0'));
    let lower = exact.strip_suffix('5').filter(|lower| lower.bytes().filter(u8::is_ascii_digit).count() == count);
    match lower.map(|lower| format!("{lower}e{exponent}")) {
        Some(lower) if lower.parse() == Ok(number) => lower,
        _ => higher,
    }
}

/// A value that JSON has no type for, by its protocol type.
fn opaque(kind: u8, data: &[u8], out: &mut String) -> Result<(), Short> {
    match kind {
        246 => {
            let mut bytes = Bytes::new(data);
            let (precision, scale) = (bytes.byte()?, bytes.byte()?);
            let width = decimal::width(precision, scale).ok_or(Short)?;
            decimal::print_wide(bytes.take(width)?, precision, scale, out)?;
        }
        7 | 10 | 11 | 12 => {
            let packed = Bytes::new(data).little(8)?.cast_signed();
            out.push('"');
            temporal_value(kind, packed, out)?;
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
fn temporal_value(kind: u8, packed: i64, out: &mut String) -> Result<(), Short> {
    let absolute = packed.unsigned_abs();
    let (clock, micros) = (absolute >> 24, temporal::micros(absolute & 0xff_ffff)?);
    if kind == 11 {
        let seconds = temporal::clock(clock & 0x3f_ffff, 838)?;
        temporal::print_time(packed.signum() * (seconds * 1_000_000 + micros), 6, out);
        return Ok(());
    }
    let (day, clock) = (clock >> 17, clock & 0x1_ffff);
    temporal::packed_day(day)?.print(out);
    if kind != 10 {
        out.push(' ');
        temporal::print_time(temporal::clock(clock, 23)? * 1_000_000 + micros, 6, out);
    }
    Ok(())
}

/// Lines of 76 characters, as the server's encoder cuts them; within the text of a document the newline is escaped.
fn base64(data: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (nth, chunk) in data.chunks(3).enumerate() {
        if nth > 0 && nth % 19 == 0 {
            out.push_str("\\n");
        }
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
            (1_700_000_000_123_456.8, "1700000000123456.8"),
            (-1_700_000_000_123_456.8, "-1700000000123456.8"),
            (1_700_000_000_123_456.0, "1.700000000123456e15"),
            (1e16, "1e16"),
            (5_431_484_509_959_501.0 / 4.0, "1357871127489875.2"),
            (5_431_484_509_959_503.0 / 4.0, "1357871127489875.8"),
            (9.5, "9.5"),
            (0.05, "0.05"),
            (-0.5, "-0.5"),
            (123_000.0, "123000.0"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (1e-15, "0.000000000000001"),
        ] {
            let mut out = String::new();
            double(number, &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn what_is_no_number_is_damage() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let document: Vec<u8> = [0x0b].into_iter().chain(number.to_le_bytes()).collect();
            assert_eq!(text(&document), None);
        }
    }

    #[test]
    fn a_document_that_contains_its_parts_many_times_is_damaged() {
        // Arrays in arrays, each of whose ten elements is the same next one.
        let mut document = vec![0x02];
        for _ in 0..30 {
            let header = 4 + 10 * 3_u16;
            document.extend([10, 0, 0xff, 0x07]);
            for _ in 0..10 {
                document.push(0x02);
                document.extend(header.to_le_bytes());
            }
        }
        document.resize(3_000, 0);
        assert_eq!(text(&document), None);
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
