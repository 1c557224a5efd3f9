//! What finished jobs set free: jobs that waited for them, and the callbacks of batches.
//!
//! Everything here happens after the completions were committed, and everything can be done again: [`settle`] is the quick
//! way for what has just finished, [`sweep`] finds what was left by a process that died in between. Whoever decides about
//! a child or a batch holds its row, so of two parents that finish at the same time the second one sees both gone. A DEAD
//! parent is not done: its children wait until it is retried or deleted.

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, TxOpts, params};

use crate::complete::id_list;

/// Children of one transaction.
const CHUNK: usize = 200;

/// Parents and batches one [`sweep`] looks at.
const LOOK: u64 = 1_000;

/// What was set free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Jobs that waited and are pending now.
    pub(crate) released: u64,
    /// Batches that are finished now.
    pub(crate) batches: u64,
}

impl std::ops::AddAssign for Settled {
    fn add_assign(&mut self, other: Self) {
        self.released += other.released;
        self.batches += other.batches;
    }
}

/// How far the sweeps got, so that each looks at the next part of what is open.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    parent: u64,
    batch: u64,
}

/// Whether there is something open to sweep: dependencies, batches. Two columns of a SELECT.
pub(crate) const OPEN: &str = "EXISTS (SELECT 1 FROM job_dependencies), \
                               EXISTS (SELECT 1 FROM job_batches FORCE INDEX (open) WHERE finished_at IS NULL AND sealed = 1)";

/// Whether the batch `b` can be finished: it is open, and none of its jobs is left, or only dead ones where they do not count.
const BATCH_DONE: &str = "(b.sealed = 1 AND b.finished_at IS NULL AND NOT EXISTS (SELECT 1 FROM jobs j FORCE INDEX (batch) \
                          WHERE j.batch_id = b.id AND (b.callback_when = 'ALL_SUCCEEDED' OR j.status <> 'DEAD')))";

/// Sets free what waited for these jobs, which are gone, and finishes those of the batches that are done.
pub(crate) async fn settle(conn: &mut Conn, ids: &[u64], batches: &[u64]) -> Result<Settled> {
    let mut settled = Settled::default();
    for parents in ids.chunks(CHUNK) {
        settled.released += parents_done(conn, parents).await?;
    }
    if !batches.is_empty() {
        let sql = format!("SELECT b.id FROM job_batches b WHERE b.id IN ({}) AND {BATCH_DONE}", list(batches));
        let done: Vec<u64> =
            conn.query(sql).await.map_err(|error| query_error("look for batches that are done", error))?;
        settled.batches += finish_all(conn, &done).await?;
    }
    Ok(settled)
}

/// The safety net: the next part of the dependencies whose parent is gone, and of the open batches.
pub(crate) async fn sweep(conn: &mut Conn, swept: &mut Swept) -> Result<Settled> {
    let parents: Vec<(u64, bool)> = conn
        .exec(
            "SELECT d.depends_on, p.id IS NULL FROM (SELECT DISTINCT depends_on FROM job_dependencies FORCE INDEX (depends_on) \
             WHERE depends_on > :after ORDER BY depends_on LIMIT 1000) d LEFT JOIN jobs p ON p.id = d.depends_on",
            params! { "after" => swept.parent },
        )
        .await
        .map_err(|error| query_error("look for parents that are gone", error))?;
    swept.parent = after(parents.iter().map(|(parent, _)| *parent));
    let batches: Vec<(u64, bool)> = conn
        .exec(
            format!(
                "SELECT b.id, {BATCH_DONE} FROM (SELECT id, sealed, finished_at, callback_when FROM job_batches \
                 FORCE INDEX (open) WHERE finished_at IS NULL AND id > :after ORDER BY id LIMIT 1000) b"
            ),
            params! { "after" => swept.batch },
        )
        .await
        .map_err(|error| query_error("look for batches that are done", error))?;
    swept.batch = after(batches.iter().map(|(batch, _)| *batch));
    let done = |rows: Vec<(u64, bool)>| -> Vec<u64> { rows.into_iter().filter(|row| row.1).map(|row| row.0).collect() };
    let mut settled = settle(conn, &done(parents), &[]).await?;
    settled.batches += finish_all(conn, &done(batches)).await?;
    Ok(settled)
}

/// Where the next sweep goes on: from the start after a part that was not full.
fn after(numbers: impl ExactSizeIterator<Item = u64>) -> u64 {
    if (numbers.len() as u64) < LOOK { 0 } else { numbers.max().unwrap_or(0) }
}

