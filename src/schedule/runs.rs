//! Runs: those there were, and those of days that are to be filled.

use headwater_change::{Error, Result};
use headwater_jobs::limits::{self, Limit};
use headwater_jobs::maintain::{Known, Pattern, unique_key_at};
use headwater_jobs::{NewJob, Queue};
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Row, params};
use serde::Serialize;

use super::arguments::{BackfillArguments, Common};
use super::script::Payload;
use super::{JOB_TYPE, QUEUE, open};
use crate::jobs::print::Printer;

/// A run, as people see it.
#[derive(Debug, Serialize)]
pub(crate) struct ShownRun {
    pub(crate) id: u64,
    pub(crate) schedule: String,
    /// The interval by the clock of the schedule's zone.
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) status: String,
    pub(crate) failures: u32,
    /// In UTC.
    pub(crate) started_at: Option<String>,
    pub(crate) seconds: Option<f64>,
    pub(crate) error: Option<String>,
}

const RUNS: &str = "SELECT * FROM (
  SELECT id, CAST(payload AS CHAR) AS payload, CAST(status AS CHAR) AS status, retry_count,
    DATE_FORMAT(CONVERT_TZ(started_at, @@session.time_zone, '+00:00'), '%Y-%m-%d %H:%i:%s') AS started_at,
    IF(status IN ('RUNNING', 'CANCELLING'), TIMESTAMPDIFF(MICROSECOND, started_at, NOW(6)) / 1e6, NULL) AS seconds,
    last_error_message AS error FROM jobs WHERE queue = :queue
  UNION ALL
  SELECT id, CAST(payload AS CHAR), CAST(outcome AS CHAR), retry_count,
    DATE_FORMAT(CONVERT_TZ(started_at, @@session.time_zone, '+00:00'), '%Y-%m-%d %H:%i:%s'),
    TIMESTAMPDIFF(MICROSECOND, started_at, finished_at) / 1e6, NULL FROM jobs_done WHERE queue = :queue) runs
WHERE :name IS NULL OR JSON_UNQUOTE(JSON_EXTRACT(payload, '$.schedule')) = :name
ORDER BY CAST(JSON_EXTRACT(payload, '$.scheduled_at') AS SIGNED) DESC, id DESC LIMIT ";

pub(super) async fn list(common: &Common, name: Option<&str>, limit: u32) -> Result<()> {
    let queue = open(common).await?;
    let mut conn = queue.session().await?;
    let failed = |error| query_error("list the runs", error);
    let sql = format!("{RUNS}{limit}");
    let params = params! { "queue" => QUEUE, "name" => name };
    let rows: Vec<Row> = conn.exec(sql, params).await.map_err(failed)?;
    let runs: Vec<ShownRun> = rows.into_iter().filter_map(shown).collect();
    Printer::new(common.output).runs(&runs)
}

fn shown(mut row: Row) -> Option<ShownRun> {
    let payload: Payload = serde_json::from_str(&row.take::<String, _>("payload")?).ok()?;
    let end = payload.scheduled_at?;
    let pattern = Pattern::parse(&payload.cron, &payload.time_zone).ok()?;
    Some(ShownRun {
        id: row.take("id")?,
        schedule: payload.schedule,
        start: pattern.begin_of(end).map(|start| pattern.shown(start)).unwrap_or_default(),
        end: pattern.shown(end),
        status: row.take::<String, _>("status")?.to_lowercase(),
        failures: row.take("retry_count")?,
        started_at: row.take::<Option<String>, _>("started_at")?,
        seconds: row.take::<Option<f64>, _>("seconds")?,
        error: row.take::<Option<String>, _>("error")?,
    })
}

/// Enqueues the runs of the days. Gives how many there are.
pub(super) async fn backfill(queue: &Queue, schedule: &Known, arguments: &BackfillArguments) -> Result<u64> {
    let pattern = Pattern::parse(&schedule.cron, &schedule.time_zone)?;
    let (from, to) = (pattern.day(&arguments.from, 0)?, pattern.day(&arguments.to, 1)?);
    if from >= to {
        return Err(Error::usage("jobs.date", format!("{} lies behind {}", arguments.from, arguments.to))
            .hint("--from is the first day, --to the last one"));
    }
    let mut conn = queue.session().await?;
    let now: Option<(i64, String)> = conn
        .query_first("SELECT CAST(FLOOR(UNIX_TIMESTAMP(NOW(6))) AS SIGNED), CAST(UUID_SHORT() AS CHAR)")
        .await
        .map_err(|error| query_error("ask for the time", error))?;
    let (now, mark) = now.ok_or_else(|| Error::bug("schedule.time", "the server has no time"))?;
    let key = format!("backfill {}", schedule.name);
    let limit = Limit { max_running: Some(arguments.parallel), rate: None, burst: 1 };
    limits::upsert(&mut conn, &[(QUEUE.to_owned(), key.clone(), limit)]).await?;
    queue.give_back(conn);
    let base: Payload = serde_json::from_str(&schedule.payload).map_err(|error| {
        Error::usage("jobs.unknown_schedule", format!("'{}' is no schedule of scripts", schedule.name)).caused_by(error)
    })?;
    let intervals = pattern.intervals(from, to)?;
    let (ended, open): (Vec<_>, Vec<_>) = intervals.into_iter().partition(|(_, end)| *end <= now);
    if !open.is_empty() {
        eprintln!("note: {} intervals have not ended yet and are left out", open.len());
    }
    let mut jobs = Vec::with_capacity(ended.len());
    for (_, end) in ended {
        let again = arguments.again.then(|| mark.clone());
        let payload = Payload { scheduled_at: Some(end), again, ..base.clone() };
        let job = NewJob::new(JOB_TYPE, &payload)?.queue(QUEUE).limit_key(key.as_str());
        jobs.push(job.unique_key(unique_key_at(&schedule.name, end)));
    }
    let enqueued = queue.enqueue_all(&jobs).await?;
    let there = jobs.len() as u64 - enqueued;
    if there > 0 {
        eprintln!("note: {there} of them were enqueued before and have not ended");
    }
    Ok(enqueued)
}
