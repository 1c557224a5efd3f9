//! Queues as a whole: which there are, pause and resume.

use headwater_change::Result;
use headwater_mysql::driver::params;
use headwater_mysql::driver::prelude::Queryable;

use crate::operate::read::{column, failed, first, rows};
use crate::queue::Queue;

/// Queues that are looked for. A queue is a way of dividing work, not a key: whoever needs more has `limit_key`.
const QUEUES: usize = 1_000;

/// Stops claims from a queue, whatever processes work on it; jobs that run go on. Returns whether it was not paused before.
///
/// # Errors
/// `jobs.grant`, `jobs.tables_missing`, `mysql.query`.
pub async fn pause(queue: &Queue, name: &str) -> Result<bool> {
    set_paused(queue, name, true).await
}

/// Allows claims from a queue again. Returns whether it was paused before.
///
/// # Errors
/// `jobs.grant`, `jobs.tables_missing`, `mysql.query`.
pub async fn resume(queue: &Queue, name: &str) -> Result<bool> {
    set_paused(queue, name, false).await
}

async fn set_paused(queue: &Queue, name: &str, paused: bool) -> Result<bool> {
    let mut conn = queue.session().await?;
    let before = first(&mut conn, "read job_queues", "SELECT paused FROM job_queues WHERE queue = ?", (name,)).await?;
    let before = before.map_or(Ok(false), |row| column::<bool>(&row, "paused"))?;
    conn.exec_drop(
        "INSERT INTO job_queues (queue, paused) VALUES (:queue, :paused) ON DUPLICATE KEY UPDATE paused = :paused",
        params! { "queue" => name, "paused" => paused },
    )
    .await
    .map_err(failed("change job_queues"))?;
    queue.give_back(conn);
    Ok(before != paused)
}

/// The queues that have jobs or settings, in the order of their names.
///
/// # Errors
/// `jobs.grant`, `jobs.tables_missing`, `mysql.query`.
pub async fn queues(queue: &Queue) -> Result<Vec<String>> {
    let mut conn = queue.session().await?;
    let names = all_queues(&mut conn).await?;
    queue.give_back(conn);
    Ok(names.into_iter().map(|(name, _)| name).collect())
}

/// As [`queues`], with whether they are paused.
pub(crate) async fn all_queues(conn: &mut impl Queryable) -> Result<Vec<(String, bool)>> {
    let mut names: std::collections::BTreeMap<String, bool> =
        queues_with_jobs(conn).await?.into_iter().map(|name| (name, false)).collect();
    for row in rows(conn, "read job_queues", "SELECT queue, paused FROM job_queues", ()).await? {
        names.insert(column(&row, "queue")?, column(&row, "paused")?);
    }
    Ok(names.into_iter().collect())
}

/// The queues that have jobs: one look into the index for each, because a DISTINCT may read all of it.
pub(crate) async fn queues_with_jobs(conn: &mut impl Queryable) -> Result<Vec<String>> {
    const NEXT: &str = "SELECT queue FROM jobs FORCE INDEX (claim) WHERE queue > ? ORDER BY queue LIMIT 1";
    let mut names: Vec<String> = Vec::new();
    // The empty name is not greater than itself.
    if first(conn, "list queues", "SELECT id FROM jobs FORCE INDEX (claim) WHERE queue = '' LIMIT 1", ())
        .await?
        .is_some()
    {
        names.push(String::new());
    }
    while names.len() < QUEUES {
        let last = names.last().map_or("", String::as_str);
        match first(conn, "list queues", NEXT, (last,)).await? {
            Some(row) => names.push(column(&row, "queue")?),
            None => break,
        }
    }
    Ok(names)
}
