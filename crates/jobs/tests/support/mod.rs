//! What the tests on real servers share: a server with an empty queue, and looking until something is there.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::disallowed_methods, reason = "a real server is waited for")]

use std::time::Duration;

use headwater_jobs::{Handlers, Queue, Worker, WorkerConfig, schema};
use headwater_mysql::Access;
use headwater_mysql::driver::prelude::{FromRow, Queryable};
use headwater_testkit::servers::{Flavor, Server, Startup};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server, its runtime, and an empty queue.
pub struct Jobs {
    pub server: Server,
    pub flavor: Flavor,
    pub queue: Queue,
    pub runtime: tokio::runtime::Runtime,
}

/// A worker in the background.
pub struct Running {
    pub metrics: std::sync::Arc<headwater_jobs::Metrics>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<headwater_change::Result<()>>,
}

impl Jobs {
    /// `None`, and said so, where there cannot be such a server.
    pub fn start(test: &str, flavor: Flavor, arguments: &[&str]) -> Option<Self> {
        let server = match Server::start(flavor, arguments).expect("a server or a reason") {
            Startup::Up(server) => server,
            Startup::NotAvailable(reason) => {
                headwater_testkit::skipped(test, &reason);
                return None;
            }
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let queue = runtime.block_on(async {
            let url = |database: &str| format!("mysql://root@127.0.0.1:{}/{database}", server.port());
            let root = Queue::connect(Access::from_url(&url("mysql")).expect("a URL")).await.expect("a connection");
            let mut conn = root.session().await.expect("a session");
            conn.query_drop("CREATE DATABASE shop").await.expect("a database");
            let queue = Queue::connect(Access::from_url(&url("shop")).expect("a URL")).await.expect("a connection");
            let mut conn = queue.session().await.expect("a session");
            schema::create(&mut conn).await.expect("tables");
            queue
        });
        Some(Self { server, flavor, queue, runtime })
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn run(&self, statements: &[&str]) {
        self.wait(async {
            let mut conn = self.queue.session().await.expect("a session");
            for sql in statements {
                conn.query_drop(*sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
            self.queue.give_back(conn);
        });
    }

    pub fn rows<T: FromRow + Send + 'static>(&self, sql: &str) -> Vec<T> {
        self.wait(async {
            let mut conn = self.queue.session().await.expect("a session");
            let rows = conn.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            self.queue.give_back(conn);
            rows
        })
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.rows::<i64>(sql).first().copied().unwrap_or_else(|| panic!("{sql}: no row"))
    }

    /// Looks until `sql` gives `wanted`; at most half a minute.
    pub fn until(&self, sql: &str, wanted: i64) {
        let mut found = self.number(sql);
        for _ in 0..3_000 {
            if found == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
            found = self.number(sql);
        }
        let table: Vec<(u64, String, String, Option<String>)> =
            self.rows("SELECT id, job_type, status, last_error_message FROM jobs LIMIT 20");
        panic!("{sql}: {found}, not {wanted}; jobs: {table:?}");
    }

    pub fn work(&self, handlers: Handlers, config: WorkerConfig) -> Running {
        self.run_worker(Worker::new(self.queue.clone(), handlers, config))
    }

    pub fn run_worker(&self, worker: Worker) -> Running {
        let metrics = worker.metrics();
        let (stop, stopped) = oneshot::channel();
        let task = self.runtime.spawn(worker.run(async move {
            let _ = stopped.await;
        }));
        Running { metrics, stop: Some(stop), task }
    }

    pub fn stop(&self, mut running: Running) {
        let _ = running.stop.take().map(|stop| stop.send(()));
        self.wait(running.task).expect("no panic").expect("a good end");
    }

    /// As if the process had been killed: nothing is finished or given back.
    pub fn kill(&self, running: Running) {
        running.task.abort();
        let _ = self.wait(running.task);
    }
}
