//! Walking over the tokens of a statement, with names looked up as the server does.

use super::read::Statement;
use super::token::Token;
use super::{Name, Scope};

/// Reserved words of both products around the names of tables: without quotes they name none. A word that is not reserved,
/// such as DATA, may.
const KEYWORDS: [&str; 32] = [
    "INSERT",
    "INTO",
    "UPDATE",
    "DELETE",
    "FROM",
    "REPLACE",
    "LOAD",
    "IGNORE",
    "LOW_PRIORITY",
    "HIGH_PRIORITY",
    "DELAYED",
    "SET",
    "VALUES",
    "SELECT",
    "TABLE",
    "JOIN",
    "ON",
    "WHERE",
    "AS",
    "TO",
    "IF",
    "EXISTS",
    "WITH",
    "UNION",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "IN",
    "RENAME",
    "PARTITION",
    "CONVERT",
];

#[derive(Clone)]
pub(super) struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
    pub(super) statement: &'a Statement,
    pub(super) scope: &'a Scope<'a>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(tokens: &'a [Token], statement: &'a Statement, scope: &'a Scope<'a>) -> Self {
        Self { tokens, at: 0, statement, scope }
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + ahead)
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [Token] {
        self.tokens.get(self.at..).unwrap_or_default()
    }

    /// Steps over a keyword, given in upper case.
    pub(super) fn eat(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is(keyword));
        self.at += usize::from(found);
        found
    }

    pub(super) fn eat_sign(&mut self, sign: char) -> bool {
        let found = self.peek().is_some_and(|token| token.is_sign(sign));
        self.at += usize::from(found);
        found
    }

    /// `table`, `database.table` or `.table`.
    pub(super) fn name(&mut self) -> Option<Name> {
        if self.eat_sign('.') {
            let table = self.next()?.name()?.to_owned();
            return Some(Name { database: self.statement.database.clone(), table });
        }
        let first = self.next()?.name()?.to_owned();
        if self.peek_at(0).is_some_and(|token| token.is_sign('.')) {
            self.at += 1;
            let table = self.next()?.name()?.to_owned();
            return Some(Name { database: first, table });
        }
        Some(Name { database: self.statement.database.clone(), table: first })
    }

    pub(super) fn savepoint(&mut self) -> Option<String> {
        self.next()?.name().map(str::to_owned)
    }

    /// Whether a table is wanted, or may be: some names cannot be read.
    pub(super) fn wants(&self, name: &Name) -> bool {
        let Name { database, table } = name;
        if self.statement.foreign && !(database.is_ascii() && table.is_ascii()) {
            return true;
        }
        (self.scope.tables)(database, table)
            || self.scope.lower_case && (self.scope.tables)(&database.to_lowercase(), &table.to_lowercase())
    }

    pub(super) fn wants_database(&self, database: &str) -> bool {
        self.statement.foreign && !database.is_ascii()
            || (self.scope.databases)(database)
            || self.scope.lower_case && (self.scope.databases)(&database.to_lowercase())
    }

    /// The first name of what is left that may be a wanted table's.
    pub(super) fn wanted_name(&self) -> Option<Name> {
        let mut ahead = self.clone();
        while let Some(token) = ahead.peek() {
            let keyword = token.is_any(&KEYWORDS) && !ahead.peek_at(1).is_some_and(|next| next.is_sign('.'));
            if keyword || token.name().is_none() && !token.is_sign('.') {
                ahead.next();
                continue;
            }
            let start = ahead.at;
            if let Some(name) = ahead.name()
                && self.wants(&name)
            {
                return Some(name);
            }
            // `a.b.c` is read as `a.b` and as `b.c`.
            ahead.at = start + 1;
            if ahead.eat_sign('.') && ahead.peek_at(1).is_none_or(|next| !next.is_sign('.')) {
                ahead.next();
            }
        }
        None
    }
}
