//! Functions OVER a window: ranks and neighbours, and the aggregates.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::functions_window::cume_dist::cume_dist_udwf;
use datafusion::functions_window::lead_lag::{lag_udwf, lead_udwf};
use datafusion::functions_window::nth_value::{first_value_udwf, last_value_udwf, nth_value_udwf};
use datafusion::functions_window::ntile::ntile_udwf;
use datafusion::functions_window::rank::{dense_rank_udwf, percent_rank_udwf, rank_udwf};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Cast, Expr, ExprSchemable, LogicalPlan, Projection, SortExpr, Window, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowFunctionDefinition, WindowUDF,
};
use headwater_change::{Error, Result};

use super::{Context, Planned, Typed, convert};
use crate::dialect::Dialect;
use crate::functions::aggregate::bind_aggregate;
use crate::functions::{arity, refused};
use crate::session::ours;
use crate::spark::functions::aggregate::bind as spark_aggregate;
use crate::types::SqlType;

/// The functions that only make sense OVER a window.
pub(crate) const NAMES: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

/// The function of a name.
pub(crate) fn function(name: &str) -> Option<Arc<WindowUDF>> {
    Some(match name {
        "cume_dist" => cume_dist_udwf(),
        "dense_rank" => dense_rank_udwf(),
        "first_value" => first_value_udwf(),
        "lag" => lag_udwf(),
        "last_value" => last_value_udwf(),
        "lead" => lead_udwf(),
        "nth_value" => nth_value_udwf(),
        "ntile" => ntile_udwf(),
        "percent_rank" => percent_rank_udwf(),
        "rank" => rank_udwf(),
        "row_number" => row_number_udwf(),
        _ => return None,
    })
}

