//! [`ScriptedSource`]: a source that delivers what a test wrote down, cut as the test wants it.
//!
//! It keeps the law of a source: opened from any position that it gave, it delivers exactly the rows behind it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use headwater_change::{
    ChangeBatch, ChangelogMode, Error, Op, Place, Position, Read, Reader, Result, Run, Source, SourceDescription,
    TableId,
};

/// A source over a fixed log of one table, in one partition. A row's position is the number of rows up to its end.
///
/// The two images of an update are never torn: a cut or a transaction end between them moves behind them.
#[derive(Clone, Debug)]
pub struct ScriptedSource {
    script: Arc<Script>,
    partition: Arc<str>,
    mode: ChangelogMode,
    bounded: bool,
    /// Row counts behind which a delivery ends.
    cuts: BTreeSet<usize>,
    /// Row counts behind which a transaction ends.
    ends: BTreeSet<usize>,
}

#[derive(Debug)]
struct Script {
    table: TableId,
    rows: RecordBatch,
    ops: Vec<Op>,
}

impl Script {
    /// The number of rows at or behind `count` where no update is torn, at most all.
    fn whole(&self, count: usize) -> usize {
        let count = count.min(self.ops.len());
        let torn = count > 0 && self.ops.get(count - 1) == Some(&Op::UpdateBefore) && count < self.ops.len();
        if torn { count + 1 } else { count }
    }
}

impl ScriptedSource {
    /// A bounded source named `script` that delivers these batches as they are, each as one transaction. Append-only
    /// where all batches are, retracting otherwise.
    ///
    /// Fails with [`headwater_change::ErrorKind::Usage`] without batches or when their columns differ.
    pub fn new(batches: Vec<ChangeBatch>) -> Result<Self> {
        let Some(first) = batches.first() else {
            return Err(Error::usage("testkit.script", "a script needs a batch, if only for its columns"));
        };
        let rows = concat_batches(first.rows().schema_ref(), batches.iter().map(ChangeBatch::rows))
            .map_err(|error| Error::usage("testkit.script", "the batches' columns differ").caused_by(error))?;
        let ops = batches.iter().flat_map(|batch| (0..batch.len()).map(|index| batch.op(index))).collect();
        let append = batches.iter().all(|batch| batch.ops().is_none());
        let script = Script { table: first.table().clone(), rows, ops };
        let cuts: Vec<usize> = batches
            .iter()
            .scan(0, |sum, batch| {
                *sum += batch.len();
                Some(*sum)
            })
            .collect();
        let source = Self {
            script: Arc::new(script),
            partition: "script".into(),
            mode: if append { ChangelogMode::Append } else { ChangelogMode::Retract },
            bounded: true,
            cuts: BTreeSet::new(),
            ends: BTreeSet::new(),
        };
        Ok(source.recut(cuts.iter().copied(), cuts.iter().copied()))
    }

    /// The same log delivered in other batches and transactions: each ends behind so many rows. Counts that are out of
    /// range are clipped and both lists end with all rows, so random numbers will do.
    #[must_use]
    pub fn recut(
        &self,
        cuts: impl IntoIterator<Item = usize>,
        transaction_ends: impl IntoIterator<Item = usize>,
    ) -> Self {
        let all = self.script.ops.len();
        let whole = |counts: &mut dyn Iterator<Item = usize>| {
            counts.chain([all]).map(|count| self.script.whole(count)).filter(|count| *count > 0).collect()
        };
        let (cuts, ends) = (whole(&mut cuts.into_iter()), whole(&mut transaction_ends.into_iter()));
        Self { cuts, ends, ..self.clone() }
    }

    /// The same log in a partition of this name.
    #[must_use]
    pub fn partition(mut self, name: &str) -> Self {
        self.partition = name.into();
        self
    }

    /// The same log declared to carry other changes.
    #[must_use]
    pub fn mode(mut self, mode: ChangelogMode) -> Self {
        self.mode = mode;
        self
    }

    /// The same log without an end: it idles behind its last row.
    #[must_use]
    pub fn unbounded(mut self) -> Self {
        self.bounded = false;
        self
    }

    /// Number of rows of the log.
    pub fn len(&self) -> usize {
        self.script.ops.len()
    }

    /// Whether the log has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position behind `count` rows.
    pub fn position(&self, count: usize) -> Position {
        Position::new(Arc::clone(&self.partition), count.to_string(), count as u64)
    }

    /// How many rows lie before a position.
    fn rows_before(&self, position: &Position) -> Result<usize> {
        let count = usize::try_from(position.ordinal).ok().filter(|count| *count <= self.len());
        match count {
            Some(count) if self.position(count) == *position && self.script.whole(count) == count => Ok(count),
            _ => Err(Error::fenced("testkit.position", "the script has no such position")
                .at(Place::Position(position.to_string()))),
        }
    }
}

impl Source for ScriptedSource {
    fn describe(&self) -> SourceDescription {
        SourceDescription { schema: self.script.rows.schema(), mode: self.mode.clone(), bounded: self.bounded }
    }

