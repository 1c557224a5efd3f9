//! The wiring: connectors by name, statements one after the other, pipelines and what they print.
//!
//! ```text
//!  script ──► sql::Session ──► Pipeline ──► stream::run ◄── Sources, Sinks ◄── connectors.rs (one plain table)
//!                                  │                                │
//!                               runner.rs                       output/ (table, json, csv, changelog)
//!                          Job ──► batch.rs ──► batch::run ◄── the same Sources and Sinks
//! ```
//!
//! Only this crate introduces the engine to the connectors.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod batch;
pub mod connectors;
pub mod metrics;
mod output;
mod progress;
mod runner;
pub mod shell;

pub use output::{Format, print_listing};
pub use runner::{Config, Failure, Runner, Schedules, Stopper};
