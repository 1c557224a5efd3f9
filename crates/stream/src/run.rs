//! [`run`]: the loop. It pulls sources in turn, pushes what they bring through the graph, and closes epochs.
//!
//! ```text
//!  sources ──pull──► Graph ──► writers          every interval, between two transactions:
//!     │                │          │             1 operators and writers seal
//!  positions         deltas    receipts         2 the backend commits: the commit point
//!     └────────────────┴──────────┴──► Commit   3 writers publish
//! ```
//!
//! One thread does all this, so no barrier has to find its way; keyed operators spread their work over threads inside.
//! A batch is pushed the moment it comes. Law 2 lives here: nothing is published that was not committed, and positions,
//! state and receipts are committed together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use headwater_change::{
    ChangeBatch, ChangelogMode, Clock, Epoch, Error, Op, Owner, Position, Read, Reader, Result, SchemaChange, Sink,
    Source, Writer,
};
use headwater_sql::{Node, NodeKind, StreamPlan};
use headwater_state::{Backend, Commit, Committed};

use crate::control::Control;
use crate::epoch::{Situation, Step, publishes_again, step};
use crate::fingerprint::{check, fingerprint};
use crate::graph::Graph;
use crate::group::pool::Pool;
use crate::op::calc::batch;
use crate::op::keyed::Runtime;
use crate::values::ValuesReader;

/// The longest time to wait for a source before the loop looks around again.
const WAIT: Duration = Duration::from_millis(20);

const NOTE_PLAN: &str = "stream.plan";
const NOTE_TIMES: &str = "stream.times";
const NOTE_FINISHED: &str = "stream.finished";

/// How a plan is run.
pub struct Settings {
    /// Shards of each keyed operator, at least 1. Results do not depend on it, and state is restored into any number.
    pub parallelism: usize,
    /// How long an epoch lasts at least; zero commits after every pull.
    pub epoch_interval: Duration,
    /// About how many bytes of Arrow data a source brings at once.
    pub batch_bytes: usize,
    /// After this time without rows a source no longer holds watermarks back (`table.exec.source.idle-timeout`).
    pub idle_timeout: Option<Duration>,
    /// Processing time: it ends epochs and makes sources idle, and is seen by no operator.
    pub clock: Arc<dyn Clock>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whether all sources were exhausted; otherwise the run was stopped.
    pub exhausted: bool,
    /// The last committed epoch.
    pub epoch: Epoch,
    /// Rows read from sources in this run.
    pub rows_in: u64,
    /// Rows written to sinks in this run.
    pub rows_out: u64,
    /// Rows of this run that were dropped because their window had fired.
    pub late_rows: u64,
    /// Retractions of this run that were ignored because their group was never there.
    pub stray_rows: u64,
}

/// Runs a plan until its sources are exhausted or [`Control::stop`] is called.
///
/// `sources` and `sinks` are keyed by the numbers of the plan's Scan and of its Sink and Collect nodes. When the backend
/// has a committed epoch, the run goes on behind it.
///
/// # Errors
/// * `state.plan_changed` (usage): the backend holds the state of another plan
/// * `state.behind_target` (fenced): a target has seen epochs that the backend does not know
/// * `stream.null_rowtime`, `stream.not_null`, `stream.evaluation` (data): a row that cannot be represented
/// * `stream.schema_changed` (usage): a source's table lost or changed a column that the plan reads
/// * the errors of sources, sinks and the backend as they come
///
/// After an error nothing is visible that was not committed, and a new run goes on behind the last committed epoch.
pub fn run(
    plan: &StreamPlan,
    sources: BTreeMap<u32, Box<dyn Source>>,
    sinks: BTreeMap<u32, Box<dyn Sink>>,
    backend: Box<dyn Backend>,
    settings: &Settings,
    control: &Control,
) -> Result<Summary> {
    let mut running = Running::start(plan, sources, sinks, backend, settings, control)?;
    let exhausted = running.work()?;
    for (node, writer) in running.graph.writers() {
        writer.end().map_err(|error| in_context(error, "ending", &format!("sink {node}")))?;
    }
    let progress = control.progress();
    Ok(Summary {
        exhausted,
        epoch: running.backend.committed().epoch,
        rows_in: progress.rows_in,
        rows_out: progress.rows_out,
        late_rows: progress.late_rows,
        stray_rows: progress.stray_rows,
    })
}

