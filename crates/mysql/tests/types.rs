//! Every type: the snapshot, the log and what the server itself says are the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use arrow::datatypes::{DataType, Field, TimeUnit};
use headwater_testkit::servers::Flavor;
use support::{Db, changes, read_until, rows};

/// Column definition, wanted type, and values as SQL with the text expected in the notation.
type Case = (&'static str, DataType, &'static [(&'static str, &'static str)]);

fn cases() -> Vec<Case> {
    use DataType as D;
    let utc = || Some("UTC".into());
    vec![
        ("TINYINT", D::Int8, &[("-128", "-128"), ("127", "127")]),
        ("TINYINT UNSIGNED", D::Int16, &[("255", "255")]),
        ("TINYINT UNSIGNED", D::UInt8, &[("255", "255")]),
        ("TINYINT(1)", D::Boolean, &[("1", "true"), ("0", "false")]),
        ("SMALLINT", D::Int16, &[("-32768", "-32768")]),
        ("SMALLINT UNSIGNED", D::Int32, &[("65535", "65535")]),
        ("MEDIUMINT", D::Int32, &[("-8388608", "-8388608"), ("8388607", "8388607")]),
        ("MEDIUMINT UNSIGNED", D::UInt32, &[("16777215", "16777215")]),
        ("INT", D::Int32, &[("-2147483648", "-2147483648")]),
        ("INT UNSIGNED", D::Int64, &[("4294967295", "4294967295")]),
        ("BIGINT", D::Int64, &[("-9223372036854775808", "-9223372036854775808")]),
        ("BIGINT UNSIGNED", D::Decimal128(20, 0), &[("18446744073709551615", "18446744073709551615")]),
        ("BIGINT UNSIGNED", D::UInt64, &[("18446744073709551615", "18446744073709551615")]),
        ("DECIMAL(10,2)", D::Decimal128(10, 2), &[("-12345678.90", "-12345678.90"), ("0.05", "0.05")]),
        (
            "DECIMAL(38,10)",
            D::Decimal128(38, 10),
            &[("-1234567890123456789012345678.0123456789", "-1234567890123456789012345678.0123456789")],
        ),
        (
            "DECIMAL(65,30)",
            D::Utf8,
            &[
                (
                    "-99999999999999999999999999999999999.000000000000000000000000000001",
                    "\"-99999999999999999999999999999999999.000000000000000000000000000001\"",
                ),
                ("0.5", "\"0.500000000000000000000000000000\""),
            ],
        ),
        ("FLOAT", D::Float32, &[("1.1234567", "1.1234567"), ("-0.5", "-0.5")]),
        ("DOUBLE", D::Float64, &[("0.1", "0.1"), ("-1.5e300", "-1.5e300")]),
        ("CHAR(10) CHARACTER SET utf8mb4", D::Utf8, &[("'a ü😀 '", "\"a ü😀\""), ("''", "\"\"")]),
        ("CHAR(250) CHARACTER SET utf8mb4", D::Utf8, &[("'wide'", "\"wide\"")]),
        ("VARCHAR(50) CHARACTER SET utf8mb3", D::Utf8, &[("'ü  '", "\"ü  \"")]),
        ("VARCHAR(500) CHARACTER SET latin1", D::Utf8, &[("'é€'", "\"é€\"")]),
        ("TEXT CHARACTER SET utf8mb4", D::Utf8, &[("'long \\n text'", "\"long \\n text\"")]),
        ("LONGTEXT CHARACTER SET ascii", D::Utf8, &[("'abc'", "\"abc\"")]),
        ("BINARY(4)", D::Binary, &[("x'0100'", "x'01000000'"), ("x'20202020'", "x'20202020'")]),
        ("VARBINARY(300)", D::Binary, &[("x'00ff00'", "x'00ff00'")]),
        ("BLOB", D::Binary, &[("x'deadbeef'", "x'deadbeef'"), ("''", "x''")]),
        (
            "DATE",
            D::Date32,
            &[("'2024-02-29'", "2024-02-29"), ("'0000-00-00'", "null"), ("'9999-12-31'", "9999-12-31")],
        ),
        ("DATE", D::Utf8, &[("'2024-00-00'", "\"2024-00-00\"")]),
        ("TIME", D::Time32(TimeUnit::Second), &[("'23:59:59'", "23:59:59")]),
        ("TIME(3)", D::Time32(TimeUnit::Millisecond), &[("'10:00:00.125'", "10:00:00.125")]),
        ("TIME(6)", D::Time64(TimeUnit::Microsecond), &[("'00:00:00.000001'", "00:00:00.000001")]),
        ("TIME(2)", D::Utf8, &[("'-838:59:58.99'", "\"-838:59:58.99\""), ("'-00:00:00.01'", "\"-00:00:00.01\"")]),
        (
            "DATETIME",
            D::Timestamp(TimeUnit::Second, None),
            &[("'2024-04-25 10:00:01'", "2024-04-25T10:00:01"), ("'0000-00-00'", "null")],
        ),
        (
            "DATETIME(3)",
            D::Timestamp(TimeUnit::Millisecond, None),
            &[("'1969-12-31 23:59:59.999'", "1969-12-31T23:59:59.999")],
        ),
        (
            "DATETIME(6)",
            D::Timestamp(TimeUnit::Microsecond, None),
            &[("'9999-12-31 23:59:59.999999'", "9999-12-31T23:59:59.999999")],
        ),
        ("DATETIME(5)", D::Utf8, &[("'2024-04-25 10:00:01.5'", "\"2024-04-25 10:00:01.50000\"")]),
        (
            "TIMESTAMP NULL",
            D::Timestamp(TimeUnit::Second, utc()),
            &[("'2024-04-25 10:00:01'", "2024-04-25T10:00:01Z"), ("'0000-00-00'", "null")],
        ),
        (
            "TIMESTAMP(3) NULL",
            D::Timestamp(TimeUnit::Millisecond, None),
            &[("'2024-04-25 10:00:01.5'", "2024-04-25T18:00:01.500")],
        ),
        (
            "TIMESTAMP(6) NULL",
            D::Timestamp(TimeUnit::Microsecond, utc()),
            &[("'2038-01-19 03:14:07.999999'", "2038-01-19T03:14:07.999999Z")],
        ),
        ("YEAR", D::Int16, &[("2155", "2155"), ("0", "0")]),
        ("ENUM('a','b''c','ü')", D::Utf8, &[("'ü'", "\"ü\""), ("'b''c'", "\"b'c\"")]),
        ("SET('a','b','c')", D::Utf8, &[("'c,a'", "\"a,c\""), ("''", "\"\"")]),
        ("BIT(1)", D::Boolean, &[("b'1'", "true")]),
        ("BIT(12)", D::Int16, &[("b'100000000001'", "2049")]),
        (
            "BIT(64)",
            D::UInt64,
            &[("b'1111111111111111111111111111111111111111111111111111111111111111'", "18446744073709551615")],
        ),
    ]
}

