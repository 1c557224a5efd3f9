//! Flink's lexical rules for sqlparser, and the forms of expressions that its grammar lacks or reads otherwise. Each of
//! them becomes a call of a function whose name starts with `$`, which no script can write:
//!
//! | Flink | call |
//! |---|---|
//! | `TABLE name` inside a window table function | `$table(name)` |
//! | `CAST(x AS type)`, `TRY_CAST(x AS type)` | `$cast(x, 'type')`, `$try_cast(x, 'type')` |
//! | `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'` | `$literal('DATE', '…')` |
//! | `U&'\00e9'`, `U&'!00e9' UESCAPE '!'` | `'é'` |
//! | `INTERVAL '1 2:3' DAY TO MINUTE` | `$interval('1 2:3', 'DAY', 'MINUTE')` |
//! | `TRIM(LEADING x FROM s)`, `TRIM(s)` | `$trim('LEADING', s, x)`, `$trim('BOTH', s, ' ')` |
//! | `x [NOT] BETWEEN SYMMETRIC a AND b` | `$between_symmetric(x, a, b)` |

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    UnaryOperator, Value,
};
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::types::parse_type;

/// Name of the marker function that `TABLE name` becomes inside a window table function.
pub(crate) const TABLE_MARKER: &str = "$table";
/// `$cast(x, 'type')`.
pub(crate) const CAST: &str = "$cast";
/// `$try_cast(x, 'type')`.
pub(crate) const TRY_CAST: &str = "$try_cast";
/// `$trim('side', text, characters)`.
pub(crate) const TRIM: &str = "$trim";
/// `$literal('type', 'text')`.
pub(crate) const LITERAL: &str = "$literal";
/// `$interval('text', 'unit'[, 'last unit'])`.
pub(crate) const INTERVAL: &str = "$interval";
/// `$between_symmetric(x, a, b)`.
pub(crate) const BETWEEN_SYMMETRIC: &str = "$between_symmetric";

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
        let Token::Word(word) = &parser.peek_token_ref().token else { return None };
        if word.quote_style.is_some() {
            return None;
        }
        let name = word.value.to_ascii_uppercase();
        let next = parser.peek_nth_token(1).token;
        match (name.as_str(), next) {
            ("TABLE", Token::Word(_)) => {
                parser.next_token();
                Some(parser.parse_object_name(false).map(|name| marker(TABLE_MARKER, name)))
            }
            ("CAST", Token::LParen) => Some(cast(parser, CAST)),
            ("TRY_CAST", Token::LParen) => Some(cast(parser, TRY_CAST)),
            ("DATE" | "TIME" | "TIMESTAMP", Token::SingleQuotedString(text)) => {
                parser.next_token();
                parser.next_token();
                Some(Ok(text_call(LITERAL, &[&name, &text])))
            }
            ("TRIM", Token::LParen) => Some(trim(parser)),
            ("U", Token::Ampersand) => unicode(parser),
            ("INTERVAL", Token::SingleQuotedString(_) | Token::Minus | Token::Plus) => Some(interval(parser)),
            _ => None,
        }
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        let is = |token: Token, word: &str| matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word));
        let negated = is(parser.peek_nth_token(0).token, "NOT");
        let at = usize::from(negated);
        if !is(parser.peek_nth_token(at).token, "BETWEEN") {
            return None;
        }
        let symmetric = is(parser.peek_nth_token(at + 1).token, "SYMMETRIC");
        if !symmetric && !is(parser.peek_nth_token(at + 1).token, "ASYMMETRIC") {
            return None;
        }
        (0..at + 2).for_each(|_| drop(parser.next_token()));
        Some(between(self, parser, expr.clone(), symmetric, negated))
    }
}

fn between(
    dialect: &FlinkDialect,
    parser: &mut Parser,
    expr: Expr,
    symmetric: bool,
    negated: bool,
) -> Result<Expr, ParserError> {
    let precedence = dialect.prec_value(Precedence::Between);
    let low = parser.parse_subexpr(precedence)?;
    parser.expect_keyword(Keyword::AND)?;
    let high = parser.parse_subexpr(precedence)?;
    if !symmetric {
        return Ok(Expr::Between { expr: Box::new(expr), negated, low: Box::new(low), high: Box::new(high) });
    }
    let found = plain_call(BETWEEN_SYMMETRIC, vec![expr, low, high]);
    Ok(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(found) } } else { found })
}

/// `CAST(x AS type)` with the type as Flink names it.
fn cast(parser: &mut Parser, function: &str) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let value = parser.parse_expr()?;
    parser.expect_keyword(Keyword::AS)?;
    let (sql_type, _) = parse_type(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(plain_call(function, vec![value, text(&sql_type.to_string())]))
}

