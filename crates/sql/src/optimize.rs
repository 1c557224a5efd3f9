//! The rules that a plan goes through before it is cut into operators. The optimiser knows nothing of changelogs, so
//! every rule is here by name because it keeps the meaning of an updating query.
//!
//! Left out on purpose: everything about joins and limits (not cut into operators yet), `SingleDistinctToGroupBy` (two
//! stages of state instead of one), common subexpressions (they hide window bounds), empty-relation rules (a stream that
//! gives nothing still has a watermark).

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Analyzer, Optimizer, OptimizerContext};

use crate::functions::text::{ValueText, cast_to_text};

/// Types coerced, constants folded, unused columns gone, filters near the scans.
pub(crate) fn optimize(plan: LogicalPlan, text: ValueText) -> Result<LogicalPlan> {
    let config = Arc::new(ConfigOptions::default());
    let analyzer = Analyzer::with_rules(vec![Arc::new(TypeCoercion::new())]);
    let plan = analyzer.execute_and_check(plan, &config, |_, _| {})?;
    let plan = texts_of_values(plan, text)?;
    let optimizer = Optimizer::with_rules(vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ]);
    // Without a start time, so that planning asks no clock.
    let context = OptimizerContext::new_with_config_options(config)
        .without_query_execution_start_time()
        .with_skip_failing_rules(false);
    optimizer.optimize(plan, &context, |_, _| {})
}

/// Every cast of another type to a string by Flink's text of values instead of Arrow's.
fn texts_of_values(plan: LogicalPlan, text: ValueText) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up(|node| {
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| match expr {
                Expr::Cast(cast) if cast.field.data_type().is_string() => {
                    let from = cast.expr.get_type(&schema)?;
                    if from.is_string() || from.is_null() {
                        return Ok(Transformed::no(Expr::Cast(cast)));
                    }
                    Ok(Transformed::yes(cast_to_text(text, *cast.expr)))
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })?;
        if node.transformed { node.map_data(LogicalPlan::recompute_schema) } else { Ok(node) }
    });
    rewritten.map(|plan| plan.data)
}
