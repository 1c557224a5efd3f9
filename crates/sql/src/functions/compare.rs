//! Comparisons by Flink's rules. Operands become one type first, so most are left to Arrow's kernels; those below are not
//! what Arrow does: floats compare as Java's numbers do (NaN equals nothing, -0.0 equals 0.0) and decimals of different
//! scale compare exactly, also where no common decimal holds both.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, IntervalMonthDayNanoType, i256};
use datafusion::common::{Result as Planned, exec_err};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use headwater_change::{Error, Result};

use crate::functions::arithmetic::decimal::rescale;
use crate::functions::kernel::{Call, Kernel, Run};
use crate::typed::{Context, Typed, convert, null};
use crate::types::{SqlType, common_type};

/// `left operator right`.
pub(crate) fn compare(context: Context<'_>, operator: Operator, left: Typed, right: Typed) -> Result<Typed> {
    let null_safe = matches!(operator, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
    let nullable = !null_safe && (left.nullable || right.nullable);
    let (left, right) = operands(context, operator, left, right)?;
    let approximate = left.sql_type.is_approximate() || right.sql_type.is_approximate();
    let of_own = approximate
        || left.sql_type != right.sql_type
            && matches!((left.sql_type.digits(), right.sql_type.digits()), (Some(_), Some(_)))
        || matches!(left.sql_type, SqlType::Months | SqlType::Millis);
    let expr = if of_own {
        let kernel = Kernel::new(operator.to_string(), SqlType::Boolean, nullable, context.zone, run_of(operator)?);
        kernel.call([(left.expr, left.sql_type), (right.expr, right.sql_type)])
    } else {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left.expr), operator, Box::new(right.expr)))
    };
    // Never NULL, whatever the engine below makes of nullable operands.
    let expr = if null_safe { Expr::IsTrue(Box::new(expr)) } else { expr };
    Ok(Typed::new(expr, SqlType::Boolean, nullable))
}

/// Both operands as types that compare with each other.
fn operands(context: Context<'_>, operator: Operator, left: Typed, right: Typed) -> Result<(Typed, Typed)> {
    let temporal = |sql_type: &SqlType| {
        matches!(sql_type, SqlType::Date | SqlType::Time(_) | SqlType::Timestamp(_) | SqlType::TimestampLtz(_))
    };
    match (&left.sql_type, &right.sql_type) {
        (SqlType::Null, SqlType::Null) => Ok((null(&SqlType::Boolean)?, null(&SqlType::Boolean)?)),
        (SqlType::Null, other) => Ok((null(&other.clone())?, right)),
        (other, SqlType::Null) => {
            let none = null(&other.clone())?;
            Ok((left, none))
        }
        (a, b) if a == b => Ok((left, right)),
        (a, b) if a.is_approximate() || b.is_approximate() => {
            let common = match (a, b) {
                // Java compares a float with a whole number as floats.
                (SqlType::Float, other) | (other, SqlType::Float) if other.is_integer() => SqlType::Float,
                (a, b) if a.is_numeric() && b.is_numeric() => SqlType::Double,
                _ => return Err(refused(operator, &left, &right)),
            };
            Ok((convert(context, left, &common)?, convert(context, right, &common)?))
        }
        (SqlType::Decimal(..), b) if b.is_numeric() => Ok((left, right)),
        (a, SqlType::Decimal(..)) if a.is_numeric() => Ok((left, right)),
        (a, b) if a.is_text() && b.is_text() || a.is_bytes() && b.is_bytes() => Ok((left, right)),
        (a, b) if temporal(a) && b.is_text() => {
            let target = a.clone();
            Ok((left, convert(context, right, &target)?))
        }
        (a, b) if a.is_text() && temporal(b) => {
            let target = b.clone();
            Ok((convert(context, left, &target)?, right))
        }
        // Whichever has more digits, a zone counts: local times are taken in the session's.
        (SqlType::Timestamp(a), SqlType::TimestampLtz(b)) | (SqlType::TimestampLtz(b), SqlType::Timestamp(a)) => {
            let common = SqlType::TimestampLtz(*a.max(b));
            Ok((convert(context, left, &common)?, convert(context, right, &common)?))
        }
        (SqlType::Date, b) | (b, SqlType::Date) if b.is_timestamp() => Err(refused(operator, &left, &right)),
        (a, b) => match common_type([a, b]) {
            Some(common) => Ok((convert(context, left, &common)?, convert(context, right, &common)?)),
            None => Err(refused(operator, &left, &right)),
        },
    }
}

fn refused(operator: Operator, left: &Typed, right: &Typed) -> Error {
    Error::usage("sql.types", format!("{} {operator} {} is not defined", left.sql_type, right.sql_type))
        .hint(format!("CAST one side to the other's type, for example CAST(… AS {})", left.sql_type))
}

