//! The format `csv`: one record a line, columns by position.
//!
//! * [`CsvDecoder`] turns records into Arrow columns.
//! * [`CsvRows`] writes rows as Flink's CSV sinks do; [`write_field`] writes a single field with the fewest quotes.
//!
//! The law: what [`CsvRows`] writes, [`CsvDecoder`] reads back as the same values, for every type that CSV can hold, except
//! that NULL and the empty STRING are the same without a null literal.

mod config;
mod decode;
mod encode;
mod record;
#[cfg(test)]
mod tests;

pub use config::{CsvConfig, OPTIONS};
pub use decode::CsvDecoder;
pub use encode::{CsvRows, write_field};
