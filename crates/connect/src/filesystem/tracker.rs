//! [`Tracker`]: all files of a table that are known, found again whatever they are called now.
//!
//! ```text
//!  listing ─► same identity as a known file? ─ yes ─► it may have another path; more bytes: go on behind the offset
//!                      └ no ─► a new file, read from its beginning
//!  known, but not in the listing ─► its rest is read through the descriptor that is held; in time it is forgotten
//! ```
//!
//! Laws: bytes of one file are read once, in order, whatever path it has; what cannot be told apart from loss (a file that
//! shrank or was written anew in its place) is an error, and a file that is only gone is none.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_change::{Error, Place, Position, Result};

use super::content::{Compression, Content, Filled, is_pipe};
use super::identity::{Identity, Memory, Print, head_of};

/// Descriptors that are held, so that a file which goes away can be read to its end.
const HELD_MAX: usize = 256;
/// A file without a name is forgotten when nobody has written into it for so long.
const UNLINKED_MILLIS: i64 = 10_000;
/// A file that is somewhere else is forgotten when it has not come back for so long.
const ELSEWHERE_MILLIS: i64 = 600_000;

/// A known file.
pub(super) struct Tracked {
    pub(super) partition: Arc<str>,
    pub(super) memory: Memory,
    pub(super) file: Option<Arc<File>>,
    pub(super) pipe: bool,
    /// It waits to be read.
    pub(super) queued: bool,
    /// It is gone for good: a last line without a newline is a line.
    pub(super) closing: bool,
    /// Size and time of change when it was last looked at.
    seen: Option<(u64, i64, i64)>,
    absent_since: Option<i64>,
}

impl Tracked {
    /// The next look takes what it sees for new.
    pub(super) fn forget_seen(&mut self) {
        self.seen = None;
    }
}

/// The known files.
pub(super) struct Tracker {
    files: BTreeMap<u64, Tracked>,
    by_inode: HashMap<u64, Vec<u64>>,
    /// Files that were remembered by their path alone.
    by_path: HashMap<PathBuf, u64>,
    next: u64,
    held: VecDeque<u64>,
    monitored: bool,
    /// Partitions that are forgotten.
    pub(super) retired: VecDeque<Arc<str>>,
}

impl Tracker {
    /// What the positions of an epoch remember.
    pub(super) fn restore(from: &[Position], monitored: bool) -> Result<Self> {
        let mut tracker = Self {
            files: BTreeMap::new(),
            by_inode: HashMap::new(),
            by_path: HashMap::new(),
            next: 0,
            held: VecDeque::new(),
            monitored,
            retired: VecDeque::new(),
        };
        for position in from {
            let memory = Memory::of(position);
            let metadata = fs::metadata(&memory.path);
            if metadata.as_ref().is_ok_and(is_pipe) {
                return Err(pipe_again(&memory.path));
            }
            let nameless = memory.identity.is_none().then(|| memory.path.clone());
            let serial = tracker.add(Arc::clone(&position.partition), memory, None);
            tracker.by_path.extend(nameless.map(|path| (path, serial)));
        }
        Ok(tracker)
    }

    pub(super) fn get(&mut self, serial: u64) -> Option<&mut Tracked> {
        self.files.get_mut(&serial)
    }

    fn add(&mut self, partition: Arc<str>, memory: Memory, seen: Option<(u64, i64, i64)>) -> u64 {
        let serial = self.next;
        self.next += 1;
        if let Some(identity) = memory.identity {
            self.by_inode.entry(identity.inode).or_default().push(serial);
        }
        let tracked = Tracked {
            partition,
            memory,
            file: None,
            pipe: false,
            queued: false,
            closing: false,
            seen,
            absent_since: None,
        };
        self.files.insert(serial, tracked);
        serial
    }

    pub(super) fn remove(&mut self, serial: u64) {
        let Some(tracked) = self.files.remove(&serial) else { return };
        self.unindex(serial, &tracked.memory);
        if tracked.memory.offset > 0 {
            self.retired.push_back(tracked.partition);
        }
    }

    fn unindex(&mut self, serial: u64, memory: &Memory) {
        let Some(identity) = memory.identity else { return };
        if let Some(serials) = self.by_inode.get_mut(&identity.inode) {
            serials.retain(|known| *known != serial);
            if serials.is_empty() {
                self.by_inode.remove(&identity.inode);
            }
        }
    }

