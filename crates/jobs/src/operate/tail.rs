//! Failures and ends of jobs as they come.
//!
//! Moments are given when a statement runs, and seen when its transaction is committed: a look goes back a little further
//! than the one before it and leaves out what was told already.

use std::collections::BTreeSet;
use std::time::Duration;

use headwater_change::{Error, Result};
use headwater_mysql::driver::Conn;
use headwater_mysql::driver::params;
use serde::Serialize;

use crate::operate::read::{column, first, rows, utc};
use crate::queue::Queue;

/// How long after its moment an event may become visible and still be told.
const OVERLAP_SECONDS: u32 = 5;

/// Events of one read.
const PAGE: usize = 5_000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A try failed; the job comes again.
    Failed,
    /// A try failed, and the job is dead.
    Dead,
    /// Done, in a queue with history.
    Completed,
    /// Cancelled.
    Cancelled,
}

/// A failure or an end of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When, ISO 8601 in UTC.
    pub at: String,
    /// The job.
    pub id: u64,
    /// What happened.
    pub event: EventKind,
    /// Its queue; missing where the job is gone since it failed.
    pub queue: Option<String>,
    /// Its type; missing as the queue is.
    pub job_type: Option<String>,
    /// The try that failed, or the number of failures before the end.
    pub attempt: u32,
    /// Seconds from its start to this event.
    pub seconds: Option<f64>,
    /// What a failure said.
    pub error_message: Option<String>,
}

/// Follows a queue. Completions are seen only of queues with history, failures and cancellations always.
pub struct Tail {
    queue: Queue,
    /// Events from here on are read.
    from: String,
    /// Events from there on that were told.
    told: BTreeSet<(String, u64)>,
}

impl Tail {
    /// Begins so long ago, by the server's clock.
    ///
    /// # Errors
    /// `mysql.query`.
    pub async fn since(queue: &Queue, ago: Duration) -> Result<Self> {
        let mut conn = queue.session().await?;
        let from = moment(&mut conn, u32::try_from(ago.as_secs()).unwrap_or(u32::MAX).min(400_000_000)).await?;
        queue.give_back(conn);
        Ok(Self { queue: queue.clone(), from, told: BTreeSet::new() })
    }

    /// What happened since the last call, the oldest first. Ask about once a second.
    ///
    /// # Errors
    /// `jobs.grant`, `jobs.tables_missing`, `mysql.query`.
    pub async fn poll(&mut self) -> Result<Vec<Event>> {
        let mut conn = self.queue.session().await?;
        let next = moment(&mut conn, OVERLAP_SECONDS).await?;
        let mut events = self.read(&mut conn, &failures(), "read job_attempts", failure).await?;
        events.extend(self.read(&mut conn, &ends(), "read the history", end).await?);
        self.queue.give_back(conn);
        events.sort_by_cached_key(key);
        self.told.extend(events.iter().map(key));
        if next > self.from {
            self.told = self.told.split_off(&(next.clone(), 0));
            self.from = next;
        }
        Ok(events)
    }

    /// Events of one table that were not told yet.
    async fn read(
        &self,
        conn: &mut Conn,
        sql: &str,
        what: &'static str,
        event: fn(&headwater_mysql::driver::Row) -> Result<Event>,
    ) -> Result<Vec<Event>> {
        let (mut events, mut seen) = (Vec::new(), BTreeSet::new());
        let mut from = self.from.clone();
        loop {
            // The server takes no T and no Z in a moment.
            let moment = from.replace('T', " ").replace('Z', "");
            let found = rows(conn, what, sql, params! { "from" => moment }).await?;
            for row in &found {
                let event = event(row)?;
                let key = key(&event);
                from.clone_from(&event.at);
                if !self.told.contains(&key) && seen.insert(key) {
                    events.push(event);
                }
            }
            // A page that begins and ends at one moment cannot be passed by another one like it.
            let first = found.first().map(|row| column::<String>(row, "at")).transpose()?;
            if found.len() < PAGE || first.is_none_or(|first| first == from) {
                return Ok(events);
            }
        }
    }
}

fn key(event: &Event) -> (String, u64) {
    (event.at.clone(), event.id)
}

/// So many seconds ago.
async fn moment(conn: &mut Conn, ago: u32) -> Result<String> {
    let sql = format!("SELECT DATE_FORMAT(NOW(6) - INTERVAL {ago} SECOND, '%Y-%m-%dT%H:%i:%s.%fZ') AS moment");
    match first(conn, "tell the time", sql, ()).await? {
        Some(row) => column(&row, "moment"),
        None => Err(Error::remote("mysql.query", "the server did not tell the time")),
    }
}

fn at(column: &str) -> String {
    utc(column).replace(&format!("AS {}", column.rsplit('.').next().unwrap_or(column)), "AS at")
}

fn failures() -> String {
    format!(
        "SELECT a.job_id AS id, a.attempt, {}, a.error_message, j.queue, j.job_type, j.status = 'DEAD' \
         AND j.retry_count = a.attempt AS dead, TIMESTAMPDIFF(MICROSECOND, a.started_at, a.failed_at) / 1000000e0 AS seconds \
         FROM job_attempts a FORCE INDEX (failed) LEFT JOIN jobs j ON j.id = a.job_id \
         WHERE a.failed_at >= :from ORDER BY a.failed_at LIMIT {PAGE}",
        at("a.failed_at")
    )
}

fn ends() -> String {
    format!(
        "SELECT d.id, d.retry_count AS attempt, {}, d.queue, d.job_type, d.outcome, \
         TIMESTAMPDIFF(MICROSECOND, d.started_at, d.finished_at) / 1000000e0 AS seconds \
         FROM jobs_done d FORCE INDEX (finished) WHERE d.finished_at >= :from ORDER BY d.finished_at LIMIT {PAGE}",
        at("d.finished_at")
    )
}

fn failure(row: &headwater_mysql::driver::Row) -> Result<Event> {
    let dead = column::<Option<bool>>(row, "dead")?.unwrap_or(false);
    Ok(Event {
        at: column(row, "at")?,
        id: column(row, "id")?,
        event: if dead { EventKind::Dead } else { EventKind::Failed },
        queue: column(row, "queue")?,
        job_type: column(row, "job_type")?,
        attempt: column(row, "attempt")?,
        seconds: column(row, "seconds")?,
        error_message: column(row, "error_message")?,
    })
}

fn end(row: &headwater_mysql::driver::Row) -> Result<Event> {
    let outcome: String = column(row, "outcome")?;
    Ok(Event {
        at: column(row, "at")?,
        id: column(row, "id")?,
        event: if outcome == "CANCELLED" { EventKind::Cancelled } else { EventKind::Completed },
        queue: column(row, "queue")?,
        job_type: column(row, "job_type")?,
        attempt: column(row, "attempt")?,
        seconds: column(row, "seconds")?,
        error_message: None,
    })
}