    fn open(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        let at = match from {
            [] => 0,
            [position] => self.rows_before(position)?,
            _ => return Err(Error::fenced("testkit.position", "a script has one partition")),
        };
        Ok(Box::new(ScriptedReader { source: self.clone(), at }))
    }
}

struct ScriptedReader {
    source: ScriptedSource,
    at: usize,
}

impl Reader for ScriptedReader {
    fn next(&mut self, budget: usize, _wait: Duration) -> Result<Read> {
        let (start, source) = (self.at, &self.source);
        let script = &source.script;
        let Some(cut) = source.cuts.range(start + 1..).next() else {
            return Ok(match source.bounded {
                true => Read::End,
                false => Read::Idle((start > 0).then(|| source.position(start))),
            });
        };
        let row_bytes = (script.rows.get_array_memory_size() / source.len().max(1)).max(1);
        let end = script.whole((*cut).min(start.saturating_add((budget / row_bytes).max(1))));
        self.at = end;

        let rows = script.rows.slice(start, end - start);
        let ops = script.ops.get(start..end).unwrap_or_default();
        let batch = match source.mode {
            ChangelogMode::Append => ChangeBatch::insert_only(script.table.clone(), rows),
            _ => ChangeBatch::new(script.table.clone(), rows, ops)?,
        };
        let runs = (start + 1..=end).filter(|count| script.whole(*count) == *count).map(|count| Run {
            end: count - start,
            position: source.position(count),
            ends_transaction: source.ends.contains(&count),
        });
        Ok(Read::Rows(batch.with_runs(runs.collect())?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{batch, fold};

    const WAIT: Duration = Duration::ZERO;

    fn script() -> ScriptedSource {
        let first = batch("op | a Int64\n+I | 1\n+I | 2\n-U | 1\n+U | 3");
        let second = batch("op | a Int64\n-D | 2\n+I | 4");
        ScriptedSource::new(vec![first, second]).expect("same columns")
    }

    /// Everything behind `from`.
    fn drain(source: &ScriptedSource, from: &[Position], budget: usize) -> Vec<ChangeBatch> {
        let mut reader = source.open(from).expect("opens");
        let mut batches = Vec::new();
        while let Read::Rows(batch) = reader.next(budget, WAIT).expect("reads") {
            batches.push(batch);
        }
        batches
    }

    fn ends(batches: &[ChangeBatch]) -> Vec<(u64, bool)> {
        let runs = batches.iter().flat_map(ChangeBatch::runs);
        runs.map(|run| (run.position.ordinal, run.ends_transaction)).collect()
    }

    #[test]
    fn batches_come_as_written_each_one_transaction() {
        let batches = drain(&script(), &[], usize::MAX);
        assert_eq!(batches.iter().map(ChangeBatch::len).collect::<Vec<_>>(), [4, 2]);
        assert_eq!(
            ends(&batches),
            [(1, false), (2, false), (4, true), (5, false), (6, true)],
            "no end inside an update"
        );
        assert_eq!(script().describe().mode, ChangelogMode::Retract);
    }

    #[test]
    fn an_unbounded_script_idles_where_it_stands() {
        let source = script().unbounded().partition("p");
        let mut reader = source.open(&[source.position(6)]).expect("opens behind the last row");
        match reader.next(usize::MAX, WAIT).expect("reads") {
            Read::Idle(position) => assert_eq!(position.map(|p| p.to_string()).as_deref(), Some("p@6#6")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn positions_that_it_never_gave_are_fenced() {
        let source = script();
        for position in [source.position(3), source.position(7), Position::new("other", "1", 1)] {
            let error = source.open(std::slice::from_ref(&position)).err().expect("refused");
            assert_eq!((error.kind(), error.code()), (headwater_change::ErrorKind::Fenced, "testkit.position"));
        }
    }

    #[test]
    fn scripts_of_different_columns_are_refused() {
        let batches = vec![batch("op | a Int64\n+I | 1"), batch("op | a Utf8\n+I | \"1\"")];
        assert_eq!(ScriptedSource::new(batches).expect_err("refused").code(), "testkit.script");
        assert_eq!(ScriptedSource::new(vec![]).expect_err("refused").code(), "testkit.script");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn cuts_and_resumed_reads_change_nothing_that_is_folded(
            cuts in prop::collection::vec(0..9_usize, 0..6),
            transactions in prop::collection::vec(0..9_usize, 0..6),
            budget in prop_oneof![Just(1), Just(64), Just(usize::MAX)],
        ) {
            let source = script().recut(cuts, transactions);
            let batches = drain(&source, &[], budget);
            prop_assert_eq!(fold(&batches).expect("consistent"), fold(&drain(&script(), &[], usize::MAX)).expect("consistent"));
            for batch in &batches {
                prop_assert_ne!(batch.op(0), Op::UpdateAfter, "no update is torn");
            }
            let all = ends(&batches);
            prop_assert_eq!(all.last(), Some(&(6, true)), "the log ends with a transaction");
            for (seen, run) in batches.iter().flat_map(ChangeBatch::runs).enumerate() {
                let rest = drain(&source, std::slice::from_ref(&run.position), budget);
                prop_assert_eq!(&ends(&rest)[..], &all[seen + 1..], "exactly what is behind the position");
            }
        }
    }
}
