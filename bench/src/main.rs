//! End-to-end benchmarks: one scenario a command, one JSON object as the result.
//!
//! ```text
//! cargo run --release -p headwater-bench -- clicks [--rows 10000000] [--runs 5] [--write FILE]
//! ```
//!
//! Every figure is a median over runs after one that is not counted, beside a limit or a peer measured in the same run on
//! the same input. A figure without its ratio means nothing on another machine.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod batch;
mod build;
mod clicks;
mod drain;
mod jobs;
mod machine;
mod measure;
mod tpch;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
    /// Where the result is written besides standard output.
    #[arg(long, global = true)]
    write: Option<PathBuf>,
    /// Runs that count.
    #[arg(long, global = true, default_value_t = 5)]
    runs: usize,
    /// The measured binary.
    #[arg(long, global = true, default_value = "target/release/headwater")]
    headwater: PathBuf,
    /// Folder of generated input; kept between runs.
    #[arg(long, global = true, default_value = "bench/data")]
    data: PathBuf,
}

#[derive(Subcommand)]
enum Scenario {
    /// A table of MySQL aggregated and written back by Spark's script, against draining it, Spark and ConnectorX.
    Batch(batch::Settings),
    /// The release build from nothing, without the downloads; size and start of the binary.
    Build,
    /// JSON lines counted per page in windows of ten seconds, against only parsing the same file.
    Clicks {
        /// Lines of the input.
        #[arg(long, default_value_t = 10_000_000)]
        rows: u64,
    },
    /// The job queue on a MySQL of its own, against a bare claim and delete loop.
    Jobs(jobs::Settings),
    /// The 22 queries of TPC-H over tables of MySQL, against reading them and DuckDB over the same rows in Parquet.
    Tpch(tpch::Settings),
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.data)?;
    let figures = match arguments.scenario {
        Scenario::Batch(settings) => batch::run(&arguments.headwater, &arguments.data, &settings, arguments.runs)?,
        Scenario::Build => build::run(&arguments.data, arguments.runs)?,
        Scenario::Clicks { rows } => clicks::run(&arguments.headwater, &arguments.data, rows, arguments.runs)?,
        Scenario::Tpch(settings) => tpch::run(&arguments.headwater, &arguments.data, &settings, arguments.runs)?,
        Scenario::Jobs(settings) => jobs::run(settings, arguments.runs).map_err(|error| error as Box<dyn Error>)?,
    };
    let result = serde_json::json!({ "machine": machine::describe(), "result": figures });
    let text = serde_json::to_string_pretty(&result)?;
    println!("{text}");
    if let Some(path) = &arguments.write {
        std::fs::write(path, text + "\n")?;
    }
    Ok(())
}
