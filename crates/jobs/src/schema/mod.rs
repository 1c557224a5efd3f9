//! The tables of the queue, and what an account needs on them.

use headwater_change::{Error, Result};
use headwater_mysql::client::{self, Flavor, query_error};
use headwater_mysql::driver::Conn;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::ident;

/// The statements that make the tables, as `headwater jobs init --print` shows them.
pub const TABLES: &str = include_str!("tables.sql");

/// The tables, in the order in which they are made.
pub const NAMES: [&str; 9] = [
    "jobs",
    "jobs_done",
    "job_attempts",
    "job_workers",
    "job_queues",
    "job_limits",
    "job_schedules",
    "job_batches",
    "job_dependencies",
];

/// The statements of [`TABLES`] one by one.
pub fn statements() -> impl Iterator<Item = &'static str> {
    TABLES.split(";\n").map(str::trim).filter(|statement| statement.contains("CREATE TABLE"))
}

/// Makes what is missing; tables that are there stay as they are.
///
/// # Errors
/// `jobs.server_too_old`; `jobs.init`: the account may not create tables, or something else of that name is there.
pub async fn create(conn: &mut Conn) -> Result<()> {
    server(conn).await?;
    for statement in statements() {
        conn.query_drop(statement).await.map_err(|error| {
            let detail = error.to_string();
            Error::usage("jobs.init", "the tables of the queue cannot be made")
                .detail(detail)
                .hint("use an account with CREATE and INDEX on the database, or run what `headwater jobs init --print` prints")
                .caused_by(error)
        })?;
    }
    check(conn).await
}

/// Whether the server has what claims need above all: `SKIP LOCKED`.
async fn server(conn: &mut Conn) -> Result<()> {
    let (name, needed) = match client::flavor(conn).await? {
        Flavor::MySql => ("MySQL", (8, 0, 1)),
        Flavor::MariaDb => ("MariaDB", (10, 6, 0)),
    };
    let (found, text) = client::version(conn).await?;
    if found >= needed {
        return Ok(());
    }
    let (major, minor, _) = needed;
    Err(Error::usage(
        "jobs.server_too_old",
        format!("the server is {name} {text}; the queue needs {name} {major}.{minor} or newer, because of SKIP LOCKED"),
    )
    .hint("use MySQL 8.0 or newer, or MariaDB 10.6 or newer: nothing was changed on this server"))
}

/// Whether the tables are there, with the columns that this version uses.
///
/// # Errors
/// `jobs.server_too_old`, `jobs.tables_missing`, `jobs.tables_differ`.
pub async fn check(conn: &mut Conn) -> Result<()> {
    server(conn).await?;
    const COLUMNS: &str = "SELECT CONCAT(TABLE_NAME, '.', COLUMN_NAME) FROM information_schema.COLUMNS \
                           WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'job%'";
    let found: Vec<String> = conn.query(COLUMNS).await.map_err(|error| query_error("list the columns", error))?;
    let found: std::collections::BTreeSet<String> = found.into_iter().map(|name| name.to_ascii_lowercase()).collect();
    let missing: Vec<&str> =
        NAMES.into_iter().filter(|table| !found.iter().any(|name| name.split('.').next() == Some(*table))).collect();
    if !missing.is_empty() {
        return Err(Error::usage(
            "jobs.tables_missing",
            format!("the tables {} are missing, or hidden from this account", missing.join(", ")),
        )
        .hint("run `headwater jobs init` once with an account that may create tables"));
    }
    let needed = ["jobs.later", "jobs.parked_key", "jobs.traceparent", "job_workers.lease_until", "job_limits.tokens"];
    match needed.iter().find(|name| !found.contains(**name)) {
        Some(name) => Err(Error::usage(
            "jobs.tables_differ",
            format!("the column {name} is missing: the table was not made by `headwater jobs init`"),
        )
        .hint("rename the other table, or name another database in the URL")),
        None => Ok(()),
    }
}

/// The exact privileges of a worker's account, of an application that enqueues, and the optional one for wake-ups.
/// `account` is quoted already, such as `'worker'@'%'`.
pub fn grants(database: &str, account: &str) -> Vec<String> {
    let database = ident(database);
    let mut grants: Vec<String> = NAMES
        .iter()
        .map(|table| format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.{table} TO {account};"))
        .collect();
    grants.push(format!("GRANT ALTER, DROP ON {database}.jobs_done TO {account}; -- day partitions of the history"));
    grants
        .push(format!("GRANT ALTER, DROP ON {database}.job_attempts TO {account}; -- day partitions of the attempts"));
    grants.push(format!(
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account}; -- optional: wake-up without polling"
    ));
    grants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_statement() {
        let made: Vec<&str> = statements()
            .filter_map(|statement| statement.split("CREATE TABLE IF NOT EXISTS ").nth(1)?.split(' ').next())
            .collect();
        assert_eq!(made, NAMES);
    }
}
