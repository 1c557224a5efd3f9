//! Text functions whose meaning differs from DataFusion's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

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
