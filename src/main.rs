//! The binary: arguments, the server crate, exit codes.

mod arguments;
mod jobs;
mod report;
mod schedule;
mod signals;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory, Parser};
use headwater_change::{Error, Place, Result, pause, secret};
use headwater_server::shell::{self, Piece};
use headwater_server::{Config, Failure, Runner, Stopper};
use nix::sys::signal::Signal;

use crate::arguments::{Arguments, Command, MYSQL_VARIABLE, SqlArguments};

/// Set by the first Ctrl-C; the second one ends the process at once.
static STOPPING: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Sql(sql) => {
            start_logging("warn");
            run_sql(&sql)
        }
        Command::Jobs(command) => {
            // A worker tells of each job that failed.
            start_logging("warn,headwater_jobs=info");
            jobs::run(command).map_err(|error| failure(error, ""))
        }
        Command::Schedule(command) => {
            start_logging("warn,headwater_jobs=info");
            schedule::run(command).map_err(|error| failure(error, ""))
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "headwater", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => man_page().map_err(|error| failure(error, "")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe has what they wanted.
        Err(failure) if failure.error.code() == "output.closed" => ExitCode::SUCCESS,
        Err(failure) => {
            report::print(&failure);
            report::exit_code(&failure.error)
        }
    }
}

fn failure(error: Error, text: &str) -> Failure {
    Failure { error, text: text.to_owned() }
}

/// Logs go to standard error; `HEADWATER_LOG` sets the level, as in `debug` or `headwater_mysql=trace`.
fn start_logging(usual: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HEADWATER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(usual));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Redacting).with_ansi(ansi).init();
}

/// Standard error without secrets. A line comes in one piece.
struct Redacting;

impl std::io::Write for Redacting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        std::io::stderr().write_all(secret::redact(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

fn man_page() -> Result<()> {
    let mut page = Vec::new();
    let command = Arguments::command();
    let rendered = clap_mangen::Man::new(command.clone()).render(&mut page).and_then(|()| {
        command.get_subcommands().try_for_each(|sub| clap_mangen::Man::new(sub.clone()).render(&mut page))
    });
    rendered
        .and_then(|()| std::io::Write::write_all(&mut std::io::stdout(), &page))
        .map_err(|error| Error::remote("output.write", "the page could not be written").caused_by(error))
}

fn run_sql(arguments: &SqlArguments) -> Result<(), Failure> {
    let config = Config {
        format: arguments.output.into(),
        null_text: arguments.null.clone(),
        state: arguments.state.clone(),
        parallelism: parallelism(arguments),
        memory_bytes: arguments.memory,
        mysql: arguments.mysql.clone().or_else(|| std::env::var(MYSQL_VARIABLE).ok().filter(|url| !url.is_empty())),
        run: arguments.run.clone(),
        variables: arguments.variables.iter().cloned().collect::<BTreeMap<_, _>>(),
    };
    let stopper = Stopper::default();
    let hand = stopper.clone();
    signals::watch(move |signal| signalled(signal, &hand)).map_err(|error| failure(error, ""))?;
    let mut runner = Runner::new(config, stopper).map_err(|error| failure(error, ""))?;
    runner.set_schedules(Box::new(schedule::Statements));
    for piece in scripts(arguments).map_err(|error| failure(error, ""))? {
        match piece {
            Piece::Script(text) => runner.run(&text)?,
            Piece::Help => println!("{}", shell::HELP),
            Piece::Quit => return Ok(()),
        }
    }
    if interactive(arguments) {
        let report = |failed: &Failure| {
            STOPPING.store(false, Ordering::SeqCst);
            report::print(failed);
        };
        shell::run(&mut runner, history_file(), &report).map_err(|error| failure(error, ""))?;
    }
    Ok(())
}

/// Ctrl-C stops what runs, SIGTERM and SIGHUP all that is to come, too. A second Ctrl-C or SIGTERM ends the process at
/// once; the end of a terminal may be told by several.
fn signalled(signal: Signal, stopper: &Stopper) {
    if signal == Signal::SIGUSR1 {
        let told =
            if pause::toggle() { "paused: what is being read is read to its end; SIGUSR1 goes on" } else { "going on" };
        eprintln!("{told}");
        return;
    }
    let again = match signal {
        Signal::SIGINT => STOPPING.swap(stopper.stop() > 0, Ordering::SeqCst),
        Signal::SIGTERM => {
            stopper.end();
            STOPPING.swap(true, Ordering::SeqCst)
        }
        _ => {
            stopper.end();
            false
        }
    };
    if again {
        std::process::exit(130);
    }
}

fn parallelism(arguments: &SqlArguments) -> usize {
    arguments.parallelism.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn interactive(arguments: &SqlArguments) -> bool {
    arguments.files.is_empty() && arguments.statements.is_empty() && std::io::stdin().is_terminal()
}

/// Files, then statements; standard input when there is neither and nobody types.
fn scripts(arguments: &SqlArguments) -> Result<Vec<Piece>> {
    let mut texts = Vec::new();
    for path in &arguments.files {
        let read = if path == Path::new("-") { read_stdin() } else { std::fs::read_to_string(path) };
        texts.push(read.map_err(|error| {
            Error::usage("script.read", "the script cannot be read")
                .detail(error.to_string())
                .at(Place::File { path: path.display().to_string(), line: 0 })
        })?);
    }
    texts.extend(arguments.statements.iter().cloned());
    let mut pieces: Vec<Piece> = texts.into_iter().map(Piece::Script).collect();
    if pieces.is_empty() && !std::io::stdin().is_terminal() {
        let text = read_stdin()
            .map_err(|error| Error::usage("script.read", "standard input cannot be read").detail(error.to_string()))?;
        pieces.extend(shell::pieces(&text));
    }
    Ok(pieces)
}

fn read_stdin() -> std::io::Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn history_file() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    home.is_dir().then(|| home.join(".headwater_history"))
}
