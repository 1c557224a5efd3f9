//! Session settings: Flink's keys, checked when they are set.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_change::{OptionKind, OptionSpec, Options, Result};

use crate::dialect::{Dialect, Dialects};

use OptionKind::{Bool, Choice, Duration as Time, Integer, Text, Unsupported};

/// Every key that `SET` accepts.
pub const SETTINGS: &[OptionSpec] = &[
    OptionSpec::new(
        "execution.runtime-mode",
        Choice(&["streaming", "batch"]),
        "streaming, or batch over bounded input",
    )
    .default("streaming"),
    OptionSpec::new(
        "sql.dialect",
        Choice(crate::Dialect::NAMES),
        "of the statements behind it; by default seen from the script",
    ),
    OptionSpec::new("execution.checkpointing.interval", Time, "length of an epoch").default("1 s"),
    OptionSpec::new("parallelism.default", Integer, "shards of keyed operators"),
    OptionSpec::new("pipeline.name", Text, "name in logs and metrics"),
    OptionSpec::new("pipeline.auto-watermark-interval", Time, "accepted; watermarks advance with every row"),
    OptionSpec::new("table.local-time-zone", Text, "zone in which TIMESTAMP_LTZ is shown").default("UTC"),
    OptionSpec::new(
        "table.exec.source.idle-timeout",
        Time,
        "how long a quiet source holds the watermark back; 0: for ever",
    ),
    OptionSpec::new(
        "table.exec.mini-batch.enabled",
        Bool,
        "accepted; `print` shows the changes of each row, other sinks get the net ones of a batch",
    ),
    OptionSpec::new("table.exec.mini-batch.allow-latency", Time, "accepted; nothing is withheld"),
    OptionSpec::new("table.exec.mini-batch.size", Integer, "accepted; batches follow the input"),
    OptionSpec::new("table.exec.sink.upsert-materialize", Choice(&["none", "auto", "force"]), "accepted"),
    OptionSpec::new("table.dml-sync", Bool, "accepted; a script ends when its pipelines do"),
    OptionSpec::new("table.exec.state.ttl", Unsupported, "lifetime of idle state"),
    OptionSpec::new("table.optimizer.distinct-agg.split.enabled", Bool, "accepted; there is no skewed exchange"),
    OptionSpec::new(
        "sql-client.execution.result-mode",
        Choice(&["table", "changelog", "tableau"]),
        "accepted; see --output",
    ),
];

/// The session's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    given: BTreeMap<String, String>,
    checked: Options,
    mysql: Option<String>,
}

impl Settings {
    /// All defaults.
    pub fn new() -> Result<Self> {
        let checked = Options::check("the session", SETTINGS, [])?;
        Ok(Self { given: BTreeMap::new(), checked, mysql: None })
    }

    /// The server whose databases Spark's scripts name without a catalog, as a URL.
    pub fn set_mysql(&mut self, url: Option<String>) {
        self.mysql = url;
    }

    pub(crate) fn mysql(&self) -> Option<&str> {
        self.mysql.as_deref()
    }

    /// The dialect that was set. Where a server's databases can be named without a catalog, a text that could be either is
    /// Spark's: Flink knows no such names.
    pub fn dialects(&self) -> Dialects {
        let usual = if self.mysql.is_some() { Dialect::Spark } else { Dialect::Flink };
        Dialects { set: self.checked.text("sql.dialect").and_then(Dialect::parse), usual }
    }

    /// Sets a key; fails on an unknown key or a value that it does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let mut given = self.given.clone();
        given.insert(key.to_owned(), value.to_owned());
        self.checked = Self::check(&given)?;
        self.given = given;
        Ok(())
    }

    /// Forgets one key or all.
    pub fn reset(&mut self, key: Option<&str>) -> Result<()> {
        match key {
            Some(key) => self.given.remove(key).map_or((), drop),
            None => self.given.clear(),
        }
        self.checked = Self::check(&self.given)?;
        Ok(())
    }

    fn check(given: &BTreeMap<String, String>) -> Result<Options> {
        Options::check("the session", SETTINGS, given.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }

    /// What was set, and the defaults of the rest.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.checked.iter()
    }

    /// Whether queries run as batch.
    pub fn batch(&self) -> bool {
        self.checked.text("execution.runtime-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("batch"))
    }

    /// Length of an epoch.
    pub fn epoch_interval(&self) -> Duration {
        self.checked.duration("execution.checkpointing.interval").unwrap_or(Duration::from_secs(1))
    }

    /// Shards of keyed operators, where set.
    pub fn parallelism(&self) -> Option<usize> {
        self.checked.integer("parallelism.default").and_then(|value| usize::try_from(value).ok()).filter(|n| *n > 0)
    }

    /// How long a quiet source holds the watermark back.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.checked.duration("table.exec.source.idle-timeout").filter(|timeout| !timeout.is_zero())
    }

    /// The session's time zone.
    pub fn time_zone(&self) -> &str {
        self.checked.text("table.local-time-zone").unwrap_or("UTC")
    }
}
