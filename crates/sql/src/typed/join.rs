//! Joins: the condition is BOOLEAN, and pairs of columns that have to be equal are compared as `=` compares them.

use std::sync::Arc;

use datafusion::common::NullEquality;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprFunctionExt, Join, LogicalPlan, Operator, Projection, Window, WindowFunctionDefinition,
};
use headwater_change::{Error, Result};

use super::{Context, Planned};
use crate::session::ours;
use crate::types::SqlType;

impl Context<'_> {
    pub(super) fn join(&self, mut join: Join) -> Planned<LogicalPlan> {
        if join.null_equality == NullEquality::NullEqualsNull {
            // Without ALL the rows of the left side are different already.
            let all = !matches!(join.left.as_ref(), LogicalPlan::Distinct(_));
            self.align(&mut join)?;
            if all {
                return numbered(join);
            }
        }
        let both = join.left.schema().join(join.right.schema())?;
        let filter = match &join.filter {
            Some(filter) => Some(self.predicate(filter, &both, "ON").map_err(ours)?),
            None => None,
        };
        let pairs = join.on.iter().map(|pair| self.pair(&join, pair)).collect::<Result<Vec<_>>>().map_err(ours)?;
        Ok(LogicalPlan::Join(Join::try_new(
            Arc::clone(&join.left),
            Arc::clone(&join.right),
            pairs,
            filter,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?))
    }

    /// INTERSECT and EXCEPT are joins in which NULL equals NULL: their sides get the types that the columns have in common.
    fn align(&self, join: &mut Join) -> Planned<()> {
        let types = self.common_columns(&[&join.left, &join.right], "INTERSECT or EXCEPT")?;
        if let Some((inexact, _)) = types.iter().find(|(common, _)| common.is_approximate()) {
            let changes = |plan: &LogicalPlan| {
                plan.schema().fields().iter().zip(&types).any(|(field, (common, _))| SqlType::of(field) != *common)
            };
            if changes(&join.left) {
                // Rows that were different may become the same, behind the place where the same ones were left out.
                return Err(ours(
                    Error::usage("sql.unsupported", format!("INTERSECT or EXCEPT that makes numbers {inexact}"))
                        .hint("CAST the columns to one type"),
                ));
            }
        }
        join.left = self.aligned(Arc::clone(&join.left), &types)?;
        join.right = self.aligned(Arc::clone(&join.right), &types)?;
        Ok(())
    }

    /// Two columns that have to be equal.
    fn pair(&self, join: &Join, (left, right): &(Expr, Expr)) -> Result<(Expr, Expr)> {
        let (left, right) = (self.expr(left, join.left.schema())?, self.expr(right, join.right.schema())?);
        if join.null_equality == NullEquality::NullEqualsNull {
            return Ok((left.expr, right.expr));
        }
        match self.binary(Operator::Eq, left, right)?.expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => Ok((*left, *right)),
            other => Err(Error::usage("sql.unsupported", format!("USING over columns that are equal where {other}"))
                .hint("write ON with the comparison")),
        }
    }
}

/// INTERSECT ALL and EXCEPT ALL: equal rows of a side are numbered, and a row has its partner in the one of its number.
fn numbered(join: Join) -> Planned<LogicalPlan> {
    const NUMBER: &str = "$number";
    let side = |plan: Arc<LogicalPlan>| -> Planned<(Vec<Expr>, Arc<LogicalPlan>)> {
        let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let number = WindowFunctionDefinition::WindowUDF(row_number_udwf());
        let number = Expr::from(WindowFunction::new(number, Vec::new())).partition_by(columns.clone()).build()?;
        let plan = LogicalPlan::Window(Window::try_new(vec![number.alias(NUMBER)], plan)?);
        Ok((columns, Arc::new(plan)))
    };
    let (ours, left) = side(join.left)?;
    let (theirs, right) = side(join.right)?;
    let last = |plan: &LogicalPlan| plan.schema().columns().pop().map(Expr::Column);
    let numbers = last(&left).zip(last(&right));
    let pairs = ours.iter().cloned().zip(theirs).chain(numbers).collect();
    let (kind, constraint, equality) = (join.join_type, join.join_constraint, join.null_equality);
    let joined = Join::try_new(left, right, pairs, None, kind, constraint, equality, join.null_aware)?;
    Ok(LogicalPlan::Projection(Projection::try_new(ours, Arc::new(LogicalPlan::Join(joined)))?))
}
