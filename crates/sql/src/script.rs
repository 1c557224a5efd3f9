//! A script: text with variables, cut into statements whose tokens know where they stand in the text.

use std::collections::BTreeMap;
use std::ops::Range;

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use headwater_change::{Error, Place, Result, secret, suggest};

use crate::dialect::FlinkDialect;

/// Text of a script after its variables were put in.
#[derive(Debug)]
pub struct Script {
    text: String,
    lines: Vec<usize>,
    statements: Vec<Vec<TokenWithSpan>>,
}

impl Script {
    /// Puts `${NAME}` variables in and cuts the text at semicolons. Fails on an unknown variable and on text that has
    /// no tokens (an unclosed quote).
    pub fn read(text: &str, variables: &BTreeMap<String, String>) -> Result<Self> {
        secret::remember_script(text);
        let text = substitute(text, variables)?;
        secret::remember_script(&text);
        let lines: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect();
        let mut script = Self { text, lines, statements: Vec::new() };
        let dialect = FlinkDialect;
        let tokens = Tokenizer::new(&dialect, &script.text).tokenize_with_location().map_err(|error| {
            let at = script.offset(error.location);
            Error::usage("sql.syntax", error.message.to_lowercase()).at(Place::Sql(at..at + 1))
        })?;
        script.statements = split(tokens);
        Ok(script)
    }

    /// The text that spans refer to.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many statements there are.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether there is no statement.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// The tokens of a statement, without the semicolon.
    pub(crate) fn tokens(&self, statement: usize) -> &[TokenWithSpan] {
        self.statements.get(statement).map_or(&[], Vec::as_slice)
    }

    /// The text of a statement.
    pub fn statement_text(&self, statement: usize) -> &str {
        self.text.get(self.statement_range(statement)).unwrap_or_default().trim()
    }

    /// Where a statement stands in the text.
    pub fn statement_range(&self, statement: usize) -> Range<usize> {
        let mut meaningful = self.tokens(statement).iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
        let Some(first) = meaningful.next() else { return 0..0 };
        let last = meaningful.next_back().unwrap_or(first);
        self.offset(first.span.start)..self.offset(last.span.end)
    }

    /// Byte offset of a location (line and column from 1, columns in characters).
    pub(crate) fn offset(&self, location: Location) -> usize {
        let line = usize::try_from(location.line).unwrap_or(usize::MAX);
        let column = usize::try_from(location.column).unwrap_or(usize::MAX);
        let Some(start) = line.checked_sub(1).and_then(|line| self.lines.get(line)) else { return 0 };
        let rest = self.text.get(*start..).unwrap_or_default();
        start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(index, _)| index)
    }

    /// The first place in a statement where `word` stands as a token, without regard to case.
    pub(crate) fn find(&self, statement: usize, word: &str) -> Option<Range<usize>> {
        self.tokens(statement).iter().find_map(|token| match &token.token {
            Token::Word(found) if found.value.eq_ignore_ascii_case(word) => {
                Some(self.offset(token.span.start)..self.offset(token.span.end))
            }
            Token::SingleQuotedString(found) if found == word => {
                Some(self.offset(token.span.start)..self.offset(token.span.end))
            }
            _ => None,
        })
    }
}

/// Cuts tokens at semicolons, except inside `BEGIN STATEMENT SET … END`.
fn split(tokens: Vec<TokenWithSpan>) -> Vec<Vec<TokenWithSpan>> {
    let mut statements = Vec::new();
    let mut current: Vec<TokenWithSpan> = Vec::new();
    let mut inside_set = false;
    for token in tokens {
        match &token.token {
            Token::SemiColon if !inside_set => {
                statements.push(std::mem::take(&mut current));
                continue;
            }
            Token::Word(word) if word.value.eq_ignore_ascii_case("begin") && opens_set(&current) => inside_set = true,
            Token::Word(word) if word.value.eq_ignore_ascii_case("set") && begins_statement(&current) => {
                inside_set = true;
            }
            Token::Word(word) if word.value.eq_ignore_ascii_case("end") && inside_set && after_semicolon(&current) => {
                inside_set = false;
            }
            _ => {}
        }
        current.push(token);
    }
    statements.push(current);
    statements.retain(|tokens| tokens.iter().any(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)));
    statements
}

fn words(tokens: &[TokenWithSpan]) -> Vec<String> {
    tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .map(|token| token.token.to_string().to_lowercase())
        .collect()
}

/// `EXECUTE STATEMENT SET` stands before.
fn opens_set(before: &[TokenWithSpan]) -> bool {
    words(before) == ["execute", "statement", "set"]
}

/// `BEGIN STATEMENT` stands before.
fn begins_statement(before: &[TokenWithSpan]) -> bool {
    words(before) == ["begin", "statement"]
}

fn after_semicolon(before: &[TokenWithSpan]) -> bool {
    words(before).last().is_some_and(|word| word == ";" || word == "begin" || word == "set")
}

/// Replaces `${NAME}`; `$${` stands for a literal `${`.
fn substitute(text: &str, variables: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        if let Some(kept) = before.strip_suffix('$') {
            out.push_str(kept);
            out.push_str("${");
            rest = from.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let body = from.get(2..).unwrap_or_default();
        let at = text.len() - from.len();
        let Some((name, after)) = body.split_once('}') else {
            return Err(Error::usage("sql.variable", "a variable is not closed")
                .hint("write ${NAME}")
                .at(Place::Sql(at..at + 2)));
        };
        match variables.get(name) {
            Some(value) => out.push_str(value),
            None => return Err(unknown_variable(name, variables).at(Place::Sql(at..at + name.len() + 3))),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn unknown_variable(name: &str, variables: &BTreeMap<String, String>) -> Error {
    let hint = match suggest(name, variables.keys().map(String::as_str)) {
        Some(meant) => format!("did you mean ${{{meant}}}?"),
        None => format!("give it with -D {name}=value"),
    };
    Error::usage("sql.variable", format!("the variable ${{{name}}} has no value")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Script {
        let variables = [("A".to_owned(), "x'; --".to_owned())].into();
        Script::read(text, &variables).expect("a script")
    }

    #[test]
    fn statements_end_at_semicolons_outside_quotes_and_comments() {
        let script = read("SELECT ';'; -- no; end\nSELECT 2 /* ; */;;");
        assert_eq!(script.len(), 2);
        assert_eq!(script.statement_text(0), "SELECT ';'");
    }

    #[test]
    fn a_statement_set_is_one_statement() {
        let script = read("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END; SELECT 3");
        assert_eq!(script.len(), 2);
    }

    #[test]
    fn unknown_variables_are_told_with_their_place() {
        let error = Script::read("SELECT '${B}'", &BTreeMap::new()).expect_err("unknown");
        assert_eq!((error.code(), error.place()), ("sql.variable", Some(&Place::Sql(8..12))));
    }

    #[test]
    fn a_doubled_dollar_is_no_variable() {
        assert_eq!(read("SELECT '$${A}'").text(), "SELECT '${A}'");
    }
}
