//! What the statements of this module share: errors with a hint, columns by name, moments as texts.

use headwater_change::{Error, Result};
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::{FromValue, Queryable};
use headwater_mysql::driver::{self, Params};

use crate::operate::Status;

/// An error of a statement, with what to do where that is known.
pub(crate) fn failed(what: &'static str) -> impl Fn(driver::Error) -> Error {
    move |error| {
        let code = match &error {
            driver::Error::Server(server) => server.code,
            _ => 0,
        };
        let detail = error.to_string();
        match code {
            1142 | 1143 | 1227 => Error::usage("jobs.grant", format!("this account may not {what}"))
                .detail(detail)
                .hint("`headwater jobs init --print --account 'name'@'host'` prints the grants of an account")
                .caused_by(error),
            1146 => Error::usage("jobs.tables_missing", format!("the server did not {what}: a table is missing"))
                .detail(detail)
                .hint("run `headwater jobs init` once with an account that may create tables")
                .caused_by(error),
            _ => query_error(what, error),
        }
    }
}

/// All rows of a statement.
pub(crate) async fn rows(
    conn: &mut impl Queryable,
    what: &'static str,
    sql: impl AsRef<str>,
    values: impl Into<Params>,
) -> Result<Vec<driver::Row>> {
    // Without values as a text: what is prepared stays in the session's cache, and lists of numbers never come again.
    match values.into() {
        Params::Empty => conn.query(sql.as_ref()).await,
        values => conn.exec(sql.as_ref(), values).await,
    }
    .map_err(failed(what))
}

/// The first row of a statement.
pub(crate) async fn first(
    conn: &mut impl Queryable,
    what: &'static str,
    sql: impl AsRef<str>,
    values: impl Into<Params>,
) -> Result<Option<driver::Row>> {
    match values.into() {
        Params::Empty => conn.query_first(sql.as_ref()).await,
        values => conn.exec_first(sql.as_ref(), values).await,
    }
    .map_err(failed(what))
}

/// Rows that a statement without values changed.
pub(crate) async fn change(conn: &mut impl Queryable, what: &'static str, sql: impl AsRef<str>) -> Result<u64> {
    let result = conn.query_iter(sql.as_ref()).await.map_err(failed(what))?;
    let count = result.affected_rows();
    result.drop_result().await.map_err(failed(what))?;
    Ok(count)
}

/// A column of a row. Errors with `jobs.tables_differ` where it is missing or of another type.
pub(crate) fn column<T: FromValue>(row: &driver::Row, name: &str) -> Result<T> {
    match row.get_opt::<T, _>(name) {
        Some(Ok(value)) => Ok(value),
        _ => Err(Error::usage("jobs.tables_differ", format!("the column {name} does not hold what it should"))
            .hint("was the table changed by hand? `headwater jobs init --print` shows how it should be")),
    }
}

/// The column `status` of a row.
pub(crate) fn status(row: &driver::Row) -> Result<Status> {
    let name: String = column(row, "status")?;
    Status::from_name(&name).ok_or_else(|| {
        Error::usage("jobs.tables_differ", format!("the status '{name}' is not known to this version"))
            .hint("use the version of headwater that the workers have")
    })
}

/// A moment as ISO 8601 in UTC, under the column's own name. Sessions are in UTC.
pub(crate) fn utc(column: &str) -> String {
    format!("DATE_FORMAT({column}, '%Y-%m-%dT%H:%i:%s.%fZ') AS {}", column.rsplit('.').next().unwrap_or(column))
}
