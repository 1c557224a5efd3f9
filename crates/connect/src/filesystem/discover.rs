//! Which files belong to a table.
//!
//! Rules as in Flink's file source: folders are walked to the bottom, names that begin with `.` or `_` are hidden, a
//! pattern must match the whole path. Files are taken in the order of their paths, so that a run can be repeated.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use headwater_change::{Error, Place, Result};
use regex::Regex;

/// Where a table's files are.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    /// File or folder.
    pub(crate) root: PathBuf,
    /// What a whole path must match.
    pub(crate) pattern: Option<Regex>,
}

impl Location {
    /// All visible files in order of their paths; `None` where there is no such path. A root that is named itself is
    /// never hidden.
    pub(crate) fn files(&self) -> Result<Option<Vec<(PathBuf, Metadata)>>> {
        let root = match fs::metadata(&self.root) {
            Err(error) if is_gone(&error) => return Ok(None),
            other => other.map_err(|error| unreadable(&self.root, error))?,
        };
        let mut found = Vec::new();
        if root.is_dir() {
            self.walk(&self.root, &mut found)?;
        } else {
            found.push((self.root.clone(), root));
        }
        if let Some(pattern) = &self.pattern {
            found.retain(|(path, _)| pattern.is_match(&path.to_string_lossy()));
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Some(found))
    }

    /// The error for a path that is not there.
    pub(crate) fn missing(&self) -> Error {
        unreadable(&self.root, io::Error::from(io::ErrorKind::NotFound))
    }

    fn walk(&self, folder: &Path, found: &mut Vec<(PathBuf, Metadata)>) -> Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if is_gone(&error) => return Ok(()),
            other => other.map_err(|error| unreadable(folder, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(folder, error))?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                continue;
            }
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.walk(&path, found)?,
                Ok(metadata) => found.push((path, metadata)),
                // Gone between listing and looking: a writer's temporary file.
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(unreadable(&path, error)),
            }
        }
        Ok(())
    }
}

/// Whether something is not there, perhaps only for a moment.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::StaleNetworkFileHandle
    )
}

/// The value of a partition column in a path of Hive's form, `…/name=value/…`.
pub(crate) fn partition_value(path: &str, name: &str) -> Option<String> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').rev().find_map(|folder| {
        let (key, value) = folder.split_once('=')?;
        (unescape(key)? == name).then(|| unescape(value))?
    })
}

/// Takes Hive's `%XX` out of a folder's name.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('%') {
        out.push_str(plain);
        let code = escape.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                out.push(char::from(code));
                rest = escape.get(2..)?;
            }
            None => {
                out.push('%');
                rest = escape;
            }
        }
    }
    out.push_str(rest);
    Some(out)
}

/// The error for what cannot be read.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "check the option 'path'",
        io::ErrorKind::PermissionDenied => "give the user that runs headwater the right to read it",
        _ => "check the disk and the option 'path'",
    };
    Error::remote("filesystem.read", format!("'{}' cannot be read", path.display()))
        .detail(error.to_string())
        .hint(hint)
        .at(Place::File { path: path.display().to_string(), line: 0 })
        .caused_by(error)
}
