//! [`Column`]: an Arrow column that grows value by value, for every type that a table can have.
//!
//! A decoder appends a value or NULL for every row. Dates, times and timestamps are kept as plain integers and get their
//! logical type when the column is finished.

use std::sync::Arc;

use arrow::array::builder::{BinaryBuilder, BooleanBuilder, Decimal128Builder, PrimitiveBuilder, StringBuilder};
use arrow::array::{Array, ArrayRef, ListArray, MapArray, NullArray, StructArray, make_array};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use headwater_change::{Error, Result};

use crate::scalar::{Decimal, parse_date, parse_decimal, parse_float, parse_integer, parse_time_in, parse_timestamp};

/// A growing column.
pub(crate) struct Column {
    data_type: DataType,
    pub(crate) data: Data,
}

/// The values by their layout.
pub(crate) enum Data {
    Null(usize),
    Bool(BooleanBuilder),
    I8(PrimitiveBuilder<Int8Type>),
    I16(PrimitiveBuilder<Int16Type>),
    I32(PrimitiveBuilder<Int32Type>),
    I64(PrimitiveBuilder<Int64Type>),
    U8(PrimitiveBuilder<UInt8Type>),
    U16(PrimitiveBuilder<UInt16Type>),
    U32(PrimitiveBuilder<UInt32Type>),
    U64(PrimitiveBuilder<UInt64Type>),
    F32(PrimitiveBuilder<Float32Type>),
    F64(PrimitiveBuilder<Float64Type>),
    Decimal { values: Decimal128Builder, precision: u8, scale: i8 },
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(PrimitiveBuilder<Int32Type>),
    Time32(TimeUnit, PrimitiveBuilder<Int32Type>),
    Time64(TimeUnit, PrimitiveBuilder<Int64Type>),
    Timestamp { values: PrimitiveBuilder<Int64Type>, unit: TimeUnit, instant: bool },
    List { item: Box<Column>, lengths: Lengths },
    Map { key: Box<Column>, value: Box<Column>, lengths: Lengths },
    Row { names: Fields, children: Vec<Column>, valid: Vec<bool> },
}

/// Where the values of nested rows end, and which rows are there.
#[derive(Default)]
pub(crate) struct Lengths {
    ends: Vec<i32>,
    valid: Vec<bool>,
}

impl Lengths {
    fn push(&mut self, end: usize, valid: bool) {
        self.ends.push(i32::try_from(end).unwrap_or(i32::MAX));
        self.valid.push(valid);
    }

    fn void_last(&mut self) {
        if let Some(last) = self.valid.last_mut() {
            *last = false;
        }
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.append(&mut self.ends);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), nulls(&mut self.valid))
    }
}

fn nulls(valid: &mut Vec<bool>) -> Option<NullBuffer> {
    let buffer = NullBuffer::from(std::mem::take(valid));
    (buffer.null_count() > 0).then_some(buffer)
}

