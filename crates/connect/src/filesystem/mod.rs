//! The connector `filesystem`: files of lines as a table, read bounded or as they grow, and written exactly once.
//!
//! ```text
//!  discover ─► tracker: which file is which ─► reader: 1 MiB up to a record's end ─► decode (here, or on workers) ─► batches
//!  batches ─► writer: encode ─► .part-…inprogress ─ seal: fsync ─► publish: rename to part-… ─► visible
//! ```
//!
//! Laws: a file is its identity, not its path; a reader opened at the positions of an epoch delivers exactly the lines
//! behind them; a file appears under its visible name only when its epoch is published, and publishing twice is the same
//! as once.

mod columnar;
mod config;
mod content;
mod discover;
#[cfg(test)]
mod follow_tests;
mod identity;
mod layout;
mod memory;
mod pool;
mod reader;
#[cfg(test)]
mod tests;
mod tracker;
mod writer;

pub use config::{CONFIG_OPTIONS as OPTIONS, describe, sink, source};
