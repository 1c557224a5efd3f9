//! Retry, cancel, pause.

use headwater_jobs::operate::{
    self, Cancelled, Change, Retried, cancel, pause, resume, retry, retry_dead, with_dependents,
};
use headwater_mysql::driver::TxOpts;
use headwater_mysql::driver::prelude::Queryable;

use crate::db::Db;

fn outcomes<T: Copy>(changes: &[Change<T>]) -> Vec<(u64, T)> {
    changes.iter().map(|change| (change.id, change.outcome)).collect()
}

pub(crate) async fn brings_back_and_forward(db: &Db) {
    db.run(
        "INSERT INTO jobs (id, job_type, payload, status, retry_count, run_at) VALUES (1, 'MAIL', '{}', 'DEAD', 6, DEFAULT), \
         (2, 'MAIL', '{}', 'PENDING', 2, NOW(6) + INTERVAL 1 DAY), (3, 'MAIL', '{}', 'PENDING', 0, DEFAULT), \
         (4, 'MAIL', '{}', 'RUNNING', 0, DEFAULT), (5, 'MAIL', '{}', 'WAITING', 0, DEFAULT), \
         (6, 'MAIL', '{}', 'PARKED', 0, DEFAULT)",
    )
    .await;
    let changes = retry(&db.queue, &[6, 5, 4, 3, 2, 1, 1, 99]).await.expect("an answer");
    assert_eq!(
        outcomes(&changes),
        [
            (1, Retried::Revived),
            (2, Retried::BroughtForward),
            (3, Retried::AlreadyDue),
            (4, Retried::Running),
            (5, Retried::Waiting),
            (6, Retried::Parked),
            (99, Retried::Unknown)
        ]
    );
    let rows: Vec<(u64, String, u32, u8, u8)> =
        db.all("SELECT id, status, retry_count, later, run_at <= NOW(6) FROM jobs WHERE id <= 3 ORDER BY id").await;
    let due = |id, retries| (id, "PENDING".to_owned(), retries, 0, 1);
    assert_eq!(rows, [due(1, 0), due(2, 2), due(3, 0)]);
}

pub(crate) async fn brings_back_all_dead_of_a_kind(db: &Db) {
    db.fill(2_500, "queue, status, retry_count", "IF(n MOD 2, 'a', 'b'), IF(n > 2400, 'RUNNING', 'DEAD'), 6").await;
    db.run("UPDATE jobs SET job_type = 'COUPON' WHERE id <= 10").await;
    // A row that somebody holds is left, and nobody waits.
    let mut conn = db.conn().await;
    let mut holder = conn.start_transaction(TxOpts::default()).await.expect("a transaction");
    holder.query_drop("UPDATE jobs SET priority = 7 WHERE id = 1").await.expect("a lock");
    assert_eq!(retry_dead(&db.queue, None, Some("COUPON")).await.expect("a number"), 9);
    holder.commit().await.expect("an end");
    assert_eq!(retry_dead(&db.queue, Some("a"), Some("COUPON")).await.expect("a number"), 1);
    assert_eq!(retry_dead(&db.queue, Some("b"), None).await.expect("a number"), 1_195);
    assert_eq!(retry_dead(&db.queue, None, None).await.expect("a number"), 1_195);
    assert_eq!(retry_dead(&db.queue, None, None).await.expect("a number"), 0);
    let left: (u64, u64) = db
        .one(
            "SELECT COUNT(IF(status = 'PENDING' AND retry_count = 0 AND later = 0, 1, NULL)), \
                                   COUNT(IF(status = 'RUNNING' AND retry_count = 6, 1, NULL)) FROM jobs",
        )
        .await;
    assert_eq!(left, (2_400, 100));
}

pub(crate) async fn cancels_what_waits_and_tells_what_runs(db: &Db) {
    db.run(
        "INSERT INTO jobs (id, job_type, payload, status, batch_id, locked_by) VALUES (1, 'MAIL', '{\"a\": 1}', 'PENDING', 3, NULL), \
         (2, 'MAIL', '{}', 'WAITING', NULL, NULL), (3, 'MAIL', '{}', 'PARKED', NULL, NULL), (4, 'MAIL', '{}', 'DEAD', NULL, NULL), \
         (5, 'MAIL', '{}', 'RUNNING', NULL, 77), (6, 'MAIL', '{}', 'PENDING', NULL, NULL)",
    )
    .await;
    let changes = cancel(&db.queue, &[1, 2, 3, 4, 5, 99]).await.expect("an answer");
    let gone = |id| (id, Cancelled::Cancelled);
    assert_eq!(
        outcomes(&changes),
        [gone(1), gone(2), gone(3), gone(4), (5, Cancelled::Stopping), (99, Cancelled::Unknown)]
    );
    let again = cancel(&db.queue, &[1, 5]).await.expect("an answer");
    assert_eq!(outcomes(&again), [(1, Cancelled::Finished), (5, Cancelled::Stopping)]);
    let left: Vec<(u64, String, Option<u64>)> = db.all("SELECT id, status, locked_by FROM jobs ORDER BY id").await;
    assert_eq!(left, [(5, "CANCELLING".to_owned(), Some(77)), (6, "PENDING".to_owned(), None)]);
    let done: Vec<(u64, String, Option<u64>)> = db.all("SELECT id, outcome, batch_id FROM jobs_done ORDER BY id").await;
    let cancelled = |id, batch| (id, "CANCELLED".to_owned(), batch);
    assert_eq!(done, [cancelled(1, Some(3)), cancelled(2, None), cancelled(3, None), cancelled(4, None)]);
}

