//! `headwater jobs work`: a worker as its configuration describes it, until it is told to stop.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use headwater_change::{Error, Result};
use headwater_jobs::config::Config;
use headwater_jobs::limits::{self, Limit};
use headwater_jobs::{Metrics, Queue, WorkedQueue, Worker, WorkerConfig, maintain, operate, schema};
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::WorkArguments;
use crate::signals;

pub(super) async fn work(arguments: WorkArguments) -> Result<()> {
    let config = Config::read(&arguments.config, arguments.url.as_deref())?;
    let queue = Queue::connect(config.access.clone()).await?.with_cipher(config.cipher.clone());
    prepare(&queue, &config).await?;
    let names: Vec<&str> = config.queues.iter().map(|queue| queue.name.as_str()).collect();
    eprintln!("working the queues {} at {}; Ctrl-C or SIGTERM ends it", names.join(", "), queue.access());
    let stopped = stop_signal()?;
    let worker = Worker::new(queue.clone(), config.handlers.clone(), worker_config(&config, arguments.executors));
    if let Some(address) = arguments.metrics {
        serve(address, queue, worker.metrics()).await?;
    }
    worker.run(stopped).await
}

/// Writes limits and schedules of the configuration into the tables: all workers see the same.
async fn prepare(queue: &Queue, config: &Config) -> Result<()> {
    let mut conn = queue.session().await?;
    schema::check(&mut conn).await?;
    let all = |queue: &str, key: &str, limit: Option<Limit>| Some((queue.to_owned(), key.to_owned(), limit?));
    let limits: Vec<(String, String, Limit)> = config
        .queues
        .iter()
        .flat_map(|queue| [all(&queue.name, "", queue.limit), all(&queue.name, "*", queue.key_limit)])
        .flatten()
        .collect();
    limits::upsert(&mut conn, &limits).await?;
    maintain::upsert(&mut conn, &config.schedules).await?;
    queue.give_back(conn);
    Ok(())
}

fn worker_config(config: &Config, executors: Option<u32>) -> WorkerConfig {
    let queues = config.queues.iter().map(|queue| WorkedQueue {
        name: queue.name.clone(),
        weight: queue.weight,
        history: queue.history,
    });
    WorkerConfig {
        executors: executors.map_or(config.executors, |executors| executors as usize),
        queues: queues.collect(),
        lease: config.lease,
        shutdown_deadline: config.shutdown_deadline,
        ..WorkerConfig::default()
    }
}

/// Resolves at the first SIGINT, SIGTERM or SIGHUP; a second one of the first two ends the process at once.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()>> {
    let failed = |error: std::io::Error| Error::remote("server.signals", "Ctrl-C cannot be caught").caused_by(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    // Under nohup the end of the terminal means nothing.
    let mut hang_up =
        if signals::hang_up_is_ignored() { None } else { Some(signal(SignalKind::hangup()).map_err(failed)?) };
    Ok(async move {
        let hung_up = async {
            match &mut hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hung_up => {}
        }
        eprintln!("finishing what runs; once more to end at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    })
}

pub(crate) async fn serve(address: SocketAddr, queue: Queue, metrics: Arc<Metrics>) -> Result<()> {
    headwater_server::metrics::serve(address, move || {
        let (queue, metrics) = (queue.clone(), Arc::clone(&metrics));
        async move { page(&queue, &metrics).await }
    })
    .await
}

/// What the worker counts, with depth and age of the queues as the tables have them now.
async fn page(queue: &Queue, metrics: &Metrics) -> String {
    let mut text = metrics.text();
    let Ok(stats) = operate::stats(queue).await else { return text };
    let end = text.rfind("# EOF").unwrap_or(text.len());
    text.truncate(end);
    text.push_str(
        "# HELP headwater_jobs_depth Jobs in the table, at most 100000 a status.\n# TYPE headwater_jobs_depth gauge\n",
    );
    for queue in &stats.queues {
        let counts = [
            ("due", queue.due),
            ("later", queue.later),
            ("running", queue.running),
            ("parked", queue.parked),
            ("waiting", queue.waiting),
            ("dead", queue.dead),
        ];
        for (status, count) in counts {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "headwater_jobs_depth{{queue={:?},status=\"{status}\"}} {}", queue.queue, count.0);
        }
    }
    text.push_str("# HELP headwater_jobs_oldest_age_seconds How long the oldest due job waits.\n# TYPE headwater_jobs_oldest_age_seconds gauge\n");
    for queue in &stats.queues {
        let age = queue.oldest_due.unwrap_or(0.0);
        let _ = writeln!(text, "headwater_jobs_oldest_age_seconds{{queue={:?}}} {age}", queue.queue);
    }
    text.push_str("# EOF\n");
    text
}
