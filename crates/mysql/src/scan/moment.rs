//! One moment for many connections: all of them see the table in the same state, and nobody waits for it.
//!
//! * MariaDB tells each session the place in the log that its snapshot stands at: all equal means one moment.
//! * MySQL with GTIDs: `gtid_executed` before the first snapshot and after the last one, and once more a little later; equal
//!   means one moment.
//! * Else, and where writers never leave a gap, a second session holds `LOCK TABLES … READ` for the moment in which the
//!   snapshots begin. It asks with a short `lock_wait_timeout`, so that writers do not queue up behind it.

use std::time::Duration;

use headwater_change::{Error, Result};

use crate::client::{Flavor, query_error};
use crate::ident::ident;
use crate::jdbc::Config;
use crate::wire::Conn;

/// What a snapshot begins with. It is read only: nothing of it is ever locked.
const START: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// How often a moment is looked for without a lock; a try takes about a millisecond.
const TRIES: usize = 1_000;

/// How long a group of commits may take from its first to its last.
const SETTLED: Duration = Duration::from_millis(2);

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
pub(super) fn share(conns: &mut [Conn], config: &Config, flavor: Flavor) -> Result<Moment> {
    for conn in conns.iter_mut() {
        let sql = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
        conn.run(sql).map_err(|error| query_error("set the isolation level", error))?;
    }
    if let [only] = conns {
        let place = begin_one(only, flavor)?;
        return Ok(Moment { place, tries: 1, locked: None });
    }
    let told = match flavor {
        Flavor::MariaDb => told_by_mariadb(conns)?,
        Flavor::MySql => told_by_gtids(conns, config)?,
    };
    match told {
        Some(moment) => Ok(moment),
        None => under_lock(conns, config, flavor),
    }
}

fn begin(conn: &mut Conn) -> Result<()> {
    conn.run(START).map_err(|error| query_error("begin a snapshot", error))
}

fn begin_one(conn: &mut Conn, flavor: Flavor) -> Result<Option<String>> {
    match flavor {
        Flavor::MariaDb => {
            begin(conn)?;
            mariadb_place(conn)
        }
        Flavor::MySql => {
            for _ in 0..TRIES {
                let before = gtids(conn)?;
                begin(conn)?;
                if before == gtids(conn)? {
                    return Ok(before);
                }
            }
            Ok(None)
        }
    }
}

/// The place in the log that a session's snapshot stands at.
fn mariadb_place(conn: &mut Conn) -> Result<Option<String>> {
    let status = conn.rows("SHOW STATUS LIKE 'binlog\\_snapshot\\_%'");
    let status = status.map_err(|error| query_error("tell the place of a snapshot", error))?;
    let value = |name: &str| {
        let row = status.iter().find(|row| row.first().is_some_and(|found| found.as_deref() == Some(name)))?;
        row.get(1)?.clone().filter(|text| !text.is_empty())
    };
    Ok(value("Binlog_snapshot_file").zip(value("Binlog_snapshot_position")).map(|(file, at)| format!("{file}:{at}")))
}

fn told_by_mariadb(conns: &mut [Conn]) -> Result<Option<Moment>> {
    for tries in 1..=TRIES {
        for conn in conns.iter_mut() {
            begin(conn)?;
        }
        let mut places = Vec::with_capacity(conns.len());
        for conn in conns.iter_mut() {
            places.push(mariadb_place(conn)?);
        }
        let Some(first) = places.first().cloned().flatten() else { return Ok(None) };
        if places.iter().all(|place| place.as_ref() == Some(&first)) {
            return Ok(Some(Moment { place: Some(first), tries, locked: None }));
        }
    }
    Ok(None)
}

/// `gtid_executed`, where the server has GTIDs.
fn gtids(conn: &mut Conn) -> Result<Option<String>> {
    let rows = conn.rows("SELECT @@GLOBAL.gtid_mode, @@GLOBAL.gtid_executed");
    let rows = rows.map_err(|error| query_error("tell which transactions it has", error))?;
    let Some([Some(mode), Some(executed)]) = rows.first().map(Vec::as_slice) else { return Ok(None) };
    Ok(mode.eq_ignore_ascii_case("ON").then(|| executed.replace(['\n', ' '], "")))
}

/// On a connection of its own, because the value is not what a snapshot sees.
fn told_by_gtids(conns: &mut [Conn], config: &Config) -> Result<Option<Moment>> {
    let mut teller = Conn::open(&config.access)?;
    let mut found = None;
    for tries in 1..=TRIES {
        let Some(before) = gtids(&mut teller)? else { break };
        for conn in conns.iter_mut() {
            begin(conn)?;
        }
        // A group of transactions is seen one by one before any of them is told of: whether one was in the middle of that
        // shows a moment later.
        let still = |teller: &mut Conn| Ok::<bool, Error>(gtids(teller)?.as_ref() == Some(&before));
        if still(&mut teller)? && {
            settle();
            still(&mut teller)?
        } {
            found = Some(Moment { place: Some(before), tries, locked: None });
            break;
        }
    }
    Ok(found)
}

#[expect(clippy::disallowed_methods, reason = "the server tells of nothing that could be waited for")]
fn settle() {
    std::thread::sleep(SETTLED);
}

#[expect(clippy::disallowed_methods, reason = "how long writers had to wait is told to the user")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn under_lock(conns: &mut [Conn], config: &Config, flavor: Flavor) -> Result<Moment> {
    let mut locker = Conn::open(&config.access)?;
    let (database, table) = (ident(&config.database), ident(&config.table));
    let asked = format!("SET SESSION lock_wait_timeout = {LOCK_SECONDS}");
    locker.run(&asked).map_err(|error| query_error("set a time limit for locks", error))?;
    for tries in 1..=LOCK_TRIES {
        match locker.run(&format!("LOCK TABLES {database}.{table} READ")) {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1205 | 3572) => continue,
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1044 | 1142 | 1227) => {
                let user = locker.account(&config.access)?;
                return Err(no_moment("the user may not lock the table for the moment that a common snapshot takes")
                    .detail(error.message)
                    .hint(format!("GRANT LOCK TABLES ON {database}.* TO {user}; or {}", choice())));
            }
            Err(error) => return Err(query_error("lock a table", error)),
        }
        let since = now();
        let mut places = Vec::with_capacity(conns.len());
        for conn in conns.iter_mut() {
            begin(conn)?;
        }
        if let Some(first) = conns.first_mut() {
            places.push(match flavor {
                Flavor::MariaDb => mariadb_place(first)?,
                Flavor::MySql => gtids(first)?,
            });
        }
        locker.run("UNLOCK TABLES").map_err(|error| query_error("unlock a table", error))?;
        let locked = Some(since.elapsed());
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
