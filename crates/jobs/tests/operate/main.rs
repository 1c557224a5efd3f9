//! Reading and steering a queue on real servers. One server for each product; every scenario has a database of its own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod db;
mod enqueue;
mod plans;
mod reading;
mod steering;

use headwater_jobs::{Queue, schema};
use headwater_mysql::Access;
use headwater_mysql::driver::prelude::Queryable;
use headwater_testkit::servers::{Flavor, Server};

use crate::db::Db;

async fn scenarios(server: &Server, flavor: Flavor) {
    macro_rules! run {
        ($($module:ident :: $scenario:ident),* $(,)?) => {$(
            println!("scenario {} on {flavor:?}", stringify!($scenario));
            $module::$scenario(&Db::new(server, flavor, stringify!($scenario)).await).await;
        )*};
    }
    run![
        reading::lists_in_both_orders,
        reading::a_deep_queue_is_cut_and_counted_to_a_bound,
        reading::shows_all_that_belongs_to_a_job,
        reading::counts_queues_and_warns,
        reading::facts_hidden_from_an_account_are_unknown,
        reading::tells_what_happens,
        reading::says_what_is_missing,
        steering::brings_back_and_forward,
        steering::brings_back_all_dead_of_a_kind,
        steering::cancels_what_waits_and_tells_what_runs,
        steering::cancels_dependents_where_asked,
        steering::never_waits_for_rows_of_others,
        steering::pauses_and_resumes,
        enqueue::takes_lines,
        enqueue::names_the_line,
        plans::every_statement_walks_an_index,
    ];
}

fn on(flavor: Flavor, test: &str) {
    let Some(server) = Server::for_test(test, flavor).expect("a server or a reason") else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(scenarios(&server, flavor));
}

#[test]
fn on_mysql() {
    on(Flavor::MySql, "operate on MySQL");
}

#[test]
fn on_mariadb() {
    on(Flavor::MariaDb, "operate on MariaDB");
}

#[test]
fn on_mysql_8_0() {
    on(Flavor::MySql80, "operate on MySQL 8.0");
}

#[test]
fn on_mariadb_11_8() {
    on(Flavor::MariaDb118, "operate on MariaDB 11.8");
}

/// MySQL 5.7 has no SKIP LOCKED.
#[test]
fn a_server_that_is_too_old_is_refused_with_its_version() {
    let Some(server) = Server::for_test("a server that is too old", Flavor::MySql57).expect("a server or a reason")
    else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let access = Access::from_url(&format!("mysql://root@127.0.0.1:{}/mysql", server.port())).expect("a URL");
        let queue = Queue::connect(access).await.expect("it answers");
        let mut conn = queue.session().await.expect("a session");
        for error in
            [schema::create(&mut conn).await.expect_err("init"), schema::check(&mut conn).await.expect_err("work")]
        {
            assert_eq!(error.code(), "jobs.server_too_old");
            assert!(error.message().contains("MySQL 5.7.22") && error.message().contains("MySQL 8.0"), "{error:?}");
        }
        let made: Vec<String> = conn.query("SHOW TABLES LIKE 'job%'").await.expect("a list");
        assert!(made.is_empty(), "{made:?}");
    });
}
