//! What the log says of tables: TABLE_MAP events, and the plan by which rows are read.
//!
//! The law: rows are read by the definition that held where they were written; where that cannot be known, they are not.
//! An event that names its columns says it. Without names a definition is known from the catalog, which holds at its
//! place of the log ([`Catalog`](super::catalog::Catalog)), as long as no statement between there and here changes the
//! table: the reader goes ahead to see ([`ahead`](super::ahead)).

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use headwater_change::{Error, ErrorKind, Place, Result, SchemaChange, TableId};

use super::Log;
use crate::check;
use crate::queue::Message;
use crate::rows::event::Plan;
use crate::rows::table_map::TableMap;
use crate::schema::Column;

/// A wanted table in the log.
pub(super) struct Mapped {
    pub(super) data: Vec<u8>,
    pub(super) map: TableMap,
    pub(super) plan: Arc<Plan>,
}

impl Log<'_> {
    pub(super) async fn table_map(&mut self, data: &[u8]) -> Result<()> {
        let (id, database, table) = TableMap::name(data).map_err(|_| self.damaged("a TABLE_MAP event"))?;
        match self.maps.get(&id) {
            Some(Some(known)) if known.data == data => return Ok(()),
            Some(None) => return Ok(()),
            _ => {}
        }
        let (database, table) = (String::from_utf8_lossy(database), String::from_utf8_lossy(table));
        if !self.config.wants(&database, &table) {
            self.maps.insert(id, None);
            return Ok(());
        }
        let map = TableMap::read(data, self.server.flavor).map_err(|_| self.damaged("a TABLE_MAP event"))?;
        if let Some(plan) = self.plan(&map).await? {
            self.maps.insert(id, Some(Mapped { data: data.to_vec(), map, plan }));
        }
        Ok(())
    }

    /// How a table is read, as it is defined at this place of the log; `None` where the log must be looked at ahead first.
    async fn plan(&mut self, map: &TableMap) -> Result<Option<Arc<Plan>>> {
        self.reach_catalog()?;
        let key = self.habits.key(&map.database, &map.table);
        let columns = match &map.columns {
            Some(columns) => columns,
            None => match self.known.get(&key).and_then(|known| known.columns.as_ref()) {
                Some(columns) => columns,
                None if self.ahead.as_ref().is_some_and(|ahead| ahead.from == self.place) => {
                    return Err(self.not_known(map));
                }
                None => {
                    self.again = true;
                    self.look_ahead = true;
                    return Ok(None);
                }
            },
        };
        if let Some((wires, plan)) = self.plans.get(&key)
            && *wires == map.wires
            && *columns == plan.columns
        {
            return Ok(Some(Arc::clone(plan)));
        }
        let fits = columns.len() == map.wires.len()
            && columns.iter().zip(&map.wires).all(|(column, wire)| wire.carries(&column.kind));
        if !fits {
            return Err(self.not_known(map));
        }
        let plan =
            check::plan(&self.schema, &map.database, &map.table, columns.clone(), self.policy).map_err(|error| {
                let error = error.at(Place::Position(format!("{}:{}", self.file, self.offset)));
                match self.ddl.get(&key) {
                    Some(statement) => error.detail(statement),
                    None => error,
                }
            })?;
        let plan = Arc::new(plan);
        let before = self.plans.insert(key.clone(), (map.wires.clone(), Arc::clone(&plan)));
        if let Some((_, before)) = before
            && !same_columns(&before.columns, &plan.columns)
        {
            let ddl = self.ddl.remove(&key);
            self.schema_changed(&before, &plan, ddl).await?;
        }
        Ok(Some(plan))
    }

    /// An event without names of columns, of a table that is not what the catalog says.
    fn not_known(&self, map: &TableMap) -> Error {
        let table = format!("{}.{}", map.database, map.table);
        let error = self.fault(
            ErrorKind::Fenced,
            "mysql.schema_mismatch",
            format!(
                "{table} was defined otherwise at this place of the log than it is now, and the log does not say how"
            ),
        );
        let key = self.habits.key(&map.database, &map.table);
        let error = match self.ahead.as_ref().and_then(|ahead| ahead.change_of(&key)) {
            Some(statement) => error.detail(statement),
            None => error.detail(
                "no statement between here and now changed it: it may have columns that the server does not show, such as \
                 those of functional indexes",
            ),
        };
        error.hint("SET GLOBAL binlog_row_metadata='FULL'; so that the log itself describes its tables, and start anew with a snapshot")
    }

    /// From the catalog's place on the catalog holds.
    pub(super) fn reach_catalog(&mut self) -> Result<()> {
        if self.catalog.is_before(&self.file, self.offset) {
            if let Some(doubt) = self.doubt.take() {
                return Err(doubt);
            }
            self.known.extend(std::mem::take(&mut self.catalog.tables));
            self.catalog.place = None;
        }
        Ok(())
    }

    /// Tables that cannot be read as they are now, and no statement up to where they are so.
    pub(super) fn doubted(&mut self) -> Result<()> {
        if self.doubt.is_none() {
            return Ok(());
        }
        let reached = self.catalog.is_reached(&self.place.file, self.place.offset)
            || !self.transaction.open && self.catalog.is_reached(&self.file, self.offset);
        self.doubt.take_if(|_| reached).map_or(Ok(()), Err)
    }

    async fn schema_changed(&mut self, before: &Plan, after: &Plan, ddl: Option<String>) -> Result<()> {
        // A definition changes between transactions; what was read so far comes first.
        self.flush().await?;
        let change = SchemaChange {
            table: TableId::new(after.database.as_str(), after.table.as_str()),
            before: Some(described(&before.columns)),
            after: Some(described(&after.columns)),
            ddl,
            position: self.batcher.here(&self.place),
        };
        self.queue.push(Message::Schema(change)).await;
        Ok(())
    }
}

/// Whether two definitions are the same for a reader. The log does not tell TINYINT(1) from other TINYINTs.
fn same_columns(left: &[Column], right: &[Column]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(l, r)| l.name == r.name && l.kind.to_string() == r.kind.to_string() && l.nullable == r.nullable)
}

fn described(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> =
        columns.iter().map(|column| Field::new(&column.name, column.kind.natural(), column.nullable)).collect();
    Arc::new(Schema::new(fields))
}
