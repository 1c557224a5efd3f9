//! What must be true of a server before its log can be read; each failure says the statement that mends it.

use std::sync::Arc;

use headwater_change::METADATA_KEY;
use headwater_change::{Error, Result, TableRequest};
use mysql_async::Conn;

use crate::access::Access;
use crate::client::{self, Flavor, query_error, rows, variable};
use crate::config::Config;
use crate::ident::ident;
use crate::rows::build::Policy;
use crate::rows::event::{Feed, Plan};
use crate::schema::{Charset, Column, Kind};
use arrow::datatypes::{DataType, SchemaRef};

/// What the server is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) flavor: Flavor,
    /// Whether positions are GTIDs.
    pub(crate) gtids: bool,
}

/// Checks log settings and privileges.
pub(crate) async fn server(conn: &mut Conn, config: &Config, needs_log: bool) -> Result<Server> {
    let flavor = client::flavor(conn).await?;
    if needs_log {
        log_settings(conn).await?;
        log_privileges(conn, &config.access, flavor).await?;
    }
    let gtids = flavor == Flavor::MariaDb || variable(conn, "gtid_mode").await?.eq_ignore_ascii_case("ON");
    Ok(Server { flavor, gtids })
}

/// Whether the log is written, in rows.
pub(crate) async fn log_of_rows(conn: &mut Conn) -> Result<()> {
    if variable(conn, "log_bin").await? != "1" {
        return Err(Error::usage("mysql.log_bin", "the server writes no binlog")
            .hint("start the server with 'log_bin=binlog' and a 'server_id' in the section [mysqld] of my.cnf"));
    }
    let format = variable(conn, "binlog_format").await?;
    if !format.eq_ignore_ascii_case("ROW") {
        return Err(Error::usage("mysql.binlog_format", format!("the server's binlog_format is {format}, not ROW"))
            .hint("SET GLOBAL binlog_format='ROW'; and connect writers anew, and keep it in my.cnf"));
    }
    Ok(())
}

async fn log_settings(conn: &mut Conn) -> Result<()> {
    log_of_rows(conn).await?;
    let image = variable(conn, "binlog_row_image").await?;
    if !image.eq_ignore_ascii_case("FULL") {
        return Err(Error::usage(
            "mysql.binlog_row_image",
            format!("the server's binlog_row_image is {image}, not FULL"),
        )
        .hint("SET GLOBAL binlog_row_image='FULL'; and connect writers anew, and keep it in my.cnf"));
    }
    let options = variable(conn, "binlog_row_value_options").await?;
    if !options.is_empty() {
        return Err(Error::usage("mysql.binlog_row_value_options", "the server logs parts of JSON documents")
            .hint("SET GLOBAL binlog_row_value_options=''; and connect writers anew"));
    }
    if variable(conn, "log_bin_compress").await? == "1" {
        return Err(Error::usage("mysql.log_bin_compress", "the server compresses binlog events")
            .hint("SET GLOBAL log_bin_compress=OFF;"));
    }
    Ok(())
}

