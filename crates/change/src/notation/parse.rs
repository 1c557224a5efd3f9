//! The parser: a table to a batch. What a cell may hold is directed by the header's type.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, Schema, TimeUnit};

use super::build::{Value, build};
use super::cursor::Cursor;
use super::{time, types};
use crate::{ChangeBatch, Error, Op, Result, TableId};

/// Reads a table; the result is append-only where all ops are `+I`.
///
/// Fails with [`crate::ErrorKind::Usage`] and code `notation.parse` at the line that is wrong.
pub fn parse(table: TableId, text: &str) -> Result<ChangeBatch> {
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let Some((number, header)) = lines.next() else {
        return Err(Cursor::new(1, "").error("no header").hint("the first line is 'op | name Type | …'"));
    };
    let schema = Arc::new(read_header(&mut Cursor::new(number, header))?);

    let mut ops = Vec::new();
    let mut columns: Vec<Vec<Value>> = schema.fields().iter().map(|_| Vec::new()).collect();
    for (number, line) in lines {
        let mut cursor = Cursor::new(number, line);
        let word = cursor.word();
        ops.push(Op::from_short(word).ok_or_else(|| cursor.expected("an op (+I, -U, +U or -D)", word))?);
        for (field, column) in schema.fields().iter().zip(&mut columns) {
            cursor.require("|")?;
            column.push(read_cell(&mut cursor, field)?);
        }
        if !cursor.at_end() {
            return Err(cursor.expected("the end of the line", ""));
        }
    }

    let arrays = schema.fields().iter().zip(&columns).map(|(field, column)| {
        let column: Vec<&Value> = column.iter().collect();
        build(field.data_type(), &column)
    });
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(ops.len()));
    let rows = RecordBatch::try_new_with_options(schema, arrays, &options)
        .map_err(|error| Error::bug("notation.build", "the parsed columns do not fit together").caused_by(error))?;
    if ops.iter().all(|op| *op == Op::Insert) {
        return Ok(ChangeBatch::insert_only(table, rows));
    }
    ChangeBatch::new(table, rows, ops)
}

fn read_header(cursor: &mut Cursor<'_>) -> Result<Schema> {
    let word = cursor.word();
    if word != "op" {
        return Err(cursor.expected("'op' as the first column", word));
    }
    let mut fields: Vec<Field> = Vec::new();
    while !cursor.at_end() {
        cursor.require("|")?;
        fields.push(types::read_field(cursor)?);
    }
    Ok(Schema::new(fields))
}

fn read_cell(cursor: &mut Cursor<'_>, field: &Field) -> Result<Value> {
    if cursor.eat_word("null") {
        return match field.is_nullable() || *field.data_type() == DataType::Null {
            true => Ok(Value::Null),
            false => Err(cursor.error(format!("null in '{}', which is never null", field.name()))),
        };
    }
    match field.data_type() {
        DataType::Utf8 => cursor.quoted().map(Value::Text),
        DataType::List(item) => read_items(cursor, "[", "]", |cursor| read_cell(cursor, item)).map(Value::Items),
        DataType::Map(entries, _) => read_map(cursor, entries),
        DataType::Struct(fields) => read_struct(cursor, fields),
        DataType::Interval(unit) => read_interval(cursor, *unit),
        data_type => {
            let word = cursor.word();
            read_word(word, data_type).ok_or_else(|| cursor.expected(&data_type.to_string(), word))
        }
    }
}

