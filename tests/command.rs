//! The command as people run it: output formats, exit status, errors, Ctrl-C.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const CLICKS: &str = r#"{"user_id": 101, "page": "/products/1", "timestamp": "2024-04-25 10:00:01"}
{"user_id": 102, "page": "/products/1", "timestamp": "2024-04-25 10:00:03"}
{"user_id": 103, "page": "/products/2", "timestamp": "2024-04-25 10:00:12"}
{"user_id": 104, "page": "/products/1", "timestamp": "2024-04-25 10:00:04"}
"#;

const TABLE: &str = "CREATE TABLE clicks (user_id BIGINT, page STRING, timestamp TIMESTAMP(3),
  WATERMARK FOR timestamp AS timestamp - INTERVAL '5' SECOND)
  WITH ('connector' = 'filesystem', 'path' = '${FILE}', 'format' = 'json');";

const WINDOWS: &str =
    "SELECT page, COUNT(*) AS click_count FROM clicks GROUP BY TUMBLE(timestamp, INTERVAL '10' SECOND), page;";

fn headwater(file: &Path, sql: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.arg("sql").arg("-D").arg(format!("FILE={}", file.display())).arg("-e").arg(sql).args(arguments);
    command.output().unwrap()
}

fn clicks() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(CLICKS.as_bytes()).unwrap();
    file
}

