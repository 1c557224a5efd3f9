//! Spark's operators: arithmetic that fails where it overflows or divides by zero (without ANSI it wraps, or is NULL),
//! comparisons in which NaN equals itself and is the greatest number, and arithmetic of dates and intervals.
//!
//! | operands | result |
//! |---|---|
//! | whole numbers | the wider type; `/` is DOUBLE, `DIV` BIGINT |
//! | a decimal with a decimal or whole number | Flink's digits, BIGINT as 20; a constant counts as many as it has |
//! | FLOAT, DOUBLE | DOUBLE unless both are FLOAT |
//! | text with a number | BIGINT or DOUBLE |
//! | dates, times, intervals | as their difference or sum says |

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::kernels::numeric::{add, add_wrapping, mul, mul_wrapping, sub, sub_wrapping};
use arrow::datatypes::{Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::{DataFusionError, Result as Planned, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use headwater_change::calendar::{civil_from_days, days_from_civil, month_days};
use headwater_change::{Error, Result, TimeZone};

use super::cast::{cast, range};
use super::text;
use super::types::{DAY_TO_SECOND, TIMESTAMP, YEAR_TO_MONTH, beside_text, digits, name, tightest};
use crate::functions::arithmetic::decimal;
use crate::functions::kernel::{Call, Kernel, Row, RowRun, Run};
use crate::functions::value::{DAY_MICROS, Value};
use crate::typed::{Context, Typed, null};
use crate::types::SqlType;

/// An error of a row.
pub(crate) fn failed(code: &'static str, message: impl Into<String>, hint: &str) -> DataFusionError {
    DataFusionError::External(Box::new(Error::data(code, message).hint(hint.to_owned())))
}

fn overflow() -> DataFusionError {
    failed("sql.overflow", "the result does not fit into its type", "try_add, try_subtract and try_multiply give NULL")
}

fn by_zero() -> DataFusionError {
    failed("sql.division", "division by zero", "try_divide and try_mod give NULL")
}

fn refused(operator: Operator, left: &Typed, right: &Typed) -> Error {
    let (left, right) = (name(&left.sql_type).to_uppercase(), name(&right.sql_type).to_uppercase());
    Error::usage("sql.types", format!("{left} {operator} {right} is not defined")).hint("CAST one of both")
}

/// What an operator is computed by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Fails, or without ANSI wraps and is NULL.
    Session,
    /// NULL (`try_add`).
    Try,
}

/// `left operator right`.
pub(crate) fn arithmetic(
    context: Context<'_>,
    operator: Operator,
    left: Typed,
    right: Typed,
    manner: Manner,
) -> Result<Typed> {
    let (left, right) = match (&left.sql_type, &right.sql_type) {
        (SqlType::Null, SqlType::Null) => (null(&SqlType::Double)?, null(&SqlType::Double)?),
        (SqlType::Null, other) => (null(&other.clone())?, right),
        (other, SqlType::Null) => {
            let none = null(&other.clone())?;
            (left, none)
        }
        (a, b) if a.is_text() && b.is_numeric() => {
            let target = beside_text(b).unwrap_or(SqlType::Double);
            (cast(context, left, &target, false)?, right)
        }
        (a, b) if a.is_numeric() && b.is_text() => {
            let target = beside_text(a).unwrap_or(SqlType::Double);
            (left, cast(context, right, &target, false)?)
        }
        _ => (left, right),
    };
    if !left.sql_type.is_numeric() || !right.sql_type.is_numeric() {
        return temporal(context, operator, left, right);
    }
    numbers(context, operator, left, right, manner)
}

/// A constant counts as many digits as it has beside a decimal.
fn literal_digits(value: &Typed) -> Option<(u8, u8)> {
    let whole: i128 = match &value.expr {
        Expr::Literal(ScalarValue::Int8(Some(number)), _) => (*number).into(),
        Expr::Literal(ScalarValue::Int16(Some(number)), _) => (*number).into(),
        Expr::Literal(ScalarValue::Int32(Some(number)), _) => (*number).into(),
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => (*number).into(),
        _ => return digits(&value.sql_type),
    };
    let length = whole.unsigned_abs().to_string().len();
    u8::try_from(length).ok().map(|length| (length, 0))
}

fn numbers(context: Context<'_>, operator: Operator, left: Typed, right: Typed, manner: Manner) -> Result<Typed> {
    let divides = matches!(operator, Operator::Divide | Operator::Modulo | Operator::IntegerDivide);
    let nullable = left.nullable || right.nullable || manner == Manner::Try || !context.ansi;
    let approximate = left.sql_type.is_approximate() || right.sql_type.is_approximate();
    let decimals = matches!(left.sql_type, SqlType::Decimal(..)) || matches!(right.sql_type, SqlType::Decimal(..));
    let run: Run = match (operator, manner) {
        (Operator::Plus, Manner::Session) => |call| computed(call, Operator::Plus, false),
        (Operator::Plus, Manner::Try) => |call| computed(call, Operator::Plus, true),
        (Operator::Minus, Manner::Session) => |call| computed(call, Operator::Minus, false),
        (Operator::Minus, Manner::Try) => |call| computed(call, Operator::Minus, true),
        (Operator::Multiply, Manner::Session) => |call| computed(call, Operator::Multiply, false),
        (Operator::Multiply, Manner::Try) => |call| computed(call, Operator::Multiply, true),
        (Operator::Divide, Manner::Session) => |call| computed(call, Operator::Divide, false),
        (Operator::Divide, Manner::Try) => |call| computed(call, Operator::Divide, true),
        (Operator::Modulo, Manner::Session) => |call| computed(call, Operator::Modulo, false),
        (Operator::Modulo, Manner::Try) => |call| computed(call, Operator::Modulo, true),
        (Operator::IntegerDivide, _) => |call| computed(call, Operator::IntegerDivide, false),
        _ => return Err(refused(operator, &left, &right)),
    };
    let called = |args: [Typed; 2], result: SqlType| {
        let shown = if manner == Manner::Try { format!("TRY {operator}") } else { operator.to_string() };
        let kernel = Kernel::new(shown, result.clone(), nullable, context.zone, run).ansi(context.ansi);
        Typed::new(kernel.call(args.map(|arg| (arg.expr, arg.sql_type))), result, nullable)
    };
    if decimals && !approximate {
        let (Some(a), Some(b)) = (literal_digits(&left), literal_digits(&right)) else {
            return Err(refused(operator, &left, &right));
        };
        let result = match operator {
            Operator::IntegerDivide => SqlType::BigInt,
            operator => {
                let (precision, scale) = decimal::result_digits(operator, a, b);
                SqlType::Decimal(precision, scale)
            }
        };
        let left = cast(context, left, &SqlType::Decimal(a.0, a.1), false)?;
        let right = cast(context, right, &SqlType::Decimal(b.0, b.1), false)?;
        return Ok(called([left, right], result));
    }
    let common = match operator {
        Operator::Divide => Some(SqlType::Double),
        Operator::IntegerDivide if approximate => None,
        Operator::IntegerDivide => Some(SqlType::BigInt),
        _ => tightest(&left.sql_type, &right.sql_type),
    };
    let common = common.ok_or_else(|| refused(operator, &left, &right))?;
    if approximate && divides && operator == Operator::IntegerDivide {
        return Err(refused(operator, &left, &right));
    }
    let left = cast(context, left, &common, false)?;
    let right = cast(context, right, &common, false)?;
    Ok(called([left, right], common))
}

/// Numbers of one type; with `lenient` NULL where the result is none.
fn computed(call: &Call<'_>, operator: Operator, lenient: bool) -> Planned<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    if let (SqlType::Decimal(p1, s1), SqlType::Decimal(p2, s2)) = (call.type_of(0), call.type_of(1)) {
        return decimal_result(call, operator, lenient, (&left, (*p1, *s1)), (&right, (*p2, *s2)));
    }
    match call.type_of(0) {
        SqlType::TinyInt => whole::<Int8Type>(call, operator, lenient, &left, &right),
        SqlType::SmallInt => whole::<Int16Type>(call, operator, lenient, &left, &right),
        SqlType::Int => whole::<Int32Type>(call, operator, lenient, &left, &right),
        SqlType::BigInt => whole::<Int64Type>(call, operator, lenient, &left, &right),
        SqlType::Float => floats::<arrow::datatypes::Float32Type>(call, operator, lenient, &left, &right),
        _ => floats::<Float64Type>(call, operator, lenient, &left, &right),
    }
}

