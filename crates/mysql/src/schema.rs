//! What a MySQL column is ([`Kind`]), how its values lie in a row image ([`Wire`]), and into which Arrow types it may go.
//!
//! The law: a pair of MySQL type and requested type that is not in [`Kind::goes_into`] is an error that names both. A
//! value is never guessed, rounded or cut.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};

pub use crate::rows::charset::Charset;

/// A MySQL column type as far as values depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TINYINT to BIGINT.
    Int {
        /// Width: 1, 2, 3, 4 or 8.
        bytes: u8,
        /// Whether it is UNSIGNED.
        unsigned: bool,
        /// Whether it may be read as a truth value: TINYINT(1), or a TINYINT whose display width is not known.
        truth: bool,
    },
    /// DECIMAL(precision, scale).
    Decimal(u8, u8),
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// CHAR, VARCHAR and the TEXT types.
    Text(Charset),
    /// BINARY(n): shorter values are filled with zero bytes to this length.
    Binary(usize),
    /// VARBINARY and the BLOB types.
    Bytes,
    /// DATE.
    Date,
    /// TIME with this many digits of fraction.
    Time(u8),
    /// DATETIME with this many digits of fraction.
    DateTime(u8),
    /// TIMESTAMP with this many digits of fraction.
    Timestamp(u8),
    /// YEAR.
    Year,
    /// ENUM with its members, in UTF-8.
    Enum(Arc<[Box<str>]>),
    /// SET with its members, in UTF-8.
    Set(Arc<[Box<str>]>),
    /// MySQL's JSON. MariaDB's is LONGTEXT.
    Json,
    /// BIT(n).
    Bit(u8),
    /// Something that is not decoded, by its name.
    Other(Box<str>),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int { bytes, unsigned, .. } => {
                let name = match bytes {
                    1 => "TINYINT",
                    2 => "SMALLINT",
                    3 => "MEDIUMINT",
                    4 => "INT",
                    _ => "BIGINT",
                };
                write!(f, "{name}{}", if *unsigned { " UNSIGNED" } else { "" })
            }
            Self::Decimal(precision, scale) => write!(f, "DECIMAL({precision},{scale})"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Text(Charset::Other(name)) => write!(f, "text in the character set {name}"),
            Self::Text(_) => f.write_str("CHAR or TEXT"),
            Self::Binary(length) => write!(f, "BINARY({length})"),
            Self::Bytes => f.write_str("VARBINARY or BLOB"),
            Self::Date => f.write_str("DATE"),
            Self::Time(digits) => write!(f, "TIME({digits})"),
            Self::DateTime(digits) => write!(f, "DATETIME({digits})"),
            Self::Timestamp(digits) => write!(f, "TIMESTAMP({digits})"),
            Self::Year => f.write_str("YEAR"),
            Self::Enum(_) => f.write_str("ENUM"),
            Self::Set(_) => f.write_str("SET"),
            Self::Json => f.write_str("JSON"),
            Self::Bit(bits) => write!(f, "BIT({bits})"),
            Self::Other(name) => write!(f, "{}", name.to_uppercase()),
        }
    }
}

/// Digits of fraction that a time unit holds.
pub(crate) fn unit_digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

