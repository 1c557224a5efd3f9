//! Which file is which: a file is its device, inode and time of birth, and the bytes that were read of it; not its path.
//!
//! What is remembered of a file is the token of its position. It finds the file again under whatever name, and tells a
//! file that was written anew in its place from one that grew: by the first bytes, and by the last ones before the
//! offset.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use headwater_change::Position;

/// Bytes of a head at most.
const HEAD_BYTES: usize = 1024;
/// Bytes of a tail at most.
const TAIL_BYTES: usize = 256;

/// What the file system calls a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    pub(super) inode: u64,
    /// Nanoseconds since 1970, where the file system remembers it.
    born: Option<u64>,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|since| u64::try_from(since.as_nanos()).ok());
        Self { device: metadata.dev(), inode: metadata.ino(), born }
    }

    /// Whether both name one file. Inodes are used again when a file is gone, which the time of birth tells; devices are
    /// numbered anew when a machine starts.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.inode == other.inode
            && match (self.born, other.born) {
                (Some(one), Some(other)) => one == other,
                _ => self.device == other.device,
            }
    }
}

/// Length and hash of some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) length: usize,
    hash: u64,
}

impl Print {
    /// FNV-1a, because stored hashes must mean the same in every build.
    fn of(bytes: &[u8]) -> Self {
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self { length: bytes.len(), hash }
    }

    pub(super) fn head(bytes: &[u8]) -> Self {
        Self::of(bytes.get(..HEAD_BYTES).unwrap_or(bytes))
    }

    pub(super) fn tail(bytes: &[u8]) -> Self {
        Self::of(bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or(bytes))
    }

    /// Whether `bytes` end with these ones.
    pub(super) fn ends(&self, bytes: &[u8]) -> bool {
        bytes
            .len()
            .checked_sub(self.length)
            .and_then(|from| bytes.get(from..))
            .is_some_and(|end| Self::of(end) == *self)
    }

    /// Whether `bytes` begin with these ones.
    pub(super) fn begins(&self, bytes: &[u8]) -> bool {
        bytes.get(..self.length).is_some_and(|begin| Self::of(begin) == *self)
    }

    /// Whether more bytes would make a better head.
    pub(super) fn is_short(&self) -> bool {
        self.length < HEAD_BYTES
    }

    fn stands_at(&self, file: &File, offset: u64) -> io::Result<bool> {
        if self.length == 0 {
            return Ok(true);
        }
        let mut bytes = vec![0; self.length];
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(Self::of(&bytes) == *self),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The first bytes of a file, up to `end`.
pub(super) fn head_of(file: &File, end: u64) -> io::Result<Print> {
    let mut bytes = vec![0; usize::try_from(end).map_or(HEAD_BYTES, |end| end.min(HEAD_BYTES))];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(Print::head(&bytes))
}

/// What is remembered of a file that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// None: remembered by a version that knew paths only.
    pub(super) identity: Option<Identity>,
    /// Bytes that were delivered, of what the file holds when it is decompressed.
    pub(super) offset: u64,
    /// The first bytes as they are on disk.
    pub(super) head: Print,
    /// The bytes before the offset.
    pub(super) tail: Print,
    /// Its size when its end had been reached: for files that do not grow.
    pub(super) done: Option<u64>,
    /// Where it was last seen.
    pub(super) path: PathBuf,
}

impl Memory {
    pub(super) fn new(identity: Identity, path: PathBuf) -> Self {
        let (head, tail) = (Print::default(), Print::default());
        Self { identity: Some(identity), offset: 0, head, tail, done: None, path }
    }

    /// The name of the file's partition, the same for ever: where it was first seen, and what it was.
    pub(super) fn partition(&self) -> String {
        match self.identity {
            Some(id) => format!("{}#{}.{}", self.path.display(), id.inode, id.born.unwrap_or(id.device)),
            None => self.path.display().to_string(),
        }
    }

    pub(super) fn token(&self) -> String {
        let identity = self.identity.unwrap_or(Identity { device: 0, inode: 0, born: None });
        let maybe = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        format!(
            "{} {} {} {} {}:{:x} {}:{:x} {} {}",
            self.offset,
            identity.device,
            identity.inode,
            maybe(identity.born),
            self.head.length,
            self.head.hash,
            self.tail.length,
            self.tail.hash,
            maybe(self.done),
            self.path.display(),
        )
    }

    pub(super) fn of(position: &Position) -> Self {
        Self::parse(&position.token).unwrap_or_else(|| Self {
            identity: None,
            offset: position.ordinal,
            head: Print::default(),
            tail: Print::default(),
            done: None,
            path: PathBuf::from(&*position.partition),
        })
    }

    fn parse(token: &str) -> Option<Self> {
        let maybe = |text: &str| if text == "-" { Some(None) } else { text.parse().ok().map(Some) };
        let print = |text: &str| {
            let (length, hash) = text.split_once(':')?;
            Some(Print { length: length.parse().ok()?, hash: u64::from_str_radix(hash, 16).ok()? })
        };
        let mut parts = token.splitn(8, ' ');
        let mut next = || parts.next();
        let offset = next()?.parse().ok()?;
        let (device, inode, born) = (next()?.parse().ok()?, next()?.parse().ok()?, maybe(next()?)?);
        let identity = Some(Identity { device, inode, born });
        let (head, tail, done) = (print(next()?)?, print(next()?)?, maybe(next()?)?);
        Some(Self { identity, offset, head, tail, done, path: PathBuf::from(next()?) })
    }

    /// Whether the file still begins, and went on up to the offset, with the bytes that were read.
    pub(super) fn fits(&self, file: &File) -> io::Result<bool> {
        let before = self.offset.saturating_sub(self.tail.length as u64);
        Ok(self.head.stands_at(file, 0)? && self.tail.stands_at(file, before)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_survives_its_token() {
        let identity = Identity { device: 7, inode: 9, born: Some(11) };
        let memory = Memory {
            offset: 5,
            head: Print::head(b"abcde"),
            tail: Print::tail(b"abcde"),
            done: Some(5),
            ..Memory::new(identity, PathBuf::from("/a b/c"))
        };
        assert_eq!(Memory::of(&Position::new("p", memory.token(), 5)), memory);
        let older = Memory::of(&Position::new("/a b/c", "5", 5));
        assert_eq!((older.identity, older.offset, older.path), (None, 5, PathBuf::from("/a b/c")));
    }
}
