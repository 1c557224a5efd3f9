//! The log in its smallest form: was something inserted into a table? It wakes whoever would otherwise have to poll.
//!
//! Rows are not decoded, and nothing is remembered: who begins to watch looks at the table once for what was there
//! before, and a slow look now and then finds what a broken connection hid.

use std::collections::HashSet;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use headwater_change::{Error, Result};
use mysql_async::binlog::events::Event;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest};
use tokio::time::Instant;

use crate::access::Access;
use crate::check::{self, Server};
use crate::client::{self, Flavor};
use crate::config;
use crate::rows::event::{Change, change_of};
use crate::rows::table_map::TableMap;
use crate::snapshot;

const TABLE_MAP: u8 = 19;
/// MariaDB's compressed WRITE_ROWS events.
const COMPRESSED_WRITES: [u8; 2] = [166, 169];

/// A quiet server says so often that it is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Listens to the server's log from now on.
pub struct Watch {
    stream: BinlogStream,
    database: String,
    table: String,
    /// Numbers that stand for the table in row events.
    ids: HashSet<u64>,
    heartbeat: Duration,
    /// When the server last said anything: silence counts through calls of `next` that are dropped.
    heard: Instant,
}

impl Watch {
    /// Starts behind what is committed now.
    ///
    /// # Errors
    /// `mysql.privilege` with the GRANT, `mysql.log_bin`, `mysql.binlog_format`; errors of connecting.
    pub async fn start(access: &Access, database: &str, table: &str) -> Result<Self> {
        Self::with_heartbeat(access, database, table, HEARTBEAT).await
    }

    /// The same with another time after which a quiet server says that it is there; three of them without a word are
    /// `mysql.silent`.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub async fn with_heartbeat(access: &Access, database: &str, table: &str, heartbeat: Duration) -> Result<Self> {
        let mut conn = client::connect(access, &[]).await?;
        let flavor = client::flavor(&mut conn).await?;
        check::log_of_rows(&mut conn).await?;
        check::log_privileges(&mut conn, access, flavor).await?;
        let place = snapshot::current_place(&mut conn, Server { flavor, gtids: false }).await?;
        let nanos = heartbeat.as_nanos();
        let mut setup = format!("SET @master_heartbeat_period={nanos}, @source_heartbeat_period={nanos}");
        if flavor == Flavor::MariaDb {
            setup.push_str(", @mariadb_slave_capability=4");
        }
        conn.query_drop(setup).await.map_err(broken)?;
        let request = BinlogStreamRequest::new(config::server_id(None)?);
        let request = request.with_filename(place.file.as_bytes()).with_pos(place.offset);
        let stream = conn.get_binlog_stream(request).await.map_err(broken)?;
        let (database, table) = (database.to_owned(), table.to_owned());
        Ok(Self { stream, database, table, ids: HashSet::new(), heartbeat, heard: Instant::now() })
    }

    /// Waits until rows were inserted into the table; several transactions that are there at once are one answer. Their
    /// rows can be seen a moment later on MySQL, whose log is sent before the commit is visible. Nothing is lost when the
    /// future is dropped.
    ///
    /// # Errors
    /// `mysql.disconnected`, `mysql.silent`: watch anew.
    pub async fn next(&mut self) -> Result<()> {
        loop {
            let patience = self.heard + self.heartbeat * 3;
            let event = match tokio::time::timeout_at(patience, self.stream.next()).await {
                Ok(event) => event,
                Err(_) => return Err(Error::remote("mysql.silent", "the server's log fell silent")),
            };
            self.heard = Instant::now();
            if self.inserted(event)? {
                // What came together is one answer.
                while let Some(event) = self.stream.next().now_or_never() {
                    self.inserted(event)?;
                }
                return Ok(());
            }
        }
    }

    fn inserted(&mut self, event: Option<std::result::Result<Event, mysql_async::Error>>) -> Result<bool> {
        let event = match event {
            Some(Ok(event)) => event,
            Some(Err(error)) => return Err(broken(error)),
            None => return Err(Error::remote("mysql.disconnected", "the server ended the log")),
        };
        let kind = event.header().event_type_raw();
        if kind == TABLE_MAP {
            if let Ok((id, database, table)) = TableMap::name(event.data()) {
                // How names are stored depends on lower_case_table_names.
                let same = |name: &str, found: &[u8]| name.as_bytes().eq_ignore_ascii_case(found);
                if same(&self.database, database) && same(&self.table, table) {
                    self.ids.insert(id);
                } else {
                    self.ids.remove(&id);
                }
            }
            return Ok(false);
        }
        let writes = matches!(change_of(kind), Some((Change::Write, _))) || COMPRESSED_WRITES.contains(&kind);
        let id = event.data().get(..6).map(crate::bytes::little);
        Ok(writes && id.is_some_and(|id| self.ids.contains(&id)))
    }
}

fn broken(error: mysql_async::Error) -> Error {
    let detail = error.to_string();
    Error::remote("mysql.disconnected", "the connection to the server broke").detail(detail).caused_by(error)
}
