//! Statements of the log: no panic; what a statement does depends on its tokens alone, and one that drops or renames a
//! wanted table never passes.
#![no_main]

use headwater_mysql::fuzzing::{Session, event, names_wanted, respelled, statement};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The first byte is the session, the second chooses between the bytes of an event and a text.
    let [session, choice, rest @ ..] = bytes else { return };
    let session = Session(*session);
    if choice % 4 == 0 {
        let _ = event(rest, choice & 4 != 0, session);
        return;
    }
    let Ok(sql) = std::str::from_utf8(rest) else { return };
    let effect = statement(sql, session);
    let again = respelled(sql, session);
    assert_eq!(statement(&again, session), effect, "{again}");
    assert!(!names_wanted(sql, session) || effect.starts_with("Stops"), "{effect}");
});
