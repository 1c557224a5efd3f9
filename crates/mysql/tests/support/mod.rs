//! What the tests on real servers share: a client, a source over it, and reading until something is there.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{Field, Schema, SchemaRef};
use headwater_change::{ChangeBatch, Options, Position, Read, Reader, Result, Source, TableId, TableRequest};
use headwater_testkit::servers::{Flavor, Server};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

/// A server and a runtime to speak with it.
pub struct Db {
    pub server: Server,
    pub flavor: Flavor,
    runtime: tokio::runtime::Runtime,
}

impl Db {
    pub fn start(test: &str, flavor: Flavor, arguments: &[&str]) -> Option<Self> {
        match Server::start(flavor, arguments).expect("a server or a reason") {
            headwater_testkit::servers::Startup::Up(server) => {
                let runtime = tokio::runtime::Runtime::new().expect("a runtime");
                let db = Self { server, flavor, runtime };
                db.run(&["CREATE DATABASE shop"]);
                Some(db)
            }
            headwater_testkit::servers::Startup::NotAvailable(reason) => {
                headwater_testkit::skipped(test, &reason);
                None
            }
        }
    }

    pub fn conn(&self) -> Conn {
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.server.port())
            .user(Some("root"))
            .prefer_socket(false)
            .init(vec!["SET NAMES utf8mb4, time_zone='+00:00', sql_mode=''"]);
        self.runtime.block_on(Conn::new(options)).expect("a connection")
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn run(&self, statements: &[&str]) {
        let mut conn = self.conn();
        for sql in statements {
            self.wait(conn.query_drop(*sql)).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        self.wait(conn.disconnect()).expect("a goodbye");
    }

    /// Runs what only one of the products knows, and tells whether it was taken.
    pub fn try_run(&self, sql: &str) -> bool {
        let mut conn = self.conn();
        let result = self.wait(conn.query_drop(sql));
        self.wait(conn.disconnect()).expect("a goodbye");
        result.is_ok()
    }

    /// Kills the server's process and starts it again on its port and data.
    pub fn kill_and_start(&self) {
        use std::process::{Command, Stdio};
        let folder = self.server.folder();
        let process = std::fs::read_to_string(folder.join("process")).expect("a process");
        let killed = Command::new("kill").args(["-9", process.trim()]).status().expect("a kill");
        assert!(killed.success());
        let gone = within(Duration::from_secs(30), || {
            std::fs::read_to_string(format!("/proc/{}/stat", process.trim())).map_or(true, |stat| stat.contains(") Z "))
        });
        assert!(gone, "the server is gone");
        let script = self.flavor.script();
        // The last threads of the killed process may still hold its files and its port.
        let up = within(Duration::from_secs(60), || {
            let status = Command::new(&script).arg("start").arg(folder).stdin(Stdio::null()).status();
            status.expect("a script").success()
        });
        assert!(up, "{}", std::fs::read_to_string(folder.join("log")).unwrap_or_default());
    }

    /// The first column of a result.
    pub fn texts(&self, sql: &str) -> Vec<Option<String>> {
        let mut conn = self.conn();
        let rows: Vec<mysql_async::Row> = self.wait(conn.query(sql)).unwrap_or_else(|error| panic!("{sql}: {error}"));
        self.wait(conn.disconnect()).expect("a goodbye");
        rows.into_iter().map(|mut row| row.take(0).expect("a column")).collect()
    }

    /// All columns of a result whose values are texts.
    pub fn rows(&self, sql: &str) -> std::result::Result<Vec<Vec<Option<String>>>, mysql_async::Error> {
        let mut conn = self.conn();
        let rows: std::result::Result<Vec<mysql_async::Row>, _> = self.wait(conn.query(sql));
        self.wait(conn.disconnect()).expect("a goodbye");
        let texts = |mut row: mysql_async::Row| (0..row.len()).map(|at| row.take(at).expect("a column")).collect();
        Ok(rows?.into_iter().map(texts).collect())
    }

    /// The first two columns of a result's first row, numbers as texts.
    pub fn pair(&self, sql: &str) -> (String, String) {
        let mut conn = self.conn();
        let row: Option<mysql_async::Row> = self.wait(conn.query_first(sql)).expect("a result");
        self.wait(conn.disconnect()).expect("a goodbye");
        let mut row = row.expect("a row");
        (row.take(0).expect("a column"), row.take(1).expect("a column"))
    }

    pub fn source(&self, table: &str, fields: Vec<Field>, extra: &[(&str, &str)]) -> Result<Box<dyn Source>> {
        let port = self.server.port().to_string();
        let mut given = vec![
            ("hostname", "127.0.0.1"),
            ("port", port.as_str()),
            ("username", "root"),
            ("password", ""),
            ("database-name", "shop"),
            ("table-name", table),
            ("heartbeat.interval", "200ms"),
        ];
        for (name, value) in extra {
            given.retain(|(known, _)| known != name);
            given.push((name, value));
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        headwater_mysql::source(TableRequest {
            table: TableId::bare("t"),
            schema,
            primary_key: vec![],
            partitioned_by: vec![],
            conditions: vec![],
            first: None,
            options: Options::check("mysql-cdc", headwater_mysql::OPTIONS, given)?,
            threads: 1,
        })
    }
}

/// A deadline for what a real server does.
#[expect(clippy::disallowed_methods, reason = "a deadline around a real server")]
pub fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if done() {
            return true;
        }
    }
    false
}

/// Reads until `done`; fails the test after two minutes.
pub fn read_until(
    reader: &mut dyn Reader,
    batches: &mut Vec<ChangeBatch>,
    mut done: impl FnMut(&[ChangeBatch]) -> bool,
) {
    let ok = done(batches)
        || within(Duration::from_secs(120), || {
            match reader.next(1 << 20, Duration::from_millis(100)).expect("a sound log") {
                Read::Rows(batch) => batches.push(batch),
                Read::End | Read::Idle(_) | Read::Schema(_) => {}
            }
            done(batches)
        });
    assert!(ok, "not within the deadline; read {} rows", rows(batches));
}

/// The first error of a reader.
pub fn read_error(reader: &mut dyn Reader) -> headwater_change::Error {
    let mut found = None;
    within(Duration::from_secs(60), || {
        found = reader.next(1 << 20, Duration::from_millis(100)).err();
        found.is_some()
    });
    found.expect("an error")
}

pub fn rows(batches: &[ChangeBatch]) -> usize {
    batches.iter().map(ChangeBatch::len).sum()
}

/// Every change as text, with the op in front.
pub fn changes(batches: &[ChangeBatch]) -> Vec<String> {
    let line = |b: &ChangeBatch, i| format!("{} {}", b.op(i), headwater_change::notation::print_row(b.rows(), i));
    batches.iter().flat_map(|b| (0..b.len()).map(move |i| line(b, i))).collect()
}

/// The positions at which transactions end, with the number of rows before each.
pub fn ends(batches: &[ChangeBatch]) -> Vec<(usize, Position)> {
    let mut before = 0;
    let mut ends = Vec::new();
    for batch in batches {
        for run in batch.runs().iter().filter(|run| run.ends_transaction) {
            ends.push((before + run.end, run.position.clone()));
        }
        before += batch.len();
    }
    ends
}
