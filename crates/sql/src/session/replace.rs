//! Which rows of its table an INSERT replaces: those of `PARTITION (column = constant)`, those of `REPLACE WHERE condition`.
//! The target's server finds them, so only what it is sure to compare as we do is taken.

use arrow::array::Array;
use arrow::datatypes::Field;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::sql::sqlparser::ast;
use headwater_change::{Comparison, Condition, Error};

use super::insert::fit;
use super::{Planned, Session, ours, unknown_column};
use crate::batch::exact_condition;
use crate::catalog::Table;
use crate::spark::cast::cast;
use crate::spark::fold;
use crate::types::SqlType;

/// A column of the table and the constant that all rows have there.
pub(super) struct Fixed {
    /// The column's name in the session.
    pub(super) column: String,
    pub(super) value: Expr,
    condition: Condition,
}

impl Session {
    /// The columns of a `PARTITION (…)`.
    pub(super) fn fixed(&self, table: &Table, partition: Vec<(String, ast::Expr)>) -> Planned<Vec<Fixed>> {
        let writable = table.writable();
        let mut fixed: Vec<Fixed> = Vec::with_capacity(partition.len());
        for (name, value) in partition {
            let Some((index, field)) = writable.iter().find(|(_, field)| *field.name() == name) else {
                return Err(ours(unknown_column(&name, &table.schema)));
            };
            if fixed.iter().any(|known| known.column == name) {
                return Err(ours(Error::usage("sql.partition", format!("'{name}' is named twice"))));
            }
            let value = self.constant(value, field)?;
            let Expr::Literal(constant, _) = &value else {
                return Err(ours(Error::usage(
                    "sql.partition",
                    format!("the value of '{name}' is no constant of its type"),
                )));
            };
            let physical = table.physical.field(*index).name().clone();
            let constant = constant.to_array()?;
            if constant.is_null(0) {
                return Err(ours(Error::usage("sql.partition", format!("the value of '{name}' is NULL"))));
            }
            let condition = Condition { column: physical, comparison: Comparison::Equal, value: constant };
            fixed.push(Fixed { column: name, value, condition });
        }
        Ok(fixed)
    }

    fn constant(&self, value: ast::Expr, field: &Field) -> Planned<Expr> {
        let (typed, context) = (self.expr(value, &DFSchema::empty())?, self.context()?);
        // As text a value stands in a partition's path: it is read as the column's type.
        let typed = if typed.sql_type.is_text() {
            cast(context, typed, &SqlType::of(field), false).map_err(ours)?
        } else {
            typed
        };
        fold::expr(fit(context, typed, field.name(), field)?)
    }

    /// Rows of the table that go: those that fulfil all of these.
    pub(super) fn replaces(
        &self,
        table: &Table,
        fixed: &[Fixed],
        written: Option<ast::Expr>,
    ) -> Planned<Vec<Condition>> {
        let mut conditions: Vec<Condition> = fixed.iter().map(|fixed| fixed.condition.clone()).collect();
        let Some(written) = written else { return Ok(conditions) };
        let shown = written.to_string();
        let schema = DFSchema::try_from(std::sync::Arc::clone(&table.schema))?;
        let predicate = fold::expr(self.expr(written, &schema)?.expr)?;
        for part in split_conjunction_owned(predicate) {
            let mut condition = exact_condition(&part).ok_or_else(|| {
                ours(
                    Error::usage("sql.replace_where", format!("'{shown}' is not of a form that servers answer alike"))
                        .hint("compare columns of numbers, dates and times with constants (=, <, <=, >, >=), joined by AND"),
                )
            })?;
            if let Some((index, _)) = table.writable().iter().find(|(_, field)| *field.name() == condition.column) {
                condition.column.clone_from(table.physical.field(*index).name());
            }
            conditions.push(condition);
        }
        Ok(conditions)
    }
}
