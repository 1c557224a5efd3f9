//! Handlers of `jobs.toml` in a worker on real servers: SQL exactly once, calls with one key for all tries, commands.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod support;

use std::io::{Read, Write};
use std::path::Path;

use headwater_jobs::WorkerConfig;
use headwater_jobs::config::Config;
use headwater_testkit::servers::Flavor;
use support::{Jobs, Running};

fn both(test: &str, check: impl Fn(&Jobs)) {
    for flavor in Flavor::ALL {
        if let Some(jobs) = Jobs::start(test, flavor, &[]) {
            check(&jobs);
        }
    }
}

/// A worker of these job types.
fn work(jobs: &Jobs, types: &str) -> Running {
    let text = format!("url = \"mysql://root@127.0.0.1:{}/shop\"\n{types}", jobs.server.port());
    let config = Config::parse(&text, Path::new("jobs.toml"), None).unwrap_or_else(|error| panic!("{error:?}"));
    jobs.work(config.handlers, WorkerConfig { executors: config.executors, lease: config.lease, ..Default::default() })
}

const COUPONS: &str = "CREATE TABLE coupons (id BIGINT AUTO_INCREMENT PRIMARY KEY, job_id BIGINT, user_id BIGINT NOT NULL, \
                       note VARCHAR(20), price DECIMAL(20, 4), whole TEXT) ENGINE = InnoDB";

#[test]
fn what_sql_writes_is_there_exactly_once() {
    both("what_sql_writes_is_there_exactly_once", |jobs| {
        let hostile = r#"{"user_id": 5, "note": "'); DROP TABLE x", "price": 1234567.8125}"#;
        let many: Vec<String> = (0..300)
            .map(|n| format!("('GRANT', '{{\"user_id\": {n}, \"note\": null, \"price\": \"0.5\"}}')"))
            .collect();
        jobs.run(&[
            COUPONS,
            &format!("INSERT INTO jobs (job_type, payload) VALUES {}", many.join(", ")),
            &format!("INSERT INTO jobs (job_type, payload) VALUES ('GRANT', '{}')", hostile.replace('\'', "''")),
        ]);
        let running = work(
            jobs,
            "[types.GRANT]\nsql = ['INSERT INTO coupons (job_id, user_id, note, price, whole) \
             VALUES (:job_id, :user_id, :note, :price, :payload);', 'SELECT COUNT(*) FROM coupons']",
        );
        jobs.until("SELECT COUNT(*) FROM jobs", 0);
        assert_eq!(jobs.number("SELECT COUNT(*) FROM coupons"), 301);
        assert_eq!(jobs.number("SELECT COUNT(DISTINCT job_id) FROM coupons"), 301);
        let kept: Vec<(String, String)> =
            jobs.rows("SELECT note, CAST(price AS CHAR) FROM coupons WHERE note IS NOT NULL");
        assert_eq!(kept, [("'); DROP TABLE x".to_owned(), "1234567.8125".to_owned())]);
        assert_eq!(jobs.number("SELECT COUNT(*) FROM job_attempts"), 0);
        jobs.stop(running);
    });
}

#[test]
fn what_fails_is_rolled_back_and_says_why() {
    both("what_fails_is_rolled_back_and_says_why", |jobs| {
        jobs.run(&[COUPONS]);
        let running = work(
            jobs,
            "[types.HALF]\nsql = ['INSERT INTO coupons (user_id) VALUES (1)', 'INSERT INTO missing VALUES (:a)']\n\
             retry = { policy = 'list', delays = ['0s'], max-retries = 1 }\n\
             [types.MEMBER]\nsql = 'INSERT INTO coupons (user_id) VALUES (:user_id)'\n\
             [types.HANGS]\nsql = ['INSERT INTO coupons (user_id) VALUES (1)', 'DO SLEEP(1000)']\ntimeout = '1s'\n\
             retry = { policy = 'list', delays = ['0s'], max-retries = 0 }",
        );
        jobs.run(&[
            "INSERT INTO jobs (job_type, payload) VALUES ('HALF', '{\"a\": 1}'), ('MEMBER', '{}'), ('HANGS', '{}')",
        ]);
        jobs.until("SELECT COUNT(*) FROM jobs WHERE status = 'DEAD'", 3);
        let ends: Vec<(String, u32, String)> =
            jobs.rows("SELECT job_type, retry_count, last_error_message FROM jobs ORDER BY job_type");
        let says = |at: usize, tries: u32, text: &str| {
            let (job_type, count, message) = &ends[at];
            assert!(*count == tries && message.contains(text), "{job_type}: {count} {message}");
        };
        says(0, 2, "missing");
        says(1, 1, "timeout");
        says(2, 1, "'user_id'");
        jobs.until("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DO SLEEP%'", 0);
        assert_eq!(jobs.number("SELECT COUNT(*) FROM coupons"), 0);
        jobs.stop(running);
    });
}

