//! Loops over rows for functions that give NULL where an argument is NULL: one pass, one buffer, nothing allocated per row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder,
};
use arrow::buffer::NullBuffer;
use datafusion::common::Result;

/// Where none of the columns is NULL; `None` where no row of them is.
fn valid(columns: &[&dyn Array]) -> Option<NullBuffer> {
    columns.iter().fold(None, |so_far, column| NullBuffer::union(so_far.as_ref(), column.logical_nulls().as_ref()))
}

fn is_null(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_some_and(|nulls| nulls.is_null(row))
}

/// Texts: `write` appends the text of a row, or says `false` for NULL.
pub(super) fn text(
    rows: usize,
    columns: &[&dyn Array],
    mut write: impl FnMut(usize, &mut String) -> Result<bool>,
) -> Result<ArrayRef> {
    let nulls = valid(columns);
    let mut out = StringBuilder::with_capacity(rows, rows * 16);
    let mut buffer = String::new();
    for row in 0..rows {
        buffer.clear();
        if !is_null(nulls.as_ref(), row) && write(row, &mut buffer)? {
            out.append_value(&buffer);
        } else {
            out.append_null();
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Bytes: `write` appends those of a row, or says `false` for NULL.
pub(super) fn bytes(
    rows: usize,
    columns: &[&dyn Array],
    mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<bool>,
) -> Result<ArrayRef> {
    let nulls = valid(columns);
    let mut out = BinaryBuilder::with_capacity(rows, rows * 16);
    let mut buffer = Vec::new();
    for row in 0..rows {
        buffer.clear();
        if !is_null(nulls.as_ref(), row) && write(row, &mut buffer)? {
            out.append_value(&buffer);
        } else {
            out.append_null();
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Numbers, dates and times.
pub(super) fn primitive<T: ArrowPrimitiveType>(
    rows: usize,
    columns: &[&dyn Array],
    mut compute: impl FnMut(usize) -> Result<Option<T::Native>>,
) -> Result<PrimitiveBuilder<T>> {
    let nulls = valid(columns);
    let mut out = PrimitiveBuilder::<T>::with_capacity(rows);
    for row in 0..rows {
        out.append_option(if is_null(nulls.as_ref(), row) { None } else { compute(row)? });
    }
    Ok(out)
}

/// Truth values.
pub(super) fn boolean(
    rows: usize,
    columns: &[&dyn Array],
    mut compute: impl FnMut(usize) -> Result<Option<bool>>,
) -> Result<ArrayRef> {
    let nulls = valid(columns);
    let mut out = BooleanBuilder::with_capacity(rows);
    for row in 0..rows {
        out.append_option(if is_null(nulls.as_ref(), row) { None } else { compute(row)? });
    }
    Ok(Arc::new(out.finish()))
}

/// A finished column of numbers.
pub(super) fn finished<T: ArrowPrimitiveType>(mut builder: PrimitiveBuilder<T>) -> Result<ArrayRef> {
    Ok(Arc::new(builder.finish()))
}
