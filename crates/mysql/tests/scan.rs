//! The source `jdbc` on real servers: every row once, by ranges, at one moment, and errors that say what to do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int32Type, Int64Type, Schema};
use headwater_change::{Comparison, Condition, Error, Options, Read, Result, Source, TableId, TableRequest};
use headwater_mysql::{jdbc, scan};
use headwater_testkit::servers::Flavor;
use support::Db;

fn on_all(test: &str, arguments: &[&str], run: impl Fn(&Db)) {
    for flavor in Flavor::ALL {
        // MariaDB has its GTIDs without being asked.
        let arguments: &[&str] = if flavor.is_mysql() { arguments } else { &[] };
        if let Some(db) = Db::start(test, flavor, arguments) {
            run(&db);
        }
    }
}

fn table(db: &Db, name: &str, fields: Vec<Field>, extra: &[(&str, &str)]) -> Result<Box<dyn Source>> {
    table_where(db, name, fields, extra, vec![])
}

fn table_where(
    db: &Db,
    name: &str,
    fields: Vec<Field>,
    extra: &[(&str, &str)],
    conditions: Vec<Condition>,
) -> Result<Box<dyn Source>> {
    let url = format!("jdbc:mysql://127.0.0.1:{}/shop?sslMode=PREFERRED", db.server.port());
    let mut given = vec![("url", url.as_str()), ("table-name", name), ("username", "root"), ("password", "")];
    for (key, value) in extra {
        given.retain(|(known, _)| known != key);
        given.push((key, value));
    }
    scan::source(TableRequest {
        table: TableId::bare("t"),
        schema: Arc::new(Schema::new(fields)),
        primary_key: vec![],
        partitioned_by: vec![],
        conditions,
        first: None,
        options: Options::check("jdbc", jdbc::OPTIONS, given)?,
        threads: 4,
    })
}

fn read(source: &dyn Source) -> Result<Vec<RecordBatch>> {
    let mut reader = source.open(&[])?;
    let mut batches = Vec::new();
    let mut ended = false;
    loop {
        match reader.next(1 << 20, Duration::from_millis(100))? {
            Read::Rows(batch) => {
                assert!(!ended, "rows behind the end of the transaction");
                ended = batch.runs().last().is_some_and(|run| run.ends_transaction);
                batches.push(batch.rows().clone());
            }
            Read::Idle(_) => {}
            Read::End => return Ok(batches),
            other => panic!("{other:?}"),
        }
    }
}

fn longs(batches: &[RecordBatch], column: usize) -> Vec<Option<i64>> {
    batches.iter().flat_map(|rows| rows.column(column).as_primitive::<Int64Type>().iter().collect::<Vec<_>>()).collect()
}

fn failure(source: Result<Box<dyn Source>>) -> Error {
    source.and_then(|source| read(source.as_ref())).expect_err("an error")
}

/// A thousand rows with a hole in their keys, made into a million by doubling.
fn fill(db: &Db, doublings: usize) {
    let digits = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL \
                  SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    db.run(&[
        "CREATE TABLE shop.orders (id BIGINT PRIMARY KEY, product INT NOT NULL, price DECIMAL(10,2), note VARCHAR(20))",
        &format!(
            "INSERT INTO shop.orders SELECT a.n * 100 + b.n * 10 + c.n + 1, b.n, c.n + 0.25, CONCAT('n', a.n) \
             FROM {digits} a, {digits} b, {digits} c"
        ),
    ]);
    let mut offset = 1_000_000_i64;
    for _ in 0..doublings {
        db.run(&[&format!("INSERT INTO shop.orders SELECT id + {offset}, product, price, note FROM shop.orders")]);
        offset *= 2;
    }
}

fn order_fields() -> Vec<Field> {
    vec![
        Field::new("id", DataType::Int64, false),
        Field::new("product", DataType::Int32, false),
        Field::new("price", DataType::Decimal128(10, 2), true),
    ]
}

