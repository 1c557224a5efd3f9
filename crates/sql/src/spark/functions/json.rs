//! JSON: parts of a text, and values from and to one.

use std::fmt;

use datafusion::common::{Result as Planned, ScalarValue};
use datafusion::logical_expr::Expr;
use headwater_change::{Error, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Def, Gives, INT, TEXT, Takes, def, refused, rows};
use crate::functions::kernel::Row;
use crate::functions::value::{Value, entry_types, field_types, item_type};
use crate::functions::{Bind, arity};
use crate::spark::cast::convert;
use crate::spark::operators::failed;
use crate::spark::text as shown;
use crate::spark::types::{array_of, read_columns};
use crate::typed::{Context, Typed};
use crate::types::{STRING, SqlType};

pub(super) const OWN: &[(&str, Bind)] = &[("from_json", from_json), ("to_json", to_json)];

pub(super) const ROWS: &[Def] = &[
    def("get_json_object", &[Takes::Text, Takes::Text], TEXT, |row| {
        let path = path(row.text(1))?;
        let Some(mut found) = parse(row.text(0)) else { return Ok(Value::Null) };
        for step in path {
            let next = match (step, found) {
                (Step::Name(name), Json::Object(entries)) => {
                    entries.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
                }
                (Step::Index(at), Json::Array(items)) => items.into_iter().nth(at),
                _ => None,
            };
            match next {
                Some(next) => found = next,
                None => return Ok(Value::Null),
            }
        }
        Ok(match found {
            Json::Null => Value::Null,
            Json::Text(text) => Value::Text(text),
            other => Value::Text(other.to_string()),
        })
    }),
    def("json_array_length", &[Takes::Text], INT, |row| {
        Ok(match parse(row.text(0)) {
            Some(Json::Array(items)) => Value::Int(i64::try_from(items.len()).unwrap_or(i64::MAX)),
            _ => Value::Null,
        })
    }),
    def("json_object_keys", &[Takes::Text], Gives::By(|_| Some(array_of(&STRING))), |row| {
        Ok(match parse(row.text(0)) {
            Some(Json::Object(entries)) => Value::List(entries.into_iter().map(|(key, _)| Value::Text(key)).collect()),
            _ => Value::Null,
        })
    }),
];

