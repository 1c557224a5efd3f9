//! Functions of numbers.

use datafusion::common::Result as Planned;
use datafusion::logical_expr::Operator;
use headwater_change::Result;

use super::{DOUBLE, Def, Gives, INT, LONG, TEXT, TINY, Takes, def, refused, rows};
use crate::functions::arithmetic::decimal::rescale;
use crate::functions::java_math;
use crate::functions::kernel::Row;
use crate::functions::value::Value;
use crate::functions::{Bind, arity};
use crate::spark::operators::{Manner, arithmetic, checked, failed, negate};
use crate::spark::types::{adjusted, digits};
use crate::typed::{Context, Typed};
use crate::types::SqlType;

pub(super) const OWN: &[(&str, Bind)] = &[
    ("abs", abs),
    ("negative", |context, args| one("NEGATIVE", args).and_then(|arg| negate(context, arg))),
    ("positive", |context, args| {
        let arg = one("POSITIVE", args)?;
        super::taken(context, arg, Takes::Number)?.ok_or_else(|| refused("positive", &[]))
    }),
    ("mod", |context, args| binary(context, "MOD", Operator::Modulo, args, Manner::Session)),
    ("div", |context, args| binary(context, "DIV", Operator::IntegerDivide, args, Manner::Session)),
    ("try_add", |context, args| binary(context, "TRY_ADD", Operator::Plus, args, Manner::Try)),
    ("try_subtract", |context, args| binary(context, "TRY_SUBTRACT", Operator::Minus, args, Manner::Try)),
    ("try_multiply", |context, args| binary(context, "TRY_MULTIPLY", Operator::Multiply, args, Manner::Try)),
    ("try_divide", |context, args| binary(context, "TRY_DIVIDE", Operator::Divide, args, Manner::Try)),
    ("try_mod", |context, args| binary(context, "TRY_MOD", Operator::Modulo, args, Manner::Try)),
    ("pmod", pmod),
    ("round", |context, args| rounded(context, "round", args)),
    ("bround", |context, args| rounded(context, "bround", args)),
    ("floor", |context, args| rounded(context, "floor", args)),
    ("ceil", |context, args| rounded(context, "ceil", args)),
    ("ceiling", |context, args| rounded(context, "ceil", args)),
    ("$floor", |context, args| rounded(context, "floor", args)),
    ("$ceil", |context, args| rounded(context, "ceil", args)),
];

const D: &[Takes] = &[Takes::Double];
const DD: &[Takes] = &[Takes::Double, Takes::Double];

/// A function of one DOUBLE.
macro_rules! double {
    ($name:literal, $compute:expr) => {
        def($name, D, DOUBLE, |row| {
            let compute: fn(f64) -> f64 = $compute;
            Ok(Value::Float(compute(row.float(0))))
        })
    };
}

/// A logarithm, which is NULL up to a bound.
macro_rules! logarithm {
    ($name:literal, $above:literal, $compute:expr) => {
        def($name, D, DOUBLE, |row| {
            let compute: fn(f64) -> f64 = $compute;
            let value = row.float(0);
            Ok(if value <= $above { Value::Null } else { Value::Float(compute(value)) })
        })
    };
}

