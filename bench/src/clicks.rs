//! `clicks`: JSON lines of clicks, counted per page in windows of ten seconds, into a sink that drops everything.
//!
//! The limit: the same file read and parsed into a borrowed struct by sonic-rs on one core, with no aggregation. A tenth
//! of the clicks is up to five seconds out of order, a thousandth is late; a thousand pages, Zipf distributed.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::measure::{Cost, children_memory_mib, code, median, program};

const PAGES: usize = 1_000;
const CLICKS_PER_SECOND: u64 = 1_000;
/// 2024-04-25 10:00:00 UTC is 36,000 seconds into its day; the generator stays within that day and the next.
const BEGIN_SECOND: u64 = 36_000;

const SQL: &str = "
CREATE TABLE clicks (user_id BIGINT, page STRING, `timestamp` TIMESTAMP(3),
  WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '5' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${CLICKS}', 'format' = 'json');
CREATE TABLE nothing (page STRING, ws TIMESTAMP(3), n_views BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT page, window_start, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(`timestamp`), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, page;";

/// Runs the scenario.
pub(crate) fn run(headwater: &Path, data: &Path, rows: u64, runs: usize) -> Result<Value, Box<dyn Error>> {
    let input = data.join(format!("clicks-{rows}.json"));
    if !input.exists() {
        generate(&input, rows)?;
    }
    let bytes = std::fs::metadata(&input)?.len();
    let (mut limits, mut ones, mut alls) = (Vec::new(), Vec::new(), Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for run in 0..=runs {
        // Taken in turns, so that a noisy neighbour hits all of them; the first turn only warms the page cache.
        let limit = code(|| parse_only(&input, rows))?;
        let one = program(&mut count(headwater, &input, 1))?;
        let all = program(&mut count(headwater, &input, cores))?;
        if run > 0 {
            limits.push(limit);
            ones.push(one);
            alls.push(all);
        }
    }
    let memory_mib = children_memory_mib()?;
    let figures = |cost: Cost| {
        json!({
            "rows_per_second": (rows as f64 / cost.wall_seconds).round(),
            "rows_per_cpu_second": (rows as f64 / cost.cpu_seconds).round(),
            "wall_seconds": cost.wall_seconds,
            "cpu_seconds": cost.cpu_seconds,
        })
    };
    let (limit, one, all) = (median(&limits), median(&ones), median(&alls));
    Ok(json!({
        "scenario": "clicks", "rows": rows, "bytes": bytes, "runs": runs,
        "limit_parse_only_one_core": figures(limit),
        "headwater_parallelism_1": figures(one),
        format!("headwater_parallelism_{cores}"): figures(all),
        "rows_per_cpu_second_to_limit": limit.cpu_seconds / one.cpu_seconds,
        "resident_mib_max": memory_mib,
    }))
}

fn count(headwater: &Path, input: &Path, parallelism: usize) -> Command {
    let mut command = Command::new(headwater);
    command.args(["sql", "-e", SQL, "--parallelism", &parallelism.to_string()]);
    command.arg("-D").arg(format!("CLICKS={}", input.display()));
    command
}

#[derive(Deserialize)]
struct Click<'a> {
    user_id: u64,
    page: &'a str,
    timestamp: &'a str,
}

/// The limit: read in pieces, cut at newlines, parse each line, keep nothing.
fn parse_only(input: &PathBuf, rows: u64) -> Result<(), Box<dyn Error>> {
    let mut file = File::open(input)?;
    let mut buffer = vec![0; 1 << 20];
    let (mut filled, mut parsed, mut sum) = (0, 0, 0u64);
    loop {
        let free = buffer.get_mut(filled..).ok_or("a line is longer than the buffer")?;
        let read = file.read(free)?;
        if read == 0 {
            break;
        }
        filled += read;
        let whole = buffer.get(..filled).and_then(|bytes| memchr::memrchr(b'\n', bytes)).map_or(0, |at| at + 1);
        let lines = buffer.get(..whole).unwrap_or_default();
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', lines) {
            let click: Click<'_> = sonic_rs::from_slice(lines.get(begin..end).unwrap_or_default())?;
            sum = sum.wrapping_add(click.user_id + click.page.len() as u64 + click.timestamp.len() as u64);
            parsed += 1;
            begin = end + 1;
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
    std::hint::black_box(sum);
    if parsed == rows { Ok(()) } else { Err(format!("{parsed} of {rows} lines parsed").into()) }
}

fn generate(path: &Path, rows: u64) -> Result<(), Box<dyn Error>> {
    let partial = path.with_extension("partial");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
    let mut dice = SmallRng::seed_from_u64(42);
    let table = zipf();
    for row in 0..rows {
        let mut second = BEGIN_SECOND + row / CLICKS_PER_SECOND;
        let luck: f64 = dice.random();
        if luck < 0.001 {
            second = second.saturating_sub(dice.random_range(30..=90)).max(BEGIN_SECOND);
        } else if luck < 0.101 {
            second = second.saturating_sub(dice.random_range(1..=5)).max(BEGIN_SECOND);
        }
        let page = table.get(dice.random_range(0..table.len())).copied().unwrap_or(1);
        let (day, second) = (25 + second / 86_400, second % 86_400);
        writeln!(
            out,
            "{{\"user_id\": {}, \"page\": \"/products/{page}\", \"timestamp\": \"2024-04-{day} {:02}:{:02}:{:02}\"}}",
            dice.random_range(1..=5_000),
            second / 3_600,
            second / 60 % 60,
            second % 60
        )?;
    }
    out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    std::fs::rename(partial, path)?;
    Ok(())
}

/// Page numbers so often as Zipf's law says, for drawing by a uniform index.
fn zipf() -> Vec<usize> {
    let total: f64 = (1..=PAGES).map(|rank| 1.0 / rank as f64).sum();
    let slots = 1 << 16;
    let mut table = Vec::with_capacity(slots);
    let mut reached = 0.0;
    for rank in 1..=PAGES {
        reached += 1.0 / rank as f64 / total;
        while (table.len() as f64) < reached * slots as f64 && table.len() < slots {
            table.push(rank);
        }
    }
    table
}
