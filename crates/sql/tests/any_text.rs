//! Whatever the text, planning answers or errs; it never panics.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;

use headwater_change::{ChangelogMode, Result};
use headwater_sql::{Capabilities, Connectors, Dialects, Script, Session, TableSpec};
use proptest::prelude::*;

struct Anything;

impl Connectors for Anything {
    fn describe(
        &self,
        _connector: &str,
        _options: &[(String, String)],
    ) -> headwater_change::Result<Vec<arrow::datatypes::Field>> {
        Ok(vec![arrow::datatypes::Field::new("id", arrow::datatypes::DataType::Int64, false)])
    }

    fn capabilities(&self, _table: &TableSpec) -> Result<Capabilities> {
        Ok(Capabilities {
            source: Some((ChangelogMode::Append, true)),
            sink: Some(ChangelogMode::Retract),
            only_batch: false,
        })
    }
}

fn execute(text: &str) {
    let Ok(script) = Script::read(text, &BTreeMap::new(), Dialects::default()) else { return };
    let Ok(mut session) = Session::new(|_, _, _| Ok(())) else { return };
    for index in 0..script.len() {
        let _ = session.execute(&script, index, &Anything, true);
    }
}

/// Words of the dialect in any order come nearer to the corners than letters do.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "SELECT",
        "FROM",
        "WHERE",
        "GROUP BY",
        "TUMBLE",
        "TABLE",
        "(",
        ")",
        ",",
        ";",
        "*",
        "t",
        "a",
        "ts",
        "COUNT",
        "SUM",
        "INTERVAL '1' SECOND",
        "DESCRIPTOR",
        "CREATE TABLE",
        "WITH",
        "'connector'",
        "=",
        "'x'",
        "INT",
        "TIMESTAMP(3)",
        "WATERMARK FOR",
        "AS",
        "CAST",
        "ROW<",
        "ARRAY<",
        "MAP<",
        ">>",
        ">",
        "INSERT INTO",
        "VALUES",
        "1",
        "1.5",
        "/",
        "%",
        "MOD",
        "IF",
        "NULL",
        "UNION",
        "DISTINCT",
        "EXECUTE STATEMENT SET",
        "BEGIN",
        "END",
        "${",
        "}",
        "`",
        "'",
        "é",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_words_never_panic(words in words()) {
        execute(&format!("CREATE TABLE t (a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector'='c'); {words}"));
    }

    #[test]
    fn any_text_never_panics(text in "\\PC{0,60}") {
        execute(&text);
    }
}
