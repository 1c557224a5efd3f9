//! Scripts at the times of a pattern, as a user has them: two processes that run them, one of them killed, days filled
//! afterwards, a run that is cancelled, schedules made by SQL.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use headwater_testkit::servers::{Flavor, Server};
use serde_json::Value;

const SCHEDULES: &str = r#"
executors = 3
timeout = "10 min"

[schedules.ticks]
cron = "* * * * * *"
time-zone = "Asia/Seoul"
file = "ticks.sql"
variables = { shop = "kr" }

# It fires once a year, and is filled below.
[schedules.daily]
cron = "10 0 * * *"
time-zone = "Asia/Seoul"
sql = """
INSERT OVERWRITE results.daily PARTITION (day = '${date}')
SELECT product_id, COUNT(*), '${run}' FROM results.orders
WHERE created_at >= '${date} 00:00:00' AND created_at < '${end_date} 00:00:00' GROUP BY product_id;
"""

[schedules.endless]
cron = "0 0 1 1 *"
once = false
sql = """
SET 'execution.runtime-mode' = 'batch';
CREATE TABLE n (a BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '100000000000');
SELECT SUM(a) FROM n;
"""

[schedules.wrong]
cron = "0 0 1 1 *"
sql = "SELECT nothing FROM nowhere"
"#;

const TICKS: &str = "INSERT INTO results.ticks SELECT '${start}', '${end}', '${shop}', '${run}';";

struct Case {
    server: Server,
    folder: tempfile::TempDir,
}

