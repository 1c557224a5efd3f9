//! How servers run the statements of claims: through the index, without a sort, and without a lock on any row that is not
//! claimed. A queue whose claims sort locks every candidate, and all other workers see it empty.

use headwater_mysql::client::Flavor;
use headwater_mysql::driver::prelude::Queryable;
use headwater_mysql::driver::{Conn, Row};
use headwater_mysql::{Access, ident};
use headwater_testkit::servers::{self, Server, Startup};

use crate::claim::{self, Pick, QueueClaims};
use crate::complete;
use crate::cursor::{Cursors, Scan};
use crate::queue::{self, Queue};
use crate::schema;

/// 3,000 jobs that are due, with three priorities, 3,000 with a better one tomorrow, and 50 dead ones.
const JOBS: &[&str] = &[
    "INSERT INTO jobs (job_type, payload, priority) SELECT 'a', '{}', seq % 3 FROM numbers",
    "INSERT INTO jobs (job_type, payload, priority, run_at) SELECT 'a', '{}', -1, NOW(6) + INTERVAL 1 DAY FROM numbers",
    "INSERT INTO jobs (job_type, payload, status) SELECT 'a', '{}', 'DEAD' FROM numbers LIMIT 50",
    "ANALYZE TABLE jobs",
];

async fn filled(server: &Server) -> Queue {
    let url = format!("mysql://root@127.0.0.1:{}", server.port());
    let mut root = queue::open(&Access::from_url(&url).unwrap()).await.unwrap();
    root.query_drop(format!("CREATE DATABASE {}", ident("plans"))).await.unwrap();
    let queue = Queue::connect(Access::from_url(&format!("{url}/plans")).unwrap()).await.unwrap();
    let mut conn = queue.session().await.unwrap();
    schema::create(&mut conn).await.unwrap();
    conn.query_drop("CREATE TABLE numbers (seq INT PRIMARY KEY)").await.unwrap();
    for start in [1, 1001, 2001] {
        let rows: Vec<String> = (start..start + 1000).map(|n| format!("({n})")).collect();
        conn.query_drop(format!("INSERT INTO numbers VALUES {}", rows.join(","))).await.unwrap();
    }
    for sql in JOBS {
        conn.query_drop(*sql).await.unwrap();
    }
    queue.give_back(conn);
    queue
}

async fn explain(conn: &mut Conn, flavor: Flavor, sql: &str) -> String {
    let how = if flavor == Flavor::MySql { "EXPLAIN FORMAT=TRADITIONAL" } else { "EXPLAIN" };
    let rows: Vec<Row> = conn.query(format!("{how} {sql}")).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    // The whole values: what is printed for debugging is cut.
    let values = |row: Row| row.unwrap().iter().map(|value| value.as_sql(false)).collect::<Vec<_>>().join(" ");
    rows.into_iter().map(values).collect::<Vec<_>>().join("\n")
}

/// Records that the transaction of `conn` holds locks on.
async fn records_locked(conn: &mut Conn, flavor: Flavor) -> u64 {
    let sql = match flavor {
        Flavor::MySql => {
            "SELECT COUNT(*) FROM performance_schema.data_locks WHERE lock_type = 'RECORD' AND thread_id = \
             (SELECT thread_id FROM performance_schema.threads WHERE processlist_id = CONNECTION_ID())"
        }
        Flavor::MariaDb => {
            "SELECT trx_rows_locked FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID()"
        }
    };
    conn.query_first(sql).await.unwrap().unwrap()
}

