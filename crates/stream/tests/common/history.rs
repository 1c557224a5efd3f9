//! Random histories of one small table, and what its aggregates must be, computed row by row with plain maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int8Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_change::{ChangeBatch, Op, TableId};
use headwater_sql::{AggregateCall, AggregateFunction};
use proptest::prelude::*;

use super::{call, count};

/// A row: key, small integer, decimal in hundredths, float in quarters, text, flag, time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub k: Option<u8>,
    pub v: Option<i8>,
    pub d: Option<i16>,
    pub f: Option<i8>,
    pub s: Option<u8>,
    pub b: Option<bool>,
    pub ts: i64,
}

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("v", DataType::Int8, true),
        Field::new("d", DataType::Decimal128(10, 2), true),
        Field::new("f", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]))
}

fn text(number: Option<u8>) -> Option<String> {
    number.map(|number| "xyz".repeat(usize::from(number)))
}

/// The rows as one batch.
pub fn batch(history: &[(Op, Row)], append: bool) -> ChangeBatch {
    let rows = || history.iter().map(|(_, row)| row);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows().map(|row| text(row.k)).collect::<StringArray>()),
        Arc::new(rows().map(|row| row.v).collect::<Int8Array>()),
        Arc::new(
            rows()
                .map(|row| row.d.map(i128::from))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(10, 2)
                .expect("scale"),
        ),
        Arc::new(rows().map(|row| row.f.map(|f| f64::from(f) / 4.0)).collect::<Float64Array>()),
        Arc::new(rows().map(|row| text(row.s)).collect::<StringArray>()),
        Arc::new(rows().map(|row| row.b).collect::<BooleanArray>()),
        Arc::new(rows().map(|row| Some(row.ts)).collect::<TimestampMillisecondArray>()),
    ];
    let batch = RecordBatch::try_new(schema(), columns).expect("columns");
    let ops: Vec<Op> = history.iter().map(|(op, _)| *op).collect();
    if append {
        ChangeBatch::insert_only(TableId::bare("t"), batch)
    } else {
        ChangeBatch::new(TableId::bare("t"), batch, ops).expect("ops")
    }
}

fn row() -> impl Strategy<Value = Row> {
    let optional = |range: std::ops::Range<i8>| prop::option::weighted(0.8, range);
    (
        (prop::option::weighted(0.9, 0u8..6), optional(-3..4), prop::option::weighted(0.8, -999i16..1000)),
        (optional(-8..9), prop::option::weighted(0.8, 0u8..4), prop::option::of(any::<bool>()), -40i64..100),
    )
        .prop_map(|((k, v, d), (f, s, b, ts))| Row { k, v: v.map(|v| v * 40), d, f, s, b, ts })
}

/// Inserts, updates and deletes of rows that are there.
pub fn updating() -> impl Strategy<Value = Vec<(Op, Row)>> {
    prop::collection::vec((0u8..10, any::<prop::sample::Index>(), row()), 1..60).prop_map(|steps| {
        let (mut live, mut history): (Vec<Row>, Vec<(Op, Row)>) = (Vec::new(), Vec::new());
        for (what, which, new) in steps {
            if live.is_empty() || what < 4 {
                live.push(new.clone());
                history.push((Op::Insert, new));
            } else if what < 6 {
                let at = which.index(live.len());
                let old = std::mem::replace(&mut live[at], new.clone());
                history.extend([(Op::UpdateBefore, old), (Op::UpdateAfter, new)]);
            } else {
                let at = which.index(live.len());
                history.push((Op::Delete, live.swap_remove(at)));
            }
        }
        history
    })
}

/// Rows that only come, out of the order of their times.
pub fn appending() -> impl Strategy<Value = Vec<(Op, Row)>> {
    prop::collection::vec(row(), 1..40).prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(|(number, row)| (Op::Insert, Row { ts: row.ts + 5 * number as i64, ..row }))
            .collect()
    })
}

/// Every aggregate that there is.
pub fn calls() -> Vec<AggregateCall> {
    use AggregateFunction::{Avg, Count, Max, Min, Sum};
    let distinct = |call: AggregateCall| AggregateCall { distinct: true, ..call };
    vec![
        count(),
        call(Count, Some(1), DataType::Int64),
        AggregateCall { filter: Some(5), ..count() },
        call(Sum, Some(1), DataType::Int8),
        call(Avg, Some(1), DataType::Int8),
        call(Min, Some(1), DataType::Int8),
        call(Max, Some(1), DataType::Int8),
        distinct(call(Count, Some(1), DataType::Int64)),
        distinct(call(Sum, Some(1), DataType::Int8)),
        call(Sum, Some(2), DataType::Decimal128(38, 2)),
        call(Avg, Some(2), DataType::Decimal128(38, 6)),
        call(Max, Some(2), DataType::Decimal128(10, 2)),
        call(Sum, Some(3), DataType::Float64),
        call(Avg, Some(3), DataType::Float64),
        call(Min, Some(4), DataType::Utf8),
        call(Max, Some(4), DataType::Utf8),
        call(Min, Some(5), DataType::Boolean),
    ]
}

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

