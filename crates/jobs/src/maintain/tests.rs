use crate::handler::Settings;
use crate::job::Job;
use crate::retry::{Backoff, RetryPolicy};
use crate::testing::{Db, on_both, one, plan, rows, run};
use crate::{Context, Handler};

use super::*;

/// A handler that is never run here; its type has a retry policy.
struct Nothing;

impl Handler for Nothing {
    fn run(&self, _: Job, _: Context) -> crate::handler::Run {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn handlers() -> Handlers {
    let mut handlers = Handlers::new();
    let retry = RetryPolicy { backoff: Backoff::Power10, max_retries: 2, ..RetryPolicy::default() };
    let never = RetryPolicy { max_retries: 0, ..retry.clone() };
    handlers.add("A", std::sync::Arc::new(Nothing), Settings { retry, ..Settings::default() });
    handlers.add("NEVER", std::sync::Arc::new(Nothing), Settings { retry: never, ..Settings::default() });
    handlers
}

fn maintainer(queue: &Queue) -> Maintainer {
    Maintainer::new(queue.clone(), handlers(), MaintainSettings::default())
}

async fn due_jobs(db: &Db) {
    let queue = db.queue("due").await;
    let mut conn = queue.session().await.unwrap();
    let ten = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4)";
    let row = "SELECT 'A', '{}', NOW(6) - INTERVAL 1 SECOND, NOW(6) - INTERVAL 1 HOUR";
    let many = format!(
        "INSERT INTO jobs (job_type, payload, run_at, ready_from) {row} FROM {ten} a, {ten} b, {ten} c, {ten} d, {ten} e"
    );
    run(
        &mut conn,
        &[
            &many,
            "INSERT INTO jobs (job_type, payload, run_at) VALUES ('A', '{}', NOW(6) + INTERVAL 1 HOUR)",
            "ANALYZE TABLE jobs",
        ],
    )
    .await;
    // Somebody has one of them locked: it is left for the next round, and nobody waits.
    let mut other = queue.session().await.unwrap();
    run(&mut other, &["START TRANSACTION", "SELECT id FROM jobs WHERE id = 7 FOR UPDATE"]).await;
    assert_eq!(promote::promote(&mut conn).await.unwrap(), 3_124);
    assert!(coming(&mut conn).await.unwrap()[0].expect("the seventh") <= 0);
    run(&mut other, &["ROLLBACK"]).await;
    assert_eq!(promote::promote(&mut conn).await.unwrap(), 1);
    let next = coming(&mut conn).await.unwrap()[0].expect("the one in an hour");
    assert!((3_000_000_000..=3_600_000_000).contains(&next), "{next}");
    assert_eq!(one::<u64>(&mut conn, "SELECT COUNT(*) FROM jobs WHERE later = 0 AND ready_from = run_at").await, 3_125);
    // The maintainer comes when the next one is due.
    run(&mut conn, &["UPDATE jobs SET run_at = NOW(6) + INTERVAL 300000 MICROSECOND WHERE later = 1"]).await;
    let mut maintainer = maintainer(&queue);
    let tick = maintainer.tick().await.unwrap();
    assert!(tick.leads && tick.wait <= Duration::from_millis(300), "{tick:?}");
}

/// No statement sorts or reads a table from end to end, and what is locked is what is taken.
async fn plans(db: &Db) {
    let queue = db.queue("plans").await;
    let mut conn = queue.session().await.unwrap();
    let ten = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4)";
    let many = |row: &str| {
        format!(
            "INSERT INTO jobs (queue, job_type, payload, run_at, ready_from, status) {row} FROM {ten} a, {ten} b, {ten} c, {ten} d"
        )
    };
    run(
        &mut conn,
        &[
            &many("SELECT 'default', 'A', '{}', NOW(6), NOW(6), 'PENDING'"),
            &many("SELECT 'other', 'A', '{}', NOW(6) + INTERVAL 1 DAY, NOW(6), 'PENDING'"),
            &many("SELECT 'other', 'A', '{}', NOW(6), NOW(6), 'WAITING'"),
            "INSERT INTO jobs (job_type, payload, run_at, ready_from) SELECT 'A', '{}', NOW(6), NOW(6) - INTERVAL 1 DAY FROM jobs LIMIT 10",
            "INSERT INTO job_schedules (name, cron, job_type, payload, next_at) SELECT id, '* * * * *', 'A', '{}', NOW(6) + \
             INTERVAL 1 DAY FROM jobs LIMIT 500",
            "INSERT INTO job_schedules (name, cron, job_type, payload, next_at) VALUES ('null', '* * * * *', 'A', '{}', NULL), \
             ('due', '* * * * *', 'A', '{}', NOW(6))",
            "ANALYZE TABLE jobs, job_schedules",
        ],
    )
    .await;
    for (sql, index) in [(promote::PROMOTE, "due"), (schedule::DUE, "next"), (rescue::QUEUES, "claim")] {
        let plan = plan(&mut conn, sql).await;
        assert!(plan.contains(&format!("'{index}'")) && !plan.contains("filesort"), "{sql}\n{plan}");
    }
    let queues = plan(&mut conn, rescue::QUEUES).await;
    assert!(queues.contains("Using index for group-by"), "{queues}");
    let mut other = queue.session().await.unwrap();
    let free =
        |table: &str, key: &str| format!("SELECT COUNT(*) FROM (SELECT {key} FROM {table} FOR UPDATE SKIP LOCKED) f");
    // MariaDB also locks the entry at which it sees that nothing more is due.
    let promoted = if queue.flavor() == headwater_mysql::client::Flavor::MariaDb { 11 } else { 10 };
    for (sql, table, key, taken) in
        [(promote::PROMOTE, "jobs", "id", promoted), (schedule::DUE, "job_schedules", "name", 1)]
    {
        let all: u64 = one(&mut other, &format!("SELECT COUNT(*) FROM {table}")).await;
        run(&mut conn, &["START TRANSACTION", sql]).await;
        assert_eq!(one::<u64>(&mut other, &free(table, key)).await, all - taken, "{sql}");
        run(&mut conn, &["ROLLBACK"]).await;
    }
}

