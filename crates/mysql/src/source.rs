//! The source `mysql-cdc`: a thread with the connection, and a reader that pulls what it brings.
//!
//! Position handling is in one place: [`Driver`] decides between snapshot and log, hands the snapshot's place to the log,
//! and counts ordinals on from the position it was opened with. An ordinal grows by one for every row and for every
//! transaction.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use headwater_change::{
    ChangeBatch, ChangelogMode, Error, ErrorKind, Op, Position, Read, Reader, Result, Run, Source, SourceDescription,
    TableRequest,
};
use mysql_async::Conn;

use crate::batcher::{BATCH_BYTES, Batcher};
use crate::config::{Config, Startup};
use crate::position::{GtidSet, Gtids, LogPlace};
use crate::queue::{Message, Queue};
use crate::replication::{Log, startup_place};
use crate::rows::build::{Builders, Policy};
use crate::snapshot::Wanted;
use crate::{check, client, follow, snapshot};

/// Bytes that may wait for the reader.
const QUEUE_BYTES: usize = 4 * BATCH_BYTES;

/// Builds the source of one table request. Options are those of [`crate::OPTIONS`]; nothing is connected yet.
///
/// Fails with `option.*` for wrong options, `mysql.type` and `mysql.metadata` for columns that cannot be read as asked.
pub fn source(request: TableRequest) -> Result<Box<dyn Source>> {
    let config = Config::new(&request.options)?;
    check::request(&request)?;
    Ok(Box::new(MySqlSource { config, request }))
}

struct MySqlSource {
    config: Config,
    request: TableRequest,
}

impl Source for MySqlSource {
    fn describe(&self) -> SourceDescription {
        let bounded = matches!(self.config.startup, Startup::Snapshot);
        SourceDescription {
            schema: Arc::clone(&self.request.schema),
            mode: if bounded { ChangelogMode::Append } else { ChangelogMode::Retract },
            bounded,
        }
    }

    fn open(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        if from.len() > 1 {
            return Err(Error::usage("mysql.position", "a binlog has one partition, not several"));
        }
        let from =
            from.first().map(|position| Ok((LogPlace::parse(&position.token)?, position.ordinal))).transpose()?;
        let queue = Arc::new(Queue::new(QUEUE_BYTES));
        let driver = Driver { config: self.config.clone(), request: self.request.clone(), queue: Arc::clone(&queue) };
        let (ready, opened) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("mysql-cdc".to_owned())
            .spawn(move || driver.thread(from, &ready))
            .map_err(|error| Error::remote("mysql.thread", "no thread can be started").caused_by(error))?;
        let reader = MySqlReader { queue, thread: Some(thread), waiting: VecDeque::new(), failed: None, ended: false };
        match opened.recv() {
            Ok(result) => result.map(|()| Box::new(reader) as Box<dyn Reader>),
            Err(_) => Err(Error::bug("mysql.thread", "the connection's thread ended early")),
        }
    }
}

/// What runs on the connection's thread.
struct Driver {
    config: Config,
    request: TableRequest,
    queue: Arc<Queue>,
}

type Ready = std::sync::mpsc::SyncSender<Result<()>>;

