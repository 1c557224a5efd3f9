//! [`Multiset`]: the values of each group with how often they are there, for aggregates that must know which value comes
//! to the fore when another goes: `MIN` and `MAX` under retraction, and everything `DISTINCT`.
//!
//! A delete removes an arbitrary value, not the oldest, so every value is kept; in arrow-row form, whose bytes sort as
//! the values do. Values are stored one by one in a table of their own: key = length of the group's key (4 bytes, big
//! endian), group's key, value; the count is the only column.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, BinaryBuilder, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::row::RowConverter;
use headwater_change::{Error, Result};

use super::extremum::{decode, encode};
use super::{Accumulator, Updates, misshapen};
use crate::group::keys::converter;

/// How often a value is there. A count may go below zero for a while, when a retraction overtakes its row.
#[derive(Clone, Copy, Default)]
struct Entry {
    count: i64,
    stored: bool,
    dirty: bool,
}

type Values = BTreeMap<Box<[u8]>, Entry>;

/// Values with counts, per group.
pub(crate) struct Multiset {
    groups: Vec<Values>,
    converter: RowConverter,
    kind: DataType,
    dirty: Vec<(u32, Box<[u8]>)>,
    removed: Vec<Vec<u8>>,
}

/// A value that appeared in a group or vanished from it.
struct Transition {
    row: u32,
    slot: u32,
    weight: i8,
}

impl Multiset {
    fn new(kind: DataType) -> Result<Self> {
        let converter = converter([kind.clone()])?;
        Ok(Self { groups: Vec::new(), converter, kind, dirty: Vec::new(), removed: Vec::new() })
    }

    /// Takes rows; tells `changed` of values that appear or vanish.
    fn update(&mut self, updates: &Updates<'_>, mut changed: impl FnMut(Transition)) -> Result<()> {
        let rows = encode(&self.converter, updates.argument()?)?;
        let Self { groups, dirty, .. } = self;
        updates.visit(|row, slot, weight| {
            let value = rows.row(row);
            let value = value.data();
            let values = &mut groups[slot];
            if !values.contains_key(value) {
                values.insert(value.into(), Entry::default());
            }
            let Some(entry) = values.get_mut(value) else { return };
            let before = entry.count;
            entry.count += weight;
            if !entry.dirty {
                entry.dirty = true;
                dirty.push((slot as u32, value.into()));
            }
            let (was, is) = (before > 0, entry.count > 0);
            if was != is {
                changed(Transition { row: row as u32, slot: slot as u32, weight: if is { 1 } else { -1 } });
            }
        });
        Ok(())
    }

    fn extremum(&self, slot: u32, greatest: bool) -> Option<&[u8]> {
        let mut values = self.groups[slot as usize].iter().filter(|(_, entry)| entry.count > 0);
        if greatest { values.next_back() } else { values.next() }.map(|(value, _)| value.as_ref())
    }

    fn clear(&mut self, slot: u32, key: &[u8]) {
        for (value, entry) in std::mem::take(&mut self.groups[slot as usize]) {
            if entry.stored {
                self.removed.push(stored_key(key, &value));
            }
        }
    }

