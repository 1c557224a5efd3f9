//! Limits of queues and of the keys in them: jobs at the same time, and starts per second.
//!
//! A slot is a RUNNING row, so a process that dies leaks none: rescue brings its rows back. A token is a start: the bucket
//! of a queue or key is a row of `job_limits`. Both are exact because whoever claims holds the row of the limit until its
//! claim is committed: the row of the queue (key `''`) locks out other claimers of a limited queue, the row of a key those
//! of jobs of that key. Rows are locked in the order of their keys, after the row of the queue, always by an upsert, which
//! takes the exclusive lock at once (INSERT IGNORE would take a shared one first, and two of those deadlock).
//!
//! A row with neither `max_running` nor `rate` defines nothing: it is the memory of a key to which the row `'*'` applies.

use std::collections::{BTreeMap, HashMap};

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, Params, Value, params};

use crate::complete::id_list;
use crate::job::Job;

mod park;

pub(crate) use park::{PARKED, Released, release, release_all};

/// What a queue or a key may use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limit {
    /// Jobs at the same time.
    pub max_running: Option<u32>,
    /// Starts per second.
    pub rate: Option<f64>,
    /// Starts at once after a rest; at least 1.
    pub burst: u32,
}

impl Limit {
    /// Starts that are left in the bucket, `tokens` of which were there so many microseconds ago.
    fn tokens(&self, tokens: Option<f64>, elapsed: Option<i64>) -> Option<f64> {
        let burst = f64::from(self.burst.max(1));
        let rate = self.rate?;
        let (Some(tokens), Some(elapsed)) = (tokens, elapsed) else { return Some(burst) };
        // A clock that was set back gives nothing and takes nothing.
        #[expect(clippy::cast_precision_loss, reason = "centuries of microseconds are exact enough")]
        let elapsed = elapsed.max(0) as f64 / 1e6;
        Some((tokens + rate * elapsed).min(burst))
    }
}

/// Whole starts in a bucket.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and burst; the cast saturates")]
fn whole(tokens: f64) -> usize {
    // A bucket that was filled in small steps may lack the last bit.
    (tokens + 1e-9).max(0.0) as usize
}

/// The limits of a database by queue and key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    queues: HashMap<String, BTreeMap<String, Limit>>,
}

impl Limits {
    /// Whether the queue as a whole is limited: [`allowance`] and [`charge`] have to be asked.
    pub(crate) fn of_queue(&self, queue: &str) -> bool {
        self.queues.get(queue).is_some_and(|keys| keys.contains_key(""))
    }

    /// Whether nothing is limited.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Whether keys in the queue are limited: [`admit`] has to be asked.
    pub(crate) fn of_keys(&self, queue: &str) -> bool {
        self.queues.get(queue).is_some_and(|keys| keys.keys().any(|key| !key.is_empty()))
    }

    /// What applies to a key, with its own limit before that of every key.
    fn of_key(&self, queue: &str, key: &str) -> Option<&Limit> {
        let keys = self.queues.get(queue)?;
        if key.is_empty() { None } else { keys.get(key).or_else(|| keys.get("*")) }
    }
}

/// All limits. Small; a worker reads them again every few seconds.
pub(crate) async fn load(conn: &mut Conn) -> Result<Limits> {
    type Found = (String, String, Option<u32>, Option<f64>, u32);
    let rows: Vec<Found> = conn
        .query(
            "SELECT queue, limit_key, max_running, rate, burst FROM job_limits \
             WHERE max_running IS NOT NULL OR rate IS NOT NULL",
        )
        .await
        .map_err(|error| query_error("read the limits", error))?;
    let mut limits = Limits::default();
    for (queue, key, max_running, rate, burst) in rows {
        let keys = limits.queues.entry(queue).or_default();
        keys.insert(trim(&key).to_owned(), Limit { max_running, rate, burst });
    }
    Ok(limits)
}

/// Writes limits of (queue, key) into the table: key `""` for the queue as a whole, `"*"` for every key in it. What is left
/// in a bucket stays; limits that are not named stay as they are.
///
/// # Errors
/// `mysql.query`.
pub async fn upsert(conn: &mut Conn, limits: &[(String, String, Limit)]) -> Result<()> {
    for (queue, key, limit) in limits {
        conn.exec_drop(
            "INSERT INTO job_limits (queue, limit_key, max_running, rate, burst) VALUES (:queue, :key, :max, :rate, :burst) \
             ON DUPLICATE KEY UPDATE max_running = VALUES(max_running), rate = VALUES(rate), burst = VALUES(burst)",
            params! {
                "queue" => queue, "key" => key, "max" => limit.max_running, "rate" => limit.rate,
                "burst" => limit.burst.max(1),
            },
        )
        .await
        .map_err(|error| query_error("write the limit", error))?;
    }
    Ok(())
}

