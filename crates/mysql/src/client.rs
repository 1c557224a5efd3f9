//! Connections: TLS by `ssl.mode`, sessions that mean the same everywhere (UTC, utf8mb4), errors in the product's terms.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, OptsBuilder, SslOpts};

use headwater_change::{Error, Place, Result};

use crate::access::{Access, SslMode};
use crate::{notice, tls};

/// What every session says first: what a server's settings would change in what is read is set here. A
/// `sql_select_limit` would cut a snapshot in silence, a time limit would end it; generated keys are in the log, so they have
/// to be in the catalog. `net_write_timeout` lets a slow reader take a day for its snapshot. MariaDB steps over `/*!`
/// comments of these versions, MySQL over `/*M!`.
pub(crate) const SESSION: &str = "SET NAMES utf8mb4, SESSION time_zone='+00:00', SESSION sql_mode='', SESSION autocommit=1, \
                       SESSION completion_type=0, SESSION sql_select_limit=18446744073709551615, SESSION sql_big_selects=1, \
                       SESSION sql_quote_show_create=1, SESSION net_write_timeout=86400, SESSION wait_timeout=86400 \
                       /*!80000 , SESSION max_execution_time=0 */ \
                       /*!80030 , SESSION show_gipk_in_create_table_and_information_schema=ON */ \
                       /*M!100100 , SESSION max_statement_time=0 */";

/// Prepared statements that a session keeps. Not 0: then the driver closes none of them until the session ends, and the
/// server soon takes no more (`max_prepared_stmt_count`).
const STATEMENTS: usize = 32;

/// The protocol's own limit: what the server sends may be larger than what it takes (`max_allowed_packet`), JSON above all.
const PACKET_BYTES_MAX: usize = 1 << 30;

/// Silence after which the system asks whether the other side is still there: one that vanished says nothing.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Which product answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// Servers with which no handshake succeeded, by address: `preferred` does not try again.
static WITHOUT_TLS: Mutex<BTreeSet<(String, u16)>> = Mutex::new(BTreeSet::new());

/// Connects once. The statements of `setup` follow what every session says.
///
/// With `ssl.mode` `preferred` a server that has no TLS, or with which no handshake succeeds, is connected to without, which
/// is MySQL's rule; the second is told once.
///
/// # Errors
/// `mysql.connect`, `mysql.access_denied`, `mysql.tls`, `mysql.password`.
pub async fn connect(access: &Access, setup: &[&str]) -> Result<Conn> {
    // The password is looked up here too, so that a missing file is not taken for a refusal by the server.
    access.password()?;
    match tokio::time::timeout(access.connect_timeout, attempt(access, setup)).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(error)) if handshake_failed(&error) => match tls::both_sides(access).await {
            Some(sides) => Err(no_common_tls(access, sides).caused_by(error)),
            None => Err(connect_error(access, error)),
        },
        Ok(Err(error)) => Err(connect_error(access, error)),
        Err(_) => Err(Error::remote("mysql.connect", format!("{}:{} does not answer", access.host, access.port))
            .detail(format!("no connection within {:?}", access.connect_timeout))),
    }
}

async fn attempt(access: &Access, setup: &[&str]) -> mysql_async::Result<Conn> {
    if access.ssl != SslMode::Preferred {
        return connect_with(access, access.ssl, setup).await;
    }
    let address = (access.host.clone(), access.port);
    if without_tls().contains(&address) {
        return connect_with(access, SslMode::Disabled, setup).await;
    }
    match connect_with(access, SslMode::Preferred, setup).await {
        Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer)) => {
            connect_with(access, SslMode::Disabled, setup).await
        }
        Err(error) if handshake_failed(&error) => {
            let conn = connect_with(access, SslMode::Disabled, setup).await?;
            without_tls().insert(address);
            let (host, port) = (&access.host, access.port);
            let why = tls::both_sides(access).await.unwrap_or_else(|| error.to_string());
            notice::warn(format!(
                "the connection to {host}:{port} is not encrypted: TLS could not be set up ({why}); \
                 'ssl.mode' = 'required' would refuse, 'disabled' would not ask"
            ));
            Ok(conn)
        }
        other => other,
    }
}

fn without_tls() -> MutexGuard<'static, BTreeSet<(String, u16)>> {
    WITHOUT_TLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether no handshake succeeded with a server.
pub(crate) fn goes_without_tls(access: &Access) -> bool {
    without_tls().contains(&(access.host.clone(), access.port))
}

/// Whether the TLS library or the other side gave up in the middle of setting up the connection.
fn handshake_failed(error: &mysql_async::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
    match error {
        mysql_async::Error::Io(mysql_async::IoError::Tls(_)) => true,
        mysql_async::Error::Io(mysql_async::IoError::Io(error)) => {
            // A certificate that is not trusted is another matter than a handshake without an end.
            matches!(error.kind(), InvalidData | UnexpectedEof | ConnectionReset | ConnectionAborted)
                && !error.to_string().contains("certificate")
        }
        _ => false,
    }
}

fn no_common_tls(access: &Access, sides: String) -> Error {
    Error::usage("mysql.tls", format!("{}:{} and Headwater have no TLS in common", access.host, access.port))
        .detail(sides)
        .hint("bring the server up to date, or set 'ssl.mode' = 'preferred', which then goes on without encryption")
        .at(Place::Option("ssl.mode".into()))
}

