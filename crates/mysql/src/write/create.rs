//! A table for the rows of a query: made under another name, which becomes its own when all rows are there.

use arrow::datatypes::{DataType, Schema};
use headwater_change::{Error, ErrorKind, Place, Result, TYPE_KEY};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::check::account;
use crate::client::query_error;
use crate::ident::ident;
use crate::jdbc::Config;

/// Digits behind the point that MySQL's decimals may have.
const SCALE: i8 = 30;

/// Characters of a VARCHAR that fits whatever else is in the row.
const TEXT: u32 = 4_000;

/// Makes the table under a name of its own, which it gives.
pub(super) async fn stage(conn: &mut Conn, config: &Config, schema: &Schema) -> Result<String> {
    let name = format!("{}__new_{}", config.table.chars().take(40).collect::<String>(), conn.id());
    let columns = schema.fields().iter().map(|field| {
        let declared = field.metadata().get(TYPE_KEY).map(String::as_str);
        let kind = column_type(field.data_type(), declared).ok_or_else(|| {
            Error::usage(
                "mysql.type",
                format!("column '{}' is {}, which MySQL does not have", field.name(), field.data_type()),
            )
            .hint("CAST it to STRING, or leave it out")
        })?;
        Ok(format!("{} {kind}", ident(field.name())))
    });
    let columns = columns.collect::<Result<Vec<String>>>()?.join(", ");
    let table = format!("{}.{}", ident(&config.database), ident(&name));
    match conn.query_drop(format!("CREATE TABLE {table} ({columns}) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4")).await {
        Ok(()) => Ok(name),
        Err(mysql_async::Error::Server(error)) if matches!(error.code, 1044 | 1142) => {
            let user = account(conn, &config.access).await?;
            Err(Error::usage(
                "mysql.privilege",
                format!("the user {user} may not create tables in {}", config.database),
            )
            .detail(error.message)
            .hint(format!("GRANT SELECT, INSERT, CREATE, ALTER, DROP ON {}.* TO {user};", ident(&config.database))))
        }
        Err(error) => Err(query_error("create a table", error)),
    }
}

/// Gives the table its name.
pub(super) async fn show(conn: &mut Conn, config: &Config, staged: &str) -> Result<()> {
    let (database, table) = (ident(&config.database), ident(&config.table));
    match conn.query_drop(format!("RENAME TABLE {database}.{} TO {database}.{table}", ident(staged))).await {
        Ok(()) => Ok(()),
        Err(mysql_async::Error::Server(error)) if error.code == 1050 => Err(Error::new(
            ErrorKind::Usage,
            "mysql.table_exists",
            format!("somebody has created {}.{} in the meantime", config.database, config.table),
        )
        .hint("INSERT OVERWRITE replaces its rows")
        .at(Place::Option("table-name".to_owned()))),
        Err(error) => Err(query_error("rename a table", error)),
    }
}

/// Takes a table away that nobody has seen.
pub(super) async fn forget(conn: &mut Conn, config: &Config, staged: &str) {
    // Whoever looks for it finds it by its name; a server that does not answer has been complained of before.
    let _ = conn.query_drop("ROLLBACK").await;
    let _ = conn.query_drop(format!("DROP TABLE IF EXISTS {}.{}", ident(&config.database), ident(staged))).await;
}

/// The type of a column that holds every value of it; `declared` is what the SQL type says beyond the Arrow type.
fn column_type(data_type: &DataType, declared: Option<&str>) -> Option<String> {
    use DataType as D;
    Some(match data_type {
        D::Boolean => "BIT(1)".to_owned(),
        D::Int8 => "TINYINT".to_owned(),
        D::Int16 => "SMALLINT".to_owned(),
        D::Int32 => "INT".to_owned(),
        D::Int64 => "BIGINT".to_owned(),
        D::Float32 => "FLOAT".to_owned(),
        D::Float64 => "DOUBLE".to_owned(),
        D::Decimal128(precision, scale) if (0..=SCALE).contains(scale) => format!("DECIMAL({precision}, {scale})"),
        D::Utf8 => {
            let length = declared
                .and_then(|declared| declared.strip_prefix("VARCHAR(")?.split(')').next()?.parse::<u32>().ok())
                .filter(|length| *length <= TEXT);
            length.map_or_else(|| "LONGTEXT".to_owned(), |length| format!("VARCHAR({length})"))
        }
        D::Binary => "LONGBLOB".to_owned(),
        D::Date32 => "DATE".to_owned(),
        D::Timestamp(_, None) => "DATETIME(6)".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_room() {
        let of = |data_type, declared| column_type(&data_type, declared);
        assert_eq!(of(DataType::Utf8, Some("VARCHAR(20)")).as_deref(), Some("VARCHAR(20)"));
        assert_eq!(of(DataType::Utf8, Some("VARCHAR(20000)")).as_deref(), Some("LONGTEXT"));
        assert_eq!(of(DataType::Decimal128(38, 30), None).as_deref(), Some("DECIMAL(38, 30)"));
        assert_eq!(of(DataType::Decimal128(38, 31), None), None);
        assert_eq!(of(DataType::Null, None), None);
    }
}