pub(super) const ROWS: &[Def] = &[
    double!("sqrt", f64::sqrt),
    double!("cbrt", f64::cbrt),
    double!("exp", libm::exp),
    double!("expm1", libm::expm1),
    double!("sin", libm::sin),
    double!("cos", libm::cos),
    double!("tan", libm::tan),
    double!("asin", libm::asin),
    double!("acos", libm::acos),
    double!("atan", libm::atan),
    double!("sinh", java_math::sinh),
    double!("cosh", java_math::cosh),
    double!("tanh", java_math::tanh),
    double!("cot", |value| 1.0 / libm::tan(value)),
    double!("sec", |value| 1.0 / libm::cos(value)),
    double!("csc", |value| 1.0 / libm::sin(value)),
    double!("degrees", |value| value * (180.0 / std::f64::consts::PI)),
    double!("radians", |value| value / 180.0 * std::f64::consts::PI),
    double!("rint", f64::round_ties_even),
    double!("sign", sign),
    double!("signum", sign),
    logarithm!("ln", 0.0, libm::log),
    logarithm!("log10", 0.0, libm::log10),
    logarithm!("log2", 0.0, |value| libm::log(value) / libm::log(2.0)),
    logarithm!("log1p", -1.0, libm::log1p),
    def("log", DD, DOUBLE, |row| {
        if row.values.len() == 1 {
            return Ok(if row.float(0) <= 0.0 { Value::Null } else { Value::Float(libm::log(row.float(0))) });
        }
        let (base, value) = (row.float(0), row.float(1));
        Ok(if base <= 0.0 || value <= 0.0 { Value::Null } else { Value::Float(libm::log(value) / libm::log(base)) })
    })
    .least(1),
    def("pow", DD, DOUBLE, |row| Ok(Value::Float(libm::pow(row.float(0), row.float(1))))),
    def("power", DD, DOUBLE, |row| Ok(Value::Float(libm::pow(row.float(0), row.float(1))))),
    def("hypot", DD, DOUBLE, |row| Ok(Value::Float(libm::hypot(row.float(0), row.float(1))))),
    def("atan2", DD, DOUBLE, |row| Ok(Value::Float(java_math::atan2(row.float(0) + 0.0, row.float(1) + 0.0)))),
    def("pi", &[], DOUBLE, |_| Ok(Value::Float(std::f64::consts::PI))),
    def("e", &[], DOUBLE, |_| Ok(Value::Float(std::f64::consts::E))),
    def("factorial", &[Takes::Int], LONG, |row| {
        let number = row.int(0);
        Ok(if (0..=20).contains(&number) { Value::Int((1..=number).product()) } else { Value::Null })
    }),
    def("bin", &[Takes::Long], TEXT, |row| Ok(Value::Text(format!("{:b}", row.int(0))))),
    def("shiftleft", &[Takes::Number, Takes::Int], Gives::By(int_or_long), |row| shift(row, "left")),
    def("shiftright", &[Takes::Number, Takes::Int], Gives::By(int_or_long), |row| shift(row, "right")),
    def("shiftrightunsigned", &[Takes::Number, Takes::Int], Gives::By(int_or_long), |row| shift(row, "unsigned")),
    def("$~", &[Takes::Number], Gives::By(|types| types.first().filter(|first| first.is_integer()).cloned()), |row| {
        Ok(Value::Int(!row.int(0)))
    }),
    def("bit_count", &[Takes::Any], INT, |row| match row.value(0) {
        Value::Bool(truth) => Ok(Value::Int(i64::from(*truth))),
        other => Ok(Value::Int(i64::from(other.int().count_ones()))),
    }),
    def("bit_get", &[Takes::Long, Takes::Int], TINY, |row| {
        let at = row.int(1);
        if !(0..64).contains(&at) {
            return Err(failed("sql.argument", format!("there is no bit {at}"), "bits count from 0 to 63"));
        }
        Ok(Value::Int(row.int(0) >> at & 1))
    }),
    def("getbit", &[Takes::Long, Takes::Int], TINY, |row| Ok(Value::Int(row.int(0) >> row.int(1).clamp(0, 63) & 1))),
    def("width_bucket", &[Takes::Double, Takes::Double, Takes::Double, Takes::Long], LONG, |row| {
        let (value, low, high, count) = (row.float(0), row.float(1), row.float(2), row.int(3));
        if count <= 0 || count == i64::MAX || value.is_nan() || low == high || !low.is_finite() || !high.is_finite() {
            return Ok(Value::Null);
        }
        let (lower, upper) = (low.min(high), low.max(high));
        let found = if low < high {
            if value < lower {
                0
            } else if value >= upper {
                count + 1
            } else {
                (count as f64 * (value - lower) / (upper - lower)) as i64 + 1
            }
        } else if value > upper {
            0
        } else if value <= lower {
            count + 1
        } else {
            (count as f64 * (upper - value) / (upper - lower)) as i64 + 1
        };
        Ok(Value::Int(found))
    }),
    def("conv", &[Takes::Text, Takes::Int, Takes::Int], TEXT, |row| conv(row.text(0), row.int(1), row.int(2))),
    def("acosh", D, DOUBLE, |row| {
        let x = row.float(0);
        Ok(Value::Float(libm::log(x + (x * x - 1.0).sqrt())))
    }),
    def("atanh", D, DOUBLE, |row| {
        let x = row.float(0);
        Ok(Value::Float(0.5 * (libm::log1p(x) - libm::log1p(-x))))
    }),
];

fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

fn int_or_long(types: &[SqlType]) -> Option<SqlType> {
    match types.first()? {
        SqlType::BigInt => Some(SqlType::BigInt),
        whole if whole.is_integer() => Some(SqlType::Int),
        _ => None,
    }
}

fn shift(row: &Row<'_>, way: &str) -> Planned<Value> {
    let long = *row.result == SqlType::BigInt;
    let by = u32::try_from(row.int(1).rem_euclid(if long { 64 } else { 32 })).unwrap_or(0);
    let (value, narrow) = (row.int(0), row.int(0) as i32);
    Ok(Value::Int(match (way, long) {
        ("left", true) => value.wrapping_shl(by),
        ("right", true) => value >> by,
        (_, true) => (value.cast_unsigned() >> by).cast_signed(),
        ("left", false) => i64::from(narrow.wrapping_shl(by)),
        ("right", false) => i64::from(narrow >> by),
        (_, false) => i64::from((narrow.cast_unsigned() >> by).cast_signed()),
    }))
}

