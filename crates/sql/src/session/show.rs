//! `SHOW` and `DESCRIBE`.

use std::fmt::Write;

use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::TableReference;
use headwater_change::Error;
use headwater_change::secret::{STARS, is_secret};

use super::{Outcome, Planned, Session, ours};
use crate::catalog::{DEFAULT_CATALOG, DEFAULT_DATABASE, Entry};
use crate::dialect::Dialect;
use crate::parse::{ColumnDef, ColumnKind, CreateTable};
use crate::spark::types::name as spark_name;
use crate::types::{SqlType, type_name};

impl Session {
    pub(super) fn list(&self, column: &'static str, keep: impl Fn(&Entry) -> bool) -> Outcome {
        let rows =
            self.catalog.iter().filter(|(_, entry)| keep(entry)).map(|(name, _)| vec![name.to_owned()]).collect();
        Outcome::Listing { columns: vec![column], rows }
    }

    pub(super) fn describe(&self, name: &TableReference) -> Planned<Outcome> {
        let entry = self.catalog.resolve(name).map_err(ours)?;
        let table = match entry {
            Entry::Table(table) => Some(table),
            Entry::View(_) => None,
        };
        let schema = entry.schema();
        if self.dialect == Dialect::Spark {
            return Ok(self.describe_columns(&schema));
        }
        let rows = schema.fields().iter().enumerate().map(|(index, field)| {
            let key = table.is_some_and(|table| table.primary_key.contains(field.name()));
            let declared = table.map(|table| &table.declared);
            let extras = declared.and_then(|declared| declared.columns.get(index)).map(|column| match &column.kind {
                ColumnKind::Computed(written) => format!("AS {}", written.text),
                ColumnKind::Metadata { key, is_virtual, .. } => metadata(&column.name, key, *is_virtual),
                ColumnKind::Physical { .. } => String::new(),
            });
            let watermark = declared.and_then(|declared| declared.watermark.as_ref());
            let watermark = watermark.filter(|(name, _)| name == field.name());
            vec![
                field.name().clone(),
                type_name(field),
                if field.is_nullable() { "TRUE" } else { "FALSE" }.to_owned(),
                if key { "PRI" } else { "" }.to_owned(),
                extras.unwrap_or_default(),
                watermark.map(|(_, written)| written.text.clone()).unwrap_or_default(),
            ]
        });
        let rows = rows.collect();
        Ok(Outcome::Listing { columns: vec!["name", "type", "null", "key", "extras", "watermark"], rows })
    }

    /// Columns as Spark describes them.
    pub(super) fn describe_columns(&self, schema: &Schema) -> Outcome {
        // Comments of columns are not kept.
        let row = |field: &FieldRef| vec![field.name().clone(), spark_name(&SqlType::of(field)), "NULL".to_owned()];
        let columns = vec!["col_name", "data_type", "comment"];
        Outcome::Listing { columns, rows: schema.fields().iter().map(row).collect() }
    }

    /// The statement that makes a table or a view anew; values of secret options are stars.
    pub(super) fn show_create(&self, name: &TableReference, view: bool) -> Planned<Outcome> {
        let entry = self.catalog.resolve(name).map_err(ours)?;
        let full = [DEFAULT_CATALOG, DEFAULT_DATABASE, name.table()].map(quoted).join(".");
        let text = match entry {
            Entry::Table(table) if !view => create_table(&full, &table.declared, table.schema.fields()),
            Entry::View(found) if view => {
                let columns: Vec<String> =
                    found.described.fields().iter().map(|field| format!("  {}", quoted(field.name()))).collect();
                Ok(format!("CREATE VIEW {full} (\n{}\n)\nAS {}\n", columns.join(",\n"), found.text))
            }
            Entry::Table(_) => return Err(wrong_kind(name.table(), "a table", "SHOW CREATE TABLE")),
            Entry::View(_) => return Err(wrong_kind(name.table(), "a view", "SHOW CREATE VIEW")),
        };
        text.map(Outcome::Text).map_err(|error| ours(Error::bug("sql.show", "a text").caused_by(error)))
    }
}

fn wrong_kind(name: &str, is: &str, use_: &str) -> datafusion::common::DataFusionError {
    ours(Error::usage("sql.show", format!("'{name}' is {is}")).hint(format!("use {use_}")))
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn names(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn metadata(name: &str, key: &str, is_virtual: bool) -> String {
    let from = if key == name { String::new() } else { format!(" FROM {}", text(key)) };
    format!("METADATA{from}{}", if is_virtual { " VIRTUAL" } else { "" })
}

fn create_table(full: &str, table: &CreateTable, fields: &[FieldRef]) -> Result<String, std::fmt::Error> {
    let mut lines: Vec<String> = table.columns.iter().zip(fields).map(|(column, field)| line(column, field)).collect();
    if let Some((time, written)) = &table.watermark {
        lines.push(format!("WATERMARK FOR {} AS {}", quoted(time), written.text));
    }
    if !table.primary_key.is_empty() {
        lines.push(format!("PRIMARY KEY ({}) NOT ENFORCED", names(&table.primary_key)));
    }
    let mut out = format!("CREATE TABLE {full} (\n  {}\n)\n", lines.join(",\n  "));
    if !table.partitioned_by.is_empty() {
        writeln!(out, "PARTITIONED BY ({})", names(&table.partitioned_by))?;
    }
    let options = table.options.iter().map(|(name, value)| {
        let shown = if is_secret(name) { STARS } else { value };
        format!("  {} = {}", text(name), text(shown))
    });
    writeln!(out, "WITH (\n{}\n)", options.collect::<Vec<_>>().join(",\n"))?;
    Ok(out)
}

fn line(column: &ColumnDef, field: &FieldRef) -> String {
    let name = quoted(&column.name);
    let sql_type = type_name(field);
    let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
    match &column.kind {
        ColumnKind::Computed(written) => format!("{name} AS {}", written.text),
        ColumnKind::Metadata { key, is_virtual, .. } => {
            format!("{name} {sql_type}{not_null} {}", metadata(&column.name, key, *is_virtual))
        }
        ColumnKind::Physical { .. } => format!("{name} {sql_type}{not_null}"),
    }
}
