//! Options of `filesystem`, named as in Flink, and the building of its source and sink.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arrow::datatypes::{Field, SchemaRef};
use headwater_change::{Error, OptionKind, OptionSpec, Options, Place, Result, Sink, Source, TableRequest};
use parquet::basic::Compression;
use regex::Regex;

use super::columnar::ColumnarSource;
use super::discover::{Location, unreadable};
use super::reader::FileSource;
use super::writer::FileSink;
use crate::csv::{CsvConfig, CsvDecoder};
use crate::json::{JsonConfig, JsonDecoder};
use crate::lines::Decode;

const OWN: &[OptionSpec] = &[
    OptionSpec::new("path", OptionKind::Text, "file or folder, with or without file://").required(),
    OptionSpec::new("format", OptionKind::Choice(&["json", "csv", "parquet"]), "format of the files").required(),
    OptionSpec::new(
        "source.monitor-interval",
        OptionKind::Duration,
        "look for new files and lines this often, for ever",
    ),
    OptionSpec::new("source.path.regex-pattern", OptionKind::Text, "read only files whose whole path matches"),
    OptionSpec::new("source.report-statistics", OptionKind::Text, "for Flink's planner; not used"),
    OptionSpec::new("partition.default-name", OptionKind::Text, "folder for NULL in a partition column")
        .default("__DEFAULT_PARTITION__"),
    OptionSpec::new("sink.rolling-policy.file-size", OptionKind::Size, "begin another file at this size")
        .default("128MB"),
    OptionSpec::new(
        "sink.rolling-policy.rollover-interval",
        OptionKind::Duration,
        "not used: every epoch has its files",
    ),
    OptionSpec::new("sink.rolling-policy.check-interval", OptionKind::Duration, "not used: every epoch has its files"),
    OptionSpec::new("sink.shuffle-by-partition.enable", OptionKind::Bool, "not used: there is one writer"),
    OptionSpec::new("sink.parallelism", OptionKind::Unsupported, "number of writers; there is one"),
    OptionSpec::new("auto-compaction", OptionKind::Unsupported, "merge small files"),
    OptionSpec::new("compaction.file-size", OptionKind::Unsupported, "size of merged files"),
    OptionSpec::new("compaction.parallelism", OptionKind::Unsupported, "number of mergers"),
    OptionSpec::new("partition.time-extractor.*", OptionKind::Unsupported, "time of a partition"),
    OptionSpec::new("sink.partition-commit.*", OptionKind::Unsupported, "marks of finished partitions"),
    OptionSpec::new("streaming-source.*", OptionKind::Unsupported, "use 'source.monitor-interval'"),
    OptionSpec::new("lookup.join.cache.ttl", OptionKind::Unsupported, "cache of lookup joins"),
];

const PARTS: [&[OptionSpec]; 4] = [OWN, crate::json::OPTIONS, crate::csv::OPTIONS, crate::parquet::OPTIONS];

const ALL: [OptionSpec; PARTS[0].len() + PARTS[1].len() + PARTS[2].len() + PARTS[3].len()] = {
    let mut all =
        [OptionSpec::new("", OptionKind::Text, ""); PARTS[0].len() + PARTS[1].len() + PARTS[2].len() + PARTS[3].len()];
    let (mut part, mut at) = (0, 0);
    while part < PARTS.len() {
        let mut index = 0;
        while index < PARTS[part].len() {
            all[at] = PARTS[part][index];
            at += 1;
            index += 1;
        }
        part += 1;
    }
    all
};

/// Options of the connector `filesystem` and of its formats, without `connector`.
pub const CONFIG_OPTIONS: &[OptionSpec] = &ALL;

/// The format of a table's files.
#[derive(Clone, Debug)]
pub(crate) enum Format {
    Json(JsonConfig),
    Csv(CsvConfig),
    Parquet(Compression),
}

impl Format {
    fn new(request: &TableRequest) -> Result<Self> {
        match request.options.required("format")?.to_ascii_lowercase().as_str() {
            "csv" => CsvConfig::new(&request.options).map(Self::Csv),
            "parquet" => Ok(Self::Parquet(crate::parquet::compression(&request.options))),
            _ => JsonConfig::new(&request.options).map(Self::Json),
        }
    }

