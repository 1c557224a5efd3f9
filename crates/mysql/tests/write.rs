//! The sink `jdbc` on real servers: all rows or none, values as they are, and errors that leave the table as it was.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use headwater_change::{ChangeBatch, Epoch, Error, Options, Owner, Result, TableId, TableRequest, Writer};
use headwater_mysql::{jdbc, write};
use headwater_testkit::servers::Flavor;
use support::Db;

fn on_all(test: &str, run: impl Fn(&Db)) {
    for flavor in Flavor::ALL {
        if let Some(db) = Db::start(test, flavor, &[]) {
            run(&db);
        }
    }
}

fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.iter().map(|(_, column)| Arc::clone(column)).collect())
        .unwrap()
}

fn open(db: &Db, table: &str, rows: &RecordBatch, key: &[usize]) -> Result<Box<dyn Writer>> {
    let url = format!("jdbc:mysql://127.0.0.1:{}/shop", db.server.port());
    let given = [("url", url.as_str()), ("table-name", table), ("username", "root"), ("password", "")];
    let sink = write::sink(TableRequest {
        table: TableId::bare("t"),
        schema: rows.schema(),
        primary_key: key.to_vec(),
        partitioned_by: vec![],
        conditions: vec![],
        first: None,
        options: Options::check("jdbc", jdbc::OPTIONS, given)?,
        threads: 1,
    })?;
    sink.open(&Owner::new(false), Epoch(0))
}

fn insert(writer: &mut dyn Writer, rows: &RecordBatch) -> Result<()> {
    writer.write(&ChangeBatch::insert_only(TableId::bare("t"), rows.clone()))
}

fn put(db: &Db, table: &str, rows: &RecordBatch, key: &[usize]) -> Result<()> {
    let mut writer = open(db, table, rows, key)?;
    insert(writer.as_mut(), rows)?;
    let receipt = writer.seal(Epoch(1))?;
    writer.publish(&receipt)?;
    writer.end()
}

fn ints(values: Vec<i32>) -> ArrayRef {
    Arc::new(Int32Array::from(values))
}

