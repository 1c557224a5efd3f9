//! Spark's lexical rules for sqlparser, and the forms of expressions that its grammar lacks or reads otherwise. Each becomes
//! a call, as in [`crate::dialect`].
//!
//! | Spark | call |
//! |---|---|
//! | `CAST(x AS type)`, `TRY_CAST(x AS type)`, `x::type` | `$cast(x, 'type')`, `$try_cast(x, 'type')` |
//! | `DATE '…'`, `TIMESTAMP '…'`, `2S`, `1.5BD` | `$literal('DATE', '…')`, `$literal('SMALLINT', '2')` |
//! | `INTERVAL 1 DAY 2 HOURS`, `INTERVAL '1 2' DAY TO HOUR` | `$interval('1', 'day', '2', 'hour')`, `$interval('TO', '1 2', 'day', 'hour')` |
//! | `TRIM(LEADING x FROM s)` | `$trim('LEADING', s, x)` |
//! | `ARRAY(…)`, `MAP(…)`, `STRUCT(x AS a)` | calls of functions |
//! | `a DIV b`, `a <=> b` | `$div(a, b)`, `$<=>(a, b)` |
//! | `CURRENT_DATE` | `current_date()` |

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use super::types::{name, parse_type};
use crate::dialect::{CAST, INTERVAL, LITERAL, TRIM, TRY_CAST, plain_call, text, text_call};

/// Spark SQL: identifiers quoted by backticks, text by either quote, with backslashes.
#[derive(Debug, Default)]
pub(crate) struct SparkDialect;

fn unquoted(token: &Token) -> Option<&Word> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word),
        _ => None,
    }
}

fn is(token: &Token, wanted: &str) -> bool {
    unquoted(token).is_some_and(|word| word.value.eq_ignore_ascii_case(wanted))
}

