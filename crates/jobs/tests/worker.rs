//! The life of jobs on real servers: claimed, run, retried, dead, cancelled, given back, rescued from nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod support;

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_jobs::{
    Backoff, Context, Failure, Handlers, NewJob, RetryPolicy, Settings, Stop, WorkedQueue, WorkerConfig, typed,
};
use headwater_mysql::driver::TxOpts;
use headwater_mysql::driver::prelude::Queryable;
use headwater_testkit::servers::Flavor;
use serde_json::{Value, json};
use support::Jobs;

fn quick(retries: u32) -> Settings {
    let retry = RetryPolicy {
        backoff: Backoff::Fixed(vec![Duration::ZERO]),
        cap: Duration::from_secs(1),
        max_retries: retries,
    };
    Settings { retry, timeout: Duration::from_secs(20) }
}

/// A handler that keeps the payloads it saw.
fn collector() -> (Arc<Mutex<Vec<Value>>>, Handlers) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut handlers = Handlers::new();
    let kept = Arc::clone(&seen);
    let handler = typed(move |payload: Value, _: Context| {
        kept.lock().unwrap().push(payload);
        async { Ok(()) }
    });
    handlers.add("collect", handler, Settings::default());
    (seen, handlers)
}

fn both(test: &str, check: impl Fn(&Jobs)) {
    for flavor in Flavor::ALL {
        if let Some(jobs) = Jobs::start(test, flavor, &[]) {
            check(&jobs);
        }
    }
}

#[test]
fn a_plain_insert_is_run_once_and_a_rolled_back_one_never() {
    both("a_plain_insert_is_run_once_and_a_rolled_back_one_never", |jobs| {
        let (seen, handlers) = collector();
        jobs.run(&[
            "INSERT INTO jobs (job_type, payload, priority) VALUES ('collect', JSON_OBJECT('n', 1), 100)",
            "BEGIN",
            "INSERT INTO jobs (job_type, payload) VALUES ('collect', '{\"n\": 2}')",
            "ROLLBACK",
            "INSERT INTO jobs (job_type, payload, priority) VALUES ('collect', '{\"n\": 3}', 5)",
        ]);
        let running = jobs.work(handlers, WorkerConfig { executors: 1, ..WorkerConfig::default() });
        jobs.until("SELECT COUNT(*) FROM jobs", 0);
        assert_eq!(*seen.lock().unwrap(), [json!({"n": 3}), json!({"n": 1})], "smaller priority numbers first");
        let metrics = Arc::clone(&running.metrics);
        jobs.stop(running);
        assert_eq!(metrics.completed_jobs("default"), 2);
        assert_eq!(jobs.number("SELECT COUNT(*) FROM jobs_done"), 0, "no history was asked for");
    });
}

