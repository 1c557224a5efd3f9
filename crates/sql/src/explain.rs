//! `EXPLAIN`: the plan as a tree, readers above what they read, each with its columns and its changelog.

use std::fmt;

use crate::plan::{AggregateCall, Node, NodeKind, StreamPlan, Window};
use crate::spell::spell;
use crate::types::type_name;

impl fmt::Display for StreamPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read: Vec<u32> = self.nodes.iter().flat_map(|node| node.inputs.iter().copied()).collect();
        for node in self.nodes.iter().filter(|node| !read.contains(&node.id)) {
            self.tree(f, node, 0)?;
        }
        Ok(())
    }
}

impl StreamPlan {
    fn tree(&self, f: &mut fmt::Formatter<'_>, node: &Node, depth: usize) -> fmt::Result {
        let columns: Vec<String> =
            node.schema.fields().iter().map(|field| format!("{} {}", field.name(), type_name(field))).collect();
        writeln!(f, "{}#{} {} [{}] -> ({})", "  ".repeat(depth), node.id, kind(node), node.mode, columns.join(", "))?;
        for input in &node.inputs {
            if let Some(input) = usize::try_from(*input).ok().and_then(|index| self.nodes.get(index)) {
                self.tree(f, input, depth + 1)?;
            }
        }
        Ok(())
    }
}

fn kind(node: &Node) -> String {
    match &node.kind {
        NodeKind::Scan(table) => format!("Scan {} ({})", table.table, table.connector),
        NodeKind::Values(rows) => format!("Values {} rows", rows.num_rows()),
        NodeKind::Calc(calc) => {
            let columns: Vec<String> = calc.columns.iter().map(|column| spell(column.as_ref())).collect();
            match &calc.predicate {
                Some(predicate) => format!("Calc {} where {}", columns.join(", "), spell(predicate.as_ref())),
                None => format!("Calc {}", columns.join(", ")),
            }
        }
        NodeKind::Watermark(watermark) => {
            format!("Watermark column {} as {}", watermark.column, spell(watermark.delayed.as_ref()))
        }
        NodeKind::Aggregate(aggregate) => {
            let over_nothing = if aggregate.row_over_nothing { "; one row over no input" } else { "" };
            format!("Aggregate by {:?}: {}{over_nothing}", aggregate.group, calls(&aggregate.calls))
        }
        NodeKind::WindowAggregate(aggregate) => {
            let Window::Tumble { size, offset_millis, zone } = aggregate.window;
            let zone = zone.map_or(String::new(), |zone| format!(" in {zone}"));
            format!(
                "WindowAggregate tumble {size:?} offset {offset_millis} ms{zone} on column {} by {:?}: {}; a row is final when the watermark reaches window_end - 1 ms",
                aggregate.time,
                aggregate.group,
                calls(&aggregate.calls)
            )
        }
        NodeKind::Union => "Union".to_owned(),
        NodeKind::Sink(table) => format!("Sink {} ({})", table.table, table.connector),
        NodeKind::Collect => "Collect".to_owned(),
    }
}

fn calls(calls: &[AggregateCall]) -> String {
    let call = |call: &AggregateCall| {
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let argument = call.argument.map_or("*".to_owned(), |argument| format!("#{argument}"));
        let filter = call.filter.map_or(String::new(), |filter| format!(" FILTER #{filter}"));
        format!("{}({distinct}{argument}){filter}", call.function.name())
    };
    calls.iter().map(call).collect::<Vec<_>>().join(", ")
}
