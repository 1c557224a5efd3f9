//! Law 2 on the real thing: a pipeline from a real server's binlog through a window aggregate into files, killed at
//! random instants again and again, ends with exactly the right files.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headwater_testkit::servers::{Flavor, Server};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const KILLS: usize = 100;

const SQL: &str = "
CREATE TABLE readings (id BIGINT, sensor STRING, amount BIGINT, at TIMESTAMP(3), PRIMARY KEY (id) NOT ENFORCED,
  WATERMARK FOR at AS at)
WITH ('connector' = 'mysql-cdc', 'hostname' = '127.0.0.1', 'port' = '${PORT}', 'username' = 'root', 'password' = '',
  'database-name' = 'law', 'table-name' = 'readings');
CREATE TABLE sums (window_end TIMESTAMP(3), sensor STRING, n BIGINT, total BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${OUT}', 'format' = 'csv');
SET 'execution.checkpointing.interval' = '20 ms';
INSERT INTO sums SELECT window_end, sensor, COUNT(*), SUM(amount)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(at), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, sensor;";

fn client(port: u16) -> Child {
    let mut command = Command::new("mariadb");
    command.args(["--host=127.0.0.1", "--user=root", "--batch", "--skip-column-names", &format!("--port={port}")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the mariadb client")
}

fn query(port: u16, sql: &str) -> String {
    let mut child = client(port);
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{sql} failed");
    String::from_utf8(output.stdout).unwrap()
}

fn start(port: u16, folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.arg("sql").arg("-e").arg(SQL).arg("--state").arg(folder.join("state"));
    command.arg("-D").arg(format!("PORT={port}")).arg("-D").arg(format!("OUT={}", folder.join("out").display()));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("headwater")
}

/// What the published files say: one line each of window, sensor, count and sum.
fn published(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder.join("out")).into_iter().flatten().map(Result::unwrap) {
        if !entry.file_name().to_string_lossy().starts_with('.') {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            lines.extend(text.lines().map(|line| line.replace('"', "")));
        }
    }
    lines.sort();
    lines
}

/// What MySQL computes over the same rows, without the window that only the last row is in.
fn truth(port: u16) -> Vec<String> {
    let sql = "SELECT FROM_UNIXTIME(FLOOR(UNIX_TIMESTAMP(at) / 10) * 10 + 10, '%Y-%m-%d %H:%i:%s') AS w, sensor, COUNT(*), \
               SUM(amount) FROM law.readings WHERE sensor <> 'end' GROUP BY w, sensor;";
    let mut lines: Vec<String> =
        query(port, &format!("SET time_zone = '+00:00'; {sql}")).lines().map(|line| line.replace('\t', ",")).collect();
    lines.sort();
    lines
}

fn killed_again_and_again(flavor: Flavor) {
    let test = format!("killed_again_and_again ({flavor:?})");
    let Some(server) = Server::for_test(&test, flavor).expect("a server, or a reason why not") else { return };
    let port = server.port();
    query(
        port,
        "CREATE DATABASE law; CREATE TABLE law.readings (id BIGINT PRIMARY KEY AUTO_INCREMENT, sensor VARCHAR(10), \
         amount BIGINT, at DATETIME(3));",
    );
    let folder = tempfile::tempdir().unwrap();
    let mut dice = SmallRng::seed_from_u64(7);
    let mut writer = client(port);
    let mut statements = writer.stdin.take().unwrap();
    let (mut second, mut errors) = (0, BTreeMap::<String, usize>::new());
    for _ in 0..KILLS {
        // Rows in transactions of one to five, with the time of the rows always going on: nothing is late.
        for _ in 0..dice.random_range(1..30) {
            statements.write_all(b"BEGIN;").unwrap();
            for _ in 0..dice.random_range(1..=5) {
                let row = format!(
                    "INSERT INTO law.readings (sensor, amount, at) VALUES ('s{}', {}, '2024-04-25' + INTERVAL {second} SECOND);",
                    dice.random_range(0..20),
                    dice.random_range(-100..100)
                );
                statements.write_all(row.as_bytes()).unwrap();
            }
            statements.write_all(b"COMMIT;\n").unwrap();
            second += dice.random_range(0..3);
        }
        statements.flush().unwrap();
        let mut child = start(port, folder.path());
        std::thread::sleep(Duration::from_millis(dice.random_range(0..400)));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        // Warnings about the server's settings are no failures.
        if told.lines().any(|line| !line.starts_with("warning: ")) {
            *errors.entry(told).or_default() += 1;
        }
    }
    assert!(errors.is_empty(), "a run failed before it was killed: {errors:?}");
    statements.write_all(b"INSERT INTO law.readings (sensor, amount, at) VALUES ('end', 0, '2030-01-01');\n").unwrap();
    drop(statements);
    assert!(writer.wait().unwrap().success());

    let expected = truth(port);
    let child = start(port, folder.path());
    let deadline = Instant::now() + Duration::from_secs(60);
    while published(folder.path()).len() < expected.len() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(published(folder.path()), expected);
}

#[test]
fn killed_again_and_again_over_mysql() {
    killed_again_and_again(Flavor::MySql);
}

#[test]
fn killed_again_and_again_over_mariadb() {
    killed_again_and_again(Flavor::MariaDb);
}
