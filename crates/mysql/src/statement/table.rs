//! CREATE, ALTER and DROP: whether a wanted table is among what they make, change or remove.

use super::cursor::Cursor;
use super::token::Token;
use super::{Effect, Harm, OBJECTS, rows};

/// Engines that keep the rows they are given.
const ENGINES: [&str; 5] = ["INNODB", "ROCKSDB", "ARIA", "MYISAM", "XTRADB"];

pub(super) fn create(cursor: &mut Cursor<'_>) -> Effect {
    let replace = cursor.eat("OR") && cursor.eat("REPLACE");
    if cursor.eat("TEMPORARY") {
        cursor.next();
        return match is_query(cursor.rest()) {
            true => rows(cursor),
            false => Effect::Passes,
        };
    }
    if cursor.eat("TABLE") {
        return create_table(cursor, replace);
    }
    if cursor.eat("DATABASE") || cursor.eat("SCHEMA") {
        return if replace { drop_database(cursor) } else { Effect::Passes };
    }
    if replace && cursor.eat("SEQUENCE") {
        return dropped(cursor);
    }
    object(cursor)
}

/// Views, routines, users and the like, behind what says who made them and how.
fn object(cursor: &mut Cursor<'_>) -> Effect {
    let mut before: Option<&Token> = None;
    while let Some(token) = cursor.next() {
        let account = before.is_some_and(|before| before.is_sign('=') || before.is_sign('@'))
            || cursor.peek().is_some_and(|next| next.is_sign('@'));
        if token.is_any(&OBJECTS) && !account {
            return Effect::Passes;
        }
        if token.is_any(&["TABLE", "TABLES", "DATABASE", "SCHEMA", "TEMPORARY"]) {
            break;
        }
        before = Some(token);
    }
    Effect::Stops(Harm::Unknown)
}

fn create_table(cursor: &mut Cursor<'_>, replace: bool) -> Effect {
    let if_absent = cursor.eat("IF");
    if if_absent {
        cursor.eat("NOT");
        cursor.eat("EXISTS");
    }
    let Some(name) = cursor.name() else { return Effect::Stops(Harm::Unknown) };
    let rest = cursor.rest();
    if !cursor.wants(&name) {
        if is_query(rest) {
            return rows(cursor);
        }
        return match union(cursor) {
            Some(harm) => Effect::Stops(harm),
            None => Effect::Passes,
        };
    }
    if replace {
        return Effect::Stops(Harm::Emptied(name.to_string()));
    }
    if is_query(rest) {
        return Effect::Stops(Harm::Rows(Some(name)));
    }
    match unfollowed(rest, cursor.scope.cascades_are_logged) {
        Some(why) => Effect::Stops(Harm::Unfollowed(why)),
        None => Effect::Creates { name, if_absent },
    }
}

/// Whether a table is filled by the statement that makes it.
fn is_query(tokens: &[Token]) -> bool {
    tokens.iter().enumerate().any(|(index, token)| {
        let next = tokens.get(index + 1);
        let partition = next.is_some_and(|next| next.is_any(&["LESS", "IN"]));
        token.is_any(&["SELECT", "TABLE"]) || token.is("VALUES") && !partition
    })
}

/// A table of the engine MERGE writes into others.
fn union(cursor: &Cursor<'_>) -> Option<Harm> {
    let merges = cursor.rest().iter().any(|token| token.is("UNION"));
    let name = if merges { cursor.wanted_name() } else { None };
    name.map(|_| Harm::Unfollowed("another table writes into it (ENGINE=MERGE)"))
}

/// What of a table's definition makes rows change without events.
pub(super) fn unfollowed(tokens: &[Token], cascades_are_logged: bool) -> Option<&'static str> {
    for (index, token) in tokens.iter().enumerate() {
        let next = |ahead: usize| tokens.get(index + ahead);
        if token.is("VERSIONING") || token.is("SYSTEM_TIME") {
            return Some("it is system-versioned");
        }
        if token.is("UNION") {
            return Some("it is a table over others (ENGINE=MERGE)");
        }
        let acts = |action: &Token| action.is("CASCADE") || action.is("SET");
        let on = token.is("ON") && next(1).is_some_and(|event| event.is_any(&["DELETE", "UPDATE"]));
        if on && next(2).is_some_and(acts) && !cascades_are_logged {
            return Some("a foreign key changes its rows without events");
        }
        if token.is("ENGINE") {
            let value = if next(1).is_some_and(|sign| sign.is_sign('=')) { next(2) } else { next(1) };
            let engine = match value {
                Some(Token::Word(name) | Token::Quoted(name) | Token::Text(name)) => name.to_ascii_uppercase(),
                _ => continue,
            };
            if !ENGINES.contains(&engine.as_str()) {
                return Some("its engine may not keep what is written to it");
            }
        }
    }
    None
}

