//! [`Cell`]: one value between its bytes and its Arrow builder. It borrows; nothing is allocated for it.

use super::charset::{Charset, Coding};
use super::{decimal, temporal};
use crate::bytes::{Bytes, Short};
use crate::schema::{Kind, Wire, code};

/// A value as it came, from a row image or from the binary protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// A signed number, or a year.
    Int(i64),
    /// An unsigned number.
    UInt(u64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// A DECIMAL as unscaled number and scale.
    Decimal(i128, u8),
    /// A DECIMAL with more digits than a 128-bit number has, in the image of the row: bytes, precision, scale.
    WideDecimal(&'a [u8], u8, u8),
    /// Text in UTF-8, to be validated.
    Utf8(&'a [u8]),
    /// Text in another character set, and whether spaces that fill it are to go.
    Coded(&'a [u8], &'static Coding, bool),
    /// Bytes.
    Bytes(&'a [u8]),
    /// MySQL's binary JSON.
    Json(&'a [u8]),
    /// Members of a SET as bits, the first member lowest.
    Set(u64),
    /// Member of an ENUM, counted from 1; 0 is the empty text of a wrong value.
    Enum(u64),
    /// BIT, high byte first.
    Bits(&'a [u8]),
    /// A day; zero parts are possible.
    Date(temporal::Date),
    /// Microseconds, negative before midnight.
    Time(i64),
    /// A wall time; zero parts are possible.
    DateTime(temporal::Date, i64),
    /// Seconds since 1970 and microseconds; second 0 is the zero date.
    Instant(i64, u32),
}

fn signed(value: u64, bytes: u32) -> i64 {
    let shift = 64 - bytes * 8;
    (value << shift).cast_signed() >> shift
}

/// Length of a value in the row image, where `bytes` starts with it.
fn width(wire: Wire, bytes: &mut Bytes<'_>) -> Result<usize, Short> {
    let fraction = usize::from(wire.meta.div_ceil(2));
    let meta = usize::from(wire.meta);
    Ok(match wire.code {
        code::TINY | code::YEAR => 1,
        code::SHORT => 2,
        code::INT24 | code::DATE | code::TIME => 3,
        code::LONG | code::FLOAT | code::TIMESTAMP => 4,
        code::LONGLONG | code::DOUBLE | code::DATETIME => 8,
        code::TIMESTAMP2 => 4 + fraction,
        code::DATETIME2 => 5 + fraction,
        code::TIME2 => 3 + fraction,
        code::NEWDECIMAL => decimal::width((wire.meta >> 8) as u8, (wire.meta & 0xff) as u8).ok_or(Short)?,
        code::ENUM | code::SET if (1..=8).contains(&meta) => meta,
        code::BIT => usize::from(wire.meta >> 8) + usize::from(wire.meta & 0xff != 0),
        code::VARCHAR | code::VAR_STRING | code::STRING => {
            usize::try_from(bytes.little(if wire.meta > 255 { 2 } else { 1 })?).map_err(|_| Short)?
        }
        // MariaDB's compressed columns lie like the others.
        code::VARCHAR_COMPRESSED => {
            usize::try_from(bytes.little(if meta > 255 { 2 } else { 1 })?).map_err(|_| Short)?
        }
        code::BLOB | code::BLOB_COMPRESSED | code::JSON | code::GEOMETRY | code::VECTOR if (1..=4).contains(&meta) => {
            usize::try_from(bytes.little(meta)?).map_err(|_| Short)?
        }
        _ => return Err(Short),
    })
}

/// Steps over a value.
pub(crate) fn skip(wire: Wire, bytes: &mut Bytes<'_>) -> Result<(), Short> {
    let width = width(wire, bytes)?;
    bytes.take(width).map(|_| ())
}

/// Reads a value.
pub(crate) fn read<'a>(wire: Wire, kind: &Kind, bytes: &mut Bytes<'a>) -> Result<Cell<'a>, Short> {
    let width = width(wire, bytes)?;
    let raw = bytes.take(width)?;
    let mut value = Bytes::new(raw);
    Ok(match kind {
        Kind::Int { unsigned: true, .. } => Cell::UInt(value.little(width)?),
        Kind::Int { .. } => Cell::Int(signed(value.little(width)?, u32::try_from(width.clamp(1, 8)).unwrap_or(8))),
        Kind::Decimal(precision, scale) => match decimal::read(raw, *precision, *scale)? {
            Some(number) => Cell::Decimal(number, *scale),
            None => Cell::WideDecimal(raw, *precision, *scale),
        },
        Kind::Float => Cell::Float(f32::from_le_bytes(raw.try_into().map_err(|_| Short)?)),
        Kind::Double => Cell::Double(f64::from_le_bytes(raw.try_into().map_err(|_| Short)?)),
        Kind::Text(Charset::Coded(coding)) => Cell::Coded(raw, coding, wire.code == code::STRING),
        Kind::Text(Charset::Utf8) => Cell::Utf8(trimmed(wire, raw)),
        Kind::Text(Charset::Other(_)) => return Err(Short),
        Kind::Binary(_) | Kind::Bytes => Cell::Bytes(raw),
        Kind::Date => {
            let packed = value.little(3)?;
            Cell::Date(temporal::Date::new(packed >> 9, packed >> 5 & 15, packed & 31))
        }
        Kind::Time(_) if wire.code == code::TIME => {
            Cell::Time(temporal::clock_number(signed(value.little(3)?, 3)) * 1_000_000)
        }
        Kind::Time(_) => Cell::Time(temporal::time(raw, wire.meta)?),
        Kind::DateTime(_) if wire.code == code::DATETIME => {
            let number = value.little(8)?;
            let day = number / 1_000_000;
            let clock = i64::try_from(number % 1_000_000).map_err(|_| Short)?;
            let date = temporal::Date::new(day / 10_000, day / 100 % 100, day % 100);
            Cell::DateTime(date, temporal::clock_number(clock) * 1_000_000)
        }
        Kind::DateTime(_) => temporal::date_time(raw, wire.meta)?,
        Kind::Timestamp(_) if wire.code == code::TIMESTAMP => {
            Cell::Instant(i64::try_from(value.little(4)?).map_err(|_| Short)?, 0)
        }
        Kind::Timestamp(_) => {
            let seconds = i64::try_from(value.big(4)?).map_err(|_| Short)?;
            Cell::Instant(seconds, temporal::fraction(value.rest(), wire.meta)?)
        }
        Kind::Year => match value.byte()? {
            0 => Cell::Int(0),
            year => Cell::Int(1900 + i64::from(year)),
        },
        Kind::Enum(_) => Cell::Enum(value.little(width)?),
        Kind::Set(_) => Cell::Set(value.little(width)?),
        Kind::Json => Cell::Json(raw),
        Kind::Bit(bits) => {
            let number = value.big(width.min(8))?;
            // Bits that the column does not have.
            if width > 8 || *bits < 64 && number >> bits != 0 {
                return Err(Short);
            }
            Cell::Bits(raw)
        }
        Kind::Other(_) => return Err(Short),
    })
}

/// CHAR as SELECT shows it: without the spaces that fill it.
fn trimmed(wire: Wire, raw: &[u8]) -> &[u8] {
    if wire.code != code::STRING {
        return raw;
    }
    let end = raw.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    raw.get(..end).unwrap_or(raw)
}
