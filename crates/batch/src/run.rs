//! One query from its plan to its rows.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result as Planned;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::prelude::SessionConfig;
use futures::StreamExt;
use headwater_change::{Error, Result};
use headwater_sql::Scannable;
use tokio::runtime::Runtime;

use crate::fault::failed;
use crate::progress::Progress;
use crate::table::{SourceTable, Tables};

/// How a query is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Threads that compute.
    pub threads: usize,
    /// Bytes that sorts, joins and aggregates may hold before they go to disk.
    pub memory_bytes: usize,
}

/// Runs a plan of [`headwater_sql::BatchQuery`]; `rows` gets its batches as they come and says whether it wants more.
///
/// # Errors
/// `batch.evaluation` where a row cannot be computed, `batch.memory` where it does not go with so much memory, and what
/// the tables' connectors say.
pub fn run(
    plan: &LogicalPlan,
    tables: &Arc<dyn Tables>,
    settings: &Settings,
    progress: &Progress,
    rows: impl FnMut(RecordBatch) -> Result<ControlFlow<()>>,
) -> Result<()> {
    run_plan(plan, tables, settings, progress, rows).map(|_| ())
}

/// Runs a plan, keeps none of its rows, and tells what each operator did, a line an operator, then what the tables' servers
/// were asked.
///
/// # Errors
/// As [`run`].
pub fn analyze(
    plan: &LogicalPlan,
    tables: &Arc<dyn Tables>,
    settings: &Settings,
    progress: &Progress,
    mut goes_on: impl FnMut() -> bool,
) -> Result<String> {
    let begun = progress.tables().len();
    let ran = run_plan(plan, tables, settings, progress, |_| {
        Ok(if goes_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    let mut text = DisplayableExecutionPlan::with_metrics(ran.as_ref()).indent(false).to_string();
    for table in progress.tables().iter().skip(begun) {
        for asked in table.asked() {
            let millis = asked.elapsed.as_millis();
            let (name, sql) = (&table.name, &asked.statement);
            let _ = writeln!(text, "{name}: {} rows, {} bytes, {millis} ms: {sql}", asked.rows, asked.bytes);
        }
    }
    Ok(text)
}

fn run_plan(
    plan: &LogicalPlan,
    tables: &Arc<dyn Tables>,
    settings: &Settings,
    progress: &Progress,
    mut rows: impl FnMut(RecordBatch) -> Result<ControlFlow<()>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (runtime, state) = (runtime(settings)?, state(settings)?);
    runtime.block_on(async {
        let physical = physical(plan, tables, &state, (false, progress)).await.map_err(failed)?;
        let mut stream = execute_stream(Arc::clone(&physical), state.task_ctx()).map_err(failed)?;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(failed)?;
            // The rows are handed on here, by the thread that waits for all of them.
            if batch.num_rows() > 0 && tokio::task::block_in_place(|| rows(batch))?.is_break() {
                break;
            }
        }
        Ok(physical)
    })
}

/// The physical plan as text, a line an operator.
///
/// # Errors
/// As [`run`], before anything is read.
pub fn explain(plan: &LogicalPlan, tables: &Arc<dyn Tables>, settings: &Settings) -> Result<String> {
    let (runtime, state) = (runtime(settings)?, state(settings)?);
    let physical = runtime.block_on(physical(plan, tables, &state, (true, &Progress::default()))).map_err(failed)?;
    Ok(displayable(physical.as_ref()).indent(false).to_string())
}

fn runtime(settings: &Settings) -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads.max(1))
        .thread_name("batch")
        .build()
        .map_err(|error| Error::remote("batch.runtime", "the batch runtime could not be started").caused_by(error))
}

fn state(settings: &Settings) -> Result<SessionState> {
    let pool = Arc::new(FairSpillPool::new(settings.memory_bytes));
    let environment = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().map_err(failed)?;
    let config = SessionConfig::new().with_target_partitions(settings.threads.max(1)).with_information_schema(false);
    Ok(SessionStateBuilder::new().with_config(config).with_runtime_env(environment).build())
}

/// The plan has been through the rules already: DataFusion's own would change what values mean.
async fn physical(
    plan: &LogicalPlan,
    tables: &Arc<dyn Tables>,
    state: &SessionState,
    (explained, progress): (bool, &Progress),
) -> Planned<Arc<dyn ExecutionPlan>> {
    let plan = plan.clone().transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let Some(Scannable { spec, schema }) = scan.source.downcast_ref::<Scannable>() else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let table = SourceTable {
            spec: spec.clone(),
            schema: Arc::clone(schema),
            tables: Arc::clone(tables),
            explained,
            progress: progress.clone(),
        };
        scan.source = provider_as_source(Arc::new(table));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    state.query_planner().create_physical_plan(&plan.data, state).await
}
