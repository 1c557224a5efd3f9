//! Wake-ups by the log on real servers: what wakes, what does not, and what is said when nothing can.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use headwater_mysql::Access;
use headwater_mysql::watch::Watch;
use headwater_testkit::servers::Flavor;
use support::Db;

fn access(db: &Db, user: &str) -> Access {
    Access::from_url(&format!("mysql://{user}@127.0.0.1:{}/shop", db.server.port())).expect("a URL")
}

#[test]
fn committed_inserts_into_the_table_wake() {
    for flavor in Flavor::ALL {
        let Some(db) = Db::start("committed_inserts_into_the_table_wake", flavor, &[]) else { continue };
        db.run(&["CREATE TABLE shop.jobs (id INT PRIMARY KEY)", "CREATE TABLE shop.other (id INT PRIMARY KEY)"]);
        let mut watch = db.wait(Watch::start(&access(&db, "root"), "shop", "jobs")).expect("a watch");
        let quiet = |watch: &mut Watch| {
            db.wait(async { tokio::time::timeout(Duration::from_millis(300), watch.next()).await.is_err() })
        };
        db.run(&["INSERT INTO shop.other VALUES (1)", "BEGIN", "INSERT INTO shop.jobs VALUES (1)", "ROLLBACK"]);
        assert!(quiet(&mut watch), "another table or what was rolled back does not wake");
        db.run(&["INSERT INTO shop.jobs VALUES (2)"]);
        db.wait(tokio_timeout(watch.next())).expect("a wake-up");
        db.run(&["UPDATE shop.jobs SET id = 3", "DELETE FROM shop.jobs"]);
        assert!(quiet(&mut watch), "what is no insert does not wake");
        // A transaction that the server compresses wakes too. MySQL does so since 8.0.20.
        let compression = "SET SESSION binlog_transaction_compression = ON";
        if flavor.is_mysql() && db.try_run(compression) {
            db.run(&[compression, "INSERT INTO shop.jobs VALUES (4)"]);
            db.wait(tokio_timeout(watch.next())).expect("a wake-up");
        } else if !flavor.is_mysql() {
            db.run(&["ALTER TABLE shop.jobs ADD COLUMN t TEXT", "SET GLOBAL log_bin_compress = ON"]);
            db.run(&["INSERT INTO shop.jobs VALUES (4, REPEAT('x', 5000))"]);
            db.wait(tokio_timeout(watch.next())).expect("a wake-up");
        }
        // The server goes: an error, not silence.
        db.kill_and_start();
        let error = db.wait(tokio_timeout_error(watch.next()));
        assert_eq!(error.code(), "mysql.disconnected");
    }
}

async fn tokio_timeout(next: impl Future<Output = headwater_change::Result<()>>) -> headwater_change::Result<()> {
    tokio::time::timeout(Duration::from_secs(30), next).await.expect("within half a minute")
}

async fn tokio_timeout_error(next: impl Future<Output = headwater_change::Result<()>>) -> headwater_change::Error {
    tokio_timeout(next).await.expect_err("an error")
}

#[test]
fn a_missing_grant_is_named() {
    for flavor in Flavor::ALL {
        let Some(db) = Db::start("a_missing_grant_is_named", flavor, &[]) else { continue };
        db.run(&["CREATE USER 'poor'@'%'", "GRANT SELECT ON shop.* TO 'poor'@'%'"]);
        let error = db.wait(Watch::start(&access(&db, "poor"), "shop", "jobs")).err().expect("an error");
        assert_eq!(error.code(), "mysql.privilege");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("GRANT REPLICATION SLAVE")), "{error:?}");
    }
}

#[test]
fn a_server_that_hangs_is_noticed_by_who_waits_in_small_steps() {
    for flavor in Flavor::ALL {
        let Some(db) = Db::start("a_server_that_hangs_is_noticed", flavor, &[]) else { continue };
        let heartbeat = Duration::from_millis(500);
        let access = access(&db, "root");
        let start = Watch::with_heartbeat(&access, "shop", "jobs", heartbeat);
        let mut watch = db.wait(start).expect("a watch");
        // Heartbeats are heard although nothing happens, also when every wait is dropped after a moment.
        let step = |watch: &mut Watch| {
            db.wait(async { tokio::time::timeout(Duration::from_millis(50), watch.next()).await.ok() })
        };
        assert!((0..60).all(|_| step(&mut watch).is_none()), "a quiet server is not a silent one");
        let process = std::fs::read_to_string(db.server.folder().join("process")).expect("a process");
        let signal = |name: &str| {
            let status = std::process::Command::new("kill").args([name, process.trim()]).status();
            assert!(status.expect("a kill").success());
        };
        signal("-STOP");
        let mut outcome = None;
        support::within(Duration::from_secs(60), || {
            outcome = step(&mut watch);
            outcome.is_some()
        });
        signal("-CONT");
        let error = outcome.expect("an end").expect_err("an error");
        assert_eq!(error.code(), "mysql.silent");
    }
}
