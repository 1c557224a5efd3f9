//! Dialects: a grammar, names, types, functions and rewrites. Which one a statement is of is a value.

mod flink;

use datafusion::sql::sqlparser::dialect::Dialect as Grammar;

use crate::spark::grammar::SparkDialect;
pub(crate) use flink::*;

/// A dialect of SQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Flink SQL.
    #[default]
    Flink,
    /// Spark SQL, which runs as batch.
    Spark,
}

/// Which dialect a text is taken for.
#[derive(Clone, Copy, Debug)]
pub struct Dialects {
    /// The one that was set, whatever the text looks like.
    pub set: Option<Dialect>,
    /// The one of a text that could be either.
    pub usual: Dialect,
}

impl Default for Dialects {
    fn default() -> Self {
        Self { set: None, usual: Dialect::Flink }
    }
}

impl Dialect {
    /// Values of `SET sql.dialect`.
    pub const NAMES: &'static [&'static str] = &["flink", "spark"];

    /// The dialect of a name.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "flink" => Some(Self::Flink),
            "spark" => Some(Self::Spark),
            _ => None,
        }
    }

    /// The name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flink => "flink",
            Self::Spark => "spark",
        }
    }

    /// The page under docs/reference that lists its functions.
    pub(crate) fn functions_page(self) -> &'static str {
        match self {
            Self::Flink => "functions.md",
            Self::Spark => "spark.md",
        }
    }

    /// Its lexical rules.
    pub(crate) fn grammar(self) -> &'static dyn Grammar {
        match self {
            Self::Flink => &FlinkDialect,
            Self::Spark => &SparkDialect,
        }
    }
}
