//! What people see of a job while it runs, on the error output: a line that is written over on a terminal, and elsewhere
//! one every few seconds. A job that is soon over shows nothing.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use headwater_batch::{Progress, Table};
use headwater_change::{Clock, SystemClock};

/// How often a line comes on a terminal, and elsewhere.
const TERMINAL: Duration = Duration::from_millis(500);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// Shows the progress until it is dropped.
pub(crate) struct Shown {
    ended: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shown {
    pub(crate) fn begin(progress: Progress) -> Self {
        let (ended, end) = channel::<()>();
        let terminal = std::io::stderr().is_terminal();
        let work = move || {
            let begun = SystemClock.ticks();
            let every = if terminal { TERMINAL } else { ELSEWHERE };
            let mut written = false;
            while end.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let text = line(&progress.tables(), SystemClock.ticks() - begun);
                let mut out = std::io::stderr().lock();
                let _ = if terminal { write!(out, "\r\x1b[K{text}") } else { writeln!(out, "{text}") };
                let _ = out.flush();
                written = true;
            }
            if terminal && written {
                eprint!("\r\x1b[K");
            }
        };
        // Without a thread there is nothing to see, and nothing else is missing.
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(work).ok();
        Self { ended: Some(ended), thread }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.ended = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The table that is read last, and how far it is: rows, rows a second, and about the time that is left.
fn line(tables: &[std::sync::Arc<Table>], millis: i64) -> String {
    let Some(table) = tables.iter().find(|table| table.share().is_none_or(|share| share < 1.0)).or(tables.last())
    else {
        return "waiting for the first rows".to_owned();
    };
    let (rows, seconds) = (table.rows(), (millis as f64 / 1_000.0).max(0.001));
    let mut text =
        format!("reading {}: {} rows, {} a second", table.name, short(rows as f64), short(rows as f64 / seconds));
    if let Some(why) = table.held() {
        let _ = write!(text, ", {why}");
    }
    if let Some(share) = table.share() {
        let _ = write!(text, ", {:.0} %", share * 100.0);
        if share > 0.0 && share < 1.0 {
            let _ = write!(text, ", about {:.0} s left", seconds * (1.0 - share) / share);
        }
    }
    text
}

/// A number in three digits, about.
fn short(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.2} billion", n / 1e9),
        n if n >= 1e6 => format!("{:.2} million", n / 1e6),
        n if n >= 1e4 => format!("{:.0},{:03.0}", (n / 1e3).floor(), n % 1e3),
        n => format!("{n:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> = [0.0, 999.4, 12_034.0, 1_234_567.0, 2e9].into_iter().map(short).collect();
        assert_eq!(shown, ["0", "999", "12,034", "1.23 million", "2.00 billion"]);
    }

    #[test]
    fn nothing_read_is_said_so() {
        assert_eq!(line(&[], 10), "waiting for the first rows");
    }
}