#[test]
fn every_row_comes_once_whatever_the_ranges() {
    on_all("scan_ranges", &[], |db| {
        fill(db, 5);
        let expected: i64 =
            db.texts("SELECT CAST(SUM(id) AS CHAR) FROM shop.orders")[0].clone().unwrap().parse().unwrap();
        let bounds = |num: &'static str, lower: &'static str, upper: &'static str| {
            vec![
                ("scan.partition.column", "id"),
                ("scan.partition.num", num),
                ("scan.partition.lower-bound", lower),
                ("scan.partition.upper-bound", upper),
            ]
        };
        let ways = [
            vec![],
            vec![("scan.connections", "1")],
            vec![("scan.connections", "7")],
            vec![("scan.consistency", "none")],
            bounds("8", "1", "32000000"),
            // Bounds filter nothing.
            bounds("4", "500", "600"),
            bounds("3", "-9", "40000000"),
        ];
        for way in ways {
            let batches = read(table(db, "orders", order_fields(), &way).unwrap().as_ref()).unwrap();
            let mut ids = longs(&batches, 0);
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), 32_000, "{way:?}");
            assert_eq!(ids.iter().flatten().sum::<i64>(), expected, "{way:?}");
            let cents: i128 =
                batches.iter().flat_map(|rows| rows.column(2).as_primitive::<Decimal128Type>().iter()).flatten().sum();
            assert_eq!(cents, 32_000 * 475, "{way:?}");
        }
    });
}

