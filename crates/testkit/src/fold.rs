//! The memory of a log: what is left when all changes are added up.
//!
//! The law: two logs mean the same when their folds are equal, whatever their batches, epochs and intermediate updates.

use std::collections::BTreeMap;

use headwater_change::{ChangeBatch, Error, Op, Result, notation};

/// The rows that came and did not go, with how often each is there: a Z-set without negative weights.
///
/// Rows are kept as their text in the notation, so that a difference can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory(BTreeMap<String, usize>);

impl Memory {
    /// Adds the changes of a batch, in order.
    ///
    /// Fails with [`headwater_change::ErrorKind::Data`] and code `testkit.fold` if a row goes that never came; the
    /// changes before it are kept.
    pub fn apply(&mut self, batch: &ChangeBatch) -> Result<()> {
        for index in 0..batch.len() {
            let (op, row) = (batch.op(index), notation::print_row(batch.rows(), index));
            if op.weight() > 0 {
                *self.0.entry(row).or_default() += 1;
                continue;
            }
            match self.0.get_mut(&row) {
                Some(1) => drop(self.0.remove(&row)),
                Some(count) => *count -= 1,
                None => return Err(never_came(batch, op, &row)),
            }
        }
        Ok(())
    }

    /// The rows as `1 | "a"`, sorted by that text, each as often as it is there.
    pub fn rows(&self) -> Vec<String> {
        self.0.iter().flat_map(|(row, count)| std::iter::repeat_n(row.clone(), *count)).collect()
    }
}

/// The rows that are left of a changelog with full images, as [`Memory::rows`] gives them.
///
/// Fails as [`Memory::apply`] does.
pub fn fold<'a>(batches: impl IntoIterator<Item = &'a ChangeBatch>) -> Result<Vec<String>> {
    let mut memory = Memory::default();
    for batch in batches {
        memory.apply(batch)?;
    }
    Ok(memory.rows())
}

/// The rows that are left of an upsert changelog whose key is the columns with these indices, sorted by text.
///
/// Images before an update are not needed; an insert of a key that is there replaces its row, as in Flink's upsert
/// mode. Fails with code `testkit.fold` on a delete of a key that is not there.
pub fn fold_upsert<'a>(batches: impl IntoIterator<Item = &'a ChangeBatch>, key: &[usize]) -> Result<Vec<String>> {
    let mut memory: BTreeMap<String, String> = BTreeMap::new();
    for batch in batches {
        let keys = batch.rows().project(key).map_err(|error| {
            Error::usage("testkit.key", format!("key columns {key:?} are not in the batch")).caused_by(error)
        })?;
        for index in 0..batch.len() {
            let (op, key) = (batch.op(index), notation::print_row(&keys, index));
            match op {
                Op::Insert | Op::UpdateAfter => {
                    memory.insert(key, notation::print_row(batch.rows(), index));
                }
                Op::UpdateBefore => {}
                Op::Delete => {
                    memory.remove(&key).ok_or_else(|| never_came(batch, op, &key))?;
                }
            }
        }
    }
    let mut rows: Vec<String> = memory.into_values().collect();
    rows.sort_unstable();
    Ok(rows)
}

fn never_came(batch: &ChangeBatch, op: Op, row: &str) -> Error {
    Error::data("testkit.fold", format!("{op} of a row of {} that never came: {row}", batch.table()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch;

    #[test]
    fn what_came_and_did_not_go_is_left_sorted_and_counted() {
        let first = batch("op | a Int64 | b Utf8\n+I | 2 | \"x\"\n+I | 1 | null\n+I | 2 | \"x\"\n+I | 3 | \"y\"");
        let second = batch("op | a Int64 | b Utf8\n-U | 1 | null\n+U | 1 | \"z\"\n-D | 3 | \"y\"");
        let rows = fold([&first, &second]).expect("every row came");
        assert_eq!(rows, ["1 | \"z\"", "2 | \"x\"", "2 | \"x\""]);
    }

    #[test]
    fn a_row_that_goes_before_it_came_is_an_error() {
        let error = fold([&batch("op | a Int64\n-D | 1\n+I | 1")]).expect_err("not there yet");
        assert_eq!(error.code(), "testkit.fold");
        assert_eq!(error.message(), "-D of a row of t that never came: 1");
    }

    #[test]
    fn an_upsert_log_is_folded_by_its_key() {
        let log = batch("op | v Utf8 | k Int64\n+I | \"a\" | 1\n+U | \"b\" | 1\n+I | \"c\" | 2\n-D | null | 2");
        assert_eq!(fold_upsert([&log], &[1]).expect("keys are there"), ["\"b\" | 1"]);
        let gone = batch("op | k Int64\n-D | 5");
        assert_eq!(fold_upsert([&gone], &[0]).expect_err("never came").code(), "testkit.fold");
        assert_eq!(fold_upsert([&gone], &[7]).expect_err("no such column").code(), "testkit.key");
    }
}
