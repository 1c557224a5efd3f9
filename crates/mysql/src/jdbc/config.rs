//! Options of the connector `jdbc`, by Flink's names.

use std::path::PathBuf;
use std::time::Duration;

use headwater_change::{Error, OptionKind, OptionSpec, Options, Place, Result};

use super::url::{self, JdbcUrl};
use crate::access::{Access, SslMode};
use crate::scan::Bounds;
use crate::scan::brake::Limits;

const fn unsupported(name: &'static str) -> OptionSpec {
    OptionSpec::new(name, OptionKind::Unsupported, "of Flink, not supported")
}

/// All options of the connector `jdbc`.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "url",
        OptionKind::Text,
        "jdbc:mysql://host:3306/database, with the parameters of MySQL's and MariaDB's drivers",
    )
    .required(),
    OptionSpec::new("table-name", OptionKind::Text, "table, or database.table").required(),
    OptionSpec::new("username", OptionKind::Text, "user; before the one in the URL"),
    OptionSpec::new(
        "password",
        OptionKind::Secret,
        "password, or file:/path or env:NAME to read it from; before the one in the URL",
    ),
    OptionSpec::new("driver", OptionKind::Text, "class of the JDBC driver; not used"),
    OptionSpec::new(
        "scan.partition.column",
        OptionKind::Text,
        "column of numbers, dates or times whose ranges are read side by side; without it the primary key's ranges are found",
    ),
    OptionSpec::new("scan.partition.num", OptionKind::Integer, "ranges between the bounds"),
    OptionSpec::new("scan.partition.lower-bound", OptionKind::Text, "where the strides begin; filters nothing"),
    OptionSpec::new("scan.partition.upper-bound", OptionKind::Text, "where the strides end; filters nothing"),
    OptionSpec::new("scan.connections", OptionKind::Integer, "connections at once; by default as many as threads"),
    OptionSpec::new(
        "scan.consistency",
        OptionKind::Choice(&["snapshot", "none"]),
        "snapshot: all connections see the table at one moment; none: each range is read when its turn comes",
    )
    .default("snapshot"),
    OptionSpec::new(
        "scan.zero-date",
        OptionKind::Choice(&["null", "error"]),
        "what becomes of dates such as 0000-00-00; before zeroDateTimeBehavior of the URL",
    ),
    OptionSpec::new(
        "scan.brake.threads-running",
        OptionKind::Integer,
        "begin no range while more threads of others are at work on the server",
    ),
    OptionSpec::new(
        "scan.brake.replica-lag",
        OptionKind::Duration,
        "begin no range while the server, a replica, is further behind than that",
    ),
    OptionSpec::new(
        "scan.brake.share",
        OptionKind::Integer,
        "hundredths of the time in which a connection may read; it rests in the others",
    ),
    OptionSpec::new(
        "scan.statement-timeout",
        OptionKind::Duration,
        "the longest time that a range may take to be read",
    ),
    OptionSpec::new("scan.fetch-size", OptionKind::Integer, "taken for compatibility: rows are streamed").default("0"),
    OptionSpec::new("scan.auto-commit", OptionKind::Bool, "taken for compatibility").default("true"),
    OptionSpec::new("connection.max-retry-timeout", OptionKind::Duration, "how long one attempt to connect may take"),
    OptionSpec::new("ssl.mode", OptionKind::Choice(SslMode::NAMES), "as for mysql-cdc; before sslMode of the URL"),
    OptionSpec::new("ssl.ca", OptionKind::Text, "file with the certificates of trusted authorities (PEM)"),
    OptionSpec::new(
        "sink.buffer-flush.max-rows",
        OptionKind::Integer,
        "taken for compatibility: rows are sent in statements of about a megabyte",
    ),
    OptionSpec::new(
        "sink.buffer-flush.interval",
        OptionKind::Duration,
        "taken for compatibility: all rows are one transaction",
    ),
    OptionSpec::new(
        "sink.max-retries",
        OptionKind::Integer,
        "taken for compatibility: what fails leaves the table as it was",
    ),
    OptionSpec::new("sink.parallelism", OptionKind::Integer, "taken for compatibility: all rows are one transaction"),
    OptionSpec::new("sink.overwrite", OptionKind::Bool, "the rows of before are deleted in the same transaction")
        .default("false"),
    OptionSpec::new(
        "sink.create",
        OptionKind::Bool,
        "the table is made for the rows, and shows itself with all of them",
    )
    .default("false"),
    unsupported("compatible-mode"),
    unsupported("filter.handling.policy"),
    unsupported("lookup.*"),
];

/// A table to be read or written.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) access: Access,
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) bounds: Option<Bounds>,
    pub(crate) connections: Option<usize>,
    pub(crate) snapshot: bool,
    pub(crate) zero_date_is_null: bool,
    /// When the server is left alone.
    pub(crate) brake: Limits,
    /// The longest that a statement may take.
    pub(crate) statement_timeout: Option<Duration>,
    /// Whether the rows of before go.
    pub(crate) overwrite: bool,
    /// Whether the table is made.
    pub(crate) create: bool,
}

fn wrong(name: &str, message: impl Into<String>) -> Error {
    Error::usage("option.value", message).at(Place::Option(name.into()))
}

