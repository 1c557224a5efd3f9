//! The nightly job on the real thing: a table of a server read by key ranges, joined, counted and written back, as
//! MySQL's own SELECT says it, and killed at random instants without a trace of half a result.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use headwater_testkit::servers::{Flavor, Server};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Runs that are killed; `KILLS=200` makes it as many.
fn kills() -> u32 {
    std::env::var("KILLS").map_or(20, |number| number.parse().expect("a number"))
}

const TABLES: &str = "
CREATE TABLE orders (order_id BIGINT, product_id INT, sale_price DECIMAL(10,2), quantity INT, created_at TIMESTAMP(0))
WITH ('connector' = 'jdbc', 'url' = 'jdbc:mysql://127.0.0.1:${PORT}/service_db', 'table-name' = 'orders',
  'username' = 'root', 'password' = '', 'scan.partition.column' = 'order_id', 'scan.partition.num' = '9',
  'scan.partition.lower-bound' = '1', 'scan.partition.upper-bound' = '30000');
CREATE TABLE products (product_id INT, name STRING)
WITH ('connector' = 'jdbc', 'url' = 'jdbc:mysql://127.0.0.1:${PORT}/service_db', 'table-name' = 'products',
  'username' = 'root', 'password' = '');
CREATE TABLE sales (name STRING, total_amount DECIMAL(38,2), total_count BIGINT, run INT, PRIMARY KEY (name) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = 'jdbc:mysql://127.0.0.1:${PORT}/analytics_db', 'table-name' = 'sales',
  'username' = 'root', 'password' = '');";

const JOB: &str = "
INSERT INTO sales
SELECT p.name, SUM(o.sale_price * o.quantity), COUNT(*), ${RUN} FROM orders o JOIN products p ON o.product_id = p.product_id
WHERE o.created_at >= TIMESTAMP '2024-05-20 00:00:00' AND o.created_at < TIMESTAMP '2024-05-21 00:00:00' GROUP BY p.name;";

const TRUTH: &str = "SELECT CONCAT_WS(',', p.name, SUM(o.sale_price * o.quantity), COUNT(*)) FROM service_db.orders o \
                     JOIN service_db.products p USING (product_id) \
                     WHERE o.created_at >= '2024-05-20' AND o.created_at < '2024-05-21' GROUP BY p.name ORDER BY p.name;";