    /// Keeps the descriptor of a file, and lets go of the one that was kept first when there are too many.
    pub(super) fn hold(&mut self, serial: u64, file: Arc<File>) {
        if let Some(tracked) = self.files.get_mut(&serial)
            && tracked.file.is_none()
        {
            tracked.file = Some(file);
            self.held.push_back(serial);
        }
        let mut spared = 0;
        while self.held.len() > HELD_MAX {
            let Some(first) = self.held.pop_front() else { break };
            let Some(tracked) = self.files.get_mut(&first) else { continue };
            if tracked.absent_since.is_some() && spared < HELD_MAX {
                // Nothing else leads to its rest.
                spared += 1;
                self.held.push_back(first);
            } else {
                tracked.file = None;
            }
        }
    }

    /// The known file with this identity, or one that was remembered by its path alone.
    fn find(&self, identity: &Identity, path: &Path) -> Option<u64> {
        let known = self.by_inode.get(&identity.inode).into_iter().flatten().find(|serial| {
            let tracked = self.files.get(serial);
            tracked.and_then(|tracked| tracked.memory.identity).is_some_and(|known| known.same(identity))
        });
        known.or_else(|| self.by_path.get(path)).copied()
    }

    /// Compares what is known with what is there. Gives the files that have more to read: those that are gone, those that
    /// had been begun, and new ones.
    pub(super) fn look(&mut self, listing: Vec<(PathBuf, Metadata)>, now: i64) -> Result<Vec<u64>> {
        let (mut begun, mut new) = (Vec::new(), Vec::new());
        let mut met = HashSet::new();
        let mut unknown = Vec::new();
        for (path, metadata) in listing {
            if is_pipe(&metadata) {
                new.extend(self.pipe(path, &mut met));
                continue;
            }
            match self.find(&Identity::of(&metadata), &path) {
                // A second name of one file says nothing new.
                Some(serial) if !met.insert(serial) => {}
                Some(serial) => {
                    if self.again(serial, path, &metadata)? {
                        begun.push(serial);
                    }
                }
                None => unknown.push((path, metadata)),
            }
        }
        for (path, metadata) in unknown {
            // Two names of one new file.
            if let Some(serial) = self.find(&Identity::of(&metadata), &path) {
                met.insert(serial);
                continue;
            }
            if self.monitored && self.is_packed(&path) {
                continue;
            }
            if self.monitored
                && let Some(compression) = Compression::of(&path)?
            {
                match self.original(&path, compression, &met)? {
                    Original::None => {}
                    Original::StillThere => continue,
                    Original::Gone(serial) => {
                        self.replace(serial, &path, &metadata);
                        met.insert(serial);
                        begun.push(serial);
                        continue;
                    }
                }
            }
            let memory = Memory::new(Identity::of(&metadata), path);
            let serial = self.add(memory.partition().into(), memory, Some(stamp(&metadata)));
            met.insert(serial);
            if metadata.len() > 0 {
                new.push(serial);
            }
        }
        let mut queue = self.absent(&met, now)?;
        queue.extend(begun);
        queue.extend(new);
        queue.retain(|serial| {
            self.files.get_mut(serial).is_some_and(|tracked| !std::mem::replace(&mut tracked.queued, true))
        });
        Ok(queue)
    }

    /// A pipe is there as long as somebody may write into it.
    fn pipe(&mut self, path: PathBuf, met: &mut HashSet<u64>) -> Option<u64> {
        let known = self.files.iter().find(|(_, tracked)| tracked.pipe && tracked.memory.path == path);
        if let Some((serial, _)) = known {
            met.insert(*serial);
            return self.monitored.then_some(*serial);
        }
        let memory = Memory::of(&Position::new(path.to_string_lossy().as_ref(), "", 0));
        let serial = self.add(memory.partition().into(), memory, None);
        if let Some(tracked) = self.files.get_mut(&serial) {
            tracked.pipe = true;
        }
        met.insert(serial);
        Some(serial)
    }

    /// A known file is there; whether it may have more to read.
    fn again(&mut self, serial: u64, path: PathBuf, metadata: &Metadata) -> Result<bool> {
        let Some(tracked) = self.files.get_mut(&serial) else { return Ok(false) };
        let nameless = tracked.memory.identity.is_none();
        tracked.memory.path = path;
        (tracked.absent_since, tracked.closing) = (None, false);
        if tracked.seen.replace(stamp(metadata)) == Some(stamp(metadata)) {
            return Ok(false);
        }
        let identity = Identity::of(metadata);
        let (offset, done) = (tracked.memory.offset, tracked.memory.done);
        tracked.memory.identity = Some(identity);
        let path = tracked.memory.path.clone();
        if nameless {
            self.by_path.remove(&path);
            self.by_inode.entry(identity.inode).or_default().push(serial);
        }
        if Compression::of(&path)?.is_some() {
            return Ok(done != Some(metadata.len()));
        }
        if metadata.len() < offset {
            return Err(truncated(&path, offset, metadata.len()));
        }
        Ok(self.monitored || done.is_none_or(|done| done != metadata.len()))
    }

