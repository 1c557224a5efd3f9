//! Transactions into batches: small ones are put together with a run each, one above the limit comes in parts of which
//! only the last ends it.

use headwater_change::{ChangeBatch, Op, Position, Result, Run, TableId};

use crate::position::LogPlace;
use crate::queue::Message;
use crate::rows::build::Builders;

/// About how large a batch becomes.
pub(crate) const BATCH_BYTES: usize = 2 << 20;

pub(crate) struct Batcher {
    table: TableId,
    pub(crate) builders: Builders,
    pub(crate) ops: Vec<Op>,
    runs: Vec<Run>,
    /// Ordinal at the last transaction end.
    ordinal: u64,
    /// Rows of the open transaction that were handed over already.
    handed_rows: usize,
    moved: Option<Position>,
}

impl Batcher {
    pub(crate) fn new(table: TableId, builders: Builders, ordinal: u64) -> Self {
        Self { table, builders, ops: Vec::new(), runs: Vec::new(), ordinal, handed_rows: 0, moved: None }
    }

    fn closed_rows(&self) -> usize {
        self.runs.last().map_or(0, |run| run.end)
    }

    pub(crate) fn open_rows(&self) -> usize {
        self.builders.rows() - self.closed_rows()
    }

    /// Rows of the open transaction that were handed over already, also before an interruption.
    pub(crate) fn handed_rows(&self) -> usize {
        self.handed_rows
    }

    /// A transaction ends here; `place` is behind it.
    pub(crate) fn end_transaction(&mut self, place: &LogPlace) {
        let open = self.open_rows();
        self.ordinal += (self.handed_rows + open) as u64 + 1;
        let position = place.position(self.ordinal);
        if open > 0 || self.handed_rows > 0 && self.runs.is_empty() {
            self.handed_rows = 0;
            self.runs.push(Run { end: self.builders.rows(), position, ends_transaction: true });
        } else if let Some(run) = self.runs.last_mut() {
            // A transaction without wanted rows moves the end of the one before.
            run.position = position;
        } else {
            self.moved = Some(position);
        }
    }

    /// The position of a place that is the last transaction's end.
    pub(crate) fn here(&self, place: &LogPlace) -> Position {
        place.position(self.ordinal)
    }

    /// Ends the snapshot: its rows are one transaction.
    pub(crate) fn end_snapshot(&mut self, place: &LogPlace) {
        self.end_transaction(place);
    }

    /// Whether there is enough for a batch.
    pub(crate) fn is_full(&self) -> bool {
        self.builders.bytes() >= BATCH_BYTES
    }

    /// Whether whole transactions wait, and no open one is in their way.
    pub(crate) fn can_flush(&self) -> bool {
        self.open_rows() == 0 && (!self.runs.is_empty() || self.moved.is_some())
    }

    /// Everything there is. Rows of an open transaction become a run that does not end it, at the position `before`.
    pub(crate) fn flush(&mut self, before: &str) -> Result<Option<Message>> {
        let open = self.open_rows();
        if open > 0 {
            self.handed_rows += open;
            let position = Position::new(crate::position::PARTITION, before, self.ordinal + self.handed_rows as u64);
            self.runs.push(Run { end: self.builders.rows(), position, ends_transaction: false });
        }
        self.take(usize::MAX)
    }

    /// The whole transactions; rows of an open one that were not handed over are forgotten, because the log will bring
    /// them again.
    pub(crate) fn give_up_open(&mut self) -> Result<Option<Message>> {
        self.take(self.closed_rows())
    }

    fn take(&mut self, keep: usize) -> Result<Option<Message>> {
        let bytes = self.builders.bytes();
        let runs = std::mem::take(&mut self.runs);
        let mut ops = std::mem::take(&mut self.ops);
        if runs.is_empty() && self.builders.rows() > 0 {
            self.builders.finish()?;
        }
        if runs.is_empty() {
            return Ok(self.moved.take().map(Message::Moved));
        }
        // Without rows it is the end of a transaction all of whose rows were handed over: an end is never a mere move.
        self.moved = None;
        let rows = self.builders.finish()?;
        let keep = keep.min(rows.num_rows());
        ops.truncate(keep);
        let batch = if ops.is_empty() {
            ChangeBatch::insert_only(self.table.clone(), rows.slice(0, keep))
        } else {
            ChangeBatch::new(self.table.clone(), rows.slice(0, keep), ops)?
        };
        Ok(Some(Message::Rows(batch.with_runs(runs)?, bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn batcher() -> Batcher {
        let schema = Arc::new(Schema::new(vec![Field::new("s", DataType::Utf8, false)]));
        Batcher::new(TableId::bare("t"), Builders::new(schema).expect("a known type"), 7)
    }

    fn row(batcher: &mut Batcher) {
        batcher.builders.append_text(0, "x").expect("a text");
        batcher.builders.end_row();
        batcher.ops.push(Op::Insert);
    }

    fn place(offset: u64) -> LogPlace {
        LogPlace { file: "b.1".into(), offset, gtids: None }
    }

    /// Rows, and for each run its end, whether it ends the transaction, and the ordinal.
    fn rows(message: Option<Message>) -> (usize, Vec<(usize, bool, u64)>) {
        let Some(Message::Rows(batch, _)) = message else { panic!("no rows") };
        (batch.len(), batch.runs().iter().map(|run| (run.end, run.ends_transaction, run.position.ordinal)).collect())
    }

    #[test]
    fn a_transaction_whose_rows_were_all_handed_over_still_ends() {
        let mut batcher = batcher();
        row(&mut batcher);
        assert_eq!(rows(batcher.flush("b.1:4").expect("a batch")), (1, vec![(1, false, 8)]));
        batcher.end_transaction(&place(9));
        assert!(batcher.can_flush());
        assert_eq!(rows(batcher.flush("b.1:9").expect("a batch")), (0, vec![(0, true, 9)]));
        // The next transaction does not inherit anything.
        row(&mut batcher);
        batcher.end_transaction(&place(20));
        assert_eq!(rows(batcher.flush("b.1:20").expect("a batch")), (1, vec![(1, true, 11)]));
    }

    #[test]
    fn a_transaction_without_wanted_rows_is_a_mere_move() {
        let mut batcher = batcher();
        batcher.end_transaction(&place(9));
        let message = batcher.flush("b.1:9").expect("a message");
        assert!(matches!(message, Some(Message::Moved(position)) if position.ordinal == 8));
    }
}
