//! Types as a table declares them, and from which to which a column goes without a change of any value.
//!
//! The law: what is not known to keep every value, and its text, does not pass.

use super::token::Token;

/// A column's type by its name, with what its values depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    base: String,
    arguments: Vec<u32>,
    members: Vec<String>,
    unsigned: bool,
    /// Of texts; `None` where it is not known.
    charset: Option<String>,
    pub(crate) nullable: bool,
    /// Zeros get numbers when it becomes so.
    numbered: bool,
    /// Its values come from others.
    pub(crate) generated: bool,
}

const TEXTS: [&str; 6] = ["char", "varchar", "tinytext", "text", "mediumtext", "longtext"];
const INTEGERS: [&str; 5] = ["tinyint", "smallint", "mediumint", "int", "bigint"];
const BLOBS: [&str; 4] = ["tinyblob", "blob", "mediumblob", "longblob"];
const OTHERS: [&str; 14] = [
    "decimal",
    "float",
    "double",
    "binary",
    "varbinary",
    "date",
    "time",
    "datetime",
    "timestamp",
    "year",
    "json",
    "bit",
    "enum",
    "set",
];

/// Attributes that change no value.
const ATTRIBUTES: [&str; 12] = [
    "UNIQUE",
    "FIRST",
    "VISIBLE",
    "INVISIBLE",
    "ZEROFILL",
    "SIGNED",
    "STORAGE",
    "COLUMN_FORMAT",
    "DISK",
    "MEMORY",
    "FIXED",
    "DYNAMIC",
];

impl Declared {
    /// From a column of `information_schema`: COLUMN_TYPE, CHARACTER_SET_NAME, whether NULL may be in it, EXTRA in lower
    /// case.
    pub(crate) fn from_catalog(column_type: &str, charset: Option<&str>, nullable: bool, extra: &str) -> Option<Self> {
        let tokens = super::token::tokens(column_type, Default::default());
        let (mut declared, rest) = head(&tokens)?;
        declared.unsigned = rest.iter().any(|token| token.is("UNSIGNED"));
        if rest.iter().any(|token| !token.is_any(&["UNSIGNED", "ZEROFILL"])) {
            return None;
        }
        declared.charset = charset.map(str::to_ascii_lowercase);
        declared.nullable = nullable;
        declared.numbered = extra.contains("auto_increment");
        declared.generated = is_generated(extra);
        Some(declared)
    }

    /// From the definition in an ALTER TABLE. `None` where a part of it is not known; `charset` is the table's default.
    pub(crate) fn from_statement(tokens: &[Token], charset: Option<&str>) -> Option<Self> {
        let (mut declared, mut rest) = head(tokens)?;
        if declared.is_text() {
            declared.charset = charset.map(str::to_owned);
        }
        declared.nullable = declared.base != "timestamp";
        while let Some((first, behind)) = rest.split_first() {
            rest = declared.attribute(first, behind)?;
        }
        Some(declared)
    }

