//! Law 1 at the level of SQL: whatever the history and however it is cut, the folded result of the stream engine equals
//! DataFusion's result over the folded history.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, Decimal128Array, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use headwater_batch::Tables;
use headwater_change::{ChangeBatch, ChangelogMode, ManualClock, Op, Result, Sink, Source, TableId};
use headwater_connect::text::{CastText, TimeZone};
use headwater_sql::{Capabilities, Connectors, Dialects, Job, NodeKind, Outcome, Script, Session, TableSpec};
use headwater_state::MemoryBackend;
use headwater_stream::{Control, Settings, run};
use headwater_testkit::{CollectSink, ScriptedSource, fold};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

const TABLE: &str = "CREATE TABLE t (k STRING, a INT, n TINYINT, b BIGINT, d DECIMAL(10, 2), ts TIMESTAMP(3),
  twice AS a * 2,
  WATERMARK FOR ts AS ts - INTERVAL '1' HOUR) WITH ('connector' = 'test');";

/// Over a history of inserts, updates and deletes.
const UPDATING: &[&str] = &[
    "SELECT k, COUNT(*) AS c, COUNT(a) AS ca, SUM(a) AS s, AVG(a) AS m, MIN(a) AS lo, MAX(a) AS hi FROM t GROUP BY k",
    "SELECT k, SUM(n) AS s, AVG(n) AS m, SUM(b) AS sb, AVG(b) AS mb FROM t GROUP BY k",
    "SELECT a, SUM(d) AS s, AVG(d) AS m, MIN(d) AS lo, MAX(d) AS hi FROM t GROUP BY a",
    "SELECT k, COUNT(DISTINCT a) AS c, SUM(DISTINCT a) AS s FROM t GROUP BY k",
    "SELECT k, COUNT(*) FILTER (WHERE a > 0) AS c, MAX(b) FILTER (WHERE a < 2) AS hi FROM t GROUP BY k",
    "SELECT k, a, MIN(k) AS lo, MAX(ts) AS late FROM t WHERE a IS NOT NULL GROUP BY k, a HAVING COUNT(*) > 1",
    "SELECT DISTINCT k, a FROM t",
    "SELECT c, COUNT(*) AS groups_of_it FROM (SELECT k, COUNT(*) AS c FROM t GROUP BY k) AS g GROUP BY c",
    "SELECT k, twice, d * a AS p, d / 3 AS q, IF(a > 1, 'y', 'n') AS f, COALESCE(a, 0) + 1 AS z FROM t WHERE a <> 2 OR a IS NULL",
    "SELECT k FROM t WHERE a > 0 UNION ALL SELECT k FROM t WHERE b > 0",
    "SELECT k FROM t UNION SELECT CAST(NULL AS STRING) FROM t",
    "SELECT COUNT(*) AS c, COUNT(a) AS ca, SUM(b) AS s, AVG(d) AS m, MIN(n) AS lo, MAX(k) AS hi FROM t",
    "SELECT COUNT(DISTINCT a) AS c, SUM(DISTINCT a) AS s FROM t WHERE a > 2 HAVING COUNT(*) < 2",
    "SELECT SUM(c) AS s, COUNT(*) AS n FROM (SELECT COUNT(*) AS c FROM t WHERE a > 2 UNION ALL SELECT COUNT(*) FROM t) AS u",
];

/// Over a history of inserts.
const WINDOWED: &[&str] = &[
    "SELECT k, COUNT(*) AS c, SUM(a) AS s, TUMBLE_START(ts, INTERVAL '10' SECOND) AS ws,
            TUMBLE_END(ts, INTERVAL '10' SECOND) AS we, TUMBLE_ROWTIME(ts, INTERVAL '10' SECOND) AS wt
     FROM t GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), k",
    "SELECT window_start, window_end, MIN(d) AS lo, MAX(d) AS hi, AVG(b) AS m, COUNT(DISTINCT k) AS ks
     FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '7' SECOND, INTERVAL '2' SECOND))
     WHERE a IS NOT NULL GROUP BY window_start, window_end HAVING COUNT(*) > 1",
    "SELECT COUNT(*) AS windows, SUM(c) AS rows_in_them FROM
       (SELECT window_start, window_end, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
        GROUP BY window_start, window_end) AS w GROUP BY c",
];

