use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use arrow::array::{Int64Array, RecordBatch, StringArray};
use headwater_change::{ChangeBatch, Epoch, Op, Options, Owner, Sink, TableId, TableRequest};

use super::{OPTIONS, PrintSink};

fn request(options: &[(&'static str, &'static str)]) -> TableRequest {
    TableRequest {
        table: TableId::bare("t"),
        schema: rows().schema(),
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        conditions: vec![],
        first: None,
        options: Options::check("print", OPTIONS, options.iter().copied()).expect("options"),
        threads: 1,
    }
}

fn rows() -> RecordBatch {
    RecordBatch::try_from_iter([
        ("country", Arc::new(StringArray::from(vec![Some("DE"), Some("DE"), None])) as _),
        ("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as _),
    ])
    .expect("batch")
}

fn changes() -> ChangeBatch {
    ChangeBatch::new(TableId::bare("t"), rows(), vec![Op::UpdateBefore, Op::UpdateAfter, Op::Insert]).expect("batch")
}

#[test]
fn changes_are_printed_as_flink_prints_them() {
    let output = Arc::new(Mutex::new(Vec::new()));
    let sink = PrintSink::new(&request(&[]), Arc::clone(&output) as _);
    sink.open(&Owner::new(false), Epoch(0)).expect("open").write(&changes()).expect("write");
    let text = String::from_utf8(output.lock().expect("lock").clone()).expect("text");
    assert_eq!(text, "-U[DE, 1]\n+U[DE, 2]\n+I[null, 3]\n");
}

#[test]
fn the_identifier_stands_in_front_of_every_line() {
    let output = Arc::new(Mutex::new(Vec::new()));
    let sink = PrintSink::new(&request(&[("print-identifier", "out")]), Arc::clone(&output) as _);
    sink.open(&Owner::new(false), Epoch(0)).expect("open").write(&changes()).expect("write");
    let text = String::from_utf8(output.lock().expect("lock").clone()).expect("text");
    assert!(text.lines().count() == 3 && text.lines().all(|line| line.starts_with("out> ")), "{text}");
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_output_is_an_error_with_a_code() {
    let sink = PrintSink::new(&request(&[]), Arc::new(Mutex::new(Closed)));
    let error = sink.open(&Owner::new(false), Epoch(0)).expect("open").write(&changes()).expect_err("closed");
    assert_eq!(error.code(), "print.write");
}
