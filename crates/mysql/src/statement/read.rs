//! A QUERY event: the statement, its default database, and of the session what changes its meaning.

use super::token::Mode;
use crate::bytes::{Bytes, Short};

/// A statement of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) database: String,
    pub(crate) sql: String,
    pub(crate) mode: Mode,
    /// `sql_mode` has ORACLE: some types have other names.
    pub(crate) oracle: bool,
    /// Databases that the statement wrote, by triggers and functions too; MySQL says so.
    pub(crate) written_databases: Option<Vec<String>>,
    /// Characters outside of ASCII are not what they seem.
    pub(crate) foreign: bool,
    /// Even quotes may be parts of characters.
    pub(crate) unreadable: bool,
    /// It stands between a BEGIN and an end.
    pub(crate) in_transaction: bool,
}

const ANSI_QUOTES: u64 = 1 << 2;
const ORACLE: u64 = 1 << 9;
const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;

/// More databases than this are not listed.
const TOO_MANY_DATABASES: u8 = 254;

/// Reads the data of a QUERY event, or of an EXECUTE_LOAD_QUERY event, which has more in front.
pub(crate) fn read(data: &[u8], load: bool) -> Result<Statement, Short> {
    let mut bytes = Bytes::new(data);
    bytes.take(8)?;
    let database = usize::from(bytes.byte()?);
    bytes.take(2)?;
    let status = usize::try_from(bytes.little(2)?).map_err(|_| Short)?;
    bytes.take(if load { 13 } else { 0 })?;
    let mut statement = Statement::default();
    let charset = statement.session(Bytes::new(bytes.take(status)?));
    statement.database = String::from_utf8_lossy(bytes.take(database)?).into_owned();
    bytes.take(1)?;
    statement.text(bytes.rest(), charset);
    Ok(statement)
}

impl Statement {
    /// Reads the variables of the session that wrote the statement, as far as they are known; gives its collation.
    fn session(&mut self, mut bytes: Bytes<'_>) -> Option<u64> {
        let mut charset = None;
        // What follows a variable that is not known cannot be found.
        let _ = self.variables(&mut bytes, &mut charset);
        charset
    }

    fn variables(&mut self, bytes: &mut Bytes<'_>, charset: &mut Option<u64>) -> Result<(), Short> {
        while !bytes.is_empty() {
            match bytes.byte()? {
                1 => {
                    let mode = bytes.little(8)?;
                    self.mode.ansi_quotes = mode & ANSI_QUOTES != 0;
                    self.mode.no_backslash_escapes = mode & NO_BACKSLASH_ESCAPES != 0;
                    self.oracle = mode & ORACLE != 0;
                }
                4 => {
                    *charset = Some(bytes.little(2)?);
                    bytes.take(4)?;
                }
                0 | 3 | 10 => drop(bytes.take(4)?),
                2 => {
                    let length = usize::from(bytes.byte()?);
                    bytes.take(length + 1)?;
                }
                5 | 6 => {
                    let length = usize::from(bytes.byte()?);
                    bytes.take(length)?;
                }
                7 | 8 | 18 => drop(bytes.take(2)?),
                9 | 17 => drop(bytes.take(8)?),
                11 => {
                    for _ in 0..2 {
                        let length = usize::from(bytes.byte()?);
                        bytes.take(length)?;
                    }
                }
                12 => {
                    let count = bytes.byte()?;
                    if count != TOO_MANY_DATABASES {
                        let names = (0..count).map(|_| name(bytes)).collect::<Result<Vec<_>, _>>()?;
                        self.written_databases = (!names.is_empty()).then_some(names);
                    }
                }
                13 => drop(bytes.take(3)?),
                16 | 19 | 20 => drop(bytes.take(1)?),
                _ => return Err(Short),
            }
        }
        Ok(())
    }

