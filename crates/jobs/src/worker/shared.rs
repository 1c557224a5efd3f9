//! What the tasks of a worker share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use headwater_change::{Error, Result};
use tokio::sync::{Notify, mpsc, watch};

use super::WorkerConfig;
use super::finish::Finished;
use crate::context::{Inner, Stop};
use crate::handler::Handlers;
use crate::lease::Lease;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::queue::Queue;

/// A server that says nothing for so long is not waited for, however short the lease is.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for the scan of a claim.
const SCAN: Duration = Duration::from_mins(5);

/// How far the worker is with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Phase {
    Working,
    /// No more claims.
    Stopping,
    /// Nothing is left to do.
    Ended,
}

pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) handlers: Handlers,
    pub(super) config: WorkerConfig,
    pub(super) lease: Lease,
    pub(super) metrics: Arc<Metrics>,
    pub(super) finished: mpsc::UnboundedSender<Finished>,
    /// Something may be due.
    pub(super) bell: Notify,
    /// The bell was rung by the log: what was inserted may become visible in a moment.
    pub(super) fresh: AtomicBool,
    /// Something ended.
    pub(super) room: Notify,
    /// Jobs that are claimed and whose end is not written.
    pub(super) held: AtomicUsize,
    /// Of these, jobs that wait for an executor.
    pub(super) buffered: AtomicUsize,
    /// Jobs that may be claimed ahead of the executors at the moment.
    pub(super) ahead: AtomicUsize,
    /// Full claims in a row: the log need not wake a worker that finds more than it can do.
    pub(super) busy: AtomicBool,
    pub(super) paused: Mutex<HashSet<String>>,
    /// Whether some job depends on another one.
    pub(super) dependencies: AtomicBool,
    pub(super) limits: RwLock<Arc<Limits>>,
    running: Mutex<HashMap<u64, Arc<Inner>>>,
    phase: watch::Sender<Phase>,
}

impl Shared {
    pub(super) fn new(
        queue: Queue,
        handlers: Handlers,
        config: WorkerConfig,
        lease: Lease,
        metrics: Arc<Metrics>,
        finished: mpsc::UnboundedSender<Finished>,
    ) -> Self {
        Self {
            queue,
            handlers,
            config,
            lease,
            metrics,
            finished,
            bell: Notify::new(),
            fresh: AtomicBool::new(false),
            room: Notify::new(),
            held: AtomicUsize::new(0),
            buffered: AtomicUsize::new(0),
            ahead: AtomicUsize::new(0),
            busy: AtomicBool::new(false),
            paused: Mutex::new(HashSet::new()),
            dependencies: AtomicBool::new(false),
            limits: RwLock::default(),
            running: Mutex::new(HashMap::new()),
            phase: watch::Sender::new(Phase::Working),
        }
    }

    pub(super) fn running(&self) -> MutexGuard<'_, HashMap<u64, Arc<Inner>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all running jobs to stop.
    pub(super) fn stop_running(&self, reason: Stop) {
        for job in self.running().values() {
            job.stop.send_if_modified(|stop| stop.replace(reason).is_none());
        }
    }

    /// `count` ends were written.
    pub(super) fn ended(&self, count: usize) {
        self.held.fetch_sub(count, Ordering::AcqRel);
        self.room.notify_waiters();
    }

    /// No more claims.
    pub(super) fn stop(&self) {
        self.phase.send_replace(Phase::Stopping);
    }

    /// Everything is over.
    pub(super) fn end(&self) {
        self.phase.send_replace(Phase::Ended);
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits for a phase.
    pub(super) async fn reached(&self, phase: Phase) {
        // The sender lives in `self`: the only way out is the phase.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Waits for a time, or until the worker stops.
    #[expect(clippy::disallowed_methods, reason = "the worker is where timers live")]
    pub(super) async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.reached(Phase::Stopping) => {}
        }
    }

    /// The answer to a statement that touches few rows, or an error when there is none for too long: a connection may be
    /// dead without a word. The session that was asked is not to be used again.
    pub(super) async fn answered<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        within(self.lease.length().max(PATIENCE), work).await
    }

    /// The same for a claim's scan, which may have to read over millions of old entries.
    pub(super) async fn scanned<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        within(self.lease.length().max(SCAN), work).await
    }

    /// Waits until nothing is held.
    pub(super) async fn idle(&self) {
        loop {
            let notified = self.room.notified();
            if self.held.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }

    pub(super) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_paused(&self, queue: &str) -> bool {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).contains(queue)
    }

    pub(super) fn has_history(&self, queue: &str) -> bool {
        self.config.queues.iter().any(|worked| worked.name == queue && worked.history)
    }
}

async fn within<T>(patience: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(patience, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::remote("mysql.query", format!("the server did not answer within {patience:?}"))),
    }
}