/// Whether the account may read the log.
pub(crate) async fn log_privileges(conn: &mut Conn, access: &Access, flavor: Flavor) -> Result<()> {
    let grants = rows(conn, "SHOW GRANTS").await.map_err(|error| query_error("show the grants", error))?;
    let grants: Vec<String> = grants.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    let global = |names: &[&str]| {
        grants.iter().filter_map(|grant| grant.split_once(" ON *.* TO ")).any(|(privileges, _)| {
            let list = privileges.trim_start_matches("GRANT ");
            list.split(',').map(str::trim).any(|held| held == "ALL PRIVILEGES" || names.contains(&held))
        })
    };
    let client_names: &[&str] = match flavor {
        Flavor::MySql => &["REPLICATION CLIENT"],
        Flavor::MariaDb => &["BINLOG MONITOR", "REPLICATION CLIENT"],
    };
    let mut missing = Vec::new();
    if !global(&["REPLICATION SLAVE", "REPLICATION REPLICA"]) {
        missing.push("REPLICATION SLAVE");
    }
    if !global(client_names) {
        missing.push(client_names.first().copied().unwrap_or("REPLICATION CLIENT"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let user = account(conn, access).await?;
    let list = missing.join(", ");
    Err(Error::usage("mysql.privilege", format!("the user '{}' lacks {list}", access.user))
        .hint(format!("GRANT {list} ON *.* TO {user};")))
}

/// The account as the server knows it, quoted for a GRANT.
pub(crate) async fn account(conn: &mut Conn, access: &Access) -> Result<String> {
    let row = client::row(conn, "SELECT CURRENT_USER()").await.map_err(|error| query_error("name the user", error))?;
    Ok(quoted_account(row.and_then(|row| row.into_iter().next().flatten()), access))
}

/// What CURRENT_USER() gives, quoted for a GRANT.
pub(crate) fn quoted_account(account: Option<String>, access: &Access) -> String {
    let account = account.unwrap_or_else(|| format!("{}@%", access.user));
    let (user, host) = account.rsplit_once('@').unwrap_or((&account, "%"));
    format!("'{user}'@'{host}'")
}

/// The tables that fit the patterns, in the order of their names. At least one.
pub(crate) async fn tables(conn: &mut Conn, config: &Config) -> Result<Vec<(String, String)>> {
    let all = rows(
        conn,
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') \
         ORDER BY TABLE_SCHEMA, TABLE_NAME",
    )
    .await
    .map_err(|error| query_error("list its tables", error))?;
    let names = all.into_iter().filter_map(|row| {
        let mut row = row.into_iter();
        Some((row.next()??, row.next()??))
    });
    let wanted: Vec<_> = names.filter(|(database, table)| config.wants(database, table)).collect();
    if wanted.is_empty() {
        let (database, table) = (config.databases.as_str(), config.tables.as_str());
        let user = account(conn, &config.access).await?;
        return Err(Error::usage(
            "mysql.table_missing",
            "no table fits 'database-name' and 'table-name', or none may be read",
        )
        .detail(format!("the patterns are {database} and {table}"))
        .hint(format!("check the names; if the table is there: GRANT SELECT ON db.* TO {user};")));
    }
    Ok(wanted)
}

/// The columns of a table, in their order; empty where there is no such table.
pub(crate) async fn columns(conn: &mut Conn, database: &str, table: &str) -> Result<Vec<Column>> {
    use mysql_async::prelude::Queryable;
    type Row = (String, String, String, Option<String>, Option<u64>, Option<u64>, Option<u64>, Option<u64>, String);
    let rows: Vec<Row> = conn
        .exec(
            "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, \
             NUMERIC_SCALE, DATETIME_PRECISION, IS_NULLABLE FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
            (database, table),
        )
        .await
        .map_err(|error| query_error("describe a table", error))?;
    Ok(rows
        .into_iter()
        .map(|(name, data_type, column_type, charset, octets, precision, scale, digits, nullable)| {
            let data_type = data_type.to_ascii_lowercase();
            let kind =
                Kind::from_catalog(&data_type, &column_type, charset.as_deref(), octets, precision, scale, digits);
            Column { name, kind, nullable: nullable == "YES" }
        })
        .collect())
}

/// How rows of a table with these columns become wanted columns. Fails where a wanted column is missing
/// (`mysql.column_missing`) or of a type that cannot be read as asked (`mysql.type`).
pub(crate) fn plan(
    schema: &SchemaRef,
    database: &str,
    table: &str,
    columns: Vec<Column>,
    policy: Policy,
) -> Result<Plan> {
    let mut targets = vec![None; columns.len()];
    let mut feeds = Vec::with_capacity(schema.fields().len());
    for (output, field) in schema.fields().iter().enumerate() {
        if let Some(key) = field.metadata().get(METADATA_KEY) {
            feeds.push(metadata(key, field.data_type())?);
            continue;
        }
        let name = field.name();
        let found = columns.iter().position(|column| column.name == *name);
        let found = found.or_else(|| columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)));
        let Some((index, column)) = found.and_then(|index| Some((index, columns.get(index)?))) else {
            let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(Error::usage("mysql.column_missing", format!("{database}.{table} has no column '{name}'"))
                .detail(format!("its columns: {}", known.join(", ")))
                .hint("leave it out of the table's declaration, or name tables that have it"));
        };
        if !column.kind.goes_into(field.data_type()) {
            let (kind, wanted) = (&column.kind, field.data_type());
            return Err(Error::usage(
                "mysql.type",
                format!("column '{name}' of {database}.{table} is {kind} and cannot be read as {wanted}"),
            )
            .hint(way_out(column, database, table)));
        }
        if let Some(target) = targets.get_mut(index) {
            *target = Some(output);
        }
        feeds.push(Feed::Column(index));
    }
    Ok(Plan { database: database.to_owned(), table: table.to_owned(), columns, feeds, targets, policy })
}

/// What can be done about a column that cannot be read as asked.
fn way_out(column: &Column, database: &str, table: &str) -> String {
    let (database, table, name) = (ident(database), ident(table), ident(&column.name));
    let copy = |definition: &str| {
        let copy = format!("{}_copy", column.name);
        let copy = ident(&copy);
        format!(
            "read a copy of it: ALTER TABLE {database}.{table} ADD COLUMN {copy} {definition} STORED; or leave the column out"
        )
    };
    match &column.kind {
        Kind::Text(Charset::Other(_)) => {
            format!("ALTER TABLE {database}.{table} MODIFY {name} … CHARACTER SET utf8mb4; or leave the column out")
        }
        Kind::Other(kind) => match kind.to_ascii_lowercase().as_str() {
            "uuid" | "inet4" | "inet6" => copy(&format!("VARCHAR(45) AS (CAST({name} AS CHAR(45)))")),
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geomcollection" | "geometrycollection" => copy(&format!("LONGBLOB AS (ST_AsWKB({name}))")),
            kind if kind.contains("compressed") => {
                format!("ALTER TABLE {database}.{table} MODIFY {name} …; without COMPRESSED, or leave the column out")
            }
            kind if kind.contains("character set") => {
                format!("ALTER TABLE {database}.{table} MODIFY {name} … CHARACTER SET utf8mb4; or leave the column out")
            }
            _ => "leave the column out".to_owned(),
        },
        kind => format!("its natural type is {}", kind.natural()),
    }
}

fn metadata(key: &str, data_type: &DataType) -> Result<Feed> {
    let feed = match key {
        "database_name" => Feed::Database,
        "table_name" => Feed::Table,
        "op_ts" => Feed::OpTime,
        "row_kind" => Feed::RowKind,
        other => {
            return Err(Error::usage("mysql.metadata", format!("mysql-cdc has no metadata '{other}'"))
                .hint("known: table_name, database_name, op_ts, row_kind"));
        }
    };
    let fits = match feed {
        Feed::OpTime => matches!(data_type, DataType::Timestamp(..)),
        _ => *data_type == DataType::Utf8,
    };
    if fits {
        return Ok(feed);
    }
    Err(Error::usage("mysql.metadata", format!("metadata '{key}' cannot be read as {data_type}"))
        .hint("op_ts is TIMESTAMP_LTZ(3), the others are STRING"))
}

/// Checks the parts of a request that need no server.
pub(crate) fn request(request: &TableRequest) -> Result<()> {
    crate::rows::build::Builders::new(Arc::clone(&request.schema))?;
    for field in request.schema.fields() {
        if let Some(key) = field.metadata().get(METADATA_KEY) {
            metadata(key, field.data_type())?;
        }
    }
    Ok(())
}
