//! Writing files exactly once.
//!
//! Rows go to hidden files `.part-<epoch>-<n>.inprogress`. A seal makes them durable and lists them in its receipt;
//! publishing renames them to `part-<epoch>-<n>`. What a crash leaves behind without a receipt stays hidden and is removed
//! at the next start. A hidden file is locked while its writer lives, so that two writers may share a folder.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use headwater_change::{
    ChangeBatch, ChangelogMode, Delivery, Epoch, Error, Place, Receipt, Result, Sink, SinkDescription, TableRequest,
    Writer,
};

use super::config::Format;
use crate::csv::CsvRows;
use crate::json::JsonRows;
use crate::text::{CastText, TimeZone};

/// Bytes kept back for one file before they are written.
const PART_BUFFER_BYTES: usize = 256 << 10;
/// Bytes kept back for all files of a writer.
const BUFFER_BYTES: usize = 16 << 20;
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

    fn open(&self, committed: Epoch) -> Result<Box<dyn Writer>> {
        let root = &self.plan.root;
        fs::create_dir_all(root).map_err(|error| unwritable(root, error))?;
        take_back(root, committed)?;
        Ok(Box::new(FileWriter {
            rows: Rows::new(&self.plan)?,
            plan: Arc::clone(&self.plan),
            epoch: committed.next(),
            number: 0,
            open: HashMap::new(),
            full: Vec::new(),
            sealed: HashMap::new(),
            buffered: 0,
            cast: CastText::new(TimeZone::UTC),
        }))
    }
}

/// Removes the hidden files of epochs after `committed` whose writer is gone.
fn take_back(folder: &Path, committed: Epoch) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| unwritable(folder, error))? {
        let entry = entry.map_err(|error| unwritable(folder, error))?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // Only folders of partitions are ours.
            if entry.file_name().to_string_lossy().contains('=') {
                take_back(&path, committed)?;
            }
            continue;
        }
        let later = hidden_epoch(&entry.file_name().to_string_lossy()).is_some_and(|epoch| epoch > committed.0);
        if !later {
            continue;
        }
        let free = match File::open(&path) {
            Ok(file) => !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        };
        if free {
            fs::remove_file(&path).map_err(|error| unwritable(&path, error))?;
        }
    }
    Ok(())
}

/// The epoch of `.part-<epoch>-<n>.inprogress`.
fn hidden_epoch(name: &str) -> Option<u64> {
    let (epoch, _) = name.strip_prefix(".part-")?.strip_suffix(IN_PROGRESS)?.split_once('-')?;
    epoch.parse().ok()
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
}

impl Rows {
    fn new(plan: &Plan) -> Result<Self> {
        match &plan.format {
            Format::Json(config) => JsonRows::with_config(&plan.data_schema, *config).map(Self::Json),
            Format::Csv(config) => CsvRows::new(&plan.data_schema, config.clone()).map(Self::Csv),
        }
    }

    fn write(&mut self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Json(rows) => rows.write(batch, row, out)?,
            Self::Csv(rows) => rows.write(batch, row, out)?,
        }
        out.push(b'\n');
        Ok(())
    }
}

/// A hidden file being written.
struct Part {
    /// Path below the root.
    hidden: PathBuf,
    /// Open, and locked, until the file is published.
    file: File,
    buffer: Vec<u8>,
    written: u64,
}

