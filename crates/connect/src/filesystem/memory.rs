//! What a folder remembers of a pipeline that writes into it: the last epoch whose files may have become visible.
//!
//! The file `.headwater-<owner>` is locked while its writer lives, and holds two slots that epochs take in turns, so that
//! a write which was cut off leaves the other one whole. An epoch is written down *before* its first file gets its
//! visible name. From that follow both laws of coming back: an epoch that is not written down has all its files still
//! hidden, and a file of a written epoch that is neither hidden nor visible was published and taken away.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use headwater_change::{Epoch, Error, Owner, Place, Result};

use super::writer::{sync_folder, unwritable};

/// Begins the names of all such files.
const PREFIX: &str = ".headwater-";
/// Ends those of pipelines that cannot come back.
const TEMPORARY: &str = ".temporary";
/// Each slot has a sector of its own.
const SLOT_BYTES: u64 = 512;
/// `epoch`, and the number twice: a line that was cut off has two different ones.
const LINE_BYTES: usize = 48;

/// The memory of one pipeline's sink in its folder.
pub(super) struct Memory {
    path: PathBuf,
    file: File,
    durable: bool,
    /// The last epoch that was written down.
    begun: Epoch,
    /// The file was there and empty: somebody says that everything had been published.
    vouched: bool,
}

impl Memory {
    /// Opens the memory of `owner`, which ends at `committed`, and makes it where there is none.
    ///
    /// Fails with `filesystem.in_use` while another process writes with the same state, and with `state.behind_target`
    /// where the folder has seen more epochs than the state.
    pub(super) fn open(root: &Path, owner: &Owner, committed: Epoch) -> Result<Self> {
        let path = root.join(name(owner));
        let failed = |error| unwritable(&path, error);
        let there = path.exists();
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let length = file.metadata().map_err(failed)?.len();
        let begun = read(&file).map_err(failed)?;
        let mut memory =
            Self { begun, vouched: there && length == 0 && committed > Epoch(0), path, file, durable: owner.durable };
        if memory.begun > committed {
            return Err(behind(&memory.path, memory.begun, committed));
        }
        if owner.durable && (!there || (length == 0 && committed == Epoch(0))) {
            memory.write(Epoch(0))?;
            sync_folder(root)?;
        }
        Ok(memory)
    }

    /// Whether files of this epoch may have become visible before.
    pub(super) fn has_begun(&self, epoch: Epoch) -> bool {
        self.vouched || self.begun >= epoch
    }

    /// Writes down that files of this epoch are about to become visible.
    pub(super) fn begin(&mut self, epoch: Epoch) -> Result<()> {
        if self.durable && self.begun < epoch {
            self.write(epoch)?;
        }
        self.begun = self.begun.max(epoch);
        self.vouched = false;
        Ok(())
    }

    /// The memory of a pipeline that cannot come back goes with it.
    pub(super) fn end(&self) -> Result<()> {
        if self.durable {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(&self.path, error)),
            _ => Ok(()),
        }
    }

    /// The file, for hints.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, epoch: Epoch) -> Result<()> {
        let line = format!("epoch {:020} {:020}\n", epoch.0, epoch.0);
        let place = (epoch.0 % 2) * SLOT_BYTES;
        let written = self.file.write_all_at(line.as_bytes(), place).and_then(|()| self.file.sync_data());
        written.map_err(|error| unwritable(&self.path, error))
    }
}

/// The pipelines without a state that wrote into `root` and are gone; their memories are removed.
pub(super) fn forget_the_dead(root: &Path) -> Result<Vec<String>> {
    let mut dead = Vec::new();
    for entry in fs::read_dir(root).map_err(|error| unwritable(root, error))? {
        let name = entry.map_err(|error| unwritable(root, error))?.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(TEMPORARY));
        let Some(id) = id else { continue };
        let path = root.join(&name);
        // One that went away by itself has no files left.
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() {
            dead.push(id.to_owned());
            let _ = fs::remove_file(&path);
        }
    }
    Ok(dead)
}

fn name(owner: &Owner) -> String {
    format!("{PREFIX}{owner}{}", if owner.durable { "" } else { TEMPORARY })
}

fn read(file: &File) -> io::Result<Epoch> {
    let mut last = Epoch(0);
    for slot in 0..2 {
        let mut line = [0; LINE_BYTES];
        let count = file.read_at(&mut line, slot * SLOT_BYTES)?;
        last = last.max(line.get(..count).and_then(parse).unwrap_or_default());
    }
    Ok(last)
}

fn parse(line: &[u8]) -> Option<Epoch> {
    let (first, second) =
        std::str::from_utf8(line).ok()?.strip_prefix("epoch ")?.strip_suffix('\n')?.split_once(' ')?;
    (first == second && first.len() == 20).then(|| first.parse().ok().map(Epoch))?
}

fn in_use(path: &Path) -> Error {
    Error::usage("filesystem.in_use", "another process writes into the folder with a copy of the same state")
        .hint("end the other process, or begin with a new state folder")
        .at(Place::File { path: path.display().to_string(), line: 0 })
}

fn behind(path: &Path, target: Epoch, committed: Epoch) -> Error {
    Error::fenced(
        "state.behind_target",
        format!("the folder has seen epoch {target}, the state ends at epoch {committed}"),
    )
    .detail("the state is an older copy, or a part of it is missing: going on would publish rows twice")
    .hint("use the state that this folder was written with, or begin with a new state folder and an empty target")
    .at(Place::File { path: path.display().to_string(), line: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_was_cut_off_leaves_the_epoch_before() {
        let folder = tempfile::tempdir().expect("folder");
        let owner = Owner { id: "a".to_owned(), durable: true };
        let mut memory = Memory::open(folder.path(), &owner, Epoch(0)).expect("open");
        memory.begin(Epoch(7)).expect("begin");
        memory.begin(Epoch(8)).expect("begin");
        memory.file.write_all_at(b"9", 25).expect("damage");
        drop(memory);
        let memory = Memory::open(folder.path(), &owner, Epoch(8)).expect("open");
        assert_eq!((memory.has_begun(Epoch(7)), memory.has_begun(Epoch(8))), (true, false));
    }
}
