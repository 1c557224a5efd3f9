//! The sink: one connection, one transaction, by statements or by one LOAD.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_change::{
    ChangeBatch, ChangelogMode, Delivery, Epoch, Error, ErrorKind, Owner, Place, Receipt, Result, Sink,
    SinkDescription, TableRequest, Writer,
};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::load::{self, Load, Loaded, Session};
use super::statement::{Insert, Unwritable};
use super::{check, create, marker};
use crate::check::account;
use crate::client::{self, Flavor, query_error, rows};
use crate::ident::ident;
use crate::jdbc::Config;

/// Values that do not fit are errors, and no date is made up.
const STRICT: &str =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO'";

/// Builds the sink of one table request. Options are those of [`crate::jdbc::OPTIONS`]; nothing is connected yet. With a
/// primary key rows replace those of the same key.
///
/// # Errors
/// `option.*` for wrong options.
pub fn sink(request: TableRequest) -> Result<Box<dyn Sink>> {
    let config = Config::new(&request.options)?;
    Ok(Box::new(Table { config, request }))
}

struct Table {
    config: Config,
    request: TableRequest,
}

impl Sink for Table {
    fn describe(&self) -> SinkDescription {
        SinkDescription { accepts: ChangelogMode::Append, delivery: Delivery::OneEpoch, each_change: false }
    }

    /// What a durable owner has written is remembered, and not written again.
    fn open(&self, owner: &Owner, _committed: Epoch) -> Result<Box<dyn Writer>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::remote("mysql.thread", "no runtime can be started").caused_by(error))?;
        let (config, request) = (&self.config, &self.request);
        let owner = owner.durable.then(|| owner.clone());
        if let (true, Some(_)) = (config.create, &owner) {
            return Err(Error::usage("batch.run", "a run with a name does not make tables")
                .hint("create the table before and INSERT INTO it, or leave --run out"));
        }
        let Begun { conn, insert, done, staged } = runtime.block_on(begin(config, request, owner.as_ref()))?;
        Ok(Box::new(TableWriter {
            session: Some(Session { runtime, conn }),
            load: None,
            owner,
            done,
            config: config.clone(),
            schema: Arc::clone(&request.schema),
            insert,
            staged,
            sent: 0,
        }))
    }
}

/// A transaction that was begun.
struct Begun {
    conn: Conn,
    insert: Insert,
    /// There is nothing to do.
    done: bool,
    /// The name that a new table has until it shows itself.
    staged: Option<String>,
}

/// Connects, checks the table or makes it, and begins the transaction.
async fn begin(config: &Config, request: &TableRequest, owner: Option<&Owner>) -> Result<Begun> {
    let mut conn = client::connect(&config.access, &[STRICT]).await?;
    if config.create {
        let name = create::stage(&mut conn, config, &request.schema).await?;
        conn.query_drop("START TRANSACTION").await.map_err(|error| query_error("begin a transaction", error))?;
        let table = (config.database.as_str(), name.as_str());
        let digits = vec![None; request.schema.fields().len()];
        let insert = match load::is_allowed(&mut conn).await {
            true => Insert::lines(table, &request.schema, digits),
            false => Insert::new(table, &request.schema, &[], digits, false),
        };
        return Ok(Begun { conn, insert, done: false, staged: Some(name) });
    }
    let target = check::target(&mut conn, config, request).await?;
    let mut done = match owner {
        Some(owner) => marker::is_there(&mut conn, config, owner).await?,
        None => false,
    };
    conn.query_drop("START TRANSACTION").await.map_err(|error| query_error("begin a transaction", error))?;
    if let (false, Some(owner)) = (done, owner) {
        done = !marker::set(&mut conn, config, owner).await?;
    }
    if config.overwrite && !done {
        // Not TRUNCATE, which commits: until the end readers see what was there.
        let mut delete = format!("DELETE FROM {}.{}", ident(&config.database), ident(&config.table));
        for (word, condition) in std::iter::once("WHERE").chain(std::iter::repeat("AND")).zip(&target.replaced) {
            delete.push_str(&format!(" {word} ({condition})"));
        }
        if let Err(error) = conn.query_drop(delete).await {
            return Err(refused(&mut conn, config, 0, error).await);
        }
    }
    let (schema, key) = (&request.schema, &request.primary_key);
    let table = (config.database.as_str(), config.table.as_str());
    // A LOAD would replace whole rows, also columns that are not written.
    let loads =
        key.is_empty() && load::is_allowed(&mut conn).await && !check::lacks_value(&mut conn, config, schema).await?;
    let insert = if loads {
        Insert::lines(table, schema, target.digits)
    } else {
        let mysql = client::flavor(&mut conn).await? == Flavor::MySql;
        let alias = mysql && client::version(&mut conn).await?.0 >= (8, 0, 19);
        Insert::new(table, schema, key, target.digits, alias)
    };
    Ok(Begun { conn, insert, done, staged: None })
}

