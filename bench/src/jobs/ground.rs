//! What all parts stand on: a private MySQL with full durability, jobs to work on, and who used the processor meanwhile.

use std::time::{Duration, Instant};

use headwater_jobs::{Queue, schema};
use headwater_mysql::driver::Conn;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::{Access, client};
use headwater_testkit::servers::{Flavor, Server, Startup};
use serde::Serialize;

use super::Outcome;

/// `innodb_flush_log_at_trx_commit` and `sync_binlog` are 1 unless somebody says otherwise.
const SERVER: [&str; 3] = ["--innodb-buffer-pool-size=4G", "--innodb-redo-log-capacity=2G", "--max-connections=400"];

/// Rows of one INSERT of the filling.
const FILL_ROWS: u64 = 20_000;

/// The server with its queue.
pub(super) struct Ground {
    pub(super) queue: Queue,
    /// For questions beside what is measured.
    conn: Conn,
    process: u32,
    /// Stops the server when everything else is gone.
    server: Server,
}

/// Cores that were used during a measurement. Much use by others makes a figure a floor.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Cores {
    server: f64,
    bench: f64,
    others: f64,
}

impl Ground {
    pub(super) async fn start() -> Outcome<Self> {
        let server = match Server::start(Flavor::MySql, &SERVER)? {
            Startup::Up(server) => server,
            Startup::NotAvailable(reason) => return Err(format!("no server: {reason}").into()),
        };
        let url = format!("mysql://root@127.0.0.1:{}", server.port());
        // What fills the table stays out of the log: it is not what is measured.
        let setup =
            ["SET SESSION sql_log_bin = 0, SESSION unique_checks = 0", "SET SESSION cte_max_recursion_depth = 100000"];
        let mut conn = client::connect(&Access::from_url(&url)?, &setup).await?;
        conn.query_drop("CREATE DATABASE bench").await?;
        conn.query_drop("USE bench").await?;
        schema::create(&mut conn).await?;
        let queue = Queue::connect(Access::from_url(&format!("{url}/bench"))?).await?;
        let process = std::fs::read_to_string(server.folder().join("process"))?.trim().parse()?;
        Ok(Self { queue, conn, process, server })
    }

    pub(super) async fn version(&mut self) -> Outcome<String> {
        let settings = "SELECT CONCAT(VERSION(), ', innodb_flush_log_at_trx_commit=', @@innodb_flush_log_at_trx_commit, \
                        ', sync_binlog=', @@sync_binlog)";
        Ok(self.conn.query_first(settings).await?.unwrap_or_default())
    }

    /// Adds jobs until so many are there, in turn of so many priorities, and waits until the server has cleaned up.
    pub(super) async fn fill(&mut self, pending: u64, priorities: u64) -> Outcome<()> {
        let there: Option<u64> = self.conn.query_first("SELECT COUNT(*) FROM jobs").await?;
        let mut missing = pending.saturating_sub(there.unwrap_or(0));
        while missing > 0 {
            let rows = missing.min(FILL_ROWS);
            let sql = format!(
                "INSERT INTO jobs (job_type, payload, priority) \
                 WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) \
                 SELECT 'noop', JSON_OBJECT('user_id', n, 'template', 'welcome_mail', 'locale', 'en'), n % {priorities} FROM s"
            );
            self.conn.query_drop(sql).await?;
            missing -= rows;
        }
        self.settle().await
    }

    /// Takes all jobs away.
    pub(super) async fn empty(&mut self) -> Outcome<()> {
        self.conn.query_drop("TRUNCATE TABLE jobs").await?;
        self.settle().await
    }

    /// Waits for the purge of what was deleted before, so that every measurement begins alike: until the history list
    /// does not get shorter any more. Some hundred transactions always stay.
    async fn settle(&mut self) -> Outcome<()> {
        let end = Instant::now() + Duration::from_secs(60);
        let mut length = self.history_length().await?;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = self.history_length().await?;
            if now >= length {
                break;
            }
            length = now;
        }
        Ok(())
    }

    /// Transactions whose old rows are not removed yet.
    pub(super) async fn history_length(&mut self) -> Outcome<u64> {
        let sql = "SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'";
        Ok(self.conn.query_first(sql).await?.unwrap_or(0))
    }

    /// A counter of SHOW GLOBAL STATUS.
    pub(super) async fn status(&mut self, name: &str) -> Outcome<u64> {
        let row: Option<(String, String)> = self.conn.query_first(format!("SHOW GLOBAL STATUS LIKE '{name}'")).await?;
        Ok(row.map_or(Ok(0), |(_, value)| value.parse())?)
    }

    /// How fast a counter grows in so much time, after a start that does not count.
    pub(super) async fn rate(&self, warm: Duration, time: Duration, counter: impl Fn() -> u64) -> (f64, Cores) {
        tokio::time::sleep(warm).await;
        let (ticks, before, begin) = (self.ticks(), counter(), Instant::now());
        tokio::time::sleep(time).await;
        let (count, seconds) = (counter() - before, begin.elapsed().as_secs_f64());
        let cores: Vec<f64> =
            self.ticks().iter().zip(ticks).map(|(now, before)| (now - before) as f64 / 100.0 / seconds).collect();
        let [server, bench, all] = cores.as_slice() else { return (f64::NAN, Cores::UNKNOWN) };
        (count as f64 / seconds, Cores { server: *server, bench: *bench, others: (all - server - bench).max(0.0) })
    }

    /// Hundredths of a second of processor time: of the server, of this process, of all.
    fn ticks(&self) -> [u64; 3] {
        let process = |id: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
        };
        let machine = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let used = machine.lines().next().unwrap_or_default().split_whitespace().skip(1).enumerate();
        // Idle and waiting for the disk is not use; guests are counted as their hosts already.
        let used = used.filter(|(nth, _)| !matches!(nth, 3 | 4 | 8 | 9));
        let all = used.filter_map(|(_, field)| field.parse::<u64>().ok()).sum();
        [process(self.process), process(std::process::id()), all]
    }

    /// The URL of an empty database.
    pub(super) async fn database(&mut self, name: &str) -> Outcome<String> {
        self.conn.query_drop(format!("DROP DATABASE IF EXISTS {name}")).await?;
        self.conn.query_drop(format!("CREATE DATABASE {name}")).await?;
        Ok(format!("mysql://root@127.0.0.1:{}/{name}", self.server.port()))
    }
}

impl Cores {
    /// Jobs that the server did in a second of processor time, at so many a second: what the neighbours on the machine
    /// change least.
    pub(super) fn efficiency(&self, rate: f64) -> f64 {
        rate / self.server
    }

    const UNKNOWN: Self = Self { server: f64::NAN, bench: f64::NAN, others: f64::NAN };
}
