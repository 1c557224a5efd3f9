use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit};
use headwater_change::{Error, Options};
use proptest::prelude::*;

use super::{JsonConfig, JsonDecoder, JsonRows, OPTIONS};
use crate::lines::Decode;
use crate::text::shown;
use crate::values;

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>()))
}

fn lenient() -> JsonConfig {
    JsonConfig { ignore_parse_errors: true, ..JsonConfig::default() }
}

fn decode(schema: &SchemaRef, config: JsonConfig, text: &str) -> Result<RecordBatch, Error> {
    let mut decoder = JsonDecoder::new(Arc::clone(schema), config, Arc::default())?;
    decoder.decode(text.as_bytes()).map_err(|bad| bad.error)?;
    decoder.finish()
}

fn strict(fields: &[(&str, DataType)], text: &str) -> Vec<String> {
    shown(&decode(&schema(fields), JsonConfig::default(), text).expect("decoded"))
}

#[test]
fn clicks_are_read_by_name_in_any_order() {
    let fields = [("page", DataType::Utf8), ("timestamp", DataType::Timestamp(TimeUnit::Second, None))];
    let text = "{\"user_id\": 101, \"page\": \"/a\", \"timestamp\": \"2024-04-25 10:00:01\"}\n\
                {\"timestamp\":\"2024-04-25T10:00:02\",\"page\":\"/b\",\"user_id\":7}\r\n\n\
                {\"page\" : \"/c\"}";
    assert_eq!(strict(&fields, text), ["/a|2024-04-25 10:00:01", "/b|2024-04-25 10:00:02", "/c|NULL"]);
}

#[test]
fn numbers_are_read_as_flink_reads_them() {
    let fields = [("i", DataType::Int32), ("d", DataType::Decimal128(10, 2)), ("f", DataType::Float64)];
    let text = r#"{"i":"20","d":"644.66","f":"1e3"}
{"i":6.9,"d":-3.999,"f":7}
{"i":-6.9,"d":123456789.0,"f":null}"#;
    assert_eq!(strict(&fields, text), ["20|644.66|1000.0", "6|-4.00|7.0", "-6|NULL|NULL"]);
}

