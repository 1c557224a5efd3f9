//! Merging: sealed segments become one in which each key of a table is found once and deletes are gone.
//!
//! The law: merging changes nothing that a restore sees. The merged segment is written beside the others, synced, and
//! only then named by the manifest; until then it does not exist.
//!
//! Segments are read from the newest delta to the oldest and the first meeting with a key decides. Keys of the older
//! merged segment are looked up but not remembered, so memory follows the keys that changed since the last merge, not
//! those of the whole state; when even they would take more than the budget, a table is read in several passes, each
//! for its share of the hashes. At most in memory: the budget, the largest single delta twice, and one chunk.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, BinaryArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use hashbrown::DefaultHashBuilder;
use headwater_change::{Error, Result};

use crate::files::{Files, Output, write_error};
use crate::key_set::{self, KeySet};
use crate::record::{Encoder, RecordKind};
use crate::segment::{self, Segment, SegmentReader};
use crate::{Committed, TableKey};

/// Rows of a record in a merged segment.
const CHUNK_ROWS: usize = 1 << 16;
/// Bytes in memory after which rows are written even when they are fewer.
const CHUNK_BYTES: usize = 8 << 20;
/// Bytes after which the merged segment is synced, so that an epoch's own sync does not wait for all of it.
const SYNC_BYTES: u64 = 8 << 20;

/// What to merge.
pub(crate) struct Job {
    /// Where files are.
    pub(crate) files: Arc<dyn Files>,
    /// The state folder.
    pub(crate) folder: PathBuf,
    /// Sealed segments from the oldest on; all that there are.
    pub(crate) sources: Vec<Segment>,
    /// Number of the merged segment.
    pub(crate) target: u64,
    /// Facts of the last epoch in `sources`.
    pub(crate) facts: Committed,
    /// Bytes that remembered keys may take.
    pub(crate) budget: u64,
    /// Set when the result is no longer wanted.
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// Merges. The answer is durable but named by nobody yet; `None` when cancelled.
pub(crate) fn run(job: &Job) -> Result<Option<Segment>> {
    let mut readers = Vec::new();
    for source in &job.sources {
        readers.push((source, SegmentReader::open(&*job.files, &job.folder, source.number)?));
    }
    let mut tables: Vec<TableKey> =
        job.sources.iter().flat_map(|source| &source.sections).map(|section| section.table).collect();
    tables.sort_unstable();
    tables.dedup();
    let mut target = Target::create(job)?;
    let hasher = DefaultHashBuilder::default();
    for table in tables {
        let passes = passes(job, table);
        for pass in 0..passes {
            if !merge_table(job, &readers, table, &Share { hasher: &hasher, pass, passes }, &mut target)? {
                return Ok(None);
            }
        }
        target.flush()?;
    }
    target.finish().map(Some)
}

/// The hashes of one pass.
struct Share<'a> {
    /// The same for all passes: each key must belong to exactly one.
    hasher: &'a DefaultHashBuilder,
    pass: u64,
    passes: u64,
}

impl Share<'_> {
    fn has(&self, hash: u64) -> bool {
        // The hash table uses the lowest and the highest bits.
        self.passes == 1 || (hash >> 16) % self.passes == self.pass
    }
}

/// In how many passes the keys of a table fit in the budget, counted as if no key came twice.
fn passes(job: &Job, table: TableKey) -> u64 {
    let changed = job.sources.iter().filter(|source| !source.merged).flat_map(|source| &source.sections);
    let needed = changed
        .filter(|section| section.table == table)
        .map(|section| key_set::memory(section.rows, section.key_bytes))
        .fold(0_u64, u64::saturating_add);
    needed.div_ceil(job.budget.max(1)).max(1)
}

/// Gives the target the live rows of one share of a table; false when cancelled.
fn merge_table(
    job: &Job,
    readers: &[(&Segment, SegmentReader)],
    table: TableKey,
    share: &Share<'_>,
    target: &mut Target<'_>,
) -> Result<bool> {
    let mut seen = KeySet::new(share.hasher.clone());
    for (source, reader) in readers.iter().rev() {
        for section in source.sections.iter().rev().filter(|section| section.table == table) {
            if job.cancelled.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let (upserts, deletes) = reader.section(section)?;
            let live = live_rows(&mut seen, &upserts, share, source.merged)?;
            for key in deletes.iter().flatten() {
                let hash = seen.hash(key);
                if share.has(hash) {
                    seen.insert(hash, key);
                }
            }
            if live.true_count() > 0 {
                target.add(table, filter_record_batch(&upserts, &live).map_err(columns_error)?)?;
            }
        }
    }
    Ok(true)
}

