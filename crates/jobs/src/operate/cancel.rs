//! Jobs taken out of the queue.

use std::collections::BTreeSet;

use headwater_change::Result;
use headwater_mysql::driver::Transaction;
use serde::Serialize;

use crate::complete::{id_list, remove, to_history};
use crate::operate::held::{self, Held, Step};
use crate::operate::read::{change, column, rows};
use crate::operate::{CHUNK, Change, Status};
use crate::queue::Queue;

/// What became of a job that was to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancelled {
    /// It is in the history as CANCELLED and will not run.
    Cancelled,
    /// A worker has it: it was told and stops it within seconds, unless the job ends first.
    Stopping,
    /// It was done or cancelled before.
    Finished,
    /// Somebody else held its row for two seconds: perhaps it completes in its own transaction at this moment.
    Busy,
    /// It is not in the table and not in the history.
    Unknown,
}

struct Cancel;

impl Step for Cancel {
    type Outcome = Cancelled;

    async fn apply(&self, transaction: &mut Transaction<'_>, held: &[Held]) -> Result<Vec<Change<Cancelled>>> {
        let with = |wanted: &[Status]| -> Vec<u64> {
            held.iter().filter(|job| wanted.contains(&job.status)).map(|job| job.id).collect()
        };
        let running = with(&[Status::Running]);
        if !running.is_empty() {
            let sql =
                format!("UPDATE jobs SET status = 'CANCELLING' WHERE {} AND status = 'RUNNING'", id_list(&running));
            change(transaction, "cancel jobs", sql).await?;
        }
        let idle = with(&[Status::Pending, Status::Waiting, Status::Parked, Status::Dead]);
        if !idle.is_empty() {
            let condition = id_list(&idle);
            to_history(transaction, "CANCELLED", &condition).await?;
            remove(transaction, &condition).await?;
        }
        let outcome = |job: &Held| match job.status {
            Status::Running | Status::Cancelling => Cancelled::Stopping,
            _ => Cancelled::Cancelled,
        };
        Ok(held.iter().map(|job| Change { id: job.id, outcome: outcome(job) }).collect())
    }

    fn busy(&self) -> Cancelled {
        Cancelled::Busy
    }

    fn gone(&self) -> Cancelled {
        Cancelled::Unknown
    }
}

/// Cancels these jobs: what does not run moves to the history, what runs is stopped by its worker. The answer is in the
/// order of the numbers, each once. Jobs that depend on a cancelled one run as if it were done: whoever does not want
/// that cancels [`with_dependents`]. A batch whose last job is cancelled is finished by the next sweep of a worker.
///
/// # Errors
/// `jobs.grant`, `jobs.tables_missing`, `mysql.query`.
pub async fn cancel(queue: &Queue, ids: &[u64]) -> Result<Vec<Change<Cancelled>>> {
    let mut changes = held::each(queue, ids, &Cancel).await?;
    let gone: Vec<u64> =
        changes.iter().filter(|change| change.outcome == Cancelled::Unknown).map(|change| change.id).collect();
    let moved: Vec<u64> =
        changes.iter().filter(|change| change.outcome == Cancelled::Cancelled).map(|change| change.id).collect();
    let mut conn = queue.session().await?;
    // As after a completion; the batches of these jobs are seen by the next sweep.
    crate::settle::settle(&mut conn, &moved, &[]).await?;
    let mut finished = BTreeSet::new();
    for part in gone.chunks(CHUNK) {
        let sql = format!("SELECT id FROM jobs_done WHERE id IN ({})", held::list(part));
        for row in rows(&mut conn, "read the history", sql, ()).await? {
            finished.insert(column::<u64>(&row, "id")?);
        }
    }
    queue.give_back(conn);
    for change in changes.iter_mut().filter(|change| finished.contains(&change.id)) {
        change.outcome = Cancelled::Finished;
    }
    Ok(changes)
}

/// These jobs and those that wait for them, and so on, in the order of their numbers.
///
/// # Errors
/// `jobs.grant`, `jobs.tables_missing`, `mysql.query`.
pub async fn with_dependents(queue: &Queue, ids: &[u64]) -> Result<Vec<u64>> {
    let mut conn = queue.session().await?;
    let mut all: BTreeSet<u64> = ids.iter().copied().collect();
    let mut new: Vec<u64> = all.iter().copied().collect();
    while !new.is_empty() {
        let mut next = Vec::new();
        for part in new.chunks(CHUNK) {
            let sql = format!(
                "SELECT d.job_id FROM job_dependencies d FORCE INDEX (depends_on) JOIN jobs j ON j.id = d.job_id \
                 WHERE d.depends_on IN ({}) AND j.status = 'WAITING'",
                held::list(part)
            );
            for row in rows(&mut conn, "read job_dependencies", sql, ()).await? {
                let id = column(&row, "job_id")?;
                if all.insert(id) {
                    next.push(id);
                }
            }
        }
        new = next;
    }
    queue.give_back(conn);
    Ok(all.into_iter().collect())
}
