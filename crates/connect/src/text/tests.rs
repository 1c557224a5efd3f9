use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int8Array, Int32Array, IntervalDayTimeArray, IntervalYearMonthArray, RecordBatch, StringArray,
    Time32MillisecondArray, Time32SecondArray, Time64NanosecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampSecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, IntervalDayTime};
use headwater_change::Op;
use proptest::prelude::*;

use super::{CastText, PrintText, TimeZone, write_double, write_float};
use crate::column::Column;
use crate::values::{self, Value, append};

fn cast_in(zone: &str, column: impl Array) -> String {
    let mut out = String::new();
    CastText::new(TimeZone::parse(zone).expect("zone")).write(&column, 0, &mut out).expect("text");
    out
}

fn cast(column: impl Array) -> String {
    cast_in("UTC", column)
}

fn print(column: impl Array) -> String {
    let mut out = String::new();
    PrintText::default().write(&column, 0, &mut out).expect("text");
    out
}

fn double(value: f64) -> String {
    let mut out = String::new();
    write_double(value, &mut out);
    out
}

/// Nested columns by way of the tests' values.
fn nested(kind: &DataType, value: &Value) -> ArrayRef {
    let mut column = Column::new(kind).expect("type");
    append(&mut column, value);
    column.finish().expect("column")
}

#[test]
fn doubles_look_as_in_java() {
    let expected = [
        (1e7, "1.0E7"),
        (9_999_999.0, "9999999.0"),
        (1e-3, "0.001"),
        (9.99e-4, "9.99E-4"),
        (1e-4, "1.0E-4"),
        (1e16, "1.0E16"),
        (1.5, "1.5"),
        (100.0, "100.0"),
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (123_456.789, "123456.789"),
        (-12_345_678.9, "-1.23456789E7"),
        (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
        (f64::MAX, "1.7976931348623157E308"),
        (5e-324, "4.9E-324"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
        (std::f64::consts::PI, "3.141592653589793"),
        (2e-3, "0.002"),
        (1e21, "1.0E21"),
        (1e23, "1.0E23"),
    ];
    for (value, text) in expected {
        assert_eq!(double(value), text);
    }
}

#[test]
fn floats_look_as_in_java() {
    let expected =
        [(3.4e18_f32, "3.4E18"), (1.1, "1.1"), (1e7, "1.0E7"), (1.4e-45, "1.4E-45"), (f32::MAX, "3.4028235E38")];
    for (value, text) in expected {
        let mut out = String::new();
        write_float(value, &mut out);
        assert_eq!(out, text);
    }
}

#[test]
fn casts_give_the_texts_of_flink() {
    assert_eq!(cast(BooleanArray::from(vec![true])), "TRUE");
    assert_eq!(cast(BooleanArray::from(vec![false])), "FALSE");
    assert_eq!(cast(Int8Array::from(vec![-7])), "-7");
    assert_eq!(cast(Float32Array::from(vec![1.5])), "1.5");
    assert_eq!(cast(Float64Array::from(vec![1e7])), "1.0E7");
    assert_eq!(cast(StringArray::from(vec!["a b"])), "a b");
    assert_eq!(cast(StringArray::from(vec![None::<&str>])), "NULL");
    assert_eq!(cast(BinaryArray::from_vec(vec![&[0x0a, 0xff]])), "x'0aff'");
    let decimal = |value, scale| Decimal128Array::from(vec![value]).with_precision_and_scale(20, scale).expect("scale");
    assert_eq!(cast(decimal(-5, 2)), "-0.05");
    assert_eq!(cast(decimal(12_300, 2)), "123.00");
    assert_eq!(cast(decimal(123, 0)), "123");
    assert_eq!(cast(Date32Array::from(vec![19_838])), "2024-04-25");
    assert_eq!(cast(Date32Array::from(vec![-1])), "1969-12-31");
    assert_eq!(cast(Date32Array::from(vec![19_782])), "2024-02-29");
    let dictionary: DictionaryArray<Int32Type> = vec!["DE", "FR"].into_iter().collect();
    assert_eq!(cast(dictionary), "DE");
}

#[test]
fn times_have_the_digits_of_their_unit() {
    assert_eq!(cast(Time32SecondArray::from(vec![36_672])), "10:11:12");
    assert_eq!(cast(Time32MillisecondArray::from(vec![36_672_120])), "10:11:12.120");
    assert_eq!(cast(Time64NanosecondArray::from(vec![1])), "00:00:00.000000001");
    assert_eq!(cast(TimestampSecondArray::from(vec![1_714_039_200])), "2024-04-25 10:00:00");
    assert_eq!(cast(TimestampMillisecondArray::from(vec![1_714_039_200_000])), "2024-04-25 10:00:00.000");
    assert_eq!(cast(TimestampMicrosecondArray::from(vec![-1])), "1969-12-31 23:59:59.999999");
}

#[test]
fn instants_are_shown_in_the_sessions_time_zone() {
    let instant = || TimestampSecondArray::from(vec![1_714_039_200]).with_timezone("UTC");
    assert_eq!(cast_in("UTC", instant()), "2024-04-25 10:00:00");
    assert_eq!(cast_in("+05:30", instant()), "2024-04-25 15:30:00");
    assert_eq!(cast_in("GMT-11", instant()), "2024-04-24 23:00:00");
    assert_eq!(cast_in("Europe/Berlin", instant()), "2024-04-25 12:00:00");
    let winter = TimestampSecondArray::from(vec![1_706_000_000]).with_timezone("UTC");
    assert_eq!(cast_in("Europe/Berlin", winter), "2024-01-23 09:53:20");
    let local = TimestampSecondArray::from(vec![1_714_039_200]);
    assert_eq!(cast_in("Europe/Berlin", local), "2024-04-25 10:00:00");
    for wrong in ["Mars/Olympus", "+99", "", "+5:99"] {
        assert_eq!(TimeZone::parse(wrong).expect_err(wrong).code(), "option.time_zone");
    }
}

#[test]
fn nested_values_have_brackets_of_their_own() {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    assert_eq!(cast(nested(&list, &Value::Many(vec![Value::Int(1), Value::Null]))), "[1, NULL]");
    let map = values::map(DataType::Utf8, DataType::Int32);
    let pairs = Value::Pairs(vec![("a".to_owned(), Value::Int(1)), ("b".to_owned(), Value::Null)]);
    assert_eq!(cast(nested(&map, &pairs)), "{a=1, b=NULL}");
    assert_eq!(print(nested(&map, &pairs)), "{a=1, b=null}");
    let row =
        DataType::Struct(vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)].into());
    assert_eq!(cast(nested(&row, &Value::Many(vec![Value::Int(7), Value::Null]))), "(7, NULL)");
    assert_eq!(print(nested(&row, &Value::Many(vec![Value::Int(7), Value::Null]))), "+I[7, null]");
}

