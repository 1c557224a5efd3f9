//! Parsed values to Arrow arrays, column by column and level by level.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, MapArray, NullArray, PrimitiveArray,
    StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTime, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;

use crate::{Error, Result};

/// A cell as it was read. Everything that is one number in Arrow is an [`Value::Integer`], checked for its range.
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    DayTime(i32, i32),
    MonthDayNano(i32, i32, i64),
    /// A list's items, a struct's values, or a map's entries, each of which is the items key and value.
    Items(Vec<Value>),
}

/// An array of one type from its values.
pub(super) fn build(data_type: &DataType, values: &[&Value]) -> Result<ArrayRef> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Ok(match data_type {
        DataType::Null => Arc::new(NullArray::new(values.len())),
        DataType::Boolean => Arc::new(BooleanArray::from_iter(values.iter().map(|value| match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        }))),
        DataType::Utf8 => Arc::new(StringArray::from_iter(values.iter().map(|value| match value {
            Value::Text(value) => Some(value.as_str()),
            _ => None,
        }))),
        DataType::Binary => Arc::new(BinaryArray::from_iter(values.iter().map(|value| match value {
            Value::Bytes(value) => Some(value.as_slice()),
            _ => None,
        }))),
        DataType::Int8 => integers::<Int8Type>(data_type, values),
        DataType::Int16 => integers::<Int16Type>(data_type, values),
        DataType::Int32 => integers::<Int32Type>(data_type, values),
        DataType::Int64 => integers::<Int64Type>(data_type, values),
        DataType::UInt8 => integers::<UInt8Type>(data_type, values),
        DataType::UInt16 => integers::<UInt16Type>(data_type, values),
        DataType::UInt32 => integers::<UInt32Type>(data_type, values),
        DataType::UInt64 => integers::<UInt64Type>(data_type, values),
        #[expect(clippy::cast_possible_truncation, reason = "was widened from f32")]
        DataType::Float32 => primitives::<Float32Type>(data_type, values, |value| match value {
            Value::Float(value) => Some(*value as f32),
            _ => None,
        }),
        DataType::Float64 => primitives::<Float64Type>(data_type, values, |value| match value {
            Value::Float(value) => Some(*value),
            _ => None,
        }),
        DataType::Decimal128(..) => integers::<Decimal128Type>(data_type, values),
        DataType::Date32 => integers::<Date32Type>(data_type, values),
        DataType::Time32(Second) => integers::<Time32SecondType>(data_type, values),
        DataType::Time32(_) => integers::<Time32MillisecondType>(data_type, values),
        DataType::Time64(Microsecond) => integers::<Time64MicrosecondType>(data_type, values),
        DataType::Time64(_) => integers::<Time64NanosecondType>(data_type, values),
        DataType::Timestamp(Second, _) => integers::<TimestampSecondType>(data_type, values),
        DataType::Timestamp(Millisecond, _) => integers::<TimestampMillisecondType>(data_type, values),
        DataType::Timestamp(Microsecond, _) => integers::<TimestampMicrosecondType>(data_type, values),
        DataType::Timestamp(Nanosecond, _) => integers::<TimestampNanosecondType>(data_type, values),
        DataType::Duration(Second) => integers::<DurationSecondType>(data_type, values),
        DataType::Duration(Millisecond) => integers::<DurationMillisecondType>(data_type, values),
        DataType::Duration(Microsecond) => integers::<DurationMicrosecondType>(data_type, values),
        DataType::Duration(Nanosecond) => integers::<DurationNanosecondType>(data_type, values),
        DataType::Interval(unit) => intervals(*unit, data_type, values),
        DataType::List(item) => build_list(item, values)?,
        DataType::Map(entries, _) => build_map(entries, values)?,
        DataType::Struct(fields) => Arc::new(build_struct(fields, values)?),
        other => return Err(Error::bug("notation.build", format!("no builder for {other}"))),
    })
}

fn primitives<T: ArrowPrimitiveType>(
    data_type: &DataType,
    values: &[&Value],
    native: impl Fn(&Value) -> Option<T::Native>,
) -> ArrayRef {
    let array = PrimitiveArray::<T>::from_iter(values.iter().map(|value| native(value)));
    // The data type carries what the Rust type does not: precision and scale, time zone.
    Arc::new(array.with_data_type(data_type.clone()))
}

fn integers<T: ArrowPrimitiveType>(data_type: &DataType, values: &[&Value]) -> ArrayRef
where
    T::Native: TryFrom<i128>,
{
    primitives::<T>(data_type, values, |value| match value {
        Value::Integer(value) => T::Native::try_from(*value).ok(),
        _ => None,
    })
}

fn intervals(unit: IntervalUnit, data_type: &DataType, values: &[&Value]) -> ArrayRef {
    match unit {
        IntervalUnit::YearMonth => integers::<IntervalYearMonthType>(data_type, values),
        IntervalUnit::DayTime => primitives::<IntervalDayTimeType>(data_type, values, |value| match value {
            Value::DayTime(days, millis) => Some(IntervalDayTime::new(*days, *millis)),
            _ => None,
        }),
        IntervalUnit::MonthDayNano => primitives::<IntervalMonthDayNanoType>(data_type, values, |value| match value {
            Value::MonthDayNano(months, days, nanos) => Some(IntervalMonthDayNano::new(*months, *days, *nanos)),
            _ => None,
        }),
    }
}

/// Which values are there, how many items each has, and all items in one row.
fn flatten<'a>(values: &[&'a Value]) -> (Option<NullBuffer>, OffsetBuffer<i32>, Vec<&'a Value>) {
    let items: Vec<&[Value]> = values.iter().map(|value| items_of(value)).collect();
    let offsets = OffsetBuffer::from_lengths(items.iter().map(|items| items.len()));
    (presence(values), offsets, items.into_iter().flatten().collect())
}

fn items_of(value: &Value) -> &[Value] {
    match value {
        Value::Items(items) => items,
        _ => &[],
    }
}

fn presence(values: &[&Value]) -> Option<NullBuffer> {
    let present = NullBuffer::from_iter(values.iter().map(|value| !matches!(value, Value::Null)));
    (present.null_count() > 0).then_some(present)
}

fn build_list(item: &FieldRef, values: &[&Value]) -> Result<ArrayRef> {
    let (nulls, offsets, items) = flatten(values);
    let items = build(item.data_type(), &items)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, nulls).map_err(unfit)?))
}

fn build_map(entries: &FieldRef, values: &[&Value]) -> Result<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::bug("notation.map", "a map whose entries are not a struct"));
    };
    let (nulls, offsets, items) = flatten(values);
    let items = build_struct(fields, &items)?;
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, items, nulls, false).map_err(unfit)?))
}

fn build_struct(fields: &Fields, values: &[&Value]) -> Result<StructArray> {
    let children = fields.iter().enumerate().map(|(i, field)| {
        // A field of a struct that is null itself is null too, whatever its own type says.
        let child: Vec<&Value> = values.iter().map(|value| items_of(value).get(i).unwrap_or(&Value::Null)).collect();
        build(field.data_type(), &child)
    });
    let children = children.collect::<Result<Vec<_>>>()?;
    StructArray::try_new_with_length(fields.clone(), children, presence(values), values.len()).map_err(unfit)
}

fn unfit(error: ArrowError) -> Error {
    Error::bug("notation.build", "the parsed values do not fit together").caused_by(error)
}
