//! The other candidate: the same trait over fjall, one key-value pair a row.
//!
//! Values are encoded by arrow's row format and written in one atomic batch with `fdatasync`. Only what the benchmark
//! commits is kept: rows and the epoch's number, no positions, receipts or notes.

use std::path::Path;

use arrow::array::{Array, ArrayRef, BinaryArray, BinaryBuilder, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use headwater_change::{Epoch, Error, Result};
use headwater_state::{Backend, Commit, Committed, TableKey};

const ROWS: usize = 8192;

/// State in fjall; all tables have the same schema.
pub(crate) struct FjallBackend {
    database: Database,
    facts: Keyspace,
    schema: SchemaRef,
    converter: RowConverter,
    committed: Committed,
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::remote("bench.fjall", "fjall failed").caused_by(error)
}

impl FjallBackend {
    pub(crate) fn open(folder: &Path, schema: SchemaRef) -> Result<Self> {
        let database = Database::builder(folder).open().map_err(failed)?;
        let facts = database.keyspace("facts", KeyspaceCreateOptions::default).map_err(failed)?;
        let epoch = facts.get("epoch").map_err(failed)?.and_then(|bytes| bytes.as_ref().try_into().ok());
        let epoch = Epoch(epoch.map_or(0, u64::from_le_bytes));
        let fields = schema.fields().iter().skip(1).map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(failed)?;
        Ok(Self { database, facts, schema, converter, committed: Committed { epoch, ..Committed::default() } })
    }

    fn keyspace(&self, table: TableKey) -> Result<Keyspace> {
        let name = format!("{}-{}", table.operator, table.table);
        self.database.keyspace(&name, KeyspaceCreateOptions::default).map_err(failed)
    }

    fn batch(&self, keys: &mut BinaryBuilder, values: &mut Vec<fjall::UserValue>) -> Result<RecordBatch> {
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(values.iter().map(|value| parser.parse(value))).map_err(failed)?;
        let mut all: Vec<ArrayRef> = vec![std::sync::Arc::new(keys.finish())];
        all.extend(columns);
        let batch = RecordBatch::try_new(self.schema.clone(), all).map_err(failed)?;
        values.clear();
        Ok(batch)
    }
}

impl Backend for FjallBackend {
    fn owner(&self) -> headwater_change::Owner {
        headwater_change::Owner { id: "fjall".to_owned(), durable: true }
    }

    fn committed(&self) -> &Committed {
        &self.committed
    }

    fn restore(
        &mut self,
        table: TableKey,
        visit: &mut dyn FnMut(&RecordBatch, &BinaryArray) -> Result<()>,
    ) -> Result<()> {
        let none = BinaryArray::new_null(0);
        let mut keys = BinaryBuilder::new();
        let mut values = Vec::with_capacity(ROWS);
        for pair in self.keyspace(table)?.iter() {
            let (key, value) = pair.into_inner().map_err(failed)?;
            keys.append_value(key);
            values.push(value);
            if values.len() == ROWS {
                visit(&self.batch(&mut keys, &mut values)?, &none)?;
            }
        }
        visit(&self.batch(&mut keys, &mut values)?, &none)
    }

    fn commit(&mut self, commit: Commit) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for delta in &commit.deltas {
            let keyspace = self.keyspace(delta.table)?;
            let columns = delta.upserts.columns();
            let keys = columns.first().and_then(|keys| keys.as_any().downcast_ref::<BinaryArray>());
            let (Some(keys), Some(values)) = (keys, columns.get(1..)) else {
                return Err(Error::bug("bench.fjall", "no key"));
            };
            let rows = self.converter.convert_columns(values).map_err(failed)?;
            for (key, row) in keys.iter().flatten().zip(rows.iter()) {
                batch.insert(&keyspace, key, row.as_ref());
            }
            for key in delta.deletes.iter().flatten() {
                batch.remove(&keyspace, key);
            }
        }
        batch.insert(&self.facts, "epoch", commit.epoch.0.to_le_bytes());
        batch.commit().map_err(failed)?;
        self.committed.epoch = commit.epoch;
        Ok(())
    }
}
