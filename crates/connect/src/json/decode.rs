//! [`JsonDecoder`]: lines of JSON straight into Arrow builders, only the wanted columns, no tree in between.
//!
//! Fields come in the same order line after line, so the decoder remembers which name stood where and compares bytes
//! instead of looking names up. Rules as in Flink's JSON format: names are case-sensitive, the first of equal names
//! wins, a missing field is NULL, `"20"` is an INT and 6.9 read as INT is 6, anything has a text for STRING.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_change::{Error, Result};

use super::JsonConfig;
use super::cursor::{Cursor, Fault, Token, unescape};
use crate::column::{Column, Data};
use crate::lines::{BadLine, Decode, Lines, assemble, shorten};

/// Decodes lines into batches of one schema.
pub struct JsonDecoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    shape: RowShape,
    rows: usize,
    dropped: Vec<usize>,
    skipped: Arc<AtomicU64>,
    context: Context,
}

/// What is the same for all levels of a line.
struct Context {
    config: JsonConfig,
    scratch: String,
}

/// The fields of an object, and the order in which they came last time.
struct RowShape {
    fields: Vec<(String, Shape)>,
    order: Vec<(Vec<u8>, Option<usize>)>,
}

/// What a value needs besides its column.
enum Shape {
    Scalar,
    Row(RowShape),
    Items(Box<Shape>),
}

/// Why a line was given up.
enum Stop {
    Syntax(Fault),
    Value(String),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Syntax(fault)
    }
}

impl Shape {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Struct(fields) => {
                Self::Row(RowShape::new(fields.iter().map(|field| (field.name(), field.data_type()))))
            }
            DataType::List(item) => Self::Items(Box::new(Self::new(item.data_type()))),
            DataType::Map(entries, _) => match crate::column::map_fields(entries) {
                Some((_, value)) => Self::Items(Box::new(Self::new(value.data_type()))),
                None => Self::Scalar,
            },
            _ => Self::Scalar,
        }
    }
}

impl RowShape {
    fn new<'a>(fields: impl Iterator<Item = (&'a String, &'a DataType)>) -> Self {
        let fields = fields.map(|(name, data_type)| (name.clone(), Shape::new(data_type))).collect();
        Self { fields, order: Vec::new() }
    }

    /// The field whose name is next, which is the `place`-th of its object.
    #[inline]
    fn next_field(
        &mut self,
        cursor: &mut Cursor<'_>,
        place: usize,
        scratch: &mut String,
    ) -> Result<Option<usize>, Fault> {
        cursor.skip_blanks();
        if let Some((expected, field)) = self.order.get(place)
            && cursor.take_exact(expected)
        {
            return Ok(*field);
        }
        let from = cursor.at;
        let (name, escaped) = cursor.name()?;
        let plain = if escaped {
            scratch.clear();
            unescape(name, scratch).ok_or("a field name has an unknown escape")?;
            scratch.as_str()
        } else {
            name
        };
        let field = self.fields.iter().position(|(known, _)| known == plain);
        let seen = (cursor.slice(from, cursor.at).as_bytes().to_vec(), field);
        // Objects with very many names gain nothing from being remembered.
        if let Some(slot) = self.order.get_mut(place) {
            *slot = seen;
        } else if place < 1024 {
            self.order.push(seen);
        }
        Ok(field)
    }
}

