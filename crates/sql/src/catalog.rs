//! What the session knows by name: tables of connectors, and views.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource};
use headwater_change::{ChangelogMode, Error, Place, Result, TableId, suggest};

use crate::parse::CreateTable;
use crate::plan::TableSpec;

/// What a connector can do with a table, as far as planning must know.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Ops that reading gives and whether reading ends, if the table can be read.
    pub source: Option<(ChangelogMode, bool)>,
    /// The widest changelog that it takes, if the table can be written.
    pub sink: Option<ChangelogMode>,
    /// It can be written by jobs that end only.
    pub only_batch: bool,
}

/// The connectors as planning sees them: names and options, no I/O.
pub trait Connectors {
    /// Checks a table's options and says what the connector can do. Errors carry the option as their place.
    fn capabilities(&self, table: &TableSpec) -> Result<Capabilities>;

    /// The columns of a table as its server has them, for dialects that do not declare them.
    fn describe(&self, connector: &str, options: &[(String, String)]) -> Result<Vec<Field>>;
}

/// A declared column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) field: FieldRef,
    pub(crate) origin: Origin,
}

/// Where a declared column comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Index into the physical schema (data and metadata).
    Physical(usize),
    /// Metadata that is read but never written.
    Virtual(usize),
    /// An expression over the physical columns.
    Computed(Box<Expr>),
}

/// A table of a connector.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) connector: String,
    pub(crate) options: Vec<(String, String)>,
    /// Data and metadata columns, in the order of the declaration.
    pub(crate) physical: Arc<DFSchema>,
    /// All columns as queries see them.
    pub(crate) columns: Vec<Column>,
    pub(crate) schema: SchemaRef,
    /// Index of the time column, and the watermark over the declared columns.
    pub(crate) watermark: Option<(usize, Expr)>,
    /// Declared columns of the key.
    pub(crate) primary_key: Vec<String>,
    pub(crate) partitioned_by: Vec<String>,
    /// As it was written.
    pub(crate) declared: CreateTable,
    pub(crate) capabilities: Capabilities,
}

impl Table {
    /// What the connector gets for these physical columns.
    pub(crate) fn spec(&self, physical: &[usize]) -> TableSpec {
        let fields: Vec<FieldRef> =
            physical.iter().filter_map(|index| self.physical.fields().get(*index).cloned()).collect();
        let indices = |names: &[String]| -> Vec<usize> {
            names.iter().filter_map(|name| fields.iter().position(|field| field.name() == name)).collect()
        };
        let key = indices(&self.primary_key);
        TableSpec {
            table: TableId::bare(self.name.as_str()),
            connector: self.connector.clone(),
            primary_key: if key.len() == self.primary_key.len() { key } else { Vec::new() },
            partitioned_by: indices(&self.partitioned_by),
            conditions: Vec::new(),
            first: None,
            options: self.options.clone(),
            schema: Arc::new(Schema::new(fields.iter().map(|field| Field::clone(field)).collect::<Vec<_>>())),
        }
    }

    /// What the connector gets to write.
    pub(crate) fn sink_spec(&self) -> TableSpec {
        self.spec(&self.writable().iter().map(|(index, _)| *index).collect::<Vec<_>>())
    }

    /// Declared columns that an INSERT fills, with their physical index.
    pub(crate) fn writable(&self) -> Vec<(usize, FieldRef)> {
        self.columns
            .iter()
            .filter_map(|column| match column.origin {
                Origin::Physical(index) => Some((index, Arc::clone(&column.field))),
                _ => None,
            })
            .collect()
    }
}

/// The table as DataFusion's planner sees it.
#[derive(Debug)]
pub(crate) struct CatalogTable(pub(crate) Arc<Table>);

impl TableSource for CatalogTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }
}

/// A view as DataFusion's planner sees it: its plan is put in its place.
#[derive(Debug)]
pub(crate) struct CatalogView {
    /// Columns for the planner, before types are settled.
    pub(crate) schema: SchemaRef,
    /// Columns as `DESCRIBE` shows them.
    pub(crate) described: SchemaRef,
    pub(crate) plan: LogicalPlan,
    /// The query's text.
    pub(crate) text: String,
}

impl TableSource for CatalogView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<std::borrow::Cow<'_, LogicalPlan>> {
        Some(std::borrow::Cow::Borrowed(&self.plan))
    }
}

/// A name's meaning.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Table(Arc<Table>),
    View(Arc<CatalogView>),
}

impl Entry {
    pub(crate) fn schema(&self) -> SchemaRef {
        match self {
            Self::Table(table) => Arc::clone(&table.schema),
            Self::View(view) => Arc::clone(&view.described),
        }
    }
}

/// Name of the one catalog, as in Flink.
pub(crate) const DEFAULT_CATALOG: &str = "default_catalog";
/// Name of its one database.
pub(crate) const DEFAULT_DATABASE: &str = "default_database";

/// All names of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    entries: BTreeMap<String, Entry>,
}

impl Catalog {
    pub(crate) fn get(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| {
            let hint = match suggest(name, self.entries.keys().map(String::as_str)) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None if self.entries.is_empty() => "there are no tables yet; create one with CREATE TABLE".to_owned(),
                None => "SHOW TABLES lists what there is".to_owned(),
            };
            Error::usage("sql.unknown_table", format!("there is no table '{name}'")).hint(hint)
        })
    }

    /// The entry behind a name with or without its catalog and database. There is one of each.
    pub(crate) fn resolve(&self, name: &TableReference) -> Result<&Entry> {
        if let Some(entry) = self.entries.get(&crate::session::spark::key(name)) {
            return Ok(entry);
        }
        self.get(self.local(name)?)
    }

    /// The name without its catalog and database.
    pub(crate) fn local<'a>(&self, name: &'a TableReference) -> Result<&'a str> {
        let wrong = |kind: &str, found: &str, only: &str| {
            Error::usage("sql.unknown_table", format!("there is no {kind} '{found}'"))
                .hint(format!("the only one is {only}; write the table's name alone"))
        };
        if let Some(catalog) = name.catalog().filter(|catalog| *catalog != DEFAULT_CATALOG) {
            return Err(wrong("catalog", catalog, DEFAULT_CATALOG));
        }
        if let Some(database) = name.schema().filter(|database| *database != DEFAULT_DATABASE) {
            return Err(wrong("database", database, DEFAULT_DATABASE));
        }
        Ok(name.table())
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    pub(crate) fn insert(&mut self, name: String, entry: Entry) {
        self.entries.insert(name, entry);
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Entry> {
        self.entries.remove(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }
}

/// Refuses a second thing of the same name.
pub(crate) fn exists(name: &str) -> Error {
    Error::usage("sql.exists", format!("'{name}' exists already"))
        .hint("drop it first, or write IF NOT EXISTS")
        .at(Place::Option(name.to_owned()))
}
