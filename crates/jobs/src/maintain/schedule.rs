//! Cron schedules: rows of `job_schedules` that enqueue jobs at their times.
//!
//! A due row is locked, its jobs are inserted and its next time is written in one transaction, so however many processes
//! look, each time fires once; the unique key of such a job (`cron:<name>:<unix time>`) says the same a second time.
//! All times are the server's. What is due are the times of the pattern from `next_at` to now, not `next_at` itself: a
//! pattern that was changed by hand does not fire at a time of the old one.

use std::fmt;

use chrono_tz::Tz;
use croner::Cron;
use headwater_change::{Error, Result};
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, Row, Transaction, TxOpts, Value, params};
use serde::Serialize;

use super::cron::{due_times, parse};

/// Times of one schedule that are fired at once.
pub(super) const MOST: usize = 1_000;

/// Schedules of one tick.
const ROUNDS: usize = 1_000;

/// Last second of a TIMESTAMP column.
const LAST_TIMESTAMP: i64 = 2_147_483_647;

/// What becomes of times that passed while no process ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// They are left out: what fires is the latest time, if it is not older than a minute.
    None,
    /// One job, for the latest of them.
    #[default]
    One,
    /// A job for each of them.
    All,
}

impl CatchUp {
    /// As the table has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::One => "ONE",
            Self::All => "ALL",
        }
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for CatchUp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::None, Self::One, Self::All].into_iter().find(|one| text.eq_ignore_ascii_case(one.as_str())).ok_or_else(
            || {
                Error::usage("jobs.catch_up", format!("there is no way to catch up called '{text}'"))
                    .hint("write none, one or all")
            },
        )
    }
}

/// Jobs that come again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name, up to 100 characters.
    pub name: String,
    /// Five fields, or six with the seconds first.
    pub cron: String,
    /// IANA name.
    pub time_zone: String,
    /// What becomes of missed times.
    pub catch_up: CatchUp,
    /// The queue of its jobs.
    pub queue: String,
    /// The type of its jobs.
    pub job_type: String,
    /// The payload of its jobs, JSON text.
    pub payload: String,
    /// The priority of its jobs.
    pub priority: i16,
}

/// Writes schedules into the table. One that was there already keeps its next time as long as pattern and zone are the
/// same, and stays switched off if it was; schedules that are not named stay as they are.
///
/// # Errors
/// `jobs.cron`, `jobs.time_zone`: nothing is written; `mysql.query`.
pub async fn upsert(conn: &mut Conn, schedules: &[Schedule]) -> Result<()> {
    for schedule in schedules {
        parse(&schedule.cron, &schedule.time_zone).map_err(|error| {
            let place = headwater_change::Place::Option(format!("schedule {}", schedule.name));
            error.at(place)
        })?;
    }
    for schedule in schedules {
        conn.exec_drop(
            "INSERT INTO job_schedules (name, cron, time_zone, catch_up, queue, job_type, payload, priority) \
             VALUES (:name, :cron, :time_zone, :catch_up, :queue, :job_type, :payload, :priority) ON DUPLICATE KEY UPDATE \
             next_at = IF(cron = VALUES(cron) AND time_zone = VALUES(time_zone), next_at, NULL), \
             cron = VALUES(cron), time_zone = VALUES(time_zone), catch_up = VALUES(catch_up), queue = VALUES(queue), \
             job_type = VALUES(job_type), payload = VALUES(payload), priority = VALUES(priority)",
            params! {
                "name" => &schedule.name, "cron" => &schedule.cron, "time_zone" => &schedule.time_zone,
                "catch_up" => schedule.catch_up.as_str(), "queue" => &schedule.queue, "job_type" => &schedule.job_type,
                "payload" => &schedule.payload, "priority" => schedule.priority,
            },
        )
        .await
        .map_err(|error| query_error("write the schedule", error))?;
    }
    Ok(())
}

/// Microseconds until the next schedule is due, 0 for one whose time is not computed yet; an expression.
pub(super) const NEXT: &str = "(SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), COALESCE(next_at, NOW(6))) FROM job_schedules \
                               FORCE INDEX (next) WHERE enabled = 1 ORDER BY next_at LIMIT 1)";

/// The schedule that has been due longest, and is nobody else's.
pub(super) const DUE: &str = "SELECT name, cron, time_zone, CAST(catch_up AS CHAR) AS catch_up, queue, job_type, \
             CAST(payload AS CHAR) AS payload, priority, CAST(CEIL(UNIX_TIMESTAMP(next_at)) AS SIGNED) AS next_unix, \
             CAST(FLOOR(UNIX_TIMESTAMP(NOW(6))) AS SIGNED) AS now_unix FROM job_schedules FORCE INDEX (next) \
             WHERE enabled = 1 AND (next_at IS NULL OR next_at <= NOW(6)) ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED";

