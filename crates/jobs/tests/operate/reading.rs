//! List, show, stats, tail, and what they say where something is missing.

use std::time::Duration;

use headwater_jobs::operate::{
    self, COUNTED, EventKind, Filter, LOOKED_AT, Order, SemiSync, Status, Tail, list, show, stats,
};
use headwater_mysql::driver::TxOpts;
use headwater_mysql::driver::prelude::Queryable;

use crate::db::Db;

async fn ids(db: &Db, filter: Filter) -> Vec<u64> {
    let listing = list(&db.queue, &filter).await.expect("a listing");
    assert!(!listing.cut);
    listing.jobs.iter().map(|job| job.id).collect()
}

pub(crate) async fn lists_in_both_orders(db: &Db) {
    db.run(
        "INSERT INTO jobs (id, queue, job_type, payload, priority, status, run_at) VALUES \
         (1, 'b', 'MAIL', '{}', 5, 'PENDING', DEFAULT), (2, 'b', 'COUPON', '{}', 1, 'PENDING', DEFAULT), \
         (3, 'b', 'MAIL', '{}', -1, 'PENDING', NOW(6) + INTERVAL 1 DAY), (4, 'a', 'MAIL', '{}', 9, 'PENDING', DEFAULT), \
         (5, 'b', 'MAIL', '{}', 5, 'DEAD', DEFAULT), (6, 'a', 'MAIL', '{}', 0, 'RUNNING', DEFAULT)",
    )
    .await;
    let newest = Filter::default();
    let claim = Filter { order: Order::Claim, ..Filter::default() };
    assert_eq!(ids(db, newest.clone()).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(db, Filter { limit: 2, ..newest.clone() }).await, [6, 5]);
    assert_eq!(ids(db, Filter { limit: 0, ..newest.clone() }).await, [0u64; 0]);
    // Queue by queue; what is due comes before what is later, whatever its priority.
    assert_eq!(ids(db, claim.clone()).await, [4, 6, 2, 1, 3, 5]);
    assert_eq!(ids(db, Filter { limit: 3, ..claim.clone() }).await, [4, 6, 2]);
    for (order, mail, pending, b) in [
        (Order::Newest, [6, 5, 4, 3, 1], [4, 3, 2, 1], [5, 3, 2, 1]),
        (Order::Claim, [4, 6, 1, 3, 5], [4, 2, 1, 3], [2, 1, 3, 5]),
    ] {
        let all = Filter { order, ..Filter::default() };
        assert_eq!(ids(db, Filter { job_type: Some("MAIL".into()), ..all.clone() }).await, mail);
        assert_eq!(ids(db, Filter { status: Some(Status::Pending), ..all.clone() }).await, pending);
        assert_eq!(ids(db, Filter { queue: Some("b".into()), ..all.clone() }).await, b);
        // Names are compared as they are written.
        assert_eq!(ids(db, Filter { queue: Some("B".into()), ..all }).await, [0u64; 0]);
    }
    let listing = list(&db.queue, &Filter { limit: 1, status: Some(Status::Dead), ..newest }).await.expect("a listing");
    let job = &listing.jobs[0];
    assert_eq!((job.id, job.status, job.priority, job.later), (5, Status::Dead, 5, false));
    let run_at: String = db.one("SELECT DATE_FORMAT(run_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM jobs WHERE id = 5").await;
    assert_eq!(job.run_at, run_at);
}

pub(crate) async fn a_deep_queue_is_cut_and_counted_to_a_bound(db: &Db) {
    db.fill(120_000, "queue, priority", "'deep', n MOD 10").await;
    db.run("INSERT INTO jobs (id, job_type, payload, queue, priority) VALUES (200000, 'RARE', '{}', 'deep', 9)").await;
    let rare = Filter { job_type: Some("RARE".into()), ..Filter::default() };
    let found = list(&db.queue, &rare).await.expect("a listing");
    assert_eq!((found.jobs.len(), found.cut), (1, true), "the newest {LOOKED_AT} hold it");
    let found = list(&db.queue, &Filter { order: Order::Claim, ..rare.clone() }).await.expect("a listing");
    assert_eq!((found.jobs.len(), found.cut), (0, true), "it is behind the first {LOOKED_AT}");
    let found = list(&db.queue, &Filter { limit: 1, ..rare }).await.expect("a listing");
    assert_eq!((found.jobs.len(), found.cut), (1, false), "all that was asked for");
    let stats = stats(&db.queue).await.expect("numbers");
    assert_eq!(stats.queues[0].due.0, COUNTED);
    assert_eq!(stats.queues[0].due.to_string(), "100000+");
}

