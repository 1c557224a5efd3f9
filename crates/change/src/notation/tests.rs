//! The notation's law over random batches, and its texts and errors by example.

mod random;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use proptest::prelude::*;

use super::*;
use crate::{ErrorKind, Op, Place, TableId};

fn table() -> TableId {
    TableId::bare("t")
}

fn read(text: &str) -> ChangeBatch {
    parse(table(), text).expect("valid notation")
}

fn refusal(text: &str) -> (u64, String) {
    let error = parse(table(), text).expect_err("refused");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Usage, "notation.parse"));
    match error.place() {
        Some(Place::File { line, .. }) => (*line, error.message().to_owned()),
        other => panic!("no line but {other:?}"),
    }
}

#[test]
fn a_batch_is_printed_as_an_aligned_table() {
    let text = "\
op | user_id Int64! | page Utf8     | ts Timestamp(ms)
+I |            101 | \"/products/1\" | 2024-04-25T10:00:01.000
-D |              7 | null          | null
";
    let batch = read(text);
    assert_eq!(batch.to_string(), text);
    assert_eq!(batch.ops().map(|ops| ops.to_vec()), Some(vec![Op::Insert, Op::Delete]));
    assert_eq!(batch.rows().column(0).as_primitive::<Int64Type>().values(), &[101, 7]);
    assert_eq!(
        batch.rows().column(2).as_primitive::<TimestampMillisecondType>().value(0),
        1_714_039_201_000,
        "milliseconds since 1970"
    );
    assert_eq!(print_row(batch.rows(), 1), "7 | null | null");
}

#[test]
fn every_kind_of_value_has_the_documented_text() {
    let cases = [
        ("Boolean", "true"),
        ("Float32", "-0.0"),
        ("Float64", "NaN"),
        ("Float64", "-Infinity"),
        ("Decimal128(10, 2)", "-0.05"),
        ("Decimal128(5, -2)", "7e2"),
        ("Utf8", r#""a\n\"b\"\\ \u0001 ü|""#),
        ("Binary", "x'0aff'"),
        ("Date32", "-0001-02-28"),
        ("Time32(s)", "10:00:01"),
        ("Time64(ns)", "-838:59:59.000000001"),
        ("Timestamp(s)", "12024-02-29T23:59:59"),
        ("Timestamp(us, UTC)", "1969-12-31T23:59:59.999999Z"),
        ("Timestamp(ns, \"+01:00\")", "2024-04-25T10:00:01.000000000Z"),
        ("Duration(ms)", "1500ms"),
        ("Interval(YearMonth)", "-14mo"),
        ("Interval(DayTime)", "2d -3ms"),
        ("Interval(MonthDayNano)", "1mo 2d 3ns"),
        ("List<Int64!>", "[1, 2]"),
        ("List<List<Utf8>>", r#"[["a", null], null, []]"#),
        ("Map<Time32(s), Int64>", "{10:00:01: 1, 10:00:02: null}"),
        ("Struct<a Int64, \"b c\" Utf8!>", r#"(1, "x")"#),
        ("Struct<>", "()"),
        ("Null", "null"),
    ];
    for (data_type, value) in cases {
        let batch = read(&format!("op|c {data_type}\n+I|{value}\n\n+I|null"));
        assert_eq!(print_value(batch.rows().column(0), 0), value, "{data_type}");
        assert_eq!(print_value(batch.rows().column(0), 1), "null", "{data_type}");
        assert_eq!(read(&print(&batch)), batch, "{data_type}");
        assert!(batch.ops().is_none(), "only inserts make an append-only batch");
    }
}

#[test]
fn shorter_fractions_are_filled_and_json_escapes_are_read() {
    let batch = read(
        "op | a Decimal128(5, 2) | t Timestamp(ms) | s Utf8\n-D | 1 | 2024-04-25T10:00:01.5 | \"\\ud83d\\ude00\\/\"",
    );
    assert_eq!(print_row(batch.rows(), 0), "1.00 | 2024-04-25T10:00:01.500 | \"😀/\"");
}

#[test]
fn rows_without_columns_are_counted() {
    let batch = read("op\n+I\n-D\n");
    assert_eq!((batch.len(), batch.op(1)), (2, Op::Delete));
    assert_eq!(print(&batch), "op\n+I\n-D\n");
}

#[test]
fn a_slice_prints_only_its_rows() {
    let batch = read("op | a Int64 | b List<Utf8>\n+I | 1 | [\"x\"]\n+I | 2 | [\"y\", null]\n+I | 3 | null");
    let slice = ChangeBatch::insert_only(table(), batch.rows().slice(1, 1));
    assert_eq!(print(&slice), "op | a Int64 | b List<Utf8>\n+I |       2 | [\"y\", null]\n");
}

#[test]
fn what_the_notation_does_not_know_is_still_printed() {
    let column: ArrayRef = Arc::new(StringViewArray::from(vec!["a\"b"]));
    let batch = ChangeBatch::insert_only(table(), RecordBatch::try_from_iter([("v", column)]).expect("one column"));
    let text = print(&batch);
    assert!(text.ends_with("+I | \"a\\\"b\"\n"), "{text}");
    assert_eq!(refusal(&text).0, 1, "and refused when it is read");
}

#[test]
fn errors_name_the_line_and_what_was_expected() {
    let message = |text: &str| refusal(text).1;
    assert_eq!(refusal("op | a Int8\n+I | 1\n\n+I | 128"), (4, "expected Int8, found '128'".into()));
    assert_eq!(refusal("\nop | a\n"), (2, "expected a type, found the end of the line".into()));
    assert_eq!(message("op | a Int8!\n+I | null"), "null in 'a', which is never null");
    assert_eq!(message("op | a Int8\n+X | 1"), "expected an op (+I, -U, +U or -D), found '+X'");
    assert_eq!(message("op | a Int8\n+I | 1 | 2"), "expected the end of the line, found '|'");
    assert_eq!(message("op | a Int8\n+I"), "expected '|', found the end of the line");
    assert_eq!(message("op | a Utf8\n+I | \"x"), "string without an end");
    assert_eq!(message("op | a Utf8\n+I | \"\\ud800\""), "bad escape in a string");
    assert_eq!(message("op | a Struct<x Int8>\n+I | ()"), "no value for the struct's field 'x'");
    assert_eq!(message("op | a Struct<x Int8>\n+I | (1, 2)"), "more values than the struct has fields");
    assert_eq!(message("op | a Date32\n+I | 2023-02-29"), "expected Date32, found '2023-02-29'");
    assert_eq!(message(&format!("op | a {}Int8", "List<".repeat(100_000))), "types nest deeper than 64 levels");
    assert_eq!(message(""), "no header");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn law_notation_round_trips(batch in random::any_batch()) {
        let text = print(&batch);
        let again = parse(table(), &text).map_err(|error| TestCaseError::fail(format!("{error:?}\n{text}")))?;
        prop_assert_eq!(&again, &batch, "{}", text);
        prop_assert_eq!(print(&again), text);
    }

    #[test]
    fn law_notation_never_panics(text in "(op \\| [a-zA-Z0-9(), <>!|\"]{0,30}\n)?[-+IUD|, \\[\\](){}:\"\\\\u0-9a-z'.é]{0,40}") {
        let _ = parse(table(), &text);
    }
}
