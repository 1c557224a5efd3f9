//! Key ranges that nobody gave: over the primary key, or a unique key without NULL, so that each has about as many rows as
//! the others.
//!
//! The server's estimate for a range costs a look into the index and is good to some per cent, so the span of the key is
//! halved where there are rows until the pieces are small, and the pieces are put together to ranges of one size. Gaps and
//! skew do not matter then. Where the first column has one value for many rows, the next one is halved behind it.
//!
//! A bound is always a key that the table has, found by the server in the order of its index: what a collation puts where
//! does not have to be known here.

use headwater_change::Result;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::client::{query_error, row};
use crate::ident::ident;
use crate::scan::middle::Domain;
use crate::scan::range::{Key, Range, compared};
use crate::schema::Column;

/// Rows of a range, about. Small enough that connections end at about the same time.
const ROWS: u64 = 200_000;

/// Ranges at most.
const RANGES: u64 = 256;

/// Ranges that a connection reads at least, one after the other.
const PER_CONNECTION: u64 = 4;

/// How often a piece is halved at most, should the estimates say nothing.
const HALVINGS: u32 = 64;

/// How many places are tried to halve a piece at.
const PROBES: usize = 8;

/// The table's ranges for so many connections; one range where there is no key to split by, or too few rows.
pub(super) async fn ranges(
    conn: &mut Conn,
    (database, table): (&str, &str),
    columns: &[Column],
    connections: usize,
) -> Result<Vec<Range>> {
    if connections < 2 {
        return Ok(vec![Range::All]);
    }
    let Some((index, names)) = key(conn, database, table).await? else { return Ok(vec![Range::All]) };
    let part = |name: &String| {
        let column = columns.iter().find(|column| column.name == *name)?;
        Some((name.clone(), Domain::of(&column.kind)?))
    };
    // Behind a column that cannot be halved the others are of no use.
    let parts: Vec<(String, Domain)> = names.iter().map_while(part).collect();
    if parts.is_empty() {
        return Ok(vec![Range::All]);
    }
    let table = format!("{}.{} FORCE INDEX ({})", ident(database), ident(table), ident(&index));
    let mut split = Split { conn, table, parts };
    let whole = Piece { prefix: Vec::new(), from: None, below: None, rows: 0, halvings: 0 };
    let rows = match split.try_estimate(&whole).await {
        Ok(rows) => rows,
        // The index is one that queries do not see.
        Err(mysql_async::Error::Server(error)) if error.code == 1176 => return Ok(vec![Range::All]),
        Err(error) => return Err(query_error("estimate rows", error)),
    };
    let connections = u64::try_from(connections).unwrap_or(1);
    let wanted = (rows / ROWS).clamp(connections * PER_CONNECTION, RANGES);
    if rows < wanted * 2 {
        return Ok(vec![Range::All]);
    }
    let bounds = split.bounds(Piece { rows, ..whole }, rows / wanted).await?;
    Ok(Range::between(&bounds))
}

/// The primary key or the shortest unique key without NULL: its name and its columns.
async fn key(conn: &mut Conn, database: &str, table: &str) -> Result<Option<(String, Vec<String>)>> {
    // Of an expression there is no column, and of a part of one it is not the order.
    let rows: Vec<(String, String, bool)> = conn
        .exec(
            "SELECT INDEX_NAME, COALESCE(COLUMN_NAME, ''), NULLABLE = 'YES' OR SUB_PART IS NOT NULL OR COLUMN_NAME IS NULL \
             FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 \
             ORDER BY INDEX_NAME, SEQ_IN_INDEX",
            (database, table),
        )
        .await
        .map_err(|error| query_error("describe the keys", error))?;
    let mut keys: Vec<(String, Vec<String>, bool)> = Vec::new();
    for (index, column, unfit) in rows {
        match keys.last_mut().filter(|(name, ..)| *name == index) {
            Some((_, columns, unfits)) => {
                columns.push(column);
                *unfits |= unfit;
            }
            None => keys.push((index, vec![column], unfit)),
        }
    }
    keys.retain(|(_, _, unfit)| !unfit);
    keys.sort_by_key(|(name, columns, _)| (name != "PRIMARY", columns.len()));
    Ok(keys.into_iter().next().map(|(name, columns, _)| (name, columns)))
}

/// Rows whose first columns are those of the prefix, and whose next one is between two literals.
#[derive(Clone, Debug)]
struct Piece {
    prefix: Key,
    from: Option<String>,
    below: Option<String>,
    rows: u64,
    halvings: u32,
}

struct Split<'a> {
    conn: &'a mut Conn,
    /// With the index that is to be used.
    table: String,
    /// The columns that can be halved.
    parts: Vec<(String, Domain)>,
}

