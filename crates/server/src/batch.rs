//! Jobs of the batch engine: each query's rows go to its target, and all targets show them when all queries have ended.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::FieldRef;
use headwater_batch::{Progress, Tables};
use headwater_change::{ChangeBatch, Delivery, Epoch, Error, Owner, Result, Sink, Source, TableId, Writer};
use headwater_sql::{BatchQuery, Job, Settings, TableSpec};
use headwater_stream::Control;

use crate::connectors;
use crate::output::OutputSink;
use crate::progress::Shown;
use crate::runner::Config;

/// A job is one epoch of its targets.
const EPOCH: Epoch = Epoch(1);

/// The tables of all connectors.
struct Connected {
    threads: usize,
}

impl Tables for Connected {
    fn source(&self, spec: &TableSpec) -> Result<Box<dyn Source>> {
        connectors::source(spec, self.threads)
    }
}

fn engine(config: &Config, settings: &Settings) -> (Arc<dyn Tables>, headwater_batch::Settings) {
    let threads = settings.parallelism().unwrap_or(config.parallelism).max(1);
    (Arc::new(Connected { threads }), headwater_batch::Settings { threads, memory_bytes: config.memory_bytes })
}

/// The physical plans of a job as text.
pub(crate) fn explain(job: &Job, config: &Config, settings: &Settings) -> Result<String> {
    let (tables, engine) = engine(config, settings);
    let plan = |query: &BatchQuery| headwater_batch::explain(&query.plan, &tables, &engine);
    Ok(job.queries.iter().map(plan).collect::<Result<Vec<_>>>()?.join("\n"))
}

/// Runs the queries of a job, keeps none of their rows, and says what was done for them. No target is touched.
pub(crate) fn analyze(job: &Job, config: &Config, settings: &Settings, control: &Control) -> Result<String> {
    let (tables, engine) = engine(config, settings);
    let progress = Progress::default();
    let shown = Shown::begin(progress.clone());
    let analyze = |query: &BatchQuery| {
        headwater_batch::analyze(&query.plan, &tables, &engine, &progress, || !control.is_stopped())
    };
    let texts = job.queries.iter().map(analyze).collect::<Result<Vec<_>>>();
    drop(shown);
    Ok(texts?.join("\n"))
}

/// Who writes the targets of the session's job of this number; a run that has a name is the same when it comes back.
pub(crate) fn owner(run: Option<&str>, job: u32) -> Owner {
    match run {
        Some(run) => Owner { id: format!("{run}.{job}"), durable: true },
        None => Owner::new(false),
    }
}

/// Runs a job. A target shows all of its rows or none.
pub(crate) fn run(
    job: &Job,
    config: &Config,
    (settings, zone): (&Settings, &str),
    (owner, control): (&Owner, &Control),
) -> Result<()> {
    let (tables, engine) = engine(config, settings);
    let mut writers = Vec::with_capacity(job.queries.len());
    let progress = Progress::default();
    let shown = Shown::begin(progress.clone());
    for (number, query) in (0..).zip(&job.queries) {
        let (name, sink): (TableId, Box<dyn Sink>) = match &query.target {
            Some(spec) => {
                let sink = connectors::sink(spec)?;
                if owner.durable && sink.describe().delivery == Delivery::AtLeastOnce {
                    return Err(Error::usage("batch.run", format!("'{}' does not remember its runs", spec.table))
                        .hint("with --run write to tables of the connectors 'jdbc' and 'filesystem' only"));
                }
                (spec.table.clone(), sink)
            }
            None => {
                let sink = OutputSink::new(config, &query.schema, (true, true), (job.dialect, zone))?;
                (TableId::bare("result"), Box::new(sink))
            }
        };
        let Some(mut writer) = open(sink.as_ref(), &owner.of_sink(number))? else {
            eprintln!("'{name}' was written by an earlier run of this name: nothing is to be done");
            continue;
        };
        headwater_batch::run(&query.plan, &tables, &engine, &progress, |rows| {
            if control.is_stopped() {
                return Ok(ControlFlow::Break(()));
            }
            write(writer.as_mut(), query, &name, &rows).map(ControlFlow::Continue)
        })?;
        if control.is_stopped() && query.target.is_some() {
            return Err(Error::usage("batch.stopped", format!("stopped: '{name}' was left as it was")));
        }
        let receipt = writer.seal(EPOCH)?;
        writers.push((writer, receipt));
    }
    drop(shown);
    for (writer, receipt) in &mut writers {
        writer.publish(receipt)?;
    }
    writers.into_iter().try_for_each(|(mut writer, _)| writer.end())
}

/// Opens a target; nothing where an earlier run of the owner has written it.
fn open(sink: &dyn Sink, owner: &Owner) -> Result<Option<Box<dyn Writer>>> {
    match sink.open(owner, Epoch(0)) {
        // It had begun to show its rows, and shows the rest of them now.
        Err(error) if owner.durable && error.code() == "state.behind_target" => {
            sink.open(owner, EPOCH)?.resume(EPOCH)?;
            Ok(None)
        }
        other => {
            let mut writer = other?;
            Ok((writer.recover()? != Some(EPOCH)).then_some(writer))
        }
    }
}

fn write(writer: &mut dyn Writer, query: &BatchQuery, name: &TableId, rows: &RecordBatch) -> Result<()> {
    let schema = query.target.as_ref().map_or(&query.schema, |spec| &spec.schema);
    let refuses = |(field, column): &(&FieldRef, &ArrayRef)| !field.is_nullable() && column.null_count() > 0;
    if let Some((field, _)) = schema.fields().iter().zip(rows.columns()).find(refuses) {
        return Err(Error::data(
            "batch.not_null",
            format!("the column '{}' of {name} takes no NULL, and a row has it", field.name()),
        )
        .detail("the table is as it was")
        .hint("COALESCE gives such rows a value, WHERE … IS NOT NULL leaves them out"));
    }
    let rows = RecordBatch::try_new(Arc::clone(schema), rows.columns().to_vec())
        .map_err(|error| Error::bug("batch.rows", "a query gave other columns than planned").caused_by(error))?;
    writer.write(&ChangeBatch::insert_only(name.clone(), rows))
}
