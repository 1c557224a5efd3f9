//! The seam of everything that is written.
//!
//! The law of a sink: what was written between two seals becomes visible as a whole when its receipt is published, and
//! publishing the same receipt twice is the same as once. A receipt is stored with the epoch's state before it is
//! published, so after a crash it is published again.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;

use crate::{ChangeBatch, ChangelogMode, Epoch, Result, SchemaChange};

/// What a target guarantees across a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The target remembers its epoch or can take back what was not published.
    ExactlyOnce,
    /// After a crash the changes since the last epoch come a second time.
    AtLeastOnce,
    /// All rows are one epoch, which is there or not: for jobs that end, not for streams.
    OneEpoch,
}

/// Whose changes a target takes: one pipeline with its state, for as long as the state lives.
///
/// Several pipelines may write one target. By this name each finds again what is its own, and leaves the rest alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Unique in the world; letters and digits.
    pub id: String,
    /// Whether the pipeline can come back after its process has ended. What others left behind will never be asked for.
    pub durable: bool,
}

impl Owner {
    /// The owner of a new state. The operating system's randomness makes the name, because no seed may ever give it
    /// again.
    pub fn new(durable: bool) -> Self {
        Self { id: format!("{:016x}", RandomState::new().hash_one(std::process::id())), durable }
    }

    /// The same pipeline's name for one of its sinks.
    #[must_use]
    pub fn of_sink(&self, node: u32) -> Self {
        Self { id: format!("{}n{node}", self.id), durable: self.durable }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// What a sink takes and guarantees.
#[derive(Clone, Debug)]
pub struct SinkDescription {
    /// The widest changelog that it can represent.
    pub accepts: ChangelogMode,
    /// Its guarantee across a restart.
    pub delivery: Delivery,
    /// Whether it wants the changes that each row makes, as a log for people does. Other sinks get the net changes of a
    /// batch, which fold to the same rows.
    pub each_change: bool,
}

/// Something that can be written to. Building one touches nothing outside; opening it does.
pub trait Sink: Send + Sync {
    /// What it takes and guarantees.
    fn describe(&self) -> SinkDescription;

    /// Starts writing. `committed` is the pipeline's last committed epoch (0 for a new pipeline): whatever the target
    /// holds of later epochs was never committed and is taken back where the target can. `owner` is the same whenever
    /// the pipeline comes back with its state.
    fn open(&self, owner: &Owner, committed: Epoch) -> Result<Box<dyn Writer>>;
}

/// What a sealed epoch needs to be published, now or after a crash. Opaque outside its sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The sealed epoch.
    pub epoch: Epoch,
    /// What the sink needs to publish it.
    pub token: Vec<u8>,
}

/// A target being written by one thread.
pub trait Writer: Send {
    /// The last epoch that the target itself knows, where it can remember one.
    fn recover(&mut self) -> Result<Option<Epoch>> {
        Ok(None)
    }

    /// Brings to its end what an earlier process of the same owner had begun to publish of an epoch, for targets whose memory
    /// says only that it was begun.
    fn resume(&mut self, _epoch: Epoch) -> Result<()> {
        Ok(())
    }

    /// Takes changes; they may stay invisible until they are published.
    fn write(&mut self, batch: &ChangeBatch) -> Result<()>;

    /// Makes everything written so far durable on the target's side and says how to publish it.
    fn seal(&mut self, epoch: Epoch) -> Result<Receipt>;

    /// Makes a sealed epoch visible. Idempotent.
    fn publish(&mut self, receipt: &Receipt) -> Result<()>;

    /// Called once after the last publish, when all input has ended or the query was stopped; never after a failure.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }

    /// Follows a changed table definition; refuses by default.
    fn schema(&mut self, change: &SchemaChange) -> Result<()> {
        Err(crate::Error::usage(
            "sink.schema_change",
            format!("this sink cannot follow the changed table {}", change.table),
        )
        .hint("restart the pipeline with the new columns in CREATE TABLE"))
    }
}
