//! Filter and projection in one pass. Ops and watermarks stay with their rows.
//!
//! A filter over updates may let a `+U` stand without its `-U` or the reverse; whoever reads treats them as a row that
//! comes and a row that goes (Flink's rule).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use headwater_change::{ChangeBatch, Error, Op, Result};
use headwater_sql::{Calc, spell};

use super::failure::{reason, values};
use super::{Operator, Output};
use crate::flow::Flow;

/// Evaluates a [`Calc`].
pub(crate) struct CalcOperator {
    predicate: Option<Arc<dyn PhysicalExpr>>,
    columns: Vec<Projection>,
    schema: SchemaRef,
    /// Rows come as a source gave them, so the number of a row says which one it was.
    direct: bool,
}

enum Projection {
    /// A column as it is: no work.
    Column(usize),
    Expression(Arc<dyn PhysicalExpr>),
}

impl CalcOperator {
    /// An operator that gives columns of `schema`.
    pub(crate) fn new(calc: &Calc, schema: SchemaRef, direct: bool) -> Self {
        let columns = calc
            .columns
            .iter()
            .map(|expression| match expression.downcast_ref::<Column>() {
                Some(column) => Projection::Column(column.index()),
                None => Projection::Expression(Arc::clone(expression)),
            })
            .collect();
        Self { predicate: calc.predicate.clone(), columns, schema, direct }
    }

    fn project(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (projection, field) in self.columns.iter().zip(self.schema.fields()) {
            let column = match projection {
                Projection::Column(index) => Arc::clone(column(rows, *index)?),
                Projection::Expression(expression) => evaluate(expression, rows)?,
            };
            let column = if column.data_type() == field.data_type() {
                column
            } else {
                cast(&column, field.data_type()).map_err(evaluation)?
            };
            columns.push(column);
        }
        batch(Arc::clone(&self.schema), columns, rows.num_rows())
    }
}

impl CalcOperator {
    /// The number of a row among those that `kept` let pass as one of the source's.
    fn in_row(&self, error: Error, kept: Option<&BooleanArray>) -> Error {
        let row = error.row().filter(|_| self.direct);
        let row = row.and_then(|row| match kept {
            Some(mask) => mask.values().set_indices().nth(row),
            None => Some(row),
        });
        error.in_row(row)
    }
}

impl Operator for CalcOperator {
    fn rows(&mut self, _port: usize, flow: Flow, out: &mut Output) -> Result<()> {
        let mask = match &self.predicate {
            Some(predicate) => {
                Some(truth(&evaluate(predicate, flow.batch.rows()).map_err(|error| self.in_row(error, None))?)?)
            }
            None => None,
        };
        let (flow, kept) = match mask {
            Some(mask) if mask.true_count() == 0 => return Ok(()),
            Some(mask) if mask.true_count() < mask.len() => (keep(&flow, &mask)?, Some(mask)),
            _ => (flow, None),
        };
        let rows = self.project(flow.batch.rows()).map_err(|error| self.in_row(error, kept.as_ref()))?;
        out.pass(Flow { batch: operated(flow.batch.table(), rows, flow.batch.ops())?, marks: flow.marks });
        Ok(())
    }
}

/// The rows of a flow for which the mask is true.
fn keep(flow: &Flow, mask: &BooleanArray) -> Result<Flow> {
    let rows = filter_record_batch(flow.batch.rows(), mask).map_err(evaluation)?;
    let ops: Option<Arc<[Op]>> =
        flow.batch.ops().map(|ops| mask.values().set_indices().filter_map(|row| ops.get(row).copied()).collect());
    let marks = flow.marks.filter(mask.values());
    Ok(Flow { batch: operated(flow.batch.table(), rows, ops.as_ref())?, marks })
}

/// A batch made by an operator: it has no source positions.
fn operated(table: &headwater_change::TableId, rows: RecordBatch, ops: Option<&Arc<[Op]>>) -> Result<ChangeBatch> {
    match ops {
        Some(ops) => ChangeBatch::new(table.clone(), rows, Arc::clone(ops)),
        None => Ok(ChangeBatch::insert_only(table.clone(), rows)),
    }
}

/// A Boolean column in which NULL became false.
fn truth(column: &ArrayRef) -> Result<BooleanArray> {
    let mask = column
        .as_boolean_opt()
        .ok_or_else(|| Error::bug("stream.predicate_type", format!("a predicate of type {}", column.data_type())))?;
    Ok(match mask.nulls() {
        Some(valid) => BooleanArray::new(mask.values() & valid.inner(), None),
        None => mask.clone(),
    })
}

/// One column, from an expression over rows. What cannot be computed is told with its row and its values.
pub(crate) fn evaluate(expression: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef> {
    let of = |rows: &RecordBatch| expression.evaluate(rows).and_then(|value| value.into_array(rows.num_rows()));
    of(rows).map_err(|error| {
        let row = (0..rows.num_rows()).find_map(|row| Some((row, of(&rows.slice(row, 1)).err()?)));
        let (row, error) = row.map_or((None, error), |(row, error)| (Some(row), error));
        tracing::debug!(%error, "an expression failed");
        let ours = match reason(error) {
            Ok(error) => error,
            Err(reason) => Error::data("stream.evaluation", format!("a row cannot be computed: {reason}"))
                .hint("guard the expression, for example with TRY_CAST or CASE"),
        };
        let what = spell(expression.as_ref());
        let with = row.map(|row| values(expression, rows, row)).filter(|values| !values.is_empty());
        let detail = with.map_or_else(|| format!("in {what}"), |values| format!("in {what}, where {values}"));
        ours.detail(detail).in_row(row)
    })
}

fn evaluation(error: arrow::error::ArrowError) -> Error {
    tracing::debug!(%error, "a column could not be made");
    Error::data("stream.evaluation", "a value does not fit the type of its column")
        .hint("guard the expression, for example with TRY_CAST or CASE")
}

/// The column at `index`.
pub(crate) fn column(rows: &RecordBatch, index: usize) -> Result<&ArrayRef> {
    rows.columns()
        .get(index)
        .ok_or_else(|| Error::bug("stream.column", format!("column {index} of {} was asked for", rows.num_columns())))
}

/// A record batch, where a NULL in a NOT NULL column is an error of the data.
pub(crate) fn batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let null =
        schema.fields().iter().zip(&columns).find(|(field, column)| !field.is_nullable() && column.null_count() > 0);
    if let Some((field, column)) = null {
        let row = (0..column.len()).find(|&row| column.is_null(row));
        return Err(Error::data(
            "stream.not_null",
            format!("a row has NULL in the NOT NULL column '{}'", field.name()),
        )
        .hint("declare the column without NOT NULL, or replace NULL with COALESCE")
        .in_row(row));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|error| {
        Error::bug("stream.batch_shape", "columns do not fit the plan's schema").detail(error.to_string())
    })
}
