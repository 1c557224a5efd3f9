//! `headwater jobs` as people run it: answers, exit status, errors with a hint. On both servers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use headwater_mysql::driver::prelude::Queryable;
use headwater_testkit::servers::{Flavor, Server};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The command against one database.
struct Jobs(String);

impl Jobs {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
        command.arg("jobs").args(arguments).env("HEADWATER_MYSQL_URL", &self.0);
        command
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that ends before it reads closes the pipe.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        process.wait_with_output().unwrap()
    }

    /// What a command prints that must succeed.
    fn says(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command prints to standard error that must end with this status.
    fn fails(&self, arguments: &[&str], input: &str, status: i32) -> String {
        let output = self.run(arguments, input);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        text
    }
}

/// The first column of what a statement gives.
fn run_sql(url: &str, sql: &str) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let access = headwater_mysql::Access::from_url(url).unwrap();
        let mut conn = headwater_mysql::client::connect(&access, &[]).await.unwrap();
        let rows = conn.query(sql).await.unwrap();
        conn.disconnect().await.unwrap();
        rows
    })
}

fn on(flavor: Flavor, test: &str) {
    let Some(server) = Server::for_test(test, flavor).unwrap() else { return };
    let url = |database: &str| format!("mysql://root@127.0.0.1:{}{database}?ssl-mode=disabled", server.port());
    run_sql(&url(""), "CREATE DATABASE shop");
    let jobs = Jobs(url("/shop"));
    let text = jobs.fails(&["ls"], "", 2);
    assert!(text.contains("jobs.tables_missing") && text.contains("headwater jobs init"), "{text}");
    let made = jobs.says(&["init", "--account", "worker@localhost"], "");
    assert!(made.contains("GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.jobs TO 'worker'@'localhost';"), "{made}");
    jobs.says(&["init"], "");

    let lines = r#"{"job_type": "MAIL", "payload": {"n": 1}}
{"job_type": "MAIL", "payload": {"n": 2}, "delay": 3600, "priority": -1}
{"job_type": "COUPON", "payload": {"n": 3}, "queue": "slow"}
"#;
    assert_eq!(jobs.says(&["enqueue"], lines), "3 enqueued\n");
    let text = jobs.fails(&["enqueue", "-"], "{\"job_type\": \"MAIL\"}\n", 2);
    assert!(text.contains("jobs.line") && text.contains("standard input, line 1"), "{text}");

    let table = jobs.says(&["ls"], "");
    assert!(table.contains("PENDING later") && table.contains("3 rows"), "{table}");
    let ids = |arguments: &[&str]| -> Vec<u64> {
        let text = jobs.says(&[&["ls", "--output", "json"], arguments].concat(), "");
        text.lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(ids(&[]), [3, 2, 1]);
    assert_eq!(ids(&["--status", "pending", "--type", "MAIL"]), [1, 2]);
    assert_eq!(ids(&["--queue", "slow"]), [3]);
    assert!(jobs.fails(&["ls", "--status", "completed"], "", 2).contains("finished jobs are not listed"));

    let shown: serde_json::Value = serde_json::from_str(&jobs.says(&["show", "2", "--output", "json"], "")).unwrap();
    assert_eq!((shown["payload"]["n"].as_u64(), shown["job"]["later"].as_bool()), (Some(2), Some(true)));
    assert!(jobs.fails(&["show", "77"], "", 2).contains("jobs.unknown_id"));

    assert!(jobs.says(&["retry", "1", "2"], "").contains("2  | brought forward"));
    assert_eq!(jobs.says(&["retry", "--all-dead"], ""), "0 revived\n");
    jobs.fails(&["retry"], "", 2);
    assert!(jobs.says(&["cancel", "1"], "").contains("cancelled"));
    assert!(jobs.fails(&["cancel", "1"], "", 1).contains("jobs.not_changed"));
    assert!(jobs.fails(&["cancel", "2", "99"], "", 2).contains("there is no job 99"));
    assert!(jobs.says(&["show", "1"], "").contains("CANCELLED"));

    assert_eq!(jobs.says(&["pause", "slow"], ""), "slow paused\n");
    assert_eq!(jobs.says(&["pause", "slow"], ""), "slow was paused before\n");
    let stats = jobs.says(&["stats"], "");
    let slow = stats.lines().find(|line| line.starts_with("slow")).unwrap();
    assert!(slow.ends_with("paused"), "{stats}");
    assert_eq!(jobs.says(&["resume", "slow"], ""), "slow resumed\n");
    let warned = jobs.run(&["stats", "--output", "json"], "");
    assert!(String::from_utf8_lossy(&warned.stderr).contains("no worker is alive"));
    a_worker_runs_what_was_enqueued_with_its_file(&jobs, &url("/shop"));
}

/// The file has the key of payloads; `--url` stands instead of its address.
fn a_worker_runs_what_was_enqueued_with_its_file(jobs: &Jobs, url: &str) {
    run_sql(url, "CREATE TABLE notes (note TEXT)");
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("jobs.toml"), folder.path().join("key"));
    std::fs::write(&key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
    let text = format!(
        "url = 'mysql://nobody@127.0.0.1:1/nowhere'\n[encryption]\nkeys = {{ k = 'file:{}' }}\n\
         [types.NOTE]\nsql = 'INSERT INTO notes VALUES (:text)'\n",
        key.display()
    );
    std::fs::write(&file, text).unwrap();
    let from_file = ["--config", file.to_str().unwrap(), "--url", url];
    jobs.says(
        &[&["enqueue"], from_file.as_slice()].concat(),
        r#"{"job_type": "NOTE", "payload": {"text": "confidential"}}"#,
    );
    assert!(!jobs.says(&["show", "4"], "").contains("confidential"));

    let mut worker = jobs.command(&[&["work"], from_file.as_slice()].concat()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while !jobs.says(&["ls", "--type", "NOTE", "--output", "json"], "").is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    kill(Pid::from_raw(worker.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(worker.wait().unwrap().success());
    assert_eq!(run_sql(url, "SELECT note FROM notes"), ["confidential"]);
}

#[test]
fn the_queue_is_made_read_and_steered_on_mysql() {
    on(Flavor::MySql, "headwater jobs on MySQL");
}

#[test]
fn the_queue_is_made_read_and_steered_on_mariadb() {
    on(Flavor::MariaDb, "headwater jobs on MariaDB");
}

#[test]
fn without_a_server_the_tables_can_be_printed_and_nothing_else() {
    let nowhere = Jobs(String::new());
    let printed = nowhere.says(&["init", "--print"], "");
    assert!(printed.contains("CREATE TABLE IF NOT EXISTS jobs (") && printed.contains("ON `your_database`.jobs TO"));
    let text = nowhere.fails(&["ls"], "", 2);
    assert!(text.contains("jobs.no_url") && text.contains("HEADWATER_MYSQL_URL"), "{text}");
    let elsewhere = Jobs("mysql://root@127.0.0.1:1/shop".to_owned());
    assert!(elsewhere.says(&["init", "--print"], "").contains("ON `shop`.jobs TO"));
    assert!(elsewhere.fails(&["ls"], "", 1).contains("mysql.connect"));
    assert!(elsewhere.fails(&["ls", "--url", "postgres://x/y"], "", 2).contains("mysql.url"));
}
