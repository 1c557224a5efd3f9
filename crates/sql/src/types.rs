//! Flink's type names and the Arrow types behind them.
//!
//! | SQL | Arrow |
//! |---|---|
//! | `TIMESTAMP(p)`, `TIMESTAMP_LTZ(p)` | Timestamp in s (p = 0), ms (1..3), µs (4..6), ns (7..9); LTZ with the zone "UTC" |
//! | `TIME(p)` | Time32 s, ms; Time64 µs, ns likewise |
//! | `DECIMAL(p, s)` | Decimal128 |
//! | `STRING`, `CHAR(n)`, `VARCHAR(n)` | Utf8 |
//! | `BYTES`, `BINARY(n)`, `VARBINARY(n)` | Binary |
//! | `ARRAY`, `MAP`, `MULTISET`, `ROW` | List, Map, Map to Int32, Struct |

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Reads a type; `closers` counts the `>` of a `>>` token that belong to the types around.
pub(crate) struct TypeReader<'a, 'b> {
    parser: &'a mut Parser<'b>,
    closers: usize,
}

/// Reads a type and an optional `[NOT] NULL`. Gives the type and whether NULL is allowed.
pub(crate) fn parse_type(parser: &mut Parser<'_>) -> Result<(DataType, bool), ParserError> {
    let mut reader = TypeReader { parser, closers: 0 };
    let parsed = reader.nullable_type()?;
    if reader.closers > 0 {
        return Err(ParserError::ParserError("Expected: a type, found: >".to_owned()));
    }
    Ok(parsed)
}

