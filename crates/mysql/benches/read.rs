//! How fast a million rows are read from a private server, snapshot and log, beside what their bytes alone cost.
//!
//! One JSON object a line: seconds, rows per second, and the process's peak of resident memory after the step. The
//! limits are a client that drains the same `SELECT`, and the server's own tool that writes the raw log to a file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, TimeUnit};
use headwater_change::{Read, Reader};
use headwater_testkit::servers::Flavor;
use mysql_async::prelude::Queryable;
use support::Db;

const ROWS: usize = 1_000_000;

fn fields() -> Vec<Field> {
    vec![
        Field::new("id", DataType::Int64, false),
        Field::new("customer", DataType::Int32, false),
        Field::new("price", DataType::Decimal128(10, 2), false),
        Field::new("name", DataType::Utf8, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
    ]
}

fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn report(flavor: Flavor, step: &str, rows: usize, seconds: f64) {
    let (rate, peak) = (rows as f64 / seconds, peak_megabytes());
    println!(
        "{{\"server\":\"{flavor:?}\",\"step\":\"{step}\",\"rows\":{rows},\"seconds\":{seconds:.3},\
         \"rows_per_second\":{rate:.0},\"peak_mb\":{peak}}}"
    );
}

/// Reads `rows` rows, which are not kept.
fn drain(reader: &mut dyn Reader, rows: usize) {
    let mut read = 0;
    while read < rows {
        match reader.next(1 << 20, Duration::from_secs(1)).expect("a sound log") {
            Read::Rows(batch) => read += batch.len(),
            Read::End => panic!("ended after {read} rows"),
            Read::Idle(_) | Read::Schema(_) => {}
        }
    }
    assert_eq!(read, rows);
}

/// A million rows, half in transactions of a thousand and half in one.
fn prepare(db: &Db) {
    db.run(&[
        "CREATE TABLE shop.t (id BIGINT PRIMARY KEY, customer INT NOT NULL, price DECIMAL(10,2) NOT NULL, \
         name VARCHAR(40) NOT NULL, at DATETIME(6) NOT NULL)",
        "CREATE TABLE shop.digits (d INT PRIMARY KEY)",
        "INSERT INTO shop.digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
    ]);
    let insert = |condition: &str| {
        format!(
            "INSERT INTO shop.t SELECT n, n % 9973, n / 7, CONCAT('a customer called ', n), \
             TIMESTAMPADD(SECOND, n, '2024-01-01') FROM (SELECT a.d + 10*b.d + 100*c.d + 1000*e.d + 10000*f.d + \
             100000*g.d AS n FROM shop.digits a, shop.digits b, shop.digits c, shop.digits e, shop.digits f, \
             shop.digits g WHERE {condition}) numbers"
        )
    };
    let half = ROWS / 2;
    for start in (0..half / 1000).map(|n| n * 1000) {
        let (g, f, e) = (start / 100_000, start / 10_000 % 10, start / 1000 % 10);
        db.run(&[&insert(&format!("g.d = {g} AND f.d = {f} AND e.d = {e}"))]);
    }
    db.run(&[&insert("g.d >= 5")]);
}

fn tool(db: &Db, flavor: Flavor) -> Option<f64> {
    let program = if flavor.is_mysql() { "mysqlbinlog" } else { "mariadb-binlog" };
    let logs = db.texts("SHOW BINARY LOGS").into_iter().flatten().collect::<Vec<_>>();
    let folder = std::env::temp_dir().join(format!("headwater-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let started = Instant::now();
    let done = Command::new(program)
        .args(["--no-defaults", "--read-from-remote-server", "--raw", "--host=127.0.0.1", "--user=root"])
        .arg(format!("--port={}", db.server.port()))
        .arg(format!("--result-file={}/", folder.display()))
        .args(&logs)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let seconds = started.elapsed().as_secs_f64();
    let _ = std::fs::remove_dir_all(&folder);
    done.is_ok_and(|status| status.success()).then_some(seconds)
}

fn measure(flavor: Flavor) {
    let Some(db) = Db::start("benchmark", flavor, &["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"]) else {
        return;
    };
    prepare(&db);
    // The first reading fills the server's memory.
    db.texts("SELECT CAST(SUM(LENGTH(name)) AS CHAR) FROM shop.t");

    let mut conn = db.conn();
    let started = Instant::now();
    let drained = db.wait(async {
        let mut result = conn.exec_iter("SELECT * FROM shop.t ORDER BY id", ()).await.expect("a result");
        let mut drained = 0;
        while let Some(row) = result.next().await.expect("a row") {
            drop(std::hint::black_box(row));
            drained += 1;
        }
        drained
    });
    report(flavor, "limit: SELECT drained by the client", drained, started.elapsed().as_secs_f64());

    let started = Instant::now();
    let source = db.source("t", fields(), &[("scan.startup.mode", "snapshot")]).expect("a source");
    drain(source.open(&[]).expect("a reader").as_mut(), ROWS);
    report(flavor, "snapshot", ROWS, started.elapsed().as_secs_f64());

    if let Some(seconds) = tool(&db, flavor) {
        report(flavor, "limit: raw log drained by the server's tool", ROWS, seconds);
    }
    let started = Instant::now();
    let source = db.source("t", fields(), &[("scan.startup.mode", "earliest-offset")]).expect("a source");
    drain(source.open(&[]).expect("a reader").as_mut(), ROWS);
    report(flavor, "log", ROWS, started.elapsed().as_secs_f64());
}

fn main() {
    // A run of all targets as tests only wants to know that this one builds.
    if std::env::args().any(|argument| argument == "--bench") {
        [Flavor::MySql, Flavor::MariaDb].into_iter().for_each(measure);
    }
}
