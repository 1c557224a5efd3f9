//! The connector `print`: every change as a line of text, as Flink's print connector writes it.

mod config;
#[cfg(test)]
mod tests;
mod writer;

pub use config::OPTIONS;
pub use writer::{PrintSink, sink};
