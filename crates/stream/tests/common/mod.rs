//! Plans built by hand, as the planner would give them, and runs of them.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "every test file uses a part of this")]

pub mod crash;
pub mod history;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_expr::expressions::Column;
use headwater_change::{ChangeBatch, ChangelogMode, Clock, Result, Sink, Source, TableId, notation};
use headwater_sql::{
    Aggregate, AggregateCall, AggregateFunction, Node, NodeKind, StreamPlan, TableSpec, Watermark, Window,
    WindowAggregate,
};
use headwater_state::Backend;
use headwater_stream::{Control, Settings, Summary, run};
use headwater_testkit::CollectSink;

/// A clock that moves by a millisecond whenever it is asked.
#[derive(Default)]
pub struct TickingClock(AtomicI64);

impl Clock for TickingClock {
    fn now_millis(&self) -> i64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A clock whose wall time is set back whenever somebody looks at it.
#[derive(Default)]
pub struct SetBackClock(AtomicI64);

impl Clock for SetBackClock {
    fn now_millis(&self) -> i64 {
        -self.0.fetch_add(1, Ordering::SeqCst)
    }

    fn ticks(&self) -> i64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

pub fn settings(parallelism: usize, epoch_millis: u64) -> Settings {
    Settings {
        parallelism,
        epoch_interval: Duration::from_millis(epoch_millis),
        batch_bytes: 1 << 20,
        idle_timeout: None,
        clock: Arc::new(TickingClock::default()),
    }
}

pub fn table(name: &str, schema: &SchemaRef) -> TableSpec {
    TableSpec {
        table: TableId::bare(name),
        connector: "script".to_owned(),
        schema: schema.clone(),
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        conditions: vec![],
        first: None,
        options: Vec::new(),
    }
}

pub struct PlanBuilder(pub StreamPlan);

impl PlanBuilder {
    pub fn new() -> Self {
        Self(StreamPlan::default())
    }

    pub fn node(&mut self, kind: NodeKind, inputs: &[u32], schema: SchemaRef, mode: ChangelogMode) -> u32 {
        let id = self.0.nodes.len() as u32;
        self.0.nodes.push(Node { id, kind, inputs: inputs.to_vec(), schema, mode });
        id
    }

    pub fn scan(&mut self, schema: &SchemaRef, mode: ChangelogMode) -> u32 {
        self.node(NodeKind::Scan(table("t", schema)), &[], schema.clone(), mode)
    }

    pub fn schema(&self, node: u32) -> SchemaRef {
        self.0.nodes[node as usize].schema.clone()
    }

    pub fn mode(&self, node: u32) -> ChangelogMode {
        self.0.nodes[node as usize].mode.clone()
    }

    /// The watermark is the time column itself.
    pub fn watermark(&mut self, input: u32, column: usize) -> u32 {
        let schema = self.schema(input);
        let delayed = Arc::new(Column::new(schema.field(column).name(), column));
        let mode = self.mode(input);
        self.node(NodeKind::Watermark(Watermark { column, delayed }), &[input], schema, mode)
    }

    fn result_fields(&self, input: u32, group: &[usize], calls: &[AggregateCall]) -> Vec<Field> {
        let schema = self.schema(input);
        let mut fields: Vec<Field> = group.iter().map(|&index| schema.field(index).clone()).collect();
        fields.extend(calls.iter().map(|call| call.result.as_ref().clone()));
        fields
    }

    pub fn aggregate(&mut self, input: u32, group: &[usize], calls: Vec<AggregateCall>) -> u32 {
        let schema = Arc::new(Schema::new(self.result_fields(input, group, &calls)));
        let kind = NodeKind::Aggregate(Aggregate { group: group.to_vec(), calls, row_over_nothing: false });
        self.node(kind, &[input], schema, ChangelogMode::Retract)
    }

    pub fn tumble(&mut self, input: u32, time: usize, millis: u64, group: &[usize], calls: Vec<AggregateCall>) -> u32 {
        let bound = |name| Field::new(name, DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None), false);
        let mut fields = vec![bound("window_start"), bound("window_end")];
        fields.extend(self.result_fields(input, group, &calls));
        let window = Window::Tumble { size: Duration::from_millis(millis), offset_millis: 0, zone: None };
        let kind = NodeKind::WindowAggregate(WindowAggregate { time, window, group: group.to_vec(), calls });
        self.node(kind, &[input], Arc::new(Schema::new(fields)), ChangelogMode::Append)
    }

    pub fn collect(&mut self, input: u32) -> u32 {
        let (schema, mode) = (self.schema(input), self.mode(input));
        self.node(NodeKind::Collect, &[input], schema, mode)
    }
}

pub fn call(function: AggregateFunction, argument: Option<usize>, result: DataType) -> AggregateCall {
    let nullable = function != AggregateFunction::Count;
    AggregateCall {
        function,
        argument,
        distinct: false,
        filter: None,
        result: Arc::new(Field::new(format!("{}_{argument:?}", function.name()), result, nullable)),
    }
}

pub fn count() -> AggregateCall {
    call(AggregateFunction::Count, None, DataType::Int64)
}

/// What a sink has published, one change a line.
pub fn changes(sink: &CollectSink) -> Vec<String> {
    let lines = |batch: &ChangeBatch| -> Vec<String> {
        (0..batch.len()).map(|row| format!("{} {}", batch.op(row), notation::print_row(batch.rows(), row))).collect()
    };
    sink.published().iter().flat_map(lines).collect()
}

/// Runs a plan with one scan (node 0) and one sink (the last node).
pub fn run_one(
    plan: &StreamPlan,
    source: impl Source + 'static,
    sink: impl Sink + 'static,
    backend: Box<dyn Backend>,
    settings: &Settings,
) -> Result<Summary> {
    let sources: BTreeMap<u32, Box<dyn Source>> = BTreeMap::from([(0, Box::new(source) as Box<dyn Source>)]);
    let last = plan.nodes.len() as u32 - 1;
    let sinks: BTreeMap<u32, Box<dyn Sink>> = BTreeMap::from([(last, Box::new(sink) as Box<dyn Sink>)]);
    run(plan, sources, sinks, backend, settings, &Control::new())
}
