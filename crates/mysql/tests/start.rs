//! Starting and stopping: locks that are not given, logs whose places are not told, snapshots that are over.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use arrow::datatypes::{DataType, Field};
use headwater_change::Read;
use headwater_testkit::servers::Flavor;
use mysql_async::prelude::Queryable;
use support::{Db, ends, read_until, rows, within};

fn fields() -> Vec<Field> {
    vec![Field::new("id", DataType::Int32, false)]
}

fn waiting(db: &Db) -> usize {
    db.texts("SELECT INFO FROM information_schema.PROCESSLIST WHERE INFO LIKE 'LOCK TABLES %'").len()
}

fn locks(flavor: Flavor) {
    let Some(db) = Db::start("locks", flavor, &[]) else { return };
    db.run(&["CREATE TABLE shop.held (id INT PRIMARY KEY)"]);
    let mut writer = db.conn();
    db.wait(writer.query_drop("BEGIN")).expect("begun");
    db.wait(writer.query_drop("INSERT INTO shop.held VALUES (1)")).expect("inserted");

    let source = db.source("held", fields(), &[]).expect("a source");
    let mut reader = source.open(&[]).expect("whoever opens does not wait for locks");
    let told = || headwater_mysql::notice::told().iter().any(|text| text.contains("waiting for a lock on shop.held"));
    let shown = within(Duration::from_secs(60), || {
        let read = reader.next(1 << 20, Duration::from_millis(10)).expect("it waits");
        assert!(matches!(read, Read::Idle(None)), "{read:?}");
        told()
    });
    assert!(shown, "the wait is shown");
    // Between two tries others may write.
    let mut other = db.conn();
    assert!(within(Duration::from_secs(60), || waiting(&db) == 0));
    db.wait(other.query_drop("INSERT INTO shop.held VALUES (2)")).expect("not held up for long");
    // Nobody waits any more: no lock is asked for either.
    drop(reader);
    let mut reader = source.open(&[]).expect("a reader");
    db.wait(writer.query_drop("COMMIT")).expect("committed");
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 2);
    assert_eq!(rows(&batches), 2);
}

#[test]
fn a_lock_that_is_not_given_is_waited_for_visibly_and_can_be_given_up() {
    locks(Flavor::MySql);
    locks(Flavor::MySql80);
}

/// Files and offsets of one server mean nothing on another.
#[test]
fn a_place_without_gtids_is_not_taken_to_another_server() {
    let without = &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    let (Some(one), Some(two)) =
        (Db::start("one server", Flavor::MySql, without), Db::start("another server", Flavor::MySql80, without))
    else {
        return;
    };
    let mut position = None;
    for db in [&one, &two] {
        db.run(&["CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)"]);
        let source = db.source("t", fields(), &[]).expect("a source");
        if let Some(position) = position {
            let mut reader = source.open(&[position]).expect("it is told by the reader");
            let error = support::read_error(reader.as_mut());
            assert_eq!((error.kind(), error.code()), (headwater_change::ErrorKind::Fenced, "mysql.other_server"));
            return;
        }
        let mut reader = source.open(&[]).expect("a reader");
        let mut batches = Vec::new();
        read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 1);
        position = Some(ends(&batches).last().expect("an end").1.clone());
    }
}

/// MariaDB does not translate places behind an event of 16 MB and more into GTIDs.
fn behind_a_large_event(flavor: Flavor) {
    let Some(db) = Db::start("large event", flavor, &["--max-allowed-packet=64M", "--innodb-log-file-size=256M"])
    else {
        return;
    };
    db.run(&[
        "CREATE TABLE shop.t (id INT PRIMARY KEY)",
        "CREATE TABLE shop.large (id INT PRIMARY KEY, b LONGBLOB)",
        "INSERT INTO shop.large VALUES (1, REPEAT('x', 18 * 1024 * 1024))",
        "INSERT INTO shop.t VALUES (1)",
    ]);
    for mode in ["initial", "latest-offset"] {
        let source = db.source("t", fields(), &[("scan.startup.mode", mode)]).expect("a source");
        let mut reader = source.open(&[]).unwrap_or_else(|error| panic!("{flavor:?} {mode}: {error:?}"));
        let mut batches = Vec::new();
        let before = db.texts("SELECT id FROM shop.t").len();
        let there = if mode == "initial" { before } else { 0 };
        read_until(reader.as_mut(), &mut batches, |b| rows(b) >= there);
        db.run(&[&format!("INSERT INTO shop.t VALUES ({})", before + 1)]);
        read_until(reader.as_mut(), &mut batches, |b| rows(b) > there);
        assert_eq!(rows(&batches), there + 1);
    }
}

#[test]
fn a_start_behind_a_large_event_finds_its_place() {
    behind_a_large_event(Flavor::MariaDb);
    behind_a_large_event(Flavor::MariaDb118);
}

fn a_snapshot_that_is_over(flavor: Flavor, arguments: &[&str]) {
    let Some(db) = Db::start("snapshot", flavor, arguments) else { return };
    db.run(&["CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1), (2)"]);
    let source = db.source("t", fields(), &[("scan.startup.mode", "snapshot")]).expect("a source");
    let mut reader = source.open(&[]).expect("a reader");
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 2);
    let end = ends(&batches).last().expect("the snapshot's end").1.clone();
    let mut again = source.open(&[end]).expect("its end can be resumed");
    let read = again.next(1 << 20, Duration::from_secs(60)).expect("no error");
    assert!(matches!(read, Read::End), "{flavor:?}: {read:?}");
}

#[test]
fn a_snapshot_that_is_over_is_over_after_a_restart() {
    for flavor in Flavor::ALL {
        a_snapshot_that_is_over(flavor, &[]);
    }
    a_snapshot_that_is_over(Flavor::MySql, &["--disable-log-bin"]);
    a_snapshot_that_is_over(Flavor::MariaDb, &["--skip-log-bin"]);
}
