//! Writes the ends of jobs, as many at once as there are: while one batch commits, the next one gathers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, TxOpts};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::shared::Shared;
use crate::complete::{self, Failed};
use crate::handler::Failure;
use crate::job::Job;
use crate::limits;
use crate::metrics::label;
use crate::trace::mix;

/// Longest wait for more ends of short jobs.
const GATHER: Duration = Duration::from_millis(5);

/// Most ends of one batch.
const BATCH: usize = 1_000;

/// How a job's run ended.
pub(super) enum End {
    /// Done; the completion is to be written.
    Done,
    /// Done, and completed by its own transaction.
    CompletedItself,
    Failed(Failure),
    /// Stopped because somebody cancelled it.
    Cancelled,
    /// Not run, or stopped before its end: to be run by somebody else, without a try counted.
    GivenBack,
    /// Somebody else's by now.
    Lost,
}

/// A job with its end.
pub(super) struct Finished {
    id: u64,
    token: u64,
    queue: String,
    job_type: String,
    retry_count: u32,
    limit_key: Option<String>,
    batch_id: Option<u64>,
    end: End,
}

impl Finished {
    pub(super) fn of(job: &Job, end: End) -> Self {
        Self {
            id: job.id,
            token: job.token,
            queue: job.queue.clone(),
            job_type: job.job_type.clone(),
            retry_count: job.retry_count,
            limit_key: job.limit_key.clone(),
            batch_id: job.batch_id,
            end,
        }
    }

    /// Its claim was not committed.
    pub(super) fn lose(&mut self) {
        self.end = End::Lost;
    }

    /// Whether it is written together with others of its claim.
    fn is_done(&self) -> bool {
        matches!(self.end, End::Done)
    }
}

/// The running completers.
pub(super) struct Completers {
    tasks: JoinSet<()>,
    close: Arc<tokio::sync::Notify>,
}

impl Completers {
    /// Waits until what was sent so far is written.
    pub(super) async fn end(mut self) {
        self.close.notify_waiters();
        self.close.notify_one();
        while self.tasks.join_next().await.is_some() {}
    }
}

pub(super) fn start(shared: &Arc<Shared>, ends: mpsc::UnboundedReceiver<Finished>) -> Completers {
    let ends = Arc::new(Mutex::new(ends));
    let close = Arc::new(tokio::sync::Notify::new());
    let mut tasks = JoinSet::new();
    for _ in 0..shared.config.completers.max(1) {
        tasks.spawn(run(Arc::clone(shared), Arc::clone(&ends), Arc::clone(&close)));
    }
    Completers { tasks, close }
}

async fn run(
    shared: Arc<Shared>,
    ends: Arc<Mutex<mpsc::UnboundedReceiver<Finished>>>,
    close: Arc<tokio::sync::Notify>,
) {
    let mut conn = None;
    let mut batch = Vec::new();
    loop {
        batch.clear();
        let received = {
            let mut ends = ends.lock().await;
            let received = tokio::select! {
                biased;
                received = ends.recv_many(&mut batch, BATCH) => received,
                () = close.notified() => {
                    close.notify_one();
                    0
                }
            };
            gather(&shared, &mut ends, &mut batch).await;
            received
        };
        if received == 0 {
            return;
        }
        write(&shared, &mut conn, &batch).await;
        shared.ended(batch.len());
    }
}