#[test]
fn a_job_that_was_taken_away_writes_nothing() {
    both("a_job_that_was_taken_away_writes_nothing", |jobs| {
        jobs.run(&[COUPONS, "INSERT INTO jobs (job_type, payload) VALUES ('GRANT', '{\"user_id\": 1}')"]);
        let running =
            work(jobs, "[types.GRANT]\nsql = ['INSERT INTO coupons (user_id) VALUES (:user_id)', 'DO SLEEP(2)']");
        jobs.until("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DO SLEEP%'", 1);
        jobs.run(&["UPDATE jobs SET status = 'PENDING', locked_by = NULL, started_at = NULL"]);
        jobs.until("SELECT COUNT(*) FROM jobs", 0);
        // The first run is over by now: its end came before that of the second one, or it does so on stopping.
        jobs.stop(running);
        assert_eq!(jobs.number("SELECT COUNT(*) FROM coupons"), 1);
    });
}

#[test]
fn calls_and_commands_run_with_the_names_of_their_job() {
    both("calls_and_commands_run_with_the_names_of_their_job", |jobs| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = std::thread::spawn(move || {
            ["503 Service Unavailable", "200 OK"].map(|status| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = String::new();
                while !asked.contains("\"user\"") {
                    let mut buffer = [0; 4_096];
                    let length = stream.read(&mut buffer).unwrap();
                    asked.push_str(&String::from_utf8_lossy(&buffer[..length]));
                }
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
                asked
            })
        });
        let folder = tempfile::tempdir().unwrap();
        let script = "cat > got; echo \" $HEADWATER_JOB_ID $HEADWATER_JOB_TYPE $HEADWATER_ATTEMPT ${#TRACEPARENT}\" >> got; mv got done";
        let running = work(
            jobs,
            &format!(
                "[types.CALL]\nhttp = {{ url = 'http://127.0.0.1:{port}/x', allow-private = ['127.0.0.1'] }}\n\
                 retry = {{ policy = 'list', delays = ['0s'] }}\n\
                 [types.RUN]\ncommand = {{ program = 'sh', args = ['-c', '{script}'], folder = '{}' }}",
                folder.path().display()
            ),
        );
        jobs.run(&[
            "INSERT INTO jobs (id, job_type, payload) VALUES (41, 'CALL', '{\"user\": 7}'), (42, 'RUN', '{\"user\": 8}')",
        ]);
        jobs.until("SELECT COUNT(*) FROM jobs", 0);
        for (asked, attempt) in asked.join().unwrap().iter().zip(1..) {
            let asked = asked.to_lowercase();
            for line in ["idempotency-key: shop-41".to_owned(), format!("x-headwater-attempt: {attempt}")] {
                assert!(asked.contains(&format!("\r\n{line}\r\n")), "{line} in {asked}");
            }
            assert!(asked.contains("\r\ntraceparent: 00-") && asked.ends_with("{\"user\": 7}"), "{asked}");
        }
        let got = std::fs::read_to_string(folder.path().join("done")).unwrap();
        assert_eq!(got, "{\"user\": 8} 42 RUN 1 55\n");
        jobs.stop(running);
    });
}