fn query(port: u16, sql: &str) -> Vec<String> {
    let mut command = Command::new("mariadb");
    command.args(["--host=127.0.0.1", "--user=root", "--batch", "--skip-column-names", &format!("--port={port}")]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the mariadb client");
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{sql} failed");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn start(port: u16, mode: &str, sql: &str, run: u32) -> Child {
    let script = format!("SET 'execution.runtime-mode' = '{mode}';{TABLES}{sql}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(["sql", "-e", &script, "-D", &format!("PORT={port}"), "-D", &format!("RUN={run}")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("headwater")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn fill(port: u16) {
    let digits = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 \
                  UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let number = "a.n * 10000 + b.n * 1000 + c.n * 100 + d.n * 10 + e.n";
    query(
        port,
        &format!(
            "CREATE DATABASE service_db; CREATE DATABASE analytics_db;
             CREATE TABLE service_db.orders (order_id BIGINT PRIMARY KEY, product_id INT NOT NULL, sale_price DECIMAL(10,2) NOT NULL,
               quantity INT NOT NULL, created_at DATETIME NOT NULL);
             CREATE TABLE service_db.products (product_id INT PRIMARY KEY, name VARCHAR(20) NOT NULL);
             CREATE TABLE analytics_db.sales (name VARCHAR(20) PRIMARY KEY, total_amount DECIMAL(38,2), total_count BIGINT, run INT);
             INSERT INTO service_db.orders SELECT i + 1, i * 7919 % 500, (i % 9973) / 100, i % 5 + 1,
               '2024-05-19 12:00:00' + INTERVAL i * 3 SECOND FROM (SELECT {number} AS i FROM {digits} a, {digits} b, {digits} c,
               {digits} d, {digits} e) n;
             INSERT INTO service_db.products SELECT b.n * 100 + d.n * 10 + e.n, CONCAT('p', d.n, e.n) FROM {digits} b,
               {digits} d, {digits} e WHERE b.n < 4;"
        ),
    );
}

/// What the target shows: each line without its run, and the runs there are.
fn target(port: u16) -> (Vec<String>, Vec<String>) {
    let rows = "SELECT CONCAT_WS(',', name, total_amount, total_count) FROM analytics_db.sales ORDER BY name;";
    (query(port, rows), query(port, "SELECT DISTINCT run FROM analytics_db.sales;"))
}

fn nightly(flavor: Flavor) {
    let test = format!("the_nightly_job ({flavor:?})");
    let Some(server) = Server::for_test(&test, flavor).expect("a server, or a reason why not") else { return };
    let port = server.port();
    fill(port);
    let refused = start(port, "streaming", JOB, 0).wait_with_output().unwrap();
    assert!(
        told(&refused).contains("sql.unsupported") || told(&refused).contains("sql.sink_batch"),
        "{}",
        told(&refused)
    );
    let output = start(port, "batch", JOB, 1).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let truth = query(port, TRUTH);
    assert_eq!(truth.len(), 100);
    assert_eq!(target(port), (truth.clone(), vec!["1".to_owned()]));

    let mut dice = SmallRng::seed_from_u64(11);
    let mut runs = vec!["1".to_owned()];
    for run in 2..2 + kills() {
        let mut child = start(port, "batch", JOB, run);
        std::thread::sleep(Duration::from_millis(dice.random_range(0..900)));
        child.kill().unwrap();
        child.wait().unwrap();
        // The server may still be at the COMMIT of the killed one, whose locks it holds till then.
        query(port, "BEGIN; SELECT COUNT(*) FROM analytics_db.sales FOR UPDATE; COMMIT;");
        let (rows, found) = target(port);
        assert_eq!(rows, truth, "{flavor:?}, run {run}");
        assert!(found == runs || found == [run.to_string()], "{flavor:?}: rows of two runs: {found:?}");
        runs = found;
    }
    let output = start(port, "batch", JOB, 99).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(target(port), (truth, vec!["99".to_owned()]));
}

/// The script as it is written for Spark, host and account its own.
const SPARK: &str = r#"
CREATE OR REPLACE TEMPORARY VIEW orders_view
USING "jdbc"
OPTIONS (
  url              "jdbc:mysql://127.0.0.1:${PORT}/service_db",
  dbtable          "orders",
  user             "root",
  password         "env:PASSWORD",
  partitionColumn  "order_id",
  lowerBound       "1",
  upperBound       "30000",
  numPartitions    "9"
);
CREATE OR REPLACE TEMPORARY VIEW daily_summary AS
SELECT product_id, SUM(sale_price * quantity) AS total_amount, COUNT(*) AS total_count
FROM orders_view
WHERE created_at >= '2024-05-20 00:00:00' AND created_at < '2024-05-21 00:00:00'
GROUP BY product_id;
"#;

fn of_spark(port: u16, statement: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(["sql", "-e", &format!("{SPARK}{statement}"), "-D", &format!("PORT={port}")]);
    command.args(["--mysql", &format!("mysql://root:env:PASSWORD@127.0.0.1:{port}/")]).env("PASSWORD", "");
    command.output().expect("headwater")
}

const BY_NAME: &str = "INSERT INTO analytics_db.history SELECT * FROM daily_summary; \
                      INSERT INTO analytics_db.days SELECT COUNT(*), SUM(total_count) FROM daily_summary;";

fn start_by_name(port: u16, run: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(["sql", "-e", &format!("{SPARK}{BY_NAME}"), "-D", &format!("PORT={port}"), "--run", run]);
    command.args(["--mysql", &format!("mysql://root:env:PASSWORD@127.0.0.1:{port}/")]).env("PASSWORD", "");
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("headwater")
}

fn run_by_name(port: u16, truth: &[String]) {
    query(
        port,
        "CREATE TABLE analytics_db.history (product_id INT, total_amount DECIMAL(38,2), total_count BIGINT);
         CREATE TABLE analytics_db.days (products BIGINT, orders BIGINT);",
    );
    let history = || query(port, "SELECT * FROM analytics_db.history ORDER BY product_id;");
    let days = || query(port, "SELECT * FROM analytics_db.days;").len();
    let mut dice = SmallRng::seed_from_u64(7);
    for run in 1..=kills() {
        query(port, "DELETE FROM analytics_db.history; DELETE FROM analytics_db.days;");
        let name = format!("nightly-{run}");
        for _ in 0..2 {
            let mut child = start_by_name(port, &name);
            std::thread::sleep(Duration::from_millis(dice.random_range(0..900)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // The first may still be at its COMMIT: the others wait for it.
        for child in [start_by_name(port, &name), start_by_name(port, &name)] {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", told(&output));
        }
        assert_eq!((history(), days()), (truth.to_vec(), 1), "run {run}");
    }
    let marks = query(port, "SELECT COUNT(*), SUM(written_rows) FROM analytics_db.headwater_runs;");
    assert_eq!(marks, [format!("{}\t{}", kills() * 2, kills() as usize * (truth.len() + 1))]);
}

fn spark_script(flavor: Flavor) {
    let test = format!("spark_script ({flavor:?})");
    let Some(server) = Server::for_test(&test, flavor).expect("a server, or a reason why not") else { return };
    let port = server.port();
    fill(port);
    query(
        port,
        "CREATE TABLE analytics_db.daily_product_sales (product_id INT PRIMARY KEY, total_amount DECIMAL(38,2) NOT NULL,
           total_count BIGINT NOT NULL, KEY (total_count));",
    );
    let truth = query(
        port,
        "SELECT product_id, SUM(sale_price * quantity), COUNT(*) FROM service_db.orders WHERE created_at >= '2024-05-20' \
         AND created_at < '2024-05-21' GROUP BY product_id ORDER BY product_id;",
    );
    assert_eq!(truth.len(), 500);
    let found = || query(port, "SELECT * FROM analytics_db.daily_product_sales ORDER BY product_id;");
    let run = |statement: &str| {
        let output = of_spark(port, statement);
        assert!(output.status.success(), "{statement}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    run("INSERT INTO analytics_db.daily_product_sales SELECT * FROM daily_summary;");
    assert_eq!(found(), truth);
    // A run with a name is written once, whatever became of it: killed anywhere, started again, twice at the same time.
    run_by_name(port, &truth);
    // A second time the keys are there: nothing is doubled and nothing lost.
    let again = of_spark(port, "INSERT INTO analytics_db.daily_product_sales SELECT * FROM daily_summary;");
    assert!(!again.status.success() && told(&again).contains("Duplicate entry"), "{}", told(&again));
    assert_eq!(found(), truth);
    query(port, "INSERT INTO analytics_db.daily_product_sales VALUES (-1, 1, 1);");
    run("INSERT OVERWRITE TABLE analytics_db.daily_product_sales SELECT * FROM daily_summary;");
    assert_eq!(found(), truth);
    // A function in FROM is no table of the server.
    let counted =
        run("SELECT COUNT(*) FROM RANGE(7), (SELECT EXPLODE(ARRAY(1, 2)) AS e) LATERAL VIEW EXPLODE(ARRAY(3)) x AS y;");
    assert!(counted.contains("14"), "{counted}");
    // The same by the names of a catalog, both tables found on the server.
    let catalog = format!(
        "SET spark.sql.catalog.shop = org.apache.spark.sql.execution.datasources.v2.jdbc.JDBCTableCatalog;
         SET spark.sql.catalog.shop.url = jdbc:mysql://127.0.0.1:{port}/; SET spark.sql.catalog.shop.user = root;"
    );
    run(&format!(
        "{catalog} INSERT OVERWRITE shop.analytics_db.daily_product_sales (total_count, product_id, total_amount)
         SELECT COUNT(*), product_id, SUM(sale_price * quantity) FROM shop.service_db.orders
         WHERE created_at >= '2024-05-20' AND created_at < '2024-05-21' GROUP BY product_id;"
    ));
    assert_eq!(found(), truth);
    created(port);
    replaced_parts(port);
    first_rows(port);
    pauses(port);
    let shown = run(
        "EXPLAIN ANALYZE INSERT OVERWRITE TABLE analytics_db.daily_product_sales SELECT * FROM daily_summary WHERE product_id < 3;",
    );
    assert!(shown.contains("output_rows=3"), "{shown}");
    let ranges: Vec<&str> = shown.lines().filter(|line| line.contains(" ms: SELECT `product_id`")).collect();
    let rows = |line: &&str| line.split([':', ' ']).nth(2).unwrap().parse::<usize>().unwrap();
    let counted = query(
        port,
        "SELECT COUNT(*) FROM service_db.orders WHERE created_at >= '2024-05-20' AND created_at < '2024-05-21' AND product_id < 3;",
    );
    assert_eq!(ranges.iter().map(rows).sum::<usize>().to_string(), counted[0], "{shown}");
    assert_eq!((ranges.len(), found()), (9, truth), "{shown}");
    let shown = run("EXPLAIN SELECT * FROM daily_summary;");
    let asked = "SELECT `product_id`, `sale_price`, `quantity`, `created_at` FROM `service_db`.`orders` \
                 WHERE (`created_at` >= '2024-05-20 00:00:00.000000') AND (`created_at` < '2024-05-21 00:00:00.000000') \
                 AND (`order_id` < 3335 OR `order_id` IS NULL)";
    assert!(shown.contains("ranges=9") && shown.contains(asked), "{shown}");
}

/// A table of a query's rows shows itself with all of them, and not at all where one does not fit.
fn created(port: u16) {
    let run = |statement: &str| {
        let output = of_spark(port, statement);
        (output.status.success(), told(&output))
    };
    let create = "CREATE TABLE analytics_db.Made USING jdbc AS SELECT product_id, total_amount, CAST('ü' AS VARCHAR(5)) AS v, 'long' AS s,
        DATE '2024-05-20' AS d, TIMESTAMP '2024-05-20 10:00:00.5' AS t, TRUE AS b, 1.5D AS f, X'00ff' AS bin FROM daily_summary;";
    assert_eq!(run(create), (true, String::new()));
    let columns = query(
        port,
        "SELECT GROUP_CONCAT(COLUMN_NAME, ' ', COLUMN_TYPE ORDER BY ORDINAL_POSITION SEPARATOR ', ') FROM
        information_schema.COLUMNS WHERE TABLE_SCHEMA = 'analytics_db' AND TABLE_NAME = 'Made';",
    );
    let types = columns[0].replace("int(11)", "int");
    assert_eq!(
        types,
        "product_id int, total_amount decimal(31,2), v longtext, s longtext, d date, t datetime(6), b bit(1), f double, bin longblob"
    );
    let sum = |table: &str| query(port, &format!("SELECT COUNT(*), SUM(total_amount) FROM analytics_db.{table};"));
    assert_eq!(sum("Made"), sum("daily_product_sales"));
    let first = query(port, "SELECT v, s, d, t, b + 0, f, HEX(bin) FROM analytics_db.Made LIMIT 1;");
    assert_eq!(first, ["ü\tlong\t2024-05-20\t2024-05-20 10:00:00.500000\t1\t1.5\t00FF"]);
    let (again, why) = run(create);
    assert!(!again && why.contains("sql.exists"), "{why}");
    assert!(run(&create.replace("TABLE analytics_db", "TABLE IF NOT EXISTS analytics_db")).0);
    for (statement, code) in [
        ("CREATE TABLE analytics_db.fails AS SELECT 1 / (product_id - 400) AS q FROM daily_summary;", "sql.division"),
        ("CREATE TABLE analytics_db.fails AS SELECT 1 AS a, 2 AS a;", "sql.duplicate_column"),
        ("CREATE TABLE analytics_db.fails AS SELECT NULL AS a;", "sql.null"),
        ("CREATE TABLE analytics_db.fails AS SELECT ARRAY(1) AS a;", "mysql.type"),
        ("CREATE TABLE analytics_db.fails (a INT);", "sql.syntax"),
        ("CREATE OR REPLACE TABLE analytics_db.fails AS SELECT 1 AS a;", "sql.syntax"),
    ] {
        let (done, why) = run(statement);
        assert!(!done && why.contains(code), "{statement}: {why}");
    }
    let tables = query(
        port,
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'analytics_db' AND (TABLE_NAME LIKE '%new%' OR TABLE_NAME LIKE 'fails%');",
    );
    assert_eq!(tables, Vec::<String>::new());
    query(port, "DROP TABLE analytics_db.Made;");
}

/// What is asked for the first rows is no more than those of each range, and the answer is the server's own.
fn first_rows(port: u16) {
    query(
        port,
        "CREATE TABLE service_db.few (id INT PRIMARY KEY, n INT, d DECIMAL(6,2), day DATE, s VARCHAR(5));
         INSERT INTO service_db.few SELECT order_id, NULLIF(order_id * 7919 % 1000, 3), (order_id % 37) / 4,
           IF(order_id % 11 = 0, NULL, '2024-01-01' + INTERVAL order_id % 100 DAY), CHAR(65 + order_id % 26) FROM service_db.orders
           WHERE order_id <= 20000;",
    );
    let view = "CREATE TEMPORARY VIEW few USING jdbc OPTIONS (url 'jdbc:mysql://127.0.0.1:${PORT}/service_db', dbtable 'few', user 'root', \
                password '', partitionColumn 'id', lowerBound '1', upperBound '20000', numPartitions '5');";
    let run = |statement: &str| {
        let output = of_spark(port, &format!("{view}{statement};"));
        assert!(output.status.success(), "{statement}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for (select, pushed) in [
        ("SELECT id, n FROM few ORDER BY n, id LIMIT 12", "ORDER BY `n`, `id` LIMIT 12"),
        ("SELECT id, d FROM few ORDER BY d DESC, id DESC LIMIT 7", "ORDER BY `d` DESC, `id` DESC LIMIT 7"),
        (
            "SELECT day, id FROM (SELECT id, day AS day FROM few) x ORDER BY day DESC, id LIMIT 5 OFFSET 3",
            "ORDER BY `day` DESC, `id` LIMIT 8",
        ),
        ("SELECT id FROM few ORDER BY s, id LIMIT 9", ""),
        ("SELECT id FROM few ORDER BY n + 1, id LIMIT 9", ""),
        ("SELECT id FROM few WHERE s > 'C' ORDER BY id LIMIT 9", ""),
        ("SELECT id FROM few WHERE n > 500 ORDER BY id LIMIT 9", ""),
        ("SELECT n, COUNT(*) FROM few GROUP BY n ORDER BY n LIMIT 9", ""),
    ] {
        let found = run(&format!("SET spark.sql.ansi.enabled = true; {select}"));
        let truth = query(
            port,
            &select.replace("FROM few", "FROM service_db.few").replace("SELECT", "SELECT /* own */").replace(';', ""),
        );
        let truth: Vec<String> = truth.iter().map(|row| row.replace('\t', ",").replace("NULL", "")).collect();
        let cells =
            |line: &str| line.split('|').map(|cell| cell.trim().replace("<NULL>", "")).collect::<Vec<_>>().join(",");
        let rows: Vec<String> = found.lines().skip(2).map(cells).filter(|row| !row.ends_with(" rows")).collect();
        assert_eq!(rows, truth, "{select}");
        let shown = run(&format!("EXPLAIN {select}"));
        assert_eq!(shown.contains(pushed) && shown.contains(" LIMIT "), !pushed.is_empty(), "{select}: {shown}");
    }
    let shown = run("EXPLAIN ANALYZE SELECT id FROM few LIMIT 3");
    let read =
        |line: &str| line.strip_prefix("few: ").map(|rest| rest.split(' ').next().unwrap().parse::<u32>().unwrap());
    assert!(shown.contains(" LIMIT 3") && shown.lines().filter_map(read).all(|rows| rows == 3), "{shown}");
}

/// SIGUSR1 pauses a job between two ranges, and lets it go on.
fn pauses(port: u16) {
    let script = SPARK.replace("numPartitions", "brakeShare \"2\", connections \"2\", numPartitions");
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(["sql", "-e", &format!("{script} SELECT COUNT(*) FROM orders_view;"), "-D", &format!("PORT={port}")]);
    let command = command.args(["--output", "csv"]).env("PASSWORD", "");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("headwater");
    let signal = |child: &Child| {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1).unwrap();
    };
    std::thread::sleep(Duration::from_millis(600));
    signal(&child);
    std::thread::sleep(Duration::from_secs(6));
    assert!(child.try_wait().unwrap().is_none(), "it is paused");
    signal(&child);
    let output = child.wait_with_output().unwrap();
    let told = told(&output);
    assert!(told.contains("paused") && told.contains("going on") && told.contains("orders_view"), "{told}");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().last(), Some("100000"));
}

/// Rows of one day, of one key, of a condition: those are replaced, and no other.
fn replaced_parts(port: u16) {
    query(
        port,
        "CREATE TABLE analytics_db.daily (Day DATE, region VARCHAR(10), product_id INT, orders BIGINT);
         INSERT INTO analytics_db.daily VALUES ('2024-05-19', 'kr', 1, 1), ('2024-05-20', 'kr', 1, 1), ('2024-05-20', 'KR', 1, 2),
           ('2024-05-20', 'jp', 1, 3), ('2024-05-21', 'kr', 1, 4), (NULL, 'kr', 1, 5);",
    );
    let run = |statement: &str| {
        let output = of_spark(port, statement);
        assert!(output.status.success(), "{statement}: {}", told(&output));
    };
    let found =
        || query(port, "SELECT CONCAT_WS(',', day, region, product_id, orders) FROM analytics_db.daily ORDER BY 1;");
    let part = "SELECT product_id, total_count FROM daily_summary WHERE product_id = 7;";
    let others = ["2024-05-19,kr,1,1", "2024-05-20,jp,1,3"];
    let last = ["2024-05-21,kr,1,4", "kr,1,5"];
    let count = query(
        port,
        "SELECT COUNT(*) FROM service_db.orders WHERE created_at >= '2024-05-20' AND created_at < '2024-05-21' AND product_id = 7;",
    );
    let new = format!("2024-05-20,kr,7,{}", count[0]);
    // What a collation takes for the same is another value.
    for _ in 0..2 {
        run(&format!("INSERT OVERWRITE analytics_db.daily PARTITION (day = '2024-05-20', region = 'kr') {part}"));
        let kept = "2024-05-20,KR,1,2".to_owned();
        let mut wanted: Vec<String> =
            others.iter().chain(&last).map(ToString::to_string).chain([kept, new.clone()]).collect();
        let mut rows = found();
        wanted.sort();
        rows.sort();
        assert_eq!(rows, wanted);
    }
    run(&format!(
        "INSERT INTO analytics_db.daily PARTITION (region = 'us') (day, product_id, orders) SELECT DATE '2024-05-20', {}",
        &part[7..]
    ));
    assert_eq!(found().iter().filter(|row| row.contains("us,7")).count(), 1);
    run(
        "INSERT INTO analytics_db.daily REPLACE WHERE day >= '2024-05-20' AND day < '2024-05-21' SELECT DATE '2024-05-20', 'all', 0, COUNT(*) FROM daily_summary;",
    );
    assert_eq!(found(), ["2024-05-19,kr,1,1", "2024-05-20,all,0,500", "2024-05-21,kr,1,4", "kr,1,5"]);
    let before = found();
    let wrong = of_spark(port, "INSERT INTO analytics_db.daily_product_sales VALUES (-5, NULL, 1);");
    assert!(told(&wrong).contains("batch.not_null"), "{}", told(&wrong));
    for (statement, code) in [
        ("INSERT INTO analytics_db.daily REPLACE WHERE region >= 'a' SELECT NULL, 'a', 1, 1;", "sql.replace_where"),
        (
            "INSERT INTO analytics_db.daily REPLACE WHERE day = '2024-05-20' OR orders = 1 SELECT NULL, 'a', 1, 1;",
            "sql.replace_where",
        ),
        ("INSERT INTO analytics_db.daily REPLACE WHERE orders + 1 = 2 SELECT NULL, 'a', 1, 1;", "sql.replace_where"),
        ("INSERT OVERWRITE analytics_db.daily PARTITION (day) SELECT 'a', 1, 1, NULL;", "sql.syntax"),
        ("INSERT OVERWRITE analytics_db.daily PARTITION (dya = '2024-05-20') SELECT 'a', 1, 1;", "sql.unknown_column"),
        ("INSERT OVERWRITE analytics_db.daily PARTITION (day = NULL) SELECT 'a', 1, 1;", "sql.partition"),
        ("INSERT OVERWRITE analytics_db.daily PARTITION (day = 'today') SELECT 'a', 1, 1;", "sql.partition"),
        ("INSERT OVERWRITE analytics_db.daily PARTITION (day = '2024-05-20') SELECT 'a', 1;", "sql.insert_columns"),
    ] {
        let output = of_spark(port, statement);
        assert!(!output.status.success() && told(&output).contains(code), "{statement}: {}", told(&output));
        assert_eq!(found(), before, "{statement}");
    }
}

#[test]
fn the_script_of_spark_on_mysql() {
    spark_script(Flavor::MySql);
}

#[test]
fn the_script_of_spark_on_mariadb() {
    spark_script(Flavor::MariaDb);
}

#[test]
fn the_nightly_job_on_mysql() {
    nightly(Flavor::MySql);
}

#[test]
fn the_nightly_job_on_mariadb() {
    nightly(Flavor::MariaDb);
}