async fn lost_workers(db: &Db) {
    let queue = db.queue("lost").await;
    let mut conn = queue.session().await.unwrap();
    run(
        &mut conn,
        &[
            "INSERT INTO job_workers (id, name, state, lease_until) VALUES (1, 'lives', 'ALIVE', NOW(6) + INTERVAL 1 HOUR), \
             (2, 'host/17', 'ALIVE', NOW(6) - INTERVAL 1 SECOND), (3, 'stopped', 'STOPPING', NOW(6) - INTERVAL 1 SECOND)",
            "INSERT INTO jobs (queue, job_type, payload, status, retry_count, max_retries, locked_by, started_at) VALUES \
             ('default', 'A', '{}', 'RUNNING', 0, NULL, 1 << 32 | 1, NOW(6)), \
             ('default', 'A', '{}', 'RUNNING', 1, NULL, 2 << 32 | 1, NOW(6)), \
             ('other', 'A', '{}', 'RUNNING', 2, NULL, 2 << 32 | 2, NOW(6)), \
             ('other', 'A', '{}', 'RUNNING', 2, 9, 2 << 32 | 2, NOW(6)), \
             ('other', 'NEVER', '{}', 'RUNNING', 0, NULL, 2 << 32 | 2, NOW(6)), \
             ('other', 'A', '{}', 'CANCELLING', 0, NULL, 2 << 32 | 2, NOW(6)), \
             ('third', 'A', '{}', 'RUNNING', 0, NULL, 4 << 32 | 1, NOW(6)), \
             ('third', 'A', '{}', 'RUNNING', 0, NULL, NULL, NOW(6))",
        ],
    )
    .await;
    // One job is in an open transaction of the worker that is thought lost: it comes in a later round.
    let mut zombie = queue.session().await.unwrap();
    run(&mut zombie, &["START TRANSACTION", "SELECT id FROM jobs WHERE id = 4 FOR UPDATE"]).await;
    let rescued = rescue::lost_workers(&mut conn, &handlers()).await.unwrap();
    assert_eq!(rescued, rescue::Rescued { jobs: 4, workers: 1 });
    let beat = "UPDATE job_workers SET lease_until = NOW(6) + INTERVAL 1 HOUR WHERE id = 2 AND state <> 'LOST'";
    run(&mut conn, &[beat]).await;
    assert_eq!(conn.affected_rows(), 0, "a heartbeat that comes too late");
    run(&mut zombie, &["ROLLBACK"]).await;
    assert_eq!(rescue::lost_workers(&mut conn, &handlers()).await.unwrap().jobs, 1);
    assert_eq!(rows::<u64>(&mut conn, "SELECT id FROM job_workers").await, [1]);
    assert_eq!(rescue::orphans(&mut conn, &handlers()).await.unwrap(), 2);
    assert_eq!(rescue::orphans(&mut conn, &handlers()).await.unwrap(), 0);
    let jobs: Vec<(u64, String, u32, i64)> = rows(
        &mut conn,
        "SELECT id, CAST(status AS CHAR), retry_count, TIMESTAMPDIFF(SECOND, ready_from, run_at) FROM jobs ORDER BY id",
    )
    .await;
    let jobs: Vec<String> =
        jobs.iter().skip(1).map(|(id, status, tries, delay)| format!("{id} {status} {tries} {delay}")).collect();
    assert_eq!(
        jobs,
        ["2 PENDING 2 100", "3 DEAD 3 0", "4 PENDING 3 1000", "5 DEAD 1 0", "7 PENDING 1 10", "8 PENDING 0 0"],
        "one more try, and dead by the rule of every failure; the cancelled one is gone"
    );
    let message: String = one(&mut conn, "SELECT last_error_message FROM jobs WHERE id = 2").await;
    assert!(message.starts_with("lease expired: worker 2 (host/17) was last seen at 20"), "{message}");
    assert_eq!(one::<u64>(&mut conn, "SELECT COUNT(*) FROM job_attempts WHERE worker_id IN (2, 4)").await, 6);
    assert_eq!(one::<String>(&mut conn, "SELECT CAST(outcome AS CHAR) FROM jobs_done").await, "CANCELLED");
}