    fn attribute<'a>(&mut self, first: &Token, rest: &'a [Token]) -> Option<&'a [Token]> {
        let word = match first {
            Token::Word(word) => word.to_ascii_uppercase(),
            _ => return None,
        };
        Some(match word.as_str() {
            "UNSIGNED" => {
                self.unsigned = true;
                rest
            }
            "NULL" => {
                self.nullable = true;
                rest
            }
            "NOT" => {
                let (_, rest) = rest.split_first().filter(|(null, _)| null.is("NULL"))?;
                self.nullable = false;
                rest
            }
            "CHARACTER" | "CHARSET" => {
                let rest =
                    if word == "CHARACTER" { rest.split_first().filter(|(set, _)| set.is("SET"))?.1 } else { rest };
                let (name, rest) = rest.split_first()?;
                self.charset = Some(charset_name(name)?);
                rest
            }
            "COLLATE" => {
                let (name, rest) = rest.split_first()?;
                let name = charset_name(name)?;
                // MariaDB's short names (uca1400_ai_ci) do not say their character set.
                self.charset = name.split_once('_').filter(|(set, _)| *set != "uca1400").map(|(set, _)| set.to_owned());
                rest
            }
            "PRIMARY" | "KEY" => {
                self.nullable = false;
                rest
            }
            "AUTO_INCREMENT" => {
                self.nullable = false;
                self.numbered = true;
                rest
            }
            "COMMENT" => rest.split_first()?.1,
            "DEFAULT" => value(rest)?,
            "ON" => value(rest.split_first().filter(|(update, _)| update.is("UPDATE"))?.1)?,
            "AFTER" => rest.split_first()?.1,
            _ if ATTRIBUTES.contains(&word.as_str()) => rest,
            _ => return None,
        })
    }

    /// Whether its values have a character set.
    pub(crate) fn is_text(&self) -> bool {
        TEXTS.contains(&self.base.as_str()) || self.is_choice()
    }

    fn is_choice(&self) -> bool {
        matches!(self.base.as_str(), "enum" | "set")
    }

    fn argument(&self, index: usize) -> u32 {
        self.arguments.get(index).copied().unwrap_or(0)
    }

    /// Whether every value of a column stays what it is when it becomes `after`.
    pub(crate) fn keeps_values(&self, after: &Self) -> bool {
        if self.nullable && !after.nullable || self.generated || !self.numbered && after.numbered {
            return false;
        }
        let charset = self.charset.is_some() && self.charset == after.charset;
        let (from, to) = (self.base.as_str(), after.base.as_str());
        let rank = |list: &[&str], name: &str| list.iter().position(|known| *known == name);
        if let (Some(narrow), Some(wide)) = (rank(&INTEGERS, from), rank(&INTEGERS, to)) {
            return narrow <= wide && self.unsigned == after.unsigned || narrow < wide && self.unsigned;
        }
        if self.unsigned != after.unsigned {
            return false;
        }
        match (from, to) {
            ("char", "char" | "varchar") | ("varchar", "varchar") => charset && self.argument(0) <= after.argument(0),
            // A character has at most four bytes; CHAR takes off blanks, a text does not.
            ("varchar", "tinytext") => charset && self.argument(0) <= 63,
            ("varchar", "text") => charset && self.argument(0) <= 16_383,
            ("varchar", "mediumtext" | "longtext") => charset,
            _ if TEXTS.contains(&from) && TEXTS.contains(&to) => {
                charset && matches!((rank(&TEXTS, from), rank(&TEXTS, to)), (Some(a), Some(b)) if a >= 2 && a <= b)
            }
            ("varbinary", "varbinary") => self.argument(0) <= after.argument(0),
            _ if BLOBS.contains(&from) && BLOBS.contains(&to) => rank(&BLOBS, from) <= rank(&BLOBS, to),
            ("decimal", "decimal") => self.argument(1) == after.argument(1) && self.argument(0) <= after.argument(0),
            ("enum", "enum") | ("set", "set") => charset && after.members.starts_with(&self.members),
            _ => from == to && self.arguments == after.arguments,
        }
    }
}

/// The type's name and arguments, and what follows.
fn head(tokens: &[Token]) -> Option<(Declared, &[Token])> {
    let (first, mut rest) = tokens.split_first()?;
    let Token::Word(name) = first else { return None };
    let base = match name.to_ascii_lowercase().as_str() {
        "integer" => "int".to_owned(),
        "dec" | "numeric" | "fixed" => "decimal".to_owned(),
        "bool" | "boolean" => "tinyint".to_owned(),
        other => other.to_owned(),
    };
    let known = [&TEXTS[..], &INTEGERS, &BLOBS, &OTHERS].iter().any(|list| list.contains(&base.as_str()));
    if !known {
        return None;
    }
    let mut declared = Declared {
        base,
        arguments: Vec::new(),
        members: Vec::new(),
        unsigned: false,
        charset: None,
        nullable: true,
        numbered: false,
        generated: false,
    };
    if rest.first().is_some_and(|token| token.is_sign('(')) {
        let end = rest.iter().position(|token| token.is_sign(')'))?;
        for token in rest.get(1..end)? {
            match token {
                Token::Number(digits) => declared.arguments.push(digits.parse().ok()?),
                Token::Text(member) => declared.members.push(member.clone()),
                Token::Sign(',') => {}
                _ => return None,
            }
        }
        rest = rest.get(end + 1..)?;
    }
    // A length makes a text or blob of the size that holds it.
    if matches!(declared.base.as_str(), "text" | "blob") && !declared.arguments.is_empty() {
        return None;
    }
    declared.defaults();
    Some((declared, rest))
}

impl Declared {
    /// What is meant where nothing is said.
    fn defaults(&mut self) {
        let missing: &[u32] = match (self.base.as_str(), self.arguments.len()) {
            ("decimal", 0) => &[10, 0],
            ("decimal", 1) => &[0],
            ("char" | "binary" | "bit", 0) => &[1],
            ("time" | "datetime" | "timestamp", 0) => &[0],
            _ => &[],
        };
        self.arguments.extend_from_slice(missing);
        // Display widths are no part of a value.
        if INTEGERS.contains(&self.base.as_str()) || self.base == "year" {
            self.arguments.clear();
        }
    }
}

