//! `SUM` and `AVG` of decimals and `AVG` of integers, over sums that never overflow.
//!
//! A sum is 128 bits and the number of times they ran over. So a result that does not fit is NULL, and a later retraction
//! brings it back: the order of rows never shows. `AVG` of integers alone reads only the lowest 64 bits, because Flink's
//! sum of them is a `BIGINT` that wraps.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, i256};
use headwater_change::{Error, Result};

use super::count::{gather, scatter};
use super::{Accumulator, Updates, misshapen};

/// Exact sums with the number of values under each.
pub(crate) struct ExactSum {
    low: Vec<i128>,
    carry: Vec<i64>,
    counts: Vec<i64>,
    result: DataType,
    form: Form,
}

/// How a result is made of a sum and a count.
enum Form {
    /// The sum, NULL where it has more digits than the type.
    DecimalSum { precision: u8, scale: i8 },
    /// The mean rounded half up, after a shift of the scale to the left.
    DecimalMean { precision: u8, scale: i8, shift: u32 },
    /// The mean, truncated (Flink's rule).
    IntegerMean,
}

impl ExactSum {
    /// Sums (or means) of `argument`, given as `result`.
    pub(crate) fn new(argument: &DataType, result: DataType, mean: bool) -> Result<Self> {
        let form = match (argument, &result) {
            (DataType::Decimal128(_, _), &DataType::Decimal128(precision, scale)) if !mean => {
                Form::DecimalSum { precision, scale }
            }
            (&DataType::Decimal128(_, from), &DataType::Decimal128(precision, scale)) if scale >= from => {
                Form::DecimalMean { precision, scale, shift: u32::from(scale.abs_diff(from)) }
            }
            (DataType::Int64, result) if mean && result.is_integer() => Form::IntegerMean,
            _ => {
                return Err(Error::usage("stream.aggregate_type", format!("SUM or AVG of {argument} is not known"))
                    .hint("CAST the argument to a number"));
            }
        };
        Ok(Self { low: Vec::new(), carry: Vec::new(), counts: Vec::new(), result, form })
    }

    fn decimals(&self, slots: &[u32], precision: u8, scale: i8, value: impl Fn(i256, i64) -> i256) -> Result<ArrayRef> {
        let limit = i256::from_i128(10).wrapping_pow(u32::from(precision));
        let results = slots.iter().map(|&slot| {
            let slot = slot as usize;
            let count = self.counts[slot];
            if count == 0 {
                return None;
            }
            let sum = i256::from_i128(self.low[slot]).wrapping_add(i256::from_parts(0, i128::from(self.carry[slot])));
            let result = value(sum, count);
            if result.wrapping_abs() < limit { result.to_i128() } else { None }
        });
        let results = results.collect::<Decimal128Array>().with_precision_and_scale(precision, scale);
        Ok(Arc::new(results.map_err(|error| Error::bug("stream.decimal_type", "a decimal result").caused_by(error))?))
    }
}

/// `sum / count` rounded half away from zero, as `HALF_UP` rounds.
fn half_up(sum: i256, count: i64) -> i256 {
    let count = i256::from_i128(i128::from(count));
    let quotient = sum.wrapping_div(count);
    let rest = sum.wrapping_sub(quotient.wrapping_mul(count)).wrapping_abs();
    if rest.wrapping_add(rest) < count.wrapping_abs() {
        quotient
    } else if (sum < i256::ZERO) == (count < i256::ZERO) {
        quotient.wrapping_add(i256::ONE)
    } else {
        quotient.wrapping_sub(i256::ONE)
    }
}

impl Accumulator for ExactSum {
    fn grow(&mut self, slots: usize) {
        self.low.resize(slots, 0);
        self.carry.resize(slots, 0);
        self.counts.resize(slots, 0);
    }

    fn update(&mut self, updates: &Updates<'_>) -> Result<()> {
        let Self { low, carry, counts, .. } = self;
        let mut add = |slot: usize, value: i128, weight: i64| {
            counts[slot] += weight;
            let (sum, over) =
                if weight > 0 { low[slot].overflowing_add(value) } else { low[slot].overflowing_sub(value) };
            if over {
                // The true sum lies beyond 128 bits on the side that the wrapped sum came from.
                carry[slot] += if low[slot] < 0 { -1 } else { 1 };
            }
            low[slot] = sum;
        };
        let argument = updates.argument()?;
        if let Some(values) = argument.as_primitive_opt::<Decimal128Type>() {
            updates.visit(|row, slot, weight| add(slot, values.value(row), weight));
        } else {
            let values = argument.as_primitive_opt::<Int64Type>().ok_or_else(misshapen)?;
            updates.visit(|row, slot, weight| add(slot, i128::from(values.value(row)), weight));
        }
        Ok(())
    }

