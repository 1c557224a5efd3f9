//! `headwater jobs`: one function for each command.

mod arguments;
pub(crate) mod print;
pub(crate) mod work;

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_change::{Error, Place, Result};
use headwater_jobs::config::Connection;
use headwater_jobs::operate::{self, Cancelled, Change, Filter, Order, Retried, Tail};
use headwater_jobs::{Cipher, Queue, schema};
use headwater_mysql::Access;

pub(crate) use arguments::{AFTER_JOBS, JobsCommand, Output};
use arguments::{CancelArguments, Common, InitArguments, ListArguments, RetryArguments};
use print::Printer;

/// The variable that says where the queue is.
const URL_VARIABLE: &str = "HEADWATER_MYSQL_URL";

/// Stands for the database where none is known.
const SOME_DATABASE: &str = "your_database";

/// Runs a command to its end.
pub(crate) fn run(command: JobsCommand) -> Result<()> {
    if let JobsCommand::Init(arguments) = &command
        && arguments.print
    {
        return print_tables(arguments);
    }
    runtime()?.block_on(async {
        match command {
            JobsCommand::Init(arguments) => init(&arguments).await,
            JobsCommand::Work(arguments) => work::work(arguments).await,
            JobsCommand::Ls(arguments) => list(arguments).await,
            JobsCommand::Show { id, common } => show(id, &common).await,
            JobsCommand::Retry(arguments) => retry(arguments).await,
            JobsCommand::Cancel(arguments) => cancel(arguments).await,
            JobsCommand::Pause { queue, common } => pause(&queue, true, &common).await,
            JobsCommand::Resume { queue, common } => pause(&queue, false, &common).await,
            JobsCommand::Stats { common } => stats(&common).await,
            JobsCommand::Tail { since, common } => tail(Duration::from_secs(since), &common).await,
            JobsCommand::Enqueue { file, common } => enqueue(file, &common).await,
        }
    })
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::remote("server.threads", "no threads can be started").caused_by(error))
}

/// The address that was given, or the one of the environment.
pub(crate) fn access(url: Option<&str>) -> Result<Access> {
    let url = url.map(str::to_owned).or_else(|| std::env::var(URL_VARIABLE).ok());
    let url = url.filter(|url| !url.is_empty()).ok_or_else(|| {
        Error::usage("jobs.no_url", "where the queue is was not said").hint(format!(
            "set {URL_VARIABLE} or give --url mysql://user:password@host:3306/database: the database that holds your data"
        ))
    })?;
    Access::from_url(&url)
}

/// The queue that was named.
async fn open(common: &Common) -> Result<Queue> {
    let url = common.url.as_deref();
    let (access, cipher) = match &common.config {
        Some(path) => Connection::read(path, url).map(|connection| (connection.access, connection.cipher))?,
        None => (access(url)?, None),
    };
    connect(access, cipher).await
}

/// A queue whose tables are there.
pub(crate) async fn connect(access: Access, cipher: Option<Cipher>) -> Result<Queue> {
    let queue = Queue::connect(access).await?.with_cipher(cipher);
    let mut conn = queue.session().await?;
    schema::check(&mut conn).await?;
    queue.give_back(conn);
    Ok(queue)
}

fn print_tables(arguments: &InitArguments) -> Result<()> {
    let database = match access(arguments.url.as_deref()) {
        Ok(access) => access.database().map(str::to_owned),
        Err(error) if error.code() == "jobs.no_url" => None,
        Err(error) => return Err(error),
    };
    print::text(schema::TABLES)?;
    grants(database.as_deref().unwrap_or(SOME_DATABASE), &arguments.account)
}

fn grants(database: &str, account: &str) -> Result<()> {
    let quoted = headwater_mysql::ident(database);
    print::text(&format!(
        "\n-- For the account of workers, and of people who use `headwater jobs`:\n{}\n\n\
         -- An account that only enqueues needs no more than this:\n-- GRANT INSERT ON {quoted}.jobs TO 'app'@'%';\n\
         -- `headwater jobs stats` shows the oldest open transaction to accounts with PROCESS.\n",
        schema::grants(database, account).join("\n")
    ))
}

async fn init(arguments: &InitArguments) -> Result<()> {
    let queue = Queue::connect(access(arguments.url.as_deref())?).await?;
    let mut conn = queue.session().await?;
    schema::create(&mut conn).await?;
    queue.give_back(conn);
    let database = queue.access().database().unwrap_or(SOME_DATABASE);
    print::text(&format!("-- The tables are in the database {database}. What was there before was left as it was.\n"))?;
    grants(database, &arguments.account)
}

