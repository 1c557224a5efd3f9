//! Options of the connector `mysql-cdc`, by the names of Flink CDC.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use headwater_change::{Error, OptionKind, OptionSpec, Options, Place, Result};
use regex::Regex;

use crate::access::{Access, SslMode};
use crate::position::{Gtids, LogPlace, parse_gtids};

const STARTUP_MODES: &[&str] =
    &["initial", "earliest-offset", "latest-offset", "specific-offset", "timestamp", "snapshot"];

const fn unsupported(name: &'static str) -> OptionSpec {
    OptionSpec::new(name, OptionKind::Unsupported, "of Flink CDC, not supported")
}

/// All options of the connector `mysql-cdc`.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("hostname", OptionKind::Text, "host name or address of the server").required(),
    OptionSpec::new("port", OptionKind::Integer, "TCP port").default("3306"),
    OptionSpec::new("username", OptionKind::Text, "user").required(),
    OptionSpec::new("password", OptionKind::Secret, "password, or file:/path or env:NAME to read it from").required(),
    OptionSpec::new("database-name", OptionKind::Text, "regular expression that the whole database name fits").required(),
    OptionSpec::new("table-name", OptionKind::Text, "regular expression that the whole table name fits").required(),
    OptionSpec::new("server-id", OptionKind::Text, "number to read the binlog under, unique among replicas: '5400' or '5400-5408'; by default one from 5400 to 6400"),
    OptionSpec::new("server-time-zone", OptionKind::Text, "UTC or an offset such as +08:00: the wall time of TIMESTAMP columns read as TIMESTAMP").default("UTC"),
    OptionSpec::new("scan.startup.mode", OptionKind::Choice(STARTUP_MODES), "where to start: initial (snapshot, then binlog), snapshot (and end), earliest-offset, latest-offset, specific-offset; timestamp is not supported").default("initial"),
    OptionSpec::new("scan.startup.specific-offset.gtid-set", OptionKind::Text, "transactions that are not to be read"),
    OptionSpec::new("scan.startup.specific-offset.file", OptionKind::Text, "binlog file to start in"),
    OptionSpec::new("scan.startup.specific-offset.pos", OptionKind::Integer, "offset of a transaction in that file").default("4"),
    OptionSpec::new("scan.snapshot.fetch.size", OptionKind::Integer, "taken for compatibility: the snapshot is streamed").default("1024"),
    OptionSpec::new("scan.incremental.snapshot.chunk.size", OptionKind::Integer, "taken for compatibility: the snapshot is one stream in one transaction").default("8096"),
    OptionSpec::new("scan.zero-date", OptionKind::Choice(&["null", "error"]), "what becomes of dates such as 0000-00-00").default("null"),
    OptionSpec::new("connect.timeout", OptionKind::Duration, "how long one attempt to connect may take").default("30s"),
    OptionSpec::new("connect.max-retries", OptionKind::Integer, "attempts to connect at the start after the first").default("3"),
    OptionSpec::new("heartbeat.interval", OptionKind::Duration, "how often a quiet server says that it is there").default("30s"),
    OptionSpec::new("ssl.mode", OptionKind::Choice(SslMode::NAMES), "disabled, preferred (TLS where the handshake succeeds; without it, and with one warning, where it does not), required, verify_ca and verify_identity (and a certificate of a trusted authority for the server's name; verify_ca asks for the name too)").default("preferred"),
    OptionSpec::new("ssl.ca", OptionKind::Text, "file with the certificates of trusted authorities (PEM)"),
    unsupported("scan.incremental.snapshot.enabled"),
    unsupported("scan.incremental.snapshot.chunk.key-column"),
    unsupported("scan.incremental.snapshot.unbounded-chunk-first.enabled"),
    unsupported("scan.incremental.snapshot.backfill.skip"),
    unsupported("scan.incremental.close-idle-reader.enabled"),
    unsupported("scan.startup.specific-offset.skip-events"),
    unsupported("scan.startup.specific-offset.skip-rows"),
    unsupported("scan.startup.timestamp-millis"),
    unsupported("scan.newly-added-table.enabled"),
    unsupported("scan.parse.online.schema.changes.enabled"),
    unsupported("scan.read-changelog-as-append-only.enabled"),
    unsupported("chunk-meta.group.size"),
    unsupported("chunk-key.even-distribution.factor.upper-bound"),
    unsupported("chunk-key.even-distribution.factor.lower-bound"),
    unsupported("connection.pool.size"),
    unsupported("use.legacy.json.format"),
    unsupported("jdbc.properties.*"),
    unsupported("debezium.*"),
];

