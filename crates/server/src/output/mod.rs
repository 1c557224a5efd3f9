//! The caller as a sink: rows of a SELECT on standard output.
//!
//! | | append-only result | updating result, bounded | updating result, unbounded |
//! |---|---|---|---|
//! | `table` | rows as they come, or all at once when bounded | final rows | refreshed in place on a terminal |
//! | `json`, `csv` | rows as they come | final rows | refused: use `changelog` |
//! | `parquet` | rows as they come when bounded, else refused | final rows | refused |
//! | `changelog` | every change as one JSON object a line | the same | the same |

mod file;
mod fold;
mod table;
mod write;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_change::{
    ChangeBatch, ChangelogMode, Delivery, Epoch, Error, Owner, Receipt, Result, Sink, SinkDescription, Writer,
};

use headwater_sql::Dialect;

use crate::output::file::FileWriter;
use crate::output::fold::Fold;
use crate::output::write::RowWriter;
use crate::runner::Config;

pub use table::print_listing;

/// What rows are printed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A drawn table.
    Table,
    /// One JSON object a line.
    Json,
    /// A header, then comma-separated values as `CAST(x AS STRING)` gives them.
    Csv,
    /// One JSON object with the op a line.
    Changelog,
    /// A file of Parquet.
    Parquet,
}

/// Standard output as a sink.
pub(crate) struct OutputSink {
    schema: SchemaRef,
    format: Format,
    null_text: Arc<str>,
    /// Whose text values have, and the zone in which times are shown.
    look: (Dialect, String),
    manner: Manner,
}

/// When rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// As they come.
    AtOnce,
    /// Once, when the input has ended.
    AtEnd,
    /// Again with every epoch, over the last picture.
    InPlace,
}

impl OutputSink {
    /// For rows of these columns, which are only added (`append`) or also change, until they end (`bounded`) or for ever.
    pub(crate) fn new(
        config: &Config,
        schema: &SchemaRef,
        (append, bounded): (bool, bool),
        (dialect, time_zone): (Dialect, &str),
    ) -> Result<Self> {
        let manner = match (config.format, append, bounded) {
            (Format::Changelog, _, _) | (Format::Json | Format::Csv, true, _) | (Format::Parquet, true, true) => {
                Manner::AtOnce
            }
            (Format::Table, true, false) => Manner::AtOnce,
            (_, _, true) => Manner::AtEnd,
            (Format::Table, false, false) => Manner::InPlace,
            (Format::Parquet, _, false) => {
                return Err(Error::usage("output.unbounded", "the query never ends, and a file of parquet must")
                    .hint("use --output json"));
            }
            (Format::Json | Format::Csv, false, false) => {
                return Err(Error::usage(
                    "output.updating",
                    "the query changes its rows for ever, this output has only final rows",
                )
                .hint("use --output changelog, or --output table on a terminal"));
            }
        };
        Ok(Self {
            schema: Arc::clone(schema),
            format: config.format,
            null_text: config.null_text.as_str().into(),
            look: (dialect, time_zone.to_owned()),
            manner,
        })
    }
}

impl Sink for OutputSink {
    fn describe(&self) -> SinkDescription {
        SinkDescription { accepts: ChangelogMode::Retract, delivery: Delivery::AtLeastOnce, each_change: false }
    }

    fn open(&self, _owner: &Owner, _committed: Epoch) -> Result<Box<dyn Writer>> {
        if self.format == Format::Parquet {
            let fold = (self.manner == Manner::AtEnd).then(|| Fold::new(&self.schema)).transpose()?;
            return Ok(Box::new(FileWriter::new(&self.schema, fold)?));
        }
        let rows = RowWriter::new(self.format, &self.schema, &self.null_text, (self.look.0, &self.look.1))?;
        let fold = match self.manner {
            Manner::AtOnce => None,
            _ => Some(Fold::new(&self.schema)?),
        };
        Ok(Box::new(OutputWriter { rows, fold, manner: self.manner, changed: true }))
    }
}

struct OutputWriter {
    rows: RowWriter,
    fold: Option<Fold>,
    manner: Manner,
    changed: bool,
}

impl Writer for OutputWriter {
    fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        match &mut self.fold {
            Some(fold) => {
                self.changed = true;
                fold.apply(batch)
            }
            None => self.rows.changes(batch),
        }
    }

    fn seal(&mut self, epoch: Epoch) -> Result<Receipt> {
        Ok(Receipt { epoch, token: Vec::new() })
    }

    fn publish(&mut self, _receipt: &Receipt) -> Result<()> {
        if self.manner == Manner::InPlace && self.changed {
            self.changed = false;
            if let Some(fold) = &self.fold {
                self.rows.picture(&fold.rows()?)?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.manner == Manner::AtEnd
            && let Some(fold) = &self.fold
        {
            self.rows.all(&fold.rows()?)?;
        }
        self.rows.end()
    }
}
