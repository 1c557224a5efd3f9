//! Reading files: one partition a file, its position the byte offset behind the last delivered line.
//!
//! A bounded source reads every file once, to its end, also a last line without a newline. A monitored one takes whole
//! lines only and never ends: new files and new lines are found every monitor interval, and files are followed when they
//! are renamed or taken away (`tracker`).

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_change::{
    ChangeBatch, ChangelogMode, Clock, Error, Place, Position, Read, Reader, Result, Run, Source, SourceDescription,
    SystemClock, TableRequest,
};

use super::config::SourceConfig;
use super::content::{Compression, Content, Filled, broken, open_pipe, wait_for};
use super::discover::{is_gone, unreadable};
use super::identity::{Identity, Memory, Print, head_of};
use super::layout::{FileFacts, Layout};
use super::pool::{Chunk, Decoded, Pool};
use super::tracker::{Tracker, rewritten, truncated};
use crate::lines::{BadLine, Decode};

/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// The longest line that is waited for.
const LINE_BYTES_MAX: usize = 256 << 20;
/// What some editors put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A table of files to read.
pub(crate) struct FileSource {
    request: TableRequest,
    config: SourceConfig,
    layout: Arc<Layout>,
    clock: Arc<dyn Clock>,
}

impl FileSource {
    pub(crate) fn new(request: TableRequest, config: SourceConfig) -> Result<Self> {
        let layout = Arc::new(Layout::new(&request)?);
        config.format.decoder(&layout.data, &Arc::default())?;
        Ok(Self { request, config, layout, clock: Arc::new(SystemClock) })
    }

    #[cfg(test)]
    pub(crate) fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl Source for FileSource {
    fn describe(&self) -> SourceDescription {
        SourceDescription {
            schema: Arc::clone(&self.request.schema),
            mode: ChangelogMode::Append,
            bounded: self.config.monitor.is_none(),
        }
    }

    fn open(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        let skipped = Arc::new(AtomicU64::new(0));
        let threads = self.request.threads.clamp(1, 64);
        let decoders = (0..threads)
            .map(|_| self.config.format.decoder(&self.layout.data, &skipped))
            .collect::<Result<Vec<_>>>()?;
        let cutter = self.config.format.decoder(&self.layout.data, &skipped)?;
        let mut reader = FileReader {
            request: self.request.clone(),
            config: self.config.clone(),
            layout: Arc::clone(&self.layout),
            clock: Arc::clone(&self.clock),
            pool: Pool::new(decoders)?,
            cutter,
            tracker: Tracker::restore(from, self.config.monitor.is_some())?,
            queue: VecDeque::new(),
            current: None,
            waiting: false,
            root_gone: false,
            looked_at: i64::MIN,
            look_again: false,
            spare: Vec::new(),
            last: None,
            skipped,
        };
        reader.look(from.is_empty())?;
        Ok(Box::new(reader))
    }
}

/// A file that is being read.
struct Current {
    serial: u64,
    path: PathBuf,
    file: Arc<File>,
    content: Content,
    facts: Arc<FileFacts>,
    pipe: bool,
    /// What stands before the offset was not looked at since the file was opened.
    unchecked: bool,
}

/// Where a chunk came from.
struct Origin {
    facts: Arc<FileFacts>,
    position: Position,
    /// Where its first byte stands.
    begin: u64,
    lines: LinesBefore,
}

/// How many lines stand before a chunk.
enum LinesBefore {
    /// To be counted in the file when somebody asks.
    In(Arc<File>),
    Are(u64),
}

struct FileReader {
    request: TableRequest,
    config: SourceConfig,
    layout: Arc<Layout>,
    clock: Arc<dyn Clock>,
    pool: Pool<Origin>,
    /// Knows where records end.
    cutter: Box<dyn Decode>,
    tracker: Tracker,
    queue: VecDeque<u64>,
    current: Option<Current>,
    /// The current file is a pipe that has nothing to say now.
    waiting: bool,
    root_gone: bool,
    looked_at: i64,
    /// Names changed while they were looked at.
    look_again: bool,
    spare: Vec<Vec<u8>>,
    /// What was delivered last.
    last: Option<Chunk<Origin>>,
    skipped: Arc<AtomicU64>,
}

impl FileReader {
    /// Queues every file that has more bytes than were read. `first` says that nothing was ever read.
    fn look(&mut self, first: bool) -> Result<()> {
        let opening = self.looked_at == i64::MIN;
        self.looked_at = self.clock.ticks();
        self.look_again = false;
        let listing = match self.config.location.files()? {
            Some(listing) => listing,
            None if first || self.config.monitor.is_none() => return Err(self.config.location.missing()),
            None => {
                if !self.root_gone {
                    tracing::warn!(table = %self.request.table, "the path of the table is gone; waiting for it");
                }
                self.root_gone = true;
                Vec::new()
            }
        };
        self.root_gone &= listing.is_empty();
        if opening && self.config.monitor.is_some() {
            self.tracker.search(&listing);
        }
        self.queue.extend(self.tracker.look(listing, self.looked_at)?);
        Ok(())
    }

