//! What must not be shown: values of secret options, passwords in addresses, and what looks like either.
//!
//! ```text
//!  script ──► masked: stars where a secret stands, places that still fit ──► excerpts of errors
//!     └─────► remember ─┐
//!  checked options ─────┴──► redact: stars wherever a remembered value stands ──► messages, logs, listings
//! ```
//!
//! The law: what was remembered once appears in nothing that goes through [`redact`] or [`masked`]. A name need not be
//! spelled right to be that of a secret: `pasword` is one.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use crate::options::distance;

/// What is shown instead.
pub const STARS: &str = "****";
/// Shorter values are masked where they stand; in other texts they would be found everywhere.
const REMEMBERED_MIN: usize = 3;

/// What hints and documentation write where a password stands.
const PLACEHOLDERS: &[&str] = &["password", "…", "..."];

static REMEMBERED: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());

/// Remembers a value that must never be shown, for the life of the process. References such as `env:NAME` are none.
pub fn remember(value: &str) {
    if is_reference(value) || value.chars().count() < REMEMBERED_MIN {
        return;
    }
    let debug = format!("{value:?}");
    let quoted = debug.get(1..debug.len() - 1).unwrap_or(value).to_owned();
    let forms = [value.to_owned(), value.replace('\'', "''"), value.replace('\'', "\\'"), quoted, decoded(value)];
    let mut remembered = REMEMBERED.write().unwrap_or_else(PoisonError::into_inner);
    remembered.extend(forms.into_iter().filter(|form| form.chars().count() >= REMEMBERED_MIN));
}

/// Remembers all secrets that stand in a script.
pub fn remember_script(text: &str) {
    for range in written(text).into_iter().chain(in_addresses(text)) {
        remember(&text.get(range).unwrap_or_default().replace("''", "'"));
    }
}

/// Whether the option or setting of this name is a secret, also when the name is a slip.
pub fn is_secret(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "secret",
        "token",
        "credential",
        "apikey",
        "accesskey",
        "privatekey",
        "signingkey",
    ];
    let name = name.to_lowercase();
    let joined: String = name.chars().filter(|letter| letter.is_alphanumeric()).collect();
    if WORDS.iter().any(|word| joined.contains(word)) {
        return true;
    }
    let near = |segment: &str| {
        let length = segment.chars().count();
        ["pwd", "pw", "pass", "passwrd", "psw", "pswd"].contains(&segment)
            || (6..=10).contains(&length) && distance(segment, "password") <= 2
            || (5..=7).contains(&length)
                && ["secret", "token", "passwd"].iter().any(|word| distance(segment, word) <= 1)
    };
    name.split(|letter: char| !letter.is_alphanumeric()).any(near) || near(&joined)
}

/// Whether a value says where the secret is instead of being one.
fn is_reference(value: &str) -> bool {
    value.starts_with("env:") || value.starts_with("file:") || value.starts_with("${") || PLACEHOLDERS.contains(&value)
}

/// A text without the values that were remembered and without passwords of addresses.
pub fn redact(text: &str) -> Cow<'_, str> {
    let ranges = merged(remembered_in(text).into_iter().chain(in_addresses(text)));
    if ranges.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(replaced(text, &ranges)) }
}

/// A script with stars for its secrets, and where its places are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// What may be shown.
    pub text: String,
    ranges: Vec<Range<usize>>,
}

/// Masks a script.
pub fn masked(script: &str) -> Masked {
    let all = written(script).into_iter().chain(in_addresses(script)).chain(remembered_in(script));
    let ranges = merged(all);
    Masked { text: replaced(script, &ranges), ranges }
}

impl Masked {
    /// Where a range of the script stands in the masked text.
    pub fn range(&self, range: Range<usize>) -> Range<usize> {
        self.place(range.start, false)..self.place(range.end, true)
    }

    fn place(&self, offset: usize, end: bool) -> usize {
        let (mut removed, mut added) = (0, 0);
        for range in &self.ranges {
            if range.end <= offset {
                removed += range.len();
                added += STARS.len();
            } else if range.start < offset {
                return range.start - removed + added + if end { STARS.len() } else { 0 };
            } else {
                break;
            }
        }
        offset - removed + added
    }
}

