//! The statements that a log carries as text, and what each does to the wanted tables.
//!
//! The law: what may pass is listed. Any other statement that names a wanted table, or may touch one, stops the reader
//! at its place: rows that change without row events would be lost in silence.

mod alter;
mod cursor;
mod declared;
mod read;
mod table;
mod token;

pub(crate) use self::alter::{Facts, judge};
use self::cursor::Cursor;
pub(crate) use self::declared::{Declared, is_generated};
pub(crate) use self::read::{Statement, read};
pub(crate) use self::token::Token;
#[cfg(feature = "fuzzing")]
pub(crate) use self::token::{Mode, tokens};

/// A table by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) database: String,
    pub(crate) table: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// Which tables are wanted, as the server compares names.
pub(crate) struct Scope<'a> {
    pub(crate) tables: &'a dyn Fn(&str, &str) -> bool,
    pub(crate) databases: &'a dyn Fn(&str) -> bool,
    /// Names are stored in lower case, or compared so.
    pub(crate) lower_case: bool,
    /// Rows that a foreign key changes have events.
    pub(crate) cascades_are_logged: bool,
}

/// What a statement means for the transaction it is in and for the wanted tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    Release(String),
    /// Part of a transaction that means nothing here.
    Inside,
    /// It touches no wanted table.
    Passes,
    /// A wanted table without rows is there now, or with `if_absent` the one that was there.
    Creates {
        name: Name,
        if_absent: bool,
    },
    /// A wanted table is defined otherwise, by these parts of an ALTER TABLE.
    Alters(Name, Vec<Vec<Token>>),
    Stops(Harm),
}

/// Why a statement stops the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Rows of the table, or of some wanted one, were changed by the statement itself.
    Rows(Option<Name>),
    /// Rows of it went or came without events: DROP, TRUNCATE, partitions, tablespaces, engines.
    Emptied(String),
    /// It got another name, or another table got its name.
    Renamed(Name),
    /// Values of a wanted column were rewritten, or may have been.
    Rewritten(String),
    /// A wanted column is gone.
    Column(String),
    /// From here on rows change without events.
    Unfollowed(&'static str),
    /// What it does is not known.
    Unknown,
    /// Its character set cannot be read.
    Unreadable,
}

/// Statements that have nothing to do with rows of tables, by their first word.
const HARMLESS: [&str; 13] = [
    "GRANT",
    "REVOKE",
    "FLUSH",
    "CHECK",
    "CHECKSUM",
    "INSTALL",
    "UNINSTALL",
    "RESET",
    "PURGE",
    "CHANGE",
    "CACHE",
    "UNLOCK",
    "LOCK",
];

/// Statements that change rows, or may by the functions they call.
const ROWS: [&str; 13] = [
    "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "MERGE", "WITH", "SELECT", "DO", "CALL", "TABLE", "VALUES",
    "HANDLER",
];

/// What CREATE, ALTER and DROP make, change and remove that has no rows of its own.
const OBJECTS: [&str; 22] = [
    "VIEW",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "EVENT",
    "USER",
    "ROLE",
    "SERVER",
    "TABLESPACE",
    "UNDO",
    "LOGFILE",
    "INDEX",
    "PACKAGE",
    "RESOURCE",
    "SPATIAL",
    "LIBRARY",
    "COMPONENT",
    "INSTANCE",
    "SEQUENCE",
    "PREPARE",
    "FULLTEXT",
    "UNIQUE",
];

impl Statement {
    /// What the statement does.
    pub(crate) fn effect(&self, scope: &Scope<'_>) -> Effect {
        let tokens = token::tokens(&self.sql, self.mode);
        let mut cursor = Cursor::new(&tokens, self, scope);
        if self.unreadable && !tokens.first().is_some_and(|first| first.is_any(&["BEGIN", "COMMIT", "ROLLBACK"])) {
            return Effect::Stops(Harm::Unreadable);
        }
        effect(&mut cursor)
    }
}

fn effect(cursor: &mut Cursor<'_>) -> Effect {
    let Some(first) = cursor.peek() else {
        // A comment alone stands for an event that this reader was not sent.
        return Effect::Inside;
    };
    let Token::Word(first) = first else {
        return if first.is_sign('(') { rows(cursor) } else { Effect::Stops(Harm::Unknown) };
    };
    let first = first.to_ascii_uppercase();
    if ROWS.contains(&first.as_str()) {
        return rows(cursor);
    }
    cursor.next();
    match first.as_str() {
        "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "XA" => transaction(&first, cursor),
        "CREATE" => table::create(cursor),
        "ALTER" => table::alter(cursor),
        "DROP" => table::drop(cursor),
        "TRUNCATE" => {
            cursor.eat("TABLE");
            match cursor.name() {
                Some(name) if cursor.wants(&name) => Effect::Stops(Harm::Emptied(name.to_string())),
                Some(_) => Effect::Passes,
                None => Effect::Stops(Harm::Unknown),
            }
        }
        "RENAME" if cursor.eat("USER") => Effect::Passes,
        "RENAME" => match cursor.wanted_name() {
            Some(name) => Effect::Stops(Harm::Renamed(name)),
            None => Effect::Passes,
        },
        "SET" => set(cursor),
        // ANALYZE UPDATE … of MariaDB runs the statement.
        "ANALYZE" | "OPTIMIZE" | "REPAIR" => maintenance(&first, cursor),
        _ if HARMLESS.contains(&first.as_str()) => Effect::Passes,
        _ => Effect::Stops(Harm::Unknown),
    }
}

