//! The command line of `headwater schedule`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::jobs::Output;

pub(crate) const AFTER_SCHEDULE: &str = "\
EXAMPLES
  Make the tables, once: headwater jobs init --url mysql://root@127.0.0.1/headwater

  Run what schedules.toml says, from as many machines as you like:
    headwater schedule work --config schedules.toml

  What ran, what failed, and why:
    headwater schedule runs daily

  The days of a month anew, four at a time:
    headwater schedule backfill daily --from 2024-05-01 --to 2024-05-31 --parallel 4 --again

ENVIRONMENT
  HEADWATER_MYSQL_URL   where the schedules and their runs are kept, instead of --url or the file's url";

/// `headwater schedule …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Writes the schedules of a file down and runs all that are due, until it is told to stop.
    Work(WorkArguments),
    /// Lists the schedules and when they fire next.
    Ls {
        #[command(flatten)]
        common: Common,
    },
    /// Lists runs: the latest intervals first.
    Runs {
        /// Of one schedule.
        name: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Enqueues a run for each interval that begins on one of the days and has ended.
    Backfill(BackfillArguments),
    /// Takes runs out; one that is at work ends within seconds, and its target is as it was.
    Cancel {
        /// Their numbers.
        #[arg(required = true)]
        ids: Vec<u64>,
        #[command(flatten)]
        common: Common,
    },
    /// Makes runs due at once: those that failed for good, and those that wait for their next try.
    Retry {
        /// Their numbers.
        #[arg(required = true)]
        ids: Vec<u64>,
        #[command(flatten)]
        common: Common,
    },
    /// Lets a schedule fire no more; what it fired goes on.
    Pause {
        /// Its name.
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Lets a schedule fire again, from now on.
    Resume {
        /// Its name.
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Removes a schedule; its runs stay.
    Drop {
        /// Its name.
        name: String,
        #[command(flatten)]
        common: Common,
    },
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Where the schedules are: mysql://user:password@host:3306/database; HEADWATER_MYSQL_URL by default.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The file that says where they are.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct WorkArguments {
    /// Schedules, and what all of them have in common.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Runs at the same time, instead of what the file says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) executors: Option<u32>,
    /// Serves metrics for Prometheus at this address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Where the schedules are, instead of what the file says.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BackfillArguments {
    /// The schedule.
    pub(crate) name: String,
    /// The first day: 2024-05-01, in the schedule's time zone.
    #[arg(long, value_name = "DATE")]
    pub(crate) from: String,
    /// The last day.
    #[arg(long, value_name = "DATE")]
    pub(crate) to: String,
    /// Runs of it at the same time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) parallel: u32,
    /// Also what was written before is written again, for scripts that replace their rows (INSERT OVERWRITE, keys).
    #[arg(long)]
    pub(crate) again: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}
