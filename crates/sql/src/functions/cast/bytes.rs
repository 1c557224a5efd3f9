//! Casts to BINARY, VARBINARY and BYTES.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use datafusion::common::Result;

use crate::functions::kernel::Call;
use crate::types::{SqlType, binary_length};

/// Text as UTF-8, or bytes, in the length of the result: cut, and BINARY padded with zeros.
pub(super) fn to_bytes(call: &Call<'_>) -> Result<ArrayRef> {
    let column = super::argument(call)?;
    let value = |row: usize| {
        if call.type_of(0).is_text() {
            super::strings(&column).value(row).as_bytes()
        } else {
            column.as_binary::<i32>().value(row)
        }
    };
    let mut out = BinaryBuilder::with_capacity(column.len(), 0);
    for row in 0..column.len() {
        if column.is_null(row) {
            out.append_null();
        } else {
            out.append_value(fitted(value(row), call.result));
        }
    }
    Ok(Arc::new(out.finish()))
}

fn fitted<'a>(bytes: &'a [u8], target: &SqlType) -> Cow<'a, [u8]> {
    let length = usize::try_from(binary_length(target)).unwrap_or(usize::MAX);
    if let Some(cut) = bytes.get(..length) {
        return Cow::Borrowed(cut);
    }
    if matches!(target, SqlType::Binary(_)) {
        let mut padded = bytes.to_vec();
        padded.resize(length, 0);
        return Cow::Owned(padded);
    }
    Cow::Borrowed(bytes)
}
