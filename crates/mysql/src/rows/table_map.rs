//! TABLE_MAP events: which table a number stands for, how its rows are stored and, with `binlog_row_metadata=FULL`, what
//! its columns are.

use std::sync::Arc;

use crate::bytes::{Bytes, Short, bit};
use crate::client::Flavor;
use crate::schema::{Charset, Column, Kind, Wire, code};

/// A table as a TABLE_MAP event describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMap {
    /// Number that row events use.
    pub id: u64,
    /// Database.
    pub database: String,
    /// Table.
    pub table: String,
    /// Storage of each column.
    pub wires: Vec<Wire>,
    /// The columns, where the event names them.
    pub columns: Option<Vec<Column>>,
}

impl TableMap {
    /// Number, database and table only: enough to see whether the table is wanted.
    pub fn name(data: &[u8]) -> Result<(u64, &[u8], &[u8]), Short> {
        let mut bytes = Bytes::new(data);
        let id = bytes.little(6)?;
        bytes.take(2)?;
        let length = usize::from(bytes.byte()?);
        let database = bytes.take(length)?;
        bytes.take(1)?;
        let length = usize::from(bytes.byte()?);
        Ok((id, database, bytes.take(length)?))
    }

    /// Reads the data of a TABLE_MAP event of a server of this product: what follows its header, without a checksum.
    pub fn read(data: &[u8], flavor: Flavor) -> Result<Self, Short> {
        let (id, database, table) = Self::name(data)?;
        let mut bytes = Bytes::new(data);
        bytes.take(6 + 2 + 1 + database.len() + 1 + 1 + table.len() + 1)?;
        let count = bytes.length()?;
        let codes = bytes.take(count)?;
        let length = bytes.length()?;
        let mut meta = Bytes::new(bytes.take(length)?);
        let wires = codes.iter().map(|code| wire(*code, &mut meta)).collect::<Result<Vec<_>, _>>()?;
        let nullable = bytes.take(count.div_ceil(8))?;
        let optional = Optional::read(bytes)?;
        let columns = optional.columns(&wires, nullable, flavor)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self { id, database: text(database), table: text(table), wires, columns })
    }
}

/// The storage of a column. What no server writes is damage, so that nothing behind here has to ask again.
fn wire(code: u8, meta: &mut Bytes<'_>) -> Result<Wire, Short> {
    let wire = unchecked_wire(code, meta)?;
    let (high, low) = (wire.meta >> 8, wire.meta & 0xff);
    let sound = match wire.code {
        code::TIMESTAMP2 | code::DATETIME2 | code::TIME2 => wire.meta <= 6,
        code::NEWDECIMAL => (1..=65).contains(&high) && low <= 30 && low <= high,
        code::BIT => low < 8 && (1..=64).contains(&(high * 8 + low)),
        code::ENUM => (1..=2).contains(&wire.meta),
        code::SET => (1..=8).contains(&wire.meta),
        _ => true,
    };
    if sound { Ok(wire) } else { Err(Short) }
}

fn unchecked_wire(code: u8, meta: &mut Bytes<'_>) -> Result<Wire, Short> {
    Ok(match code {
        code::FLOAT
        | code::DOUBLE
        | code::BLOB
        | code::JSON
        | code::GEOMETRY
        | code::VECTOR
        | code::BLOB_COMPRESSED
        | code::TIMESTAMP2
        | code::DATETIME2
        | code::TIME2 => Wire { code, meta: meta.byte()?.into() },
        code::VARCHAR | code::VARCHAR_COMPRESSED => Wire { code, meta: meta.little(2)? as u16 },
        code::NEWDECIMAL => Wire { code, meta: meta.big(2)? as u16 },
        // Whole bytes second, odd bits first; turned here.
        code::BIT => Wire { code, meta: meta.little(2)? as u16 },
        code::ENUM | code::SET => Wire { code: meta.byte()?, meta: meta.byte()?.into() },
        code::STRING | code::VAR_STRING => {
            let (real, length) = (meta.byte()?, u16::from(meta.byte()?));
            match real {
                code::ENUM | code::SET => Wire { code: real, meta: length },
                // Lengths above 255 keep their two high bits, turned, in the type byte.
                _ if real & 0x30 != 0x30 => {
                    Wire { code: real | 0x30, meta: length | u16::from(real & 0x30 ^ 0x30) << 4 }
                }
                _ => Wire { code: real, meta: length },
            }
        }
        _ => Wire { code, meta: 0 },
    })
}

/// The optional metadata that is used here, by the numbers of its fields.
#[derive(Default)]
struct Optional<'a> {
    signedness: Option<&'a [u8]>,
    names: Option<Bytes<'a>>,
    default_charset: Option<Bytes<'a>>,
    column_charset: Option<Bytes<'a>>,
    set_members: Option<Bytes<'a>>,
    enum_members: Option<Bytes<'a>>,
    enum_default_charset: Option<Bytes<'a>>,
    enum_column_charset: Option<Bytes<'a>>,
}

impl<'a> Optional<'a> {
    fn read(mut bytes: Bytes<'a>) -> Result<Self, Short> {
        let mut optional = Self::default();
        while !bytes.is_empty() {
            let field = bytes.byte()?;
            let length = bytes.length()?;
            let raw = bytes.take(length)?;
            let value = Some(Bytes::new(raw));
            match field {
                1 => optional.signedness = Some(raw),
                2 => optional.default_charset = value,
                3 => optional.column_charset = value,
                4 => optional.names = value,
                5 => optional.set_members = value,
                6 => optional.enum_members = value,
                10 => optional.enum_default_charset = value,
                11 => optional.enum_column_charset = value,
                _ => {}
            }
        }
        Ok(optional)
    }