#[test]
fn failures_are_tried_again_with_their_history_and_end_dead() {
    both("failures_are_tried_again_with_their_history_and_end_dead", |jobs| {
        let mut handlers = Handlers::new();
        let fail =
            typed(|_: Value, context: Context| async move { Err(Failure::from(format!("try {}", context.attempt()))) });
        handlers.add("fail", fail, quick(2));
        handlers.add("panic", typed(|_: Value, _: Context| async { panic!("lost my mind") }), quick(0));
        handlers.add("typed", typed(|_: u64, _: Context| async { Ok(()) }), quick(5));
        handlers.add("over", typed(|_: Value, _: Context| async { Err(Failure::Dead("no use".into())) }), quick(5));
        jobs.run(&[
            "INSERT INTO jobs (job_type, payload) VALUES ('fail', '{}'), ('panic', '{}'), ('typed', '{}'), ('over', '{}')",
            "INSERT INTO jobs (job_type, payload, max_retries) VALUES ('unknown', '{}', 0)",
        ]);
        let running = jobs.work(handlers, WorkerConfig::default());
        jobs.until("SELECT COUNT(*) FROM jobs WHERE status = 'DEAD'", 5);
        jobs.stop(running);
        let dead: Vec<(String, u32, String)> =
            jobs.rows("SELECT job_type, retry_count, last_error_message FROM jobs ORDER BY id");
        assert_eq!((dead[0].1, dead[0].2.as_str()), (3, "try 3"));
        assert!(dead[1].2.contains("panicked: lost my mind"), "{dead:?}");
        assert!(dead[2].1 == 1 && dead[2].2.contains("jobs.payload"), "what no retry mends is dead at once: {dead:?}");
        assert_eq!((dead[3].1, dead[3].2.as_str()), (1, "no use"));
        assert!(dead[4].2.contains("no handler for the job type 'unknown'"), "{dead:?}");
        let tries: Vec<(u32, String)> =
            jobs.rows("SELECT attempt, error_message FROM job_attempts WHERE job_id = 1 ORDER BY attempt");
        assert_eq!(tries, [(1, "try 1".into()), (2, "try 2".into()), (3, "try 3".into())]);
        // One UPDATE brings a dead job back.
        let (seen, handlers) = collector();
        jobs.run(&["UPDATE jobs SET status = 'PENDING', retry_count = 0, job_type = 'collect' WHERE id = 1"]);
        let running = jobs.work(handlers, WorkerConfig::default());
        jobs.until("SELECT COUNT(*) FROM jobs WHERE id = 1", 0);
        jobs.stop(running);
        assert_eq!(seen.lock().unwrap().len(), 1);
    });
}

#[test]
fn a_job_may_complete_in_its_own_transaction() {
    both("a_job_may_complete_in_its_own_transaction", |jobs| {
        jobs.run(&["CREATE TABLE coupons (user_id BIGINT PRIMARY KEY)"]);
        let mut handlers = Handlers::new();
        let coupon = typed(|payload: Value, context: Context| async move {
            let mut conn = context.queue().session().await?;
            let mut transaction = conn.start_transaction(TxOpts::default()).await.map_err(|error| error.to_string())?;
            let user = payload["user"].as_u64().unwrap();
            let insert = format!("INSERT INTO coupons VALUES ({user})");
            transaction.query_drop(insert).await.map_err(|error| error.to_string())?;
            context.complete_in(&mut transaction).await?;
            if context.attempt() == 1 && user.is_multiple_of(2) {
                return Err("changed my mind before the commit".into());
            }
            if context.attempt() == 1 && user % 5 == 1 {
                // Forgets its commit: that must be seen.
                return Ok(());
            }
            transaction.commit().await.map_err(|error| error.to_string())?;
            Ok(())
        });
        handlers.add("coupon", coupon, quick(3));
        let new: Vec<NewJob> = (0..50).map(|user| NewJob::new("coupon", &json!({ "user": user })).unwrap()).collect();
        assert_eq!(jobs.wait(jobs.queue.enqueue_all(&new)).unwrap(), 50);
        let running = jobs.work(handlers, WorkerConfig::default());
        jobs.until("SELECT COUNT(*) FROM jobs", 0);
        jobs.stop(running);
        assert_eq!(jobs.number("SELECT COUNT(*) FROM coupons"), 50);
        assert_eq!(jobs.number("SELECT COUNT(*) FROM job_attempts"), 30, "25 changed their mind, 5 forgot");
    });
}

