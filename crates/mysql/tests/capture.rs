//! No gap and no duplicate: under writers, from every position, over broken connections and restarted servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::{DataType, Field};
use headwater_change::{ErrorKind, Source};
use headwater_testkit::fold;
use headwater_testkit::servers::Flavor;
use mysql_async::prelude::Queryable;
use support::{Db, changes, ends, read_error, read_until, rows};

const TABLE: &str = "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT NOT NULL)";

fn fields() -> Vec<Field> {
    vec![Field::new("id", DataType::Int32, false), Field::new("v", DataType::Int32, false)]
}

/// The table as the fold of a log prints it.
fn table(db: &Db) -> Vec<String> {
    let mut rows: Vec<String> = db.texts("SELECT CONCAT(id, ' | ', v) FROM shop.t").into_iter().flatten().collect();
    rows.sort();
    rows
}

fn memory(batches: &[headwater_change::ChangeBatch]) -> Vec<String> {
    let squeeze = |row: String| row.split('|').map(str::trim).collect::<Vec<_>>().join(" | ");
    let mut rows: Vec<String> = fold(batches).expect("no row goes that never came").into_iter().map(squeeze).collect();
    rows.sort();
    rows
}

/// Writes in transactions of two rows until told to stop; rows 2n and 2n+1 always have the same value.
fn write(db: &Db, stop: &AtomicBool, at_most: u32) {
    let mut conn = db.conn();
    for n in 0..at_most {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let pair = n.wrapping_mul(7919) % 500 * 2;
        for sql in [
            "BEGIN".to_owned(),
            format!("INSERT INTO shop.t VALUES ({pair}, {n}) ON DUPLICATE KEY UPDATE v = {n}"),
            format!("INSERT INTO shop.t VALUES ({}, {n}) ON DUPLICATE KEY UPDATE v = {n}", pair + 1),
            "COMMIT".to_owned(),
        ] {
            if db.wait(conn.query_drop(sql)).is_err() {
                return;
            }
        }
        if n % 5 == 0 {
            let _ = db.wait(conn.query_drop(format!("DELETE FROM shop.t WHERE id IN ({}, {})", pair, pair + 1)));
        }
    }
}

fn snapshot_under_writes(db: &Db) {
    db.run(&["DROP TABLE IF EXISTS shop.t", TABLE]);
    write(db, &AtomicBool::new(false), 300);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(db, &stop, u32::MAX));
        for _ in 0..5 {
            let mut reader = db.source("t", fields(), &[]).expect("a source").open(&[]).expect("a reader");
            let mut batches = Vec::new();
            read_until(reader.as_mut(), &mut batches, |b| ends(b).len() > 100);
            for (count, position) in ends(&batches) {
                assert!(position.ordinal > 0 && count > 0);
            }
            memory(&batches);
        }
        let mut reader = db.source("t", fields(), &[]).expect("a source").open(&[]).expect("a reader");
        let mut batches = Vec::new();
        read_until(reader.as_mut(), &mut batches, |b| ends(b).len() > 300);
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("a writer");
        let expected = table(db);
        read_until(reader.as_mut(), &mut batches, |b| memory(b) == expected);
        // At every end of a transaction both rows of a pair are the same.
        let all = changes(&batches);
        for (count, _) in ends(&batches).into_iter().step_by(17) {
            let mut pairs = std::collections::BTreeMap::new();
            for change in all.iter().take(count) {
                let (op, row) = change.split_once(' ').expect("an op");
                let (id, v) = row.split_once('|').expect("two columns");
                let id: i32 = id.trim().parse().expect("a number");
                match op {
                    "+I" | "+U" => drop(pairs.insert(id, v.trim().to_owned())),
                    _ => drop(pairs.remove(&id)),
                }
            }
            for (id, v) in &pairs {
                assert_eq!(pairs.get(&(id ^ 1)), Some(v), "half a transaction at row {count}");
            }
        }
    });
}

fn every_position_can_be_resumed(db: &Db) {
    db.run(&["DROP TABLE IF EXISTS shop.t", TABLE, "INSERT INTO shop.t VALUES (1, 1)"]);
    let source = db.source("t", fields(), &[]).expect("a source");
    let mut reader = source.open(&[]).expect("a reader");
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) == 1);
    for n in 2..20 {
        db.run(&[&format!("INSERT INTO shop.t VALUES ({n}, {n}), ({}, 0)", n + 100)]);
        if n % 4 == 0 {
            db.run(&["FLUSH BINARY LOGS", &format!("UPDATE shop.t SET v = v + 1 WHERE id = {n}")]);
        }
    }
    read_until(reader.as_mut(), &mut batches, |b| rows(b) == 1 + 18 * 2 + 4 * 2);
    let all = changes(&batches);
    let ends = ends(&batches);
    for (count, position) in &ends {
        let mut reader = source.open(std::slice::from_ref(position)).expect("a reader");
        let mut again = Vec::new();
        read_until(reader.as_mut(), &mut again, |b| rows(b) >= all.len() - count);
        assert_eq!(changes(&again), all[*count..], "from {position}");
        if let (Some((_, last)), Some((_, expected))) = (support::ends(&again).last(), ends.last()) {
            assert_eq!(last, expected, "positions are the same on the second way");
        }
    }
}

