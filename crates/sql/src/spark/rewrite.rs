//! Forms of Spark's queries as plain SQL.
//!
//! | Spark | becomes |
//! |---|---|
//! | `VALUES (1, 'a')` | columns `col1`, `col2` |
//! | `GROUP BY ALL`, `WITH ROLLUP`, `WITH CUBE` | the groups written out |
//! | `SORT BY`, `DISTRIBUTE BY` | `ORDER BY`, nothing |
//! | `MINUS` | `EXCEPT` |
//! | `COUNT(DISTINCT a, b)` | a count of structs |
//! | `APPROX_COUNT_DISTINCT(a)` | `COUNT(DISTINCT a)` |
//! | `PERCENTILE_CONT(p) WITHIN GROUP (ORDER BY x)` | `PERCENTILE_CONT(x, p)` |
//! | `a LIKE b`, `EXTRACT(DAY FROM t)`, `a[1]`, … | calls |

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CeilFloorKind, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, GroupByExpr, GroupByWithModifier, Ident, LimitClause, OneOrManyWithParens,
    OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, Subscript, TableFactor, UnaryOperator,
    Value, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::parser::Parser;
use headwater_change::{Error, Result};

use super::functions::aggregate::NAMES;
use super::generate;
use super::grammar::SparkDialect;
use super::lambda;
use crate::dialect::{LITERAL, plain_call, text};
use crate::functions::forms::CELL;
use crate::rewrite::{Lookup, Tables, chain, fetch_as_limit, finish, function_name, positional, unique_columns};

/// Applies all rewrites to a query in place; `lookup` knows the columns of tables. The columns of one whose result is printed
/// have readable names.
pub(crate) fn rewrite_query(query: &mut Query, lookup: &Lookup<'_>, printed: bool) -> Result<()> {
    finish(query.visit(&mut Rewriter))?;
    unique_columns(query, Tables { lookup, spark: true }, printed)
}

/// Applies the expression rewrites to an expression in place.
pub(crate) fn rewrite_expr(expr: &mut Expr) -> Result<()> {
    finish(expr.visit(&mut Rewriter))
}

struct Rewriter;