async fn connect_with(access: &Access, ssl: SslMode, setup: &[&str]) -> mysql_async::Result<Conn> {
    let password = access.password().map_err(|error| mysql_async::Error::Other(Box::new(error)))?;
    let mut options = OptsBuilder::default()
        .ip_or_hostname(access.host.as_str())
        .tcp_port(access.port)
        .user(Some(access.user.as_str()))
        .pass(Some(password))
        .prefer_socket(false)
        .tcp_keepalive(Some(KEEP_ALIVE))
        .db_name(access.database.as_deref())
        .stmt_cache_size(STATEMENTS)
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .setup(std::iter::once(SESSION).chain(setup.iter().copied()).collect::<Vec<_>>());
    if ssl != SslMode::Disabled {
        let mut tls = SslOpts::default();
        if let Some(path) = &access.ssl_ca {
            tls = tls.with_root_certs(vec![path.clone().into()]).with_disable_built_in_roots(true);
        }
        tls = match ssl {
            // The TLS library checks authority and name together; asking for more than verify_ca says is the safe side.
            SslMode::VerifyIdentity | SslMode::VerifyCa => tls,
            _ => tls.with_danger_accept_invalid_certs(true),
        };
        options = options.ssl_opts(tls);
    }
    Conn::new(options).await
}

pub(crate) fn connect_error(access: &Access, error: mysql_async::Error) -> Error {
    let place = format!("{}:{}", access.host, access.port);
    match &error {
        mysql_async::Error::Server(server) if matches!(server.code, 1044 | 1045 | 1698 | 1251) => {
            Error::usage("mysql.access_denied", format!("{place} refuses the user '{}'", access.user))
                .detail(server.message.clone())
                .hint("check 'username' and 'password', and from which hosts the user may connect")
                .at(Place::Option("password".into()))
        }
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            Error::usage("mysql.tls", format!("{place} does not offer TLS"))
                .hint("set 'ssl.mode' = 'preferred', or give the server a certificate")
                .at(Place::Option("ssl.mode".into()))
        }
        mysql_async::Error::Io(mysql_async::IoError::Tls(tls)) => {
            let detail = tls.to_string();
            Error::usage("mysql.tls", format!("no trusted connection to {place}"))
                .detail(detail)
                .hint("point 'ssl.ca' to the authority's certificate, or lower 'ssl.mode'")
                .at(Place::Option("ssl.mode".into()))
                .caused_by(error)
        }
        _ if error.to_string().contains("certificate") => {
            let detail = error.to_string();
            Error::usage("mysql.tls", format!("no trusted connection to {place}"))
                .detail(detail)
                .hint("point 'ssl.ca' to the authority's certificate, or lower 'ssl.mode'")
                .at(Place::Option("ssl.mode".into()))
        }
        _ => {
            let detail = error.to_string();
            Error::remote("mysql.connect", format!("cannot connect to {place}")).detail(detail).caused_by(error)
        }
    }
}

/// An error of a statement.
pub fn query_error(what: &str, error: mysql_async::Error) -> Error {
    let detail = error.to_string();
    let found = Error::remote("mysql.query", format!("the server did not {what}")).detail(detail);
    match &error {
        mysql_async::Error::Server(server) if matches!(server.code, 1213 | 1205) => {
            found.hint("others held what it asked for: start again")
        }
        mysql_async::Error::Server(server) if matches!(server.code, 1146 | 1049) => {
            found.hint("it was dropped or renamed, or is made anew at this moment: start again once that is over")
        }
        _ => found,
    }
    .caused_by(error)
}

/// Whether a statement failed for what others did at the same moment: a deadlock, or a table that was being altered,
/// renamed or dropped.
pub(crate) fn is_passing(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<mysql_async::Error>());
    matches!(cause, Some(mysql_async::Error::Server(server)) if matches!(server.code, 1213 | 1205 | 1146 | 1049 | 1412))
}

/// The first row of a statement's result as texts; NULL is `None`.
pub(crate) async fn row(conn: &mut Conn, sql: &str) -> mysql_async::Result<Option<Vec<Option<String>>>> {
    Ok(rows(conn, sql).await?.into_iter().next())
}

/// All rows of a statement's result as texts.
pub(crate) async fn rows(conn: &mut Conn, sql: &str) -> mysql_async::Result<Vec<Vec<Option<String>>>> {
    let rows: Vec<mysql_async::Row> = conn.query(sql).await?;
    let text = |value| match value {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true)),
    };
    Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect())
}

/// A variable's value; empty where there is no such variable.
pub(crate) async fn variable(conn: &mut Conn, name: &str) -> Result<String> {
    match row(conn, &format!("SELECT @@GLOBAL.{name}")).await {
        Ok(row) => Ok(row.and_then(|row| row.into_iter().next().flatten()).unwrap_or_default()),
        Err(mysql_async::Error::Server(server)) if server.code == 1193 => Ok(String::new()),
        Err(error) => Err(query_error("show a variable", error)),
    }
}

/// Which product it is.
///
/// # Errors
/// `mysql.query`.
pub async fn flavor(conn: &mut Conn) -> Result<Flavor> {
    let version = variable(conn, "version").await?;
    Ok(if version.to_ascii_lowercase().contains("mariadb") { Flavor::MariaDb } else { Flavor::MySql })
}

/// The server's version, as far as features go by it, and its text.
///
/// # Errors
/// `mysql.query`.
pub async fn version(conn: &mut Conn) -> Result<((u32, u32, u32), String)> {
    let text = variable(conn, "version").await?;
    let mut parts = text.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    Ok(((next(), next(), next()), text))
}
