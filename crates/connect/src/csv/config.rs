//! Options of the format `csv`, named as in Flink.

use headwater_change::{Error, OptionKind, OptionSpec, Options, Place, Result};

/// Options of the format, to be appended to those of a connector.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("csv.field-delimiter", OptionKind::Text, "one ASCII character between fields; '\\t' is a tab")
        .default(","),
    OptionSpec::new("csv.quote-character", OptionKind::Text, "one ASCII character around fields").default("\""),
    OptionSpec::new("csv.disable-quote-character", OptionKind::Bool, "quotes are plain characters").default("false"),
    OptionSpec::new("csv.allow-comments", OptionKind::Bool, "skip lines that begin with #").default("false"),
    OptionSpec::new("csv.ignore-parse-errors", OptionKind::Bool, "NULL for bad fields, skip broken records")
        .default("false"),
    OptionSpec::new("csv.array-element-delimiter", OptionKind::Text, "between the elements of an ARRAY or ROW")
        .default(";"),
    OptionSpec::new("csv.escape-character", OptionKind::Text, "takes the next character as it is"),
    OptionSpec::new("csv.null-literal", OptionKind::Text, "text that stands for NULL"),
    OptionSpec::new("csv.write-bigdecimal-in-scientific-notation", OptionKind::Bool, "540 as 5.4E+2").default("true"),
];

/// How CSV is read and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvConfig {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields, if quotes are used.
    pub quote: Option<u8>,
    /// In front of a character that means itself.
    pub escape: Option<u8>,
    /// Lines that begin with `#` are skipped.
    pub allow_comments: bool,
    /// Bad fields become NULL and broken records are skipped and counted.
    pub ignore_parse_errors: bool,
    /// Between the elements of an ARRAY or ROW.
    pub element_delimiter: String,
    /// Text for NULL.
    pub null_literal: Option<String>,
    /// Decimals are written without trailing zeros and with an exponent where Java's `BigDecimal.toString` has one.
    pub scientific_decimals: bool,
}

impl Default for CsvConfig {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            allow_comments: false,
            ignore_parse_errors: false,
            element_delimiter: ";".to_owned(),
            null_literal: None,
            scientific_decimals: true,
        }
    }
}

impl CsvConfig {
    /// Reads checked options. Fails for a character that cannot be used as one.
    pub fn new(options: &Options) -> Result<Self> {
        let disabled = options.bool("csv.disable-quote-character");
        let config = Self {
            delimiter: one_byte(options, "csv.field-delimiter")?.unwrap_or(b','),
            quote: if disabled { None } else { one_byte(options, "csv.quote-character")?.or(Some(b'"')) },
            escape: one_byte(options, "csv.escape-character")?,
            allow_comments: options.bool("csv.allow-comments"),
            ignore_parse_errors: options.bool("csv.ignore-parse-errors"),
            element_delimiter: unescape(options.text("csv.array-element-delimiter").unwrap_or(";")),
            null_literal: options.text("csv.null-literal").map(str::to_owned),
            scientific_decimals: options
                .text("csv.write-bigdecimal-in-scientific-notation")
                .is_none_or(|value| value.eq_ignore_ascii_case("true")),
        };
        let marks = [Some(config.delimiter), config.quote, config.escape];
        let used: Vec<u8> = marks.into_iter().flatten().collect();
        let twice = used.iter().enumerate().any(|(index, mark)| used.iter().skip(index + 1).any(|other| other == mark));
        if twice {
            return Err(Error::usage("option.conflict", "delimiter, quote and escape of CSV must differ")
                .at(Place::Option("csv.field-delimiter".to_owned()))
                .hint("give each of them another character"));
        }
        Ok(config)
    }
}

/// The escapes that Flink takes out of delimiters.
fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n").replace("\\\\", "\\")
}

fn one_byte(options: &Options, name: &str) -> Result<Option<u8>> {
    let Some(text) = options.text(name) else { return Ok(None) };
    match unescape(text).as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Some(*byte)),
        _ => Err(Error::usage("option.value", format!("'{text}' is not a value of the option '{name}'"))
            .hint("give one ASCII character that is no line end")
            .at(Place::Option(name.to_owned()))),
    }
}
