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

use arrow::array::{Array, AsArray, Decimal128Builder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, i256};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Most digits of a decimal.
const DIGITS_MAX: i32 = 38;

/// `left operator right` over two decimals (or integers, taken as decimals without a fraction).
pub(crate) fn arithmetic(operator: Operator, left: Expr, right: Expr) -> Option<Expr> {
    let name = match operator {
        Operator::Plus => "$decimal_add",
        Operator::Minus => "$decimal_subtract",
        Operator::Multiply => "$decimal_multiply",
        Operator::Divide => "$decimal_divide",
        Operator::Modulo => "$decimal_modulo",
        _ => return None,
    };
    let signature = Signature::any(2, Volatility::Immutable);
    let function = ScalarUDF::from(DecimalArithmetic { name, operator, signature });
    Some(function.call(vec![left, right]))
}

/// Precision and scale of a decimal, or of an integer type by Flink's widths.
pub(crate) fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DecimalArithmetic {
    name: &'static str,
    operator: Operator,
    signature: Signature,
}

/// Precision and scale of a result.
fn result_digits(operator: Operator, left: (u8, i8), right: (u8, i8)) -> (u8, i8) {
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
    (u8::try_from(precision).unwrap_or(38), i8::try_from(scale).unwrap_or(0))
}

fn power_of_ten(exponent: i32) -> Option<i256> {
    let ten = i256::from_i128(10);
    u32::try_from(exponent).ok().and_then(|exponent| ten.checked_pow(exponent))
}

/// `value * 10^shift`, rounded half up (away from zero) when the shift is negative.
fn rescale(value: i256, shift: i32) -> Option<i256> {
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

impl DecimalArithmetic {
    /// One result with the scale `scale`, or `None` when it does not fit into 256 bits.
    fn compute(&self, left: (i128, i32), right: (i128, i32), scale: i32) -> Option<i256> {
        let (a, b) = (i256::from_i128(left.0), i256::from_i128(right.0));
        let common = left.1.max(right.1);
        let aligned = || Some((rescale(a, common - left.1)?, rescale(b, common - right.1)?));
        match self.operator {
            Operator::Multiply => rescale(a.checked_mul(b)?, scale - left.1 - right.1),
            Operator::Divide => divide_half_up(rescale(a, scale + right.1 - left.1)?, b),
            Operator::Plus => aligned().and_then(|(a, b)| rescale(a.checked_add(b)?, scale - common)),
            Operator::Minus => aligned().and_then(|(a, b)| rescale(a.checked_sub(b)?, scale - common)),
            _ => aligned().and_then(|(a, b)| rescale(a.checked_rem(b)?, scale - common)),
        }
    }
}

impl ScalarUDFImpl for DecimalArithmetic {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args {
            [left, right] => match (digits(left), digits(right)) {
                (Some(left), Some(right)) => {
                    let (precision, scale) = result_digits(self.operator, left, right);
                    Ok(DataType::Decimal128(precision, scale))
                }
                _ => plan_err!("decimal arithmetic over {left} and {right}"),
            },
            _ => plan_err!("decimal arithmetic takes two arguments"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let DataType::Decimal128(precision, scale) = *args.return_field.data_type() else {
            return exec_err!("decimal arithmetic gives a decimal");
        };
        let mut columns = Vec::with_capacity(2);
        for arg in &args.args {
            let array = arg.to_array(args.number_rows)?;
            let Some((precision, scale)) = digits(array.data_type()) else {
                return exec_err!("decimal arithmetic over {}", array.data_type());
            };
            columns.push((cast(&array, &DataType::Decimal128(precision, scale))?, i32::from(scale)));
        }
        let [(left, left_scale), (right, right_scale)] = columns.as_slice() else {
            return exec_err!("decimal arithmetic takes two arguments");
        };
        let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
        let mut out = Decimal128Builder::with_capacity(args.number_rows).with_precision_and_scale(precision, scale)?;
        let divides = matches!(self.operator, Operator::Divide | Operator::Modulo);
        for row in 0..args.number_rows {
            if left.is_null(row) || right.is_null(row) {
                out.append_null();
                continue;
            }
            if divides && right.value(row) == 0 {
                return exec_err!("Division by zero");
            }
            let result =
                self.compute((left.value(row), *left_scale), (right.value(row), *right_scale), i32::from(scale));
            let fits = |value: &i128| Decimal128Type::validate_decimal_precision(*value, precision, scale).is_ok();
            out.append_option(result.and_then(i256::to_i128).filter(fits));
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
