//! Where a server is and who asks: read from connector options or a URL, used for every connection. The password is
//! never printed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use headwater_change::{Error, Place, Result, secret};
use url::Url;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disabled,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

impl SslMode {
    pub(crate) const NAMES: &[&str] = &["disabled", "preferred", "required", "verify_ca", "verify_identity"];

    /// By its name in options and URLs; `_` and `-` are the same.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().replace('-', "_").as_str() {
            "disabled" => Self::Disabled,
            "preferred" => Self::Preferred,
            "required" => Self::Required,
            "verify_ca" => Self::VerifyCa,
            "verify_identity" => Self::VerifyIdentity,
            _ => return None,
        })
    }
}

/// A server, an account on it, and optionally a database.
#[derive(Clone)]
pub struct Access {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: Option<String>,
    pub(crate) ssl: SslMode,
    pub(crate) ssl_ca: Option<PathBuf>,
    pub(crate) connect_timeout: Duration,
}

fn wrong(message: impl Into<String>) -> Error {
    Error::usage("mysql.url", message)
        .hint("write mysql://user:password@host:3306/database?ssl-mode=required&ssl-ca=/path/ca.pem")
}

impl Access {
    /// Reads `mysql://user:password@host:port/database`. The password may be `file:/path` or `env:NAME`
    /// (percent-encoded where URLs ask for it). Parameters: `ssl-mode` (disabled, preferred (default), required,
    /// verify_ca, verify_identity), `ssl-ca` (PEM file), `connect-timeout` (seconds, 30 by default).
    ///
    /// # Errors
    /// `mysql.url`: it is not such a URL. The text itself is not repeated, it may hold a password.
    pub fn from_url(text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|error| wrong(format!("this is not a URL: {error}")))?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err(wrong(format!("the scheme '{}' is not mysql", url.scheme())));
        }
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("the URL names no host"))?;
        let database = decode(url.path().trim_start_matches('/'));
        let mut access = Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(3306),
            user: decode(url.username()),
            password: decode(url.password().unwrap_or_default()),
            database: (!database.is_empty()).then_some(database),
            ssl: SslMode::Preferred,
            ssl_ca: None,
            connect_timeout: Duration::from_secs(30),
        };
        secret::remember(&access.password);
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "ssl-mode" => {
                    access.ssl = SslMode::from_name(&value)
                        .ok_or_else(|| wrong(format!("ssl-mode is one of {}", SslMode::NAMES.join(", "))))?;
                }
                "ssl-ca" => access.ssl_ca = Some(PathBuf::from(value.as_ref())),
                "connect-timeout" => {
                    let seconds = value.parse().map_err(|_| wrong("connect-timeout is a number of seconds"))?;
                    access.connect_timeout = Duration::from_secs(seconds);
                }
                other => return Err(wrong(format!("the parameter '{other}' is not known"))),
            }
        }
        Ok(access)
    }

    /// The same server and account with another password, which may be `file:/path` or `env:NAME`.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = password.into();
        secret::remember(&self.password);
        self
    }

    /// The database that connections start in.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The password, read from where it is kept. From here on nothing shows it.
    pub(crate) fn password(&self) -> Result<String> {
        let password = self.kept_password()?;
        secret::remember(&password);
        Ok(password)
    }

    fn kept_password(&self) -> Result<String> {
        let unreadable = |what: String| {
            Error::usage("mysql.password", format!("the password cannot be read from {what}"))
                .at(Place::Option("password".into()))
        };
        if let Some(path) = self.password.strip_prefix("file:") {
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(path.to_owned()).caused_by(error))?;
            return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
        }
        if let Some(name) = self.password.strip_prefix("env:") {
            return std::env::var(name).map_err(|error| unreadable(format!("the variable {name}")).caused_by(error));
        }
        Ok(self.password.clone())
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)?;
        self.database.as_ref().map_or(Ok(()), |database| write!(f, "/{database}"))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({self}, ssl {:?})", self.ssl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_its_password_is_not_shown() {
        let access = Access::from_url("mysql://shop:p%40ss@db.local:3307/orders?ssl-mode=verify-ca&connect-timeout=5");
        let access = access.expect("a URL");
        assert_eq!(access.to_string(), "shop@db.local:3307/orders");
        assert_eq!(access.password().ok().as_deref(), Some("p@ss"));
        assert_eq!((access.ssl, access.connect_timeout), (SslMode::VerifyCa, Duration::from_secs(5)));
        assert!(!format!("{access:?}").contains("p@ss"));
    }

    #[test]
    fn what_is_no_such_url_says_what_to_write() {
        for text in ["shop@db", "http://db/x", "mysql:///x", "mysql://db/x?ssl-mode=maybe", "mysql://db/x?sslmode=1"] {
            let error = Access::from_url(text).expect_err(text);
            assert_eq!((error.code(), error.hint_text().is_some()), ("mysql.url", true), "{text}");
        }
    }
}
