//! Runs a logical plan once, over tables as they stand: the memory of the log instead of the log.
//!
//! The same plan that the stream engine runs as operators is run here by DataFusion over rows in memory. That makes the
//! first law a test: for any prefix of the log, the folded stream result equals the result given here. Reading MySQL by
//! key range, writing back and clusters come with the batch work.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, TableScan};
use datafusion::prelude::SessionContext;
use headwater_change::{Error, Result};

/// Runs `plan` over `tables`: rows by table name, with the columns of the declared table in their order.
///
/// # Errors
/// `batch.table` when the plan reads a table that is not given; `batch.run` for errors of evaluation.
pub fn run(plan: LogicalPlan, tables: &BTreeMap<String, Vec<RecordBatch>>) -> Result<Vec<RecordBatch>> {
    let plan = plan.transform_up(|node| match node {
        LogicalPlan::TableScan(scan) => {
            over_memory(scan, tables).map(|scan| Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        other => Ok(Transformed::no(other)),
    });
    let plan = plan.map_err(failed)?.data;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Error::remote("batch.runtime", "the batch runtime could not be started").caused_by(error))?;
    runtime.block_on(async { SessionContext::new().execute_logical_plan(plan).await?.collect().await }).map_err(failed)
}

fn over_memory(
    mut scan: TableScan,
    tables: &BTreeMap<String, Vec<RecordBatch>>,
) -> std::result::Result<TableScan, DataFusionError> {
    let rows = tables.get(scan.table_name.table()).ok_or_else(|| {
        let error = Error::usage("batch.table", format!("no rows were given for the table '{}'", scan.table_name));
        DataFusionError::External(Box::new(error))
    })?;
    let table = MemTable::try_new(scan.source.schema(), vec![rows.clone()])?;
    scan.source = provider_as_source(Arc::new(table));
    Ok(scan)
}

fn failed(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(boxed) => match boxed.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => Error::data("batch.run", "the query failed").caused_by(other),
        },
        other => Error::data("batch.run", "the query failed").detail(other.strip_backtrace()),
    }
}
