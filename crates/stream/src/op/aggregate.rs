//! `GROUP BY` without a window: one row per key, kept up to date.
//!
//! For each batch every touched key gives at most one net change: `+I` when it is new, `-U`/`+U` when its result row
//! changed, `-D` when its last row went, nothing when it is as it was. Flink gives one per row; the folded result is the
//! same, which is law 3. Where a sink shows each change, a batch is taken in runs of rows with different keys, which
//! gives Flink's changes.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{concat, take, take_arrays};
use arrow::datatypes::SchemaRef;
use headwater_change::{ChangeBatch, Error, Op, Result, TableId};
use headwater_sql::{Aggregate, AggregateCall, AggregateFunction, Node};
use headwater_state::{Backend, Delta};

use super::calc::batch;
use super::keyed::{Keyed, Runtime, Shard};
use super::{Operator, Output};
use crate::flow::{END_OF_TIME, Flow};
use crate::group::groups::{Groups, KeyedBatch};
use crate::group::table::hash_key;

/// Runs an [`Aggregate`].
pub(crate) struct AggregateOperator {
    keyed: Keyed<AggregateShard>,
    schema: SchemaRef,
    table: TableId,
    /// Whether each row's changes are given, or the net ones of a batch.
    each: bool,
    /// What is given when the input ends without a group.
    over_nothing: Option<Vec<ArrayRef>>,
}

struct AggregateShard {
    groups: Groups,
    /// Per slot: whether this batch has touched it.
    touched: Vec<bool>,
}

impl Shard for AggregateShard {
    fn groups(&mut self) -> &mut Groups {
        &mut self.groups
    }
}

/// What a batch changed in one shard.
struct Changes {
    /// Per output row: the row of the batch that first touched the key.
    keys: Vec<u32>,
    /// Per output row: what happened.
    ops: Vec<Op>,
    /// The aggregates of the output rows.
    results: Vec<ArrayRef>,
    stray: u64,
}

impl AggregateOperator {
    /// An operator without groups.
    pub(crate) fn new(aggregate: &Aggregate, node: &Node, input: &Node, each: bool, runtime: &Runtime) -> Result<Self> {
        let keyed = Keyed::new(node, input, (&aggregate.group, &aggregate.calls), false, runtime, |groups| {
            AggregateShard { groups, touched: Vec::new() }
        })?;
        let table = TableId::bare(format!("aggregate.{}", node.id));
        let over_nothing = aggregate.row_over_nothing.then(|| aggregate.calls.iter().map(over_nothing).collect());
        Ok(Self { keyed, schema: node.schema.clone(), table, each, over_nothing })
    }

    fn emit(&self, rows: &RecordBatch, changes: Changes, out: &mut Output) -> Result<()> {
        if changes.ops.is_empty() {
            return Ok(());
        }
        let indices = UInt32Array::from(changes.keys);
        let mut columns = take_arrays(&self.keyed.group_columns(rows)?, &indices, None).map_err(broken)?;
        columns.extend(changes.results);
        let rows = batch(self.schema.clone(), columns, changes.ops.len())?;
        let fresh = changes.ops.iter().all(|op| *op == Op::Insert);
        out.push(if fresh {
            ChangeBatch::insert_only(self.table.clone(), rows)
        } else {
            ChangeBatch::new(self.table.clone(), rows, changes.ops)?
        });
        Ok(())
    }
}

impl Operator for AggregateOperator {
    fn rows(&mut self, _port: usize, flow: Flow, out: &mut Output) -> Result<()> {
        let rows = flow.batch.rows();
        let prepared = self.keyed.prepare(rows, flow.batch.ops().map(|ops| &ops[..]), None)?;
        let each = self.each;
        let shards = self.keyed.run(prepared, move |shard, batch, rows| match each {
            true => shard.absorb_each(batch, rows),
            false => Ok(vec![shard.absorb(batch, rows)?]),
        })?;
        for changes in shards.into_iter().flatten() {
            self.keyed.control().add_stray_rows(changes.stray);
            self.emit(rows, changes, out)?;
        }
        self.keyed.count_keys();
        Ok(())
    }

    fn time(&mut self, watermark: i64, out: &mut Output) -> Result<()> {
        let empty = self.keyed.shards().iter_mut().all(|shard| shard.groups.keys().len() == 0);
        if let Some(row) = self.over_nothing.take_if(|_| watermark == END_OF_TIME)
            && empty
        {
            out.push(ChangeBatch::insert_only(self.table.clone(), batch(self.schema.clone(), row, 1)?));
        }
        Ok(())
    }

    fn seal(&mut self, deltas: &mut Vec<Delta>) -> Result<()> {
        self.keyed.seal(deltas)
    }

    fn restore(&mut self, backend: &mut dyn Backend) -> Result<()> {
        self.keyed.restore(backend)
    }
}

/// An aggregate of no rows.
fn over_nothing(call: &AggregateCall) -> ArrayRef {
    match call.function {
        AggregateFunction::Count => Arc::new(Int64Array::from_value(0, 1)),
        _ => new_null_array(call.result.data_type(), 1),
    }
}