fn every_type(flavor: Flavor, arguments: &[&str]) {
    let name = "every type";
    let Some(db) = Db::start(name, flavor, arguments) else { return };
    let cases = cases();
    let columns: Vec<String> = cases.iter().enumerate().map(|(n, (sql, ..))| format!("c{n} {sql}")).collect();
    db.run(&[&format!("CREATE TABLE shop.t (id INT PRIMARY KEY, {})", columns.join(", "))]);
    let mut fields = vec![Field::new("id", DataType::Int32, false)];
    fields
        .extend(cases.iter().enumerate().map(|(n, (_, wanted, _))| Field::new(format!("c{n}"), wanted.clone(), true)));
    let insert = |id: usize, nth: usize, empty: bool| {
        let values: Vec<&str> =
            cases.iter().map(|(.., v)| if empty { "NULL" } else { v.get(nth).unwrap_or(&v[0]).0 }).collect();
        format!("INSERT INTO shop.t VALUES ({id}, {})", values.join(", "))
    };
    let expected = |id: usize, nth: usize, empty: bool| {
        let values: Vec<&str> =
            cases.iter().map(|(.., v)| if empty { "null" } else { v.get(nth).unwrap_or(&v[0]).1 }).collect();
        format!("+I {id} | {}", values.join(" | "))
    };
    let variants = [(0, false), (1, false), (2, false), (0, true)];
    for (id, (nth, empty)) in variants.iter().enumerate() {
        db.run(&[&insert(id, *nth, *empty)]);
    }
    let source = db.source("t", fields, &[("server-time-zone", "+08:00")]).expect("a source");
    let mut reader = source.open(&[]).expect("a reader");
    for (id, (nth, empty)) in variants.iter().enumerate() {
        db.run(&[&insert(10 + id, *nth, *empty)]);
    }
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= 8);
    let got = changes(&batches);
    for (id, (nth, empty)) in variants.iter().enumerate() {
        for (at, id) in [(id, id), (4 + id, 10 + id)] {
            let (want, got) = (expected(id, *nth, *empty), &got[at]);
            let pairs = got.split(" | ").zip(want.split(" | ")).enumerate();
            let wrong: Vec<_> = pairs
                .filter(|(_, (got, want))| got != want)
                .map(|(n, p)| (n.checked_sub(1).map(|n| cases[n].0), p))
                .collect();
            assert!(wrong.is_empty(), "{flavor:?} row {id}: {wrong:?}");
        }
    }
}

