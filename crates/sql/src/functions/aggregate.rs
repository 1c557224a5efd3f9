//! Aggregates by Flink's types: SUM of an integer keeps its type and wraps, AVG of an integer is that integer truncated,
//! decimals keep their scale. The stream engine computes them itself; the accumulators here are what batch runs.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::functions_aggregate::{count::count_udaf, min_max::max_udaf, min_max::min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};
use headwater_change::Error;

use crate::typed::Typed;
use crate::types::SqlType;

/// Names of the aggregates.
pub(crate) const NAMES: &[&str] = &["avg", "count", "max", "min", "sum"];

/// An aggregate over arguments whose types are known: the function, its arguments, the type of its result and whether
/// that can be NULL. `grouped` says that no group is empty.
pub(crate) fn bind_aggregate(
    name: &str,
    args: Vec<Typed>,
    grouped: bool,
) -> headwater_change::Result<(Arc<AggregateUDF>, Vec<Expr>, SqlType, bool)> {
    let shown = name.to_uppercase();
    let [arg] = <[Typed; 1]>::try_from(args).map_err(|_| super::arity(&shown, "one argument"))?;
    if arg.sql_type == SqlType::Null {
        return Err(
            Error::usage("sql.null", format!("{shown}(NULL): NULL has no type here")).hint("write CAST(NULL AS INT)")
        );
    }
    let nullable = arg.nullable || !grouped;
    let mean = |name: &'static str| {
        Arc::new(AggregateUDF::from(FlinkMean { name, signature: Signature::any(1, Volatility::Immutable) }))
    };
    let (function, sql_type, nullable) = match name {
        "count" => (count_udaf(), SqlType::BigInt, false),
        "min" | "max" => {
            if arg.sql_type.is_bytes() || matches!(arg.sql_type, SqlType::Other(_) | SqlType::Months | SqlType::Millis)
            {
                return Err(super::refused(&shown, &[arg]));
            }
            (if name == "min" { min_udaf() } else { max_udaf() }, arg.sql_type.clone(), nullable)
        }
        "sum" | "avg" => {
            let averages = name == "avg";
            let result = match &arg.sql_type {
                SqlType::Decimal(_, scale) => SqlType::Decimal(38, if averages { (*scale).max(6) } else { *scale }),
                number if number.is_numeric() => number.clone(),
                _ => return Err(super::refused(&shown, &[arg])),
            };
            (if averages { mean("avg") } else { mean("sum") }, result, nullable)
        }
        _ => return Err(Error::usage("sql.unknown_function", format!("the aggregate {shown} is not known"))),
    };
    Ok((function, vec![arg.expr], sql_type, nullable))
}

/// SUM and AVG.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FlinkMean {
    name: &'static str,
    signature: Signature,
}

impl FlinkMean {
    fn averages(&self) -> bool {
        self.name == "avg"
    }
}

impl AggregateUDFImpl for FlinkMean {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args.first() {
            Some(DataType::Decimal128(_, scale)) => {
                Ok(DataType::Decimal128(38, if self.averages() { (*scale).max(6) } else { *scale }))
            }
            Some(number) if number.is_signed_integer() || number.is_floating() => Ok(number.clone()),
            _ => plan_err!("{} takes one number", self.name.to_uppercase()),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(MeanAccumulator {
            averages: self.averages(),
            distinct: args.is_distinct.then(Default::default),
            argument: args.expr_fields.first().map_or(DataType::Null, |field| field.data_type().clone()),
            result: args.return_field.data_type().clone(),
            integer: 0,
            scale: 0,
            float: 0.0,
            count: 0,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            let values = args.input_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
            let name = format!("{}[distinct]", args.name);
            return Ok(vec![Arc::new(Field::new_list(name, Field::new_list_field(values, true), true))]);
        }
        let field = |name: &str, data_type| Arc::new(Field::new(format!("{}[{name}]", args.name), data_type, true));
        Ok(vec![
            field("integer", DataType::Decimal128(38, 0)),
            field("scale", DataType::Int64),
            field("float", DataType::Float64),
            field("count", DataType::Int64),
        ])
    }
}

#[derive(Debug)]
struct MeanAccumulator {
    averages: bool,
    distinct: Option<HashSet<ScalarValue>>,
    argument: DataType,
    result: DataType,
    /// Sum of integers, or of unscaled decimals.
    integer: i128,
    /// Scale of the unscaled decimals.
    scale: i8,
    float: f64,
    count: i64,
}

impl MeanAccumulator {
    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        match values.data_type() {
            DataType::Null => {}
            DataType::Decimal128(_, scale) => {
                self.scale = *scale;
                for value in values.as_primitive::<Decimal128Type>().iter().flatten() {
                    self.integer = self.integer.wrapping_add(value);
                    self.count += 1;
                }
            }
            number if number.is_floating() => {
                for value in cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().iter().flatten() {
                    self.float += value;
                    self.count += 1;
                }
            }
            _ => {
                for value in cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().iter().flatten() {
                    self.integer = self.integer.wrapping_add(i128::from(value));
                    self.count += 1;
                }
            }
        }
        Ok(())
    }

