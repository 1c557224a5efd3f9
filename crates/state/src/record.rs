//! The bytes of one record: the atom of a segment file.
//!
//! ```text
//! offset 0     64                                                            body end
//!  ┌────────┬────────────────────────┬────────────────────────┬─────┬─────────┐
//!  │ header │ section: one delta     │ section                │ ... │ trailer │   each part padded to 64 bytes
//!  └────────┴────────────────────────┴────────────────────────┴─────┴─────────┘
//!            upserts │ deletes                                        positions, receipts, notes, and for each
//!            (Arrow IPC streams)                                      section its table, lengths and checksum
//! ```
//!
//! The header names its own segment and offset and carries checksums of itself and of the trailer; the trailer
//! carries those of the sections. So a record is either whole or recognised as not whole, the outline of a file is read
//! without its rows, and no value that happens to hold the bytes of a record is ever taken for one.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use headwater_change::{Epoch, Error, Position, Receipt, Result};

use crate::bytes::{Reader, Writer};
use crate::{Committed, TableKey};

/// Everything in a segment file starts at a multiple of this.
pub(crate) const ALIGNMENT: usize = 64;
const MAGIC: [u8; 8] = *b"HWRECORD";

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// Rows that belong to the [`RecordKind::Merged`] at the end of the same file.
    Part = 1,
    /// Rows, if any, and the facts of a committed epoch.
    Commit = 2,
    /// The end of a merged segment: facts of the last epoch that was merged, and no key twice in the whole file.
    Merged = 3,
}

/// The first 64 bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What it is.
    pub(crate) kind: RecordKind,
    /// The epoch that it belongs to.
    pub(crate) epoch: Epoch,
    /// Bytes behind the header.
    pub(crate) body: u64,
    /// Bytes of the trailer, the last part of the body.
    pub(crate) trailer: u64,
    trailer_crc: u32,
}

/// Where one delta lies and what it must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// The delta's table.
    pub(crate) table: TableKey,
    /// Offset in the segment file.
    pub(crate) offset: u64,
    /// Bytes with padding.
    pub(crate) length: u64,
    /// Bytes of the upserts' stream with padding; the rest are deletes.
    pub(crate) upserts: u64,
    /// Rows, upserted and deleted.
    pub(crate) rows: u64,
    /// Bytes of all keys, upserted and deleted.
    pub(crate) key_bytes: u64,
    crc: u32,
}

impl Header {
    /// Reads a header that must stand at `offset` of segment `segment`; `None` where none does.
    pub(crate) fn decode(bytes: &[u8], segment: u64, offset: u64) -> Option<Self> {
        let (covered, crc) = bytes.get(..ALIGNMENT)?.split_at_checked(ALIGNMENT - 4)?;
        let mut crc = Reader::new(crc);
        if crc.u32()? != crc32fast::hash(covered) {
            return None;
        }
        let mut reader = Reader::new(covered);
        let itself = reader.take(8)? == MAGIC && reader.u64()? == segment && reader.u64()? == offset;
        let epoch = Epoch(reader.u64()?);
        let (body, trailer) = (reader.u64()?, reader.u64()?);
        let kind = match reader.u32()? {
            1 => RecordKind::Part,
            2 => RecordKind::Commit,
            3 => RecordKind::Merged,
            _ => return None,
        };
        let trailer_crc = reader.u32()?;
        (itself && trailer <= body).then_some(Self { kind, epoch, body, trailer, trailer_crc })
    }

    fn encode(&self, segment: u64, offset: u64) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.raw(&MAGIC).u64(segment).u64(offset).u64(self.epoch.0).u64(self.body).u64(self.trailer);
        writer.u32(self.kind as u32).u32(self.trailer_crc).pad(ALIGNMENT - 4);
        let crc = crc32fast::hash(writer.bytes());
        writer.u32(crc);
        writer.into_bytes()
    }
}

/// Builds one record in a buffer that is used again and again.
pub(crate) struct Encoder<'a> {
    buffer: &'a mut Vec<u8>,
    sections: Vec<Section>,
    segment: u64,
    offset: u64,
}

impl<'a> Encoder<'a> {
    /// Starts a record that will stand at `offset` of segment `segment`.
    pub(crate) fn new(buffer: &'a mut Vec<u8>, segment: u64, offset: u64) -> Self {
        buffer.clear();
        buffer.resize(ALIGNMENT, 0);
        Self { buffer, sections: Vec::new(), segment, offset }
    }

    /// Adds a delta.
    pub(crate) fn section(&mut self, table: TableKey, upserts: &RecordBatch, deletes: &BinaryArray) -> Result<()> {
        let start = self.buffer.len();
        self.stream(upserts)?;
        let middle = self.buffer.len();
        if !deletes.is_empty() {
            self.stream(&deletes_batch(deletes)?)?;
        }
        let written = self.buffer.get(start..).unwrap_or_default();
        self.sections.push(Section {
            table,
            offset: self.offset + start as u64,
            length: written.len() as u64,
            upserts: (middle - start) as u64,
            rows: (upserts.num_rows() + deletes.len()) as u64,
            key_bytes: key_bytes(upserts.columns().first()) + value_bytes(deletes),
            crc: crc32fast::hash(written),
        });
        Ok(())
    }

