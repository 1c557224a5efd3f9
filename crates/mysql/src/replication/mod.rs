//! The log: a dump connection, its events, the ends of transactions, and what to do when the connection breaks.
//!
//! ```text
//!  session (connect, wait, flush) ─► dump (request, why it broke)
//!      └─► event (which event is it) ─► transaction (begin, end)
//!                                    ├► statement (what passes, what stops the reader)
//!                                    └► definition (TABLE_MAP, plans) ─► catalog, ahead (what holds at a place)
//! ```
//!
//! The law: every transaction behind the start is delivered once. After an interruption reading goes on behind the last
//! transaction that ended; of one that was partly handed over the rows already handed over are stepped over.

mod ahead;
mod catalog;
mod definition;
mod dump;
mod event;
mod statement;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use futures::{FutureExt, StreamExt};
use headwater_change::{Error, ErrorKind, Place, Result};
use mysql_async::BinlogStream;
use mysql_async::binlog::events::Event;

use self::ahead::Ahead;
use self::catalog::{Catalog, Habits, Known};
use self::definition::Mapped;
pub(crate) use self::dump::startup_place;
use self::transaction::{Cancelled, Transaction};
use crate::batcher::Batcher;
use crate::check::Server;
use crate::client;
use crate::config::Config;
use crate::position::LogPlace;
use crate::queue::Queue;
use crate::rows::build::Policy;
use crate::rows::event::Plan;
use crate::schema::Wire;

/// How a session with the server ended without an error of ours.
enum Stop {
    /// Nobody reads any more.
    Closed,
    /// The connection broke, for this reason.
    Broken(Error),
    /// The open transaction is to be read again, with what is known by then.
    Again,
}

enum Waited {
    Event(Option<std::result::Result<Event, mysql_async::Error>>),
    Closed,
    Silent,
}

/// The log being read.
pub(crate) struct Log<'a> {
    pub(crate) config: &'a Config,
    pub(crate) schema: SchemaRef,
    pub(crate) server: Server,
    pub(crate) policy: Policy,
    pub(crate) batcher: Batcher,
    pub(crate) queue: &'a Queue,
    /// Behind the last transaction that ended.
    pub(crate) place: LogPlace,
    file: String,
    offset: u64,
    transaction: Transaction,
    /// Events of the open transaction that were handed over.
    handed_events: usize,
    maps: HashMap<u64, Option<Mapped>>,
    plans: HashMap<(String, String), (Vec<Wire>, Arc<Plan>)>,
    /// What is known of tables at this place, by their names as the server compares them.
    known: HashMap<(String, String), Known>,
    /// What the server says of them, from a place on that may be ahead.
    catalog: Catalog,
    /// The catalog is not of the server that is read.
    catalog_is_old: bool,
    habits: Habits,
    /// Why the tables cannot be read as they are now. A statement between here and there says so first, or this does.
    pub(crate) doubt: Option<Error>,
    ahead: Option<Ahead>,
    /// Statements that changed tables, until their next rows.
    ddl: HashMap<(String, String), String>,
    cancelled: Option<Cancelled>,
    /// The session is to end as [`Stop::Again`], and the log to be looked at ahead before that.
    again: bool,
    look_ahead: bool,
}

impl<'a> Log<'a> {
    pub(crate) fn new(
        config: &'a Config,
        schema: SchemaRef,
        server: Server,
        policy: Policy,
        batcher: Batcher,
        queue: &'a Queue,
        place: LogPlace,
    ) -> Self {
        let (file, offset) = (place.file.clone(), place.offset);
        Self {
            config,
            schema,
            server,
            policy,
            batcher,
            queue,
            place,
            file,
            offset,
            transaction: Transaction::default(),
            handed_events: 0,
            maps: HashMap::new(),
            plans: HashMap::new(),
            known: HashMap::new(),
            catalog: Catalog::default(),
            catalog_is_old: true,
            habits: Habits::default(),
            doubt: None,
            ahead: None,
            ddl: HashMap::new(),
            cancelled: None,
            again: false,
            look_ahead: false,
        }
    }