/// A value that is one word.
fn read_word(word: &str, data_type: &DataType) -> Option<Value> {
    let integer = |low: i128, high: i128| {
        let number: i128 = word.parse().ok()?;
        (low..=high).contains(&number).then_some(Value::Integer(number))
    };
    match data_type {
        DataType::Boolean => word.parse().ok().map(Value::Boolean),
        DataType::Int8 => integer(i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => integer(i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => integer(i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => integer(i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => integer(0, u8::MAX.into()),
        DataType::UInt16 => integer(0, u16::MAX.into()),
        DataType::UInt32 => integer(0, u32::MAX.into()),
        DataType::UInt64 => integer(0, u64::MAX.into()),
        // Widened, not parsed as f64: rounding twice could give another f32.
        DataType::Float32 => word.parse::<f32>().ok().map(|value| Value::Float(value.into())),
        DataType::Float64 => word.parse().ok().map(Value::Float),
        DataType::Decimal128(_, scale) => read_decimal(word, *scale).map(Value::Integer),
        DataType::Binary => read_binary(word).map(Value::Bytes),
        DataType::Date32 => {
            let days = i32::try_from(time::read_date(word)?).ok()?;
            Some(Value::Integer(days.into()))
        }
        DataType::Time32(unit) => {
            let ticks = i32::try_from(time::read_time(word, *unit)?).ok()?;
            Some(Value::Integer(ticks.into()))
        }
        DataType::Time64(unit) => Some(Value::Integer(time::read_time(word, *unit)?.into())),
        DataType::Timestamp(unit, zone) => {
            let word = if zone.is_some() { word.strip_suffix('Z')? } else { word };
            Some(Value::Integer(time::read_timestamp(word, *unit)?.into()))
        }
        DataType::Duration(unit) => read_duration(word, *unit).map(|ticks| Value::Integer(ticks.into())),
        _ => None,
    }
}

fn read_duration(word: &str, unit: TimeUnit) -> Option<i64> {
    word.strip_suffix(types::unit_name(unit))?.parse().ok()
}

/// `-12.50` for a scale of 2, `7e2` for a scale of -2; missing places are zeros, places too many an error.
fn read_decimal(word: &str, scale: i8) -> Option<i128> {
    let Ok(places) = usize::try_from(scale) else {
        return word.strip_suffix(&format!("e{}", -i16::from(scale)))?.parse().ok();
    };
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    let magnitude = whole.strip_prefix('-').unwrap_or(whole);
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if magnitude.is_empty() || !all_digits(magnitude) || !all_digits(fraction) || fraction.len() > places {
        return None;
    }
    // As one text with its sign, because i128::MIN has no positive counterpart.
    format!("{whole}{fraction}{}", "0".repeat(places - fraction.len())).parse().ok()
}

fn read_binary(word: &str) -> Option<Vec<u8>> {
    let digits = word.strip_prefix("x'")?.strip_suffix('\'')?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

fn read_interval(cursor: &mut Cursor<'_>, unit: IntervalUnit) -> Result<Value> {
    Ok(match unit {
        IntervalUnit::YearMonth => Value::Integer(read_amount::<i32>(cursor, "mo")?.into()),
        IntervalUnit::DayTime => Value::DayTime(read_amount(cursor, "d")?, read_amount(cursor, "ms")?),
        IntervalUnit::MonthDayNano => {
            Value::MonthDayNano(read_amount(cursor, "mo")?, read_amount(cursor, "d")?, read_amount(cursor, "ns")?)
        }
    })
}

fn read_amount<T: std::str::FromStr>(cursor: &mut Cursor<'_>, unit: &str) -> Result<T> {
    let word = cursor.word();
    let amount = word.strip_suffix(unit).and_then(|digits| digits.parse().ok());
    amount.ok_or_else(|| cursor.expected(&format!("a number and '{unit}'"), word))
}

fn read_map(cursor: &mut Cursor<'_>, entries: &Field) -> Result<Value> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::bug("notation.map", "a map whose entries are not a struct"));
    };
    let [key, value] = fields.as_ref() else {
        return Err(Error::bug("notation.map", "a map whose entries are not pairs"));
    };
    let pairs = read_items(cursor, "{", "}", |cursor| {
        let left = read_cell(cursor, key)?;
        cursor.require(":")?;
        Ok(Value::Items(vec![left, read_cell(cursor, value)?]))
    })?;
    Ok(Value::Items(pairs))
}

fn read_struct(cursor: &mut Cursor<'_>, fields: &[FieldRef]) -> Result<Value> {
    let mut fields = fields.iter();
    let values = read_items(cursor, "(", ")", |cursor| match fields.next() {
        Some(field) => read_cell(cursor, field),
        None => Err(cursor.error("more values than the struct has fields")),
    })?;
    match fields.next() {
        Some(missing) => Err(cursor.error(format!("no value for the struct's field '{}'", missing.name()))),
        None => Ok(Value::Items(values)),
    }
}

fn read_items<'a>(
    cursor: &mut Cursor<'a>,
    open: &str,
    close: &str,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<Value>,
) -> Result<Vec<Value>> {
    cursor.require(open)?;
    let mut items = Vec::new();
    while !cursor.eat(close) {
        if !items.is_empty() {
            cursor.require(",")?;
        }
        items.push(item(cursor)?);
    }
    Ok(items)
}