impl Kind {
    /// From the columns of `information_schema.COLUMNS`: DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME,
    /// CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION.
    pub fn from_catalog(
        data_type: &str,
        column_type: &str,
        charset: Option<&str>,
        octets: Option<u64>,
        precision: Option<u64>,
        scale: Option<u64>,
        digits: Option<u64>,
    ) -> Self {
        let small = |number: Option<u64>| number.and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
        let unsigned = column_type.contains("unsigned");
        let int = |bytes| Self::Int { bytes, unsigned, truth: column_type.starts_with("tinyint(1)") };
        let text = || match charset {
            None | Some("binary") => Self::Bytes,
            Some(name) => Self::Text(Charset::by_name(name)),
        };
        // The log may name members in the set's bytes, whatever the catalog shows. Without a set it is binary.
        let choice = matches!(data_type, "enum" | "set");
        if choice && let Charset::Other(name) = Charset::by_name(charset.unwrap_or("binary")) {
            return Self::Other(format!("{data_type} in the character set {name}").into());
        }
        match data_type {
            "tinyint" => int(1),
            "smallint" => int(2),
            "mediumint" => int(3),
            "int" => int(4),
            "bigint" => int(8),
            "decimal" => Self::Decimal(small(precision), small(scale)),
            "float" => Self::Float,
            "double" => Self::Double,
            _ if column_type.contains(" COMPRESSED") || column_type.contains("compressed*/") => {
                Self::Other(column_type.into())
            }
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => text(),
            "binary" => Self::Binary(octets.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)),
            "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Bytes,
            "date" => Self::Date,
            "time" => Self::Time(small(digits)),
            "datetime" => Self::DateTime(small(digits)),
            "timestamp" => Self::Timestamp(small(digits)),
            "year" => Self::Year,
            "enum" => Self::Enum(members(column_type)),
            "set" => Self::Set(members(column_type)),
            "json" => Self::Json,
            "bit" => Self::Bit(small(precision)),
            other => Self::Other(other.into()),
        }
    }

    /// Whether values go into `wanted` without loss of kind; single values may still be out of its range.
    pub fn goes_into(&self, wanted: &DataType) -> bool {
        use DataType as D;
        let fraction = |digits: u8, unit: &TimeUnit| digits <= unit_digits(*unit);
        match (self, wanted) {
            (Self::Text(Charset::Other(_)) | Self::Other(_), _) => false,
            (Self::Int { truth, .. }, D::Boolean) => *truth,
            (Self::Bit(bits), D::Boolean) => *bits == 1,
            (Self::Int { bytes, unsigned, .. }, D::Int8 | D::Int16 | D::Int32 | D::Int64) => {
                let needed = if *unsigned { bytes * 8 + 1 } else { bytes * 8 };
                wanted.primitive_width().is_some_and(|width| usize::from(needed) <= width * 8)
            }
            (Self::Int { bytes, unsigned: true, .. }, D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64) => {
                wanted.primitive_width().is_some_and(|width| usize::from(*bytes) <= width)
            }
            (Self::Int { .. }, D::Decimal128(_, scale)) => *scale >= 0,
            (Self::Bit(bits), D::Int8 | D::Int16 | D::Int32 | D::Int64) => {
                wanted.primitive_width().is_some_and(|width| usize::from(*bits) < width * 8)
            }
            (Self::Bit(bits), D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64) => {
                wanted.primitive_width().is_some_and(|width| usize::from(*bits) <= width * 8)
            }
            (Self::Bit(_), D::Decimal128(_, 0) | D::Binary) => true,
            (Self::Year, D::Int16 | D::Int32 | D::Int64 | D::UInt16 | D::UInt32 | D::UInt64) => true,
            (Self::Decimal(_, scale), D::Decimal128(_, to)) => i16::from(*scale) <= i16::from(*to),
            (Self::Float, D::Float32 | D::Float64) | (Self::Double, D::Float64) => true,
            (Self::Binary(_) | Self::Bytes, D::Binary) | (Self::Date, D::Date32) => true,
            (Self::Time(digits), D::Time32(unit) | D::Time64(unit)) => fraction(*digits, unit),
            (Self::DateTime(digits), D::Timestamp(unit, None)) => fraction(*digits, unit),
            (Self::Timestamp(digits), D::Timestamp(unit, _)) => fraction(*digits, unit),
            (
                Self::Text(_)
                | Self::Enum(_)
                | Self::Set(_)
                | Self::Json
                | Self::Decimal(..)
                | Self::Date
                | Self::Time(_)
                | Self::DateTime(_),
                D::Utf8,
            ) => true,
            _ => false,
        }
    }

    /// The Arrow type that holds every value; for descriptions of a changed table.
    pub fn natural(&self) -> DataType {
        let unit = |digits: u8| match digits {
            0 => TimeUnit::Second,
            1..=3 => TimeUnit::Millisecond,
            _ => TimeUnit::Microsecond,
        };
        match self {
            Self::Int { bytes: 1, unsigned: false, .. } => DataType::Int8,
            Self::Int { bytes: 2, unsigned: false, .. } | Self::Int { bytes: 1, .. } => DataType::Int16,
            Self::Int { bytes: 3 | 4, unsigned: false, .. } | Self::Int { bytes: 2 | 3, .. } | Self::Year => {
                DataType::Int32
            }
            Self::Int { bytes: 8, unsigned: true, .. } => DataType::Decimal128(20, 0),
            Self::Int { .. } => DataType::Int64,
            Self::Decimal(precision @ ..=38, scale) => {
                DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
            }
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Binary(_) | Self::Bytes | Self::Bit(_) => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time(digits @ 0..=3) => DataType::Time32(unit(*digits)),
            Self::Time(digits) => DataType::Time64(unit(*digits)),
            Self::DateTime(digits) => DataType::Timestamp(unit(*digits), None),
            Self::Timestamp(digits) => DataType::Timestamp(unit(*digits), Some("UTC".into())),
            Self::Text(_) | Self::Enum(_) | Self::Set(_) | Self::Json | Self::Other(_) | Self::Decimal(..) => {
                DataType::Utf8
            }
        }
    }
}

