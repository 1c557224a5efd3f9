//! Whole runs of small plans.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use common::history::{self, Row};
use common::{PlanBuilder, SetBackClock, call, changes, count, run_one, settings};
use headwater_change::{
    ChangeBatch, ChangelogMode, Epoch, ErrorKind, Op, Owner, Receipt, Result, Sink, SinkDescription, Source, TableId,
    Writer,
};
use headwater_sql::{AggregateFunction, NodeKind};
use headwater_state::MemoryBackend;
use headwater_stream::{Control, Settings, run};
use headwater_testkit::{CollectSink, Fault, FaultySource, ScriptedSource, batch};

#[test]
fn windows_fire_in_order_and_late_rows_are_dropped_and_counted() {
    let clicks = batch(
        "op | page Utf8 | ts Timestamp(ms)
         +I | \"/a\"    | 2024-04-25T10:00:01.000
         +I | \"/b\"    | 2024-04-25T10:00:02.000
         +I | \"/a\"    | 2024-04-25T10:00:09.999
         +I | \"/a\"    | 2024-04-25T10:00:10.000
         +I | \"/late\" | 2024-04-25T10:00:03.000",
    );
    let mut plan = PlanBuilder::new();
    let scan = plan.scan(&clicks.rows().schema(), ChangelogMode::Append);
    let marked = plan.watermark(scan, 1);
    let window = plan.tumble(marked, 1, 10_000, &[0], vec![count()]);
    plan.collect(window);
    let sink = CollectSink::new();
    let source = ScriptedSource::new(vec![clicks]).expect("script");
    let summary =
        run_one(&plan.0, source, sink.clone(), Box::new(MemoryBackend::new()), &settings(1, 1000)).expect("run");
    assert!(summary.exhausted);
    assert_eq!((summary.rows_in, summary.rows_out, summary.late_rows), (5, 3, 1));
    assert_eq!(
        changes(&sink),
        [
            "+I 2024-04-25T10:00:00.000 | 2024-04-25T10:00:10.000 | \"/a\" | 2",
            "+I 2024-04-25T10:00:00.000 | 2024-04-25T10:00:10.000 | \"/b\" | 1",
            "+I 2024-04-25T10:00:10.000 | 2024-04-25T10:00:20.000 | \"/a\" | 1",
        ]
    );
}

#[test]
fn an_aggregate_gives_one_net_change_per_key_and_batch_or_those_of_each_row() {
    let rows = batch(
        "op | k Utf8 | v Int64
         +I | \"a\"  | 1
         +I | \"a\"  | 2
         +I | null   | 7",
    );
    let more = batch(
        "op | k Utf8 | v Int64
         -D | \"a\"  | 1
         -D | null   | 7
         -D | \"x\"  | 7",
    );
    let mut plan = PlanBuilder::new();
    let scan = plan.scan(&rows.rows().schema(), ChangelogMode::Retract);
    let sum = call(AggregateFunction::Sum, Some(1), DataType::Int64);
    let max = call(AggregateFunction::Max, Some(1), DataType::Int64);
    let grouped = plan.aggregate(scan, &[0], vec![count(), sum, max]);
    plan.collect(grouped);
    let sink = CollectSink::new();
    let source = ScriptedSource::new(vec![rows, more]).expect("script");
    let summary = run_one(&plan.0, source.clone(), sink.clone(), Box::new(MemoryBackend::new()), &settings(1, 1000))
        .expect("run");
    assert_eq!(summary.stray_rows, 1);
    assert_eq!(
        changes(&sink),
        [
            "+I \"a\" | 2 | 3 | 2",
            "+I null | 1 | 7 | 7",
            "-U \"a\" | 2 | 3 | 2",
            "+U \"a\" | 1 | 2 | 2",
            "-D null | 1 | 7 | 7",
        ]
    );
    let each = CollectSink::new().each_change();
    let summary =
        run_one(&plan.0, source, each.clone(), Box::new(MemoryBackend::new()), &settings(1, 1000)).expect("run");
    assert_eq!(summary.stray_rows, 1);
    assert_eq!(
        changes(&each),
        [
            "+I \"a\" | 1 | 1 | 1",
            "-U \"a\" | 1 | 1 | 1",
            "+U \"a\" | 2 | 3 | 2",
            "+I null | 1 | 7 | 7",
            "-U \"a\" | 2 | 3 | 2",
            "+U \"a\" | 1 | 2 | 2",
            "-D null | 1 | 7 | 7",
        ]
    );
}

