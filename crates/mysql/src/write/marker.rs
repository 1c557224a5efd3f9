//! What a run has written, kept beside what it wrote: the row is of the same transaction, so a run that is started again
//! neither doubles nor loses. Who is second waits for the first, whose row locks the name.

use headwater_change::{Error, Owner, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::check::account;
use crate::client::query_error;
use crate::ident::ident;
use crate::jdbc::Config;

/// The table of marks, in the database of the target.
pub(super) const TABLE: &str = "headwater_runs";

/// Whether the run has written the target already.
pub(super) async fn is_there(conn: &mut Conn, config: &Config, owner: &Owner) -> Result<bool> {
    let table = format!("{}.{TABLE}", ident(&config.database));
    let select = format!("SELECT 1 FROM {table} WHERE run = ? AND target = ?");
    let found: mysql_async::Result<Option<u8>> = conn.exec_first(select, (&owner.id, &config.table)).await;
    match found {
        Ok(found) => Ok(found.is_some()),
        Err(mysql_async::Error::Server(error)) if error.code == 1146 => {
            create(conn, config, &table).await.map(|()| false)
        }
        Err(mysql_async::Error::Server(error)) if matches!(error.code, 1142 | 1044) => {
            Err(not_granted(conn, config, &table, &error.message).await)
        }
        Err(error) => Err(query_error("tell which runs there were", error)),
    }
}

async fn create(conn: &mut Conn, config: &Config, table: &str) -> Result<()> {
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {table} (run VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
         target VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, written_rows BIGINT UNSIGNED NOT NULL DEFAULT 0, \
         written_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (run, target)) ENGINE=InnoDB"
    );
    match conn.query_drop(&create).await {
        Ok(()) => Ok(()),
        Err(mysql_async::Error::Server(error)) if matches!(error.code, 1142 | 1044) => {
            let mut found = not_granted(conn, config, table, &error.message).await;
            found = found.detail(format!("{}; it is made by: {create};", error.message));
            Err(found)
        }
        Err(error) => Err(query_error("make the table of runs", error)),
    }
}

async fn not_granted(conn: &mut Conn, config: &Config, table: &str, detail: &str) -> Error {
    let error = Error::usage("mysql.privilege", format!("runs are remembered in {table}, which the user may not use"))
        .detail(detail);
    match account(conn, &config.access).await {
        Ok(user) => error.hint(format!("GRANT CREATE, SELECT, INSERT, UPDATE ON {table} TO {user};")),
        Err(_) => error,
    }
}

/// Marks the run within the transaction. `false` where another one has done so meanwhile.
pub(super) async fn set(conn: &mut Conn, config: &Config, owner: &Owner) -> Result<bool> {
    let table = format!("{}.{TABLE}", ident(&config.database));
    let insert = format!("INSERT INTO {table} (run, target) VALUES (?, ?)");
    match conn.exec_drop(insert, (&owner.id, &config.table)).await {
        Ok(()) => Ok(true),
        Err(mysql_async::Error::Server(error)) if error.code == 1062 => Ok(false),
        Err(mysql_async::Error::Server(error)) if error.code == 1205 => {
            Err(Error::remote("mysql.run_busy", format!("another process is writing the run '{}'", owner.id))
                .detail(error.message)
                .hint("wait for it: when it has ended, this one has nothing to do"))
        }
        Err(error) => Err(query_error("mark a run", error)),
    }
}

/// How many rows the run wrote, as the last statement of its transaction.
pub(super) async fn count(conn: &mut Conn, config: &Config, owner: &Owner, rows: u64) -> Result<()> {
    let table = format!("{}.{TABLE}", ident(&config.database));
    let update = format!("UPDATE {table} SET written_rows = ? WHERE run = ? AND target = ?");
    let done = conn.exec_drop(update, (rows, &owner.id, &config.table)).await;
    done.map_err(|error| query_error("mark a run", error))
}
