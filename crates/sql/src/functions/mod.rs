//! Functions of the dialect: those of DataFusion whose meaning agrees with Flink's, by an explicit list, and ours where
//! it does not. What is not listed is refused by name rather than answered differently.

pub(crate) mod aggregate;
pub(crate) mod decimal;
pub(crate) mod text;
pub(crate) mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// Scalar functions of DataFusion that give what Flink gives, as lower-case names of Flink.
///
/// Left out on purpose: `concat` (skips NULL), `greatest`/`least` (skip NULL), `round` and `truncate` on decimals (type),
/// `extract` (its type), everything with regular expressions or formats (other syntax).
const SHARED: &[&str] = &[
    "abs",
    "acos",
    "asin",
    "atan",
    "atan2",
    "bit_length",
    "btrim",
    "ceil",
    "char_length",
    "character_length",
    "coalesce",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "exp",
    "floor",
    "left",
    "ln",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "md5",
    "nullif",
    "octet_length",
    "pi",
    "power",
    "radians",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rtrim",
    "sin",
    "sinh",
    "sqrt",
    "strpos",
    "substr",
    "substring",
    "tan",
    "tanh",
    "trim",
    "upper",
];

pub use text::ValueText;

/// All functions by lower-case name.
#[derive(Debug)]
pub(crate) struct Functions {
    pub(crate) scalar: BTreeMap<String, Arc<ScalarUDF>>,
    pub(crate) aggregate: BTreeMap<String, Arc<AggregateUDF>>,
}

impl Functions {
    pub(crate) fn new() -> Self {
        let mut scalar = BTreeMap::new();
        for function in SessionStateDefaults::default_scalar_functions() {
            for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
                if SHARED.contains(&name) {
                    scalar.insert(name.to_owned(), Arc::clone(&function));
                }
            }
        }
        for function in window::bounds().into_iter().chain([text::concat()]) {
            scalar.insert(function.name().to_owned(), Arc::new(function));
        }
        let aggregate = aggregate::all().into_iter().map(|function| (function.name().to_owned(), function)).collect();
        Self { scalar, aggregate }
    }
}

/// Names of the scalar functions and of the aggregates that queries may call, in lower case, sorted.
pub fn function_names() -> (Vec<String>, Vec<String>) {
    let functions = Functions::new();
    let scalar = functions.scalar.keys().filter(|name| !name.starts_with('$')).cloned().collect();
    (scalar, functions.aggregate.keys().cloned().collect())
}
