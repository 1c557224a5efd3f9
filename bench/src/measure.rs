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

/// The largest resident memory of a program, looked at every few milliseconds while it runs.
pub(crate) fn memory_mib(command: &mut Command) -> Result<f64, Box<dyn Error>> {
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let mut most = 0.0_f64;
    let status = loop {
        let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        most = most.max(kib.unwrap_or(0.0) / 1024.0);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    if status.success() { Ok(most) } else { Err(format!("{command:?} ended with {status}").into()) }
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
