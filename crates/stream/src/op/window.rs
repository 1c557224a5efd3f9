//! `GROUP BY` per event-time window: one row per window and key, when the watermark passes the window's end.
//!
//! A row is dropped and counted iff `window_end - 1 ms <=` the watermark in force before it (Flink's rule); because that
//! watermark comes with the row, the cut of batches does not show. Windows fire in the order of their ends, and only
//! groups that still have rows give one. Times with a zone are cut in the session's: windows are known by the local time of
//! their ends, and close at that time in UTC.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt32Array,
};
use arrow::compute::{concat, take_arrays, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use headwater_change::{ChangeBatch, Error, Op, Result, TableId, TimeZone};
use headwater_sql::{Node, Window, WindowAggregate};
use headwater_state::{Backend, Delta};

use super::calc::{batch, column};
use super::keyed::{Keyed, Runtime, Shard};
use super::watermark::millis;
use super::{Operator, Output};
use crate::flow::Flow;
use crate::group::groups::{Groups, KeyedBatch};

/// Rows that one output batch has at most, more or less.
const OUTPUT_ROWS: usize = 16_384;

/// Runs a [`WindowAggregate`].
pub(crate) struct WindowOperator {
    keyed: Keyed<WindowShard>,
    time: usize,
    cut: Cut,
    schema: SchemaRef,
    table: TableId,
}

struct WindowShard {
    groups: Groups,
    /// Slots of each open window, by its end.
    open: BTreeMap<i64, Vec<u32>>,
}

impl Shard for WindowShard {
    fn groups(&mut self) -> &mut Groups {
        &mut self.groups
    }

    fn restored(&mut self) {
        for slot in self.groups.slots() {
            self.open.entry(self.groups.keys().window(slot)).or_default().push(slot);
        }
    }
}

/// Windows of one size, shifted.
#[derive(Clone, Copy)]
struct Cut {
    size: i64,
    offset: i64,
    zone: Option<TimeZone>,
}

impl Cut {
    fn new(window: Window) -> Result<Self> {
        let Window::Tumble { size, offset_millis, zone } = window;
        match i64::try_from(size.as_millis()) {
            Ok(size) if size > 0 => Ok(Self { size, offset: offset_millis, zone }),
            _ => Err(Error::usage("stream.window_size", "a window must be at least a millisecond long")
                .hint("write the size as INTERVAL '10' SECOND")),
        }
    }

    /// Start of the window that holds a local time.
    fn start(self, time: i64) -> i64 {
        time.saturating_sub(time.wrapping_sub(self.offset).rem_euclid(self.size))
    }

    /// The last instant, in UTC, of the window that ends at a local time.
    fn last(self, end: i64) -> i64 {
        let last = end.saturating_sub(1);
        match self.zone {
            Some(zone) => last.saturating_sub(zone.offset_of_local(last.div_euclid(1000)).saturating_mul(1000)),
            None => last,
        }
    }
}

impl WindowOperator {
    /// An operator without windows.
    pub(crate) fn new(window: &WindowAggregate, node: &Node, input: &Node, runtime: &Runtime) -> Result<Self> {
        let keyed = Keyed::new(node, input, (&window.group, &window.calls), true, runtime, |groups| WindowShard {
            groups,
            open: BTreeMap::new(),
        })?;
        let table = TableId::bare(format!("window.{}", node.id));
        Ok(Self { keyed, time: window.time, cut: Cut::new(window.window)?, schema: node.schema.clone(), table })
    }

    /// The window ends of the rows that are not late, and which rows these are (`None`: all).
    fn assign(&self, flow: &Flow) -> Result<(Vec<i64>, Option<Vec<u32>>)> {
        let times = column(flow.batch.rows(), self.time)?;
        if times.null_count() > 0 {
            let name = flow.batch.rows().schema().field(self.time).name().clone();
            return Err(Error::data("stream.null_rowtime", format!("a row has NULL in the time column '{name}'"))
                .hint(format!("filter such rows (WHERE {name} IS NOT NULL) or replace NULL with COALESCE")));
        }
        let times = millis(times)?;
        let mut ends = Vec::with_capacity(times.len());
        let mut kept: Option<Vec<u32>> = None;
        let mut marks = flow.marks.cursor();
        let (mut start, mut end, mut last) = (0, 0, -1);
        let mut clock = LocalClock::new(self.cut.zone);
        for (row, &time) in (0u32..).zip(times.iter()) {
            let time = clock.local(time);
            if time < start || time >= end {
                start = self.cut.start(time);
                end = start.saturating_add(self.cut.size);
                last = self.cut.last(end);
            }
            if last <= marks.before(row) {
                kept.get_or_insert_with(|| (0..row).collect());
                continue;
            }
            ends.push(end);
            if let Some(kept) = &mut kept {
                kept.push(row);
            }
        }
        Ok((ends, kept))
    }

    /// Gives the rows of windows; `ends` are in order and every shard has some slots of each.
    fn emit(&mut self, ends: &[i64], out: &mut Output) -> Result<()> {
        let mut parts = Vec::new();
        let mut order = Vec::new();
        for shard in self.keyed.shards() {
            let mut slots = Vec::new();
            for (rank, end) in ends.iter().enumerate() {
                let window = shard.open.remove(end).unwrap_or_default();
                for slot in window {
                    if shard.groups.count(slot) > 0 {
                        slots.push(slot);
                        order.push(rank);
                    } else {
                        shard.groups.remove(slot);
                    }
                }
            }
            parts.push(slots);
        }
        let mut columns: Vec<Vec<ArrayRef>> = Vec::new();
        for (shard, slots) in self.keyed.parts().zip(&parts) {
            columns.push(self.results(&shard.groups, slots)?);
        }
        for (shard, slots) in self.keyed.shards().iter_mut().zip(parts) {
            slots.into_iter().for_each(|slot| shard.groups.remove(slot));
            shard.groups.pack();
        }
        let columns = joined(columns, &order)?;
        let rows = batch(self.schema.clone(), columns, order.len())?;
        for offset in (0..rows.num_rows()).step_by(OUTPUT_ROWS) {
            let rows = rows.slice(offset, OUTPUT_ROWS.min(rows.num_rows() - offset));
            out.push(ChangeBatch::insert_only(self.table.clone(), rows));
        }
        Ok(())
    }

    /// The output columns of slots of one shard.
    fn results(&self, groups: &Groups, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let ends = slots.iter().map(|&slot| groups.keys().window(slot));
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        columns.push(bound(&self.schema, 0, ends.clone().map(|end| end.saturating_sub(self.cut.size)))?);
        columns.push(bound(&self.schema, 1, ends)?);
        columns.extend(self.keyed.codec().decode(slots.iter().map(|&slot| groups.keys().bytes(slot)))?);
        columns.extend(groups.output(slots)?);
        Ok(columns)
    }
}

impl Operator for WindowOperator {
    fn rows(&mut self, _port: usize, flow: Flow, _out: &mut Output) -> Result<()> {
        let (ends, kept) = self.assign(&flow)?;
        let (rows, ops) = match &kept {
            None => (flow.batch.rows().clone(), flow.batch.ops().cloned()),
            Some(kept) => {
                self.keyed.control().add_late_rows((flow.batch.len() - kept.len()) as u64);
                picked(&flow.batch, kept)?
            }
        };
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let prepared = self.keyed.prepare(&rows, ops.as_deref(), Some(ends))?;
        for stray in self.keyed.run(prepared, WindowShard::absorb)? {
            self.keyed.control().add_stray_rows(stray);
        }
        self.keyed.count_keys();
        Ok(())
    }

    fn time(&mut self, watermark: i64, out: &mut Output) -> Result<()> {
        let mut due = BTreeSet::new();
        let cut = self.cut;
        for shard in self.keyed.shards() {
            due.extend(shard.open.keys().take_while(|end| cut.last(**end) <= watermark));
        }
        if due.is_empty() {
            return Ok(());
        }
        // As many windows at once as make a batch: thousands of small ones must not become thousands of batches.
        let mut ends = Vec::new();
        let mut rows = 0;
        for end in due {
            ends.push(end);
            rows += self.keyed.shards().iter().filter_map(|shard| shard.open.get(&end)).map(Vec::len).sum::<usize>();
            if rows >= OUTPUT_ROWS {
                self.emit(&std::mem::take(&mut ends), out)?;
                rows = 0;
            }
        }
        if !ends.is_empty() {
            self.emit(&ends, out)?;
        }
        self.keyed.count_keys();
        Ok(())
    }

    fn seal(&mut self, deltas: &mut Vec<Delta>) -> Result<()> {
        self.keyed.seal(deltas)
    }

    fn restore(&mut self, backend: &mut dyn Backend) -> Result<()> {
        self.keyed.restore(backend)
    }
}

impl WindowShard {
    fn absorb(&mut self, batch: &KeyedBatch, rows: Option<&[u32]>) -> Result<u64> {
        let open = &mut self.open;
        let groups = self.groups.intern(batch, rows, |slot, end| open.entry(end).or_default().push(slot))?;
        self.groups.apply(batch, rows, &groups)
    }
}

/// Local times of instants. Offsets change at quarters of an hour only, so one is asked for once a quarter.
struct LocalClock {
    zone: Option<TimeZone>,
    quarter: i64,
    offset: i64,
}

impl LocalClock {
    fn new(zone: Option<TimeZone>) -> Self {
        Self { zone: zone.filter(|zone| *zone != TimeZone::UTC), quarter: i64::MIN, offset: 0 }
    }

    #[inline]
    fn local(&mut self, time: i64) -> i64 {
        let Some(zone) = self.zone else { return time };
        let quarter = time.div_euclid(900_000);
        if quarter != self.quarter {
            self.quarter = quarter;
            self.offset = zone.offset_seconds(time.div_euclid(1000)) * 1000;
        }
        time.saturating_add(self.offset)
    }
}

/// The rows of a batch at the given indices.
fn picked(batch: &ChangeBatch, kept: &[u32]) -> Result<(RecordBatch, Option<Arc<[Op]>>)> {
    let rows = take_record_batch(batch.rows(), &UInt32Array::from(kept.to_vec())).map_err(broken)?;
    let ops = batch.ops().map(|ops| kept.iter().filter_map(|&row| ops.get(row as usize).copied()).collect());
    Ok((rows, ops))
}

/// The columns of all shards one below the other, sorted by the rank of the rows' windows.
fn joined(parts: Vec<Vec<ArrayRef>>, ranks: &[usize]) -> Result<Vec<ArrayRef>> {
    let mut parts = parts.into_iter();
    let Some(mut columns) = parts.next() else { return Ok(Vec::new()) };
    let rest: Vec<Vec<ArrayRef>> = parts.collect();
    if rest.is_empty() {
        return Ok(columns);
    }
    for (index, column) in columns.iter_mut().enumerate() {
        let mut pieces: Vec<&dyn Array> = vec![column.as_ref()];
        pieces.extend(rest.iter().filter_map(|part| part.get(index)).map(|piece| piece.as_ref()));
        *column = concat(&pieces).map_err(broken)?;
    }
    let mut order: Vec<u32> = (0..ranks.len() as u32).collect();
    order.sort_by_key(|&row| ranks[row as usize]);
    take_arrays(&columns, &UInt32Array::from(order), None).map_err(broken)
}

/// A bound of windows in the precision of its output column.
fn bound(schema: &SchemaRef, index: usize, millis: impl Iterator<Item = i64>) -> Result<ArrayRef> {
    let kind = schema.fields().get(index).map(|field| field.data_type().clone());
    let Some(DataType::Timestamp(unit, zone)) = kind else {
        return Err(Error::bug("stream.window_bound", format!("column {index} of a window is no timestamp")));
    };
    let scaled = |factor: i64| -> Vec<i64> { millis.map(|value| value.saturating_mul(factor)).collect() };
    Ok(match unit {
        TimeUnit::Second => {
            let seconds: Vec<i64> = scaled(1).into_iter().map(|value| value.div_euclid(1_000)).collect();
            Arc::new(TimestampSecondArray::from(seconds).with_timezone_opt(zone))
        }
        TimeUnit::Millisecond => Arc::new(TimestampMillisecondArray::from(scaled(1)).with_timezone_opt(zone)),
        TimeUnit::Microsecond => Arc::new(TimestampMicrosecondArray::from(scaled(1_000)).with_timezone_opt(zone)),
        TimeUnit::Nanosecond => Arc::new(TimestampNanosecondArray::from(scaled(1_000_000)).with_timezone_opt(zone)),
    })
}

fn broken(error: arrow::error::ArrowError) -> Error {
    Error::bug("stream.window", "results of windows do not fit together").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_cut_downwards_also_before_1970_and_shifted() {
        let cut = Cut { size: 10, offset: 0, zone: None };
        assert_eq!([-11, -10, -1, 0, 9, 10].map(|time| cut.start(time)), [-20, -10, -10, 0, 0, 10]);
        let shifted = Cut { size: 10, offset: 3, zone: None };
        assert_eq!([-8, -7, 2, 3, 12, 13].map(|time| shifted.start(time)), [-17, -7, -7, 3, 3, 13]);
    }

    #[test]
    fn a_day_in_a_zone_ends_at_its_midnight() {
        let day = 86_400_000;
        let seoul = TimeZone::parse("Asia/Seoul").unwrap();
        let cut = Cut { size: day, offset: 0, zone: Some(seoul) };
        // 2024-01-01 15:00:00 UTC is midnight in Seoul.
        let midnight = 1_704_121_200_000;
        let mut clock = LocalClock::new(cut.zone);
        let end = |time: i64| cut.start(time) + day;
        let (before, after) = (clock.local(midnight - 1), clock.local(midnight));
        assert_eq!(cut.last(end(before)), midnight - 1);
        assert_eq!(cut.last(end(after)), midnight + day - 1);
    }
}
