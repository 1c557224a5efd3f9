//! The same work while somebody else keeps an old snapshot open: the server may not clean up behind the claims.

use std::time::Duration;

use headwater_mysql::driver::prelude::Queryable;
use serde_json::{Value, json};

use super::worker::{Working, nothing};
use super::{Outcome, Settings, ground::Ground};

/// How long the snapshot is held.
const MINUTE: u64 = 60;
/// The minute is cut in such parts, to see where it leads.
const PART: u64 = 10;

pub(super) async fn run(ground: &mut Ground, settings: Settings) -> Outcome<Value> {
    ground.fill(settings.pending, settings.priorities).await?;
    let (warm, time) = (Duration::from_secs(1), Duration::from_secs(PART));
    let (expected, _) = super::worker::run(ground, settings.executors, warm, Duration::from_secs(3)).await?;
    // So many that they do not run out within two measurements.
    let enough = (expected * (MINUTE + 3 * PART) as f64 * 1.3) as u64;
    ground.fill(settings.pending.max(enough), settings.priorities).await?;

    let worker = Working::start(&ground.queue, settings.executors, nothing());
    let (before, cores_before) = ground.rate(warm, time, || worker.done()).await;
    let mut holder = ground.queue.session().await?;
    holder.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
    holder.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
    let _: Option<u64> = holder.query_first("SELECT id FROM jobs ORDER BY id LIMIT 1").await?;
    let mut parts = Vec::new();
    for _ in 0..MINUTE / PART {
        parts.push(ground.rate(Duration::ZERO, time, || worker.done()).await);
    }
    let history = ground.history_length().await?;
    holder.query_drop("COMMIT").await?;
    worker.end().await?;
    let rates: Vec<f64> = parts.iter().map(|(rate, _)| *rate).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let efficiencies: Vec<f64> = parts.iter().map(|(rate, cores)| cores.efficiency(*rate)).collect();
    let held = mean(&rates);
    Ok(json!({
        "executors": settings.executors, "held_seconds": MINUTE,
        "jobs_per_second_before": before, "jobs_per_second_while_held": held,
        "ratio": held / before, "ratio_last_part": rates.last().copied().unwrap_or(f64::NAN) / before,
        "ratio_per_server_core_second": mean(&efficiencies) / cores_before.efficiency(before),
        "jobs_per_second_by_ten_seconds": rates,
        "cores_by_ten_seconds": parts.iter().map(|(_, cores)| *cores).collect::<Vec<_>>(),
        "history_list_length": history,
    }))
}
