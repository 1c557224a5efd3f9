//! The 22 queries of TPC-H over tables of a server, against the server's own answers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use headwater_testkit::servers::{Flavor, Server, Startup};
use headwater_testkit::tpch;

/// A hundredth of the smallest size that counts; `scripts/bench tpch` takes that.
const SCALE: f64 = 0.01;

/// Queries whose quotients have more digits in one dialect than in the other.
const QUOTIENTS: [usize; 3] = [8, 14, 17];

fn ours(port: u16, query: &str) -> Vec<Vec<String>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    let script = format!("SET sql.dialect = spark; USE tpch; {query}");
    command.args(["sql", "--output", "csv", "--null", "NULL", "-e", &script]);
    let output = command.args(["--mysql", &format!("mysql://root@127.0.0.1:{port}/")]).output().expect("headwater");
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    tpch::cells(&String::from_utf8(output.stdout).unwrap())
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
    tpch::fill(port, SCALE, tempfile::tempdir().unwrap().path()).unwrap();
    let queries = tpch::queries().unwrap();
    assert_eq!(queries.len(), 22);
    let mut wrong = Vec::new();
    for (number, query) in (1..).zip(&queries) {
        let theirs = tpch::client(port, &format!("USE tpch; {query}")).unwrap();
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
