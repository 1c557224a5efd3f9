//! The crash law: whatever operation everything stops at, and whatever is cut off or damaged, opening again finds
//! exactly a committed epoch or says what is wrong; never a mixture.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_change::Result;
use proptest::prelude::*;

use super::tests::{Rows, commit, rows};
use super::*;
use crate::files::lossy::{Fault, LossyFiles};

const FOLDER: &str = "/state";
const TABLES: u16 = 3;

/// Everything there is to see: the epoch and the rows of all tables.
type Seen = (u64, Vec<Rows>);

/// What happens in one epoch: for each table upserts and deletes of a few keys; and whether to merge afterwards.
#[derive(Clone, Debug)]
struct Step {
    changes: Vec<(u16, BTreeMap<u8, Option<i64>>)>,
    merge: bool,
}

fn steps(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let change = (0..TABLES, prop::collection::btree_map(0..12_u8, prop::option::weighted(0.7, any::<i64>()), 0..8));
    let changes = prop::collection::btree_map(change.clone().prop_map(|(table, _)| table), change, 0..4)
        .prop_map(|changes| changes.into_iter().map(|(table, (_, keys))| (table, keys)).collect());
    let step = (changes, prop::bool::weighted(0.2)).prop_map(|(changes, merge)| Step { changes, merge });
    prop::collection::vec(step, count)
}

fn name(key: u8) -> String {
    format!("key {key}")
}

fn to_commit(epoch: u64, step: &Step) -> Commit {
    let delta = |(table, keys): &(u16, BTreeMap<u8, Option<i64>>)| {
        let names: Vec<_> = keys.iter().map(|(key, value)| (name(*key), *value)).collect();
        let upserts: Vec<_> = names.iter().filter_map(|(key, value)| Some((key.as_str(), (*value)?))).collect();
        let deletes: Vec<_> = names.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()).collect();
        super::tests::delta(*table, &upserts, &deletes)
    };
    commit(epoch, step.changes.iter().map(delta).collect())
}

fn apply(seen: &Seen, step: &Step) -> Seen {
    let (epoch, mut tables) = seen.clone();
    for (table, keys) in &step.changes {
        for (key, value) in keys {
            match value {
                Some(value) => tables[usize::from(*table)].insert(name(*key).into_bytes(), *value),
                None => tables[usize::from(*table)].remove(name(*key).as_bytes()),
            };
        }
    }
    (epoch + 1, tables)
}

fn empty() -> Seen {
    (0, vec![Rows::new(); usize::from(TABLES)])
}

fn small_limits() -> Limits {
    Limits { log_ratio: 1, log_bytes_min: 8 << 10, log_records_max: 5, merge_bytes_max: 200, background: false }
}

/// Limits under which nothing is merged but on demand.
fn no_limits() -> Limits {
    Limits { log_bytes_min: u64::MAX, log_records_max: u64::MAX, ..small_limits() }
}

fn open(files: &LossyFiles, limits: Limits) -> Result<EpochFiles> {
    EpochFiles::open_with(Arc::new(files.clone()), Path::new(FOLDER), limits)
}

fn look(state: &mut EpochFiles) -> Result<Seen> {
    let epoch = state.committed().epoch.0;
    if epoch > 0 {
        assert_eq!(state.committed().positions, commit(epoch, vec![]).positions);
        assert_eq!(state.committed().receipts, commit(epoch, vec![]).receipts);
        assert_eq!(state.committed().notes, commit(epoch, vec![]).notes);
    }
    let tables = (0..TABLES).map(|number| rows(state, number)).collect::<Result<_>>()?;
    Ok((epoch, tables))
}

/// Commits step by step until something fails. Gives what was seen to be committed, and what the failed commit would
/// have made of it.
fn run(state: &mut EpochFiles, mut seen: Seen, steps: &[Step]) -> (Seen, Option<Seen>) {
    for step in steps {
        let next = apply(&seen, step);
        if state.commit(to_commit(next.0, step)).is_err() {
            return (seen, Some(next));
        }
        seen = next;
        if step.merge && state.start_merge().is_err() {
            return (seen, None);
        }
    }
    (seen, None)
}

/// A crash at every single operation of a run with commits and merges.
fn crash_everywhere(steps: &[Step], dice: u64) {
    for at in 1.. {
        let files = LossyFiles::default();
        files.plan(Some(Fault::Crash(at)));
        let (seen, attempted) = match open(&files, small_limits()) {
            Ok(mut state) => run(&mut state, empty(), steps),
            Err(_) => (empty(), None),
        };
        let finished = files.operations() < at;
        for dice in [dice, dice.rotate_left(17)] {
            let left = files.after_crash(dice.wrapping_add(at));
            // A second crash, while the first is being repaired.
            left.plan(Some(Fault::Crash(1 + dice % 7)));
            drop(open(&left, small_limits()));
            let left = left.after_crash(dice);
            let mut state = open(&left, small_limits()).unwrap();
            let found = look(&mut state).unwrap();
            assert!(found == seen || Some(&found) == attempted.as_ref(), "crash at {at}: {found:?}, not {seen:?}");
            let (after, failed) = run(&mut state, found, &steps[..2]);
            assert_eq!(failed, None);
            drop(state);
            let left = left.after_crash(dice);
            assert_eq!(look(&mut open(&left, small_limits()).unwrap()).unwrap(), after, "crash at {at}");
        }
        if finished {
            break;
        }
    }
}