    fn output(&self, slots: &[u32]) -> Result<ArrayRef> {
        match self.form {
            Form::DecimalSum { precision, scale } => self.decimals(slots, precision, scale, |sum, _| sum),
            Form::DecimalMean { precision, scale, shift } => {
                let factor = i256::from_i128(10).wrapping_pow(shift);
                self.decimals(slots, precision, scale, |sum, count| half_up(sum.wrapping_mul(factor), count))
            }
            Form::IntegerMean => {
                let means: Int64Array = slots
                    .iter()
                    .map(|&slot| {
                        let count = self.counts[slot as usize];
                        // Flink keeps the sum in a BIGINT, which wraps: so does the lower half of the exact sum.
                        (count != 0).then(|| (self.low[slot as usize] as i64).wrapping_div(count))
                    })
                    .collect();
                cast(&means, &self.result)
                    .map_err(|error| Error::bug("stream.mean_type", "a mean of integers").caused_by(error))
            }
        }
    }

    fn clear(&mut self, slot: u32, _key: &[u8]) {
        self.low[slot as usize] = 0;
        self.carry[slot as usize] = 0;
        self.counts[slot as usize] = 0;
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Decimal128(38, 0), DataType::Int64, DataType::Int64]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        // All 128 bits are stored, also those that no decimal of 38 digits has.
        let low: Decimal128Array = slots.iter().map(|&slot| self.low[slot as usize]).map(Some).collect();
        let low = low.with_data_type(DataType::Decimal128(38, 0));
        Ok(vec![Arc::new(low), gather(&self.carry, slots), gather(&self.counts, slots)])
    }

    fn restore(&mut self, slots: &[u32], state: &[ArrayRef]) -> Result<()> {
        let low = state.first().and_then(|column| column.as_primitive_opt::<Decimal128Type>()).ok_or_else(misshapen)?;
        for (&slot, &value) in slots.iter().zip(low.values()) {
            self.low[slot as usize] = value;
        }
        scatter(&mut self.carry, slots, state.get(1))?;
        scatter(&mut self.counts, slots, state.get(2))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    fn sums(values: &[(i128, i8)]) -> Option<i128> {
        let kind = DataType::Decimal128(38, 0);
        let mut sum = ExactSum::new(&kind, kind.clone(), false).expect("a sum of decimals");
        sum.grow(1);
        let column: Decimal128Array = values.iter().map(|(value, _)| Some(*value)).collect();
        let column: ArrayRef = Arc::new(column.with_precision_and_scale(38, 0).expect("precision"));
        let weights: Vec<i8> = values.iter().map(|(_, weight)| *weight).collect();
        let groups = vec![0; values.len()];
        let updates =
            Updates { groups: &groups, rows: None, weights: Some(&weights), values: Some(&column), counted: None };
        sum.update(&updates).expect("update");
        let output = sum.output(&[0]).expect("output");
        let output = output.as_primitive::<Decimal128Type>();
        output.is_valid(0).then(|| output.value(0))
    }

    #[test]
    fn a_sum_that_runs_over_is_null_until_enough_goes_again() {
        let most = 10i128.pow(38) - 1;
        assert_eq!(sums(&[(most, 1)]), Some(most));
        assert_eq!(sums(&[(most, 1), (1, 1)]), None);
        assert_eq!(sums(&[(most, 1), (most, 1), (most, 1), (most, 1), (most, -1), (most, -1), (most, -1)]), Some(most));
        assert_eq!(sums(&[(-most, 1), (-most, 1), (-most, 1), (most, 1), (most, 1)]), Some(-most));
    }

    #[test]
    fn means_are_rounded_half_up_away_from_zero() {
        let mean = |sum: i128, count: i64| half_up(i256::from_i128(sum), count).to_i128();
        assert_eq!(
            [mean(5, 2), mean(-5, 2), mean(4, 3), mean(5, 3), mean(-4, 3)].map(Option::unwrap),
            [3, -3, 1, 2, -1]
        );
    }
}
