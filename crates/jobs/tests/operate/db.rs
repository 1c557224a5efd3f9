//! A database with the tables of the queue, and statements in it.

use headwater_jobs::{Queue, schema};
use headwater_mysql::Access;
use headwater_mysql::driver::Conn;
use headwater_mysql::driver::prelude::{FromRow, Queryable};
use headwater_testkit::servers::{Flavor, Server};

pub(crate) struct Db {
    pub(crate) flavor: Flavor,
    pub(crate) name: String,
    pub(crate) queue: Queue,
    port: u16,
}

impl Db {
    pub(crate) async fn new(server: &Server, flavor: Flavor, name: &str) -> Self {
        let port = server.port();
        let root = Queue::connect(access(port, "root", "mysql")).await.expect("a server");
        root.session()
            .await
            .expect("a session")
            .query_drop(format!("CREATE DATABASE {name}"))
            .await
            .expect("a database");
        let queue = Queue::connect(access(port, "root", name)).await.expect("a server");
        schema::create(&mut queue.session().await.expect("a session")).await.expect("the tables");
        Self { flavor, name: name.to_owned(), queue, port }
    }

    /// The same database as another account sees it.
    pub(crate) async fn queue_of(&self, user: &str) -> Queue {
        Queue::connect(access(self.port, user, &self.name)).await.expect("a server")
    }

    pub(crate) async fn conn(&self) -> Conn {
        self.queue.session().await.expect("a session")
    }

    pub(crate) async fn run(&self, sql: &str) {
        let mut conn = self.conn().await;
        conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        self.queue.give_back(conn);
    }

    pub(crate) async fn all<T: FromRow + Send + 'static>(&self, sql: &str) -> Vec<T> {
        let mut conn = self.conn().await;
        let rows = conn.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        self.queue.give_back(conn);
        rows
    }

    pub(crate) async fn one<T: FromRow + Send + 'static>(&self, sql: &str) -> T {
        self.all(sql).await.into_iter().next().unwrap_or_else(|| panic!("{sql}: no row"))
    }

    /// Jobs 1 to `count` by one INSERT; `values` may use `n`.
    pub(crate) async fn fill(&self, count: u32, columns: &str, values: &str) {
        const DIGIT: &str = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 \
                             UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
        let sql = format!(
            "INSERT INTO jobs (id, job_type, payload, {columns}) SELECT n, 'MAIL', '{{}}', {values} FROM (SELECT \
             1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d AS n \
             FROM {DIGIT} a, {DIGIT} b, {DIGIT} c, {DIGIT} e, {DIGIT} f, (SELECT 0 d UNION ALL SELECT 1) g) numbers \
             WHERE n <= {count} ORDER BY n"
        );
        self.run(&sql).await;
        self.run("ANALYZE TABLE jobs").await;
    }
}

fn access(port: u16, user: &str, database: &str) -> Access {
    Access::from_url(&format!("mysql://{user}@127.0.0.1:{port}/{database}?ssl-mode=disabled")).expect("a URL")
}
