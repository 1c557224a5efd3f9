//! One job with all that belongs to it.

use headwater_change::{Error, Result};
use headwater_mysql::driver::prelude::Queryable;
use serde::Serialize;

use crate::operate::list::{Row, columns};
use crate::operate::read::{column, first, rows, utc};
use crate::queue::Queue;

/// Attempts, parents and children that are shown.
const SHOWN: usize = 100;

/// A job and what belongs to it. Moments are ISO 8601 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Details {
    /// The job's number.
    pub id: u64,
    /// Its row in `jobs`, unless it is finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Row>,
    /// Its row in the history, where it is finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    /// JSON text.
    #[serde(serialize_with = "raw")]
    pub payload: String,
    /// W3C trace context of who enqueued it.
    pub traceparent: Option<String>,
    /// What has it now.
    pub worker: Option<Worker>,
    /// Failures, the first one first.
    pub attempts: Vec<Attempt>,
    /// Jobs that it waits for or waited for, as far as they are not done.
    pub depends_on: Vec<Link>,
    /// Jobs that wait for it.
    pub dependents: Vec<Link>,
    /// Its batch.
    pub batch: Option<BatchFacts>,
}

/// A finished job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Done {
    /// Its queue.
    pub queue: String,
    /// Its type.
    pub job_type: String,
    /// Smaller first.
    pub priority: i16,
    /// `COMPLETED` or `CANCELLED`.
    pub outcome: String,
    /// Failures before that.
    pub retry_count: u32,
    /// When it was enqueued.
    pub created_at: String,
    /// When its worker took it; none for what was cancelled before it ran.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: String,
}

/// A process that works.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worker {
    /// Its number.
    pub id: u64,
    /// Host and process.
    pub name: String,
    /// `ALIVE`, `STOPPING` or `LOST`.
    pub state: String,
    /// Its last heartbeat.
    pub seen_at: String,
    /// Until when the jobs that it has are its own.
    pub lease_until: String,
    /// Seconds until then; negative when the lease is over and the job will be taken from it.
    pub lease_left: f64,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attempt {
    /// From 1.
    pub attempt: u32,
    /// The worker that had the job.
    pub worker_id: u64,
    /// When that one took it.
    pub started_at: Option<String>,
    /// When it failed.
    pub failed_at: String,
    /// What was said.
    pub error_message: String,
}

/// Another job; the status is missing where it is not in `jobs` any more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// Its number.
    pub id: u64,
    /// Where it stands.
    pub status: Option<String>,
}

/// The batch of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchFacts {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whether all its jobs are known.
    pub sealed: bool,
    /// What is enqueued at its end.
    pub callback_type: Option<String>,
    /// When that was done.
    pub finished_at: Option<String>,
}

/// JSON as it is kept, on one line.
fn raw<S: serde::Serializer>(payload: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<&serde_json::value::RawValue>(payload) {
        Ok(raw) if !payload.contains('\n') => raw.serialize(serializer),
        Ok(_) => serde_json::from_str::<serde_json::Value>(payload).unwrap_or_default().serialize(serializer),
        Err(_) => payload.serialize(serializer),
    }
}

/// A job by its number, in `jobs` or in the history.
///
/// # Errors
/// `jobs.unknown_id`: it is in neither. `jobs.grant`, `jobs.tables_missing`, `mysql.query`.
pub async fn show(queue: &Queue, id: u64) -> Result<Details> {
    let mut conn = queue.session().await?;
    let open = format!("SELECT {}, payload, traceparent FROM jobs WHERE id = ?", columns());
    let closed = format!(
        "SELECT queue, job_type, priority, outcome, retry_count, {}, {}, {}, batch_id, payload, traceparent \
         FROM jobs_done WHERE id = ? LIMIT 1",
        utc("created_at"),
        utc("started_at"),
        utc("finished_at")
    );
    // It may be finished between two looks, but then the second one finds it.
    let (row, done) = match first(&mut conn, "read the job", open, (id,)).await? {
        Some(row) => (row, false),
        None => match first(&mut conn, "read the history", closed, (id,)).await? {
            Some(row) => (row, true),
            None => return Err(unknown(id)),
        },
    };
    let job = if done { None } else { Some(Row::read(&row)?) };
    let done = if done { Some(Done::read(&row)?) } else { None };
    let worker = match job.as_ref().and_then(|job| job.worker_id) {
        Some(worker) => worker_by_id(&mut conn, worker).await?,
        None => None,
    };
    let batch = match column::<Option<u64>>(&row, "batch_id")? {
        Some(batch) => batch_by_id(&mut conn, batch).await?,
        None => None,
    };
    let details = Details {
        id,
        job,
        done,
        payload: column(&row, "payload")?,
        traceparent: column(&row, "traceparent")?,
        worker,
        attempts: attempts(&mut conn, id).await?,
        depends_on: links(&mut conn, "depends_on", "job_id", id).await?,
        dependents: links(&mut conn, "job_id", "depends_on", id).await?,
        batch,
    };
    queue.give_back(conn);
    Ok(details)
}

