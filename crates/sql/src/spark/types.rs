//! Types by Spark's rules: their names, how they are written, and what values of two of them have in common
//! (`AnsiTypeCoercion`). Spark's `timestamp` is `TIMESTAMP_LTZ(6)` here, its `timestamp_ntz` `TIMESTAMP(6)`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::grammar::SparkDialect;
use crate::functions::value::{entry_types, field_types, item_type};
use crate::types::{STRING, SqlType, nested_field};

/// Spark's `timestamp`.
pub(crate) const TIMESTAMP: SqlType = SqlType::TimestampLtz(6);
/// Spark's `timestamp_ntz`.
pub(crate) const TIMESTAMP_NTZ: SqlType = SqlType::Timestamp(6);
/// `BINARY`.
pub(crate) const BINARY: SqlType = SqlType::VarBinary(crate::types::UNBOUNDED);
/// `INTERVAL DAY TO SECOND`.
pub(crate) const DAY_TO_SECOND: SqlType = SqlType::DayTime(0, 3);
/// `INTERVAL YEAR TO MONTH`.
pub(crate) const YEAR_TO_MONTH: SqlType = SqlType::YearMonth(0, 1);

/// Most digits of a decimal, and those behind the point that a result keeps where not all fit.
const DIGITS_MAX: u8 = 38;
const SCALE_KEPT: i32 = 6;

/// Fields of intervals of days and of months.
pub(crate) const DAY_FIELDS: [&str; 4] = ["day", "hour", "minute", "second"];
pub(crate) const MONTH_FIELDS: [&str; 2] = ["year", "month"];

/// An array of such items.
pub(crate) fn array_of(item: &SqlType) -> SqlType {
    SqlType::Other(DataType::List(nested_field("item", &(item.clone(), true))))
}

/// A map.
pub(crate) fn map_of(key: &SqlType, value: &SqlType) -> SqlType {
    let entries = vec![nested_field("keys", &(key.clone(), false)), nested_field("values", &(value.clone(), true))];
    let entries = Field::new("entries", DataType::Struct(Fields::from(entries)), false);
    SqlType::Other(DataType::Map(Arc::new(entries), false))
}

/// A struct.
pub(crate) fn struct_of(fields: &[(String, SqlType)]) -> SqlType {
    let fields: Vec<FieldRef> =
        fields.iter().map(|(name, sql_type)| nested_field(name, &(sql_type.clone(), true))).collect();
    SqlType::Other(DataType::Struct(Fields::from(fields)))
}

fn interval_name(fields: &[&str], first: u8, last: u8) -> String {
    let name = |at: u8| fields.get(usize::from(at)).copied().unwrap_or_default();
    if first == last {
        format!("interval {}", name(first))
    } else {
        format!("interval {} to {}", name(first), name(last))
    }
}

/// Spark's name of a type (`simpleString`).
pub(crate) fn name(sql_type: &SqlType) -> String {
    if let Some(item) = item_type(sql_type) {
        return format!("array<{}>", name(&item));
    }
    if let Some((key, value)) = entry_types(sql_type) {
        return format!("map<{},{}>", name(&key), name(&value));
    }
    if let Some(fields) = field_types(sql_type) {
        let fields: Vec<String> = fields.iter().map(|(field, kind)| format!("{field}:{}", name(kind))).collect();
        return format!("struct<{}>", fields.join(","));
    }
    match sql_type {
        SqlType::Null => "void".to_owned(),
        SqlType::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
        SqlType::Char(_) | SqlType::VarChar(_) => "string".to_owned(),
        SqlType::Binary(_) | SqlType::VarBinary(_) => "binary".to_owned(),
        SqlType::TimestampLtz(_) => "timestamp".to_owned(),
        SqlType::Timestamp(_) => "timestamp_ntz".to_owned(),
        SqlType::DayTime(first, last) => interval_name(&DAY_FIELDS, *first, *last),
        SqlType::YearMonth(first, last) => interval_name(&MONTH_FIELDS, *first, *last),
        other => other.to_string().to_lowercase(),
    }
}

/// The digits of a number as a decimal by its type: BIGINT has 20.
pub(crate) fn digits(sql_type: &SqlType) -> Option<(u8, u8)> {
    match sql_type {
        SqlType::BigInt => Some((20, 0)),
        other => other.digits(),
    }
}

/// A decimal of so many digits, cut to 38: of those behind the point at least six stay where there are as many.
pub(crate) fn adjusted(precision: i32, scale: i32) -> (u8, u8) {
    let byte = |number: i32| u8::try_from(number.clamp(0, i32::from(DIGITS_MAX))).unwrap_or(DIGITS_MAX);
    if precision <= i32::from(DIGITS_MAX) {
        return (byte(precision), byte(scale));
    }
    let whole = precision - scale;
    let kept = scale.min(SCALE_KEPT);
    (DIGITS_MAX, byte((i32::from(DIGITS_MAX) - whole).max(kept)))
}

