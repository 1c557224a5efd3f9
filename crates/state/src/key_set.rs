//! The keys that a merge has already met, side by side in one piece of memory.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// A set of byte strings without an allocation for each.
pub(crate) struct KeySet {
    bytes: Vec<u8>,
    /// End of each key in `bytes`.
    ends: Vec<usize>,
    /// Indices into `ends`.
    table: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

/// About how much memory a set takes for so many keys with so many bytes in all, at most.
pub(crate) fn memory(keys: u64, key_bytes: u64) -> u64 {
    // One end and up to 16/7 table slots of 9 bytes for each key; vectors may have doubled just before.
    key_bytes.saturating_mul(2).saturating_add(keys.saturating_mul(40))
}

impl KeySet {
    /// An empty set. Sets with clones of one hasher agree on all hashes.
    pub(crate) fn new(hasher: DefaultHashBuilder) -> Self {
        Self { bytes: Vec::new(), ends: Vec::new(), table: HashTable::new(), hasher }
    }

    /// The hash under which keys are looked up.
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Whether the key is in the set.
    pub(crate) fn contains(&self, hash: u64, key: &[u8]) -> bool {
        self.table.find(hash, |index| slice(&self.bytes, &self.ends, *index) == key).is_some()
    }

    /// Adds the key; false when it was there.
    pub(crate) fn insert(&mut self, hash: u64, key: &[u8]) -> bool {
        if self.contains(hash, key) {
            return false;
        }
        let Self { bytes, ends, table, hasher } = self;
        bytes.extend_from_slice(key);
        ends.push(bytes.len());
        table.insert_unique(hash, ends.len() - 1, |index| hasher.hash_one(slice(bytes, ends, *index)));
        true
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], index: usize) -> &'a [u8] {
    let start = index.checked_sub(1).and_then(|before| ends.get(before).copied()).unwrap_or(0);
    let end = ends.get(index).copied().unwrap_or(start);
    bytes.get(start..end).unwrap_or_default()
}
