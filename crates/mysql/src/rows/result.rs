//! Rows of a result in the binary protocol into Arrow builders.

use arrow::datatypes::Schema;
use headwater_change::Op;

use super::build::{Builders, Policy};
use super::cell::Cell;
use super::decimal;
use super::event::{Feed, Plan, end_row};
use super::quick::Way;
use super::temporal::Date;
use crate::ident::ident;
use crate::schema::{Column, Kind};
use crate::wire::value::{Layout, Value, Values, Written};

/// The wanted columns as the text of a SELECT. Rows without any have to be counted still.
pub(crate) fn wanted(plan: &Plan) -> String {
    let columns = plan.feeds.iter().filter_map(|feed| match feed {
        Feed::Column(index) => plan.columns.get(*index).map(|column| ident(&column.name).to_string()),
        _ => None,
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    if columns.is_empty() { "1".to_owned() } else { columns }
}

/// Appends a row of a result to the wanted columns; an error names the column.
pub(crate) fn append(row: &mysql_async::Row, plan: &Plan, builders: &mut Builders) -> Result<(), (String, String)> {
    let mut nth = 0;
    for (output, feed) in plan.feeds.iter().enumerate() {
        let Feed::Column(index) = feed else { continue };
        let Some(column) = plan.columns.get(*index) else { continue };
        let found = value(row.as_ref(nth).unwrap_or(&mysql_async::Value::NULL));
        nth += 1;
        append_value(found, output, column, plan.policy, builders)?;
    }
    end_row(plan, Op::Insert, 0, builders).map_err(|what| ("metadata".to_owned(), what))
}

/// The wanted columns of a result that is read where it lies.
pub(crate) struct Decoder<'a> {
    plan: &'a Plan,
    layout: &'a Layout,
    steps: Vec<Step<'a>>,
    /// Whether there are outputs that no column feeds.
    described: bool,
}

/// One wanted column.
struct Step<'a> {
    output: usize,
    column: &'a Column,
    written: Written,
    way: Way,
}

impl<'a> Decoder<'a> {
    /// `None` where the result has other columns than were asked for.
    pub(crate) fn new(plan: &'a Plan, schema: &Schema, layout: &'a Layout) -> Option<Self> {
        let wanted = plan.feeds.iter().enumerate().filter_map(|(output, feed)| match feed {
            Feed::Column(index) => plan.columns.get(*index).map(|column| (output, column)),
            _ => None,
        });
        let step = |(nth, (output, column)): (usize, (usize, &'a Column))| {
            let way = Way::of(&column.kind, schema.fields().get(output)?.data_type());
            Some(Step { output, column, written: layout.column(nth)?, way })
        };
        let steps = wanted.enumerate().map(step).collect::<Option<Vec<_>>>()?;
        let described = steps.len() < plan.feeds.len();
        (steps.len() == layout.width() || steps.is_empty()).then_some(Self { plan, layout, steps, described })
    }

    /// Appends a row; an error names the column.
    #[inline]
    pub(crate) fn append(&self, row: &[u8], builders: &mut Builders) -> Result<(), (String, String)> {
        let damaged = |_| ("a column".to_owned(), "the server's packet is damaged".to_owned());
        let mut values = Values::new(row, self.layout).map_err(damaged)?;
        for step in &self.steps {
            let found = values.next(step.written).map_err(damaged)?;
            if !builders.take(step.output, step.way, &found) {
                append_value(found, step.output, step.column, self.plan.policy, builders)?;
            }
        }
        if self.described {
            return end_row(self.plan, Op::Insert, 0, builders).map_err(|what| ("metadata".to_owned(), what));
        }
        builders.end_row();
        Ok(())
    }
}

fn append_value(
    value: Value<'_>,
    output: usize,
    column: &Column,
    policy: Policy,
    builders: &mut Builders,
) -> Result<(), (String, String)> {
    let named = |what: String| (column.name.clone(), what);
    if matches!((&value, &column.kind), (Value::Bytes([]), Kind::Json)) {
        // MySQL's way to say so; there is neither an error nor a warning.
        let what = "the document is longer than the server gives back: raise its max_allowed_packet";
        return Err(named(what.to_owned()));
    }
    let cell = cell(value, &column.kind).ok_or_else(|| named(format!("{value:?} is not a {}", column.kind)))?;
    builders.append(output, &cell, &column.kind, policy).map_err(named)
}

/// A value of the driver's as it came.
fn value(value: &mysql_async::Value) -> Value<'_> {
    match value {
        mysql_async::Value::NULL => Value::Null,
        mysql_async::Value::Int(number) => Value::Int(*number),
        mysql_async::Value::UInt(number) => Value::UInt(*number),
        mysql_async::Value::Float(number) => Value::Float(*number),
        mysql_async::Value::Double(number) => Value::Double(*number),
        mysql_async::Value::Bytes(bytes) => Value::Bytes(bytes),
        mysql_async::Value::Date(y, m, d, h, i, s, micros) => Value::Moment(*y, *m, *d, *h, *i, *s, *micros),
        mysql_async::Value::Time(negative, d, h, m, s, micros) => Value::Time(*negative, *d, *h, *m, *s, *micros),
    }
}

/// A value of the binary protocol as the row image would have brought it.
#[inline]
fn cell<'a>(value: Value<'a>, kind: &Kind) -> Option<Cell<'a>> {
    let date = |y: u16, m: u8, d: u8| Date { year: y, month: m, day: d };
    let clock = |h: u8, m: u8, s: u8| i64::from(h) * 3_600 + i64::from(m) * 60 + i64::from(s);
    Some(match (value, kind) {
        (Value::Null, _) => Cell::Null,
        (Value::Int(number), _) => Cell::Int(number),
        (Value::UInt(number), _) => Cell::UInt(number),
        (Value::Float(number), _) => Cell::Float(number),
        (Value::Double(number), _) => Cell::Double(number),
        (Value::Bytes(text), Kind::Decimal(..)) => match decimal::parse(text) {
            Some((number, scale)) => Cell::Decimal(number, scale),
            None => Cell::Utf8(text),
        },
        (Value::Bytes(bytes), Kind::Bit(_)) => Cell::Bits(bytes),
        (Value::Bytes(bytes), Kind::Binary(_) | Kind::Bytes) => Cell::Bytes(bytes),
        // The session's character set is utf8mb4, whatever the column's is.
        (Value::Bytes(text), Kind::Text(_) | Kind::Enum(_) | Kind::Set(_) | Kind::Json) => Cell::Utf8(text),
        (Value::Moment(y, m, d, ..), Kind::Date) => Cell::Date(date(y, m, d)),
        (Value::Moment(y, m, d, h, i, s, micros), Kind::DateTime(_)) => {
            Cell::DateTime(date(y, m, d), clock(h, i, s) * 1_000_000 + i64::from(micros))
        }
        (Value::Moment(y, m, d, h, i, s, micros), Kind::Timestamp(_)) => match date(y, m, d).days() {
            // The session's zone is UTC.
            Some(days) => Cell::Instant(i64::from(days) * 86_400 + clock(h, i, s), micros),
            None => Cell::Instant(0, 0),
        },
        (Value::Time(negative, days, h, m, s, micros), Kind::Time(_)) => {
            let absolute = (i64::from(days) * 86_400 + clock(h, m, s)) * 1_000_000 + i64::from(micros);
            Cell::Time(if negative { -absolute } else { absolute })
        }
        _ => return None,
    })
}