    /// A decoder for `schema` that counts skipped lines in `skipped`.
    pub(crate) fn decoder(&self, schema: &SchemaRef, skipped: &Arc<AtomicU64>) -> Result<Box<dyn Decode>> {
        let (schema, skipped) = (Arc::clone(schema), Arc::clone(skipped));
        Ok(match self {
            Self::Json(config) => Box::new(JsonDecoder::new(schema, *config, skipped)?),
            Self::Csv(config) => Box::new(CsvDecoder::new(schema, config.clone(), skipped)?),
            Self::Parquet(_) => return Err(Error::bug("filesystem.format", "parquet has no lines")),
        })
    }
}

/// What a source needs to know.
#[derive(Clone, Debug)]
pub(crate) struct SourceConfig {
    pub(crate) location: Location,
    pub(crate) format: Format,
    /// How often to look for more; bounded without.
    pub(crate) monitor: Option<Duration>,
}

/// Builds the source of a table of files. Fails with [`headwater_change::ErrorKind::Usage`] for options that do not fit.
pub fn source(request: TableRequest) -> Result<Box<dyn Source>> {
    let config = source_config(&request)?;
    if matches!(config.format, Format::Parquet(_)) {
        return Ok(Box::new(ColumnarSource::new(request, config.location, config.monitor.is_some())?));
    }
    Ok(Box::new(FileSource::new(request, config)?))
}

/// The columns of a table of files, as its first file has them.
///
/// # Errors
/// `filesystem.describe`: the format's files do not say; `filesystem.read`, `parquet.file`, `parquet.type`.
pub fn describe(options: &Options) -> Result<Vec<Field>> {
    let location = Location { root: root(options)?, pattern: None };
    if !options.required("format")?.eq_ignore_ascii_case("parquet") {
        return Err(Error::usage("filesystem.describe", "only files of parquet say which columns they have")
            .hint("declare the columns"));
    }
    let files = location.files()?.ok_or_else(|| location.missing())?;
    let below = |path: &Path| path.strip_prefix(&location.root).map(Path::to_owned).unwrap_or_default();
    let partition = files.iter().find_map(|(path, _)| {
        let folders = below(path).parent()?.to_string_lossy().into_owned();
        folders.split('/').find_map(|folder| folder.split_once('=').map(|(name, _)| name.to_owned()))
    });
    if let Some(name) = partition {
        return Err(Error::usage(
            "filesystem.describe",
            format!("the folder has partitions by '{name}', whose type no file says"),
        )
        .hint("declare the columns, with PARTITIONED BY"));
    }
    let (path, _) = files.first().ok_or_else(|| {
        Error::usage("filesystem.describe", format!("there is no file in '{}'", location.root.display()))
            .hint("declare the columns, or write a file first")
    })?;
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    crate::parquet::fields(file, path)
}

/// What the options say about reading.
pub(crate) fn source_config(request: &TableRequest) -> Result<SourceConfig> {
    let pattern = match request.options.text("source.path.regex-pattern") {
        Some(pattern) => Some(whole_pattern(pattern)?),
        None => None,
    };
    Ok(SourceConfig {
        location: Location { root: root(&request.options)?, pattern },
        format: Format::new(request)?,
        monitor: request.options.duration("source.monitor-interval").map(|every| every.max(Duration::from_millis(1))),
    })
}

/// Builds the sink of a table of files. Fails with [`headwater_change::ErrorKind::Usage`] for options that do not fit.
pub fn sink(request: TableRequest) -> Result<Box<dyn Sink>> {
    let (root, format) = (root(&request.options)?, Format::new(&request)?);
    Ok(Box::new(FileSink::new(&request, root, format)?))
}

fn root(options: &Options) -> Result<PathBuf> {
    let path = options.required("path")?;
    let local = path.strip_prefix("file://").unwrap_or(path);
    if local.is_empty() || local.contains("://") {
        return Err(Error::usage("filesystem.path", format!("'{path}' is not a path of this machine"))
            .hint("give a path or file:///path")
            .at(Place::Option("path".to_owned())));
    }
    Ok(PathBuf::from(local))
}

fn whole_pattern(pattern: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
        Error::usage("option.value", format!("'{pattern}' is not a regular expression"))
            .detail(error.to_string())
            .hint("escape dots and brackets that mean themselves")
            .at(Place::Option("source.path.regex-pattern".to_owned()))
    })
}
