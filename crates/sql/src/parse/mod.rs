//! Statements of the Flink dialect. Queries and expressions are sqlparser's; the DDL around them is read here, because
//! its grammar has no watermarks, computed and metadata columns.

mod define;
mod schedule;
mod spark;

use std::ops::{Deref, DerefMut};

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{Expr, Query};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token};
use headwater_change::{Error, Place, Result};

use crate::dialect::Dialect;
use crate::script::Script;
pub(crate) use define::CreateView;
pub(crate) use define::{ColumnDef, ColumnKind, CreateTable, Feature, Like, Merging};
pub use schedule::CreateSchedule;

use define::{create, drop_statement, identifiers};
pub(crate) use spark::CreateSource;

/// One parsed statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `CREATE [TEMPORARY] TABLE`.
    CreateTable(Box<CreateTable>),
    /// `CREATE [TEMPORARY] VIEW`.
    CreateView(CreateView),
    /// `CREATE VIEW … USING`, of Spark.
    CreateSource(Box<CreateSource>),
    /// `USE`, of Spark.
    Use(TableReference),
    /// What needs nothing done here, such as `CACHE TABLE`.
    Nothing,
    /// `DROP TABLE` or `DROP VIEW`.
    Drop {
        /// What is dropped.
        name: TableReference,
        /// Whether it must be a view.
        view: bool,
        /// Whether it may be missing.
        if_exists: bool,
    },
    /// `INSERT INTO … query`; several for a statement set, which run as one pipeline.
    Insert(Vec<Insert>),
    /// `SELECT`, `VALUES`, `WITH`.
    Query(Box<Query>),
    /// `SET`, with nothing: show; with a key and a value: set.
    Set(Option<(String, String)>),
    /// `RESET`, of one key or all.
    Reset(Option<String>),
    /// `EXPLAIN [ANALYZE] statement`.
    Explain {
        /// What is explained.
        inner: Box<Statement>,
        /// Whether it is run for it.
        analyze: bool,
    },
    /// `CREATE TABLE … AS query`, of Spark.
    CreateAs {
        /// The table.
        name: TableReference,
        /// Whether one of the name stays as it is.
        if_not_exists: bool,
        /// Its rows.
        query: Box<Query>,
    },
    /// `CREATE SCHEDULE`.
    CreateSchedule(Box<CreateSchedule>),
    /// `DROP SCHEDULE`.
    DropSchedule {
        /// Its name.
        name: String,
        /// Whether it may be missing.
        if_exists: bool,
    },
    /// `SHOW SCHEDULES`.
    ShowSchedules,
    /// `SHOW TABLES`.
    ShowTables,
    /// `SHOW VIEWS`.
    ShowViews,
    /// `DESCRIBE name`.
    Describe(TableReference),
    /// `DESCRIBE QUERY query`, of Spark.
    DescribeQuery(Box<Query>),
    /// `SHOW CREATE TABLE` or `SHOW CREATE VIEW`.
    ShowCreate {
        /// What is shown.
        name: TableReference,
        /// Whether it must be a view.
        view: bool,
    },
}

/// An insert as written.
#[derive(Clone, Debug)]
pub struct Insert {
    pub(crate) table: TableReference,
    pub(crate) columns: Vec<String>,
    pub(crate) query: Box<Query>,
    /// Whether rows of before go: those of the partition, those of the condition, or all.
    pub(crate) overwrite: bool,
    /// `PARTITION (column = constant, …)`: columns that the query does not give.
    pub(crate) partition: Vec<(String, Expr)>,
    /// `REPLACE WHERE condition`.
    pub(crate) replaced: Option<Expr>,
}

/// How deep expressions and queries may be nested.
const NESTING_MAX: usize = 1_000;

type Parsed<T> = std::result::Result<T, ParserError>;

/// The parser, and the text that it reads: some expressions are kept as they were written.
struct Reader<'a> {
    parser: Parser<'a>,
    script: &'a Script,
}

impl<'a> Deref for Reader<'a> {
    type Target = Parser<'a>;

    fn deref(&self) -> &Parser<'a> {
        &self.parser
    }
}

impl<'a> DerefMut for Reader<'a> {
    fn deref_mut(&mut self) -> &mut Parser<'a> {
        &mut self.parser
    }
}

impl Reader<'_> {
    /// What `read` reads, and its text.
    fn with_text<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<(T, String)> {
        let start = self.script.offset(self.peek_token_ref().span.start);
        let found = read(self)?;
        let end = self.script.offset(self.get_current_token().span.end);
        Ok((found, self.script.text().get(start..end).unwrap_or_default().to_owned()))
    }
}

