//! The queue as an application sees it: connections, and enqueuing alone, in bulk, or in the caller's transaction.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_change::{Error, Result};
use headwater_mysql::Access;
use headwater_mysql::client::{self, Flavor, query_error};
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, Value};

use crate::cipher::Cipher;
use crate::job::NewJob;

/// Said by every session behind what all sessions of the product say. READ COMMITTED, because under REPEATABLE READ even
/// a claim that finds nothing blocks the inserts of applications.
const SESSION: &[&str] = &[
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', SESSION innodb_lock_wait_timeout = 10",
];

/// Rows of one INSERT of a bulk.
const BULK_ROWS: usize = 500;

/// Bytes of payload in one statement that no server refuses: the least `max_allowed_packet` in use is 1 MiB.
const ALWAYS_TAKEN: usize = 512 << 10;

/// More than an INSERT of one job has beside the payload.
const STATEMENT_BYTES: usize = 4 << 10;

/// More than a row of a bulk has beside the payload.
const ROW_BYTES: usize = 1 << 10;

/// Idle sessions that are kept.
const IDLE_SESSIONS: usize = 16;

/// A queue in one database. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    access: Access,
    flavor: Flavor,
    idle: Mutex<Vec<Conn>>,
    cipher: Option<Cipher>,
}

impl Queue {
    /// Connects once, to see that the server answers.
    ///
    /// # Errors
    /// `mysql.connect`, `mysql.access_denied`, `jobs.database`: the URL names no database.
    pub async fn connect(access: Access) -> Result<Self> {
        if access.database().is_none() {
            return Err(Error::usage("jobs.database", "the URL names no database")
                .hint("write mysql://user@host/database: the one that holds the data"));
        }
        let mut conn = open(&access).await?;
        let flavor = client::flavor(&mut conn).await?;
        Ok(Self { inner: Arc::new(Inner { access, flavor, idle: Mutex::new(vec![conn]), cipher: None }) })
    }

    /// The same queue with payloads that are encrypted when they are enqueued here, and decrypted for handlers.
    #[must_use]
    pub fn with_cipher(self, cipher: Option<Cipher>) -> Self {
        let Inner { access, flavor, .. } = &*self.inner;
        let inner = Inner { access: access.clone(), flavor: *flavor, idle: Mutex::new(Vec::new()), cipher };
        Self { inner: Arc::new(inner) }
    }

    /// What payloads are encrypted with.
    pub fn cipher(&self) -> Option<&Cipher> {
        self.inner.cipher.as_ref()
    }

    /// The job as it is written: with its payload encrypted, where that is asked for.
    fn sealed(&self, job: &NewJob) -> Result<NewJob> {
        let mut job = job.clone();
        if let Some(cipher) = self.cipher() {
            job.payload = cipher.encrypt(&job.job_type, &job.payload)?;
        }
        Ok(job)
    }

    /// Which product answers.
    pub fn flavor(&self) -> Flavor {
        self.inner.flavor
    }

    /// Where the queue is.
    pub fn access(&self) -> &Access {
        &self.inner.access
    }

    /// A session: READ COMMITTED, UTC, strict. One that was given back, or a new one.
    ///
    /// # Errors
    /// As of [`connect`](Self::connect).
    pub async fn session(&self) -> Result<Conn> {
        let kept = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match kept {
            Some(mut conn) => match conn.ping().await {
                Ok(()) => Ok(conn),
                Err(_) => open(&self.inner.access).await,
            },
            None => open(&self.inner.access).await,
        }
    }

    /// Keeps a session for the next one who asks. Only without an open transaction; one that failed is dropped instead.
    pub fn give_back(&self, conn: Conn) {
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_SESSIONS {
            idle.push(conn);
        }
    }

    /// Enqueues one job in a transaction of its own; `None` where a job with its unique key is there already.
    ///
    /// # Errors
    /// `jobs.enqueue`; `jobs.too_large`: the payload is more than the server's `max_allowed_packet`.
    pub async fn enqueue(&self, job: &NewJob) -> Result<Option<u64>> {
        let mut conn = self.session().await?;
        let mut transaction = conn
            .start_transaction(headwater_mysql::driver::TxOpts::default())
            .await
            .map_err(|error| query_error("begin a transaction", error))?;
        let id = enqueue_in(&mut transaction, &self.sealed(job)?).await?;
        transaction.commit().await.map_err(|error| query_error("commit the job", error))?;
        self.give_back(conn);
        Ok(id)
    }

    /// Enqueues many jobs in one transaction, all or none, in as few statements as make sense. Jobs whose unique key is
    /// there already are left out. Returns how many were enqueued.
    ///
    /// # Errors
    /// `jobs.enqueue`; `jobs.bulk_after`: jobs that depend on others are enqueued one by one.
    pub async fn enqueue_all(&self, jobs: &[NewJob]) -> Result<u64> {
        if jobs.iter().any(|job| !job.after.is_empty()) {
            return Err(Error::usage("jobs.bulk_after", "a bulk cannot hold jobs that depend on others"));
        }
        let mut conn = self.session().await?;
        let mut transaction = conn
            .start_transaction(headwater_mysql::driver::TxOpts::default())
            .await
            .map_err(|error| query_error("begin a transaction", error))?;
        let mut enqueued = 0;
        let jobs = jobs.iter().map(|job| self.sealed(job)).collect::<Result<Vec<_>>>()?;
        let limit = payload_limit(&mut transaction, &jobs).await?;
        for part in parts(&jobs, limit) {
            let (sql, values) = insert(part);
            transaction.exec_drop(sql, values).await.map_err(enqueue_error)?;
            enqueued += transaction.affected_rows();
        }
        transaction.commit().await.map_err(|error| query_error("commit the jobs", error))?;
        self.give_back(conn);
        Ok(enqueued)
    }
}