fn replaced(text: &str, ranges: &[Range<usize>]) -> String {
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for range in ranges {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(STARS);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// In order, and without overlaps.
fn merged(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = ranges.filter(|range| !range.is_empty()).collect();
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut out: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

fn remembered_in(text: &str) -> Vec<Range<usize>> {
    let remembered = REMEMBERED.read().unwrap_or_else(PoisonError::into_inner);
    let of = |value: &str| text.match_indices(value).map(|(at, found)| at..at + found.len()).collect::<Vec<_>>();
    remembered.iter().flat_map(|value| of(value)).collect()
}

/// Passwords of addresses (`scheme://user:password@host`) and secret parameters behind their question mark.
fn in_addresses(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, scheme) in text.match_indices("://") {
        let begin = at + scheme.len();
        let rest = text.get(begin..).unwrap_or_default();
        let length = rest.find(|letter: char| letter.is_whitespace() || "'\"`<>,;".contains(letter));
        let rest = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        if let Some(user_end) = rest.rfind('@')
            && let Some(colon) = rest.get(..user_end).and_then(|user| user.find(':'))
            && let Some(password) = rest.get(colon + 1..user_end)
            && !is_port(password)
            && !is_reference(password)
        {
            found.push(begin + colon + 1..begin + user_end);
        }
        let Some((before, query)) = rest.split_once('?') else { continue };
        let mut place = begin + before.len() + 1;
        for pair in query.split('&') {
            if let Some((name, value)) = pair.split_once('=')
                && is_secret(name)
            {
                found.push(place + name.len() + 1..place + name.len() + 1 + value.len());
            }
            place += pair.len() + 1;
        }
    }
    found
}

/// Whether what follows a colon is a port and a path, in which an at sign may stand.
fn is_port(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && text.as_bytes().get(digits) == Some(&b'/')
}

/// Percent signs taken out, as a driver does with an address.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code =
            text.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|code| u8::from_str_radix(code, 16).ok());
        out.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_default()
}

/// A piece of SQL, as far as secrets go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Inside of quotes of any kind.
    Quoted(Range<usize>),
    /// A word, a number, a name with dots.
    Word(Range<usize>),
    Mark(u8),
}

/// Where the values of secret options and settings stand in a script.
fn written(text: &str) -> Vec<Range<usize>> {
    let of = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
    let mut found = Vec::new();
    // What stands before the value: a secret name in quotes, or one without, and then the equals sign.
    let (mut quoted_name, mut plain_name, mut equals) = (false, false, false);
    for piece in pieces(text) {
        match &piece {
            Piece::Mark(b'=') => equals = true,
            Piece::Mark(b',' | b')' | b';') => (quoted_name, plain_name, equals) = (false, false, false),
            Piece::Mark(_) => {}
            Piece::Quoted(range) if quoted_name || plain_name && equals => {
                if !is_reference(of(range)) {
                    found.push(range.clone());
                }
                equals = false;
            }
            Piece::Word(range) if quoted_name && equals => found.push(range.clone()),
            Piece::Quoted(range) => {
                quoted_name = is_secret(of(range)) && of(range).len() < 80 && !equals;
                found.extend(
                    pairs_in(of(range)).into_iter().map(|pair| range.start + pair.start..range.start + pair.end),
                );
                equals = false;
            }
            Piece::Word(range) => {
                plain_name =
                    is_secret(of(range)) || of(range).eq_ignore_ascii_case("identified") || plain_name && !equals;
                equals |= of(range).eq_ignore_ascii_case("by");
            }
        }
    }
    found
}

/// Values of `name=value` inside a text, where the name is that of a secret.
fn pairs_in(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('=') {
        let before = text.get(..at).unwrap_or_default().trim_end();
        let from = before.rfind(|letter: char| !(letter.is_alphanumeric() || "-_.".contains(letter)));
        let name = before.get(from.map_or(0, |from| from + 1)..).unwrap_or_default();
        let value = text.get(at + 1..).unwrap_or_default();
        let length = value.find(|letter: char| letter.is_whitespace() || "&;,".contains(letter)).unwrap_or(value.len());
        if is_secret(name) {
            found.push(at + 1..at + 1 + length);
        }
    }
    found
}

/// Cuts SQL into pieces; comments and blanks fall out. A quote that is not closed goes to the end.
fn pieces(text: &str) -> Vec<Piece> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let rest = text.get(at..).unwrap_or_default();
        match byte {
            b'\'' | b'"' | b'`' => {
                let end = closing(bytes, at);
                pieces.push(Piece::Quoted(at + 1..end));
                at = end + 1;
            }
            b'-' if rest.starts_with("--") => at += rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => at += rest.find("*/").map_or(rest.len(), |end| end + 2),
            _ if byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii() => {
                let length = rest
                    .find(|letter: char| !(letter.is_alphanumeric() || "_-.".contains(letter) || !letter.is_ascii()));
                let length = length.unwrap_or(rest.len()).max(1);
                pieces.push(Piece::Word(at..at + length));
                at += length;
            }
            _ => {
                if !byte.is_ascii_whitespace() {
                    pieces.push(Piece::Mark(byte));
                }
                at += 1;
            }
        }
    }
    pieces
}

