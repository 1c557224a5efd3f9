//! Every statement as the server got it, explained.

use std::collections::BTreeSet;
use std::time::Duration;

use headwater_jobs::operate::{self, Filter, Order, Status, Tail};
use headwater_mysql::driver::Row;
use headwater_mysql::driver::prelude::Queryable;

use crate::db::Db;

/// Calls whatever reads or locks many rows, with the server's log on, and gives what it said.
async fn statements(db: &Db) -> BTreeSet<String> {
    db.run("SET GLOBAL log_output = 'TABLE'").await;
    db.run("SET GLOBAL general_log = ON").await;
    let names = [None, Some("a".to_owned())];
    let states = [None, Some(Status::Pending), Some(Status::Dead)];
    for order in [Order::Newest, Order::Claim] {
        for queue in &names {
            for job_type in [None, Some("COUPON".to_owned())] {
                for status in states {
                    let filter = Filter { queue: queue.clone(), job_type: job_type.clone(), status, order, limit: 20 };
                    operate::list(&db.queue, &filter).await.expect("a listing");
                }
            }
        }
    }
    operate::stats(&db.queue).await.expect("numbers");
    let mut tail = Tail::since(&db.queue, Duration::from_secs(60)).await.expect("a tail");
    tail.poll().await.expect("events");
    operate::with_dependents(&db.queue, &[1, 2, 3]).await.expect("numbers");
    operate::cancel(&db.queue, &[11, 12, 14, 2_002, 4_711_000]).await.expect("an answer");
    operate::retry(&db.queue, &[21, 22, 24, 3_003]).await.expect("an answer");
    operate::retry_dead(&db.queue, None, None).await.expect("a number");
    operate::retry_dead(&db.queue, Some("a"), Some("COUPON")).await.expect("a number");
    db.run("SET GLOBAL general_log = OFF").await;
    let said: Vec<Vec<u8>> = db
        .all("SELECT argument FROM mysql.general_log WHERE command_type IN ('Query', 'Execute') AND argument LIKE '%job%'")
        .await;
    let said = said.into_iter().map(|text| String::from_utf8(text).expect("a text"));
    said.filter(|sql| !sql.contains("general_log")).collect()
}

pub(crate) async fn every_statement_walks_an_index(db: &Db) {
    db.fill(
        5_000,
        "queue, priority, status, run_at",
        "ELT(1 + n MOD 3, 'a', 'b', 'c'), n MOD 7, ELT(1 + n MOD 5, 'PENDING', 'PENDING', 'RUNNING', 'DEAD', 'WAITING'), \
         NOW(6) + INTERVAL IF(n MOD 2, 0, 3600) SECOND",
    )
    .await;
    db.run("UPDATE jobs SET job_type = 'COUPON' WHERE id MOD 50 = 0").await;
    db.run("INSERT INTO job_dependencies SELECT id + 1, id FROM jobs").await;
    db.run("INSERT INTO job_attempts (job_id, attempt, worker_id, error_message) SELECT id, 1, 1, '' FROM jobs").await;
    db.run(
        "INSERT INTO jobs_done (id, queue, job_type, payload, priority, outcome, retry_count) \
         SELECT id + 100000, queue, job_type, payload, 0, 'COMPLETED', 0 FROM jobs",
    )
    .await;
    db.run("ANALYZE TABLE jobs, jobs_done, job_attempts, job_dependencies").await;
    let statements = statements(db).await;
    let shape = |word: &str| statements.iter().filter(|sql| sql.contains(word)).count();
    for (word, least) in [
        ("ORDER BY id DESC", 3),
        ("ORDER BY later, priority, id", 6),
        ("ORDER BY status, later, priority, id", 2),
        ("AS due", 3),
        ("priority > ", 3),
        ("FOR UPDATE SKIP LOCKED", 3),
        ("INDEX (failed)", 1),
        ("INDEX (finished)", 1),
        ("INDEX (depends_on)", 1),
        ("DELETE FROM jobs", 1),
        ("CANCELLING", 1),
        ("retry_count = IF", 2),
    ] {
        assert!(shape(word) >= least, "{word}: {}", shape(word));
    }
    let mut conn = db.conn().await;
    let mut explained = 0;
    for sql in &statements {
        let plan: Vec<Row> = conn
            .query(format!("EXPLAIN FORMAT = TRADITIONAL {sql}"))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        for row in plan {
            let text = |name: &str| row.get::<Option<String>, _>(name).flatten().unwrap_or_default();
            let (table, extra) = (text("table"), text("Extra"));
            // Small by nature, or not a table of the queue.
            if table.is_empty() || table.starts_with('<') || ["job_queues", "job_workers"].contains(&table.as_str()) {
                continue;
            }
            let inserted = text("select_type") == "INSERT" || (table == "jobs_done" && sql.starts_with("INSERT"));
            assert!(inserted || !text("key").is_empty(), "{table} without an index: {sql}\n{row:?}");
            assert!(text("type") != "ALL" || inserted, "{table} is read as a whole: {sql}\n{row:?}");
            assert!(!extra.contains("filesort") && !extra.contains("temporary"), "{extra}: {sql}");
            explained += 1;
        }
    }
    assert!(explained >= statements.len() / 2, "{explained} of {} statements", statements.len());
}
