//! Writing files exactly once.
//!
//! Rows go to hidden files `.part-<owner>-<epoch>-<n>.inprogress`. A seal makes them durable and lists them in its
//! receipt; publishing renames them to `part-<owner>-<epoch>-<n>`. What a crash leaves behind without a receipt stays
//! hidden and is removed when its owner comes back. The owner's name is unique in the world, so pipelines may share a
//! folder, and a reader may take visible files away at once: no name ever comes twice. [`Memory`] says which epoch was
//! published.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use headwater_change::{
    ChangeBatch, ChangelogMode, Delivery, Epoch, Error, Owner, Place, Receipt, Result, Sink, SinkDescription,
    TableRequest, Writer,
};
use parquet::basic::Compression;

use super::config::Format;
use super::memory::{Memory, forget_the_dead};
use crate::csv::CsvRows;
use crate::json::JsonRows;
use crate::parquet::Encoder;
use crate::text::{CastText, TimeZone};

/// Bytes kept back for one file before they are written.
const PART_BUFFER_BYTES: usize = 256 << 10;
/// Bytes kept back for all files of a writer.
const BUFFER_BYTES: usize = 16 << 20;
/// The same for files of columns.
const COLUMNS_BYTES: usize = 64 << 20;
/// With more partitions than this at once, files are closed after every write.
const OPEN_FILES_MAX: usize = 64;
const IN_PROGRESS: &str = ".inprogress";

/// A table of files to write.
pub(crate) struct FileSink {
    plan: Arc<Plan>,
}

struct Plan {
    root: PathBuf,
    format: Format,
    /// The columns that go into the files.
    data: Vec<usize>,
    data_schema: SchemaRef,
    /// Name and index of the columns that make the folders.
    partitions: Vec<(String, usize)>,
    default_name: String,
    roll_bytes: u64,
}

impl FileSink {
    pub(crate) fn new(request: &TableRequest, root: PathBuf, format: Format) -> Result<Self> {
        let fields = request.schema.fields();
        let data: Vec<usize> = (0..fields.len()).filter(|index| !request.partitioned_by.contains(index)).collect();
        if data.is_empty() {
            return Err(Error::usage(
                "filesystem.partitions",
                "every column is a partition column, none is left to write",
            )
            .hint("leave a column out of PARTITIONED BY"));
        }
        let data_schema = request.schema.project(&data).map_err(|error| {
            Error::bug("filesystem.partitions", "partition columns do not fit the table").caused_by(error)
        })?;
        let name = |index: &usize| Some((fields.get(*index)?.name().clone(), *index));
        let plan = Plan {
            root,
            format,
            data,
            data_schema: Arc::new(data_schema),
            partitions: request.partitioned_by.iter().filter_map(name).collect(),
            default_name: request.options.text("partition.default-name").unwrap_or("__DEFAULT_PARTITION__").to_owned(),
            roll_bytes: request.options.size("sink.rolling-policy.file-size").unwrap_or(128 << 20).max(1),
        };
        Rows::new(&plan)?;
        Ok(Self { plan: Arc::new(plan) })
    }
}

impl Sink for FileSink {
    fn describe(&self) -> SinkDescription {
        SinkDescription { accepts: ChangelogMode::Append, delivery: Delivery::ExactlyOnce, each_change: false }
    }

    fn open(&self, owner: &Owner, committed: Epoch) -> Result<Box<dyn Writer>> {
        let root = &self.plan.root;
        // The parts of a file's name stand between hyphens.
        let owner = &Owner { id: owner.id.replace('_', "__").replace('-', "_m"), durable: owner.durable };
        create_root(root)?;
        let memory = Memory::open(root, owner, committed)?;
        let mut forgotten: HashMap<String, Epoch> = HashMap::from([(owner.id.clone(), committed)]);
        for dead in forget_the_dead(root)? {
            forgotten.entry(dead).or_default();
        }
        take_back(root, &forgotten)?;
        Ok(Box::new(FileWriter {
            rows: Rows::new(&self.plan)?,
            plan: Arc::clone(&self.plan),
            owner: owner.id.clone(),
            memory,
            epoch: committed.next(),
            number: 0,
            open: HashMap::new(),
            full: Vec::new(),
            durable: HashSet::new(),
            buffered: 0,
            cast: CastText::new(TimeZone::UTC),
        }))
    }
}

