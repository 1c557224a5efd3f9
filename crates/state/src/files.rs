//! The file layer: the few operations on files that durable state needs, behind traits, so that tests can fail any of
//! them and lose what was not synced.
//!
//! Contents are durable after [`Output::sync`], names after [`Files::sync_folder`]; nothing else is promised.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use headwater_change::{Error, Place};

/// Operations on names.
pub(crate) trait Files: Send + Sync {
    /// Makes a folder and its parents; no error where it is there already.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes an empty file, in place of one with the same name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>>;
    /// Opens a file to write behind its end.
    fn append(&self, path: &Path) -> io::Result<Box<dyn Output>>;
    /// Opens a file to read.
    fn read(&self, path: &Path) -> io::Result<Box<dyn Input>>;
    /// Gives a file another name, in place of what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names of a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Locks a file for this process until the answer is dropped; `None` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;
}

/// A held lock.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Option<File>,
}

#[cfg(test)]
impl Lock {
    /// The lock of a file layer that has no other processes.
    pub(crate) fn none() -> Self {
        Self { _file: None }
    }
}

/// A file being written.
pub(crate) trait Output: Send {
    /// Writes all of it behind the end; a failure may leave a part.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// A file being read.
pub(crate) trait Input: Send {
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Fills the buffer from an offset.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemFiles;

impl Files for SystemFiles {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = match folder.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Ok(()),
        };
        // Each folder on the way is durable only in the one above it.
        self.create_folder(parent)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => Err(error),
            _ => self.sync_folder(parent),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(File::create(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Input>> {
        Ok(Box::new(File::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            // A name that is not UTF-8 is not one of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Output for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

impl Input for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

/// `state.write`: the disk did not take what it was given.
pub(crate) fn write_error(path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on the disk of the state folder",
        io::ErrorKind::PermissionDenied => "let this user write to the state folder",
        _ => "look at the disk of the state folder; the last committed epoch is still there",
    };
    Error::remote("state.write", format!("state cannot be written: {error}"))
        .hint(hint)
        .at(place(path))
        .caused_by(error)
}

/// `state.read`: the disk did not give what it holds.
pub(crate) fn read_error(path: &Path, error: io::Error) -> Error {
    Error::remote("state.read", format!("state cannot be read: {error}"))
        .hint("look at the disk and the permissions of the state folder")
        .at(place(path))
        .caused_by(error)
}

/// `state.corrupt`: what is on disk is not what was written.
pub(crate) fn corrupt(path: &Path, offset: u64, what: impl std::fmt::Display) -> Error {
    Error::fenced("state.corrupt", format!("the state is damaged at byte {offset}: {what}"))
        .hint("go back to a savepoint, or start anew with another state folder")
        .at(place(path))
}

fn place(path: &Path) -> Place {
    Place::File { path: path.display().to_string(), line: 0 }
}

#[cfg(test)]
pub(crate) mod lossy;
