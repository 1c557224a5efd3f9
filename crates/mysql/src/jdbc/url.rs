//! JDBC URLs, with the parameters of MySQL's and MariaDB's drivers. Each is obeyed, known to change nothing here, or refused
//! by name.

use std::time::Duration;

use headwater_change::{Error, Place, Result, suggest};
use url::Url;

use crate::access::{Access, SslMode};

/// What a URL says.
#[derive(Clone, Debug)]
pub(crate) struct JdbcUrl {
    pub(crate) access: Access,
    /// `zeroDateTimeBehavior`, where it is given.
    pub(crate) zero_date_is_null: Option<bool>,
}

/// Parameters about how the driver fetches, sends or shows what is read here without it.
const WITHOUT_EFFECT: &[&str] = &[
    "allowPublicKeyRetrieval",
    "autoReconnect",
    "cachePrepStmts",
    "characterEncoding",
    "defaultFetchSize",
    "nullDatabaseMeansCurrent",
    "rewriteBatchedStatements",
    "tcpKeepAlive",
    "tinyInt1isBit",
    "transformedBitIsBoolean",
    "useAffectedRows",
    "useBulkStmts",
    "useCompression",
    "useCursorFetch",
    "useLegacyDatetimeCode",
    "useServerPrepStmts",
    "useUnicode",
    "yearIsDateType",
];

/// Parameters that are obeyed.
const OBEYED: &[&str] = &[
    "connectTimeout",
    "connectionTimeZone",
    "password",
    "serverTimezone",
    "sslMode",
    "useSSL",
    "user",
    "zeroDateTimeBehavior",
];

fn wrong(message: impl Into<String>) -> Error {
    Error::usage("option.value", message)
        .hint("write jdbc:mysql://host:3306/database?sslMode=REQUIRED")
        .at(Place::Option("url".into()))
}

/// Reads `jdbc:mysql://host:port/database?parameter=value`, also without `jdbc:` and with `user:password@` before the host; the text is not repeated in errors, it may hold a password.
pub(crate) fn parse(text: &str) -> Result<JdbcUrl> {
    let prefixes = ["jdbc:mysql:", "jdbc:mariadb:", "jdbc:mysql+srv:", "mysql:", "mariadb:"];
    let plain = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    let plain = plain.ok_or_else(|| match text.split(':').nth(1) {
        Some(other) if text.starts_with("jdbc:") => {
            wrong(format!("the connector jdbc reads MySQL and MariaDB, not {other}"))
        }
        _ => wrong("this is no JDBC URL of MySQL or MariaDB"),
    })?;
    if text.starts_with("jdbc:mysql+srv") || plain.contains(',') || plain.starts_with("//(") {
        return Err(wrong("URLs of several hosts are not supported"));
    }
    let url = Url::parse(&format!("mysql:{plain}")).map_err(|error| wrong(format!("this is not a URL: {error}")))?;
    let mut base = url.clone();
    base.set_query(None);
    let mut found = JdbcUrl { access: Access::from_url(base.as_str())?, zero_date_is_null: None };
    for (name, value) in url.query_pairs() {
        found.parameter(&name, &value)?;
    }
    Ok(found)
}

impl JdbcUrl {
    fn parameter(&mut self, name: &str, value: &str) -> Result<()> {
        let unusable = |wanted: &str| Err(wrong(format!("the parameter '{name}' is {wanted}")));
        let known = WITHOUT_EFFECT.iter().chain(OBEYED).copied();
        let Some(known) = known.clone().find(|known| known.eq_ignore_ascii_case(name)) else {
            let error = wrong(format!("the parameter '{name}' is not known"));
            return Err(match suggest(name, known) {
                Some(meant) => error.hint(format!("did you mean '{meant}'?")),
                None => error,
            });
        };
        match known {
            "user" => self.access.user = value.to_owned(),
            "password" => self.access = self.access.clone().with_password(value),
            "useSSL" if value.eq_ignore_ascii_case("false") => self.access.ssl = SslMode::Disabled,
            "useSSL" => self.access.ssl = SslMode::Required,
            "sslMode" => match SslMode::from_name(value) {
                Some(mode) => self.access.ssl = mode,
                None => return unusable("DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"),
            },
            "connectTimeout" => match value.parse() {
                Ok(0) => {}
                Ok(millis) => self.access.connect_timeout = Duration::from_millis(millis),
                Err(_) => return unusable("a number of milliseconds"),
            },
            "connectionTimeZone" | "serverTimezone" => {
                let utc = ["UTC", "GMT", "Z", "+00:00", "Etc/UTC"];
                if !utc.iter().any(|name| name.eq_ignore_ascii_case(value)) {
                    return unusable("UTC here: instants are exact, read TIMESTAMP columns as TIMESTAMP_LTZ");
                }
            }
            "zeroDateTimeBehavior" => {
                self.zero_date_is_null = match value.to_ascii_lowercase().replace('_', "").as_str() {
                    "converttonull" => Some(true),
                    "exception" => Some(false),
                    _ => return unusable("CONVERT_TO_NULL or EXCEPTION: a date that was never stored is not made up"),
                };
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_write_is_read() {
        let url = "jdbc:mysql://db.local:3307/shop?useSSL=false&serverTimezone=UTC&zeroDateTimeBehavior=convertToNull\
                   &useCursorFetch=true&user=spark&password=s3cret%21&connectTimeout=5000";
        let found = parse(url).expect("a URL");
        assert_eq!(found.access.to_string(), "spark@db.local:3307/shop");
        assert_eq!((found.access.ssl, found.zero_date_is_null), (SslMode::Disabled, Some(true)));
        assert_eq!(found.access.password().ok().as_deref(), Some("s3cret!"));
        assert_eq!(found.access.connect_timeout, Duration::from_secs(5));
        assert_eq!(parse("jdbc:mariadb://h/d").expect("a URL").access.to_string(), "@h:3306/d");
    }

    #[test]
    fn what_would_mean_something_else_is_refused() {
        for (url, part) in [
            ("jdbc:postgresql://h/d", "not postgresql"),
            ("postgres://h/d", "no JDBC URL"),
            ("jdbc:mysql://a,b/d", "several hosts"),
            ("jdbc:mysql://h/d?zeroDateTimeBehavior=ROUND", "CONVERT_TO_NULL"),
            ("jdbc:mysql://h/d?serverTimezone=Asia/Seoul", "UTC here"),
            ("jdbc:mysql://h/d?useSsl1=true", "not known"),
        ] {
            let error = parse(url).expect_err(url);
            assert!(error.message().contains(part), "{url}: {}", error.message());
        }
    }
}