/// Sets waiting jobs of a queue free that wait for nothing: somebody deleted their dependencies. Young ones are left
/// alone, as their dependencies may be on the way.
pub(crate) async fn sweep_waiting(conn: &mut Conn, queue: &str) -> Result<u64> {
    let children: Vec<u64> = conn
        .exec(
            "SELECT id FROM jobs FORCE INDEX (claim) WHERE queue = :queue AND status = 'WAITING' AND later = 0 \
             AND created_at < NOW(6) - INTERVAL 10 SECOND \
             AND NOT EXISTS (SELECT 1 FROM job_dependencies d WHERE d.job_id = jobs.id) LIMIT 1000",
            params! { "queue" => queue },
        )
        .await
        .map_err(|error| query_error("look for jobs that wait for nothing", error))?;
    release_children(conn, &children, &[]).await
}

/// Deletes the dependencies on these parents and sets free who has no other.
async fn parents_done(conn: &mut Conn, parents: &[u64]) -> Result<u64> {
    let sql = format!(
        "SELECT DISTINCT job_id FROM job_dependencies FORCE INDEX (depends_on) WHERE depends_on IN ({})",
        list(parents)
    );
    let children: Vec<u64> = conn.query(sql).await.map_err(|error| query_error("look for waiting jobs", error))?;
    release_children(conn, &children, parents).await
}

async fn release_children(conn: &mut Conn, children: &[u64], parents: &[u64]) -> Result<u64> {
    let mut children = children.to_vec();
    children.sort_unstable();
    let mut released = 0;
    for chunk in children.chunks(CHUNK) {
        released += release_chunk(conn, chunk, parents).await?;
    }
    Ok(released)
}

async fn release_chunk(conn: &mut Conn, children: &[u64], parents: &[u64]) -> Result<u64> {
    let failed = |error| query_error("set waiting jobs free", error);
    let mut transaction = conn.start_transaction(TxOpts::default()).await.map_err(failed)?;
    let sql = format!("SELECT id FROM jobs WHERE {} AND status = 'WAITING' ORDER BY id FOR UPDATE", id_list(children));
    let waiting: Vec<u64> = transaction.query(sql).await.map_err(failed)?;
    if !parents.is_empty() {
        let sql = format!(
            "DELETE FROM job_dependencies WHERE job_id IN ({}) AND depends_on IN ({})",
            list(children),
            list(parents)
        );
        transaction.query_drop(sql).await.map_err(failed)?;
    }
    let mut released = 0;
    if !waiting.is_empty() {
        let sql = format!("SELECT DISTINCT job_id FROM job_dependencies WHERE job_id IN ({})", list(&waiting));
        let held: std::collections::HashSet<u64> =
            transaction.query::<u64, _>(sql).await.map_err(failed)?.into_iter().collect();
        let free: Vec<u64> = waiting.into_iter().filter(|id| !held.contains(id)).collect();
        if !free.is_empty() {
            // Ready from now on, and still not before run_at: `later` becomes 1 where that is yet to come.
            let sql = format!("UPDATE jobs SET status = 'PENDING', ready_from = NOW(6) WHERE {}", id_list(&free));
            transaction.query_drop(sql).await.map_err(failed)?;
            released = transaction.affected_rows();
        }
    }
    transaction.commit().await.map_err(failed)?;
    Ok(released)
}

async fn finish_all(conn: &mut Conn, batches: &[u64]) -> Result<u64> {
    let mut finished = 0;
    for batch in batches {
        finished += u64::from(finish(conn, *batch).await?);
    }
    Ok(finished)
}

/// Finishes a batch and enqueues its callback if it still is to be; exactly once, as whoever does it holds the row of the
/// batch. Returns whether this call did it.
async fn finish(conn: &mut Conn, batch: u64) -> Result<bool> {
    let failed = |error| query_error("finish a batch", error);
    let mut transaction = conn.start_transaction(TxOpts::default()).await.map_err(failed)?;
    // Locked first, then looked at: what was true before the lock may not be any more.
    let locked: Option<u64> = transaction
        .exec_first("SELECT id FROM job_batches WHERE id = :batch FOR UPDATE", params! { "batch" => batch })
        .await
        .map_err(failed)?;
    let sql = format!("SELECT callback_type IS NOT NULL FROM job_batches b WHERE b.id = :batch AND {BATCH_DONE}");
    let done: Option<bool> = transaction.exec_first(sql, params! { "batch" => batch }).await.map_err(failed)?;
    let (Some(_), Some(callback)) = (locked, done) else {
        transaction.rollback().await.map_err(failed)?;
        return Ok(false);
    };
    transaction
        .exec_drop("UPDATE job_batches SET finished_at = NOW(6) WHERE id = :batch", params! { "batch" => batch })
        .await
        .map_err(failed)?;
    if callback {
        transaction
            .exec_drop(
                "INSERT INTO jobs (queue, job_type, payload) SELECT callback_queue, callback_type, \
                 COALESCE(callback_payload, JSON_OBJECT('batch_id', id)) FROM job_batches WHERE id = :batch",
                params! { "batch" => batch },
            )
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}

/// Numbers for an IN list.
fn list(ids: &[u64]) -> String {
    ids.iter().map(u64::to_string).collect::<Vec<String>>().join(",")
}

#[cfg(test)]
mod tests;
