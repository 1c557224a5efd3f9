//! A script: text with variables, cut into statements whose tokens know where they stand in the text.

use std::collections::BTreeMap;
use std::ops::Range;

use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};
use headwater_change::{Error, Place, Result, secret, suggest};

use crate::dialect::{Dialect, Dialects};
use crate::spark::tokens::settled;

/// Text of a script after its variables were put in.
#[derive(Debug)]
pub struct Script {
    text: String,
    lines: Vec<usize>,
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    tokens: Vec<TokenWithSpan>,
    dialect: Dialect,
}

impl Script {
    /// Puts `${NAME}` variables in and cuts the text at semicolons. Fails on an unknown variable and on text that has
    /// no tokens (an unclosed quote). Its statements are of the dialect that `SET sql.dialect` names in front of them, else
    /// of the one that was set before, else of the one that the text looks like.
    pub fn read(text: &str, variables: &BTreeMap<String, String>, dialects: Dialects) -> Result<Self> {
        secret::remember_script(text);
        let text = substitute(text, variables)?;
        secret::remember_script(&text);
        let lines: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect();
        let mut script = Self { text, lines, statements: Vec::new() };
        let mut dialect = dialects.set.or_else(|| detect(&script.text)).unwrap_or(dialects.usual);
        let mut done = 0;
        loop {
            // Statements behind one that sets another dialect are read anew: quotes mean other things there.
            let (tokens, error) = script.tokenize(dialect);
            let found = split(tokens);
            script.statements.truncate(done);
            let mut next = None;
            for tokens in found.into_iter().skip(done) {
                let set = sets_dialect(&tokens).filter(|set| *set != dialect);
                script.statements.push(Statement { tokens, dialect });
                done += 1;
                if set.is_some() {
                    next = set;
                    break;
                }
            }
            match (next, error) {
                (Some(next), _) => dialect = next,
                (None, Some(error)) => return Err(error),
                (None, None) => return Ok(script),
            }
        }
    }

    /// The tokens of the text, and what ends them early.
    fn tokenize(&self, dialect: Dialect) -> (Vec<TokenWithSpan>, Option<Error>) {
        let mut tokens = Vec::new();
        let read = Tokenizer::new(dialect.grammar(), &self.text).tokenize_with_location_into_buf(&mut tokens);
        let error = read.err().map(|error| {
            let at = self.offset(error.location);
            Error::usage("sql.syntax", error.message.to_lowercase()).at(Place::Sql(at..at + 1))
        });
        if dialect == Dialect::Spark {
            let range = |token: &TokenWithSpan| self.offset(token.span.start)..self.offset(token.span.end);
            tokens = settled(&self.text, tokens, range);
        }
        (tokens, error)
    }

    /// A name as it was written: without its quotes, in its own case.
    pub(crate) fn original(&self, span: Span) -> Option<String> {
        if span.start.line == 0 {
            return None;
        }
        let text = self.text.get(self.offset(span.start)..self.offset(span.end))?;
        Some(text.trim_matches('`').replace("``", "`"))
    }

    /// A word in lower case as it is written somewhere in the text.
    pub(crate) fn as_written(&self, word: &str) -> Option<String> {
        let mut tokens = self.statements.iter().flat_map(|statement| statement.tokens.iter());
        tokens.find_map(|token| match &token.token {
            Token::Word(found) if found.value == word => self.original(token.span),
            _ => None,
        })
    }

    /// The dialect of a statement.
    pub fn dialect(&self, statement: usize) -> Dialect {
        self.statements.get(statement).map_or(Dialect::Flink, |statement| statement.dialect)
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
        self.statements.get(statement).map_or(&[], |statement| statement.tokens.as_slice())
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

/// The dialect that a text is of, where it says what only one of them knows.
fn detect(text: &str) -> Option<Dialect> {
    let tokens = Tokenizer::new(Dialect::Spark.grammar(), text).tokenize().ok()?;
    let words: Vec<String> = tokens
        .iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .map(|token| token.to_string().to_lowercase())
        .collect();
    let at = |index: usize| words.get(index).map_or("", String::as_str);
    let begins = |index: usize| index == 0 || at(index - 1) == ";";
    let of_flink = |index: usize| match at(index) {
        "with" => at(index + 1) == "(" && at(index + 2).starts_with('\''),
        "set" => begins(index) && at(index + 1).starts_with('\''),
        "execute" => begins(index) && at(index + 1) == "statement",
        "begin" => begins(index) && at(index + 1) == "statement",
        _ => false,
    };
    let of_spark = |index: usize| {
        let begins = begins(index);
        match at(index) {
            "set" => begins && at(index + 1) == "spark" && at(index + 2) == ".",
            "using" => {
                matches!(at(index + 1).trim_matches(['"', '`', '\'']), "jdbc" | "org" | "parquet" | "csv" | "json")
            }
            "cache" => begins && matches!(at(index + 1), "table" | "lazy"),
            "insert" => begins && at(index + 1) == "overwrite",
            "lateral" => at(index + 1) == "view",
            _ => false,
        }
    };
    let has = |marks: &dyn Fn(usize) -> bool| (0..words.len()).any(marks);
    if has(&of_spark) {
        return Some(Dialect::Spark);
    }
    has(&of_flink).then_some(Dialect::Flink)
}

/// The dialect that a statement sets.
fn sets_dialect(tokens: &[TokenWithSpan]) -> Option<Dialect> {
    let words = words(tokens);
    let plain: String = words.concat().replace(['\'', '"'], "");
    Dialect::parse(plain.strip_prefix("setsql.dialect=")?)
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

/// Variables that a schedule gives its statements.
pub(crate) const SCHEDULED: &[&str] = &["date", "end_date", "start", "end", "run", "schedule"];

/// Whether a CREATE SCHEDULE is open at the end of the text: its variables get their values when it runs.
fn schedules(before: &str) -> bool {
    let statement = before.rsplit(';').next().unwrap_or_default();
    let lines = statement.lines().filter(|line| !line.trim_start().starts_with("--"));
    let mut words = lines
        .flat_map(str::split_whitespace)
        .map(str::to_uppercase)
        .filter(|word| !matches!(word.as_str(), "OR" | "REPLACE"));
    words.next().as_deref() == Some("CREATE") && words.next().as_deref() == Some("SCHEDULE")
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
            None if SCHEDULED.contains(&name) && schedules(&out) => out.push_str(&format!("${{{name}}}")),
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
        Script::read(text, &variables, Dialects::default()).expect("a script")
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
        let error = Script::read("SELECT '${B}'", &BTreeMap::new(), Dialects::default()).expect_err("unknown");
        assert_eq!((error.code(), error.place()), ("sql.variable", Some(&Place::Sql(8..12))));
    }

    #[test]
    fn a_doubled_dollar_is_no_variable() {
        assert_eq!(read("SELECT '$${A}'").text(), "SELECT '${A}'");
    }
}
