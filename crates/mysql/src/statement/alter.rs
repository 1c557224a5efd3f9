//! What an ALTER TABLE does to the rows of a wanted table that are there already.
//!
//! The law: a change of the definition that may change a value of a wanted column stops the reader, because the server
//! writes no events for it. Columns that nobody reads may come, go and change.

use super::declared::Declared;
use super::table::unfollowed;
use super::token::Token;
use super::{Harm, Name};

/// What is known of the table before the statement.
pub(crate) struct Facts<'a> {
    /// Whether a column of this name is read.
    pub(crate) wanted: &'a dyn Fn(&str) -> bool,
    /// How a column is declared; `None` where it is not known.
    pub(crate) declared: &'a dyn Fn(&str) -> Option<Declared>,
    /// The table's default character set.
    pub(crate) charset: Option<&'a str>,
    /// A wanted column's values come from others, or may.
    pub(crate) generated: bool,
    /// A wanted column is a text, or may be.
    pub(crate) texts: bool,
    pub(crate) cascades_are_logged: bool,
    /// Types have the names of `sql_mode=ORACLE`.
    pub(crate) oracle: bool,
}

/// What the statement does to the definition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Columns came, went, moved or changed their types.
    pub(crate) columns: bool,
    /// Wanted columns that are declared otherwise now.
    pub(crate) declared: Vec<(String, Declared)>,
    /// The table's default character set is another one.
    pub(crate) charset: bool,
}

/// Options of tables that change no value.
const OPTIONS: [&str; 35] = [
    "DEFAULT",
    "CHARACTER",
    "CHARSET",
    "COLLATE",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHECKSUM",
    "TABLE_CHECKSUM",
    "COMMENT",
    "COMPRESSION",
    "DELAY_KEY_WRITE",
    "ENCRYPTION",
    "ENCRYPTED",
    "ENCRYPTION_KEY_ID",
    "ENGINE",
    "ENGINE_ATTRIBUTE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "KEY_BLOCK_SIZE",
    "MAX_ROWS",
    "MIN_ROWS",
    "PACK_KEYS",
    "PAGE_CHECKSUM",
    "PAGE_COMPRESSED",
    "PAGE_COMPRESSION_LEVEL",
    "ROW_FORMAT",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "TABLESPACE",
    "TRANSACTIONAL",
    "AUTOEXTEND_SIZE",
    "ALGORITHM",
    "LOCK",
    "FORCE",
    "ORDER",
];

const KEYS: [&str; 8] = ["INDEX", "KEY", "UNIQUE", "FULLTEXT", "SPATIAL", "FOREIGN", "CONSTRAINT", "CHECK"];

/// Judges the parts of an ALTER TABLE of `table`.
pub(crate) fn judge(table: &Name, parts: &[Vec<Token>], facts: &Facts<'_>) -> Result<Change, Harm> {
    let texts = ["CHARACTER", "CHARSET", "COLLATE"];
    let of_column = |part: &[Token]| is_any(part.first(), &["ADD", "MODIFY", "CHANGE"]);
    // The default counts for the whole statement, wherever it stands.
    let charset = parts.iter().any(|part| !of_column(part) && part.iter().any(|token| token.is_any(&texts)));
    let mut change = Change { charset, ..Change::default() };
    for part in parts {
        if let Some(why) = unfollowed(part, facts.cascades_are_logged) {
            return Err(Harm::Unfollowed(why));
        }
        Judge { table, facts, change: &mut change }.part(part)?;
    }
    Ok(change)
}

struct Judge<'a> {
    table: &'a Name,
    facts: &'a Facts<'a>,
    change: &'a mut Change,
}

fn is_any(token: Option<&Token>, keywords: &[&str]) -> bool {
    token.is_some_and(|token| token.is_any(keywords))
}

