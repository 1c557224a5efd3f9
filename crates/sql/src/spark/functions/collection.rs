//! Arrays, maps and structs.

use std::cmp::Ordering;

use datafusion::common::{Result as Planned, ScalarValue};
use datafusion::logical_expr::Expr;
use headwater_change::{Error, Result};

use super::time::ITEMS_MAX;
use super::{BOOL, Def, Gives, INT, TEXT, Takes, as_type, common, def, refused, rows};
use crate::functions::kernel::Row;
use crate::functions::value::{Value, entry_types, field_types, item_type};
use crate::functions::{Bind, arity};
use crate::spark::generate::{FIELDS, OUTER, POSITIONS, RANGE};
use crate::spark::operators::{failed, order};
use crate::spark::types::{array_of, map_of, struct_of, widest};
use crate::typed::{Context, Typed};
use crate::types::{STRING, SqlType};

/// The cells of an UNPIVOT: text and other types do not mix.
pub(crate) const UNPIVOTED: &str = "$unpivoted";

pub(super) const OWN: &[(&str, Bind)] = &[
    ("array", |context, args| {
        if args.is_empty() {
            return rows(context, "array", args, array_of(&SqlType::Null), true, |_| Ok(Value::List(Vec::new())));
        }
        let (args, item) = common(context, "ARRAY", args)?;
        let made = rows(context, "array", args, array_of(&item), true, |row| Ok(Value::List(row.values.to_vec())))?;
        Ok(Typed { nullable: false, ..made })
    }),
    (UNPIVOTED, |context, args| {
        let texts = args.iter().filter(|arg| arg.sql_type.is_text()).count();
        if texts > 0 && args.iter().any(|arg| !arg.sql_type.is_text() && arg.sql_type != SqlType::Null) {
            let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
            return Err(refused("UNPIVOT", &types));
        }
        let (args, item) = common(context, "UNPIVOT", args)?;
        rows(context, "array", args, array_of(&item), true, |row| Ok(Value::List(row.values.to_vec())))
    }),
    ("map", map),
    ("struct", |context, args| {
        let named =
            args.into_iter().enumerate().map(|(index, arg)| (named(&arg).unwrap_or(format!("col{}", index + 1)), arg));
        structure(context, named.collect())
    }),
    ("named_struct", |context, args| {
        if args.len() % 2 == 1 {
            return Err(arity("NAMED_STRUCT", "names and values in pairs"));
        }
        let mut fields = Vec::new();
        let mut args = args.into_iter();
        while let (Some(name), Some(value)) = (args.next(), args.next()) {
            let Expr::Literal(ScalarValue::Utf8(Some(name)), _) = &name.expr else {
                return Err(Error::usage("sql.arguments", "the names of NAMED_STRUCT are constants"));
            };
            fields.push((name.clone(), value));
        }
        structure(context, fields)
    }),
    (OUTER, |context, args| {
        let found = args.first().map_or(SqlType::Null, |arg| arg.sql_type.clone());
        if item_type(&found).is_none() {
            return Err(refused("EXPLODE_OUTER", &[found]));
        }
        rows(context, OUTER, args, found, true, |row| {
            let items = row.value(0).list();
            Ok(Value::List(if items.is_empty() { vec![Value::Null] } else { items.to_vec() }))
        })
    }),
    (POSITIONS, |context, args| {
        rows(context, POSITIONS, args, array_of(&SqlType::Int), false, |row| {
            let count = match row.value(0) {
                Value::Map(entries) => entries.len(),
                value => value.list().len(),
            };
            Ok(Value::List((0..count).map(|at| Value::Int(at as i64)).collect()))
        })
    }),
    (FIELDS, |context, args| {
        let found = args.first().map_or(SqlType::Null, |arg| arg.sql_type.clone());
        let place = match args.get(1).map(|arg| &arg.expr) {
            Some(Expr::Literal(place, _)) => place.to_string().parse::<usize>().unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let fields = item_type(&found).and_then(|item| field_types(&item)).unwrap_or_default();
        let Some((_, field)) = fields.get(place) else { return Err(refused("INLINE", &[found])) };
        rows(context, FIELDS, args, array_of(field), false, |row| {
            let place = usize::try_from(row.int(1)).unwrap_or(usize::MAX);
            let field = |item: &Value| item.list().get(place).cloned().unwrap_or(Value::Null);
            Ok(Value::List(row.value(0).list().iter().map(field).collect()))
        })
    }),
    (RANGE, |context, args| {
        let mut bounds = Vec::with_capacity(3);
        for arg in args {
            bounds.push(as_type(context, arg, &SqlType::BigInt)?);
        }
        rows(context, RANGE, bounds, array_of(&SqlType::BigInt), false, range)
    }),
    ("$get", get),
    ("$field", field),
    ("element_at", |context, args| element(context, args, false)),
    ("try_element_at", |context, args| element(context, args, true)),
    ("array_contains", |context, args| {
        with_item(context, "array_contains", args, SqlType::Boolean, |row| {
            if row.value(0).list().iter().any(|item| !item.is_null() && same(item, row.value(1))) {
                return Ok(Value::Bool(true));
            }
            let unknown = row.value(0).list().iter().any(Value::is_null);
            Ok(if unknown { Value::Null } else { Value::Bool(false) })
        })
    }),
    ("array_position", |context, args| {
        with_item(context, "array_position", args, SqlType::BigInt, |row| {
            let at = row.value(0).list().iter().position(|item| same(item, row.value(1)));
            Ok(Value::Int(at.and_then(|at| i64::try_from(at + 1).ok()).unwrap_or(0)))
        })
    }),
    ("array_remove", |context, args| {
        let list = args.first().map_or(SqlType::Null, |arg| arg.sql_type.clone());
        with_item(context, "array_remove", args, list, |row| {
            Ok(Value::List(row.value(0).list().iter().filter(|item| !same(item, row.value(1))).cloned().collect()))
        })
    }),
    ("array_append", |context, args| extended(context, "array_append", args)),
    ("array_prepend", |context, args| extended(context, "array_prepend", args)),
    ("array_union", |context, args| sets(context, "array_union", args)),
    ("array_intersect", |context, args| sets(context, "array_intersect", args)),
    ("array_except", |context, args| sets(context, "array_except", args)),
    ("arrays_overlap", |context, args| {
        let (args, _) = common(context, "ARRAYS_OVERLAP", args)?;
        rows(context, "arrays_overlap", args, SqlType::Boolean, false, |row| {
            let (a, b) = (row.value(0).list(), row.value(1).list());
            if a.iter().any(|item| !item.is_null() && b.iter().any(|other| same(item, other))) {
                return Ok(Value::Bool(true));
            }
            let unknown = !a.is_empty() && !b.is_empty() && a.iter().chain(b).any(Value::is_null);
            Ok(if unknown { Value::Null } else { Value::Bool(false) })
        })
    }),
    ("map_concat", |context, args| {
        let (args, kind) = common(context, "MAP_CONCAT", args)?;
        rows(context, "map_concat", args, kind, false, |row| {
            unique(row.values.iter().flat_map(|value| value.map().to_vec()).collect())
        })
    }),
    ("typeof", |context, args| {
        let [value] = <[Typed; 1]>::try_from(args).map_err(|_| arity("TYPEOF", "one value"))?;
        Ok(context.string(&crate::spark::types::name(&value.sql_type)))
    }),
];

const A: &[Takes] = &[Takes::Array];
const M: &[Takes] = &[Takes::Map];
const LIKE: Gives = Gives::Like(0);
const ITEM: Gives = Gives::By(|types| item_type(types.first()?));

pub(super) const ROWS: &[Def] = &[
    def("size", &[Takes::Any], INT, size).nulls(),
    def("cardinality", &[Takes::Any], INT, size).nulls(),
    def("array_size", A, INT, |row| Ok(Value::Int(length(row.value(0).list().len())))),
    def("sort_array", &[Takes::Array, Takes::Bool], LIKE, |row| {
        let down = row.values.len() > 1 && !row.value(1).truth();
        let mut items = row.value(0).list().to_vec();
        items.sort_by(|a, b| if down { order(b, a) } else { order(a, b) });
        Ok(Value::List(items))
    })
    .least(1),
    def("array_sort", A, LIKE, |row| {
        let mut items = row.value(0).list().to_vec();
        items.sort_by(|a, b| match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => order(a, b),
        });
        Ok(Value::List(items))
    }),
    def("array_distinct", A, LIKE, |row| Ok(Value::List(distinct(row.value(0).list().iter())))),
    def("array_compact", A, LIKE, |row| {
        Ok(Value::List(row.value(0).list().iter().filter(|item| !item.is_null()).cloned().collect()))
    }),
    def("array_max", A, ITEM, |row| Ok(extreme(row, Ordering::Greater))),
    def("array_min", A, ITEM, |row| Ok(extreme(row, Ordering::Less))),
    def("array_join", &[Takes::Array, Takes::Text, Takes::Text], TEXT, |row| {
        let item = item_type(row.type_of(0)).unwrap_or(STRING);
        let texts = row.value(0).list().iter().filter_map(|value| match value {
            Value::Null if row.values.len() > 2 => Some(row.text(2).to_owned()),
            Value::Null => None,
            value => Some(crate::spark::text::of(value, &item, row.zone)),
        });
        Ok(Value::Text(texts.collect::<Vec<_>>().join(row.text(1))))
    })
    .least(2),
    def("array_repeat", &[Takes::Any, Takes::Int], Gives::By(|types| types.first().map(array_of)), |row| {
        if row.value(1).is_null() {
            return Ok(Value::Null);
        }
        Ok(Value::List(vec![row.value(0).clone(); usize::try_from(row.int(1)).unwrap_or(0)]))
    })
    .nulls(),
    def("flatten", A, ITEM, |row| {
        if row.value(0).list().iter().any(Value::is_null) {
            return Ok(Value::Null);
        }
        Ok(Value::List(row.value(0).list().iter().flat_map(|item| item.list().to_vec()).collect()))
    }),
    def("slice", &[Takes::Array, Takes::Int, Takes::Int], LIKE, |row| {
        let (items, start, wanted) = (row.value(0).list(), row.int(1), row.int(2));
        if start == 0 || wanted < 0 {
            return Err(failed("sql.argument", "SLICE from 0, or of a negative length", "items count from 1"));
        }
        let begin = if start > 0 { start - 1 } else { length(items.len()) + start };
        let Ok(begin) = usize::try_from(begin) else { return Ok(Value::List(Vec::new())) };
        let items = items.iter().skip(begin).take(usize::try_from(wanted).unwrap_or(0)).cloned();
        Ok(Value::List(items.collect()))
    }),
    def("get", &[Takes::Array, Takes::Int], ITEM, |row| {
        let at = usize::try_from(row.int(1)).ok();
        Ok(at.and_then(|at| row.value(0).list().get(at)).cloned().unwrap_or(Value::Null))
    }),
    def("map_keys", M, Gives::By(|types| entry_types(types.first()?).map(|(key, _)| array_of(&key))), |row| {
        Ok(Value::List(row.value(0).map().iter().map(|(key, _)| key.clone()).collect()))
    }),
    def("map_values", M, Gives::By(|types| entry_types(types.first()?).map(|(_, value)| array_of(&value))), |row| {
        Ok(Value::List(row.value(0).map().iter().map(|(_, value)| value.clone()).collect()))
    }),
    def(
        "map_entries",
        M,
        Gives::By(|types| {
            let (key, value) = entry_types(types.first()?)?;
            Some(array_of(&struct_of(&[("key".to_owned(), key), ("value".to_owned(), value)])))
        }),
        |row| {
            let entries = row.value(0).map().iter().map(|(key, value)| Value::Struct(vec![key.clone(), value.clone()]));
            Ok(Value::List(entries.collect()))
        },
    ),
    def(
        "map_from_arrays",
        &[Takes::Array, Takes::Array],
        Gives::By(|types| Some(map_of(&item_type(types.first()?)?, &item_type(types.get(1)?)?))),
        |row| {
            let (keys, values) = (row.value(0).list(), row.value(1).list());
            if keys.len() != values.len() {
                return Err(failed("sql.argument", "keys and values of different number", "give as many of both"));
            }
            unique(keys.iter().cloned().zip(values.iter().cloned()).collect())
        },
    ),
    def(
        "map_from_entries",
        A,
        Gives::By(|types| match field_types(&item_type(types.first()?)?)?.as_slice() {
            [(_, key), (_, value)] => Some(map_of(key, value)),
            _ => None,
        }),
        |row| {
            let pair = |item: &Value| match item.list() {
                [key, value] => Some((key.clone(), value.clone())),
                _ => None,
            };
            unique(row.value(0).list().iter().filter_map(pair).collect())
        },
    ),
    def("map_contains_key", &[Takes::Map, Takes::Any], BOOL, |row| {
        Ok(Value::Bool(row.value(0).map().iter().any(|(key, _)| same(key, row.value(1)))))
    }),
    def("str_to_map", &[Takes::Text, Takes::Text, Takes::Text], Gives::By(|_| Some(map_of(&STRING, &STRING))), |row| {
        let (pair, middle) = (
            if row.values.len() > 1 { row.text(1) } else { "," },
            if row.values.len() > 2 { row.text(2) } else { ":" },
        );
        let entries = row.text(0).split(pair).map(|entry| match entry.split_once(middle) {
            Some((key, value)) => (key.into(), value.into()),
            None => (entry.into(), Value::Null),
        });
        unique(entries.collect())
    })
    .least(1),
];

