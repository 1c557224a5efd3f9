//! Connector and session options: declared once, checked once, read by typed getters.
//!
//! An unknown option is an error that lists the known ones and guesses which was meant, as users of Flink expect.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Error, Place, Result, secret};

/// What kind of value an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// Any text.
    Text,
    /// Any text that must not be printed.
    Secret,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `30s`, `5 min`, `200 ms`, `1h`; a bare number is milliseconds.
    Duration,
    /// `128mb`, `64 kb`, `1g`; a bare number is bytes.
    Size,
    /// One of the listed words, case-insensitive.
    Choice(&'static [&'static str]),
    /// Known in the field but not supported yet: naming it is an error that says so.
    Unsupported,
}

/// One option of a connector or format.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Exact name; one `#` stands for a column name (`fields.#.kind`), a trailing `*` for any rest (`jdbc.properties.*`).
    pub name: &'static str,
    /// What it takes.
    pub kind: OptionKind,
    /// Whether it must be given.
    pub required: bool,
    /// Value when it is not given.
    pub default: Option<&'static str>,
    /// One line for the reference page.
    pub about: &'static str,
}

impl OptionSpec {
    /// An optional option without a default.
    pub const fn new(name: &'static str, kind: OptionKind, about: &'static str) -> Self {
        Self { name, kind, required: false, default: None, about }
    }

    /// The same, required.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same with a default.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// Whether `given` is this option's name or fits its pattern.
    pub fn matches(&self, given: &str) -> bool {
        if let Some(prefix) = self.name.strip_suffix('*') {
            return given.len() > prefix.len() && given.starts_with(prefix);
        }
        match self.name.split_once('#') {
            Some((before, after)) => {
                given.len() > before.len() + after.len() && given.starts_with(before) && given.ends_with(after)
            }
            None => self.name == given,
        }
    }
}

/// Checked options of one table: every name is known, every required one is there, every value parses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    values: BTreeMap<String, String>,
}

impl Options {
    /// Checks `given` against `specs`; defaults are filled in. `owner` names the connector in errors.
    pub fn check<'a>(
        owner: &str,
        specs: &[OptionSpec],
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        let mut values = BTreeMap::new();
        for (name, value) in given {
            let spec = specs.iter().find(|spec| spec.matches(name)).ok_or_else(|| unknown(owner, specs, name))?;
            if spec.kind == OptionKind::Secret || secret::is_secret(name) {
                secret::remember(value);
            }
            check_value(owner, specs, spec, name, value)?;
            values.insert(name.to_owned(), value.to_owned());
        }
        for spec in specs {
            if let Some(value) = spec.default {
                values.entry(spec.name.to_owned()).or_insert_with(|| value.to_owned());
            } else if spec.required && !values.contains_key(spec.name) {
                return Err(Error::usage("option.missing", format!("{owner} needs the option '{}'", spec.name))
                    .hint(format!("add '{}' = '…' ({})", spec.name, spec.about))
                    .at(Place::Option(spec.name.to_owned())));
            }
        }
        Ok(Self { values })
    }

    /// The text of an option.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The text of a required option.
    pub fn required(&self, name: &str) -> Result<&str> {
        self.text(name).ok_or_else(|| Error::usage("option.missing", format!("the option '{name}' is missing")))
    }

    /// Whether an option is `true`.
    pub fn bool(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(|value| value.trim().parse().ok())
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.text(name).and_then(|value| value.trim().parse().ok())
    }

    /// A duration.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.text(name).and_then(parse_duration)
    }

    /// A number of bytes.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(parse_size)
    }

    /// All options in the order of their names, secrets included: not for printing.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn unknown(owner: &str, specs: &[OptionSpec], name: &str) -> Error {
    let known: Vec<&str> =
        specs.iter().filter(|spec| spec.kind != OptionKind::Unsupported).map(|spec| spec.name).collect();
    let meant = suggest(name, known.iter().copied()).or_else(|| part_of(name, &known));
    let hint = match meant {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("remove it, or use one that {owner} knows"),
    };
    Error::usage("option.unknown", format!("{owner} has no option '{name}'"))
        .detail(format!("supported options: {}", known.join(", ")))
        .hint(hint)
        .at(Place::Option(name.to_owned()))
}

fn check_value(owner: &str, specs: &[OptionSpec], spec: &OptionSpec, name: &str, value: &str) -> Result<()> {
    let expected = match spec.kind {
        OptionKind::Text | OptionKind::Secret => return Ok(()),
        OptionKind::Unsupported => {
            let known: Vec<&str> =
                specs.iter().filter(|spec| spec.kind != OptionKind::Unsupported).map(|spec| spec.name).collect();
            return Err(Error::usage(
                "option.unsupported",
                format!("the option '{name}' of {owner} is not supported yet"),
            )
            .detail(format!("supported options: {}", known.join(", ")))
            .hint("remove it; it would have no effect")
            .at(Place::Option(name.to_owned())));
        }
        OptionKind::Bool if ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word)) => return Ok(()),
        OptionKind::Bool => "true or false".to_owned(),
        OptionKind::Integer if value.trim().parse::<i64>().is_ok() => return Ok(()),
        OptionKind::Integer => "a whole number".to_owned(),
        OptionKind::Number if value.trim().parse::<f64>().is_ok() => return Ok(()),
        OptionKind::Number => "a number".to_owned(),
        OptionKind::Duration if parse_duration(value).is_some() => return Ok(()),
        OptionKind::Duration => "a duration such as '30s', '200 ms' or '5 min'".to_owned(),
        OptionKind::Size if parse_size(value).is_some() => return Ok(()),
        OptionKind::Size => "a size such as '64mb'".to_owned(),
        OptionKind::Choice(words) if words.iter().any(|word| value.eq_ignore_ascii_case(word)) => return Ok(()),
        OptionKind::Choice(words) => format!("one of {}", words.join(", ")),
    };
    Err(Error::usage("option.value", format!("'{value}' is not a value of the option '{name}' of {owner}"))
        .hint(format!("give {expected}"))
        .at(Place::Option(name.to_owned())))
}

