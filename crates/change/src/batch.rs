//! [`ChangeBatch`]: the only thing that flows.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::{Error, Position, Result, TableId};

/// What happened to a row. The short forms are Flink's row kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// `+I`: the row is new.
    Insert = 0,
    /// `-U`: the row as it was; followed at once by its [`Op::UpdateAfter`] with the same key.
    UpdateBefore = 1,
    /// `+U`: the row as it is now.
    UpdateAfter = 2,
    /// `-D`: the row is gone.
    Delete = 3,
}

impl Op {
    /// All four, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Insert, Self::UpdateBefore, Self::UpdateAfter, Self::Delete];

    /// `+I`, `-U`, `+U` or `-D`.
    pub fn short(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }

    /// The op of a short form.
    pub fn from_short(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.short() == text)
    }

    /// +1 for rows that come, -1 for rows that go: the weight of the row in a Z-set.
    pub fn weight(self) -> i64 {
        match self {
            Self::Insert | Self::UpdateAfter => 1,
            Self::UpdateBefore | Self::Delete => -1,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.short())
    }
}

/// A stretch of rows of a batch that ends at one position of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index behind the run's last row.
    pub end: usize,
    /// Where a reader goes on after this run.
    pub position: Position,
    /// Whether a source transaction ends here. An epoch may end only where this is true.
    pub ends_transaction: bool,
}

/// Rows of one table in one schema version, with what happened to each.
///
/// * An [`Op::UpdateBefore`] is followed at once by its [`Op::UpdateAfter`] with the same key.
/// * An append-only batch carries no ops; [`ChangeBatch::op`] then answers [`Op::Insert`].
/// * Columns that a partial row image does not have are missing from the batch's schema, never NULL in it.
/// * `runs` maps rows back to source positions; batches made by operators have none.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeBatch {
    table: TableId,
    rows: RecordBatch,
    ops: Option<Arc<[Op]>>,
    runs: Vec<Run>,
}

impl ChangeBatch {
    /// An append-only batch.
    pub fn insert_only(table: TableId, rows: RecordBatch) -> Self {
        Self { table, rows, ops: None, runs: Vec::new() }
    }

    /// A batch with one op per row. Fails with [`crate::ErrorKind::Bug`] when the lengths differ.
    pub fn new(table: TableId, rows: RecordBatch, ops: impl Into<Arc<[Op]>>) -> Result<Self> {
        let ops = ops.into();
        if ops.len() != rows.num_rows() {
            return Err(Error::bug("change.ops_length", format!("{} ops for {} rows", ops.len(), rows.num_rows())));
        }
        Ok(Self { table, rows, ops: Some(ops), runs: Vec::new() })
    }

    /// The same batch with its source positions. Fails when the runs do not cover the rows in order.
    pub fn with_runs(mut self, runs: Vec<Run>) -> Result<Self> {
        let ordered = runs.windows(2).all(|pair| pair[0].end <= pair[1].end);
        if !ordered || runs.last().is_some_and(|run| run.end != self.rows.num_rows()) {
            return Err(Error::bug("change.runs", "runs do not cover the rows in order"));
        }
        self.runs = runs;
        Ok(self)
    }

    /// The table that the rows belong to.
    pub fn table(&self) -> &TableId {
        &self.table
    }

    /// The rows; for an update both images.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// One op per row, or `None` for an append-only batch.
    pub fn ops(&self) -> Option<&Arc<[Op]>> {
        self.ops.as_ref()
    }

    /// What happened to the row at `index`.
    pub fn op(&self, index: usize) -> Op {
        self.ops.as_ref().and_then(|ops| ops.get(index).copied()).unwrap_or(Op::Insert)
    }

    /// Source positions, ordered by row; empty for batches made by operators.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same ops and positions over other columns with the same number of rows.
    pub fn with_rows(&self, rows: RecordBatch) -> Result<Self> {
        if rows.num_rows() != self.len() {
            return Err(Error::bug("change.rows_length", format!("{} rows became {}", self.len(), rows.num_rows())));
        }
        Ok(Self { table: self.table.clone(), rows, ops: self.ops.clone(), runs: self.runs.clone() })
    }
}
