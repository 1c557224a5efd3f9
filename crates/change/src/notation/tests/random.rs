//! Random schemas over every type of the notation, and random values in them.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;
use proptest::prelude::*;

use super::table;
use crate::{ChangeBatch, Op};

/// A small generator of its own (splitmix64), so that a case is told by its seed alone.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Small numbers, the ends of every width, and anything.
    fn wide(&mut self) -> i128 {
        let ends = [0, 1, -1, i128::MIN, i128::MAX, i64::MIN.into(), i64::MAX.into(), i32::MIN.into(), i32::MAX.into()];
        match self.below(4) {
            0 => ends[usize::try_from(self.below(9)).expect("small")],
            1 => i128::from(self.below(2_000)) - 1_000,
            _ => (i128::from(self.next()) << 64) | i128::from(self.next()),
        }
    }

    fn float(&mut self) -> f64 {
        match self.below(6) {
            0 => f64::NAN,
            1 => -0.0,
            2 => f64::NEG_INFINITY,
            3 => self.wide() as f64 / 1_000.0,
            // Any bits, but only one NaN: the notation does not carry its payload.
            _ => Some(f64::from_bits(self.next())).filter(|value| !value.is_nan()).unwrap_or(f64::INFINITY),
        }
    }

    fn text(&mut self) -> String {
        let alphabet: Vec<char> = "ab null|\"'\\/\n\r\t\u{0}\u{7f}\u{85}\u{2028}ü中😀!,:(){}[]<>#".chars().collect();
        let length = self.below(8);
        (0..length).map(|_| alphabet[usize::try_from(self.below(alphabet.len() as u64)).expect("small")]).collect()
    }

    fn nulls(&mut self, nullable: bool, length: usize) -> Option<NullBuffer> {
        let nulls = NullBuffer::from_iter((0..length).map(|_| !nullable || self.below(4) > 0));
        (nulls.null_count() > 0).then_some(nulls)
    }

    fn offsets(&mut self, nulls: Option<&NullBuffer>, length: usize) -> OffsetBuffer<i32> {
        OffsetBuffer::from_lengths((0..length).map(|i| {
            let items = usize::try_from(self.below(4)).expect("small");
            if nulls.is_some_and(|nulls| nulls.is_null(i)) { 0 } else { items }
        }))
    }

    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        of: &DataType,
        nulls: Option<NullBuffer>,
        length: usize,
        native: impl Fn(&mut Self) -> T::Native,
    ) -> ArrayRef {
        let values: Vec<T::Native> = (0..length).map(|_| native(self)).collect();
        Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls).with_data_type(of.clone()))
    }

    fn array(&mut self, of: &DataType, nullable: bool, length: usize) -> ArrayRef {
        let nulls = self.nulls(nullable, length);
        macro_rules! number {
            ($type:ty) => {
                self.primitive::<$type>(of, nulls, length, |random| random.wide() as _)
            };
        }
        use TimeUnit::{Microsecond, Millisecond, Second};
        match of {
            DataType::Null => Arc::new(NullArray::new(length)),
            DataType::Boolean => Arc::new(BooleanArray::new((0..length).map(|_| self.below(2) == 0).collect(), nulls)),
            DataType::Int8 => number!(Int8Type),
            DataType::Int16 => number!(Int16Type),
            DataType::Int32 => number!(Int32Type),
            DataType::Int64 => number!(Int64Type),
            DataType::UInt8 => number!(UInt8Type),
            DataType::UInt16 => number!(UInt16Type),
            DataType::UInt32 => number!(UInt32Type),
            DataType::UInt64 => number!(UInt64Type),
            DataType::Float32 => self.primitive::<Float32Type>(of, nulls, length, |random| random.float() as f32),
            DataType::Float64 => self.primitive::<Float64Type>(of, nulls, length, Self::float),
            DataType::Decimal128(..) => number!(Decimal128Type),
            DataType::Date32 => number!(Date32Type),
            DataType::Time32(Second) => number!(Time32SecondType),
            DataType::Time32(_) => number!(Time32MillisecondType),
            DataType::Time64(Microsecond) => number!(Time64MicrosecondType),
            DataType::Time64(_) => number!(Time64NanosecondType),
            DataType::Timestamp(Second, _) => number!(TimestampSecondType),
            DataType::Timestamp(Millisecond, _) => number!(TimestampMillisecondType),
            DataType::Timestamp(Microsecond, _) => number!(TimestampMicrosecondType),
            DataType::Timestamp(..) => number!(TimestampNanosecondType),
            DataType::Duration(Second) => number!(DurationSecondType),
            DataType::Duration(Millisecond) => number!(DurationMillisecondType),
            DataType::Duration(Microsecond) => number!(DurationMicrosecondType),
            DataType::Duration(_) => number!(DurationNanosecondType),
            DataType::Interval(IntervalUnit::YearMonth) => number!(IntervalYearMonthType),
            DataType::Interval(IntervalUnit::DayTime) => {
                self.primitive::<IntervalDayTimeType>(of, nulls, length, |random| {
                    IntervalDayTime::new(random.wide() as i32, random.wide() as i32)
                })
            }
            DataType::Interval(_) => self.primitive::<IntervalMonthDayNanoType>(of, nulls, length, |random| {
                IntervalMonthDayNano::new(random.wide() as i32, random.wide() as i32, random.wide() as i64)
            }),
            DataType::Utf8 => {
                let present = |i| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(i));
                Arc::new(StringArray::from_iter((0..length).map(|i| present(i).then(|| self.text()))))
            }
            DataType::Binary => {
                let present = |i| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(i));
                Arc::new(BinaryArray::from_iter((0..length).map(|i| present(i).then(|| self.text()))))
            }
            DataType::List(item) => {
                let offsets = self.offsets(nulls.as_ref(), length);
                let items = self.array(item.data_type(), item.is_nullable(), items_in(&offsets));
                Arc::new(ListArray::new(Arc::clone(item), offsets, items, nulls))
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else { panic!("entries are a struct") };
                let offsets = self.offsets(nulls.as_ref(), length);
                let columns = self.columns(fields, items_in(&offsets));
                let items = StructArray::new(fields.clone(), columns, None);
                Arc::new(MapArray::new(Arc::clone(entries), offsets, items, nulls, false))
            }
            DataType::Struct(fields) => {
                let columns = self.columns(fields, length);
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, length).expect("fits"))
            }
            other => panic!("{other} is not in the notation"),
        }
    }

    fn columns(&mut self, fields: &Fields, length: usize) -> Vec<ArrayRef> {
        fields.iter().map(|field| self.array(field.data_type(), field.is_nullable(), length)).collect()
    }
}

