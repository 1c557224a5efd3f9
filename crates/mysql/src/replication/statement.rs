//! The statements in the log: ends of transactions, changed definitions, and what cannot be followed.

use headwater_change::{Error, ErrorKind, METADATA_KEY, Result};

use super::Log;
use super::catalog::Known;
use crate::client::Flavor;
use crate::statement::{self, Effect, Facts, Harm, Name, Scope, Statement, judge};

impl Log<'_> {
    /// What a QUERY or EXECUTE_LOAD_QUERY event does.
    pub(super) fn effect(&self, data: &[u8], load: bool) -> Result<(Statement, Effect)> {
        let mut statement = statement::read(data, load).map_err(|_| self.damaged("a QUERY event"))?;
        statement.in_transaction = self.transaction.begun;
        statement.mode.mariadb = self.server.flavor == Flavor::MariaDb;
        let scope = Scope {
            tables: &|database, table| self.config.wants(database, table),
            databases: &|database| self.config.wants_database(database),
            lower_case: self.habits.lower_case,
            cascades_are_logged: self.habits.cascades_are_logged,
        };
        let effect = statement.effect(&scope);
        Ok((statement, effect))
    }

    pub(super) fn statement(&mut self, data: &[u8], load: bool) -> Result<()> {
        self.reach_catalog()?;
        let (statement, effect) = self.effect(data, load)?;
        match effect {
            Effect::Begin => {
                self.open_transaction();
                self.transaction.begun = true;
                return Ok(());
            }
            Effect::Commit => return self.end(),
            Effect::Rollback => {
                self.roll_back()?;
                return self.end();
            }
            Effect::Savepoint(name) => {
                self.savepoint(name);
                return Ok(());
            }
            Effect::RollbackTo(name) => return self.roll_back_to(&name),
            Effect::Release(name) => {
                self.release(&name);
                return Ok(());
            }
            Effect::Inside => return Ok(()),
            Effect::Passes => {}
            Effect::Creates { name, if_absent } => {
                let key = self.habits.key_of(&name);
                if !if_absent || !self.plans.contains_key(&key) {
                    self.known.remove(&key);
                    self.forget_plan(&name);
                    self.ddl.insert(key, statement.sql);
                }
            }
            Effect::Alters(name, parts) => self.altered(&name, &parts, statement)?,
            Effect::Stops(harm) => return Err(self.stopped(harm, statement.sql)),
        }
        if !self.transaction.begun {
            self.end()?;
        }
        Ok(())
    }

    /// Rows behind this place bring the table's definition anew.
    fn forget_plan(&mut self, name: &Name) {
        let key = self.habits.key_of(name);
        let habits = self.habits;
        self.maps.retain(|_, mapped| {
            mapped.as_ref().is_none_or(|mapped| habits.key(&mapped.plan.database, &mapped.plan.table) != key)
        });
    }

    fn altered(&mut self, name: &Name, parts: &[Vec<crate::statement::Token>], statement: Statement) -> Result<()> {
        let key = self.habits.key_of(name);
        let unknown = Known::default();
        let known = self.known.get(&key);
        let declared = |column: &str| known.and_then(|known| known.declared.get(&column.to_lowercase()).cloned());
        // What is generated now was so before: nothing else could be followed.
        let described = known.or_else(|| self.catalog.tables.get(&key));
        let wanted = |column: &str| self.wants_column(described.unwrap_or(&unknown), column);
        let facts = Facts {
            wanted: &wanted,
            declared: &declared,
            charset: known.and_then(|known| known.charset.as_deref()),
            generated: described.is_none_or(|known| known.generated.iter().any(|column| wanted(column))),
            texts: self
                .data_columns()
                .any(|column| declared(&column.to_lowercase()).is_none_or(|declared| declared.is_text())),
            cascades_are_logged: self.habits.cascades_are_logged,
            oracle: statement.oracle,
        };
        let change = match judge(name, parts, &facts) {
            Ok(change) => change,
            Err(harm) => return Err(self.stopped(harm, statement.sql)),
        };
        self.forget_plan(name);
        if let Some(known) = self.known.get_mut(&key) {
            if change.columns {
                known.columns = None;
            }
            if change.charset {
                known.charset = None;
            }
            known.declared.extend(change.declared.into_iter().map(|(name, after)| (name.to_lowercase(), after)));
        }
        self.ddl.insert(key, statement.sql);
        Ok(())
    }

    /// Whether a column is read. Servers compare names by a collation, so one with other letters than ASCII counts as
    /// another column only where the table is known to have it beside the wanted ones.
    fn wants_column(&self, known: &Known, name: &str) -> bool {
        if self.data_columns().any(|column| column.to_lowercase() == name.to_lowercase()) {
            return true;
        }
        !name.is_ascii() && !known.declared.contains_key(&name.to_lowercase())
    }

    /// The names of the columns that are read.
    fn data_columns(&self) -> impl Iterator<Item = &str> {
        let fields = self.schema.fields().iter();
        fields.filter(|field| !field.metadata().contains_key(METADATA_KEY)).map(|field| field.name().as_str())
    }

    fn stopped(&self, harm: Harm, sql: String) -> Error {
        let again = "start anew with a snapshot: delete the state of this source";
        let rows = "SET GLOBAL binlog_format='ROW'; no session may set it otherwise. What the statement changed is only found by a new snapshot: delete the state of this source";
        let fenced = |code, message| self.fault(ErrorKind::Fenced, code, message).hint(again);
        let error = match harm {
            Harm::Rows(Some(table)) => self
                .fault(
                    ErrorKind::Data,
                    "mysql.statement_event",
                    format!("rows of {table} were changed by a statement in the log"),
                )
                .hint(rows),
            Harm::Rows(None) => self
                .fault(
                    ErrorKind::Data,
                    "mysql.statement_event",
                    "rows were changed by a statement in the log, maybe those of a wanted table by a view, trigger or function",
                )
                .hint(rows),
            Harm::Emptied(table) => {
                fenced("mysql.table_emptied", format!("rows of {table} went or came without row events"))
                    .hint("start anew with a snapshot: delete the state of this source; use DELETE instead of TRUNCATE")
            }
            Harm::Renamed(table) => {
                fenced("mysql.table_renamed", format!("{table} got another name, or its name another table"))
            }
            Harm::Rewritten(what) => {
                fenced("mysql.rows_rewritten", format!("the values of {what} were changed without row events, or may have been"))
            }
            Harm::Column(column) => fenced("mysql.column_missing", format!("the column {column} is gone"))
                .hint("leave it out of the table's declaration, and start anew with a snapshot"),
            Harm::Unfollowed(why) => {
                fenced("mysql.table_unfollowed", format!("from here on rows of a wanted table change without row events: {why}"))
                    .hint("undo the statement, and start anew with a snapshot")
            }
            Harm::Unknown => {
                fenced("mysql.statement_unknown", "it is not known what a statement in the log does".to_owned())
            }
            Harm::Unreadable => fenced(
                "mysql.statement_unreadable",
                "a statement in the log is written in a character set that is not read".to_owned(),
            )
            .hint("run such statements with SET NAMES utf8mb4, and start anew with a snapshot"),
        };
        error.detail(sql)
    }
}
