//! `headwater schedule`: scripts that run at the times of a pattern, each over the interval that has just ended, by the job
//! queue's own machinery.
//!
//! ```text
//!  schedules.toml, CREATE SCHEDULE ──► job_schedules ──► a job an interval (maintain fires, backfill fills) ──► script:
//!  `headwater sql -f - -D date=… --run NAME`, a process of its own ──► jobs_done, job_attempts: what `runs` shows
//! ```

mod arguments;
mod config;
mod runs;
mod script;
mod statement;

use std::sync::Arc;

use headwater_change::{Error, Result};
use headwater_jobs::operate::{self, Cancelled, Retried};
use headwater_jobs::{Handlers, Queue, WorkedQueue, Worker, WorkerConfig, maintain};

pub(crate) use arguments::{AFTER_SCHEDULE, ScheduleCommand};
pub(crate) use runs::ShownRun;
pub(crate) use statement::Statements;

use crate::jobs::print::Printer;
use crate::jobs::work::{serve, stop_signal};
use crate::jobs::{access, all_done, connect};
use arguments::{BackfillArguments, Common, WorkArguments};
use config::Config;
use script::Script;

/// The queue of all runs.
const QUEUE: &str = "schedules";

/// The type of a run's job.
const JOB_TYPE: &str = "headwater.sql";

/// Days for which runs are kept.
const KEEP_DAYS: u32 = 90;

/// Runs a command to its end.
pub(crate) fn run(command: ScheduleCommand) -> Result<()> {
    crate::jobs::runtime()?.block_on(async {
        match command {
            ScheduleCommand::Work(arguments) => work(arguments).await,
            ScheduleCommand::Ls { common } => list(&common).await,
            ScheduleCommand::Runs { name, limit, common } => runs::list(&common, name.as_deref(), limit).await,
            ScheduleCommand::Backfill(arguments) => backfill(arguments).await,
            ScheduleCommand::Cancel { ids, common } => {
                let changes = operate::cancel(&open(&common).await?, &ids).await?;
                Printer::new(common.output).changes(&changes)?;
                let good = |outcome: &Cancelled| !matches!(outcome, Cancelled::Unknown);
                all_done(&changes, good, Cancelled::Unknown)
            }
            ScheduleCommand::Retry { ids, common } => {
                let changes = operate::retry(&open(&common).await?, &ids).await?;
                Printer::new(common.output).changes(&changes)?;
                let good = |outcome: &Retried| !matches!(outcome, Retried::Unknown);
                all_done(&changes, good, Retried::Unknown)
            }
            ScheduleCommand::Pause { name, common } => enable(&name, false, &common).await,
            ScheduleCommand::Resume { name, common } => enable(&name, true, &common).await,
            ScheduleCommand::Drop { name, common } => {
                let queue = open(&common).await?;
                let dropped = maintain::remove(&mut queue.session().await?, QUEUE, &name).await?;
                if dropped { Ok(()) } else { Err(unknown(&queue, &name).await) }
            }
        }
    })
}

/// The queue, whose tables are there.
async fn open(common: &Common) -> Result<Queue> {
    let access = match &common.config {
        Some(path) => Config::read(path, common.url.as_deref())?.access,
        None => access(common.url.as_deref())?,
    };
    connect(access, None).await
}

async fn work(arguments: WorkArguments) -> Result<()> {
    let config = Config::read(&arguments.config, arguments.url.as_deref())?;
    let queue = connect(config.access.clone(), None).await?;
    let mut conn = queue.session().await?;
    maintain::upsert(&mut conn, &config.schedules).await?;
    queue.give_back(conn);
    let mut handlers = Handlers::new();
    handlers.add(JOB_TYPE, Arc::new(Script::new(&config)?), config.settings.clone());
    let worked = WorkedQueue { name: QUEUE.to_owned(), weight: 1, history: true };
    let worker = WorkerConfig {
        executors: arguments.executors.unwrap_or(config.executors) as usize,
        queues: vec![worked],
        // Runs are long: none is held back here that another process could begin.
        prefetch: 0,
        keep_days: KEEP_DAYS,
        ..WorkerConfig::default()
    };
    eprintln!("running the schedules at {}; Ctrl-C or SIGTERM ends it", queue.access());
    let stopped = stop_signal()?;
    let worker = Worker::new(queue.clone(), handlers, worker);
    if let Some(address) = arguments.metrics {
        serve(address, queue, worker.metrics()).await?;
    }
    worker.run(stopped).await
}

async fn list(common: &Common) -> Result<()> {
    let queue = open(common).await?;
    let known = maintain::known(&mut queue.session().await?, QUEUE).await?;
    Printer::new(common.output).schedules(&known)
}

async fn enable(name: &str, enabled: bool, common: &Common) -> Result<()> {
    let queue = open(common).await?;
    let there = maintain::enable(&mut queue.session().await?, QUEUE, name, enabled).await?;
    if there { Ok(()) } else { Err(unknown(&queue, name).await) }
}

/// The error for a schedule that is not there.
async fn unknown(queue: &Queue, name: &str) -> Error {
    let names = match queue.session().await {
        Ok(mut conn) => maintain::known(&mut conn, QUEUE).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let names: Vec<&str> = names.iter().map(|known| known.name.as_str()).collect();
    let hint = match headwater_change::suggest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("there are: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }),
    };
    Error::usage("jobs.unknown_schedule", format!("there is no schedule '{name}'")).hint(hint)
}

async fn backfill(arguments: BackfillArguments) -> Result<()> {
    let queue = open(&arguments.common).await?;
    let known = maintain::known(&mut queue.session().await?, QUEUE).await?;
    let Some(schedule) = known.into_iter().find(|known| known.name == arguments.name) else {
        return Err(unknown(&queue, &arguments.name).await);
    };
    let enqueued = runs::backfill(&queue, &schedule, &arguments).await?;
    Printer::new(arguments.common.output).number("runs", enqueued)
}