/// The least decimal that holds values of both.
fn wider_decimal((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> SqlType {
    let scale = s1.max(s2);
    let whole = (p1 - s1).max(p2 - s2);
    let precision = (whole + scale).min(DIGITS_MAX);
    SqlType::Decimal(precision, scale)
}

/// The type that both become where they are compared or computed with, text left out.
pub(crate) fn tightest(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    use SqlType::{BigInt, Date, Decimal, Double, Float, Int, Null, SmallInt, Timestamp, TimestampLtz, TinyInt};
    if left == right {
        return Some(left.clone());
    }
    Some(match (left, right) {
        (Null, other) | (other, Null) => other.clone(),
        (a, b) if a.is_text() && b.is_text() => STRING,
        (a, b) if a.is_bytes() && b.is_bytes() => BINARY,
        (Decimal(..), Float | Double) | (Float | Double, Decimal(..)) => Double,
        (Decimal(..), other) | (other, Decimal(..)) if other.digits().is_some() => {
            wider_decimal(digits(left)?, digits(right)?)
        }
        (a, b) if a.is_approximate() || b.is_approximate() => {
            if a.is_numeric() && b.is_numeric() {
                Double
            } else {
                return None;
            }
        }
        (TinyInt | SmallInt | Int | BigInt, TinyInt | SmallInt | Int | BigInt) => {
            if left.digits() > right.digits() {
                left.clone()
            } else {
                right.clone()
            }
        }
        (TimestampLtz(_), Date | Timestamp(_)) | (Date | Timestamp(_), TimestampLtz(_)) => TIMESTAMP,
        (Timestamp(_), Date) | (Date, Timestamp(_)) => TIMESTAMP_NTZ,
        (SqlType::DayTime(a, b), SqlType::DayTime(c, d)) => SqlType::DayTime(*a.min(c), *b.max(d)),
        (SqlType::YearMonth(a, b), SqlType::YearMonth(c, d)) => SqlType::YearMonth(*a.min(c), *b.max(d)),
        (a, b) => return nested(a, b),
    })
}

fn nested(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    if let (Some(a), Some(b)) = (item_type(left), item_type(right)) {
        return Some(array_of(&wider(&a, &b)?));
    }
    if let (Some((k1, v1)), Some((k2, v2))) = (entry_types(left), entry_types(right)) {
        return Some(map_of(&wider(&k1, &k2)?, &wider(&v1, &v2)?));
    }
    let (a, b) = (field_types(left)?, field_types(right)?);
    if a.len() != b.len() {
        return None;
    }
    let fields = a.into_iter().zip(b).map(|((name, one), (other_name, other))| {
        name.eq_ignore_ascii_case(&other_name).then_some(())?;
        Some((name, wider(&one, &other)?))
    });
    Some(struct_of(&fields.collect::<Option<Vec<_>>>()?))
}

/// What text becomes beside another type: whole numbers BIGINT, other numbers DOUBLE, everything else that type.
pub(crate) fn beside_text(other: &SqlType) -> Option<SqlType> {
    Some(match other {
        whole if whole.is_integer() => SqlType::BigInt,
        number if number.is_numeric() => SqlType::Double,
        SqlType::Other(_) | SqlType::DayTime(..) | SqlType::YearMonth(..) | SqlType::Millis | SqlType::Months => {
            return None;
        }
        other => other.clone(),
    })
}

/// The type that values of both are given as: of branches, of arguments, of the inputs of UNION.
pub(crate) fn wider(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    match (left.is_text(), right.is_text()) {
        (true, false) if *right != SqlType::Null => beside_text(right),
        (false, true) if *left != SqlType::Null => beside_text(left),
        _ => tightest(left, right),
    }
}

/// The type of them all. Text goes last, as in Spark.
pub(crate) fn widest<'a>(types: impl IntoIterator<Item = &'a SqlType>) -> Option<SqlType> {
    let (text, others): (Vec<&SqlType>, Vec<&SqlType>) = types.into_iter().partition(|sql_type| sql_type.is_text());
    let mut all = text.into_iter().chain(others);
    let first = all.next()?;
    let first = if first.is_text() { STRING } else { first.clone() };
    all.try_fold(first, |common, next| wider(&common, next))
}

/// Reads a whole text as a type of Spark's.
pub(crate) fn read_type(text: &str) -> Result<SqlType, ParserError> {
    let dialect = SparkDialect;
    let mut parser = Parser::new(&dialect).try_with_sql(text)?;
    let found = parse_type(&mut parser)?;
    parser.expect_token(&Token::EOF)?;
    Ok(found)
}

/// Reads a list of columns: `a INT, b STRING` or `struct<…>`.
pub(crate) fn read_columns(text: &str) -> Result<SqlType, ParserError> {
    let dialect = SparkDialect;
    let mut parser = Parser::new(&dialect).try_with_sql(text)?;
    let mut reader = Reader { parser: &mut parser, closers: 0 };
    let mut fields = Vec::new();
    if let Ok(found) = read_type(text) {
        return Ok(found);
    }
    loop {
        fields.push(reader.field()?);
        if !reader.parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::EOF)?;
    Ok(struct_of(&fields))
}

/// Reads a type.
pub(crate) fn parse_type(parser: &mut Parser<'_>) -> Result<SqlType, ParserError> {
    let mut reader = Reader { parser, closers: 0 };
    let found = reader.read()?;
    if reader.closers > 0 {
        return Err(ParserError::ParserError("Expected: a type, found: >".to_owned()));
    }
    Ok(found)
}

/// `closers` counts the `>` of a `>>` token that belong to the types around.
struct Reader<'a, 'b> {
    parser: &'a mut Parser<'b>,
    closers: usize,
}

impl Reader<'_, '_> {
    fn read(&mut self) -> Result<SqlType, ParserError> {
        let token = self.parser.next_token();
        let Token::Word(word) = &token.token else { return self.parser.expected("a type", token) };
        Ok(match word.value.to_ascii_uppercase().as_str() {
            "BOOLEAN" => SqlType::Boolean,
            "BYTE" | "TINYINT" => SqlType::TinyInt,
            "SHORT" | "SMALLINT" => SqlType::SmallInt,
            "INT" | "INTEGER" => SqlType::Int,
            "LONG" | "BIGINT" => SqlType::BigInt,
            "FLOAT" | "REAL" => SqlType::Float,
            "DOUBLE" => SqlType::Double,
            "DEC" | "DECIMAL" | "NUMERIC" => self.decimal()?,
            "STRING" => STRING,
            "CHAR" | "CHARACTER" | "VARCHAR" => {
                // Spark keeps no lengths outside of tables.
                self.parser.expect_token(&Token::LParen)?;
                self.parser.parse_literal_uint()?;
                self.parser.expect_token(&Token::RParen)?;
                STRING
            }
            "BINARY" => BINARY,
            "DATE" => SqlType::Date,
            "TIMESTAMP" | "TIMESTAMP_LTZ" => TIMESTAMP,
            "TIMESTAMP_NTZ" => TIMESTAMP_NTZ,
            "VOID" => SqlType::Null,
            "INTERVAL" => self.interval()?,
            "ARRAY" => {
                self.parser.expect_token(&Token::Lt)?;
                let item = self.read()?;
                self.close()?;
                array_of(&item)
            }
            "MAP" => {
                self.parser.expect_token(&Token::Lt)?;
                let key = self.read()?;
                self.parser.expect_token(&Token::Comma)?;
                let value = self.read()?;
                self.close()?;
                map_of(&key, &value)
            }
            "STRUCT" => self.fields()?,
            _ => return self.parser.expected("a type", token),
        })
    }

    fn decimal(&mut self) -> Result<SqlType, ParserError> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(SqlType::Decimal(10, 0));
        }
        let precision = self.parser.parse_literal_uint()?;
        let scale = if self.parser.consume_token(&Token::Comma) { self.parser.parse_literal_uint()? } else { 0 };
        self.parser.expect_token(&Token::RParen)?;
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(p @ 1..=DIGITS_MAX), Ok(s)) if s <= p => Ok(SqlType::Decimal(p, s)),
            _ => Err(ParserError::ParserError(format!(
                "Expected: DECIMAL with a precision from 1 to 38 and a scale not above it, found: DECIMAL({precision}, {scale})"
            ))),
        }
    }

    fn interval(&mut self) -> Result<SqlType, ParserError> {
        let first = self.interval_field()?;
        let last = if self.parser.parse_keyword(Keyword::TO) { self.interval_field()? } else { first };
        match (first, last) {
            ((true, a), (true, b)) => Ok(SqlType::YearMonth(a, b)),
            ((false, a), (false, b)) => Ok(SqlType::DayTime(a, b)),
            _ => Err(ParserError::ParserError("Expected: units of one kind, found: months and days".to_owned())),
        }
    }

    /// Whether it counts months, and its number.
    fn interval_field(&mut self) -> Result<(bool, u8), ParserError> {
        let token = self.parser.next_token();
        let word = token.token.to_string().to_lowercase();
        let at = |fields: &[&str]| fields.iter().position(|field| *field == word).and_then(|at| u8::try_from(at).ok());
        match (at(&MONTH_FIELDS), at(&DAY_FIELDS)) {
            (Some(at), _) => Ok((true, at)),
            (_, Some(at)) => Ok((false, at)),
            _ => self.parser.expected("a unit such as DAY or SECOND", token),
        }
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

    fn fields(&mut self) -> Result<SqlType, ParserError> {
        if self.parser.consume_token(&Token::Neq) {
            return Ok(struct_of(&[]));
        }
        self.parser.expect_token(&Token::Lt)?;
        let mut fields = Vec::new();
        loop {
            fields.push(self.field()?);
            if self.closers > 0 || !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        self.close()?;
        Ok(struct_of(&fields))
    }

    fn field(&mut self) -> Result<(String, SqlType), ParserError> {
        let name = self.parser.parse_identifier()?.value;
        let _ = self.parser.consume_token(&Token::Colon);
        let sql_type = self.read()?;
        if self.closers == 0 {
            let _ = self.parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]);
            if self.parser.parse_keyword(Keyword::COMMENT) {
                self.parser.parse_literal_string()?;
            }
        }
        Ok((name, sql_type))
    }
}
