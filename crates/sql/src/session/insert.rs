//! `INSERT`: the query's columns as the table wants them.

use arrow::datatypes::{Field, FieldRef};
use datafusion::common::TableReference;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::Query;
use headwater_change::Error;

use super::replace::Fixed;
use super::{Goal, Planned, Session, ours, unknown_column};
use crate::catalog::{Connectors, Entry, Table};
use crate::dialect::Dialect;
use crate::functions::cast::implicit;
use crate::parse::Insert;
use crate::rewrite::base;
use crate::script::Script;
use crate::typed::{Context, Typed, convert, null};
use crate::types::SqlType;

impl Session {
    pub(super) fn plan_inserts(
        &self,
        inserts: Vec<Insert>,
        script: &Script,
        connectors: &dyn Connectors,
    ) -> Planned<Vec<Goal>> {
        let goal = |insert: Insert| {
            if self.dialect == Dialect::Spark {
                let written = self.written_name(&insert.table, script);
                let table = self.target(&insert.table, &written, insert.overwrite, connectors)?;
                let fixed = self.fixed(&table, insert.partition)?;
                let plan = self.sink_rows(&table, &insert.columns, &fixed, self.typed(*insert.query)?)?;
                let replaces = match insert.overwrite {
                    true => self.replaces(&table, &fixed, insert.replaced)?,
                    false => Vec::new(),
                };
                return Ok(Goal { plan, target: Some(table), replaces });
            }
            let Entry::Table(table) = self.catalog.resolve(&insert.table).map_err(ours)?.clone() else {
                return Err(ours(Error::usage("sql.insert", format!("'{}' is a view", insert.table.table()))));
            };
            if table.capabilities.sink.is_none() {
                return Err(ours(Error::usage(
                    "sql.no_sink",
                    format!("the connector '{}' of '{}' cannot be written", table.connector, table.name),
                )));
            }
            let plan = self.sink_rows(&table, &insert.columns, &[], self.typed(*insert.query)?)?;
            Ok(Goal { plan, target: Some(table), replaces: Vec::new() })
        };
        inserts.into_iter().map(goal).collect()
    }

    /// `CREATE TABLE … AS query`; nothing where the table is there and may be.
    pub(super) fn plan_create(
        &self,
        name: &TableReference,
        if_not_exists: bool,
        query: Query,
        script: &Script,
        connectors: &dyn Connectors,
    ) -> Planned<Option<Goal>> {
        let written = self.written_name(name, script);
        let plan = self.typed(query)?;
        let Some(table) = self.created(&written, if_not_exists, plan.schema(), connectors)? else { return Ok(None) };
        let plan = self.sink_rows(&table, &[], &[], plan)?;
        Ok(Some(Goal { plan, target: Some(table), replaces: Vec::new() }))
    }

    /// A table's name in the case in which it is written: the first place in the script where its words stand so.
    fn written_name(&self, name: &TableReference, script: &Script) -> Vec<String> {
        let parts = [name.catalog(), name.schema(), Some(name.table())].into_iter().flatten();
        parts.map(|part| script.as_written(part).unwrap_or_else(|| part.to_owned())).collect()
    }

    /// A query whose types are settled.
    fn typed(&self, query: Query) -> Planned<LogicalPlan> {
        self.context()?.plan(self.plan_query(query)?)
    }

    /// The query's columns as the table wants them: by position, cast, missing ones NULL; `fixed` columns it does not give.
    fn sink_rows(&self, table: &Table, names: &[String], fixed: &[Fixed], plan: LogicalPlan) -> Planned<LogicalPlan> {
        let context = self.context()?;
        let writable = table.writable();
        let targets: Vec<&FieldRef> = if names.is_empty() {
            let is_fixed = |field: &FieldRef| fixed.iter().any(|fixed| fixed.column == *field.name());
            writable.iter().map(|(_, field)| field).filter(|field| !is_fixed(field)).collect()
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
            if let Some(fixed) = fixed.iter().find(|fixed| fixed.column == *field.name()) {
                projection.push(fixed.value.clone().alias(field.name()));
                continue;
            }
            let position = targets.iter().position(|target| target.name() == field.name());
            let value = match position.and_then(|position| given.get(position)) {
                Some(column) => fit(
                    context,
                    context.single(&Expr::Column(column.clone()), plan.schema())?,
                    base(&column.name),
                    field,
                )?,
                None => null(&SqlType::of(field)).map_err(ours)?.expr,
            };
            projection.push(value.alias(field.name()));
        }
        LogicalPlanBuilder::from(plan).project(projection)?.build()
    }
}

/// A query column as the sink's column wants it; only casts that Flink does by itself.
pub(super) fn fit(context: Context<'_>, value: Typed, name: &str, field: &Field) -> Planned<Expr> {
    let target = SqlType::of(field);
    let assignable = match context.dialect {
        Dialect::Flink => implicit(&value.sql_type, &target),
        Dialect::Spark => assignable(&value.sql_type, &target),
    };
    if !assignable {
        return Err(ours(
            Error::usage(
                "sql.insert_types",
                format!("column '{}' takes {target}, the query gives {}", field.name(), value.sql_type),
            )
            .hint(format!("write CAST({name} AS {target})")),
        ));
    }
    convert(context, value, &target).map(|converted| converted.expr).map_err(ours)
}

/// Whether Spark stores such values there (its ANSI policy): what does not fit fails at the row.
fn assignable(from: &SqlType, to: &SqlType) -> bool {
    match (from, to) {
        (SqlType::Null, _) => true,
        (from, to) if from == to => true,
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (SqlType::Boolean, to) | (to, SqlType::Boolean) => to.is_text(),
        (SqlType::Other(_), _) => false,
        (from, to) if to.is_text() => !from.is_bytes(),
        (SqlType::Date, to) => to.is_timestamp(),
        (from, SqlType::Date) => from.is_timestamp(),
        (from, to) => from.is_timestamp() && to.is_timestamp() || from.is_bytes() && to.is_bytes(),
    }
}
