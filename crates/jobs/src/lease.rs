//! The lease of a process: one row of `job_workers` that one statement renews, whatever the number of its jobs.
//!
//! The process itself stops believing in its lease before anybody else may: it counts from the moment before the renewal
//! was sent. A claim's token is the worker's number and the number of the claim, so it is never used twice.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, params};

/// The lease of this process.
pub(crate) struct Lease {
    name: String,
    length: Duration,
    worker: AtomicU64,
    claims: AtomicU32,
    until: Mutex<Instant>,
}

impl Lease {
    /// Registers the process.
    pub(crate) async fn register(conn: &mut Conn, name: &str, length: Duration) -> Result<Self> {
        let lease = Self {
            name: name.to_owned(),
            length,
            worker: AtomicU64::new(0),
            claims: AtomicU32::new(0),
            until: Mutex::new(now()),
        };
        lease.renew_registration(conn).await?;
        Ok(lease)
    }

    /// Registers under a new number: what was held under the old one is lost.
    pub(crate) async fn renew_registration(&self, conn: &mut Conn) -> Result<()> {
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
        self.worker.store(worker, Ordering::Release);
        self.keep(sent);
        Ok(())
    }

    /// Renews the lease. `false`: it ran out and was taken, everything held is somebody else's.
    pub(crate) async fn renew(&self, conn: &mut Conn) -> Result<bool> {
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
        if held {
            self.keep(sent);
        }
        Ok(held)
    }

    /// Takes the row away, if nothing runs under it any more; what does is left to the rescuer.
    pub(crate) async fn end(&self, conn: &mut Conn) -> Result<()> {
        let id = self.worker();
        conn.query_drop(format!("UPDATE job_workers SET state = 'STOPPING', lease_until = NOW(6) WHERE id = {id}"))
            .await
            .map_err(|error| query_error("end the lease", error))
    }

    /// The number of this process.
    pub(crate) fn worker(&self) -> u64 {
        self.worker.load(Ordering::Acquire)
    }

    /// A token for one claim.
    pub(crate) fn token(&self) -> u64 {
        self.worker() << 32 | u64::from(self.claims.fetch_add(1, Ordering::Relaxed))
    }

    /// What is left of the lease.
    pub(crate) fn left(&self) -> Duration {
        self.until.lock().unwrap_or_else(PoisonError::into_inner).saturating_duration_since(now())
    }

    /// Its length.
    pub(crate) fn length(&self) -> Duration {
        self.length
    }

    fn keep(&self, sent: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = sent + self.length;
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.length.as_micros()).unwrap_or(u64::MAX)
    }
}

#[expect(clippy::disallowed_methods, reason = "a lease is a length of time")]
fn now() -> Instant {
    Instant::now()
}
