//! Functions that make rows, as columns `$each(array)` of a query: in SELECT, in LATERAL VIEW, and as tables.
//!
//! | Spark | becomes |
//! |---|---|
//! | `SELECT EXPLODE(a)` | `SELECT $each(a) AS col` |
//! | `SELECT POSEXPLODE(a)` | `SELECT $each($positions(a)) AS pos, $each(a) AS col` |
//! | `SELECT EXPLODE(m) AS (k, v)` | `SELECT $each(map_keys(m)) AS k, $each(map_values(m)) AS v` |
//! | `FROM t LATERAL VIEW EXPLODE(a) v AS e` | `FROM t JOIN LATERAL (SELECT $each(a) AS e) v ON TRUE` |
//! | `FROM RANGE(3)` | `FROM (SELECT $each($range(0, 3, 1)) AS id)` |

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, Ident, Join, JoinConstraint, JoinOperator, LateralView, Query, Select,
    SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, Value,
};
use datafusion::sql::sqlparser::parser::Parser;
use headwater_change::{Error, Result};

use super::grammar::SparkDialect;
use crate::dialect::{plain_call, text};
use crate::rewrite::{function_name, positional};
use crate::typed::EACH;

/// An array whose absence, or whose having no items, makes one row of NULL.
pub(crate) const OUTER: &str = "$outer";
/// The numbers of an array's items or of a map's entries.
pub(crate) const POSITIONS: &str = "$positions";
/// One field of each struct of an array.
pub(crate) const FIELDS: &str = "$fields";
/// Numbers from, to before, by step.
pub(crate) const RANGE: &str = "$range";

fn unsupported(what: &str) -> Error {
    Error::usage("sql.unsupported", format!("{what} is not supported yet"))
}

/// Columns under their names.
type Columns = Vec<(String, Expr)>;

fn number(value: usize) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

/// Writes out what makes rows in the list of SELECT.
pub(super) fn in_projection(select: &mut Select) -> Result<()> {
    let mut found = Vec::with_capacity(select.projection.len());
    let mut generators = 0;
    for item in std::mem::take(&mut select.projection) {
        let (expr, names) = match &item {
            SelectItem::UnnamedExpr(expr) => (expr, Vec::new()),
            SelectItem::ExprWithAlias { expr, alias } => (expr, vec![alias.value.clone()]),
            SelectItem::ExprWithAliases { expr, aliases } => (expr, aliases.iter().map(|a| a.value.clone()).collect()),
            _ => {
                found.push(item);
                continue;
            }
        };
        match generated(expr, &names, false)? {
            Some(columns) => {
                generators += 1;
                let alias = |name: &str| Ident::with_quote('`', name);
                found.extend(
                    columns.into_iter().map(|(name, expr)| SelectItem::ExprWithAlias { expr, alias: alias(&name) }),
                );
            }
            None if names.len() > 1 => {
                return Err(Error::usage("sql.arguments", "only what makes rows takes several names"));
            }
            None => found.push(item),
        }
    }
    if generators > 1 {
        return Err(Error::usage("sql.generator", "one query makes rows of one array only")
            .hint("use LATERAL VIEW for the second"));
    }
    select.projection = found;
    Ok(())
}

/// LATERAL VIEW as a query beside the tables before it.
pub(super) fn lateral_views(select: &mut Select) -> Result<()> {
    let views = std::mem::take(&mut select.lateral_views);
    if views.is_empty() {
        return Ok(());
    }
    let mut tables = std::mem::take(&mut select.from).into_iter();
    let mut from = match tables.next() {
        Some(first) => first,
        None => TableWithJoins {
            relation: derived(query(&[("$nothing".to_owned(), number(0))])?, None, false),
            joins: Vec::new(),
        },
    };
    for table in tables {
        from.joins.push(joined(table.relation, JoinOperator::CrossJoin(JoinConstraint::None)));
        from.joins.extend(table.joins);
    }
    for view in views {
        let always = JoinConstraint::On(Expr::value(Value::Boolean(true)));
        from.joins.push(joined(view_table(&view)?, JoinOperator::Inner(always)));
    }
    select.from = vec![from];
    Ok(())
}

