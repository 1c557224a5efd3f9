//! Rows per second of the operators alone: batches in memory, no decoding, no output.
//!
//! `cargo bench -p headwater-stream` prints one line per scenario: the best of three runs. With `-- restart` only the
//! restart of a pipeline with many keys.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a benchmark")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::physical_expr::expressions::Column;
use headwater_change::{
    ChangeBatch, ChangelogMode, Delivery, Epoch, Owner, Position, Read, Reader, Receipt, Result, Run, Sink,
    SinkDescription, Source, SourceDescription, SystemClock, TableId, Writer,
};
use headwater_sql::{
    Aggregate, AggregateCall, AggregateFunction, Node, NodeKind, StreamPlan, TableSpec, Watermark, Window,
    WindowAggregate,
};
use headwater_state::{Backend, EpochFiles, MemoryBackend};
use headwater_stream::{Control, Settings, Summary, run};

const BATCH: usize = 8_192;
const BATCHES: usize = 500;

#[derive(Clone)]
struct Prepared(Arc<Vec<RecordBatch>>);

impl Source for Prepared {
    fn describe(&self) -> SourceDescription {
        SourceDescription { schema: self.0[0].schema(), mode: ChangelogMode::Append, bounded: true }
    }

    fn open(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        let read = from.first().map_or(0, |position| position.ordinal);
        Ok(Box::new(PreparedReader(self.clone(), read as usize)))
    }
}

struct PreparedReader(Prepared, usize);

impl Reader for PreparedReader {
    fn next(&mut self, _budget: usize, _wait: Duration) -> Result<Read> {
        let Some(rows) = self.0.0.get(self.1) else { return Ok(Read::End) };
        self.1 += 1;
        let position = Position::new("memory", self.1.to_string(), self.1 as u64);
        let run = Run { end: rows.num_rows(), position, ends_transaction: true };
        Ok(Read::Rows(ChangeBatch::insert_only(TableId::bare("t"), rows.clone()).with_runs(vec![run])?))
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn describe(&self) -> SinkDescription {
        SinkDescription { accepts: ChangelogMode::Retract, delivery: Delivery::ExactlyOnce, each_change: false }
    }

    fn open(&self, _owner: &Owner, _committed: Epoch) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Self))
    }
}

impl Writer for Nowhere {
    fn write(&mut self, _batch: &ChangeBatch) -> Result<()> {
        Ok(())
    }

    fn seal(&mut self, epoch: Epoch) -> Result<Receipt> {
        Ok(Receipt { epoch, token: Vec::new() })
    }

    fn publish(&mut self, _receipt: &Receipt) -> Result<()> {
        Ok(())
    }
}

fn random(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 11) as f64 / (1u64 << 53) as f64
}

/// Pages by Zipf's law; ten rows a millisecond, which stray by up to two seconds.
fn clicks() -> Prepared {
    let weights: Vec<f64> = (1..=1_000).map(|rank| 1.0 / f64::from(rank)).collect();
    let total: f64 = weights.iter().sum();
    let mut sum = 0.0;
    let steps: Vec<f64> = weights
        .iter()
        .map(|weight| {
            sum += weight / total;
            sum
        })
        .collect();
    let schema = Arc::new(Schema::new(vec![
        Field::new("page", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]));
    let mut seed = 1;
    let batches = (0..BATCHES).map(|batch| {
        let pages: StringArray = (0..BATCH)
            .map(|_| {
                let at = random(&mut seed);
                Some(format!("/products/{}", steps.partition_point(|step| *step < at)))
            })
            .collect();
        let times: TimestampMillisecondArray = (0..BATCH)
            .map(|row| Some(((batch * BATCH + row) / 10) as i64 - (random(&mut seed) * 2_000.0) as i64))
            .collect();
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(pages), Arc::new(times)]).expect("columns")
    });
    Prepared(Arc::new(batches.collect()))
}

