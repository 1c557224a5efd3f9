//! The 22 queries of TPC-H over tables of a server, against the server's own answers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::process::Command;

use headwater_testkit::repository;
use headwater_testkit::servers::{Flavor, Server, Startup};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

/// A hundredth of the smallest size that counts.
const SCALE: f64 = 0.01;

/// Queries whose quotients have more digits in one dialect than in the other.
const QUOTIENTS: [usize; 3] = [8, 14, 17];

fn client(port: u16, sql: &str) -> String {
    let mut command = Command::new("mariadb");
    command.args(["--host=127.0.0.1", "--user=root", "--batch", "--skip-column-names", "--local-infile=1"]);
    let output = command.arg(format!("--port={port}")).args(["-e", sql]).output().expect("the mariadb client");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn load(port: u16, folder: &Path, table: &str, rows: impl Iterator<Item = impl Display>) {
    let mut text = String::new();
    rows.for_each(|row| writeln!(text, "{row}").unwrap());
    let file = folder.join(format!("{table}.tbl"));
    std::fs::write(&file, text).unwrap();
    client(
        port,
        &format!(
            "LOAD DATA LOCAL INFILE '{}' INTO TABLE tpch.{table} FIELDS TERMINATED BY '|' LINES TERMINATED BY '|\\n'; \
             ANALYZE TABLE tpch.{table};",
            file.display()
        ),
    );
}

fn fill(port: u16) {
    let folder = tempfile::tempdir().unwrap();
    client(port, &std::fs::read_to_string(repository().join("tests/tpch/schema.sql")).unwrap());
    let path = folder.path();
    load(port, path, "region", RegionGenerator::new(SCALE, 1, 1).iter());
    load(port, path, "nation", NationGenerator::new(SCALE, 1, 1).iter());
    load(port, path, "part", PartGenerator::new(SCALE, 1, 1).iter());
    load(port, path, "supplier", SupplierGenerator::new(SCALE, 1, 1).iter());
    load(port, path, "partsupp", PartSuppGenerator::new(SCALE, 1, 1).iter());
    load(port, path, "customer", CustomerGenerator::new(SCALE, 1, 1).iter());
    load(port, path, "orders", OrderGenerator::new(SCALE, 1, 1).iter());
    load(port, path, "lineitem", LineItemGenerator::new(SCALE, 1, 1).iter());
}

fn ours(port: u16, query: &str) -> Vec<Vec<String>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    let script = format!("SET sql.dialect = spark; USE tpch; {query}");
    command.args([
        "sql",
        "--output",
        "csv",
        "--null",
        "NULL",
        "--mysql",
        &format!("mysql://root@127.0.0.1:{port}/"),
        "-e",
        &script,
    ]);
    let output = command.output().expect("headwater");
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // No value of these answers has a quote or a line break; commas are within quotes.
    text.lines().skip(1).map(cells).collect()
}

fn cells(line: &str) -> Vec<String> {
    let (mut found, mut quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => found.push(String::new()),
            other => found.last_mut().unwrap().push(other),
        }
    }
    found
}

fn same(query: usize, ours: &[Vec<String>], theirs: &[Vec<String>]) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    let cell = |ours: &String, theirs: &String| match (number(ours), number(theirs)) {
        (Some(a), Some(b)) if QUOTIENTS.contains(&query) => (a - b).abs() <= 1e-4 * b.abs().max(1.0),
        _ => ours == theirs,
    };
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| cell(a, b)))
}

#[test]
fn every_query_gives_what_mysql_gives() {
    let server = match Server::start(Flavor::MySql, &["--local-infile=1"]).expect("a server, or a reason why not") {
        Startup::Up(server) => server,
        Startup::NotAvailable(reason) => {
            headwater_testkit::skipped("every_query_gives_what_mysql_gives", &reason);
            return;
        }
    };
    let port = server.port();
    fill(port);
    let text = std::fs::read_to_string(repository().join("tests/tpch/queries.sql")).unwrap();
    let queries: Vec<&str> = text.split("\n-- Q").skip(1).collect();
    assert_eq!(queries.len(), 22);
    let mut wrong = Vec::new();
    for (number, query) in (1..).zip(queries) {
        let query = query.split_once('\n').unwrap().1;
        let theirs = client(port, &format!("USE tpch; {query}"));
        let theirs: Vec<Vec<String>> =
            theirs.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
        assert!(!theirs.is_empty(), "Q{number} has no rows: it shows nothing");
        let ours = ours(port, query);
        if !same(number, &ours, &theirs) {
            wrong.push(format!("Q{number}: {:?} … instead of {:?} …", ours.first(), theirs.first()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
