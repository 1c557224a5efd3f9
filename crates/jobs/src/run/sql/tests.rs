use std::time::Duration;

use super::*;

fn parsed(sql: &str) -> (String, Vec<String>) {
    let statement = parse(sql).expect(sql);
    (statement.text, statement.names)
}

fn job(payload: &str) -> Job {
    Job {
        id: 7,
        queue: "default".to_owned(),
        job_type: "GRANT".to_owned(),
        payload: payload.to_owned(),
        priority: 0,
        retry_count: 0,
        max_retries: None,
        limit_key: None,
        batch_id: None,
        traceparent: None,
        waited: Duration::ZERO,
        token: 1,
    }
}

#[test]
fn names_are_parameters_and_quotes_and_comments_are_not() {
    assert_eq!(
        parsed("INSERT INTO t VALUES (:a, :userId,:a,:_x1);"),
        ("INSERT INTO t VALUES (?, ?,?,?)".to_owned(), ["a", "userId", "a", "_x1"].map(str::to_owned).to_vec())
    );
    for sql in [
        "SELECT '12:30:00 ? ;', \":b\", `:c`, 'it''s :d', 'it\\'s :e', \"\\\\\", '\\\\', ':f'",
        "SELECT 1 -- :a ; ?\n + 1 # :b\n + /* :c ; ? */ 1",
        "SET @x := 1",
        "SELECT 'not closed :a",
    ] {
        assert_eq!(parsed(sql), (sql.to_owned(), Vec::new()));
    }
    assert_eq!(parsed("SELECT '\\\\', :a").1, ["a"]);
    assert_eq!(parsed("SELECT 5--:a").1, ["a"]);
}

#[test]
fn what_would_break_the_transaction_is_refused() {
    for sql in [
        "",
        "COMMIT",
        "START TRANSACTION",
        "DROP TABLE t",
        "create table t (a int)",
        "SET autocommit = 1",
        "SET @@autocommit = 1",
        "SET @a = 1, @@autocommit = 1",
        "INSERT INTO t VALUES (?)",
        "DELETE FROM t; COMMIT",
        "LOCK TABLES t READ",
    ] {
        let error = parse(sql).expect_err(sql);
        assert_eq!((error.code(), error.hint_text().is_some()), ("jobs.sql", true), "{sql}");
    }
    assert_eq!(Sql::new(&[]).expect_err("none").code(), "jobs.sql");
}

#[test]
fn members_keep_their_values() {
    let payload = r#"{"text": "ä\n'", "i": -9223372036854775808, "u": 18446744073709551615, "d": 0.1000000000000000000001,
        "yes": true, "no": false, "nothing": null, "list": [1, {"a": "b"}]}"#;
    let names = "text i u d yes no nothing list job_id";
    let statement = Statement { text: String::new(), names: names.split(' ').map(str::to_owned).collect() };
    let bytes = |text: &str| Value::Bytes(text.as_bytes().to_vec());
    let bound = bind(&[statement], &job(payload)).expect("bound");
    let [Params::Positional(values)] = bound.as_slice() else { panic!("{bound:?}") };
    assert_eq!(
        values,
        &[
            bytes("ä\n'"),
            Value::Int(i64::MIN),
            Value::UInt(u64::MAX),
            bytes("0.1000000000000000000001"),
            Value::Int(1),
            Value::Int(0),
            Value::NULL,
            bytes(r#"[1, {"a": "b"}]"#),
            Value::UInt(7),
        ]
    );
}

#[test]
fn a_missing_member_is_named_and_dead() {
    let statements = [parse("DELETE FROM t WHERE a = :user_id").expect("a statement")];
    for payload in [r#"{"user": 1}"#, "[1]", "3", "no JSON"] {
        let failure = Failure::from(bind(&statements, &job(payload)).expect_err(payload));
        assert!(matches!(&failure, Failure::Dead(text) if text.contains("'user_id'")), "{failure:?}");
    }
    let whole = parse("INSERT INTO t VALUES (:payload, :job_id)").expect("a statement");
    assert!(bind(&[whole], &job("[1]")).is_ok(), "these do not come from members");
}