pub(crate) async fn shows_all_that_belongs_to_a_job(db: &Db) {
    db.run("INSERT INTO job_workers (id, name, lease_until) VALUES (7, 'host 1', NOW(6) + INTERVAL 1 MINUTE)").await;
    db.run("INSERT INTO job_batches (id, name, callback_type) VALUES (3, 'import', 'REPORT')").await;
    db.run(
        "INSERT INTO jobs (id, job_type, payload, status, batch_id, locked_by, retry_count, last_error_message) VALUES \
         (1, 'MAIL', '{\"to\": \"a\"}', 'RUNNING', 3, (7 << 32) + 1, 1, 'no answer'), \
         (2, 'MAIL', '{}', 'WAITING', NULL, NULL, 0, NULL)",
    )
    .await;
    db.run("INSERT INTO job_dependencies VALUES (2, 1), (1, 99)").await;
    db.run("INSERT INTO job_attempts (job_id, attempt, worker_id, error_message) VALUES (1, 1, 6, 'no answer')").await;
    let details = show(&db.queue, 1).await.expect("the job");
    let job = details.job.as_ref().expect("its row");
    assert_eq!((job.status, job.worker_id, job.batch_id), (Status::Running, Some(7), Some(3)));
    let worker = details.worker.as_ref().expect("its worker");
    assert!(worker.name == "host 1" && worker.lease_left > 0.0, "{worker:?}");
    assert_eq!(details.attempts.len(), 1);
    assert_eq!((details.attempts[0].attempt, details.attempts[0].error_message.as_str()), (1, "no answer"));
    assert_eq!((details.dependents[0].id, details.dependents[0].status.as_deref()), (2, Some("WAITING")));
    assert_eq!((details.depends_on[0].id, details.depends_on[0].status.as_deref()), (99, None));
    assert_eq!(details.batch.as_ref().and_then(|batch| batch.callback_type.as_deref()), Some("REPORT"));
    let json = serde_json::to_value(&details).expect("JSON");
    assert_eq!(json["payload"]["to"], "a");
    assert_eq!(json["job"]["status"], "RUNNING");

    assert_eq!(show(&db.queue, 2).await.expect("the job").depends_on[0].status.as_deref(), Some("RUNNING"));
    operate::cancel(&db.queue, &[2]).await.expect("an answer");
    let done = show(&db.queue, 2).await.expect("the finished job");
    assert_eq!(done.done.as_ref().map(|done| done.outcome.as_str()), Some("CANCELLED"));
    assert!(done.job.is_none());
    let error = show(&db.queue, 4711).await.expect_err("no such job");
    assert_eq!(error.code(), "jobs.unknown_id");
}

pub(crate) async fn counts_queues_and_warns(db: &Db) {
    db.run(
        "INSERT INTO jobs (queue, job_type, payload, priority, status, run_at, ready_from) VALUES \
         ('a', 'MAIL', '{}', -9, 'PENDING', NOW(6) - INTERVAL 10 SECOND, NOW(6)), \
         ('a', 'MAIL', '{}', 300, 'PENDING', NOW(6) - INTERVAL 5000 SECOND, NOW(6)), \
         ('a', 'MAIL', '{}', 0, 'PENDING', NOW(6) + INTERVAL 1 DAY, NOW(6)), ('a', 'MAIL', '{}', 0, 'DEAD', NOW(6), NOW(6)), \
         ('a', 'MAIL', '{}', 0, 'RUNNING', NOW(6), NOW(6)), ('a', 'MAIL', '{}', 0, 'CANCELLING', NOW(6), NOW(6)), \
         ('b', 'MAIL', '{}', 0, 'PARKED', NOW(6), NOW(6)), ('b', 'MAIL', '{}', 0, 'WAITING', NOW(6), NOW(6))",
    )
    .await;
    db.run("INSERT INTO job_queues (queue, paused) VALUES ('c', 1)").await;
    let found = stats(&db.queue).await.expect("numbers");
    let line = |index: usize| {
        let q = &found.queues[index];
        let counts = [q.due, q.later, q.running, q.parked, q.waiting, q.dead].map(|count| count.0);
        (q.queue.as_str(), q.paused, counts)
    };
    assert_eq!(line(0), ("a", false, [2, 1, 2, 0, 0, 1]));
    assert_eq!(line(1), ("b", false, [0, 0, 0, 1, 1, 0]));
    assert_eq!(line(2), ("c", true, [0; 6]));
    let oldest = found.queues[0].oldest_due.expect("an age");
    assert!((5_000.0..20_000.0).contains(&oldest), "{oldest}");
    assert_eq!(found.queues[1].oldest_due, None);
    assert!(found.warnings()[0].contains("no worker is alive"), "{:?}", found.warnings());
    assert_eq!(found.server.semi_sync, SemiSync::NotUsed);

    db.run(
        "INSERT INTO job_workers (name, state, lease_until) VALUES ('a', 'ALIVE', NOW(6) + INTERVAL 1 HOUR), \
         ('b', 'STOPPING', NOW(6) + INTERVAL 1 HOUR), ('c', 'ALIVE', NOW(6) - INTERVAL 1 HOUR), \
         ('ended itself', 'STOPPING', NOW(6) - INTERVAL 1 HOUR)",
    )
    .await;
    let found = stats(&db.queue).await.expect("numbers");
    assert_eq!((found.workers_alive, found.workers_stopping, found.workers_lost), (2, 1, 1));

    let mut conn = db.conn().await;
    let mut transaction = conn.start_transaction(TxOpts::default()).await.expect("a transaction");
    transaction.query_drop("SELECT * FROM jobs FOR UPDATE").await.expect("locks");
    // The server refreshes what it says only when nobody asked for a tenth of a second.
    let mut age = 0;
    for _ in 0..100 {
        db.run("DO SLEEP(0.2)").await;
        age = stats(&db.queue).await.expect("numbers").server.oldest_transaction.expect("root sees transactions");
        if age > 0 {
            break;
        }
    }
    assert!(age > 0, "an open transaction is seen");
    transaction.rollback().await.expect("an end");
    let server = stats(&db.queue).await.expect("numbers").server;
    assert!(server.oldest_transaction.is_some() && server.history_length.is_some(), "root sees all: {server:?}");
}

