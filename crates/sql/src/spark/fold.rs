//! Calls over constants become their values once a plan's types are settled. Not before: Spark counts the digits of a
//! constant as written, not of one that was computed. What fails is left to the run, where a guard may stand before it.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::typed::evaluate;

/// The plan with its constants computed.
pub(crate) fn plan(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    plan.transform_up(|node| match node {
        // Values are computed where they are read; a sort by a constant means a column to nobody.
        LogicalPlan::Values(_) | LogicalPlan::Sort(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) => {
            Ok(Transformed::no(node))
        }
        node => node.map_expressions(|expr| expr.transform_up(|expr| Ok(folded(expr)))),
    })
    .map(|found| found.data)
}

/// An expression with its constants computed.
pub(crate) fn expr(expr: Expr) -> Result<Expr, DataFusionError> {
    expr.transform_up(|expr| Ok(folded(expr))).map(|found| found.data)
}

fn folded(expr: Expr) -> Transformed<Expr> {
    let constant = match &expr {
        Expr::ScalarFunction(call) => {
            !call.args.is_empty() && call.args.iter().all(|arg| matches!(arg, Expr::Literal(..)))
        }
        _ => false,
    };
    match constant.then(|| evaluate(&expr)).flatten() {
        Some(value) if !value.is_null() => {
            let metadata = match &expr {
                Expr::Alias(Alias { metadata, .. }) => metadata.clone(),
                _ => None,
            };
            Transformed::yes(Expr::Literal(value, metadata))
        }
        _ => Transformed::no(expr),
    }
}