fn schedule(name: &str, cron: &str, catch_up: CatchUp) -> Schedule {
    Schedule {
        name: name.to_owned(),
        cron: cron.to_owned(),
        time_zone: "UTC".to_owned(),
        catch_up,
        queue: "cron".to_owned(),
        job_type: "TICK".to_owned(),
        payload: r#"{"a": [1, 2.50]}"#.to_owned(),
        priority: 3,
    }
}

async fn schedules(db: &Db) {
    let queue = db.queue("schedules").await;
    let mut conn = queue.session().await.unwrap();
    let all = ["none", "one", "all", "月次"];
    let ways = [CatchUp::None, CatchUp::One, CatchUp::All, CatchUp::All];
    let given: Vec<Schedule> = all.iter().zip(ways).map(|(name, way)| schedule(name, "0 * * * *", way)).collect();
    upsert(&mut conn, &given).await.unwrap();
    assert_eq!(schedule::fire(&mut conn).await.unwrap(), 0, "a new schedule has missed nothing");
    run(
        &mut conn,
        &[
            "UPDATE job_schedules SET next_at = FROM_UNIXTIME(FLOOR(UNIX_TIMESTAMP() / 3600) * 3600 - 10 * 3600)",
            "INSERT INTO job_schedules (name, cron, time_zone, job_type, payload) VALUES ('bad', '* * *', 'UTC', 'A', '{}'), \
             ('nowhere', '* * * * *', 'Mars', 'A', '{}'), ('never', '0 0 30 2 *', 'UTC', 'A', '{}')",
            "INSERT INTO job_schedules (name, cron, job_type, payload, enabled) VALUES ('off', '* * * * * *', 'A', '{}', 0)",
        ],
    )
    .await;
    upsert(&mut conn, &given).await.unwrap();
    schedule::fire(&mut conn).await.unwrap();
    let counts = "SELECT SUBSTRING_INDEX(unique_key, ':', 2), COUNT(*) FROM jobs GROUP BY 1 ORDER BY 1";
    let counts: Vec<(String, u64)> = rows(&mut conn, counts).await;
    let counts: Vec<u64> = counts.iter().filter(|(key, _)| key != "cron:none").map(|row| row.1).collect();
    assert_eq!(counts, [11, 11, 1], "the hashed name, all, one");
    let job = "SELECT queue, job_type, priority, later, JSON_EXTRACT(payload, '$.a[0]') FROM jobs WHERE unique_key LIKE 'cron:one:%'";
    let job: Vec<(String, String, i16, u8, i64)> = rows(&mut conn, job).await;
    assert_eq!(job, [("cron".to_owned(), "TICK".to_owned(), 3, 0, 1)]);
    let errors: Vec<(String, String)> = rows(
        &mut conn,
        "SELECT name, last_error_message FROM job_schedules WHERE last_error_message IS NOT NULL ORDER BY name",
    )
    .await;
    let errors: Vec<String> =
        errors.iter().map(|(name, text)| format!("{name} {}", text.split(' ').next().unwrap_or_default())).collect();
    assert_eq!(errors, ["bad [jobs.cron]", "never [jobs.cron]", "nowhere [jobs.time_zone]"]);
    assert_eq!(schedule::fire(&mut conn).await.unwrap(), 0);
    // Another pattern gets its own next time; the same one keeps it.
    let mut changed = given.clone();
    changed[0].cron = "30 * * * *".to_owned();
    upsert(&mut conn, &changed).await.unwrap();
    assert_eq!(
        rows::<String>(&mut conn, "SELECT name FROM job_schedules WHERE next_at IS NULL AND enabled = 1").await,
        ["none"]
    );
    let wrong = [schedule("x", "nonsense", CatchUp::One)];
    assert_eq!(upsert(&mut conn, &wrong).await.expect_err("a pattern").code(), "jobs.cron");
}

