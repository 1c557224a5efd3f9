//! [`Generator`]: the values of one column.
//!
//! Rules as in Flink's datagen: random numbers span the type unless `min` and `max` say otherwise, texts are hexadecimal
//! digits, times lie between now and `max-past` before now, a sequence counts from `start` to `end`.

use arrow::datatypes::{DataType, Field};
use headwater_change::{Error, Options, Result};

use super::config::bad;
use crate::column::{Column, Data};
use crate::text::time::DAY_SECONDS;
use crate::text::unit_scale;

/// Makes the values of a column.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    kind: Kind,
    null_rate: f64,
    /// Tells the columns' random numbers apart, whichever of them a query uses.
    salt: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    Sequence {
        start: i64,
    },
    Integer {
        min: i128,
        max: i128,
    },
    Float {
        min: f64,
        max: f64,
    },
    Text {
        length: usize,
        variable: bool,
    },
    Bool,
    /// Milliseconds before now at most.
    Past {
        most: i64,
    },
}

/// A random stream that is a function of its seed alone.
struct Random(u64);

impl Random {
    /// The splitmix64 step.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 up to, not including, 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a DOUBLE holds")]
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, min: i128, max: i128) -> i128 {
        let span = max.wrapping_sub(min).cast_unsigned().wrapping_add(1);
        let wide = u128::from(self.next()) << 64 | u128::from(self.next());
        if span == 0 { wide.cast_signed() } else { min.wrapping_add((wide % span).cast_signed()) }
    }
}

/// First and last value of a column that is a sequence.
pub(crate) fn sequence(options: &Options, column: &str) -> Result<Option<(i64, i64)>> {
    let kind = options.text(&format!("fields.{column}.kind")).unwrap_or("random");
    if !kind.eq_ignore_ascii_case("sequence") {
        return Ok(None);
    }
    let bound = |part: &str| {
        let name = format!("fields.{column}.{part}");
        options.integer(&name).ok_or_else(|| bad(&name, "is missing: a sequence needs its start and its end"))
    };
    let (start, end) = (bound("start")?, bound("end")?);
    if end < start {
        return Err(bad(&format!("fields.{column}.end"), "must not be less than the start"));
    }
    Ok(Some((start, end)))
}

impl Generator {
    /// Reads the options of a column. Fails for options and types that do not fit.
    pub(crate) fn new(field: &Field, options: &Options) -> Result<Self> {
        let name = field.name();
        let option = |part: &str| format!("fields.{name}.{part}");
        let null_rate = options.number(&option("null-rate")).unwrap_or(0.0);
        if !(0.0..=1.0).contains(&null_rate) {
            return Err(bad(&option("null-rate"), "must lie between 0 and 1"));
        }
        let salt = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let kind = match sequence(options, name)? {
            Some((start, end)) => sequence_kind(field, start, end)?,
            None => random_kind(field, options, option)?,
        };
        Ok(Self { kind, null_rate, salt })
    }

    /// Appends the value of a row to the generator's column. `now` is in milliseconds since 1970.
    pub(crate) fn append(&self, seed: u64, row: u64, now: i64, column: &mut Column) -> Result<()> {
        let mut random = Random(seed ^ self.salt.wrapping_add(row.wrapping_mul(0xd134_2543_de82_ef95)));
        if self.null_rate > 0.0 && random.fraction() < self.null_rate {
            column.append_null();
            return Ok(());
        }
        match &self.kind {
            Kind::Sequence { start } => append_integer(column, i128::from(*start) + i128::from(row)),
            Kind::Integer { min, max } => append_integer(column, random.between(*min, *max)),
            Kind::Float { min, max } => {
                let part = random.fraction();
                append_float(column, min * (1.0 - part) + max * part);
            }
            Kind::Text { length, variable } => append_text(column, *length, *variable, &mut random),
            Kind::Bool => {
                if let Data::Bool(values) = &mut column.data {
                    values.append_value(random.next() & 1 == 1);
                }
            }
            Kind::Past { most } => {
                let back = random.between(0, i128::from(*most));
                append_time(column, now - i64::try_from(back).unwrap_or(0));
            }
        }
        Ok(())
    }
}

fn unsupported(field: &Field) -> Error {
    Error::usage("datagen.type", format!("datagen cannot make the column '{}' of its type", field.name()))
        .hint("make scalar columns and build arrays, maps and rows of them in a view")
}

fn sequence_kind(field: &Field, start: i64, end: i64) -> Result<Kind> {
    let (min, max) = match field.data_type() {
        DataType::Utf8 | DataType::Float32 | DataType::Float64 => (i128::MIN, i128::MAX),
        other => integer_range(other).ok_or_else(|| unsupported(field))?,
    };
    if i128::from(start) < min || i128::from(end) > max {
        return Err(bad(&format!("fields.{}.end", field.name()), "is out of the column's range"));
    }
    Ok(Kind::Sequence { start })
}

