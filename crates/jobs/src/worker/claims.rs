//! The loop that claims: as many jobs as there is room for, from the queues by their weights.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use headwater_change::{Error, Result};
use headwater_mysql::driver::Conn;
use tokio::sync::{mpsc, watch};

use super::shared::{Phase, Shared};
use crate::Stop;
use crate::claim::{self, Pick, Picked, QueueClaims};
use crate::complete;
use crate::job::Job;
use crate::limits::{self, Limits};
use crate::metrics::label;

/// After a wake-up that found nothing: the log tells of a commit before the rows can be seen.
const LOOK_AGAIN: [Duration; 5] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
];

/// Most jobs of one claim.
const BATCH: usize = 1_000;

/// Tells whether the claim of jobs that started early was committed, once that is known.
pub(super) type Gate = watch::Receiver<Option<bool>>;

/// Jobs of one claim.
pub(super) type Claimed = (Vec<Job>, Option<Gate>);

/// The claims of a session, with the turn of its queues.
struct Claimer {
    shared: Arc<Shared>,
    jobs: mpsc::UnboundedSender<Claimed>,
    conn: Option<Conn>,
    queues: Vec<(QueueClaims, Weight)>,
    /// Whether a job may start while the commit of its claim is on its way. Not after a commit that failed: a server
    /// that refuses them would have the same job started again and again.
    early: bool,
    /// Claims whose commit was sent and not answered: their tokens and jobs.
    unheard: Vec<(u64, Vec<u64>)>,
}

/// Smooth weighted round robin.
struct Weight {
    name: String,
    weight: i64,
    credit: i64,
}

pub(super) async fn run(shared: Arc<Shared>, jobs: mpsc::UnboundedSender<Claimed>) {
    let queues = shared.config.queues.iter().map(|queue| {
        let weight = Weight { name: queue.name.clone(), weight: i64::from(queue.weight.max(1)), credit: 0 };
        (QueueClaims::new(queue.name.clone()), weight)
    });
    let queues = queues.collect();
    let mut claimer =
        Claimer { shared: Arc::clone(&shared), jobs, conn: None, queues, early: true, unheard: Vec::new() };
    let mut failures = 0;
    while shared.phase() == Phase::Working {
        let room = claimer.room().await;
        if shared.phase() != Phase::Working {
            break;
        }
        match claimer.round(room).await {
            Ok(found) => {
                failures = 0;
                shared.busy.store(found == room, Ordering::Relaxed);
                if found == room {
                    continue;
                }
                if found == 0 {
                    claimer.wait().await;
                }
            }
            Err(error) => {
                failures += 1;
                claimer.trouble(&error, failures).await;
            }
        }
    }
    if let Err(error) = claimer.settle().await {
        // The lease ends with the worker, and they get one more try.
        tracing::warn!(code = error.code(), detail = error.detail_text(), "jobs not given back: {error}");
    }
}

impl Claimer {
    /// Waits for room and tells how much there is.
    async fn room(&self) -> usize {
        let shared = &self.shared;
        loop {
            let notified = shared.room.notified();
            let executors = shared.config.executors;
            let held = shared.held.load(Ordering::Acquire);
            let buffered = shared.buffered.load(Ordering::Acquire);
            let ahead = self.look_ahead(buffered);
            // While one batch is being ended the next one is claimed.
            let room = (executors + 2 * ahead).saturating_sub(held);
            // Far ahead of the executors a claim waits until it is worth a commit.
            let batch = (executors + ahead).min(BATCH);
            let worth = if ahead > 0 { batch / 2 } else { 1 };
            if room >= worth.max(1) || shared.phase() != Phase::Working {
                return room.min(batch);
            }
            tokio::select! {
                () = notified => {}
                () = shared.reached(Phase::Stopping) => {}
            }
        }
    }

