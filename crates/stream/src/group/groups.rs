//! [`Groups`]: one shard of a keyed operator: keys, the number of rows under each, accumulators, and what of all that is
//! not stored yet.
//!
//! Rows are taken in order. A retraction of a group that has no rows is ignored and counted (Flink's rule), at the very
//! row where it comes, so that the cut of batches does not show.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, BinaryBuilder, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use headwater_change::{Error, Result};

use super::keys::Keys;
use super::parts::{Deletes, PART_BYTES, Part};
use super::table::{KeyTable, hash_key};
use crate::accumulate::count::{gather, scatter};
use crate::accumulate::{Accumulator, Updates, misshapen};

const DIRTY: u8 = 1;
const STORED: u8 = 2;

/// Rows as the shards of a keyed operator read them.
pub(crate) struct KeyedBatch {
    /// Key of each row.
    pub(crate) keys: Keys,
    /// Window of each row, where the operator has windows.
    pub(crate) windows: Option<Vec<i64>>,
    /// +1 or -1 per row; `None` where all rows come.
    pub(crate) weights: Option<Vec<i8>>,
    /// What each aggregate reads.
    pub(crate) inputs: Vec<CallInput>,
    /// Hash of each row's key, where it was needed to find the shard.
    pub(crate) hashes: Option<Vec<u64>>,
}

/// What one aggregate reads of a batch.
pub(crate) struct CallInput {
    /// The argument in the type that the accumulator wants.
    pub(crate) values: Option<ArrayRef>,
    /// Rows that count; `None` for all.
    pub(crate) counted: Option<BooleanBuffer>,
}

/// Groups of one shard.
pub(crate) struct Groups {
    keys: KeyTable,
    rows: Vec<i64>,
    flags: Vec<u8>,
    dirty: Vec<u32>,
    removed: Vec<Vec<u8>>,
    accumulators: Vec<Box<dyn Accumulator>>,
    windowed: bool,
    part_bytes: usize,
}

impl Groups {
    /// No groups yet.
    pub(crate) fn new(accumulators: Vec<Box<dyn Accumulator>>, windowed: bool) -> Self {
        Self {
            keys: KeyTable::default(),
            rows: Vec::new(),
            flags: Vec::new(),
            dirty: Vec::new(),
            removed: Vec::new(),
            accumulators,
            windowed,
            part_bytes: PART_BYTES,
        }
    }

    /// The same with smaller parts of what is stored.
    #[cfg(test)]
    pub(crate) fn with_part_bytes(mut self, part_bytes: usize) -> Self {
        self.part_bytes = part_bytes;
        self
    }

    /// The slots of rows' groups. `fresh` is told of each that is new.
    pub(crate) fn intern(
        &mut self,
        batch: &KeyedBatch,
        rows: Option<&[u32]>,
        mut fresh: impl FnMut(u32, i64),
    ) -> Result<Vec<u32>> {
        let mut groups = Vec::with_capacity(rows.map_or(batch.keys.len(), <[u32]>::len));
        let keys = &mut self.keys;
        batch.keys.visit(rows, |row, bytes| {
            let window = batch.windows.as_ref().map_or(0, |windows| windows[row]);
            let hash = batch.hashes.as_ref().map_or_else(|| hash_key(window, bytes), |hashes| hashes[row]);
            let (slot, new) = keys.intern(hash, window, bytes);
            if new {
                fresh(slot, window);
            }
            groups.push(slot);
            Ok(())
        })?;
        self.grow();
        Ok(groups)
    }

    fn grow(&mut self) {
        let slots = self.keys.capacity();
        if slots > self.rows.len() {
            self.rows.resize(slots, 0);
            self.flags.resize(slots, 0);
            self.accumulators.iter_mut().for_each(|accumulator| accumulator.grow(slots));
        }
    }

    /// Adds rows to their groups; gives how many retractions were ignored.
    pub(crate) fn apply(&mut self, batch: &KeyedBatch, rows: Option<&[u32]>, groups: &[u32]) -> Result<u64> {
        let Self { rows: counts, flags, dirty, accumulators, .. } = self;
        let mut touch = |slot: u32| {
            let flag = &mut flags[slot as usize];
            if *flag & DIRTY == 0 {
                *flag |= DIRTY;
                dirty.push(slot);
            }
        };
        let mut stray = 0;
        let weights = match &batch.weights {
            None => {
                for &slot in groups {
                    counts[slot as usize] += 1;
                    touch(slot);
                }
                None
            }
            Some(weights) => Some(
                groups
                    .iter()
                    .enumerate()
                    .map(|(index, &slot)| {
                        let weight = weights[rows.map_or(index, |rows| rows[index] as usize)];
                        let count = &mut counts[slot as usize];
                        if weight < 0 && *count == 0 {
                            stray += 1;
                            return 0;
                        }
                        *count += i64::from(weight);
                        touch(slot);
                        weight
                    })
                    .collect::<Vec<i8>>(),
            ),
        };
        for (accumulator, input) in accumulators.iter_mut().zip(&batch.inputs) {
            accumulator.update(&Updates {
                groups,
                rows,
                weights: weights.as_deref(),
                values: input.values.as_ref(),
                counted: input.counted.as_ref(),
            })?;
        }
        Ok(stray)
    }

