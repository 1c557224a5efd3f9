//! Names of tables, changes of their schemas, and what kinds of change a relation can carry.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::Position;

/// A table by name, optionally inside a database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    /// Database (MySQL schema), where the source has them.
    pub database: Option<Arc<str>>,
    /// Table name, unquoted.
    pub name: Arc<str>,
}

impl TableId {
    /// A table without a database.
    pub fn bare(name: impl Into<Arc<str>>) -> Self {
        Self { database: None, name: name.into() }
    }

    /// A table inside a database.
    pub fn new(database: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { database: Some(database.into()), name: name.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.database {
            Some(database) => write!(f, "{database}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A change of a table's definition, in the same stream as its rows and between two transactions.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaChange {
    /// The table; the new name for a rename.
    pub table: TableId,
    /// Columns before, or `None` when the table is new.
    pub before: Option<SchemaRef>,
    /// Columns after, or `None` when the table is gone.
    pub after: Option<SchemaRef>,
    /// The statement, where the source tells it.
    pub ddl: Option<String>,
    /// Where it happened.
    pub position: Position,
}

/// Which ops a relation can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangelogMode {
    /// Only [`crate::Op::Insert`].
    Append,
    /// Inserts, updates and deletes identified by the key columns (indices into the schema); the images of updates and
    /// deletes before the change may be missing.
    Upsert(Vec<usize>),
    /// All four ops with full images: every row that goes equals one that came.
    Retract,
}

impl fmt::Display for ChangelogMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append => f.write_str("append"),
            Self::Upsert(key) => write!(f, "upsert{key:?}"),
            Self::Retract => f.write_str("retract"),
        }
    }
}
