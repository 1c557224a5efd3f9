//! Relations, from the leaves up.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, GroupingSet, NullTreatment};
use datafusion::logical_expr::{
    Aggregate, Cast, Distinct, Expr, Filter, LogicalPlan, Projection, Sort, SortExpr, SubqueryAlias, Union, Values,
    bitwise_and, bitwise_or, bitwise_shift_left, bitwise_shift_right,
};
use headwater_change::{Error, Result};

use super::generate::lateral;
use super::{Context, Planned, Typed, convert};
use crate::dialect::Dialect;
use crate::functions::aggregate::bind_aggregate;
use crate::session::ours;
use crate::spark::functions::aggregate::bind as spark_aggregate;
use crate::types::SqlType;

impl Context<'_> {
    /// Settles the types of a plan.
    pub(crate) fn plan(&self, plan: LogicalPlan) -> Planned<LogicalPlan> {
        let plan = if self.dialect == Dialect::Spark { lateral(plan)? } else { plan };
        plan.transform_up(|node| self.relation(node).map(Transformed::yes)).map(|plan| plan.data)
    }

    fn relation(&self, node: LogicalPlan) -> Planned<LogicalPlan> {
        Ok(match node {
            LogicalPlan::Projection(projection) => self.projection(projection)?,
            LogicalPlan::Filter(filter) => {
                let predicate = self.predicate(&filter.predicate, filter.input.schema(), "WHERE").map_err(ours)?;
                LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate)?,
            LogicalPlan::Union(union) => self.union(union)?,
            LogicalPlan::Values(values) => self.values(&values).map_err(ours)?,
            LogicalPlan::SubqueryAlias(alias) => {
                LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(alias.input, alias.alias)?)
            }
            LogicalPlan::Join(join) => self.join(join)?,
            LogicalPlan::Window(window) => self.window(window)?,
            LogicalPlan::Sort(sort) => {
                let expr = self.sort_keys(&sort.expr, sort.input.schema()).map_err(ours)?;
                LogicalPlan::Sort(Sort { expr, ..sort })
            }
            LogicalPlan::Distinct(Distinct::On(_)) => return Err(ours(unsupported("DISTINCT ON"))),
            // What has columns of its own keeps them; what is not supported is refused where plans become operators.
            other => other,
        })
    }

    fn aggregate(&self, aggregate: Aggregate) -> Planned<LogicalPlan> {
        let schema = Arc::clone(aggregate.input.schema());
        let groups = self.groups(&aggregate.group_expr, &schema)?;
        let grouped = !groups.is_empty() && !groups.iter().any(|group| matches!(group, Expr::GroupingSet(_)));
        let call = |expr: &Expr| {
            let (relation, name) = expr.qualified_name();
            self.aggregate_call(expr, &schema, grouped).map(|typed| typed.named(relation, &name)).map_err(ours)
        };
        let (groupings, others): (Vec<&Expr>, Vec<&Expr>) =
            aggregate.aggr_expr.iter().partition(|expr| is_grouping(expr));
        let calls = others.into_iter().map(call).collect::<Planned<Vec<_>>>()?;
        let plan = Aggregate::try_new(aggregate.input, groups, calls)?;
        if groupings.is_empty() {
            return Ok(LogicalPlan::Aggregate(plan));
        }
        self.with_groupings(plan, &groupings, &schema)
    }

    /// An aggregate with `GROUPING` and `GROUPING_ID`: bits of the number that the engine gives each set of groups.
    fn with_groupings(&self, plan: Aggregate, calls: &[&Expr], schema: &DFSchema) -> Planned<LogicalPlan> {
        let [Expr::GroupingSet(set)] = plan.group_expr.as_slice() else {
            let error = Error::usage("sql.grouping", "GROUPING stands beside ROLLUP, CUBE or GROUPING SETS only");
            return Err(ours(error.hint("without them it is 0: leave it out")));
        };
        let distinct: Vec<Expr> = set.distinct_expr().into_iter().cloned().collect();
        let grouping = |call: &&Expr| -> Result<Expr> {
            let (relation, shown) = call.qualified_name();
            let Expr::AggregateFunction(AggregateFunction { func, params }) = unaliased(call) else {
                return Err(unsupported("such a GROUPING"));
            };
            let args = params.args.iter().map(|arg| self.expr(arg, schema).map(|typed| typed.expr));
            let args = args.collect::<Result<Vec<_>>>()?;
            let one = func.name() == "grouping";
            if one && args.len() != 1 {
                return Err(Error::usage("sql.arguments", "GROUPING takes 1 argument"));
            }
            let wanted = if args.is_empty() { &distinct } else { &args };
            let sql_type = if one { SqlType::TinyInt } else { SqlType::BigInt };
            let expr = Expr::Cast(Cast::new(Box::new(grouping_bits(wanted, &distinct)?), sql_type.arrow()));
            Ok(Typed::new(expr, sql_type, false).named(relation, &shown))
        };
        let groupings = calls.iter().map(grouping).collect::<Result<Vec<_>>>().map_err(ours)?;
        let columns = plan.schema.columns().into_iter().filter(|column| column.name != Aggregate::INTERNAL_GROUPING_ID);
        let columns = columns.map(Expr::Column).chain(groupings).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(plan)))?))
    }

    /// What is grouped by. Inside of ROLLUP, CUBE and GROUPING SETS stand columns: expressions have no name there.
    fn groups(&self, groups: &[Expr], schema: &DFSchema) -> Planned<Vec<Expr>> {
        let [Expr::GroupingSet(set)] = groups else {
            if groups.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
                return Err(ours(unsupported("ROLLUP, CUBE or GROUPING SETS beside other groups")));
            }
            return self.columns(groups, schema);
        };
        let columns = |exprs: &[Expr]| -> Planned<Vec<Expr>> {
            if exprs.iter().all(|expr| matches!(expr, Expr::Column(_))) {
                return self.columns(exprs, schema);
            }
            Err(ours(
                unsupported("an expression in ROLLUP, CUBE or GROUPING SETS")
                    .hint("give it a name in a view, and group by that"),
            ))
        };
        Ok(vec![Expr::GroupingSet(match set {
            GroupingSet::Rollup(exprs) => GroupingSet::Rollup(columns(exprs)?),
            GroupingSet::Cube(exprs) => GroupingSet::Cube(columns(exprs)?),
            GroupingSet::GroupingSets(sets) => {
                GroupingSet::GroupingSets(sets.iter().map(|set| columns(set)).collect::<Planned<_>>()?)
            }
        })])
    }

    /// What rows are sorted by.
    pub(super) fn sort_keys(&self, keys: &[SortExpr], schema: &DFSchema) -> Result<Vec<SortExpr>> {
        let key = |key: &SortExpr| {
            let typed = self.expr(&key.expr, schema)?;
            if matches!(typed.sql_type, SqlType::Other(_)) {
                return Err(Error::usage("sql.types", format!("rows cannot be sorted by a {}", typed.sql_type)));
            }
            Ok(SortExpr { expr: typed.expr, asc: key.asc, nulls_first: key.nulls_first })
        };
        keys.iter().map(key).collect()
    }

    pub(super) fn aggregate_call(&self, expr: &Expr, schema: &DFSchema, grouped: bool) -> Result<Typed> {
        let call = match expr {
            Expr::Alias(alias) => return self.aggregate_call(&alias.expr, schema, grouped),
            Expr::AggregateFunction(call) => call,
            other => return Err(Error::usage("sql.unsupported", format!("{other} as an aggregate"))),
        };
        let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } = &call.params;
        let spark = self.dialect == Dialect::Spark;
        if !order_by.is_empty() || null_treatment.is_some() && !spark {
            return Err(Error::usage(
                "sql.unsupported",
                "ORDER BY and NULLS inside an aggregate are not supported yet",
            ));
        }
        let filter = match filter {
            Some(filter) => Some(Box::new(self.predicate(filter, schema, "FILTER")?)),
            None => None,
        };
        let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
        // `COUNT(*)` counts rows, as a constant that is never NULL does.
        #[expect(deprecated, reason = "the planner hands the star of COUNT(*) on as this")]
        let rows = |arg: &Expr| call.func.name() == "count" && matches!(arg, Expr::Wildcard { .. });
        let args = args.iter().map(|arg| if rows(arg) { self.expr(&one, schema) } else { self.expr(arg, schema) });
        let mut args = args.collect::<Result<Vec<_>>>()?;
        if let Some(filter) = &filter {
            // What the filter excludes is not computed.
            args = args.into_iter().map(|arg| self.guarded(arg, filter)).collect();
        }
        let (func, args, sql_type, nullable) = if spark {
            let ignores = *null_treatment == Some(NullTreatment::IgnoreNulls);
            let (func, args, sql_type, nullable) = spark_aggregate(*self, call.func.name(), args, ignores)?;
            (func, args.into_iter().map(|arg| arg.expr).collect(), sql_type, nullable)
        } else {
            bind_aggregate(call.func.name(), args, grouped)?
        };
        let params =
            AggregateFunctionParams { args, distinct: *distinct, filter, order_by: Vec::new(), null_treatment: None };
        Ok(Typed::new(Expr::AggregateFunction(AggregateFunction { func, params }), sql_type, nullable))
    }

    /// The types that the columns of several inputs have in common, and whether they may be NULL.
    pub(super) fn common_columns(&self, inputs: &[&LogicalPlan], operation: &str) -> Planned<Vec<(SqlType, bool)>> {
        let width = inputs.first().map_or(0, |first| first.schema().fields().len());
        let common = |index: usize| {
            let fields = || inputs.iter().map(|input| input.schema().field(index));
            let columns: Vec<SqlType> = fields().map(|field| SqlType::of(field)).collect();
            let common = self.common(&columns).ok_or_else(|| {
                let shown: Vec<String> = columns.iter().map(ToString::to_string).collect();
                let name = fields().next().map(|field| field.name().clone()).unwrap_or_default();
                let what = format!("the column '{name}' of {operation} has no common type: {}", shown.join(", "));
                ours(Error::usage("sql.types", what).hint("CAST the columns to one type"))
            })?;
            Ok((common, fields().any(|field| field.is_nullable())))
        };
        (0..width).map(common).collect()
    }

    fn union(&self, union: Union) -> Planned<LogicalPlan> {
        let types = self.common_columns(&union.inputs.iter().map(AsRef::as_ref).collect::<Vec<_>>(), "UNION")?;
        let inputs = union.inputs.into_iter().map(|input| self.aligned(input, &types)).collect::<Planned<Vec<_>>>()?;
        let names = union.schema.iter().map(|(relation, field)| (relation.cloned(), field.name().clone()));
        let fields = names
            .zip(&types)
            .map(|((relation, name), (sql_type, nullable))| (relation, Arc::new(sql_type.field(name, *nullable))));
        let schema = DFSchema::new_with_metadata(fields.collect(), std::collections::HashMap::new())?;
        Ok(LogicalPlan::Union(Union { inputs, schema: Arc::new(schema) }))
    }

    /// An input of a set operation with its columns as `types`.
    pub(super) fn aligned(&self, input: Arc<LogicalPlan>, types: &[(SqlType, bool)]) -> Planned<Arc<LogicalPlan>> {
        let mut same = true;
        let mut exprs = Vec::with_capacity(types.len());
        for (column, (sql_type, _)) in input.schema().columns().into_iter().zip(types) {
            let typed = self.expr(&Expr::Column(column.clone()), input.schema()).map_err(ours)?;
            same &= typed.sql_type == *sql_type;
            let converted = convert(*self, typed, sql_type).map_err(ours)?;
            exprs.push(converted.named(column.relation, &column.name));
        }
        if same {
            return Ok(input);
        }
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, input)?)))
    }

    fn values(&self, values: &Values) -> Result<LogicalPlan> {
        let nothing = DFSchema::empty();
        let mut rows = Vec::with_capacity(values.values.len());
        for row in &values.values {
            rows.push(row.iter().map(|cell| self.expr(cell, &nothing)).collect::<Result<Vec<_>>>()?);
        }
        let width = values.schema.fields().len();
        let mut fields = Vec::with_capacity(width);
        let mut types = Vec::with_capacity(width);
        for index in 0..width {
            let cells = || rows.iter().filter_map(|row| row.get(index));
            let found: Vec<SqlType> = cells().map(|cell| cell.sql_type.clone()).collect();
            let name = values.schema.field(index).name();
            let common = self.common(&found);
            let common = common
                .filter(|common| self.dialect == Dialect::Spark || *common != SqlType::Null)
                .ok_or_else(|| {
                    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
                    Error::usage(
                        "sql.types",
                        format!("column {} of VALUES has no common type: {}", index + 1, shown.join(", ")),
                    )
                    .hint("CAST the values to one type")
                })?;
            fields.push(common.field(name.as_str(), cells().any(|cell| cell.nullable)));
            types.push(common);
        }
        let mut cells = Vec::with_capacity(rows.len());
        for row in rows {
            let converted = row.into_iter().zip(&types).map(|(cell, sql_type)| convert(*self, cell, sql_type));
            cells.push(converted.map(|cell| cell.map(|cell| cell.expr)).collect::<Result<Vec<_>>>()?);
        }
        let schema = DFSchema::try_from(Schema::new(fields))
            .map_err(|error| Error::bug("sql.values", "the columns of VALUES").caused_by(error))?;
        Ok(LogicalPlan::Values(Values { schema: Arc::new(schema), values: cells }))
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        expr => expr,
    }
}

fn is_grouping(expr: &Expr) -> bool {
    matches!(unaliased(expr), Expr::AggregateFunction(call) if matches!(call.func.name(), "grouping" | "grouping_id"))
}

/// A bit for each of some groups, set where a row is not grouped by it; the last group's bit is the lowest.
fn grouping_bits(wanted: &[Expr], groups: &[Expr]) -> Result<Expr> {
    let number = |value: i64| Expr::Literal(ScalarValue::Int64(Some(value)), None);
    let id = Expr::Cast(Cast::new(Box::new(Expr::Column(Aggregate::INTERNAL_GROUPING_ID.into())), DataType::Int64));
    let mut bits = number(0);
    for (place, expr) in wanted.iter().rev().enumerate() {
        let Some(group) = groups.iter().rev().position(|group| group == expr) else {
            return Err(Error::usage("sql.grouping", format!("GROUPING of {expr}, which is not grouped by")));
        };
        let bit = bitwise_and(bitwise_shift_right(id.clone(), number(group as i64)), number(1));
        bits = bitwise_or(bits, bitwise_shift_left(bit, number(place as i64)));
    }
    Ok(bits)
}

fn unsupported(what: &str) -> Error {
    Error::usage("sql.unsupported", format!("{what} is not supported yet"))
}