async fn list(arguments: ListArguments) -> Result<()> {
    let order = match (arguments.order, arguments.status) {
        (Some(arguments::Order::Claim), _) | (None, Some(_)) => Order::Claim,
        (Some(arguments::Order::Newest), _) | (None, None) => Order::Newest,
    };
    let filter = Filter {
        queue: arguments.queue,
        job_type: arguments.job_type,
        status: arguments.status,
        order,
        limit: arguments.limit,
    };
    let queue = open(&arguments.common).await?;
    let listing = operate::list(&queue, &filter).await?;
    Printer::new(arguments.common.output).jobs(&listing)
}

async fn show(id: u64, common: &Common) -> Result<()> {
    let queue = open(common).await?;
    let details = operate::show(&queue, id).await?;
    Printer::new(common.output).details(&details)
}

async fn retry(arguments: RetryArguments) -> Result<()> {
    let queue = open(&arguments.common).await?;
    let printer = Printer::new(arguments.common.output);
    if arguments.all_dead {
        let (of_queue, of_type) = (arguments.queue.as_deref(), arguments.job_type.as_deref());
        let count = operate::retry_dead(&queue, of_queue, of_type).await?;
        return printer.number("revived", count);
    }
    let changes = operate::retry(&queue, &arguments.ids).await?;
    printer.changes(&changes)?;
    let good = |outcome: &Retried| {
        matches!(outcome, Retried::Revived | Retried::BroughtForward | Retried::AlreadyDue | Retried::Running)
    };
    all_done(&changes, good, Retried::Unknown)
}

async fn cancel(arguments: CancelArguments) -> Result<()> {
    let queue = open(&arguments.common).await?;
    let ids =
        if arguments.with_dependents { operate::with_dependents(&queue, &arguments.ids).await? } else { arguments.ids };
    let changes = operate::cancel(&queue, &ids).await?;
    Printer::new(arguments.common.output).changes(&changes)?;
    let good = |outcome: &Cancelled| matches!(outcome, Cancelled::Cancelled | Cancelled::Stopping);
    all_done(&changes, good, Cancelled::Unknown)
}

/// An error where a job was not changed as it was asked for, so that a script sees it.
pub(crate) fn all_done<T: PartialEq>(changes: &[Change<T>], good: impl Fn(&T) -> bool, unknown: T) -> Result<()> {
    let numbers = |wanted: &dyn Fn(&T) -> bool| -> Vec<String> {
        let found = changes.iter().filter(|change| wanted(&change.outcome));
        found.take(20).map(|change| change.id.to_string()).collect()
    };
    let missing = numbers(&|outcome| *outcome == unknown);
    if !missing.is_empty() {
        return Err(Error::usage("jobs.unknown_id", format!("there is no job {}", missing.join(", "))).hint(
            "finished jobs are kept only where their queue has a history; `headwater jobs ls` lists what is there",
        ));
    }
    let undone = numbers(&|outcome| !good(outcome));
    if undone.is_empty() {
        return Ok(());
    }
    Err(Error::data("jobs.not_changed", format!("nothing was done to job {}", undone.join(", ")))
        .hint("what each one was is printed beside its number"))
}

async fn pause(name: &str, paused: bool, common: &Common) -> Result<()> {
    let queue = open(common).await?;
    let known = operate::queues(&queue).await?.iter().any(|queue| queue == name);
    let changed = match paused {
        true => operate::pause(&queue, name).await?,
        false => operate::resume(&queue, name).await?,
    };
    if !known {
        eprintln!("warning: no job and no setting of the queue {name} is there at the moment");
    }
    Printer::new(common.output).paused(name, paused, changed)
}

async fn stats(common: &Common) -> Result<()> {
    let queue = open(common).await?;
    let stats = operate::stats(&queue).await?;
    Printer::new(common.output).stats(&stats)
}

#[expect(clippy::disallowed_methods, reason = "following a table asks it once a second")]
async fn tail(since: Duration, common: &Common) -> Result<()> {
    let queue = open(common).await?;
    let printer = Printer::new(common.output);
    let mut tail = Tail::since(&queue, since).await?;
    loop {
        for event in tail.poll().await? {
            printer.event(&event)?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn enqueue(file: Option<PathBuf>, common: &Common) -> Result<()> {
    let queue = open(common).await?;
    let (lines, name): (Box<dyn BufRead>, String) = match file.filter(|path| path != Path::new("-")) {
        Some(path) => {
            let name = path.display().to_string();
            let file = File::open(&path).map_err(|error| {
                Error::usage("jobs.lines", "the lines cannot be read")
                    .detail(error.to_string())
                    .at(Place::File { path: name.clone(), line: 0 })
            })?;
            (Box::new(BufReader::new(file)), name)
        }
        None => (Box::new(BufReader::new(stdin())), "standard input".to_owned()),
    };
    let done = operate::enqueue_lines(&queue, lines, &name).await?;
    Printer::new(common.output).enqueued(done)
}
