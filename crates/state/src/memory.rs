//! [`MemoryBackend`]: a pipeline without a state folder.

use arrow::array::{BinaryArray, RecordBatch};
use headwater_change::{Owner, Result};

use crate::{Backend, Commit, Committed, Delta, TableKey};

/// Remembers what was committed as long as the process lives.
///
/// Without a folder nobody can come back, and operators hold their rows themselves: so rows are forgotten by default
/// and memory stays flat. [`MemoryBackend::keeping_rows`] keeps them, for tests that restart inside one process.
#[derive(Clone, Debug)]
pub struct MemoryBackend {
    owner: Owner,
    committed: Committed,
    rows: Option<Vec<Delta>>,
}

impl MemoryBackend {
    /// A backend that forgets rows; [`Backend::restore`] visits nothing.
    pub fn new() -> Self {
        Self { owner: Owner::new(false), committed: Committed::default(), rows: None }
    }

    /// A backend that keeps every delta ever committed, and so grows.
    pub fn keeping_rows() -> Self {
        Self { rows: Some(Vec::new()), ..Self::new() }
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for MemoryBackend {
    fn owner(&self) -> Owner {
        self.owner.clone()
    }

    fn committed(&self) -> &Committed {
        &self.committed
    }

    fn restore(
        &mut self,
        table: TableKey,
        visit: &mut dyn FnMut(&RecordBatch, &BinaryArray) -> Result<()>,
    ) -> Result<()> {
        let deltas = self.rows.iter().flatten().filter(|delta| delta.table == table);
        deltas.into_iter().try_for_each(|delta| visit(&delta.upserts, &delta.deletes))
    }

    fn commit(&mut self, commit: Commit) -> Result<()> {
        commit.check(self.committed.epoch)?;
        let Commit { epoch, deltas, positions, receipts, notes } = commit;
        if let Some(rows) = &mut self.rows {
            rows.extend(deltas);
        }
        self.committed = Committed { epoch, positions, receipts, notes };
        Ok(())
    }
}
