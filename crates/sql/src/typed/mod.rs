//! Types, by Flink's rules: the one place that decides what an expression means. A plan comes in as DataFusion's planner
//! made it, with names resolved and everything else unbound; it goes out with operators and functions whose operands agree
//! exactly, so that no coercion of the engine below has anything left to do.
//!
//! * `expression`: operators, branches, predicates, calls
//! * `literal`: constants
//! * here: relations, from the leaves up; each relation's columns are known before the expressions over them
//!
//! What Flink refuses is refused here; so is what is not known to mean what Flink means by it.

mod expression;
mod literal;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue, TableReference};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, Alias, FieldMetadata};
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan, Projection, SubqueryAlias, Union, Values};
use headwater_change::{Error, Result, TimeZone};

use crate::functions::aggregate::bind_aggregate;
use crate::functions::{Functions, ValueText};
use crate::session::ours;
use crate::types::{SqlType, common_type};

pub(crate) use expression::{convert, operator_name};
pub(crate) use literal::{constant, interval, null, typed_text};

/// What the meaning of an expression depends on beside its operands.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The functions by name.
    pub(crate) functions: &'a Functions,
    /// The session's time zone.
    pub(crate) zone: TimeZone,
    /// Text of values, as `CAST(x AS STRING)` gives it.
    pub(crate) text: ValueText,
}

/// An expression with its type.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) sql_type: SqlType,
    pub(crate) nullable: bool,
}

impl Typed {
    pub(crate) fn new(expr: Expr, sql_type: SqlType, nullable: bool) -> Self {
        Self { expr, sql_type, nullable }
    }

    /// The expression as a column `name` that says its whole type.
    fn named(self, relation: Option<TableReference>, name: &str) -> Expr {
        let metadata = self.sql_type.metadata().map(|entry| FieldMetadata::from(BTreeMap::from([entry])));
        match (&self.expr, &metadata) {
            // A column says it already.
            (Expr::Column(column), _) if column.name == name && column.relation == relation => self.expr,
            _ => Expr::Alias(Alias { expr: Box::new(self.expr), relation, name: name.to_owned(), metadata }),
        }
    }
}

type Planned<T> = std::result::Result<T, DataFusionError>;

impl Context<'_> {
    /// Settles the types of a plan.
    pub(crate) fn plan(&self, plan: LogicalPlan) -> Planned<LogicalPlan> {
        plan.transform_up(|node| self.relation(node).map(Transformed::yes)).map(|plan| plan.data)
    }

    /// Settles the types of one expression over the columns of `schema`.
    pub(crate) fn single(&self, expr: &Expr, schema: &DFSchema) -> Planned<Typed> {
        self.expr(expr, schema).map_err(ours)
    }

    fn relation(&self, node: LogicalPlan) -> Planned<LogicalPlan> {
        Ok(match node {
            LogicalPlan::Projection(projection) => {
                let exprs = self.columns(&projection.expr, projection.input.schema())?;
                LogicalPlan::Projection(Projection::try_new(exprs, projection.input)?)
            }
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
            // What has columns of its own keeps them; what is not supported is refused where plans become operators.
            other => other,
        })
    }

    /// Expressions as columns under the names that they had.
    fn columns(&self, exprs: &[Expr], schema: &DFSchema) -> Planned<Vec<Expr>> {
        let column = |expr: &Expr| {
            let (relation, name) = expr.qualified_name();
            self.expr(expr, schema).map(|typed| typed.named(relation, &name)).map_err(ours)
        };
        exprs.iter().map(column).collect()
    }

    /// A condition, which must be BOOLEAN.
    fn predicate(&self, expr: &Expr, schema: &DFSchema, place: &str) -> Result<Expr> {
        let typed = self.expr(expr, schema)?;
        match typed.sql_type {
            SqlType::Boolean => Ok(typed.expr),
            other => Err(Error::usage("sql.types", format!("{place} takes a BOOLEAN, not {other}"))),
        }
    }

    fn aggregate(&self, aggregate: Aggregate) -> Planned<LogicalPlan> {
        let schema = Arc::clone(aggregate.input.schema());
        let groups = self.columns(&aggregate.group_expr, &schema)?;
        let grouped = !groups.is_empty();
        let call = |expr: &Expr| {
            let (relation, name) = expr.qualified_name();
            self.aggregate_call(expr, &schema, grouped).map(|typed| typed.named(relation, &name)).map_err(ours)
        };
        let calls = aggregate.aggr_expr.iter().map(call).collect::<Planned<Vec<_>>>()?;
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(aggregate.input, groups, calls)?))
    }

    fn aggregate_call(&self, expr: &Expr, schema: &DFSchema, grouped: bool) -> Result<Typed> {
        let call = match expr {
            Expr::Alias(alias) => return self.aggregate_call(&alias.expr, schema, grouped),
            Expr::AggregateFunction(call) => call,
            other => return Err(Error::usage("sql.unsupported", format!("{other} as an aggregate"))),
        };
        let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } = &call.params;
        if !order_by.is_empty() || null_treatment.is_some() {
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
        let (func, args, sql_type, nullable) = bind_aggregate(call.func.name(), args, grouped)?;
        let params =
            AggregateFunctionParams { args, distinct: *distinct, filter, order_by: Vec::new(), null_treatment: None };
        Ok(Typed::new(Expr::AggregateFunction(AggregateFunction { func, params }), sql_type, nullable))
    }

    fn union(&self, union: Union) -> Planned<LogicalPlan> {
        let width = union.schema.fields().len();
        let mut types = Vec::with_capacity(width);
        for index in 0..width {
            let columns = union.inputs.iter().map(|input| SqlType::of(input.schema().field(index)));
            let columns: Vec<SqlType> = columns.collect();
            let nullable = union.inputs.iter().any(|input| input.schema().field(index).is_nullable());
            let common = common_type(&columns).ok_or_else(|| {
                let shown: Vec<String> = columns.iter().map(ToString::to_string).collect();
                let name = union.schema.field(index).name();
                ours(
                    Error::usage(
                        "sql.types",
                        format!("the column '{name}' of UNION has no common type: {}", shown.join(", ")),
                    )
                    .hint("CAST the columns to one type"),
                )
            })?;
            types.push((common, nullable));
        }
        let inputs = union.inputs.into_iter().map(|input| self.aligned(input, &types)).collect::<Planned<Vec<_>>>()?;
        let names = union.schema.iter().map(|(relation, field)| (relation.cloned(), field.name().clone()));
        let fields = names
            .zip(&types)
            .map(|((relation, name), (sql_type, nullable))| (relation, Arc::new(sql_type.field(name, *nullable))));
        let schema = DFSchema::new_with_metadata(fields.collect(), std::collections::HashMap::new())?;
        Ok(LogicalPlan::Union(Union { inputs, schema: Arc::new(schema) }))
    }

    /// An input of UNION with its columns as `types`.
    fn aligned(&self, input: Arc<LogicalPlan>, types: &[(SqlType, bool)]) -> Planned<Arc<LogicalPlan>> {
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
            let common = common_type(&found).filter(|common| *common != SqlType::Null).ok_or_else(|| {
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
