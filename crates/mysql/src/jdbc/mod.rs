//! What the connector `jdbc` is told: options by Flink's names, and URLs as the drivers take them. [`crate::scan`] reads such
//! a table, [`crate::write`] writes it.

mod config;
mod describe;
mod url;

pub(crate) use config::Config;
pub use config::OPTIONS;
pub use describe::describe;
