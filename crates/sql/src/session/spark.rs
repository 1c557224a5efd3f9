//! What only Spark's sessions have: tables of sources without declared columns, catalogs of servers, `spark.*` settings.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::{DFSchema, DataFusionError, TableReference};
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, TableFactor, Visit, Visitor};
use headwater_change::{Error, Place, suggest};

use super::define::two_columns;
use super::{Outcome, Planned, Session, ours};
use crate::catalog::{Capabilities, Column, Connectors, Entry, Origin, Table, exists};
use crate::dialect::Dialect;
use crate::parse::{CreateSource, CreateTable};
use crate::rewrite::is_twin;
use crate::script::Script;
use crate::spark::cast::cast;
use crate::spark::types::TIMESTAMP;
use crate::typed::Typed;
use crate::types::SqlType;

/// Spark's options of JDBC sources, and the connector's.
const OPTIONS: &[(&str, &str)] = &[
    ("url", "url"),
    ("dbtable", "table-name"),
    ("user", "username"),
    ("password", "password"),
    ("driver", "driver"),
    ("partitioncolumn", "scan.partition.column"),
    ("lowerbound", "scan.partition.lower-bound"),
    ("upperbound", "scan.partition.upper-bound"),
    ("numpartitions", "scan.partition.num"),
    ("fetchsize", "scan.fetch-size"),
    ("consistency", "scan.consistency"),
    ("connections", "scan.connections"),
    ("zerodate", "scan.zero-date"),
    ("querytimeout", "scan.statement-timeout"),
    ("brakethreadsrunning", "scan.brake.threads-running"),
    ("brakereplicalag", "scan.brake.replica-lag"),
    ("brakeshare", "scan.brake.share"),
];

/// Options without meaning here: all rows are one transaction, keys stay, filters always go down where they mean the same.
const WITHOUT_EFFECT: &[&str] = &[
    "batchsize",
    "truncate",
    "isolationlevel",
    "pushdownpredicate",
    "pushdownaggregate",
    "pushdownlimit",
    "pushdownoffset",
    "pushdowntablesample",
    "prefertimestampntz",
];

/// Options that are known and refused.
const REFUSED: &[&str] = &[
    "query",
    "preparequery",
    "sessioninitstatement",
    "cascadetruncate",
    "createtableoptions",
    "createtablecolumntypes",
    "customschema",
    "keytab",
    "principal",
    "refreshkrb5config",
    "connectionprovider",
    "hint",
];

fn source_options(given: &[(String, String)]) -> Result<Vec<(String, String)>, Error> {
    let mut options = Vec::new();
    for (name, value) in given {
        let at = |error: Error| error.at(Place::Option(name.clone()));
        if let Some((_, ours)) = OPTIONS.iter().find(|(spark, _)| spark == name) {
            // Spark's is a number of seconds.
            let seconds = *ours == "scan.statement-timeout" && value.trim().parse::<u64>().is_ok();
            let value = if seconds { format!("{} s", value.trim()) } else { value.clone() };
            options.push(((*ours).to_owned(), value));
        } else if REFUSED.contains(&name.as_str()) {
            return Err(at(Error::usage("option.unsupported", format!("the option '{name}' is not supported yet"))));
        } else if !WITHOUT_EFFECT.contains(&name.as_str()) {
            let known = OPTIONS.iter().map(|(spark, _)| *spark).chain(WITHOUT_EFFECT.iter().copied());
            let error = Error::usage("option.unknown", format!("JDBC sources have no option '{name}'"));
            return Err(at(match suggest(name, known) {
                Some(meant) => error.hint(format!("did you mean '{meant}'?")),
                None => error.hint("see docs/batch"),
            }));
        }
    }
    // Ranges are stolen by as many connections as there are threads: a partition is not a connection.
    Ok(options)
}

/// Connectors of what Spark's scripts name without declaring it.
const SERVER: &str = "jdbc";
const FILES: &str = "filesystem";

