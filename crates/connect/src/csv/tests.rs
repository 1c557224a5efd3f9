use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_change::{Error, Options, POSITION_KEY};
use proptest::prelude::*;

use super::{CsvConfig, CsvDecoder, CsvRows, OPTIONS, write_field};
use crate::lines::Decode;
use crate::text::shown;
use crate::values;

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>()))
}

fn config(given: &[(&'static str, &'static str)]) -> CsvConfig {
    CsvConfig::new(&Options::check("csv", OPTIONS, given.iter().copied()).expect("options")).expect("config")
}

fn decode(schema: &SchemaRef, config: CsvConfig, text: &str) -> Result<RecordBatch, Error> {
    let mut decoder = CsvDecoder::new(Arc::clone(schema), config, Arc::default())?;
    decoder.decode(text.as_bytes()).map_err(|bad| bad.error)?;
    decoder.finish()
}

const PAIR: [(&str, DataType); 2] = [("s", DataType::Utf8), ("d", DataType::Decimal128(10, 2))];

#[test]
fn blanks_are_kept_quotes_taken_out_and_decimals_rounded() {
    let text = "  a ,1\n\"say \"\"hi\"\"\",-3.999\n\"x,\ny\",2.5\r\n\n,7\n5\" pipe,1";
    let rows = decode(&schema(&PAIR), CsvConfig::default(), text).expect("decoded");
    assert_eq!(shown(&rows), ["  a |1.00", "say \"hi\"|-4.00", "x,\ny|2.50", "|7.00", "5\" pipe|1.00"]);
    assert_eq!(rows.column(0).null_count(), 0, "an empty field is the empty text");
}

#[test]
fn an_empty_number_is_an_error_or_null_by_policy() {
    let error = decode(&schema(&PAIR), CsvConfig::default(), "a,1\nb,\n").expect_err("empty");
    assert_eq!((error.code(), error.message()), ("csv.parse", "the field 'd' of type DECIMAL(10, 2) cannot be ''"));
    assert!(error.hint_text().is_some_and(|hint| hint.contains("csv.ignore-parse-errors")));
    let lenient = config(&[("csv.ignore-parse-errors", "true")]);
    assert_eq!(shown(&decode(&schema(&PAIR), lenient, "a,1\nb,\n").expect("lenient")), ["a|1.00", "b|NULL"]);
}

#[test]
fn records_of_another_length_are_refused_or_skipped_and_counted() {
    for text in ["a\n", "a,1,2\n", "\"a\"b,1\n", "\"a,1\n"] {
        let error = decode(&schema(&PAIR), CsvConfig::default(), text).expect_err(text);
        assert_eq!(error.code(), "csv.parse", "{text}");
    }
    let skipped = Arc::new(AtomicU64::new(0));
    let lenient = config(&[("csv.ignore-parse-errors", "true")]);
    let mut decoder = CsvDecoder::new(schema(&PAIR), lenient, Arc::clone(&skipped)).expect("decoder");
    decoder.decode(b"a\nb,1\nc,1,2\n\"d\"x,1\ne,2\n\xff,3\n").expect("lenient");
    assert_eq!(shown(&decoder.finish().expect("batch")), ["a|NULL", "b|1.00", "e|2.00"]);
    assert_eq!(skipped.load(Ordering::Relaxed), 3);
}

#[test]
fn the_options_of_flink_are_honoured() {
    let read = |given: &[(&'static str, &'static str)], text: &str| {
        shown(&decode(&schema(&PAIR), config(given), text).expect("decoded"))
    };
    assert_eq!(read(&[("csv.field-delimiter", "\\t")], "a,b\t1\n"), ["a,b|1.00"]);
    assert_eq!(read(&[("csv.quote-character", "'")], "'a,''b',1\n"), ["a,'b|1.00"]);
    assert_eq!(read(&[("csv.disable-quote-character", "true")], "\"a\",1\n"), ["\"a\"|1.00"]);
    assert_eq!(read(&[("csv.allow-comments", "true")], "#x\na,1\n"), ["a|1.00"]);
    assert_eq!(read(&[("csv.escape-character", "\\")], "a\\,b,1\n\"c\\\"d\",2"), ["a,b|1.00", "c\"d|2.00"]);
    assert_eq!(read(&[("csv.null-literal", "n/a")], "n/a,n/a\n"), ["NULL|NULL"]);
    let twice = Options::check("csv", OPTIONS, [("csv.field-delimiter", "\"")]).expect("options");
    assert_eq!(CsvConfig::new(&twice).expect_err("twice").code(), "option.conflict");
    let long = Options::check("csv", OPTIONS, [("csv.field-delimiter", "ab")]).expect("options");
    assert_eq!(CsvConfig::new(&long).expect_err("long").code(), "option.value");
}

