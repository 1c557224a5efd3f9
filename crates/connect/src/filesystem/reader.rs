//! Reading files: one partition a file, its position the byte offset behind the last delivered line.
//!
//! A bounded source reads every file once, to its end, also a last line without a newline. A monitored one takes whole
//! lines only and never ends: new files and new lines are found every monitor interval.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_change::{
    ChangeBatch, ChangelogMode, Clock, Error, METADATA_KEY, Place, Position, Read, Reader, Result, Run, Source,
    SourceDescription, SystemClock, TableRequest,
};

use super::config::SourceConfig;
use super::discover::{partition_value, unreadable};
use super::pool::{Chunk, Decoded, Pool};
use crate::column::Column;
use crate::lines::Decode;

/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// The longest line that is waited for.
const LINE_BYTES_MAX: usize = 256 << 20;

/// A table of files to read.
pub(crate) struct FileSource {
    request: TableRequest,
    config: SourceConfig,
    layout: Arc<Layout>,
    clock: Arc<dyn Clock>,
}

/// Which columns come from the data and which from the file itself.
struct Layout {
    schema: SchemaRef,
    data: SchemaRef,
    metadata: Vec<Option<Metadata>>,
    /// The folder that stands for NULL in a partition column.
    default_name: String,
}

#[derive(Clone)]
enum Metadata {
    /// A column of `PARTITIONED BY`, whose value is in the path: `currency=EUR/`.
    Partition(String, DataType),
    Path,
    Name,
    Size,
    Modified,
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

impl Layout {
    fn new(request: &TableRequest) -> Result<Self> {
        let schema = &request.schema;
        let mut metadata = Vec::new();
        let mut data = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if request.partitioned_by.contains(&index) {
                Column::new(field.data_type())?;
                metadata.push(Some(Metadata::Partition(field.name().clone(), field.data_type().clone())));
                continue;
            }
            let Some(key) = field.metadata().get(METADATA_KEY) else {
                metadata.push(None);
                data.push(Arc::clone(field));
                continue;
            };
            metadata.push(Some(file_metadata(key, field)?));
        }
        let default_name = request.options.text("partition.default-name").unwrap_or("__DEFAULT_PARTITION__").to_owned();
        Ok(Self { schema: Arc::clone(schema), data: Arc::new(Schema::new(data)), metadata, default_name })
    }

    /// A partition column: the same value in every row of a file.
    fn partition(&self, name: &str, data_type: &DataType, file: &FileFacts, count: usize) -> Result<ArrayRef> {
        let no_value = |what: String| {
            Error::data("filesystem.partition", what)
                .hint("partitioned tables are read from folders like 'currency=EUR'")
                .at(Place::File { path: file.path.clone(), line: 0 })
        };
        let value = partition_value(&file.path, name)
            .ok_or_else(|| no_value(format!("the path has no folder for the partition column '{name}'")))?;
        let mut column = Column::new(data_type)?;
        for _ in 0..count {
            if value == self.default_name {
                column.append_null();
            } else if !column.append_text(&value) {
                return Err(no_value(format!("'{value}' is no value of the partition column '{name}'")));
            }
        }
        column.finish()
    }

