//! Tables read once, by key ranges on several connections that share one snapshot: the source of the connector `jdbc`.
//!
//! ```text
//!  config, url ─► reader (a thread) ─► moment (all connections on one snapshot)
//!                                    └─► partition, split (key ranges: range, middle) ─► work (a connection takes the next range) ─► Reader
//! ```
//!
//! The laws: every row once, those with NULL in the partition column too; bounds set strides and never filter; all
//! connections see one moment, or the run says that they cannot. Conditions that the server tests only take rows away that
//! nobody wants.

pub(crate) mod brake;
pub(crate) mod condition;
mod middle;
mod moment;
mod partition;
mod range;
mod reader;
mod split;
mod work;

pub(crate) use partition::Bounds;
pub use reader::source;