impl Case {
    fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.server.port())
    }

    fn headwater(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
        command.args(args).env("HEADWATER_MYSQL_URL", self.url("schedules")).current_dir(self.folder.path());
        command
    }

    fn run(&self, args: &[&str]) -> String {
        let output = self.headwater(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let mut command = Command::new("mariadb");
        let port = format!("--port={}", self.server.port());
        command.args(["--host=127.0.0.1", "--user=root", "--batch", "--skip-column-names", &port]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the mariadb client");
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{sql} failed");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn worker(&self) -> Worker {
        let mut command = self.headwater(&["schedule", "work", "--config", "schedules.toml"]);
        Worker(command.stderr(Stdio::null()).spawn().unwrap())
    }

    fn runs(&self, name: &str) -> Vec<Value> {
        let text = self.run(&["schedule", "runs", name, "--limit", "1000", "--output", "json"]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn wait(&self, what: &str, until: impl Fn() -> bool) {
        let begun = Instant::now();
        while !until() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {:?}", self.runs("daily"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A worker that does not outlive its test.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn case(flavor: Flavor) -> Option<Case> {
    let server = Server::for_test(&format!("schedule ({flavor:?})"), flavor).expect("a server, or a reason why not")?;
    let case = Case { server, folder: tempfile::tempdir().unwrap() };
    case.query(
        "CREATE DATABASE schedules; CREATE DATABASE results;
         CREATE TABLE results.ticks (begin VARCHAR(30), end VARCHAR(30), shop VARCHAR(10), run VARCHAR(100));
         CREATE TABLE results.daily (day DATE, product_id INT, orders BIGINT, run VARCHAR(100));
         CREATE TABLE results.orders (id INT PRIMARY KEY AUTO_INCREMENT, product_id INT, created_at DATETIME);
         INSERT INTO results.orders (product_id, created_at) SELECT a.n, '2024-05-01' + INTERVAL b.n * 7 HOUR FROM
           (SELECT 1 n UNION SELECT 2 UNION SELECT 3) a, (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
           UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9 UNION SELECT 10 UNION SELECT 11) b;",
    );
    case.run(&["jobs", "init"]);
    write(case.folder.path(), "ticks.sql", TICKS);
    let mysql = format!("mysql = \"{}\"\n", case.url(""));
    write(case.folder.path(), "schedules.toml", &format!("{mysql}{SCHEDULES}"));
    Some(case)
}

/// Every second has its run, once, though both processes fire and one is killed.
fn fires(case: &Case) {
    let ticks = || case.query("SELECT begin, end, shop FROM results.ticks ORDER BY end;");
    let mut first = case.worker();
    let second = case.worker();
    case.wait("some runs", || ticks().len() > 3);
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let third = case.worker();
    let before = ticks().len();
    case.wait("more runs", || ticks().len() > before + 5);
    case.run(&["schedule", "pause", "ticks"]);
    let going = || case.runs("ticks").iter().any(|run| run["status"] != "completed");
    // What the killed one had begun is taken over when its lease is over.
    case.query("UPDATE schedules.job_workers SET lease_until = NOW(6) - INTERVAL 1 SECOND WHERE state = 'ALIVE' AND seen_at < NOW(6) - INTERVAL 15 SECOND;");
    drop((second, third));
    let _last = case.worker();
    case.wait("an end of all runs", || {
        case.query("UPDATE schedules.job_workers SET lease_until = NOW(6) - INTERVAL 1 SECOND WHERE id < (SELECT id FROM (SELECT MAX(id) AS id FROM schedules.job_workers) newest);");
        !going()
    });
    let rows = ticks();
    let ends: Vec<&str> = rows.iter().map(|row| row.split('\t').nth(1).unwrap()).collect();
    let mut distinct = ends.clone();
    distinct.dedup();
    assert_eq!(ends, distinct, "a run twice");
    for pair in rows.windows(2) {
        let (before, after): (Vec<&str>, Vec<&str>) = (pair[0].split('\t').collect(), pair[1].split('\t').collect());
        assert_eq!((before[1], after[2]), (after[0], "kr"), "no second is left out");
    }
    assert_eq!(case.runs("ticks").len(), rows.len());
}

fn fills(case: &Case) {
    let truth =
        case.query("SELECT DATE(created_at), product_id, COUNT(*) FROM results.orders GROUP BY 1, 2 ORDER BY 1, 2;");
    let found = || case.query("SELECT day, product_id, orders FROM results.daily ORDER BY 1, 2;");
    let names = || case.query("SELECT DISTINCT run FROM results.daily;");
    let fill = |more: &[&str]| {
        let mut args =
            vec!["schedule", "backfill", "daily", "--from", "2024-05-01", "--to", "2024-05-04", "--parallel", "3"];
        args.extend(more);
        assert_eq!(case.run(&args), "4 runs\n");
        case.wait("the days", || case.runs("daily").iter().all(|run| run["status"] == "completed"));
    };
    fill(&[]);
    assert_eq!(found(), truth);
    let first = names();
    assert_eq!(first.len(), 4);
    // A day that was written stays as it is, unless it is asked for.
    fill(&[]);
    assert_eq!((found(), names()), (truth.clone(), first.clone()));
    fill(&["--again"]);
    assert_eq!(found(), truth);
    assert!(names().iter().all(|name| !first.contains(name)), "{:?}", names());
    let run = &case.runs("daily")[0];
    assert_eq!(
        (run["start"].as_str(), run["end"].as_str()),
        (Some("2024-05-04 00:10:00"), Some("2024-05-05 00:10:00"))
    );
    for (args, code) in [
        (&["backfill", "dayly", "--from", "2024-05-01", "--to", "2024-05-04"][..], "did you mean 'daily'?"),
        (&["backfill", "daily", "--from", "2024-05-04", "--to", "2024-05-01"], "jobs.date"),
        (&["backfill", "daily", "--from", "today", "--to", "2024-05-01"], "jobs.date"),
        (&["pause", "dayly"], "jobs.unknown_schedule"),
    ] {
        let output = case.headwater(&[&["schedule"], args].concat()).output().unwrap();
        assert!(output.status.code() == Some(2) && told(&output).contains(code), "{args:?}: {}", told(&output));
    }
}

fn ends(case: &Case) {
    let fill = |name: &str| {
        case.run(&["schedule", "backfill", name, "--from", "2024-01-01", "--to", "2024-01-01"]);
    };
    fill("endless");
    case.wait("the endless run", || case.runs("endless").iter().any(|run| run["status"] == "running"));
    let id = case.runs("endless")[0]["id"].to_string();
    case.run(&["schedule", "cancel", &id]);
    let begun = Instant::now();
    case.wait("its end", || case.runs("endless").iter().all(|run| run["status"] == "cancelled"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // What a further try does not mend is not tried again, and says why.
    fill("wrong");
    case.wait("the end of the wrong run", || case.runs("wrong").iter().all(|run| run["status"] == "dead"));
    let run = &case.runs("wrong")[0];
    assert!(run["error"].as_str().unwrap().contains("nowhere") && run["failures"] == 1, "{run}");
}

fn by_statement(case: &Case) {
    let sql = "SET spark.sql.session.timeZone = Asia/Seoul;
        CREATE OR REPLACE TEMPORARY VIEW days AS SELECT product_id, created_at FROM results.orders WHERE product_id = 1;
        CREATE SCHEDULE made CRON '0 0 * * *' TIME ZONE 'Asia/Seoul' CATCH UP ONE AS
        INSERT INTO results.daily SELECT DATE '${date}', product_id, COUNT(*), 'made' FROM days WHERE created_at >= '${start}'
          AND created_at < '${end}' GROUP BY product_id; SHOW SCHEDULES;";
    let server = case.url("");
    let run = |sql: &str| case.headwater(&["sql", "--mysql", &server, "-e", sql]).output().unwrap();
    let made = run(sql);
    assert!(made.status.success(), "{}", told(&made));
    let listed = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(listed.contains("made ") && listed.contains("Asia/Seoul") && listed.contains("one"), "{listed}");
    case.query("DELETE FROM results.daily;");
    case.run(&["schedule", "backfill", "made", "--from", "2024-05-01", "--to", "2024-05-02"]);
    case.wait("the made runs", || case.runs("made").iter().all(|run| run["status"] == "completed"));
    let found = case.query("SELECT day, product_id, orders, run FROM results.daily ORDER BY day;");
    assert_eq!(found, ["2024-05-01\t1\t4\tmade", "2024-05-02\t1\t3\tmade"]);
    let again = run(sql);
    assert!(told(&again).contains("sql.exists"), "{}", told(&again));
    let wrong = run("CREATE SCHEDULE w CRON '61 * * * *' AS SELECT 1;");
    assert!(told(&wrong).contains("jobs.cron"), "{}", told(&wrong));
    let wrong = run("CREATE SCHEDULE w CRON '0 0 * * *' AS INSERT INTO;");
    assert!(told(&wrong).contains("sql.schedule"), "{}", told(&wrong));
    let wrong = run("CREATE SCHEDULE w CRON '0 0 * * *' AS DROP TABLE t;");
    assert!(told(&wrong).contains("sql.syntax"), "{}", told(&wrong));
    let dropped = run("DROP SCHEDULE made; DROP SCHEDULE IF EXISTS made;");
    assert!(dropped.status.success(), "{}", told(&dropped));
    assert!(told(&run("DROP SCHEDULE made;")).contains("jobs.unknown_schedule"));
}

fn all(flavor: Flavor) {
    let Some(case) = case(flavor) else { return };
    fires(&case);
    let _worker = case.worker();
    fills(&case);
    ends(&case);
    by_statement(&case);
}

#[test]
fn scripts_run_at_their_times_on_mysql() {
    all(Flavor::MySql);
}

#[test]
fn scripts_run_at_their_times_on_mariadb() {
    all(Flavor::MariaDb);
}
