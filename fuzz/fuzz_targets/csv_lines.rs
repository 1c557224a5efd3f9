//! Records of CSV: no panic, and the rows do not depend on where the input was cut.
#![no_main]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use headwater_connect::csv::{CsvConfig, CsvDecoder};
use headwater_connect::lines::Decode;
use libfuzzer_sys::fuzz_target;

fn schema() -> Arc<Schema> {
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    Arc::new(Schema::new(vec![
        Field::new("s", DataType::Utf8, true),
        Field::new("i", DataType::Int64, true),
        Field::new("d", DataType::Decimal128(10, 2), true),
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("l", DataType::List(item), true),
    ]))
}

fuzz_target!(|bytes: &[u8]| {
    // The first byte chooses the options.
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let config = CsvConfig {
        escape: (choice & 1 != 0).then_some(b'\\'),
        quote: (choice & 2 == 0).then_some(b'"'),
        allow_comments: choice & 4 != 0,
        ignore_parse_errors: choice & 8 != 0,
        null_literal: (choice & 16 != 0).then(|| "NULL".to_owned()),
        ..CsvConfig::default()
    };
    let lenient = config.ignore_parse_errors;
    let decoder = || CsvDecoder::new(schema(), config.clone(), Arc::default()).expect("a decoder");
    let mut whole = decoder();
    let Ok(rows) = whole.decode(bytes).map_err(|bad| bad.error).and_then(|()| whole.finish()) else {
        assert!(!lenient, "faults are ignored");
        return;
    };
    let mut parts = decoder();
    let cut = parts.boundary(bytes).unwrap_or(0);
    parts.decode(&bytes[..cut]).expect("the whole was right");
    parts.decode(&bytes[cut..]).expect("the whole was right");
    assert_eq!(parts.finish().expect("the whole was right"), rows);
});
