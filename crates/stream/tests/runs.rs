//! Whole runs of small plans.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use arrow::datatypes::DataType;
use common::{PlanBuilder, call, changes, count, run_one, settings};
use headwater_change::ChangelogMode;
use headwater_sql::AggregateFunction;
use headwater_state::MemoryBackend;
use headwater_testkit::{CollectSink, ScriptedSource, batch};

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
fn an_aggregate_gives_one_net_change_per_key_and_batch() {
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
    let summary =
        run_one(&plan.0, source, sink.clone(), Box::new(MemoryBackend::new()), &settings(1, 1000)).expect("run");
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
}
