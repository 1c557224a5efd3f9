//! [`Graph`]: a plan's nodes wired together. Rows go down depth first; watermarks follow the rows they stand behind.
//!
//! The watermark of a node with several inputs is the least of theirs. Finished inputs hold nobody back, idle ones are
//! left out until they have rows again, and a watermark never falls.

use std::collections::{BTreeMap, BTreeSet};

use headwater_change::{ChangeBatch, Error, Result, TableId, Writer};
use headwater_sql::{Node, NodeKind, StreamPlan};
use headwater_state::{Backend, Delta};

use crate::control::Control;
use crate::flow::{END_OF_TIME, Flow, Marks, NO_WATERMARK};
use crate::op::aggregate::AggregateOperator;
use crate::op::calc::{CalcOperator, batch};
use crate::op::keyed::Runtime;
use crate::op::union::UnionOperator;
use crate::op::watermark::WatermarkOperator;
use crate::op::window::WindowOperator;
use crate::op::{Operator, Output};

/// A running plan without its sources.
pub(crate) struct Graph {
    stages: Vec<Stage>,
    control: Control,
}

struct Stage {
    verb: Verb,
    inputs: Vec<Input>,
    consumers: Vec<(usize, usize)>,
    /// The watermark of all inputs together.
    watermark: i64,
    /// The watermark passed on.
    passed: i64,
    idle: bool,
}

struct Input {
    from: usize,
    idle: bool,
    watermark: i64,
}

enum Verb {
    Scan,
    Operator(Box<dyn Operator>),
    Sink(SinkStage),
}

struct SinkStage {
    table: TableId,
    schema: arrow::datatypes::SchemaRef,
    writer: Box<dyn Writer>,
}