struct FileWriter {
    plan: Arc<Plan>,
    rows: Rows,
    epoch: Epoch,
    number: u64,
    /// By folder below the root.
    open: HashMap<String, Part>,
    full: Vec<Part>,
    sealed: HashMap<Epoch, Vec<Part>>,
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
        create_folders(&self.plan.root, below)?;
        loop {
            let name = format!("part-{}-{}", self.epoch, self.number);
            self.number += 1;
            let hidden = format!(".{name}{IN_PROGRESS}");
            let path = absolute.join(&hidden);
            if absolute.join(&name).exists() {
                // Of another pipeline that writes into the same folder.
                continue;
            }
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    file.lock().map_err(|error| unwritable(&path, error))?;
                    return Ok(Part { hidden: below.join(hidden), file, buffer: Vec::new(), written: 0 });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(&path, error)),
            }
        }
    }

    fn flush_all(&mut self) -> Result<()> {
        for part in self.open.values_mut() {
            part.flush(&self.plan.root)?;
        }
        self.buffered = 0;
        Ok(())
    }

    fn append(&mut self, folder: &str, data: &RecordBatch, row: usize) -> Result<()> {
        if !self.open.contains_key(folder) {
            let part = self.create(folder)?;
            self.open.insert(folder.to_owned(), part);
        }
        let Some(part) = self.open.get_mut(folder) else { return Ok(()) };
        let before = part.buffer.len();
        self.rows.write(data, row, &mut part.buffer)?;
        self.buffered += part.buffer.len() - before;
        if part.buffer.len() >= PART_BUFFER_BYTES {
            self.buffered = self.buffered.saturating_sub(part.buffer.len());
            part.flush(&self.plan.root)?;
        }
        if part.written + part.buffer.len() as u64 >= self.plan.roll_bytes
            && let Some(mut part) = self.open.remove(folder)
        {
            self.buffered = self.buffered.saturating_sub(part.buffer.len());
            part.flush(&self.plan.root)?;
            self.full.push(part);
        }
        if self.buffered >= BUFFER_BYTES {
            self.flush_all()?;
        }
        Ok(())
    }
}

impl Part {
    fn flush(&mut self, root: &Path) -> Result<()> {
        self.file.write_all(&self.buffer).map_err(|error| unwritable(&root.join(&self.hidden), error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Writer for FileWriter {
    fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        if batch.ops().is_some_and(|ops| ops.iter().any(|op| *op != headwater_change::Op::Insert)) {
            return Err(Error::bug("filesystem.changelog", "files can hold inserted rows only"));
        }
        let data = batch.rows().project(&self.plan.data).map_err(|error| {
            Error::bug("filesystem.columns", "a batch does not have the columns of the table").caused_by(error)
        })?;
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
        for part in &parts {
            part.file.sync_data().map_err(|error| unwritable(&root.join(&part.hidden), error))?;
        }
        sync_folders(root, parts.iter().map(|part| part.hidden.as_path()))?;
        let names: Vec<String> = parts.iter().map(|part| part.hidden.to_string_lossy().into_owned()).collect();
        if !parts.is_empty() {
            self.sealed.insert(epoch, parts);
        }
        self.epoch = epoch.next();
        self.number = 0;
        Ok(Receipt { epoch, token: names.join("\n").into_bytes() })
    }

    fn publish(&mut self, receipt: &Receipt) -> Result<()> {
        let token = std::str::from_utf8(&receipt.token).unwrap_or_default();
        let names: Vec<&Path> = token.lines().map(Path::new).collect();
        for name in &names {
            let hidden = self.plan.root.join(name);
            let target = visible(&hidden)
                .ok_or_else(|| Error::bug("filesystem.receipt", format!("'{}' is no hidden file", hidden.display())))?;
            match fs::rename(&hidden, &target) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(lost(&target)),
                Err(error) => return Err(unwritable(&target, error)),
            }
        }
        sync_folders(&self.plan.root, names.into_iter())?;
        self.sealed.retain(|epoch, _| *epoch > receipt.epoch);
        Ok(())
    }
}

fn lost(target: &Path) -> Error {
    Error::fenced(
        "filesystem.publish_lost",
        format!("the rows of '{}' are gone before they were published", target.display()),
    )
    .hint("if the file was taken away after it had appeared, put an empty file of that name there and start again")
    .at(Place::File { path: target.display().to_string(), line: 0 })
}

/// Creates the folders of a partition, each durable in the folder above it.
fn create_folders(root: &Path, below: &Path) -> Result<()> {
    let mut folder = root.to_path_buf();
    for part in below.components() {
        let above = folder.clone();
        folder.push(part);
        match fs::create_dir(&folder) {
            Ok(()) => sync_folder(&above)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unwritable(&folder, error)),
        }
    }
    Ok(())
}

/// Makes the names in the folders of some files durable.
fn sync_folders<'a>(root: &Path, files: impl Iterator<Item = &'a Path>) -> Result<()> {
    let mut folders: Vec<PathBuf> = files.filter_map(Path::parent).map(|folder| root.join(folder)).collect();
    folders.sort();
    folders.dedup();
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

fn sync_folder(folder: &Path) -> Result<()> {
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
