//! From DataFusion's `LogicalPlan` to [`StreamPlan`]: chains of filters and projections become one pass, aggregates over
//! window bounds become window aggregates, tables become scan, computed columns and watermark.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, DataFusionError};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Aggregate as LogicalAggregate, Expr, ExprSchemable, LogicalPlan, TableScan, Union as LogicalUnion, Values, and,
};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use headwater_change::{ChangelogMode, Error, Result};

use crate::catalog::{CatalogTable, Origin, Table};
use crate::functions::window::{Bound, rowtime_of_end, tumble_bound};
use crate::fuse::{fuse, gives_rowtime, unaliased};
use crate::guard::guarded;
use crate::plan::{
    Aggregate, AggregateCall, AggregateFunction, Calc, Node, NodeKind, StreamPlan, Watermark, Window, WindowAggregate,
};
use crate::session::{Pipeline, bare, fits};

/// Collects nodes, inputs before their readers.
#[derive(Debug, Default)]
pub(crate) struct Converter {
    nodes: Vec<Node>,
    unbounded: bool,
    over_nothing: bool,
}

impl Converter {
    /// Nothing yet; with `over_nothing` a global aggregate over no input is a row.
    pub(crate) fn new(over_nothing: bool) -> Self {
        Self { over_nothing, ..Self::default() }
    }

    /// The finished pipeline.
    pub(crate) fn finish(self, collects: bool) -> Pipeline {
        Pipeline { plan: StreamPlan { nodes: self.nodes }, bounded: !self.unbounded, collects }
    }

    /// Ends a query at the caller.
    pub(crate) fn collect(&mut self, plan: &LogicalPlan) -> Result<()> {
        let input = self.build(plan)?;
        let schema = self.schema(input)?;
        let schema = unique_names(&schema);
        let mode = self.mode(input);
        self.push(NodeKind::Collect, vec![input], schema, mode);
        Ok(())
    }

    /// Ends a query at a table.
    pub(crate) fn sink(&mut self, plan: &LogicalPlan, table: &Table) -> Result<()> {
        if table.capabilities.only_batch {
            return Err(Error::usage(
                "sql.sink_batch",
                format!("the connector '{}' of '{}' is not written by streams yet", table.connector, table.name),
            )
            .hint("SET 'execution.runtime-mode' = 'batch', where the input ends"));
        }
        let input = self.build(plan)?;
        let mode = self.mode(input);
        if !table.capabilities.sink.as_ref().is_some_and(|accepts| fits(&mode, accepts)) {
            return Err(Error::usage(
                "sql.sink_updates",
                format!("'{}' takes only new rows, the query also changes and takes back rows", table.name),
            )
            .hint("count in windows (GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), …), or write to a connector that takes updates, such as print"));
        }
        let spec = table.sink_spec();
        let schema = Arc::clone(&spec.schema);
        self.push(NodeKind::Sink(spec), vec![input], schema, mode);
        Ok(())
    }

