//! Wall time, processor time and memory of programs and of pieces of code.

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;

/// What one run took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
}

fn cpu_seconds(usage: &Usage) -> f64 {
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}

/// Runs a program to its end; its output is discarded, its failure is an error.
pub(crate) fn program(command: &mut Command) -> Result<Cost, Box<dyn Error>> {
    let before = cpu_seconds(&getrusage(UsageWho::RUSAGE_CHILDREN)?);
    let begin = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    let wall_seconds = begin.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("{command:?} ended with {status}").into());
    }
    let cpu_seconds = cpu_seconds(&getrusage(UsageWho::RUSAGE_CHILDREN)?) - before;
    Ok(Cost { wall_seconds, cpu_seconds })
}

/// Runs a piece of code of this process.
pub(crate) fn code(run: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Cost, Box<dyn Error>> {
    let before = cpu_seconds(&getrusage(UsageWho::RUSAGE_SELF)?);
    let begin = Instant::now();
    run()?;
    let wall_seconds = begin.elapsed().as_secs_f64();
    Ok(Cost { wall_seconds, cpu_seconds: cpu_seconds(&getrusage(UsageWho::RUSAGE_SELF)?) - before })
}

/// The largest resident memory of any child so far, in MiB.
pub(crate) fn children_memory_mib() -> Result<f64, Box<dyn Error>> {
    Ok(getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() as f64 / 1024.0)
}

/// The middle of the runs, by wall time and by processor time each for itself.
pub(crate) fn median(costs: &[Cost]) -> Cost {
    let middle = |value: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Cost { wall_seconds: middle(|cost| cost.wall_seconds), cpu_seconds: middle(|cost| cost.cpu_seconds) }
}