    /// Number of rows of a group.
    pub(crate) fn count(&self, slot: u32) -> i64 {
        self.rows[slot as usize]
    }

    /// The results of groups, one column per aggregate.
    pub(crate) fn output(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.accumulators.iter().map(|accumulator| accumulator.output(slots)).collect()
    }

    /// The keys of slots.
    pub(crate) fn keys(&self) -> &KeyTable {
        &self.keys
    }

    /// Forgets a group.
    pub(crate) fn remove(&mut self, slot: u32) {
        let stored = self.flags[slot as usize] & STORED != 0;
        let key = self.stored_key(slot);
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear(slot, &key));
        if stored {
            self.removed.push(key);
        }
        self.rows[slot as usize] = 0;
        self.flags[slot as usize] = 0;
        self.keys.remove(slot);
    }

    /// Gives back memory of groups that were removed. Called between batches.
    pub(crate) fn pack(&mut self) {
        self.keys.pack();
    }

    fn stored_key(&self, slot: u32) -> Vec<u8> {
        let bytes = self.keys.bytes(slot);
        if self.windowed { [&self.keys.window(slot).to_be_bytes(), bytes].concat() } else { bytes.to_vec() }
    }

    /// The columns of the table of groups.
    pub(crate) fn schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new("key", DataType::Binary, false), Field::new("rows", DataType::Int64, false)];
        for (call, accumulator) in self.accumulators.iter().enumerate() {
            let types = accumulator.state_types().into_iter().enumerate();
            fields.extend(types.map(|(part, kind)| Field::new(format!("c{call}_{part}"), kind, true)));
        }
        Arc::new(Schema::new(fields))
    }

    /// What changed of the groups since the last seal.
    pub(crate) fn seal(&mut self) -> Result<Vec<Part>> {
        let mut live = Vec::new();
        for slot in std::mem::take(&mut self.dirty) {
            let flag = &mut self.flags[slot as usize];
            if *flag & DIRTY != 0 {
                *flag = STORED;
                live.push(slot);
            }
        }
        let mut again = HashSet::new();
        if !self.removed.is_empty() {
            again.extend(live.iter().map(|&slot| self.stored_key(slot)));
        }
        let mut deletes = Deletes::new(self.part_bytes);
        for key in std::mem::take(&mut self.removed) {
            if !again.contains(&key) {
                deletes.push(&key);
            }
        }
        let mut parts = Vec::new();
        let mut rest = live.as_slice();
        while !rest.is_empty() || parts.is_empty() {
            let (part, behind) = rest.split_at(self.fitting(rest));
            parts.push((self.rows_of(part)?, BinaryArray::new_null(0)));
            rest = behind;
        }
        deletes.add_to(&mut parts, &self.schema());
        Ok(parts)
    }

    /// How many of these slots make one part.
    fn fitting(&self, slots: &[u32]) -> usize {
        let mut bytes = 0;
        let fits = slots.iter().take_while(|&&slot| {
            let state = self.accumulators.iter().map(|accumulator| accumulator.state_bytes(slot));
            bytes += self.keys.bytes(slot).len() + 8 + state.sum::<usize>();
            bytes <= self.part_bytes
        });
        fits.count().max(1).min(slots.len())
    }

    /// The stored form of some groups.
    fn rows_of(&self, slots: &[u32]) -> Result<RecordBatch> {
        let mut keys = BinaryBuilder::new();
        for &slot in slots {
            keys.append_value(self.stored_key(slot));
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(keys.finish()), gather(&self.rows, slots)];
        for accumulator in &self.accumulators {
            columns.extend(accumulator.state(slots)?);
        }
        RecordBatch::try_new(self.schema(), columns)
            .map_err(|error| Error::bug("stream.state_shape", "groups do not fit their table").caused_by(error))
    }

    /// What changed of the values of the aggregate at `call` since the last seal, where it has values.
    pub(crate) fn seal_values(&mut self, call: usize) -> Result<Option<Vec<Part>>> {
        let Self { keys, accumulators, windowed, part_bytes, .. } = self;
        let Some(values) = accumulators.get_mut(call).and_then(|accumulator| accumulator.values()) else {
            return Ok(None);
        };
        let key = |slot: u32| {
            let bytes = keys.bytes(slot);
            if *windowed { [&keys.window(slot).to_be_bytes(), bytes].concat() } else { bytes.to_vec() }
        };
        values.seal(*part_bytes, key).map(Some)
    }

    /// Takes back stored groups of which `mine` says that they belong to this shard.
    pub(crate) fn restore(
        &mut self,
        upserts: &RecordBatch,
        deletes: &BinaryArray,
        mine: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let keys = upserts.columns().first().and_then(|keys| keys.as_binary_opt::<i32>()).ok_or_else(misshapen)?;
        if upserts.schema_ref().fields().len() != self.schema().fields().len() {
            return Err(misshapen());
        }
        let (mut slots, mut rows) = (Vec::new(), Vec::new());
        for (row, full) in (0u32..).zip(keys.iter()) {
            let (window, bytes) = split_key(full.unwrap_or_default(), self.windowed)?;
            let hash = hash_key(window, bytes);
            if mine(hash) {
                slots.push(self.keys.intern(hash, window, bytes).0);
                rows.push(row);
            }
        }
        self.grow();
        let rows = arrow::array::UInt32Array::from(rows);
        let columns = arrow::compute::take_arrays(upserts.columns(), &rows, None).map_err(|_| misshapen())?;
        let mut columns = columns.as_slice();
        scatter(&mut self.rows, &slots, columns.get(1))?;
        columns = columns.get(2..).unwrap_or_default();
        for accumulator in &mut self.accumulators {
            let (own, rest) = columns.split_at_checked(accumulator.state_types().len()).ok_or_else(misshapen)?;
            accumulator.restore(&slots, own)?;
            columns = rest;
        }
        for &slot in &slots {
            self.flags[slot as usize] = STORED;
        }
        for full in deletes.iter().flatten() {
            let (window, bytes) = split_key(full, self.windowed)?;
            if let Some(slot) = self.keys.find(window, bytes) {
                self.flags[slot as usize] = 0;
                self.remove(slot);
            }
        }
        self.keys.pack();
        Ok(())
    }

    /// Takes back stored values of the aggregate at `call`.
    pub(crate) fn restore_values(&mut self, call: usize, upserts: &RecordBatch, deletes: &BinaryArray) -> Result<()> {
        let Self { keys, accumulators, windowed, .. } = self;
        let values = accumulators.get_mut(call).and_then(|accumulator| accumulator.values()).ok_or_else(misshapen)?;
        values.restore(upserts, deletes, |full| {
            let (window, bytes) = split_key(full, *windowed).ok()?;
            keys.find(window, bytes)
        })
    }

    /// Whether the aggregate at `call` has values in a table of their own.
    pub(crate) fn has_values(&mut self, call: usize) -> bool {
        self.accumulators.get_mut(call).is_some_and(|accumulator| accumulator.values().is_some())
    }

    /// All slots in use.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.keys.capacity() as u32).filter(|&slot| self.flags[slot as usize] != 0)
    }
}

