//! The written contract of telemetry: every metric that Headwater can emit, by name, unit and meaning.
//!
//! Names follow `headwater_<noun>_<what>_<unit>[_total]`. Labels have bounded values: pipeline, table and operator names
//! out of the plan, never data.

/// How a metric's number moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Every metric of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Rows delivered by sources.
    SourceRows,
    /// Lines or rows that a source skipped by policy.
    SourceSkippedRows,
    /// Rows written to sinks.
    SinkRows,
    /// Rows dropped because their window had fired.
    WindowLateRows,
    /// Epochs committed.
    EpochCommits,
    /// Seconds spent in the last epoch commit.
    EpochCommitSeconds,
    /// Keys held by operators.
    StateKeys,
}

impl Metric {
    /// All of them, for the reference page and the exporter.
    pub const ALL: [Self; 7] = [
        Self::SourceRows,
        Self::SourceSkippedRows,
        Self::SinkRows,
        Self::WindowLateRows,
        Self::EpochCommits,
        Self::EpochCommitSeconds,
        Self::StateKeys,
    ];

    /// The exported name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SourceRows => "headwater_source_rows_total",
            Self::SourceSkippedRows => "headwater_source_skipped_rows_total",
            Self::SinkRows => "headwater_sink_rows_total",
            Self::WindowLateRows => "headwater_window_late_rows_total",
            Self::EpochCommits => "headwater_epoch_commits_total",
            Self::EpochCommitSeconds => "headwater_epoch_commit_seconds",
            Self::StateKeys => "headwater_state_keys",
        }
    }

    /// Counter or gauge.
    pub fn kind(self) -> MetricKind {
        match self {
            Self::EpochCommitSeconds | Self::StateKeys => MetricKind::Gauge,
            _ => MetricKind::Counter,
        }
    }
}
