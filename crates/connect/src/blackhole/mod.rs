//! The connector `blackhole`: takes everything and keeps nothing, for measuring what stands before it.

mod config;
#[cfg(test)]
mod tests;
mod writer;

pub use config::OPTIONS;
pub use writer::sink;
