//! Files of Parquet: written and read by tables of Flink's dialect in both modes, read by Spark's, printed to a file.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::path::Path;
use std::process::{Command, Output};

const COLUMNS: &str = "id INT, name STRING, price DECIMAL(10, 2), wall TIMESTAMP(3), at TIMESTAMP_LTZ(6), day DATE";
const ROWS: &str = "(1, 'ü', 1.50, TIMESTAMP '2024-05-20 10:00:00.123', TO_TIMESTAMP_LTZ(1716163200000, 3), DATE '2024-05-20'),
    (2, CAST(NULL AS STRING), CAST(NULL AS DECIMAL(10, 2)), CAST(NULL AS TIMESTAMP(3)), CAST(NULL AS TIMESTAMP_LTZ(6)), DATE '2024-05-21'),
    (3, '', -0.01, TIMESTAMP '1969-12-31 23:59:59', TO_TIMESTAMP_LTZ(-1, 3), DATE '2024-05-20')";

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headwater")).arg("sql").args(args).output().unwrap()
}

fn csv(sql: &str) -> Vec<String> {
    let output = run(&["--output", "csv", "-e", sql]);
    assert!(output.status.success(), "{sql}: {}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    lines.sort();
    lines
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn table(name: &str, folder: &Path, more: &str) -> String {
    let path = folder.display();
    format!(
        "CREATE TABLE {name} ({COLUMNS}) {more} WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'parquet');"
    )
}

const FOUND: [&str; 3] = [
    "1,ü,1.50,2024-05-20 10:00:00.123,2024-05-20 00:00:00.000000,2024-05-20",
    "2,,,,,2024-05-21",
    "3,\"\",-0.01,1969-12-31 23:59:59.000,1969-12-31 23:59:59.999000,2024-05-20",
];

#[test]
fn tables_of_parquet_are_written_and_read() {
    for mode in ["batch", "streaming"] {
        for more in ["", "PARTITIONED BY (day)"] {
            let folder = tempfile::tempdir().unwrap();
            let table = format!("SET 'execution.runtime-mode' = '{mode}'; {}", table("t", folder.path(), more));
            csv(&format!("{table} INSERT INTO t VALUES {ROWS};"));
            assert_eq!(csv(&format!("{table} SELECT * FROM t;")), FOUND, "{mode} {more}");
            csv(&format!("{table} INSERT INTO t SELECT id + 10, name, price, wall, at, day FROM t WHERE id = 1;"));
            let ids = csv(&format!("{table} SELECT id, day FROM t WHERE price > 1;"));
            assert_eq!(ids, ["1,2024-05-20", "11,2024-05-20"], "{mode} {more}");
            let files = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name());
            let visible = files.filter(|name| !name.to_string_lossy().starts_with('.')).count();
            assert_eq!(visible, 2, "{mode} {more}: two files, or two folders");
        }
    }
}

/// Killed anywhere and started again, a run of a name has its rows in the folder once.
#[test]
fn a_run_with_a_name_writes_files_once() {
    let runs: u64 = std::env::var("KILLS").map_or(6, |number| number.parse().unwrap());
    for format in ["parquet", "csv", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let sql = format!(
            "SET 'execution.runtime-mode' = 'batch';
             CREATE TABLE n (a INT, b INT) WITH ('connector' = 'datagen', 'number-of-rows' = '20000', 'fields.b.min' = '0',
               'fields.b.max' = '4', 'fields.a.kind' = 'sequence', 'fields.a.start' = '1', 'fields.a.end' = '20000');
             CREATE TABLE t (a INT, b INT) PARTITIONED BY (b) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = '{format}');",
            folder.path().display()
        );
        for run in 0..runs {
            let insert = format!("{sql} INSERT INTO t SELECT a, b FROM n;");
            let name = format!("nightly-{run}_a");
            let start = || {
                let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
                command
                    .args(["sql", "--run", &name, "-e", &insert])
                    .stderr(std::process::Stdio::piped())
                    .spawn()
                    .unwrap()
            };
            let mut child = start();
            std::thread::sleep(std::time::Duration::from_millis(run * 137 % 160));
            child.kill().unwrap();
            child.wait().unwrap();
            for _ in 0..2 {
                let output = start().wait_with_output().unwrap();
                assert!(output.status.success(), "{format}, run {run}: {}", told(&output));
            }
            let count = csv(&format!("{sql} SELECT COUNT(*), COUNT(DISTINCT a) FROM t;"));
            assert_eq!(count, [format!("{},20000", (run + 1) * 20_000)], "{format}, run {run}");
        }
    }
    let printed = run(&[
        "--run",
        "x",
        "-e",
        "CREATE TABLE p (a INT) WITH ('connector' = 'print'); SET 'execution.runtime-mode' = 'batch'; INSERT INTO p VALUES (1);",
    ]);
    assert!(told(&printed).contains("batch.run"), "{}", told(&printed));
}

