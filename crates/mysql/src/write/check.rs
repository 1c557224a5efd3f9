//! Whether a table takes the rows that are to be written: told before the first of them is computed.

use arrow::datatypes::{DataType, Field, Schema};
use headwater_change::{Error, Result, TableRequest};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::check;
use crate::client::query_error;
use crate::ident::ident;
use crate::jdbc::Config;
use crate::scan::condition;
use crate::schema::{Charset, Column, Kind, unit_digits};

/// What is known of a table that takes the rows.
pub(super) struct Target {
    /// For each column how many digits of a second it keeps, where its values may have more.
    pub(super) digits: Vec<Option<u8>>,
    /// Which rows are replaced, as SQL; nothing where no row or every row is.
    pub(super) replaced: Vec<String>,
}

/// Checks the columns, which rows are replaced and, where rows replace those of the same key, the key.
pub(super) async fn target(conn: &mut Conn, config: &Config, request: &TableRequest) -> Result<Target> {
    let (schema, key) = (&request.schema, &request.primary_key);
    let (database, table) = (&config.database, &config.table);
    let columns = check::columns(conn, database, table).await?;
    if columns.is_empty() {
        let user = check::account(conn, &config.access).await?;
        return Err(Error::usage(
            "mysql.table_missing",
            format!("there is no table {database}.{table}, or it may not be written"),
        )
        .hint(format!(
            "create it; if it is there: GRANT SELECT, INSERT, UPDATE ON {}.{} TO {user};",
            ident(database),
            ident(table)
        )));
    }
    let mut digits = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let found = columns.iter().find(|column| column.name.eq_ignore_ascii_case(field.name()));
        let Some(column) = found else {
            let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(Error::usage(
                "mysql.column_missing",
                format!("{database}.{table} has no column '{}'", field.name()),
            )
            .detail(format!("its columns: {}", known.join(", "))));
        };
        fits(column, field, &format!("{database}.{table}"))?;
        digits.push(match (&column.kind, field.data_type()) {
            (Kind::DateTime(kept) | Kind::Timestamp(kept), DataType::Timestamp(unit, _))
            | (Kind::Time(kept), DataType::Time32(unit) | DataType::Time64(unit)) => {
                Some(*kept).filter(|kept| *kept < unit_digits(*unit))
            }
            _ => None,
        });
    }
    if !key.is_empty() {
        unique(conn, config, schema, key).await?;
    }
    let replaced = condition::exact(&columns, &request.conditions)?;
    Ok(Target { digits, replaced })
}

/// Whether there is a column that is not written, is not nullable and has no default: an INSERT is refused for it, a LOAD
/// makes a value up without a word.
pub(super) async fn lacks_value(conn: &mut Conn, config: &Config, schema: &Schema) -> Result<bool> {
    let wanting: Vec<String> = conn
        .exec(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
             AND IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL AND EXTRA NOT LIKE '%auto_increment%' \
             AND EXTRA NOT LIKE '% GENERATED%'",
            (&config.database, &config.table),
        )
        .await
        .map_err(|error| query_error("list the columns of a table", error))?;
    let written = |name: &String| schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    Ok(!wanting.iter().all(written))
}

