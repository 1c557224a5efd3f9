//! Where transactions begin and end, and the place in the log behind each that ended.

use headwater_change::{ErrorKind, Result};
use mysql_async::binlog::events::Event;

use super::Log;
use super::event::{GTID, MARIADB_GTID, TAGGED_GTID};
use crate::position::Gtids;

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
        let mut transaction = Transaction { open: true, ..Transaction::default() };
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
                transaction.begun = flags & 1 == 0;
                transaction.gtid = Some(Gtid::MariaDb(domain.ok_or_else(short)?, event.header().server_id(), sequence));
            }
            _ => {}
        }
        self.transaction = transaction;
        Ok(())
    }

    pub(super) fn end(&mut self) {
        let transaction = std::mem::take(&mut self.transaction);
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
    }

    pub(super) fn prepared(&mut self, data: &[u8]) -> Result<()> {
        if self.transaction.events > 0 && data.first() == Some(&0) {
            return Err(self
                .fault(ErrorKind::Data, "mysql.xa", "an XA transaction prepared rows of a wanted table")
                .hint("XA transactions are not supported: commit them in one phase"));
        }
        self.end();
        Ok(())
    }
}