    fn look_is_due(&self) -> bool {
        self.look_again
            || self.config.monitor.is_some_and(|every| {
                let passed = self.clock.ticks().saturating_sub(self.looked_at);
                u128::try_from(passed).unwrap_or(0) >= every.as_millis()
            })
    }

    /// Opens the next queued file that is still there; `false` when there is none.
    fn open_next(&mut self) -> Result<bool> {
        while let Some(serial) = self.queue.pop_front() {
            let Some(tracked) = self.tracker.get(serial) else { continue };
            tracked.queued = false;
            let path = tracked.memory.path.clone();
            let opened = match &tracked.file {
                Some(file) => Ok(Arc::clone(file)),
                None if tracked.pipe => open_pipe(&path).map(Arc::new),
                None => File::open(&path).map(Arc::new),
            };
            let file = match opened {
                Err(error) if is_gone(&error) && self.config.monitor.is_some() => {
                    let unread = tracked.memory.offset == 0;
                    if unread {
                        tracing::warn!(path = %path.display(), "a file was gone before it was read");
                        self.tracker.remove(serial);
                    }
                    continue;
                }
                other => other.map_err(|error| unreadable(&path, error))?,
            };
            let metadata = file.metadata().map_err(|error| unreadable(&path, error))?;
            let known = tracked.memory.identity;
            if !tracked.pipe && known.is_some_and(|known| !known.same(&Identity::of(&metadata))) {
                // Another file has the name now; the next look finds out which is which.
                self.look_again = true;
                tracked.forget_seen();
                continue;
            }
            let facts = Arc::new(FileFacts::new(&path, &metadata));
            let pipe = tracked.pipe;
            let content =
                if pipe { Content::pipe(&file).map_err(|error| unreadable(&path, error))? } else { Content::Plain };
            let mut current =
                Current { serial, path, file, content, facts, pipe, unchecked: tracked.memory.offset > 0 };
            if !pipe && let Some(compression) = Compression::of(&current.path)? {
                let memory = tracked.memory.clone();
                let Some(content) = decompressed(&current, compression, &memory)? else { continue };
                current.content = content;
                current.unchecked = false;
                tracked.memory.head =
                    head_of(&current.file, u64::MAX).map_err(|error| unreadable(&current.path, error))?;
            }
            if self.config.monitor.is_some() && !pipe {
                self.tracker.hold(serial, Arc::clone(&current.file));
            }
            self.current = Some(current);
            return Ok(true);
        }
        Ok(false)
    }

    /// The next whole records of the queued files, about `size` bytes; `None` when there are none for now.
    fn chunk(&mut self, size: usize) -> Result<Option<Chunk<Origin>>> {
        loop {
            if self.current.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let Some(current) = &mut self.current else { return Ok(None) };
            let Some(tracked) = self.tracker.get(current.serial) else {
                self.current = None;
                continue;
            };
            let whole = self.config.monitor.is_none() || tracked.closing;
            let memory = &mut tracked.memory;
            let mut bytes = self.spare.pop().unwrap_or_default();
            let (length, filled) = read_records(current, memory.offset, self.cutter.as_ref(), size, whole, &mut bytes)?;
            let is_plain = matches!(current.content, Content::Plain);
            if std::mem::take(&mut current.unchecked) {
                let fits = memory.fits(&current.file).map_err(|error| unreadable(&current.path, error))?;
                if !fits {
                    let size = current.file.metadata().map_err(|error| unreadable(&current.path, error))?.len();
                    let (path, offset) = (&current.path, memory.offset);
                    return Err(if size < offset { truncated(path, offset, size) } else { rewritten(path, offset) });
                }
            }
            if length == 0 {
                self.spare.push(bytes);
                if filled == Filled::Waiting {
                    self.waiting = true;
                    return Ok(None);
                }
                if is_plain {
                    let size = current.file.metadata().map_err(|error| unreadable(&current.path, error))?.len();
                    if size < memory.offset {
                        return Err(truncated(&current.path, memory.offset, size));
                    }
                }
                // Its end, or for a growing file the end for now.
                self.current = None;
                continue;
            }
            bytes.truncate(length);
            let begin = memory.offset;
            memory.offset += length as u64;
            if is_plain {
                memory.head = match begin {
                    0 => Print::head(&bytes),
                    _ if memory.head.is_short() => {
                        head_of(&current.file, memory.offset).map_err(|error| unreadable(&current.path, error))?
                    }
                    _ => memory.head,
                };
            }
            memory.tail = Print::tail(&bytes);
            let size = current.file.metadata().map_err(|error| unreadable(&current.path, error))?.len();
            let ended = match is_plain {
                true => whole && memory.offset == size,
                false => filled == Filled::End && !current.pipe && current.content.is_spent(),
            };
            memory.done = ended.then_some(size);
            let lines = match &mut current.content {
                Content::Plain => LinesBefore::In(Arc::clone(&current.file)),
                Content::Stream(stream) => {
                    let before = stream.lines;
                    stream.lines += memchr::memchr_iter(b'\n', &bytes).count() as u64;
                    LinesBefore::Are(before)
                }
            };
            let position = Position::new(Arc::clone(&tracked.partition), memory.token(), memory.offset);
            let mark = if begin == 0 && bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
            bytes.drain(..mark);
            let begin = begin + mark as u64;
            let tag = Origin { facts: Arc::clone(&current.facts), position, begin, lines };
            return Ok(Some(Chunk { bytes, tag }));
        }
    }

