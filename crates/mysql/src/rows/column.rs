//! Builders by Arrow type: what numbers, decimals and texts do to each.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Float32Builder, Float64Builder, Int8Builder,
    Int16Builder, Int32Builder, Int64Builder, StringBuilder, UInt8Builder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::DataType;

use super::decimal;

/// What is wrong with a value; the caller adds where it was.
pub(crate) type Problem = String;

/// A builder of one of the Arrow types that MySQL values go into; time types are built as the numbers they are.
pub(super) enum Builder {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    UInt8(UInt8Builder),
    UInt16(UInt16Builder),
    UInt32(UInt32Builder),
    UInt64(UInt64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Utf8(StringBuilder),
    Binary(BinaryBuilder),
}

macro_rules! each {
    ($builder:expr, $b:ident => $body:expr) => {
        match $builder {
            Builder::Boolean($b) => $body,
            Builder::Int8($b) => $body,
            Builder::Int16($b) => $body,
            Builder::Int32($b) => $body,
            Builder::Int64($b) => $body,
            Builder::UInt8($b) => $body,
            Builder::UInt16($b) => $body,
            Builder::UInt32($b) => $body,
            Builder::UInt64($b) => $body,
            Builder::Float32($b) => $body,
            Builder::Float64($b) => $body,
            Builder::Decimal($b, ..) => $body,
            Builder::Utf8($b) => $body,
            Builder::Binary($b) => $body,
        }
    };
}

impl Builder {
    /// `None` where no MySQL value goes into the type.
    pub(super) fn new(data_type: &DataType) -> Option<Self> {
        use DataType as D;
        Some(match data_type {
            D::Boolean => Self::Boolean(BooleanBuilder::new()),
            D::Int8 => Self::Int8(Int8Builder::new()),
            D::Int16 => Self::Int16(Int16Builder::new()),
            D::Int32 | D::Date32 | D::Time32(_) => Self::Int32(Int32Builder::new()),
            D::Int64 | D::Time64(_) | D::Timestamp(..) => Self::Int64(Int64Builder::new()),
            D::UInt8 => Self::UInt8(UInt8Builder::new()),
            D::UInt16 => Self::UInt16(UInt16Builder::new()),
            D::UInt32 => Self::UInt32(UInt32Builder::new()),
            D::UInt64 => Self::UInt64(UInt64Builder::new()),
            D::Float32 => Self::Float32(Float32Builder::new()),
            D::Float64 => Self::Float64(Float64Builder::new()),
            D::Decimal128(precision, scale) => {
                let builder = Decimal128Builder::new().with_data_type(data_type.clone());
                Self::Decimal(builder, *precision, *scale)
            }
            D::Utf8 => Self::Utf8(StringBuilder::new()),
            D::Binary => Self::Binary(BinaryBuilder::new()),
            _ => return None,
        })
    }

    pub(super) fn null(&mut self) {
        each!(self, b => b.append_null());
    }

    pub(super) fn number(&mut self, number: i128) -> Result<(), Problem> {
        macro_rules! fit {
            ($b:ident) => {
                match number.try_into() {
                    Ok(fits) => $b.append_value(fits),
                    Err(_) => return Err(format!("{number} is out of range")),
                }
            };
        }
        match self {
            Self::Boolean(b) => b.append_value(number != 0),
            Self::Int8(b) => fit!(b),
            Self::Int16(b) => fit!(b),
            Self::Int32(b) => fit!(b),
            Self::Int64(b) => fit!(b),
            Self::UInt8(b) => fit!(b),
            Self::UInt16(b) => fit!(b),
            Self::UInt32(b) => fit!(b),
            Self::UInt64(b) => fit!(b),
            Self::Decimal(..) => return self.decimal(number, 0),
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    pub(super) fn decimal(&mut self, number: i128, scale: u8) -> Result<(), Problem> {
        match self {
            Self::Decimal(b, precision, to) => {
                let too_long = || format!("a number has more than {precision} digits");
                let zeros = u32::try_from(i32::from(*to) - i32::from(scale)).map_err(|_| too_long())?;
                let number = 10_i128.checked_pow(zeros).and_then(|factor| number.checked_mul(factor));
                match number {
                    Some(n) if n.unsigned_abs() < 10_u128.pow(u32::from(*precision).min(38)) => b.append_value(n),
                    _ => return Err(too_long()),
                }
            }
            Self::Utf8(_) => return self.print(|out| decimal::print(number, scale, out)),
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), Problem> {
        match self {
            Self::Utf8(b) => b.append_value(text),
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    pub(super) fn print(&mut self, print: impl FnOnce(&mut String)) -> Result<(), Problem> {
        let mut text = String::new();
        print(&mut text);
        self.text(&text)
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        each!(self, b => Arc::new(b.finish()))
    }
}

pub(super) fn mismatch() -> Problem {
    "the value is of another type than its column".to_owned()
}
