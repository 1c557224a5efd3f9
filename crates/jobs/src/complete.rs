//! The ends of jobs, each a statement that names the claim it ends: a completion of a claim that is over touches nothing.

use std::time::Duration;

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, TxOpts, params};

use crate::context::Context;

/// A job that failed, as the table is to show it.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) id: u64,
    pub(crate) token: u64,
    pub(crate) message: String,
    /// Until the next try.
    pub(crate) delay: Duration,
    /// Retries it may have where its row does not say; `None`: no more tries.
    pub(crate) max_retries: Option<u32>,
}

/// Ranges of one condition; more are not worth their text.
const RANGES: usize = 32;

/// Longest error text that is kept, in characters.
const MESSAGE_LENGTH: usize = 4_000;

/// Writes the attempt, and makes the job PENDING for its next try or DEAD; cancelled where that was asked for. In a
/// transaction of the caller. Returns whether the claim still held.
pub(crate) async fn fail(transaction: &mut impl Queryable, failed: &Failed) -> Result<bool> {
    let message: String = failed.message.chars().take(MESSAGE_LENGTH).collect();
    let delay = u64::try_from(failed.delay.as_micros()).unwrap_or(u64::MAX).min(86_400_000_000_000);
    let attempt = params! {
        "id" => failed.id, "token" => failed.token, "message" => &message,
    };
    transaction
        .exec_drop(
            "INSERT INTO job_attempts (job_id, attempt, worker_id, started_at, failed_at, error_message) \
             SELECT id, retry_count + 1, locked_by >> 32, started_at, NOW(6), :message FROM jobs \
             WHERE id = :id AND locked_by = :token AND status IN ('RUNNING', 'CANCELLING')",
            attempt,
        )
        .await
        .map_err(|error| query_error("keep the attempt", error))?;
    // Assignments run from left to right: retry_count is the old one until its turn, status the new one.
    let result = transaction
        .exec_iter(
            "UPDATE jobs SET status = IF(:dead OR retry_count >= COALESCE(max_retries, :max), 'DEAD', 'PENDING'), \
             ready_from = NOW(6), run_at = IF(status = 'DEAD', NOW(6), NOW(6) + INTERVAL :delay MICROSECOND), \
             retry_count = retry_count + 1, last_error_message = :message, locked_by = NULL, started_at = NULL \
             WHERE id = :id AND locked_by = :token AND status = 'RUNNING'",
            params! {
                "dead" => failed.max_retries.is_none(), "max" => failed.max_retries.unwrap_or(0), "delay" => delay,
                "message" => &message, "id" => failed.id, "token" => failed.token,
            },
        )
        .await
        .map_err(|error| query_error("take the failed job back", error))?;
    let held = result.affected_rows() > 0;
    result.drop_result().await.map_err(|error| query_error("take the failed job back", error))?;
    if held {
        return Ok(true);
    }
    cancelled(transaction, failed.id, failed.token).await
}

/// Moves a job whose cancellation was asked for to the history. Returns whether the claim still held.
pub(crate) async fn cancelled(transaction: &mut impl Queryable, id: u64, token: u64) -> Result<bool> {
    let held = format!("id = {id} AND locked_by = {token} AND status = 'CANCELLING'");
    to_history(transaction, "CANCELLED", &held).await?;
    remove(transaction, &held).await.map(|removed| removed > 0)
}

/// Gives jobs back untouched: no try is counted. With a delay they come again after it.
pub(crate) async fn give_back(conn: &mut impl Queryable, ids: &[u64], token: u64, delay: Duration) -> Result<u64> {
    let delay = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX).min(86_400_000_000_000);
    let sql = format!(
        "UPDATE jobs SET status = 'PENDING', ready_from = NOW(6), run_at = NOW(6) + INTERVAL {delay} MICROSECOND, \
         locked_by = NULL, started_at = NULL WHERE {} AND locked_by = {token} AND status = 'RUNNING'",
        id_list(ids)
    );
    let result = conn.query_iter(sql).await.map_err(|error| query_error("take jobs back", error))?;
    let count = result.affected_rows();
    result.drop_result().await.map_err(|error| query_error("take jobs back", error))?;
    Ok(count)
}

/// Gives back, without a try counted, what a claim took whose commit was sent and not answered. The rows are waited for,
/// by a locking read: the server may still be at that commit, and an UPDATE alone would pass over rows that were not
/// RUNNING before it. Returns how many there were.
pub(crate) async fn give_back_unheard(conn: &mut Conn, ids: &[u64], token: u64) -> Result<u64> {
    let failed = |error| query_error("look for the jobs of a claim", error);
    let mut transaction = conn.start_transaction(TxOpts::default()).await.map_err(failed)?;
    let sql = format!("SELECT id, locked_by, status FROM jobs WHERE {} ORDER BY id FOR UPDATE", id_list(ids));
    let rows: Vec<(u64, Option<u64>, String)> = transaction.query(sql).await.map_err(failed)?;
    let held = rows.into_iter().filter(|(_, by, _)| *by == Some(token));
    let (stopped, held): (Vec<_>, Vec<_>) = held.partition(|(_, _, status)| status == "CANCELLING");
    let held: Vec<u64> = held.into_iter().map(|(id, _, _)| id).collect();
    let mut back = give_back(&mut transaction, &held, token, Duration::ZERO).await?;
    for (id, _, _) in stopped {
        back += u64::from(cancelled(&mut transaction, id, token).await?);
    }
    transaction.commit().await.map_err(failed)?;
    Ok(back)
}

