//! One connection that reads range after range, as long as there are any.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use headwater_change::{Error, ErrorKind, Place, Result, TableRequest};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::check::account;
use crate::client::query_error;
use crate::ident::ident;
use crate::jdbc::Config;
use crate::rows::build::Builders;
use crate::rows::event::Plan;
use crate::rows::result;
use crate::scan::condition;
use crate::scan::partition::Range;

/// Bytes of Arrow data in a batch, about.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// What all connections of a scan share.
pub(super) struct Work {
    pub(super) config: Config,
    pub(super) plan: Plan,
    pub(super) schema: SchemaRef,
    /// What the server tests.
    conditions: Vec<String>,
    ranges: Mutex<VecDeque<Range>>,
}

impl Work {
    pub(super) fn new(config: Config, plan: Plan, request: &TableRequest, ranges: Vec<Range>) -> Arc<Self> {
        let schema = Arc::clone(&request.schema);
        let conditions = condition::texts(&plan, &schema, &request.conditions);
        Arc::new(Self { config, plan, schema, conditions, ranges: Mutex::new(ranges.into()) })
    }

    fn next(&self) -> Option<Range> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Reads ranges until none is left, or nobody wants rows any more.
    pub(super) async fn read(self: Arc<Self>, mut conn: Conn, rows: SyncSender<Result<RecordBatch>>) {
        let mut builders = match Builders::new(Arc::clone(&self.schema)) {
            Ok(builders) => builders,
            Err(error) => return give_up(&rows, error),
        };
        while let Some(range) = self.next() {
            match self.range(&mut conn, &range, &mut builders, &rows).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return give_up(&rows, error),
            }
        }
        if builders.rows() > 0 {
            match builders.finish() {
                Ok(batch) => drop(give(&rows, batch)),
                Err(error) => give_up(&rows, error),
            }
        }
        let _ = conn.disconnect().await;
    }

    /// Reads a range; `false` when nobody wants rows any more.
    async fn range(
        &self,
        conn: &mut Conn,
        range: &Range,
        builders: &mut Builders,
        rows: &SyncSender<Result<RecordBatch>>,
    ) -> Result<bool> {
        let mut found = match conn.exec_iter(self.select(range), ()).await {
            Ok(found) => found,
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1142 | 1143 | 1044) => {
                return Err(self.not_granted(conn, &error.message).await?);
            }
            Err(error) => return Err(query_error("read a table", error)),
        };
        let mut number = 0_u64;
        while let Some(row) = found.next().await.map_err(|error| query_error("finish reading a table", error))? {
            number += 1;
            result::append(&row, &self.plan, builders).map_err(|wrong| self.value_error(range, number, wrong))?;
            if builders.bytes() >= BATCH_BYTES && !give(rows, builders.finish()?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The statement that reads a range.
    pub(super) fn select(&self, range: &Range) -> String {
        let (columns, database, table) =
            (result::wanted(&self.plan), ident(&self.plan.database), ident(&self.plan.table));
        let conditions = self.conditions.iter().cloned();
        let range = Some(range.to_string()).filter(|range| !range.is_empty());
        let all: Vec<String> = conditions.chain(range).map(|condition| format!("({condition})")).collect();
        let rows = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
        format!("SELECT {columns} FROM {database}.{table}{rows}")
    }

    async fn not_granted(&self, conn: &mut Conn, detail: &str) -> Result<Error> {
        let user = account(conn, &self.config.access).await?;
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

/// Hands a batch over once there is room; `false` when nobody wants it.
fn give(rows: &SyncSender<Result<RecordBatch>>, batch: RecordBatch) -> bool {
    tokio::task::block_in_place(|| rows.send(Ok(batch)).is_ok())
}

fn give_up(rows: &SyncSender<Result<RecordBatch>>, error: Error) {
    tokio::task::block_in_place(|| drop(rows.send(Err(error))));
}