    /// Files that are known and not there.
    fn absent(&mut self, met: &HashSet<u64>, now: i64) -> Result<Vec<u64>> {
        let monitored = self.monitored;
        let (mut queue, mut gone) = (Vec::new(), Vec::new());
        for (serial, tracked) in &mut self.files {
            if met.contains(serial) || tracked.pipe {
                continue;
            }
            if !monitored {
                if tracked.memory.done.is_none() {
                    return Err(missing(&tracked.memory));
                }
                continue;
            }
            let first = tracked.absent_since.is_none();
            let since = now.saturating_sub(*tracked.absent_since.get_or_insert(now));
            let path = tracked.memory.path.display();
            match tracked.file.as_ref().map(|file| file.metadata()).transpose() {
                Ok(Some(metadata)) => {
                    let more = metadata.len() > tracked.memory.offset;
                    let patience = if metadata.nlink() == 0 { UNLINKED_MILLIS } else { ELSEWHERE_MILLIS };
                    if tracked.seen.replace(stamp(&metadata)) != Some(stamp(&metadata)) && more {
                        queue.push(*serial);
                        // Whoever still writes into it has not let go of it.
                        tracked.absent_since = Some(now);
                    } else if since >= patience && more && !tracked.closing && tracked.memory.done.is_none() {
                        tracked.closing = true;
                        queue.push(*serial);
                    } else if since >= patience {
                        gone.push(*serial);
                    }
                }
                Ok(None) | Err(_) => {
                    if first {
                        let byte = tracked.memory.offset;
                        tracing::warn!(%path, byte, "a file is gone; what it held behind this byte, if anything, is not read");
                    }
                    if since >= ELSEWHERE_MILLIS {
                        gone.push(*serial);
                    }
                }
            }
        }
        // One is remembered for ever: a restart must know that the path was there once.
        if gone.len() == self.files.len()
            && let Some(last) = gone.pop().and_then(|serial| self.files.get_mut(&serial))
        {
            last.file = None;
        }
        gone.into_iter().for_each(|serial| self.remove(serial));
        Ok(queue)
    }

