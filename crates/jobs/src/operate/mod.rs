//! Reading and steering a queue: what `headwater jobs ls|show|retry|cancel|pause|resume|stats|tail|enqueue` do.
//!
//! The law of this module: nothing here costs more because the queue is deep. Rows are found by walking an index in its
//! own order and a walk ends after [`LOOKED_AT`] rows, counting ends at [`COUNTED`]. What changes rows locks them by
//! primary key, skips those that others hold, and commits after at most [`CHUNK`] of them.

mod cancel;
mod enqueue;
mod held;
mod list;
mod read;
mod retry;
mod server;
mod show;
mod stats;
mod steer;
mod tail;

pub use cancel::{Cancelled, cancel, with_dependents};
pub use enqueue::{Enqueued, enqueue_lines};
pub use list::{Filter, Listing, Order, Row, list};
pub use retry::{Retried, retry, retry_dead};
pub use server::{SemiSync, ServerFacts};
pub use show::{Attempt, BatchFacts, Details, Link, Worker, show};
pub use stats::{Count, QueueStats, Stats, stats};
pub use steer::{pause, queues, resume};
pub use tail::{Event, EventKind, Tail};

use serde::Serialize;

/// Rows that one listing looks at.
pub const LOOKED_AT: usize = 100_000;

/// Where counting ends.
pub const COUNTED: u64 = 100_000;

/// Jobs that one transaction changes.
pub const CHUNK: usize = 1_000;

/// The column `status` of `jobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Waits for its time or for a worker.
    Pending,
    /// A worker has it.
    Running,
    /// A worker has it and is to stop it.
    Cancelling,
    /// Waits for other jobs.
    Waiting,
    /// Held back by a limit of its key.
    Parked,
    /// Failed for good; kept until somebody decides.
    Dead,
}

impl Status {
    /// All of them, in the order of the column.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Cancelling, Self::Waiting, Self::Parked, Self::Dead];

    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Cancelling => "CANCELLING",
            Self::Waiting => "WAITING",
            Self::Parked => "PARKED",
            Self::Dead => "DEAD",
        }
    }

    /// The status of a name in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name().eq_ignore_ascii_case(name))
    }
}

/// What became of one job that was to be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// The job.
    pub id: u64,
    /// What became of it.
    pub outcome: T,
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn names_are_those_of_the_table() {
        let names: Vec<String> = Status::ALL.into_iter().map(|status| format!("'{}'", status.name())).collect();
        assert!(crate::schema::TABLES.contains(&format!("ENUM({})", names.join(", "))));
        for status in Status::ALL {
            assert_eq!(Status::from_name(&status.name().to_lowercase()), Some(status));
            assert_eq!(serde_json::to_value(status).expect("a text"), status.name());
        }
        assert_eq!(Status::from_name("COMPLETED"), None);
    }
}
