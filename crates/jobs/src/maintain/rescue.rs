//! Jobs of processes that are gone get one more try.
//!
//! A worker whose lease ran out is first marked LOST, after which its heartbeat finds no row any more; then its jobs go
//! through the same statement as any failed job, so that an expired lease counts as a try and is kept as an attempt. What
//! is read to find the jobs locks nothing: only the rows that are taken are locked, by their primary key.

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, TxOpts, params};

use crate::complete::{Failed, fail, id_list};
use crate::handler::Handlers;

/// Jobs of one transaction.
const CHUNK: usize = 100;

/// Whether there is a worker to look at, as an expression.
pub(super) const LOST: &str = "EXISTS (SELECT 1 FROM job_workers WHERE state = 'LOST' OR lease_until < NOW(6))";

/// Every queue that has a row, by one probe of the index each.
pub(super) const QUEUES: &str = "SELECT DISTINCT queue FROM jobs FORCE INDEX (claim)";

/// What one round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rescued {
    /// Jobs taken back.
    pub(super) jobs: u64,
    /// Workers that were found lost.
    pub(super) workers: u64,
}

/// Takes the jobs of lost workers back, and removes the workers that have none left.
pub(super) async fn lost_workers(conn: &mut Conn, handlers: &Handlers) -> Result<Rescued> {
    let mut rescued = Rescued::default();
    let workers: Vec<(u64, String, String, String)> = conn
        .query(
            "SELECT id, name, CAST(seen_at AS CHAR), CAST(state AS CHAR) FROM job_workers \
             WHERE state = 'LOST' OR lease_until < NOW(6) ORDER BY id",
        )
        .await
        .map_err(|error| query_error("look for lost workers", error))?;
    if workers.is_empty() {
        return Ok(rescued);
    }
    let queues = queues(conn).await?;
    for (worker, name, seen_at, state) in workers {
        if state != "LOST" {
            if !mark(conn, worker).await? {
                continue; // it lives after all
            }
            // One that stopped ends its lease itself; its row goes as soon as it holds nothing.
            if state == "ALIVE" {
                rescued.workers += 1;
                tracing::warn!(worker, name, seen_at, "the lease of a worker expired");
            }
        }
        let message = format!("lease expired: worker {worker} ({name}) was last seen at {seen_at} UTC");
        let of_worker = format!("locked_by >> 32 = {worker}");
        let mut left = false;
        for queue in &queues {
            let ids = candidates(conn, queue, &of_worker).await?;
            for chunk in ids.chunks(CHUNK) {
                let taken = take(conn, handlers, chunk, &of_worker, &message).await?;
                rescued.jobs += taken;
                left |= taken < chunk.len() as u64;
            }
        }
        // What somebody held locked is looked at again in the next round; what was claimed meanwhile is an orphan.
        if !left {
            conn.exec_drop(
                "DELETE FROM job_workers WHERE id = :worker AND state = 'LOST'",
                params! { "worker" => worker },
            )
            .await
            .map_err(|error| query_error("remove a lost worker", error))?;
        }
    }
    Ok(rescued)
}

/// Takes back running jobs of workers without a row: somebody deleted it, or they claimed just when it was deleted.
pub(super) async fn orphans(conn: &mut Conn, handlers: &Handlers) -> Result<u64> {
    const OF_NOBODY: &str = "NOT EXISTS (SELECT 1 FROM job_workers w WHERE w.id = jobs.locked_by >> 32)";
    let mut rescued = 0;
    for queue in queues(conn).await? {
        let ids = candidates(conn, &queue, OF_NOBODY).await?;
        for chunk in ids.chunks(CHUNK) {
            rescued +=
                take(conn, handlers, chunk, "locked_by IS NOT NULL", "lease expired: its worker is gone").await?;
            // Only a person writes such a row: RUNNING, and nobody has it.
            let sql = format!(
                "UPDATE jobs SET status = 'PENDING', ready_from = NOW(6), started_at = NULL \
                 WHERE {} AND locked_by IS NULL AND status IN ('RUNNING', 'CANCELLING')",
                id_list(chunk)
            );
            conn.query_drop(sql).await.map_err(|error| query_error("take back a job of nobody", error))?;
            rescued += conn.affected_rows();
        }
    }
    Ok(rescued)
}

/// Every queue that has jobs.
pub(super) async fn queues(conn: &mut Conn) -> Result<Vec<String>> {
    conn.query(QUEUES).await.map_err(|error| query_error("list the queues", error))
}

/// Whether the worker is lost now; one that beat meanwhile is not.
async fn mark(conn: &mut Conn, worker: u64) -> Result<bool> {
    conn.exec_drop(
        "UPDATE job_workers SET state = 'LOST' WHERE id = :worker AND state <> 'LOST' AND lease_until < NOW(6)",
        params! { "worker" => worker },
    )
    .await
    .map_err(|error| query_error("mark a worker as lost", error))?;
    Ok(conn.affected_rows() > 0)
}

/// Running jobs of a queue that meet a condition; nothing is locked.
async fn candidates(conn: &mut Conn, queue: &str, condition: &str) -> Result<Vec<u64>> {
    let sql = format!(
        "SELECT id FROM jobs FORCE INDEX (claim) WHERE queue = :queue AND status IN ('RUNNING', 'CANCELLING') \
         AND later = 0 AND {condition}"
    );
    let mut ids: Vec<u64> = conn
        .exec(sql, params! { "queue" => queue })
        .await
        .map_err(|error| query_error("look for jobs of lost workers", error))?;
    ids.sort_unstable();
    Ok(ids)
}

/// Fails those of the jobs that still meet the condition and that nobody holds locked. Returns how many.
async fn take(conn: &mut Conn, handlers: &Handlers, ids: &[u64], condition: &str, message: &str) -> Result<u64> {
    let mut transaction =
        conn.start_transaction(TxOpts::default()).await.map_err(|error| query_error("begin a transaction", error))?;
    let sql = format!(
        "SELECT id, locked_by, job_type, retry_count FROM jobs WHERE {} AND status IN ('RUNNING', 'CANCELLING') \
         AND {condition} ORDER BY id FOR UPDATE SKIP LOCKED",
        id_list(ids)
    );
    let jobs: Vec<(u64, u64, String, u32)> =
        transaction.query(sql).await.map_err(|error| query_error("lock jobs of a lost worker", error))?;
    let mut taken = 0;
    for (id, token, job_type, retry_count) in jobs {
        let policy = &handlers.settings(&job_type).retry;
        let failed = Failed {
            id,
            token,
            message: message.to_owned(),
            delay: policy.delay(retry_count.saturating_add(1), chance(id ^ token)),
            max_retries: Some(policy.max_retries),
        };
        taken += u64::from(fail(&mut transaction, &failed).await?);
    }
    transaction.commit().await.map_err(|error| query_error("commit rescued jobs", error))?;
    Ok(taken)
}

/// A number between 0 and 1 that differs from job to job, so that rescued jobs do not come back all at once.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
fn chance(seed: u64) -> f64 {
    let mixed = (seed ^ (seed >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::chance;

    #[test]
    fn chances_are_spread() {
        let chances: Vec<f64> = (1..=1_000).map(chance).collect();
        assert!(chances.iter().all(|chance| (0.0..1.0).contains(chance)));
        for tenth in 0..10 {
            let low = f64::from(tenth) / 10.0;
            assert!(chances.iter().any(|chance| (low..low + 0.1).contains(chance)), "{tenth}");
        }
    }
}
