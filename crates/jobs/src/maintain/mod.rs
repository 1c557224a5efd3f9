//! What one process does for all: promotes due jobs, rescues those of lost workers, fires schedules, brings parked jobs
//! back, sets free what waited, and keeps the partitions of days.
//!
//! The process that holds the lock `headwater-jobs:<database>` leads; the others ask for it every five seconds, and get
//! it when the session of the leader ends. The lock saves work only: every part is safe when two processes do it at once.
//! An idle round is one statement, which asks all questions together.

use std::time::Duration;

use headwater_change::{Error, Result};
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, Row};

use crate::handler::Handlers;
use crate::queue::{Queue, open};
use crate::{limits, settle};

mod cron;
mod partition;
mod promote;
mod rescue;
mod schedule;

#[cfg(test)]
mod tests;

pub use cron::Pattern;
#[cfg(test)]
pub(crate) use promote::PROMOTE;
pub use schedule::{CatchUp, Known, Schedule, enable, known, remove, unique_key_at, upsert};

/// No round comes later while this process leads.
const ROUND: Duration = Duration::from_secs(1);

/// No round comes sooner: what is due within it is promoted together.
const PAUSE: Duration = Duration::from_millis(10);

/// Until the next round when something stayed due.
const AGAIN: Duration = Duration::from_millis(100);

/// Until the lock is asked for again.
const ASK: Duration = Duration::from_secs(5);

/// After such a silence of the leader the server ends its session.
const SILENCE: Duration = Duration::from_secs(30);

/// Seconds between looks at what hardly ever is there.
const SLOW: i64 = 30;

/// Seconds between looks at the partitions.
const PARTITIONS: i64 = 600;

/// The lock's name, which has up to 64 characters.
const LOCK: &str =
    "CONCAT('headwater-jobs:', IF(CHAR_LENGTH(DATABASE()) > 48, LEFT(SHA2(DATABASE(), 256), 40), DATABASE()))";

/// How the tables are to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintainSettings {
    /// Days for which finished jobs and failed attempts are kept; at least 1.
    pub keep_days: u32,
}

impl Default for MaintainSettings {
    /// A week.
    fn default() -> Self {
        Self { keep_days: 7 }
    }
}

/// What one round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Whether this process leads.
    pub leads: bool,
    /// When to come again, at the latest.
    pub wait: Duration,
    /// Jobs that became due.
    pub promoted: u64,
    /// Workers whose lease expired.
    pub lost_workers: u64,
    /// Jobs of such workers that got one more try.
    pub rescued: u64,
    /// Jobs enqueued by schedules.
    pub fired: u64,
    /// Parked jobs whose key has room again.
    pub unparked: u64,
    /// Jobs whose parents are done.
    pub freed: u64,
    /// Batches that were finished.
    pub batches: u64,
    /// Partitions made and dropped.
    pub partitions: u64,
    /// Parts of the round that failed; the log says why.
    pub failures: u32,
}

/// Keeps a queue's tables in order. Call [`tick`](Self::tick) again and again.
pub struct Maintainer {
    queue: Queue,
    handlers: Handlers,
    settings: MaintainSettings,
    session: Option<Conn>,
    swept: settle::Swept,
    released: limits::Released,
    /// Server times (Unix seconds) of the last looks.
    slow_at: i64,
    partitions_at: i64,
    /// The account may not change partitions, and the log says so.
    partitions_denied: bool,
}

/// The answers of the one statement.
struct Questions {
    leads: bool,
    now: i64,
    due: Option<i64>,
    cron: Option<i64>,
    lost: bool,
    parked: bool,
    dependencies: bool,
    batches: bool,
}

impl Maintainer {
    /// For a queue. The handlers tell the retry policies of job types; a type that is not there has the default.
    pub fn new(queue: Queue, handlers: Handlers, settings: MaintainSettings) -> Self {
        Self {
            queue,
            handlers,
            settings,
            session: None,
            swept: settle::Swept::default(),
            released: limits::Released::default(),
            slow_at: 0,
            partitions_at: 0,
            partitions_denied: false,
        }
    }

    /// One round. A part that fails does not keep the others from their work.
    ///
    /// # Errors
    /// As of [`Queue::connect`], and `mysql.query`: the server could not be asked; come again after a pause.
    pub async fn tick(&mut self) -> Result<Tick> {
        let mut conn = match self.session.take() {
            Some(conn) => conn,
            None => match self.lead().await? {
                Some(conn) => conn,
                None => return Ok(Tick { wait: ASK, ..Tick::default() }),
            },
        };
        // A session that fails here is dropped, and with it the lock.
        let questions = ask(&mut conn).await?;
        if !questions.leads {
            return Ok(Tick { wait: ASK, ..Tick::default() });
        }
        let mut tick = Tick { leads: true, wait: ROUND, ..Tick::default() };
        let sound = self.work(&mut conn, &questions, &mut tick).await;
        let mut next = [questions.due, questions.cron];
        if next.iter().flatten().any(|micros| *micros <= 0) {
            next = coming(&mut conn).await?;
        }
        for micros in next.into_iter().flatten() {
            // What is still due is somebody else's just now, or more than one round does.
            let wait = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
            tick.wait = tick.wait.min(if wait.is_zero() { AGAIN } else { wait.max(PAUSE) });
        }
        if sound {
            self.session = Some(conn);
        }
        Ok(tick)
    }

