//! Reading little-endian protocol bytes that may be damaged: every read says whether the bytes were there.

/// The bytes ended before the value did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short;

/// A place in a slice.
#[derive(Clone, Debug)]
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Short)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Short> {
        let (first, rest) = self.0.split_first().ok_or(Short)?;
        self.0 = rest;
        Ok(*first)
    }

    /// An unsigned number of `count` bytes (up to 8), low byte first.
    #[inline]
    pub(crate) fn little(&mut self, count: usize) -> Result<u64, Short> {
        Ok(little(self.take(count)?))
    }

    /// An unsigned number of `count` bytes (up to 8), high byte first.
    #[inline]
    pub(crate) fn big(&mut self, count: usize) -> Result<u64, Short> {
        Ok(big(self.take(count)?))
    }

    /// A length-encoded number, as the protocol documents it.
    pub(crate) fn packed(&mut self) -> Result<u64, Short> {
        match self.byte()? {
            first @ 0..=250 => Ok(u64::from(first)),
            252 => self.little(2),
            253 => self.little(3),
            254 => self.little(8),
            _ => Err(Short),
        }
    }

    /// The same where a length that fits into memory is expected.
    pub(crate) fn length(&mut self) -> Result<usize, Short> {
        usize::try_from(self.packed()?).map_err(|_| Short)
    }
}

pub(crate) fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

pub(crate) fn big(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Bit `index` of a bitmap whose first bit is the lowest of the first byte.
pub(crate) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}