fn broken_connections(db: &Db) {
    db.run(&["DROP TABLE IF EXISTS shop.t", TABLE, "INSERT INTO shop.t VALUES (0, 0)"]);
    let source = db.source("t", fields(), &[]).expect("a source");
    let mut reader = source.open(&[]).expect("a reader");
    let mut batches = Vec::new();
    let mut next = 1;
    for _ in 0..5 {
        for _ in 0..20 {
            db.run(&[&format!("INSERT INTO shop.t VALUES ({next}, 0), ({}, 1)", next + 1)]);
            next += 2;
        }
        let dumps =
            db.texts("SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'");
        for id in dumps.into_iter().flatten() {
            db.try_run(&format!("KILL {id}"));
        }
        read_until(reader.as_mut(), &mut batches, |b| rows(b) > next as usize / 2);
    }
    // One transaction of many megabytes comes in parts, and is interrupted.
    let values: Vec<String> = (0..60_000).map(|n| format!("({}, {n})", next + n)).collect();
    db.run(&["SET GLOBAL max_allowed_packet=67108864"]);
    let mut conn = db.conn();
    db.wait(conn.query_drop("BEGIN")).expect("begun");
    for _ in 0..6 {
        db.wait(conn.query_drop(format!("INSERT INTO shop.t VALUES {}", values.join(",")))).expect("inserted");
        db.wait(conn.query_drop(format!("DELETE FROM shop.t WHERE id >= {next}"))).expect("deleted");
    }
    db.wait(conn.query_drop("COMMIT")).expect("committed");
    let total = next as usize + 60_000 * 12;
    read_until(reader.as_mut(), &mut batches, |b| rows(b) > next as usize + 60_000);
    for id in db
        .texts("SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'")
        .into_iter()
        .flatten()
    {
        db.try_run(&format!("KILL {id}"));
    }
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= total);
    assert_eq!(rows(&batches), total, "exactly once");
    let inside = ends(&batches).iter().filter(|(count, _)| *count > next as usize && *count < total).count();
    assert_eq!(inside, 0, "a transaction ends once");
    db.run(&["INSERT INTO shop.t VALUES (-1, -1)"]);
    read_until(reader.as_mut(), &mut batches, |b| rows(b) > total);
    assert_eq!(memory(&batches), table(db));
}

fn a_killed_server(db: &Db) {
    db.run(&["DROP TABLE IF EXISTS shop.t", TABLE, "INSERT INTO shop.t VALUES (0, 0)"]);
    let mut reader = db.source("t", fields(), &[]).expect("a source").open(&[]).expect("a reader");
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) == 1);
    for n in 1..4 {
        db.run(&[&format!("INSERT INTO shop.t VALUES ({n}, 0)")]);
        db.kill_and_start();
        db.run(&[&format!("INSERT INTO shop.t VALUES ({}, 0)", n + 10)]);
    }
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 7);
    assert_eq!(changes(&batches).len(), 7, "exactly once");
    assert_eq!(memory(&batches), table(db));
}

fn a_purged_log_is_fenced(db: &Db) {
    db.run(&["DROP TABLE IF EXISTS shop.t", TABLE, "INSERT INTO shop.t VALUES (0, 0)"]);
    let source = db.source("t", fields(), &[]).expect("a source");
    let mut reader = source.open(&[]).expect("a reader");
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) == 1);
    let position = ends(&batches).last().expect("an end").1.clone();
    drop(reader);
    db.run(&[
        "INSERT INTO shop.t VALUES (1, 1)",
        "FLUSH BINARY LOGS",
        "INSERT INTO shop.t VALUES (2, 1)",
        "FLUSH BINARY LOGS",
    ]);
    let last = db.texts("SHOW BINARY LOGS").into_iter().flatten().last().expect("a log");
    let gone = support::within(std::time::Duration::from_secs(60), || {
        db.run(&[&format!("PURGE BINARY LOGS TO '{last}'")]);
        db.texts("SHOW BINARY LOGS").len() == 1
    });
    assert!(gone, "the log can be purged");
    let error = match source.open(&[position]) {
        Ok(mut reader) => read_error(reader.as_mut()),
        Err(error) => error,
    };
    assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "mysql.binlog_purged"), "{error:?}");
}

fn definitions_change(db: &Db) {
    db.run(&["DROP TABLE IF EXISTS shop.t", TABLE, "INSERT INTO shop.t VALUES (0, 0)"]);
    let source: Box<dyn Source> = db.source("t", fields(), &[]).expect("a source");
    let mut reader = source.open(&[]).expect("a reader");
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) == 1);
    db.run(&["ALTER TABLE shop.t ADD COLUMN extra VARCHAR(10) FIRST", "INSERT INTO shop.t VALUES ('x', 1, 1)"]);
    read_until(reader.as_mut(), &mut batches, |b| rows(b) == 2);
    assert_eq!(changes(&batches)[1], "+I 1 | 1");
    db.run(&["ALTER TABLE shop.t DROP COLUMN v", "INSERT INTO shop.t VALUES ('x', 2)"]);
    assert_eq!(read_error(reader.as_mut()).code(), "mysql.column_missing");
}

fn scenarios(flavor: Flavor, arguments: &[&str]) {
    let Some(db) = Db::start("capture", flavor, arguments) else { return };
    snapshot_under_writes(&db);
    every_position_can_be_resumed(&db);
    broken_connections(&db);
    a_killed_server(&db);
    definitions_change(&db);
    a_purged_log_is_fenced(&db);
}

#[test]
fn nothing_is_lost_or_doubled_on_mysql() {
    scenarios(Flavor::MySql, &[]);
}

#[test]
fn nothing_is_lost_or_doubled_on_mysql_without_gtids() {
    scenarios(Flavor::MySql, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
}

#[test]
fn nothing_is_lost_or_doubled_on_mariadb() {
    scenarios(Flavor::MariaDb, &[]);
}

#[test]
fn nothing_is_lost_or_doubled_on_mysql_8_0() {
    scenarios(Flavor::MySql80, &[]);
}

#[test]
fn nothing_is_lost_or_doubled_on_mariadb_11_8() {
    scenarios(Flavor::MariaDb118, &[]);
}