#[test]
fn arrays_and_rows_are_split_at_their_own_delimiter() {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    let row =
        DataType::Struct(vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)].into());
    let schema = schema(&[("a", list), ("r", row)]);
    let rows = decode(&schema, CsvConfig::default(), "1;2,7;b\n,8;\n").expect("decoded");
    assert_eq!(shown(&rows), ["[1, 2]|(7, b)", "[]|(8, )"]);
    let lenient = config(&[("csv.ignore-parse-errors", "true")]);
    let rows = decode(&schema, lenient, "1;x,7\n3,1;c\n").expect("lenient");
    assert_eq!(shown(&rows), ["NULL|NULL", "[3]|(1, c)"]);
    let map = super::super::csv::CsvDecoder::new(
        self::schema(&[("m", values::map(DataType::Utf8, DataType::Int32))]),
        CsvConfig::default(),
        Arc::default(),
    );
    assert_eq!(map.map(|_| ()).expect_err("map").code(), "csv.type");
}

#[test]
fn some_columns_of_a_table_are_read_by_their_positions() {
    let at = |name: &str, kind: DataType, place: &str| {
        Field::new(name, kind, true).with_metadata([(POSITION_KEY.to_owned(), place.to_owned())].into())
    };
    let schema = Arc::new(Schema::new(vec![at("c", DataType::Int32, "2/4"), at("a", DataType::Utf8, "0/4")]));
    let rows = decode(&schema, CsvConfig::default(), "a,x,3,y\n").expect("decoded");
    assert_eq!(shown(&rows), ["3|a"]);
    assert_eq!(decode(&schema, CsvConfig::default(), "a,x,3\n").expect_err("short").code(), "csv.parse");
    let lenient = CsvConfig { ignore_parse_errors: true, ..CsvConfig::default() };
    let rows = decode(&schema, lenient, "a,x,3\na\n\"\"\na,x,3,y,z\nb,x,4,y\n").expect("decoded");
    assert_eq!(shown(&rows), ["3|a", "NULL|a", "NULL|", "4|b"], "short ones are filled up, long ones are no records");
    let wrong = Arc::new(Schema::new(vec![at("c", DataType::Int32, "4/4")]));
    assert_eq!(decode(&wrong, CsvConfig::default(), "").expect_err("place").code(), "csv.position");
}

fn written(batch: &RecordBatch, config: CsvConfig) -> String {
    let mut rows = CsvRows::new(&batch.schema(), config).expect("rows");
    let mut out = Vec::new();
    for row in 0..batch.num_rows() {
        rows.write(batch, row, &mut out).expect("written");
        out.push(b'\n');
    }
    String::from_utf8(out).expect("text")
}