    fn push(&mut self, kind: NodeKind, inputs: Vec<u32>, schema: SchemaRef, mode: ChangelogMode) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node { id, kind, inputs, schema, mode });
        id
    }

    fn node(&self, id: u32) -> Option<&Node> {
        usize::try_from(id).ok().and_then(|index| self.nodes.get(index))
    }

    fn mode(&self, id: u32) -> ChangelogMode {
        self.node(id).map_or(ChangelogMode::Retract, |node| node.mode.clone())
    }

    fn schema(&self, id: u32) -> Result<SchemaRef> {
        let node = self.node(id).ok_or_else(|| Error::bug("sql.convert", "a node reads one that is not there"))?;
        Ok(Arc::clone(&node.schema))
    }

    fn build(&mut self, plan: &LogicalPlan) -> Result<u32> {
        match plan {
            LogicalPlan::Projection(projection) => self.calc(projection.expr.clone(), None, &projection.input, plan),
            LogicalPlan::Filter(filter) => {
                let columns = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
                self.calc(columns, Some(filter.predicate.clone()), &filter.input, plan)
            }
            LogicalPlan::SubqueryAlias(alias) => self.build(&alias.input),
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(empty) => {
                let options = RecordBatchOptions::new().with_row_count(Some(usize::from(empty.produce_one_row)));
                let schema = Arc::new(empty.schema.as_arrow().clone());
                let columns: Vec<ArrayRef> =
                    schema.fields().iter().map(|field| new_null_array(field.data_type(), 0)).collect();
                let rows = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
                    .map_err(|error| Error::bug("sql.convert", "an empty relation").caused_by(error))?;
                Ok(self.push(NodeKind::Values(rows), vec![], schema, ChangelogMode::Append))
            }
            LogicalPlan::Join(_) => Err(unsupported("joins")),
            LogicalPlan::Window(_) => Err(unsupported("OVER windows, Top-N and deduplication")),
            LogicalPlan::Sort(_) => Err(unsupported("ORDER BY over a stream")),
            LogicalPlan::Limit(_) => Err(unsupported("LIMIT over a stream")),
            LogicalPlan::Unnest(_) => Err(unsupported("UNNEST")),
            other => Err(unsupported(&other.display().to_string())),
        }
    }

    /// A filter and a projection over `input`, fused with the filters and projections below.
    fn calc(
        &mut self,
        exprs: Vec<Expr>,
        predicate: Option<Expr>,
        input: &LogicalPlan,
        plan: &LogicalPlan,
    ) -> Result<u32> {
        let fused = fuse(exprs, predicate, input).map_err(external)?;
        let base = self.build(fused.base)?;
        let schema = Arc::new(plan.schema().as_arrow().clone());
        self.calc_node(base, fused.base.schema(), &fused.exprs, fused.predicate.as_ref(), schema)
    }

    fn calc_node(
        &mut self,
        base: u32,
        base_schema: &DFSchema,
        exprs: &[Expr],
        predicate: Option<&Expr>,
        schema: SchemaRef,
    ) -> Result<u32> {
        let identity = predicate.is_none()
            && same_columns(&schema, &*self.schema(base)?)
            && exprs.iter().enumerate().all(|(index, expr)| {
                matches!(unaliased(expr), Expr::Column(column)
                    if base_schema.index_of_column(column).is_ok_and(|found| found == index))
            });
        if identity {
            return Ok(base);
        }
        let columns = exprs.iter().map(|expr| physical(expr, base_schema)).collect::<Result<_>>()?;
        let predicate = predicate.map(|expr| physical(expr, base_schema)).transpose()?;
        let mode = self.mode(base);
        Ok(self.push(NodeKind::Calc(Calc { predicate, columns }), vec![base], schema, mode))
    }

    /// Scan of the physical columns in use, then computed columns, then the watermark, then what was asked for.
    fn scan(&mut self, scan: &TableScan) -> Result<u32> {
        let Some(CatalogTable(table)) = scan.source.downcast_ref::<CatalogTable>() else {
            return Err(Error::bug("sql.convert", format!("{} is no table of the catalog", scan.table_name)));
        };
        let Some((mode, bounded)) = table.capabilities.source.clone() else {
            return Err(Error::usage(
                "sql.no_source",
                format!("the connector '{}' of '{}' cannot be read", table.connector, table.name),
            ));
        };
        self.unbounded |= !bounded;
        let asked: Vec<usize> = scan.projection.clone().unwrap_or_else(|| (0..table.columns.len()).collect());
        // The watermark needs its columns even if the query does not; only tables whose time is asked for have one.
        let watermark = table.watermark.as_ref().filter(|(time, _)| asked.contains(time));
        let mut declared = asked.clone();
        if let Some((_, expr)) = watermark {
            for column in expr.column_refs() {
                let index = table.schema.index_of(&column.name).map_err(|_| lost(&column.name))?;
                if !declared.contains(&index) {
                    declared.push(index);
                }
            }
        }
        let mut used = used_physical(table, &declared)?;
        if used.is_empty() && !table.physical.fields().is_empty() {
            // Rows without columns (`COUNT(*)`) still have to be counted: one column carries them.
            used.push(0);
        }
        let spec = table.spec(&used);
        let physical_schema = Arc::clone(&spec.schema);
        let scanned = self.push(NodeKind::Scan(spec), vec![], Arc::clone(&physical_schema), mode);
        let exprs = declared.iter().map(|index| origin_expr(table, *index)).collect::<Result<Vec<_>>>()?;
        let declared_schema = columns_schema(table, &declared);
        let base = DFSchema::try_from(physical_schema).map_err(external)?;
        let mut node = self.calc_node(scanned, &base, &exprs, None, Arc::clone(&declared_schema))?;
        if let Some((time, expr)) = watermark {
            let over = DFSchema::try_from(Arc::clone(&declared_schema)).map_err(external)?;
            let column = declared.iter().position(|index| index == time).ok_or_else(|| lost("watermark"))?;
            let kind = NodeKind::Watermark(Watermark { column, delayed: physical(expr, &over)? });
            let mode = self.mode(node);
            node = self.push(kind, vec![node], declared_schema, mode);
            if declared.len() > asked.len() {
                let names: Vec<Expr> = asked
                    .iter()
                    .filter_map(|index| table.columns.get(*index))
                    .map(|column| Expr::Column(bare(column.field.name())))
                    .collect();
                return self.calc_node(node, &over, &names, None, columns_schema(table, &asked));
            }
        }
        Ok(node)
    }

    fn union(&mut self, union: &LogicalUnion) -> Result<u32> {
        let inputs = union.inputs.iter().map(|input| self.build(input)).collect::<Result<Vec<_>>>()?;
        let append = inputs.iter().all(|input| self.mode(*input) == ChangelogMode::Append);
        let mode = if append { ChangelogMode::Append } else { ChangelogMode::Retract };
        Ok(self.push(NodeKind::Union, inputs, Arc::new(union.schema.as_arrow().clone()), mode))
    }

    fn values(&mut self, values: &Values) -> Result<u32> {
        let schema = Arc::new(values.schema.as_arrow().clone());
        let one = RecordBatch::try_new_with_options(
            Arc::new(Schema::empty()),
            vec![],
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )
        .map_err(|error| Error::bug("sql.convert", "a row without columns").caused_by(error))?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for index in 0..schema.fields().len() {
            let mut cells = Vec::with_capacity(values.values.len());
            for row in &values.values {
                let expr = row.get(index).ok_or_else(|| lost("VALUES"))?;
                let value = physical(expr, &DFSchema::empty())?.evaluate(&one).map_err(external)?;
                cells.push(value.to_array(1).map_err(external)?);
            }
            let cells: Vec<&dyn arrow::array::Array> = cells.iter().map(AsRef::as_ref).collect();
            columns.push(concat(&cells).map_err(|error| external(error.into()))?);
        }
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| external(error.into()))?;
        Ok(self.push(NodeKind::Values(rows), vec![], schema, ChangelogMode::Append))
    }

    fn aggregate(&mut self, aggregate: &LogicalAggregate) -> Result<u32> {
        let calls: Vec<_> = aggregate.aggr_expr.iter().map(call_of).collect::<Result<_>>()?;
        let mut exprs = aggregate.group_expr.clone();
        for call in &calls {
            exprs.extend(call.params.args.iter().cloned());
            exprs.extend(call.params.filter.iter().map(|filter| (**filter).clone()));
        }
        let fused = fuse(exprs, None, &aggregate.input).map_err(external)?;
        let groups = aggregate.group_expr.len();
        let (group_exprs, mut rest) = fused.exprs.split_at(groups);
        let mut feed = Feed::default();
        let window = window_of(group_exprs, fused.base)?;
        let time = window.as_ref().map(|(time, _)| feed.slot(time));
        let mut group = Vec::new();
        for expr in group_exprs {
            if window.is_none() || tumble_bound(unaliased(expr)).is_none() {
                group.push(feed.slot(expr));
            }
        }
        let fields = aggregate.schema.fields();
        let mut planned = Vec::with_capacity(calls.len());
        for (call, field) in calls.iter().zip(fields.iter().skip(groups)) {
            let (args, after) = rest.split_at(call.params.args.len());
            let (filter, after) = after.split_at(usize::from(call.params.filter.is_some()));
            rest = after;
            let function = function_of(call.func.name())?;
            let argument = match args {
                [] => None,
                [expr] if function == AggregateFunction::Count && !call.params.distinct && is_constant(expr) => None,
                [expr] => Some(feed.slot(expr)),
                _ => return Err(unsupported("an aggregate of several arguments")),
            };
            let filter = filter.first().map(|expr| feed.slot(expr));
            planned.push(AggregateCall {
                function,
                argument,
                distinct: call.params.distinct,
                filter,
                result: Arc::clone(field),
            });
        }
        let input = self.build(fused.base)?;
        let feed_schema = feed.schema(fused.base.schema())?;
        let fed = self.calc_node(input, fused.base.schema(), &feed.exprs, fused.predicate.as_ref(), feed_schema)?;
        self.aggregate_node(aggregate, group_exprs, fed, time.zip(window.map(|(_, window)| window)), group, planned)
    }

    /// The aggregate itself, and its columns in the order that the logical plan gives them.
    fn aggregate_node(
        &mut self,
        aggregate: &LogicalAggregate,
        group_exprs: &[Expr],
        fed: u32,
        window: Option<(usize, Window)>,
        group: Vec<usize>,
        calls: Vec<AggregateCall>,
    ) -> Result<u32> {
        let wanted: SchemaRef = Arc::new(aggregate.schema.as_arrow().clone());
        let Some((time, window)) = window else {
            let row_over_nothing = self.over_nothing && group.is_empty();
            let node = Aggregate { group, calls, row_over_nothing };
            return Ok(self.push(NodeKind::Aggregate(node), vec![fed], wanted, ChangelogMode::Retract));
        };
        let bound = |name: &str| {
            let millis = DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None);
            Arc::new(Field::new(name, millis, false))
        };
        let mut fields: Vec<FieldRef> = vec![bound("window_start"), bound("window_end")];
        let mut mapping = Vec::with_capacity(wanted.fields().len());
        for (index, expr) in group_exprs.iter().enumerate() {
            match tumble_bound(unaliased(expr)).map(|found| found.bound) {
                Some(Bound::Start) => mapping.push(position("window_start")),
                Some(Bound::End) => mapping.push(position("window_end")),
                Some(Bound::Rowtime) => {
                    let Window::Tumble { zone, .. } = window;
                    mapping.push(rowtime_of_end(position("window_end"), zone));
                }
                None => {
                    let name = format!("key{}", fields.len());
                    let field = wanted.field(index);
                    fields.push(Arc::new(Field::new(&name, field.data_type().clone(), field.is_nullable())));
                    mapping.push(position(&name));
                }
            }
        }
        for call in &calls {
            let name = format!("agg{}", fields.len());
            fields.push(Arc::new(Field::new(&name, call.result.data_type().clone(), call.result.is_nullable())));
            mapping.push(position(&name));
        }
        let schema = Arc::new(Schema::new(fields));
        let node = WindowAggregate { time, window, group, calls };
        let id = self.push(NodeKind::WindowAggregate(node), vec![fed], Arc::clone(&schema), ChangelogMode::Append);
        let over = DFSchema::try_from(schema).map_err(external)?;
        self.calc_node(id, &over, &mapping, None, wanted)
    }
}