/// Options of `USING parquet`, as the connector has them.
fn file_options(given: &[(String, String)]) -> Result<Vec<(String, String)>, Error> {
    let mut options = vec![("format".to_owned(), "parquet".to_owned())];
    for (name, value) in given {
        let at = |error: Error| error.at(Place::Option(name.clone()));
        match name.as_str() {
            "path" => options.push((name.clone(), value.clone())),
            "recursivefilelookup" | "compression" => {}
            "mergeschema" if value.eq_ignore_ascii_case("false") => {}
            "mergeschema" | "pathglobfilter" | "modifiedbefore" | "modifiedafter" | "datetimerebasemode"
            | "int96rebasemode" => {
                return Err(at(Error::usage(
                    "option.unsupported",
                    format!("the option '{name}' is not supported yet"),
                )));
            }
            _ => {
                let error = Error::usage("option.unknown", format!("sources of parquet have no option '{name}'"));
                return Err(at(error.hint("'path' names a file or a folder")));
            }
        }
    }
    if options.len() == 1 {
        return Err(Error::usage("option.missing", "the option 'path' is missing"));
    }
    Ok(options)
}

/// Types of files that Spark's scripts may use.
fn known_to_spark(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Time32(_) | DataType::Time64(_))
}

impl Session {
    pub(super) fn create_source(&mut self, view: CreateSource, connectors: &dyn Connectors) -> Planned<Outcome> {
        let name = view.name.table().to_owned();
        if self.catalog.contains(&name) && !view.or_replace {
            return if view.if_not_exists { Ok(Outcome::Done(None)) } else { Err(ours(exists(&name))) };
        }
        match view.source.to_lowercase().as_str() {
            "jdbc" | "org.apache.spark.sql.jdbc" | "org.apache.spark.sql.execution.datasources.jdbc" => {}
            "parquet" => {
                let options = file_options(&view.options).map_err(ours)?;
                let table = self.source_table(&name, (FILES, &options), connectors, true)?;
                self.catalog.insert(name, Entry::Table(Arc::new(table)));
                return Ok(Outcome::Done(None));
            }
            _ => {
                return Err(ours(
                    Error::usage("sql.unsupported", format!("the source '{}' is not supported yet", view.source))
                        .hint("USING jdbc reads MySQL and MariaDB, USING parquet files"),
                ));
            }
        }
        let options = source_options(&view.options).map_err(ours)?;
        let is_query = |(name, value): &(String, String)| name == "table-name" && value.trim_start().starts_with('(');
        if options.iter().any(is_query) {
            let error = Error::usage("option.unsupported", "a query as 'dbtable' is not supported yet")
                .hint("name the table; the query stays in the script, its conditions go to the server");
            return Err(ours(error.at(Place::Option("dbtable".to_owned()))));
        }
        for wanted in ["url", "table-name"] {
            if !options.iter().any(|(name, _)| name == wanted) {
                let spark = OPTIONS.iter().find(|(_, ours)| *ours == wanted).map_or(wanted, |(spark, _)| *spark);
                return Err(ours(Error::usage("option.missing", format!("the option '{spark}' is missing"))));
            }
        }
        let table = self.source_table(&name, (SERVER, &options), connectors, true)?;
        self.catalog.insert(name, Entry::Table(Arc::new(table)));
        Ok(Outcome::Done(None))
    }