/// Where to start without a position.
#[derive(Clone, Debug)]
pub(crate) enum Startup {
    Initial,
    Snapshot,
    Earliest,
    Latest,
    Gtids(Gtids),
    File(LogPlace),
}

/// The options, checked and read.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) access: Access,
    pub(crate) databases: Regex,
    pub(crate) tables: Regex,
    pub(crate) server_id: u32,
    pub(crate) zone_seconds: i64,
    pub(crate) zero_date_is_null: bool,
    pub(crate) startup: Startup,
    pub(crate) connect_retries: u32,
    pub(crate) heartbeat: Duration,
}

fn wrong(option: &str, message: String, hint: &str) -> Error {
    Error::usage("option.value", message).hint(hint).at(Place::Option(option.to_owned()))
}

impl Config {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let duration = |name| options.duration(name).unwrap_or(Duration::from_secs(30));
        let port = options.integer("port").and_then(|port| u16::try_from(port).ok());
        let access = Access {
            host: options.required("hostname")?.to_owned(),
            port: port
                .ok_or_else(|| wrong("port", "this is not a TCP port".into(), "give a number from 1 to 65535"))?,
            user: options.required("username")?.to_owned(),
            password: options.required("password")?.to_owned(),
            database: None,
            ssl: options.text("ssl.mode").and_then(SslMode::from_name).unwrap_or(SslMode::Preferred),
            ssl_ca: options.text("ssl.ca").map(PathBuf::from),
            connect_timeout: duration("connect.timeout"),
        };
        Ok(Self {
            access,
            databases: pattern(options, "database-name")?,
            tables: pattern(options, "table-name")?,
            server_id: server_id(options.text("server-id"))?,
            zone_seconds: zone(options.text("server-time-zone").unwrap_or("UTC"))?,
            zero_date_is_null: !options.text("scan.zero-date").is_some_and(|word| word.eq_ignore_ascii_case("error")),
            startup: startup(options)?,
            connect_retries: options.integer("connect.max-retries").and_then(|n| n.try_into().ok()).unwrap_or(3),
            heartbeat: duration("heartbeat.interval").max(Duration::from_millis(10)),
        })
    }

    /// Whether a table is to be read.
    pub(crate) fn wants(&self, database: &str, table: &str) -> bool {
        self.databases.is_match(database) && self.tables.is_match(table)
    }

    /// Whether a database may have tables that are to be read.
    pub(crate) fn wants_database(&self, database: &str) -> bool {
        self.databases.is_match(database)
    }
}

fn pattern(options: &Options, name: &str) -> Result<Regex> {
    let text = options.required(name)?;
    Regex::new(&format!("^(?:{text})$")).map_err(|error| {
        wrong(name, format!("'{text}' is not a regular expression"), "escape dots and brackets with a backslash")
            .caused_by(error)
    })
}

/// A server sends its log to one reader per id: each source of a process takes the next one.
pub(crate) fn server_id(text: Option<&str>) -> Result<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nth = std::process::id().wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let Some(text) = text else { return Ok(5400 + nth % 1001) };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
        (Ok(first), Ok(last)) if first > 0 && first <= last => Ok(first + nth % (last - first).saturating_add(1)),
        _ => Err(wrong("server-id", format!("'{text}' is no server id"), "give a number or a range such as 5400-5408")),
    }
}

