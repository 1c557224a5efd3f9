//! SUM and AVG: sums of whole numbers, doubles and decimals, kept per group in columns. What does not fit into the result
//! fails, or is NULL where that is asked for.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use super::operators::failed;
use crate::functions::arithmetic::decimal::rescale;
use crate::spark::functions::sliding::Sliding;
use crate::types::SqlType;

/// SUM or AVG of numbers of one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SparkSum {
    averages: bool,
    lenient: bool,
    input: SqlType,
    result: SqlType,
    signature: Signature,
}

impl SparkSum {
    pub(crate) fn new(averages: bool, lenient: bool, input: SqlType, result: SqlType) -> Self {
        Self { averages, lenient, input, result, signature: Signature::any(1, Volatility::Immutable) }
    }

    fn sums(&self) -> Sums {
        let kind = match &self.input {
            SqlType::Decimal(_, scale) => Kind::Decimal(*scale),
            SqlType::BigInt => Kind::Whole,
            _ => Kind::Float,
        };
        Sums { function: self.clone(), kind, whole: Vec::new(), float: Vec::new(), counts: Vec::new() }
    }
}

impl AggregateUDFImpl for SparkSum {
    fn name(&self) -> &str {
        if self.averages { "avg" } else { "sum" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(self.result.arrow())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut sums = self.sums();
        sums.grow(1);
        Ok(Box::new(One { sums, distinct: args.is_distinct.then(HashSet::new) }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (function, distinct) = (self.clone(), args.is_distinct);
        let begin = move || {
            let mut sums = function.sums();
            sums.grow(1);
            Ok(Box::new(One { sums, distinct: distinct.then(HashSet::new) }) as _)
        };
        Ok(Box::new(Sliding::new(begin)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            let name = format!("{}[distinct]", args.name);
            return Ok(vec![Arc::new(Field::new_list(name, Field::new_list_field(self.input.arrow(), true), true))]);
        }
        let field = |name: &str, kind| Arc::new(Field::new(format!("{}[{name}]", args.name), kind, false));
        Ok(vec![
            field("whole", DataType::Decimal128(38, 0)),
            field("float", DataType::Float64),
            field("count", DataType::Int64),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.sums()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Whole,
    Float,
    Decimal(u8),
}

/// Sums and counts by group.
#[derive(Debug)]
struct Sums {
    function: SparkSum,
    kind: Kind,
    whole: Vec<i128>,
    float: Vec<f64>,
    counts: Vec<i64>,
}

fn overflow() -> DataFusionError {
    failed(
        "sql.overflow",
        "a sum does not fit into its type",
        "try_sum and try_avg give NULL; or CAST to DECIMAL or DOUBLE",
    )
}

impl Sums {
    fn grow(&mut self, groups: usize) {
        match self.kind {
            Kind::Float => self.float.resize(groups.max(self.float.len()), 0.0),
            _ => self.whole.resize(groups.max(self.whole.len()), 0),
        }
        self.counts.resize(groups.max(self.counts.len()), 0);
    }

    fn add_whole(&mut self, group: usize, value: i128, count: i64) -> Result<()> {
        if let (Some(sum), Some(found)) = (self.whole.get_mut(group), self.counts.get_mut(group)) {
            *sum = sum.checked_add(value).ok_or_else(overflow)?;
            *found += count;
        }
        Ok(())
    }

    fn add_float(&mut self, group: usize, value: f64, count: i64) {
        if let (Some(sum), Some(found)) = (self.float.get_mut(group), self.counts.get_mut(group)) {
            *sum += value;
            *found += count;
        }
    }

    fn add(&mut self, values: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>) -> Result<()> {
        let taken =
            |row: usize| values.is_valid(row) && filter.is_none_or(|kept| kept.is_valid(row) && kept.value(row));
        let all = values.null_count() == 0 && filter.is_none();
        match self.kind {
            Kind::Whole => {
                let values = values.as_primitive::<Int64Type>().values();
                for (row, (group, value)) in groups.iter().zip(values).enumerate() {
                    if all || taken(row) {
                        self.add_whole(*group, i128::from(*value), 1)?;
                    }
                }
            }
            Kind::Decimal(_) => {
                let values = values.as_primitive::<Decimal128Type>().values();
                for (row, (group, value)) in groups.iter().zip(values).enumerate() {
                    if all || taken(row) {
                        self.add_whole(*group, *value, 1)?;
                    }
                }
            }
            Kind::Float => {
                let values = values.as_primitive::<Float64Type>().values();
                for (row, (group, value)) in groups.iter().zip(values).enumerate() {
                    if all || taken(row) {
                        self.add_float(*group, *value, 1);
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, emit: EmitTo) -> (Vec<i128>, Vec<f64>, Vec<i64>) {
        let counts = emit.take_needed(&mut self.counts);
        match self.kind {
            Kind::Float => (Vec::new(), emit.take_needed(&mut self.float), counts),
            _ => (emit.take_needed(&mut self.whole), Vec::new(), counts),
        }
    }

    /// A whole sum as the result; `None` where there were no rows, or where it does not fit and NULL is asked for.
    fn decimal(&self, sum: i128, count: i64, from: u8, precision: u8, scale: u8) -> Result<Option<i128>> {
        let shift = i32::from(scale) - i32::from(from);
        let wide = arrow::datatypes::i256::from_i128(sum);
        let found = if self.function.averages {
            rescale(wide, shift).and_then(|scaled| half_up(scaled, count))
        } else {
            Some(wide)
        };
        let found = found.and_then(arrow::datatypes::i256::to_i128);
        let fits = |value: &i128| {
            Decimal128Type::validate_decimal_precision(*value, precision, i8::try_from(scale).unwrap_or(0)).is_ok()
        };
        match found.filter(fits) {
            None if !self.function.lenient => Err(overflow()),
            found => Ok(found),
        }
    }

    fn results(&self, whole: &[i128], float: &[f64], counts: &[i64]) -> Result<ArrayRef> {
        let there = |count: i64| count > 0;
        Ok(match (&self.kind, &self.function.result) {
            (Kind::Decimal(from), SqlType::Decimal(precision, scale)) => {
                let found = whole.iter().zip(counts).map(|(sum, count)| match there(*count) {
                    true => self.decimal(*sum, *count, *from, *precision, *scale),
                    false => Ok(None),
                });
                let found = found.collect::<Result<Decimal128Array>>()?;
                Arc::new(found.with_data_type(self.function.result.arrow()))
            }
            (Kind::Whole, _) => {
                let found = whole.iter().zip(counts).map(|(sum, count)| match (there(*count), i64::try_from(*sum)) {
                    (false, _) => Ok(None),
                    (true, Ok(sum)) => Ok(Some(sum)),
                    (true, Err(_)) if self.function.lenient => Ok(None),
                    (true, Err(_)) => Err(overflow()),
                });
                Arc::new(found.collect::<Result<Int64Array>>()?)
            }
            _ => {
                let averages = self.function.averages;
                let found = float.iter().zip(counts);
                let found =
                    found.map(|(sum, count)| there(*count).then(|| if averages { sum / *count as f64 } else { *sum }));
                Arc::new(found.collect::<Float64Array>())
            }
        })
    }
}

/// A quotient half up, away from zero.
fn half_up(value: arrow::datatypes::i256, count: i64) -> Option<arrow::datatypes::i256> {
    use arrow::datatypes::i256;
    let by = i256::from_i128(i128::from(count));
    let (quotient, rest) = (value.checked_div(by)?, value.checked_rem(by)?);
    let negative = value < i256::ZERO;
    let size = if negative { rest.checked_neg()? } else { rest };
    if size.checked_mul(i256::from_i128(2))? < by {
        return Some(quotient);
    }
    if negative { quotient.checked_sub(i256::ONE) } else { quotient.checked_add(i256::ONE) }
}

impl GroupsAccumulator for Sums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let [values] = values else { return exec_err!("SUM and AVG take one argument") };
        self.grow(total);
        self.add(values, groups, filter)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (whole, float, counts) = self.take(emit);
        self.results(&whole, &float, &counts)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (mut whole, mut float, counts) = self.take(emit);
        whole.resize(counts.len(), 0);
        float.resize(counts.len(), 0.0);
        let whole = Decimal128Array::from(whole).with_data_type(DataType::Decimal128(38, 0));
        Ok(vec![Arc::new(whole), Arc::new(Float64Array::from(float)), Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let [whole, float, counts] = states else { return exec_err!("SUM and AVG keep three states") };
        self.grow(total);
        let (whole, float) = (whole.as_primitive::<Decimal128Type>(), float.as_primitive::<Float64Type>());
        let counts = counts.as_primitive::<Int64Type>();
        for (row, group) in groups.iter().enumerate() {
            match self.kind {
                Kind::Float => self.add_float(*group, float.value(row), counts.value(row)),
                _ => self.add_whole(*group, whole.value(row), counts.value(row))?,
            }
        }
        Ok(())
    }

    /// Rows as groups of their own.
    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |first| first.len());
        let mut each = self.function.sums();
        each.grow(rows);
        GroupsAccumulator::update_batch(&mut each, values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.whole.capacity() * size_of::<i128>() + self.float.capacity() * 8 + self.counts.capacity() * 8
    }
}

/// One group, for windows, DISTINCT and aggregates of everything.
#[derive(Debug)]
struct One {
    sums: Sums,
    distinct: Option<HashSet<ScalarValue>>,
}

impl One {
    fn changed(&mut self, values: &ArrayRef, sign: i128) -> Result<()> {
        match self.sums.kind {
            Kind::Float => {
                for value in values.as_primitive::<Float64Type>().iter().flatten() {
                    self.sums.add_float(0, value, 1);
                }
            }
            Kind::Whole => {
                for value in values.as_primitive::<Int64Type>().iter().flatten() {
                    self.sums.add_whole(0, sign * i128::from(value), if sign < 0 { -1 } else { 1 })?;
                }
            }
            Kind::Decimal(_) => {
                for value in values.as_primitive::<Decimal128Type>().iter().flatten() {
                    self.sums.add_whole(0, sign * value, if sign < 0 { -1 } else { 1 })?;
                }
            }
        }
        Ok(())
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return exec_err!("SUM and AVG take one argument") };
        let Some(mut seen) = self.distinct.take() else { return self.changed(values, 1) };
        for row in 0..values.len() {
            if values.is_valid(row) && seen.insert(ScalarValue::try_from_array(values, row)?) {
                self.changed(&values.slice(row, 1), 1)?;
            }
        }
        self.distinct = Some(seen);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.first().map_or(Ok(()), |values| self.changed(values, -1))
    }

    /// A sum of floats depends on which were ever in it, so it is not taken back.
    fn supports_retract_batch(&self) -> bool {
        self.sums.kind != Kind::Float && self.distinct.is_none()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Sums { whole, float, counts, .. } = &self.sums;
        ScalarValue::try_from_array(&self.sums.results(whole, float, counts)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.distinct.as_ref().map_or(0, |seen| seen.len() * size_of::<ScalarValue>() * 2)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        if let Some(seen) = &self.distinct {
            let values: Vec<ScalarValue> = seen.iter().cloned().collect();
            return Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(
                &values,
                &self.sums.function.input.arrow(),
            ))]);
        }
        Ok(vec![
            ScalarValue::Decimal128(Some(self.sums.whole.first().copied().unwrap_or(0)), 38, 0),
            ScalarValue::Float64(Some(self.sums.float.first().copied().unwrap_or(0.0))),
            ScalarValue::Int64(Some(self.sums.counts.first().copied().unwrap_or(0))),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if let (true, [lists]) = (self.distinct.is_some(), states) {
            return lists.as_list::<i32>().iter().flatten().try_for_each(|values| self.update_batch(&[values]));
        }
        let rows = states.first().map_or(0, |first| first.len());
        GroupsAccumulator::merge_batch(&mut self.sums, states, &vec![0; rows], 1)
    }
}
