//! The snapshot: all wanted tables as of one place in the log.
//!
//! MariaDB tells the place of a consistent snapshot without a lock. On MySQL a second session holds
//! `LOCK TABLES … READ` on the wanted tables for the moment in which the first starts its snapshot and reads the place:
//! no transaction that touches them can then be between its commit in the engine and its GTID. Where the right to lock
//! is missing, `FLUSH TABLES WITH READ LOCK` does the same for the whole server.
//!
//! All rows are one transaction for the reader, so a restart before the end starts the snapshot again. (Snapshots that
//! go on in their middle are a matter of capture with chunks.)

mod read;

use std::time::Duration;

use arrow::datatypes::SchemaRef;
use headwater_change::{Error, Place, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use crate::batcher::Batcher;
use crate::check::{self, Server, account};
use crate::client::{self, Flavor, query_error, row, rows, variable};
use crate::config::{Config, Startup};
use crate::follow;
use crate::ident::ident;
use crate::notice;
use crate::position::{Gtids, LogPlace, parse_gtids, parse_uuid};
use crate::queue::Queue;
use crate::rows::build::Policy;
use crate::rows::event::Plan;

const START: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
];

/// The end of the log now.
pub(crate) async fn current_place(conn: &mut Conn, server: Server) -> Result<LogPlace> {
    for _ in 0..TRANSLATION_TRIES {
        let status = end_of_log(conn).await?;
        let text = |index: usize| status.get(index).cloned().flatten().unwrap_or_default();
        let (file, offset) = (text(0), text(1).parse().unwrap_or(4));
        let gtids = match server.flavor {
            Flavor::MariaDb => match mariadb_end(conn, &file, offset).await? {
                Some(gtids) => Some(gtids),
                None => continue,
            },
            Flavor::MySql if server.gtids => parse_gtids(&text(4)),
            Flavor::MySql => parse_uuid(&variable(conn, "server_uuid").await?).map(Gtids::Server),
        };
        return Ok(LogPlace { file, offset, gtids });
    }
    Err(not_translated("the end of the log"))
}

async fn end_of_log(conn: &mut Conn) -> Result<Vec<Option<String>>> {
    let status = match row(conn, "SHOW BINARY LOG STATUS").await {
        Err(mysql_async::Error::Server(_)) => row(conn, "SHOW MASTER STATUS").await,
        other => other,
    };
    Ok(status.map_err(|error| query_error("tell the end of its log", error))?.unwrap_or_default())
}

/// MariaDB's GTID position at a place of a file.
pub(crate) async fn mariadb_gtids(conn: &mut Conn, file: &str, offset: u64) -> Result<Gtids> {
    if let Some(gtids) = find_gtids(conn, file, offset).await? {
        return Ok(gtids);
    }
    let logs = rows(conn, "SHOW BINARY LOGS").await.map_err(|error| query_error("list its logs", error))?;
    let place = format!("{file}:{offset}");
    if logs.iter().any(|row| row.first().is_some_and(|name| name.as_deref() == Some(file))) {
        return Err(not_translated(&place));
    }
    Err(Error::fenced("mysql.binlog_purged", "the server does not have this place of its log any more")
        .at(Place::Position(place)))
}

/// The same; `None` where the server does not say. It says nothing of purged files, and also of places behind an event
/// larger than it reads for this, 16 MB and more.
async fn find_gtids(conn: &mut Conn, file: &str, offset: u64) -> Result<Option<Gtids>> {
    let sql = format!("SELECT BINLOG_GTID_POS({}, {offset})", Value::from(file).as_sql(true));
    let found = row(conn, &sql).await.map_err(|error| query_error("translate a place of its log", error))?;
    Ok(found.and_then(|row| row.into_iter().next().flatten()).as_deref().and_then(Gtids::parse_mariadb))
}

/// MariaDB's GTID position at the end of its log. Where the server cannot translate the place it may still tell the
/// position by itself, which is that of the place as long as the log did not grow in between.
async fn mariadb_end(conn: &mut Conn, file: &str, offset: u64) -> Result<Option<Gtids>> {
    if file.is_empty() {
        // No log is written: nothing is in it.
        return Ok(Some(Gtids::MariaDb(std::collections::BTreeMap::new())));
    }
    if let Some(gtids) = find_gtids(conn, file, offset).await? {
        return Ok(Some(gtids));
    }
    let text = variable(conn, "gtid_binlog_pos").await?;
    // A transaction that is being written is in that position already; this waits for its end.
    let status = end_of_log(conn).await?;
    let still = status.first().is_some_and(|name| name.as_deref() == Some(file))
        && status.get(1).cloned().flatten().and_then(|text| text.parse().ok()) == Some(offset);
    Ok(Gtids::parse_mariadb(&text).filter(|_| still))
}