/// The columns that feed an aggregate, each expression once.
#[derive(Default)]
struct Feed {
    exprs: Vec<Expr>,
}

impl Feed {
    fn slot(&mut self, expr: &Expr) -> usize {
        let expr = unaliased(expr);
        self.exprs.iter().position(|known| known == expr).unwrap_or_else(|| {
            self.exprs.push(expr.clone());
            self.exprs.len() - 1
        })
    }

    fn schema(&self, input: &DFSchema) -> Result<SchemaRef> {
        let mut fields = Vec::with_capacity(self.exprs.len());
        for (index, expr) in self.exprs.iter().enumerate() {
            let (data_type, nullable) =
                (expr.get_type(input).map_err(external)?, expr.nullable(input).map_err(external)?);
            let name = match expr {
                Expr::Column(column) => column.name.clone(),
                _ => format!("expr{index}"),
            };
            fields.push(Field::new(name, data_type, nullable));
        }
        Ok(Arc::new(Schema::new(fields)))
    }
}

/// The window that an aggregate's groups stand for: both its bounds are grouped by.
fn window_of(groups: &[Expr], base: &LogicalPlan) -> Result<Option<(Expr, Window)>> {
    let bounds: Vec<_> = groups.iter().filter_map(|expr| tumble_bound(unaliased(expr))).collect();
    let has = |wanted: Bound| bounds.iter().any(|found| found.bound == wanted);
    if !has(Bound::Start) || !has(Bound::End) {
        return Ok(None);
    }
    let Some(first) = bounds.first() else { return Ok(None) };
    let (time, size, offset, zone) = (first.time, first.size, first.offset, first.zone);
    if bounds.iter().any(|found| (found.time, found.size, found.offset) != (time, size, offset)) {
        return Err(Error::usage("sql.window", "a query can group by one window only"));
    }
    let size = u64::try_from(size).ok().filter(|size| *size > 0);
    let size = size.ok_or_else(|| Error::usage("sql.window", "a window's size must be at least a millisecond"))?;
    if !gives_rowtime(base, time) {
        return Err(no_rowtime(time));
    }
    let window = Window::Tumble { size: std::time::Duration::from_millis(size), offset_millis: offset, zone };
    Ok(Some((time.clone(), window)))
}

