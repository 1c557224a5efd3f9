//! Flink's types. Arrow's types say less (a `CHAR(3)` is Utf8, a `TIMESTAMP(1)` counts milliseconds), so what they leave
//! out travels in the metadata of the field, under [`TYPE_KEY`]. [`SqlType::of`] reads both, [`SqlType::field`] writes both.
//!
//! | SQL | Arrow | in the metadata |
//! |---|---|---|
//! | `TIMESTAMP(p)`, `TIMESTAMP_LTZ(p)` | Timestamp in s (p = 0), ms (1..3), µs (4..6), ns (7..9); LTZ with the zone "UTC" | p, unless it is 0, 3, 6 or 9 |
//! | `TIME(p)` | Time32 s, ms; Time64 µs, ns likewise | likewise |
//! | `DECIMAL(p, s)` | Decimal128 | |
//! | `STRING`, `CHAR(n)`, `VARCHAR(n)` | Utf8 | length, unless STRING |
//! | `BYTES`, `BINARY(n)`, `VARBINARY(n)` | Binary | length, unless BYTES |
//! | `INTERVAL YEAR TO MONTH`, `DAY TO SECOND` | Interval of months, days and nanoseconds | which of both |
//! | `ARRAY`, `MAP`, `MULTISET`, `ROW` | List, Map, Map to Int32, Struct | |

mod common;
mod read;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use headwater_change::TYPE_KEY;

use crate::functions::cast::trim_fraction;

pub(crate) use common::{binary_length, character_length, common_type};
pub(crate) use read::{parse_type, read_type};

/// Length of `STRING` and `BYTES`: Flink's greatest.
pub(crate) const UNBOUNDED: u32 = i32::MAX as u32;

/// A type of Flink's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SqlType {
    /// Of a bare NULL.
    Null,
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Decimal(u8, u8),
    /// Padded with blanks to its length, in characters.
    Char(u32),
    /// `STRING` where the length is [`UNBOUNDED`].
    VarChar(u32),
    /// Padded with zeros to its length, in bytes.
    Binary(u32),
    /// `BYTES` where the length is [`UNBOUNDED`].
    VarBinary(u32),
    Date,
    Time(u8),
    Timestamp(u8),
    TimestampLtz(u8),
    /// `INTERVAL YEAR TO MONTH`.
    Months,
    /// `INTERVAL DAY TO SECOND`.
    Millis,
    /// Spark's intervals of days to seconds, in microseconds: first and last field, DAY is 0.
    DayTime(u8, u8),
    /// Spark's intervals of years and months: first and last field, YEAR is 0.
    YearMonth(u8, u8),
    /// Arrays, maps, rows, and what only connectors have.
    Other(DataType),
}

/// `STRING`.
pub(crate) const STRING: SqlType = SqlType::VarChar(UNBOUNDED);

impl SqlType {
    /// The type of a column.
    pub(crate) fn of(field: &Field) -> Self {
        if let Some(text) = field.metadata().get(TYPE_KEY)
            && let Ok(found) = read_type(text)
            && found.arrow() == *field.data_type()
        {
            return found;
        }
        Self::from_arrow(field.data_type())
    }

