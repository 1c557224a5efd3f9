//! [`Session`]: one statement after the other, each either changes what the session knows or gives a pipeline to run.

mod define;
mod insert;
mod like;
mod replace;
mod show;
pub(crate) mod spark;

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::{Column, DFSchema, DataFusionError, TableReference};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, Query};
use headwater_change::{ChangelogMode, Clock, Condition, Error, Result, SystemClock, TimeZone};

use crate::batch::{self, BatchQuery};
use crate::bind::{Binder, parser_options};
use crate::catalog::{Catalog, Connectors, Entry, Table};
use crate::convert::{Converter, unique_names};
use crate::diagnose;
use crate::dialect::{Dialect, Dialects};
use crate::functions::{Functions, ValueText};
use crate::optimize::optimize;
use crate::parse::{CreateSchedule, Statement, parse};
use crate::plan::{StreamPlan, TableSpec};
use crate::rewrite::{add_window_end, rewrite_expr, rewrite_query};
use crate::script::{SCHEDULED, Script};
use crate::settings::Settings;
use crate::typed::{Context, Typed};

use spark::SparkSettings;

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
    /// Queries over changing tables, to run as one stream.
    Stream(Box<Pipeline>),
    /// Queries over tables as they stand.
    Batch(Box<Job>),
    /// Statements that are to be run at the times of a pattern, or not any more.
    Schedule(Scheduling),
    /// A plan to show: `EXPLAIN` of queries over tables as they stand.
    Explain {
        /// The queries.
        job: Box<Job>,
        /// Whether they are run for it; their targets stay as they are.
        analyze: bool,
    },
}

/// What is to become of the schedules.
#[derive(Debug)]
pub enum Scheduling {
    /// A new one.
    Create {
        /// As it is written.
        schedule: CreateSchedule,
        /// What is run: the definitions and settings of the script in front of it, and its statement.
        script: String,
    },
    /// One less.
    Drop {
        /// Its name.
        name: String,
        /// Whether it may be missing.
        if_exists: bool,
    },
    /// A list of them.
    Show,
}

/// Queries for the stream engine.
#[derive(Debug)]
pub struct Pipeline {
    /// What it runs.
    pub plan: StreamPlan,
    /// Whether it ends by itself.
    pub bounded: bool,
    /// Whether rows go to the caller (`SELECT`) instead of tables.
    pub collects: bool,
}

/// Queries for the batch engine.
#[derive(Debug)]
pub struct Job {
    /// In the order of the script.
    pub queries: Vec<BatchQuery>,
    /// Whose text its values have.
    pub dialect: Dialect,
    goals: Vec<Goal>,
}

impl Job {
    /// The same logical plans for the stream engine. A global aggregate over no input is one row here, too.
    pub fn stream(&self) -> Result<Pipeline> {
        pipeline(&self.goals, true)
    }
}

/// What a statement is about to compute, with settled types, whichever engine does.
#[derive(Clone, Debug)]
struct Goal {
    plan: LogicalPlan,
    /// The table that takes the rows; the caller does without.
    target: Option<Arc<Table>>,
    /// Where the target's rows are replaced: only those that fulfil all of these.
    replaces: Vec<Condition>,
}

fn pipeline(goals: &[Goal], over_nothing: bool) -> Result<Pipeline> {
    let mut converter = Converter::new(over_nothing);
    for goal in goals {
        let plan = optimize(goal.plan.clone()).map_err(unwrapped)?;
        match &goal.target {
            Some(table) => converter.sink(&plan, table)?,
            None => converter.collect(&plan)?,
        }
    }
    Ok(converter.finish(goals.iter().all(|goal| goal.target.is_none())))
}

fn unwrapped(error: DataFusionError) -> Error {
    diagnose::external(error).unwrap_or_else(|error| Error::usage("sql.plan", error.strip_backtrace()))
}

/// Names, functions and settings of one user.
#[derive(Debug)]
pub struct Session {
    catalog: Catalog,
    functions: Functions,
    spark_functions: Functions,
    settings: Settings,
    spark: SparkSettings,
    /// Of the statement that is planned.
    dialect: Dialect,
    /// When that statement began.
    now: i64,
    text: ValueText,
}