/// A million integer keys in no order, with a value.
fn keyed() -> Prepared {
    let schema =
        Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("v", DataType::Int64, true)]));
    let mut seed = 1;
    let batches = (0..BATCHES).map(|_| {
        let keys: Int64Array = (0..BATCH).map(|_| Some((random(&mut seed) * 1e6) as i64)).collect();
        let values: Int64Array = (0..BATCH).map(|row| Some(row as i64)).collect();
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(keys), Arc::new(values)]).expect("columns")
    });
    Prepared(Arc::new(batches.collect()))
}

fn call(function: AggregateFunction, argument: Option<usize>) -> AggregateCall {
    let result = Arc::new(Field::new(function.name(), DataType::Int64, true));
    AggregateCall { function, argument, distinct: false, filter: None, result }
}

fn plan(schema: &SchemaRef, steps: Vec<(NodeKind, SchemaRef, ChangelogMode)>) -> StreamPlan {
    let table = TableSpec {
        table: TableId::bare("t"),
        connector: "memory".to_owned(),
        schema: Arc::clone(schema),
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        conditions: vec![],
        first: None,
        options: Vec::new(),
    };
    let mut all = vec![(NodeKind::Scan(table), Arc::clone(schema), ChangelogMode::Append)];
    all.extend(steps);
    let last = all.last().map(|(_, schema, mode)| (NodeKind::Collect, Arc::clone(schema), mode.clone()));
    all.extend(last);
    let node = |(id, (kind, schema, mode)): (u32, (NodeKind, SchemaRef, ChangelogMode))| Node {
        id,
        kind,
        inputs: id.checked_sub(1).into_iter().collect(),
        schema,
        mode,
    };
    StreamPlan { nodes: (0u32..).zip(all).map(node).collect() }
}

fn measure(name: &str, plan: &StreamPlan, source: &Prepared, parallelism: usize) {
    let best = (0..3)
        .map(|_| {
            let start = Instant::now();
            let summary = work(plan, source, parallelism, Box::new(MemoryBackend::new()));
            (start.elapsed(), summary)
        })
        .min_by_key(|(elapsed, _)| *elapsed);
    if let Some((elapsed, summary)) = best {
        let millions = summary.rows_in as f64 / elapsed.as_secs_f64() / 1e6;
        println!("{name:<34} {parallelism} shard(s) {millions:>7.2} million rows/s  {summary:?}");
    }
}

fn work(plan: &StreamPlan, source: &Prepared, parallelism: usize, state: Box<dyn Backend>) -> Summary {
    let sources: BTreeMap<u32, Box<dyn Source>> = BTreeMap::from([(0, Box::new(source.clone()) as _)]);
    let last = plan.nodes.len() as u32 - 1;
    let sinks: BTreeMap<u32, Box<dyn Sink>> = BTreeMap::from([(last, Box::new(Nowhere) as _)]);
    let settings = Settings {
        parallelism,
        epoch_interval: Duration::from_secs(1),
        batch_bytes: 1 << 20,
        idle_timeout: None,
        clock: Arc::new(SystemClock),
    };
    run(plan, sources, sinks, state, &settings, &Control::new()).expect("run")
}

/// Ten million keys of 16 bytes, in no order, and a value.
fn many_keys() -> Prepared {
    let schema =
        Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Int64, true)]));
    let batches = (0..10_000_000_u64.div_ceil(BATCH as u64)).map(|batch| {
        let numbers = batch * BATCH as u64..((batch + 1) * BATCH as u64).min(10_000_000);
        let values: Int64Array = numbers.clone().map(|number| Some(number as i64)).collect();
        // An odd factor keeps different numbers different.
        let key = |number: u64| format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let keys: StringArray = numbers.map(|number| Some(key(number))).collect();
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(keys), Arc::new(values)]).expect("columns")
    });
    Prepared(Arc::new(batches.collect()))
}

