//! Columns of a file as the columns that are wanted, where every value of the one is a value of the other.

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use headwater_change::{Error, Result};

/// Whether every value of `from` is one of `to`.
pub(super) fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    let whole = |of: &DataType| match of {
        D::Int8 => Some((8, true)),
        D::Int16 => Some((16, true)),
        D::Int32 => Some((32, true)),
        D::Int64 => Some((64, true)),
        D::UInt8 => Some((8, false)),
        D::UInt16 => Some((16, false)),
        D::UInt32 => Some((32, false)),
        _ => None,
    };
    if let (Some((from, signed)), Some((to, true))) = (whole(from), whole(to)) {
        return if signed { from <= to } else { from < to };
    }
    match (from, to) {
        (from, to) if from == to => true,
        (D::Utf8 | D::LargeUtf8 | D::Utf8View, D::Utf8) => true,
        (D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_), D::Binary) => true,
        (D::Float32, D::Float64) => true,
        (D::UInt64, D::Decimal128(precision, 0)) => *precision >= 20,
        (D::Decimal128(p1, s1), D::Decimal128(p2, s2)) => {
            s1 <= s2 && i16::from(*p1) - i16::from(*s1) <= i16::from(*p2) - i16::from(*s2)
        }
        // An instant stays one whatever zone it is shown in; a wall time is none.
        (D::Timestamp(from, zone), D::Timestamp(to, wanted)) => {
            zone.is_some() == wanted.is_some() && finer(*from) <= finer(*to)
        }
        (D::Time32(_), D::Time64(_)) | (D::Time64(_), D::Time64(TimeUnit::Nanosecond)) => true,
        (D::Time32(TimeUnit::Second), D::Time32(TimeUnit::Millisecond)) => true,
        (D::Dictionary(_, value), to) => widens(value, to),
        (D::List(from) | D::LargeList(from), D::List(to)) => widens(from.data_type(), to.data_type()),
        (D::Struct(from), D::Struct(to)) => {
            from.len() == to.len()
                && from
                    .iter()
                    .zip(to)
                    .all(|(from, to)| from.name() == to.name() && widens(from.data_type(), to.data_type()))
        }
        (D::Map(from, _), D::Map(to, _)) => widens(from.data_type(), to.data_type()),
        _ => false,
    }
}

fn finer(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

/// The column as another type, of which [`widens`] holds.
pub(super) fn widened(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(ArrayRef::clone(column));
    }
    cast(column, to)
        .map_err(|error| Error::data("parquet.value", format!("a value is no {to}")).detail(error.to_string()))
}
