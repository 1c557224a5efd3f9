//! `CREATE` and `DROP` of tables and views.

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{Expr, Query};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::{Parsed, Reader, Statement, name, options, word};
use crate::types::{SqlType, parse_type};

/// A table's definition as written.
#[derive(Clone, Debug)]
pub struct CreateTable {
    pub(crate) name: TableReference,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) watermark: Option<(String, Written)>,
    pub(crate) primary_key: Vec<String>,
    pub(crate) partitioned_by: Vec<String>,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) like: Option<Like>,
}

impl CreateTable {
    /// A table whose columns were not declared.
    pub(crate) fn undeclared(name: TableReference, options: Vec<(String, String)>) -> Self {
        Self {
            name,
            if_not_exists: false,
            columns: Vec::new(),
            watermark: None,
            primary_key: Vec::new(),
            partitioned_by: Vec::new(),
            options,
            like: None,
        }
    }
}

/// An expression, and its text.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) expr: Expr,
    pub(crate) text: String,
}

/// `LIKE source (options)`.
#[derive(Clone, Debug)]
pub(crate) struct Like {
    pub(crate) source: TableReference,
    /// `INCLUDING ALL` or `EXCLUDING ALL`.
    pub(crate) all: Option<Merging>,
    pub(crate) features: Vec<(Feature, Merging)>,
}

/// A part of a table's definition that `LIKE` takes or leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    Constraints,
    Generated,
    Metadata,
    Options,
    Partitions,
    Watermarks,
}

/// What becomes of a part that both tables may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merging {
    /// Both have it; the same thing twice is an error.
    Including,
    /// The source's is left out.
    Excluding,
    /// The new table's goes before the source's.
    Overwriting,
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
    Computed(Box<Written>),
}

/// A view as written.
#[derive(Clone, Debug)]
pub struct CreateView {
    pub(crate) name: TableReference,
    pub(crate) if_not_exists: bool,
    pub(crate) or_replace: bool,
    pub(crate) columns: Vec<String>,
    pub(crate) query: Box<Query>,
    /// The query's text.
    pub(crate) text: String,
}

pub(super) fn create(parser: &mut Reader<'_>) -> Parsed<Statement> {
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

fn if_not_exists(parser: &mut Reader<'_>) -> bool {
    parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS])
}

fn create_view(parser: &mut Reader<'_>, or_replace: bool) -> Parsed<CreateView> {
    let if_not_exists = if_not_exists(parser);
    let name = name(parser)?;
    let columns = if parser.peek_token_ref().token == Token::LParen { identifiers(parser)? } else { Vec::new() };
    comment(parser)?;
    parser.expect_keyword(Keyword::AS)?;
    let (query, text) = parser.with_text(|parser| parser.parse_query())?;
    Ok(CreateView { name, if_not_exists, or_replace, columns, query, text })
}

fn comment(parser: &mut Reader<'_>) -> Parsed<()> {
    if parser.parse_keyword(Keyword::COMMENT) {
        parser.parse_literal_string()?;
    }
    Ok(())
}