/// A query in which a guard keeps a division by zero or a text without a number away, and the same one that has none.
const GUARDED: &[(&str, &str)] = &[
    ("SELECT k, a FROM t WHERE a <> 0 AND 10 / a > 1", "SELECT k, a FROM t WHERE 10 / NULLIF(a, 0) > 1"),
    (
        "SELECT k FROM t WHERE a IS NULL OR a = 0 OR 10 / a < 9",
        "SELECT k FROM t WHERE a IS NULL OR a = 0 OR 10 / NULLIF(a, 0) < 9",
    ),
    ("SELECT k FROM t WHERE NOT (a = 0 OR 10 / a <= 5)", "SELECT k FROM t WHERE 10 / NULLIF(a, 0) > 5"),
    (
        "SELECT k FROM t WHERE b > 0 AND a <> 0 AND 10 / a > 1 AND 4 / a > 1",
        "SELECT k FROM t WHERE b > 0 AND 4 / NULLIF(a, 0) > 1",
    ),
    (
        "SELECT CASE WHEN a = 0 THEN 99 ELSE 10 / a END AS q FROM t",
        "SELECT CASE WHEN a = 0 THEN 99 ELSE 10 / NULLIF(a, 0) END AS q FROM t",
    ),
    (
        "SELECT CASE a WHEN 0 THEN 99 WHEN 1 THEN 1 ELSE 10 / a END AS q FROM t",
        "SELECT CASE WHEN a = 0 THEN 99 WHEN a = 1 THEN 1 ELSE 10 / NULLIF(a, 0) END AS q FROM t",
    ),
    ("SELECT IF(a = 0, -1, 10 / a) AS q FROM t", "SELECT IF(a = 0, -1, 10 / NULLIF(a, 0)) AS q FROM t"),
    (
        "SELECT COALESCE(NULLIF(a, 0), 10 / (CASE WHEN a = 0 THEN 2 END)) AS q FROM t",
        "SELECT CASE WHEN a = 0 THEN 5 ELSE a END AS q FROM t",
    ),
    ("SELECT a <> 0 AND 10 / a > 1 AS q FROM t", "SELECT a <> 0 AND 10 / NULLIF(a, 0) > 1 AS q FROM t"),
    (
        "SELECT k FROM (SELECT k, a FROM t WHERE a <> 0) AS u WHERE 10 / a > 1",
        "SELECT k FROM t WHERE 10 / NULLIF(a, 0) > 1",
    ),
    ("SELECT 10 / a AS q FROM t WHERE a <> 0", "SELECT 10 / NULLIF(a, 0) AS q FROM t WHERE a IS NOT NULL AND a <> 0"),
    (
        "SELECT k, 10 / SUM(a) AS q FROM t GROUP BY k HAVING SUM(a) <> 0 AND 10 / SUM(a) > 0",
        "SELECT k, 10 / NULLIF(SUM(a), 0) AS q FROM t GROUP BY k HAVING 10 / NULLIF(SUM(a), 0) > 0",
    ),
    (
        "SELECT k FROM t WHERE k <> 'a' AND k <> 'b' AND k <> 'c' AND CAST(k AS INT) > 0",
        "SELECT k FROM t WHERE k = 'd'",
    ),
    (
        "SELECT SUM(10 / a) FILTER (WHERE a <> 0) AS s FROM (SELECT a FROM t WHERE a <> 0 OR a IS NULL) AS u",
        "SELECT SUM(10 / NULLIF(a, 0)) AS s FROM t",
    ),
];

struct Given(ChangelogMode);

impl Connectors for Given {
    fn describe(
        &self,
        _connector: &str,
        _options: &[(String, String)],
    ) -> headwater_change::Result<Vec<arrow::datatypes::Field>> {
        Ok(vec![arrow::datatypes::Field::new("id", arrow::datatypes::DataType::Int64, false)])
    }

    fn capabilities(&self, _table: &TableSpec) -> Result<Capabilities> {
        Ok(Capabilities { source: Some((self.0.clone(), true)), sink: None, only_batch: false })
    }
}

