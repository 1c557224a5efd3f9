//! Changing jobs that somebody named: each chunk in a transaction of its own that holds only rows nobody else holds.
//!
//! Rows that others hold are skipped and looked for again a moment later: a claim or a completion takes milliseconds. What
//! is held for longer (a handler that completes in its own transaction) is reported as busy instead of waited for, so
//! that no worker ever waits for an operator.

#![expect(clippy::disallowed_methods, reason = "looking again for a row that others hold needs a timer")]

use std::time::Duration;

use headwater_change::Result;
use headwater_mysql::driver::{Conn, Transaction, TxOpts};

use crate::operate::read::{column, failed, rows, status};
use crate::operate::{CHUNK, Change, Status};
use crate::queue::{Queue, is_lock_trouble};

/// How often rows that others hold are looked for.
const ROUNDS: u32 = 20;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// A job whose row this transaction holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) id: u64,
    pub(crate) status: Status,
    /// PENDING and not due.
    pub(crate) later: bool,
}

/// What is done to jobs.
pub(crate) trait Step {
    type Outcome;

    /// Changes jobs that are held, in their transaction, and says what became of each.
    async fn apply(&self, transaction: &mut Transaction<'_>, held: &[Held]) -> Result<Vec<Change<Self::Outcome>>>;

    /// The word for a job that somebody else holds.
    fn busy(&self) -> Self::Outcome;

    /// The word for a job that is not there.
    fn gone(&self) -> Self::Outcome;
}

/// Does `step` to every one of these jobs. The answer is in the order of their numbers, each once.
pub(crate) async fn each<S: Step>(queue: &Queue, ids: &[u64], step: &S) -> Result<Vec<Change<S::Outcome>>> {
    let mut open = ids.to_vec();
    open.sort_unstable();
    open.dedup();
    let mut changes = Vec::with_capacity(open.len());
    let mut conn = queue.session().await?;
    for round in 0..ROUNDS {
        if round > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let mut busy = Vec::new();
        for part in open.chunks(CHUNK) {
            match one(&mut conn, part, step).await {
                Ok((done, others)) => {
                    changes.extend(done);
                    busy.extend(others);
                }
                // On MariaDB a claim may want a row for an instant although it skips it (see `claim::Slice`).
                Err(error) if is_lock_trouble(&error) => busy.extend(part),
                Err(error) => return Err(error),
            }
        }
        open = busy;
        if open.is_empty() {
            break;
        }
    }
    queue.give_back(conn);
    changes.extend(open.iter().map(|id| Change { id: *id, outcome: step.busy() }));
    changes.sort_by_key(|change| change.id);
    Ok(changes)
}

/// Changes those of `ids` that nobody else holds, in a transaction. Returns the changes, and the ids that others hold.
async fn one<S: Step>(conn: &mut Conn, ids: &[u64], step: &S) -> Result<(Vec<Change<S::Outcome>>, Vec<u64>)> {
    let mut transaction = conn.start_transaction(TxOpts::default()).await.map_err(failed("begin a transaction"))?;
    let held = lock(&mut transaction, ids).await?;
    let mut changes = step.apply(&mut transaction, &held).await?;
    transaction.commit().await.map_err(failed("commit the change"))?;
    let others: Vec<u64> =
        ids.iter().copied().filter(|id| held.binary_search_by_key(id, |held| held.id).is_err()).collect();
    let there = if others.is_empty() { Vec::new() } else { among(conn, &others).await? };
    let missing = others.iter().filter(|id| there.binary_search(id).is_err());
    changes.extend(missing.map(|id| Change { id: *id, outcome: step.gone() }));
    Ok((changes, there))
}

/// Takes the rows that nobody else holds, in the order of their numbers.
pub(crate) async fn lock(transaction: &mut Transaction<'_>, ids: &[u64]) -> Result<Vec<Held>> {
    let sql = format!(
        "SELECT id, status, later FROM jobs FORCE INDEX (PRIMARY) WHERE id IN ({}) ORDER BY id FOR UPDATE SKIP LOCKED",
        list(ids)
    );
    let found = rows(transaction, "lock jobs", sql, ()).await?;
    found
        .iter()
        .map(|row| Ok(Held { id: column(row, "id")?, status: status(row)?, later: column(row, "later")? }))
        .collect()
}

/// Those that are in the table.
async fn among(conn: &mut Conn, ids: &[u64]) -> Result<Vec<u64>> {
    let sql = format!("SELECT id FROM jobs FORCE INDEX (PRIMARY) WHERE id IN ({}) ORDER BY id", list(ids));
    rows(conn, "look for jobs", sql, ()).await?.iter().map(|row| column(row, "id")).collect()
}

/// Numbers for an IN.
pub(crate) fn list(ids: &[u64]) -> String {
    let texts: Vec<String> = ids.iter().map(u64::to_string).collect();
    texts.join(",")
}