/// Bytes of stack for planning a statement; only what is used is taken.
const PLANNING_STACK: usize = 512 << 20;

pub(crate) type Planned<T> = std::result::Result<T, DataFusionError>;

impl Session {
    /// An empty session; `text` writes values as `CAST(x AS STRING)` gives them.
    pub fn new(text: ValueText) -> Result<Self> {
        Ok(Self {
            catalog: Catalog::default(),
            functions: Functions::of(Dialect::Flink),
            spark_functions: Functions::of(Dialect::Spark),
            settings: Settings::new()?,
            spark: SparkSettings::default(),
            dialect: Dialect::Flink,
            now: 0,
            text,
        })
    }

    /// What the meaning of expressions depends on now.
    fn context(&self) -> Planned<Context<'_>> {
        let zone = TimeZone::parse(self.time_zone()).map_err(ours)?;
        let (dialect, ansi) = (self.dialect, self.spark.ansi());
        Ok(Context {
            functions: self.functions(),
            dialect,
            ansi,
            zone,
            text: self.text,
            now: self.now,
            outer: None,
            variables: None,
        })
    }

    /// The session's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The same, to be changed from outside of scripts.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// The zone in which times of the last statement's dialect are seen.
    pub fn time_zone(&self) -> &str {
        match (self.dialect, self.spark.time_zone()) {
            (Dialect::Spark, Some(zone)) => zone,
            _ => self.settings.time_zone(),
        }
    }

    fn functions(&self) -> &Functions {
        match self.dialect {
            Dialect::Flink => &self.functions,
            Dialect::Spark => &self.spark_functions,
        }
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
        self.dialect = script.dialect(index);
        self.now = now();
        self.statement(script, statement, connectors, show_window_end).map_err(|error| {
            match diagnose::external(error) {
                Ok(error)
                    if error.place().is_some() && !matches!(error.place(), Some(headwater_change::Place::Sql(_))) =>
                {
                    locate_option(script, index, error)
                }
                Ok(error) => diagnose::planning(script, index, DataFusionError::External(Box::new(error))),
                Err(error) => diagnose::planning(script, index, error),
            }
        })
    }

    fn statement(
        &mut self,
        script: &Script,
        statement: Statement,
        connectors: &dyn Connectors,
        show_window_end: bool,
    ) -> Planned<Outcome> {
        match statement {
            Statement::CreateTable(table) => self.create_table(*table, connectors),
            Statement::CreateView(view) => {
                self.discovered(&view.query, script, connectors)?;
                self.create_view(view)
            }
            Statement::CreateSource(source) => self.create_source(*source, connectors),
            Statement::Use(name) => {
                self.spark.database = Some(name.table().to_owned());
                Ok(Outcome::Done(None))
            }
            Statement::Nothing => Ok(Outcome::Done(None)),
            Statement::Drop { name, view, if_exists } => self.drop_entry(&name, view, if_exists),
            Statement::Insert(inserts) => {
                for insert in &inserts {
                    self.discovered(&insert.query, script, connectors)?;
                }
                let goals = self.plan_inserts(inserts, script, connectors)?;
                self.outcome(goals)
            }
            Statement::Query(query) => {
                self.discovered(&query, script, connectors)?;
                let goal = self.plan_select(*query, show_window_end)?;
                self.outcome(vec![goal])
            }
            Statement::Set(None) => {
                let all = self.settings.iter().chain(self.spark.iter());
                let rows = all.map(|(key, value)| vec![key.to_owned(), value.to_owned()]).collect();
                Ok(Outcome::Listing { columns: vec!["key", "value"], rows })
            }
            Statement::Set(Some((key, value))) if key.to_lowercase().starts_with("spark.") => {
                self.spark.set(&key.to_lowercase(), &value).map_err(ours)?;
                Ok(Outcome::Done(None))
            }
            Statement::Set(Some((key, value))) => {
                self.settings.set(&key, &value).map_err(ours)?;
                Ok(Outcome::Done(None))
            }
            Statement::Reset(Some(key)) if key.to_lowercase().starts_with("spark.") => {
                self.spark.remove(&key);
                Ok(Outcome::Done(None))
            }
            Statement::Reset(key) => {
                self.settings.reset(key.as_deref()).map_err(ours)?;
                Ok(Outcome::Done(None))
            }
            Statement::Explain { inner, analyze } => {
                match self.statement(script, *inner, connectors, show_window_end)? {
                    Outcome::Stream(_) if analyze => Err(ours(
                        Error::usage("sql.explain", "EXPLAIN ANALYZE takes queries over tables as they stand")
                            .hint("SET 'execution.runtime-mode' = 'batch', or leave ANALYZE out"),
                    )),
                    Outcome::Stream(pipeline) => Ok(Outcome::Text(pipeline.plan.to_string())),
                    Outcome::Batch(job) => Ok(Outcome::Explain { job, analyze }),
                    _ => Err(ours(Error::usage("sql.explain", "EXPLAIN takes a query or an INSERT"))),
                }
            }
            Statement::CreateAs { name, if_not_exists, query } => {
                self.discovered(&query, script, connectors)?;
                match self.plan_create(&name, if_not_exists, *query, script, connectors)? {
                    Some(goal) => self.outcome(vec![goal]),
                    None => Ok(Outcome::Done(None)),
                }
            }
            Statement::CreateSchedule(schedule) => {
                let script = scheduled(script, &schedule, self.dialect)?;
                Ok(Outcome::Schedule(Scheduling::Create { schedule: *schedule, script }))
            }
            Statement::DropSchedule { name, if_exists } => Ok(Outcome::Schedule(Scheduling::Drop { name, if_exists })),
            Statement::ShowSchedules => Ok(Outcome::Schedule(Scheduling::Show)),
            Statement::ShowTables => Ok(self.list("table name", |_| true)),
            Statement::ShowViews => Ok(self.list("view name", |entry| matches!(entry, Entry::View(_)))),
            Statement::Describe(name) => {
                self.discover_name(&name, script, connectors)?;
                self.describe(&name)
            }
            Statement::DescribeQuery(query) => {
                self.discovered(&query, script, connectors)?;
                let goal = self.plan_select(*query, false)?;
                Ok(self.describe_columns(goal.plan.schema().as_arrow()))
            }
            Statement::ShowCreate { name, view } => self.show_create(&name, view),
        }
    }

    /// Plans a single expression over the columns of `schema`.
    fn expr(&self, mut expr: ast::Expr, schema: &DFSchema) -> Planned<Typed> {
        match self.dialect {
            Dialect::Flink => rewrite_expr(&mut expr),
            Dialect::Spark => crate::spark::rewrite::rewrite_expr(&mut expr),
        }
        .map_err(ours)?;
        let binder = Binder::new(&self.catalog, self.functions());
        let planner = SqlToRel::new_with_options(&binder, parser_options());
        let expr = planner.sql_to_expr(expr, schema, &mut PlannerContext::new())?;
        self.context()?.single(&expr, schema)
    }

    fn plan_query(&self, mut query: Query) -> Planned<LogicalPlan> {
        self.rewritten(&mut query, false)?;
        self.plan_rewritten(query)
    }

    /// The dialect's forms as plain SQL, for a result that is printed or one that is used.
    fn rewritten(&self, query: &mut Query, printed: bool) -> Planned<()> {
        let lookup = |name: &str| self.column_names(name);
        match self.dialect {
            Dialect::Flink => rewrite_query(query, &lookup),
            Dialect::Spark => crate::spark::rewrite::rewrite_query(query, &lookup, printed),
        }
        .map_err(ours)
    }

    /// Makes tables of servers known that a query of Spark's names.
    fn discovered(&mut self, query: &Query, script: &Script, connectors: &dyn Connectors) -> Planned<()> {
        match self.dialect {
            Dialect::Flink => Ok(()),
            Dialect::Spark => self.discover(query, script, connectors),
        }
    }

    fn column_names(&self, table: &str) -> Option<Vec<String>> {
        // Tables of servers are known by their whole names.
        let own = || table.rsplit('.').next().and_then(|name| self.catalog.get(name).ok());
        let schema = self.catalog.get(table).ok().or_else(own)?.schema();
        Some(schema.fields().iter().map(|field| field.name().clone()).collect())
    }

    fn plan_rewritten(&self, query: Query) -> Planned<LogicalPlan> {
        let binder = Binder::new(&self.catalog, self.functions());
        let planner = SqlToRel::new_with_options(&binder, parser_options());
        planner.sql_statement_to_plan(ast::Statement::Query(Box::new(query)))
    }

    fn plan_select(&self, mut query: Query, show_window_end: bool) -> Planned<Goal> {
        self.rewritten(&mut query, true)?;
        if show_window_end && self.dialect == Dialect::Flink {
            add_window_end(&mut query);
        }
        let plan = self.context()?.plan(self.plan_rewritten(query)?)?;
        let untyped = plan.schema().fields().iter().find(|field| field.data_type().is_null());
        if let Some(field) = untyped.filter(|_| self.dialect == Dialect::Flink) {
            return Err(ours(
                Error::usage("sql.null", format!("the column '{}' is NULL of no type", field.name()))
                    .hint("give it one: CAST(NULL AS INT)"),
            ));
        }
        Ok(Goal { plan, target: None, replaces: Vec::new() })
    }

    /// What is to be computed, for the engine of the session's mode.
    fn outcome(&self, goals: Vec<Goal>) -> Planned<Outcome> {
        if !self.settings.batch() && self.dialect == Dialect::Flink {
            return pipeline(&goals, false).map(|pipeline| Outcome::Stream(Box::new(pipeline))).map_err(ours);
        }
        let query = |goal: &Goal| -> Planned<BatchQuery> {
            let settled = match self.dialect {
                Dialect::Flink => goal.plan.clone(),
                Dialect::Spark => crate::spark::fold::plan(goal.plan.clone())?,
            };
            let plan = batch::plan(settled)?;
            let schema = unique_names(plan.schema().as_arrow());
            let target = goal.target.as_ref().map(|table| table.sink_spec());
            let target = target.map(|spec| TableSpec { conditions: goal.replaces.clone(), ..spec });
            Ok(BatchQuery { plan, schema, target })
        };
        let queries = goals.iter().map(query).collect::<Planned<Vec<_>>>()?;
        Ok(Outcome::Batch(Box::new(Job { queries, goals, dialect: self.dialect })))
    }
}

