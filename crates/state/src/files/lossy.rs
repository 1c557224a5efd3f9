//! Files in memory that lose what was not synced: for tests of crashes between any two operations.
//!
//! After a crash the names are those of any moment since the folder was last synced, and what was written since a file
//! was last synced is there, cut, torn or gone: all that a file system without further promises may leave.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Files, Input, Lock, Output};

type Names = BTreeMap<PathBuf, usize>;

/// The files; clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct LossyFiles(Arc<Mutex<Disk>>);

#[derive(Clone, Default)]
struct Disk {
    contents: Vec<Content>,
    names: Names,
    /// What the names may be after a crash: as last synced, and after each operation since.
    possible_names: Vec<Names>,
    operations: u64,
    fault: Option<Fault>,
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// This operation and all after it fail.
    Crash(u64),
    /// The disk is full for so many operations from this one on.
    Full(u64, u64),
}

impl LossyFiles {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    /// Plans a fault; operations are counted from 1 for each fault.
    pub(crate) fn plan(&self, fault: Option<Fault>) {
        let mut disk = self.disk();
        disk.operations = 0;
        disk.fault = fault;
    }

    /// How many operations there were since the last [`LossyFiles::plan`].
    pub(crate) fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Another disk with what is left after losing power now; `dice` decides about what was not synced.
    pub(crate) fn after_crash(&self, mut dice: u64) -> Self {
        let mut disk = self.disk().clone();
        let mut roll = |sides: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % sides.max(1)
        };
        if !disk.possible_names.is_empty() {
            disk.names = disk.possible_names.swap_remove(roll(disk.possible_names.len()));
        }
        for content in &mut disk.contents {
            let Content { now, synced } = content;
            if now.starts_with(synced) {
                now.truncate(synced.len() + roll(now.len() - synced.len() + 1));
                let torn = synced.len() + roll(now.len() - synced.len() + 1);
                if roll(2) == 0 {
                    now[torn..].fill(0);
                }
            } else if roll(2) == 0 {
                now.clone_from(synced);
            }
            synced.clone_from(now);
        }
        disk.possible_names = vec![disk.names.clone()];
        disk.fault = None;
        Self(Arc::new(Mutex::new(disk)))
    }

    /// Changes the bytes of a file behind everybody's back.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk();
        let inode = disk.names[path];
        change(&mut disk.contents[inode].now);
    }

    /// The names with the lengths of their files.
    pub(crate) fn lengths(&self) -> Vec<(PathBuf, usize)> {
        let disk = self.disk();
        disk.names.iter().map(|(path, inode)| (path.clone(), disk.contents[*inode].now.len())).collect()
    }
}

impl Disk {
    /// Counts an operation; the error that it must fail with.
    fn begin(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.fault {
            Some(Fault::Crash(at)) if self.operations >= at => Err(io::Error::other("crashed")),
            Some(Fault::Full(at, count)) if (at..at + count).contains(&self.operations) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn renamed(&mut self) {
        if self.possible_names.is_empty() {
            self.possible_names.push(Names::new());
        }
        self.possible_names.push(self.names.clone());
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for LossyFiles {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let mut disk = self.disk();
        disk.begin()?;
        let inode = disk.contents.len();
        disk.contents.push(Content::default());
        disk.names.insert(path.to_owned(), inode);
        disk.renamed();
        Ok(Box::new(Handle { files: self.clone(), inode }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let inode = self.disk().inode(path)?;
        Ok(Box::new(Handle { files: self.clone(), inode }))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Input>> {
        let inode = self.disk().inode(path)?;
        Ok(Box::new(Handle { files: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let failed = disk.begin();
        // Even a rename that failed may have happened.
        if failed.is_ok() || disk.operations.is_multiple_of(2) {
            let inode = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            disk.names.insert(to.to_owned(), inode);
            disk.renamed();
        }
        failed
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.begin()?;
        disk.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        disk.renamed();
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.begin()?;
        disk.possible_names = vec![disk.names.clone()];
        Ok(())
    }

    fn names(&self, _: &Path) -> io::Result<Vec<String>> {
        let names = self.disk().names.keys().filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
        Ok(names)
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Lock>> {
        Ok(Some(Lock::none()))
    }
}

struct Handle {
    files: LossyFiles,
    inode: usize,
}

impl Output for Handle {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.files.disk();
        let failed = disk.begin();
        let length = if failed.is_ok() { bytes.len() } else { bytes.len() * 2 / 3 };
        disk.contents[self.inode].now.extend_from_slice(&bytes[..length]);
        failed
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.files.disk();
        disk.begin()?;
        let Content { now, synced } = &mut disk.contents[self.inode];
        synced.clone_from(now);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut disk = self.files.disk();
        disk.begin()?;
        disk.contents[self.inode].now.truncate(length as usize);
        Ok(())
    }
}

impl Input for Handle {
    fn length(&self) -> io::Result<u64> {
        Ok(self.files.disk().contents[self.inode].now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let disk = self.files.disk();
        let offset = offset as usize;
        let bytes = disk.contents[self.inode].now.get(offset..offset + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
