//! Arithmetic by Flink's types.
//!
//! | operands | result |
//! |---|---|
//! | integers | the wider type, wrapping; `%` the type of the right one |
//! | FLOAT or DOUBLE with an integer | that type; of two the left one's; with a decimal DOUBLE; `%` is refused |
//! | a decimal with a decimal or an integer | see [`decimal`]; `%` of two without a fraction has the right one's type |
//! | times and intervals | see [`temporal`] |
//!
//! Integers wrap as in Java: the least one divided by -1 is itself. Division of whole numbers and decimals by zero fails.

pub(crate) mod decimal;
mod temporal;

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::kernels::numeric::{add_wrapping, mul_wrapping, neg_wrapping, sub_wrapping};
use arrow::compute::{binary, cast_with_options, try_binary};
use arrow::datatypes::{
    DataType, Decimal128Type, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow::error::ArrowError;
use datafusion::common::{Result as Planned, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use headwater_change::{Error, Result};

use crate::functions::kernel::{Call, Kernel};
use crate::typed::{Context, Typed};
use crate::types::SqlType;

/// One operator of a chain, with the types on both sides of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Step {
    operator: Operator,
    left: SqlType,
    right: SqlType,
    result: SqlType,
}

/// `a + b - c …` over numbers, evaluated from the left in one function.
pub(crate) struct Arithmetic {
    operands: Vec<Typed>,
    steps: Vec<Step>,
    sql_type: SqlType,
    nullable: bool,
}

impl Arithmetic {
    /// A chain of one operand.
    pub(crate) fn begin(first: Typed) -> Self {
        Self { sql_type: first.sql_type.clone(), nullable: first.nullable, operands: vec![first], steps: Vec::new() }
    }

    /// The chain with one operand more; gives both back where they are not numbers.
    pub(crate) fn push(mut self, operator: Operator, right: Typed) -> std::result::Result<Self, Box<(Self, Typed)>> {
        let Some(result) = result_type(operator, &self.sql_type, &right.sql_type) else {
            return Err(Box::new((self, right)));
        };
        self.steps.push(Step { operator, left: self.sql_type, right: right.sql_type.clone(), result: result.clone() });
        self.nullable |= right.nullable;
        self.sql_type = result;
        self.operands.push(right);
        Ok(self)
    }

    /// The chain as an expression.
    pub(crate) fn finish(mut self, _context: Context<'_>) -> Typed {
        if self.steps.is_empty()
            && let Some(only) = self.operands.pop()
        {
            return only;
        }
        let signature = Signature::variadic_any(Volatility::Immutable);
        let (sql_type, nullable) = (self.sql_type, self.nullable);
        let function = ArithmeticChain { steps: self.steps, result: sql_type.clone(), nullable, signature };
        let args = self.operands.into_iter().map(|operand| operand.expr).collect();
        Typed::new(ScalarUDF::from(function).call(args), sql_type, nullable)
    }
}

/// `left operator right`, over numbers, times or intervals.
pub(crate) fn arithmetic(context: Context<'_>, operator: Operator, left: Typed, right: Typed) -> Result<Typed> {
    match Arithmetic::begin(left).push(operator, right) {
        Ok(chain) => Ok(chain.finish(context)),
        Err(refused) => {
            let (mut chain, right) = *refused;
            match chain.operands.pop() {
                Some(left) => temporal::arithmetic(context, operator, left, right),
                None => Err(Error::bug("sql.operands", "an operator without operands")),
            }
        }
    }
}

/// `-x`.
pub(crate) fn negate(context: Context<'_>, value: Typed) -> Result<Typed> {
    let Typed { expr, sql_type, nullable } = value;
    if !sql_type.is_numeric() && !matches!(sql_type, SqlType::Months | SqlType::Millis) {
        return Err(Error::usage("sql.types", format!("- does not take {sql_type}")));
    }
    let kernel = Kernel::new("-", sql_type.clone(), nullable, context.zone, run_negate);
    Ok(Typed::new(kernel.call([(expr, sql_type.clone())]), sql_type, nullable))
}

fn run_negate(call: &Call<'_>) -> Planned<ArrayRef> {
    let value = call.array(0)?;
    match call.result {
        SqlType::Months | SqlType::Millis => temporal::negate(&value),
        SqlType::Decimal(..) => Ok(Arc::new(
            value
                .as_primitive::<Decimal128Type>()
                .unary::<_, Decimal128Type>(|value| -value)
                .with_data_type(call.result.arrow()),
        )),
        _ => Ok(neg_wrapping(&value)?),
    }
}

/// The type of a number's arithmetic, or `None` where there is none.
fn result_type(operator: Operator, left: &SqlType, right: &SqlType) -> Option<SqlType> {
    if !left.is_numeric() || !right.is_numeric() {
        return None;
    }
    let modulo = operator == Operator::Modulo;
    match (left.is_approximate(), right.is_approximate()) {
        (true, _) | (_, true) if modulo => None,
        (true, true) => Some(left.clone()),
        (true, false) | (false, true) => {
            let (approximate, exact) = if left.is_approximate() { (left, right) } else { (right, left) };
            Some(if matches!(exact, SqlType::Decimal(..)) { SqlType::Double } else { approximate.clone() })
        }
        (false, false) if left.is_integer() && right.is_integer() => Some(if modulo {
            right.clone()
        } else if left.digits() > right.digits() {
            left.clone()
        } else {
            right.clone()
        }),
        (false, false) => {
            let (left, right_digits) = (left.digits()?, right.digits()?);
            if modulo && left.1 == 0 && right_digits.1 == 0 {
                return Some(right.clone());
            }
            let (precision, scale) = decimal::result_digits(operator, left, right_digits);
            Some(SqlType::Decimal(precision, scale))
        }
    }
}

/// The function behind a chain.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ArithmeticChain {
    steps: Vec<Step>,
    result: SqlType,
    nullable: bool,
    signature: Signature,
}

