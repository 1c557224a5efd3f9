//! The connector `filesystem`: files of lines as a table, read bounded or as they grow, and written exactly once.
//!
//! ```text
//!  discover ─► reader: pread 1 MiB ─► cut at a record end ─► decode (here, or on workers in order) ─► batches
//!  batches ─► writer: encode ─► .part-…inprogress ─ seal: fsync ─► publish: rename to part-… ─► visible
//! ```
//!
//! Laws: a reader opened at the positions of an epoch delivers exactly the lines behind them; a file appears under its
//! visible name only when its epoch is published, and publishing twice is the same as once.

mod config;
mod discover;
mod memory;
mod pool;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use config::{CONFIG_OPTIONS as OPTIONS, sink, source};