/// `TRIM([BOTH | LEADING | TRAILING] [characters] FROM text)` or `TRIM(text)`.
fn trim(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let sides = [Keyword::BOTH, Keyword::LEADING, Keyword::TRAILING];
    let side = parser.parse_one_of_keywords(&sides);
    let (what, value) = if side.is_some() && parser.parse_keyword(Keyword::FROM) {
        (None, parser.parse_expr()?)
    } else {
        let first = parser.parse_expr()?;
        match side {
            Some(_) => parser.expect_keyword(Keyword::FROM).and_then(|_| Ok((Some(first), parser.parse_expr()?)))?,
            None if parser.parse_keyword(Keyword::FROM) => (Some(first), parser.parse_expr()?),
            None => (None, first),
        }
    };
    parser.expect_token(&Token::RParen)?;
    let side = side.map_or_else(|| "BOTH".to_owned(), |side| format!("{side:?}"));
    Ok(plain_call(TRIM, vec![text(&side), value, what.unwrap_or_else(|| text(" "))]))
}

/// `U&'text' [UESCAPE 'c']`, with nothing between its parts; else U is a column.
fn unicode(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let (letter, and, quoted) = (parser.peek_token(), parser.peek_nth_token(1), parser.peek_nth_token(2));
    let Token::SingleQuotedString(written) = &quoted.token else { return None };
    if letter.span.end != and.span.start || and.span.end != quoted.span.start {
        return None;
    }
    (0..3).for_each(|_| drop(parser.next_token()));
    Some(unescaped(parser, written).map(|value| text(&value)))
}

fn unescaped(parser: &mut Parser, written: &str) -> Result<String, ParserError> {
    let mut escape = '\\';
    if parser.parse_keyword(Keyword::UESCAPE) {
        let token = parser.peek_token();
        let given = parser.parse_literal_string()?;
        let mut letters = given.chars();
        escape = match (letters.next(), letters.next()) {
            (Some(one), None) if !one.is_ascii_hexdigit() && !one.is_whitespace() && !"+'\"".contains(one) => one,
            _ => return parser.expected("one character that is no digit, sign, quote or blank", token),
        };
    }
    let wrong = || ParserError::ParserError(format!("{escape} in U&'…' takes four hexadecimal digits, or itself"));
    let mut units: Vec<u16> = Vec::new();
    let mut rest = written.chars();
    while let Some(letter) = rest.next() {
        let mut utf16 = [0; 2];
        if letter != escape {
            units.extend_from_slice(letter.encode_utf16(&mut utf16));
        } else if rest.as_str().starts_with(escape) {
            units.extend_from_slice(rest.next().unwrap_or(escape).encode_utf16(&mut utf16));
        } else {
            let digits: String = rest.by_ref().take(4).collect();
            let valid = digits.len() == 4 && digits.chars().all(|digit| digit.is_ascii_hexdigit());
            units.push(u16::from_str_radix(&digits, 16).ok().filter(|_| valid).ok_or_else(wrong)?);
        }
    }
    String::from_utf16(&units).map_err(|_| ParserError::ParserError("half of a pair of code units in U&'…'".to_owned()))
}

/// `INTERVAL [-] 'text' unit[(digits)] [TO unit[(digits)]]`.
fn interval(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.next_token();
    let negative = parser.consume_token(&Token::Minus);
    if !negative {
        let _ = parser.consume_token(&Token::Plus);
    }
    let value = parser.parse_literal_string()?;
    let value = match (negative, value.strip_prefix('-')) {
        (true, Some(positive)) => positive.to_owned(),
        (true, None) => format!("-{value}"),
        (false, _) => value,
    };
    let first = interval_unit(parser)?;
    let mut parts = vec![value, first];
    if parser.parse_keyword(Keyword::TO) {
        parts.push(interval_unit(parser)?);
    }
    Ok(text_call(INTERVAL, &parts.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn interval_unit(parser: &mut Parser) -> Result<String, ParserError> {
    let token = parser.next_token();
    let Token::Word(word) = &token.token else { return parser.expected("a unit such as DAY or SECOND", token) };
    let unit = word.value.to_ascii_uppercase();
    if parser.consume_token(&Token::LParen) {
        parser.parse_literal_uint()?;
        if parser.consume_token(&Token::Comma) {
            parser.parse_literal_uint()?;
        }
        parser.expect_token(&Token::RParen)?;
    }
    Ok(unit)
}

/// A call of the marker function `function` with a table's name as its only argument.
fn marker(function: &str, name: ObjectName) -> Expr {
    let parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
    plain_call(function, vec![Expr::CompoundIdentifier(parts)])
}

/// A string as an expression.
pub(crate) fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_owned()).into())
}

/// A call whose arguments are strings.
pub(crate) fn text_call(function: &str, args: &[&str]) -> Expr {
    plain_call(function, args.iter().map(|arg| text(arg)).collect())
}

/// A call with these arguments.
pub(crate) fn plain_call(function: &str, args: Vec<Expr>) -> Expr {
    call(function, args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect())
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
