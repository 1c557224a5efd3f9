//! Columns that are not decoded: stepped over where nobody asked for them, refused by name at the start where somebody did.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use arrow::datatypes::{DataType, Field};
use headwater_testkit::servers::Flavor;
use support::{Db, changes, read_until, rows};

/// Definition and a value; what a server does not know is left out on it.
const COLUMNS: [(&str, &str); 19] = [
    ("VARCHAR(200) COMPRESSED CHARACTER SET latin1", "REPEAT('compressed', 20)"),
    ("VARCHAR(2000) COMPRESSED", "REPEAT('compressed', 200)"),
    ("VARBINARY(300) COMPRESSED", "REPEAT('c', 300)"),
    ("TEXT COMPRESSED CHARACTER SET latin2", "REPEAT('compressed', 200)"),
    ("LONGBLOB COMPRESSED", "REPEAT('compressed', 20000)"),
    ("TINYTEXT COMPRESSED", "''"),
    ("UUID", "'8f1b1a0e-7b43-11ee-b962-0242ac120002'"),
    ("INET4", "'10.0.0.1'"),
    ("INET6", "'2001:db8::ff00:42:8329'"),
    ("GEOMETRY", "ST_GeomFromText('POINT(1 2)')"),
    ("POINT", "ST_GeomFromText('POINT(3 4)')"),
    ("MULTIPOLYGON", "ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))')"),
    ("VECTOR(3)", "x'0000803f0000004000004040'"),
    ("TEXT CHARACTER SET gb18030", "'中'"),
    ("ENUM('a','b') CHARACTER SET gb18030", "'b'"),
    ("ENUM('a','b') CHARACTER SET binary", "'b'"),
    ("SET('a','b') CHARACTER SET binary", "'b,a'"),
    ("XMLTYPE", "'<a/>'"),
    ("GEOMETRYCOLLECTION", "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')"),
];

fn columns(flavor: Flavor, arguments: &[&str]) {
    let Some(db) = Db::start("unreadable columns", flavor, arguments) else { return };
    let known: Vec<(usize, (&str, &str))> = COLUMNS
        .into_iter()
        .enumerate()
        .filter(|(nth, (sql, _))| db.try_run(&format!("CREATE TABLE shop.try{nth} (c {sql})")))
        .collect();
    assert!(known.len() > 4, "{known:?}");
    // Columns that are read stand before, between and behind; their sets and signs differ.
    let mut definitions = vec!["id INT PRIMARY KEY".to_owned(), "a CHAR(9) CHARACTER SET koi8r".to_owned()];
    definitions
        .extend(known.iter().map(|(nth, (sql, _))| format!("c{nth} {sql}, n{nth} INT UNSIGNED, t{nth} VARCHAR(9)")));
    definitions.push("z TEXT CHARACTER SET cp1251, e ENUM('x','ж') CHARACTER SET cp866".to_owned());
    let values: Vec<String> = known.iter().map(|(nth, (_, value))| format!("{value}, 4294967295, 't{nth}'")).collect();
    let nulls = vec!["NULL, NULL, NULL"; known.len()].join(", ");
    let insert = |id: u32| {
        [
            format!("INSERT INTO shop.t VALUES ({id}, 'Ж', {}, 'Я', 'ж')", values.join(", ")),
            format!("INSERT INTO shop.t VALUES ({}, NULL, {nulls}, NULL, NULL)", id + 1),
        ]
    };
    db.run(&[&format!("CREATE TABLE shop.t ({})", definitions.join(", "))]);
    insert(1).iter().for_each(|sql| db.run(&[sql]));
    let mut fields = vec![Field::new("id", DataType::Int32, false), Field::new("a", DataType::Utf8, true)];
    for (nth, _) in &known {
        fields.push(Field::new(format!("n{nth}"), DataType::Int64, true));
        fields.push(Field::new(format!("t{nth}"), DataType::Utf8, true));
    }
    fields.extend(["z", "e"].map(|name| Field::new(name, DataType::Utf8, true)));
    let mut reader = db.source("t", fields, &[]).expect("a source").open(&[]).expect("a reader");
    insert(3).iter().for_each(|sql| db.run(&[sql]));
    db.run(&["DELETE FROM shop.t WHERE id = 3"]);
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 5);
    let texts: Vec<String> = known.iter().map(|(nth, _)| format!("4294967295 | \"t{nth}\"")).collect();
    let full = |op: &str, id: u32| format!("{op} {id} | \"Ж\" | {} | \"Я\" | \"ж\"", texts.join(" | "));
    let empty = |id: u32| format!("+I {id} | null | {} | null | null", vec!["null | null"; known.len()].join(" | "));
    assert_eq!(changes(&batches), [full("+I", 1), empty(2), full("+I", 3), empty(4), full("-D", 3)], "{flavor:?}");

    for (nth, (sql, _)) in &known {
        for wanted in [DataType::Utf8, DataType::Binary] {
            let fields =
                vec![Field::new("id", DataType::Int32, false), Field::new(format!("c{nth}"), wanted.clone(), true)];
            let error = db.source("t", fields, &[]).expect("a source").open(&[]).map(drop).expect_err(sql);
            assert_eq!(error.code(), "mysql.type", "{error:?}");
            let hint = error.hint_text().expect("a hint");
            assert!(hint.contains("leave the column out"), "{error:?}");
            // A hint that is a whole statement is taken at its word, once.
            if wanted == DataType::Utf8
                && let Some(statement) = hint.split_once("copy of it: ").and_then(|(_, rest)| rest.split_once("; or"))
            {
                db.run(&[statement.0]);
            }
        }
    }
}

#[test]
fn columns_that_are_not_decoded_are_stepped_over_or_refused() {
    for flavor in Flavor::ALL {
        columns(flavor, &[]);
    }
}

#[test]
fn columns_that_are_not_decoded_are_stepped_over_or_refused_with_full_metadata() {
    for flavor in Flavor::ALL {
        columns(flavor, &["--binlog-row-metadata=FULL"]);
    }
}
