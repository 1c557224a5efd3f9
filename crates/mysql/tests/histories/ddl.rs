//! Definitions that change without a change of any wanted value.

use rand::Rng;
use rand::seq::SliceRandom;

use super::history::History;

const NAMES: [&str; 7] = ["id", "n", "s", "e", "d", "m", "ts"];

const TYPES: [&str; 14] = [
    "INT",
    "BIGINT UNSIGNED",
    "VARCHAR(30)",
    "CHAR(5) CHARACTER SET latin1",
    "TEXT",
    "BLOB",
    "ENUM('x','y','it''s')",
    "ENUM('y','x')",
    "SET('p','q')",
    "DECIMAL(20,5)",
    "DATETIME(6)",
    "JSON",
    "BIT(9)",
    "DOUBLE DEFAULT 1.5",
];

/// Columns in any order, some of them wanted by nobody.
pub(crate) fn definition(history: &mut History<'_>) -> String {
    let text = match history.wide {
        true => "LONGTEXT",
        false => history.pick(&["VARCHAR(20)", "VARCHAR(20) CHARACTER SET latin1", "CHAR(9)", "TEXT"]),
    };
    let number = history.pick(&["INT", "SMALLINT", "BIGINT"]);
    let mut columns = vec![
        "id INT NOT NULL PRIMARY KEY".to_owned(),
        format!("n {number} DEFAULT 0"),
        format!("s {text} NULL"),
        "e ENUM('a','b','c') NULL".to_owned(),
        "d DECIMAL(10,2) NULL".to_owned(),
        "m DATETIME(3) NULL".to_owned(),
        "ts TIMESTAMP NULL".to_owned(),
    ];
    for _ in 0..history.dice.random_range(0..4) {
        let (name, kind) = (history.fresh(), history.pick(&TYPES));
        columns.push(format!("x{name} {kind}"));
    }
    columns.shuffle(&mut history.dice);
    format!("({}) DEFAULT CHARACTER SET utf8mb4", columns.join(", "))
}

fn place(history: &mut History<'_>, names: &[String], not: &str) -> String {
    let others: Vec<String> = names.iter().filter(|name| *name != not).cloned().collect();
    match history.dice.random_range(0..3) {
        0 => " FIRST".to_owned(),
        1 if !others.is_empty() => format!(" AFTER `{}`", history.pick(&others)),
        _ => String::new(),
    }
}

/// An ALTER TABLE that keeps every wanted value.
pub(crate) fn alter(history: &mut History<'_>, table: &str) -> String {
    let columns = history.columns(table);
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let extras: Vec<String> = names.iter().filter(|name| !NAMES.contains(&name.as_str())).cloned().collect();
    let wanted: Vec<(String, String)> =
        columns.iter().filter(|(name, _)| NAMES.contains(&name.as_str()) && name != "id").cloned().collect();
    let mut touches_wanted = false;
    let mut parts = Vec::new();
    for _ in 0..history.dice.random_range(1..3) {
        let (fresh, kind) = (history.fresh(), history.pick(&TYPES));
        let extra = if extras.is_empty() { None } else { Some(history.pick(&extras)) };
        let own = if wanted.is_empty() { None } else { Some(history.pick(&wanted)) };
        let part = match (history.dice.random_range(0..16), extra, own) {
            (0..2, Some(name), _) => format!("DROP COLUMN {name}"),
            (2, Some(name), _) => format!("MODIFY {name} {kind}{}", place(history, &names, &name)),
            (3, Some(name), _) => format!("CHANGE {name} x{fresh} {kind}"),
            (4, Some(name), _) => format!("RENAME COLUMN {name} TO x{fresh}"),
            (5..7, _, Some((name, kind))) => {
                touches_wanted = true;
                format!("MODIFY {name} {kind}{}", place(history, &names, &name))
            }
            (7, _, Some((name, kind))) => {
                touches_wanted = true;
                let wider = match kind.as_str() {
                    _ if name == "n" => "BIGINT NULL".to_owned(),
                    kind if name == "e" => kind.replacen("')", &format!("','z{fresh}')"), 1),
                    _ if name == "d" => "DECIMAL(14,2) NULL".to_owned(),
                    kind if kind.starts_with("varchar(20)") => kind.replacen("(20)", "(40)", 1),
                    kind => kind.to_owned(),
                };
                format!("MODIFY COLUMN {name} {wider}")
            }
            (8, _, Some((name, _))) => history
                .pick(&["ALTER COLUMN n SET DEFAULT 5", "ALTER n DROP DEFAULT"])
                .replace("n ", &format!("{name} "))
                .replace("COLUMN s SET DEFAULT 5", "COLUMN s DROP DEFAULT"),
            (9, ..) => format!("ADD INDEX i{fresh} (n)"),
            (10, ..) => format!("ADD INDEX i{fresh} ((n + {fresh}))"),
            (11, ..) => history
                .pick(&[
                    "COMMENT = 'TRUNCATE t'",
                    "FORCE",
                    "ENGINE = InnoDB",
                    "AUTO_INCREMENT = 500",
                    "ROW_FORMAT = DYNAMIC",
                ])
                .to_owned(),
            (12, ..) => {
                let kind = history.pick(&["STORED", "VIRTUAL"]);
                format!("ADD COLUMN x{fresh} INT AS (id * 2) {kind}{}", place(history, &names, ""))
            }
            _ => format!("ADD COLUMN x{fresh} {kind}{}", place(history, &names, "")),
        };
        parts.push(part);
    }
    let how =
        history.pick(&["", "", "", ", ALGORITHM=INPLACE", ", ALGORITHM=COPY", ", ALGORITHM=INSTANT", ", LOCK=NONE"]);
    let sql = format!("ALTER TABLE {table} {}{how}", parts.join(", "));
    history.altered(&sql, touches_wanted);
    sql
}

