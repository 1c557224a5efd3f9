//! Statements that change rows or tables without row events stop the reader, others do not; what was rolled back does not
//! arrive.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use arrow::datatypes::{DataType, Field};
use headwater_change::{Error, Position, Reader};
use headwater_testkit::servers::Flavor;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use support::{Db, changes, ends, read_error, read_until, rows};

fn fields() -> Vec<Field> {
    vec![Field::new("id", DataType::Int32, false), Field::new("v", DataType::Int32, true)]
}

const TABLES: &str = "t|my table|data|t_[0-9]+";

/// The tables of a case: wanted ones with a row each, and others.
const SETUP: [&str; 12] = [
    "DROP DATABASE IF EXISTS shop",
    "DROP DATABASE IF EXISTS other",
    "CREATE DATABASE shop",
    "CREATE DATABASE other",
    "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE shop.`my table` (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE shop.data (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (100), PARTITION b VALUES LESS THAN MAXVALUE)",
    "CREATE TABLE shop.u (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE shop.w (id INT PRIMARY KEY, v INT)",
    "INSERT INTO shop.t VALUES (1, 1), (2, 2)",
    "INSERT INTO shop.data VALUES (1, 1)",
    "INSERT INTO shop.u VALUES (2, 2)",
];

fn open(db: &Db) -> Box<dyn Reader> {
    db.source(TABLES, fields(), &[]).and_then(|source| source.open(&[])).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Runs statements in one session; tells whether all were taken.
fn session(db: &Db, statements: &[&str]) -> bool {
    let mut conn: Conn = db.conn();
    db.wait(conn.query_drop("USE shop")).expect("a database");
    let all =
        statements.iter().all(|sql| db.wait(conn.query_drop(*sql)).inspect_err(|e| eprintln!("{sql}: {e}")).is_ok());
    db.wait(conn.disconnect()).expect("a goodbye");
    all
}

/// The error that a session's last statement stops the reader with; everything before it is read.
fn stopped_by(db: &Db, statements: &[&str]) -> Option<Error> {
    db.run(&SETUP);
    let mut reader = open(db);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3 && !ends(b).is_empty());
    if !session(db, statements) {
        return None;
    }
    let error = read_error(reader.as_mut());
    assert!(error.place().is_some() && error.hint_text().is_some(), "{statements:?}: {error:?}");
    let last = statements.last().expect("a statement").split_whitespace().next().expect("a word").to_ascii_lowercase();
    let detail = error.detail_text().unwrap_or_default().to_ascii_lowercase();
    assert!(!last.chars().all(char::is_alphabetic) || detail.contains(&last), "{statements:?}: {error:?}");
    Some(error)
}

/// Cases of both products; one that a server does not take is left out there.
const EMPTYING: &[&[&str]] = &[
    &["TRUNCATE t"],
    &["TRUNCATE `my table`"],
    &["TRUNCATE data"],
    &["/*!50000 TRUNCATE */ t"],
    &["SET sql_mode='ANSI_QUOTES'", "TRUNCATE TABLE \"my table\""],
    &["SET STATEMENT max_statement_time=9 FOR TRUNCATE t"],
    &["DROP TABLE u, t"],
    &["DROP DATABASE shop"],
    &["CREATE OR REPLACE DATABASE shop"],
    &["CREATE OR REPLACE TABLE t (id INT PRIMARY KEY, v INT)"],
    &["CREATE OR REPLACE TABLE t AS SELECT * FROM u"],
    &["ALTER TABLE data TRUNCATE PARTITION a"],
    &["ALTER TABLE data DROP PARTITION a"],
    &["ALTER TABLE data EXCHANGE PARTITION a WITH TABLE u"],
    &["ALTER TABLE data CONVERT PARTITION a TO TABLE x"],
    &["ALTER TABLE t DISCARD TABLESPACE"],
    &["ALTER IGNORE TABLE t ADD UNIQUE (v)"],
    &["ALTER TABLE t ENGINE=BLACKHOLE"],
    &["ALTER TABLE t ENGINE=MEMORY"],
    &[
        "CREATE TABLE x (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (100))",
        "ALTER TABLE x EXCHANGE PARTITION a WITH TABLE t",
    ],
    &["RENAME TABLE t TO x, u TO t, x TO u"],
    &["RENAME TABLE data TO x"],
    &["DROP TABLE u, data"],
    &["ALTER TABLE u RENAME TO t_1"],
    &["ALTER TABLE t RENAME x"],
];

