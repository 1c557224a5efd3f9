//! `ORDER BY … LIMIT n` over a table: a source need deliver no more than the first n rows of each part of it. It is said only
//! for columns that every system sorts alike, and what comes is sorted again here.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, LogicalPlan, Sort, TableScan};
use headwater_change::First;

use super::Scannable;
use crate::session::Planned;

/// Tells the sources which rows come first.
pub(super) fn tell(plan: LogicalPlan) -> Planned<LogicalPlan> {
    let told = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Sort(Sort { expr, input, fetch: Some(rows) }) = &node else {
            return Ok(Transformed::no(node));
        };
        let mut keys = Vec::with_capacity(expr.len());
        for key in expr {
            // NULL is the least for every source.
            let Expr::Column(column) = &key.expr else { return Ok(Transformed::no(node)) };
            if key.nulls_first != key.asc {
                return Ok(Transformed::no(node));
            }
            keys.push((column.name.clone(), !key.asc));
        }
        let Some(told) = below(input, First { keys, rows: *rows }) else { return Ok(Transformed::no(node)) };
        let sort = Sort { expr: expr.clone(), input: Arc::new(told), fetch: Some(*rows) };
        Ok(Transformed::yes(LogicalPlan::Sort(sort)))
    })?;
    Ok(told.data)
}

/// The input with its table told, where nothing between them takes rows away or computes a key.
fn below(input: &LogicalPlan, mut first: First) -> Option<LogicalPlan> {
    match input {
        LogicalPlan::TableScan(scan) => table(scan, first).map(LogicalPlan::TableScan),
        LogicalPlan::SubqueryAlias(alias) => {
            let told = below(&alias.input, first)?;
            input.with_new_exprs(Vec::new(), vec![told]).ok()
        }
        LogicalPlan::Projection(projection) => {
            for (name, _) in &mut first.keys {
                let at = projection.schema.fields().iter().position(|field| field.name() == name)?;
                let mut expr = projection.expr.get(at)?;
                while let Expr::Alias(alias) = expr {
                    expr = &alias.expr;
                }
                let Expr::Column(column) = expr else { return None };
                column.name.clone_into(name);
            }
            let told = below(&projection.input, first)?;
            input.with_new_exprs(projection.expr.clone(), vec![told]).ok()
        }
        _ => None,
    }
}

fn table(scan: &TableScan, first: First) -> Option<TableScan> {
    let Scannable { spec, schema } = scan.source.downcast_ref::<Scannable>()?;
    let sorted_alike = |(name, _): &(String, bool)| {
        schema.field_with_name(name).is_ok_and(|field| {
            let data_type = field.data_type();
            data_type.is_signed_integer()
                || matches!(data_type, DataType::Decimal128(..) | DataType::Date32 | DataType::Timestamp(..))
        })
    };
    if !scan.filters.is_empty() || scan.fetch.is_some() || !first.keys.iter().all(sorted_alike) {
        return None;
    }
    let mut spec = spec.clone();
    spec.first = Some(first);
    let source = Arc::new(Scannable { spec, schema: Arc::clone(schema) });
    Some(TableScan { source, ..scan.clone() })
}
