//! Workers are killed, stopped past their lease and woken again, the server is killed, while jobs are enqueued and run.
//! At the end a checker reads the history: every job that was committed has left its own write exactly once, none that
//! was rolled back has, no job is left over or dead, and the server saw no deadlock.
//!
//! `HEADWATER_CHAOS=100000,200,5` sets jobs, kills and kills of the server; a small round is the default.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use headwater_mysql::Access;
use headwater_mysql::driver::Conn;
use headwater_mysql::driver::prelude::Queryable;
use headwater_testkit::servers::{Flavor, Server, Startup};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const CONFIG: &str = r#"
executors = 8
lease = "2s"
shutdown-deadline = "5s"
[queues]
default = 1
[types.WRITE]
sql = "INSERT INTO effects (n, job_id, attempt) VALUES (:n, :job_id, 1)"
timeout = "20s"
retry = { policy = "list", delays = ["100 ms"], max-retries = 1000 }
[types.CALL]
command = { program = "/bin/true" }
timeout = "20s"
retry = { policy = "list", delays = ["100 ms"], max-retries = 1000 }
"#;

const TABLES: &[&str] = &[
    "CREATE TABLE source (n BIGINT PRIMARY KEY)",
    "CREATE TABLE effects (seq BIGINT AUTO_INCREMENT PRIMARY KEY, n BIGINT NOT NULL, job_id BIGINT UNSIGNED NOT NULL, \
     attempt INT NOT NULL, at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))",
];

struct Plan {
    jobs: u64,
    kills: u32,
    server_kills: u32,
}

fn plan() -> Plan {
    let text = std::env::var("HEADWATER_CHAOS").unwrap_or_else(|_| "4000,16,1".to_owned());
    let mut numbers = text.split(',').map(|part| part.trim().parse::<u32>().expect("JOBS,KILLS,SERVER_KILLS"));
    let mut next = || numbers.next().expect("JOBS,KILLS,SERVER_KILLS");
    Plan { jobs: next().into(), kills: next(), server_kills: next() }
}

/// A worker process; its log goes on in one file over its lives.
struct Worker {
    child: Child,
    config: PathBuf,
    log: PathBuf,
}

impl Worker {
    fn start(config: &PathBuf, log: PathBuf) -> Self {
        Self { child: Self::spawn(config, &log), config: config.clone(), log }
    }