#[test]
fn stopping_finishes_what_runs_and_gives_back_what_cannot() {
    both("stopping_finishes_what_runs_and_gives_back_what_cannot", |jobs| {
        let started = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&started);
        let mut handlers = Handlers::new();
        let slow = typed(move |endless: bool, context: Context| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                if endless {
                    assert_eq!(context.cancelled().await, Stop::Shutdown);
                    return Err("stopped".into());
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
                Ok(())
            }
        });
        handlers.add("slow", slow, quick(3));
        jobs.run(&[
            "INSERT INTO jobs (job_type, payload) VALUES ('slow', 'true'), ('slow', 'false'), ('slow', 'false')",
        ]);
        let config =
            WorkerConfig { executors: 2, shutdown_deadline: Duration::from_secs(1), ..WorkerConfig::default() };
        let running = jobs.work(handlers, config);
        while started.load(Ordering::SeqCst) < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        jobs.stop(running);
        let left: Vec<(u64, String, u32)> = jobs.rows("SELECT id, status, retry_count FROM jobs ORDER BY id");
        // Which of the two others ran beside the endless one is open: two sessions claim side by side.
        let pending = |id| (id, "PENDING".to_owned(), 0);
        assert!(left == [pending(1), pending(2)] || left == [pending(1), pending(3)], "no try is counted: {left:?}");
    });
}

#[test]
fn a_cancelled_job_is_stopped_and_a_slow_one_times_out() {
    both("a_cancelled_job_is_stopped_and_a_slow_one_times_out", |jobs| {
        let mut handlers = Handlers::new();
        let endless = typed(|_: Value, context: Context| async move {
            context.progress(40.0, "half way").await?;
            std::future::pending::<()>().await;
            Ok(())
        });
        handlers.add("endless", endless.clone(), quick(0));
        handlers.add("hangs", endless, Settings { timeout: Duration::from_millis(200), ..quick(0) });
        jobs.run(&["INSERT INTO jobs (job_type, payload) VALUES ('endless', '{}'), ('hangs', '{}')"]);
        let running = jobs.work(handlers, WorkerConfig::default());
        jobs.until("SELECT COUNT(*) FROM jobs WHERE id = 1 AND progress = 40", 1);
        jobs.run(&["UPDATE jobs SET status = 'CANCELLING' WHERE id = 1 AND status = 'RUNNING'"]);
        jobs.until("SELECT COUNT(*) FROM jobs_done WHERE id = 1 AND outcome = 'CANCELLED'", 1);
        jobs.until(
            "SELECT COUNT(*) FROM jobs WHERE status = 'DEAD' AND last_error_message LIKE '%timeout of 200ms%'",
            1,
        );
        jobs.stop(running);
    });
}

#[test]
fn queues_have_history_weights_and_pauses_and_large_payloads_come_one_by_one() {
    both("queues_have_history_weights_and_pauses_and_large_payloads_come_one_by_one", |jobs| {
        let (seen, handlers) = collector();
        let large = json!({ "text": "x".repeat(1_000_000) });
        let new = [
            NewJob::new("collect", &large).unwrap().queue("kept"),
            NewJob::new("collect", &json!(1)).unwrap().queue("paused"),
            NewJob::new("collect", &json!(2)).unwrap().unique_key("once"),
            NewJob::new("collect", &json!(3)).unwrap().unique_key("once"),
        ];
        assert_eq!(jobs.wait(jobs.queue.enqueue_all(&new)).unwrap(), 3);
        jobs.run(&["INSERT INTO job_queues (queue, paused) VALUES ('paused', 1)"]);
        let queue = |name: &str, history| WorkedQueue { name: name.into(), weight: 1, history };
        let queues = vec![queue("default", false), queue("kept", true), queue("paused", false)];
        // A worker hears of pauses within a second; one that begins knows them from its first probe.
        let running = jobs.work(handlers, WorkerConfig { queues, ..WorkerConfig::default() });
        jobs.until("SELECT COUNT(*) FROM jobs WHERE queue <> 'paused'", 0);
        jobs.until("SELECT COUNT(*) FROM jobs_done WHERE queue = 'kept' AND outcome = 'COMPLETED'", 1);
        jobs.run(&["UPDATE job_queues SET paused = 0"]);
        jobs.until("SELECT COUNT(*) FROM jobs", 0);
        jobs.stop(running);
        assert_eq!(seen.lock().unwrap().iter().filter(|payload| **payload == large).count(), 1);
        assert_eq!(seen.lock().unwrap().len(), 3);
    });
}