fn number_and_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text.get(..digits)?.parse().ok()?, text.get(digits..)?.trim().to_ascii_lowercase()))
}

/// Flink's duration texts: a number and a unit, as in `30s`, `5 min`; a bare number is milliseconds. `None`: it is none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let nanos_per_unit: u64 = match unit.as_str() {
        "ns" | "nano" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    };
    number.checked_mul(nanos_per_unit).map(Duration::from_nanos)
}

/// Flink's memory sizes: a number and a binary unit.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let shift = match unit.as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kibibytes" => 10,
        "m" | "mb" | "mebibytes" => 20,
        "g" | "gb" | "gibibytes" => 30,
        "t" | "tb" | "tebibytes" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// The known word nearest to `given`, if one is near enough to be a slip.
pub fn suggest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + given.chars().count() / 4;
    known
        .into_iter()
        .map(|word| (distance(&given.to_lowercase(), &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The shortest known name of which `given` is the beginning or the end, whatever stands between its words.
fn part_of<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| name.chars().filter(|letter| letter.is_alphanumeric()).collect::<String>().to_lowercase();
    let given = plain(given);
    let fits = |name: &&&str| {
        let name = plain(name);
        given.len() >= 3 && (name.starts_with(&given) || name.ends_with(&given))
    };
    known.iter().filter(fits).min_by_key(|name| name.len()).copied()
}

/// Levenshtein's edit distance in characters.
pub(crate) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        for (slot, r) in row.iter_mut().skip(1).zip(&right) {
            let substitute = diagonal + usize::from(l != *r);
            diagonal = *slot;
            previous = substitute.min(diagonal + 1).min(previous + 1);
            *slot = previous;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[OptionSpec] = &[
        OptionSpec::new("path", OptionKind::Text, "file or folder").required(),
        OptionSpec::new("rows-per-second", OptionKind::Integer, "rate").default("10000"),
        OptionSpec::new("fields.#.kind", OptionKind::Choice(&["random", "sequence"]), "generator"),
        OptionSpec::new("jdbc.properties.*", OptionKind::Text, "driver settings"),
        OptionSpec::new("sink.parallelism", OptionKind::Unsupported, "writers"),
        OptionSpec::new("source.monitor-interval", OptionKind::Duration, "how often to look"),
    ];

    #[test]
    fn known_options_get_defaults_and_patterns() {
        let given = [("path", "/x"), ("fields.id.kind", "sequence"), ("jdbc.properties.a.b", "1")];
        let options = Options::check("c", SPECS, given).expect("valid");
        assert_eq!(options.integer("rows-per-second"), Some(10_000));
        assert_eq!(options.text("fields.id.kind"), Some("sequence"));
    }

    #[test]
    fn a_slip_is_answered_with_the_name_that_was_meant() {
        let error = Options::check("c", SPECS, [("paht", "/x")]).expect_err("unknown");
        assert_eq!((error.code(), error.hint_text()), ("option.unknown", Some("did you mean 'path'?")));
        assert!(error.detail_text().is_some_and(|text| text.contains("rows-per-second")));
        let hint = |name| {
            let error = Options::check("c", SPECS, [("path", "/x"), (name, "1")]).expect_err("unknown");
            error.hint_text().map(str::to_owned)
        };
        for slip in ["monitor-interval", "monitor.interval", "monitorInterval", "source_monitor"] {
            assert_eq!(hint(slip).as_deref(), Some("did you mean 'source.monitor-interval'?"), "{slip}");
        }
    }

    #[test]
    fn missing_bad_and_unsupported_options_are_told_apart() {
        let code = |given: &[(&'static str, &'static str)]| {
            Options::check("c", SPECS, given.iter().copied()).expect_err("refused").code()
        };
        assert_eq!(code(&[]), "option.missing");
        assert_eq!(code(&[("path", "/x"), ("rows-per-second", "many")]), "option.value");
        assert_eq!(code(&[("path", "/x"), ("sink.parallelism", "2")]), "option.unsupported");
    }

    #[test]
    fn durations_and_sizes_are_read_as_flink_reads_them() {
        assert_eq!(parse_duration("5 min"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("200"), Some(Duration::from_millis(200)));
        assert_eq!(parse_duration("1 fortnight"), None);
        assert_eq!(parse_size("128MB"), Some(128 << 20));
    }
}
