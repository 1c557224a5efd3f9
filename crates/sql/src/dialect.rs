//! Flink's lexical rules for sqlparser, and the one prefix that SQL's grammar lacks: `TABLE name` as an argument.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
};
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Name of the marker function that `TABLE name` becomes inside a window table function.
pub(crate) const TABLE_MARKER: &str = "$table";

/// Flink SQL: identifiers are case-sensitive and quoted by backticks.
#[derive(Debug, Default)]
pub(crate) struct FlinkDialect;

impl Dialect for FlinkDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_' || ch == '$'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if !parser.peek_keyword(Keyword::TABLE) || !matches!(parser.peek_nth_token(1).token, Token::Word(_)) {
            return None;
        }
        parser.next_token();
        Some(parser.parse_object_name(false).map(|name| marker(TABLE_MARKER, name)))
    }
}

/// A call of the marker function `function` with a table's name as its only argument.
fn marker(function: &str, name: ObjectName) -> Expr {
    let parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
    let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::CompoundIdentifier(parts)));
    call(function, vec![argument])
}

/// A plain function call.
pub(crate) fn call(function: &str, args: Vec<FunctionArg>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(function)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