/// Fires the schedules that are due, until about a thousand jobs are enqueued. Returns how many were.
pub(super) async fn fire(conn: &mut Conn) -> Result<u64> {
    let mut fired = 0;
    for _ in 0..ROUNDS {
        match fire_one(conn).await? {
            Some(jobs) => fired += jobs,
            None => break,
        }
        if fired >= MOST as u64 {
            break;
        }
    }
    Ok(fired)
}

/// A row of `job_schedules` that is due, and locked.
struct Due {
    name: String,
    cron: String,
    time_zone: String,
    catch_up: String,
    queue: String,
    job_type: String,
    payload: String,
    priority: i16,
    /// Unix seconds.
    next_at: Option<i64>,
    now: i64,
}

impl Due {
    fn of(mut row: Row) -> Option<Self> {
        Some(Self {
            name: row.take("name")?,
            cron: row.take("cron")?,
            time_zone: row.take("time_zone")?,
            catch_up: row.take("catch_up")?,
            queue: row.take("queue")?,
            job_type: row.take("job_type")?,
            payload: row.take("payload")?,
            priority: row.take("priority")?,
            next_at: row.take("next_unix")?,
            now: row.take("now_unix")?,
        })
    }

    fn times(&self) -> Result<(Vec<i64>, i64)> {
        let (cron, zone): (Cron, Tz) = parse(&self.cron, &self.time_zone)?;
        // A new schedule has missed nothing.
        let from = self.next_at.unwrap_or(self.now + 1);
        due_times(&cron, zone, from, self.now, self.catch_up.parse()?)
    }
}

/// Fires one schedule; `None` where none is due, or others have them.
async fn fire_one(conn: &mut Conn) -> Result<Option<u64>> {
    let failed = |error| query_error("fire a schedule", error);
    let mut transaction = conn.start_transaction(TxOpts::default()).await.map_err(failed)?;
    let row: Option<Row> = transaction.query_first(DUE).await.map_err(failed)?;
    let Some(due) = row.and_then(Due::of) else {
        transaction.rollback().await.map_err(failed)?;
        return Ok(None);
    };
    let fired = match due.times() {
        Ok((times, next)) => {
            let fired = enqueue(&mut transaction, &due, &times).await?;
            transaction
                .exec_drop(
                    "UPDATE job_schedules SET next_at = FROM_UNIXTIME(:next), last_error_message = NULL, \
                     last_at = COALESCE(FROM_UNIXTIME(:last), last_at) WHERE name = :name",
                    params! {
                        "next" => next.min(LAST_TIMESTAMP), "last" => times.last().copied(), "name" => &due.name,
                    },
                )
                .await
                .map_err(failed)?;
            fired
        }
        Err(error) => {
            let mut text = format!("[{}] {error}", error.code());
            if let Some(detail) = error.detail_text() {
                text.push_str(": ");
                text.push_str(detail);
            }
            tracing::warn!(schedule = due.name, error = text, "a schedule cannot be fired");
            // Looked at again in a minute; the others go on.
            transaction
                .exec_drop(
                    "UPDATE job_schedules SET next_at = NOW(6) + INTERVAL 60 SECOND, last_error_message = :text \
                     WHERE name = :name",
                    params! { "text" => text, "name" => &due.name },
                )
                .await
                .map_err(failed)?;
            0
        }
    };
    transaction.commit().await.map_err(failed)?;
    Ok(Some(fired))
}

/// One job for each of the times, due since then.
async fn enqueue(transaction: &mut Transaction<'_>, due: &Due, times: &[i64]) -> Result<u64> {
    let payload = Payload::of(&due.payload);
    let mut enqueued = 0;
    for part in times.chunks(200) {
        // Not IGNORE, which would make other mistakes warnings too.
        let sql = format!(
            "INSERT INTO jobs (queue, job_type, payload, priority, run_at, ready_from, unique_key) VALUES {} \
             ON DUPLICATE KEY UPDATE id = id",
            vec!["(?, ?, ?, ?, FROM_UNIXTIME(?), NOW(6), ?)"; part.len()].join(", ")
        );
        let mut values: Vec<Value> = Vec::with_capacity(part.len() * 6);
        for time in part {
            values.extend([
                Value::from(&due.queue),
                Value::from(&due.job_type),
                Value::from(payload.at(*time)),
                Value::from(due.priority),
                Value::from(*time),
                Value::from(unique_key_at(&due.name, *time)),
            ]);
        }
        transaction
            .exec_drop(sql, values)
            .await
            .map_err(|error| query_error("enqueue the jobs of a schedule", error))?;
        enqueued += transaction.affected_rows();
    }
    Ok(enqueued)
}

/// Member of a schedule's payload that gets the time of each job, in Unix seconds.
const SCHEDULED_AT: &str = "scheduled_at";

