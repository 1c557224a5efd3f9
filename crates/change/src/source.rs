//! The seam of everything that is read.
//!
//! The law of a source: opened from the positions of a committed epoch it delivers exactly the changes behind them,
//! in the order of their partition. It is pulled, never pushes, and knows nothing of epochs, barriers or state.

use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;

use crate::{ChangeBatch, ChangelogMode, Options, Place, Position, Result, SchemaChange, TableId};

/// What a source delivers.
#[derive(Clone, Debug)]
pub struct SourceDescription {
    /// Columns of the delivered rows.
    pub schema: SchemaRef,
    /// Ops of the delivered rows.
    pub mode: ChangelogMode,
    /// Whether [`Read::End`] comes by itself.
    pub bounded: bool,
}

/// Something that can be read from a position. Building one touches nothing outside; opening it does.
pub trait Source: Send + Sync {
    /// What it delivers.
    fn describe(&self) -> SourceDescription;

    /// Starts reading behind `from`, one position per partition; from the beginning where it is empty.
    ///
    /// Fails with [`crate::ErrorKind::Fenced`] when a position is no longer there.
    fn open(&self, from: &[Position]) -> Result<Box<dyn Reader>>;

    /// The statements by which it would ask a server, for people to read; a source that asks none has none. Looks at the
    /// server, reads no rows.
    fn statements(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// What one pull brings.
#[derive(Debug)]
pub enum Read {
    /// Changes with their runs. Empty only where it ends a transaction all of whose rows came before.
    Rows(ChangeBatch),
    /// A changed table definition; rows behind it have the new one.
    Schema(SchemaChange),
    /// Nothing new within the wait; the position may have moved all the same (changes of other tables), or its partition
    /// be over ([`Position::retired`]).
    Idle(Option<Position>),
    /// A bounded source is exhausted.
    End,
}

/// A statement that was answered to its end.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As it was sent.
    pub statement: String,
    /// Rows of the answer.
    pub rows: u64,
    /// Bytes of these rows on the wire.
    pub bytes: u64,
    /// From its sending to its last row, waits of the reader among it.
    pub elapsed: Duration,
}

/// A source being read by one thread.
pub trait Reader: Send {
    /// Brings the next changes: at most about `budget` bytes of Arrow data, waiting at most about `wait` for them.
    ///
    /// A transaction larger than the budget comes in several batches of which only the last ends it.
    fn next(&mut self, budget: usize, wait: Duration) -> Result<Read>;

    /// The share of all that it will bring that was brought already, from 0 to 1, where it knows.
    fn progress(&self) -> Option<f64> {
        None
    }

    /// Why it brings nothing for now, where it holds back by itself.
    fn held(&self) -> Option<String> {
        None
    }

    /// What it has asked its server so far, statement by statement.
    fn asked(&self) -> Vec<Asked> {
        Vec::new()
    }

    /// Where a row of the batch that was brought last stands in the source, for people to find it.
    fn locate(&self, _row: usize) -> Option<Place> {
        None
    }
}

/// What a connector is asked to build: one table, only the columns that the plan uses.
#[derive(Clone, Debug)]
pub struct TableRequest {
    /// Name of the table in the catalog.
    pub table: TableId,
    /// Columns to deliver or to take, in this order. Decoding is directed by this schema. A field that carries
    /// [`METADATA_KEY`] is filled with the connector's metadata of that name instead of data.
    pub schema: SchemaRef,
    /// Indices of the primary key's columns in `schema`; empty where none is declared or a source's was not asked for.
    pub primary_key: Vec<usize>,
    /// Columns of `PARTITIONED BY`, for sinks that lay them out.
    pub partitioned_by: Vec<usize>,
    /// Checked options, without `connector`.
    pub options: Options,
    /// Rows that do not fulfil all of these need not be delivered; whoever asks tests them again. All that do fulfil them
    /// must be. A sink that replaces rows of before replaces exactly those that fulfil all of these.
    pub conditions: Vec<Condition>,
    /// The rows that are wanted where not all of them are; more may be delivered.
    pub first: Option<First>,
    /// How many threads a source may use to decode.
    pub threads: usize,
}

/// The first rows by some columns; any rows where none is named. NULL is less than everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// Columns by which the rows are sorted, and whether they descend.
    pub keys: Vec<(String, bool)>,
    /// How many.
    pub rows: usize,
}

/// A comparison of a delivered column with a constant. NULL fulfils none.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Name of the column.
    pub column: String,
    /// How it compares.
    pub comparison: Comparison,
    /// The constant: one value of the column's Arrow type.
    pub value: ArrayRef,
}

/// How a column compares with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// As SQL writes it.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// The same with both sides changed: `5 > x` is `x < 5`.
    #[must_use]
    pub fn turned(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

/// Key in a field's Arrow metadata that names the connector metadata to deliver (`METADATA FROM 'file.name'`).
pub const METADATA_KEY: &str = "headwater.metadata";

/// Key in a field's Arrow metadata that says where the column stands among the declared data columns of its table:
/// `index/count`, from 0. Formats that know columns by position only (csv) need it when not all columns are asked for.
pub const POSITION_KEY: &str = "headwater.position";

/// Key in a field's metadata: what the SQL type says beyond the Arrow type, such as `VARCHAR(3)` or `TIMESTAMP(1)`.
pub const TYPE_KEY: &str = "headwater.type";
