//! Many jobs from lines of JSON.
//!
//! A line is checked as a whole before anything of its batch is sent: the bulk INSERT may have to ignore duplicate keys,
//! and with that the server would also shorten texts that are too long without a word.

use std::io::BufRead;
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use headwater_change::{Error, Place, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::job::NewJob;
use crate::operate::read::{column, first};
use crate::queue::Queue;

/// Lines of one transaction.
const BATCH_LINES: usize = 2_000;

/// Bytes of one transaction, unless one line alone is longer. Small enough for any `max_allowed_packet`.
const BATCH_BYTES: usize = 4 << 20;

/// The longest delay, in seconds: what is later is beyond what TIMESTAMP holds soon enough.
const LONGEST: f64 = 400_000_000.0;

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Enqueued {
    /// Jobs that are in the queue now.
    pub enqueued: u64,
    /// Lines whose unique key was there already.
    pub duplicates: u64,
}

/// A line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    job_type: String,
    #[serde(borrow)]
    payload: &'a RawValue,
    queue: Option<String>,
    priority: Option<i16>,
    /// RFC 3339, with an offset.
    run_at: Option<String>,
    /// Seconds.
    delay: Option<f64>,
    max_retries: Option<u32>,
    unique_key: Option<String>,
    limit_key: Option<String>,
    batch_id: Option<u64>,
    traceparent: Option<String>,
}

/// A job, and the moment of its line where it has one.
struct Parsed {
    job: NewJob,
    run_at: Option<DateTime<FixedOffset>>,
}

/// Enqueues a job for each line: `{"job_type": "…", "payload": …}` and, where they are wanted, `queue`, `priority`,
/// `run_at` (RFC 3339) or `delay` (seconds), `max_retries`, `unique_key`, `limit_key`, `batch_id`, `traceparent`. Empty
/// lines are passed over. Transactions hold up to 2,000 lines. Reading blocks the thread; `name` is what errors call
/// the source.
///
/// # Errors
/// `jobs.line`: a line cannot be a job, or cannot be read. `jobs.enqueue`: the server refused lines. Batches before the
/// failed one stay enqueued; the error names the lines.
pub async fn enqueue_lines(queue: &Queue, mut lines: impl BufRead, name: &str) -> Result<Enqueued> {
    let mut done = Enqueued::default();
    let (mut number, mut before) = (0, 0);
    let mut batch: Vec<Parsed> = Vec::new();
    let (mut bytes, mut text) = (0, String::new());
    loop {
        text.clear();
        let read = lines.read_line(&mut text).map_err(|error| {
            Error::usage("jobs.line", "the line cannot be read").detail(error.to_string()).caused_by(error)
        });
        let parsed = read.and_then(|read| match text.trim() {
            "" => Ok((read, None)),
            line => parse(line).map(|parsed| (read, Some(parsed))),
        });
        let (read, parsed) = parsed.map_err(|error| place(error, name, number + 1, &done, before))?;
        if read == 0 {
            break;
        }
        number += 1;
        bytes += read;
        batch.extend(parsed);
        if batch.len() >= BATCH_LINES || bytes >= BATCH_BYTES {
            send(queue, std::mem::take(&mut batch), &mut done)
                .await
                .map_err(|error| place(error, name, before + 1, &done, before))?;
            (before, bytes) = (number, 0);
        }
    }
    send(queue, batch, &mut done).await.map_err(|error| place(error, name, before + 1, &done, before))?;
    Ok(done)
}

/// Says at which line it happened and what stays.
fn place(error: Error, name: &str, line: u64, done: &Enqueued, before: u64) -> Error {
    let detail = error.detail_text().map(|detail| format!("{detail}\n")).unwrap_or_default();
    let stays = match before {
        0 => "no line is enqueued".to_owned(),
        _ => format!(
            "lines 1 to {before} are enqueued ({} jobs), those from line {} on are not",
            done.enqueued,
            before + 1
        ),
    };
    error.detail(format!("{detail}{stays}")).at(Place::File { path: name.to_owned(), line })
}

async fn send(queue: &Queue, batch: Vec<Parsed>, done: &mut Enqueued) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let now = if batch.iter().any(|parsed| parsed.run_at.is_some()) { now(queue).await? } else { 0 };
    let lines = batch.len() as u64;
    let jobs: Vec<NewJob> = batch
        .into_iter()
        .map(|Parsed { job, run_at }| match run_at {
            Some(at) => job.delay(Duration::from_micros(u64::try_from(at.timestamp_micros() - now).unwrap_or(0))),
            None => job,
        })
        .collect();
    let enqueued = queue.enqueue_all(&jobs).await?;
    done.enqueued += enqueued;
    done.duplicates += lines.saturating_sub(enqueued);
    Ok(())
}

/// The server's clock, in microseconds.
async fn now(queue: &Queue) -> Result<i64> {
    let mut conn = queue.session().await?;
    let sql = "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED) AS now";
    let row = first(&mut conn, "tell the time", sql, ()).await?;
    queue.give_back(conn);
    row.map_or(Ok(0), |row| column(&row, "now"))
}

