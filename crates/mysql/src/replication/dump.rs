//! Asking for the log: where it starts, the request for it, and what the server's refusals mean.

use headwater_change::{Error, Place, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Sid};

use super::{Log, Stop};
use crate::check::Server;
use crate::client::{self, Flavor, query_error};
use crate::position::{Gtids, LogPlace, parse_uuid};

impl Log<'_> {
    /// A place without GTIDs means something on the server that it is of only.
    pub(super) async fn same_server(&mut self, conn: &mut Conn) -> Result<()> {
        if self.server.flavor != Flavor::MySql || !matches!(self.place.gtids, None | Some(Gtids::Server(_))) {
            return Ok(());
        }
        let text = client::variable(conn, "server_uuid").await?;
        match (&self.place.gtids, parse_uuid(&text)) {
            (Some(Gtids::Server(known)), Some(uuid)) if *known != uuid => Err(Error::fenced(
                "mysql.other_server",
                "the saved place is of another server, and without GTIDs it means nothing on this one",
            )
            .detail(format!("this server's uuid is {text}"))
            .hint("connect to that server; or start anew with a snapshot, with gtid_mode=ON, which survives a failover")
            .at(Place::Position(self.place.to_string()))),
            (_, uuid) => {
                self.place.gtids = uuid.map(Gtids::Server);
                Ok(())
            }
        }
    }

    pub(super) async fn dump(&mut self, mut conn: Conn) -> mysql_async::Result<BinlogStream> {
        let nanos = self.config.heartbeat.as_nanos();
        conn.query_drop(format!("SET @master_heartbeat_period={nanos}, @source_heartbeat_period={nanos}")).await?;
        let request = BinlogStreamRequest::new(self.config.server_id);
        // Until the server says in which file it begins, no place is reached.
        self.file.clear();
        self.offset = 0;
        let request = match &self.place.gtids {
            Some(Gtids::MySql(set)) => {
                let mut sids = Vec::with_capacity(set.0.len());
                for (server, intervals) in &set.0 {
                    let one = crate::position::GtidSet([(server.clone(), intervals.clone())].into());
                    let sid: Sid<'static> =
                        one.to_string().parse().map_err(|error| mysql_async::Error::Other(Box::new(error)))?;
                    sids.push(sid);
                }
                request.with_gtid().with_gtid_set(sids)
            }
            Some(Gtids::MariaDb(_)) => {
                let state = self.place.gtids.as_ref().map(ToString::to_string).unwrap_or_default();
                conn.query_drop(format!(
                    "SET @mariadb_slave_capability=4, @slave_connect_state='{state}', @slave_gtid_strict_mode=0, \
                     @slave_gtid_ignore_duplicates=0"
                ))
                .await?;
                request
            }
            None | Some(Gtids::Server(_)) => {
                if self.server.flavor == Flavor::MariaDb {
                    conn.query_drop("SET @mariadb_slave_capability=4").await?;
                }
                self.file.clone_from(&self.place.file);
                self.offset = self.place.offset;
                request.with_filename(self.place.file.as_bytes()).with_pos(self.place.offset)
            }
        };
        conn.get_binlog_stream(request).await
    }

    /// Tells a broken connection from a server that will not go on.
    pub(super) fn broken(&self, error: mysql_async::Error) -> Result<Stop> {
        if let mysql_async::Error::Server(server) = &error {
            let text = server.message.to_ascii_lowercase();
            let gone = [
                "purged",
                "could not find first log",
                "could not find gtid state",
                "not in the master's binlog",
                "more gtids than",
                "gone back",
                "not exist in the binlog",
            ];
            if gone.iter().any(|part| text.contains(part)) {
                return Err(Error::fenced("mysql.binlog_purged", "the server does not have this place of its log any more")
                    .detail(server.message.clone())
                    .hint("start anew with a snapshot: delete the state of this source; keep logs longer with SET GLOBAL binlog_expire_logs_seconds=…")
                    .at(Place::Position(self.place.to_string())));
            }
            if matches!(server.code, 1044 | 1045 | 1227) {
                return Err(Error::usage(
                    "mysql.privilege",
                    format!("the user '{}' may not read the log", self.config.access.user),
                )
                .detail(server.message.clone())
                .hint(format!("GRANT REPLICATION SLAVE ON *.* TO '{}'@'%';", self.config.access.user)));
            }
        }
        let detail = error.to_string();
        Ok(Stop::Broken(
            Error::remote("mysql.disconnected", "the connection to the server broke").detail(detail).caused_by(error),
        ))
    }
}

/// Where to start reading without a position.
pub(crate) async fn startup_place(
    conn: &mut Conn,
    server: Server,
    startup: &crate::config::Startup,
) -> Result<LogPlace> {
    use crate::config::Startup;
    use crate::snapshot::{current_place, mariadb_gtids};
    match startup {
        Startup::Initial | Startup::Snapshot | Startup::Latest => current_place(conn, server).await,
        Startup::Gtids(gtids) => {
            let mut place = current_place(conn, server).await?;
            place.gtids = Some(gtids.clone());
            Ok(place)
        }
        Startup::File(place) => {
            let mut place = place.clone();
            if server.flavor == Flavor::MariaDb {
                place.gtids = Some(mariadb_gtids(conn, &place.file, place.offset).await?);
            }
            Ok(place)
        }
        Startup::Earliest => {
            let logs =
                client::rows(conn, "SHOW BINARY LOGS").await.map_err(|error| query_error("list its logs", error))?;
            let file = logs.into_iter().next().and_then(|row| row.into_iter().next().flatten()).unwrap_or_default();
            let gtids = match server.flavor {
                Flavor::MariaDb => Some(mariadb_gtids(conn, &file, 4).await?),
                Flavor::MySql if server.gtids => {
                    crate::position::parse_gtids(&client::variable(conn, "gtid_purged").await?)
                }
                Flavor::MySql => None,
            };
            Ok(LogPlace { file, offset: 4, gtids })
        }
    }
}
