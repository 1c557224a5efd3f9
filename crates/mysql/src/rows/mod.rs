//! Row images into Arrow builders, directed by the wanted schema: only wanted columns are built, others are stepped over.
//!
//! ```text
//!  TABLE_MAP ─► table_map ─┐
//!  ROWS event ─► event ────┴─► cell (borrowed value) ─► build, column (Arrow builders)
//!  binary protocol ─► result ──► cell ──────────────────────┘
//! ```
//!
//! Snapshot and log meet in [`cell::Cell`], so a value is the same whichever way it came.

pub mod build;
pub mod cell;
pub mod charset;
mod column;
pub(crate) mod decimal;
pub mod event;
pub mod json;
mod quick;
pub(crate) mod result;
pub mod table_map;
pub mod temporal;

#[cfg(test)]
mod tests;
