//! Decimal arithmetic by Flink's rules of precision and scale.
//!
//! | operation | scale | precision |
//! |---|---|---|
//! | `+`, `-` | max(s1, s2) | max(p1 - s1, p2 - s2) + s + 1 |
//! | `*` | s1 + s2 | p1 + p2 + 1 |
//! | `/` | max(6, s1 + p2 + 1) | p1 - s1 + s2 + s |
//! | `%` | max(s1, s2) | min(p1 - s1, p2 - s2) + s |
//!
//! Above 38 digits the scale gives way, down to six digits; results are rounded half up; one that does not fit is NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal128Builder};
use arrow::compute::{binary, cast};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, DecimalType, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::Operator;

/// Most digits of a decimal.
const DIGITS_MAX: i32 = 38;

/// Precision and scale of a result.
pub(crate) fn result_digits(operator: Operator, left: (u8, u8), right: (u8, u8)) -> (u8, u8) {
    let ((p1, s1), (p2, s2)) = ((i32::from(left.0), i32::from(left.1)), (i32::from(right.0), i32::from(right.1)));
    let (precision, scale) = match operator {
        Operator::Multiply => (p1 + p2 + 1, s1 + s2),
        Operator::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        Operator::Modulo => {
            let scale = s1.max(s2);
            ((p1 - s1).min(p2 - s2) + scale, scale)
        }
        _ => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
    };
    let (precision, scale) = if precision <= DIGITS_MAX {
        (precision, scale)
    } else {
        let whole = precision - scale;
        (DIGITS_MAX, (DIGITS_MAX - whole).max(scale.min(6)))
    };
    (u8::try_from(precision).unwrap_or(38), u8::try_from(scale).unwrap_or(0))
}

fn power_of_ten(exponent: i32) -> Option<i256> {
    let ten = i256::from_i128(10);
    u32::try_from(exponent).ok().and_then(|exponent| ten.checked_pow(exponent))
}

/// `value * 10^shift`, rounded half up (away from zero) when the shift is negative.
pub(crate) fn rescale(value: i256, shift: i32) -> Option<i256> {
    if shift >= 0 {
        return value.checked_mul(power_of_ten(shift)?);
    }
    divide_half_up(value, power_of_ten(-shift)?)
}

fn divide_half_up(dividend: i256, divisor: i256) -> Option<i256> {
    let quotient = dividend.checked_div(divisor)?;
    let remainder = dividend.checked_rem(divisor)?;
    let magnitude = |value: i256| if value < i256::ZERO { value.checked_neg() } else { Some(value) };
    let twice = magnitude(remainder)?.checked_mul(i256::from_i128(2))?;
    if twice < magnitude(divisor)? {
        return Some(quotient);
    }
    let negative = (dividend < i256::ZERO) != (divisor < i256::ZERO);
    if negative { quotient.checked_sub(i256::ONE) } else { quotient.checked_add(i256::ONE) }
}

/// One result with the scale `scale`, or `None` when it does not fit into 256 bits.
fn compute(operator: Operator, left: (i128, i32), right: (i128, i32), scale: i32) -> Option<i256> {
    let (a, b) = (i256::from_i128(left.0), i256::from_i128(right.0));
    let common = left.1.max(right.1);
    let aligned = || Some((rescale(a, common - left.1)?, rescale(b, common - right.1)?));
    match operator {
        Operator::Multiply => rescale(a.checked_mul(b)?, scale - left.1 - right.1),
        Operator::Divide => divide_half_up(rescale(a, scale + right.1 - left.1)?, b),
        Operator::Plus => aligned().and_then(|(a, b)| rescale(a.checked_add(b)?, scale - common)),
        Operator::Minus => aligned().and_then(|(a, b)| rescale(a.checked_sub(b)?, scale - common)),
        _ => aligned().and_then(|(a, b)| rescale(a.checked_rem(b)?, scale - common)),
    }
}

/// The same in 128 bits, for numbers of everyday size.
fn compute_narrow(operator: Operator, left: (i128, i32), right: (i128, i32), scale: i32) -> Option<i128> {
    if left.1 != right.1 && operator != Operator::Multiply {
        return None;
    }
    match operator {
        Operator::Multiply if scale == left.1 + right.1 => left.0.checked_mul(right.0),
        Operator::Plus if scale == left.1 => left.0.checked_add(right.0),
        Operator::Minus if scale == left.1 => left.0.checked_sub(right.0),
        _ => None,
    }
}

/// Integers are decimals without looking at each whether it fits; all of a type do.
fn widened(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    fn of<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef, target: &DataType) -> ArrayRef {
        let wide: Decimal128Array = array.as_primitive::<T>().unary(Into::into);
        Arc::new(wide.with_data_type(target.clone()))
    }
    let digits = |needed: u8| matches!(target, DataType::Decimal128(precision, 0) if *precision >= needed);
    Ok(match array.data_type() {
        DataType::Int8 if digits(3) => of::<Int8Type>(array, target),
        DataType::Int16 if digits(5) => of::<Int16Type>(array, target),
        DataType::Int32 if digits(10) => of::<Int32Type>(array, target),
        DataType::Int64 if digits(19) => of::<Int64Type>(array, target),
        found if found == target => Arc::clone(array),
        _ => cast(array, target)?,
    })
}

