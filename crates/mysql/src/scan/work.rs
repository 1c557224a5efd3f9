//! One connection that reads range after range, as long as there are any.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use headwater_change::{Asked, Error, ErrorKind, Place, Result, TableRequest};

use crate::client::{Flavor, query_error};
use crate::ident::ident;
use crate::jdbc::Config;
use crate::rows::build::Builders;
use crate::rows::event::Plan;
use crate::rows::result::{self, Decoder};
use crate::scan::brake::Brake;
use crate::scan::condition;
use crate::scan::range::Range;
use crate::wire::Conn;

/// Bytes of Arrow data in a batch, about.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// What all connections of a scan share.
pub(super) struct Work {
    pub(super) config: Config,
    flavor: Flavor,
    pub(super) plan: Plan,
    pub(super) schema: SchemaRef,
    /// What the server tests.
    conditions: Vec<String>,
    /// Which rows of each range are wanted: behind its conditions.
    first: String,
    ranges: Mutex<VecDeque<Range>>,
    pub(super) done: Arc<Done>,
}

/// Which ranges were read.
#[derive(Debug)]
pub(super) struct Done {
    all: usize,
    read: AtomicUsize,
    asked: Mutex<Vec<Asked>>,
    pub(super) brake: Brake,
}

impl Done {
    /// The share of the ranges, which have about as many rows each.
    pub(super) fn share(&self) -> f64 {
        self.read.load(Ordering::Relaxed) as f64 / self.all.max(1) as f64
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, asked: Asked) {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    }
}

impl Work {
    pub(super) fn new(config: Config, flavor: Flavor, plan: Plan, request: &TableRequest, ranges: Vec<Range>) -> Self {
        let schema = Arc::clone(&request.schema);
        let conditions = condition::texts(&plan, &schema, &request.conditions);
        let first =
            request.first.as_ref().and_then(|first| condition::first(&plan, &schema, first)).unwrap_or_default();
        let done = Arc::new(Done {
            all: ranges.len(),
            read: AtomicUsize::new(0),
            asked: Mutex::default(),
            brake: Brake::new(config.brake),
        });
        Self { config, flavor, plan, schema, conditions, first, ranges: Mutex::new(ranges.into()), done }
    }

    fn next(&self) -> Option<Range> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Reads ranges until none is left, or nobody wants rows any more.
    pub(super) fn read(&self, mut conn: Conn, rows: &SyncSender<Result<RecordBatch>>) {
        if let Err(error) = self.ranges(&mut conn, rows) {
            drop(rows.send(Err(error)));
        }
    }

    fn ranges(&self, conn: &mut Conn, rows: &SyncSender<Result<RecordBatch>>) -> Result<()> {
        let mut builders = Builders::new(Arc::clone(&self.schema))?;
        let brake = &self.done.brake;
        while brake.wait()
            && let Some(range) = self.next()
        {
            brake.begin();
            let read = self.range(conn, &range, &mut builders, rows);
            brake.finish();
            let Some(elapsed) = read? else { return Ok(()) };
            // Rows are not kept back while a connection rests.
            if self.config.brake.share.is_some() && builders.rows() > 0 && rows.send(Ok(builders.finish()?)).is_err() {
                return Ok(());
            }
            brake.rest(elapsed);
        }
        if builders.rows() > 0 {
            drop(rows.send(Ok(builders.finish()?)));
        }
        Ok(())
    }

    /// Reads a range and tells how long that took; nothing when nobody wants rows any more.
    #[expect(clippy::disallowed_methods, reason = "how long a statement took is told to the user")]
    fn range(
        &self,
        conn: &mut Conn,
        range: &Range,
        builders: &mut Builders,
        rows: &SyncSender<Result<RecordBatch>>,
    ) -> Result<Option<Duration>> {
        let (statement, begun) = (self.select(range), Instant::now());
        let layout = match conn.execute(&statement) {
            Ok(layout) => layout,
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1142 | 1143 | 1044) => {
                return Err(self.not_granted(conn, &error.message)?);
            }
            Err(error) => return Err(self.read_error("read a table", error)),
        };
        let other = || Error::bug("mysql.columns", "the server gave other columns than were asked for");
        let decoder = Decoder::new(&self.plan, &self.schema, &layout).ok_or_else(other)?;
        let (mut number, mut bytes) = (0_u64, 0_u64);
        while let Some(row) =
            conn.next_row(&layout).map_err(|error| self.read_error("finish reading a table", error))?
        {
            number += 1;
            bytes += row.len() as u64;
            decoder.append(row, builders).map_err(|wrong| self.value_error(range, number, wrong))?;
            if builders.bytes() >= BATCH_BYTES && rows.send(Ok(builders.finish()?)).is_err() {
                return Ok(None);
            }
        }
        let elapsed = begun.elapsed();
        self.done.count(Asked { statement, rows: number, bytes, elapsed });
        Ok(Some(elapsed))
    }

    /// The statement that reads a range.
    pub(super) fn select(&self, range: &Range) -> String {
        let (columns, database, table) =
            (result::wanted(&self.plan), ident(&self.plan.database), ident(&self.plan.table));
        let conditions = self.conditions.iter().cloned();
        let range = Some(range.to_string()).filter(|range| !range.is_empty());
        let all: Vec<String> = conditions.chain(range).map(|condition| format!("({condition})")).collect();
        let rows = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
        let select = match (self.config.statement_timeout, self.flavor) {
            (None, _) => "SELECT".to_owned(),
            (Some(most), Flavor::MySql) => format!("SELECT /*+ MAX_EXECUTION_TIME({}) */", most.as_millis().max(1)),
            (Some(most), Flavor::MariaDb) => {
                format!("SET STATEMENT max_statement_time = {:.3} FOR SELECT", most.as_secs_f64())
            }
        };
        format!("{select} {columns} FROM {database}.{table}{rows}{}", self.first)
    }

    fn read_error(&self, what: &str, error: mysql_async::Error) -> Error {
        match &error {
            mysql_async::Error::Server(server) if matches!(server.code, 1969 | 3024) => {
                let most = self.config.statement_timeout.unwrap_or_default().as_secs_f64();
                Error::remote("mysql.statement_timeout", format!("a range took longer than {most} s to be read"))
                    .detail(server.message.clone())
                    .hint("more ranges (scan.partition.num, numPartitions) are shorter ones; or raise scan.statement-timeout")
            }
            _ => query_error(what, error),
        }
    }

    fn not_granted(&self, conn: &mut Conn, detail: &str) -> Result<Error> {
        let user = conn.account(&self.config.access)?;
        let (database, table) = (&self.plan.database, &self.plan.table);
        Ok(Error::usage("mysql.privilege", format!("the user {user} may not read {database}.{table}"))
            .detail(detail)
            .hint(format!("GRANT SELECT ON {}.{} TO {user};", ident(database), ident(table))))
    }

    fn value_error(&self, range: &Range, row: u64, (column, what): (String, String)) -> Error {
        let (database, table) = (&self.plan.database, &self.plan.table);
        let place = match range {
            Range::All => format!("{database}.{table}, row {row}"),
            range => format!("{database}.{table}, row {row} WHERE {range}"),
        };
        Error::new(ErrorKind::Data, "mysql.value", format!("column '{column}' of {database}.{table}: {what}"))
            .at(Place::Position(place))
    }
}