fn wrong(message: impl Into<String>) -> Error {
    Error::usage("jobs.line", message).hint(
        "a line is like {\"job_type\": \"SEND_WELCOME_EMAIL\", \"payload\": {\"user_id\": 7}}, with queue, priority, run_at \
         (2026-11-23T09:00:00Z) or delay (seconds), max_retries, unique_key, limit_key, batch_id, traceparent if wanted",
    )
}

fn parse(text: &str) -> Result<Parsed> {
    let line: Line<'_> =
        serde_json::from_str(text).map_err(|error| wrong("the line is not a job").detail(error.to_string()))?;
    let long = |name: &str, text: &str, longest: usize| match text.chars().count() {
        0 => Err(wrong(format!("{name} is empty"))),
        count if count > longest => Err(wrong(format!("{name} has {count} characters, {longest} are the most"))),
        _ => Ok(()),
    };
    long("job_type", &line.job_type, 100)?;
    let mut job = NewJob::new(line.job_type, &line.payload)?;
    if let Some(queue) = line.queue {
        long("queue", &queue, 64)?;
        job = job.queue(queue);
    }
    if let Some(key) = line.unique_key {
        long("unique_key", &key, 190)?;
        if !key.is_ascii() {
            return Err(wrong("unique_key holds more than ASCII"));
        }
        job = job.unique_key(key);
    }
    if let Some(key) = line.limit_key {
        long("limit_key", &key, 190)?;
        job = job.limit_key(key);
    }
    if let Some(traceparent) = line.traceparent {
        if traceparent.len() != 55 || !traceparent.is_ascii() {
            return Err(wrong("traceparent is not a W3C trace context of 55 characters"));
        }
        job = job.traceparent(traceparent);
    }
    if let Some(seconds) = line.delay {
        if !(0.0..=LONGEST).contains(&seconds) {
            return Err(wrong(format!("delay is not between 0 and {LONGEST} seconds")));
        }
        job = job.delay(Duration::from_secs_f64(seconds));
    }
    let run_at = line.run_at.map(|at| moment(&at)).transpose()?;
    if run_at.is_some() && line.delay.is_some() {
        return Err(wrong("the line has both run_at and delay"));
    }
    job = job.priority(line.priority.unwrap_or(0));
    if let Some(retries) = line.max_retries {
        job = job.max_retries(retries);
    }
    if let Some(batch) = line.batch_id {
        job = job.batch(batch);
    }
    Ok(Parsed { job, run_at })
}

fn moment(text: &str) -> Result<DateTime<FixedOffset>> {
    let at = DateTime::parse_from_rfc3339(text)
        .map_err(|error| wrong(format!("run_at is not a moment with an offset: {error}")))?;
    // TIMESTAMP ends there.
    if at.timestamp() >= i64::from(i32::MAX) {
        return Err(wrong("run_at is after 2038-01-19, where TIMESTAMP ends"));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_job_with_its_payload_untouched() {
        let line = r#"{"job_type":"MAIL","payload":{"b":12345678901234567890123,"a":1.0},"queue":"slow","priority":-5,
            "delay":1.5,"max_retries":0,"unique_key":"u","limit_key":"ü","batch_id":7}"#;
        let job = parse(line).expect("a job").job;
        assert_eq!(job.payload, r#"{"b":12345678901234567890123,"a":1.0}"#);
        assert_eq!((job.job_type.as_str(), job.queue.as_str(), job.priority), ("MAIL", "slow", -5));
        assert_eq!((job.delay, job.max_retries), (Duration::from_millis(1500), Some(0)));
        assert_eq!(
            (job.unique_key.as_deref(), job.limit_key.as_deref(), job.batch_id),
            (Some("u"), Some("ü"), Some(7))
        );
    }

    #[test]
    fn what_the_table_would_cut_or_refuse_is_refused_here() {
        let with = |more: &str| format!(r#"{{"job_type":"MAIL","payload":{{}},{more}}}"#);
        let long = "x".repeat(200);
        for (line, word) in [
            ("{}".to_owned(), "job_type"),
            (r#"{"job_type":"","payload":1}"#.to_owned(), "empty"),
            (format!(r#"{{"job_type":"{long}","payload":1}}"#), "200 characters"),
            (with(r#""prio":1"#), "prio"),
            (with(r#""priority":40000"#), "40000"),
            (with(r#""unique_key":"ü""#), "ASCII"),
            (with(&format!(r#""limit_key":"{long}""#)), "limit_key has 200"),
            (with(r#""delay":-1"#), "delay"),
            (with(r#""delay":1e300"#), "delay"),
            (with(r#""delay":1,"run_at":"2030-01-01T00:00:00Z""#), "both"),
            (with(r#""run_at":"2030-01-01 00:00""#), "offset"),
            (with(r#""run_at":"2040-01-01T00:00:00Z""#), "2038"),
            (with(r#""traceparent":"00-1""#), "traceparent"),
            (r#"{"job_type":"MAIL","payload":{"a":}}"#.to_owned(), "not a job"),
        ] {
            let error = parse(&line).err().unwrap_or_else(|| panic!("{line} was taken"));
            assert_eq!(error.code(), "jobs.line");
            assert!(format!("{error:?}").contains(word), "{line}: {error:?}");
        }
    }
}
