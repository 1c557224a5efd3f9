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
fn a_state_keeps_the_name_of_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (state, copy) = (folder.path().join("a/b/state"), folder.path().join("copy"));
    let made = EpochFiles::open(&state).unwrap().owner();
    assert!(made.durable);
    assert_eq!(EpochFiles::open(&state).unwrap().owner(), made);
    crate::savepoint(&state, &copy).unwrap();
    assert_eq!(EpochFiles::open(&copy).unwrap().owner(), made);
    assert_ne!(EpochFiles::open(&folder.path().join("other")).unwrap().owner(), made);
}

#[test]
fn a_folder_in_use_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let _state = EpochFiles::open(folder.path()).unwrap();
    let error = EpochFiles::open(folder.path()).err().unwrap();
    assert_eq!((error.code(), error.kind()), ("state.locked", ErrorKind::Usage));
    assert!(error.hint_text().is_some());
}

#[test]
fn another_version_of_the_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(EpochFiles::open(folder.path()).unwrap());
    let path = folder.path().join(manifest::FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("headwater-state 1", "headwater-state 2")).unwrap();
    let error = EpochFiles::open(folder.path()).err().unwrap();
    assert_eq!((error.code(), error.kind()), ("state.version", ErrorKind::Usage));
    assert!(error.message().contains("format 2"));
}

#[test]
fn a_state_without_its_manifest_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = EpochFiles::open(folder.path()).unwrap();
    state.commit(commit(1, vec![])).unwrap();
    drop(state);
    std::fs::remove_file(folder.path().join(manifest::FILE)).unwrap();
    assert_eq!(EpochFiles::open(folder.path()).err().unwrap().code(), "state.corrupt");
}

#[test]
fn commits_that_break_the_rules_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = EpochFiles::open(folder.path()).unwrap();
    state.commit(commit(3, vec![])).unwrap();
    assert_eq!(state.commit(commit(3, vec![])).unwrap_err().code(), "state.epoch_order");
    let no_key = Delta { upserts: delta(0, &[("a", 1)], &[]).upserts.project(&[1]).unwrap(), ..delta(0, &[], &[]) };
    assert_eq!(state.commit(commit(4, vec![no_key])).unwrap_err().code(), "state.delta_shape");
    assert_eq!(state.committed().epoch, Epoch(3));
}

#[test]
fn merging_goes_on_beside_commits() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { log_ratio: 1, log_bytes_min: 20_000, ..Limits::default() };
    let files: Arc<dyn Files> = Arc::new(SystemFiles);
    let mut state = EpochFiles::open_with(Arc::clone(&files), folder.path(), limits).unwrap();
    for epoch in 1..=100 {
        let keys: Vec<String> = (epoch..epoch + 50).map(|key| format!("key {key:04}")).collect();
        let upserts: Vec<_> = keys.iter().map(|key| (key.as_str(), epoch as i64)).collect();
        let gone = format!("key {:04}", epoch - 1);
        state.commit(commit(epoch, vec![delta(0, &upserts, &[&gone])])).unwrap();
        if epoch % 40 == 0 {
            // Dropped in the middle of whatever merge there is.
            drop(state);
            state = EpochFiles::open_with(Arc::clone(&files), folder.path(), limits).unwrap();
        }
    }
    state.collect_merge(true).unwrap();
    assert!(state.sealed.iter().any(|segment| segment.merged), "nothing was ever merged");
    let found = rows(&mut state, 0).unwrap();
    assert_eq!(found.len(), 50);
    assert_eq!(found.get("key 0100".as_bytes()), Some(&100));
    let names = SystemFiles.names(folder.path()).unwrap();
    let segments = names.iter().filter(|name| segment::file_number(name).is_some()).count();
    assert_eq!(segments, state.sealed.len() + 1, "old segments were not removed");
}

#[test]
fn a_savepoint_is_the_state_of_its_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (live, saved) = (folder.path().join("live"), folder.path().join("saved"));
    assert_eq!(crate::savepoint(&live, &saved).unwrap_err().code(), "state.savepoint");
    let mut state = EpochFiles::open(&live).unwrap();
    state.commit(commit(1, vec![delta(0, &[("a", 1)], &[])])).unwrap();
    state.start_merge().unwrap();
    state.collect_merge(true).unwrap();
    state.commit(commit(2, vec![delta(0, &[("b", 2)], &[])])).unwrap();
    assert_eq!(crate::savepoint(&live, &saved).unwrap_err().code(), "state.locked");
    drop(state);
    crate::savepoint(&live, &saved).unwrap();
    assert_eq!(crate::savepoint(&live, &saved).unwrap_err().code(), "state.savepoint");
    let mut state = EpochFiles::open(&live).unwrap();
    state.commit(commit(3, vec![delta(0, &[], &["a"])])).unwrap();
    let mut state = EpochFiles::open(&saved).unwrap();
    assert_eq!(state.committed().epoch, Epoch(2));
    assert_eq!(rows(&mut state, 0).unwrap(), expected(&[("a", 1), ("b", 2)]));
}

#[test]
fn memory_keeps_facts_and_rows_only_when_asked() {
    for (mut state, kept) in
        [(crate::MemoryBackend::new(), Rows::new()), (crate::MemoryBackend::keeping_rows(), expected(&[("b", 2)]))]
    {
        state.commit(commit(1, vec![delta(0, &[("a", 1), ("b", 2)], &[])])).unwrap();
        state.commit(commit(2, vec![delta(0, &[], &["a"])])).unwrap();
        assert_eq!(state.committed().epoch, Epoch(2));
        assert_eq!(rows(&mut state, 0).unwrap(), kept);
    }
}