fn transaction(first: &str, cursor: &mut Cursor<'_>) -> Effect {
    let second = cursor.peek().cloned();
    let second_is = |word: &str| second.as_ref().is_some_and(|token| token.is(word));
    match first {
        "BEGIN" if second.is_none() || second_is("WORK") => Effect::Begin,
        "START" if second_is("TRANSACTION") => Effect::Begin,
        "COMMIT" => Effect::Commit,
        "XA" if second_is("START") || second_is("BEGIN") => Effect::Begin,
        "XA" if second_is("END") => Effect::Inside,
        "XA" if second_is("ROLLBACK") => Effect::Rollback,
        "XA" if second_is("COMMIT") || second_is("PREPARE") => Effect::Commit,
        "SAVEPOINT" => cursor.savepoint().map_or(Effect::Stops(Harm::Unknown), Effect::Savepoint),
        "RELEASE" => {
            cursor.eat("SAVEPOINT");
            cursor.savepoint().map_or(Effect::Stops(Harm::Unknown), Effect::Release)
        }
        "ROLLBACK" => {
            cursor.eat("WORK");
            if !cursor.eat("TO") {
                return Effect::Rollback;
            }
            // A savepoint may be called so.
            if cursor.peek_at(1).is_some() {
                cursor.eat("SAVEPOINT");
            }
            cursor.savepoint().map_or(Effect::Stops(Harm::Unknown), Effect::RollbackTo)
        }
        _ => Effect::Stops(Harm::Unknown),
    }
}

/// SET PASSWORD and the like. MariaDB's SET STATEMENT … FOR carries another statement.
fn set(cursor: &mut Cursor<'_>) -> Effect {
    if !cursor.eat("STATEMENT") {
        let harmless = cursor.peek().is_some_and(|token| token.is_any(&["PASSWORD", "DEFAULT", "ROLE"]));
        return if harmless { Effect::Passes } else { Effect::Stops(Harm::Unknown) };
    }
    while let Some(token) = cursor.next() {
        if token.is("FOR") {
            return effect(cursor);
        }
    }
    Effect::Stops(Harm::Unknown)
}

fn maintenance(first: &str, cursor: &mut Cursor<'_>) -> Effect {
    while cursor.eat("NO_WRITE_TO_BINLOG") || cursor.eat("LOCAL") {}
    if !cursor.eat("TABLE") && !cursor.eat("TABLES") {
        return if first == "ANALYZE" { rows(cursor) } else { Effect::Stops(Harm::Unknown) };
    }
    match cursor.wanted_name() {
        // What cannot be repaired is thrown away.
        Some(name) if first == "REPAIR" => Effect::Stops(Harm::Emptied(name.to_string())),
        _ => Effect::Passes,
    }
}

/// Rows were changed by the statement itself. Views, triggers, functions and foreign keys may lead to any table, so it
/// passes only where the log says that no wanted database was written, or where the target is the server's own.
fn rows(cursor: &mut Cursor<'_>) -> Effect {
    let written = cursor.statement.written_databases.as_deref();
    if written.is_some_and(|databases| databases.iter().all(|database| !cursor.wants_database(database))) {
        return Effect::Passes;
    }
    if own_table(cursor) || emptied_memory(cursor) {
        return Effect::Passes;
    }
    Effect::Stops(Harm::Rows(cursor.wanted_name()))
}

/// `INSERT INTO mysql.… VALUES`: hosted servers write down that they live. Tables of that database have no triggers.
fn own_table(cursor: &Cursor<'_>) -> bool {
    let mut cursor = cursor.clone();
    let verb = cursor.next();
    if !verb.is_some_and(|verb| verb.is_any(&["INSERT", "REPLACE", "DELETE", "UPDATE"])) {
        return false;
    }
    while cursor.eat("INTO") || cursor.eat("FROM") || cursor.eat("IGNORE") {}
    let Some(name) = cursor.name() else { return false };
    // Functions that are called, joins and queries could reach elsewhere.
    let inside = ["VALUES", "VALUE", "NOW", "UNIX_TIMESTAMP", "CURRENT_TIMESTAMP", "UTC_TIMESTAMP", "AND", "OR", "IN"];
    let rest: Vec<Token> = std::iter::from_fn(|| cursor.next().cloned()).collect();
    let column_list = usize::from(rest.first().is_some_and(|token| token.is_sign('(')));
    let calls = rest.windows(2).skip(column_list).any(|pair| match pair {
        [before, open] => open.is_sign('(') && before.name().is_some() && !before.is_any(&inside),
        _ => false,
    });
    let reaches = rest.iter().any(|token| token.is_any(&["SELECT", "TABLE", "JOIN", "USING"]));
    let several = rest.iter().take_while(|token| !token.is("SET")).any(|token| token.is_sign(','))
        && verb.is_some_and(|verb| verb.is_any(&["UPDATE", "DELETE"]));
    name.database.eq_ignore_ascii_case("mysql") && !calls && !reaches && !several && !cursor.wants(&name)
}

/// ``DELETE FROM `db`.`table` `` outside of a transaction: a server that started anew tells that a table in memory is
/// empty. A user's DELETE has a transaction around it.
fn emptied_memory(cursor: &Cursor<'_>) -> bool {
    let mut cursor = cursor.clone();
    let generated = !cursor.statement.in_transaction && cursor.eat("DELETE") && cursor.eat("FROM");
    generated && cursor.name().is_some_and(|name| !cursor.wants(&name)) && cursor.peek().is_none()
}

#[cfg(test)]
mod tests;