/// Two processes at once, neither with the lock: each time fires once.
async fn no_double_firing(db: &Db) {
    let queue = db.queue("twice").await;
    let mut conn = queue.session().await.unwrap();
    let given: Vec<Schedule> = (0..3).map(|n| schedule(&format!("s{n}"), "* * * * * *", CatchUp::All)).collect();
    upsert(&mut conn, &given).await.unwrap();
    let back = "UPDATE job_schedules SET next_at = FROM_UNIXTIME(UNIX_TIMESTAMP() - 400)";
    run(&mut conn, &[back]).await;
    let start: i64 = one(&mut conn, "SELECT CAST(UNIX_TIMESTAMP(MIN(next_at)) AS SIGNED) FROM job_schedules").await;
    let fires = (0..2).map(|_| {
        let queue = queue.clone();
        async move {
            let mut conn = queue.session().await.unwrap();
            let mut fired = 0;
            for _ in 0..100 {
                fired += schedule::fire(&mut conn).await.unwrap();
            }
            fired
        }
    });
    let fired: u64 = futures::future::join_all(fires).await.iter().sum();
    let (jobs, expected): (u64, u64) = conn
        .query_first(format!(
            "SELECT (SELECT COUNT(*) FROM jobs), SUM(CAST(UNIX_TIMESTAMP(next_at) AS SIGNED) - {start}) FROM job_schedules"
        ))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((fired, jobs), (expected, expected), "one job for each second and schedule");
    assert!(expected > 1_200);
}