impl Column {
    /// An empty column. Fails with `format.type` for a type that no table has.
    pub(crate) fn new(data_type: &DataType) -> Result<Self> {
        let data = match data_type {
            DataType::Null => Data::Null(0),
            DataType::Boolean => Data::Bool(BooleanBuilder::new()),
            DataType::Int8 => Data::I8(PrimitiveBuilder::new()),
            DataType::Int16 => Data::I16(PrimitiveBuilder::new()),
            DataType::Int32 => Data::I32(PrimitiveBuilder::new()),
            DataType::Int64 => Data::I64(PrimitiveBuilder::new()),
            DataType::UInt8 => Data::U8(PrimitiveBuilder::new()),
            DataType::UInt16 => Data::U16(PrimitiveBuilder::new()),
            DataType::UInt32 => Data::U32(PrimitiveBuilder::new()),
            DataType::UInt64 => Data::U64(PrimitiveBuilder::new()),
            DataType::Float32 => Data::F32(PrimitiveBuilder::new()),
            DataType::Float64 => Data::F64(PrimitiveBuilder::new()),
            DataType::Decimal128(precision, scale) => Data::Decimal {
                values: Decimal128Builder::new().with_data_type(data_type.clone()),
                precision: *precision,
                scale: *scale,
            },
            DataType::Utf8 => Data::Text(StringBuilder::new()),
            DataType::Binary => Data::Bytes(BinaryBuilder::new()),
            DataType::Date32 => Data::Date(PrimitiveBuilder::new()),
            DataType::Time32(unit) => Data::Time32(*unit, PrimitiveBuilder::new()),
            DataType::Time64(unit) => Data::Time64(*unit, PrimitiveBuilder::new()),
            DataType::Timestamp(unit, zone) => {
                Data::Timestamp { values: PrimitiveBuilder::new(), unit: *unit, instant: zone.is_some() }
            }
            DataType::List(item) => {
                Data::List { item: Box::new(Self::new(item.data_type())?), lengths: Lengths::default() }
            }
            DataType::Map(entries, _) => {
                let (key, value) = map_fields(entries).ok_or_else(|| unsupported(data_type))?;
                Data::Map {
                    key: Box::new(Self::new(key.data_type())?),
                    value: Box::new(Self::new(value.data_type())?),
                    lengths: Lengths::default(),
                }
            }
            DataType::Struct(fields) => Data::Row {
                names: fields.clone(),
                children: fields.iter().map(|field| Self::new(field.data_type())).collect::<Result<_>>()?,
                valid: Vec::new(),
            },
            other => return Err(unsupported(other)),
        };
        Ok(Self { data_type: data_type.clone(), data })
    }

    /// The SQL name of the column's type, for messages.
    pub(crate) fn type_name(&self) -> String {
        match &self.data_type {
            DataType::Boolean => "BOOLEAN".to_owned(),
            DataType::Int8 => "TINYINT".to_owned(),
            DataType::Int16 => "SMALLINT".to_owned(),
            DataType::Int32 => "INT".to_owned(),
            DataType::Int64 => "BIGINT".to_owned(),
            DataType::Float32 => "FLOAT".to_owned(),
            DataType::Float64 => "DOUBLE".to_owned(),
            DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
            DataType::Utf8 => "STRING".to_owned(),
            DataType::Binary => "BYTES".to_owned(),
            DataType::Date32 => "DATE".to_owned(),
            DataType::Time32(_) | DataType::Time64(_) => "TIME".to_owned(),
            DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
            DataType::Timestamp(_, Some(_)) => "TIMESTAMP_LTZ".to_owned(),
            DataType::List(_) => "ARRAY".to_owned(),
            DataType::Map(..) => "MAP".to_owned(),
            DataType::Struct(_) => "ROW".to_owned(),
            other => other.to_string(),
        }
    }

    /// Number of rows so far.
    pub(crate) fn len(&self) -> usize {
        use arrow::array::builder::ArrayBuilder;
        match &self.data {
            Data::Null(rows) => *rows,
            Data::Bool(values) => values.len(),
            Data::I8(values) => values.len(),
            Data::I16(values) => values.len(),
            Data::I32(values) | Data::Date(values) | Data::Time32(_, values) => values.len(),
            Data::I64(values) | Data::Time64(_, values) | Data::Timestamp { values, .. } => values.len(),
            Data::U8(values) => values.len(),
            Data::U16(values) => values.len(),
            Data::U32(values) => values.len(),
            Data::U64(values) => values.len(),
            Data::F32(values) => values.len(),
            Data::F64(values) => values.len(),
            Data::Decimal { values, .. } => values.len(),
            Data::Text(values) => values.len(),
            Data::Bytes(values) => values.len(),
            Data::List { lengths, .. } | Data::Map { lengths, .. } => lengths.valid.len(),
            Data::Row { valid, .. } => valid.len(),
        }
    }

