//! [`Kernel`]: a scalar function whose types are settled. Everything that Flink computes its own way becomes one of these
//! while types are checked, so that nothing is left to the coercions of the engine below.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use headwater_change::TimeZone;

use crate::types::SqlType;

/// What a kernel is called with.
pub(crate) struct Call<'a> {
    args: &'a [ColumnarValue],
    /// Rows of the result.
    pub(crate) rows: usize,
    /// Types of the arguments.
    pub(crate) types: &'a [SqlType],
    /// Type of the result.
    pub(crate) result: &'a SqlType,
    /// The session's time zone, for what TIMESTAMP_LTZ means in it.
    pub(crate) zone: TimeZone,
}

impl Call<'_> {
    /// Argument `index` as a column of [`Call::rows`] rows.
    pub(crate) fn array(&self, index: usize) -> Result<ArrayRef> {
        match self.args.get(index) {
            Some(value) => value.to_array(self.rows),
            None => exec_err!("argument {index} is missing"),
        }
    }

    /// Argument `index` where it is the same for all rows.
    pub(crate) fn constant(&self, index: usize) -> Option<&ScalarValue> {
        match self.args.get(index) {
            Some(ColumnarValue::Scalar(value)) => Some(value),
            _ => None,
        }
    }

    /// How many arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.args.len()
    }

    /// Type of argument `index`.
    pub(crate) fn type_of(&self, index: usize) -> &SqlType {
        self.types.get(index).unwrap_or(&SqlType::Null)
    }
}

/// Computes a column of [`Call::rows`] rows (or of one, for all) of the result's Arrow type.
pub(crate) type Run = fn(&Call<'_>) -> Result<ArrayRef>;

/// A function with settled types. Two are the same if name, types and zone are.
#[derive(Clone)]
pub(crate) struct Kernel {
    name: String,
    types: Vec<SqlType>,
    result: SqlType,
    nullable: bool,
    zone: TimeZone,
    run: Run,
    signature: Signature,
}

impl Kernel {
    /// A function that is called `name` in messages and plans.
    pub(crate) fn new(name: impl Into<String>, result: SqlType, nullable: bool, zone: TimeZone, run: Run) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Self { name: name.into(), types: Vec::new(), result, nullable, zone, run, signature }
    }

    /// The call over arguments of these types.
    pub(crate) fn call(mut self, args: impl IntoIterator<Item = (Expr, SqlType)>) -> Expr {
        let (args, types): (Vec<Expr>, Vec<SqlType>) = args.into_iter().unzip();
        self.types = types;
        if args.is_empty() {
            self.signature = Signature::nullary(Volatility::Immutable);
        }
        ScalarUDF::from(self).call(args)
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({:?}) -> {}", self.name, self.types, self.result)
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.types, &self.result, self.zone) == (&other.name, &other.types, &other.result, other.zone)
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.types, &self.result).hash(state);
    }
}

impl ScalarUDFImpl for Kernel {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(self.result.arrow())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(self.result.field(self.name.as_str(), self.nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Where all arguments are constant, one row is computed for all.
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let call = Call { args: &args.args, rows, types: &self.types, result: &self.result, zone: self.zone };
        let column = (self.run)(&call)?;
        if column.data_type() != &self.result.arrow() || column.len() != rows {
            return exec_err!("{} gave {} rows of {}", self.name, column.len(), column.data_type());
        }
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?));
        }
        Ok(ColumnarValue::Array(column))
    }
}
