//! `MIN` and `MAX` of rows that only come: one value per group.
//!
//! Floats are ordered as arrow-row orders them (`-0.0` before `0.0`, NaN greatest), so that the answer is the same with
//! and without retraction.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, PrimitiveArray, downcast_primitive, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType};
use arrow::row::RowConverter;
use headwater_change::{Error, Result};

use super::{Accumulator, Updates, misshapen};
use crate::group::keys::{converter, undecodable};

/// The least or greatest of values of this type.
pub(crate) fn build(kind: DataType, greatest: bool) -> Result<Box<dyn Accumulator>> {
    macro_rules! primitive {
        ($type:ty) => {
            Ok(Box::new(PrimitiveExtremum::<$type> { values: Vec::new(), known: Vec::new(), kind, greatest }))
        };
    }
    downcast_primitive! {
        kind => (primitive),
        _ => Ok(Box::new(RowExtremum { values: Vec::new(), converter: converter([kind.clone()])?, kind, greatest }))
    }
}

/// Numbers, dates, times.
struct PrimitiveExtremum<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    known: Vec<bool>,
    kind: DataType,
    greatest: bool,
}

impl<T: ArrowPrimitiveType> Accumulator for PrimitiveExtremum<T> {
    fn grow(&mut self, slots: usize) {
        self.values.resize(slots, T::Native::ZERO);
        self.known.resize(slots, false);
    }

    fn update(&mut self, updates: &Updates<'_>) -> Result<()> {
        let column = updates.argument()?.as_primitive_opt::<T>().ok_or_else(misshapen)?.values();
        let Self { values, known, greatest, .. } = self;
        let greatest = *greatest;
        updates.visit(|row, slot, _| {
            let (value, best) = (column[row], values[slot]);
            if !known[slot] || if greatest { value.is_gt(best) } else { value.is_lt(best) } {
                values[slot] = value;
                known[slot] = true;
            }
        });
        Ok(())
    }

    fn output(&self, slots: &[u32]) -> Result<ArrayRef> {
        let values = slots.iter().map(|&slot| self.values[slot as usize]);
        let valid = NullBuffer::from_iter(slots.iter().map(|&slot| self.known[slot as usize]));
        let column = PrimitiveArray::<T>::new(values.collect(), Some(valid));
        Ok(Arc::new(column.with_data_type(self.kind.clone())))
    }

    fn clear(&mut self, slot: u32, _key: &[u8]) {
        self.known[slot as usize] = false;
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.kind.clone()]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.output(slots)?])
    }

    fn restore(&mut self, slots: &[u32], state: &[ArrayRef]) -> Result<()> {
        let column = state.first().and_then(|column| column.as_primitive_opt::<T>()).ok_or_else(misshapen)?;
        for (row, &slot) in slots.iter().enumerate() {
            self.values[slot as usize] = column.value(row);
            self.known[slot as usize] = column.is_valid(row);
        }
        Ok(())
    }
}

/// All other types that have an order, as arrow-row bytes.
struct RowExtremum {
    values: Vec<Option<Box<[u8]>>>,
    converter: RowConverter,
    kind: DataType,
    greatest: bool,
}

impl Accumulator for RowExtremum {
    fn grow(&mut self, slots: usize) {
        self.values.resize(slots, None);
    }

    fn update(&mut self, updates: &Updates<'_>) -> Result<()> {
        let rows = encode(&self.converter, updates.argument()?)?;
        let Self { values, greatest, .. } = self;
        let greatest = *greatest;
        updates.visit(|row, slot, _| {
            let value = rows.row(row);
            let value = value.data();
            let better = values[slot].as_deref().is_none_or(|best| if greatest { value > best } else { value < best });
            if better {
                values[slot] = Some(value.into());
            }
        });
        Ok(())
    }

    fn output(&self, slots: &[u32]) -> Result<ArrayRef> {
        decode(&self.converter, &self.kind, slots.iter().map(|&slot| self.values[slot as usize].as_deref()))
    }

    fn clear(&mut self, slot: u32, _key: &[u8]) {
        self.values[slot as usize] = None;
    }

    fn state_bytes(&self, slot: u32) -> usize {
        self.values[slot as usize].as_deref().map_or(0, <[u8]>::len)
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.kind.clone()]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.output(slots)?])
    }

    fn restore(&mut self, slots: &[u32], state: &[ArrayRef]) -> Result<()> {
        let column = state.first().ok_or_else(misshapen)?;
        let rows = encode(&self.converter, column)?;
        for (row, &slot) in slots.iter().enumerate() {
            self.values[slot as usize] = column.is_valid(row).then(|| rows.row(row).data().into());
        }
        Ok(())
    }
}

/// The arrow-row form of one column.
pub(crate) fn encode(converter: &RowConverter, column: &ArrayRef) -> Result<arrow::row::Rows> {
    converter
        .convert_columns(std::slice::from_ref(column))
        .map_err(|error| Error::bug("stream.value_encoding", "values cannot be encoded").caused_by(error))
}

/// One column from its arrow-row form; `None` is NULL.
pub(crate) fn decode<'a>(
    converter: &RowConverter,
    kind: &DataType,
    values: impl Iterator<Item = Option<&'a [u8]>>,
) -> Result<ArrayRef> {
    let null = encode(converter, &new_null_array(kind, 1))?;
    let null = null.row(0);
    let parser = converter.parser();
    let rows = values.map(|value| parser.parse(value.unwrap_or(null.data())));
    let columns = converter.convert_rows(rows).map_err(|error| undecodable(&error.to_string()))?;
    columns.into_iter().next().ok_or_else(misshapen)
}
