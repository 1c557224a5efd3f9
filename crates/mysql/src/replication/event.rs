//! The events of the log, told apart by their type; the ones that bring rows, and the ones that cannot be read.

use headwater_change::{ErrorKind, Result};
use mysql_async::binlog::events::Event;

use super::Log;
use crate::queue::Message;
use crate::rows::event::{Change, Trouble, change_of, decode_rows_event};

pub(super) const QUERY: u8 = 2;
pub(super) const ROTATE: u8 = 4;
const FORMAT: u8 = 15;
const XID: u8 = 16;
pub(super) const EXECUTE_LOAD: u8 = 18;
const TABLE_MAP: u8 = 19;
const INCIDENT: u8 = 26;
pub(super) const HEARTBEAT: u8 = 27;
pub(super) const GTID: u8 = 33;
const ANONYMOUS_GTID: u8 = 34;
const XA_PREPARE: u8 = 38;
const PARTIAL_UPDATE: u8 = 39;
const PAYLOAD: u8 = 40;
pub(super) const HEARTBEAT_V2: u8 = 41;
pub(super) const TAGGED_GTID: u8 = 42;
pub(super) const MARIADB_GTID: u8 = 162;

/// Events that bring nothing: STOP, INTVAR, APPEND_BLOCK, DELETE_FILE, RAND, USER_VAR, BEGIN_LOAD_QUERY, IGNORABLE,
/// ROWS_QUERY, PREVIOUS_GTIDS, TRANSACTION_CONTEXT, VIEW_CHANGE; of MariaDB ANNOTATE_ROWS, BINLOG_CHECKPOINT, GTID_LIST;
/// heartbeats within a transaction.
const KNOWN: [u8; 17] = [3, 5, 9, 11, 13, 14, 17, 28, 29, 35, 36, 37, 160, 161, 163, HEARTBEAT, HEARTBEAT_V2];

/// The flag of events that a reader may step over without knowing them.
const IGNORABLE: u16 = 0x80;

impl Log<'_> {
    pub(super) async fn event(&mut self, event: &Event) -> Result<()> {
        let (header, data) = (event.header(), event.data());
        let kind = header.event_type_raw();
        if header.log_pos() > 0 && !self.transaction.payload {
            self.offset = header.log_pos().into();
        }
        let boundary = matches!(kind, GTID | ANONYMOUS_GTID | TAGGED_GTID | MARIADB_GTID);
        if self.transaction.payload && (boundary || matches!(kind, ROTATE | FORMAT | HEARTBEAT | HEARTBEAT_V2)) {
            return Err(self
                .fault(ErrorKind::Data, "mysql.transaction_payload", "a compressed transaction could not be read")
                .hint("SET GLOBAL binlog_transaction_compression=OFF;"));
        }
        if let Some((change, version)) = change_of(kind) {
            return self.rows(data, (change, version), header.timestamp());
        }
        match kind {
            TABLE_MAP => self.table_map(data).await?,
            QUERY | EXECUTE_LOAD => self.statement(data, kind == EXECUTE_LOAD)?,
            XID => self.end()?,
            XA_PREPARE => self.prepared(data)?,
            GTID | ANONYMOUS_GTID | TAGGED_GTID | MARIADB_GTID => self.begin(event)?,
            ROTATE => self.rotate(without_checksum(event), header.log_pos() == 0)?,
            FORMAT => self.maps.clear(),
            PAYLOAD => {
                self.transaction.payload = true;
                self.transaction.payload_end = self.offset;
            }
            HEARTBEAT | HEARTBEAT_V2 if !self.transaction.open => self.heartbeat().await?,
            INCIDENT => {
                return Err(self
                    .fault(ErrorKind::Fenced, "mysql.incident", "the server says that its log has a gap here")
                    .hint("start anew with a snapshot"));
            }
            PARTIAL_UPDATE => {
                return Err(self
                    .fault(ErrorKind::Data, "mysql.binlog_row_value_options", "a JSON document was logged in parts")
                    .hint("SET GLOBAL binlog_row_value_options='';"));
            }
            165..=171 => {
                return Err(self
                    .fault(ErrorKind::Data, "mysql.log_bin_compress", "a compressed event cannot be read")
                    .hint("SET GLOBAL log_bin_compress=OFF;"));
            }
            _ if !KNOWN.contains(&kind) && header.flags_raw() & IGNORABLE == 0 => {
                return Err(self.fault(
                    ErrorKind::Data,
                    "mysql.event",
                    format!("an event of the unknown type {kind} cannot be read"),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<()> {
        self.doubted()?;
        let position = self.place.clone();
        if self.queue.is_empty() && !self.batcher.can_flush() {
            // The ordinal does not move: nothing happened.
            let position = self.batcher.here(&position);
            self.queue.push(Message::Moved(position)).await;
        }
        Ok(())
    }

    pub(super) fn rotate(&mut self, data: &[u8], fake: bool) -> Result<()> {
        let (offset, name) = data.split_first_chunk::<8>().ok_or_else(|| self.damaged("a ROTATE event"))?;
        self.file = String::from_utf8_lossy(name).into_owned();
        self.offset = u64::from_le_bytes(*offset);
        if !fake {
            self.maps.clear();
        }
        Ok(())
    }

    fn rows(&mut self, data: &[u8], change: (Change, bool), seconds: u32) -> Result<()> {
        let id = data.get(..6).map(crate::bytes::little).ok_or_else(|| self.damaged("a row event"))?;
        let mapped = match self.maps.get(&id) {
            Some(Some(mapped)) => mapped,
            Some(None) => return Ok(()),
            None => return Err(self.damaged("a row event without its TABLE_MAP event")),
        };
        self.transaction.events += 1;
        if self.transaction.is_stepped_over() {
            return Ok(());
        }
        // Of a transaction that was interrupted the rows handed over already are counted, not the events: the server that
        // the log is read from now may have cut them otherwise.
        let skip = self.batcher.handed_rows().saturating_sub(self.transaction.rows);
        let (builders, ops) = (&mut self.batcher.builders, &mut self.batcher.ops);
        let result = decode_rows_event(data, change, &mapped.map, &mapped.plan, seconds, skip, builders, ops);
        let table = format!("{}.{}", mapped.plan.database, mapped.plan.table);
        let passed = result.map_err(|trouble| match trouble {
            Trouble::Damaged => {
                self.fault(ErrorKind::Data, "mysql.event", format!("a row event of {table} cannot be read"))
            }
            Trouble::Partial(column) => self
                .fault(
                    ErrorKind::Data,
                    "mysql.binlog_row_image",
                    format!("a row of {table} was logged without its column '{column}'"),
                )
                .hint("SET GLOBAL binlog_row_image='FULL'; no session may set it otherwise"),
            Trouble::Value(column, row, what) => self.fault(
                ErrorKind::Data,
                "mysql.value",
                format!("column '{column}' of {table}, row {row} of the event: {what}"),
            ),
        })?;
        self.transaction.rows += passed;
        Ok(())
    }
}

/// The data of an event that may come before the log says that it has checksums: a checksum that fits is taken off.
pub(super) fn without_checksum(event: &Event) -> &[u8] {
    let (header, data) = (event.header(), event.data());
    let Some((body, checksum)) = data.split_last_chunk::<4>() else { return data };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header.timestamp().to_le_bytes());
    hasher.update(&[header.event_type_raw()]);
    for number in [header.server_id(), header.event_size(), header.log_pos()] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&header.flags_raw().to_le_bytes());
    hasher.update(body);
    if hasher.finalize() == u32::from_le_bytes(*checksum) { body } else { data }
}
