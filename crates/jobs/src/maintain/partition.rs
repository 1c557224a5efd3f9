//! Day partitions of the history and of the attempts: made ahead, and dropped when they are old.
//!
//! Rows behind the last day are in `pmax`, which is empty as long as the days are made ahead, so making one copies nothing.
//! An ALTER waits for transactions that use the table, and everybody else waits behind it: it gives up after two seconds
//! and is tried again in the next round.

use chrono::DateTime;
use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, params};

/// The tables that have them.
const TABLES: [&str; 2] = ["jobs_done", "job_attempts"];

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Error of an account without ALTER or DROP on the table.
const DENIED: [u16; 2] = [1142, 1044];

/// What is to be done for a table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Unix times at which the missing days start.
    make: Vec<i64>,
    /// Names of partitions.
    drop: Vec<String>,
}

/// What one round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Partitioned {
    pub(super) made: u64,
    pub(super) dropped: u64,
    /// The account may not do it.
    pub(super) denied: bool,
}

/// Makes the partitions up to the day after tomorrow, and drops those whose rows are all older than `keep` days.
pub(super) async fn partition(conn: &mut Conn, keep: u32) -> Result<Partitioned> {
    let mut done = Partitioned::default();
    conn.query_drop("SET SESSION lock_wait_timeout = 2")
        .await
        .map_err(|error| query_error("set the timeout of locks", error))?;
    for table in TABLES {
        let now: Option<i64> = conn
            .query_first("SELECT CAST(FLOOR(UNIX_TIMESTAMP(NOW(6))) AS SIGNED)")
            .await
            .map_err(|error| query_error("tell the time", error))?;
        let partitions: Vec<(String, String)> = conn
            .exec(
                "SELECT PARTITION_NAME, PARTITION_DESCRIPTION FROM information_schema.PARTITIONS \
                 WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :table AND PARTITION_NAME IS NOT NULL \
                 ORDER BY PARTITION_ORDINAL_POSITION",
                params! { "table" => table },
            )
            .await
            .map_err(|error| query_error("list the partitions", error))?;
        let plan = plan(&partitions, now.unwrap_or_default(), i64::from(keep.max(1)));
        if !plan.make.is_empty() && alter(conn, &make(table, &plan.make), &mut done).await? {
            done.made += plan.make.len() as u64;
        }
        if !plan.drop.is_empty() {
            let sql = format!("ALTER TABLE {table} DROP PARTITION {}", plan.drop.join(", "));
            if alter(conn, &sql, &mut done).await? {
                done.dropped += plan.drop.len() as u64;
            }
        }
    }
    Ok(done)
}

/// Runs it, unless the account may not.
async fn alter(conn: &mut Conn, sql: &str, done: &mut Partitioned) -> Result<bool> {
    match conn.query_drop(sql).await {
        Ok(()) => Ok(true),
        Err(headwater_mysql::driver::Error::Server(server)) if DENIED.contains(&server.code) => {
            done.denied = true;
            Ok(false)
        }
        Err(error) => Err(query_error("change the partitions", error)),
    }
}

/// Splits what is behind the last day.
fn make(table: &str, days: &[i64]) -> String {
    let parts: Vec<String> =
        days.iter().map(|day| format!("PARTITION {} VALUES LESS THAN ({})", name(*day), day + DAY)).collect();
    format!(
        "ALTER TABLE {table} REORGANIZE PARTITION pmax INTO ({}, PARTITION pmax VALUES LESS THAN MAXVALUE)",
        parts.join(", ")
    )
}

/// `p20261123` of the time at which a day starts.
fn name(day: i64) -> String {
    DateTime::from_timestamp(day, 0).map_or_else(|| format!("p{day}"), |day| day.format("p%Y%m%d").to_string())
}

/// From the partitions there are (name, bound), in their order. A table that somebody partitioned in another way (no
/// `pmax`) gets no more; only partitions with a name of ours are dropped.
fn plan(partitions: &[(String, String)], now: i64, keep: i64) -> Plan {
    let today = now - now.rem_euclid(DAY);
    let bound = |text: &str| text.trim().parse::<i64>().ok();
    let last = partitions.iter().filter_map(|(_, text)| bound(text)).max().unwrap_or(i64::MIN);
    let mut plan = Plan::default();
    if partitions.last().is_some_and(|(name, _)| name.eq_ignore_ascii_case("pmax")) {
        plan.make = (0..=2).map(|n| today + n * DAY).filter(|day| day + DAY > last).collect();
    }
    let ours = |name: &str| {
        name.strip_prefix('p').is_some_and(|day| day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit()))
    };
    plan.drop = partitions
        .iter()
        .filter(|(name, text)| ours(name) && bound(text).is_some_and(|bound| bound <= today - keep * DAY))
        .map(|(name, _)| name.clone())
        .collect();
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 23 November 2026, 10:00.
    const NOW: i64 = 1_795_428_000;

    fn table(days: &[(&str, &str)]) -> Vec<(String, String)> {
        days.iter().map(|(name, bound)| ((*name).to_owned(), (*bound).to_owned())).collect()
    }

    #[test]
    fn three_days_are_made_at_first() {
        let plan = plan(&table(&[("pmax", "MAXVALUE")]), NOW, 7);
        let names: Vec<String> = plan.make.iter().map(|day| name(*day)).collect();
        assert_eq!(names, ["p20261123", "p20261124", "p20261125"]);
        assert_eq!(plan.drop, [""; 0]);
        assert_eq!(
            make("t", &plan.make[..1]),
            "ALTER TABLE t REORGANIZE PARTITION pmax INTO (PARTITION p20261123 VALUES LESS THAN (1795478400), \
             PARTITION pmax VALUES LESS THAN MAXVALUE)"
        );
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_old_is_dropped() {
        let day = |n: i64| ((NOW - NOW.rem_euclid(DAY)) + n * DAY).to_string();
        let (old, edge, today, tomorrow) = (day(-30), day(-7), day(-6), day(1));
        let partitions = table(&[
            ("mine", &old),
            ("p20261115", &edge),
            ("p20261116", &today),
            ("p20261123", &tomorrow),
            ("pmax", "MAXVALUE"),
        ]);
        let plan = plan(&partitions, NOW, 7);
        assert_eq!(plan.drop, ["p20261115"]);
        assert_eq!(plan.make.iter().map(|day| name(*day)).collect::<Vec<_>>(), ["p20261124", "p20261125"]);
    }

    #[test]
    fn a_table_of_another_kind_is_left_alone() {
        assert_eq!(plan(&table(&[("h0", ""), ("h1", "")]), NOW, 7), Plan::default());
        assert_eq!(plan(&[], NOW, 7), Plan::default());
    }
}
