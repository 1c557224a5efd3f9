//! `a || b`: NULL if either is NULL; as long as both together.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, StringBuilder};
use datafusion::common::Result as Planned;
use headwater_change::{Error, Result};

use super::kernel::{Call, Kernel, Run};
use crate::typed::{Context, Typed};
use crate::types::{SqlType, UNBOUNDED, binary_length, character_length};

/// `a || b || …`.
pub(super) fn operator(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let nullable = args.iter().any(|arg| arg.nullable);
    let total = |length: fn(&SqlType) -> u32| {
        args.iter().map(|arg| length(&arg.sql_type)).fold(0_u32, u32::saturating_add).min(UNBOUNDED)
    };
    let (sql_type, run): (SqlType, Run) = if args.iter().all(|arg| arg.sql_type.is_text()) {
        let fixed = args.iter().all(|arg| matches!(arg.sql_type, SqlType::Char(_)));
        let length = total(character_length);
        (if fixed { SqlType::Char(length) } else { SqlType::VarChar(length) }, run_text)
    } else if args.iter().all(|arg| arg.sql_type.is_bytes()) {
        let fixed = args.iter().all(|arg| matches!(arg.sql_type, SqlType::Binary(_)));
        let length = total(binary_length);
        (if fixed { SqlType::Binary(length) } else { SqlType::VarBinary(length) }, run_bytes)
    } else {
        let shown: Vec<String> = args.iter().map(|arg| arg.sql_type.to_string()).collect();
        return Err(Error::usage("sql.types", format!("{} is not defined", shown.join(" || ")))
            .hint("|| takes text; write CAST(x AS STRING)"));
    };
    let kernel = Kernel::new("||", sql_type.clone(), nullable, context.zone, run);
    Ok(Typed::new(kernel.call(args.into_iter().map(|arg| (arg.expr, arg.sql_type))), sql_type, nullable))
}

/// Texts one behind the other; NULL if any is.
pub(super) fn run_text(call: &Call<'_>) -> Planned<ArrayRef> {
    let columns = (0..call.len()).map(|index| call.array(index)).collect::<Planned<Vec<_>>>()?;
    let columns: Vec<_> = columns.iter().map(|column| column.as_string::<i32>()).collect();
    let mut out = StringBuilder::with_capacity(call.rows, call.rows * 16);
    let mut text = String::new();
    for row in 0..call.rows {
        if columns.iter().any(|column| column.is_null(row)) {
            out.append_null();
            continue;
        }
        text.clear();
        columns.iter().for_each(|column| text.push_str(column.value(row)));
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}

fn run_bytes(call: &Call<'_>) -> Planned<ArrayRef> {
    let columns = (0..call.len()).map(|index| call.array(index)).collect::<Planned<Vec<_>>>()?;
    let columns: Vec<_> = columns.iter().map(|column| column.as_binary::<i32>()).collect();
    let mut out = BinaryBuilder::with_capacity(call.rows, call.rows * 16);
    let mut bytes = Vec::new();
    for row in 0..call.rows {
        if columns.iter().any(|column| column.is_null(row)) {
            out.append_null();
            continue;
        }
        bytes.clear();
        columns.iter().for_each(|column| bytes.extend_from_slice(column.value(row)));
        out.append_value(&bytes);
    }
    Ok(Arc::new(out.finish()))
}
