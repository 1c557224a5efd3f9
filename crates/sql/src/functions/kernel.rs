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

use super::value::{Column, Value, column};
use crate::typed::Context;
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
    /// Whether what cannot be computed fails (Spark's ANSI mode).
    pub(crate) ansi: bool,
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

/// One row of arguments.
pub(crate) struct Row<'a> {
    pub(crate) values: &'a [Value],
    /// Types of the arguments.
    pub(crate) types: &'a [SqlType],
    /// Type of the result.
    pub(crate) result: &'a SqlType,
    pub(crate) zone: TimeZone,
    /// Whether what cannot be computed fails (Spark's ANSI mode).
    pub(crate) ansi: bool,
}

impl Row<'_> {
    pub(crate) fn value(&self, index: usize) -> &Value {
        self.values.get(index).unwrap_or(&Value::Null)
    }

    pub(crate) fn type_of(&self, index: usize) -> &SqlType {
        self.types.get(index).unwrap_or(&SqlType::Null)
    }

    pub(crate) fn text(&self, index: usize) -> &str {
        self.value(index).text()
    }

    pub(crate) fn int(&self, index: usize) -> i64 {
        self.value(index).int()
    }

    pub(crate) fn float(&self, index: usize) -> f64 {
        self.value(index).float()
    }
}

/// Computes the value of one row.
pub(crate) type RowRun = fn(&Row<'_>) -> Result<Value>;

/// How a function is computed.
#[derive(Clone, Copy)]
enum Body {
    Columns(Run),
    /// Row by row; with `nulls` also those in which an argument is NULL.
    Rows {
        run: RowRun,
        nulls: bool,
    },
}

/// A function with settled types. Two are the same if name, types and zone are.
#[derive(Clone)]
pub(crate) struct Kernel {
    name: String,
    types: Vec<SqlType>,
    result: SqlType,
    nullable: bool,
    zone: TimeZone,
    ansi: bool,
    /// Whether it has a result for every row.
    total: bool,
    body: Body,
    signature: Signature,
}

impl Kernel {
    /// A function that is called `name` in messages and plans.
    pub(crate) fn new(name: impl Into<String>, result: SqlType, nullable: bool, zone: TimeZone, run: Run) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        let body = Body::Columns(run);
        Self { name: name.into(), types: Vec::new(), result, nullable, zone, ansi: true, total: false, body, signature }
    }

    /// A function that is computed row by row, and is NULL where an argument is.
    pub(crate) fn rows(
        name: impl Into<String>,
        result: SqlType,
        nullable: bool,
        context: Context<'_>,
        run: RowRun,
    ) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        let body = Body::Rows { run, nulls: false };
        let (zone, ansi) = (context.zone, context.ansi);
        Self { name: name.into(), types: Vec::new(), result, nullable, zone, ansi, total: false, body, signature }
    }

    /// Whether what cannot be computed fails.
    pub(crate) fn ansi(self, ansi: bool) -> Self {
        Self { ansi, ..self }
    }

    /// The same, which is known to never fail.
    pub(crate) fn total(self) -> Self {
        Self { total: true, ..self }
    }

    /// Whether a call may fail for some values.
    pub(crate) fn is_fallible(&self) -> bool {
        !self.total
    }

    /// The same, computed where arguments are NULL, too.
    pub(crate) fn with_nulls(mut self) -> Self {
        if let Body::Rows { run, .. } = self.body {
            self.body = Body::Rows { run, nulls: true };
        }
        self
    }

    /// From what type to what other one it takes values as they are, and in which zone; `None` if it computes more.
    pub(crate) fn recast(&self) -> Option<(&SqlType, &SqlType, TimeZone)> {
        let [from] = self.types.as_slice() else { return None };
        self.name.starts_with("CAST AS ").then_some((from, &self.result, self.zone))
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
        (&self.name, &self.types, &self.result, self.zone, self.ansi)
            == (&other.name, &other.types, &other.result, other.zone, other.ansi)
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
        let call =
            Call { args: &args.args, rows, types: &self.types, result: &self.result, zone: self.zone, ansi: self.ansi };
        let column = match self.body {
            Body::Columns(run) => run(&call)?,
            Body::Rows { run, nulls } => self.by_rows(&call, run, nulls)?,
        };
        if column.data_type() != &self.result.arrow() || column.len() != rows {
            return exec_err!("{} gave {} rows of {}", self.name, column.len(), column.data_type());
        }
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?));
        }
        Ok(ColumnarValue::Array(column))
    }
}

impl Kernel {
    fn by_rows(&self, call: &Call<'_>, run: RowRun, nulls: bool) -> Result<ArrayRef> {
        let columns = (0..call.len())
            .map(|index| Column::new(&call.array(index)?, call.type_of(index)))
            .collect::<Result<Vec<_>>>()?;
        let mut found = Vec::with_capacity(call.rows);
        let mut values = Vec::with_capacity(columns.len());
        for row in 0..call.rows {
            values.clear();
            for column in &columns {
                values.push(column.at(row)?);
            }
            if !nulls && values.iter().any(Value::is_null) {
                found.push(Value::Null);
                continue;
            }
            let row =
                Row { values: &values, types: &self.types, result: &self.result, zone: self.zone, ansi: self.ansi };
            found.push(run(&row)?);
        }
        column(&found, &self.result)
    }
}