    /// The text in the client's character set. Those whose characters may end in a quote or a backslash are not cut.
    fn text(&mut self, raw: &[u8], collation: Option<u64>) {
        let utf8 = matches!(
            collation,
            None | Some(11 | 33 | 45 | 46 | 63 | 65 | 76 | 83 | 192..=215 | 223..=247 | 255..=323 | 576..=578 | 608..=610 | 2048..)
        );
        let latin1 = matches!(collation, Some(5 | 8 | 15 | 31 | 47 | 48 | 49 | 94));
        let cuttable = utf8 || latin1 || ascii_stays(collation.unwrap_or(0));
        self.unreadable = !cuttable && (!raw.is_ascii() || collation == Some(10) || collation == Some(82));
        self.foreign = !utf8 && !latin1 && !raw.is_ascii();
        self.sql = if latin1 {
            raw.iter().map(|byte| western(*byte)).collect()
        } else {
            String::from_utf8_lossy(raw).into_owned()
        };
        self.foreign |= utf8 && self.sql.contains('\u{fffd}');
    }
}

/// MySQL's latin1 is code page 1252 where that has a character, and the control of the same number elsewhere.
fn western(byte: u8) -> char {
    const HIGH: [u16; 32] = [
        0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d,
        0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d,
        0x17e, 0x178,
    ];
    let high = byte.checked_sub(0x80).and_then(|index| HIGH.get(usize::from(index)));
    high.and_then(|code| char::from_u32(u32::from(*code))).unwrap_or(char::from(byte))
}

fn name(bytes: &mut Bytes<'_>) -> Result<String, Short> {
    let mut name = Vec::new();
    loop {
        match bytes.byte()? {
            0 => return Ok(String::from_utf8_lossy(&name).into_owned()),
            byte => name.push(byte),
        }
    }
}

/// Collations of character sets in which a byte is a character and ASCII is ASCII.
fn ascii_stays(collation: u64) -> bool {
    matches!(
        collation,
        2..=4 | 6 | 7 | 9 | 12 | 14 | 16 | 18..=27 | 29 | 30 | 32 | 34 | 36..=44 | 50..=53 | 57..=59 | 64 | 66..=75
            | 77..=81 | 85 | 86 | 89 | 91..=93 | 97..=99
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An event with a `sql_mode` and a client's collation.
    pub(crate) fn event(sql_mode: u64, collation: u16, database: &str, sql: &[u8]) -> Vec<u8> {
        let mut status = vec![0, 0, 0, 0, 0, 1];
        status.extend_from_slice(&sql_mode.to_le_bytes());
        status.extend_from_slice(&[6, 3, b's', b't', b'd', 4]);
        status.extend_from_slice(&collation.to_le_bytes());
        status.extend_from_slice(&[0; 4]);
        status.extend_from_slice(&[12, 2, b'a', 0, b'b', 0]);
        let mut event = vec![0; 8];
        event.push(database.len() as u8);
        event.extend_from_slice(&[0, 0]);
        event.extend_from_slice(&(status.len() as u16).to_le_bytes());
        event.extend_from_slice(&status);
        event.extend_from_slice(database.as_bytes());
        event.push(0);
        event.extend_from_slice(sql);
        event
    }

    #[test]
    fn what_the_session_had_set_is_read() {
        let read = |mode, collation, sql: &[u8]| read(&event(mode, collation, "shop", sql), false).expect("an event");
        let ansi = read(ANSI_QUOTES | NO_BACKSLASH_ESCAPES, 255, b"TRUNCATE \"t\"");
        assert_eq!((ansi.database.as_str(), ansi.sql.as_str()), ("shop", "TRUNCATE \"t\""));
        assert!(ansi.mode.ansi_quotes && ansi.mode.no_backslash_escapes && !ansi.foreign && !ansi.unreadable);
        assert_eq!(ansi.written_databases, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read(0, 8, b"TRUNCATE gr\xf6\xdfe").sql, "TRUNCATE größe");
        assert!(read(0, 51, b"TRUNCATE \xf2").foreign, "cp1251: the name is not known");
        assert!(read(0, 28, b"TRUNCATE \x81\x60").unreadable, "gbk: a quote may be half a character");
        assert!(!read(0, 28, b"TRUNCATE t").unreadable);
    }

    proptest! {
        #[test]
        fn law_any_bytes_are_an_event_or_none(data in proptest::collection::vec(any::<u8>(), 0..80), load: bool) {
            let _ = read(&data, load);
        }
    }
}
