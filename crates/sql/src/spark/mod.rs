//! Spark SQL as a dialect: what differs from Flink's is here, everything else is common.
//!
//! * [`tokens`], [`grammar`]: lexical rules and forms of expressions; [`rewrite`], [`generate`]: forms of queries
//! * [`types`]: names of types and what two have in common; [`cast`], [`operators`], [`text`]: what values mean
//! * [`functions`], [`sum`]: functions and aggregates; [`lambda`]: those over the items of arrays and maps
//! * [`fold`]: constants, once their types are settled

pub(crate) mod cast;
pub(crate) mod fold;
pub(crate) mod functions;
pub(crate) mod generate;
pub(crate) mod grammar;
pub(crate) mod lambda;
pub(crate) mod operators;
pub(crate) mod rewrite;
mod sum;
pub(crate) mod text;
pub(crate) mod tokens;
pub(crate) mod types;