    fn decimal(&self, precision: u8, scale: i8) -> Option<i128> {
        let shift = u32::try_from(scale - self.scale).ok()?;
        let value = if self.averages {
            let scaled = self.integer.checked_mul(10_i128.checked_pow(shift)?)?;
            let count = i128::from(self.count);
            let (quotient, remainder) = (scaled / count, scaled % count);
            quotient + if remainder.abs() * 2 >= count { scaled.signum() } else { 0 }
        } else {
            self.integer
        };
        Decimal128Type::validate_decimal_precision(value, precision, scale).is_ok().then_some(value)
    }
}

impl Accumulator for MeanAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return exec_err!("SUM and AVG take one argument") };
        let Some(mut seen) = self.distinct.take() else { return self.add(values) };
        for row in 0..values.len() {
            if !values.is_null(row) && seen.insert(ScalarValue::try_from_array(values, row)?) {
                self.add(&values.slice(row, 1))?;
            }
        }
        self.distinct = Some(seen);
        Ok(())
    }

    /// Rows that leave a window. A sum of floats depends on which were ever in it, so it is not taken back.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let kept = (self.integer, self.count);
        (self.integer, self.count) = (0, 0);
        self.update_batch(values)?;
        (self.integer, self.count) = (kept.0.wrapping_sub(self.integer), kept.1 - self.count);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        !self.argument.is_floating() && self.distinct.is_none()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&self.result);
        }
        // AVG of an integer divides a sum that wraps at 64 bits: Flink keeps it in a BIGINT.
        let whole = if self.averages { i128::from(self.integer as i64 / self.count) } else { self.integer };
        let float = if self.averages { self.float / self.count as f64 } else { self.float };
        // Narrowing wraps on purpose: that is what SUM of an integer does in Flink.
        Ok(match &self.result {
            DataType::Int8 => ScalarValue::Int8(Some(whole as i8)),
            DataType::Int16 => ScalarValue::Int16(Some(whole as i16)),
            DataType::Int32 => ScalarValue::Int32(Some(whole as i32)),
            DataType::Int64 => ScalarValue::Int64(Some(whole as i64)),
            DataType::Float32 => ScalarValue::Float32(Some(float as f32)),
            DataType::Float64 => ScalarValue::Float64(Some(float)),
            DataType::Decimal128(p, s) => ScalarValue::Decimal128(self.decimal(*p, *s), *p, *s),
            other => return exec_err!("SUM and AVG do not give {other}"),
        })
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.distinct.as_ref().map_or(0, |seen| seen.len() * size_of::<ScalarValue>() * 2)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        if let Some(seen) = &self.distinct {
            let values: Vec<ScalarValue> = seen.iter().cloned().collect();
            return Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.argument))]);
        }
        Ok(vec![
            ScalarValue::Decimal128(Some(self.integer), 38, 0),
            ScalarValue::Int64(Some(i64::from(self.scale))),
            ScalarValue::Float64(Some(self.float)),
            ScalarValue::Int64(Some(self.count)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if let (true, [lists]) = (self.distinct.is_some(), states) {
            return lists.as_list::<i32>().iter().flatten().try_for_each(|values| self.update_batch(&[values]));
        }
        let [integer, scale, float, count] = states else { return exec_err!("SUM and AVG keep four states") };
        for row in 0..integer.len() {
            let rows = count.as_primitive::<Int64Type>().value(row);
            if rows > 0 {
                self.integer = self.integer.wrapping_add(integer.as_primitive::<Decimal128Type>().value(row));
                self.scale = i8::try_from(scale.as_primitive::<Int64Type>().value(row)).unwrap_or(0);
                self.float += float.as_primitive::<Float64Type>().value(row);
                self.count += rows;
            }
        }
        Ok(())
    }
}
