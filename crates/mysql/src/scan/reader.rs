//! The scan as a source. Its rows are one transaction: a restart before the end reads the table again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use headwater_change::{
    Asked, ChangeBatch, ChangelogMode, Error, Position, Read, Reader, Result, Run, Source, SourceDescription,
    TableRequest,
};

use super::brake::{Brake, Watcher};
use super::range::Range;
use super::work::{Done, Work};
use super::{moment, split};
use crate::client::Flavor;
use crate::jdbc::Config;
use crate::rows::build::Policy;
use crate::rows::event::Plan;
use crate::wire::{Conn, Stopper};
use crate::{check, client, notice};

/// The one partition of the source.
const PARTITION: &str = "jdbc";

/// Position while rows come, and behind the last one.
const READING: &str = "reading";
const READ: &str = "read";

/// Batches that may wait for each connection.
const WAITING: usize = 2;

/// Builds the source of one table request. Options are those of [`crate::jdbc::OPTIONS`]; nothing is connected yet.
///
/// # Errors
/// `option.*` for wrong options, `mysql.type` for columns that cannot be read as asked.
pub fn source(request: TableRequest) -> Result<Box<dyn Source>> {
    let config = Config::new(&request.options)?;
    check::request(&request)?;
    Ok(Box::new(Scan { config, request }))
}

struct Scan {
    config: Config,
    request: TableRequest,
}

/// What a session's work is run on.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::remote("mysql.thread", "no runtime can be started").caused_by(error))
}

impl Scan {
    fn connections(&self) -> usize {
        self.config.connections.unwrap_or(self.request.threads).max(1)
    }
}

impl Source for Scan {
    fn statements(&self) -> Result<Vec<String>> {
        let described = describe(&self.config, &self.request, self.connections());
        let Described { plan, ranges, flavor, .. } = runtime()?.block_on(described)?;
        let work = Work::new(self.config.clone(), flavor, plan, &self.request, ranges.clone());
        Ok(ranges.iter().map(|range| work.select(range)).collect())
    }

    fn describe(&self) -> SourceDescription {
        SourceDescription { schema: Arc::clone(&self.request.schema), mode: ChangelogMode::Append, bounded: true }
    }

    fn open(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        if from.first().is_some_and(|position| &*position.token == READ) {
            return Ok(Box::new(Over));
        }
        let connections = self.connections();
        let (sender, rows) = sync_channel(connections * WAITING);
        let (ready, opened) = sync_channel(1);
        let (config, request) = (self.config.clone(), self.request.clone());
        let thread = std::thread::Builder::new()
            .name("mysql-scan".to_owned())
            .spawn(move || drive(config, &request, connections, &ready, &sender))
            .map_err(|error| Error::remote("mysql.thread", "no thread can be started").caused_by(error))?;
        let Hands { stoppers, done } = match opened.recv() {
            Ok(hands) => hands?,
            Err(_) => return Err(Error::bug("mysql.thread", "the scan's thread ended early")),
        };
        Ok(Box::new(ScanReader {
            table: self.request.table.clone(),
            schema: Arc::clone(&self.request.schema),
            rows: Some(rows),
            thread: Some(thread),
            stoppers,
            done,
            given: 0,
            ended: false,
        }))
    }
}

/// What a connection's thread is started with.
struct Begun {
    work: Work,
    conns: Vec<Conn>,
}

/// What the reader has in hand of its threads.
struct Hands {
    stoppers: Vec<Stopper>,
    done: Arc<Done>,
}

/// Begins the scan and runs it, a thread for each connection.
fn drive(
    config: Config,
    request: &TableRequest,
    connections: usize,
    ready: &SyncSender<Result<Hands>>,
    rows: &SyncSender<Result<RecordBatch>>,
) {
    let stoppers = |begun: Begun| {
        let stoppers = begun.conns.iter().map(Conn::stopper).collect::<std::result::Result<Vec<_>, _>>();
        stoppers.map(|stoppers| (begun, stoppers)).map_err(|error| client::query_error("share a connection", error))
    };
    let (begun, stoppers) = match begin(config, request, connections).and_then(stoppers) {
        Ok(begun) => begun,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let brake = &Arc::clone(&begun.work.done).brake;
    let mut watcher = None;
    if brake.asks() {
        let asked = runtime().and_then(|runtime| Watcher::new(runtime, &begun.work.config));
        match asked.and_then(|mut asked| asked.look(brake).map(|()| asked)) {
            Ok(asked) => watcher = Some(asked),
            Err(error) => return drop(ready.send(Err(error))),
        }
    }
    let _ = ready.send(Ok(Hands { stoppers, done: Arc::clone(&begun.work.done) }));
    let Begun { work, conns } = begun;
    let left = AtomicUsize::new(conns.len());
    std::thread::scope(|scope| {
        if let Some(watcher) = watcher {
            scope.spawn(|| brake.watch(watcher, &request.table.to_string()));
        }
        for conn in conns {
            let leaves = Leaves(&left, brake);
            let read = || {
                let _leaves = leaves;
                work.read(conn, rows);
            };
            let started = std::thread::Builder::new().name("mysql-read".to_owned()).spawn_scoped(scope, read);
            if let Err(error) = started {
                let error = Error::remote("mysql.thread", "no thread can be started").caused_by(error);
                drop(rows.send(Err(error)));
            }
        }
    });
}

/// The last connection that leaves lets the brake's watcher go, however it leaves.
struct Leaves<'a>(&'a AtomicUsize, &'a Brake);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.1.end();
        }
    }
}