    /// Appends a NULL.
    pub(crate) fn append_null(&mut self) {
        match &mut self.data {
            Data::Null(rows) => *rows += 1,
            Data::Bool(values) => values.append_null(),
            Data::I8(values) => values.append_null(),
            Data::I16(values) => values.append_null(),
            Data::I32(values) | Data::Date(values) | Data::Time32(_, values) => values.append_null(),
            Data::I64(values) | Data::Time64(_, values) | Data::Timestamp { values, .. } => values.append_null(),
            Data::U8(values) => values.append_null(),
            Data::U16(values) => values.append_null(),
            Data::U32(values) => values.append_null(),
            Data::U64(values) => values.append_null(),
            Data::F32(values) => values.append_null(),
            Data::F64(values) => values.append_null(),
            Data::Decimal { values, .. } => values.append_null(),
            Data::Text(values) => values.append_null(),
            Data::Bytes(values) => values.append_null(),
            Data::List { item, lengths } => lengths.push(item.len(), false),
            Data::Map { key, lengths, .. } => lengths.push(key.len(), false),
            Data::Row { children, valid, .. } => {
                children.iter_mut().for_each(Self::append_null);
                valid.push(false);
            }
        }
    }

    /// Ends a nested value whose parts were appended but which is NULL itself.
    pub(crate) fn close_null(&mut self) {
        self.close_nested();
        match &mut self.data {
            Data::List { lengths, .. } | Data::Map { lengths, .. } => lengths.void_last(),
            Data::Row { valid, .. } => {
                if let Some(last) = valid.last_mut() {
                    *last = false;
                }
            }
            _ => {}
        }
    }

    /// Ends a nested value whose parts were appended: rows get NULL for the fields that did not come.
    pub(crate) fn close_nested(&mut self) {
        match &mut self.data {
            Data::List { item, lengths } => lengths.push(item.len(), true),
            Data::Map { key, value, lengths } => {
                while value.len() < key.len() {
                    value.append_null();
                }
                lengths.push(key.len(), true);
            }
            Data::Row { children, valid, .. } => {
                valid.push(true);
                for child in children {
                    if child.len() < valid.len() {
                        child.append_null();
                    }
                }
            }
            _ => {}
        }
    }

    /// Appends the value that `text` stands for in this column's type; `false`, and nothing appended, if it is none.
    ///
    /// Rules as in Flink's formats: a BOOLEAN is TRUE for `true` in any case and otherwise FALSE; a DECIMAL is rounded
    /// half up and NULL on overflow; a TIMESTAMP is `yyyy-MM-dd HH:mm:ss[.f]`, a TIMESTAMP_LTZ has a `Z` behind it.
    pub(crate) fn append_text(&mut self, text: &str) -> bool {
        let bytes = text.as_bytes();
        macro_rules! append {
            ($values:expr, $value:expr) => {
                match $value {
                    Some(value) => {
                        $values.append_value(value);
                        true
                    }
                    None => false,
                }
            };
        }
        macro_rules! integer {
            ($values:expr) => {
                append!($values, parse_integer(bytes.trim_ascii()).and_then(|number| number.try_into().ok()))
            };
        }
        match &mut self.data {
            Data::Text(values) => {
                values.append_value(text);
                true
            }
            Data::Timestamp { values, unit, instant } => append!(values, parse_timestamp(bytes, *unit, *instant)),
            Data::Bool(values) => {
                values.append_value(text.trim().eq_ignore_ascii_case("true"));
                true
            }
            Data::I8(values) => integer!(values),
            Data::I16(values) => integer!(values),
            Data::I32(values) => integer!(values),
            Data::I64(values) => append!(values, parse_integer(bytes.trim_ascii())),
            Data::U8(values) => integer!(values),
            Data::U16(values) => integer!(values),
            Data::U32(values) => integer!(values),
            Data::U64(values) => append!(values, text.trim().parse().ok()),
            Data::F32(values) => append!(values, parse_float(text.trim())),
            Data::F64(values) => append!(values, parse_float(text.trim())),
            Data::Decimal { values, precision, scale } => {
                match parse_decimal(bytes.trim_ascii(), *precision, *scale) {
                    Decimal::Value(value) => values.append_value(value),
                    Decimal::Overflow => values.append_null(),
                    Decimal::Invalid => return false,
                }
                true
            }
            Data::Date(values) => append!(values, parse_date(bytes).and_then(|days| days.try_into().ok())),
            Data::Time32(unit, values) => {
                append!(values, parse_time_in(bytes, *unit).and_then(|time| time.try_into().ok()))
            }
            Data::Time64(unit, values) => append!(values, parse_time_in(bytes, *unit)),
            Data::Bytes(_) | Data::Null(_) | Data::List { .. } | Data::Map { .. } | Data::Row { .. } => false,
        }
    }

