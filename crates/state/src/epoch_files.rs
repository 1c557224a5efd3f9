//! [`EpochFiles`]: durable state as columnar epoch files, the chosen backend.
//!
//! ```text
//!  commit ──► record ──write──sync──► open segment        one record, one sync: the commit point
//!                                        │ sealed when the log outgrows what was merged
//!  restore ◄── sealed segments ◄─────────┘
//!                 └──► merging thread ──► merged segment ──► MANIFEST (renamed into place) ──► old files removed
//! ```
//!
//! The law: an epoch is there as a whole or not at all, whatever operation the process or the machine stops at.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use arrow::array::{BinaryArray, RecordBatch};
use headwater_change::{Error, ErrorKind, Owner, Result};

use crate::compact::{self, Job};
use crate::files::{Files, Lock, Output, SystemFiles, read_error, write_error};
use crate::manifest::{self, Manifest};
use crate::record::{Encoder, RecordKind};
use crate::segment::{self, FIRST_RECORD, Segment, SegmentReader};
use crate::{Backend, Commit, Committed, TableKey};

/// Name of the file that is locked while a process uses the folder.
pub(crate) const LOCK_FILE: &str = "LOCK";
/// The buffer of an epoch up to this size is kept for the next one.
const BUFFER_KEPT_BYTES: usize = 64 << 20;

/// When to merge and at what price.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The log may grow to this many times the merged segment.
    pub(crate) log_ratio: u64,
    /// A log smaller than this is not merged.
    pub(crate) log_bytes_min: u64,
    /// A log with more records than this is merged whatever its size, because each costs a little when opening.
    pub(crate) log_records_max: u64,
    /// Memory for the keys of a merge, in bytes.
    pub(crate) merge_bytes_max: u64,
    /// Whether merging has a thread of its own, or is part of the commit that starts it.
    pub(crate) background: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_ratio: 2,
            log_bytes_min: 64 << 20,
            log_records_max: 100_000,
            merge_bytes_max: 256 << 20,
            background: true,
        }
    }
}

/// Durable keyed state in a folder of columnar epoch files. Made by [`crate::open`].
pub struct EpochFiles {
    files: Arc<dyn Files>,
    folder: PathBuf,
    owner: Owner,
    _lock: Lock,
    limits: Limits,
    committed: Committed,
    sealed: Vec<Segment>,
    open: Segment,
    output: Box<dyn Output>,
    next_number: u64,
    buffer: Vec<u8>,
    /// The open segment may have bytes behind its last whole record.
    tail_dirty: bool,
    /// The manifest on disk may not be the one in memory.
    manifest_dirty: bool,
    /// Segments to remove once the manifest is durable.
    garbage: Vec<u64>,
    merge: Option<Merge>,
    /// Bytes of log below which a failed merge is not tried again.
    merge_again_bytes: u64,
}

/// A merge under way.
struct Merge {
    sources: usize,
    target: u64,
    cancelled: Arc<AtomicBool>,
    thread: JoinHandle<Result<Option<Segment>>>,
}