fn length(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn same(a: &Value, b: &Value) -> bool {
    order(a, b) == Ordering::Equal
}

fn distinct<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for item in items {
        if !found.iter().any(|known| same(known, item)) {
            found.push(item.clone());
        }
    }
    found
}

/// Entries of a map, whose keys are there once and not NULL.
fn unique(entries: Vec<(Value, Value)>) -> Planned<Value> {
    for (index, (key, _)) in entries.iter().enumerate() {
        if key.is_null() {
            return Err(failed("sql.map", "the key of a map is NULL", "filter such entries"));
        }
        if entries.iter().take(index).any(|(known, _)| same(known, key)) {
            return Err(failed("sql.map", "a map with the same key twice", "leave one of both out"));
        }
    }
    Ok(Value::Map(entries))
}

fn map(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    if args.len() % 2 == 1 {
        return Err(arity("MAP", "keys and values in pairs"));
    }
    if args.is_empty() {
        return rows(context, "map", args, map_of(&SqlType::Null, &SqlType::Null), true, |_| {
            Ok(Value::Map(Vec::new()))
        });
    }
    let side = |parity: usize| widest(args.iter().skip(parity).step_by(2).map(|arg| &arg.sql_type));
    let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
    let (key, value) = side(0).zip(side(1)).ok_or_else(|| refused("map", &types))?;
    let typed = args.into_iter().enumerate();
    let args = typed.map(|(index, arg)| as_type(context, arg, if index % 2 == 0 { &key } else { &value }));
    let args = args.collect::<Result<Vec<_>>>()?;
    rows(context, "map", args, map_of(&key, &value), true, |row| {
        let pairs = row.values.chunks(2).filter_map(|pair| match pair {
            [key, value] => Some((key.clone(), value.clone())),
            _ => None,
        });
        unique(pairs.collect())
    })
}

