//! Casts between numbers, BOOLEAN and text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, PrimitiveArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{
    DataType, Decimal128Type, DecimalType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};
use datafusion::common::Result;

use super::{argument, read, strings, unreadable};
use crate::functions::arithmetic::decimal::rescale;
use crate::functions::kernel::Call;
use crate::types::SqlType;

/// BOOLEAN as 1 or 0.
pub(super) fn from_boolean(call: &Call<'_>) -> Result<ArrayRef> {
    let column = argument(call)?;
    let numbers = column.as_boolean().iter().map(|value| value.map(i128::from));
    whole(numbers, call.result)
}

/// A number that is not 0. NaN is TRUE.
pub(super) fn to_boolean(call: &Call<'_>) -> Result<ArrayRef> {
    let column = argument(call)?;
    let truths: BooleanArray = match call.type_of(0) {
        SqlType::Decimal(..) => column.as_primitive::<Decimal128Type>().iter().map(|v| v.map(|v| v != 0)).collect(),
        _ => {
            let numbers = arrow_cast(&column, &DataType::Float64)?;
            numbers.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| v != 0.0)).collect()
        }
    };
    Ok(Arc::new(truths))
}

/// Between numbers.
pub(super) fn to_number(call: &Call<'_>) -> Result<ArrayRef> {
    let column = argument(call)?;
    let (from, to) = (call.type_of(0), call.result);
    match from {
        SqlType::Float | SqlType::Double => from_float(&column, to),
        SqlType::Decimal(_, scale) => from_decimal(column.as_primitive::<Decimal128Type>(), *scale, to),
        _ => {
            let wide = arrow_cast(&column, &DataType::Int64)?;
            if to.is_approximate() {
                return Ok(arrow_cast(&wide, &to.arrow())?);
            }
            whole(wide.as_primitive::<Int64Type>().iter().map(|value| value.map(i128::from)), to)
        }
    }
}

/// Whole numbers as a number: integers keep their low bits, decimals that do not fit are NULL.
fn whole(values: impl Iterator<Item = Option<i128>>, to: &SqlType) -> Result<ArrayRef> {
    // Cutting off the high bits is what Java's narrowing does.
    Ok(match to {
        SqlType::TinyInt => Arc::new(PrimitiveArray::<Int8Type>::from_iter(values.map(|v| v.map(|v| v as i8)))),
        SqlType::SmallInt => Arc::new(PrimitiveArray::<Int16Type>::from_iter(values.map(|v| v.map(|v| v as i16)))),
        SqlType::Int => Arc::new(PrimitiveArray::<Int32Type>::from_iter(values.map(|v| v.map(|v| v as i32)))),
        SqlType::BigInt => Arc::new(PrimitiveArray::<Int64Type>::from_iter(values.map(|v| v.map(|v| v as i64)))),
        SqlType::Float => Arc::new(PrimitiveArray::<Float32Type>::from_iter(values.map(|v| v.map(|v| v as f32)))),
        SqlType::Double => Arc::new(PrimitiveArray::<Float64Type>::from_iter(values.map(|v| v.map(|v| v as f64)))),
        SqlType::Decimal(precision, scale) => {
            decimals(values.map(|value| value.and_then(|value| scaled(value, 0, (*precision, *scale)))), to)?
        }
        other => return datafusion::common::exec_err!("{other} is no number"),
    })
}

/// `value * 10^-from` in the digits of a decimal, half up; `None` where it does not fit.
pub(crate) fn scaled(value: i128, from: u8, (precision, scale): (u8, u8)) -> Option<i128> {
    let moved = rescale(i256::from_i128(value), i32::from(scale) - i32::from(from))?.to_i128()?;
    fits(moved, (precision, scale)).then_some(moved)
}

fn fits(value: i128, (precision, scale): (u8, u8)) -> bool {
    Decimal128Type::validate_decimal_precision(value, precision, i8::try_from(scale).unwrap_or(0)).is_ok()
}

fn decimals(values: impl Iterator<Item = Option<i128>>, to: &SqlType) -> Result<ArrayRef> {
    Ok(Arc::new(values.collect::<Decimal128Array>().with_data_type(to.arrow())))
}

fn from_decimal(column: &Decimal128Array, scale: u8, to: &SqlType) -> Result<ArrayRef> {
    let divisor = 10_i128.pow(u32::from(scale));
    match to {
        SqlType::Decimal(precision, to_scale) => {
            let values = column.iter().map(|value| value.and_then(|v| scaled(v, scale, (*precision, *to_scale))));
            decimals(values, to)
        }
        SqlType::Float | SqlType::Double => {
            // By way of the digits, as Java's BigDecimal does it: the nearest number.
            let mut text = String::new();
            let numbers = column.iter().map(|value| {
                value.map(|value| {
                    use std::fmt::Write;
                    text.clear();
                    let _ = write!(text, "{value}e-{scale}");
                    text.parse::<f64>().unwrap_or(f64::NAN)
                })
            });
            if *to == SqlType::Float {
                let mut text = String::new();
                return Ok(Arc::new(PrimitiveArray::<Float32Type>::from_iter(column.iter().map(|value| {
                    value.map(|value| {
                        use std::fmt::Write;
                        text.clear();
                        let _ = write!(text, "{value}e-{scale}");
                        text.parse::<f32>().unwrap_or(f32::NAN)
                    })
                }))));
            }
            Ok(Arc::new(PrimitiveArray::<Float64Type>::from_iter(numbers)))
        }
        _ => whole(column.iter().map(|value| value.map(|value| value / divisor)), to),
    }
}