fn unsupported(what: &str) -> Error {
    Error::usage("sql.unsupported", format!("{what} is not supported yet"))
}

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if let Err(error) = generate::in_projection(select).and_then(|()| generate::lateral_views(select)) {
            return ControlFlow::Break(error);
        }
        // Columns are called by what is written, before forms become calls.
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
            {
                let name = column_name(expr);
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('`', name) };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        chain::flatten(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let replacement = match &*expr {
            Expr::Function(function) => of_function(function),
            other => plain(other),
        };
        match replacement {
            Ok(Some(replacement)) => *expr = replacement,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match generate::as_table(factor) {
            Ok(Some(table)) => *factor = table,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        let what = match factor {
            TableFactor::Function { .. } | TableFactor::TableFunction { .. } => "such a function as a table",
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => "TABLESAMPLE",
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(unsupported(what))
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        minus(&mut query.body);
        fetch_as_limit(query);
        if let Err(error) = sorted(query).and_then(|()| values(query)) {
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if select.qualify.as_ref().is_some_and(has_aggregate) {
            return ControlFlow::Break(unsupported("an aggregate in QUALIFY"));
        }
        select.distribute_by.clear();
        match groups(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// What Spark calls a column of an expression, nearly.
fn column_name(expr: &Expr) -> String {
    expr.to_string().replace('`', "").replace("$literal(", "(").to_lowercase()
}

fn minus(body: &mut SetExpr) {
    if let SetExpr::SetOperation { op, left, right, .. } = body {
        if *op == SetOperator::Minus {
            *op = SetOperator::Except;
        }
        minus(left);
        minus(right);
    }
}

/// `SORT BY` and `CLUSTER BY` sort parts of the result; here it is one part.
fn sorted(query: &mut Query) -> Result<()> {
    if let Some(LimitClause::LimitOffset { limit_by, .. }) = &query.limit_clause
        && !limit_by.is_empty()
    {
        return Err(unsupported("LIMIT BY"));
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return Ok(()) };
    let exprs = std::mem::take(&mut select.sort_by);
    select.cluster_by.clear();
    if !exprs.is_empty() && query.order_by.is_none() {
        query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(exprs), interpolate: None });
    }
    Ok(())
}

fn values(query: &mut Query) -> Result<()> {
    let SetExpr::Values(found) = query.body.as_mut() else { return Ok(()) };
    for cell in found.rows.iter_mut().flat_map(|row| row.content.iter_mut()) {
        *cell = plain_call(CELL, vec![cell.clone()]);
    }
    let width = found.rows.first().map_or(0, |row| row.content.len());
    let columns: Vec<String> = (1..=width).map(|index| format!("column{index} AS `col{index}`")).collect();
    let text = format!("SELECT {} FROM (VALUES (0)) AS `$values`", columns.join(", "));
    let dialect = SparkDialect;
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

/// `GROUP BY ALL` and the modifiers.
fn groups(select: &mut Select) -> Result<()> {
    let (exprs, modifiers) = match &select.group_by {
        GroupByExpr::All(modifiers) => {
            let items = select.projection.iter().filter_map(|item| match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    (!has_aggregate(expr)).then(|| expr.clone())
                }
                _ => None,
            });
            (items.collect::<Vec<_>>(), modifiers.clone())
        }
        GroupByExpr::Expressions(exprs, modifiers) if !modifiers.is_empty() => (exprs.clone(), modifiers.clone()),
        GroupByExpr::Expressions(..) => return Ok(()),
    };
    let each = || exprs.iter().map(|expr| vec![expr.clone()]).collect::<Vec<_>>();
    let exprs = match modifiers.first() {
        Some(GroupByWithModifier::Rollup) => vec![Expr::Rollup(each())],
        Some(GroupByWithModifier::Cube) => vec![Expr::Cube(each())],
        Some(GroupByWithModifier::GroupingSets(sets)) => {
            // GROUPING_ID counts by the order of what is grouped by, which here is that of the sets.
            let Expr::GroupingSets(found) = sets else { return Err(unsupported("such GROUPING SETS")) };
            let mut order: Vec<&Expr> = Vec::new();
            for expr in found.iter().flatten() {
                if !order.contains(&expr) {
                    order.push(expr);
                }
            }
            let counts = |item: &SelectItem| item.to_string().to_lowercase().contains("grouping_id");
            if order.iter().any(|expr| !exprs.contains(expr))
                || !order.iter().copied().eq(&exprs) && select.projection.iter().any(counts)
            {
                return Err(unsupported("GROUP BY … GROUPING SETS of other columns or in another order"));
            }
            vec![sets.clone()]
        }
        _ => exprs,
    };
    select.group_by = GroupByExpr::Expressions(exprs, Vec::new());
    Ok(())
}

fn has_aggregate(expr: &Expr) -> bool {
    struct Finder(bool);
    impl VisitorMut for Finder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && function.over.is_none()
            {
                self.0 |= function_name(function).is_some_and(|name| NAMES.contains(&name.to_lowercase().as_str()));
            }
            ControlFlow::Continue(())
        }
    }
    let mut finder = Finder(false);
    let _ = expr.clone().visit(&mut finder);
    finder.0
}

fn not(negated: bool, found: Expr) -> Expr {
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(found) } } else { found }
}

