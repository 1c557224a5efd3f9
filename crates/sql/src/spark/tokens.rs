//! Tokens as Spark's grammar wants them: names in lower case, texts by Spark's escapes, and rows of VALUES in parentheses.

use std::ops::Range;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

/// The tokens of a text. `range` tells where a token stands in it.
pub(crate) fn settled(
    text: &str,
    mut tokens: Vec<TokenWithSpan>,
    range: impl Fn(&TokenWithSpan) -> Range<usize>,
) -> Vec<TokenWithSpan> {
    for index in 0..tokens.len() {
        let Some(token) = tokens.get(index) else { break };
        let read = match &token.token {
            Token::Word(word) if word.value.eq_ignore_ascii_case("r") && word.quote_style.is_none() => {
                let quoted = tokens.get(index + 1).filter(|next| is_text(next) && next.span.start == token.span.end);
                if let Some(inside) = quoted.and_then(|quoted| inside(text, range(quoted))) {
                    put(&mut tokens, index + 1, Token::Whitespace(Whitespace::Space));
                    Token::SingleQuotedString(inside.to_owned())
                } else {
                    lower(word)
                }
            }
            Token::Word(word) => lower(word),
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => {
                let found = range(token);
                let quote = text.get(found.clone()).and_then(|text| text.chars().next()).unwrap_or('\'');
                match inside(text, found) {
                    Some(inside) if quote == '"' => Token::DoubleQuotedString(unescaped(inside, quote)),
                    Some(inside) => Token::SingleQuotedString(unescaped(inside, quote)),
                    None => continue,
                }
            }
            _ => continue,
        };
        put(&mut tokens, index, read);
    }
    with_rows(tokens)
}

fn put(tokens: &mut [TokenWithSpan], index: usize, token: Token) {
    if let Some(place) = tokens.get_mut(index) {
        place.token = token;
    }
}

fn is_text(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::SingleQuotedString(_) | Token::DoubleQuotedString(_))
}

fn lower(word: &datafusion::sql::sqlparser::tokenizer::Word) -> Token {
    Token::Word(datafusion::sql::sqlparser::tokenizer::Word { value: word.value.to_lowercase(), ..word.clone() })
}

/// What stands between the quotes.
fn inside(text: &str, found: Range<usize>) -> Option<&str> {
    text.get(found.start + 1..found.end.checked_sub(1)?)
}

/// A text by the escapes of Spark's `unescapeSQLString`; a quote may also be doubled.
fn unescaped(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        if letter == quote && rest.starts_with(quote) {
            rest = &rest[quote.len_utf8()..];
        }
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        if let Some((found, behind)) = by_number(rest) {
            out.push(found);
            rest = behind;
            continue;
        }
        let Some(escaped) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        rest = &rest[escaped.len_utf8()..];
        match escaped {
            '0' => out.push('\0'),
            'b' => out.push('\u{8}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'Z' => out.push('\u{1a}'),
            // LIKE reads these.
            '%' | '_' => out.extend(['\\', escaped]),
            other => out.push(other),
        }
    }
    out
}

/// `u0041`, `U0001F600`, `101`: a character by its number, and what stands behind.
fn by_number(text: &str) -> Option<(char, &str)> {
    let (skip, digits, base) = match text.chars().next()? {
        'u' => (1, 4, 16),
        'U' => (1, 8, 16),
        '0'..='1' => (0, 3, 8),
        _ => return None,
    };
    let number = text.get(skip..skip + digits)?;
    if !number.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let found = char::from_u32(u32::from_str_radix(number, base).ok()?)?;
    Some((found, text.get(skip + digits..)?))
}

/// `VALUES 1, 2` as `VALUES (1), (2)`, and in FROM in parentheses of its own, so that PIVOT may stand behind it.
fn with_rows(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        index += 1;
        let in_from = out.iter().rev().find(|token| !is_space(token)).is_some_and(|before| match &before.token {
            Token::Word(word) => matches!(word.keyword, Keyword::FROM | Keyword::JOIN | Keyword::LATERAL),
            Token::Comma => true,
            _ => false,
        });
        if !is_keyword(token, Keyword::VALUES) {
            out.push(token.clone());
            continue;
        }
        let span = token.span;
        let Some((rows, behind)) = rows(&tokens, index) else {
            out.push(token.clone());
            continue;
        };
        let mark = |token: Token| TokenWithSpan { token, span };
        if in_from {
            out.push(mark(Token::LParen));
        }
        out.push(token.clone());
        for (at, row) in rows.into_iter().enumerate() {
            if at > 0 {
                out.push(mark(Token::Comma));
            }
            let bare = !matches!(row.first().map(|token| &token.token), Some(Token::LParen));
            out.extend(bare.then(|| mark(Token::LParen)));
            out.extend(row.iter().cloned());
            out.extend(bare.then(|| mark(Token::RParen)));
        }
        if in_from {
            out.push(mark(Token::RParen));
            // The name behind it may follow at once.
            out.push(mark(Token::Whitespace(Whitespace::Space)));
        }
        index = behind;
    }
    out
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

fn is_keyword(token: &TokenWithSpan, wanted: Keyword) -> bool {
    matches!(&token.token, Token::Word(word) if word.keyword == wanted && word.quote_style.is_none())
}

/// The rows from a place on, and where what follows them begins; `None` where they are more than constants, calls and
/// rows in parentheses.
fn rows(tokens: &[TokenWithSpan], from: usize) -> Option<(Vec<&[TokenWithSpan]>, usize)> {
    let next =
        |from: usize| (from..tokens.len()).find(|index| tokens.get(*index).is_some_and(|token| !is_space(token)));
    let mut rows = Vec::new();
    let mut at = from;
    loop {
        let start = next(at)?;
        let mut end = start;
        if tokens.get(end)?.token == Token::Minus {
            end = next(end + 1)?;
        }
        end = match &tokens.get(end)?.token {
            Token::LParen => closed(tokens, end)?,
            Token::Number(..) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => end + 1,
            // A call, or NULL, TRUE and the like.
            Token::Word(_) => match next(end + 1) {
                Some(open) if tokens.get(open)?.token == Token::LParen => closed(tokens, open)?,
                _ => end + 1,
            },
            _ => return None,
        };
        rows.push(tokens.get(start..end)?);
        let more = next(end).filter(|comma| tokens.get(*comma).is_some_and(|token| token.token == Token::Comma));
        let more = more.filter(|comma| {
            next(comma + 1).and_then(|row| tokens.get(row)).is_some_and(|row| !is_keyword(row, Keyword::VALUES))
        });
        match more {
            Some(comma) => at = comma + 1,
            None => return Some((rows, end)),
        }
    }
}

/// Behind the parenthesis that closes the one at a place.
fn closed(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for index in open..tokens.len() {
        match tokens.get(index)?.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}