struct Running<'a> {
    graph: Graph,
    inputs: Vec<Input<'a>>,
    finished: BTreeSet<u32>,
    backend: Box<dyn Backend>,
    plan: String,
    settings: &'a Settings,
    control: &'a Control,
    changed: bool,
    epoch_start: i64,
}

/// A source that is not exhausted.
struct Input<'a> {
    node: &'a Node,
    name: String,
    reader: Box<dyn Reader>,
    positions: BTreeMap<Arc<str>, Position>,
    in_transaction: bool,
    rows_at: i64,
}

impl<'a> Running<'a> {
    fn start(
        plan: &'a StreamPlan,
        sources: BTreeMap<u32, Box<dyn Source>>,
        sinks: BTreeMap<u32, Box<dyn Sink>>,
        mut backend: Box<dyn Backend>,
        settings: &'a Settings,
        control: &'a Control,
    ) -> Result<Self> {
        let committed = backend.committed().clone();
        let fingerprint = fingerprint(plan);
        if let Some(stored) = committed.notes.get(NOTE_PLAN) {
            check(stored, &fingerprint)?;
        }
        let runtime = Runtime {
            parallelism: settings.parallelism,
            pool: Arc::new(Pool::new(settings.parallelism)?),
            control: control.clone(),
        };
        let each = above_sinks_of_each_change(plan, &sinks);
        let writers = open_writers(plan, sinks, &backend.owner(), &committed)?;
        let mut graph = Graph::new(plan, writers, &each, &runtime)?;
        if let Some(times) = committed.notes.get(NOTE_TIMES) {
            graph.restore(backend.as_mut(), times)?;
        }
        let finished = finished_scans(&committed);
        let now = settings.clock.ticks();
        let inputs = open_readers(plan, sources, &committed, &finished, now)?;
        let epoch_start = now;
        Ok(Self { graph, inputs, finished, backend, plan: fingerprint, settings, control, changed: false, epoch_start })
    }

    /// Loops until the end; tells whether the sources are exhausted.
    fn work(&mut self) -> Result<bool> {
        let mut quiet = false;
        loop {
            let situation = self.situation();
            match step(situation) {
                Step::Pull => quiet = !self.pull(false, quiet)?,
                Step::FinishTransactions => quiet = !self.pull(true, quiet)?,
                Step::Commit => self.commit()?,
                Step::CommitAndEnd => {
                    self.commit()?;
                    return Ok(situation.exhausted);
                }
                Step::End => return Ok(situation.exhausted),
            }
        }
    }

    fn situation(&self) -> Situation {
        let age = self.settings.clock.ticks().saturating_sub(self.epoch_start);
        Situation {
            open_transactions: self.inputs.iter().filter(|input| input.in_transaction).count(),
            changed: self.changed,
            due: u128::try_from(age).is_ok_and(|age| age >= self.settings.epoch_interval.as_millis()),
            stopped: self.control.is_stopped(),
            exhausted: self.inputs.is_empty(),
        }
    }

    /// Pulls every source once; tells whether any had something. With `quiet` it waits a little for them.
    fn pull(&mut self, only_open: bool, quiet: bool) -> Result<bool> {
        let wait = WAIT / u32::try_from(self.inputs.len()).unwrap_or(u32::MAX).max(1);
        let single = self.inputs.len() == 1;
        let mut moved = false;
        let mut at = 0;
        while let Some(input) = self.inputs.get_mut(at) {
            if only_open && !input.in_transaction {
                at += 1;
                continue;
            }
            let wait = if single || (quiet && !moved) { wait } else { Duration::ZERO };
            let read = input.reader.next(self.settings.batch_bytes, wait);
            match read.map_err(|error| in_context(error, "reading", &input.name))? {
                Read::Rows(rows) => {
                    moved = true;
                    self.rows(at, rows)?;
                }
                Read::Schema(change) => {
                    moved = true;
                    self.schema(at, &change)?;
                }
                Read::Idle(position) => self.idle(at, position)?,
                Read::End => {
                    moved = true;
                    self.end(at)?;
                    continue;
                }
            }
            at += 1;
        }
        self.graph.show_watermark();
        Ok(moved)
    }

