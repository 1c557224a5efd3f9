//! Where claims go on reading. While somebody holds an old snapshot, the server cannot remove the index entries of jobs
//! that are gone, and every claim from the front reads them all again; with a cursor per priority it does not.
//!
//! Jobs that come up behind a cursor (commits out of order, retries, promoted ones) are found by scans from the front,
//! which are made as often as they are cheap.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Priorities that are remembered; the ranges of others are read from their front.
const LEVELS: usize = 16;

/// A scan from the front may take this share of the time.
const SHARE: u32 = 20;

/// The cursors of one queue.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    /// Behind which id each priority is read.
    after: BTreeMap<i16, u64>,
    /// What the last scan from the front took.
    cost: Duration,
    /// Time since then.
    since: Duration,
}

/// How a claim reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Behind the cursors.
    Onward,
    /// From the front.
    Front,
}

impl Cursors {
    /// Time passes.
    pub(crate) fn elapse(&mut self, time: Duration) {
        self.since = self.since.saturating_add(time);
    }

    /// How the next claim reads: from the front once a second, if that is cheap.
    pub(crate) fn next(&self) -> Scan {
        let due = self.since >= Duration::from_secs(1).max(self.cost.saturating_mul(SHARE));
        if self.after.is_empty() || due { Scan::Front } else { Scan::Onward }
    }

    /// Whether a claim that found too little may look from the front at once.
    pub(crate) fn may_look_back(&self) -> bool {
        self.since >= self.cost.saturating_mul(SHARE)
    }

    /// A scan was made and brought these jobs.
    pub(crate) fn scanned(&mut self, scan: Scan, took: Duration, jobs: impl Iterator<Item = (i16, u64)>) {
        if scan == Scan::Front {
            self.after.clear();
            self.cost = took;
            self.since = Duration::ZERO;
        }
        for (priority, id) in jobs {
            let cursor = self.after.entry(priority).or_insert(id);
            *cursor = id.max(*cursor);
        }
        while self.after.len() > LEVELS {
            self.after.pop_last();
        }
    }

    /// A condition on `priority` and `id` in ranges that follow each other in the index.
    pub(crate) fn condition(&self, scan: Scan) -> String {
        if scan == Scan::Front || self.after.is_empty() {
            return String::new();
        }
        let mut text = String::from(" AND (");
        let mut below: Option<i16> = None;
        for (priority, id) in &self.after {
            // Writing to a String cannot fail.
            let _ = match below {
                None => write!(text, "priority < {priority}"),
                Some(below) => write!(text, " OR (priority > {below} AND priority < {priority})"),
            };
            let _ = write!(text, " OR (priority = {priority} AND id > {id})");
            below = Some(*priority);
        }
        let _ = write!(text, " OR priority > {})", below.unwrap_or(i16::MAX));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_each_other() {
        let mut cursors = Cursors::default();
        assert_eq!((cursors.next(), cursors.condition(Scan::Onward)), (Scan::Front, String::new()));
        cursors.scanned(Scan::Front, Duration::from_millis(1), [(5, 70), (0, 9), (0, 3)].into_iter());
        assert_eq!(cursors.next(), Scan::Onward);
        assert_eq!(
            cursors.condition(Scan::Onward),
            " AND (priority < 0 OR (priority = 0 AND id > 9) OR (priority > 0 AND priority < 5) \
             OR (priority = 5 AND id > 70) OR priority > 5)"
        );
    }

    #[test]
    fn scans_from_the_front_come_once_a_second_unless_they_are_dear() {
        let mut cursors = Cursors::default();
        cursors.scanned(Scan::Front, Duration::from_millis(200), [(0, 1)].into_iter());
        cursors.elapse(Duration::from_secs(2));
        assert_eq!((cursors.next(), cursors.may_look_back()), (Scan::Onward, false));
        cursors.elapse(Duration::from_secs(2));
        assert_eq!((cursors.next(), cursors.may_look_back()), (Scan::Front, true));
        cursors.scanned(Scan::Front, Duration::from_micros(300), [(0, 1)].into_iter());
        cursors.elapse(Duration::from_millis(7));
        assert_eq!((cursors.next(), cursors.may_look_back()), (Scan::Onward, true));
    }

    proptest::proptest! {
        /// The condition leaves out exactly what lies at or before the cursor of its priority.
        #[test]
        fn nothing_but_the_past_is_left_out(seen in proptest::collection::vec((-3i16..4, 1u64..50), 0..30),
                                            priority in -4i16..5, id in 1u64..60) {
            let mut cursors = Cursors::default();
            cursors.scanned(Scan::Front, Duration::ZERO, seen.iter().copied());
            let past = seen.iter().any(|(p, i)| *p == priority && *i >= id);
            proptest::prop_assert_eq!(holds(&cursors.condition(Scan::Onward), priority, id), !past);
        }
    }

    /// Evaluates the conditions that are made above.
    fn holds(condition: &str, priority: i16, id: u64) -> bool {
        let Some(inner) = condition.strip_prefix(" AND (") else { return true };
        inner[..inner.len() - 1].split(" OR ").any(|part| {
            part.trim_matches(['(', ')']).split(" AND ").all(|test| {
                let mut words = test.split(' ');
                let left = if words.next() == Some("id") { i128::from(id) } else { i128::from(priority) };
                let operator = words.next().expect("an operator");
                let right: i128 = words.next().expect("a number").parse().expect("a number");
                match operator {
                    "<" => left < right,
                    ">" => left > right,
                    _ => left == right,
                }
            })
        })
    }
}
