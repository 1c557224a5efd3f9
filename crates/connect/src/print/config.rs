//! Options of `print`, named as in Flink.

use headwater_change::{OptionKind, OptionSpec};

/// Options of the connector `print`, without `connector`.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("print-identifier", OptionKind::Text, "text in front of every line, followed by '> '"),
    OptionSpec::new("standard-error", OptionKind::Bool, "write to standard error").default("false"),
    OptionSpec::new("sink.parallelism", OptionKind::Unsupported, "number of writers; there is one"),
];
