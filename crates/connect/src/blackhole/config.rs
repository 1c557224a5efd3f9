//! Options of `blackhole`.

use headwater_change::{OptionKind, OptionSpec};

/// Options of the connector `blackhole`, without `connector`.
pub const OPTIONS: &[OptionSpec] =
    &[OptionSpec::new("property-version", OptionKind::Integer, "version of the options; read and not used")];