    /// The next batch of what can be had without waiting for a file to grow.
    fn batch(&mut self, size: usize) -> Result<Option<Read>> {
        loop {
            self.waiting = false;
            while self.pool.room()
                && let Some(chunk) = self.chunk(size)?
            {
                self.pool.give(chunk)?;
            }
            let Some(Decoded { chunk, rows }) = self.pool.take()? else { return Ok(None) };
            let rows = match rows {
                Ok(rows) => rows,
                Err(bad) => {
                    let bad = self.exactly(&chunk.bytes, bad);
                    return Err(at_line(bad.error, &chunk, bad.offset));
                }
            };
            let position = chunk.tag.position.clone();
            let facts = Arc::clone(&chunk.tag.facts);
            self.spare.extend(self.last.replace(chunk).map(|chunk| chunk.bytes));
            if rows.num_rows() == 0 {
                // Blank or skipped lines only.
                continue;
            }
            let rows = self.layout.complete(rows, &facts)?;
            let run = Run { end: rows.num_rows(), position, ends_transaction: true };
            let batch = ChangeBatch::insert_only(self.request.table.clone(), rows).with_runs(vec![run])?;
            return Ok(Some(Read::Rows(batch)));
        }
    }

    /// A fault that was found when a chunk was whole, at the record that has it.
    fn exactly(&self, bytes: &[u8], bad: BadLine) -> BadLine {
        if bad.offset < bytes.len() {
            return bad;
        }
        let mut found = None;
        self.records(bytes, |offset, rows| match rows {
            Err(error) => {
                found = Some(BadLine { offset, error });
                false
            }
            Ok(_) => true,
        });
        found.unwrap_or(bad)
    }