pub(super) fn alter(cursor: &mut Cursor<'_>) -> Effect {
    let mut ignore = false;
    while let Some(token) = cursor.peek() {
        ignore |= token.is("IGNORE");
        if !token.is_any(&["ONLINE", "OFFLINE", "IGNORE"]) {
            break;
        }
        cursor.next();
    }
    if cursor.eat("DATABASE") || cursor.eat("SCHEMA") {
        return match cursor.rest().iter().any(|token| token.is("UPGRADE")) {
            true => drop_database(cursor),
            false => Effect::Passes,
        };
    }
    if !cursor.eat("TABLE") {
        return object(cursor);
    }
    if cursor.eat("IF") {
        cursor.eat("EXISTS");
    }
    let Some(name) = cursor.name() else { return Effect::Stops(Harm::Unknown) };
    if cursor.eat("WAIT") {
        cursor.next();
    }
    cursor.eat("NOWAIT");
    if cursor.wants(&name) {
        // Rows that would be doubles are thrown away.
        return match ignore {
            true => Effect::Stops(Harm::Emptied(name.to_string())),
            false => Effect::Alters(name, parts(cursor.rest())),
        };
    }
    let reaches = ["RENAME", "EXCHANGE", "CONVERT", "UNION"];
    if cursor.rest().iter().any(|token| token.is_any(&reaches))
        && let Some(other) = reached(cursor)
    {
        return Effect::Stops(other);
    }
    Effect::Passes
}

/// What an ALTER of another table does to a wanted one: it takes its name, its rows or its place.
fn reached(cursor: &Cursor<'_>) -> Option<Harm> {
    for part in parts(cursor.rest()) {
        let inner = Cursor::new(&part, cursor.statement, cursor.scope);
        let second = part.get(1);
        let first = part.first()?;
        if first.is("RENAME") && !second.is_some_and(|token| token.is_any(&["COLUMN", "INDEX", "KEY"])) {
            if let Some(name) = inner.wanted_name() {
                return Some(Harm::Renamed(name));
            }
        } else if first.is_any(&["EXCHANGE", "CONVERT"])
            && !second.is_some_and(|token| token.is("TO"))
            && let Some(name) = inner.wanted_name()
        {
            return Some(Harm::Emptied(name.to_string()));
        } else if part.iter().any(|token| token.is("UNION"))
            && let Some(harm) = union(&inner)
        {
            return Some(harm);
        }
    }
    None
}

/// The parts of an ALTER TABLE, cut at the commas between them.
fn parts(tokens: &[Token]) -> Vec<Vec<Token>> {
    let mut parts = vec![Vec::new()];
    let mut depth = 0_usize;
    for token in tokens {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            Token::Sign(',') if depth == 0 => {
                parts.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(token.clone());
        }
    }
    parts
}

pub(super) fn drop(cursor: &mut Cursor<'_>) -> Effect {
    if cursor.eat("TEMPORARY") {
        return Effect::Passes;
    }
    if cursor.eat("DATABASE") || cursor.eat("SCHEMA") {
        return drop_database(cursor);
    }
    if cursor.eat("TABLE") || cursor.eat("TABLES") {
        return dropped(cursor);
    }
    object(cursor)
}

fn dropped(cursor: &Cursor<'_>) -> Effect {
    match cursor.wanted_name() {
        Some(name) => Effect::Stops(Harm::Emptied(name.to_string())),
        None => Effect::Passes,
    }
}

fn drop_database(cursor: &mut Cursor<'_>) -> Effect {
    if cursor.eat("IF") {
        cursor.eat("NOT");
        cursor.eat("EXISTS");
    }
    match cursor.next().and_then(Token::name) {
        Some(database) if cursor.wants_database(database) => Effect::Stops(Harm::Emptied(format!("{database}.*"))),
        Some(_) => Effect::Passes,
        None => Effect::Stops(Harm::Unknown),
    }
}
