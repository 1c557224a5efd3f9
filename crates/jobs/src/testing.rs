//! What the tests of parts on real servers share: a server, and databases with an empty queue in it.

use headwater_mysql::Access;
use headwater_mysql::driver::Conn;
use headwater_mysql::driver::prelude::{FromRow, Queryable};
use headwater_testkit::servers::{Flavor, Server, Startup};

use crate::queue::{Queue, open};
use crate::schema;

/// A server of a test; each of its databases is a queue of its own.
pub(crate) struct Db {
    server: Server,
}

impl Db {
    /// Where it is, for its account root.
    pub(crate) fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.server.port())
    }

    /// An empty queue.
    pub(crate) async fn queue(&self, name: &str) -> Queue {
        let url = self.url();
        let mut root = open(&Access::from_url(&url).unwrap()).await.unwrap();
        root.query_drop(format!("CREATE DATABASE {}", headwater_mysql::ident(name))).await.unwrap();
        let queue = Queue::connect(Access::from_url(&format!("{url}/{name}")).unwrap()).await.unwrap();
        let mut conn = queue.session().await.unwrap();
        schema::create(&mut conn).await.unwrap();
        queue.give_back(conn);
        queue
    }
}

/// Runs a test on each product, or says why it cannot.
pub(crate) fn on_both(test: &str, run: impl AsyncFn(&Db)) {
    for flavor in Flavor::ALL {
        match Server::start(flavor, &[]).unwrap() {
            Startup::Up(server) => {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
                runtime.block_on(run(&Db { server }));
            }
            Startup::NotAvailable(reason) => headwater_testkit::skipped(test, &reason),
        }
    }
}

/// Runs statements.
pub(crate) async fn run(conn: &mut Conn, statements: &[&str]) {
    for sql in statements {
        conn.query_drop(*sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// All rows of a result.
pub(crate) async fn rows<T: FromRow + Send + 'static>(conn: &mut Conn, sql: &str) -> Vec<T> {
    conn.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The first value of a result.
pub(crate) async fn one<T: headwater_mysql::driver::prelude::FromValue + Send + 'static>(
    conn: &mut Conn,
    sql: &str,
) -> T {
    conn.query_first(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).expect("a row")
}

/// What the server says about how it runs a statement.
pub(crate) async fn plan(conn: &mut Conn, sql: &str) -> String {
    let mysql = headwater_mysql::client::flavor(conn).await.unwrap() == headwater_mysql::client::Flavor::MySql;
    let how = if mysql { "EXPLAIN FORMAT=TRADITIONAL" } else { "EXPLAIN" };
    let rows = rows::<headwater_mysql::driver::Row>(conn, &format!("{how} {sql}")).await;
    let text = |row: headwater_mysql::driver::Row| {
        row.unwrap().iter().map(|value| value.as_sql(true)).collect::<Vec<_>>().join(" ")
    };
    rows.into_iter().map(text).collect::<Vec<_>>().join("\n")
}
