//! Base64, hexadecimal, binary digits, charsets.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use datafusion::common::{DataFusionError, Result as Planned, ScalarValue, exec_err};
use datafusion::logical_expr::Expr;
use headwater_change::{Error, Result};

use super::digest::content;
use crate::functions::arguments::{Takes, called, nullable, taken};
use crate::functions::kernel::{Call, Run};
use crate::functions::{Bind, rows};
use crate::typed::{Context, Typed};
use crate::types::{STRING, SqlType, UNBOUNDED};

pub(super) const ALL: &[(&str, Bind)] = &[
    ("to_base64", to_base64),
    ("from_base64", from_base64),
    ("hex", hex),
    ("bin", bin),
    ("unhex", unhex),
    ("encode", |context, args| charset(context, "ENCODE", args, Takes::Text, BYTES, run_encode)),
    ("decode", |context, args| charset(context, "DECODE", args, Takes::Bytes, STRING, run_decode)),
];

const BYTES: SqlType = SqlType::VarBinary(UNBOUNDED);

/// As `java.util.Base64`: padding may be left out, nothing else may stand between.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn to_base64(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "TO_BASE64", args, &[Takes::TextOrBytes], 1)?;
    let nullable = nullable(&args);
    called(context, "TO_BASE64", args, STRING, nullable, |call| {
        let value = call.array(0)?;
        rows::text(call.rows, &[value.as_ref()], |row, out| {
            ENGINE.encode_string(content(&value, row), out);
            Ok(true)
        })
    })
}

/// A text. What is not base64, or not UTF-8 behind it, is an error: a text cannot hold other bytes.
fn from_base64(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "FROM_BASE64", args, &[Takes::TextOrBytes], 1)?;
    let nullable = nullable(&args);
    called(context, "FROM_BASE64", args, STRING, nullable, |call| {
        let value = call.array(0)?;
        let mut bytes = Vec::new();
        rows::text(call.rows, &[value.as_ref()], |row, out| {
            bytes.clear();
            let text = content(&value, row);
            // Padding may be missing, but not in half.
            let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
            if padding > 0 && !text.len().is_multiple_of(4) {
                return exec_err!("FROM_BASE64: the value is not base64: its padding is not whole");
            }
            if let Err(error) = ENGINE.decode_vec(text, &mut bytes) {
                return exec_err!("FROM_BASE64: the value is not base64: {error}");
            }
            match str::from_utf8(&bytes) {
                Ok(text) => out.push_str(text),
                Err(_) => return exec_err!("FROM_BASE64: the bytes are no text in UTF-8"),
            }
            Ok(true)
        })
    })
}

/// `HEX(integer)`: of 64 bits without leading zeros. `HEX(text)`: of its UTF-8. Capital letters.
fn hex(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let text = args.first().is_some_and(|arg| arg.sql_type.is_text());
    let args = taken(context, "HEX", args, &[if text { Takes::Text } else { Takes::Whole }], 1)?;
    let nullable = nullable(&args);
    let run: Run = if text { run_hex_text } else { |call| number(call, |value| format!("{value:X}")) };
    called(context, "HEX", args, STRING, nullable, run)
}

fn run_hex_text(call: &Call<'_>) -> Planned<ArrayRef> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let text = call.array(0)?;
    let text = text.as_string::<i32>();
    rows::text(call.rows, &[text], |row, out| {
        for byte in text.value(row).bytes() {
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        Ok(true)
    })
}

/// `BIN(integer)`: the binary digits of 64 bits without leading zeros.
fn bin(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "BIN", args, &[Takes::Whole], 1)?;
    let nullable = nullable(&args);
    called(context, "BIN", args, STRING, nullable, |call| number(call, |value| format!("{value:b}")))
}

fn number(call: &Call<'_>, shown: fn(i64) -> String) -> Planned<ArrayRef> {
    let value = call.array(0)?;
    let value = value.as_primitive::<Int64Type>();
    rows::text(call.rows, &[value], |row, out| {
        out.push_str(&shown(value.value(row)));
        Ok(true)
    })
}

/// `UNHEX(text)`: NULL where it is not hexadecimal. Of an odd number of digits the first is discarded and a zero byte stands
/// in its place.
fn unhex(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "UNHEX", args, &[Takes::TextOrNull], 1)?;
    called(context, "UNHEX", args, BYTES, true, |call| {
        let text = call.array(0)?;
        let text = text.as_string::<i32>();
        rows::bytes(call.rows, &[text], |row, out| {
            let mut digits = text.value(row).as_bytes();
            if digits.len() % 2 == 1 {
                if !digits.first().is_some_and(u8::is_ascii_hexdigit) {
                    return Ok(false);
                }
                // Flink looks at the digit, and does not use it.
                out.push(0);
                digits = digits.get(1..).unwrap_or(&[]);
            }
            let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            for pair in digits.chunks_exact(2) {
                match (pair.first().copied().and_then(value), pair.last().copied().and_then(value)) {
                    (Some(high), Some(low)) => out.push(high << 4 | low),
                    _ => return Ok(false),
                }
            }
            Ok(true)
        })
    })
}

/// The charsets that Java knows on every machine.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    /// With a mark of the byte order in front.
    Utf16,
    Utf16Be,
    Utf16Le,
}