impl Graph {
    /// Wires a plan; `writers` are those of its Sink and Collect nodes. The nodes of `each` give the changes of each row.
    pub(crate) fn new(
        plan: &StreamPlan,
        mut writers: BTreeMap<u32, Box<dyn Writer>>,
        each: &BTreeSet<u32>,
        runtime: &Runtime,
    ) -> Result<Self> {
        let mut stages: Vec<Stage> = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            let verb = verb(node, plan, &mut writers, each, runtime)?;
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for (port, &input) in node.inputs.iter().enumerate() {
                let from = input as usize;
                let producer = stages.get_mut(from).ok_or_else(|| misplaced(node))?;
                producer.consumers.push((index, port));
                inputs.push(Input { from, idle: false, watermark: NO_WATERMARK });
            }
            stages.push(Stage {
                verb,
                inputs,
                consumers: Vec::new(),
                watermark: NO_WATERMARK,
                passed: NO_WATERMARK,
                idle: false,
            });
        }
        Ok(Self { stages, control: runtime.control.clone() })
    }

    /// Takes rows of a scan all the way down.
    pub(crate) fn push(&mut self, scan: u32, rows: ChangeBatch) -> Result<()> {
        let node = scan as usize;
        self.set_idle(scan, false)?;
        let marks = Marks::constant(self.stages[node].passed);
        self.deliver(node, Flow { batch: rows, marks })
    }

    /// A scan has no rows for now (`true`), or has some again; tells whether that is news.
    pub(crate) fn set_idle(&mut self, scan: u32, idle: bool) -> Result<bool> {
        let stage = &mut self.stages[scan as usize];
        if stage.idle == idle {
            return Ok(false);
        }
        stage.idle = idle;
        self.forward(scan as usize)?;
        Ok(true)
    }

    /// A scan has ended: nothing comes any more.
    pub(crate) fn finish(&mut self, scan: u32) -> Result<()> {
        let stage = &mut self.stages[scan as usize];
        stage.passed = END_OF_TIME;
        stage.idle = false;
        self.forward(scan as usize)
    }

    fn deliver(&mut self, from: usize, flow: Flow) -> Result<()> {
        let consumers = self.stages[from].consumers.clone();
        let Some((&(last, last_port), others)) = consumers.split_last() else { return Ok(()) };
        for &(node, port) in others {
            self.rows(node, port, flow.clone())?;
        }
        self.rows(last, last_port, flow)
    }

    fn rows(&mut self, node: usize, port: usize, mut flow: Flow) -> Result<()> {
        let stage = &mut self.stages[node];
        if stage.inputs.len() > 1 {
            let others = stage.inputs.iter().enumerate().filter(|(other, input)| *other != port && !input.idle);
            let others = others.map(|(_, input)| input.watermark).min().unwrap_or(END_OF_TIME);
            let reached = stage.watermark;
            flow.marks = flow.marks.map(|watermark| watermark.min(others).max(reached));
        }
        let mut out = Output::default();
        match &mut stage.verb {
            Verb::Operator(operator) => operator.rows(port, flow, &mut out)?,
            Verb::Sink(sink) => {
                self.control.add_rows_out(flow.batch.len());
                sink.write(&flow.batch)?;
            }
            Verb::Scan => return Err(Error::bug("stream.scan_input", "rows were sent to a scan")),
        }
        self.emit(node, out)?;
        self.pass_on(node)
    }

    fn emit(&mut self, node: usize, out: Output) -> Result<()> {
        for flow in out.take(self.stages[node].passed) {
            self.deliver(node, flow)?;
        }
        Ok(())
    }

    /// Passes the watermark of a node on when it has risen.
    fn pass_on(&mut self, node: usize) -> Result<()> {
        let stage = &mut self.stages[node];
        let watermark = match &stage.verb {
            Verb::Operator(operator) => operator.watermark(stage.watermark),
            Verb::Scan | Verb::Sink(_) => stage.watermark,
        };
        let idle = !stage.inputs.is_empty() && stage.inputs.iter().all(|input| input.idle);
        if watermark <= stage.passed && idle == stage.idle {
            return Ok(());
        }
        stage.passed = stage.passed.max(watermark);
        stage.idle = idle;
        self.forward(node)
    }

    /// Tells the consumers of a node how it stands.
    fn forward(&mut self, node: usize) -> Result<()> {
        let (watermark, idle) = (self.stages[node].passed, self.stages[node].idle);
        for (consumer, port) in self.stages[node].consumers.clone() {
            if let Some(input) = self.stages[consumer].inputs.get_mut(port) {
                input.watermark = watermark;
                input.idle = idle;
            }
            self.advance(consumer)?;
        }
        Ok(())
    }

    fn advance(&mut self, node: usize) -> Result<()> {
        let stage = &mut self.stages[node];
        let least = stage.inputs.iter().filter(|input| !input.idle).map(|input| input.watermark).min();
        let ended = stage.inputs.iter().all(|input| input.watermark == END_OF_TIME);
        // An idle input may have rows again: the end of the others is not the end of all.
        let risen = least.filter(|&least| least > stage.watermark && (least != END_OF_TIME || ended));
        if let Some(watermark) = risen {
            stage.watermark = watermark;
            let mut out = Output::default();
            if let Verb::Operator(operator) = &mut stage.verb {
                operator.time(watermark, &mut out)?;
            }
            self.emit(node, out)?;
        }
        self.pass_on(node)
    }

    /// What operators must store.
    pub(crate) fn seal(&mut self) -> Result<Vec<Delta>> {
        let mut deltas = Vec::new();
        for stage in &mut self.stages {
            if let Verb::Operator(operator) = &mut stage.verb {
                operator.seal(&mut deltas)?;
            }
        }
        Ok(deltas)
    }

    /// The writers with the numbers of their nodes.
    pub(crate) fn writers(&mut self) -> impl Iterator<Item = (u32, &mut Box<dyn Writer>)> {
        (0u32..).zip(&mut self.stages).filter_map(|(node, stage)| match &mut stage.verb {
            Verb::Sink(sink) => Some((node, &mut sink.writer)),
            _ => None,
        })
    }

    /// The watermarks of all nodes, to be stored.
    pub(crate) fn times(&self) -> Vec<u8> {
        self.stages.iter().flat_map(|stage| [stage.watermark, stage.passed]).flat_map(i64::to_be_bytes).collect()
    }

    /// Takes back state and the watermarks of [`Graph::times`].
    pub(crate) fn restore(&mut self, backend: &mut dyn Backend, times: &[u8]) -> Result<()> {
        let mut values = times.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok()).map(i64::from_be_bytes);
        for stage in &mut self.stages {
            let (Some(watermark), Some(passed)) = (values.next(), values.next()) else {
                return Err(Error::bug("stream.state_shape", "the stored watermarks are those of another plan"));
            };
            stage.watermark = watermark;
            stage.passed = passed;
            if let Verb::Operator(operator) = &mut stage.verb {
                operator.set_watermark(passed);
                operator.restore(backend)?;
            }
        }
        let passed: Vec<i64> = self.stages.iter().map(|stage| stage.passed).collect();
        for input in self.stages.iter_mut().flat_map(|stage| &mut stage.inputs) {
            input.watermark = passed.get(input.from).copied().unwrap_or(NO_WATERMARK);
        }
        Ok(())
    }

    /// Shows the least watermark that sinks have seen.
    pub(crate) fn show_watermark(&self) {
        let sinks = self.stages.iter().filter(|stage| matches!(stage.verb, Verb::Sink(_)));
        self.control.set_watermark(sinks.map(|stage| stage.watermark).min().unwrap_or(NO_WATERMARK));
    }
}

