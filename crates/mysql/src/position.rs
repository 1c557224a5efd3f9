//! Where the log is read: GTIDs, and file and offset for people and for servers without GTIDs.
//!
//! The token is `binlog.000003:4711;uuid:1-77` (MariaDB: `…;0-1-42`), and without GTIDs `binlog.000003:4711;@uuid` with the
//! server's uuid: files and offsets mean nothing on another one. Reading goes on by the GTIDs where there are some. The
//! token `snapshot` stands for the middle of a snapshot, from which nothing can go on: no epoch ends there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use headwater_change::{Error, Place, Position, Result};

/// Name of the one partition of a server's log.
pub(crate) const PARTITION: &str = "binlog";

/// Token of every run before the end of the snapshot.
pub(crate) const SNAPSHOT_TOKEN: &str = "snapshot";

/// Executed transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gtids {
    /// MySQL's set.
    MySql(GtidSet),
    /// MariaDB's position: the last transaction of each domain, as `(server, sequence)`.
    MariaDb(BTreeMap<u32, (u32, u64)>),
    /// None, but the uuid of the MySQL server whose files and offsets are meant.
    Server([u8; 16]),
}

impl Gtids {
    pub(crate) fn parse_mariadb(text: &str) -> Option<Self> {
        let mut domains = BTreeMap::new();
        for gtid in text.split(',').map(str::trim).filter(|gtid| !gtid.is_empty()) {
            let mut parts = gtid.split('-');
            let domain = parts.next()?.parse().ok()?;
            let last = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            if parts.next().is_some() {
                return None;
            }
            domains.insert(domain, last);
        }
        Some(Self::MariaDb(domains))
    }
}

impl fmt::Display for Gtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(set) => set.fmt(f),
            Self::MariaDb(domains) => {
                for (nth, (domain, (server, sequence))) in domains.iter().enumerate() {
                    let comma = if nth == 0 { "" } else { "," };
                    write!(f, "{comma}{domain}-{server}-{sequence}")?;
                }
                Ok(())
            }
            Self::Server(uuid) => {
                f.write_str("@")?;
                print_uuid(uuid, f)
            }
        }
    }
}

/// A set of MySQL GTIDs: for each server and tag, closed intervals in order that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GtidSet(pub(crate) BTreeMap<Origin, Vec<(u64, u64)>>);

/// A server's UUID and a tag, empty where there is none.
pub(crate) type Origin = ([u8; 16], String);

impl GtidSet {
    /// Reads `uuid[:tag]:1-5:7,…`, the text that MySQL prints.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut pieces = part.split(':').map(str::trim);
            let uuid = parse_uuid(pieces.next()?)?;
            let mut tag = String::new();
            for piece in pieces {
                if piece.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    tag = piece.to_ascii_lowercase();
                    continue;
                }
                let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
                set.add_interval((uuid, tag.clone()), first.trim().parse().ok()?, last.trim().parse().ok()?);
            }
        }
        Some(set)
    }

    /// Adds one transaction.
    pub(crate) fn add(&mut self, uuid: [u8; 16], tag: &str, number: u64) {
        // The usual case does not allocate: the next number of a known server.
        if tag.is_empty()
            && let Some((_, last)) = self.0.get_mut(&(uuid, String::new())).and_then(|list| list.last_mut())
            && *last + 1 == number
        {
            *last = number;
            return;
        }
        self.add_interval((uuid, tag.to_owned()), number, number);
    }

    fn add_interval(&mut self, server: Origin, first: u64, last: u64) {
        if first == 0 || last < first {
            return;
        }
        let list = self.0.entry(server).or_default();
        list.push((first, last));
        list.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(list.len());
        for (first, last) in list.drain(..) {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        *list = merged;
    }
}

fn print_uuid(uuid: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    uuid.iter().enumerate().try_for_each(|(index, byte)| {
        let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        write!(f, "{dash}{byte:02x}")
    })
}

pub(crate) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let number = u128::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
    (digits.len() == 32).then(|| number.to_be_bytes())
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, ((uuid, tag), intervals)) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str(",")?;
            }
            print_uuid(uuid, f)?;
            if !tag.is_empty() {
                write!(f, ":{tag}")?;
            }
            for (first, last) in intervals {
                write!(f, ":{first}")?;
                if last > first {
                    write!(f, "-{last}")?;
                }
            }
        }
        Ok(())
    }
}

/// A place between two transactions of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogPlace {
    pub(crate) file: String,
    pub(crate) offset: u64,
    /// `None` where the server has no GTIDs.
    pub(crate) gtids: Option<Gtids>,
}

impl LogPlace {
    pub(crate) fn position(&self, ordinal: u64) -> Position {
        Position::new(Arc::from(PARTITION), self.to_string(), ordinal)
    }

    /// The place of a position that this source handed out.
    pub(crate) fn parse(token: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Err(Error::usage("mysql.position", format!("this is not a place in a binlog: {why}"))
                .at(Place::Position(token.to_owned())))
        };
        if token == SNAPSHOT_TOKEN {
            return wrong("a snapshot cannot be continued in its middle");
        }
        let (log, gtids) = match token.split_once(';') {
            Some((log, gtids)) => (log, Some(gtids)),
            None => (token, None),
        };
        let Some((file, offset)) = log.rsplit_once(':') else { return wrong("no file and offset") };
        let Ok(offset) = offset.parse() else { return wrong("the offset is not a number") };
        let gtids = match gtids {
            None => None,
            Some(text) => match text
                .strip_prefix('@')
                .map_or_else(|| parse_gtids(text), |uuid| parse_uuid(uuid).map(Gtids::Server))
            {
                Some(gtids) => Some(gtids),
                None => return wrong("the GTIDs cannot be read"),
            },
        };
        Ok(Self { file: file.to_owned(), offset, gtids })
    }
}

/// Either kind of GTIDs. MySQL's have colons, MariaDB's do not; the empty text is read as MySQL's empty set.
pub(crate) fn parse_gtids(text: &str) -> Option<Gtids> {
    if text.contains(':') || text.trim().is_empty() {
        return GtidSet::parse(text).map(Gtids::MySql);
    }
    Gtids::parse_mariadb(text)
}

impl fmt::Display for LogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)?;
        match &self.gtids {
            Some(gtids) => write!(f, ";{gtids}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn tokens_round_trip() {
        for token in [
            "binlog.000003:4711".to_owned(),
            format!("binlog.000003:4711;{UUID}:1-5:7"),
            format!("b:4;{UUID}:1-5,{UUID}:tag:9"),
            "b:4;0-1-5,7-2-9".to_owned(),
            "b:4;".to_owned(),
            format!("b:4;@{UUID}"),
        ] {
            assert_eq!(LogPlace::parse(&token).map(|place| place.to_string()).ok().as_deref(), Some(token.as_str()));
        }
        assert!(LogPlace::parse("snapshot").is_err());
        assert!(LogPlace::parse("b:x").is_err());
        assert!(LogPlace::parse("b:4;@1").is_err());
    }

    #[test]
    fn intervals_grow_and_merge() {
        let mut set = GtidSet::parse(&format!("{UUID}:1-3:5")).expect("a set");
        let uuid = parse_uuid(UUID).expect("a uuid");
        set.add(uuid, "", 6);
        set.add(uuid, "", 9);
        set.add(uuid, "", 4);
        assert_eq!(set.to_string(), format!("{UUID}:1-6:9"));
    }
}