fn from_float(column: &ArrayRef, to: &SqlType) -> Result<ArrayRef> {
    if to.is_approximate() {
        return Ok(arrow_cast(column, &to.arrow())?);
    }
    let wide = arrow_cast(column, &DataType::Float64)?;
    let values = wide.as_primitive::<Float64Type>().iter();
    // `as` cuts and stops at the ends, as Java's casts do; below INT they go by way of INT.
    Ok(match to {
        SqlType::BigInt => Arc::new(PrimitiveArray::<Int64Type>::from_iter(values.map(|v| v.map(|v| v as i64)))),
        SqlType::Decimal(precision, scale) => {
            return decimals(values.map(|v| v.and_then(|v| read::exact_decimal(v, (*precision, *scale)))), to);
        }
        _ => return whole(values.map(|value| value.map(|value| i128::from(value as i32))), to),
    })
}

/// Text as a number.
pub(super) fn read_number(call: &Call<'_>) -> Result<ArrayRef> {
    text_to_number(call, false)
}

/// Text as a number, NULL where it is none.
pub(super) fn try_number(call: &Call<'_>) -> Result<ArrayRef> {
    text_to_number(call, true)
}

fn text_to_number(call: &Call<'_>, lenient: bool) -> Result<ArrayRef> {
    let column = argument(call)?;
    let to = call.result;
    let each = |text: Option<&str>, read: &dyn Fn(&str) -> Option<i128>| match text {
        None => Ok(None),
        Some(text) => read(text).map_or_else(|| unreadable(lenient, text, to), |value| Ok(Some(value))),
    };
    let integers = |least: i128, most: i128| {
        let read = move |text: &str| read::integer(text).filter(|value| (least..=most).contains(value));
        strings(&column).iter().map(|text| each(text, &read)).collect::<Result<Vec<_>>>()
    };
    match to {
        SqlType::TinyInt => whole(integers(i8::MIN.into(), i8::MAX.into())?.into_iter(), to),
        SqlType::SmallInt => whole(integers(i16::MIN.into(), i16::MAX.into())?.into_iter(), to),
        SqlType::Int => whole(integers(i32::MIN.into(), i32::MAX.into())?.into_iter(), to),
        SqlType::BigInt => whole(integers(i64::MIN.into(), i64::MAX.into())?.into_iter(), to),
        SqlType::Decimal(precision, scale) => {
            let mut values = Vec::with_capacity(column.len());
            for text in strings(&column) {
                values.push(match text {
                    None => None,
                    Some(text) => match read::decimal(text, (*precision, *scale)) {
                        Some(found) => found,
                        None => unreadable(lenient, text, to)?,
                    },
                });
            }
            decimals(values.into_iter(), to)
        }
        _ => {
            let floats = strings(&column).iter().map(|text| match text {
                None => Ok(None),
                Some(text) => read::double(text).map_or_else(|| unreadable(lenient, text, to), |v| Ok(Some((text, v)))),
            });
            let floats = floats.collect::<Result<Vec<_>>>()?;
            if *to == SqlType::Float {
                let singles = floats.into_iter().map(|found| found.map(|(text, double)| read::single(text, double)));
                return Ok(Arc::new(PrimitiveArray::<Float32Type>::from_iter(singles)));
            }
            Ok(Arc::new(PrimitiveArray::<Float64Type>::from_iter(floats.into_iter().map(|v| v.map(|(_, v)| v)))))
        }
    }
}

/// Text as BOOLEAN.
pub(super) fn read_boolean(call: &Call<'_>) -> Result<ArrayRef> {
    text_to_boolean(call, false)
}

/// Text as BOOLEAN, NULL where it is none.
pub(super) fn try_boolean(call: &Call<'_>) -> Result<ArrayRef> {
    text_to_boolean(call, true)
}

fn text_to_boolean(call: &Call<'_>, lenient: bool) -> Result<ArrayRef> {
    let column = argument(call)?;
    let truths = strings(&column).iter().map(|text| match text {
        None => Ok(None),
        Some(text) => read::boolean(text).map_or_else(|| unreadable(lenient, text, call.result), |v| Ok(Some(v))),
    });
    Ok(Arc::new(truths.collect::<Result<BooleanArray>>()?))
}