    fn rows(&mut self, at: usize, changes: ChangeBatch) -> Result<()> {
        let Some(input) = self.inputs.get_mut(at) else { return Ok(()) };
        for run in changes.runs() {
            input.positions.insert(Arc::clone(&run.position.partition), run.position.clone());
        }
        input.in_transaction = changes.runs().last().is_some_and(|run| !run.ends_transaction);
        input.rows_at = self.settings.clock.ticks();
        let node = input.node;
        self.changed = true;
        if changes.is_empty() {
            // The end of a transaction all of whose rows came before.
            return Ok(());
        }
        self.control.add_rows_in(changes.len());
        let pushed = fitted(node, &changes).and_then(|rows| self.graph.push(node.id, rows));
        pushed.map_err(|error| self.located(error, at))
    }

    /// An error with the place of the source's row that it happened in.
    fn located(&self, error: Error, at: usize) -> Error {
        let place = match (error.place(), error.row(), self.inputs.get(at)) {
            (None, Some(row), Some(input)) => input.reader.locate(row),
            _ => None,
        };
        match place {
            Some(place) => error.at(place),
            None => error,
        }
    }

    fn schema(&mut self, at: usize, change: &SchemaChange) -> Result<()> {
        let Some(input) = self.inputs.get_mut(at) else { return Ok(()) };
        follow(input.node, change)?;
        input.positions.insert(Arc::clone(&change.position.partition), change.position.clone());
        self.changed = true;
        Ok(())
    }

    fn idle(&mut self, at: usize, position: Option<Position>) -> Result<()> {
        let Some(input) = self.inputs.get_mut(at) else { return Ok(()) };
        if let Some(position) = position.as_ref().filter(|position| position.is_retired()) {
            self.changed |= input.positions.remove(&position.partition).is_some();
        } else if let Some(position) = position {
            let before = input.positions.insert(Arc::clone(&position.partition), position.clone());
            self.changed |= before.as_ref() != Some(&position);
        }
        let quiet = self.settings.clock.ticks().saturating_sub(input.rows_at);
        let patience = self.settings.idle_timeout.map(|timeout| timeout.as_millis());
        let idle = patience.is_some_and(|patience| u128::try_from(quiet).is_ok_and(|quiet| quiet >= patience));
        let node = input.node.id;
        if idle {
            // Without this source windows may fire: their rows need a commit although nothing was read.
            self.changed |= self.graph.set_idle(node, true)?;
        }
        Ok(())
    }

    fn end(&mut self, at: usize) -> Result<()> {
        let input = self.inputs.remove(at);
        self.finished.insert(input.node.id);
        self.changed = true;
        self.graph.finish(input.node.id)
    }

    fn commit(&mut self) -> Result<()> {
        let epoch = self.backend.committed().epoch.next();
        let deltas = self.graph.seal()?;
        let mut receipts = Vec::new();
        for (node, writer) in self.graph.writers() {
            receipts.push((
                node,
                writer.seal(epoch).map_err(|error| in_context(error, "sealing", &format!("sink {node}")))?,
            ));
        }
        let mut positions = Vec::new();
        for input in &self.inputs {
            positions.extend(input.positions.values().map(|position| (input.node.id, position.clone())));
        }
        let finished = self.finished.iter().flat_map(|node| node.to_be_bytes()).collect();
        let notes = BTreeMap::from([
            (NOTE_PLAN.to_owned(), self.plan.clone().into_bytes()),
            (NOTE_TIMES.to_owned(), self.graph.times()),
            (NOTE_FINISHED.to_owned(), finished),
        ]);
        self.backend.commit(Commit { epoch, deltas, positions, receipts: receipts.clone(), notes })?;
        for ((node, writer), (_, receipt)) in self.graph.writers().zip(&receipts) {
            writer.publish(receipt).map_err(|error| in_context(error, "publishing", &format!("sink {node}")))?;
        }
        self.control.add_epoch();
        self.changed = false;
        self.epoch_start = self.settings.clock.ticks();
        Ok(())
    }
}

/// Opens all sinks and publishes what a crash may have kept from being published.
/// All nodes whose changes reach a sink that wants those of each row.
fn above_sinks_of_each_change(plan: &StreamPlan, sinks: &BTreeMap<u32, Box<dyn Sink>>) -> BTreeSet<u32> {
    let mut each: BTreeSet<u32> =
        sinks.iter().filter(|(_, sink)| sink.describe().each_change).map(|(node, _)| *node).collect();
    // Inputs stand before their consumers.
    for node in plan.nodes.iter().rev() {
        if each.contains(&node.id) {
            each.extend(&node.inputs);
        }
    }
    each
}