/// How many jobs of the queue may be claimed, up to `wanted`. In the transaction of the claim and before its SELECT: from
/// here to its commit nobody else claims from this queue. Then [`charge`] what was claimed.
pub(crate) async fn allowance(conn: &mut impl Queryable, queue: &str, wanted: usize) -> Result<usize> {
    type Found = (Option<u32>, Option<f64>, u32, Option<f64>, Option<i64>);
    let found: Option<Found> = conn
        .exec_first(
            "SELECT max_running, rate, burst, tokens, TIMESTAMPDIFF(MICROSECOND, refilled_at, NOW(6)) FROM job_limits \
             WHERE queue = :queue AND limit_key = '' FOR UPDATE",
            params! { "queue" => queue },
        )
        .await
        .map_err(|error| query_error("lock the limit of the queue", error))?;
    let Some((max_running, rate, burst, tokens, elapsed)) = found else { return Ok(wanted) };
    let limit = Limit { max_running, rate, burst };
    let mut allowed = wanted;
    if let Some(tokens) = limit.tokens(tokens, elapsed) {
        allowed = allowed.min(whole(tokens));
    }
    if let (Some(max), 1..) = (max_running, allowed) {
        let running: Option<usize> = conn
            .exec_first(
                "SELECT COUNT(*) FROM jobs FORCE INDEX (claim) WHERE queue = :queue \
                 AND status IN ('RUNNING', 'CANCELLING')",
                params! { "queue" => queue },
            )
            .await
            .map_err(|error| query_error("count running jobs", error))?;
        allowed = allowed.min((max as usize).saturating_sub(running.unwrap_or(0)));
    }
    Ok(allowed)
}

/// Takes the tokens of so many starts from the queue's bucket, which [`allowance`] has locked.
pub(crate) async fn charge(conn: &mut impl Queryable, queue: &str, used: usize) -> Result<()> {
    if used == 0 {
        return Ok(());
    }
    conn.exec_drop(
        "UPDATE job_limits SET tokens = LEAST(GREATEST(burst, 1), COALESCE(tokens + rate * \
         GREATEST(0, TIMESTAMPDIFF(MICROSECOND, refilled_at, NOW(6))) / 1e6, GREATEST(burst, 1))) - :used, \
         refilled_at = NOW(6) WHERE queue = :queue AND limit_key = '' AND rate IS NOT NULL",
        params! { "used" => used, "queue" => queue },
    )
    .await
    .map_err(|error| query_error("charge the queue's limit", error))
}

/// Of jobs that the claim has locked, in their order, those that their keys have room for; the others are PARKED. In the
/// transaction of the claim, between its SELECT and its UPDATE.
pub(crate) async fn admit(conn: &mut impl Queryable, limits: &Limits, queue: &str, jobs: Vec<Job>) -> Result<Vec<Job>> {
    let keys: std::collections::BTreeSet<String> = jobs
        .iter()
        .filter_map(|job| job.limit_key.as_deref().map(trim))
        .filter(|key| limits.of_key(queue, key).is_some())
        .map(str::to_owned)
        .collect();
    if keys.is_empty() {
        return Ok(jobs);
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut rooms = lock(conn, limits, queue, &keys).await?;
    let mut parked = Vec::new();
    let mut admitted = Vec::with_capacity(jobs.len());
    for job in jobs {
        match job.limit_key.as_deref().and_then(|key| rooms.get_mut(trim(key))) {
            Some(room) if room.left() == 0 => parked.push(job.id),
            Some(room) => {
                room.used += 1;
                admitted.push(job);
            }
            None => admitted.push(job),
        }
    }
    if !parked.is_empty() {
        let sql = format!("UPDATE jobs SET status = 'PARKED' WHERE {} AND status = 'PENDING'", id_list(&parked));
        conn.query_drop(sql).await.map_err(|error| query_error("park jobs", error))?;
    }
    keep(conn, queue, &rooms).await?;
    Ok(admitted)
}

/// What a key has left.
struct Room {
    slots: Option<usize>,
    tokens: Option<f64>,
    /// The server's time of these figures.
    read_at: String,
    used: usize,
}

impl Room {
    fn left(&self) -> usize {
        let tokens = self.tokens.map_or(usize::MAX, whole);
        self.slots.unwrap_or(usize::MAX).min(tokens).saturating_sub(self.used)
    }
}

/// Locks the rows of keys, in this order, making those that are missing; then sees what they have left.
async fn lock<'k>(
    conn: &mut impl Queryable,
    limits: &Limits,
    queue: &str,
    keys: &[&'k str],
) -> Result<HashMap<&'k str, Room>> {
    let sql = format!(
        "INSERT INTO job_limits (queue, limit_key) VALUES {} ON DUPLICATE KEY UPDATE queue = VALUES(queue)",
        vec!["(?, ?)"; keys.len()].join(", ")
    );
    let values: Vec<Value> = keys.iter().flat_map(|key| [Value::from(queue), Value::from(*key)]).collect();
    conn.exec_drop(sql, values).await.map_err(|error| query_error("lock the limits of keys", error))?;
    look(conn, limits, queue, keys).await
}