/// The log need only be quiet between three answers.
const TRANSLATION_TRIES: usize = 200;

fn not_translated(place: &str) -> Error {
    Error::remote("mysql.gtid_position", "the server does not tell the GTIDs of a place in its log")
        .hint("FLUSH BINARY LOGS; begins a file whose places it can tell: in this one an event of 16 MB or more is in the way")
        .at(Place::Position(place.to_owned()))
}

/// The wanted tables, and how they are read.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) tables: Vec<(String, String)>,
    plans: Vec<Plan>,
}

impl Wanted {
    /// As they are now. A table that is made, altered or dropped while it is described is looked at again.
    pub(crate) async fn describe(
        conn: &mut Conn,
        config: &Config,
        server: Server,
        (schema, policy): (&SchemaRef, Policy),
    ) -> Result<Self> {
        for _ in 1..TRIES {
            match Self::describe_once(conn, config, server, (schema, policy)).await {
                Err(error) if client::is_passing(&error) => {}
                described => return described,
            }
        }
        Self::describe_once(conn, config, server, (schema, policy)).await
    }

    async fn describe_once(
        conn: &mut Conn,
        config: &Config,
        server: Server,
        (schema, policy): (&SchemaRef, Policy),
    ) -> Result<Self> {
        let tables = check::tables(conn, config).await?;
        if !matches!(config.startup, Startup::Snapshot) {
            follow::tables(conn, server, &tables).await?;
        }
        let plans = plans(conn, schema, &tables, policy).await?;
        Ok(Self { tables, plans })
    }

    fn is(&self, other: &Self) -> bool {
        let columns = |wanted: &Self| wanted.plans.iter().map(|plan| plan.columns.clone()).collect::<Vec<_>>();
        self.tables == other.tables && columns(self) == columns(other)
    }
}

/// How often a snapshot is begun while tables are made and altered.
const TRIES: usize = 20;

/// The definition of a table moved on while it was read.
fn altered(what: &str) -> Error {
    Error::remote("mysql.table_altered", format!("{what} was made or altered while the snapshot was taken"))
        .hint("start again once that is over: nothing of the snapshot is committed before its end")
}

/// Reads all wanted tables as of one place of the log, which it gives; nothing when nobody reads any more. A table that is
/// made or altered at the same time is described anew, as long as no row was handed over.
pub(crate) async fn take(
    conn: &mut Conn,
    config: &Config,
    server: Server,
    (schema, policy, mut wanted): (&SchemaRef, Policy, Wanted),
    batcher: &mut Batcher,
    (queue, waiting): (&Queue, &dyn Fn()),
) -> Result<Option<LogPlace>> {
    for _ in 0..TRIES {
        let Some(place) = begin(conn, config, server, &wanted.tables, (queue, waiting)).await? else { return Ok(None) };
        waiting();
        let now = Wanted::describe(conn, config, server, (schema, policy)).await?;
        if now.is(&wanted) {
            match rows_of(conn, config, &wanted, batcher, queue).await {
                Err(error) if error.code() == "mysql.table_altered" && batcher.handed_rows() == 0 => {
                    batcher.give_up_open()?;
                }
                read => return Ok(read?.then_some(place)),
            }
        }
        wanted = now;
    }
    Err(altered("a wanted table"))
}

