//! Every connector in one plain table: its name, its options, how its source and sink are built. The only place where
//! the product knows all of them.

use std::sync::Arc;

use arrow::datatypes::Field;
use headwater_change::{Delivery, Error, OptionSpec, Options, Place, Result, Sink, Source, TableRequest, suggest};
use headwater_connect::{blackhole, datagen, filesystem, print};
use headwater_sql::{Capabilities, Connectors, TableSpec};

type BuildSource = fn(TableRequest) -> Result<Box<dyn Source>>;
type BuildSink = fn(TableRequest) -> Result<Box<dyn Sink>>;
type Describe = fn(&Options) -> Result<Vec<Field>>;

/// A connector.
pub struct Connector {
    /// Value of the option `connector`.
    pub name: &'static str,
    /// Its options.
    pub options: &'static [OptionSpec],
    source: Option<BuildSource>,
    sink: Option<BuildSink>,
    /// The columns of a table that were not declared.
    describe: Option<Describe>,
}

impl Connector {
    /// Whether its tables can be read.
    pub fn reads(&self) -> bool {
        self.source.is_some()
    }

    /// Whether its tables can be written.
    pub fn writes(&self) -> bool {
        self.sink.is_some()
    }
}

/// All connectors of this build.
pub const CONNECTORS: &[Connector] = &[
    Connector {
        name: "blackhole",
        options: blackhole::OPTIONS,
        source: None,
        sink: Some(blackhole::sink),
        describe: None,
    },
    Connector { name: "datagen", options: datagen::OPTIONS, source: Some(datagen::source), sink: None, describe: None },
    Connector {
        name: "filesystem",
        options: filesystem::OPTIONS,
        source: Some(filesystem::source),
        sink: Some(filesystem::sink),
        describe: Some(filesystem::describe),
    },
    Connector {
        name: "jdbc",
        options: headwater_mysql::jdbc::OPTIONS,
        source: Some(headwater_mysql::scan::source),
        sink: Some(headwater_mysql::write::sink),
        describe: Some(headwater_mysql::jdbc::describe),
    },
    Connector {
        name: "mysql-cdc",
        options: headwater_mysql::OPTIONS,
        source: Some(headwater_mysql::source),
        sink: None,
        describe: None,
    },
    Connector { name: "print", options: print::OPTIONS, source: None, sink: Some(print::sink), describe: None },
];

fn find(name: &str) -> Result<&'static Connector> {
    CONNECTORS.iter().find(|connector| connector.name == name).ok_or_else(|| {
        let names: Vec<&str> = CONNECTORS.iter().map(|connector| connector.name).collect();
        let hint = match suggest(name, names.iter().copied()) {
            Some(meant) => format!("did you mean '{meant}'?"),
            None => "use one of those".to_owned(),
        };
        Error::usage("option.connector", format!("there is no connector '{name}'"))
            .detail(format!("connectors of this build: {}", names.join(", ")))
            .hint(hint)
            .at(Place::Option(name.to_owned()))
    })
}

fn request(spec: &TableSpec, threads: usize) -> Result<(&'static Connector, TableRequest)> {
    let connector = find(&spec.connector)?;
    let given = spec.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let options = Options::check(&format!("the connector '{}'", connector.name), connector.options, given)?;
    let request = TableRequest {
        table: spec.table.clone(),
        schema: Arc::clone(&spec.schema),
        primary_key: spec.primary_key.clone(),
        partitioned_by: spec.partitioned_by.clone(),
        conditions: spec.conditions.clone(),
        first: spec.first.clone(),
        options,
        threads,
    };
    Ok((connector, request))
}

/// The source of a scanned table; `threads` may decode.
pub(crate) fn source(spec: &TableSpec, threads: usize) -> Result<Box<dyn Source>> {
    let (connector, request) = request(spec, threads)?;
    let build = connector.source.ok_or_else(|| Error::bug("sql.no_source", "planned to read what cannot be read"))?;
    build(request)
}

/// The sink of a written table.
pub(crate) fn sink(spec: &TableSpec) -> Result<Box<dyn Sink>> {
    let (connector, request) = request(spec, 1)?;
    let build = connector.sink.ok_or_else(|| Error::bug("sql.no_sink", "planned to write what cannot be written"))?;
    build(request)
}

/// Planning's view of the table above. Building a source or a sink touches nothing outside, so they describe themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registry;

impl Connectors for Registry {
    fn describe(&self, connector: &str, options: &[(String, String)]) -> Result<Vec<Field>> {
        let connector = find(connector)?;
        let given = options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let options = Options::check(&format!("the connector '{}'", connector.name), connector.options, given)?;
        let describe = connector.describe.ok_or_else(|| {
            Error::usage(
                "sql.columns",
                format!("tables of the connector '{}' have no columns of their own", connector.name),
            )
            .hint("declare them")
        })?;
        describe(&options)
    }

    fn capabilities(&self, spec: &TableSpec) -> Result<Capabilities> {
        let (connector, request) = request(spec, 1)?;
        let source = connector.source.map(|build| build(request.clone()).map(|source| source.describe()));
        let sink = connector.sink.map(|build| build(request).map(|sink| sink.describe()));
        match (source, sink) {
            (Some(Err(error)), None | Some(Err(_))) | (None, Some(Err(error))) => Err(error),
            (source, sink) => {
                let sink = sink.and_then(Result::ok);
                Ok(Capabilities {
                    source: source.and_then(Result::ok).map(|source| (source.mode, source.bounded)),
                    only_batch: sink.as_ref().is_some_and(|sink| sink.delivery == Delivery::OneEpoch),
                    sink: sink.map(|sink| sink.accepts),
                })
            }
        }
    }
}