    /// Looks for the files that are gone from a table beside the places where they were: rotated while nobody read.
    pub(super) fn search(&mut self, listing: &[(PathBuf, Metadata)]) {
        let there: HashSet<u64> =
            listing.iter().filter_map(|(path, metadata)| self.find(&Identity::of(metadata), path)).collect();
        let mut lost: HashMap<PathBuf, Vec<u64>> = HashMap::new();
        for (serial, tracked) in &self.files {
            if tracked.memory.done.is_none() && tracked.memory.identity.is_some() && !there.contains(serial) {
                let folder = tracked.memory.path.parent().unwrap_or(Path::new("")).to_owned();
                lost.entry(folder).or_default().push(*serial);
            }
        }
        for (folder, serials) in lost {
            let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                let identity = Identity::of(&metadata);
                let found = serials.iter().copied().find(|serial| {
                    let known = self.files.get(serial).and_then(|tracked| tracked.memory.identity);
                    metadata.is_file() && known.is_some_and(|known| known.same(&identity))
                });
                if let (Some(serial), Ok(file)) = (found, File::open(entry.path())) {
                    if let Some(tracked) = self.files.get_mut(&serial) {
                        tracked.memory.path = entry.path();
                    }
                    self.hold(serial, Arc::new(file));
                }
            }
        }
    }

    /// The file that a new compressed one was made of, which is read no second time.
    fn original(&self, path: &Path, compression: Compression, met: &HashSet<u64>) -> Result<Original> {
        let stem = path.with_extension("");
        let candidates: Vec<(&u64, &Tracked)> = self
            .files
            .iter()
            .filter(|(serial, tracked)| {
                tracked.memory.head.length > 0
                    && matches!(Compression::of(&tracked.memory.path), Ok(None))
                    && (tracked.memory.path == stem || !met.contains(serial))
            })
            .collect();
        // One that was not read yet has no head that is remembered.
        let beside = File::open(&stem).and_then(|file| head_of(&file, u64::MAX)).unwrap_or_default();
        if candidates.is_empty() && beside.length == 0 {
            return Ok(Original::None);
        }
        let begin = beginning(path, compression).map_err(|error| super::content::broken(path, error))?;
        if beside.length > 0 && (begin.is_empty() || beside.begins(&begin)) {
            return Ok(Original::StillThere);
        }
        for (serial, tracked) in candidates {
            let there = met.contains(serial);
            let head = &tracked.memory.head;
            if begin.len() < head.length && there && tracked.memory.path == stem {
                // It is being made.
                return Ok(Original::StillThere);
            }
            if head.begins(&begin) {
                return Ok(if there { Original::StillThere } else { Original::Gone(*serial) });
            }
        }
        Ok(Original::None)
    }

    /// Whether a file that was never read is there packed as well, and that one is known: it was looked for while it was
    /// renamed, and will go away.
    fn is_packed(&self, path: &Path) -> bool {
        let packed = |ending: &&str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            let name = Path::new(&name);
            let known = name.exists()
                && self.files.values().any(|tracked| tracked.memory.path == name && tracked.memory.offset > 0);
            let compression = Compression::of(name).ok().flatten().filter(|_| known);
            let begin = compression.and_then(|compression| beginning(name, compression).ok());
            let head = File::open(path).and_then(|file| head_of(&file, u64::MAX));
            matches!((begin, head), (Some(begin), Ok(head)) if head.length > 0 && head.begins(&begin))
        };
        [".gz", ".zst", ".bz2"].iter().any(packed)
    }

    /// A compressed file takes the place of the one that it was made of.
    fn replace(&mut self, serial: u64, path: &Path, metadata: &Metadata) {
        let Some(mut tracked) = self.files.remove(&serial) else { return };
        self.unindex(serial, &tracked.memory);
        let identity = Identity::of(metadata);
        tracked.memory =
            Memory { identity: Some(identity), head: Print::default(), path: path.to_owned(), ..tracked.memory };
        (tracked.file, tracked.absent_since, tracked.closing) = (None, None, false);
        tracked.seen = Some(stamp(metadata));
        self.by_inode.entry(identity.inode).or_default().push(serial);
        self.files.insert(serial, tracked);
    }
}

/// What a compressed file was made of.
enum Original {
    None,
    StillThere,
    Gone(u64),
}

/// The first bytes of a compressed file's contents, as many as there are.
fn beginning(path: &Path, compression: Compression) -> io::Result<Vec<u8>> {
    let file = Arc::new(File::open(path)?);
    let mut bytes = Vec::new();
    let filled = Content::compressed(&file, compression)?.fill(&file, 0, &mut bytes, 1024)?;
    tracing::trace!(path = %path.display(), ?filled, whole = filled != Filled::CutOff, "looked into a compressed file");
    Ok(bytes)
}

/// What changes whenever a file is written.
fn stamp(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

const AS_NEW: &str = "put the old contents back; or, to read what is there now from its beginning, make it another \
                      file: cp file file.new && mv file.new file, and start again";

pub(super) fn truncated(path: &Path, offset: u64, size: u64) -> Error {
    let message = format!("'{}' has {size} bytes now, but was read up to byte {offset}", path.display());
    Error::fenced("filesystem.truncated", message)
        .detail("lines that were written before it was cut may never have been read")
        .hint(AS_NEW)
        .at(Place::File { path: path.display().to_string(), line: 0 })
}

pub(super) fn rewritten(path: &Path, offset: u64) -> Error {
    let message =
        format!("'{}' was written anew in its place, after it had been read up to byte {offset}", path.display());
    Error::fenced("filesystem.rewritten", message)
        .detail("lines that were written before may never have been read")
        .hint(AS_NEW)
        .at(Place::File { path: path.display().to_string(), line: 0 })
}

fn missing(memory: &Memory) -> Error {
    let message = format!("'{}' is gone, but was read up to byte {} only", memory.path.display(), memory.offset);
    Error::fenced("filesystem.truncated", message)
        .hint("put the file back, or begin a new state folder to read what is there now")
        .at(Place::File { path: memory.path.display().to_string(), line: 0 })
}

fn pipe_again(path: &Path) -> Error {
    Error::fenced(
        "filesystem.pipe",
        format!("'{}' is a pipe, and what was read of it cannot be read again", path.display()),
    )
    .hint("begin a new state folder, or give the lines as a file")
    .at(Place::File { path: path.display().to_string(), line: 0 })
}
