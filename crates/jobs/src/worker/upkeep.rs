//! The worker's share in keeping the tables in order: it runs the maintainer, which does something in one process only.

use std::sync::Arc;
use std::time::Duration;

use super::shared::{Phase, Shared};
use crate::maintain::{MaintainSettings, Maintainer, Tick};

/// After a round that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Maintains until the worker stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let settings = MaintainSettings { keep_days: shared.config.keep_days };
    let mut maintainer = Maintainer::new(shared.queue.clone(), shared.handlers.clone(), settings);
    while shared.phase() == Phase::Working {
        let wait = match maintainer.tick().await {
            Ok(tick) => {
                note(&shared, &tick);
                tick.wait
            }
            Err(error) => {
                tracing::warn!(code = error.code(), detail = error.detail_text(), "no maintenance for now: {error}");
                PAUSE
            }
        };
        shared.pause(wait).await;
    }
}

fn note(shared: &Shared, tick: &Tick) {
    let metrics = &shared.metrics;
    metrics.promoted.inc_by(tick.promoted);
    metrics.rescued.inc_by(tick.rescued);
    metrics.scheduled.inc_by(tick.fired);
    if tick.promoted + tick.fired + tick.unparked + tick.freed + tick.batches > 0 {
        shared.bell.notify_one();
    }
}
