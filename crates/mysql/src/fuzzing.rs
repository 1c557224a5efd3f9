//! Statements of the log, as fuzz targets call them: what is not public otherwise.

use crate::statement::{Declared, Effect, Facts, Mode, Scope, Statement, Token, judge, read, tokens};

/// The session that a statement is of, by the bits of a byte.
#[derive(Clone, Copy, Debug)]
pub struct Session(pub u8);

impl Session {
    fn bit(self, nth: u8) -> bool {
        self.0 >> nth & 1 != 0
    }

    fn mode(self) -> Mode {
        Mode { ansi_quotes: self.bit(0), no_backslash_escapes: self.bit(1), mariadb: self.bit(2) }
    }
}

/// What a QUERY event does where `shop.t`, `shop.my table` and `shop.data` are wanted; `None` where it is not an event.
pub fn event(data: &[u8], load: bool, session: Session) -> Option<String> {
    let mut statement = read(data, load).ok()?;
    statement.mode.mariadb = session.bit(2);
    Some(describe(&statement, session))
}

/// The same of a statement in the database `shop`.
pub fn statement(sql: &str, session: Session) -> String {
    let statement = Statement {
        database: "shop".to_owned(),
        sql: sql.to_owned(),
        mode: session.mode(),
        in_transaction: session.bit(3),
        oracle: session.bit(6),
        ..Statement::default()
    };
    describe(&statement, session)
}

/// Another text with the same meaning: its tokens, quoted and spaced otherwise.
pub fn respelled(sql: &str, session: Session) -> String {
    let mode = session.mode();
    let backslash = if mode.no_backslash_escapes { "\\" } else { "\\\\" };
    let mut text = String::new();
    for token in tokens(sql, mode) {
        text.push_str(if session.bit(7) { " /* x */" } else { "\n" });
        match token {
            Token::Word(word) | Token::Number(word) => text.push_str(&word),
            Token::Quoted(name) => text.push_str(&crate::ident(&name).to_string()),
            Token::Text(literal) => {
                let inside = literal.replace('\\', backslash).replace('\'', "''");
                text.push_str(&format!("'{inside}'"));
            }
            Token::Sign(sign) => text.push(sign),
        }
    }
    text
}

/// Whether a statement drops or renames tables, and a name among its words is that of a wanted one.
pub fn names_wanted(sql: &str, session: Session) -> bool {
    let tokens = tokens(sql, session.mode());
    let is = |at: usize, keyword: &str| tokens.get(at).is_some_and(|token| token.is(keyword));
    let verb = (is(0, "DROP") || is(0, "RENAME")) && (is(1, "TABLE") || is(1, "TABLES"));
    let part = |at: usize| tokens.get(at).and_then(Token::name);
    let dot = |at: usize| tokens.get(at).is_some_and(|token| token.is_sign('.'));
    verb && (2..tokens.len()).any(|at| {
        part(at).is_some_and(|name| wants("shop", name))
            && !dot(at + 1)
            && (!dot(at - 1) || part(at.wrapping_sub(2)) == Some("shop") && !dot(at.wrapping_sub(3)))
    })
}

fn wants(database: &str, table: &str) -> bool {
    database == "shop" && matches!(table, "t" | "my table" | "data")
}

fn describe(statement: &Statement, session: Session) -> String {
    let scope = Scope {
        tables: &wants,
        databases: &|database| database == "shop",
        lower_case: session.bit(4),
        cascades_are_logged: session.bit(5),
    };
    let effect = statement.effect(&scope);
    let Effect::Alters(name, parts) = &effect else { return format!("{effect:?}") };
    let declared = |column: &str| {
        let (column_type, charset) = match column {
            "id" => ("bigint unsigned", None),
            "s" => ("varchar(20)", Some("utf8mb4")),
            "e" => ("enum('a','b''c')", Some("latin1")),
            "d" => ("decimal(10,2)", None),
            _ => return None,
        };
        Declared::from_catalog(column_type, charset, column != "id", "")
    };
    let facts = Facts {
        wanted: &|column| matches!(column, "id" | "s" | "e" | "d" | "x"),
        declared: &declared,
        charset: Some("utf8mb4"),
        generated: session.bit(3),
        texts: true,
        cascades_are_logged: session.bit(5),
        oracle: statement.oracle,
    };
    format!("{effect:?}: {:?}", judge(name, parts, &facts))
}