pub(crate) async fn cancels_dependents_where_asked(db: &Db) {
    db.run(
        "INSERT INTO jobs (id, job_type, payload, status) VALUES (1, 'MAIL', '{}', 'PENDING'), (2, 'MAIL', '{}', 'WAITING'), \
         (3, 'MAIL', '{}', 'WAITING'), (4, 'MAIL', '{}', 'RUNNING'), (5, 'MAIL', '{}', 'WAITING')",
    )
    .await;
    // 4 was let go long ago; 5 waits for what is not cancelled.
    db.run("INSERT INTO job_dependencies VALUES (2, 1), (3, 2), (3, 1), (4, 1), (5, 4)").await;
    assert_eq!(with_dependents(&db.queue, &[1]).await.expect("numbers"), [1, 2, 3]);
    assert_eq!(with_dependents(&db.queue, &[3]).await.expect("numbers"), [3]);
    let all = with_dependents(&db.queue, &[1]).await.expect("numbers");
    cancel(&db.queue, &all).await.expect("an answer");
    assert_eq!(db.all::<u64>("SELECT id FROM jobs ORDER BY id").await, [4, 5]);

    // Not asked: what waits for nothing else runs.
    db.run("INSERT INTO jobs (id, job_type, payload, status) VALUES (6, 'MAIL', '{}', 'DEAD'), (7, 'MAIL', '{}', 'WAITING')").await;
    db.run("INSERT INTO job_dependencies VALUES (7, 6), (5, 6)").await;
    cancel(&db.queue, &[6]).await.expect("an answer");
    let rows: Vec<(u64, String)> = db.all("SELECT id, status FROM jobs WHERE id IN (5, 7) ORDER BY id").await;
    assert_eq!(rows, [(5, "WAITING".to_owned()), (7, "PENDING".to_owned())]);
}

pub(crate) async fn never_waits_for_rows_of_others(db: &Db) {
    db.run("INSERT INTO jobs (id, job_type, payload) VALUES (1, 'MAIL', '{}'), (2, 'MAIL', '{}'), (3, 'MAIL', '{}')")
        .await;
    let mut conn = db.conn().await;
    let mut holder = conn.start_transaction(TxOpts::default()).await.expect("a transaction");
    holder.query_drop("SELECT id FROM jobs WHERE id = 2 FOR UPDATE").await.expect("a lock");
    let changes = cancel(&db.queue, &[1, 2, 3]).await.expect("an answer");
    assert_eq!(outcomes(&changes), [(1, Cancelled::Cancelled), (2, Cancelled::Busy), (3, Cancelled::Cancelled)]);
    assert_eq!(outcomes(&retry(&db.queue, &[2]).await.expect("an answer")), [(2, Retried::Busy)]);
    // Given back in time it is found by a later look.
    let (changes, ()) = tokio::join!(cancel(&db.queue, &[2]), async {
        holder.rollback().await.expect("an end");
    });
    assert_eq!(outcomes(&changes.expect("an answer")), [(2, Cancelled::Cancelled)]);
}

pub(crate) async fn pauses_and_resumes(db: &Db) {
    db.run("INSERT INTO jobs (queue, job_type, payload) VALUES ('a', 'MAIL', '{}'), ('c', 'MAIL', '{}'), ('', 'MAIL', '{}')").await;
    assert!(pause(&db.queue, "b").await.expect("an answer"));
    assert!(!pause(&db.queue, "b").await.expect("an answer"), "it was paused before");
    assert_eq!(db.one::<(String, u8)>("SELECT queue, paused FROM job_queues").await, ("b".to_owned(), 1));
    assert!(resume(&db.queue, "b").await.expect("an answer"));
    assert!(!resume(&db.queue, "b").await.expect("an answer"));
    assert_eq!(db.one::<(String, u8)>("SELECT queue, paused FROM job_queues").await, ("b".to_owned(), 0));
    assert_eq!(operate::queues(&db.queue).await.expect("names"), ["", "a", "b", "c"]);
}
