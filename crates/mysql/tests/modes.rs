//! What is read and from where: several tables, tables without a key, metadata, and every startup mode.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use arrow::datatypes::{DataType, Field, TimeUnit};
use headwater_change::{ChangeBatch, METADATA_KEY, Read, Reader};
use headwater_testkit::servers::Flavor;
use support::{Db, changes, ends, read_until, rows};

fn id() -> Field {
    Field::new("id", DataType::Int32, false)
}

fn metadata(key: &str, data_type: DataType) -> Field {
    Field::new(key, data_type, true).with_metadata([(METADATA_KEY.to_owned(), key.to_owned())].into())
}

fn open(db: &Db, table: &str, fields: Vec<Field>, extra: &[(&str, &str)]) -> Box<dyn Reader> {
    db.source(table, fields, extra).and_then(|source| source.open(&[])).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Reads `count` changes of `shop.<table>`, from where the options say.
fn read(db: &Db, table: &str, extra: &[(&str, &str)], count: usize) -> Vec<String> {
    let mut batches = Vec::new();
    read_until(open(db, table, vec![id()], extra).as_mut(), &mut batches, |b| rows(b) >= count);
    changes(&batches)
}

/// Rows with one space around the bars and no quotes, in order.
fn sorted(batches: &[ChangeBatch]) -> Vec<String> {
    let mut lines: Vec<String> = changes(batches)
        .iter()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join(" | ").replace('"', ""))
        .collect();
    lines.sort();
    lines
}

fn tables_of_a_pattern(db: &Db) {
    db.run(&[
        "CREATE TABLE shop.orders_1 (id INT PRIMARY KEY)",
        "CREATE TABLE shop.orders_2 (note TEXT, id INT PRIMARY KEY)",
        "CREATE TABLE shop.orders_old (id INT PRIMARY KEY)",
        "INSERT INTO shop.orders_1 VALUES (1)",
        "INSERT INTO shop.orders_2 VALUES ('a', 2)",
        "INSERT INTO shop.orders_old VALUES (99)",
    ]);
    let fields = vec![id(), metadata("table_name", DataType::Utf8), metadata("database_name", DataType::Utf8)];
    let mut reader = open(db, "orders_[0-9]+", fields, &[]);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 2 && !ends(b).is_empty());
    assert_eq!(sorted(&batches), ["+I 1 | orders_1 | shop", "+I 2 | orders_2 | shop"]);
    // A table that is created later belongs to the pattern from its first row on.
    db.run(&[
        "CREATE TABLE shop.orders_3 (a INT, b INT, id INT)",
        "INSERT INTO shop.orders_3 VALUES (0, 0, 3)",
        "INSERT INTO shop.orders_old VALUES (98)",
        "UPDATE shop.orders_2 SET id = 4",
        "DELETE FROM shop.orders_1",
    ]);
    let mut later = Vec::new();
    read_until(reader.as_mut(), &mut later, |b| rows(b) >= 4);
    assert_eq!(
        sorted(&later),
        ["+I 3 | orders_3 | shop", "+U 4 | orders_2 | shop", "-D 1 | orders_1 | shop", "-U 2 | orders_2 | shop"]
    );
}

fn the_time_of_a_change(db: &Db) {
    db.run(&["CREATE TABLE shop.timed (id INT PRIMARY KEY)", "INSERT INTO shop.timed VALUES (1)"]);
    let op_ts = metadata("op_ts", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    let mut reader = open(db, "timed", vec![id(), op_ts], &[]);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 1);
    db.run(&["SET timestamp = 1700000000", "INSERT INTO shop.timed VALUES (2)"]);
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 2);
    let times: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            let column = batch.rows().column(1);
            let times = column.as_any().downcast_ref::<arrow::array::TimestampMillisecondArray>();
            times.expect("milliseconds").values().to_vec()
        })
        .collect();
    // Rows of the snapshot have no time of change; a change has the time of its statement.
    assert_eq!(times, [0, 1_700_000_000_000]);
}

