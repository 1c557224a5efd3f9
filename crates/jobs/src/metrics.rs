//! What a worker counts, in Prometheus' text form. Labels are queues only: they come from configuration, never from data.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

type Labels = [(&'static str, String); 1];

/// The counters, gauges and histograms of one worker.
pub struct Metrics {
    registry: Registry,
    pub(crate) claims: Counter,
    pub(crate) claimed: Family<Labels, Counter>,
    pub(crate) completed: Family<Labels, Counter>,
    pub(crate) retried: Family<Labels, Counter>,
    pub(crate) dead: Family<Labels, Counter>,
    pub(crate) given_back: Family<Labels, Counter>,
    pub(crate) cancelled: Family<Labels, Counter>,
    pub(crate) lease_lost: Counter,
    pub(crate) deadlocks: Counter,
    pub(crate) wakeups: Counter,
    pub(crate) promoted: Counter,
    pub(crate) rescued: Counter,
    pub(crate) scheduled: Counter,
    pub(crate) running: Gauge,
    pub(crate) wait: Family<Labels, Histogram>,
    pub(crate) run: Family<Labels, Histogram>,
}

fn seconds() -> Histogram {
    // From a millisecond to four and a half hours.
    Histogram::new(exponential_buckets(0.001, 4.0, 12))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("headwater_jobs"),
            claims: Counter::default(),
            claimed: Family::default(),
            completed: Family::default(),
            retried: Family::default(),
            dead: Family::default(),
            given_back: Family::default(),
            cancelled: Family::default(),
            lease_lost: Counter::default(),
            deadlocks: Counter::default(),
            wakeups: Counter::default(),
            promoted: Counter::default(),
            rescued: Counter::default(),
            scheduled: Counter::default(),
            running: Gauge::default(),
            wait: Family::new_with_constructor(seconds),
            run: Family::new_with_constructor(seconds),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("claims", "Statements that looked for jobs", self.claims.clone());
        r.register("claimed", "Jobs that were claimed", self.claimed.clone());
        r.register("completed", "Jobs that were done", self.completed.clone());
        r.register("retried", "Jobs that failed and will be tried again", self.retried.clone());
        r.register("dead", "Jobs that failed for the last time", self.dead.clone());
        r.register("given_back", "Jobs that were snoozed or given back", self.given_back.clone());
        r.register("cancelled", "Jobs that were cancelled while they ran", self.cancelled.clone());
        r.register("lease_lost", "Ends of jobs that were not ours any more", self.lease_lost.clone());
        r.register(
            "deadlocks",
            "Statements that the server gave up for a deadlock or a lock wait",
            self.deadlocks.clone(),
        );
        r.register("wakeups", "Wake-ups by the server's log", self.wakeups.clone());
        r.register("promoted", "Jobs that became due", self.promoted.clone());
        r.register("rescued", "Jobs that were taken from workers whose lease ran out", self.rescued.clone());
        r.register("scheduled", "Jobs that schedules enqueued", self.scheduled.clone());
        r.register("running", "Jobs that run now", self.running.clone());
        r.register_with_unit("wait", "From due to claimed", Unit::Seconds, self.wait.clone());
        r.register_with_unit("run", "From start to end of a run", Unit::Seconds, self.run.clone());
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Jobs that were done so far.
    pub fn completed_jobs(&self, queue: &str) -> u64 {
        self.completed.get_or_create(&label(queue)).get()
    }
}

pub(crate) fn label(queue: &str) -> Labels {
    [("queue", queue.to_owned())]
}

impl Metrics {
    pub(crate) fn observe_wait(&self, queue: &str, waited: Duration) {
        self.wait.get_or_create(&label(queue)).observe(waited.as_secs_f64());
    }

    pub(crate) fn observe_run(&self, queue: &str, took: Duration) {
        self.run.get_or_create(&label(queue)).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.completed.get_or_create(&label("mail")).inc_by(3);
        metrics.observe_wait("mail", Duration::from_millis(2));
        let text = metrics.text();
        assert!(text.contains("headwater_jobs_completed_total{queue=\"mail\"} 3"), "{text}");
        assert!(text.contains("headwater_jobs_wait_seconds_count{queue=\"mail\"} 1"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