fn joined(relation: TableFactor, join_operator: JoinOperator) -> Join {
    Join { relation, global: false, join_operator }
}

fn view_table(view: &LateralView) -> Result<TableFactor> {
    let names: Vec<String> = view.lateral_col_alias.iter().map(|ident| ident.value.clone()).collect();
    let columns = generated(&view.lateral_view, &names, view.outer)?
        .ok_or_else(|| unsupported(&format!("LATERAL VIEW of {}", view.lateral_view)))?;
    let alias = view.lateral_view_name.0.last().and_then(|part| part.as_ident()).cloned();
    let alias = alias.map(|name| TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    Ok(derived(query(&columns)?, alias, true))
}

fn derived(subquery: Query, alias: Option<TableAlias>, lateral: bool) -> TableFactor {
    TableFactor::Derived { lateral, subquery: Box::new(subquery), alias, sample: None }
}

/// `SELECT expr AS name, …`
fn query(columns: &[(String, Expr)]) -> Result<Query> {
    let dialect = SparkDialect;
    let parsed = Parser::new(&dialect).try_with_sql("SELECT 1").and_then(|mut parser| parser.parse_query());
    let mut query =
        *parsed.map_err(|error| Error::bug("sql.generate", "a query of generated columns").caused_by(error))?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        let item = |(name, expr): &(String, Expr)| SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: Ident::with_quote('`', name.as_str()),
        };
        select.projection = columns.iter().map(item).collect();
    }
    Ok(query)
}

/// A function as a table: what makes rows, and `RANGE`.
pub(super) fn as_table(factor: &TableFactor) -> Result<Option<TableFactor>> {
    let TableFactor::Table { name, alias, args: Some(args), .. } = factor else { return Ok(None) };
    let call = plain_call(&name.to_string(), Vec::new());
    let Expr::Function(mut call) = call else { return Ok(None) };
    if let FunctionArguments::List(list) = &mut call.args {
        list.args.clone_from(&args.args);
    }
    let shown = call.name.to_string().to_uppercase();
    let columns = match shown.as_str() {
        "RANGE" => Some(range(&call)?),
        _ => generated(&Expr::Function(call), &[], false)?,
    };
    let columns = columns.ok_or_else(|| unsupported(&format!("the function {shown} as a table")))?;
    Ok(Some(derived(query(&columns)?, alias.clone(), false)))
}

fn range(call: &Function) -> Result<Columns> {
    let args = positional(call).unwrap_or_default();
    let (zero, one) = (number(0), number(1));
    let [from, to, step] = match args.as_slice() {
        [to] => [zero, to.clone(), one],
        [from, to] => [from.clone(), to.clone(), one],
        // How many parts there are is the engine's matter.
        [from, to, step] | [from, to, step, _] => [from.clone(), to.clone(), step.clone()],
        _ => return Err(Error::usage("sql.arguments", "RANGE takes 1 to 4 arguments")),
    };
    Ok(vec![("id".to_owned(), each(plain_call(RANGE, vec![from, to, step])))])
}

fn each(array: Expr) -> Expr {
    plain_call(EACH, vec![array])
}

