//! Rewrites of the parsed query that make Flink's forms plain SQL before planning.
//!
//! | Flink | becomes |
//! |---|---|
//! | `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), size))` | `(SELECT *, $tumble_start(ts, size) AS window_start, … FROM t)` |
//! | `GROUP BY TUMBLE(ts, size)` | `GROUP BY $tumble_start(ts, size), $tumble_end(ts, size)` |
//! | `TUMBLE_START(ts, size)`, `TUMBLE_END`, `TUMBLE_ROWTIME` | the bound functions over the same arguments |
//! | `a + b - c`, `a AND b AND c`, … | one call over all operands ([`chain`]) |
//! | `SUBSTRING(s FROM a FOR b)`, `a LIKE b`, `EXTRACT(DAY FROM t)`, … | plain calls ([`forms`]) |
//! | `SELECT a + 1` | `SELECT a + 1 AS EXPR$0` (Flink's column names) |
//!
//! Batch planning sees the same text, so both worlds agree on what a window is.

mod alias;
pub(crate) mod chain;
mod forms;
mod names;
mod pivot;
mod using;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Fetch, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, LimitClause, Query,
    Select, SelectItem, SetExpr, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::parser::Parser;
use headwater_change::{Error, Result};

pub(crate) use names::{Lookup, Tables, base, is_twin, unique_columns};

use crate::dialect::{FlinkDialect, TABLE_MARKER, call, plain_call};
use crate::functions::aggregate;
use crate::functions::forms::CELL;
use crate::functions::window::{TUMBLE_END, TUMBLE_ROWTIME, TUMBLE_START};
use crate::typed::WINDOW_NAMES;

/// Applies all rewrites to a query in place; `lookup` knows the columns of tables.
pub(crate) fn rewrite_query(query: &mut Query, lookup: &Lookup<'_>) -> Result<()> {
    finish(query.visit(&mut Rewriter))?;
    unique_columns(query, Tables { lookup, spark: false }, false)
}

/// Applies the expression rewrites to an expression in place.
pub(crate) fn rewrite_expr(expr: &mut Expr) -> Result<()> {
    finish(expr.visit(&mut Rewriter))
}

pub(crate) fn finish(flow: ControlFlow<Error>) -> Result<()> {
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let TableFactor::TableFunction { expr: Expr::Function(function), alias } = factor else {
            return ControlFlow::Continue(());
        };
        match window_subquery(function) {
            Ok(subquery) => {
                let alias = alias.take();
                *factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        chain::flatten(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let replacement = match &*expr {
            Expr::Function(function) => rewrite_function(function),
            other => forms::plain(other),
        };
        match replacement {
            Ok(Some(replacement)) => *expr = replacement,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        fetch_as_limit(query);
        if let SetExpr::Values(values) = query.body.as_mut() {
            for cell in values.rows.iter_mut().flat_map(|row| row.content.iter_mut()) {
                *cell = plain_call(CELL, vec![cell.clone()]);
            }
            if let Err(error) = name_values(query) {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        add_window_end_to_groups(select);
        name_columns(select);
        ControlFlow::Continue(())
    }
}

/// `FETCH NEXT n ROWS ONLY` is `LIMIT n`.
pub(crate) fn fetch_as_limit(query: &mut Query) {
    let Some(Fetch { quantity: Some(quantity), percent: false, with_ties: false }) = &query.fetch else { return };
    match &mut query.limit_clause {
        None => {
            let limit = Some(quantity.clone());
            query.limit_clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() });
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(quantity.clone()),
        Some(_) => return,
    }
    query.fetch = None;
}

fn unsupported(what: &str) -> Error {
    Error::usage("sql.unsupported", format!("{what} is not supported yet"))
        .hint("windows supported now: TUMBLE, as a table function or in GROUP BY")
}

/// The name of an unqualified function in upper case.
pub(crate) fn function_name(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.to_ascii_uppercase()),
        _ => None,
    }
}

/// Arguments with their names in upper case; positional ones get the names of `order`.
fn arguments(function: &Function, order: &[&str]) -> Option<BTreeMap<String, Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let mut found = BTreeMap::new();
    for (index, argument) in list.args.iter().enumerate() {
        let (name, value) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => ((*order.get(index)?).to_owned(), value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                (name.value.to_ascii_uppercase(), value)
            }
            _ => return None,
        };
        found.insert(name, value.clone());
    }
    Some(found)
}

