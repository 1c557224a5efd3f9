//! Values against the server's own text: every character set, JSON, decimals and times at random, columns that nobody
//! asked for; by snapshot and by log, on every supported server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int32Type};
use headwater_change::{ChangeBatch, METADATA_KEY};
use headwater_testkit::servers::Flavor;
use support::{Db, read_until, rows};

const FULL: &[&str] = &["--binlog-row-metadata=FULL"];

/// Numbers that are the same at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = self.0;
        (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (x >> 32)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn id() -> Field {
    Field::new("id", DataType::Int32, false)
}

/// Rows by table (where `table` is asked for) and id.
fn by_id(batches: &[ChangeBatch]) -> BTreeMap<(String, i32), Vec<Option<String>>> {
    let mut all = BTreeMap::new();
    for batch in batches {
        let rows = batch.rows();
        let ids = rows.column_by_name("id").expect("ids").as_primitive::<Int32Type>();
        for row in 0..rows.num_rows() {
            let mut table = String::new();
            let mut values = Vec::new();
            for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
                match field.name().as_str() {
                    "id" => {}
                    "its_table" => column.as_string::<i32>().value(row).clone_into(&mut table),
                    _ => {
                        let texts = column.as_string::<i32>();
                        values.push((!texts.is_null(row)).then(|| texts.value(row).to_owned()));
                    }
                }
            }
            assert!(all.insert((table, ids.value(row)), values).is_none(), "a row came twice");
        }
    }
    all
}

/// What the server shows of a table.
fn shown(db: &Db, table: &str, columns: &[&str]) -> BTreeMap<(String, i32), Vec<Option<String>>> {
    let ids = db.texts(&format!("SELECT CAST(id AS CHAR) FROM shop.{table} ORDER BY id"));
    let mut all: BTreeMap<_, _> =
        ids.iter().flatten().map(|id| ((String::new(), id.parse().expect("a number")), Vec::new())).collect();
    for column in columns {
        let values = db.texts(&format!("SELECT {column} FROM shop.{table} ORDER BY id"));
        for (row, value) in all.values_mut().zip(values) {
            row.push(value);
        }
    }
    all
}

/// The numbers from 0 to 16^digits.
fn numbers(digits: u32) -> String {
    let one =
        format!("(SELECT 0 d {})", (1..16).map(|n| format!("UNION ALL SELECT {n}")).collect::<Vec<_>>().join(" "));
    let sum = (0..digits).map(|n| format!("x{n}.d * {}", 16_u32.pow(n))).collect::<Vec<_>>().join(" + ");
    let from = (0..digits).map(|n| format!("{one} x{n}")).collect::<Vec<_>>().join(", ");
    format!("(SELECT {sum} n FROM {from}) numbers")
}

/// Every code of a set that its server takes, a row a first byte.
fn fill(db: &Db, set: &str, longest: u32) {
    let table = format!("shop.cs_{set}");
    let gather = |bytes: &str, first: u32, range: &str, digits: u32| {
        format!(
            "INSERT INTO {table} (id, v) SELECT {first} + n DIV 256, GROUP_CONCAT(CONVERT({bytes} USING {set}) ORDER BY n \
             SEPARATOR '') FROM {} WHERE {range} AND CHAR_LENGTH(CONVERT(CONVERT({bytes} USING {set}) USING utf8mb4)) = 1 \
             GROUP BY n DIV 256",
            numbers(digits)
        )
    };
    let mut statements = vec!["SET SESSION group_concat_max_len = 1000000".to_owned()];
    match set {
        "utf8mb4" | "utf8mb3" | "utf8" | "utf16" | "utf16le" | "utf32" | "ucs2" => {
            let wide = if matches!(set, "utf8mb4" | "utf16" | "utf16le" | "utf32") { "😀𝄞" } else { "" };
            statements.push(format!("INSERT INTO {table} (id, v) VALUES (1, 'aü†‡ \u{2020}  한글€{wide}  '), (2, '')"));
        }
        _ => statements.push(gather("UNHEX(LPAD(HEX(n), 2, '0'))", 0, "TRUE", 2)),
    }
    if longest > 1 && !set.starts_with("utf") && set != "ucs2" {
        statements.push(gather("UNHEX(LPAD(HEX(n), 4, '0'))", 0, "n >= 33024", 4));
        if longest > 2 {
            statements.push(gather("UNHEX(CONCAT('8F', LPAD(HEX(n), 4, '0')))", 1000, "n >= 33024", 4));
        }
    }
    statements.push(format!("UPDATE {table} SET c = CONCAT(LEFT(v, 9), '  ')"));
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    db.run(&statements);
}

