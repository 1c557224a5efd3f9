//! The texts of the configuration that mean something: durations, rates, ways to catch up. Each is read while the TOML
//! is, so that an error knows its line.

use std::time::Duration;

use serde::Deserialize;

use crate::maintain::CatchUp;

/// Stands between message and hint in an error that goes through the TOML reader, which only carries one text.
pub(super) const HINT: &str = " \u{1f} ";

/// `30s`, `5 min`, `1 day`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // A bare number would be milliseconds: too easily meant as seconds.
        let bare = text.trim().ends_with(|c: char| c.is_ascii_digit());
        headwater_change::parse_duration(&text).filter(|_| !bare).map(Self).ok_or_else(|| {
            format!("'{text}' is no duration{HINT}write a number and a unit, as in \"30s\", \"5 min\", \"1 day\"")
        })
    }
}

/// A time that is not zero, for what would make no sense without it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Time")]
pub(super) struct Lasting(pub(super) Duration);

impl TryFrom<Time> for Lasting {
    type Error = String;

    fn try_from(Time(time): Time) -> Result<Self, String> {
        if time < Duration::from_secs(1) {
            return Err(format!("this is too short{HINT}give it at least \"1s\""));
        }
        Ok(Self(time))
    }
}

/// `100/min`, in starts per second.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Rate(pub(super) f64);

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is no rate{HINT}write a number and a unit of time, as in \"100/min\", \"5/s\"");
        let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let seconds = match unit.trim() {
            "s" | "sec" | "second" => 1.0,
            "m" | "min" | "minute" => 60.0,
            "h" | "hour" => 3_600.0,
            "d" | "day" => 86_400.0,
            _ => return Err(wrong()),
        };
        if number.is_finite() && number > 0.0 { Ok(Self(number / seconds)) } else { Err(wrong()) }
    }
}

/// `none`, `one`, `all`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Missed(pub(super) CatchUp);

impl TryFrom<String> for Missed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: headwater_change::Error| {
            format!("{}{HINT}{}", error.message(), error.hint_text().unwrap_or_default())
        })
    }
}

/// TOML as JSON; dates and times become their texts.
pub(super) fn json(value: &toml::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(truth) => Value::from(*truth),
        toml::Value::Datetime(time) => Value::from(time.to_string()),
        toml::Value::Array(items) => Value::Array(items.iter().map(json).collect()),
        toml::Value::Table(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), json(value))).collect())
        }
    }
}
