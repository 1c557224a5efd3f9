//! Columns of one query under one name each: `SELECT a, a` gives `a` and `a0`, as in Flink. DataFusion refuses two
//! columns of a name, so the second gets its number in the text. Where a `*` brings one of both, it is written out.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderBy, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias,
    TableFactor,
};
use headwater_change::{Error, Result};

use super::is_window_bound;
use super::using::{self, Column, Known};
use super::{alias, pivot};

/// Columns of a table by its name, where it is known.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<Vec<String>> + 'a;

/// What is known of names before planning.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub(crate) lookup: &'a Lookup<'a>,
    /// Whether it is Spark's: a column may call one before it in its list, and columns of one name inside a query can be
    /// called by nobody.
    pub(crate) spark: bool,
}

/// Stands between a column's name and its number, where nobody may call it: no name has it.
const TWIN: char = '\u{1}';

/// A column's name without the number that tells it from its twins.
pub(crate) fn base(name: &str) -> &str {
    name.split(TWIN).next().unwrap_or(name)
}

/// Whether several columns have the name.
pub(crate) fn is_twin(name: &str) -> bool {
    name.contains(TWIN)
}

type Scope = BTreeMap<String, Vec<String>>;

/// Renames columns that come twice, in the query and in those inside it. Where its result is printed its own columns have
/// readable names.
pub(crate) fn unique_columns(query: &mut Query, tables: Tables<'_>, printed: bool) -> Result<()> {
    of_query(query, tables, &Scope::new(), printed || !tables.spark).map(drop)
}

/// Names of columns, where they are known.
type Columns = Option<Vec<String>>;

/// With `readable` columns that come twice get a number, else none of them can be called.
fn of_query(query: &mut Query, tables: Tables<'_>, scope: &Scope, readable: bool) -> Result<Columns> {
    let mut scope = scope.clone();
    for table in query.with.iter_mut().flat_map(|with| with.cte_tables.iter_mut()) {
        let columns = of_query(&mut table.query, tables, &scope, !tables.spark)?;
        if let Some(columns) = renamed(columns, Some(&table.alias)) {
            scope.insert(table.alias.name.value.clone(), columns);
        }
    }
    match query.body.as_mut() {
        SetExpr::Select(select) => of_select(select, query.order_by.as_mut(), tables, &scope, readable),
        body => of_body(body, tables, &scope, readable),
    }
}

fn of_body(body: &mut SetExpr, tables: Tables<'_>, scope: &Scope, readable: bool) -> Result<Columns> {
    Ok(match body {
        SetExpr::Select(select) => of_select(select, None, tables, scope, readable)?,
        SetExpr::Query(query) => of_query(query, tables, scope, readable)?,
        SetExpr::SetOperation { left, right, .. } => {
            let columns = of_body(left, tables, scope, readable)?;
            of_body(right, tables, scope, readable)?;
            columns
        }
        SetExpr::Values(values) => {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            Some((1..=width).map(|index| format!("column{index}")).collect())
        }
        _ => None,
    })
}

/// A table of FROM: the name that its columns are called by, and the columns.
type Source = (Option<String>, Columns);