/// The call that stands for a form, or `None` for what is plain already.
fn plain(expr: &Expr) -> Result<Option<Expr>> {
    let inner = |inner: &Expr| inner.clone();
    Ok(Some(match expr {
        Expr::Value(value) => return Ok(literal(&value.value)),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => plain_call("positive", vec![inner(expr)]),
        Expr::UnaryOp { op: UnaryOperator::BangNot, expr } => not(true, inner(expr)),
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr } => plain_call("$~", vec![inner(expr)]),
        Expr::BinaryOp { left, op, right } => {
            let name = match op {
                BinaryOperator::BitwiseAnd => "$&",
                BinaryOperator::BitwiseOr => "$|",
                BinaryOperator::BitwiseXor => "$^",
                BinaryOperator::PGBitwiseShiftLeft => "shiftleft",
                BinaryOperator::PGBitwiseShiftRight => "shiftright",
                BinaryOperator::Spaceship => "$<=>",
                _ => return Ok(None),
            };
            plain_call(name, vec![inner(left), inner(right)])
        }
        Expr::IsDistinctFrom(a, b) => plain_call("$distinct", vec![inner(a), inner(b)]),
        Expr::IsNotDistinctFrom(a, b) => plain_call("$<=>", vec![inner(a), inner(b)]),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let mut args = vec![inner(expr)];
            args.extend(substring_from.as_deref().cloned());
            args.extend(substring_for.as_deref().cloned());
            plain_call("substring", args)
        }
        Expr::Position { expr, r#in } => plain_call("position", vec![inner(expr), inner(r#in)]),
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let mut args = vec![inner(expr), inner(overlay_what), inner(overlay_from)];
            args.extend(overlay_for.as_deref().cloned());
            plain_call("$overlay", args)
        }
        Expr::Extract { field, expr, .. } => plain_call("$extract", vec![text(&field.to_string()), inner(expr)]),
        Expr::Ceil { expr, field } => rounding("ceil", expr, field)?,
        Expr::Floor { expr, field } => rounding("floor", expr, field)?,
        Expr::Like { negated, any, expr, pattern, escape_char } => {
            like("$like", *negated, *any, expr, pattern, escape_char.as_ref())
        }
        Expr::ILike { negated, any, expr, pattern, escape_char } => {
            like("$ilike", *negated, *any, expr, pattern, escape_char.as_ref())
        }
        Expr::RLike { negated, expr, pattern, .. } => {
            not(*negated, plain_call("rlike", vec![inner(expr), inner(pattern)]))
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut found = inner(root);
            for access in access_chain {
                found = match access {
                    AccessExpr::Subscript(Subscript::Index { index }) => plain_call("$get", vec![found, index.clone()]),
                    AccessExpr::Dot(Expr::Identifier(name)) => plain_call("$field", vec![found, text(&name.value)]),
                    _ => return Err(unsupported("such an access")),
                };
            }
            found
        }
        _ => return Ok(None),
    }))
}

fn literal(value: &Value) -> Option<Expr> {
    match value {
        Value::Number(digits, true) => Some(plain_call(LITERAL, vec![text("BIGINT"), text(digits)])),
        Value::Number(digits, _) => {
            let kind = if digits.contains(['e', 'E']) {
                "DOUBLE"
            } else if digits.contains('.') {
                "DECIMAL"
            } else {
                match digits.parse::<u64>() {
                    Ok(number) if number <= 1 << 63 => return None,
                    _ => "DECIMAL",
                }
            };
            Some(plain_call(LITERAL, vec![text(kind), text(digits)]))
        }
        Value::DoubleQuotedString(found) => Some(text(found)),
        Value::HexStringLiteral(digits) => Some(plain_call(LITERAL, vec![text("BINARY"), text(digits)])),
        _ => None,
    }
}

fn rounding(function: &str, value: &Expr, field: &CeilFloorKind) -> Result<Expr> {
    Ok(match field {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => plain_call(function, vec![value.clone()]),
        CeilFloorKind::Scale(places) => plain_call(function, vec![value.clone(), Expr::Value(places.clone())]),
        CeilFloorKind::DateTimeField(_) => {
            return Err(unsupported(&format!("{} of a time", function.to_uppercase())));
        }
    })
}

fn like(
    function: &str,
    negated: bool,
    any: bool,
    value: &Expr,
    pattern: &Expr,
    escape: Option<&ValueWithSpan>,
) -> Expr {
    let one = |pattern: &Expr| {
        let mut args = vec![value.clone(), pattern.clone()];
        args.extend(escape.map(|escape| match &escape.value {
            Value::DoubleQuotedString(found) => text(found),
            _ => Expr::Value(escape.clone()),
        }));
        plain_call(function, args)
    };
    let each = |patterns: &[Expr]| patterns.iter().map(|pattern| not(negated, one(pattern))).collect::<Vec<_>>();
    // NOT LIKE ANY: one of them does not match.
    match pattern {
        Expr::Tuple(patterns) if any => plain_call("$or", each(patterns)),
        Expr::Nested(only) if any => not(negated, one(only)),
        Expr::Function(function) => {
            let patterns = positional(function).filter(|patterns| !patterns.is_empty());
            match (function_name(function).as_deref(), patterns) {
                (Some("ALL"), Some(patterns)) => plain_call("$and", each(&patterns)),
                (Some("ANY" | "SOME"), Some(patterns)) => plain_call("$or", each(&patterns)),
                _ => not(negated, one(pattern)),
            }
        }
        pattern => not(negated, one(pattern)),
    }
}

