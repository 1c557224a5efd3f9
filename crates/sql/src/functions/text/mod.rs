//! Functions of text. Positions count characters (code points) from 1; NULL in gives NULL out unless it says otherwise.
//!
//! * [`slice`]: parts, padding, repetition
//! * [`search`]: positions, replacement, pieces
//! * [`trim`]: what stands at the ends
//! * [`letters`]: case and kinds of characters
//! * [`encode`]: base64, hexadecimal, charsets, URLs
//! * [`digest`]: MD5 and SHA

mod digest;
mod encode;
mod letters;
mod search;
mod slice;
mod trim;
mod url;

use super::Bind;

pub(super) const ALL: &[&[(&str, Bind)]] =
    &[slice::ALL, search::ALL, trim::ALL, letters::ALL, encode::ALL, digest::ALL, url::ALL];
