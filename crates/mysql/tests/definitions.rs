//! Rows are read by the definition that held where they were written, or the run stops and names the statement: with
//! metadata MINIMAL, which is the servers' default, and FULL; while the reader is there and while it is away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use arrow::datatypes::{DataType, Field};
use headwater_change::{Error, ErrorKind, Position, Read, Reader};
use headwater_testkit::servers::Flavor;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use support::{Db, changes, ends, read_error, read_until, rows, within};

const WANTED: &str = "t|data";

fn fields() -> Vec<Field> {
    let field = |name: &str, data_type| Field::new(name, data_type, name != "id");
    vec![field("id", DataType::Int32), field("a", DataType::Int32), field("b", DataType::Int32)]
}

fn set_up(db: &Db, metadata: &str) {
    db.run(&[
        &format!("SET GLOBAL binlog_row_metadata = {metadata}"),
        "DROP DATABASE shop",
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY, a INT, b INT, x INT DEFAULT 0)",
        "CREATE TABLE shop.data (id INT PRIMARY KEY, a INT, b INT)",
        "INSERT INTO shop.t (id, a, b) VALUES (1, 10, 20)",
    ]);
}

fn open(db: &Db, fields: Vec<Field>, from: &[Position]) -> Result<Box<dyn Reader>, Error> {
    db.source(WANTED, fields, &[]).and_then(|source| source.open(from))
}

/// Behind the snapshot.
fn start(db: &Db, fields: Vec<Field>) -> (Box<dyn Reader>, Position) {
    let mut reader = open(db, fields, &[]).expect("a reader");
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 1 && !ends(b).is_empty());
    let (_, position) = ends(&batches).pop().expect("an end");
    (reader, position)
}

/// What comes before the error, and the error.
fn read_to_error(db: &Db, fields: Vec<Field>, from: Position) -> (Vec<String>, Error) {
    let mut batches = Vec::new();
    let mut reader = match open(db, fields, &[from]) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), error),
    };
    let mut found = None;
    within(Duration::from_secs(60), || {
        match reader.next(1 << 20, Duration::from_millis(100)) {
            Ok(Read::Rows(batch)) => batches.push(batch),
            Ok(_) => {}
            Err(error) => found = Some(error),
        }
        found.is_some()
    });
    (changes(&batches), found.expect("an error"))
}

fn names(error: &Error, statement: &str) {
    let detail = error.detail_text().unwrap_or_default();
    assert!(detail.contains(statement) && error.place().is_some() && error.hint_text().is_some(), "{error:?}");
}

/// Columns that change their places have the same types in the log.
const SWAP: &str = "ALTER TABLE shop.t MODIFY x INT DEFAULT 0 FIRST";

fn swapped_while_away(db: &Db) {
    for metadata in ["FULL", "MINIMAL"] {
        set_up(db, metadata);
        let (reader, position) = start(db, fields());
        drop(reader);
        db.run(&["INSERT INTO shop.t (id, a, b) VALUES (2, 11, 21)", SWAP]);
        db.run(&["INSERT INTO shop.t (id, a, b) VALUES (3, 12, 22)", "INSERT INTO shop.data VALUES (4, 13, 23)"]);
        if metadata == "FULL" {
            let mut reader = open(db, fields(), &[position]).expect("a reader");
            let mut batches = Vec::new();
            read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3);
            assert_eq!(changes(&batches), ["+I 2 | 11 | 21", "+I 3 | 12 | 22", "+I 4 | 13 | 23"]);
        } else {
            let (before, error) = read_to_error(db, fields(), position);
            assert_eq!((before, error.kind()), (vec![], ErrorKind::Fenced), "{error:?}");
            assert_eq!(error.code(), "mysql.schema_mismatch");
            assert!(error.hint_text().is_some_and(|hint| hint.contains("binlog_row_metadata='FULL'")), "{error:?}");
            names(&error, SWAP);
        }
    }
}

/// Of two wanted tables one is altered: the other is read on, and so is the altered one while the reader is there.
fn another_table_is_not_touched(db: &Db) {
    set_up(db, "MINIMAL");
    let (mut reader, position) = start(db, fields());
    db.run(&["INSERT INTO shop.data VALUES (2, 11, 21)", SWAP, "INSERT INTO shop.data VALUES (3, 12, 22)"]);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 2);
    db.run(&["INSERT INTO shop.t (id, a, b) VALUES (4, 13, 23)"]);
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3);
    let expected = ["+I 2 | 11 | 21", "+I 3 | 12 | 22", "+I 4 | 13 | 23"];
    assert_eq!(changes(&batches), expected);
    // The same from before: nothing of the altered table stands before the statement.
    let mut reader = open(db, fields(), &[position]).expect("a reader");
    let mut again = Vec::new();
    read_until(reader.as_mut(), &mut again, |b| rows(b) >= 3);
    assert_eq!(changes(&again), expected);
}