#[test]
fn epochs_end_although_the_wall_clock_is_set_back() {
    let rows = || batch("op | v Int64\n+I | 1");
    let mut plan = PlanBuilder::new();
    let scan = plan.scan(&rows().rows().schema(), ChangelogMode::Append);
    plan.collect(scan);
    let source = ScriptedSource::new((0..20).map(|_| rows()).collect::<Vec<_>>()).expect("script");
    let settings = Settings { clock: Arc::new(SetBackClock::default()), ..settings(1, 5) };
    let summary = run_one(&plan.0, source, CollectSink::new(), Box::new(MemoryBackend::new()), &settings).expect("run");
    assert!(summary.epoch > Epoch(2), "{summary:?}");
}

const CLICKS: &str = "op | page Utf8 | ts Timestamp(ms)
    +I | \"/a\" | 2024-04-25T10:00:01.000
    +I | \"/b\" | 2024-04-25T10:00:12.000
    +I | \"/b\" | 2024-04-25T10:00:13.000";

/// Clicks per page and window, above any scan and watermark.
fn windows(plan: &mut PlanBuilder, mode: ChangelogMode) -> u32 {
    let scan = plan.scan(&batch(CLICKS).rows().schema(), mode);
    let marked = plan.watermark(scan, 1);
    plan.tumble(marked, 1, 10_000, &[0], vec![count()])
}

#[test]
fn state_in_a_folder_is_taken_up_and_a_finished_run_has_nothing_to_add() {
    let folder = tempfile::tempdir().expect("folder");
    let mut plan = PlanBuilder::new();
    let window = windows(&mut plan, ChangelogMode::Append);
    plan.collect(window);
    let source = ScriptedSource::new(vec![batch(CLICKS)]).expect("script").recut(1..3, 1..3);
    let sink = CollectSink::new();
    let open = || headwater_state::open(folder.path()).expect("state");
    // The source dies behind its second row: each row is an epoch of its own.
    let dying = FaultySource::new(source.clone(), [Fault::Before(4)]);
    let error = run_one(&plan.0, dying, sink.clone(), open(), &settings(2, 0)).expect_err("dies");
    assert_eq!(error.code(), "testkit.fault");
    let summary = run_one(&plan.0, source.clone(), sink.clone(), open(), &settings(3, 0)).expect("second run");
    assert_eq!(summary.rows_in, 1, "only the row behind the committed position");
    let all = [
        "+I 2024-04-25T10:00:00.000 | 2024-04-25T10:00:10.000 | \"/a\" | 1",
        "+I 2024-04-25T10:00:10.000 | 2024-04-25T10:00:20.000 | \"/b\" | 2",
    ];
    assert_eq!(changes(&sink), all);
    let again = run_one(&plan.0, source, sink.clone(), open(), &settings(1, 0)).expect("third run");
    assert_eq!((again.rows_in, again.exhausted, again.epoch), (0, true, summary.epoch));
    assert_eq!(changes(&sink), all);
}

/// A transaction whose rows come in one batch and whose end in another, without rows; then nothing, for ever.
struct LateEnd(Control);

impl Source for LateEnd {
    fn describe(&self) -> headwater_change::SourceDescription {
        let schema = batch(CLICKS).rows().schema();
        headwater_change::SourceDescription { schema, mode: ChangelogMode::Append, bounded: false }
    }

