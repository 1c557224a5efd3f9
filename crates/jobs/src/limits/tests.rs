use crate::claim;
use crate::testing::{Db, on_both, one, rows, run};

use super::*;

fn limit(max_running: Option<u32>, rate: Option<f64>, burst: u32) -> Limit {
    Limit { max_running, rate, burst }
}

async fn define(conn: &mut Conn, limits: &[(&str, Limit)]) -> Limits {
    let limits: Vec<_> = limits.iter().map(|(key, limit)| ("default".to_owned(), (*key).to_owned(), *limit)).collect();
    upsert(conn, &limits).await.unwrap();
    load(conn).await.unwrap()
}

/// A claim as a worker makes it. Returns the jobs that run now.
async fn claim(conn: &mut Conn, limits: &Limits, wanted: usize, token: u64) -> Vec<u64> {
    try_claim(conn, limits, wanted, token).await.unwrap()
}

async fn try_claim(conn: &mut Conn, limits: &Limits, wanted: usize, token: u64) -> Result<Vec<u64>> {
    claim::begin(conn).await?;
    let allowed = if limits.of_queue("default") { allowance(conn, "default", wanted).await? } else { wanted };
    let mut claims = claim::QueueClaims::new("default".to_owned());
    let jobs = if allowed == 0 {
        Vec::new()
    } else {
        let flavor = headwater_mysql::client::flavor(conn).await?;
        claims.pick(conn, true, claim::Pick { flavor, wanted: allowed, token }).await?.jobs
    };
    let admitted = admit(conn, limits, "default", jobs).await?;
    if limits.of_queue("default") {
        charge(conn, "default", admitted.len()).await?;
    }
    let ids: Vec<u64> = admitted.iter().map(|job| job.id).collect();
    claim::confirm(conn, &ids, token).await?;
    Ok(ids)
}

/// A claim that the server gave up for a deadlock is made anew, as a worker does: the older servers of 8.0 lock the gaps
/// beside the entries that a parked job leaves.
async fn claim_among_others(conn: &mut Conn, limits: &Limits, wanted: usize, token: u64) -> Vec<u64> {
    for _ in 0..10 {
        match try_claim(conn, limits, wanted, token).await {
            Err(error) if crate::queue::is_lock_trouble(&error) => run(conn, &["ROLLBACK"]).await,
            claimed => return claimed.unwrap(),
        }
    }
    panic!("ten claims in a row met a deadlock");
}

async fn enqueue(conn: &mut Conn, count: usize, key: &str) {
    let row = format!("('A', '{{}}', NULLIF('{key}', ''))");
    run(conn, &[&format!("INSERT INTO jobs (job_type, payload, limit_key) VALUES {}", vec![row; count].join(", "))])
        .await;
}

async fn slots_of_keys(db: &Db) {
    let queue = db.queue("slots").await;
    let mut conn = queue.session().await.unwrap();
    let limits = define(&mut conn, &[("*", limit(Some(1), None, 1)), ("vip", limit(Some(3), None, 1))]).await;
    assert!(limits.of_keys("default") && !limits.of_queue("default") && !limits.of_keys("other"));
    enqueue(&mut conn, 3, "a").await; // 1 to 3
    enqueue(&mut conn, 4, "vip").await; // 4 to 7
    enqueue(&mut conn, 2, "").await; // 8 and 9
    assert_eq!(claim(&mut conn, &limits, 100, 1).await, [1, 4, 5, 6, 8, 9]);
    let parked = "SELECT id FROM jobs WHERE status = 'PARKED' ORDER BY id";
    assert_eq!(rows::<u64>(&mut conn, parked).await, [2, 3, 7]);
    assert_eq!(release_all(&mut conn, &limits, &mut Released::default()).await.unwrap(), 0, "no slot is free");
    // One is done: the next one of its key comes, and only one.
    run(&mut conn, &["DELETE FROM jobs WHERE id = 1", "UPDATE jobs SET priority = -1 WHERE id = 3"]).await;
    assert_eq!(release(&mut conn, [("default", "a"), ("default", "none")].into_iter()).await.unwrap(), 1);
    assert_eq!(rows::<u64>(&mut conn, parked).await, [2, 7], "the better priority");
    // It waits for a worker: more rounds do not release more.
    let mut before = Released::default();
    run(&mut conn, &["UPDATE jobs SET status = 'PARKED' WHERE id = 3"]).await;
    for released in [1, 0, 0] {
        assert_eq!(release_all(&mut conn, &limits, &mut before).await.unwrap(), released);
    }
    assert_eq!(claim(&mut conn, &limits, 100, 2).await, [3]);
    // Without a limit nothing is held.
    run(&mut conn, &["DELETE FROM job_limits"]).await;
    let limits = load(&mut conn).await.unwrap();
    assert_eq!(release_all(&mut conn, &limits, &mut before).await.unwrap(), 2);
}

