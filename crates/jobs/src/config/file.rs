//! The shape of `jobs.toml`: its tables and keys, with the defaults of those that may be left out.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::value::{HINT, Lasting, Missed, Rate, Time};
use crate::limits::Limit;

const ONE: NonZeroU32 = NonZeroU32::MIN;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) url: Option<Spanned<String>>,
    pub(super) password: Option<Spanned<String>>,
    #[serde(default = "executors")]
    pub(super) executors: NonZeroU32,
    #[serde(default = "lease")]
    pub(super) lease: Lasting,
    #[serde(default = "shutdown_deadline")]
    pub(super) shutdown_deadline: Time,
    pub(super) queues: Option<BTreeMap<String, Spanned<QueueEntry>>>,
    pub(super) encryption: Option<Spanned<Encryption>>,
    #[serde(default)]
    pub(super) types: BTreeMap<String, Spanned<TypeEntry>>,
    #[serde(default)]
    pub(super) schedules: BTreeMap<String, Spanned<ScheduleEntry>>,
}

fn executors() -> NonZeroU32 {
    ONE.saturating_add(15)
}

fn lease() -> Lasting {
    Lasting(Duration::from_secs(60))
}

fn shutdown_deadline() -> Time {
    Time(Duration::from_secs(30))
}

/// `mail = 3`, or a table.
pub(super) struct QueueEntry {
    pub(super) weight: NonZeroU32,
    pub(super) history: bool,
    own: LimitEntry,
    pub(super) per_key: Option<LimitEntry>,
}

impl QueueEntry {
    pub(super) fn of_weight(weight: u32) -> Self {
        let weight = NonZeroU32::new(weight).unwrap_or(ONE);
        Self { weight, history: false, own: LimitEntry::default(), per_key: None }
    }

    pub(super) fn limit(&self) -> Option<Limit> {
        self.own.limit()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct QueueTable {
    #[serde(default = "one")]
    weight: NonZeroU32,
    #[serde(default)]
    history: bool,
    max_running: Option<NonZeroU32>,
    rate: Option<Rate>,
    burst: Option<NonZeroU32>,
    per_key: Option<LimitEntry>,
}

fn one() -> NonZeroU32 {
    ONE
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LimitEntry {
    max_running: Option<NonZeroU32>,
    rate: Option<Rate>,
    burst: Option<NonZeroU32>,
}

impl LimitEntry {
    /// What is limited, if anything is.
    pub(super) fn limit(&self) -> Option<Limit> {
        let limit = Limit {
            max_running: self.max_running.map(NonZeroU32::get),
            rate: self.rate.map(|rate| rate.0),
            burst: self.burst.unwrap_or(ONE).get(),
        };
        (limit.max_running.is_some() || limit.rate.is_some()).then_some(limit)
    }
}

impl<'de> Deserialize<'de> for QueueEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = QueueEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a weight from 1, or a table as in { weight = 3, history = true }")
            }

            fn visit_i64<E: serde::de::Error>(self, weight: i64) -> Result<QueueEntry, E> {
                match u32::try_from(weight) {
                    Ok(weight @ 1..) => Ok(QueueEntry::of_weight(weight)),
                    _ => Err(E::custom(format!("{weight} is no weight of a queue{HINT}write a whole number from 1"))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<QueueEntry, A::Error> {
                let table = QueueTable::deserialize(MapAccessDeserializer::new(map))?;
                let QueueTable { weight, history, max_running, rate, burst, per_key } = table;
                Ok(QueueEntry { weight, history, own: LimitEntry { max_running, rate, burst }, per_key })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Encryption {
    pub(super) keys: BTreeMap<String, Spanned<String>>,
    #[serde(rename = "use")]
    pub(super) current: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TypeEntry {
    pub(super) http: Option<HttpEntry>,
    pub(super) command: Option<CommandEntry>,
    pub(super) sql: Option<Statements>,
    pub(super) timeout: Option<Lasting>,
    pub(super) retry: Option<Spanned<RetryEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct HttpEntry {
    pub(super) url: String,
    #[serde(default = "post")]
    pub(super) method: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Spanned<String>>,
    #[serde(default = "idempotency_header")]
    pub(super) idempotency_header: String,
    #[serde(default)]
    pub(super) allow_private: Vec<String>,
}

fn post() -> String {
    "POST".to_owned()
}

fn idempotency_header() -> String {
    "Idempotency-Key".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CommandEntry {
    pub(super) program: String,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, Spanned<String>>,
    pub(super) folder: Option<PathBuf>,
    #[serde(default)]
    pub(super) dead_exit_codes: Vec<i32>,
}

/// One statement, or a list of them.
pub(super) struct Statements(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Statements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Statements;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a statement or a list of statements")
            }

            fn visit_str<E>(self, text: &str) -> Result<Statements, E> {
                Ok(Statements(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Statements, A::Error> {
                let mut statements = Vec::new();
                while let Some(statement) = items.next_element()? {
                    statements.push(statement);
                }
                Ok(Statements(statements))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RetryEntry {
    #[serde(default = "exponential")]
    pub(super) policy: String,
    pub(super) base: Option<Time>,
    pub(super) factor: Option<f64>,
    pub(super) step: Option<Time>,
    pub(super) delays: Option<Vec<Time>>,
    pub(super) max_retries: Option<u32>,
    pub(super) cap: Option<Time>,
}

fn exponential() -> String {
    "exponential".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ScheduleEntry {
    pub(super) cron: String,
    #[serde(default = "utc")]
    pub(super) time_zone: String,
    pub(super) job_type: String,
    #[serde(default = "no_members")]
    pub(super) payload: toml::Value,
    #[serde(default)]
    pub(super) catch_up: Missed,
    #[serde(default = "default_queue")]
    pub(super) queue: String,
    #[serde(default)]
    pub(super) priority: i16,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn no_members() -> toml::Value {
    toml::Value::Table(toml::Table::new())
}

fn default_queue() -> String {
    "default".to_owned()
}
