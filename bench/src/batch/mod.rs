//! `batch`: a table of MySQL aggregated and written back, by the script that Spark runs, beside Spark and ConnectorX.
//!
//! The limit: the same columns of the same rows read from as many sockets and forgotten ([`drain`]). Jobs: `full`, all rows
//! grouped by product; `day`, those of one day of thirty. Taken in turns; the answer is compared with MySQL's own once.

mod drain;
mod orders;
mod peers;

use std::error::Error;
use std::path::Path;
use std::process::Command;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::measure::{Cost, code, median, memory_mib, program};
use orders::Shop;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is measured.
#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// Rows of the table.
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Connections that read.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Peers that run beside it; none: `--peers ''`.
    #[arg(long, value_delimiter = ',', default_value = "spark,connectorx")]
    peers: Vec<String>,
    /// Runs of a peer.
    #[arg(long, default_value_t = 3)]
    peer_runs: usize,
}

/// The two jobs: name and condition.
const JOBS: [(&str, &str); 2] =
    [("full", ""), ("day", "WHERE created_at >= '2024-05-20 00:00:00' AND created_at < '2024-05-21 00:00:00'")];

const COLUMNS: &str = "product_id, SUM(sale_price * quantity) AS total_amount, SUM(quantity) AS total_quantity, \
                       COUNT(*) AS order_count, MIN(created_at) AS min_created, MAX(created_at) AS max_created";

/// The job as a script of Spark's.
fn script(port: u16, condition: &str) -> String {
    format!(
        "CREATE OR REPLACE TEMPORARY VIEW orders_view USING jdbc OPTIONS (\n\
           url 'jdbc:mysql://127.0.0.1:{port}/service_db?sslMode=DISABLED&useServerPrepStmts=true', dbtable 'orders', user 'root', password '',\n\
           partitionColumn 'order_id', lowerBound '1', upperBound '11143152', numPartitions '8', fetchsize '-2147483648');\n\
         CREATE OR REPLACE TEMPORARY VIEW product_sales USING jdbc OPTIONS (\n\
           url 'jdbc:mysql://127.0.0.1:{port}/analytics_db?sslMode=DISABLED', dbtable 'product_sales', user 'root', password '', truncate 'true');\n\
         CREATE OR REPLACE TEMPORARY VIEW summary AS SELECT {COLUMNS} FROM orders_view {condition} GROUP BY product_id;\n\
         INSERT OVERWRITE product_sales SELECT * FROM summary;\n"
    )
}

/// Runs the scenario.
pub(crate) fn run(headwater: &Path, data: &Path, settings: &Settings, runs: usize) -> Outcome<Value> {
    let shop = Shop::open(data, settings.rows)?;
    let port = shop.port();
    let mut figures = Map::new();
    let threads = settings.connections.to_string();
    let job = |condition: &str| {
        let mut command = Command::new(headwater);
        command.args(["sql", "-e", &script(port, condition), "--parallelism", &threads]);
        command
    };
    for (name, condition) in JOBS {
        let memory = memory_mib(&mut job(condition))?;
        let (mut limits, mut ours) = (Vec::new(), Vec::new());
        let wanted = drain::Wanted { port, connections: settings.connections, rows: settings.rows, condition };
        for run in 0..=runs {
            let limit = code(|| drain::read(&wanted))?;
            let cost = program(&mut job(condition))?;
            if run > 0 {
                limits.push(limit);
                ours.push(cost);
            }
        }
        shop.compare(COLUMNS, condition)?;
        let (limit, cost) = (median(&limits), median(&ours));
        let mut found = json!({
            "limit_drain": limit, "headwater": cost, "headwater_memory_mib": memory,
            "wall_to_limit": cost.wall_seconds / limit.wall_seconds,
        });
        for peer in settings.peers.iter().filter(|peer| !peer.is_empty()) {
            let figures = peers::run(peer, name, &script(port, condition), port, settings.peer_runs);
            merge(&mut found, peer, cost, figures);
        }
        figures.insert(name.to_owned(), found);
    }
    figures.insert("write_1m_rows".to_owned(), write(headwater, data, &shop, runs)?);
    figures.insert("scenario".to_owned(), "batch".into());
    figures.insert("rows".to_owned(), settings.rows.into());
    figures.insert("connections".to_owned(), settings.connections.into());
    Ok(figures.into())
}

/// A million rows into a table with a key of two columns, beside `LOAD DATA LOCAL INFILE` of the same rows by hand.
fn write(headwater: &Path, data: &Path, shop: &Shop, runs: usize) -> Outcome<Value> {
    let file = std::fs::canonicalize(data)?.join("sales-1m.tsv");
    let (mut ours, mut loads) = (Vec::new(), Vec::new());
    for run in 0..=runs {
        shop.empty_sales()?;
        let mut command = Command::new(headwater);
        let url = format!("jdbc:mysql://127.0.0.1:{}/?user=root&password=&sslMode=DISABLED", shop.port());
        let cost = program(command.args(["sql", "--mysql", &url, "-e", SALES]))?;
        if run == 0 {
            shop.save_sales(&file)?;
        }
        shop.empty_sales()?;
        let load = program(&mut shop.load_sales(&file))?;
        if run > 0 {
            ours.push(cost);
            loads.push(load);
        }
    }
    let (ours, load) = (median(&ours), median(&loads));
    Ok(
        json!({ "headwater": ours, "load_data_by_hand": load, "wall_to_load_data": ours.wall_seconds / load.wall_seconds }),
    )
}

const SALES: &str = "SET sql.dialect = spark; INSERT INTO analytics_db.sales_1m \
    SELECT DATE_ADD(DATE '2024-05-01', CAST(id DIV 50000 AS INT)), CAST(id % 50000 AS INT), \
    CAST(id * 7919 % 100000000 / 100.00 AS DECIMAL(38,2)), id % 97 + 1 FROM RANGE(1000000)";

fn merge(found: &mut Value, peer: &str, ours: Cost, theirs: Result<Cost, String>) {
    let Some(found) = found.as_object_mut() else { return };
    match theirs {
        Ok(cost) => {
            found.insert(peer.to_owned(), json!(cost));
            found.insert(format!("{peer}_cpu_to_headwater"), (cost.cpu_seconds / ours.cpu_seconds).into());
            found.insert(format!("{peer}_wall_to_headwater"), (cost.wall_seconds / ours.wall_seconds).into());
        }
        Err(reason) => {
            eprintln!("\n!!! SKIPPED: {peer}: {reason}\n");
            found.insert(peer.to_owned(), json!({ "skipped": reason }));
        }
    }
}
