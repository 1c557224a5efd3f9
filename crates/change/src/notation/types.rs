//! Types in the header: `Timestamp(ms, UTC)`, `List<Int64!>`, `Struct<a Int64, b Utf8>`.

use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};

use super::cursor::Cursor;
use super::print::write_quoted;
use crate::Result;

/// Names of a list's and a map's inner fields that need not be written: those that Arrow's specification recommends.
const ITEM: &str = "item";
const ENTRIES: [&str; 3] = ["entries", "key", "value"];

/// Types that are their own name.
const PLAIN: [(&str, DataType); 15] = [
    ("Null", DataType::Null),
    ("Boolean", DataType::Boolean),
    ("Int8", DataType::Int8),
    ("Int16", DataType::Int16),
    ("Int32", DataType::Int32),
    ("Int64", DataType::Int64),
    ("UInt8", DataType::UInt8),
    ("UInt16", DataType::UInt16),
    ("UInt32", DataType::UInt32),
    ("UInt64", DataType::UInt64),
    ("Float32", DataType::Float32),
    ("Float64", DataType::Float64),
    ("Utf8", DataType::Utf8),
    ("Binary", DataType::Binary),
    ("Date32", DataType::Date32),
];

const UNITS: [(&str, TimeUnit); 4] = [
    ("s", TimeUnit::Second),
    ("ms", TimeUnit::Millisecond),
    ("us", TimeUnit::Microsecond),
    ("ns", TimeUnit::Nanosecond),
];

const INTERVALS: [(&str, IntervalUnit); 3] = [
    ("YearMonth", IntervalUnit::YearMonth),
    ("DayTime", IntervalUnit::DayTime),
    ("MonthDayNano", IntervalUnit::MonthDayNano),
];

/// `s`, `ms`, `us` or `ns`.
pub(super) fn unit_name(unit: TimeUnit) -> &'static str {
    UNITS.iter().find(|(_, known)| *known == unit).map_or("ns", |(name, _)| name)
}

/// Whether `name` needs no quotes.
pub(super) fn is_plain(name: &str) -> bool {
    name.bytes().enumerate().all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()))
        && !name.is_empty()
}

/// Appends a name, quoted where it is not a plain identifier.
pub(super) fn write_name(out: &mut String, name: &str) {
    if is_plain(name) { out.push_str(name) } else { write_quoted(out, name) }
}

/// Appends `name Type` or `name Type!`.
pub(super) fn write_field(out: &mut String, field: &Field) {
    write_name(out, field.name());
    out.push(' ');
    write_type_of(out, field);
}

fn write_type_of(out: &mut String, field: &Field) {
    write_type(out, field.data_type());
    if !field.is_nullable() {
        out.push('!');
    }
}

/// Appends a type; Arrow's own name for those that the notation does not know.
fn write_type(out: &mut String, data_type: &DataType) {
    if let Some((name, _)) = PLAIN.iter().find(|(_, plain)| plain == data_type) {
        return out.push_str(name);
    }
    let _ = match data_type {
        DataType::Decimal128(precision, scale) => write!(out, "Decimal128({precision}, {scale})"),
        DataType::Time32(unit) => write!(out, "Time32({})", unit_name(*unit)),
        DataType::Time64(unit) => write!(out, "Time64({})", unit_name(*unit)),
        DataType::Duration(unit) => write!(out, "Duration({})", unit_name(*unit)),
        DataType::Timestamp(unit, None) => write!(out, "Timestamp({})", unit_name(*unit)),
        DataType::Timestamp(unit, Some(zone)) => {
            let _ = write!(out, "Timestamp({}, ", unit_name(*unit));
            write_name(out, zone);
            out.write_char(')')
        }
        DataType::Interval(unit) => {
            let name = INTERVALS.iter().find(|(_, known)| known == unit).map_or("?", |(name, _)| name);
            write!(out, "Interval({name})")
        }
        DataType::List(item) => {
            out.push_str("List");
            write_inner_names(out, &[(item.name(), ITEM)]);
            out.push('<');
            write_type_of(out, item);
            out.write_char('>')
        }
        DataType::Map(entries, false) => return write_map(out, entries),
        DataType::Struct(fields) => {
            out.push_str("Struct<");
            for (i, field) in fields.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_field(out, field);
            }
            out.write_char('>')
        }
        other => write!(out, "{other}"),
    };
}

fn write_map(out: &mut String, entries: &Field) {
    let DataType::Struct(fields) = entries.data_type() else { return };
    let [key, value] = fields.as_ref() else { return };
    out.push_str("Map");
    let [entries_name, key_name, value_name] = ENTRIES;
    write_inner_names(out, &[(entries.name(), entries_name), (key.name(), key_name), (value.name(), value_name)]);
    out.push('<');
    // Keys are never null, so there is nothing to mark.
    write_type(out, key.data_type());
    out.push_str(", ");
    write_type_of(out, value);
    out.push('>');
}

/// Appends `(a, b)`, or nothing where all names are the usual ones.
fn write_inner_names(out: &mut String, names: &[(&String, &str)]) {
    if names.iter().all(|(name, usual)| name == usual) {
        return;
    }
    for (i, (name, _)) in names.iter().enumerate() {
        out.push_str(if i == 0 { "(" } else { ", " });
        write_name(out, name);
    }
    out.push(')');
}