/// Completes one job in the transaction of its handler, with history where its queue keeps one.
pub(crate) async fn complete_one(transaction: &mut impl Queryable, context: &Context) -> Result<()> {
    let job = &context.inner;
    let held = format!("id = {} AND locked_by = {} AND status IN ('RUNNING', 'CANCELLING')", job.id, job.token);
    if job.history {
        to_history(transaction, "COMPLETED", &held).await?;
    }
    match remove(transaction, &held).await? {
        0 => Err(context.lease_lost()),
        _ => Ok(()),
    }
}

/// Copies rows of `jobs` into the history.
pub(crate) async fn to_history(transaction: &mut impl Queryable, outcome: &str, condition: &str) -> Result<()> {
    let sql = format!(
        "INSERT INTO jobs_done (id, queue, job_type, payload, priority, outcome, retry_count, batch_id, traceparent, \
         created_at, started_at, finished_at) SELECT id, queue, job_type, payload, priority, '{outcome}', retry_count, \
         batch_id, traceparent, created_at, started_at, NOW(6) FROM jobs WHERE {condition}"
    );
    transaction.query_drop(sql).await.map_err(|error| query_error("write the history", error))
}

/// Deletes rows of `jobs`; returns how many there were.
pub(crate) async fn remove(transaction: &mut impl Queryable, condition: &str) -> Result<u64> {
    let sql = format!("DELETE FROM jobs WHERE {condition}");
    let result = transaction.query_iter(sql).await.map_err(|error| query_error("complete jobs", error))?;
    let count = result.affected_rows();
    result.drop_result().await.map_err(|error| query_error("complete jobs", error))?;
    Ok(count)
}

/// Completes claims that share a token; with a history in a transaction of the caller. Returns how many were still held.
pub(crate) async fn complete(conn: &mut impl Queryable, ids: &[u64], token: u64, history: bool) -> Result<u64> {
    let held = format!("{} AND locked_by = {token} AND status IN ('RUNNING', 'CANCELLING')", id_list(ids));
    if history {
        to_history(conn, "COMPLETED", &held).await?;
    }
    remove(conn, &held).await
}

/// Ids in one list at most: a longer one MariaDB makes a table of, and joins it.
const LISTED: usize = 1_000;

/// A condition on `id`: numbers that follow each other as ranges, which the server reads much faster than lists.
///
/// MySQL before 8.0.18 and MariaDB, which pass over the comment, get the numbers one by one: their locking scan of a range
/// reads one row over the range's end, and waits there for whoever holds it. Of two claimers that also share the limit of a
/// key both would wait.
pub(crate) fn id_list(ids: &[u64]) -> String {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let (mut ranges, mut single) = (Vec::new(), Vec::new());
    for run in sorted.chunk_by(|left, right| left + 1 == *right) {
        match run {
            [first, .., last] if run.len() > 2 && ranges.len() < RANGES => {
                ranges.push(format!("id BETWEEN {first} AND {last}"));
            }
            _ => single.extend_from_slice(run),
        }
    }
    let points = any_of(listed(&sorted));
    if ranges.is_empty() {
        return points;
    }
    ranges.extend(listed(&single));
    format!("(/*!80018 {} OR FALSE AND */ {points})", ranges.join(" OR "))
}

fn listed(ids: &[u64]) -> Vec<String> {
    let list = |ids: &[u64]| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    ids.chunks(LISTED).map(|ids| format!("id IN ({})", list(ids))).collect()
}

fn any_of(conditions: Vec<String>) -> String {
    match conditions.len() {
        0 => "FALSE".to_owned(),
        1 => conditions.concat(),
        _ => format!("({})", conditions.join(" OR ")),
    }
}

#[cfg(test)]
mod tests {
    use super::id_list;

    #[test]
    fn numbers_in_a_row_become_a_range() {
        assert_eq!(id_list(&[5, 3, 4]), "(/*!80018 id BETWEEN 3 AND 5 OR FALSE AND */ id IN (3,4,5))");
        assert_eq!(id_list(&[5, 3, 7]), "id IN (3,5,7)");
        let both = "(/*!80018 id BETWEEN 3 AND 5 OR id IN (7,9) OR FALSE AND */ id IN (3,4,5,7,9))";
        assert_eq!(id_list(&[9, 5, 3, 4, 7]), both);
        assert_eq!(id_list(&[1, 2]), "id IN (1,2)");
        assert_eq!(id_list(&[]), "FALSE");
    }
}
