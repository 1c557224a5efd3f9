//! `INSERT`: the query's columns as the table wants them.

use arrow::datatypes::{Field, FieldRef};
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::Query;
use headwater_change::Error;

use super::{Goal, Planned, Session, ours, unknown_column};
use crate::catalog::{Entry, Table};
use crate::functions::cast::implicit;
use crate::parse::Insert;
use crate::typed::{Context, Typed, convert, null};
use crate::types::SqlType;

impl Session {
    pub(super) fn plan_inserts(&self, inserts: Vec<Insert>) -> Planned<Vec<Goal>> {
        let goal = |insert: Insert| {
            let Entry::Table(table) = self.catalog.resolve(&insert.table).map_err(ours)?.clone() else {
                return Err(ours(Error::usage("sql.insert", format!("'{}' is a view", insert.table.table()))));
            };
            if table.capabilities.sink.is_none() {
                return Err(ours(Error::usage(
                    "sql.no_sink",
                    format!("the connector '{}' of '{}' cannot be written", table.connector, table.name),
                )));
            }
            let plan = self.sink_rows(&table, &insert.columns, *insert.query)?;
            Ok(Goal { plan, target: Some(table) })
        };
        inserts.into_iter().map(goal).collect()
    }

    /// The query's columns as the table wants them: by position, cast, missing ones NULL.
    fn sink_rows(&self, table: &Table, names: &[String], query: Query) -> Planned<LogicalPlan> {
        let context = self.context()?;
        let plan = context.plan(self.plan_query(query)?)?;
        let writable = table.writable();
        let targets: Vec<&FieldRef> = if names.is_empty() {
            writable.iter().map(|(_, field)| field).collect()
        } else {
            let find = |name: &String| writable.iter().map(|(_, field)| field).find(|field| field.name() == name);
            names
                .iter()
                .map(|name| find(name).ok_or_else(|| ours(unknown_column(name, &table.schema))))
                .collect::<Planned<_>>()?
        };
        let given = plan.schema().columns();
        if given.len() != targets.len() {
            return Err(ours(
                Error::usage(
                    "sql.insert_columns",
                    format!("the query gives {} columns, '{}' takes {}", given.len(), table.name, targets.len()),
                )
                .hint("name the columns: INSERT INTO t (a, b) SELECT …"),
            ));
        }
        let mut projection = Vec::with_capacity(writable.len());
        for (_, field) in &writable {
            let position = targets.iter().position(|target| target.name() == field.name());
            let value = match position.and_then(|position| given.get(position)) {
                Some(column) => {
                    fit(context, context.single(&Expr::Column(column.clone()), plan.schema())?, column, field)?
                }
                None => null(&SqlType::of(field)).map_err(ours)?.expr,
            };
            projection.push(value.alias(field.name()));
        }
        LogicalPlanBuilder::from(plan).project(projection)?.build()
    }
}

/// A query column as the sink's column wants it; only casts that Flink does by itself.
fn fit(context: Context<'_>, value: Typed, column: &Column, field: &Field) -> Planned<Expr> {
    let target = SqlType::of(field);
    if !implicit(&value.sql_type, &target) {
        return Err(ours(
            Error::usage(
                "sql.insert_types",
                format!("column '{}' takes {target}, the query gives {}", field.name(), value.sql_type),
            )
            .hint(format!("write CAST({} AS {target})", column.name)),
        ));
    }
    convert(context, value, &target).map(|converted| converted.expr).map_err(ours)
}
