//! The three laws for aggregates and windows, over random histories.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::crash::{Shared, folder, open};
use common::history::{self, Row};
use common::{PlanBuilder, changes, run_one, settings};
use headwater_change::{ChangelogMode, Op};
use headwater_sql::StreamPlan;
use headwater_state::MemoryBackend;
use headwater_testkit::{CollectSink, Fault, FaultySink, FaultySource, ScriptedSource};
use proptest::prelude::*;

const SIZE: i64 = 20;

fn grouped() -> StreamPlan {
    let mut plan = PlanBuilder::new();
    let scan = plan.scan(&history::schema(), ChangelogMode::Retract);
    let aggregate = plan.aggregate(scan, &[0], history::calls());
    plan.collect(aggregate);
    plan.0
}

/// Windows over rows that only come (`Append`) or over rows declared to change, which keeps other state.
fn windowed(mode: ChangelogMode) -> StreamPlan {
    let mut plan = PlanBuilder::new();
    let scan = plan.scan(&history::schema(), mode);
    let marked = plan.watermark(scan, 6);
    let window = plan.tumble(marked, 6, SIZE as u64, &[0], history::calls());
    plan.collect(window);
    plan.0
}

fn script(history: &[(Op, Row)], append: bool) -> ScriptedSource {
    ScriptedSource::new(vec![history::batch(history, append)]).expect("script")
}

/// How a history is cut: ends of batches, ends of transactions, the length of epochs, shards.
#[derive(Clone, Debug)]
struct Cuts {
    batches: Vec<usize>,
    transactions: Vec<usize>,
    epoch_millis: u64,
    parallelism: usize,
}

fn cuts() -> impl Strategy<Value = Cuts> {
    let counts = || prop::collection::vec(1usize..60, 0..20);
    (counts(), counts(), 0u64..16, prop::sample::select(vec![1usize, 3])).prop_map(
        |(batches, transactions, epoch_millis, parallelism)| Cuts { batches, transactions, epoch_millis, parallelism },
    )
}

/// Runs a plan over a history that is cut like this; gives the folded result and the number of late rows.
fn fold(plan: &StreamPlan, source: &ScriptedSource, cuts: &Cuts) -> (Vec<String>, u64) {
    let sink = CollectSink::new();
    let source = source.recut(cuts.batches.clone(), cuts.transactions.clone());
    let settings = settings(cuts.parallelism, cuts.epoch_millis);
    let summary = run_one(plan, source, sink.clone(), Box::new(MemoryBackend::new()), &settings).expect("run");
    (sink.rows().expect("fold"), summary.late_rows)
}

/// Every change that a sink is given that wants those of each row, in order.
fn each_change(plan: &StreamPlan, source: &ScriptedSource, cuts: &Cuts) -> Vec<String> {
    let sink = CollectSink::new().each_change();
    let source = source.recut(cuts.batches.clone(), cuts.transactions.clone());
    let settings = settings(cuts.parallelism, cuts.epoch_millis);
    run_one(plan, source, sink.clone(), Box::new(MemoryBackend::new()), &settings).expect("run");
    let mut lines = changes(&sink);
    if cuts.parallelism > 1 {
        // Shards have no order between them.
        lines.sort();
    }
    lines
}

/// The result of windows without their bounds, which are checked elsewhere.
fn without_bounds(rows: &[String]) -> Vec<String> {
    let mut rows: Vec<String> =
        rows.iter().map(|row| row.splitn(3, " | ").nth(2).expect("three columns").to_owned()).collect();
    rows.sort();
    rows
}

/// Where runs die: at calls of the source, of the sink, and at commits.
#[derive(Clone, Debug)]
struct Deaths {
    source: Vec<Fault>,
    sink: Vec<Fault>,
    commits: Vec<(u64, bool)>,
}