    fn open(&self, _: &[headwater_change::Position]) -> Result<Box<dyn headwater_change::Reader>> {
        Ok(Box::new(Late(0, self.0.clone())))
    }
}

struct Late(usize, Control);

impl headwater_change::Reader for Late {
    fn next(&mut self, _: usize, _: Duration) -> Result<headwater_change::Read> {
        let run = |end, ends_transaction| {
            let position = headwater_change::Position::new("p", "x", 3 + u64::from(ends_transaction));
            vec![headwater_change::Run { end, position, ends_transaction }]
        };
        let clicks = batch(CLICKS);
        self.0 += 1;
        Ok(match self.0 {
            1 => headwater_change::Read::Rows(clicks.with_runs(run(3, false))?),
            2 => {
                let nothing = ChangeBatch::insert_only(TableId::bare("t"), clicks.rows().slice(0, 0));
                headwater_change::Read::Rows(nothing.with_runs(run(0, true))?)
            }
            _ => {
                self.1.stop();
                headwater_change::Read::Idle(None)
            }
        })
    }
}

#[test]
fn an_end_that_comes_without_rows_ends_its_transaction() {
    let mut plan = PlanBuilder::new();
    let scan = plan.scan(&batch(CLICKS).rows().schema(), ChangelogMode::Append);
    plan.collect(scan);
    let control = Control::new();
    let sink = CollectSink::new();
    let sources = BTreeMap::from([(0, Box::new(LateEnd(control.clone())) as Box<dyn Source>)]);
    let sinks = BTreeMap::from([(plan.0.nodes.len() as u32 - 1, Box::new(sink.clone()) as Box<dyn Sink>)]);
    let backend = Box::new(MemoryBackend::new());
    let summary = run(&plan.0, sources, sinks, backend, &settings(1, 0), &control).expect("a stop is heard");
    assert_eq!((summary.rows_in, changes(&sink).len()), (3, 3), "committed");
}

#[test]
fn state_of_another_plan_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().expect("folder");
    let mut plan = PlanBuilder::new();
    let window = windows(&mut plan, ChangelogMode::Append);
    plan.collect(window);
    let source = ScriptedSource::new(vec![batch(CLICKS)]).expect("script");
    let open = || headwater_state::open(folder.path()).expect("state");
    run_one(&plan.0, source.clone(), CollectSink::new(), open(), &settings(1, 0)).expect("first run");
    let mut other = PlanBuilder::new();
    let scan = other.scan(&batch(CLICKS).rows().schema(), ChangelogMode::Append);
    other.collect(scan);
    let error = run_one(&other.0, source, CollectSink::new(), open(), &settings(1, 0)).expect_err("another plan");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Usage, "state.plan_changed"));
    assert!(error.hint_text().is_some_and(|hint| hint.contains("--state")));
}

#[test]
fn a_null_time_is_an_error_of_the_data() {
    let rows = batch("op | page Utf8 | ts Timestamp(ms)\n+I | \"/a\" | null");
    let mut plan = PlanBuilder::new();
    let window = windows(&mut plan, ChangelogMode::Append);
    plan.collect(window);
    let source = ScriptedSource::new(vec![rows]).expect("script");
    let sink = CollectSink::new();
    let error = run_one(&plan.0, source, sink.clone(), Box::new(MemoryBackend::new()), &settings(1, 1))
        .expect_err("a null time");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Data, "stream.null_rowtime"));
    assert!(sink.published().is_empty(), "nothing is seen of an epoch that failed");
}

