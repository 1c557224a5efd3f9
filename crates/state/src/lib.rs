//! Durable keyed state and the epoch log.
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
mod segment;

use std::path::Path;

use headwater_change::Result;

pub use backend::{Backend, Commit, Committed, Delta, TableKey};
pub use epoch_files::EpochFiles;
pub use memory::MemoryBackend;

/// Opens the state in a folder with the chosen backend, [`EpochFiles`]; makes the state where there is none.
///
/// Fails as [`EpochFiles::open`] does.
pub fn open(folder: &Path) -> Result<Box<dyn Backend>> {
    Ok(Box::new(EpochFiles::open(folder)?))
}