type Row = (Option<String>, Option<i32>, i8, i64, i64, i64);

fn row() -> impl Strategy<Value = Row> {
    (
        prop::option::weighted(0.9, prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned)),
        prop::option::weighted(0.8, -1..4i32),
        any::<i8>(),
        prop_oneof![-5..5i64, any::<i64>()],
        -1_000..1_000i64,
        0..120_000i64,
    )
}

/// A history: new rows, and changes of rows that are there.
fn history() -> impl Strategy<Value = Vec<(Op, Row)>> {
    prop::collection::vec((row(), 0..4u8, any::<prop::sample::Index>()), 1..40).prop_map(|steps| {
        let mut there: Vec<Row> = Vec::new();
        let mut log = Vec::new();
        for (row, what, at) in steps {
            match what {
                0 if !there.is_empty() => log.push((Op::Delete, there.swap_remove(at.index(there.len())))),
                1 if !there.is_empty() => {
                    let index = at.index(there.len());
                    let old = std::mem::replace(&mut there[index], row.clone());
                    log.extend([(Op::UpdateBefore, old), (Op::UpdateAfter, row)]);
                }
                _ => {
                    there.push(row.clone());
                    log.push((Op::Insert, row));
                }
            }
        }
        log
    })
}

fn table_rows<'a>(
    session_schema: &arrow::datatypes::SchemaRef,
    rows: impl Iterator<Item = &'a Row> + Clone,
) -> RecordBatch {
    let columns: Vec<ArrayRef> = session_schema
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            match field.name().as_str() {
                "k" => Arc::new(rows.clone().map(|row| row.0.clone()).collect::<StringArray>()),
                "a" => Arc::new(rows.clone().map(|row| row.1).collect::<Int32Array>()),
                "n" => Arc::new(rows.clone().map(|row| Some(row.2)).collect::<Int8Array>()),
                "b" => Arc::new(rows.clone().map(|row| Some(row.3)).collect::<Int64Array>()),
                "d" => {
                    let values = rows.clone().map(|row| Some(i128::from(row.4))).collect::<Decimal128Array>();
                    Arc::new(values.with_precision_and_scale(10, 2).unwrap())
                }
                "ts" => Arc::new(rows.clone().map(|row| Some(row.5)).collect::<TimestampMillisecondArray>()),
                "twice" => Arc::new(rows.clone().map(|row| row.1.map(|a| a.wrapping_mul(2))).collect::<Int32Array>()),
                other => panic!("no column {other}"),
            }
        })
        .collect();
    RecordBatch::try_new(Arc::clone(session_schema), columns).unwrap()
}

fn plan(sql: &str, mode: ChangelogMode) -> Job {
    let text = format!("SET 'execution.runtime-mode' = 'batch';\n{TABLE}\n{sql}");
    let script = Script::read(&text, &BTreeMap::new(), Dialects::default()).unwrap();
    let mut session = Session::new(|column, row, out| CastText::new(TimeZone::UTC).write(column, row, out)).unwrap();
    for statement in 0..2 {
        session.execute(&script, statement, &Given(mode.clone()), false).unwrap();
    }
    match session.execute(&script, 2, &Given(mode), false) {
        Ok(Outcome::Batch(job)) => *job,
        other => panic!("{sql}: {other:?}"),
    }
}

fn streamed(job: &Job, log: &[(Op, Row)], append: bool, cuts: &[usize], parallelism: usize) -> Vec<String> {
    let mut sources: BTreeMap<u32, Box<dyn Source>> = BTreeMap::new();
    let mut sinks: BTreeMap<u32, Box<dyn Sink>> = BTreeMap::new();
    let sink = CollectSink::new();
    let pipeline = job.stream().unwrap();
    for node in &pipeline.plan.nodes {
        match &node.kind {
            NodeKind::Scan(spec) => {
                let rows = table_rows(&spec.schema, log.iter().map(|(_, row)| row));
                let table = TableId::bare("t");
                let ops: Vec<Op> = log.iter().map(|(op, _)| *op).collect();
                let batch = if append {
                    ChangeBatch::insert_only(table, rows)
                } else {
                    ChangeBatch::new(table, rows, ops).unwrap()
                };
                let source = ScriptedSource::new(vec![batch]).unwrap().recut(cuts.to_vec(), cuts.to_vec());
                sources.insert(node.id, Box::new(source));
            }
            NodeKind::Collect => drop(sinks.insert(node.id, Box::new(sink.clone()))),
            _ => {}
        }
    }
    let settings = Settings {
        parallelism,
        epoch_interval: Duration::ZERO,
        batch_bytes: 1 << 20,
        idle_timeout: None,
        clock: Arc::new(ManualClock::new(0)),
    };
    let backend = Box::new(MemoryBackend::new());
    run(&pipeline.plan, sources, sinks, backend, &settings, &Control::new()).unwrap();
    let mut rows = sink.rows().unwrap();
    rows.sort();
    rows
}