    /// The columns of the table.
    pub(crate) fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("key", DataType::Binary, false),
            Field::new("count", DataType::Int64, false),
        ]))
    }

    /// What changed since the last seal; `key` gives the stored key of a group.
    pub(crate) fn seal(&mut self, key: impl Fn(u32) -> Vec<u8>) -> Result<(RecordBatch, BinaryArray)> {
        let (mut keys, mut counts, mut deletes) = (BinaryBuilder::new(), Vec::new(), BinaryBuilder::new());
        let mut again = HashSet::new();
        for (slot, value) in std::mem::take(&mut self.dirty) {
            let values = &mut self.groups[slot as usize];
            // The group may be another one by now, and the value then not its own or dirty no more.
            let Some(entry) = values.get_mut(&value).filter(|entry| entry.dirty) else { continue };
            entry.dirty = false;
            let full = stored_key(&key(slot), &value);
            if entry.count != 0 {
                entry.stored = true;
                keys.append_value(&full);
                counts.push(entry.count);
                if !self.removed.is_empty() {
                    again.insert(full);
                }
            } else {
                if entry.stored {
                    deletes.append_value(&full);
                }
                values.remove(&value);
            }
        }
        for full in std::mem::take(&mut self.removed) {
            if !again.contains(&full) {
                deletes.append_value(&full);
            }
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(keys.finish()), Arc::new(Int64Array::from(counts))];
        let upserts = RecordBatch::try_new(Self::schema(), columns)
            .map_err(|error| Error::bug("stream.state_shape", "values of groups").caused_by(error))?;
        Ok((upserts, deletes.finish()))
    }

    /// Takes back stored values; `slot` finds the group of a stored key in this shard.
    pub(crate) fn restore(
        &mut self,
        upserts: &RecordBatch,
        deletes: &BinaryArray,
        slot: impl Fn(&[u8]) -> Option<u32>,
    ) -> Result<()> {
        let [keys, counts] = upserts.columns() else { return Err(misshapen()) };
        let keys = keys.as_binary_opt::<i32>().ok_or_else(misshapen)?;
        let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(misshapen)?;
        for (full, &count) in keys.iter().flatten().zip(counts.values()) {
            let (key, value) = split_key(full)?;
            // A group that is gone took its values along; an earlier epoch still tells of them.
            if let Some(slot) = slot(key) {
                self.groups[slot as usize].insert(value.into(), Entry { count, stored: true, dirty: false });
            }
        }
        for full in deletes.iter().flatten() {
            let (key, value) = split_key(full)?;
            if let Some(slot) = slot(key) {
                self.groups[slot as usize].remove(value);
            }
        }
        Ok(())
    }
}

fn stored_key(group: &[u8], value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(group.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), group, value].concat()
}

fn split_key(full: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = full.split_first_chunk::<4>().ok_or_else(misshapen)?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(misshapen)
}

/// `MIN` or `MAX` of rows that come and go.
pub(crate) fn extremum(kind: DataType, greatest: bool) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(MultisetExtremum { values: Multiset::new(kind)?, greatest }))
}

struct MultisetExtremum {
    values: Multiset,
    greatest: bool,
}

impl Accumulator for MultisetExtremum {
    fn grow(&mut self, slots: usize) {
        self.values.groups.resize_with(slots, Values::new);
    }

    fn update(&mut self, updates: &Updates<'_>) -> Result<()> {
        self.values.update(updates, |_| ())
    }

    fn output(&self, slots: &[u32]) -> Result<ArrayRef> {
        let best = slots.iter().map(|&slot| self.values.extremum(slot, self.greatest));
        decode(&self.values.converter, &self.values.kind, best)
    }

    fn clear(&mut self, slot: u32, key: &[u8]) {
        self.values.clear(slot, key);
    }

    fn state_types(&self) -> Vec<DataType> {
        Vec::new()
    }

    fn state(&self, _slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _slots: &[u32], _state: &[ArrayRef]) -> Result<()> {
        Ok(())
    }

    fn values(&mut self) -> Option<&mut Multiset> {
        Some(&mut self.values)
    }
}

/// Lets `inner` see every value of a group once.
pub(crate) fn distinct(inner: Box<dyn Accumulator>, kind: DataType) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(Distinct { inner, values: Multiset::new(kind)? }))
}

struct Distinct {
    inner: Box<dyn Accumulator>,
    values: Multiset,
}

impl Accumulator for Distinct {
    fn grow(&mut self, slots: usize) {
        self.inner.grow(slots);
        self.values.groups.resize_with(slots, Values::new);
    }

    fn update(&mut self, updates: &Updates<'_>) -> Result<()> {
        let (mut rows, mut groups, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        self.values.update(updates, |change| {
            rows.push(change.row);
            groups.push(change.slot);
            weights.push(change.weight);
        })?;
        if rows.is_empty() {
            return Ok(());
        }
        let values = take(updates.argument()?, &UInt32Array::from(rows), None)
            .map_err(|error| Error::bug("stream.distinct", "distinct values").caused_by(error))?;
        self.inner.update(&Updates {
            groups: &groups,
            rows: None,
            weights: Some(&weights),
            values: Some(&values),
            counted: None,
        })
    }

    fn output(&self, slots: &[u32]) -> Result<ArrayRef> {
        self.inner.output(slots)
    }

    fn clear(&mut self, slot: u32, key: &[u8]) {
        self.inner.clear(slot, key);
        self.values.clear(slot, key);
    }

    fn state_types(&self) -> Vec<DataType> {
        self.inner.state_types()
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.inner.state(slots)
    }

    fn restore(&mut self, slots: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.inner.restore(slots, state)
    }

    fn values(&mut self) -> Option<&mut Multiset> {
        Some(&mut self.values)
    }
}
