//! Standard output as one file of Parquet.

use std::io::{IsTerminal, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use headwater_change::{ChangeBatch, Epoch, Error, Receipt, Result, Writer};
use headwater_connect::parquet::{Encoder, compression_of_output};

use crate::output::fold::Fold;

/// Whether standard output has a result.
static BEGUN: AtomicBool = AtomicBool::new(false);

pub(super) struct FileWriter {
    /// Until it is ended.
    encoder: Option<Encoder<Stdout>>,
    /// Of a result that changes its rows.
    fold: Option<Fold>,
}

impl FileWriter {
    pub(super) fn new(schema: &Schema, fold: Option<Fold>) -> Result<Self> {
        let out = std::io::stdout();
        if out.is_terminal() {
            return Err(Error::usage("output.terminal", "a file of parquet is not for a terminal")
                .hint("headwater sql … --output parquet > result.parquet"));
        }
        if BEGUN.swap(true, Ordering::Relaxed) {
            return Err(Error::usage("output.second", "a file of parquet holds one result, and this is the second")
                .hint("run the queries one by one, or INSERT INTO tables of files"));
        }
        Ok(Self { encoder: Some(Encoder::new(out, schema, compression_of_output())?), fold })
    }

    fn rows(&mut self, rows: &RecordBatch) -> Result<()> {
        self.encoder.as_mut().map_or(Ok(()), |encoder| encoder.write(rows))
    }
}

impl Writer for FileWriter {
    fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        match &mut self.fold {
            Some(fold) => fold.apply(batch),
            None => self.rows(batch.rows()),
        }
    }

    fn seal(&mut self, epoch: Epoch) -> Result<Receipt> {
        Ok(Receipt { epoch, token: Vec::new() })
    }

    fn publish(&mut self, _receipt: &Receipt) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some(fold) = self.fold.take() {
            self.rows(&fold.rows()?)?;
        }
        self.encoder.take().map_or(Ok(()), |encoder| encoder.finish().map(drop))
    }
}
