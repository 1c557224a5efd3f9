//! Packets: three bytes of length, a number, a payload. One of 16 MiB - 1 goes on in the next.

use std::io::{Error, ErrorKind, Read, Result, Write};

/// The longest payload of one packet.
const LONGEST: usize = 0xff_ffff;

/// Bytes that are asked of the socket at once.
const BUFFER: usize = 256 << 10;

/// A payload that is longer than this is refused: the length is damaged, or the server is no MySQL.
const PAYLOAD_MAX: usize = 1 << 30;

/// The packets of a stream, both ways.
pub(super) struct Packets<S> {
    stream: S,
    buffer: Vec<u8>,
    /// What is in the buffer and was not given yet.
    begin: usize,
    end: usize,
    /// Where in the buffer the payload is that came last; nothing where it was put together.
    payload: Option<(usize, usize)>,
    /// A payload of several packets.
    joined: Vec<u8>,
    /// The number of the next packet.
    number: u8,
}

impl<S: Read + Write> Packets<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: vec![0; BUFFER], begin: 0, end: 0, payload: None, joined: Vec::new(), number: 0 }
    }

    /// The same packets over what a stream becomes. Nothing may have been read ahead.
    pub(super) fn over<T>(self, change: impl FnOnce(S) -> Result<T>) -> Result<Packets<T>> {
        if self.begin != self.end {
            return Err(Error::new(ErrorKind::InvalidData, "the server spoke out of turn"));
        }
        let Self { stream, buffer, begin, end, payload, joined, number } = self;
        Ok(Packets { stream: change(stream)?, buffer, begin, end, payload, joined, number })
    }

    /// The next payload.
    #[inline]
    pub(super) fn next(&mut self) -> Result<&[u8]> {
        self.advance()?;
        Ok(self.payload())
    }

    /// Goes on to the next payload.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<()> {
        let length = self.header()?;
        if length == LONGEST {
            return self.long();
        }
        self.fill(length)?;
        self.payload = Some((self.begin, self.begin + length));
        self.begin += length;
        Ok(())
    }

    /// The payload that came last.
    #[inline]
    pub(super) fn payload(&self) -> &[u8] {
        match self.payload {
            Some((begin, end)) => self.buffer.get(begin..end).unwrap_or_default(),
            None => &self.joined,
        }
    }

    #[inline]
    fn header(&mut self) -> Result<usize> {
        self.fill(4)?;
        let Some(&[a, b, c, number]) = self.buffer.get(self.begin..self.begin + 4) else {
            return Err(ErrorKind::UnexpectedEof.into());
        };
        self.begin += 4;
        if number != self.number {
            return Err(Error::new(ErrorKind::InvalidData, "packets are out of order"));
        }
        self.number = number.wrapping_add(1);
        Ok(usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16)
    }

    #[cold]
    fn long(&mut self) -> Result<()> {
        self.joined.clear();
        self.payload = None;
        let mut length = LONGEST;
        loop {
            self.fill(length)?;
            let part = self.buffer.get(self.begin..self.begin + length).unwrap_or_default();
            if self.joined.len() + part.len() > PAYLOAD_MAX {
                return Err(Error::new(ErrorKind::InvalidData, "a packet is longer than 1 GiB"));
            }
            self.joined.extend_from_slice(part);
            self.begin += length;
            if length < LONGEST {
                return Ok(());
            }
            length = self.header()?;
        }
    }

    /// Reads until so many bytes wait in the buffer.
    #[inline]
    fn fill(&mut self, wanted: usize) -> Result<()> {
        if self.end - self.begin >= wanted { Ok(()) } else { self.read(wanted) }
    }

    #[cold]
    fn read(&mut self, wanted: usize) -> Result<()> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.end < wanted {
            let free = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.stream.read(free) {
                Ok(0) => return Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends an answer within an exchange.
    pub(super) fn send(&mut self, payload: &[u8]) -> Result<()> {
        let mut rest = payload;
        loop {
            let part = rest.get(..rest.len().min(LONGEST)).unwrap_or_default();
            let [a, b, c, _] = u32::try_from(part.len()).unwrap_or(0).to_le_bytes();
            let mut packet = Vec::with_capacity(part.len() + 4);
            packet.extend([a, b, c, self.number]);
            packet.extend_from_slice(part);
            self.stream.write_all(&packet)?;
            self.number = self.number.wrapping_add(1);
            rest = rest.get(part.len()..).unwrap_or_default();
            if part.len() < LONGEST {
                return self.stream.flush();
            }
        }
    }

    /// Sends a command, which begins an exchange.
    pub(super) fn command(&mut self, code: u8, body: &[u8]) -> Result<()> {
        self.number = 0;
        self.send(&[&[code], body].concat())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A stream of given bytes that come a few at a time; what is written is kept.
    struct Slow(Cursor<Vec<u8>>, usize, Vec<u8>);

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> Result<usize> {
            let most = self.1.min(into.len());
            self.0.read(&mut into[..most])
        }
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.2.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn payloads_come_whole_however_they_are_cut() {
        let payloads = [vec![1; 3], vec![], vec![2; LONGEST], vec![3; LONGEST + 5], vec![4; 300 << 10]];
        let mut sender = Packets::new(Slow(Cursor::new(Vec::new()), 1, Vec::new()));
        payloads.iter().for_each(|payload| sender.send(payload).unwrap());
        let sent = sender.stream.2;
        for at_once in [7_919, 1 << 20] {
            let mut packets = Packets::new(Slow(Cursor::new(sent.clone()), at_once, Vec::new()));
            for payload in &payloads {
                assert!(packets.next().unwrap() == payload.as_slice());
            }
            assert_eq!(packets.next().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_packet_of_another_number_is_an_error() {
        let mut packets = Packets::new(Slow(Cursor::new(vec![1, 0, 0, 1, 9]), 9, Vec::new()));
        assert_eq!(packets.next().unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
