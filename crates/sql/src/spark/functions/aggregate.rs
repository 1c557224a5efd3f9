//! Spark's aggregates.
//!
//! | aggregate | result |
//! |---|---|
//! | `SUM` | BIGINT, DOUBLE, DECIMAL of ten digits more; what overflows fails |
//! | `AVG` | DOUBLE, DECIMAL of four digits more on both sides of the point |
//! | others | as written at [`result_of`] |
//!
//! SUM and AVG of numbers are computed per group in columns ([`super::super::sum`]); the others keep their rows or moments.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as Planned, ScalarValue, exec_err};
use datafusion::functions_aggregate::{count::count_udaf, min_max::max_udaf, min_max::min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};
use headwater_change::{Error, Result};

use super::sliding::Sliding;
use super::{Takes, refused};
use crate::functions::arity;
use crate::functions::value::{Column, Value, column};
use crate::spark::operators::{failed, order};
use crate::spark::sum::SparkSum;
use crate::spark::types::{adjusted, array_of};
use crate::typed::{Context, Typed};
use crate::types::{STRING, SqlType};

/// Names of the aggregates.
pub(crate) const NAMES: &[&str] = &[
    "any",
    "any_value",
    "approx_percentile",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "collect_list",
    "collect_set",
    "corr",
    "count",
    "count_if",
    "covar_pop",
    "covar_samp",
    "every",
    "first",
    "first_value",
    "kurtosis",
    "last",
    "last_value",
    "listagg",
    "max",
    "max_by",
    "mean",
    "median",
    "min",
    "min_by",
    "mode",
    "percentile",
    "percentile_approx",
    "percentile_cont",
    "percentile_disc",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "skewness",
    "some",
    "std",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "try_avg",
    "try_sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// An aggregate over arguments whose types are known: the function, its arguments, the type of its result, and whether
/// that can be NULL.
pub(crate) fn bind(
    context: Context<'_>,
    name: &str,
    mut args: Vec<Typed>,
    ignore_nulls: bool,
) -> Result<(Arc<AggregateUDF>, Vec<Typed>, SqlType, bool)> {
    let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
    let wrong = || refused(name, &types);
    match name {
        "count" => {
            if args.len() != 1 {
                // Rows in which none is NULL.
                args = vec![all_there(context, args)?];
            }
            return Ok((count_udaf(), args, SqlType::BigInt, false));
        }
        "min" | "max" => {
            let [arg] = <[Typed; 1]>::try_from(args).map_err(|_| arity(&name.to_uppercase(), "one argument"))?;
            let sql_type = arg.sql_type.clone();
            // Arrow's order of floats is Spark's but for -0.0, and of text it is that of bytes.
            let plain = !matches!(sql_type, SqlType::Other(_) | SqlType::Float | SqlType::Double | SqlType::Null);
            if plain {
                return Ok((if name == "min" { min_udaf() } else { max_udaf() }, vec![arg], sql_type, true));
            }
            return Ok((
                own(context, name, std::slice::from_ref(&arg), sql_type.clone(), false),
                vec![arg],
                sql_type,
                true,
            ));
        }
        "sum" | "avg" | "mean" | "try_sum" | "try_avg" => return sum(context, name, args),
        "regr_avgx" | "regr_avgy" => {
            let [y, x] = <[Typed; 2]>::try_from(args).map_err(|_| arity(&name.to_uppercase(), "two arguments"))?;
            let averaged = if name == "regr_avgy" { y.clone() } else { x.clone() };
            let both = Expr::and(Expr::IsNotNull(Box::new(y.expr)), Expr::IsNotNull(Box::new(x.expr)));
            let averaged = context.branches(vec![(Typed::new(both, SqlType::Boolean, false), averaged)], None)?;
            return sum(context, "avg", vec![averaged]);
        }
        _ => {}
    }
    if matches!(name, "approx_percentile" | "percentile_approx") && args.len() == 3 {
        // How exact it is to be: it is exact.
        args.pop();
    }
    let first = args.first().map_or(SqlType::Null, |arg| arg.sql_type.clone());
    let mut ignore = ignore_nulls;
    if matches!(name, "first" | "first_value" | "last" | "last_value" | "any_value") && args.len() == 2 {
        let flag = args.pop().map(|flag| flag.expr);
        ignore = match flag {
            Some(Expr::Literal(ScalarValue::Boolean(Some(flag)), _)) => flag,
            _ => {
                return Err(Error::usage(
                    "sql.arguments",
                    format!("the second argument of {} is TRUE or FALSE", name.to_uppercase()),
                ));
            }
        };
    }
    let takes: &[Takes] = match name {
        "count_if" | "bool_and" | "every" | "bool_or" | "some" | "any" => &[Takes::Bool],
        "stddev" | "std" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop" | "skewness"
        | "kurtosis" | "median" => &[Takes::Double],
        "corr" | "covar_pop" | "covar_samp" | "regr_count" => &[Takes::Double, Takes::Double],
        "percentile" | "percentile_cont" | "percentile_disc" => &[Takes::Double, Takes::Any],
        "approx_percentile" | "percentile_approx" if first.is_timestamp() || first == SqlType::Date => {
            &[Takes::Any, Takes::Any]
        }
        "approx_percentile" | "percentile_approx" => &[Takes::Number, Takes::Any],
        "max_by" | "min_by" => &[Takes::Any, Takes::Any],
        "bit_and" | "bit_or" | "bit_xor" => &[Takes::Number],
        "listagg" | "string_agg" => &[Takes::Text, Takes::Text],
        _ => &[Takes::Any],
    };
    let optional = matches!(name, "listagg" | "string_agg");
    if args.len() > takes.len() || args.len() < takes.len() && !(optional && args.len() == 1) {
        return Err(arity(&name.to_uppercase(), &format!("{} arguments", takes.len())));
    }
    let mut taken = Vec::with_capacity(args.len());
    for (arg, takes) in args.into_iter().zip(takes) {
        taken.push(super::taken(context, arg, *takes)?.ok_or_else(wrong)?);
    }
    let result = match name {
        "count_if" | "regr_count" => SqlType::BigInt,
        "bool_and" | "every" | "bool_or" | "some" | "any" => SqlType::Boolean,
        "collect_list" | "array_agg" | "collect_set" => array_of(&first),
        "listagg" | "string_agg" => STRING,
        "bit_and" | "bit_or" | "bit_xor" if first.is_integer() => first,
        "bit_and" | "bit_or" | "bit_xor" => return Err(wrong()),
        "max_by" | "min_by" | "first" | "first_value" | "any_value" | "last" | "last_value" | "mode" => first,
        "percentile" if matches!(types.get(1), Some(SqlType::Other(_))) => array_of(&SqlType::Double),
        "approx_percentile" | "percentile_approx" => {
            let one = taken.first().map_or(SqlType::Null, |arg| arg.sql_type.clone());
            if matches!(types.get(1), Some(SqlType::Other(_))) { array_of(&one) } else { one }
        }
        _ => SqlType::Double,
    };
    if name.contains("percentile") {
        let share = taken.pop().ok_or_else(wrong)?;
        let target =
            if matches!(share.sql_type, SqlType::Other(_)) { array_of(&SqlType::Double) } else { SqlType::Double };
        taken.push(super::as_type(context, share, &target)?);
    }
    let nullable = !matches!(name, "count_if" | "regr_count" | "collect_list" | "array_agg" | "collect_set");
    Ok((own(context, name, &taken, result.clone(), ignore), taken, result, nullable))
}

/// TRUE where none of the arguments is NULL, otherwise NULL.
pub(crate) fn all_there(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let known = |arg: Typed| Expr::IsNotNull(Box::new(arg.expr));
    let condition = args.into_iter().map(known).reduce(Expr::and);
    let condition = condition.ok_or_else(|| arity("COUNT", "at least one argument"))?;
    let truth = Typed::new(Expr::Literal(ScalarValue::Boolean(Some(true)), None), SqlType::Boolean, false);
    context.branches(vec![(Typed::new(condition, SqlType::Boolean, false), truth)], None)
}

fn sum(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<(Arc<AggregateUDF>, Vec<Typed>, SqlType, bool)> {
    let [arg] = <[Typed; 1]>::try_from(args).map_err(|_| arity(&name.to_uppercase(), "one argument"))?;
    let found = [arg.sql_type.clone()];
    let arg = super::taken(context, arg, Takes::Number)?.ok_or_else(|| refused(name, &found))?;
    let averages = name.ends_with("avg") || name == "mean";
    let (input, result) = match &arg.sql_type {
        SqlType::Decimal(precision, scale) if averages => {
            let (p, s) = adjusted(i32::from(*precision) + 4, i32::from(*scale) + 4);
            // The plain bound of Spark: digits in front of the point go before those behind it.
            let (p, s) = if precision + 4 > 38 { (38, (*scale + 4).min(38)) } else { (p, s) };
            (arg.sql_type.clone(), SqlType::Decimal(p, s))
        }
        SqlType::Decimal(precision, scale) => {
            (arg.sql_type.clone(), SqlType::Decimal((*precision + 10).min(38), *scale))
        }
        whole if whole.is_integer() && !averages => (SqlType::BigInt, SqlType::BigInt),
        _ => (SqlType::Double, SqlType::Double),
    };
    let arg = super::as_type(context, arg, &input)?;
    let lenient = name.starts_with("try") || !context.ansi;
    let function = SparkSum::new(averages, lenient, input, result.clone());
    Ok((Arc::new(AggregateUDF::from(function)), vec![arg], result, true))
}

fn own(context: Context<'_>, name: &str, args: &[Typed], result: SqlType, ignore_nulls: bool) -> Arc<AggregateUDF> {
    let function = SparkAggregate {
        name: name.to_owned(),
        types: args.iter().map(|arg| arg.sql_type.clone()).collect(),
        result,
        ignore_nulls,
        zone: context.zone,
        signature: Signature::variadic_any(Volatility::Immutable),
    };
    Arc::new(AggregateUDF::from(function))
}

/// An aggregate that keeps what it needs as values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SparkAggregate {
    name: String,
    types: Vec<SqlType>,
    result: SqlType,
    ignore_nulls: bool,
    zone: headwater_change::TimeZone,
    signature: Signature,
}

impl AggregateUDFImpl for SparkAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Planned<DataType> {
        Ok(self.result.arrow())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Planned<Box<dyn Accumulator>> {
        Ok(Box::new(Rows::new(self.clone(), args.is_distinct)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Planned<Box<dyn Accumulator>> {
        let (function, distinct) = (self.clone(), args.is_distinct);
        Ok(Box::new(Sliding::new(move || Ok(Box::new(Rows::new(function.clone(), distinct)) as _))))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Planned<Vec<FieldRef>> {
        let rows = array_of(&self.row_type());
        let moments = array_of(&SqlType::Double);
        Ok(vec![
            Arc::new(Field::new(format!("{}[rows]", args.name), rows.arrow(), true)),
            Arc::new(Field::new(format!("{}[moments]", args.name), moments.arrow(), true)),
        ])
    }
}

impl SparkAggregate {
    /// The arguments of a row as one type.
    fn row_type(&self) -> SqlType {
        let fields = self.types.iter().enumerate().map(|(index, kind)| (format!("c{index}"), kind.clone()));
        crate::spark::types::struct_of(&fields.collect::<Vec<_>>())
    }

    fn moments_only(&self) -> bool {
        matches!(
            self.name.as_str(),
            "stddev"
                | "std"
                | "stddev_samp"
                | "stddev_pop"
                | "variance"
                | "var_samp"
                | "var_pop"
                | "skewness"
                | "kurtosis"
                | "corr"
                | "covar_pop"
                | "covar_samp"
                | "regr_count"
        )
    }

    /// Whether of two values only one is to be kept.
    fn keeps_one(&self) -> bool {
        matches!(
            self.name.as_str(),
            "min"
                | "max"
                | "first"
                | "first_value"
                | "any_value"
                | "last"
                | "last_value"
                | "max_by"
                | "min_by"
                | "bool_and"
                | "every"
                | "bool_or"
                | "some"
                | "any"
                | "bit_and"
                | "bit_or"
                | "bit_xor"
                | "count_if"
        )
    }
}

/// Moments of one or two columns, by Spark's updates and merges.
#[derive(Clone, Debug, Default)]
struct Moments {
    count: f64,
    mean: [f64; 2],
    m2: [f64; 2],
    m3: f64,
    m4: f64,
    co: f64,
}

impl Moments {
    fn add_one(&mut self, x: f64) {
        self.count += 1.0;
        let delta = x - self.mean[0];
        let part = delta / self.count;
        self.mean[0] += part;
        let m2 = self.m2[0] + delta * (delta - part);
        let (delta2, part2) = (delta * delta, part * part);
        let m3 = self.m3 - 3.0 * part * m2 + delta * (delta2 - part2);
        self.m4 = self.m4 - 4.0 * part * m3 - 6.0 * part2 * m2 + delta * (delta * delta2 - part * part2);
        (self.m2[0], self.m3) = (m2, m3);
    }

    fn add_pair(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        let (dx, dy) = (x - self.mean[0], y - self.mean[1]);
        self.mean[0] += dx / self.count;
        self.mean[1] += dy / self.count;
        self.co += dx * (y - self.mean[1]);
        self.m2[0] += dx * (x - self.mean[0]);
        self.m2[1] += dy * (y - self.mean[1]);
    }

    fn merge(&mut self, other: &Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other.clone();
            return;
        }
        let (n1, n2) = (self.count, other.count);
        let count = n1 + n2;
        let delta = other.mean[0] - self.mean[0];
        let part = delta / count;
        let (d2, d1) = (other.mean[1] - self.mean[1], delta);
        self.co += other.co + d1 * d2 * n1 * n2 / count;
        self.m4 += other.m4
            + part * part * part * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
            + 6.0 * part * part * (n1 * n1 * other.m2[0] + n2 * n2 * self.m2[0])
            + 4.0 * part * (n1 * other.m3 - n2 * self.m3);
        self.m3 +=
            other.m3 + part * part * delta * n1 * n2 * (n1 - n2) + 3.0 * part * (n1 * other.m2[0] - n2 * self.m2[0]);
        self.m2[0] += other.m2[0] + delta * part * n1 * n2;
        self.m2[1] += other.m2[1] + d2 * (d2 / count) * n1 * n2;
        self.mean[0] += part * n2;
        self.mean[1] += d2 / count * n2;
        self.count = count;
    }

    fn fields(&self) -> [f64; 9] {
        [self.count, self.mean[0], self.mean[1], self.m2[0], self.m2[1], self.m3, self.m4, self.co, 0.0]
    }

    fn of(fields: &[Value]) -> Self {
        let at = |index: usize| fields.get(index).map_or(0.0, Value::float);
        Self { count: at(0), mean: [at(1), at(2)], m2: [at(3), at(4)], m3: at(5), m4: at(6), co: at(7) }
    }
}

#[derive(Debug)]
struct Rows {
    function: SparkAggregate,
    distinct: bool,
    rows: Vec<Vec<Value>>,
    /// The different rows of before, by their digest.
    seen: HashMap<u64, Vec<Vec<Value>>>,
    moments: Moments,
}

impl Rows {
    fn new(function: SparkAggregate, distinct: bool) -> Self {
        Self { function, distinct, rows: Vec::new(), seen: HashMap::new(), moments: Moments::default() }
    }

    fn add(&mut self, row: Vec<Value>) {
        let name = self.function.name.as_str();
        if self.distinct || name == "collect_set" {
            if row.iter().any(Value::is_null)
                && !matches!(name, "first" | "first_value" | "any_value" | "last" | "last_value")
            {
                return;
            }
            let known = self.seen.entry(digest(&row)).or_default();
            if known.iter().any(|known| equal(known, &row)) {
                return;
            }
            known.push(row.clone());
        }
        if self.function.moments_only() {
            if self.distinct {
                // The state of another part is these rows.
                self.rows.push(row.clone());
            }
            match (row.as_slice(), self.function.types.len()) {
                ([x], 1) if !x.is_null() => self.moments.add_one(x.float()),
                // Of regressions the second is the independent one.
                ([x, y], 2) if !x.is_null() && !y.is_null() => self.moments.add_pair(x.float(), y.float()),
                _ => {}
            }
            return;
        }
        let Some(first) = row.first() else { return };
        let keyed = matches!(name, "max_by" | "min_by");
        let ordered = matches!(name, "first" | "first_value" | "any_value" | "last" | "last_value");
        let skipped = match (keyed, ordered) {
            (true, _) => row.get(1).is_none_or(Value::is_null),
            (_, true) => self.function.ignore_nulls && first.is_null(),
            _ => first.is_null(),
        };
        if skipped {
            return;
        }
        if !self.function.keeps_one() {
            self.rows.push(row);
            return;
        }
        let Some(kept) = self.rows.first_mut() else {
            let row = if name == "count_if" { vec![Value::Int(i64::from(first.truth()))] } else { row };
            self.rows.push(row);
            return;
        };
        let held = kept.first().cloned().unwrap_or(Value::Null);
        let replaced = match name {
            "min" => order(first, &held) == Ordering::Less,
            "max" => order(first, &held) == Ordering::Greater,
            "max_by" => {
                order(row.get(1).unwrap_or(&Value::Null), kept.get(1).unwrap_or(&Value::Null)) != Ordering::Less
            }
            "min_by" => {
                order(row.get(1).unwrap_or(&Value::Null), kept.get(1).unwrap_or(&Value::Null)) != Ordering::Greater
            }
            "last" | "last_value" => true,
            _ => false,
        };
        let folded = match name {
            "bool_and" | "every" => Some(Value::Bool(held.truth() && first.truth())),
            "bool_or" | "some" | "any" => Some(Value::Bool(held.truth() || first.truth())),
            "bit_and" => Some(Value::Int(held.int() & first.int())),
            "bit_or" => Some(Value::Int(held.int() | first.int())),
            "bit_xor" => Some(Value::Int(held.int() ^ first.int())),
            "count_if" => Some(Value::Int(held.int() + i64::from(first.truth()))),
            _ => None,
        };
        match folded {
            Some(folded) => *kept = vec![folded],
            None if replaced => *kept = row,
            None => {}
        }
    }

    /// A kept row of another part, which for folds is a result already.
    fn merge(&mut self, row: Vec<Value>) {
        if self.function.name != "count_if" {
            return self.add(row);
        }
        let more = row.first().map_or(0, Value::int);
        match self.rows.first_mut().and_then(|kept| kept.first_mut()) {
            Some(count) => *count = Value::Int(count.int() + more),
            None => self.rows.push(row),
        }
    }

    fn firsts(&self) -> impl Iterator<Item = &Value> {
        self.rows.iter().filter_map(|row| row.first())
    }

    fn result(&self) -> Planned<Value> {
        let Moments { count, m2, m3, m4, co, .. } = &self.moments;
        let positive = |found: f64| if *count == 0.0 { Value::Null } else { Value::Float(found) };
        let sample = |found: f64| if *count <= 1.0 { Value::Null } else { Value::Float(found) };
        Ok(match self.function.name.as_str() {
            "var_pop" => positive(m2[0] / count),
            "stddev_pop" => positive((m2[0] / count).sqrt()),
            "variance" | "var_samp" => sample(m2[0] / (count - 1.0)),
            "stddev" | "std" | "stddev_samp" => sample((m2[0] / (count - 1.0)).sqrt()),
            "skewness" if m2[0] == 0.0 => Value::Null,
            "skewness" => positive(count.sqrt() * m3 / (m2[0] * m2[0] * m2[0]).sqrt()),
            "kurtosis" if m2[0] == 0.0 => Value::Null,
            "kurtosis" => positive(count * m4 / (m2[0] * m2[0]) - 3.0),
            "covar_pop" => positive(co / count),
            "covar_samp" => sample(co / (count - 1.0)),
            "corr" if *count <= 1.0 => Value::Null,
            "corr" => Value::Float(co / (m2[0] * m2[1]).sqrt()),
            "regr_count" => Value::Int(*count as i64),
            "collect_list" | "array_agg" | "collect_set" => Value::List(self.firsts().cloned().collect()),
            "count_if" => self.firsts().next().cloned().unwrap_or(Value::Int(0)),
            "median" => percentile(self.sorted(), 0.5, false),
            "percentile" | "percentile_cont" | "percentile_disc" | "percentile_approx" | "approx_percentile" => {
                let Some(share) = self.rows.first().and_then(|row| row.get(1)) else { return Ok(Value::Null) };
                match share {
                    Value::List(shares) => {
                        let each = shares.iter().map(|share| self.at_share(share.float()));
                        Value::List(each.collect::<Planned<_>>()?)
                    }
                    share => self.at_share(share.float())?,
                }
            }
            "mode" => mode(self.firsts()),
            "listagg" | "string_agg" if self.rows.is_empty() => Value::Null,
            "listagg" | "string_agg" => {
                let between = self.rows.first().and_then(|row| row.get(1)).map_or("", Value::text);
                Value::Text(self.firsts().map(Value::text).collect::<Vec<_>>().join(between))
            }
            _ => self.firsts().next().cloned().unwrap_or(Value::Null),
        })
    }

    /// The value below which a share of all is.
    fn at_share(&self, share: f64) -> Planned<Value> {
        if !(0.0..=1.0).contains(&share) {
            return Err(failed("sql.argument", format!("a percentile of {share}"), "it is between 0 and 1"));
        }
        Ok(match self.function.name.as_str() {
            "percentile_approx" | "approx_percentile" => {
                let mut values: Vec<&Value> = self.firsts().collect();
                values.sort_by(|a, b| order(a, b));
                values.get(rank(share, values.len())).map_or(Value::Null, |value| (*value).clone())
            }
            name => percentile(self.sorted(), share, name == "percentile_disc"),
        })
    }

    fn sorted(&self) -> Vec<f64> {
        let mut numbers: Vec<f64> = self.firsts().map(Value::float).collect();
        numbers.sort_by(f64::total_cmp);
        numbers
    }
}

fn equal(a: &[Value], b: &[Value]) -> bool {
    a.iter().zip(b).all(|(a, b)| order(a, b) == Ordering::Equal)
}

/// The same for rows that are equal.
fn digest(row: &[Value]) -> u64 {
    fn add(value: &Value, state: &mut DefaultHasher) {
        match value {
            Value::Null => 0_u8.hash(state),
            Value::Bool(truth) => truth.hash(state),
            Value::Int(number) => number.hash(state),
            // 0.0 and -0.0 are equal, and so are all that are no numbers.
            Value::Float(number) if *number == 0.0 || number.is_nan() => number.is_nan().hash(state),
            Value::Float(number) => number.to_bits().hash(state),
            Value::Decimal(number) => number.hash(state),
            Value::Text(text) => text.hash(state),
            Value::Bytes(bytes) => bytes.hash(state),
            Value::List(items) | Value::Struct(items) => items.iter().for_each(|item| add(item, state)),
            Value::Map(entries) => entries.len().hash(state),
        }
    }
    let mut state = DefaultHasher::new();
    row.iter().for_each(|value| add(value, &mut state));
    state.finish()
}

/// The place of the first of so many that has a share of them up to it.
fn rank(share: f64, count: usize) -> usize {
    (share * count as f64).ceil().max(1.0) as usize - 1
}

fn percentile(numbers: Vec<f64>, share: f64, discrete: bool) -> Value {
    let Some(last) = numbers.len().checked_sub(1) else { return Value::Null };
    let at = |index: usize| numbers.get(index.min(last)).copied().unwrap_or(f64::NAN);
    if discrete {
        return Value::Float(at(rank(share, numbers.len())));
    }
    let position = share * last as f64;
    let (low, high) = (position.floor(), position.ceil());
    let (a, b) = (at(low as usize), at(high as usize));
    Value::Float(if low == high || a == b { a } else { (high - position) * a + (position - low) * b })
}

/// What comes most often; of several the first is not known, so the least is taken.
fn mode<'a>(values: impl Iterator<Item = &'a Value>) -> Value {
    let mut values: Vec<&Value> = values.collect();
    values.sort_by(|a, b| order(a, b));
    let runs = values.chunk_by(|a, b| order(a, b) == Ordering::Equal);
    let longest = runs.reduce(|most, run| if run.len() > most.len() { run } else { most });
    longest.and_then(|run| run.first()).map_or(Value::Null, |value| (*value).clone())
}

impl Accumulator for Rows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Planned<()> {
        let columns = values.iter().zip(&self.function.types).map(|(array, kind)| Column::new(array, kind));
        let columns = columns.collect::<Planned<Vec<_>>>()?;
        let rows = values.first().map_or(0, |first| first.len());
        if self.function.moments_only() && !self.distinct {
            // Of two halves, as Spark's tasks leave them to be merged: the last digits depend on it.
            for half in [0..rows / 2, rows / 2..rows] {
                let mut part = Self::new(self.function.clone(), self.distinct);
                for row in half {
                    part.add(columns.iter().map(|column| column.at(row)).collect::<Planned<Vec<_>>>()?);
                }
                self.moments.merge(&part.moments);
            }
            return Ok(());
        }
        for row in 0..rows {
            let values = columns.iter().map(|column| column.at(row)).collect::<Planned<Vec<_>>>()?;
            self.add(values);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Planned<ScalarValue> {
        scalar(self.result()?, &self.function.result)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.len() * (size_of::<Value>() * self.function.types.len() + 48)
    }

    fn state(&mut self) -> Planned<Vec<ScalarValue>> {
        let rows = Value::List(self.rows.iter().map(|row| Value::Struct(row.clone())).collect());
        let moments = Value::List(self.moments.fields().map(Value::Float).to_vec());
        // A count stands in the place of its argument.
        if self.function.name == "count_if" {
            let truths = self.rows.first().and_then(|row| row.first()).map_or(0, Value::int);
            let rows = Value::List(Vec::new());
            let mut fields = self.moments.fields();
            fields[8] = truths as f64;
            let moments = Value::List(fields.map(Value::Float).to_vec());
            return Ok(vec![
                scalar(rows, &array_of(&self.function.row_type()))?,
                scalar(moments, &array_of(&SqlType::Double))?,
            ]);
        }
        Ok(vec![scalar(rows, &array_of(&self.function.row_type()))?, scalar(moments, &array_of(&SqlType::Double))?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Planned<()> {
        let [rows, moments] = states else { return exec_err!("{} keeps two states", self.function.name) };
        let row_type = self.function.row_type();
        let rows = Column::new(rows, &array_of(&row_type))?;
        let fields = Column::new(moments, &array_of(&SqlType::Double))?;
        for index in 0..moments.len() {
            for row in rows.at(index)?.list() {
                self.merge(row.list().to_vec());
            }
            let fields = fields.at(index)?;
            if self.function.name == "count_if" {
                let truths = fields.list().get(8).map_or(0, |count| count.float() as i64);
                self.merge(vec![Value::Int(truths)]);
            } else if !self.distinct {
                self.moments.merge(&Moments::of(fields.list()));
            }
        }
        Ok(())
    }
}

fn scalar(value: Value, sql_type: &SqlType) -> Planned<ScalarValue> {
    let array = column(&[value], sql_type)?;
    ScalarValue::try_from_array(&array, 0)
}
