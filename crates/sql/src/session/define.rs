//! `CREATE` and `DROP`: what is written becomes tables and views of the catalog.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use headwater_change::{Error, METADATA_KEY, POSITION_KEY};

use super::{Outcome, Planned, Session, like, ours, unknown_column};
use crate::catalog::{Capabilities, CatalogView, Column as TableColumn, Connectors, Entry, Origin, Table, exists};
use crate::parse::{ColumnDef, ColumnKind, CreateTable, CreateView};
use crate::rewrite::{base, is_twin};
use crate::typed::convert;
use crate::types::SqlType;

impl Session {
    pub(super) fn drop_entry(&mut self, name: &TableReference, view: bool, if_exists: bool) -> Planned<Outcome> {
        let name = self.catalog.local(name).map_err(ours)?;
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

    pub(super) fn create_view(&mut self, view: CreateView) -> Planned<Outcome> {
        let name = self.catalog.local(&view.name).map_err(ours)?.to_owned();
        if self.catalog.contains(&name) && !view.or_replace {
            return if view.if_not_exists { Ok(Outcome::Done(None)) } else { Err(ours(exists(&name))) };
        }
        let mut plan = self.plan_query(*view.query)?;
        if !view.columns.is_empty() {
            plan = rename(plan, &view.columns)?;
        }
        if let Some(field) = plan.schema().fields().iter().find(|field| is_twin(field.name())) {
            return Err(ours(two_columns(field.name())));
        }
        // Checked now, planned again wherever it is used: its types may depend on the session's zone.
        let typed = self.context()?.plan(plan.clone())?;
        let described = Arc::new(typed.schema().as_arrow().clone());
        let schema = Arc::new(plan.schema().as_arrow().clone());
        self.catalog.insert(name, Entry::View(Arc::new(CatalogView { schema, described, plan, text: view.text })));
        Ok(Outcome::Done(None))
    }

    pub(super) fn create_table(&mut self, mut table: CreateTable, connectors: &dyn Connectors) -> Planned<Outcome> {
        let name = self.catalog.local(&table.name).map_err(ours)?.to_owned();
        if self.catalog.contains(&name) {
            return if table.if_not_exists { Ok(Outcome::Done(None)) } else { Err(ours(exists(&name))) };
        }
        if let Some(like) = table.like.take() {
            let Entry::Table(source) = self.catalog.resolve(&like.source).map_err(ours)? else {
                return Err(ours(
                    Error::usage("sql.like", format!("'{}' is a view", like.source.table())).hint("LIKE takes a table"),
                ));
            };
            table = like::merge(&source.declared, table, &like).map_err(ours)?;
        }
        let table = self.bind_table(name.clone(), table, connectors)?;
        self.catalog.insert(name, Entry::Table(Arc::new(table)));
        Ok(Outcome::Done(None))
    }

    fn bind_table(&self, name: String, table: CreateTable, connectors: &dyn Connectors) -> Planned<Table> {
        let physical = physical_schema(&table)?;
        let columns = self.bind_columns(&table, &physical)?;
        let schema = Arc::new(Schema::new(columns.iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>()));
        let watermark = self.bind_watermark(&table, &schema)?;
        for name in table.primary_key.iter().chain(&table.partitioned_by) {
            schema.index_of(name).map_err(|_| ours(unknown_column(name, &schema)))?;
        }
        let mut options = table.options.clone();
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
            name,
            connector,
            options,
            physical,
            columns,
            schema,
            watermark,
            primary_key: table.primary_key.clone(),
            partitioned_by: table.partitioned_by.clone(),
            declared: table,
            capabilities: Capabilities { source: None, sink: None, only_batch: false },
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
                ColumnKind::Computed(written) => Some(self.expr(written.expr.clone(), physical)?),
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
        let Some((name, written)) = &table.watermark else { return Ok(None) };
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
        let delayed = self.expr(written.expr.clone(), &declared)?;
        let delayed = convert(self.context()?, delayed, &sql_type).map_err(ours)?;
        Ok(Some((index, delayed.expr)))
    }
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

/// The error for a name that two columns of a view or table would have.
pub(super) fn two_columns(name: &str) -> Error {
    Error::usage("sql.duplicate_column", format!("two columns are called '{}'", base(name)))
        .hint("give one of them another name: AS name")
}

fn with_entry(field: Field, (key, value): (String, String)) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(key, value);
    field.with_metadata(metadata)
}
