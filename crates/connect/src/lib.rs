//! Everything outside that is not MySQL: connectors (`filesystem`, `datagen`, `print`, `blackhole`), formats (`json`,
//! `csv`), and values as text.
//!
//! ```text
//!  files of parquet ─► their columns ─► ChangeBatch, and back                  (filesystem)
//!  bytes ─► json / csv decoder ─► Arrow builders ─► ChangeBatch        (filesystem, datagen: sources)
//!  ChangeBatch ─► json / csv encoder, text ─► bytes                    (filesystem, print, blackhole: sinks)
//! ```
//!
//! A connector is a module with its `OPTIONS`, and `source`, `sink` or both; the server's table lists them. Decoding is
//! directed by the schema of the [`headwater_change::TableRequest`]: only wanted columns are built, nothing is allocated
//! for a row.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod blackhole;
mod column;
pub mod csv;
pub mod datagen;
pub mod filesystem;
pub mod json;
pub mod lines;
pub mod parquet;
pub mod print;
mod scalar;
pub mod text;
#[cfg(test)]
mod values;