fn quoted(number: Option<u8>) -> String {
    shown(text(number).map(|text| format!("{text:?}")))
}

fn decimal(value: i128, scale: u32) -> String {
    let unit = 10i128.pow(scale);
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{:0width$}", value.abs() / unit, value.abs() % unit, width = scale as usize)
}

/// What `calls` give over rows of one group, as the notation prints it.
fn results(rows: &[&Row]) -> Vec<String> {
    let v: Vec<i8> = rows.iter().filter_map(|row| row.v).collect();
    let different: BTreeSet<i8> = v.iter().copied().collect();
    let d: Vec<i128> = rows.iter().filter_map(|row| row.d.map(i128::from)).collect();
    let f: Vec<f64> = rows.iter().filter_map(|row| row.f.map(|f| f64::from(f) / 4.0)).collect();
    let s = || rows.iter().filter_map(|row| row.s);
    let wrapped = |values: &mut dyn Iterator<Item = i8>| values.reduce(i8::wrapping_add);
    let mean = |d: &[i128]| {
        let (sum, count) = (d.iter().sum::<i128>() * 10_000, d.len() as i128);
        let half_up = (sum.abs() * 2 + count) / (count * 2);
        if sum < 0 { -half_up } else { half_up }
    };
    let floats = (!f.is_empty()).then(|| f.iter().sum::<f64>());
    vec![
        rows.len().to_string(),
        v.len().to_string(),
        rows.iter().filter(|row| row.b == Some(true)).count().to_string(),
        shown(wrapped(&mut v.iter().copied())),
        shown((!v.is_empty()).then(|| v.iter().map(|v| i64::from(*v)).sum::<i64>() / v.len() as i64)),
        shown(v.iter().min()),
        shown(v.iter().max()),
        different.len().to_string(),
        shown(wrapped(&mut different.iter().copied())),
        shown((!d.is_empty()).then(|| decimal(d.iter().sum(), 2))),
        shown((!d.is_empty()).then(|| decimal(mean(&d), 6))),
        shown(d.iter().max().map(|d| decimal(*d, 2))),
        shown(floats.map(|sum| format!("{:?}", sum + 0.0))),
        shown(floats.map(|sum| format!("{:?}", (sum + 0.0) / f.len() as f64))),
        quoted(s().min()),
        quoted(s().max()),
        shown(rows.iter().filter_map(|row| row.b).min()),
    ]
}

/// Law 1 for the grouped aggregate: over the rows that are left.
pub fn expected_groups(history: &[(Op, Row)]) -> Vec<String> {
    let mut live: BTreeMap<&Row, i64> = BTreeMap::new();
    for (op, row) in history {
        *live.entry(row).or_default() += op.weight();
    }
    let mut groups: BTreeMap<Option<u8>, Vec<&Row>> = BTreeMap::new();
    for (row, count) in live {
        (0..count).for_each(|_| groups.entry(row.k).or_default().push(row));
    }
    let mut lines: Vec<String> =
        groups.iter().map(|(k, rows)| format!("{} | {}", quoted(*k), results(rows).join(" | "))).collect();
    lines.sort();
    lines
}

/// Law 1 for windows of `size` milliseconds: row by row, as Flink decides on lateness. Lines without window bounds.
pub fn expected_windows(history: &[(Op, Row)], size: i64) -> (Vec<(i64, String)>, u64) {
    let (mut watermark, mut late) = (i64::MIN, 0);
    let mut groups: BTreeMap<(i64, Option<u8>), Vec<&Row>> = BTreeMap::new();
    for (_, row) in history {
        let end = row.ts.div_euclid(size) * size + size;
        if end - 1 <= watermark {
            late += 1;
        } else {
            groups.entry((end, row.k)).or_default().push(row);
        }
        watermark = watermark.max(row.ts);
    }
    let mut lines: Vec<(i64, String)> = groups
        .iter()
        .map(|((end, k), rows)| (*end, format!("{} | {}", quoted(*k), results(rows).join(" | "))))
        .collect();
    lines.sort();
    (lines, late)
}