impl Dialect for SparkDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_' || ch == '$'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }

    fn ignores_wildcard_escapes(&self) -> bool {
        true
    }

    fn supports_string_literal_concatenation(&self) -> bool {
        true
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_within_after_array_aggregation(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_bang_not_operator(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_select_item_multi_column_alias(&self) -> bool {
        true
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn supports_from_first_select(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let token = parser.peek_token_ref().token.clone();
        let next = parser.peek_nth_token(1).token;
        if let Token::Number(digits, false) = &token
            && let Some(suffix) = unquoted(&next).map(|word| word.value.to_ascii_uppercase())
            && parser.peek_token_ref().span.end == parser.peek_nth_token_ref(1).span.start
        {
            let kind = match suffix.as_str() {
                "L" => "BIGINT",
                "S" => "SMALLINT",
                "Y" => "TINYINT",
                "D" => "DOUBLE",
                "F" => "FLOAT",
                "BD" => "DECIMAL",
                _ => return None,
            };
            parser.next_token();
            parser.next_token();
            return Some(Ok(text_call(LITERAL, &[kind, digits])));
        }
        let word = unquoted(&token)?;
        let upper = word.value.to_ascii_uppercase();
        if let Some(literal) = suffixed(&word.value) {
            parser.next_token();
            return Some(Ok(literal));
        }
        match (upper.as_str(), next) {
            ("CAST", Token::LParen) => Some(cast(parser, CAST)),
            ("TRY_CAST", Token::LParen) => Some(cast(parser, TRY_CAST)),
            (
                "DATE" | "TIMESTAMP" | "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ",
                Token::SingleQuotedString(text) | Token::DoubleQuotedString(text),
            ) => {
                parser.next_token();
                parser.next_token();
                Some(Ok(text_call(LITERAL, &[&upper, &text])))
            }
            ("X", Token::SingleQuotedString(text)) => {
                parser.next_token();
                parser.next_token();
                Some(Ok(text_call(LITERAL, &["BINARY", &text])))
            }
            ("TRIM", Token::LParen) => trim(parser),
            // Of an array, not of a query.
            ("EXISTS", Token::LParen) if !begins_query(&parser.peek_nth_token(2).token) => {
                let name = parser.parse_object_name(false);
                Some(name.and_then(|name| parser.parse_function(name)))
            }
            ("INTERVAL", next) if begins_interval(&next) => Some(interval(parser)),
            (
                "ARRAY" | "MAP" | "STRUCT" | "DATE" | "TIMESTAMP" | "IF" | "LEFT" | "RIGHT" | "FIRST" | "LAST"
                | "REPLACE" | "DECIMAL" | "INT" | "STRING" | "BOOLEAN" | "DOUBLE" | "FLOAT" | "BIGINT" | "BINARY"
                | "CHAR" | "ANY" | "SOME" | "POSITION",
                Token::LParen,
            ) => call(parser, &upper),
            ("CURRENT_DATE" | "CURRENT_TIMESTAMP", next) if next != Token::LParen => {
                parser.next_token();
                Some(Ok(plain_call(&upper.to_lowercase(), Vec::new())))
            }
            _ => None,
        }
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        let token = parser.peek_token_ref().token.clone();
        if is(&token, "DIV") {
            parser.next_token();
            return Some(parser.parse_subexpr(precedence).map(|right| plain_call("$div", vec![expr.clone(), right])));
        }
        match token {
            Token::DoubleColon => {
                parser.next_token();
                Some(parse_type(parser).map(|kind| plain_call(CAST, vec![expr.clone(), text(&name(&kind))])))
            }
            Token::ShiftRight if is_third(parser) => {
                parser.next_token();
                parser.next_token();
                let right = parser.parse_subexpr(precedence);
                Some(right.map(|right| plain_call("shiftrightunsigned", vec![expr.clone(), right])))
            }
            Token::Spaceship => {
                parser.next_token();
                Some(parser.parse_subexpr(precedence).map(|right| plain_call("$<=>", vec![expr.clone(), right])))
            }
            _ => None,
        }
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        is(&parser.peek_token_ref().token, "DIV").then(|| Ok(self.prec_value(Precedence::MulDivModOp)))
    }
}

/// Whether `>>` has a third `>` at once behind it.
fn is_third(parser: &Parser) -> bool {
    let (shift, next) = (parser.peek_token_ref(), parser.peek_nth_token_ref(1));
    next.token == Token::Gt && shift.span.end == next.span.start
}

/// `2S`, `1L`, `1BD`, `1D`: numbers that the tokenizer takes for names.
fn suffixed(word: &str) -> Option<Expr> {
    let end = word.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (digits, suffix) = word.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let kind = match suffix.to_ascii_uppercase().as_str() {
        "L" => "BIGINT",
        "S" => "SMALLINT",
        "Y" => "TINYINT",
        "D" => "DOUBLE",
        "F" => "FLOAT",
        "BD" => "DECIMAL",
        _ => return None,
    };
    Some(text_call(LITERAL, &[kind, digits]))
}

fn cast(parser: &mut Parser, function: &str) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let value = parser.parse_expr()?;
    parser.expect_keyword(Keyword::AS)?;
    let sql_type = parse_type(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(plain_call(function, vec![value, text(&name(&sql_type))]))
}

/// A function whose name is a word of the grammar. `STRUCT(x AS a)` names its fields.
fn call(parser: &mut Parser, name: &str) -> Option<Result<Expr, ParserError>> {
    // Aggregates may have more behind their arguments; the grammar of functions reads it.
    if !matches!(
        name,
        "ARRAY"
            | "MAP"
            | "STRUCT"
            | "DATE"
            | "TIMESTAMP"
            | "DECIMAL"
            | "INT"
            | "STRING"
            | "BOOLEAN"
            | "DOUBLE"
            | "FLOAT"
            | "BIGINT"
            | "BINARY"
            | "CHAR"
            | "IF"
            | "LEFT"
            | "RIGHT"
            | "REPLACE"
            | "POSITION"
    ) {
        return None;
    }
    Some(arguments(parser, name))
}

fn arguments(parser: &mut Parser, name: &str) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let mut args = Vec::new();
    let mut names: Vec<Option<String>> = Vec::new();
    if !parser.consume_token(&Token::RParen) {
        loop {
            let value = if name == "POSITION" {
                // `IN` stands between both arguments.
                parser.parse_subexpr(21)?
            } else {
                parser.parse_expr()?
            };
            if name == "POSITION" && args.is_empty() && parser.parse_keyword(Keyword::IN) {
                let within = parser.parse_expr()?;
                parser.expect_token(&Token::RParen)?;
                return Ok(plain_call("position", vec![value, within]));
            }
            names.push(if parser.parse_keyword(Keyword::AS) {
                Some(parser.parse_identifier()?.value)
            } else {
                match &value {
                    Expr::Identifier(ident) => Some(ident.value.clone()),
                    Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.clone()),
                    _ => None,
                }
            });
            args.push(value);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    }
    if name == "STRUCT" {
        let named = args
            .into_iter()
            .zip(names)
            .enumerate()
            .flat_map(|(index, (value, name))| [text(&name.unwrap_or_else(|| format!("col{}", index + 1))), value]);
        return Ok(plain_call("named_struct", named.collect()));
    }
    Ok(plain_call(&name.to_lowercase(), args))
}

/// `TRIM([BOTH | LEADING | TRAILING] [characters] FROM text)`; others are plain calls.
fn trim(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let sides = ["BOTH", "LEADING", "TRAILING"];
    let sided = sides.iter().any(|side| is(&parser.peek_nth_token(2).token, side));
    let read = |parser: &mut Parser| -> Result<Expr, ParserError> {
        parser.next_token();
        parser.expect_token(&Token::LParen)?;
        let side = if sided { parser.next_token().token.to_string().to_ascii_uppercase() } else { "BOTH".to_owned() };
        let mut what = None;
        let value = if sided && parser.parse_keyword(Keyword::FROM) {
            parser.parse_expr()?
        } else {
            let first = parser.parse_expr()?;
            if parser.parse_keyword(Keyword::FROM) {
                what = Some(first);
                parser.parse_expr()?
            } else if !sided {
                let mut args = vec![first];
                while parser.consume_token(&Token::Comma) {
                    args.push(parser.parse_expr()?);
                }
                parser.expect_token(&Token::RParen)?;
                return Ok(plain_call("trim", args));
            } else {
                let token = parser.peek_token();
                return parser.expected("FROM", token);
            }
        };
        parser.expect_token(&Token::RParen)?;
        Ok(plain_call(TRIM, vec![text(&side), value, what.unwrap_or_else(|| text(" "))]))
    };
    Some(read(parser))
}

fn begins_query(token: &Token) -> bool {
    unquoted(token).is_some_and(|word| {
        matches!(word.value.to_ascii_uppercase().as_str(), "SELECT" | "WITH" | "VALUES" | "FROM" | "TABLE")
    }) || *token == Token::LParen
}

fn begins_interval(token: &Token) -> bool {
    matches!(token, Token::Number(..) | Token::SingleQuotedString(_) | Token::Minus | Token::Plus)
}

fn interval(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.next_token();
    let mut parts: Vec<String> = Vec::new();
    loop {
        let mut number = String::new();
        if parser.consume_token(&Token::Minus) {
            number.push('-');
        } else {
            let _ = parser.consume_token(&Token::Plus);
        }
        let token = parser.next_token();
        match token.token {
            Token::Number(digits, _) => number.push_str(&digits),
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => {
                let negative = number == "-";
                number = match (negative, text.strip_prefix('-')) {
                    (true, Some(positive)) => positive.to_owned(),
                    (true, None) => format!("-{text}"),
                    (false, _) => text,
                };
            }
            _ => return parser.expected("a number or a text in quotes", token),
        }
        let unit = unit(parser)?;
        if parts.is_empty() && parser.parse_keyword(Keyword::TO) {
            let last = self::unit(parser)?;
            return Ok(text_call(INTERVAL, &["TO", &number, &unit, &last]));
        }
        parts.extend([number, unit]);
        let goes_on = matches!(parser.peek_token_ref().token, Token::Number(..) | Token::SingleQuotedString(_))
            && unquoted(&parser.peek_nth_token(1).token).is_some();
        if !goes_on {
            return Ok(text_call(INTERVAL, &parts.iter().map(String::as_str).collect::<Vec<_>>()));
        }
    }
}

fn unit(parser: &mut Parser) -> Result<String, ParserError> {
    let token = parser.next_token();
    match unquoted(&token.token) {
        Some(word) => {
            let unit = word.value.to_lowercase();
            Ok(if unit.len() > 1 { unit.trim_end_matches('s').to_owned() } else { unit })
        }
        None => parser.expected("a unit such as DAY or SECOND", token),
    }
}
