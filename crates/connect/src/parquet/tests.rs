//! What is written is read again, with wider types and missing columns, and what does not fit is told.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch,
    StringArray, Time32SecondArray, TimestampMicrosecondArray, TimestampSecondArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use headwater_change::Result;
use parquet::basic::Compression;

use super::read::{all, natural_of};
use super::{Encoder, Rows, fields};

fn rows() -> RecordBatch {
    let utc = TimestampMicrosecondArray::from(vec![Some(1), None, Some(-1)]).with_timezone("UTC");
    let price = Decimal128Array::from(vec![Some(12345), None, Some(-1)]).with_precision_and_scale(10, 2).unwrap();
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec![Some("ü"), None, Some("")]))),
        ("price", Arc::new(price)),
        ("day", Arc::new(Date32Array::from(vec![Some(0), None, Some(20_000)]))),
        ("at", Arc::new(utc)),
        ("wall", Arc::new(TimestampSecondArray::from(vec![Some(5), None, Some(-5)]))),
        ("clock", Arc::new(Time32SecondArray::from(vec![Some(1), None, Some(86_399)]))),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\0"[..]), None, Some(b"")]))),
        ("counter", Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(0)]))),
    ])
    .unwrap()
}

fn written(path: &Path, batches: &[RecordBatch]) {
    let file = File::create(path).unwrap();
    let mut encoder = Encoder::new(file, &batches[0].schema(), Compression::SNAPPY).unwrap();
    batches.iter().for_each(|batch| encoder.write(batch).unwrap());
    encoder.finish().unwrap();
}

fn read(path: &Path, wanted: Vec<Field>, skip: usize) -> Result<Vec<RecordBatch>> {
    all(Rows::open(File::open(path).unwrap(), path, &Arc::new(Schema::new(wanted)), skip)?)
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    written(&path, &[rows(), rows()]);
    let described = fields(File::open(&path).unwrap(), &path).unwrap();
    let names: Vec<&str> = described.iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "name", "price", "day", "at", "wall", "clock", "yes", "bytes", "counter"]);
    let found = read(&path, described.clone(), 0).unwrap();
    let found = arrow::compute::concat_batches(&found[0].schema(), &found).unwrap();
    assert_eq!(found.num_rows(), 6);
    for (index, field) in described.iter().enumerate() {
        let wanted = arrow::compute::cast(rows().column(index), field.data_type()).unwrap();
        assert_eq!(&found.column(index).slice(3, 3), &wanted, "{}", field.name());
    }
    let rest = read(&path, vec![Field::new("id", DataType::Int64, false)], 4).unwrap();
    assert_eq!(rest[0].column(0).as_ref(), &Int64Array::from(vec![2, 3]));
}

#[test]
fn columns_go_by_name_and_may_be_wider_or_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    written(&path, &[rows()]);
    let wanted = vec![
        Field::new("PRICE", DataType::Decimal128(12, 3), true),
        Field::new("nothing", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true),
    ];
    let found = read(&path, wanted, 0).unwrap();
    let price = Decimal128Array::from(vec![Some(123_450), None, Some(-10)]).with_precision_and_scale(12, 3).unwrap();
    assert_eq!(found[0].column(0).as_ref(), &price);
    assert_eq!(found[0].column(1).null_count(), 3);
    assert_eq!(read(&path, vec![], 0).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    for (name, narrower) in [
        ("id", DataType::Int16),
        ("id", DataType::Utf8),
        ("price", DataType::Decimal128(10, 1)),
        ("price", DataType::Decimal128(10, 3)),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        ("counter", DataType::Int32),
        ("name", DataType::Binary),
    ] {
        let error = read(&path, vec![Field::new(name, narrower.clone(), true)], 0).expect_err("narrower");
        assert_eq!(error.code(), "parquet.type", "{name} as {narrower}");
    }
    let missing = read(&path, vec![Field::new("nothing", DataType::Utf8, false)], 0).expect_err("missing");
    assert_eq!(missing.code(), "parquet.column");
    let null = read(&path, vec![Field::new("name", DataType::Utf8, false)], 0).expect_err("NULL");
    assert_eq!(null.code(), "parquet.file");
}

#[test]
fn files_that_are_not_whole_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    written(&path, &[rows()]);
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 4, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = read(&path, vec![Field::new("id", DataType::Int32, false)], 0).expect_err("cut");
        assert_eq!(error.code(), "parquet.file", "{length}");
    }
    assert_eq!(natural_of(&DataType::UInt64), Some(DataType::Decimal128(20, 0)));
    assert_eq!(natural_of(&DataType::Interval(arrow::datatypes::IntervalUnit::DayTime)), None);
}