fn character_sets(flavor: Flavor, arguments: &[&str]) {
    let Some(db) = Db::start("character sets", flavor, arguments) else { return };
    let sets = db.texts(
        "SELECT CONCAT(CHARACTER_SET_NAME, ' ', MAXLEN) FROM information_schema.CHARACTER_SETS \
         WHERE CHARACTER_SET_NAME NOT IN ('binary', 'gb18030')",
    );
    let mut names = Vec::new();
    for set in sets.into_iter().flatten() {
        let (set, longest) = set.split_once(' ').expect("two words");
        db.run(&[&format!(
            "CREATE TABLE shop.cs_{set} (id INT PRIMARY KEY, v LONGTEXT CHARACTER SET {set}, c CHAR(20) CHARACTER SET {set}, \
             e LONGTEXT CHARACTER SET {set}, s LONGTEXT CHARACTER SET {set})"
        )]);
        fill(&db, set, longest.parse().expect("a number"));
        // Members in letters of the set, and with everything that is escaped somewhere.
        let letters: String = db
            .texts(&format!("SELECT v FROM shop.cs_{set} WHERE CHAR_LENGTH(v) > 2 ORDER BY id DESC LIMIT 3"))
            .into_iter()
            .flatten()
            .flat_map(|text| text.chars().filter(|c| c.is_alphabetic()).collect::<Vec<_>>())
            .take(20)
            .collect();
        let members = format!("'', 'x{letters}', 'it''s', 'a\\nb\\r', '(x)', 'back\\\\slash\\\\'");
        db.run(&[
            &format!("ALTER TABLE shop.cs_{set} MODIFY e ENUM({members}) CHARACTER SET {set}, MODIFY s SET({members}) CHARACTER SET {set}"),
            &format!("UPDATE shop.cs_{set} SET e = 1 + id % 6, s = id % 64"),
        ]);
        names.push(set.to_owned());
    }
    let table = text("its_table").with_metadata([(METADATA_KEY.to_owned(), "table_name".to_owned())].into());
    let fields = vec![table, id(), text("v"), text("c"), text("e"), text("s")];
    let source = db.source("cs_.*", fields, &[]).expect("a source");
    let mut reader = source.open(&[]).expect("a reader");
    for set in &names {
        db.run(&[&format!("INSERT INTO shop.cs_{set} SELECT id + 10000, v, c, e, s FROM shop.cs_{set}")]);
    }
    let mut expected = BTreeMap::new();
    for set in &names {
        for ((_, id), values) in shown(&db, &format!("cs_{set}"), &["v", "c", "e", "s"]) {
            expected.insert((format!("cs_{set}"), id), values);
        }
    }
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= expected.len());
    let got = by_id(&batches);
    for (key, values) in &expected {
        assert_eq!(got.get(key), Some(values), "{flavor:?} {key:?}");
    }
    assert_eq!(got.len(), expected.len());
}

#[test]
fn texts_and_members_of_every_character_set_are_the_servers() {
    character_sets(Flavor::MySql, FULL);
}

#[test]
fn texts_and_members_of_every_character_set_are_the_servers_on_mysql_8_0() {
    character_sets(Flavor::MySql80, FULL);
}

#[test]
fn texts_and_members_of_every_character_set_are_the_servers_on_mariadb() {
    character_sets(Flavor::MariaDb, FULL);
}

#[test]
fn texts_and_members_of_every_character_set_are_the_servers_on_mariadb_11_8() {
    character_sets(Flavor::MariaDb118, FULL);
}