/// A pipeline is built up from nothing, and then started again from its state folder with nothing left to read.
fn measure_restart(plan: &StreamPlan, source: &Prepared, parallelism: usize) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("restart-bench");
    let _ = std::fs::remove_dir_all(&folder);
    let state = || Box::new(EpochFiles::open(&folder).expect("state"));
    let start = Instant::now();
    work(plan, source, parallelism, state());
    let (built, mut again) = (start.elapsed(), Vec::new());
    for _ in 0..5 {
        let start = Instant::now();
        let summary = work(plan, source, parallelism, state());
        assert_eq!(summary.rows_in, 0, "everything was read before");
        again.push(start.elapsed());
    }
    again.sort();
    let name = "restart with 10M keys";
    println!(
        "{name:<34} {parallelism} shard(s) median {:.2?} of {again:.2?}; built in {built:.2?}",
        again[again.len() / 2]
    );
    std::fs::remove_dir_all(&folder).expect("removed");
}

fn main() {
    if std::env::args().any(|argument| argument == "restart") {
        return restart();
    }
    restart();
    let clicks = clicks();
    let schema = clicks.0[0].schema();
    let bound = |name| Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, None), false);
    let count = call(AggregateFunction::Count, None);
    let windows = Arc::new(Schema::new(vec![
        bound("window_start"),
        bound("window_end"),
        schema.field(0).clone(),
        count.result.as_ref().clone(),
    ]));
    let watermark = Watermark { column: 1, delayed: Arc::new(Column::new("ts", 1)) };
    let window = Window::Tumble { size: Duration::from_secs(10), offset_millis: 0, zone: None };
    let tumble = WindowAggregate { time: 1, window, group: vec![0], calls: vec![count.clone()] };
    let windowed = plan(
        &schema,
        vec![
            (NodeKind::Watermark(watermark), Arc::clone(&schema), ChangelogMode::Append),
            (NodeKind::WindowAggregate(tumble), windows, ChangelogMode::Append),
        ],
    );
    measure("tumble count per page", &windowed, &clicks, 1);
    measure("tumble count per page", &windowed, &clicks, 2);

    let pages = Arc::new(Schema::new(vec![schema.field(0).clone(), count.result.as_ref().clone()]));
    let grouped =
        NodeKind::Aggregate(Aggregate { group: vec![0], calls: vec![count.clone()], row_over_nothing: false });
    measure("count per page", &plan(&schema, vec![(grouped, pages, ChangelogMode::Retract)]), &clicks, 1);

    let keyed = keyed();
    let schema = keyed.0[0].schema();
    let calls = vec![count, call(AggregateFunction::Sum, Some(1)), call(AggregateFunction::Max, Some(1))];
    let mut fields = vec![schema.field(0).clone()];
    fields.extend(calls.iter().map(|call| call.result.as_ref().clone()));
    let result = Arc::new(Schema::new(fields));
    let grouped = NodeKind::Aggregate(Aggregate { group: vec![0], calls, row_over_nothing: false });
    let million = plan(&schema, vec![(grouped, result, ChangelogMode::Retract)]);
    measure("count, sum, max of 1M keys", &million, &keyed, 1);
    measure("count, sum, max of 1M keys", &million, &keyed, 2);
}

fn restart() {
    let source = many_keys();
    let schema = source.0[0].schema();
    let calls = vec![
        call(AggregateFunction::Count, None),
        call(AggregateFunction::Sum, Some(1)),
        call(AggregateFunction::Max, Some(1)),
    ];
    let mut fields = vec![schema.field(0).clone()];
    fields.extend(calls.iter().map(|call| call.result.as_ref().clone()));
    let grouped = NodeKind::Aggregate(Aggregate { group: vec![0], calls, row_over_nothing: false });
    let plan = plan(&schema, vec![(grouped, Arc::new(Schema::new(fields)), ChangelogMode::Retract)]);
    measure_restart(&plan, &source, 1);
    measure_restart(&plan, &source, 2);
}
