//! Which jobs there are: walks along an index in its own order, never a sort, never more than [`LOOKED_AT`] rows.

use headwater_change::Result;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{self, Value};
use serde::Serialize;

use crate::operate::read::{column, rows, status, utc};
use crate::operate::{LOOKED_AT, Status, steer};
use crate::queue::Queue;

/// Rows of the first step of a walk through the newest; the following ones are ten times as long.
const FIRST_STEP: usize = 1_000;

/// Which order a listing is in, which also decides which index it walks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first: the primary key backwards.
    #[default]
    Newest,
    /// As workers will take them: by queue and status, due before later, smaller priorities first.
    Claim,
}

/// Which jobs to list.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Of one queue.
    pub queue: Option<String>,
    /// Of one type.
    pub job_type: Option<String>,
    /// With one status.
    pub status: Option<Status>,
    /// In which order.
    pub order: Order,
    /// At most so many, and never more than [`LOOKED_AT`].
    pub limit: usize,
}

impl Default for Filter {
    /// The fifty newest.
    fn default() -> Self {
        Self { queue: None, job_type: None, status: None, order: Order::Newest, limit: 50 }
    }
}

/// A job in a listing. Moments are ISO 8601 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its number.
    pub id: u64,
    /// Its queue.
    pub queue: String,
    /// Its type.
    pub job_type: String,
    /// Smaller first.
    pub priority: i16,
    /// Where it stands.
    pub status: Status,
    /// PENDING, and its time has not come or has just come.
    pub later: bool,
    /// Not before.
    pub run_at: String,
    /// Failures so far.
    pub retry_count: u32,
    /// Retries that it may have, where the job itself says.
    pub max_retries: Option<u32>,
    /// Of its last failure.
    pub last_error_message: Option<String>,
    /// At most one job with it.
    pub unique_key: Option<String>,
    /// Whose limits it counts for.
    pub limit_key: Option<String>,
    /// Its batch.
    pub batch_id: Option<u64>,
    /// Percent.
    pub progress: Option<f64>,
    /// What its handler says beside the percent.
    pub progress_message: Option<String>,
    /// The worker that has it.
    pub worker_id: Option<u64>,
    /// When it was enqueued.
    pub created_at: String,
    /// When its worker took it.
    pub started_at: Option<String>,
}

/// What a listing found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listing {
    /// In the order that was asked for.
    pub jobs: Vec<Row>,
    /// The walk ended at [`LOOKED_AT`] rows: there may be more behind them.
    pub cut: bool,
}

/// The columns of [`Row`].
pub(crate) fn columns() -> String {
    format!(
        "id, queue, job_type, priority, status, later, {}, retry_count, max_retries, last_error_message, unique_key, \
         limit_key, batch_id, progress, progress_message, locked_by >> 32 AS worker_id, {}, {}",
        utc("run_at"),
        utc("created_at"),
        utc("started_at")
    )
}

impl Row {
    pub(crate) fn read(row: &driver::Row) -> Result<Self> {
        Ok(Self {
            id: column(row, "id")?,
            queue: column(row, "queue")?,
            job_type: column(row, "job_type")?,
            priority: column(row, "priority")?,
            status: status(row)?,
            later: column(row, "later")?,
            run_at: column(row, "run_at")?,
            retry_count: column(row, "retry_count")?,
            max_retries: column(row, "max_retries")?,
            last_error_message: column(row, "last_error_message")?,
            unique_key: column(row, "unique_key")?,
            limit_key: column(row, "limit_key")?,
            batch_id: column(row, "batch_id")?,
            progress: column(row, "progress")?,
            progress_message: column(row, "progress_message")?,
            worker_id: column(row, "worker_id")?,
            created_at: column(row, "created_at")?,
            started_at: column(row, "started_at")?,
        })
    }
}

/// Lists jobs. A filter that few rows pass may end the walk before the limit is reached: then
/// [`cut`](Listing::cut) is set.
///
/// # Errors
/// `jobs.grant`, `jobs.tables_missing`, `mysql.query`.
pub async fn list(queue: &Queue, filter: &Filter) -> Result<Listing> {
    let filter = Filter { limit: filter.limit.min(LOOKED_AT), ..filter.clone() };
    let mut conn = queue.session().await?;
    let (ids, cut) = match filter.order {
        Order::Newest => newest(&mut conn, &filter).await?,
        Order::Claim => claim_order(&mut conn, &filter).await?,
    };
    let jobs = by_id(&mut conn, &ids).await?;
    queue.give_back(conn);
    Ok(Listing { jobs, cut })
}

