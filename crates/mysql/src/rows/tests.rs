//! Row images by example and at random.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use headwater_change::Op;
use proptest::prelude::*;

use super::build::{Builders, Policy};
use super::event::{Change, Feed, Plan, Trouble, decode_rows_event};
use super::table_map::TableMap;
use crate::client::Flavor;
use crate::schema::{Charset, Column, Kind, Wire, code};

const POLICY: Policy = Policy { zero_date_is_null: true, zone_seconds: 0 };

/// A table of every storage type; all columns wanted.
fn everything() -> (TableMap, Plan, Builders) {
    let members: Arc<[Box<str>]> = ["x", "y"].map(Box::from).into();
    let kinds = [
        (Kind::Int { bytes: 4, unsigned: false, truth: false }, Wire { code: code::LONG, meta: 0 }),
        (Kind::Text(Charset::Utf8), Wire { code: code::VARCHAR, meta: 300 }),
        (Kind::Decimal(12, 3), Wire { code: code::NEWDECIMAL, meta: 12 << 8 | 3 }),
        (Kind::Decimal(65, 30), Wire { code: code::NEWDECIMAL, meta: 65 << 8 | 30 }),
        (Kind::Json, Wire { code: code::JSON, meta: 4 }),
        (Kind::DateTime(5), Wire { code: code::DATETIME2, meta: 5 }),
        (Kind::Time(3), Wire { code: code::TIME2, meta: 3 }),
        (Kind::Timestamp(1), Wire { code: code::TIMESTAMP2, meta: 1 }),
        (Kind::Date, Wire { code: code::DATE, meta: 0 }),
        (Kind::Enum(Arc::clone(&members)), Wire { code: code::ENUM, meta: 1 }),
        (Kind::Set(members), Wire { code: code::SET, meta: 1 }),
        (Kind::Bit(12), Wire { code: code::BIT, meta: 1 << 8 | 4 }),
        (Kind::Binary(3), Wire { code: code::STRING, meta: 3 }),
    ];
    let columns: Vec<Column> = kinds
        .iter()
        .enumerate()
        .map(|(nth, (kind, _))| Column { name: format!("c{nth}"), kind: kind.clone(), nullable: true })
        .collect();
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(&c.name, c.kind.natural(), true)).collect();
    let map = TableMap {
        id: 1,
        database: "d".into(),
        table: "t".into(),
        wires: kinds.iter().map(|(_, wire)| *wire).collect(),
        columns: None,
    };
    let plan = Plan {
        database: "d".into(),
        table: "t".into(),
        feeds: (0..columns.len()).map(Feed::Column).collect(),
        targets: (0..columns.len()).map(Some).collect(),
        columns,
        policy: POLICY,
    };
    let builders = Builders::new(Arc::new(Schema::new(fields))).expect("known types");
    (map, plan, builders)
}

fn two_columns() -> (TableMap, Plan, Builders) {
    let int = Kind::Int { bytes: 4, unsigned: false, truth: false };
    let text = Kind::Text(Charset::Utf8);
    let map = TableMap {
        id: 1,
        database: "d".into(),
        table: "t".into(),
        wires: vec![Wire { code: code::LONG, meta: 0 }, Wire { code: code::VARCHAR, meta: 20 }],
        columns: None,
    };
    let plan = Plan {
        database: "d".into(),
        table: "t".into(),
        columns: vec![
            Column { name: "a".into(), kind: int, nullable: true },
            Column { name: "b".into(), kind: text, nullable: true },
        ],
        feeds: vec![Feed::Column(1), Feed::RowKind, Feed::Column(0)],
        targets: vec![Some(2), Some(0)],
        policy: POLICY,
    };
    let fields = vec![
        Field::new("b", DataType::Utf8, true),
        Field::new("k", DataType::Utf8, false),
        Field::new("a", DataType::Int32, true),
    ];
    (map, plan, Builders::new(Arc::new(Schema::new(fields))).expect("known types"))
}

#[test]
fn an_update_of_two_columns_gives_both_images() {
    let (map, plan, mut out) = two_columns();
    // Table 1, flags 1, no extra data, 2 columns, both present in both images.
    let mut event = vec![1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 0xff, 0xff];
    event.extend([0b00, 7, 0, 0, 0, 2, b'h', b'i']);
    event.extend([0b10, 0xff, 0xff, 0xff, 0xff]);
    let mut ops = Vec::new();
    decode_rows_event(&event, (Change::Update, true), &map, &plan, 0, 0, &mut out, &mut ops).expect("a sound event");
    assert_eq!(ops, [Op::UpdateBefore, Op::UpdateAfter]);
    let rows = out.finish().expect("a batch");
    assert_eq!(rows.column(2).as_primitive::<Int32Type>().values(), &[7, -1]);
    assert_eq!((rows.column(0).as_string::<i32>().value(0), rows.column(0).is_null(1)), ("hi", true));
    assert_eq!(rows.column(1).as_string::<i32>().value(1), "+U");

    // What was delivered before is stepped over, image by image.
    let mut ops = Vec::new();
    for (skip, left) in [(0, 2), (1, 1), (2, 0), (9, 0)] {
        ops.clear();
        let passed = decode_rows_event(&event, (Change::Update, true), &map, &plan, 0, skip, &mut out, &mut ops);
        assert_eq!((passed, ops.len()), (Ok(2), left));
        assert_eq!(out.finish().expect("a batch").num_rows(), left);
    }

    let cut = decode_rows_event(&event[..18], (Change::Update, true), &map, &plan, 0, 0, &mut out, &mut ops);
    assert_eq!(cut, Err(Trouble::Damaged));
    event[12] = 0b01;
    let (_, _, mut out) = two_columns();
    let partial = decode_rows_event(&event, (Change::Update, true), &map, &plan, 0, 0, &mut out, &mut ops);
    assert_eq!(partial, Err(Trouble::Partial("b".into())));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn law_damaged_row_events_never_panic(rest in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..3) {
        let (map, plan, mut out) = everything();
        let change = [Change::Write, Change::Update, Change::Delete][kind as usize];
        let count = map.wires.len() as u8;
        let mut data = vec![1, 0, 0, 0, 0, 0, 1, 0, 2, 0, count, 0xff, 0xff];
        data.extend(&rest);
        let _ = decode_rows_event(&data, (change, true), &map, &plan, 0, 0, &mut out, &mut Vec::new());
        let _ = decode_rows_event(&rest, (change, false), &map, &plan, 0, 0, &mut out, &mut Vec::new());
    }

    #[test]
    fn law_damaged_table_maps_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = TableMap::read(&data, Flavor::MySql);
        let mut named = vec![1, 0, 0, 0, 0, 0, 1, 0, 1, b'd', 0, 1, b't', 0];
        named.extend(&data);
        let _ = TableMap::read(&named, Flavor::MariaDb);
    }

    #[test]
    fn law_damaged_json_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = super::json::to_text(&super::cell::Cell::Json(&data));
    }
}
