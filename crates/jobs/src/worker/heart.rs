//! What happens beside the jobs: the heartbeat, one probe a second, the log that wakes, and maintenance.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::Conn;
use headwater_mysql::driver::prelude::Queryable;

use super::shared::{Phase, Shared};
use crate::Stop;
use crate::claim::quoted;

/// Between two probes.
const PROBE: Duration = Duration::from_secs(1);

/// Probes between two looks at the limits.
const LIMITS_EVERY: u32 = 5;

/// Beats and probes until the end.
pub(super) async fn run(shared: Arc<Shared>, conn: Conn) {
    let mut conn = Some(conn);
    let beat = (shared.lease.length() / 4).min(Duration::from_secs(15));
    let mut since = Duration::ZERO;
    let mut steps = 0u32;
    while shared.phase() != Phase::Ended {
        let step = PROBE.min(beat);
        if let Err(error) = step_once(&shared, &mut conn, since >= beat, steps.is_multiple_of(LIMITS_EVERY)).await {
            tracing::warn!(code = error.code(), detail = error.detail_text(), "no heartbeat: {error}");
            conn = None;
        } else if since >= beat {
            since = Duration::ZERO;
        }
        if shared.lease.left().is_zero() {
            // Nobody could be asked: others may have the jobs by now, so nothing of them may go on here.
            lose(&shared);
        }
        since += step;
        steps += 1;
        tokio::select! {
            () = pause(step) => {}
            () = shared.reached(Phase::Ended) => {}
        }
    }
}

/// What must be known before the first claim: pauses and limits.
pub(super) async fn first(shared: &Shared, conn: &mut Conn) -> Result<()> {
    load_limits(shared, conn).await?;
    probe(shared, conn).await
}

async fn load_limits(shared: &Shared, conn: &mut Conn) -> Result<()> {
    let limits = Arc::new(crate::limits::load(conn).await?);
    *shared.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    Ok(())
}

async fn step_once(shared: &Shared, conn: &mut Option<Conn>, beat: bool, limits: bool) -> Result<()> {
    let work = async {
        let mut open = match conn.take() {
            Some(open) => open,
            None => crate::queue::open(shared.queue.access()).await?,
        };
        if (beat || shared.lease.left().is_zero()) && !shared.lease.renew(&mut open).await? {
            lose(shared);
            shared.lease.start_over(&mut open).await?;
        }
        probe(shared, &mut open).await?;
        if limits {
            load_limits(shared, &mut open).await?;
        }
        *conn = Some(open);
        Ok(())
    };
    // A server that hangs must not keep the process from noticing that its lease ends.
    let patience = (shared.lease.length() / 4).max(Duration::from_millis(100));
    match tokio::time::timeout(patience, work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            Err(headwater_change::Error::remote("mysql.query", "the server did not answer the heartbeat in time"))
        }
    }
}

/// Everything that is held may be somebody else's.
fn lose(shared: &Shared) {
    let held = shared.running().len();
    if held > 0 {
        tracing::error!("the lease of this worker ended: {held} running jobs are stopped here");
    }
    shared.stop_running(Stop::LeaseLost);
}

/// One statement: is something due, was something cancelled, is something paused, does something depend on something.
async fn probe(shared: &Shared, conn: &mut Conn) -> Result<()> {
    let found: Vec<(i64, String, u64)> =
        conn.query(probe_sql(shared)).await.map_err(|error| query_error("probe the queue", error))?;
    let mut paused = HashSet::new();
    let mut dependencies = false;
    let mut due = false;
    for (kind, queue, id) in found {
        match kind {
            0 => due = true,
            1 => {
                let running = shared.running();
                if let Some(job) = running.get(&id) {
                    job.stop.send_if_modified(|stop| stop.replace(Stop::Cancelled).is_none());
                }
            }
            2 => drop(paused.insert(queue)),
            _ => dependencies = true,
        }
    }
    shared.dependencies.store(dependencies, Ordering::Relaxed);
    let resumed = {
        let mut known = shared.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let resumed = known.iter().any(|queue| !paused.contains(queue));
        *known = paused;
        resumed
    };
    if due || resumed {
        shared.bell.notify_one();
    }
    Ok(())
}

fn probe_sql(shared: &Shared) -> String {
    // Claims that find something need no probe, and with an old snapshot held by somebody it would be dear.
    let busy = shared.busy.load(Ordering::Relaxed);
    let mut parts = Vec::new();
    for queue in &shared.config.queues {
        let name = quoted(&queue.name);
        if !busy && !shared.is_paused(&queue.name) {
            parts.push(format!(
                "(SELECT 0, '', 0 FROM jobs FORCE INDEX (claim) WHERE queue = {name} AND status = 'PENDING' AND later = 0 LIMIT 1)"
            ));
        }
        parts.push(format!(
            "(SELECT 1, '', id FROM jobs FORCE INDEX (claim) WHERE queue = {name} AND status = 'CANCELLING' LIMIT 10000)"
        ));
    }
    parts.push("(SELECT 2, queue, 0 FROM job_queues WHERE paused <> 0)".to_owned());
    parts.push("(SELECT 3, '', 0 FROM job_dependencies LIMIT 1)".to_owned());
    parts.join(" UNION ALL ")
}

#[expect(clippy::disallowed_methods, reason = "the worker is where timers live")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