    /// Puts the file's own columns between those of its lines.
    fn complete(&self, rows: RecordBatch, file: &FileFacts) -> Result<RecordBatch> {
        if self.metadata.iter().all(Option::is_none) {
            return Ok(rows);
        }
        let count = rows.num_rows();
        let mut data = rows.columns().iter();
        let text = |value: &str| Arc::new(StringArray::from_iter_values((0..count).map(|_| value))) as ArrayRef;
        let columns = self.metadata.iter().map(|kind| {
            Ok(match kind {
                None => Arc::clone(data.next().ok_or_else(|| Error::bug("filesystem.columns", "a column is missing"))?),
                Some(Metadata::Partition(name, data_type)) => self.partition(name, data_type, file, count)?,
                Some(Metadata::Path) => text(&file.path),
                Some(Metadata::Name) => text(&file.name),
                Some(Metadata::Size) => Arc::new(Int64Array::from_value(file.size, count)),
                Some(Metadata::Modified) => {
                    Arc::new(TimestampMillisecondArray::from_value(file.modified, count).with_timezone("UTC"))
                }
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::bug("filesystem.columns", "metadata columns do not fit").caused_by(error))
    }
}

/// The metadata that a column asks for.
fn file_metadata(key: &str, field: &Field) -> Result<Metadata> {
    let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let (kind, data_type, hint) = match key {
        "file.path" => (Metadata::Path, DataType::Utf8, "declare it as STRING"),
        "file.name" => (Metadata::Name, DataType::Utf8, "declare it as STRING"),
        "file.size" => (Metadata::Size, DataType::Int64, "declare it as BIGINT"),
        "file.modification-time" => (Metadata::Modified, instant, "declare it as TIMESTAMP_LTZ(3)"),
        _ => {
            return Err(Error::usage("filesystem.metadata", format!("there is no metadata '{key}'"))
                .hint("use 'file.path', 'file.name', 'file.size' or 'file.modification-time'"));
        }
    };
    if *field.data_type() != data_type {
        let message = format!("the metadata '{key}' does not fit the column '{}'", field.name());
        return Err(Error::usage("filesystem.metadata_type", message).hint(hint));
    }
    Ok(kind)
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
        let mut offsets = BTreeMap::new();
        for position in from {
            let path = PathBuf::from(&*position.partition);
            let there = std::fs::metadata(&path).map(|metadata| metadata.len());
            match there {
                Ok(size) if size >= position.ordinal => {}
                Ok(size) => return Err(truncated(&path, position.ordinal, Some(size))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(truncated(&path, position.ordinal, None));
                }
                Err(error) => return Err(unreadable(&path, error)),
            }
            offsets.insert(path, position.ordinal);
        }
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
            offsets,
            queue: VecDeque::new(),
            current: None,
            looked_at: i64::MIN,
            spare: Vec::new(),
            skipped,
        };
        reader.look()?;
        Ok(Box::new(reader))
    }
}

fn truncated(path: &Path, offset: u64, size: Option<u64>) -> Error {
    let now = size.map_or("is gone".to_owned(), |size| format!("has {size} bytes now"));
    Error::fenced("filesystem.truncated", format!("'{}' {now}, but was read up to byte {offset}", path.display()))
        .hint("put the file back, or begin a new state folder to read what is there now")
        .at(Place::File { path: path.display().to_string(), line: 0 })
}

/// What a file says of itself when it is opened.
struct FileFacts {
    path: String,
    name: String,
    size: i64,
    modified: i64,
}

struct OpenFile {
    path: PathBuf,
    file: File,
    facts: Arc<FileFacts>,
    offset: u64,
}

/// Where a chunk came from.
struct Origin {
    file: Arc<FileFacts>,
    begin: u64,
    end: u64,
}

struct FileReader {
    request: TableRequest,
    config: SourceConfig,
    layout: Arc<Layout>,
    clock: Arc<dyn Clock>,
    pool: Pool<Origin>,
    /// Knows where records end.
    cutter: Box<dyn Decode>,
    /// How far every file was handed to the decoders.
    offsets: BTreeMap<PathBuf, u64>,
    queue: VecDeque<PathBuf>,
    current: Option<OpenFile>,
    looked_at: i64,
    spare: Vec<Vec<u8>>,
    skipped: Arc<AtomicU64>,
}

impl FileReader {
    /// Queues every file that has more bytes than were read.
    fn look(&mut self) -> Result<()> {
        self.looked_at = self.clock.now_millis();
        for path in self.config.location.files()? {
            let metadata = match std::fs::metadata(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.config.monitor.is_some() => continue,
                other => other.map_err(|error| unreadable(&path, error))?,
            };
            let offset = self.offsets.get(&path).copied().unwrap_or(0);
            if metadata.len() < offset {
                return Err(truncated(&path, offset, Some(metadata.len())));
            }
            if metadata.len() > offset {
                self.queue.push_back(path);
            }
        }
        Ok(())
    }

    fn look_is_due(&self) -> bool {
        self.config.monitor.is_some_and(|every| {
            let passed = self.clock.now_millis().saturating_sub(self.looked_at);
            u128::try_from(passed).unwrap_or(0) >= every.as_millis()
        })
    }

    /// Opens the next queued file; `false` when there is none.
    fn open_next(&mut self) -> Result<bool> {
        let Some(path) = self.queue.pop_front() else { return Ok(false) };
        let file = File::open(&path).map_err(|error| unreadable(&path, error))?;
        let metadata = file.metadata().map_err(|error| unreadable(&path, error))?;
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let facts = FileFacts {
            path: path.display().to_string(),
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            modified: modified.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0),
        };
        let offset = self.offsets.get(&path).copied().unwrap_or(0);
        self.current = Some(OpenFile { path, file, facts: Arc::new(facts), offset });
        Ok(true)
    }

