//! Looking through projections, filters and aliases: which expression over which relation a column really is.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::catalog::CatalogTable;
use crate::convert::conjunction;
use crate::functions::window::{Bound, BoundOf, tumble_bound};

/// Expressions over the first relation below that is no projection, filter or alias.
pub(crate) struct Fused<'a> {
    pub(crate) exprs: Vec<Expr>,
    pub(crate) predicate: Option<Expr>,
    pub(crate) base: &'a LogicalPlan,
}

/// Puts the projections below `exprs` into them and the filters below into the predicate.
pub(crate) fn fuse(exprs: Vec<Expr>, predicate: Option<Expr>, input: &LogicalPlan) -> Result<Fused<'_>> {
    let mut fused = Fused { exprs, predicate, base: input };
    loop {
        match fused.base {
            LogicalPlan::Projection(projection) => {
                let schema = &projection.schema;
                fused.replace(|column| {
                    let index = schema.index_of_column(column)?;
                    Ok(projection.expr.get(index).map(|expr| unaliased(expr).clone()))
                })?;
                fused.base = &projection.input;
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let inner = alias.input.schema();
                fused.replace(|column| {
                    let index = alias.schema.index_of_column(column)?;
                    let (qualifier, field) = inner.qualified_field(index);
                    Ok(Some(Expr::Column(Column::new(qualifier.cloned(), field.name()))))
                })?;
                fused.base = &alias.input;
            }
            LogicalPlan::Filter(filter) => {
                // The lower filter first: its rows are the only ones the upper may be evaluated on.
                let upper = fused.predicate.take();
                let lower = filter.predicate.clone();
                fused.predicate = Some(match upper {
                    Some(upper) => conjunction(Some(lower), upper),
                    None => lower,
                });
                fused.base = &filter.input;
            }
            _ => return Ok(fused),
        }
    }
}

impl Fused<'_> {
    fn replace(&mut self, with: impl Fn(&Column) -> Result<Option<Expr>>) -> Result<()> {
        let rewrite = |expr: Expr| -> Result<Expr> {
            let transformed = expr.transform_up(|expr| match &expr {
                Expr::Column(column) => Ok(match with(column)? {
                    Some(replacement) => Transformed::yes(replacement),
                    None => Transformed::no(expr),
                }),
                _ => Ok(Transformed::no(expr)),
            })?;
            Ok(transformed.data)
        };
        self.exprs = std::mem::take(&mut self.exprs).into_iter().map(&rewrite).collect::<Result<_>>()?;
        self.predicate = self.predicate.take().map(rewrite).transpose()?;
        Ok(())
    }
}

/// The expression under its aliases.
pub(crate) fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// Whether a column of a relation is event time with a watermark behind it.
fn is_rowtime(plan: &LogicalPlan, column: &Column) -> bool {
    let at = |schema: &DFSchema, index: usize| {
        let (qualifier, field) = schema.qualified_field(index);
        Column::new(qualifier.cloned(), field.name())
    };
    let index = plan.schema().index_of_column(column);
    match (plan, index) {
        (LogicalPlan::TableScan(scan), Ok(index)) => {
            let declared = scan.projection.as_ref().map_or(Some(index), |projection| projection.get(index).copied());
            scan.source.downcast_ref::<CatalogTable>().is_some_and(|CatalogTable(table)| {
                table.watermark.as_ref().is_some_and(|(time, _)| Some(*time) == declared)
            })
        }
        (LogicalPlan::Union(union), Ok(index)) => {
            union.inputs.iter().all(|input| is_rowtime(input, &at(input.schema(), index)))
        }
        (LogicalPlan::SubqueryAlias(alias), Ok(index)) => is_rowtime(&alias.input, &at(alias.input.schema(), index)),
        (LogicalPlan::Filter(filter), Ok(_)) => is_rowtime(&filter.input, column),
        (LogicalPlan::Projection(projection), Ok(index)) => {
            projection.expr.get(index).is_some_and(|expr| gives_rowtime(&projection.input, expr))
        }
        // A window's last instant is the event time of its result.
        (LogicalPlan::Aggregate(aggregate), Ok(index)) => {
            let Ok(fused) = fuse(aggregate.group_expr.clone(), None, &aggregate.input) else { return false };
            let bound = |expr: &Expr| tumble_bound(unaliased(expr)).map(|found| found.bound);
            let windowed =
                [Bound::Start, Bound::End].iter().all(|side| fused.exprs.iter().any(|expr| bound(expr) == Some(*side)));
            let key = fused.exprs.get(index).filter(|key| bound(key) == Some(Bound::Rowtime));
            windowed && key.is_some_and(|key| gives_rowtime(fused.base, key))
        }
        _ => false,
    }
}

/// Whether an expression over a relation is event time: a column that is, or the last instant of a window over one.
pub(crate) fn gives_rowtime(input: &LogicalPlan, expr: &Expr) -> bool {
    match (unaliased(expr), tumble_bound(unaliased(expr))) {
        (Expr::Column(column), _) | (_, Some(BoundOf { bound: Bound::Rowtime, time: Expr::Column(column), .. })) => {
            is_rowtime(input, column)
        }
        _ => false,
    }
}