    /// Decodes records one by one and gives each one's offset and number of rows, until `visit` says no.
    fn records(&self, bytes: &[u8], mut visit: impl FnMut(usize, Result<usize>) -> bool) {
        let mut from = 0;
        for newline in memchr::memchr_iter(b'\n', bytes).chain([bytes.len().saturating_sub(1)]) {
            let Some(record) = bytes.get(from..=newline).filter(|record| !record.is_empty()) else { continue };
            if newline + 1 < bytes.len() && self.cutter.boundary(record) != Some(record.len()) {
                continue;
            }
            let decoder = self.config.format.decoder(&self.layout.data, &Arc::default());
            let rows = decoder.and_then(|mut decoder| {
                decoder.decode(record).map_err(|bad| bad.error)?;
                decoder.finish().map(|rows| rows.num_rows())
            });
            if !visit(from, rows) {
                return;
            }
            from = newline + 1;
        }
    }
}

impl Origin {
    /// The place of a byte of the chunk.
    fn place(&self, bytes: &[u8], offset: usize) -> Place {
        let here = || memchr::memchr_iter(b'\n', bytes.get(..offset).unwrap_or(bytes)).count() as u64;
        let line = match &self.lines {
            LinesBefore::Are(before) => before + here() + 1,
            LinesBefore::In(file) => count_lines(file, self.begin).map_or(0, |before| before + here() + 1),
        };
        Place::File { path: self.facts.path.clone(), line }
    }
}

/// A decompressor that stands behind what was delivered before; `None` while that is not there yet.
fn decompressed(current: &Current, compression: Compression, memory: &Memory) -> Result<Option<Content>> {
    let failed = |error| broken(&current.path, error);
    let mut content = Content::compressed(&current.file, compression).map_err(failed)?;
    let (mut left, mut bytes, mut tail) = (memory.offset, Vec::new(), Vec::new());
    while left > 0 {
        bytes.clear();
        let wanted = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        content.fill(&current.file, 0, &mut bytes, wanted).map_err(failed)?;
        if bytes.is_empty() {
            return Err(truncated(&current.path, memory.offset, memory.offset - left));
        }
        left -= bytes.len() as u64;
        if let Content::Stream(stream) = &mut content {
            stream.lines += memchr::memchr_iter(b'\n', &bytes).count() as u64;
        }
        tail.extend_from_slice(&bytes);
        tail.drain(..tail.len().saturating_sub(memory.tail.length));
    }
    if memory.offset > 0 && !memory.tail.ends(&tail) {
        return Err(rewritten(&current.path, memory.offset));
    }
    Ok(Some(content))
}

/// Reads from `offset` on until a record ends; returns how many bytes of whole records are in `bytes`, and why reading
/// ended. With `whole` the end of a file is the end of a record.
fn read_records(
    current: &mut Current,
    offset: u64,
    cutter: &dyn Decode,
    size: usize,
    whole: bool,
    bytes: &mut Vec<u8>,
) -> Result<(usize, Filled)> {
    bytes.clear();
    if let Content::Stream(stream) = &mut current.content {
        bytes.append(&mut stream.rest);
    }
    let mut wanted = size.max(bytes.len());
    let path = &current.path;
    loop {
        let filled = current.content.fill(&current.file, offset, bytes, wanted).map_err(|error| broken(path, error))?;
        let is_plain = matches!(current.content, Content::Plain);
        let length = match filled {
            // Whatever comes as a stream has an end.
            Filled::End if whole || !is_plain => Some(bytes.len()),
            Filled::CutOff if whole => return Err(cut_off(path)),
            _ => cutter.boundary(bytes),
        };
        if let (None, Filled::Full) = (length, filled) {
            if wanted >= LINE_BYTES_MAX {
                let message = format!("a line is longer than {LINE_BYTES_MAX} bytes");
                return Err(Error::data("filesystem.line_too_long", message)
                    .hint("is this a file of lines? check 'path' and 'format'")
                    .at(Place::File { path: current.facts.path.clone(), line: 0 }));
            }
            wanted = wanted.saturating_mul(2).min(LINE_BYTES_MAX);
            continue;
        }
        let length = length.unwrap_or(0);
        if let Content::Stream(stream) = &mut current.content {
            stream.rest = bytes.split_off(length);
        }
        return Ok((length, filled));
    }
}

fn cut_off(path: &std::path::Path) -> Error {
    Error::data("filesystem.cut_off", "a compressed file ends too early")
        .hint("is it still being written? then let it end first, or set 'source.monitor-interval'")
        .at(Place::File { path: path.display().to_string(), line: 0 })
}

/// Adds file and line number. Lines are counted only now, so that reading pays nothing for it.
fn at_line(error: Error, chunk: &Chunk<Origin>, offset: usize) -> Error {
    error.at(chunk.tag.place(&chunk.bytes, offset))
}

fn count_lines(file: &File, target: u64) -> Option<u64> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut at, mut lines) = (0, 0);
    while at < target {
        let room = usize::try_from(target - at).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let count = file.read_at(buffer.get_mut(..room)?, at).ok().filter(|count| *count > 0)?;
        lines += memchr::memchr_iter(b'\n', buffer.get(..count)?).count() as u64;
        at += count as u64;
    }
    Some(lines)
}

impl Reader for FileReader {
    fn next(&mut self, budget: usize, wait: Duration) -> Result<Read> {
        if let Some(partition) = self.tracker.retired.pop_front() {
            return Ok(Read::Idle(Some(Position::retired(partition))));
        }
        let size = budget.clamp(1, CHUNK_BYTES);
        if let Some(read) = self.batch(size)? {
            return Ok(read);
        }
        if self.waiting
            && let Some(current) = &self.current
        {
            wait_for(&current.file, wait).map_err(|error| unreadable(&current.path, error))?;
            return Ok(self.batch(size)?.unwrap_or(Read::Idle(None)));
        }
        match self.config.monitor {
            Some(every) if !self.look_is_due() => std::thread::park_timeout(wait.min(every)),
            None if !self.look_again => return Ok(Read::End),
            _ => {}
        }
        if self.look_is_due() {
            self.look(false)?;
            if let Some(read) = self.batch(size)? {
                return Ok(read);
            }
        }
        Ok(Read::Idle(None))
    }

    fn locate(&self, row: usize) -> Option<Place> {
        let chunk = self.last.as_ref()?;
        let (mut before, mut place) = (0, None);
        self.records(&chunk.bytes, |offset, rows| {
            before += rows.unwrap_or(0);
            if before > row {
                place = Some(chunk.tag.place(&chunk.bytes, offset));
            }
            place.is_none()
        });
        place
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        let skipped = self.skipped.load(Ordering::Relaxed);
        if skipped > 0 {
            tracing::warn!(table = %self.request.table, lines = skipped, "lines that could not be read were skipped");
        }
    }
}
