//! From the INSERT to the start of its handler, one job at a time, and what waiting costs.

use std::time::{Duration, Instant};

use headwater_jobs::typed;
use headwater_mysql::driver::prelude::Queryable;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::worker::Working;
use super::{Outcome, ground::Ground, percentile};

const EXECUTORS: usize = 64;
const JOBS: usize = 300;
/// How long an idle worker is watched.
const IDLE: Duration = Duration::from_secs(10);

pub(super) async fn run(ground: &mut Ground) -> Outcome<Value> {
    ground.empty().await?;
    let (started, mut starts) = mpsc::unbounded_channel();
    let handler = typed(move |number: usize, _context| {
        let _ = started.send((number, Instant::now()));
        async { Ok(()) }
    });
    let worker = Working::start(&ground.queue, EXECUTORS, handler);
    let mut conn = ground.queue.session().await?;
    let mut dice = SmallRng::seed_from_u64(42);
    let (mut commits, mut latencies) = (Vec::with_capacity(JOBS), Vec::with_capacity(JOBS));
    // The first jobs find a worker that has just begun.
    for number in 0..JOBS + 20 {
        tokio::time::sleep(Duration::from_micros(dice.random_range(10_000..=50_000))).await;
        let sent = Instant::now();
        conn.query_drop(format!("INSERT INTO jobs (job_type, payload) VALUES ('noop', '{number}')")).await?;
        let committed = sent.elapsed();
        let start = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                match starts.recv().await {
                    Some((found, start)) if found == number => return Some(start),
                    Some(_) => {}
                    None => return None,
                }
            }
        });
        let start: Instant = start.await?.ok_or("the worker is gone")?;
        if number >= 20 {
            commits.push(committed.as_secs_f64() * 1e3);
            latencies.push(start.duration_since(sent).as_secs_f64() * 1e3);
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = ground.status("Questions").await?;
    let (_, cores) = ground.rate(Duration::ZERO, IDLE, || 0).await;
    // One question was ours.
    let questions = ground.status("Questions").await?.saturating_sub(before + 1);
    worker.end().await?;
    let (commit, start) = (percentile(&mut commits, 0.5), percentile(&mut latencies, 0.5));
    Ok(json!({
        "executors": EXECUTORS, "jobs": JOBS,
        "commit_ms_p50": commit, "commit_ms_p99": percentile(&mut commits, 0.99),
        "start_ms_p50": start, "start_ms_p90": percentile(&mut latencies, 0.9),
        "start_ms_p99": percentile(&mut latencies, 0.99),
        "start_to_commit_p50": start / commit,
        "idle_queries_per_second": questions as f64 / IDLE.as_secs_f64(),
        "idle_cores": cores,
    }))
}
