//! Where transactions begin and end, the place in the log behind each that ended, and what of one was taken back.
//!
//! The law: rows that were rolled back do not arrive. A server writes them to its log where a transaction made or dropped
//! a temporary table (MariaDB), and the ROLLBACK behind them. Then the transaction is read once to its end without
//! delivering, and again without those rows; one too large for a batch is read to its end first where it may end so.

use std::ops::Range;

use headwater_change::{ErrorKind, Result};
use mysql_async::binlog::events::Event;

use super::Log;
use super::event::{GTID, MARIADB_GTID, TAGGED_GTID};
use crate::position::{Gtids, LogPlace};

/// Flags of MariaDB's GTID events: a statement without an end of its own; nothing but transactional tables.
const STANDALONE: u8 = 1;
const TRANSACTIONAL: u8 = 2;

/// The transaction that is being read.
#[derive(Default)]
pub(super) struct Transaction {
    pub(super) gtid: Option<Gtid>,
    /// Whether it has a begin, so that only a commit ends it.
    pub(super) begun: bool,
    /// Whether there is one at all.
    pub(super) open: bool,
    /// Events with wanted rows so far.
    pub(super) events: usize,
    /// Wanted rows so far, an update counted twice.
    pub(super) rows: usize,
    /// A compressed payload was announced: the end must come before anything else.
    pub(super) payload: bool,
    /// Where in the file the transaction ends, if its end is inside of a payload.
    pub(super) payload_end: u64,
    /// The server says that nothing but rows of transactional tables is in it: it ends with a commit.
    pub(super) certain: bool,
    /// Savepoints, with the events before each.
    savepoints: Vec<(String, usize)>,
    /// Events that were rolled back.
    cancelled: Vec<Range<usize>>,
    /// The same, known from an earlier reading.
    known: Option<Vec<Range<usize>>>,
    /// It is read to its end only to learn what of it stays.
    pub(super) surveyed: bool,
}

/// What of the transaction behind a place was rolled back.
pub(super) struct Cancelled {
    place: LogPlace,
    events: Vec<Range<usize>>,
}

impl Transaction {
    /// Whether the event that was counted last is not to be delivered.
    pub(super) fn is_stepped_over(&self) -> bool {
        let event = self.events.saturating_sub(1);
        self.surveyed || self.known.as_ref().is_some_and(|known| known.iter().any(|range| range.contains(&event)))
    }

    /// Whether it may end otherwise than by a commit, as far as is known.
    pub(super) fn may_be_cancelled(&self) -> bool {
        !self.certain && self.known.is_none()
    }
}

pub(super) enum Gtid {
    MySql([u8; 16], String, u64),
    MariaDb(u32, u32, u64),
}

