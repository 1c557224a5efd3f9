//! The rules that a plan goes through before it is cut into operators. The optimiser knows nothing of changelogs nor of
//! Flink's values, so every rule is here by name because it keeps the meaning of an updating query and of every
//! expression.
//!
//! Left out on purpose: coercion of types (`typed` leaves nothing to do), simplification of expressions (its rules hold
//! for its own arithmetic and evaluate what a guard excludes), pushing filters down (they would be evaluated on rows that
//! a filter below excludes; chains of filters are fused in their order anyway), everything about joins and limits (not
//! cut into operators yet), `SingleDistinctToGroupBy` (two stages of state instead of one), common subexpressions (they
//! hide window bounds), empty-relation rules (a stream that gives nothing still has a watermark).

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::{Optimizer, OptimizerContext};

/// Unions flattened, DISTINCT as groups, unused columns gone. Expects a plan whose types are settled.
pub(crate) fn optimize(plan: LogicalPlan) -> Result<LogicalPlan> {
    let optimizer = Optimizer::with_rules(vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ]);
    // Without a start time, so that planning asks no clock.
    let context = OptimizerContext::new_with_config_options(Arc::new(ConfigOptions::default()))
        .without_query_execution_start_time()
        .with_skip_failing_rules(false);
    optimizer.optimize(plan, &context, |_, _| {})
}
