//! [`Position`]: where a change stands in its source. [`Epoch`]: what is durable together.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A place in one partition of a source, behind the changes that were delivered.
///
/// Totally ordered inside one partition by `ordinal`, unordered between partitions. The token is opaque outside its
/// source (a GTID set, a file and an offset, chunk bounds) but readable, because people meet it in logs and errors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Name of the partition: a file, a server, a Kafka partition.
    pub partition: Arc<str>,
    /// What the source needs to go on from here.
    pub token: Arc<str>,
    /// Grows with every change of the partition (bytes of a file, rows of a sequence, changes since the start).
    pub ordinal: u64,
}

impl Position {
    /// A position from its three parts.
    pub fn new(partition: impl Into<Arc<str>>, token: impl Into<Arc<str>>, ordinal: u64) -> Self {
        Self { partition: partition.into(), token: token.into(), ordinal }
    }

    /// Says that a partition is over: nothing of it will come any more, and nobody need remember where it ended.
    pub fn retired(partition: impl Into<Arc<str>>) -> Self {
        Self { partition: partition.into(), token: "".into(), ordinal: u64::MAX }
    }

    /// Whether the partition is over.
    pub fn is_retired(&self) -> bool {
        self.ordinal == u64::MAX && self.token.is_empty()
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.partition == other.partition).then(|| self.ordinal.cmp(&other.ordinal))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.partition, self.token, self.ordinal)
    }
}

/// The pipeline's counter of atomic commits: not a time. The first epoch is 1; 0 means that nothing was committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