fn no_rowtime(time: &Expr) -> Error {
    let Expr::Column(Column { name, .. }) = time else {
        return Error::usage("sql.no_rowtime", "the window's time is computed, and so no time attribute")
            .hint("take the column of the table's WATERMARK, or a window's window_time");
    };
    Error::usage("sql.no_rowtime", format!("the window's time '{name}' is no time attribute"))
        .hint(format!("declare it in CREATE TABLE: WATERMARK FOR `{name}` AS `{name}` - INTERVAL '5' SECOND"))
}

fn used_physical(table: &Table, declared: &[usize]) -> Result<Vec<usize>> {
    let mut used = Vec::new();
    for index in declared {
        match &table.columns.get(*index).ok_or_else(|| lost("column"))?.origin {
            Origin::Physical(physical) | Origin::Virtual(physical) => used.push(*physical),
            Origin::Computed(expr) => {
                for column in expr.column_refs() {
                    used.push(table.physical.index_of_column(column).map_err(external)?);
                }
            }
        }
    }
    used.sort_unstable();
    used.dedup();
    Ok(used)
}

fn origin_expr(table: &Table, declared: usize) -> Result<Expr> {
    let column = table.columns.get(declared).ok_or_else(|| lost("column"))?;
    Ok(match &column.origin {
        Origin::Computed(expr) => (**expr).clone(),
        _ => Expr::Column(bare(column.field.name())),
    })
}

