//! `jobs`: the queue's worker beside the bare claim and delete loop, on a MySQL of its own with full durability.
//!
//! The peers of `bench/peers` belong to the same run.

mod bare;
mod ground;
mod latency;
mod peers;
mod snapshot;
mod worker;

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use self::bare::{Bare, Form, Naming, Reading};
use self::ground::{Cores, Ground};

/// Errors of tasks, which travel between threads.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What is measured, and on how many jobs.
#[derive(Args, Clone)]
pub(crate) struct Settings {
    /// Jobs that wait when a measurement begins.
    #[arg(long, default_value_t = 1_000_000)]
    pending: u64,
    /// Different priorities of these jobs.
    #[arg(long, default_value_t = 1)]
    priorities: u64,
    /// Jobs at the same time of the worker.
    #[arg(long, default_value_t = 16)]
    executors: usize,
    /// Jobs of a claim of the bare loop; as the worker has it.
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Parts to run.
    #[arg(long, value_delimiter = ',', default_value = "throughput,latency,snapshot,peers")]
    parts: Vec<String>,
}

/// Runs the parts in their order.
pub(crate) fn run(settings: Settings, runs: usize) -> Outcome<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ground = Ground::start().await?;
        let mut result = json!({ "scenario": "jobs", "server": ground.version().await? });
        for part in &settings.parts {
            eprintln!("{part}");
            let figures = match part.as_str() {
                "sweep" => sweep(&mut ground, settings.clone()).await?,
                "throughput" => throughput(&mut ground, settings.clone(), runs).await?,
                "latency" => latency::run(&mut ground).await?,
                "snapshot" => snapshot::run(&mut ground, settings.clone()).await?,
                "peers" => peers::run(&mut ground, settings.executors, Duration::from_secs(settings.seconds)).await?,
                other => return Err(format!("no such part: {other}").into()),
            };
            if let Some(map) = result.as_object_mut() {
                map.insert(part.clone(), figures);
            }
        }
        Ok(result)
    })
}

fn warm() -> Duration {
    Duration::from_secs(1)
}

/// The bare loop in all its ways, once each: which one is the limit.
async fn sweep(ground: &mut Ground, settings: Settings) -> Outcome<Value> {
    let base = Bare {
        connections: 1,
        batch: settings.batch,
        form: Form::Separate,
        naming: Naming::Range,
        reading: Reading::Cursor,
    };
    let mut ways = Vec::new();
    for batch in [1_000, 2_000, 500, 100] {
        for connections in [1, 2, 4] {
            for form in [Form::Separate, Form::Fused] {
                ways.push(Bare { connections, batch, form, ..base });
            }
        }
    }
    for connections in [1, 2, 4] {
        ways.push(Bare { connections, form: Form::Held, ..base });
        ways.push(Bare { connections, naming: Naming::List, ..base });
        ways.push(Bare { connections, reading: Reading::Front, ..base });
    }
    let mut figures = Vec::new();
    for way in ways {
        ground.fill(settings.pending, settings.priorities).await?;
        let (rate, cores) = bare::run(ground, way, warm(), Duration::from_secs(settings.seconds)).await?;
        eprintln!("{rate:>8.0} {way:?} {cores:?}");
        figures.push(json!({ "way": way, "jobs_per_second": rate.round(),
            "jobs_per_server_core_second": cores.efficiency(rate).round(), "cores": cores }));
    }
    Ok(json!({ "pending": settings.pending, "ways": figures }))
}

/// The ways that may be the limit at the batch of the worker.
fn candidates(settings: &Settings) -> Vec<Bare> {
    // The bare loop's cursor knows one priority.
    let reading = if settings.priorities == 1 { Reading::Cursor } else { Reading::Front };
    let mut ways = Vec::new();
    for connections in [1, 2, 4] {
        for form in [Form::Separate, Form::Fused] {
            ways.push(Bare { connections, batch: settings.batch, form, naming: Naming::Range, reading });
        }
    }
    ways
}

/// The worker beside the bare loop, in turns.
async fn throughput(ground: &mut Ground, settings: Settings, runs: usize) -> Outcome<Value> {
    let time = Duration::from_secs(settings.seconds);
    let mut worker: Vec<(f64, Cores)> = Vec::new();
    let ways = candidates(&settings);
    let mut bare: Vec<Vec<(f64, Cores)>> = vec![Vec::new(); ways.len()];
    for run in 0..=runs {
        ground.fill(settings.pending, settings.priorities).await?;
        let figures = worker::run(ground, settings.executors, warm(), time).await?;
        eprintln!("{:>8.0} worker {:?}", figures.0, figures.1);
        // The first turn only warms up.
        if run > 0 {
            worker.push(figures);
        }
        for (way, measured) in ways.iter().zip(&mut bare) {
            ground.fill(settings.pending, settings.priorities).await?;
            let figures = bare::run(ground, *way, warm(), time).await?;
            eprintln!("{:>8.0} {way:?} {:?}", figures.0, figures.1);
            if run > 0 {
                measured.push(figures);
            }
        }
    }
    let (rate, efficiency) = median(&worker);
    let limits: Vec<(Bare, (f64, f64))> = ways.iter().zip(&bare).map(|(way, all)| (*way, median(all))).collect();
    let best = limits.iter().copied().max_by(|left, right| left.1.0.total_cmp(&right.1.0));
    let (best, (limit, limit_efficiency)) = best.ok_or("no limit")?;
    let ways = limits.iter().map(|(way, (rate, efficiency))| {
        json!({ "way": way, "jobs_per_second": rate.round(), "jobs_per_server_core_second": efficiency.round() })
    });
    let ways: Vec<Value> = ways.collect();
    Ok(json!({
        "pending": settings.pending, "priorities": settings.priorities, "executors": settings.executors, "runs": runs,
        "worker_jobs_per_second": rate.round(),
        "worker_jobs_per_server_core_second": efficiency.round(),
        "worker_cores": worker.iter().map(|(_, cores)| *cores).collect::<Vec<_>>(),
        "limit_jobs_per_second": limit.round(), "limit": best,
        "limit_jobs_per_server_core_second": limit_efficiency.round(),
        "worker_to_limit": rate / limit,
        "worker_to_limit_per_server_core_second": efficiency / limit_efficiency,
        "bare": ways,
    }))
}

/// The middle of jobs per second, and of jobs per second of the server's processor time.
fn median(figures: &[(f64, Cores)]) -> (f64, f64) {
    let mut rates: Vec<f64> = figures.iter().map(|(rate, _)| *rate).collect();
    let mut efficiencies: Vec<f64> = figures.iter().map(|(rate, cores)| cores.efficiency(*rate)).collect();
    (percentile(&mut rates, 0.5), percentile(&mut efficiencies, 0.5))
}

fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len().saturating_sub(1) as f64 * part).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}