    /// A table of a server or of files, its columns as these have them. To be read DATETIME is a TIMESTAMP of the session's zone.
    fn source_table(
        &self,
        name: &str,
        (connector, options): (&'static str, &[(String, String)]),
        connectors: &dyn Connectors,
        reads: bool,
    ) -> Planned<Table> {
        let fields = connectors.describe(connector, options).map_err(ours)?;
        self.table_of(name, (connector, options, fields), connectors, reads)
    }

    fn table_of(
        &self,
        name: &str,
        (connector, options, fields): (&'static str, &[(String, String)], Vec<Field>),
        connectors: &dyn Connectors,
        reads: bool,
    ) -> Planned<Table> {
        if let Some(field) = fields.iter().find(|field| connector == FILES && !known_to_spark(field.data_type())) {
            let (column, data_type) = (field.name(), field.data_type());
            return Err(ours(
                Error::usage("sql.unsupported", format!("column '{column}' of {name} is {data_type}"))
                    .hint("Spark does not read it either, or reads it as a type that is not supported yet"),
            ));
        }
        let physical = Arc::new(DFSchema::try_from(Arc::new(Schema::new(fields.clone())))?);
        let context = self.context()?;
        let mut columns = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            let lower = field.name().to_lowercase();
            let column =
                || Expr::Column(datafusion::common::Column::new(None::<TableReference>, field.name().as_str()));
            // A file says of each time whether it is an instant.
            let local = connector == SERVER && matches!(field.data_type(), DataType::Timestamp(_, None));
            let bound = if reads && local {
                let typed = Typed::new(column(), SqlType::of(field), field.is_nullable());
                let typed = cast(context, typed, &TIMESTAMP, false).map_err(ours)?;
                let field = TIMESTAMP.field(lower, field.is_nullable());
                Column { field: Arc::new(field), origin: Origin::Computed(Box::new(typed.expr)) }
            } else if reads && lower != *field.name() {
                let visible = SqlType::of(field).field(lower, field.is_nullable());
                Column { field: Arc::new(visible), origin: Origin::Computed(Box::new(column())) }
            } else {
                let visible = Field::new(lower, field.data_type().clone(), field.is_nullable());
                Column { field: Arc::new(visible), origin: Origin::Physical(index) }
            };
            columns.push(bound);
        }
        let schema = Arc::new(Schema::new(columns.iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>()));
        let mut table = Table {
            name: name.to_owned(),
            connector: connector.to_owned(),
            options: options.to_vec(),
            physical,
            columns,
            schema,
            watermark: None,
            primary_key: Vec::new(),
            partitioned_by: Vec::new(),
            declared: CreateTable::undeclared(TableReference::bare(name), options.to_vec()),
            capabilities: Capabilities { source: None, sink: None, only_batch: false },
        };
        let all: Vec<usize> = (0..fields.len()).collect();
        table.capabilities = connectors.capabilities(&table.spec(&all)).map_err(ours)?;
        Ok(table)
    }

    /// Options of the table that a name means in the catalogs of servers; `None` where it means none.
    fn catalog_table(&self, parts: &[String]) -> Planned<Option<Vec<(String, String)>>> {
        let lower: Vec<String> = parts.iter().map(|part| part.to_lowercase()).collect();
        let (server, rest) = match lower.first().and_then(|first| self.spark.catalog(first)) {
            Some(server) if parts.len() > 1 => (server, parts.get(1..).unwrap_or_default()),
            _ => match self.spark.default_catalog(self.settings.mysql()) {
                Some(server) => (server, parts),
                None => return Ok(None),
            },
        };
        let table = match (rest, &self.spark.database) {
            ([table], Some(database)) => format!("{database}.{table}"),
            ([table], None) if names_database(&server) => table.clone(),
            ([table], None) => {
                return Err(ours(
                    Error::usage("sql.unknown_table", format!("there is no table or view '{table}'"))
                        .hint(format!("for one of the server's name its database: database.{table}, or USE database")),
                ));
            }
            ([database, table], _) => format!("{database}.{table}"),
            _ => return Ok(None),
        };
        let mut options = server;
        options.push(("table-name".to_owned(), table));
        Ok(Some(options))
    }

    /// Makes the tables that a query names known, where they are tables of servers.
    pub(super) fn discover(&mut self, query: &Query, script: &Script, connectors: &dyn Connectors) -> Planned<()> {
        for name in relations(query) {
            let reference = reference(&name);
            let Some(key) = reference.as_ref().map(key) else { continue };
            if self.catalog.contains(&key) || common_names(query).contains(&key) {
                continue;
            }
            let parts: Vec<String> =
                name.0.iter().filter_map(|part| part.as_ident()).map(|part| written(script, part)).collect();
            self.discover_table(key, &parts, connectors)?;
        }
        Ok(())
    }

    fn discover_table(&mut self, key: String, written: &[String], connectors: &dyn Connectors) -> Planned<()> {
        if let [format, path] = written
            && format.eq_ignore_ascii_case("parquet")
        {
            let options = file_options(&[("path".to_owned(), path.clone())]).map_err(ours)?;
            let table = self.source_table(&key, (FILES, &options), connectors, true)?;
            self.catalog.insert(key, Entry::Table(Arc::new(table)));
            return Ok(());
        }
        if let Some(options) = self.catalog_table(written)? {
            let table = self.source_table(&key, (SERVER, &options), connectors, true)?;
            self.catalog.insert(key, Entry::Table(Arc::new(table)));
        }
        Ok(())
    }

    /// Makes the table of a name known, where it is one of a server.
    pub(super) fn discover_name(
        &mut self,
        name: &TableReference,
        script: &Script,
        connectors: &dyn Connectors,
    ) -> Planned<()> {
        let key = key(name);
        if self.dialect != Dialect::Spark || self.catalog.contains(&key) {
            return Ok(());
        }
        let written: Vec<String> =
            key.split('.').map(|part| script.as_written(part).unwrap_or_else(|| part.to_owned())).collect();
        self.discover_table(key, &written, connectors)
    }

    /// The table that a query's columns make on a server; nothing where it is there and may be.
    pub(super) fn created(
        &self,
        written: &[String],
        if_not_exists: bool,
        columns: &DFSchema,
        connectors: &dyn Connectors,
    ) -> Planned<Option<Arc<Table>>> {
        let name = written.join(".");
        let mut options = self.catalog_table(written)?.ok_or_else(|| no_server(&name))?;
        match connectors.describe(SERVER, &options) {
            Ok(_) if if_not_exists => return Ok(None),
            Ok(_) => {
                return Err(ours(
                    Error::usage("sql.exists", format!("there is a table {name} already"))
                        .hint("INSERT OVERWRITE replaces its rows; CREATE TABLE IF NOT EXISTS leaves them"),
                ));
            }
            Err(error) if error.code() == "mysql.table_missing" => {}
            Err(error) => return Err(ours(error)),
        }
        options.push(("sink.create".to_owned(), "true".to_owned()));
        let mut fields: Vec<Field> = Vec::with_capacity(columns.fields().len());
        for field in columns.fields() {
            if is_twin(field.name()) {
                return Err(ours(two_columns(field.name())));
            }
            // An instant is written as the session's zone shows it.
            let data_type = match field.data_type() {
                DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, None),
                DataType::Null => {
                    return Err(ours(
                        Error::usage("sql.null", format!("the column '{}' is NULL of no type", field.name()))
                            .hint("give it one: CAST(NULL AS INT)"),
                    ));
                }
                other => other.clone(),
            };
            let plain = Field::new(field.name(), data_type, true);
            fields.push(match field.data_type() {
                DataType::Utf8 => plain.with_metadata(field.metadata().clone()),
                _ => plain,
            });
        }
        self.table_of(&name, (SERVER, &options, fields), connectors, false).map(|table| Some(Arc::new(table)))
    }

