//! Segment files: a header of 64 bytes, then records one behind the other.
//!
//! Only the last segment is written to, and each record is synced before the next one is begun. So what is not whole at
//! the end of that segment is the trace of a crash (a torn tail, dropped); what is not whole anywhere else is damage
//! (`state.corrupt`), never skipped.

use std::path::{Path, PathBuf};

use arrow::array::{BinaryArray, RecordBatch};
use arrow::buffer::{Buffer, MutableBuffer};
use headwater_change::{Error, Result};

use crate::Committed;
use crate::bytes::Writer;
use crate::files::{Files, Input, Output, corrupt, read_error, write_error};
use crate::record::{ALIGNMENT, Header, RecordKind, Section, Trailer};

const MAGIC: [u8; 8] = *b"HWSEGMNT";
/// Bytes read at once where nothing is kept.
const WINDOW: usize = 1 << 20;
/// Offset of the first record.
pub(crate) const FIRST_RECORD: u64 = ALIGNMENT as u64;

/// What is known of a segment file: its outline.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Its number, from 1; numbers grow with age of the state and are not used twice.
    pub(crate) number: u64,
    /// Bytes up to the end of the last whole record.
    pub(crate) length: u64,
    /// Its deltas in commit order.
    pub(crate) sections: Vec<Section>,
    /// Records in it.
    pub(crate) records: u64,
    /// Whether it was made by merging others: no key of a table is in it twice, and nothing is older.
    pub(crate) merged: bool,
}

/// Name of the file of a segment.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:010}.segment")
}

/// Number of the segment whose file has this name.
pub(crate) fn file_number(name: &str) -> Option<u64> {
    name.strip_suffix(".segment")?.parse().ok()
}

/// Path of the file of a segment.
pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(file_name(number))
}

impl Segment {
    /// Makes the file of a segment without records. Its contents are durable, its name is not yet.
    pub(crate) fn create(files: &dyn Files, folder: &Path, number: u64) -> Result<(Self, Box<dyn Output>)> {
        let path = path(folder, number);
        let written = files.create(&path).and_then(|mut output| {
            output.write_all(&encode_file_header(number))?;
            output.sync()?;
            Ok(output)
        });
        let output = written.map_err(|error| write_error(&path, error))?;
        Ok((Self { number, length: FIRST_RECORD, sections: Vec::new(), records: 0, merged: false }, output))
    }

    /// Adds a record that was just written at the end.
    pub(crate) fn grow(&mut self, length: u64, sections: Vec<Section>) {
        self.length += length;
        self.sections.extend(sections);
        self.records += 1;
    }
}

fn encode_file_header(number: u64) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.raw(&MAGIC).u64(number).pad(ALIGNMENT - 4);
    let crc = crc32fast::hash(writer.bytes());
    writer.u32(crc);
    writer.into_bytes()
}

/// A segment file being read.
pub(crate) struct SegmentReader {
    input: Box<dyn Input>,
    path: PathBuf,
    number: u64,
}