/// Parses statement number `index` of the script.
pub fn parse(script: &Script, index: usize) -> Result<Statement> {
    let dialect = script.dialect(index);
    let parser = Parser::new(dialect.grammar())
        .with_recursion_limit(NESTING_MAX)
        .with_tokens_with_locations(script.tokens(index).to_vec());
    let mut parser = Reader { parser, script };
    let parsed = schedule::statement(&mut parser).and_then(|found| match (found, dialect) {
        (Some(statement), _) => Ok(statement),
        (None, Dialect::Flink) => statement(&mut parser),
        (None, Dialect::Spark) => spark::statement(&mut parser),
    });
    let parsed = parsed.and_then(|statement| {
        let rest = parser.peek_token();
        if rest.token == Token::EOF { Ok(statement) } else { parser.expected("end of statement", rest) }
    });
    parsed.map_err(|error| {
        let token = parser.peek_token();
        syntax_error(script, index, &error, token.span.start)
    })
}

/// Turns sqlparser's message into ours; its location stands at the end of the message.
fn syntax_error(script: &Script, index: usize, error: &ParserError, fallback: Location) -> Error {
    let text = match error {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply",
    };
    let (message, location) = match text.rsplit_once(" at Line: ") {
        Some((message, location)) => (message, location_of(location).unwrap_or(fallback)),
        None => (text, fallback),
    };
    let end = script.statement_range(index).end;
    let start = if location.line == 0 { end } else { script.offset(location).min(end) };
    let length = script
        .text()
        .get(start..end)
        .map_or(1, |rest| rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len()).max(1));
    let message = message.trim_start_matches("Expected: ");
    let message = match message.split_once(", found: ") {
        Some((expected, "EOF")) => format!("expected {expected}, but the statement ends here"),
        Some((expected, found)) => format!("expected {expected}, found {found}"),
        None => message.to_owned(),
    };
    Error::usage("sql.syntax", message).at(Place::Sql(start..start + length))
}

fn location_of(text: &str) -> Option<Location> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
}

fn statement(parser: &mut Reader<'_>) -> Parsed<Statement> {
    let token = parser.peek_token();
    let Token::Word(word) = &token.token else {
        if token.token == Token::LParen {
            return parser.parse_query().map(Statement::Query);
        }
        return parser.expected("a statement", token);
    };
    match word.value.to_ascii_uppercase().as_str() {
        "CREATE" => create(parser),
        "DROP" => drop_statement(parser),
        "INSERT" => insert(parser).map(|insert| Statement::Insert(vec![insert])),
        "EXECUTE" | "BEGIN" => statement_set(parser),
        "SELECT" | "WITH" | "VALUES" => parser.parse_query().map(Statement::Query),
        "SET" => set(parser),
        "RESET" => reset(parser),
        "EXPLAIN" => explain(parser),
        "SHOW" => show(parser),
        "DESCRIBE" | "DESC" => {
            parser.next_token();
            name(parser).map(Statement::Describe)
        }
        _ => parser.expected(
            "CREATE, DROP, INSERT, SELECT, SET, RESET, EXPLAIN, SHOW, DESCRIBE or EXECUTE STATEMENT SET",
            token,
        ),
    }
}

/// Consumes a word that need not be one of sqlparser's keywords.
fn word(parser: &mut Reader<'_>, expected: &str) -> bool {
    let found =
        matches!(&parser.peek_token_ref().token, Token::Word(word) if word.value.eq_ignore_ascii_case(expected));
    if found {
        parser.next_token();
    }
    found
}

fn expect_word(parser: &mut Reader<'_>, expected: &str) -> Parsed<()> {
    if word(parser, expected) {
        return Ok(());
    }
    let token = parser.peek_token();
    parser.expected(expected, token)
}

/// A table's name, with its catalog and database where they are written.
fn name(parser: &mut Reader<'_>) -> Parsed<TableReference> {
    let token = parser.peek_token();
    let name = parser.parse_object_name(true)?;
    let parts: Option<Vec<&str>> =
        name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.as_str())).collect();
    match parts.as_deref() {
        Some([table]) => Ok(TableReference::bare(*table)),
        Some([database, table]) => Ok(TableReference::partial(*database, *table)),
        Some([catalog, database, table]) => Ok(TableReference::full(*catalog, *database, *table)),
        _ => parser.expected("a name of at most three parts", token),
    }
}

