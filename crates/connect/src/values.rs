//! Arbitrary batches for the laws of the formats. Tests only.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;

use crate::column::{Column, Data};
use crate::lines::Decode;

/// A value before it has a column.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Many(Vec<Value>),
    Pairs(Vec<(String, Value)>),
}

/// MAP as the product's schemas have it.
pub(crate) fn map(key: DataType, value: DataType) -> DataType {
    let entries = vec![Field::new("keys", key, false), Field::new("values", value, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false)
}

/// Every scalar type that text formats hold.
pub(crate) fn scalar_types() -> Vec<DataType> {
    use DataType::{
        Binary, Boolean, Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Time32, Time64, Timestamp,
        UInt8, UInt16, UInt32, UInt64, Utf8,
    };
    let mut types = vec![
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float32,
        Float64,
        Utf8,
        Binary,
        Date32,
        Decimal128(10, 2),
        Decimal128(38, 0),
        Decimal128(38, 38),
        Time32(TimeUnit::Second),
        Time32(TimeUnit::Millisecond),
        Time64(TimeUnit::Microsecond),
        Time64(TimeUnit::Nanosecond),
    ];
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        types.push(Timestamp(unit, None));
        types.push(Timestamp(unit, Some("UTC".into())));
    }
    types
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn row(fields: Vec<DataType>) -> DataType {
    let names = ["x", "y \"", "é"];
    let field = |(name, kind): (&str, DataType)| Field::new(name, kind, true);
    DataType::Struct(names.into_iter().zip(fields).map(field).collect())
}

/// Every type that JSON holds, nested ones included.
pub(crate) fn json_types() -> Vec<DataType> {
    let mut types = scalar_types();
    types.push(list(DataType::Int32));
    types.push(list(list(DataType::Utf8)));
    types.push(map(DataType::Utf8, DataType::Decimal128(10, 2)));
    types.push(row(vec![DataType::Int32, DataType::Utf8, list(map(DataType::Utf8, DataType::Boolean))]));
    types
}

/// Columns `c0`, `c1`, … of the given types.
pub(crate) fn schema_of(types: &[DataType]) -> SchemaRef {
    let field = |(index, kind): (usize, &DataType)| Field::new(format!("c{index}"), kind.clone(), true);
    Arc::new(Schema::new(types.iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// A value of a type; one in five is NULL.
pub(crate) fn value_of(kind: &DataType) -> BoxedStrategy<Value> {
    let int = |min: i128, max: i128| (min..=max).prop_map(Value::Int).boxed();
    // From the year 1 to 9999, where the formats have four digits.
    let seconds = (-62_135_596_800_i128, 253_402_300_799_i128);
    let value = match kind {
        DataType::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        DataType::Int8 => int(i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => int(i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => int(i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => int(i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => int(0, u8::MAX.into()),
        DataType::UInt16 => int(0, u16::MAX.into()),
        DataType::UInt32 => int(0, u32::MAX.into()),
        DataType::UInt64 => int(0, u64::MAX.into()),
        DataType::Float32 => any::<f32>().prop_map(|number| Value::Float(number.into())).boxed(),
        DataType::Float64 => any::<f64>().prop_map(Value::Float).boxed(),
        DataType::Decimal128(precision, _) => {
            let most = 10_i128.pow(u32::from(*precision)) - 1;
            int(-most, most)
        }
        DataType::Utf8 => {
            prop_oneof![".{0,12}", "[a-z/]{0,12}", "[\"\\\\,;\n\r\t\u{1}é😀 #']{0,6}"].prop_map(Value::Text).boxed()
        }
        DataType::Binary => prop::collection::vec(any::<u8>(), 0..8).prop_map(Value::Bytes).boxed(),
        DataType::Date32 => int(-719_162, 2_932_896),
        DataType::Time32(unit) | DataType::Time64(unit) => int(0, 86_400 * per_second(*unit) - 1),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => int(i64::MIN.into(), i64::MAX.into()),
        DataType::Timestamp(unit, _) => int(seconds.0 * per_second(*unit), seconds.1 * per_second(*unit)),
        DataType::List(item) => prop::collection::vec(value_of(item.data_type()), 0..4).prop_map(Value::Many).boxed(),
        DataType::Struct(fields) => {
            fields.iter().map(|field| value_of(field.data_type())).collect::<Vec<_>>().prop_map(Value::Many).boxed()
        }
        DataType::Map(entries, _) => {
            let (_, value) = crate::column::map_fields(entries).expect("map");
            let pair = ("[a-z\" ]{0,3}", value_of(value.data_type()));
            prop::collection::vec(pair, 0..4).prop_map(Value::Pairs).boxed()
        }
        other => panic!("no values of {other}"),
    };
    prop_oneof![4 => value, 1 => Just(Value::Null)].boxed()
}

fn per_second(unit: TimeUnit) -> i128 {
    crate::text::unit_scale(unit).0.into()
}

/// Appends a value to a column of its type.
pub(crate) fn append(column: &mut Column, value: &Value) {
    macro_rules! number {
        ($values:expr, $number:expr) => {
            $values.append_value((*$number).try_into().expect("in range"))
        };
    }
    match (&mut column.data, value) {
        (_, Value::Null) => column.append_null(),
        (Data::Bool(values), Value::Bool(value)) => values.append_value(*value),
        (Data::I8(values), Value::Int(number)) => number!(values, number),
        (Data::I16(values), Value::Int(number)) => number!(values, number),
        (Data::I32(values) | Data::Date(values) | Data::Time32(_, values), Value::Int(number)) => {
            number!(values, number)
        }
        (Data::I64(values) | Data::Time64(_, values) | Data::Timestamp { values, .. }, Value::Int(number)) => {
            number!(values, number);
        }
        (Data::U8(values), Value::Int(number)) => number!(values, number),
        (Data::U16(values), Value::Int(number)) => number!(values, number),
        (Data::U32(values), Value::Int(number)) => number!(values, number),
        (Data::U64(values), Value::Int(number)) => number!(values, number),
        (Data::Decimal { values, .. }, Value::Int(number)) => values.append_value(*number),
        (Data::F32(values), Value::Float(number)) => values.append_value(*number as f32),
        (Data::F64(values), Value::Float(number)) => values.append_value(*number),
        (Data::Text(values), Value::Text(text)) => values.append_value(text),
        (Data::Bytes(values), Value::Bytes(bytes)) => values.append_value(bytes),
        (Data::List { item, .. }, Value::Many(items)) => {
            items.iter().for_each(|value| append(item, value));
            column.close_nested();
        }
        (Data::Row { children, .. }, Value::Many(items)) => {
            children.iter_mut().zip(items).for_each(|(child, value)| append(child, value));
            column.close_nested();
        }
        (Data::Map { key, value, .. }, Value::Pairs(pairs)) => {
            for (name, item) in pairs {
                append(key, &Value::Text(name.clone()));
                append(value, item);
            }
            column.close_nested();
        }
        (_, value) => panic!("{value:?} does not fit"),
    }
}

/// Batches of all the given types at once.
pub(crate) fn batches(types: Vec<DataType>) -> impl Strategy<Value = RecordBatch> {
    let rows = types.iter().map(value_of).collect::<Vec<_>>();
    prop::collection::vec(rows, 0..6).prop_map(move |rows| {
        let build = |(index, kind): (usize, &DataType)| -> ArrayRef {
            let mut column = Column::new(kind).expect("known type");
            rows.iter().for_each(|row: &Vec<Value>| append(&mut column, &row[index]));
            column.finish().expect("column")
        };
        let columns = types.iter().enumerate().map(build).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(schema_of(&types), columns, &options).expect("batch")
    })
}

/// Cuts bytes as a reader does: pieces of about `size` bytes that end where a record ends.
pub(crate) fn chunks<'a>(decoder: &dyn Decode, bytes: &'a [u8], size: usize) -> Vec<&'a [u8]> {
    let (mut chunks, mut rest, mut wanted) = (Vec::new(), bytes, size);
    while !rest.is_empty() {
        let window = &rest[..wanted.min(rest.len())];
        match decoder.boundary(window) {
            Some(end) => {
                chunks.push(&rest[..end]);
                rest = &rest[end..];
                wanted = size;
            }
            None if wanted >= rest.len() => {
                chunks.push(rest);
                break;
            }
            None => wanted += size,
        }
    }
    chunks
}
