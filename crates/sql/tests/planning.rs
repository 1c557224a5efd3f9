//! Scripts in, plans and errors out: golden texts, so that a changed plan is seen as a diff.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use headwater_change::{ChangelogMode, Place, Result};
use headwater_sql::{Capabilities, Connectors, Outcome, Script, Session, TableSpec};

/// Sources that append, sources that change, sinks that take all or only new rows, told apart by name.
struct Named;

impl Connectors for Named {
    fn capabilities(&self, table: &TableSpec) -> Result<Capabilities> {
        Ok(match table.connector.as_str() {
            "files" => Capabilities { source: Some((ChangelogMode::Append, true)), sink: Some(ChangelogMode::Append) },
            "cdc" => Capabilities { source: Some((ChangelogMode::Retract, false)), sink: None },
            _ => Capabilities { source: None, sink: Some(ChangelogMode::Retract) },
        })
    }
}

const TABLES: &str = "
CREATE TABLE clicks (
  user_id BIGINT,
  page STRING,
  timestamp TIMESTAMP(3),
  seen AS CAST(user_id AS INT),
  WATERMARK FOR timestamp AS timestamp - INTERVAL '5' SECOND
) WITH ('connector' = 'files');
CREATE TABLE orders (
  order_id INT, currency STRING, amount DECIMAL(10, 2), qty INT, PRIMARY KEY (order_id) NOT ENFORCED
) WITH ('connector' = 'cdc');
CREATE TABLE print (currency STRING, total DECIMAL(38, 2)) WITH ('connector' = 'any');
CREATE TABLE files (currency STRING, total DECIMAL(38, 2)) WITH ('connector' = 'files');
";

fn outcome(sql: &str, window_end: bool) -> std::result::Result<Outcome, String> {
    let text = format!("{TABLES}{sql}");
    let script = Script::read(&text, &BTreeMap::new()).map_err(|error| format!("{error:?}"))?;
    let mut session = Session::new(|_, _, _| Ok(())).expect("a session");
    let mut last = None;
    for index in 0..script.len() {
        last = Some(session.execute(&script, index, &Named, window_end).map_err(|error| {
            let at = match error.place() {
                Some(Place::Sql(span)) => format!(" at `{}`", &script.text()[span.clone()]),
                other => format!(" at {other:?}"),
            };
            format!("{error:?}{at}")
        })?);
    }
    Ok(last.expect("a statement"))
}

fn plan(sql: &str) -> String {
    match outcome(sql, false) {
        Ok(Outcome::Pipeline(pipeline)) => format!("{sql}\nbounded: {}\n{}", pipeline.bounded, pipeline.plan),
        Ok(other) => panic!("no plan but {other:?}"),
        Err(error) => panic!("{error}"),
    }
}

fn error(sql: &str) -> String {
    match outcome(sql, false) {
        Ok(found) => panic!("no error but {found:?}"),
        Err(error) => error,
    }
}

#[test]
fn a_group_window_becomes_a_window_aggregate() {
    insta::assert_snapshot!(plan(
        "SELECT page, COUNT(*) AS n, TUMBLE_END(timestamp, INTERVAL '10' SECOND) AS till FROM clicks \
         WHERE user_id > 7 GROUP BY TUMBLE(timestamp, INTERVAL '10' SECOND), page"
    ));
}

#[test]
fn a_window_table_function_becomes_the_same_node() {
    insta::assert_snapshot!(plan(
        "SELECT window_start, window_end, page, COUNT(DISTINCT user_id) AS n \
         FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(timestamp), INTERVAL '1' MINUTE)) \
         GROUP BY window_start, window_end, page"
    ));
}

#[test]
fn an_updating_source_is_aggregated_with_retraction() {
    insta::assert_snapshot!(plan(
        "SELECT currency, SUM(amount) AS total, AVG(qty) AS mean, MAX(amount) FILTER (WHERE qty > 1) AS most \
         FROM orders GROUP BY currency HAVING COUNT(*) > 1"
    ));
}

#[test]
fn only_used_columns_are_scanned_and_computed_ones_follow() {
    insta::assert_snapshot!(plan("SELECT seen FROM clicks"));
}

#[test]
fn decimals_follow_flinks_types() {
    insta::assert_snapshot!(plan(
        "SELECT qty * 1.0 / 50000 AS share, amount + 1 AS more, -qty / 2 AS half FROM orders"
    ));
}

#[test]
fn inserts_cast_and_name_their_sink() {
    insta::assert_snapshot!(plan("INSERT INTO print SELECT currency, SUM(amount) FROM orders GROUP BY currency"));
}

#[test]
fn unions_and_distinct_are_planned() {
    insta::assert_snapshot!(plan("SELECT page FROM clicks UNION SELECT currency FROM orders"));
}

#[test]
fn window_end_comes_first_only_where_no_bound_is_shown() {
    let columns = |sql: &str| match outcome(sql, true) {
        Ok(Outcome::Pipeline(pipeline)) => {
            let node = pipeline.plan.nodes.last().expect("a node").clone();
            node.schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let grouped = "FROM clicks GROUP BY TUMBLE(timestamp, INTERVAL '10' SECOND), page";
    assert_eq!(columns(&format!("SELECT page, COUNT(*) AS n {grouped}")), ["window_end", "page", "n"]);
    let shown = format!("SELECT page, TUMBLE_START(timestamp, INTERVAL '10' SECOND) AS ws {grouped}");
    assert_eq!(columns(&shown), ["page", "ws"]);
    assert_eq!(columns("SELECT page FROM clicks"), ["page"]);
}

#[test]
fn errors_name_the_place_and_what_to_do() {
    let cases = [
        "SELECT pag FROM clicks",
        "SELECT page FROM click",
        "SELECT FROM clicks WHERE",
        "SELECT NOSUCH(page) FROM clicks",
        "INSERT INTO files SELECT currency, SUM(amount) FROM orders GROUP BY currency",
        "INSERT INTO print SELECT currency FROM orders",
        "INSERT INTO print SELECT qty, amount FROM orders",
        "SELECT * FROM print",
        "SELECT COUNT(*) FROM orders GROUP BY TUMBLE(order_id, INTERVAL '1' SECOND)",
        "SELECT page FROM clicks ORDER BY page",
        "SELECT c.page FROM clicks c JOIN orders o ON c.user_id = o.order_id",
        "CREATE TABLE t (a INT, a INT) WITH ('connector' = 'files')",
        "CREATE TABLE t (a INT, WATERMARK FOR b AS b) WITH ('connector' = 'files')",
        "CREATE TABLE t (a INT, WATERMARK FOR a AS a) WITH ('connector' = 'files')",
        "CREATE TABLE t (a NOTATYPE) WITH ('connector' = 'files')",
        "CREATE TABLE t (a INT)",
        "SET 'table.exec.source.idle-timeot' = '1 s'",
        "SELECT HOP_START(timestamp, INTERVAL '1' SECOND, INTERVAL '2' SECOND) FROM clicks",
        "DELETE FROM clicks",
    ];
    let told: Vec<String> = cases.iter().map(|sql| format!("{sql}\n  {}", error(sql))).collect();
    insta::assert_snapshot!(told.join("\n"));
}
