//! The collected Flink scripts that agree must go on agreeing: `tests/compat/flink/agrees.txt` names them.
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