/// `f(a, x -> x + 1)` as `$lambda:f(a, $lambda('x', $var('x') + 1))`.
fn lambda_call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    let arg = |arg: Expr| {
        let Expr::Lambda(lambda) = arg else { return arg };
        let names: Vec<String> = match lambda.params {
            OneOrManyWithParens::One(one) => vec![one.name.value],
            OneOrManyWithParens::Many(many) => many.into_iter().map(|one| one.name.value).collect(),
        };
        let mut body = *lambda.body;
        let _ = body.visit(&mut Variables(&names));
        plain_call(lambda::LAMBDA, names.iter().map(|name| text(name)).chain([body]).collect())
    };
    Ok(plain_call(&format!("{}{name}", lambda::CALL), args.into_iter().map(arg).collect()))
}

/// Names of a lambda's variables in its body, as calls.
struct Variables<'a>(&'a [String]);

impl VisitorMut for Variables<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_variable = |ident: &Ident| self.0.contains(&ident.value);
        let variable = |ident: &Ident| plain_call(lambda::VARIABLE, vec![text(&ident.value)]);
        match expr {
            Expr::Identifier(ident) if is_variable(ident) => *expr = variable(ident),
            Expr::CompoundIdentifier(parts) => {
                if let Some((first, fields)) = parts.split_first().filter(|(first, _)| is_variable(first)) {
                    let field = |of: Expr, field: &Ident| plain_call("$field", vec![of, text(&field.value)]);
                    *expr = fields.iter().fold(variable(first), field);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn of_function(function: &Function) -> Result<Option<Expr>> {
    let Some(name) = function_name(function) else { return Ok(None) };
    let Some(args) = positional(function) else { return Ok(None) };
    if lambda::NAMES.contains(&name.to_lowercase().as_str()) && args.iter().any(|arg| matches!(arg, Expr::Lambda(_))) {
        return lambda_call(&name.to_lowercase(), args).map(Some);
    }
    if args.iter().any(|arg| matches!(arg, Expr::Lambda(_))) {
        return Err(unsupported(&format!("a lambda as an argument of {name}")));
    }
    let replaced = |name: &str, args: Vec<Expr>| {
        let mut function = function.clone();
        function.name = Ident::new(name).into();
        function.within_group = Vec::new();
        if let FunctionArguments::List(list) = &mut function.args {
            list.args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
        }
        Ok(Some(Expr::Function(function)))
    };
    if let [sort] = function.within_group.as_slice() {
        let descending = sort.options.asc == Some(false);
        return match (name.as_str(), args.as_slice()) {
            ("PERCENTILE_CONT" | "PERCENTILE_DISC", [share]) if !descending => {
                replaced(&name.to_lowercase(), vec![sort.expr.clone(), share.clone()])
            }
            ("MODE", []) => replaced("mode", vec![sort.expr.clone()]),
            _ => Err(unsupported(&format!("{name} WITHIN GROUP in such an order"))),
        };
    }
    let distinct = matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct));
    match (name.as_str(), args.as_slice()) {
        ("COUNT", [_, _, ..]) if distinct => {
            let known = args.iter().map(|arg| Expr::IsNotNull(Box::new(arg.clone()))).collect();
            let fields = args.iter().enumerate();
            let fields = fields.flat_map(|(index, arg)| [text(&format!("c{index}")), arg.clone()]).collect();
            let row = plain_call("named_struct", fields);
            let none = Expr::Value(Value::Null.into());
            replaced("count", vec![plain_call("if", vec![plain_call("$and", known), row, none])])
        }
        // Exact, which an estimate may be, too.
        ("APPROX_COUNT_DISTINCT", [of] | [of, _]) => {
            let mut function = function.clone();
            function.name = Ident::new("count").into();
            if let FunctionArguments::List(list) = &mut function.args {
                list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(of.clone()))];
                list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
            }
            Ok(Some(Expr::Function(function)))
        }
        (
            "TIMESTAMPDIFF" | "TIMESTAMPADD" | "DATEADD" | "DATEDIFF" | "DATE_ADD" | "DATE_DIFF",
            [Expr::Identifier(unit), a, b],
        ) => {
            let call = format!("${}", name.to_lowercase());
            Ok(Some(plain_call(&call, vec![text(&unit.value.to_uppercase()), a.clone(), b.clone()])))
        }
        _ => Ok(None),
    }
}
