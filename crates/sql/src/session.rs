//! [`Session`]: one statement after the other, each either changes what the session knows or gives a pipeline to run.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::{Column, DFSchema, DataFusionError, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, Query};
use headwater_change::{ChangelogMode, Error, METADATA_KEY, POSITION_KEY, Result, TimeZone};

use crate::bind::{Binder, parser_options};
use crate::catalog::{
    Capabilities, Catalog, CatalogView, Column as TableColumn, Connectors, Entry, Origin, Table, exists,
};
use crate::convert::Converter;
use crate::diagnose;
use crate::functions::cast::implicit;
use crate::functions::{Functions, ValueText};
use crate::optimize::optimize;
use crate::parse::{ColumnDef, ColumnKind, CreateTable, CreateView, Insert, Statement, parse};
use crate::plan::StreamPlan;
use crate::rewrite::{add_window_end, rewrite_expr, rewrite_query};
use crate::script::Script;
use crate::settings::Settings;
use crate::typed::{Context, Typed, convert, null};
use crate::types::{SqlType, type_name};

/// What a statement comes to.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing to run; a line to show, or nothing.
    Done(Option<String>),
    /// A small table to show.
    Listing {
        /// Its header.
        columns: Vec<&'static str>,
        /// Its rows.
        rows: Vec<Vec<String>>,
    },
    /// Text to show as it is.
    Text(String),
    /// A query to run.
    Pipeline(Box<Pipeline>),
}

/// A planned query.
#[derive(Debug)]
pub struct Pipeline {
    /// For the stream engine.
    pub plan: StreamPlan,
    /// The same queries for the batch engine, one per sink.
    pub logical: Vec<LogicalPlan>,
    /// Whether it ends by itself.
    pub bounded: bool,
    /// Whether rows go to the caller (`SELECT`) instead of tables.
    pub collects: bool,
}

/// Names, functions and settings of one user.
#[derive(Debug)]
pub struct Session {
    catalog: Catalog,
    functions: Functions,
    settings: Settings,
    text: ValueText,
}

/// Bytes of stack for planning a statement; only what is used is taken.
const PLANNING_STACK: usize = 512 << 20;

type Planned<T> = std::result::Result<T, DataFusionError>;

impl Session {
    /// An empty session; `text` writes values as `CAST(x AS STRING)` gives them.
    pub fn new(text: ValueText) -> Result<Self> {
        Ok(Self { catalog: Catalog::default(), functions: Functions::new(), settings: Settings::new()?, text })
    }