/// The name of a column.
fn named(arg: &Typed) -> Option<String> {
    match &arg.expr {
        Expr::Column(column) => Some(column.name.clone()),
        _ => None,
    }
}

fn structure(context: Context<'_>, fields: Vec<(String, Typed)>) -> Result<Typed> {
    let types: Vec<(String, SqlType)> = fields.iter().map(|(name, arg)| (name.clone(), arg.sql_type.clone())).collect();
    let args = fields.into_iter().map(|(_, arg)| arg).collect();
    let made = rows(context, "struct", args, struct_of(&types), true, |row| Ok(Value::Struct(row.values.to_vec())))?;
    Ok(Typed { nullable: false, ..made })
}

/// `array[index]`, from 0, or `map[key]`.
fn get(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [value, key] = <[Typed; 2]>::try_from(args).map_err(|_| arity("[]", "one index"))?;
    let types = [value.sql_type.clone(), key.sql_type.clone()];
    if let Some(item) = item_type(&value.sql_type) {
        let key = super::taken(context, key, Takes::Int)?.ok_or_else(|| refused("[]", &types))?;
        return rows(context, "[]", vec![value, key], item, false, |row| {
            let found = usize::try_from(row.int(1)).ok().and_then(|at| row.value(0).list().get(at));
            match found {
                Some(found) => Ok(found.clone()),
                None if row.ansi => Err(failed(
                    "sql.index",
                    format!("an array of {} items has none of index {}", row.value(0).list().len(), row.int(1)),
                    "get(array, index) gives NULL",
                )),
                None => Ok(Value::Null),
            }
        });
    }
    if entry_types(&value.sql_type).is_some() {
        return by_key(context, value, key);
    }
    if let (Some(_), Expr::Literal(ScalarValue::Utf8(Some(_)), _)) = (field_types(&value.sql_type), &key.expr) {
        return field(context, vec![value, key]);
    }
    Err(refused("[]", &types))
}

