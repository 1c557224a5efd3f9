//! The log: a dump connection, its events, the ends of transactions, and what to do when the connection breaks.
//!
//! The law: every transaction behind the start is delivered once. After an interruption reading goes on behind the last
//! transaction that ended; of one that was partly handed over the events already handed over are stepped over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};
use futures::{FutureExt, StreamExt};
use headwater_change::{Error, ErrorKind, Place, Result, SchemaChange, TableId};
use mysql_async::binlog::events::Event;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Sid};

use crate::batcher::Batcher;
use crate::check::{self, Server};
use crate::client::{self, Flavor, query_error};
use crate::config::Config;
use crate::position::{Gtids, LogPlace};
use crate::queue::{Message, Queue};
use crate::rows::build::Policy;
use crate::rows::event::{Change, Plan, Trouble, change_of, decode_rows_event};
use crate::rows::table_map::TableMap;
use crate::schema::{Column, Wire};
use crate::statement::{self, Meaning};

const QUERY: u8 = 2;
const ROTATE: u8 = 4;
const FORMAT: u8 = 15;
const XID: u8 = 16;
const TABLE_MAP: u8 = 19;
const INCIDENT: u8 = 26;
const HEARTBEAT: u8 = 27;
const GTID: u8 = 33;
const ANONYMOUS_GTID: u8 = 34;
const XA_PREPARE: u8 = 38;
const PARTIAL_UPDATE: u8 = 39;
const PAYLOAD: u8 = 40;
const HEARTBEAT_V2: u8 = 41;
const TAGGED_GTID: u8 = 42;
const MARIADB_GTID: u8 = 162;

/// How a session with the server ended without an error of ours.
enum Stop {
    /// Nobody reads any more.
    Closed,
    /// The connection broke, for this reason.
    Broken(Error),
}

/// A wanted table in the log.
struct Mapped {
    data: Vec<u8>,
    map: TableMap,
    plan: Arc<Plan>,
}

/// The transaction that is being read.
#[derive(Default)]
struct Transaction {
    gtid: Option<Gtid>,
    /// Whether it has a begin, so that only a commit ends it.
    begun: bool,
    /// Whether there is one at all.
    open: bool,
    /// Events with wanted rows so far.
    events: usize,
    /// A compressed payload was announced: the end must come before anything else.
    payload: bool,
    /// Where in the file the transaction ends, if its end is inside of a payload.
    payload_end: u64,
}

