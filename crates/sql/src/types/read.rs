//! Reading types: `DECIMAL(10, 2)`, `ROW<a INT, b ARRAY<STRING>>`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::{SqlType, UNBOUNDED, nested_field};
use crate::dialect::FlinkDialect;

/// Reads a whole text as a type.
pub(crate) fn read_type(text: &str) -> Result<SqlType, ParserError> {
    let dialect = FlinkDialect;
    let mut parser = Parser::new(&dialect).try_with_sql(text)?;
    let (sql_type, _) = read_from(&mut parser, 0)?;
    parser.expect_token(&Token::EOF)?;
    Ok(sql_type)
}

/// Reads a type; `closers` counts the `>` of a `>>` token that belong to the types around.
pub(crate) struct TypeReader<'a, 'b> {
    parser: &'a mut Parser<'b>,
    closers: usize,
    /// The least length of text and bytes: nobody declares 0, but a constant may have it.
    length_min: u32,
}

/// Reads a type and an optional `[NOT] NULL`. Gives the type and whether NULL is allowed.
pub(crate) fn parse_type(parser: &mut Parser<'_>) -> Result<(SqlType, bool), ParserError> {
    read_from(parser, 1)
}

fn read_from(parser: &mut Parser<'_>, length_min: u32) -> Result<(SqlType, bool), ParserError> {
    let mut reader = TypeReader { parser, closers: 0, length_min };
    let parsed = reader.nullable_type()?;
    if reader.closers > 0 {
        return Err(ParserError::ParserError("Expected: a type, found: >".to_owned()));
    }
    Ok(parsed)
}

