//! MySQL's binary JSON: no panic, a text that JSON readers read, and no longer than the document accounts for.
#![no_main]

use headwater_mysql::rows::cell::Cell;
use headwater_mysql::rows::json::to_text;
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;

fuzz_target!(|bytes: &[u8]| {
    let Some(text) = to_text(&Cell::Json(bytes)) else { return };
    // A value of three bytes (a number of type and offset) is printed as a hundred characters at most, a byte as six.
    assert!(text.len() <= 4 + bytes.len() * 110, "{} bytes out of {}", text.len(), bytes.len());
    let mut reader = serde_json::Deserializer::from_str(&text);
    reader.disable_recursion_limit();
    if let Err(error) = serde::de::IgnoredAny::deserialize(&mut reader).and_then(|_| reader.end()) {
        panic!("{error}: {text}");
    }
});
