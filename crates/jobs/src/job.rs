//! Jobs: as they are enqueued, and as a worker holds them.

use std::time::Duration;

use headwater_change::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A job to be enqueued: the columns of an INSERT into `jobs`.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub(crate) job_type: String,
    pub(crate) payload: String,
    pub(crate) queue: String,
    pub(crate) priority: i16,
    pub(crate) delay: Duration,
    pub(crate) max_retries: Option<u32>,
    pub(crate) unique_key: Option<String>,
    pub(crate) limit_key: Option<String>,
    pub(crate) batch_id: Option<u64>,
    pub(crate) traceparent: Option<String>,
    pub(crate) after: Vec<u64>,
}

impl NewJob {
    /// A job of the queue `default` that is due at once.
    ///
    /// # Errors
    /// `jobs.payload`: the payload cannot be written as JSON.
    pub fn new(job_type: impl Into<String>, payload: &impl Serialize) -> Result<Self> {
        let payload = serde_json::to_string(payload)
            .map_err(|error| Error::usage("jobs.payload", "the payload cannot be written as JSON").caused_by(error))?;
        Ok(Self {
            job_type: job_type.into(),
            payload,
            queue: "default".to_owned(),
            priority: 0,
            delay: Duration::ZERO,
            max_retries: None,
            unique_key: None,
            limit_key: None,
            batch_id: None,
            traceparent: None,
            after: Vec::new(),
        })
    }

    /// Another queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Smaller numbers go first.
    #[must_use]
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// Due so long after now, by the server's clock.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Tries after the first one, instead of what its type has.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    /// At most one job with this key (ASCII, up to 190 characters) is in the table; another one is not enqueued.
    #[must_use]
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }

    /// Whose limits it counts for, such as a customer.
    #[must_use]
    pub fn limit_key(mut self, key: impl Into<String>) -> Self {
        self.limit_key = Some(key.into());
        self
    }

    /// Belongs to a batch.
    #[must_use]
    pub fn batch(mut self, id: u64) -> Self {
        self.batch_id = Some(id);
        self
    }

    /// The W3C trace context to go on with.
    #[must_use]
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// Runs when these jobs are done.
    #[must_use]
    pub fn after(mut self, jobs: impl IntoIterator<Item = u64>) -> Self {
        self.after.extend(jobs);
        self
    }
}

/// A job that this process has claimed.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// Its queue.
    pub queue: String,
    /// Its type, which decides the handler.
    pub job_type: String,
    /// JSON text.
    pub payload: String,
    /// Smaller first.
    pub priority: i16,
    /// Failures so far.
    pub retry_count: u32,
    /// Retries it may have, where the job itself says.
    pub max_retries: Option<u32>,
    /// Whose limits it counts for.
    pub limit_key: Option<String>,
    /// Its batch.
    pub batch_id: Option<u64>,
    /// W3C trace context of who enqueued it.
    pub traceparent: Option<String>,
    /// How long it was due before it was claimed.
    pub waited: Duration,
    /// Fencing token of this claim.
    pub token: u64,
}

impl Job {
    /// The try that this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.retry_count.saturating_add(1)
    }

    /// The payload as a type.
    ///
    /// # Errors
    /// `jobs.payload`: it is something else.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.payload).map_err(|error| {
            Error::data("jobs.payload", format!("the payload is not what a {} has", self.job_type))
                .detail(error.to_string())
                .caused_by(error)
        })
    }
}