    fn spawn(config: &PathBuf, log: &PathBuf) -> Child {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
        Command::new(env!("CARGO_BIN_EXE_headwater"))
            .args(["jobs", "work", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a worker")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("a signal");
    }

    fn kill_and_start(&mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("an end");
        self.child = Self::spawn(&self.config, &self.log);
    }

    /// A worker that could not reach the server at its start has ended; it is started again, as a supervisor would.
    fn look_after(&mut self) {
        if self.child.try_wait().expect("a state").is_some() {
            self.child = Self::spawn(&self.config, &self.log);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects, and again while the server is away; one that does not come back ends the test.
async fn connect(port: u16) -> Conn {
    let begun = Instant::now();
    let access = Access::from_url(&format!("mysql://root@127.0.0.1:{port}/shop")).expect("a URL");
    loop {
        match headwater_mysql::client::connect(&access, &[]).await {
            Ok(conn) => return conn,
            Err(error) => {
                assert!(begun.elapsed() < Duration::from_secs(180), "the server does not come back: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Enqueues jobs with their source rows, several a transaction, one transaction in eight rolled back. A transaction
/// whose commit broke is looked for before it is repeated.
async fn produce(port: u16, jobs: u64, seed: u64, done: Arc<AtomicU64>) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut conn = connect(port).await;
    let mut n = 0;
    while n < jobs {
        let count = random.random_range(1..=20).min(jobs - n);
        let numbers = n..n + count;
        let source: Vec<String> = numbers.clone().map(|n| format!("({n})")).collect();
        let rows: Vec<String> = numbers
            .map(|n| {
                let kind = if n % 50 == 7 { "CALL" } else { "WRITE" };
                format!("('{kind}', JSON_OBJECT('n', {n}), {})", n % 3)
            })
            .collect();
        let end = if random.random_range(0..8) == 0 { "ROLLBACK" } else { "COMMIT" };
        let sql = format!(
            "START TRANSACTION; INSERT INTO source VALUES {}; INSERT INTO jobs (job_type, payload, priority) VALUES {}; {end}",
            source.join(","),
            rows.join(",")
        );
        let outcome = conn.query_drop(sql).await;
        if outcome.is_err() {
            conn = connect(port).await;
            let there: Option<u64> =
                conn.query_first(format!("SELECT n FROM source WHERE n = {n}")).await.unwrap_or(None);
            if there.is_none() {
                continue;
            }
        }
        if end == "COMMIT" {
            n += count;
            done.store(n, Ordering::Relaxed);
        }
    }
}

/// Kills and stops until the kills are used up.
fn torment(workers: &mut [Worker], server: &Server, flavor: Flavor, plan: &Plan) {
    let mut random = SmallRng::seed_from_u64(4711);
    let mut stopped: Option<(usize, Instant)> = None;
    let (mut kills, mut server_kills, mut stops) = (0, 0, 0);
    while kills < plan.kills {
        std::thread::sleep(Duration::from_millis(random.random_range(20..500)));
        if stopped.is_some_and(|(_, since)| since.elapsed() > Duration::from_secs(3))
            && let Some((index, _)) = stopped.take()
        {
            // Past its lease: what it goes on with is somebody else's by now.
            workers[index].signal(Signal::SIGCONT);
        }
        let index = random.random_range(0..workers.len());
        if stopped.is_none() && random.random_range(0..4) == 0 {
            workers[index].signal(Signal::SIGSTOP);
            stopped = Some((index, Instant::now()));
            stops += 1;
        } else if stopped.is_none_or(|(other, _)| other != index) {
            workers[index].kill_and_start();
            kills += 1;
        }
        if server_kills < plan.server_kills && kills * (plan.server_kills + 1) > plan.kills * (server_kills + 1) {
            restart_server(server, flavor);
            server_kills += 1;
        }
        workers.iter_mut().for_each(Worker::look_after);
    }
    if let Some((index, _)) = stopped {
        workers[index].signal(Signal::SIGCONT);
    }
    eprintln!("{kills} kills, {stops} stops past the lease, {server_kills} kills of the server");
}

fn restart_server(server: &Server, flavor: Flavor) {
    let process = std::fs::read_to_string(server.folder().join("process")).expect("a process");
    let pid = Pid::from_raw(process.trim().parse().expect("a number"));
    kill(pid, Signal::SIGKILL).expect("a kill");
    let gone = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    while !gone() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let script = flavor.script();
    let up = (0..60).any(|_| {
        let up =
            Command::new(&script).arg("start").arg(server.folder()).stdin(Stdio::null()).status().expect("a script");
        up.success() || {
            std::thread::sleep(Duration::from_secs(1));
            false
        }
    });
    let log = || std::fs::read_to_string(server.folder().join("log")).unwrap_or_default();
    assert!(up, "the server does not come up again:\n{}", tail(&log()));
}

async fn number(conn: &mut Conn, sql: &str) -> i64 {
    conn.query_first(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).expect("a number")
}

/// What must be true of the history, each with the numbers that show it.
async fn check(conn: &mut Conn, plan: &Plan, log: &str) {
    let jobs = i64::try_from(plan.jobs).expect("a number");
    assert_eq!(number(conn, "SELECT COUNT(*) FROM source").await, jobs, "every transaction was committed once");
    let calls = number(conn, "SELECT COUNT(*) FROM source WHERE n % 50 = 7").await;
    let twice = "SELECT COUNT(*) FROM (SELECT n FROM effects GROUP BY n HAVING COUNT(*) > 1) x";
    assert_eq!(number(conn, twice).await, 0, "no job's own write is there twice");
    let missing = "SELECT COUNT(*) FROM source s LEFT JOIN effects e ON e.n = s.n WHERE s.n % 50 <> 7 AND e.n IS NULL";
    assert_eq!(number(conn, missing).await, 0, "no job's own write is missing");
    assert_eq!(
        number(conn, "SELECT COUNT(*) FROM effects").await,
        jobs - calls,
        "and none came from a rolled back job"
    );
    let tries = number(conn, "SELECT COUNT(*) FROM job_attempts").await;
    let rescued = number(conn, "SELECT COUNT(*) FROM job_attempts WHERE error_message LIKE 'lease expired%'").await;
    eprintln!("{jobs} jobs; {tries} failed tries, {rescued} of them rescued from workers whose lease expired");
    let others = "SELECT LEFT(error_message, 300), COUNT(*) FROM job_attempts WHERE error_message NOT LIKE 'lease expired%' \
                  GROUP BY 1 ORDER BY 2 DESC LIMIT 5";
    let others: Vec<(String, u64)> = conn.query(others).await.expect("messages");
    others.iter().for_each(|(message, count)| eprintln!("{count} times: {message}"));
    assert!(rescued > 0, "some worker lost its lease");
    assert!(!log.to_ascii_lowercase().contains("deadlock"), "the server saw a deadlock:\n{}", deadlocks(log));
}

fn chaos(flavor: Flavor) {
    // The server tells of every deadlock in its log, over its restarts.
    let server = match Server::start(flavor, &["--innodb-print-all-deadlocks=ON"]).expect("a server or a reason") {
        Startup::Up(server) => server,
        Startup::NotAvailable(reason) => return headwater_testkit::skipped("chaos", &reason),
    };
    let plan = plan();
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("mysql://root@127.0.0.1:{}/shop", server.port());
    let config = folder.path().join("jobs.toml");
    std::fs::write(&config, format!("url = \"{url}\"\n{CONFIG}")).expect("a file");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let access = Access::from_url(&format!("mysql://root@127.0.0.1:{}", server.port())).expect("a URL");
        let mut root = headwater_mysql::client::connect(&access, &[]).await.expect("a connection");
        root.query_drop("CREATE DATABASE shop").await.expect("a database");
    });
    let init =
        Command::new(env!("CARGO_BIN_EXE_headwater")).args(["jobs", "init", "--url", &url]).output().expect("init");
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    runtime.block_on(async {
        let mut conn = connect(server.port()).await;
        for sql in TABLES {
            conn.query_drop(*sql).await.expect("a table");
        }
    });
    let produced = Arc::new(AtomicU64::new(0));
    let producer = runtime.spawn(produce(server.port(), plan.jobs, 1, Arc::clone(&produced)));
    let mut workers: Vec<Worker> =
        (0..4).map(|nth| Worker::start(&config, folder.path().join(format!("worker{nth}.log")))).collect();
    torment(&mut workers, &server, flavor, &plan);
    runtime.block_on(producer).expect("all jobs are enqueued");
    let end = Instant::now() + Duration::from_secs(300 + plan.jobs / 100);
    let left = loop {
        workers.iter_mut().for_each(Worker::look_after);
        let left =
            runtime.block_on(async { number(&mut connect(server.port()).await, "SELECT COUNT(*) FROM jobs").await });
        if left == 0 || Instant::now() > end {
            break left;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let logs: String = (0..4)
        .map(|nth| std::fs::read_to_string(folder.path().join(format!("worker{nth}.log"))).unwrap_or_default())
        .collect();
    assert_eq!(left, 0, "jobs are left over; the workers say:\n{}", tail(&logs));
    assert!(!logs.contains("panicked"), "{logs}");
    drop(workers);
    let log = std::fs::read_to_string(server.folder().join("log")).unwrap_or_default();
    // What the server tells of a deadlock is the longer story; a worker that met one has a line of its own.
    let met: Vec<&str> = logs.lines().filter(|line| line.contains("40001")).collect();
    assert!(met.is_empty(), "workers met deadlocks:\n{}\nthe server says:\n{}", met.join("\n"), deadlocks(&log));
    runtime.block_on(async { check(&mut connect(server.port()).await, &plan, &log).await });
}

/// What a server's log tells of its deadlocks, without the contents of rows.
fn deadlocks(log: &str) -> String {
    let from = log.to_ascii_lowercase().find("deadlock").unwrap_or(log.len());
    let told = log.get(from..).unwrap_or_default().lines();
    let row = |line: &&str| line.starts_with(' ') || line.starts_with("Record lock") || line.trim().is_empty();
    told.filter(|line| !row(line)).take(200).collect::<Vec<_>>().join("\n")
}

fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(4_000);
    text.get(from..).unwrap_or(text)
}

#[test]
fn nothing_is_lost_or_doubled_on_mysql() {
    chaos(Flavor::MySql);
}

#[test]
fn nothing_is_lost_or_doubled_on_mariadb() {
    chaos(Flavor::MariaDb);
}