    /// Ends the record: the buffer holds its bytes. Gives the sections in the order they were added.
    pub(crate) fn finish(self, kind: RecordKind, facts: &Committed) -> Vec<Section> {
        let Self { buffer, sections, segment, offset } = self;
        let trailer = encode_trailer(facts, &sections);
        let header = Header {
            kind,
            epoch: facts.epoch,
            body: (buffer.len() - ALIGNMENT + trailer.len()) as u64,
            trailer: trailer.len() as u64,
            trailer_crc: crc32fast::hash(&trailer),
        };
        buffer.extend_from_slice(&trailer);
        if let Some(place) = buffer.get_mut(..ALIGNMENT) {
            place.copy_from_slice(&header.encode(segment, offset));
        }
        sections
    }

    fn stream(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut writer = StreamWriter::try_new(&mut *self.buffer, batch.schema_ref()).map_err(encode_error)?;
        writer.write(batch).and_then(|()| writer.finish()).map_err(encode_error)?;
        drop(writer);
        self.buffer.resize(self.buffer.len().next_multiple_of(ALIGNMENT), 0);
        Ok(())
    }
}

fn encode_error(error: arrow::error::ArrowError) -> Error {
    Error::bug("state.encode", "a delta cannot be written as an arrow stream").caused_by(error)
}

fn deletes_batch(deletes: &BinaryArray) -> Result<RecordBatch> {
    let schema = Schema::new(vec![Field::new("key", DataType::Binary, false)]);
    RecordBatch::try_new(schema.into(), vec![std::sync::Arc::new(deletes.clone())]).map_err(encode_error)
}

fn value_bytes(keys: &BinaryArray) -> u64 {
    let offsets = keys.value_offsets();
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => u64::try_from(last - first).unwrap_or(0),
        _ => 0,
    }
}

fn key_bytes(key: Option<&ArrayRef>) -> u64 {
    key.and_then(|key| key.as_any().downcast_ref()).map_or(0, value_bytes)
}

/// The trailer of a record and what it says.
pub(crate) struct Trailer {
    /// Facts of the epoch.
    pub(crate) facts: Committed,
    /// Its deltas.
    pub(crate) sections: Vec<Section>,
}

fn encode_trailer(facts: &Committed, sections: &[Section]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u32(facts.positions.len() as u32);
    for (source, position) in &facts.positions {
        writer.u32(*source).blob(position.partition.as_bytes()).blob(position.token.as_bytes()).u64(position.ordinal);
    }
    writer.u32(facts.receipts.len() as u32);
    for (sink, receipt) in &facts.receipts {
        writer.u32(*sink).u64(receipt.epoch.0).blob(&receipt.token);
    }
    writer.u32(facts.notes.len() as u32);
    for (name, note) in &facts.notes {
        writer.blob(name.as_bytes()).blob(note);
    }
    writer.u32(sections.len() as u32);
    for section in sections {
        writer.u32(section.table.operator).u32(u32::from(section.table.table));
        writer.u64(section.offset).u64(section.length).u64(section.upserts);
        writer.u64(section.rows).u64(section.key_bytes).u32(section.crc);
    }
    writer.pad(ALIGNMENT);
    writer.into_bytes()
}

impl Trailer {
    /// Reads the trailer that belongs to `header`; `None` where its bytes are not those that were written.
    pub(crate) fn decode(bytes: &[u8], header: &Header) -> Option<Self> {
        if crc32fast::hash(bytes) != header.trailer_crc {
            return None;
        }
        let mut reader = Reader::new(bytes);
        let mut facts = Committed { epoch: header.epoch, ..Committed::default() };
        for _ in 0..reader.u32()? {
            let source = reader.u32()?;
            let (partition, token) = (reader.text()?, reader.text()?);
            facts.positions.push((source, Position::new(partition, token, reader.u64()?)));
        }
        for _ in 0..reader.u32()? {
            let sink = reader.u32()?;
            let epoch = Epoch(reader.u64()?);
            facts.receipts.push((sink, Receipt { epoch, token: reader.blob()?.to_vec() }));
        }
        for _ in 0..reader.u32()? {
            facts.notes.insert(reader.text()?.to_owned(), reader.blob()?.to_vec());
        }
        let mut sections = Vec::new();
        for _ in 0..reader.u32()? {
            sections.push(Section {
                table: TableKey { operator: reader.u32()?, table: u16::try_from(reader.u32()?).ok()? },
                offset: reader.u64()?,
                length: reader.u64()?,
                upserts: reader.u64()?,
                rows: reader.u64()?,
                key_bytes: reader.u64()?,
                crc: reader.u32()?,
            });
        }
        Some(Self { facts, sections })
    }
}

impl Section {
    /// Bytes of this section within its file.
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.length
    }

    /// Whether these are the bytes that were written.
    pub(crate) fn is_whole(&self, crc: u32) -> bool {
        self.crc == crc
    }

    /// Upserts and deletes out of the section's bytes, without copying them; `None` where they are not what was written.
    pub(crate) fn decode(&self, bytes: &Buffer) -> Option<(RecordBatch, BinaryArray)> {
        let upserts = usize::try_from(self.upserts).ok().filter(|length| *length <= bytes.len())?;
        if !self.is_whole(crc32fast::hash(bytes)) {
            return None;
        }
        let deletes = bytes.slice(upserts);
        let upserts = decode_stream(bytes.slice_with_length(0, upserts))?;
        let deletes = if deletes.is_empty() {
            BinaryArray::new_null(0)
        } else {
            decode_stream(deletes)?.columns().first()?.as_any().downcast_ref::<BinaryArray>()?.clone()
        };
        Some((upserts, deletes))
    }
}

fn decode_stream(mut bytes: Buffer) -> Option<RecordBatch> {
    let mut decoder = StreamDecoder::new();
    decoder.decode(&mut bytes).ok()?
}
