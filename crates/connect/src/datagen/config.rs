//! Options of `datagen`, named as in Flink, and the building of its source.

use std::sync::Arc;

use headwater_change::{Error, OptionKind, OptionSpec, Place, Result, Source, SystemClock, TableRequest};

use super::field::{Generator, sequence};
use super::reader::DatagenSource;

/// Options of the connector `datagen`, without `connector`.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("rows-per-second", OptionKind::Integer, "rate").default("10000"),
    OptionSpec::new("number-of-rows", OptionKind::Integer, "how many rows; without it the table never ends"),
    OptionSpec::new("seed", OptionKind::Integer, "another seed, other rows").default("0"),
    OptionSpec::new("scan.parallelism", OptionKind::Unsupported, "number of readers; there is one"),
    OptionSpec::new("fields.#.kind", OptionKind::Choice(&["random", "sequence"]), "how the column's values come about"),
    OptionSpec::new("fields.#.min", OptionKind::Number, "least random value"),
    OptionSpec::new("fields.#.max", OptionKind::Number, "greatest random value"),
    OptionSpec::new("fields.#.max-past", OptionKind::Duration, "how far before now a random time may be"),
    OptionSpec::new(
        "fields.#.length",
        OptionKind::Integer,
        "characters of a text, bytes of bytes, elements of an array",
    ),
    OptionSpec::new("fields.#.var-len", OptionKind::Bool, "length is the greatest one, not the only one"),
    OptionSpec::new("fields.#.start", OptionKind::Integer, "first value of a sequence"),
    OptionSpec::new("fields.#.end", OptionKind::Integer, "last value of a sequence; the table ends there"),
    OptionSpec::new("fields.#.null-rate", OptionKind::Number, "share of NULL values, from 0 to 1"),
];

/// Builds the source. Fails with [`headwater_change::ErrorKind::Usage`] for options that do not fit the columns.
pub fn source(request: TableRequest) -> Result<Box<dyn Source>> {
    Ok(Box::new(build(request)?))
}

pub(super) fn build(request: TableRequest) -> Result<DatagenSource> {
    let rate = request.options.integer("rows-per-second").unwrap_or(10_000);
    let Some(rate) = u64::try_from(rate).ok().filter(|rate| *rate > 0) else {
        return Err(bad("rows-per-second", "must be at least 1"));
    };
    let mut rows = match request.options.integer("number-of-rows") {
        None => None,
        Some(rows) => Some(u64::try_from(rows).map_err(|_| bad("number-of-rows", "must not be negative"))?),
    };
    let generators = request
        .schema
        .fields()
        .iter()
        .map(|field| Generator::new(field, &request.options))
        .collect::<Result<Vec<_>>>()?;
    // Out of the options, not of the generators: the query may use none of the columns that end.
    for (name, _) in request.options.iter() {
        if let Some(column) = name.strip_prefix("fields.").and_then(|rest| rest.strip_suffix(".end"))
            && let Some((start, end)) = sequence(&request.options, column)?
        {
            let length = u64::try_from(i128::from(end) - i128::from(start) + 1).unwrap_or(u64::MAX);
            rows = Some(rows.map_or(length, |rows| rows.min(length)));
        }
    }
    let seed = request.options.integer("seed").unwrap_or(0).cast_unsigned();
    Ok(DatagenSource { request, generators, rate, rows, seed, clock: Arc::new(SystemClock) })
}

/// The error for an option's value that does not fit.
pub(super) fn bad(name: &str, why: &str) -> Error {
    Error::usage("option.value", format!("the option '{name}' of datagen {why}")).at(Place::Option(name.to_owned()))
}