/// The hidden files in a folder and in those of partitions below it, of owners and epochs that are wanted.
fn hidden_files(folder: &Path, wanted: &dyn Fn(&str, Epoch) -> bool, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        // Taken away by a reader.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| unwritable(folder, error))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| unwritable(folder, error))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // Only folders of partitions are ours.
            if name.contains('=') {
                hidden_files(&path, wanted, found)?;
            }
        } else if hidden(&name).is_some_and(|(owner, epoch)| wanted(owner, epoch)) {
            found.push(path);
        }
    }
    Ok(())
}

/// Removes the hidden files of the given owners that belong to later epochs than the given ones.
fn take_back(root: &Path, forgotten: &HashMap<String, Epoch>) -> Result<()> {
    let mut later = Vec::new();
    let wanted = |owner: &str, epoch: Epoch| forgotten.get(owner).is_some_and(|last| epoch > *last);
    hidden_files(root, &wanted, &mut later)?;
    later.iter().try_for_each(|path| fs::remove_file(path).map_err(|error| unwritable(path, error)))
}

/// Owner and epoch of `.part-<owner>-<epoch>-<n>.inprogress`.
fn hidden(name: &str) -> Option<(&str, Epoch)> {
    let mut parts = name.strip_prefix(".part-")?.strip_suffix(IN_PROGRESS)?.split('-');
    let (owner, epoch) = (parts.next()?, parts.next()?);
    Some((owner, Epoch(epoch.parse().ok()?)))
}

/// The visible name of a hidden file.
fn visible(hidden: &Path) -> Option<PathBuf> {
    let name = hidden.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(IN_PROGRESS)?;
    Some(hidden.with_file_name(name))
}

/// The encoder of the table's format.
enum Rows {
    Json(JsonRows),
    Csv(CsvRows),
    /// Whole batches, each file by an encoder of its own.
    Columns(Compression),
}

impl Rows {
    fn new(plan: &Plan) -> Result<Self> {
        match &plan.format {
            Format::Json(config) => JsonRows::with_config(&plan.data_schema, *config).map(Self::Json),
            Format::Csv(config) => CsvRows::new(&plan.data_schema, config.clone()).map(Self::Csv),
            Format::Parquet(compression) => {
                Encoder::new(Vec::new(), &plan.data_schema, *compression).map(|_| Self::Columns(*compression))
            }
        }
    }

    fn write(&mut self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Json(rows) => rows.write(batch, row, out)?,
            Self::Csv(rows) => rows.write(batch, row, out)?,
            Self::Columns(_) => return Err(Error::bug("filesystem.format", "columns have no lines")),
        }
        out.push(b'\n');
        Ok(())
    }
}

/// A hidden file being written.
struct Part {
    /// Path below the root.
    hidden: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
    written: u64,
    /// Has the file, where it is written by columns.
    columns: Option<Encoder<File>>,
}

struct FileWriter {
    plan: Arc<Plan>,
    rows: Rows,
    owner: String,
    memory: Memory,
    epoch: Epoch,
    number: u64,
    /// By folder below the root.
    open: HashMap<String, Part>,
    full: Vec<Part>,
    /// Folders below the root whose own name is known to be durable.
    durable: HashSet<PathBuf>,
    buffered: usize,
    cast: CastText,
}

impl FileWriter {
    /// The folder of a row below the root, in Hive's `name=value/` form.
    fn folder(&self, batch: &RecordBatch, row: usize, folder: &mut String, value: &mut String) -> Result<()> {
        folder.clear();
        for (name, index) in &self.plan.partitions {
            let column = batch.column(*index);
            value.clear();
            if !column.is_null(row) {
                self.cast.write(column, row, value)?;
            }
            write_escaped(name, folder);
            folder.push('=');
            write_escaped(if value.is_empty() { &self.plan.default_name } else { value }, folder);
            folder.push('/');
        }
        Ok(())
    }

