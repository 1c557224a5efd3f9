//! Columns of one query under one name each: `SELECT a, a` gives `a` and `a0`, as in Flink. DataFusion refuses two
//! columns of a name, so the second gets its number in the text. Where a `*` brings one of both, it is written out.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor,
};
use headwater_change::{Error, Result};

use super::is_window_bound;

/// Columns of a table by its name, where it is known.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<Vec<String>> + 'a;

type Scope = BTreeMap<String, Vec<String>>;

/// Renames columns that come twice, in the query and in those inside it.
pub(crate) fn unique_columns(query: &mut Query, lookup: &Lookup<'_>) -> Result<()> {
    of_query(query, lookup, &Scope::new()).map(drop)
}

/// Names of columns, where they are known.
type Columns = Option<Vec<String>>;

fn of_query(query: &mut Query, lookup: &Lookup<'_>, scope: &Scope) -> Result<Columns> {
    let mut scope = scope.clone();
    for table in query.with.iter_mut().flat_map(|with| with.cte_tables.iter_mut()) {
        let columns = of_query(&mut table.query, lookup, &scope)?;
        if let Some(columns) = renamed(columns, Some(&table.alias)) {
            scope.insert(table.alias.name.value.clone(), columns);
        }
    }
    of_body(&mut query.body, lookup, &scope)
}

fn of_body(body: &mut SetExpr, lookup: &Lookup<'_>, scope: &Scope) -> Result<Columns> {
    Ok(match body {
        SetExpr::Select(select) => of_select(select, lookup, scope)?,
        SetExpr::Query(query) => of_query(query, lookup, scope)?,
        SetExpr::SetOperation { left, right, .. } => {
            let columns = of_body(left, lookup, scope)?;
            of_body(right, lookup, scope)?;
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

fn of_factor(factor: &mut TableFactor, lookup: &Lookup<'_>, scope: &Scope) -> Result<Source> {
    Ok(match factor {
        TableFactor::Table { name, alias, .. } => {
            let name = name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone());
            let columns = name.as_deref().and_then(|name| scope.get(name).cloned().or_else(|| lookup(name)));
            let called = alias.as_ref().map(|alias| alias.name.value.clone()).or(name);
            (called, renamed(columns, alias.as_ref()))
        }
        TableFactor::Derived { subquery, alias, .. } => {
            let columns = of_query(subquery, lookup, scope)?;
            (alias.as_ref().map(|alias| alias.name.value.clone()), renamed(columns, alias.as_ref()))
        }
        _ => (None, None),
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

fn of_select(select: &mut Select, lookup: &Lookup<'_>, scope: &Scope) -> Result<Columns> {
    let mut sources: Vec<Source> = Vec::new();
    for from in &mut select.from {
        sources.push(of_factor(&mut from.relation, lookup, scope)?);
        for join in &mut from.joins {
            sources.push(of_factor(&mut join.relation, lookup, scope)?);
        }
    }
    let mut items: Vec<(String, SelectItem)> = Vec::new();
    for item in &select.projection {
        let Some(found) = named(item, &sources) else { return Ok(None) };
        items.extend(found);
    }
    refuse_second_window(select, &items)?;
    let mut names: Vec<String> = Vec::with_capacity(items.len());
    let mut changed = false;
    for (name, _) in &items {
        let taken = |candidate: &String| names.contains(candidate) || items.iter().any(|(other, _)| other == candidate);
        let fresh = if names.contains(name) {
            changed = true;
            (0..).map(|number| format!("{name}{number}")).find(|candidate| !taken(candidate))
        } else {
            Some(name.clone())
        };
        names.extend(fresh);
    }
    if changed {
        let renamed = items.into_iter().zip(&names).map(
            |((name, item), fresh)| {
                if name == *fresh { item } else { under(item, fresh) }
            },
        );
        select.projection = renamed.collect();
    }
    Ok(Some(names))
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

/// The columns that an item stands for, each with its name; `None` where that is not known here.
fn named(item: &SelectItem, sources: &[Source]) -> Option<Vec<(String, SelectItem)>> {
    let all = |(called, columns): &Source| -> Option<Vec<(String, SelectItem)>> {
        let columns = columns.as_ref()?.iter().map(|column| {
            let ident = Ident::with_quote('`', column.as_str());
            let expr = match called {
                Some(table) => Expr::CompoundIdentifier(vec![Ident::with_quote('`', table.as_str()), ident]),
                None => Expr::Identifier(ident),
            };
            (column.clone(), SelectItem::UnnamedExpr(expr))
        });
        Some(columns.collect())
    };
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(vec![(ident.value.clone(), item.clone())]),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            parts.last().map(|ident| vec![(ident.value.clone(), item.clone())])
        }
        SelectItem::ExprWithAlias { alias, .. } => Some(vec![(alias.value.clone(), item.clone())]),
        SelectItem::Wildcard(_) => {
            let found = sources.iter().map(all).collect::<Option<Vec<_>>>()?;
            Some(found.into_iter().flatten().collect())
        }
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            let table = name.0.last()?.as_ident()?.value.as_str();
            all(sources.iter().find(|(called, _)| called.as_deref() == Some(table))?)
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
