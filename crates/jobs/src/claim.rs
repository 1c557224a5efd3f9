//! Claiming: jobs that are due are picked in order of priority, then id, locked while they are picked, and marked as
//! running under a new token. No other job's row is locked, and nobody waits.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use headwater_change::{Error, Result};
use headwater_mysql::client::{Flavor, query_error};
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, Row};

use crate::complete::id_list;
use crate::cursor::{Cursors, Scan};
use crate::job::Job;

/// Payloads above this are read when their job starts, so that a claim of many jobs stays small.
const PAYLOAD_BYTES: u32 = 65_536;

/// Every so many full claims one serves the next priority in turn, so that a good priority cannot starve the others.
const FAIR_EVERY: u32 = 8;

/// Jobs that were picked in an open transaction, and are running once it is committed.
pub(crate) struct Picked {
    pub(crate) jobs: Vec<Job>,
    pub(crate) token: u64,
}

/// What is to be picked.
#[derive(Clone, Copy)]
pub(crate) struct Pick {
    pub(crate) flavor: Flavor,
    pub(crate) wanted: usize,
    /// The token that the jobs will run under.
    pub(crate) token: u64,
}

/// The claims of one queue over one session.
pub(crate) struct QueueClaims {
    name: String,
    cursors: Cursors,
    last: Option<Instant>,
    full_claims: u32,
    /// The priority that was served last in turn.
    turn: Option<i16>,
    /// The best priority of the last claim: the turn goes round the ones behind it.
    head: i16,
}

impl QueueClaims {
    pub(crate) fn new(name: String) -> Self {
        Self { name, cursors: Cursors::default(), last: None, full_claims: 0, turn: None, head: i16::MIN }
    }

    /// Picks up to `wanted` jobs in a transaction that is open by now or begun here. The caller goes on with [`confirm`]
    /// or rolls back.
    pub(crate) async fn pick(&mut self, conn: &mut Conn, open: bool, pick: Pick) -> Result<Picked> {
        let Pick { wanted, token, .. } = pick;
        let now = instant();
        self.cursors.elapse(self.last.map_or(Duration::ZERO, |last| now.duration_since(last)));
        self.last = Some(now);
        let mut open = open;
        if self.full_claims >= FAIR_EVERY {
            self.full_claims = 0;
            if !open {
                begin(conn).await?;
                open = true;
            }
            if let Some(jobs) = self.pick_in_turn(conn, pick).await?
                && !jobs.is_empty()
            {
                return Ok(Picked { jobs, token });
            }
        }
        let scan = self.cursors.next();
        let mut jobs = self.select(conn, open, scan, pick).await?;
        if jobs.len() < wanted && scan == Scan::Onward && self.cursors.may_look_back() {
            // SKIP LOCKED does not pass over locks of the own transaction: what was picked already comes again.
            let picked: HashSet<u64> = jobs.iter().map(|job| job.id).collect();
            let more = self.select(conn, true, Scan::Front, pick).await?;
            jobs.extend(more.into_iter().filter(|job| !picked.contains(&job.id)).take(wanted - picked.len()));
        }
        if jobs.len() == wanted {
            self.full_claims += 1;
        }
        if let Some(first) = jobs.first() {
            self.head = first.priority;
        }
        Ok(Picked { jobs, token })
    }

    async fn select(&mut self, conn: &mut Conn, open: bool, scan: Scan, pick: Pick) -> Result<Vec<Job>> {
        let begin = instant();
        let condition = self.cursors.condition(scan);
        let jobs = select(conn, open, &self.name, &condition, "priority, id", pick).await?;
        self.cursors.scanned(scan, begin.elapsed(), jobs.iter().map(|job| (job.priority, job.id)));
        Ok(jobs)
    }

