//! Accumulators: one aggregate over many groups, its values in columns indexed by slot.
//!
//! All of them take weights (+1 for a row that comes, -1 for one that goes) and add up in the order of the rows, so a
//! result never depends on where batches were cut. Integers, decimals, counts and sets of values are exact under
//! retraction. Sums of floats are not (no finite sum is): what is left over of values that went is cleared when the last
//! value of a group goes.
//!
//! * [`count`], [`sum`], [`exact`]: numbers
//! * [`extremum`]: least and greatest, of what only comes
//! * [`multiset`]: values with counts in a table of their own; least, greatest and `DISTINCT` under retraction

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Schema};
use headwater_change::{Error, Result};
use headwater_sql::{AggregateCall, AggregateFunction};

pub(crate) mod count;
pub(crate) mod exact;
pub(crate) mod extremum;
pub(crate) mod multiset;
pub(crate) mod sum;

use multiset::Multiset;

/// Rows for the groups of one shard.
pub(crate) struct Updates<'a> {
    /// Slots of the rows' groups.
    pub(crate) groups: &'a [u32],
    /// Where the rows stand in `values` and `counted`; `None` for one after the other.
    pub(crate) rows: Option<&'a [u32]>,
    /// +1, -1, or 0 for rows to ignore; `None` where all rows come.
    pub(crate) weights: Option<&'a [i8]>,
    /// The argument, where the aggregate has one.
    pub(crate) values: Option<&'a ArrayRef>,
    /// Rows whose argument is not NULL and which pass the filter; `None` for all.
    pub(crate) counted: Option<&'a BooleanBuffer>,
}

impl Updates<'_> {
    /// Calls `f(row, slot, weight)` for each row that counts; the weight is never 0.
    #[inline(always)]
    pub(crate) fn visit(&self, mut f: impl FnMut(usize, usize, i64)) {
        if let (None, None, None) = (self.rows, self.weights, self.counted) {
            for (row, &slot) in self.groups.iter().enumerate() {
                f(row, slot as usize, 1);
            }
            return;
        }
        for (index, &slot) in self.groups.iter().enumerate() {
            let row = self.rows.map_or(index, |rows| rows[index] as usize);
            let weight = self.weights.map_or(1, |weights| weights[index]);
            if weight != 0 && self.counted.is_none_or(|counted| counted.value(row)) {
                f(row, slot as usize, i64::from(weight));
            }
        }
    }

    /// The argument. Its absence is an error of the plan.
    pub(crate) fn argument(&self) -> Result<&ArrayRef> {
        self.values.ok_or_else(|| Error::bug("stream.argument", "an aggregate has no argument"))
    }
}

/// One aggregate of all groups of a shard.
pub(crate) trait Accumulator: Send {
    /// Makes room for slots below `slots`; new ones are empty.
    fn grow(&mut self, slots: usize);

    /// Takes rows.
    fn update(&mut self, updates: &Updates<'_>) -> Result<()>;

    /// The results of groups.
    fn output(&self, slots: &[u32]) -> Result<ArrayRef>;

    /// Empties a slot; `key` is the stored key of the group that was there.
    fn clear(&mut self, slot: u32, key: &[u8]);

    /// Types of the columns that [`Accumulator::state`] gives.
    fn state_types(&self) -> Vec<DataType>;

    /// What must be stored of groups.
    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>>;

    /// About how many bytes the state of a group takes beside a few of fixed width.
    fn state_bytes(&self, _slot: u32) -> usize {
        16
    }

    /// Sets groups to what was stored.
    fn restore(&mut self, slots: &[u32], state: &[ArrayRef]) -> Result<()>;

    /// The values that are stored one by one, where there are such.
    fn values(&mut self) -> Option<&mut Multiset> {
        None
    }
}

/// The type in which an aggregate wants its argument; `None` where it takes it as it is.
pub(crate) fn argument_type(call: &AggregateCall, argument: &DataType) -> Option<DataType> {
    let result = call.result.data_type();
    let wanted = match call.function {
        AggregateFunction::Sum | AggregateFunction::Avg if argument.is_floating() || result.is_floating() => {
            DataType::Float64
        }
        AggregateFunction::Sum if result.is_integer() => result.clone(),
        AggregateFunction::Avg if argument.is_integer() => DataType::Int64,
        AggregateFunction::Min | AggregateFunction::Max => result.clone(),
        _ => return None,
    };
    (wanted != *argument).then_some(wanted)
}

/// An empty accumulator for a call over rows of `input`; `append` says that rows only come.
pub(crate) fn build(call: &AggregateCall, input: &Schema, append: bool) -> Result<Box<dyn Accumulator>> {
    let argument = match call.argument {
        Some(index) => {
            let field = input.fields().get(index);
            let field = field.ok_or_else(|| Error::bug("stream.column", format!("there is no column {index}")))?;
            let kind = field.data_type();
            argument_type(call, kind).unwrap_or_else(|| kind.clone())
        }
        None => DataType::Null,
    };
    let extremum = matches!(call.function, AggregateFunction::Min | AggregateFunction::Max);
    if extremum {
        let greatest = call.function == AggregateFunction::Max;
        return if append { extremum::build(argument, greatest) } else { multiset::extremum(argument, greatest) };
    }
    let plain: Box<dyn Accumulator> = match call.function {
        AggregateFunction::Count => Box::new(count::Count::default()),
        AggregateFunction::Sum if argument.is_integer() => sum::integer(&argument)?,
        function if argument.is_floating() => {
            Box::new(sum::FloatSum::new(call.result.data_type().clone(), function == AggregateFunction::Avg))
        }
        function => Box::new(exact::ExactSum::new(
            &argument,
            call.result.data_type().clone(),
            function == AggregateFunction::Avg,
        )?),
    };
    if call.distinct { multiset::distinct(plain, argument) } else { Ok(plain) }
}

/// A stored column that does not have the type it was stored with.
pub(crate) fn misshapen() -> Error {
    Error::bug("stream.state_shape", "stored columns do not fit the operator")
}