#[test]
fn texts_and_members_of_every_character_set_are_the_servers_without_metadata() {
    character_sets(Flavor::MySql, &[]);
    character_sets(Flavor::MariaDb118, &[]);
}

/// Decimals and times of every precision as the texts that SELECT shows.
fn numbers_and_times(flavor: Flavor, arguments: &[&str]) {
    let Some(db) = Db::start("numbers and times", flavor, arguments) else { return };
    let decimals = [(1, 0), (1, 1), (9, 9), (10, 0), (18, 9), (19, 10), (30, 30), (38, 10), (39, 1), (65, 0), (65, 30)];
    let mut types: Vec<String> = decimals.iter().map(|(p, s)| format!("DECIMAL({p},{s})")).collect();
    types.extend((0..=6).flat_map(|p| [format!("TIME({p})"), format!("DATETIME({p})")]));
    types.push("DATE".to_owned());
    let columns: Vec<String> = types.iter().enumerate().map(|(n, t)| format!("c{n} {t}")).collect();
    db.run(&[&format!("CREATE TABLE shop.t (id INT PRIMARY KEY, {})", columns.join(", "))]);
    let mut random = Random(7);
    let mut insert = |id: u32| {
        let mut values = Vec::new();
        for sql in &types {
            let sign = if random.below(2) == 0 { "-" } else { "" };
            let value = if let Some((p, s)) =
                sql.strip_prefix("DECIMAL(").and_then(|rest| rest.trim_end_matches(')').split_once(','))
            {
                let (p, s): (u64, u64) = (p.parse().unwrap(), s.parse().unwrap());
                let digits =
                    |random: &mut Random, n: u64| (0..n).map(|_| random.below(10).to_string()).collect::<String>();
                let whole = random.below(p - s + 1);
                format!("{sign}{}0.{}", digits(&mut random, whole.saturating_sub(1)), digits(&mut random, s))
            } else if sql.starts_with("TIME") {
                let (h, m, s, f) = (random.below(839), random.below(60), random.below(59), random.below(1_000_000));
                format!("'{sign}{h:03}:{m:02}:{s:02}.{f:06}'")
            } else {
                let (y, m, d) = (random.below(10_000), random.below(13), random.below(29));
                let (h, i, s, f) = (random.below(24), random.below(60), random.below(60), random.below(1_000_000));
                if sql == "DATE" {
                    format!("'{y:04}-{m:02}-{d:02}'")
                } else {
                    format!("'{y:04}-{m:02}-{d:02} {h:02}:{i:02}:{s:02}.{f:06}'")
                }
            };
            values.push(value);
        }
        format!("INSERT IGNORE INTO shop.t VALUES ({id}, {})", values.join(", "))
    };
    let all: Vec<String> = (0..200).map(&mut insert).collect();
    let (before, after) = all.split_at(100);
    db.run(&before.iter().map(String::as_str).collect::<Vec<_>>());
    let names: Vec<String> = (0..types.len()).map(|n| format!("c{n}")).collect();
    let fields = std::iter::once(id()).chain(names.iter().map(|name| text(name))).collect();
    let mut reader = db.source("t", fields, &[]).expect("a source").open(&[]).expect("a reader");
    db.run(&after.iter().map(String::as_str).collect::<Vec<_>>());
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 200);
    let casts: Vec<String> = names.iter().map(|name| format!("CAST({name} AS CHAR)")).collect();
    let expected = shown(&db, "t", &casts.iter().map(String::as_str).collect::<Vec<_>>());
    for (key, values) in by_id(&batches) {
        for ((value, expected), sql) in values.iter().zip(&expected[&key]).zip(&types) {
            assert_eq!(value, expected, "{flavor:?}, row {}, {sql}", key.1);
        }
    }
}

#[test]
fn decimals_and_times_of_every_precision_are_the_servers() {
    for flavor in Flavor::ALL {
        numbers_and_times(flavor, FULL);
    }
}

