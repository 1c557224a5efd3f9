use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{
    DataType, Field, Float64Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMillisecondType,
};
use headwater_change::{ManualClock, Options, Position, Read, Reader, Source, TableId, TableRequest};

use super::OPTIONS;
use super::config::build;
use crate::values;

const NOW: Duration = Duration::ZERO;

fn request(fields: Vec<Field>, options: &[(&str, &str)]) -> TableRequest {
    TableRequest {
        table: TableId::bare("t"),
        schema: Arc::new(Schema::new(fields)),
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        conditions: vec![],
        first: None,
        options: Options::check("datagen", OPTIONS, options.iter().copied()).expect("options"),
        threads: 1,
    }
}

fn field(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}

/// All rows of a bounded table whose rate is no limit, in batches of about `budget` bytes.
fn all(request: &TableRequest, from: &[Position], budget: usize) -> RecordBatch {
    let clock = Arc::new(ManualClock::new(0));
    let mut source = build(request.clone()).expect("source");
    source.clock = Arc::clone(&clock) as _;
    let mut reader = source.open(from).expect("open");
    let mut batches = Vec::new();
    loop {
        match reader.next(budget, NOW).expect("read") {
            Read::Rows(batch) => batches.push(batch.rows().clone()),
            Read::Idle(_) => clock.set(1_000_000_000),
            Read::End => return concat_batches(&request.schema, &batches).expect("rows"),
            Read::Schema(_) => panic!("no schema changes here"),
        }
    }
}

#[test]
fn a_sequence_counts_from_start_to_end_and_ends_the_table() {
    let options = [("fields.id.kind", "sequence"), ("fields.id.start", "5"), ("fields.id.end", "9")];
    let rows = all(&request(vec![field("id", DataType::Int32)], &options), &[], 1 << 20);
    assert_eq!(rows.column(0).as_primitive::<Int32Type>().values(), &[5, 6, 7, 8, 9]);
    // Also when the query uses another column only.
    let rows = all(&request(vec![field("x", DataType::Int32)], &options), &[], 1 << 20);
    assert_eq!(rows.num_rows(), 5);
}

#[test]
fn law_a_restart_is_invisible_and_so_are_budgets_and_columns_left_out() {
    let fields: Vec<Field> = values::scalar_types()
        .into_iter()
        .filter(|kind| !kind.is_temporal())
        .enumerate()
        .map(|(index, kind)| field(&format!("c{index}"), kind))
        .collect();
    let options =
        [("number-of-rows", "50"), ("seed", "7"), ("fields.c11.var-len", "true"), ("fields.c1.null-rate", "0.5")];
    let whole = request(fields.clone(), &options);
    let rows = all(&whole, &[], 1 << 20);
    assert_eq!(rows.num_rows(), 50);
    assert_eq!(all(&whole, &[], 1), rows);
    for taken in [1, 17, 50] {
        let rest = all(&whole, &[Position::new("datagen", taken.to_string(), taken)], 1 << 20);
        let taken = usize::try_from(taken).expect("small");
        assert_eq!(rest, rows.slice(taken, 50 - taken));
    }
    let alone = all(&request(vec![fields[4].clone()], &options), &[], 1 << 20);
    assert_eq!(alone.column(0), rows.column(4));
    let nulls = rows.column(1).null_count();
    assert!(nulls > 5 && nulls < 45, "{nulls} of 50 are NULL");
    let other = all(&request(fields, &[("number-of-rows", "50"), ("seed", "8")]), &[], 1 << 20);
    assert_ne!(other.column(4), rows.column(4));
}