fn of_factor(factor: &mut TableFactor, tables: Tables<'_>, scope: &Scope) -> Result<Source> {
    Ok(match factor {
        TableFactor::Table { name, alias, .. } => {
            let parts: Vec<&str> =
                name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect();
            let whole = parts.join(".");
            let columns = scope.get(&whole).cloned().or_else(|| (tables.lookup)(&whole));
            let name = parts.last().map(|name| (*name).to_owned());
            let called = alias.as_ref().map(|alias| alias.name.value.clone()).or(name);
            (called, renamed(columns, alias.as_ref()))
        }
        TableFactor::Derived { subquery, alias, .. } => {
            let columns = of_query(subquery, tables, scope, !tables.spark)?;
            (alias.as_ref().map(|alias| alias.name.value.clone()), renamed(columns, alias.as_ref()))
        }
        TableFactor::Pivot { table, aggregate_functions, value_column, value_source, alias, .. } => {
            let columns = known(of_factor(table, tables, scope)?, "PIVOT")?;
            let alias = alias.take();
            let called = alias.as_ref().map(|alias| alias.name.value.clone());
            let table = table.as_ref().clone();
            let (made, columns) =
                pivot::pivot(table, &columns, aggregate_functions, value_column, value_source, alias)?;
            *factor = made;
            (called, Some(columns))
        }
        TableFactor::Unpivot { table, value, name, columns: of, null_inclusion, alias } => {
            let columns = known(of_factor(table, tables, scope)?, "UNPIVOT")?;
            let alias = alias.take();
            let called = alias.as_ref().map(|alias| alias.name.value.clone());
            let table = table.as_ref().clone();
            let (made, columns) = pivot::unpivot(table, &columns, (value, name), of, null_inclusion.as_ref(), alias)?;
            *factor = made;
            (called, Some(columns))
        }
        TableFactor::NestedJoin { table_with_joins, .. } => {
            table_with_joins.joins.iter_mut().try_for_each(using::shares)?;
            (None, None)
        }
        _ => (None, None),
    })
}

fn known((_, columns): Source, form: &str) -> Result<Vec<String>> {
    columns.ok_or_else(|| {
        Error::usage("sql.unsupported", format!("{form} over a table whose columns are not known before planning"))
            .hint("name the columns in a view or subquery, and use that")
    })
}

/// Columns under the names that an alias gives them.
fn renamed(columns: Columns, alias: Option<&TableAlias>) -> Columns {
    match alias {
        Some(alias) if !alias.columns.is_empty() => {
            Some(alias.columns.iter().map(|column| column.name.value.clone()).collect())
        }
        _ => columns,
    }
}

fn of_select(
    select: &mut Select,
    order: Option<&mut OrderBy>,
    tables: Tables<'_>,
    scope: &Scope,
    readable: bool,
) -> Result<Columns> {
    let mut sources: Vec<Source> = Vec::new();
    let mut columns: Known = Some(Vec::new());
    for from in &mut select.from {
        let source = of_factor(&mut from.relation, tables, scope)?;
        let mut found = all(&source);
        sources.push(source);
        for join in &mut from.joins {
            let source = of_factor(&mut join.relation, tables, scope)?;
            found = using::joined(found, join, all(&source))?;
            sources.push(source);
        }
        columns = columns.zip(found).map(|(before, found)| [before, found].concat());
    }
    using::resolve(select, columns.as_deref().unwrap_or_default());
    if let (true, Some(columns)) = (tables.spark, &columns) {
        alias::resolve(select, &columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>())?;
    }
    let mut items: Vec<(String, SelectItem)> = Vec::new();
    for item in &select.projection {
        let Some(found) = named(item, &sources, columns.as_deref()) else { return Ok(None) };
        items.extend(found);
    }
    refuse_second_window(select, &items)?;
    let mut names: Vec<String> = Vec::with_capacity(items.len());
    // The engine below has no shared columns any more: what `*` stands for is written out.
    let mut changed = columns.iter().flatten().any(|column| column.shared);
    let twins = |name: &str| items.iter().filter(|(other, _)| base(other) == base(name)).count() > 1;
    // Rows may be sorted by a column of the tables whose name several columns of the result have.
    let one = |name: &str| columns.iter().flatten().filter(|column| column.name == name).count() == 1;
    let unclear = |name: &str| twins(name) && !one(name);
    if tables.spark
        && let Some(name) = order.as_deref().and_then(|order| called(order, &unclear))
    {
        return Err(Error::usage("sql.ambiguous", format!("several columns of the result are called '{name}'"))
            .hint("give one of them another name, or write the table's name in front of it"));
    }
    let meant: Vec<bool> = columns.iter().flatten().map(|column| tables.spark && twins(&column.name)).collect();
    for (index, (name, _)) in items.iter().enumerate() {
        if tables.spark && !readable && (is_twin(name) || twins(name)) {
            changed = true;
            names.push(format!("{}{TWIN}{index}", base(name)));
            continue;
        }
        let name = if readable { base(name) } else { name.as_str() };
        let taken = |candidate: &String| names.contains(candidate) || items.iter().any(|(other, _)| other == candidate);
        let fresh = if names.iter().any(|known| known == name) {
            changed = true;
            (0..).map(|number| format!("{name}{number}")).find(|candidate| !taken(candidate))
        } else {
            Some(name.to_owned())
        };
        names.extend(fresh);
    }
    if changed || items.iter().any(|(name, _)| is_twin(name)) {
        let renamed = items.into_iter().zip(&names).map(
            |((name, item), fresh)| {
                if name == *fresh { item } else { under(item, fresh) }
            },
        );
        select.projection = renamed.collect();
    }
    if let Some(order) = order {
        // A name of the result is meant before one of the tables.
        let hidden = columns.into_iter().flatten().zip(meant);
        let hidden = hidden.filter(|(column, twin)| *twin || !names.contains(&column.name)).map(|(column, _)| column);
        using::resolve_order(order, &hidden.collect::<Vec<_>>());
    }
    Ok(Some(names))
}