/// Where the quote that opens at `at` closes; doubled ones are inside.
fn closing(bytes: &[u8], at: usize) -> usize {
    let quote = bytes.get(at).copied();
    let mut end = at + 1;
    while end < bytes.len() {
        if bytes.get(end).copied() == quote {
            if bytes.get(end + 1).copied() != quote {
                return end;
            }
            end += 1;
        }
        end += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(script: &str) -> String {
        masked(script).text
    }

    #[test]
    fn secrets_are_known_by_their_names_also_by_slips() {
        for name in [
            "password",
            "Password",
            "pasword",
            "passwrod",
            "passwort",
            "pass-word",
            "db_pwd",
            "user.passwd",
            "secret",
            "client-secret",
            "scret",
            "auth.token",
            "jdbc.properties.password",
            "s3.secret-key",
            "apiKey",
            "passphrase",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "path",
            "username",
            "hostname",
            "table-name",
            "format",
            "partition",
            "primary-key",
            "record.key.fields",
            "scan.startup.mode",
            "json.timestamp-format.standard",
            "select",
            "passenger",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_script_shows_stars_for_secrets_and_nothing_else() {
        for (script, expected) in [
            ("WITH ('password' = 'it''s', 'port' = '1')", "WITH ('password' = '****', 'port' = '1')"),
            ("WITH ('pasword'='a b')", "WITH ('pasword'='****')"),
            ("WITH ('password' 'abc', 'x' = 'y')", "WITH ('password' '****', 'x' = 'y')"),
            ("WITH ('password' = 'env:NAME')", "WITH ('password' = 'env:NAME')"),
            ("SET 'a.token' = 'abc'; SELECT 'abd'", "SET 'a.token' = '****'; SELECT 'abd'"),
            ("SET 'a.token' = abc-d.e;", "SET 'a.token' = ****;"),
            (
                "CREATE TABLE t (password STRING, `token` INT) WITH ('x' = 'y')",
                "CREATE TABLE t (password STRING, `token` INT) WITH ('x' = 'y')",
            ),
            ("WITH ('password' = 'never closed", "WITH ('password' = '****"),
            ("-- 'password'\nSELECT 'x'", "-- 'password'\nSELECT 'x'"),
            ("'url' = 'mysql://me:s3:c@r/et@host:3306/db'", "'url' = 'mysql://me:****@host:3306/db'"),
            ("'url' = 'http://host:80/a@b?token=xyz&page=1'", "'url' = 'http://host:80/a@b?token=****&page=1'"),
            ("'dsn' = 'host=h;password=xyz;a=b'", "'dsn' = 'host=h;password=****;a=b'"),
            ("WITH (password = 'xyz')", "WITH (password = '****')"),
            ("CREATE USER me IDENTIFIED BY 'xyz'", "CREATE USER me IDENTIFIED BY '****'"),
        ] {
            assert_eq!(shown(script), expected);
        }
    }

    #[test]
    fn places_still_point_at_their_words() {
        let script = "'password' = 'very long secret', 'prot' = '1'";
        let masked = masked(script);
        let place = |word: &str| {
            let at = script.find(word).expect("there");
            masked.text.get(masked.range(at..at + word.len())).expect("inside").to_owned()
        };
        assert_eq!((place("'prot'"), place("'password'")), ("'prot'".to_owned(), "'password'".to_owned()));
        assert_eq!((place("'very long secret'"), place("long")), ("'****'".to_owned(), "****".to_owned()));
    }

    #[test]
    fn what_is_remembered_is_shown_in_no_form() {
        remember("tr\"ou'ble%21");
        for text in ["a tr\"ou'ble%21 b", "a tr\"ou''ble%21 b", "a tr\\\"ou'ble%21 b", "a tr\"ou'ble! b"] {
            assert_eq!(redact(text), "a **** b");
        }
        remember("ab");
        assert_eq!(redact("absolutely"), "absolutely");
        remember_script("WITH ('password' = 'zxcvbn')");
        assert_eq!(redact("login with zxcvbn failed"), "login with **** failed");
    }
}