impl TypeReader<'_, '_> {
    fn nullable_type(&mut self) -> Result<(DataType, bool), ParserError> {
        let data_type = self.type_name()?;
        if self.closers > 0 {
            return Ok((data_type, true));
        }
        if self.parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
            return Ok((data_type, false));
        }
        let _ = self.parser.parse_keyword(Keyword::NULL);
        Ok((data_type, true))
    }

    fn type_name(&mut self) -> Result<DataType, ParserError> {
        let token = self.parser.next_token();
        let Token::Word(word) = &token.token else { return self.parser.expected("a type", token) };
        Ok(match word.value.to_ascii_uppercase().as_str() {
            "BOOLEAN" => DataType::Boolean,
            "TINYINT" => DataType::Int8,
            "SMALLINT" => DataType::Int16,
            "INT" | "INTEGER" => DataType::Int32,
            "BIGINT" => DataType::Int64,
            "FLOAT" => DataType::Float32,
            "DOUBLE" => {
                let _ = self.parser.parse_keyword(Keyword::PRECISION);
                DataType::Float64
            }
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal()?,
            "CHAR" | "VARCHAR" | "STRING" => self.sized(DataType::Utf8)?,
            "BINARY" | "VARBINARY" | "BYTES" => self.sized(DataType::Binary)?,
            "DATE" => DataType::Date32,
            "TIME" => time_type(self.precision(0)?),
            "TIMESTAMP" => self.timestamp()?,
            "TIMESTAMP_LTZ" => DataType::Timestamp(time_unit(self.precision(6)?), Some("UTC".into())),
            "ARRAY" => list_type(self.one_argument()?),
            "MULTISET" => map_type(self.one_argument()?.0, (DataType::Int32, false)),
            "MAP" => {
                self.open()?;
                let key = self.nullable_type()?.0;
                self.parser.expect_token(&Token::Comma)?;
                let value = self.nullable_type()?;
                self.close()?;
                map_type(key, value)
            }
            "ROW" => self.row()?,
            _ => return self.parser.expected("a type", token),
        })
    }

    fn number(&mut self) -> Result<u64, ParserError> {
        self.parser.parse_literal_uint()
    }

    fn precision(&mut self, default: u64) -> Result<u64, ParserError> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(default);
        }
        let precision = self.number()?;
        self.parser.expect_token(&Token::RParen)?;
        if precision > 9 {
            return Err(ParserError::ParserError(format!("Expected: a precision from 0 to 9, found: {precision}")));
        }
        Ok(precision)
    }

    fn sized(&mut self, data_type: DataType) -> Result<DataType, ParserError> {
        if self.parser.consume_token(&Token::LParen) {
            self.number()?;
            self.parser.expect_token(&Token::RParen)?;
        }
        Ok(data_type)
    }

    fn decimal(&mut self) -> Result<DataType, ParserError> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(DataType::Decimal128(10, 0));
        }
        let precision = self.number()?;
        let scale = if self.parser.consume_token(&Token::Comma) { self.number()? } else { 0 };
        self.parser.expect_token(&Token::RParen)?;
        match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(p @ 1..=38), Ok(s)) if scale <= precision => Ok(DataType::Decimal128(p, s)),
            _ => Err(ParserError::ParserError(format!(
                "Expected: DECIMAL with a precision from 1 to 38 and a scale not above it, found: DECIMAL({precision}, {scale})"
            ))),
        }
    }

    fn timestamp(&mut self) -> Result<DataType, ParserError> {
        let unit = time_unit(self.precision(6)?);
        if self.parser.parse_keyword(Keyword::WITH) {
            self.parser.expect_keyword(Keyword::LOCAL)?;
            self.parser.expect_keyword(Keyword::TIME)?;
            self.parser.expect_keyword(Keyword::ZONE)?;
            return Ok(DataType::Timestamp(unit, Some("UTC".into())));
        }
        if self.parser.parse_keyword(Keyword::WITHOUT) {
            self.parser.expect_keyword(Keyword::TIME)?;
            self.parser.expect_keyword(Keyword::ZONE)?;
        }
        Ok(DataType::Timestamp(unit, None))
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

    fn one_argument(&mut self) -> Result<(DataType, bool), ParserError> {
        self.open()?;
        let inner = self.nullable_type()?;
        self.close()?;
        Ok(inner)
    }

    fn row(&mut self) -> Result<DataType, ParserError> {
        let parenthesised = self.parser.consume_token(&Token::LParen);
        if !parenthesised {
            self.open()?;
        }
        let mut fields: Vec<FieldRef> = Vec::new();
        loop {
            let name = self.parser.parse_identifier()?.value;
            let (data_type, nullable) = self.nullable_type()?;
            fields.push(Arc::new(Field::new(name, data_type, nullable)));
            if self.closers > 0 || !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        if parenthesised {
            self.parser.expect_token(&Token::RParen)?;
        } else {
            self.close()?;
        }
        Ok(DataType::Struct(Fields::from(fields)))
    }
}

fn time_unit(precision: u64) -> TimeUnit {
    match precision {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn time_type(precision: u64) -> DataType {
    match time_unit(precision) {
        unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
        unit => DataType::Time64(unit),
    }
}

fn list_type((data_type, nullable): (DataType, bool)) -> DataType {
    DataType::List(Arc::new(Field::new("item", data_type, nullable)))
}

fn map_type(key: DataType, (value, nullable): (DataType, bool)) -> DataType {
    let entries = vec![Field::new("keys", key, false), Field::new("values", value, nullable)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(Fields::from(entries)), false)), false)
}

/// Flink's name of an Arrow type, as `DESCRIBE` and errors show it.
pub fn type_name(data_type: &DataType) -> String {
    let precision = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", precision(unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", precision(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", precision(unit)),
        DataType::List(item) => format!("ARRAY<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("`{}` {}", field.name(), type_name(field.data_type()))).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                let sides: Vec<String> = pair.iter().map(|field| type_name(field.data_type())).collect();
                format!("MAP<{}>", sides.join(", "))
            }
            _ => "MAP".to_owned(),
        },
        DataType::Interval(IntervalUnit::YearMonth) => "INTERVAL YEAR TO MONTH".to_owned(),
        DataType::Interval(_) => "INTERVAL DAY TO SECOND".to_owned(),
        DataType::Null => "NULL".to_owned(),
        other => other.to_string(),
    }
}