fn answer(sql: &str, arguments: &[&str]) -> String {
    let file = clicks();
    let output = headwater(file.path(), &format!("{TABLE}{sql}"), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn failure(sql: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let file = clicks();
    let output = headwater(file.path(), sql, arguments);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn json_says_which_window_a_row_belongs_to() {
    let mut lines: Vec<String> = answer(WINDOWS, &["--output", "json"]).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            r#"{"window_end":"2024-04-25 10:00:10","page":"/products/1","click_count":3}"#,
            r#"{"window_end":"2024-04-25 10:00:20","page":"/products/2","click_count":1}"#,
        ]
    );
}

#[test]
fn csv_has_a_header_and_values_as_cast_gives_them() {
    let sql = "SELECT page, MAX(timestamp) AS last, CAST(NULL AS INT) AS nothing FROM clicks GROUP BY page;";
    let mut lines: Vec<String> =
        answer(sql, &["--output", "csv", "--null", "\\N"]).lines().map(str::to_owned).collect();
    assert_eq!(lines.remove(0), "page,last,nothing");
    lines.sort();
    assert_eq!(lines, ["/products/1,2024-04-25 10:00:04.000,\\N", "/products/2,2024-04-25 10:00:12.000,\\N"]);
}

#[test]
fn changelog_prints_every_change() {
    let text = answer("SELECT COUNT(*) AS n FROM clicks;", &["--output", "changelog"]);
    let last = text.lines().last().unwrap();
    assert!(last.ends_with(r#""row":{"n":4}}"#), "{text}");
    assert!(text.starts_with(r#"{"op":"+I","row":{"n":"#), "{text}");
}

#[test]
fn table_draws_final_rows() {
    let text = answer("SELECT page, COUNT(*) AS n FROM clicks WHERE user_id > 102 GROUP BY page;", &[]);
    assert!(text.contains("page        | n\n------------+--\n"), "{text}");
    assert!(text.ends_with("2 rows\n"), "{text}");
}

#[test]
fn an_error_in_the_sql_is_shown_with_its_place_and_a_hint() {
    let (status, told) = failure(&format!("{TABLE}\nSELECT pgae FROM clicks;"), &[]);
    assert_eq!(status, Some(2), "{told}");
    for part in ["sql.unknown_column", "SELECT pgae FROM clicks", "did you mean 'page'?"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_wrong_option_is_named_with_what_was_meant() {
    let (status, told) = failure(&TABLE.replace("'path'", "'paht'"), &[]);
    assert_eq!(status, Some(2), "{told}");
    assert!(told.contains("option.unknown") && told.contains("did you mean 'path'?"), "{told}");
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let (status, told) = failure(&format!("{}{WINDOWS}", TABLE.replace("${FILE}", "/no/such/file.json")), &[]);
    assert!(status.is_some_and(|status| status != 0), "{told}");
    assert!(told.contains("/no/such/file.json"), "{told}");
}

#[test]
fn a_malformed_line_fails_unless_told_to_be_ignored() {
    let mut file = clicks();
    file.write_all(b"not json\n").unwrap();
    let sql = format!("{TABLE}SELECT COUNT(*) AS n FROM clicks;");
    let output = headwater(file.path(), &sql, &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("line 5") && told.contains("json.ignore-parse-errors"), "{told}");
    let lenient = sql.replace("'format' = 'json'", "'format' = 'json', 'json.ignore-parse-errors' = 'true'");
    let output = headwater(file.path(), &lenient, &["--output", "json"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"n\":4}\n");
}

#[test]
fn what_cannot_be_computed_is_told_with_its_row_file_and_expression_in_words_of_sql() {
    let mut file = clicks();
    file.write_all(b"\n{\"user_id\": 0, \"page\": \"x1\"}\n").unwrap();
    for (sql, parts) in [
        ("SELECT user_id FROM clicks WHERE 5 / user_id > 7;", ["division by zero", "5 / user_id", "user_id = 0"]),
        (
            "SELECT 5 / (user_id - 103) AS x FROM clicks WHERE page <> '/products/1';",
            ["zero", "line 3", "user_id = 103"],
        ),
        (
            "SELECT CAST(page AS INT) AS x FROM clicks WHERE user_id = 0;",
            ["CAST(page AS INT)", "page = 'x1'", "line 6"],
        ),
        ("SELECT SUM(5 / user_id) AS x FROM clicks;", ["line 6", "5 / user_id", "zero"]),
    ] {
        let output = headwater(file.path(), &format!("{TABLE}{sql}"), &[]);
        let told = String::from_utf8(output.stderr).unwrap();
        for part in parts {
            assert!(told.contains(part), "{told}");
        }
        for foreign in ["Arrow", "Int32", "Int64", "Utf8", "DataFusion", "@0", "$"] {
            assert!(!told.contains(foreign), "{told}");
        }
    }
}

#[test]
fn an_unknown_variable_is_an_error_before_anything_runs() {
    let (status, told) = failure("SELECT '${NOT_GIVEN}' AS x;", &[]);
    assert_eq!(status, Some(2));
    assert!(told.contains("-D NOT_GIVEN=value"), "{told}");
}

#[test]
fn a_full_disk_is_told() {
    let sql = format!(
        "{TABLE}CREATE TABLE out_table (page STRING) WITH ('connector' = 'filesystem', 'path' = '/dev/full', 'format' = 'csv');
         INSERT INTO out_table SELECT page FROM clicks;"
    );
    let (status, told) = failure(&sql, &[]);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("filesystem."), "{told}");
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn ctrl_c_ends_an_endless_query_cleanly() {
    let sql = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000',
               'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '100000000');
               SELECT n FROM numbers;";
    let mut child = Command::new(env!("CARGO_BIN_EXE_headwater"))
        .args(["sql", "--output", "json", "-e", sql])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"n":1}"#);
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    for line in lines {
        line.unwrap();
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn inserts_of_a_set_run_as_one_pipeline_into_files() {
    let folder = tempfile::tempdir().unwrap();
    let sql = format!(
        "{TABLE}
         CREATE TABLE a (page STRING) WITH ('connector' = 'filesystem', 'path' = '{0}/a', 'format' = 'csv');
         CREATE TABLE b (user_id BIGINT) WITH ('connector' = 'filesystem', 'path' = '{0}/b', 'format' = 'json');
         EXECUTE STATEMENT SET BEGIN
           INSERT INTO a SELECT page FROM clicks WHERE user_id = 103;
           INSERT INTO b SELECT user_id FROM clicks WHERE user_id < 103;
         END;",
        folder.path().display()
    );
    let file = clicks();
    let output = headwater(file.path(), &sql, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| -> String {
        std::fs::read_dir(folder.path().join(name))
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect()
    };
    assert_eq!(read("a"), "/products/2\n");
    assert_eq!(read("b"), "{\"user_id\":101}\n{\"user_id\":102}\n");
}

#[test]
fn help_version_completions_and_the_manual_are_there() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_headwater")).args(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["--version"]).starts_with("headwater 0.1.0"));
    assert!(run(&["sql", "--help"]).contains("--output"));
    assert!(run(&["completions", "bash"]).contains("_headwater"));
    assert!(run(&["man"]).contains(".TH"));
}
