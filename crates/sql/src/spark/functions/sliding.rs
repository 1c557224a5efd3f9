//! Aggregates over rows that leave: the rows of the frame are kept, and a result is computed from all of them, as Spark
//! does it, so that no rounding of earlier rows stays behind.

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

/// The rows of a frame, and how an accumulator over them begins.
pub(crate) struct Sliding<F> {
    begin: F,
    rows: VecDeque<Vec<ArrayRef>>,
}

impl<F> Sliding<F> {
    pub(crate) fn new(begin: F) -> Self {
        Self { begin, rows: VecDeque::new() }
    }
}

impl<F> std::fmt::Debug for Sliding<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sliding({} rows)", self.rows.len())
    }
}

impl<F: Fn() -> Result<Box<dyn Accumulator>> + Send + Sync + 'static> Sliding<F> {
    fn whole(&self) -> Result<Box<dyn Accumulator>> {
        let mut found = (self.begin)()?;
        let width = self.rows.front().map_or(0, Vec::len);
        let column = |index: usize| {
            let cells: Vec<&dyn Array> = self.rows.iter().filter_map(|row| Some(row.get(index)?.as_ref())).collect();
            concat(&cells)
        };
        if !self.rows.is_empty() {
            found.update_batch(&(0..width).map(column).collect::<std::result::Result<Vec<_>, _>>()?)?;
        }
        Ok(found)
    }
}

impl<F: Fn() -> Result<Box<dyn Accumulator>> + Send + Sync + 'static> Accumulator for Sliding<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |first| first.len());
        self.rows.extend((0..rows).map(|row| values.iter().map(|column| column.slice(row, 1)).collect()));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |first| first.len()).min(self.rows.len());
        self.rows.drain(..rows);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.whole()?.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.len() * 64
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.whole()?.state()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        datafusion::common::exec_err!("a frame of a window has no parts")
    }
}
