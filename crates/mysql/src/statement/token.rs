//! Statements cut into words, quoted names, literals and signs, as the server that wrote them did.
//!
//! The law: what the server executed is never taken for a comment or a literal. Conditional comments (`/*!…*/`, and
//! MariaDB's `/*M!…*/`) are read as code: a server that does not execute one writes it to its log as a plain comment.

/// A part of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword or a name without quotes.
    Word(String),
    /// A name in quotes: never a keyword.
    Quoted(String),
    /// What a string literal stands for.
    Text(String),
    /// Digits.
    Number(String),
    /// Any other character.
    Sign(char),
}

impl Token {
    /// Whether it is this keyword, given in upper case.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Whether it is one of these keywords.
    pub(crate) fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    pub(crate) fn is_sign(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }

    /// What may name something: a word or a quoted name.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// What of the server and of its `sql_mode` changes how a text is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// `"` quotes names, not literals.
    pub(crate) ansi_quotes: bool,
    /// A backslash is a character like others.
    pub(crate) no_backslash_escapes: bool,
    /// The server is a MariaDB, to which `/*M!…*/` is code. To MySQL it is a comment.
    pub(crate) mariadb: bool,
}

/// Cuts a statement. What has no end (a quote, a comment) goes to the end of the text.
pub(crate) fn tokens(sql: &str, mode: Mode) -> Vec<Token> {
    let mut lexer = Lexer { rest: sql, mode, conditional: 0, tokens: Vec::new() };
    while lexer.step().is_some() {}
    lexer.tokens
}

struct Lexer<'a> {
    rest: &'a str,
    mode: Mode,
    /// Conditional comments that are open.
    conditional: usize,
    tokens: Vec<Token>,
}

fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c.is_ascii_control()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