    /// What the meaning of expressions depends on now.
    fn context(&self) -> Planned<Context<'_>> {
        let zone = TimeZone::parse(self.settings.time_zone()).map_err(ours)?;
        Ok(Context { functions: &self.functions, zone, text: self.text })
    }

    /// The session's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Executes or plans statement `index` of a script. With `show_window_end` a windowed SELECT that shows none of its
    /// bounds gets `window_end` as its first column.
    pub fn execute(
        &mut self,
        script: &Script,
        index: usize,
        connectors: &dyn Connectors,
        show_window_end: bool,
    ) -> Result<Outcome> {
        // Nested expressions and thousands of terms need more stack than a thread has.
        stacker::grow(PLANNING_STACK, || self.execute_here(script, index, connectors, show_window_end))
    }

    fn execute_here(
        &mut self,
        script: &Script,
        index: usize,
        connectors: &dyn Connectors,
        show_window_end: bool,
    ) -> Result<Outcome> {
        let statement = parse(script, index)?;
        self.statement(statement, connectors, show_window_end).map_err(|error| match diagnose::external(error) {
            Ok(error) if error.place().is_some() && !matches!(error.place(), Some(headwater_change::Place::Sql(_))) => {
                locate_option(script, index, error)
            }
            Ok(error) => diagnose::planning(script, index, DataFusionError::External(Box::new(error))),
            Err(error) => diagnose::planning(script, index, error),
        })
    }

    fn statement(
        &mut self,
        statement: Statement,
        connectors: &dyn Connectors,
        show_window_end: bool,
    ) -> Planned<Outcome> {
        match statement {
            Statement::CreateTable(table) => self.create_table(*table, connectors),
            Statement::CreateView(view) => self.create_view(view),
            Statement::Drop { name, view, if_exists } => self.drop_entry(&name, view, if_exists),
            Statement::Insert(inserts) => {
                let plan = self.plan_inserts(inserts)?;
                Ok(Outcome::Pipeline(Box::new(plan)))
            }
            Statement::Query(query) => {
                let plan = self.plan_select(*query, show_window_end)?;
                Ok(Outcome::Pipeline(Box::new(plan)))
            }
            Statement::Set(None) => {
                let rows = self.settings.iter().map(|(key, value)| vec![key.to_owned(), value.to_owned()]).collect();
                Ok(Outcome::Listing { columns: vec!["key", "value"], rows })
            }
            Statement::Set(Some((key, value))) => {
                self.settings.set(&key, &value).map_err(ours)?;
                Ok(Outcome::Done(None))
            }
            Statement::Reset(key) => {
                self.settings.reset(key.as_deref()).map_err(ours)?;
                Ok(Outcome::Done(None))
            }
            Statement::Explain(inner) => match self.statement(*inner, connectors, show_window_end)? {
                Outcome::Pipeline(pipeline) => Ok(Outcome::Text(pipeline.plan.to_string())),
                _ => Err(ours(Error::usage("sql.explain", "EXPLAIN takes a query or an INSERT"))),
            },
            Statement::ShowTables => Ok(self.list("table name", |_| true)),
            Statement::ShowViews => Ok(self.list("view name", |entry| matches!(entry, Entry::View(_)))),
            Statement::Describe(name) => self.describe(&name),
        }
    }

    fn list(&self, column: &'static str, keep: impl Fn(&Entry) -> bool) -> Outcome {
        let rows =
            self.catalog.iter().filter(|(_, entry)| keep(entry)).map(|(name, _)| vec![name.to_owned()]).collect();
        Outcome::Listing { columns: vec![column], rows }
    }

    fn describe(&self, name: &str) -> Planned<Outcome> {
        let entry = self.catalog.get(name).map_err(ours)?;
        let table = match entry {
            Entry::Table(table) => Some(table),
            Entry::View(_) => None,
        };
        let schema = entry.schema();
        let rows = schema.fields().iter().enumerate().map(|(index, field)| {
            let key = table.is_some_and(|table| table.primary_key.contains(field.name()));
            let extras = table.map(|table| match &table.columns.get(index).map(|column| &column.origin) {
                Some(Origin::Computed(expr)) => format!("AS {expr}"),
                Some(Origin::Virtual(_)) => "METADATA VIRTUAL".to_owned(),
                _ => String::new(),
            });
            let watermark = table.and_then(|table| table.watermark.as_ref()).filter(|(time, _)| *time == index);
            vec![
                field.name().clone(),
                type_name(field),
                if field.is_nullable() { "TRUE" } else { "FALSE" }.to_owned(),
                if key { "PRI" } else { "" }.to_owned(),
                extras.unwrap_or_default(),
                watermark.map(|(_, expr)| expr.to_string()).unwrap_or_default(),
            ]
        });
        let rows = rows.collect();
        Ok(Outcome::Listing { columns: vec!["name", "type", "null", "key", "extras", "watermark"], rows })
    }

    fn drop_entry(&mut self, name: &str, view: bool, if_exists: bool) -> Planned<Outcome> {
        if if_exists && !self.catalog.contains(name) {
            return Ok(Outcome::Done(None));
        }
        let is_view = matches!(self.catalog.get(name).map_err(ours)?, Entry::View(_));
        if is_view != view {
            let (is, use_) = if is_view { ("a view", "DROP VIEW") } else { ("a table", "DROP TABLE") };
            return Err(ours(Error::usage("sql.drop", format!("'{name}' is {is}")).hint(format!("use {use_}"))));
        }
        self.catalog.remove(name);
        Ok(Outcome::Done(None))
    }

    fn create_view(&mut self, view: CreateView) -> Planned<Outcome> {
        if self.catalog.contains(&view.name) && !view.or_replace {
            return if view.if_not_exists { Ok(Outcome::Done(None)) } else { Err(ours(exists(&view.name))) };
        }
        let mut plan = self.plan_query(*view.query)?;
        if !view.columns.is_empty() {
            plan = rename(plan, &view.columns)?;
        }
        // Checked now, planned again wherever it is used: its types may depend on the session's zone.
        let typed = self.context()?.plan(plan.clone())?;
        let described = Arc::new(typed.schema().as_arrow().clone());
        let schema = Arc::new(plan.schema().as_arrow().clone());
        self.catalog.insert(view.name, Entry::View(Arc::new(CatalogView { schema, described, plan })));
        Ok(Outcome::Done(None))
    }

    fn create_table(&mut self, table: CreateTable, connectors: &dyn Connectors) -> Planned<Outcome> {
        if self.catalog.contains(&table.name) {
            return if table.if_not_exists { Ok(Outcome::Done(None)) } else { Err(ours(exists(&table.name))) };
        }
        let name = table.name.clone();
        let table = self.bind_table(table, connectors)?;
        self.catalog.insert(name, Entry::Table(Arc::new(table)));
        Ok(Outcome::Done(None))
    }

    fn bind_table(&self, table: CreateTable, connectors: &dyn Connectors) -> Planned<Table> {
        let physical = physical_schema(&table)?;
        let columns = self.bind_columns(&table, &physical)?;
        let schema = Arc::new(Schema::new(columns.iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>()));
        let watermark = self.bind_watermark(&table, &schema)?;
        for name in table.primary_key.iter().chain(&table.partitioned_by) {
            schema.index_of(name).map_err(|_| ours(unknown_column(name, &schema)))?;
        }
        let mut options = table.options;
        let connector = options.iter().position(|(name, _)| name == "connector").map(|at| options.remove(at).1);
        let connector = connector.ok_or_else(|| {
            let slip = options.iter().find(|(name, _)| headwater_change::suggest(name, ["connector"]).is_some());
            let hint = match slip {
                Some((name, _)) => format!("did you mean 'connector' where '{name}' stands?"),
                None => "add 'connector' = 'filesystem' to WITH".to_owned(),
            };
            ours(Error::usage("option.missing", "the table has no connector").hint(hint))
        })?;
        let mut bound = Table {
            name: table.name,
            connector,
            options,
            physical,
            columns,
            schema,
            watermark,
            primary_key: table.primary_key,
            partitioned_by: table.partitioned_by,
            capabilities: Capabilities { source: None, sink: None },
        };
        let all: Vec<usize> = (0..bound.physical.fields().len()).collect();
        bound.capabilities = connectors.capabilities(&bound.spec(&all)).map_err(ours)?;
        Ok(bound)
    }

    fn bind_columns(&self, table: &CreateTable, physical: &DFSchema) -> Planned<Vec<TableColumn>> {
        let mut next = 0;
        let mut columns = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let computed = match &column.kind {
                ColumnKind::Computed(expr) => Some(self.expr((**expr).clone(), physical)?),
                _ => None,
            };
            let origin = match (&column.kind, &computed) {
                (_, Some(typed)) => Origin::Computed(Box::new(typed.expr.clone())),
                (ColumnKind::Metadata { is_virtual: true, .. }, _) => Origin::Virtual(next),
                _ => Origin::Physical(next),
            };
            let field = match &computed {
                None => {
                    next += 1;
                    let field = physical.field(next - 1);
                    let nullable = field.is_nullable() && !table.primary_key.contains(&column.name);
                    Arc::new(SqlType::of(field).field(&column.name, nullable))
                }
                Some(typed) => Arc::new(typed.sql_type.field(&column.name, typed.nullable)),
            };
            columns.push(TableColumn { field, origin });
        }
        Ok(columns)
    }

    fn bind_watermark(&self, table: &CreateTable, schema: &Arc<Schema>) -> Planned<Option<(usize, Expr)>> {
        let Some((name, expr)) = &table.watermark else { return Ok(None) };
        let index = schema.index_of(name).map_err(|_| ours(unknown_column(name, schema)))?;
        let sql_type = SqlType::of(schema.field(index));
        if !sql_type.is_timestamp() {
            return Err(ours(
                Error::usage("sql.watermark", format!("the watermark column '{name}' is {sql_type}")).hint(
                    "declare it as TIMESTAMP(3) or TIMESTAMP_LTZ(3), or add a computed column: t AS TO_TIMESTAMP(x)",
                ),
            ));
        }
        let declared = DFSchema::try_from(Arc::clone(schema))?;
        let delayed = self.expr(expr.clone(), &declared)?;
        let delayed = convert(self.context()?, delayed, &sql_type).map_err(ours)?;
        Ok(Some((index, delayed.expr)))
    }

    /// Plans a single expression over the columns of `schema`.
    fn expr(&self, mut expr: ast::Expr, schema: &DFSchema) -> Planned<Typed> {
        rewrite_expr(&mut expr).map_err(ours)?;
        let binder = Binder::new(&self.catalog, &self.functions);
        let planner = SqlToRel::new_with_options(&binder, parser_options());
        let expr = planner.sql_to_expr(expr, schema, &mut PlannerContext::new())?;
        self.context()?.single(&expr, schema)
    }

    fn plan_query(&self, mut query: Query) -> Planned<LogicalPlan> {
        rewrite_query(&mut query, &|name| self.column_names(name)).map_err(ours)?;
        self.plan_rewritten(query)
    }

    fn column_names(&self, table: &str) -> Option<Vec<String>> {
        let schema = self.catalog.get(table).ok()?.schema();
        Some(schema.fields().iter().map(|field| field.name().clone()).collect())
    }

    fn plan_rewritten(&self, query: Query) -> Planned<LogicalPlan> {
        let binder = Binder::new(&self.catalog, &self.functions);
        let planner = SqlToRel::new_with_options(&binder, parser_options());
        planner.sql_statement_to_plan(ast::Statement::Query(Box::new(query)))
    }

    fn plan_select(&self, mut query: Query, show_window_end: bool) -> Planned<Pipeline> {
        rewrite_query(&mut query, &|name| self.column_names(name)).map_err(ours)?;
        if show_window_end {
            add_window_end(&mut query);
        }
        let logical = optimize(self.context()?.plan(self.plan_rewritten(query)?)?)?;
        if let Some(field) = logical.schema().fields().iter().find(|field| field.data_type().is_null()) {
            return Err(ours(
                Error::usage("sql.null", format!("the column '{}' is NULL of no type", field.name()))
                    .hint("give it one: CAST(NULL AS INT)"),
            ));
        }
        let mut converter = Converter::default();
        converter.collect(&logical).map_err(ours)?;
        Ok(converter.finish(vec![logical], true))
    }

    fn plan_inserts(&self, inserts: Vec<Insert>) -> Planned<Pipeline> {
        let mut converter = Converter::default();
        let mut logical = Vec::with_capacity(inserts.len());
        for insert in inserts {
            let Entry::Table(table) = self.catalog.get(&insert.table).map_err(ours)?.clone() else {
                return Err(ours(Error::usage("sql.insert", format!("'{}' is a view", insert.table))));
            };
            let Some(accepts) = table.capabilities.sink.clone() else {
                return Err(ours(Error::usage(
                    "sql.no_sink",
                    format!("the connector '{}' of '{}' cannot be written", table.connector, insert.table),
                )));
            };
            let plan = optimize(self.sink_rows(&table, &insert.columns, *insert.query)?)?;
            converter.sink(&plan, &table, &accepts).map_err(ours)?;
            logical.push(plan);
        }
        Ok(converter.finish(logical, false))
    }

    /// The query's columns as the table wants them: by position, cast, missing ones NULL.
    fn sink_rows(&self, table: &Table, names: &[String], query: Query) -> Planned<LogicalPlan> {
        let context = self.context()?;
        let plan = context.plan(self.plan_query(query)?)?;
        let writable = table.writable();
        let targets: Vec<&FieldRef> = if names.is_empty() {
            writable.iter().map(|(_, field)| field).collect()
        } else {
            let find = |name: &String| writable.iter().map(|(_, field)| field).find(|field| field.name() == name);
            names
                .iter()
                .map(|name| find(name).ok_or_else(|| ours(unknown_column(name, &table.schema))))
                .collect::<Planned<_>>()?
        };
        let given = plan.schema().columns();
        if given.len() != targets.len() {
            return Err(ours(
                Error::usage(
                    "sql.insert_columns",
                    format!("the query gives {} columns, '{}' takes {}", given.len(), table.name, targets.len()),
                )
                .hint("name the columns: INSERT INTO t (a, b) SELECT …"),
            ));
        }
        let mut projection = Vec::with_capacity(writable.len());
        for (_, field) in &writable {
            let position = targets.iter().position(|target| target.name() == field.name());
            let value = match position.and_then(|position| given.get(position)) {
                Some(column) => {
                    fit(context, context.single(&Expr::Column(column.clone()), plan.schema())?, column, field)?
                }
                None => null(&SqlType::of(field)).map_err(ours)?.expr,
            };
            projection.push(value.alias(field.name()));
        }
        LogicalPlanBuilder::from(plan).project(projection)?.build()
    }
}