    /// The next whole records of the queued files, about `size` bytes; `None` when there are none for now.
    fn chunk(&mut self, size: usize) -> Result<Option<Chunk<Origin>>> {
        loop {
            if self.current.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let Some(current) = &mut self.current else { return Ok(None) };
            let mut bytes = self.spare.pop().unwrap_or_default();
            let length = read_records(current, self.cutter.as_ref(), size, self.config.monitor.is_some(), &mut bytes)?;
            if length == 0 {
                // Its end, or for a growing file the end for now.
                self.current = None;
                self.spare.push(bytes);
                continue;
            }
            bytes.truncate(length);
            let begin = current.offset;
            current.offset += length as u64;
            self.offsets.insert(current.path.clone(), current.offset);
            let tag = Origin { file: Arc::clone(&current.facts), begin, end: current.offset };
            return Ok(Some(Chunk { bytes, tag }));
        }
    }

    /// The next batch of what can be had without waiting for a file to grow.
    fn batch(&mut self, size: usize) -> Result<Option<Read>> {
        loop {
            while self.pool.room()
                && let Some(chunk) = self.chunk(size)?
            {
                self.pool.give(chunk)?;
            }
            let Some(Decoded { chunk, rows }) = self.pool.take()? else { return Ok(None) };
            let origin = chunk.tag;
            let rows = rows.map_err(|bad| at_line(bad.error, &origin, bad.offset))?;
            self.spare.push(chunk.bytes);
            let position = Position::new(origin.file.path.as_str(), origin.end.to_string(), origin.end);
            if rows.num_rows() == 0 {
                // Blank or skipped lines only.
                continue;
            }
            let rows = self.layout.complete(rows, &origin.file)?;
            let run = Run { end: rows.num_rows(), position, ends_transaction: true };
            let batch = ChangeBatch::insert_only(self.request.table.clone(), rows).with_runs(vec![run])?;
            return Ok(Some(Read::Rows(batch)));
        }
    }
}

/// Reads from the file's offset on until a record ends; returns how many bytes of whole records are in `bytes`.
fn read_records(
    current: &OpenFile,
    cutter: &dyn Decode,
    size: usize,
    monitored: bool,
    bytes: &mut Vec<u8>,
) -> Result<usize> {
    bytes.clear();
    let mut wanted = size;
    loop {
        let filled = bytes.len();
        bytes.resize(wanted, 0);
        let mut end = filled;
        while end < wanted {
            let Some(room) = bytes.get_mut(end..) else { break };
            match current.file.read_at(room, current.offset + end as u64) {
                Ok(0) => break,
                Ok(count) => end += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&current.path, error)),
            }
        }
        bytes.truncate(end);
        let at_end = end < wanted;
        if at_end && !monitored {
            return Ok(end);
        }
        match cutter.boundary(bytes) {
            Some(length) => return Ok(length),
            None if at_end => return Ok(0),
            None if wanted >= LINE_BYTES_MAX => {
                let message = format!("a line is longer than {LINE_BYTES_MAX} bytes");
                return Err(Error::data("filesystem.line_too_long", message)
                    .hint("is this a file of lines? check 'path' and 'format'")
                    .at(Place::File { path: current.facts.path.clone(), line: 0 }));
            }
            None => wanted = wanted.saturating_mul(2).min(LINE_BYTES_MAX),
        }
    }
}

/// Adds file and line number. Lines are counted only now, so that reading pays nothing for it.
fn at_line(error: Error, origin: &Origin, offset: usize) -> Error {
    let target = origin.begin + offset as u64;
    let line = count_lines(Path::new(&origin.file.path), target).map_or(0, |before| before + 1);
    error.at(Place::File { path: origin.file.path.clone(), line })
}

fn count_lines(path: &Path, target: u64) -> Option<u64> {
    let file = File::open(path).ok()?;
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
        let size = budget.clamp(1, CHUNK_BYTES);
        if let Some(read) = self.batch(size)? {
            return Ok(read);
        }
        let Some(every) = self.config.monitor else { return Ok(Read::End) };
        if !self.look_is_due() {
            std::thread::park_timeout(wait.min(every));
        }
        if self.look_is_due() {
            self.look()?;
            if let Some(read) = self.batch(size)? {
                return Ok(read);
            }
        }
        Ok(Read::Idle(None))
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