fn random_kind(field: &Field, options: &Options, option: impl Fn(&str) -> String) -> Result<Kind> {
    let data_type = field.data_type();
    Ok(match data_type {
        DataType::Boolean => Kind::Bool,
        DataType::Utf8 | DataType::Binary => {
            let length = options.integer(&option("length")).unwrap_or(100);
            let length = usize::try_from(length).ok().filter(|length| *length <= 1 << 24);
            Kind::Text {
                length: length.ok_or_else(|| bad(&option("length"), "must lie between 0 and 16777216"))?,
                variable: options.bool(&option("var-len")),
            }
        }
        DataType::Float32 | DataType::Float64 => {
            let widest = if *data_type == DataType::Float32 { f64::from(f32::MAX) } else { f64::MAX };
            let min = options.number(&option("min")).unwrap_or(-widest);
            let max = options.number(&option("max")).unwrap_or(widest);
            if min > max {
                return Err(bad(&option("max"), "must not be less than the min"));
            }
            Kind::Float { min, max }
        }
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) => {
            let most = options.duration(&option("max-past")).unwrap_or_default();
            Kind::Past { most: i64::try_from(most.as_millis()).unwrap_or(i64::MAX / 2) }
        }
        other => {
            let (least, most) = integer_range(other).ok_or_else(|| unsupported(field))?;
            let bound = |part: &str, default: i128| -> Result<i128> {
                let name = option(part);
                let Some(text) = options.text(&name) else { return Ok(default) };
                let scale = if let DataType::Decimal128(_, scale) = other { *scale } else { 0 };
                match crate::scalar::parse_decimal(text.trim().as_bytes(), 38, scale) {
                    crate::scalar::Decimal::Value(value) if (least..=most).contains(&value) => Ok(value),
                    _ => Err(bad(&name, "is out of the column's range")),
                }
            };
            let (min, max) = (bound("min", least)?, bound("max", most)?);
            if min > max {
                return Err(bad(&option("max"), "must not be less than the min"));
            }
            Kind::Integer { min, max }
        }
    })
}

/// Least and greatest value of an integer type, and of a DECIMAL in units of its last digit.
fn integer_range(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        DataType::Decimal128(precision, _) => {
            let most = 10_i128.checked_pow(u32::from(*precision))? - 1;
            (-most, most)
        }
        _ => return None,
    })
}

/// Appends a number that is in the range of the column's type, or NULL where it is not.
fn append_integer(column: &mut Column, number: i128) {
    macro_rules! append {
        ($values:expr) => {
            $values.append_option(number.try_into().ok())
        };
    }
    match &mut column.data {
        Data::I8(values) => append!(values),
        Data::I16(values) => append!(values),
        Data::I32(values) => append!(values),
        Data::I64(values) => append!(values),
        Data::U8(values) => append!(values),
        Data::U16(values) => append!(values),
        Data::U32(values) => append!(values),
        Data::U64(values) => append!(values),
        Data::Decimal { values, .. } => values.append_value(number),
        Data::Text(values) => values.append_value(itoa::Buffer::new().format(number)),
        Data::F32(_) | Data::F64(_) => {
            #[expect(clippy::cast_precision_loss, reason = "a sequence in a DOUBLE is what was asked for")]
            append_float(column, number as f64);
        }
        _ => column.append_null(),
    }
}

fn append_float(column: &mut Column, number: f64) {
    match &mut column.data {
        #[expect(clippy::cast_possible_truncation, reason = "within the range of FLOAT by its bounds")]
        Data::F32(values) => values.append_value(number as f32),
        Data::F64(values) => values.append_value(number),
        _ => column.append_null(),
    }
}

fn append_text(column: &mut Column, length: usize, variable: bool, random: &mut Random) {
    let length = match usize::try_from(random.between(0, i128::try_from(length).unwrap_or(0))) {
        Ok(shorter) if variable => shorter,
        _ => length,
    };
    let mut bits = 0;
    let mut hex = || {
        if bits <= 1 {
            // Fifteen digits and a mark for the end.
            bits = random.next() >> 4 | 1 << 60;
        }
        let digit = char::from_digit(u32::try_from(bits & 15).unwrap_or(0), 16).unwrap_or('0');
        bits >>= 4;
        digit
    };
    match &mut column.data {
        Data::Text(values) => values.append_value((0..length).map(|_| hex()).collect::<String>()),
        Data::Bytes(values) => {
            let bytes: Vec<u8> = (0..length).map(|_| (random.next() >> 56).to_le_bytes()[0]).collect();
            values.append_value(bytes);
        }
        _ => column.append_null(),
    }
}

/// Appends a time in milliseconds since 1970.
fn append_time(column: &mut Column, millis: i64) {
    let day_millis = DAY_SECONDS * 1000;
    let in_unit = |millis: i64, unit| {
        let per_second = unit_scale(unit).0;
        if per_second >= 1000 { millis.saturating_mul(per_second / 1000) } else { millis.div_euclid(1000) }
    };
    let of_day = millis.rem_euclid(day_millis);
    match &mut column.data {
        Data::Date(values) => values.append_option(millis.div_euclid(day_millis).try_into().ok()),
        Data::Time32(unit, values) => values.append_option(in_unit(of_day, *unit).try_into().ok()),
        Data::Time64(unit, values) => values.append_value(in_unit(of_day, *unit)),
        Data::Timestamp { values, unit, .. } => values.append_value(in_unit(millis, *unit)),
        _ => column.append_null(),
    }
}
