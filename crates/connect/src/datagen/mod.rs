//! The connector `datagen`: rows out of nothing, by rules per column.
//!
//! The law: a row is a function of seed and row number alone (times relative to now excepted), so a reader that goes on
//! from a position delivers the rows that it would have delivered.

mod config;
mod field;
mod reader;
#[cfg(test)]
mod tests;

pub use config::{OPTIONS, source};
