//! [`Control`]: the hand on a running query, to stop it and to watch its progress from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::flow::NO_WATERMARK;

/// Stops a run and shows its progress. Clones share one run.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    late_rows: AtomicU64,
    stray_rows: AtomicU64,
    epochs: AtomicU64,
    watermark: AtomicI64,
    keys: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            stop: AtomicBool::new(false),
            rows_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            late_rows: AtomicU64::new(0),
            stray_rows: AtomicU64::new(0),
            epochs: AtomicU64::new(0),
            watermark: AtomicI64::new(NO_WATERMARK),
            keys: AtomicU64::new(0),
        }
    }
}

/// How far a run is. Counters start with the run, not with the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows read from sources.
    pub rows_in: u64,
    /// Rows written to sinks.
    pub rows_out: u64,
    /// Rows dropped because their window had fired.
    pub late_rows: u64,
    /// Retractions of groups that were never there, ignored as Flink does.
    pub stray_rows: u64,
    /// Epochs committed.
    pub epochs: u64,
    /// The least watermark that sinks have seen, in milliseconds; `None` before the first and at the end of all input.
    pub watermark: Option<i64>,
    /// Groups held by operators.
    pub keys: u64,
}

impl Control {
    /// A hand for one run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a clean stop: the transaction at hand is finished, its epoch committed and published.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }

    /// Whether [`Control::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }

    /// How far the run is.
    pub fn progress(&self) -> Progress {
        let shared = &self.0;
        let watermark = shared.watermark.load(Ordering::Relaxed);
        Progress {
            rows_in: shared.rows_in.load(Ordering::Relaxed),
            rows_out: shared.rows_out.load(Ordering::Relaxed),
            late_rows: shared.late_rows.load(Ordering::Relaxed),
            stray_rows: shared.stray_rows.load(Ordering::Relaxed),
            epochs: shared.epochs.load(Ordering::Relaxed),
            watermark: (watermark != NO_WATERMARK && watermark != i64::MAX).then_some(watermark),
            keys: shared.keys.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn add_rows_in(&self, rows: usize) {
        self.0.rows_in.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_rows_out(&self, rows: usize) {
        self.0.rows_out.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_late_rows(&self, rows: u64) {
        self.0.late_rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn add_stray_rows(&self, rows: u64) {
        self.0.stray_rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn add_epoch(&self) {
        self.0.epochs.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_watermark(&self, watermark: i64) {
        self.0.watermark.store(watermark, Ordering::Relaxed);
    }

    /// Keys that came less keys that went; wraps back to the true number.
    pub(crate) fn add_keys(&self, difference: i64) {
        self.0.keys.fetch_add(difference as u64, Ordering::Relaxed);
    }
}