    /// Does what the answers ask for. Returns whether the session is still good.
    async fn work(&mut self, conn: &mut Conn, questions: &Questions, tick: &mut Tick) -> bool {
        let due = |next: Option<i64>| next.is_some_and(|micros| micros <= 0);
        let mut sound = true;
        if due(questions.due) {
            let result = promote::promote(conn).await;
            sound &= after(conn, tick, result, |tick, jobs| tick.promoted = jobs).await;
        }
        if questions.lost {
            let result = rescue::lost_workers(conn, &self.handlers).await;
            let note = |tick: &mut Tick, rescued: rescue::Rescued| {
                tick.rescued += rescued.jobs;
                tick.lost_workers += rescued.workers;
            };
            sound &= after(conn, tick, result, note).await;
        }
        if due(questions.cron) {
            let result = schedule::fire(conn).await;
            sound &= after(conn, tick, result, |tick, jobs| tick.fired = jobs).await;
        }
        if questions.dependencies || questions.batches {
            let result = settle::sweep(conn, &mut self.swept).await;
            let note = |tick: &mut Tick, settled: settle::Settled| {
                tick.freed += settled.released;
                tick.batches += settled.batches;
            };
            sound &= after(conn, tick, result, note).await;
        }
        if questions.parked {
            let result = self.unpark(conn).await;
            sound &= after(conn, tick, result, |tick, jobs| tick.unparked = jobs).await;
        }
        if (questions.now - self.slow_at).abs() >= SLOW {
            self.slow_at = questions.now;
            let result = self.slow(conn).await;
            let note = |tick: &mut Tick, (rescued, freed)| {
                tick.rescued += rescued;
                tick.freed += freed;
            };
            sound &= after(conn, tick, result, note).await;
        }
        if !self.partitions_denied && (questions.now - self.partitions_at).abs() >= PARTITIONS {
            self.partitions_at = questions.now;
            let result = partition::partition(conn, self.settings.keep_days).await;
            if result.as_ref().is_ok_and(|done| done.denied) {
                self.partitions_denied = true;
                tracing::warn!(
                    "the account may not ALTER jobs_done and job_attempts: old rows stay until somebody deletes them"
                );
            }
            sound &= after(conn, tick, result, |tick, done| tick.partitions = done.made + done.dropped).await;
        }
        sound
    }

    /// A session with the lock, if this process can have it.
    async fn lead(&mut self) -> Result<Option<Conn>> {
        let mut conn = open(self.queue.access()).await?;
        let got: Option<Option<i64>> = conn
            .query_first(format!("SELECT GET_LOCK({LOCK}, 0)"))
            .await
            .map_err(|error| query_error("give the lock of the queue", error))?;
        if got.flatten() == Some(1) {
            // A leader speaks every second; the lock of one whose machine vanished is not to be held for hours.
            conn.query_drop(format!("SET SESSION wait_timeout = {}", SILENCE.as_secs()))
                .await
                .map_err(|error| query_error("set the timeout of the leader's session", error))?;
            return Ok(Some(conn));
        }
        // The goodbye is a courtesy.
        let _ = conn.disconnect().await;
        Ok(None)
    }

    async fn unpark(&mut self, conn: &mut Conn) -> Result<u64> {
        let limits = limits::load(conn).await?;
        limits::release_all(conn, &limits, &mut self.released).await
    }

    /// What hardly ever is there: running jobs of nobody, jobs that wait for nothing, buckets that are full again.
    async fn slow(&mut self, conn: &mut Conn) -> Result<(u64, u64)> {
        let rescued = rescue::orphans(conn, &self.handlers).await?;
        let mut freed = 0;
        for queue in rescue::queues(conn).await? {
            freed += settle::sweep_waiting(conn, &queue).await?;
        }
        let limits = limits::load(conn).await?;
        limits::forget(conn, &limits).await?;
        Ok((rescued, freed))
    }
}

/// Notes what a part came to. After a failure the session is brought back to no transaction; returns whether it is good.
async fn after<T>(conn: &mut Conn, tick: &mut Tick, result: Result<T>, note: impl FnOnce(&mut Tick, T)) -> bool {
    let error: Error = match result {
        Ok(value) => {
            note(tick, value);
            return true;
        }
        Err(error) => error,
    };
    tick.failures += 1;
    tracing::warn!(code = error.code(), detail = error.detail_text(), "maintenance of the queue failed: {error}");
    conn.query_drop("ROLLBACK").await.is_ok()
}

/// Microseconds until the next job and the next schedule are due.
async fn coming(conn: &mut Conn) -> Result<[Option<i64>; 2]> {
    let row: Option<(Option<i64>, Option<i64>)> = conn
        .query_first(format!("SELECT {}, {}", promote::NEXT, schedule::NEXT))
        .await
        .map_err(|error| query_error("say what is due next", error))?;
    let (job, cron) = row.unwrap_or_default();
    Ok([job, cron])
}

/// All questions of a round in one statement, each answered by a probe of an index.
async fn ask(conn: &mut Conn) -> Result<Questions> {
    let failed = |error| query_error("say what is to be done for the queue", error);
    let sql = format!(
        "SELECT COALESCE(IS_USED_LOCK({LOCK}) = CONNECTION_ID(), 0), CAST(FLOOR(UNIX_TIMESTAMP(NOW(6))) AS SIGNED), {}, {}, \
         {}, {}, {}",
        promote::NEXT,
        schedule::NEXT,
        rescue::LOST,
        limits::PARKED,
        settle::OPEN
    );
    let row: Option<Row> = conn.query_first(sql).await.map_err(failed)?;
    let answers = row.and_then(|row| {
        let yes = |at| row.get::<i64, usize>(at).map(|value| value != 0);
        Some(Questions {
            leads: yes(0)?,
            now: row.get(1)?,
            due: row.get(2)?,
            cron: row.get(3)?,
            lost: yes(4)?,
            parked: yes(5)?,
            dependencies: yes(6)?,
            batches: yes(7)?,
        })
    });
    answers.ok_or_else(|| Error::bug("jobs.maintain", "the server's answer is not what was asked for"))
}
