//! [`Records`]: the walk over the fields and records of CSV text.
//!
//! Rules as in Flink (Jackson's CSV reader): blanks are kept, a quote counts only where a field begins, a doubled quote
//! inside quotes is one, quoted fields may hold line ends.

use memchr::{memchr, memchr2, memchr3};

use super::CsvConfig;

/// A place in CSV bytes, and the marks that count.
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
}

/// A field as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawField {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Whether it has doubled quotes or escapes to be taken out.
    pub(crate) marked: bool,
    /// Whether the record ends with it.
    pub(crate) last: bool,
    /// Whether a line end that is none of its characters stands behind it.
    pub(crate) closed: bool,
}

impl<'a> Records<'a> {
    pub(crate) fn new(config: &CsvConfig, bytes: &'a [u8]) -> Self {
        // A quote that never occurs need not be looked for.
        let there = |mark: &u8| memchr(*mark, bytes).is_some();
        let (quote, escape) = (config.quote.filter(there), config.escape.filter(there));
        Self { bytes, at: 0, delimiter: config.delimiter, quote, escape }
    }

    /// Where the next record begins, or `None` at the end.
    pub(crate) fn start(&self) -> Option<usize> {
        (self.at < self.bytes.len()).then_some(self.at)
    }

    /// The byte that comes next.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps behind the next newline, without looking at quotes.
    pub(crate) fn skip_line(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
    }

    /// The next field of the record.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<RawField, &'static str> {
        match self.quote {
            Some(quote) if self.peek() == Some(quote) => self.quoted(quote),
            _ => Ok(self.plain()),
        }
    }

    #[inline]
    fn plain(&mut self) -> RawField {
        let from = self.at;
        let mut marked = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let found = match self.escape {
                Some(escape) => memchr3(self.delimiter, b'\n', escape, rest),
                None => memchr2(self.delimiter, b'\n', rest),
            };
            let Some(found) = found else {
                self.at = self.bytes.len();
                return RawField { from, to: self.before_return(from, self.at), marked, last: true, closed: false };
            };
            let byte = rest.get(found).copied();
            if byte.is_some() && byte == self.escape {
                marked = true;
                self.at = (self.at + found + 2).min(self.bytes.len());
                continue;
            }
            let end = self.at + found;
            self.at = end + 1;
            let last = byte == Some(b'\n');
            let to = if last { self.before_return(from, end) } else { end };
            return RawField { from, to, marked, last, closed: last };
        }
    }

    /// The end of a record without the carriage return of a Windows line end.
    fn before_return(&self, from: usize, end: usize) -> usize {
        if end > from && self.bytes.get(end - 1) == Some(&b'\r') { end - 1 } else { end }
    }

    fn quoted(&mut self, quote: u8) -> Result<RawField, &'static str> {
        self.at += 1;
        let from = self.at;
        let mut marked = false;
        let to = loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let found = match self.escape {
                Some(escape) => memchr2(quote, escape, rest),
                None => memchr(quote, rest),
            };
            let Some(found) = found else {
                self.at = self.bytes.len();
                return Err("a quoted field does not end");
            };
            let doubled = rest.get(found) == Some(&quote) && rest.get(found + 1) == Some(&quote);
            if doubled || rest.get(found) != Some(&quote) {
                marked = true;
                self.at = (self.at + found + 2).min(self.bytes.len());
                continue;
            }
            self.at += found + 1;
            break self.at - 1;
        };
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (step, last, closed) = match rest {
            [] => (0, true, false),
            [b'\r', b'\n', ..] => (2, true, true),
            [b'\r'] => (1, true, false),
            [b'\n', ..] => (1, true, true),
            [byte, ..] if *byte == self.delimiter => (1, false, false),
            _ => return Err("text follows the closing quote of a field"),
        };
        self.at += step;
        Ok(RawField { from, to, marked, last, closed })
    }

    /// Takes doubled quotes and escapes out of a field.
    pub(crate) fn unmark(&self, text: &str, out: &mut String) {
        out.clear();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let mark = u8::try_from(letter).ok();
            if mark.is_some() && (mark == self.quote || mark == self.escape) {
                // The letter behind the mark is meant; at the end of the field the mark itself.
                let rest = letters.as_str();
                if mark == self.escape || rest.as_bytes().first().copied() == mark {
                    out.extend(letters.next());
                    continue;
                }
            }
            out.push(letter);
        }
    }
}

/// Where the last whole record of `bytes` ends.
pub(crate) fn boundary(config: &CsvConfig, bytes: &[u8]) -> Option<usize> {
    let mut records = Records::new(config, bytes);
    if records.quote.is_none() && records.escape.is_none() {
        return memchr::memrchr(b'\n', bytes).map(|at| at + 1);
    }
    let mut end = None;
    // As the decoder walks: a comment stands where a record begins, and nowhere else.
    let mut begins = true;
    while records.start().is_some() {
        let closed = if begins && config.allow_comments && records.peek() == Some(b'#') {
            records.skip_line();
            bytes.get(records.at - 1) == Some(&b'\n')
        } else {
            match records.field() {
                Ok(field) if !field.last => {
                    begins = false;
                    continue;
                }
                Ok(field) => field.closed,
                // The rest of the line is given up, as the decoder does.
                Err(_) if records.at < bytes.len() => {
                    records.skip_line();
                    bytes.get(records.at - 1) == Some(&b'\n')
                }
                Err(_) => break,
            }
        };
        begins = true;
        if closed {
            end = Some(records.at);
        }
    }
    end
}
