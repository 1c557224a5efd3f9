//! Savepoints: a consistent copy of a state folder at its last committed epoch, to go back to.
//!
//! The law: a savepoint opens as the state did, or it is not there. Its manifest is written last.

use std::path::Path;

use headwater_change::{Error, Result};

use crate::epoch_files::lock;
use crate::files::{Files, SystemFiles, read_error, write_error};
use crate::manifest::Manifest;
use crate::segment::SegmentReader;

/// Copies the state in `folder` to `to`, a folder that does not exist yet or is empty. Every row is checked on the
/// way, so that damage is not handed on.
///
/// The state must not be in use. Fails with `state.locked` when it is, `state.savepoint` when there is no state in
/// `folder` or something in `to`, and as [`crate::EpochFiles::open`] does.
pub fn savepoint(folder: &Path, to: &Path) -> Result<()> {
    copy(&SystemFiles, folder, to)
}

fn copy(files: &dyn Files, folder: &Path, to: &Path) -> Result<()> {
    // Looked for before locking, because locking makes a file and so needs the folder.
    let Some(manifest) = Manifest::read(files, folder)? else {
        return Err(usage(folder, "holds no state").hint("give the folder that the pipeline ran with"));
    };
    let _lock = lock(files, folder)?;
    // It may have changed until the lock was had.
    let manifest = Manifest::read(files, folder)?.unwrap_or(manifest);
    files.create_folder(to).map_err(|error| write_error(to, error))?;
    if !files.names(to).map_err(|error| read_error(to, error))?.is_empty() {
        return Err(usage(to, "is not empty").hint("give a new folder for each savepoint"));
    }
    for (number, length) in &manifest.sealed {
        SegmentReader::open(files, folder, *number)?.copy(files, to, Some(*length))?;
    }
    SegmentReader::open(files, folder, manifest.open)?.copy(files, to, None)?;
    manifest.prepare(files, to)?;
    files.sync_folder(to).map_err(|error| write_error(to, error))?;
    Manifest::install(files, to)?;
    files.sync_folder(to).map_err(|error| write_error(to, error))
}

fn usage(folder: &Path, what: &str) -> Error {
    Error::usage("state.savepoint", format!("the folder {} {what}", folder.display()))
}