    /// Reads until nobody wants more, or until something fails that a new connection would not mend.
    pub(crate) async fn run(&mut self) -> Result<()> {
        let mut pause = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        loop {
            let before = self.place.clone();
            let mut stop = self.session().await;
            // What was read in full comes before anything else, errors too.
            if !self.give_up_open().await? {
                return Ok(());
            }
            if matches!(stop, Ok(Stop::Again)) && std::mem::take(&mut self.look_ahead) {
                stop = self.look_ahead().await.map(|()| Stop::Again);
            }
            let broken = match stop {
                Ok(Stop::Closed) => return Ok(()),
                Ok(Stop::Again) => continue,
                Ok(Stop::Broken(error)) => error,
                Err(error) if error.kind() == ErrorKind::Remote => error,
                Err(error) => return Err(error),
            };
            self.catalog_is_old = true;
            if self.place != before {
                pause = Duration::from_millis(100);
                waited = Duration::ZERO;
            }
            if waited > self.config.access.connect_timeout * 10 {
                return Err(broken);
            }
            self.queue.closed_within(pause).await;
            if self.queue.is_closed() {
                return Ok(());
            }
            waited += pause;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    async fn give_up_open(&mut self) -> Result<bool> {
        self.transaction = Transaction::default();
        self.maps.clear();
        match self.batcher.give_up_open()? {
            Some(message) => Ok(self.queue.push(message).await),
            None => Ok(true),
        }
    }

    async fn session(&mut self) -> Result<Stop> {
        let mut conn = client::connect(&self.config.access, &[]).await?;
        if self.catalog_is_old {
            self.read_catalog(&mut conn).await?;
            self.catalog_is_old = false;
        }
        self.same_server(&mut conn).await?;
        let mut stream = match self.dump(conn).await {
            Ok(stream) => stream,
            Err(error) => return self.broken(error),
        };
        self.doubted()?;
        let patience = self.config.heartbeat * 3 + self.config.access.connect_timeout;
        loop {
            let event = match stream.next().now_or_never() {
                Some(event) => event,
                None => match self.wait(&mut stream, patience).await? {
                    Waited::Event(event) => event,
                    Waited::Closed => return Ok(Stop::Closed),
                    Waited::Silent => {
                        return Ok(Stop::Broken(Error::remote("mysql.silent", "the server's log fell silent")));
                    }
                },
            };
            match event {
                Some(Ok(event)) => {
                    self.event(&event).await?;
                    if std::mem::take(&mut self.again) {
                        return Ok(Stop::Again);
                    }
                    if self.batcher.is_full() && !self.hand_over().await? {
                        return Ok(Stop::Closed);
                    }
                }
                Some(Err(error)) => return self.broken(error),
                None => return Ok(Stop::Broken(Error::remote("mysql.disconnected", "the server ended the log"))),
            }
        }
    }

    /// Nothing is there at once: whole transactions go to the reader as soon as it has nothing else.
    async fn wait(&mut self, stream: &mut BinlogStream, patience: Duration) -> Result<Waited> {
        loop {
            if self.queue.is_closed() {
                return Ok(Waited::Closed);
            }
            let can_flush = self.batcher.can_flush();
            if can_flush && self.queue.is_empty() {
                if !self.flush().await? {
                    return Ok(Waited::Closed);
                }
                continue;
            }
            let queue = self.queue;
            tokio::select! {
                biased;
                event = tokio::time::timeout(patience, stream.next()) => {
                    return Ok(event.map_or(Waited::Silent, Waited::Event));
                }
                () = queue.taken() => {}
            }
        }
    }

    /// A full batch goes to the reader, unless its transaction may still be taken back.
    async fn hand_over(&mut self) -> Result<bool> {
        if self.batcher.open_rows() > 0 && self.handed_events == 0 && self.transaction.may_be_cancelled() {
            self.transaction.surveyed = true;
            return Ok(true);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<bool> {
        // While events are stepped over, fewer were read than handed over.
        self.handed_events = self.handed_events.max(self.transaction.events);
        match self.batcher.flush(&self.place.to_string())? {
            Some(message) => Ok(self.queue.push(message).await),
            None => Ok(true),
        }
    }

    /// An error of this place in the log.
    fn fault(&self, kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Error {
        Error::new(kind, code, message).at(Place::Position(format!("{}:{}", self.file, self.offset)))
    }

    fn damaged(&self, what: &str) -> Error {
        self.fault(ErrorKind::Remote, "mysql.event", format!("{what} cannot be read"))
    }
}
