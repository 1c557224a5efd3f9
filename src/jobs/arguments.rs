//! The command line of `headwater jobs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use headwater_jobs::operate::Status;

pub(crate) const AFTER_JOBS: &str = "\
EXAMPLES
  Make the tables, once, with an account that may create some; it prints the grants that workers need:
    headwater jobs init --url mysql://root@127.0.0.1/shop

  Enqueue, from any language, in your own transaction:
    INSERT INTO jobs (job_type, payload) VALUES ('SEND_WELCOME_EMAIL', JSON_OBJECT('user_id', 7))

  What failed, why, and once more:
    headwater jobs ls --status dead
    headwater jobs show 4711
    headwater jobs retry --all-dead --type SEND_WELCOME_EMAIL

  Numbers for a script:
    headwater jobs stats --output json | jq 'select(.queue == \"default\") | .due'

EXIT STATUS
  0  done                              2  the arguments, the database or its grants must be changed; no such job
  1  something failed, or a job could not be changed as it was asked for

ENVIRONMENT
  HEADWATER_MYSQL_URL   where the queue is, instead of --url (which every user of the machine sees in its list of
                        processes): mysql://user:password@host:3306/database; a password may be file:/path or env:NAME
  HEADWATER_LOG         what is logged to standard error: error, warn (default), info, debug";

/// `headwater jobs …`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// Makes the tables and prints the grants of a worker's account.
    Init(InitArguments),
    /// Runs jobs, until it is told to stop.
    Work(WorkArguments),
    /// Lists jobs.
    Ls(ListArguments),
    /// Shows a job: its row, its failures, its worker, what it depends on.
    Show {
        /// Its number.
        id: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Makes jobs due at once: dead ones with all their retries, and those that wait for their time.
    Retry(RetryArguments),
    /// Takes jobs out of the queue; a running one is stopped by its worker within seconds.
    Cancel(CancelArguments),
    /// Stops claims from a queue; what runs goes on.
    Pause {
        /// Its name.
        queue: String,
        #[command(flatten)]
        common: Common,
    },
    /// Allows claims from a queue again.
    Resume {
        /// Its name.
        queue: String,
        #[command(flatten)]
        common: Common,
    },
    /// Counts the jobs of each queue, up to 100,000 of a kind, and warns of what slows a queue down.
    Stats {
        #[command(flatten)]
        common: Common,
    },
    /// Follows failures, cancellations, and completions in queues with history.
    Tail {
        /// Begin so many seconds ago.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        since: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Enqueues a job for each line of JSON: {"job_type": "MAIL", "payload": {"user_id": 7}}.
    #[command(after_help = AFTER_ENQUEUE)]
    Enqueue {
        /// The lines; standard input without it or with `-`.
        file: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
}

const AFTER_ENQUEUE: &str = "\
A line may also have: queue, priority (smaller first), run_at (2026-11-23T09:00:00Z) or delay (seconds), max_retries,
unique_key, limit_key, batch_id, traceparent. Transactions hold up to 2,000 lines; a line that is not a job ends the
command with its number, and what was enqueued before stays.";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Where the queue is: mysql://user:password@host:3306/database; HEADWATER_MYSQL_URL by default.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The workers' configuration: where the queue is, and what `enqueue` encrypts payloads with.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Prints the statements and connects to nothing.
    #[arg(long)]
    pub(crate) print: bool,
    /// The account that workers use.
    #[arg(long, value_name = "'NAME'@'HOST'", default_value = "'worker'@'%'", value_parser = account)]
    pub(crate) account: String,
    /// Where the tables shall be; HEADWATER_MYSQL_URL by default.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WorkArguments {
    /// Queues, handlers and their settings.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Jobs that run at the same time, instead of what the file says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) executors: Option<u32>,
    /// Serves metrics for Prometheus at this address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Where the queue is, instead of what the file says; HEADWATER_MYSQL_URL where neither does.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Of one queue.
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// Of one type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) job_type: Option<String>,
    /// With one status: pending, running, cancelling, waiting, parked, dead.
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub(crate) status: Option<Status>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
    /// The newest first, or as workers take them; by default `claim` with --status and `newest` without.
    #[arg(long, value_enum)]
    pub(crate) order: Option<Order>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `--order`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// The newest first.
    Newest,
    /// By queue and status, due before later, smaller priorities first.
    Claim,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArguments {
    /// Their numbers.
    #[arg(required_unless_present = "all_dead", conflicts_with = "all_dead")]
    pub(crate) ids: Vec<u64>,
    /// All that failed for good.
    #[arg(long)]
    pub(crate) all_dead: bool,
    /// Only of one type.
    #[arg(long = "type", value_name = "TYPE", requires = "all_dead")]
    pub(crate) job_type: Option<String>,
    /// Only of one queue.
    #[arg(long, value_name = "NAME", requires = "all_dead")]
    pub(crate) queue: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArguments {
    /// Their numbers.
    #[arg(required = true)]
    pub(crate) ids: Vec<u64>,
    /// Also the jobs that wait for them; otherwise these run as if the cancelled ones were done.
    #[arg(long)]
    pub(crate) with_dependents: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

fn status(text: &str) -> Result<Status, String> {
    Status::from_name(text).ok_or_else(|| {
        let names = Status::ALL.map(|status| status.name().to_lowercase()).join(", ");
        format!("give one of {names}; finished jobs are not listed, `show` finds them by their number")
    })
}

/// An account in the quotes that SQL wants: `worker`, `worker@10.0.0.%` and `'worker'@'%'` are taken.
fn account(text: &str) -> Result<String, String> {
    let bare = |part: &str| part.trim().trim_matches(|c| matches!(c, '\'' | '`' | '"')).to_owned();
    let (name, host) =
        text.rsplit_once('@').map_or((bare(text), "%".to_owned()), |(name, host)| (bare(name), bare(host)));
    if name.is_empty() || host.is_empty() || [&name, &host].iter().any(|part| part.contains(['\'', '\\', '"', '`'])) {
        return Err("write 'name'@'host'".to_owned());
    }
    Ok(format!("'{name}'@'{host}'"))
}

#[cfg(test)]
mod tests {
    use super::account;

    #[test]
    fn accounts_are_quoted_and_nothing_else_gets_in() {
        for (text, quoted) in [
            ("worker", "'worker'@'%'"),
            ("worker@10.0.0.%", "'worker'@'10.0.0.%'"),
            ("'worker'@'%'", "'worker'@'%'"),
            ("`a@b`@localhost", "'a@b'@'localhost'"),
        ] {
            assert_eq!(account(text).as_deref(), Ok(quoted));
        }
        for text in ["", "@", "a'b@%", "'a' TO 'b'@'%'", "a@"] {
            assert!(account(text).is_err(), "{text}");
        }
    }
}