/// Which rows of a delta no newer delta overrides. A later row of the same delta overrides an earlier one.
fn live_rows(seen: &mut KeySet, upserts: &RecordBatch, share: &Share<'_>, unique: bool) -> Result<BooleanArray> {
    let keys = upserts.columns().first().and_then(|keys| keys.as_any().downcast_ref::<BinaryArray>());
    let Some(keys) = keys else {
        return Err(Error::bug("state.delta_shape", "column 0 of a stored delta is not a binary key"));
    };
    let mut live = vec![false; keys.len()];
    for (index, live) in live.iter_mut().enumerate().rev() {
        let key = keys.value(index);
        let hash = seen.hash(key);
        *live = share.has(hash) && if unique { !seen.contains(hash, key) } else { seen.insert(hash, key) };
    }
    Ok(live.into())
}

fn columns_error(error: arrow::error::ArrowError) -> Error {
    Error::bug("state.merge", "stored columns cannot be merged").caused_by(error)
}

/// The merged segment being written.
struct Target<'a> {
    job: &'a Job,
    path: PathBuf,
    output: Box<dyn Output>,
    segment: Segment,
    synced: u64,
    buffer: Vec<u8>,
    table: TableKey,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
}

impl<'a> Target<'a> {
    fn create(job: &'a Job) -> Result<Self> {
        let (segment, output) = Segment::create(&*job.files, &job.folder, job.target)?;
        Ok(Self {
            job,
            path: segment::path(&job.folder, job.target),
            output,
            synced: segment.length,
            segment,
            buffer: Vec::new(),
            table: TableKey { operator: 0, table: 0 },
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
        })
    }

    /// Takes rows; small batches wait until there are enough for a record.
    fn add(&mut self, table: TableKey, rows: RecordBatch) -> Result<()> {
        if self.waiting.first().is_some_and(|first| first.schema_ref() != rows.schema_ref()) {
            self.flush()?;
        }
        self.table = table;
        self.waiting_rows += rows.num_rows();
        self.waiting_bytes += rows.get_array_memory_size();
        self.waiting.push(rows);
        if self.waiting_rows >= CHUNK_ROWS || self.waiting_bytes >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what waits.
    fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        let rows = match waiting.as_slice() {
            [] => return Ok(()),
            [only] => only.clone(),
            [first, ..] => concat_batches(first.schema_ref(), &waiting).map_err(columns_error)?,
        };
        let mut start = 0;
        while start < rows.num_rows() {
            let length = CHUNK_ROWS.min(rows.num_rows() - start);
            self.record(RecordKind::Part, Some(rows.slice(start, length)))?;
            start += length;
        }
        Ok(())
    }

    fn record(&mut self, kind: RecordKind, rows: Option<RecordBatch>) -> Result<()> {
        let mut encoder = Encoder::new(&mut self.buffer, self.segment.number, self.segment.length);
        if let Some(rows) = rows {
            encoder.section(self.table, &rows, &BinaryArray::new_null(0))?;
        }
        let facts = match kind {
            RecordKind::Part => &Committed { epoch: self.job.facts.epoch, ..Committed::default() },
            RecordKind::Commit | RecordKind::Merged => &self.job.facts,
        };
        let sections = encoder.finish(kind, facts);
        self.output.write_all(&self.buffer).map_err(|error| write_error(&self.path, error))?;
        self.segment.grow(self.buffer.len() as u64, sections);
        if self.segment.length - self.synced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.output.sync().map_err(|error| write_error(&self.path, error))?;
        self.synced = self.segment.length;
        Ok(())
    }

    fn finish(mut self) -> Result<Segment> {
        self.record(RecordKind::Merged, None)?;
        self.sync()?;
        self.segment.merged = true;
        Ok(self.segment)
    }
}
