//! What the log does not tell, said at the start with the statement that helps: tables whose rows change without row events
//! of their own, databases that the server keeps out of its log, replicas that do not write what they receive.

use headwater_change::{Error, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::check::Server;
use crate::client::{self, Flavor, query_error, row, rows, variable};
use crate::ident::ident;
use crate::notice;

/// Checks the server's settings.
pub(crate) async fn settings(conn: &mut Conn, tables: &[(String, String)]) -> Result<()> {
    metadata(conn).await?;
    replica(conn).await?;
    filters(conn, tables).await
}

/// Checks each wanted table.
pub(crate) async fn tables(conn: &mut Conn, server: Server, tables: &[(String, String)]) -> Result<()> {
    let cascades_are_logged =
        server.flavor == Flavor::MySql && variable(conn, "innodb_native_foreign_keys").await? == "0";
    for (database, table) in tables {
        engine(conn, database, table).await?;
        let definition = definition(conn, database, table).await?;
        if !cascades_are_logged {
            cascades(database, table, &definition)?;
        }
    }
    Ok(())
}

/// Without names in the log a definition is known only as it is now.
async fn metadata(conn: &mut Conn) -> Result<()> {
    let metadata = variable(conn, "binlog_row_metadata").await?;
    if !metadata.eq_ignore_ascii_case("FULL") {
        let found = if metadata.is_empty() { "not there" } else { metadata.as_str() };
        notice::warn(format!(
            "binlog_row_metadata is {found}: the log does not name the columns of its rows, and a table that is altered may \
             stop the run; SET GLOBAL binlog_row_metadata='FULL'; lets the log describe its tables"
        ));
    }
    Ok(())
}

/// A replica without `log_replica_updates` logs only what is written on itself.
async fn replica(conn: &mut Conn) -> Result<()> {
    let mut logs = variable(conn, "log_replica_updates").await?;
    if logs.is_empty() {
        logs = variable(conn, "log_slave_updates").await?;
    }
    if logs != "0" {
        return Ok(());
    }
    let status = match rows(conn, "SHOW REPLICA STATUS").await {
        Err(mysql_async::Error::Server(_)) => rows(conn, "SHOW SLAVE STATUS").await,
        other => other,
    };
    // An account that may not see it is not stopped for it.
    if status.is_ok_and(|rows| !rows.is_empty()) {
        return Err(Error::usage(
            "mysql.log_replica_updates",
            "the server is a replica and does not write into its own log what it receives",
        )
        .hint("start it with 'log_replica_updates=ON' (MariaDB: 'log_slave_updates=ON') in my.cnf, or read from its source"));
    }
    Ok(())
}

/// `binlog_do_db` and `binlog_ignore_db` keep databases out of the log.
async fn filters(conn: &mut Conn, tables: &[(String, String)]) -> Result<()> {
    let status = match row(conn, "SHOW BINARY LOG STATUS").await {
        Err(mysql_async::Error::Server(_)) => row(conn, "SHOW MASTER STATUS").await,
        other => other,
    };
    let status = status.map_err(|error| query_error("tell the end of its log", error))?.unwrap_or_default();
    let list = |index: usize| -> Vec<String> {
        let text = status.get(index).cloned().flatten().unwrap_or_default();
        text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let (only, never) = (list(2), list(3));
    let same = |name: &str, database: &str| name.eq_ignore_ascii_case(database);
    for (database, _) in tables {
        let kept_out = !only.is_empty() && !only.iter().any(|name| same(name, database))
            || only.is_empty() && never.iter().any(|name| same(name, database));
        if kept_out {
            return Err(Error::usage("mysql.binlog_filter", format!("the server keeps the database '{database}' out of its log"))
                .hint(format!("take '{database}' out of 'binlog_ignore_db' (or into 'binlog_do_db') in my.cnf, and start the server anew")));
        }
    }
    Ok(())
}

/// Only engines with transactions can be read as of one place of the log; MariaDB's history turns deletes into updates.
async fn engine(conn: &mut Conn, database: &str, table: &str) -> Result<()> {
    let found: Option<(String, Option<String>, Option<String>)> = conn
        .exec_first(
            "SELECT t.TABLE_TYPE, t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES t \
             LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE WHERE t.TABLE_SCHEMA = ? AND t.TABLE_NAME = ?",
            (database, table),
        )
        .await
        .map_err(|error| query_error("describe a table", error))?;
    let Some((kind, engine, transactions)) = found else { return Ok(()) };
    let (place, quoted) = (format!("{database}.{table}"), format!("{}.{}", ident(database), ident(table)));
    if kind.eq_ignore_ascii_case("SYSTEM VERSIONED") {
        return Err(Error::usage(
            "mysql.system_versioned",
            format!("{place} keeps its history: the log has an update where a row is deleted, and the row would stay"),
        )
        .hint(format!("ALTER TABLE {quoted} DROP SYSTEM VERSIONING;")));
    }
    if transactions.is_some_and(|has| !has.eq_ignore_ascii_case("YES")) {
        let engine = engine.unwrap_or_default();
        return Err(Error::usage(
            "mysql.engine",
            format!("{place} is of the engine {engine}, which has no transactions: it cannot be read as of one place of the log"),
        )
        .hint(format!("ALTER TABLE {quoted} ENGINE=InnoDB;")));
    }
    Ok(())
}

/// The statement that would make the table: unlike the tables of constraints, who may read a table may see it.
async fn definition(conn: &mut Conn, database: &str, table: &str) -> Result<String> {
    let sql = format!("SHOW CREATE TABLE {}.{}", ident(database), ident(table));
    let found = client::row(conn, &sql).await;
    match found {
        Ok(row) => Ok(row.and_then(|row| row.into_iter().nth(1).flatten()).unwrap_or_default()),
        // Who may read some columns only is told when they are read.
        Err(mysql_async::Error::Server(error)) if matches!(error.code, 1142 | 1143 | 1044) => Ok(String::new()),
        Err(error) => Err(query_error("describe a table", error)),
    }
}

/// InnoDB changes the rows of a cascade by itself, behind the log's back; MySQL does it above the engine from 9.6 on.
fn cascades(database: &str, table: &str, definition: &str) -> Result<()> {
    let Some(name) = definition.lines().find_map(cascade) else { return Ok(()) };
    Err(Error::usage(
        "mysql.foreign_key_cascade",
        format!("the foreign key '{name}' changes rows of {database}.{table} without the server's log being told"),
    )
    .hint(format!(
        "ALTER TABLE {}.{} DROP FOREIGN KEY {}; and add it again with ON DELETE RESTRICT ON UPDATE RESTRICT; \
         MySQL 9.6 and later log these changes",
        ident(database),
        ident(table),
        ident(&name)
    )))
}

/// The name of a foreign key that changes rows, out of a line of `SHOW CREATE TABLE`.
fn cascade(line: &str) -> Option<String> {
    let (before, rest) = line.trim_start().strip_prefix("CONSTRAINT `")?.split_once("` FOREIGN KEY (")?;
    let (_, rules) = rest.rsplit_once(')')?;
    let changes = ["CASCADE", "SET NULL", "SET DEFAULT"].iter().any(|rule| rules.contains(rule));
    changes.then(|| before.replace("``", "`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_keys_that_change_rows_are_found() {
        let line = "  CONSTRAINT `a``b` FOREIGN KEY (`p`) REFERENCES `parent` (`id`)";
        assert_eq!(cascade(&format!("{line} ON DELETE CASCADE,")).as_deref(), Some("a`b"));
        assert_eq!(cascade(&format!("{line} ON UPDATE SET NULL")).as_deref(), Some("a`b"));
        assert_eq!(cascade(line), None);
        assert_eq!(cascade(&format!("{line} ON DELETE RESTRICT,")), None);
        assert_eq!(cascade("  `c` int COMMENT 'CONSTRAINT ` FOREIGN KEY () ON DELETE CASCADE',"), None);
    }
}