enum Gtid {
    MySql([u8; 16], String, u64),
    MariaDb(u32, u32, u64),
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
    /// The last statement that may have changed a definition, until the tables are looked at again.
    ddl: Option<String>,
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
            ddl: None,
        }
    }

    /// Reads until nobody wants more, or until something fails that a new connection would not mend.
    pub(crate) async fn run(&mut self) -> Result<()> {
        let mut pause = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        loop {
            let before = self.place.clone();
            let broken = match self.session().await {
                Ok(Stop::Closed) => return Ok(()),
                Ok(Stop::Broken(error)) => error,
                Err(error) if error.kind() == ErrorKind::Remote => error,
                Err(error) => {
                    // What was read in full comes before the error.
                    self.give_up_open().await?;
                    return Err(error);
                }
            };
            if !self.give_up_open().await? {
                return Ok(());
            }
            if self.place != before {
                pause = Duration::from_millis(100);
                waited = Duration::ZERO;
            }
            if waited > self.config.connect_timeout * 10 {
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
        let conn = client::connect(self.config).await?;
        let mut stream = match self.dump(conn).await {
            Ok(stream) => stream,
            Err(error) => return self.broken(error),
        };
        let patience = self.config.heartbeat * 3 + self.config.connect_timeout;
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
                    if self.batcher.is_full() && !self.flush().await? {
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

    async fn flush(&mut self) -> Result<bool> {
        // While events are stepped over, fewer were read than handed over.
        self.handed_events = self.handed_events.max(self.transaction.events);
        match self.batcher.flush(&self.place.to_string())? {
            Some(message) => Ok(self.queue.push(message).await),
            None => Ok(true),
        }
    }

    async fn dump(&mut self, mut conn: Conn) -> mysql_async::Result<BinlogStream> {
        let nanos = self.config.heartbeat.as_nanos();
        conn.query_drop(format!("SET @master_heartbeat_period={nanos}, @source_heartbeat_period={nanos}")).await?;
        let request = BinlogStreamRequest::new(self.config.server_id);
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
            None => {
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
    fn broken(&self, error: mysql_async::Error) -> Result<Stop> {
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
                    format!("the user '{}' may not read the log", self.config.user),
                )
                .detail(server.message.clone())
                .hint(format!("GRANT REPLICATION SLAVE ON *.* TO '{}'@'%';", self.config.user)));
            }
        }
        let detail = error.to_string();
        Ok(Stop::Broken(
            Error::remote("mysql.disconnected", "the connection to the server broke").detail(detail).caused_by(error),
        ))
    }

    /// An error of this place in the log.
    fn fault(&self, kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Error {
        Error::new(kind, code, message).at(Place::Position(format!("{}:{}", self.file, self.offset)))
    }

    fn damaged(&self, what: &str) -> Error {
        self.fault(ErrorKind::Remote, "mysql.event", format!("{what} cannot be read"))
    }

    async fn event(&mut self, event: &Event) -> Result<()> {
        let (header, data) = (event.header(), event.data());
        let kind = header.event_type_raw();
        if header.log_pos() > 0 && !self.transaction.payload {
            self.offset = header.log_pos().into();
        }
        let boundary = matches!(kind, GTID | ANONYMOUS_GTID | TAGGED_GTID | MARIADB_GTID);
        if self.transaction.payload && (boundary || matches!(kind, ROTATE | FORMAT | HEARTBEAT | HEARTBEAT_V2)) {
            return Err(self
                .fault(ErrorKind::Data, "mysql.transaction_payload", "a compressed transaction could not be read")
                .hint("SET GLOBAL binlog_transaction_compression=OFF;"));
        }
        if let Some((change, version)) = change_of(kind) {
            return self.rows(data, (change, version), header.timestamp());
        }
        match kind {
            TABLE_MAP => self.table_map(data).await?,
            QUERY => self.statement(data)?,
            XID => self.end(),
            XA_PREPARE => self.prepared(data)?,
            GTID | ANONYMOUS_GTID | TAGGED_GTID | MARIADB_GTID => self.begin(event)?,
            ROTATE => self.rotate(without_checksum(event), header.log_pos() == 0)?,
            FORMAT => self.maps.clear(),
            PAYLOAD => {
                self.transaction.payload = true;
                self.transaction.payload_end = self.offset;
            }
            HEARTBEAT | HEARTBEAT_V2 if !self.transaction.open => self.heartbeat().await?,
            INCIDENT => {
                return Err(self
                    .fault(ErrorKind::Fenced, "mysql.incident", "the server says that its log has a gap here")
                    .hint("start anew with a snapshot"));
            }
            PARTIAL_UPDATE => {
                return Err(self
                    .fault(ErrorKind::Data, "mysql.binlog_row_value_options", "a JSON document was logged in parts")
                    .hint("SET GLOBAL binlog_row_value_options='';"));
            }
            165..=171 => {
                return Err(self
                    .fault(ErrorKind::Data, "mysql.log_bin_compress", "a compressed event cannot be read")
                    .hint("SET GLOBAL log_bin_compress=OFF;"));
            }
            164 | 172.. => {
                return Err(self.fault(
                    ErrorKind::Data,
                    "mysql.event",
                    format!("an event of the unknown type {kind} cannot be read"),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<()> {
        let position = self.place.clone();
        if self.queue.is_empty() && !self.batcher.can_flush() {
            // The ordinal does not move: nothing happened.
            let position = self.batcher.here(&position);
            self.queue.push(Message::Moved(position)).await;
        }
        Ok(())
    }

    fn rotate(&mut self, data: &[u8], fake: bool) -> Result<()> {
        let (offset, name) = data.split_first_chunk::<8>().ok_or_else(|| self.damaged("a ROTATE event"))?;
        self.file = String::from_utf8_lossy(name).into_owned();
        self.offset = u64::from_le_bytes(*offset);
        if !fake {
            self.maps.clear();
        }
        Ok(())
    }

    fn begin(&mut self, event: &Event) -> Result<()> {
        if self.transaction.open && self.transaction.events > 0 {
            return Err(self.damaged("the end of a transaction"));
        }
        let data = event.data();
        let short = || self.damaged("a GTID event");
        let number = |from: usize| -> Option<u64> { data.get(from..from + 8).map(crate::bytes::little) };
        let mut transaction = Transaction { open: true, ..Transaction::default() };
        match event.header().event_type_raw() {
            GTID => {
                let uuid = data.get(1..17).and_then(|uuid| uuid.try_into().ok()).ok_or_else(short)?;
                transaction.gtid = Some(Gtid::MySql(uuid, String::new(), number(17).ok_or_else(short)?));
            }
            TAGGED_GTID => {
                let read: mysql_async::binlog::events::GtidEvent =
                    event.read_event().map_err(|error| short().caused_by(error))?;
                let tag = read.tag().map(ToString::to_string).unwrap_or_default();
                transaction.gtid = (read.gno() > 0).then(|| Gtid::MySql(read.sid(), tag, read.gno()));
            }
            MARIADB_GTID => {
                let sequence = number(0).ok_or_else(short)?;
                let domain = data.get(8..12).map(crate::bytes::little).and_then(|n| u32::try_from(n).ok());
                let flags = data.get(12).copied().ok_or_else(short)?;
                transaction.begun = flags & 1 == 0;
                transaction.gtid = Some(Gtid::MariaDb(domain.ok_or_else(short)?, event.header().server_id(), sequence));
            }
            _ => {}
        }
        self.transaction = transaction;
        Ok(())
    }

    fn end(&mut self) {
        let transaction = std::mem::take(&mut self.transaction);
        self.handed_events = 0;
        let offset = if transaction.payload { transaction.payload_end } else { self.offset };
        self.place.file.clone_from(&self.file);
        self.place.offset = offset;
        match (transaction.gtid, &mut self.place.gtids) {
            (Some(Gtid::MySql(uuid, tag, number)), Some(Gtids::MySql(set))) => set.add(uuid, &tag, number),
            (Some(Gtid::MariaDb(domain, server, sequence)), Some(Gtids::MariaDb(domains))) => {
                domains.insert(domain, (server, sequence));
            }
            _ => {}
        }
        self.batcher.end_transaction(&self.place);
    }

    fn prepared(&mut self, data: &[u8]) -> Result<()> {
        if self.transaction.events > 0 && data.first() == Some(&0) {
            return Err(self
                .fault(ErrorKind::Data, "mysql.xa", "an XA transaction prepared rows of a wanted table")
                .hint("XA transactions are not supported: commit them in one phase"));
        }
        self.end();
        Ok(())
    }

    fn statement(&mut self, data: &[u8]) -> Result<()> {
        let (database, sql) = statement::read(data).map_err(|_| self.damaged("a QUERY event"))?;
        match statement::meaning(&sql) {
            Meaning::Begin => {
                self.transaction.begun = true;
                self.transaction.open = true;
                return Ok(());
            }
            Meaning::End => {
                self.end();
                return Ok(());
            }
            Meaning::Inside => return Ok(()),
            meaning @ (Meaning::Rows | Meaning::Emptying) => {
                if let Some(table) = statement::names_wanted(&sql, &database, self.config) {
                    return Err(self.unlogged(meaning, &table, sql));
                }
            }
            Meaning::Other => {}
        }
        // A definition may have changed: look at every table again.
        self.ddl = Some(sql);
        self.maps.clear();
        if !self.transaction.begun {
            self.end();
        }
        Ok(())
    }

    fn unlogged(&self, meaning: Meaning, table: &str, sql: String) -> Error {
        if meaning == Meaning::Rows {
            return self
                .fault(
                    ErrorKind::Data,
                    "mysql.statement_event",
                    format!("rows of {table} were changed by a statement in the log"),
                )
                .detail(sql)
                .hint("SET GLOBAL binlog_format='ROW'; no session may set it otherwise");
        }
        self.fault(
            ErrorKind::Fenced,
            "mysql.table_emptied",
            format!("the table {table} was emptied without row events"),
        )
        .detail(sql)
        .hint("start anew with a snapshot: delete the state of this source; use DELETE instead of TRUNCATE")
    }

    async fn table_map(&mut self, data: &[u8]) -> Result<()> {
        let (id, database, table) = TableMap::name(data).map_err(|_| self.damaged("a TABLE_MAP event"))?;
        match self.maps.get(&id) {
            Some(Some(known)) if known.data == data => return Ok(()),
            Some(None) => return Ok(()),
            _ => {}
        }
        let (database, table) = (String::from_utf8_lossy(database), String::from_utf8_lossy(table));
        if !self.config.wants(&database, &table) {
            self.maps.insert(id, None);
            return Ok(());
        }
        let map = TableMap::read(data).map_err(|_| self.damaged("a TABLE_MAP event"))?;
        let plan = self.plan(&map).await?;
        self.maps.insert(id, Some(Mapped { data: data.to_vec(), map, plan }));
        Ok(())
    }

    /// How a table is read, as it is defined at this place of the log.
    async fn plan(&mut self, map: &TableMap) -> Result<Arc<Plan>> {
        let name = (map.database.clone(), map.table.clone());
        let known = self.plans.get(&name);
        if let Some((wires, plan)) = known
            && *wires == map.wires
            && match &map.columns {
                Some(columns) => *columns == plan.columns,
                None => self.ddl.is_none(),
            }
        {
            return Ok(Arc::clone(plan));
        }
        let columns = match &map.columns {
            Some(columns) => columns.clone(),
            None => {
                let mut conn = client::connect(self.config).await?;
                let columns = check::columns(&mut conn, &map.database, &map.table).await?;
                let _ = conn.disconnect().await;
                self.ddl = None;
                columns
            }
        };
        let fits = columns.len() == map.wires.len()
            && columns.iter().zip(&map.wires).all(|(column, wire)| wire.carries(&column.kind));
        if !fits {
            return Err(self
                .fault(ErrorKind::Fenced, "mysql.schema_mismatch", format!("{}.{} was defined otherwise at this place of the log than it is now", map.database, map.table))
                .hint("SET GLOBAL binlog_row_metadata='FULL'; so that the log itself describes its tables, and start anew with a snapshot"));
        }
        let plan = check::plan(&self.schema, &map.database, &map.table, columns, self.policy)
            .map_err(|error| error.at(Place::Position(format!("{}:{}", self.file, self.offset))))?;
        let plan = Arc::new(plan);
        let before = self.plans.insert(name, (map.wires.clone(), Arc::clone(&plan)));
        if let Some((_, before)) = before
            && !same_columns(&before.columns, &plan.columns)
        {
            self.schema_changed(&before, &plan).await?;
        }
        Ok(plan)
    }

    async fn schema_changed(&mut self, before: &Plan, after: &Plan) -> Result<()> {
        // A definition changes between transactions; what was read so far comes first.
        self.flush().await?;
        let change = SchemaChange {
            table: TableId::new(after.database.as_str(), after.table.as_str()),
            before: Some(described(&before.columns)),
            after: Some(described(&after.columns)),
            ddl: self.ddl.take(),
            position: self.batcher.here(&self.place),
        };
        self.queue.push(Message::Schema(change)).await;
        Ok(())
    }

    fn rows(&mut self, data: &[u8], change: (Change, bool), seconds: u32) -> Result<()> {
        let id = data.get(..6).map(crate::bytes::little).ok_or_else(|| self.damaged("a row event"))?;
        let mapped = match self.maps.get(&id) {
            Some(Some(mapped)) => mapped,
            Some(None) => return Ok(()),
            None => return Err(self.damaged("a row event without its TABLE_MAP event")),
        };
        self.transaction.events += 1;
        if self.transaction.events <= self.handed_events {
            return Ok(());
        }
        let (builders, ops) = (&mut self.batcher.builders, &mut self.batcher.ops);
        let result = decode_rows_event(data, change, &mapped.map, &mapped.plan, seconds, builders, ops);
        let table = format!("{}.{}", mapped.plan.database, mapped.plan.table);
        result.map_err(|trouble| match trouble {
            Trouble::Damaged => {
                self.fault(ErrorKind::Data, "mysql.event", format!("a row event of {table} cannot be read"))
            }
            Trouble::Partial(column) => self
                .fault(
                    ErrorKind::Data,
                    "mysql.binlog_row_image",
                    format!("a row of {table} was logged without its column '{column}'"),
                )
                .hint("SET GLOBAL binlog_row_image='FULL'; no session may set it otherwise"),
            Trouble::Value(column, row, what) => self.fault(
                ErrorKind::Data,
                "mysql.value",
                format!("column '{column}' of {table}, row {row} of the event: {what}"),
            ),
        })
    }
}

/// The data of an event that may come before the log says that it has checksums: a checksum that fits is taken off.
fn without_checksum(event: &Event) -> &[u8] {
    let (header, data) = (event.header(), event.data());
    let Some((body, checksum)) = data.split_last_chunk::<4>() else { return data };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header.timestamp().to_le_bytes());
    hasher.update(&[header.event_type_raw()]);
    for number in [header.server_id(), header.event_size(), header.log_pos()] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&header.flags_raw().to_le_bytes());
    hasher.update(body);
    if hasher.finalize() == u32::from_le_bytes(*checksum) { body } else { data }
}

enum Waited {
    Event(Option<std::result::Result<Event, mysql_async::Error>>),
    Closed,
    Silent,
}

/// Whether two definitions are the same for a reader. The log does not tell TINYINT(1) from other TINYINTs.
fn same_columns(left: &[Column], right: &[Column]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(l, r)| l.name == r.name && l.kind.to_string() == r.kind.to_string() && l.nullable == r.nullable)
}

fn described(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> =
        columns.iter().map(|column| Field::new(&column.name, column.kind.natural(), column.nullable)).collect();
    Arc::new(Schema::new(fields))
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
