//! Names and types for DataFusion's planner: our tables, our functions, Flink's types and arithmetic.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, TableReference};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, Operator, ScalarUDF, TableSource, WindowUDF, cast,
};
use datafusion::sql::planner::{NullOrdering, ParserOptions};
use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType as SqlType, TimezoneInfo};

use crate::catalog::{Catalog, CatalogTable, Entry};
use crate::functions::{Functions, decimal};

/// Flink's reading of SQL text: identifiers as written, `1.5` a decimal, NULL the lowest value.
pub(crate) fn parser_options() -> ParserOptions {
    ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_enable_ident_normalization(false)
        .with_support_varchar_with_length(true)
        .with_collect_spans(true)
        .with_map_string_types_to_utf8view(false)
        .with_default_null_ordering(NullOrdering::NullsMin)
}

/// What the planner may look up.
pub(crate) struct Binder<'a> {
    catalog: &'a Catalog,
    functions: &'a Functions,
    config: ConfigOptions,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(catalog: &'a Catalog, functions: &'a Functions) -> Self {
        let mut expr_planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(FlinkArithmetic)];
        expr_planners.extend(SessionStateDefaults::default_expr_planners());
        Self { catalog, functions, config: ConfigOptions::default(), expr_planners }
    }
}

impl ContextProvider for Binder<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.catalog.get(name.table()) {
            Ok(Entry::Table(table)) => Ok(Arc::new(CatalogTable(Arc::clone(table)))),
            Ok(Entry::View(view)) => Ok(Arc::clone(view) as _),
            Err(error) => Err(DataFusionError::External(Box::new(error))),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(FlinkTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar.get(&name.to_lowercase()).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate.get(&name.to_lowercase()).cloned()
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.config
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.scalar.keys().filter(|name| !name.starts_with('$')).cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Types inside expressions (`CAST(x AS TIMESTAMP(3))`) whose Arrow type differs from DataFusion's choice.
#[derive(Debug)]
struct FlinkTypes;

impl TypePlanner for FlinkTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let unit = |precision: &Option<u64>| match precision {
            Some(0) => TimeUnit::Second,
            None | Some(1..=3) => TimeUnit::Millisecond,
            Some(4..=6) => TimeUnit::Microsecond,
            Some(_) => TimeUnit::Nanosecond,
        };
        let data_type = match sql_type {
            SqlType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                DataType::Timestamp(unit(precision), None)
            }
            SqlType::Time(precision, _) => match unit(&precision.or(Some(0))) {
                unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
                unit => DataType::Time64(unit),
            },
            SqlType::Float(_) => DataType::Float32,
            SqlType::Bytes(_) | SqlType::Binary(_) | SqlType::Varbinary(_) => DataType::Binary,
            SqlType::Custom(name, modifiers) if name.to_string().eq_ignore_ascii_case("TIMESTAMP_LTZ") => {
                let precision = modifiers.first().and_then(|text| text.parse().ok()).or(Some(6));
                DataType::Timestamp(unit(&precision), Some("UTC".into()))
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}

/// Arithmetic by Flink's types: integer literals are INT where they fit, decimals keep Flink's precision and scale.
#[derive(Debug)]
struct FlinkArithmetic;

impl ExprPlanner for FlinkArithmetic {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        let (left, right) = (narrow(left), narrow(right));
        let operator = match op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            _ => return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
        };
        let (left_type, right_type) = (left.get_type(schema)?, right.get_type(schema)?);
        let (left, right) = (fixed_length(left, &right_type), fixed_length(right, &left_type));
        let is_decimal = |data_type: &DataType| matches!(data_type, DataType::Decimal128(_, _));
        let numeric = decimal::digits(&left_type).is_some() && decimal::digits(&right_type).is_some();
        if numeric
            && (is_decimal(&left_type) || is_decimal(&right_type))
            && let Some(planned) = decimal::arithmetic(operator, left.clone(), right.clone())
        {
            return Ok(PlannerResult::Planned(planned));
        }
        // DataFusion would turn DECIMAL with DOUBLE into a decimal in some operators; Flink computes in DOUBLE.
        if (is_decimal(&left_type) && right_type.is_floating()) || (left_type.is_floating() && is_decimal(&right_type))
        {
            let (left, right) = (cast(left, DataType::Float64), cast(right, DataType::Float64));
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        }
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

/// An integer literal that fits is INT.
fn narrow(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(value)), metadata) => match i32::try_from(value) {
            Ok(value) => Expr::Literal(ScalarValue::Int32(Some(value)), metadata),
            Err(_) => Expr::Literal(ScalarValue::Int64(Some(value)), metadata),
        },
        other => other,
    }
}

/// An interval of days to seconds beside a timestamp has a fixed length: as a duration in the timestamp's unit it is one
/// subtraction a row, where an interval would go through the calendar.
fn fixed_length(expr: Expr, beside: &DataType) -> Expr {
    let (Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), metadata), DataType::Timestamp(unit, _)) =
        (&expr, beside)
    else {
        return expr;
    };
    let nanos = i64::from(interval.days)
        .checked_mul(86_400_000_000_000)
        .and_then(|days| days.checked_add(interval.nanoseconds));
    let per_unit = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    match nanos {
        Some(nanos) if interval.months == 0 && nanos % per_unit == 0 => {
            let length = Some(nanos / per_unit);
            let duration = match unit {
                TimeUnit::Second => ScalarValue::DurationSecond(length),
                TimeUnit::Millisecond => ScalarValue::DurationMillisecond(length),
                TimeUnit::Microsecond => ScalarValue::DurationMicrosecond(length),
                TimeUnit::Nanosecond => ScalarValue::DurationNanosecond(length),
            };
            Expr::Literal(duration, metadata.clone())
        }
        _ => expr,
    }
}