/// A number in another base, as Hive reads and writes it.
fn conv(text: &str, from: i64, to: i64) -> Planned<Value> {
    let text = text.trim_matches(' ');
    if !(2..=36).contains(&from) || !(2..=36).contains(&to.abs()) || text.is_empty() {
        return Ok(Value::Null);
    }
    let (negative, body) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (base, target) = (u32::try_from(from).unwrap_or(10), u32::try_from(to.abs()).unwrap_or(10));
    let mut number = 0_u64;
    for letter in body.chars() {
        let Some(digit) = letter.to_digit(base) else { break };
        let next = number.checked_mul(u64::from(base)).and_then(|number| number.checked_add(u64::from(digit)));
        number = next.ok_or_else(|| failed("sql.overflow", "CONV of a number beyond 64 bits", "it takes 64 bits"))?;
    }
    let mut negative = negative;
    if negative && to > 0 {
        number = if number.cast_signed() < 0 { u64::MAX } else { number.wrapping_neg() };
        negative = false;
    }
    if to < 0 && number.cast_signed() < 0 {
        number = number.wrapping_neg();
        negative = true;
    }
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % u64::from(target)).unwrap_or(0);
        digits.push(char::from_digit(digit, target).unwrap_or('0').to_ascii_uppercase());
        number /= u64::from(target);
        if number == 0 {
            break;
        }
    }
    if negative {
        digits.push('-');
    }
    Ok(Value::Text(digits.into_iter().rev().collect()))
}

fn one(name: &str, args: Vec<Typed>) -> Result<Typed> {
    let [arg] = <[Typed; 1]>::try_from(args).map_err(|_| arity(name, "one argument"))?;
    Ok(arg)
}

fn binary(context: Context<'_>, name: &str, operator: Operator, args: Vec<Typed>, manner: Manner) -> Result<Typed> {
    let [left, right] = <[Typed; 2]>::try_from(args).map_err(|_| arity(name, "two arguments"))?;
    arithmetic(context, operator, left, right, manner)
}

fn abs(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let arg = one("ABS", args)?;
    let found = arg.sql_type.clone();
    let arg = if matches!(found, SqlType::DayTime(..) | SqlType::YearMonth(..)) {
        arg
    } else {
        super::taken(context, arg, Takes::Number)?.ok_or_else(|| refused("abs", &[found]))?
    };
    let result = arg.sql_type.clone();
    rows(context, "ABS", vec![arg], result, false, |row| {
        Ok(match row.value(0) {
            Value::Float(number) => Value::Float(number.abs()),
            Value::Decimal(number) => Value::Decimal(number.abs()),
            other => Value::Int(checked(i128::from(other.int()).abs(), row)?),
        })
    })
}

/// The remainder that is not negative beside a positive divisor.
fn pmod(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [value, divisor] = <[Typed; 2]>::try_from(args).map_err(|_| arity("PMOD", "two arguments"))?;
    let remainder = arithmetic(context, Operator::Modulo, value, divisor.clone(), Manner::Session)?;
    let result = remainder.sql_type.clone();
    let divisor = super::as_type(context, divisor, &result)?;
    rows(context, "PMOD", vec![remainder, divisor], result, false, |row| {
        Ok(match (row.value(0), row.value(1)) {
            (Value::Float(rest), Value::Float(by)) => Value::Float(if *rest < 0.0 { (rest + by) % by } else { *rest }),
            (Value::Decimal(rest), Value::Decimal(by)) => {
                Value::Decimal(if *rest < 0 { (rest + by) % by } else { *rest })
            }
            (rest, by) => Value::Int(if rest.int() < 0 { (rest.int() + by.int()) % by.int() } else { rest.int() }),
        })
    })
}