    /// Picks jobs of the next priority in turn.
    async fn pick_in_turn(&mut self, conn: &mut Conn, pick: Pick) -> Result<Option<Vec<Job>>> {
        let name = quoted(&self.name);
        let next = |above: i16| {
            format!(
                "SELECT priority FROM jobs FORCE INDEX (claim) WHERE queue = {name} AND status = 'PENDING' AND later = 0 \
                 AND priority > {above} ORDER BY priority LIMIT 1"
            )
        };
        let ask = |error| query_error("look for the next priority", error);
        let mut found: Option<i16> = conn.query_first(next(self.turn.unwrap_or(self.head))).await.map_err(ask)?;
        if found.is_none() && self.turn.is_some() {
            found = conn.query_first(next(self.head)).await.map_err(ask)?;
        }
        self.turn = found;
        let Some(priority) = found else { return Ok(None) };
        let condition = format!(" AND priority = {priority}{}", self.cursors.condition(self.cursors.next()));
        select(conn, true, &self.name, &condition, "id", pick).await.map(Some)
    }
}

/// Text in a statement: quoted so that nothing in it ends it. Names of queues come from configuration.
pub(crate) fn quoted(text: &str) -> String {
    headwater_mysql::driver::Value::from(text).as_sql(false)
}

#[expect(clippy::disallowed_methods, reason = "how long a statement took decides how often it is made")]
fn instant() -> Instant {
    Instant::now()
}

pub(crate) async fn begin(conn: &mut Conn) -> Result<()> {
    conn.query_drop("START TRANSACTION").await.map_err(|error| query_error("begin a transaction", error))
}

/// Candidates that a claim on MariaDB looks at beyond those it wants: others may hold some of them.
const SPARE: usize = 100;

async fn select(
    conn: &mut Conn,
    open: bool,
    queue: &str,
    condition: &str,
    order: &str,
    pick: Pick,
) -> Result<Vec<Job>> {
    let Pick { flavor, wanted, token } = pick;
    if flavor == Flavor::MySql {
        let rows = ask(conn, open, &select_sql(queue, condition, order, wanted)).await?;
        return rows.into_iter().map(|row| job(row, queue, token)).collect();
    }
    let mut open = open;
    let mut jobs: Vec<Job> = Vec::new();
    for part in 0.. {
        let slice = Slice { size: wanted + SPARE, part };
        let wanted = wanted - jobs.len();
        for row in ask(conn, open, &slice.select_sql(queue, condition, order, wanted)).await? {
            let job = job(row, queue, token)?;
            // Candidates may move between two slices, and own locks are not skipped.
            if part == 0 || jobs.iter().all(|picked| picked.id != job.id) {
                jobs.push(job);
            }
        }
        open = true;
        if jobs.len() >= pick.wanted || !slice.is_followed(conn, queue, condition, order).await? {
            break;
        }
    }
    Ok(jobs)
}

/// Runs the SELECT of a claim. Beginning its transaction and picking are one round trip.
async fn ask(conn: &mut Conn, open: bool, sql: &str) -> Result<Vec<Row>> {
    let failed = |error| query_error("claim jobs", error);
    if open {
        return conn.query(sql).await.map_err(failed);
    }
    let mut result = conn.query_iter(format!("START TRANSACTION; {sql}")).await.map_err(failed)?;
    let _: Vec<Row> = result.collect().await.map_err(failed)?;
    let rows: Vec<Row> = result.collect().await.map_err(failed)?;
    result.drop_result().await.map_err(failed)?;
    Ok(rows)
}

/// What a claim reads of a job, with the expression for the size of its payload.
fn columns(size: &str) -> String {
    format!(
        "id, job_type, IF({size} <= {PAYLOAD_BYTES}, payload, NULL), priority, retry_count, max_retries, limit_key, \
         batch_id, traceparent, TIMESTAMPDIFF(MICROSECOND, GREATEST(run_at, created_at), NOW(6))"
    )
}

/// The jobs that are due, by the index of claims.
fn due(queue: &str) -> String {
    format!("FROM jobs FORCE INDEX (claim) WHERE queue = {} AND status = 'PENDING' AND later = 0", quoted(queue))
}

/// The SELECT of a claim on MySQL.
pub(crate) fn select_sql(queue: &str, condition: &str, order: &str, wanted: usize) -> String {
    let (columns, due) = (columns("JSON_STORAGE_SIZE(payload)"), due(queue));
    format!("SELECT {columns} {due}{condition} ORDER BY {order} LIMIT {wanted} FOR UPDATE SKIP LOCKED")
}