struct TableWriter {
    /// Until it is committed, and while no LOAD has it.
    session: Option<Session>,
    load: Option<Load>,
    /// Whose run is remembered.
    owner: Option<Owner>,
    /// The run was written before.
    done: bool,
    config: Config,
    schema: SchemaRef,
    insert: Insert,
    /// The name that a new table has until it shows itself.
    staged: Option<String>,
    /// Rows that the server has taken.
    sent: u64,
}

impl TableWriter {
    fn send(&mut self) -> Result<()> {
        let rows_of_it = self.insert.rows() as u64;
        if rows_of_it == 0 {
            return Ok(());
        }
        let text = self.insert.take();
        match self.insert.load().map(str::to_owned) {
            Some(sql) => self.send_lines(sql, text)?,
            None => self.send_statement(text)?,
        }
        self.sent += rows_of_it;
        Ok(())
    }

    fn send_statement(&mut self, sql: String) -> Result<()> {
        let Some(Session { runtime, conn }) = &mut self.session else { return Ok(()) };
        let (config, before) = (&self.config, self.sent);
        runtime.block_on(async {
            match conn.query_drop(sql).await {
                Ok(()) => {}
                Err(error) => return Err(refused(conn, config, before, error).await),
            }
            if conn.get_warnings() > 0 {
                return Err(warned(conn, config, before).await?);
            }
            Ok(())
        })
    }

    fn send_lines(&mut self, sql: String, lines: String) -> Result<()> {
        let load = match (self.load.take(), self.session.take()) {
            (Some(load), _) => load,
            (None, Some(session)) => Load::begin(session, sql)?,
            (None, None) => return Ok(()),
        };
        let goes_on = load.send(lines);
        self.load = Some(load);
        if goes_on { Ok(()) } else { self.end_load() }
    }

    /// Waits for the end of the LOAD, and says whether all rows are there as they were.
    fn end_load(&mut self) -> Result<()> {
        let Some(load) = self.load.take() else { return Ok(()) };
        let Loaded { session, outcome } = load.end()?;
        let Session { runtime, conn } = self.session.insert(session);
        let (config, sent) = (&self.config, self.sent);
        runtime.block_on(async {
            if let Err(error) = outcome {
                return Err(refused(conn, config, 0, error).await);
            }
            if conn.get_warnings() > 0 {
                return Err(warned(conn, config, 0).await?);
            }
            let taken = conn.affected_rows();
            if taken != sent {
                return Err(Error::bug(
                    "mysql.rows",
                    format!("the server took {taken} of {sent} rows without a warning"),
                ));
            }
            Ok(())
        })
    }

    fn unwritable(&self, wrong: &Unwritable, of_batch: u64) -> Error {
        let (database, table) = (&self.config.database, &self.config.table);
        let number = of_batch + wrong.row as u64 + 1;
        Error::data("mysql.value", format!("column '{}' of {database}.{table}: {}", wrong.column, wrong.what))
            .detail("the table is as it was")
            .at(Place::Position(format!("row {number} of the result")))
    }
}