const STATEMENT: &str = "SET SESSION binlog_format='STATEMENT'";

const ROWS: &[&[&str]] = &[
    &[STATEMENT, "INSERT HIGH_PRIORITY INTO t VALUES (9, 9)"],
    &[STATEMENT, "REPLACE t SELECT 9, 9"],
    &[STATEMENT, "UPDATE u JOIN t ON t.id = u.id SET t.v = 9"],
    &[STATEMENT, "DELETE t FROM u JOIN t ON t.id = u.id"],
    &[STATEMENT, "DELETE FROM t LIMIT 1"],
    &[STATEMENT, "WITH c AS (SELECT 1 AS id) DELETE FROM t WHERE id IN (SELECT id FROM c)"],
    &["CREATE VIEW w1 AS SELECT * FROM t", STATEMENT, "INSERT INTO w1 VALUES (9, 9)"],
    &[
        "CREATE TRIGGER r AFTER INSERT ON u FOR EACH ROW INSERT INTO t VALUES (NEW.id, 0)",
        STATEMENT,
        "INSERT INTO u VALUES (9, 9)",
    ],
    &["CREATE PROCEDURE p() UPDATE t SET v = 9", STATEMENT, "CALL p() /* update */"],
    &[
        "CREATE FUNCTION f(x INT) RETURNS INT DETERMINISTIC BEGIN INSERT INTO t VALUES (x, x); RETURN x; END",
        STATEMENT,
        "SELECT f(9)",
    ],
    &[
        "CREATE FUNCTION f(x INT) RETURNS INT DETERMINISTIC BEGIN INSERT INTO t VALUES (x, x); RETURN x; END",
        STATEMENT,
        "DO f(9) /* select */",
    ],
    &[STATEMENT, "ANALYZE UPDATE t SET v = 9"],
    &[STATEMENT, "XA START 'x'", "INSERT INTO t VALUES (9, 9)", "XA END 'x'", "XA COMMIT 'x' ONE PHASE"],
    &[STATEMENT, "CREATE TABLE t_2 AS SELECT * FROM u"],
    &[STATEMENT, "PREPARE s FROM 'INSERT INTO t VALUES (?, 0)'", "SET @a = 9", "EXECUTE s USING @a"],
];

fn stops(db: &Db) {
    let mut taken = 0;
    for case in EMPTYING {
        if let Some(error) = stopped_by(db, case) {
            taken += 1;
            let known = ["mysql.table_emptied", "mysql.table_renamed", "mysql.table_unfollowed"];
            assert!(known.contains(&error.code()), "{case:?}: {error:?}");
        }
    }
    assert!(taken > EMPTYING.len() / 2, "{taken}");
    if !db.flavor.is_mysql() {
        let error = stopped_by(db, &["/*M!100100 TRUNCATE t */"]).expect("taken");
        assert_eq!(error.code(), "mysql.table_emptied", "{error:?}");
    }
    let mut taken = 0;
    for case in ROWS {
        // What is logged there is the statement inside of a procedure or a prepared one.
        db.run(&SETUP);
        let mut reader = open(db);
        let mut batches = Vec::new();
        read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3 && !ends(b).is_empty());
        if session(db, case) {
            taken += 1;
            let error = read_error(reader.as_mut());
            assert_eq!(error.code(), "mysql.statement_event", "{case:?}: {error:?}");
            assert!(error.detail_text().is_some(), "{error:?}");
        }
    }
    assert!(taken > ROWS.len() - 3, "{taken}");
}

fn loaded_files_stop(db: &Db) {
    db.run(&SETUP);
    let file = db.server.folder().join("rows.csv");
    std::fs::write(&file, "9,9\n").expect("a file");
    let inside = file.to_string_lossy().into_owned();
    let inside = inside.split_once("mysql-rootfs").map_or(inside.as_str(), |(_, path)| path).to_owned();
    let mut reader = open(db);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3 && !ends(b).is_empty());
    assert!(session(db, &[STATEMENT, &format!("LOAD DATA INFILE '{inside}' INTO TABLE t FIELDS TERMINATED BY ','")]));
    let error = read_error(reader.as_mut());
    assert_eq!(error.code(), "mysql.statement_event", "{error:?}");
}