    /// Executors that run dry while there is more make claims larger; jobs that wait long in the buffer make them smaller
    /// (see `execute::dispatch`).
    fn look_ahead(&self, buffered: usize) -> usize {
        let shared = &self.shared;
        let ahead = shared.ahead.load(Ordering::Relaxed);
        if buffered == 0 && shared.busy.load(Ordering::Relaxed) {
            let more = (ahead * 2).max(shared.config.executors).min(shared.config.prefetch);
            shared.ahead.store(more, Ordering::Relaxed);
            return more;
        }
        ahead
    }

    /// One claim from each queue in turn until the room is full. Returns how many jobs were found.
    async fn round(&mut self, room: usize) -> Result<usize> {
        let mut found = 0;
        self.settle().await?;
        // A lease that is about to end is no time to take more.
        if self.shared.lease.left() < self.shared.lease.length() / 4 {
            self.shared.pause(Duration::from_millis(100)).await;
            return Ok(0);
        }
        for index in self.turns() {
            if found == room {
                break;
            }
            found += self.claim(index, room - found).await?;
        }
        Ok(found)
    }

    /// Gives back what claims took whose commit was not heard of. It may have been done all the same, and then the jobs
    /// are held under this worker's living lease while nobody here knows of them.
    async fn settle(&mut self) -> Result<()> {
        while let Some((token, ids)) = self.unheard.last() {
            let mut conn = match self.conn.take() {
                Some(conn) => conn,
                None => self.shared.queue.session().await?,
            };
            let back = self.shared.answered(complete::give_back_unheard(&mut conn, ids, *token)).await?;
            if back > 0 {
                tracing::warn!("{back} jobs were claimed by a commit that was not heard of: given back");
            }
            self.unheard.pop();
            self.conn = Some(conn);
        }
        Ok(())
    }

    /// The queues, the one whose turn it is first.
    fn turns(&mut self) -> Vec<usize> {
        let shared = &self.shared;
        let mut open: Vec<usize> = Vec::with_capacity(self.queues.len());
        let mut total = 0;
        for (index, (_, weight)) in self.queues.iter_mut().enumerate() {
            if !shared.is_paused(&weight.name) {
                weight.credit += weight.weight;
                total += weight.weight;
                open.push(index);
            }
        }
        open.sort_by_key(|index| self.queues.get(*index).map(|(_, weight)| -weight.credit));
        if let Some((_, weight)) = open.first().and_then(|first| self.queues.get_mut(*first)) {
            weight.credit -= total;
        }
        open
    }

