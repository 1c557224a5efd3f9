//! One history: its tables, its two sessions, and what happens in them and to the reader.

use std::time::Duration;

use headwater_change::Error;
use headwater_testkit::servers::Flavor;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::follower::{Follower, Trouble};
use super::support::Db;
use super::{ddl, dml, harm};

/// How a history may end.
pub(crate) enum Outcome {
    Equal,
    /// By an error of this code that names a statement.
    Stopped(&'static str),
}

pub(crate) struct History<'a> {
    db: &'a Db,
    pub(crate) flavor: Flavor,
    pub(crate) dice: SmallRng,
    pub(crate) name: String,
    sessions: Vec<Conn>,
    follower: Follower,
    script: Vec<String>,
    /// Statements after which the reader may stop.
    reasons: Vec<String>,
    /// The log names the columns of its rows.
    full: bool,
    /// The widest text is wanted, so that transactions do not fit into a batch.
    pub(crate) wide: bool,
    next: u32,
}

/// The tables whose rows come and go. `t_9` has the row that ends the history, and is touched by nothing else.
pub(crate) const TABLES: [&str; 3] = ["t", "my table", "data"];

/// A stop that nothing gave reason to.
pub(crate) const NEEDLESS: &str = "without need";

impl<'a> History<'a> {
    pub(crate) fn new(db: &'a Db, seed: u64) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let (full, wide) = (dice.random_bool(0.5), dice.random_bool(0.04));
        let name = format!("h{seed}");
        let sessions = vec![db.conn(), db.conn()];
        let follower = Follower::new(&name);
        let (script, reasons) = (Vec::new(), Vec::new());
        Self { db, flavor: db.flavor, dice, name, sessions, follower, script, reasons, full, wide, next: 0 }
    }

    pub(crate) fn script(&self) -> String {
        self.script.join("\n")
    }

