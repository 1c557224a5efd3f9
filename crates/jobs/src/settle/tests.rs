use crate::job::NewJob;
use crate::testing::{Db, on_both, one, rows, run};

use super::*;

async fn statuses(conn: &mut Conn) -> Vec<(u64, String, u8)> {
    rows(conn, "SELECT id, CAST(status AS CHAR), later FROM jobs ORDER BY id").await
}

async fn dependencies(db: &Db) {
    let queue = db.queue("dependencies").await;
    let mut conn = queue.session().await.unwrap();
    let job = |after: &[u64]| NewJob::new("A", &1).unwrap().after(after.iter().copied());
    for after in [&[][..], &[], &[1, 2], &[1]] {
        queue.enqueue(&job(after)).await.unwrap();
    }
    queue.enqueue(&job(&[1]).delay(std::time::Duration::from_secs(3_600))).await.unwrap();
    // A dead parent is not done.
    run(&mut conn, &["UPDATE jobs SET status = 'DEAD' WHERE id = 2"]).await;
    assert_eq!(sweep(&mut conn, &mut Swept::default()).await.unwrap(), Settled::default());
    run(&mut conn, &["DELETE FROM jobs WHERE id = 1"]).await;
    assert_eq!(settle(&mut conn, &[1], &[]).await.unwrap().released, 2);
    let text = |rows: Vec<(u64, String, u8)>| rows.iter().map(|row| format!("{row:?}")).collect::<Vec<_>>().join(" ");
    let expected = r#"(2, "DEAD", 0) (3, "WAITING", 0) (4, "PENDING", 0) (5, "PENDING", 1)"#;
    assert_eq!(text(statuses(&mut conn).await), expected, "the fifth is free, and not due yet");
    // The process that completed the second one died before it settled.
    run(&mut conn, &["DELETE FROM jobs WHERE id = 2"]).await;
    assert_eq!(sweep(&mut conn, &mut Swept::default()).await.unwrap().released, 1);
    assert_eq!(one::<u64>(&mut conn, "SELECT COUNT(*) FROM job_dependencies").await, 0);
    // Somebody removed what a job waited for.
    run(&mut conn, &["UPDATE jobs SET status = 'WAITING'", "UPDATE jobs SET created_at = '2026-01-01' WHERE id = 3"])
        .await;
    assert_eq!(sweep_waiting(&mut conn, "default").await.unwrap(), 1, "a young one may still get its dependencies");
}

/// Parents that finish at the same time: their child is set free by one of them, every time.
async fn parents_at_once(db: &Db) {
    let queue = db.queue("parents").await;
    let mut conn = queue.session().await.unwrap();
    for round in 0..20_u64 {
        let first = 1 + round * 5;
        let parents: Vec<u64> = (first..first + 4).collect();
        for _ in &parents {
            queue.enqueue(&NewJob::new("A", &1).unwrap()).await.unwrap();
        }
        assert_eq!(
            queue.enqueue(&NewJob::new("B", &1).unwrap().after(parents.clone())).await.unwrap(),
            Some(first + 4)
        );
        let each = parents.iter().map(async |parent| {
            let mut conn = queue.session().await.unwrap();
            conn.query_drop(format!("DELETE FROM jobs WHERE id = {parent}")).await.unwrap();
            settle(&mut conn, &[*parent], &[]).await.unwrap().released
        });
        assert_eq!(futures::future::join_all(each).await.iter().sum::<u64>(), 1);
        let status: String =
            one(&mut conn, &format!("SELECT CAST(status AS CHAR) FROM jobs WHERE id = {}", first + 4)).await;
        assert_eq!(status, "PENDING");
    }
}

async fn batches(db: &Db) {
    let queue = db.queue("batches").await;
    let mut conn = queue.session().await.unwrap();
    run(
        &mut conn,
        &[
            "INSERT INTO job_batches (callback_type) VALUES ('DONE')",
            "INSERT INTO job_batches (callback_type, callback_when, callback_queue, callback_payload) \
             VALUES ('ALL_WELL', 'ALL_SUCCEEDED', 'other', '{\"a\": 1}')",
            "INSERT INTO job_batches (callback_type, sealed) VALUES ('OPEN', 0)",
            "INSERT INTO jobs (job_type, payload, batch_id, status) VALUES ('A', '{}', 1, 'PENDING'), ('A', '{}', 1, 'DEAD'), \
             ('A', '{}', 2, 'DEAD')",
        ],
    )
    .await;
    assert_eq!(settle(&mut conn, &[], &[1, 2, 3]).await.unwrap().batches, 0);
    run(&mut conn, &["DELETE FROM jobs WHERE id = 1"]).await;
    let each = (0..4).map(|n| {
        let queue = queue.clone();
        async move {
            let mut conn = queue.session().await.unwrap();
            let settled = if n % 2 == 0 {
                settle(&mut conn, &[], &[1, 2, 3]).await
            } else {
                sweep(&mut conn, &mut Swept::default()).await
            };
            settled.unwrap().batches
        }
    });
    assert_eq!(futures::future::join_all(each).await.iter().sum::<u64>(), 1, "exactly once");
    run(&mut conn, &["DELETE FROM jobs WHERE id = 3", "UPDATE job_batches SET sealed = 1 WHERE id = 3"]).await;
    assert_eq!(sweep(&mut conn, &mut Swept::default()).await.unwrap().batches, 2);
    assert_eq!(sweep(&mut conn, &mut Swept::default()).await.unwrap().batches, 0);
    let callbacks: Vec<(String, String, String)> =
        rows(&mut conn, "SELECT queue, job_type, CAST(payload AS CHAR) FROM jobs WHERE status = 'PENDING' ORDER BY id")
            .await;
    let text: Vec<String> = callbacks.iter().map(|(q, t, p)| format!("{q} {t} {p}")).collect();
    assert_eq!(text, ["default DONE {\"batch_id\": 1}", "other ALL_WELL {\"a\": 1}", "default OPEN {\"batch_id\": 3}"]);
}

#[test]
fn what_waited_is_set_free_once() {
    on_both("what_waited_is_set_free_once", async |db| {
        dependencies(db).await;
        parents_at_once(db).await;
        batches(db).await;
    });
}