/// While jobs are short, and many come in a moment, it is worth a moment to write more ends with one commit.
async fn gather(shared: &Shared, ends: &mut mpsc::UnboundedReceiver<Finished>, batch: &mut Vec<Finished>) {
    let worth = shared.ahead.load(Ordering::Relaxed).min(BATCH) / 2;
    if batch.is_empty() || batch.len() >= worth {
        return;
    }
    let more = async {
        while batch.len() < worth {
            let room = BATCH - batch.len();
            if ends.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    // What came until then is in the batch.
    let _ = tokio::time::timeout(GATHER, more).await;
}

/// Writes a batch, as often as it takes while the lease holds: every statement is fenced, so writing twice is harmless.
async fn write(shared: &Shared, conn: &mut Option<Conn>, batch: &[Finished]) {
    // What is committed is not done again when a later step fails.
    let mut step = Step::Completions;
    for attempt in 0u32.. {
        let outcome = match conn.take() {
            Some(kept) => shared.answered(attempt_write(shared, kept, batch, &mut step)).await,
            None => match shared.queue.session().await {
                Ok(opened) => shared.answered(attempt_write(shared, opened, batch, &mut step)).await,
                Err(error) => Err(error),
            },
        };
        match outcome {
            Ok(kept) => {
                *conn = Some(kept);
                return;
            }
            Err(error) => {
                if crate::queue::is_lock_trouble(&error) {
                    shared.metrics.deadlocks.inc();
                }
                tracing::warn!(
                    code = error.code(),
                    detail = error.detail_text(),
                    "ends of {} jobs not written: {error}",
                    batch.len()
                );
            }
        }
        if shared.lease.left().is_zero() {
            tracing::error!(
                "the lease ended before the ends of {} jobs were written: they will run again",
                batch.len()
            );
            shared.metrics.lease_lost.inc_by(batch.len() as u64);
            return;
        }
        pause(Duration::from_millis(20 << attempt.min(6))).await;
    }
}

/// What is to be written next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Step {
    Completions,
    Others,
    Consequences,
}

async fn attempt_write(shared: &Shared, mut conn: Conn, batch: &[Finished], step: &mut Step) -> Result<Conn> {
    if *step <= Step::Completions {
        completions(shared, &mut conn, batch).await?;
        *step = Step::Others;
    }
    if *step <= Step::Others {
        let uncommitted = uncommitted(&mut conn, batch).await?;
        others(shared, &mut conn, batch, &uncommitted).await?;
        *step = Step::Consequences;
    }
    let done = |finished: &&Finished| matches!(finished.end, End::Done | End::CompletedItself | End::Cancelled);
    let batches: BTreeSet<u64> = batch.iter().filter_map(|finished| finished.batch_id).collect();
    if !batches.is_empty() || shared.dependencies.load(Ordering::Relaxed) {
        let ids: Vec<u64> = batch.iter().filter(done).map(|finished| finished.id).collect();
        let settled = crate::settle::settle(&mut conn, &ids, &batches.into_iter().collect::<Vec<_>>()).await?;
        if settled.released + settled.batches > 0 {
            shared.bell.notify_one();
        }
    }
    let keys: BTreeSet<(&str, &str)> =
        batch.iter().filter_map(|finished| Some((finished.queue.as_str(), finished.limit_key.as_deref()?))).collect();
    if !keys.is_empty() && limits::release(&mut conn, keys.into_iter()).await? > 0 {
        shared.bell.notify_one();
    }
    Ok(conn)
}

/// The jobs that are done: one statement for a claim.
async fn completions(shared: &Shared, conn: &mut Conn, batch: &[Finished]) -> Result<()> {
    let mut claims: BTreeMap<(&str, u64), Vec<u64>> = BTreeMap::new();
    for finished in batch.iter().filter(|finished| finished.is_done()) {
        claims.entry((&finished.queue, finished.token)).or_default().push(finished.id);
    }
    let expected: usize = claims.values().map(Vec::len).sum();
    if expected == 0 {
        return Ok(());
    }
    let history = batch.iter().any(|finished| finished.is_done() && shared.has_history(&finished.queue));
    let several = claims.len() > 1 || history;
    let begin = |error| query_error("begin a transaction", error);
    let mut held = 0;
    if several {
        let mut transaction = conn.start_transaction(TxOpts::default()).await.map_err(begin)?;
        for ((queue, token), ids) in &claims {
            held += complete::complete(&mut transaction, ids, *token, shared.has_history(queue)).await?;
        }
        transaction.commit().await.map_err(|error| query_error("commit completions", error))?;
    } else {
        for ((_, token), ids) in &claims {
            held += complete::complete(conn, ids, *token, false).await?;
        }
    }
    for ((queue, _), ids) in &claims {
        shared.metrics.completed.get_or_create(&label(queue)).inc_by(ids.len() as u64);
    }
    let lost = (expected as u64).saturating_sub(held);
    if lost > 0 {
        shared.metrics.lease_lost.inc_by(lost);
        let ids: Vec<&u64> = claims.values().flatten().take(20).collect();
        tracing::warn!("{lost} of {expected} jobs were not held any more when they were done; among {ids:?}");
    }
    Ok(())
}

/// Jobs that say that their own transaction completed them, and are there still: it was not committed.
async fn uncommitted(conn: &mut Conn, batch: &[Finished]) -> Result<BTreeSet<u64>> {
    let claims: BTreeMap<u64, u64> = batch
        .iter()
        .filter(|finished| matches!(finished.end, End::CompletedItself))
        .map(|finished| (finished.id, finished.token))
        .collect();
    if claims.is_empty() {
        return Ok(BTreeSet::new());
    }
    let ids: Vec<u64> = claims.keys().copied().collect();
    let sql = format!("SELECT id, locked_by FROM jobs WHERE {} AND locked_by IS NOT NULL", complete::id_list(&ids));
    let found: Vec<(u64, u64)> = conn.query(sql).await.map_err(|error| query_error("look at completed jobs", error))?;
    Ok(found.into_iter().filter(|(id, token)| claims.get(id) == Some(token)).map(|(id, _)| id).collect())
}

/// All other ends, in one transaction.
async fn others(shared: &Shared, conn: &mut Conn, batch: &[Finished], uncommitted: &BTreeSet<u64>) -> Result<()> {
    let mut others: Vec<&Finished> = batch.iter().filter(|finished| !finished.is_done()).collect();
    // Rows are locked in the order of their numbers, by everybody.
    others.sort_by_key(|finished| finished.id);
    if uncommitted.is_empty() && others.iter().all(|finished| matches!(finished.end, End::CompletedItself | End::Lost))
    {
        for finished in others {
            count(shared, finished, true);
        }
        return Ok(());
    }
    let begin = |error| query_error("begin a transaction", error);
    let mut transaction = conn.start_transaction(TxOpts::default()).await.map_err(begin)?;
    let mut held = Vec::with_capacity(others.len());
    for finished in &others {
        let (id, token) = (finished.id, finished.token);
        held.push(match &finished.end {
            End::Failed(Failure::Snooze(delay)) => {
                complete::give_back(&mut transaction, &[id], token, *delay).await? > 0
            }
            End::Failed(failure) => complete::fail(&mut transaction, &failed(shared, finished, failure)).await?,
            End::Cancelled => complete::cancelled(&mut transaction, id, token).await?,
            End::GivenBack => complete::give_back(&mut transaction, &[id], token, Duration::ZERO).await? > 0,
            End::CompletedItself if uncommitted.contains(&id) => {
                let failure =
                    Failure::Retry("it returned without committing the transaction that completed it".to_owned());
                complete::fail(&mut transaction, &failed(shared, finished, &failure)).await?
            }
            End::Done | End::CompletedItself | End::Lost => true,
        });
    }
    transaction.commit().await.map_err(|error| query_error("commit the ends of jobs", error))?;
    for (finished, held) in others.iter().zip(held) {
        count(shared, finished, held);
    }
    Ok(())
}

fn failed(shared: &Shared, finished: &Finished, failure: &Failure) -> Failed {
    let policy = &shared.handlers.settings(&finished.job_type).retry;
    // A spread that differs from job to job and try to try, and is the same when a run is repeated.
    let chance = (mix(finished.token ^ mix(finished.id)) >> 11) as f64 / (1u64 << 53) as f64;
    let usual = policy.delay(finished.retry_count.saturating_add(1), chance);
    let (message, delay, max_retries) = match failure {
        Failure::Retry(message) => (message.as_str(), usual, Some(policy.max_retries)),
        Failure::RetryIn(delay, message) => (message.as_str(), *delay, Some(policy.max_retries)),
        Failure::Dead(message) => (message.as_str(), Duration::ZERO, None),
        Failure::Snooze(delay) => ("", *delay, Some(policy.max_retries)),
    };
    Failed { id: finished.id, token: finished.token, message: message.to_owned(), delay, max_retries }
}

fn count(shared: &Shared, finished: &Finished, held: bool) {
    let (metrics, queue) = (&shared.metrics, label(&finished.queue));
    if !held || matches!(finished.end, End::Lost) {
        metrics.lease_lost.inc();
        tracing::warn!("job {} was not held any more when it ended", finished.id);
        return;
    }
    match &finished.end {
        End::CompletedItself | End::Done => metrics.completed.get_or_create(&queue).inc(),
        End::Failed(Failure::Snooze(_)) | End::GivenBack => metrics.given_back.get_or_create(&queue).inc(),
        End::Failed(Failure::Dead(message)) => {
            tracing::warn!("job {} ({}) is dead: {message}", finished.id, finished.job_type);
            metrics.dead.get_or_create(&queue).inc()
        }
        End::Failed(Failure::Retry(message) | Failure::RetryIn(_, message)) => {
            tracing::info!("job {} ({}) failed: {message}", finished.id, finished.job_type);
            metrics.retried.get_or_create(&queue).inc()
        }
        End::Cancelled => metrics.cancelled.get_or_create(&queue).inc(),
        End::Lost => 0,
    };
}

#[expect(clippy::disallowed_methods, reason = "the worker is where timers live")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