/// A double whose text is exact.
fn double(random: &mut Random) -> String {
    match random.below(4) {
        // 17 digits around the places where the server changes to exponents.
        0 => format!("{}.{}", 1_000_000_000_000_000 + random.below(9_000_000_000_000_000), random.below(10)),
        1 => format!("{}e{}", random.below(100_000), i64::try_from(random.below(40)).unwrap() - 20),
        2 => format!("0.{:0width$}", random.below(1_000_000), width = 6 + usize::try_from(random.below(14)).unwrap()),
        _ => loop {
            let number = f64::from_bits(random.next());
            if number.is_finite() && number.abs() > 1e-300 && number.abs() < 1e300 {
                break format!("{number:e}");
            }
        },
    }
}

fn documents(random: &mut Random) -> Vec<String> {
    let mut all: Vec<String> = [
        "'\"\\\\u007f \\\\u0080 \\\\u2028 / \\\\u0000 ü😀\"'",
        "'{\"\": {\"b\": [[], {}, [[[]]]]}, \"long key\": -0.0, \"z\": 1e0}'",
        "JSON_ARRAY(CAST('0000-00-00' AS DATE), CAST('2024-02-30' AS DATE))",
        "JSON_ARRAY(CAST('-838:59:59' AS TIME), CAST('00:00:00.000001' AS TIME(6)), CAST('-00:00:00.5' AS TIME(1)))",
        "JSON_ARRAY(CAST('9999-12-31 23:59:59.999999' AS DATETIME(6)), CAST('0001-01-01' AS DATETIME))",
        "JSON_ARRAY(TIMESTAMP('2024-01-02 03:04:05'), CAST(2024 AS YEAR), b'1', TRUE, NULL)",
        "JSON_ARRAY(ST_GeomFromText('POINT(1 2)'))",
        "JSON_ARRAY(18446744073709551615, -9223372036854775808, 4294967295, 65536, -32769, 2147483648)",
    ]
    .map(str::to_owned)
    .into();
    // Opaque values around the encoder's lines: 57 bytes a line.
    all.extend([0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 171, 300].map(|n| format!("JSON_ARRAY(REPEAT(x'ff', {n}))")));
    for (p, s) in [(1, 0), (5, 5), (10, 2), (38, 10), (65, 30), (65, 0)] {
        all.push(format!("JSON_ARRAY(CAST('-123.456' AS DECIMAL({p},{s})), CAST(0 AS DECIMAL({p},{s})))"));
    }
    for _ in 0..60 {
        let doubles: Vec<String> = (0..50).map(|_| double(random)).collect();
        all.push(format!("'[{}]'", doubles.join(", ")));
    }
    // Large enough for wide offsets, with small numbers in the entries.
    let members: Vec<String> = (0..7_000).map(|n| format!("\"key{n}\": [{n}, \"text {n}\"]")).collect();
    all.push(format!("'{{{}}}'", members.join(", ")));
    all.push(format!("'{}1{}'", "[".repeat(99), "]".repeat(99)));
    all
}

fn json(flavor: Flavor) {
    let Some(db) = Db::start("json", flavor, &[]) else { return };
    db.run(&["CREATE TABLE shop.t (id INT PRIMARY KEY, v JSON)"]);
    let documents = documents(&mut Random(11));
    let mut reader = db.source("t", vec![id(), text("v")], &[]).expect("a source").open(&[]).expect("a reader");
    let mut written = 0;
    for (nth, document) in documents.iter().enumerate() {
        // What one version refuses is no test of what it prints.
        written += usize::from(db.try_run(&format!("INSERT INTO shop.t VALUES ({nth}, {document})")));
    }
    assert!(written + 4 >= documents.len(), "{written} of {} were taken", documents.len());
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= written);
    let expected = shown(&db, "t", &["v"]);
    for (key, values) in by_id(&batches) {
        assert_eq!(values, expected[&key], "{flavor:?} {}", documents[usize::try_from(key.1).unwrap()]);
    }
}

#[test]
fn json_of_every_kind_of_value_is_the_servers() {
    json(Flavor::MySql);
    json(Flavor::MySql80);
}
