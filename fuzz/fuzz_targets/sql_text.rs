//! SQL text: cut into statements, parsed, planned and masked without a panic; planning touches nothing outside.
#![no_main]

use std::collections::BTreeMap;

use headwater_change::{ChangelogMode, Result, secret};
use headwater_sql::{Capabilities, Connectors, Dialects, Script, Session, TableSpec};
use libfuzzer_sys::fuzz_target;

/// Every connector can do everything.
struct Anything;

impl Connectors for Anything {
    fn capabilities(&self, _: &TableSpec) -> Result<Capabilities> {
        Ok(Capabilities { source: Some((ChangelogMode::Append, true)), sink: Some(ChangelogMode::Retract), only_batch: false })
    }
}

const TABLES: &str = "CREATE TABLE t (a INT, b BIGINT, s STRING, d DECIMAL(10, 2), x DOUBLE, ts TIMESTAMP(3), \
                      WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'c'); \
                      CREATE TABLE o (a INT) WITH ('connector' = 'c');";

fn execute(session: &mut Session, text: &str) {
    let Ok(script) = Script::read(text, &BTreeMap::new(), Dialects::default()) else { return };
    for index in 0..script.len().min(8) {
        let _ = session.execute(&script, index, &Anything, false);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let masked = secret::masked(text);
    for (at, _) in text.char_indices() {
        let range = masked.range(at..text.len());
        assert!(masked.text.get(range).is_some(), "a place inside a letter");
    }
    let mut session = Session::new(|_, _, _| Ok(())).expect("a session");
    execute(&mut session, TABLES);
    execute(&mut session, text);
});
