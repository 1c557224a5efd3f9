//! Text in, plan out. Pure: no I/O, no clock, no async runtime.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod batch;
mod bind;
mod catalog;
mod convert;
mod diagnose;
mod dialect;
mod explain;
mod functions;
mod fuse;
mod guard;
mod optimize;
mod parse;
mod plan;
mod rewrite;
mod script;
mod session;
mod settings;
mod spark;
mod spell;
mod typed;
mod types;

pub use batch::{BatchQuery, Scannable, condition};
pub use catalog::{Capabilities, Connectors};
pub use dialect::{Dialect, Dialects};
pub use functions::{ValueText, function_names};
pub use parse::{CreateSchedule, Insert, Statement, parse};
pub use plan::{
    Aggregate, AggregateCall, AggregateFunction, Calc, Node, NodeKind, StreamPlan, TableSpec, Watermark, Window,
    WindowAggregate,
};
pub use script::Script;
pub use session::{Job, Outcome, Pipeline, Scheduling, Session};
pub use settings::{SETTINGS, Settings};
pub use spark::text::write_column_value;
pub use spell::spell;
pub use types::{trim_value_text, type_name};
