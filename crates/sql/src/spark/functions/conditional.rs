//! Functions that choose between values. What is not chosen is not computed.

use std::cmp::Ordering;

use datafusion::logical_expr::{Expr, Operator};
use headwater_change::{Error, Result};

use super::{BOOL, Def, Gives, Takes, as_type, common, def, rows};
use crate::functions::value::Value;
use crate::functions::{Bind, arity};
use crate::spark::operators::{compare, order};
use crate::typed::{Context, Typed, null};
use crate::types::{STRING, SqlType};

pub(super) const OWN: &[(&str, Bind)] = &[
    ("coalesce", coalesce),
    ("nvl", |context, args| two(context, "NVL", args)),
    ("ifnull", |context, args| two(context, "IFNULL", args)),
    ("nvl2", nvl2),
    ("nullif", null_if),
    ("if", choose),
    ("isnull", |_, args| is_null(args, false)),
    ("isnotnull", |_, args| is_null(args, true)),
    ("nullifzero", |context, args| with_zero(context, args, true)),
    ("zeroifnull", |context, args| with_zero(context, args, false)),
    ("greatest", |context, args| extreme(context, "GREATEST", args)),
    ("least", |context, args| extreme(context, "LEAST", args)),
    ("decode", decode),
    ("equal_null", |context, args| {
        let [left, right] = <[Typed; 2]>::try_from(args).map_err(|_| arity("EQUAL_NULL", "two values"))?;
        compare(context, Operator::IsNotDistinctFrom, left, right)
    }),
    ("not", |_, args| {
        let [value] = <[Typed; 1]>::try_from(args).map_err(|_| arity("NOT", "one value"))?;
        let nullable = value.nullable;
        Ok(Typed::new(Expr::Not(Box::new(value.expr)), SqlType::Boolean, nullable))
    }),
];

pub(super) const ROWS: &[Def] = &[
    def("isnan", &[Takes::Double], BOOL, |row| Ok(Value::Bool(row.float(0).is_nan()))).nulls(),
    def("nanvl", &[Takes::Double, Takes::Double], Gives::Like(0), |row| {
        Ok(if row.value(0).is_null() || !row.float(0).is_nan() { row.value(0).clone() } else { row.value(1).clone() })
    })
    .nulls(),
    def("assert_true", &[Takes::Bool, Takes::Text], Gives::By(|_| Some(SqlType::Null)), |row| {
        if row.value(0).truth() {
            return Ok(Value::Null);
        }
        let message =
            if row.values.len() > 1 { row.text(1).to_owned() } else { "the assertion is not true".to_owned() };
        Err(crate::spark::operators::failed("sql.assertion", message, "assert_true found a row that is not"))
    })
    .least(1)
    .nulls(),
];

fn coalesce(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.is_empty() {
        return Err(arity("COALESCE", "at least one value"));
    }
    let (mut args, common) = common(context, "COALESCE", args)?;
    let last = args.pop().ok_or_else(|| Error::bug("sql.coalesce", "COALESCE without values"))?;
    if args.is_empty() || common == SqlType::Null {
        return Ok(last);
    }
    let nullable = args.iter().all(|arg| arg.nullable) && last.nullable;
    let found = |arg: Typed| {
        let there = Typed::new(Expr::IsNotNull(Box::new(arg.expr.clone())), SqlType::Boolean, false);
        (there, arg)
    };
    let branches = args.into_iter().map(found).collect();
    Ok(Typed { nullable, ..context.branches(branches, Some(last))? })
}

fn two(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    if args.len() != 2 {
        return Err(arity(name, "two values"));
    }
    coalesce(context, args)
}

fn nvl2(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [value, there, missing] = <[Typed; 3]>::try_from(args).map_err(|_| arity("NVL2", "three values"))?;
    let condition = Typed::new(Expr::IsNotNull(Box::new(value.expr)), SqlType::Boolean, false);
    context.branches(vec![(condition, there)], Some(missing))
}

fn null_if(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [value, other] = <[Typed; 2]>::try_from(args).map_err(|_| arity("NULLIF", "two values"))?;
    let none = null(&value.sql_type)?;
    let equal = compare(context, Operator::Eq, value.clone(), other)?;
    context.branches(vec![(equal, none)], Some(value))
}

fn choose(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [condition, yes, no] = <[Typed; 3]>::try_from(args).map_err(|_| arity("IF", "a condition and two values"))?;
    let condition = match condition.sql_type {
        SqlType::Boolean => condition,
        SqlType::Null => null(&SqlType::Boolean)?,
        _ => return Err(super::refused("if", &[condition.sql_type, yes.sql_type, no.sql_type])),
    };
    context.branches(vec![(condition, yes)], Some(no))
}

fn is_null(args: Vec<Typed>, negated: bool) -> Result<Typed> {
    let [value] = <[Typed; 1]>::try_from(args).map_err(|_| arity("ISNULL", "one value"))?;
    let inner = Box::new(value.expr);
    Ok(Typed::new(if negated { Expr::IsNotNull(inner) } else { Expr::IsNull(inner) }, SqlType::Boolean, false))
}

fn with_zero(context: Context<'_>, args: Vec<Typed>, to_null: bool) -> Result<Typed> {
    let [value] = <[Typed; 1]>::try_from(args).map_err(|_| arity("NULLIFZERO and ZEROIFNULL", "one value"))?;
    let zero = context.number(0);
    if to_null { null_if(context, vec![value, zero]) } else { coalesce(context, vec![value, zero]) }
}

/// The greatest or least of those that are not NULL.
fn extreme(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    if args.len() < 2 {
        return Err(arity(name, "at least two values"));
    }
    let (args, common) = common(context, name, args)?;
    if name == "GREATEST" {
        return rows(context, name, args, common, true, |row| pick(row.values, Ordering::Greater));
    }
    rows(context, name, args, common, true, |row| pick(row.values, Ordering::Less))
}

fn pick(values: &[Value], wanted: Ordering) -> datafusion::common::Result<Value> {
    let mut best = &Value::Null;
    for value in values.iter().filter(|value| !value.is_null()) {
        if best.is_null() || order(value, best) == wanted {
            best = value;
        }
    }
    Ok(best.clone())
}

/// `DECODE(value, search, result, …, otherwise)`; of two arguments it turns bytes into text.
fn decode(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.len() == 2 {
        return super::text::decode(context, args);
    }
    let mut args = args.into_iter();
    let value = args.next().ok_or_else(|| arity("DECODE", "a value and pairs"))?;
    let mut branches = Vec::new();
    let mut otherwise = None;
    while let Some(search) = args.next() {
        match args.next() {
            Some(result) => {
                branches.push((compare(context, Operator::IsNotDistinctFrom, value.clone(), search)?, result))
            }
            None => otherwise = Some(search),
        }
    }
    if branches.is_empty() {
        return Err(arity("DECODE", "a value and pairs"));
    }
    let otherwise = match otherwise {
        Some(otherwise) => otherwise,
        None => {
            as_type(context, null(&STRING)?, &branches.first().map_or(STRING, |(_, result)| result.sql_type.clone()))?
        }
    };
    context.branches(branches, Some(otherwise))
}