/// What changes a wanted table's definition, or makes a wanted table.
pub(crate) fn harmless(history: &mut History<'_>) {
    let (table, fresh) = (history.table(), history.fresh());
    let new = format!("`t_{}`", history.dice.random_range(1..4));
    let sql = match history.dice.random_range(0..20) {
        0..11 => alter(history, &table),
        11 => format!("ALTER TABLE {table} PARTITION BY HASH (id) PARTITIONS {}", history.dice.random_range(2..5)),
        12 => format!("ALTER TABLE {table} REMOVE PARTITIONING"),
        13 => format!(
            "ALTER TABLE {table} {}",
            history.pick(&["ADD PARTITION PARTITIONS 2", "COALESCE PARTITION 1", "REBUILD PARTITION p0"])
        ),
        14 => format!("CREATE TABLE {new} {}", definition(history)),
        15 => format!("CREATE TABLE {new} LIKE {table}"),
        16 => format!("CREATE TABLE IF NOT EXISTS {table} {}", definition(history)),
        17 => format!("CREATE INDEX i{fresh} ON {table} (d)"),
        18 => format!("{} TABLE {table}", history.pick(&["ANALYZE", "OPTIMIZE", "CHECK"])),
        _ => format!("CREATE VIEW v{fresh} AS SELECT id, n, s, e, d, m, ts FROM {table}"),
    };
    if sql.starts_with("CREATE TABLE") {
        history.altered(&sql, false);
    }
    history.run_in(0, &sql);
}

/// What changes other tables, and looks like what would be harm.
pub(crate) fn of_others(history: &mut History<'_>) {
    let (other, fresh) = (format!("{}_other", history.name), history.fresh());
    let session = history.dice.random_range(0..2);
    let statements = match history.dice.random_range(0..10) {
        0 => vec!["TRUNCATE u".to_owned()],
        1 => vec!["RENAME TABLE u TO u2, w TO u, u2 TO w".to_owned()],
        2 => {
            vec![format!("TRUNCATE {other}.t"), format!("RENAME TABLE {other}.t TO {other}.x, {other}.x TO {other}.t")]
        }
        3 => vec![format!("DROP TABLE {other}.t"), format!("CREATE TABLE {other}.t (id INT PRIMARY KEY, n INT)")],
        4 => vec![format!("CREATE TABLE c{fresh} AS SELECT id, n FROM t"), format!("DROP TABLE c{fresh}")],
        5 => vec![
            format!("CREATE TRIGGER r{fresh} AFTER INSERT ON w FOR EACH ROW UPDATE t SET n = n + 1 WHERE id = NEW.id"),
            "INSERT IGNORE INTO w (id) VALUES (7), (14), (21)".to_owned(),
        ],
        6 => vec!["ALTER TABLE u ADD COLUMN IF NOT EXISTS t INT".to_owned(), format!("ALTER TABLE w ADD x{fresh} INT")],
        7 => vec![
            format!("CREATE TABLE p{fresh} (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2"),
            format!("ALTER TABLE p{fresh} TRUNCATE PARTITION p0"),
        ],
        8 => vec![format!("CREATE OR REPLACE TABLE c{fresh} (t INT, data INT)")],
        _ => {
            vec!["SET sql_mode = 'ANSI_QUOTES'".to_owned(), "TRUNCATE \"u\"".to_owned(), "SET sql_mode = ''".to_owned()]
        }
    };
    for sql in statements {
        history.run_in(session, &sql);
    }
}
