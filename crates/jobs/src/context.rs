//! What a running job may ask and tell.

use std::sync::Arc;
use std::time::Duration;

use headwater_change::{Error, Result};
use headwater_mysql::client::query_error;
use headwater_mysql::driver::params;
use headwater_mysql::driver::prelude::Queryable;
use tokio::sync::watch;

use crate::queue::Queue;

/// Why a job should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody cancelled it.
    Cancelled,
    /// It took longer than its type may.
    TimedOut,
    /// The lease of this process ran out: another one may run the job by now.
    LeaseLost,
    /// The process stops and its deadline is over.
    Shutdown,
}

/// Belongs to one run of one job. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) queue: Queue,
    pub(crate) id: u64,
    pub(crate) token: u64,
    pub(crate) attempt: u32,
    pub(crate) job_type: String,
    pub(crate) traceparent: Option<String>,
    /// Whether its queue keeps finished jobs.
    pub(crate) history: bool,
    pub(crate) stop: watch::Sender<Option<Stop>>,
    /// Set when the job's own transaction completed it, so that nobody completes it again.
    pub(crate) completed: std::sync::atomic::AtomicBool,
}

impl Context {
    /// The job's number: with the same number it is the same job, so it serves as an idempotency key.
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// The try that this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// The job's type.
    pub fn job_type(&self) -> &str {
        &self.inner.job_type
    }

    /// W3C trace context for calls to others: the trace of who enqueued the job, with this run as the parent.
    pub fn traceparent(&self) -> Option<&str> {
        self.inner.traceparent.as_deref()
    }

    /// The queue, to enqueue more.
    pub fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    /// Why the job should stop, once it should.
    pub fn stopped(&self) -> Option<Stop> {
        *self.inner.stop.borrow()
    }

    /// Waits until the job should stop.
    pub async fn cancelled(&self) -> Stop {
        let mut stop = self.inner.stop.subscribe();
        let reason = stop.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        match reason {
            Some(reason) => reason,
            // The sender lives in `self`.
            None => std::future::pending().await,
        }
    }

    /// Asks the server whether the job is still ours. The lease itself is kept by the process, not by the job.
    ///
    /// # Errors
    /// `jobs.lease_lost`: it is not; what was done must be rolled back. `mysql.query`.
    pub async fn heartbeat(&self) -> Result<()> {
        let mut conn = self.inner.queue.session().await?;
        let held: Option<u64> = conn
            .exec_first(
                "SELECT id FROM jobs WHERE id = :id AND locked_by = :token AND status = 'RUNNING'",
                params! { "id" => self.inner.id, "token" => self.inner.token },
            )
            .await
            .map_err(|error| query_error("look at the job", error))?;
        self.inner.queue.give_back(conn);
        held.map(drop).ok_or_else(|| self.lease_lost())
    }

    /// Tells how far the job is: percent from 0 to 100, and a word about it.
    ///
    /// # Errors
    /// `jobs.lease_lost`, `mysql.query`.
    pub async fn progress(&self, percent: f64, message: &str) -> Result<()> {
        let mut conn = self.inner.queue.session().await?;
        conn.exec_drop(
            "UPDATE jobs SET progress = :percent, progress_message = LEFT(:message, 255) \
             WHERE id = :id AND locked_by = :token AND status = 'RUNNING'",
            params! {
                "percent" => percent.clamp(0.0, 100.0), "message" => message,
                "id" => self.inner.id, "token" => self.inner.token,
            },
        )
        .await
        .map_err(|error| query_error("write the progress", error))?;
        self.inner.queue.give_back(conn);
        Ok(())
    }

    /// Completes the job inside a transaction of the handler's own: what the transaction writes and the completion are
    /// committed together or not at all, so the writes are there exactly once. Commit afterwards and return `Ok`.
    ///
    /// # Errors
    /// `jobs.lease_lost`: the job is somebody else's by now; roll back. `mysql.query`.
    pub async fn complete_in(&self, transaction: &mut impl Queryable) -> Result<()> {
        crate::complete::complete_one(transaction, self).await?;
        self.inner.completed.store(true, std::sync::atomic::Ordering::Release);
        Ok(())
    }

    pub(crate) fn lease_lost(&self) -> Error {
        Error::fenced("jobs.lease_lost", format!("job {} is not held by this process any more", self.inner.id))
            .hint("its lease ran out, or somebody took it back: roll back what it did")
    }

    pub(crate) fn deadline_passed(timeout: Duration) -> String {
        format!("it took longer than its timeout of {timeout:?}")
    }
}
