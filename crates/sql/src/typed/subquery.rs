//! Queries inside of expressions. Each sees the columns of the query around it.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, ExprSchema};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, Projection, Subquery};
use headwater_change::{Error, Result};

use super::{Context, Scope, Typed, convert};
use crate::diagnose::external;
use crate::types::SqlType;

impl Context<'_> {
    /// A subquery within a query whose columns are `schema`.
    fn inner(&self, subquery: &Subquery, schema: &DFSchema) -> Result<Subquery> {
        let scope = Scope { schema, outer: self.outer };
        let inside = Context { outer: Some(&scope), ..*self };
        let plan = inside.plan(LogicalPlan::clone(&subquery.subquery)).map_err(settled)?;
        let outer = subquery.outer_ref_columns.iter().map(|column| inside.expr(column, schema).map(|typed| typed.expr));
        Ok(Subquery {
            subquery: Arc::new(plan),
            outer_ref_columns: outer.collect::<Result<_>>()?,
            spans: subquery.spans.clone(),
        })
    }

    pub(super) fn scalar_subquery(&self, subquery: &Subquery, schema: &DFSchema) -> Result<Typed> {
        let inner = self.inner(subquery, schema)?;
        let [field] = inner.subquery.schema().fields().as_ref() else { return Err(one_column()) };
        let sql_type = SqlType::of(field);
        Ok(Typed::new(Expr::ScalarSubquery(inner), sql_type, true))
    }

    pub(super) fn exists(&self, exists: &Exists, schema: &DFSchema) -> Result<Typed> {
        let subquery = self.inner(&exists.subquery, schema)?;
        Ok(Typed::new(Expr::Exists(Exists { subquery, negated: exists.negated }), SqlType::Boolean, false))
    }

    pub(super) fn in_subquery(&self, wanted: &InSubquery, schema: &DFSchema) -> Result<Typed> {
        let mut subquery = self.inner(&wanted.subquery, schema)?;
        let value = self.expr(&wanted.expr, schema)?;
        let columns = subquery.subquery.schema().columns();
        let [column] = columns.as_slice() else { return Err(one_column()) };
        let found = self.expr(&Expr::Column(column.clone()), subquery.subquery.schema())?;
        // Whether they can be compared is decided where `=` decides it.
        self.binary(Operator::Eq, value.clone(), found.clone())?;
        let common = self.common([&value.sql_type, &found.sql_type]).ok_or_else(|| {
            Error::usage("sql.types", format!("IN of {} over {}", value.sql_type, found.sql_type))
                .hint("CAST one of them to the other's type")
        })?;
        let nullable = value.nullable || found.nullable;
        if found.sql_type != common {
            let converted = convert(*self, found, &common)?.named(column.relation.clone(), &column.name);
            let projection = Projection::try_new(vec![converted], subquery.subquery).map_err(settled)?;
            subquery.subquery = Arc::new(LogicalPlan::Projection(projection));
        }
        let expr = Box::new(convert(*self, value, &common)?.expr);
        let found = InSubquery { expr, subquery, negated: wanted.negated };
        Ok(Typed::new(Expr::InSubquery(found), SqlType::Boolean, nullable))
    }

    /// A column of a query around this one.
    pub(super) fn outer_column(&self, column: &Column) -> Result<Typed> {
        let mut scope = self.outer;
        while let Some(Scope { schema, outer }) = scope {
            if let Ok(field) = schema.field_from_column(column) {
                let expr = Expr::OuterReferenceColumn(Arc::clone(field), column.clone());
                return Ok(Typed::new(expr, SqlType::of(field), field.is_nullable()));
            }
            scope = *outer;
        }
        Err(Error::bug("sql.column", format!("the column '{column}' of a query around")))
    }
}

fn settled(error: datafusion::common::DataFusionError) -> Error {
    external(error).unwrap_or_else(|error| Error::bug("sql.subquery", "a subquery").caused_by(error))
}

fn one_column() -> Error {
    Error::usage("sql.subquery", "a subquery that stands for a value has one column")
}