    /// Creates the next hidden file of the epoch in a folder.
    fn create(&mut self, folder: &str) -> Result<Part> {
        let below = Path::new(folder);
        let absolute = self.plan.root.join(below);
        if !absolute.is_dir() {
            fs::create_dir_all(&absolute).map_err(|error| unwritable(&absolute, error))?;
            // It may have been there before, and been taken away.
            self.durable.clear();
        }
        let name = format!(".part-{}-{}-{}{IN_PROGRESS}", self.owner, self.epoch, self.number);
        self.number += 1;
        let path = absolute.join(&name);
        let file = File::options().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| unwritable(&path, error))?;
        Ok(Part { hidden: below.join(name), file: Some(file), buffer: Vec::new(), written: 0, columns: None })
    }

    fn flush_all(&mut self) -> Result<()> {
        let keep = self.open.len() <= OPEN_FILES_MAX;
        for part in self.open.values_mut() {
            part.flush(&self.plan.root, keep)?;
        }
        self.buffered = 0;
        Ok(())
    }

    /// Rows whose format is one of columns: as many as follow each other in a folder at once.
    fn append_columns(&mut self, batch: &RecordBatch, data: &RecordBatch, compression: Compression) -> Result<()> {
        let (mut folder, mut next, mut value) = (String::new(), String::new(), String::new());
        let mut start = 0;
        for row in 0..batch.num_rows() {
            self.folder(batch, row, &mut next, &mut value)?;
            if row > start && next != folder {
                self.add_columns(&folder, &data.slice(start, row - start), compression)?;
                start = row;
            }
            std::mem::swap(&mut folder, &mut next);
        }
        if batch.num_rows() > start {
            self.add_columns(&folder, &data.slice(start, batch.num_rows() - start), compression)?;
        }
        Ok(())
    }

    fn add_columns(&mut self, folder: &str, rows: &RecordBatch, compression: Compression) -> Result<()> {
        if !self.open.contains_key(folder) {
            // A file of columns cannot be closed and opened again: the largest is ended instead.
            if self.open.len() >= OPEN_FILES_MAX {
                self.end_largest()?;
            }
            let mut part = self.create(folder)?;
            if let Some(file) = part.file.take() {
                part.columns = Some(Encoder::new(file, &self.plan.data_schema, compression)?);
            }
            self.open.insert(folder.to_owned(), part);
        }
        let Some(encoder) = self.open.get_mut(folder).and_then(|part| part.columns.as_mut()) else { return Ok(()) };
        encoder.write(rows)?;
        if encoder.size() >= self.plan.roll_bytes {
            self.end_columns(folder)?;
        }
        let kept: usize = self.open.values().filter_map(|part| part.columns.as_ref()).map(Encoder::buffered).sum();
        if kept >= COLUMNS_BYTES {
            self.end_largest()?;
        }
        Ok(())
    }

    fn end_largest(&mut self) -> Result<()> {
        let kept = |part: &Part| part.columns.as_ref().map_or(0, Encoder::buffered);
        let largest = self.open.iter().max_by_key(|(_, part)| kept(part)).map(|(folder, _)| folder.clone());
        largest.map_or(Ok(()), |folder| self.end_columns(&folder))
    }

    /// Ends the open file of a folder; its contents become durable with the others.
    fn end_columns(&mut self, folder: &str) -> Result<()> {
        let Some(mut part) = self.open.remove(folder) else { return Ok(()) };
        if let Some(encoder) = part.columns.take() {
            encoder.finish()?;
        }
        self.full.push(part);
        Ok(())
    }

    fn append(&mut self, folder: &str, data: &RecordBatch, row: usize) -> Result<()> {
        if !self.open.contains_key(folder) {
            let mut part = self.create(folder)?;
            if self.open.len() >= OPEN_FILES_MAX {
                part.file = None;
                self.open.values_mut().for_each(|part| part.file = None);
            }
            self.open.insert(folder.to_owned(), part);
        }
        let keep = self.open.len() <= OPEN_FILES_MAX;
        let Some(part) = self.open.get_mut(folder) else { return Ok(()) };
        let before = part.buffer.len();
        self.rows.write(data, row, &mut part.buffer)?;
        self.buffered += part.buffer.len() - before;
        if part.buffer.len() >= PART_BUFFER_BYTES {
            self.buffered = self.buffered.saturating_sub(part.buffer.len());
            part.flush(&self.plan.root, keep)?;
        }
        if part.written + part.buffer.len() as u64 >= self.plan.roll_bytes
            && let Some(mut part) = self.open.remove(folder)
        {
            self.buffered = self.buffered.saturating_sub(part.buffer.len());
            part.flush(&self.plan.root, false)?;
            self.full.push(part);
        }
        if self.buffered >= BUFFER_BYTES {
            self.flush_all()?;
        }
        Ok(())
    }
}

