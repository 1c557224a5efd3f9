//! A reader as a pipeline would have it: what it brought is folded, and committed at some of the ends of transactions; a
//! restart goes back to the last commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampSecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use headwater_change::{ChangeBatch, Error, METADATA_KEY, Position, Read, Reader, notation};
use rand::Rng;
use rand::rngs::SmallRng;

use super::support::{Db, within};

/// Rows as texts, with how often each is there.
pub(crate) type Rows = BTreeMap<String, usize>;

/// The tables that are wanted.
pub(crate) const WANTED: &str = "t|my table|data|t_[0-9]";

/// Why following ended.
pub(crate) enum Trouble {
    Stopped(Error),
    Wrong(String),
}

/// The wanted columns.
pub(crate) fn fields() -> Vec<Field> {
    let table = Field::new("table_name", DataType::Utf8, false);
    vec![
        table.with_metadata([(METADATA_KEY.to_owned(), "table_name".to_owned())].into()),
        Field::new("id", DataType::Int64, false),
        Field::new("n", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("e", DataType::Utf8, true),
        Field::new("d", DataType::Utf8, true),
        Field::new("m", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Second, None), true),
    ]
}

/// What the server has in a table, through the protocol of texts.
const SELECT: &str = "CAST(id AS CHAR), CAST(n AS CHAR), s, CAST(e AS CHAR), CAST(d AS CHAR), CAST(m AS CHAR), \
                      CAST(UNIX_TIMESTAMP(ts) AS CHAR)";

pub(crate) struct Follower {
    database: String,
    reader: Option<Box<dyn Reader>>,
    live: Rows,
    in_transaction: bool,
    committed: Option<(Position, Rows)>,
}

impl Follower {
    pub(crate) fn new(database: &str) -> Self {
        let database = database.to_owned();
        Self { database, reader: None, live: Rows::new(), in_transaction: false, committed: None }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    pub(crate) fn close(&mut self) {
        self.reader = None;
    }

    /// Goes on behind the last commit.
    pub(crate) fn open(&mut self, db: &Db) -> Result<(), Trouble> {
        self.reader = None;
        self.in_transaction = false;
        self.live = self.committed.as_ref().map(|(_, rows)| rows.clone()).unwrap_or_default();
        let from: Vec<Position> = self.committed.iter().map(|(position, _)| position.clone()).collect();
        let source = db.source(WANTED, fields(), &[("database-name", &self.database)]);
        self.reader = Some(source.and_then(|source| source.open(&from)).map_err(Trouble::Stopped)?);
        Ok(())
    }

    /// Pulls once.
    pub(crate) fn step(&mut self, dice: &mut SmallRng, wait: Duration) -> Result<(), Trouble> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        let budget = if dice.random_bool(0.3) { 64 } else { 1 << 20 };
        match reader.next(budget, wait).map_err(Trouble::Stopped)? {
            Read::Rows(batch) => self.fold(&batch, dice)?,
            Read::Schema(change) => self.commit(change.position),
            Read::Idle(Some(position)) if !self.in_transaction => self.commit(position),
            Read::Idle(_) | Read::End => {}
        }
        Ok(())
    }

    fn commit(&mut self, position: Position) {
        self.committed = Some((position, self.live.clone()));
    }

    fn fold(&mut self, batch: &ChangeBatch, dice: &mut SmallRng) -> Result<(), Trouble> {
        let mut from = 0;
        for run in batch.runs() {
            for index in from..run.end {
                let row = notation::print_row(batch.rows(), index);
                let count = self.live.entry(row.clone()).or_default();
                if batch.op(index).weight() > 0 {
                    *count += 1;
                } else if *count > 1 {
                    *count -= 1;
                } else if self.live.remove(&row) != Some(1) {
                    return Err(Trouble::Wrong(format!("{} of a row that never came: {row:.200}", batch.op(index))));
                }
            }
            from = run.end;
            self.in_transaction = !run.ends_transaction;
            if run.ends_transaction && dice.random_bool(0.7) {
                self.commit(run.position.clone());
            }
        }
        if from != batch.len() {
            return Err(Trouble::Wrong("rows without a run".to_owned()));
        }
        Ok(())
    }

    /// Reads until a row begins so.
    pub(crate) fn read_to(&mut self, start: &str, dice: &mut SmallRng) -> Result<(), Trouble> {
        let mut result = Ok(());
        let came = within(Duration::from_secs(60), || {
            result = self.step(dice, Duration::from_millis(20));
            let there = self.live.range(start.to_owned()..).next().is_some_and(|(row, _)| row.starts_with(start));
            result.is_err() || there && !self.in_transaction
        });
        match came {
            true => result,
            false => Err(Trouble::Wrong(format!("neither rows nor an error came: {start} is missing"))),
        }
    }

    /// Whether the snapshot was read.
    pub(crate) fn has_committed(&self) -> bool {
        self.committed.is_some()
    }

    /// How what was read differs from what the server has.
    pub(crate) fn difference(&self, db: &Db) -> Option<String> {
        let there = match rows_of(db, &self.database) {
            Ok(rows) => rows,
            Err(what) => return Some(what),
        };
        let only = |left: &Rows, right: &Rows| -> Vec<String> {
            left.iter()
                .filter(|(row, count)| right.get(*row) != Some(count))
                .map(|(row, _)| format!("{row:.200}"))
                .collect()
        };
        let (read, missing) = (only(&self.live, &there), only(&there, &self.live));
        (self.live != there).then(|| format!("read, but not there: {read:#?}\nthere, but not read: {missing:#?}"))
    }
}

/// The rows of all wanted tables.
fn rows_of(db: &Db, database: &str) -> Result<Rows, String> {
    let tables = db.texts(&format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{database}' AND TABLE_TYPE <> 'VIEW' \
         AND TABLE_NAME REGEXP '^({WANTED})$' ORDER BY 1"
    ));
    let mut rows = Rows::new();
    for table in tables.into_iter().flatten() {
        let sql = format!("SELECT {SELECT} FROM `{database}`.`{table}`");
        let found =
            db.rows(&sql).map_err(|error| format!("{table} cannot be read any more, and nothing stopped: {error}"))?;
        let column = |index: usize| -> Vec<Option<String>> { found.iter().map(|row| row[index].clone()).collect() };
        let numbers = |index| {
            column(index).into_iter().map(|text| text.map(|text| text.parse().unwrap())).collect::<Vec<Option<i64>>>()
        };
        let text = |index| Arc::new(StringArray::from(column(index))) as ArrayRef;
        let number = |index| Arc::new(Int64Array::from(numbers(index))) as ArrayRef;
        let name = Arc::new(StringArray::from(vec![table.as_str(); found.len()])) as ArrayRef;
        let instants = Arc::new(TimestampSecondArray::from(numbers(6))) as ArrayRef;
        let arrays = vec![name, number(0), number(1), text(2), text(3), text(4), text(5), instants];
        let fields: Vec<Field> = fields().into_iter().map(|field| field.with_nullable(true)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|error| error.to_string())?;
        for index in 0..batch.num_rows() {
            *rows.entry(notation::print_row(&batch, index)).or_default() += 1;
        }
    }
    Ok(rows)
}
