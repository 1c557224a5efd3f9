//! The vocabulary of Headwater: what a change is, where it stands, and the two seams that everything plugs into.
//!
//! ```text
//!  Source ──open──► Reader ──next──► ChangeBatch ──► operators ──► ChangeBatch ──write──► Writer ◄──open── Sink
//!                      │                                                                      │
//!                   Position ───────────── one atomic commit per Epoch ──────────────────► Receipt
//! ```
//!
//! A table is a change log with a memory: a stream query reads the log, a batch query reads the memory, a sink is
//! somebody else's memory of the same log. So one type flows ([`ChangeBatch`]), one type says where it came from
//! ([`Position`]), and one counter says what is durable together ([`Epoch`]).
//!
//! This crate does no I/O and knows neither an async runtime nor a query engine. Every other crate depends on it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod batch;
pub mod calendar;
mod clock;
mod error;
mod metric;
pub mod notation;
pub mod number;
mod options;
pub mod pause;
mod position;
mod schema;
pub mod secret;
mod sink;
mod source;
mod zone;

pub use batch::{ChangeBatch, Op, Run};
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorKind, Place, Result};
pub use metric::{Metric, MetricKind};
pub use options::{OptionKind, OptionSpec, Options, parse_duration, parse_size, suggest};
pub use position::{Epoch, Position};
pub use schema::{ChangelogMode, SchemaChange, TableId};
pub use sink::{Delivery, Owner, Receipt, Sink, SinkDescription, Writer};
pub use source::{
    Asked, Comparison, Condition, First, METADATA_KEY, POSITION_KEY, Read, Reader, Source, SourceDescription, TYPE_KEY,
    TableRequest,
};
pub use zone::TimeZone;