async fn leading(db: &Db) {
    let queue = db.queue("leading").await;
    let mut conn = queue.session().await.unwrap();
    let (mut first, mut second) = (maintainer(&queue), maintainer(&queue));
    let tick = first.tick().await.unwrap();
    assert!(tick.leads, "{tick:?}");
    assert_eq!((tick.partitions, tick.failures), (6, 0), "{tick:?}");
    let idle = Tick { leads: true, wait: ROUND, ..Tick::default() };
    assert_eq!(first.tick().await.unwrap(), idle);
    assert_eq!(second.tick().await.unwrap(), Tick { wait: ASK, ..Tick::default() });
    // An idle round is one statement.
    const COUNT: &str = "SHOW SESSION STATUS LIKE 'Questions'";
    let mut counts: Vec<(String, u64)> = rows(first.session.as_mut().unwrap(), COUNT).await;
    for _ in 0..10 {
        assert_eq!(first.tick().await.unwrap(), idle);
    }
    counts.extend(rows(first.session.as_mut().unwrap(), COUNT).await);
    assert_eq!(counts[1].1 - counts[0].1, 11, "ten rounds and this question");
    // All of it in one round.
    run(
        &mut conn,
        &[
            "INSERT INTO job_limits (queue, limit_key, max_running) VALUES ('default', '*', 1)",
            "INSERT INTO jobs (job_type, payload, status, limit_key) VALUES ('A', '{}', 'PARKED', 'k'), ('A', '{}', 'WAITING', NULL)",
            "INSERT INTO job_dependencies VALUES (2, 4711)",
            "INSERT INTO job_batches (callback_type) VALUES ('DONE')",
            "INSERT INTO jobs (job_type, payload, run_at, ready_from) VALUES ('A', '{}', NOW(6), NOW(6) - INTERVAL 1 HOUR)",
            "INSERT INTO job_workers (name, lease_until) VALUES ('gone', NOW(6) - INTERVAL 1 SECOND)",
            "INSERT INTO jobs (job_type, payload, status, locked_by) VALUES ('A', '{}', 'RUNNING', 1 << 32)",
            "INSERT INTO job_schedules (name, cron, job_type, payload, next_at) VALUES ('s', '* * * * * *', 'A', '{}', \
             NOW(6) - INTERVAL 5 SECOND)",
        ],
    )
    .await;
    let tick = first.tick().await.unwrap();
    let did = (
        tick.promoted,
        tick.lost_workers,
        tick.rescued,
        tick.fired,
        tick.unparked,
        tick.freed,
        tick.batches,
        tick.failures,
    );
    assert_eq!(did, (1, 1, 1, 1, 1, 1, 1, 0));
    // A leader that is gone is followed by another.
    drop(first);
    let mut leads = false;
    for _ in 0..500 {
        leads = second.tick().await.unwrap().leads;
        if leads {
            break;
        }
        let _: u64 = one(&mut conn, "SELECT SLEEP(0.02)").await;
    }
    assert!(leads, "the lock is free again");
    // A table that is gone fails its part only, and what that part had to do is done later.
    run(
        &mut conn,
        &[
            "INSERT INTO job_workers (id, name, lease_until) VALUES (77, 'gone', NOW(6) - INTERVAL 1 SECOND)",
            "INSERT INTO jobs (job_type, payload, status, locked_by) VALUES ('A', '{}', 'RUNNING', 77 << 32)",
            "INSERT INTO job_schedules (name, cron, job_type, payload, next_at) VALUES ('t', '* * * * * *', 'A', '{}', \
             NOW(6) - INTERVAL 5 SECOND)",
            "UPDATE job_schedules SET enabled = 0 WHERE name = 's'",
            "RENAME TABLE job_attempts TO elsewhere",
        ],
    )
    .await;
    let tick = second.tick().await.unwrap();
    assert_eq!((tick.leads, tick.rescued, tick.fired, tick.failures), (true, 0, 1, 1), "{tick:?}");
    run(&mut conn, &["RENAME TABLE elsewhere TO job_attempts"]).await;
    let tick = second.tick().await.unwrap();
    assert_eq!((tick.leads, tick.rescued, tick.failures), (true, 1, 0), "{tick:?}");
}