pub(super) fn identifiers(parser: &mut Reader<'_>) -> Parsed<Vec<String>> {
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

fn create_table(parser: &mut Reader<'_>) -> Parsed<CreateTable> {
    let if_not_exists = if_not_exists(parser);
    let mut table = CreateTable {
        name: name(parser)?,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        options: Vec::new(),
        like: None,
    };
    let listed = parser.consume_token(&Token::LParen);
    if listed {
        loop {
            table_element(parser, &mut table)?;
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    }
    comment(parser)?;
    if parser.parse_keyword(Keyword::PARTITIONED) {
        parser.expect_keyword(Keyword::BY)?;
        table.partitioned_by = identifiers(parser)?;
    }
    if parser.parse_keyword(Keyword::WITH) {
        table.options = options(parser)?;
    }
    if parser.parse_keyword(Keyword::LIKE) {
        table.like = Some(like(parser)?);
    } else if !listed {
        let token = parser.peek_token();
        return parser.expected("the columns in parentheses, or LIKE and a table", token);
    }
    Ok(table)
}

fn like(parser: &mut Reader<'_>) -> Parsed<Like> {
    let mut like = Like { source: name(parser)?, all: None, features: Vec::new() };
    if !parser.consume_token(&Token::LParen) {
        return Ok(like);
    }
    while !parser.consume_token(&Token::RParen) {
        let token = parser.peek_token();
        let merging = match () {
            () if word(parser, "INCLUDING") => Merging::Including,
            () if word(parser, "EXCLUDING") => Merging::Excluding,
            () if word(parser, "OVERWRITING") => Merging::Overwriting,
            () => return parser.expected("INCLUDING, EXCLUDING or OVERWRITING", token),
        };
        let token = parser.peek_token();
        if merging != Merging::Overwriting && word(parser, "ALL") {
            if like.all.replace(merging).is_some() {
                return parser.expected("ALL once", token);
            }
            continue;
        }
        let feature = feature(parser, merging)?;
        if like.features.iter().any(|(known, _)| *known == feature) {
            return parser.expected("each feature once", token);
        }
        like.features.push((feature, merging));
    }
    Ok(like)
}

fn feature(parser: &mut Reader<'_>, merging: Merging) -> Parsed<Feature> {
    let all = [
        ("GENERATED", Feature::Generated),
        ("METADATA", Feature::Metadata),
        ("OPTIONS", Feature::Options),
        ("WATERMARKS", Feature::Watermarks),
        ("CONSTRAINTS", Feature::Constraints),
        ("PARTITIONS", Feature::Partitions),
    ];
    // A table has one key and one list of partition columns: there is nothing to overwrite one by one.
    let known = if merging == Merging::Overwriting { &all[..4] } else { &all[..] };
    for (name, feature) in known {
        if word(parser, name) {
            return Ok(*feature);
        }
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let token = parser.peek_token();
    parser.expected(&format!("one of {}", names.join(", ")), token)
}

fn written(parser: &mut Reader<'_>) -> Parsed<Written> {
    parser.with_text(|parser| parser.parse_expr()).map(|(expr, text)| Written { expr, text })
}

fn table_element(parser: &mut Reader<'_>, table: &mut CreateTable) -> Parsed<()> {
    if word_then(parser, "WATERMARK", "FOR") {
        let column = parser.parse_identifier()?.value;
        parser.expect_keyword(Keyword::AS)?;
        table.watermark = Some((column, written(parser)?));
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
fn word_then(parser: &mut Reader<'_>, first: &str, second: &str) -> bool {
    let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
    let both = is(&parser.peek_token_ref().token, first) && is(&parser.peek_nth_token(1).token, second);
    if both {
        parser.next_token();
        parser.next_token();
    }
    both
}

fn not_enforced(parser: &mut Reader<'_>) -> Parsed<()> {
    if parser.parse_keyword(Keyword::NOT) {
        parser.expect_keyword(Keyword::ENFORCED)?;
        return Ok(());
    }
    let token = parser.peek_token();
    parser.expected("NOT ENFORCED (the source keeps its keys, not this table)", token)
}

fn column_kind(parser: &mut Reader<'_>, name: &str, table: &mut CreateTable) -> Parsed<ColumnKind> {
    if parser.parse_keyword(Keyword::AS) {
        return Ok(ColumnKind::Computed(Box::new(written(parser)?)));
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

pub(super) fn drop_statement(parser: &mut Reader<'_>) -> Parsed<Statement> {
    parser.next_token();
    let _ = parser.parse_keyword(Keyword::TEMPORARY);
    let view = parser.parse_keyword(Keyword::VIEW);
    if !view {
        parser.expect_keyword(Keyword::TABLE)?;
    }
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    Ok(Statement::Drop { name: name(parser)?, view, if_exists })
}
