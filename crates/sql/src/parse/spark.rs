//! Statements of Spark SQL.

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{Expr, Query};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::define::{CreateView, identifiers};
use super::{Insert, Parsed, Reader, Statement, expect_word, name, word};

/// `CREATE TEMPORARY VIEW v USING jdbc OPTIONS (…)`: a table of a source.
#[derive(Clone, Debug)]
pub struct CreateSource {
    pub(crate) name: TableReference,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    /// What stands behind USING.
    pub(crate) source: String,
    pub(crate) options: Vec<(String, String)>,
}

pub(super) fn statement(parser: &mut Reader<'_>) -> Parsed<Statement> {
    let token = parser.peek_token();
    let Token::Word(first) = &token.token else {
        if token.token == Token::LParen {
            return parser.parse_query().map(Statement::Query);
        }
        return parser.expected("a statement", token);
    };
    match first.value.to_ascii_uppercase().as_str() {
        "CREATE" => create(parser),
        "DROP" => super::define::drop_statement(parser),
        "INSERT" => insert(parser).map(|insert| Statement::Insert(vec![insert])),
        "SELECT" | "WITH" | "VALUES" | "FROM" => parser.parse_query().map(Statement::Query),
        "SET" => set(parser),
        "RESET" => super::reset(parser),
        "USE" => {
            parser.next_token();
            let _ = word(parser, "DATABASE") || word(parser, "SCHEMA");
            name(parser).map(Statement::Use)
        }
        "EXPLAIN" => {
            parser.next_token();
            for manner in ["EXTENDED", "FORMATTED", "CODEGEN", "COST"] {
                word(parser, manner);
            }
            let analyze = word(parser, "ANALYZE");
            statement(parser).map(|inner| Statement::Explain { inner: Box::new(inner), analyze })
        }
        "SHOW" => super::show(parser),
        "DESCRIBE" | "DESC" => {
            parser.next_token();
            let query = word(parser, "QUERY");
            if query
                || matches!(&parser.peek_token_ref().token, Token::Word(word) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES))
            {
                return parser.parse_query().map(Statement::DescribeQuery);
            }
            let _ = parser.parse_keyword(Keyword::TABLE);
            let _ = word(parser, "EXTENDED") || word(parser, "FORMATTED");
            name(parser).map(Statement::Describe)
        }
        "CACHE" | "UNCACHE" | "REFRESH" | "CLEAR" => cache(parser),
        _ => parser
            .expected("CREATE, DROP, INSERT, SELECT, SET, RESET, USE, EXPLAIN, SHOW, DESCRIBE or CACHE TABLE", token),
    }
}

fn create(parser: &mut Reader<'_>) -> Parsed<Statement> {
    parser.next_token();
    let or_replace = parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
    word(parser, "GLOBAL");
    let temporary = word(parser, "TEMPORARY") || word(parser, "TEMP");
    let view = parser.parse_keyword(Keyword::VIEW);
    if !view {
        let token = parser.peek_token();
        if !parser.parse_keyword(Keyword::TABLE) {
            return parser.expected("TABLE … AS query, TEMPORARY VIEW or VIEW", token);
        }
        if !temporary {
            return create_as(parser, or_replace);
        }
    }
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = name(parser)?;
    if word(parser, "USING") {
        let source = source(parser)?;
        let options = if word(parser, "OPTIONS") { options(parser)? } else { Vec::new() };
        let source = CreateSource { name, or_replace, if_not_exists, source, options };
        return Ok(Statement::CreateSource(Box::new(source)));
    }
    let columns = if parser.peek_token_ref().token == Token::LParen { identifiers(parser)? } else { Vec::new() };
    if parser.parse_keyword(Keyword::COMMENT) {
        parser.parse_literal_string()?;
    }
    parser.expect_keyword(Keyword::AS)?;
    let (query, text) = parser.with_text(|parser| parser.parse_query())?;
    Ok(Statement::CreateView(CreateView { name, if_not_exists, or_replace, columns, query, text }))
}

/// `TABLE [IF NOT EXISTS] name [USING jdbc] AS query`, behind TABLE.
fn create_as(parser: &mut Reader<'_>, or_replace: bool) -> Parsed<Statement> {
    let token = parser.peek_token();
    if or_replace {
        return parser
            .expected("CREATE TABLE (a table is not replaced yet: INSERT OVERWRITE replaces its rows)", token);
    }
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = name(parser)?;
    if word(parser, "USING") {
        let token = parser.peek_token();
        if !source(parser)?.eq_ignore_ascii_case("jdbc") {
            return parser.expected("jdbc", token);
        }
    }
    let token = parser.peek_token();
    if !parser.parse_keyword(Keyword::AS) {
        return parser.expected("AS query (a table without one is created in MySQL)", token);
    }
    Ok(Statement::CreateAs { name, if_not_exists, query: parser.parse_query()? })
}