/// The script of a schedule: what stands in front of it and defines or sets something, and its statement. It must be well
/// written with some values of its variables.
fn scheduled(script: &Script, schedule: &CreateSchedule, dialect: Dialect) -> Planned<String> {
    let mut text = format!("SET sql.dialect = {};\n", dialect.name());
    for index in 0..script.len() {
        if parse(script, index)
            .is_ok_and(|known| matches!(&known, Statement::CreateSchedule(known) if **known == *schedule))
        {
            break;
        }
        let verb = script.statement_text(index).split_whitespace().next().unwrap_or_default().to_uppercase();
        let defines = matches!(verb.as_str(), "CREATE" | "SET" | "USE" | "RESET" | "DROP");
        if defines
            && !matches!(
                parse(script, index),
                Ok(Statement::CreateSchedule(_) | Statement::DropSchedule { .. } | Statement::CreateAs { .. })
            )
        {
            text.push_str(script.statement_text(index));
            text.push_str(";\n");
        }
    }
    text.push_str(&schedule.statement);
    text.push_str(";\n");
    let values = SCHEDULED.iter().map(|name| ((*name).to_owned(), "2000-01-01".to_owned())).collect();
    let read = Script::read(&text, &values, Dialects::default()).map_err(ours)?;
    (0..read.len()).try_for_each(|index| parse(&read, index).map(drop)).map_err(|error| {
        ours(Error::usage("sql.schedule", "the scheduled statement is not well written").detail(error.to_string()))
    })?;
    Ok(text)
}

/// Microseconds since 1970.
fn now() -> i64 {
    SystemClock.now_millis().saturating_mul(1_000)
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

fn unknown_column(name: &str, schema: &Schema) -> Error {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let hint = match headwater_change::suggest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("columns here: {}", names.join(", ")),
    };
    Error::usage("sql.unknown_column", format!("there is no column '{name}'")).hint(hint)
}
