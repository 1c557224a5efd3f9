//! Scripts in, plans and errors out: golden texts, so that a changed plan is seen as a diff.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use headwater_change::{ChangelogMode, Place, Result};
use headwater_sql::{Capabilities, Connectors, Dialects, Outcome, Script, Session, TableSpec};

/// Sources that append, sources that change, sinks that take all or only new rows, told apart by name.
struct Named;

impl Connectors for Named {
    fn describe(
        &self,
        _connector: &str,
        _options: &[(String, String)],
    ) -> headwater_change::Result<Vec<arrow::datatypes::Field>> {
        Ok(vec![arrow::datatypes::Field::new("id", arrow::datatypes::DataType::Int64, false)])
    }

    fn capabilities(&self, table: &TableSpec) -> Result<Capabilities> {
        Ok(match table.connector.as_str() {
            "files" => Capabilities {
                source: Some((ChangelogMode::Append, true)),
                sink: Some(ChangelogMode::Append),
                only_batch: false,
            },
            "cdc" => Capabilities { source: Some((ChangelogMode::Retract, false)), sink: None, only_batch: false },
            _ => Capabilities { source: None, sink: Some(ChangelogMode::Retract), only_batch: false },
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
    let script = Script::read(&text, &BTreeMap::new(), Dialects::default()).map_err(|error| format!("{error:?}"))?;
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
        Ok(Outcome::Stream(pipeline)) => format!("{sql}\nbounded: {}\n{}", pipeline.bounded, pipeline.plan),
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
        Ok(Outcome::Stream(pipeline)) => {
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

/// Long and deep expressions neither overflow the stack nor take longer than their length asks for.
#[test]
fn thousands_of_terms_and_deep_parentheses_are_planned() {
    let terms = |operator: &str, term: &dyn Fn(usize) -> String| {
        (0..4_000).map(term).collect::<Vec<_>>().join(&format!(" {operator} "))
    };
    let or = terms("OR", &|n| format!("order_id = {n}"));
    let and = terms("AND", &|n| format!("currency <> 'c{n}'"));
    let mixed = terms("OR", &|n| format!("(order_id = {n} AND currency <> 'c{n}')"));
    let plus = terms("+", &|n| format!("(qty - {n})"));
    let minus = terms("-", &|_| "qty".to_owned());
    let text = terms("||", &|_| "currency".to_owned());
    let list = terms(",", &|n| n.to_string());
    for predicate in [or, and, mixed, format!("{plus} > 0"), format!("{minus} < 0"), format!("order_id IN ({list})")] {
        plan(&format!("SELECT order_id FROM orders WHERE {predicate}"));
        plan(&format!("SELECT {predicate} AS x FROM orders"));
    }
    plan(&format!("SELECT {text} AS x FROM orders"));
    for depth in [60, 400] {
        let nested = |open: &str, close: &str| format!("{}qty{}", open.repeat(depth), close.repeat(depth));
        for expr in [
            nested("(", ")"),
            nested("(1 + ", ")"),
            nested("ABS(", ")"),
            nested("CASE WHEN qty = 1 THEN 1 ELSE ", " END"),
        ] {
            plan(&format!("SELECT {expr} AS x FROM orders"));
        }
    }
    let error =
        outcome(&format!("SELECT {}1{} AS x", "(".repeat(100_000), ")".repeat(100_000)), false).expect_err("deep");
    assert!(error.contains("the statement is nested too deeply"), "{error}");
}

#[test]
fn a_table_like_another_takes_what_it_is_told_to() {
    const MORE: &str =
        "CREATE TABLE kept (k INT, day STRING, v INT, half AS v / 2, at TIMESTAMP(3) METADATA FROM 'op_ts' VIRTUAL,
        WATERMARK FOR at AS at - INTERVAL '1' SECOND, PRIMARY KEY (k) NOT ENFORCED) PARTITIONED BY (day)
        WITH ('connector' = 'files', 'path' = '/a', 'password' = 'hush!');";
    let shown = |sql: &str| match outcome(&format!("{MORE} CREATE TABLE new {sql}; SHOW CREATE TABLE new"), false) {
        Ok(Outcome::Text(text)) => text,
        Ok(other) => format!("{other:?}"),
        Err(error) => error,
    };
    let texts = [
        "LIKE kept",
        "(w STRING NOT NULL) WITH ('path' = '/b', 'format' = 'json') LIKE default_database.kept",
        "(w STRING, at TIMESTAMP(3), WATERMARK FOR at AS at) WITH ('connector' = 'any') LIKE kept (EXCLUDING ALL)",
        "(half AS v / 3, WATERMARK FOR at AS at) LIKE kept (OVERWRITING GENERATED OVERWRITING WATERMARKS EXCLUDING CONSTRAINTS EXCLUDING PARTITIONS)",
        "(half AS v / 3) LIKE kept",
        "(v BIGINT) LIKE kept",
        "(WATERMARK FOR at AS at) LIKE kept",
        "(PRIMARY KEY (v) NOT ENFORCED) LIKE kept",
        "WITH ('path' = '/b') LIKE kept (INCLUDING OPTIONS)",
        "LIKE kept (OVERWRITING PARTITIONS)",
        "LIKE kept (INCLUDING ALL INCLUDING ALL)",
        "LIKE missing",
        "WITH ('connector' = 'any')",
    ]
    .map(|sql| format!("{sql}\n{}", shown(sql)));
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn statements_are_shown_as_they_were_written() {
    let shown = |sql: &str| match outcome(sql, false) {
        Ok(Outcome::Text(text)) => text,
        Ok(Outcome::Listing { rows, .. }) => rows.iter().map(|row| row.join(" | ") + "\n").collect(),
        Ok(other) => format!("{other:?}"),
        Err(error) => error,
    };
    let texts = [
        "SHOW CREATE TABLE clicks",
        "DESCRIBE clicks",
        "CREATE VIEW `v``1` (c) AS SELECT /* all */ page FROM clicks; SHOW CREATE VIEW `v``1`",
        "CREATE VIEW v AS SELECT page FROM clicks; SHOW CREATE TABLE v",
        "SHOW CREATE VIEW clicks",
        "SHOW CREATE TABLE click",
    ]
    .map(|sql| format!("{sql}\n{}", shown(sql)));
    insta::assert_snapshot!(texts.join("\n"));
}