impl Log<'_> {
    pub(super) fn begin(&mut self, event: &Event) -> Result<()> {
        if self.transaction.open && self.transaction.events > 0 {
            return Err(self.damaged("the end of a transaction"));
        }
        let data = event.data();
        let short = || self.damaged("a GTID event");
        let number = |from: usize| -> Option<u64> { data.get(from..from + 8).map(crate::bytes::little) };
        let mut transaction = Transaction { certain: true, ..Transaction::default() };
        match event.header().event_type_raw() {
            GTID => {
                let uuid = data.get(1..17).and_then(|uuid| uuid.try_into().ok()).ok_or_else(short)?;
                transaction.gtid = Some(Gtid::MySql(uuid, String::new(), number(17).ok_or_else(short)?));
            }
            TAGGED_GTID => {
                let read: mysql_async::binlog::events::GtidEvent =
                    event.read_event().map_err(|error| short().caused_by(error))?;
                let tag = read.tag().map(ToString::to_string).unwrap_or_default();
                transaction.gtid = (read.gno() > 0).then(|| Gtid::MySql(read.sid(), tag, read.gno()));
            }
            MARIADB_GTID => {
                let sequence = number(0).ok_or_else(short)?;
                let domain = data.get(8..12).map(crate::bytes::little).and_then(|n| u32::try_from(n).ok());
                let flags = data.get(12).copied().ok_or_else(short)?;
                transaction.begun = flags & STANDALONE == 0;
                transaction.certain = flags & TRANSACTIONAL != 0;
                transaction.gtid = Some(Gtid::MariaDb(domain.ok_or_else(short)?, event.header().server_id(), sequence));
            }
            _ => {}
        }
        self.transaction = transaction;
        self.open_transaction();
        Ok(())
    }

    /// What is known of it from an earlier reading is taken up.
    pub(super) fn open_transaction(&mut self) {
        if !self.transaction.open {
            self.transaction.open = true;
            let known = self.cancelled.as_ref().filter(|cancelled| cancelled.place == self.place);
            self.transaction.known = known.map(|cancelled| cancelled.events.clone());
        }
    }

    pub(super) fn savepoint(&mut self, name: String) {
        // One of the same name takes the place of the one before.
        self.transaction.savepoints.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        self.transaction.savepoints.push((name, self.transaction.events));
    }

    pub(super) fn release(&mut self, name: &str) {
        let savepoints = &mut self.transaction.savepoints;
        if let Some(at) = savepoints.iter().rposition(|(known, _)| known.eq_ignore_ascii_case(name)) {
            savepoints.truncate(at);
        }
    }

    pub(super) fn roll_back_to(&mut self, name: &str) -> Result<()> {
        let savepoints = &mut self.transaction.savepoints;
        // Servers compare these names by a collation that knows more than ASCII.
        let plain = name.is_ascii() && savepoints.iter().all(|(known, _)| known.is_ascii());
        let found = savepoints.iter().rposition(|(known, _)| known.eq_ignore_ascii_case(name)).filter(|_| plain);
        let Some(at) = found else {
            return Err(self
                .fault(ErrorKind::Data, "mysql.savepoint", format!("what was rolled back to '{name}' is not known"))
                .hint("give savepoints names of ASCII letters, and start anew with a snapshot"));
        };
        let from = savepoints.get(at).map_or(0, |(_, events)| *events);
        savepoints.truncate(at + 1);
        self.cancel(from)
    }

    pub(super) fn roll_back(&mut self) -> Result<()> {
        self.cancel(0)
    }

    /// The events since then do not count.
    fn cancel(&mut self, from: usize) -> Result<()> {
        let range = from..self.transaction.events;
        if range.is_empty() {
            return Ok(());
        }
        let known = self.transaction.known.as_ref().is_some_and(|known| known.contains(&range));
        if !known && from < self.handed_events {
            return Err(self
                .fault(ErrorKind::Data, "mysql.rolled_back", "a transaction was rolled back after its first rows were delivered")
                .detail(if from == 0 { "ROLLBACK" } else { "ROLLBACK TO a savepoint" })
                .hint("SET SESSION binlog_format='ROW' where such transactions are written, and start anew with a snapshot"));
        }
        self.transaction.surveyed |= !known;
        self.transaction.cancelled.push(range);
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<()> {
        let transaction = std::mem::take(&mut self.transaction);
        if transaction.surveyed {
            self.cancelled = Some(Cancelled { place: self.place.clone(), events: transaction.cancelled });
            self.again = true;
            return Ok(());
        }
        self.cancelled = None;
        self.handed_events = 0;
        let offset = if transaction.payload { transaction.payload_end } else { self.offset };
        self.place.file.clone_from(&self.file);
        self.place.offset = offset;
        match (transaction.gtid, &mut self.place.gtids) {
            (Some(Gtid::MySql(uuid, tag, number)), Some(Gtids::MySql(set))) => set.add(uuid, &tag, number),
            (Some(Gtid::MariaDb(domain, server, sequence)), Some(Gtids::MariaDb(domains))) => {
                domains.insert(domain, (server, sequence));
            }
            _ => {}
        }
        self.batcher.end_transaction(&self.place);
        self.doubted()
    }

    pub(super) fn prepared(&mut self, data: &[u8]) -> Result<()> {
        if self.transaction.events > 0 && data.first() == Some(&0) {
            return Err(self
                .fault(ErrorKind::Data, "mysql.xa", "an XA transaction prepared rows of a wanted table")
                .detail(format!("XA PREPARE {}", xid(data).ok_or_else(|| self.damaged("an XA_PREPARE event"))?))
                .hint("XA transactions are not supported: commit them in one phase"));
        }
        self.end()
    }
}

/// The transaction's name, as the server writes it in statements: behind a byte, its format and the lengths of both parts.
fn xid(data: &[u8]) -> Option<String> {
    let number = |from: usize| data.get(from..from + 4).map(crate::bytes::little);
    let (format, global) = (number(1)?, usize::try_from(number(5)?).ok()?);
    let (branch, names) = (usize::try_from(number(9)?).ok()?, data.get(13..)?);
    let (global, rest) = names.split_at_checked(global)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Some(format!("X'{}',X'{}',{format}", hex(global), hex(rest.get(..branch)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xa_transactions_have_the_names_that_statements_have() {
        let data = b"\0\x01\0\0\0\x02\0\0\0\x01\0\0\0aBc";
        assert_eq!(xid(data).as_deref(), Some("X'6142',X'63',1"));
        assert_eq!(xid(data.split_last().expect("bytes").1), None);
    }
}
