//! [`Value`]: one value of any type, for functions that look at a row at a time: those over arrays, maps and structs, and
//! those that are not worth a loop of their own.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, ListArray,
    MapArray, NullArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{Result, exec_err};

use super::cast::read::{counts, from_counts};
use crate::types::SqlType;

/// Microseconds of a day.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Whole numbers, days of dates, counts of times in their unit, months and microseconds of intervals.
    Int(i64),
    Float(f64),
    /// Without its scale, which is the type's.
    Decimal(i128),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    /// In the order of the entries.
    Map(Vec<(Value, Value)>),
    Struct(Vec<Value>),
}

impl Value {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    pub(crate) fn int(&self) -> i64 {
        match self {
            Self::Int(number) => *number,
            _ => 0,
        }
    }

    pub(crate) fn float(&self) -> f64 {
        match self {
            Self::Float(number) => *number,
            _ => 0.0,
        }
    }

    pub(crate) fn truth(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    pub(crate) fn decimal(&self) -> i128 {
        match self {
            Self::Decimal(number) => *number,
            _ => 0,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
            _ => &[],
        }
    }

    pub(crate) fn list(&self) -> &[Value] {
        match self {
            Self::List(items) | Self::Struct(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn map(&self) -> &[(Value, Value)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// The type of the items of an array.
pub(crate) fn item_type(sql_type: &SqlType) -> Option<SqlType> {
    match sql_type {
        SqlType::Other(DataType::List(item)) => Some(SqlType::of(item)),
        _ => None,
    }
}

/// The types of the keys and values of a map.
pub(crate) fn entry_types(sql_type: &SqlType) -> Option<(SqlType, SqlType)> {
    let SqlType::Other(DataType::Map(entries, _)) = sql_type else { return None };
    let DataType::Struct(pair) = entries.data_type() else { return None };
    match pair.as_ref() {
        [key, value] => Some((SqlType::of(key), SqlType::of(value))),
        _ => None,
    }
}

/// Names and types of the fields of a struct.
pub(crate) fn field_types(sql_type: &SqlType) -> Option<Vec<(String, SqlType)>> {
    match sql_type {
        SqlType::Other(DataType::Struct(fields)) => {
            Some(fields.iter().map(|field| (field.name().clone(), SqlType::of(field))).collect())
        }
        _ => None,
    }
}

/// A column whose values are read one by one.
pub(crate) struct Column {
    array: ArrayRef,
    sql_type: SqlType,
    /// Counts behind dates and times.
    counts: Option<arrow::array::Int64Array>,
    children: Vec<Column>,
}

impl Column {
    pub(crate) fn new(array: &ArrayRef, sql_type: &SqlType) -> Result<Self> {
        let mut counted = None;
        let mut children = Vec::new();
        match sql_type {
            SqlType::TinyInt
            | SqlType::SmallInt
            | SqlType::Int
            | SqlType::BigInt
            | SqlType::Date
            | SqlType::Time(_)
            | SqlType::Timestamp(_)
            | SqlType::TimestampLtz(_) => counted = Some(counts(array)?),
            SqlType::Other(DataType::List(item)) => {
                children.push(Self::new(array.as_list::<i32>().values(), &SqlType::of(item))?);
            }
            SqlType::Other(DataType::Map(..)) => {
                let entries = array.as_map();
                if let Some((key, value)) = entry_types(sql_type) {
                    children.push(Self::new(entries.keys(), &key)?);
                    children.push(Self::new(entries.values(), &value)?);
                }
            }
            SqlType::Other(DataType::Struct(fields)) => {
                for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                    children.push(Self::new(column, &SqlType::of(field))?);
                }
            }
            _ => {}
        }
        Ok(Self { array: Arc::clone(array), sql_type: sql_type.clone(), counts: counted, children })
    }

    pub(crate) fn at(&self, row: usize) -> Result<Value> {
        if self.array.is_null(row) || matches!(self.sql_type, SqlType::Null) {
            return Ok(Value::Null);
        }
        if let Some(counts) = &self.counts {
            return Ok(Value::Int(counts.value(row)));
        }
        Ok(match &self.sql_type {
            SqlType::Boolean => Value::Bool(self.array.as_boolean().value(row)),
            SqlType::Float => Value::Float(f64::from(self.array.as_primitive::<Float32Type>().value(row))),
            SqlType::Double => Value::Float(self.array.as_primitive::<Float64Type>().value(row)),
            SqlType::Decimal(..) => Value::Decimal(self.array.as_primitive::<Decimal128Type>().value(row)),
            text if text.is_text() => Value::Text(self.array.as_string::<i32>().value(row).to_owned()),
            bytes if bytes.is_bytes() => Value::Bytes(self.array.as_binary::<i32>().value(row).to_vec()),
            SqlType::Months | SqlType::YearMonth(..) => {
                Value::Int(i64::from(self.array.as_primitive::<IntervalMonthDayNanoType>().value(row).months))
            }
            SqlType::Millis | SqlType::DayTime(..) => {
                let found = self.array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                Value::Int(i64::from(found.days) * DAY_MICROS + found.nanoseconds / 1_000)
            }
            SqlType::Other(DataType::List(_)) => {
                let offsets = self.array.as_list::<i32>().value_offsets();
                Value::List(self.items(offsets, row, 0)?)
            }
            SqlType::Other(DataType::Map(..)) => {
                let offsets = self.array.as_map().value_offsets();
                let keys = self.items(offsets, row, 0)?;
                Value::Map(keys.into_iter().zip(self.items(offsets, row, 1)?).collect())
            }
            SqlType::Other(DataType::Struct(_)) => {
                Value::Struct(self.children.iter().map(|child| child.at(row)).collect::<Result<_>>()?)
            }
            other => return exec_err!("a value of {other} cannot be read here"),
        })
    }

    fn items(&self, offsets: &[i32], row: usize, child: usize) -> Result<Vec<Value>> {
        let bound = |at: usize| offsets.get(at).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
        let Some(child) = self.children.get(child) else { return Ok(Vec::new()) };
        (bound(row)..bound(row + 1)).map(|index| child.at(index)).collect()
    }
}

/// The values as a column of this type.
pub(crate) fn column(values: &[Value], sql_type: &SqlType) -> Result<ArrayRef> {
    let ints = || values.iter().map(|value| if value.is_null() { None } else { Some(value.int()) });
    Ok(match sql_type {
        SqlType::Null => Arc::new(NullArray::new(values.len())),
        SqlType::Boolean => {
            Arc::new(values.iter().map(|v| (!v.is_null()).then(|| v.truth())).collect::<BooleanArray>())
        }
        // Values are in range: who computes them sees to it.
        SqlType::TinyInt => Arc::new(ints().map(|v| v.map(|v| v as i8)).collect::<PrimitiveArray<Int8Type>>()),
        SqlType::SmallInt => Arc::new(ints().map(|v| v.map(|v| v as i16)).collect::<PrimitiveArray<Int16Type>>()),
        SqlType::Int => Arc::new(ints().map(|v| v.map(|v| v as i32)).collect::<PrimitiveArray<Int32Type>>()),
        SqlType::BigInt => Arc::new(ints().collect::<PrimitiveArray<Int64Type>>()),
        SqlType::Date | SqlType::Time(_) | SqlType::Timestamp(_) | SqlType::TimestampLtz(_) => {
            from_counts(&ints().collect(), &sql_type.arrow())?
        }
        SqlType::Float => {
            Arc::new(values.iter().map(|v| (!v.is_null()).then(|| v.float() as f32)).collect::<Float32Array>())
        }
        SqlType::Double => Arc::new(values.iter().map(|v| (!v.is_null()).then(|| v.float())).collect::<Float64Array>()),
        SqlType::Decimal(..) => {
            let found = values.iter().map(|v| (!v.is_null()).then(|| v.decimal())).collect::<Decimal128Array>();
            Arc::new(found.with_data_type(sql_type.arrow()))
        }
        text if text.is_text() => {
            Arc::new(values.iter().map(|v| (!v.is_null()).then(|| v.text())).collect::<StringArray>())
        }
        bytes if bytes.is_bytes() => {
            Arc::new(values.iter().map(|v| (!v.is_null()).then(|| v.bytes())).collect::<BinaryArray>())
        }
        SqlType::Months | SqlType::YearMonth(..) | SqlType::Millis | SqlType::DayTime(..) => {
            let months = matches!(sql_type, SqlType::Months | SqlType::YearMonth(..));
            let found: PrimitiveArray<IntervalMonthDayNanoType> =
                ints().map(|v| v.map(|v| if months { months_interval(v) } else { micros_interval(v) })).collect();
            Arc::new(found)
        }
        SqlType::Other(data_type) => nested(values, sql_type, data_type)?,
        _ => return exec_err!("a column of {sql_type} cannot be made here"),
    })
}

/// So many months.
pub(crate) fn months_interval(months: i64) -> IntervalMonthDayNano {
    IntervalMonthDayNano::new(i32::try_from(months).unwrap_or(i32::MAX), 0, 0)
}

/// So many microseconds, as days and the rest of a day, so that longer ones are greater.
pub(crate) fn micros_interval(micros: i64) -> IntervalMonthDayNano {
    let days = i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or(i32::MAX);
    IntervalMonthDayNano::new(0, days, micros.rem_euclid(DAY_MICROS) * 1_000)
}

fn nested(values: &[Value], sql_type: &SqlType, data_type: &DataType) -> Result<ArrayRef> {
    let nulls = NullBuffer::from_iter(values.iter().map(|value| !value.is_null()));
    Ok(match data_type {
        DataType::List(item) => {
            let offsets = OffsetBuffer::from_lengths(values.iter().map(|value| value.list().len()));
            let items: Vec<Value> = values.iter().flat_map(|value| value.list().iter().cloned()).collect();
            let items = column(&items, &SqlType::of(item))?;
            Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, Some(nulls))?)
        }
        DataType::Map(entries, sorted) => {
            let (Some((key, value)), DataType::Struct(fields)) = (entry_types(sql_type), entries.data_type()) else {
                return exec_err!("a map without entries");
            };
            let offsets = OffsetBuffer::from_lengths(values.iter().map(|value| value.map().len()));
            let all = || values.iter().flat_map(Value::map);
            let keys = column(&all().map(|(key, _)| key.clone()).collect::<Vec<_>>(), &key)?;
            let items = column(&all().map(|(_, value)| value.clone()).collect::<Vec<_>>(), &value)?;
            let pairs = StructArray::try_new(fields.clone(), vec![keys, items], None)?;
            Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, Some(nulls), *sorted)?)
        }
        DataType::Struct(fields) => {
            let mut columns = Vec::with_capacity(fields.len());
            for (index, field) in fields.iter().enumerate() {
                let of = |value: &Value| value.list().get(index).cloned().unwrap_or(Value::Null);
                columns.push(column(&values.iter().map(of).collect::<Vec<_>>(), &SqlType::of(field))?);
            }
            if columns.is_empty() {
                return Ok(Arc::new(StructArray::new_empty_fields(values.len(), Some(nulls))));
            }
            Arc::new(StructArray::try_new(fields.clone(), columns, Some(nulls))?)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => column(values, &SqlType::Months)?,
        other => return exec_err!("a column of {other} cannot be made here"),
    })
}
