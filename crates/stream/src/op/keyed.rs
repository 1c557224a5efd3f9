//! [`Keyed`]: what the keyed operators share: columns to keys and arguments, shards by the hash of the key, and stored
//! state that knows nothing of shards.
//!
//! ```text
//!  rows ──► keys, arguments ──┬─► shard 0 ─┐
//!                             ├─► shard 1 ─┼─► results in the order of the shards
//!                             └─► shard 2 ─┘
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, concat, concat_batches};
use arrow::datatypes::{DataType, Schema};
use headwater_change::{ChangelogMode, Error, Op, Result};
use headwater_sql::{AggregateCall, Node};
use headwater_state::{Backend, Delta, TableKey};

use super::calc::column;
use crate::accumulate::{self, argument_type, misshapen};
use crate::control::Control;
use crate::group::groups::{CallInput, Groups, KeyedBatch};
use crate::group::keys::KeyCodec;
use crate::group::parts::{PART_BYTES, Part, size};
use crate::group::pool::Pool;
use crate::group::table::hash_key;

/// Batches with fewer rows are not worth the way to other threads.
const PARALLEL_ROWS_MIN: usize = 2_048;

/// Groups of one operator in shards.
pub(crate) struct Keyed<S> {
    operator: u32,
    group: Vec<usize>,
    calls: Vec<AggregateCall>,
    wanted: Vec<Option<DataType>>,
    codec: KeyCodec,
    shards: Vec<S>,
    pool: Arc<Pool>,
    control: Control,
    keys: usize,
}

/// One shard: groups and what the operator keeps beside them.
pub(crate) trait Shard: Send + 'static {
    /// The groups.
    fn groups(&mut self) -> &mut Groups;

    /// Called when all groups were restored.
    fn restored(&mut self) {}
}

impl<S: Shard> Keyed<S> {
    /// `make` builds a shard around its groups.
    pub(crate) fn new(
        node: &Node,
        input: &Node,
        (group, calls): (&[usize], &[AggregateCall]),
        windowed: bool,
        runtime: &Runtime,
        make: impl Fn(Groups) -> S,
    ) -> Result<Self> {
        let append = input.mode == ChangelogMode::Append;
        let schema: &Schema = &input.schema;
        let kind = |index: usize| {
            let field = schema.fields().get(index);
            field
                .map(|field| field.data_type().clone())
                .ok_or_else(|| Error::bug("stream.column", format!("node {} has no column {index}", input.id)))
        };
        let types = group.iter().map(|&index| kind(index)).collect::<Result<Vec<_>>>()?;
        let wanted = calls.iter().map(|call| match call.argument {
            Some(index) => Ok(argument_type(call, &kind(index)?)),
            None => Ok(None),
        });
        let wanted = wanted.collect::<Result<Vec<_>>>()?;
        let shards = (0..runtime.parallelism.max(1))
            .map(|_| {
                let accumulators = calls.iter().map(|call| accumulate::build(call, schema, append));
                Ok(make(Groups::new(accumulators.collect::<Result<_>>()?, windowed)))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            operator: node.id,
            group: group.to_vec(),
            calls: calls.to_vec(),
            wanted,
            codec: KeyCodec::new(&types)?,
            shards,
            pool: Arc::clone(&runtime.pool),
            control: runtime.control.clone(),
            keys: 0,
        })
    }

    /// Keys and arguments of rows.
    pub(crate) fn prepare(
        &self,
        rows: &RecordBatch,
        ops: Option<&[Op]>,
        windows: Option<Vec<i64>>,
    ) -> Result<KeyedBatch> {
        let columns = self.group_columns(rows)?;
        let mut inputs = Vec::with_capacity(self.calls.len());
        for (call, wanted) in self.calls.iter().zip(&self.wanted) {
            inputs.push(call_input(rows, call, wanted.as_ref())?);
        }
        let keys = self.codec.encode(&columns, rows.num_rows())?;
        let weights = ops.map(|ops| ops.iter().map(|op| if op.weight() > 0 { 1 } else { -1 }).collect());
        Ok(KeyedBatch { keys, windows, weights, inputs, hashes: None })
    }

    /// The group columns of rows.
    pub(crate) fn group_columns(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.group.iter().map(|&index| column(rows, index).cloned()).collect()
    }

