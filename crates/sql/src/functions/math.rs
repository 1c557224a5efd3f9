//! Functions of numbers. Integers, decimals and floats keep their type where Flink keeps it; the rest is DOUBLE.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::{Result as Planned, ScalarValue, exec_err};
use datafusion::logical_expr::{Expr, Operator};
use headwater_change::Result;

use super::arguments::{Takes, called, nullable, taken};
use super::arithmetic::arithmetic;
use super::cast::read;
use super::java_math;
use super::kernel::{Call, Run};
use super::{Bind, refused, rows};
use crate::typed::{Context, Typed, constant};
use crate::types::SqlType;

pub(super) const ALL: &[(&str, Bind)] = &[
    ("abs", |context, args| same_type(context, "ABS", args, run_abs)),
    ("sign", sign),
    ("ceil", |context, args| whole(context, "CEIL", args, |call| run_whole(call, true))),
    ("ceiling", |context, args| whole(context, "CEILING", args, |call| run_whole(call, true))),
    ("floor", |context, args| whole(context, "FLOOR", args, |call| run_whole(call, false))),
    ("round", |context, args| digits(context, "ROUND", args, |call| run_digits(call, true))),
    ("truncate", |context, args| digits(context, "TRUNCATE", args, |call| run_digits(call, false))),
    ("mod", modulo),
    ("power", |context, args| two(context, "POWER", args, |call| run_two(call, power))),
    ("atan2", atan2),
    ("log", log),
    ("sqrt", |context, args| one(context, "SQRT", args, |call| run_one(call, |x| power(x, 0.5)))),
    ("exp", |context, args| one(context, "EXP", args, |call| run_one(call, f64::exp))),
    ("ln", |context, args| one(context, "LN", args, |call| run_one(call, f64::ln))),
    ("log10", |context, args| one(context, "LOG10", args, |call| run_one(call, java_math::log10))),
    ("log2", |context, args| one(context, "LOG2", args, |call| run_one(call, |x| x.ln() / std::f64::consts::LN_2))),
    ("sin", |context, args| one(context, "SIN", args, |call| run_one(call, f64::sin))),
    ("cos", |context, args| one(context, "COS", args, |call| run_one(call, f64::cos))),
    ("tan", |context, args| one(context, "TAN", args, |call| run_one(call, f64::tan))),
    ("cot", |context, args| one(context, "COT", args, |call| run_one(call, |x| 1.0 / x.tan()))),
    ("asin", |context, args| one(context, "ASIN", args, |call| run_one(call, java_math::asin))),
    ("acos", |context, args| one(context, "ACOS", args, |call| run_one(call, java_math::acos))),
    ("atan", |context, args| one(context, "ATAN", args, |call| run_one(call, java_math::atan))),
    ("sinh", |context, args| one(context, "SINH", args, |call| run_one(call, java_math::sinh))),
    ("cosh", |context, args| one(context, "COSH", args, |call| run_one(call, java_math::cosh))),
    ("tanh", |context, args| one(context, "TANH", args, |call| run_one(call, java_math::tanh))),
    ("degrees", |context, args| {
        one(context, "DEGREES", args, |call| run_one(call, |x| x * (180.0 / std::f64::consts::PI)))
    }),
    ("radians", |context, args| {
        one(context, "RADIANS", args, |call| run_one(call, |x| x * (std::f64::consts::PI / 180.0)))
    }),
    ("pi", |_, args| known("PI", &args, std::f64::consts::PI)),
    ("e", |_, args| known("E", &args, std::f64::consts::E)),
];

fn known(name: &str, args: &[Typed], value: f64) -> Result<Typed> {
    if !args.is_empty() {
        return Err(super::arity(name, "no argument"));
    }
    Ok(constant(ScalarValue::Float64(Some(value)), SqlType::Double))
}

/// A function of one DOUBLE.
fn one(context: Context<'_>, name: &str, args: Vec<Typed>, run: Run) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Double], 1)?;
    let nullable = nullable(&args);
    called(context, name, args, SqlType::Double, nullable, run)
}