#[test]
fn many_jobs_run_once_each_and_bad_priorities_do_not_starve() {
    both("many_jobs_run_once_each_and_bad_priorities_do_not_starve", |jobs| {
        let runs: Arc<Vec<AtomicU32>> = Arc::new((0..20_000).map(|_| AtomicU32::new(0)).collect());
        let order = Arc::new(AtomicUsize::new(0));
        let first_bad = Arc::new(AtomicUsize::new(usize::MAX));
        let mut handlers = Handlers::new();
        let (kept, nth, bad) = (Arc::clone(&runs), Arc::clone(&order), Arc::clone(&first_bad));
        let handler = typed(move |number: usize, _: Context| {
            kept[number].fetch_add(1, Ordering::Relaxed);
            let at = nth.fetch_add(1, Ordering::Relaxed);
            if number >= 19_900 {
                bad.fetch_min(at, Ordering::Relaxed);
            }
            async { Ok(()) }
        });
        handlers.add("count", handler, quick(0));
        let new: Vec<NewJob> =
            (0..20_000).map(|n| NewJob::new("count", &n).unwrap().priority(if n >= 19_900 { 9 } else { 0 })).collect();
        assert_eq!(jobs.wait(jobs.queue.enqueue_all(&new)).unwrap(), 20_000);
        let config = || WorkerConfig { prefetch: 200, claimers: 2, completers: 2, ..WorkerConfig::default() };
        let (first, second) = (jobs.work(handlers.clone(), config()), jobs.work(handlers, config()));
        jobs.until("SELECT COUNT(*) FROM jobs", 0);
        let lost = |text: &str| text.lines().any(|line| line == "headwater_jobs_lease_lost_total 0");
        assert!(lost(&first.metrics.text()) && lost(&second.metrics.text()));
        jobs.stop(first);
        jobs.stop(second);
        assert!(runs.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        assert!(first_bad.load(Ordering::Relaxed) < 19_000, "the worst priority had a turn before the end");
    });
}

#[test]
fn an_idle_worker_is_woken_by_the_log_and_asks_little() {
    both("an_idle_worker_is_woken_by_the_log_and_asks_little", |jobs| {
        let (seen, handlers) = collector();
        let running = jobs.work(handlers, WorkerConfig { executors: 64, ..WorkerConfig::default() });
        let count = |name: &str| {
            let text = running.metrics.text();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
            line.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok()).expect("a number")
        };
        // Listening begins a moment after the worker: jobs are enqueued until one of them wakes it.
        let mut enqueued = 0;
        for n in 0..200 {
            jobs.wait(jobs.queue.enqueue(&NewJob::new("collect", &n).unwrap())).unwrap();
            enqueued += 1;
            jobs.until("SELECT COUNT(*) FROM jobs", 0);
            if count("headwater_jobs_wakeups_total") >= 5 {
                break;
            }
        }
        assert!(count("headwater_jobs_wakeups_total") >= 5);
        let asked = |jobs: &Jobs| -> i64 {
            let rows: Vec<(String, String)> = jobs.rows("SHOW GLOBAL STATUS LIKE 'Questions'");
            rows[0].1.parse().unwrap()
        };
        // The quietest of three stretches: what the last wake-up and the first rounds of maintenance ask is not idleness.
        let stretch = |_| {
            let before = asked(jobs);
            std::thread::sleep(Duration::from_secs(3));
            (asked(jobs) - before) as f64 / 3.0
        };
        let per_second = (0..3).map(stretch).fold(f64::INFINITY, f64::min);
        jobs.stop(running);
        assert_eq!(seen.lock().unwrap().len(), enqueued);
        assert!(per_second < 5.0, "{per_second} statements a second for 64 idle executors");
    });
}

