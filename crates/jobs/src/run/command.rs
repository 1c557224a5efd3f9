//! A job as a command: the payload comes on stdin, the exit status is the outcome.
//!
//! The command is the leader of a process group of its own. However its run ends (by itself, told to stop, dropped) what
//! is left of the group is killed, so a second try never runs beside the rest of the first one.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::URL_VARIABLE;
use crate::context::{Context, Stop};
use crate::handler::{Failure, Handler, Outcome, Run};
use crate::job::Job;

/// Between SIGTERM and SIGKILL; shorter than the worker waits for a handler that was told to stop.
const GRACE: Duration = Duration::from_millis(1_500);

/// How long the output of a command that has ended is waited for: a process that left the group may hold it open.
const DRAIN: Duration = Duration::from_secs(1);

/// Bytes of output that are kept.
const TAIL: usize = 2_000;

/// What is run, and how.
#[derive(Clone, Default)]
pub struct CommandOptions {
    /// A path, or a name that is looked for in PATH. No shell reads it.
    pub program: String,
    /// Its arguments, as they are.
    pub args: Vec<String>,
    /// Added to the environment of the worker; the values are secrets.
    pub env: Vec<(String, String)>,
    /// Working folder; the worker's where there is none.
    pub folder: Option<PathBuf>,
    /// Exit statuses after which there are no more tries.
    pub dead_exit_codes: Vec<i32>,
}

/// Runs a program for each job.
pub struct Command(Arc<CommandOptions>);

impl Command {
    /// Runs this.
    pub fn new(options: CommandOptions) -> Self {
        Self(Arc::new(options))
    }
}

impl Handler for Command {
    fn run(&self, job: Job, context: Context) -> Run {
        let options = Arc::clone(&self.0);
        let mut variables = vec![
            ("HEADWATER_JOB_ID", context.id().to_string()),
            ("HEADWATER_JOB_TYPE", job.job_type),
            ("HEADWATER_ATTEMPT", context.attempt().to_string()),
        ];
        variables.extend(context.traceparent().map(|parent| ("TRACEPARENT", parent.to_owned())));
        Box::pin(async move { execute(&options, variables, job.payload, context.cancelled()).await })
    }
}

/// The process group of a command; dropping it kills what is in there.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // ESRCH: nobody is left, as it should be.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// The last bytes of a stream.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    async fn follow(self, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 8_192];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(buffer.get(..length).unwrap_or_default());
            let excess = kept.len().saturating_sub(TAIL);
            kept.drain(..excess);
        }
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).trim().to_owned()
    }
}

/// A command that ends or closes its stdin early did not want the rest: not an error.
async fn feed(mut stdin: ChildStdin, payload: String) {
    let _ = stdin.write_all(payload.as_bytes()).await;
}

async fn execute(
    options: &CommandOptions,
    variables: Vec<(&str, String)>,
    payload: String,
    stop: impl Future<Output = Stop>,
) -> Outcome {
    let program = &options.program;
    let mut child =
        spawn(options, variables).map_err(|error| Failure::Retry(format!("cannot run {program}: {error}")))?;
    let group = Group::of(&child);
    // All three at once, so that no side waits for the other; dropped with this future.
    let mut streams = JoinSet::new();
    let (output, errors) = (Tail::default(), Tail::default());
    if let Some(stdin) = child.stdin.take() {
        streams.spawn(feed(stdin, payload));
    }
    if let Some(stdout) = child.stdout.take() {
        streams.spawn(output.clone().follow(stdout));
    }
    if let Some(stderr) = child.stderr.take() {
        streams.spawn(errors.clone().follow(stderr));
    }
    let (status, stopped) = tokio::select! {
        status = child.wait() => (status, None),
        reason = stop => {
            group.signal(Signal::SIGTERM);
            let ended = timeout(GRACE, child.wait()).await;
            group.signal(Signal::SIGKILL);
            let status = match ended {
                Ok(status) => status,
                Err(_) => child.wait().await,
            };
            (status, Some(reason))
        }
    };
    // What it started and left behind, which may hold the streams open.
    drop(group);
    let _ = timeout(DRAIN, async { while streams.join_next().await.is_some() {} }).await;
    tracing::debug!(program, output = output.text(), "a command has ended");
    let status = status.map_err(|error| Failure::Retry(format!("the end of {program} was not seen: {error}")))?;
    outcome(options, status, stopped, &errors.text())
}

fn spawn(options: &CommandOptions, variables: Vec<(&str, String)>) -> std::io::Result<Child> {
    let mut command = tokio::process::Command::new(&options.program);
    command
        .args(&options.args)
        // It may hold the password of the account of the queue.
        .env_remove(URL_VARIABLE)
        .envs(variables)
        .envs(options.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(folder) = &options.folder {
        command.current_dir(folder);
    }
    command.spawn()
}

fn outcome(options: &CommandOptions, status: ExitStatus, stopped: Option<Stop>, errors: &str) -> Outcome {
    let program = &options.program;
    if let Some(reason) = stopped {
        // Also with status 0: many programs end like that when they are told to stop halfway.
        return Err(Failure::Retry(format!("{program} was stopped ({reason:?}), {status}: {errors}")));
    }
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if options.dead_exit_codes.contains(&code) => {
            Err(Failure::Dead(format!("{program} ended with {status}: {errors}")))
        }
        _ => Err(Failure::Retry(format!("{program} ended with {status}: {errors}"))),
    }
}

#[cfg(test)]
mod tests;
