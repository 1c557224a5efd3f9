//! Runs claimed jobs, at most as many at once as there are executors, each within its time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use headwater_change::Result;
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::Instrument;

use super::claims::Claimed;
use super::finish::{End, Finished};
use super::shared::{Phase, Shared};
use crate::context::{Context, Inner, Stop};
use crate::handler::{Failure, Outcome};
use crate::job::Job;
use crate::trace::Trace;

/// How long a job that was told to stop may go on.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Longer in the buffer than this: claims are too far ahead.
const PATIENCE: Duration = Duration::from_millis(100);

/// Hands jobs to executors in the order in which they were claimed.
pub(super) async fn dispatch(shared: Arc<Shared>, mut buffer: mpsc::UnboundedReceiver<Claimed>) {
    let executors = Arc::new(Semaphore::new(shared.config.executors));
    while let Some((jobs, gate)) = buffer.recv().await {
        let arrived = now();
        let mut late = false;
        for job in jobs {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&executors).acquire_owned().await else { return };
            shared.buffered.fetch_sub(1, Ordering::AcqRel);
            let waited = arrived.elapsed();
            if waited > PATIENCE && !std::mem::replace(&mut late, true) {
                let ahead = shared.ahead.load(Ordering::Relaxed);
                shared.ahead.store(ahead / 2, Ordering::Relaxed);
            }
            if shared.lease.is_lost(job.token) {
                shared.send(Finished::of(&job, End::Lost));
                continue;
            }
            // Somebody with time should have it: the lease may end before its run, or the worker is stopping.
            if shared.phase() != Phase::Working || waited > shared.lease.length() / 2 {
                shared.send(Finished::of(&job, End::GivenBack));
                continue;
            }
            let (shared, gate) = (Arc::clone(&shared), gate.clone());
            tokio::spawn(async move {
                let mut finished = execute(&shared, job).await;
                if let Some(mut gate) = gate {
                    // Its end can only be written behind the commit of its claim.
                    let committed = gate.wait_for(Option::is_some).await.is_ok_and(|outcome| *outcome == Some(true));
                    if !committed {
                        finished.lose();
                    }
                }
                shared.send(finished);
                drop(permit);
            });
        }
    }
}

impl Shared {
    pub(super) fn send(&self, finished: Finished) {
        // The receiver lives until nothing is held.
        let _ = self.finished.send(finished);
    }
}

async fn execute(shared: &Arc<Shared>, mut job: Job) -> Finished {
    if job.payload.is_empty() {
        match large_payload(shared, job.id).await {
            Ok(Some(payload)) => job.payload = payload,
            // Somebody took the row away.
            Ok(None) => return Finished::of(&job, End::Lost),
            Err(error) => return Finished::of(&job, End::Failed(Failure::from(error))),
        }
    }
    if let Some(cipher) = shared.queue.cipher() {
        match cipher.decrypt(&job.job_type, &job.payload).map(std::borrow::Cow::into_owned) {
            Ok(payload) => job.payload = payload,
            Err(error) => return Finished::of(&job, End::Failed(Failure::from(error))),
        }
    }
    let trace = Trace::of(job.traceparent.as_deref(), job.id, job.token);
    let context = Context { inner: Arc::new(inner(shared, &job, &trace)) };
    shared.running().insert(job.id, Arc::clone(&context.inner));
    shared.metrics.running.inc();
    let span = tracing::info_span!("job.work", id = job.id, job_type = %job.job_type, attempt = job.attempt(),
        trace_id = trace.trace_id(), span_id = trace.span_id());
    let begin = now();
    let end = run(shared, &job, &context).instrument(span).await;
    shared.metrics.observe_run(&job.queue, begin.elapsed());
    shared.metrics.running.dec();
    shared.running().remove(&job.id);
    Finished::of(&job, end)
}

fn inner(shared: &Shared, job: &Job, trace: &Trace) -> Inner {
    Inner {
        queue: shared.queue.clone(),
        id: job.id,
        token: job.token,
        attempt: job.attempt(),
        job_type: job.job_type.clone(),
        traceparent: Some(trace.traceparent()),
        history: shared.has_history(&job.queue),
        stop: watch::Sender::new(None),
        completed: AtomicBool::new(false),
    }
}

async fn large_payload(shared: &Shared, id: u64) -> Result<Option<String>> {
    let mut conn = shared.queue.session().await?;
    let payload = crate::claim::payload(&mut conn, id).await?;
    shared.queue.give_back(conn);
    Ok(payload)
}

async fn run(shared: &Shared, job: &Job, context: &Context) -> End {
    let Some((handler, settings)) = shared.handlers.get(&job.job_type) else {
        return End::Failed(Failure::Retry(format!("no handler for the job type '{}' in this worker", job.job_type)));
    };
    // A handler may panic before it returns its future, too.
    let started = std::panic::catch_unwind(AssertUnwindSafe(|| handler.run(job.clone(), context.clone())));
    let mut run = match started {
        Ok(run) => AssertUnwindSafe(run).catch_unwind(),
        Err(panic) => return End::Failed(panicked(&*panic)),
    };
    let outcome = tokio::select! {
        outcome = &mut run => Some(flatten(outcome)),
        _ = context.cancelled() => None,
        () = sleep(settings.timeout) => {
            context.inner.stop.send_if_modified(|stop| stop.replace(Stop::TimedOut).is_none());
            None
        }
    };
    let outcome = match outcome {
        Some(outcome) => Some(outcome),
        None => tokio::time::timeout(GRACE, &mut run).await.ok().map(flatten),
    };
    end(context, outcome, settings.timeout)
}

/// What a run comes to that ended with an outcome, or did not end in time after it was told to stop.
fn end(context: &Context, outcome: Option<Outcome>, timeout: Duration) -> End {
    match (context.stopped(), outcome) {
        (Some(Stop::LeaseLost), None | Some(Err(_))) => End::Lost,
        // It may have been finished before it heard.
        (_, Some(Ok(()))) if context.inner.completed.load(Ordering::Acquire) => End::CompletedItself,
        (_, Some(Ok(()))) => End::Done,
        (None, Some(Err(failure))) => End::Failed(failure),
        (Some(Stop::Cancelled), _) => End::Cancelled,
        (Some(Stop::Shutdown), _) => End::GivenBack,
        (Some(Stop::TimedOut) | None, _) => End::Failed(Failure::Retry(Context::deadline_passed(timeout))),
    }
}

type Caught = std::result::Result<Outcome, Box<dyn std::any::Any + Send>>;

fn flatten(outcome: Caught) -> Outcome {
    outcome.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned());
    Failure::Retry(format!("the handler panicked: {text}"))
}

#[expect(clippy::disallowed_methods, reason = "the worker is where timers live")]
async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

#[expect(clippy::disallowed_methods, reason = "how long a run takes is measured")]
fn now() -> Instant {
    Instant::now()
}
