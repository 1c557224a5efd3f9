//! Rows made of the items of an array: `EXPLODE` and its kin, which come as columns `$each(array)` of a projection. Several
//! of one projection go side by side. A query that stands beside a table and sees its columns (`LATERAL`) is a projection
//! over that table, where it has no table of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue, UnnestOptions};
use datafusion::logical_expr::expr::{Alias, FieldMetadata};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, Projection, Unnest};
use headwater_change::Error;

use super::{Context, Planned};
use crate::functions::value::item_type;
use crate::session::ours;
use crate::types::SqlType;

/// The call that stands for the items of an array.
pub(crate) const EACH: &str = "$each";

/// The array of a column that makes rows.
fn array_of(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Alias(alias) => array_of(&alias.expr),
        Expr::ScalarFunction(call) if call.func.name() == EACH => call.args.first(),
        _ => None,
    }
}

impl Context<'_> {
    /// A projection, whose columns may make rows.
    pub(super) fn projection(&self, projection: Projection) -> Planned<LogicalPlan> {
        let schema = Arc::clone(projection.input.schema());
        if !projection.expr.iter().any(|expr| array_of(expr).is_some()) {
            let exprs = self.columns(&projection.expr, &schema)?;
            return Ok(LogicalPlan::Projection(Projection::try_new(exprs, projection.input)?));
        }
        let mut inner = Vec::with_capacity(projection.expr.len());
        let mut outer = Vec::with_capacity(projection.expr.len());
        let mut made = Vec::new();
        for expr in &projection.expr {
            let (relation, name) = expr.qualified_name();
            let column = Column::new(relation.clone(), &name);
            let typed = self.expr(array_of(expr).unwrap_or(expr), &schema).map_err(ours)?;
            let mut sql_type = typed.sql_type.clone();
            if array_of(expr).is_some() {
                sql_type = item_type(&sql_type).ok_or_else(|| ours(no_array(&sql_type)))?;
                made.push(column.clone());
            }
            inner.push(typed.named(relation.clone(), &name));
            outer.push((sql_type, relation, name));
        }
        let inner = LogicalPlan::Projection(Projection::try_new(inner, projection.input)?);
        let options = UnnestOptions::new().with_preserve_nulls(false);
        let rows = LogicalPlan::Unnest(Unnest::try_new(Arc::new(inner), made, options)?);
        // Making rows loses of what table a column is, and what it says of its type.
        let columns = rows.schema().columns().into_iter().zip(outer);
        let exprs = columns.map(|(column, (sql_type, relation, name))| {
            let metadata = sql_type.metadata().map(|entry| FieldMetadata::from(BTreeMap::from([entry])));
            Expr::Alias(Alias { expr: Box::new(Expr::Column(column)), relation, name, metadata })
        });
        let exprs = exprs.collect();
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(rows))?))
    }
}

fn no_array(found: &SqlType) -> Error {
    let error = Error::usage("sql.types", format!("EXPLODE takes an array, not {found}"));
    error.hint("of a map give both columns a name: EXPLODE(m) AS (key, value)")
}

/// Queries beside a table that see its columns become projections over it.
pub(super) fn lateral(plan: LogicalPlan) -> Planned<LogicalPlan> {
    plan.transform_up(|node| match node {
        LogicalPlan::Join(join) => beside(join),
        node => Ok(Transformed::no(node)),
    })
    .map(|found| found.data)
}

fn beside(join: Join) -> Planned<Transformed<LogicalPlan>> {
    let (right, alias) = match join.right.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => (alias.input.as_ref(), Some(alias.alias.clone())),
        other => (other, None),
    };
    let LogicalPlan::Subquery(subquery) = right else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
    let always = |filter: &Expr| matches!(filter, Expr::Literal(ScalarValue::Boolean(Some(true)), _));
    let plain = join.on.is_empty() && join.filter.as_ref().is_none_or(always);
    let LogicalPlan::Projection(projection) = subquery.subquery.as_ref() else { return Err(ours(refused())) };
    let makes_rows = projection.expr.iter().any(|expr| array_of(expr).is_some());
    let kept = join.join_type == JoinType::Inner || join.join_type == JoinType::Left && !makes_rows;
    if !plain || !kept || !matches!(projection.input.as_ref(), LogicalPlan::EmptyRelation(_)) {
        return Err(ours(refused()));
    }
    let mut exprs: Vec<Expr> = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    for expr in &projection.expr {
        let name = expr.qualified_name().1;
        let inner = expr.clone().unalias().transform(|expr| {
            Ok(match expr {
                Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
                expr => Transformed::no(expr),
            })
        })?;
        exprs.push(match &alias {
            Some(alias) => inner.data.alias_qualified(Some(alias.clone()), name),
            None => inner.data.alias(name),
        });
    }
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, join.left)?)))
}

fn refused() -> Error {
    Error::usage("sql.unsupported", "LATERAL over a query with tables or conditions of its own is not supported yet")
        .hint("write a join")
}