/// An unclear name by which rows are sorted.
fn called(order: &OrderBy, twins: &dyn Fn(&str) -> bool) -> Option<String> {
    let OrderByKind::Expressions(keys) = &order.kind else { return None };
    keys.iter().find_map(|key| match &key.expr {
        Expr::Identifier(ident) if twins(&ident.value) => Some(ident.value.clone()),
        _ => None,
    })
}

/// The bounds that a window table function adds are never renamed: which `window_start` is meant would depend on it.
fn refuse_second_window(select: &Select, items: &[(String, SelectItem)]) -> Result<()> {
    let [SelectItem::Wildcard(_), bounds @ ..] = select.projection.as_slice() else { return Ok(()) };
    for bound in bounds {
        let SelectItem::ExprWithAlias { expr, alias } = bound else { continue };
        if is_window_bound(expr) && items.iter().filter(|(name, _)| *name == alias.value).count() > 1 {
            let name = &alias.value;
            return Err(Error::usage("sql.ambiguous", format!("the windowed table has a column '{name}' already"))
                .hint(format!("give that column another name in a view: SELECT {name} AS inner_{name}, …")));
        }
    }
    Ok(())
}

/// The columns of a table as expressions.
fn all((called, columns): &Source) -> Known {
    let columns = columns.as_ref()?.iter().map(|name| {
        let ident = Ident::with_quote('`', name.as_str());
        let expr = match called {
            Some(table) => Expr::CompoundIdentifier(vec![Ident::with_quote('`', table.as_str()), ident]),
            None => Expr::Identifier(ident),
        };
        Column { name: name.clone(), expr, shared: false }
    });
    Some(columns.collect())
}

/// A column as an item of a projection.
fn as_item(column: Column) -> (String, SelectItem) {
    let item = match column.expr {
        expr @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => SelectItem::UnnamedExpr(expr),
        expr => SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('`', column.name.as_str()) },
    };
    (column.name, item)
}

/// The columns that an item stands for, each with its name; `None` where that is not known here.
fn named(item: &SelectItem, sources: &[Source], columns: Option<&[Column]>) -> Option<Vec<(String, SelectItem)>> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(vec![(ident.value.clone(), item.clone())]),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            parts.last().map(|ident| vec![(ident.value.clone(), item.clone())])
        }
        SelectItem::ExprWithAlias { alias, .. } => Some(vec![(alias.value.clone(), item.clone())]),
        // What is left out is not known here.
        SelectItem::Wildcard(options) if options.opt_except.is_some() => None,
        SelectItem::Wildcard(_) => Some(columns?.iter().cloned().map(as_item).collect()),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            let table = name.0.last()?.as_ident()?.value.as_str();
            let found = all(sources.iter().find(|(called, _)| called.as_deref() == Some(table))?)?;
            Some(found.into_iter().map(as_item).collect())
        }
        _ => None,
    }
}

fn under(item: SelectItem, name: &str) -> SelectItem {
    let alias = Ident::with_quote('`', name);
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            SelectItem::ExprWithAlias { expr, alias }
        }
        other => other,
    }
}