pub(crate) fn positional(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
            _ => None,
        })
        .collect()
}

/// `TUMBLE(TABLE t, DESCRIPTOR(ts), size [, offset])` as a subquery that adds the window's columns.
fn window_subquery(function: &Function) -> Result<Box<Query>> {
    let name = function_name(function).unwrap_or_default();
    if name != "TUMBLE" {
        return Err(unsupported(&format!("the table function {name}")));
    }
    let misuse = || {
        Error::usage("sql.window", "a window table function needs a table, a time column and a size")
            .hint("write TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND))")
    };
    let arguments = arguments(function, &["DATA", "TIMECOL", "SIZE", "OFFSET"]).ok_or_else(misuse)?;
    let inner = |name: &str, marker: &str| match arguments.get(name) {
        Some(Expr::Function(function)) if function_name(function).as_deref() == Some(marker) => {
            positional(function).and_then(|inner| inner.first().cloned())
        }
        _ => None,
    };
    let table = inner("DATA", &TABLE_MARKER.to_ascii_uppercase()).ok_or_else(misuse)?;
    let time = inner("TIMECOL", "DESCRIPTOR").ok_or_else(misuse)?;
    let size = arguments.get("SIZE").ok_or_else(misuse)?;
    let offset = arguments.get("OFFSET").map(|offset| format!(", {offset}")).unwrap_or_default();
    let table = quoted(&table).ok_or_else(misuse)?;
    let time = quoted(&time).ok_or_else(misuse)?;
    let bound = |function: &str| format!("{function}({time}, {size}{offset})");
    let text = format!(
        "SELECT *, {} AS window_start, {} AS window_end, {} AS window_time FROM {table}",
        bound(TUMBLE_START),
        bound(TUMBLE_END),
        bound(TUMBLE_ROWTIME)
    );
    let dialect = FlinkDialect;
    Parser::new(&dialect)
        .try_with_sql(&text)
        .and_then(|mut parser| parser.parse_query())
        .map_err(|error| Error::bug("sql.window", "a window could not be rewritten").caused_by(error))
}

/// A column or table name with its parts in backticks.
fn quoted(expr: &Expr) -> Option<String> {
    let quote = |ident: &Ident| format!("`{}`", ident.value.replace('`', "``"));
    match expr {
        Expr::Identifier(ident) => Some(quote(ident)),
        Expr::CompoundIdentifier(parts) => Some(parts.iter().map(quote).collect::<Vec<_>>().join(".")),
        _ => None,
    }
}

fn rewrite_function(function: &Function) -> Result<Option<Expr>> {
    let Some(name) = function_name(function) else { return Ok(None) };
    let over = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(&name));
    if function.over.is_some() && !over(WINDOW_NAMES) && !over(aggregate::NAMES) {
        return Err(Error::usage("sql.window", format!("{name} is not computed OVER a window of rows")));
    }
    let Some(args) = positional(function) else { return Ok(None) };
    let bound = |target: &str| {
        let args = args.iter().cloned().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
        Ok(Some(call(target, args)))
    };
    match (name.as_str(), args.as_slice()) {
        ("TUMBLE" | "TUMBLE_START", [_, _] | [_, _, _]) => bound(TUMBLE_START),
        ("TUMBLE_END", [_, _] | [_, _, _]) => bound(TUMBLE_END),
        ("TUMBLE_ROWTIME", [_, _] | [_, _, _]) => bound(TUMBLE_ROWTIME),
        ("HOP" | "SESSION" | "CUMULATE" | "HOP_START" | "HOP_END" | "SESSION_START" | "SESSION_END", _) => {
            Err(unsupported(&format!("the window {name}")))
        }
        ("TIMESTAMPDIFF" | "TIMESTAMPADD", [unit, rest @ ..]) => Ok(forms::with_unit(&name, unit, rest)),
        _ => Ok(None),
    }
}

fn is_call(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Function(function) if function_name(function).is_some_and(|found| found.eq_ignore_ascii_case(name)))
}

