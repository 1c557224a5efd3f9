//! What an epoch stores, in parts that Arrow's 32-bit offsets can hold: an epoch may change more than 2 GiB of keys.

use arrow::array::{BinaryArray, BinaryBuilder, RecordBatch};
use arrow::datatypes::SchemaRef;

/// Bytes of keys and values in one part. The largest key is far smaller than what is left to 2 GiB.
pub(crate) const PART_BYTES: usize = 1 << 30;

/// Rows of a table that came or changed, and keys that went.
pub(crate) type Part = (RecordBatch, BinaryArray);

/// Collects deleted keys.
pub(crate) struct Deletes {
    part_bytes: usize,
    full: Vec<BinaryArray>,
    keys: BinaryBuilder,
}

impl Deletes {
    /// None yet.
    pub(crate) fn new(part_bytes: usize) -> Self {
        Self { part_bytes, full: Vec::new(), keys: BinaryBuilder::new() }
    }

    /// One more.
    pub(crate) fn push(&mut self, key: &[u8]) {
        if self.keys.values_slice().len() + key.len() > self.part_bytes {
            self.full.push(self.keys.finish());
        }
        self.keys.append_value(key);
    }

    /// Puts the keys beside the last part's rows, and what is more behind it.
    pub(crate) fn add_to(mut self, parts: &mut Vec<Part>, schema: &SchemaRef) {
        if let Some((_, deletes)) = parts.last_mut() {
            *deletes = self.keys.finish();
        }
        parts.extend(self.full.into_iter().map(|keys| (RecordBatch::new_empty(schema.clone()), keys)));
    }
}

/// Bytes of a part, about.
pub(crate) fn size((upserts, deletes): &Part) -> usize {
    upserts.get_array_memory_size() + deletes.values().len()
}
