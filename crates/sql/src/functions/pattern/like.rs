//! LIKE: `%` is any text, `_` one character but no end of a line (the `.` of Java), all else itself; there is no escape
//! character but ESCAPE's.

use super::java::LINE_ENDS;

enum Token {
    Any,
    One,
    Letter(char),
}

/// A compiled pattern with a buffer for the text.
pub(super) struct Like {
    tokens: Vec<Token>,
    letters: Vec<char>,
}

impl Like {
    /// Fails where the escape character is followed by what needs none.
    pub(super) fn compile(text: &str, escape: Option<char>) -> Result<Self, String> {
        let mut tokens = Vec::with_capacity(text.len());
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
            tokens.push(Token::Letter(literal));
        }
        Ok(Self { tokens, letters: Vec::new() })
    }

    /// Whether the whole text matches. Of the `%` only the last can have to give way, so there is no more to try than
    /// text times pattern.
    pub(super) fn matches(&mut self, text: &str) -> bool {
        self.letters.clear();
        self.letters.extend(text.chars());
        let (mut at, mut token) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < self.letters.len() {
            let fits = match (self.tokens.get(token), self.letters.get(at)) {
                (Some(Token::Any), _) => {
                    retry = Some((token + 1, at));
                    token += 1;
                    continue;
                }
                (Some(Token::One), Some(found)) => !LINE_ENDS.contains(found),
                (Some(Token::Letter(wanted)), Some(found)) => wanted == found,
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
