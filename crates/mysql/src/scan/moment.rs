//! One moment for many connections: all of them see the table in the same state, and nobody waits for it.
//!
//! * MariaDB tells each session the place in the log that its snapshot stands at: all equal means one moment.
//! * MySQL with GTIDs: `gtid_executed` before the first snapshot and after the last one; equal means one moment.
//! * Else, and where writers never leave a gap, a second session holds `LOCK TABLES … READ` for the moment in which the
//!   snapshots begin. It asks with a short `lock_wait_timeout`, so that writers do not queue up behind it.

use std::time::Duration;

use headwater_change::{Error, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::check::account;
use crate::client::{self, Flavor, query_error, rows, variable};
use crate::ident::ident;
use crate::jdbc::Config;

/// What a snapshot begins with. It is read only: nothing of it is ever locked.
const START: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// How often a moment is looked for without a lock; a try takes about a millisecond.
const TRIES: usize = 1_000;

/// Seconds that the lock is waited for, and how often. Writers that come meanwhile wait behind it.
const LOCK_SECONDS: u32 = 1;
const LOCK_TRIES: usize = 3;

/// How the moment was found, and where in the log it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Where the result is true: a GTID set or a place in the log; nothing where the server keeps no log.
    pub(super) place: Option<String>,
    /// Tries it took.
    pub(super) tries: usize,
    /// Time for which a lock was held, where one was needed.
    pub(super) locked: Option<Duration>,
}

/// Begins a snapshot on each connection, all at one moment.
pub(super) async fn share(conns: &mut [Conn], config: &Config, flavor: Flavor) -> Result<Moment> {
    for conn in conns.iter_mut() {
        let sql = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
        conn.query_drop(sql).await.map_err(|error| query_error("set the isolation level", error))?;
    }
    if let [only] = conns {
        let place = begin_one(only, flavor).await?;
        return Ok(Moment { place, tries: 1, locked: None });
    }
    let told = match flavor {
        Flavor::MariaDb => told_by_mariadb(conns).await?,
        Flavor::MySql => told_by_gtids(conns, config).await?,
    };
    match told {
        Some(moment) => Ok(moment),
        None => under_lock(conns, config, flavor).await,
    }
}

async fn begin(conn: &mut Conn) -> Result<()> {
    conn.query_drop(START).await.map_err(|error| query_error("begin a snapshot", error))
}

async fn begin_one(conn: &mut Conn, flavor: Flavor) -> Result<Option<String>> {
    match flavor {
        Flavor::MariaDb => {
            begin(conn).await?;
            mariadb_place(conn).await
        }
        Flavor::MySql => {
            for _ in 0..TRIES {
                let before = gtids(conn).await?;
                begin(conn).await?;
                if before == gtids(conn).await? {
                    return Ok(before);
                }
            }
            Ok(None)
        }
    }
}

/// The place in the log that a session's snapshot stands at.
async fn mariadb_place(conn: &mut Conn) -> Result<Option<String>> {
    let status = rows(conn, "SHOW STATUS LIKE 'binlog\\_snapshot\\_%'").await;
    let status = status.map_err(|error| query_error("tell the place of a snapshot", error))?;
    let value = |name: &str| {
        let row = status.iter().find(|row| row.first().is_some_and(|found| found.as_deref() == Some(name)))?;
        row.get(1)?.clone().filter(|text| !text.is_empty())
    };
    Ok(value("Binlog_snapshot_file").zip(value("Binlog_snapshot_position")).map(|(file, at)| format!("{file}:{at}")))
}

async fn told_by_mariadb(conns: &mut [Conn]) -> Result<Option<Moment>> {
    for tries in 1..=TRIES {
        for conn in conns.iter_mut() {
            begin(conn).await?;
        }
        let mut places = Vec::with_capacity(conns.len());
        for conn in conns.iter_mut() {
            places.push(mariadb_place(conn).await?);
        }
        let Some(first) = places.first().cloned().flatten() else { return Ok(None) };
        if places.iter().all(|place| place.as_ref() == Some(&first)) {
            return Ok(Some(Moment { place: Some(first), tries, locked: None }));
        }
    }
    Ok(None)
}

/// `gtid_executed`, where the server has GTIDs.
async fn gtids(conn: &mut Conn) -> Result<Option<String>> {
    if !variable(conn, "gtid_mode").await?.eq_ignore_ascii_case("ON") {
        return Ok(None);
    }
    variable(conn, "gtid_executed").await.map(|text| Some(text.replace(['\n', ' '], "")))
}

/// On a connection of its own, because the value is not what a snapshot sees.
async fn told_by_gtids(conns: &mut [Conn], config: &Config) -> Result<Option<Moment>> {
    let mut teller = client::connect(&config.access, &[]).await?;
    let mut found = None;
    for tries in 1..=TRIES {
        let Some(before) = gtids(&mut teller).await? else { break };
        for conn in conns.iter_mut() {
            begin(conn).await?;
        }
        if gtids(&mut teller).await?.as_ref() == Some(&before) {
            found = Some(Moment { place: Some(before), tries, locked: None });
            break;
        }
    }
    let _ = teller.disconnect().await;
    Ok(found)
}

#[expect(clippy::disallowed_methods, reason = "how long writers had to wait is told to the user")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

async fn under_lock(conns: &mut [Conn], config: &Config, flavor: Flavor) -> Result<Moment> {
    let mut locker = client::connect(&config.access, &[]).await?;
    let (database, table) = (ident(&config.database), ident(&config.table));
    let asked = format!("SET SESSION lock_wait_timeout = {LOCK_SECONDS}");
    locker.query_drop(asked).await.map_err(|error| query_error("set a time limit for locks", error))?;
    for tries in 1..=LOCK_TRIES {
        match locker.query_drop(format!("LOCK TABLES {database}.{table} READ")).await {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1205 | 3572) => continue,
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1044 | 1142 | 1227) => {
                let user = account(&mut locker, &config.access).await?;
                return Err(no_moment("the user may not lock the table for the moment that a common snapshot takes")
                    .detail(error.message)
                    .hint(format!("GRANT LOCK TABLES ON {database}.* TO {user}; or {}", choice())));
            }
            Err(error) => return Err(query_error("lock a table", error)),
        }
        let since = now();
        let mut places = Vec::with_capacity(conns.len());
        for conn in conns.iter_mut() {
            begin(conn).await?;
        }
        if let Some(first) = conns.first_mut() {
            places.push(match flavor {
                Flavor::MariaDb => mariadb_place(first).await?,
                Flavor::MySql => gtids(first).await?,
            });
        }
        locker.query_drop("UNLOCK TABLES").await.map_err(|error| query_error("unlock a table", error))?;
        let locked = Some(since.elapsed());
        let _ = locker.disconnect().await;
        return Ok(Moment { place: places.pop().flatten(), tries, locked });
    }
    Err(no_moment(
        "no moment was found that all connections share: writers leave no gap, and the table could not be locked",
    )
    .hint(choice()))
}

fn choice() -> String {
    "read with one connection ('scan.connections' = '1'), or give up one moment ('scan.consistency' = 'none')"
        .to_owned()
}

fn no_moment(message: &str) -> Error {
    Error::usage("mysql.no_common_snapshot", message)
}
