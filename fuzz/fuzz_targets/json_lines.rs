//! Lines of JSON: no panic, and the rows do not depend on where the input was cut.
#![no_main]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use headwater_connect::json::{JsonConfig, JsonDecoder};
use headwater_connect::lines::Decode;
use libfuzzer_sys::fuzz_target;

fn schema() -> Arc<Schema> {
    let row = Fields::from(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]);
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    Arc::new(Schema::new(vec![
        Field::new("i", DataType::Int32, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("d", DataType::Decimal128(20, 5), true),
        Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("r", DataType::Struct(row), true),
        Field::new("l", DataType::List(item), true),
        Field::new("y", DataType::Binary, true),
    ]))
}

fuzz_target!(|bytes: &[u8]| {
    for ignore_parse_errors in [false, true] {
        let config = JsonConfig { ignore_parse_errors, ..JsonConfig::default() };
        let decoder = || JsonDecoder::new(schema(), config, Arc::default()).expect("a decoder");
        let mut whole = decoder();
        let read = whole.decode(bytes).map_err(|bad| bad.error).and_then(|()| whole.finish());
        if let Ok(rows) = read {
            let mut parts = decoder();
            let cut = parts.boundary(bytes).unwrap_or(0);
            parts.decode(&bytes[..cut]).expect("the whole was right");
            parts.decode(&bytes[cut..]).expect("the whole was right");
            assert_eq!(parts.finish().expect("the whole was right"), rows);
        } else {
            assert!(!ignore_parse_errors, "faults are ignored");
        }
    }
});
