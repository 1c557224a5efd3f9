//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use headwater_server::Format;

use crate::jobs::{AFTER_JOBS, JobsCommand};
use crate::schedule::{AFTER_SCHEDULE, ScheduleCommand};

/// The server of `--mysql`, where the option is not given.
pub(crate) const MYSQL_VARIABLE: &str = "HEADWATER_SQL_MYSQL";

/// Streams, batch, change capture, jobs and derived stores beside one MySQL, in one binary.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, about, long_about = LONG_ABOUT, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const LONG_ABOUT: &str = "\
Headwater runs Flink SQL and Spark SQL scripts as they are: it reads files, generated rows and the change log of MySQL or MariaDB, \
counts and sums them in event-time windows or as ever-changing totals, and writes the results to files, the terminal \
or a log, with durable state and exactly-once restart.";

const AFTER_SQL: &str = "\
EXAMPLES
  Count clicks of a file in windows of ten seconds:
    headwater sql -f clicks.sql -D DATA=/data --output json

  Watch a table of MySQL:
    headwater sql -f orders.sql --output changelog

  Run a nightly job of Spark's over tables of MySQL:
    headwater sql -f nightly.sql --mysql 'mysql://reader:env:PASSWORD@db:3306/'

  Keep state, so that a killed run goes on where it was:
    headwater sql -f totals.sql --state /var/lib/headwater/totals

EXIT STATUS
  0  done, or stopped by Ctrl-C        2  the script, an option or the environment must be changed
  1  something failed at run time      3  the place in the source is gone (purged binlog, truncated file)

ENVIRONMENT
  HEADWATER_LOG         what is logged to standard error: error, warn (default), info, debug, headwater_mysql=trace
  HEADWATER_SQL_MYSQL   the URL of --mysql
  HEADWATER_MYSQL_URL   where CREATE SCHEDULE, DROP SCHEDULE and SHOW SCHEDULES find the schedules";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs Flink SQL and Spark SQL: scripts, statements, or an interactive shell when given nothing.
    #[command(after_help = AFTER_SQL)]
    Sql(SqlArguments),
    /// The job queue on MySQL tables: makes it, runs it, reads and steers it.
    #[command(subcommand, after_help = AFTER_JOBS)]
    Jobs(JobsCommand),
    /// Scripts that run at the times of a pattern: runs them, lists them, fills past days.
    #[command(subcommand, after_help = AFTER_SCHEDULE)]
    Schedule(ScheduleCommand),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page (roff), for `man -l -`.
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    /// A script to run; several run in order in one session; `-` is standard input.
    #[arg(short, long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Statements to run, after the files.
    #[arg(short = 'e', long = "execute", value_name = "STATEMENT")]
    pub(crate) statements: Vec<String>,
    /// The value of `${NAME}` in scripts.
    #[arg(short = 'D', value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) variables: Vec<(String, String)>,
    /// How rows of a SELECT are printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// What NULL is printed as with `--output csv`.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) null: String,
    /// Folder of durable state: positions, operator state and receipts of the last epoch. Without it a run that is
    /// killed begins anew.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Shards of keyed operators and decoding threads; by default one per core.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) parallelism: Option<usize>,
    /// Memory that sorts, joins and aggregates of batch mode may hold before they go to disk: 512mb, 2g.
    #[arg(long, value_name = "SIZE", default_value = "1g", value_parser = size)]
    pub(crate) memory: usize,
    /// The name of this run, such as nightly-2024-05-20: what an earlier run of the name has written to tables of MySQL
    /// is not written again, whatever became of it.
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    pub(crate) run: Option<String>,
    /// The server whose databases Spark's scripts name without a catalog: jdbc:mysql://host:3306/database?user=u&password=p.
    #[arg(long, value_name = "URL")]
    pub(crate) mysql: Option<String>,
}

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A drawn table; a result that never ends is refreshed in place on a terminal.
    Table,
    /// One JSON object a line; a windowed query that shows no bound of its window gets `window_end` first.
    Json,
    /// A header, then values as CAST(x AS STRING) gives them.
    Csv,
    /// Every change as one JSON object a line: {"op":"+I","row":{…}}.
    Changelog,
    /// A file of Parquet, for a result that ends: headwater sql … --output parquet > result.parquet.
    Parquet,
}

impl From<Output> for Format {
    fn from(output: Output) -> Self {
        match output {
            Output::Table => Self::Table,
            Output::Json => Self::Json,
            Output::Csv => Self::Csv,
            Output::Changelog => Self::Changelog,
            Output::Parquet => Self::Parquet,
        }
    }
}

fn size(text: &str) -> Result<usize, String> {
    let bytes = headwater_change::parse_size(text).and_then(|bytes| usize::try_from(bytes).ok());
    bytes
        .filter(|bytes| *bytes >= 1 << 20)
        .ok_or_else(|| "write a size of at least a megabyte, such as 512mb".to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn run_name(text: &str) -> Result<String, String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter);
    if (1..=100).contains(&text.len()) && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err("up to 100 letters, digits, and - _ . :".to_owned())
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "give a number from 1".to_owned())
}
