//! `jobs.toml`: what a worker without code of its own works, and how. `docs/jobs/config.md` describes every key.
//!
//! Reading it is all or nothing: secrets are looked up, handlers are made and keys are checked before the first job, so a
//! worker that starts does not stumble over its configuration later. Errors name the line.

mod file;
mod value;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_change::{Error, Place, Result};
use headwater_mysql::Access;
use toml::Spanned;

use crate::cipher::Cipher;
use crate::handler::{Handler, Handlers, Settings};
use crate::limits::Limit;
use crate::maintain::Schedule;
use crate::retry::{Backoff, RetryPolicy};
use crate::run::{Command, CommandOptions, Http, HttpOptions, Sql};
use file::{File, QueueEntry, RetryEntry, ScheduleEntry, TypeEntry};
use value::HINT;

/// Where the server is, if the file does not say.
pub const URL_VARIABLE: &str = "HEADWATER_MYSQL_URL";

/// A worker's configuration.
pub struct Config {
    /// The database of the queue, and the account.
    pub access: Access,
    /// Jobs at the same time.
    pub executors: usize,
    /// How long the process may be silent before its jobs are given to others.
    pub lease: Duration,
    /// How long running jobs may go on after the worker was told to stop.
    pub shutdown_deadline: Duration,
    /// The queues that are worked, in the order of their names.
    pub queues: Vec<QueueConfig>,
    /// What runs the jobs, by their type.
    pub handlers: Handlers,
    /// Jobs that come again and again, in the order of their names. Their patterns are checked when they are written.
    pub schedules: Vec<Schedule>,
    /// Encrypts and decrypts payloads.
    pub cipher: Option<Cipher>,
}

/// One queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueConfig {
    /// Its name.
    pub name: String,
    /// Its share of the claims, from 1.
    pub weight: u32,
    /// Whether finished jobs are kept.
    pub history: bool,
    /// What all its jobs together may use.
    pub limit: Option<Limit>,
    /// What the jobs of one limit key in it may use.
    pub key_limit: Option<Limit>,
}

impl Config {
    /// Reads a file. A `url` from elsewhere stands instead of the file's `url` and `password`.
    ///
    /// # Errors
    /// `jobs.config` with file and line; what [`Http::new`], [`Sql::new`], [`Cipher::new`] and [`Access::from_url`] say.
    pub fn read(path: &Path, url: Option<&str>) -> Result<Self> {
        Self::parse(&text(path)?, path, url)
    }

    /// Reads the text of a file; `path` is for errors.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub fn parse(text: &str, path: &Path, url: Option<&str>) -> Result<Self> {
        parse(text, path, url, &|name| std::env::var(name).ok())
    }
}

/// Where the queue is and what its payloads are encrypted with: what a file tells those who run no jobs. Secrets of
/// handlers are not looked for.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where the queue is.
    pub access: Access,
    /// Encrypts and decrypts payloads.
    pub cipher: Option<Cipher>,
}

impl Connection {
    /// Reads a file. A `url` from elsewhere stands instead of the file's `url` and `password`.
    ///
    /// # Errors
    /// As of [`Config::read`].
    pub fn read(path: &Path, url: Option<&str>) -> Result<Self> {
        connection(&text(path)?, path, url, &|name| std::env::var(name).ok())
    }
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        Error::usage("jobs.config", format!("the configuration cannot be read: {error}"))
            .hint("name the file with --config; docs/jobs/config.md shows what it holds")
            .at(Place::File { path: path.display().to_string(), line: 0 })
    })
}

/// What the environment says about a name.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A file being read.
struct Reading<'a> {
    text: &'a str,
    path: String,
    url: Option<&'a str>,
    environment: Environment<'a>,
}

fn connection(text: &str, path: &Path, url: Option<&str>, environment: Environment<'_>) -> Result<Connection> {
    let reading = Reading { text, path: path.display().to_string(), url, environment };
    let file = reading.file()?;
    Ok(Connection { access: reading.access(&file)?, cipher: reading.cipher(&file)? })
}