fn by_key(context: Context<'_>, value: Typed, key: Typed) -> Result<Typed> {
    let types = [value.sql_type.clone(), key.sql_type.clone()];
    let (wanted, found) = entry_types(&value.sql_type).ok_or_else(|| refused("[]", &types))?;
    let key = as_type(context, key, &wanted)?;
    rows(context, "[]", vec![value, key], found, false, |row| {
        let found = row.value(0).map().iter().find(|(key, _)| same(key, row.value(1)));
        Ok(found.map_or(Value::Null, |(_, value)| value.clone()))
    })
}

/// `struct.field`; of an array of structs the array of that field.
fn field(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let [value, name] = <[Typed; 2]>::try_from(args).map_err(|_| arity(".", "one field"))?;
    let Expr::Literal(ScalarValue::Utf8(Some(wanted)), _) = &name.expr else {
        return Err(Error::usage("sql.arguments", "the name of a field is a constant"));
    };
    let item = item_type(&value.sql_type);
    if entry_types(&value.sql_type).is_some() {
        return by_key(context, value, name);
    }
    let fields = field_types(item.as_ref().unwrap_or(&value.sql_type)).unwrap_or_default();
    let at = fields.iter().position(|(field, _)| field.eq_ignore_ascii_case(wanted));
    let Some((at, (_, kind))) = at.and_then(|at| fields.get(at).map(|field| (at, field.clone()))) else {
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Error::usage("sql.unknown_column", format!("there is no field '{wanted}'"))
            .hint(format!("fields: {}", names.join(", "))));
    };
    let result = if item.is_some() { array_of(&kind) } else { kind };
    let at = Typed::new(context.number(length(at)).expr, SqlType::Int, false);
    rows(context, ".", vec![value, at], result, false, |row| {
        let at = usize::try_from(row.int(1)).unwrap_or(0);
        let of = |value: &Value| value.list().get(at).cloned().unwrap_or(Value::Null);
        Ok(match row.value(0) {
            Value::List(items) => Value::List(items.iter().map(of).collect()),
            value => of(value),
        })
    })
}