fn whole<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    operator: Operator,
    lenient: bool,
    left: &ArrayRef,
    right: &ArrayRef,
) -> Planned<ArrayRef> {
    let strict = call.ansi && !lenient;
    match operator {
        Operator::Plus if strict => return add(left, right).map_err(|_| overflow()),
        Operator::Minus if strict => return sub(left, right).map_err(|_| overflow()),
        Operator::Multiply if strict => return mul(left, right).map_err(|_| overflow()),
        Operator::Plus if !lenient => return Ok(add_wrapping(left, right)?),
        Operator::Minus if !lenient => return Ok(sub_wrapping(left, right)?),
        Operator::Multiply if !lenient => return Ok(mul_wrapping(left, right)?),
        _ => {}
    }
    let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
    let mut out = arrow::array::PrimitiveBuilder::<T>::with_capacity(left.len());
    for row in 0..left.len() {
        if left.is_null(row) || right.is_null(row) {
            out.append_null();
            continue;
        }
        let (a, b) = (left.value(row), right.value(row));
        let found = match operator {
            Operator::Plus => a.add_checked(b).ok(),
            Operator::Minus => a.sub_checked(b).ok(),
            Operator::Multiply => a.mul_checked(b).ok(),
            _ if b.is_zero() => {
                if strict {
                    return Err(by_zero());
                }
                None
            }
            Operator::IntegerDivide => match a.div_checked(b) {
                Ok(found) => Some(found),
                Err(_) if strict => return Err(overflow()),
                Err(_) => Some(a.div_wrapping(b)),
            },
            _ => Some(a.mod_wrapping(b)),
        };
        out.append_option(found);
    }
    Ok(Arc::new(out.finish()))
}

