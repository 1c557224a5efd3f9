//! apalis on the MySQL of its argument: no-op jobs per second, and the time from enqueue to start of one job at a time.
//! Prints one JSON object.

use std::error::Error as Failure;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use apalis::prelude::*;
use apalis_sql::{Config, mysql::MysqlStorage, sqlx, sqlx::MySqlPool};
use serde::{Deserialize, Serialize};

/// The best of the settings that were tried on two cores (1 to 4 workers, buffers of 20 to 4,000), by jobs done as by
/// latency; its defaults are one worker, a buffer of 10 and 100 ms.
const WORKERS: usize = 4;
const CONCURRENCY: usize = 16;
const BUFFER: usize = 4_000;
const POLL: Duration = Duration::from_millis(5);

const JOBS: u64 = 20_000;
const SINGLE_JOBS: u64 = 100;
/// So long nothing more is done: the rest was lost on the way.
const PATIENCE: Duration = Duration::from_secs(10);

static DELAYS: Mutex<Vec<u64>> = Mutex::new(Vec::new());

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Mail {
    user_id: u64,
    sent_micros: u64,
}

async fn handle(mail: Mail) -> Result<(), Error> {
    DELAYS.lock().unwrap().push(micros() - mail.sent_micros);
    Ok(())
}

fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

fn mail(user_id: u64) -> Mail {
    Mail { user_id, sent_micros: micros() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Failure>> {
    let pool = MySqlPool::connect(&std::env::args().nth(1).ok_or("the URL of a MySQL database is missing")?).await?;
    MysqlStorage::setup(&pool).await?;
    let config = Config::default().set_buffer_size(BUFFER).set_poll_interval(POLL);
    let mut storage: MysqlStorage<Mail> = MysqlStorage::new_with_config(pool.clone(), config);

    let mut senders = Vec::new();
    for sender in 0..8 {
        let mut storage = storage.clone();
        senders.push(tokio::spawn(async move {
            for job in 0..JOBS / 8 {
                storage.push(mail(sender * JOBS + job)).await.unwrap();
            }
        }));
    }
    for sender in senders {
        sender.await?;
    }

    let mut monitor = Monitor::new();
    for worker in 0..WORKERS {
        let builder = WorkerBuilder::new(format!("worker-{worker}")).concurrency(CONCURRENCY);
        monitor = monitor.register(builder.backend(storage.clone()).build_fn(handle));
    }
    let begin = Instant::now();
    tokio::spawn(monitor.run());
    // Handled is not done: a job is done when its row says so. Now and then one never does.
    let (mut done, mut last) = (0, begin);
    while done < JOBS && last.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let sql = "SELECT COUNT(*) FROM jobs WHERE status = 'Done'";
        let (now,): (i64,) = sqlx::query_as(sql).fetch_one(&pool).await?;
        if now.cast_unsigned() > done {
            (done, last) = (now.cast_unsigned(), Instant::now());
        }
    }
    let seconds = (last - begin).as_secs_f64();

    tokio::time::sleep(Duration::from_secs(2)).await;
    DELAYS.lock().unwrap().clear();
    for job in 0..SINGLE_JOBS {
        tokio::time::sleep(Duration::from_millis(20 + job * 7 % 40)).await;
        storage.push(mail(job)).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut delays = DELAYS.lock().unwrap().clone();
    delays.sort_unstable();
    let part = |part: f64| delays.get((delays.len() as f64 * part) as usize).map(|micros| *micros as f64 / 1e3);
    let result = serde_json::json!({
        "peer": "apalis 0.7.4, MySQL", "jobs": JOBS, "done": done,
        "settings": format!("{WORKERS} workers x {CONCURRENCY}, buffer {BUFFER}, poll {POLL:?}"),
        "jobs_per_second": (done as f64 / seconds).round(),
        "start_ms_p50": part(0.5), "start_ms_p99": part(0.99),
    });
    println!("{result}");
    std::process::exit(0)
}
