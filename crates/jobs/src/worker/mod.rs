//! A process that works: it claims jobs for its executors, runs them, and writes their ends.
//!
//! ```text
//!   watch ─┐ bell                                             ┌─ heart: one heartbeat, one probe a second
//!   heart ─┴─────► claims ──► buffer ──► dispatch ──► execute ─┴─► finish: ends in batches
//!                   ▲                     (executors)                │
//!                   └─────────────────────── room ───────────────────┘
//! ```
//!
//! Few sessions serve many executors: claims and ends are batches of whatever there is, because a commit costs the same
//! for one job and for hundreds.

mod claims;
mod execute;
mod finish;
mod heart;
mod listen;
mod shared;
mod upkeep;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use headwater_change::{Error, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::handler::Handlers;
use crate::lease::Lease;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::schema;
use shared::Shared;

/// One queue of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkedQueue {
    /// Its name.
    pub name: String,
    /// Its share of the claims beside the other queues of this worker, from 1.
    pub weight: u32,
    /// Whether finished jobs are kept in `jobs_done`.
    pub history: bool,
}

/// How a process works.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Jobs at the same time.
    pub executors: usize,
    /// The queues.
    pub queues: Vec<WorkedQueue>,
    /// How long the process may be silent before its jobs are given to others. Longer than a commit may hang.
    pub lease: Duration,
    /// How long running jobs may go on after the worker was told to stop.
    pub shutdown_deadline: Duration,
    /// Sessions that claim.
    pub claimers: usize,
    /// Sessions that write ends.
    pub completers: usize,
    /// Jobs that may be claimed ahead of the executors when jobs are short.
    pub prefetch: usize,
    /// Whether the server's log wakes the worker; otherwise it looks once a second.
    pub wake: bool,
    /// Days for which finished jobs and failed tries are kept.
    pub keep_days: u32,
    /// What `job_workers` shows.
    pub name: String,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            executors: 16,
            queues: vec![WorkedQueue { name: "default".to_owned(), weight: 1, history: false }],
            lease: Duration::from_secs(60),
            shutdown_deadline: Duration::from_secs(30),
            claimers: 2,
            completers: 1,
            prefetch: 2_000,
            wake: true,
            keep_days: 7,
            name: format!("{}/{}", host_name(), std::process::id()),
        }
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned())
}

/// A worker; [`run`](Self::run) is its life.
pub struct Worker {
    queue: Queue,
    handlers: Handlers,
    config: WorkerConfig,
    metrics: Arc<Metrics>,
}

impl Worker {
    /// A worker that has not begun.
    pub fn new(queue: Queue, handlers: Handlers, config: WorkerConfig) -> Self {
        Self { queue, handlers, config, metrics: Arc::new(Metrics::default()) }
    }

    /// What it counts, also while it runs.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Works until `shutdown`; then finishes what runs, or gives it back when the deadline has passed. A server that goes
    /// away is waited for.
    ///
    /// # Errors
    /// `jobs.tables_missing`, `jobs.tables_differ`, `jobs.grant`, `jobs.worker`: what must be mended before it can begin.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        if self.config.executors == 0 || self.config.queues.is_empty() {
            return Err(Error::usage("jobs.worker", "a worker needs at least one executor and one queue"));
        }
        let mut conn = self.queue.session().await?;
        schema::check(&mut conn).await?;
        let lease = Lease::register(&mut conn, &self.config.name, self.config.lease).await;
        let lease = lease.map_err(|error| privilege(error, &self.queue))?;
        let (finished, ends) = mpsc::unbounded_channel();
        let (claimed, buffer) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(self.queue, self.handlers, self.config, lease, self.metrics, finished));
        heart::first(&shared, &mut conn).await?;
        let mut tasks = JoinSet::new();
        for _ in 0..shared.config.claimers.max(1) {
            tasks.spawn(claims::run(Arc::clone(&shared), claimed.clone()));
        }
        drop(claimed);
        tasks.spawn(heart::run(Arc::clone(&shared), conn));
        tasks.spawn(listen::run(Arc::clone(&shared)));
        tasks.spawn(upkeep::run(Arc::clone(&shared)));
        let dispatch = tokio::spawn(execute::dispatch(Arc::clone(&shared), buffer));
        let finish = finish::start(&shared, ends);
        shutdown.await;
        shared.stop();
        end(&shared, &mut tasks, dispatch, finish).await
    }
}

/// Waits for what runs, within the deadline; then makes it stop.
async fn end(
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<()>,
    dispatch: tokio::task::JoinHandle<()>,
    finish: finish::Completers,
) -> Result<()> {
    if tokio::time::timeout(shared.config.shutdown_deadline, shared.idle()).await.is_err() {
        shared.stop_running(crate::Stop::Shutdown);
        // What does not listen is dropped a grace period later, and given back; a handler that blocks its thread is not
        // waited for, its lease runs out.
        let _ = tokio::time::timeout(execute::GRACE * 2, shared.idle()).await;
    }
    finish.end().await;
    // The heart beats until here: what is still being written must not lose its lease.
    shared.end();
    dispatch.abort();
    while tasks.join_next().await.is_some() {}
    let mut conn = shared.queue.session().await?;
    shared.lease.end(&mut conn).await
}

/// Says which grants a worker needs, where the server refused for want of one.
fn privilege(error: Error, queue: &Queue) -> Error {
    use headwater_mysql::driver;
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<driver::Error>());
    if !matches!(cause, Some(driver::Error::Server(server)) if matches!(server.code, 1044 | 1142 | 1143)) {
        return error;
    }
    let database = queue.access().database().unwrap_or_default();
    Error::usage("jobs.grant", "the account may not do what a worker does")
        .detail(error.detail_text().unwrap_or_default())
        .hint(schema::grants(database, "'worker'@'%'").join("\n"))
        .caused_by(error)
}
