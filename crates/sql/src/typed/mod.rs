//! Types, by Flink's rules: the one place that decides what an expression means. A plan comes in as DataFusion's planner
//! made it, with names resolved and everything else unbound; it goes out with operators and functions whose operands agree
//! exactly, so that no coercion of the engine below has anything left to do.
//!
//! * `relation`: from the leaves up; each relation's columns are known before the expressions over them
//! * `join`, `window`, `subquery`: relations that say more than their inputs
//! * `generate`: rows made of arrays
//! * `expression`: operators, branches, predicates, calls
//! * `literal`: constants
//!
//! What Flink refuses is refused here; so is what is not known to mean what Flink means by it.

mod expression;
mod generate;
mod join;
mod literal;
mod relation;
mod subquery;
mod window;

use std::collections::BTreeMap;

use datafusion::common::{DFSchema, DataFusionError, TableReference};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{Alias, FieldMetadata};
use headwater_change::{Result, TimeZone};

use crate::dialect::Dialect;
use crate::functions::{Functions, ValueText};
use crate::session::ours;
use crate::types::SqlType;

pub(crate) use expression::{convert, evaluate, fallible, operator_name};
pub(crate) use generate::EACH;
pub(crate) use literal::{
    constant, interval, interval_constant, null, timestamp as timestamp_constant, typed_text, whole_constant,
};
pub(crate) use window::{NAMES as WINDOW_NAMES, function as window_function};

/// What the meaning of an expression depends on beside its operands.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The functions by name.
    pub(crate) functions: &'a Functions,
    /// Whose meaning it is.
    pub(crate) dialect: Dialect,
    /// Whether what cannot be computed fails in Spark.
    pub(crate) ansi: bool,
    /// The session's time zone.
    pub(crate) zone: TimeZone,
    /// Text of values, as `CAST(x AS STRING)` gives it.
    pub(crate) text: ValueText,
    /// When the statement began, in microseconds since 1970.
    pub(crate) now: i64,
    /// Columns of the queries around this one.
    pub(crate) outer: Option<&'a Scope<'a>>,
    /// Variables of the lambdas around an expression, the innermost first.
    pub(crate) variables: Option<&'a Variable<'a>>,
}

/// A variable of a lambda.
#[derive(Clone, Debug)]
pub(crate) struct Variable<'a> {
    pub(crate) name: &'a str,
    /// The column that it is in the lambda's body.
    pub(crate) column: String,
    pub(crate) sql_type: SqlType,
    pub(crate) depth: usize,
    pub(crate) outer: Option<&'a Variable<'a>>,
}

/// Columns that a subquery may refer to: those of the query around it, and of the one around that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    schema: &'a DFSchema,
    outer: Option<&'a Scope<'a>>,
}

/// An expression with its type.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) sql_type: SqlType,
    pub(crate) nullable: bool,
}

impl Typed {
    pub(crate) fn new(expr: Expr, sql_type: SqlType, nullable: bool) -> Self {
        Self { expr, sql_type, nullable }
    }

    /// The expression as a column `name` that says its whole type.
    fn named(self, relation: Option<TableReference>, name: &str) -> Expr {
        let metadata = self.sql_type.metadata().map(|entry| FieldMetadata::from(BTreeMap::from([entry])));
        match (&self.expr, &metadata) {
            // A column says it already.
            (Expr::Column(column), _) if column.name == name && column.relation == relation => self.expr,
            _ => Expr::Alias(Alias { expr: Box::new(self.expr), relation, name: name.to_owned(), metadata }),
        }
    }
}

type Planned<T> = std::result::Result<T, DataFusionError>;

impl Context<'_> {
    /// Settles the types of one expression over the columns of `schema`.
    pub(crate) fn single(&self, expr: &Expr, schema: &DFSchema) -> Planned<Typed> {
        self.expr(expr, schema).map_err(ours)
    }

    /// Expressions as columns under the names that they had.
    fn columns(&self, exprs: &[Expr], schema: &DFSchema) -> Planned<Vec<Expr>> {
        let column = |expr: &Expr| {
            let (relation, name) = expr.qualified_name();
            self.expr(expr, schema).map(|typed| typed.named(relation, &name)).map_err(ours)
        };
        exprs.iter().map(column).collect()
    }

    /// A condition, which must be BOOLEAN.
    fn predicate(&self, expr: &Expr, schema: &DFSchema, place: &str) -> Result<Expr> {
        let typed = self.expr(expr, schema)?;
        match typed.sql_type {
            SqlType::Boolean => Ok(typed.expr),
            other => Err(headwater_change::Error::usage("sql.types", format!("{place} takes a BOOLEAN, not {other}"))),
        }
    }
}