/// The payload of a schedule's jobs.
enum Payload<'a> {
    Plain(&'a str),
    /// With a member for the time.
    Timed(serde_json::Map<String, serde_json::Value>),
}

impl<'a> Payload<'a> {
    fn of(text: &'a str) -> Self {
        match serde_json::from_str(text) {
            Ok(serde_json::Value::Object(members)) if members.contains_key(SCHEDULED_AT) => Self::Timed(members),
            _ => Self::Plain(text),
        }
    }

    fn at(&self, time: i64) -> String {
        match self {
            Self::Plain(text) => (*text).to_owned(),
            Self::Timed(members) => {
                let mut members = members.clone();
                members.insert(SCHEDULED_AT.to_owned(), time.into());
                serde_json::Value::Object(members).to_string()
            }
        }
    }
}

/// The unique key of a schedule's job at a time: at most one of them is in the table.
pub fn unique_key_at(name: &str, time: i64) -> String {
    format!("{}:{time}", unique_key(name))
}

/// A schedule as the table has it.
#[derive(Clone, Debug, Serialize)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its pattern.
    pub cron: String,
    /// IANA name.
    pub time_zone: String,
    /// `ALL`, `ONE` or `NONE`.
    pub catch_up: String,
    /// The type of its jobs.
    pub job_type: String,
    /// Their payload.
    #[serde(skip)]
    pub payload: String,
    /// Whether it fires.
    pub enabled: bool,
    /// When it fires next, in UTC.
    pub next_at: Option<String>,
    /// When it fired last, in UTC.
    pub last_at: Option<String>,
    /// Why it could not fire.
    pub last_error_message: Option<String>,
}

/// The schedules of a queue, by name.
///
/// # Errors
/// `mysql.query`.
pub async fn known(conn: &mut Conn, queue: &str) -> Result<Vec<Known>> {
    let shown =
        |column: &str| format!("DATE_FORMAT(CONVERT_TZ({column}, @@session.time_zone, '+00:00'), '%Y-%m-%d %H:%i:%s')");
    let sql = format!(
        "SELECT name, cron, time_zone, CAST(catch_up AS CHAR) AS catch_up, job_type, CAST(payload AS CHAR) AS payload, \
         enabled <> 0 AS enabled, {} AS next_at, {} AS last_at, last_error_message FROM job_schedules WHERE queue = ? \
         ORDER BY name",
        shown("next_at"),
        shown("last_at")
    );
    let rows: Vec<Row> = conn.exec(sql, (queue,)).await.map_err(|error| query_error("list the schedules", error))?;
    let known = |mut row: Row| {
        Some(Known {
            name: row.take("name")?,
            cron: row.take("cron")?,
            time_zone: row.take("time_zone")?,
            catch_up: row.take("catch_up")?,
            job_type: row.take("job_type")?,
            payload: row.take("payload")?,
            enabled: row.take("enabled")?,
            next_at: row.take("next_at")?,
            last_at: row.take("last_at")?,
            last_error_message: row.take("last_error_message")?,
        })
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// Lets a schedule fire, or not; what it fired before goes on. Says whether there is one of the name.
///
/// # Errors
/// `mysql.query`.
pub async fn enable(conn: &mut Conn, queue: &str, name: &str, enabled: bool) -> Result<bool> {
    // Times that pass while it does not fire are not made up for.
    let sql =
        "UPDATE job_schedules SET next_at = IF(enabled = ?, next_at, NULL), enabled = ? WHERE queue = ? AND name = ?";
    conn.exec_drop(sql, (enabled, enabled, queue, name))
        .await
        .map_err(|error| query_error("switch a schedule", error))?;
    let there: Option<u8> = conn
        .exec_first("SELECT 1 FROM job_schedules WHERE queue = ? AND name = ?", (queue, name))
        .await
        .map_err(|error| query_error("look for a schedule", error))?;
    Ok(there.is_some())
}

/// Takes a schedule away; what it fired before goes on. Says whether there was one.
///
/// # Errors
/// `mysql.query`.
pub async fn remove(conn: &mut Conn, queue: &str, name: &str) -> Result<bool> {
    conn.exec_drop("DELETE FROM job_schedules WHERE queue = ? AND name = ?", (queue, name))
        .await
        .map_err(|error| query_error("remove a schedule", error))?;
    Ok(conn.affected_rows() > 0)
}

/// The unique key of a schedule's jobs without its time. The column is ASCII: another name is told by its hash.
fn unique_key(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return format!("cron:{name}");
    }
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3) // FNV-1a
    });
    format!("cron:#{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::unique_key;

    #[test]
    fn keys_are_ascii() {
        assert_eq!(unique_key("nightly report"), "cron:nightly report");
        assert!(unique_key("月次").is_ascii() && unique_key("月次") != unique_key("週次"));
    }
}
