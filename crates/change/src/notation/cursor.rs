//! A place in one line of the notation, and the tokens of it.

use crate::{Error, Place, Result};

/// Levels of nested types.
const DEPTH_MAX: usize = 64;

/// Reads one line from left to right. Space between tokens means nothing.
pub(super) struct Cursor<'a> {
    line: u64,
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of a line; `line` counts from 1.
    pub(super) fn new(line: u64, text: &'a str) -> Self {
        Self { line, text, rest: text, depth: 0 }
    }

    /// An error at this line.
    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::usage("notation.parse", message)
            .detail(self.text.trim())
            .at(Place::File { path: "change text".into(), line: self.line })
    }

    /// An error that says what should stand here instead of `found`, or of the next character where that is empty.
    pub(super) fn expected(&self, what: &str, found: &str) -> Error {
        match (found, self.rest.trim_start().chars().next()) {
            ("", None) => self.error(format!("expected {what}, found the end of the line")),
            ("", Some(next)) => self.error(format!("expected {what}, found '{next}'")),
            (found, _) => self.error(format!("expected {what}, found '{found}'")),
        }
    }

    /// Runs `read` one level deeper. Types nest no deeper than [`DEPTH_MAX`], so that no text exhausts the stack.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEPTH_MAX {
            return Err(self.error(format!("types nest deeper than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The next character that is not space.
    pub(super) fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    /// Whether the line is over.
    pub(super) fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes `token` if it comes next.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes `token` or fails.
    pub(super) fn require(&mut self, token: &str) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(&format!("'{token}'"), "")) }
    }

    /// Takes `word` if it is the whole next word.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let before = self.rest;
        let found = self.word() == word;
        if !found {
            self.rest = before;
        }
        found
    }

    /// Takes everything up to space, quote, bracket, comma, bar or `!`. A colon belongs to the word unless space follows.
    pub(super) fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.char_indices().find(|(at, c)| match c {
            '|' | ',' | '(' | ')' | '<' | '>' | '[' | ']' | '{' | '}' | '!' | '"' => true,
            ':' => self.rest[at + 1..].starts_with(char::is_whitespace),
            c => c.is_whitespace(),
        });
        let (word, rest) = self.rest.split_at(end.map_or(self.rest.len(), |(at, _)| at));
        self.rest = rest;
        word
    }

    /// Takes a JSON string.
    pub(super) fn quoted(&mut self) -> Result<String> {
        if !self.eat("\"") {
            return Err(self.expected("a quoted string", ""));
        }
        let mut out = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next() {
                Some('"') => break,
                Some('\\') => {
                    let escape = match chars.next() {
                        Some('n') => Some('\n'),
                        Some('r') => Some('\r'),
                        Some('t') => Some('\t'),
                        Some('b') => Some('\u{8}'),
                        Some('f') => Some('\u{c}'),
                        Some(c @ ('"' | '\\' | '/')) => Some(c),
                        Some('u') => unicode(&mut chars),
                        _ => None,
                    };
                    out.push(escape.ok_or_else(|| self.error("bad escape in a string"))?);
                }
                Some(c) => out.push(c),
                None => return Err(self.error("string without an end")),
            }
        }
        self.rest = chars.as_str();
        Ok(out)
    }
}

/// The character of `XXXX` behind `\u`, or of a surrogate pair `XXXX\uXXXX`.
fn unicode(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let high = hex4(chars)?;
    if !(0xD800..0xDC00).contains(&high) {
        return char::from_u32(high);
    }
    if chars.next() != Some('\\') || chars.next() != Some('u') {
        return None;
    }
    let low = hex4(chars)?;
    let low = (0xDC00..0xE000).contains(&low).then_some(low)?;
    char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))
}

fn hex4(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |sum, _| Some(sum * 16 + chars.next()?.to_digit(16)?))
}
