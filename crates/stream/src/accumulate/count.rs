//! `COUNT`: rows, or rows with an argument.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use headwater_change::Result;

use super::{Accumulator, Updates, misshapen};

/// Counts per group. Never NULL.
#[derive(Default)]
pub(crate) struct Count {
    counts: Vec<i64>,
}

impl Accumulator for Count {
    fn grow(&mut self, slots: usize) {
        self.counts.resize(slots, 0);
    }

    fn update(&mut self, updates: &Updates<'_>) -> Result<()> {
        let counts = &mut self.counts;
        updates.visit(|_, slot, weight| counts[slot] += weight);
        Ok(())
    }

    fn output(&self, slots: &[u32]) -> Result<ArrayRef> {
        Ok(gather(&self.counts, slots))
    }

    fn clear(&mut self, slot: u32, _key: &[u8]) {
        self.counts[slot as usize] = 0;
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![gather(&self.counts, slots)])
    }

    fn restore(&mut self, slots: &[u32], state: &[ArrayRef]) -> Result<()> {
        scatter(&mut self.counts, slots, state.first())
    }
}

/// The counts of slots as a column.
pub(crate) fn gather(counts: &[i64], slots: &[u32]) -> ArrayRef {
    Arc::new(slots.iter().map(|&slot| counts[slot as usize]).collect::<Int64Array>())
}

/// Sets the counts of slots from a stored column.
pub(crate) fn scatter(counts: &mut [i64], slots: &[u32], column: Option<&ArrayRef>) -> Result<()> {
    let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>()).ok_or_else(misshapen)?;
    for (&slot, &count) in slots.iter().zip(column.values()) {
        counts[slot as usize] = count;
    }
    Ok(())
}