async fn check(server: &Server) {
    let queue = filled(server).await;
    let flavor = queue.flavor();
    let mut conn = queue.session().await.unwrap();
    let mut cursors = Cursors::default();
    cursors.scanned(Scan::Front, std::time::Duration::ZERO, [(0, 600), (1, 300), (2, 900)].into_iter());
    let behind = cursors.condition(Scan::Onward);
    for (condition, order) in [("", "priority, id"), (behind.as_str(), "priority, id"), (" AND priority = 1", "id")] {
        let sql = match flavor {
            Flavor::MySql => claim::select_sql("default", condition, order, 10),
            Flavor::MariaDb => claim::Slice { size: 100, part: 0 }.select_sql("default", condition, order, 10),
        };
        let plan = explain(&mut conn, flavor, &sql).await;
        assert!(plan.contains("claim") && !plan.contains("filesort"), "{sql}\n{plan}");
        // On MariaDB each job is found by its whole key.
        assert!(
            flavor == Flavor::MySql || plan.contains("const,const,const,candidate.its_priority,candidate.its_id"),
            "{sql}\n{plan}"
        );
    }
    // A claim of ten locks ten jobs: an entry of the index and a row each.
    let mut claims = QueueClaims::new("default".to_owned());
    let pick = Pick { flavor, wanted: 10, token: 1 };
    let first = claims.pick(&mut conn, false, pick).await.unwrap();
    assert_eq!(first.jobs.iter().map(|job| job.id).take(3).collect::<Vec<_>>(), [3, 6, 9]);
    assert_eq!(records_locked(&mut conn, flavor).await, 20, "on {flavor:?}");
    // Others are not in its way: inserts of any priority, and a claim that gets the next ten.
    let mut other = queue.session().await.unwrap();
    other.query_drop("SET SESSION innodb_lock_wait_timeout = 1").await.unwrap();
    for priority in [-5, 0, 2, 9] {
        let sql = format!("INSERT INTO jobs (job_type, payload, priority) VALUES ('b', '{{}}', {priority})");
        other.query_drop(sql).await.unwrap();
    }
    let mut second_claims = QueueClaims::new("default".to_owned());
    let second = second_claims.pick(&mut other, false, pick).await.unwrap();
    assert_eq!(second.jobs.len(), 10);
    assert!(second.jobs.iter().all(|job| first.jobs.iter().all(|taken| taken.id != job.id)));
    assert_eq!(second.jobs.first().map(|job| job.priority), Some(-5));
    for (conn, picked) in [(&mut conn, &first), (&mut other, &second)] {
        let ids: Vec<u64> = picked.jobs.iter().map(|job| job.id).collect();
        claim::confirm(conn, &ids, picked.token).await.unwrap();
    }
    // The second claim of the same worker goes on behind the first, and finds what came up before it.
    other.query_drop("UPDATE jobs SET status = 'PENDING', locked_by = NULL WHERE id = 3").await.unwrap();
    // Looks back as soon as that is cheap, at the latest after a second.
    let mut found = Vec::new();
    for _ in 0..200 {
        let third = claims.pick(&mut conn, false, Pick { wanted: 5_000, ..pick }).await.unwrap();
        conn.query_drop("ROLLBACK").await.unwrap();
        found = third.jobs.into_iter().map(|job| job.id).collect();
        if found.contains(&3) {
            break;
        }
        let _: Option<u8> = conn.query_first("SELECT SLEEP(0.01)").await.unwrap();
    }
    assert_eq!((found.len(), found.contains(&3)), (2_985, true), "all that is due");
}

/// Jobs come back, due at once or in a moment, while others claim all there is. On MariaDB a claim that reads over the end of
/// what is due, onto rows that somebody holds, gets in the way of who is about to change them.
async fn comings_and_goings(server: &Server) {
    let queue = filled(server).await;
    let mut conn = queue.session().await.unwrap();
    conn.query_drop("DELETE FROM jobs WHERE id > 600").await.unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let changes = async {
        let mut claims = QueueClaims::new("default".to_owned());
        for token in 1..=50 {
            let pick = Pick { flavor: queue.flavor(), wanted: 400, token };
            let picked = claims.pick(&mut conn, false, pick).await.unwrap();
            let ids: Vec<u64> = picked.jobs.iter().map(|job| job.id).collect();
            claim::confirm(&mut conn, &ids, token).await.unwrap();
            let moment = std::time::Duration::from_micros(1);
            complete::give_back(&mut conn, &ids, token, moment).await.unwrap();
            conn.query_drop(crate::maintain::PROMOTE).await.unwrap_or_else(|error| panic!("{error}"));
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let claims = (0..2).map(|_| async {
        let mut conn = queue.session().await.unwrap();
        let mut claims = QueueClaims::new("default".to_owned());
        let mut found = 0;
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let pick = Pick { flavor: queue.flavor(), wanted: 2_000, token: 1 };
            found += claims.pick(&mut conn, false, pick).await.unwrap().jobs.len();
            conn.query_drop("ROLLBACK").await.unwrap();
        }
        found
    });
    let (found, ()) = futures::future::join(futures::future::join_all(claims), changes).await;
    assert!(found.iter().sum::<usize>() > 0, "claims found something in between");
}

#[test]
fn claims_use_their_index_and_lock_what_they_claim() {
    for flavor in servers::Flavor::ALL {
        match Server::start(flavor, &[]).unwrap() {
            Startup::Up(server) => tokio::runtime::Runtime::new().unwrap().block_on(check(&server)),
            Startup::NotAvailable(reason) => {
                headwater_testkit::skipped("claims_use_their_index_and_lock_what_they_claim", &reason);
            }
        }
    }
}

#[test]
fn jobs_that_come_back_are_in_no_deadlock_with_claims() {
    for flavor in servers::Flavor::ALL {
        match Server::start(flavor, &[]).unwrap() {
            Startup::Up(server) => tokio::runtime::Runtime::new().unwrap().block_on(comings_and_goings(&server)),
            Startup::NotAvailable(reason) => {
                headwater_testkit::skipped("jobs_that_come_back_are_in_no_deadlock_with_claims", &reason);
            }
        }
    }
}
