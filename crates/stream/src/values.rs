//! Rows that stand in the query itself: read once, like a bounded source.

use std::time::Duration;

use arrow::array::RecordBatch;
use headwater_change::{ChangeBatch, Position, Read, Reader, Result, Run, TableId};

/// Gives the rows of a `VALUES` node once.
pub(crate) struct ValuesReader {
    rows: Option<RecordBatch>,
}

impl ValuesReader {
    /// A reader behind `from`: where there is a position, the rows were read.
    pub(crate) fn new(rows: &RecordBatch, from: &[Position]) -> Self {
        Self { rows: (from.is_empty() && rows.num_rows() > 0).then(|| rows.clone()) }
    }
}

impl Reader for ValuesReader {
    fn next(&mut self, _budget: usize, _wait: Duration) -> Result<Read> {
        let Some(rows) = self.rows.take() else { return Ok(Read::End) };
        let count = rows.num_rows();
        let position = Position::new("values", count.to_string(), count as u64);
        let run = Run { end: count, position, ends_transaction: true };
        Ok(Read::Rows(ChangeBatch::insert_only(TableId::bare("values"), rows).with_runs(vec![run])?))
    }
}
