//! Jobs that a limit of their key holds back come back when there is room.

use std::collections::HashMap;

use headwater_change::Result;
use headwater_mysql::client::query_error;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, TxOpts, Value, params};

use super::{Limits, Room, load, look, trim};
use crate::complete::id_list;

/// Whether a job is parked, as an expression.
pub(crate) const PARKED: &str = "EXISTS (SELECT 1 FROM jobs FORCE INDEX (parked) WHERE parked_key >= '')";

/// Jobs that were released and may not have been claimed yet: they have a slot in mind, so that a queue whose workers are
/// busy does not get more of them with each round, only to park them again.
#[derive(Debug, Default)]
pub(crate) struct Released {
    by_key: HashMap<(String, String), Vec<u64>>,
}

/// Brings parked jobs of these keys (queue, key) back as far as there is room; for jobs that have just finished. One
/// statement where nothing is parked. Returns how many.
pub(crate) async fn release<'a>(conn: &mut Conn, keys: impl Iterator<Item = (&'a str, &'a str)>) -> Result<u64> {
    let names: Vec<Value> = keys.map(|(_, key)| Value::from(key)).collect();
    if names.is_empty() {
        return Ok(0);
    }
    let marks = vec!["?"; names.len()].join(", ");
    let sql = format!("SELECT DISTINCT parked_key FROM jobs FORCE INDEX (parked) WHERE parked_key IN ({marks})");
    let parked: Vec<String> =
        conn.exec(sql, names).await.map_err(|error| query_error("look for parked keys", error))?;
    if parked.is_empty() {
        return Ok(0);
    }
    let limits = load(conn).await?;
    release_keys(conn, &limits, parked, &mut Released::default()).await
}

/// Brings parked jobs of all keys back as far as there is room; the rounds of the maintainer. Returns how many.
pub(crate) async fn release_all(conn: &mut Conn, limits: &Limits, before: &mut Released) -> Result<u64> {
    let parked: Vec<String> = conn
        .query("SELECT DISTINCT parked_key FROM jobs FORCE INDEX (parked) WHERE parked_key >= '' LIMIT 1000")
        .await
        .map_err(|error| query_error("look for parked keys", error))?;
    release_keys(conn, limits, parked, before).await
}

/// Smaller priority first. What is released is counted again when it is claimed.
async fn release_keys(conn: &mut Conn, limits: &Limits, keys: Vec<String>, before: &mut Released) -> Result<u64> {
    let mut released = 0;
    for key in keys {
        // A key is limited within its queue; hardly ever does one have jobs in several.
        let queues: Vec<String> = conn
            .exec(
                "SELECT DISTINCT queue FROM (SELECT queue FROM jobs FORCE INDEX (parked) WHERE parked_key = :key \
                 LIMIT 1000) q",
                params! { "key" => &key },
            )
            .await
            .map_err(|error| query_error("look for parked jobs", error))?;
        for queue in queues {
            released += release_key(conn, limits, &queue, trim(&key), before).await?;
        }
    }
    Ok(released)
}

async fn release_key(conn: &mut Conn, limits: &Limits, queue: &str, key: &str, before: &mut Released) -> Result<u64> {
    let place = (queue.to_owned(), key.to_owned());
    let free = match limits.of_key(queue, key) {
        // The limit was taken away.
        None => 1_000,
        Some(_) => {
            let room = look(conn, limits, queue, &[key]).await?;
            let earlier = before.by_key.remove(&place).unwrap_or_default();
            let waiting = if earlier.is_empty() { Vec::new() } else { still_pending(conn, &earlier).await? };
            let free = room.get(key).map_or(0, Room::left).saturating_sub(waiting.len());
            if !waiting.is_empty() {
                before.by_key.insert(place.clone(), waiting);
            }
            free.min(1_000)
        }
    };
    if free == 0 {
        return Ok(0);
    }
    let failed = |error| query_error("bring parked jobs back", error);
    let mut transaction = conn.start_transaction(TxOpts::default()).await.map_err(failed)?;
    let sql = format!(
        "SELECT id FROM jobs FORCE INDEX (parked) WHERE parked_key = :key AND queue = :queue ORDER BY priority, id \
         LIMIT {free} FOR UPDATE SKIP LOCKED"
    );
    let ids: Vec<u64> = transaction.exec(sql, params! { "key" => key, "queue" => queue }).await.map_err(failed)?;
    if !ids.is_empty() {
        let sql = format!("UPDATE jobs SET status = 'PENDING' WHERE {} AND status = 'PARKED'", id_list(&ids));
        transaction.query_drop(sql).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    let count = ids.len() as u64;
    if limits.of_key(queue, key).is_some() && !ids.is_empty() {
        before.by_key.entry(place).or_default().extend(ids);
    }
    Ok(count)
}

async fn still_pending(conn: &mut Conn, ids: &[u64]) -> Result<Vec<u64>> {
    let sql = format!("SELECT id FROM jobs WHERE {} AND status = 'PENDING'", id_list(ids));
    conn.query(sql).await.map_err(|error| query_error("look at released jobs", error))
}