impl AggregateShard {
    /// As [`absorb`](Self::absorb), run by run.
    fn absorb_each(&mut self, batch: &KeyedBatch, rows: Option<&[u32]>) -> Result<Vec<Changes>> {
        let (mut runs, mut run, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        batch.keys.visit(rows, |row, bytes| {
            // Two keys with one hash only end a run too early.
            if !seen.insert(hash_key(0, bytes)) {
                runs.push(std::mem::take(&mut run));
                seen.clear();
                seen.insert(hash_key(0, bytes));
            }
            run.push(row as u32);
            Ok(())
        })?;
        runs.push(run);
        runs.iter().map(|run| self.absorb(batch, Some(run))).collect()
    }

    fn absorb(&mut self, batch: &KeyedBatch, rows: Option<&[u32]>) -> Result<Changes> {
        let groups = self.groups.intern(batch, rows, |_, _| ())?;
        self.touched.resize(self.groups.keys().capacity(), false);
        let (mut slots, mut firsts) = (Vec::new(), Vec::new());
        for (index, &slot) in groups.iter().enumerate() {
            let touched = &mut self.touched[slot as usize];
            if !*touched {
                *touched = true;
                slots.push(slot);
                firsts.push(rows.map_or(index as u32, |rows| rows[index]));
            }
        }
        let old: Vec<usize> = (0..slots.len()).filter(|&index| self.groups.count(slots[index]) > 0).collect();
        let old_slots: Vec<u32> = old.iter().map(|&index| slots[index]).collect();
        let before = self.groups.output(&old_slots)?;
        let stray = self.groups.apply(batch, rows, &groups)?;
        let live: Vec<usize> = (0..slots.len()).filter(|&index| self.groups.count(slots[index]) > 0).collect();
        let live_slots: Vec<u32> = live.iter().map(|&index| slots[index]).collect();
        let after = self.groups.output(&live_slots)?;
        let same = unchanged(&before, &old, &after, &live)?;
        let mut changes = Changes { keys: Vec::new(), ops: Vec::new(), results: Vec::new(), stray };
        let mut picks = Vec::new();
        let (mut at_old, mut at_live) = (0, 0);
        for (index, &slot) in slots.iter().enumerate() {
            self.touched[slot as usize] = false;
            let was = old.get(at_old) == Some(&index);
            let is = live.get(at_live) == Some(&index);
            let (old_row, new_row) = (at_old as u32, (old.len() + at_live) as u32);
            let mut emit = |op: Op, row: u32| {
                changes.keys.push(firsts[index]);
                changes.ops.push(op);
                picks.push(row);
            };
            match (was, is) {
                (true, true) if same[at_live] => {}
                (true, true) => {
                    emit(Op::UpdateBefore, old_row);
                    emit(Op::UpdateAfter, new_row);
                }
                (true, false) => emit(Op::Delete, old_row),
                (false, true) => emit(Op::Insert, new_row),
                (false, false) => {}
            }
            if !is {
                self.groups.remove(slot);
            }
            at_old += usize::from(was);
            at_live += usize::from(is);
        }
        self.groups.pack();
        let picks = UInt32Array::from(picks);
        for (before, after) in before.iter().zip(&after) {
            let both = concat(&[before.as_ref(), after.as_ref()]).map_err(broken)?;
            changes.results.push(take(&both, &picks, None).map_err(broken)?);
        }
        Ok(changes)
    }
}

/// For each live key whether it has the same results as before. `old` and `live` number the keys of the results' rows.
fn unchanged(before: &[ArrayRef], old: &[usize], after: &[ArrayRef], live: &[usize]) -> Result<Vec<bool>> {
    let mut same = vec![false; live.len()];
    let (mut old_rows, mut live_rows) = (Vec::new(), Vec::new());
    let mut at_old = 0;
    for (row, index) in live.iter().enumerate() {
        while old.get(at_old).is_some_and(|old| old < index) {
            at_old += 1;
        }
        if old.get(at_old) == Some(index) {
            old_rows.push(at_old as u32);
            live_rows.push(row as u32);
        }
    }
    let mut differs = vec![false; live_rows.len()];
    let (old_rows, picked) = (UInt32Array::from(old_rows), UInt32Array::from(live_rows));
    for (before, after) in before.iter().zip(after) {
        let before = take(before, &old_rows, None).map_err(broken)?;
        let after = take(after, &picked, None).map_err(broken)?;
        let column: BooleanArray = distinct(&before, &after).map_err(broken)?;
        for (differs, distinct) in differs.iter_mut().zip(column.values()) {
            *differs |= distinct;
        }
    }
    for (&row, differs) in picked.values().iter().zip(differs) {
        same[row as usize] = !differs;
    }
    Ok(same)
}

fn broken(error: arrow::error::ArrowError) -> Error {
    Error::bug("stream.aggregate", "results of groups do not fit together").caused_by(error)
}
