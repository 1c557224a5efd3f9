//! `HASH` and `XXHASH64`: Murmur3 of 32 bits as Spark has it, and xxHash of 64 bits, over values as Spark lays them out.
//!
//! Each argument is hashed with the hash before it as the seed, the first with 42; NULL leaves it as it is. Numbers narrower
//! than INT and dates are hashed as INT, times as BIGINT, decimals of up to 18 digits as BIGINT, longer ones as the bytes of
//! their digits, arrays and structs item by item.
//!
//! Source: the algorithms' reference implementations; what Spark does otherwise was seen in its answers.

use datafusion::common::Result as Planned;
use headwater_change::Result;

use super::rows;
use crate::functions::kernel::{Row, RowRun};
use crate::functions::value::{Value, entry_types, field_types, item_type};
use crate::functions::{Bind, arity};
use crate::spark::functions::refused;
use crate::typed::{Context, Typed};
use crate::types::SqlType;

pub(super) const OWN: &[(&str, Bind)] = &[
    ("hash", |context, args| bind(context, "hash", args, SqlType::Int, murmur3)),
    ("xxhash64", |context, args| bind(context, "xxhash64", args, SqlType::BigInt, xxhash64)),
];

fn bind(context: Context<'_>, name: &str, args: Vec<Typed>, result: SqlType, run: RowRun) -> Result<Typed> {
    if args.is_empty() {
        return Err(arity(&name.to_uppercase(), "at least one value"));
    }
    let types: Vec<SqlType> = args.iter().map(|arg| arg.sql_type.clone()).collect();
    if !types.iter().all(hashed) {
        return Err(refused(name, &types));
    }
    let found = rows(context, name, args, result, true, run)?;
    Ok(Typed { nullable: false, ..found })
}

/// Maps have no hash in Spark; times of day and intervals are left out.
fn hashed(sql_type: &SqlType) -> bool {
    match sql_type {
        SqlType::Other(_) if entry_types(sql_type).is_some() => false,
        SqlType::Other(_) => match (item_type(sql_type), field_types(sql_type)) {
            (Some(item), _) => hashed(&item),
            (_, Some(fields)) => fields.iter().all(|(_, field)| hashed(field)),
            _ => false,
        },
        SqlType::Time(_) | SqlType::Months | SqlType::Millis | SqlType::DayTime(..) | SqlType::YearMonth(..) => false,
        _ => true,
    }
}

/// One of both hashes.
trait Hash: Copy {
    fn int(self, value: i32) -> Self;
    fn long(self, value: i64) -> Self;
    fn bytes(self, value: &[u8]) -> Self;
}

fn fold<H: Hash>(hash: H, value: &Value, sql_type: &SqlType) -> H {
    match (value, sql_type) {
        (Value::Null, _) => hash,
        (Value::Bool(truth), _) => hash.int(i32::from(*truth)),
        (Value::Int(number), SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::Date) => {
            hash.int(i32::try_from(*number).unwrap_or(0))
        }
        (Value::Int(number), _) => hash.long(*number),
        // Both zeros are one, and so are all that are no numbers.
        (Value::Float(number), SqlType::Float) => {
            let number = *number as f32;
            let bits = if number == 0.0 {
                0
            } else if number.is_nan() {
                0x7fc0_0000
            } else {
                number.to_bits()
            };
            hash.int(bits.cast_signed())
        }
        (Value::Float(number), _) => {
            let bits = if *number == 0.0 {
                0
            } else if number.is_nan() {
                0x7ff8_0000_0000_0000
            } else {
                number.to_bits()
            };
            hash.long(bits.cast_signed())
        }
        (Value::Decimal(number), SqlType::Decimal(..=18, _)) => hash.long(i64::try_from(*number).unwrap_or(0)),
        (Value::Decimal(number), _) => hash.bytes(shortest(&number.to_be_bytes())),
        (Value::Text(text), _) => hash.bytes(text.as_bytes()),
        (Value::Bytes(bytes), _) => hash.bytes(bytes),
        (Value::List(items), sql_type) => match item_type(sql_type) {
            Some(item) => items.iter().fold(hash, |hash, value| fold(hash, value, &item)),
            None => hash,
        },
        (Value::Struct(values), sql_type) => {
            let fields = field_types(sql_type).unwrap_or_default();
            values.iter().zip(fields).fold(hash, |hash, (value, (_, field))| fold(hash, value, &field))
        }
        (Value::Map(_), _) => hash,
    }
}

/// The fewest bytes that still say the sign of a number.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let sign = tail.first().is_some_and(|next| next & 0x80 != 0);
        if tail.is_empty() || *first != if sign { 0xff } else { 0 } {
            break;
        }
        rest = tail;
    }
    rest
}