/// An item by its place from 1, from the end where it is negative; or the value of a key.
fn element(context: Context<'_>, args: Vec<Typed>, lenient: bool) -> Result<Typed> {
    let [value, key] = <[Typed; 2]>::try_from(args).map_err(|_| arity("ELEMENT_AT", "two arguments"))?;
    if entry_types(&value.sql_type).is_some() {
        return by_key(context, value, key);
    }
    let types = [value.sql_type.clone(), key.sql_type.clone()];
    let item = item_type(&value.sql_type).ok_or_else(|| refused("element_at", &types))?;
    let key = super::taken(context, key, Takes::Int)?.ok_or_else(|| refused("element_at", &types))?;
    let run: crate::functions::kernel::RowRun =
        if lenient { |row| item_at(row, true) } else { |row| item_at(row, false) };
    rows(context, if lenient { "try_element_at" } else { "element_at" }, vec![value, key], item, false, run)
}

fn item_at(row: &Row<'_>, lenient: bool) -> Planned<Value> {
    let (items, at) = (row.value(0).list(), row.int(1));
    if at == 0 {
        return Err(failed("sql.index", "ELEMENT_AT of 0", "items count from 1, or from -1 at the end"));
    }
    let index = if at > 0 { at - 1 } else { length(items.len()) + at };
    match usize::try_from(index).ok().and_then(|index| items.get(index)) {
        Some(found) => Ok(found.clone()),
        None if row.ansi && !lenient => Err(failed(
            "sql.index",
            format!("an array of {} items has none at {at}", items.len()),
            "try_element_at gives NULL",
        )),
        None => Ok(Value::Null),
    }
}

