//! Durable state, both candidates and the disk itself in one run: `cargo bench -p headwater-state`.
//!
//! Prints one JSON object: for each candidate the seconds to commit epochs of a million and of a hundred dirty keys
//! (16-byte key, three 8-byte values) and to restore ten million keys, and beside them the limit, which is a bare
//! sequential write of the same bytes with one `fdatasync`, taken in turns with the commits. Writes below the target
//! folder, which must be on the disk that is meant.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[path = "state/fjall_backend.rs"]
mod fjall_backend;

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, BinaryArray, BinaryBuilder, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use headwater_change::{Epoch, Error, Result};
use headwater_state::{Backend, Commit, Delta, EpochFiles, TableKey};
use serde_json::{Value, json};

const TABLE: TableKey = TableKey { operator: 1, table: 0 };
const KEYS: u64 = 10_000_000;
const LARGE: u64 = 1_000_000;
const SMALL: u64 = 100;
const SMALL_RUNS: u64 = 50;
const UPDATE_RUNS: u64 = 5;
const RESTORE_RUNS: usize = 3;
/// Bytes of one row without any format: what a disk must at least take.
const ROW_BYTES: u64 = 16 + 3 * 8;

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state-bench");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let schema = dirty(0, 1, 0)?.schema();
    let epoch_files = measure(&folder, &|folder| Ok(Box::new(EpochFiles::open(folder)?)))?;
    let fjall = measure(&folder, &|folder| {
        Ok(Box::new(fjall_backend::FjallBackend::open(folder, SchemaRef::clone(&schema))?))
    })?;
    let result = json!({
        "benchmark": "state",
        "command": "cargo bench -p headwater-state",
        "machine": machine(),
        "keys": KEYS,
        "large_epoch_keys": LARGE,
        "small_epoch_keys": SMALL,
        "epoch_files": epoch_files,
        "fjall": fjall,
    });
    println!("{result:#}");
    std::fs::remove_dir_all(&folder).map_err(failed)
}

type Open<'a> = &'a dyn Fn(&Path) -> Result<Box<dyn Backend>>;

fn measure(folder: &Path, open: Open<'_>) -> Result<Value> {
    let state_folder = folder.join("state");
    let mut disk = Disk::create(folder)?;
    let mut state = open(&state_folder)?;
    let mut epoch = 0;
    let (mut large, mut large_limit) = (Vec::new(), Vec::new());
    for run in 0..KEYS / LARGE + UPDATE_RUNS {
        epoch += 1;
        let rows = if run < KEYS / LARGE { dirty(run * LARGE, LARGE, 0)? } else { updates(LARGE, run)? };
        large_limit.push(disk.write(LARGE * ROW_BYTES)?);
        large.push(commit(&mut *state, epoch, rows)?);
    }
    drop(state);
    let mut state = open(&state_folder)?;
    let (mut small, mut small_limit) = (Vec::new(), Vec::new());
    for run in 0..SMALL_RUNS {
        epoch += 1;
        let rows = updates(SMALL, run)?;
        small_limit.push(disk.write(SMALL * ROW_BYTES)?);
        small.push(commit(&mut *state, epoch, rows)?);
    }
    drop(state);
    let (mut visited, mut folded, mut cold) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RESTORE_RUNS {
        visited.push(restore(open, &state_folder, epoch)?);
        folded.push(restore_into_table(open, &state_folder)?);
        if std::fs::write("/proc/sys/vm/drop_caches", "1").is_ok() {
            cold.push(restore(open, &state_folder, epoch)?);
        }
    }
    let bytes = folder_bytes(&state_folder)?;
    std::fs::remove_dir_all(folder.join("state")).map_err(failed)?;
    Ok(json!({
        "large_epoch_seconds": summary(&mut large),
        "large_epoch_limit_seconds": summary(&mut large_limit),
        "large_epoch_ratio_to_limit": median(&mut large) / median(&mut large_limit),
        "small_epoch_seconds": summary(&mut small),
        "small_epoch_limit_seconds": summary(&mut small_limit),
        "small_epoch_above_limit_seconds": median(&mut small) - median(&mut small_limit),
        "restore_seconds": summary(&mut visited),
        "restore_into_hash_table_seconds": summary(&mut folded),
        "restore_cold_seconds": if cold.is_empty() { Value::Null } else { summary(&mut cold) },
        "folder_bytes_at_end": bytes,
    }))
}

fn commit(state: &mut dyn Backend, epoch: u64, upserts: RecordBatch) -> Result<f64> {
    let deltas = vec![Delta { table: TABLE, upserts, deletes: BinaryArray::new_null(0) }];
    let commit = Commit { epoch: Epoch(epoch), deltas, ..Commit::default() };
    let start = Instant::now();
    state.commit(commit)?;
    Ok(start.elapsed().as_secs_f64())
}