    /// The column so far, which begins again empty. Fails with [`headwater_change::ErrorKind::Bug`] when its parts do
    /// not fit together.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        let array: ArrayRef = match &mut self.data {
            Data::Null(rows) => Arc::new(NullArray::new(std::mem::take(rows))),
            Data::Bool(values) => Arc::new(values.finish()),
            Data::I8(values) => Arc::new(values.finish()),
            Data::I16(values) => Arc::new(values.finish()),
            Data::I32(values) | Data::Date(values) | Data::Time32(_, values) => Arc::new(values.finish()),
            Data::I64(values) | Data::Time64(_, values) | Data::Timestamp { values, .. } => Arc::new(values.finish()),
            Data::U8(values) => Arc::new(values.finish()),
            Data::U16(values) => Arc::new(values.finish()),
            Data::U32(values) => Arc::new(values.finish()),
            Data::U64(values) => Arc::new(values.finish()),
            Data::F32(values) => Arc::new(values.finish()),
            Data::F64(values) => Arc::new(values.finish()),
            Data::Decimal { values, .. } => Arc::new(values.finish()),
            Data::Text(values) => Arc::new(values.finish()),
            Data::Bytes(values) => Arc::new(values.finish()),
            Data::List { .. } | Data::Map { .. } | Data::Row { .. } => return self.finish_nested(),
        };
        if *array.data_type() == self.data_type {
            return Ok(array);
        }
        let data = array.to_data().into_builder().data_type(self.data_type.clone()).build().map_err(wrong_parts)?;
        Ok(make_array(data))
    }

    fn finish_nested(&mut self) -> Result<ArrayRef> {
        match (&mut self.data, &self.data_type) {
            (Data::List { item, lengths }, DataType::List(field)) => {
                let (offsets, nulls) = lengths.finish();
                let list = ListArray::try_new(Arc::clone(field), offsets, item.finish()?, nulls);
                Ok(Arc::new(list.map_err(wrong_parts)?))
            }
            (Data::Map { key, value, lengths }, DataType::Map(entries, ordered)) => {
                let DataType::Struct(fields) = entries.data_type() else { return Err(unsupported(&self.data_type)) };
                let (offsets, nulls) = lengths.finish();
                let rows = StructArray::try_new(fields.clone(), vec![key.finish()?, value.finish()?], None);
                let map = MapArray::try_new(Arc::clone(entries), offsets, rows.map_err(wrong_parts)?, nulls, *ordered);
                Ok(Arc::new(map.map_err(wrong_parts)?))
            }
            (Data::Row { names, children, valid }, _) => {
                let (rows, nulls) = (valid.len(), nulls(valid));
                let columns = children.iter_mut().map(Self::finish).collect::<Result<Vec<_>>>()?;
                let array = StructArray::try_new_with_length(names.clone(), columns, nulls, rows);
                Ok(Arc::new(array.map_err(wrong_parts)?))
            }
            _ => Err(unsupported(&self.data_type)),
        }
    }
}

/// The key and the value of a map's entries.
pub(crate) fn map_fields(entries: &Field) -> Option<(&FieldRef, &FieldRef)> {
    match entries.data_type() {
        DataType::Struct(fields) => Some((fields.first()?, fields.get(1)?)),
        _ => None,
    }
}

fn unsupported(data_type: &DataType) -> Error {
    Error::usage("format.type", format!("a column of the type {data_type} cannot be read from text"))
        .hint("declare the column as STRING and CAST it in the query")
}

fn wrong_parts(error: arrow::error::ArrowError) -> Error {
    Error::bug("format.column", "the parts of a decoded column do not fit together").caused_by(error)
}