impl SegmentReader {
    /// Opens the file and checks its header.
    pub(crate) fn open(files: &dyn Files, folder: &Path, number: u64) -> Result<Self> {
        let path = path(folder, number);
        let input = match files.read(&path) {
            Ok(input) => input,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(corrupt(&path, 0, "the file is missing"));
            }
            Err(error) => return Err(read_error(&path, error)),
        };
        let reader = Self { input, path, number };
        let mut header = [0; ALIGNMENT];
        if reader.length()? < FIRST_RECORD {
            return Err(corrupt(&reader.path, 0, "the file has no header"));
        }
        reader.fill(&mut header, 0)?;
        if header != encode_file_header(number).as_slice() {
            return Err(corrupt(&reader.path, 0, "the header of the file is not what was written"));
        }
        Ok(reader)
    }

    /// Length of the file.
    pub(crate) fn length(&self) -> Result<u64> {
        self.input.length().map_err(|error| read_error(&self.path, error))
    }

    /// Reads the outline. `sealed` is the length that the file must have when nothing is written to it any more; the
    /// end of an unsealed file may be torn and is then left out. Gives the facts of the last commit, if there is one.
    pub(crate) fn scan(&self, sealed: Option<u64>) -> Result<(Segment, Option<Committed>)> {
        let length = self.length()?;
        if sealed.is_some_and(|sealed| sealed != length) {
            return Err(corrupt(
                &self.path,
                length,
                format_args!("the file should have {} bytes", sealed.unwrap_or(0)),
            ));
        }
        let mut segment =
            Segment { number: self.number, length: FIRST_RECORD, sections: Vec::new(), records: 0, merged: false };
        let mut facts: Option<Committed> = None;
        let mut ends_with_commit = true;
        while segment.length < length {
            let offset = segment.length;
            let Some((header, trailer)) = self.record(offset, length, sealed.is_none())? else {
                if sealed.is_some() || self.has_record_behind(offset, length)? {
                    return Err(corrupt(&self.path, offset, "a record is not what was written"));
                }
                break;
            };
            if facts.as_ref().is_some_and(|facts| header.epoch <= facts.epoch) {
                return Err(corrupt(&self.path, offset, format_args!("epoch {} is out of order", header.epoch)));
            }
            ends_with_commit = header.kind != RecordKind::Part;
            segment.merged |= header.kind == RecordKind::Merged;
            segment.grow(FIRST_RECORD + header.body, trailer.sections);
            if ends_with_commit {
                facts = Some(trailer.facts);
            }
        }
        if !ends_with_commit {
            return Err(corrupt(&self.path, segment.length, "the last record is missing"));
        }
        Ok((segment, facts))
    }

    /// The outline of the record at `offset`; `None` where it is not whole. Rows of the last record are looked at too
    /// when it may be torn; all others are checked when they are read.
    fn record(&self, offset: u64, length: u64, may_be_torn: bool) -> Result<Option<(Header, Trailer)>> {
        let body = offset + FIRST_RECORD;
        if body > length {
            return Ok(None);
        }
        let mut bytes = [0; ALIGNMENT];
        self.fill(&mut bytes, offset)?;
        let Some(header) = Header::decode(&bytes, self.number, offset) else { return Ok(None) };
        let Some(end) = body.checked_add(header.body).filter(|end| *end <= length) else { return Ok(None) };
        let trailer = self.bytes(end - header.trailer, header.trailer)?;
        let Some(trailer) = Trailer::decode(&trailer, &header) else { return Ok(None) };
        if end == length && may_be_torn {
            for section in &trailer.sections {
                if !section.is_whole(self.checksum(section)?) {
                    return Ok(None);
                }
            }
        }
        Ok(Some((header, trailer)))
    }

    /// Whether a record begins somewhere behind `offset`: then the one at `offset` had been synced as a whole.
    fn has_record_behind(&self, offset: u64, length: u64) -> Result<bool> {
        let mut start = offset + FIRST_RECORD;
        while start < length {
            let window = self.bytes(start, (length - start).min(WINDOW as u64))?;
            for (index, place) in window.chunks_exact(ALIGNMENT).enumerate() {
                if Header::decode(place, self.number, start + (index * ALIGNMENT) as u64).is_some() {
                    return Ok(true);
                }
            }
            start += WINDOW as u64;
        }
        Ok(false)
    }

    /// Reads a delta and checks that it is what was written.
    pub(crate) fn section(&self, section: &Section) -> Result<(RecordBatch, BinaryArray)> {
        let bytes = self.bytes(section.offset, section.length)?;
        section.decode(&bytes).ok_or_else(|| self.damaged(section))
    }

    /// Copies the whole records of this file to another folder, durably but for the name, and checks every row.
    pub(crate) fn copy(&self, files: &dyn Files, to: &Path, sealed: Option<u64>) -> Result<()> {
        let (segment, _) = self.scan(sealed)?;
        for section in &segment.sections {
            if !section.is_whole(self.checksum(section)?) {
                return Err(self.damaged(section));
            }
        }
        let path = path(to, self.number);
        let mut output = files.create(&path).map_err(|error| write_error(&path, error))?;
        let mut offset = 0;
        while offset < segment.length {
            let window = self.bytes(offset, (segment.length - offset).min(WINDOW as u64))?;
            output.write_all(&window).map_err(|error| write_error(&path, error))?;
            offset += window.len() as u64;
        }
        output.sync().map_err(|error| write_error(&path, error))
    }

    fn damaged(&self, section: &Section) -> Error {
        corrupt(&self.path, section.offset, "the rows of a table are not what was written")
    }

    fn checksum(&self, section: &Section) -> Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        let mut range = section.range();
        while range.start < range.end {
            let window = (range.end - range.start).min(WINDOW as u64);
            hasher.update(&self.bytes(range.start, window)?);
            range.start += window;
        }
        Ok(hasher.finalize())
    }

    /// Bytes in aligned memory, so that columns are used where they lie.
    fn bytes(&self, offset: u64, length: u64) -> Result<Buffer> {
        let end = offset.checked_add(length).filter(|end| self.length().is_ok_and(|length| *end <= length));
        let (Some(_), Ok(length)) = (end, usize::try_from(length)) else {
            return Err(corrupt(&self.path, offset, "the file is shorter than it should be"));
        };
        let mut buffer = MutableBuffer::from_len_zeroed(length);
        self.fill(buffer.as_slice_mut(), offset)?;
        Ok(buffer.into())
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.input.read_at(buffer, offset).map_err(|error| read_error(&self.path, error))
    }
}
