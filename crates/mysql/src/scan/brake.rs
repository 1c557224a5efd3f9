//! The brake: no further range is begun while the server has enough to do. A range that is being read is read to its end,
//! because a connection that stops in the middle of its rows would be closed by the server.
//!
//! | option | holds while |
//! |---|---|
//! | `scan.brake.threads-running` | more threads of others than that are at work (`Threads_running`) |
//! | `scan.brake.replica-lag` | the server is a replica and further behind than that |
//! | `scan.brake.share` | a connection has not rested long enough: at 25 it rests three times as long as it reads |
//!
//! A process that is told to pause ([`headwater_change::pause`]) holds, too.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use headwater_change::{Error, Result, pause};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use tokio::runtime::Runtime;

use crate::client::{self, query_error};
use crate::jdbc::Config;
use crate::notice;

/// How often the server is asked.
const EVERY: Duration = Duration::from_millis(500);

/// How long a wait sleeps at a time.
const NAP: Duration = Duration::from_millis(50);

/// What a server may have to do before it is left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Threads of others at work.
    pub(crate) threads_running: Option<u64>,
    /// Of a replica.
    pub(crate) lag: Option<Duration>,
    /// Hundredths of the time in which a connection may read.
    pub(crate) share: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Brake {
    limits: Limits,
    /// Why it holds.
    held: Mutex<Option<String>>,
    /// Connections that read.
    reading: AtomicU64,
    ended: AtomicBool,
}

impl Brake {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether the server is to be asked.
    pub(super) fn asks(&self) -> bool {
        self.limits.threads_running.is_some() || self.limits.lag.is_some()
    }

    /// Nobody wants rows any more, or all were read.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Why no range is begun.
    pub(super) fn held(&self) -> Option<String> {
        if pause::is_on() {
            return Some("paused".to_owned());
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits until a range may be begun; `false` where none is to be begun any more.
    pub(super) fn wait(&self) -> bool {
        while self.held().is_some() && !self.ended() {
            nap(NAP);
        }
        !self.ended()
    }

    /// Around the reading of a range, which took `elapsed`: rests as long as the share says.
    pub(super) fn rest(&self, elapsed: Duration) {
        let Some(share) = self.limits.share.filter(|share| *share > 0) else { return };
        let mut left = elapsed.saturating_mul(100 - share.min(100)) / share;
        while !left.is_zero() && !self.ended() {
            nap(left.min(NAP));
            left = left.saturating_sub(NAP);
        }
    }

    pub(super) fn begin(&self) {
        self.reading.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn finish(&self) {
        self.reading.fetch_sub(1, Ordering::Relaxed);
    }

    fn hold(&self, why: Option<String>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Looks at the server until the scan has ended. A server that does not answer is not asked again: the scan itself will
    /// hear of it.
    pub(super) fn watch(&self, mut watcher: Watcher, table: &str) {
        while !self.ended() {
            let mut left = EVERY;
            while !left.is_zero() && !self.ended() {
                nap(NAP);
                left = left.saturating_sub(NAP);
            }
            if let Err(error) = watcher.look(self) {
                notice::warn(format!("{table} is read without a brake from now on: {error}"));
                return self.hold(None);
            }
        }
    }
}

/// The connection that asks how the server is.
pub(super) struct Watcher {
    runtime: Runtime,
    conn: Conn,
}

impl Watcher {
    pub(super) fn new(runtime: Runtime, config: &Config) -> Result<Self> {
        let conn = runtime.block_on(client::connect(&config.access, &[]))?;
        Ok(Self { runtime, conn })
    }

    /// Looks once.
    pub(super) fn look(&mut self, brake: &Brake) -> Result<()> {
        let Self { runtime, conn } = self;
        let why = runtime.block_on(async {
            match busy(conn, brake).await? {
                Some(why) => Ok(Some(why)),
                None => behind(conn, brake).await,
            }
        })?;
        brake.hold(why);
        Ok(())
    }
}

async fn busy(conn: &mut Conn, brake: &Brake) -> Result<Option<String>> {
    let Some(most) = brake.limits.threads_running else { return Ok(None) };
    let row: Option<(String, String)> = conn
        .query_first("SHOW GLOBAL STATUS LIKE 'Threads_running'")
        .await
        .map_err(|error| query_error("ask how busy the server is", error))?;
    let running: u64 = row.and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
    // The one that asks is one of them.
    let own = brake.reading.load(Ordering::Relaxed) + 1;
    let others = running.saturating_sub(own);
    Ok((others > most).then(|| format!("held: {others} threads are running")))
}

async fn behind(conn: &mut Conn, brake: &Brake) -> Result<Option<String>> {
    let Some(most) = brake.limits.lag else { return Ok(None) };
    let Some(seconds) = lag(conn).await? else { return Ok(None) };
    Ok((Duration::from_secs(seconds) > most).then(|| format!("held: the replica is {seconds} s behind")))
}

/// Seconds that a replica is behind; none on a server that is none, or does not know.
async fn lag(conn: &mut Conn) -> Result<Option<u64>> {
    // MySQL's newer word, and the one of MariaDB and of older servers.
    for sql in ["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"] {
        let row: Option<Row> = match conn.query_first(sql).await {
            Err(mysql_async::Error::Server(error)) if error.code == 1064 => continue,
            Err(mysql_async::Error::Server(error)) if matches!(error.code, 1227 | 1045) => {
                return Err(Error::usage("mysql.privilege", "the user may not ask how far the replica is behind")
                    .detail(error.message)
                    .hint(
                        "GRANT REPLICATION CLIENT ON *.* (on MariaDB REPLICA MONITOR), or leave scan.brake.replica-lag out",
                    ));
            }
            other => other.map_err(|error| query_error("ask how far the replica is behind", error))?,
        };
        let seconds = |row: Row| {
            let named = |name: &str| row.get_opt::<Option<u64>, _>(name).and_then(std::result::Result::ok).flatten();
            named("Seconds_Behind_Source").or_else(|| named("Seconds_Behind_Master"))
        };
        return Ok(row.and_then(seconds));
    }
    Ok(None)
}

#[expect(clippy::disallowed_methods, reason = "the server is left alone for a while")]
fn nap(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rested_for() {
        let brake = Brake::new(Limits { share: Some(50), ..Limits::default() });
        #[expect(clippy::disallowed_methods, reason = "how long it rests is what is tested")]
        let now = std::time::Instant::now;
        let begun = now();
        brake.rest(Duration::from_millis(120));
        assert!(begun.elapsed() >= Duration::from_millis(110));
        brake.end();
        let begun = now();
        brake.rest(Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(10) && !brake.wait());
    }
}
