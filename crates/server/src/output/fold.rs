//! The memory of a changelog: which rows it comes to.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use headwater_change::{ChangeBatch, Error, Result};

/// A multiset of rows, given back in the order in which they came to stay.
pub(crate) struct Fold {
    schema: SchemaRef,
    converter: RowConverter,
    rows: HashMap<OwnedRow, Kept>,
    next: u64,
}

/// How often a row is there, and since when.
struct Kept {
    weight: i64,
    since: u64,
}

impl Fold {
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(broken)?;
        Ok(Self { schema: SchemaRef::clone(schema), converter, rows: HashMap::new(), next: 0 })
    }

    pub(crate) fn apply(&mut self, batch: &ChangeBatch) -> Result<()> {
        let encoded = self.converter.convert_columns(batch.rows().columns()).map_err(broken)?;
        for (index, row) in encoded.iter().enumerate() {
            self.next += 1;
            let kept = self.rows.entry(row.owned()).or_insert(Kept { weight: 0, since: self.next });
            kept.weight += batch.op(index).weight();
            if kept.weight == 0 {
                self.rows.remove(&row.owned());
            }
        }
        Ok(())
    }

    /// The rows that are there now.
    pub(crate) fn rows(&self) -> Result<RecordBatch> {
        let mut kept: Vec<(&OwnedRow, &Kept)> = self.rows.iter().filter(|(_, kept)| kept.weight > 0).collect();
        kept.sort_unstable_by_key(|(_, kept)| kept.since);
        let repeated = kept.iter().flat_map(|(row, kept)| (0..kept.weight).map(|_| row.row()));
        let columns = self.converter.convert_rows(repeated).map_err(broken)?;
        RecordBatch::try_new(SchemaRef::clone(&self.schema), columns).map_err(broken)
    }
}

fn broken(error: arrow::error::ArrowError) -> Error {
    Error::bug("output.fold", "the result's rows could not be folded").caused_by(error)
}
