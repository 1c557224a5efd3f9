//! Answers for people and for programs.
//!
//! Texts of jobs are somebody else's: what a terminal would obey is not printed as it is.

use std::io::{IsTerminal, Write};

use headwater_change::{Error, Result};
use headwater_jobs::maintain::Known;
use headwater_jobs::operate::{Change, Details, Enqueued, Event, EventKind, Listing, Row, Stats, Worker};
use headwater_server::print_listing;
use serde::Serialize;

use crate::jobs::arguments::Output;
use crate::schedule::ShownRun;

/// Characters of a text in a table.
const CELL: usize = 60;

/// Prints to standard output.
pub(crate) fn text(text: &str) -> Result<()> {
    write(text.as_bytes())
}

fn write(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| {
        let code = if error.kind() == std::io::ErrorKind::BrokenPipe { "output.closed" } else { "output.write" };
        Error::remote(code, "standard output takes no more").caused_by(error)
    })
}

/// Prints answers in one of the forms.
#[derive(Clone, Copy)]
pub(crate) struct Printer {
    output: Output,
}

impl Printer {
    pub(crate) fn new(output: Output) -> Self {
        Self { output }
    }

    fn json(self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value)
            .map_err(|error| Error::bug("output.json", "the answer cannot be written as JSON").caused_by(error))?;
        line.push(b'\n');
        write(&line)
    }

    pub(crate) fn jobs(self, listing: &Listing) -> Result<()> {
        if listing.cut {
            eprintln!("note: the search ended after 100000 jobs; name a queue or a status to look elsewhere");
        }
        if self.output == Output::Json {
            return listing.jobs.iter().try_for_each(|job| self.json(job));
        }
        let names = ["id", "queue", "type", "priority", "status", "run_at", "retries", "said"];
        let rows: Vec<Vec<String>> = listing.jobs.iter().map(cells).collect();
        print_listing(&names, &rows)
    }

    pub(crate) fn details(self, details: &Details) -> Result<()> {
        if self.output == Output::Json {
            return self.json(details);
        }
        let mut rows: Vec<(String, String)> = vec![("id".into(), details.id.to_string())];
        // The columns are those of the JSON form.
        let inner = match (&details.job, &details.done) {
            (Some(job), _) => serde_json::to_value(job),
            (None, done) => serde_json::to_value(done),
        };
        if let Ok(serde_json::Value::Object(columns)) = inner {
            let shown = columns.into_iter().filter(|(name, value)| name != "id" && !value.is_null());
            rows.extend(shown.map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name, text)
            }));
        }
        rows.push(("payload".into(), details.payload.clone()));
        rows.extend(details.traceparent.clone().map(|text| ("traceparent".into(), text)));
        rows.extend(details.worker.as_ref().map(|worker| ("worker".into(), worker_text(worker))));
        if let Some(batch) = &details.batch {
            let end = batch.finished_at.as_deref().map_or("open".to_owned(), |at| format!("finished {at}"));
            rows.push(("batch".into(), format!("{} '{}', {end}", batch.id, batch.name)));
        }
        for (name, links) in [("depends on", &details.depends_on), ("waited for by", &details.dependents)] {
            let links: Vec<String> = links
                .iter()
                .map(|link| format!("{} ({})", link.id, link.status.as_deref().unwrap_or("not in jobs any more")))
                .collect();
            if !links.is_empty() {
                rows.push((name.into(), links.join(", ")));
            }
        }
        rows.extend(details.attempts.iter().map(|attempt| {
            let text = format!("{} by worker {}: {}", attempt.failed_at, attempt.worker_id, attempt.error_message);
            (format!("attempt {}", attempt.attempt), text)
        }));
        let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, text)| vec![name, visible(&text)]).collect();
        let mut out = String::new();
        let width = rows.iter().filter_map(|row| row.first()).map(String::len).max().unwrap_or(0);
        for row in &rows {
            if let [name, text] = row.as_slice() {
                out.push_str(&format!("{name:width$}  {text}\n"));
            }
        }
        write(out.as_bytes())
    }

    pub(crate) fn changes<T: Serialize>(self, changes: &[Change<T>]) -> Result<()> {
        if self.output == Output::Json {
            return changes.iter().try_for_each(|change| self.json(change));
        }
        let word = |outcome: &T| match serde_json::to_value(outcome) {
            Ok(serde_json::Value::String(word)) => word.replace('_', " "),
            _ => String::new(),
        };
        let rows: Vec<Vec<String>> =
            changes.iter().map(|change| vec![change.id.to_string(), word(&change.outcome)]).collect();
        print_listing(&["id", "outcome"], &rows)
    }

    pub(crate) fn number(self, name: &str, count: u64) -> Result<()> {
        match self.output {
            Output::Json => self.json(&serde_json::json!({ name: count })),
            Output::Table => text(&format!("{count} {name}\n")),
        }
    }

    pub(crate) fn enqueued(self, done: Enqueued) -> Result<()> {
        match self.output {
            Output::Json => self.json(&done),
            Output::Table if done.duplicates == 0 => text(&format!("{} enqueued\n", done.enqueued)),
            Output::Table => text(&format!(
                "{} enqueued, {} left out: their unique key was there already\n",
                done.enqueued, done.duplicates
            )),
        }
    }

    pub(crate) fn paused(self, queue: &str, paused: bool, changed: bool) -> Result<()> {
        if self.output == Output::Json {
            return self.json(&serde_json::json!({ "queue": queue, "paused": paused, "changed": changed }));
        }
        let word = match (paused, changed) {
            (true, true) => "paused",
            (true, false) => "was paused before",
            (false, true) => "resumed",
            (false, false) => "was not paused",
        };
        text(&format!("{} {word}\n", visible(queue)))
    }

    pub(crate) fn stats(self, stats: &Stats) -> Result<()> {
        for warning in stats.warnings() {
            eprintln!("warning: {warning}");
        }
        if self.output == Output::Json {
            stats.queues.iter().try_for_each(|queue| self.json(queue))?;
            return self.json(&serde_json::json!({
                "workers": {
                    "alive": stats.workers_alive, "stopping": stats.workers_stopping, "lost": stats.workers_lost
                },
                "server": stats.server,
            }));
        }
        let names = ["queue", "due", "later", "running", "parked", "waiting", "dead", "oldest due", ""];
        let rows: Vec<Vec<String>> = stats
            .queues
            .iter()
            .map(|queue| {
                let counts = [queue.due, queue.later, queue.running, queue.parked, queue.waiting, queue.dead];
                let mut row = vec![short(&queue.queue)];
                row.extend(counts.iter().map(ToString::to_string));
                row.push(queue.oldest_due.map(|seconds| format!("{seconds:.1} s")).unwrap_or_default());
                row.push(if queue.paused { "paused".to_owned() } else { String::new() });
                row
            })
            .collect();
        print_listing(&names, &rows)?;
        let known =
            |fact: Option<u64>, unit: &str| fact.map_or("unknown (needs PROCESS)".to_owned(), |n| format!("{n}{unit}"));
        text(&format!(
            "workers: {} alive, {} of them stopping, {} lost\noldest open transaction: {}\ntransactions not purged: {}\n",
            stats.workers_alive,
            stats.workers_stopping,
            stats.workers_lost,
            known(stats.server.oldest_transaction, " s"),
            known(stats.server.history_length, "")
        ))
    }

    pub(crate) fn schedules(self, known: &[Known]) -> Result<()> {
        if self.output == Output::Json {
            return known.iter().try_for_each(|known| self.json(known));
        }
        let rows: Vec<Vec<String>> = known.iter().map(schedule_cells).collect();
        print_listing(SCHEDULE_COLUMNS, &rows)
    }

    pub(crate) fn runs(self, runs: &[ShownRun]) -> Result<()> {
        if self.output == Output::Json {
            return runs.iter().try_for_each(|run| self.json(run));
        }
        let cells = |run: &ShownRun| {
            vec![
                run.id.to_string(),
                short(&run.schedule),
                run.start.clone(),
                run.end.clone(),
                run.status.clone(),
                run.failures.to_string(),
                run.started_at.clone().unwrap_or_default(),
                run.seconds.map(|seconds| format!("{seconds:.1} s")).unwrap_or_default(),
                short(run.error.as_deref().unwrap_or_default().trim()),
            ]
        };
        let names = ["id", "schedule", "from", "to", "status", "failures", "started (UTC)", "took", "said"];
        print_listing(&names, &runs.iter().map(cells).collect::<Vec<_>>())
    }

    pub(crate) fn event(self, event: &Event) -> Result<()> {
        if self.output == Output::Json {
            return self.json(event);
        }
        let (word, colour) = match event.event {
            EventKind::Failed => ("failed", "33"),
            EventKind::Dead => ("dead", "31"),
            EventKind::Completed => ("completed", "32"),
            EventKind::Cancelled => ("cancelled", "36"),
        };
        let word = match std::io::stdout().is_terminal() {
            true => format!("\x1b[{colour}m{word:9}\x1b[0m"),
            false => format!("{word:9}"),
        };
        let place = match (&event.queue, &event.job_type) {
            (Some(queue), Some(job_type)) => format!(" {}/{}", visible(queue), visible(job_type)),
            _ => String::new(),
        };
        let took = event.seconds.map(|seconds| format!(" after {seconds:.3} s")).unwrap_or_default();
        let said = event.error_message.as_deref().map(|said| format!(": {}", visible(said))).unwrap_or_default();
        text(&format!("{} {word} {}{place}{took}{said}\n", event.at, event.id))
    }
}