impl JsonDecoder {
    /// A decoder for `schema`; lines that it skips are counted in `skipped`. Fails for a type that no table has.
    pub fn new(schema: SchemaRef, config: JsonConfig, skipped: Arc<AtomicU64>) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| Column::new(field.data_type())).collect::<Result<_>>()?;
        let shape = RowShape::new(schema.fields().iter().map(|field| (field.name(), field.data_type())));
        let context = Context { config, scratch: String::new() };
        Ok(Self { schema, columns, shape, rows: 0, dropped: Vec::new(), skipped, context })
    }

    fn line(&mut self, line: &str) -> Result<(), Stop> {
        let mut cursor = Cursor::new(line);
        if !cursor.take(b'{') {
            return Err(Stop::Syntax("a line must be an object"));
        }
        cursor.depth = 1;
        read_object(&mut cursor, &mut self.shape, &mut self.columns, self.rows, &mut self.context)?;
        if cursor.at_end() { Ok(()) } else { Err(Stop::Syntax("something follows the object")) }
    }

    fn end_row(&mut self) {
        self.rows += 1;
        for column in &mut self.columns {
            if column.len() < self.rows {
                column.append_null();
            }
        }
    }

    fn one(&mut self, line: &[u8], text: Result<&str, Fault>) -> Result<(), Error> {
        let stop = match text {
            Ok(text) => match self.line(text) {
                Ok(()) => {
                    self.end_row();
                    return Ok(());
                }
                Err(stop) => stop,
            },
            Err(fault) => Stop::Syntax(fault),
        };
        if self.context.config.ignore_parse_errors {
            self.dropped.push(self.rows);
            self.end_row();
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let message = match stop {
            Stop::Syntax(fault) => format!("a line is not valid JSON: {fault}"),
            Stop::Value(message) => message,
        };
        Err(Error::data("json.parse", message)
            .detail(format!("the line begins {}", shorten(&String::from_utf8_lossy(line))))
            .hint(
                "mend the line; with 'json.ignore-parse-errors' = 'true' bad fields are NULL and lines that are no \
                 objects are lost",
            ))
    }
}

impl Decode for JsonDecoder {
    fn decode(&mut self, chunk: &[u8]) -> Result<(), BadLine> {
        for (offset, line, text) in Lines::new(chunk) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            self.one(line, text).map_err(|error| BadLine { offset, error })?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        assemble(&self.schema, &mut self.columns, std::mem::take(&mut self.rows), &mut self.dropped)
    }

    fn boundary(&self, bytes: &[u8]) -> Option<usize> {
        memchr::memrchr(b'\n', bytes).map(|at| at + 1)
    }
}

/// Reads the rest of an object into `columns`, of which those with more than `row` values have theirs already.
fn read_object(
    cursor: &mut Cursor<'_>,
    shape: &mut RowShape,
    columns: &mut [Column],
    row: usize,
    context: &mut Context,
) -> Result<(), Stop> {
    let mut place = 0;
    while !cursor.take(b'}') {
        if place > 0 && !cursor.take(b',') {
            return Err(Stop::Syntax("expected ',' or the end of an object"));
        }
        let index = shape.next_field(cursor, place, &mut context.scratch)?;
        place += 1;
        let target = index.and_then(|index| Some((columns.get_mut(index)?, shape.fields.get_mut(index)?)));
        match target {
            Some((column, (name, inner))) if column.len() == row => read_value(cursor, column, inner, name, context)?,
            _ => cursor.skip_value()?,
        }
    }
    if context.config.fail_on_missing_field
        && let Some(missing) = columns.iter().position(|column| column.len() == row)
    {
        let name = shape.fields.get(missing).map_or("", |(name, _)| name.as_str());
        return Err(Stop::Value(format!("a line has no field '{name}'")));
    }
    Ok(())
}

/// Reads one value into its column.
#[inline]
fn read_value(
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    shape: &mut Shape,
    name: &str,
    context: &mut Context,
) -> Result<(), Stop> {
    cursor.skip_blanks();
    let from = cursor.at;
    let token = cursor.token()?;
    let taken = match token {
        Token::Text(text, false) => append_string(column, text),
        Token::Text(text, true) => {
            context.scratch.clear();
            unescape(text, &mut context.scratch).ok_or("a string has an unknown escape")?;
            append_string(column, &context.scratch)
        }
        Token::Null => {
            column.append_null();
            true
        }
        Token::Number(text) => append_number(column, text),
        Token::True => column.append_text("true"),
        Token::False => column.append_text("false"),
        Token::Object | Token::List => {
            return read_nested(cursor, (column, shape), from, token == Token::List, name, context);
        }
    };
    if taken { Ok(()) } else { refuse(column, name, cursor.slice(from, cursor.at), context) }
}

/// A value that is none of its column's type: NULL by policy, or the end.
#[cold]
fn refuse(column: &mut Column, name: &str, value: &str, context: &Context) -> Result<(), Stop> {
    if context.config.ignore_parse_errors {
        column.append_null();
        return Ok(());
    }
    Err(Stop::Value(format!("the field '{name}' of type {} cannot be {}", column.type_name(), shorten(value))))
}

