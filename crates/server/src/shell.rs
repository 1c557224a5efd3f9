//! The interactive shell: statements over several lines, history, `help`, Ctrl-C.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use headwater_change::{Error, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use reedline::{DefaultPrompt, DefaultPromptSegment, FileBackedHistory, Reedline, Signal, ValidationResult, Validator};

use crate::runner::{Failure, Runner};

/// What `help` says.
pub const HELP: &str = "\
Statements end with a semicolon:
  CREATE TABLE name (…) WITH ('connector' = '…', …);   declares a table of a connector
  CREATE VIEW name AS SELECT …;                        names a query
  SELECT …;                                            runs a query; Ctrl-C stops it
  INSERT INTO name SELECT …;                           runs a query into a table
  EXPLAIN SELECT …;                                    shows the plan
  SHOW TABLES;  DESCRIBE name;  SET;  SET 'key' = 'value';  RESET;
Words of the shell: help, quit (or Ctrl-D).";

/// A statement is whole when a semicolon ends it.
struct Semicolon;

impl Validator for Semicolon {
    fn validate(&self, line: &str) -> ValidationResult {
        let text = line.trim();
        if text.is_empty() || text.ends_with(';') || is_word(text) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

fn is_word(text: &str) -> bool {
    ["help", "quit", "exit"].contains(&text.to_ascii_lowercase().as_str())
}

/// What comes through a pipe: scripts, and words of the shell on lines of their own between statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Statements.
    Script(String),
    /// `help`
    Help,
    /// `quit` or `exit`
    Quit,
}

/// Finds the words of the shell in a text.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut script = String::new();
    for line in text.split_inclusive('\n') {
        let word = line.trim().trim_end_matches(';').trim_end();
        let between = script.trim().is_empty() || script.trim_end().ends_with(';');
        if between && is_word(word) {
            pieces.push(Piece::Script(std::mem::take(&mut script)));
            pieces.push(if word.eq_ignore_ascii_case("help") { Piece::Help } else { Piece::Quit });
        } else {
            script.push_str(line);
        }
    }
    pieces.push(Piece::Script(script));
    pieces.retain(|piece| !matches!(piece, Piece::Script(text) if text.trim().is_empty()));
    pieces
}

/// How often it is seen whether the terminal is still there.
const LOOK: Duration = Duration::from_millis(250);

/// What the terminal says.
enum Said {
    Line(String),
    CtrlC,
    Left,
    Broken(Error),
}

/// Reads statements until the user leaves, the terminal is closed or the process is told to end. Errors of statements go
/// to `report`, and the shell goes on; those of pipelines in the background are reported before the next prompt.
pub fn run(runner: &mut Runner, history: Option<PathBuf>, report: &dyn Fn(&Failure)) -> Result<()> {
    let before = tcgetattr(std::io::stdin()).ok();
    println!("Type help for help, quit to leave.");
    let (ask, told) = terminal(history)?;
    loop {
        runner.failures().iter().for_each(report);
        match listen(runner, &ask, &told) {
            Said::Line(text) => match text.trim().to_ascii_lowercase().as_str() {
                "" => {}
                "help" | "help;" => println!("{HELP}"),
                "quit" | "exit" | "quit;" | "exit;" => break,
                _ => {
                    if let Err(failure) = runner.start(&text) {
                        report(&failure);
                    }
                }
            },
            Said::CtrlC => println!("(quit or Ctrl-D leaves)"),
            Said::Left => break,
            Said::Broken(error) => return Err(error),
        }
    }
    runner.stopper().stop();
    let waited = runner.wait();
    if let Some(before) = before {
        // Whoever still reads keys has changed it.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &before);
    }
    waited.map_err(|failure| failure.error)
}

/// A thread that reads a line whenever it is asked to: a terminal that says nothing must not keep the process.
fn terminal(history: Option<PathBuf>) -> Result<(Sender<()>, Receiver<Said>)> {
    let (ask, asked) = channel();
    let (tell, told) = channel();
    let mut editor = Reedline::create().with_validator(Box::new(Semicolon));
    if let Some(path) = history {
        let history = FileBackedHistory::with_file(1_000, path).map_err(|error| broken(&error))?;
        editor = editor.with_history(Box::new(history));
    }
    let reading = move || {
        let prompt =
            DefaultPrompt::new(DefaultPromptSegment::Basic("headwater".to_owned()), DefaultPromptSegment::Empty);
        for () in asked {
            let said = match editor.read_line(&prompt) {
                Ok(Signal::Success(text)) => Said::Line(text),
                Ok(Signal::CtrlC) => Said::CtrlC,
                Ok(_) => Said::Left,
                Err(error) => Said::Broken(broken(&error)),
            };
            if tell.send(said).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new().name("terminal".to_owned()).spawn(reading).map_err(|error| broken(&error))?;
    Ok((ask, told))
}

/// The next line, or the end.
fn listen(runner: &Runner, ask: &Sender<()>, told: &Receiver<Said>) -> Said {
    if runner.stopper().is_ended() || ask.send(()).is_err() {
        return Said::Left;
    }
    loop {
        match told.recv_timeout(LOOK) {
            Ok(Said::Broken(_)) if is_closed() => return Said::Left,
            Ok(said) => return said,
            Err(RecvTimeoutError::Timeout) if !runner.stopper().is_ended() && !is_closed() => {}
            Err(_) => return Said::Left,
        }
    }
}

/// Whether the terminal is gone, as when its window was closed.
fn is_closed() -> bool {
    let stdin = std::io::stdin();
    let mut asked = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    poll(&mut asked, PollTimeout::ZERO).is_ok()
        && asked.first().and_then(PollFd::revents).is_some_and(|events| events.intersects(gone))
}

fn broken(error: &dyn std::fmt::Display) -> Error {
    Error::remote("shell.terminal", "the terminal failed").detail(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_shell_stand_between_statements() {
        let script = |text: &str| Piece::Script(text.to_owned());
        assert_eq!(pieces("help\n"), [Piece::Help]);
        assert_eq!(
            pieces("SELECT 1;\nHELP;\nSELECT\nhelp\nFROM t"),
            [script("SELECT 1;\n"), Piece::Help, script("SELECT\nhelp\nFROM t")]
        );
        assert_eq!(pieces("quit\nSELECT 1;").first(), Some(&Piece::Quit));
    }
}