/// Values that an ALTER changes come without events.
fn rewritten_values_stop(db: &Db) {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let int = |name, nullable| Field::new(name, DataType::Int32, nullable);
    let wanted = || vec![int("id", false), text("d"), text("s"), text("m"), text("e"), int("n", true)];
    for metadata in ["FULL", "MINIMAL"] {
        for alter in [
            "MODIFY d DECIMAL(10,1)",
            "DROP d, ADD d DECIMAL(10,2) DEFAULT 7",
            "MODIFY s VARCHAR(3)",
            "MODIFY s VARCHAR(20) CHARACTER SET latin1",
            "MODIFY n INT NOT NULL",
            "MODIFY m TIMESTAMP(3) NULL",
            "MODIFY e ENUM('c','b','a')",
            "CONVERT TO CHARACTER SET latin1",
        ] {
            db.run(&[
                &format!("SET GLOBAL binlog_row_metadata = {metadata}"),
                "DROP DATABASE shop",
                "CREATE DATABASE shop",
                "CREATE TABLE shop.t (id INT PRIMARY KEY, d DECIMAL(10,2), s VARCHAR(20), m DATETIME(3) NULL, e ENUM('a','b','c'), n INT) DEFAULT CHARACTER SET utf8mb4",
                "INSERT INTO shop.t VALUES (1, 0.05, 'größe', '2024-02-29 23:59:59', 'a', 1)",
            ]);
            let (mut reader, position) = start(db, wanted());
            let statement = format!("ALTER TABLE shop.t {alter}");
            db.run(&[
                "INSERT INTO shop.t (id, n) VALUES (2, 2)",
                &statement,
                "INSERT INTO shop.t (id, n) VALUES (3, 3)",
            ]);
            let error = read_error(reader.as_mut());
            names(&error, &statement);
            drop(reader);
            let (before, error) = read_to_error(db, wanted(), position);
            names(&error, &statement);
            assert!(before.iter().all(|row| row == "+I 2 | null | null | null | null | 2"), "{before:?}");
        }
    }
}

/// A table that is made later, and lacks a wanted column.
fn made_without_a_column(db: &Db) {
    for metadata in ["FULL", "MINIMAL"] {
        set_up(db, metadata);
        db.run(&["DROP TABLE shop.data"]);
        let (mut reader, position) = start(db, fields());
        let statement = "CREATE TABLE shop.data (id INT PRIMARY KEY, a INT)";
        db.run(&[statement, "INSERT INTO shop.data VALUES (1, 2)"]);
        let error = read_error(reader.as_mut());
        assert_eq!(error.code(), "mysql.column_missing", "{error:?}");
        names(&error, statement);
        drop(reader);
        let (_, error) = read_to_error(db, fields(), position);
        names(&error, statement);
    }
}

/// A table that cannot be followed any more, found when the reader comes back: the statement is said, not only the state.
fn unfollowed_while_away(db: &Db) {
    for metadata in ["FULL", "MINIMAL"] {
        set_up(db, metadata);
        let (reader, position) = start(db, fields());
        drop(reader);
        let statement = "ALTER TABLE shop.data ENGINE=MEMORY";
        db.run(&["INSERT INTO shop.data VALUES (2, 11, 21)", statement, "INSERT INTO shop.t (id) VALUES (3)"]);
        let (_, error) = read_to_error(db, fields(), position);
        names(&error, statement);
        db.run(&["ALTER TABLE shop.data ENGINE=InnoDB"]);
    }
}

fn waiting(db: &Db) -> usize {
    db.texts("SELECT ID FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock'").len()
}

/// The definition changes between two questions to the catalog: the reader waits for the second behind the statement.
fn altered_while_it_is_described(db: &Db, from_snapshot: bool) {
    set_up(db, "MINIMAL");
    let mut position = None;
    if !from_snapshot {
        position = Some(start(db, fields()).1);
    }
    let (mut holder, mut alterer): (Conn, Conn) = (db.conn(), db.conn());
    for sql in ["BEGIN", "SELECT * FROM shop.t"] {
        db.wait(holder.query_drop(sql)).expect("a lock on the definition");
    }
    let altered = std::thread::scope(|scope| {
        let altering = scope.spawn(|| db.wait(alterer.query_drop(SWAP)));
        assert!(within(Duration::from_secs(60), || waiting(db) == 1), "the statement waits");
        let mut reader = open(db, fields(), position.as_slice()).expect("a reader");
        assert!(within(Duration::from_secs(60), || waiting(db) == 2), "the reader waits");
        db.wait(holder.query_drop("COMMIT")).expect("the lock is free");
        let altered = altering.join().expect("no panic");
        db.run(&["INSERT INTO shop.t (id, a, b) VALUES (2, 11, 21)"]);
        let mut batches = Vec::new();
        let expected = &["+I 1 | 10 | 20", "+I 2 | 11 | 21"][usize::from(!from_snapshot)..];
        read_until(reader.as_mut(), &mut batches, |b| rows(b) >= expected.len());
        assert_eq!(changes(&batches), expected, "{:?}", db.flavor);
        altered
    });
    altered.expect("it was altered");
}

fn everything(flavor: Flavor) {
    let Some(db) = Db::start("definitions", flavor, &[]) else { return };
    swapped_while_away(&db);
    another_table_is_not_touched(&db);
    rewritten_values_stop(&db);
    made_without_a_column(&db);
    unfollowed_while_away(&db);
    altered_while_it_is_described(&db, false);
    altered_while_it_is_described(&db, true);
}

#[test]
fn rows_are_read_by_their_definition_on_mysql() {
    everything(Flavor::MySql);
}

#[test]
fn rows_are_read_by_their_definition_on_mysql_8_0() {
    everything(Flavor::MySql80);
}

#[test]
fn rows_are_read_by_their_definition_on_mariadb() {
    everything(Flavor::MariaDb);
}

#[test]
fn rows_are_read_by_their_definition_on_mariadb_11_8() {
    everything(Flavor::MariaDb118);
}