fn columns_schema(table: &Table, declared: &[usize]) -> SchemaRef {
    let fields: Vec<FieldRef> =
        declared.iter().filter_map(|index| table.columns.get(*index)).map(|column| Arc::clone(&column.field)).collect();
    Arc::new(Schema::new(fields))
}

fn physical(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let context = PhysicalPlanningContext::default();
    create_physical_expr(unaliased(expr), schema, &ExecutionProps::new(), &context).and_then(guarded).map_err(external)
}

fn call_of(expr: &Expr) -> Result<&datafusion::logical_expr::expr::AggregateFunction> {
    match unaliased(expr) {
        Expr::AggregateFunction(call) => Ok(call),
        other => Err(unsupported(&other.to_string())),
    }
}

fn function_of(name: &str) -> Result<AggregateFunction> {
    Ok(match name {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "avg" => AggregateFunction::Avg,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        other => return Err(unsupported(&format!("the aggregate {}", other.to_uppercase()))),
    })
}

fn is_constant(expr: &Expr) -> bool {
    matches!(unaliased(expr), Expr::Literal(value, _) if !value.is_null())
}

fn position(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// Whether two schemas have the same columns, whatever their metadata.
fn same_columns(left: &Schema, right: &Schema) -> bool {
    let bare = |schema: &Schema| -> Vec<(String, DataType, bool)> {
        let fields = schema.fields().iter();
        fields.map(|field| (field.name().clone(), field.data_type().clone(), field.is_nullable())).collect()
    };
    bare(left) == bare(right)
}

/// A second column of the same name gets a number, as in Flink: `id`, `id0`.
pub(crate) fn unique_names(schema: &Schema) -> SchemaRef {
    let mut names: Vec<String> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let candidates = std::iter::once(field.name().clone()).chain((0..).map(|n| format!("{}{n}", field.name())));
        names.extend(candidates.into_iter().find(|name| !names.contains(name)));
    }
    let fields = schema.fields().iter().zip(names).map(|(field, name)| Field::clone(field).with_name(name));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn unsupported(what: &str) -> Error {
    Error::usage("sql.unsupported", format!("not supported yet: {what}")).hint(
        "supported: SELECT over one table or view, WHERE, GROUP BY, TUMBLE windows, HAVING, DISTINCT, UNION [ALL]",
    )
}

fn lost(what: &str) -> Error {
    Error::bug("sql.convert", format!("{what} was lost in planning"))
}

fn external(error: DataFusionError) -> Error {
    crate::diagnose::external(error).unwrap_or_else(|error| match error.find_root() {
        DataFusionError::ArrowError(cause, _) => {
            Error::usage("sql.constant", cause.to_string()).hint("the expression fails for every row")
        }
        DataFusionError::NotImplemented(what) => unsupported(what),
        _ => Error::usage("sql.plan", error.strip_backtrace()),
    })
}

/// `left AND right`, where either may be missing.
pub(crate) fn conjunction(left: Option<Expr>, right: Expr) -> Expr {
    match left {
        Some(left) => and(left, right),
        None => right,
    }
}