fn murmur3(row: &Row<'_>) -> Planned<Value> {
    let hash = row.values.iter().zip(row.types).fold(Murmur(42), |hash, (value, kind)| fold(hash, value, kind));
    Ok(Value::Int(i64::from(hash.0.cast_signed())))
}

fn xxhash64(row: &Row<'_>) -> Planned<Value> {
    let hash = row.values.iter().zip(row.types).fold(Xx(42), |hash, (value, kind)| fold(hash, value, kind));
    Ok(Value::Int(hash.0.cast_signed()))
}

#[derive(Clone, Copy)]
struct Murmur(u32);

impl Murmur {
    fn mixed(self, value: u32) -> Self {
        let value = value.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        Self((self.0 ^ value).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64))
    }

    fn ended(self, length: usize) -> Self {
        let mut hash = self.0 ^ u32::try_from(length).unwrap_or(u32::MAX);
        hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
        Self(hash ^ hash >> 16)
    }
}

fn little32(bytes: &[u8]) -> u32 {
    u32::try_from(little(bytes)).unwrap_or(0)
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

impl Hash for Murmur {
    fn int(self, value: i32) -> Self {
        self.mixed(value.cast_unsigned()).ended(4)
    }

    fn long(self, value: i64) -> Self {
        let value = value.cast_unsigned();
        let (low, high) = (value & 0xffff_ffff, value >> 32);
        let word = |half: u64| u32::try_from(half).unwrap_or(0);
        self.mixed(word(low)).mixed(word(high)).ended(8)
    }

    /// The last bytes are mixed one by one, as signed numbers.
    fn bytes(self, value: &[u8]) -> Self {
        let (words, rest) = value.split_at(value.len() / 4 * 4);
        let hash = words.chunks(4).fold(self, |hash, word| hash.mixed(little32(word)));
        let byte = |hash: Self, byte: &u8| hash.mixed(i32::from(byte.cast_signed()).cast_unsigned());
        rest.iter().fold(hash, byte).ended(value.len())
    }
}

#[derive(Clone, Copy)]
struct Xx(u64);

const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;
const P5: u64 = 0x27d4_eb2f_1656_67c5;

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

impl Xx {
    fn word(self, word: u64) -> Self {
        Self((self.0 ^ round(0, word)).rotate_left(27).wrapping_mul(P1).wrapping_add(P4))
    }

    fn half(self, word: u64) -> Self {
        Self((self.0 ^ word.wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3))
    }

    fn byte(self, byte: u64) -> Self {
        Self((self.0 ^ byte.wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1))
    }

    fn ended(self) -> Self {
        let mut hash = (self.0 ^ self.0 >> 33).wrapping_mul(P2);
        hash = (hash ^ hash >> 29).wrapping_mul(P3);
        Self(hash ^ hash >> 32)
    }

    fn short(self, length: u64) -> Self {
        Self(self.0.wrapping_add(P5).wrapping_add(length))
    }
}

impl Hash for Xx {
    fn int(self, value: i32) -> Self {
        self.short(4).half(u64::from(value.cast_unsigned())).ended()
    }

    fn long(self, value: i64) -> Self {
        self.short(8).word(value.cast_unsigned()).ended()
    }

    fn bytes(self, value: &[u8]) -> Self {
        let length = value.len() as u64;
        let (blocks, rest) = value.split_at(value.len() / 32 * 32);
        let mut hash = self.short(length);
        if !blocks.is_empty() {
            let seed = self.0;
            let mut lanes =
                [seed.wrapping_add(P1).wrapping_add(P2), seed.wrapping_add(P2), seed, seed.wrapping_sub(P1)];
            for block in blocks.chunks(32) {
                for (lane, word) in lanes.iter_mut().zip(block.chunks(8)) {
                    *lane = round(*lane, little(word));
                }
            }
            let turns = [1, 7, 12, 18];
            let sum = lanes.iter().zip(turns).fold(0_u64, |sum, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)));
            let merged =
                lanes.iter().fold(sum, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(P1).wrapping_add(P4));
            hash = Self(merged.wrapping_add(length));
        }
        let (words, rest) = rest.split_at(rest.len() / 8 * 8);
        let hash = words.chunks(8).fold(hash, |hash, word| hash.word(little(word)));
        let (halves, rest) = rest.split_at(rest.len() / 4 * 4);
        let hash = halves.chunks(4).fold(hash, |hash, half| hash.half(little(half)));
        rest.iter().fold(hash, |hash, byte| hash.byte(u64::from(*byte))).ended()
    }
}
