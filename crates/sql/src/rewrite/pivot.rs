//! `PIVOT` and `UNPIVOT` as plain queries, where the columns of their table are known.
//!
//! | form | becomes |
//! |---|---|
//! | `t PIVOT (SUM(v) FOR k IN ('a', 'b'))` | `(SELECT rest, SUM(v) FILTER (WHERE k <=> 'a') AS a, … FROM t GROUP BY rest)` |
//! | `t UNPIVOT (v FOR n IN (p, q))` | `(SELECT rest, $each(array('p', 'q')) AS n, $each(array(p, q)) AS v FROM t)` |

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ExprWithAlias, Function, GroupByExpr, Ident, NullInclusion, PivotValueSource, Query, SelectItem, SetExpr,
    TableAlias, TableFactor, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::parser::Parser;
use headwater_change::{Error, Result};

use super::{function_name, positional};
use crate::dialect::{LITERAL, plain_call, text};
use crate::spark::functions::aggregate::NAMES;
use crate::spark::functions::collection::UNPIVOTED;
use crate::spark::grammar::SparkDialect;
use crate::typed::EACH;

/// The table that a form makes, and its columns.
pub(super) type Made = (TableFactor, Vec<String>);

fn unsupported(what: &str) -> Error {
    Error::usage("sql.unsupported", format!("{what} is not supported yet"))
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('`', name)
}

fn item(name: &str, expr: Expr) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: quoted(name) }
}

fn column(name: &str) -> SelectItem {
    SelectItem::UnnamedExpr(Expr::Identifier(quoted(name)))
}

/// `SELECT items FROM table [WHERE filter] [GROUP BY groups]`.
fn select(items: Vec<SelectItem>, table: TableFactor, filter: Option<Expr>, groups: Vec<Expr>) -> Result<Query> {
    let dialect = SparkDialect;
    let parsed = Parser::new(&dialect).try_with_sql("SELECT 1 FROM t").and_then(|mut parser| parser.parse_query());
    let mut query = *parsed.map_err(|error| Error::bug("sql.pivot", "the query of a pivot").caused_by(error))?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items;
        select.selection = filter;
        select.group_by = GroupByExpr::Expressions(groups, Vec::new());
        if let Some(from) = select.from.first_mut() {
            from.relation = table;
        }
    }
    Ok(query)
}

fn derived(query: Query, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::Derived { lateral: false, subquery: Box::new(query), alias, sample: None }
}

/// The names that an expression calls.
fn mentioned(expr: &Expr) -> Vec<String> {
    struct Names(Vec<String>);
    impl VisitorMut for Names {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(name) => self.0.push(name.value.clone()),
                Expr::CompoundIdentifier(parts) => self.0.extend(parts.iter().map(|part| part.value.clone())),
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new());
    let _ = expr.clone().visit(&mut names);
    names.0
}

/// The aggregates of an expression over the rows of a condition only; where there are none, NULL.
fn filtered(expr: &Expr, condition: &Expr) -> Expr {
    struct Filter<'a>(&'a Expr);
    impl VisitorMut for Filter<'_> {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let is_aggregate = |function: &Function| {
                function_name(function).is_some_and(|name| NAMES.contains(&name.to_lowercase().as_str()))
            };
            if let Expr::Function(function) = expr
                && is_aggregate(function)
            {
                let condition = Box::new(self.0.clone());
                function.filter = Some(match function.filter.take() {
                    Some(own) => Box::new(plain_call("$and", vec![*own, *condition])),
                    None => condition,
                });
            }
            ControlFlow::Continue(())
        }
    }
    let mut found = expr.clone();
    let _ = found.visit(&mut Filter(condition));
    let mut any = plain_call("bool_or", vec![Expr::value(Value::Boolean(true))]);
    let _ = any.visit(&mut Filter(condition));
    plain_call("if", vec![any, found, Expr::value(Value::Null)])
}