    /// A number that no other has.
    pub(crate) fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    pub(crate) fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list.choose(&mut self.dice).expect("not empty").clone()
    }

    /// A table that is wanted, now and then one that was made later.
    pub(crate) fn table(&mut self) -> String {
        match self.dice.random_range(0..12) {
            0 => format!("`t_{}`", self.dice.random_range(1..4)),
            _ => format!("`{}`", self.pick(&TABLES)),
        }
    }

    /// Runs a statement, and tells whether the server took it.
    pub(crate) fn run_in(&mut self, session: usize, sql: &str) -> bool {
        let result = self.db.wait(self.sessions[session].query_drop(sql));
        let failed = result.as_ref().err().map(|error| format!("   -- {error}")).unwrap_or_default();
        self.script.push(format!("{}: {sql};{failed}", ["A", "B"][session]));
        result.is_ok()
    }

    /// Runs a statement after which the reader may stop.
    pub(crate) fn harm_in(&mut self, session: usize, sql: &str) {
        self.reasons.push(sql.to_owned());
        self.run_in(session, sql);
    }

    /// The names of a table's columns with their types, as `information_schema` has them.
    pub(crate) fn columns(&self, table: &str) -> Vec<(String, String)> {
        let sql = format!(
            "SELECT COLUMN_NAME, CONCAT(COLUMN_TYPE, IF(CHARACTER_SET_NAME IS NULL, '', CONCAT(' CHARACTER SET ', CHARACTER_SET_NAME)), \
             IF(IS_NULLABLE = 'YES', ' NULL', ' NOT NULL')) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{}' \
             AND TABLE_NAME = '{}' ORDER BY ORDINAL_POSITION",
            self.name,
            table.trim_matches('`')
        );
        let rows = self.db.rows(&sql).expect("the catalog");
        rows.into_iter().filter_map(|row| Some((row[0].clone()?, row[1].clone()?))).collect()
    }

    pub(crate) fn run(&mut self) -> Result<Outcome, String> {
        match self.act() {
            Ok(()) => Ok(Outcome::Equal),
            Err(Trouble::Wrong(what)) => Err(what),
            Err(Trouble::Stopped(error)) => self.judge(&error),
        }
    }

    /// A stop is right where something gave reason to it, and when it says what. One that nothing gave reason to is none too
    /// many as long as it names its statement and is rare.
    fn judge(&self, error: &Error) -> Result<Outcome, String> {
        if !self.follower.has_committed() && !self.reasons.is_empty() {
            // A start with a snapshot sees tables, not statements.
            return error.hint_text().map(|_| Outcome::Stopped(error.code())).ok_or(format!("no way out: {error:?}"));
        }
        // A row that lacks columns has no statement, nor have columns that nobody sees.
        let unseen = error.detail_text().is_some_and(|detail| detail.starts_with("no statement between"));
        let partial = error.code() == "mysql.binlog_row_image" || unseen;
        let word = |sql: &str| {
            sql.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty()).map(str::to_lowercase)
        };
        let named = error.detail_text().and_then(word).filter(|_| error.place().is_some());
        let known = self.script.iter().filter_map(|line| word(line.get(3..)?)).any(|first| Some(first) == named);
        match (partial || known, self.reasons.is_empty()) {
            (true, false) => Ok(Outcome::Stopped(error.code())),
            (true, true) => Ok(Outcome::Stopped(NEEDLESS)),
            (false, _) => Err(format!("the error names no statement: {error:?}")),
        }
    }

    fn set_up(&mut self) {
        let (name, metadata) = (self.name.clone(), if self.full { "FULL" } else { "MINIMAL" });
        for sql in [
            format!("SET GLOBAL binlog_row_metadata = {metadata}"),
            format!("DROP DATABASE IF EXISTS {name}"),
            format!("DROP DATABASE IF EXISTS {name}_other"),
            format!("CREATE DATABASE {name}"),
            format!("CREATE DATABASE {name}_other"),
        ] {
            self.run_in(0, &sql);
        }
        for session in 0..2 {
            for sql in ["SET SESSION innodb_lock_wait_timeout = 1", "SET SESSION lock_wait_timeout = 2"] {
                self.run_in(session, sql);
            }
            self.run_in(session, &format!("USE {name}"));
        }
        self.run_in(1, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
        for table in ["t", "my table", "data", "t_9", "u", "w"] {
            let definition = ddl::definition(self);
            self.run_in(0, &format!("CREATE TABLE `{table}` {definition}"));
        }
        self.run_in(0, &format!("CREATE TABLE {name}_other.t (id INT PRIMARY KEY, n INT)"));
        for _ in 0..4 {
            let sql = dml::statement(self);
            self.run_in(0, &sql);
        }
    }

    fn act(&mut self) -> Result<(), Trouble> {
        self.set_up();
        self.follow()?;
        if self.dice.random_bool(0.8) {
            while !self.follower.has_committed() {
                self.follower.step(&mut self.dice, Duration::from_millis(20))?;
            }
        }
        let (acts, harmful) = (self.dice.random_range(8..30), self.dice.random_bool(0.5));
        for _ in 0..acts {
            match self.dice.random_range(0..100) {
                0..28 => {
                    let (session, sql) = (self.dice.random_range(0..2), dml::statement(self));
                    self.run_in(session, &sql);
                }
                28..50 => dml::transaction(self)?,
                50..68 => ddl::harmless(self),
                68..74 => ddl::of_others(self),
                74..78 => self.beside(),
                78..82 if harmful => harm::statement(self),
                82..86 => harm::in_statement_format(self, harmful),
                86 => drop(self.run_in(0, "FLUSH BINARY LOGS")),
                _ => self.wander()?,
            }
        }
        if !self.follower.is_open() {
            self.follow()?;
        }
        self.run_in(0, "INSERT INTO t_9 (id) VALUES (1000000)");
        self.follower.read_to("\"t_9\" | 1000000 |", &mut self.dice)?;
        self.follower.difference(self.db).map_or(Ok(()), |what| Err(Trouble::Wrong(what)))
    }

    /// Starts the reader behind its last commit.
    fn follow(&mut self) -> Result<(), Trouble> {
        self.script.push("reader: opens".to_owned());
        self.follower.open(self.db)
    }

    /// The reader reads a bit, goes away, or comes back.
    pub(crate) fn wander(&mut self) -> Result<(), Trouble> {
        match self.dice.random_range(0..10) {
            _ if !self.follower.is_open() => self.follow(),
            0..5 => {
                for _ in 0..self.dice.random_range(1..4) {
                    self.follower.step(&mut self.dice, Duration::from_millis(5))?;
                }
                Ok(())
            }
            5..8 => {
                self.script.push("reader: goes away".to_owned());
                self.follower.close();
                Ok(())
            }
            _ => self.follow(),
        }
    }

    /// An ALTER in one session, and writes of the same table in the other at the same time.
    fn beside(&mut self) {
        let table = self.table();
        let alter = ddl::alter(self, &table);
        let writes: Vec<String> = (0..6).map(|_| dml::of(self, &table)).collect();
        self.script.push("A and B at the same time:".to_owned());
        for (session, sql) in std::iter::once((0, &alter)).chain(writes.iter().map(|sql| (1, sql))) {
            self.script.push(format!("{}: {sql};", ["A", "B"][session]));
        }
        let (first, second) = self.sessions.split_at_mut(1);
        let altering = first[0].query_drop(&alter);
        let writing = async {
            for sql in &writes {
                // Which of them fail depends on the server's mood.
                let _ = second[0].query_drop(sql).await;
            }
        };
        let (altered, ()) = self.db.wait(futures::future::join(altering, writing));
        self.script.push(format!("A: {altered:?}"));
    }

    /// What was altered is a reason to stop where the log does not describe its tables.
    pub(crate) fn altered(&mut self, sql: &str, touches_wanted: bool) {
        if touches_wanted || !self.full {
            self.reasons.push(sql.to_owned());
        }
    }

    /// Takes the history's databases away.
    pub(crate) fn clear(mut self) {
        self.follower.close();
        let _ = self.db.wait(self.sessions[1].query_drop("ROLLBACK"));
        for sql in ["ROLLBACK", "UNLOCK TABLES"] {
            let _ = self.db.wait(self.sessions[0].query_drop(sql));
        }
        for database in [self.name.clone(), format!("{}_other", self.name)] {
            let _ = self.db.wait(self.sessions[0].query_drop(format!("DROP DATABASE IF EXISTS {database}")));
        }
        for session in self.sessions.drain(..) {
            let _ = self.db.wait(session.disconnect());
        }
    }
}
