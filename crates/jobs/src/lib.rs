//! A job queue on MySQL and MariaDB tables.
//!
//! A job is a row of the table `jobs`, enqueued by a plain INSERT in the transaction that makes it necessary, from any
//! language. Workers claim with `FOR UPDATE SKIP LOCKED`, hold a lease, complete with a fencing token, and try again with
//! backoff. Nothing is lost when a process dies, and a process that lost its lease cannot complete what it held.
//!
//! ```text
//!  INSERT INTO jobs ──► binlog ──► wake ─┐
//!                                        ▼
//!  maintain (promote, rescue, …)      claim ──► worker (executors, handlers) ──► complete
//!            └────────── one process at a time      └── lease (one heartbeat a process)
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod claim;
mod complete;
mod context;
mod cursor;
pub mod handler;
mod job;
mod lease;
pub mod limits;
pub mod maintain;
mod metrics;
pub mod operate;
#[cfg(test)]
mod plans;
mod queue;
mod retry;
pub mod schema;
mod settle;
#[cfg(test)]
mod testing;
mod trace;
pub mod worker;

pub use context::{Context, Stop};
pub use handler::{Failure, Handler, Handlers, Outcome, Settings, typed};
pub use job::{Job, NewJob};
pub use metrics::Metrics;
pub use queue::{Queue, enqueue_in};
pub use retry::{Backoff, RetryPolicy};
pub use worker::{WorkedQueue, Worker, WorkerConfig};