fn worker_text(worker: &Worker) -> String {
    let lease = match worker.lease_left {
        left if left < 0.0 => format!("its lease is over since {:.0} s: the job will be taken from it", -left),
        left => format!("lease for {left:.0} s more"),
    };
    format!("{} ({}, {}), {lease}", worker.id, worker.name, worker.state)
}

/// Columns of a list of schedules.
pub(crate) const SCHEDULE_COLUMNS: &[&str] =
    &["name", "cron", "time zone", "catch up", "next (UTC)", "last (UTC)", "said"];

/// A schedule as a line of the table.
pub(crate) fn schedule_cells(known: &Known) -> Vec<String> {
    let next = if known.enabled { known.next_at.clone().unwrap_or_default() } else { "paused".to_owned() };
    vec![
        short(&known.name),
        known.cron.clone(),
        known.time_zone.clone(),
        known.catch_up.to_lowercase(),
        next,
        known.last_at.clone().unwrap_or_default(),
        short(known.last_error_message.as_deref().unwrap_or_default()),
    ]
}

/// A job as a line of the table.
fn cells(job: &Row) -> Vec<String> {
    let status = if job.later { format!("{} later", job.status.name()) } else { job.status.name().to_owned() };
    let retries = match job.max_retries {
        Some(most) => format!("{}/{most}", job.retry_count),
        None => job.retry_count.to_string(),
    };
    let progress = job.progress.map(|percent| format!("{percent}% {}", job.progress_message.as_deref().unwrap_or("")));
    let said = progress.or_else(|| job.last_error_message.clone()).unwrap_or_default();
    let run_at = job.run_at.get(..19).unwrap_or(&job.run_at).replace('T', " ");
    vec![
        job.id.to_string(),
        short(&job.queue),
        short(&job.job_type),
        job.priority.to_string(),
        status,
        run_at,
        retries,
        short(said.trim()),
    ]
}

fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn short(text: &str) -> String {
    let text = visible(text);
    match text.char_indices().nth(CELL) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(&text)),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{short, visible};

    #[test]
    fn texts_of_jobs_cannot_steer_a_terminal() {
        assert_eq!(visible("a\x1b[31mb\r\nc"), "a [31mb  c");
        assert_eq!(short(&"ü".repeat(61)), format!("{}…", "ü".repeat(60)));
        assert_eq!(short(&"ü".repeat(60)), "ü".repeat(60));
    }
}