/// Connects, finds the ranges, and begins the snapshot on as many connections as there is work for.
fn begin(config: Config, request: &TableRequest, connections: usize) -> Result<Begun> {
    let runtime = runtime()?;
    let described = runtime.block_on(describe(&config, request, connections))?;
    let Described { mut session, flavor, plan, ranges } = described;
    let mut conns = Vec::new();
    while conns.len() < connections.min(ranges.len()) {
        conns.push(Conn::open(&config.access)?);
    }
    if config.snapshot {
        let moment = moment::share(&mut conns, &config, flavor)?;
        let place = moment.place.as_deref().unwrap_or("no place in a log");
        tracing::info!(table = %request.table, connections = conns.len(), tries = moment.tries, place, "reading as of one moment");
        if let Some(locked) = moment.locked {
            notice::warn(format!(
                "{} was locked for {} ms to begin a common snapshot",
                request.table,
                locked.as_millis()
            ));
        }
        // It may have been altered between its description and the snapshot.
        if runtime.block_on(self::plan(&mut session, &config, request))?.columns != plan.columns {
            return Err(Error::remote(
                "mysql.table_altered",
                format!("{} was altered while the scan began", request.table),
            )
            .hint("run it again"));
        }
    }
    let _ = runtime.block_on(session.disconnect());
    Ok(Begun { work: Work::new(config, flavor, plan, request, ranges), conns })
}

/// What is found out about a table before it is read.
struct Described {
    session: mysql_async::Conn,
    flavor: Flavor,
    plan: Plan,
    ranges: Vec<Range>,
}

async fn describe(config: &Config, request: &TableRequest, connections: usize) -> Result<Described> {
    let mut session = client::connect(&config.access, &[]).await?;
    let flavor = client::flavor(&mut session).await?;
    let plan = plan(&mut session, config, request).await?;
    let ranges = match &config.bounds {
        Some(bounds) => bounds.ranges(&plan.columns)?,
        None => split::ranges(&mut session, (&config.database, &config.table), &plan.columns, connections).await?,
    };
    if connections > 1 && ranges == [Range::All] && config.bounds.is_none() {
        tracing::info!(table = %request.table, "one connection reads the table: it is small, or has no unique key that ranges could be found for");
    }
    Ok(Described { session, flavor, plan, ranges })
}

async fn plan(conn: &mut mysql_async::Conn, config: &Config, request: &TableRequest) -> Result<Plan> {
    let columns = check::columns(conn, &config.database, &config.table).await?;
    if columns.is_empty() {
        let (database, table) = (&config.database, &config.table);
        let user = check::account(conn, &config.access).await?;
        return Err(Error::usage(
            "mysql.table_missing",
            format!("there is no table {database}.{table}, or it may not be read"),
        )
        .hint(format!("check the name; if it is there: GRANT SELECT ON {}.* TO {user};", crate::ident(database))));
    }
    let policy = Policy { zero_date_is_null: config.zero_date_is_null, zone_seconds: 0 };
    check::plan(&request.schema, &config.database, &config.table, columns, policy)
}

struct ScanReader {
    table: headwater_change::TableId,
    schema: SchemaRef,
    rows: Option<Receiver<Result<RecordBatch>>>,
    thread: Option<JoinHandle<()>>,
    stoppers: Vec<Stopper>,
    done: Arc<Done>,
    given: u64,
    ended: bool,
}

impl ScanReader {
    fn batch(&mut self, rows: RecordBatch, token: &str) -> Result<Read> {
        self.given += rows.num_rows() as u64;
        let position = Position::new(PARTITION, token, self.given + u64::from(token == READ));
        let run = Run { end: rows.num_rows(), position, ends_transaction: token == READ };
        ChangeBatch::insert_only(self.table.clone(), rows).with_runs(vec![run]).map(Read::Rows)
    }
}

impl Reader for ScanReader {
    fn progress(&self) -> Option<f64> {
        Some(self.done.share())
    }

    fn held(&self) -> Option<String> {
        self.done.brake.held()
    }

    fn asked(&self) -> Vec<Asked> {
        self.done.asked()
    }

    fn next(&mut self, _budget: usize, wait: Duration) -> Result<Read> {
        let Some(rows) = &self.rows else { return Ok(Read::End) };
        match rows.recv_timeout(wait) {
            Ok(batch) => self.batch(batch?, READING),
            Err(RecvTimeoutError::Timeout) => Ok(Read::Idle(None)),
            Err(RecvTimeoutError::Disconnected) if self.ended || self.given == 0 => Ok(Read::End),
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                let schema = Arc::clone(&self.schema);
                self.batch(RecordBatch::new_empty(schema), READ)
            }
        }
    }
}

impl Drop for ScanReader {
    fn drop(&mut self) {
        // Whoever waits for room finds nobody there, and whoever waits for the server hears no more of it.
        self.rows = None;
        self.done.brake.end();
        self.stoppers.iter().for_each(Stopper::stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A scan that was over before.
struct Over;

impl Reader for Over {
    fn next(&mut self, _budget: usize, _wait: Duration) -> Result<Read> {
        Ok(Read::End)
    }
}
