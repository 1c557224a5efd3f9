//! The format `json`: one JSON object a line.
//!
//! * [`JsonDecoder`] turns lines into Arrow columns, directed by a schema, without a tree in between.
//! * [`JsonRows`] writes rows as objects, for sinks and the terminal.
//!
//! The law: what [`JsonRows`] writes, [`JsonDecoder`] reads back as the same values, for every type.

mod config;
mod cursor;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use config::{JsonConfig, OPTIONS};
pub use decode::JsonDecoder;
pub use encode::JsonRows;
