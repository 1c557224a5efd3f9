//! The lease of a process: one row of `job_workers` that one statement renews, whatever the number of its jobs.
//!
//! The process itself stops believing in its lease before anybody else may: it counts from the moment before the renewal
//! was sent. A lease that was once seen to be over is never renewed, even where the row is still there: who saw it has
//! let go of jobs, and these come to others only with the row's end. The process goes on under a new number.
//!
//! A claim's token is the worker's number and the number of the claim, so it is never used twice.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, params};

/// The lease of this process.
pub(crate) struct Lease {
    name: String,
    length: Duration,
    claims: AtomicU32,
    term: Mutex<Term>,
}

/// What holds under one number.
#[derive(Clone, Copy, Debug)]
struct Term {
    /// The row in `job_workers`; 0 before the first.
    worker: u64,
    until: Instant,
    /// Somebody saw it run out.
    over: bool,
}

impl Lease {
    /// Registers the process.
    pub(crate) async fn register(conn: &mut Conn, name: &str, length: Duration) -> Result<Self> {
        let term = Term { worker: 0, until: now(), over: true };
        let lease = Self { name: name.to_owned(), length, claims: AtomicU32::new(0), term: Mutex::new(term) };
        lease.enter(conn).await?;
        Ok(lease)
    }

    /// Goes on under a new number: what was held under the old one is for others.
    pub(crate) async fn start_over(&self, conn: &mut Conn) -> Result<()> {
        self.end(conn).await?;
        self.enter(conn).await
    }

    async fn enter(&self, conn: &mut Conn) -> Result<()> {
        let sent = now();
        let result = conn
            .exec_iter(
                "INSERT INTO job_workers (name, lease_until) VALUES (LEFT(:name, 190), NOW(6) + INTERVAL :length MICROSECOND)",
                params! { "name" => &self.name, "length" => self.micros() },
            )
            .await
            .map_err(|error| query_error("register this worker", error))?;
        let worker = result.last_insert_id().unwrap_or(0);
        result.drop_result().await.map_err(|error| query_error("register this worker", error))?;
        *self.term() = Term { worker, until: sent + self.length, over: false };
        Ok(())
    }

    /// Renews the lease. `false`: it is over, everything held is for somebody else.
    pub(crate) async fn renew(&self, conn: &mut Conn) -> Result<bool> {
        if self.left().is_zero() {
            return Ok(false);
        }
        let sent = now();
        let result = conn
            .exec_iter(
                "UPDATE job_workers SET seen_at = NOW(6), lease_until = NOW(6) + INTERVAL :length MICROSECOND \
                 WHERE id = :id AND state <> 'LOST'",
                params! { "length" => self.micros(), "id" => self.worker() },
            )
            .await
            .map_err(|error| query_error("renew the lease", error))?;
        let held = result.affected_rows() > 0;
        result.drop_result().await.map_err(|error| query_error("renew the lease", error))?;
        Ok(held && self.keep(sent))
    }

    /// Takes the row away, if nothing runs under it any more; what does is left to the rescuer.
    pub(crate) async fn end(&self, conn: &mut Conn) -> Result<()> {
        let id = self.worker();
        let end = format!(
            "UPDATE job_workers SET state = 'STOPPING', lease_until = NOW(6) WHERE id = {id} AND state <> 'LOST'"
        );
        conn.query_drop(end).await.map_err(|error| query_error("end the lease", error))
    }

    /// The number of this process.
    pub(crate) fn worker(&self) -> u64 {
        self.term().worker
    }

    /// A token for one claim.
    pub(crate) fn token(&self) -> u64 {
        self.worker() << 32 | u64::from(self.claims.fetch_add(1, Ordering::Relaxed))
    }

    /// What is left of the lease: nothing, once that was seen.
    pub(crate) fn left(&self) -> Duration {
        let mut term = self.term();
        let left = term.until.saturating_duration_since(now());
        term.over |= left.is_zero();
        if term.over { Duration::ZERO } else { left }
    }

    /// Whether a claim is for somebody else by now.
    pub(crate) fn is_lost(&self, token: u64) -> bool {
        self.left().is_zero() || token >> 32 != self.worker()
    }

    /// Its length.
    pub(crate) fn length(&self) -> Duration {
        self.length
    }

    /// Counts from when the renewal was sent. `false`: it came too late.
    fn keep(&self, sent: Instant) -> bool {
        let mut term = self.term();
        if !term.over {
            term.until = sent + self.length;
        }
        !term.over
    }

    fn term(&self) -> MutexGuard<'_, Term> {
        self.term.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.length.as_micros()).unwrap_or(u64::MAX)
    }
}

#[expect(clippy::disallowed_methods, reason = "a lease is a length of time")]
fn now() -> Instant {
    Instant::now()
}