/// A JSON value; the keys of objects keep their order.
#[derive(Clone, Debug)]
enum Json {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

fn parse(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Json, E> {
        Ok(Json::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Json, E> {
        Ok(Json::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Json, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element()? {
            found.push(item);
        }
        Ok(Json::Array(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Json, A::Error> {
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            found.push(entry);
        }
        Ok(Json::Object(found))
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => {
                f.write_str(&shown::of(&Value::Float(*number), &SqlType::Double, headwater_change::TimeZone::UTC))
            }
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Array(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Object(entries) => {
                f.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{}:{value}", if index > 0 { "," } else { "" }, quoted(key))?;
                }
                f.write_str("}")
            }
        }
    }
}

enum Step {
    Name(String),
    Index(usize),
}

/// `$.a.b[1]['c d']`.
fn path(text: &str) -> Planned<Vec<Step>> {
    let wrong = || failed("sql.json", format!("the path '{text}' is not supported"), "write it like $.a.b[1]");
    let mut rest = text.strip_prefix('$').ok_or_else(wrong)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, behind) = name.split_at(end);
            if name.is_empty() || name == "*" {
                return Err(wrong());
            }
            steps.push(Step::Name(name.to_owned()));
            rest = behind;
        } else if let Some(inner) = rest.strip_prefix("['") {
            let (name, behind) = inner.split_once("']").ok_or_else(wrong)?;
            steps.push(Step::Name(name.to_owned()));
            rest = behind;
        } else {
            let (index, behind) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(wrong)?;
            steps.push(Step::Index(index.trim().parse().map_err(|_| wrong())?));
            rest = behind;
        }
    }
    Ok(steps)
}

fn from_json(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [text, schema] = <[Typed; 2]>::try_from(args).map_err(|_| arity("FROM_JSON", "a text and a schema"))?;
    let types = [text.sql_type.clone(), schema.sql_type.clone()];
    let Expr::Literal(ScalarValue::Utf8(Some(written)), _) = &schema.expr else {
        return Err(Error::usage("sql.arguments", "the schema of FROM_JSON is a constant"));
    };
    let target = read_columns(written).map_err(|error| {
        Error::usage("sql.type", format!("the schema '{written}': {error}")).hint("write it like 'a INT, b STRING'")
    })?;
    let text = super::taken(context, text, Takes::Text)?.ok_or_else(|| refused("from_json", &types))?;
    rows(context, "from_json", vec![text], target, false, |row| {
        let nothing = || match field_types(row.result) {
            Some(fields) => Value::Struct(vec![Value::Null; fields.len()]),
            None => Value::Null,
        };
        let Some(json) = parse(row.text(0)) else { return Ok(nothing()) };
        match typed(&json, row.result, row) {
            Some(found) => Ok(found),
            None => Ok(nothing()),
        }
    })
}

/// A JSON value of a type; `None` where it is none.
fn typed(json: &Json, sql_type: &SqlType, row: &Row<'_>) -> Option<Value> {
    if let Some(fields) = field_types(sql_type) {
        let Json::Object(entries) = json else { return None };
        let of = |(name, kind): &(String, SqlType)| match entries.iter().find(|(key, _)| key == name) {
            Some((_, value)) => typed(value, kind, row).unwrap_or(Value::Null),
            None => Value::Null,
        };
        return Some(Value::Struct(fields.iter().map(of).collect()));
    }
    if let Some(item) = item_type(sql_type) {
        let Json::Array(items) = json else { return None };
        return items.iter().map(|value| typed(value, &item, row)).collect::<Option<Vec<_>>>().map(Value::List);
    }
    if let Some((key, value)) = entry_types(sql_type) {
        let Json::Object(entries) = json else { return None };
        if !key.is_text() {
            return None;
        }
        let pair = |(name, item): &(String, Json)| Some((Value::Text(name.clone()), typed(item, &value, row)?));
        return entries.iter().map(pair).collect::<Option<Vec<_>>>().map(Value::Map);
    }
    Some(match (json, sql_type) {
        (Json::Null, _) => Value::Null,
        (Json::Text(text), kind) if kind.is_text() => Value::Text(text.clone()),
        (other, kind) if kind.is_text() => Value::Text(other.to_string()),
        (Json::Bool(truth), SqlType::Boolean) => Value::Bool(*truth),
        (Json::Int(number), kind) if kind.is_integer() => {
            let (least, most) = crate::spark::cast::range(kind);
            Value::Int(i64::try_from(*number).ok().filter(|_| (least..=most).contains(number))?)
        }
        (Json::Int(number), SqlType::Double | SqlType::Float) => Value::Float(*number as f64),
        (Json::Float(number), SqlType::Double | SqlType::Float) => Value::Float(*number),
        (Json::Int(number), SqlType::Decimal(..)) => {
            convert(&Value::Text(number.to_string()), &STRING, sql_type, row.zone, true).ok()?
        }
        (Json::Float(_), SqlType::Decimal(..)) => {
            convert(&Value::Text(json.to_string()), &STRING, sql_type, row.zone, true).ok()?
        }
        (Json::Text(text), SqlType::Date | SqlType::Timestamp(_) | SqlType::TimestampLtz(_)) => {
            convert(&Value::Text(text.clone()), &STRING, sql_type, row.zone, true).ok()?
        }
        _ => return None,
    })
}

fn to_json(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [value] = <[Typed; 1]>::try_from(args).map_err(|_| arity("TO_JSON", "one value"))?;
    if !matches!(value.sql_type, SqlType::Other(_)) {
        return Err(refused("to_json", &[value.sql_type]));
    }
    rows(context, "to_json", vec![value], STRING, false, |row| {
        let mut out = String::new();
        write(row.value(0), row.type_of(0), row, &mut out)?;
        Ok(Value::Text(out))
    })
}

fn write(value: &Value, sql_type: &SqlType, row: &Row<'_>, out: &mut String) -> Planned<()> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match value {
        Value::List(items) => {
            let item = item_type(sql_type).unwrap_or(STRING);
            out.push('[');
            for (index, value) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write(value, &item, row, out)?;
            }
            out.push(']');
        }
        Value::Struct(items) => {
            out.push('{');
            let mut first = true;
            for (value, (name, kind)) in items.iter().zip(field_types(sql_type).unwrap_or_default()) {
                // Fields that are NULL are left out.
                if value.is_null() {
                    continue;
                }
                out.push_str(if first { "" } else { "," });
                first = false;
                out.push_str(&quoted(&name));
                out.push(':');
                write(value, &kind, row, out)?;
            }
            out.push('}');
        }
        Value::Map(entries) => {
            let (key, item) = entry_types(sql_type).unwrap_or((STRING, STRING));
            out.push('{');
            for (index, (name, value)) in entries.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&quoted(&shown::of(name, &key, row.zone)));
                out.push(':');
                write(value, &item, row, out)?;
            }
            out.push('}');
        }
        Value::Int(micros) if matches!(sql_type, SqlType::TimestampLtz(_)) => {
            let text = shown::of(&Value::Int(*micros), sql_type, row.zone);
            let (day, clock) = text.split_once(' ').unwrap_or((&text, ""));
            let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
            let offset = row.zone.offset_seconds(micros.div_euclid(1_000_000));
            let zone = if offset == 0 {
                "Z".to_owned()
            } else {
                let size = offset.abs() / 60;
                format!("{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, size / 60, size % 60)
            };
            out.push_str(&format!("\"{day}T{clock}.{:0<3}{zone}\"", fraction.get(..3).unwrap_or(fraction)));
        }
        Value::Bytes(_) => return Err(failed("sql.json", "bytes in TO_JSON are not supported", "BASE64 them")),
        Value::Bool(_) | Value::Float(_) | Value::Decimal(_) | Value::Null => {
            shown::write(value, sql_type, row.zone, out)
        }
        Value::Int(_) if sql_type.is_integer() => shown::write(value, sql_type, row.zone, out),
        other => out.push_str(&quoted(&shown::of(other, sql_type, row.zone))),
    }
    Ok(())
}
