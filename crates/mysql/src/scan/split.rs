//! Key ranges that nobody gave: over the first column of the primary key, so that each has about as many rows as the others.
//!
//! The server's estimate for a range costs a look into the index and is good to some per cent, so the span of the key is
//! halved where there are rows until the pieces are small, and the pieces are put together to ranges of one size. Gaps and
//! skew do not matter then.

use headwater_change::Result;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::client::{query_error, row};
use crate::ident::ident;
use crate::scan::partition::Range;
use crate::schema::{Column, Kind};

/// Rows of a range, about. Small enough that connections end at about the same time.
const ROWS: u64 = 200_000;

/// Ranges at most.
const RANGES: u64 = 256;

/// Ranges that a connection reads at least, one after the other.
const PER_CONNECTION: u64 = 4;

/// The table's ranges for so many connections; one range where there is no key to split by, or too few rows.
pub(super) async fn ranges(
    conn: &mut Conn,
    (database, table): (&str, &str),
    columns: &[Column],
    connections: usize,
) -> Result<Vec<Range>> {
    let Some(key) = key(conn, database, table).await? else { return Ok(vec![Range::All]) };
    let number = columns.iter().find(|column| column.name == key);
    if !number.is_some_and(|column| matches!(column.kind, Kind::Int { .. })) {
        return Ok(vec![Range::All]);
    }
    let mut split = Split { conn, table: format!("{}.{}", ident(database), ident(table)), key };
    let Some((low, high)) = split.span().await? else { return Ok(vec![Range::All]) };
    let rows = split.estimate(low, high).await?;
    let connections = u64::try_from(connections).unwrap_or(1);
    let wanted = (rows / ROWS).clamp(connections * PER_CONNECTION, RANGES);
    if connections < 2 || rows < wanted * 2 {
        return Ok(vec![Range::All]);
    }
    let bounds = split.bounds((low, high, rows), rows / wanted).await?;
    let bounds: Vec<String> = bounds.into_iter().map(|bound| bound.to_string()).collect();
    Ok(Range::between(&split.key, &bounds))
}

/// The first column of the primary key.
async fn key(conn: &mut Conn, database: &str, table: &str) -> Result<Option<String>> {
    conn.exec_first(
        "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
         AND INDEX_NAME = 'PRIMARY' AND SEQ_IN_INDEX = 1",
        (database, table),
    )
    .await
    .map_err(|error| query_error("describe a key", error))
}

struct Split<'a> {
    conn: &'a mut Conn,
    table: String,
    key: String,
}

impl Split<'_> {
    /// The least and the greatest key.
    async fn span(&mut self) -> Result<Option<(i128, i128)>> {
        let key = ident(&self.key);
        let sql = format!("SELECT MIN({key}), MAX({key}) FROM {}", self.table);
        let found = row(self.conn, &sql).await.map_err(|error| query_error("find the span of a key", error))?;
        let mut found = found.unwrap_or_default().into_iter().map(|text| text.and_then(|text| text.parse().ok()));
        Ok(found.next().flatten().zip(found.next().flatten()))
    }

    /// About how many rows there are from one key up to another.
    async fn estimate(&mut self, from: i128, to: i128) -> Result<u64> {
        let (table, key) = (&self.table, ident(&self.key));
        let sql = format!("EXPLAIN SELECT 1 FROM {table} FORCE INDEX (PRIMARY) WHERE {key} BETWEEN {from} AND {to}");
        let result = self.conn.query_iter(sql).await.map_err(|error| query_error("estimate rows", error))?;
        let at = result.columns().and_then(|columns| columns.iter().position(|column| column.name_str() == "rows"));
        let rows: Vec<mysql_async::Row> =
            result.collect_and_drop().await.map_err(|error| query_error("estimate rows", error))?;
        let found = rows.first().zip(at).and_then(|(row, at)| row.get_opt::<u64, usize>(at)).and_then(Result::ok);
        Ok(found.unwrap_or(0))
    }

    /// Keys between ranges of about so many rows.
    async fn bounds(&mut self, (low, high, rows): (i128, i128, u64), wanted: u64) -> Result<Vec<i128>> {
        let mut bounds = Vec::new();
        let mut filled = 0;
        // From left to right: what is on top of the stack comes next.
        let mut open = vec![(low, high, rows)];
        while let Some((from, to, rows)) = open.pop() {
            if rows > wanted / 2 && from < to {
                let middle = from + (to - from) / 2;
                let left = self.estimate(from, middle).await?;
                let right = self.estimate(middle + 1, to).await?;
                // Halves of an estimate are only looked into as long as that says more than the whole.
                if left + right > 0 && to - from > 1 {
                    open.push((middle + 1, to, right));
                    open.push((from, middle, left));
                    continue;
                }
            }
            if filled > 0 && filled + rows > wanted {
                bounds.push(from);
                filled = 0;
            }
            filled += rows;
        }
        Ok(bounds)
    }
}