impl Split<'_> {
    /// The column that a piece is halved by.
    fn part(&self, piece: &Piece) -> Option<&(String, Domain)> {
        self.parts.get(piece.prefix.len())
    }

    fn condition(&self, piece: &Piece) -> String {
        let equal = piece.prefix.iter().map(|(column, value)| format!("{} = {value}", ident(column)));
        let mut all: Vec<String> = equal.collect();
        if let Some((column, _)) = self.part(piece) {
            let bound = |value: &Option<String>, sign| {
                value.iter().map(|value| compared(&[(column.clone(), value.clone())], sign)).collect::<Vec<_>>()
            };
            all.extend(bound(&piece.from, '>'));
            all.extend(bound(&piece.below, '<'));
        }
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    }

    /// The least and the greatest value of the piece's column, as texts that the domain reads.
    async fn span(&mut self, piece: &Piece) -> Result<Option<(String, String)>> {
        let Some((column, domain)) = self.part(piece) else { return Ok(None) };
        let column = ident(column).to_string();
        let least = domain.shown(&format!("MIN({column})"));
        let most = domain.shown(&format!("MAX({column})"));
        let sql = format!("SELECT {least}, {most} FROM {}{}", self.table, self.condition(piece));
        let found = row(self.conn, &sql).await.map_err(|error| query_error("find the span of a key", error))?;
        let mut found = found.unwrap_or_default().into_iter();
        Ok(found.next().flatten().zip(found.next().flatten()))
    }

    /// The first value of a piece's column from a literal on, but behind the least one.
    async fn next(&mut self, piece: &Piece, from: &str, least: &str) -> Result<Option<String>> {
        let Some((column, domain)) = self.part(piece) else { return Ok(None) };
        let (shown, column) = (domain.shown(&ident(column).to_string()), ident(column));
        let condition = self.condition(piece);
        let condition = if condition.is_empty() { " WHERE TRUE".to_owned() } else { condition };
        let sql = format!(
            "SELECT {shown} FROM {}{condition} AND {column} >= {from} AND {column} > {least} ORDER BY {column} LIMIT 1",
            self.table
        );
        let found = row(self.conn, &sql).await.map_err(|error| query_error("find a key", error))?;
        Ok(found.and_then(|row| row.into_iter().next().flatten()))
    }

    /// About how many rows a piece has.
    async fn estimate(&mut self, piece: &Piece) -> Result<u64> {
        self.try_estimate(piece).await.map_err(|error| query_error("estimate rows", error))
    }

    async fn try_estimate(&mut self, piece: &Piece) -> mysql_async::Result<u64> {
        // With an index forced MySQL looks into it for an aggregate only; its default format may be another one.
        let sql = format!("EXPLAIN FORMAT=TRADITIONAL SELECT COUNT(*) FROM {}{}", self.table, self.condition(piece));
        let result = self.conn.query_iter(sql).await?;
        let at = result.columns().and_then(|columns| columns.iter().position(|column| column.name_str() == "rows"));
        let rows: Vec<mysql_async::Row> = result.collect_and_drop().await?;
        let found =
            rows.first().zip(at).and_then(|(row, at)| row.get_opt::<u64, usize>(at)).and_then(std::result::Result::ok);
        Ok(found.unwrap_or(0))
    }

    /// Keys between ranges of about so many rows.
    async fn bounds(&mut self, whole: Piece, wanted: u64) -> Result<Vec<Key>> {
        let mut bounds = Vec::new();
        let mut filled = 0;
        // From left to right: what is on top of the stack comes next.
        let mut open = vec![whole];
        while let Some(piece) = open.pop() {
            if piece.rows > wanted / 2
                && let Some(parts) = self.parts_of(&piece).await?
            {
                open.extend(parts.into_iter().rev());
                continue;
            }
            if filled > 0 && filled + piece.rows > wanted {
                bounds.extend(self.start(&piece));
                filled = 0;
            }
            filled += piece.rows;
        }
        Ok(bounds)
    }

    /// The key at which a piece begins.
    fn start(&self, piece: &Piece) -> Option<Key> {
        let mut key = piece.prefix.clone();
        match (self.part(piece), &piece.from) {
            (Some((column, _)), Some(from)) => key.push((column.clone(), from.clone())),
            _ if key.is_empty() => return None,
            _ => {}
        }
        Some(key)
    }

    /// A key of the piece, behind its first, from which on about a half of it may be.
    async fn cut(&mut self, piece: &Piece, domain: Domain, least: String, most: String) -> Result<Option<String>> {
        let first = domain.literal(&least);
        let mut high = most;
        // Where a collation has the middle behind all that is there, nothing is found: the next one is before it.
        for _ in 0..PROBES {
            let Some(middle) = domain.middle(&least, &high) else { return Ok(None) };
            if let Some(found) = self.next(piece, &domain.literal(&middle), &first).await? {
                return Ok(Some(domain.literal(&found)));
            }
            high = middle;
        }
        Ok(None)
    }

    /// The two halves of a piece, or what is behind its one value; nothing where it is to stay whole.
    async fn parts_of(&mut self, piece: &Piece) -> Result<Option<Vec<Piece>>> {
        let Some((least, most)) = self.span(piece).await? else { return Ok(None) };
        let Some((column, domain)) = self.part(piece).cloned() else { return Ok(None) };
        if piece.halvings >= HALVINGS {
            return Ok(None);
        }
        if least == most {
            if piece.prefix.len() + 1 >= self.parts.len() {
                return Ok(None);
            }
            let mut prefix = piece.prefix.clone();
            prefix.push((column, domain.literal(&least)));
            return Ok(Some(vec![Piece { prefix, from: None, below: None, rows: piece.rows, halvings: 0 }]));
        }
        let Some(at) = self.cut(piece, domain, least, most).await? else { return Ok(None) };
        let halvings = piece.halvings + 1;
        // The first half begins where the piece does, which is a bound that was found before, or no bound.
        let mut left = Piece { below: Some(at.clone()), halvings, ..piece.clone() };
        let mut right = Piece { from: Some(at), halvings, ..piece.clone() };
        (left.rows, right.rows) = (self.estimate(&left).await?, self.estimate(&right).await?);
        Ok((left.rows + right.rows > 0).then(|| vec![left, right]))
    }
}