/// Whether every value of a field's type is one of the column's, or is refused by the server when it is not.
fn fits(column: &Column, field: &Field, table: &str) -> Result<()> {
    use DataType as D;
    let kind = &column.kind;
    let holds = match (kind, field.data_type()) {
        (Kind::Text(Charset::Other(_)) | Kind::Other(_), _) => false,
        // Out of range is an error of the server's.
        (Kind::Int { .. }, D::Boolean | D::Int8 | D::Int16 | D::Int32 | D::Int64) => true,
        (Kind::Int { .. }, D::Decimal128(_, 0)) => true,
        (Kind::Year, D::Int16 | D::Int32 | D::Int64) => true,
        (Kind::Decimal(..), D::Int8 | D::Int16 | D::Int32 | D::Int64) => true,
        // Digits behind the point would be rounded with a mere note.
        (Kind::Decimal(_, scale), D::Decimal128(_, from)) => i16::from(*from) <= i16::from(*scale),
        (Kind::Float, D::Float32 | D::Int8 | D::Int16) => true,
        (Kind::Double, D::Float32 | D::Float64 | D::Int8 | D::Int16 | D::Int32) => true,
        (Kind::Text(_) | Kind::Enum(_) | Kind::Set(_) | Kind::Json, D::Utf8) => true,
        (Kind::Binary(_) | Kind::Bytes, D::Binary) => true,
        (Kind::Bit(1), D::Boolean) => true,
        (Kind::Date, D::Date32) => true,
        // Where nobody declared digits each value is looked at: the server would round it without a word.
        (Kind::Time(digits), D::Time32(_) | D::Time64(_))
        | (Kind::DateTime(digits), D::Timestamp(_, None))
        | (Kind::Timestamp(digits), D::Timestamp(..)) => declared_digits(field).is_none_or(|wanted| wanted <= *digits),
        _ => false,
    };
    if holds {
        return Ok(());
    }
    let shown =
        field.metadata().get(headwater_change::TYPE_KEY).cloned().unwrap_or_else(|| field.data_type().to_string());
    Err(Error::usage(
        "mysql.type",
        format!("column '{}' of {table} is {kind} and does not take every {shown} as it is", column.name),
    )
    .hint("CAST the value to what the column holds, or declare the column with fewer digits"))
}

/// Digits of a second that the declared type has.
fn declared_digits(field: &Field) -> Option<u8> {
    let declared = field.metadata().get(headwater_change::TYPE_KEY)?;
    declared.split_once('(')?.1.split(')').next()?.trim().parse().ok()
}

/// The declared key must be a unique one of the table, and the only one: MySQL replaces the row that any of them finds.
async fn unique(conn: &mut Conn, config: &Config, schema: &Schema, key: &[usize]) -> Result<()> {
    let (database, table) = (&config.database, &config.table);
    let rows: Vec<(String, String)> = conn
        .exec(
            "SELECT INDEX_NAME, COALESCE(COLUMN_NAME, '') FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? \
             AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME = 'PRIMARY' DESC, INDEX_NAME, SEQ_IN_INDEX",
            (database, table),
        )
        .await
        .map_err(|error| query_error("list the keys of a table", error))?;
    let mut keys: Vec<(String, Vec<String>)> = Vec::new();
    for (index, column) in rows {
        match keys.last_mut() {
            Some((name, columns)) if *name == index => columns.push(column.to_lowercase()),
            _ => keys.push((index, vec![column.to_lowercase()])),
        }
    }
    let mut wanted: Vec<String> =
        key.iter().filter_map(|index| schema.fields().get(*index)).map(|field| field.name().to_lowercase()).collect();
    wanted.sort_unstable();
    keys.iter_mut().for_each(|(_, columns)| columns.sort_unstable());
    let shown = wanted.join(", ");
    let qualified = format!("{}.{}", ident(database), ident(table));
    let Some(at) = keys.iter().position(|(_, columns)| *columns == wanted) else {
        let columns: Vec<String> = wanted.iter().map(|name| ident(name).to_string()).collect();
        return Err(Error::usage("mysql.key_missing", format!("{database}.{table} has no unique key ({shown})"))
            .detail("rows would be added again instead of replacing those of the same key")
            .hint(format!(
                "ALTER TABLE {qualified} ADD PRIMARY KEY ({}); or declare no PRIMARY KEY",
                columns.join(", ")
            )));
    };
    let others: Vec<&str> =
        keys.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, (name, _))| name.as_str()).collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Error::usage(
        "mysql.other_unique_key",
        format!("{database}.{table} has other unique keys: {}", others.join(", ")),
    )
    .detail("a row that meets another row in one of them would replace that one, whatever its key")
    .hint("declare no PRIMARY KEY, or write a table without them"))
}
