//! Functions that choose between values. They become CASE, so that only what is chosen is computed.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{interleave, kernels::cmp, not};
use arrow::datatypes::{Float32Type, Float64Type};
use datafusion::common::Result as Planned;
use datafusion::logical_expr::{Expr, Operator};
use headwater_change::{Error, Result};

use super::Bind;
use super::compare::compare;
use super::kernel::{Call, Kernel, Run};
use crate::typed::{Context, Typed, convert, null};
use crate::types::{SqlType, common_type};

pub(super) const ALL: &[(&str, Bind)] = &[
    ("coalesce", coalesce),
    ("ifnull", if_null),
    ("nullif", null_if),
    ("if", choose),
    ("greatest", greatest),
    ("least", least),
];

/// `COALESCE(a, b, …)`: the first that is not NULL. Beside a decimal FLOAT stays FLOAT here (Flink's rule).
fn coalesce(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.is_empty() {
        return Err(super::arity("COALESCE", "at least one value"));
    }
    let common = common_type(args.iter().map(|arg| &arg.sql_type)).filter(|common| *common != SqlType::Null);
    let common = common.ok_or_else(|| super::no_common("COALESCE", &args))?;
    let float = args.iter().any(|arg| arg.sql_type == SqlType::Float)
        && args.iter().all(|arg| arg.sql_type.is_numeric() && arg.sql_type != SqlType::Double);
    let common = if float { SqlType::Float } else { common };
    let mut args = args.into_iter().map(|arg| convert(context, arg, &common)).collect::<Result<Vec<_>>>()?;
    let last = args.pop().ok_or_else(|| Error::bug("sql.coalesce", "COALESCE without values"))?;
    if args.is_empty() {
        return Ok(last);
    }
    // All but the last can only be chosen where they are not NULL.
    let nullable = args.iter().all(|arg| arg.nullable) && last.nullable;
    let branches = args
        .into_iter()
        .map(|arg| {
            let found = Typed::new(Expr::IsNotNull(Box::new(arg.expr.clone())), SqlType::Boolean, false);
            (found, arg)
        })
        .collect();
    Ok(Typed { nullable, ..context.branches(branches, Some(last))? })
}

fn if_null(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.len() != 2 {
        return Err(super::arity("IFNULL", "two values"));
    }
    coalesce(context, args)
}

/// `NULLIF(a, b)`: NULL where they are equal, of the type of `a`.
fn null_if(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [value, other] = <[Typed; 2]>::try_from(args).map_err(|_| super::arity("NULLIF", "two values"))?;
    let none = null(&value.sql_type)?;
    let equal = compare(context, Operator::Eq, value.clone(), other)?;
    context.branches(vec![(equal, none)], Some(value))
}

/// `IF(condition, a, b)`.
fn choose(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [condition, yes, no] =
        <[Typed; 3]>::try_from(args).map_err(|_| super::arity("IF", "a condition and two values"))?;
    if condition.sql_type != SqlType::Boolean {
        return Err(super::refused("IF", &[condition, yes, no]));
    }
    context.branches(vec![(condition, yes)], Some(no))
}

fn greatest(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    extreme(context, "GREATEST", args, |call| pick(call, true))
}

fn least(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    extreme(context, "LEAST", args, |call| pick(call, false))
}

/// NULL if any argument is NULL.
fn extreme(context: Context<'_>, name: &str, args: Vec<Typed>, run: Run) -> Result<Typed> {
    let common = common_type(args.iter().map(|arg| &arg.sql_type));
    let common = common.filter(|common| *common != SqlType::Null).ok_or_else(|| super::no_common(name, &args))?;
    if matches!(common, SqlType::Other(_) | SqlType::Months | SqlType::Millis) {
        return Err(super::refused(name, &args));
    }
    let nullable = args.iter().any(|arg| arg.nullable);
    let args = args.into_iter().map(|arg| convert(context, arg, &common)).collect::<Result<Vec<_>>>()?;
    let kernel = Kernel::new(name, common.clone(), nullable, context.zone, run);
    Ok(Typed::new(kernel.call(args.into_iter().map(|arg| (arg.expr, arg.sql_type))), common, nullable))
}

fn pick(call: &Call<'_>, greatest: bool) -> Planned<ArrayRef> {
    let columns = (0..call.len()).map(|index| call.array(index)).collect::<Planned<Vec<_>>>()?;
    let mut chosen = vec![0_usize; call.rows];
    for (index, column) in columns.iter().enumerate().skip(1) {
        // The one so far, row by row, against the next.
        let so_far = gathered(&columns, &chosen)?;
        let better = if greatest { above(column, &so_far)? } else { above(&so_far, column)? };
        for (row, slot) in chosen.iter_mut().enumerate() {
            if better.get(row).copied().unwrap_or(false) {
                *slot = index;
            }
        }
    }
    let picked = gathered(&columns, &chosen)?;
    let missing = |row: usize| columns.iter().any(|column| column.is_null(row));
    let valid = arrow::array::BooleanArray::from_iter((0..call.rows).map(|row| Some(!missing(row))));
    Ok(arrow::compute::nullif(&picked, &not(&valid)?)?)
}

fn gathered(columns: &[ArrayRef], chosen: &[usize]) -> Planned<ArrayRef> {
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let places: Vec<(usize, usize)> = chosen.iter().enumerate().map(|(row, column)| (*column, row)).collect();
    Ok(interleave(&columns, &places)?)
}

/// Where `left` is above `right`. Floats compare as Java's.
fn above(left: &ArrayRef, right: &ArrayRef) -> Planned<Vec<bool>> {
    let greater = |found: Option<Ordering>| found == Some(Ordering::Greater);
    if let (Some(a), Some(b)) = (left.as_primitive_opt::<Float64Type>(), right.as_primitive_opt::<Float64Type>()) {
        return Ok((0..a.len()).map(|row| greater(a.value(row).partial_cmp(&b.value(row)))).collect());
    }
    if let (Some(a), Some(b)) = (left.as_primitive_opt::<Float32Type>(), right.as_primitive_opt::<Float32Type>()) {
        return Ok((0..a.len()).map(|row| greater(a.value(row).partial_cmp(&b.value(row)))).collect());
    }
    let found = cmp::gt(left, right)?;
    Ok((0..found.len()).map(|row| found.is_valid(row) && found.value(row)).collect())
}
