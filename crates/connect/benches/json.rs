//! Decoding clicks: our decoder into Arrow columns against sonic-rs into borrowed structs, on the same lines.
//!
//! `CLICKS=<file of lines> cargo bench -p headwater-connect` takes the lines of a file, otherwise lines like them are made
//! up. The rate is rows a second on one core; reading the file is not part of it.

#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use headwater_connect::json::{JsonConfig, JsonDecoder};
use headwater_connect::lines::Decode;
use serde::Deserialize;

const CHUNK_BYTES: usize = 1 << 20;
const ROWS: u32 = 500_000;

#[derive(Deserialize)]
struct Click<'a> {
    page: &'a str,
    timestamp: &'a str,
}

#[derive(Deserialize)]
struct WholeClick<'a> {
    user_id: i64,
    page: &'a str,
    timestamp: &'a str,
}

fn lines() -> Vec<u8> {
    if let Some(path) = std::env::var_os("CLICKS") {
        let mut bytes = std::fs::read(path).expect("the file of CLICKS can be read");
        let end = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(ROWS as usize - 1);
        let end = end.map_or(bytes.len(), |(at, _)| at + 1);
        bytes.truncate(end);
        return bytes;
    }
    let line = |n: u32| {
        let (minute, second) = (n / 60_000 % 60, n / 1000 % 60);
        let (user, page) = (1000 + n.wrapping_mul(2_654_435_761) % 4000, n.wrapping_mul(40_503) % 1000);
        format!(
            "{{\"user_id\": {user}, \"page\": \"/products/{page}\", \"timestamp\": \"2024-04-25 10:{minute:02}:{second:02}\"}}\n"
        )
    };
    (0..ROWS).map(line).collect::<String>().into_bytes()
}

fn schema(all: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("page", DataType::Utf8, true),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ];
    if all {
        fields.insert(0, Field::new("user_id", DataType::Int64, true));
    }
    Arc::new(Schema::new(fields))
}

/// As the reader does: chunks of whole lines, a batch each.
fn decode(decoder: &mut JsonDecoder, mut rest: &[u8]) -> usize {
    let mut rows = 0;
    while !rest.is_empty() {
        let window = rest.get(..CHUNK_BYTES).unwrap_or(rest);
        let (chunk, behind) = rest.split_at(decoder.boundary(window).unwrap_or(rest.len()));
        decoder.decode(chunk).map_err(|bad| bad.error).expect("clicks are valid");
        rows += black_box(decoder.finish().expect("clicks make a batch")).num_rows();
        rest = behind;
    }
    rows
}

fn clicks(criterion: &mut Criterion) {
    let bytes = lines();
    let rows = bytes.iter().filter(|byte| **byte == b'\n').count();
    let mut group = criterion.benchmark_group("clicks");
    group.throughput(Throughput::Elements(rows as u64)).sample_size(20);
    for (name, all) in [("headwater: page and timestamp", false), ("headwater: all columns", true)] {
        let mut decoder =
            JsonDecoder::new(schema(all), JsonConfig::default(), Arc::default()).expect("the schema is known");
        group.bench_function(name, |bencher| bencher.iter(|| decode(&mut decoder, &bytes)));
    }
    let text = std::str::from_utf8(&bytes).expect("clicks are UTF-8");
    group.bench_function("sonic-rs: page and timestamp", |bencher| {
        bencher.iter(|| {
            let click = |line| sonic_rs::from_str::<Click<'_>>(line).expect("clicks are valid");
            text.lines().map(click).map(|click| click.page.len() + click.timestamp.len()).sum::<usize>()
        });
    });
    group.bench_function("sonic-rs: all columns", |bencher| {
        bencher.iter(|| {
            let click = |line| sonic_rs::from_str::<WholeClick<'_>>(line).expect("clicks are valid");
            let sum =
                |click: WholeClick<'_>| click.page.len() + click.timestamp.len() + usize::from(click.user_id == 0);
            text.lines().map(click).map(sum).sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, clicks);
criterion_main!(benches);
