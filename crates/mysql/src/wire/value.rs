//! Values of the binary protocol, where they lie in the packet.

use crate::bytes::{Bytes, Short, bit};
use crate::schema::code;

/// Flag of a column without sign.
const UNSIGNED: u64 = 1 << 5;

/// How the values of a result are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    columns: Vec<Written>,
    /// The prepared statement, to be closed behind the last row.
    pub(super) statement: [u8; 4],
}

/// How the values of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Int(usize),
    UInt(usize),
    Float,
    Double,
    /// A day or a wall time.
    Moment,
    Time,
    Bytes,
}

/// A value as it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    UInt(u64),
    Float(f32),
    Double(f64),
    Bytes(&'a [u8]),
    /// Year, month, day, hour, minute, second, microseconds.
    Moment(u16, u8, u8, u8, u8, u8, u32),
    /// Whether it is negative, days, hours, minutes, seconds, microseconds.
    Time(bool, u32, u8, u8, u8, u32),
}

impl Layout {
    /// Takes the definition of the next column.
    pub(super) fn add(&mut self, definition: &[u8]) -> Result<(), Short> {
        let mut bytes = Bytes::new(definition);
        // Catalog, database, table and column, the last two under both their names.
        for _ in 0..6 {
            let length = bytes.length()?;
            bytes.take(length)?;
        }
        bytes.packed()?;
        bytes.take(2 + 4)?;
        let code = bytes.byte()?;
        let unsigned = bytes.little(2)? & UNSIGNED != 0;
        self.columns.push(Written::of(code, unsigned));
        Ok(())
    }

    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn column(&self, index: usize) -> Option<Written> {
        self.columns.get(index).copied()
    }
}

impl Written {
    fn of(code: u8, unsigned: bool) -> Self {
        let integer = |bytes| if unsigned { Self::UInt(bytes) } else { Self::Int(bytes) };
        match code {
            code::TINY => integer(1),
            code::SHORT | code::YEAR => integer(2),
            code::LONG | code::INT24 => integer(4),
            code::LONGLONG => integer(8),
            code::FLOAT => Self::Float,
            code::DOUBLE => Self::Double,
            code::DATE | code::DATETIME | code::TIMESTAMP => Self::Moment,
            code::TIME => Self::Time,
            _ => Self::Bytes,
        }
    }

    /// The value that comes next.
    #[inline]
    fn read<'a>(self, bytes: &mut Bytes<'a>) -> Result<Value<'a>, Short> {
        Ok(match self {
            Self::Int(width) => {
                let shift = 64 - 8 * width as u32;
                Value::Int((bytes.little(width)? << shift).cast_signed() >> shift)
            }
            Self::UInt(width) => Value::UInt(bytes.little(width)?),
            Self::Float => Value::Float(f32::from_bits(u32::try_from(bytes.little(4)?).map_err(|_| Short)?)),
            Self::Double => Value::Double(f64::from_bits(bytes.little(8)?)),
            Self::Bytes => {
                let length = bytes.length()?;
                Value::Bytes(bytes.take(length)?)
            }
            Self::Moment => moment(bytes)?,
            Self::Time => time(bytes)?,
        })
    }
}

/// Zeros at the end are left out: none, the day, the day and the clock, all.
#[inline]
fn moment<'a>(bytes: &mut Bytes<'a>) -> Result<Value<'a>, Short> {
    let length = usize::from(bytes.byte()?);
    let mut parts = [0; 11];
    parts.get_mut(..length).ok_or(Short)?.copy_from_slice(bytes.take(length)?);
    let [y0, y1, month, day, hour, minute, second, m0, m1, m2, m3] = parts;
    Ok(Value::Moment(
        u16::from_le_bytes([y0, y1]),
        month,
        day,
        hour,
        minute,
        second,
        u32::from_le_bytes([m0, m1, m2, m3]),
    ))
}

fn time<'a>(bytes: &mut Bytes<'a>) -> Result<Value<'a>, Short> {
    let length = usize::from(bytes.byte()?);
    let mut parts = [0; 12];
    parts.get_mut(..length).ok_or(Short)?.copy_from_slice(bytes.take(length)?);
    let [sign, d0, d1, d2, d3, hour, minute, second, m0, m1, m2, m3] = parts;
    let (days, micros) = (u32::from_le_bytes([d0, d1, d2, d3]), u32::from_le_bytes([m0, m1, m2, m3]));
    Ok(Value::Time(sign == 1, days, hour, minute, second, micros))
}

/// The values of a row, one after the other.
pub(crate) struct Values<'a> {
    nulls: &'a [u8],
    bytes: Bytes<'a>,
    index: usize,
}

impl<'a> Values<'a> {
    /// A row begins with a zero and a bit for each column that is NULL, the first two of which mean nothing.
    pub(crate) fn new(row: &'a [u8], layout: &Layout) -> Result<Self, Short> {
        let mut bytes = Bytes::new(row);
        bytes.byte()?;
        let nulls = bytes.take((layout.width() + 9) / 8)?;
        Ok(Self { nulls, bytes, index: 0 })
    }

    #[inline]
    pub(crate) fn next(&mut self, written: Written) -> Result<Value<'a>, Short> {
        let null = bit(self.nulls, self.index + 2);
        self.index += 1;
        if null { Ok(Value::Null) } else { written.read(&mut self.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(columns: &[Written]) -> Layout {
        Layout { columns: columns.to_vec(), statement: [0; 4] }
    }

    #[test]
    fn a_row_is_read_where_it_lies() {
        let columns = [
            Written::Int(4),
            Written::UInt(8),
            Written::Bytes,
            Written::Moment,
            Written::Moment,
            Written::Time,
            Written::Int(1),
        ];
        let layout = layout(&columns);
        let mut row = vec![0, 0, 1];
        row.extend((-5_i32).to_le_bytes());
        row.extend(u64::MAX.to_le_bytes());
        row.extend([2, b'o', b'k', 4, 0xe8, 7, 5, 20, 0]);
        row.extend([8, 1, 34, 0, 0, 0, 22, 59, 58]);
        let mut values = Values::new(&row, &layout).unwrap();
        let read: Vec<Value<'_>> = columns.iter().map(|written| values.next(*written).unwrap()).collect();
        assert_eq!(
            read,
            [
                Value::Int(-5),
                Value::UInt(u64::MAX),
                Value::Bytes(b"ok"),
                Value::Moment(2024, 5, 20, 0, 0, 0, 0),
                Value::Moment(0, 0, 0, 0, 0, 0, 0),
                Value::Time(true, 34, 22, 59, 58, 0),
                Value::Null,
            ]
        );
    }

    #[test]
    fn a_row_that_ends_early_is_an_error() {
        let layout = layout(&[Written::Bytes]);
        for row in [&[][..], &[0], &[0, 0], &[0, 0, 5, b'a']] {
            let read = Values::new(row, &layout).and_then(|mut values| values.next(Written::Bytes));
            assert_eq!(read, Err(Short), "{row:?}");
        }
        let mut values = Values::new(&[0, 0, 12, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], &layout).unwrap();
        assert_eq!(values.next(Written::Moment), Err(Short));
    }
}