impl ArithmeticChain {
    /// `(a + b - c)`.
    pub(crate) fn spell(&self, args: &[String]) -> String {
        let mut text = String::from("(");
        for (index, arg) in args.iter().enumerate() {
            if let Some(step) = index.checked_sub(1).and_then(|step| self.steps.get(step)) {
                text.push_str(&format!(" {} ", step.operator));
            }
            text.push_str(arg);
        }
        text.push(')');
        text
    }
}

impl ScalarUDFImpl for ArithmeticChain {
    fn name(&self) -> &str {
        "arithmetic"
    }

    fn display_name(&self, args: &[datafusion::logical_expr::Expr]) -> Planned<String> {
        Ok(self.spell(&args.iter().map(ToString::to_string).collect::<Vec<_>>()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Planned<DataType> {
        Ok(self.result.arrow())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Planned<FieldRef> {
        Ok(Arc::new(self.result.field("arithmetic", self.nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Planned<ColumnarValue> {
        let mut operands = args.args.into_iter();
        let Some(mut left) = operands.next() else { return exec_err!("arithmetic without operands") };
        for (step, right) in self.steps.iter().zip(operands) {
            left = run_step(step, &left, &right, args.number_rows)?;
        }
        Ok(left)
    }
}

/// One operation. Two constants give a constant.
fn run_step(step: &Step, left: &ColumnarValue, right: &ColumnarValue, rows: usize) -> Planned<ColumnarValue> {
    let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { rows };
    let result = match &step.result {
        SqlType::Decimal(precision, scale) => decimal_step(step, left, right, (*precision, *scale), rows)?,
        whole if whole.is_integer() && step.left.is_integer() && step.right.is_integer() => {
            integer_step(step, left, right, rows)?
        }
        whole if whole.is_integer() => {
            // A decimal without a fraction modulo an integer.
            let digits = (38, 0);
            wrapped(&decimal_step(step, left, right, digits, rows)?, &whole.arrow())?
        }
        SqlType::Float => float_step::<Float32Type>(step, left, right, rows)?,
        _ => float_step::<Float64Type>(step, left, right, rows)?,
    };
    if constant {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
    }
    Ok(ColumnarValue::Array(result))
}

fn decimal_step(
    step: &Step,
    left: &ColumnarValue,
    right: &ColumnarValue,
    digits: (u8, u8),
    rows: usize,
) -> Planned<ArrayRef> {
    let (Some(left_digits), Some(right_digits)) = (step.left.digits(), step.right.digits()) else {
        return exec_err!("decimal arithmetic over {} and {}", step.left, step.right);
    };
    let (left, right) = (left.to_array(rows)?, right.to_array(rows)?);
    decimal::decimals(step.operator, (&left, left_digits), (&right, right_digits), digits)
}

/// Integers in the wider of both types; a remainder is cut to the right one's.
fn integer_step(step: &Step, left: &ColumnarValue, right: &ColumnarValue, rows: usize) -> Planned<ArrayRef> {
    let wide = if step.left.digits() > step.right.digits() { &step.left } else { &step.right };
    let result = match wide {
        SqlType::TinyInt => integers::<Int8Type>(step.operator, left, right, rows)?,
        SqlType::SmallInt => integers::<Int16Type>(step.operator, left, right, rows)?,
        SqlType::Int => integers::<Int32Type>(step.operator, left, right, rows)?,
        _ => integers::<Int64Type>(step.operator, left, right, rows)?,
    };
    wrapped(&result, &step.result.arrow())
}

fn integers<T: ArrowPrimitiveType>(
    operator: Operator,
    left: &ColumnarValue,
    right: &ColumnarValue,
    rows: usize,
) -> Planned<ArrayRef> {
    let (left, right) = (left.cast_to(&T::DATA_TYPE, None)?, right.cast_to(&T::DATA_TYPE, None)?);
    let wrapping = match operator {
        Operator::Plus => add_wrapping,
        Operator::Minus => sub_wrapping,
        Operator::Multiply => mul_wrapping,
        _ => return quotient::<T>(operator, &left.to_array(rows)?, &right.to_array(rows)?),
    };
    Ok(match (&left, &right) {
        (ColumnarValue::Array(left), ColumnarValue::Array(right)) => wrapping(left, right)?,
        (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => wrapping(left, &right.to_scalar()?)?,
        (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => wrapping(&left.to_scalar()?, right)?,
        (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => wrapping(&left.to_array()?, &right.to_array()?)?,
    })
}

fn quotient<T: ArrowPrimitiveType>(operator: Operator, left: &ArrayRef, right: &ArrayRef) -> Planned<ArrayRef> {
    let divides = operator == Operator::Divide;
    let result: PrimitiveArray<T> = try_binary(left.as_primitive::<T>(), right.as_primitive::<T>(), |left, right| {
        if right.is_zero() {
            return Err(ArrowError::DivideByZero);
        }
        Ok(if divides { left.div_wrapping(right) } else { left.mod_wrapping(right) })
    })
    .map_err(by_zero)?;
    Ok(Arc::new(result))
}

fn by_zero(error: ArrowError) -> datafusion::common::DataFusionError {
    match error {
        ArrowError::DivideByZero => datafusion::common::DataFusionError::Execution("division by zero".to_owned()),
        other => other.into(),
    }
}

fn float_step<T: ArrowPrimitiveType>(
    step: &Step,
    left: &ColumnarValue,
    right: &ColumnarValue,
    rows: usize,
) -> Planned<ArrayRef> {
    let (left, right) =
        (left.cast_to(&T::DATA_TYPE, None)?.to_array(rows)?, right.cast_to(&T::DATA_TYPE, None)?.to_array(rows)?);
    let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
    let result: PrimitiveArray<T> = match step.operator {
        Operator::Plus => binary(left, right, |a, b| a.add_wrapping(b))?,
        Operator::Minus => binary(left, right, |a, b| a.sub_wrapping(b))?,
        Operator::Multiply => binary(left, right, |a, b| a.mul_wrapping(b))?,
        _ => binary(left, right, |a, b| a.div_wrapping(b))?,
    };
    Ok(Arc::new(result))
}

/// Whole numbers in another width, by their low bits.
fn wrapped(values: &ArrayRef, to: &DataType) -> Planned<ArrayRef> {
    if values.data_type() == to {
        return Ok(Arc::clone(values));
    }
    let wide: Vec<Option<i128>> = match values.data_type() {
        DataType::Decimal128(..) => values.as_primitive::<Decimal128Type>().iter().collect(),
        _ => {
            let wide = cast_with_options(values, &DataType::Int64, &arrow::compute::CastOptions::default())?;
            wide.as_primitive::<Int64Type>().iter().map(|value| value.map(i128::from)).collect()
        }
    };
    // Cutting off the high bits is what Java's narrowing does.
    Ok(match to {
        DataType::Int8 => Arc::new(PrimitiveArray::<Int8Type>::from_iter(wide.into_iter().map(|v| v.map(|v| v as i8)))),
        DataType::Int16 => {
            Arc::new(PrimitiveArray::<Int16Type>::from_iter(wide.into_iter().map(|v| v.map(|v| v as i16))))
        }
        DataType::Int32 => {
            Arc::new(PrimitiveArray::<Int32Type>::from_iter(wide.into_iter().map(|v| v.map(|v| v as i32))))
        }
        _ => Arc::new(PrimitiveArray::<Int64Type>::from_iter(wide.into_iter().map(|v| v.map(|v| v as i64)))),
    })
}