/// What passes: rows behind it arrive.
const PASSING: &[&[&str]] = &[
    &["CREATE TABLE x LIKE t", "DROP TABLE x"],
    &["TRUNCATE u", "DROP TABLE u", "CREATE TABLE u (t INT, data INT, v INT)"],
    &["RENAME TABLE u TO x", "ALTER TABLE x RENAME TO u"],
    &["ALTER TABLE u ADD x INT, RENAME COLUMN data TO y"],
    &["CREATE TABLE x AS SELECT * FROM t", "DROP TABLE IF EXISTS x"],
    &["CREATE TEMPORARY TABLE t (id INT)", "INSERT INTO t VALUES (1)", "DROP TABLE t"],
    &["CREATE USER IF NOT EXISTS 'x'@'%'", "GRANT SELECT ON shop.t TO 'x'@'%'", "DROP USER 'x'@'%'"],
    &["CREATE PROCEDURE p() TRUNCATE t", "DROP PROCEDURE p"],
    &[
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO TRUNCATE t",
        "ALTER EVENT e RENAME TO f",
        "DROP EVENT f",
    ],
    &["CREATE VIEW v AS SELECT * FROM t", "DROP VIEW v"],
    &["ANALYZE TABLE t", "OPTIMIZE TABLE t", "FLUSH TABLES"],
    &["CREATE INDEX i ON t (v)", "DROP INDEX i ON t"],
    &["ALTER TABLE t ADD INDEX i (v), ALGORITHM=INPLACE", "ALTER TABLE t DROP INDEX i"],
    &["ALTER TABLE t COMMENT='TRUNCATE t'", "ALTER TABLE t FORCE"],
    &["CREATE DATABASE x", "DROP DATABASE x", "DROP DATABASE other"],
    &["CREATE TABLE t_7 (id INT PRIMARY KEY, v INT)"],
    &["BEGIN", "SAVEPOINT s", "UPDATE u SET v = 9", "ROLLBACK TO s", "COMMIT"],
    &["XA START 'x'", "UPDATE u SET v = 9", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'"],
];

fn passes(db: &Db) {
    db.run(&SETUP);
    let mut reader = open(db);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3 && !ends(b).is_empty());
    for (nth, case) in PASSING.iter().enumerate() {
        assert!(session(db, case), "{case:?}");
        db.run(&[&format!("INSERT INTO shop.t VALUES ({}, 0)", nth + 100)]);
        let expected = 4 + nth;
        read_until(reader.as_mut(), &mut batches, |b| rows(b) >= expected);
    }
    assert_eq!(rows(&batches), 3 + PASSING.len(), "nothing else arrived");
    // Only MySQL says which databases a statement wrote.
    if db.flavor.is_mysql() {
        db.run(&["CREATE DATABASE other", "CREATE TABLE other.x (id INT)"]);
        assert!(session(db, &[STATEMENT, "INSERT INTO other.x VALUES (1)"]));
        db.run(&["INSERT INTO shop.t VALUES (99, 0)"]);
        read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 4 + PASSING.len());
    }
}