impl Charset {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Self::Utf8,
            "US-ASCII" | "ASCII" => Self::Ascii,
            "ISO-8859-1" | "ISO8859_1" | "LATIN1" => Self::Latin1,
            "UTF-16" | "UTF16" => Self::Utf16,
            "UTF-16BE" => Self::Utf16Be,
            "UTF-16LE" => Self::Utf16Le,
            _ => return None,
        })
    }

    /// What it has no character for becomes `?`.
    fn encode(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Ascii => out.extend(text.chars().map(|found| if found.is_ascii() { found as u8 } else { b'?' })),
            Self::Latin1 => out.extend(text.chars().map(|found| u8::try_from(found).unwrap_or(b'?'))),
            Self::Utf16 if text.is_empty() => {}
            Self::Utf16 => {
                out.extend([0xfe, 0xff]);
                out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            }
            Self::Utf16Be => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Self::Utf16Le => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
        }
    }

    /// What is malformed becomes U+FFFD.
    fn decode(self, bytes: &[u8], out: &mut String) {
        match self {
            Self::Utf8 => lossy(bytes, out),
            Self::Ascii => {
                let shown = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { char::REPLACEMENT_CHARACTER };
                out.extend(bytes.iter().map(shown));
            }
            Self::Latin1 => out.extend(bytes.iter().map(|byte| char::from(*byte))),
            Self::Utf16 => match bytes {
                [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes, out),
                [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes, out),
                rest => units(rest, u16::from_be_bytes, out),
            },
            Self::Utf16Be => units(bytes, u16::from_be_bytes, out),
            Self::Utf16Le => units(bytes, u16::from_le_bytes, out),
        }
    }
}

/// Text in UTF-8, U+FFFD for each run of bytes that is malformed by Java's count: an encoded surrogate is one.
fn lossy(bytes: &[u8], out: &mut String) {
    let mut rest = bytes;
    loop {
        let valid = match str::from_utf8(rest) {
            Ok(text) => return out.push_str(text),
            Err(error) => error,
        };
        let (text, behind) = rest.split_at_checked(valid.valid_up_to()).unwrap_or((rest, &[]));
        out.push_str(&String::from_utf8_lossy(text));
        out.push(char::REPLACEMENT_CHARACTER);
        let length = match behind {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
            [0xed, 0xa0..=0xbf, ..] => 2,
            _ => valid.error_len().unwrap_or(behind.len()),
        };
        rest = behind.get(length..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
    }
}

fn units(bytes: &[u8], unit: fn([u8; 2]) -> u16, out: &mut String) {
    let pairs = bytes.chunks_exact(2);
    let torn = !pairs.remainder().is_empty();
    let units = pairs.filter_map(|pair| <[u8; 2]>::try_from(pair).ok()).map(unit);
    let mut units = units.peekable();
    while let Some(first) = units.next() {
        match (first, units.peek().copied()) {
            (0xd800..=0xdbff, Some(second)) => {
                units.next();
                // A first half is malformed together with what follows.
                let found = char::decode_utf16([first, second]).next().and_then(std::result::Result::ok);
                out.push(found.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => out.push(char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }
    if torn {
        out.push(char::REPLACEMENT_CHARACTER);
    }
}

const CHARSETS: &str = "UTF-8, US-ASCII, ISO-8859-1, UTF-16, UTF-16BE and UTF-16LE";

/// `ENCODE(text, charset)` and `DECODE(bytes, charset)`.
fn charset(
    context: Context<'_>,
    name: &str,
    args: Vec<Typed>,
    takes: Takes,
    result: SqlType,
    run: Run,
) -> Result<Typed> {
    let args = taken(context, name, args, &[takes, Takes::Text], 2)?;
    if let Some(Expr::Literal(ScalarValue::Utf8(Some(charset)), _)) = args.get(1).map(|charset| &charset.expr)
        && Charset::named(charset).is_none()
    {
        return Err(Error::usage("sql.charset", format!("{name} does not know the charset '{charset}'"))
            .hint(format!("it knows {CHARSETS}")));
    }
    let nullable = nullable(&args);
    called(context, name, args, result, nullable, run)
}

fn charset_of(name: &str) -> Planned<Charset> {
    Charset::named(name)
        .ok_or_else(|| DataFusionError::Execution(format!("the charset '{name}' is not one of {CHARSETS}")))
}

fn run_encode(call: &Call<'_>) -> Planned<ArrayRef> {
    let (text, charset) = (call.array(0)?, call.array(1)?);
    let (text, charset) = (text.as_string::<i32>(), charset.as_string::<i32>());
    rows::bytes(call.rows, &[text, charset], |row, out| {
        charset_of(charset.value(row))?.encode(text.value(row), out);
        Ok(true)
    })
}

fn run_decode(call: &Call<'_>) -> Planned<ArrayRef> {
    let (bytes, charset) = (call.array(0)?, call.array(1)?);
    let (bytes, charset) = (bytes.as_binary::<i32>(), charset.as_string::<i32>());
    rows::text(call.rows, &[bytes, charset], |row, out| {
        charset_of(charset.value(row))?.decode(bytes.value(row), out);
        Ok(true)
    })
}