/// ROUND (half up), BROUND (half even), FLOOR and CEIL, to digits behind the point or in front of it.
fn rounded(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
    let mut args = args.into_iter();
    let (Some(value), places, None) = (args.next(), args.next(), args.next()) else {
        return Err(arity(&name.to_uppercase(), "a number and digits"));
    };
    let value = super::taken(context, value, Takes::Number)?.ok_or_else(|| refused(name, &types))?;
    let given = places.is_some();
    let places = match places {
        None => 0,
        Some(places) => match crate::typed::whole_constant(&places) {
            Some(places) => i32::try_from(places).unwrap_or(0),
            None => {
                return Err(headwater_change::Error::usage(
                    "sql.arguments",
                    format!("the digits of {} are a constant", name.to_uppercase()),
                ));
            }
        },
    };
    let ends = matches!(name, "floor" | "ceil");
    let by_decimal = ends && given && !value.sql_type.is_approximate();
    let value = match digits(&value.sql_type) {
        Some((precision, scale)) if by_decimal => super::as_type(context, value, &SqlType::Decimal(precision, scale))?,
        _ => value,
    };
    let result = match &value.sql_type {
        SqlType::Decimal(precision, scale) => {
            let (p, s) = (i32::from(*precision), i32::from(*scale));
            let whole = p - s + 1;
            let (p, s) = if places < 0 {
                (whole.max(-places + 1), 0)
            } else {
                let kept = s.min(places);
                (whole + kept, kept)
            };
            let (p, s) = adjusted(p.min(38), s);
            SqlType::Decimal(p, s)
        }
        whole if ends && !given && whole.is_integer() => SqlType::BigInt,
        number if ends && !given && number.is_approximate() => SqlType::BigInt,
        number if ends && number.is_approximate() => SqlType::Double,
        other => other.clone(),
    };
    let places = Typed::new(context.number(i64::from(places)).expr, SqlType::Int, false);
    let run: crate::functions::kernel::RowRun = match name {
        "round" => |row| round(row, Way::HalfUp),
        "bround" => |row| round(row, Way::HalfEven),
        "floor" => |row| round(row, Way::Down),
        _ => |row| round(row, Way::Up),
    };
    rows(context, name, vec![value, places], result, false, run)
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    HalfUp,
    HalfEven,
    Down,
    Up,
}

/// `value / 10^shift` as a whole number.
fn divided(value: i128, shift: u32, way: Way) -> Option<i128> {
    let Some(divisor) = 10_i128.checked_pow(shift) else {
        return Some(match way {
            Way::Down if value < 0 => -1,
            Way::Up if value > 0 => 1,
            _ => 0,
        });
    };
    let (quotient, rest) = (value.div_euclid(divisor), value.rem_euclid(divisor));
    let up = match way {
        Way::Down => false,
        Way::Up => rest > 0,
        // Away from zero at the middle.
        Way::HalfUp => {
            if value < 0 {
                rest * 2 > divisor
            } else {
                rest * 2 >= divisor
            }
        }
        Way::HalfEven => rest * 2 > divisor || rest * 2 == divisor && quotient % 2 != 0,
    };
    Some(if up { quotient + 1 } else { quotient })
}

fn round(row: &Row<'_>, way: Way) -> Planned<Value> {
    let places = i32::try_from(row.int(1)).unwrap_or(0);
    let overflow = || failed("sql.overflow", "a rounded number does not fit into its type", "CAST it to a wider type");
    Ok(match (row.value(0), row.result) {
        (Value::Decimal(value), SqlType::Decimal(precision, scale)) => {
            let SqlType::Decimal(_, own) = row.type_of(0) else { return Ok(Value::Null) };
            let own = i32::from(*own);
            let shift = own - places.min(own);
            let rounded = divided(*value, shift.unsigned_abs(), way).ok_or_else(overflow)?;
            // Back to the digits of the result.
            let at = own - shift;
            let moved = rescale(arrow::datatypes::i256::from_i128(rounded), i32::from(*scale) - at);
            let moved = moved.and_then(arrow::datatypes::i256::to_i128).ok_or_else(overflow)?;
            if moved.unsigned_abs() >= 10_u128.pow(u32::from(*precision)) {
                return Err(overflow());
            }
            Value::Decimal(moved)
        }
        (Value::Float(value), SqlType::BigInt) => {
            let found = if way == Way::Down { value.floor() } else { value.ceil() };
            Value::Int(found as i64)
        }
        (Value::Float(value), result) => Value::Float(round_float(*value, places, way, *result == SqlType::Float)),
        (value, _) if places >= 0 => Value::Int(value.int()),
        (value, _) => {
            let shift = places.unsigned_abs();
            let found = divided(i128::from(value.int()), shift, way).ok_or_else(overflow)?;
            let found = 10_i128.checked_pow(shift).and_then(|unit| found.checked_mul(unit)).unwrap_or(0);
            Value::Int(checked(found, row)?)
        }
    })
}

/// By the shortest decimal text of the number, as `BigDecimal(x)` of Scala has it.
fn round_float(value: f64, places: i32, way: Way, single: bool) -> f64 {
    if !value.is_finite() {
        return value;
    }
    let text = if single { format!("{}", value as f32) } else { format!("{value}") };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let scale = i32::try_from(fraction.len()).unwrap_or(0);
    if places >= scale {
        return value;
    }
    let Ok(unscaled) = format!("{whole}{fraction}").parse::<i128>() else { return value };
    let shift = (scale - places).unsigned_abs();
    let Some(found) = divided(unscaled, shift, way) else { return value };
    let found = format!("{found}e{}", -places);
    let found = if single { found.parse::<f32>().map(f64::from) } else { found.parse::<f64>() };
    found.unwrap_or(value)
}
