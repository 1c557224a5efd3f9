//! Row events: bytes of row images straight into the builders of the wanted columns.

use headwater_change::Op;

use super::build::{Builders, Policy};
use super::cell::{self, Cell};
use super::table_map::TableMap;
use crate::bytes::{Bytes, Short, bit};
use crate::schema::{Column, Wire};

/// Where the value of a wanted column comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Column of the table by its place.
    Column(usize),
    /// Database of the row.
    Database,
    /// Table of the row.
    Table,
    /// Time of the change: seconds since 1970, 0 for the snapshot.
    OpTime,
    /// `+I`, `-U`, `+U` or `-D`.
    RowKind,
}

/// How the rows of one table become wanted columns.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Database of the table.
    pub database: String,
    /// Its name.
    pub table: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// One per wanted column.
    pub feeds: Vec<Feed>,
    /// The wanted column that a column of the table goes to.
    pub targets: Vec<Option<usize>>,
    /// What to do with values that Arrow does not have.
    pub policy: Policy,
}

/// Which row event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// WRITE_ROWS.
    Write,
    /// UPDATE_ROWS.
    Update,
    /// DELETE_ROWS.
    Delete,
}

/// A row event's kind by its type code: version 1 (23 to 25), version 2 (30 to 32).
pub fn change_of(event_type: u8) -> Option<(Change, bool)> {
    Some(match event_type {
        23 => (Change::Write, false),
        24 => (Change::Update, false),
        25 => (Change::Delete, false),
        30 => (Change::Write, true),
        31 => (Change::Update, true),
        32 => (Change::Delete, true),
        _ => return None,
    })
}

/// Why a row event could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The bytes are not a row event of this table.
    Damaged,
    /// A wanted column is missing from the row image.
    Partial(String),
    /// A value does not fit: column, row within the event, what is wrong.
    Value(String, usize, String),
}

impl From<Short> for Trouble {
    fn from(_: Short) -> Self {
        Self::Damaged
    }
}

/// Appends the rows of a row event (its data behind the header, without a checksum) to `out` and their ops to `ops`, but
/// for the first `skip` of them, which were delivered before; an update counts as two. Returns how many rows it had.
///
/// Never panics, whatever the bytes are. After an error the builders hold incomplete rows and are of no more use.
#[expect(clippy::too_many_arguments, reason = "each is a thing of its own, and it is called in one place")]
pub fn decode_rows_event(
    data: &[u8],
    (change, second_version): (Change, bool),
    map: &TableMap,
    plan: &Plan,
    op_seconds: u32,
    skip: usize,
    out: &mut Builders,
    ops: &mut Vec<Op>,
) -> Result<usize, Trouble> {
    let mut bytes = Bytes::new(data);
    bytes.take(8)?;
    if second_version {
        let extra = usize::try_from(bytes.little(2)?).map_err(|_| Short)?;
        bytes.take(extra.checked_sub(2).ok_or(Short)?)?;
    }
    let count = bytes.length()?;
    if count != map.wires.len() || count != plan.columns.len() {
        return Err(Trouble::Damaged);
    }
    let first = Image::new(bytes.take(count.div_ceil(8))?, count, plan)?;
    let second =
        if change == Change::Update { Some(Image::new(bytes.take(count.div_ceil(8))?, count, plan)?) } else { None };
    if count == 0 {
        return Err(Trouble::Damaged);
    }
    let images: [(Op, Option<&Image<'_>>); 2] = match change {
        Change::Write => [(Op::Insert, Some(&first)), (Op::Insert, None)],
        Change::Delete => [(Op::Delete, Some(&first)), (Op::Delete, None)],
        Change::Update => [(Op::UpdateBefore, Some(&first)), (Op::UpdateAfter, second.as_ref())],
    };
    let (mut row, mut passed) = (0, 0);
    while !bytes.is_empty() {
        row += 1;
        for (op, image) in &images {
            if let Some(image) = image {
                passed += 1;
                if passed <= skip {
                    image.skip(&mut bytes, &map.wires)?;
                    continue;
                }
                image.row(&mut bytes, &map.wires, plan, row, out)?;
                end_row(plan, *op, op_seconds, out).map_err(|what| Trouble::Value("metadata".to_owned(), row, what))?;
                ops.push(*op);
            }
        }
    }
    Ok(passed)
}

/// Fills the metadata columns of a row whose data is there.
pub(crate) fn end_row(plan: &Plan, op: Op, op_seconds: u32, out: &mut Builders) -> Result<(), String> {
    for (index, feed) in plan.feeds.iter().enumerate() {
        match feed {
            Feed::Column(_) => {}
            Feed::Database => out.append_text(index, &plan.database)?,
            Feed::Table => out.append_text(index, &plan.table)?,
            Feed::RowKind => out.append_text(index, op.short())?,
            Feed::OpTime => out.append_instant(index, op_seconds.into())?,
        }
    }
    out.end_row();
    Ok(())
}

/// Which columns an image has.
struct Image<'a> {
    present: &'a [u8],
    present_count: usize,
}

impl<'a> Image<'a> {
    fn new(present: &'a [u8], count: usize, plan: &Plan) -> Result<Self, Trouble> {
        for (index, target) in plan.targets.iter().enumerate() {
            if target.is_some() && !bit(present, index) {
                return Err(Trouble::Partial(plan.columns.get(index).map(|c| c.name.clone()).unwrap_or_default()));
            }
        }
        let present_count = (0..count).filter(|index| bit(present, *index)).count();
        // An image without columns has no bytes, and rows could not be counted.
        if present_count == 0 {
            return Err(Trouble::Damaged);
        }
        Ok(Self { present, present_count })
    }

    /// Steps over a row.
    fn skip(&self, bytes: &mut Bytes<'_>, wires: &[Wire]) -> Result<(), Short> {
        let nulls = bytes.take(self.present_count.div_ceil(8))?;
        let present = wires.iter().enumerate().filter(|(index, _)| bit(self.present, *index));
        for (nth, (_, wire)) in present.enumerate() {
            if !bit(nulls, nth) {
                cell::skip(*wire, bytes)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn row(
        &self,
        bytes: &mut Bytes<'_>,
        wires: &[Wire],
        plan: &Plan,
        row: usize,
        out: &mut Builders,
    ) -> Result<(), Trouble> {
        let nulls = bytes.take(self.present_count.div_ceil(8))?;
        let mut nth = 0;
        for ((index, wire), (column, target)) in wires.iter().enumerate().zip(plan.columns.iter().zip(&plan.targets)) {
            if !bit(self.present, index) {
                continue;
            }
            let is_null = bit(nulls, nth);
            nth += 1;
            match target {
                None if is_null => {}
                None => cell::skip(*wire, bytes)?,
                Some(target) => {
                    let value = if is_null { Cell::Null } else { cell::read(*wire, &column.kind, bytes)? };
                    out.append(*target, &value, &column.kind, plan.policy)
                        .map_err(|what| Trouble::Value(column.name.clone(), row, what))?;
                }
            }
        }
        Ok(())
    }
}
