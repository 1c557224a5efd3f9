//! [`Cursor`]: a place in one line of JSON, with the steps a decoder takes: tokens are found, never copied.

use memchr::memchr2;

/// How deep values may be nested, the line's own object included: as deep as Jackson reads.
pub(crate) const DEPTH_MAX: usize = 1_000;

/// Levels that fit into a word.
const LEVELS: usize = 128;

/// What is wrong with the text itself.
pub(crate) type Fault = &'static str;

/// A value's text as it stands in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// The inside of a string and whether it has escapes.
    Text(&'a str, bool),
    /// A number.
    Number(&'a str),
    True,
    False,
    Null,
    /// `{`; the place is behind it.
    Object,
    /// `[`; the place is behind it.
    List,
}

/// A place in a line.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    pub(crate) at: usize,
    /// Objects and lists around this place.
    pub(crate) depth: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The text between two places of this line.
    #[inline]
    pub(crate) fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// Whether only blanks are left.
    pub(crate) fn at_end(&mut self) -> bool {
        self.skip_blanks();
        self.at >= self.text.len()
    }

    /// Steps over `byte` and the blanks before it, if it is next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over `expected` (a quoted name and its colon) if exactly that is next.
    #[inline]
    pub(crate) fn take_exact(&mut self, expected: &[u8]) -> bool {
        let found = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(expected));
        if found {
            self.at += expected.len();
        }
        found
    }

    /// A name and the colon behind it.
    pub(crate) fn name(&mut self) -> Result<(&'a str, bool), Fault> {
        if !self.take(b'"') {
            return Err("expected a field name in quotes");
        }
        let name = self.string()?;
        if !self.take(b':') {
            return Err("expected ':' behind a field name");
        }
        Ok(name)
    }

    /// The rest of a string whose opening quote has been taken.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<(&'a str, bool), Fault> {
        const OPEN: Fault = "a string does not end in its line";
        let from = self.at;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let found = memchr2(b'"', b'\\', rest).ok_or(OPEN)?;
            if rest.get(found) == Some(&b'"') {
                let text = self.slice(from, self.at + found);
                self.at += found + 1;
                return Ok((text, escaped));
            }
            escaped = true;
            self.at += found + 2;
            if self.at > self.text.len() {
                return Err(OPEN);
            }
        }
    }

    /// The next value, of which objects and lists are only begun.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<Token<'a>, Fault> {
        self.skip_blanks();
        let from = self.at;
        let first = self.peek().ok_or("the line ends where a value should be")?;
        match first {
            b'"' => {
                self.at += 1;
                self.string().map(|(text, escaped)| Token::Text(text, escaped))
            }
            b'{' => {
                self.at += 1;
                Ok(Token::Object)
            }
            b'[' => {
                self.at += 1;
                Ok(Token::List)
            }
            b'-' | b'0'..=b'9' => {
                while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = self.peek() {
                    self.at += 1;
                }
                let text = self.slice(from, self.at);
                if is_number(text.as_bytes()) { Ok(Token::Number(text)) } else { Err("a number is malformed") }
            }
            _ => self.word(from),
        }
    }

    fn word(&mut self, from: usize) -> Result<Token<'a>, Fault> {
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        match self.slice(from, self.at) {
            "true" => Ok(Token::True),
            "false" => Ok(Token::False),
            "null" => Ok(Token::Null),
            _ => Err("expected a value"),
        }
    }

    /// Steps over a value.
    #[inline]
    pub(crate) fn skip_value(&mut self) -> Result<(), Fault> {
        match self.token()? {
            Token::Object => self.skip_nested(false),
            Token::List => self.skip_nested(true),
            _ => Ok(()),
        }
    }

    /// Steps over the rest of an object or list that was begun, and checks that it is well formed.
    pub(crate) fn skip_nested(&mut self, list: bool) -> Result<(), Fault> {
        // One bit a level: whether the level is a list. What does not fit any more is put aside.
        let mut levels: u128 = u128::from(list);
        let mut outer = Vec::new();
        let mut depth = 1;
        let mut first = true;
        while depth > 0 {
            let list = levels & 1 == 1;
            if self.take(if list { b']' } else { b'}' }) {
                levels >>= 1;
                depth -= 1;
                if depth % LEVELS == 0
                    && let Some(aside) = outer.pop()
                {
                    levels = aside;
                }
                first = false;
                continue;
            }
            if !first && !self.take(b',') {
                return Err("expected ',' or the end of an object or array");
            }
            first = false;
            if !list {
                self.name()?;
            }
            if let token @ (Token::Object | Token::List) = self.token()? {
                if depth % LEVELS == 0 {
                    outer.push(levels);
                }
                depth += 1;
                if self.depth + depth > DEPTH_MAX {
                    return Err("values are nested more than 1000 deep");
                }
                levels = levels << 1 | u128::from(token == Token::List);
                first = true;
            }
        }
        Ok(())
    }
}

/// The grammar of JSON numbers.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || whole > 1 && text.first() == Some(&b'0') {
        return false;
    }
    let mut rest = text.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = fraction.get(length..).unwrap_or_default();
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
        let length = digits(exponent);
        if length == 0 {
            return false;
        }
        rest = exponent.get(length..).unwrap_or_default();
    }
    rest.is_empty()
}

/// Replaces the escapes of a string's inside; `None` for an escape that JSON does not have.
///
/// Lone surrogates become U+FFFD, as a Java string with one becomes when it is written as UTF-8.
pub(crate) fn unescape(text: &str, out: &mut String) -> Option<()> {
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let kind = escape.chars().next()?;
        rest = escape.get(kind.len_utf8()..)?;
        out.push(match kind {
            '"' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = hex(rest.get(..4)?)?;
                rest = rest.get(4..)?;
                let low = rest.strip_prefix("\\u").and_then(|low| hex(low.get(..4)?));
                match low {
                    Some(low) if (0xD800..0xDC00).contains(&high) && (0xDC00..0xE000).contains(&low) => {
                        rest = rest.get(6..)?;
                        char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))?
                    }
                    _ => char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER),
                }
            }
            _ => return None,
        });
    }
    out.push_str(rest);
    Some(())
}

fn hex(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}