/// An INSERT that the server did not take.
async fn refused(conn: &mut Conn, config: &Config, before: u64, error: mysql_async::Error) -> Error {
    let (database, table) = (&config.database, &config.table);
    let mysql_async::Error::Server(server) = &error else { return query_error("take rows", error) };
    if matches!(server.code, 1142 | 1143 | 1044) {
        let Ok(user) = account(conn, &config.access).await else { return query_error("take rows", error) };
        return Error::usage("mysql.privilege", format!("the user {user} may not write {database}.{table}"))
            .detail(server.message.clone())
            .hint(format!(
                "GRANT SELECT, INSERT, UPDATE{} ON {}.{} TO {user};",
                if config.overwrite { ", DELETE" } else { "" },
                ident(database),
                ident(table)
            ));
    }
    // Locks, a server that goes down, a full disk: not the rows' fault.
    if matches!(server.code, 1053 | 1114 | 1205 | 1213 | 1290 | 1836 | 3100) || server.state.starts_with("08") {
        return query_error("take rows", error);
    }
    let hint = match server.code {
        1062 => {
            "INSERT OVERWRITE replaces all rows; with a PRIMARY KEY declared in CREATE TABLE rows replace those of the same key"
        }
        1364 => "give the column a value, or a DEFAULT in the table",
        _ => "CAST, cut or exclude such values in the query",
    };
    Error::new(ErrorKind::Data, "mysql.row_refused", format!("{database}.{table} does not take a row"))
        .detail(format!("{}; the table is as it was", server.message))
        .hint(hint)
        .at(Place::Position(format!("behind row {before} of the result")))
}

/// What the server changed, left out or refused, and only warned of.
async fn warned(conn: &mut Conn, config: &Config, before: u64) -> Result<Error> {
    let found = rows(conn, "SHOW WARNINGS LIMIT 1").await.map_err(|error| query_error("show a warning", error))?;
    let mut cells = found.into_iter().next().unwrap_or_default().into_iter().skip(1);
    let code: u16 = cells.next().flatten().and_then(|code| code.parse().ok()).unwrap_or_default();
    let text = cells.next().flatten().unwrap_or_default();
    // Of a LOAD also what would be errors of a statement.
    if matches!(code, 1062 | 1048 | 1364) {
        let server = mysql_async::ServerError { code, message: text, state: "HY000".to_owned() };
        return Ok(refused(conn, config, before, mysql_async::Error::Server(server)).await);
    }
    let (database, table) = (&config.database, &config.table);
    Ok(Error::new(ErrorKind::Data, "mysql.row_refused", format!("{database}.{table} would change a value"))
        .detail(format!("{text}; the table is as it was"))
        .hint("CAST, cut or exclude such values in the query")
        .at(Place::Position(format!("behind row {before} of the result"))))
}

impl Writer for TableWriter {
    fn recover(&mut self) -> Result<Option<Epoch>> {
        Ok(self.done.then_some(Epoch(1)))
    }

    fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        let rows = batch.rows();
        if rows.num_columns() != self.schema.fields().len() {
            return Err(Error::bug("mysql.columns", "rows with other columns than the table was opened for"));
        }
        let first = self.sent + self.insert.rows() as u64;
        let mut next = 0;
        while next < rows.num_rows() {
            next = self.insert.fill(rows, next).map_err(|wrong| self.unwritable(&wrong, first))?;
            if self.insert.is_full() {
                self.send()?;
            }
        }
        Ok(())
    }

    fn seal(&mut self, epoch: Epoch) -> Result<Receipt> {
        self.send()?;
        self.end_load()?;
        if let (Some(owner), Some(Session { runtime, conn })) = (&self.owner, &mut self.session) {
            runtime.block_on(marker::count(conn, &self.config, owner, self.sent))?;
        }
        Ok(Receipt { epoch, token: Vec::new() })
    }

    fn publish(&mut self, _receipt: &Receipt) -> Result<()> {
        let Some(Session { runtime, mut conn }) = self.session.take() else { return Ok(()) };
        let (database, table) = (&self.config.database, &self.config.table);
        runtime.block_on(async {
            conn.query_drop("COMMIT").await.map_err(|error| {
                let hint = match &self.owner {
                    Some(_) => "run it again: what was committed is not written twice".to_owned(),
                    None => format!("look whether the rows are in {database}.{table} before you run the job again"),
                };
                query_error("say that it committed", error).hint(hint)
            })?;
            if let Some(staged) = &self.staged
                && let Err(error) = create::show(&mut conn, &self.config, staged).await
            {
                create::forget(&mut conn, &self.config, staged).await;
                return Err(error);
            }
            let _ = conn.disconnect().await;
            Ok(())
        })
    }
}

impl Drop for TableWriter {
    /// A new table that does not get its rows is taken away again.
    fn drop(&mut self) {
        let loaded = self.load.take().and_then(|load| load.end().ok()).map(|loaded| loaded.session);
        let session = loaded.or_else(|| self.session.take());
        if let (Some(Session { runtime, mut conn }), Some(staged)) = (session, self.staged.take()) {
            runtime.block_on(create::forget(&mut conn, &self.config, &staged));
        }
    }
}