#[test]
fn random_numbers_keep_their_bounds_and_reach_them() {
    let options = [
        ("number-of-rows", "1000"),
        ("fields.n.min", "-2"),
        ("fields.n.max", "2"),
        ("fields.f.min", "1"),
        ("fields.f.max", "2"),
        ("fields.s.length", "6"),
        ("fields.v.length", "6"),
        ("fields.v.var-len", "true"),
    ];
    let fields = vec![
        field("n", DataType::Int64),
        field("f", DataType::Float64),
        field("s", DataType::Utf8),
        field("v", DataType::Utf8),
    ];
    let rows = all(&request(fields, &options), &[], 1 << 20);
    let numbers = rows.column(0).as_primitive::<Int64Type>().values();
    assert!((-2..=2).all(|n| numbers.contains(&n)) && numbers.iter().all(|n| (-2..=2).contains(n)));
    assert!(rows.column(1).as_primitive::<Float64Type>().values().iter().all(|f| (1.0..2.0).contains(f)));
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(rows.column(2).as_string::<i32>().iter().flatten().all(|text| text.len() == 6 && hex(text)));
    let lengths: Vec<usize> = rows.column(3).as_string::<i32>().iter().flatten().map(str::len).collect();
    assert!((0..=6).all(|length| lengths.contains(&length)) && lengths.iter().all(|length| *length <= 6));
}

#[test]
fn the_rate_decides_how_many_rows_there_are_by_now() {
    let clock = Arc::new(ManualClock::new(5_000));
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let mut source = build(request(vec![field("t", time)], &[("rows-per-second", "10")])).expect("source");
    source.clock = Arc::clone(&clock) as _;
    assert!(!source.describe().bounded);
    let mut reader = source.open(&[]).expect("open");
    let rows = |reader: &mut dyn Reader| match reader.next(1 << 20, NOW).expect("read") {
        Read::Rows(batch) => Some(batch.rows().clone()),
        _ => None,
    };
    let first = rows(reader.as_mut()).expect("the first row comes at once");
    assert_eq!(first.column(0).as_primitive::<TimestampMillisecondType>().values(), &[5_000], "a time is now");
    assert!(rows(reader.as_mut()).is_none());
    clock.set(5_099);
    assert!(rows(reader.as_mut()).is_none());
    clock.set(5_300);
    assert_eq!(rows(reader.as_mut()).expect("three rows").num_rows(), 3);
    assert!(rows(reader.as_mut()).is_none());
}

#[test]
fn times_lie_between_now_and_the_past() {
    let clock = Arc::new(ManualClock::new(1_000_000));
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let options = [("fields.t.max-past", "10 s")];
    let mut source = build(request(vec![field("t", time)], &options)).expect("source");
    source.clock = Arc::clone(&clock) as _;
    let mut reader = source.open(&[]).expect("open");
    reader.next(1 << 20, NOW).expect("first row");
    clock.set(1_020_000);
    let Read::Rows(batch) = reader.next(1 << 20, NOW).expect("rows") else { panic!("rows are due") };
    let times = batch.rows().column(0).as_primitive::<TimestampMillisecondType>().values().to_vec();
    assert!(times.len() > 1000 && times.iter().all(|time| (1_010_000..=1_020_000).contains(time)));
    assert!(times.iter().any(|time| *time < 1_012_000) && times.iter().any(|time| *time > 1_018_000));
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let refused = |kind: DataType, options: &[(&'static str, &'static str)]| {
        build(request(vec![field("c", kind)], options)).map(|_| ()).expect_err("refused").code()
    };
    assert_eq!(refused(DataType::Int32, &[("rows-per-second", "0")]), "option.value");
    assert_eq!(refused(DataType::Int32, &[("fields.c.kind", "sequence")]), "option.value");
    assert_eq!(refused(DataType::Int8, &[("fields.c.max", "300")]), "option.value");
    assert_eq!(refused(DataType::Int8, &[("fields.c.min", "5"), ("fields.c.max", "1")]), "option.value");
    assert_eq!(refused(DataType::Int32, &[("fields.c.null-rate", "2")]), "option.value");
    let sequence = [("fields.c.kind", "sequence"), ("fields.c.start", "1"), ("fields.c.end", "2")];
    assert_eq!(refused(DataType::Boolean, &sequence), "datagen.type");
    let nested = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    assert_eq!(refused(nested, &[]), "datagen.type");
}
