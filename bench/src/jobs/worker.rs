//! The library's worker as an application would start it.

use std::sync::Arc;
use std::time::Duration;

use headwater_jobs::{Handler, Handlers, Metrics, Queue, Settings, Worker, WorkerConfig, typed};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Outcome;
use super::ground::{Cores, Ground};

/// A worker that works.
pub(super) struct Working {
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    life: JoinHandle<Outcome<()>>,
}

/// A handler that does nothing.
pub(super) fn nothing() -> Arc<dyn Handler> {
    typed(|_: Value, _context| async { Ok(()) })
}

impl Working {
    pub(super) fn start(queue: &Queue, executors: usize, handler: Arc<dyn Handler>) -> Self {
        let mut handlers = Handlers::new();
        handlers.add("noop", handler, Settings::default());
        let worker = Worker::new(queue.clone(), handlers, WorkerConfig { executors, ..WorkerConfig::default() });
        let (metrics, (stop, stopped)) = (worker.metrics(), oneshot::channel());
        let life = tokio::spawn(async move {
            worker
                .run(async {
                    // A sender that is gone stops it too.
                    let _ = stopped.await;
                })
                .await
                .map_err(Into::into)
        });
        Self { metrics, stop, life }
    }

    /// Jobs done so far.
    pub(super) fn done(&self) -> u64 {
        self.metrics.completed_jobs("default")
    }

    pub(super) async fn end(self) -> Outcome<()> {
        let _ = self.stop.send(());
        self.life.await?
    }
}

/// Jobs per second of a worker.
pub(super) async fn run(ground: &Ground, executors: usize, warm: Duration, time: Duration) -> Outcome<(f64, Cores)> {
    let worker = Working::start(&ground.queue, executors, nothing());
    let figures = ground.rate(warm, time, || worker.done()).await;
    worker.end().await?;
    Ok(figures)
}