impl Lexer<'_> {
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn skip_behind(&mut self, end: &str) {
        self.rest = self.rest.split_once(end).map_or("", |(_, rest)| rest);
    }

    /// Reads one token, comment or blank; `None` at the end.
    fn step(&mut self) -> Option<()> {
        let first = self.rest.chars().next()?;
        if is_blank(first) {
            self.skip(first.len_utf8());
            return Some(());
        }
        if self.comment(first) {
            return Some(());
        }
        match first {
            '`' => {
                let name = self.quoted('`', false);
                self.tokens.push(Token::Quoted(name));
            }
            '"' if self.mode.ansi_quotes => {
                let name = self.quoted('"', false);
                self.tokens.push(Token::Quoted(name));
            }
            '\'' | '"' => {
                let text = self.quoted(first, !self.mode.no_backslash_escapes);
                self.tokens.push(Token::Text(text));
            }
            _ if is_word(first) => self.word(),
            _ => {
                self.skip(first.len_utf8());
                self.tokens.push(Token::Sign(first));
            }
        }
        Some(())
    }

    /// Steps over a comment, or over the borders of a conditional one.
    fn comment(&mut self, first: char) -> bool {
        let rest = self.rest;
        match first {
            '#' => self.skip_behind("\n"),
            '-' if rest.get(1..2) == Some("-") && rest.chars().nth(2).is_none_or(is_blank) => self.skip_behind("\n"),
            '/' if rest.starts_with("/*!") || self.mode.mariadb && rest.starts_with("/*M!") => {
                let sign = if rest.starts_with("/*!") { 3 } else { 4 };
                self.skip(sign);
                // Five or six digits are the version; what follows is code.
                let digits = self.rest.bytes().take(6).take_while(u8::is_ascii_digit).count();
                self.skip(if digits >= 5 { digits } else { 0 });
                self.conditional += 1;
            }
            '/' if rest.starts_with("/*") => {
                self.skip(2);
                self.skip_behind("*/");
            }
            '*' if self.conditional > 0 && rest.starts_with("*/") => {
                self.conditional -= 1;
                self.skip(2);
            }
            _ => return false,
        }
        true
    }

    fn quoted(&mut self, quote: char, escapes: bool) -> String {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            if escapes && c == '\\' {
                if let Some((_, escaped)) = chars.next() {
                    text.push(escaped);
                }
            } else if c == quote {
                if chars.peek().is_none_or(|(_, next)| *next != quote) {
                    end = at + 1;
                    break;
                }
                chars.next();
                text.push(quote);
            } else {
                text.push(c);
            }
        }
        self.skip(end);
        text
    }

    fn word(&mut self) {
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let word = self.rest.get(..end).unwrap_or_default().to_owned();
        self.skip(end);
        // Behind a dot even digits are a name.
        let named = self.tokens.last().is_some_and(|token| token.is_sign('.'));
        let number = word.bytes().all(|byte| byte.is_ascii_digit()) && !named;
        self.tokens.push(if number { Token::Number(word) } else { Token::Word(word) });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn print(sql: &str, mode: Mode) -> String {
        let part = |token: &Token| match token {
            Token::Word(word) => word.clone(),
            Token::Quoted(name) => format!("`{name}`"),
            Token::Text(text) => format!("'{text}'"),
            Token::Number(number) => number.clone(),
            Token::Sign(sign) => sign.to_string(),
        };
        tokens(sql, mode).iter().map(part).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_literals_and_comments_are_told_apart() {
        let ansi = Mode { ansi_quotes: true, ..Mode::default() };
        let maria = Mode { mariadb: true, ..Mode::default() };
        let raw = Mode { no_backslash_escapes: true, ..Mode::default() };
        for (sql, mode, expected) in [
            ("TRUNCATE`my table`", Mode::default(), "TRUNCATE `my table`"),
            ("a/**/b /* c */d", Mode::default(), "a b d"),
            ("/*!50000 TRUNCATE */ shop.t", Mode::default(), "TRUNCATE shop . t"),
            ("/*M!100100 TRUNCATE shop.t */", maria, "TRUNCATE shop . t"),
            ("/*M! CREATE TABLE x LIKE */ TRUNCATE t", Mode::default(), "TRUNCATE t"),
            ("/*! a /* b */ c */ d", Mode::default(), "a c d"),
            ("/*!1234 a */", Mode::default(), "1234 a"),
            ("a -- b\nc --d", Mode::default(), "a c - - d"),
            ("a # b\nc", Mode::default(), "a c"),
            ("'it''s' \"x\\\"y\"", Mode::default(), "'it's' 'x\"y'"),
            ("\"a\"\"b\"", ansi, "`a\"b`"),
            ("'a\\' b", raw, "'a\\' b"),
            ("`a``b`.1t 12 shop.3", Mode::default(), "`a`b` . 1t 12 shop . 3"),
            ("a\u{b}b\u{0}c", Mode::default(), "a b c"),
            ("'/*' t '*/'", Mode::default(), "'/*' t '*/'"),
            ("2*/* x */3", Mode::default(), "2 * 3"),
            ("größe", Mode::default(), "größe"),
            ("'open", Mode::default(), "'open'"),
        ] {
            assert_eq!(print(sql, mode), expected, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn law_any_text_has_an_end(sql in "[a/*!M`'\"\\\\# \n0-9-]{0,60}|.{0,60}", (ansi, raw, mariadb) in any::<(bool, bool, bool)>()) {
            let mode = Mode { ansi_quotes: ansi, no_backslash_escapes: raw, mariadb };
            prop_assert!(tokens(&sql, mode).len() <= sql.len());
        }

        #[test]
        fn law_a_quoted_name_is_read_back(name in ".{0,30}") {
            let sql = format!("TRUNCATE{}", crate::ident(&name));
            prop_assert_eq!(tokens(&sql, Mode::default()).pop(), Some(Token::Quoted(name)));
        }

        #[test]
        fn law_comments_change_nothing(comment in "[a-z '\"`!-]{0,20}") {
            prop_assume!(!comment.starts_with('!') && !comment.starts_with("M!"));
            let sql = format!("TRUNCATE/*{comment}*/t");
            prop_assert_eq!(tokens(&sql, Mode::default()), tokens("TRUNCATE t", Mode::default()));
        }
    }
}