impl Context<'_> {
    pub(super) fn window(&self, window: Window) -> Planned<LogicalPlan> {
        let schema = window.input.schema();
        let column = |expr: &Expr| {
            let (relation, name) = expr.qualified_name();
            self.over(expr, schema).map(|typed| typed.named(relation, &name)).map_err(ours)
        };
        let exprs = window.window_expr.iter().map(column).collect::<Planned<Vec<_>>>()?;
        let own = window.input.schema().fields().len();
        let window = LogicalPlan::Window(Window::try_new(exprs, window.input)?);
        if !window.schema().fields().iter().any(|field| *field.data_type() == DataType::UInt64) {
            return Ok(window);
        }
        // The engine counts rows without a sign.
        let columns = window.schema().columns().into_iter().zip(window.schema().fields()).enumerate();
        let signed = columns.map(|(index, (column, field))| {
            let expr = Expr::Column(column.clone());
            if index < own || *field.data_type() != DataType::UInt64 {
                return expr;
            }
            let counted = if self.dialect == Dialect::Spark { DataType::Int32 } else { DataType::Int64 };
            let cast = Expr::Cast(Cast::new(Box::new(expr), counted));
            cast.alias_qualified(column.relation, column.name)
        });
        let signed = signed.collect();
        Ok(LogicalPlan::Projection(Projection::try_new(signed, Arc::new(window))?))
    }

    fn over(&self, expr: &Expr, schema: &DFSchema) -> Result<Typed> {
        let call = match expr {
            Expr::Alias(alias) => return self.over(&alias.expr, schema),
            Expr::WindowFunction(call) => call,
            other => return Err(Error::bug("sql.window", format!("{other} OVER a window"))),
        };
        let WindowFunctionParams { args, partition_by, order_by, window_frame, filter, null_treatment, distinct } =
            &call.params;
        let name = call.fun.name();
        let shown = name.to_uppercase();
        if *distinct || filter.is_some() {
            return Err(Error::usage("sql.unsupported", format!("DISTINCT or FILTER in {shown} OVER a window")));
        }
        let offset = |bound: &WindowFrameBound| matches!(bound, WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) if !value.is_null());
        let slides = !matches!(&window_frame.start_bound, WindowFrameBound::Preceding(value) if value.is_null());
        let partition_by = partition_by.iter().map(|key| self.expr(key, schema).map(|key| key.expr));
        let partition_by = partition_by.collect::<Result<Vec<_>>>()?;
        let order_by = self.sort_keys(order_by, schema)?;
        let mut window_frame = window_frame.clone();
        if window_frame.units == WindowFrameUnits::Range
            && (offset(&window_frame.start_bound) || offset(&window_frame.end_bound))
        {
            self.distance(&mut window_frame, &order_by, schema)?;
        }
        let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
        #[expect(deprecated, reason = "the planner hands the star of COUNT(*) on as this")]
        let args = args.iter().map(|arg| match arg {
            Expr::Wildcard { .. } if name == "count" => self.expr(&one, schema),
            arg => self.expr(arg, schema),
        });
        let args = args.collect::<Result<Vec<_>>>()?;
        let (fun, args, sql_type, nullable) = match function(name) {
            Some(function) => {
                let (args, sql_type, nullable) = self.bind_window(name, args)?;
                (WindowFunctionDefinition::WindowUDF(function), args, sql_type, nullable)
            }
            None => {
                if slides
                    && self.dialect == Dialect::Flink
                    && matches!(name, "sum" | "avg")
                    && args.iter().any(|arg| arg.sql_type.is_approximate())
                {
                    return Err(Error::usage(
                        "sql.unsupported",
                        format!("{shown} of a DOUBLE or FLOAT over rows that leave"),
                    )
                    .hint("CAST it to a DECIMAL, or begin the window at UNBOUNDED PRECEDING"));
                }
                let (function, args, sql_type, nullable) = if self.dialect == Dialect::Spark {
                    let ignores = *null_treatment == Some(NullTreatment::IgnoreNulls);
                    let (function, args, sql_type, nullable) = spark_aggregate(*self, name, args, ignores)?;
                    (function, args.into_iter().map(|arg| arg.expr).collect(), sql_type, nullable)
                } else {
                    bind_aggregate(name, args, false)?
                };
                (WindowFunctionDefinition::AggregateUDF(function), args, sql_type, nullable)
            }
        };
        let params = WindowFunctionParams {
            args,
            partition_by,
            order_by,
            window_frame,
            filter: None,
            null_treatment: *null_treatment,
            distinct: false,
        };
        Ok(Typed::new(Expr::WindowFunction(Box::new(WindowFunction { fun, params })), sql_type, nullable))
    }

    /// `RANGE BETWEEN 5 PRECEDING …`: the distance is of the type of the key.
    fn distance(&self, frame: &mut WindowFrame, order_by: &[SortExpr], schema: &DFSchema) -> Result<()> {
        let refused = |what: &str| {
            Error::usage("sql.unsupported", format!("a RANGE of a distance over {what} is not supported yet"))
                .hint("write ROWS BETWEEN … where a number of rows is meant")
        };
        let [key] = order_by else { return Err(refused("more than one key")) };
        let field = key.expr.to_field(schema).map_err(|_| refused("such a key"))?.1;
        let data_type = field.data_type();
        if self.dialect != Dialect::Spark || !data_type.is_signed_integer() {
            return Err(refused(&format!("a key of {data_type}")));
        }
        for bound in [&mut frame.start_bound, &mut frame.end_bound] {
            let (WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value)) = bound else { continue };
            *value = value.cast_to(data_type).map_err(|_| refused(&format!("a key of {data_type}")))?;
        }
        Ok(())
    }

    /// Arguments of a function that only makes sense OVER a window, and its type.
    fn bind_window(&self, name: &str, args: Vec<Typed>) -> Result<(Vec<Expr>, SqlType, bool)> {
        let shown = name.to_uppercase();
        let exprs = |args: Vec<Typed>| args.into_iter().map(|arg| arg.expr).collect::<Vec<_>>();
        match (name, args.as_slice()) {
            ("row_number" | "rank" | "dense_rank", []) if self.dialect == Dialect::Spark => {
                Ok((Vec::new(), SqlType::Int, false))
            }
            ("ntile", [count]) if self.dialect == Dialect::Spark && count.sql_type.is_integer() => {
                Ok((exprs(args), SqlType::Int, false))
            }
            ("row_number" | "rank" | "dense_rank", []) => Ok((Vec::new(), SqlType::BigInt, false)),
            ("percent_rank" | "cume_dist", []) => Ok((Vec::new(), SqlType::Double, false)),
            ("ntile", [count]) if count.sql_type.is_integer() => Ok((exprs(args), SqlType::BigInt, false)),
            ("first_value" | "last_value", [value]) => {
                let sql_type = value.sql_type.clone();
                Ok((exprs(args), sql_type, true))
            }
            ("nth_value", [value, index]) if index.sql_type.is_integer() => {
                let sql_type = value.sql_type.clone();
                Ok((exprs(args), sql_type, true))
            }
            ("lag" | "lead", [value, rest @ ..]) if rest.len() < 3 => {
                if rest.first().is_some_and(|offset| !offset.sql_type.is_integer()) {
                    return Err(refused(&shown, &args));
                }
                let sql_type = value.sql_type.clone();
                let mut args = args.into_iter();
                let mut bound: Vec<Expr> = args.by_ref().take(2).map(|arg| arg.expr).collect();
                for default in args {
                    bound.push(convert(*self, default, &sql_type)?.expr);
                }
                Ok((bound, sql_type, true))
            }
            _ => Err(arity(&shown, "other arguments")),
        }
    }
}
