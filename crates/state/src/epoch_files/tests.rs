//! The laws of epoch files, on real files and on the lossy ones of the tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Int64Array, RecordBatch};
use headwater_change::{Epoch, ErrorKind, Position, Receipt};

use super::*;
use crate::Delta;

/// Rows of a table as a test sees them.
pub(super) type Rows = BTreeMap<Vec<u8>, i64>;

pub(super) fn table(number: u16) -> TableKey {
    TableKey { operator: 7, table: number }
}

pub(super) fn delta(number: u16, upserts: &[(&str, i64)], deletes: &[&str]) -> Delta {
    let keys: BinaryArray = upserts.iter().map(|(key, _)| Some(key.as_bytes())).collect();
    let values: Int64Array = upserts.iter().map(|(_, value)| *value).collect();
    let columns = [("key", Arc::new(keys) as ArrayRef), ("value", Arc::new(values) as ArrayRef)];
    Delta {
        table: table(number),
        upserts: RecordBatch::try_from_iter(columns).unwrap(),
        deletes: deletes.iter().map(|key| Some(key.as_bytes())).collect(),
    }
}

pub(super) fn commit(epoch: u64, deltas: Vec<Delta>) -> Commit {
    Commit {
        epoch: Epoch(epoch),
        deltas,
        positions: vec![(1, Position::new("p", format!("token {epoch}"), epoch))],
        receipts: vec![(9, Receipt { epoch: Epoch(epoch), token: vec![epoch as u8; 3] })],
        notes: BTreeMap::from([("watermark".to_owned(), epoch.to_le_bytes().to_vec())]),
    }
}

pub(super) fn rows(state: &mut dyn Backend, number: u16) -> Result<Rows> {
    let mut rows = Rows::new();
    state.restore(table(number), &mut |upserts, deletes| {
        for key in deletes.iter().flatten() {
            rows.remove(key);
        }
        let keys = upserts.column(0).as_any().downcast_ref::<BinaryArray>().unwrap();
        let values = upserts.column(1).as_any().downcast_ref::<Int64Array>().unwrap();
        for index in 0..upserts.num_rows() {
            rows.insert(keys.value(index).to_vec(), values.value(index));
        }
        Ok(())
    })?;
    Ok(rows)
}

fn expected(pairs: &[(&str, i64)]) -> Rows {
    pairs.iter().map(|(key, value)| (key.as_bytes().to_vec(), *value)).collect()
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder: &Path = &folder.path().join("new");
    let mut state = EpochFiles::open(folder).unwrap();
    assert_eq!(*state.committed(), Committed::default());
    state.commit(commit(1, vec![delta(0, &[("a", 1), ("b", 2)], &[]), delta(1, &[("a", 5)], &[])])).unwrap();
    state.commit(commit(4, vec![delta(0, &[("a", 3), ("c", 4)], &["b"])])).unwrap();
    drop(state);
    let mut state = EpochFiles::open(folder).unwrap();
    let Commit { epoch, positions, receipts, notes, .. } = commit(4, vec![]);
    assert_eq!(*state.committed(), Committed { epoch, positions, receipts, notes });
    for _ in 0..2 {
        assert_eq!(rows(&mut state, 0).unwrap(), expected(&[("a", 3), ("c", 4)]));
        assert_eq!(rows(&mut state, 1).unwrap(), expected(&[("a", 5)]));
        assert_eq!(rows(&mut state, 2).unwrap(), Rows::new());
        state.start_merge().unwrap();
        state.collect_merge(true).unwrap();
    }
    drop(state);
    let mut state = EpochFiles::open(folder).unwrap();
    assert_eq!(state.committed().epoch, Epoch(4));
    assert_eq!(rows(&mut state, 0).unwrap(), expected(&[("a", 3), ("c", 4)]));
}

#[test]
fn a_folder_in_use_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let _state = EpochFiles::open(folder.path()).unwrap();
    let error = EpochFiles::open(folder.path()).err().unwrap();
    assert_eq!((error.code(), error.kind()), ("state.locked", ErrorKind::Usage));
    assert!(error.hint_text().is_some());
}