/// Members out of `enum('a','b''c','d\\\\e')`: quotes are doubled; backslashes, newlines, carriage returns and zero bytes
/// have a backslash, whatever the session's sql_mode.
fn members(column_type: &str) -> Arc<[Box<str>]> {
    let mut members = Vec::new();
    let mut rest = column_type.chars();
    while rest.by_ref().any(|c| c == '\'') {
        let mut member = String::new();
        while let Some(c) = rest.next() {
            match c {
                '\'' if rest.clone().next() == Some('\'') => member.extend(rest.next()),
                '\'' => break,
                '\\' => member.extend(rest.next().map(|escaped| match escaped {
                    'n' => '\n',
                    'r' => '\r',
                    '0' => '\0',
                    other => other,
                })),
                c => member.push(c),
            }
        }
        members.push(member.into_boxed_str());
    }
    members.into()
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name as the server writes it.
    pub name: String,
    /// Type.
    pub kind: Kind,
    /// Whether NULL may be in it.
    pub nullable: bool,
}

/// The storage type of a TABLE_MAP event: its code and its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Type code of the protocol; STRING is already resolved to ENUM, SET or STRING.
    pub code: u8,
    /// Lengths, precision and scale, or digits of fraction, as the type has them.
    pub meta: u16,
}

/// Type codes of the protocol, as far as row images have them.
pub mod code {
    #![allow(missing_docs, reason = "the names are the protocol's")]
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    pub const BLOB_COMPRESSED: u8 = 140;
    pub const VARCHAR_COMPRESSED: u8 = 141;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
    pub const VECTOR: u8 = 242;
}

impl Wire {
    /// Whether row images of this storage type can hold values of `kind`.
    pub fn carries(self, kind: &Kind) -> bool {
        let digits = |wanted: u8| self.meta == u16::from(wanted);
        match kind {
            Kind::Int { bytes, .. } => matches!(
                (self.code, bytes),
                (code::TINY, 1) | (code::SHORT, 2) | (code::INT24, 3) | (code::LONG, 4) | (code::LONGLONG, 8)
            ),
            Kind::Decimal(precision, scale) => {
                self.code == code::NEWDECIMAL && self.meta == u16::from(*precision) << 8 | u16::from(*scale)
            }
            Kind::Float => self.code == code::FLOAT,
            Kind::Double => self.code == code::DOUBLE,
            Kind::Text(_) | Kind::Bytes => {
                matches!(self.code, code::VARCHAR | code::VAR_STRING | code::STRING | code::BLOB)
            }
            Kind::Binary(_) => self.code == code::STRING,
            Kind::Date => self.code == code::DATE,
            Kind::Time(wanted) => {
                self.code == code::TIME2 && digits(*wanted) || self.code == code::TIME && *wanted == 0
            }
            Kind::DateTime(wanted) => {
                self.code == code::DATETIME2 && digits(*wanted) || self.code == code::DATETIME && *wanted == 0
            }
            Kind::Timestamp(wanted) => {
                self.code == code::TIMESTAMP2 && digits(*wanted) || self.code == code::TIMESTAMP && *wanted == 0
            }
            Kind::Year => self.code == code::YEAR,
            Kind::Enum(_) => self.code == code::ENUM,
            Kind::Set(_) => self.code == code::SET,
            Kind::Json => self.code == code::JSON,
            Kind::Bit(bits) => self.code == code::BIT && (self.meta >> 8) * 8 + (self.meta & 0xff) == u16::from(*bits),
            Kind::Other(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_with_quotes_and_commas_in_them() {
        let kind = Kind::from_catalog("enum", "enum('a','b''c','d,e','')", Some("utf8mb4"), None, None, None, None);
        assert_eq!(kind, Kind::Enum(["a", "b'c", "d,e", ""].map(Box::from).into()));
        let kind = Kind::from_catalog("set", r"set('a\\','\n\r\0''\\','ü(')", Some("latin1"), None, None, None, None);
        assert_eq!(kind, Kind::Set(["a\\", "\n\r\0'\\", "ü("].map(Box::from).into()));
        let kind = Kind::from_catalog("enum", "enum(x'ff')", Some("binary"), None, None, None, None);
        assert_eq!(kind.to_string(), "ENUM IN THE CHARACTER SET BINARY");
    }

    #[test]
    fn only_types_that_hold_every_value_are_taken() {
        let unsigned = Kind::Int { bytes: 4, unsigned: true, truth: false };
        assert!(!unsigned.goes_into(&DataType::Int32));
        assert!(unsigned.goes_into(&DataType::Int64));
        assert!(unsigned.goes_into(&DataType::UInt32));
        assert!(!Kind::DateTime(6).goes_into(&DataType::Timestamp(TimeUnit::Millisecond, None)));
        assert!(!Kind::Decimal(10, 3).goes_into(&DataType::Decimal128(10, 2)));
        assert!(!Kind::Text(Charset::by_name("gb18030")).goes_into(&DataType::Utf8));
        assert!(Kind::Text(Charset::by_name("sjis")).goes_into(&DataType::Utf8));
        assert!(!Kind::Double.goes_into(&DataType::Float32));
    }
}