    /// Runs `work` on every shard with the rows that are its own, and gives the results in order.
    pub(crate) fn run<T: Send + 'static>(
        &mut self,
        mut batch: KeyedBatch,
        work: impl Fn(&mut S, &KeyedBatch, Option<&[u32]>) -> Result<T> + Send + Clone + 'static,
    ) -> Result<Vec<T>> {
        if let [shard] = self.shards.as_mut_slice() {
            return Ok(vec![work(shard, &batch, None)?]);
        }
        let count = self.shards.len();
        let mut hashes = Vec::with_capacity(batch.keys.len());
        let mut rows = vec![Vec::new(); count];
        batch.keys.visit(None, |row, bytes| {
            let window = batch.windows.as_ref().map_or(0, |windows| windows[row]);
            let hash = hash_key(window, bytes);
            hashes.push(hash);
            rows[shard_of(hash, count)].push(row as u32);
            Ok(())
        })?;
        batch.hashes = Some(hashes);
        if batch.keys.len() < PARALLEL_ROWS_MIN {
            return self.shards.iter_mut().zip(&rows).map(|(shard, rows)| work(shard, &batch, Some(rows))).collect();
        }
        let batch = Arc::new((batch, rows));
        let (shards, results) = self.pool.run(std::mem::take(&mut self.shards), move |number, shard| {
            work(shard, &batch.0, batch.1.get(number).map(Vec::as_slice))
        })?;
        self.shards = shards;
        results.into_iter().collect()
    }

    /// The shards, to look at.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &S> {
        self.shards.iter()
    }

    /// The shards.
    pub(crate) fn shards(&mut self) -> &mut [S] {
        &mut self.shards
    }

    /// Encodes and decodes keys.
    pub(crate) fn codec(&self) -> &KeyCodec {
        &self.codec
    }

    /// Where to count.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Tells how many groups there are now.
    pub(crate) fn count_keys(&mut self) {
        let keys = self.shards.iter_mut().map(|shard| shard.groups().keys().len()).sum::<usize>();
        self.control.add_keys(keys as i64 - self.keys as i64);
        self.keys = keys;
    }

    /// What changed since the last seal.
    pub(crate) fn seal(&mut self, deltas: &mut Vec<Delta>) -> Result<()> {
        let groups = self.shards.iter_mut().map(|shard| shard.groups().seal()).collect::<Result<Vec<_>>>()?;
        self.deltas(0, groups.into_iter().flatten(), deltas)?;
        for call in 0..self.calls.len() {
            let values = self.shards.iter_mut().map(|shard| shard.groups().seal_values(call));
            let values = values.filter_map(Result::transpose).collect::<Result<Vec<_>>>()?;
            self.deltas(call + 1, values.into_iter().flatten(), deltas)?;
        }
        Ok(())
    }

    /// Small parts together, large ones by themselves.
    fn deltas(&self, table: usize, parts: impl Iterator<Item = Part>, deltas: &mut Vec<Delta>) -> Result<()> {
        let (mut together, mut bytes) = (Vec::new(), 0);
        for part in parts.filter(|(upserts, deletes)| upserts.num_rows() > 0 || !deletes.is_empty()) {
            let more = size(&part);
            if bytes + more > PART_BYTES {
                deltas.extend(self.delta(table, &std::mem::take(&mut together))?);
                bytes = 0;
            }
            bytes += more;
            together.push(part);
        }
        deltas.extend(self.delta(table, &together)?);
        Ok(())
    }

    fn delta(&self, table: usize, parts: &[Part]) -> Result<Option<Delta>> {
        let Some((first, _)) = parts.first() else { return Ok(None) };
        let whole = |error| Error::bug("stream.state_shape", "shards do not fit together").caused_by(error);
        let upserts = concat_batches(&first.schema(), parts.iter().map(|(upserts, _)| upserts)).map_err(whole)?;
        let deletes = parts.iter().map(|(_, deletes)| deletes as &dyn Array).collect::<Vec<_>>();
        let deletes = concat(&deletes).map_err(whole)?.as_binary::<i32>().clone();
        Ok(Some(Delta { table: self.table(table), upserts, deletes }))
    }

    fn table(&self, table: usize) -> TableKey {
        TableKey { operator: self.operator, table: u16::try_from(table).unwrap_or(u16::MAX) }
    }

    /// Takes back what was stored, whatever the number of shards was then.
    pub(crate) fn restore(&mut self, backend: &mut dyn Backend) -> Result<()> {
        let count = self.shards.len();
        let shards = &mut self.shards;
        let table = |table: usize| TableKey { operator: self.operator, table: table as u16 };
        backend.restore(table(0), &mut |upserts, deletes| {
            shards.iter_mut().enumerate().try_for_each(|(number, shard)| {
                shard.groups().restore(upserts, deletes, |hash| shard_of(hash, count) == number)
            })
        })?;
        for call in 0..self.calls.len() {
            if shards.first_mut().is_some_and(|shard| shard.groups().has_values(call)) {
                backend.restore(table(call + 1), &mut |upserts, deletes| {
                    shards.iter_mut().try_for_each(|shard| shard.groups().restore_values(call, upserts, deletes))
                })?;
            }
        }
        self.shards.iter_mut().for_each(Shard::restored);
        self.count_keys();
        Ok(())
    }
}

/// What operators are given by the run.
#[derive(Clone)]
pub(crate) struct Runtime {
    /// Number of shards.
    pub(crate) parallelism: usize,
    /// Threads for them.
    pub(crate) pool: Arc<Pool>,
    /// Where to count.
    pub(crate) control: Control,
}

/// The shard of a hash. Takes bits that hash tables do not look at first.
fn shard_of(hash: u64, shards: usize) -> usize {
    ((((hash >> 20) & 0xFFFF_FFFF) * shards as u64) >> 32) as usize
}

fn call_input(rows: &RecordBatch, call: &AggregateCall, wanted: Option<&DataType>) -> Result<CallInput> {
    let values = match call.argument {
        Some(index) => Some(match wanted {
            Some(wanted) => cast(column(rows, index)?, wanted).map_err(|error| {
                Error::bug("stream.argument_type", "an aggregate cannot take its argument").caused_by(error)
            })?,
            None => Arc::clone(column(rows, index)?),
        }),
        None => None,
    };
    let valid = values.as_ref().and_then(|values| values.logical_nulls());
    let valid = valid.filter(|nulls| nulls.null_count() > 0).map(|nulls| nulls.into_inner());
    let passing = match call.filter {
        Some(index) => Some(truth(column(rows, index)?)?),
        None => None,
    };
    let counted = match (valid, passing) {
        (Some(valid), Some(passing)) => Some(&valid & &passing),
        (valid, passing) => valid.or(passing),
    };
    Ok(CallInput { values, counted })
}

fn truth(column: &ArrayRef) -> Result<BooleanBuffer> {
    let mask = column.as_boolean_opt().ok_or_else(misshapen)?;
    Ok(match mask.nulls() {
        Some(valid) => mask.values() & valid.inner(),
        None => mask.values().clone(),
    })
}
