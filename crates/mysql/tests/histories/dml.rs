//! Rows that come, change and go, by themselves and in transactions with savepoints and temporary tables.

use rand::Rng;

use super::follower::Trouble;
use super::history::{History, TABLES};

fn values(history: &mut History<'_>, id: u32) -> String {
    let text = match history.wide && history.dice.random_bool(0.3) {
        true => "REPEAT('x', 3000000)".to_owned(),
        false => history.pick(&["NULL", "''", "'it''s'", "'\\\\ \\n'", "'größe'", "'a'", "'x y'"]).to_owned(),
    };
    let n = history.dice.random_range(-9..100);
    let choice = history.pick(&["'a'", "'b'", "'c'", "NULL", "1"]);
    let decimal = history.pick(&["0.05", "-1.5", "99999.99", "NULL"]);
    let moment = history.pick(&["'2024-02-29 23:59:59.123'", "'1000-01-01'", "NULL"]);
    let instant = history.pick(&["'2038-01-19 03:14:07'", "'1970-01-02 00:00:00'", "NULL"]);
    format!("({id}, {n}, {text}, {choice}, {decimal}, {moment}, {instant})")
}

/// Rows written into any table, mostly wanted ones.
pub(crate) fn statement(history: &mut History<'_>) -> String {
    let table = if history.dice.random_bool(0.2) { "`u`".to_owned() } else { history.table() };
    of(history, &table)
}

/// Rows of this table.
pub(crate) fn of(history: &mut History<'_>, table: &str) -> String {
    let (id, other) = (history.dice.random_range(0..60), format!("`{}`", history.pick(&TABLES)));
    let part = history.dice.random_range(2..5);
    match history.dice.random_range(0..14) {
        0..5 => {
            let count = history.dice.random_range(1..5);
            let rows: Vec<String> = (0..count).map(|nth| values(history, id + nth * 7)).collect();
            let (verb, end) = history.pick(&[
                ("INSERT IGNORE INTO", ""),
                ("REPLACE INTO", ""),
                ("INSERT INTO", " ON DUPLICATE KEY UPDATE n = n + 1"),
                ("INSERT INTO", ""),
            ]);
            format!("{verb} {table} (id, n, s, e, d, m, ts) VALUES {}{end}", rows.join(", "))
        }
        5 => format!("UPDATE {table} SET n = n + 1 WHERE id % {part} = 1"),
        6 => format!("UPDATE {table} SET s = CONCAT(id, 'y'), e = 'b' WHERE id % {part} = 0"),
        7 => format!("UPDATE {table} SET id = id + 100 WHERE id BETWEEN {id} AND {id} + 9"),
        8 => format!("UPDATE {table} SET id = id + 1 ORDER BY id DESC"),
        9 => format!("DELETE FROM {table} WHERE id % {part} = 1"),
        10 => format!("DELETE FROM {table} ORDER BY id LIMIT 2"),
        11 => format!("INSERT IGNORE INTO {table} (id, n, s) SELECT id + {id}, n, s FROM {other} WHERE id % 3 = 0"),
        12 => format!("UPDATE {table} a JOIN {other} b ON a.id = b.id SET a.n = b.n + 1, b.d = 1.25"),
        _ => format!("DELETE a, b FROM {table} a JOIN {other} b ON a.id = b.id WHERE a.id % {part} = 0"),
    }
}

/// A transaction of some statements; the reader and the other session go on in between.
pub(crate) fn transaction(history: &mut History<'_>) -> Result<(), Trouble> {
    let session = history.dice.random_range(0..2);
    let begin = history.pick(&["BEGIN", "START TRANSACTION", "SET autocommit = 0", "XA START 'x'"]);
    history.run_in(session, begin);
    for _ in 0..history.dice.random_range(1..8) {
        let savepoint = history.pick(&["a", "b", "`C d`", "A"]);
        let temporary = history.pick(&["tmp_1", "tmp_2"]);
        let sql = match history.dice.random_range(0..16) {
            0..7 => statement(history),
            7 | 8 => format!("SAVEPOINT {savepoint}"),
            9 | 10 => format!("ROLLBACK TO {savepoint}"),
            11 => format!("RELEASE SAVEPOINT {savepoint}"),
            12 => format!("CREATE TEMPORARY TABLE {temporary} (id INT PRIMARY KEY, n INT)"),
            13 => format!("INSERT INTO {temporary} VALUES (1, 1), (2, 2)"),
            14 => format!("DROP TEMPORARY TABLE IF EXISTS {temporary}"),
            _ => {
                history.wander()?;
                if history.dice.random_bool(0.3) {
                    let other = statement(history);
                    history.run_in(1 - session, &other);
                }
                continue;
            }
        };
        history.run_in(session, &sql);
    }
    let rolled_back = history.dice.random_bool(0.35);
    if begin.starts_with("XA") {
        history.run_in(session, "XA END 'x'");
        if rolled_back || !history.run_in(session, "XA COMMIT 'x' ONE PHASE") {
            history.run_in(session, "XA ROLLBACK 'x'");
        }
    }
    history.run_in(session, if rolled_back { "ROLLBACK" } else { "COMMIT" });
    history.run_in(session, "SET autocommit = 1");
    if history.dice.random_bool(0.5) {
        history.run_in(session, "DROP TEMPORARY TABLE IF EXISTS tmp_1, tmp_2");
    }
    Ok(())
}