/// The columns of a call that makes rows; `None` if it is none. Names are given, or Spark's.
fn generated(expr: &Expr, names: &[String], outer: bool) -> Result<Option<Columns>> {
    let Expr::Function(function) = expr else { return Ok(None) };
    let (Some(shown), Some(args)) = (function_name(function), positional(function)) else { return Ok(None) };
    let (base, outer) = match shown.strip_suffix("_OUTER") {
        Some(base) => (base, true),
        None => (shown.as_str(), outer),
    };
    let kept = |array: Expr| if outer { plain_call(OUTER, vec![array]) } else { array };
    let columns = match (base, args.as_slice()) {
        ("EXPLODE", [of]) => entries(of, names.len() == 2, &kept),
        ("POSEXPLODE", [of]) => {
            let mut columns = entries(of, names.len() == 3, &kept);
            columns.insert(0, ("pos".to_owned(), each(kept(plain_call(POSITIONS, vec![of.clone()])))));
            columns
        }
        ("INLINE", [of]) => {
            let known = fields_of(of);
            let width = known.as_ref().map_or(names.len(), Vec::len);
            if width == 0 {
                return Err(unsupported("INLINE without names of its columns").hint("write INLINE(a) AS (x, y)"));
            }
            let name = |at: usize| known.as_ref().and_then(|known| known.get(at).cloned()).unwrap_or_default();
            (0..width).map(|at| (name(at), each(kept(plain_call(FIELDS, vec![of.clone(), number(at)]))))).collect()
        }
        ("STACK", [rows, values @ ..]) => {
            stack(rows, values)?.into_iter().map(|(name, of)| (name, each(kept(of)))).collect()
        }
        ("JSON_TUPLE", [json, keys @ ..]) if !keys.is_empty() => tuple(json, keys)?,
        ("EXPLODE" | "POSEXPLODE" | "INLINE" | "STACK" | "JSON_TUPLE", _) => {
            return Err(Error::usage("sql.arguments", format!("{shown} takes other arguments")));
        }
        _ => return Ok(None),
    };
    if !names.is_empty() && names.len() != columns.len() {
        let wanted = format!("{shown} has {} columns, not {}", columns.len(), names.len());
        return Err(Error::usage("sql.arguments", wanted));
    }
    let renamed =
        columns.into_iter().enumerate().map(|(at, (name, expr))| (names.get(at).cloned().unwrap_or(name), expr));
    Ok(Some(renamed.collect()))
}

/// The items of an array, or keys and values of a map.
fn entries(of: &Expr, named_as_map: bool, kept: &dyn Fn(Expr) -> Expr) -> Columns {
    let makes_map = |function: &Function| {
        function_name(function).is_some_and(|name| name == "MAP" || name.starts_with("MAP_F") || name == "STR_TO_MAP")
    };
    let is_map = named_as_map || matches!(of, Expr::Function(function) if makes_map(function));
    if !is_map {
        return vec![("col".to_owned(), each(kept(of.clone())))];
    }
    let part = |name: &str, call: &str| (name.to_owned(), each(kept(plain_call(call, vec![of.clone()]))));
    vec![part("key", "map_keys"), part("value", "map_values")]
}

/// The names of the fields of an array of structs that is written out.
fn fields_of(array: &Expr) -> Option<Vec<String>> {
    let Expr::Function(function) = array else { return None };
    let args = positional(function)?;
    if function_name(function)? == "ARRAY" {
        return fields_of(args.first()?);
    }
    if function_name(function)? != "NAMED_STRUCT" {
        return None;
    }
    let name = |arg: &Expr| match arg {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    args.iter().step_by(2).map(name).collect()
}

/// `STACK(2, a, b, c)`: rows of as many columns as needed; the last may be filled up with NULL.
fn stack(rows: &Expr, values: &[Expr]) -> Result<Columns> {
    let count = match rows {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse::<usize>().ok().filter(|count| *count > 0),
            _ => None,
        },
        _ => None,
    };
    let count = count.ok_or_else(|| Error::usage("sql.arguments", "STACK takes a constant number of rows"))?;
    let width = values.len().div_ceil(count);
    let null = || Expr::value(Value::Null);
    let column = |at: usize| {
        let cells = (0..count).map(|row| values.get(row * width + at).cloned().unwrap_or_else(null));
        (format!("col{at}"), plain_call("array", cells.collect()))
    };
    Ok((0..width).map(column).collect())
}

/// `JSON_TUPLE(json, 'a', 'b')`: one row.
fn tuple(json: &Expr, keys: &[Expr]) -> Result<Columns> {
    let column = |(at, key): (usize, &Expr)| {
        let Expr::Value(value) = key else { return Err(unsupported("JSON_TUPLE of computed keys")) };
        let Value::SingleQuotedString(key) = &value.value else {
            return Err(unsupported("JSON_TUPLE of computed keys"));
        };
        if key.contains(['.', '[', '\'', '*']) {
            return Err(unsupported("JSON_TUPLE of a key with special characters"));
        }
        let path = text(&format!("$['{key}']"));
        Ok((format!("c{at}"), plain_call("get_json_object", vec![json.clone(), path])))
    };
    keys.iter().enumerate().map(column).collect()
}
