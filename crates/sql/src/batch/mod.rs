//! A plan for the batch engine, which reads tables as they stand. The logical plan is the one that the stream engine gets,
//! types settled; here tables become what their connectors deliver, and the rules that batch needs are applied: subqueries
//! become joins, filters go to the tables that they are about, columns that nobody wants are not read.
//!
//! As in `optimize` every rule is here by name because it keeps Flink's values. Left out on purpose: coercion of types and
//! simplification of expressions (their rules hold for DataFusion's own arithmetic), and common subexpressions (they are
//! computed ahead of the guards around them). What can fail is kept in its order by [`order`].

mod condition;
mod factor;
mod first;
mod order;

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::{Alias, FieldMetadata};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableScan, TableSource,
};
use datafusion::optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_limit::EliminateLimit;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::filter_null_join_keys::FilterNullJoinKeys;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::push_down_limit::PushDownLimit;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use headwater_change::{Error, TYPE_KEY};

pub use condition::condition;
pub(crate) use condition::exact_condition;

use crate::catalog::{CatalogTable, Origin, Table};
use crate::plan::TableSpec;
use crate::session::{Planned, bare, ours};

/// A query of a job: rows for a table, or for the caller.
#[derive(Clone, Debug)]
pub struct BatchQuery {
    /// What is computed. Its leaves are tables whose source is a [`Scannable`].
    pub plan: LogicalPlan,
    /// Columns of the result, each name once.
    pub schema: SchemaRef,
    /// Where the rows go; to the caller without.
    pub target: Option<TableSpec>,
}

/// A table as the batch engine finds it in a plan: what to ask the connector for.
#[derive(Debug)]
pub struct Scannable {
    /// All columns that the connector delivers.
    pub spec: TableSpec,
    /// The same columns without what only the connector wants to know of them: the plan must not tell columns by that.
    pub schema: SchemaRef,
}

impl Scannable {
    fn new(spec: TableSpec) -> Self {
        let plain = |field: &FieldRef| {
            let mut metadata = field.metadata().clone();
            metadata.retain(|key, _| key == TYPE_KEY);
            Field::clone(field).with_metadata(metadata)
        };
        let schema = Arc::new(Schema::new(spec.schema.fields().iter().map(plain).collect::<Vec<_>>()));
        Self { spec, schema }
    }
}

impl TableSource for Scannable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// What a source could apply is told to it, and tested again behind it.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Planned<Vec<TableProviderFilterPushDown>> {
        let told = |filter: &&Expr| match condition(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(told).collect())
    }
}

/// A plan whose types are settled, for the batch engine.
pub(crate) fn plan(logical: LogicalPlan) -> Planned<LogicalPlan> {
    let scanned = logical.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) => scanned(&scan).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    })?;
    let optimized = optimize(order::mark(scanned.data)?)?;
    order::settle(first::tell(optimized)?)
}

fn optimize(plan: LogicalPlan) -> Planned<LogicalPlan> {
    let optimizer = Optimizer::with_rules(vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(DecorrelateLateralJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateLimit::new()),
        Arc::new(FilterNullJoinKeys::default()),
        Arc::new(EliminateOuterJoin::new()),
        // No filter goes past a limit, so limits go first.
        Arc::new(PushDownLimit::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ]);
    // Without a start time, so that planning asks no clock.
    let context = OptimizerContext::new_with_config_options(Arc::new(ConfigOptions::default()))
        .without_query_execution_start_time()
        .with_skip_failing_rules(false);
    optimizer.optimize(plan, &context, |_, _| {})
}

/// A declared table as what its connector delivers, and the columns computed from it.
fn scanned(scan: &TableScan) -> Planned<LogicalPlan> {
    let Some(CatalogTable(table)) = scan.source.downcast_ref::<CatalogTable>() else {
        return Err(ours(Error::bug("sql.batch", format!("{} is no table of the catalog", scan.table_name))));
    };
    match &table.capabilities.source {
        Some((_, true)) => {}
        Some((_, false)) => {
            return Err(ours(
                Error::usage("sql.batch", format!("batch mode needs input that ends, and '{}' does not", table.name))
                    .hint("SET 'execution.runtime-mode' = 'streaming', or remove the option that makes the table unbounded"),
            ));
        }
        None => {
            return Err(ours(Error::usage(
                "sql.no_source",
                format!("the connector '{}' of '{}' cannot be read", table.connector, table.name),
            )));
        }
    }
    let all: Vec<usize> = (0..table.physical.fields().len()).collect();
    let source = Arc::new(Scannable::new(table.spec(&all)));
    let declared = declared(table, scan);
    LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?.project(declared)?.build()
}

fn declared(table: &Table, scan: &TableScan) -> Vec<Expr> {
    let column = |column: &crate::catalog::Column| {
        let name = column.field.name();
        let expr = match &column.origin {
            Origin::Computed(expr) => (**expr).clone(),
            _ => Expr::Column(bare(name)),
        };
        Expr::Alias(Alias {
            expr: Box::new(expr),
            relation: Some(scan.table_name.clone()),
            name: name.clone(),
            metadata: Some(FieldMetadata::from(column.field.metadata().clone())),
        })
    };
    table.columns.iter().map(column).collect()
}
