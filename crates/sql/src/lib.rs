//! Text in, plan out. Pure: no I/O, no clock, no async runtime.

mod plan;

pub use plan::{
    Aggregate, AggregateCall, AggregateFunction, Calc, Node, NodeKind, StreamPlan, TableSpec, Watermark, Window,
    WindowAggregate,
};