fn a_table_without_a_key(db: &Db) {
    db.run(&["CREATE TABLE shop.keyless (id INT)", "INSERT INTO shop.keyless VALUES (1), (1), (2)"]);
    let mut reader = open(db, "keyless", vec![id()], &[]);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3 && !ends(b).is_empty());
    db.run(&["DELETE FROM shop.keyless WHERE id = 1 LIMIT 1", "UPDATE shop.keyless SET id = 3 WHERE id = 2"]);
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 6);
    let all = changes(&batches);
    assert_eq!(all[3..], ["-D 1", "-U 2", "+U 3"]);
}

fn no_columns_at_all(db: &Db) {
    db.run(&["CREATE TABLE shop.bare (id INT PRIMARY KEY)", "INSERT INTO shop.bare VALUES (1), (2)"]);
    let mut reader = open(db, "bare", vec![], &[]);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 2);
    db.run(&["DELETE FROM shop.bare WHERE id = 1"]);
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3);
    assert_eq!(rows(&batches), 3);
}

fn startup_modes(db: &Db, gtids: bool) {
    db.run(&["CREATE TABLE shop.m (id INT PRIMARY KEY)", "INSERT INTO shop.m VALUES (1)"]);
    // MySQL 8.0 and MariaDB know the old name, MySQL 9 the new one.
    let status = if db.try_run("SHOW MASTER STATUS") { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" };
    let (file, pos) = db.pair(status);
    let executed = if db.flavor.is_mysql() { "gtid_executed" } else { "gtid_binlog_pos" };
    let executed = format!("SELECT @@GLOBAL.{executed}");
    let executed = db.texts(&executed).pop().flatten().expect("GTIDs").replace('\n', "");
    db.run(&["INSERT INTO shop.m VALUES (2)", "FLUSH BINARY LOGS", "DELETE FROM shop.m WHERE id = 1"]);

    let mode = "scan.startup.mode";
    assert_eq!(read(db, "m", &[(mode, "earliest-offset")], 3), ["+I 1", "+I 2", "-D 1"]);
    let place = [
        (mode, "specific-offset"),
        ("scan.startup.specific-offset.file", file.as_str()),
        ("scan.startup.specific-offset.pos", pos.as_str()),
    ];
    assert_eq!(read(db, "m", &place, 2), ["+I 2", "-D 1"]);
    if gtids {
        let set = [(mode, "specific-offset"), ("scan.startup.specific-offset.gtid-set", executed.as_str())];
        assert_eq!(read(db, "m", &set, 2), ["+I 2", "-D 1"]);
    }

    let mut reader = open(db, "m", vec![id()], &[(mode, "latest-offset")]);
    let mut batches = Vec::new();
    db.run(&["INSERT INTO shop.m VALUES (3)"]);
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 1);
    assert_eq!(changes(&batches), ["+I 3"]);

    let source = db.source("m", vec![id()], &[(mode, "snapshot")]).expect("a source");
    assert!(source.describe().bounded);
    let mut reader = source.open(&[]).expect("a reader");
    let mut batches = Vec::new();
    let ended = support::within(Duration::from_secs(60), || {
        match reader.next(1 << 20, Duration::from_millis(100)).expect("a sound snapshot") {
            Read::Rows(batch) => batches.push(batch),
            Read::End => return true,
            Read::Idle(_) | Read::Schema(_) => {}
        }
        false
    });
    assert!(ended, "a snapshot alone has an end");
    assert_eq!(changes(&batches), ["+I 2", "+I 3"]);
    assert_eq!(ends(&batches).len(), 1, "one transaction");
}

fn everything(flavor: Flavor, arguments: &[&str], gtids: bool) {
    let Some(db) = Db::start("modes", flavor, arguments) else { return };
    tables_of_a_pattern(&db);
    the_time_of_a_change(&db);
    a_table_without_a_key(&db);
    no_columns_at_all(&db);
    startup_modes(&db, gtids);
}

#[test]
fn tables_and_modes_on_mysql() {
    everything(Flavor::MySql, &[], true);
}

#[test]
fn tables_and_modes_on_mysql_without_gtids() {
    everything(Flavor::MySql, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"], false);
}

#[test]
fn tables_and_modes_on_mariadb() {
    everything(Flavor::MariaDb, &[], true);
}

#[test]
fn tables_and_modes_on_mysql_8_0() {
    everything(Flavor::MySql80, &[], true);
}

#[test]
fn tables_and_modes_on_mariadb_11_8() {
    everything(Flavor::MariaDb118, &[], true);
}
