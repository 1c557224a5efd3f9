//! Columns of a list that call one before them: `SELECT x + 1 AS y, y * 2` is `SELECT x + 1 AS y, (x + 1) * 2`, where no
//! table has a column `y`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Function, Query, Select, SelectItem, VisitMut, VisitorMut};
use headwater_change::{Error, Result};

use super::function_name;
use crate::spark::functions::aggregate::NAMES;

/// Writes out what is called by a name of the list. `columns` are those of FROM.
pub(super) fn resolve(select: &mut Select, columns: &[String]) -> Result<()> {
    let mut before: Vec<(String, Expr)> = Vec::new();
    for item in &mut select.projection {
        let expr = match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
            _ => continue,
        };
        let mut resolver = Resolver { before: &before, columns, queries: 0, aggregates: 0 };
        super::finish(expr.visit(&mut resolver))?;
        if let SelectItem::ExprWithAlias { expr, alias } = item {
            before.push((alias.value.clone(), expr.clone()));
        }
    }
    Ok(())
}

struct Resolver<'a> {
    before: &'a [(String, Expr)],
    columns: &'a [String],
    /// How many queries and aggregates are open around an expression.
    queries: usize,
    aggregates: usize,
}

/// Whether a function is computed over rows, of a group or of a window.
fn aggregates(function: &Function) -> bool {
    function.over.is_some() || function_name(function).is_some_and(|name| NAMES.contains(&name.to_lowercase().as_str()))
}

impl VisitorMut for Resolver<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Function(function) = expr
            && aggregates(function)
        {
            self.aggregates += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Function(function) if aggregates(function) => self.aggregates -= 1,
            Expr::Identifier(name) if self.queries == 0 && !self.columns.contains(&name.value) => {
                let mut meant = self.before.iter().filter(|(alias, _)| *alias == name.value);
                let refused =
                    |what: &str| ControlFlow::Break(Error::usage("sql.alias", format!("'{}' {what}", name.value)));
                match (meant.next(), meant.next()) {
                    (Some(_), Some(_)) => return refused("is the name of several columns of the list"),
                    (Some(_), None) if self.aggregates > 0 => {
                        return refused("is a column of the same list: what is computed over rows cannot use it");
                    }
                    (Some((_, meaning)), None) => *expr = Expr::Nested(Box::new(meaning.clone())),
                    (None, _) => {}
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