#[test]
fn bad_input_has_a_clear_outcome() {
    both("bad_input_has_a_clear_outcome", |jobs| {
        // What is no JSON does not get in.
        let refused = jobs.wait(async {
            let mut conn = jobs.queue.session().await.unwrap();
            conn.query_drop("INSERT INTO jobs (job_type, payload) VALUES ('collect', 'nope')").await
        });
        assert!(refused.is_err(), "the server refuses a payload that is no JSON");
        large_payloads(jobs);
        let (_, handlers) = collector();
        // No tables, and tables that the account may not see.
        jobs.run(&[
            "CREATE DATABASE bare",
            "CREATE USER 'poor'@'%'",
            "GRANT SELECT ON bare.* TO 'poor'@'%'",
            "GRANT SELECT ON shop.job_queues TO 'poor'@'%'",
        ]);
        for (user, database) in [("root", "bare"), ("poor", "shop")] {
            let url = format!("mysql://{user}@127.0.0.1:{}/{database}", jobs.server.port());
            let access = headwater_mysql::Access::from_url(&url).unwrap();
            let queue = jobs.wait(headwater_jobs::Queue::connect(access)).unwrap();
            let worker = headwater_jobs::Worker::new(queue, handlers.clone(), WorkerConfig::default());
            let error = jobs.wait(worker.run(std::future::pending())).expect_err("an error");
            assert_eq!(error.code(), "jobs.tables_missing");
            assert!(error.hint_text().is_some_and(|hint| hint.contains("headwater jobs init")), "{error:?}");
        }
        // An account that may read but not write: said at the start.
        jobs.run(&["GRANT SELECT ON shop.* TO 'poor'@'%'"]);
        let url = format!("mysql://poor@127.0.0.1:{}/shop", jobs.server.port());
        let access = headwater_mysql::Access::from_url(&url).unwrap();
        let queue = jobs.wait(headwater_jobs::Queue::connect(access)).unwrap();
        let worker = headwater_jobs::Worker::new(queue, handlers, WorkerConfig::default());
        let error = jobs.wait(worker.run(std::future::pending())).expect_err("an error");
        assert_eq!(error.code(), "jobs.grant");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("GRANT")), "{error:?}");
    });
}

#[test]
fn snoozes_count_no_try_weights_share_and_payloads_are_secret() {
    both("snoozes_count_no_try_weights_share_and_payloads_are_secret", |jobs| {
        let naps = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&naps);
        let (seen, mut handlers) = collector();
        let sleepy = typed(move |_: Value, context: Context| {
            let nap = count.fetch_add(1, Ordering::SeqCst);
            async move {
                assert_eq!(context.attempt(), 1, "a snooze is no try");
                if nap < 3 { Err(Failure::Snooze(Duration::from_millis(10))) } else { Ok(()) }
            }
        });
        handlers.add("sleepy", sleepy, quick(0));
        // The key is 32 bytes in base64; nothing of the payload is readable in the table.
        let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let cipher = headwater_jobs::Cipher::new([("k1", key)], "k1").unwrap();
        let queue = jobs.queue.clone().with_cipher(Some(cipher));
        jobs.wait(queue.enqueue(&NewJob::new("collect", &json!({"card": "4711"})).unwrap())).unwrap();
        assert_eq!(jobs.number("SELECT COUNT(*) FROM jobs WHERE payload LIKE '%4711%'"), 0);
        jobs.run(&["INSERT INTO jobs (job_type, payload) VALUES ('sleepy', '{}')"]);
        let worker = headwater_jobs::Worker::new(queue, handlers, WorkerConfig::default());
        let running = jobs.run_worker(worker);
        jobs.until("SELECT COUNT(*) FROM jobs", 0);
        jobs.stop(running);
        assert_eq!(naps.load(Ordering::SeqCst), 4);
        assert_eq!(*seen.lock().unwrap(), [json!({"card": "4711"})]);
        weights_share(jobs);
    });
}