impl EpochFiles {
    /// Opens the state in a folder, makes it where there is none, and locks it for this process.
    ///
    /// Fails with `state.locked` when another process uses it, `state.version` when another version of the program
    /// wrote it, `state.corrupt` when it is damaged, and `state.read` or `state.write` when the disk fails.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_with(Arc::new(SystemFiles), folder, Limits::default())
    }

    pub(crate) fn open_with(files: Arc<dyn Files>, folder: &Path, limits: Limits) -> Result<Self> {
        files.create_folder(folder).map_err(|error| write_error(folder, error))?;
        let lock = lock(&*files, folder)?;
        let Some(manifest) = Manifest::read(&*files, folder)? else {
            return Self::create(files, folder, lock, limits);
        };
        let mut committed = Committed::default();
        let mut sealed = Vec::new();
        for (number, length) in &manifest.sealed {
            let (segment, facts) = SegmentReader::open(&*files, folder, *number)?.scan(Some(*length))?;
            sealed.push(segment);
            committed = facts.unwrap_or(committed);
        }
        let reader = SegmentReader::open(&*files, folder, manifest.open)?;
        let (open, facts) = reader.scan(None)?;
        let torn = reader.length()? > open.length;
        committed = facts.unwrap_or(committed);
        let path = segment::path(folder, open.number);
        let output = files.append(&path).map_err(|error| write_error(&path, error))?;
        let nameless = manifest.owner.is_empty();
        let owner = if nameless { Owner::new(true) } else { Owner { id: manifest.owner, durable: true } };
        let mut state = Self::assemble(files, (folder, owner), lock, limits, (sealed, open, output));
        state.committed = committed;
        state.manifest_dirty = nameless;
        state.tail_dirty = torn;
        state.repair()?;
        state.remove_strangers()?;
        Ok(state)
    }

    /// The state of a folder without a manifest. Segments without a manifest are only there when the making of the
    /// state was interrupted; they hold no epoch, or somebody removed the manifest.
    fn create(files: Arc<dyn Files>, folder: &Path, lock: Lock, limits: Limits) -> Result<Self> {
        for name in files.names(folder).map_err(|error| read_error(folder, error))? {
            let Some(number) = segment::file_number(&name) else { continue };
            let path = segment::path(folder, number);
            let length =
                files.read(&path).and_then(|input| input.length()).map_err(|error| read_error(&path, error))?;
            if length > FIRST_RECORD {
                return Err(crate::files::corrupt(&folder.join(manifest::FILE), 0, "the file is missing"));
            }
        }
        let (open, output) = Segment::create(&*files, folder, 1)?;
        let mut state = Self::assemble(files, (folder, Owner::new(true)), lock, limits, (Vec::new(), open, output));
        state.manifest_dirty = true;
        state.repair()?;
        Ok(state)
    }

    fn assemble(
        files: Arc<dyn Files>,
        (folder, owner): (&Path, Owner),
        lock: Lock,
        limits: Limits,
        (sealed, open, output): (Vec<Segment>, Segment, Box<dyn Output>),
    ) -> Self {
        let next_number = sealed.iter().chain([&open]).map(|segment| segment.number).max().unwrap_or(0) + 1;
        Self {
            files,
            folder: folder.to_owned(),
            owner,
            _lock: lock,
            limits,
            committed: Committed::default(),
            sealed,
            open,
            output,
            next_number,
            buffer: Vec::new(),
            tail_dirty: false,
            manifest_dirty: false,
            garbage: Vec::new(),
            merge: None,
            merge_again_bytes: 0,
        }
    }

    /// Brings the disk back to what memory says after a failed write: cuts a torn tail, writes the manifest again.
    fn repair(&mut self) -> Result<()> {
        if self.tail_dirty {
            let length = self.open.length;
            let cut = self.output.truncate(length).and_then(|()| self.output.sync());
            cut.map_err(|error| write_error(&segment::path(&self.folder, self.open.number), error))?;
            self.tail_dirty = false;
        }
        if self.manifest_dirty {
            let sealed = self.sealed.iter().map(|segment| (segment.number, segment.length)).collect();
            Manifest { owner: self.owner.id.clone(), sealed, open: self.open.number }
                .prepare(&*self.files, &self.folder)?;
            // The new segment's name must not be younger than the manifest that names it.
            self.sync_names()?;
            Manifest::install(&*self.files, &self.folder)?;
            self.sync_names()?;
            self.manifest_dirty = false;
        }
        for number in std::mem::take(&mut self.garbage) {
            // What cannot be removed now is a stranger when the folder is opened next.
            let _ = self.files.remove(&segment::path(&self.folder, number));
        }
        Ok(())
    }

    fn sync_names(&self) -> Result<()> {
        self.files.sync_folder(&self.folder).map_err(|error| write_error(&self.folder, error))
    }

    /// Removes segments that the manifest does not name: an interrupted merge, or one whose sources were not removed.
    fn remove_strangers(&mut self) -> Result<()> {
        for name in self.files.names(&self.folder).map_err(|error| read_error(&self.folder, error))? {
            let ours = |number| self.sealed.iter().chain([&self.open]).any(|segment| segment.number == number);
            if segment::file_number(&name).is_some_and(|number| !ours(number)) || name == manifest::NEXT_FILE {
                let path = self.folder.join(name);
                self.files.remove(&path).map_err(|error| write_error(&path, error))?;
            }
        }
        Ok(())
    }

    /// Writes the record in the buffer and makes it durable: the commit point.
    fn append(&mut self) -> Result<()> {
        let path = segment::path(&self.folder, self.open.number);
        let written = self.output.write_all(&self.buffer).and_then(|()| self.output.sync());
        written.map_err(|error| {
            self.tail_dirty = true;
            // Where even this fails the next commit tries again before it writes; should the process end before
            // that, opening finds out whether the epoch had become whole.
            let _ = self.repair();
            write_error(&path, error)
        })
    }

    /// Whether the log has outgrown the merged segment.
    fn merge_is_due(&self) -> bool {
        let merged: u64 = self.sealed.iter().filter(|segment| segment.merged).map(|segment| segment.length).sum();
        let log = || self.sealed.iter().filter(|segment| !segment.merged).chain([&self.open]);
        let bytes: u64 = log().map(|segment| segment.length).sum();
        let records: u64 = log().map(|segment| segment.records).sum();
        let large = bytes > self.limits.log_bytes_min.max(merged.saturating_mul(self.limits.log_ratio));
        self.merge.is_none() && bytes >= self.merge_again_bytes && (large || records > self.limits.log_records_max)
    }

    /// Seals the open segment and starts merging all sealed ones.
    pub(crate) fn start_merge(&mut self) -> Result<()> {
        let (open, output) = Segment::create(&*self.files, &self.folder, self.next_number)?;
        self.next_number += 1;
        self.sealed.push(std::mem::replace(&mut self.open, open));
        self.output = output;
        self.manifest_dirty = true;
        self.repair()?;
        let target = self.next_number;
        self.next_number += 1;
        let cancelled = Arc::new(AtomicBool::new(false));
        let job = Job {
            files: Arc::clone(&self.files),
            folder: self.folder.clone(),
            sources: self.sealed.clone(),
            target,
            facts: self.committed.clone(),
            budget: self.limits.merge_bytes_max,
            cancelled: Arc::clone(&cancelled),
        };
        if !self.limits.background {
            let result = compact::run(&job);
            return self.finish_merge(self.sealed.len(), target, result);
        }
        let thread = std::thread::Builder::new().name("state-merge".to_owned()).spawn(move || compact::run(&job));
        let thread = thread.map_err(|error| {
            Error::remote("state.thread", "the thread that merges state cannot be started").caused_by(error)
        })?;
        self.merge = Some(Merge { sources: self.sealed.len(), target, cancelled, thread });
        Ok(())
    }

    /// Takes the result of a merge, if there is one or `wait` says to wait for it.
    pub(crate) fn collect_merge(&mut self, wait: bool) -> Result<()> {
        let Some(merge) = self.merge.take_if(|merge| wait || merge.thread.is_finished()) else { return Ok(()) };
        let result = merge.thread.join().unwrap_or_else(|_| Err(Error::bug("state.merge", "merging state panicked")));
        self.finish_merge(merge.sources, merge.target, result)
    }

    /// Puts the merged segment in place of its sources. Without one the sources stay and merging is tried again when
    /// the log has grown; only damage is an error, because then the state is not what it should be.
    fn finish_merge(&mut self, sources: usize, target: u64, result: Result<Option<Segment>>) -> Result<()> {
        match result {
            Ok(Some(merged)) => {
                self.merge_again_bytes = 0;
                let old = self.sealed.splice(..sources, [merged]);
                self.garbage.extend(old.map(|segment| segment.number));
                self.manifest_dirty = true;
                self.repair()
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.garbage.push(target);
                let log: u64 = self.sealed.iter().chain([&self.open]).map(|segment| segment.length).sum();
                self.merge_again_bytes = log.saturating_add(self.limits.log_bytes_min);
                match error.kind() {
                    ErrorKind::Remote => Ok(()),
                    _ => Err(error),
                }
            }
        }
    }
}