    fn columns(mut self, wires: &[Wire], nullable: &[u8], flavor: Flavor) -> Result<Option<Vec<Column>>, Short> {
        let Some(mut names) = self.names.take() else { return Ok(None) };
        // Which columns the list of character sets counts differs: MySQL has VECTOR in it, MariaDB GEOMETRY.
        let is_text = |w: &Wire| match w.code {
            code::VARCHAR | code::VAR_STRING | code::STRING | code::BLOB | code::VECTOR => true,
            code::VARCHAR_COMPRESSED | code::BLOB_COMPRESSED | code::GEOMETRY => flavor == Flavor::MariaDb,
            _ => false,
        };
        let is_choice = |w: &Wire| matches!(w.code, code::ENUM | code::SET);
        let texts = collations(wires.iter().filter(|w| is_text(w)).count(), self.default_charset, self.column_charset)?;
        let choices = collations(
            wires.iter().filter(|w| is_choice(w)).count(),
            self.enum_default_charset,
            self.enum_column_charset,
        )?;
        let (mut texts, mut choices) = (texts.into_iter(), choices.into_iter());
        let mut numbers = 0;
        let mut columns = Vec::with_capacity(wires.len());
        for (index, wire) in wires.iter().enumerate() {
            let length = names.length()?;
            let name = String::from_utf8_lossy(names.take(length)?).into_owned();
            let is_number = matches!(
                wire.code,
                code::TINY
                    | code::SHORT
                    | code::INT24
                    | code::LONG
                    | code::LONGLONG
                    | code::NEWDECIMAL
                    | code::FLOAT
                    | code::DOUBLE
                    | code::YEAR
            );
            // The signedness bits go from the highest down, over numeric columns only; YEAR counts as one.
            let unsigned = is_number
                && wire.code != code::YEAR
                && self
                    .signedness
                    .is_some_and(|bits| bits.get(numbers / 8).is_some_and(|b| b << (numbers % 8) & 0x80 != 0));
            numbers += usize::from(is_number);
            let members = match wire.code {
                code::ENUM => members(self.enum_members.as_mut(), choices.next().flatten())?,
                code::SET => members(self.set_members.as_mut(), choices.next().flatten())?,
                _ => None,
            };
            let collation = if is_text(wire) { texts.next().flatten() } else { None };
            let kind = kind(*wire, unsigned, collation, members);
            columns.push(Column { name, kind, nullable: bit(nullable, index) });
        }
        Ok(Some(columns))
    }
}

/// One collation number per column, `None` where the event does not say.
fn collations(count: usize, default: Option<Bytes<'_>>, each: Option<Bytes<'_>>) -> Result<Vec<Option<u64>>, Short> {
    let mut all = vec![None; count];
    if let Some(mut default) = default {
        all.fill(Some(default.packed()?));
        while !default.is_empty() {
            let index = default.length()?;
            let collation = default.packed()?;
            *all.get_mut(index).ok_or(Short)? = Some(collation);
        }
    } else if let Some(mut each) = each {
        for slot in &mut all {
            *slot = Some(each.packed()?);
        }
    }
    Ok(all)
}

/// The members of a column; `None` where the event does not name them in characters.
fn members(list: Option<&mut Bytes<'_>>, collation: Option<u64>) -> Result<Option<Arc<[Box<str>]>>, Short> {
    let Some(list) = list else { return Ok(None) };
    // Without a collation they can only be what all have in common.
    let charset = collation.map_or_else(|| Some(Charset::by_name("ascii")), Charset::by_collation);
    let count = list.length()?;
    let mut members = Some(Vec::new());
    for _ in 0..count {
        let length = list.length()?;
        let raw = list.take(length)?;
        let mut text = String::new();
        let known = (collation.is_some() || raw.is_ascii())
            && charset.as_ref().is_some_and(|charset| charset.decode(raw, &mut text).is_ok());
        match &mut members {
            Some(all) if known => all.push(text.into_boxed_str()),
            members => *members = None,
        }
    }
    Ok(members.map(Into::into))
}

fn kind(wire: Wire, unsigned: bool, collation: Option<u64>, members: Option<Arc<[Box<str>]>>) -> Kind {
    let int = |bytes| Kind::Int { bytes, unsigned, truth: bytes == 1 };
    let digits = (wire.meta & 0xff) as u8;
    match wire.code {
        code::TINY => int(1),
        code::SHORT => int(2),
        code::INT24 => int(3),
        code::LONG => int(4),
        code::LONGLONG => int(8),
        code::NEWDECIMAL => Kind::Decimal((wire.meta >> 8) as u8, digits),
        code::FLOAT => Kind::Float,
        code::DOUBLE => Kind::Double,
        code::DATE => Kind::Date,
        code::TIME | code::TIME2 => Kind::Time(digits),
        code::DATETIME | code::DATETIME2 => Kind::DateTime(digits),
        code::TIMESTAMP | code::TIMESTAMP2 => Kind::Timestamp(digits),
        code::YEAR => Kind::Year,
        code::JSON => Kind::Json,
        code::BIT => Kind::Bit(((wire.meta >> 8) * 8) as u8 + digits),
        code::ENUM => members.map_or_else(|| Kind::Other("enum without members".into()), Kind::Enum),
        code::SET => members.map_or_else(|| Kind::Other("set without members".into()), Kind::Set),
        code::VARCHAR | code::VAR_STRING | code::STRING | code::BLOB => match collation.map(Charset::by_collation) {
            Some(Some(charset)) => Kind::Text(charset),
            Some(None) if wire.code == code::STRING => Kind::Binary(wire.meta.into()),
            Some(None) => Kind::Bytes,
            None => Kind::Other("text without a character set".into()),
        },
        other => Kind::Other(format!("type {other}").into()),
    }
}