fn items_in(offsets: &OffsetBuffer<i32>) -> usize {
    usize::try_from(*offsets.last().expect("never empty")).expect("not negative")
}

fn flat_type() -> impl Strategy<Value = DataType> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let unit = || prop::sample::select(vec![Second, Millisecond, Microsecond, Nanosecond]);
    let zone = prop::sample::select(vec![None, None, Some("UTC"), Some("+01:00"), Some("Europe/Berlin")]);
    prop_oneof![
        4 => prop::sample::select(vec![
            DataType::Boolean, DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64, DataType::UInt8,
            DataType::UInt16, DataType::UInt32, DataType::UInt64, DataType::Float32, DataType::Float64, DataType::Utf8,
            DataType::Binary, DataType::Date32, DataType::Null, DataType::Time32(Second), DataType::Time32(Millisecond),
            DataType::Time64(Microsecond), DataType::Time64(Nanosecond), DataType::Interval(IntervalUnit::YearMonth),
            DataType::Interval(IntervalUnit::DayTime), DataType::Interval(IntervalUnit::MonthDayNano),
        ]),
        1 => (1..=38_u8, -5..=38_i8).prop_map(|(p, s)| DataType::Decimal128(p, s.min(i8::try_from(p).expect("small")))),
        1 => (unit(), zone).prop_map(|(unit, zone)| DataType::Timestamp(unit, zone.map(Into::into))),
        1 => unit().prop_map(DataType::Duration),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z_][a-z0-9_]{0,5}", 1 => "[ a|!\"\\\\\n,<(é中]{0,4}"]
}

/// A named field; those that can only be null are never marked otherwise.
fn field_of(data_type: impl Strategy<Value = DataType>) -> impl Strategy<Value = Field> {
    (name(), data_type, any::<bool>()).prop_map(|(name, data_type, nullable)| {
        let nullable = nullable || data_type == DataType::Null;
        Field::new(name, data_type, nullable)
    })
}

fn any_type() -> impl Strategy<Value = DataType> {
    flat_type().prop_recursive(3, 12, 3, |inner| {
        let inner = inner.boxed();
        let key = inner.clone().prop_filter("a key is never null", |key| *key != DataType::Null);
        prop_oneof![
            (field_of(inner.clone()), any::<bool>()).prop_map(|(item, usual)| {
                DataType::List(Arc::new(if usual { item.with_name("item") } else { item }))
            }),
            (name(), name(), key, field_of(inner.clone()), any::<bool>()).prop_map(
                |(entries, k, key, value, usual)| {
                    let [entries, k] = if usual { ["entries".into(), "key".into()] } else { [entries, k] };
                    let value = if usual { value.with_name("value") } else { value };
                    let fields: Fields = vec![Field::new(k, key, false), value].into();
                    DataType::Map(Arc::new(Field::new(entries, DataType::Struct(fields), false)), false)
                }
            ),
            prop::collection::vec(field_of(inner), 0..4).prop_map(|fields| DataType::Struct(fields.into())),
        ]
    })
}

/// A batch of up to four columns and five rows.
pub(super) fn any_batch() -> impl Strategy<Value = ChangeBatch> {
    let schema = prop::collection::vec(field_of(any_type()), 0..5).prop_map(|fields| Arc::new(Schema::new(fields)));
    (schema, 0..6_usize, any::<u64>(), any::<bool>()).prop_map(|(schema, length, seed, append)| {
        let mut random = Random(seed);
        let columns = random.columns(schema.fields(), length);
        let options = RecordBatchOptions::new().with_row_count(Some(length));
        let rows = RecordBatch::try_new_with_options(schema, columns, &options).expect("generated to fit");
        let ops: Vec<Op> = (0..length).map(|_| Op::ALL[usize::try_from(random.below(4)).expect("small")]).collect();
        // Ops that are all +I are written as an append-only batch is.
        if append || ops.iter().all(|op| *op == Op::Insert) {
            ChangeBatch::insert_only(table(), rows)
        } else {
            ChangeBatch::new(table(), rows, ops).expect("one op per row")
        }
    })
}
