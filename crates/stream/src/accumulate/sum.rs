//! `SUM` of integers, which keeps their type and wraps (Flink's rule), and `SUM` and `AVG` of floats.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, Float64Array, PrimitiveArray, downcast_integer};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float64Type};
use headwater_change::{Error, Result};

use super::count::{gather, scatter};
use super::{Accumulator, Updates, misshapen};

/// A sum of integers of this type.
pub(crate) fn integer(kind: &DataType) -> Result<Box<dyn Accumulator>> {
    macro_rules! build {
        ($type:ty) => {
            Ok(Box::new(IntegerSum::<$type> { sums: Vec::new(), counts: Vec::new() }))
        };
    }
    downcast_integer! {
        kind => (build),
        other => Err(Error::bug("stream.sum_type", format!("a sum of {other}")))
    }
}

/// Wrapping sums with the number of values under each.
struct IntegerSum<T: ArrowPrimitiveType> {
    sums: Vec<T::Native>,
    counts: Vec<i64>,
}

impl<T: ArrowPrimitiveType> IntegerSum<T> {
    fn column(&self, slots: &[u32]) -> ArrayRef {
        let values = slots.iter().map(|&slot| self.sums[slot as usize]);
        let valid = NullBuffer::from_iter(slots.iter().map(|&slot| self.counts[slot as usize] != 0));
        Arc::new(PrimitiveArray::<T>::new(values.collect(), Some(valid)))
    }
}

impl<T: ArrowPrimitiveType> Accumulator for IntegerSum<T> {
    fn grow(&mut self, slots: usize) {
        self.sums.resize(slots, T::Native::ZERO);
        self.counts.resize(slots, 0);
    }

    fn update(&mut self, updates: &Updates<'_>) -> Result<()> {
        let values = updates.argument()?.as_primitive_opt::<T>().ok_or_else(misshapen)?.values();
        let Self { sums, counts } = self;
        updates.visit(|row, slot, weight| {
            counts[slot] += weight;
            let sum = sums[slot];
            sums[slot] = if weight > 0 { sum.add_wrapping(values[row]) } else { sum.sub_wrapping(values[row]) };
        });
        Ok(())
    }

    fn output(&self, slots: &[u32]) -> Result<ArrayRef> {
        Ok(self.column(slots))
    }

    fn clear(&mut self, slot: u32, _key: &[u8]) {
        self.sums[slot as usize] = T::Native::ZERO;
        self.counts[slot as usize] = 0;
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![T::DATA_TYPE, DataType::Int64]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.column(slots), gather(&self.counts, slots)])
    }

    fn restore(&mut self, slots: &[u32], state: &[ArrayRef]) -> Result<()> {
        let sums = state.first().and_then(|column| column.as_primitive_opt::<T>()).ok_or_else(misshapen)?;
        for (&slot, &sum) in slots.iter().zip(sums.values()) {
            self.sums[slot as usize] = sum;
        }
        scatter(&mut self.counts, slots, state.get(1))
    }
}

/// Sums of floats in 64 bits, for `SUM` and `AVG`.
pub(crate) struct FloatSum {
    sums: Vec<f64>,
    counts: Vec<i64>,
    result: DataType,
    mean: bool,
}

impl FloatSum {
    /// Sums, or means, given in the type `result`.
    pub(crate) fn new(result: DataType, mean: bool) -> Self {
        Self { sums: Vec::new(), counts: Vec::new(), result, mean }
    }
}

impl Accumulator for FloatSum {
    fn grow(&mut self, slots: usize) {
        self.sums.resize(slots, 0.0);
        self.counts.resize(slots, 0);
    }

    fn update(&mut self, updates: &Updates<'_>) -> Result<()> {
        let values = updates.argument()?.as_primitive_opt::<Float64Type>().ok_or_else(misshapen)?.values();
        let Self { sums, counts, .. } = self;
        updates.visit(|row, slot, weight| {
            counts[slot] += weight;
            // Cleared at once and not at the batch's end: what is left over must not depend on where batches end.
            sums[slot] = if counts[slot] == 0 { 0.0 } else { sums[slot] + values[row] * weight as f64 };
        });
        Ok(())
    }

    fn output(&self, slots: &[u32]) -> Result<ArrayRef> {
        let results: Float64Array = slots
            .iter()
            .map(|&slot| {
                let (sum, count) = (self.sums[slot as usize], self.counts[slot as usize]);
                (count != 0).then(|| if self.mean { sum / count as f64 } else { sum })
            })
            .collect();
        let results: ArrayRef = Arc::new(results);
        if results.data_type() == &self.result {
            return Ok(results);
        }
        cast(&results, &self.result).map_err(|error| Error::bug("stream.sum_type", "a sum of floats").caused_by(error))
    }

    fn clear(&mut self, slot: u32, _key: &[u8]) {
        self.sums[slot as usize] = 0.0;
        self.counts[slot as usize] = 0;
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Float64, DataType::Int64]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let sums: Float64Array = slots.iter().map(|&slot| self.sums[slot as usize]).collect();
        Ok(vec![Arc::new(sums), gather(&self.counts, slots)])
    }

    fn restore(&mut self, slots: &[u32], state: &[ArrayRef]) -> Result<()> {
        let sums = state.first().and_then(|column| column.as_primitive_opt::<Float64Type>()).ok_or_else(misshapen)?;
        for (&slot, &sum) in slots.iter().zip(sums.values()) {
            self.sums[slot as usize] = sum;
        }
        scatter(&mut self.counts, slots, state.get(1))
    }
}