async fn rows_of(
    conn: &mut Conn,
    config: &Config,
    wanted: &Wanted,
    batcher: &mut Batcher,
    queue: &Queue,
) -> Result<bool> {
    for plan in &wanted.plans {
        if !read::table(conn, config, plan, batcher, queue).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Starts the snapshot transaction on `conn`; gives its place in the log, or nothing when nobody reads any more.
/// `waiting` is called when that takes longer.
async fn begin(
    conn: &mut Conn,
    config: &Config,
    server: Server,
    tables: &[(String, String)],
    (queue, waiting): (&Queue, &dyn Fn()),
) -> Result<Option<LogPlace>> {
    if server.flavor == Flavor::MySql {
        let mut guard = client::connect(&config.access, &[]).await?;
        if !lock(&mut guard, config, tables, (queue, waiting)).await? {
            return Ok(None);
        }
        start(conn).await?;
        let place = current_place(conn, server).await?;
        guard.query_drop("UNLOCK TABLES").await.map_err(|error| query_error("unlock tables", error))?;
        let _ = guard.disconnect().await;
        return Ok(Some(place));
    }
    for _ in 0..TRANSLATION_TRIES {
        start(conn).await?;
        let status = rows(conn, "SHOW STATUS LIKE 'binlog_snapshot_%'").await;
        let status = status.map_err(|error| query_error("tell the snapshot's place", error))?;
        let text = |name: &str| {
            status.iter().find_map(|row| match row.as_slice() {
                [Some(key), value] if key.eq_ignore_ascii_case(name) => value.clone(),
                _ => None,
            })
        };
        let file = text("Binlog_snapshot_file").unwrap_or_default();
        let offset = text("Binlog_snapshot_position").and_then(|text| text.parse().ok()).unwrap_or(0);
        if file.is_empty() {
            return current_place(conn, server).await.map(Some);
        }
        if let Some(gtids) = mariadb_end(conn, &file, offset).await? {
            return Ok(Some(LogPlace { file, offset, gtids: Some(gtids) }));
        }
    }
    Err(not_translated("the snapshot"))
}

async fn start(conn: &mut Conn) -> Result<()> {
    for statement in START {
        conn.query_drop(statement).await.map_err(|error| query_error("start a snapshot", error))?;
    }
    Ok(())
}

/// How long the lock is asked for at a time. While it waits, later writers of the tables wait behind it.
const LOCK_WAIT_SECONDS: u64 = 2;

/// How long others may go on before the next try, at most.
const LOCK_PAUSE_LIMIT: Duration = Duration::from_secs(10);

/// Takes the lock, as often as it needs, and says so by `waiting`; `false` when nobody waits for it any more.
async fn lock(
    conn: &mut Conn,
    config: &Config,
    tables: &[(String, String)],
    (queue, waiting): (&Queue, &dyn Fn()),
) -> Result<bool> {
    let setting = format!("SET SESSION lock_wait_timeout={LOCK_WAIT_SECONDS}");
    conn.query_drop(setting).await.map_err(|error| query_error("set a variable", error))?;
    let mut pause = Duration::from_secs(1);
    loop {
        let tried = tokio::select! {
            tried = try_lock(conn, config, tables) => tried?,
            () = queue.until_closed() => return Ok(false),
        };
        if tried {
            return Ok(true);
        }
        waiting();
        notice::warn(format!(
            "waiting for a lock on {}: another session is in the middle of a transaction or a statement on it; SHOW FULL \
             PROCESSLIST; and 'SELECT * FROM information_schema.INNODB_TRX;' show which",
            tables.iter().map(|(database, table)| format!("{database}.{table}")).collect::<Vec<_>>().join(", ")
        ));
        queue.closed_within(pause).await;
        if queue.is_closed() {
            return Ok(false);
        }
        pause = (pause * 2).min(LOCK_PAUSE_LIMIT);
    }
}

/// Whether the lock was given in time.
async fn try_lock(conn: &mut Conn, config: &Config, tables: &[(String, String)]) -> Result<bool> {
    const TIMED_OUT: u16 = 1205;
    let list: Vec<String> = tables.iter().map(|(d, t)| format!("{}.{} READ", ident(d), ident(t))).collect();
    let refused = match conn.query_drop(format!("LOCK TABLES {}", list.join(", "))).await {
        Ok(()) => return Ok(true),
        Err(mysql_async::Error::Server(error)) if error.code == TIMED_OUT => return Ok(false),
        Err(mysql_async::Error::Server(error)) if matches!(error.code, 1044 | 1142 | 1227) => error,
        Err(error) => return Err(query_error("lock tables", error)),
    };
    match conn.query_drop("FLUSH TABLES WITH READ LOCK").await {
        Ok(()) => Ok(true),
        Err(mysql_async::Error::Server(error)) if error.code == TIMED_OUT => Ok(false),
        Err(mysql_async::Error::Server(_)) => {
            let user = account(conn, &config.access).await?;
            let database = tables.first().map_or("", |(database, _)| database.as_str());
            let (name, database) = (&config.access.user, ident(database));
            Err(Error::usage(
                "mysql.privilege",
                format!("the user '{name}' may not lock tables for the snapshot's start"),
            )
            .detail(refused.message)
            .hint(format!("GRANT LOCK TABLES ON {database}.* TO {user};")))
        }
        Err(error) => Err(query_error("lock tables", error)),
    }
}

/// Plans of all wanted tables; fails where one cannot be read as asked.
async fn plans(conn: &mut Conn, schema: &SchemaRef, tables: &[(String, String)], policy: Policy) -> Result<Vec<Plan>> {
    let mut plans = Vec::with_capacity(tables.len());
    for (database, table) in tables {
        let columns = check::columns(conn, database, table).await?;
        plans.push(check::plan(schema, database, table, columns, policy)?);
    }
    Ok(plans)
}