#[test]
fn sparks_scripts_read_files() {
    let folder = tempfile::tempdir().unwrap();
    csv(&format!("{} INSERT INTO t VALUES {ROWS};", table("t", folder.path(), "")));
    let path = folder.path().display();
    let view = format!("CREATE TEMPORARY VIEW v USING parquet OPTIONS (path '{path}');");
    let found = csv(&format!("{view} SELECT id, name, price, wall, at, day FROM v;"));
    assert_eq!(found[0], "1,ü,1.50,2024-05-20 10:00:00.123,2024-05-20 00:00:00,2024-05-20");
    let direct = csv(&format!("SET sql.dialect = spark; SELECT id, name, price, wall, at, day FROM parquet.`{path}`;"));
    assert_eq!(direct, found);
    let zone =
        csv(&format!("SET spark.sql.session.timeZone = Asia/Seoul; {view} SELECT wall, at FROM v WHERE id = 1;"));
    assert_eq!(zone, ["2024-05-20 10:00:00.123,2024-05-20 09:00:00"], "a wall time stays, an instant is shown there");
    // Written by the real Spark 4.3, whose times are of the old form (INT96); what it shows of them.
    let theirs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compat/spark/parquet/rows.parquet");
    let theirs = csv(&format!(
        "CREATE TEMPORARY VIEW w USING parquet OPTIONS (path '{theirs}');
        SELECT id, b, s, d, big, t, n, day, a[1], m['k'], st.x, HEX(bin), f, yes FROM w WHERE id = 1;"
    ));
    let shown = "1,1,a,1.50,123.000,2024-01-01 00:00:00.123456,2024-01-01 00:00:00,1500-01-01,2,1,1,01FF,1.5,true";
    assert_eq!(theirs, [shown]);
    for (sql, code) in [
        ("CREATE TEMPORARY VIEW w USING parquet;", "option.missing"),
        ("CREATE TEMPORARY VIEW w USING parquet OPTIONS (path '/nowhere');", "filesystem.read"),
        ("CREATE TEMPORARY VIEW w USING parquet OPTIONS (path '.', mergeSchema 'true');", "option.unsupported"),
        ("CREATE TEMPORARY VIEW w USING orc OPTIONS (path '.');", "sql.unsupported"),
        ("INSERT INTO v VALUES (1);", "sql.no_sink"),
    ] {
        let output = run(&["-e", &format!("SET sql.dialect = spark; {view} {sql}")]);
        assert!(!output.status.success() && told(&output).contains(code), "{sql}: {}", told(&output));
    }
    let parts = tempfile::tempdir().unwrap();
    csv(&format!("{} INSERT INTO t VALUES {ROWS};", table("t", parts.path(), "PARTITIONED BY (day)")));
    let output =
        run(&["-e", &format!("CREATE TEMPORARY VIEW w USING parquet OPTIONS (path '{}');", parts.path().display())]);
    assert!(told(&output).contains("partitions by 'day'"), "{}", told(&output));
}

#[test]
fn a_result_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.parquet");
    let batch = "SET 'execution.runtime-mode' = 'batch';";
    for (mode, rows) in [("", 3), (batch, 3)] {
        let sql = format!("{mode} SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, 'c')) AS t (n, s);");
        let output = run(&["--output", "parquet", "-e", &sql]);
        assert!(output.status.success(), "{}", told(&output));
        std::fs::write(&path, &output.stdout).unwrap();
        let read = csv(&format!(
            "CREATE TEMPORARY VIEW v USING parquet OPTIONS (path '{}'); SELECT * FROM v;",
            path.display()
        ));
        assert_eq!((read.len(), read[0].as_str()), (rows, "1,a"));
    }
    // Of a result that changes its rows the last ones, of none a file without rows.
    let sum = run(&["--output", "parquet", "-e", "SELECT SUM(n) AS s FROM (VALUES (1), (2)) AS t (n);"]);
    std::fs::write(&path, &sum.stdout).unwrap();
    let view = format!("CREATE TEMPORARY VIEW v USING parquet OPTIONS (path '{}');", path.display());
    assert_eq!(csv(&format!("{view} SELECT * FROM v;")), ["3"]);
    let none = run(&["--output", "parquet", "-e", "SELECT n FROM (VALUES (1)) AS t (n) WHERE n > 1;"]);
    std::fs::write(&path, &none.stdout).unwrap();
    assert_eq!(csv(&format!("{view} SELECT COUNT(*) FROM v;")), ["0"]);
    let endless = "CREATE TABLE t (n INT) WITH ('connector' = 'datagen'); SELECT n FROM t;";
    assert!(told(&run(&["--output", "parquet", "-e", endless])).contains("output.unbounded"));
    assert!(told(&run(&["--output", "parquet", "-e", "SELECT 1 AS a; SELECT 2 AS b;"])).contains("output.second"));
}
