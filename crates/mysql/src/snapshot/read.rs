//! The rows of the tables, as of the snapshot's place.

use headwater_change::{Error, ErrorKind, Place, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use super::altered;
use crate::batcher::Batcher;
use crate::check::account;
use crate::client::query_error;
use crate::config::Config;
use crate::ident::ident;
use crate::position::SNAPSHOT_TOKEN;
use crate::queue::Queue;
use crate::rows::cell::Cell;
use crate::rows::decimal;
use crate::rows::event::{Feed, Plan, end_row};
use crate::rows::temporal::Date;
use crate::schema::Kind;

/// Reads a table within the snapshot; full batches go to the queue. `false` when nobody reads any more.
pub(super) async fn table(
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
        Err(error) => return Err(broken(plan, error)),
    };
    let mut number = 0_u64;
    loop {
        let row = tokio::select! {
            biased;
            row = result.next() => row.map_err(|error| broken(plan, error))?,
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

/// A table that was altered behind the snapshot's place is not what it was there.
fn broken(plan: &Plan, error: mysql_async::Error) -> Error {
    const ALTERED: u16 = 1412;
    match error {
        mysql_async::Error::Server(error) if error.code == ALTERED => {
            altered(&format!("{}.{}", plan.database, plan.table)).detail(error.message)
        }
        error => query_error("read a table", error),
    }
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