/// Whether a column's EXTRA says that its values come from others.
pub(crate) fn is_generated(extra: &str) -> bool {
    extra.contains(" generated") || extra.contains("persistent") || extra == "virtual"
}

fn charset_name(token: &Token) -> Option<String> {
    match token {
        Token::Word(name) | Token::Quoted(name) | Token::Text(name) => Some(match name.to_ascii_lowercase() {
            name if name == "utf8" => "utf8mb3".to_owned(),
            name => name,
        }),
        _ => None,
    }
}

/// Steps over a default: a literal, a word, a call.
fn value(tokens: &[Token]) -> Option<&[Token]> {
    let mut rest = tokens;
    while rest.first().is_some_and(|token| token.is_sign('-') || token.is_sign('+')) {
        rest = rest.split_first()?.1;
    }
    let (first, behind) = rest.split_first()?;
    if !first.is_sign('(') {
        rest = behind;
        // 1.5, b'0', _utf8mb4'x'
        while rest.first().is_some_and(|token| token.is_sign('.')) {
            rest = rest.get(2..)?;
        }
        if matches!(first, Token::Word(_)) && matches!(rest.first(), Some(Token::Text(_))) {
            rest = rest.split_first()?.1;
        }
    }
    if !rest.first().is_some_and(|token| token.is_sign('(')) {
        return Some(rest);
    }
    let mut depth = 0_usize;
    for (index, token) in rest.iter().enumerate() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return rest.get(index + 1..);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(before: &str, charset: Option<&str>, after: &str) -> bool {
        let before = Declared::from_catalog(before, charset, true, "").expect("a known type");
        let tokens = super::super::token::tokens(after, Default::default());
        Declared::from_statement(&tokens, Some("utf8mb4")).is_some_and(|after| before.keeps_values(&after))
    }

    #[test]
    fn only_what_keeps_every_value_passes() {
        let utf8 = Some("utf8mb4");
        for (before, charset, after, expected) in [
            ("int(11)", None, "BIGINT", true),
            ("int", None, "INTEGER DEFAULT -1 COMMENT 'x' AFTER b", true),
            ("int", None, "INT NOT NULL", false),
            ("int unsigned", None, "BIGINT", true),
            ("int unsigned", None, "INT", false),
            ("int", None, "BIGINT UNSIGNED", false),
            ("int", None, "SMALLINT", false),
            ("int", None, "INT AUTO_INCREMENT", false),
            ("int", None, "INT KEY", false),
            ("int", None, "INT GENERATED ALWAYS AS (a + 1)", false),
            ("varchar(10)", utf8, "VARCHAR(20) DEFAULT (uuid()) COLLATE utf8mb4_bin", true),
            ("varchar(10)", utf8, "VARCHAR(20) CHARACTER SET latin1", false),
            ("varchar(10)", Some("latin1"), "VARCHAR(20)", false),
            ("varchar(10)", Some("utf8mb3"), "VARCHAR(20) CHARSET utf8", true),
            ("varchar(10)", utf8, "VARCHAR(3)", false),
            ("varchar(10)", utf8, "CHAR(20)", false),
            ("varchar(10)", utf8, "TEXT", true),
            ("varchar(20000)", utf8, "TEXT", false),
            ("varchar(10)", utf8, "VARCHAR(20) COLLATE uca1400_ai_ci", false),
            ("text", utf8, "LONGTEXT", true),
            ("text", utf8, "TEXT(10)", false),
            ("longtext", utf8, "TEXT", false),
            ("decimal(10,2)", None, "DECIMAL(12,2)", true),
            ("decimal(10,2)", None, "DECIMAL(10,1)", false),
            ("decimal(10,0)", None, "NUMERIC", true),
            ("datetime", None, "TIMESTAMP NULL", false),
            ("datetime(6)", None, "DATETIME", false),
            ("timestamp", None, "TIMESTAMP", false),
            ("timestamp", None, "TIMESTAMP NULL ON UPDATE CURRENT_TIMESTAMP()", true),
            ("enum('a','b')", utf8, "ENUM('a','b','c')", true),
            ("enum('a','b')", utf8, "ENUM('b','a')", false),
            ("binary(4)", None, "BINARY(8)", false),
            ("json", None, "JSON COMPRESSED", false),
            ("float", None, "DOUBLE", false),
        ] {
            assert_eq!(kept(before, charset, after), expected, "{before} to {after}");
        }
    }
}
