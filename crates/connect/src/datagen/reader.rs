//! Reading what is generated, at its rate.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use headwater_change::{
    ChangeBatch, ChangelogMode, Clock, Error, Position, Read, Reader, Result, Run, Source, SourceDescription,
    TableRequest,
};

use super::field::Generator;
use crate::column::Column;

/// Rows of a batch at most.
const BATCH_ROWS: u64 = 8192;
/// What a value is taken to need in a batch.
const VALUE_BYTES: usize = 32;
const PARTITION: &str = "datagen";

/// A table of generated rows.
pub(crate) struct DatagenSource {
    pub(super) request: TableRequest,
    pub(super) generators: Vec<Generator>,
    /// Rows a second.
    pub(super) rate: u64,
    /// How many rows there are; endless without.
    pub(super) rows: Option<u64>,
    pub(super) seed: u64,
    pub(super) clock: Arc<dyn Clock>,
}

impl Source for DatagenSource {
    fn describe(&self) -> SourceDescription {
        SourceDescription {
            schema: Arc::clone(&self.request.schema),
            mode: ChangelogMode::Append,
            bounded: self.rows.is_some(),
        }
    }

    fn open(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        let first = from.iter().find(|position| &*position.partition == PARTITION).map_or(0, |at| at.ordinal);
        let columns =
            self.request.schema.fields().iter().map(|field| Column::new(field.data_type())).collect::<Result<_>>()?;
        Ok(Box::new(DatagenReader {
            request: self.request.clone(),
            generators: self.generators.clone(),
            columns,
            rate: self.rate,
            rows: self.rows,
            seed: self.seed,
            clock: Arc::clone(&self.clock),
            first,
            next: first,
            started: None,
        }))
    }
}

struct DatagenReader {
    request: TableRequest,
    generators: Vec<Generator>,
    columns: Vec<Column>,
    rate: u64,
    rows: Option<u64>,
    seed: u64,
    clock: Arc<dyn Clock>,
    /// The first row of this reader and the next one.
    first: u64,
    next: u64,
    started: Option<i64>,
}

impl DatagenReader {
    /// The row up to which the rate allows to go now. The first row comes at once.
    fn allowed(&mut self) -> u64 {
        let now = self.clock.ticks();
        let started = *self.started.get_or_insert(now);
        let passed = u128::try_from(now.saturating_sub(started)).unwrap_or(0);
        let rows = u64::try_from(passed * u128::from(self.rate) / 1000).unwrap_or(u64::MAX).saturating_add(1);
        self.first.saturating_add(rows)
    }

    fn make(&mut self, end: u64) -> Result<Read> {
        let now = self.clock.now_millis();
        for (generator, column) in self.generators.iter().zip(&mut self.columns) {
            for row in self.next..end {
                generator.append(self.seed, row, now, column)?;
            }
        }
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let count = usize::try_from(end - self.next).unwrap_or(0);
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows =
            RecordBatch::try_new_with_options(Arc::clone(&self.request.schema), arrays, &options).map_err(|error| {
                Error::data("datagen.null", "a column that is NOT NULL has a null-rate").caused_by(error)
            })?;
        self.next = end;
        let run = Run { end: count, position: Position::new(PARTITION, end.to_string(), end), ends_transaction: true };
        Ok(Read::Rows(ChangeBatch::insert_only(self.request.table.clone(), rows).with_runs(vec![run])?))
    }
}

impl Reader for DatagenReader {
    fn next(&mut self, budget: usize, wait: Duration) -> Result<Read> {
        let last = self.rows.unwrap_or(u64::MAX);
        if self.next >= last {
            return Ok(Read::End);
        }
        let fits = u64::try_from(budget / (VALUE_BYTES * self.columns.len().max(1))).unwrap_or(BATCH_ROWS);
        let most = self.next.saturating_add(fits.clamp(1, BATCH_ROWS)).min(last);
        let mut end = self.allowed().min(most);
        if end <= self.next {
            let behind = self.next.saturating_sub(self.first).saturating_add(1);
            let due = u128::from(behind) * 1000 / u128::from(self.rate);
            let passed = self.started.map_or(0, |started| self.clock.ticks().saturating_sub(started));
            let left = u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(u64::try_from(passed).unwrap_or(0));
            std::thread::park_timeout(wait.min(Duration::from_millis(left.max(1))));
            end = self.allowed().min(most);
        }
        if end <= self.next { Ok(Read::Idle(None)) } else { self.make(end) }
    }
}