/// `jdbc`, `"jdbc"`, `org.apache.spark.sql.jdbc`.
fn source(parser: &mut Reader<'_>) -> Parsed<String> {
    if matches!(parser.peek_token_ref().token, Token::SingleQuotedString(_) | Token::DoubleQuotedString(_)) {
        return parser.parse_literal_string();
    }
    Ok(parser.parse_object_name(false)?.to_string())
}

/// `(url "…", 'dbtable' = 'orders', spark.x 5)`.
fn options(parser: &mut Reader<'_>) -> Parsed<Vec<(String, String)>> {
    parser.expect_token(&Token::LParen)?;
    let mut options = Vec::new();
    while parser.peek_token_ref().token != Token::RParen {
        let name = match &parser.peek_token_ref().token {
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => parser.parse_literal_string()?,
            _ => parser.parse_object_name(false)?.to_string(),
        };
        let _ = parser.consume_token(&Token::Eq);
        let token = parser.next_token();
        let value = match token.token {
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) | Token::Number(text, _) => text,
            Token::Word(word) => word.value,
            Token::Minus => match parser.next_token().token {
                Token::Number(text, _) => format!("-{text}"),
                _ => return parser.expected("a value", token),
            },
            _ => return parser.expected("a value", token),
        };
        options.push((name.to_lowercase(), value));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(options)
}

fn insert(parser: &mut Reader<'_>) -> Parsed<Insert> {
    parser.next_token();
    let overwrite = parser.parse_keyword(Keyword::OVERWRITE);
    if !overwrite {
        parser.expect_keyword(Keyword::INTO)?;
    }
    let _ = parser.parse_keyword(Keyword::TABLE);
    let table = name(parser)?;
    let partition = if parser.parse_keyword(Keyword::PARTITION) { partition(parser)? } else { Vec::new() };
    let named = parser.peek_token_ref().token == Token::LParen
        && !matches!(&parser.peek_nth_token(1).token, Token::Word(word) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH));
    let columns = if named { identifiers(parser)? } else { Vec::new() };
    let mut replaced = None;
    if !overwrite && partition.is_empty() && parser.parse_keyword(Keyword::REPLACE) {
        parser.expect_keyword(Keyword::WHERE)?;
        replaced = Some(parser.parse_expr()?);
    }
    let overwrite = overwrite || replaced.is_some();
    Ok(Insert { table, columns, query: parser.parse_query()?, overwrite, partition, replaced })
}

/// `(dt = '2024-05-20', region = 'kr')`.
fn partition(parser: &mut Reader<'_>) -> Parsed<Vec<(String, Expr)>> {
    parser.expect_token(&Token::LParen)?;
    let mut columns = Vec::new();
    loop {
        let name = parser.parse_identifier()?.value;
        let token = parser.peek_token();
        if !parser.consume_token(&Token::Eq) {
            return parser
                .expected("= and a constant (partitions by the query's own values are not supported yet)", token);
        }
        columns.push((name, parser.parse_expr()?));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(columns)
}

/// `SET key = everything up to the end`.
fn set(parser: &mut Reader<'_>) -> Parsed<Statement> {
    parser.next_token();
    if parser.peek_token_ref().token == Token::EOF {
        return Ok(Statement::Set(None));
    }
    let key = super::key(parser)?;
    parser.expect_token(&Token::Eq)?;
    let (_, value) = parser.with_text(|parser| {
        while parser.peek_token_ref().token != Token::EOF {
            parser.next_token();
        }
        Ok(())
    })?;
    let value = value.trim();
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let value = quoted('\'').or_else(|| quoted('"')).unwrap_or(value);
    Ok(Statement::Set(Some((key.to_lowercase(), value.to_owned()))))
}

/// What is cached is read anew here: nothing is to be done.
fn cache(parser: &mut Reader<'_>) -> Parsed<Statement> {
    parser.next_token();
    word(parser, "LAZY");
    if word(parser, "CACHE") {
        return Ok(Statement::Nothing);
    }
    expect_word(parser, "TABLE")?;
    let _ = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let name = name(parser)?;
    if parser.parse_keyword(Keyword::AS) {
        let (query, text): (Box<Query>, String) = parser.with_text(|parser| parser.parse_query())?;
        let view = CreateView { name, if_not_exists: false, or_replace: false, columns: Vec::new(), query, text };
        return Ok(Statement::CreateView(view));
    }
    Ok(Statement::Nothing)
}