fn floats<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    operator: Operator,
    lenient: bool,
    left: &ArrayRef,
    right: &ArrayRef,
) -> Planned<ArrayRef> {
    match operator {
        Operator::Plus => return Ok(add_wrapping(left, right)?),
        Operator::Minus => return Ok(sub_wrapping(left, right)?),
        Operator::Multiply => return Ok(mul_wrapping(left, right)?),
        _ => {}
    }
    let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
    let strict = call.ansi && !lenient;
    let mut out = arrow::array::PrimitiveBuilder::<T>::with_capacity(left.len());
    for row in 0..left.len() {
        if left.is_null(row) || right.is_null(row) {
            out.append_null();
            continue;
        }
        let (a, b) = (left.value(row), right.value(row));
        // Also -0.0, which is not zero to Arrow.
        if b.is_zero() || b.neg_wrapping().is_zero() {
            if strict {
                return Err(by_zero());
            }
            out.append_null();
            continue;
        }
        out.append_value(if operator == Operator::Divide { a.div_wrapping(b) } else { a.mod_wrapping(b) });
    }
    Ok(Arc::new(out.finish()))
}

fn decimal_result(
    call: &Call<'_>,
    operator: Operator,
    lenient: bool,
    left: (&ArrayRef, (u8, u8)),
    right: (&ArrayRef, (u8, u8)),
) -> Planned<ArrayRef> {
    use arrow::datatypes::Decimal128Type;
    let strict = call.ansi && !lenient;
    let mut divisors = Arc::clone(right.0);
    if matches!(operator, Operator::Divide | Operator::Modulo | Operator::IntegerDivide) {
        let found = right.0.as_primitive::<Decimal128Type>();
        let zero = |row: usize| found.is_valid(row) && left.0.is_valid(row) && found.value(row) == 0;
        if (0..found.len()).any(zero) {
            if strict {
                return Err(by_zero());
            }
            let kept = found.iter().map(|value| value.filter(|value| *value != 0));
            let kept: PrimitiveArray<Decimal128Type> = kept.collect();
            divisors = Arc::new(kept.with_data_type(found.data_type().clone()));
        } else {
            // A zero beside NULL is not divided by.
            let kept = found.iter().map(|value| value.filter(|value| *value != 0));
            let kept: PrimitiveArray<Decimal128Type> = kept.collect();
            divisors = Arc::new(kept.with_data_type(found.data_type().clone()));
        }
    }
    let right = (&divisors, right.1);
    if operator == Operator::IntegerDivide {
        return whole_quotient(call, left, right);
    }
    let SqlType::Decimal(precision, scale) = call.result else { return Err(overflow()) };
    let found = decimal::decimals(operator, left, right, (*precision, *scale))?;
    let expected = (0..found.len()).filter(|row| left.0.is_null(*row) || right.0.is_null(*row)).count();
    if strict && found.null_count() > expected {
        return Err(failed(
            "sql.overflow",
            format!("a result does not fit into DECIMAL({precision}, {scale})"),
            "CAST the operands to fewer digits",
        ));
    }
    Ok(found)
}

