//! Options of the format `json`, named as in Flink.

use headwater_change::{Error, OptionKind, OptionSpec, Options, Result};

/// Options of the format, to be appended to those of a connector.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "json.ignore-parse-errors",
        OptionKind::Bool,
        "NULL for bad fields, skip lines that are no objects",
    )
    .default("false"),
    OptionSpec::new("json.fail-on-missing-field", OptionKind::Bool, "fail when a line lacks a column").default("false"),
    OptionSpec::new(
        "json.timestamp-format.standard",
        OptionKind::Choice(&["SQL", "ISO-8601"]),
        "blank or T between date and time when writing; both are read",
    )
    .default("SQL"),
    OptionSpec::new("json.encode.decimal-as-plain-number", OptionKind::Bool, "write DECIMAL without an exponent")
        .default("true"),
    OptionSpec::new("json.encode.ignore-null-fields", OptionKind::Bool, "leave NULL fields out when writing")
        .default("false"),
    OptionSpec::new("json.map-null-key.mode", OptionKind::Unsupported, "what to do with NULL keys of maps"),
    OptionSpec::new("json.map-null-key.literal", OptionKind::Unsupported, "text for NULL keys of maps"),
    OptionSpec::new("json.decode.json-parser.enabled", OptionKind::Bool, "choice of Flink's parser; not used")
        .default("true"),
];

/// How JSON is read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonConfig {
    /// Bad fields become NULL and lines that are no objects are skipped and counted.
    pub ignore_parse_errors: bool,
    /// A column that a line does not have is an error.
    pub fail_on_missing_field: bool,
    /// Timestamps are written with a `T`.
    pub iso_timestamps: bool,
    /// NULL fields are left out when writing.
    pub ignore_null_fields: bool,
}

impl JsonConfig {
    /// Reads checked options. Fails when two of them contradict each other.
    pub fn new(options: &Options) -> Result<Self> {
        let config = Self {
            ignore_parse_errors: options.bool("json.ignore-parse-errors"),
            fail_on_missing_field: options.bool("json.fail-on-missing-field"),
            iso_timestamps: options
                .text("json.timestamp-format.standard")
                .is_some_and(|standard| standard.eq_ignore_ascii_case("ISO-8601")),
            ignore_null_fields: options.bool("json.encode.ignore-null-fields"),
        };
        if config.ignore_parse_errors && config.fail_on_missing_field {
            return Err(Error::usage(
                "option.conflict",
                "'json.fail-on-missing-field' and 'json.ignore-parse-errors' cannot both be true",
            )
            .hint("decide whether bad lines stop the query or are skipped"));
        }
        if options.text("json.encode.decimal-as-plain-number").is_some_and(|value| value.eq_ignore_ascii_case("false"))
        {
            return Err(Error::usage(
                "option.unsupported",
                "'json.encode.decimal-as-plain-number' = 'false' is not supported yet",
            )
            .hint("leave it out: decimals are always written as plain numbers"));
        }
        Ok(config)
    }
}
