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
use headwater_sql::Calc;

use super::{Operator, Output};
use crate::flow::Flow;

/// Evaluates a [`Calc`].
pub(crate) struct CalcOperator {
    predicate: Option<Arc<dyn PhysicalExpr>>,
    columns: Vec<Projection>,
    schema: SchemaRef,
}

enum Projection {
    /// A column as it is: no work.
    Column(usize),
    Expression(Arc<dyn PhysicalExpr>),
}

impl CalcOperator {
    /// An operator that gives columns of `schema`.
    pub(crate) fn new(calc: &Calc, schema: SchemaRef) -> Self {
        let columns = calc
            .columns
            .iter()
            .map(|expression| match expression.downcast_ref::<Column>() {
                Some(column) => Projection::Column(column.index()),
                None => Projection::Expression(Arc::clone(expression)),
            })
            .collect();
        Self { predicate: calc.predicate.clone(), columns, schema }
    }

    fn project(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (projection, field) in self.columns.iter().zip(self.schema.fields()) {
            let column = match projection {
                Projection::Column(index) => Arc::clone(column(rows, *index)?),
                Projection::Expression(expression) => evaluate(expression.as_ref(), rows)?,
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

impl Operator for CalcOperator {
    fn rows(&mut self, _port: usize, flow: Flow, out: &mut Output) -> Result<()> {
        let mask = match &self.predicate {
            Some(predicate) => Some(truth(&evaluate(predicate.as_ref(), flow.batch.rows())?)?),
            None => None,
        };
        let flow = match mask {
            Some(mask) if mask.true_count() == 0 => return Ok(()),
            Some(mask) if mask.true_count() < mask.len() => keep(&flow, &mask)?,
            _ => flow,
        };
        let rows = self.project(flow.batch.rows())?;
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

/// One column, from an expression over rows.
pub(crate) fn evaluate(expression: &dyn PhysicalExpr, rows: &RecordBatch) -> Result<ArrayRef> {
    expression
        .evaluate(rows)
        .and_then(|value| value.into_array(rows.num_rows()))
        .map_err(|error| evaluation(error).detail(format!("while evaluating {expression}")))
}

fn evaluation(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::data("stream.evaluation", "a row cannot be computed")
        .hint("guard the expression, for example with TRY_CAST or CASE")
        .caused_by(error)
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
    if let Some((field, _)) = null {
        return Err(Error::data(
            "stream.not_null",
            format!("a row has NULL in the NOT NULL column '{}'", field.name()),
        )
        .hint("declare the column without NOT NULL, or replace NULL with COALESCE"));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|error| {
        Error::bug("stream.batch_shape", "columns do not fit the plan's schema").detail(error.to_string())
    })
}