#[test]
fn null_and_signs_in_the_partition_column_are_kept() {
    on_all("scan_nulls", &[], |db| {
        db.run(&[
            "CREATE TABLE shop.t (k INT, d DATE, INDEX (k))",
            "INSERT INTO shop.t VALUES (NULL, NULL), (-5, '2024-05-01'), (3, '2024-05-20'), (100, '2024-06-01')",
        ]);
        for (column, lower, upper) in [("k", "0", "10"), ("d", "2024-05-10", "2024-05-30")] {
            let way = [
                ("scan.partition.column", column),
                ("scan.partition.num", "4"),
                ("scan.partition.lower-bound", lower),
                ("scan.partition.upper-bound", upper),
            ];
            let batches =
                read(table(db, "t", vec![Field::new("k", DataType::Int32, true)], &way).unwrap().as_ref()).unwrap();
            let mut keys: Vec<Option<i32>> = batches
                .iter()
                .flat_map(|rows| rows.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>())
                .collect();
            keys.sort_unstable();
            assert_eq!(keys, [None, Some(-5), Some(3), Some(100)], "{column}");
        }
        // A table without a key has one range; an empty one no row.
        let all = read(table(db, "t", vec![Field::new("k", DataType::Int32, true)], &[]).unwrap().as_ref()).unwrap();
        assert_eq!(all.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
        db.run(&["CREATE TABLE shop.none (id INT PRIMARY KEY)"]);
        let none =
            read(table(db, "none", vec![Field::new("id", DataType::Int32, true)], &[]).unwrap().as_ref()).unwrap();
        assert_eq!(none.len(), 0);
    });
}

/// Money moves between accounts all the time; every read sees the whole of it.
/// Reads under writers; `READS=100` makes it as many.
fn reads() -> u32 {
    std::env::var("READS").map_or(20, |number| number.parse().expect("a number"))
}

fn bank(test: &str, arguments: &[&str]) {
    on_all(test, arguments, |db| {
        fill(db, 4);
        db.run(&["UPDATE shop.orders SET price = 10.00"]);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let stop = &stop;
                scope.spawn(move || {
                    let mut conn = db.conn();
                    let mut n: i64 = writer;
                    while !stop.load(Ordering::Relaxed) {
                        n = (n * 48_271 + 11) % 16_000_000;
                        let (from, to) = (n % 1_000 + 1, (n / 7) % 1_000 + 8_000_001);
                        let sql = format!(
                            "BEGIN; UPDATE shop.orders SET price = price - 1 WHERE id = {from}; \
                             UPDATE shop.orders SET price = price + 1 WHERE id = {to}; COMMIT"
                        );
                        db.wait(mysql_async::prelude::Queryable::query_drop(&mut conn, sql)).unwrap();
                    }
                });
            }
            for _ in 0..reads() {
                let source = table(db, "orders", order_fields(), &[("scan.connections", "4")]).unwrap();
                let batches = read(source.as_ref());
                if batches.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                let batches = batches.unwrap();
                let cents: i128 = batches
                    .iter()
                    .flat_map(|rows| rows.column(2).as_primitive::<Decimal128Type>().iter())
                    .flatten()
                    .sum();
                if cents != 16_000 * 1_000 {
                    stop.store(true, Ordering::Relaxed);
                }
                assert_eq!(cents, 16_000 * 1_000, "{:?}", db.flavor);
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn all_connections_see_one_moment() {
    bank("scan_moment", &[]);
}

#[test]
fn without_gtids_a_short_lock_makes_the_moment() {
    bank("scan_lock", &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
}

const SLEEP: &str = "DO SLEEP(600)";

/// A server with sleepers, who are woken when nobody needs them any more.
struct Busy<'a>(&'a Db);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let sleeping = format!("SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST WHERE INFO = '{SLEEP}'");
        for id in self.0.texts(&sleeping).into_iter().flatten() {
            self.0.run(&[&format!("KILL QUERY {id}")]);
        }
    }
}

#[test]
fn a_busy_server_is_left_alone() {
    on_all("scan_brake", &[], |db| {
        fill(db, 2);
        let brake = [("scan.brake.threads-running", "3"), ("scan.connections", "2")];
        let source = table(db, "orders", order_fields(), &brake).unwrap();
        std::thread::scope(|scope| {
            let busy = Busy(db);
            for _ in 0..6 {
                scope.spawn(|| {
                    let mut conn = db.conn();
                    // It ends by KILL, which is an error on one product and none on the other.
                    let _ = db.wait(mysql_async::prelude::Queryable::query_drop(&mut conn, SLEEP));
                });
            }
            let running = || -> u64 { db.pair("SHOW GLOBAL STATUS LIKE 'Threads_running'").1.parse().unwrap() };
            assert!(support::within(Duration::from_secs(20), || running() > 6), "the others are at work");
            let mut reader = source.open(&[]).unwrap();
            for _ in 0..10 {
                let read = reader.next(1 << 20, Duration::from_millis(100)).unwrap();
                assert!(matches!(read, Read::Idle(_)), "{read:?}");
            }
            let why = reader.held().expect("it is held");
            assert!(why.contains("threads are running"), "{why}");
            drop(busy);
            let mut rows = 0;
            loop {
                match reader.next(1 << 20, Duration::from_millis(100)).unwrap() {
                    Read::Rows(batch) => rows += batch.len(),
                    Read::End => break,
                    _ => {}
                }
            }
            assert_eq!((rows, reader.held()), (4_000, None));
            let asked = reader.asked();
            assert_eq!(asked.iter().map(|asked| asked.rows).sum::<u64>(), 4_000);
        });
        // No replica has no lag; half of the time is rested.
        let gentle =
            [("scan.brake.replica-lag", "1 s"), ("scan.brake.share", "50"), ("scan.statement-timeout", "1 min")];
        assert_eq!(
            longs(&read(table(db, "orders", order_fields(), &gentle).unwrap().as_ref()).unwrap(), 0).len(),
            4_000
        );
        for (option, value) in
            [("scan.brake.share", "0"), ("scan.brake.share", "101"), ("scan.brake.threads-running", "0")]
        {
            assert_eq!(failure(table(db, "orders", order_fields(), &[(option, value)])).code(), "option.value");
        }
    });
}

#[test]
fn a_range_that_takes_too_long_ends_the_scan() {
    on_all("scan_timeout", &[], |db| {
        fill(db, 0);
        db.run(&["CREATE VIEW shop.slow AS SELECT id FROM shop.orders WHERE SLEEP(0.05) = 0"]);
        let fields = vec![Field::new("id", DataType::Int64, false)];
        let error =
            failure(table(db, "slow", fields, &[("scan.statement-timeout", "500 ms"), ("scan.connections", "1")]));
        assert_eq!(error.code(), "mysql.statement_timeout", "{error:?}");
        assert!(error.hint_text().unwrap().contains("scan.partition.num"));
    });
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    on_all("scan_mistakes", &[], |db| {
        db.run(&[
            "CREATE TABLE shop.t (id INT PRIMARY KEY, s VARCHAR(10), day DATETIME)",
            "SET sql_mode=''; INSERT INTO shop.t VALUES (1, 'a', '0000-00-00')",
            "CREATE USER reader@'%' IDENTIFIED BY 'pw'; GRANT SELECT (id) ON shop.t TO reader@'%'",
        ]);
        let id = || vec![Field::new("id", DataType::Int32, true)];
        let part = |column: &'static str, lower: &'static str| {
            [
                ("scan.partition.column", column),
                ("scan.partition.num", "2"),
                ("scan.partition.lower-bound", lower),
                ("scan.partition.upper-bound", "9"),
            ]
        };
        assert_eq!(failure(table(db, "nothing", id(), &[])).code(), "mysql.table_missing");
        assert_eq!(
            failure(table(db, "t", vec![Field::new("x", DataType::Int32, true)], &[])).code(),
            "mysql.column_missing"
        );
        assert!(failure(table(db, "t", id(), &part("s", "1"))).message().contains("CHAR or TEXT"));
        assert!(failure(table(db, "t", id(), &part("id", "1.5"))).message().contains("whole number"));
        assert!(failure(table(db, "t", id(), &part("nope", "1"))).detail_text().unwrap().contains("id, s, day"));
        let day = vec![Field::new("day", DataType::Timestamp(arrow::datatypes::TimeUnit::Second, None), true)];
        let rows = read(table(db, "t", day.clone(), &[]).unwrap().as_ref()).unwrap();
        assert!(rows[0].column(0).is_null(0), "a zero date is NULL");
        let zero = failure(table(db, "t", day, &[("scan.zero-date", "error")]));
        assert_eq!(zero.code(), "mysql.value", "{zero:?}");
        let may_not = failure(table(
            db,
            "t",
            vec![Field::new("id", DataType::Int32, true), Field::new("s", DataType::Utf8, true)],
            &[("username", "reader"), ("password", "pw")],
        ));
        assert!(matches!(may_not.code(), "mysql.privilege" | "mysql.column_missing"), "{may_not:?}");
        let nobody = failure(table(db, "t", id(), &[("username", "nobody"), ("password", "x")]));
        // With a method of authentication that needs TLS, or that the driver lacks, the server does not come to refuse.
        assert!(matches!(nobody.code(), "mysql.access_denied" | "mysql.connect"), "{nobody:?}");
    });
}

#[test]
fn conditions_take_away_what_nobody_wants_and_nothing_else() {
    on_all("scan_conditions", &[], |db| {
        fill(db, 3);
        let condition =
            |column: &str, comparison, value: ArrayRef| Condition { column: column.to_owned(), comparison, value };
        let id = |comparison, id| condition("id", comparison, Arc::new(Int64Array::from(vec![id])));
        let cents = |value| Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(10, 2).unwrap());
        let cases = [
            (vec![id(Comparison::Less, 500)], "id < 500"),
            (
                vec![id(Comparison::GreaterOrEqual, 1_000_001), id(Comparison::LessOrEqual, 2_000_100)],
                "id BETWEEN 1000001 AND 2000100",
            ),
            (vec![condition("price", Comparison::Equal, cents(325))], "price = 3.25"),
            (
                vec![condition("price", Comparison::Greater, cents(900)), id(Comparison::Greater, 7_000_000)],
                "price > 9 AND id > 7000000",
            ),
        ];
        for (conditions, sql) in cases {
            let expected = db.texts(&format!("SELECT CAST(COUNT(*) AS CHAR) FROM shop.orders WHERE {sql}"))[0].clone();
            let source = table_where(db, "orders", order_fields(), &[], conditions).unwrap();
            let rows: usize = read(source.as_ref()).unwrap().iter().map(RecordBatch::num_rows).sum();
            assert_eq!(Some(rows.to_string()), expected, "{sql}");
        }
    });
}

/// Tables with twenty thousand rows each, by the key that ranges are to be found for: its definition, and its values out
/// of `i`, which counts from 0.
const KEYS: [(&str, &str, &str); 9] = [
    ("uuids", "k CHAR(36) CHARACTER SET ascii, v INT, PRIMARY KEY (k)", "LEFT(SHA2(i, 256), 36), i"),
    ("bytes", "k BINARY(16), v INT, PRIMARY KEY (k)", "UNHEX(LEFT(SHA2(i, 256), 32)), i"),
    (
        "names",
        "k VARCHAR(60) CHARACTER SET utf8mb4, v INT, PRIMARY KEY (k)",
        "CONCAT('Kunde-', LPAD(i, 6, '0'), 'é'), i",
    ),
    (
        "skewed",
        "k VARCHAR(60) CHARACTER SET latin1 NOT NULL, v INT, UNIQUE KEY u (k), KEY (v)",
        "CONCAT(IF(i % 10, 'zz/', 'a'), i), i",
    ),
    ("decimals", "k DECIMAL(20,4), v INT, PRIMARY KEY (k)", "POW(i, 3) / 8 - 5, i"),
    ("times", "k DATETIME(6), v INT, PRIMARY KEY (k)", "'2024-01-01' + INTERVAL i * 13 MICROSECOND, i"),
    (
        "days",
        "d DATE, n INT UNSIGNED, v INT, PRIMARY KEY (d, n)",
        "'2024-05-01' + INTERVAL IF(i < 15000, 0, i % 3) DAY, i, i",
    ),
    ("tenants", "t VARCHAR(20), n BIGINT, v INT, PRIMARY KEY (t, n)", "ELT(1 + (i > 18000), 'big', 'small'), i, i"),
    ("enums", "e ENUM('a','b'), n INT, v INT, PRIMARY KEY (e, n)", "ELT(1 + i % 2, 'a', 'b'), i, i"),
];

#[test]
fn ranges_are_found_for_any_key() {
    let digits = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL \
                  SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let numbers = format!(
        "(SELECT a.n * 10000 + b.n * 1000 + c.n * 100 + d.n * 10 + e.n AS i FROM {digits} a, {digits} b, {digits} c, \
         {digits} d, {digits} e WHERE a.n < 2) n"
    );
    on_all("scan_keys", &[], |db| {
        for (name, definition, values) in KEYS {
            db.run(&[
                &format!("CREATE TABLE shop.{name} ({definition}) ENGINE=InnoDB"),
                &format!("INSERT INTO shop.{name} SELECT {values} FROM {numbers}"),
                &format!("ANALYZE TABLE shop.{name}"),
            ]);
            let fields = vec![Field::new("v", DataType::Int32, true)];
            let source = table(db, name, fields, &[("scan.connections", "2")]).unwrap();
            let statements = source.statements().unwrap();
            let counts: Vec<usize> = statements.iter().map(|sql| db.texts(sql).len()).collect();
            assert_eq!(counts.iter().sum::<usize>(), 20_000, "{name} {:?}: {statements:#?}", db.flavor);
            let most = counts.iter().max().copied().unwrap();
            if name == "enums" {
                assert_eq!(counts.len(), 1);
            } else {
                assert!(counts.len() >= 4 && most < 7_000, "{name} {:?}: {counts:?} {statements:#?}", db.flavor);
            }
            let batches = read(source.as_ref()).unwrap();
            let mut found: Vec<i32> =
                batches.iter().flat_map(|rows| rows.column(0).as_primitive::<Int32Type>().values().to_vec()).collect();
            found.sort_unstable();
            assert!(found.into_iter().eq(0..20_000), "{name} {:?}", db.flavor);
        }
    });
}
