//! [`TimeZone`]: the session's time zone, in which TIMESTAMP_LTZ values are shown.

use chrono::{MappedLocalTime, Offset, TimeZone as _};
use chrono_tz::Tz;

use crate::{Error, Place, Result};

/// A time zone by its IANA name or as an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeZone {
    /// The same offset from UTC all year, in seconds to the east.
    Fixed(i64),
    /// A zone with rules.
    Named(Tz),
}

impl TimeZone {
    /// Coordinated universal time.
    pub const UTC: Self = Self::Fixed(0);

    /// Reads `UTC`, `Z`, `+05:30`, `GMT+8`, `UTC-03:00` or `Europe/Berlin`.
    ///
    /// Rule: the forms of Flink's `table.local-time-zone`. Fails with [`crate::ErrorKind::Usage`].
    pub fn parse(name: &str) -> Result<Self> {
        let text = name.trim();
        let offset = text.strip_prefix("UTC").or_else(|| text.strip_prefix("GMT")).unwrap_or(text);
        if offset.is_empty() && !text.is_empty() || text == "Z" {
            return Ok(Self::UTC);
        }
        if let Some(seconds) = parse_offset(offset) {
            return Ok(Self::Fixed(seconds));
        }
        text.parse().map(Self::Named).map_err(|_| {
            Error::usage("option.time_zone", format!("'{name}' is not a time zone"))
                .hint("give a name like 'Europe/Berlin', an offset like '+05:30', or 'UTC'")
                .at(Place::Option("table.local-time-zone".to_owned()))
        })
    }

    /// Seconds to add to UTC at an instant (seconds since 1970) to get the local time.
    pub fn offset_seconds(self, instant: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(zone) => chrono::DateTime::from_timestamp(instant, 0)
                .map_or(0, |at| i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())),
        }
    }
}

impl TimeZone {
    /// Seconds to subtract from a local time (seconds since 1970 as its clocks show it) to get UTC.
    ///
    /// Rule: Java's `LocalDateTime.atZone`. A time that a clock change skips is as far behind the change as it was before
    /// it; of a time that comes twice the first is meant.
    pub fn offset_of_local(self, local: i64) -> i64 {
        let zone = match self {
            Self::Fixed(seconds) => return seconds,
            Self::Named(zone) => zone,
        };
        let Some(at) = chrono::DateTime::from_timestamp(local, 0) else { return 0 };
        let seconds = |offset: &<Tz as chrono::TimeZone>::Offset| i64::from(offset.fix().local_minus_utc());
        match zone.offset_from_local_datetime(&at.naive_utc()) {
            MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => seconds(&offset),
            // The offset in force before the gap, which no zone makes longer than a day.
            MappedLocalTime::None => self.offset_seconds(local - 86_400),
        }
    }
}

impl std::fmt::Display for TimeZone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(0) => f.write_str("UTC"),
            Self::Fixed(seconds) => {
                let sign = if *seconds < 0 { '-' } else { '+' };
                let minutes = seconds.unsigned_abs() / 60;
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
            Self::Named(zone) => f.write_str(zone.name()),
        }
    }
}

fn parse_offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix('-')?),
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let number = |digits: &str, most: i64| {
        let plain = !digits.is_empty() && digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|number| plain && *number <= most)
    };
    Some(sign * (number(hours, 18)? * 3600 + number(minutes, 59)? * 60))
}
