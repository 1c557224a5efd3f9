//! Jobs from lines of JSON.

use std::fmt::Write;

use headwater_change::Place;
use headwater_jobs::operate::{Enqueued, enqueue_lines};

use crate::db::Db;

pub(crate) async fn takes_lines(db: &Db) {
    let lines = r#"{"job_type": "MAIL", "payload": {"user_id": 7}}

{"job_type":"MAIL","payload":[],"queue":"slow","priority":-3,"delay":3600,"unique_key":"u","limit_key":"k","max_retries":1}
{"job_type":"MAIL","payload":null,"unique_key":"u"}
{"job_type":"MAIL","payload":"x","run_at":"2037-01-01T02:00:00+02:00"}
{"job_type":"MAIL","payload":"x","run_at":"2001-01-01T00:00:00Z"}"#;
    let done = enqueue_lines(&db.queue, lines.as_bytes(), "lines").await.expect("jobs");
    assert_eq!(done, Enqueued { enqueued: 4, duplicates: 1 });
    type Row = (String, i16, u8, Option<String>, Option<u32>);
    let rows: Vec<Row> = db.all("SELECT queue, priority, later, limit_key, max_retries FROM jobs ORDER BY id").await;
    let plain = |later| ("default".to_owned(), 0, later, None, None);
    assert_eq!(rows, [plain(0), ("slow".to_owned(), -3, 1, Some("k".to_owned()), Some(1)), plain(1), plain(0)]);
    let far: (u64, u8) = db
        .one(
            "SELECT COUNT(*), MAX(ABS(TIMESTAMPDIFF(SECOND, run_at, '2037-01-01 00:00:00')) < 10) FROM jobs \
              WHERE run_at > '2036-01-01'",
        )
        .await;
    assert_eq!(far, (1, 1), "the offset counts");

    db.run("DELETE FROM jobs").await;
    let mut many = String::new();
    for number in 0..5_001 {
        writeln!(many, r#"{{"job_type":"MAIL","payload":{{"n":{number}}}}}"#).expect("a line");
    }
    let done = enqueue_lines(&db.queue, many.as_bytes(), "many").await.expect("jobs");
    assert_eq!(done.enqueued, 5_001);
    assert_eq!(db.one::<u64>("SELECT COUNT(DISTINCT JSON_EXTRACT(payload, '$.n')) FROM jobs").await, 5_001);
}

pub(crate) async fn names_the_line(db: &Db) {
    let mut lines = r#"{"job_type":"MAIL","payload":1}
"#
    .repeat(2_100);
    lines.push_str(r#"{"job_type":"MAIL"}"#);
    let error = enqueue_lines(&db.queue, lines.as_bytes(), "many").await.expect_err("no payload");
    assert_eq!(error.code(), "jobs.line");
    assert_eq!(error.place(), Some(&Place::File { path: "many".to_owned(), line: 2_101 }));
    let detail = error.detail_text().expect("a detail");
    assert!(detail.contains("payload") && detail.contains("lines 1 to 2000 are enqueued"), "{detail}");
    assert_eq!(db.one::<u64>("SELECT COUNT(*) FROM jobs").await, 2_000);

    let error = enqueue_lines(&db.queue, &b"\xff\n"[..], "bytes").await.expect_err("not UTF-8");
    assert_eq!((error.code(), error.place()), ("jobs.line", Some(&Place::File { path: "bytes".to_owned(), line: 1 })));
    // What only the server knows; the oldest MySQL takes constraints without keeping them.
    if db.flavor == headwater_testkit::servers::Flavor::MySql80 {
        return;
    }
    db.run("ALTER TABLE jobs ADD CONSTRAINT short CHECK (CHAR_LENGTH(job_type) < 5)").await;
    let error =
        enqueue_lines(&db.queue, &br#"{"job_type":"LETTER","payload":1}"#[..], "one").await.expect_err("a check");
    assert_eq!(error.code(), "jobs.enqueue");
    assert!(error.detail_text().expect("a detail").contains("no line is enqueued"), "{error:?}");
}