/// What a value of IN is called by.
fn value_name(value: &ExprWithAlias) -> Result<String> {
    if let Some(alias) = &value.alias {
        return Ok(alias.value.clone());
    }
    let written = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            Value::Number(digits, _) => Some(digits.clone()),
            Value::Boolean(truth) => Some(truth.to_string()),
            Value::Null => Some("null".to_owned()),
            _ => None,
        },
        _ => None,
    };
    let found = match &value.expr {
        Expr::Function(function) if function_name(function).is_some_and(|name| name.eq_ignore_ascii_case(LITERAL)) => {
            positional(function).and_then(|args| args.get(1).and_then(written))
        }
        expr => written(expr),
    };
    found.ok_or_else(|| unsupported("a value of PIVOT without a name").hint("write IN (value AS name, …)"))
}

/// `PIVOT`, once the columns of its table are known.
pub(super) fn pivot(
    table: TableFactor,
    columns: &[String],
    aggregates: &[ExprWithAlias],
    by: &[Expr],
    values: &PivotValueSource,
    alias: Option<TableAlias>,
) -> Result<Made> {
    let PivotValueSource::List(values) = values else { return Err(unsupported("PIVOT without a list of values")) };
    let [by] = by else { return Err(unsupported("PIVOT over several columns")) };
    let used: Vec<String> = aggregates.iter().map(|one| &one.expr).chain([by]).flat_map(mentioned).collect();
    let rest: Vec<&String> = columns.iter().filter(|name| !used.contains(name)).collect();
    let mut items: Vec<SelectItem> = rest.iter().map(|name| column(name)).collect();
    let mut names: Vec<String> = rest.iter().map(|name| (*name).clone()).collect();
    for value in values {
        let condition = plain_call("$<=>", vec![by.clone(), value.expr.clone()]);
        let called = value_name(value)?;
        for aggregate in aggregates {
            let name = match (aggregates, &aggregate.alias) {
                ([_], _) => called.clone(),
                (_, Some(alias)) => format!("{called}_{}", alias.value),
                (_, None) => format!("{called}_{}", aggregate.expr.to_string().replace('`', "").to_lowercase()),
            };
            items.push(item(&name, filtered(&aggregate.expr, &condition)));
            names.push(name);
        }
    }
    let groups = rest.iter().map(|name| Expr::Identifier(quoted(name))).collect();
    Ok((derived(select(items, table, None, groups)?, alias), names))
}

/// `UNPIVOT`, once the columns of its table are known.
pub(super) fn unpivot(
    table: TableFactor,
    columns: &[String],
    (value, name): (&Expr, &Ident),
    of: &[ExprWithAlias],
    nulls: Option<&NullInclusion>,
    alias: Option<TableAlias>,
) -> Result<Made> {
    let Expr::Identifier(value) = value else { return Err(unsupported("UNPIVOT of several values")) };
    let mut called = Vec::with_capacity(of.len());
    for column in of {
        let Expr::Identifier(ident) = &column.expr else { return Err(unsupported("UNPIVOT of several values")) };
        called.push((&ident.value, column.alias.as_ref().unwrap_or(ident)));
    }
    let rest = || columns.iter().filter(|column| called.iter().all(|(name, _)| name != column));
    let each = |array: Expr| plain_call(EACH, vec![array]);
    let labels = called.iter().map(|(_, label)| text(&label.value)).collect();
    let cells = of.iter().map(|column| column.expr.clone()).collect();
    let mut items: Vec<SelectItem> = rest().map(|name| column(name)).collect();
    items.push(item(&name.value, each(plain_call("array", labels))));
    items.push(item(&value.value, each(plain_call(UNPIVOTED, cells))));
    let names: Vec<String> = rest().chain([&name.value, &value.value]).cloned().collect();
    let all = select(items, table, None, Vec::new())?;
    if matches!(nulls, Some(NullInclusion::IncludeNulls)) {
        return Ok((derived(all, alias), names));
    }
    let there = Expr::IsNotNull(Box::new(Expr::Identifier(quoted(&value.value))));
    let inner = TableAlias { explicit: true, name: quoted("$unpivot"), columns: Vec::new(), at: None };
    let kept =
        select(names.iter().map(|name| column(name)).collect(), derived(all, Some(inner)), Some(there), Vec::new())?;
    Ok((derived(kept, alias), names))
}
