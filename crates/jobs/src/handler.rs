//! What runs a job: handlers by job type, what they are given, and how they end.

use std::collections::HashMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use headwater_change::Error;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::job::Job;
use crate::retry::RetryPolicy;

/// How a job ended that was not done.
#[derive(Debug)]
pub enum Failure {
    /// One more try, after the delay of its type.
    Retry(String),
    /// One more try after this delay.
    RetryIn(Duration, String),
    /// No more tries: the job is kept as DEAD.
    Dead(String),
    /// Not a failure: again after this delay, and no try is counted.
    Snooze(Duration),
}

impl From<Error> for Failure {
    /// What a retry cannot mend is dead at once: a payload that is not what the handler takes.
    fn from(error: Error) -> Self {
        let mut text = format!("[{}] {error}", error.code());
        for more in [error.detail_text(), error.hint_text()].into_iter().flatten() {
            text.push_str("; ");
            text.push_str(more);
        }
        if error.kind() == headwater_change::ErrorKind::Data { Self::Dead(text) } else { Self::Retry(text) }
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Retry(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self::Retry(text.to_owned())
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for Failure {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::Retry(error.to_string())
    }
}

/// What a handler's run comes to.
pub type Outcome = Result<(), Failure>;

/// The future of a run.
pub type Run = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Runs the jobs of one type. It may be called for several jobs at once.
pub trait Handler: Send + Sync + 'static {
    /// Runs one job. It should look at [`Context::cancelled`] where it takes long: after a cancellation, a timeout or a
    /// lost lease the future is dropped a grace period later.
    fn run(&self, job: Job, context: Context) -> Run;
}

/// What belongs to a job type beside its handler.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When failures are tried again.
    pub retry: RetryPolicy,
    /// How long a run may take.
    pub timeout: Duration,
}

impl Default for Settings {
    /// The default [`RetryPolicy`] and ten minutes.
    fn default() -> Self {
        Self { retry: RetryPolicy::default(), timeout: Duration::from_secs(600) }
    }
}

/// A handler made of a function of payload and context.
struct Typed<P, F>(F, PhantomData<fn(P)>);

impl<P, F, R> Handler for Typed<P, F>
where
    P: DeserializeOwned + Send + 'static,
    F: Fn(P, Context) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    fn run(&self, job: Job, context: Context) -> Run {
        match job.payload::<P>() {
            Ok(payload) => Box::pin((self.0)(payload, context)),
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        }
    }
}

/// A handler of an async function that takes a typed payload.
pub fn typed<P, F, R>(function: F) -> Arc<dyn Handler>
where
    P: DeserializeOwned + Send + 'static,
    F: Fn(P, Context) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    Arc::new(Typed(function, PhantomData))
}

/// The handlers of a worker by job type.
#[derive(Clone, Default)]
pub struct Handlers {
    by_type: HashMap<String, (Arc<dyn Handler>, Arc<Settings>)>,
    fallback: Arc<Settings>,
}

impl Handlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the handler of a type; an earlier one of the same type is replaced.
    pub fn add(&mut self, job_type: impl Into<String>, handler: Arc<dyn Handler>, settings: Settings) {
        self.by_type.insert(job_type.into(), (handler, Arc::new(settings)));
    }

    /// The handler of a type.
    pub(crate) fn get(&self, job_type: &str) -> Option<(&Arc<dyn Handler>, &Arc<Settings>)> {
        self.by_type.get(job_type).map(|(handler, settings)| (handler, settings))
    }

    /// The settings of a type; the defaults for one that is not known.
    pub(crate) fn settings(&self, job_type: &str) -> &Arc<Settings> {
        self.by_type.get(job_type).map_or(&self.fallback, |(_, settings)| settings)
    }
}
