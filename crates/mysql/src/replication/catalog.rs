//! What the server says of the wanted tables now, and at which place of the log that holds.
//!
//! The law: while it is asked, a lock on each table's definition is held, so no change of it stands between the log and the
//! answer: what is said holds at the place exactly. MySQL's catalog is tables of its own, which are read as of one moment by
//! whoever reads repeatably: that moment may lie before a change that the lock waited for, so each answer has its own.

use std::collections::HashMap;

use headwater_change::Result;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::check::{self, Server};
use crate::client::{self, query_error};
use crate::ident::ident;
use crate::position::LogPlace;
use crate::schema::Column;
use crate::snapshot::current_place;
use crate::statement::{Declared, Name, is_generated};

/// What is known of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Its columns in their order; `None` since a statement changed them.
    pub(super) columns: Option<Vec<Column>>,
    /// By their names in lower case.
    pub(super) declared: HashMap<String, Declared>,
    /// Names, in lower case, of the columns whose values come from others.
    pub(super) generated: Vec<String>,
    /// The default character set.
    pub(super) charset: Option<String>,
}

/// What the server knows of tables.
#[derive(Default)]
pub(super) struct Catalog {
    pub(super) tables: HashMap<(String, String), Known>,
    /// Where in the log it holds.
    pub(super) place: Option<LogPlace>,
}

/// How long a statement that changes a table may keep others from asking for it.
const LOCK_WAIT: &str = "SET SESSION lock_wait_timeout=20";

/// Of the next transaction.
const FRESH: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

impl Catalog {
    pub(super) async fn read(conn: &mut Conn, tables: &[(String, String)]) -> Result<Self> {
        for sql in [LOCK_WAIT, FRESH, "START TRANSACTION"] {
            conn.query_drop(sql).await.map_err(|error| query_error("begin to describe its tables", error))?;
        }
        let mut catalog = Self::default();
        for (database, table) in tables {
            let sql = format!("SELECT 1 FROM {}.{} LIMIT 0", ident(database), ident(table));
            match conn.query_drop(sql).await {
                Ok(()) => {
                    let known = describe(conn, database, table).await?;
                    catalog.tables.insert((database.clone(), table.clone()), known);
                }
                // It is gone, or may not be read: nothing is known of it.
                Err(mysql_async::Error::Server(error)) if matches!(error.code, 1044 | 1049 | 1142 | 1146) => {}
                Err(error) => return Err(query_error("describe a table", error)),
            }
        }
        // File and offset are enough: they are compared with those of the same server.
        let by_file = Server { flavor: client::Flavor::MySql, gtids: false };
        catalog.place = Some(current_place(conn, by_file).await?);
        conn.query_drop("COMMIT").await.map_err(|error| query_error("end describing its tables", error))?;
        Ok(catalog)
    }

    /// Whether the place in the server's files is behind the one of the catalog.
    pub(super) fn is_before(&self, file: &str, offset: u64) -> bool {
        self.place.as_ref().is_some_and(|place| {
            let known = (file_number(&place.file), place.offset);
            known < (file_number(file), offset)
        })
    }

    /// Whether the place is the catalog's, or behind it.
    pub(super) fn is_reached(&self, file: &str, offset: u64) -> bool {
        self.place.as_ref().is_some_and(|place| (file_number(&place.file), place.offset) <= (file_number(file), offset))
    }
}

/// Files of a log have growing numbers.
fn file_number(file: &str) -> u64 {
    file.rsplit_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

async fn describe(conn: &mut Conn, database: &str, table: &str) -> Result<Known> {
    let columns = check::columns(conn, database, table).await?;
    type Row = (String, String, Option<String>, String, String);
    let rows: Vec<Row> = conn
        .exec(
            "SELECT COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, IS_NULLABLE, EXTRA FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
            (database, table),
        )
        .await
        .map_err(|error| query_error("describe a table", error))?;
    let mut known = Known { columns: Some(columns), ..Known::default() };
    for (name, column_type, charset, nullable, extra) in rows {
        let (name, extra) = (name.to_lowercase(), extra.to_ascii_lowercase());
        if is_generated(&extra) {
            known.generated.push(name.clone());
        }
        if let Some(declared) = Declared::from_catalog(&column_type, charset.as_deref(), nullable == "YES", &extra) {
            known.declared.insert(name, declared);
        }
    }
    let collation: Option<Option<String>> = conn
        .exec_first(
            "SELECT TABLE_COLLATION FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
            (database, table),
        )
        .await
        .map_err(|error| query_error("describe a table", error))?;
    known.charset = collation.flatten().and_then(|name| name.split('_').next().map(str::to_owned));
    Ok(known)
}

/// How the server compares names, and what its log leaves out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habits {
    pub(super) lower_case: bool,
    pub(super) cascades_are_logged: bool,
}

impl Habits {
    pub(super) async fn read(conn: &mut Conn, server: Server) -> Result<Self> {
        let names = client::variable(conn, "lower_case_table_names").await?;
        let native = client::variable(conn, "innodb_native_foreign_keys").await?;
        Ok(Self {
            lower_case: names != "0",
            // Since 9.6 the server itself follows foreign keys, unless the engine is told to.
            cascades_are_logged: server.flavor == client::Flavor::MySql && native == "0",
        })
    }

    /// The name under which a table is known here.
    pub(super) fn key(self, database: &str, table: &str) -> (String, String) {
        match self.lower_case {
            true => (database.to_lowercase(), table.to_lowercase()),
            false => (database.to_owned(), table.to_owned()),
        }
    }

    pub(super) fn key_of(self, name: &Name) -> (String, String) {
        self.key(&name.database, &name.table)
    }
}
