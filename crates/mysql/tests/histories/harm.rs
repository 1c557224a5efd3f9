//! What the log does not tell in rows: the reader has to stop, or must not care.

use rand::Rng;

use super::dml;
use super::history::History;

/// A statement that rewrites, empties, renames or hides rows of a wanted table.
pub(crate) fn statement(history: &mut History<'_>) {
    let (table, fresh, name) = (history.table(), history.fresh(), history.name.clone());
    let bare = table.trim_matches('`').to_owned();
    let session = history.dice.random_range(0..2);
    let statements = match history.dice.random_range(0..38) {
        0 => vec![format!("TRUNCATE {table}")],
        1 => vec!["TRUNCATE TABLE data".to_owned()],
        2 => vec![format!("/*!50000 TRUNCATE */ {table}")],
        3 => vec![
            "SET sql_mode = 'ANSI_QUOTES'".to_owned(),
            format!("TRUNCATE \"{bare}\""),
            "SET sql_mode = ''".to_owned(),
        ],
        4 => vec![format!("DROP TABLE {table}")],
        5 => vec![format!("DROP TABLE IF EXISTS u, {table}"), format!("CREATE TABLE {table} LIKE t_9")],
        6 => vec![format!("DROP TABLE {table}"), format!("CREATE TABLE {table} LIKE t_9")],
        7 => vec![format!("RENAME TABLE {table} TO x{fresh}, u TO {table}, x{fresh} TO u")],
        8 => vec![format!("RENAME TABLE {table} TO x{fresh}"), format!("RENAME TABLE x{fresh} TO {table}")],
        9 => vec![format!("ALTER TABLE u RENAME TO t_{}", history.dice.random_range(1..4))],
        10 => vec![format!("ALTER TABLE {table} RENAME x{fresh}")],
        11 => vec![format!("CREATE OR REPLACE TABLE {table} LIKE t_9")],
        12 => vec![format!("CREATE OR REPLACE TABLE {table} AS SELECT * FROM u")],
        13 => vec![
            format!("ALTER TABLE {table} PARTITION BY HASH (id) PARTITIONS 3"),
            format!("ALTER TABLE {table} TRUNCATE PARTITION p1"),
        ],
        14 => vec![
            format!(
                "ALTER TABLE {table} PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (30), PARTITION p1 VALUES LESS THAN MAXVALUE)"
            ),
            format!("ALTER TABLE {table} DROP PARTITION p0"),
        ],
        15 => vec![
            format!("CREATE TABLE e{fresh} LIKE {table}"),
            format!("ALTER TABLE {table} PARTITION BY HASH (id) PARTITIONS 2"),
            format!("ALTER TABLE {table} EXCHANGE PARTITION p0 WITH TABLE e{fresh}"),
        ],
        16 => vec![format!("ALTER TABLE {table} MODIFY d DECIMAL(10,1)")],
        17 => vec![format!("ALTER TABLE {table} MODIFY s VARCHAR(3)")],
        18 => vec![format!("ALTER TABLE {table} MODIFY n INT NOT NULL")],
        19 => vec![format!("ALTER TABLE {table} MODIFY e ENUM('c','b','a')")],
        20 => vec![format!("ALTER TABLE {table} MODIFY e ENUM('a','c')")],
        21 => vec![format!("ALTER TABLE {table} MODIFY m TIMESTAMP(3) NULL")],
        22 => vec![format!("ALTER TABLE {table} DROP d, ADD d DECIMAL(10,2) DEFAULT 7")],
        23 => {
            vec![format!("ALTER TABLE {table} DROP COLUMN n"), format!("ALTER TABLE {table} ADD n INT DEFAULT 3 FIRST")]
        }
        24 => vec![
            format!("ALTER TABLE {table} CHANGE s s2 VARCHAR(20)"),
            format!("ALTER TABLE {table} CHANGE s2 s VARCHAR(20)"),
        ],
        25 => vec![format!("ALTER TABLE {table} CHANGE n d2 INT, CHANGE d n INT, CHANGE d2 d DECIMAL(10,2)")],
        26 => vec![format!("ALTER TABLE {table} CONVERT TO CHARACTER SET latin1")],
        27 => vec![
            format!("ALTER TABLE {table} MODIFY s VARBINARY(20)"),
            format!("ALTER TABLE {table} MODIFY s VARCHAR(20) CHARACTER SET latin1"),
        ],
        28 => vec![format!("ALTER TABLE {table} DROP PRIMARY KEY, MODIFY id INT AUTO_INCREMENT PRIMARY KEY")],
        29 => vec![format!("ALTER TABLE {table} ADD SYSTEM VERSIONING"), format!("DELETE FROM {table} LIMIT 3")],
        30 => vec![format!("ALTER IGNORE TABLE {table} ADD UNIQUE (n)")],
        31 => vec![format!("CREATE TABLE t_{} AS SELECT * FROM t", history.dice.random_range(1..4))],
        32 => vec![
            format!("CREATE TEMPORARY TABLE {table} (id INT PRIMARY KEY, n INT)"),
            format!("INSERT INTO {table} VALUES (1, 1)"),
            format!("TRUNCATE {table}"),
            format!("ALTER TABLE {table} ADD z INT"),
            format!("DROP TABLE {table}"),
        ],
        33 => vec![
            "XA START 'p'".to_owned(),
            dml::of(history, &table),
            "XA END 'p'".to_owned(),
            "XA PREPARE 'p'".to_owned(),
            "XA COMMIT 'p'".to_owned(),
        ],
        34 => vec![
            "SET SESSION binlog_row_image = 'MINIMAL'".to_owned(),
            dml::of(history, &table),
            "SET SESSION binlog_row_image = 'FULL'".to_owned(),
        ],
        35 => vec![
            format!("CREATE TABLE f{fresh} (id INT PRIMARY KEY)"),
            format!("INSERT INTO f{fresh} SELECT id FROM {table}"),
            format!("ALTER TABLE {table} ADD FOREIGN KEY (id) REFERENCES f{fresh} (id) ON DELETE CASCADE"),
            format!("DELETE FROM f{fresh} LIMIT 2"),
        ],
        36 => vec![format!("ALTER TABLE {table} ENGINE = MEMORY")],
        _ => vec![
            format!("CREATE TABLE k{fresh} (id INT)"),
            format!("DROP DATABASE {name}"),
            format!("CREATE DATABASE {name}"),
            format!("USE {name}"),
        ],
    };
    for sql in statements {
        history.harm_in(session, &sql);
    }
}

/// Rows that a session logs as statements. Those of another database pass where the log says which were written.
pub(crate) fn in_statement_format(history: &mut History<'_>, harmful: bool) {
    let (other, id) = (format!("{}_other", history.name), history.fresh());
    history.run_in(0, "SET SESSION binlog_format = 'STATEMENT'");
    if history.flavor.is_mysql() {
        history.run_in(0, &format!("INSERT INTO {other}.t VALUES ({id}, 1)"));
        history.run_in(0, &format!("UPDATE {other}.t SET n = n + 1"));
    }
    if harmful && history.dice.random_bool(0.3) {
        let sql = match history.dice.random_range(0..4) {
            0 => format!("INSERT INTO {other}.t VALUES ({id} + 1000, 1)"),
            1 => format!("UPDATE {other}.t a JOIN t b ON a.id = b.id SET b.n = 7"),
            2 => "INSERT IGNORE INTO u (id) SELECT id FROM t".to_owned(),
            _ => dml::statement(history),
        };
        history.harm_in(0, &sql);
    }
    history.run_in(0, "SET SESSION binlog_format = 'ROW'");
}
