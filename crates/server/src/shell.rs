//! The interactive shell: statements over several lines, history, `help`, Ctrl-C.

use std::path::PathBuf;

use headwater_change::{Error, Result};
use reedline::{DefaultPrompt, DefaultPromptSegment, FileBackedHistory, Reedline, Signal, ValidationResult, Validator};

use crate::runner::{Failure, Runner};

const HELP: &str = "\
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

/// Reads statements until the user leaves. Errors of statements go to `report`, and the shell goes on.
pub fn run(runner: &mut Runner, history: Option<PathBuf>, report: &dyn Fn(&Failure)) -> Result<()> {
    let broken = |error: &dyn std::fmt::Display| {
        Error::remote("shell.terminal", "the terminal failed").detail(error.to_string())
    };
    let mut editor = Reedline::create().with_validator(Box::new(Semicolon));
    if let Some(path) = history {
        let history = FileBackedHistory::with_file(1_000, path).map_err(|error| broken(&error))?;
        editor = editor.with_history(Box::new(history));
    }
    let prompt = DefaultPrompt::new(DefaultPromptSegment::Basic("headwater".to_owned()), DefaultPromptSegment::Empty);
    println!("Type help for help, quit to leave.");
    loop {
        match editor.read_line(&prompt).map_err(|error| broken(&error))? {
            Signal::Success(text) => match text.trim().to_ascii_lowercase().as_str() {
                "" => {}
                "help" | "help;" => println!("{HELP}"),
                "quit" | "exit" | "quit;" | "exit;" => break,
                _ => {
                    if let Err(failure) = runner.start(&text) {
                        report(&failure);
                    }
                }
            },
            Signal::CtrlC => println!("(quit or Ctrl-D leaves)"),
            _ => break,
        }
    }
    runner.stopper().stop();
    runner.wait()
}