fn whole_quotient(call: &Call<'_>, left: (&ArrayRef, (u8, u8)), right: (&ArrayRef, (u8, u8))) -> Planned<ArrayRef> {
    use arrow::datatypes::{Decimal128Type, i256};
    let (a, b) = (left.0.as_primitive::<Decimal128Type>(), right.0.as_primitive::<Decimal128Type>());
    let scale = i32::from(left.1.1.max(right.1.1));
    let aligned = |value: i128, own: u8| decimal::rescale(i256::from_i128(value), scale - i32::from(own));
    let mut out = arrow::array::Int64Builder::with_capacity(call.rows);
    for row in 0..call.rows {
        if a.is_null(row) || b.is_null(row) {
            out.append_null();
            continue;
        }
        let quotient = aligned(a.value(row), left.1.1)
            .zip(aligned(b.value(row), right.1.1))
            .and_then(|(a, b)| a.checked_div(b))
            .and_then(i256::to_i128)
            .and_then(|found| i64::try_from(found).ok());
        match quotient {
            None if call.ansi => return Err(overflow()),
            found => out.append_option(found),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// `-x`.
pub(crate) fn negate(context: Context<'_>, value: Typed) -> Result<Typed> {
    let value = match &value.sql_type {
        SqlType::Null => null(&SqlType::Double)?,
        text if text.is_text() => cast(context, value, &SqlType::Double, false)?,
        _ => value,
    };
    if !value.sql_type.is_numeric() && !matches!(value.sql_type, SqlType::DayTime(..) | SqlType::YearMonth(..)) {
        return Err(Error::usage("sql.types", format!("- does not take {}", name(&value.sql_type).to_uppercase())));
    }
    let (sql_type, nullable) = (value.sql_type.clone(), value.nullable);
    let kernel = Kernel::rows("-", sql_type.clone(), nullable, context, |row| {
        Ok(match row.value(0) {
            Value::Float(number) => Value::Float(-number),
            Value::Decimal(number) => Value::Decimal(-number),
            other => Value::Int(checked(-i128::from(other.int()), row)?),
        })
    });
    Ok(Typed::new(kernel.call([(value.expr, value.sql_type)]), sql_type, nullable))
}

/// A whole number in the type of the result; without ANSI its low bits.
pub(crate) fn checked(number: i128, row: &Row<'_>) -> Planned<i64> {
    let (least, most) = range(row.result);
    if (least..=most).contains(&number) {
        return i64::try_from(number).map_err(|_| overflow());
    }
    if row.ansi {
        return Err(overflow());
    }
    Ok(match row.result {
        SqlType::TinyInt => i64::from(number as i8),
        SqlType::SmallInt => i64::from(number as i16),
        SqlType::Int => i64::from(number as i32),
        _ => number as i64,
    })
}

// Comparisons.

/// `left operator right`.
pub(crate) fn compare(context: Context<'_>, operator: Operator, left: Typed, right: Typed) -> Result<Typed> {
    let null_safe = matches!(operator, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
    let nullable = !null_safe && (left.nullable || right.nullable);
    let common = match (&left.sql_type, &right.sql_type) {
        (SqlType::Null, SqlType::Null) => Some(SqlType::Boolean),
        (a, b) if a.is_text() && !b.is_text() && *b != SqlType::Null => beside_text(b),
        (a, b) if b.is_text() && !a.is_text() && *a != SqlType::Null => beside_text(a),
        (a, b) => tightest(a, b),
    };
    let common = common.ok_or_else(|| refused(operator, &left, &right))?;
    let left = context.fold(cast(context, left, &common, false)?);
    let right = context.fold(cast(context, right, &common, false)?);
    let own = matches!(
        common,
        SqlType::Float | SqlType::Double | SqlType::Other(_) | SqlType::DayTime(..) | SqlType::YearMonth(..)
    );
    let expr = if own {
        let kernel = Kernel::rows(operator.to_string(), SqlType::Boolean, nullable, context, run_of(operator)?);
        let kernel = if null_safe { kernel.with_nulls() } else { kernel };
        if common == SqlType::Double {
            let run = float_run(operator)?;
            Kernel::new(operator.to_string(), SqlType::Boolean, nullable, context.zone, run)
                .call([(left.expr, left.sql_type), (right.expr, right.sql_type)])
        } else {
            kernel.call([(left.expr, left.sql_type), (right.expr, right.sql_type)])
        }
    } else {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left.expr), operator, Box::new(right.expr)))
    };
    let expr = if null_safe { Expr::IsTrue(Box::new(expr)) } else { expr };
    Ok(Typed::new(expr, SqlType::Boolean, nullable))
}

/// The order of two numbers: NaN equals itself and is above all others, -0.0 is 0.0.
pub(crate) fn float_order(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// The order of two values of one type; NULL is the least.
pub(crate) fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => float_order(*a, *b),
        (Value::Decimal(a), Value::Decimal(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::List(a) | Value::Struct(a), Value::List(b) | Value::Struct(b)) => {
            let first = a.iter().zip(b).map(|(a, b)| order(a, b)).find(|found| *found != Ordering::Equal);
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => Ordering::Equal,
    }
}

fn run_of(operator: Operator) -> Result<RowRun> {
    Ok(match operator {
        Operator::Eq => |row| Ok(Value::Bool(order(row.value(0), row.value(1)) == Ordering::Equal)),
        Operator::NotEq => |row| Ok(Value::Bool(order(row.value(0), row.value(1)) != Ordering::Equal)),
        Operator::Lt => |row| Ok(Value::Bool(order(row.value(0), row.value(1)) == Ordering::Less)),
        Operator::LtEq => |row| Ok(Value::Bool(order(row.value(0), row.value(1)) != Ordering::Greater)),
        Operator::Gt => |row| Ok(Value::Bool(order(row.value(0), row.value(1)) == Ordering::Greater)),
        Operator::GtEq => |row| Ok(Value::Bool(order(row.value(0), row.value(1)) != Ordering::Less)),
        Operator::IsNotDistinctFrom => |row| Ok(Value::Bool(order(row.value(0), row.value(1)) == Ordering::Equal)),
        Operator::IsDistinctFrom => |row| Ok(Value::Bool(order(row.value(0), row.value(1)) != Ordering::Equal)),
        other => return Err(Error::usage("sql.unsupported", format!("the operator {other} is not supported"))),
    })
}

fn float_run(operator: Operator) -> Result<Run> {
    Ok(match operator {
        Operator::Eq => |call| by_order(call, |found| found == Ordering::Equal),
        Operator::NotEq => |call| by_order(call, |found| found != Ordering::Equal),
        Operator::Lt => |call| by_order(call, |found| found == Ordering::Less),
        Operator::LtEq => |call| by_order(call, |found| found != Ordering::Greater),
        Operator::Gt => |call| by_order(call, |found| found == Ordering::Greater),
        Operator::GtEq => |call| by_order(call, |found| found != Ordering::Less),
        Operator::IsNotDistinctFrom => |call| null_safe_floats(call, true),
        Operator::IsDistinctFrom => |call| null_safe_floats(call, false),
        other => return Err(Error::usage("sql.unsupported", format!("the operator {other} is not supported"))),
    })
}

fn by_order(call: &Call<'_>, holds: fn(Ordering) -> bool) -> Planned<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let pairs = left.as_primitive::<Float64Type>().iter().zip(right.as_primitive::<Float64Type>());
    let found = pairs.map(|(a, b)| a.zip(b).map(|(a, b)| holds(float_order(a, b))));
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

fn null_safe_floats(call: &Call<'_>, same: bool) -> Planned<ArrayRef> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let pairs = left.as_primitive::<Float64Type>().iter().zip(right.as_primitive::<Float64Type>());
    let equal = pairs.map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => float_order(a, b) == Ordering::Equal,
        (a, b) => a.is_none() && b.is_none(),
    });
    Ok(Arc::new(equal.map(|found| Some(found == same)).collect::<BooleanArray>()))
}

// Dates and intervals.

/// The day so many months later, at the end of a shorter month.
pub(crate) fn add_months(days: i64, months: i64) -> i64 {
    let (year, month, day) = civil_from_days(days);
    let total = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    days_from_civil(year, month, i64::from(day).min(month_days(year, month)))
}

/// A timestamp of a type so many months later.
pub(crate) fn timestamp_add_months(micros: i64, months: i64, sql_type: &SqlType, zone: TimeZone) -> i64 {
    let instant = matches!(sql_type, SqlType::TimestampLtz(_));
    let local = if instant { text::local(micros, zone) } else { micros };
    let (day, rest) = (local.div_euclid(DAY_MICROS), local.rem_euclid(DAY_MICROS));
    let moved = add_months(day, months) * DAY_MICROS + rest;
    if instant { text::instant(moved, zone) } else { moved }
}

fn temporal(context: Context<'_>, operator: Operator, left: Typed, right: Typed) -> Result<Typed> {
    use SqlType::{Date, DayTime, YearMonth};
    let nullable = left.nullable || right.nullable;
    let is_int = |sql_type: &SqlType| matches!(sql_type, SqlType::TinyInt | SqlType::SmallInt | SqlType::Int);
    let (plus, minus) = (operator == Operator::Plus, operator == Operator::Minus);
    let swapped = plus
        && (matches!(left.sql_type, DayTime(..) | YearMonth(..))
            && !matches!(right.sql_type, DayTime(..) | YearMonth(..))
            || is_int(&left.sql_type));
    let swapped = swapped || operator == Operator::Multiply && left.sql_type.is_numeric();
    let (left, right) = if swapped { (right, left) } else { (left, right) };
    // Text beside a date or a timestamp is one.
    let (left, right) = match (&left.sql_type, &right.sql_type) {
        (text, DayTime(..) | YearMonth(..)) if text.is_text() => (cast(context, left, &TIMESTAMP, false)?, right),
        (date, text) if minus && text.is_text() && (*date == Date || date.is_timestamp()) => {
            let target = date.clone();
            (left, cast(context, right, &target, false)?)
        }
        (Date, DayTime(_, last)) if *last > 0 => (cast(context, left, &TIMESTAMP, false)?, right),
        _ => (left, right),
    };
    let sign_plus = plus;
    let (result, run): (SqlType, RowRun) = match (&left.sql_type, &right.sql_type) {
        (Date, days) if is_int(days) && sign_plus => (Date, |row| Ok(Value::Int(row.int(0) + row.int(1)))),
        (Date, days) if is_int(days) && minus => (Date, |row| Ok(Value::Int(row.int(0) - row.int(1)))),
        (Date, Date) if minus => (DayTime(0, 0), |row| Ok(Value::Int((row.int(0) - row.int(1)) * DAY_MICROS))),
        (a, b)
            if minus
                && (a.is_timestamp() || b.is_timestamp())
                && (a.is_timestamp() || *a == Date)
                && (b.is_timestamp() || *b == Date) =>
        {
            let common = tightest(a, b).ok_or_else(|| refused(operator, &left, &right))?;
            let left = cast(context, left, &common, false)?;
            let right = cast(context, right, &common, false)?;
            let kernel = Kernel::rows("-", DAY_TO_SECOND, nullable, context, |row| {
                let shown = |index| {
                    if matches!(row.type_of(index), SqlType::TimestampLtz(_)) {
                        text::local(row.int(index), row.zone)
                    } else {
                        row.int(index)
                    }
                };
                Ok(Value::Int(shown(0) - shown(1)))
            });
            let expr = kernel.call([(left.expr, left.sql_type), (right.expr, right.sql_type)]);
            return Ok(Typed::new(expr, DAY_TO_SECOND, nullable));
        }
        (Date, YearMonth(..)) if sign_plus => (Date, |row| Ok(Value::Int(add_months(row.int(0), row.int(1))))),
        (Date, YearMonth(..)) if minus => (Date, |row| Ok(Value::Int(add_months(row.int(0), -row.int(1))))),
        (Date, DayTime(0, 0)) if sign_plus => (Date, |row| Ok(Value::Int(row.int(0) + row.int(1) / DAY_MICROS))),
        (Date, DayTime(0, 0)) if minus => (Date, |row| Ok(Value::Int(row.int(0) - row.int(1) / DAY_MICROS))),
        (time, YearMonth(..)) if time.is_timestamp() && (sign_plus || minus) => {
            let run: RowRun = if minus {
                |row| Ok(Value::Int(timestamp_add_months(row.int(0), -row.int(1), row.type_of(0), row.zone)))
            } else {
                |row| Ok(Value::Int(timestamp_add_months(row.int(0), row.int(1), row.type_of(0), row.zone)))
            };
            (time.clone(), run)
        }
        (time, DayTime(..)) if time.is_timestamp() && sign_plus => {
            (time.clone(), |row| row.int(0).checked_add(row.int(1)).map(Value::Int).ok_or_else(overflow))
        }
        (time, DayTime(..)) if time.is_timestamp() && minus => {
            (time.clone(), |row| row.int(0).checked_sub(row.int(1)).map(Value::Int).ok_or_else(overflow))
        }
        (DayTime(..), DayTime(..)) | (YearMonth(..), YearMonth(..)) if sign_plus || minus => {
            let common = tightest(&left.sql_type, &right.sql_type).ok_or_else(|| refused(operator, &left, &right))?;
            let run: RowRun = if minus {
                |row| row.int(0).checked_sub(row.int(1)).map(Value::Int).ok_or_else(overflow)
            } else {
                |row| row.int(0).checked_add(row.int(1)).map(Value::Int).ok_or_else(overflow)
            };
            (common, run)
        }
        (DayTime(..) | YearMonth(..), number) if number.is_numeric() => {
            let result = if matches!(left.sql_type, DayTime(..)) { DAY_TO_SECOND } else { YEAR_TO_MONTH };
            let run: RowRun = match operator {
                Operator::Multiply => |row| scaled(row, false),
                Operator::Divide => |row| scaled(row, true),
                _ => return Err(refused(operator, &left, &right)),
            };
            (result, run)
        }
        _ => return Err(refused(operator, &left, &right)),
    };
    let kernel = Kernel::rows(operator.to_string(), result.clone(), nullable, context, run);
    let expr = kernel.call([(left.expr, left.sql_type), (right.expr, right.sql_type)]);
    Ok(Typed::new(expr, result, nullable))
}

/// An interval times or by a number, half up.
fn scaled(row: &Row<'_>, divides: bool) -> Planned<Value> {
    let factor = match row.value(1) {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        Value::Decimal(_) => text::of(row.value(1), row.type_of(1), TimeZone::UTC).parse().unwrap_or(f64::NAN),
        _ => return Ok(Value::Null),
    };
    if divides && factor == 0.0 {
        return Err(failed("sql.division", "an interval divided by zero", "compare the divisor with 0 before"));
    }
    if let (Value::Int(number), false) = (row.value(1), divides) {
        return row.int(0).checked_mul(*number).map(Value::Int).ok_or_else(overflow);
    }
    let found = if divides { row.int(0) as f64 / factor } else { row.int(0) as f64 * factor };
    if found.is_nan() || found.abs() >= 9e18 {
        return Err(overflow());
    }
    Ok(Value::Int(found.abs().mul_add(1.0, 0.5).floor() as i64 * if found < 0.0 { -1 } else { 1 }))
}

// Bits.

/// `a & b`, `a | b`, `a ^ b`.
pub(crate) fn bits(context: Context<'_>, operator: Operator, left: Typed, right: Typed) -> Result<Typed> {
    let nullable = left.nullable || right.nullable;
    let common = tightest(&left.sql_type, &right.sql_type).filter(SqlType::is_integer);
    let common = common.ok_or_else(|| refused(operator, &left, &right))?;
    let run: RowRun = match operator {
        Operator::BitwiseAnd => |row| Ok(Value::Int(row.int(0) & row.int(1))),
        Operator::BitwiseOr => |row| Ok(Value::Int(row.int(0) | row.int(1))),
        Operator::BitwiseXor => |row| Ok(Value::Int(row.int(0) ^ row.int(1))),
        _ => return Err(refused(operator, &left, &right)),
    };
    let (left, right) = (cast(context, left, &common, false)?, cast(context, right, &common, false)?);
    let kernel = Kernel::rows(operator.to_string(), common.clone(), nullable, context, run);
    Ok(Typed::new(kernel.call([(left.expr, left.sql_type), (right.expr, right.sql_type)]), common, nullable))
}