fn rolled_back_rows_do_not_arrive(db: &Db) {
    db.run(&SETUP);
    let mut reader = open(db);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3 && !ends(b).is_empty());
    assert!(session(
        db,
        &[
            "BEGIN",
            "INSERT INTO t VALUES (10, 0)",
            "CREATE TEMPORARY TABLE x (id INT)",
            "INSERT INTO t VALUES (11, 0)",
            "ROLLBACK"
        ]
    ));
    assert!(session(
        db,
        &[
            "CREATE TEMPORARY TABLE x (id INT)",
            "BEGIN",
            "INSERT INTO t VALUES (12, 0)",
            "DROP TEMPORARY TABLE x",
            "ROLLBACK"
        ]
    ));
    assert!(session(
        db,
        &[
            "BEGIN",
            "INSERT INTO t VALUES (13, 0)",
            "SAVEPOINT `a B`",
            "INSERT INTO t VALUES (14, 0)",
            "SAVEPOINT c",
            "CREATE TEMPORARY TABLE x (id INT)",
            "UPDATE t SET v = 5 WHERE id = 14",
            "ROLLBACK TO c",
            "DELETE FROM t WHERE id = 13",
            "ROLLBACK TO `A b`",
            "INSERT INTO t VALUES (15, 0)",
            "SAVEPOINT c",
            "INSERT INTO t VALUES (16, 0)",
            "RELEASE SAVEPOINT c",
            "COMMIT",
        ]
    ));
    assert!(session(db, &["BEGIN", "INSERT INTO t VALUES (17, 0)", "CREATE TEMPORARY TABLE x (id INT)", "COMMIT"]));
    read_until(reader.as_mut(), &mut batches, |b| changes(b).iter().any(|change| change.starts_with("+I 17")));
    assert_eq!(changes(&batches)[3..], ["+I 13 | 0", "+I 15 | 0", "+I 16 | 0", "+I 17 | 0"]);
    // More than a batch, twice: taken back as a whole, and in its middle.
    let digits = "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    let many = format!(
        "INSERT INTO t SELECT 1000 + a.d + b.d * 10 + c.d * 100 + d.d * 1000 + e.d * 10000 + f.d * 100000, 0 \
         FROM {digits} a, {digits} b, {digits} c, {digits} d, {digits} e, {digits} f WHERE f.d < 4"
    );
    assert!(session(db, &["BEGIN", &many, "CREATE TEMPORARY TABLE x (id INT)", "ROLLBACK"]));
    assert!(session(
        db,
        &[
            "BEGIN",
            "INSERT INTO t VALUES (20, 0)",
            "SAVEPOINT s",
            &many,
            "CREATE TEMPORARY TABLE x (id INT)",
            "ROLLBACK TO s",
            "INSERT INTO t VALUES (21, 0)",
            "COMMIT",
        ]
    ));
    read_until(reader.as_mut(), &mut batches, |b| changes(b).iter().any(|change| change.starts_with("+I 21")));
    assert_eq!(changes(&batches)[7..], ["+I 20 | 0", "+I 21 | 0"]);
    assert_eq!(positions(&batches), positions_again(db, &batches), "the same from the start");
}

fn positions(batches: &[headwater_change::ChangeBatch]) -> Option<Position> {
    ends(batches).last().map(|(_, position)| position.clone())
}

/// The last position when everything behind the first one is read again.
fn positions_again(db: &Db, batches: &[headwater_change::ChangeBatch]) -> Option<Position> {
    let (count, first) = ends(batches).first().cloned().expect("an end");
    let mut reader = db.source(TABLES, fields(), &[]).and_then(|source| source.open(&[first])).expect("a reader");
    let mut again = Vec::new();
    read_until(reader.as_mut(), &mut again, |b| rows(b) >= rows(batches) - count);
    assert_eq!(changes(&again), changes(batches)[count..]);
    positions(&again)
}

fn everything(flavor: Flavor) {
    // With GTIDs MySQL 8.0 takes no CREATE TABLE … SELECT.
    let without: &[&str] = &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    let arguments = if flavor == Flavor::MySql80 { without } else { &[] };
    let Some(db) = Db::start("statements", flavor, arguments) else { return };
    passes(&db);
    rolled_back_rows_do_not_arrive(&db);
    loaded_files_stop(&db);
    stops(&db);
}

#[test]
fn statements_stop_the_reader_or_pass_on_mysql() {
    everything(Flavor::MySql);
}

#[test]
fn statements_stop_the_reader_or_pass_on_mysql_8_0() {
    everything(Flavor::MySql80);
}

#[test]
fn statements_stop_the_reader_or_pass_on_mariadb() {
    everything(Flavor::MariaDb);
}

#[test]
fn statements_stop_the_reader_or_pass_on_mariadb_11_8() {
    everything(Flavor::MariaDb118);
}

#[test]
fn names_are_found_where_the_server_lowers_them() {
    for flavor in Flavor::ALL {
        let Some(db) = Db::start("lower case", flavor, &["--lower-case-table-names=1"]) else { continue };
        let error = stopped_by(&db, &["TRUNCATE SHOP.T"]).expect("taken");
        assert_eq!(error.code(), "mysql.table_emptied");
        let error = stopped_by(&db, &["ALTER TABLE T MODIFY V SMALLINT"]).expect("taken");
        assert_eq!(error.code(), "mysql.rows_rewritten");
    }
}