/// Opens the state and reads every row and every key's bytes.
fn restore(open: Open<'_>, folder: &Path, epoch: u64) -> Result<f64> {
    let start = Instant::now();
    let mut state = open(folder)?;
    let (mut rows, mut sum) = (0, 0_i64);
    state.restore(TABLE, &mut |upserts, _| {
        rows += upserts.num_rows() as u64;
        sum = sum.wrapping_add(values(upserts, 1)?.values().iter().fold(0, |sum, value| sum ^ value));
        black_box(keys(upserts)?.value_data().iter().fold(0_u8, |sum, byte| sum ^ byte));
        Ok(())
    })?;
    black_box(sum);
    let seconds = start.elapsed().as_secs_f64();
    if rows < KEYS || state.committed().epoch != Epoch(epoch) {
        return Err(Error::bug("bench.state", format!("{rows} rows were restored")));
    }
    Ok(seconds)
}

/// Opens the state and builds what an operator would: a hash table of the live rows.
fn restore_into_table(open: Open<'_>, folder: &Path) -> Result<f64> {
    let start = Instant::now();
    let mut state = open(folder)?;
    let mut table: hashbrown::HashMap<[u8; 16], [i64; 3]> = hashbrown::HashMap::with_capacity(KEYS as usize);
    state.restore(TABLE, &mut |upserts, _| {
        let (keys, a, b, c) = (keys(upserts)?, values(upserts, 1)?, values(upserts, 2)?, values(upserts, 3)?);
        for row in 0..upserts.num_rows() {
            let key = keys.value(row).try_into().map_err(failed)?;
            table.insert(key, [a.value(row), b.value(row), c.value(row)]);
        }
        Ok(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    if table.len() as u64 != KEYS {
        return Err(Error::bug("bench.state", format!("{} keys were restored", table.len())));
    }
    Ok(seconds)
}

fn keys(rows: &RecordBatch) -> Result<&BinaryArray> {
    rows.column(0).as_any().downcast_ref().ok_or_else(|| Error::bug("bench.state", "no keys"))
}

fn values(rows: &RecordBatch, column: usize) -> Result<&Int64Array> {
    rows.column(column).as_any().downcast_ref().ok_or_else(|| Error::bug("bench.state", "no values"))
}

/// Scatters numbers; a bijection, so that different numbers give different keys.
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn batch(numbers: impl Iterator<Item = u64>, salt: u64) -> Result<RecordBatch> {
    let mut keys = BinaryBuilder::new();
    let mut values: [Vec<i64>; 3] = Default::default();
    for number in numbers {
        let key = [scatter(number).to_be_bytes(), scatter(!number).to_be_bytes()].concat();
        keys.append_value(&key);
        for (index, values) in values.iter_mut().enumerate() {
            values.push(scatter(number ^ salt ^ (index as u64) << 40).cast_signed());
        }
    }
    let mut columns: Vec<(&str, ArrayRef)> = vec![("key", Arc::new(keys.finish()))];
    for (name, values) in ["a", "b", "c"].into_iter().zip(values) {
        columns.push((name, Arc::new(Int64Array::from(values))));
    }
    RecordBatch::try_from_iter(columns).map_err(failed)
}

fn dirty(first: u64, count: u64, salt: u64) -> Result<RecordBatch> {
    batch(first..first + count, salt)
}

/// Known keys all over the state, each once.
fn updates(count: u64, salt: u64) -> Result<RecordBatch> {
    let stride = KEYS / count;
    batch((0..count).map(|index| index * stride + salt % stride), salt)
}

/// The disk itself.
struct Disk {
    path: PathBuf,
    file: File,
    bytes: Vec<u8>,
}

impl Disk {
    fn create(folder: &Path) -> Result<Self> {
        let path = folder.join("bare");
        let file = File::create(&path).map_err(failed)?;
        let words = (0..LARGE * ROW_BYTES / 8).flat_map(|number| scatter(number).to_le_bytes());
        Ok(Self { path, file, bytes: words.collect() })
    }

    /// Seconds to append so many bytes and have them on disk.
    fn write(&mut self, length: u64) -> Result<f64> {
        let bytes = self.bytes.get(..length as usize).unwrap_or(&self.bytes);
        let start = Instant::now();
        self.file.write_all(bytes).and_then(|()| self.file.sync_data()).map_err(failed)?;
        Ok(start.elapsed().as_secs_f64())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let metadata = entry.metadata().map_err(failed)?;
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

fn summary(seconds: &mut [f64]) -> Value {
    let median = median(seconds);
    json!({ "runs": seconds.len(), "median": median, "min": seconds.first(), "max": seconds.last() })
}

fn machine() -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).map(|text| text.trim_matches([':', '\t', ' ']));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({ "cpu": model, "cores": cores, "kernel": kernel.trim() })
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::remote("bench.state", "the benchmark failed").caused_by(error)
}