/// Candidates of a claim on MariaDB, in the order of the index.
///
/// A locking scan of a range is not for MariaDB. It reads one entry over the range's end, and as long as the rows there are
/// held by others it goes on to the next one. Of each it keeps the entry locked, and its SKIP LOCKED queues for the row for an
/// instant: who holds the row and is about to change the entry meets a deadlock with a claim that has no business there.
/// So the candidates are read without locks, and each is locked by its whole key: nothing is read beyond it.
#[derive(Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) size: usize,
    /// Which of the slices that follow each other, from 0.
    pub(crate) part: usize,
}

impl Slice {
    /// The SELECT of a claim: the candidates lead, so jobs come and are locked in their order until there are enough.
    pub(crate) fn select_sql(self, queue: &str, condition: &str, order: &str, wanted: usize) -> String {
        let (columns, due, name) = (columns("LENGTH(payload)"), due(queue), quoted(queue));
        let (size, from) = (self.size, self.size * self.part);
        format!(
            "SELECT {columns} FROM (SELECT priority AS its_priority, id AS its_id {due}{condition} ORDER BY {order} \
             LIMIT {size} OFFSET {from}) candidate STRAIGHT_JOIN jobs FORCE INDEX (claim) ON queue = {name} \
             AND status = 'PENDING' AND later = 0 AND priority = its_priority AND id = its_id \
             LIMIT {wanted} FOR UPDATE SKIP LOCKED"
        )
    }

    /// Whether there are candidates behind.
    async fn is_followed(self, conn: &mut Conn, queue: &str, condition: &str, order: &str) -> Result<bool> {
        let from = self.size * (self.part + 1);
        let sql = format!("SELECT 1 {}{condition} ORDER BY {order} LIMIT 1 OFFSET {from}", due(queue));
        let found: Option<u8> = conn.query_first(sql).await.map_err(|error| query_error("look for jobs", error))?;
        Ok(found.is_some())
    }
}

fn job(row: Row, queue: &str, token: u64) -> Result<Job> {
    type Columns =
        (u64, String, Option<String>, i16, u32, Option<u32>, Option<String>, Option<u64>, Option<String>, i64);
    let (id, job_type, payload, priority, retry_count, max_retries, limit_key, batch_id, traceparent, waited): Columns =
        headwater_mysql::driver::from_row_opt(row).map_err(|error| {
            Error::usage("jobs.tables_differ", "a row of jobs is not what was expected")
                .detail(error.to_string())
                .hint("compare the table with `headwater jobs init --print`")
        })?;
    Ok(Job {
        id,
        queue: queue.to_owned(),
        job_type,
        payload: payload.unwrap_or_default(),
        priority,
        retry_count,
        max_retries,
        limit_key,
        batch_id,
        traceparent,
        waited: Duration::from_micros(u64::try_from(waited).unwrap_or(0)),
        token,
    })
}

/// Marks the picked jobs as running and commits.
pub(crate) async fn confirm(conn: &mut Conn, picked: &[u64], token: u64) -> Result<()> {
    if picked.is_empty() {
        return conn.query_drop("COMMIT").await.map_err(|error| query_error("end a claim", error));
    }
    let sql = format!(
        "UPDATE jobs SET status = 'RUNNING', locked_by = {token}, started_at = NOW(6), progress = NULL, \
         progress_message = NULL WHERE {}; COMMIT",
        id_list(picked)
    );
    conn.query_drop(sql).await.map_err(|error| query_error("claim jobs", error))
}

/// The payload of a job that was too large to come with its claim.
///
/// # Errors
/// `jobs.too_large`: MySQL gives an empty text instead of JSON that is longer than `max_allowed_packet`, and no error.
pub(crate) async fn payload(conn: &mut Conn, id: u64) -> Result<Option<String>> {
    let sql = format!("SELECT payload FROM jobs WHERE id = {id}");
    let payload: Option<String> =
        conn.query_first(sql).await.map_err(|error| query_error("read the payload", error))?;
    if payload.as_deref() == Some("") {
        return Err(Error::data("jobs.too_large", "the payload is larger than the server gives back").hint(
            "raise max_allowed_packet of the server and retry the job; better keep the data elsewhere and enqueue its address",
        ));
    }
    Ok(payload)
}
