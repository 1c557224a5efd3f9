//! [`KeyTable`]: keys to slots, where slots are small numbers that index the columns of accumulators.
//!
//! A key is a pair of a number (the end of a window, 0 where there are none) and bytes. Bytes of all keys lie in one
//! arena, which is packed anew when more than half of it is dead. Slots of removed keys are used again, so memory follows
//! the number of live keys.

use std::hash::Hasher;

use foldhash::fast::{FixedState, FoldHasher};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::BuildHasher;

/// Arenas smaller than this are never packed.
const PACK_BYTES_MIN: usize = 1 << 16;

/// The hash of a key: the same in every run, because it decides the order of output rows.
#[inline]
pub(crate) fn hash_key(window: i64, bytes: &[u8]) -> u64 {
    let mut hasher: FoldHasher<'_> = FixedState::with_seed(0).build_hasher();
    hasher.write_i64(window);
    hasher.write(bytes);
    hasher.finish()
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u64,
    window: i64,
    offset: usize,
    length: usize,
}

/// A map from keys to slots.
#[derive(Default)]
pub(crate) struct KeyTable {
    index: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    arena: Vec<u8>,
    dead_bytes: usize,
}

impl KeyTable {
    /// The slot of a key, and whether it is new.
    #[inline]
    pub(crate) fn intern(&mut self, hash: u64, window: i64, bytes: &[u8]) -> (u32, bool) {
        let Self { index, slots, free, arena, .. } = self;
        let same = |slot: &u32| {
            let slot = &slots[*slot as usize];
            slot.hash == hash && slot.window == window && arena[slot.offset..slot.offset + slot.length] == *bytes
        };
        match index.entry(hash, same, |slot| slots[*slot as usize].hash) {
            Entry::Occupied(entry) => (*entry.get(), false),
            Entry::Vacant(entry) => {
                let made = Slot { hash, window, offset: arena.len(), length: bytes.len() };
                arena.extend_from_slice(bytes);
                let slot = match free.pop() {
                    Some(slot) => {
                        slots[slot as usize] = made;
                        slot
                    }
                    None => {
                        slots.push(made);
                        (slots.len() - 1) as u32
                    }
                };
                entry.insert(slot);
                (slot, true)
            }
        }
    }

    /// The slot of a key that may be there.
    pub(crate) fn find(&self, window: i64, bytes: &[u8]) -> Option<u32> {
        let hash = hash_key(window, bytes);
        let same = |slot: &u32| {
            let slot = &self.slots[*slot as usize];
            slot.hash == hash && slot.window == window && self.arena[slot.offset..slot.offset + slot.length] == *bytes
        };
        self.index.find(hash, same).copied()
    }

    /// Forgets the key of a slot.
    pub(crate) fn remove(&mut self, slot: u32) {
        let removed = self.slots[slot as usize];
        if let Ok(entry) = self.index.find_entry(removed.hash, |other| *other == slot) {
            entry.remove();
            self.free.push(slot);
            self.dead_bytes += removed.length;
            self.slots[slot as usize].length = 0;
        }
    }

    /// Packs the arena when it is mostly dead. Called between batches.
    pub(crate) fn pack(&mut self) {
        if self.index.is_empty() {
            self.arena.clear();
            self.dead_bytes = 0;
        } else if self.arena.len() > PACK_BYTES_MIN && self.dead_bytes > self.arena.len() / 2 {
            let mut packed = Vec::with_capacity(self.arena.len() - self.dead_bytes);
            for slot in &mut self.slots {
                let offset = packed.len();
                packed.extend_from_slice(&self.arena[slot.offset..slot.offset + slot.length]);
                slot.offset = offset;
            }
            self.arena = packed;
            self.dead_bytes = 0;
        }
    }

    /// The bytes of a slot's key.
    pub(crate) fn bytes(&self, slot: u32) -> &[u8] {
        let slot = &self.slots[slot as usize];
        &self.arena[slot.offset..slot.offset + slot.length]
    }

    /// The window of a slot's key.
    pub(crate) fn window(&self, slot: u32) -> i64 {
        self.slots[slot as usize].window
    }

    /// Number of slots in use or free: the length of columns indexed by slot.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(table: &mut KeyTable, window: i64, bytes: &[u8]) -> (u32, bool) {
        table.intern(hash_key(window, bytes), window, bytes)
    }

    #[test]
    fn a_key_keeps_its_slot_until_it_is_removed() {
        let mut table = KeyTable::default();
        let (a, new) = intern(&mut table, 0, b"a");
        assert!(new);
        assert_eq!(intern(&mut table, 0, b"a"), (a, false));
        let (b, _) = intern(&mut table, 1, b"a");
        assert_ne!(a, b, "the window is part of the key");
        table.remove(a);
        assert_eq!(table.find(0, b"a"), None);
        assert_eq!(table.find(1, b"a"), Some(b));
        assert_eq!(intern(&mut table, 0, b"c"), (a, true), "the slot is used again");
    }

    #[test]
    fn packing_keeps_the_living() {
        let mut table = KeyTable::default();
        let key = |number: u32| format!("{number:0>64}").into_bytes();
        let slots: Vec<u32> = (0..4_000).map(|number| intern(&mut table, 0, &key(number)).0).collect();
        for slot in slots.iter().filter(|slot| *slot % 4 != 0) {
            table.remove(*slot);
        }
        let before = table.arena.len();
        table.pack();
        assert!(table.arena.len() < before / 2);
        for number in (0..4_000).step_by(4) {
            assert_eq!(table.find(0, &key(number)).map(|slot| table.bytes(slot).to_vec()), Some(key(number)));
        }
    }
}
