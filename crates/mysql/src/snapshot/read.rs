//! The rows of the tables, as of the snapshot's place.

use headwater_change::{Error, ErrorKind, Place, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::altered;
use crate::batcher::Batcher;
use crate::check::account;
use crate::client::query_error;
use crate::config::Config;
use crate::ident::ident;
use crate::position::SNAPSHOT_TOKEN;
use crate::queue::Queue;
use crate::rows::event::Plan;
use crate::rows::result;

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
        result::append(&row, plan, &mut batcher.builders)
            .map_err(|(column, what)| value_error(plan, &column, number, what))?;
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
    // Altered; dropped or renamed, or its database.
    const ALTERED: [u16; 3] = [1412, 1146, 1049];
    match error {
        mysql_async::Error::Server(error) if ALTERED.contains(&error.code) => {
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
    let columns = result::wanted(plan);
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