/// An array, and a value of its items' type.
fn with_item(
    context: Context<'_>,
    name: &str,
    args: Vec<Typed>,
    result: SqlType,
    run: crate::functions::kernel::RowRun,
) -> Result<Typed> {
    let [list, item] = <[Typed; 2]>::try_from(args).map_err(|_| arity(&name.to_uppercase(), "an array and a value"))?;
    let types = [list.sql_type.clone(), item.sql_type.clone()];
    let own = item_type(&list.sql_type).ok_or_else(|| refused(name, &types))?;
    let wide = crate::spark::types::tightest(&own, &item.sql_type).ok_or_else(|| refused(name, &types))?;
    let list = as_type(context, list, &array_of(&wide))?;
    let item = as_type(context, item, &wide)?;
    rows(context, name, vec![list, item], result, false, run)
}

fn extended(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    let [list, item] = <[Typed; 2]>::try_from(args).map_err(|_| arity(&name.to_uppercase(), "an array and a value"))?;
    let types = [list.sql_type.clone(), item.sql_type.clone()];
    let own = item_type(&list.sql_type).ok_or_else(|| refused(name, &types))?;
    let wide = crate::spark::types::wider(&own, &item.sql_type).ok_or_else(|| refused(name, &types))?;
    let args = vec![as_type(context, list, &array_of(&wide))?, as_type(context, item, &wide)?];
    let run: crate::functions::kernel::RowRun =
        if name == "array_append" { |row| appended(row, true) } else { |row| appended(row, false) };
    rows(context, name, args, array_of(&wide), true, run)
}

fn appended(row: &Row<'_>, behind: bool) -> Planned<Value> {
    if row.value(0).is_null() {
        return Ok(Value::Null);
    }
    let mut items = row.value(0).list().to_vec();
    let at = if behind { items.len() } else { 0 };
    items.insert(at, row.value(1).clone());
    Ok(Value::List(items))
}

fn sets(context: Context<'_>, name: &str, args: Vec<Typed>) -> Result<Typed> {
    if args.len() != 2 {
        return Err(arity(&name.to_uppercase(), "two arrays"));
    }
    let (args, list) = common(context, name, args)?;
    let run: crate::functions::kernel::RowRun = match name {
        "array_union" => |row| Ok(Value::List(distinct(row.value(0).list().iter().chain(row.value(1).list())))),
        "array_intersect" => |row| {
            let other = row.value(1).list();
            let kept = row.value(0).list().iter().filter(|item| other.iter().any(|found| same(found, item)));
            Ok(Value::List(distinct(kept)))
        },
        _ => |row| {
            let other = row.value(1).list();
            let kept = row.value(0).list().iter().filter(|item| !other.iter().any(|found| same(found, item)));
            Ok(Value::List(distinct(kept)))
        },
    };
    rows(context, name, args, list, false, run)
}

/// NULL has the size NULL.
fn size(row: &Row<'_>) -> Planned<Value> {
    Ok(match row.value(0) {
        Value::List(items) => Value::Int(length(items.len())),
        Value::Map(entries) => Value::Int(length(entries.len())),
        _ => Value::Null,
    })
}

fn extreme(row: &Row<'_>, wanted: Ordering) -> Value {
    let mut best = &Value::Null;
    for item in row.value(0).list().iter().filter(|item| !item.is_null()) {
        if best.is_null() || order(item, best) == wanted {
            best = item;
        }
    }
    best.clone()
}

/// The numbers of `RANGE(from, to, step)`.
fn range(row: &Row<'_>) -> Planned<Value> {
    let (from, to, step) = (row.int(0), row.int(1), row.int(2));
    if step == 0 {
        return Err(failed("sql.argument", "RANGE with a step of 0", "give another step"));
    }
    let distance = (i128::from(to) - i128::from(from)) * i128::from(step.signum());
    let count = usize::try_from(distance.max(0)).unwrap_or(usize::MAX).div_ceil(step.unsigned_abs() as usize);
    if count > ITEMS_MAX {
        return Err(failed("sql.length", "a RANGE of more than ten million rows", "take several"));
    }
    Ok(Value::List((0..count).map(|at| Value::Int(from + at as i64 * step)).collect()))
}