fn deaths() -> impl Strategy<Value = Deaths> {
    let fault = |(number, after): (u64, bool)| if after { Fault::After(number) } else { Fault::Before(number) };
    let faults = move || prop::collection::vec((1u64..40, any::<bool>()).prop_map(fault), 0..4);
    let commits = prop::collection::vec((1u64..12, any::<bool>()), 0..4);
    (faults(), faults(), commits).prop_map(|(source, sink, commits)| Deaths { source, sink, commits })
}

/// Runs a plan again and again until it ends well, each time with another number of shards.
fn survive(plan: &StreamPlan, source: &ScriptedSource, cuts: &Cuts, deaths: &Deaths) -> Vec<String> {
    let target = CollectSink::new();
    let source = source.recut(cuts.batches.clone(), cuts.transactions.clone());
    let source = Arc::new(FaultySource::new(source, deaths.source.iter().copied()));
    let sink = Arc::new(FaultySink::new(target.clone(), deaths.sink.iter().copied()));
    let folder = folder(deaths.commits.clone());
    for attempt in 0..=12 {
        let settings = settings(1 + (cuts.parallelism + attempt) % 3, cuts.epoch_millis);
        let result = run_one(plan, Shared(Arc::clone(&source)), Shared(Arc::clone(&sink)), open(&folder), &settings);
        match result {
            Ok(summary) => {
                assert!(summary.exhausted);
                return target.rows().expect("fold");
            }
            Err(error) => assert!(error.code().ends_with(".fault"), "{error:?}"),
        }
    }
    panic!("more deaths than were planned");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn law_stream_equals_batch_for_aggregates(history in history::updating(), cuts in cuts()) {
        let (rows, _) = fold(&grouped(), &script(&history, false), &cuts);
        prop_assert_eq!(rows, history::expected_groups(&history));
    }

    #[test]
    fn law_stream_equals_batch_for_windows(history in history::appending(), cuts in cuts(), retract in any::<bool>()) {
        let mode = if retract { ChangelogMode::Retract } else { ChangelogMode::Append };
        let (rows, late) = fold(&windowed(mode), &script(&history, !retract), &cuts);
        let (expected, expected_late) = history::expected_windows(&history, SIZE);
        let mut expected: Vec<String> = expected.into_iter().map(|(_, line)| line).collect();
        expected.sort();
        prop_assert_eq!(without_bounds(&rows), expected);
        prop_assert_eq!(late, expected_late);
    }

    #[test]
    fn law_cuts_are_invisible_for_aggregates(history in history::updating(), one in cuts(), other in cuts()) {
        let (plan, source) = (grouped(), script(&history, false));
        prop_assert_eq!(fold(&plan, &source, &one), fold(&plan, &source, &other));
    }

    #[test]
    fn law_cuts_are_invisible_for_windows(history in history::appending(), one in cuts(), other in cuts()) {
        let (plan, source) = (windowed(ChangelogMode::Append), script(&history, true));
        prop_assert_eq!(fold(&plan, &source, &one), fold(&plan, &source, &other));
    }

    #[test]
    fn law_cuts_are_invisible_in_each_change(history in history::updating(), one in cuts(), other in cuts()) {
        let (plan, source) = (grouped(), script(&history, false));
        let other = Cuts { parallelism: one.parallelism, ..other };
        prop_assert_eq!(each_change(&plan, &source, &one), each_change(&plan, &source, &other));
    }

    #[test]
    fn law_restart_is_invisible_for_aggregates(
        history in history::updating(), cuts in cuts(), deaths in deaths(),
    ) {
        let (plan, source) = (grouped(), script(&history, false));
        prop_assert_eq!(survive(&plan, &source, &cuts, &deaths), fold(&plan, &source, &cuts).0);
    }

    #[test]
    fn law_restart_is_invisible_for_windows(
        history in history::appending(), cuts in cuts(), deaths in deaths(), retract in any::<bool>(),
    ) {
        let mode = if retract { ChangelogMode::Retract } else { ChangelogMode::Append };
        let (plan, source) = (windowed(mode), script(&history, !retract));
        prop_assert_eq!(survive(&plan, &source, &cuts, &deaths), fold(&plan, &source, &cuts).0);
    }
}
