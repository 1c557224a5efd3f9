//! A source as an operator of a plan, which EXPLAIN shows with what it asks its server.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result as Planned, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;
use headwater_change::Source;

use crate::progress::Progress;
use crate::table::{passed_on, read};

/// Batches that may wait between a source and the plan.
const WAITING: usize = 2;

/// The rows of one source, as one partition.
pub(crate) struct SourceExec {
    table: String,
    source: Arc<dyn Source>,
    schema: SchemaRef,
    /// Of the source's columns only their number is wanted.
    counted: bool,
    /// What the source asks, where that was looked up.
    asked: Vec<String>,
    progress: Progress,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SourceExec {
    /// `counted` leaves the rows without columns.
    pub(crate) fn new(
        table: String,
        source: Arc<dyn Source>,
        schema: SchemaRef,
        counted: bool,
        (asked, progress): (Vec<String>, Progress),
    ) -> Self {
        let given = if counted { Arc::new(arrow::datatypes::Schema::empty()) } else { Arc::clone(&schema) };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(given),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Self { table, source, schema, counted, asked, progress, properties: Arc::new(properties), metrics }
    }
}

impl fmt::Debug for SourceExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceExec").field("table", &self.table).finish_non_exhaustive()
    }
}

impl DisplayAs for SourceExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "SourceExec: table={}, columns=[{}]", self.table, columns.join(", "))?;
        match self.asked.as_slice() {
            [] => Ok(()),
            [only] => write!(f, ", sql={only}"),
            [first, .., last] => write!(f, ", ranges={}, first={first}, last={last}", self.asked.len()),
        }
    }
}

impl ExecutionPlan for SourceExec {
    fn name(&self) -> &'static str {
        "SourceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Planned<TreeNodeRecursion>,
    ) -> Planned<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Planned<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a source has no inputs") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Planned<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a source has no inputs") }
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Planned<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), WAITING);
        let (rows, source, schema) = (builder.tx(), Arc::clone(&self.source), Arc::clone(&self.schema));
        let progress = self.progress.begin(&self.table);
        builder.spawn_blocking(move || {
            let give = |batch| rows.blocking_send(Ok(batch)).is_ok();
            read(source.as_ref(), &schema, &progress, give, || !rows.is_closed()).map_err(passed_on)
        });
        let counted = self.counted;
        let given = builder.build().map(move |batch| {
            let batch = batch?;
            metrics.record_output(batch.num_rows());
            if counted { Ok(batch.project(&[])?) } else { Ok(batch) }
        });
        let schema = Arc::clone(self.properties.equivalence_properties().schema());
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, given)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