/// The operation on unscaled numbers, where no result is rounded and none has more digits than its type.
fn plain(
    operator: Operator,
    (left, left_scale): (u8, u8),
    (right, right_scale): (u8, u8),
    (precision, scale): (u8, u8),
) -> Option<fn(i128, i128) -> i128> {
    let aligned = left_scale == right_scale && left_scale == scale && precision > left.max(right);
    match operator {
        Operator::Multiply if left_scale + right_scale == scale && left + right <= precision && precision <= 38 => {
            Some(i128::wrapping_mul)
        }
        Operator::Plus if aligned => Some(i128::wrapping_add),
        Operator::Minus if aligned => Some(i128::wrapping_sub),
        _ => None,
    }
}

/// `left operator right` over decimals or integers, given with their digits, as a decimal of `(precision, scale)`.
pub(crate) fn decimals(
    operator: Operator,
    (left, left_digits): (&ArrayRef, (u8, u8)),
    (right, right_digits): (&ArrayRef, (u8, u8)),
    (precision, scale): (u8, u8),
) -> Result<ArrayRef> {
    let decimal = |(precision, scale): (u8, u8)| DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(0));
    let (left, right) = (widened(left, &decimal(left_digits))?, widened(right, &decimal(right_digits))?);
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    if let Some(plain) = plain(operator, left_digits, right_digits, (precision, scale)) {
        let result: Decimal128Array = binary(left, right, plain)?;
        return Ok(Arc::new(result.with_data_type(decimal((precision, scale)))));
    }
    let (left_scale, right_scale, result_scale) =
        (i32::from(left_digits.1), i32::from(right_digits.1), i32::from(scale));
    let mut out = Decimal128Builder::with_capacity(left.len()).with_data_type(decimal((precision, scale)));
    let divides = matches!(operator, Operator::Divide | Operator::Modulo);
    for row in 0..left.len() {
        if left.is_null(row) || right.is_null(row) {
            out.append_null();
            continue;
        }
        if divides && right.value(row) == 0 {
            return exec_err!("division by zero");
        }
        let (a, b) = ((left.value(row), left_scale), (right.value(row), right_scale));
        let result = compute_narrow(operator, a, b, result_scale)
            .or_else(|| compute(operator, a, b, result_scale).and_then(i256::to_i128));
        let fits = |value: &i128| {
            Decimal128Type::validate_decimal_precision(*value, precision, i8::try_from(scale).unwrap_or(0)).is_ok()
        };
        out.append_option(result.filter(fits));
    }
    Ok(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_way_and_the_careful_one_agree() {
        let column = |values: &[Option<i128>], precision, scale| {
            Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(precision, scale).unwrap())
                as ArrayRef
        };
        let left = column(&[Some(999), Some(-999), None, Some(5), Some(0)], 3, 2);
        let right: ArrayRef =
            Arc::new(arrow::array::Int8Array::from(vec![Some(-128), Some(127), Some(1), None, Some(0)]));
        let product =
            |precision| decimals(Operator::Multiply, (&left, (3, 2)), (&right, (3, 0)), (precision, 2)).unwrap();
        // Of six digits each product is one, of five it might not be.
        assert!(plain(Operator::Multiply, (3, 2), (3, 0), (6, 2)).is_some());
        assert!(plain(Operator::Multiply, (3, 2), (3, 0), (5, 2)).is_none());
        let expected = [Some(-127_872), Some(-126_873), None, None, Some(0)];
        assert_eq!(&product(6), &column(&expected, 6, 2));
        assert_eq!(&product(5), &column(&[None, None, None, None, Some(0)], 5, 2));
        let sum = decimals(Operator::Plus, (&left, (3, 2)), (&left, (3, 2)), (4, 2)).unwrap();
        assert_eq!(&sum, &column(&[Some(1_998), Some(-1_998), None, Some(10), Some(0)], 4, 2));
    }

    #[test]
    fn result_types_are_those_flink_gives() {
        // Observed on Flink 2.3: DECIMAL(14, 4) with an INT literal and with itself.
        let (int, wide) = ((10, 0), (14, 4));
        assert_eq!(result_digits(Operator::Plus, wide, int), (15, 4));
        assert_eq!(result_digits(Operator::Multiply, wide, int), (25, 4));
        assert_eq!(result_digits(Operator::Divide, wide, int), (25, 15));
        assert_eq!(result_digits(Operator::Multiply, wide, wide), (29, 8));
        assert_eq!(result_digits(Operator::Divide, wide, wide), (33, 19));
    }

    #[test]
    fn results_are_rounded_half_up_away_from_zero() {
        let div = |a: i128, b: i128| divide_half_up(i256::from_i128(a), i256::from_i128(b)).and_then(i256::to_i128);
        assert_eq!((div(5, 2), div(-5, 2), div(4, 3), div(-4, 3)), (Some(3), Some(-3), Some(1), Some(-1)));
    }
}
