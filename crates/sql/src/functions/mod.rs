//! Functions of the dialect by name. Each is bound with the types of its arguments and gives what Flink gives; what is
//! not listed is refused by name rather than answered differently.
//!
//! * [`kernel`]: what a bound function is
//! * [`arithmetic`], [`compare`], [`cast`], [`concat`]: operators
//! * [`conditional`], [`math`], [`pattern`], [`text`], [`time`]: functions by family; [`arguments`] and [`rows`] are
//!   what they have in common
//! * [`aggregate`], [`window`]: aggregates and bounds of windows
//! * [`java_math`]: functions of Java's `Math` to the last digit
//! * [`forms`]: what the grammar hands on as calls
//! * [`value`]: one value of any type
//! * [`unbound`]: how a function looks before its types are known

pub(crate) mod aggregate;
mod arguments;
pub(crate) mod arithmetic;
pub(crate) mod cast;
pub(crate) mod compare;
mod concat;
mod conditional;
pub(crate) mod forms;
pub(crate) mod java_math;
pub(crate) mod kernel;
mod math;
pub(crate) mod pattern;
mod rows;
mod text;
pub(crate) mod time;
pub(crate) mod unbound;
pub(crate) mod value;
pub(crate) mod window;

use std::collections::BTreeMap;

use arrow::array::Array;
use headwater_change::{Error, Result};

use crate::dialect::Dialect;
use crate::spark::functions as spark;
use crate::typed::{Context, Typed};

/// Appends the text of the value at a row, as Flink's `CAST(x AS STRING)` gives it. Handed in, because the text of values
/// belongs to the formats.
pub type ValueText = fn(&dyn Array, usize, &mut String) -> headwater_change::Result<()>;

/// Checks the arguments of a function and gives the call with its type.
pub(crate) type Bind = fn(Context<'_>, Vec<Typed>) -> Result<Typed>;

/// How a function is bound.
#[derive(Clone, Copy)]
pub(crate) enum Entry {
    Bind(Bind),
    /// A function of Spark's that is computed row by row.
    Rows(&'static spark::Def),
}

impl Entry {
    /// Checks the arguments and gives the call with its type.
    pub(crate) fn apply(self, context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
        match self {
            Self::Bind(bind) => bind(context, args),
            Self::Rows(def) => spark::bind(context, def, args),
        }
    }
}

/// All functions by lower-case name.
pub(crate) struct Functions {
    scalar: BTreeMap<&'static str, Entry>,
    aggregates: &'static [&'static str],
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.scalar.keys()).finish()
    }
}

impl Functions {
    /// The functions of a dialect.
    pub(crate) fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Flink => Self::flink(),
            Dialect::Spark => Self { scalar: spark::all().into_iter().collect(), aggregates: spark::aggregate::NAMES },
        }
    }

    fn flink() -> Self {
        let families = [conditional::ALL, math::ALL, pattern::ALL, forms::ALL];
        let families = families.iter().chain(text::ALL).chain(time::ALL);
        let scalar = families.flat_map(|family| family.iter()).map(|(name, bind)| (*name, Entry::Bind(*bind)));
        Self { scalar: scalar.collect(), aggregates: aggregate::NAMES }
    }

    /// The binding of a scalar function.
    pub(crate) fn bind(&self, name: &str) -> Option<Entry> {
        self.scalar.get(name).copied()
    }

    /// Whether a name is an aggregate's.
    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        self.aggregates.contains(&name)
            || matches!(name, "grouping" | "grouping_id") && self.aggregates == spark::aggregate::NAMES
    }

    /// Names of scalar functions and of aggregates, without those that only the grammar calls.
    pub(crate) fn names(&self) -> (Vec<String>, Vec<String>) {
        let lambdas = if self.aggregates == spark::aggregate::NAMES { crate::spark::lambda::NAMES } else { &[] };
        let scalar = self.scalar.keys().chain(lambdas).filter(|name| !name.starts_with('$'));
        let mut scalar: Vec<String> = scalar.map(|name| (*name).to_owned()).collect();
        scalar.sort_unstable();
        (scalar, self.aggregates.iter().map(|name| (*name).to_owned()).collect())
    }
}

/// Names of the scalar functions and of the aggregates that queries may call, in lower case, sorted.
pub fn function_names(dialect: Dialect) -> (Vec<String>, Vec<String>) {
    Functions::of(dialect).names()
}

/// A wrong number of arguments.
pub(crate) fn arity(name: &str, wanted: &str) -> Error {
    Error::usage("sql.arguments", format!("{name} takes {wanted}"))
}

/// Arguments of types that the function does not take.
pub(crate) fn refused(name: &str, args: &[Typed]) -> Error {
    let shown: Vec<String> = args.iter().map(|arg| arg.sql_type.to_string()).collect();
    Error::usage("sql.types", format!("{name}({}) is not defined", shown.join(", ")))
        .hint("CAST the arguments to types that it takes; docs/reference/functions.md lists them")
}

fn no_common(name: &str, args: &[Typed]) -> Error {
    let shown: Vec<String> = args.iter().map(|arg| arg.sql_type.to_string()).collect();
    Error::usage("sql.types", format!("the arguments of {name} have no common type: {}", shown.join(", ")))
        .hint("CAST them to one type")
}