impl Driver {
    fn thread(self, from: Option<(LogPlace, u64)>, ready: &Ready) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(async {
                let message = match self.run(from, ready).await {
                    Ok(()) => Message::End,
                    // Where the opener still waits, it is told; else the reader.
                    Err(error) => match ready.try_send(Err(error)) {
                        Ok(()) => return,
                        Err(std::sync::mpsc::TrySendError::Full(Err(error)))
                        | Err(std::sync::mpsc::TrySendError::Disconnected(Err(error))) => Message::Failed(error),
                        Err(_) => return,
                    },
                };
                self.queue.push(message).await;
            }),
            Err(error) => {
                let _ =
                    ready.try_send(Err(Error::remote("mysql.thread", "no runtime can be started").caused_by(error)));
            }
        }
    }

    async fn connect(&self) -> Result<Conn> {
        let mut attempt = 0;
        loop {
            match client::connect(&self.config.access, &[]).await {
                Err(error) if error.kind() == ErrorKind::Remote && attempt < self.config.connect_retries => {
                    attempt += 1;
                    self.queue.closed_within(Duration::from_millis(100 << attempt.min(6))).await;
                }
                other => return other,
            }
        }
    }

    async fn run(&self, from: Option<(LogPlace, u64)>, ready: &Ready) -> Result<()> {
        let config = &self.config;
        let only_snapshot = matches!(config.startup, Startup::Snapshot);
        let policy = Policy { zero_date_is_null: config.zero_date_is_null, zone_seconds: config.zone_seconds };
        let mut conn = self.connect().await?;
        let server = check::server(&mut conn, config, !only_snapshot).await?;
        let schema = &self.request.schema;
        let (wanted, doubt) = match Wanted::describe(&mut conn, config, server, (schema, policy)).await {
            Ok(wanted) => (wanted, None),
            // The log may tell when the tables became so: it is read up to there.
            Err(error) if from.is_some() && error.kind() == ErrorKind::Usage => (Wanted::default(), Some(error)),
            Err(error) => return Err(error),
        };
        if !only_snapshot {
            follow::settings(&mut conn, &wanted.tables).await?;
        }
        let builders = Builders::new(Arc::clone(&self.request.schema))?;
        let ordinal = from.as_ref().map_or(0, |(_, ordinal)| *ordinal);
        let mut batcher = Batcher::new(self.request.table.clone(), builders, ordinal);

        let resumed = from.is_some();
        let mut place = match from {
            // An epoch of a snapshot ends with it: what was asked for is there.
            Some(_) if only_snapshot => {
                let _ = ready.try_send(Ok(()));
                return Ok(());
            }
            Some((place, _)) => place,
            None if matches!(config.startup, Startup::Initial | Startup::Snapshot) => {
                // Locks may take their time: then whoever opened is not kept waiting, and can stop.
                let waiting = || drop(ready.try_send(Ok(())));
                let what = (schema, policy, wanted);
                let watched = (&*self.queue, &waiting as &dyn Fn());
                let Some(place) = snapshot::take(&mut conn, config, server, what, &mut batcher, watched).await? else {
                    return Ok(());
                };
                batcher.end_snapshot(&place);
                if let Some(message) = batcher.flush(crate::position::SNAPSHOT_TOKEN)?
                    && !self.queue.push(message).await
                {
                    return Ok(());
                }
                place
            }
            None => startup_place(&mut conn, server, &config.startup).await?,
        };
        if only_snapshot {
            return Ok(());
        }
        normalise(&mut place, server.flavor);
        if resumed && let Some(Gtids::MySql(set)) = &place.gtids {
            still_there(&mut conn, set, &place).await?;
        }
        let _ = ready.try_send(Ok(()));
        let _ = conn.disconnect().await;
        let mut log = Log::new(config, Arc::clone(&self.request.schema), server, policy, batcher, &self.queue, place);
        log.doubt = doubt;
        log.run().await
    }
}

/// An empty set of GTIDs has no flavor of its own.
fn normalise(place: &mut LogPlace, flavor: client::Flavor) {
    if flavor == client::Flavor::MariaDb && place.gtids == Some(Gtids::MySql(GtidSet::default())) {
        place.gtids = Some(Gtids::MariaDb(Default::default()));
    }
}

