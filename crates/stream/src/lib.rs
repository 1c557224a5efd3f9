//! Runs a stream plan: pulls sources, pushes their changes through operators, closes epochs.
//!
//! ```text
//!  Source ─► calc ─► watermark ─► window ─┐
//!                                         ├─► Sink        one loop (run.rs), one graph (graph.rs), one verb a file (op/)
//!  Source ─► calc ─► aggregate ───────────┘
//! ```
//!
//! The three laws are this crate's subject:
//!
//! 1. *Stream = batch*: the folded result equals the result over the folded input.
//! 2. *Restart is invisible*: state, positions and receipts of an epoch are one commit ([`run`]).
//! 3. *Cuts are invisible*: watermarks travel with rows, groups are updated in the order of rows, an epoch ends only
//!    between two transactions.
//!
//! It knows neither MySQL nor any connector: it is given [`headwater_change::Source`]s and [`headwater_change::Sink`]s.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod accumulate;
mod control;
mod epoch;
mod fingerprint;
mod flow;
mod graph;
mod group;
mod op;
mod run;
mod values;

pub use control::{Control, Progress};
pub use run::{Settings, Summary, run};