async fn partitions(db: &Db) {
    let queue = db.queue("days").await;
    let mut conn = queue.session().await.unwrap();
    run(
        &mut conn,
        &[
            "ALTER TABLE jobs_done REORGANIZE PARTITION pmax INTO (PARTITION p20200101 VALUES LESS THAN (1577923200), \
             PARTITION pmax VALUES LESS THAN MAXVALUE)",
            "INSERT INTO jobs_done (id, queue, job_type, payload, priority, outcome, retry_count, finished_at) VALUES \
             (1, 'q', 'A', '{}', 0, 'COMPLETED', 0, '2020-01-01 10:00:00'), (2, 'q', 'A', '{}', 0, 'COMPLETED', 0, NOW(6))",
        ],
    )
    .await;
    let done = partition::partition(&mut conn, 7).await.unwrap();
    assert_eq!(done, partition::Partitioned { made: 6, dropped: 1, denied: false });
    assert_eq!(partition::partition(&mut conn, 7).await.unwrap(), partition::Partitioned::default());
    assert_eq!(rows::<u64>(&mut conn, "SELECT id FROM jobs_done").await, [2]);
    let today: String = one(&mut conn, "SELECT DATE_FORMAT(NOW(6), 'p%Y%m%d')").await;
    assert_eq!(rows::<u64>(&mut conn, &format!("SELECT id FROM jobs_done PARTITION ({today})")).await, [2]);
}

/// The grants that are printed are enough; without ALTER everything else works, and it is said once.
async fn accounts(db: &Db) {
    let queue = db.queue("accounts").await;
    let mut conn = queue.session().await.unwrap();
    for (account, printed) in [("plain", false), ("keeper", true)] {
        run(&mut conn, &[&format!("CREATE USER {account}@'%'")]).await;
        for grant in crate::schema::grants("accounts", &format!("{account}@'%'")) {
            let grant = grant.split(';').next().unwrap_or_default();
            if printed || grant.starts_with("GRANT SELECT") {
                run(&mut conn, &[grant]).await;
            }
        }
        let url = db.url().replace("root", account);
        let theirs =
            Queue::connect(headwater_mysql::Access::from_url(&format!("{url}/accounts")).unwrap()).await.unwrap();
        let mut maintainer = maintainer(&theirs);
        let tick = maintainer.tick().await.unwrap();
        assert_eq!((tick.leads, tick.partitions, tick.failures), (true, if printed { 6 } else { 0 }, 0), "{account}");
        assert_eq!(maintainer.partitions_denied, !printed);
        let gone = maintainer.session.take().expect("a session").disconnect().await;
        assert!(gone.is_ok(), "the lock is free when the goodbye is answered");
        let free = format!("SELECT IS_FREE_LOCK({LOCK})");
        for _ in 0..500 {
            if one::<u64>(&mut conn, &free).await == 1 {
                break;
            }
        }
    }
}

#[test]
fn due_jobs_and_those_of_lost_workers_come_back() {
    on_both("due_jobs_and_those_of_lost_workers_come_back", async |db| {
        plans(db).await;
        due_jobs(db).await;
        lost_workers(db).await;
    });
}

#[test]
fn schedules_fire_once() {
    on_both("schedules_fire_once", async |db| {
        schedules(db).await;
        no_double_firing(db).await;
    });
}

#[test]
fn one_process_leads() {
    on_both("one_process_leads", async |db| {
        partitions(db).await;
        accounts(db).await;
        leading(db).await;
    });
}