/// What keys have left, without a lock.
async fn look<'k>(
    conn: &mut impl Queryable,
    limits: &Limits,
    queue: &str,
    keys: &[&'k str],
) -> Result<HashMap<&'k str, Room>> {
    let marks = vec!["?"; keys.len()].join(", ");
    let values: Vec<Value> = [queue].iter().chain(keys).map(|text| Value::from(*text)).collect();
    let sql = format!(
        "SELECT limit_key, tokens, TIMESTAMPDIFF(MICROSECOND, refilled_at, NOW(6)), CAST(NOW(6) AS CHAR) FROM job_limits \
         WHERE queue = ? AND limit_key IN ({marks})"
    );
    let rows: Vec<(String, Option<f64>, Option<i64>, String)> =
        conn.exec(sql, values.clone()).await.map_err(|error| query_error("read the limits of keys", error))?;
    let buckets: HashMap<&str, _> =
        rows.iter().map(|(key, tokens, elapsed, _)| (trim(key), (*tokens, *elapsed))).collect();
    let read_at = rows.first().map(|row| row.3.clone()).unwrap_or_default();

    let mut running: HashMap<String, usize> = HashMap::new();
    if keys.iter().any(|key| limits.of_key(queue, key).is_some_and(|limit| limit.max_running.is_some())) {
        let sql = format!(
            "SELECT limit_key, COUNT(*) FROM jobs FORCE INDEX (claim) WHERE queue = ? \
             AND status IN ('RUNNING', 'CANCELLING') AND limit_key IN ({marks}) GROUP BY limit_key"
        );
        let counts: Vec<(String, usize)> = conn
            .exec(sql, Params::Positional(values))
            .await
            .map_err(|error| query_error("count running jobs", error))?;
        running.extend(counts.into_iter().map(|(key, count)| (trim(&key).to_owned(), count)));
    }
    let room = |key: &&'k str| {
        let limit = limits.of_key(queue, key)?;
        let (tokens, elapsed) = buckets.get(key).copied().unwrap_or_default();
        let slots = limit.max_running.map(|max| (max as usize).saturating_sub(running.get(*key).copied().unwrap_or(0)));
        Some((*key, Room { slots, tokens: limit.tokens(tokens, elapsed), read_at: read_at.clone(), used: 0 }))
    };
    Ok(keys.iter().filter_map(room).collect())
}

/// Writes what is left in the buckets that were used.
async fn keep(conn: &mut impl Queryable, queue: &str, rooms: &HashMap<&str, Room>) -> Result<()> {
    let mut values: Vec<Value> = Vec::new();
    let mut rows = 0;
    for (key, room) in rooms {
        if let (Some(tokens), 1..) = (room.tokens, room.used) {
            #[expect(clippy::cast_precision_loss, reason = "a batch of a claim is small")]
            let left = tokens - room.used as f64;
            values.extend([Value::from(queue), Value::from(*key), Value::from(left), Value::from(&room.read_at)]);
            rows += 1;
        }
    }
    if rows == 0 {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO job_limits (queue, limit_key, tokens, refilled_at) VALUES {} \
         ON DUPLICATE KEY UPDATE tokens = VALUES(tokens), refilled_at = VALUES(refilled_at)",
        vec!["(?, ?, ?, ?)"; rows].join(", ")
    );
    conn.exec_drop(sql, values).await.map_err(|error| query_error("charge the limits of keys", error))
}

/// Deletes rows that only remember a bucket that is full again. Returns how many.
pub(crate) async fn forget(conn: &mut Conn, limits: &Limits) -> Result<u64> {
    let failed = |error| query_error("forget full buckets", error);
    const FULL: &str = "limit_key NOT IN ('', '*') AND max_running IS NULL AND rate IS NULL AND (tokens IS NULL OR \
                        :rate IS NULL OR tokens + :rate * TIMESTAMPDIFF(MICROSECOND, refilled_at, NOW(6)) / 1e6 >= :burst)";
    let queues: Vec<String> = conn.query("SELECT DISTINCT queue FROM job_limits").await.map_err(failed)?;
    let mut forgotten = 0;
    for queue in queues {
        let every = limits.queues.get(&queue).and_then(|keys| keys.get("*")).copied().unwrap_or_default();
        let full = params! { "queue" => &queue, "rate" => every.rate, "burst" => every.burst.max(1) };
        let sql = format!("SELECT limit_key FROM job_limits WHERE queue = :queue AND {FULL} LIMIT 1000");
        let keys: Vec<String> = conn.exec(sql, full).await.map_err(failed)?;
        for key in keys {
            // One at a time, and looked at again: one who claims may hold it, or have used it meanwhile.
            let full = params! { "queue" => &queue, "key" => key, "rate" => every.rate, "burst" => every.burst.max(1) };
            let sql = format!("DELETE FROM job_limits WHERE queue = :queue AND limit_key = :key AND {FULL}");
            conn.exec_drop(sql, full).await.map_err(failed)?;
            forgotten += conn.affected_rows();
        }
    }
    Ok(forgotten)
}

/// A key as the column compares it: blanks at its end do not count.
fn trim(key: &str) -> &str {
    key.trim_end_matches(' ')
}

#[cfg(test)]
mod tests;