pub(crate) fn unknown(id: u64) -> Error {
    Error::usage("jobs.unknown_id", format!("there is no job {id}")).hint(
        "finished jobs are kept only where their queue has a history; `headwater jobs ls` lists what is there, and a job \
         that was just enqueued is seen after its transaction was committed",
    )
}

impl Done {
    fn read(row: &headwater_mysql::driver::Row) -> Result<Self> {
        Ok(Self {
            queue: column(row, "queue")?,
            job_type: column(row, "job_type")?,
            priority: column(row, "priority")?,
            outcome: column(row, "outcome")?,
            retry_count: column(row, "retry_count")?,
            created_at: column(row, "created_at")?,
            started_at: column(row, "started_at")?,
            finished_at: column(row, "finished_at")?,
        })
    }
}

async fn worker_by_id(conn: &mut impl Queryable, id: u64) -> Result<Option<Worker>> {
    let sql = format!(
        "SELECT id, name, state, {}, {}, TIMESTAMPDIFF(MICROSECOND, NOW(6), lease_until) / 1000000e0 AS lease_left \
         FROM job_workers WHERE id = ?",
        utc("seen_at"),
        utc("lease_until")
    );
    let Some(row) = first(conn, "read job_workers", sql, (id,)).await? else { return Ok(None) };
    Ok(Some(Worker {
        id: column(&row, "id")?,
        name: column(&row, "name")?,
        state: column(&row, "state")?,
        seen_at: column(&row, "seen_at")?,
        lease_until: column(&row, "lease_until")?,
        lease_left: column(&row, "lease_left")?,
    }))
}

async fn batch_by_id(conn: &mut impl Queryable, id: u64) -> Result<Option<BatchFacts>> {
    let sql = format!("SELECT name, sealed, callback_type, {} FROM job_batches WHERE id = ?", utc("finished_at"));
    let Some(row) = first(conn, "read job_batches", sql, (id,)).await? else { return Ok(None) };
    Ok(Some(BatchFacts {
        id,
        name: column(&row, "name")?,
        sealed: column(&row, "sealed")?,
        callback_type: column(&row, "callback_type")?,
        finished_at: column(&row, "finished_at")?,
    }))
}

async fn attempts(conn: &mut impl Queryable, id: u64) -> Result<Vec<Attempt>> {
    let sql = format!(
        "SELECT a.attempt, a.worker_id, {}, {}, a.error_message FROM job_attempts a WHERE a.job_id = ? \
         ORDER BY a.failed_at DESC LIMIT {SHOWN}",
        utc("a.started_at"),
        utc("a.failed_at")
    );
    let found = rows(conn, "read job_attempts", sql, (id,)).await?;
    found
        .iter()
        .rev()
        .map(|row| {
            Ok(Attempt {
                attempt: column(row, "attempt")?,
                worker_id: column(row, "worker_id")?,
                started_at: column(row, "started_at")?,
                failed_at: column(row, "failed_at")?,
                error_message: column(row, "error_message")?,
            })
        })
        .collect()
}

/// The jobs on the other side of this one's rows in `job_dependencies`.
async fn links(conn: &mut impl Queryable, other: &str, own: &str, id: u64) -> Result<Vec<Link>> {
    let sql = format!(
        "SELECT d.{other} AS id, j.status FROM job_dependencies d LEFT JOIN jobs j ON j.id = d.{other} \
         WHERE d.{own} = ? ORDER BY d.{other} LIMIT {SHOWN}"
    );
    let found = rows(conn, "read job_dependencies", sql, (id,)).await?;
    found.iter().map(|row| Ok(Link { id: column(row, "id")?, status: column(row, "status")? })).collect()
}

#[cfg(test)]
mod tests {
    fn shown(payload: &str) -> String {
        let mut out = Vec::new();
        super::raw(payload, &mut serde_json::Serializer::new(&mut out)).expect("JSON");
        String::from_utf8(out).expect("a text")
    }

    #[test]
    fn payloads_are_json_in_json_and_stay_on_one_line() {
        assert_eq!(shown(r#"{"b": 12345678901234567890123, "a": 1}"#), r#"{"b": 12345678901234567890123, "a": 1}"#);
        assert_eq!(shown("{\n\"a\": [1]}"), r#"{"a":[1]}"#);
        assert_eq!(shown("not JSON"), r#""not JSON""#);
    }
}
