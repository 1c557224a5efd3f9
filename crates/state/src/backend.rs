//! The seam of durable state: what an epoch brings ([`Commit`]), what a restart finds ([`Committed`], [`Delta`]s), and
//! the [`Backend`] between them.
//!
//! The law of a backend: an epoch is there as a whole or not at all. Operator state, source positions and sink
//! receipts of one epoch are one atomic write.

use std::collections::BTreeMap;

use arrow::array::{Array, BinaryArray, RecordBatch};
use arrow::datatypes::DataType;
use headwater_change::{Epoch, Error, Owner, Position, Receipt, Result};

/// Which keyed table of which operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableKey {
    /// Number of the plan node.
    pub operator: u32,
    /// The operator's own numbering of its tables.
    pub table: u16,
}

/// What changed in one keyed table during one epoch.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The table.
    pub table: TableKey,
    /// Rows that are new or changed. Column 0 is the key (`Binary`, no NULL, unique within the delta), the other
    /// columns are the values; the schema of a table stays the same for the life of the state.
    pub upserts: RecordBatch,
    /// Keys of rows that are gone; no NULL, none of them in `upserts`.
    pub deletes: BinaryArray,
}

impl Delta {
    /// Checks what can be checked without looking at rows.
    pub(crate) fn check(&self) -> Result<()> {
        let key = self.upserts.columns().first();
        if key.is_none_or(|key| key.data_type() != &DataType::Binary || key.null_count() > 0) {
            return Err(Error::bug("state.delta_shape", "column 0 of a delta is not a binary key without nulls")
                .detail(format!("{:?} has the schema {:?}", self.table, self.upserts.schema())));
        }
        if self.deletes.null_count() > 0 {
            return Err(Error::bug("state.delta_shape", "a deleted key is null").detail(format!("{:?}", self.table)));
        }
        Ok(())
    }
}

/// Everything that becomes durable together. Positions, receipts and notes replace those of the epoch before.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Greater than every epoch committed before.
    pub epoch: Epoch,
    /// Several of one table have no key in common.
    pub deltas: Vec<Delta>,
    /// Where each source (by the number of its plan node) goes on after this epoch.
    pub positions: Vec<(u32, Position)>,
    /// What each sink (by the number of its plan node) needs to publish this epoch.
    pub receipts: Vec<(u32, Receipt)>,
    /// Small facts that belong to no operator: watermarks, the fingerprint of the plan.
    pub notes: BTreeMap<String, Vec<u8>>,
}

impl Commit {
    /// Checks the epoch's order and the shapes of the deltas.
    pub(crate) fn check(&self, committed: Epoch) -> Result<()> {
        if self.epoch <= committed {
            return Err(Error::bug(
                "state.epoch_order",
                format!("epoch {} cannot follow epoch {committed}", self.epoch),
            ));
        }
        self.deltas.iter().try_for_each(Delta::check)
    }
}

/// What was last committed, without the tables' rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The last committed epoch; 0 when nothing was committed yet.
    pub epoch: Epoch,
    /// Where each source goes on.
    pub positions: Vec<(u32, Position)>,
    /// What each sink publishes again after a crash.
    pub receipts: Vec<(u32, Receipt)>,
    /// Small facts that belong to no operator.
    pub notes: BTreeMap<String, Vec<u8>>,
}

/// Durable keyed state of one pipeline.
pub trait Backend: Send {
    /// Whose state this is. Made with the state, kept with it, and copied with it.
    fn owner(&self) -> Owner;

    /// What was last committed; epoch 0 when the state is new.
    fn committed(&self) -> &Committed;

    /// Gives every live row of a table: `visit(upserts, deletes)` in commit order, where a later call overrides what
    /// an earlier one said of the same key. A table that was never committed is never visited.
    ///
    /// Fails with `state.corrupt` when what was stored cannot be read back as it was written, `state.read` when the
    /// disk fails, or with the visitor's own error.
    fn restore(
        &mut self,
        table: TableKey,
        visit: &mut dyn FnMut(&RecordBatch, &BinaryArray) -> Result<()>,
    ) -> Result<()>;

    /// Makes an epoch durable. It is atomic and on disk when this returns `Ok`; on `Err` nothing of it will be seen
    /// and a later commit may succeed.
    ///
    /// Fails with `state.write` when the disk fails or is full, `state.epoch_order` and `state.delta_shape` when the
    /// commit breaks its own rules.
    fn commit(&mut self, commit: Commit) -> Result<()>;
}