impl Backend for EpochFiles {
    fn owner(&self) -> Owner {
        self.owner.clone()
    }

    fn committed(&self) -> &Committed {
        &self.committed
    }

    fn restore(
        &mut self,
        table: TableKey,
        visit: &mut dyn FnMut(&RecordBatch, &BinaryArray) -> Result<()>,
    ) -> Result<()> {
        for segment in self.sealed.iter().chain([&self.open]) {
            let mut sections = segment.sections.iter().filter(|section| section.table == table).peekable();
            if sections.peek().is_none() {
                continue;
            }
            let reader = SegmentReader::open(&*self.files, &self.folder, segment.number)?;
            for section in sections {
                let (upserts, deletes) = reader.section(section)?;
                visit(&upserts, &deletes)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<()> {
        commit.check(self.committed.epoch)?;
        self.collect_merge(false)?;
        self.repair()?;
        let Commit { epoch, deltas, positions, receipts, notes } = commit;
        let facts = Committed { epoch, positions, receipts, notes };
        let mut encoder = Encoder::new(&mut self.buffer, self.open.number, self.open.length);
        for delta in &deltas {
            encoder.section(delta.table, &delta.upserts, &delta.deletes)?;
        }
        let sections = encoder.finish(RecordKind::Commit, &facts);
        self.append()?;
        self.open.grow(self.buffer.len() as u64, sections);
        self.committed = facts;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_BYTES);
        if self.merge_is_due() {
            // The epoch is durable: what fails here is tried again, or said, by the next commit.
            let _ = self.start_merge();
        }
        Ok(())
    }
}

impl Drop for EpochFiles {
    fn drop(&mut self) {
        if let Some(merge) = self.merge.take() {
            merge.cancelled.store(true, Ordering::Relaxed);
            // Its files are strangers when the folder is opened next.
            let _ = merge.thread.join();
        }
    }
}

/// Locks the folder for this process.
pub(crate) fn lock(files: &dyn Files, folder: &Path) -> Result<Lock> {
    let path = folder.join(LOCK_FILE);
    files.lock(&path).map_err(|error| write_error(&path, error))?.ok_or_else(|| {
        Error::usage("state.locked", format!("the state folder {} is used by another process", folder.display()))
            .hint("end the other process, or give each pipeline a state folder of its own")
    })
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