#[test]
fn every_type_on_mysql() {
    every_type(Flavor::MySql, &[]);
}

#[test]
fn every_type_on_mysql_with_full_metadata_and_compression() {
    every_type(Flavor::MySql, &["--binlog-row-metadata=FULL", "--binlog-transaction-compression=ON"]);
}

#[test]
fn every_type_on_mariadb() {
    every_type(Flavor::MariaDb, &[]);
}

#[test]
fn every_type_on_mariadb_with_full_metadata() {
    every_type(Flavor::MariaDb, &["--binlog-row-metadata=FULL"]);
}

#[test]
fn every_type_on_mysql_8_0() {
    every_type(Flavor::MySql80, &[]);
}

#[test]
fn every_type_on_mysql_8_0_with_full_metadata() {
    every_type(Flavor::MySql80, &["--binlog-row-metadata=FULL"]);
}

#[test]
fn every_type_on_mariadb_11_8() {
    every_type(Flavor::MariaDb118, &[]);
}

#[test]
fn every_type_on_mariadb_11_8_with_full_metadata() {
    every_type(Flavor::MariaDb118, &["--binlog-row-metadata=FULL"]);
}

/// MySQL's JSON in the log is binary; its text must be what SELECT shows.
#[test]
fn json_is_printed_as_mysql_prints_it() {
    let Some(db) = Db::start("json", Flavor::MySql, &[]) else { return };
    db.run(&["CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, j JSON)"]);
    let fields = vec![Field::new("j", DataType::Utf8, true)];
    let source = db.source("t", fields, &[("scan.startup.mode", "latest-offset")]).expect("a source");
    let mut reader = source.open(&[]).expect("a reader");
    let large = format!("'[{}1]'", "\"0123456789\", ".repeat(8_000));
    let documents = [
        "'{\"a\": 1, \"b\": [true, null, -1, 70000, 18446744073709551615, 1.5, 1e100, 0.1, 1.0]}'",
        "'[]'",
        "'{}'",
        "'\"\\u0001 \\\\n \\\\\" ü😀\"'",
        "'-9223372036854775808'",
        "'1e15'",
        "'123456789012345.6'",
        "'1e-7'",
        "CAST(1.50 AS JSON)",
        "CAST(CAST('2024-01-02' AS DATE) AS JSON)",
        "CAST(CAST('-10:11:12.5' AS TIME(1)) AS JSON)",
        "CAST(CAST('2024-01-02 03:04:05.000006' AS DATETIME(6)) AS JSON)",
        "JSON_ARRAY(x'00ff10', b'101')",
        "NULL",
        &large,
    ];
    for document in documents {
        db.run(&[&format!("INSERT INTO shop.t (j) VALUES ({document})")]);
    }
    let mut batches = Vec::new();
    read_until(reader.as_mut(), &mut batches, |b| rows(b) >= documents.len());
    let expected = db.texts("SELECT j FROM shop.t ORDER BY id");
    let got: Vec<Option<String>> = batches
        .iter()
        .flat_map(|b| {
            let column = arrow::array::AsArray::as_string::<i32>(b.rows().column(0)).clone();
            column.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(got, expected);
}

/// MySQL gives back an empty text for JSON that is longer than `max_allowed_packet`, and no error.
#[test]
fn json_that_the_server_does_not_give_back_is_an_error() {
    let Some(db) = Db::start("json_limit", Flavor::MySql, &[]) else { return };
    db.run(&[
        "CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, j JSON)",
        "INSERT INTO shop.t (j) VALUES (JSON_ARRAY(REPEAT('a', 2000000)))",
        "SET GLOBAL max_allowed_packet = 1024 * 1024",
    ]);
    let fields = vec![Field::new("j", DataType::Utf8, true)];
    let source = db.source("t", fields, &[]).expect("a source");
    let mut reader = source.open(&[]).expect("a reader");
    let error = (0..20).find_map(|_| reader.next(1, std::time::Duration::from_secs(1)).err());
    let error = error.expect("an error");
    assert_eq!(error.code(), "mysql.value");
    assert!(error.to_string().contains("max_allowed_packet"), "{error:?}");
}