    /// The table that an INSERT writes: one of the session's, or one of a server's.
    pub(super) fn target(
        &self,
        name: &TableReference,
        written: &[String],
        overwrite: bool,
        connectors: &dyn Connectors,
    ) -> Planned<Arc<Table>> {
        let known = self.catalog.get(&key(name)).ok();
        let mut options = match known {
            Some(Entry::Table(table)) if table.connector != SERVER => {
                return Err(ours(
                    Error::usage("sql.no_sink", format!("'{}' is a view of files", name.table()))
                        .hint("files are written by tables of Flink's dialect, or by --output parquet"),
                ));
            }
            Some(Entry::Table(table)) => table.options.clone(),
            Some(Entry::View(_)) => {
                return Err(ours(Error::usage("sql.insert", format!("'{}' is a view", name.table()))));
            }
            None => self.catalog_table(written)?.ok_or_else(|| no_server(&written.join(".")))?,
        };
        // Bounds are of the reading; to write they mean nothing.
        options.retain(|(name, _)| !name.starts_with("scan."));
        if overwrite {
            options.push(("sink.overwrite".to_owned(), "true".to_owned()));
        }
        self.source_table(&written.join("."), (SERVER, &options), connectors, false).map(Arc::new)
    }
}

fn no_server(table: &str) -> DataFusionError {
    ours(Error::usage("sql.unknown_table", format!("there is no table '{table}'")).hint(
        "name the server: headwater sql --mysql jdbc:mysql://host:3306/?user=…, or SET spark.sql.catalog.NAME.url",
    ))
}

/// Whether the URL of a server names a database.
fn names_database(options: &[(String, String)]) -> bool {
    let url = options.iter().find(|(name, _)| name == "url").map_or("", |(_, url)| url.as_str());
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    !path.split('?').next().unwrap_or_default().is_empty()
}

/// The name under which a table of a server is kept.
pub(crate) fn key(name: &TableReference) -> String {
    [name.catalog(), name.schema(), Some(name.table())].into_iter().flatten().collect::<Vec<_>>().join(".")
}

fn reference(name: &ObjectName) -> Option<TableReference> {
    let parts: Option<Vec<&str>> =
        name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.as_str())).collect();
    Some(match parts?.as_slice() {
        [table] => TableReference::bare(*table),
        [database, table] => TableReference::partial(*database, *table),
        [catalog, database, table] => TableReference::full(*catalog, *database, *table),
        _ => return None,
    })
}