#[test]
fn intervals_have_a_sign_and_two_kinds() {
    let days = |days, millis| IntervalDayTimeArray::from(vec![IntervalDayTime::new(days, millis)]);
    assert_eq!(cast(days(1, 0)), "+1 00:00:00.000");
    assert_eq!(cast(days(0, -3_723_004)), "-0 01:02:03.004");
    assert_eq!(cast(IntervalYearMonthArray::from(vec![18])), "+1-06");
    assert_eq!(print(days(1, 1_500)), "PT24H1.5S");
    assert_eq!(print(days(0, 0)), "PT0S");
    assert_eq!(print(IntervalYearMonthArray::from(vec![18])), "P1Y6M");
}

#[test]
fn print_uses_the_texts_of_java() {
    assert_eq!(print(BooleanArray::from(vec![true])), "true");
    assert_eq!(print(BinaryArray::from_vec(vec![&[10, 255]])), "[10, -1]");
    assert_eq!(print(TimestampSecondArray::from(vec![1_714_039_200])), "2024-04-25T10:00");
    assert_eq!(print(TimestampSecondArray::from(vec![1_714_039_210])), "2024-04-25T10:00:10");
    assert_eq!(print(TimestampMicrosecondArray::from(vec![1_714_039_200_000_100])), "2024-04-25T10:00:00.000100");
    assert_eq!(
        print(TimestampMillisecondArray::from(vec![1_714_039_200_120]).with_timezone("UTC")),
        "2024-04-25T10:00:00.120Z"
    );
    assert_eq!(print(TimestampSecondArray::from(vec![1_714_039_200]).with_timezone("UTC")), "2024-04-25T10:00:00Z");
    assert_eq!(print(Time32SecondArray::from(vec![36_660])), "10:11");
}

#[test]
fn a_printed_row_has_its_kind_in_front() {
    let batch = RecordBatch::try_from_iter([
        ("a", Arc::new(StringArray::from(vec![None::<&str>])) as ArrayRef),
        ("b", Arc::new(Int32Array::from(vec![1]))),
    ]);
    let mut out = String::new();
    PrintText::default().row(Op::Delete, &batch.expect("batch"), 0, &mut out).expect("text");
    assert_eq!(out, "-D[null, 1]");
}

proptest! {
    #[test]
    fn law_texts_of_doubles_read_back_as_the_same_number(value in any::<f64>()) {
        prop_assert_eq!(double(value).parse::<f64>().expect("number").to_bits(), value.to_bits());
    }

    #[test]
    fn law_texts_of_floats_read_back_as_the_same_number(value in any::<f32>()) {
        let mut out = String::new();
        write_float(value, &mut out);
        prop_assert_eq!(out.parse::<f32>().expect("number").to_bits(), value.to_bits());
    }

    #[test]
    fn dates_agree_with_chrono(days in -700_000_i32..2_900_000) {
        let date = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).expect("date") + chrono::TimeDelta::days(days.into());
        prop_assert_eq!(cast(Date32Array::from(vec![days])), date.format("%Y-%m-%d").to_string());
    }

    #[test]
    fn every_type_of_a_table_has_both_texts(batch in values::batches(values::json_types())) {
        let mut out = String::new();
        for row in 0..batch.num_rows() {
            for column in batch.columns() {
                prop_assert!(CastText::new(TimeZone::UTC).write(column, row, &mut out).is_ok());
            }
            prop_assert!(PrintText::default().row(Op::Insert, &batch, row, &mut out).is_ok());
        }
    }
}