#[test]
fn names_are_case_sensitive_and_the_first_of_equal_names_wins() {
    assert_eq!(strict(&[("a", DataType::Int64)], r#"{"A":1,"a":2,"a":3}"#), ["2"]);
    assert_eq!(strict(&[("a", DataType::Int64)], r#"{"\u0061":5}"#), ["5"]);
}

#[test]
fn anything_has_a_text() {
    let text = r#"{"s":1.50}
{"s":true}
{"s":{"a": [1, "x y"], "b": null}}
{"s":"a\"\\\/\b\n\u00e9\ud83d\ude00"}"#;
    let expected = ["1.50", "true", r#"{"a":[1,"x y"],"b":null}"#, "a\"\\/\u{8}\né😀"];
    assert_eq!(strict(&[("s", DataType::Utf8)], text), expected);
}

#[test]
fn nested_values_are_read_into_arrays_maps_and_rows() {
    let item = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    let row =
        DataType::Struct(vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)].into());
    let fields = [("a", item), ("m", values::map(DataType::Utf8, DataType::Int32)), ("r", row)];
    let text = r#"{"a":[1,null,3],"m":{"k":1,"l":null},"r":{"y":"b","z":[{}],"x":2}}
{"a":[],"m":{},"r":{}}
{"r":null}"#;
    assert_eq!(strict(&fields, text), ["[1, NULL, 3]|{k=1, l=NULL}|(2, b)", "[]|{}|(NULL, NULL)", "NULL|NULL|NULL"]);
}

#[test]
fn an_instant_needs_its_z() {
    let fields = [("t", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))];
    assert_eq!(strict(&fields, r#"{"t":"2024-04-26 23:30:53.953Z"}"#), ["2024-04-26 23:30:53.953"]);
    let error = decode(&schema(&fields), JsonConfig::default(), r#"{"t":"2024-04-26 23:30:53"}"#).expect_err("no Z");
    assert_eq!(error.code(), "json.parse");
}

#[test]
fn a_bad_field_is_an_error_that_names_field_value_and_policy() {
    let schema = schema(&[("n", DataType::Int64)]);
    let error = decode(&schema, JsonConfig::default(), "{\"n\": 1}\n{\"n\": \"many\"}").expect_err("bad");
    assert_eq!(error.message(), "the field 'n' of type BIGINT cannot be '\"many\"'");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("json.ignore-parse-errors")), "{error:?}");
    assert!(error.detail_text().is_some_and(|detail| detail.contains("{\"n\": \"many\"}")), "{error:?}");
}

#[test]
fn ignoring_errors_gives_null_for_bad_fields_and_drops_lines_that_are_no_objects() {
    let schema = schema(&[("n", DataType::Int64), ("s", DataType::Utf8)]);
    let skipped = Arc::new(AtomicU64::new(0));
    let mut decoder = JsonDecoder::new(schema, lenient(), Arc::clone(&skipped)).expect("decoder");
    let text = b"{\"n\":\"x\",\"s\":\"a\"}\nnot json\n[1]\n{\"n\":1,\"s\":\n{\"n\":[2],\"s\":\"b\"}\n{\"s\":\"\xff\"}\n{} {}\n{\"n\":4}";
    decoder.decode(text).expect("lenient");
    assert_eq!(shown(&decoder.finish().expect("batch")), ["NULL|a", "NULL|b", "4|NULL"]);
    assert_eq!(skipped.load(Ordering::Relaxed), 5);
}

#[test]
fn malformed_lines_are_refused() {
    let bad = [
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{\"z\":[1,]}",
        "{\"z\":{\"q\":01}}",
        "{\"a\":tru}",
        "{\"z\":-}",
        "{\"a\":\"x",
        "{\"a\":\"\\x\"}",
        "{a:1}",
        "{,}",
        "{\"z\":1.}",
        "{\"z\":[1}",
        "null",
        "\u{feff}{}",
    ];
    for line in bad {
        let read = decode(&schema(&[("a", DataType::Utf8)]), JsonConfig::default(), line);
        assert_eq!(read.expect_err(line).code(), "json.parse", "{line}");
    }
}

#[test]
fn unread_fields_may_be_as_deep_as_jackson_reads() {
    let read = |depth: usize, open: &str, close: &str| {
        let deep = format!("{{\"z\":{}1{},\"a\":\"x\"}}", open.repeat(depth), close.repeat(depth));
        decode(&schema(&[("a", DataType::Utf8)]), JsonConfig::default(), &deep).map(|rows| shown(&rows))
    };
    for depth in [1, 127, 128, 129, 256, 300, 999] {
        assert_eq!(read(depth, "[", "]").expect("list"), ["x"], "{depth}");
        assert_eq!(read(depth, "{\"k\":", "}").expect("object"), ["x"], "{depth}");
        let mixed = read(depth / 2, "[{\"k\":", "},{},[[]]]");
        assert_eq!(mixed.expect("both"), ["x"], "{depth}");
    }
    for depth in [1000, 5000] {
        assert_eq!(read(depth, "[", "]").expect_err("too deep").code(), "json.parse");
    }
    assert!(read(200, "[", "}").is_err() && read(200, "{\"k\":", "]").is_err());
}

#[test]
fn a_missing_field_fails_only_if_asked_to() {
    let config = JsonConfig { fail_on_missing_field: true, ..JsonConfig::default() };
    let error = decode(&schema(&[("a", DataType::Int64)]), config, "{\"b\":1}").expect_err("missing");
    assert_eq!(error.message(), "a line has no field 'a'");
    assert!(decode(&schema(&[("a", DataType::Int64)]), config, "{\"a\":null}").is_ok());
}

#[test]
fn a_column_that_is_not_null_refuses_null() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
    assert_eq!(decode(&schema, JsonConfig::default(), "{}").expect_err("null").code(), "format.null");
}

#[test]
fn rows_without_columns_are_counted() {
    let batch = decode(&schema(&[]), JsonConfig::default(), "{\"a\":1}\n{}\n").expect("decoded");
    assert_eq!((batch.num_columns(), batch.num_rows()), (0, 2));
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let options = |given: &[(&'static str, &'static str)]| Options::check("json", OPTIONS, given.iter().copied());
    let both = options(&[("json.ignore-parse-errors", "true"), ("json.fail-on-missing-field", "true")]).expect("known");
    assert_eq!(JsonConfig::new(&both).expect_err("both").code(), "option.conflict");
    let exponent = options(&[("json.encode.decimal-as-plain-number", "false")]).expect("known");
    assert_eq!(JsonConfig::new(&exponent).expect_err("exponent").code(), "option.unsupported");
    assert_eq!(options(&[("json.map-null-key.mode", "DROP")]).expect_err("map").code(), "option.unsupported");
}

#[test]
fn rows_are_written_as_flink_writes_them() {
    let fields = [
        ("e", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("l", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        ("d", DataType::Float64),
        ("n", DataType::Decimal128(10, 2)),
        ("s", DataType::Utf8),
        ("b", DataType::Binary),
        ("x", DataType::Int32),
    ];
    let text = r#"{"e":"2024-04-25 10:00:10","l":"2024-04-25 10:00:10.5Z","d":1e-7,"n":540,"s":"a\"\u0001\n","b":"Cv8=","x":null}"#;
    let batch = decode(&schema(&fields), JsonConfig::default(), text).expect("decoded");
    let mut out = Vec::new();
    JsonRows::new(&batch.schema()).expect("rows").write(&batch, 0, &mut out).expect("written");
    let expected = r#"{"e":"2024-04-25 10:00:10","l":"2024-04-25 10:00:10.5Z","d":1.0E-7,"n":540.00,"s":"a\"\u0001\n","b":"Cv8=","x":null}"#;
    assert_eq!(String::from_utf8(out).expect("text"), expected);
}

#[test]
fn parts_of_columns_have_their_types() {
    let fields = [("i", DataType::Int32), ("d", DataType::Decimal128(10, 2)), ("l", DataType::Int64)];
    let batch = decode(&schema(&fields), JsonConfig::default(), r#"{"i":1,"d":1.5,"l":2}"#).expect("decoded");
    assert_eq!(batch.column(0).as_primitive::<Int32Type>().value(0), 1);
    assert_eq!(batch.column(1).as_primitive::<Decimal128Type>().value(0), 150);
    assert_eq!(batch.column(2).as_primitive::<Int64Type>().value(0), 2);
    assert_eq!(batch.column(0).null_count(), 0);
}

fn encode(batch: &RecordBatch, config: JsonConfig) -> Vec<u8> {
    let mut rows = JsonRows::with_config(&batch.schema(), config).expect("rows");
    let mut out = Vec::new();
    for row in 0..batch.num_rows() {
        rows.write(batch, row, &mut out).expect("written");
        out.push(b'\n');
    }
    out
}

proptest! {
    #[test]
    fn law_json_round_trips(batch in values::batches(values::json_types()), iso in any::<bool>()) {
        let bytes = encode(&batch, JsonConfig { iso_timestamps: iso, ..JsonConfig::default() });
        let mut decoder = JsonDecoder::new(batch.schema(), JsonConfig::default(), Arc::default()).expect("decoder");
        decoder.decode(&bytes).map_err(|bad| bad.error).expect("decoded");
        prop_assert_eq!(decoder.finish().expect("batch"), batch);
    }

    #[test]
    fn law_cuts_of_the_input_change_nothing(batch in values::batches(values::json_types()), size in 1_usize..200) {
        let bytes = encode(&batch, JsonConfig::default());
        let mut decoder = JsonDecoder::new(batch.schema(), JsonConfig::default(), Arc::default()).expect("decoder");
        for chunk in values::chunks(&decoder, &bytes, size) {
            decoder.decode(chunk).map_err(|bad| bad.error).expect("decoded");
        }
        prop_assert_eq!(decoder.finish().expect("batch"), batch);
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\u0123eE.-ab \n\r\xff\xc3tfn"[..]), 0..200),
        lenient_too in any::<bool>(),
    ) {
        let schema = values::schema_of(&values::json_types());
        let config = if lenient_too { lenient() } else { JsonConfig::default() };
        let mut decoder = JsonDecoder::new(schema, config, Arc::default()).expect("decoder");
        let read = decoder.decode(&bytes);
        if lenient_too {
            prop_assert!(read.is_ok());
            prop_assert!(decoder.finish().is_ok());
        }
    }

    #[test]
    fn broken_lines_never_panic_and_lenient_columns_stay_equally_long(
        batch in values::batches(values::json_types()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&batch, JsonConfig::default());
        for (at, byte) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let mut decoder = JsonDecoder::new(batch.schema(), lenient(), Arc::default()).expect("decoder");
        prop_assert!(decoder.decode(&bytes).is_ok());
        prop_assert!(decoder.finish().is_ok());
    }
}