fn zone(text: &str) -> Result<i64> {
    let offset = || {
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let (hours, minutes) = (hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?);
        (hours <= 14 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
    };
    if ["UTC", "Z", "GMT", "Etc/UTC"].iter().any(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(0);
    }
    offset().ok_or_else(|| {
        wrong(
            "server-time-zone",
            format!("the time zone '{text}' is not supported"),
            "give UTC or an offset such as +08:00, or read the column as TIMESTAMP_LTZ, which needs no zone",
        )
    })
}

fn startup(options: &Options) -> Result<Startup> {
    Ok(match options.text("scan.startup.mode").unwrap_or("initial").to_ascii_lowercase().as_str() {
        "snapshot" => Startup::Snapshot,
        "earliest-offset" => Startup::Earliest,
        "latest-offset" => Startup::Latest,
        "timestamp" => {
            return Err(Error::usage("option.unsupported", "scan.startup.mode 'timestamp' is not supported yet")
                .hint("use specific-offset with a file: mysqlbinlog --start-datetime shows its name and offset")
                .at(Place::Option("scan.startup.mode".into())));
        }
        "specific-offset" => {
            if let Some(text) = options.text("scan.startup.specific-offset.gtid-set") {
                let name = "scan.startup.specific-offset.gtid-set";
                let gtids = parse_gtids(text).ok_or_else(|| {
                    wrong(name, format!("'{text}' are no GTIDs"), "give uuid:1-5,… or MariaDB's 0-1-5,…")
                })?;
                return Ok(Startup::Gtids(gtids));
            }
            let Some(file) = options.text("scan.startup.specific-offset.file") else {
                return Err(Error::usage("option.missing", "specific-offset needs a gtid-set or a file")
                    .hint("add 'scan.startup.specific-offset.gtid-set' or '.file' and '.pos'")
                    .at(Place::Option("scan.startup.mode".into())));
            };
            let offset = options.integer("scan.startup.specific-offset.pos").and_then(|pos| pos.try_into().ok());
            Startup::File(LogPlace { file: file.to_owned(), offset: offset.unwrap_or(4), gtids: None })
        }
        _ => Startup::Initial,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(extra: &[(&str, &str)]) -> Result<Config> {
        let base = [
            ("hostname", "h"),
            ("username", "u"),
            ("password", "p"),
            ("database-name", "shop"),
            ("table-name", "a|b.*"),
        ];
        Config::new(&Options::check("mysql-cdc", OPTIONS, base.iter().chain(extra).copied())?)
    }

    #[test]
    fn patterns_fit_whole_names() {
        let config = config(&[]).expect("valid");
        assert!(config.wants("shop", "a") && config.wants("shop", "bcd"));
        assert!(!config.wants("shop", "ab") && !config.wants("shopping", "a"));
        assert!((5400..=6400).contains(&config.server_id));
    }

    #[test]
    fn sources_of_a_process_do_not_take_the_log_from_each_other() {
        let id = |text| config(&[("server-id", text)]).expect("valid").server_id;
        let ids: std::collections::BTreeSet<u32> = (0..20).map(|_| id("5400-6400")).collect();
        assert!(ids.len() > 1 && ids.iter().all(|id| (5400..=6400).contains(id)), "{ids:?}");
        assert_eq!((id("77"), id("77")), (77, 77));
    }

    #[test]
    fn what_is_not_supported_says_so() {
        let code = |extra: &[(&str, &str)]| config(extra).err().map(|error| error.code());
        assert_eq!(code(&[("scan.startup.mode", "timestamp")]), Some("option.unsupported"));
        assert_eq!(code(&[("debezium.snapshot.mode", "never")]), Some("option.unsupported"));
        assert_eq!(code(&[("server-time-zone", "Mars/Base")]), Some("option.value"));
        assert_eq!(code(&[("scan.startup.mode", "specific-offset")]), Some("option.missing"));
        assert_eq!(code(&[("server-id", "9-5")]), Some("option.value"));
        assert_eq!(config(&[("server-time-zone", "-03:30")]).map(|c| c.zone_seconds).ok(), Some(-12_600));
    }
}