fn options(parser: &mut Reader<'_>) -> Parsed<Vec<(String, String)>> {
    parser.expect_token(&Token::LParen)?;
    let mut options = Vec::new();
    while parser.peek_token_ref().token != Token::RParen {
        let name = parser.parse_literal_string()?;
        parser.expect_token(&Token::Eq)?;
        options.push((name, parser.parse_literal_string()?));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(options)
}

fn insert(parser: &mut Reader<'_>) -> Parsed<Insert> {
    parser.next_token();
    parser.expect_keyword(Keyword::INTO)?;
    let table = name(parser)?;
    let columns = if parser.peek_token_ref().token == Token::LParen
        && !matches!(&parser.peek_nth_token(1).token, Token::Word(word) if word.keyword == Keyword::SELECT)
    {
        identifiers(parser)?
    } else {
        Vec::new()
    };
    let query = parser.parse_query()?;
    Ok(Insert { table, columns, query, overwrite: false, partition: Vec::new(), replaced: None })
}

fn statement_set(parser: &mut Reader<'_>) -> Parsed<Statement> {
    let begin_first = word(parser, "BEGIN");
    if !begin_first {
        expect_word(parser, "EXECUTE")?;
        if parser.peek_keyword(Keyword::INSERT) {
            return insert(parser).map(|insert| Statement::Insert(vec![insert]));
        }
    }
    expect_word(parser, "STATEMENT")?;
    parser.expect_keyword(Keyword::SET)?;
    let _ = parser.consume_token(&Token::SemiColon);
    if !begin_first {
        expect_word(parser, "BEGIN")?;
    }
    let mut inserts = Vec::new();
    while parser.peek_keyword(Keyword::INSERT) {
        inserts.push(insert(parser)?);
        parser.expect_token(&Token::SemiColon)?;
    }
    parser.expect_keyword(Keyword::END)?;
    Ok(Statement::Insert(inserts))
}

fn set(parser: &mut Reader<'_>) -> Parsed<Statement> {
    parser.next_token();
    if parser.peek_token_ref().token == Token::EOF {
        return Ok(Statement::Set(None));
    }
    let key = key(parser)?;
    parser.expect_token(&Token::Eq)?;
    let token = parser.next_token();
    let value = match token.token {
        Token::SingleQuotedString(text) | Token::Number(text, _) => text,
        Token::Word(word) => word.value,
        _ => return parser.expected("a quoted value", token),
    };
    Ok(Statement::Set(Some((key, value))))
}

/// `'a.b-c'`, or the same words bare.
fn key(parser: &mut Reader<'_>) -> Parsed<String> {
    if matches!(parser.peek_token_ref().token, Token::SingleQuotedString(_)) {
        return parser.parse_literal_string();
    }
    let mut text = String::new();
    loop {
        let token = parser.peek_token();
        match &token.token {
            Token::Word(word) => text.push_str(&word.value),
            Token::Period => text.push('.'),
            Token::Minus => text.push('-'),
            _ if text.is_empty() => return parser.expected("a quoted key", token),
            _ => return Ok(text),
        }
        parser.next_token();
    }
}

fn reset(parser: &mut Reader<'_>) -> Parsed<Statement> {
    parser.next_token();
    if parser.peek_token_ref().token == Token::EOF {
        return Ok(Statement::Reset(None));
    }
    key(parser).map(|key| Statement::Reset(Some(key)))
}

fn explain(parser: &mut Reader<'_>) -> Parsed<Statement> {
    parser.next_token();
    word(parser, "CHANGELOG_MODE");
    if parser.parse_keyword(Keyword::PLAN) {
        parser.expect_keyword(Keyword::FOR)?;
    }
    let analyze = word(parser, "ANALYZE");
    statement(parser).map(|inner| Statement::Explain { inner: Box::new(inner), analyze })
}

fn show(parser: &mut Reader<'_>) -> Parsed<Statement> {
    parser.next_token();
    if word(parser, "TABLES") {
        return Ok(Statement::ShowTables);
    }
    if word(parser, "VIEWS") {
        return Ok(Statement::ShowViews);
    }
    if parser.parse_keyword(Keyword::CREATE) {
        let view = parser.parse_keyword(Keyword::VIEW);
        if !view {
            parser.expect_keyword(Keyword::TABLE)?;
        }
        return Ok(Statement::ShowCreate { name: name(parser)?, view });
    }
    let token = parser.peek_token();
    parser.expected("TABLES, VIEWS, CREATE TABLE or CREATE VIEW", token)
}
