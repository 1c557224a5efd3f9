//! What the log does not tell is told at the start, with the statement that helps; settings of the server do not change what
//! is read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use arrow::datatypes::{DataType, Field};
use headwater_testkit::servers::Flavor;
use support::{Db, changes, read_until, rows};

fn fields() -> Vec<Field> {
    vec![Field::new("id", DataType::Int32, false)]
}

/// The table is refused under this code; what the hint says as a statement, up to its semicolon, lets it be read.
fn refused_until_mended(db: &Db, table: &str, code: &str) {
    let open = |extra: &[(&str, &str)]| db.source(table, fields(), extra).expect("a source").open(&[]).map(drop);
    let error = open(&[]).expect_err(code);
    assert_eq!(error.code(), code, "{error:?}");
    open(&[("scan.startup.mode", "snapshot")]).expect("a snapshot needs no log");
    let statement = error.hint_text().and_then(|hint| hint.split_once(';')).expect("a statement").0.to_owned();
    db.run(&[&statement]);
    open(&[]).unwrap_or_else(|error| panic!("after {statement}: {error:?}"));
}

fn tables(flavor: Flavor) {
    let Some(db) = Db::start("tables that cannot be followed", flavor, &[]) else { return };
    db.run(&["CREATE TABLE shop.m (id INT PRIMARY KEY) ENGINE=MyISAM", "INSERT INTO shop.m VALUES (1)"]);
    refused_until_mended(&db, "m", "mysql.engine");
    if !flavor.is_mysql() {
        db.run(&["CREATE TABLE shop.v (id INT PRIMARY KEY) WITH SYSTEM VERSIONING", "INSERT INTO shop.v VALUES (1)"]);
        refused_until_mended(&db, "v", "mysql.system_versioned");
    }
    for rule in ["ON DELETE CASCADE", "ON UPDATE CASCADE", "ON DELETE SET NULL"] {
        db.run(&[
            "DROP TABLE IF EXISTS shop.c, shop.p",
            "CREATE TABLE shop.p (id INT PRIMARY KEY)",
            &format!("CREATE TABLE shop.c (id INT PRIMARY KEY, p INT, CONSTRAINT `it``s` FOREIGN KEY (p) REFERENCES p (id) {rule})"),
            "INSERT INTO shop.p VALUES (7)",
            "INSERT INTO shop.c VALUES (1, 7)",
        ]);
        if flavor == Flavor::MySql {
            continue;
        }
        db.source("p", fields(), &[]).expect("a source").open(&[]).map(drop).expect("the parent changes by itself");
        refused_until_mended(&db, "c", "mysql.foreign_key_cascade");
    }
    if flavor == Flavor::MySql {
        // This version logs them: the last rule sets NULL, which is an update.
        let fields = vec![Field::new("id", DataType::Int32, false), Field::new("p", DataType::Int32, true)];
        let mut reader = db.source("c", fields, &[]).expect("a source").open(&[]).expect("a reader");
        db.run(&["DELETE FROM shop.p"]);
        let mut batches = Vec::new();
        read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 3);
        assert_eq!(changes(&batches), ["+I 1 | 7", "-U 1 | 7", "+U 1 | null"]);
    }
}

#[test]
fn tables_that_cannot_be_followed_are_refused_at_the_start() {
    for flavor in Flavor::ALL {
        tables(flavor);
    }
}

#[test]
fn databases_that_the_server_keeps_out_of_its_log_are_refused() {
    for (flavor, argument) in [(Flavor::MySql, "--binlog-ignore-db=shop"), (Flavor::MariaDb, "--binlog-do-db=other")] {
        let Some(db) = Db::start("filtered log", flavor, &[argument]) else { continue };
        db.run(&["CREATE TABLE shop.t (id INT PRIMARY KEY)"]);
        let error = db.source("t", fields(), &[]).expect("a source").open(&[]).map(drop).expect_err("filtered");
        assert_eq!(error.code(), "mysql.binlog_filter", "{error:?}");
    }
}

/// Settings that the server gives to new sessions.
fn settings(flavor: Flavor) {
    let Some(db) = Db::start("settings", flavor, &[]) else { return };
    db.run(&["CREATE TABLE shop.t (id INT PRIMARY KEY, c CHAR(9))"]);
    for id in 1..=20 {
        db.run(&[&format!("INSERT INTO shop.t VALUES ({id}, 'x')")]);
    }
    for setting in [
        "sql_select_limit = 3",
        "sql_big_selects = 0",
        "max_join_size = 5",
        "autocommit = 0",
        "completion_type = 2",
        "sql_quote_show_create = 0",
        "sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
        "time_zone = '+09:00'",
    ] {
        db.run(&[&format!("SET GLOBAL {setting}")]);
    }
    let fields = vec![Field::new("id", DataType::Int32, false), Field::new("c", DataType::Utf8, true)];
    let mut reader = db.source("t", fields, &[]).expect("a source").open(&[]).expect("a reader");
    db.run(&["BEGIN", "INSERT INTO shop.t VALUES (21, 'x')", "COMMIT"]);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 21);
    let expected: Vec<String> = (1..=21).map(|id| format!("+I {id} | \"x\"")).collect();
    assert_eq!(changes(&batches), expected, "{flavor:?}");
    let told = headwater_mysql::notice::told();
    assert!(told.iter().any(|text| text.contains("SET GLOBAL binlog_row_metadata='FULL'")), "{told:?}");
}

#[test]
fn the_servers_settings_do_not_change_what_is_read() {
    for flavor in Flavor::ALL {
        settings(flavor);
    }
}

/// A key that the server made by itself is in its log, and hidden from its catalog where it is set so.
#[test]
fn a_generated_invisible_key_does_not_shift_columns() {
    let Some(db) = Db::start("generated key", Flavor::MySql, &[]) else { return };
    db.run(&[
        "SET GLOBAL show_gipk_in_create_table_and_information_schema = OFF",
        "SET sql_generate_invisible_primary_key = ON",
        "CREATE TABLE shop.t (id INT, c VARCHAR(9))",
        "INSERT INTO shop.t (id, c) VALUES (5, 'a')",
    ]);
    let fields = vec![Field::new("id", DataType::Int32, true), Field::new("c", DataType::Utf8, true)];
    let mut reader = db.source("t", fields, &[]).expect("a source").open(&[]).expect("a reader");
    db.run(&["INSERT INTO shop.t (id, c) VALUES (6, 'b')"]);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 2);
    assert_eq!(changes(&batches), ["+I 5 | \"a\"", "+I 6 | \"b\""]);
}
