//! Runs a logical plan once, over tables as they stand: the memory of the log instead of the log.
//!
//! The plan comes from `sql` with its types settled and its rules applied; DataFusion makes a physical plan of it and runs
//! it. Tables come through the same seam as those of streams ([`Tables`]), so every connector that ends can be read.
//!
//! * `table`: tables as DataFusion asks for them; `exec`: their sources as operators
//! * `progress`: how far it has come
//! * `run`: one query, its rows handed on as they come
//! * `fault`: errors in the words of SQL
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod exec;
mod fault;
mod progress;
mod run;
mod table;

pub use progress::{Progress, Table};
pub use run::{Settings, analyze, explain, run};
pub use table::Tables;