fn parse(text: &str, path: &Path, url: Option<&str>, environment: Environment<'_>) -> Result<Config> {
    let reading = Reading { text, path: path.display().to_string(), url, environment };
    let file = reading.file()?;
    let mut handlers = Handlers::new();
    for (name, entry) in &file.types {
        let at = entry.span().start;
        reading.name("job type", name, 100, at)?;
        let (handler, settings) = reading.handler(entry.get_ref(), at).map_err(|error| error.at(reading.place(at)))?;
        handlers.add(name.as_str(), handler, settings);
    }
    let one = BTreeMap::from([("default".to_owned(), Spanned::new(0..0, QueueEntry::of_weight(1)))]);
    let queues = file.queues.as_ref().unwrap_or(&one);
    if queues.is_empty() {
        return Err(reading.wrong(0, "no queue is to be worked", "write [queues] and default = 1, or leave it out"));
    }
    Ok(Config {
        access: reading.access(&file)?,
        executors: file.executors.get() as usize,
        lease: file.lease.0,
        shutdown_deadline: file.shutdown_deadline.0,
        queues: queues.iter().map(|(name, entry)| reading.queue(name, entry)).collect::<Result<_>>()?,
        handlers,
        schedules: file.schedules.iter().map(|(name, entry)| reading.schedule(name, entry)).collect::<Result<_>>()?,
        cipher: reading.cipher(&file)?,
    })
}