/// A function of two DOUBLEs.
fn two(context: Context<'_>, name: &str, args: Vec<Typed>, run: Run) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Double, Takes::Double], 2)?;
    let nullable = nullable(&args);
    called(context, name, args, SqlType::Double, nullable, run)
}

fn run_one(call: &Call<'_>, f: fn(f64) -> f64) -> Planned<ArrayRef> {
    Ok(Arc::new(call.array(0)?.as_primitive::<Float64Type>().unary::<_, Float64Type>(f)))
}

fn run_two(call: &Call<'_>, f: fn(f64, f64) -> f64) -> Planned<ArrayRef> {
    let (a, b) = (call.array(0)?, call.array(1)?);
    let result: PrimitiveArray<Float64Type> =
        arrow::compute::binary(a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>(), f)?;
    Ok(Arc::new(result))
}

/// `Math.pow` of Java: where C says 1 for what is not a number, or for an endless exponent, Java says NaN.
fn power(base: f64, exponent: f64) -> f64 {
    let undefined = exponent.is_nan() || exponent.is_infinite() && base.abs() == 1.0;
    if undefined { f64::NAN } else { base.powf(exponent) }
}

/// ATAN2 takes no DECIMAL beside another kind of number (Flink fails on it).
fn atan2(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let decimals = args.iter().filter(|arg| matches!(arg.sql_type, SqlType::Decimal(..))).count();
    if args.len() == 2 && decimals == 1 {
        return Err(refused("ATAN2", &args));
    }
    two(context, "ATAN2", args, |call| run_two(call, java_math::atan2))
}

/// `LOG(x)`, the natural one, or `LOG(base, x)`.
fn log(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.len() == 2 {
        return two(context, "LOG", args, |call| run_two(call, |base, x| x.ln() / base.ln()));
    }
    one(context, "LOG", args, |call| run_one(call, f64::ln))
}

/// `MOD(a, b)` is `a % b`.
fn modulo(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [a, b] = <[Typed; 2]>::try_from(args).map_err(|_| super::arity("MOD", "two numbers"))?;
    if !a.sql_type.is_numeric() || !b.sql_type.is_numeric() {
        return Err(refused("MOD", &[a, b]));
    }
    arithmetic(context, Operator::Modulo, a, b)
}

/// A function of one number that gives its type.
fn same_type(context: Context<'_>, name: &str, args: Vec<Typed>, run: Run) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Number], 1)?;
    let (result, nullable) = (super::arguments::type_of(&args, 0), nullable(&args));
    called(context, name, args, result, nullable, run)
}

/// SIGN does not take TINYINT and SMALLINT (Flink fails on them).
fn sign(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.iter().any(|arg| matches!(arg.sql_type, SqlType::TinyInt | SqlType::SmallInt)) {
        return Err(refused("SIGN", &args));
    }
    same_type(context, "SIGN", args, run_sign)
}

/// Integers as they are, floats of their type, decimals without their fraction.
fn whole(context: Context<'_>, name: &str, args: Vec<Typed>, run: Run) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Number], 1)?;
    let result = match super::arguments::type_of(&args, 0) {
        SqlType::Decimal(precision, _) => SqlType::Decimal(precision, 0),
        other => other,
    };
    let nullable = nullable(&args);
    called(context, name, args, result, nullable, run)
}

/// `ROUND(x[, digits])`: a decimal has the digits that are left.
fn digits(context: Context<'_>, name: &str, args: Vec<Typed>, run: Run) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::Number, Takes::Int], 1)?;
    if name == "TRUNCATE" && matches!(super::arguments::type_of(&args, 0), SqlType::TinyInt | SqlType::SmallInt) {
        return Err(refused(name, &args));
    }
    let count = match args.get(1).map(|arg| &arg.expr) {
        None => Some(0),
        Some(Expr::Literal(ScalarValue::Int32(Some(count)), _)) => Some(*count),
        Some(_) => None,
    };
    let result = match (super::arguments::type_of(&args, 0), count) {
        (SqlType::Decimal(precision, scale), Some(count)) if count < i32::from(scale) => {
            let kept = u8::try_from(count.max(0)).unwrap_or(0);
            SqlType::Decimal((1 + precision - scale + kept).min(38), kept)
        }
        (other, _) => other,
    };
    let nullable = nullable(&args);
    called(context, name, args, result, nullable, run)
}