impl Part {
    /// Writes what waits; `keep` says whether the file stays open.
    fn flush(&mut self, root: &Path, keep: bool) -> Result<()> {
        if !self.buffer.is_empty() {
            let path = root.join(&self.hidden);
            let failed = |error| unwritable(&path, error);
            let mut file = match self.file.take() {
                Some(file) => file,
                None => File::options().append(true).open(&path).map_err(failed)?,
            };
            file.write_all(&self.buffer).map_err(failed)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
            self.file = Some(file);
        }
        if !keep {
            (self.file, self.buffer) = (None, Vec::new());
        }
        Ok(())
    }

    /// Makes the contents durable, also those that were written before the file was closed and opened again.
    fn sync(&mut self, root: &Path) -> Result<()> {
        if let Some(encoder) = self.columns.take() {
            self.file = Some(encoder.finish()?);
        }
        let path = root.join(&self.hidden);
        let synced = match self.file.take() {
            Some(file) => file.sync_data(),
            None => File::open(&path).and_then(|file| file.sync_data()),
        };
        synced.map_err(|error| unwritable(&path, error))
    }
}

impl Writer for FileWriter {
    /// All files of an epoch that was written down are durable: those that are still hidden are published.
    fn resume(&mut self, epoch: Epoch) -> Result<()> {
        let root = &self.plan.root;
        let mut hidden = Vec::new();
        hidden_files(root, &|owner, of| (owner, of) == (self.owner.as_str(), epoch), &mut hidden)?;
        let below = hidden.iter().filter_map(|path| path.strip_prefix(root).ok());
        let names: Vec<_> = below.map(|path| path.to_string_lossy()).collect();
        let token = names.join("\n").into_bytes();
        self.publish(&Receipt { epoch, token })
    }

    fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        if batch.ops().is_some_and(|ops| ops.iter().any(|op| *op != headwater_change::Op::Insert)) {
            return Err(Error::bug("filesystem.changelog", "files can hold inserted rows only"));
        }
        let data = batch.rows().project(&self.plan.data).map_err(|error| {
            Error::bug("filesystem.columns", "a batch does not have the columns of the table").caused_by(error)
        })?;
        if let Rows::Columns(compression) = self.rows {
            return self.append_columns(batch.rows(), &data, compression);
        }
        let (mut folder, mut value) = (String::new(), String::new());
        for row in 0..batch.len() {
            self.folder(batch.rows(), row, &mut folder, &mut value)?;
            self.append(&folder, &data, row)?;
        }
        Ok(())
    }

    fn seal(&mut self, epoch: Epoch) -> Result<Receipt> {
        self.flush_all()?;
        let mut parts = std::mem::take(&mut self.full);
        parts.extend(self.open.drain().map(|(_, part)| part));
        parts.sort_by(|left, right| left.hidden.cmp(&right.hidden));
        let root = &self.plan.root;
        for part in &mut parts {
            part.sync(root)?;
        }
        let folders: Vec<&Path> = parts.iter().filter_map(|part| part.hidden.parent()).collect();
        for folder in &folders {
            make_durable(root, folder, &mut self.durable)?;
        }
        sync_folders(root, folders.into_iter())?;
        let names: Vec<String> = parts.iter().map(|part| part.hidden.to_string_lossy().into_owned()).collect();
        self.epoch = epoch.next();
        self.number = 0;
        Ok(Receipt { epoch, token: names.join("\n").into_bytes() })
    }

    fn publish(&mut self, receipt: &Receipt) -> Result<()> {
        let token = std::str::from_utf8(&receipt.token).unwrap_or_default();
        let names: Vec<&Path> = token.lines().map(Path::new).collect();
        if names.is_empty() {
            return Ok(());
        }
        let again = self.memory.has_begun(receipt.epoch);
        let mut renames = Vec::new();
        for name in &names {
            let hidden = self.plan.root.join(name);
            let target = visible(&hidden)
                .ok_or_else(|| Error::bug("filesystem.receipt", format!("'{}' is no hidden file", hidden.display())))?;
            if !again && !hidden.exists() && !target.exists() {
                return Err(lost(&target, self.memory.path()));
            }
            renames.push((hidden, target));
        }
        self.memory.begin(receipt.epoch)?;
        for (hidden, target) in renames {
            match fs::rename(&hidden, &target) {
                // It had been published, and whoever reads the folder may have taken it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound && again => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => {}
                other => other.map_err(|error| unwritable(&target, error))?,
            }
        }
        sync_folders(&self.plan.root, names.into_iter().filter_map(Path::parent))
    }

    fn end(&mut self) -> Result<()> {
        self.memory.end()
    }
}

fn lost(target: &Path, memory: &Path) -> Error {
    Error::fenced(
        "filesystem.publish_lost",
        format!("the rows of '{}' are gone before they were published", target.display()),
    )
    .hint(format!(
        "put the hidden files back; if all of them had been published and the whole folder was taken away since, say so \
         by emptying the file '{}', and start again",
        memory.display()
    ))
    .at(Place::File { path: target.display().to_string(), line: 0 })
}

/// Creates the folder of a table, durable with all folders above it that were missing.
fn create_root(root: &Path) -> Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    let above = match root.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    create_root(above)?;
    match fs::create_dir(root) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !root.is_dir() => Err(unwritable(root, error)),
        _ => sync_folder(above),
    }
}

/// Makes the names of a folder below the root and of all between them durable, once: another pipeline, or one that was
/// killed, may have created them and not synced them.
fn make_durable(root: &Path, folder: &Path, known: &mut HashSet<PathBuf>) -> Result<()> {
    for folder in folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty()) {
        if known.contains(folder) {
            break;
        }
        sync_folder(&root.join(folder.parent().unwrap_or(Path::new(""))))?;
        known.insert(folder.to_owned());
    }
    Ok(())
}

/// Makes the names in some folders below the root durable. One that was taken away has nothing to lose.
fn sync_folders<'a>(root: &Path, folders: impl Iterator<Item = &'a Path>) -> Result<()> {
    let mut folders: Vec<PathBuf> = folders.map(|folder| root.join(folder)).collect();
    folders.sort();
    folders.dedup();
    folders.iter().try_for_each(|folder| match sync_folder(folder) {
        Err(_) if !folder.exists() => Ok(()),
        other => other,
    })
}

pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|error| unwritable(folder, error))
}

/// Hive's escaping of names and values in partition folders: characters that mean something in paths as `%XX`.
fn write_escaped(text: &str, out: &mut String) {
    for letter in text.chars() {
        if letter.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(letter) {
            out.push_str(&format!("%{:02X}", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
}

pub(super) fn unwritable(path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "give the user that runs headwater the right to write there",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on the disk and start again: nothing is lost"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "the option 'path' must name a folder",
        _ => "check the disk and the option 'path'",
    };
    Error::remote("filesystem.write", format!("'{}' cannot be written", path.display()))
        .detail(error.to_string())
        .hint(hint)
        .at(Place::File { path: path.display().to_string(), line: 0 })
        .caused_by(error)
}
