//! What the log says of tables: statements that define them, TABLE_MAP events, and the plan by which rows are read.
//!
//! The law: rows are read by the definition that held where they were written; where that cannot be known, they are not.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use headwater_change::{Error, ErrorKind, Place, Result, SchemaChange, TableId};

use super::Log;
use crate::check;
use crate::client;
use crate::queue::Message;
use crate::rows::event::Plan;
use crate::rows::table_map::TableMap;
use crate::schema::Column;
use crate::statement::{self, Meaning};

/// A wanted table in the log.
pub(super) struct Mapped {
    pub(super) data: Vec<u8>,
    pub(super) map: TableMap,
    pub(super) plan: Arc<Plan>,
}

impl Log<'_> {
    pub(super) fn statement(&mut self, data: &[u8]) -> Result<()> {
        let (database, sql) = statement::read(data).map_err(|_| self.damaged("a QUERY event"))?;
        match statement::meaning(&sql) {
            Meaning::Begin => {
                self.transaction.begun = true;
                self.transaction.open = true;
                return Ok(());
            }
            Meaning::End => {
                self.end();
                return Ok(());
            }
            Meaning::Inside => return Ok(()),
            meaning @ (Meaning::Rows | Meaning::Emptying) => {
                if let Some(table) = statement::names_wanted(&sql, &database, self.config) {
                    return Err(self.unlogged(meaning, &table, sql));
                }
            }
            Meaning::Other => {}
        }
        // A definition may have changed: look at every table again.
        self.ddl = Some(sql);
        self.maps.clear();
        if !self.transaction.begun {
            self.end();
        }
        Ok(())
    }

    fn unlogged(&self, meaning: Meaning, table: &str, sql: String) -> Error {
        if meaning == Meaning::Rows {
            return self
                .fault(
                    ErrorKind::Data,
                    "mysql.statement_event",
                    format!("rows of {table} were changed by a statement in the log"),
                )
                .detail(sql)
                .hint("SET GLOBAL binlog_format='ROW'; no session may set it otherwise");
        }
        self.fault(
            ErrorKind::Fenced,
            "mysql.table_emptied",
            format!("the table {table} was emptied without row events"),
        )
        .detail(sql)
        .hint("start anew with a snapshot: delete the state of this source; use DELETE instead of TRUNCATE")
    }

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
        let plan = self.plan(&map).await?;
        self.maps.insert(id, Some(Mapped { data: data.to_vec(), map, plan }));
        Ok(())
    }

    /// How a table is read, as it is defined at this place of the log.
    async fn plan(&mut self, map: &TableMap) -> Result<Arc<Plan>> {
        let name = (map.database.clone(), map.table.clone());
        let known = self.plans.get(&name);
        if let Some((wires, plan)) = known
            && *wires == map.wires
            && match &map.columns {
                Some(columns) => *columns == plan.columns,
                None => self.ddl.is_none(),
            }
        {
            return Ok(Arc::clone(plan));
        }
        let columns = match &map.columns {
            Some(columns) => columns.clone(),
            None => {
                let mut conn = client::connect(&self.config.access, &[]).await?;
                let columns = check::columns(&mut conn, &map.database, &map.table).await?;
                let _ = conn.disconnect().await;
                self.ddl = None;
                columns
            }
        };
        let fits = columns.len() == map.wires.len()
            && columns.iter().zip(&map.wires).all(|(column, wire)| wire.carries(&column.kind));
        if !fits {
            return Err(self
                .fault(ErrorKind::Fenced, "mysql.schema_mismatch", format!("{}.{} was defined otherwise at this place of the log than it is now", map.database, map.table))
                .hint("SET GLOBAL binlog_row_metadata='FULL'; so that the log itself describes its tables, and start anew with a snapshot"));
        }
        let plan = check::plan(&self.schema, &map.database, &map.table, columns, self.policy)
            .map_err(|error| error.at(Place::Position(format!("{}:{}", self.file, self.offset))))?;
        let plan = Arc::new(plan);
        let before = self.plans.insert(name, (map.wires.clone(), Arc::clone(&plan)));
        if let Some((_, before)) = before
            && !same_columns(&before.columns, &plan.columns)
        {
            self.schema_changed(&before, &plan).await?;
        }
        Ok(plan)
    }

    async fn schema_changed(&mut self, before: &Plan, after: &Plan) -> Result<()> {
        // A definition changes between transactions; what was read so far comes first.
        self.flush().await?;
        let change = SchemaChange {
            table: TableId::new(after.database.as_str(), after.table.as_str()),
            before: Some(described(&before.columns)),
            after: Some(described(&after.columns)),
            ddl: self.ddl.take(),
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
