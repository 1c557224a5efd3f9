//! The columns of a table, for dialects that do not declare them.

use arrow::datatypes::{DataType, Field, TimeUnit};
use headwater_change::{Error, Options, Result};

use super::Config;
use crate::ident::ident;
use crate::schema::Kind;
use crate::{check, client, notice};

/// The columns of the table that the options name, as the types in which every value is exact.
///
/// | MySQL | Arrow |
/// |---|---|
/// | TINYINT(1), BIT(1) | Boolean; another value than 0 and 1 is an error |
/// | unsigned integers | the next wider type, BIGINT UNSIGNED as Decimal128(20, 0) |
/// | DECIMAL of more than 38 digits, TIME | Utf8 |
/// | DATETIME, TIMESTAMP | Timestamp in µs, TIMESTAMP in UTC |
/// | YEAR | Int32 |
///
/// A column that cannot be read is left out, and told.
///
/// # Errors
/// `option.*` for wrong options, `mysql.table_missing`, and what connecting comes to.
pub fn describe(options: &Options) -> Result<Vec<Field>> {
    let config = Config::new(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::remote("mysql.thread", "no runtime can be started").caused_by(error))?;
    runtime.block_on(columns(&config))
}

async fn columns(config: &Config) -> Result<Vec<Field>> {
    let mut conn = client::connect(&config.access, &[]).await?;
    let (database, table) = (&config.database, &config.table);
    let columns = check::columns(&mut conn, database, table).await?;
    if columns.is_empty() {
        let user = check::account(&mut conn, &config.access).await?;
        return Err(Error::usage(
            "mysql.table_missing",
            format!("there is no table {database}.{table}, or it may not be read"),
        )
        .hint(format!("if it is there: GRANT SELECT ON {}.{} TO {user};", ident(database), ident(table))));
    }
    drop(conn.disconnect().await);
    let mut fields = Vec::with_capacity(columns.len());
    for column in columns {
        match arrow_type(&column.kind) {
            Some(data_type) => fields.push(Field::new(column.name, data_type, column.nullable)),
            None => notice::warn(format!(
                "the column {} of {database}.{table} is left out: {} cannot be read",
                ident(&column.name),
                column.kind
            )),
        }
    }
    Ok(fields)
}

fn arrow_type(kind: &Kind) -> Option<DataType> {
    Some(match kind {
        Kind::Int { bytes: 1, unsigned: false, truth: true } | Kind::Bit(1) => DataType::Boolean,
        Kind::Int { bytes, unsigned, .. } => match (bytes, unsigned) {
            (1, false) => DataType::Int8,
            (1, true) | (2, false) => DataType::Int16,
            (2, true) | (3, _) | (4, false) => DataType::Int32,
            (4, true) | (8, false) => DataType::Int64,
            _ => DataType::Decimal128(20, 0),
        },
        Kind::Decimal(precision @ ..=38, scale) => DataType::Decimal128(*precision, i8::try_from(*scale).ok()?),
        Kind::Float => DataType::Float32,
        Kind::Double => DataType::Float64,
        Kind::Text(_) | Kind::Enum(_) | Kind::Set(_) | Kind::Json | Kind::Decimal(..) | Kind::Time(_) => DataType::Utf8,
        Kind::Binary(_) | Kind::Bytes | Kind::Bit(_) => DataType::Binary,
        Kind::Date => DataType::Date32,
        Kind::DateTime(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        Kind::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Year => DataType::Int32,
        Kind::Other(_) => return None,
    })
}
