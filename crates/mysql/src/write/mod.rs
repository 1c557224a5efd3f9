//! A table that is written in one transaction: the sink of the connector `jdbc`, for jobs that end.
//!
//! ```text
//!  check (target, key, types) ─► statement (rows as literals, a megabyte each) ─► writer (one transaction) ─► COMMIT
//! ```
//!
//! The laws: readers of the table see all rows or none; a value arrives as it is or the run stops, with the row and the
//! column named and the table as it was. The server is strict, and a warning of its is an error here.

mod check;
mod create;
pub(crate) mod literal;
mod load;
mod marker;
mod statement;
mod writer;

pub use writer::sink;
