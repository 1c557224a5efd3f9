//! What agrees with Flink and Spark must go on agreeing: the collected scripts that `tests/compat/flink/agrees.txt` names,
//! and the expressions and queries of `tests/compat/{flink,spark}/expr`, but those that differ on purpose.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use headwater_testkit::repository;

#[test]
fn scripts_that_agree_with_flink_go_on_agreeing() {
    let folder = repository().join("tests/compat/flink");
    let output = Command::new("python3")
        .arg(folder.join("run.py"))
        .args(["--headwater", env!("CARGO_BIN_EXE_headwater"), "--expected"])
        .arg(folder.join("agrees.txt"))
        .output()
        .expect("python3, which scripts/install puts there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn expressions_mean_what_flink_means_by_them() {
    expressions("flink");
}

#[test]
fn queries_mean_what_spark_means_by_them() {
    expressions("spark");
}

fn expressions(dialect: &str) {
    let output = Command::new("python3")
        .arg(repository().join("tests/compat/expressions.py"))
        .args(["--headwater", env!("CARGO_BIN_EXE_headwater"), "--dialect", dialect])
        .output()
        .expect("python3, which scripts/install puts there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