async fn rates(db: &Db) {
    let queue = db.queue("rates").await;
    let mut conn = queue.session().await.unwrap();
    let limits = define(&mut conn, &[("", limit(Some(10), Some(0.001), 5)), ("*", limit(None, Some(0.001), 2))]).await;
    enqueue(&mut conn, 3, "a").await;
    enqueue(&mut conn, 1, "b").await;
    enqueue(&mut conn, 5, "").await;
    // Four pass the queue and one of them not its key; the queue is charged for three.
    assert_eq!(claim(&mut conn, &limits, 4, 1).await, [1, 2, 4]);
    assert_eq!(claim(&mut conn, &limits, 100, 2).await, [5, 6]);
    assert_eq!(claim(&mut conn, &limits, 100, 3).await, [0; 0], "the bucket is empty");
    assert_eq!(release_all(&mut conn, &limits, &mut Released::default()).await.unwrap(), 0);
    assert_eq!(forget(&mut conn, &limits).await.unwrap(), 0, "both keys have to be remembered");
    // A quarter of an hour later.
    run(&mut conn, &["UPDATE job_limits SET refilled_at = refilled_at - INTERVAL 1500 SECOND"]).await;
    assert_eq!(forget(&mut conn, &limits).await.unwrap(), 1, "b has its two starts again");
    assert_eq!(release_all(&mut conn, &limits, &mut Released::default()).await.unwrap(), 1);
    assert_eq!(claim(&mut conn, &limits, 100, 4).await, [3], "one start has grown");
    // A rest fills the bucket up to the burst.
    run(&mut conn, &["UPDATE job_limits SET refilled_at = refilled_at - INTERVAL 1 DAY"]).await;
    claim::begin(&mut conn).await.unwrap();
    assert_eq!(allowance(&mut conn, "default", 100).await.unwrap(), 4, "ten slots, six of them taken");
    run(&mut conn, &["ROLLBACK", "UPDATE jobs SET status = 'DEAD' WHERE status = 'RUNNING'"]).await;
    claim::begin(&mut conn).await.unwrap();
    assert_eq!(allowance(&mut conn, "default", 100).await.unwrap(), 5);
    assert_eq!(allowance(&mut conn, "other", 7).await.unwrap(), 7);
    run(&mut conn, &["ROLLBACK"]).await;
}

/// Claimers at the same time never exceed the limits, and none is stuck.
async fn claimers_at_once(db: &Db) {
    let queue = db.queue("claimers").await;
    let mut conn = queue.session().await.unwrap();
    let limits = define(&mut conn, &[("*", limit(Some(2), Some(1e6), 1_000))]).await;
    for n in 0..200 {
        enqueue(&mut conn, 1, &format!("k{}", (n * 7) % 10)).await;
    }
    let claimers = (1..=8).map(|token| {
        let (queue, limits) = (queue.clone(), limits.clone());
        async move {
            let mut conn = queue.session().await.unwrap();
            let keys: Vec<String> = (1..6).map(|n| format!("k{n}")).collect();
            let mut ran = 0;
            for _ in 0..8 {
                let ids = claim_among_others(&mut conn, &limits, 9, token).await;
                let most: u64 = one(
                    &mut conn,
                    "SELECT COALESCE(MAX(n), 0) FROM (SELECT COUNT(*) AS n FROM jobs WHERE status = 'RUNNING' GROUP BY limit_key) c",
                )
                .await;
                assert!(most <= 2, "{most} at the same time");
                ran += ids.len();
                if !ids.is_empty() {
                    run(&mut conn, &[&format!("DELETE FROM jobs WHERE {}", id_list(&ids))]).await;
                    match release(&mut conn, keys.iter().map(|key| ("default", key.as_str()))).await {
                        Err(error) if crate::queue::is_lock_trouble(&error) => {} // another's release or the next one does it
                        released => _ = released.unwrap(),
                    }
                }
            }
            ran
        }
    });
    let ran: usize = futures::future::join_all(claimers).await.iter().sum();
    assert_eq!(ran as u64 + one::<u64>(&mut conn, "SELECT COUNT(*) FROM jobs").await, 200);
    assert!(ran >= 20);
}

#[test]
fn limits_hold() {
    on_both("limits_hold", async |db| {
        slots_of_keys(db).await;
        rates(db).await;
        claimers_at_once(db).await;
    });
}

#[test]
fn buckets_fill_up_to_their_burst() {
    let bucket = limit(None, Some(2.0), 5);
    assert_eq!(bucket.tokens(None, None), Some(5.0));
    assert_eq!(bucket.tokens(Some(1.0), Some(1_500_000)), Some(4.0));
    assert_eq!(bucket.tokens(Some(1.0), Some(60_000_000)), Some(5.0));
    assert_eq!(bucket.tokens(Some(1.0), Some(-60_000_000)), Some(1.0), "a clock that was set back");
    assert_eq!(limit(Some(1), None, 5).tokens(None, None), None);
    assert_eq!((whole(0.999_999_999_9), whole(0.9), whole(-3.0)), (1, 0, 0));
}