/// Integers in their own width by `f` over 64 bits; the low bits are kept.
fn integers(call: &Call<'_>, f: impl Fn(usize, i64) -> Planned<i64>) -> Planned<ArrayRef> {
    let values = arrow_cast(&call.array(0)?, &DataType::Int64)?;
    let values = values.as_primitive::<Int64Type>();
    fn kept<T: ArrowPrimitiveType>(
        values: &PrimitiveArray<Int64Type>,
        rows: usize,
        f: impl Fn(usize, i64) -> Planned<i64>,
        cut: fn(i64) -> T::Native,
    ) -> Planned<ArrayRef> {
        rows::finished(rows::primitive::<T>(rows, &[values], |row| Ok(Some(cut(f(row, values.value(row))?))))?)
    }
    match call.result {
        SqlType::TinyInt => kept::<Int8Type>(values, call.rows, f, |value| value as i8),
        SqlType::SmallInt => kept::<Int16Type>(values, call.rows, f, |value| value as i16),
        SqlType::Int => kept::<Int32Type>(values, call.rows, f, |value| value as i32),
        _ => kept::<Int64Type>(values, call.rows, f, |value| value),
    }
}

fn floats(call: &Call<'_>, f: impl Fn(usize, f64) -> Planned<Option<f64>>) -> Planned<ArrayRef> {
    let values = arrow_cast(&call.array(0)?, &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>();
    let column =
        rows::finished(rows::primitive::<Float64Type>(call.rows, &[values], |row| f(row, values.value(row)))?)?;
    Ok(arrow_cast(&column, &call.result.arrow())?)
}

fn decimals(call: &Call<'_>, f: impl Fn(usize, i128) -> Planned<Option<i128>>) -> Planned<ArrayRef> {
    let values = call.array(0)?;
    let values = values.as_primitive::<Decimal128Type>();
    let mut column = rows::primitive::<Decimal128Type>(call.rows, &[values], |row| f(row, values.value(row)))?;
    Ok(Arc::new(column.finish().with_data_type(call.result.arrow())))
}

fn run_abs(call: &Call<'_>) -> Planned<ArrayRef> {
    match call.result {
        SqlType::Decimal(..) => decimals(call, |_, value| Ok(Some(value.abs()))),
        result if result.is_approximate() => floats(call, |_, value| Ok(Some(value.abs()))),
        _ => integers(call, |_, value| Ok(value.wrapping_abs())),
    }
}

fn run_sign(call: &Call<'_>) -> Planned<ArrayRef> {
    match call.result {
        SqlType::Decimal(precision, scale) => {
            let one = 10_i128.pow(u32::from(*scale));
            // A type without digits before the point cannot hold a 1.
            let fits = precision > scale;
            decimals(call, |_, value| Ok(Some(value.signum() * one).filter(|sign| fits || *sign == 0)))
        }
        result if result.is_approximate() => {
            floats(call, |_, value| Ok(Some(if value == 0.0 || value.is_nan() { value } else { value.signum() })))
        }
        _ => integers(call, |_, value| Ok(value.signum())),
    }
}

fn run_whole(call: &Call<'_>, up: bool) -> Planned<ArrayRef> {
    match (call.type_of(0), call.result) {
        (SqlType::Decimal(_, scale), _) => {
            let one = 10_i128.pow(u32::from(*scale));
            decimals(call, |_, value| Ok(Some(if up { -(-value).div_euclid(one) } else { value.div_euclid(one) })))
        }
        (_, result) if result.is_approximate() => {
            floats(call, |_, value| Ok(Some(if up { value.ceil() } else { value.floor() })))
        }
        _ => call.array(0),
    }
}

fn run_digits(call: &Call<'_>, half_up: bool) -> Planned<ArrayRef> {
    let counts = if call.len() > 1 { Some(call.array(1)?) } else { None };
    let counts = counts.as_ref().map(|counts| counts.as_primitive::<Int32Type>());
    // NULL digits give NULL; the value of a NULL row is never looked at.
    let count = |row: usize| match counts {
        Some(counts) if counts.is_null(row) => None,
        Some(counts) => Some(counts.value(row)),
        None => Some(0),
    };
    match (call.type_of(0), call.result) {
        (SqlType::Decimal(_, from), SqlType::Decimal(precision, to)) => {
            let (from, to, limit) = (i32::from(*from), i32::from(*to), 10_i128.pow(u32::from(*precision)));
            decimals(call, |row, value| {
                let Some(count) = count(row) else { return Ok(None) };
                let kept = count.min(from);
                let cut = cut_digits(value, from - kept, half_up);
                let moved = u32::try_from(to - kept)
                    .ok()
                    .map_or_else(|| Some(cut), |up| 10_i128.checked_pow(up).and_then(|power| cut.checked_mul(power)));
                Ok(moved.filter(|value| value.abs() < limit))
            })
        }
        (_, result) if result.is_approximate() => floats(call, |row, value| match count(row) {
            Some(count) => rounded(value, count, half_up).map(Some),
            None => Ok(None),
        }),
        _ if counts.is_none() => call.array(0),
        _ => {
            let nulls = counts.and_then(|counts| counts.nulls().cloned());
            let column = integers(call, |row, value| {
                let count = count(row).unwrap_or(0);
                if count.unsigned_abs() > MOST_DIGITS {
                    return exec_err!("ROUND and TRUNCATE to {count} digits go beyond what Flink computes");
                }
                let count = count.min(0);
                Ok(shortened(value, count.unsigned_abs(), half_up))
            })?;
            let Some(nulls) = nulls else { return Ok(column) };
            let missing = arrow::array::BooleanArray::new(!nulls.inner(), None);
            Ok(arrow::compute::nullif(&column, &missing)?)
        }
    }
}

/// Java's decimals overflow somewhere beyond.
const MOST_DIGITS: u32 = 1_000_000;

/// A whole number with its last `count` digits zero; the low bits are kept where rounding leaves 64.
fn shortened(value: i64, count: u32, half_up: bool) -> i64 {
    let cut = cut_digits(i128::from(value), i32::try_from(count).unwrap_or(i32::MAX), half_up);
    10_i128.checked_pow(count).and_then(|power| cut.checked_mul(power)).map_or(0, |value| value as i64)
}

/// `value / 10^count`, half up (away from zero) or cut.
fn cut_digits(value: i128, count: i32, half_up: bool) -> i128 {
    let Some(power) = u32::try_from(count.max(0)).ok().and_then(|count| 10_i128.checked_pow(count)) else { return 0 };
    let (quotient, rest) = (value / power, value % power);
    let up = half_up && rest.unsigned_abs() >= (power.unsigned_abs() - rest.unsigned_abs()) && rest != 0;
    if up { quotient + value.signum() } else { quotient }
}

/// A float rounded by the decimal digits of the DOUBLE that it is, as Java prints them. There is no -0.0.
fn rounded(value: f64, count: i32, half_up: bool) -> Planned<f64> {
    if !value.is_finite() {
        return exec_err!("ROUND and TRUNCATE do not take {value}");
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (head, tail) = digits.split_once('.').unwrap_or((digits, ""));
    let all: i128 = format!("{head}{tail}").parse().unwrap_or(0);
    // value = all * 10^-scale
    let scale = i32::try_from(tail.len()).unwrap_or(0) - exponent;
    if count >= scale {
        return Ok(value + 0.0);
    }
    let cut = cut_digits(all, scale.saturating_sub(count).min(60), half_up);
    let result = format!("{}{cut}e{}", if negative { "-" } else { "" }, -i64::from(count));
    Ok(read::double(&result).unwrap_or(0.0) + 0.0)
}
