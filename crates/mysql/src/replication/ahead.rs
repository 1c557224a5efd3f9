//! Going ahead in the log, to see which definitions change between the place that is read and the catalog's.

use std::collections::HashMap;

use futures::StreamExt;
use headwater_change::{Error, Result};

use super::Log;
use super::catalog::Catalog;
use super::event::{EXECUTE_LOAD, HEARTBEAT, HEARTBEAT_V2, QUERY, ROTATE, without_checksum};
use crate::check;
use crate::client;
use crate::position::LogPlace;
use crate::statement::Effect;

/// What was seen ahead.
pub(super) struct Ahead {
    /// From where.
    pub(super) from: LogPlace,
    /// Statements that change tables, the first of each.
    changed: HashMap<(String, String), String>,
    /// The first statement that may change any of them.
    any: Option<String>,
}

impl Ahead {
    /// The statement that changes a table between here and the catalog's place.
    pub(super) fn change_of(&self, key: &(String, String)) -> Option<String> {
        self.changed.get(key).or(self.any.as_ref()).cloned()
    }
}

impl Log<'_> {
    /// Reads the catalog anew and the log up to its place. Tables that no statement changes until there are what the
    /// catalog says already here.
    pub(super) async fn look_ahead(&mut self) -> Result<()> {
        let mut conn = client::connect(&self.config.access, &[]).await?;
        self.read_catalog(&mut conn).await?;
        let mut ahead = Ahead { from: self.place.clone(), changed: HashMap::new(), any: None };
        let mut stream = match self.dump(conn).await {
            Ok(stream) => stream,
            Err(error) => return Err(self.refused(error)),
        };
        let patience = self.config.heartbeat * 3 + self.config.access.connect_timeout;
        while !self.catalog.is_reached(&self.file, self.offset) {
            if self.queue.is_closed() {
                return Ok(());
            }
            let event = match tokio::time::timeout(patience, stream.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return Err(self.refused(error)),
                Ok(None) => return Err(Error::remote("mysql.disconnected", "the server ended the log")),
                Err(_) => return Err(Error::remote("mysql.silent", "the server's log fell silent")),
            };
            let header = event.header();
            match header.event_type_raw() {
                ROTATE => self.rotate(without_checksum(&event), header.log_pos() == 0)?,
                _ if header.log_pos() > 0 => self.offset = header.log_pos().into(),
                _ => {}
            }
            let kind = header.event_type_raw();
            if matches!(kind, HEARTBEAT | HEARTBEAT_V2) {
                continue;
            }
            if matches!(kind, QUERY | EXECUTE_LOAD) {
                let (statement, effect) = self.effect(event.data(), kind == EXECUTE_LOAD)?;
                let key = match effect {
                    Effect::Alters(name, _) | Effect::Creates { name, if_absent: false } => self.habits.key_of(&name),
                    Effect::Stops(_) => {
                        ahead.any.get_or_insert(statement.sql);
                        continue;
                    }
                    _ => continue,
                };
                ahead.changed.entry(key).or_insert(statement.sql);
            }
        }
        for (key, known) in &self.catalog.tables {
            if ahead.change_of(key).is_none() {
                self.known.insert(key.clone(), known.clone());
            }
        }
        self.ahead = Some(ahead);
        Ok(())
    }

    /// What the server says of its tables now.
    pub(super) async fn read_catalog(&mut self, conn: &mut mysql_async::Conn) -> Result<()> {
        self.habits = super::catalog::Habits::read(conn, self.server).await?;
        let tables = match check::tables(conn, self.config).await {
            Ok(tables) => tables,
            // All of them may be gone by now; the log tells.
            Err(error) if error.code() == "mysql.table_missing" => Vec::new(),
            Err(error) => return Err(error),
        };
        self.catalog = Catalog::read(conn, &tables).await?;
        let habits = self.habits;
        let by_key = std::mem::take(&mut self.catalog.tables);
        self.catalog.tables = by_key.into_iter().map(|((d, t), known)| (habits.key(&d, &t), known)).collect();
        Ok(())
    }

    fn refused(&self, error: mysql_async::Error) -> Error {
        match self.broken(error) {
            Ok(super::Stop::Broken(error)) | Err(error) => error,
            Ok(_) => Error::remote("mysql.disconnected", "the connection to the server broke"),
        }
    }
}