impl SinkStage {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        let rows = batch(self.schema.clone(), changes.rows().columns().to_vec(), changes.len())?;
        self.writer.write(&match changes.ops() {
            Some(ops) => ChangeBatch::new(self.table.clone(), rows, ops.clone())?,
            None => ChangeBatch::insert_only(self.table.clone(), rows),
        })
    }
}

fn verb(
    node: &Node,
    plan: &StreamPlan,
    writers: &mut BTreeMap<u32, Box<dyn Writer>>,
    each: &BTreeSet<u32>,
    runtime: &Runtime,
) -> Result<Verb> {
    let input = || {
        let input = node.inputs.first().and_then(|&input| plan.nodes.get(input as usize));
        input.ok_or_else(|| misplaced(node))
    };
    let mut sink = |table: TableId, schema: &arrow::datatypes::SchemaRef| {
        let writer = writers.remove(&node.id);
        let writer = writer.ok_or_else(|| Error::bug("stream.no_sink", format!("node {} has no sink", node.id)))?;
        Ok::<_, Error>(Verb::Sink(SinkStage { table, schema: schema.clone(), writer }))
    };
    let operator: Box<dyn Operator> = match &node.kind {
        NodeKind::Scan(_) | NodeKind::Values(_) => return Ok(Verb::Scan),
        NodeKind::Sink(table) => return sink(table.table.clone(), &table.schema),
        NodeKind::Collect => return sink(TableId::bare("result"), &node.schema),
        NodeKind::Calc(calc) => Box::new(CalcOperator::new(calc, node.schema.clone(), direct(node, plan))),
        NodeKind::Watermark(watermark) => Box::new(WatermarkOperator::new(watermark)),
        NodeKind::Aggregate(aggregate) => {
            let each = each.contains(&node.id);
            Box::new(AggregateOperator::new(aggregate, node, input()?, each, runtime)?)
        }
        NodeKind::WindowAggregate(window) => Box::new(WindowOperator::new(window, node, input()?, runtime)?),
        NodeKind::Union => Box::new(UnionOperator),
    };
    Ok(Verb::Operator(operator))
}

/// Whether a node sees every row of the sources above it, and each by itself.
fn direct(node: &Node, plan: &StreamPlan) -> bool {
    node.inputs.iter().filter_map(|&input| plan.nodes.get(input as usize)).all(|input| match &input.kind {
        NodeKind::Scan(_) | NodeKind::Values(_) => true,
        NodeKind::Watermark(_) | NodeKind::Union => direct(input, plan),
        NodeKind::Calc(calc) => calc.predicate.is_none() && direct(input, plan),
        _ => false,
    })
}

fn misplaced(node: &Node) -> Error {
    Error::bug("stream.plan_order", format!("node {} stands before an input of its own", node.id))
}