impl TypeReader<'_, '_> {
    fn nullable_type(&mut self) -> Result<(SqlType, bool), ParserError> {
        let sql_type = self.type_name()?;
        if self.closers > 0 {
            return Ok((sql_type, true));
        }
        if self.parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
            return Ok((sql_type, false));
        }
        let _ = self.parser.parse_keyword(Keyword::NULL);
        Ok((sql_type, true))
    }

    fn type_name(&mut self) -> Result<SqlType, ParserError> {
        let token = self.parser.next_token();
        let Token::Word(word) = &token.token else { return self.parser.expected("a type", token) };
        Ok(match word.value.to_ascii_uppercase().as_str() {
            "BOOLEAN" => SqlType::Boolean,
            "TINYINT" => SqlType::TinyInt,
            "SMALLINT" => SqlType::SmallInt,
            "INT" | "INTEGER" => SqlType::Int,
            "BIGINT" => SqlType::BigInt,
            "FLOAT" => SqlType::Float,
            "DOUBLE" => {
                let _ = self.parser.parse_keyword(Keyword::PRECISION);
                SqlType::Double
            }
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal()?,
            "CHAR" | "CHARACTER" => {
                if self.parser.parse_keyword(Keyword::VARYING) {
                    SqlType::VarChar(self.length(1)?)
                } else {
                    SqlType::Char(self.length(1)?)
                }
            }
            "VARCHAR" => SqlType::VarChar(self.length(1)?),
            "STRING" => SqlType::VarChar(UNBOUNDED),
            "BINARY" => {
                if self.parser.parse_keyword(Keyword::VARYING) {
                    SqlType::VarBinary(self.length(1)?)
                } else {
                    SqlType::Binary(self.length(1)?)
                }
            }
            "VARBINARY" => SqlType::VarBinary(self.length(1)?),
            "BYTES" => SqlType::VarBinary(UNBOUNDED),
            "DATE" => SqlType::Date,
            "TIME" => {
                let precision = self.precision(0)?;
                self.without_zone()?;
                SqlType::Time(precision)
            }
            "TIMESTAMP" => self.timestamp()?,
            "TIMESTAMP_LTZ" => SqlType::TimestampLtz(self.precision(6)?),
            "INTERVAL" => self.interval()?,
            // Spark's intervals in metadata; nobody writes them so.
            "DAY_TIME" => self.fields(SqlType::DayTime)?,
            "YEAR_MONTH" => self.fields(SqlType::YearMonth)?,
            "ARRAY" => list_type(&self.one_argument()?),
            "MULTISET" => map_type(&self.one_argument()?, &(SqlType::Int, false)),
            "MAP" => {
                self.open()?;
                let key = self.nullable_type()?;
                self.parser.expect_token(&Token::Comma)?;
                let value = self.nullable_type()?;
                self.close()?;
                map_type(&key, &value)
            }
            "ROW" => self.row()?,
            _ => return self.parser.expected("a type", token),
        })
    }

    fn number(&mut self) -> Result<u64, ParserError> {
        self.parser.parse_literal_uint()
    }

    /// Digits of a second's fraction, 0 to 9.
    fn precision(&mut self, default: u8) -> Result<u8, ParserError> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(default);
        }
        let precision = self.number()?;
        self.parser.expect_token(&Token::RParen)?;
        match u8::try_from(precision) {
            Ok(precision @ 0..=9) => Ok(precision),
            _ => Err(ParserError::ParserError(format!("Expected: a precision from 0 to 9, found: {precision}"))),
        }
    }

    /// Characters or bytes, at least one.
    fn length(&mut self, default: u32) -> Result<u32, ParserError> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(default);
        }
        let length = self.number()?;
        self.parser.expect_token(&Token::RParen)?;
        match u32::try_from(length) {
            Ok(length) if (self.length_min..=UNBOUNDED).contains(&length) => Ok(length),
            _ => Err(ParserError::ParserError(format!("Expected: a length from 1 to {UNBOUNDED}, found: {length}"))),
        }
    }

    fn decimal(&mut self) -> Result<SqlType, ParserError> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(SqlType::Decimal(10, 0));
        }
        let precision = self.number()?;
        let scale = if self.parser.consume_token(&Token::Comma) { self.number()? } else { 0 };
        self.parser.expect_token(&Token::RParen)?;
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(p @ 1..=38), Ok(s)) if scale <= precision => Ok(SqlType::Decimal(p, s)),
            _ => Err(ParserError::ParserError(format!(
                "Expected: DECIMAL with a precision from 1 to 38 and a scale not above it, found: DECIMAL({precision}, {scale})"
            ))),
        }
    }

    fn timestamp(&mut self) -> Result<SqlType, ParserError> {
        let precision = self.precision(6)?;
        if self.parser.parse_keyword(Keyword::WITH) {
            self.parser.expect_keyword(Keyword::LOCAL)?;
            self.parser.expect_keyword(Keyword::TIME)?;
            self.parser.expect_keyword(Keyword::ZONE)?;
            return Ok(SqlType::TimestampLtz(precision));
        }
        self.without_zone()?;
        Ok(SqlType::Timestamp(precision))
    }

    fn without_zone(&mut self) -> Result<(), ParserError> {
        if self.parser.parse_keyword(Keyword::WITHOUT) {
            self.parser.expect_keyword(Keyword::TIME)?;
            self.parser.expect_keyword(Keyword::ZONE)?;
        }
        Ok(())
    }

    /// `YEAR TO MONTH`, `MONTH`, `DAY TO SECOND(3)`, …: two kinds, whatever the fields.
    fn interval(&mut self) -> Result<SqlType, ParserError> {
        let mut months = None;
        loop {
            let token = self.parser.next_token();
            let Token::Word(word) = &token.token else { return self.parser.expected("a unit of an interval", token) };
            let of_months = match word.value.to_ascii_uppercase().as_str() {
                "YEAR" | "MONTH" => true,
                "DAY" | "HOUR" | "MINUTE" | "SECOND" => false,
                _ => return self.parser.expected("a unit of an interval", token),
            };
            if months.is_some_and(|months| months != of_months) {
                return self.parser.expected("a unit of the same kind", token);
            }
            months = Some(of_months);
            self.precision(0)?;
            if !self.parser.parse_keyword(Keyword::TO) {
                return Ok(if of_months { SqlType::Months } else { SqlType::Millis });
            }
        }
    }

    fn fields(&mut self, build: fn(u8, u8) -> SqlType) -> Result<SqlType, ParserError> {
        self.parser.expect_token(&Token::LParen)?;
        let first = self.number()?;
        self.parser.expect_token(&Token::Comma)?;
        let last = self.number()?;
        self.parser.expect_token(&Token::RParen)?;
        match (u8::try_from(first), u8::try_from(last)) {
            (Ok(first @ 0..=3), Ok(last @ 0..=3)) => Ok(build(first, last)),
            _ => Err(ParserError::ParserError("Expected: the numbers of two fields".to_owned())),
        }
    }

    fn open(&mut self) -> Result<(), ParserError> {
        self.parser.expect_token(&Token::Lt).map(|_| ())
    }

    fn close(&mut self) -> Result<(), ParserError> {
        if self.closers > 0 {
            self.closers -= 1;
            return Ok(());
        }
        if self.parser.consume_token(&Token::ShiftRight) {
            self.closers = 1;
            return Ok(());
        }
        self.parser.expect_token(&Token::Gt).map(|_| ())
    }

    fn one_argument(&mut self) -> Result<(SqlType, bool), ParserError> {
        self.open()?;
        let inner = self.nullable_type()?;
        self.close()?;
        Ok(inner)
    }

    fn row(&mut self) -> Result<SqlType, ParserError> {
        let parenthesised = self.parser.consume_token(&Token::LParen);
        if !parenthesised {
            self.open()?;
        }
        let mut fields: Vec<FieldRef> = Vec::new();
        loop {
            let name = self.parser.parse_identifier()?.value;
            let (sql_type, nullable) = self.nullable_type()?;
            fields.push(nested_field(&name, &(sql_type, nullable)));
            if self.closers > 0 || !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        if parenthesised {
            self.parser.expect_token(&Token::RParen)?;
        } else {
            self.close()?;
        }
        Ok(SqlType::Other(DataType::Struct(Fields::from(fields))))
    }
}

fn list_type(item: &(SqlType, bool)) -> SqlType {
    SqlType::Other(DataType::List(nested_field("item", item)))
}

fn map_type(key: &(SqlType, bool), value: &(SqlType, bool)) -> SqlType {
    let entries = vec![nested_field("keys", &(key.0.clone(), false)), nested_field("values", value)];
    let entries = Field::new("entries", DataType::Struct(Fields::from(entries)), false);
    SqlType::Other(DataType::Map(Arc::new(entries), false))
}
