//! `schedules.toml`. `docs/batch/schedule.md` describes every key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_change::{Error, Place, Result, parse_duration};
use headwater_jobs::maintain::{CatchUp, Schedule};
use headwater_jobs::{RetryPolicy, Settings};
use headwater_mysql::Access;
use serde::Deserialize;
use toml::Spanned;

use super::script::Payload;
use super::{JOB_TYPE, QUEUE};

/// What the file says.
pub(super) struct Config {
    /// Where schedules and runs are kept.
    pub(super) access: Access,
    /// The server whose databases scripts name without a catalog.
    pub(super) mysql: Option<String>,
    /// Runs at the same time.
    pub(super) executors: u32,
    /// Memory of a run, as `--memory` takes it.
    pub(super) memory: String,
    pub(super) settings: Settings,
    pub(super) schedules: Vec<Schedule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    url: Option<Spanned<String>>,
    password: Option<Spanned<String>>,
    mysql: Option<Spanned<String>>,
    #[serde(default = "executors")]
    executors: u32,
    #[serde(default = "memory")]
    memory: String,
    timeout: Option<Spanned<String>>,
    max_retries: Option<u32>,
    #[serde(default)]
    schedules: BTreeMap<String, Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    cron: String,
    #[serde(default = "utc")]
    time_zone: String,
    file: Option<PathBuf>,
    sql: Option<String>,
    catch_up: Option<Spanned<String>>,
    #[serde(default = "yes")]
    once: bool,
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

fn executors() -> u32 {
    2
}

fn memory() -> String {
    "1g".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

fn yes() -> bool {
    true
}

/// A file being read.
struct Reading<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Config {
    /// Reads a file. A `url` from elsewhere stands instead of the file's.
    pub(super) fn read(path: &Path, url: Option<&str>) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::usage("schedule.config", format!("the configuration cannot be read: {error}"))
                .hint("name the file with --config; docs/batch/schedule.md shows what it holds")
                .at(Place::File { path: path.display().to_string(), line: 0 })
        })?;
        Reading { text: &text, path }.config(url)
    }
}

impl Reading<'_> {
    fn wrong(&self, offset: usize, message: impl Into<String>, hint: &str) -> Error {
        Error::usage("schedule.config", message).hint(hint).at(self.place(offset))
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        Place::File { path: self.path.display().to_string(), line: before.matches('\n').count() as u64 + 1 }
    }

    fn config(&self, url: Option<&str>) -> Result<Config> {
        let file: File = toml::from_str(self.text).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            self.wrong(error.span().map_or(0, |span| span.start), message, "docs/batch/schedule.md lists every key")
        })?;
        if file.executors == 0 {
            return Err(self.wrong(0, "executors is 0: nothing would run", "write a number from 1"));
        }
        let mut settings = Settings { retry: RetryPolicy::default(), timeout: Duration::from_secs(6 * 3_600) };
        if let Some(timeout) = &file.timeout {
            settings.timeout = parse_duration(timeout.get_ref()).filter(|time| !time.is_zero()).ok_or_else(|| {
                self.wrong(timeout.span().start, format!("'{}' is no time", timeout.get_ref()), "write 90 min or 2 h")
            })?;
        }
        if let Some(retries) = file.max_retries {
            settings.retry.max_retries = retries;
        }
        let schedules = file.schedules.iter().map(|(name, entry)| self.schedule(name, entry)).collect::<Result<_>>()?;
        let mysql = file.mysql.as_ref().map(|url| {
            headwater_change::secret::remember(url.get_ref());
            url.get_ref().clone()
        });
        let access = self.access(&file, url)?;
        Ok(Config { access, mysql, executors: file.executors, memory: file.memory, settings, schedules })
    }

    fn access(&self, file: &File, url: Option<&str>) -> Result<Access> {
        let access = match (url, &file.url) {
            (None, Some(url)) => {
                Access::from_url(url.get_ref()).map_err(|error| error.at(self.place(url.span().start)))?
            }
            (url, _) => crate::jobs::access(url)?,
        };
        Ok(match &file.password {
            Some(password) if url.is_none() => access.with_password(password.get_ref().as_str()),
            _ => access,
        })
    }

    fn schedule(&self, name: &str, entry: &Spanned<Entry>) -> Result<Schedule> {
        let (at, entry) = (entry.span().start, entry.get_ref());
        if name.is_empty() || name.chars().count() > 100 {
            return Err(self.wrong(at, "the name of a schedule has 1 to 100 characters", "use another name"));
        }
        let script = match (&entry.file, &entry.sql) {
            (None, Some(sql)) => sql.clone(),
            (Some(file), None) => {
                let path = self.path.parent().unwrap_or(Path::new("")).join(file);
                std::fs::read_to_string(&path).map_err(|error| {
                    let message = format!("the script {} cannot be read: {error}", path.display());
                    self.wrong(at, message, "its path begins at the folder of this file")
                })?
            }
            _ => return Err(self.wrong(at, "a schedule has one of file and sql", "write file = \"nightly.sql\"")),
        };
        let catch_up = match &entry.catch_up {
            Some(text) => text.get_ref().parse().map_err(|error: Error| error.at(self.place(text.span().start)))?,
            // Each run has an interval of its own, which nobody else makes up for.
            None => CatchUp::All,
        };
        let mut payload = Payload {
            schedule: name.to_owned(),
            cron: entry.cron.clone(),
            time_zone: entry.time_zone.clone(),
            scheduled_at: None,
            script,
            variables: entry.variables.clone(),
            once: entry.once,
            again: None,
        };
        let found = schedule(&mut payload, catch_up).map_err(|error| error.at(self.place(at)))?;
        Ok(found)
    }
}

/// A schedule as the queue has it.
pub(super) fn schedule(payload: &mut Payload, catch_up: CatchUp) -> Result<Schedule> {
    headwater_jobs::maintain::Pattern::parse(&payload.cron, &payload.time_zone)?;
    payload.scheduled_at = None;
    let text = serde_json::to_string(payload)
        .map_err(|error| Error::bug("schedule.payload", "a schedule cannot be written down").caused_by(error))?;
    Ok(Schedule {
        name: payload.schedule.clone(),
        cron: payload.cron.clone(),
        time_zone: payload.time_zone.clone(),
        catch_up,
        queue: QUEUE.to_owned(),
        job_type: JOB_TYPE.to_owned(),
        payload: text,
        priority: 0,
    })
}
