//! LIKE: `%` is any text, `_` one UTF-16 unit (as in Java), all else itself; there is no escape character but ESCAPE's.

enum Token {
    Any,
    One,
    Unit(u16),
}

/// A compiled pattern with a buffer for the text.
pub(super) struct Like {
    tokens: Vec<Token>,
    units: Vec<u16>,
}

impl Like {
    /// Fails where the escape character is followed by what needs none.
    pub(super) fn compile(text: &str, escape: Option<char>) -> Result<Self, String> {
        let mut tokens = Vec::with_capacity(text.len());
        let mut buffer = [0; 2];
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let literal = match letter {
                _ if Some(letter) == escape => match letters.next() {
                    Some(next) if matches!(next, '%' | '_') || Some(next) == escape => next,
                    _ => return Err("the escape character must stand before %, _ or itself".to_owned()),
                },
                '%' => {
                    tokens.push(Token::Any);
                    continue;
                }
                '_' => {
                    tokens.push(Token::One);
                    continue;
                }
                other => other,
            };
            tokens.extend(literal.encode_utf16(&mut buffer).iter().map(|unit| Token::Unit(*unit)));
        }
        Ok(Self { tokens, units: Vec::new() })
    }

    /// Whether the whole text matches. Of the `%` only the last can have to give way, so there is no more to try than
    /// text times pattern.
    pub(super) fn matches(&mut self, text: &str) -> bool {
        self.units.clear();
        self.units.extend(text.encode_utf16());
        let (mut at, mut token) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < self.units.len() {
            let fits = match (self.tokens.get(token), self.units.get(at)) {
                (Some(Token::Any), _) => {
                    retry = Some((token + 1, at));
                    token += 1;
                    continue;
                }
                (Some(Token::One), Some(_)) => true,
                (Some(Token::Unit(wanted)), Some(found)) => wanted == found,
                _ => false,
            };
            if fits {
                at += 1;
                token += 1;
            } else if let Some((behind, from)) = retry {
                token = behind;
                at = from + 1;
                retry = Some((behind, from + 1));
            } else {
                return false;
            }
        }
        self.tokens.get(token..).is_some_and(|rest| rest.iter().all(|token| matches!(token, Token::Any)))
    }
}