impl Judge<'_> {
    fn emptied(&self) -> Result<(), Harm> {
        Err(Harm::Emptied(self.table.to_string()))
    }

    fn rewritten(&self, column: &str) -> Harm {
        Harm::Rewritten(format!("column '{column}' of {}", self.table))
    }

    fn part(&mut self, part: &[Token]) -> Result<(), Harm> {
        let Some((Token::Word(first), rest)) = part.split_first() else {
            return if part.is_empty() { Ok(()) } else { Err(Harm::Unknown) };
        };
        let second = rest.first();
        match first.to_ascii_uppercase().as_str() {
            "ADD" => self.add(rest),
            "DROP" => self.drop(rest),
            "MODIFY" => self.modify(rest, false),
            "CHANGE" => self.modify(rest, true),
            "ALTER" => Ok(()),
            "RENAME" if is_any(second, &["INDEX", "KEY"]) => Ok(()),
            "RENAME" if is_any(second, &["COLUMN"]) => self.rename_column(rest),
            "RENAME" => Err(Harm::Renamed(self.table.clone())),
            "CONVERT" if is_any(second, &["TO"]) => self.convert(),
            "TRUNCATE" | "EXCHANGE" | "DISCARD" | "IMPORT" | "CONVERT" | "REPAIR" => self.emptied(),
            "PARTITION" | "REMOVE" | "REORGANIZE" | "REBUILD" | "COALESCE" | "ANALYZE" | "CHECK" | "OPTIMIZE"
            | "ENABLE" | "DISABLE" | "WITHOUT" => Ok(()),
            "WITH" if is_any(second, &["VALIDATION"]) => Ok(()),
            option if OPTIONS.contains(&option) => {
                // Several options may stand in one part.
                let other = ["CONNECTION", "SEQUENCE", "DIRECTORY", "INSERT_METHOD"];
                if rest.iter().any(|token| token.is_any(&other)) { Err(Harm::Unknown) } else { Ok(()) }
            }
            _ => Err(Harm::Unknown),
        }
    }

    fn add(&mut self, rest: &[Token]) -> Result<(), Harm> {
        let first = rest.first();
        let primary =
            rest.windows(2).position(|pair| is_any(pair.first(), &["PRIMARY"]) && is_any(pair.get(1), &["KEY"]));
        let constraint = is_any(first, &["CONSTRAINT"]);
        if primary == Some(0) || constraint && primary.is_some() {
            return self.primary_key(rest.get(primary.unwrap_or(0) + 2..).unwrap_or_default());
        }
        // VECTOR is a word that a column may have for its name.
        let vector = is_any(first, &["VECTOR"]) && is_any(rest.get(1), &["INDEX", "KEY"]);
        if is_any(first, &["PARTITION"]) || is_any(first, &KEYS) || vector {
            return Ok(());
        }
        if is_any(first, &["PERIOD", "SYSTEM"]) {
            return Err(Harm::Unfollowed("it is system-versioned"));
        }
        self.change.columns = true;
        let mut rest = behind(rest, &["COLUMN"]);
        rest = behind(rest, &["IF", "NOT", "EXISTS"]);
        let mut names = Vec::new();
        if let Some((_, inside)) = rest.split_first().filter(|(open, _)| open.is_sign('(')) {
            let mut start = true;
            let mut depth = 0_usize;
            for token in inside {
                if start {
                    names.extend(token.name());
                }
                start = false;
                match token {
                    Token::Sign('(') => depth += 1,
                    Token::Sign(')') => depth = depth.saturating_sub(1),
                    Token::Sign(',') => start = depth == 0,
                    _ => {}
                }
            }
        } else {
            names.extend(rest.first().and_then(Token::name));
        }
        if names.is_empty() {
            return Err(Harm::Unknown);
        }
        match names.iter().find(|name| (self.facts.wanted)(name)) {
            Some(name) => Err(self.rewritten(name)),
            None => Ok(()),
        }
    }

    /// A key's columns cannot be NULL any more.
    fn primary_key(&mut self, rest: &[Token]) -> Result<(), Harm> {
        for name in rest.iter().filter_map(Token::name).filter(|name| (self.facts.wanted)(name)) {
            if (self.facts.declared)(name).is_none_or(|declared| declared.nullable) {
                return Err(self.rewritten(name));
            }
        }
        Ok(())
    }

    fn drop(&mut self, rest: &[Token]) -> Result<(), Harm> {
        let first = rest.first();
        if is_any(first, &["PARTITION"]) {
            return self.emptied();
        }
        if is_any(first, &["SYSTEM", "PERIOD"]) {
            return Err(Harm::Unfollowed("it is system-versioned"));
        }
        let more = rest.len() > 1;
        if more && (is_any(first, &KEYS) || is_any(first, &["PRIMARY"])) {
            return Ok(());
        }
        self.change.columns = true;
        let rest = behind(behind(rest, &["COLUMN"]), &["IF", "EXISTS"]);
        match rest.first().and_then(Token::name) {
            Some(name) if (self.facts.wanted)(name) => Err(Harm::Column(format!("{}.{name}", self.table))),
            Some(_) => Ok(()),
            None => Err(Harm::Unknown),
        }
    }

    fn modify(&mut self, rest: &[Token], renames: bool) -> Result<(), Harm> {
        self.change.columns = true;
        let rest = behind(behind(rest, &["COLUMN"]), &["IF", "EXISTS"]);
        let Some((Some(name), mut rest)) = rest.split_first().map(|(name, rest)| (name.name(), rest)) else {
            return Err(Harm::Unknown);
        };
        if renames {
            let Some((Some(new), after)) = rest.split_first().map(|(new, rest)| (new.name(), rest)) else {
                return Err(Harm::Unknown);
            };
            rest = after;
            if !new.eq_ignore_ascii_case(name) {
                self.renamed(name, new)?;
            }
        }
        if !(self.facts.wanted)(name) {
            return if self.facts.generated { Err(self.rewritten(name)) } else { Ok(()) };
        }
        let charset = if self.change.charset { None } else { self.facts.charset };
        let before = (self.facts.declared)(name).filter(|_| !self.facts.oracle);
        let after = Declared::from_statement(rest, charset);
        match (before, after) {
            (Some(before), Some(after)) if before.keeps_values(&after) => {
                self.change.declared.push((name.to_owned(), after));
                Ok(())
            }
            _ => Err(self.rewritten(name)),
        }
    }

    fn renamed(&self, before: &str, after: &str) -> Result<(), Harm> {
        if (self.facts.wanted)(before) {
            return Err(Harm::Column(format!("{}.{before}", self.table)));
        }
        if (self.facts.wanted)(after) { Err(self.rewritten(after)) } else { Ok(()) }
    }

    fn rename_column(&mut self, rest: &[Token]) -> Result<(), Harm> {
        self.change.columns = true;
        let rest = behind(behind(rest, &["COLUMN"]), &["IF", "EXISTS"]);
        match (rest.first().and_then(Token::name), rest.get(2).and_then(Token::name)) {
            (Some(before), Some(after)) => self.renamed(before, after),
            _ => Err(Harm::Unknown),
        }
    }

    fn convert(&mut self) -> Result<(), Harm> {
        self.change.columns = true;
        if self.facts.texts { Err(Harm::Rewritten(format!("the texts of {}", self.table))) } else { Ok(()) }
    }
}

/// What is left behind these keywords, where they are all there.
fn behind<'a>(tokens: &'a [Token], keywords: &[&str]) -> &'a [Token] {
    let there = tokens.iter().zip(keywords).filter(|(token, keyword)| token.is(keyword)).count() == keywords.len();
    // A column may be called like the first of them.
    if there && tokens.len() > keywords.len() { tokens.get(keywords.len()..).unwrap_or_default() } else { tokens }
}
