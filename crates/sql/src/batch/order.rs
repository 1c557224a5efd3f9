//! What can fail keeps its order. `WHERE a <> 0 AND 10 / a > 1` and a filter over a filter must not compute `10 / a` on the
//! rows that the other condition excludes, but rules move conditions and put those of an outer filter first.
//!
//! So every condition that can fail is marked with a number before the rules are applied, inner filters first. Conditions
//! that cannot fail move freely: they only take rows away earlier. Afterwards each filter tests what cannot fail, then the
//! marked ones by their numbers, each only on the rows that are left.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Filter, JoinType, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, and,
};

use super::factor;
use crate::typed::fallible;

/// Marks the conditions of filters that can fail.
pub(super) fn mark(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut next = 0;
    let marked = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Filter(filter) = node else { return Ok(Transformed::no(node)) };
        let columns = filter.input.schema().columns();
        let risky = risky_columns(&filter.input);
        let risky: Vec<&Column> = columns.iter().zip(risky).filter_map(|(column, is)| is.then_some(column)).collect();
        let mut conditions = Vec::new();
        for condition in split_conjunction_owned(filter.predicate).into_iter().flat_map(factor::conditions) {
            if fallible(&condition) || condition.column_refs().iter().any(|column| risky.contains(column)) {
                let number = Expr::Literal(ScalarValue::UInt64(Some(next)), None);
                next += 1;
                conditions.push(Expr::ScalarFunction(ScalarFunction::new_udf(marker(), vec![number, condition])));
            } else {
                conditions.push(condition);
            }
        }
        Ok(Transformed::yes(filtered(conditions, filter.input)?))
    })?;
    Ok(marked.data)
}

/// Puts guards in the place of marks.
pub(super) fn settle(plan: LogicalPlan) -> Result<LogicalPlan> {
    let settled = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Filter(filter) => {
            Ok(Transformed::yes(filtered(in_order(split_conjunction_owned(filter.predicate))?, filter.input)?))
        }
        LogicalPlan::Join(mut join) => {
            join.filter = match join.filter {
                Some(filter) => in_order(split_conjunction_owned(filter))?.into_iter().reduce(and),
                None => None,
            };
            guarded(LogicalPlan::Join(join)).map(Transformed::yes)
        }
        other => guarded(other).map(Transformed::yes),
    })?;
    Ok(settled.data)
}

fn filtered(conditions: Vec<Expr>, input: Arc<LogicalPlan>) -> Result<LogicalPlan> {
    match conditions.into_iter().reduce(and) {
        Some(predicate) => Filter::try_new(predicate, input).map(LogicalPlan::Filter),
        None => Ok(Arc::unwrap_or_clone(input)),
    }
}

/// What cannot fail, and what can behind it as one guarded condition.
fn in_order(conditions: Vec<Expr>) -> Result<Vec<Expr>> {
    let mut safe = Vec::new();
    let mut marked = Vec::new();
    for condition in conditions {
        match unmarked(&condition) {
            Some((number, inner)) => marked.push((number, inner.clone())),
            None if fallible(&condition) => marked.push((u64::MAX, condition)),
            None => safe.push(condition),
        }
    }
    marked.sort_by_key(|(number, _)| *number);
    if marked.is_empty() {
        return Ok(safe);
    }
    let all = safe.into_iter().chain(marked.into_iter().map(|(_, condition)| condition));
    let guarded = all
        .map(guards)
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .reduce(|left, right| guard(left, Operator::And, right));
    Ok(guarded.into_iter().collect())
}

/// Guards inside of a node's expressions.
fn guarded(node: LogicalPlan) -> Result<LogicalPlan> {
    node.map_expressions(|expr| guards(expr).map(Transformed::yes)).map(|node| node.data)
}

/// AND and OR whose right side can fail, as CASE, which computes a branch on its own rows only.
fn guards(expr: Expr) -> Result<Expr> {
    let replaced = expr.transform_up(|expr| match expr {
        Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) && fallible(&binary.right) => {
            Ok(Transformed::yes(guard(*binary.left, binary.op, *binary.right)))
        }
        other => Ok(match unmarked(&other) {
            Some((_, inner)) => Transformed::yes(inner.clone()),
            None => Transformed::no(other),
        }),
    })?;
    Ok(replaced.data)
}

fn guard(left: Expr, operator: Operator, right: Expr) -> Expr {
    if !fallible(&right) {
        return Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)));
    }
    let boolean = |value| Box::new(Expr::Literal(ScalarValue::Boolean(Some(value)), None));
    let (decided, open) = match operator {
        Operator::And => (Expr::IsFalse(Box::new(left.clone())), false),
        _ => (Expr::IsTrue(Box::new(left.clone())), true),
    };
    let both = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)));
    let case =
        Case { expr: None, when_then_expr: vec![(Box::new(decided), boolean(open))], else_expr: Some(Box::new(both)) };
    Expr::Case(case)
}

/// Columns of a relation behind which a rule may put an expression that can fail.
fn risky_columns(plan: &LogicalPlan) -> Vec<bool> {
    let through = |input: &LogicalPlan, exprs: &[Expr]| -> Vec<bool> {
        let columns = input.schema().columns();
        let risky = risky_columns(input);
        let refers = |expr: &Expr| {
            let names = expr.column_refs();
            columns.iter().zip(&risky).any(|(column, risky)| *risky && names.contains(column))
        };
        exprs.iter().map(|expr| fallible(expr) || refers(expr)).collect()
    };
    let width = plan.schema().fields().len();
    let mut risky = match plan {
        LogicalPlan::Projection(projection) => through(&projection.input, &projection.expr),
        LogicalPlan::Aggregate(aggregate) => through(&aggregate.input, &aggregate.group_expr),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::RightSemi | JoinType::RightAnti => risky_columns(&join.right),
            _ => [risky_columns(&join.left), risky_columns(&join.right)].concat(),
        },
        LogicalPlan::Union(union) => {
            let inputs: Vec<Vec<bool>> = union.inputs.iter().map(|input| risky_columns(input)).collect();
            (0..width).map(|index| inputs.iter().any(|input| input.get(index) == Some(&true))).collect()
        }
        other => match other.inputs().as_slice() {
            [input] => risky_columns(input),
            _ => Vec::new(),
        },
    };
    risky.resize(width, false);
    risky
}

fn unmarked(expr: &Expr) -> Option<(u64, &Expr)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    match call.args.as_slice() {
        [Expr::Literal(ScalarValue::UInt64(Some(number)), _), inner] if call.func.name() == MARK => {
            Some((*number, inner))
        }
        _ => None,
    }
}

/// `$mark(number, condition)`.
const MARK: &str = "$mark";

fn marker() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Mark(Signature::any(2, Volatility::Immutable))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark(Signature);

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        MARK
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("a mark was left in the plan")
    }
}
