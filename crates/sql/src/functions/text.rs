//! Text functions whose meaning differs from DataFusion's, and `CAST(x AS STRING)` with Flink's text of values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Appends the text of the value at a row, as Flink's `CAST(x AS STRING)` gives it. Handed in, because the text of values
/// belongs to the formats.
pub type ValueText = fn(&dyn Array, usize, &mut String) -> headwater_change::Result<()>;

/// `CAST(expr AS STRING)` over a value that is no string.
pub(crate) fn cast_to_text(write: ValueText, expr: Expr) -> Expr {
    ScalarUDF::from(CastToText { write, signature: Signature::any(1, Volatility::Immutable) }).call(vec![expr])
}

struct CastToText {
    write: ValueText,
    signature: Signature,
}

impl std::fmt::Debug for CastToText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CastToText")
    }
}

/// A session has one text of values, so two such functions are the same.
impl PartialEq for CastToText {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for CastToText {}

impl std::hash::Hash for CastToText {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl ScalarUDFImpl for CastToText {
    fn name(&self) -> &str {
        "$text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.first() else { return plan_err!("CAST takes one value") };
        let column = value.to_array(args.number_rows)?;
        let mut out = StringBuilder::with_capacity(column.len(), column.len() * 8);
        let mut text = String::new();
        for row in 0..column.len() {
            if column.is_null(row) {
                out.append_null();
                continue;
            }
            text.clear();
            (self.write)(&column, row, &mut text).map_err(crate::session::ours)?;
            out.append_value(&text);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

/// `CONCAT(…)`: NULL if any argument is NULL (Flink's rule; DataFusion skips them).
pub(crate) fn concat() -> ScalarUDF {
    ScalarUDF::from(Concat { signature: Signature::variadic_any(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Concat {
    signature: Signature,
}

impl ScalarUDFImpl for Concat {
    fn name(&self) -> &str {
        "concat"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        if args.iter().all(|arg| arg.is_string() || arg.is_null()) {
            return Ok(DataType::Utf8);
        }
        plan_err!("CONCAT takes strings; cast the other arguments with CAST(x AS STRING)")
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|arg| Ok(cast(&arg.to_array(args.number_rows)?, &DataType::Utf8)?))
            .collect::<Result<_>>()?;
        let columns: Vec<_> = columns.iter().map(|column| column.as_string::<i32>()).collect();
        let mut out = StringBuilder::with_capacity(args.number_rows, args.number_rows * 16);
        let mut text = String::new();
        for row in 0..args.number_rows {
            if columns.iter().any(|column| column.is_null(row)) {
                out.append_null();
                continue;
            }
            text.clear();
            columns.iter().for_each(|column| text.push_str(column.value(row)));
            out.append_value(&text);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}
