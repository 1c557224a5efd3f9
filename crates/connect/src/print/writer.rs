//! Writes `identifier> +I[DE, 1, 2]`, a line a change, and hands the lines of a batch over in one piece.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use headwater_change::{
    ChangeBatch, ChangelogMode, Delivery, Epoch, Error, Owner, Receipt, Result, SchemaChange, Sink, SinkDescription,
    TableRequest, Writer,
};

use crate::text::PrintText;

type Output = Arc<Mutex<dyn Write + Send>>;

/// Builds the sink that writes to standard output, or to standard error where the options say so.
pub fn sink(request: TableRequest) -> Result<Box<dyn Sink>> {
    let output: Output = if request.options.bool("standard-error") {
        Arc::new(Mutex::new(io::stderr()))
    } else {
        Arc::new(Mutex::new(io::stdout()))
    };
    Ok(Box::new(PrintSink::new(&request, output)))
}

/// The print sink over any output.
pub struct PrintSink {
    prefix: Arc<str>,
    output: Output,
}

impl PrintSink {
    /// A sink that writes to `output`.
    pub fn new(request: &TableRequest, output: Arc<Mutex<dyn Write + Send>>) -> Self {
        let prefix = match request.options.text("print-identifier") {
            Some(identifier) if !identifier.is_empty() => format!("{identifier}> "),
            _ => String::new(),
        };
        Self { prefix: prefix.into(), output }
    }
}

impl Sink for PrintSink {
    fn describe(&self) -> SinkDescription {
        SinkDescription { accepts: ChangelogMode::Retract, delivery: Delivery::AtLeastOnce, each_change: true }
    }

    fn open(&self, _owner: &Owner, _committed: Epoch) -> Result<Box<dyn Writer>> {
        Ok(Box::new(PrintWriter {
            prefix: Arc::clone(&self.prefix),
            output: Arc::clone(&self.output),
            text: PrintText::default(),
            lines: String::new(),
        }))
    }
}

struct PrintWriter {
    prefix: Arc<str>,
    output: Output,
    text: PrintText,
    lines: String,
}

impl Writer for PrintWriter {
    fn write(&mut self, batch: &ChangeBatch) -> Result<()> {
        self.lines.clear();
        for row in 0..batch.len() {
            self.lines.push_str(&self.prefix);
            self.text.row(batch.op(row), batch.rows(), row, &mut self.lines)?;
            self.lines.push('\n');
        }
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.write_all(self.lines.as_bytes()).and_then(|()| output.flush()).map_err(|error| {
            Error::remote("print.write", "the output of the print sink could not be written")
                .detail(error.to_string())
                .hint("the reader may have closed the pipe, or the disk is full")
                .caused_by(error)
        })
    }

    fn seal(&mut self, epoch: Epoch) -> Result<Receipt> {
        Ok(Receipt { epoch, token: Vec::new() })
    }

    fn publish(&mut self, _receipt: &Receipt) -> Result<()> {
        Ok(())
    }

    fn schema(&mut self, _change: &SchemaChange) -> Result<()> {
        Ok(())
    }
}