    /// The widest type that Arrow's type stands for.
    pub(crate) fn from_arrow(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::TinyInt,
            DataType::Int16 => Self::SmallInt,
            DataType::Int32 => Self::Int,
            DataType::Int64 => Self::BigInt,
            DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Decimal128(precision, scale) => {
                u8::try_from(*scale).map_or(Self::Other(data_type.clone()), |scale| Self::Decimal(*precision, scale))
            }
            DataType::Utf8 => STRING,
            DataType::Binary => Self::VarBinary(UNBOUNDED),
            DataType::Date32 => Self::Date,
            DataType::Time32(unit) | DataType::Time64(unit) => Self::Time(precision(*unit)),
            DataType::Timestamp(unit, None) => Self::Timestamp(precision(*unit)),
            DataType::Timestamp(unit, Some(_)) => Self::TimestampLtz(precision(*unit)),
            DataType::Interval(IntervalUnit::YearMonth) => Self::Months,
            DataType::Interval(_) => Self::Millis,
            other => Self::Other(other.clone()),
        }
    }

    /// Arrow's type.
    pub(crate) fn arrow(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => {
                DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
            }
            Self::Char(_) | Self::VarChar(_) => DataType::Utf8,
            Self::Binary(_) | Self::VarBinary(_) => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time(precision) => match unit(*precision) {
                unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
                unit => DataType::Time64(unit),
            },
            Self::Timestamp(precision) => DataType::Timestamp(unit(*precision), None),
            Self::TimestampLtz(precision) => DataType::Timestamp(unit(*precision), Some("UTC".into())),
            Self::Months | Self::Millis | Self::DayTime(..) | Self::YearMonth(..) => {
                DataType::Interval(IntervalUnit::MonthDayNano)
            }
            Self::Other(data_type) => data_type.clone(),
        }
    }

    /// A column of this type.
    pub(crate) fn field(&self, name: impl Into<String>, nullable: bool) -> Field {
        let field = Field::new(name, self.arrow(), nullable);
        match self.metadata() {
            Some(entry) => field.with_metadata([entry].into()),
            None => field,
        }
    }

    /// What the Arrow type leaves out, as an entry for the field's metadata.
    pub(crate) fn metadata(&self) -> Option<(String, String)> {
        (Self::from_arrow(&self.arrow()) != *self).then(|| (TYPE_KEY.to_owned(), self.to_string()))
    }

    /// Whether values are numbers.
    pub(crate) fn is_numeric(&self) -> bool {
        self.is_integer() || self.is_approximate() || matches!(self, Self::Decimal(..))
    }

    /// Whether values are whole numbers of two's complement.
    pub(crate) fn is_integer(&self) -> bool {
        matches!(self, Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt)
    }

    /// FLOAT and DOUBLE.
    pub(crate) fn is_approximate(&self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }

    /// CHAR, VARCHAR and STRING.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Char(_) | Self::VarChar(_))
    }

    /// BINARY, VARBINARY and BYTES.
    pub(crate) fn is_bytes(&self) -> bool {
        matches!(self, Self::Binary(_) | Self::VarBinary(_))
    }

    /// TIMESTAMP and TIMESTAMP_LTZ.
    pub(crate) fn is_timestamp(&self) -> bool {
        matches!(self, Self::Timestamp(_) | Self::TimestampLtz(_))
    }

    /// Precision and scale of a decimal, or of an integer type by Flink's widths.
    pub(crate) fn digits(&self) -> Option<(u8, u8)> {
        Some(match self {
            Self::Decimal(precision, scale) => (*precision, *scale),
            Self::TinyInt => (3, 0),
            Self::SmallInt => (5, 0),
            Self::Int => (10, 0),
            Self::BigInt => (19, 0),
            _ => return None,
        })
    }
}

/// The unit that holds so many digits of a second.
pub(crate) fn unit(precision: u8) -> TimeUnit {
    match precision {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn precision(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// Flink's name of the type, as `DESCRIBE` and errors show it; what [`read_type`] reads.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::TinyInt => f.write_str("TINYINT"),
            Self::SmallInt => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::BigInt => f.write_str("BIGINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal(precision, scale) => write!(f, "DECIMAL({precision}, {scale})"),
            Self::Char(length) => write!(f, "CHAR({length})"),
            Self::VarChar(UNBOUNDED) => f.write_str("STRING"),
            Self::VarChar(length) => write!(f, "VARCHAR({length})"),
            Self::Binary(length) => write!(f, "BINARY({length})"),
            Self::VarBinary(UNBOUNDED) => f.write_str("BYTES"),
            Self::VarBinary(length) => write!(f, "VARBINARY({length})"),
            Self::Date => f.write_str("DATE"),
            Self::Time(precision) => write!(f, "TIME({precision})"),
            Self::Timestamp(precision) => write!(f, "TIMESTAMP({precision})"),
            Self::TimestampLtz(precision) => write!(f, "TIMESTAMP_LTZ({precision})"),
            Self::Months => f.write_str("INTERVAL YEAR TO MONTH"),
            Self::Millis => f.write_str("INTERVAL DAY TO SECOND"),
            Self::DayTime(first, last) => write!(f, "DAY_TIME({first}, {last})"),
            Self::YearMonth(first, last) => write!(f, "YEAR_MONTH({first}, {last})"),
            Self::Other(data_type) => nested(data_type, f),
        }
    }
}

fn nested(data_type: &DataType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match data_type {
        DataType::List(item) => write!(f, "ARRAY<{}>", SqlType::of(item)),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("`{}` {}", field.name(), SqlType::of(field))).collect();
            write!(f, "ROW<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                let sides: Vec<String> = pair.iter().map(|field| SqlType::of(field).to_string()).collect();
                write!(f, "MAP<{}>", sides.join(", "))
            }
            _ => f.write_str("MAP"),
        },
        DataType::LargeUtf8 | DataType::Utf8View => f.write_str("STRING"),
        DataType::LargeBinary | DataType::BinaryView => f.write_str("BYTES"),
        DataType::Decimal256(precision, scale) => write!(f, "DECIMAL({precision}, {scale})"),
        other => write!(f, "{other}"),
    }
}

/// Flink's name of a column's type.
pub fn type_name(field: &Field) -> String {
    SqlType::of(field).to_string()
}

/// Cuts the text of a column's value to the digits that its type shows: the column may count in a finer unit.
pub fn trim_value_text(field: &Field, text: &mut String) {
    trim_fraction(&SqlType::of(field), text);
}

/// A field of a nested type.
pub(crate) fn nested_field(name: &str, (sql_type, nullable): &(SqlType, bool)) -> FieldRef {
    Arc::new(sql_type.field(name, *nullable))
}
