//! Everything that speaks MySQL's and MariaDB's bytes: the source `mysql-cdc`, a snapshot of tables followed by the binlog,
//! and the connector `jdbc`: a table read once by several connections ([`scan`]), and one written in a transaction ([`mod@write`]).
//!
//! ```text
//!  config ─► client ─► check ─► snapshot ──┐
//!                        └────► replication ├─► rows (bytes → Arrow) ─► source (queue, positions) ─► Reader
//! ```
//!
//! The laws: no gap and no duplicate between snapshot and log, or after any interruption; a transaction is never split
//! by a position; a value is the same whichever way it came; what cannot be read exactly is an error.
//!
//! Memory does not grow with a table or a transaction: batches of about 2 MiB go to a queue of four, and a transaction
//! above that comes in parts of which only the last ends it. `cargo bench -p headwater-mysql` reads a million rows both
//! ways, half of the log in one transaction of 500,000 rows: on MySQL 9, in an unoptimised build, the whole process
//! peaked at 16 MB.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod access;
mod batcher;
mod bytes;
mod check;
pub mod client;
mod config;
mod follow;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod ident;
pub mod jdbc;
pub mod notice;
mod position;
mod queue;
mod replication;
pub mod rows;
pub mod scan;
pub mod schema;
mod snapshot;
mod source;
mod statement;
mod tls;
pub mod watch;
mod wire;
pub mod write;

pub use access::Access;
pub use config::OPTIONS;
pub use ident::{Identifier, ident};
/// The driver under all of it, for crates that speak SQL to a server: this crate is its only door.
pub use mysql_async as driver;
pub use source::source;