fn split_key(full: &[u8], windowed: bool) -> Result<(i64, &[u8])> {
    if !windowed {
        return Ok((0, full));
    }
    let (window, bytes) = full.split_first_chunk::<8>().ok_or_else(misshapen)?;
    Ok((i64::from_be_bytes(*window), bytes))
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;
    use crate::accumulate::{extremum, multiset};

    fn groups(part_bytes: usize) -> Groups {
        let accumulators = vec![
            extremum::build(DataType::Utf8, true).expect("max"),
            multiset::extremum(DataType::Utf8, true).expect("max"),
        ];
        Groups::new(accumulators, false).with_part_bytes(part_bytes)
    }

    fn take(groups: &mut Groups, texts: &[String], weight: i8) {
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        let input = || CallInput { values: Some(Arc::clone(&column)), counted: None };
        let batch = KeyedBatch {
            keys: Keys::Text(column.as_string::<i32>().clone()),
            windows: None,
            weights: Some(vec![weight; texts.len()]),
            inputs: vec![input(), input()],
            hashes: None,
        };
        let slots = groups.intern(&batch, None, |_, _| ()).expect("slots");
        groups.apply(&batch, None, &slots).expect("applied");
        for slot in slots {
            if groups.count(slot) == 0 {
                groups.remove(slot);
            }
        }
    }

    #[test]
    fn an_epoch_of_any_size_is_stored_in_parts_that_say_the_same() {
        let texts: Vec<String> = (0..100).map(|number| format!("text number {number}")).collect();
        let mut before = groups(200);
        let mut after = groups(200);
        for epoch in 0..2 {
            match epoch {
                0 => take(&mut before, &texts, 1),
                _ => take(&mut before, texts.get(..60).expect("some"), -1),
            }
            let parts = before.seal().expect("sealed");
            let values = before.seal_values(1).expect("sealed").expect("values");
            assert!(parts.len() > 3 && values.len() > 3, "{} {}", parts.len(), values.len());
            for (rows, keys) in parts {
                assert!(rows.num_rows() <= 10 && keys.values().len() <= 200);
                after.restore(&rows, &keys, |_| true).expect("restored");
            }
            for (rows, keys) in values {
                after.restore_values(1, &rows, &keys).expect("restored");
            }
        }
        assert_eq!((before.keys().len(), after.keys().len()), (40, 40));
        for text in texts.get(60..).expect("some") {
            let slot = |groups: &Groups| groups.keys().find(0, text.as_bytes()).expect("there");
            let of = |groups: &Groups| groups.output(&[slot(groups)]).expect("output");
            assert_eq!(of(&before), of(&after));
        }
    }
}