/// The table as it stands after a history.
struct Standing(Vec<Row>);

impl Tables for Standing {
    fn source(&self, spec: &TableSpec) -> Result<Box<dyn Source>> {
        let rows = ChangeBatch::insert_only(TableId::bare("t"), table_rows(&spec.schema, self.0.iter()));
        Ok(Box::new(ScriptedSource::new(vec![rows]).unwrap()))
    }
}

fn batched(job: &Job, log: &[(Op, Row)]) -> Vec<String> {
    let mut there: Vec<Row> = Vec::new();
    for (op, row) in log {
        if op.weight() > 0 {
            there.push(row.clone());
        } else {
            let at = there.iter().position(|known| known == row).unwrap();
            there.remove(at);
        }
    }
    let tables: Arc<dyn Tables> = Arc::new(Standing(there));
    let settings = headwater_batch::Settings { threads: 2, memory_bytes: 64 << 20 };
    let mut batches = Vec::new();
    let progress = headwater_batch::Progress::default();
    headwater_batch::run(&job.queries[0].plan, &tables, &settings, &progress, |rows| {
        batches.push(ChangeBatch::insert_only(TableId::bare("r"), rows));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    let mut rows = fold(&batches).unwrap();
    rows.sort();
    rows
}

fn check(sql: &str, log: &[(Op, Row)], append: bool, cuts: &[usize], parallelism: usize) {
    let mode = if append { ChangelogMode::Append } else { ChangelogMode::Retract };
    let pipeline = plan(sql, mode);
    let stream = streamed(&pipeline, log, append, cuts, parallelism);
    assert_eq!(stream, batched(&pipeline, log), "{sql}\nover {log:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn law_stream_equals_batch_for_updating_tables(
        query in prop::sample::select(UPDATING.to_vec()),
        log in history(),
        cuts in prop::collection::vec(1..40usize, 0..6),
        parallelism in prop::sample::select(vec![1usize, 3]),
    ) {
        check(query, &log, false, &cuts, parallelism);
    }

    #[test]
    fn law_what_a_guard_excludes_is_never_evaluated(
        (guarded, safe) in prop::sample::select(GUARDED.to_vec()),
        rows in prop::collection::vec(row(), 1..40),
        cuts in prop::collection::vec(1..40usize, 0..6),
        parallelism in prop::sample::select(vec![1usize, 3]),
    ) {
        let log: Vec<(Op, Row)> = rows.into_iter().map(|row| (Op::Insert, row)).collect();
        let (guarded_job, safe) = (plan(guarded, ChangelogMode::Append), plan(safe, ChangelogMode::Append));
        let expected = batched(&safe, &log);
        assert_eq!(streamed(&guarded_job, &log, true, &cuts, parallelism), expected, "stream: {guarded}\nover {log:?}");
        assert_eq!(batched(&guarded_job, &log), expected, "batch: {guarded}\nover {log:?}");
    }

    #[test]
    fn law_stream_equals_batch_for_windows(
        query in prop::sample::select(WINDOWED.to_vec()),
        rows in prop::collection::vec(row(), 1..40),
        cuts in prop::collection::vec(1..40usize, 0..6),
        parallelism in prop::sample::select(vec![1usize, 3]),
    ) {
        let log: Vec<(Op, Row)> = rows.into_iter().map(|row| (Op::Insert, row)).collect();
        check(query, &log, true, &cuts, parallelism);
    }
}