/// A full disk at every single operation: the epoch before is intact and the commit succeeds later.
fn full_everywhere(steps: &[Step], count: u64) {
    for at in 1.. {
        let files = LossyFiles::default();
        let mut state = open(&files, small_limits()).unwrap();
        files.plan(Some(Fault::Full(at, count)));
        let mut seen = empty();
        for step in steps {
            let next = apply(&seen, step);
            let mut tries = 0;
            while let Err(error) = state.commit(to_commit(next.0, step)) {
                assert_eq!(error.code(), "state.write");
                assert!(error.hint_text().is_some());
                assert_eq!(look(&mut state).unwrap(), seen);
                if count == 1 {
                    // The commit took back what it had written before it failed.
                    let left = files.after_crash(at);
                    assert_eq!(look(&mut open(&left, small_limits()).unwrap()).unwrap(), seen);
                }
                tries += 1;
                assert!(tries <= count, "the disk has space again");
            }
            seen = next;
        }
        let left = files.after_crash(at);
        assert_eq!(look(&mut open(&left, small_limits()).unwrap()).unwrap(), seen, "full at {at}");
        if files.operations() < at {
            break;
        }
    }
}

/// Where a file was damaged.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Cut,
    Flip(u8),
}

/// What opening must find after damage at a byte of a file; `None` stands for an error.
fn after_damage(
    state: &EpochFiles,
    history: &[(u64, u64, Seen)],
    path: &Path,
    offset: u64,
    damage: Damage,
) -> Option<Seen> {
    let open_path = segment::path(Path::new(FOLDER), state.open.number);
    if path != open_path || offset < FIRST_RECORD {
        return None;
    }
    // Ends of the records of the open segment, and what was committed at its start.
    let before = history.iter().rfind(|(number, ..)| *number != state.open.number).map(|(.., seen)| seen.clone());
    let before = (FIRST_RECORD, before.unwrap_or_else(empty));
    let records = history.iter().filter(|(number, ..)| *number == state.open.number);
    let ends: Vec<_> = [before].into_iter().chain(records.map(|(_, end, seen)| (*end, seen.clone()))).collect();
    let (_, kept) = ends.iter().rfind(|(end, _)| *end <= offset)?;
    let in_last = ends.len() < 2 || ends[ends.len() - 2].0 <= offset;
    (matches!(damage, Damage::Cut) || in_last).then(|| kept.clone())
}

fn open_and_look(files: &LossyFiles) -> Result<Seen> {
    look(&mut open(files, no_limits())?)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn law_damage_is_never_a_mixture(
        steps in steps(1..12),
        file in any::<prop::sample::Index>(),
        offset in any::<prop::sample::Index>(),
        damage in prop_oneof![Just(Damage::Cut), (1..=255_u8).prop_map(Damage::Flip)],
    ) {
        let files = LossyFiles::default();
        let mut state = open(&files, no_limits()).unwrap();
        let mut history = Vec::new();
        let mut seen = empty();
        for step in &steps {
            seen = apply(&seen, step);
            state.commit(to_commit(seen.0, step)).unwrap();
            history.push((state.open.number, state.open.length, seen.clone()));
            if step.merge {
                state.start_merge().unwrap();
            }
        }
        let all = files.lengths();
        let (path, length): &(PathBuf, usize) = file.get(&all);
        let offset = offset.index(*length);
        files.damage(path, |bytes| match damage {
            Damage::Cut => bytes.truncate(offset),
            Damage::Flip(mask) => bytes[offset] ^= mask,
        });
        let expected = after_damage(&state, &history, path, offset as u64, damage);
        match (open_and_look(&files), expected) {
            (Ok(found), Some(expected)) => prop_assert_eq!(found, expected),
            (Err(error), None) => prop_assert!(["state.corrupt", "state.version"].contains(&error.code())),
            (found, expected) => prop_assert!(false, "found {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn law_merging_changes_nothing(steps in steps(1..20), budget in 1..2000_u64) {
        let files = LossyFiles::default();
        let mut state = open(&files, Limits { merge_bytes_max: budget, ..no_limits() }).unwrap();
        let mut seen = empty();
        for step in &steps {
            seen = apply(&seen, step);
            state.commit(to_commit(seen.0, step)).unwrap();
            if step.merge {
                state.start_merge().unwrap();
                prop_assert_eq!(state.sealed.len(), 1);
                let rows: u64 = state.sealed[0].sections.iter().map(|section| section.rows).sum();
                prop_assert_eq!(rows as usize, seen.1.iter().map(BTreeMap::len).sum::<usize>(), "garbage was kept");
            }
            prop_assert_eq!(&look(&mut state).unwrap(), &seen);
        }
        prop_assert_eq!(&open_and_look(&files).unwrap(), &seen);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn law_a_crash_leaves_a_whole_epoch(steps in steps(4..12), dice in any::<u64>()) {
        crash_everywhere(&steps, dice);
    }

    #[test]
    fn law_a_full_disk_costs_nothing_but_time(steps in steps(4..12), count in 1..5_u64) {
        full_everywhere(&steps, count);
    }
}
