//! Values as text, as Spark's `CAST(x AS STRING)` gives them.

use headwater_change::calendar::{civil_from_days, needed_digits, write_fraction, write_padded, write_time};
use headwater_change::number::{write_decimal, write_double, write_float};
use headwater_change::{Result, TimeZone};

use super::types::{DAY_FIELDS, MONTH_FIELDS};
use crate::functions::value::{Value, entry_types, field_types, item_type};
use crate::types::SqlType;

const SECOND: i64 = 1_000_000;

/// Appends the text of a value of a type; NULL is `null`, as inside of arrays.
pub(crate) fn write(value: &Value, sql_type: &SqlType, zone: TimeZone, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => write_int(*number, sql_type, zone, out),
        Value::Float(number) if *sql_type == SqlType::Float => write_float(*number as f32, out),
        Value::Float(number) => write_double(*number, out),
        Value::Decimal(unscaled) => {
            let scale = if let SqlType::Decimal(_, scale) = sql_type { *scale } else { 0 };
            write_decimal(*unscaled, i8::try_from(scale).unwrap_or(0), out);
        }
        Value::Text(text) => out.push_str(text),
        Value::Bytes(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        Value::List(items) => {
            let item = item_type(sql_type).unwrap_or(SqlType::Null);
            listed(items.iter().map(|value| (value, &item)), ('[', ']'), zone, out);
        }
        Value::Struct(items) => {
            let fields = field_types(sql_type).unwrap_or_default();
            listed(items.iter().zip(fields.iter().map(|(_, kind)| kind)), ('{', '}'), zone, out);
        }
        Value::Map(entries) => {
            let (key, item) = entry_types(sql_type).unwrap_or((SqlType::Null, SqlType::Null));
            out.push('{');
            for (index, (name, value)) in entries.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(name, &key, zone, out);
                out.push_str(" -> ");
                write(value, &item, zone, out);
            }
            out.push('}');
        }
    }
}

/// The text of a value.
pub(crate) fn of(value: &Value, sql_type: &SqlType, zone: TimeZone) -> String {
    let mut out = String::new();
    write(value, sql_type, zone, &mut out);
    out
}

fn listed<'a>(
    items: impl Iterator<Item = (&'a Value, &'a SqlType)>,
    (open, close): (char, char),
    zone: TimeZone,
    out: &mut String,
) {
    out.push(open);
    for (index, (value, sql_type)) in items.enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        write(value, sql_type, zone, out);
    }
    out.push(close);
}

fn write_int(number: i64, sql_type: &SqlType, zone: TimeZone, out: &mut String) {
    match sql_type {
        SqlType::Date => write_date(number, out),
        SqlType::Timestamp(_) => write_timestamp(number, out),
        SqlType::TimestampLtz(_) => write_timestamp(local(number, zone), out),
        SqlType::DayTime(first, last) => write_day_time(number, (*first, *last), out),
        SqlType::YearMonth(first, last) => write_year_month(number, (*first, *last), out),
        _ => out.push_str(&number.to_string()),
    }
}

/// Microseconds as the clocks of a zone show them.
pub(crate) fn local(micros: i64, zone: TimeZone) -> i64 {
    micros + zone.offset_seconds(micros.div_euclid(SECOND)) * SECOND
}

/// Microseconds since 1970 of what the clocks of a zone show.
pub(crate) fn instant(local: i64, zone: TimeZone) -> i64 {
    local - zone.offset_of_local(local.div_euclid(SECOND)) * SECOND
}

fn write_date(days: i64, out: &mut String) {
    let (year, month, day) = civil_from_days(days);
    // Years beyond four digits have a sign.
    match year {
        10_000.. => out.push('+'),
        ..0 => out.push('-'),
        _ => {}
    }
    write_padded(year.unsigned_abs(), 4, out);
    out.push('-');
    write_padded(u64::from(month), 2, out);
    out.push('-');
    write_padded(u64::from(day), 2, out);
}

fn write_timestamp(micros: i64, out: &mut String) {
    let seconds = micros.div_euclid(SECOND);
    write_date(seconds.div_euclid(86_400), out);
    out.push(' ');
    write_time(seconds.rem_euclid(86_400).unsigned_abs(), out);
    let nanos = u32::try_from(micros.rem_euclid(SECOND) * 1_000).unwrap_or(0);
    write_fraction(nanos, needed_digits(nanos), out);
}

/// `INTERVAL '1 02:03:04.5' DAY TO SECOND`.
fn write_day_time(micros: i64, (first, last): (u8, u8), out: &mut String) {
    const SIZES: [u64; 4] = [86_400, 3_600, 60, 1];
    out.push_str("INTERVAL '");
    if micros < 0 {
        out.push('-');
    }
    let size = micros.unsigned_abs();
    let mut seconds = size / 1_000_000;
    for at in first..=last {
        let unit = SIZES.get(usize::from(at)).copied().unwrap_or(1);
        if at > first {
            out.push(if at == 1 { ' ' } else { ':' });
        }
        let width = if at == 0 { 1 } else { 2 };
        write_padded(seconds / unit, width, out);
        seconds %= unit;
        if at == 3 {
            let nanos = u32::try_from(size % 1_000_000 * 1_000).unwrap_or(0);
            write_fraction(nanos, needed_digits(nanos), out);
        }
    }
    fields(&DAY_FIELDS, (first, last), out);
}

/// `INTERVAL '1-2' YEAR TO MONTH`.
fn write_year_month(months: i64, (first, last): (u8, u8), out: &mut String) {
    out.push_str("INTERVAL '");
    if months < 0 {
        out.push('-');
    }
    let size = months.unsigned_abs();
    match (first, last) {
        (0, 0) => out.push_str(&(size / 12).to_string()),
        (1, _) => out.push_str(&size.to_string()),
        _ => out.push_str(&format!("{}-{}", size / 12, size % 12)),
    }
    fields(&MONTH_FIELDS, (first, last), out);
}

fn fields(names: &[&str], (first, last): (u8, u8), out: &mut String) {
    let name = |at: u8| names.get(usize::from(at)).copied().unwrap_or_default().to_uppercase();
    out.push_str("' ");
    out.push_str(&name(first));
    if first != last {
        out.push_str(" TO ");
        out.push_str(&name(last));
    }
}

/// Appends the text of the value of a column at a row; nothing for NULL.
///
/// # Errors
/// `sql.value`: a type that Spark does not have.
pub fn write_column_value(
    field: &arrow::datatypes::Field,
    column: &arrow::array::ArrayRef,
    row: usize,
    zone: TimeZone,
    out: &mut String,
) -> Result<()> {
    let sql_type = SqlType::of(field);
    let read = |slice: &arrow::array::ArrayRef| crate::functions::value::Column::new(slice, &sql_type)?.at(0);
    let value = read(&column.slice(row, 1)).map_err(|error| {
        headwater_change::Error::bug("sql.value", format!("a value of {sql_type}")).caused_by(error)
    })?;
    if !value.is_null() {
        write(&value, &sql_type, zone, out);
    }
    Ok(())
}