/// Reads `name Type` or `name Type!`.
pub(super) fn read_field(cursor: &mut Cursor<'_>) -> Result<Field> {
    let name = read_name(cursor)?;
    read_type_of(cursor, name)
}

fn read_type_of(cursor: &mut Cursor<'_>, name: String) -> Result<Field> {
    let data_type = cursor.nested(read_type)?;
    let nullable = !cursor.eat("!");
    Ok(Field::new(name, data_type, nullable))
}

fn read_name(cursor: &mut Cursor<'_>) -> Result<String> {
    if cursor.peek() == Some('"') {
        return cursor.quoted();
    }
    let word = cursor.word();
    if is_plain(word) { Ok(word.to_owned()) } else { Err(cursor.expected("a name", word)) }
}

fn read_type(cursor: &mut Cursor<'_>) -> Result<DataType> {
    let word = cursor.word();
    if let Some((_, plain)) = PLAIN.iter().find(|(name, _)| *name == word) {
        return Ok(plain.clone());
    }
    match word {
        "Decimal128" => read_decimal(cursor),
        "Time32" => match read_unit(cursor)? {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => Ok(DataType::Time32(unit)),
            _ => Err(cursor.error("Time32 has the units s and ms").hint("Time64 has us and ns")),
        },
        "Time64" => match read_unit(cursor)? {
            unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond) => Ok(DataType::Time64(unit)),
            _ => Err(cursor.error("Time64 has the units us and ns").hint("Time32 has s and ms")),
        },
        "Duration" => read_unit(cursor).map(DataType::Duration),
        "Timestamp" => read_timestamp(cursor),
        "Interval" => {
            cursor.require("(")?;
            let name = cursor.word();
            let known = INTERVALS.iter().find(|(known, _)| *known == name);
            let (_, unit) = known.ok_or_else(|| cursor.expected("YearMonth, DayTime or MonthDayNano", name))?;
            cursor.require(")")?;
            Ok(DataType::Interval(*unit))
        }
        "List" => {
            let [item] = read_inner_names(cursor, [ITEM])?;
            cursor.require("<")?;
            let item = read_type_of(cursor, item)?;
            cursor.require(">")?;
            Ok(DataType::List(Arc::new(item)))
        }
        "Map" => read_map(cursor),
        "Struct" => read_struct(cursor),
        other => Err(cursor.expected("a type", other)),
    }
}

fn read_map(cursor: &mut Cursor<'_>) -> Result<DataType> {
    let [entries, key, value] = read_inner_names(cursor, ENTRIES)?;
    cursor.require("<")?;
    let key = Field::new(key, cursor.nested(read_type)?, false);
    cursor.require(",")?;
    let value = read_type_of(cursor, value)?;
    cursor.require(">")?;
    let fields: Fields = vec![key, value].into();
    Ok(DataType::Map(Arc::new(Field::new(entries, DataType::Struct(fields), false)), false))
}

fn read_struct(cursor: &mut Cursor<'_>) -> Result<DataType> {
    let mut fields: Vec<FieldRef> = Vec::new();
    cursor.require("<")?;
    while !cursor.eat(">") {
        if !fields.is_empty() {
            cursor.require(",")?;
        }
        fields.push(Arc::new(read_field(cursor)?));
    }
    Ok(DataType::Struct(fields.into()))
}

fn read_decimal(cursor: &mut Cursor<'_>) -> Result<DataType> {
    cursor.require("(")?;
    let word = cursor.word();
    let precision = word.parse::<u8>().ok().filter(|p| (1..=DECIMAL128_MAX_PRECISION).contains(p));
    let precision = precision.ok_or_else(|| cursor.expected("a precision from 1 to 38", word))?;
    cursor.require(",")?;
    let word = cursor.word();
    let scale = word.parse::<i8>().ok().filter(|scale| (-38..=38).contains(scale));
    let scale = scale.ok_or_else(|| cursor.expected("a scale", word))?;
    cursor.require(")")?;
    Ok(DataType::Decimal128(precision, scale))
}

fn read_timestamp(cursor: &mut Cursor<'_>) -> Result<DataType> {
    cursor.require("(")?;
    let unit = read_unit_name(cursor)?;
    let zone = if cursor.eat(",") { Some(read_name(cursor)?.into()) } else { None };
    cursor.require(")")?;
    Ok(DataType::Timestamp(unit, zone))
}

fn read_unit(cursor: &mut Cursor<'_>) -> Result<TimeUnit> {
    cursor.require("(")?;
    let unit = read_unit_name(cursor)?;
    cursor.require(")")?;
    Ok(unit)
}

fn read_unit_name(cursor: &mut Cursor<'_>) -> Result<TimeUnit> {
    let word = cursor.word();
    let known = UNITS.iter().find(|(name, _)| *name == word);
    known.map(|(_, unit)| *unit).ok_or_else(|| cursor.expected("s, ms, us or ns", word))
}

fn read_inner_names<const N: usize>(cursor: &mut Cursor<'_>, usual: [&str; N]) -> Result<[String; N]> {
    let mut names = usual.map(str::to_owned);
    if cursor.eat("(") {
        for (i, name) in names.iter_mut().enumerate() {
            if i > 0 {
                cursor.require(",")?;
            }
            *name = read_name(cursor)?;
        }
        cursor.require(")")?;
    }
    Ok(names)
}
