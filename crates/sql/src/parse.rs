//! Statements of the Flink dialect. Queries and expressions are sqlparser's; the DDL around them is read here, because
//! its grammar has no watermarks, computed and metadata columns.

use datafusion::sql::sqlparser::ast::{Expr, Query};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token};
use headwater_change::{Error, Place, Result};

use crate::dialect::FlinkDialect;
use crate::script::Script;
use crate::types::{SqlType, parse_type};

/// One parsed statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `CREATE [TEMPORARY] TABLE`.
    CreateTable(Box<CreateTable>),
    /// `CREATE [TEMPORARY] VIEW`.
    CreateView(CreateView),
    /// `DROP TABLE` or `DROP VIEW`.
    Drop {
        /// What is dropped.
        name: String,
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
    /// `EXPLAIN statement`.
    Explain(Box<Statement>),
    /// `SHOW TABLES`.
    ShowTables,
    /// `SHOW VIEWS`.
    ShowViews,
    /// `DESCRIBE name`.
    Describe(String),
}

/// A table's definition as written.
#[derive(Clone, Debug)]
pub struct CreateTable {
    pub(crate) name: String,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) watermark: Option<(String, Expr)>,
    pub(crate) primary_key: Vec<String>,
    pub(crate) partitioned_by: Vec<String>,
    pub(crate) options: Vec<(String, String)>,
}

/// A column as written.
#[derive(Clone, Debug)]
pub(crate) struct ColumnDef {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
}

/// Where a column's values come from.
#[derive(Clone, Debug)]
pub(crate) enum ColumnKind {
    /// The connector's data.
    Physical { sql_type: SqlType, nullable: bool },
    /// The connector's metadata of this key; virtual ones are not written.
    Metadata { sql_type: SqlType, nullable: bool, key: String, is_virtual: bool },
    /// An expression over the other columns.
    Computed(Box<Expr>),
}

/// A view as written.
#[derive(Clone, Debug)]
pub struct CreateView {
    pub(crate) name: String,
    pub(crate) if_not_exists: bool,
    pub(crate) or_replace: bool,
    pub(crate) columns: Vec<String>,
    pub(crate) query: Box<Query>,
}

/// An insert as written.
#[derive(Clone, Debug)]
pub struct Insert {
    pub(crate) table: String,
    pub(crate) columns: Vec<String>,
    pub(crate) query: Box<Query>,
}

/// How deep expressions and queries may be nested.
const NESTING_MAX: usize = 1_000;

type Parsed<T> = std::result::Result<T, ParserError>;

