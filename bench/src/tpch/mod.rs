//! `tpch`: the 22 queries of TPC-H over tables of MySQL, beside what no engine over them could go without: the same
//! statements read from bare sockets and forgotten, and then DuckDB's own time over the same rows in Parquet.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use headwater_testkit::servers::{Flavor, Server, Startup};
use headwater_testkit::tpch;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::drain;
use crate::measure::{Cost, code, median, program};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is measured.
#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// Gigabytes of rows, about.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Connections that read, and threads that compute.
    #[arg(long, default_value_t = 2)]
    connections: usize,
}

const SERVER: [&str; 4] =
    ["--local-infile=1", "--innodb-buffer-pool-size=3G", "--gtid-mode=ON", "--enforce-gtid-consistency=ON"];

/// What DuckDB says.
#[derive(Deserialize)]
struct Peer {
    seconds: Vec<f64>,
    rows: Vec<Vec<Vec<String>>>,
    version: String,
}

/// A run of ours.
struct Ours<'a> {
    headwater: &'a Path,
    port: u16,
    threads: String,
}

impl Ours<'_> {
    fn command(&self, output: &str, statement: &str) -> Command {
        let script = format!("SET sql.dialect = spark; USE tpch; {statement}");
        let url = format!("jdbc:mysql://127.0.0.1:{}/?user=root&password=&sslMode=DISABLED", self.port);
        let mut command = Command::new(self.headwater);
        command.args(["sql", "--output", output, "--null", "NULL", "-e", &script, "--mysql", &url]);
        command.args(["--parallelism", &self.threads]);
        command
    }

    fn text(&self, output: &str, statement: &str) -> Outcome<Vec<u8>> {
        let found = self.command(output, statement).stderr(Stdio::inherit()).output()?;
        if found.status.success() { Ok(found.stdout) } else { Err(format!("{statement}: {}", found.status).into()) }
    }
}

/// Runs the scenario.
pub(crate) fn run(headwater: &Path, data: &Path, settings: &Settings, runs: usize) -> Outcome<Value> {
    let server = match Server::start(Flavor::MySql, &SERVER)? {
        Startup::Up(server) => server,
        Startup::NotAvailable(reason) => return Err(format!("there is no MySQL: {reason}").into()),
    };
    let folder = tempfile::tempdir_in(data)?;
    tpch::fill(server.port(), settings.scale, &std::fs::canonicalize(folder.path())?)?;
    let ours = Ours { headwater, port: server.port(), threads: settings.connections.to_string() };
    for table in tpch::TABLES {
        let rows = ours.text("parquet", &format!("SELECT * FROM {table}"))?;
        std::fs::write(folder.path().join(format!("{table}.parquet")), rows)?;
    }
    let queries = tpch::queries()?;
    let peer = duckdb(&queries, folder.path(), settings, runs)?;
    let mut figures = BTreeMap::new();
    let (mut all, mut all_limits, mut cpu, mut wrong) = (0.0, 0.0, 0.0, Vec::new());
    for (number, query) in (1..).zip(&queries) {
        let statements = sent(&String::from_utf8(ours.text("csv", &format!("EXPLAIN ANALYZE {query}"))?)?);
        let (mut costs, mut drains): (Vec<Cost>, Vec<Cost>) = (Vec::new(), Vec::new());
        for run in 0..=runs {
            let drained = code(|| drain::statements(ours.port, settings.connections, &statements).map(drop))?;
            let cost = program(&mut ours.command("csv", query))?;
            if run > 0 {
                drains.push(drained);
                costs.push(cost);
            }
        }
        let found = tpch::cells(&String::from_utf8(ours.text("csv", query)?)?);
        let theirs = peer.rows.get(number - 1).ok_or("DuckDB gave fewer answers")?;
        if !same(&found, theirs) {
            wrong.push(format!("Q{number}: {:?} … instead of {:?} …", found.first(), theirs.first()));
        }
        let (cost, drained) = (median(&costs), median(&drains));
        let duckdb = peer.seconds.get(number - 1).copied().ok_or("DuckDB gave fewer times")?;
        let limit = drained.wall_seconds + duckdb;
        (all, all_limits, cpu) = (all + cost.wall_seconds, all_limits + limit, cpu + cost.cpu_seconds);
        figures.insert(
            format!("q{number:02}"),
            json!({ "headwater": cost, "drain_seconds": drained.wall_seconds, "duckdb_seconds": duckdb,
                    "wall_to_limit": cost.wall_seconds / limit, "rows": found.len() }),
        );
        eprintln!("Q{number}: {:.2} s, {:.2} times its limit", cost.wall_seconds, cost.wall_seconds / limit);
    }
    if !wrong.is_empty() {
        return Err(format!("other answers than DuckDB's: {wrong:#?}").into());
    }
    Ok(json!({
        "scenario": "tpch", "scale": settings.scale, "connections": settings.connections, "duckdb": peer.version,
        "queries": figures, "equal_to_duckdb": queries.len(),
        "all": { "headwater_wall_seconds": all, "headwater_cpu_seconds": cpu, "limit_seconds": all_limits,
                 "wall_to_limit": all / all_limits },
    }))
}

fn duckdb(queries: &[String], folder: &Path, settings: &Settings, runs: usize) -> Outcome<Peer> {
    let path: PathBuf = ["bench", "peers", "duckdb", "run"].iter().collect();
    if !Command::new(&path).arg("install").stdout(Stdio::null()).status()?.success() {
        return Err("DuckDB could not be installed".into());
    }
    let file = folder.join("queries.json");
    std::fs::write(&file, serde_json::to_vec(queries)?)?;
    let mut command = Command::new(&path);
    command.arg(std::fs::canonicalize(&file)?).arg(std::fs::canonicalize(folder)?);
    let output =
        command.args([settings.connections.to_string(), runs.to_string()]).stderr(Stdio::inherit()).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The statements that were sent for a query, as EXPLAIN ANALYZE lists them.
fn sent(explained: &str) -> Vec<String> {
    let sent = |line: &str| {
        let (told, sql) = line.split_once(" ms: ")?;
        told.contains(" rows, ").then(|| sql.to_owned())
    };
    explained.lines().filter_map(sent).collect()
}

/// Whether answers are the same; numbers may differ where dialects keep other digits of a quotient.
fn same(ours: &[Vec<String>], theirs: &[Vec<String>]) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    let cell = |ours: &String, theirs: &String| match (number(ours), number(theirs)) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-4 * b.abs().max(1.0),
        _ => ours == theirs,
    };
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| cell(a, b)))
}
