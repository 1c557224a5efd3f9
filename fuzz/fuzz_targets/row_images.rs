//! Table maps and row images: no panic, no more memory than the bytes account for, and a row that is read is also stepped
//! over: the columns that are wanted do not change how many rows an event has.
#![no_main]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use headwater_mysql::client::Flavor;
use headwater_mysql::rows::build::{Builders, Policy};
use headwater_mysql::rows::event::{Change, Feed, Plan, decode_rows_event};
use headwater_mysql::rows::table_map::TableMap;
use headwater_mysql::schema::{Charset, Column, Kind, Wire, code};
use libfuzzer_sys::fuzz_target;

/// What a column without a name in the event could be.
fn kind_of(wire: Wire, choice: usize) -> Kind {
    let int = |bytes| Kind::Int { bytes, unsigned: choice % 2 == 0, truth: false };
    let digits = u8::try_from(wire.meta).unwrap_or(0);
    match wire.code {
        code::TINY => int(1),
        code::SHORT => int(2),
        code::INT24 => int(3),
        code::LONG => int(4),
        code::LONGLONG => int(8),
        code::FLOAT => Kind::Float,
        code::DOUBLE => Kind::Double,
        code::NEWDECIMAL => Kind::Decimal((wire.meta >> 8) as u8, wire.meta as u8),
        code::DATE => Kind::Date,
        code::YEAR => Kind::Year,
        code::TIME | code::TIME2 => Kind::Time(digits),
        code::DATETIME | code::DATETIME2 => Kind::DateTime(digits),
        code::TIMESTAMP | code::TIMESTAMP2 => Kind::Timestamp(digits),
        code::BIT => Kind::Bit(((wire.meta >> 8) * 8 + (wire.meta & 0xff)) as u8),
        code::ENUM => Kind::Enum(["a", "ü", ""].map(Box::from).into()),
        code::SET => Kind::Set(["a", "b", "c"].map(Box::from).into()),
        code::JSON => Kind::Json,
        code::STRING if choice % 3 == 0 => Kind::Binary(wire.meta.into()),
        code::VARCHAR | code::VAR_STRING | code::STRING | code::BLOB => match choice % 5 {
            0 => Kind::Bytes,
            nth => Kind::Text(Charset::by_name(["utf8mb4", "latin1", "sjis", "gbk"][nth - 1])),
        },
        _ => Kind::Other("geometry".into()),
    }
}

/// A type that the column goes into, or none.
fn target(kind: &Kind, choice: usize) -> Option<DataType> {
    let wide = [DataType::Utf8, DataType::Decimal128(38, 10), DataType::Timestamp(TimeUnit::Nanosecond, None)];
    let types = [wide[choice % 3].clone(), kind.natural()];
    types.into_iter().find(|wanted| kind.goes_into(wanted))
}

fn plan(map: &TableMap, columns: &[Column], wanted: impl Fn(usize) -> bool) -> Option<(Plan, Builders)> {
    let (mut fields, mut feeds, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for (index, column) in columns.iter().enumerate() {
        let found = target(&column.kind, index).filter(|_| wanted(index));
        targets.push(found.is_some().then_some(fields.len()));
        if let Some(found) = found {
            fields.push(Field::new(format!("c{index}"), found, true));
            feeds.push(Feed::Column(index));
        }
    }
    let builders = Builders::new(Arc::new(Schema::new(fields))).ok()?;
    let policy = Policy { zero_date_is_null: true, zone_seconds: 3_600 };
    let plan = Plan {
        database: map.database.clone(),
        table: map.table.clone(),
        columns: columns.to_vec(),
        feeds,
        targets,
        policy,
    };
    Some((plan, builders))
}

fuzz_target!(|bytes: &[u8]| {
    // A byte of choices, the length of the table map, the map, the row event.
    let [choice, length, rest @ ..] = bytes else { return };
    let Some((map, event)) = rest.split_at_checked(usize::from(*length)) else { return };
    let flavor = if choice & 1 == 0 { Flavor::MySql } else { Flavor::MariaDb };
    let Ok(map) = TableMap::read(map, flavor) else { return };
    let columns = map.columns.clone().unwrap_or_else(|| {
        let column = |(index, wire): (usize, &Wire)| Column {
            name: format!("c{index}"),
            kind: kind_of(*wire, index + usize::from(*choice)),
            nullable: true,
        };
        map.wires.iter().enumerate().map(column).collect()
    });
    let change = ([Change::Write, Change::Update, Change::Delete][usize::from(choice >> 1) % 3], choice & 8 != 0);
    let read = |wanted: &dyn Fn(usize) -> bool| {
        let (plan, mut out) = plan(&map, &columns, wanted)?;
        let mut ops = Vec::new();
        let rows = decode_rows_event(event, change, &map, &plan, 7, 0, &mut out, &mut ops).ok()?;
        assert_eq!((out.rows(), ops.len()), (rows, rows));
        let batch = out.finish().expect("columns of one length");
        assert_eq!(batch.num_rows(), rows);
        Some(rows)
    };
    if let Some(rows) = read(&|_| true) {
        assert_eq!(read(&|index| index % 2 == 0), Some(rows), "half of the columns");
        assert_eq!(read(&|_| false), Some(rows), "none of the columns");
    }
});