fn open_writers(
    plan: &StreamPlan,
    sinks: BTreeMap<u32, Box<dyn Sink>>,
    owner: &Owner,
    committed: &Committed,
) -> Result<BTreeMap<u32, Box<dyn Writer>>> {
    let mut writers = BTreeMap::new();
    for (node, sink) in sinks {
        if !plan.nodes.iter().any(|known| known.id == node) {
            return Err(Error::bug("stream.no_node", format!("a sink was given for node {node}, which is not there")));
        }
        let mut writer = sink.open(&owner.of_sink(node), committed.epoch)?;
        let receipt = committed.receipts.iter().find(|(of, _)| *of == node).map(|(_, receipt)| receipt);
        if publishes_again(committed.epoch, writer.recover()?, receipt)?
            && let Some(receipt) = receipt
        {
            writer.publish(receipt)?;
        }
        writers.insert(node, writer);
    }
    Ok(writers)
}

fn finished_scans(committed: &Committed) -> BTreeSet<u32> {
    let bytes = committed.notes.get(NOTE_FINISHED).map(Vec::as_slice).unwrap_or_default();
    bytes.chunks_exact(4).filter_map(|chunk| chunk.try_into().ok()).map(u32::from_be_bytes).collect()
}

/// Opens all sources that are not exhausted where the committed epoch ended.
fn open_readers<'a>(
    plan: &'a StreamPlan,
    mut sources: BTreeMap<u32, Box<dyn Source>>,
    committed: &Committed,
    finished: &BTreeSet<u32>,
    now: i64,
) -> Result<Vec<Input<'a>>> {
    let mut inputs = Vec::new();
    for node in &plan.nodes {
        if finished.contains(&node.id) {
            continue;
        }
        let from: Vec<Position> =
            committed.positions.iter().filter(|(of, _)| *of == node.id).map(|(_, position)| position.clone()).collect();
        let (name, reader): (String, Box<dyn Reader>) = match &node.kind {
            NodeKind::Scan(table) => {
                let source = sources.remove(&node.id);
                let source =
                    source.ok_or_else(|| Error::bug("stream.no_source", format!("node {} has no source", node.id)))?;
                let name = table.table.to_string();
                let reader = source.open(&from).map_err(|error| in_context(error, "opening", &name))?;
                (name, reader)
            }
            NodeKind::Values(rows) => ("VALUES".to_owned(), Box::new(ValuesReader::new(rows, &from))),
            _ => continue,
        };
        let positions = from.into_iter().map(|position| (Arc::clone(&position.partition), position)).collect();
        inputs.push(Input { node, name, reader, positions, in_transaction: false, rows_at: now });
    }
    Ok(inputs)
}

/// The rows of a source under the plan's schema; what a plan relies on and a source does not keep is an error.
fn fitted(node: &Node, changes: &ChangeBatch) -> Result<ChangeBatch> {
    let rows = batch(node.schema.clone(), changes.rows().columns().to_vec(), changes.len())?;
    let table = changes.table().clone();
    match changes.ops() {
        Some(ops) if ops.iter().any(|op| *op != Op::Insert) => {
            if node.mode == ChangelogMode::Append {
                return Err(Error::bug(
                    "stream.not_append",
                    format!("the source of {table} gave changes, not only rows"),
                ));
            }
            ChangeBatch::new(table, rows, Arc::clone(ops))
        }
        _ => Ok(ChangeBatch::insert_only(table, rows)),
    }
}

/// A changed table definition is followed as long as the columns that the plan reads stay what they were.
fn follow(node: &Node, change: &SchemaChange) -> Result<()> {
    for field in node.schema.fields() {
        let of = |schema: &Option<arrow::datatypes::SchemaRef>| {
            schema
                .as_ref()
                .and_then(|schema| schema.field_with_name(field.name()).ok().map(|field| field.data_type().clone()))
        };
        let (before, after) = (of(&change.before), of(&change.after));
        let lost = change.after.is_none() || (before.is_some() && before != after);
        if lost {
            return Err(Error::usage(
                "stream.schema_changed",
                format!("the column '{}' of {} was changed or dropped", field.name(), change.table),
            )
            .detail(change.ddl.clone().unwrap_or_else(|| "the source gave no statement".to_owned()))
            .hint("adapt CREATE TABLE to the new definition and start with a new state folder"));
        }
    }
    Ok(())
}

/// An error with a word on what was being done, where it has no detail of its own.
fn in_context(error: Error, doing: &str, what: &str) -> Error {
    if error.detail_text().is_some() { error } else { error.detail(format!("while {doing} {what}")) }
}