/// A query column as the sink's column wants it; only casts that Flink does by itself.
fn fit(context: Context<'_>, value: Typed, column: &Column, field: &Field) -> Planned<Expr> {
    let target = SqlType::of(field);
    if !implicit(&value.sql_type, &target) {
        return Err(ours(
            Error::usage(
                "sql.insert_types",
                format!("column '{}' takes {target}, the query gives {}", field.name(), value.sql_type),
            )
            .hint(format!("write CAST({} AS {target})", column.name)),
        ));
    }
    convert(context, value, &target).map(|converted| converted.expr).map_err(ours)
}

fn rename(plan: LogicalPlan, names: &[String]) -> Planned<LogicalPlan> {
    let columns = plan.schema().columns();
    if columns.len() != names.len() {
        return Err(ours(Error::usage(
            "sql.view_columns",
            format!("the view names {} columns, its query gives {}", names.len(), columns.len()),
        )));
    }
    let projection = columns.into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(name));
    LogicalPlanBuilder::from(plan).project(projection.collect::<Vec<_>>())?.build()
}

/// The columns that the connector delivers: data and metadata, computed ones left out.
fn physical_schema(table: &CreateTable) -> Planned<Arc<DFSchema>> {
    let mut fields: Vec<FieldRef> = Vec::new();
    // Partition columns stand in the path, not in the file.
    let in_file = |column: &ColumnDef| {
        matches!(column.kind, ColumnKind::Physical { .. }) && !table.partitioned_by.contains(&column.name)
    };
    let count = table.columns.iter().filter(|column| in_file(column)).count();
    let mut position = 0;
    for column in &table.columns {
        let field = match &column.kind {
            ColumnKind::Physical { sql_type, nullable } => {
                let nullable = *nullable && !table.primary_key.contains(&column.name);
                let field = sql_type.field(&column.name, nullable);
                if in_file(column) {
                    let place = (POSITION_KEY.to_owned(), format!("{position}/{count}"));
                    position += 1;
                    with_entry(field, place)
                } else {
                    field
                }
            }
            ColumnKind::Metadata { sql_type, nullable, key, .. } => {
                with_entry(sql_type.field(&column.name, *nullable), (METADATA_KEY.to_owned(), key.clone()))
            }
            ColumnKind::Computed(_) => continue,
        };
        fields.push(Arc::new(field));
    }
    for (index, column) in table.columns.iter().enumerate() {
        if table.columns.iter().skip(index + 1).any(|other| other.name == column.name) {
            return Err(ours(Error::usage(
                "sql.duplicate_column",
                format!("the column '{}' is declared twice", column.name),
            )));
        }
    }
    Ok(Arc::new(DFSchema::try_from(Arc::new(Schema::new(fields)))?))
}

fn with_entry(field: Field, (key, value): (String, String)) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(key, value);
    field.with_metadata(metadata)
}

fn unknown_column(name: &str, schema: &Schema) -> Error {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let hint = match headwater_change::suggest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("columns here: {}", names.join(", ")),
    };
    Error::usage("sql.unknown_column", format!("there is no column '{name}'")).hint(hint)
}

/// Puts the place of an option into the text.
fn locate_option(script: &Script, index: usize, error: Error) -> Error {
    let Some(headwater_change::Place::Option(name)) = error.place() else { return error };
    match script.find(index, name) {
        Some(range) => error.moved_to(headwater_change::Place::Sql(range)),
        None => error,
    }
}

/// Our error inside DataFusion's result type.
pub(crate) fn ours(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Whether a changelog fits into what a sink takes.
pub(crate) fn fits(mode: &ChangelogMode, accepts: &ChangelogMode) -> bool {
    matches!((mode, accepts), (ChangelogMode::Append, _) | (_, ChangelogMode::Retract | ChangelogMode::Upsert(_)))
}

/// A reference without a table.
pub(crate) fn bare(name: &str) -> Column {
    Column::new(None::<TableReference>, name)
}
