//! Random histories of statements on real servers, followed by a reader that is restarted at random from its last committed
//! position: the rows that are left of its changes are those that the server has, or the run stopped with an error that
//! names the statement. There is no third outcome.
//!
//! `HISTORIES` is how many are tried on MySQL and on MariaDB (a tenth of it on the other two servers), `HISTORIES_SEED` the
//! one to try again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod ddl;
mod dml;
mod follower;
mod harm;
mod history;

use std::collections::BTreeMap;
use std::time::Instant;

use headwater_testkit::servers::Flavor;
use history::{History, Outcome};
use support::Db;

/// How many `make test` tries; `make soak` tries 2,000.
const HISTORIES: u64 = 100;

/// Less of what only a power cut would ask for.
const FAST: [&str; 2] = ["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn histories(test: &str, flavor: Flavor, arguments: &[&str], share: u64) {
    let arguments: Vec<&str> = FAST.iter().chain(arguments).copied().collect();
    let Some(db) = Db::start(test, flavor, &arguments) else { return };
    let seeds = match number("HISTORIES_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HISTORIES").unwrap_or(HISTORIES).div_ceil(share),
    };
    let (began, mut tally, mut wrong) = (Instant::now(), BTreeMap::<&str, u64>::new(), Vec::new());
    for seed in seeds.clone() {
        let mut history = History::new(&db, seed);
        match history.run() {
            Ok(Outcome::Equal) => *tally.entry("equal").or_default() += 1,
            Ok(Outcome::Stopped(code)) => *tally.entry(code).or_default() += 1,
            Err(what) => {
                wrong.push(seed);
                println!("history {seed} on {flavor:?}: {what}\n{}", history.script());
            }
        }
        history.clear();
    }
    println!(
        "{flavor:?}: {} histories in {:.0?}: {tally:?}, wrong: {wrong:?}",
        seeds.end - seeds.start,
        began.elapsed()
    );
    assert!(wrong.is_empty(), "histories {wrong:?} on {flavor:?} had a third outcome; HISTORIES_SEED tries one again");
    let needless = tally.get(history::NEEDLESS).copied().unwrap_or(0);
    assert!(needless * 100 <= seeds.end - seeds.start + 99, "too many stop without need: {tally:?}");
    let equal = tally.get("equal").copied().unwrap_or(0);
    assert!(
        // Of few it is a matter of luck.
        seeds.end - seeds.start < 100 || equal * 3 > seeds.end - seeds.start,
        "most histories can be followed: {tally:?}"
    );
}

#[test]
fn histories_are_followed_or_stopped_on_mysql() {
    histories("histories on MySQL", Flavor::MySql, &[], 1);
}

#[test]
fn histories_are_followed_or_stopped_on_mariadb() {
    histories("histories on MariaDB", Flavor::MariaDb, &[], 1);
}

#[test]
fn histories_are_followed_or_stopped_on_mysql_8_0_without_gtids() {
    let without = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    histories("histories on MySQL 8.0", Flavor::MySql80, &without, 10);
}

#[test]
fn histories_are_followed_or_stopped_on_mariadb_11_8() {
    histories("histories on MariaDB 11.8", Flavor::MariaDb118, &[], 10);
}