fn append_string(column: &mut Column, text: &str) -> bool {
    if let Data::Bytes(values) = &mut column.data {
        return STANDARD.decode(text).map(|bytes| values.append_value(bytes)).is_ok();
    }
    column.append_text(text)
}

/// INT and BIGINT take any number whose whole part fits.
fn append_number(column: &mut Column, text: &str) -> bool {
    let whole = || {
        let number = text.parse::<f64>().ok()?.trunc();
        // Up to 2^63, which itself is out of range.
        #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
        (number.abs() < 9_223_372_036_854_775_808.0).then_some(number as i64)
    };
    if column.append_text(text) {
        return true;
    }
    match &mut column.data {
        Data::I32(values) => {
            whole().and_then(|number| number.try_into().ok()).map(|number| values.append_value(number))
        }
        Data::I64(values) => whole().map(|number| values.append_value(number)),
        _ => None,
    }
    .is_some()
}

/// An object or list that was begun at `from`.
fn read_nested(
    cursor: &mut Cursor<'_>,
    (column, shape): (&mut Column, &mut Shape),
    from: usize,
    list: bool,
    name: &str,
    context: &mut Context,
) -> Result<(), Stop> {
    cursor.depth += 1;
    let read = match (&mut column.data, shape, list) {
        (Data::Row { children, valid, .. }, Shape::Row(shape), false) => {
            read_object(cursor, shape, children, valid.len(), context)
        }
        (Data::List { item, .. }, Shape::Items(shape), true) => read_list(cursor, item, shape, name, context),
        (Data::Map { key, value, .. }, Shape::Items(shape), false) => {
            read_map(cursor, (key, value), shape, name, context)
        }
        (Data::Text(values), ..) => {
            cursor.depth -= 1;
            cursor.skip_nested(list)?;
            context.scratch.clear();
            compact(cursor.slice(from, cursor.at), &mut context.scratch);
            values.append_value(&context.scratch);
            return Ok(());
        }
        _ => {
            cursor.depth -= 1;
            cursor.skip_nested(list)?;
            return refuse(column, name, cursor.slice(from, cursor.at), context);
        }
    };
    cursor.depth -= 1;
    // Also after a fault, so that all columns stay equally long: the row is dropped as a whole.
    column.close_nested();
    read
}

fn read_list(
    cursor: &mut Cursor<'_>,
    item: &mut Column,
    shape: &mut Shape,
    name: &str,
    context: &mut Context,
) -> Result<(), Stop> {
    let mut first = true;
    while !cursor.take(b']') {
        if !first && !cursor.take(b',') {
            return Err(Stop::Syntax("expected ',' or the end of an array"));
        }
        first = false;
        read_value(cursor, item, shape, name, context)?;
    }
    Ok(())
}

fn read_map(
    cursor: &mut Cursor<'_>,
    (key, value): (&mut Column, &mut Column),
    shape: &mut Shape,
    name: &str,
    context: &mut Context,
) -> Result<(), Stop> {
    let mut first = true;
    while !cursor.take(b'}') {
        if !first && !cursor.take(b',') {
            return Err(Stop::Syntax("expected ',' or the end of an object"));
        }
        first = false;
        let (text, escaped) = cursor.name()?;
        let taken = if escaped {
            context.scratch.clear();
            unescape(text, &mut context.scratch).ok_or("a field name has an unknown escape")?;
            key.append_text(&context.scratch)
        } else {
            key.append_text(text)
        };
        if !taken {
            // A key cannot be NULL, so the whole line is given up.
            return Err(Stop::Value(format!("a key of '{name}' cannot be {}", shorten(text))));
        }
        read_value(cursor, value, shape, name, context)?;
    }
    Ok(())
}

/// JSON without the blanks between its tokens.
fn compact(text: &str, out: &mut String) {
    let mut quoted = false;
    let mut escaped = false;
    for letter in text.chars() {
        if quoted || !letter.is_ascii_whitespace() {
            out.push(letter);
        }
        if escaped {
            escaped = false;
        } else if quoted && letter == '\\' {
            escaped = true;
        } else if letter == '"' {
            quoted = !quoted;
        }
    }
}