/// The primary key backwards, in steps; what the filter does not want is passed over.
async fn newest(conn: &mut impl Queryable, filter: &Filter) -> Result<(Vec<u64>, bool)> {
    let all = filter.queue.is_none() && filter.job_type.is_none() && filter.status.is_none();
    let (mut ids, mut looked_at, mut before) = (Vec::new(), 0, u64::MAX);
    while ids.len() < filter.limit && looked_at < LOOKED_AT {
        let step = match (all, looked_at) {
            (true, _) => filter.limit,
            (false, 0) => FIRST_STEP,
            (false, _) => (FIRST_STEP * 10).min(LOOKED_AT - looked_at),
        };
        let sql = format!(
            "SELECT id, queue, job_type, status FROM jobs FORCE INDEX (PRIMARY) WHERE id < ? ORDER BY id DESC LIMIT {step}"
        );
        let found = rows(conn, "list jobs", sql, (before,)).await?;
        for row in &found {
            before = column(row, "id")?;
            if ids.len() < filter.limit && wanted(filter, row)? {
                ids.push(before);
            }
        }
        looked_at += found.len();
        if found.len() < step {
            return Ok((ids, false));
        }
    }
    let cut = ids.len() < filter.limit;
    Ok((ids, cut))
}

fn wanted(filter: &Filter, row: &driver::Row) -> Result<bool> {
    let is = |wanted: &Option<String>, name: &str| -> Result<bool> {
        wanted.as_ref().map_or(Ok(true), |wanted| Ok(*wanted == column::<String>(row, name)?))
    };
    Ok(is(&filter.queue, "queue")?
        && is(&filter.job_type, "job_type")?
        && filter.status.map_or(Ok(true), |wanted| status(row).map(|status| status == wanted))?)
}

/// The claim index forwards, queue by queue.
async fn claim_order(conn: &mut impl Queryable, filter: &Filter) -> Result<(Vec<u64>, bool)> {
    let queues = match &filter.queue {
        Some(queue) => vec![queue.clone()],
        None => steer::queues_with_jobs(conn).await?,
    };
    let (mut ids, mut looked_at) = (Vec::new(), 0);
    for queue in queues {
        let room = LOOKED_AT - looked_at;
        let limit = if filter.job_type.is_some() { room } else { room.min(filter.limit - ids.len()) };
        let mut values = vec![Value::from(queue)];
        // One status is one stretch of the index, and its order needs no word about the status.
        let stretch = match filter.status {
            Some(status) => {
                values.push(Value::from(status.name()));
                "AND status = ? ORDER BY later, priority, id"
            }
            None => "ORDER BY status, later, priority, id",
        };
        let sql = format!("SELECT id, job_type FROM jobs FORCE INDEX (claim) WHERE queue = ? {stretch} LIMIT {limit}");
        let found = rows(conn, "list jobs", sql, values).await?;
        for row in &found {
            let passes = match &filter.job_type {
                Some(wanted) => *wanted == column::<String>(row, "job_type")?,
                None => true,
            };
            if passes && ids.len() < filter.limit {
                ids.push(column(row, "id")?);
            }
        }
        looked_at += found.len();
        if ids.len() >= filter.limit {
            return Ok((ids, false));
        }
        if looked_at >= LOOKED_AT {
            return Ok((ids, true));
        }
    }
    Ok((ids, false))
}

/// The rows of these jobs in this order; those that are gone by now are left out.
async fn by_id(conn: &mut impl Queryable, ids: &[u64]) -> Result<Vec<Row>> {
    let mut jobs = Vec::with_capacity(ids.len());
    for part in ids.chunks(super::CHUNK) {
        let list: Vec<String> = part.iter().map(u64::to_string).collect();
        let sql = format!("SELECT {} FROM jobs FORCE INDEX (PRIMARY) WHERE id IN ({})", columns(), list.join(","));
        let found = rows(conn, "list jobs", sql, ()).await?;
        let mut by_id = std::collections::HashMap::with_capacity(found.len());
        for row in &found {
            let row = Row::read(row)?;
            by_id.insert(row.id, row);
        }
        jobs.extend(part.iter().filter_map(|id| by_id.remove(id)));
    }
    Ok(jobs)
}