impl Config {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let JdbcUrl { mut access, zero_date_is_null } = url::parse(options.required("url")?)?;
        if let Some(user) = options.text("username") {
            user.clone_into(&mut access.user);
        }
        if let Some(password) = options.text("password") {
            access = access.with_password(password);
        }
        if let Some(mode) = options.text("ssl.mode").and_then(SslMode::from_name) {
            access.ssl = mode;
        }
        if let Some(path) = options.text("ssl.ca") {
            access.ssl_ca = Some(PathBuf::from(path));
        }
        if let Some(timeout) = options.duration("connection.max-retry-timeout") {
            access.connect_timeout = timeout;
        }
        let name = options.required("table-name")?;
        let (database, table) = match name.split_once('.') {
            Some((database, table)) => (database.to_owned(), table.to_owned()),
            None => (access.database.clone().unwrap_or_default(), name.to_owned()),
        };
        let unquoted = |name: String| name.trim_matches('`').to_owned();
        let (database, table) = (unquoted(database), unquoted(table));
        if database.is_empty() || table.is_empty() {
            return Err(wrong("table-name", "no database is named").hint("name it in the URL, or write database.table"));
        }
        let connections = match options.integer("scan.connections") {
            None => None,
            Some(number) => {
                Some(usize::try_from(number).ok().filter(|number| (1..=1_000).contains(number)).ok_or_else(|| {
                    wrong("scan.connections", format!("{number} connections")).hint("give a number from 1 to 1000")
                })?)
            }
        };
        let zero_date = options.text("scan.zero-date").map(|word| word.eq_ignore_ascii_case("null"));
        Ok(Self {
            access,
            database,
            table,
            bounds: bounds(options)?,
            connections,
            snapshot: !options.text("scan.consistency").is_some_and(|word| word.eq_ignore_ascii_case("none")),
            zero_date_is_null: zero_date.or(zero_date_is_null).unwrap_or(true),
            brake: brake(options)?,
            statement_timeout: options.duration("scan.statement-timeout").filter(|time| !time.is_zero()),
            overwrite: options.bool("sink.overwrite"),
            create: options.bool("sink.create"),
        })
    }
}

fn brake(options: &Options) -> Result<Limits> {
    let number = |name: &str, most: u64| -> Result<Option<u64>> {
        let Some(number) = options.integer(name) else { return Ok(None) };
        let found = u64::try_from(number).ok().filter(|number| (1..=most).contains(number));
        found.map(Some).ok_or_else(|| wrong(name, format!("{number} is not a number from 1 to {most}")))
    };
    let share = number("scan.brake.share", 100)?.and_then(|share| u32::try_from(share).ok());
    Ok(Limits {
        threads_running: number("scan.brake.threads-running", 1_000_000)?,
        lag: options.duration("scan.brake.replica-lag"),
        share: share.filter(|share| *share < 100),
    })
}

/// All four options of bounds, or none.
fn bounds(options: &Options) -> Result<Option<Bounds>> {
    const NAMES: [&str; 4] =
        ["scan.partition.column", "scan.partition.num", "scan.partition.lower-bound", "scan.partition.upper-bound"];
    let [column, number, lower, upper] = NAMES.map(|name| options.text(name));
    match (column, number, lower, upper) {
        (None, None, None, None) => Ok(None),
        (Some(column), Some(number), Some(lower), Some(upper)) => Ok(Some(Bounds {
            column: column.to_owned(),
            lower: lower.to_owned(),
            upper: upper.to_owned(),
            number: number.trim().parse().map_err(|_| wrong("scan.partition.num", format!("{number} ranges")))?,
        })),
        _ => {
            let missing = NAMES.iter().find(|name| options.text(name).is_none()).copied().unwrap_or_default();
            Err(Error::usage("option.missing", format!("'{missing}' is missing"))
                .hint(format!("give all of {}, or none of them", NAMES.join(", ")))
                .at(Place::Option(missing.into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(extra: &[(&str, &str)]) -> Result<Config> {
        let base = [("url", "jdbc:mysql://h/shop?user=a"), ("table-name", "orders")];
        Config::new(&Options::check("jdbc", OPTIONS, base.iter().chain(extra).copied())?)
    }

    #[test]
    fn options_go_before_the_url() {
        let config = config(&[("username", "b"), ("password", "p"), ("scan.zero-date", "error")]).expect("valid");
        assert_eq!(config.access.to_string(), "b@h:3306/shop");
        assert_eq!((config.database.as_str(), config.table.as_str()), ("shop", "orders"));
        assert!(config.snapshot && !config.zero_date_is_null);
    }

    #[test]
    fn bounds_come_together() {
        let column = ("scan.partition.column", "id");
        assert_eq!(config(&[column]).expect_err("alone").code(), "option.missing");
        let rest =
            [("scan.partition.num", "4"), ("scan.partition.lower-bound", "1"), ("scan.partition.upper-bound", "9")];
        let given: Vec<_> = std::iter::once(column).chain(rest).collect();
        assert_eq!(config(&given).expect("valid").bounds.expect("bounds").number, 4);
        assert_eq!(config(&[("lookup.cache", "PARTIAL")]).expect_err("a lookup").code(), "option.unsupported");
    }
}