/// Whether an expression is a bound of a window.
fn is_window_bound(expr: &Expr) -> bool {
    [TUMBLE_START, TUMBLE_END, TUMBLE_ROWTIME].iter().any(|name| is_call(expr, name))
}

/// `GROUP BY TUMBLE(…)` groups by both bounds, so that `TUMBLE_END` in the projection is a grouped expression.
fn add_window_end_to_groups(select: &mut Select) {
    let GroupByExpr::Expressions(groups, _) = &mut select.group_by else { return };
    let ends: Vec<Expr> = groups
        .iter()
        .filter(|group| is_call(group, TUMBLE_START))
        .flat_map(|group| [renamed(group, TUMBLE_END), renamed(group, TUMBLE_ROWTIME)])
        .collect();
    for end in ends {
        if !groups.contains(&end) {
            groups.push(end);
        }
    }
}

fn renamed(expr: &Expr, name: &str) -> Expr {
    let mut expr = expr.clone();
    if let Expr::Function(function) = &mut expr {
        function.name = Ident::new(name).into();
    }
    expr
}

/// `VALUES (1, 'a')` has Flink's names `EXPR$0`, `EXPR$1`.
fn name_values(query: &mut Query) -> Result<()> {
    let SetExpr::Values(values) = query.body.as_ref() else { return Ok(()) };
    let width = values.rows.first().map_or(0, |row| row.content.len());
    let columns: Vec<String> = (0..width).map(|index| format!("column{} AS `EXPR${index}`", index + 1)).collect();
    let text = format!("SELECT {} FROM (VALUES (0)) AS `$values`", columns.join(", "));
    let dialect = FlinkDialect;
    let named = Parser::new(&dialect).try_with_sql(&text).and_then(|mut parser| parser.parse_query());
    let mut named = named.map_err(|error| Error::bug("sql.values", "the columns of VALUES").caused_by(error))?;
    if let SetExpr::Select(select) = named.body.as_mut()
        && let Some(TableFactor::Derived { subquery, .. }) = select.from.first_mut().map(|from| &mut from.relation)
    {
        std::mem::swap(&mut subquery.body, &mut query.body);
    }
    query.body = named.body;
    Ok(())
}

/// Gives unnamed expressions Flink's names `EXPR$0`, `EXPR$1`, ….
fn name_columns(select: &mut Select) {
    for (index, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expr) = item
            && let Some(column) = column_in_parentheses(expr)
        {
            *expr = column;
        }
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            *item = SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias: Ident::with_quote('`', format!("EXPR${index}")),
            };
        }
    }
}

/// `((a))` is the column `a`.
fn column_in_parentheses(expr: &Expr) -> Option<Expr> {
    let Expr::Nested(mut inner) = expr.clone() else { return None };
    while let Expr::Nested(deeper) = *inner {
        inner = deeper;
    }
    matches!(*inner, Expr::Identifier(_) | Expr::CompoundIdentifier(_)).then_some(*inner)
}

/// For output that must say which window a row belongs to: puts `window_end` first in a windowed query that selects
/// none of its bounds. Expects a rewritten query.
pub(crate) fn add_window_end(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let GroupByExpr::Expressions(groups, _) = &select.group_by else { return };
    let Some(end) = groups.iter().find(|group| is_call(group, TUMBLE_END) || is_column(group, "window_end")) else {
        return;
    };
    let shows_bounds = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => mentions_bounds(expr),
        _ => true,
    });
    if !shows_bounds {
        let item = SelectItem::ExprWithAlias { expr: end.clone(), alias: Ident::new("window_end") };
        select.projection.insert(0, item);
    }
}

fn is_column(expr: &Expr, name: &str) -> bool {
    match expr {
        Expr::Identifier(ident) => ident.value == name,
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|part| part.value == name),
        _ => false,
    }
}

fn mentions_bounds(expr: &Expr) -> bool {
    let mut expr = expr.clone();
    let mut finder = BoundFinder(false);
    let _ = expr.visit(&mut finder);
    finder.0
}

struct BoundFinder(bool);

impl VisitorMut for BoundFinder {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let columns = ["window_start", "window_end", "window_time"];
        self.0 |= columns.iter().any(|name| is_column(expr, name)) || is_window_bound(expr);
        ControlFlow::Continue(())
    }
}
