//! Tables as DataFusion asks for them: only the columns of the plan, read by one thread per source.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result as Planned};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use headwater_change::{Error, First, Read, Result, Source};
use headwater_sql::{TableSpec, condition};

use crate::exec::SourceExec;
use crate::progress::{self, Progress};

/// Bytes of Arrow data that a source brings at once, about.
const BATCH_BYTES: usize = 1 << 20;

/// How long a source may wait for rows before it is asked whether anybody still wants them.
const WAIT: Duration = Duration::from_millis(100);

/// Who builds the source of a scanned table.
pub trait Tables: Send + Sync {
    /// The source of a table, with the columns of `spec` only.
    ///
    /// # Errors
    /// What the connector says about its options.
    fn source(&self, spec: &TableSpec) -> Result<Box<dyn Source>>;
}

/// A table of a connector.
pub(crate) struct SourceTable {
    pub(crate) spec: TableSpec,
    /// Columns as the plan knows them.
    pub(crate) schema: SchemaRef,
    pub(crate) tables: Arc<dyn Tables>,
    /// Whether the plan is made to be read by people.
    pub(crate) explained: bool,
    pub(crate) progress: Progress,
}

impl std::fmt::Debug for SourceTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SourceTable").field(&self.spec.table).finish()
    }
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Planned<Vec<TableProviderFilterPushDown>> {
        // As planned by `sql`.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Planned<Arc<dyn ExecutionPlan>> {
        // Rows without columns still have to be counted: one column carries them.
        let (columns, counted) = match projection {
            None => ((0..self.schema.fields().len()).collect(), false),
            Some(columns) if columns.is_empty() => (vec![0], true),
            Some(columns) => (columns.clone(), false),
        };
        let mut spec = self.spec.project(&columns);
        spec.conditions = filters.iter().filter_map(condition).collect();
        spec.first = limit.map(|rows| First { keys: Vec::new(), rows }).or(spec.first);
        let source = self.tables.source(&spec).map_err(passed_on)?;
        let schema = Arc::new(self.schema.project(&columns)?);
        let source: Arc<dyn Source> = source.into();
        let asked = if self.explained { statements(&source)? } else { Vec::new() };
        Ok(Arc::new(SourceExec::new(
            self.spec.table.to_string(),
            source,
            schema,
            counted,
            (asked, self.progress.clone()),
        )))
    }
}

/// An error of ours on its way through DataFusion.
pub(crate) fn passed_on(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// On a thread of its own: the source may have a runtime, which cannot be within another one.
fn statements(source: &Arc<dyn Source>) -> Planned<Vec<String>> {
    let asked = std::thread::scope(|scope| scope.spawn(|| source.statements()).join());
    asked.unwrap_or_else(|_| Err(Error::bug("batch.thread", "a source panicked"))).map_err(passed_on)
}

/// Reads a source to its end, or until nobody wants its rows.
pub(crate) fn read(
    source: &dyn Source,
    schema: &SchemaRef,
    progress: &progress::Table,
    mut give: impl FnMut(RecordBatch) -> bool,
    wanted: impl Fn() -> bool,
) -> Result<()> {
    let mut reader = source.open(&[])?;
    while wanted() {
        match reader.next(BATCH_BYTES, WAIT)? {
            Read::Rows(batch) => {
                if batch.ops().is_some_and(|ops| ops.iter().any(|op| op.weight() < 0)) {
                    return Err(Error::usage(
                        "batch.changes",
                        format!("{} brings changes, not only rows", batch.table()),
                    )
                    .hint("read it in streaming mode"));
                }
                let rows = RecordBatch::try_new(Arc::clone(schema), batch.rows().columns().to_vec())
                    .map_err(|error| Error::bug("batch.rows", "a source gave other columns").caused_by(error))?;
                progress.read(rows.num_rows(), reader.progress());
                progress.hold(None);
                if rows.num_rows() > 0 && !give(rows) {
                    break;
                }
            }
            Read::Schema(change) => {
                return Err(Error::usage("batch.altered", format!("{} was altered while it was read", change.table))
                    .hint("run the query again"));
            }
            Read::Idle(_) => progress.hold(reader.held()),
            Read::End => break,
        }
    }
    progress.ended(reader.asked());
    Ok(())
}
