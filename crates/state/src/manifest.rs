//! The manifest: which segment files are the state, in commit order. Replaced as a whole by writing another file and
//! renaming it, so that there is always exactly one.
//!
//! ```text
//! headwater-state 1
//! owner 9c3be1f04d2a7715     the name under which targets know the state
//! segment 3 4718592        a sealed segment and its length in bytes
//! segment 5 open           the last one, written to
//! crc32 1a2b3c4d           of all lines above
//! ```

use std::fmt::Write as _;
use std::path::Path;

use headwater_change::{Error, Result};

use crate::files::{Files, corrupt, read_error, write_error};

/// Name of the manifest.
pub(crate) const FILE: &str = "MANIFEST";
/// Name of the manifest being written.
pub(crate) const NEXT_FILE: &str = "MANIFEST.next";
/// The format that this program writes and reads: of the manifest, the segments and the records.
const VERSION: u32 = 1;
const NAME: &str = "headwater-state";
/// A manifest names a handful of segments; what is larger is not one.
const SIZE_MAX: u64 = 1 << 20;

/// The named segments: sealed ones with their length, then the open one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The name under which targets know this state; empty in one that was made before states had names.
    pub(crate) owner: String,
    /// Number and length in bytes, in commit order.
    pub(crate) sealed: Vec<(u64, u64)>,
    /// Number of the segment that is written to.
    pub(crate) open: u64,
}

impl Manifest {
    /// Reads the manifest of a folder; `None` where there is none.
    ///
    /// Fails with `state.version` when another version of the program wrote it, `state.corrupt` when it is damaged.
    pub(crate) fn read(files: &dyn Files, folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let input = match files.read(&path) {
            Ok(input) => input,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read_error(&path, error)),
        };
        let length = input.length().map_err(|error| read_error(&path, error))?;
        let Some(length) = usize::try_from(length).ok().filter(|_| length <= SIZE_MAX) else {
            return Err(corrupt(&path, 0, "this is no manifest"));
        };
        let mut bytes = vec![0; length];
        input.read_at(&mut bytes, 0).map_err(|error| read_error(&path, error))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| corrupt(&path, 0, "this is no manifest"))?;
        match version(text) {
            Some(VERSION) => {}
            Some(other) => return Err(version_error(other)),
            None => return Err(corrupt(&path, 0, "this is no manifest")),
        }
        Self::parse(text).map(Some).ok_or_else(|| corrupt(&path, 0, "the manifest is not what was written"))
    }

    /// Writes the manifest beside the one in force, durable but not in force; [`Manifest::install`] does the rest.
    pub(crate) fn prepare(&self, files: &dyn Files, folder: &Path) -> Result<()> {
        let path = folder.join(NEXT_FILE);
        let written = files.create(&path).and_then(|mut output| {
            output.write_all(self.text().as_bytes())?;
            output.sync()
        });
        written.map_err(|error| write_error(&path, error))
    }

    /// Puts the prepared manifest in force. It is durable once the folder is synced.
    pub(crate) fn install(files: &dyn Files, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        files.rename(&folder.join(NEXT_FILE), &path).map_err(|error| write_error(&path, error))
    }

    fn text(&self) -> String {
        let mut text = format!("{NAME} {VERSION}\nowner {}\n", self.owner);
        for (number, length) in &self.sealed {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "segment {number} {length}");
        }
        let _ = writeln!(text, "segment {} open", self.open);
        let crc = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "crc32 {crc:08x}");
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let (covered, crc) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let covered = text.get(..covered.len() + 1)?;
        if crc != format!("crc32 {:08x}", crc32fast::hash(covered.as_bytes())) {
            return None;
        }
        let mut sealed = Vec::new();
        let mut open = None;
        let mut lines = covered.lines().skip(1).peekable();
        let owner = lines.next_if(|line| line.starts_with("owner "));
        let owner = owner.and_then(|line| line.strip_prefix("owner ")).unwrap_or_default().to_owned();
        for line in lines {
            let (number, length) = line.strip_prefix("segment ")?.split_once(' ')?;
            match (length, open) {
                ("open", None) => open = Some(number.parse().ok()?),
                (_, None) => sealed.push((number.parse().ok()?, length.parse().ok()?)),
                (_, Some(_)) => return None,
            }
        }
        Some(Self { owner, sealed, open: open? })
    }
}

fn version(text: &str) -> Option<u32> {
    text.lines().next()?.strip_prefix(NAME)?.strip_prefix(' ')?.parse().ok()
}

fn version_error(found: u32) -> Error {
    Error::usage("state.version", format!("the state has format {found}, this program reads format {VERSION}"))
        .hint("run the version of the program that wrote the state, or start anew with another state folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let manifest = Manifest { owner: "a1".to_owned(), sealed: vec![(3, 640), (4, 64)], open: 7 };
        assert_eq!(Manifest::parse(&manifest.text()), Some(manifest));
    }

    #[test]
    fn a_flipped_bit_in_a_manifest_is_noticed() {
        let text = Manifest { owner: "a1".to_owned(), sealed: vec![(3, 640)], open: 7 }.text().into_bytes();
        for index in 0..text.len() {
            let mut damaged = text.clone();
            damaged[index] ^= 1;
            let parsed = String::from_utf8(damaged).ok().and_then(|text| Manifest::parse(&text));
            assert_eq!(parsed, None, "byte {index}");
        }
    }
}