/// Of two full queues with weights 3 and 1 the first gets about three claims of four.
fn weights_share(jobs: &Jobs) {
    let order = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&order);
    let mut handlers = Handlers::new();
    let handler = typed(move |queue: String, _: Context| {
        kept.lock().unwrap().push(queue);
        async { Ok(()) }
    });
    handlers.add("note", handler, Settings::default());
    let new = |queue: &str| NewJob::new("note", &queue).unwrap().queue(queue);
    let all: Vec<NewJob> = (0..400).flat_map(|_| [new("heavy"), new("light")]).collect();
    jobs.wait(jobs.queue.enqueue_all(&all)).unwrap();
    let queue = |name: &str, weight| WorkedQueue { name: name.into(), weight, history: false };
    let config = WorkerConfig {
        executors: 1,
        claimers: 1,
        prefetch: 0,
        queues: vec![queue("heavy", 3), queue("light", 1)],
        ..WorkerConfig::default()
    };
    let running = jobs.work(handlers, config);
    jobs.until("SELECT COUNT(*) FROM jobs", 0);
    jobs.stop(running);
    let order = order.lock().unwrap();
    let heavy = order.iter().take(200).filter(|queue| *queue == "heavy").count();
    assert!((140..=160).contains(&heavy), "{heavy} of the first 200 jobs were of the heavy queue");
}

/// A payload of 12 MB goes through whole; one that the server does not take is refused where it is enqueued.
fn large_payloads(jobs: &Jobs) {
    let (seen, handlers) = collector();
    let large = NewJob::new("collect", &"x".repeat(12_000_000)).unwrap();
    jobs.wait(jobs.queue.enqueue(&large)).unwrap();
    let running = jobs.work(handlers.clone(), WorkerConfig::default());
    jobs.until("SELECT COUNT(*) FROM jobs", 0);
    jobs.stop(running);
    assert!(seen.lock().unwrap()[0].as_str().is_some_and(|text| text.len() == 12_000_000));

    // Sessions that stand keep the old limit, so that one more gets in that MySQL cannot give out any more.
    jobs.run(&["SET GLOBAL max_allowed_packet = 4 * 1024 * 1024"]);
    jobs.wait(jobs.queue.enqueue(&large)).unwrap();
    let queue = jobs.wait(headwater_jobs::Queue::connect(jobs.queue.access().clone())).unwrap();
    for error in [jobs.wait(queue.enqueue(&large)).err(), jobs.wait(queue.enqueue_all(&[large])).err()] {
        let error = error.expect("too large");
        assert_eq!(error.code(), "jobs.too_large");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("max_allowed_packet")), "{error:?}");
    }
    // Two that fit only one by one.
    let nulls = NewJob::new("collect", &vec![Value::Null; 500_000]).unwrap();
    assert_eq!(jobs.wait(queue.enqueue_all(&[nulls.clone(), nulls])).unwrap(), 2);
    let running = jobs.run_worker(headwater_jobs::Worker::new(queue, handlers, WorkerConfig::default()));
    jobs.until("SELECT COUNT(*) FROM jobs WHERE status <> 'DEAD'", 0);
    jobs.stop(running);
    let nulls =
        seen.lock().unwrap().iter().filter(|seen| seen.as_array().is_some_and(|all| all.len() == 500_000)).count();
    assert_eq!(nulls, 2);
    let dead: Vec<String> = jobs.rows("SELECT last_error_message FROM jobs");
    if jobs.flavor.is_mysql() {
        assert!(dead.len() == 1 && dead[0].contains("max_allowed_packet"), "{dead:?}");
    } else {
        assert!(dead.is_empty() && seen.lock().unwrap().len() == 4);
    }
    jobs.run(&["DELETE FROM jobs", "SET GLOBAL max_allowed_packet = 64 * 1024 * 1024"]);
}
