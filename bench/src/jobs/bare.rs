//! The limit: claim and delete with nothing around it. Rows of the same table are claimed and completed by the same
//! statements as the library's, but nobody runs them, counts tries, keeps a lease or looks for anything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, Row};
use serde::Serialize;
use tokio::task::JoinSet;

use super::Outcome;
use super::ground::{Cores, Ground};

/// In which transactions a batch is claimed and deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Form {
    /// Claim and commit, delete and commit.
    Separate,
    /// The batch before is deleted in the transaction that claims the next one: half the commits.
    Fused,
    /// Claimed by its locks alone and deleted in the same transaction: no lease, nobody could see it running.
    Held,
}

/// How the rows of a batch are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Naming {
    /// `id IN (…)`.
    List,
    /// `id BETWEEN … AND …` where the numbers follow each other.
    Range,
}

/// Where a claim begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Reading {
    Front,
    Cursor,
}

/// One way to do it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Bare {
    pub(super) connections: usize,
    pub(super) batch: usize,
    pub(super) form: Form,
    pub(super) naming: Naming,
    pub(super) reading: Reading,
}

/// Completes jobs for a while; jobs per second.
pub(super) async fn run(ground: &Ground, bare: Bare, warm: Duration, time: Duration) -> Outcome<(f64, Cores)> {
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut loops = JoinSet::new();
    for number in 0..bare.connections {
        let one = Loop {
            conn: ground.queue.session().await?,
            bare,
            // No worker has this number.
            token: (1 << 60) + ((number as u64) << 32),
            cursor: 0,
            done: Arc::clone(&done),
        };
        loops.spawn(one.run(Arc::clone(&stop)));
    }
    let figures = ground.rate(warm, time, || done.load(Ordering::Relaxed)).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    Ok(figures)
}

struct Loop {
    conn: Conn,
    bare: Bare,
    token: u64,
    cursor: u64,
    done: Arc<AtomicU64>,
}

impl Loop {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Outcome<()> {
        let mut held = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            self.token += 1;
            held = match self.bare.form {
                Form::Separate => {
                    let claimed = self.claim(&[]).await?;
                    self.conn.query_drop(self.delete(&claimed, self.token)).await?;
                    self.count(&claimed);
                    Vec::new()
                }
                Form::Fused => self.claim(&held).await?,
                Form::Held => self.hold().await?,
            };
        }
        if !held.is_empty() && self.bare.form == Form::Fused {
            self.conn.query_drop(self.delete(&held, self.token)).await?;
        }
        Ok(())
    }

    /// Claims a batch, and deletes the one before in the same transaction. Two round trips.
    async fn claim(&mut self, before: &[u64]) -> Outcome<Vec<u64>> {
        let delete =
            if before.is_empty() { String::new() } else { format!("{}; ", self.delete(before, self.token - 1)) };
        let sql = format!("START TRANSACTION; {delete}{}", self.select());
        let ids = self.pick(sql, if before.is_empty() { 1 } else { 2 }).await?;
        if ids.is_empty() {
            return Err("no jobs are left".into());
        }
        let (token, rows) = (self.token, self.rows(&ids));
        let sql = format!(
            "UPDATE jobs SET status = 'RUNNING', locked_by = {token}, started_at = NOW(6), progress = NULL, \
             progress_message = NULL WHERE {rows}; COMMIT"
        );
        self.conn.query_drop(sql).await?;
        self.count(before);
        Ok(ids)
    }

    async fn hold(&mut self) -> Outcome<Vec<u64>> {
        let ids = self.pick(format!("START TRANSACTION; {}", self.select()), 1).await?;
        if ids.is_empty() {
            return Err("no jobs are left".into());
        }
        let sql = format!("DELETE FROM jobs WHERE {}; COMMIT", self.rows(&ids));
        self.conn.query_drop(sql).await?;
        self.count(&ids);
        Ok(Vec::new())
    }

    /// The jobs that the last of some statements brings, in order of their numbers.
    async fn pick(&mut self, sql: String, before: usize) -> Outcome<Vec<u64>> {
        let mut result = self.conn.query_iter(sql).await?;
        for _ in 0..before {
            let _: Vec<Row> = result.collect().await?;
        }
        let rows: Vec<(u64, String, String)> = result.collect().await?;
        result.drop_result().await?;
        let mut ids: Vec<u64> = rows.into_iter().map(|(id, _, _)| id).collect();
        ids.sort_unstable();
        self.cursor = ids.last().copied().unwrap_or(self.cursor);
        Ok(ids)
    }

    fn select(&self) -> String {
        let onward = match self.bare.reading {
            Reading::Front => String::new(),
            Reading::Cursor => format!(" AND priority = 0 AND id > {}", self.cursor),
        };
        format!(
            "SELECT id, job_type, payload FROM jobs FORCE INDEX (claim) WHERE queue = 'default' AND status = 'PENDING' \
             AND later = 0{onward} ORDER BY priority, id LIMIT {} FOR UPDATE SKIP LOCKED",
            self.bare.batch
        )
    }

    fn delete(&self, ids: &[u64], token: u64) -> String {
        format!(
            "DELETE FROM jobs WHERE {} AND locked_by = {token} AND status IN ('RUNNING', 'CANCELLING')",
            self.rows(ids)
        )
    }

    fn rows(&self, ids: &[u64]) -> String {
        match ids {
            [first, .., last] if self.bare.naming == Naming::Range && last - first + 1 == ids.len() as u64 => {
                format!("id BETWEEN {first} AND {last}")
            }
            _ => format!("id IN ({})", ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",")),
        }
    }

    fn count(&self, ids: &[u64]) {
        self.done.fetch_add(ids.len() as u64, Ordering::Relaxed);
    }
}