#[test]
fn rows_are_written_as_flink_writes_them() {
    let fields = [
        ("t", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("s", DataType::Utf8),
        ("d", DataType::Decimal128(10, 2)),
        ("f", DataType::Float64),
        ("b", DataType::Boolean),
    ];
    let text = "2024-04-25 10:00:00,DE,540.00,1e-7,true\n2024-04-25 10:00:00.5,a b,-7.50,0.5,x\n2024-04-25 10:00:00,\"q\"\"\",688,2,false\n";
    let batch = decode(&schema(&fields), CsvConfig::default(), text).expect("decoded");
    let expected = "\"2024-04-25 10:00:00\",DE,5.4E+2,1.0E-7,true\n\
                    \"2024-04-25 10:00:00.5\",\"a b\",-7.5,0.5,false\n\
                    \"2024-04-25 10:00:00\",\"q\"\"\",688,2.0,false\n";
    assert_eq!(written(&batch, CsvConfig::default()), expected);
    let plain = config(&[("csv.write-bigdecimal-in-scientific-notation", "false")]);
    assert!(written(&batch, plain).starts_with("\"2024-04-25 10:00:00\",DE,540,"));
}

#[test]
fn null_is_empty_or_its_literal() {
    let lenient = config(&[("csv.ignore-parse-errors", "true")]);
    let batch = decode(&schema(&[("a", DataType::Int32), ("b", DataType::Int32)]), lenient, "1,\n").expect("decoded");
    assert_eq!(written(&batch, CsvConfig::default()), "1,\n");
    assert_eq!(written(&batch, config(&[("csv.null-literal", "n/a")])), "1,n/a\n");
}

#[test]
fn the_terminals_fields_have_the_fewest_quotes() {
    let field = |text: &str| {
        let mut out = Vec::new();
        write_field(text, &mut out);
        String::from_utf8(out).expect("text")
    };
    assert_eq!(field("2024-04-25 10:00:00"), "2024-04-25 10:00:00");
    assert_eq!(field("a,b"), "\"a,b\"");
    assert_eq!(field("say \"hi\""), "\"say \"\"hi\"\"\"");
    assert_eq!(field(" a"), "\" a\"");
    assert_eq!(field("a\nb"), "\"a\nb\"");
}

/// Whole, and in two parts at the last record's end.
fn whole_and_cut(config: &CsvConfig, bytes: &[u8]) -> (RecordBatch, RecordBatch) {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    let schema = schema(&[("a", DataType::Utf8), ("b", DataType::Int64), ("c", list)]);
    let read = |parts: [&[u8]; 2]| {
        let mut decoder = CsvDecoder::new(schema.clone(), config.clone(), Arc::default()).expect("decoder");
        for part in parts {
            decoder.decode(part).map_err(|bad| bad.error).expect("faults are ignored");
        }
        decoder.finish().expect("batch")
    };
    let decoder = CsvDecoder::new(schema.clone(), config.clone(), Arc::default()).expect("decoder");
    let cut = decoder.boundary(bytes).unwrap_or(0);
    (read([bytes, b""]), read([&bytes[..cut], &bytes[cut..]]))
}

#[test]
fn a_comment_stands_only_where_a_record_begins() {
    let config = CsvConfig { ignore_parse_errors: true, allow_comments: true, ..CsvConfig::default() };
    let found = b"\n,.\n\n4\xff\n,,\n\xff,\n,,\n\n4]\xff\xff\xff\xff,]\xff\xff\xff\xff,#,,\"#,,\"\"\xff\n,";
    for text in [&found[..], b"a,#,\"x\ny\"\nb,1,2\n", b"# \"\na,1,2\n# x\nb", b"#\n\"a\"#\nb,1,2\n"] {
        let (whole, cut) = whole_and_cut(&config, text);
        assert_eq!(cut, whole, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn an_escaped_line_end_ends_no_record() {
    let config = CsvConfig { escape: Some(b'\\'), ..CsvConfig::default() };
    let decoder = CsvDecoder::new(schema(&[("a", DataType::Utf8)]), config, Arc::default()).expect("decoder");
    assert_eq!(decoder.boundary(b"a\nb\\\n"), Some(2), "the record goes on behind it");
    assert_eq!(decoder.boundary(b"a\nb\\\nc\n"), Some(7));
}

fn literal() -> CsvConfig {
    CsvConfig { null_literal: Some("\u{1}null".to_owned()), ..CsvConfig::default() }
}

fn escaping() -> CsvConfig {
    CsvConfig {
        escape: Some(b'\\'),
        quote: Some(b'\''),
        delimiter: b';',
        element_delimiter: "|".to_owned(),
        ..literal()
    }
}

proptest! {
    #[test]
    fn law_csv_round_trips(batch in values::batches(values::scalar_types()), escaped in any::<bool>()) {
        let config = if escaped { escaping() } else { literal() };
        let text = written(&batch, config.clone());
        prop_assert_eq!(decode(&batch.schema(), config, &text).expect("decoded"), batch);
    }

    #[test]
    fn law_cuts_of_the_input_change_nothing(
        batch in values::batches(values::scalar_types()),
        escaped in any::<bool>(),
        size in 1_usize..200,
    ) {
        let config = if escaped { escaping() } else { literal() };
        let text = written(&batch, config.clone());
        let mut decoder = CsvDecoder::new(batch.schema(), config, Arc::default()).expect("decoder");
        for chunk in values::chunks(&decoder, text.as_bytes(), size) {
            decoder.decode(chunk).map_err(|bad| bad.error).expect("decoded");
        }
        prop_assert_eq!(decoder.finish().expect("batch"), batch);
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(prop::sample::select(&b"\"\"'\\,;|#ab1. \n\r\xff\xc3"[..]), 0..200),
        lenient in any::<bool>(),
        escaped in any::<bool>(),
    ) {
        let config = if escaped { escaping() } else { literal() };
        let config = CsvConfig { ignore_parse_errors: lenient, allow_comments: lenient, ..config };
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
        let schema = schema(&[("a", DataType::Utf8), ("b", list)]);
        let mut decoder = CsvDecoder::new(schema, config, Arc::default()).expect("decoder");
        prop_assert!(decoder.boundary(&bytes).is_none_or(|end| end <= bytes.len() && bytes[end - 1] == b'\n'));
        let read = decoder.decode(&bytes);
        if lenient {
            prop_assert!(read.is_ok());
            prop_assert!(decoder.finish().is_ok());
        }
    }

    #[test]
    fn law_cuts_of_any_bytes_change_nothing(
        bytes in prop::collection::vec(prop::sample::select(&b"\"'\\,;##1. \n\n\r\xff"[..]), 0..60),
        escaped in any::<bool>(),
        size in 1_usize..20,
    ) {
        let config = if escaped { escaping() } else { literal() };
        let config = CsvConfig { ignore_parse_errors: true, allow_comments: true, ..config };
        let (whole, cut) = whole_and_cut(&config, &bytes);
        prop_assert_eq!(&cut, &whole);
        let mut decoder = CsvDecoder::new(whole.schema(), config, Arc::default()).expect("decoder");
        for chunk in values::chunks(&decoder, &bytes, size) {
            decoder.decode(chunk).map_err(|bad| bad.error).expect("faults are ignored");
        }
        prop_assert_eq!(decoder.finish().expect("batch"), whole);
    }
}