impl Reading<'_> {
    fn file(&self) -> Result<File> {
        toml::from_str(self.text).map_err(|error| self.syntax(&error))
    }

    /// The place of an offset in the text.
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        Place::File { path: self.path.clone(), line: before.matches('\n').count() as u64 + 1 }
    }

    fn wrong(&self, offset: usize, message: impl Into<String>, hint: &str) -> Error {
        Error::usage("jobs.config", message).hint(hint).at(self.place(offset))
    }

    /// What the TOML reader found. Our own types put their hint behind [`HINT`].
    fn syntax(&self, error: &toml::de::Error) -> Error {
        let offset = error.span().map_or(0, |span| span.start);
        let message = error.message();
        if let Some((message, hint)) = message.split_once(HINT) {
            return self.wrong(offset, message.trim(), hint.trim());
        }
        // "unknown field `a`, expected one of `b`, `c`": every second part stands between ticks.
        let mut words = message.split('`').skip(1).step_by(2);
        let meant = message
            .starts_with("unknown field")
            .then(|| words.next().and_then(|given| headwater_change::suggest(given, words)))
            .flatten();
        let hint = meant.map_or_else(
            || "docs/jobs/config.md lists every key and what it takes".to_owned(),
            |meant| format!("did you mean `{meant}`?"),
        );
        self.wrong(offset, message.lines().collect::<Vec<_>>().join(" "), &hint)
    }

    fn name(&self, what: &str, name: &str, longest: usize, offset: usize) -> Result<()> {
        if name.is_empty() || name.chars().count() > longest {
            let message = format!("the name of a {what} has 1 to {longest} characters");
            return Err(self.wrong(offset, message, "use another name"));
        }
        Ok(())
    }

    /// A value that may be kept elsewhere: `env:NAME`, `file:/path`.
    fn secret(&self, text: &str, offset: usize) -> Result<String> {
        let value = self.kept(text, offset)?;
        headwater_change::secret::remember(&value);
        Ok(value)
    }

    fn kept(&self, text: &str, offset: usize) -> Result<String> {
        if let Some(name) = text.strip_prefix("env:") {
            return (self.environment)(name).ok_or_else(|| {
                self.wrong(offset, format!("the environment has no {name}"), "set it where the worker is started")
            });
        }
        match text.strip_prefix("file:") {
            Some(path) => std::fs::read_to_string(path)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|error| {
                    self.wrong(
                        offset,
                        format!("{path} cannot be read: {error}"),
                        "mind the account that the worker runs as",
                    )
                }),
            None => Ok(text.to_owned()),
        }
    }

    fn secrets(&self, values: &BTreeMap<String, Spanned<String>>) -> Result<Vec<(String, String)>> {
        let secret = |(name, value): (&String, &Spanned<String>)| {
            Ok((name.clone(), self.secret(value.get_ref(), value.span().start)?))
        };
        values.iter().map(secret).collect()
    }

    fn access(&self, file: &File) -> Result<Access> {
        if let Some(url) = self.url {
            return Access::from_url(url).map_err(|error| error.at(Place::Option("--url".into())));
        }
        let access = match (&file.url, (self.environment)(URL_VARIABLE)) {
            (Some(url), _) => {
                Access::from_url(url.get_ref()).map_err(|error| error.at(self.place(url.span().start)))?
            }
            (None, Some(url)) => {
                Access::from_url(&url).map_err(|error| error.at(Place::Option(URL_VARIABLE.into())))?
            }
            (None, None) => {
                let hint = format!("write url = \"mysql://user@host:3306/database\", give --url or set {URL_VARIABLE}");
                return Err(self.wrong(0, "nothing says where the database is", &hint));
            }
        };
        Ok(match &file.password {
            // Read now, so that a missing file is seen now; read again for every connection, so that it may change.
            Some(password) => {
                self.secret(password.get_ref(), password.span().start)?;
                access.with_password(password.get_ref().as_str())
            }
            None => access,
        })
    }

    fn queue(&self, name: &str, entry: &Spanned<QueueEntry>) -> Result<QueueConfig> {
        self.name("queue", name, 64, entry.span().start)?;
        let entry = entry.get_ref();
        Ok(QueueConfig {
            name: name.to_owned(),
            weight: entry.weight.get(),
            history: entry.history,
            limit: entry.limit(),
            key_limit: entry.per_key.as_ref().and_then(file::LimitEntry::limit),
        })
    }

    fn schedule(&self, name: &str, entry: &Spanned<ScheduleEntry>) -> Result<Schedule> {
        self.name("schedule", name, 100, entry.span().start)?;
        let entry = entry.get_ref();
        let payload = value::json(&entry.payload);
        Ok(Schedule {
            name: name.to_owned(),
            cron: entry.cron.clone(),
            time_zone: entry.time_zone.clone(),
            catch_up: entry.catch_up.0,
            queue: entry.queue.clone(),
            job_type: entry.job_type.clone(),
            payload: payload.to_string(),
            priority: entry.priority,
        })
    }

    fn cipher(&self, file: &File) -> Result<Option<Cipher>> {
        let Some(entry) = &file.encryption else { return Ok(None) };
        let offset = entry.span().start;
        let keys = self.secrets(&entry.get_ref().keys)?;
        let current = match (&entry.get_ref().current, keys.as_slice()) {
            (Some(name), _) => name.as_str(),
            (None, [(name, _)]) => name.as_str(),
            (None, _) => return Err(self.wrong(offset, "no key is named to encrypt with", "write use = \"…\"")),
        };
        let keys = keys.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        Cipher::new(keys, current).map(Some).map_err(|error| error.at(self.place(offset)))
    }

    fn handler(&self, entry: &TypeEntry, offset: usize) -> Result<(Arc<dyn Handler>, Settings)> {
        let mut settings = Settings::default();
        if let Some(timeout) = &entry.timeout {
            settings.timeout = timeout.0;
        }
        if let Some(retry) = &entry.retry {
            settings.retry = self.retry(retry.get_ref(), retry.span().start)?;
        }
        let handler: Arc<dyn Handler> = match (&entry.http, &entry.command, &entry.sql) {
            (Some(http), None, None) => {
                let mut options = HttpOptions::new(http.url.as_str());
                options.method.clone_from(&http.method);
                options.headers = self.secrets(&http.headers)?;
                options.idempotency_header.clone_from(&http.idempotency_header);
                options.allow_private.clone_from(&http.allow_private);
                options.timeout = settings.timeout;
                Arc::new(Http::new(&options)?)
            }
            (None, Some(command), None) => Arc::new(Command::new(CommandOptions {
                program: command.program.clone(),
                args: command.args.clone(),
                env: self.secrets(&command.env)?,
                folder: command.folder.clone(),
                dead_exit_codes: command.dead_exit_codes.clone(),
            })),
            (None, None, Some(statements)) => Arc::new(Sql::new(&statements.0)?),
            _ => {
                let message = "a job type has one of http, command and sql";
                return Err(self.wrong(offset, message, "write one of them, as in http = { url = \"https://…\" }"));
            }
        };
        Ok((handler, settings))
    }

    fn retry(&self, entry: &RetryEntry, offset: usize) -> Result<RetryPolicy> {
        let mut policy = RetryPolicy::default();
        let given = (entry.base.is_some() || entry.factor.is_some(), entry.step.is_some(), entry.delays.is_some());
        policy.backoff = match (entry.policy.as_str(), given) {
            ("exponential", (_, false, false)) => Backoff::Exponential {
                base: entry.base.as_ref().map_or(Duration::from_secs(10), |base| base.0),
                factor: entry.factor.unwrap_or(2.0),
            },
            ("power10", (false, false, false)) => Backoff::Power10,
            ("linear", (false, _, false)) => {
                Backoff::Linear { step: entry.step.as_ref().map_or(Duration::from_secs(60), |step| step.0) }
            }
            ("list", (false, false, true)) => {
                Backoff::Fixed(entry.delays.iter().flatten().map(|delay| delay.0).collect())
            }
            (policy, _) => {
                let hint =
                    "exponential takes base and factor, linear takes step, list needs delays, power10 takes none";
                return Err(self.wrong(
                    offset,
                    format!("the retry policy '{policy}' does not fit what is written with it"),
                    hint,
                ));
            }
        };
        if entry.factor.is_some_and(|factor| !factor.is_finite() || factor < 1.0) {
            return Err(self.wrong(offset, "the factor of a retry policy is at least 1", "write factor = 2.0"));
        }
        if let Some(retries) = entry.max_retries {
            policy.max_retries = retries;
        }
        if let Some(cap) = &entry.cap {
            policy.cap = cap.0;
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests;