/// Parses statement number `index` of the script.
pub fn parse(script: &Script, index: usize) -> Result<Statement> {
    let dialect = FlinkDialect;
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(NESTING_MAX)
        .with_tokens_with_locations(script.tokens(index).to_vec());
    let parsed = statement(&mut parser).and_then(|statement| {
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

fn statement(parser: &mut Parser<'_>) -> Parsed<Statement> {
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
fn word(parser: &mut Parser<'_>, expected: &str) -> bool {
    let found =
        matches!(&parser.peek_token_ref().token, Token::Word(word) if word.value.eq_ignore_ascii_case(expected));
    if found {
        parser.next_token();
    }
    found
}

fn expect_word(parser: &mut Parser<'_>, expected: &str) -> Parsed<()> {
    if word(parser, expected) {
        return Ok(());
    }
    let token = parser.peek_token();
    parser.expected(expected, token)
}

/// A table's name; catalog and database in front of it are read and dropped, there is one of each.
fn name(parser: &mut Parser<'_>) -> Parsed<String> {
    let name = parser.parse_object_name(true)?;
    let last = name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone());
    last.ok_or_else(|| ParserError::ParserError("Expected: a name".to_owned()))
}

fn create(parser: &mut Parser<'_>) -> Parsed<Statement> {
    parser.next_token();
    let or_replace = parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
    let _ = parser.parse_keyword(Keyword::TEMPORARY);
    if parser.parse_keyword(Keyword::VIEW) {
        return create_view(parser, or_replace).map(Statement::CreateView);
    }
    if parser.parse_keyword(Keyword::TABLE) {
        return create_table(parser).map(|table| Statement::CreateTable(Box::new(table)));
    }
    let token = parser.peek_token();
    parser.expected("TABLE or VIEW", token)
}

fn if_not_exists(parser: &mut Parser<'_>) -> bool {
    parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS])
}

fn create_view(parser: &mut Parser<'_>, or_replace: bool) -> Parsed<CreateView> {
    let if_not_exists = if_not_exists(parser);
    let name = name(parser)?;
    let columns = if parser.peek_token_ref().token == Token::LParen { identifiers(parser)? } else { Vec::new() };
    comment(parser)?;
    parser.expect_keyword(Keyword::AS)?;
    let query = parser.parse_query()?;
    Ok(CreateView { name, if_not_exists, or_replace, columns, query })
}

fn comment(parser: &mut Parser<'_>) -> Parsed<()> {
    if parser.parse_keyword(Keyword::COMMENT) {
        parser.parse_literal_string()?;
    }
    Ok(())
}

fn identifiers(parser: &mut Parser<'_>) -> Parsed<Vec<String>> {
    parser.expect_token(&Token::LParen)?;
    let mut names = Vec::new();
    loop {
        names.push(parser.parse_identifier()?.value);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(names)
}

fn create_table(parser: &mut Parser<'_>) -> Parsed<CreateTable> {
    let if_not_exists = if_not_exists(parser);
    let mut table = CreateTable {
        name: name(parser)?,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        options: Vec::new(),
    };
    parser.expect_token(&Token::LParen)?;
    loop {
        table_element(parser, &mut table)?;
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    comment(parser)?;
    if parser.parse_keyword(Keyword::PARTITIONED) {
        parser.expect_keyword(Keyword::BY)?;
        table.partitioned_by = identifiers(parser)?;
    }
    if parser.parse_keyword(Keyword::WITH) {
        table.options = options(parser)?;
    }
    Ok(table)
}

fn table_element(parser: &mut Parser<'_>, table: &mut CreateTable) -> Parsed<()> {
    if word_then(parser, "WATERMARK", "FOR") {
        let column = parser.parse_identifier()?.value;
        parser.expect_keyword(Keyword::AS)?;
        table.watermark = Some((column, parser.parse_expr()?));
        return Ok(());
    }
    let named = parser.parse_keyword(Keyword::CONSTRAINT);
    if named {
        parser.parse_identifier()?;
    }
    if named || word_then(parser, "PRIMARY", "KEY") {
        if named {
            parser.expect_keyword(Keyword::PRIMARY)?;
            parser.expect_keyword(Keyword::KEY)?;
        }
        table.primary_key = identifiers(parser)?;
        return not_enforced(parser);
    }
    let name = parser.parse_identifier()?.value;
    let kind = column_kind(parser, &name, table)?;
    table.columns.push(ColumnDef { name, kind });
    comment(parser)
}

/// Two words in a row, or nothing consumed: a column may be called `watermark` or `primary`.
fn word_then(parser: &mut Parser<'_>, first: &str, second: &str) -> bool {
    let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
    let both = is(&parser.peek_token_ref().token, first) && is(&parser.peek_nth_token(1).token, second);
    if both {
        parser.next_token();
        parser.next_token();
    }
    both
}

fn not_enforced(parser: &mut Parser<'_>) -> Parsed<()> {
    if parser.parse_keyword(Keyword::NOT) {
        parser.expect_keyword(Keyword::ENFORCED)?;
        return Ok(());
    }
    let token = parser.peek_token();
    parser.expected("NOT ENFORCED (the source keeps its keys, not this table)", token)
}

fn column_kind(parser: &mut Parser<'_>, name: &str, table: &mut CreateTable) -> Parsed<ColumnKind> {
    if parser.parse_keyword(Keyword::AS) {
        return Ok(ColumnKind::Computed(Box::new(parser.parse_expr()?)));
    }
    let (sql_type, nullable) = parse_type(parser)?;
    if word(parser, "METADATA") {
        let key = if parser.parse_keyword(Keyword::FROM) { parser.parse_literal_string()? } else { name.to_owned() };
        let is_virtual = word(parser, "VIRTUAL");
        return Ok(ColumnKind::Metadata { sql_type, nullable, key, is_virtual });
    }
    if word_then(parser, "PRIMARY", "KEY") {
        table.primary_key = vec![name.to_owned()];
        not_enforced(parser)?;
        return Ok(ColumnKind::Physical { sql_type, nullable: false });
    }
    Ok(ColumnKind::Physical { sql_type, nullable })
}

fn options(parser: &mut Parser<'_>) -> Parsed<Vec<(String, String)>> {
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

fn drop_statement(parser: &mut Parser<'_>) -> Parsed<Statement> {
    parser.next_token();
    let _ = parser.parse_keyword(Keyword::TEMPORARY);
    let view = parser.parse_keyword(Keyword::VIEW);
    if !view {
        parser.expect_keyword(Keyword::TABLE)?;
    }
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    Ok(Statement::Drop { name: name(parser)?, view, if_exists })
}

fn insert(parser: &mut Parser<'_>) -> Parsed<Insert> {
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
    Ok(Insert { table, columns, query: parser.parse_query()? })
}

fn statement_set(parser: &mut Parser<'_>) -> Parsed<Statement> {
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

fn set(parser: &mut Parser<'_>) -> Parsed<Statement> {
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
fn key(parser: &mut Parser<'_>) -> Parsed<String> {
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

fn reset(parser: &mut Parser<'_>) -> Parsed<Statement> {
    parser.next_token();
    if parser.peek_token_ref().token == Token::EOF {
        return Ok(Statement::Reset(None));
    }
    key(parser).map(|key| Statement::Reset(Some(key)))
}

fn explain(parser: &mut Parser<'_>) -> Parsed<Statement> {
    parser.next_token();
    word(parser, "CHANGELOG_MODE");
    if parser.parse_keyword(Keyword::PLAN) {
        parser.expect_keyword(Keyword::FOR)?;
    }
    statement(parser).map(|statement| Statement::Explain(Box::new(statement)))
}

fn show(parser: &mut Parser<'_>) -> Parsed<Statement> {
    parser.next_token();
    if word(parser, "TABLES") {
        return Ok(Statement::ShowTables);
    }
    if word(parser, "VIEWS") {
        return Ok(Statement::ShowViews);
    }
    let token = parser.peek_token();
    parser.expected("TABLES or VIEWS", token)
}