fn texts(values: Vec<&str>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

fn count(db: &Db, table: &str) -> String {
    db.texts(&format!("SELECT CAST(COUNT(*) AS CHAR) FROM shop.{table}"))[0].clone().unwrap()
}

#[test]
fn values_arrive_as_they_are() {
    on_all("write_values", |db| {
        // By LOAD, and by statements where the server takes no files.
        for allowed in [1, 0] {
            db.run(&["DROP TABLE IF EXISTS shop.t", &format!("SET GLOBAL local_infile = {allowed}")]);
            db.run(&["CREATE TABLE shop.t (i INT, b BIGINT UNSIGNED, d DECIMAL(20,4), f FLOAT, g DOUBLE, s VARCHAR(100) CHARACTER SET utf8mb4, \
                  x VARBINARY(20), day DATE, at DATETIME(6), ts TIMESTAMP(6) NULL, tm TIME(6), ok BOOLEAN, j JSON)"]);
            let decimal = Decimal128Array::from(vec![Some(-12_345), None]).with_precision_and_scale(10, 3).unwrap();
            let micros = TimestampMicrosecondArray::from(vec![Some(1_716_199_200_123_456), None]);
            let rows = batch(&[
                ("i", Arc::new(Int32Array::from(vec![Some(-7), None]))),
                ("b", Arc::new(Int64Array::from(vec![Some(i64::MAX), None]))),
                ("d", Arc::new(decimal)),
                ("f", Arc::new(Float32Array::from(vec![Some(0.1_f32), None]))),
                ("g", Arc::new(Float64Array::from(vec![Some(1e-300), None]))),
                ("s", Arc::new(StringArray::from(vec![Some("it\'s \\ \n \u{1f600} \""), None]))),
                ("x", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff\'\\"[..]), None]))),
                ("day", Arc::new(Date32Array::from(vec![Some(19_863), None]))),
                ("at", Arc::new(micros.clone())),
                ("ts", Arc::new(micros.with_timezone("UTC"))),
                ("tm", Arc::new(Time64MicrosecondArray::from(vec![Some(3_661_000_001), None]))),
                ("ok", Arc::new(BooleanArray::from(vec![Some(true), None]))),
                ("j", texts(vec!["{\"a\": [1, 2.5]}", "null"])),
            ]);
            put(db, "t", &rows, &[]).unwrap();
            let shown = "CONCAT_WS('|', i, b, d, f, g, s, HEX(x), day, at, ts, tm, ok, JSON_EXTRACT(j, '$.a[1]'))";
            let found = db.texts(&format!("SELECT {shown} FROM shop.t WHERE i = -7"))[0].clone().unwrap();
            assert_eq!(
                found,
                "-7|9223372036854775807|-12.3450|0.1|1e-300|it\'s \\ \n \u{1f600} \"|00FF275C|2024-05-20|2024-05-20 10:00:00.123456|\
             2024-05-20 10:00:00.123456|01:01:01.000001|1|2.5",
            );
            assert_eq!(count(db, "t WHERE i IS NULL AND s IS NULL AND ts IS NULL AND tm IS NULL"), "1");
        }
    });
}

#[test]
fn readers_see_all_rows_or_none() {
    on_all("write_atomic", |db| {
        db.run(&["CREATE TABLE shop.t (id INT PRIMARY KEY, s VARCHAR(200))"]);
        let text = "x".repeat(150);
        let part =
            |from: i32| batch(&[("id", ints((from..from + 10_000).collect())), ("s", texts(vec![&text; 10_000]))]);
        let mut writer = open(db, "t", &part(0), &[]).unwrap();
        for nth in 0..4 {
            insert(writer.as_mut(), &part(nth * 10_000)).unwrap();
            assert_eq!(count(db, "t"), "0");
        }
        let receipt = writer.seal(Epoch(1)).unwrap();
        assert_eq!(count(db, "t"), "0");
        writer.publish(&receipt).unwrap();
        assert_eq!(count(db, "t"), "40000");
        // Given up before it was published.
        let mut writer = open(db, "t", &part(0), &[]).unwrap();
        insert(writer.as_mut(), &part(90_000)).unwrap();
        writer.seal(Epoch(1)).unwrap();
        drop(writer);
        assert_eq!(count(db, "t"), "40000");
    });
}

#[test]
fn rows_replace_those_of_their_key() {
    on_all("write_upsert", |db| {
        db.run(&[
            "CREATE TABLE shop.t (id INT PRIMARY KEY, s VARCHAR(10), kept INT DEFAULT 5, INDEX (s))",
            "INSERT INTO shop.t VALUES (1, 'old', 7), (2, 'old', 8)",
            "CREATE TABLE shop.two (id INT PRIMARY KEY, s VARCHAR(10) UNIQUE)",
            "CREATE TABLE shop.none (id INT, s VARCHAR(10))",
        ]);
        let rows = batch(&[("id", ints(vec![2, 3])), ("s", texts(vec!["new", "new"]))]);
        put(db, "t", &rows, &[0]).unwrap();
        put(db, "t", &rows, &[0]).unwrap();
        let found = db.texts("SELECT CONCAT_WS(',', id, s, kept) FROM shop.t ORDER BY id");
        assert_eq!(found, ["1,old,7", "2,new,8", "3,new,5"].map(|text| Some(text.to_owned())));
        assert_eq!(put(db, "two", &rows, &[0]).expect_err("two keys").code(), "mysql.other_unique_key");
        let none = put(db, "none", &rows, &[0]).expect_err("no key");
        assert_eq!(none.code(), "mysql.key_missing");
        assert!(none.hint_text().unwrap().contains("ALTER TABLE `shop`.`none` ADD PRIMARY KEY (`id`)"));
        put(db, "none", &rows, &[]).unwrap();
        put(db, "none", &rows, &[]).unwrap();
        assert_eq!(count(db, "none"), "4");
    });
}

#[test]
fn what_does_not_fit_leaves_the_table_as_it_was() {
    on_all("write_refused", |db| {
        db.run(&[
            "CREATE TABLE shop.t (id TINYINT PRIMARY KEY, s VARCHAR(3), n INT NOT NULL, d DECIMAL(4,1), at DATETIME(0))",
            "INSERT INTO shop.t (id, n) VALUES (1, 1)",
        ]);
        let fails =
            |columns: &[(&str, ArrayRef)]| -> Error { put(db, "t", &batch(columns), &[]).expect_err("an error") };
        let one = || ("id", ints(vec![2]));
        let n = || ("n", ints(vec![1]));
        let duplicate = fails(&[("id", ints(vec![5, 1])), ("n", ints(vec![1, 1]))]);
        assert_eq!(
            (duplicate.code(), duplicate.hint_text().unwrap().contains("PRIMARY KEY")),
            ("mysql.row_refused", true)
        );
        assert_eq!(fails(&[("id", ints(vec![300])), n()]).code(), "mysql.row_refused");
        assert_eq!(fails(&[one(), n(), ("s", texts(vec!["abcd"]))]).code(), "mysql.row_refused");
        // The server cuts blanks with a mere note.
        assert_eq!(fails(&[one(), n(), ("s", texts(vec!["abc "]))]).code(), "mysql.row_refused");
        assert_eq!(fails(&[one(), ("n", Arc::new(Int32Array::from(vec![None])))]).code(), "mysql.row_refused");
        assert_eq!(fails(&[one()]).code(), "mysql.row_refused", "no default");
        let fine = Decimal128Array::from(vec![125]).with_precision_and_scale(4, 2).unwrap();
        assert_eq!(fails(&[one(), n(), ("d", Arc::new(fine))]).code(), "mysql.type");
        let micros = TimestampMicrosecondArray::from(vec![1]);
        assert_eq!(fails(&[one(), n(), ("at", Arc::new(micros))]).code(), "mysql.value", "digits of a second");
        assert_eq!(fails(&[one(), n(), ("s", ints(vec![1]))]).code(), "mysql.type");
        assert_eq!(fails(&[one(), n(), ("nope", ints(vec![1]))]).code(), "mysql.column_missing");
        assert_eq!(put(db, "missing", &batch(&[one()]), &[]).expect_err("no table").code(), "mysql.table_missing");
        assert_eq!(count(db, "t"), "1");
    });
}