/// Enqueues one job in the caller's transaction, its payload as it is: rolled back means never seen. The plain INSERT of any language does the
/// same; this one adds dependencies. `None` where a job with its unique key is there already.
///
/// # Errors
/// `jobs.enqueue`.
pub async fn enqueue_in(transaction: &mut impl Queryable, job: &NewJob) -> Result<Option<u64>> {
    payload_limit(transaction, std::slice::from_ref(job)).await?;
    let (sql, values) = insert(std::slice::from_ref(job));
    let result = transaction.exec_iter(sql, values).await.map_err(enqueue_error)?;
    let id = (result.affected_rows() > 0).then(|| result.last_insert_id()).flatten();
    result.drop_result().await.map_err(enqueue_error)?;
    if let (Some(id), false) = (id, job.after.is_empty()) {
        let rows: Vec<String> = job.after.iter().map(|parent| format!("({id}, {parent})")).collect();
        let sql = format!("INSERT IGNORE INTO job_dependencies (job_id, depends_on) VALUES {}", rows.join(", "));
        transaction.query_drop(sql).await.map_err(enqueue_error)?;
    }
    Ok(id)
}

/// One INSERT of jobs. IGNORE only where a unique key asks for it: it would make other mistakes warnings too.
fn insert(jobs: &[NewJob]) -> (String, Vec<Value>) {
    let ignore = if jobs.iter().any(|job| job.unique_key.is_some()) { " IGNORE" } else { "" };
    const ROW: &str = "(?, ?, ?, ?, ?, NOW(6) + INTERVAL ? MICROSECOND, NOW(6), ?, ?, ?, ?, ?)";
    let sql = format!(
        "INSERT{ignore} INTO jobs (queue, job_type, payload, priority, status, run_at, ready_from, max_retries, unique_key, \
         limit_key, batch_id, traceparent) VALUES {}",
        vec![ROW; jobs.len()].join(", ")
    );
    let mut values: Vec<Value> = Vec::with_capacity(jobs.len() * 11);
    for job in jobs {
        let status = if job.after.is_empty() { "PENDING" } else { "WAITING" };
        values.extend([
            Value::from(&job.queue),
            Value::from(&job.job_type),
            Value::from(&job.payload),
            Value::from(job.priority),
            Value::from(status),
            Value::from(u64::try_from(job.delay.min(Duration::from_secs(400_000_000)).as_micros()).unwrap_or(u64::MAX)),
            Value::from(job.max_retries),
            Value::from(job.unique_key.as_deref()),
            Value::from(job.limit_key.as_deref()),
            Value::from(job.batch_id),
            Value::from(job.traceparent.as_deref()),
        ]);
    }
    (sql, values)
}

fn enqueue_error(error: headwater_mysql::driver::Error) -> Error {
    let detail = error.to_string();
    Error::usage("jobs.enqueue", "the job was not enqueued").detail(detail).caused_by(error)
}

/// Bytes of payload that the server takes in one statement, where any of the jobs, or all together, may be too large.
///
/// # Errors
/// `jobs.too_large`, before anything is sent: a server that is sent more just hangs up.
async fn payload_limit(conn: &mut impl Queryable, jobs: &[NewJob]) -> Result<usize> {
    if jobs.iter().map(|job| job.payload.len()).sum::<usize>() < ALWAYS_TAKEN {
        return Ok(ALWAYS_TAKEN);
    }
    let packet: Option<usize> = conn.query_first("SELECT @@max_allowed_packet").await.map_err(enqueue_error)?;
    let limit = packet.map_or(ALWAYS_TAKEN, |packet| packet.saturating_sub(STATEMENT_BYTES));
    match jobs.iter().map(|job| job.payload.len()).find(|length| *length > limit) {
        Some(length) => Err(Error::usage(
            "jobs.too_large",
            format!("a payload of {length} bytes is more than the {limit} that the server takes"),
        )
        .hint("keep the data where it is and enqueue its address, or raise max_allowed_packet of the server")),
        None => Ok(limit),
    }
}

/// Jobs in parts for one statement each.
fn parts(mut jobs: &[NewJob], limit: usize) -> impl Iterator<Item = &[NewJob]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |job: &&NewJob| {
            bytes += job.payload.len() + ROW_BYTES;
            bytes <= limit
        };
        // The first one fits alone.
        let count = jobs.iter().take(BULK_ROWS).take_while(fits).count().max(1).min(jobs.len());
        let (part, rest) = jobs.split_at(count);
        jobs = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// One session.
pub(crate) async fn open(access: &Access) -> Result<Conn> {
    client::connect(access, SESSION).await
}

/// Whether the server gave a statement up so that another one could go on.
pub(crate) fn is_lock_trouble(error: &Error) -> bool {
    use headwater_mysql::driver;
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<driver::Error>());
    matches!(cause, Some(driver::Error::Server(server)) if matches!(server.code, 1205 | 1213))
}
