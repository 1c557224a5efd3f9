//! The format `parquet`: columns by name, types as they are or wider, one row group at a time.

mod convert;
mod read;
mod write;

#[cfg(test)]
mod tests;

use headwater_change::{OptionKind, OptionSpec, Options};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};

pub use read::{Rows, fields};
pub use write::Encoder;

/// Options of the format.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "parquet.compression",
        OptionKind::Choice(&["snappy", "zstd", "gzip", "uncompressed"]),
        "how pages are packed",
    )
    .default("snappy"),
    OptionSpec::new(
        "parquet.utc-timezone",
        OptionKind::Bool,
        "taken for compatibility: wall times are written as such",
    )
    .default("false"),
    OptionSpec::new("parquet.*", OptionKind::Unsupported, "settings of Java's library"),
];

/// How pages are packed where nobody says it.
pub fn compression_of_output() -> Compression {
    Compression::SNAPPY
}

/// How pages are packed.
pub fn compression(options: &Options) -> Compression {
    match options.text("parquet.compression").unwrap_or("snappy").to_ascii_lowercase().as_str() {
        "zstd" => Compression::ZSTD(ZstdLevel::default()),
        "gzip" => Compression::GZIP(GzipLevel::default()),
        "uncompressed" => Compression::UNCOMPRESSED,
        _ => Compression::SNAPPY,
    }
}