    async fn claim(&mut self, index: usize, wanted: usize) -> Result<usize> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.shared.queue.session().await?,
        };
        let Some((queue, Weight { name, .. })) = self.queues.get_mut(index) else { return Ok(0) };
        let shared = &self.shared;
        let pick = Pick { flavor: shared.queue.flavor(), wanted, token: shared.lease.token() };
        shared.metrics.claims.inc();
        // A session that failed is dropped with its transaction.
        let limits = shared.limits();
        let (found, picked) = if limits.is_empty() {
            let picked = shared.scanned(queue.pick(&mut conn, false, pick)).await?;
            (picked.jobs.len(), picked)
        } else {
            shared.scanned(pick_within(&mut conn, &limits, queue, name, pick)).await?
        };
        self.start(&mut conn, picked).await?;
        self.conn = Some(conn);
        Ok(found)
    }

    /// Commits the claim and hands the jobs on.
    async fn start(&mut self, conn: &mut Conn, picked: Picked) -> Result<()> {
        let ids: Vec<u64> = picked.jobs.iter().map(|job| job.id).collect();
        let count = ids.len();
        let shared = Arc::clone(&self.shared);
        let mut confirm = Box::pin(shared.answered(claim::confirm(conn, &ids, picked.token)));
        // A single job that somebody waits for starts while its commit is on its way: the row is locked for us, and what
        // was sent is committed even if this process dies now.
        let early = self.early && count > 0 && count <= 4 && self.shared.fresh.load(Ordering::Relaxed);
        if !early {
            confirm.await.inspect_err(|_| self.unheard.push((picked.token, ids.clone())))?;
            self.early = true;
            self.hand_on(picked.jobs, None);
            return Ok(());
        }
        let sent = std::future::poll_fn(|waker| Poll::Ready(confirm.as_mut().poll(waker))).await;
        let (committed, gate) = watch::channel(None);
        self.hand_on(picked.jobs, Some(gate));
        let outcome = match sent {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => confirm.await,
        };
        committed.send_replace(Some(outcome.is_ok()));
        if outcome.is_err() {
            self.early = false;
            let running = self.shared.running();
            for job in ids.iter().filter_map(|id| running.get(id)) {
                job.stop.send_if_modified(|stop| stop.replace(Stop::LeaseLost).is_none());
            }
            self.unheard.push((picked.token, ids.clone()));
        }
        outcome
    }

    fn hand_on(&self, jobs: Vec<Job>, gate: Option<Gate>) {
        let (shared, count) = (&self.shared, jobs.len());
        if count == 0 {
            return;
        }
        for job in &jobs {
            shared.metrics.observe_wait(&job.queue, job.waited);
        }
        if let Some(job) = jobs.first() {
            shared.metrics.claimed.get_or_create(&label(&job.queue)).inc_by(count as u64);
        }
        shared.held.fetch_add(count, Ordering::AcqRel);
        shared.buffered.fetch_add(count, Ordering::AcqRel);
        // The receiver lives as long as the worker.
        let _ = self.jobs.send((jobs, gate));
    }

    /// Waits for the bell; after a wake-up by the log it looks again in a moment first.
    async fn wait(&mut self) {
        let shared = Arc::clone(&self.shared);
        if shared.fresh.swap(false, Ordering::Relaxed) {
            for delay in LOOK_AGAIN {
                self.shared.pause(delay).await;
                shared.fresh.store(true, Ordering::Relaxed);
                let room = shared.config.executors.saturating_sub(shared.held.load(Ordering::Acquire));
                let found = if room > 0 { self.round(room).await } else { Ok(0) };
                shared.fresh.store(false, Ordering::Relaxed);
                match found {
                    Ok(0) => {}
                    Ok(_) => return,
                    Err(error) => return self.trouble(&error, 1).await,
                }
            }
        }
        tokio::select! {
            () = shared.bell.notified() => {}
            () = shared.reached(Phase::Stopping) => {}
        }
    }

    async fn trouble(&mut self, error: &Error, failures: u32) {
        self.conn = None;
        if crate::queue::is_lock_trouble(error) {
            self.shared.metrics.deadlocks.inc();
        }
        tracing::warn!(code = error.code(), detail = error.detail_text(), "no claim: {error}");
        self.shared.pause(Duration::from_millis(50 << failures.min(7))).await;
    }
}

/// Picks from a queue that has limits, or whose keys have. Returns how many jobs were found, also where their keys had no
/// room for them: there may be others behind.
async fn pick_within(
    conn: &mut Conn,
    limits: &Limits,
    queue: &mut QueueClaims,
    name: &str,
    pick: Pick,
) -> Result<(usize, Picked)> {
    let mut wanted = pick.wanted;
    if limits.of_queue(name) {
        claim::begin(conn).await?;
        wanted = limits::allowance(conn, name, wanted).await?;
        if wanted == 0 {
            return Ok((0, Picked { jobs: Vec::new(), token: pick.token }));
        }
    }
    let mut picked = queue.pick(conn, limits.of_queue(name), Pick { wanted, ..pick }).await?;
    let found = picked.jobs.len();
    if limits.of_keys(name) {
        picked.jobs = limits::admit(conn, limits, name, picked.jobs).await?;
    }
    if limits.of_queue(name) {
        limits::charge(conn, name, picked.jobs.len()).await?;
    }
    Ok((found, picked))
}
