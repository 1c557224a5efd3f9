//! A worker that lives on while something between it and the server does not: what it lets go of must come back.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_jobs::{Backoff, Context, Handlers, Queue, RetryPolicy, Settings, Stop, Worker, WorkerConfig, typed};
use headwater_mysql::Access;
use headwater_testkit::servers::Flavor;
use serde_json::Value;
use support::Jobs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn at_once() -> Settings {
    let retry =
        RetryPolicy { backoff: Backoff::Fixed(vec![Duration::ZERO]), cap: Duration::from_secs(1), max_retries: 5 };
    Settings { retry, timeout: Duration::from_secs(60) }
}

fn both(test: &str, check: impl Fn(&Jobs)) {
    for flavor in Flavor::ALL {
        if let Some(jobs) = Jobs::start(test, flavor, &[]) {
            check(&jobs);
        }
    }
}

/// The server does not answer for longer than the lease, and then it does: nobody else was there to take the jobs, and the
/// worker has let go of them.
#[test]
fn a_worker_that_lost_its_lease_leaves_its_jobs_to_others_and_goes_on() {
    both("a_worker_that_lost_its_lease_leaves_its_jobs_to_others_and_goes_on", |jobs| {
        let lost = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lost);
        let mut handlers = Handlers::new();
        let handler = typed(move |_: Value, context: Context| {
            let count = Arc::clone(&count);
            async move {
                if context.attempt() == 1 {
                    assert_eq!(context.cancelled().await, Stop::LeaseLost);
                    count.fetch_add(1, Ordering::SeqCst);
                    return Err("stopped".into());
                }
                Ok(())
            }
        });
        handlers.add("slow", handler, at_once());
        jobs.run(&["INSERT INTO jobs (job_type, payload) VALUES ('slow', '{}'), ('slow', '{}')"]);
        let config = WorkerConfig { lease: Duration::from_secs(2), ..WorkerConfig::default() };
        let running = jobs.work(handlers, config);
        jobs.until("SELECT COUNT(*) FROM jobs WHERE status = 'RUNNING'", 2);
        // One session: the lock is its own.
        jobs.run(&["LOCK TABLES job_workers WRITE", "DO SLEEP(3)", "UNLOCK TABLES"]);
        jobs.until("SELECT COUNT(*) FROM jobs", 0);
        assert_eq!(lost.load(Ordering::SeqCst), 2, "both were told to stop");
        let tries: Vec<(u64, String)> = jobs.rows("SELECT worker_id, error_message FROM job_attempts");
        assert!(tries.len() == 2 && tries.iter().all(|(_, text)| text.starts_with("lease expired")), "{tries:?}");
        let alive = format!("SELECT COUNT(*) FROM job_workers WHERE state = 'ALIVE' AND id > {}", tries[0].0);
        assert_eq!(jobs.number(&alive), 1, "the worker goes on under a new number");
        jobs.stop(running);
    });
}

/// What marks jobs as running, just before the commit of their claim.
const CLAIM: &[u8] = b"SET status = 'RUNNING', locked_by";

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Breaks,
    /// It stays open, and nothing comes any more.
    FallsSilent,
}

/// Stands before a server. While it is armed, the answer to the next claim is not passed on.
struct Proxy {
    port: u16,
    armed: Arc<Mutex<Option<Fault>>>,
}

impl Proxy {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), armed: Arc::default() };
        let armed = Arc::clone(&proxy.armed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&armed)));
            }
        });
        proxy
    }

    fn arm(&self, fault: Fault) {
        *self.armed.lock().unwrap() = Some(fault);
    }

    fn is_armed(&self) -> bool {
        self.armed.lock().unwrap().is_some()
    }
}

async fn pass(client: TcpStream, server: TcpStream, armed: Arc<Mutex<Option<Fault>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let fault: Mutex<Option<Fault>> = Mutex::new(None);
    let there = async {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            let sent = &buffer[..length];
            if sent.windows(CLAIM.len()).any(|window| window == CLAIM) {
                let struck = armed.lock().unwrap().take();
                *fault.lock().unwrap() = struck;
            }
            if to_server.write_all(sent).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            let struck = *fault.lock().unwrap();
            if let Some(fault) = struck {
                // The server does all it was told before the connection goes.
                let quiet = Duration::from_millis(300);
                while let Ok(Ok(1..)) = tokio::time::timeout(quiet, from_server.read(&mut buffer)).await {}
                if fault == Fault::FallsSilent {
                    std::future::pending::<()>().await;
                }
                return;
            }
            if to_client.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

#[test]
fn jobs_of_a_claim_that_was_not_heard_of_are_given_back() {
    both("jobs_of_a_claim_that_was_not_heard_of_are_given_back", |jobs| {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&runs);
        let mut handlers = Handlers::new();
        let handler = typed(move |_: Value, _: Context| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        });
        handlers.add("quick", handler, at_once());
        let proxy = jobs.wait(Proxy::start(jobs.server.port()));
        let url = format!("mysql://root@127.0.0.1:{}/shop?ssl-mode=DISABLED", proxy.port);
        let queue = jobs.wait(Queue::connect(Access::from_url(&url).unwrap())).unwrap();
        // Many at once, whose claim is committed before they start.
        proxy.arm(Fault::Breaks);
        jobs.run(&["INSERT INTO jobs (job_type, payload) SELECT 'quick', '{}' FROM \
                    (SELECT 1 UNION ALL SELECT 2) a, (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4) b"]);
        let config = WorkerConfig { lease: Duration::from_secs(5), ..WorkerConfig::default() };
        let running = jobs.run_worker(Worker::new(queue, handlers, config));
        jobs.until("SELECT COUNT(*) FROM jobs", 0);
        assert!(!proxy.is_armed(), "a connection broke");
        assert_eq!(runs.load(Ordering::SeqCst), 8, "none ran before its claim was known");
        // A single one, which starts while its commit is on its way.
        for fault in [Fault::Breaks, Fault::FallsSilent] {
            proxy.arm(fault);
            jobs.run(&["INSERT INTO jobs (job_type, payload) VALUES ('quick', '{}')"]);
            jobs.until("SELECT COUNT(*) FROM jobs", 0);
            assert!(!proxy.is_armed(), "a connection was struck");
        }
        assert_eq!(jobs.number("SELECT COUNT(*) FROM job_attempts"), 0, "no try is counted");
        jobs.stop(running);
    });
}
