//! The text notation of a [`ChangeBatch`]: what tests write, and what logs, EXPLAIN and the console show.
//!
//! ```text
//! op | user_id Int64! | page Utf8     | ts Timestamp(ms)
//! +I |            101 | "/products/1" | 2024-04-25T10:00:01.000
//! -D |              7 | null          | null
//! ```
//!
//! A small table whose first column is the op. The header names every column and its type; `!` marks columns that are
//! never null. Names that are not plain identifiers, and all strings, are quoted as JSON quotes them. Blank lines and
//! the space around `|` mean nothing.
//!
//! | type | a value |
//! |---|---|
//! | `Boolean` | `true` |
//! | `Int8` … `Int64`, `UInt8` … `UInt64` | `-7` |
//! | `Float32`, `Float64` | `0.1`, `-0.0`, `NaN`, `-Infinity` |
//! | `Decimal128(10, 2)` | `-12.50` |
//! | `Utf8` | `"a\n\"b\""` |
//! | `Binary` | `x'0aff'` |
//! | `Date32` | `2024-04-25` |
//! | `Time32(s)`, `Time32(ms)`, `Time64(us)`, `Time64(ns)` | `10:00:01.000` |
//! | `Timestamp(ms)`, `Timestamp(ms, UTC)` | `2024-04-25T10:00:01.000`, with a zone `2024-04-25T10:00:01.000Z` |
//! | `Duration(ms)` | `1500ms` |
//! | `Interval(YearMonth)`, `Interval(DayTime)`, `Interval(MonthDayNano)` | `14mo`, `2d 3ms`, `1mo 2d 3ns` |
//! | `List<Int64!>` | `[1, 2]` |
//! | `Map<Utf8, Int64>` | `{"k": 1}` |
//! | `Struct<a Int64, b Utf8!>` | `(1, "x")` |
//! | `Null` | `null` |
//!
//! The law: [`parse`] of [`print()`] gives the same batch. What the notation does not carry: the table (given to
//! [`parse`]), positions, metadata of fields, and the payload of a NaN. A batch whose ops are all `+I` is read as an
//! append-only one. Arrow types that are not in the table can be printed but not parsed.

mod build;
mod cursor;
mod parse;
mod print;
#[cfg(test)]
mod tests;
mod time;
mod types;

use std::fmt;

pub use parse::parse;
pub use print::{print, print_row, print_value};

use crate::ChangeBatch;

impl fmt::Display for ChangeBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self))
    }
}