#[test]
fn an_idle_source_holds_no_watermark_back_and_a_stop_ends_cleanly() {
    let mut plan = PlanBuilder::new();
    let schema = batch(CLICKS).rows().schema();
    let scans = [plan.scan(&schema, ChangelogMode::Append), plan.scan(&schema, ChangelogMode::Append)];
    let marked = scans.map(|scan| plan.watermark(scan, 1));
    let union = plan.node(NodeKind::Union, &marked, schema, ChangelogMode::Append);
    let window = plan.tumble(union, 1, 10_000, &[0], vec![count()]);
    let collect = plan.collect(window);
    let busy = ScriptedSource::new(vec![batch(CLICKS)]).expect("script").unbounded();
    let empty = ScriptedSource::new(vec![ChangeBatch::insert_only(
        TableId::bare("t"),
        RecordBatch::new_empty(batch(CLICKS).rows().schema()),
    )])
    .expect("script")
    .unbounded();
    let control = Control::new();
    let sink = CollectSink::new();
    let watcher = StopWhenPublished { sink: sink.clone(), control: control.clone() };
    let sources: BTreeMap<u32, Box<dyn Source>> =
        BTreeMap::from([(scans[0], Box::new(busy) as Box<dyn Source>), (scans[1], Box::new(empty) as _)]);
    let sinks: BTreeMap<u32, Box<dyn Sink>> = BTreeMap::from([(collect, Box::new(watcher) as Box<dyn Sink>)]);
    let settings = Settings { idle_timeout: Some(Duration::from_millis(50)), ..settings(1, 1) };
    let summary = run(&plan.0, sources, sinks, Box::new(MemoryBackend::new()), &settings, &control).expect("stopped");
    assert!(!summary.exhausted);
    assert_eq!(
        changes(&sink),
        ["+I 2024-04-25T10:00:00.000 | 2024-04-25T10:00:10.000 | \"/a\" | 1"],
        "the open window does not fire because of the stop"
    );
}

/// Asks for a stop when something was written.
struct StopWhenPublished {
    sink: CollectSink,
    control: Control,
}

impl Sink for StopWhenPublished {
    fn describe(&self) -> SinkDescription {
        self.sink.describe()
    }

    fn open(&self, owner: &Owner, committed: Epoch) -> Result<Box<dyn Writer>> {
        Ok(Box::new(StoppingWriter { writer: self.sink.open(owner, committed)?, control: self.control.clone() }))
    }
}

struct StoppingWriter {
    writer: Box<dyn Writer>,
    control: Control,
}

impl Writer for StoppingWriter {
    fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        self.control.stop();
        self.writer.write(batch)
    }

    fn seal(&mut self, epoch: Epoch) -> Result<Receipt> {
        self.writer.seal(epoch)
    }

    fn publish(&mut self, receipt: &Receipt) -> Result<()> {
        self.writer.publish(receipt)
    }
}

#[test]
fn many_rows_on_many_threads_give_what_one_gives() {
    let history: Vec<(Op, Row)> = (0..10_000u32)
        .map(|number| {
            let small = |range: u32| (number.wrapping_mul(2_654_435_761) >> 7) % range;
            let row = Row {
                k: Some(small(97) as u8),
                v: Some(small(11) as i8),
                d: Some(small(999) as i16),
                f: Some(small(9) as i8),
                s: Some(small(4) as u8),
                b: Some(small(2) == 0),
                ts: i64::from(number),
            };
            (Op::Insert, row)
        })
        .collect();
    let mut plan = PlanBuilder::new();
    let scan = plan.scan(&history::schema(), ChangelogMode::Append);
    let marked = plan.watermark(scan, 6);
    let window = plan.tumble(marked, 6, 1_000, &[0, 5], history::calls());
    plan.collect(window);
    let rows = |parallelism| {
        let sink = CollectSink::new();
        let source = ScriptedSource::new(vec![history::batch(&history, true)]).expect("script");
        let settings = settings(parallelism, 5);
        run_one(&plan.0, source, sink.clone(), Box::new(MemoryBackend::new()), &settings).expect("run");
        sink.rows().expect("fold")
    };
    let alone = rows(1);
    assert!(alone.len() > 1_000);
    assert_eq!(alone, rows(4));
}