/// A name in the case in which it stands in the script: MySQL's tables may have one.
pub(super) fn written(script: &Script, ident: &Ident) -> String {
    match script.original(ident.span) {
        Some(original) if original.eq_ignore_ascii_case(&ident.value) => original,
        _ => ident.value.clone(),
    }
}

struct Relations(Vec<ObjectName>);

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        // What has arguments is a function, such as RANGE(10).
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.0.push(name.clone());
        }
        ControlFlow::Continue(())
    }
}

fn relations(query: &Query) -> Vec<ObjectName> {
    let mut found = Relations(Vec::new());
    let _ = query.visit(&mut found);
    found.0
}

/// Names of common table expressions, wherever they stand.
fn common_names(query: &Query) -> Vec<String> {
    struct Names(Vec<String>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let tables = query.with.iter().flat_map(|with| with.cte_tables.iter());
            self.0.extend(tables.map(|table| table.alias.name.value.clone()));
            ControlFlow::Continue(())
        }
    }
    let mut found = Names(Vec::new());
    let _ = query.visit(&mut found);
    found.0
}

/// Settings of Spark's, by key in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparkSettings {
    given: std::collections::BTreeMap<String, String>,
    pub(crate) database: Option<String>,
}

/// The class of catalogs that are servers.
const JDBC_CATALOG: &str = "org.apache.spark.sql.execution.datasources.v2.jdbc.JDBCTableCatalog";

/// What would change meanings, and is not supported.
const MEANINGS: &[&str] = &[
    "spark.sql.casesensitive",
    "spark.sql.storeassignmentpolicy",
    "spark.sql.mapkeydeduppolicy",
    "spark.sql.timestamptype",
    "spark.sql.ansi.doublequotedidentifiers",
    "spark.sql.ansi.enforcereservedkeywords",
    "spark.sql.decimaloperations.allowprecisionloss",
];

impl SparkSettings {
    /// Takes a key `spark.…`.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let wrong = |what: String| Error::usage("option.value", what).at(Place::Option(key.to_owned()));
        match key {
            "spark.sql.ansi.enabled" if !matches!(value.to_ascii_lowercase().as_str(), "true" | "false") => {
                return Err(wrong(format!("{key} is true or false, not '{value}'")));
            }
            "spark.sql.session.timezone" => {
                headwater_change::TimeZone::parse(value)?;
            }
            key if key.strip_prefix("spark.sql.catalog.").is_some_and(|name| !name.contains('.'))
                && value != JDBC_CATALOG =>
            {
                return Err(Error::usage("option.unsupported", format!("the catalog '{value}' is not supported"))
                    .hint(format!("catalogs are databases of servers: {JDBC_CATALOG}"))
                    .at(Place::Option(key.to_owned())));
            }
            key if MEANINGS.contains(&key) || key.starts_with("spark.sql.legacy.") => {
                return Err(Error::usage("option.unsupported", format!("{key} is not supported"))
                    .hint("values mean what they mean in Spark 4 by default")
                    .at(Place::Option(key.to_owned())));
            }
            _ => {}
        }
        self.given.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    pub(crate) fn ansi(&self) -> bool {
        self.given.get("spark.sql.ansi.enabled").is_none_or(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(crate) fn time_zone(&self) -> Option<&str> {
        self.given.get("spark.sql.session.timezone").map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.given.remove(&key.to_lowercase());
    }

    /// Options of the server behind `spark.sql.catalog.NAME`.
    fn catalog(&self, name: &str) -> Option<Vec<(String, String)>> {
        let prefix = format!("spark.sql.catalog.{name}");
        self.given.get(&format!("{prefix}.url"))?;
        let option = |spark: &str, ours: &str| {
            self.given.get(&format!("{prefix}.{spark}")).map(|value| (ours.to_owned(), value.clone()))
        };
        let options = [option("url", "url"), option("user", "username"), option("password", "password")];
        Some(options.into_iter().flatten().collect())
    }

    fn default_catalog(&self, mysql: Option<&str>) -> Option<Vec<(String, String)>> {
        self.catalog("spark_catalog").or_else(|| Some(vec![("url".to_owned(), mysql?.to_owned())]))
    }
}
