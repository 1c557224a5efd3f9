//! Durable keyed state and the epoch log: operator state, source positions and sink receipts of one epoch are one
//! atomic write. From that follow restart, exactly-once and replay.
//!
//! ```text
//!  operators ──Delta──┐
//!  sources ─Position──┼─► Commit ──► Backend ──► folder:  LOCK  MANIFEST  0000000003.segment  0000000007.segment
//!  sinks ───Receipt───┘      ▲                            │
//!                       commit point                      └─► Committed, restore (after a crash)
//! ```
//!
//! # Which backend, and why
//!
//! [`EpochFiles`]: each epoch is appended as one record of Arrow columns with a checksum and one `fdatasync`; a thread
//! merges what has become garbage. The other candidate was fjall, one key-value pair a row, behind the same trait.
//! `cargo bench -p headwater-state` measures both and a bare write of the same bytes in one run. On a virtual
//! machine with two cores of an Intel Xeon and Linux 6.18, under other load at the time, medians
//! (`benches/state/results.json`):
//!
//! | | epoch files | fjall 3 | limit, or what was asked |
//! |---|---|---|---|
//! | epoch with 1 million dirty keys (16-byte key, three 8-byte values) | 0.351 s | 6.10 s | bare write 0.286 s; under 0.5 s |
//! | the same as a multiple of the bare write taken in turns with it | 1.23 | 25.9 | 1 |
//! | epoch with 100 dirty keys | 0.19 ms | 4.13 ms | bare write 0.24 ms (beside fjall 3.84 ms); under 5 ms above it |
//! | 10 million keys opened and read | 0.59 s | 7.59 s | under 5 s |
//! | the same with the page cache dropped | 1.11 s | 9.76 s | |
//! | the same into a hash table of the live rows | 10.3 s | 20.0 s | the table's own inserts, not the state's |
//!
//! The figures of the epoch files include the merging beside them. What a key-value store would add, rows found on
//! disk one by one, no operator asks for: operators hold their keys in memory and read a table as a whole.
//!
//! # Memory
//!
//! A commit takes about the epoch's bytes once more (kept for the next one up to 64 MiB). The outline of all records
//! stays in memory, less than 100 bytes for each delta that is not merged yet. A merge takes at most 256 MiB for keys,
//! whatever the size of the state, and twice the largest single delta.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod backend;
mod bytes;
mod compact;
mod epoch_files;
mod files;
mod key_set;
mod manifest;
mod memory;
mod record;
mod savepoint;
mod segment;

use std::path::Path;

use headwater_change::Result;

pub use backend::{Backend, Commit, Committed, Delta, TableKey};
pub use epoch_files::EpochFiles;
pub use memory::MemoryBackend;
pub use savepoint::savepoint;

/// Opens the state in a folder with the chosen backend, [`EpochFiles`]; makes the state where there is none.
///
/// Fails as [`EpochFiles::open`] does.
pub fn open(folder: &Path) -> Result<Box<dyn Backend>> {
    Ok(Box::new(EpochFiles::open(folder)?))
}