fn run_of(operator: Operator) -> Result<Run> {
    Ok(match operator {
        Operator::Eq => |call| ordered(call, |found| found == Some(Ordering::Equal)),
        Operator::NotEq => |call| ordered(call, |found| found != Some(Ordering::Equal)),
        Operator::Lt => |call| ordered(call, |found| found == Some(Ordering::Less)),
        Operator::LtEq => |call| ordered(call, |found| matches!(found, Some(Ordering::Less | Ordering::Equal))),
        Operator::Gt => |call| ordered(call, |found| found == Some(Ordering::Greater)),
        Operator::GtEq => |call| ordered(call, |found| matches!(found, Some(Ordering::Greater | Ordering::Equal))),
        Operator::IsDistinctFrom => |call| null_safe(call, false),
        Operator::IsNotDistinctFrom => |call| null_safe(call, true),
        other => return Err(Error::usage("sql.unsupported", format!("the operator {other} is not supported"))),
    })
}

/// How the values of a row are ordered; `None` where one is NaN.
type Order = Box<dyn Fn(usize) -> Option<Ordering>>;

fn order(call: &Call<'_>) -> Planned<(ArrayRef, ArrayRef, Order)> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let order: Order = match (call.type_of(0), call.type_of(1)) {
        (SqlType::Float, SqlType::Float) => {
            let (a, b) = (left.as_primitive::<Float32Type>().clone(), right.as_primitive::<Float32Type>().clone());
            Box::new(move |row| a.value(row).partial_cmp(&b.value(row)))
        }
        (a, b) if a.is_approximate() && b.is_approximate() => {
            let (a, b) = (arrow_cast(&left, &DataType::Float64)?, arrow_cast(&right, &DataType::Float64)?);
            let (a, b) = (a.as_primitive::<Float64Type>().clone(), b.as_primitive::<Float64Type>().clone());
            Box::new(move |row| a.value(row).partial_cmp(&b.value(row)))
        }
        (SqlType::Months | SqlType::Millis, _) => {
            let length = |column: &ArrayRef| column.as_primitive::<IntervalMonthDayNanoType>().clone();
            let (a, b) = (length(&left), length(&right));
            let size = |value: arrow::datatypes::IntervalMonthDayNano| {
                (value.months, i128::from(value.days) * 86_400_000_000_000 + i128::from(value.nanoseconds))
            };
            Box::new(move |row| Some(size(a.value(row)).cmp(&size(b.value(row)))))
        }
        (a, b) => match (a.digits(), b.digits()) {
            (Some(left_digits), Some(right_digits)) => decimals(&left, left_digits, &right, right_digits)?,
            _ => return exec_err!("{a} and {b} have no order of their own"),
        },
    };
    Ok((left, right, order))
}

/// Decimals, or integers as decimals, by value.
fn decimals(left: &ArrayRef, (p1, s1): (u8, u8), right: &ArrayRef, (p2, s2): (u8, u8)) -> Planned<Order> {
    let decimal = |precision, scale| DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(0));
    let (a, b) = (arrow_cast(left, &decimal(p1, s1))?, arrow_cast(right, &decimal(p2, s2))?);
    let (a, b) = (a.as_primitive::<Decimal128Type>().clone(), b.as_primitive::<Decimal128Type>().clone());
    let scale = i32::from(s1.max(s2));
    let (shift_a, shift_b) = (scale - i32::from(s1), scale - i32::from(s2));
    Ok(Box::new(move |row| {
        // 76 digits hold any decimal of 38 digits moved by 38.
        let (a, b) = (i256::from_i128(a.value(row)), i256::from_i128(b.value(row)));
        Some(rescale(a, shift_a)?.cmp(&rescale(b, shift_b)?))
    }))
}

fn ordered(call: &Call<'_>, holds: fn(Option<Ordering>) -> bool) -> Planned<ArrayRef> {
    let (left, right, order) = order(call)?;
    let rows = (0..call.rows).map(|row| (left.is_valid(row) && right.is_valid(row)).then(|| holds(order(row))));
    Ok(Arc::new(rows.collect::<BooleanArray>()))
}

fn null_safe(call: &Call<'_>, same: bool) -> Planned<ArrayRef> {
    let (left, right, order) = order(call)?;
    let equal = |row| match (left.is_valid(row), right.is_valid(row)) {
        (true, true) => order(row) == Some(Ordering::Equal),
        (false, false) => true,
        _ => false,
    };
    Ok(Arc::new((0..call.rows).map(|row| Some(equal(row) == same)).collect::<BooleanArray>()))
}