pub(crate) async fn facts_hidden_from_an_account_are_unknown(db: &Db) {
    db.run("CREATE USER 'plain'@'%'").await;
    for grant in headwater_jobs::schema::grants(&db.name, "'plain'@'%'") {
        let grant = grant.split(';').next().expect("a statement");
        if !grant.contains("REPLICATION") {
            db.run(grant).await;
        }
    }
    let found = stats(&db.queue_of("plain").await).await.expect("numbers without PROCESS");
    assert_eq!(found.server.oldest_transaction, None);
    // MariaDB tells everybody.
    assert_eq!(found.server.history_length.is_some(), !db.flavor.is_mysql());
}

pub(crate) async fn tells_what_happens(db: &Db) {
    let mut tail = Tail::since(&db.queue, Duration::from_secs(3_600)).await.expect("a tail");
    assert_eq!(tail.poll().await.expect("events"), []);
    db.run(
        "INSERT INTO jobs (id, job_type, payload, status, retry_count) VALUES (1, 'MAIL', '{}', 'PENDING', 1), \
         (2, 'MAIL', '{}', 'DEAD', 1), (3, 'MAIL', '{}', 'PENDING', 0)",
    )
    .await;
    db.run(
        "INSERT INTO job_attempts (job_id, attempt, worker_id, started_at, failed_at, error_message) VALUES \
         (1, 1, 7, NOW(6) - INTERVAL 5 SECOND, NOW(6) - INTERVAL 3 SECOND, 'one'), \
         (2, 1, 7, NULL, NOW(6) - INTERVAL 2 SECOND, 'two'), (9, 4, 7, NULL, NOW(6) - INTERVAL 2 HOUR, 'too old')",
    )
    .await;
    operate::cancel(&db.queue, &[3]).await.expect("an answer");
    let events = tail.poll().await.expect("events");
    let short: Vec<_> = events.iter().map(|event| (event.id, event.event, event.error_message.as_deref())).collect();
    assert_eq!(
        short,
        [(1, EventKind::Failed, Some("one")), (2, EventKind::Dead, Some("two")), (3, EventKind::Cancelled, None)]
    );
    assert_eq!((events[0].queue.as_deref(), events[0].seconds), (Some("default"), Some(2.0)));
    assert_eq!(tail.poll().await.expect("events"), [], "nothing is told twice");
    // An event whose transaction is committed a little late is told all the same.
    db.run(
        "INSERT INTO job_attempts (job_id, attempt, worker_id, failed_at, error_message) VALUES \
         (1, 2, 7, NOW(6) - INTERVAL 1 SECOND, 'late')",
    )
    .await;
    let late = tail.poll().await.expect("events");
    assert_eq!(late.iter().map(|event| event.attempt).collect::<Vec<_>>(), [2]);
    // More than one page.
    db.run("DELETE FROM jobs").await;
    db.fill(20_000, "status, run_at", "'PENDING', NOW(6) - INTERVAL n MICROSECOND").await;
    db.run(
        "INSERT INTO jobs_done (id, queue, job_type, payload, priority, outcome, retry_count, finished_at) \
         SELECT id, queue, job_type, payload, priority, 'COMPLETED', 0, run_at FROM jobs",
    )
    .await;
    assert_eq!(tail.poll().await.expect("events").len(), 20_000);
    assert_eq!(tail.poll().await.expect("events"), []);
}

pub(crate) async fn says_what_is_missing(db: &Db) {
    db.run("CREATE USER 'nobody'@'%'").await;
    db.run(&format!("GRANT SELECT ON {}.jobs TO 'nobody'@'%'", db.name)).await;
    db.run("INSERT INTO jobs (id, job_type, payload, status) VALUES (1, 'MAIL', '{}', 'DEAD')").await;
    let queue = db.queue_of("nobody").await;
    let error = operate::retry(&queue, &[1]).await.expect_err("no right to change");
    assert_eq!(error.code(), "jobs.grant");
    assert!(error.hint_text().expect("a hint").contains("init --print"), "{error:?}");
    let error = operate::pause(&queue, "a").await.expect_err("no right to look");
    assert_eq!(error.code(), "jobs.grant");
    db.run("DROP TABLE job_queues").await;
    let error = operate::pause(&db.queue, "a").await.expect_err("no table");
    assert_eq!(error.code(), "jobs.tables_missing");
    assert!(error.hint_text().expect("a hint").contains("jobs init"), "{error:?}");
}