/// Whether MySQL still has every transaction behind the set.
async fn still_there(conn: &mut Conn, set: &GtidSet, place: &LogPlace) -> Result<()> {
    let sql = format!("SELECT GTID_SUBSET(@@GLOBAL.gtid_purged, '{set}')");
    let row = client::row(conn, &sql).await.map_err(|error| client::query_error("compare GTIDs", error))?;
    if row.and_then(|row| row.into_iter().next().flatten()).as_deref() == Some("0") {
        return Err(Error::fenced("mysql.binlog_purged", "the server does not have this place of its log any more")
            .hint("start anew with a snapshot: delete the state of this source; keep logs longer with SET GLOBAL binlog_expire_logs_seconds=…")
            .at(headwater_change::Place::Position(place.to_string())));
    }
    Ok(())
}

struct MySqlReader {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    /// Parts of a batch that was larger than a budget.
    waiting: VecDeque<ChangeBatch>,
    failed: Option<(ErrorKind, &'static str, String)>,
    ended: bool,
}

impl Reader for MySqlReader {
    fn next(&mut self, budget: usize, wait: Duration) -> Result<Read> {
        if let Some(batch) = self.waiting.pop_front() {
            return Ok(Read::Rows(batch));
        }
        if let Some((kind, code, message)) = &self.failed {
            return Err(Error::new(*kind, code, message.clone()));
        }
        if self.ended {
            return Ok(Read::End);
        }
        match self.queue.pull(wait) {
            Some(Message::Rows(batch, bytes)) => {
                self.waiting = parts(batch, bytes, budget)?;
                match self.waiting.pop_front() {
                    Some(batch) => Ok(Read::Rows(batch)),
                    None => Ok(Read::Idle(None)),
                }
            }
            Some(Message::Schema(change)) => Ok(Read::Schema(change)),
            Some(Message::Moved(position)) => Ok(Read::Idle(Some(position))),
            Some(Message::End) => {
                self.ended = true;
                Ok(Read::End)
            }
            Some(Message::Failed(error)) => {
                self.failed = Some((error.kind(), error.code(), error.message().to_owned()));
                Err(error)
            }
            None if self.thread.as_ref().is_some_and(JoinHandle::is_finished) && self.queue.is_empty() => {
                Err(Error::bug("mysql.thread", "the connection's thread ended without a word"))
            }
            None => Ok(Read::Idle(None)),
        }
    }
}

impl Drop for MySqlReader {
    fn drop(&mut self) {
        self.queue.close();
        // The thread leaves by itself at its next wait; a connection attempt may take its time, so it is not joined.
        drop(self.thread.take());
    }
}

/// Cuts a batch into parts of about `budget` bytes, never between the two images of an update. A run that is cut ends
/// its transaction only in the last part.
fn parts(batch: ChangeBatch, bytes: usize, budget: usize) -> Result<VecDeque<ChangeBatch>> {
    let rows = batch.len();
    let share = (budget.max(1) as u128 * rows as u128 / bytes.max(1) as u128).clamp(2, u128::from(u32::MAX)) as usize;
    let mut parts = VecDeque::new();
    if rows <= share.saturating_mul(2) {
        parts.push_back(batch);
        return Ok(parts);
    }
    let mut start = 0;
    while start < rows {
        let mut end = (start + share).min(rows);
        if end < rows && batch.op(end - 1) == Op::UpdateBefore {
            end += 1;
        }
        let slice = batch.rows().slice(start, end - start);
        let part = match batch.ops() {
            Some(ops) => ChangeBatch::new(batch.table().clone(), slice, ops.get(start..end).unwrap_or_default())?,
            None => ChangeBatch::insert_only(batch.table().clone(), slice),
        };
        parts.push_back(part.with_runs(cut(batch.runs(), start, end))?);
        start = end;
    }
    Ok(parts)
}

fn cut(runs: &[Run], start: usize, end: usize) -> Vec<Run> {
    let mut cut = Vec::new();
    for run in runs {
        if run.end <= start {
            continue;
        }
        let inside = run.end <= end;
        cut.push(Run {
            end: run.end.min(end) - start,
            position: run.position.clone(),
            ends_transaction: run.ends_transaction && inside,
        });
        if !inside || run.end == end {
            break;
        }
    }
    cut
}
