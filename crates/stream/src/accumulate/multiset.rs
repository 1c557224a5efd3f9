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
use crate::group::parts::{Deletes, Part};

/// How often a value is there. A count may go below zero for a while, when a retraction overtakes its row.
#[derive(Clone, Copy, Default)]
struct Entry {
    count: i64,
    stored: bool,
    dirty: bool,
}

/// The values of one group.
#[derive(Default)]
struct Values {
    /// Those that are there.
    live: BTreeMap<Box<[u8]>, Entry>,
    /// Those that went, or whose retraction came before them, until they are stored. Beside the others, so that nobody
    /// walks over them who looks for the least: a queue's deletes would make that quadratic.
    gone: BTreeMap<Box<[u8]>, Entry>,
}

impl Values {
    fn get_mut(&mut self, value: &[u8]) -> Option<&mut Entry> {
        self.live.get_mut(value).or_else(|| self.gone.get_mut(value))
    }

    fn insert(&mut self, value: Box<[u8]>, entry: Entry) {
        if entry.count > 0 { &mut self.live } else { &mut self.gone }.insert(value, entry);
    }

    fn remove(&mut self, value: &[u8]) -> Option<(Box<[u8]>, Entry)> {
        self.live.remove_entry(value).or_else(|| self.gone.remove_entry(value))
    }

    /// Adds to a value's count. Gives the count before, and whether the value was not dirty yet.
    fn add(&mut self, value: &[u8], weight: i64) -> (i64, bool) {
        let (before, fresh) = match self.get_mut(value) {
            Some(entry) => {
                let found = (entry.count, !entry.dirty);
                entry.count += weight;
                entry.dirty = true;
                found
            }
            None => {
                self.insert(value.into(), Entry { count: weight, stored: false, dirty: true });
                return (0, true);
            }
        };
        if (before > 0) != (before + weight > 0)
            && let Some((value, entry)) = self.remove(value)
        {
            self.insert(value, entry);
        }
        (before, fresh)
    }
}

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
            let (before, fresh) = groups[slot].add(value, weight);
            if fresh {
                dirty.push((slot as u32, value.into()));
            }
            let (was, is) = (before > 0, before + weight > 0);
            if was != is {
                changed(Transition { row: row as u32, slot: slot as u32, weight: if is { 1 } else { -1 } });
            }
        });
        Ok(())
    }

    fn extremum(&self, slot: u32, greatest: bool) -> Option<&[u8]> {
        let live = &self.groups[slot as usize].live;
        if greatest { live.last_key_value() } else { live.first_key_value() }.map(|(value, _)| value.as_ref())
    }

    fn clear(&mut self, slot: u32, key: &[u8]) {
        let values = std::mem::take(&mut self.groups[slot as usize]);
        for (value, entry) in values.live.into_iter().chain(values.gone) {
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
    pub(crate) fn seal(&mut self, part_bytes: usize, key: impl Fn(u32) -> Vec<u8>) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        let (mut keys, mut counts, mut deletes) = (BinaryBuilder::new(), Vec::new(), Deletes::new(part_bytes));
        let mut again = HashSet::new();
        for (slot, value) in std::mem::take(&mut self.dirty) {
            let values = &mut self.groups[slot as usize];
            // The group may be another one by now, and the value then not its own or dirty no more.
            let Some(entry) = values.get_mut(&value).filter(|entry| entry.dirty) else { continue };
            entry.dirty = false;
            let full = stored_key(&key(slot), &value);
            if entry.count != 0 {
                entry.stored = true;
                if keys.values_slice().len() + full.len() > part_bytes {
                    parts.push((counted(&mut keys, &mut counts)?, BinaryArray::new_null(0)));
                }
                keys.append_value(&full);
                counts.push(entry.count);
                if !self.removed.is_empty() {
                    again.insert(full);
                }
            } else {
                if entry.stored {
                    deletes.push(&full);
                }
                values.remove(&value);
            }
        }
        parts.push((counted(&mut keys, &mut counts)?, BinaryArray::new_null(0)));
        for full in std::mem::take(&mut self.removed) {
            if !again.contains(&full) {
                deletes.push(&full);
            }
        }
        deletes.add_to(&mut parts, &Self::schema());
        Ok(parts)
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

/// The rows of one part of the table.
fn counted(keys: &mut BinaryBuilder, counts: &mut Vec<i64>) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![Arc::new(keys.finish()), Arc::new(Int64Array::from(std::mem::take(counts)))];
    RecordBatch::try_new(Multiset::schema(), columns)
        .map_err(|error| Error::bug("stream.state_shape", "values of groups").caused_by(error))
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
        self.values.groups.resize_with(slots, Values::default);
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
        self.values.groups.resize_with(slots, Values::default);
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

    fn state_bytes(&self, slot: u32) -> usize {
        self.inner.state_bytes(slot)
    }

    fn restore(&mut self, slots: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.inner.restore(slots, state)
    }

    fn values(&mut self) -> Option<&mut Multiset> {
        Some(&mut self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: impl Iterator<Item = i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values))
    }

    #[test]
    fn values_that_went_are_not_in_the_way_of_the_least_and_greatest() {
        let mut least = MultisetExtremum { values: Multiset::new(DataType::Int64).expect("set"), greatest: false };
        least.grow(1);
        let mut update = |values: &ArrayRef, weight: i8| {
            let count = values.len();
            let updates = Updates {
                groups: &vec![0; count],
                rows: None,
                weights: Some(&vec![weight; count]),
                values: Some(values),
                counted: None,
            };
            least.update(&updates).expect("updated");
            let group = &least.values.groups[0];
            (group.live.len(), group.gone.len(), least.output(&[0]).expect("output"))
        };
        update(&rows(0..100), 1);
        // As a queue deletes: the least first. A retraction may come before its row.
        assert_eq!(update(&rows(0..60), -1), (40, 60, rows([60].into_iter())));
        assert_eq!(update(&rows(200..201), -1), (40, 61, rows([60].into_iter())));
        assert_eq!(update(&rows(200..201), 1), (40, 61, rows([60].into_iter())));
        assert_eq!(update(&rows(5..6), 1), (41, 60, rows([5].into_iter())));
        let parts = least.values.seal(usize::MAX, |_| Vec::new()).expect("sealed");
        assert_eq!(parts.iter().map(|(rows, _)| rows.num_rows()).sum::<usize>(), 41);
        assert!(least.values.groups[0].gone.is_empty(), "what was never stored is forgotten");
    }
}
