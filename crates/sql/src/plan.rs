//! [`StreamPlan`]: what the stream engine runs. Text goes in at the top of this crate, this comes out at the bottom.
//!
//! A plan is a list of nodes in which every node stands behind its inputs; the last ones are sinks. Node numbers name
//! operators in stored state, so they are stable for the same script.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use headwater_change::{ChangelogMode, Condition, First, TableId, TimeZone};

/// A running query: nodes in the order of the data.
#[derive(Clone, Debug, Default)]
pub struct StreamPlan {
    /// `nodes[i].id == i`; inputs have smaller numbers.
    pub nodes: Vec<Node>,
}

/// One operator of a plan.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its number, which is also its index.
    pub id: u32,
    /// What it does.
    pub kind: NodeKind,
    /// Numbers of the nodes that it reads.
    pub inputs: Vec<u32>,
    /// Columns that it gives.
    pub schema: SchemaRef,
    /// Ops that it gives.
    pub mode: ChangelogMode,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// Reads a table of a connector.
    Scan(TableSpec),
    /// Gives these rows once: `VALUES`, or a SELECT without FROM. Read like a scan.
    Values(RecordBatch),
    /// Filters, then projects. Keeps ops; a row that does not pass is dropped with its op.
    Calc(Calc),
    /// Gives every row the watermark that is in force before it.
    Watermark(Watermark),
    /// `GROUP BY` without a window: one row per key, kept up to date with retraction.
    Aggregate(Aggregate),
    /// Event-time window aggregate: one row per window and key, when the watermark passes the window's end.
    WindowAggregate(WindowAggregate),
    /// All rows of all inputs (`UNION ALL`).
    Union,
    /// Writes to a table of a connector.
    Sink(TableSpec),
    /// Gives the result to the caller (`SELECT`).
    Collect,
}

/// A table as a connector sees it.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Name in the catalog.
    pub table: TableId,
    /// Value of the option `connector`.
    pub connector: String,
    /// For a scan the physical columns that the plan uses, for a sink all columns.
    pub schema: SchemaRef,
    /// Indices of the primary key's columns in `schema`; empty where none is declared or it is not scanned whole.
    pub primary_key: Vec<usize>,
    /// Indices of the `PARTITIONED BY` columns in `schema`.
    pub partitioned_by: Vec<usize>,
    /// What is known of the rows that the plan wants, for sources that need not deliver others.
    pub conditions: Vec<Condition>,
    /// Which rows the plan wants, where not all of them.
    pub first: Option<First>,
    /// All options but `connector`, unchecked.
    pub options: Vec<(String, String)>,
}

impl TableSpec {
    /// The same table with only these columns of its own.
    #[must_use]
    pub fn project(&self, columns: &[usize]) -> Self {
        let moved = |indices: &[usize]| -> Vec<usize> {
            indices.iter().filter_map(|index| columns.iter().position(|column| column == index)).collect()
        };
        let key = moved(&self.primary_key);
        let fields: Vec<FieldRef> =
            columns.iter().filter_map(|index| self.schema.fields().get(*index).cloned()).collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
            primary_key: if key.len() == self.primary_key.len() { key } else { Vec::new() },
            partitioned_by: moved(&self.partitioned_by),
            ..self.clone()
        }
    }
}

/// A filter and a projection in one pass.
#[derive(Clone, Debug)]
pub struct Calc {
    /// Boolean over the input's columns; rows for which it is not true are dropped.
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    /// One expression over the input's columns per output column.
    pub columns: Vec<Arc<dyn PhysicalExpr>>,
}

/// The watermark of a table.
///
/// The watermark in force before row *n* is the greatest value of `delayed` over the rows before *n*; it is the expression
/// itself, without a further millisecond (Flink's rule). NULL leaves it where it is.
#[derive(Clone, Debug)]
pub struct Watermark {
    /// Index of the time column, a timestamp.
    pub column: usize,
    /// The watermark expression, of the time column's type.
    pub delayed: Arc<dyn PhysicalExpr>,
}

/// `GROUP BY` columns and the aggregates over each group. Gives the group's columns, then one column per aggregate.
///
/// A grouped aggregate gives `+I` for a new key, `-U`/`+U` when its result row changed, `-D` when its last row went; a
/// global one (no group columns) likewise. Over no input a global one gives no row in streaming mode and one row in batch
/// mode (Flink's rule).
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// Indices of the group columns in the input.
    pub group: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
    /// Whether there is a row when the input ends without any: a global aggregate in batch mode.
    pub row_over_nothing: bool,
}

/// Like [`Aggregate`], per window: gives `window_start`, `window_end` (timestamps without zone in the precision of
/// [`Node::schema`]), the group's columns, then one column per aggregate. Inserts only.
///
/// A row is dropped and counted iff `window_end - 1 ms <=` the watermark in force before it (Flink's rule).
#[derive(Clone, Debug)]
pub struct WindowAggregate {
    /// Index of the time column in the input.
    pub time: usize,
    /// How time is cut.
    pub window: Window,
    /// Indices of the group columns in the input, without the window's bounds.
    pub group: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
}

/// How event time is cut into windows. Windows are closed at the start, open at the end and align to the epoch in the
/// local time of the column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Windows of one size, one after the other; `offset` shifts them.
    Tumble {
        /// Length, at least a millisecond.
        size: Duration,
        /// Shift of the windows' starts in milliseconds.
        offset_millis: i64,
        /// The zone in whose local time they are cut, for times with one.
        zone: Option<TimeZone>,
    },
}

/// One aggregate of a group.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    /// What is computed.
    pub function: AggregateFunction,
    /// Index of the argument in the input; `None` only for `COUNT(*)`.
    pub argument: Option<usize>,
    /// Whether every value counts once per group.
    pub distinct: bool,
    /// Index of a Boolean column of the input; rows for which it is not true are skipped (`FILTER (WHERE …)`).
    pub filter: Option<usize>,
    /// Name, type and nullability of the result by Flink's rules: SUM of an integer keeps its type and wraps, AVG of an
    /// integer is truncated, SUM of DECIMAL(p,s) is DECIMAL(38,s), AVG of it DECIMAL(38,max(6,s)) rounded half up.
    pub result: FieldRef,
}

/// The aggregates of the stream engine. NULL arguments are skipped by all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateFunction {
    /// Rows, or rows whose argument is not NULL. Never NULL.
    Count,
    /// Sum; NULL over no values.
    Sum,
    /// Mean; NULL over no values.
    Avg,
    /// Least value; NULL over no values.
    Min,
    /// Greatest value; NULL over no values.
    Max,
}

impl AggregateFunction {
    /// The SQL name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "COUNT",
            Self::Sum => "SUM",
            Self::Avg => "AVG",
            Self::Min => "MIN",
            Self::Max => "MAX",
        }
    }
}
