//! Wake-up without polling: while the worker has nothing to do, the server's log tells it of new jobs.
//!
//! A worker that finds more than it can do needs no wake-up and would read its own claims in the log, so it stops
//! listening until it has caught up. What is committed between the start of listening and the first event is found by
//! the bell that is rung then, and in any case by the probe once a second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_change::{Error, ErrorKind};
use headwater_mysql::watch::Watch;

use super::shared::{Phase, Shared};

const TICK: Duration = Duration::from_secs(1);

/// Busy for so many ticks in a row: listening ends.
const BUSY_TICKS: u32 = 3;

/// Until it is tried again where the account or the server must be changed first.
const PATIENCE: Duration = Duration::from_secs(60);

/// Listens until the worker stops.
pub(super) async fn run(shared: Arc<Shared>) {
    if !shared.config.wake {
        return;
    }
    let Some(database) = shared.queue.access().database().map(str::to_owned) else { return };
    let mut told = false;
    while shared.phase() == Phase::Working {
        if shared.busy.load(Ordering::Relaxed) {
            shared.pause(TICK).await;
            continue;
        }
        let outcome = match Watch::start(shared.queue.access(), &database, "jobs").await {
            Ok(mut watch) => {
                told = false;
                shared.bell.notify_one();
                ring(&shared, &mut watch).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            let patience = complain(&error, &mut told);
            shared.pause(patience).await;
        }
    }
}

/// Rings for every insert, until the worker is busy or stops.
async fn ring(shared: &Shared, watch: &mut Watch) -> Result<(), Error> {
    let mut busy = 0;
    loop {
        tokio::select! {
            event = watch.next() => {
                event?;
                shared.metrics.wakeups.inc();
                shared.fresh.store(true, Ordering::Relaxed);
                shared.bell.notify_one();
            }
            () = shared.pause(TICK) => {
                busy = if shared.busy.load(Ordering::Relaxed) { busy + 1 } else { 0 };
                if busy >= BUSY_TICKS || shared.phase() != Phase::Working {
                    return Ok(());
                }
            }
        }
    }
}

fn complain(error: &Error, told: &mut bool) -> Duration {
    if error.kind() != ErrorKind::Usage {
        tracing::warn!(code = error.code(), detail = error.detail_text(), "no wake-up by the log for now: {error}");
        return TICK;
    }
    if !std::mem::replace(told, true) {
        let hint = error.hint_text().unwrap_or_default();
        tracing::warn!(code = error.code(), "no wake-up by the log, looking for jobs once a second: {error}; {hint}");
    }
    PATIENCE
}
