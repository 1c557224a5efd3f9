//! A plan as text, to tell whether stored state belongs to it.
//!
//! What may change between two runs is left out: options of connectors (passwords, addresses), durations of waiting. What
//! decides the meaning of stored rows is in: the nodes, their types, expressions and aggregates.

use std::fmt::Write;

use headwater_change::{ChangeBatch, Error, Result, TableId, notation};
use headwater_sql::{AggregateCall, Node, NodeKind, StreamPlan};

/// The form of stored state itself. Raise it when the encoding of keys or accumulators changes.
const FORMAT: u32 = 1;

/// One line per node.
pub(crate) fn fingerprint(plan: &StreamPlan) -> String {
    let mut text = format!("format {FORMAT}\n");
    for node in &plan.nodes {
        let columns: Vec<String> = node.schema.fields().iter().map(|field| field.data_type().to_string()).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} {} of {:?} gives {} ({})",
            node.id,
            describe(node),
            node.inputs,
            node.mode,
            columns.join(", ")
        );
    }
    text
}

fn describe(node: &Node) -> String {
    match &node.kind {
        NodeKind::Scan(table) => format!("scan {} {}", table.table, table.connector),
        NodeKind::Values(rows) => {
            format!("values {:?}", notation::print(&ChangeBatch::insert_only(TableId::bare("values"), rows.clone())))
        }
        NodeKind::Calc(calc) => {
            let columns: Vec<String> = calc.columns.iter().map(ToString::to_string).collect();
            let predicate = calc.predicate.as_ref().map_or_else(|| "true".to_owned(), ToString::to_string);
            format!("calc [{}] where {predicate}", columns.join(", "))
        }
        NodeKind::Watermark(watermark) => format!("watermark {}", watermark.delayed),
        NodeKind::Aggregate(aggregate) => format!("aggregate {:?} [{}]", aggregate.group, calls(&aggregate.calls)),
        NodeKind::WindowAggregate(window) => {
            format!("window {:?} on {} {:?} [{}]", window.window, window.time, window.group, calls(&window.calls))
        }
        NodeKind::Union => "union".to_owned(),
        NodeKind::Sink(table) => format!("sink {} {}", table.table, table.connector),
        NodeKind::Collect => "collect".to_owned(),
    }
}

fn calls(calls: &[AggregateCall]) -> String {
    let calls: Vec<String> = calls
        .iter()
        .map(|call| {
            format!("{}({:?}) distinct={} filter={:?}", call.function.name(), call.argument, call.distinct, call.filter)
        })
        .collect();
    calls.join(", ")
}

/// Checks that stored state belongs to this plan.
pub(crate) fn check(stored: &[u8], plan: &str) -> Result<()> {
    let stored = String::from_utf8_lossy(stored);
    if stored == plan {
        return Ok(());
    }
    let was = stored.lines().zip(plan.lines()).find(|(was, is)| was != is);
    let detail = match was {
        Some((was, is)) => format!("stored for: {was}; asked for: {is}"),
        None => "the stored plan has another number of nodes".to_owned(),
    };
    Err(Error::usage("state.plan_changed", "the state folder belongs to another query")
        .detail(detail)
        .hint("run the query that wrote the state, or give this one a new folder with --state"))
}
