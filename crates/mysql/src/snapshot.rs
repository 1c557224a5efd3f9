//! The snapshot: all wanted tables as of one place in the log.
//!
//! MariaDB tells the place of a consistent snapshot without a lock. On MySQL a second session holds
//! `LOCK TABLES … READ` on the wanted tables for the moment in which the first starts its snapshot and reads the place:
//! no transaction that touches them can then be between its commit in the engine and its GTID. Where the right to lock
//! is missing, `FLUSH TABLES WITH READ LOCK` does the same for the whole server.
//!
//! All rows are one transaction for the reader, so a restart before the end starts the snapshot again. (Snapshots that
//! go on in their middle are a matter of capture with chunks.)

use std::time::Duration;

use headwater_change::{Error, ErrorKind, Place, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use crate::batcher::Batcher;
use crate::check::{self, Server, account};
use crate::client::{self, Flavor, query_error, row, rows, variable};
use crate::config::Config;
use crate::ident::ident;
use crate::notice;
use crate::position::{Gtids, LogPlace, SNAPSHOT_TOKEN, parse_gtids, parse_uuid};
use crate::queue::Queue;
use crate::rows::cell::Cell;
use crate::rows::decimal;
use crate::rows::event::{Feed, Plan, end_row};
use crate::rows::temporal::Date;
use crate::schema::Kind;

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

/// Starts the snapshot transaction on `conn`; gives its place in the log, or nothing when nobody reads any more.
/// `waiting` is called when that takes longer.
pub(crate) async fn begin(
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

/// Reads a table within the snapshot; full batches go to the queue. `false` when nobody reads any more.
pub(crate) async fn table(
    conn: &mut Conn,
    config: &Config,
    plan: &Plan,
    batcher: &mut Batcher,
    queue: &Queue,
) -> Result<bool> {
    let sql = select(conn, plan).await?;
    let mut result = match conn.exec_iter(sql, ()).await {
        Ok(result) => result,
        Err(mysql_async::Error::Server(error)) if matches!(error.code, 1142..=1143 | 1044) => {
            let user = account(conn, &config.access).await?;
            let (database, name) = (ident(&plan.database), ident(&plan.table));
            return Err(Error::usage(
                "mysql.privilege",
                format!("the user '{}' may not read {}.{}", config.access.user, plan.database, plan.table),
            )
            .detail(error.message)
            .hint(format!("GRANT SELECT ON {database}.{name} TO {user};")));
        }
        Err(error) => return Err(query_error("read a table", error)),
    };
    let mut number = 0_u64;
    loop {
        let row = tokio::select! {
            biased;
            row = result.next() => row.map_err(|error| query_error("finish reading a table", error))?,
            () = queue.until_closed() => return Ok(false),
        };
        let Some(row) = row else { break };
        number += 1;
        append(&row, plan, batcher).map_err(|(column, what)| value_error(plan, &column, number, what))?;
        if batcher.is_full()
            && let Some(message) = batcher.flush(SNAPSHOT_TOKEN)?
            && !queue.push(message).await
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn value_error(plan: &Plan, column: &str, row: u64, what: String) -> Error {
    let Plan { database, table, .. } = plan;
    Error::new(ErrorKind::Data, "mysql.value", format!("column '{column}' of {database}.{table}: {what}"))
        .at(Place::Position(format!("snapshot of {database}.{table}, row {row}")))
}

/// The wanted columns in the order of the key. A table of which only metadata is wanted still gives its rows.
async fn select(conn: &mut Conn, plan: &Plan) -> Result<String> {
    let columns = wanted(plan).map(|(column, _)| ident(column).to_string()).collect::<Vec<_>>().join(", ");
    let columns = if columns.is_empty() { "1".to_owned() } else { columns };
    let key: Vec<String> = conn
        .exec(
            "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
             AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX",
            (&plan.database, &plan.table),
        )
        .await
        .map_err(|error| query_error("describe a key", error))?;
    let key = key.iter().map(|name| ident(name).to_string()).collect::<Vec<_>>().join(", ");
    let order = if key.is_empty() { String::new() } else { format!(" ORDER BY {key}") };
    Ok(format!("SELECT {columns} FROM {}.{}{order}", ident(&plan.database), ident(&plan.table)))
}

/// Wanted columns by name, with their places in the output.
fn wanted(plan: &Plan) -> impl Iterator<Item = (&str, usize)> {
    plan.feeds.iter().enumerate().filter_map(|(output, feed)| match feed {
        Feed::Column(index) => plan.columns.get(*index).map(|column| (column.name.as_str(), output)),
        _ => None,
    })
}

fn append(row: &mysql_async::Row, plan: &Plan, batcher: &mut Batcher) -> Result<(), (String, String)> {
    let mut nth = 0;
    for (output, feed) in plan.feeds.iter().enumerate() {
        let Feed::Column(index) = feed else { continue };
        let Some(column) = plan.columns.get(*index) else { continue };
        let value = row.as_ref(nth).unwrap_or(&Value::NULL);
        nth += 1;
        if matches!((value, &column.kind), (Value::Bytes(text), Kind::Json) if text.is_empty()) {
            // MySQL's way to say so; there is neither an error nor a warning.
            let what = "the document is longer than the server gives back: raise its max_allowed_packet";
            return Err((column.name.clone(), what.to_owned()));
        }
        let cell = cell(value, &column.kind)
            .ok_or_else(|| (column.name.clone(), format!("{value:?} is not a {}", column.kind)))?;
        batcher
            .builders
            .append(output, &cell, &column.kind, plan.policy)
            .map_err(|what| (column.name.clone(), what))?;
    }
    end_row(plan, headwater_change::Op::Insert, 0, &mut batcher.builders).map_err(|what| ("metadata".to_owned(), what))
}

/// A value of the binary protocol as the row image would have brought it.
fn cell<'a>(value: &'a Value, kind: &Kind) -> Option<Cell<'a>> {
    let date = |y: u16, m: u8, d: u8| Date { year: y, month: m, day: d };
    let clock = |h: u8, m: u8, s: u8| i64::from(h) * 3_600 + i64::from(m) * 60 + i64::from(s);
    Some(match (value, kind) {
        (Value::NULL, _) => Cell::Null,
        (Value::Int(number), _) => Cell::Int(*number),
        (Value::UInt(number), _) => Cell::UInt(*number),
        (Value::Float(number), _) => Cell::Float(*number),
        (Value::Double(number), _) => Cell::Double(*number),
        (Value::Bytes(text), Kind::Decimal(..)) => match decimal::parse(text) {
            Some((number, scale)) => Cell::Decimal(number, scale),
            None => Cell::Utf8(text),
        },
        (Value::Bytes(bytes), Kind::Bit(_)) => Cell::Bits(bytes),
        (Value::Bytes(bytes), Kind::Binary(_) | Kind::Bytes) => Cell::Bytes(bytes),
        // The session's character set is utf8mb4, whatever the column's is.
        (Value::Bytes(text), Kind::Text(_) | Kind::Enum(_) | Kind::Set(_) | Kind::Json) => Cell::Utf8(text),
        (Value::Date(y, m, d, ..), Kind::Date) => Cell::Date(date(*y, *m, *d)),
        (Value::Date(y, m, d, h, i, s, micros), Kind::DateTime(_)) => {
            Cell::DateTime(date(*y, *m, *d), clock(*h, *i, *s) * 1_000_000 + i64::from(*micros))
        }
        (Value::Date(y, m, d, h, i, s, micros), Kind::Timestamp(_)) => match date(*y, *m, *d).days() {
            // The session's zone is UTC.
            Some(days) => Cell::Instant(i64::from(days) * 86_400 + clock(*h, *i, *s), *micros),
            None => Cell::Instant(0, 0),
        },
        (Value::Time(negative, days, h, m, s, micros), Kind::Time(_)) => {
            let absolute = (i64::from(*days) * 86_400 + clock(*h, *m, *s)) * 1_000_000 + i64::from(*micros);
            Cell::Time(if *negative { -absolute } else { absolute })
        }
        _ => return None,
    })
}

/// Plans of all wanted tables; fails where one cannot be read as asked.
pub(crate) async fn plans(
    conn: &mut Conn,
    schema: &arrow::datatypes::SchemaRef,
    tables: &[(String, String)],
    policy: crate::rows::build::Policy,
) -> Result<Vec<Plan>> {
    let mut plans = Vec::with_capacity(tables.len());
    for (database, table) in tables {
        let columns = check::columns(conn, database, table).await?;
        plans.push(check::plan(schema, database, table, columns, policy)?);
    }
    Ok(plans)
}
